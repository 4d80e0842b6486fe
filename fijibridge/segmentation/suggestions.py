"""Where to label next: places whose classes the classifier is least sure of, and of which a label would tell much.

Uncertainty sampling (Lewis and Gale 1994) alone asks for what is odd and rare, too. It is weighted by information
density (Settles and Craven 2008: many pixels look like this) and by how unlike the labels a pixel is
(:mod:`fijibridge.segmentation.unlikeness`), where the classifier knows both.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fijibridge.labels.roi_sets import SUGGESTED

SIDE = 24  # pixels: a stroke's length, about; larger images get larger places
_OF_IMAGE = 40  # an image's shorter side is so many places wide, if that is more
_APART = 2.0  # sides between the middles of two places, at least


class Place(NamedTuple):
    """A square of an image, in pixels from its left upper corner; how unsure its classes are, 0 (sure) to 1, and how
    much a label there is worth, by which places are chosen."""

    slice: int
    top: int
    left: int
    side: int
    uncertainty: float
    worth: float = 0.0


def square_side(shape: tuple[int, ...]) -> int:
    """Side of the squares in which a stroke lies: one fortieth of an image's shorter side, 24 pixels at least."""
    return max(SIDE, min(shape) // _OF_IMAGE)


def places_to_label(
    uncertainty: np.ndarray,
    labelled: np.ndarray,
    count: int,
    *,
    weight: np.ndarray | None = None,
    slice_number: int = 1,
    side: int = 0,
) -> list[Place]:
    """The places that are worth most, one after the other.

    Means over squares, so that a place is worth a stroke and the one unsure pixel along each boundary is not; places
    keep apart from one another and from the labels.

    Parameters
    ----------
    uncertainty : ndarray, float32, shape (Y, X)
        Entropy of the class probabilities, 0 to 1.
    labelled : ndarray of bool, shape (Y, X)
        Pixels that have a label already.
    count : int
        At most so many.
    weight : ndarray, float32, shape (Y, X), optional
        Of the uncertainty: unlikeness times typicality, see :class:`fijibridge.segmentation.unlikeness.Unlikeness`.
    slice_number : int
        Of a stack, from 1: what the places say.
    side : int
        Of a square, in pixels; 0: one fortieth of the image's shorter side, 24 at least.

    Returns
    -------
    list of Place
        Those worth most first: without a weight the least sure.
    """
    from scipy.ndimage import maximum_filter, uniform_filter

    height, width = uncertainty.shape
    side = side or square_side((height, width))
    if min(height, width) < side:
        return []
    step = max(1, side // 8)  # a mean over a square needs not all of its pixels
    own, half = side // step, side // step // 2
    unsure = uncertainty[::step, ::step].astype(np.float32)
    means = uniform_filter(unsure, own, mode="nearest")
    mean = means.copy() if weight is None else uniform_filter(unsure * weight[::step, ::step], own, mode="nearest")
    if labelled.any():
        drawn = maximum_filter(labelled.view(np.uint8), 2 * step + 1)[::step, ::step]  # a thin stroke, too
        near = maximum_filter(drawn, 2 * own + 1)
        mean[near > 0] = -1
    inner = np.full(mean.shape, -1, np.float32)  # squares lie in the image
    kept = tuple(slice(half, half + (length - side) // step + 1) for length in (height, width))
    inner[kept] = mean[kept]
    found: list[Place] = []
    while len(found) < count:
        y, x = (int(place) for place in np.unravel_index(inner.argmax(), inner.shape))
        if inner[y, x] <= 0:
            break
        unsure_there, worth = round(float(means[y, x]), 4), round(float(inner[y, x]), 5)
        place = Place(slice_number, (y - half) * step, (x - half) * step, side, unsure_there, worth)
        found.append(place)
        reach = round(_APART * own)
        inner[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = -1
    return found


def write_places(path: Path, places: list[Place], *, in_stack: bool = False) -> None:
    """Write places as a ROI set of ImageJ, whose ROIs have neither a group nor a class.

    Parameters
    ----------
    path : Path
        A .zip file.
    places : list of Place
    in_stack : bool
        Whether the ROIs say their slice.
    """
    import zipfile

    import roifile

    with zipfile.ZipFile(path, "w") as archive:
        for number, place in enumerate(places, start=1):
            roi = roifile.ImagejRoi()
            roi.roitype = roifile.ROI_TYPE.RECT
            roi.top, roi.left = place.top, place.left
            roi.bottom, roi.right = place.top + place.side, place.left + place.side
            roi.name = f"{SUGGESTED}{number:02d}"
            roi.position = place.slice if in_stack else 0
            archive.writestr(f"{roi.name}.roi", roi.tobytes())  # ImageJ shows the file's name
