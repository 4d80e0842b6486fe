"""A saved classifier: a folder with the forest, what makes its features, and a ``.model`` that TWS and Weka load.

::

    classifier.json        choices, provenance, class names and colours, pixel size, versions, digests
    forest.safetensors     the forest's arrays; not there of another classifier, which Weka runs from its .model
    features.safetensors   what the features learned: principal components, linear head, upsampler's weights
    statistics.safetensors grey levels, means and spreads of the training images, for slices of their stack
    unlikeness.safetensors what tells pixels that resemble none of the labels; not there without a linear head
    classifier.model       the same forest as TWS's two serialised Java objects
    recipe.toml            how features are made, to be shared; not where a network or an upsampler belongs to them
    network/               the trained network, where its probabilities are features

Nothing in it is unpickled.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import BridgeError, ModelFileError, SettingsError
from fijibridge.core.names import check_names
from fijibridge.core.params import check
from fijibridge.core.records import made, number, read_json, texts
from fijibridge.core.versions import versions
from fijibridge.features import recipe
from fijibridge.features.extract import FeatureExtractor
from fijibridge.features.extractor_file import ARRAYS, arrays_digest, read_arrays, write_arrays
from fijibridge.forest import Classifier, Forest, WekaClassifier, read_weka_model, write_model
from fijibridge.forest.classifier import in_order
from fijibridge.segmentation.options import Engine

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.image_statistics import ImageStatistics
    from fijibridge.images.pixel_size import PixelSize
    from fijibridge.segmentation.unlikeness import Unlikeness

INDEX = "classifier.json"
FOREST = "forest.safetensors"
MODEL = "classifier.model"
STATISTICS = "statistics.safetensors"
UNLIKENESS = "unlikeness.safetensors"
_FORMAT = "fijibridge-classifier"
_VERSION = 2


@dataclass(frozen=True, eq=False)
class SavedClassifier:
    """What a classifier's folder holds.

    Parameters
    ----------
    forest : Forest or WekaClassifier
    extractor : FeatureExtractor or None
        None where the features came from elsewhere.
    engine : {"sklearn", "weka"}
        Who trained the forest.
    class_colors : ndarray of uint8, shape (classes, 3)
    pixel_size : PixelSize or None
        Of the training image.
    oob_accuracy : float or None
    oob_confusion : ndarray of int64, shape (classes, classes), or None
    held_out_accuracy : float or None
        None, too, of classifiers that were saved before it was kept.
    grey_range : (float, float) or None
    statistics : ImageStatistics or None
        Of the training images; None of classifiers that were saved before they were kept.
    unlikeness : Unlikeness or None
        None, too, of classifiers that were saved before it was kept.
    """

    forest: Classifier
    extractor: FeatureExtractor | None
    engine: Engine
    class_colors: np.ndarray
    pixel_size: PixelSize | None
    oob_accuracy: float | None
    oob_confusion: np.ndarray | None
    held_out_accuracy: float | None = None
    grey_range: tuple[float, float] | None = None
    statistics: ImageStatistics | None = None
    unlikeness: Unlikeness | None = None


def write_classifier(saved: SavedClassifier, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a classifier as a folder.

    Parameters
    ----------
    saved : SavedClassifier
    path : path
        The folder.
    overwrite : bool
        Whether an older classifier there may be replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        The place exists or cannot be written.
    """
    forest, extractor = saved.forest, saved.extractor
    arrays = extractor.arrays() if extractor else {}
    index = {
        "format": _FORMAT,
        "version": _VERSION,
        "engine": saved.engine,
        "run_by": "Weka" if isinstance(forest, WekaClassifier) else "fijibridge",
        "class_names": list(forest.class_names),
        "class_colors": saved.class_colors.tolist(),
        "features": extractor.to_json() if extractor else None,
        "feature_names": list(forest.feature_names),
        "pixel_size": asdict(saved.pixel_size) if saved.pixel_size else None,
        "grey_range": saved.grey_range,
        "oob_accuracy": saved.oob_accuracy,
        "oob_confusion": None if saved.oob_confusion is None else saved.oob_confusion.tolist(),
        "held_out_accuracy": saved.held_out_accuracy,
        "forest_sha256": forest.sha256(),
        "features_sha256": arrays_digest(arrays),
        "statistics": None,
        "unlikeness": None,
        "versions": versions(),
    }
    if (statistics := saved.statistics) is not None:
        index["statistics"] = {"features_digest": statistics.features_digest, "sha256": statistics.digest}
    if (unlikeness := saved.unlikeness) is not None:
        found = {"features_digest": unlikeness.features_digest, "sha256": arrays_digest(unlikeness.arrays())}
        index["unlikeness"] = found
    with output_folder(path, marker=INDEX, overwrite=overwrite) as folder:
        if isinstance(forest, Forest):
            forest.save(folder / FOREST)
            of_volumes = extractor is not None and any(source.kind == "tws3d" for source in extractor.sources)
            write_model(folder / MODEL, forest, is_3d=of_volumes)  # TWS loads one of volumes in its 3D window alone
        else:
            forest.save(folder / MODEL)
        if extractor:
            write_arrays(folder / ARRAYS, arrays)
            extractor.save_files(folder)
            if not recipe.not_in_a_recipe(extractor.sources):
                (folder / recipe.FILE).write_text(recipe.recipe_text(extractor.sources), encoding="utf-8")
        if statistics is not None:
            write_arrays(folder / STATISTICS, statistics.arrays())
        if unlikeness is not None:
            write_arrays(folder / UNLIKENESS, unlikeness.arrays())
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return Path(path)


