"""Gaussian blur and differences of Gaussians in 3D."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws3d.filter import Filter3d
from fijibridge.features.tws3d.gauss3 import gauss3_reach

if TYPE_CHECKING:
    from fijibridge.features.tws.gaussian_derivatives import Triple
    from fijibridge.features.tws3d.settings import Factors, Tws3dSettings
    from fijibridge.features.tws3d.window import Window3d


class GaussianBlur3d(Filter3d):
    """``Gaussian_blur_s``: the volume blurred by a Gaussian of standard deviation s (not 0.4 s, as in 2D)."""

    name = "Gaussian_blur"

    def names(self, settings: Tws3dSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.names`."""
        return (f"Gaussian_blur_{sigma}",)

    def reach(self, settings: Tws3dSettings, sigma: float, factors: Factors) -> Triple:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.reach`."""
        z, y, x = (gauss3_reach(sigma * factor) for factor in factors)
        return z, y, x

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        values[0] = window.blurred(sigma)


class DifferenceOfGaussian3d(GaussianBlur3d):
    """``Difference_of_Gaussian_t_s = G(s) - G(t)`` for each smaller sigma t, G the blurred volume.

    TWS itself waits for ever where there are as many of these features as ImageJ has threads: each holds a thread and
    waits for others to do its blurs.
    """

    name = "Difference_of_Gaussian"

    def names(self, settings: Tws3dSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.names`."""
        return tuple(f"Difference_of_Gaussian_{other}_{sigma}" for other in settings.sigmas if other < sigma)

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        others = (other for other in window.settings.sigmas if other < sigma)
        for one, other in zip(values, others, strict=True):
            np.subtract(window.blurred(sigma), window.blurred(other), out=one)
