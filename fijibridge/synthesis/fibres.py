"""Carbon fibres (VGCF): chains of constant diameter that bend smoothly around the CAM.

A fibre's curvature vector wanders (an Ornstein-Uhlenbeck process along the arc), which gives a worm-like chain, as of
Kratky and Porod 1949, without kinks at small scale: a fibre of 150 nm is stiff.
"""

from __future__ import annotations

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.parallel import compiled
from fijibridge.synthesis.structure_settings import StructureSettings

_BATCH = 256  # fibres whose random numbers are drawn together
_MEMORY = 1.5  # micrometres over which a fibre keeps its curvature
_ISE, _CARBON = 1, 4


@compiled
def _sample(field, z, y, x):
    """Value at the voxel that contains a point (in voxels); large outside the volume, where nothing is in the way."""
    a, b, c = int(np.floor(z)), int(np.floor(y)), int(np.floor(x))
    if a < 0 or b < 0 or c < 0 or a >= field.shape[0] or b >= field.shape[1] or c >= field.shape[2]:
        return 1e6
    return np.float64(field[a, b, c])


@compiled
def _draw(labels, start, end, radius, room):
    """Turn the ISE in a capsule into carbon, ``room`` voxels at most; returns how many."""
    done = 0
    d0, d1, d2 = end[0] - start[0], end[1] - start[1], end[2] - start[2]
    square = d0 * d0 + d1 * d1 + d2 * d2
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for a in range(3):
        low[a] = max(0, int(np.floor(min(start[a], end[a]) - radius)))
        high[a] = min(labels.shape[a], int(np.floor(max(start[a], end[a]) + radius)) + 1)
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for x in range(low[2], high[2]):
                if labels[z, y, x] != _ISE:
                    continue
                a, b, c = z + 0.5 - start[0], y + 0.5 - start[1], x + 0.5 - start[2]
                t = min(1.0, max(0.0, (a * d0 + b * d1 + c * d2) / square))
                if (a - t * d0) ** 2 + (b - t * d1) ** 2 + (c - t * d2) ** 2 <= radius * radius and done < room:
                    labels[z, y, x] = _CARBON
                    done += 1
    return done


@compiled
def _walk(labels, distance, starts, directions, kicks, step, memory, bend, radius, voxel, wanted):
    """Lay fibres until ``wanted`` voxels are carbon; returns how many are. Positions in voxels."""
    done = 0
    t, k, here, there, slope, n = np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    fresh = np.sqrt(1.0 - memory * memory)
    clear = radius * voxel  # keeps its axis this far from the CAM
    for f in range(len(starts)):
        here[:], t[:] = starts[f], directions[f]
        for a in range(3):
            k[a] = bend * kicks[f, 0, a]
        if _sample(distance, here[0], here[1], here[2]) < clear:
            continue
        for m in range(kicks.shape[1]):
            for a in range(3):
                k[a] = memory * k[a] + fresh * bend * kicks[f, m, a]
            # only what is across the direction bends
            along = k[0] * t[0] + k[1] * t[1] + k[2] * t[2]
            for a in range(3):
                t[a] += (k[a] - along * t[a]) * step
            ahead = 1e6
            for far in (2.0 * step, 5.0 * step):
                ahead = min(ahead, _sample(distance, here[0] + far * t[0], here[1] + far * t[1], here[2] + far * t[2]))
            if ahead < 2.0 * clear:
                # turn along the particle's surface
                for a in range(3):
                    n[:] = here
                    n[a] += 2.0
                    up = _sample(distance, n[0], n[1], n[2])
                    n[a] -= 4.0
                    down = _sample(distance, n[0], n[1], n[2])
                    slope[a] = up - down if abs(up) < 1e5 and abs(down) < 1e5 else 0.0
                size = np.sqrt(slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2)
                if size > 0.0:
                    into = (t[0] * slope[0] + t[1] * slope[1] + t[2] * slope[2]) / size
                    if into < 0.0:
                        for a in range(3):
                            t[a] -= 0.5 * into * slope[a] / size
            size = np.sqrt(t[0] ** 2 + t[1] ** 2 + t[2] ** 2)
            for a in range(3):
                t[a] /= size
                there[a] = here[a] + step * t[a]
            if _sample(distance, there[0], there[1], there[2]) < 0.3 * clear:
                break  # it ends at a particle, or where it would have to be squeezed flat
            done += _draw(labels, here, there, radius, wanted - done)
            if done >= wanted:
                return done
            here[:] = there
    return done


def add_fibres(
    labels: np.ndarray, distance: np.ndarray, settings: StructureSettings, voxel: float, seed: int, wanted: int
) -> None:
    """Lay fibres into the ISE, in place, until ``wanted`` voxels are carbon.

    Parameters
    ----------
    labels : ndarray (Z, Y, X) uint8
        1 ISE, 4 carbon.
    distance : ndarray (Z, Y, X) float32
        To the surface of the CAM, micrometres, negative inside.
    settings : StructureSettings
        Those of the fibres are used.
    voxel : float
        Size of a voxel, micrometres.
    seed : int
        Of the structure.
    wanted : int
        Number of voxels.

    Raises
    ------
    SettingsError
        There is not enough room.
    """
    length, radius = settings.fibre_length / voxel, settings.fibre_diameter / voxel / 2
    step = max(1.0, 0.7 * radius)
    # a fibre may begin outside, so that the volume is a cut out of an endless one
    margin = min(length / 2, 2 * max(labels.shape))
    box = np.array(labels.shape) + 2 * margin
    done = stalled = batch = 0
    while done < wanted:
        rng = np.random.default_rng([seed, 6, batch])
        starts = rng.uniform(0, 1, (_BATCH, 3)) * box - margin
        directions = rng.standard_normal((_BATCH, 3))
        directions /= np.sqrt((directions**2).sum(1, keepdims=True))
        kicks = rng.standard_normal((_BATCH, max(1, round(length / step)), 3), dtype=np.float32)
        memory = max(0.0, 1 - step * voxel / _MEMORY)
        # two of three components are across the fibre
        bend = settings.fibre_curvature * voxel / 2**0.5
        added = _walk(
            labels, distance, starts, directions, kicks, step, memory, bend, radius, voxel, wanted - done
        )  # fmt: skip
        done += added
        batch += 1
        stalled = 0 if added > 1e-4 * wanted else stalled + 1
        if stalled == 20 or batch == 20_000:
            raise SettingsError(
                f"carbon fibres fill {done / labels.size:.4f} of the volume, {settings.carbon_fraction:g} is wanted",
                expected="a fraction that fits between the CAM particles",
                remedy="lower carbon_fraction or cam_fraction, or make the fibres thinner",
            )
