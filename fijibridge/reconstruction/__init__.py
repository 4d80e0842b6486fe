"""A 3D model from 2D images, and how well the two agree. Names load on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "Comparison": "fijibridge.reconstruction.comparison",
    "Exemplars": "fijibridge.reconstruction.exemplars",
    "Reconstruction": "fijibridge.reconstruction.volume",
    "ReconstructionSettings": "fijibridge.reconstruction.settings",
    "check_exemplars": "fijibridge.reconstruction.exemplars",
    "compare": "fijibridge.reconstruction.comparison",
    "reconstruct": "fijibridge.reconstruction.volume",
    "render": "fijibridge.reconstruction.render",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fijibridge.reconstruction' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
