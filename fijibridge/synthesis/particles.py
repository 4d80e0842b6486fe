"""The CAM phase on voxels: the nearest particle of each voxel, and the distance to its surface.

Every voxel gets the signed distance, in micrometres, to the surface of the nearest particle, from the particles' shapes
in closed form. The CAM is where it lies below a threshold, so that a wanted fraction is met exactly by a quantile, and
contacts of neighbours are flat, along the bisector. Shapes are made irregular by bending space with smooth noise, and
rough by noise on the distance.

Unlike digital balls and distance transforms of the whole image, as in porespy's generators, one pass over rows
evaluates each particle only near itself, at any resolution and in any shape, and stores nothing but its results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.parallel import Workers, compiled
from fijibridge.synthesis.grains import nearest_two, seeds
from fijibridge.synthesis.noise import lattice, noise_row
from fijibridge.synthesis.packing import Packing, pack
from fijibridge.synthesis.structure_settings import StructureSettings

FAR = np.float32(1e6)  # distance where no particle is near
_TILE = 8  # side of tiles of rows that share a list of particles
_REACHES = (0.25, 0.5)  # of the median radius: the second where the particles have to grow much
_CRACKED = 0.5  # largest share of the pores that are cracks in the CAM


@dataclass
class Particles:
    """CAM particles on voxels.

    Attributes
    ----------
    distance : ndarray (Z, Y, X) float32
        To the surface of the nearest particle, micrometres, negative inside; `FAR` where none is near.
    second : ndarray (Z, Y, X) float32
        The same of the second nearest particle.
    owner : ndarray (Z, Y, X) int32
        Index of the nearest particle in ``packing``, -1 where none is near.
    cracks : ndarray (Z, Y, X) bool
        Cracks inside particles.
    packing : Packing
    """

    distance: np.ndarray
    second: np.ndarray
    owner: np.ndarray
    cracks: np.ndarray
    packing: Packing


@compiled
def _tiles(centres, bounds, voxel, nz, ny, tile):
    """Which particles reach into which tile of rows: starts (tiles + 1) and members, in the particles' order."""
    tz, ty = (nz + tile - 1) // tile, (ny + tile - 1) // tile
    starts = np.zeros(tz * ty + 1, np.int64)
    members = np.empty(0, np.int32)
    for turn in range(2):
        fill = starts.copy()
        for i in range(len(centres)):
            z0 = max(0, int(np.floor((centres[i, 0] - bounds[i]) / voxel / tile)))
            z1 = min(tz - 1, int(np.floor((centres[i, 0] + bounds[i]) / voxel / tile)))
            y0 = max(0, int(np.floor((centres[i, 1] - bounds[i]) / voxel / tile)))
            y1 = min(ty - 1, int(np.floor((centres[i, 1] + bounds[i]) / voxel / tile)))
            for a in range(z0, z1 + 1):
                for b in range(y0, y1 + 1):
                    if turn == 0:
                        starts[a * ty + b + 1] += 1
                    else:
                        members[fill[a * ty + b]] = i
                        fill[a * ty + b] += 1
        if turn == 0:
            starts = np.cumsum(starts)
            members = np.empty(starts[-1], np.int32)
    return starts, members


