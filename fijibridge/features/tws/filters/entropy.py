"""Entropy of the grey values in a disk."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.eight_bit import as_bytes
from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.filters.disk import moves

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

_LEVELS = (32, 64, 128, 256)
_UNIT = 2.0**40  # h log2 h in whole parts of this: their sum is exact in any order, below 2^63 up to radius 256


def _radius(sigma: float) -> int:
    """TWS's whole number for a sigma."""
    return int(np.float32(sigma))


@lru_cache(64)
def entropy_rows(radius: int) -> np.ndarray:
    """Half widths of the rows of an oval selection of ImageJ, 2 radius + 1 pixels across, from its middle downwards.

    Parameters
    ----------
    radius : int

    Returns
    -------
    int64 (radius + 1,)
    """
    square = radius * radius + radius  # (radius + 1/2)^2, as whole numbers meet it
    return np.array([math.isqrt(square - y * y) for y in range(radius + 1)], np.int64)


@lru_cache(64)
def _h_log_h(most: int) -> np.ndarray:
    """``h log2 h`` for h = 0 .. most, in parts of 1 / _UNIT; int64."""
    h = np.arange(most + 1, dtype=np.float64)
    return np.rint(h * np.log2(np.maximum(h, 1)) * _UNIT).astype(np.int64)


@compiled
def _put_entropies(out, codes, rows, logs, unit):
    """Entropies of the codes below 32, 64, 128 and 256 in disks; code 256 is outside the image.

    The histogram follows the disk along a row to the right and along the next one back.
    """
    _, h, w = out.shape
    r = rows.size - 1
    stride = codes.shape[1]
    flat = codes.ravel()
    leaving, entering = moves(rows, stride)
    histogram = np.zeros(257, np.int64)
    group = np.empty(257, np.int64)
    for code in range(257):
        group[code] = 0 if code < 32 else 1 if code < 64 else 2 if code < 128 else 3 if code < 256 else 4
    number = np.zeros(5, np.int64)
    total = np.zeros(5, np.int64)
    middle = r * stride + r
    for i in range(-r, r + 1):
        for j in range(-rows[abs(i)], rows[abs(i)] + 1):
            histogram[flat[middle + i * stride + j]] += 1
    for code in range(257):
        number[group[code]] += histogram[code]
        total[group[code]] += logs[histogram[code]]
    for y in range(h):
        for step in range(w):
            if y > 0 or step > 0:
                way = 2 if step == 0 else y % 2
                for i in range(2 * r + 1):
                    gone = flat[middle + leaving[way, i]]
                    come = flat[middle + entering[way, i]]
                    if gone == come:
                        continue
                    n = histogram[gone]
                    histogram[gone] = n - 1
                    number[group[gone]] -= 1
                    total[group[gone]] -= logs[n] - logs[n - 1]
                    n = histogram[come]
                    histogram[come] = n + 1
                    number[group[come]] += 1
                    total[group[come]] += logs[n + 1] - logs[n]
                middle += stride if way == 2 else 1 - 2 * way
            x = w - 1 - step if y % 2 else step
            count = parts = 0
            for level in range(4):
                count += number[level]
                parts += total[level]
                out[level, y, x] = (logs[count] - parts) / (count * unit) if count > 0 else 0.0


class Entropy(Filter):
    """``Entropy_s_n = -sum p log2 p``, p the shares of grey values in a disk of radius s, in pixels cut to whole ones.

    The image is made 8-bit between its least and greatest value first. Of these 256 values TWS looks at the first n
    alone, whatever the number of bins says; p are shares of the pixels that have them, and pixels outside the image
    are left out.
    """

    name = "Entropy"
    cuts_sigma = True

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(f"Entropy_{_radius(sigma)}_{levels}" for levels in _LEVELS)

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """See :meth:`fijibridge.features.tws.filter.Filter.chosen`."""
        return (float(int(name.split("_")[1])),), {}

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return _radius(sigma)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        radius = _radius(sigma)
        (y0, y1, x0, x1), (top, left) = window.box, window.origin
        codes = window.kept("bytes", lambda: as_bytes(window.grey, window.limits))
        around = np.full((y1 - y0 + 2 * radius, x1 - x0 + 2 * radius), 256, np.int16)
        height, width = window.shape
        a, b, c, d = max(0, y0 - radius), min(height, y1 + radius), max(0, x0 - radius), min(width, x1 + radius)
        around[a - y0 + radius : b - y0 + radius, c - x0 + radius : d - x0 + radius] = codes[
            a - top : b - top, c - left : d - left
        ]
        rows = entropy_rows(radius)
        _put_entropies(planes, around, rows, _h_log_h(int((2 * radius + 1) ** 2) + 1), _UNIT)
