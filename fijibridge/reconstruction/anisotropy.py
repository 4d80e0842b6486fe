"""Whether an image looks the same along its rows and its columns, as one that stands for all directions should."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from fijibridge.phases.phases import Phases

_BLOCKS = 4  # along each side, from whose scatter the error of a ratio follows
_LEAST = 1.18  # ratio of the mean chords: isotropic materials reach 1.16 by chance in 128 x 128 pixels
_SURE = 3.5  # standard errors


def chord_ratio(phases: Phases, phase: int) -> tuple[float, float]:
    """Mean chord of a phase along the rows over that along the columns.

    The mean chord along a direction is the phase's length on lines in that direction over half the number of its ends
    (Underwood 1970, Quantitative Stereology), so that the ratio is that of the numbers of ends.

    Parameters
    ----------
    phases : Phases
        Image in 2D.
    phase : int
        Index of the phase.

    Returns
    -------
    ratio : float
        1 where both are alike; pixels that are not square count with their sizes.
    error : float
        Standard error of its logarithm, by leaving out each of 4 x 4 parts of the image in turn (jackknife; Efron and
        Tibshirani 1993); infinite where a part has all ends of a direction.
    """
    mask = phases.index[0] == phase
    along_rows, along_columns = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    ends = np.array([_by_block(along_columns), _by_block(along_rows)], np.float64)
    total = ends.sum(axis=1, keepdims=True)
    left = total - ends
    if (left <= 0).any():
        return 1.0, math.inf
    whole = float(np.log(total[0, 0] / total[1, 0]))
    error = _jackknife(np.log(left[0] / left[1]))
    rows, columns = mask.shape
    # ends per step along a direction, as there is a step less than pixels
    whole += math.log((rows * (columns - 1)) / ((rows - 1) * columns))
    whole += math.log(phases.spacing[2] / phases.spacing[1])
    return math.exp(whole), error


def contradiction_notes(planes: Mapping[str, Phases]) -> list[str]:
    """What images of several planes say differently of the direction that they share.

    Parameters
    ----------
    planes : mapping of str to Phases
        "xy", "xz" and, if there are three, "yz", in 2D.

    Returns
    -------
    list of str
        A sentence for each direction and phase whose mean chords differ by more than chance.
    """
    notes = []
    for (one, first), (other, second) in combinations(planes.items(), 2):
        shared = next(axis for axis in one if axis in other)
        for phase, name in first:
            lengths, errors = zip(
                *(
                    mean_chord(image, phase, 1 - plane.index(shared))
                    for plane, image in ((one, first), (other, second))
                ),
                strict=True,
            )
            if not np.isfinite(errors).all():  # too few ends to tell
                continue
            apart = abs(math.log(lengths[0] / lengths[1]))
            if apart > max(math.log(_LEAST), _SURE * math.hypot(*errors)):
                notes.append(
                    f"along {shared} the {one} image shows {name} {lengths[0]:.1f} px long, the {other} image "
                    f"{lengths[1]:.1f} px (mean chords): no volume has both; check that the planes are given in the "
                    "order xy, xz, yz, with z along the columns of the last two, or leave one out"
                )
    return notes


def mean_chord(phases: Phases, phase: int, axis: int) -> tuple[float, float]:
    """Mean chord of a phase along the columns (axis 0) or the rows (axis 1) of an image.

    Parameters
    ----------
    phases : Phases
        Image in 2D.
    phase : int
        Index of the phase.
    axis : int
        See above.

    Returns
    -------
    length : float
        Pixels; infinite where no line ends in the phase.
    error : float
        Standard error of its logarithm, as that of `chord_ratio`; infinite where a part has all ends.
    """
    mask = phases.index[0] == phase
    ends = _by_block(np.diff(mask.astype(np.int8), axis=axis) != 0).astype(np.float64)
    pixels = _by_block(mask).astype(np.float64)
    left, inside = ends.sum() - ends, pixels.sum() - pixels
    if (left <= 0).any() or (inside <= 0).any():
        return math.inf, math.inf
    steps = mask.size * (mask.shape[axis] - 1) / mask.shape[axis]
    return 2 * mask.mean() / (ends.sum() / steps), _jackknife(np.log(inside / left))


def _jackknife(values: np.ndarray) -> float:
    """Standard error from the values found with each part left out in turn."""
    return math.sqrt((len(values) - 1) / len(values) * float(((values - values.mean()) ** 2).sum()))


def _by_block(ends: np.ndarray) -> np.ndarray:
    """Number of ends in each part of the image."""
    rows, columns = (np.linspace(0, size, _BLOCKS + 1).astype(int)[:-1] for size in ends.shape)
    return np.add.reduceat(np.add.reduceat(ends.astype(np.int64), rows, axis=0), columns, axis=1).ravel()


def anisotropy_note(phases: Phases, *, plane: str = "xy") -> str:
    """What a user should know of an image that is to stand for all directions.

    Parameters
    ----------
    phases : Phases
        Image in 2D.
    plane : str
        How it is called.

    Returns
    -------
    str
        Empty where rows and columns do not differ by more than chance.
    """
    found = [(name, *chord_ratio(phases, phase)) for phase, name in phases]
    sure = [
        (abs(math.log(ratio)), name, ratio)
        for name, ratio, error in found
        if abs(math.log(ratio)) > max(math.log(_LEAST), _SURE * error)
    ]
    if not sure:
        return ""
    _, name, ratio = max(sure)
    longer, shorter = ("rows", "columns") if ratio > 1 else ("columns", "rows")
    return (
        f"the {plane} image is not the same in all directions: {name} is {max(ratio, 1 / ratio):.2f} times as long "
        f"along the {longer} as along the {shorter}, and one image makes a volume that is the same along x, y and z; "
        "give images of two planes (xy, and xz with z along its columns, which stands for yz, too) or of three"
    )
