"""``recipe.json``: how features that lie in files were made, and their names; written beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fijibridge.errors import FeatureMismatchError, ImageNotFoundError, ModelFileError, SettingsError
from fijibridge.features.recipe import FeatureRecipe

RECIPE = "recipe.json"
_FORMAT = "fijibridge-recipe"
_VERSION = 1


def write_recipe(path: Path, recipe: FeatureRecipe, feature_names: Sequence[str]) -> None:
    """Write a recipe, complete with weights' digest and basis, and the names of the features it makes.

    Parameters
    ----------
    path : Path
        The file, usually ``recipe.json``.
    recipe : FeatureRecipe
        Of a stack, with what was learnt from weights and image.
    feature_names : sequence of str
        Names of the stack's channels.
    """
    content = {"format": _FORMAT, "version": _VERSION, "recipe": recipe.to_json(), "feature_names": list(feature_names)}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_recipe(path: str | Path) -> tuple[FeatureRecipe, tuple[str, ...]]:
    """Read how features were made.

    Parameters
    ----------
    path : path
        ``recipe.json``, the folder of features with it, or the folder of a saved classifier.

    Returns
    -------
    recipe : FeatureRecipe
    feature_names : tuple of str
        In the order of the features.

    Raises
    ------
    ImageNotFoundError
        Nothing there.
    ModelFileError
        Neither a recipe nor a saved classifier, or a damaged one.
    FeatureMismatchError
        A classifier of features from elsewhere, which has no recipe.
    """
    path = Path(path)
    if not path.exists():
        raise ImageNotFoundError(
            f"no recipe {path}", expected=f"{RECIPE}, or the folder of a saved classifier", remedy="check the path"
        )
    if (path / RECIPE).is_file():
        path = path / RECIPE
    if path.is_dir():
        return _of_classifier(path)
    try:
        with path.open("rb") as file:
            if file.read(1) != b"{":  # a classifier of a gigabyte need not be read to see that it is no JSON
                raise _no_recipe(path, "it is no JSON object")
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content["format"], content["version"]) != (_FORMAT, _VERSION):
            raise _no_recipe(path, f"it says {content['format']!r} version {content['version']!r}")
        recipe, names = FeatureRecipe.from_json(content["recipe"]), content["feature_names"]
    except SettingsError as error:
        raise _no_recipe(path, error.found) from error
    except ModelFileError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_recipe(path, f"{type(error).__name__} {error}") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise _no_recipe(path, "feature_names is no list of names")
    return recipe, tuple(names)


def _of_classifier(path: Path) -> tuple[FeatureRecipe, tuple[str, ...]]:
    from fijibridge.segmentation.bundle import load_segmenter

    segmenter = load_segmenter(path)
    if segmenter.recipe_ is None:
        raise FeatureMismatchError(
            f"the classifier {path} was trained on features from elsewhere, whose recipe is not known",
            expected=f"{RECIPE}, or a classifier trained on images",
            remedy="make its features as for the training, or train a classifier on the images themselves",
        )
    return segmenter.recipe_, segmenter.forest_.feature_names


def _no_recipe(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path} does not tell how features are made: {why}",
        expected=f"{RECIPE} of fijibridge features, format version {_VERSION}, or the folder of a saved classifier",
        remedy=f"give that file or folder; a .model of TWS holds no recipe: give the {RECIPE} of its features",
    )
