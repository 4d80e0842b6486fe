"""A pore network of each phase, as OpenPNM's CSV: `openpnm.io.network_from_csv` reads it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.metrology.basins import basins
from fijibridge.metrology.export.export import Export, Job, Written, metres
from fijibridge.phases.phases import Phases

if TYPE_CHECKING:
    import pandas as pd

_VOXEL_BYTES = 90.0  # at the peak, measured
_FACES = (("zmin", "zmax"), ("ymin", "ymax"), ("xmin", "xmax"))


def pore_network(phases: Phases, phase: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    """Pores of a phase and the throats between them, by OpenPNM's names.

    The watershed of the distance to the surface cuts the phase at its necks, as SNOW does (Gostick 2017, Phys. Rev. E
    96:023307); here maxima less than half a voxel above the neck between them are one pore.

    Parameters
    ----------
    phases : Phases
        (Z, Y, X) volume.
    phase : int
        Index of the phase.
    scale : float
        Factor to the unit wanted: 1e-9 for metres where voxels are in nm.

    Returns
    -------
    dict of np.ndarray
        For each pore: ``pore.coords`` ((P, 3), x, y, z of its centroid), ``pore.volume``, ``pore.diameter`` (of the
        largest ball inside), ``pore.equivalent_diameter`` (of the ball of its volume), and bool ``pore.xmin``,
        ``pore.xmax``, ... (it touches that face of the volume). For each throat: ``throat.conns`` ((T, 2) pores, the
        lower number first), ``throat.coords`` ((T, 3)), ``throat.cross_sectional_area`` (the vector sum of its voxels'
        faces: right for a plane in any direction), ``throat.diameter`` (of the largest ball in it),
        ``throat.equivalent_diameter`` (of the circle of its area), ``throat.total_length`` (from pore to pore through
        the throat).
    """
    from scipy import ndimage

    mask = phases.mask(phase)
    side = min(phases.spacing)
    steps = np.array(phases.spacing) / side
    distance = ndimage.distance_transform_edt(mask, sampling=steps).astype(np.float32)
    parts = basins(mask, distance=distance)
    count = int(parts.max())
    inside = parts > 0
    of = parts[inside] - 1
    size = np.bincount(of, minlength=count)
    # in the smallest voxel side until the end
    grid = np.ogrid[tuple(slice(0, extent) for extent in mask.shape)]
    coords = _means(
        of,
        ((np.broadcast_to(line, mask.shape)[inside] + 0.5) * step for line, step in zip(grid, steps, strict=True)),
        size,
    )
    volume = size * steps.prod()
    widest = np.zeros(count)
    np.maximum.at(widest, of, distance[inside])
    throats = _throats(parts, distance, steps)
    centre = throats["coords"]
    first, second = (coords[throats["conns"][:, end]] for end in (0, 1))
    length = np.linalg.norm(first - centre, axis=1) + np.linalg.norm(second - centre, axis=1)
    unit = side * scale
    network = {
        "pore.coords": coords[:, ::-1] * unit,
        "pore.volume": volume * unit**3,
        "pore.diameter": 2 * widest * unit,
        "pore.equivalent_diameter": np.cbrt(6 * volume / np.pi) * unit,
        "throat.conns": throats["conns"],
        "throat.coords": centre[:, ::-1] * unit,
        "throat.cross_sectional_area": throats["area"] * unit**2,
        "throat.diameter": 2 * throats["widest"] * unit,
        "throat.equivalent_diameter": np.sqrt(4 * throats["area"] / np.pi) * unit,
        "throat.total_length": length * unit,
    }
    for axis, names in enumerate(_FACES):
        for name, end in zip(names, (0, -1), strict=True):
            touching = np.zeros(count + 1, bool)
            touching[np.take(parts, end, axis).ravel()] = True
            network[f"pore.{name}"] = touching[1:]
    return network


def _means(of: np.ndarray, columns: Iterable[np.ndarray], size: np.ndarray) -> np.ndarray:
    """(N, 3) mean of the three columns in each group."""
    return np.stack([np.bincount(of, column, len(size)) / np.maximum(size, 1) for column in columns], axis=1)


def _throats(parts: np.ndarray, distance: np.ndarray, steps: np.ndarray) -> dict[str, np.ndarray]:
    """Pairs of pores that share faces of voxels: those, centres, areas and largest distances to the surface."""
    count = int(parts.max()) + 1
    keys, centres, faces, widths = [], [], [], []
    for axis in range(3):
        low, high = (np.moveaxis(parts, axis, 0)[cut].astype(np.int64) for cut in (slice(None, -1), slice(1, None)))
        meet = (low != high) & (low > 0) & (high > 0)
        away = np.moveaxis(distance, axis, 0)
        widths.append(np.maximum(away[:-1][meet], away[1:][meet]))
        low, high = low[meet], high[meet]
        keys.append(np.minimum(low, high) * count + np.maximum(low, high))
        places = np.argwhere(meet) + 0.5
        places[:, 0] += 0.5
        centres.append(np.insert(places[:, 1:], axis, places[:, 0], axis=1) * steps)
        vectors = np.zeros((len(low), 3))
        vectors[:, axis] = np.where(low < high, 1, -1) * steps.prod() / steps[axis]
        faces.append(vectors)
    pairs, of, size = np.unique(np.concatenate(keys), return_inverse=True, return_counts=True)
    vectors = np.concatenate(faces)
    area = np.stack([np.bincount(of, column, len(pairs)) for column in vectors.T], axis=1)
    largest = np.abs(vectors).sum(axis=1)
    widest = np.zeros(len(pairs))
    np.maximum.at(widest, of, np.concatenate(widths))
    smallest = np.full(len(pairs), np.inf)
    np.minimum.at(smallest, of, largest)
    return {
        "conns": np.stack(np.divmod(pairs, count), axis=1) - 1,
        "coords": _means(of, np.concatenate(centres).T, size),
        # faces of a throat around a pore cancel: it has one face's area at least
        "area": np.maximum(np.linalg.norm(area, axis=1), smallest),
        "widest": widest,
    }


def network_table(network: dict[str, np.ndarray]) -> pd.DataFrame:
    """A network as OpenPNM's CSV has it: a column each, vectors as ``name[0]``, ``name[1]``, ...; short ones end early.

    Parameters
    ----------
    network : dict of np.ndarray
        As `pore_network` returns it.

    Returns
    -------
    pandas.DataFrame
    """
    import pandas as pd

    columns = {}
    for name, array in network.items():
        if array.ndim == 1:
            columns[name] = pd.Series(array)
        else:
            columns |= {f"{name}[{place}]": pd.Series(column) for place, column in enumerate(array.T)}
    return pd.DataFrame(columns)


def _write(job: Job, folder: Path) -> Written:
    phases, scale = job.source.load(), metres(job.source, "export openpnm")
    names, notes = [], []
    for phase, name, part in job.chosen():
        network = pore_network(phases, phase, scale)
        pores, ends = len(network["pore.volume"]), network["throat.conns"]
        names.append(f"network_{part}.csv")
        network_table(network).to_csv(folder / names[-1], index=False, encoding="utf-8", float_format="%.9g")
        if alone := pores - len(np.unique(ends)):
            notes.append(f"{names[-1]}: {alone} of the {pores} pores of {name} have no throat")
    return Written(tuple(names), tuple(notes))


OPENPNM = Export(_write, metres=True, volumes_only=True, voxel_bytes=_VOXEL_BYTES)
