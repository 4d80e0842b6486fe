"""A linear model and a first forest label further pixels, from which the final forest learns as well.

Few strokes tell a forest little about how its features go together, and nothing of the classes' shares in the image. So
unlabelled pixels, drawn from the whole images, get the class that a linear model of the features (`readout`) and a
forest trained on the strokes find together most probable; the final forest learns from both. It is a plain random
forest of few features, which Weka runs.
"""

from __future__ import annotations

import numpy as np

from fijibridge.features.readout import class_shares
from fijibridge.forest import Forest

FURTHER_PIXELS = 10_000  # drawn in all images together


def further_classes(
    first: Forest, samples: np.ndarray, linear: np.ndarray, trained: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """Classes of unlabelled pixels by a forest and a linear model together.

    The forest's probabilities are corrected to the classes' shares among the pixels; then the geometric mean of both.

    Parameters
    ----------
    first : Forest
        Trained on the labels alone.
    samples : ndarray, float32, shape (n, F)
        The forest's features.
    linear : ndarray, shape (n, K)
        Probabilities of the linear model, corrected already.
    trained : ndarray, shape (K,)
        The classes' shares among the labels.
    n_threads : int, optional

    Returns
    -------
    ndarray of int64, shape (n,)
        0 to K - 1.
    """
    votes = first.predict_proba(np.ascontiguousarray(samples), n_threads=n_threads) + 1e-3
    shares = class_shares(votes / votes.sum(1, keepdims=True), trained)
    votes = votes * np.divide(shares, trained, out=np.zeros_like(shares), where=trained > 0)
    return ((linear + 1e-4) * votes / votes.sum(1, keepdims=True)).argmax(1)
