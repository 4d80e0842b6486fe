"""image -> FeatureStack: TWS's classical filters and upsampled ViT tokens, under one recipe.

Names load on first use: a recipe alone needs neither numpy nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "FeatureRecipe": "fijibridge.features.recipe",
    "FeatureStack": "fijibridge.features.stack",
    "extract_features": "fijibridge.features.stack",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fijibridge.features' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
