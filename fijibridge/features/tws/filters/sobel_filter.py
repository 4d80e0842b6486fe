"""Sobel filter: the modulus of the gradient of the blurred image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws.blurring import blur_reach
from fijibridge.features.tws.filter import Filter

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class SobelFilter(Filter):
    """``Sobel_filter_s = sqrt((S_r G)^2 + (S_c G)^2)``, G the blurred image, S the 3x3 Sobel correlations."""

    name = "Sobel_filter"
    at_zero = True

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return (f"Sobel_filter_{sigma}",)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return blur_reach(sigma) + 1

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        *both, box = window.gradient(sigma)
        down, across = (window.cut(part, (box[0], box[2])) for part in both)
        np.sqrt(down * down + across * across, out=planes[0])
