"""Least value in a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.filters.disk import disk_reach, disk_rows, maxima, padded

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class Minimum(Filter):
    """``Minimum_s``: the least value in the disk of radius s of ImageJ's `RankFilters`."""

    name = "Minimum"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return (f"Minimum_{sigma}",)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return disk_reach(sigma)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        np.negative(maxima(-padded(window, disk_reach(sigma)), disk_rows(sigma)), out=planes[0])
