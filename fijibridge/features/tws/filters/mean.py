"""Mean of a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.filters.disk import disk_reach, disk_rows, disk_size, sums

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class Mean(Filter):
    """``Mean_s``: the mean of the disk of radius s of ImageJ's `RankFilters`; edge pixels go on beyond the edge."""

    name = "Mean"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return (f"Mean_{sigma}",)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return disk_reach(sigma)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        planes[0] = sums(window, sigma, 1) / disk_size(disk_rows(sigma))
