"""Training a segmenter's forest by either engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.forest import Forest


def checked_features_tried(given: str | int) -> str | int:
    """Features tried at a split, of which options give a number as text.

    Parameters
    ----------
    given : str or int

    Raises
    ------
    SettingsError
        Neither ``"sqrt"`` nor ``"log2"`` nor a positive number.
    """
    number = isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 10
    tried = int(given) if number else given
    if tried not in ("sqrt", "log2") and not (type(tried) is int and tried > 0):
        raise SettingsError(f"max_features = {given!r}", expected="sqrt, log2 or a positive number", remedy="use sqrt")
    return tried


def train_forest(
    engine: str,
    X: np.ndarray,
    y: np.ndarray,
    class_names: Sequence[str],
    *,
    balance: bool = False,
    max_features: str | int = "sqrt",
    seed: int = 0,
    **settings: Any,
) -> tuple[Forest, float | None]:
    """Train a forest.

    Parameters
    ----------
    engine : {"sklearn", "weka"}
    X : ndarray, float32, shape (n, F)
    y : ndarray of int64, shape (n,)
        Indices into `class_names`.
    class_names : sequence of str
    balance : bool
        Train on as many samples of each class. TWS leaves the seed of Weka's filter at 1: ours is 1 for seed 0.
    max_features : str or int
    seed : int
    **settings
        Others of :func:`fijibridge.forest.train_sklearn` and :func:`fijibridge.forest.train_weka`.

    Returns
    -------
    forest : Forest
    oob_accuracy : float or None
    """
    from fijibridge.forest import train_sklearn, train_weka
    from fijibridge.forest.balance import balanced_rows
    from fijibridge.forest.java.weka import balanced_rows_weka

    if balance:
        draw = seed % (2**31 - 1) + 1
        weka = engine == "weka"
        rows = balanced_rows_weka(y, class_names, draw) if weka else balanced_rows(y, len(class_names), draw)
        X, y = X[rows], y[rows]
    train = {"sklearn": train_sklearn, "weka": train_weka}[engine]
    return train(
        X, y, class_names=class_names, max_features=checked_features_tried(max_features), seed=seed, **settings
    )  # fmt: skip
