"""Reading and writing a recipe: how images become features, as one small file to be shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import OutputError, SettingsError
from fijibridge.features.extract import FeatureExtractor
from fijibridge.features.recipe import not_in_a_recipe, recipe_text
from fijibridge.features.settings import FeatureSettings, feature_settings
from fijibridge.features.source import RECIPE_SUFFIX


def read_recipe(path: str | Path) -> FeatureSettings:
    """The features that a recipe describes.

    Parameters
    ----------
    path : path
        A file as :func:`write_recipe` writes it.

    Returns
    -------
    FeatureSettings
        Of pre-trained networks with ``weights_sha256``, so that other weights are refused.

    Raises
    ------
    ImageNotFoundError
        No such file.
    SettingsError
        No recipe, one of a later version, or a key or value that this version does not know.
    """
    return feature_settings(Path(path))


def write_recipe(features: Any, path: str | Path, *, words: str = "", overwrite: bool = False) -> Path:
    """Write how features are made as a file that others can use; :mod:`fijibridge.features.recipe` has its form.

    Parameters
    ----------
    features : PixelSegmenter, FeatureExtractor, or what :func:`fijibridge.features.settings.feature_settings` takes
        Of a segmenter that was trained or loaded, and of an extractor that has seen an image, the SHA-256 of the ViT's
        weights is known, and stands in the recipe.
    path : path
        A ``.toml`` file.
    words : str
        What it is for.
    overwrite : bool
        Whether a file there may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SettingsError
        Features that files of their own belong to: a trained network's, an upsampler's own weights.
    OutputError
        The file exists, has another suffix, or cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower() == RECIPE_SUFFIX
    if not suffix or (path.exists() and not overwrite):
        raise OutputError(
            f"{path}, which {'exists' if suffix else f'does not end in {RECIPE_SUFFIX}'}",
            expected=f"a new {RECIPE_SUFFIX} file",
            remedy="choose another name, or overwrite=True",
        )
    own = getattr(features, "extractor_", None) or getattr(features, "features", features)
    sources = (own if isinstance(own, FeatureExtractor) else FeatureExtractor(own)).sources
    if why := not_in_a_recipe(sources):
        raise SettingsError(
            f"features with {why}, which is a file of its own",
            expected="features that settings describe",
            remedy="share the folder of the classifier",
        )
    with output_file(path) as part:
        part.write_text(recipe_text(sources, words), encoding="utf-8")
    return path
