"""What a flow solver does to each voxel of a grid of one conductivity; see `fijibridge.metrology.stencils`.

A face between two conducting voxels conducts as its axis alone says, potentials are 0 in insulators, and no
conductances need to be read. Rows are computed as wholes for the processor's vector units.
"""

from __future__ import annotations

import numpy as np

from fijibridge.core.parallel import compiled


@compiled
def diagonal(sigma, ratio, g, d, z0, z1):
    """Sum of the conductances of each voxel.

    Parameters
    ----------
    sigma : np.ndarray
        Float32: conductivity of each voxel.
    ratio : np.ndarray
        (3,): conductance of a face along z, y and x; times the conductivities in `dissipation`.
    g : np.ndarray
        Float32: conductance from each voxel to an electrode.
    d : np.ndarray
        Float32: sum of a voxel's conductances; 0 in insulators.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    _, ny, nx = d.shape
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                if sigma[z, y, x] > 0:
                    d[z, y, x] = (
                        g[z, y, x]
                        + ratio[0] * ((sigma[z + 1, y, x] > 0) + (sigma[z - 1, y, x] > 0))
                        + ratio[1] * ((sigma[z, y + 1, x] > 0) + (sigma[z, y - 1, x] > 0))
                        + ratio[2] * ((sigma[z, y, x + 1] > 0) + (sigma[z, y, x - 1] > 0))
                    )  # fmt: skip


@compiled
def coarsen(ratio, d, g, cz, cy, cx, cg, z0, z1):
    """Conductances of the coarser grid: those of the faces that stay, added up.

    Parameters
    ----------
    ratio : np.ndarray
        (3,): conductance of a face along z, y and x; times the conductivities in `dissipation`.
    d : np.ndarray
        Float32: sum of a voxel's conductances; 0 in insulators.
    g : np.ndarray
        Float32: conductance from each voxel to an electrode.
    cz, cy, cx : np.ndarray
        Float32: conductances of the coarser grid's faces, filled.
    cg : np.ndarray
        Float32: conductances to an electrode of the coarser grid, filled.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    nz, ny, nx = g.shape
    for Z in range(z0, z1):
        for z in range(2 * Z - 1, min(2 * Z + 1, nz - 1)):
            for y in range(1, ny - 1):
                Y = (y + 1) >> 1
                for x in range(1, nx - 1):
                    if d[z, y, x] > 0:
                        X = (x + 1) >> 1
                        cg[Z, Y, X] += g[z, y, x]
                        if (z == 2 * Z or z == nz - 2) and d[z + 1, y, x] > 0:
                            cz[Z, Y, X] += ratio[0]
                        if (y == 2 * Y or y == ny - 2) and d[z, y + 1, x] > 0:
                            cy[Z, Y, X] += ratio[1]
                        if (x == 2 * X or x == nx - 2) and d[z, y, x + 1] > 0:
                            cx[Z, Y, X] += ratio[2]


@compiled
def sweep(ratio, d, b, v, colour, z0, z1):
    """Gauss-Seidel for the voxels of one colour: both of a row are computed, and one is kept.

    Parameters
    ----------
    ratio : np.ndarray
        (3,): conductance of a face along z, y and x; times the conductivities in `dissipation`.
    d : np.ndarray
        Float32: sum of a voxel's conductances; 0 in insulators.
    b : np.ndarray
        Float32: current into each voxel.
    v : np.ndarray
        Potentials.
    colour : int
        0 or 1: parity of z + y + x; in `restrict` also -1, both.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    _, ny, nx = d.shape
    rz, ry, rx = ratio
    row = np.empty(nx, np.float32)
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                here = d[z, y, x]
                value = (
                    b[z, y, x]
                    + rz * (v[z + 1, y, x] + v[z - 1, y, x])
                    + ry * (v[z, y + 1, x] + v[z, y - 1, x])
                    + rx * (v[z, y, x + 1] + v[z, y, x - 1])
                ) / (here if here > 0 else np.float32(1))  # fmt: skip
                row[x] = value if here > 0 else np.float32(0)
            for x in range(1 + (z + y + 1 + colour) % 2, nx - 1, 2):
                v[z, y, x] = row[x]


@compiled
def restrict(ratio, d, b, v, cb, colour, z0, z1):
    """Residuals of one colour, or of all (-1), into the coarser grid.

    The sweep before was of the other colour, whose residuals it made 0, unless colours meet at a periodic seam.

    Parameters
    ----------
    ratio : np.ndarray
        (3,): conductance of a face along z, y and x; times the conductivities in `dissipation`.
    d : np.ndarray
        Float32: sum of a voxel's conductances; 0 in insulators.
    b : np.ndarray
        Float32: current into each voxel.
    v : np.ndarray
        Potentials.
    cb : np.ndarray
        Float32: current into the coarser grid's voxels, filled.
    colour : int
        0 or 1: parity of z + y + x; in `restrict` also -1, both.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    nz, ny, nx = d.shape
    rz, ry, rx = ratio
    row = np.empty(nx, np.float32)
    for Z in range(z0, z1):
        cb[Z] = 0
        for z in range(2 * Z - 1, min(2 * Z + 1, nz - 1)):
            for y in range(1, ny - 1):
                Y = (y + 1) >> 1
                for x in range(1, nx - 1):
                    here = d[z, y, x]
                    value = (
                        b[z, y, x] - here * v[z, y, x]
                        + rz * (v[z + 1, y, x] + v[z - 1, y, x])
                        + ry * (v[z, y + 1, x] + v[z, y - 1, x])
                        + rx * (v[z, y, x + 1] + v[z, y, x - 1])
                    )  # fmt: skip
                    row[x] = value if here > 0 else np.float32(0)
                first, stride = (1, 1) if colour < 0 else (1 + (z + y + 1 + colour) % 2, 2)
                for x in range(first, nx - 1, stride):
                    cb[Z, Y, (x + 1) >> 1] += row[x]


@compiled
def apply(ratio, g, d, p, out, z0, z1):
    """out = A p; returns p . out of these slices. By differences: what leaves one voxel enters the next exactly.

    Parameters
    ----------
    ratio : np.ndarray
        (3,): conductance of a face along z, y and x; times the conductivities in `dissipation`.
    g : np.ndarray
        Float32: conductance from each voxel to an electrode.
    d : np.ndarray
        Float32: sum of a voxel's conductances; 0 in insulators.
    p : np.ndarray
        Float64: direction of the conjugate gradients.
    out : np.ndarray
        Float64, filled.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    _, ny, nx = d.shape
    rz, ry, rx = ratio
    total = 0.0
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                here = p[z, y, x]
                value = (
                    g[z, y, x] * here
                    + (rz if d[z + 1, y, x] > 0 else 0.0) * (here - p[z + 1, y, x])
                    + (rz if d[z - 1, y, x] > 0 else 0.0) * (here - p[z - 1, y, x])
                    + (ry if d[z, y + 1, x] > 0 else 0.0) * (here - p[z, y + 1, x])
                    + (ry if d[z, y - 1, x] > 0 else 0.0) * (here - p[z, y - 1, x])
                    + (rx if d[z, y, x + 1] > 0 else 0.0) * (here - p[z, y, x + 1])
                    + (rx if d[z, y, x - 1] > 0 else 0.0) * (here - p[z, y, x - 1])
                )  # fmt: skip
                out[z, y, x] = value if d[z, y, x] > 0 else 0.0
            for x in range(1, nx - 1):
                total += out[z, y, x] * p[z, y, x]
    return total
