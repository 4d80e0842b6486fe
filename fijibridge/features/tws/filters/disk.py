"""The disks that ImageJ's rank filters look at, and sums and maxima over them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled

if TYPE_CHECKING:
    from fijibridge.features.tws.window import Window


@lru_cache(64)
def disk_rows(sigma: float) -> np.ndarray:
    """Half widths of a disk's rows, from the middle row to the last one below it.

    Pixels within ``sqrt(floor(radius^2) + 1)`` of the middle belong to it: radius 1 is a square of 3 x 3. Radii from
    1.5 to 1.75 count as 1.75, those from 2.5 to 2.85 as 2.85, as in ImageJ's `RankFilters`.

    Parameters
    ----------
    sigma : float
        Radius in pixels; TWS's sigma, a float of Java.

    Returns
    -------
    int64 (r + 1,)
        The first is r. The disk is the same upside down and with rows and columns exchanged.
    """
    radius = float(np.float32(sigma))
    if 1.5 <= radius < 1.75:
        radius = 1.75
    elif 2.5 <= radius < 2.85:
        radius = 2.85
    square = int(radius * radius) + 1
    return np.array([math.isqrt(square - y * y) for y in range(math.isqrt(square) + 1)], np.int64)


def disk_size(rows: np.ndarray) -> int:
    """Pixels of a disk.

    Parameters
    ----------
    rows : ndarray of int, shape (r + 1,)
        Of :func:`disk_rows`.
    """
    return int(2 * (2 * rows + 1).sum() - (2 * rows[0] + 1))


def disk_reach(sigma: float) -> int:
    """How many pixels around a pixel its disk goes.

    Parameters
    ----------
    sigma : float
        As of :func:`disk_rows`.
    """
    return len(disk_rows(sigma)) - 1


def padded(window: Window, reach: int) -> np.ndarray:
    """A window's block and pixels around it; beyond the image's edge its edge pixels go on.

    Parameters
    ----------
    window : Window
    reach : int
        Pixels on each side.

    Returns
    -------
    ndarray, float32, shape (h + 2 reach, w + 2 reach)
        C-contiguous.
    """
    y0, y1, x0, x1 = window.box
    (top, left), (height, width) = window.origin, window.shape
    part = window.grey[
        max(0, y0 - reach) - top : min(height, y1 + reach) - top,
        max(0, x0 - reach) - left : min(width, x1 + reach) - left,
    ]
    sides = [
        (max(0, reach - y0), max(0, y1 + reach - height)),
        (max(0, reach - x0), max(0, x1 + reach - width)),
    ]
    return np.pad(part, sides, mode="edge")


def sums(window: Window, sigma: float, power: int) -> np.ndarray:
    """Sums of the grey values, or of their squares, over the disk of each pixel of the block.

    They are exact where the values are whole numbers. Else they are rounded in an order that does not depend on the
    block; ImageJ's own come along the whole row, and round in another order.

    Parameters
    ----------
    window : Window
    sigma : float
    power : int
        1 or 2.

    Returns
    -------
    ndarray, float64, shape (h, w)
    """
    rows = disk_rows(sigma)

    def make() -> np.ndarray:
        plane = padded(window, len(rows) - 1).astype(np.float64)
        return _summed(plane * plane if power == 2 else plane, rows)

    return window.kept(("disk sum", sigma, power), make)


@compiled
def _summed(plane, rows):
    """Sums over disks, float64 (h, w), of a plane with a margin as wide as the disk's radius.

    A row's run of 2 d + 1 pixels is put together of runs of 1, 2, 4, ... pixels, and added to every row of the result
    whose disk has it.
    """
    r = rows.size - 1
    h, w = plane.shape[0] - 2 * r, plane.shape[1] - 2 * r
    out = np.zeros((h, w), np.float64)
    levels = 1
    while 1 << levels <= 2 * r + 1:
        levels += 1
    runs = np.empty((levels, w + 2 * r), np.float64)
    run = np.empty(w, np.float64)
    for y in range(h + 2 * r):
        runs[0] = plane[y]
        for k in range(1, levels):
            step = 1 << (k - 1)
            m = w + 2 * r - 2 * step + 1
            short, long = runs[k - 1], runs[k]
            near, far = short[:m], short[step : step + m]
            for x in range(m):
                long[x] = near[x] + far[x]
        last = -1
        for j in range(r + 1):
            # rows j above and below the middle, whose results are in y - r + j and y - r - j
            above, below = y - r - j, y - r + j
            if (above < 0 or above >= h) and (below < 0 or below >= h):
                continue
            d = rows[j]
            if d != last:
                last = d
                start, length = r - d, 2 * d + 1
                run[:] = 0.0
                for k in range(levels - 1, -1, -1):
                    if length & (1 << k):
                        piece = runs[k][start : start + w]
                        for x in range(w):
                            run[x] += piece[x]
                        start += 1 << k
            if 0 <= above < h:
                row = out[above]
                for x in range(w):
                    row[x] += run[x]
            if j > 0 and 0 <= below < h:
                row = out[below]
                for x in range(w):
                    row[x] += run[x]
    return out


@compiled
def maxima(plane, rows):
    """The greatest value in the disk of each pixel.

    Parameters
    ----------
    plane : ndarray, float32, shape (h + 2 r, w + 2 r)
        Of :func:`padded`.
    rows : ndarray of int, shape (r + 1,)
        Of :func:`disk_rows`.

    Returns
    -------
    ndarray, float32, shape (h, w)
    """
    r = rows.size - 1
    h, w = plane.shape[0] - 2 * r, plane.shape[1] - 2 * r
    out = np.full((h, w), -np.inf, np.float32)
    levels = 1
    while 1 << levels <= 2 * r + 1:
        levels += 1
    runs = np.empty((levels, w + 2 * r), np.float32)
    run = np.empty(w, np.float32)
    for y in range(h + 2 * r):
        runs[0] = plane[y]
        for k in range(1, levels):
            step = 1 << (k - 1)
            m = w + 2 * r - 2 * step + 1
            short, long = runs[k - 1], runs[k]
            near, far = short[:m], short[step : step + m]
            for x in range(m):
                long[x] = near[x] if near[x] > far[x] else far[x]
        last = -1
        for j in range(r + 1):
            above, below = y - r - j, y - r + j
            if (above < 0 or above >= h) and (below < 0 or below >= h):
                continue
            d = rows[j]
            if d != last:
                last = d
                k = levels - 1
                while 1 << k > 2 * d + 1:
                    k -= 1
                # two runs that overlap reach from end to end
                near, far = runs[k][r - d : r - d + w], runs[k][r + d + 1 - (1 << k) : r + d + 1 - (1 << k) + w]
                for x in range(w):
                    run[x] = near[x] if near[x] > far[x] else far[x]
            if 0 <= above < h:
                row = out[above]
                for x in range(w):
                    row[x] = run[x] if run[x] > row[x] else row[x]
            if j > 0 and 0 <= below < h:
                row = out[below]
                for x in range(w):
                    row[x] = run[x] if run[x] > row[x] else row[x]
    return out


@compiled
def moves(rows, stride):
    """Where pixels leave and enter a disk that moves by one pixel, as offsets from its middle in a flat plane.

    Parameters
    ----------
    rows : ndarray of int, shape (r + 1,)
        Half widths.
    stride : int
        Pixels of a row of the plane.

    Returns
    -------
    leaving, entering : ndarray of int64, shape (3, 2 r + 1)
        For a move to the right, to the left and downwards.
    """
    r = rows.size - 1
    leaving = np.empty((3, 2 * r + 1), np.int64)
    entering = np.empty((3, 2 * r + 1), np.int64)
    for i in range(2 * r + 1):
        j = i - r
        d = rows[abs(j)]
        leaving[0, i], entering[0, i] = j * stride - d, j * stride + d + 1
        leaving[1, i], entering[1, i] = j * stride + d, j * stride - d - 1
        leaving[2, i], entering[2, i] = j - d * stride, j + (d + 1) * stride
    return leaving, entering
