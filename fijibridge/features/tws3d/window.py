"""A block of a volume with its surroundings, and what several 3D filters need of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws.gaussian_derivatives import (
    Box3d,
    Part,
    Triple,
    convolved,
    exact_kernel,
    kernel_reach,
    sampled_kernel,
    trimmed,
)
from fijibridge.features.tws3d.ellipsoid import ellipsoid_reach, ellipsoid_rows, mean_and_variance
from fijibridge.features.tws3d.gauss3 import blurred

if TYPE_CHECKING:
    from fijibridge.features.tws3d.settings import Factors, Tws3dSettings

_PAD = 1  # slices before the first and behind the last that TWS repeats for derivatives
INTEGRATION_SCALES = (1.0, 3.0)  # TWS's for the structure tensor


def integration_reach(settings: Tws3dSettings, factors: Factors) -> Triple:
    """How far the blur of the structure tensor looks along z, y and x; nowhere without a structure tensor.

    Parameters
    ----------
    settings : Tws3dSettings
    factors : (float, float, float)
    """
    if "Structure" not in settings.filters:
        return 0, 0, 0
    z, y, x = (kernel_reach(max(INTEGRATION_SCALES) * factor, 0) for factor in factors)
    return z, y, x


def derivative_reach(settings: Tws3dSettings, sigma: float, factors: Factors, order: int) -> Triple:
    """How far derivatives up to an order look along z, y and x.

    Parameters
    ----------
    settings : Tws3dSettings
    sigma : float
    factors : (float, float, float)
    order : int
    """
    exact = settings.scaling == "isotropic"
    z, y, x = (kernel_reach(sigma * factor, order, exact=exact) for factor in factors)
    return z, y, x


class Window3d:
    """A block of a volume and the voxels around it.

    Parameters
    ----------
    part : Part
        The block with its surroundings.
    shape : (int, int, int)
        Of the volume, in voxels.
    box : (int, int, int, int, int, int)
        z0, z1, y0, y1, x0, x1 of the block, in the volume.
    settings : Tws3dSettings
    factors : (float, float, float)
        Of sigma along z, y and x.
    """

    def __init__(self, part: Part, shape: Triple, box: Box3d, settings: Tws3dSettings, factors: Factors) -> None:
        self.part, self.shape, self.box, self.settings, self.factors = part, shape, box, settings, factors
        self._blurred: dict[float, np.ndarray] = {}
        self._moments: dict[float, tuple[np.ndarray, np.ndarray]] = {}
        self._derived: dict[tuple[float, tuple[int, ...]], Part] = {}
        self._padded: Part | None = None

    def forget(self) -> None:
        """Let go of what was kept for the filters of one sigma."""
        self._moments.clear()
        self._derived.clear()

    def around(self, reach: Triple) -> Part:
        """The block with some voxels around it, as far as the volume goes.

        Parameters
        ----------
        reach : (int, int, int)
            Voxels along z, y and x.
        """
        part = self.part
        for axis, by in enumerate(reach):
            part = trimmed(part, axis, self.box[2 * axis] - by, self.box[2 * axis + 1] + by)
        return part

    def blurred(self, sigma: float) -> np.ndarray:
        """The block, blurred by TWS's 3D Gaussian; float32 (d, h, w).

        Parameters
        ----------
        sigma : float
        """
        if sigma not in self._blurred:
            z, y, x = (sigma * factor for factor in self.factors)
            self._blurred[sigma] = blurred(self.part, self.shape, (z, y, x), self.box)
        return self._blurred[sigma]

    def ellipsoid(self, sigma: float) -> tuple[Part, np.ndarray]:
        """The voxels that ellipsoids about those of the block hold, and the ellipsoid's rows.

        Parameters
        ----------
        sigma : float
            Its radius along x.
        """
        return self.around(ellipsoid_reach(sigma, self.factors)), ellipsoid_rows(sigma, self.factors)

    def moments(self, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance within an ellipsoid about each voxel of the block; float32 (d, h, w).

        Parameters
        ----------
        sigma : float
            Its radius along x.
        """
        if sigma not in self._moments:
            part, rows = self.ellipsoid(sigma)
            variance = "Variance" in self.settings.filters
            self._moments[sigma] = mean_and_variance(part, self.shape, self.box, rows, variance=variance)
        return self._moments[sigma]

    # --- derivatives, in the volume with a slice repeated at either end -------------------------------------------

    @property
    def padded_shape(self) -> Triple:
        """Of the volume with the repeated slices, where :meth:`derivative` and :attr:`padded_box` are."""
        depth, height, width = self.shape
        return depth + 2 * _PAD, height, width

    @property
    def padded_box(self) -> Box3d:
        """The block in the volume with the repeated slices."""
        return self.box[0] + _PAD, self.box[1] + _PAD, *self.box[2:]

    def wide(self, margin: Triple) -> Box3d:
        """The block and some voxels around it in the volume with the repeated slices, as far as that goes.

        Parameters
        ----------
        margin : (int, int, int)
            Along z, y and x.
        """
        low = [max(self.padded_box[2 * axis] - by, 0) for axis, by in enumerate(margin)]
        high = [
            min(self.padded_box[2 * axis + 1] + by, size)
            for axis, (by, size) in enumerate(zip(margin, self.padded_shape, strict=True))
        ]
        return low[0], high[0], low[1], high[1], low[2], high[2]

    def _with_pad(self) -> Part:
        """The part with the repeated slices, where it comes to the first or the last slice."""
        if self._padded is None:
            first, count = self.part.origin[0], len(self.part.values)
            before, behind = first == 0, first + count == self.shape[0]
            values = np.pad(self.part.values, ((before, behind), (0, 0), (0, 0)), "edge")
            self._padded = Part(values, (first + _PAD - before, *self.part.origin[1:]))
        return self._padded

    def kernel(self, scale: float, axis: int, order: int) -> np.ndarray:
        """The half kernel of a derivative along an axis.

        Parameters
        ----------
        scale : float
            In pixels along x.
        axis, order : int
        """
        factor = self.factors[axis]
        if self.settings.scaling == "isotropic":
            return exact_kernel(scale * factor, order) * factor**order
        return sampled_kernel(scale * factor, order, self.padded_shape[axis])

    def derivative(self, sigma: float, orders: Triple) -> Part:
        """A derivative of the blurred volume, at least in the block.

        First derivatives are made as far around the block as the structure tensor's blur looks.

        Parameters
        ----------
        sigma : float
            Standard deviation of the Gaussian, in pixels along x.
        orders : (int, int, int)
            Along z, y and x.
        """
        return self._derived_along(sigma, orders[::-1])

    def _derived_along(self, sigma: float, orders: tuple[int, ...]) -> Part:
        """Derivatives along x, y, z in this order, which is ImageScience's: orders are of x, (y, (z))."""
        if not orders:
            return self._with_pad()
        key = (sigma, orders)
        if key in self._derived:
            return self._derived[key]
        part = self._derived_along(sigma, orders[:-1])
        axis = 3 - len(orders)
        margin = integration_reach(self.settings, self.factors) if sum(orders) <= 1 else (0, 0, 0)
        box = self.wide(margin)
        for other in {0, 1, 2} - {axis}:
            # axes still to come need what their kernels look at
            by = self._looks(sigma, other, max(orders)) if other < axis else 0
            part = trimmed(part, other, box[2 * other] - by, box[2 * other + 1] + by)
        span = box[2 * axis], box[2 * axis + 1]
        taps = self.kernel(sigma, axis, orders[-1])
        made = convolved(part, self.padded_shape, axis, taps, orders[-1] % 2 == 1, span)
        self._derived[key] = made
        return made

    def _looks(self, sigma: float, axis: int, order: int) -> int:
        """How far derivatives look along an axis, where one of an order along another axis was made already."""
        return derivative_reach(self.settings, sigma, self.factors, 5 if order > 2 else 2)[axis]

    def integrated(self, part: Part, scale: float) -> np.ndarray:
        """A part blurred over the block; float32 (d, h, w).

        Parameters
        ----------
        part : Part
            Of the volume with the repeated slices, with the integration's reach around the block.
        scale : float
            Standard deviation, in pixels along x.
        """
        box = self.padded_box
        for axis in (2, 1, 0):
            taps = self.kernel(scale, axis, 0)
            part = convolved(part, self.padded_shape, axis, taps, False, (box[2 * axis], box[2 * axis + 1]))
        return part.values
