"""Connected components of each phase, and whether they reach from one face of the sample to the opposite one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.metrology.phases import as_phases

if TYPE_CHECKING:
    import pandas as pd


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Components connected by faces (by edges of pixels in 2D), as flow is.

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
    """Numbers of the components that touch both the first and the last face of an axis (sorted, without 0)."""
    faces = np.moveaxis(labels, axis, 0)
    both = np.intersect1d(faces[0], faces[-1])
    return both[both > 0]


def percolating(mask: np.ndarray, axis: int) -> np.ndarray:
    """(Z, Y, X) bool: the part of a mask connected to both faces of an axis."""
    labels, count = components(mask)
    keep = np.zeros(count + 1, bool)
    keep[spanning(labels, axis)] = True
    return keep[labels]


def connectivity(labels: Any, **about: Any) -> pd.DataFrame:
    """Connected components and percolation of each phase.

    Parameters
    ----------
    labels : array_like or Phases
        (Y, X) or (Z, Y, X) labels.
    **about
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

    phases = as_phases(labels, **about)
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
