"""Labelled samples, and how they are written as ARFF, the text of Weka and of TWS's "Save data". Needs no Java."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import LabelsError, SettingsError
from fijibridge.forest.java.model_file import RELATION

_DIGITS = 6  # decimals that Weka writes
_EXACT = 1e8  # up to here a float32 times a million is a whole number of halves within a double's 53 bits
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "%": "\\%", "\x1e": "\\u001E"}


@dataclass(frozen=True, eq=False)
class LabelledSamples:
    """Features of labelled pixels, without the image that they come from.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n, F)
        Features; NaN where a value is missing.
    y : ndarray of int64, shape (n,)
        Indices into `class_names`.
    feature_names : tuple of str
        F names.
    class_names : tuple of str
    relation : str
        What the file calls itself; TWS says its version there.

    Raises
    ------
    SettingsError
        Shapes and names that do not fit.
    LabelsError
        A label with no class name.
    """

    X: np.ndarray
    y: np.ndarray
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    relation: str = RELATION

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_names", tuple(self.feature_names))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        _check(self.X, self.y, self.feature_names, self.class_names)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def counts(self) -> dict[str, int]:
        """Samples of each class."""
        numbers = np.bincount(self.y, minlength=len(self.class_names)).tolist()
        return dict(zip(self.class_names, numbers, strict=True))


def _check(X: np.ndarray, y: np.ndarray, feature_names: Sequence[str], class_names: Sequence[str]) -> None:
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


def write_arff(
    path: str | os.PathLike[str],
    X: np.ndarray,
    y: np.ndarray,
    feature_names: Sequence[str],
    class_names: Sequence[str],
    *,
    relation: str = RELATION,
    exact: bool = False,
) -> Path:
    """Write labelled samples as ARFF, for TWS's "Load data" and Weka's Explorer.

    The text is that of TWS's "Save data", byte by byte: ``weka.core.Instances.toString`` with at most six decimals,
    rounded half up. From 2**53 on Java's last digits may differ, which read back as the same float32.

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
    relation : str
        What the file calls itself.
    exact : bool
        Write the shortest numbers that read back as the same ones of this dtype, as for features that six decimals
        do not tell apart.

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
    X, y, path = np.asarray(X), np.asarray(y), Path(path)
    _check(X, y, feature_names, class_names)
    classes = [quoted(name) for name in class_names]
    lines = [f"@relation {quoted(relation)}", ""]
    lines += [f"@attribute {quoted(name)} numeric" for name in feature_names]
    lines += [f"@attribute class {{{','.join(classes)}}}", "", "@data"]
    texts = _exact_rows if exact else _weka_rows
    rows = max(1, 2**18 // max(1, X.shape[1]))
    with output_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
        for start in range(0, len(X), rows):
            block = texts(X[start : start + rows])
            labels = y[start : start + rows].tolist()
            file.write("".join(f"{row}{classes[k]}\n" for row, k in zip(block, labels, strict=True)))
    return path


def quoted(name: str) -> str:
    """A name as ``weka.core.Utils.quote`` writes it: in quotes, with escapes, where it could be misread."""
    text = str(name)
    escaped = "".join(_ESCAPES.get(sign, sign) for sign in text)
    return f"'{escaped}'" if escaped != text or text in ("", "?") or set(text) & set("{}, ") else text


def _exact_rows(X: np.ndarray) -> list[str]:
    return ["".join("?," if value != value else f"{value!s}," for value in row) for row in X]


def _weka_rows(X: np.ndarray) -> list[str]:
    """Rows as Weka's `Utils.doubleToString` writes them with six decimals, each value with a comma after it."""
    single, X = X.dtype == np.float32, np.asarray(X, np.float64)
    with np.errstate(invalid="ignore"):
        size = np.abs(X)
        scaled = np.floor(size * 10.0**_DIGITS + 0.5)  # half up; exact for float32
        rounded = np.copysign(scaled / 10.0**_DIGITS, X)
        usual = (size < _EXACT) | (size != size)
        # A number of more bits may be put on the wrong side of a half by its product.
        near = usual & (not single) & (np.abs(size * 10.0**_DIGITS + 0.5 - np.rint(size * 10.0**_DIGITS + 0.5)) < 1e-3)
    for place in zip(*np.nonzero(near), strict=True):
        rounded[place] = float(_weka_number(X[place]))
    form = f"%.{_DIGITS}f," * X.shape[1]
    rows = [
        form % tuple(row) if plain else "".join("?," if v != v else f"{_weka_number(v)}," for v in row)
        for row, plain in zip(rounded.tolist(), usual.all(axis=1).tolist(), strict=True)
    ]
    for i in np.flatnonzero(~usual.all(axis=1)):
        rows[i] = "".join("?," if v != v else f"{_weka_number(v)}," for v in X[i].tolist())
    text = re.sub(r"\.0+,|(\.\d*[1-9])0+,", r"\1,", "\n".join(rows))
    return text.replace("nan,", "?,").split("\n")


def _weka_number(value: float) -> str:
    """A number as Java's `DecimalFormat` writes it with at most six decimals, rounded half up."""
    from decimal import ROUND_HALF_UP, Context, Decimal

    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    # Java rounds its shortest digits, but looks at the exact value where they end in a five.
    shortest, exact = Decimal(repr(float(value))), Decimal(float(value))
    context, unit = Context(prec=400), Decimal(1).scaleb(-_DIGITS)
    tie = shortest == shortest.quantize(unit.scaleb(-1), context=context)
    chosen = (exact if tie else shortest).quantize(unit, ROUND_HALF_UP, context)
    text = f"{chosen:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
