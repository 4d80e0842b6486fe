"""Kuwahara: the mean along the most even of the short lines through a pixel."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.filters.membrane_projections import ANGLES, membrane_taps

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

CRITERIA = 3
_MARGIN = 3  # pixels by which the line is longer than the patch before it is turned
_TINY = np.float32(1e-45)  # the smallest float32, so that a mean of 0 does not divide
_HIGH = np.float32(np.finfo(np.float32).max)


@lru_cache(8)
def line_taps(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of a line of one pixel's thickness at each of ten angles.

    Parameters
    ----------
    size : int
        Side of the patch that the lines lie in, odd, in pixels.

    Returns
    -------
    offsets : int64 (T, 2)
        (dy, dx) of every pixel, angle after angle, row by row.
    starts : int64 (11,)
        Where each angle begins in `offsets`.
    """
    offsets, starts, _ = membrane_taps(size + 2 * _MARGIN, 0)
    kept, firsts = [], [0]
    for i in range(ANGLES):
        line = offsets[starts[i] : starts[i + 1], ::-1]  # TWS reads its kernels transposed
        line = line[np.abs(line).max(axis=1) <= size // 2]
        kept.append(line[np.lexsort((line[:, 1], line[:, 0]))])
        firsts.append(firsts[-1] + len(line))
    return np.ascontiguousarray(np.concatenate(kept)), np.array(firsts, np.int64)


@compiled
def _put_kuwahara(planes, grey, oy, ox, height, width, box, low, r, offsets, starts):
    """The three criteria's planes; sums and differences in float32, in TWS's order, as selections depend on them."""
    y0, y1, x0, x1 = box
    h, w = y1 - y0, x1 - x0
    wide, high = w + 4 * r, h + 4 * r
    values = np.empty((high, wide), np.float32)
    squares = np.empty((high, wide), np.float32)
    for y in range(high):
        line = grey[min(max(y0 - 2 * r + y, 0), height - 1) - oy]
        for x in range(wide):
            v = line[min(max(x0 - 2 * r + x, 0), width - 1) - ox] - low
            values[y, x] = v
            squares[y, x] = v * v
    # where the image goes on, in rows and columns of the part with r pixels around
    ya, yb, xa, xb = max(0, r - y0), min(h + 2 * r, height - y0 + r), max(0, r - x0), min(w + 2 * r, width - x0 + r)
    mean = np.empty((h + 2 * r, w + 2 * r), np.float32)
    spread = np.empty((3, h + 2 * r, w + 2 * r), np.float32)
    best = np.full((3, h, w), _HIGH, np.float32)
    planes[:] = 0
    s1 = np.empty(w + 2 * r, np.float32)
    s2 = np.empty(w + 2 * r, np.float32)
    least = np.empty(w, np.float32)
    there = np.empty(w, np.float32)
    for i in range(starts.size - 1):
        first, last = starts[i], starts[i + 1]
        count = np.float32(last - first)
        for y in range(ya, yb):
            s1[:] = 0
            s2[:] = 0
            for t in range(first, last):
                dy, dx = offsets[t]
                line, square = values[y + r + dy, r + dx :], squares[y + r + dy, r + dx :]
                for x in range(w + 2 * r):
                    s1[x] += line[x]
                    s2[x] += square[x]
            for x in range(xa, xb):
                v = s1[x] / count
                c = s2[x] / count - v * v
                mean[y, x] = v
                spread[0, y, x] = c
                spread[1, y, x] = np.divide(c, v + _TINY)
                spread[2, y, x] = np.divide(c, v * v + _TINY)
        _repeat_edges(mean, ya, yb, xa, xb)
        for j in range(3):
            _repeat_edges(spread[j], ya, yb, xa, xb)
        for j in range(3):
            for y in range(h):
                for x in range(w):
                    least[x] = _HIGH
                    there[x] = 0
                for t in range(first, last):
                    dy, dx = offsets[t]
                    line, value = spread[j, y + r + dy, r + dx :], mean[y + r + dy, r + dx :]
                    for x in range(w):
                        lower = line[x] < least[x]
                        there[x] = value[x] if lower else there[x]
                        least[x] = line[x] if lower else least[x]
                lowest, out = best[j, y], planes[j, y]
                for x in range(w):
                    lower = least[x] < lowest[x]
                    out[x] = there[x] if lower else out[x]
                    lowest[x] = least[x] if lower else lowest[x]
    for j in range(3):
        for y in range(h):
            out = planes[j, y]
            for x in range(w):
                out[x] = out[x] + np.float32(0.5) + low


@compiled
def _repeat_edges(part, ya, yb, xa, xb):
    """Rows and columns beyond a box, as its edge."""
    for y in range(ya, yb):
        part[y, :xa] = part[y, xa]
        part[y, xb:] = part[y, xb - 1]
    for y in range(ya):
        part[y] = part[ya]
    for y in range(yb, part.shape[0]):
        part[y] = part[yb - 1]


class Kuwahara(Filter):
    """``Kuwahara_p_ 10_c``: the mean along that line of the patch near the pixel whose spread is least, plus 1/2.

    Lines of ten angles, 18 degrees apart, and of a patch's side p, which is that of membrane projections. At each
    angle the line is slid along itself over the pixel; the place of least criterion is taken, then the angle of least.
    Criterion 0 is the variance, 1 the variance over the mean, 2 that over the mean's square; grey values count from
    the image's smallest. Selections depend on roundings, so sums are TWS's in float32, in its order, and so is the 1/2
    that it adds. The space in the name is TWS's.
    """

    name = "Kuwahara"
    place = "first"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(f"Kuwahara_{_side(settings)}_ {ANGLES}_{criterion}" for criterion in range(CRITERIA))

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """See :meth:`fijibridge.features.tws.filter.Filter.chosen`."""
        return (), {"membrane_patch": int(name.split("_")[1])}

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return _side(settings) - 1

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        low = np.float32(window.limits[0])
        size = _side(window.settings)
        taps = line_taps(size)
        _put_kuwahara(planes, window.grey, *window.origin, *window.shape, window.box, low, size // 2, *taps)


def _side(settings: TwsSettings) -> int:
    """The patch's side; an even one becomes odd, as in TWS."""
    return settings.membrane_patch | 1
