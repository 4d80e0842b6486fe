"""Gaussian blur along one axis, as ImageJ's `GaussianBlur` makes it with TWS's accuracy."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from fijibridge.core.parallel import compiled

ACCURACY = 0.0002  # TWS's
FINEST = 8.5  # standard deviation in pixels above which ImageJ blurs a coarser line
_COARSE = 4.0  # least standard deviation on the coarser line, in its own pixels
_AROUND = 3  # pixels of the coarser line before the first of the image


def gaussian_kernel(sigma: float, longest: int = 2**30) -> tuple[np.ndarray, np.ndarray]:
    """ImageJ's one-sided Gaussian kernel and the weight that lies beyond each of its taps.

    The tail is a parabola that meets the Gaussian smoothly and is 0 at the first tap outside, in place of a step:
    ``c^2 (n - i)^2``, with ``c`` the smallest of ``sqrt(g(i)) / (n - i)`` met from the end inwards.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels.
    longest : int, optional
        Most taps, at least 50: where that many are needed or more, the tail is cut there, and the weights are divided
        by the Gaussian's integral.

    Returns
    -------
    kernel, beyond : float32 (n,)
        ``kernel[i]`` is the weight at distance i, the whole two-sided kernel sums to 1;
        ``beyond[i]`` is the sum of the weights at distances i+1, i+2, ... on one side.
    """
    longest = max(longest, 50)
    n = min(math.ceil(sigma * math.sqrt(-2.0 * math.log(ACCURACY))) + 1, longest)
    kernel = np.array([math.exp(-0.5 * i * i / sigma / sigma) for i in range(n)], np.float32)
    if 3 < n < longest:
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
    if n == longest:
        total = sigma * math.sqrt(2 * math.pi)
    weights /= total
    remaining = 0.5 + 0.5 * float(kernel[0]) / total
    beyond = np.empty(n, np.float32)
    for i, w in enumerate(weights):
        remaining -= w
        beyond[i] = remaining
    return weights.astype(np.float32), beyond


@compiled
def edge_terms(i, n, length, beyond):
    """Weights of the first and the last pixel of a line in ImageJ's sum at a position (0: not added).

    Parameters
    ----------
    i : int
        Position on the line.
    n : int
        Taps of the kernel.
    length : int
        Of the line.
    beyond : ndarray, float32, shape (n,)
        Of :func:`gaussian_kernel`.

    Returns
    -------
    first, last : float32
    """
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
def convolved(lines, start, length, kernel, beyond, y0, y1):
    """Blur in y; the first and the last row go on outwards.

    Parameters
    ----------
    lines : ndarray, float32, shape (h, m)
        Rows of the image, those wanted and as many as the kernel has taps around them, as far as the image goes.
    start : int
        The image's row at which `lines` begin.
    length : int
        Rows of the image.
    kernel, beyond : ndarray, float32, shape (n,)
        Of :func:`gaussian_kernel`.
    y0, y1 : int
        Rows wanted.

    Returns
    -------
    ndarray, float32, shape (y1 - y0, m)
    """
    n = kernel.size
    m = lines.shape[1]
    result = np.empty((y1 - y0, m), np.float32)
    for y in range(y0, y1):
        out = result[y - y0]
        src = lines[y - start]
        for x in range(m):
            out[x] = src[x] * kernel[0]
        first, last = edge_terms(y, n, length, beyond)
        if first != 0:
            src = lines[0 - start]
            for x in range(m):
                out[x] += first * src[x]
        if last != 0:
            src = lines[length - 1 - start]
            for x in range(m):
                out[x] += last * src[x]
        for k in range(1, n):
            w = kernel[k]
            if y - k >= 0 and y + k < length:
                above, below = lines[y - k - start], lines[y + k - start]
                for x in range(m):
                    out[x] += w * (above[x] + below[x])
            elif y - k >= 0 or y + k < length:
                src = lines[y - k - start] if y - k >= 0 else lines[y + k - start]
                for x in range(m):
                    out[x] += w * src[x]
    return result


def _reduction(deviation: float, length: int) -> int:
    """How many pixels are one of the coarser line."""
    return min(int(deviation / _COARSE), length)


@lru_cache(64)
def _coarse_kernels(deviation: float, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of a line: the Gaussian kernel on the coarser line, what lies beyond, weights from fine to coarse and back.

    Both ways of interpolation blur by themselves, with variances 1/4 and 1/3 of a coarse pixel: the Gaussian is
    narrower by that.
    """
    reduce = _reduction(deviation, length)
    narrower = math.sqrt(deviation * deviation / (reduce * reduce) - 1.0 / 3.0 - 1.0 / 4.0)
    kernel, beyond = gaussian_kernel(narrower, _coarse_length(length, reduce))
    down = np.zeros(3 * reduce, np.float32)
    for i in range((3 * reduce + 1) // 2):
        t = i / reduce
        weight = 0.75 - t * t if i <= reduce // 2 else 0.125 + 0.5 * (t - 1) * (t - 2)
        down[3 * reduce // 2 - i] = down[3 * reduce // 2 + i] = weight / reduce
    up = np.zeros(4 * reduce, np.float32)
    for i in range(2 * reduce):
        t = i / reduce
        weight = 2.0 / 3.0 - t * t * (1 - 0.5 * t) if i < reduce else (2.0 - t) * (2.0 - t) * (2.0 - t) / 6.0
        up[2 * reduce - i] = up[2 * reduce + i] = weight
    return kernel, beyond, down, up


def _coarse_length(length: int, reduce: int) -> int:
    return -(-length // reduce) + 2 * _AROUND


def coarse_reach(deviation: float) -> int:
    """How many pixels on each side :func:`blur_coarsely` reads at most.

    Parameters
    ----------
    deviation : float
    """
    reduce = int(deviation / _COARSE)
    taps = math.ceil(deviation / reduce * math.sqrt(-2.0 * math.log(ACCURACY))) + 1
    return (taps + 3) * reduce


def blur_coarsely(lines: np.ndarray, start: int, length: int, deviation: float, first: int, stop: int) -> np.ndarray:
    """Blur in y by way of a coarser line, as ImageJ does for standard deviations above 8.5 pixels.

    Each coarse pixel is a weighted mean of three times its own length (a quadratic B-spline), the Gaussian runs over
    these, and a cubic B-spline leads back. The coarse pixels lie at fixed places of the image, whatever the part.

    Parameters
    ----------
    lines : ndarray, float32, shape (h, m)
        Rows of the image, those wanted and :func:`coarse_reach` around them as far as the image goes; C-contiguous.
    start : int
        The image's row at which `lines` begin.
    length : int
        Rows of the image.
    deviation : float
        Standard deviation in pixels, above 8.5.
    first, stop : int
        Rows wanted.

    Returns
    -------
    ndarray, float32, shape (stop - first, m)
    """
    reduce = _reduction(deviation, length)
    kernel, beyond, down, up = _coarse_kernels(deviation, length)
    coarse_length = _coarse_length(length, reduce)
    # a coarse row c is about row (c - _AROUND) * reduce of the image; the way back reads four of them
    low = (first + (_AROUND + 1) * reduce - 1) // reduce - 2
    high = (stop - 1 + (_AROUND + 1) * reduce - 1) // reduce + 2
    n = len(kernel)
    below, above = max(0, low - n + 1), min(coarse_length, high + n - 1)
    coarse = _coarser(lines, start, length, reduce, down, below, above)
    coarse = convolved(coarse, below, coarse_length, kernel, beyond, low, high)
    return _finer(coarse, low, reduce, up, first, stop)


@compiled
def _coarser(lines, start, length, reduce, weights, low, high):
    """Coarse rows low to high; each is the sum of three pieces that ImageJ sums up by themselves."""
    m = lines.shape[1]
    out = np.empty((high - low, m), np.float32)
    piece = np.empty(m, np.float32)
    for c in range(low, high):
        row = out[c - low]
        begin = (c - _AROUND) * reduce - reduce * 3 // 2
        for part in range(3):
            piece[:] = np.float32(0)
            for i in range(part * reduce, (part + 1) * reduce):
                source = lines[min(max(begin + i, 0), length - 1) - start]
                w = weights[i]
                for x in range(m):
                    piece[x] += source[x] * w
            if part == 0:
                row[:] = piece
            else:
                for x in range(m):
                    row[x] += piece[x]
    return out


@compiled
def _finer(coarse, low, reduce, weights, first, stop):
    """Rows first to stop of the image from coarse rows, which begin at low."""
    m = coarse.shape[1]
    out = np.empty((stop - first, m), np.float32)
    for y in range(first, stop):
        at = y + (_AROUND + 1) * reduce - 1
        c = at // reduce - low
        i = reduce - 1 - at % reduce
        w0, w1, w2, w3 = weights[i], weights[i + reduce], weights[i + 2 * reduce], weights[i + 3 * reduce]
        a, b, d, e = coarse[c - 2], coarse[c - 1], coarse[c], coarse[c + 1]
        row = out[y - first]
        for x in range(m):
            row[x] = a[x] * w0 + b[x] * w1 + d[x] * w2 + e[x] * w3
    return out
