"""The Gaussian blur of a part of an image, as ImageJ's `GaussianBlur` makes it with TWS's accuracy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.blur_lines import (
    FINEST,
    blur_coarsely,
    coarse_reach,
    convolved,
    edge_terms,
    gaussian_kernel,
)

Box = tuple[int, int, int, int]
SIGMA_FACTOR = 0.4  # the blur sees 0.4 of TWS's sigma


@compiled
def _blur(window, oy, ox, height, width, kernel, beyond, box):
    """Blur in x, then in y; edge pixels continue outwards. float32 (y1 - y0, x1 - x0)."""
    y0, y1, x0, x1 = box
    n = kernel.size
    ya, yb = max(0, y0 - n + 1), min(height, y1 + n - 1)
    mid = np.empty((yb - ya, x1 - x0), np.float32)
    # columns whose sum stays inside the image
    ia, ib = min(max(x0, n), x1), max(min(x1, width - n), min(max(x0, n), x1))
    for y in range(ya, yb):
        line = window[y - oy]
        out = mid[y - ya]
        core = out[ia - x0 : ib - x0]
        m = ib - ia
        base = ia - ox
        src = line[base : base + m]
        for x in range(m):
            core[x] = src[x] * kernel[0]
        for k in range(1, n):
            w = kernel[k]
            if m > 0:
                left, right = line[base - k : base - k + m], line[base + k : base + k + m]
                for x in range(m):
                    core[x] += w * (left[x] + right[x])
        for x in range(x0, x1):
            if ia <= x < ib:
                continue
            total = line[x - ox] * kernel[0]
            first, last = edge_terms(x, n, width, beyond)
            if first != 0:
                total += first * line[0]
            if last != 0:
                total += last * line[width - 1 - ox]
            for k in range(1, n):
                v = np.float32(0)
                if x - k >= 0:
                    v += line[x - k - ox]
                if x + k < width:
                    v += line[x + k - ox]
                total += kernel[k] * v
            out[x - x0] = total
    return convolved(mid, ya, height, kernel, beyond, y0, y1)


def _deviation(sigma: float) -> float:
    """The Gaussian's standard deviation in pixels; TWS's sigma is a float of Java."""
    return SIGMA_FACTOR * float(np.float32(sigma))


@lru_cache(64)
def _kernel(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    return gaussian_kernel(_deviation(sigma))


def blur_reach(sigma: float) -> int:
    """How many pixels beyond the centre the blur of TWS's ``sigma`` reads; 0 for sigma 0.

    Parameters
    ----------
    sigma : float
    """
    if sigma == 0:
        return 0
    if _deviation(sigma) > FINEST:
        return coarse_reach(_deviation(sigma))
    return len(_kernel(sigma)[0]) - 1


def blur(grey: np.ndarray, origin: tuple[int, int], shape: tuple[int, int], sigma: float, box: Box) -> np.ndarray:
    """The blur of TWS's sigma of a part of an image; edge pixels continue outwards.

    Parameters
    ----------
    grey : ndarray, float32, shape (h, w)
        The part with :func:`blur_reach` pixels around it, as far as the image goes.
    origin : (int, int)
        Row and column of the image at which ``grey`` begins.
    shape : (int, int)
        Of the image.
    sigma : float
        TWS's; the Gaussian's standard deviation is 0.4 of it, in pixels.
    box : (int, int, int, int)
        y0, y1, x0, x1 of the part, in the image.

    Returns
    -------
    ndarray, float32, shape (y1 - y0, x1 - x0)
    """
    if _deviation(sigma) <= FINEST:
        return _blur(grey, *origin, *shape, *_kernel(sigma), box)
    deviation = _deviation(sigma)
    y0, y1, x0, x1 = box
    across = np.ascontiguousarray(grey.T)
    across = blur_coarsely(across, origin[1], shape[1], deviation, x0, x1)
    return blur_coarsely(np.ascontiguousarray(across.T), origin[0], shape[0], deviation, y0, y1)
