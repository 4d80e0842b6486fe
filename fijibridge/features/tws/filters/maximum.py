"""Greatest value in a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.filters.disk import disk_reach, disk_rows, maxima, padded

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class Maximum(Filter):
    """``Maximum_s``: the greatest value in the disk of radius s of ImageJ's `RankFilters`."""

    name = "Maximum"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return (f"Maximum_{sigma}",)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return disk_reach(sigma)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        planes[0] = maxima(padded(window, disk_reach(sigma)), disk_rows(sigma))
