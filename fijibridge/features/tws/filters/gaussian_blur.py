"""Gaussian blur."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fijibridge.features.tws.blurring import blur_reach
from fijibridge.features.tws.filter import Filter

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class GaussianBlur(Filter):
    """``Gaussian_blur_s``: the image blurred by a Gaussian of standard deviation 0.4 s pixels."""

    name = "Gaussian_blur"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return (f"Gaussian_blur_{sigma}",)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return blur_reach(sigma)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        planes[0] = window.cut(window.blurred(sigma), (window.wide[0], window.wide[2]))
