"""Anisotropic diffusion: the image smoothed along its edges, and less across them."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled, compiled_with
from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.float_powers import float_powers

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

ITERATIONS = 20
ALONG = (0.1, 0.35)  # exponents that limit smoothing along an edge
ACROSS = 0.9  # and across it
_STEP = 20.0  # levels of 256 by which the fastest pixel changes, where the standard deviation is 256/6
# Weights of the 3 x 3 gradient, of a corner and of a side (Tschumperle and Deriche 2005)
_CORNER = np.float32(0.25 * (2 - math.sqrt(2)))
_SIDE = np.float32(0.5 * (math.sqrt(2) - 1))


def diffused(
    channels: np.ndarray, smoothings: int, along: float, edge: float, iterations: int = ITERATIONS
) -> np.ndarray:
    """An image after iterations of Tschumperle and Deriche's diffusion, as TWS makes them.

    Parameters
    ----------
    channels : ndarray, float32, shape (C, Y, X)
        One channel, or the three of an RGB image, which share their edges.
    smoothings : int
        Of each iteration; 0 leaves the image as it is.
    along : float
        Exponent that limits smoothing along edges.
    edge : float
        Gradients above this many standard deviations of the image, in 256ths, count as edges.
    iterations : int, optional

    Returns
    -------
    ndarray, float32, shape (C, Y, X)
        Whole numbers: fractions are cut off before and after, as in TWS. An image of one value becomes 0.
    """
    image = _whole(np.array(channels, np.float32, order="C"))
    if smoothings:
        _diffuse(image, iterations, smoothings, np.float32(along), np.float32(ACROSS), np.float32(edge))
    return _whole(image)


def _whole(image: np.ndarray) -> np.ndarray:
    """Without fractions, as Java's 32-bit integers; in place, since images may be large."""
    np.nan_to_num(image, copy=False, nan=0.0)
    np.trunc(image, out=image)
    return np.clip(image, -(2.0**31), 2.0**31, out=image)


@compiled
def _diffuse(image, iterations, smoothings, along, across, edge):
    """All iterations, in place. Float32 and float64 where TWS has them, and its order of operations."""
    channels, height, width = image.shape
    low, high, deviation = _statistics(image)
    drange = np.float64(edge) * deviation / 256.0
    edges = drange * drange
    moved = 6.0 * deviation / 256.0
    tensor = np.empty((3, height, width), np.float32)
    velocity = np.empty((channels, height, width), np.float32)
    for _ in range(iterations):
        _tensor(image, tensor, edges, -np.float64(along), -np.float64(across))
        for _ in range(smoothings):
            fastest = _velocity(image, tensor, velocity)
            step = np.divide(_STEP, np.float64(fastest)) * moved
            for c in range(channels):
                for y in range(height):
                    row, v = image[c, y], velocity[c, y]
                    for x in range(width):
                        new = np.float32(np.float64(row[x]) + np.float64(v[x]) * step)
                        new = low if new < low else new
                        row[x] = high if new > high else new


@compiled
def _statistics(image):
    """Smallest, largest, and standard deviation of all channels; the sum in TWS's order, as its rounding shows."""
    channels, height, width = image.shape
    low = high = image[0, 0, 0]
    total = 0.0
    for x in range(width - 1, -1, -1):
        for y in range(height - 1, -1, -1):
            for c in range(channels - 1, -1, -1):
                v = image[c, y, x]
                low = min(low, v)
                high = max(high, v)
                total += v
    count = np.float64(width * height * channels)
    mean = total / count
    squares = 0.0
    for x in range(width - 1, -1, -1):
        for y in range(height - 1, -1, -1):
            for c in range(channels - 1, -1, -1):
                gap = np.float64(image[c, y, x]) - mean
                squares += gap * gap
    return low, high, math.sqrt(squares / count)