@compiled
def _chance(i, j, salt):
    """A pseudo-random number in [0, 1) for a pair of particles (the finaliser of splitmix64)."""
    low, high = np.uint64(min(i, j)), np.uint64(max(i, j))
    h = low * np.uint64(0x9E3779B97F4A7C15) + high * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(salt)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = h ^ (h >> np.uint64(31))
    return np.float64(h >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def _measure(
    centres, radii, matrices, scales, faces, angularity, starts, members, voxel, warp, warp_step, warp_size,
    coarse, coarse_step, fine, fine_step, roughness, contacts, salt, distance, second, owner, z0, z1
):  # fmt: skip
    _, ny, nx = distance.shape
    across = (ny + _TILE - 1) // _TILE
    bent = np.zeros((3, nx))
    noise, extra = np.zeros(nx), np.zeros(nx)
    first, other = np.empty(nx), np.empty(nx)
    nearest, next_ = np.empty(nx, np.int32), np.empty(nx, np.int32)
    line = np.empty(nx + 8)
    for z in range(z0, z1):
        for y in range(ny):
            for a in range(3):
                noise_row(warp[a], warp_step, z, y, 0, nx, line, bent[a])
            noise_row(coarse, coarse_step, z, y, 0, nx, line, noise)
            noise_row(fine, fine_step, z, y, 0, nx, line, extra)
            for x in range(nx):
                bent[0, x] = (z + 0.5) * voxel + warp_size * bent[0, x]
                bent[1, x] = (y + 0.5) * voxel + warp_size * bent[1, x]
                bent[2, x] = (x + 0.5) * voxel + warp_size * bent[2, x]
                first[x] = other[x] = FAR
                nearest[x] = next_[x] = -1
            tile = (z // _TILE) * across + y // _TILE
            for m in range(starts[tile], starts[tile + 1]):
                i = members[m]
                radius = radii[i]
                cz, cy, cx = centres[i]
                azz, azy, azx = matrices[i, 0]
                ayz, ayy, ayx = matrices[i, 1]
                axz, axy, axx = matrices[i, 2]
                # where the row runs through the enlarged ellipsoid: a quadratic equation
                dz, dy = (z + 0.5) * voxel - cz, (y + 0.5) * voxel - cy
                u, v, w = azz * dz + azy * dy, ayz * dz + ayy * dy, axz * dz + axy * dy
                a2 = azx * azx + ayx * ayx + axx * axx
                a1 = (azx * u + ayx * v + axx * w) / a2
                rest = a1 * a1 - (u * u + v * v + w * w - scales[i] ** 2) / a2
                if rest <= 0.0:
                    continue
                wide = np.sqrt(rest)
                x0 = max(0, int((cx - a1 - wide) / voxel))
                x1 = min(nx, int(max(0.0, cx - a1 + wide) / voxel) + 1)
                for x in range(x0, x1):
                    dz, dy, dx = bent[0, x] - cz, bent[1, x] - cy, bent[2, x] - cx
                    u = azz * dz + azy * dy + azx * dx
                    v = ayz * dz + ayy * dy + ayx * dx
                    w = axz * dz + axy * dy + axx * dx
                    q = u * u + v * v + w * w
                    s = np.sqrt(q)
                    # a polyhedron's distance is nowhere below 0.7 of the ball's
                    if radius * (s * (1.0 - 0.3 * angularity) - 1.0) >= other[x]:
                        continue
                    if angularity > 0.0:
                        plane = 0.0
                        for k in range(faces.shape[1]):
                            plane = max(plane, faces[i, k, 0] * u + faces[i, k, 1] * v + faces[i, k, 2] * w)
                        s = (1.0 - angularity) * s + angularity * plane
                    e = (s - 1.0) * radius
                    if e < first[x]:
                        other[x], next_[x] = first[x], nearest[x]
                        first[x], nearest[x] = e, i
                    elif e < other[x]:
                        other[x], next_[x] = e, i
            for x in range(nx):
                e, i, j = first[x], nearest[x], next_[x]
                if i >= 0:
                    if j >= 0:
                        apart = 0.5 * (other[x] - e)  # to the bisector
                        smaller = min(radii[i], radii[j])
                        film = max(1.6 * voxel, 0.07 * smaller)
                        if apart < 1.5 * film:
                            chance = _chance(i, j, salt)
                            film *= 0.7 + 0.8 * (chance - contacts)
                            if chance >= contacts and apart < film:
                                e += (0.3 * smaller + film) * (1.0 - apart / film) ** 2
                    e += roughness * radii[i] * (0.7 * noise[x] + 0.5 * extra[x])
                distance[z, y, x] = e
                second[z, y, x] = other[x]
                owner[z, y, x] = i


@compiled
def _crack(distance, owner, centres, radii, planes, along, offset, width, depth, cracked, points, weights, cell, wavy,
           wavy_step, voxel, below, out, z0, z1):  # fmt: skip
    """Mark cracks of the cracked particles; between grains where ``cell`` > 0, else along a wavy plane."""
    _, ny, nx = distance.shape
    line, wave = np.empty(nx + 8), np.zeros(nx)
    found = np.empty(8)
    for z in range(z0, z1):
        for y in range(ny):
            noise_row(wavy, wavy_step, z, y, 0, nx, line, wave)
            for x in range(nx):
                i = owner[z, y, x]
                if i < 0 or not cracked[i] or distance[z, y, x] > below:
                    continue
                radius = radii[i]
                dz, dy = (z + 0.5) * voxel - centres[i, 0], (y + 0.5) * voxel - centres[i, 1]
                dx = (x + 0.5) * voxel - centres[i, 2]
                open_ = (along[i, 0] * dz + along[i, 1] * dy + along[i, 2] * dx) / radius + depth[i]
                if open_ <= 0.0:
                    continue
                half = width[i] * min(1.0, np.sqrt(open_))
                p = planes[i, 0] * dz + planes[i, 1] * dy + planes[i, 2] * dx - offset[i]
                if cell <= 0.0:
                    out[z, y, x] = abs(p + 0.12 * radius * wave[x]) < half
                elif abs(p) < 1.5 * cell * voxel:
                    nearest_two(points, weights, cell, z + 0.5, y + 0.5, x + 0.5, found)
                    side = 0.0
                    for k in (2, 5):  # places of the two seeds
                        b = (
                            planes[i, 0] * ((found[k] * voxel) - centres[i, 0])
                            + planes[i, 1] * ((found[k + 1] * voxel) - centres[i, 1])
                            + planes[i, 2] * ((found[k + 2] * voxel) - centres[i, 2])
                            - offset[i]
                        )
                        side += 1.0 if b > 0.0 else -1.0
                    out[z, y, x] = side == 0.0 and found[1] * voxel < half


@compiled
def _count(mask, owner, counts):
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                if mask[z, y, x]:
                    counts[owner[z, y, x]] += 1


def quantile_threshold(values: np.ndarray, count: int) -> float:
    """The threshold at or below which a number of values lie.

    Parameters
    ----------
    values : ndarray
        Any shape.
    count : int
        Number of values at or below it.

    Returns
    -------
    float
        -infinity for a count of 0.
    """
    if count <= 0:
        return float("-inf")
    return float(np.partition(values.ravel(), count - 1)[count - 1])


def _too_full(settings: StructureSettings, distance: np.ndarray, limit: float) -> SettingsError:
    packed = np.count_nonzero(distance <= limit) / distance.size
    return SettingsError(
        f"CAM particles pack to {packed:.3f} of the volume, {settings.cam_fraction:g} is wanted",
        expected="a fraction that particles of this shape can be packed to",
        remedy="lower cam_fraction, cam_aspect_ratio or cam_roughness, raise cam_contacts, or take a larger volume",
    )


def make_particles(
    settings: StructureSettings, shape: tuple[int, int, int], voxel: float, seed: int, run: Workers
) -> tuple[Particles, np.ndarray]:
    """Pack, shape and crack the CAM particles.

    Parameters
    ----------
    settings : StructureSettings
        Those of the CAM are used.
    shape : tuple of int
        (Z, Y, X), voxels.
    voxel : float
        Size of a voxel, micrometres.
    seed : int
        Of the structure.
    run : Workers
        Threads.

    Returns
    -------
    particles : Particles
        With the surface at distance 0 where the wanted fraction is met.
    cam : ndarray (Z, Y, X) bool
        Voxels of the CAM, without cracks.

    Raises
    ------
    SettingsError
        The fraction cannot be packed.
    """
    depth, height, width = (n * voxel for n in shape)
    packing = pack(settings, (depth, height, width), seed)
    rng = np.random.default_rng([seed, 2])
    median = settings.cam_diameter / 2
    rough = settings.cam_roughness
    warp_step, coarse_step, fine_step = (max(2.0, median * k / voxel) for k in (1.1, 0.45, 0.18))
    warp = np.stack([lattice(rng, shape, warp_step) for _ in range(3)])
    coarse, fine = lattice(rng, shape, coarse_step), lattice(rng, shape, fine_step)
    salt = int(rng.integers(2**62))
    distance, second = (np.empty(shape, np.float32) for _ in range(2))
    owner = np.empty(shape, np.int32)
    count = round(settings.cam_fraction * distance.size)
    for share in _REACHES:
        # distance from its surface up to which a particle matters: growth, films, and pores between neighbours
        reach = np.maximum(0.25 * packing.radii, share * median)
        # the same as a factor on the ellipsoid, with room for the noise that bends it
        scales = (1 + reach / packing.radii) * (1 + 0.2 * settings.cam_angularity) + 3 * rough * median / packing.radii
        bounds = scales * packing.radii * packing.elongations
        starts, members = _tiles(packing.centres, bounds, voxel, shape[0], shape[1], _TILE)
        run(
            _measure, packing.centres, packing.radii, packing.matrices, scales, packing.faces,
            settings.cam_angularity, starts, members, voxel, warp, warp_step, 1.1 * rough * median, coarse,
            coarse_step, fine, fine_step, 0.65 * rough, settings.cam_contacts, salt, distance, second, owner,
            slices=(0, shape[0]), size=distance.size,
        )  # fmt: skip
        level = quantile_threshold(distance, count)
        if level <= 0.7 * share * median:
            break
    else:
        raise _too_full(settings, distance, 0.7 * share * median)
    cracks = np.zeros(shape, bool)
    budget = int(_CRACKED * settings.porosity * distance.size)
    if settings.cam_cracks > 0 and budget:
        _add_cracks(settings, packing, distance, owner, level, voxel, budget, seed, cracks, run)
        if cracks.any():
            inside = distance[cracks]
            distance[cracks] = FAR  # excluded from the quantile
            level = quantile_threshold(distance, count)
            if level > share * median:
                raise _too_full(settings, distance, share * median)
            distance[cracks] = inside
            cracks &= distance <= level
    distance -= np.float32(level)
    second -= np.float32(level)
    cam = distance <= 0
    cam &= ~cracks
    return Particles(distance, second, owner, cracks, packing), cam


def _add_cracks(
    settings: StructureSettings,
    packing: Packing,
    distance: np.ndarray,
    owner: np.ndarray,
    level: float,
    voxel: float,
    budget: int,
    seed: int,
    out: np.ndarray,
    run: Workers,
) -> None:
    """Crack the wanted share of the particles, in random order, while cracks take no more than ``budget`` voxels."""
    rng = np.random.default_rng([seed, 3])
    n = len(packing.radii)
    shape = distance.shape
    cracked = rng.uniform(size=n) < settings.cam_cracks
    planes, along = (rng.standard_normal((n, 3)) for _ in range(2))
    planes /= np.sqrt((planes**2).sum(1, keepdims=True))
    along -= planes * (planes * along).sum(1, keepdims=True)
    along /= np.sqrt((along**2).sum(1, keepdims=True))
    offset = packing.radii * rng.uniform(-0.35, 0.35, n)
    width = np.maximum(0.75 * voxel, packing.radii * rng.uniform(0.012, 0.045, n))
    depth = rng.uniform(-0.1, 1.3, n)
    cell = settings.cam_grain_size / voxel
    points, weights = seeds(np.random.default_rng([seed, 4]), shape, cell) if cell else (np.zeros((1, 1, 1, 3)),) * 2
    weights = weights if cell else np.zeros((1, 1, 1))
    step = max(2.0, settings.cam_diameter * 0.3 / voxel)
    wavy = lattice(rng, shape, step)
    run(
        _crack, distance, owner, packing.centres, packing.radii, planes, along, offset, width, depth, cracked, points,
        weights, cell, wavy, step, voxel, level + 0.1 * settings.cam_diameter, out,
        slices=(0, shape[0]), size=distance.size,
    )  # fmt: skip
    counts = np.zeros(n, np.int64)
    _count(out, owner, counts)
    order = rng.permutation(np.flatnonzero(counts))
    kept = np.zeros(n + 1, bool)  # the last: voxels of no particle
    kept[order[np.cumsum(counts[order]) <= budget]] = True
    out &= kept[owner]
