"""Clean-up of label images: mode filter, holes, small regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.errors import LabelsError
from fijibridge.core.params import Param, check

if TYPE_CHECKING:
    import numpy as np

MinimumSize = Annotated[
    int,
    Param(
        "connected regions of one class with fewer pixels get the class of what surrounds them; 0: all stay",
        low=0,
        high=10**9,
        unit="px",
        group="Clean-up",
    ),
]
FillHoles = Annotated[
    int,
    Param(
        "holes of so many pixels at most are given the one class that encloses them; 0: none",
        low=0,
        high=10**9,
        unit="px",
        group="Clean-up",
    ),
]
ModeFilter = Annotated[
    int,
    Param(
        "radius of a disc: each pixel gets the class that is most frequent in it; 0: off",
        low=0,
        high=100,
        unit="px",
        group="Clean-up",
    ),
]


@dataclass(frozen=True)
class CleanUp:
    """Settings of :func:`clean_up`, which explains them.

    Raises
    ------
    SettingsError
        A negative number, or one out of range.
    """

    minimum_size: MinimumSize = 0
    fill_holes: FillHoles = 0
    mode_filter: ModeFilter = 0

    def __post_init__(self) -> None:
        check(type(self), vars(self))

    def __bool__(self) -> bool:
        """Whether anything is to be done."""
        return any(vars(self).values())


def clean_up(
    labels: Any, *, minimum_size: MinimumSize = 0, fill_holes: FillHoles = 0, mode_filter: ModeFilter = 0
) -> np.ndarray:
    """Labels without speckle, small holes and small regions.

    The steps come in this order: mode filter, holes, small regions, each on what the one before left. Pixels are
    connected by their sides, not by corners.

    Parameters
    ----------
    labels : array_like of int, shape (Y, X) or (Z, Y, X)
        0 to 255; 0 is unlabelled, stays so and counts for nothing. A stack is cleaned slice by slice.
    minimum_size : int
        Pixels. A connected region of one class with fewer gets the class that touches most of its outline, of those
        regions that are large enough; what touches none of these waits until its neighbours are done. Where no region
        is large enough, the largest counts as that.
    fill_holes : int
        Pixels. A hole of a class is a connected region of other classes, of one or several, that the class alone
        encloses and that touches neither the image's border nor unlabelled pixels. Those of so many pixels at most get
        the class; classes have their turn in rising order.
    mode_filter : int
        Radius in pixels of a disc (x^2 + y^2 <= r^2 + 1, ImageJ's), in which the most frequent class is taken; of two
        equally frequent ones the first.

    Returns
    -------
    ndarray of uint8, of the shape of `labels`

    Raises
    ------
    LabelsError
        Not a label image, or values outside 0 to 255.
    SettingsError
        A negative number, or one out of range.
    """
    import numpy as np

    CleanUp(minimum_size, fill_holes, mode_filter)
    given = np.asarray(labels)
    whole = given.dtype.kind in "ui" and given.size and given.min() >= 0 and given.max() <= 255
    if given.ndim not in (2, 3) or not whole:
        raise LabelsError(
            f"labels of shape {given.shape} ({given.dtype})",
            expected="integers of 0 to 255, (Y, X) or (Z, Y, X)",
            remedy="give a label image: 0 = unlabelled, 1, 2, ... = classes",
        )
    result = given.astype(np.uint8)
    for plane in result if given.ndim == 3 else [result]:
        if mode_filter:
            _mode(plane, mode_filter)
        if fill_holes:
            _fill(plane, fill_holes)
        if minimum_size > 1:
            _join(plane, minimum_size)
    return result


def _mode(plane: np.ndarray, radius: int) -> None:
    import numpy as np
    from skimage.filters.rank import modal

    place = np.arange(-radius - 1, radius + 2)
    disc = np.add.outer(place**2, place**2) <= radius**2 + 1
    there = plane > 0
    plane[there] = modal(plane, disc.astype(np.uint8), mask=there)[there]


def _fill(plane: np.ndarray, largest: int) -> None:
    import numpy as np
    from scipy import ndimage

    for value in np.unique(plane[plane > 0]):
        regions, count = ndimage.label(plane != value)
        hole = np.bincount(regions.ravel(), minlength=count + 1) <= largest
        open_at = [regions[0], regions[-1], regions[:, 0], regions[:, -1], regions[plane == 0]]
        hole[np.concatenate([[0], *open_at])] = False
        plane[hole[regions]] = value


def _join(plane: np.ndarray, smallest: int) -> None:
    import numpy as np
    from skimage.measure import label

    regions = label(plane, background=0, connectivity=1)
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    if not sizes.any():
        return
    classes = np.zeros(len(sizes), np.uint8)
    classes[regions.ravel()] = plane.ravel()
    done = sizes >= smallest
    done[sizes.argmax()] = True
    # pairs of neighbouring pixels of different regions, both ways
    sides = [(regions[:-1], regions[1:]), (regions[:, :-1], regions[:, 1:])]
    one, other = (np.concatenate(part) for part in zip(*((a[a != b], b[a != b]) for a, b in sides), strict=True))
    one, other = np.concatenate([one, other]), np.concatenate([other, one])
    kinds = int(classes.max()) + 1
    while (touching := ~done[one] & done[other] & (one > 0)).any():
        number, at = np.unique(one[touching], return_inverse=True)
        votes = np.bincount(at * kinds + classes[other[touching]], minlength=len(number) * kinds)
        classes[number], done[number] = votes.reshape(-1, kinds).argmax(1), True
        one, other = one[~touching], other[~touching]
    plane[:] = classes[regions]
