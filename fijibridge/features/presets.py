"""Recipes by name: how much the ViT does for a segmentation.

The mean IoU and the CPU seconds of each stand in the README; they were chosen on the tuning images of
``benchmarks/segmentation.py``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fijibridge.features.recipe import FeatureRecipe
from fijibridge.params import Param, check
from fijibridge.weights import DEFAULT_ENCODER

Preset = Annotated[
    Literal["fast", "default", "best"],
    Param("how much the ViT does: which blocks see the image, how often and how enlarged, where this is not given"),
]

PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"enlargement": 1.0, "blocks": (6, 9), "upsampler": "guided"},
    "default": {"enlargement": 2.0, "blocks": (3, 6), "coarse_blocks": (6, 9), "upsampler": "guided"},
    "best": {
        "enlargement": 2.0,
        "blocks": (3, 6, 9),
        "coarse_blocks": (6, 9),
        "position": "template+flips",
        "upsampler": "guided",
    },
}


# Blocks of the presets are those of an encoder of so many.
_DEPTH = 12


def preset_recipe(name: Preset = "default", **changes: Any) -> FeatureRecipe:
    """The recipe of a preset, with other changes.

    Parameters
    ----------
    name : {"fast", "default", "best"}
    **changes
        Fields of the recipe; None leaves one to the preset. For an encoder of another depth than 12 blocks the preset's
        blocks are those at the same share of its depth.

    Raises
    ------
    SettingsError
        No such preset, an unknown encoder, or a value outside its range.
    """
    check(preset_recipe, {"name": name})
    changes = {field: value for field, value in changes.items() if value is not None}
    chosen = dict(PRESETS[name])
    encoder = changes.get("encoder", DEFAULT_ENCODER)
    if encoder not in (DEFAULT_ENCODER, "none"):
        from fijibridge.weights import create_encoder

        depth = len(create_encoder(encoder).blocks)
        for field in ("blocks", "coarse_blocks"):
            scaled = {max(1, round(block * depth / _DEPTH)) for block in chosen.get(field, ())}
            chosen[field] = tuple(sorted(scaled))
    return FeatureRecipe(**{**chosen, **changes})
