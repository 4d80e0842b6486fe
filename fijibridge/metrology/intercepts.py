"""Interface areas from intercepts: how often lines in 13 directions cross from one phase into another."""

from __future__ import annotations

from itertools import product

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.phases.phases import OUTSIDE, PhaseSource

_POINTS = 40_000  # on the half sphere, for the weights of the directions: exact to one part in a thousand


@compiled
def _passes(padded, dz, dy, dx, counts):
    """Add up the steps from each voxel, forwards and backwards, by the phases they begin and end in."""
    nz, ny, nx = padded.shape
    for z in range(1, nz - 1):
        for y in range(1, ny - 1):
            for x in range(1, nx - 1):
                a = padded[z, y, x]
                if a == OUTSIDE:
                    continue
                b, c = padded[z + dz, y + dy, x + dx], padded[z - dz, y - dy, x - dx]
                if b != OUTSIDE:
                    counts[a, b] += 1
                if c != OUTSIDE:
                    counts[a, c] += 1


def _directions(phases: PhaseSource) -> list[tuple[int, int, int]]:
    """Steps to the neighbours, one of each pair of opposite ones: 13 in 3D, 4 in 2D."""
    return [
        step
        for step in product((0, 1), (-1, 0, 1), (-1, 0, 1))
        if step > (0, 0, 0) and all(abs(d) < n for d, n in zip(step, phases.shape, strict=True))
    ]


def _weights(vectors: np.ndarray, ndim: int) -> np.ndarray:
    """The share of all directions that lie nearest to each of these (and their opposites)."""
    number: np.ndarray = np.arange(_POINTS) + 0.5
    if ndim == 2:
        angle = np.pi * number / _POINTS
        points = [np.zeros(_POINTS), np.sin(angle), np.cos(angle)]
    else:  # equal areas on a spiral
        height, angle = number / _POINTS, np.pi * (1 + 5**0.5) * number
        flat = np.sqrt(1 - height**2)
        points = [height, flat * np.sin(angle), flat * np.cos(angle)]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.abs(np.stack(points, axis=1) @ unit.T).argmax(axis=1)
    return np.bincount(nearest, minlength=len(vectors)) / _POINTS


def interface_areas(phases: PhaseSource) -> np.ndarray:
    """Area of the interface of each pair of phases, by Crofton's formula.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        The image.

    Returns
    -------
    np.ndarray
        (phases, phases) float64, symmetric, 0 on the diagonal; length in 2D.
    """
    steps = _directions(phases)
    vectors = np.array(steps) * np.array(phases.spacing)
    weights = _weights(vectors, phases.ndim)
    factor = 2 if phases.ndim == 3 else np.pi / 2
    counts = np.zeros((len(steps), len(phases), len(phases)), np.int64)
    for slab in phases.slabs(before=1, after=1):
        ends = (int(slab.before == 0), int(slab.own.stop == len(slab.index)))
        padded = np.pad(slab.index, (ends, (1, 1), (1, 1)), mode="edge")  # mirrored at the image's faces
        for step, found in zip(steps, counts, strict=True):
            _passes(padded, *step, found)
    density = np.zeros((len(phases), len(phases)))
    for found, vector, weight in zip(counts, vectors, weights, strict=True):
        density += factor * weight * (found + found.T) / (2 * sum(phases.counts)) / np.linalg.norm(vector)
    np.fill_diagonal(density, 0)
    return density * phases.measure
