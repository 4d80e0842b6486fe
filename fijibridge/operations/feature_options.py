"""Options of features, and the settings that they make: the one place where options and settings meet."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param
from fijibridge.features.presets import Preset, preset_settings
from fijibridge.features.settings import Detector, FeatureSettings, feature_settings, is_recipe, sources_in
from fijibridge.features.source import FEATURES, SourceSettings
from fijibridge.features.tws.settings import MEMBRANE, SIGMAS, membrane_in, sigmas_in
from fijibridge.features.vit.settings import (
    BLOCKS,
    CHANNELS,
    COARSE_BLOCKS,
    DEBIASING_METHOD,
    ENLARGEMENT,
    TILE,
    UPSAMPLER,
    Encoder,
    VitSettings,
)
from fijibridge.segmentation.options import Head
from fijibridge.weights.encoders import DEFAULT_ENCODER

__all__ = [
    "Blocks", "Channels", "CoarseBlocks", "Debiasing", "Detector", "Encoder", "EncoderWeights", "Enlargement",
    "Features", "Head", "Membrane", "NetworkFeatures", "Preset", "Sigmas", "Tile",
    "Upsampler", "UpsamplerWeights", "chosen_features",
]  # fmt: skip

Features = Annotated[str | None, FEATURES]
Sigmas = Annotated[str, SIGMAS]
Membrane = Annotated[str, MEMBRANE]
Blocks = Annotated[str | None, BLOCKS]
CoarseBlocks = Annotated[str | None, COARSE_BLOCKS]
Channels = Annotated[int, CHANNELS]
Enlargement = Annotated[float | None, ENLARGEMENT]
Debiasing = Annotated[str | None, DEBIASING_METHOD]
Upsampler = Annotated[str | None, UPSAMPLER]
Tile = Annotated[int, TILE]
UpsamplerWeights = Annotated[
    Path | None,
    Param(
        "for upsampler learned: a file that train-upsampler wrote, or a checkpoint (.pth) of "
        "github.com/tldr-group/vulture; default: the package's",
        role="file",
        group="Features",
    ),
]
NetworkFeatures = Annotated[
    Path | None,
    Param(
        "folder of a trained network, whose class probabilities become features, too",
        role="classifier",
        group="Features",
    ),
]
EncoderWeights = Annotated[
    Path | None,
    Param(
        "file with the ViT's weights; default: from the cache, a model hub or the offline source",
        role="file",
        group="Features",
    ),
]


def chosen_features(
    preset: Preset = "default",
    *,
    features: Features = None,
    sigma: Sigmas = "",
    membrane: Membrane = "",
    encoder: Encoder = DEFAULT_ENCODER,
    blocks: Blocks = None,
    coarse_blocks: CoarseBlocks = None,
    channels: Channels = 0,
    enlargement: Enlargement = None,
    debiasing: Debiasing = None,
    upsampler: Upsampler = None,
    upsampler_weights: UpsamplerWeights = None,
    tile: Tile = 0,
    network: NetworkFeatures = None,
    weights: EncoderWeights = None,
    detector: str = "BSE",
) -> FeatureSettings:
    """The features of a preset, overridden by the options that are given.

    Parameters
    ----------
    preset, features, encoder, blocks, coarse_blocks, channels, enlargement, debiasing, upsampler, upsampler_weights
        As their annotations say; None leaves the preset's. Of a recipe each option at its default leaves the recipe's.
    sigma, membrane, tile, network, weights, detector
        As their annotations say.

    Returns
    -------
    FeatureSettings

    Raises
    ------
    SettingsError
        A value that cannot be.
    """
    recipe = feature_settings(features) if is_recipe(features) else None
    if recipe and preset != "default":
        raise SettingsError(
            f"preset {preset} and the recipe {features}",
            expected="one of them: a recipe says all that a preset says",
            remedy="leave --preset out",
        )
    chosen = {one.kind: one for one in (recipe.sources if recipe else sources_in(features or "tws,vit"))}
    sigmas = sigmas_in(sigma)
    own: dict[str, Any] = {**sigmas, **membrane_in(membrane)}
    kinds = [*chosen, *(["network"] if network and "network" not in chosen else [])]
    if sigmas and not any(hasattr(one, "min_sigma") for one in chosen.values()):
        raise SettingsError(
            f"sigma = {sigma}, and features {','.join(kinds)}",
            expected="filters of TWS's among the features, which have sigmas",
            remedy="leave --sigma out, or add tws to --features",
        )
    changes: dict[str, Any] = {
        "encoder": encoder,
        "blocks": _block_numbers("blocks", blocks),
        "coarse_blocks": _coarse_block_numbers(coarse_blocks),
        "channels": channels,
        "enlargement": enlargement,
        "debiasing": debiasing,
        "upsampler": upsampler,
        "upsampler_weights": str(upsampler_weights or ""),
        "tile": tile or None,
        "weights": str(weights or ""),
    }
    if isinstance(chosen.get("vit"), VitSettings) and recipe:
        vit = _changed(chosen["vit"], changes)
    else:  # made, and so checked, where the ViT takes no part, too
        vit = preset_settings(preset, **changes)
    sources: list[SourceSettings] = []
    for kind in kinds:
        if kind == "vit":
            sources.append(vit)
        elif kind == "network":
            from fijibridge.network.features import NetworkFeatureSettings

            sources.append(NetworkFeatureSettings(str(network or "")))
        else:
            settings = chosen[kind]
            known = {one.name for one in fields(settings)}
            sources.append(replace(settings, **{name: value for name, value in own.items() if name in known}))
    return FeatureSettings(tuple(sources), detector)


def _changed(vit: SourceSettings, changes: dict[str, Any]) -> VitSettings:
    """A recipe's settings of the ViT with the options that are not at their defaults."""
    defaults = {"encoder": DEFAULT_ENCODER, "channels": 0, "upsampler_weights": "", "weights": ""}
    given = {name: value for name, value in changes.items() if value != defaults.get(name)}
    if "debiasing" in given:
        given.setdefault("tile", 0)  # that of the method
    if given.get("encoder", getattr(vit, "encoder", "")) != getattr(vit, "encoder", ""):
        given["weights_sha256"] = ""
    return replace(vit, **given)  # type: ignore[return-value]


def _block_numbers(name: str, text: str | None) -> tuple[int, ...] | None:
    """Transformer blocks written as ``3,6``."""
    if text is None or not text.strip():
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"{name} = {text!r}", expected="numbers separated by commas, such as 6 or 3,6", remedy="check the list"
        ) from error


def _coarse_block_numbers(text: str | None) -> tuple[int, ...] | None:
    return () if (text or "").strip() == "none" else _block_numbers("coarse_blocks", text)
