"""Minimum, maximum, mean and variance within an ellipsoid."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fijibridge.features.tws3d.ellipsoid import ellipsoid_reach, extremes
from fijibridge.features.tws3d.filter import Filter3d

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.tws.gaussian_derivatives import Triple
    from fijibridge.features.tws3d.settings import Factors, Tws3dSettings
    from fijibridge.features.tws3d.window import Window3d


class Mean3d(Filter3d):
    """``Mean_s``: the mean within an ellipsoid of radius s."""

    name = "Mean"

    def names(self, settings: Tws3dSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.names`."""
        return (f"{self.name}_{sigma}",)

    def reach(self, settings: Tws3dSettings, sigma: float, factors: Factors) -> Triple:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.reach`."""
        return ellipsoid_reach(sigma, factors)

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        values[0] = window.moments(sigma)[0]


class Variance3d(Mean3d):
    """``Variance_s``: the sample variance within an ellipsoid of radius s."""

    name = "Variance"

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        values[0] = window.moments(sigma)[1]


class Maximum3d(Mean3d):
    """``Maximum_s``: the largest value within an ellipsoid of radius s."""

    name = "Maximum"
    largest: ClassVar[bool] = True

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        part, rows = window.ellipsoid(sigma)
        values[0] = extremes(part, window.shape, window.box, rows, largest=self.largest)


class Minimum3d(Maximum3d):
    """``Minimum_s``: the smallest value within an ellipsoid of radius s."""

    name = "Minimum"
    largest = False
