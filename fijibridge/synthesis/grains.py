"""Crystal grains: a Laguerre tessellation of jittered seeds, and numbers for its cells.

Seeds lie one in each cell of a cubic lattice, anywhere in it, with random weights, so that grains differ in size more
than those of a Voronoi tessellation do (Laguerre tessellations for polycrystals: Lautensack 2008, J. Appl. Stat. 35).
"""

from __future__ import annotations

import numpy as np

from fijibridge.core.parallel import Workers, compiled

_NUMBERS = 65535  # of uint16, without 0
_BLOCK = 4  # side of blocks of voxels that share a list of near seeds


def seeds(rng: np.random.Generator, shape: tuple[int, int, int], cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw the seeds of a tessellation over a volume and around it.

    Parameters
    ----------
    rng : np.random.Generator
        Of the draw.
    shape : tuple of int
        (Z, Y, X) of the volume, voxels.
    cell : float
        Side of the lattice's cells, each with one seed, voxels.

    Returns
    -------
    points : ndarray (A, B, C, 3) float64
        Positions, voxels.
    weights : ndarray (A, B, C) float64
        Weights, voxels squared.
    """
    size = [int(n / cell) + 3 for n in shape]  # one cell more on either side
    corners = np.stack(np.meshgrid(*(np.arange(n) - 1.0 for n in size), indexing="ij"), axis=-1)
    points = (corners + rng.uniform(0, 1, (*size, 3))) * cell
    return points, rng.uniform(0, 0.5, size) * cell**2


@compiled
def nearest_two(points, weights, cell, z, y, x, out):
    """Find the two seeds nearest to a point, by power distance.

    Parameters
    ----------
    points, weights, cell
        As `seeds` gives and takes them.
    z, y, x : float
        The point, voxels.
    out : ndarray (8,) float64
        Receives: index of the nearest in the raveled lattice, distance to the face between the two, position of the
        nearest (3), position of the second (3).
    """
    nz, ny, nx = weights.shape
    cz, cy, cx = int(z / cell) + 1, int(y / cell) + 1, int(x / cell) + 1
    best, good = np.inf, np.inf
    first, second = 0, 0
    for a in range(cz - 1, min(cz + 2, nz)):
        for b in range(cy - 1, min(cy + 2, ny)):
            for c in range(cx - 1, min(cx + 2, nx)):
                q = (
                    (points[a, b, c, 0] - z) ** 2 + (points[a, b, c, 1] - y) ** 2 + (points[a, b, c, 2] - x) ** 2
                    - weights[a, b, c]
                )  # fmt: skip
                if q < best:
                    good, second = best, first
                    best, first = q, (a * ny + b) * nx + c
                elif q < good:
                    good, second = q, (a * ny + b) * nx + c
    a, b, c = first // (ny * nx), first // nx % ny, first % nx
    d, e, f = second // (ny * nx), second // nx % ny, second % nx
    gap = 0.0
    for k in range(3):
        out[2 + k] = points[a, b, c, k]
        out[5 + k] = points[d, e, f, k]
        gap += (points[a, b, c, k] - points[d, e, f, k]) ** 2
    out[0] = first
    out[1] = (good - best) / (2.0 * np.sqrt(max(gap, 1e-12)))


@compiled
def _tessellate(points, weights, cell, labels, phase, out, z0, z1):
    """out = raveled index of the nearest seed, for voxels of one phase; ``z0`` and ``z1`` count blocks of slices."""
    nz, ny, nx = labels.shape
    az, ay, ax = weights.shape
    block = _BLOCK if cell >= 8.0 else 2 if cell >= 4.0 else 1
    near = np.empty(27, np.int64)
    value, square, place = np.empty(27), np.empty(27), np.empty((27, 4))
    slack = 2.0 * 0.5 * (block - 1) * np.sqrt(3.0)
    top = min(nz, z1 * _BLOCK)
    for bz in range(z0 * _BLOCK, top, block):
        for by in range(0, ny, block):
            for bx in range(0, nx, block):
                ez, ey, ex = min(bz + block, top), min(by + block, ny), min(bx + block, nx)
                wanted = False
                for z in range(bz, ez):
                    for y in range(by, ey):
                        for x in range(bx, ex):
                            wanted |= labels[z, y, x] == phase
                if not wanted:
                    continue
                mz, my, mx = bz + 0.5 * block, by + 0.5 * block, bx + 0.5 * block
                cz, cy, cx = int(mz / cell) + 1, int(my / cell) + 1, int(mx / cell) + 1
                # candidates are the seeds not much further from the block's middle than the nearest one
                best, bound = np.inf, 0.0
                n = 0
                for a in range(cz - 1, min(cz + 2, az)):
                    for b in range(cy - 1, min(cy + 2, ay)):
                        for c in range(cx - 1, min(cx + 2, ax)):
                            u, v, w = points[a, b, c, 0] - mz, points[a, b, c, 1] - my, points[a, b, c, 2] - mx
                            square[n] = u * u + v * v + w * w
                            value[n] = square[n] - weights[a, b, c]
                            near[n] = (a * ay + b) * ax + c
                            place[n, 0], place[n, 1], place[n, 2] = points[a, b, c]
                            place[n, 3] = weights[a, b, c]
                            if value[n] < best:
                                best, bound = value[n], square[n]
                            n += 1
                # between the middle and a corner the power of a seed at distance d changes by up to d * slack
                kept = 0
                for k in range(n):
                    if value[k] - best <= slack * (np.sqrt(square[k]) + np.sqrt(bound)):
                        near[kept] = near[k]
                        place[kept] = place[k]
                        kept += 1
                for z in range(bz, ez):
                    for y in range(by, ey):
                        for x in range(bx, ex):
                            if labels[z, y, x] != phase:
                                continue
                            found = near[0]
                            if kept > 1:
                                best = np.inf
                                for k in range(kept):
                                    u, v, w = place[k, 0] - z - 0.5, place[k, 1] - y - 0.5, place[k, 2] - x - 0.5
                                    q = u * u + v * v + w * w - place[k, 3]
                                    if q < best:
                                        best, found = q, near[k]
                            out[z, y, x] = found


@compiled
def _number(labels, seed, particles, used, table, out):
    """Number the grains in the order of their first voxels; a grain of the CAM is a seed's cell inside one particle."""
    mask = np.int64(len(table) - 1)
    number = np.int64(0)
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            last, its = np.int64(-1), np.int64(0)
            for x in range(labels.shape[2]):
                phase = labels[z, y, x]
                if phase == 1:
                    key = np.int64(seed[z, y, x]) * 65536 + 1
                elif phase == 2:
                    key = (np.int64(seed[z, y, x]) * 65536 + np.int64(particles[z, y, x])) * 2 + (np.int64(1) << 50)
                else:
                    out[z, y, x] = 0
                    continue
                if key != last:
                    slot = (key ^ (key >> 17) ^ (key >> 31)) * 0x9E3779B1 & mask
                    while table[slot] != 0 and table[slot] != key:
                        slot = (slot + 1) & mask
                    if table[slot] == 0:
                        if number * 2 > mask:
                            return -1
                        table[slot] = key
                        number += 1
                        used[slot] = number
                    last, its = key, used[slot]
                out[z, y, x] = (its - 1) % _NUMBERS + 1
    return number


def make_grains(
    labels: np.ndarray,
    particles: np.ndarray,
    ise_size: float,
    cam_size: float,
    seed: int,
    run: Workers,
) -> np.ndarray:
    """Number of the crystal grain of each voxel.

    Parameters
    ----------
    labels, particles : ndarray (Z, Y, X)
        Phases (1 ISE, 2 CAM) and numbers of the CAM particles.
    ise_size, cam_size : float
        Sizes of grains, voxels; ``cam_size`` 0: each particle is one crystal.
    seed : int
        Of the structure.
    run : Workers
        Threads.

    Returns
    -------
    ndarray (Z, Y, X) uint16
        0 outside ISE and CAM. Numbers are reused after 65535 grains, by then far away.
    """
    found = np.zeros(labels.shape, np.int32)
    for tag, phase, size in ((5, 1, ise_size), (4, 2, cam_size)):
        if size > 0:
            points, weights = seeds(np.random.default_rng([seed, tag]), labels.shape, size)
            blocks = -(-labels.shape[0] // _BLOCK)
            run(_tessellate, points, weights, size, labels, phase, found, slices=(0, blocks), size=labels.size)
    out = np.empty(labels.shape, np.uint16)
    room = 1 << 16
    while _number(labels, found, particles, np.zeros(room, np.int64), np.zeros(room, np.int64), out) < 0:
        room *= 4  # the hash table was too small
    return out
