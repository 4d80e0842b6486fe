"""Whether an image looks the same along its rows and its columns, as one that stands for all directions should."""

from __future__ import annotations

import math

import numpy as np

from fijibridge.phases.phases import Phases

_BLOCKS = 4  # along each side, from whose scatter the error of a ratio follows
_LEAST = (
    1.18  # ratio of the mean chords: chance and weak anisotropy of isotropic materials reach 1.16 in 128 x 128 pixels
)
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
    logs = np.log(left[0] / left[1])
    error = math.sqrt((len(logs) - 1) / len(logs) * float(((logs - logs.mean()) ** 2).sum()))
    rows, columns = mask.shape
    # ends per step along a direction, as there is a step less than pixels
    whole += math.log((rows * (columns - 1)) / ((rows - 1) * columns))
    whole += math.log(phases.spacing[2] / phases.spacing[1])
    return math.exp(whole), error


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
