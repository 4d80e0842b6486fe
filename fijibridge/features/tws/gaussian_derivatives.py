"""Derivatives of Gaussians as ImageScience makes them: sampled kernels, one axis after the other, mirrored borders.

Source of what is computed: Meijering's ImageScience (``Differentiator``), which TWS's Derivatives, Laplacian and
Structure call, in 3D also its Hessian and Edges. A half kernel has ``int(scale r) + 1`` taps, at most as many as the
image has pixels along the axis, with r = 3 for smoothing, 4 for orders 1 and 2, 5 beyond; smoothing is normalised,
derivatives are sampled and left as they are. Sums are in float64, the image between two axes is float32.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fijibridge.core.parallel import compiled

Triple = tuple[int, int, int]
Box3d = tuple[int, int, int, int, int, int]  # z0, z1, y0, y1, x0, x1

_STRIP = 1024  # columns at a time, so that their sums stay in the cache
_LEAST_SCALE = 0.5  # a narrower Gaussian has no weight left on the taps that a derivative needs
# Polynomials of k / scale in front of the Gaussian, the highest power first, as far as TWS goes.
_HERMITE = {
    0: (1.0,),
    1: (1.0, 0.0),
    2: (1.0, 0.0, -1.0),
    3: (1.0, 0.0, -3.0, 0.0),
    4: (1.0, 0.0, -6.0, 0.0, 3.0),
    5: (1.0, 0.0, -10.0, 0.0, 15.0, 0.0),
}


class Part(NamedTuple):
    """A box of a volume; an image is a volume of one plane.

    Parameters
    ----------
    values : ndarray, float32, shape (d, h, w)
        C-contiguous.
    origin : (int, int, int)
        Plane, row and column of the volume at which it begins.
    """

    values: np.ndarray
    origin: Triple

    def cut(self, box: Box3d) -> np.ndarray:
        """A box of the volume out of it, a view.

        Parameters
        ----------
        box : tuple of int
            z0, z1, y0, y1, x0, x1, in the volume.
        """
        z, y, x = self.origin
        return self.values[box[0] - z : box[1] - z, box[2] - y : box[3] - y, box[4] - x : box[5] - x]


def kernel_reach(scale: float, order: int, *, exact: bool = False) -> int:
    """How many pixels a kernel looks to either side, on an axis that is long enough.

    Parameters
    ----------
    scale : float
        Standard deviation of the Gaussian, in pixels.
    order : int
        Of the derivative; 0: smoothing.
    exact : bool
        Of :func:`exact_kernel`, not of :func:`sampled_kernel`.
    """
    if exact and order:
        return max(kernel_reach(max(scale, _LEAST_SCALE), order), (order + 1) // 2)
    return int(scale * (3 if order == 0 else 4 if order <= 2 else 5))


@lru_cache(512)
def sampled_kernel(scale: float, order: int, length: int) -> np.ndarray:
    """ImageScience's half kernel: the derivative of a Gaussian at whole pixels.

    Parameters
    ----------
    scale : float
        Standard deviation, in pixels.
    order : int
        0 to 5.
    length : int
        Of the image along the axis; the kernel has no more taps.

    Returns
    -------
    ndarray, float64, shape (taps,)
        The weight of the pixel before, at distance k; that of the pixel behind is the same, its negative for odd
        orders. All zero where a single tap is left of a derivative.
    """
    taps = min(kernel_reach(scale, order) + 1, length)
    if taps == 1:
        return np.array([1.0 if order == 0 else 0.0])
    distance = np.arange(taps)
    narrow = -0.5 * (1 / (scale * scale))
    gauss = np.array([math.exp(k * k * narrow) for k in range(taps)])
    if order == 0:
        return gauss / (2.0 * math.fsum(gauss) - gauss[0])
    size = 1 / (math.sqrt(2 * math.pi) * scale) / scale**order
    kernel: np.ndarray = (-1) ** order * size * np.polyval(_HERMITE[order], distance / scale) * gauss
    return kernel


@lru_cache(512)
def exact_kernel(scale: float, order: int) -> np.ndarray:
    """A half kernel whose derivative of a polynomial of degree `order` is exact, however coarse the pixels are.

    A sampled derivative fades where the Gaussian is narrower than a pixel: of a ramp it gives 2% at a scale of a
    quarter. Here the Gaussian, sampled where the other kernel is, is multiplied with the polynomial of degree `order`
    that makes the moments right: ``sum w_k k^m = 0`` for ``m < order``, ``(-1)^order order!`` for ``m = order``.

    Parameters
    ----------
    scale : float
        Standard deviation, in pixels; from 0.5, smaller ones are as 0.5 (smoothing: as they are).
    order : int
        0 to 5.

    Returns
    -------
    ndarray, float64
        As of :func:`sampled_kernel`.
    """
    if order == 0:
        return sampled_kernel(scale, 0, kernel_reach(scale, 0) + 1)
    reach = kernel_reach(scale, order, exact=True)
    scale = max(scale, _LEAST_SCALE)
    unit = np.arange(-reach, reach + 1) / scale
    gauss = np.exp(-0.5 * unit * unit)
    powers = range(order % 2, order + 1, 2)
    moments = np.array([[float(np.sum(gauss * unit ** (a + b))) for b in powers] for a in powers])
    wanted = np.zeros(len(powers))
    wanted[-1] = (-1) ** order * math.factorial(order) / scale**order
    weights = np.linalg.solve(moments, wanted)
    kernel: np.ndarray = gauss * sum(c * unit**power for c, power in zip(weights, powers, strict=True))
    return kernel[reach:].copy()


@compiled
def mirrored(at, length):
    """Where a place beyond the border is seen: the border pixel itself is not repeated.

    Parameters
    ----------
    at, length : int
        Along an axis, and how long that is.
    """
    if length == 1:
        return 0
    period = 2 * length - 2
    at = abs(at) % period
    return period - at if at >= length else at


@compiled
def _along_rows(values, origin, length, taps, sign, start, stop):
    """Convolve along x. float32 (d, h, stop - start)."""
    reach = taps.size - 1
    n = stop - start
    out = np.empty((values.shape[0], values.shape[1], n), np.float32)
    places = np.empty(n + 2 * reach, np.int64)
    for i in range(places.size):
        places[i] = mirrored(start - reach + i, length) - origin
    line = np.empty(places.size, np.float64)
    total = np.empty(n, np.float64)
    for z in range(values.shape[0]):
        for y in range(values.shape[1]):
            row = values[z, y]
            for i in range(line.size):
                line[i] = row[places[i]]
            for x in range(n):
                total[x] = line[x + reach] * taps[0]
            for k in range(1, reach + 1):
                tap = taps[k]
                before, behind = line[reach - k : reach - k + n], line[reach + k : reach + k + n]
                for x in range(n):
                    total[x] += (before[x] + sign * behind[x]) * tap
            for x in range(n):
                out[z, y, x] = total[x]
    return out


@compiled
def _across(values, origin, length, taps, sign, start, stop):
    """Convolve along the middle axis. float32 (outer, stop - start, inner)."""
    outer, inner = values.shape[0], values.shape[2]
    out = np.empty((outer, stop - start, inner), np.float32)
    total = np.empty(min(inner, _STRIP), np.float64)
    for o in range(outer):
        for at in range(start, stop):
            for left in range(0, inner, _STRIP):
                n = min(_STRIP, inner - left)
                centre = values[o, at - origin, left : left + n]
                for i in range(n):
                    total[i] = centre[i] * taps[0]
                for k in range(1, taps.size):
                    tap = taps[k]
                    before = values[o, mirrored(at - k, length) - origin, left : left + n]
                    behind = values[o, mirrored(at + k, length) - origin, left : left + n]
                    for i in range(n):
                        total[i] += (np.float64(before[i]) + sign * np.float64(behind[i])) * tap
                for i in range(n):
                    out[o, at - start, left + i] = total[i]
    return out


def convolved(part: Part, shape: Triple, axis: int, taps: np.ndarray, odd: bool, span: tuple[int, int]) -> Part:
    """Convolve along one axis.

    Parameters
    ----------
    part : Part
        With as many pixels around the span as the kernel reaches, as far as the volume goes.
    shape : (int, int, int)
        Of the volume, beyond which it is mirrored; its border pixels are not repeated.
    axis : int
        0: z, 1: y, 2: x.
    taps : ndarray, float64
        Half kernel.
    odd : bool
        Whether the other half is its negative.
    span : (int, int)
        What is wanted along the axis, in the volume.

    Returns
    -------
    Part
        Of the span along the axis, of all of `part` along the others.
    """
    values, at = part.values, part.origin[axis]
    rest = (at, shape[axis], taps, -1.0 if odd else 1.0, *span)
    if axis == 2:
        out = _along_rows(values, *rest)
    elif axis == 1:
        out = _across(values, *rest)
    else:
        depth, height, width = values.shape
        out = _across(values.reshape(1, depth, height * width), *rest).reshape(-1, height, width)
    origin = (*part.origin[:axis], span[0], *part.origin[axis + 1 :])
    return Part(out, (origin[0], origin[1], origin[2]))


def trimmed(part: Part, axis: int, low: int, high: int) -> Part:
    """A part without what lies outside a span along an axis; C-contiguous.

    Parameters
    ----------
    part : Part
    axis : int
    low, high : int
        In the volume.
    """
    at = part.origin[axis]
    low, high = max(low, at), min(high, at + part.values.shape[axis])
    if (low, high) == (at, at + part.values.shape[axis]):
        return part
    cut = [slice(None)] * 3
    cut[axis] = slice(low - at, high - at)
    origin = (*part.origin[:axis], low, *part.origin[axis + 1 :])
    return Part(np.ascontiguousarray(part.values[tuple(cut)]), (origin[0], origin[1], origin[2]))


def image_derivative(
    part: Part, shape: Triple, scale: float, orders: tuple[int, int], span: tuple[int, int, int, int]
) -> Part:
    """A derivative of a blurred image, ImageScience's.

    Parameters
    ----------
    part : Part
        Of one plane.
    shape : (int, int, int)
        1 and the image's height and width.
    scale : float
        Standard deviation of the Gaussian, in pixels.
    orders : (int, int)
        Along y and x; 0: smoothing. Along an axis of one pixel any other derivative is 0.
    span : (int, int, int, int)
        y0, y1, x0, x1 of what is wanted, in the image.

    Returns
    -------
    Part
    """
    y0, y1, x0, x1 = span
    across = sampled_kernel(scale, orders[0], shape[1])
    part = trimmed(part, 1, y0 - len(across) + 1, y1 + len(across) - 1)
    part = convolved(part, shape, 2, sampled_kernel(scale, orders[1], shape[2]), orders[1] % 2 == 1, (x0, x1))
    return convolved(part, shape, 1, across, orders[0] % 2 == 1, (y0, y1))
