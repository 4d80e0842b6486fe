"""How a forest judges itself: votes of the trees that did not see a sample (Breiman 2001), as a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def confusion(true: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Confusion matrix of out-of-bag votes.

    Parameters
    ----------
    true : ndarray of int, shape (n,)
        Classes, 0 to K - 1.
    votes : ndarray, shape (n, K)
        Sums over the trees that did not see the sample; samples that all trees saw have zeros and do not count. Of
        equals the first class wins.

    Returns
    -------
    ndarray of int64, shape (K, K)
        Samples by true class (rows) and predicted class (columns).
    """
    n_classes = votes.shape[1]
    seen = votes.sum(axis=1) > 0
    pairs = true[seen] * n_classes + votes[seen].argmax(axis=1)
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def class_scores(matrix: np.ndarray, class_names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Precision, recall and intersection over union of each class.

    Parameters
    ----------
    matrix : array_like of int, shape (K, K)
        True classes in rows, predicted ones in columns.
    class_names : sequence of str

    Returns
    -------
    dict
        ``{"pore": {"precision": TP / (TP + FP), "recall": TP / (TP + FN), "iou": TP / (TP + FP + FN)}, ...}``; None
        where that is 0 / 0.
    """
    matrix = np.asarray(matrix)
    hits, found, true = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return {
        name: {
            score: round(float(hits[k] / of[k]), 6) if of[k] else None
            for score, of in (("precision", found), ("recall", true), ("iou", found + true - hits))
        }
        for k, name in enumerate(class_names)
    }
