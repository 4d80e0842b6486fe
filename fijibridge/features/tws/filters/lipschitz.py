"""Lipschitz: what stands out below the lowest cone-covered surface above the image, of five slopes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.eight_bit import as_bytes
from fijibridge.features.tws.filter import Filter

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

SLOPES = (5, 10, 15, 20, 25)


@compiled
def cover(surface, straight, diagonal):
    """Raise an image to its upper Lipschitz cover, in place, by a pass down and a pass up.

    Parameters
    ----------
    surface : ndarray, int32, shape (h, w)
    straight, diagonal : int
        How much a neighbour in the row or column, or at a corner, may be higher.
    """
    height, width = surface.shape
    for y in range(height):
        row = surface[y]
        if y == 0:
            # the row above the image is the first row itself, not yet covered
            for x in range(width - 1):
                row[x] = max(row[x], row[x + 1] - diagonal)
        else:
            above = surface[y - 1]
            for x in range(width):
                row[x] = max(row[x], above[x] - straight)
            for x in range(1, width):
                row[x] = max(row[x], above[x - 1] - diagonal)
            for x in range(width - 1):
                row[x] = max(row[x], above[x + 1] - diagonal)
        for x in range(1, width):
            row[x] = max(row[x], row[x - 1] - straight)
    for y in range(height - 1, -1, -1):
        row = surface[y]
        if y == height - 1:
            for x in range(width - 1, 0, -1):
                row[x] = max(row[x], row[x - 1] - diagonal)
        else:
            below = surface[y + 1]
            for x in range(width):
                row[x] = max(row[x], below[x] - straight)
            for x in range(width - 1):
                row[x] = max(row[x], below[x + 1] - diagonal)
            for x in range(1, width):
                row[x] = max(row[x], below[x - 1] - diagonal)
        for x in range(width - 2, -1, -1):
            row[x] = max(row[x], row[x + 1] - straight)


class Lipschitz(Filter):
    """``Lipschitz_true_true_s = 255 - (C - B)``, B the image in 8 bits, C its upper Lipschitz cover of slope s.

    C is the lowest surface not below B of which neighbours in a row or column differ by s at most, and those at a
    corner by ``floor(s sqrt(2))``, as two passes of a 3 x 3 chamfer find it.
    8 bits are the whole image's range stretched to 0..255. Valleys are dark, all else is 255.
    """

    name = "Lipschitz"
    place = "first"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(f"Lipschitz_true_true_{slope}.0" for slope in SLOPES)

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """See :meth:`fijibridge.features.tws.filter.Filter.chosen`."""
        return (), {}  # its numbers are always the same

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return _reach(SLOPES[0])

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        (y0, y1, x0, x1), (height, width), (top, left) = window.box, window.shape, window.origin
        levels = as_bytes(window.grey, window.limits).astype(np.int32)
        for plane, slope in zip(planes, SLOPES, strict=True):
            # a steeper cone is narrower, so less of the surroundings is needed
            reach = _reach(slope)
            ya, xa = max(0, y0 - reach), max(0, x0 - reach)
            image = levels[ya - top : min(height, y1 + reach) - top, xa - left : min(width, x1 + reach) - left]
            surface = np.array(image, order="C")
            cover(surface, slope, int(slope * math.sqrt(2)))
            np.subtract(image, surface, out=surface)
            plane[:] = window.cut(surface, (ya, xa))
            plane += 255


def _reach(slope: int) -> int:
    """How far the brightest pixel, 255, raises a black one."""
    return 254 // slope
