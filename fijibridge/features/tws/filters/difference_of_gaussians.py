"""Differences of Gaussians."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws.blurring import blur_reach
from fijibridge.features.tws.filter import Filter

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class DifferenceOfGaussians(Filter):
    """``Difference_of_gaussians_s_t = G(t) - G(s)`` for each smaller sigma t, G the blurred image."""

    name = "Difference_of_gaussians"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(f"Difference_of_gaussians_{sigma}_{other}" for other in settings.sigmas if other < sigma)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return blur_reach(sigma)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        corner = (window.wide[0], window.wide[2])
        own = window.cut(window.blurred(sigma), corner)
        others = (other for other in window.settings.sigmas if other < sigma)
        for plane, other in zip(planes, others, strict=True):
            np.subtract(window.cut(window.blurred(other), corner), own, out=plane)
