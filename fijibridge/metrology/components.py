"""Connected components of each phase, and whether they reach from one face of the sample to the opposite one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.metrology import plots
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.phases import PhaseSource, as_source

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Components connected by faces (in 2D by edges of pixels), through which something can flow.

    Parameters
    ----------
    mask : np.ndarray
        (Z, Y, X) bool.

    Returns
    -------
    labels : np.ndarray
        (Z, Y, X) int32, 0 outside the mask.
    count : int
    """
    from scipy import ndimage as ndi

    labels, count = ndi.label(mask)
    return labels, int(count)


def spanning(labels: np.ndarray, axis: int) -> np.ndarray:
    """Components that touch both the first and the last face of an axis.

    Parameters
    ----------
    labels : np.ndarray
        (Z, Y, X) int32 from `components`.
    axis : int
        0, 1 or 2.

    Returns
    -------
    np.ndarray
        (N,) int32 numbers of the components, sorted.
    """
    faces = np.moveaxis(labels, axis, 0)
    both = np.intersect1d(faces[0], faces[-1])
    return both[both > 0]


def percolating(mask: np.ndarray, axis: int) -> np.ndarray:
    """The part of a mask that is connected to both faces of an axis.

    Parameters
    ----------
    mask : np.ndarray
        (Z, Y, X) bool.
    axis : int
        0, 1 or 2.

    Returns
    -------
    np.ndarray
        (Z, Y, X) bool.
    """
    labels, count = components(mask)
    keep = np.zeros(count + 1, bool)
    keep[spanning(labels, axis)] = True
    return keep[labels]


def connectivity(labels: Any, **options: Unpack[PhasesOptions]) -> pd.DataFrame:
    """Connected components and percolation of each phase.

    Parameters
    ----------
    labels : array_like, Phases or PhaseVolume
        (Y, X) or (Z, Y, X) labels.
    **options
        Spacing, unit, background and names as `as_phases` takes them.

    Returns
    -------
    pandas.DataFrame
        One row a phase and axis: ``phase``, ``axis``, ``components`` (number in the whole image), ``largest`` (share of
        the phase in its largest component), ``percolating`` (share of the phase in components that touch both faces of
        the axis; 0: it does not percolate), ``isolated`` (share that touches neither of the two faces).

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`.
    """
    import pandas as pd

    source = as_source(labels, **options)
    rows = []
    for phase, name in source:
        sizes, faces = _joined(source, phase)
        whole = sizes.sum()
        for axis in source.axes:
            first, last = faces[:, source.axis(axis)].T
            rows.append(
                {
                    "phase": name,
                    "axis": axis,
                    "components": len(sizes),
                    "largest": sizes.max(initial=0) / max(whole, 1),
                    "percolating": sizes[first & last].sum() / max(whole, 1),
                    "isolated": 1 - sizes[first | last].sum() / max(whole, 1),
                }
            )
    return pd.DataFrame(rows)


def _joined(source: PhaseSource, phase: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes of a phase's components, and which faces they touch: (N, 3 axes, first and last) bool.

    The components of each slab are joined where they meet those of the slab before.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sizes, faces, joints = [], [], []
    total, above = 0, np.zeros(source.shape[1:], np.int64)
    for slab in source.slabs():
        found, count = components(slab.index == phase)
        sizes.append(np.bincount(found.ravel(), minlength=count + 1)[1:])
        touching = np.zeros((count + 1, 3, 2), bool)
        if slab.start == 0:
            touching[found[0].ravel(), 0, 0] = True
        if slab.stop == source.shape[0]:
            touching[found[-1].ravel(), 0, 1] = True
        for axis in (1, 2):
            for side in (0, 1):
                touching[np.take(found, -side, axis).ravel(), axis, side] = True
        faces.append(touching[1:])
        below = np.where(found[0] > 0, found[0].astype(np.int64) + total, 0)
        meet = (above > 0) & (below > 0)
        pairs = np.unique((above[meet] - 1) * (total + count) + below[meet] - 1)
        joints.append(np.stack(np.divmod(pairs, max(total + count, 1))))
        above = np.where(found[-1] > 0, found[-1].astype(np.int64) + total, 0)
        total += count
    upper, lower = np.concatenate(joints, axis=1)
    graph = coo_array((np.ones(len(upper), bool), (upper, lower)), (total, total))
    count, of = connected_components(graph, directed=False) if total else (0, np.zeros(0, int))
    touched, touching = np.zeros((count, 3, 2), bool), np.concatenate(faces)
    for axis in range(3):
        for side in (0, 1):
            touched[of[touching[:, axis, side]], axis, side] = True
    joined = np.bincount(of, np.concatenate(sizes), count).astype(np.int64)
    return joined, touched


def _measure(context: Context) -> None:
    seen = set()
    for row in connectivity(context.source).itertuples():
        if row.phase not in seen:
            seen.add(row.phase)
            context.add("components", row.components, phase=row.phase)
            context.add("largest_component", row.largest, phase=row.phase)
        if row.axis in context.axes:
            context.add("percolating", row.percolating, phase=row.phase, axis=row.axis)
            context.add("isolated", row.isolated, phase=row.phase, axis=row.axis)


def _draw(found: Measurement) -> Figure:
    figure, (axis,) = plots.figure()
    plots.grouped_bars(axis, found, "percolating", "share that percolates", "{:.3f}")
    axis.set_ylim(0, 1.3)
    return figure


CONNECTIVITY = Metric(_measure, _draw, follows_paths=True, slabs=_measure)
