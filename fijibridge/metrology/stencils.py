"""What a flow solver does to each voxel of a grid: kernels of `fijibridge.metrology.multigrid`.

Arrays have a halo of one voxel, empty or, in a periodic grid, a copy of what is opposite, so that kernels need no tests
for borders. Those of `fijibridge.metrology.even_stencils` are for one conductivity.
"""

from __future__ import annotations

import numpy as np

from fijibridge.core.parallel import compiled


@compiled
def conductances(sigma, area_over_length, kz, ky, kx, z0, z1):
    """Conductances of the faces behind each voxel: two half voxels in series.

    Parameters
    ----------
    sigma : np.ndarray
        Float32: conductivity of each voxel.
    area_over_length : np.ndarray
        (3,) float64: of a face along z, y and x.
    kz, ky, kx : np.ndarray
        Float32: conductances of the faces behind each voxel.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    _, ny, nx = sigma.shape
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                a = sigma[z, y, x]
                if a > 0:
                    b = sigma[z + 1, y, x]
                    kz[z, y, x] = area_over_length[0] * 2 * a * b / (a + b)
                    b = sigma[z, y + 1, x]
                    ky[z, y, x] = area_over_length[1] * 2 * a * b / (a + b)
                    b = sigma[z, y, x + 1]
                    kx[z, y, x] = area_over_length[2] * 2 * a * b / (a + b)


@compiled
def diagonal(kz, ky, kx, g, d, z0, z1):
    """Sum of the conductances of each voxel.

    Parameters
    ----------
    kz, ky, kx : np.ndarray
        Float32: conductances of the faces behind each voxel.
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
                d[z, y, x] = (
                    g[z, y, x] + kz[z, y, x] + kz[z - 1, y, x] + ky[z, y, x] + ky[z, y - 1, x]
                    + kx[z, y, x] + kx[z, y, x - 1]
                )  # fmt: skip


@compiled
def coarsen(kz, ky, kx, g, cz, cy, cx, cg, z0, z1):
    """Conductances of the coarser grid: those of the faces that stay, added up.

    Parameters
    ----------
    kz, ky, kx : np.ndarray
        Float32: conductances of the faces behind each voxel.
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
                    X = (x + 1) >> 1
                    cg[Z, Y, X] += g[z, y, x]
                    if z == 2 * Z or z == nz - 2:  # the last: the seam of a periodic grid
                        cz[Z, Y, X] += kz[z, y, x]
                    if y == 2 * Y or y == ny - 2:  # the last: the seam of a periodic grid
                        cy[Z, Y, X] += ky[z, y, x]
                    if x == 2 * X or x == nx - 2:  # the last: the seam of a periodic grid
                        cx[Z, Y, X] += kx[z, y, x]


@compiled
def sweep(kz, ky, kx, d, b, v, colour, z0, z1):
    """Gauss-Seidel for the voxels of one colour.

    Parameters
    ----------
    kz, ky, kx : np.ndarray
        Float32: conductances of the faces behind each voxel.
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
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1 + (z + y + 1 + colour) % 2, nx - 1, 2):
                if d[z, y, x] > 0:
                    v[z, y, x] = (
                        b[z, y, x]
                        + kz[z, y, x] * v[z + 1, y, x] + kz[z - 1, y, x] * v[z - 1, y, x]
                        + ky[z, y, x] * v[z, y + 1, x] + ky[z, y - 1, x] * v[z, y - 1, x]
                        + kx[z, y, x] * v[z, y, x + 1] + kx[z, y, x - 1] * v[z, y, x - 1]
                    ) / d[z, y, x]  # fmt: skip


@compiled
def restrict(kz, ky, kx, d, b, v, cb, colour, z0, z1):
    """As that of `fijibridge.metrology.even_stencils`.

    Parameters
    ----------
    kz, ky, kx : np.ndarray
        Float32: conductances of the faces behind each voxel.
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
    for Z in range(z0, z1):
        cb[Z] = 0
        for z in range(2 * Z - 1, min(2 * Z + 1, nz - 1)):
            for y in range(1, ny - 1):
                first, stride = (1, 1) if colour < 0 else (1 + (z + y + 1 + colour) % 2, 2)
                for x in range(first, nx - 1, stride):
                    if d[z, y, x] > 0:
                        cb[Z, (y + 1) >> 1, (x + 1) >> 1] += (
                            b[z, y, x] - d[z, y, x] * v[z, y, x]
                            + kz[z, y, x] * v[z + 1, y, x] + kz[z - 1, y, x] * v[z - 1, y, x]
                            + ky[z, y, x] * v[z, y + 1, x] + ky[z, y - 1, x] * v[z, y - 1, x]
                            + kx[z, y, x] * v[z, y, x + 1] + kx[z, y, x - 1] * v[z, y, x - 1]
                        )  # fmt: skip


@compiled
def prolong(d, v, cv, weight, z0, z1):
    """Add the coarser grid's correction.

    Parameters
    ----------
    d : np.ndarray
        Float32: sum of a voxel's conductances; 0 in insulators.
    v : np.ndarray
        Potentials.
    cv : np.ndarray
        Float32: potentials of the coarser grid.
    weight : float
        Of the correction.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    _, ny, nx = d.shape
    for z in range(z0, z1):
        Z = (z + 1) >> 1
        for y in range(1, ny - 1):
            Y = (y + 1) >> 1
            for x in range(1, nx - 1):
                v[z, y, x] += weight * cv[Z, Y, (x + 1) >> 1] if d[z, y, x] > 0 else np.float32(0)


