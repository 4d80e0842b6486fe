"""Bilateral: means over pixels that are near both in place and in brightness."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.eight_bit import as_bytes
from fijibridge.features.tws.filter import Filter

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

RADII = (5, 10)  # pixels
RANGES = (50, 100)  # levels of 255


def bilateral_kernel(radius: int) -> np.ndarray:
    """A Gaussian of standard deviation ``0.4 (radius + 1)``, cut at `radius`, of sum 1, in single precision.

    Parameters
    ----------
    radius : int

    Returns
    -------
    ndarray, float32, shape (2 * radius + 1,)
    """
    distance = np.arange(-radius, radius + 1) / (2.0 * (radius + 1)) / 0.2
    kernel = np.exp(-0.5 * distance * distance).astype(np.float32)
    total = np.add.accumulate(kernel)[-1]  # one after the other, as float32 sums depend on the order
    return kernel / total if total != 1 else kernel


@lru_cache(1)
def _weights() -> np.ndarray:
    """Weights of differences of brightness 0..255, float32 (2, 256)."""
    table = np.zeros((len(RANGES), 256), np.float32)
    for row, radius in zip(table, RANGES, strict=True):
        row[: radius + 1] = bilateral_kernel(radius)[radius:]
    return table


@compiled
def _means(levels, spatial, weights, planes):
    """Weighted means, truncated, of a part with its surroundings; in the order of sums that TWS has, in float32."""
    count, height, width = planes.shape
    side = spatial.size
    r = side // 2
    sums = np.empty((count, width), np.float32)
    totals = np.empty((count, width), np.float32)
    gaps = np.empty(width, np.uint8)
    for y in range(height):
        sums[:] = 0
        totals[:] = 0
        centre = levels[y + r, r : r + width]
        for n in range(side):
            for m in range(side):
                near = spatial[m] * spatial[n]
                line = levels[y + n, m : m + width]
                for x in range(width):
                    gaps[x] = abs(np.int32(line[x]) - np.int32(centre[x]))
                for i in range(count):
                    table, v, t = weights[i], sums[i], totals[i]
                    for x in range(width):
                        w = near * table[gaps[x]]
                        v[x] += np.float32(line[x]) * w
                        t[x] += w
        for i in range(count):
            for x in range(width):
                planes[i, y, x] = np.int32(sums[i, x] / totals[i, x])


class Bilateral(Filter):
    """``Bilateral_r_g``: the mean of the pixels around, weighted by Gaussians of distance and of brightness.

    ``floor(sum w v / sum w)``, ``w = G_r(dy) G_r(dx) G_g(v - v0)`` over ``|dy|, |dx| <= r`` pixels and
    ``|v - v0| <= g`` (Tomasi and Manduchi 1998, doi:10.1109/ICCV.1998.710815), v the image in 8 bits: the whole
    image's range stretched to 0..255. Beyond the image's edge is black, as in TWS.
    """

    name = "Bilateral"
    place = "first"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(f"Bilateral_{radius}.0_{level}.0" for radius in RADII for level in RANGES)

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """See :meth:`fijibridge.features.tws.filter.Filter.chosen`."""
        return (), {}  # its numbers are always the same

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return max(RADII)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        (y0, y1, x0, x1), (height, width), (top, left) = window.box, window.shape, window.origin
        for i, r in enumerate(RADII):
            levels = np.zeros((y1 - y0 + 2 * r, x1 - x0 + 2 * r), np.uint8)
            ya, yb, xa, xb = max(0, y0 - r), min(height, y1 + r), max(0, x0 - r), min(width, x1 + r)
            part = window.grey[ya - top : yb - top, xa - left : xb - left]
            levels[ya - y0 + r : yb - y0 + r, xa - x0 + r : xb - x0 + r] = as_bytes(part, window.limits)
            each = len(RANGES)
            _means(levels, bilateral_kernel(r), _weights(), planes[each * i : each * (i + 1)])
