"""Pores and binder between the particles.

Three kinds of pores, each with its share of the volume: gaps where the solid electrolyte does not wet the CAM, cracks
through the electrolyte, and rounded voids. Gaps, voids and binder are where a random field is highest, so that a
quantile meets the wanted volume exactly; cracks are curved sheets, opened one by one until their volume is reached.
"""

from __future__ import annotations

import numpy as np

from fijibridge.core.parallel import Workers, compiled
from fijibridge.metrology.sizes import squared_distance
from fijibridge.synthesis.noise import lattice, noise_row
from fijibridge.synthesis.structure_settings import StructureSettings

_ISE, _CAM, _PORE, _BINDER = 1, 2, 3, 5
_NEVER = np.float32(-1e9)


@compiled
def _rank(labels, square, second, coarse, coarse_step, fine, fine_step, amount, near, reach, between, gap, out, z0, z1):
    """Compute the field whose highest voxels become another phase; `_NEVER` outside the ISE.

    Noise, minus the distance to the CAM over ``near``, plus ``between`` where a second particle is within ``gap``.
    """
    _, ny, nx = labels.shape
    line, first, extra = np.empty(nx + max(coarse.shape[3], fine.shape[3])), np.empty(nx), np.empty(nx)
    limit = reach * reach
    for z in range(z0, z1):
        for y in range(ny):
            some = False
            for x in range(nx):
                some |= labels[z, y, x] == _ISE and square[z, y, x] <= limit
            if not some:
                out[z, y] = _NEVER
                continue
            noise_row(coarse, coarse_step, z, y, 0, nx, line, first)
            noise_row(fine, fine_step, z, y, 0, nx, line, extra)
            for x in range(nx):
                if labels[z, y, x] != _ISE or square[z, y, x] > limit:
                    out[z, y, x] = _NEVER
                    continue
                value = first[x] + amount * extra[x]
                if near > 0.0:
                    value -= np.sqrt(square[z, y, x]) / near
                if between > 0.0:
                    value += between * max(0.0, 1.0 - max(0.0, second[z, y, x]) / gap)
                out[z, y, x] = value


def _convert(labels: np.ndarray, field: np.ndarray, count: int, phase: int) -> int:
    """Turn the ``count`` highest ISE voxels of a field into a phase; returns how many there were."""
    values = field[field > _NEVER]  # selected first: many equal values slow a partition down
    count = min(count, len(values))
    if count > 0:
        level = np.partition(values, len(values) - count)[len(values) - count]
        labels[field >= level] = phase
    return count


@compiled
def _sheet(labels, centre, normal, radius, half, swing, waves, waves_step, edge, edge_step, room):
    """Open one crack in the ISE, a wavy disc that is thinner at its rim; returns how many voxels. Lengths in voxels."""
    nx = labels.shape[2]
    done = 0
    line, wave, ragged = np.empty(nx + 8 + max(waves.shape[3], edge.shape[3])), np.empty(nx), np.empty(nx)
    thick = 3.0 * swing + half + 1.0
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for a in range(3):
        # half-width of the box around a disc of this radius and thickness
        wide = radius * np.sqrt(max(0.0, 1.0 - normal[a] ** 2)) + thick * abs(normal[a]) + 1.0
        low[a] = max(0, int(centre[a] - wide))
        high[a] = min(labels.shape[a], int(centre[a] + wide) + 1)
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            x0, x1 = low[2], high[2]
            base = (z + 0.5 - centre[0]) * normal[0] + (y + 0.5 - centre[1]) * normal[1]
            if abs(normal[2]) > 1e-3:  # where along the row the disc's plane is near
                u, v = (-thick - base) / normal[2] + centre[2], (thick - base) / normal[2] + centre[2]
                x0, x1 = max(x0, int(max(0.0, min(u, v)))), min(x1, int(max(0.0, max(u, v))) + 1)
            elif abs(base) > thick:
                continue
            if x0 >= x1:
                continue
            noise_row(waves, waves_step, z, y, x0, x1, line, wave)
            noise_row(edge, edge_step, z, y, x0, x1, line, ragged)
            for x in range(x0, x1):
                if labels[z, y, x] != _ISE:
                    continue
                a, b, c = z + 0.5 - centre[0], y + 0.5 - centre[1], x + 0.5 - centre[2]
                p = a * normal[0] + b * normal[1] + c * normal[2]
                rim = 1.0 - np.sqrt(max(0.0, a * a + b * b + c * c - p * p)) / radius + 0.12 * ragged[x]
                if (
                    rim > 0.0
                    and abs(p + swing * (wave[x] + 0.25 * ragged[x])) < half * min(1.0, np.sqrt(1.6 * rim))
                    and done < room
                ):
                    labels[z, y, x] = _PORE
                    done += 1
    return done


