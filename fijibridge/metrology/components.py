"""Connected components of each phase, and whether they reach from one face of the sample to the opposite one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.metrology import plots
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.phases import as_phases

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
    labels : array_like or Phases
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

    phases = as_phases(labels, **options)
    rows = []
    for phase, name in phases:
        found, count = components(phases.mask(phase))
        sizes = np.bincount(found.ravel(), minlength=count + 1)
        sizes[0] = 0
        whole = sizes.sum()
        for axis in phases.axes:
            place = phases.axis(axis)
            faces = np.moveaxis(found, place, 0)
            touching = np.union1d(faces[0], faces[-1])
            rows.append(
                {
                    "phase": name,
                    "axis": axis,
                    "components": count,
                    "largest": sizes.max() / whole,
                    "percolating": sizes[spanning(found, place)].sum() / whole,
                    "isolated": 1 - sizes[touching].sum() / whole,
                }
            )
    return pd.DataFrame(rows)


def _measure(context: Context) -> None:
    seen = set()
    for row in connectivity(context.phases).itertuples():
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


CONNECTIVITY = Metric(_measure, _draw, follows_paths=True)
