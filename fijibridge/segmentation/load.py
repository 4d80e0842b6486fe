"""Loading classifiers: folders of fijibridge, and TWS's ``.model`` files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.errors import FeatureMismatchError, ImageNotFoundError, ModelFileError
from fijibridge.core.names import check_names
from fijibridge.features.extract import FeatureExtractor
from fijibridge.segmentation.classifier_file import INDEX, read_classifier
from fijibridge.segmentation.feature_checks import few
from fijibridge.segmentation.segmenter import PixelSegmenter

if TYPE_CHECKING:
    from fijibridge.features.tws.from_names import Dimensions
    from fijibridge.forest import Classifier


log = logging.getLogger(__name__)


def load_segmenter(
    path: str | Path,
    *,
    weights: str | Path | None = None,
    n_threads: int = 0,
    dimensions: Dimensions = "auto",
) -> PixelSegmenter:
    """Load a saved classifier, or a ``.model`` that TWS trained on its own features.

    Forests are run by compiled code, any other classifier that TWS saved by Weka itself, in Java.

    Parameters
    ----------
    path : path
        The folder of :meth:`PixelSegmenter.save`, a result with it, or a ``.model`` or ``.model.gz`` of TWS (needs
        Java).
    weights : path, optional
        Weights' file of the encoder; it must have the classifier's SHA-256.
    n_threads : int
        0: all cores.
    dimensions : {"auto", "2d", "3d"}
        What a ``.model`` was trained on, slices or volumes; needed only where it does not say, see
        :func:`fijibridge.features.tws.from_names.settings_from_names`.

    Returns
    -------
    PixelSegmenter
        Trained. Of a ``.model``, ``grey_range_`` is what the forest's splits tell of the training's greys.

    Raises
    ------
    ImageNotFoundError
        Nothing there.
    ModelFileError
        Damaged, hostile, of another classifier or version, or a folder that is no classifier.
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
        return _from_model(path, n_threads, dimensions)
    saved = read_classifier(_folder(path))
    extractor = saved.extractor
    if extractor and weights:
        extractor = extractor.with_weights(str(weights))
    segmenter = PixelSegmenter(
        extractor or "tws",
        engine=saved.engine,
        head="linear" if extractor and extractor.head_ else "none",
        n_threads=n_threads,
    )
    segmenter.extractor_, segmenter.forest_ = extractor, saved.forest
    segmenter.class_colors_, segmenter.pixel_size_ = saved.class_colors, saved.pixel_size
    segmenter.grey_range_, segmenter.statistics_ = saved.grey_range, saved.statistics
    segmenter.unlikeness_ = saved.unlikeness
    segmenter.oob_accuracy_, segmenter.oob_confusion_ = saved.oob_accuracy, saved.oob_confusion
    segmenter.held_out_accuracy_ = saved.held_out_accuracy
    return segmenter


def _folder(path: Path) -> Path:
    """The folder of a classifier, also where the result of a training is named, in which it lies."""
    inside = path / "classifier"
    return inside if (inside / INDEX).is_file() and not (path / INDEX).is_file() else path


def read_features(path: str | Path) -> tuple[FeatureExtractor, tuple[str, ...]]:
    """What makes features, and their names: of ``features.json`` or of a saved classifier.

    Parameters
    ----------
    path : path
        ``features.json``, the folder of features with it, or the folder of a saved classifier.

    Raises
    ------
    ImageNotFoundError
        Nothing there.
    ModelFileError
        Neither, or a damaged one.
    FeatureMismatchError
        A classifier of features from elsewhere.
    """
    from fijibridge.features.extractor_file import read_extractor

    path = _folder(Path(path))
    if not (path / INDEX).is_file():
        return read_extractor(path)
    saved = read_classifier(path)
    if saved.extractor is None:
        raise FeatureMismatchError(
            f"the classifier {path} was trained on features from elsewhere",
            expected="features.json, or a classifier trained on images",
            remedy="make its features as for the training, or train a classifier on the images themselves",
        )
    return saved.extractor, saved.forest.feature_names


