"""Contacts between the particles of a phase: counted in slices, where the exemplars show them, and removed in 3D.

Slices do not determine the third dimension, and optimised volumes have too many contacts: a phase of particles then
conducts several times as well as it should. By stereology the contact area per volume is 4/pi of the contact length per
area (Underwood 1970, Quantitative Stereology), so that the exemplar says how much of it there may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.metrology.basins import basins

if TYPE_CHECKING:
    from fijibridge.reconstruction.exemplars import Exemplars

_SLICES = 24  # counted along each axis
_THINNEST = 4.0  # voxels: mean chord below which a phase has layers, not particles
_MARGIN = 1.1  # allowed ratio to the exemplar's contacts, within their scatter


def _steps(parts: np.ndarray, axis: int) -> np.ndarray:
    """Where a step along an axis leads from one particle into another."""
    parts = np.moveaxis(parts, axis, 0)
    return (parts[1:] != parts[:-1]) & (parts[1:] > 0) & (parts[:-1] > 0)


def contact_density(mask: np.ndarray) -> float:
    """Share of the steps along the axes of a mask that lead from one particle into another."""
    parts = basins(mask)
    return float(np.mean([_steps(parts, axis).mean() for axis in range(mask.ndim)]))


def excess(index: np.ndarray, exemplars: Exemplars, phase: int, margin: float = _MARGIN) -> float:
    """Share of the contacts of a phase that is more than the exemplars have; 0 where there are not too many.

    Parameters
    ----------
    index : np.ndarray
        (Z, Y, X) phase indices.
    exemplars : Exemplars
        What the slices should look like.
    phase : int
        Index of the phase; one of thin layers, with mean chords below 4 voxels, has no particles and no excess.
    margin : float
        Allowed ratio to the exemplars' contacts.

    Returns
    -------
    float
        0 to 1.
    """
    found = wanted = 0.0
    for axis in range(3):
        exemplar = exemplars.across(axis).index[0] == phase
        if _mean_chord(exemplar) < _THINNEST:
            return 0.0
        wanted += contact_density(exemplar)
        planes = np.moveaxis(index, axis, 0)
        places = np.unique(np.linspace(0, len(planes) - 1, _SLICES).round().astype(int))
        found += float(np.mean([contact_density(planes[place] == phase) for place in places]))
    return max(0.0, 1 - margin * wanted / found) if found else 0.0


def _mean_chord(mask: np.ndarray) -> float:
    ends = sum(np.diff(mask.astype(np.int8), axis=axis).astype(bool).mean() for axis in (0, 1)) / 2
    return float("inf") if ends == 0 else 2 * float(mask.mean()) / float(ends)


def surplus_contacts(mask: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Voxels at contacts that together make up a share of the contact area.

    They are drawn at random, small ones more often than large ones: removing the smallest alone would leave particles
    joined by few broad necks, the largest alone many that touch at a point.

    Parameters
    ----------
    mask : np.ndarray
        (Z, Y, X) bool: the phase.
    share : float
        Of the contact area, 0 to 1.
    seed : int
        Of the random draw.

    Returns
    -------
    np.ndarray
        (Z, Y, X) bool: voxels on both sides of these contacts.
    """
    parts = basins(mask).astype(np.int64)
    count = int(parts.max()) + 1
    place = np.arange(mask.size).reshape(mask.shape)
    pairs, voxels = [], []
    for axis in range(3):
        touching = _steps(parts, axis)
        sides = np.moveaxis(parts, axis, 0)
        low, high = sides[1:][touching], sides[:-1][touching]
        pairs.append(np.minimum(low, high) * count + np.maximum(low, high))
        where = np.moveaxis(place, axis, 0)
        voxels.append(np.stack([where[1:][touching], where[:-1][touching]]))
    _, pair, area = np.unique(np.concatenate(pairs), return_inverse=True, return_counts=True)
    result = np.zeros(mask.size, bool)
    if len(area):
        order = np.argsort(area * np.random.default_rng(seed).random(len(area)), kind="stable")
        taken = np.zeros(len(area), bool)
        taken[order[np.cumsum(area[order]) <= share * area.sum()]] = True
        result[np.concatenate(voxels, axis=1)[:, taken[pair]]] = True
    return result.reshape(mask.shape)