@compiled
def apply(kz, ky, kx, g, d, p, out, z0, z1):
    """out = A p; returns p . out of these slices. By differences: what leaves one voxel enters the next exactly.

    Parameters
    ----------
    kz, ky, kx : np.ndarray
        Float32: conductances of the faces behind each voxel.
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
    total = 0.0
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                if d[z, y, x] > 0:
                    here = p[z, y, x]
                    value = (
                        g[z, y, x] * here
                        + kz[z, y, x] * (here - p[z + 1, y, x]) + kz[z - 1, y, x] * (here - p[z - 1, y, x])
                        + ky[z, y, x] * (here - p[z, y + 1, x]) + ky[z, y - 1, x] * (here - p[z, y - 1, x])
                        + kx[z, y, x] * (here - p[z, y, x + 1]) + kx[z, y, x - 1] * (here - p[z, y, x - 1])
                    )  # fmt: skip
                    out[z, y, x] = value
                    total += value * p[z, y, x]
    return total


@compiled
def step(v, r, p, q, small, alpha, z0, z1):
    """v += alpha p, r -= alpha q, and r in single precision; returns r . r of these slices.

    Parameters
    ----------
    v : np.ndarray
        Potentials.
    r : np.ndarray
        Float64: residual.
    p : np.ndarray
        Float64: direction of the conjugate gradients.
    q : np.ndarray
        Float64: operator applied to p.
    small : np.ndarray
        Float32: residual in single precision, filled.
    alpha : float
        Length of the step.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    _, ny, nx = v.shape
    total = 0.0
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                v[z, y, x] += alpha * p[z, y, x]
                rest = r[z, y, x] - alpha * q[z, y, x]
                r[z, y, x] = rest
                small[z, y, x] = rest
                total += rest * rest
    return total


@compiled
def dot(r, s, z0, z1):
    """Scalar product of two fields in these slices.

    Parameters
    ----------
    r : np.ndarray
        Float64: residual.
    s : np.ndarray
        Float32: preconditioned residual.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    _, ny, nx = r.shape
    total = 0.0
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                total += r[z, y, x] * s[z, y, x]
    return total


@compiled
def direction(p, s, beta, z0, z1):
    """p = s + beta p.

    Parameters
    ----------
    p : np.ndarray
        Float64: direction of the conjugate gradients.
    s : np.ndarray
        Float32: preconditioned residual.
    beta : float
        Share of the last direction.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    _, ny, nx = p.shape
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                p[z, y, x] = s[z, y, x] + beta * p[z, y, x]


@compiled
def dissipation(sigma, ratio, u, w, along_u, along_w, z0, z1):
    """Sum over the faces behind the voxels of these slices: conductance x drop of one flow x drop of the other.

    A flow's drop over a face is what its potentials (with their halo) fall, and its load along that axis.

    Parameters
    ----------
    sigma : np.ndarray
        Float32: conductivity of each voxel.
    ratio : np.ndarray
        (3,): conductance of a face along z, y and x; times the conductivities in `dissipation`.
    u, w : np.ndarray
        Float64: potentials of the one flow.
    along_u, along_w : np.ndarray
        (3,) float64: loads along z, y and x.
    z0, z1 : int
        First slice, and the one behind the last, of the coarser grid where there are two.
    """
    _, ny, nx = u.shape
    total = 0.0
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                a = sigma[z, y, x]
                if a > 0:
                    for axis in range(3):
                        Z, Y, X = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                        b = sigma[Z, Y, X]
                        if b > 0:
                            total += (
                                ratio[axis] * 2 * a * b / (a + b)
                                * (u[z, y, x] - u[Z, Y, X] + along_u[axis])
                                * (w[z, y, x] - w[Z, Y, X] + along_w[axis])
                            )  # fmt: skip
    return total
