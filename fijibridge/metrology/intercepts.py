"""Interface areas from intercepts: how often steps of a few voxels lead from one phase into another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.phases.phases import OUTSIDE, PhaseSource

_REACH = 2  # voxels along an axis
_LONGEST = 6  # squared length of a step in voxels: 40 of them in 3D, 10 in 2D
_FLATTEST = 8  # flatter voxels are treated as of this ratio
_ROUNDED = 0.5 - 1e-6  # whatever the unit, 1.5 is rounded in the same way
_NORMALS = 100  # directions of planes that the weights are to be right for
_AXES = 0.1  # weight of each axis in these beside all other directions together: layers often lie along one
_RIDGE = 1e-5  # keeps weights small where several sets of them are right


@dataclass(frozen=True, eq=False)
class Intercepts:
    """Interface areas (lengths in 2D) of pairs of phases, each (phases, phases), symmetric, 0 on the diagonal.

    Parameters
    ----------
    areas : np.ndarray
        Extrapolated to steps of no length. A pair whose phases a thin layer parts can come out below 0; summed over
        the other phases it is the surface of a phase, nevertheless.
    seen : np.ndarray
        From the steps between neighbours as they are: less than ``areas`` by what lies between two voxels unseen.
    """

    areas: np.ndarray
    seen: np.ndarray


@compiled
def _pairs(own, after, low, high, shift, weight, counts):
    """Add up the pairs of a row, ``own[low:high]`` and as many of another row from ``low + shift`` on."""
    ours, theirs = own[low:high], after[low + shift : high + shift]
    if len(counts) == 2:  # many at once
        differing = 0
        for x in range(min(len(ours), len(theirs))):
            differing += ours[x] != theirs[x]
        counts[0, 1] += weight * differing
        return
    for x in range(min(len(ours), len(theirs))):
        a, b = ours[x], theirs[x]
        if a != b:
            counts[a, b] += weight


@compiled
def _pass(index, first, start, stop, depth, step, counts):
    """Add up the steps from the voxels of slices in which every voxel is of a phase, by the phases at their ends.

    Each voxel has two steps, forwards and backwards; where one leads out of the image the other counts twice, so that
    what lies at a face weighs as much as what lies inside. A pair of voxels is a step of each of them.
    """
    dz, dy, dx = step
    _, ny, nx = index.shape
    low, high = max(0, -dx), min(nx, nx - dx)
    if dx > 0:  # where a voxel of a pair has no step back, where one has no further step forwards
        back, further = (low, min(dx, high)), (max(nx - 2 * dx, low), high)
    else:
        back, further = (max(nx + dx, low), high), (low, min(-2 * dx, high))
    for z in range(start, stop):
        if z + dz >= depth:
            break
        for y in range(max(0, -dy), min(ny, ny - dy)):
            own, after = index[z - first, y], index[z - first + dz, y + dy]
            alone = z < dz or not 0 <= y - dy < ny  # no step back, from any voxel of the row
            ends = z + 2 * dz >= depth or not 0 <= y + 2 * dy < ny  # no further step forwards
            _pairs(own, after, low, high, dx, 2 + alone + ends, counts)
            if not alone:
                _pairs(own, after, back[0], back[1], dx, 1, counts)
            if not ends:
                _pairs(own, after, further[0], further[1], dx, 1, counts)


@compiled
def _pass_inside(padded, margin, step, counts):
    """As `_pass`, with voxels of the background, and where the image ends; the number of voxels without a step."""
    mz, my, mx = margin
    dz, dy, dx = step
    nz, ny, nx = padded.shape
    missing = 0
    for z in range(mz, nz - mz):
        for y in range(my, ny - my):
            own, after, before = padded[z, y], padded[z + dz, y + dy], padded[z - dz, y - dy]
            for x in range(mx, nx - mx):
                a, b, c = own[x], after[x + dx], before[x - dx]
                if (a == b and a == c) or a == OUTSIDE:
                    continue
                if b == OUTSIDE and c == OUTSIDE:
                    missing += 1
                elif b == OUTSIDE:
                    counts[a, c] += 2
                elif c == OUTSIDE:
                    counts[a, b] += 2
                else:
                    counts[a, b] += 1
                    counts[a, c] += 1
    return missing


def _steps(phases: PhaseSource) -> np.ndarray:
    """(N, 3) steps in voxels, one of each pair of opposite ones: short ones, and of flat voxels as many wider ones."""
    reach = range(-_REACH, _REACH + 1)
    near = [step for step in product(reach, reach, reach) if step > (0, 0, 0) and np.dot(step, step) <= _LONGEST]
    spacing = np.array(phases.spacing)[3 - phases.ndim :]
    wide = np.ones(3, int)
    wide[3 - phases.ndim :] = np.clip(np.floor(spacing.max() / spacing + _ROUNDED), 1, _FLATTEST)
    every = np.unique(np.concatenate([near, near * wide]), axis=0)
    return every[(np.abs(every) < phases.shape).all(axis=1)]


def _normals(ndim: int) -> np.ndarray:
    """(N, 3) unit vectors, evenly over all directions, as many about each axis in the same way."""
    number: np.ndarray = (np.arange(_NORMALS) + 0.5) / _NORMALS
    if ndim == 2:
        return np.stack([np.zeros(_NORMALS), np.sin(np.pi * number), np.cos(np.pi * number)], axis=1)
    angle = np.pi * (1 + 5**0.5) * _NORMALS * number  # equal areas on a spiral
    flat = np.sqrt(1 - number**2)
    spiral = np.stack([number, flat * np.sin(angle), flat * np.cos(angle)], axis=1)
    signs = np.array([(1, y, x) for y, x in product((-1, 1), repeat=2)])
    turned = [spiral[:, order] * sign for order in permutations(range(3)) for sign in signs]
    return np.concatenate(turned)


def step_weights(vectors: np.ndarray, ndim: int, extrapolated: bool = True) -> np.ndarray:
    """Weights w so that ``sum(w P / length)`` is the area per volume; P: share of steps that cross the interface.

    Of a plane with normal n a step v crosses ``|n v|``: the weights are the least-squares solution of
    ``sum(w |n v| / |v|) = 1`` over all n, exact for the mean over them. A step that crosses twice crosses unseen, so
    that P falls behind its slope at 0 by a term in ``|v|^2`` (curvature, edges, and crevices between particles):
    ``sum(w |v|) = 0`` takes it out.

    Parameters
    ----------
    vectors : np.ndarray
        (N, 3), in the unit of lengths.
    ndim : {2, 3}
        The image's.
    extrapolated : bool
        Whether to take out the term in ``|v|^2``.

    Returns
    -------
    np.ndarray
        (N,).
    """
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / lengths[:, None]
    over = np.abs(_normals(ndim) @ unit.T)
    along = np.abs(unit.T[3 - ndim :])
    matrix = over.T @ over / len(over) + _AXES * along.T @ along + _RIDGE * np.eye(len(unit))
    right = over.mean(axis=0) + _AXES * along.sum(axis=0)
    held = np.stack([over.mean(axis=0), lengths / lengths.mean()][: 1 + extrapolated])
    size = len(held)
    system = np.block([[matrix, held.T], [held, np.zeros((size, size))]])
    return np.linalg.solve(system, [*right, 1.0, *np.zeros(size - 1)])[: len(unit)]


def interface_areas(phases: PhaseSource) -> Intercepts:
    """Area of the interface of each pair of phases, by Crofton's formula, as if the whole were like what steps see.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        The image.

    Returns
    -------
    Intercepts

    Raises
    ------
    ImageError
        A slice that cannot be read.
    """
    steps, number = _steps(phases), len(phases)
    if not len(steps):
        return Intercepts(np.zeros((number, number)), np.zeros((number, number)))
    counts, seen_from = _crossings(phases, steps)
    shares = (counts + counts.transpose(0, 2, 1)) / (2 * np.maximum(seen_from, 1))[:, None, None]
    vectors = steps * np.array(phases.spacing)
    shares /= np.linalg.norm(vectors, axis=1)[:, None, None]
    shares[:, range(number), range(number)] = 0
    # a step of 2 voxels is needed along each axis
    enough = all(size > _REACH for size in phases.shape[3 - phases.ndim :])
    near = (np.abs(steps) <= 1).all(axis=1)
    seen = _sum(step_weights(vectors[near], phases.ndim, False), shares[near])
    areas = _sum(step_weights(vectors, phases.ndim), shares) if enough else seen
    return Intercepts(areas * phases.measure, seen * phases.measure)


def _crossings(phases: PhaseSource, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of steps from phase to phase, two a voxel, and of the voxels that have a step: (N, K, K), (N,)."""
    counts = np.zeros((len(steps), len(phases), len(phases)), np.int64)
    margin, shape = np.abs(steps).max(axis=0), np.array(phases.shape)
    if phases.filled:
        for slab in phases.slabs(after=margin[0]):
            for step, found in zip(steps, counts, strict=True):
                _pass(slab.index, slab.start, slab.start, slab.stop, shape[0], step, found)
        one, both = (np.maximum(shape - many * np.abs(steps), 0).prod(axis=1) for many in (1, 2))
        return counts, 2 * one - both
    lost = np.zeros(len(steps), np.int64)
    for slab in phases.slabs(before=margin[0], after=margin[0]):
        behind = len(slab.index) - slab.own.stop
        around = ((margin[0] - slab.before, margin[0] - behind), (margin[1],) * 2, (margin[2],) * 2)
        padded = np.pad(slab.index, around, constant_values=OUTSIDE)
        for place, (step, found) in enumerate(zip(steps, counts, strict=True)):
            lost[place] += _pass_inside(padded, margin, step, found)
    return counts, sum(phases.counts) - lost


def _sum(weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
    return np.einsum("k,kij->ij", weights, shares)
