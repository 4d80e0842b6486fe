"""Eigenvalues of the Hessian and of the structure tensor in 3D, as ImageScience finds them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.gaussian_derivatives import Part
from fijibridge.features.tws3d.filter import Filter3d
from fijibridge.features.tws3d.window import INTEGRATION_SCALES, derivative_reach, integration_reach

if TYPE_CHECKING:
    from fijibridge.features.tws.gaussian_derivatives import Triple
    from fijibridge.features.tws3d.settings import Factors, Tws3dSettings
    from fijibridge.features.tws3d.window import Window3d

# Of a multiple of the identity ImageScience gives 0. That is right where a volume is flat, for its sampled kernels do
# not sum to exactly 0, but wrong in the middle of a ball: with exact kernels the rule is left out.
_RULES = {"tws": False, "none": False, "isotropic": True}
_RANKS = ("largest", "middle", "smallest")


@compiled
def _put_eigenvalues(out, of_identity, xx, xy, xz, yy, yz, zz):
    """Absolute eigenvalues of symmetric 3x3 matrices, the largest first: roots of the characteristic cubic.

    Those of a multiple of the identity are its own where `of_identity`, else 0.
    """
    turn = 2 * math.pi
    for z in range(xx.shape[0]):
        for y in range(xx.shape[1]):
            for x in range(xx.shape[2]):
                fxx, fxy, fxz = np.float64(xx[z, y, x]), np.float64(xy[z, y, x]), np.float64(xz[z, y, x])
                fyy, fyz, fzz = np.float64(yy[z, y, x]), np.float64(yz[z, y, x]), np.float64(zz[z, y, x])
                a = -(fxx + fyy + fzz)
                b = fxx * fyy + fxx * fzz + fyy * fzz - fxy * fxy - fxz * fxz - fyz * fyz
                c = fxx * (fyz * fyz - fyy * fzz) + fyy * fxz * fxz + fzz * fxy * fxy - 2 * fxy * fxz * fyz
                q = (a * a - 3 * b) / 9
                r = (a * a * a - 4.5 * a * b + 13.5 * c) / 27
                root = math.sqrt(q) if q > 0 else 0.0
                cube = root * root * root
                first = second = third = abs(a / 3) if of_identity else 0.0
                if cube != 0:
                    angle = math.acos(min(max(r / cube, -1.0), 1.0))
                    first = abs(-2 * root * math.cos(angle / 3) - a / 3)
                    second = abs(-2 * root * math.cos((angle + turn) / 3) - a / 3)
                    third = abs(-2 * root * math.cos((angle - turn) / 3) - a / 3)
                low, high = min(first, second), max(first, second)
                out[0, z, y, x] = max(high, third)
                out[1, z, y, x] = max(low, min(high, third))
                out[2, z, y, x] = min(low, third)


class Hessian3d(Filter3d):
    """``Hessian_largest_s_true`` and so on: absolute eigenvalues of the second derivatives of the volume blurred by s.

    "true" is TWS's word for absolute values.
    """

    name = "Hessian"

    def names(self, settings: Tws3dSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.names`."""
        return tuple(f"Hessian_{rank}_{sigma}_true" for rank in _RANKS)

    def reach(self, settings: Tws3dSettings, sigma: float, factors: Factors) -> Triple:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.reach`."""
        return derivative_reach(settings, sigma, factors, 2)

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        xx_to_zz = ((0, 0, 2), (0, 1, 1), (1, 0, 1), (0, 2, 0), (1, 1, 0), (2, 0, 0))
        tensor = (np.ascontiguousarray(window.derivative(sigma, one).cut(window.padded_box)) for one in xx_to_zz)
        _put_eigenvalues(values, _RULES[window.settings.scaling], *tensor)


class Structure3d(Filter3d):
    """``Structure_largest_s_t`` and so on: eigenvalues of the blurred products of first derivatives.

    The derivatives are of the volume blurred by s; the products are blurred by t = 1 and 3 pixels.
    """

    name = "Structure"

    def names(self, settings: Tws3dSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.names`."""
        return tuple(f"Structure_{rank}_{sigma}_{scale}" for scale in INTEGRATION_SCALES for rank in _RANKS)

    def sigmas_in(self, name: str) -> tuple[float, ...]:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.sigmas_in`."""
        return (float(name.split("_")[2]),)  # the other number is the integration's

    def reach(self, settings: Tws3dSettings, sigma: float, factors: Factors) -> Triple:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.reach`."""
        first, then = derivative_reach(settings, sigma, factors, 1), integration_reach(settings, factors)
        return first[0] + then[0], first[1] + then[1], first[2] + then[2]

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        ix, iy, iz = (window.derivative(sigma, orders) for orders in ((0, 0, 1), (0, 1, 0), (1, 0, 0)))
        pairs = ((ix, ix), (ix, iy), (ix, iz), (iy, iy), (iy, iz), (iz, iz))
        products = [Part(one.values * other.values, one.origin) for one, other in pairs]
        for number, scale in enumerate(INTEGRATION_SCALES):
            tensor = (window.integrated(one, scale) for one in products)
            _put_eigenvalues(values[3 * number : 3 * number + 3], _RULES[window.settings.scaling], *tensor)