def read_classifier(path: Path) -> SavedClassifier:
    """Read a classifier's folder.

    Parameters
    ----------
    path : Path
        The folder, which exists.

    Raises
    ------
    ModelFileError
        Damaged, hostile, of another version, or a folder that is no classifier.
    """
    import numpy as np

    from fijibridge.images.palette import class_colors_or_default
    from fijibridge.images.pixel_size import PixelSize

    if not (path / INDEX).is_file():
        raise _not_a_classifier(path, f"it holds no {INDEX}")
    try:
        index = read_json(path / INDEX)
        if (index["format"], index["version"]) == (_FORMAT, 1):
            raise ModelFileError(
                f"{path} is a classifier of fijibridge 0.1",
                expected=f"format version {_VERSION}: since 0.2 features are described in another way",
                remedy="train it again on its images and labels, or apply it with fijibridge 0.1",
            )
        if (index["format"], index["version"]) != (_FORMAT, _VERSION):
            raise _not_a_classifier(path, f"it says {index['format']!r} version {index['version']!r}")
        forest = _read_forest(path, index)
        extractor = None
        if index["features"] is not None:
            arrays = read_arrays(path / ARRAYS)
            if arrays_digest(arrays) != index["features_sha256"]:
                raise _not_a_classifier(path, f"{ARRAYS} is not what {INDEX} describes")
            try:
                extractor = FeatureExtractor.restored(index["features"], arrays, path)
            except BridgeError:
                raise
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                raise _not_a_classifier(path, f"features in {INDEX}: {type(error).__name__} {error}") from error
        matrix = index["oob_confusion"]
        if matrix is not None:
            matrix = np.array(matrix, np.int64).reshape(forest.n_classes, forest.n_classes)
            if (matrix < 0).any():
                raise _not_a_classifier(path, f"{INDEX}: negative numbers of pixels in oob_confusion")
        size = index["pixel_size"]
        if size is not None:
            size = made(PixelSize, size, "pixel_size", error=SettingsError)
            check_names([size.unit], "unit", error=SettingsError)
        return SavedClassifier(
            forest=forest,
            extractor=extractor,
            engine=_checked_engine(index["engine"]),
            class_colors=class_colors_or_default(forest.class_names, index["class_colors"]),
            pixel_size=size,
            oob_confusion=matrix,
            oob_accuracy=_checked_share(index["oob_accuracy"], "oob_accuracy"),
            held_out_accuracy=_checked_share(index.get("held_out_accuracy"), "held_out_accuracy"),
            grey_range=_checked_range(index.get("grey_range"), path),
            statistics=_read_statistics(index.get("statistics"), path),
            unlikeness=_read_unlikeness(index.get("unlikeness"), path),
        )
    except ModelFileError:
        raise
    except BridgeError as error:
        raise _not_a_classifier(path, error.found) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _not_a_classifier(path, f"{INDEX}: {type(error).__name__} {error}") from error


def _checked_share(value: Any, name: str) -> float | None:
    return None if value is None else number(value, name, 0, 1)


def _read_forest(path: Path, index: dict[str, Any]) -> Classifier:
    """The forest, or the classifier that Weka runs."""
    by_weka = index.get("run_by") == "Weka"
    forest: Classifier
    if by_weka:
        forest = in_order(read_weka_model(path / MODEL), texts(index["feature_names"], "feature_names"))
    else:
        forest = Forest.load(path / FOREST)
    if forest.sha256() != index["forest_sha256"] or list(forest.class_names) != index["class_names"]:
        found = f"{MODEL} is not the classifier" if by_weka else f"{FOREST} is not the forest"
        raise _not_a_classifier(path, f"{found} that {INDEX} describes")
    return forest


def _checked_range(found: Any, path: Path) -> tuple[float, float] | None:
    """Two numbers in order; None in a classifier that was saved before they were kept."""
    if found is None:
        return None
    low, high = (float(value) for value in found)
    if not -math.inf < low <= high < math.inf:
        raise _not_a_classifier(path, f"{INDEX}: grey_range {found!r}"[:200])
    return low, high


def _read_statistics(about: Any, path: Path) -> ImageStatistics | None:
    """None of a classifier that was saved before they were kept."""
    from fijibridge.features.image_statistics import ImageStatistics

    if about is None:
        return None
    found = ImageStatistics.restored(read_arrays(path / STATISTICS), str(about["features_digest"]))
    if found.digest != about["sha256"]:
        raise _not_a_classifier(path, f"{STATISTICS} is not what {INDEX} describes")
    return found


def _read_unlikeness(about: Any, path: Path) -> Unlikeness | None:
    """None of a classifier without it, or that was saved before it was kept."""
    from fijibridge.segmentation.unlikeness import Unlikeness

    if about is None:
        return None
    arrays = read_arrays(path / UNLIKENESS)
    if arrays_digest(arrays) != about["sha256"]:
        raise _not_a_classifier(path, f"{UNLIKENESS} is not what {INDEX} describes")
    return Unlikeness.restored(arrays, str(about["features_digest"]))


def _checked_engine(engine: Engine) -> Engine:
    check(_checked_engine, locals())
    return engine


def _not_a_classifier(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{path} is no classifier that can be used: {why}",
        expected=f"a folder with {INDEX} and {FOREST} or {MODEL}, format version {_VERSION}",
        remedy="give the folder that PixelSegmenter.save wrote, or the folder classifier in a result of segment",
    )