@compiled
def _tensor(image, tensor, edges, along, across):
    """The diffusion tensor of every pixel: xx, xy, yy."""
    channels, height, width = image.shape
    xx, xy, yy = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    smaller, double = np.empty(width, np.float64), np.empty((3, width), np.float64)
    strength, single = np.empty(width, np.float32), np.empty(width, np.float32)
    powers = np.empty((2, width), np.float32)
    for y in range(height):
        xx[:] = 0
        xy[:] = 0
        yy[:] = 0
        for c in range(channels - 1, -1, -1):
            _add_gradients(xx, xy, yy, image[c, max(y - 1, 0)], image[c, y], image[c, min(y + 1, height - 1)])
        _eigenvalues(smaller, strength, xx, xy, yy, edges)
        float_powers(powers, strength, along, across, double, single)
        _put_tensor(tensor[0, y], tensor[1, y], tensor[2, y], xx, xy, smaller, powers[0], powers[1])


# A function for each of these loops, so that the compiler sees few enough arrays to work on several pixels at a time.


@compiled
def _add_gradients(xx, xy, yy, top, row, bottom):
    """The outer product of the gradient of a row, added."""
    width = row.size
    _add_gradient(xx, xy, yy, top, row, bottom, 0, 0, min(1, width - 1))
    for x in range(1, width - 1):
        _add_gradient(xx, xy, yy, top, row, bottom, x, x - 1, x + 1)
    if width > 1:
        _add_gradient(xx, xy, yy, top, row, bottom, width - 1, width - 2, width - 1)


@compiled_with(inline="always")
def _add_gradient(xx, xy, yy, top, row, bottom, x, p, n):
    """That of a pixel, with its left and right neighbours' columns."""
    down = _CORNER * (bottom[n] - top[p])
    up = _CORNER * (bottom[p] - top[n])
    gx = down - up - _SIDE * row[p] + _SIDE * row[n]
    gy = down + up - _SIDE * top[x] + _SIDE * bottom[x]
    xx[x] += gx * gx
    xy[x] += gx * gy
    yy[x] += gy * gy


@compiled
def _eigenvalues(smaller, strength, xx, xy, yy, edges):
    """The smaller eigenvalue, and 1 + both of them in units of an edge's."""
    for x in range(smaller.size):
        a, b, d = np.float64(xx[x]), np.float64(xy[x]), np.float64(yy[x])
        e = a + d
        det = a * d - b * b
        f = np.sqrt(e * e - 4.0 * det)
        small, large = 0.5 * (e - f), 0.5 * (e + f)
        # the larger one out of the determinant and the smaller one, with the smaller one's rounding, as in TWS
        large = np.divide(det, small) if small != 0 else large
        smaller[x] = small
        strength[x] = np.float32(1) + np.float32(np.divide(large, edges)) + np.float32(np.divide(small, edges))


@compiled
def _put_tensor(txx, txy, tyy, xx, xy, smaller, alongs, acrosses):
    """The tensor of a row."""
    for x in range(smaller.size):
        a, b, f1, f2 = np.float64(xx[x]), np.float64(xy[x]), alongs[x], acrosses[x]
        gap = a - smaller[x]
        # an eigenvector (1, (l - a) / b), (-b / (a - l), 1), or (1, 0)
        steep, some = abs(b) > abs(gap), gap != 0
        slope = np.divide(-gap if steep else -b, b if steep else gap)
        u = slope if some and not steep else 1.0
        v = slope if steep else (1.0 if some else 0.0)
        n = np.sqrt(u * u + v * v)
        s, t = np.float32(np.divide(u, n)), np.float32(np.divide(v, n))
        ss, st, tt = s * s, s * t, t * t
        txx[x] = f1 * ss + f2 * tt
        txy[x] = (f1 - f2) * st
        tyy[x] = f1 * tt + f2 * ss


