"""Variance of a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.filters.disk import disk_reach, disk_rows, disk_size, sums

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class Variance(Filter):
    """``Variance_s = (sum v^2 - (sum v)^2 / n) / n`` over the disk of radius s of ImageJ's `RankFilters`, n its pixels.

    Not below 0; sums in float64. Where grey values are no whole numbers and their mean is thousands of times their
    spread, that difference keeps few digits, here as in ImageJ.
    """

    name = "Variance"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return (f"Variance_{sigma}",)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return disk_reach(sigma)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        count = disk_size(disk_rows(sigma))
        first, second = sums(window, sigma, 1), sums(window, sigma, 2)
        planes[0] = (second - first * first / count) / count
        np.maximum(planes[0], 0, out=planes[0])
