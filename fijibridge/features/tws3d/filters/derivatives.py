"""Derivatives of high order, Laplacian and edges in 3D, as ImageScience makes them.

A slice is repeated before the first and behind the last one, as TWS does; that volume is mirrored at its border. The
kernels are those of :mod:`fijibridge.features.tws.gaussian_derivatives`: sampled ones, or exact ones per pixel along x
where the scaling is isotropic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws3d.filter import Filter3d
from fijibridge.features.tws3d.window import derivative_reach

if TYPE_CHECKING:
    from fijibridge.features.tws.gaussian_derivatives import Triple
    from fijibridge.features.tws3d.settings import Factors, Tws3dSettings
    from fijibridge.features.tws3d.window import Window3d

ORDERS = (1, 2, 3, 4, 5)


class Derivatives3d(Filter3d):
    """``Derivatives_n_n_n_s = d^n/dx^n d^n/dy^n d^n/dz^n G``, n from 1 to 5, G blurred by a Gaussian of s."""

    name = "Derivatives"

    def names(self, settings: Tws3dSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.names`."""
        return tuple(f"Derivatives_{order}_{order}_{order}_{sigma}" for order in ORDERS)

    def reach(self, settings: Tws3dSettings, sigma: float, factors: Factors) -> Triple:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.reach`."""
        return derivative_reach(settings, sigma, factors, max(ORDERS))

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        for one, order in zip(values, ORDERS, strict=True):
            one[:] = window.derivative(sigma, (order, order, order)).cut(window.padded_box)


class Laplacian3d(Filter3d):
    """``Laplacian_s``: the sum of the second derivatives along z, y and x of the volume blurred by s."""

    name = "Laplacian"

    def names(self, settings: Tws3dSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.names`."""
        return (f"Laplacian_{sigma}",)

    def reach(self, settings: Tws3dSettings, sigma: float, factors: Factors) -> Triple:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.reach`."""
        return derivative_reach(settings, sigma, factors, 2)

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        zz, yy, xx = (
            window.derivative(sigma, orders).cut(window.padded_box) for orders in ((2, 0, 0), (0, 2, 0), (0, 0, 2))
        )
        np.add(zz, yy, out=values[0])
        values[0] += xx


class Edges3d(Filter3d):
    """``Edges_s``: the modulus of the gradient of the volume blurred by s."""

    name = "Edges"

    def names(self, settings: Tws3dSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.names`."""
        return (f"Edges_{sigma}",)

    def reach(self, settings: Tws3dSettings, sigma: float, factors: Factors) -> Triple:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.reach`."""
        return derivative_reach(settings, sigma, factors, 1)

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        squares = np.zeros(values.shape[1:], np.float64)
        for orders in ((0, 0, 1), (0, 1, 0), (1, 0, 0)):
            slope = window.derivative(sigma, orders).cut(window.padded_box).astype(np.float64)
            squares += slope * slope
        values[0] = np.sqrt(squares)
