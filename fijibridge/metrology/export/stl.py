"""A closed surface of each phase (binary STL), for meshing and CAD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.metrology.export.export import Export, Job, Written
from fijibridge.metrology.surface import smoothed
from fijibridge.phases.phases import PhaseSource

# Voxels: planes in random directions keep their area to 1 %, spheres of radius 7 too
_SIGMA = 0.7
_HALO = 3  # slices that a smoothed voxel depends on: the Gaussian is cut off at 4 sigma
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_MESHED = 2**21  # voxels at a time: triangles take many times as much as they
_MOST = 2**32 - 1  # facets that the file's count holds
_AWAY = 0.02  # from the level at least, so that no vertex lies on a voxel's centre, where facets would have no area
_ON_PLANE = 0.25 * _AWAY  # voxels: distance below which a vertex lies on a plane of voxels' centres
_TIE = 0.02  # share of the smoothed indicator that says how voxels meet at an edge: else four facets would share it
_TINY = 1e-300  # a facet without area has no normal
_OFF = 0.02  # relative difference to the phase's volume above which a note says so


def phase_surface(source: PhaseSource, phase: int, method: str = "intercepts") -> Iterator[np.ndarray]:
    """The surface of a phase as triangles, slab by slab: closed, also at the volume's faces.

    The 0.5 isosurface (Lewiner et al. 2003) of the phase's indicator, smoothed by a Gaussian of 0.7 voxels; by
    ``"marching-cubes"`` that of the voxels as they are, but for a fiftieth of the smoothed indicator, which says
    whether voxels that meet at an edge are joined.

    Parameters
    ----------
    source : Phases or PhaseVolume
        The volume.
    phase : int
        Index of the phase.
    method : {"intercepts", "marching-cubes"}
        See above.

    Yields
    ------
    np.ndarray
        (T, 3, 3) float64: triangles, their corners, (x, y, z) in the voxel's unit with the first voxel's corner at 0;
        anticlockwise seen from outside.

    Raises
    ------
    ImageError
        A slice that cannot be read.
    """
    above = None
    for slab in source.slabs(before=_HALO, after=_HALO):
        mask = slab.index == phase
        own = smoothed(source, mask, _SIGMA)[slab.own]
        if method == "marching-cubes":
            own = np.float32(1 - _TIE) * mask[slab.own] + np.float32(_TIE) * own
        middle = np.abs(own - 0.5) < _AWAY
        own[middle] = np.where(own[middle] < 0.5, 0.5 - _AWAY, 0.5 + _AWAY)
        own = np.pad(own, ((0, 0), (1, 1), (1, 1)), mode="edge")
        for rim in (own[:, 0], own[:, -1], own[:, :, 0], own[:, :, -1]):
            rim[:] = _outside(rim)
        below = [_outside(own[-1:])] if slab.stop == source.shape[0] else []
        field = np.concatenate([_outside(own[:1]) if above is None else above, own, *below])
        above = own[-1:].copy()
        step = max(1, _MESHED // field[0].size)
        for start in range(0, len(field) - 1, step):
            part = field[start : start + step + 1]
            if part.max() > 0.5 > part.min():
                # the field's first slice is that before the slab; a voxel's centre lies half a voxel behind its corner
                first = np.array([slab.start + start - 0.5, -0.5, -0.5])
                yield ((_triangles(part) + first) * source.spacing)[..., ::-1]


def _outside(rim: np.ndarray) -> np.ndarray:
    """Values behind a face of the volume with which the surface is closed just there, half a voxel away."""
    return np.minimum(rim, 1 - rim)


def _triangles(field: np.ndarray) -> np.ndarray:
    """(T, 3, 3) corners (z, y, x) in voxels, those in the first and the last plane the same for two slabs that meet."""
    from skimage import measure

    vertices, faces, *_ = measure.marching_cubes(field, 0.5)
    vertices = vertices.astype(np.float64)
    whole = np.rint(vertices)
    vertices = np.where(np.abs(vertices - whole) < _ON_PLANE, whole, vertices)
    ends = np.isin(vertices[:, 0], (0, len(field) - 1))
    for axis in (1, 2):  # marching cubes rounds differently from above and from below
        edge = np.flatnonzero(ends & (vertices[:, axis] % 1 > 0))
        low = np.floor(vertices[edge]).astype(int)
        high = low.copy()
        high[:, axis] += 1
        first, second = (field[tuple(places.T)].astype(np.float64) for places in (low, high))
        vertices[edge, axis] = low[:, axis] + (0.5 - first) / (second - first)
    return vertices[faces]


def _write(job: Job, folder: Path) -> Written:
    names, notes = [], []
    for phase, name, part in job.chosen():
        names.append(f"surface_{part}.stl")
        count, volume = 0, 0.0
        with open(folder / names[-1], "wb") as file:
            file.write(f"surface of a phase, lengths in {job.source.unit}".encode().ljust(80)[:80])
            file.write(np.uint32(0).tobytes())
            for corners in phase_surface(job.source, phase, job.surface_method):
                normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
                volume += float((corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum()) / 6
                facets = np.zeros(len(corners), _FACET)
                facets["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), _TINY)
                facets["corners"] = corners
                count += len(facets)
                if count > _MOST:
                    raise ImageError(
                        f"the surface of {name} has more than {_MOST} facets",
                        expected="as many as an STL file can count",
                        remedy="export a part of the volume, or leave stl out",
                    )
                file.write(facets.tobytes())
            file.seek(80)
            file.write(np.array(count, "<u4").tobytes())
        own = job.source.counts[phase] * job.source.voxel
        if abs(volume / own - 1) > _OFF:
            advice = "; --surface marching-cubes does not smooth" if job.surface_method != "marching-cubes" else ""
            notes.append(
                f"{names[-1]} encloses {volume / own:.3f} times the volume of {name}: parts of it are a few voxels "
                f"thick{advice}"
            )
    return Written(tuple(names), tuple(notes))


STL = Export(_write, volumes_only=True)
