"""Presets: how much the ViT does, by name; one object for all front ends.

The mean IoU and the CPU seconds of each stand in the docs; they were chosen on the tuning images of
``benchmarks/segmentation.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fijibridge.core.params import Param, check
from fijibridge.features.vit.settings import VitSettings
from fijibridge.weights.encoders import DEFAULT_ENCODER

Preset = Annotated[
    Literal["fast", "default", "best"],
    Param(
        "how much the ViT does: which blocks see the image, how often and how enlarged; explicit options override it",
        level="basic",
        group="Features",
    ),
]

PRESETS: dict[str, VitSettings] = {
    "fast": VitSettings(enlargement=1.0, blocks=(6, 9), coarse_blocks=()),
    "default": VitSettings(),
    "best": VitSettings(blocks=(3, 6, 9), debiasing="template+flips"),
}

# Blocks of the presets are those of an encoder of so many.
_DEPTH = 12


def preset_settings(name: Preset = "default", **changes: Any) -> VitSettings:
    """The ViT's settings of a preset, with explicit changes, which override it.

    Parameters
    ----------
    name : {"fast", "default", "best"}
    **changes
        Fields of :class:`fijibridge.features.vit.settings.VitSettings`; None leaves one to the preset. For an encoder
        of another depth than 12 blocks the preset's blocks are those at the same share of its depth.

    Raises
    ------
    SettingsError
        No such preset, an unknown encoder, or a value outside its range.
    """
    check(preset_settings, {"name": name})
    changes = {field: value for field, value in changes.items() if value is not None}
    chosen = PRESETS[name]
    encoder = changes.get("encoder", DEFAULT_ENCODER)
    if encoder != DEFAULT_ENCODER:
        from fijibridge.weights.encoders import create_encoder

        depth = len(create_encoder(encoder).blocks)
        for field in ("blocks", "coarse_blocks"):
            scaled = {max(1, round(block * depth / _DEPTH)) for block in getattr(chosen, field)}
            changes.setdefault(field, tuple(sorted(scaled)))
    if "debiasing" in changes:
        changes.setdefault("tile", 0)  # that of the method
    return replace(chosen, **changes)
