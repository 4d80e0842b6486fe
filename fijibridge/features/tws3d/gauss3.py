"""Gaussian blur of volumes as imglib2's ``Gauss3`` makes it: float32 from the left to the right, x, then y, then z."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.gaussian_derivatives import Box3d, Part, Triple, mirrored, trimmed

if TYPE_CHECKING:
    from fijibridge.features.tws3d.settings import Factors

_STRIP = 1024  # columns at a time, so that their sums stay in the cache


def gauss3_reach(sigma: float) -> int:
    """How many voxels ``Gauss3`` looks to either side.

    Parameters
    ----------
    sigma : float
        Standard deviation, in voxels along the axis.
    """
    return max(1, int(3 * sigma + 0.5))


@lru_cache(128)
def gauss3_kernel(sigma: float) -> np.ndarray:
    """``Gauss3``'s kernel: a Gaussian whose tail is a parabola that is 0 at the first voxel outside.

    The tail is ``c (n - k)^2`` with the smallest ``c = g(k) / (n - k)^2`` met from the end inwards, n the length of a
    half kernel.

    Parameters
    ----------
    sigma : float
        Standard deviation, in voxels along the axis.

    Returns
    -------
    ndarray, float32, shape (2 reach + 1,)
        Sums to 1.
    """
    n = gauss3_reach(sigma) + 1
    half = [math.exp(-(k * k) / (2 * (sigma * sigma))) for k in range(n)]
    slope, meets = math.inf, n
    for k in range(n - 1, n // 2 - 1, -1):
        candidate = half[k] / ((n - k) * (n - k))
        if candidate >= slope:
            break
        slope, meets = candidate, k
    for k in range(meets + 1, n):
        half[k] = slope * ((n - k) * (n - k))
    total = 0.5 * half[0]
    for weight in half[1:]:
        total += weight
    scale = 1 / (total * 2)
    one_side = np.array([weight * scale for weight in half])
    return np.concatenate([one_side[:0:-1], one_side]).astype(np.float32)


@compiled
def _along_rows(values, origin, length, kernel, start, stop):
    """Convolve along x in float32, from the left to the right."""
    n, taps = stop - start, kernel.size
    out = np.empty((values.shape[0], values.shape[1], n), np.float32)
    places = np.empty(n + taps - 1, np.int64)
    for i in range(places.size):
        places[i] = mirrored(start - taps // 2 + i, length) - origin
    line = np.empty(places.size, np.float32)
    for z in range(values.shape[0]):
        for y in range(values.shape[1]):
            row, total = values[z, y], out[z, y]
            for i in range(line.size):
                line[i] = row[places[i]]
            total[:] = np.float32(0)
            for k in range(taps):
                tap, part = kernel[k], line[k : k + n]
                for x in range(n):
                    total[x] += part[x] * tap
    return out


@compiled
def _across(values, origin, length, kernel, start, stop):
    """Convolve along the middle axis in float32, from the first to the last."""
    outer, inner, taps = values.shape[0], values.shape[2], kernel.size
    out = np.empty((outer, stop - start, inner), np.float32)
    for o in range(outer):
        for at in range(start, stop):
            for left in range(0, inner, _STRIP):
                right = min(left + _STRIP, inner)
                total = out[o, at - start, left:right]
                total[:] = np.float32(0)
                for k in range(taps):
                    tap = kernel[k]
                    part = values[o, mirrored(at - taps // 2 + k, length) - origin, left:right]
                    for i in range(right - left):
                        total[i] += part[i] * tap
    return out


def blurred(part: Part, shape: Triple, sigmas: Factors, box: Box3d) -> np.ndarray:
    """A box of a volume, blurred along x, then y, then z; the volume is mirrored beyond its border.

    Parameters
    ----------
    part : Part
        With :func:`gauss3_reach` voxels around the box, as far as the volume goes.
    shape : (int, int, int)
        Of the volume. A single slice is not blurred along z: TWS takes it for an image.
    sigmas : (float, float, float)
        Standard deviations along z, y and x, in voxels of the axis.
    box : tuple of int
        z0, z1, y0, y1, x0, x1, in the volume.

    Returns
    -------
    ndarray, float32, shape (d, h, w)
    """
    spans = (box[:2], box[2:4], box[4:])
    for axis, (start, stop) in enumerate(spans):
        part = trimmed(part, axis, start - gauss3_reach(sigmas[axis]), stop + gauss3_reach(sigmas[axis]))
    values, (z, y, x) = part.values, part.origin
    values = _along_rows(values, x, shape[2], gauss3_kernel(sigmas[2]), *spans[2])
    values = _across(values, y, shape[1], gauss3_kernel(sigmas[1]), *spans[1])
    if shape[0] > 1:
        depth, height, width = values.shape
        flat = values.reshape(1, depth, height * width)
        values = _across(flat, z, shape[0], gauss3_kernel(sigmas[0]), *spans[0]).reshape(-1, height, width)
    return values
