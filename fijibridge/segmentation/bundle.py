"""A saved classifier: a folder with the forest, the recipe and a ``.model`` that TWS and Weka load.

::

    classifier.json       recipe, class names and colours, pixel size, versions, digest of the forest
    forest.safetensors    the forest's arrays
    classifier.model      the same forest as TWS's two serialised Java objects (written where Java is there)
    network/              the trained network, where its probabilities are features

Nothing in it is unpickled.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.errors import BridgeError, FeatureMismatchError, ImageNotFoundError, JavaError, ModelFileError
from fijibridge.features.recipe import FeatureRecipe
from fijibridge.output import output_folder
from fijibridge.segmentation.pixel import PixelSegmenter, few
from fijibridge.versions import versions

if TYPE_CHECKING:
    from fijibridge.forest import Forest

log = logging.getLogger(__name__)

INDEX = "classifier.json"
FOREST = "forest.safetensors"
MODEL = "classifier.model"
NETWORK = "network"
_FORMAT = "fijibridge-classifier"
_VERSION = 1


def save_segmenter(segmenter: PixelSegmenter, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a trained segmenter as a folder.

    Parameters
    ----------
    segmenter : PixelSegmenter
        Trained.
    path : path
        The folder.
    overwrite : bool
        Whether an older classifier there may be replaced.

    Returns
    -------
    Path
        The folder. Its ``classifier.model`` is left out, with a warning, where there is no Java that can write it.

    Raises
    ------
    OutputError
        The place exists or cannot be written.
    """
    forest = segmenter._trained()
    size = segmenter.pixel_size_
    index = {
        "format": _FORMAT,
        "version": _VERSION,
        "engine": segmenter.engine,
        "class_names": list(segmenter.class_names_),
        "class_colors": segmenter.class_colors_.tolist(),
        "recipe": segmenter.recipe_.to_json() if segmenter.recipe_ else None,
        "pixel_size": asdict(size) if size else None,
        "oob_accuracy": segmenter.oob_accuracy_,
        "oob_confusion": None if segmenter.oob_confusion_ is None else segmenter.oob_confusion_.tolist(),
        "forest_sha256": forest.sha256(),
        "versions": versions(),
    }
    with output_folder(path, marker=INDEX, overwrite=overwrite) as folder:
        forest.save(folder / FOREST)
        if segmenter.recipe_ and segmenter.recipe_.network:
            from fijibridge.network.file import load_network, save_network

            save_network(load_network(segmenter.recipe_.network), folder / NETWORK)
        _write_model(folder / MODEL, forest)
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return Path(path)


def _write_model(path: Path, forest: Any) -> None:
    from fijibridge.jvm.java import find_java

    if find_java() is None:
        log.warning("no Java: %s, which Fiji needs, was not written; install Java 11 and save again", MODEL)
        return
    from fijibridge.forest import write_model

    try:
        write_model(path, forest)
    except JavaError as error:  # too old, or its jars out of reach: no reason to lose the training
        log.warning("%s: %s, which Fiji needs, was not written; %s, and save again", error.found, MODEL, error.remedy)


def load_segmenter(path: str | Path, *, checkpoint: str | Path | None = None, n_threads: int = 0) -> PixelSegmenter:
    """Load a saved classifier, or a plain TWS ``.model`` that was trained on TWS's default features.

    Parameters
    ----------
    path : path
        The folder of :meth:`PixelSegmenter.save`, or a ``.model`` or ``.model.gz`` file of TWS (needs Java).
    checkpoint : path, optional
        Weights' file of the encoder; it must have the recipe's SHA-256.
    n_threads : int
        0: all cores.

    Returns
    -------
    PixelSegmenter
        Trained.

    Raises
    ------
    ImageNotFoundError
        Nothing there.
    ModelFileError
        Damaged, hostile, of another classifier, or a folder that is no classifier.
    FeatureMismatchError
        A ``.model`` whose features fijibridge cannot make.
    """
    path = Path(path)
    if not path.exists():
        raise ImageNotFoundError(
            f"no classifier {path}",
            expected="a folder written by PixelSegmenter.save, or a .model file",
            remedy="check the path",
        )
    if path.is_file():
        return _from_model(path, n_threads)
    import numpy as np

    from fijibridge.forest import Forest
    from fijibridge.image_output import class_colors_or_default
    from fijibridge.metadata import PixelSize

    if not (path / INDEX).is_file():
        raise _not_a_classifier(path, f"it holds no {INDEX}")
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        if (index["format"], index["version"]) != (_FORMAT, _VERSION):
            raise _not_a_classifier(path, f"it says {index['format']!r} version {index['version']!r}")
        forest = Forest.load(path / FOREST)
        if forest.sha256() != index["forest_sha256"] or list(forest.class_names) != index["class_names"]:
            raise _not_a_classifier(path, f"{FOREST} is not the forest that {INDEX} tells of")
        recipe = FeatureRecipe.from_json(index["recipe"]) if index["recipe"] else None
        if recipe and recipe.network:
            recipe = replace(recipe, network=str(path / NETWORK))
        segmenter = PixelSegmenter(
            engine=index["engine"],
            recipe=recipe,
            reader="linear" if recipe and recipe.readout else "forest",
            checkpoint=checkpoint,
            n_threads=n_threads,
        )
        segmenter.class_colors_ = class_colors_or_default(forest.class_names, index["class_colors"])
        segmenter.pixel_size_ = PixelSize(**index["pixel_size"]) if index["pixel_size"] else None
        accuracy = index["oob_accuracy"]
        segmenter.oob_accuracy_ = None if accuracy is None else float(accuracy)
        if (matrix := index.get("oob_confusion")) is not None:  # not in classifiers of old
            segmenter.oob_confusion_ = np.array(matrix, np.int64).reshape(forest.n_classes, forest.n_classes)
    except BridgeError as error:
        if isinstance(error, ModelFileError):
            raise
        raise _not_a_classifier(path, error.found) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_a_classifier(path, f"{INDEX}: {type(error).__name__} {error}") from error
    segmenter.recipe_ = recipe
    segmenter.forest_ = forest
    return segmenter


