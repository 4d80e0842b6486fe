"""Recipes: how images become features as one small TOML file, to be shared and to be read by a person.

::

    fijibridge_recipe = 1
    words = "What it is for, in the author's words"

    [tws]
    filters = ["Gaussian_blur", "Hessian"]

    [vit]
    encoder = "vit_small_patch14_dinov2"
    blocks = [3, 6]

    [vit.weights]
    sha256 = "..."
    source = "where they come from"
    licence = "Apache-2.0"

Each table is a kind of features with its settings, in the order of the features; a setting that is left out has its
default. A recipe holds choices alone: neither labels nor anything that was learned. Weights are not in it, but must be
those of its SHA-256 (:attr:`fijibridge.weights.weights.Weights.sha256`) where it names one.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fijibridge.core.errors import SettingsError
from fijibridge.core.names import listed
from fijibridge.core.records import made, read_toml
from fijibridge.features.provenance import Provenance
from fijibridge.features.source import RECIPE_SUFFIX, SOURCES, FeatureSource, SourceSettings
from fijibridge.features.vit.settings import VitSettings

log = logging.getLogger(__name__)

FILE = f"recipe{RECIPE_SUFFIX}"  # in a saved classifier
_VERSION_KEY, _VERSION = "fijibridge_recipe", 1
_WORDS, _WEIGHTS = "words", "weights"
_SHA256 = re.compile("[0-9a-f]{64}")
_HEADING = (
    "# How images become features: --features FILE in a shell, features=FILE in a macro,\n"
    "# PixelSegmenter(FILE) in Python. Options that are given besides win.\n"
)


def sources_of(path: Path) -> tuple[SourceSettings, ...]:
    """The settings of the sources that a recipe describes; see :func:`fijibridge.features.recipe_file.read_recipe`.

    Parameters
    ----------
    path : Path
    """
    found = read_toml(path)
    if found.get(_VERSION_KEY) != _VERSION:
        raise SettingsError(
            f"{path} with {_VERSION_KEY} = {found.get(_VERSION_KEY)!r}",
            expected=f"a recipe, whose first line is {_VERSION_KEY} = {_VERSION}",
            remedy="give the recipe.toml in the folder of a saved classifier, or update fijibridge",
        )
    words = found.get(_WORDS, "")
    tables = {key: value for key, value in found.items() if key not in (_VERSION_KEY, _WORDS)}
    unknown = [key for key, value in tables.items() if key not in SOURCES or key == "network"]
    if unknown or not isinstance(words, str) or not tables:
        raise SettingsError(
            f"{path} with {listed(unknown) if unknown else 'no features, or words that are no text'}",
            expected=f"words, and a table of one or more of {', '.join(one for one in SOURCES if one != 'network')}",
            remedy="check the spelling",
        )
    log.info("recipe %s%s", path, f": {words}" if words else "")
    return tuple(_settings(kind, table, path) for kind, table in tables.items())


def _settings(kind: str, table: Any, path: Path) -> SourceSettings:
    """The settings in one table."""
    where, owner = f"{path}, [{kind}]", SOURCES[kind].settings_class
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where}: {table!r}", expected="key = value lines below it", remedy="correct it")
    own = dict(table)
    has_weights = any(one.name == "weights_sha256" for one in fields(owner))
    about = own.pop(_WEIGHTS, None) if has_weights else None
    known = [one.name for one in fields(owner) if not one.metadata.get("local")]
    if unknown := [key for key in own if key not in known]:
        raise SettingsError(f"{where}: {listed(unknown)}", expected=f"some of {', '.join(known)}", remedy="correct it")
    settings = made(owner, own, where, error=SettingsError)
    if about is None:
        return settings
    weights = made(Provenance, about, f"{path}, [{kind}.{_WEIGHTS}]", error=SettingsError)
    if not _SHA256.fullmatch(weights.sha256):
        raise SettingsError(
            f"{where}: sha256 = {weights.sha256[:80]!r}",
            expected="64 hexadecimal digits, as the report of a training has them",
            remedy="copy it again, or leave the table out: then any weights of the network serve",
        )
    return replace(settings, weights_sha256=weights.sha256)  # type: ignore[call-arg]  # it has_weights


def not_in_a_recipe(sources: Sequence[FeatureSource[Any]]) -> str:
    """What of the features settings cannot describe, in words; empty where they do.

    Parameters
    ----------
    sources : sequence of FeatureSource
    """
    from fijibridge.features.upsampling.base import UPSAMPLERS

    for source in sources:
        if source.kind == "network":
            return "a trained network"
        if isinstance(source.settings, VitSettings):
            learned = getattr(source, "upsampler_weights_", b"")
            given = bool(source.settings.upsampler_weights)
            if given or (learned and learned != UPSAMPLERS[source.settings.upsampler].read_weights("")):
                return "an upsampler's own weights"
    return ""


def recipe_text(sources: Sequence[FeatureSource[Any]], words: str = "") -> str:
    """A recipe as TOML.

    Parameters
    ----------
    sources : sequence of FeatureSource
    words : str
        What it is for.
    """
    lines = [f"{_VERSION_KEY} = {_VERSION}", f"{_WORDS} = {_value(words)}"]
    for source in sources:
        values = {key: value for key, value in source.settings.to_json().items() if key != "kind"}
        lines += ["", f"[{source.kind}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
        about = source.provenance
        if not about.sha256:
            about = Provenance(getattr(source.settings, "weights_sha256", ""))
        if about.sha256:
            lines += ["", f"[{source.kind}.{_WEIGHTS}]", f"sha256 = {_value(about.sha256)}"]
            lines += [f"{key} = {_value(getattr(about, key))}" for key in ("source", "licence") if getattr(about, key)]
    return _HEADING + "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """A value in TOML: of texts, numbers, truth values and lists of them JSON has the same form, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
