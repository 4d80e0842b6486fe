"""The Gaussian blur of a part of an image, as ImageJ's `GaussianBlur` makes it with TWS's accuracy."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from fijibridge.core.parallel import compiled

Box = tuple[int, int, int, int]
ACCURACY = 0.0002  # TWS's
SIGMA_FACTOR = 0.4  # the blur sees 0.4 of TWS's sigma


def gaussian_kernel(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """ImageJ's one-sided Gaussian kernel and the weight that lies beyond each of its taps.

    The tail is a parabola that meets the Gaussian smoothly and is 0 at the first tap outside, in place of a step:
    ``c^2 (n - i)^2``, with ``c`` the smallest of ``sqrt(g(i)) / (n - i)`` met from the end inwards.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, at most 8.5 (beyond, ImageJ works on a coarser line).

    Returns
    -------
    kernel, beyond : float32 (n,)
        ``kernel[i]`` is the weight at distance i, the whole two-sided kernel sums to 1;
        ``beyond[i]`` is the sum of the weights at distances i+1, i+2, ... on one side.
    """
    n = math.ceil(sigma * math.sqrt(-2.0 * math.log(ACCURACY))) + 1
    kernel = np.array([math.exp(-0.5 * i * i / sigma / sigma) for i in range(n)], np.float32)
    if n > 3:
        slope, i = math.inf, n
        while i > n // 2:
            i -= 1
            candidate = math.sqrt(kernel[i]) / (n - i)
            if candidate >= slope:
                break
            slope = candidate
        for j in range(i + 2, n):
            kernel[j] = (n - j) * (n - j) * slope * slope
    weights = kernel.astype(np.float64)
    total = weights[0]
    for w in weights[1:]:
        total += 2.0 * w
    weights /= total
    remaining = 0.5 + 0.5 * float(kernel[0]) / total
    beyond = np.empty(n, np.float32)
    for i, w in enumerate(weights):
        remaining -= w
        beyond[i] = remaining
    return weights.astype(np.float32), beyond


@compiled
def _edge_terms(i, n, length, beyond):
    """Weights of the first and the last pixel of a line in ImageJ's sum at position i (0: not added)."""
    first = np.float32(0)
    last = np.float32(0)
    if i < n:
        first = beyond[i]
        if i + n > length:
            last = beyond[length - i - 1]
    elif i + n >= length:
        last = beyond[length - i - 1]
    return first, last


@compiled
def _blur(window, oy, ox, height, width, kernel, beyond, box):
    """Blur in x, then in y; edge pixels continue outwards. float32 (y1 - y0, x1 - x0)."""
    y0, y1, x0, x1 = box
    n = kernel.size
    ya, yb = max(0, y0 - n + 1), min(height, y1 + n - 1)
    xa, xb = x0 - ox, x1 - ox
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
            first, last = _edge_terms(x, n, width, beyond)
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
    result = np.empty((y1 - y0, xb - xa), np.float32)
    m = xb - xa
    for y in range(y0, y1):
        out = result[y - y0]
        src = mid[y - ya]
        for x in range(m):
            out[x] = src[x] * kernel[0]
        first, last = _edge_terms(y, n, height, beyond)
        if first != 0:
            src = mid[0 - ya]
            for x in range(m):
                out[x] += first * src[x]
        if last != 0:
            src = mid[height - 1 - ya]
            for x in range(m):
                out[x] += last * src[x]
        for k in range(1, n):
            w = kernel[k]
            if y - k >= 0 and y + k < height:
                above, below = mid[y - k - ya], mid[y + k - ya]
                for x in range(m):
                    out[x] += w * (above[x] + below[x])
            elif y - k >= 0 or y + k < height:
                src = mid[y - k - ya] if y - k >= 0 else mid[y + k - ya]
                for x in range(m):
                    out[x] += w * src[x]
    return result


@lru_cache(64)
def _kernel(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    return gaussian_kernel(SIGMA_FACTOR * sigma)


def blur_reach(sigma: float) -> int:
    """How many pixels beyond the centre the blur of TWS's ``sigma`` reads; 0 for sigma 0.

    Parameters
    ----------
    sigma : float
    """
    return 0 if sigma == 0 else len(_kernel(sigma)[0]) - 1


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
    return _blur(grey, *origin, *shape, *_kernel(sigma), box)
