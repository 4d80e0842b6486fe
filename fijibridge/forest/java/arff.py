"""Labelled samples as ARFF, the text format of Weka and of TWS's "Save data"."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import LabelsError, SettingsError
from fijibridge.forest.java.model_file import RELATION


def write_arff(
    path: str | os.PathLike[str],
    X: np.ndarray,
    y: np.ndarray,
    feature_names: Sequence[str],
    class_names: Sequence[str],
) -> Path:
    """Write labelled samples as ARFF, for TWS's "Load data" and Weka's Explorer. Needs no Java.

    Parameters
    ----------
    path : path
        Usually ``*.arff``. Replaced if it exists.
    X : ndarray, shape (n, n_features)
        Features; NaN is written as missing.
    y : ndarray of int, shape (n,)
        Indices into `class_names`.
    feature_names, class_names : sequence of str
        Names.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    SettingsError, LabelsError
        If shapes, names and labels do not fit.
    OutputError
        If it cannot be written.
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim != 2 or y.shape != X.shape[:1] or len(feature_names) != X.shape[1]:
        raise SettingsError(
            f"X {X.shape}, y {y.shape}, {len(feature_names)} feature names",
            expected="(n, n_features), (n,), n_features",
            remedy="give one label a sample and one name a feature",
        )
    if y.dtype.kind not in "iu" or (len(y) and not 0 <= y.min() <= y.max() < len(class_names)):
        raise LabelsError(
            "a label with no class name", expected=f"0 to {len(class_names) - 1}", remedy="name every class"
        )
    classes = [_quoted(name) for name in class_names]
    lines = [f"@relation {RELATION}", ""]
    lines += [f"@attribute {_quoted(name)} numeric" for name in feature_names]
    lines += [f"@attribute class {{{','.join(classes)}}}", "", "@data"]
    path = Path(path)
    with output_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
        for row, label in zip(X, y, strict=True):
            # The shortest text that reads back as the same number of this dtype.
            values = ("?" if value != value else str(value) for value in row)
            file.write(",".join([*values, classes[label]]) + "\n")
    return path


def _quoted(name: str) -> str:
    escaped = str(name).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
