"""Class probabilities of a stack's pixels, block by block, and the labels that they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.progress import bar
from fijibridge.features.stack import plain_slice

if TYPE_CHECKING:
    from fijibridge.features.stack import FeatureStack
    from fijibridge.forest import Classifier


def predicted(
    forest: Classifier, stack: FeatureStack, rows: slice, cols: slice, *, height: int, n_threads: int
) -> np.ndarray:
    """Class probabilities of a field, float32 (Y, X, K).

    Parameters
    ----------
    forest : Classifier
    stack : FeatureStack
        Of the forest's features.
    rows, cols : slice
        The field, with step 1.
    height : int
        Rows of the image with its data bar, where probabilities are 0.
    n_threads : int
        0: all cores.
    """
    wanted = plain_slice(rows, height), plain_slice(cols, stack.shape[1])
    top, left = (span.start for span in wanted)
    result = np.zeros((*(span.stop - span.start for span in wanted), forest.n_classes), np.float32)
    blocks = [
        (down, across)
        for block in stack.blocks()
        if (down := _overlap(block[0], wanted[0])) and (across := _overlap(block[1], wanted[1]))
    ]
    with bar("segmenting", len(blocks)) as steps:
        for down, across in blocks:
            found = stack.block(down, across)
            flat = forest.predict_proba(found.reshape(-1, stack.shape[2]), n_threads=n_threads or None)
            place = slice(down.start - top, down.stop - top), slice(across.start - left, across.stop - left)
            result[place] = flat.reshape(*found.shape[:2], -1)
            steps.update()
    return result


def _overlap(one: slice, other: slice) -> slice | None:
    """What two spans have in common; None where that is nothing."""
    start, stop = max(one.start, other.start), min(one.stop, other.stop)
    return slice(start, stop) if start < stop else None


def labels_of(probabilities: np.ndarray) -> np.ndarray:
    """Label image of probabilities (Y, X, classes): 1 + the most probable class, uint8; 0 where all are 0."""
    labels: np.ndarray = probabilities.argmax(axis=2).astype("uint8")
    labels += 1
    labels[probabilities.max(axis=2) == 0] = 0
    return labels
