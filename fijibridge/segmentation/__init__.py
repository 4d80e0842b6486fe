"""Features and labels -> forest -> segmentation; classifiers saved and loaded."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "PixelSegmenter": "fijibridge.segmentation.pixel",
    "load_segmenter": "fijibridge.segmentation.bundle",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fijibridge.segmentation' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
