"""A matrix-free solver for steady conduction on a voxel grid: conjugate gradients, preconditioned by multigrid.

The unknowns are the potentials of the voxels, the coefficients the conductances of the faces between them. A coarser
grid joins 2 x 2 x 2 voxels to one and adds up the conductances of the faces that stay (Galerkin's product for piecewise
constant interpolation), so that every grid has the same seven-point form. Smoothing is red-black Gauss-Seidel, forwards
before and backwards after the coarser grids, so that the preconditioner is symmetric; coarse corrections are
over-weighted (Braess 1995, Computing 55:379).

What is asked of a flow is its power: with right side b and potentials v it is b . v, and conjugate gradients make it
grow by alpha r . z in each iteration (Hestenes and Stiefel 1952; Strakos and Tichy 2002, ETNA 13:56). The rate at which
these gains fall tells what is still missing, so that it stops where the conductance itself is good enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.parallel import Workers
from fijibridge.metrology import even_stencils, stencils

Kernel = Callable[..., Any]
_OVERWEIGHT = 1.6
_RATE_OVER = 4  # iterations over which the rate of convergence is taken


@dataclass(eq=False)
class _Grid:
    """One level: face conductances, conductance to the electrodes, diagonal, right side and correction.

    Where one conductivity fills the grid, `ratio` says what its faces conduct, and there are no face conductances.
    """

    faces: tuple[np.ndarray, ...]
    g: np.ndarray
    periodic: bool
    ratio: np.ndarray | None = None
    d: np.ndarray = field(init=False)
    b: np.ndarray = field(init=False)
    v: np.ndarray = field(init=False)

    def finish(self, run: Workers, sigma: np.ndarray | None = None) -> None:
        self.d, self.b, self.v = (np.zeros(self.g.shape, np.float32) for _ in range(3))
        if self.ratio is None:
            for axis, face in enumerate(self.faces):
                if self.periodic:  # the face before the first voxel is that behind the last
                    face[_plane(axis, 0)] = face[_plane(axis, -2)]
            run(stencils.diagonal, *self.faces, self.g, self.d, slices=self.slices, size=self.g.size)
        else:
            run(even_stencils.diagonal, sigma, self.ratio, self.g, self.d, slices=self.slices, size=self.g.size)
        self.wrap(self.d)
        # at the seam of an odd number of voxels a colour meets itself
        odd = any(size % 2 and size > 3 for size in self.g.shape)
        self.unswept = -1 if self.periodic and odd else 0

    def wrap(self, values: np.ndarray) -> None:
        """Fill the halo of a periodic grid; an axis of one voxel has no neighbours."""
        if self.periodic:
            wrap(values)

    @property
    def slices(self) -> tuple[int, int]:
        return 1, self.g.shape[0] - 1

    def run(self, run: Workers, general: Kernel, even: Kernel, *arrays: Any, slices: tuple[int, int]) -> float:
        """Run a kernel of this level: that for one conductivity where there is only one."""
        if self.ratio is None:
            return run(general, *self.faces, *arrays, slices=slices, size=self.g.size)
        return run(even, self.ratio, *arrays, slices=slices, size=self.g.size)

    def sweep(self, colour: int, run: Workers) -> None:
        """Make the residuals of one colour 0."""
        self.wrap(self.v)
        self.run(run, stencils.sweep, even_stencils.sweep, self.d, self.b, self.v, colour, slices=self.slices)

    def restrict(self, coarse: _Grid, run: Workers) -> None:
        """The residual, after a sweep of the second colour, as the right side of the coarser grid."""
        self.wrap(self.v)
        arrays = (self.d, self.b, self.v, coarse.b, self.unswept)
        self.run(run, stencils.restrict, even_stencils.restrict, *arrays, slices=coarse.slices)

    def apply(self, p: np.ndarray, out: np.ndarray, run: Workers) -> float:
        """out = A p; returns p . out."""
        self.wrap(p)
        return self.run(run, stencils.apply, even_stencils.apply, self.g, self.d, p, out, slices=self.slices)


def _plane(axis: int, place: int) -> tuple[slice | int, ...]:
    """Index of the plane at a place along an axis of (Z, Y, X)."""
    return (*[slice(None)] * axis, place)


def wrap(values: np.ndarray) -> None:
    """Fill the halo with what is opposite, along axes of more than one voxel."""
    for axis in range(3):
        if values.shape[axis] > 3:
            values[_plane(axis, 0)] = values[_plane(axis, -2)]
            values[_plane(axis, -1)] = values[_plane(axis, 1)]


def _coarser(grid: _Grid, run: Workers) -> _Grid:
    shape = tuple((size - 2 + 1) // 2 + 2 for size in grid.g.shape)
    z, y, x, g = (np.zeros(shape, np.float32) for _ in range(4))
    coarse = _Grid((z, y, x), g, grid.periodic)
    first = () if grid.ratio is None else (grid.d,)
    arrays = (*first, grid.g, *coarse.faces, coarse.g)
    grid.run(run, stencils.coarsen, even_stencils.coarsen, *arrays, slices=coarse.slices)
    for axis in range(3):
        if shape[axis] == 3:
            coarse.faces[axis][:] = 0  # a seam from a voxel to itself
    coarse.finish(run)
    return coarse


def _cycle(grids: list[_Grid], level: int, run: Workers) -> None:
    """A W-cycle: grids[level].v becomes about A^-1 b."""
    grid = grids[level]
    last = level == len(grids) - 1
    for _ in range(8 if last else 1):
        for colour in (0, 1):
            grid.sweep(colour, run)
        if last:
            for colour in (1, 0):
                grid.sweep(colour, run)
    if last:
        return
    coarse = grids[level + 1]
    grid.restrict(coarse, run)
    coarse.v[:] = 0
    # twice below the second grid, where it costs next to nothing
    for _ in range(2 if level else 1):
        _cycle(grids, level + 1, run)
    weight = np.float32(_OVERWEIGHT)
    run(stencils.prolong, grid.d, grid.v, coarse.v, weight, slices=grid.slices, size=grid.g.size)
    for colour in (1, 0):
        grid.sweep(colour, run)


@dataclass(frozen=True, eq=False)
class Solved:
    """Potentials of a flow.

    Parameters
    ----------
    v : np.ndarray
        (Z + 2, Y + 2, X + 2) float64 with its halo.
    power : float
        Right side times potentials, good to second order in the potentials' error.
    iterations : int
        Of the conjugate gradients.
    """

    v: np.ndarray
    power: float
    iterations: int


class Network:
    """The voxels of a volume as a network of resistors, set up once for several flows.

    Conductances are relative to a cube of a voxel's volume, ``unit`` on a side, so that single precision holds for
    nanometres and metres alike: multiplied by ``unit`` they have the unit of conductivity x length.

    Parameters
    ----------
    sigma : np.ndarray
        (Z, Y, X) float32, conductivity of each voxel; 0 where nothing flows.
    spacing : tuple of float
        (z, y, x) size of a voxel.
    run : Workers
        Threads.
    ends : sequence of (axis, side)
        Faces of the box, side 0 or -1, with an electrode half a voxel outside. Without any the potentials are those up
        to a constant.
    periodic : bool
        Whether opposite faces of the box meet.
    """

    def __init__(
        self,
        sigma: np.ndarray,
        spacing: tuple[float, float, float],
        run: Workers,
        *,
        ends: Sequence[tuple[int, int]] = (),
        periodic: bool = False,
    ) -> None:
        self._run = run
        self.sigma = np.zeros(tuple(size + 2 for size in sigma.shape), np.float32)
        self.sigma[1:-1, 1:-1, 1:-1] = sigma
        if periodic:
            wrap(self.sigma)
        volume = spacing[0] * spacing[1] * spacing[2]
        self.unit = volume ** (1 / 3)
        self.ratio = np.array([volume / step**2 / self.unit for step in spacing])
        g = np.zeros(self.sigma.shape, np.float32)
        self.ends = {}
        for axis, side in ends:
            plane = _plane(axis, 1 if side == 0 else -2)
            self.ends[axis, side] = plane, 2 * self.ratio[axis] * self.sigma[plane].astype(np.float64)
            g[plane] += self.ends[axis, side][1].astype(np.float32)
        top = float(sigma.max(initial=0))
        if ((sigma == top) | (sigma == 0)).all():
            fine = _Grid((), g, periodic, (self.ratio * top).astype(np.float32))
            fine.finish(run, self.sigma)
        else:
            z, y, x = (np.zeros(g.shape, np.float32) for _ in range(3))
            fine = _Grid((z, y, x), g, periodic)
            slices = fine.slices
            run(stencils.conductances, self.sigma, self.ratio, *fine.faces, slices=slices, size=g.size)
            fine.finish(run)
        self._grids = [fine]
        while max(self._grids[-1].g.shape) > 6:
            self._grids.append(_coarser(self._grids[-1], run))

    def solve(
        self,
        right: np.ndarray,
        *,
        guess: np.ndarray | None = None,
        offset: float = 0.0,
        floor: float = 0.0,
        tolerance: float = 1e-5,
        max_iterations: int = 2000,
    ) -> Solved:
        """Potentials of the flow that enters the voxels as `right` says.

        Parameters
        ----------
        right : np.ndarray
            (Z + 2, Y + 2, X + 2) float64 with its halo: current into each voxel; it is used up.
        guess : np.ndarray, optional
            Of the same shape; first potentials, 0 in insulators.
        offset : float
            The number that is asked for is the difference between this and the power.
        floor : float
            Below this the number counts as 0.
        tolerance : float
            Estimated relative error of that number at which to stop.
        max_iterations : int
            Most iterations of the conjugate gradients.

        Returns
        -------
        Solved

        Raises
        ------
        SettingsError
            Not converged within `max_iterations`.
        """
        run, grids, fine = self._run, self._grids, self._grids[0]
        slices, size = fine.slices, fine.g.size
        r = right
        v, p, q = (np.zeros(r.shape) for _ in range(3))
        power = 0.0
        if guess is not None:
            v = guess
            fine.apply(v, q, run)
            power = float(np.vdot(r, v))
            r -= q
            power += float(np.vdot(r, v))
        fine.b[:] = r
        gains: list[float] = []
        rz = 0.0
        if not fine.b.any():
            return Solved(v, power, 0)
        for iteration in range(1, max_iterations + 1):
            fine.v[:] = 0
            _cycle(grids, 0, run)
            before, rz = rz, run(stencils.dot, r, fine.v, slices=slices, size=size)
            run(stencils.direction, p, fine.v, rz / before if before else 0.0, slices=slices, size=size)
            curvature = fine.apply(p, q, run)
            if rz <= 0 or curvature <= 0:  # nothing is left but rounding
                return Solved(v, power, iteration)
            alpha = rz / curvature
            rest = run(stencils.step, v, r, p, q, fine.b, alpha, slices=slices, size=size)
            power += alpha * rz
            gains.append(alpha * rz)
            if rest == 0 or _missing(gains) <= tolerance * max(abs(offset - power), floor):
                return Solved(v, power, iteration)
        raise SettingsError(
            f"the flow is not found after {max_iterations} iterations",
            expected="conductivities that differ by less than about 10^6",
            remedy="set conductivities that are next to nothing to 0",
        )


def _missing(gains: list[float]) -> float:
    """What the power still lacks, should its gains fall as they did last, twice over to be safe."""
    lag = min(_RATE_OVER, len(gains) - 1)
    if not lag:
        return np.inf
    rate = min((gains[-1] / gains[-1 - lag]) ** (1 / lag), 0.98)
    return 2 * gains[-1] * rate / (1 - rate)


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
    sigma: np.ndarray, axis: int, spacing: tuple[float, float, float], *, tolerance: float = 1e-5, threads: int = 0,
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
        Relative error of the conductance at which to stop, as estimated.
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
    with Workers(threads) as run:
        network = Network(sigma, spacing, run, ends=((axis, 0), (axis, -1)))
        (first, source), (last, sink) = network.ends.values()
        right = np.zeros(network.sigma.shape)
        right[first] = source
        steps = 1 - (np.arange(-1, sigma.shape[axis] + 1) + 0.5) / sigma.shape[axis]
        guess = np.where(network.sigma > 0, np.expand_dims(steps, [place for place in range(3) if place != axis]), 0.0)
        whole = float(source.sum())
        found = network.solve(right, guess=guess, offset=whole, tolerance=tolerance, max_iterations=max_iterations)
        inflow, outflow = (source * (1 - found.v[first])).sum(), (sink * found.v[last]).sum()
    return Conduction((whole - found.power) * network.unit, float(abs(inflow - outflow) / inflow), found.iterations)
