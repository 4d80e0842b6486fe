"""Thresholds between float64 and float32."""

from __future__ import annotations

import numpy as np


def float32_at_least(values: np.ndarray) -> np.ndarray:
    """Smallest float32 that is not below each value: ``x < value`` and ``x < result`` agree for every float32 x.

    Parameters
    ----------
    values : ndarray of float64
        Without NaN.

    Returns
    -------
    ndarray of float32, same shape
        +inf above the range of float32; its lowest finite number for finite values below the range.
    """
    values = np.asarray(values, np.float64)
    with np.errstate(over="ignore", under="ignore"):
        near = values.astype(np.float32)
        return np.where(near < values, np.nextafter(near, np.float32(np.inf)), near)
