"""Forests in Weka: TWS's FastRandomForest, its training and its `.model` files.

Fran Supek's FastRandomForest 0.99 (TWS's default classifier) is trained and applied as it is, in the JVM;
nothing of it is reimplemented here.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, JavaError, SettingsError
from fijibridge.forest.forest import Forest
from fijibridge.forest.java.model_file import RELATION, ModelObjects, header_names, read_objects, unusable
from fijibridge.forest.java.model_writing import check_feature_names, weka_settings, write_model
from fijibridge.forest.java.weka_trees import check_size, forest_of_trees
from fijibridge.forest.out_of_bag import confusion
from fijibridge.forest.samples import class_indices, features_tried

__all__ = [
    "balanced_rows_weka",
    "forest_from_weka",
    "predict_weka",
    "read_model",
    "to_weka",
    "train_weka",
    "write_model",
]

_ROWS = 2**16  # samples a transfer step, as float64
_SEEDS = 2**31  # Java's int
_ROUNDING = 1e-9
_SAME_ERROR = 1e-3  # of out-of-bag votes, counted twice: sums of equal votes may differ in their last digit

log = logging.getLogger(__name__)


def forest_from_weka(frf: Any, header: Any) -> Forest:
    """Copy a trained FastRandomForest into flat arrays.

    Parameters
    ----------
    frf : hr.irb.fastRandomForest.FastRandomForest
        Trained on numeric attributes.
    header : weka.core.Instances
        Names of its attributes and classes.

    Returns
    -------
    Forest
        Trees in order, nodes depth first. `settings` has what the classifier remembers: ``seed``, ``max_features``,
        ``features_per_node``, ``max_depth``, ``relation`` (of the header) and, where known, ``oob_error``. Leaf values
        that rounding left just below 0 are 0.

    Raises
    ------
    ModelFileError
        If it was not trained, has nominal features, or is not a forest of binary trees.
    """
    return _flatten(frf, header, "the classifier", limit=2**31 - 2)


def _flatten(frf: Any, header: Any, what: str, limit: int) -> Forest:
    import jpype

    from fijibridge.forest.java import compiler as javahelper
    from fijibridge.jvm.transfer import direct_buffer

    features, classes, class_index = header_names(header, what)
    try:
        n_nodes, n_trees = javahelper.call("count", frf, jpype.JLong(limit))
        check_size(n_nodes, len(classes))
        arrays = {
            "feature": np.zeros(n_nodes, np.int32),
            "threshold": np.zeros(n_nodes, np.float64),
            "left": np.zeros(n_nodes, np.int32),
            "right": np.zeros(n_nodes, np.int32),
            "value": np.zeros((n_nodes, len(classes)), np.float64),
            "left_fraction": np.zeros(n_nodes, np.float64),
            "roots": np.zeros(n_trees, np.int64),
        }
        buffers = [direct_buffer(array.reshape(-1)) for array in arrays.values()]
        javahelper.call("flatten", frf, jpype.JInt(len(classes)), *buffers)
    except jpype.JException as error:
        raise unusable(f"{what}: {error.getMessage()}") from error
    # FastRandomForest moves weights from branch to branch by subtraction: with fractional weights some end at -1e-15.
    value = arrays["value"]
    value[(value < 0) & (value > -_ROUNDING)] = 0
    feature = arrays["feature"]
    if (feature == class_index).any():
        raise unusable(f"{what} with a split on the class itself")
    feature[feature > class_index] -= 1  # Weka counts the class among the attributes; TWS puts it last
    try:
        return Forest(
            **arrays,
            n_features=len(features),
            feature_names=features,
            class_names=classes,
            settings=_settings_of(frf) | {"relation": str(header.relationName())},
        )
    except SettingsError as error:
        raise unusable(f"{what}: {error.found}") from error


def _settings_of(frf: Any) -> dict[str, Any]:
    from fijibridge.forest.java import compiler as javahelper

    settings = {
        "trained_by": "FastRandomForest",
        "seed": int(frf.getSeed()),
        "max_features": int(frf.getNumFeatures()),
        "features_per_node": int(javahelper.forests().get(frf, "m_KValue")),
        "max_depth": int(frf.getMaxDepth()),
    }
    oob_error = float(frf.measureOutOfBagError())
    return {**settings, "oob_error": oob_error} if np.isfinite(oob_error) else settings


def to_weka(forest: Forest) -> tuple[Any, Any]:
    """Build the FastRandomForest that TWS would have trained.

    Parameters
    ----------
    forest : Forest
        Any forest, from whatever trained it.

    Returns
    -------
    frf : hr.irb.fastRandomForest.FastRandomForest
        Complete: it predicts, prints itself, serialises, and can be trained again with the same settings.
    header : weka.core.Instances
        Empty; one numeric attribute a feature and the nominal attribute ``class`` last.

    Raises
    ------
    SettingsError
        If the forest is too large for Java's arrays, or a feature is called ``class``.
    """
    import jpype

    from fijibridge.forest.java import compiler as javahelper
    from fijibridge.jvm.transfer import direct_buffer

    check_size(forest.n_nodes, forest.n_classes)
    header = _header(forest.feature_names, forest.class_names)
    nodes = (forest.feature, forest.threshold, forest.left, forest.right)
    arrays = (*nodes, forest.value.reshape(-1), forest.left_fraction, forest.roots)
    settings = weka_settings(forest)
    numbers = [settings.seed, settings.max_features, settings.max_depth, settings.features_per_node]
    frf = javahelper.call(
        "build",
        header,
        *(direct_buffer(array) for array in arrays),
        jpype.JInt[:](numbers),
        jpype.JDouble(settings.oob_error),
    )
    return frf, header


def _header(feature_names: Sequence[str], class_names: Sequence[str], capacity: int = 0) -> Any:
    from fijibridge.forest.java import compiler as javahelper

    check_feature_names(feature_names)
    return javahelper.forests().header(RELATION, list(feature_names), list(class_names), capacity)


def read_model(path: str | os.PathLike[str]) -> Forest:
    """Read a forest that TWS, Weka or `write_model` saved.

    Java's deserialisation may run code that a file chooses; here only the classes that Weka's classifiers consist of
    are admitted (for a FastRandomForest its own alone), and no more objects than the file has room for.

    Parameters
    ----------
    path : path
        A ``.model``, or one compressed with gzip.

    Returns
    -------
    Forest
        A FastRandomForest, or trees of Weka's own as in `forest_of_trees`.

    Raises
    ------
    ModelFileError
        If it is missing, truncated, not a ``.model``, another classifier, or holds what it must not.
    """
    path = Path(path)
    found = read_objects(path)
    forest = forest_of(found, str(path))
    if forest is None:
        raise unusable(
            f"{path} holds a {found.java_class}, which is no forest",
            "fijibridge.load_segmenter and fijibridge.forest.read_weka_model run it in Weka",
        )
    return forest


def forest_of(found: ModelObjects, what: str) -> Forest | None:
    """The forest that was read from a file.

    Parameters
    ----------
    found : ModelObjects
        What the file holds.
    what : str
        Its name, for messages.

    Returns
    -------
    Forest or None
        None for another classifier, see `forest_of_trees`.

    Raises
    ------
    ModelFileError
        If it is no forest of binary trees although it should be.
    """
    if found.is_fast_random_forest:
        return _flatten(found.classifier, found.header, what, limit=found.size)
    return forest_of_trees(found, what)


def train_weka(
    X: np.ndarray,
    y: np.ndarray,
    *,
    n_trees: int = 200,
    max_features: str | int = "sqrt",
    seed: int = 0,
    n_threads: int | None = None,
    max_depth: int | None = None,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    out_of_bag: bool = True,
) -> tuple[Forest, float]:
    """Train TWS's own classifier, FastRandomForest, in the JVM.

    Parameters
    ----------
    X : ndarray, shape (n, n_features)
        Features of the labelled samples; FastRandomForest trains on float32. NaN counts as missing.
    y : ndarray, shape (n,)
        Indices into `class_names`, or the names themselves; any labels if `class_names` is left out.
    n_trees : int
        Number of trees.
    max_features : "sqrt" or int
        Features tried at a split (TWS's own default is 2).
    seed : int
        0 to 2^31 - 1. The same seed gives the same forest, whatever the number of threads.
    n_threads : int, optional
        Default: all cores.
    max_depth : int, optional
        None or 0: unlimited.
    feature_names, class_names : sequence of str, optional
        A class that no sample has gets probability 0.
    out_of_bag : bool
        Whether the confusion matrix is made; the accuracy is FastRandomForest's own.

    Returns
    -------
    forest : Forest
        Its settings have ``oob_confusion``, where it can be had: see :func:`_confusion`.
    oob_accuracy : float
        ``1 - measureOutOfBagError()``.

    Raises
    ------
    LabelsError
        If fewer than two classes have samples, or a label has no name.
    SettingsError
        For features of another shape or a parameter out of range.
    JavaError
        If training fails in Java, for instance for want of memory.
    """
    import jpype

    from fijibridge.forest.java import compiler as javahelper
    from fijibridge.jvm import gateway

    X, y = np.asarray(X), np.asarray(y)
    if X.ndim != 2 or y.shape != X.shape[:1] or X.shape[1] < 1 or X.dtype.kind not in "fiub":
        raise SettingsError(
            f"X {X.dtype} {X.shape}, y {y.shape}",
            expected="numbers of shape (n, n_features) and (n,)",
            remedy="give one label a sample",
        )
    names, index = class_indices(y, class_names)
    if feature_names is None:
        feature_names = [f"feature_{i}" for i in range(X.shape[1])]
    if len(feature_names) != X.shape[1]:
        raise SettingsError(
            f"{len(feature_names)} feature names for {X.shape[1]} features", expected="one each", remedy="name them all"
        )
    tried = features_tried(max_features, X.shape[1])
    _check_range("n_trees", n_trees, 1, 100_000)
    _check_range("seed", seed, 0, _SEEDS - 1)
    _check_range("n_threads", n_threads or 0, 0, 1024)
    _check_range("max_depth", max_depth or 0, 0, _SEEDS - 1)
    data = _header(feature_names, names, capacity=len(X))
    _add_samples(data, X, index.astype(np.int32))
    frf = gateway().jclass("hr.irb.fastRandomForest.FastRandomForest")()
    frf.setNumTrees(int(n_trees))
    frf.setNumFeatures(int(tried))
    frf.setSeed(int(seed))
    frf.setMaxDepth(int(max_depth or 0))
    frf.setNumThreads(int(n_threads or 0))
    try:
        javahelper.call("train", frf, data)
    except jpype.JException as error:
        raise JavaError(
            f"FastRandomForest failed ({error})",
            expected=f"room for {X.shape[0]} samples of {X.shape[1]} features in Java's heap",
            remedy="start Java with a larger heap (fijibridge.jvm.start(heap=...)) or label fewer pixels",
        ) from error
    forest = forest_from_weka(frf, data)
    if out_of_bag and (matrix := _confusion(forest, X, index)) is not None:
        forest = dataclasses.replace(forest, settings=forest.settings | {"oob_confusion": matrix.tolist()})
    return forest, 1.0 - float(frf.measureOutOfBagError())


def _confusion(forest: Forest, X: np.ndarray, index: np.ndarray) -> np.ndarray | None:
    """Confusion matrix of a freshly trained forest's out-of-bag votes.

    FastRandomForest reports their error alone. Its own resampling, started from the same seed, draws the bags again;
    with them the trees' votes are counted here. None where the error of these is not the one that it reports, so that
    other versions of it do no harm, and for features that are NaN.
    """
    import jpype

    from fijibridge.forest.java import compiler as javahelper
    from fijibridge.jvm.transfer import direct_buffer

    known = forest.settings.get("oob_error")
    X = np.ascontiguousarray(X, np.float32)
    if known is None or not np.isfinite(X).all():
        return None
    in_bag = np.zeros((forest.n_trees, len(X)), np.int8)
    numbers = (jpype.JInt(len(X)), jpype.JInt(forest.n_trees), jpype.JInt(forest.settings["seed"]))
    try:
        javahelper.call("bags", *numbers, direct_buffer(in_bag.reshape(-1)))
    except jpype.JException as error:
        log.warning("no out-of-bag confusion matrix: %s", error)
        return None
    leaf = forest.apply(X)
    votes = np.zeros((len(X), forest.n_classes))
    for number, bag in enumerate(in_bag):
        outside = np.flatnonzero(bag == 0)
        votes[outside] += forest.value[leaf[outside, number]]
    if abs(np.mean(votes.argmax(axis=1) != index) - known) > _SAME_ERROR:
        log.warning("no out-of-bag confusion matrix: this FastRandomForest draws its samples another way")
        return None
    return confusion(index, votes)


def balanced_rows_weka(y: np.ndarray, class_names: Sequence[str], seed: int) -> np.ndarray:
    """The samples that TWS's "Balance classes" trains on: Weka's own filter draws them.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
        Indices into `class_names`.
    class_names : sequence of str
    seed : int
        Of the filter.

    Returns
    -------
    ndarray of int64
        Indices of samples, as of :func:`fijibridge.forest.balance.balanced_rows`.
    """
    from fijibridge.jvm import gateway

    data = _header(["row"], class_names, capacity=len(y))
    _add_samples(data, np.arange(len(y), dtype=np.float64)[:, None], np.asarray(y, np.int32))
    resample = gateway().jclass("weka.filters.supervised.instance.Resample")()
    resample.setBiasToUniformClass(1.0)
    resample.setRandomSeed(seed)
    resample.setInputFormat(data)
    drawn = gateway().jclass("weka.filters.Filter").useFilter(data, resample)
    return np.array(drawn.attributeToDoubleArray(0), np.int64)


def _check_range(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise SettingsError(
            f"{name}={value!r}", expected=f"a whole number from {low} to {high}", remedy=f"change {name}"
        )


def _add_samples(data: Any, X: np.ndarray, index: np.ndarray) -> None:
    import jpype

    from fijibridge.forest.java import compiler as javahelper
    from fijibridge.jvm.transfer import direct_buffer

    for first in range(0, len(X), _ROWS):
        part = np.ascontiguousarray(X[first : first + _ROWS], np.float64)
        javahelper.call(
            "add",
            data,
            direct_buffer(part.reshape(-1)),
            direct_buffer(index[first : first + _ROWS]),
            jpype.JInt(len(part)),
            jpype.JInt(X.shape[1]),
        )


def predict_weka(forest: Forest | tuple[Any, Any], X: np.ndarray, *, n_threads: int = 1) -> np.ndarray:
    """Class probabilities by FastRandomForest itself: one Weka instance after the other, in compiled Java.

    Parameters
    ----------
    forest : Forest, or the pair that `to_weka` returns
        The classifier. Give the pair to predict more than once.
    X : ndarray, shape (n, n_features)
        Samples; NaN counts as missing.
    n_threads : int
        Java threads.

    Returns
    -------
    ndarray of float64, shape (n, n_classes)
        Rows are zero where every reached leaf is zero.

    Raises
    ------
    FeatureMismatchError
        If `X` has another number of features.
    """
    import jpype

    from fijibridge.forest.java import compiler as javahelper
    from fijibridge.jvm.transfer import direct_buffer

    frf, header = to_weka(forest) if isinstance(forest, Forest) else forest
    X = np.asarray(X)
    n_features = int(header.numAttributes()) - 1
    if X.ndim != 2 or X.shape[1] != n_features:
        raise FeatureMismatchError(
            f"samples of shape {X.shape}",
            expected=f"(n, {n_features}), one column a feature of the forest",
            remedy="compute the features as for the forest's training",
        )
    _check_range("n_threads", n_threads, 1, 1024)
    out = np.empty((len(X), int(header.numClasses())))
    # No more than a thread's share: else a call of fewer rows than a step would leave all threads but one idle.
    rows = max(1, min(_ROWS, 2**26 // n_features, -(-len(X) // n_threads)))
    for first in range(0, len(X), rows * n_threads):
        tasks = []
        for start in range(first, min(len(X), first + rows * n_threads), rows):
            part = np.ascontiguousarray(X[start : start + rows], np.float64)
            target = out[start : start + len(part)]
            buffers = direct_buffer(part.reshape(-1)), direct_buffer(target.reshape(-1))
            sizes = jpype.JInt(len(part)), jpype.JInt(n_features)
            tasks.append(javahelper.start("predict", frf, header, *buffers, *sizes))
        javahelper.wait(tasks)
    return out
