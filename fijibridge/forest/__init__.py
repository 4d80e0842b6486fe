"""One random forest, many owners: flat arrays with a compiled kernel, scikit-learn and Weka on either side.

Names load on first use, so that ``import fijibridge.forest`` loads neither scikit-learn, numba nor a JVM.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fijibridge.forest.forest import Forest

_WHERE = {
    "forest_from_sklearn": "fijibridge.forest.sklearn",
    "to_sklearn": "fijibridge.forest.sklearn",
    "train_sklearn": "fijibridge.forest.sklearn",
    "ForestClassifier": "fijibridge.forest.sklearn",
    "forest_from_weka": "fijibridge.forest.weka",
    "to_weka": "fijibridge.forest.weka",
    "write_model": "fijibridge.forest.weka",
    "read_model": "fijibridge.forest.weka",
    "train_weka": "fijibridge.forest.weka",
    "predict_weka": "fijibridge.forest.weka",
}

__all__ = ["Forest", *_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fijibridge.forest' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
