"""Sparse labels drawn into a ground truth, as a user would scribble them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi


def strokes_of(truth: np.ndarray, rng: np.random.Generator, *, each: int = 8, length: int = 40) -> np.ndarray:
    """Random walks inside each class, 3 pixels wide.

    Parameters
    ----------
    truth : np.ndarray
        (Y, X) integers: 1, 2, ... are classes, 0 is none.
    rng : Generator
        Of places and turns.
    each : int
        Strokes a class.
    length : int
        Steps of a stroke, one pixel each; it turns round at the class's edge.

    Returns
    -------
    np.ndarray
        (Y, X) uint8: 0 unlabelled, else the class.
    """
    labels = np.zeros(truth.shape, np.uint8)
    height, width = truth.shape
    for value in np.unique(truth[truth > 0]):
        phase = truth == value
        inner = ndi.binary_erosion(phase, iterations=2)
        inner = inner if inner.any() else phase
        places = np.argwhere(inner)
        for _ in range(each):
            place = places[rng.integers(len(places))].astype(float)
            angle = rng.uniform(0, 2 * np.pi)
            line = np.zeros_like(phase)
            for _ in range(length):
                angle += rng.normal(0, 0.4)
                ahead = place + np.array((np.sin(angle), np.cos(angle)))
                row, col = np.rint(ahead).astype(int)
                if not (0 <= row < height and 0 <= col < width and inner[row, col]):
                    angle += rng.uniform(0.5, 1.5) * np.pi  # turn round at the phase's edge
                    continue
                place = ahead
                line[row, col] = True
            labels[ndi.binary_dilation(line, np.ones((3, 3))) & phase] = value
    return labels
