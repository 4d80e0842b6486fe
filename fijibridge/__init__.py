"""fijibridge: vision-transformer features and random forests shared by Fiji, Weka and Python.

Public names load on first use, so that ``import fijibridge`` loads neither torch nor a JVM.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "BridgeError": "fijibridge.errors",
    "Image": "fijibridge.images",
    "read_image": "fijibridge.images",
    "join_detectors": "fijibridge.detectors",
    "Labels": "fijibridge.labels",
    "read_labels": "fijibridge.labels",
    "start": "fijibridge.doors.fiji",
    "FeatureRecipe": "fijibridge.features",
    "FeatureStack": "fijibridge.features",
    "extract_features": "fijibridge.features",
    "list_encoders": "fijibridge.weights",
    "Forest": "fijibridge.forest",
    "PixelSegmenter": "fijibridge.segmentation",
    "load_segmenter": "fijibridge.segmentation",
    "clean_up": "fijibridge.segmentation.cleaning",
}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fijibridge' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
