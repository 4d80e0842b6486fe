"""What both engines ask of training samples: classes as indices, and how many features a split tries."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fijibridge.core.errors import LabelsError, SettingsError


def class_indices(y: np.ndarray, class_names: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names, and the samples' indices into them.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Indices into `class_names`, or the names themselves; any labels if `class_names` is None.
    class_names : sequence of str or None

    Returns
    -------
    names : tuple of str
    index : ndarray of int64, shape (n,)

    Raises
    ------
    LabelsError
        A label with no name, or fewer than two classes with samples.
    """
    remedy = "name every class that is labelled, and label at least two"
    if class_names is None:
        labels, index = np.unique(y, return_inverse=True)
        names = tuple(str(label) for label in labels)
    else:
        names = tuple(str(name) for name in class_names)
        if y.dtype.kind in "iub":
            index = y.astype(np.int64)
        else:
            number = {name: i for i, name in enumerate(names)}
            index = np.array([number.get(str(label), -1) for label in y], np.int64)
        if len(index) and (index.min() < 0 or index.max() >= len(names)):
            raise LabelsError("a label with no class name", expected=f"one of {', '.join(names)}", remedy=remedy)
    if len(np.unique(index)) < 2:
        raise LabelsError("fewer than two classes with samples", expected="at least two", remedy=remedy)
    return names, index


def features_tried(max_features: str | int | float | None, n_features: int) -> int:
    """Features tried at a split, by scikit-learn's rules.

    Parameters
    ----------
    max_features : str, int, float or None
        ``sqrt``, ``log2``, a number, a share, or None for all.
    n_features : int
        Features that there are.

    Returns
    -------
    int

    Raises
    ------
    SettingsError
        Another word, or a number outside 1 to `n_features`.
    """
    if max_features in ("sqrt", "log2"):
        return max(1, int(math.sqrt(n_features) if max_features == "sqrt" else math.log2(n_features)))
    if max_features is None:
        return n_features
    if isinstance(max_features, float) and 0 < max_features <= 1:
        return max(1, int(max_features * n_features))
    if isinstance(max_features, (int, np.integer)) and 1 <= max_features <= n_features:
        return int(max_features)
    raise SettingsError(
        f"max_features = {max_features!r}",
        expected=f"sqrt, log2, or a number of 1 to {n_features}",
        remedy="use sqrt",
    )