def segmenter_from_model(path: str | Path, extractor: FeatureExtractor, feature_names: Sequence[str]) -> PixelSegmenter:
    """A classifier that TWS trained on features of fijibridge, as a segmenter that makes those features itself.

    Parameters
    ----------
    path : path
        A ``.model`` or ``.model.gz`` file that TWS saved (needs Java).
    extractor : FeatureExtractor
        What made the features, see :func:`read_features`.
    feature_names : sequence of str
        The features that it makes, in its order. The model may have them in another order.

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
    from fijibridge.forest import read_weka_model

    path = Path(path)
    if not path.is_file():
        raise ImageNotFoundError(
            f"no model file {path}", expected="a .model file that TWS saved", remedy="check the path"
        )
    return _of_forest(_in_order(read_weka_model(path), tuple(feature_names), path), extractor)


def _of_forest(forest: Classifier, extractor: FeatureExtractor, n_threads: int = 0) -> PixelSegmenter:
    from fijibridge.images.palette import class_colors_or_default

    check_names(forest.class_names, error=ModelFileError)
    segmenter = PixelSegmenter(extractor, engine="weka", head="none", n_threads=n_threads)
    segmenter.extractor_, segmenter.forest_ = extractor, forest
    segmenter.class_colors_ = class_colors_or_default(forest.class_names, None)
    return segmenter


def _in_order(forest: Classifier, names: tuple[str, ...], path: Path, *, all_used: bool = True) -> Classifier:
    """The classifier with its features in the order of ``names``, which must be the same set, or hold it."""
    missing = [name for name in names if all_used and name not in set(forest.feature_names)]
    extra = [name for name in forest.feature_names if name not in set(names)]
    if missing or extra:
        parts = [f"{path} was trained on {len(forest.feature_names)} features, and these are {len(names)}"]
        parts += [f"the model lacks {few(missing)}"] if missing else []
        parts += [f"these lack {few(extra)}"] if extra else []
        raise FeatureMismatchError(
            "; ".join(parts),
            expected="a model trained on all these features and no others",
            remedy="give the features.json beside the features that were loaded in TWS, and leave TWS's own features "
            "off when you train",
        )
    from fijibridge.forest.classifier import in_order

    return in_order(forest, names)


def extractor_of_names(
    names: Sequence[str],
    relation: str,
    where: str | Path,
    *,
    ours: str,
    dimensions: Dimensions = "auto",
) -> FeatureExtractor:
    """What makes the features of a file of TWS: their names say which they are.

    Parameters
    ----------
    names : sequence of str
        Of the features.
    relation : str
        Name of the data set.
    where : path
        The file, for messages.
    ours : str
        The remedy where they are fijibridge's, which their names do not describe.
    dimensions : {"auto", "2d", "3d"}

    Raises
    ------
    FeatureMismatchError
        See :func:`fijibridge.features.tws.from_names.settings_from_names`.
    """
    from fijibridge.features.tws.from_names import settings_from_names

    settings = settings_from_names(names, relation, dimensions=dimensions, where=str(where), ours=ours)
    log.info("%s: %s, as its attribute names say", where, settings)
    return FeatureExtractor(settings)


def _from_model(path: Path, n_threads: int, dimensions: Dimensions) -> PixelSegmenter:
    """A plain TWS model: its attribute names say which features it needs."""
    from fijibridge.forest import Forest, read_weka_model
    from fijibridge.segmentation.model_colours import on_thirds
    from fijibridge.segmentation.model_greys import greys_of_forest

    ours = (
        "a .model does not tell how fijibridge made these features: in Fiji save the window's classifier with "
        "Plugins > FijiBridge > Forest to Python, or with Save classifier after Train with ViT; or run "
        f"fijibridge import-classifier {path.name} FEATURES, with the folder of the features of its training"
    )
    forest = read_weka_model(path)
    relation = forest.settings.get("relation", "")
    extractor = extractor_of_names(forest.feature_names, relation, path, ours=ours, dimensions=dimensions)
    (source,) = extractor.sources
    if isinstance(forest, Forest) and source.settings.colour:
        forest = on_thirds(forest)
    segmenter = _of_forest(_in_order(forest, source.feature_names(), path, all_used=False), extractor, n_threads)
    if isinstance(forest, Forest):
        segmenter.grey_range_ = greys_of_forest(forest)
    return segmenter
