"""Surfaces by marching cubes, without a mesh: how many cells there are of each kind, times the area in one."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.phases.phases import OUTSIDE, PhaseSource

_CORNERS = 8


@compiled
def _cells(index, first, depth, deep, inside, counts):
    """Add up the cells between 2 x 2 x 2 voxels (in 2D between 2 x 2) by the corners that are inside.

    A cell at a face of the image weighs 3 where others weigh 2: it stands for the half voxel behind it, too.
    """
    nz, ny, nx = index.shape
    for z in range(nz - 1 if deep else nz):
        after = z + 1 if deep else z
        weight_z = 2 if not deep else _weight(first + z, depth - 1)
        for y in range(ny - 1):
            weight_y = weight_z * _weight(y, ny - 1)
            rows = index[z, y], index[z, y + 1], index[after, y], index[after, y + 1]
            for x in range(nx - 1):
                kind, outside = 0, False
                for k in range(4):
                    a, b = rows[k][x], rows[k][x + 1]
                    outside = outside or a == OUTSIDE or b == OUTSIDE
                    kind |= (int(inside[a]) << (2 * k)) | (int(inside[b]) << (2 * k + 1))
                if not outside:
                    counts[kind] += weight_y * _weight(x, nx - 1)


@compiled
def _weight(place, number):
    """Twice the number of voxels that a cell stands for along an axis of so many cells."""
    return 2 + (place == 0) + (place == number - 1)


@lru_cache(maxsize=16)
def _areas(spacing: tuple[float, float, float], ndim: int) -> np.ndarray:
    """Area (in 2D length) in a cell of each of the 256 kinds (in 2D both slices are the same)."""
    from skimage import measure

    found = np.zeros(2**_CORNERS)
    for kind in range(1, 2**_CORNERS - 1):
        cell = np.array([kind >> k & 1 for k in range(_CORNERS)], np.float32).reshape(2, 2, 2)
        if ndim == 3:
            corners, faces, *_ = measure.marching_cubes(cell, 0.5, spacing=spacing)
            found[kind] = measure.mesh_surface_area(corners, faces)
        elif (cell[0] == cell[1]).all():
            for contour in measure.find_contours(cell[0], 0.5):
                found[kind] += np.hypot(*(np.diff(contour, axis=0) * spacing[1:]).T).sum()
    return found


def mesh_areas(phases: PhaseSource, sets: Collection[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
    """Area of the 0.5 isosurface of sets of phases, each taken as one, as if the whole were like its cells.

    Lewiner et al. 2003, J. Graphics Tools; in 2D the length of the contours by marching squares. Cells with a corner
    in the background do not count.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        The image.
    sets : collection of tuple of int
        Indices of phases.

    Returns
    -------
    dict
        Set -> area, or length.

    Raises
    ------
    ImageError
        A slice that cannot be read.
    """
    kinds = {several: np.zeros(2**_CORNERS, np.int64) for several in sorted(sets)}
    deep = phases.ndim == 3
    for slab in phases.slabs(after=int(deep)):
        for several, counts in kinds.items():
            inside = np.zeros(256, np.uint8)
            inside[list(several)] = 1
            _cells(slab.index, slab.start, phases.shape[0], deep, inside, counts)
    found = {}
    for several, counts in kinds.items():
        density = counts @ _areas(phases.spacing, phases.ndim) / (max(counts.sum(), 1) * phases.voxel)
        found[several] = float(density) * phases.measure
    return found
