"""An image in 8 bits, as ImageJ converts it."""

from __future__ import annotations

import numpy as np


def as_bytes(grey: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """The image's range stretched to 0..255, as ImageJ's ``convertToByte(true)`` of a 32-bit image does.

    Parameters
    ----------
    grey : ndarray, float32, shape (h, w)
    limits : (float, float)
        Smallest and largest pixel of the whole image, which become 0 and 255; an image of one value becomes 0.

    Returns
    -------
    ndarray, uint8, shape (h, w)
        ``floor((grey - low) * (255 / (high - low)) + 1/2)``, in double precision.
    """
    low, high = limits
    if not high > low:
        return np.zeros(grey.shape, np.uint8)
    scaled = grey.astype(np.float64)
    scaled -= low
    np.clip(scaled, 0, None, out=scaled)
    scaled *= 255.0 / (high - low)
    scaled += 0.5
    return np.minimum(np.nan_to_num(scaled, nan=0.0), 255).astype(np.uint8)
