"""A matrix-free solver for steady conduction on a voxel grid: conjugate gradients, preconditioned by multigrid.

The unknowns are the potentials of the voxels, the coefficients the conductances of the faces between them. A coarser
grid joins 2 x 2 x 2 voxels to one and adds up the conductances of the faces that stay (Galerkin's product for piecewise
constant interpolation), so that every grid has the same seven-point form. Smoothing is red-black Gauss-Seidel, forwards
before and backwards after the coarser grids, so that the preconditioner is symmetric; coarse corrections are
over-weighted (Braess 1995, Computing 55:379). Arrays have a halo of one empty voxel, so
that kernels need no tests for borders.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.parallel import Workers, compiled

_OVERWEIGHT = 1.6


@compiled
def _conductances(sigma, area_over_length, kz, ky, kx, z0, z1):
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
def _diagonal(kz, ky, kx, g, d, z0, z1):
    _, ny, nx = d.shape
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                d[z, y, x] = (
                    g[z, y, x] + kz[z, y, x] + kz[z - 1, y, x] + ky[z, y, x] + ky[z, y - 1, x]
                    + kx[z, y, x] + kx[z, y, x - 1]
                )  # fmt: skip


@compiled
def _coarsen(kz, ky, kx, g, cz, cy, cx, cg, z0, z1):
    nz, ny, nx = g.shape
    for Z in range(z0, z1):
        for z in range(2 * Z - 1, min(2 * Z + 1, nz - 1)):
            for y in range(1, ny - 1):
                Y = (y + 1) >> 1
                for x in range(1, nx - 1):
                    X = (x + 1) >> 1
                    cg[Z, Y, X] += g[z, y, x]
                    if z == 2 * Z:
                        cz[Z, Y, X] += kz[z, y, x]
                    if y == 2 * Y:
                        cy[Z, Y, X] += ky[z, y, x]
                    if x == 2 * X:
                        cx[Z, Y, X] += kx[z, y, x]


@compiled
def _sweep(kz, ky, kx, d, b, v, colour, z0, z1):
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
def _restrict(kz, ky, kx, d, b, v, cb, z0, z1):
    nz, ny, nx = d.shape
    for Z in range(z0, z1):
        cb[Z] = 0
        for z in range(2 * Z - 1, min(2 * Z + 1, nz - 1)):
            for y in range(1, ny - 1):
                for x in range(1, nx - 1):
                    if d[z, y, x] > 0:
                        cb[Z, (y + 1) >> 1, (x + 1) >> 1] += (
                            b[z, y, x] - d[z, y, x] * v[z, y, x]
                            + kz[z, y, x] * v[z + 1, y, x] + kz[z - 1, y, x] * v[z - 1, y, x]
                            + ky[z, y, x] * v[z, y + 1, x] + ky[z, y - 1, x] * v[z, y - 1, x]
                            + kx[z, y, x] * v[z, y, x + 1] + kx[z, y, x - 1] * v[z, y, x - 1]
                        )  # fmt: skip


@compiled
def _prolong(d, v, cv, weight, z0, z1):
    _, ny, nx = d.shape
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                if d[z, y, x] > 0:
                    v[z, y, x] += weight * cv[(z + 1) >> 1, (y + 1) >> 1, (x + 1) >> 1]


@compiled
def _apply(kz, ky, kx, g, d, p, out, z0, z1):
    """out = A p; returns p . out of these slices. By differences: what leaves one voxel enters the next exactly."""
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
def _step(v, r, p, q, small, alpha, z0, z1):
    """v += alpha p, r -= alpha q, and r in single precision; returns r . r of these slices."""
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
def _dot(r, s, z0, z1):
    _, ny, nx = r.shape
    total = 0.0
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                total += r[z, y, x] * s[z, y, x]
    return total


@compiled
def _direction(p, s, beta, z0, z1):
    _, ny, nx = p.shape
    for z in range(z0, z1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                p[z, y, x] = s[z, y, x] + beta * p[z, y, x]


@dataclass(eq=False)
class _Grid:
    """One level: face conductances, conductance to the electrodes, diagonal, right side and correction."""

    kz: np.ndarray
    ky: np.ndarray
    kx: np.ndarray
    g: np.ndarray
    d: np.ndarray = field(init=False)
    b: np.ndarray = field(init=False)
    v: np.ndarray = field(init=False)

    def finish(self, run: Workers) -> None:
        self.d, self.b, self.v = (np.zeros(self.g.shape, np.float32) for _ in range(3))
        run(_diagonal, *self.faces, self.g, self.d, slices=self.slices, size=self.g.size)

    @property
    def faces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.kz, self.ky, self.kx

    @property
    def slices(self) -> tuple[int, int]:
        return 1, self.g.shape[0] - 1


def _plane(axis: int, place: int) -> tuple[slice | int, ...]:
    """Index of the plane at a place along an axis of (Z, Y, X)."""
    return (*[slice(None)] * axis, place)


def _coarser(grid: _Grid, run: Workers) -> _Grid:
    shape = tuple((size - 2 + 1) // 2 + 2 for size in grid.g.shape)
    coarse = _Grid(*(np.zeros(shape, np.float32) for _ in range(4)))
    run(_coarsen, *grid.faces, grid.g, *coarse.faces, coarse.g, slices=coarse.slices, size=grid.g.size)
    coarse.finish(run)
    return coarse


def _cycle(grids: list[_Grid], level: int, run: Workers) -> None:
    """A W-cycle: grids[level].v becomes about A^-1 b."""
    grid = grids[level]
    slices, size = grid.slices, grid.g.size
    last = level == len(grids) - 1
    for _ in range(8 if last else 1):
        for colour in (0, 1):
            run(_sweep, *grid.faces, grid.d, grid.b, grid.v, colour, slices=slices, size=size)
        if last:
            for colour in (1, 0):
                run(_sweep, *grid.faces, grid.d, grid.b, grid.v, colour, slices=slices, size=size)
    if last:
        return
    coarse = grids[level + 1]
    run(_restrict, *grid.faces, grid.d, grid.b, grid.v, coarse.b, slices=coarse.slices, size=size)
    coarse.v[:] = 0
    # twice below the second grid, where it costs next to nothing
    for _ in range(2 if level else 1):
        _cycle(grids, level + 1, run)
    run(_prolong, grid.d, grid.v, coarse.v, np.float32(_OVERWEIGHT), slices=slices, size=size)
    for colour in (1, 0):
        run(_sweep, *grid.faces, grid.d, grid.b, grid.v, colour, slices=slices, size=size)


@dataclass(frozen=True)
class Conduction:
    """A solved flow.

    Parameters
    ----------
    conductance : float
        Flow for a potential difference of 1 between the two electrodes.
    imbalance : float
        Relative difference between what flows in and out.
    iterations : int
        Iterations of the conjugate gradients.
    """

    conductance: float
    imbalance: float
    iterations: int


def solve_conduction(
    sigma: np.ndarray, axis: int, spacing: tuple[float, float, float], *, tolerance: float = 1e-6, threads: int = 0,
    max_iterations: int = 2000,
) -> Conduction:  # fmt: skip
    """Flow between the two faces of a box at potentials 1 and 0; the other faces are sealed.

    Parameters
    ----------
    sigma : np.ndarray
        (Z, Y, X) float32, conductivity of each voxel; 0 where nothing flows. Each conducting voxel must be connected by
        faces to an electrode.
    axis : int
        From the first face of this axis to its last.
    spacing : tuple of float
        (z, y, x) size of a voxel.
    tolerance : float
        Relative residual at which to stop.
    threads : int
        0: all cores.
    max_iterations : int
        Most iterations of the conjugate gradients.

    Returns
    -------
    Conduction

    Raises
    ------
    SettingsError
        Not converged within `max_iterations`.
    """
    padded = np.zeros(tuple(size + 2 for size in sigma.shape), np.float32)
    padded[1:-1, 1:-1, 1:-1] = sigma
    volume = spacing[0] * spacing[1] * spacing[2]
    # relative to a cube of the box's mean size, so that single precision holds for nanometres and metres alike
    unit = volume ** (1 / 3)
    ratio = np.array([volume / step**2 / unit for step in spacing])
    with Workers(threads) as run:
        fine = _Grid(*(np.zeros(padded.shape, np.float32) for _ in range(4)))
        run(_conductances, padded, ratio, *fine.faces, slices=fine.slices, size=padded.size)
        first, last = (_plane(axis, place) for place in (1, -2))
        fine.g[first] += 2 * ratio[axis] * padded[first]
        fine.g[last] += 2 * ratio[axis] * padded[last]
        source = 2 * ratio[axis] * padded[first].astype(np.float64)
        sink = 2 * ratio[axis] * padded[last].astype(np.float64)
        del padded
        fine.finish(run)
        grids = [fine]
        while max(grids[-1].g.shape) > 6:
            grids.append(_coarser(grids[-1], run))
        v, r, p, q = (np.zeros(fine.g.shape) for _ in range(4))
        r[first] = source
        fine.b[:] = r
        start = float((source**2).sum())
        slices, size = fine.slices, fine.g.size
        rz, iterations = 0.0, 0
        for _ in range(max_iterations):
            iterations += 1
            fine.v[:] = 0
            _cycle(grids, 0, run)
            before, rz = rz, run(_dot, r, fine.v, slices=slices, size=size)
            run(_direction, p, fine.v, rz / before if before else 0.0, slices=slices, size=size)
            alpha = rz / run(_apply, *fine.faces, fine.g, fine.d, p, q, slices=slices, size=size)
            rest = run(_step, v, r, p, q, fine.b, alpha, slices=slices, size=size)
            if rest <= tolerance**2 * start:
                break
        else:
            raise SettingsError(
                f"the flow is not found after {max_iterations} iterations",
                expected="conductivities that differ by less than about 10^6",
                remedy="set conductivities that are next to nothing to 0",
            )
        inflow, outflow = float((source * (1 - v[first])).sum()), float((sink * v[last]).sum())
    return Conduction(inflow * unit, abs(inflow - outflow) / inflow if inflow else 0.0, iterations)
