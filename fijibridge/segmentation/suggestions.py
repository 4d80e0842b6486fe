"""Where to label next: places whose classes the classifier is least sure of, far from what is labelled."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fijibridge.labels.roi_sets import SUGGESTED

SIDE = 24  # pixels: a stroke's length, about; larger images get larger places
_OF_IMAGE = 40  # an image's shorter side is so many places wide, if that is more
_APART = 2.0  # sides between the middles of two places, at least


class Place(NamedTuple):
    """A square of an image, in pixels from its left upper corner, and how unsure its classes are, 0 (sure) to 1."""

    slice: int
    top: int
    left: int
    side: int
    uncertainty: float


def places_to_label(
    uncertainty: np.ndarray, labelled: np.ndarray, count: int, *, slice_number: int = 1, side: int = 0
) -> list[Place]:
    """The places that are least sure, one after the other.

    Uncertainty sampling (Lewis and Gale 1994) on means over squares, so that a place is worth a stroke and the one
    unsure pixel along each boundary is not; places keep apart from one another and from the labels.

    Parameters
    ----------
    uncertainty : ndarray, float32, shape (Y, X)
        Entropy of the class probabilities, 0 to 1.
    labelled : ndarray of bool, shape (Y, X)
        Pixels that have a label already.
    count : int
        At most so many.
    slice_number : int
        Of a stack, from 1: what the places say.
    side : int
        Of a square, in pixels; 0: one fortieth of the image's shorter side, 24 at least.

    Returns
    -------
    list of Place
        The least sure first.
    """
    from scipy.ndimage import maximum_filter, uniform_filter

    height, width = uncertainty.shape
    side = side or max(SIDE, min(height, width) // _OF_IMAGE)
    if min(height, width) < side:
        return []
    step = max(1, side // 8)  # a mean over a square needs not all of its pixels
    own, half = side // step, side // step // 2
    mean = uniform_filter(uncertainty[::step, ::step].astype(np.float32), own, mode="nearest")
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
        place = Place(slice_number, (y - half) * step, (x - half) * step, side, round(float(inner[y, x]), 4))
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
