"""Checks of masks and of the size of a voxel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError


def check_mask(mask: Any) -> np.ndarray:
    """Check a mask: (Y, X) or (Z, Y, X), true where it is not 0.

    Raises
    ------
    ImageError
        Another number of dimensions, or empty.
    """
    mask = np.asarray(mask)
    if mask.ndim not in (2, 3) or mask.size == 0:
        raise ImageError(
            f"a mask of shape {mask.shape}", expected="(Y, X) or (Z, Y, X)", remedy="give one phase of an image"
        )
    return mask != 0


def check_spacing(spacing: float | Sequence[float] | None, ndim: int) -> tuple[float, float, float]:
    """Check the size of a voxel.

    Parameters
    ----------
    spacing : float or sequence of float, optional
        One number, (y, x), or (z, y, x); 1 by default.
    ndim : int
        2 or 3, the dimensions of the image.

    Returns
    -------
    tuple of float
        (z, y, x); z is 1 in 2D.

    Raises
    ------
    SettingsError
        Not one, two or three positive numbers; two for a volume.
    """
    try:
        steps = [1.0] if spacing is None else [float(step) for step in np.atleast_1d(np.asarray(spacing, float))]
    except (TypeError, ValueError):
        steps = []
    if len(steps) == 1:
        steps = steps * ndim
    good = len(steps) in ({2, 3} if ndim == 2 else {3}) and all(math.isfinite(step) and step > 0 for step in steps)
    if not good:
        raise SettingsError(
            f"voxel size {spacing!r}",
            expected="one positive number, or one an axis: z,y,x",
            remedy='for example "50,10,10 nm"; "10,10 nm" for an image in 2D',
        )
    return (1.0 if ndim == 2 else steps[0], steps[-2], steps[-1])