def _not_a_classifier(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path} is no classifier that can be used: {why}",
        expected=f"a folder with {INDEX} and {FOREST}, format version {_VERSION}",
        remedy="give the folder that PixelSegmenter.save wrote, or the folder classifier in a result of segment",
    )


def segmenter_from_model(path: str | Path, recipe: FeatureRecipe, feature_names: Sequence[str]) -> PixelSegmenter:
    """A classifier that TWS trained on features of fijibridge, as a segmenter that makes those features itself.

    Parameters
    ----------
    path : path
        A ``.model`` or ``.model.gz`` file that TWS saved (needs Java).
    recipe : FeatureRecipe
        How the features were made, see :func:`fijibridge.segmentation.recipe_file.read_recipe`.
    feature_names : sequence of str
        The features that the recipe makes, in its order. The model may have them in another order.

    Returns
    -------
    PixelSegmenter
        Trained; ``engine`` is ``"weka"``, the colours are the default ones.

    Raises
    ------
    ImageNotFoundError
        No such file.
    ModelFileError
        Damaged, hostile, or another classifier.
    FeatureMismatchError
        The model was trained on other features.
    """
    from fijibridge.forest import read_model
    from fijibridge.image_output import class_colors_or_default

    path = Path(path)
    if not path.is_file():
        raise ImageNotFoundError(
            f"no model file {path}", expected="a .model file that TWS saved", remedy="check the path"
        )
    forest = _in_order(read_model(path), tuple(feature_names), path)
    segmenter = PixelSegmenter(engine="weka", recipe=recipe, reader="forest")
    segmenter.recipe_ = recipe
    segmenter.forest_ = forest
    segmenter.class_colors_ = class_colors_or_default(forest.class_names, None)
    return segmenter


def _in_order(forest: Forest, names: tuple[str, ...], path: Path) -> Forest:
    """The forest with its features in the order of ``names``, which must be the same set."""
    missing = [name for name in names if name not in set(forest.feature_names)]
    extra = [name for name in forest.feature_names if name not in set(names)]
    if missing or extra:
        parts = [f"{path} was trained on {len(forest.feature_names)} features, the recipe makes {len(names)}"]
        parts += [f"the model lacks {few(missing)}"] if missing else []
        parts += [f"the recipe does not make {few(extra)}"] if extra else []
        raise FeatureMismatchError(
            "; ".join(parts),
            expected="a model trained on all features of the recipe and no others",
            remedy="give the recipe.json beside the features that were loaded in TWS, and leave TWS's own features "
            "off when you train",
        )
    if forest.feature_names == names:
        return forest
    import numpy as np

    place = np.array([names.index(name) for name in forest.feature_names], forest.feature.dtype)
    feature = np.where(forest.feature >= 0, place[forest.feature], forest.feature)
    return replace(forest, feature=feature, feature_names=names)


def _from_model(path: Path, n_threads: int) -> PixelSegmenter:
    """A plain TWS model: its attribute names tell the recipe."""
    from fijibridge.features.classical import CLASSICAL_NAMES
    from fijibridge.forest import read_model
    from fijibridge.image_output import class_colors_or_default

    forest = read_model(path)
    if forest.feature_names != CLASSICAL_NAMES:
        unknown = [name for name in forest.feature_names if name not in CLASSICAL_NAMES]
        raise FeatureMismatchError(
            f"{path} was trained on {len(forest.feature_names)} features"
            + (f", among them {', '.join(unknown[:4])}" if unknown else ", not TWS's default set in its order"),
            expected=f"TWS's {len(CLASSICAL_NAMES)} default features",
            remedy="for a model of fijibridge give the classifier's folder; else train with TWS's default features",
        )
    segmenter = PixelSegmenter(
        engine="weka", recipe=FeatureRecipe(encoder="none"), reader="forest", n_threads=n_threads
    )
    segmenter.recipe_ = segmenter.recipe
    segmenter.forest_ = forest
    segmenter.class_colors_ = class_colors_or_default(forest.class_names, None)
    return segmenter
