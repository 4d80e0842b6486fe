"""Smooth random fields that are never stored: a lattice of random values, read along rows by cubic B-splines.

A uniform cubic B-spline of normal variates at lattice points is twice continuously differentiable, correlated over
about one lattice step, and has nearly the same variance everywhere. Its values along a row cost four multiplications a
voxel, so that no full-size array is held, and no Fourier transform rounds differently elsewhere.
"""

from __future__ import annotations

import numpy as np

from fijibridge.core.parallel import compiled

_UNIT = 2.13  # brings the variance back to 1: the splines weigh it down by 0.48 an axis, and there are two of them


def lattice(rng: np.random.Generator, shape: tuple[int, int, int], step: float) -> np.ndarray:
    """Random values of a field of unit variance at the points of two lattices.

    The second lattice lies half a step further along each axis, so that the two are body-centred and the field shows
    neither rows nor columns.

    Parameters
    ----------
    rng : np.random.Generator
        Of the values.
    shape : tuple of int
        (Z, Y, X) of the field, voxels.
    step : float
        Distance between points, voxels.

    Returns
    -------
    ndarray (2, A, B, C) float32
    """
    size = [int(n / step + 0.5) + 5 for n in shape]
    return rng.standard_normal((2, *size), dtype=np.float32) * np.float32(_UNIT)


@compiled
def _weights(f, out):
    g = 1.0 - f
    out[0] = g * g * g / 6.0
    out[1] = (4.0 - 6.0 * f * f + 3.0 * f * f * f) / 6.0
    out[2] = (4.0 - 6.0 * g * g + 3.0 * g * g * g) / 6.0
    out[3] = f * f * f / 6.0


@compiled
def noise_row(values, step, z, y, x0, x1, line, out):
    """Evaluate the field along a row.

    Parameters
    ----------
    values, step
        As `lattice` gives and takes them.
    z, y : int
        The row.
    x0, x1 : int
        First voxel, and the one after the last.
    line : ndarray float64
        Scratch memory, at least as long as the lattice is wide.
    out : ndarray float64
        ``out[x]`` receives the field for x0 <= x < x1.
    """
    wz, wy = np.empty(4), np.empty(4)
    sixth, inverse = 1.0 / 6.0, 1.0 / step
    for half in range(2):
        shift = 0.5 * half
        kz, ky = int(z * inverse + shift), int(y * inverse + shift)
        _weights(z * inverse + shift - kz, wz)
        _weights(y * inverse + shift - ky, wy)
        first, last = int(x0 * inverse + shift), int((x1 - 1) * inverse + shift) + 4
        for k in range(first, last):
            line[k] = 0.0
        for a in range(4):
            for b in range(4):
                w = wz[a] * wy[b] * sixth
                for k in range(first, last):
                    line[k] += w * values[half, kz + a, ky + b, k]
        # between two points the spline is one cubic, whose values need no more than three multiplications
        k, start = first, x0
        while start < x1:
            stop = min(x1, max(start + 1, int(np.ceil((k + 1 - shift) * step))))
            c0 = line[k] + 4.0 * line[k + 1] + line[k + 2]
            c1 = 3.0 * (line[k + 2] - line[k])
            c2 = 3.0 * (line[k] - 2.0 * line[k + 1] + line[k + 2])
            c3 = line[k + 3] - line[k] + 3.0 * (line[k + 1] - line[k + 2])
            if half:
                for x in range(start, stop):
                    f = x * inverse + (shift - k)
                    out[x] += c0 + f * (c1 + f * (c2 + f * c3))
            else:
                for x in range(start, stop):
                    f = x * inverse + (shift - k)
                    out[x] = c0 + f * (c1 + f * (c2 + f * c3))
            k, start = k + 1, stop