@compiled
def _velocity(image, tensor, velocity):
    """Trace of tensor times Hessian, into velocity; returns the largest modulus."""
    channels, height, width = image.shape
    two, half = np.float32(2), np.float32(0.5)
    most = np.zeros(width, np.float32)
    for c in range(channels):
        for y in range(height):
            top, row, bottom = image[c, max(y - 1, 0)], image[c, y], image[c, min(y + 1, height - 1)]
            txx, txy, tyy, out = tensor[0, y], tensor[1, y], tensor[2, y], velocity[c, y]
            _put_velocity(out, top, row, bottom, txx, txy, tyy, 0, 0, min(1, width - 1))
            for x in range(1, width - 1):
                middle = two * row[x]
                ixx = row[x + 1] + row[x - 1] - middle
                iyy = bottom[x] + top[x] - middle
                ixy = half * (top[x - 1] + bottom[x + 1] - bottom[x - 1] - top[x + 1])
                out[x] = txx[x] * ixx + txy[x] * ixy + tyy[x] * iyy
            _put_velocity(out, top, row, bottom, txx, txy, tyy, width - 1, max(width - 2, 0), width - 1)
            for x in range(width):
                v = abs(out[x])
                most[x] = v if v > most[x] else most[x]
    # in TWS a NaN of the first pixel stays, any other is passed over
    return velocity[0, 0, 0] if math.isnan(velocity[0, 0, 0]) else most.max()


@compiled
def _put_velocity(out, top, row, bottom, txx, txy, tyy, x, p, n):
    """One pixel's, with its left and right neighbours' columns."""
    middle = np.float32(2) * row[x]
    ixx = row[n] + row[p] - middle
    iyy = bottom[x] + top[x] - middle
    ixy = np.float32(0.5) * (top[p] + bottom[n] - bottom[p] - top[n])
    out[x] = txx[x] * ixx + txy[x] * ixy + tyy[x] * iyy


class AnisotropicDiffusion(Filter):
    """``Anisotropic_diffusion_20_n_a_0.9_t``: the image after 20 times n smoothings, n TWS's sigmas without fractions.

    An iteration takes the eigenvalues l, m and eigenvectors of the gradient's outer product and smooths by
    ``I += dt trace(T Hess I)``, ``T = (1 + s)^-a`` along the edge and ``(1 + s)^-0.9`` across it,
    ``s = (l + m) / (t sd / 256)^2``: sd the image's standard deviation, t the thickness of membranes; a is 0.1 and
    0.35. dt lets the fastest pixel change by ``20 * 6 sd / 256`` (Tschumperle and Deriche 2005,
    doi:10.1109/TPAMI.2005.87), so every pixel depends on the whole image.

    As in TWS, grey values are cut to whole numbers before and after: an image of 0..1 is lost. An image of one value
    becomes 0, since TWS divides by its standard deviation. Sigmas below 1 make no smoothing, only that cut; where
    several are, TWS makes the same features of the same name more than once and cannot train: here they come once.
    """

    name = "Anisotropic_diffusion"
    place = "first"
    cuts_sigma = True

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(
            f"Anisotropic_diffusion_{ITERATIONS}_{count}_{along}_{ACROSS}_{float(settings.membrane_thickness)}"
            for count, along in _variants(settings)
        )

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """See :meth:`fijibridge.features.tws.filter.Filter.chosen`."""
        parts = name.split("_")
        return (float(parts[3]),), {"membrane_thickness": round(float(parts[-1]))}

    def reach(self, settings: TwsSettings, sigma: float) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        thickness = float(window.settings.membrane_thickness)
        for plane, (count, along) in zip(planes, _variants(window.settings), strict=True):
            if window.rgb is None:
                plane[:] = window.cut(diffused(window.grey[None], count, along, thickness)[0], window.origin)
            else:
                make = partial(_colours_diffused, smoothings=count, along=along, edge=thickness)
                name = f"diffused {count} {along} {thickness}"
                plane[:] = window.cut(window.of_rgb(name, make)[window.colour], (0, 0))


def _colours_diffused(rgb: np.ndarray, smoothings: int, along: float, edge: float) -> np.ndarray:
    return diffused(np.ascontiguousarray(np.moveaxis(rgb, 2, 0)), smoothings, along, edge)


def _variants(settings: TwsSettings) -> list[tuple[int, float]]:
    """Smoothings and exponents along edges, in TWS's order."""
    return [(count, along) for count in dict.fromkeys(int(sigma) for sigma in settings.sigmas) for along in ALONG]