def _crack_ise(labels: np.ndarray, size: float, seed: int, count: int) -> int:
    """Open cracks in the ISE until they have ``count`` voxels; returns how many. ``size``: the pores', in voxels."""
    rng = np.random.default_rng([seed, 7])
    waves_step, edge_step = max(2.0, 2.5 * size), max(2.0, 1.1 * size)
    waves, edge = lattice(rng, labels.shape, waves_step), lattice(rng, labels.shape, edge_step)
    done = 0
    for _ in range(5000):
        if done >= count:
            break
        # so small that their share of the volume makes several of them
        radius = min(size * rng.uniform(2.5, 7.0), 0.5 * max(labels.shape))
        half = max(0.8, size * rng.uniform(0.06, 0.18))
        if (fits := (count / (3 * 3.1416 * 2 * half)) ** 0.5) < radius:
            radius = max(fits, 2.0 * size)
        normal = rng.standard_normal(3)
        normal /= np.sqrt((normal**2).sum())
        centre = rng.uniform(-0.3 * radius, 0.3 * radius + np.array(labels.shape))
        done += _sheet(
            labels, centre, normal, radius, half, 0.6 * size, waves, waves_step, edge, edge_step, count - done
        )
    return done


def _field(
    labels: np.ndarray,
    square: np.ndarray,
    second: np.ndarray,
    sizes: tuple[float, float],
    amount: float,
    near: float,
    reach: float,
    between: float,
    gap: float,
    out: np.ndarray,
    rng: np.random.Generator,
    run: Workers,
) -> np.ndarray:
    """`_rank` with random fields of two sizes (voxels)."""
    coarse_step, fine_step = (max(2.0, size) for size in sizes)
    coarse, fine = lattice(rng, labels.shape, coarse_step), lattice(rng, labels.shape, fine_step)
    run(
        _rank, labels, square, second, coarse, coarse_step, fine, fine_step, amount, near, reach, between, gap, out,
        slices=(0, labels.shape[0]), size=labels.size,
    )  # fmt: skip
    return out


def add_binder_and_pores(
    labels: np.ndarray,
    second: np.ndarray,
    settings: StructureSettings,
    voxel: float,
    seed: int,
    run: Workers,
    *,
    binder: int,
    pores: int,
) -> None:
    """Turn ISE into binder and pores, in place.

    Parameters
    ----------
    labels : ndarray (Z, Y, X) uint8
        1 ISE, 2 CAM; other values stay.
    second : ndarray (Z, Y, X) float32
        Distance to the surface of the second nearest particle, micrometres.
    settings : StructureSettings
        Those of pores and binder are used.
    voxel : float
        Size of a voxel, micrometres.
    seed : int
        Of the structure.
    run : Workers
        Threads.
    binder, pores : int
        Numbers of voxels.
    """
    square = squared_distance(labels != _CAM, (1.0, 1.0, 1.0), run)
    out = np.empty(labels.shape, np.float32)
    size, anywhere = settings.pore_size / voxel, 1e9
    if binder:
        blob = settings.binder_size / voxel
        _convert(
            labels,
            _field(
                labels, square, second, (1.1 * blob, 0.5 * blob), 0.4, 2.0 * blob, anywhere, 0.6,
                2 * settings.binder_size, out, np.random.default_rng([seed, 8]), run,
            ),
            binder,
            _BINDER,
        )  # fmt: skip
    gaps = round(settings.interface_pores * pores)
    cracks = round(settings.crack_pores * pores)
    if gaps:
        # patches of a particle's surface are detached, thickest in their middle
        patch = max(0.35 * settings.cam_diameter, settings.pore_size) / voxel
        # more volume makes gaps wider rather than longer: they lie along about two fifths of the particles' surface
        wide = gaps / (0.4 * 6 * np.count_nonzero(labels == _CAM) / (settings.cam_diameter / voxel))
        near = max(1.0, 0.35 * size, 1.3 * wide)
        gaps = _convert(
            labels,
            _field(
                labels, square, second, (patch, 0.6 * size), 0.25, near, max(2.5, 3.4 * near), 0.5,
                settings.pore_size, out, np.random.default_rng([seed, 9]), run,
            ),
            gaps,
            _PORE,
        )  # fmt: skip
    if cracks:
        cracks = _crack_ise(labels, size, seed, cracks)
    if (voids := pores - gaps - cracks) > 0:
        _convert(
            labels,
            _field(
                labels, square, second, (0.85 * size, 0.35 * size), 0.3, 0.0, anywhere, 0.7, 1.5 * settings.pore_size,
                out, np.random.default_rng([seed, 10]), run,
            ),
            voids,
            _PORE,
        )  # fmt: skip
