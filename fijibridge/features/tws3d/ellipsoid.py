"""Numbers of the voxels within an ellipsoid, as ImageJ's ``Filters3D`` makes them.

The ellipsoid about a voxel has the radii ``sigma factor`` and holds its surface; voxels beyond the volume do not count.
It is made of rows along x: a row's sum (or minimum) over ``x - w .. x + w`` grows with w, and each row of the
ellipsoid takes it at its own w.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.gaussian_derivatives import Box3d, Part, Triple

if TYPE_CHECKING:
    from fijibridge.features.tws3d.settings import Factors


def ellipsoid_reach(sigma: float, factors: Factors) -> Triple:
    """How far an ellipsoid reaches along z, y and x, in whole voxels.

    Parameters
    ----------
    sigma : float
        Its radius along x.
    factors : (float, float, float)
    """
    z, y, x = (int(most) for most in ellipsoid_rows(sigma, factors).max(axis=0))
    return z, y, x


@lru_cache(128)
def ellipsoid_rows(sigma: float, factors: Factors) -> np.ndarray:
    """The rows of ``Filters3D``'s ellipsoid.

    Parameters
    ----------
    sigma : float
        Its radius along x, in pixels.
    factors : (float, float, float)
        Of the radius along z, y and x.

    Returns
    -------
    ndarray, int64, shape (rows, 3)
        dz, dy, and how far the row reaches to either side of its middle; sorted by the last.
    """
    radii = [np.float32(sigma * factor) for factor in factors]
    wz, wy, wx = (1.0 / float(radius * radius) for radius in radii)
    rz, ry, rx = (math.ceil(float(radius)) for radius in radii)
    rows = []
    for dz in range(-rz, rz + 1):
        for dy in range(-ry, ry + 1):
            inside = [dx for dx in range(rx + 1) if dx * dx * wx + dy * dy * wy + dz * dz * wz <= 1.0]
            if inside:
                rows.append((dz, dy, max(inside)))
    return np.array(sorted(rows, key=lambda row: row[2]), np.int64)


@compiled
def _count(volume, rows, z, y, x):
    """Voxels of the ellipsoid that are in the volume."""
    depth, height, width = volume
    found = 0
    for i in range(rows.shape[0]):
        if 0 <= z + rows[i, 0] < depth and 0 <= y + rows[i, 1] < height:
            found += min(x + rows[i, 2], width - 1) - max(x - rows[i, 2], 0) + 1
    return found


@compiled
def _row_counts(volume, rows, z, y, x0, counts):
    """As `_count`, for a row of voxels."""
    width = volume[2]
    most = rows[-1, 2]
    inner = 0
    for x in range(x0, x0 + counts.size):
        if most <= x < width - most:
            if inner == 0:
                inner = _count(volume, rows, z, y, x)
            counts[x - x0] = inner
        else:
            counts[x - x0] = _count(volume, rows, z, y, x)


@compiled
def _row_sums(values, width, ox, x0, n, reach, square):
    """Rows in float64 with zeros beyond the volume, for x0 - reach .. x0 + n + reach."""
    out = np.zeros((values.shape[0], values.shape[1], n + 2 * reach), np.float64)
    for z in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(max(x0 - reach, 0), min(x0 + n + reach, width)):
                v = values[z, y, x - ox]
                out[z, y, x - x0 + reach] = v * v if square else v
    return out


@compiled
def _ellipsoid_sums(values, origin, volume, box, rows, square):
    """Sums within the ellipsoid, of the values or of their squares in float32; float64 (d, h, w)."""
    z0, z1, y0, y1, x0, x1 = box
    oz, oy, ox = origin
    n, reach = x1 - x0, rows[-1, 2]
    lines = _row_sums(values, volume[2], ox, x0, n, reach, square)
    runs = np.zeros((lines.shape[0], lines.shape[1], n), np.float64)
    out = np.zeros((z1 - z0, y1 - y0, n), np.float64)
    first = 0
    for w in range(reach + 1):
        for z in range(lines.shape[0]):
            for y in range(lines.shape[1]):
                run, line = runs[z, y], lines[z, y]
                left, right = line[reach - w : reach - w + n], line[reach + w : reach + w + n]
                if w == 0:
                    for x in range(n):
                        run[x] = left[x]
                else:
                    for x in range(n):
                        run[x] += left[x] + right[x]
        last = first
        while last < rows.shape[0] and rows[last, 2] == w:
            last += 1
        for z in range(z0, z1):
            for y in range(y0, y1):
                total = out[z - z0, y - y0]
                for i in range(first, last):
                    zz, yy = z + rows[i, 0], y + rows[i, 1]
                    if 0 <= zz < volume[0] and 0 <= yy < volume[1]:
                        run = runs[zz - oz, yy - oy]
                        for x in range(n):
                            total[x] += run[x]
        first = last
    return out


@compiled
def _mean(sums, box, volume, rows):
    out = np.empty(sums.shape, np.float32)
    counts = np.empty(sums.shape[2], np.int64)
    for z in range(sums.shape[0]):
        for y in range(sums.shape[1]):
            _row_counts(volume, rows, box[0] + z, box[2] + y, box[4], counts)
            for x in range(sums.shape[2]):
                out[z, y, x] = sums[z, y, x] / counts[x]
    return out


@compiled
def _variance(sums, squares, box, volume, rows):
    out = np.zeros(sums.shape, np.float32)
    counts = np.empty(sums.shape[2], np.int64)
    for z in range(sums.shape[0]):
        for y in range(sums.shape[1]):
            _row_counts(volume, rows, box[0] + z, box[2] + y, box[4], counts)
            for x in range(sums.shape[2]):
                if counts[x] > 1:
                    s = sums[z, y, x]
                    out[z, y, x] = (squares[z, y, x] - s * s / counts[x]) / (counts[x] - 1)
    return out


@compiled
def _extremes(values, origin, volume, box, rows, sign):
    """The largest ``sign * value`` within the ellipsoid, times sign; float32 (d, h, w)."""
    z0, z1, y0, y1, x0, x1 = box
    oz, oy, ox = origin
    n, reach = x1 - x0, rows[-1, 2]
    lines = np.full((values.shape[0], values.shape[1], n + 2 * reach), -np.float32(np.inf), np.float32)
    for z in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(max(x0 - reach, 0), min(x1 + reach, volume[2])):
                lines[z, y, x - x0 + reach] = sign * values[z, y, x - ox]
    runs = lines[:, :, reach : reach + n].copy()
    out = np.full((z1 - z0, y1 - y0, n), -np.float32(np.inf), np.float32)
    first = 0
    for w in range(reach + 1):
        for z in range(lines.shape[0]):
            for y in range(lines.shape[1]):
                run, line = runs[z, y], lines[z, y]
                left, right = line[reach - w : reach - w + n], line[reach + w : reach + w + n]
                for x in range(n):
                    run[x] = max(run[x], max(left[x], right[x]))
        last = first
        while last < rows.shape[0] and rows[last, 2] == w:
            last += 1
        for z in range(z0, z1):
            for y in range(y0, y1):
                best = out[z - z0, y - y0]
                for i in range(first, last):
                    zz, yy = z + rows[i, 0], y + rows[i, 1]
                    if 0 <= zz < volume[0] and 0 <= yy < volume[1]:
                        run = runs[zz - oz, yy - oy]
                        for x in range(n):
                            best[x] = max(best[x], run[x])
        first = last
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(n):
                out[z, y, x] *= sign
    return out


def mean_and_variance(
    part: Part, shape: Triple, box: Box3d, rows: np.ndarray, *, variance: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance within the ellipsoid.

    Parameters
    ----------
    part : Part
        With the ellipsoid's reach around the box.
    shape : (int, int, int)
        Of the volume.
    box : tuple of int
        In the volume.
    rows : ndarray
        Of :func:`ellipsoid_rows`.
    variance : bool
        Whether the variance is wanted; else it is nowhere filled in.

    Returns
    -------
    mean, variance : ndarray, float32, shape (d, h, w)
        The variance is that of a sample, divided by the count less one; 0 of a single voxel.
    """
    sums = _ellipsoid_sums(part.values, part.origin, shape, box, rows, False)
    mean: np.ndarray = _mean(sums, box, shape, rows)
    if not variance:
        return mean, np.empty_like(mean)
    squares = _ellipsoid_sums(part.values, part.origin, shape, box, rows, True)
    return mean, _variance(sums, squares, box, shape, rows)


def extremes(part: Part, shape: Triple, box: Box3d, rows: np.ndarray, *, largest: bool) -> np.ndarray:
    """The largest or smallest value within the ellipsoid; float32 (d, h, w).

    Parameters
    ----------
    part, shape, box, rows
        As of :func:`mean_and_variance`.
    largest : bool
    """
    found: np.ndarray = _extremes(part.values, part.origin, shape, box, rows, np.float32(1 if largest else -1))
    return found
