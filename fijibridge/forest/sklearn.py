"""Forests from and to scikit-learn, and training with it.

scikit-learn sends a sample left when ``float32(x) <= t``, a `Forest` when ``x < s``. For float32 features the two
agree exactly when ``s`` is the next float32 above the largest float32 that is not above ``t``; so split points convert
without loss both ways for every finite float32 (scikit-learn refuses infinite features).
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import TREE_LEAF, TREE_UNDEFINED, Tree

from fijibridge.core.errors import SettingsError
from fijibridge.forest.forest import Forest
from fijibridge.forest.out_of_bag import confusion
from fijibridge.forest.rounding import float32_at_least
from fijibridge.forest.samples import class_indices, features_tried


class ForestClassifier(RandomForestClassifier):
    """A scikit-learn random forest whose trees may hold leaf values that do not sum to 1.

    `to_sklearn` returns one. Its `predict_proba` sums the leaf values over the trees and normalises once, as Weka's
    FastRandomForest does; scikit-learn's own divides by the number of trees, which is the same only for normalised
    leaves. `predict`, `apply`, `decision_path`, `feature_importances_` and `estimators_` are scikit-learn's.
    `classes_` holds the class names as strings. Impurities are Gini impurities of the node's class distribution, and
    sample counts follow from the share of training weight that went left, so `feature_importances_` is the mean
    decrease of Gini impurity whatever criterion trained the trees. `fit` trains a plain random forest.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ForestClassifier:
        """See :class:`sklearn.ensemble.RandomForestClassifier`: trains anew."""
        shape = getattr(y, "shape", None) or np.asarray(y).shape
        if len(shape) > 1 and shape[1] > 1:
            raise SettingsError(
                f"y of shape {shape}", expected="one label a sample", remedy="train a forest for each output"
            )
        for stale in ("feature_names_", "settings_"):
            self.__dict__.pop(stale, None)
        return super().fit(X, y, sample_weight)

    def __sklearn_tags__(self) -> Any:
        """A random forest's, of one output."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = tags.classifier_tags.multi_label = False
        return tags

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities, normalised once over the summed trees.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
            Converted to float32.

        Returns
        -------
        ndarray of float64, shape (n, n_classes)
            Uniform where every reached leaf is all zero.
        """
        proba = super().predict_proba(X)
        total = proba.sum(axis=1, keepdims=True)
        return np.divide(proba, total, out=np.full_like(proba, 1 / proba.shape[1]), where=total > 0)


def _strict_from_inclusive(t: np.ndarray) -> np.ndarray:
    """``s`` such that ``x < s`` is ``x <= t`` for every finite float32 x."""
    largest_not_above = -float32_at_least(-t)
    return _next(largest_not_above, np.inf).astype(np.float64)


def _inclusive_from_strict(s: np.ndarray) -> np.ndarray:
    """``t`` such that ``x <= t`` is ``x < s`` for every finite float32 x: the largest float32 below ``s``."""
    return _next(float32_at_least(s), -np.inf).astype(np.float64)


def _next(values: np.ndarray, towards: float) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):  # the ends of the range and the subnormals are meant
        return np.nextafter(values, np.float32(towards))


def _checked(clf: Any) -> None:
    remedy = "fit a RandomForestClassifier or ExtraTreesClassifier on one label a sample"
    if not isinstance(clf, (RandomForestClassifier, ExtraTreesClassifier)):
        raise SettingsError(f"a {type(clf).__name__}", expected="a random forest classifier", remedy=remedy)
    if not getattr(clf, "estimators_", None):
        raise SettingsError(f"a {type(clf).__name__} that is not fitted", expected="a fitted one", remedy=remedy)
    if clf.n_outputs_ != 1:
        raise SettingsError(f"{clf.n_outputs_} outputs", expected="one label a sample", remedy=remedy)


def _left_fraction(estimator: DecisionTreeClassifier) -> np.ndarray:
    """Share of weight that went left; the one that `to_sklearn` left with the tree is free of rounding."""
    tree = estimator.tree_
    known = getattr(estimator, "left_fraction_", None)
    if known is not None and len(known) == tree.node_count:
        return known
    weight = tree.weighted_n_node_samples
    fraction = np.full(tree.node_count, 0.5)
    np.divide(weight[tree.children_left], weight, out=fraction, where=weight > 0)
    return np.clip(fraction, 0, 1)


def forest_from_sklearn(
    clf: RandomForestClassifier | ExtraTreesClassifier,
    *,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> Forest:
    """Read a fitted scikit-learn forest.

    Parameters
    ----------
    clf : RandomForestClassifier or ExtraTreesClassifier
        Fitted, with one output.
    feature_names : sequence of str, optional
        Default: those the classifier knows, else ``feature_0``, ``feature_1``, ...
    class_names : sequence of str, optional
        In the order of ``clf.classes_``. Default: ``clf.classes_`` as text.

    Returns
    -------
    Forest
        With the same leaf for every finite float32 sample, hence the same probabilities to rounding.

    Raises
    ------
    SettingsError
        For another kind of estimator, one that is not fitted, several outputs, or names of the wrong number.

    Notes
    -----
    NaN goes down both branches of a `Forest`; where scikit-learn learned to send it is lost.
    """
    _checked(clf)
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "value", "left_fraction")
    }
    roots, start = [], 0
    for estimator in clf.estimators_:
        tree = estimator.tree_
        leaf = tree.children_left == TREE_LEAF
        parts["feature"].append(np.where(leaf, -1, tree.feature))
        parts["threshold"].append(_strict_from_inclusive(tree.threshold))
        parts["left"].append(np.where(leaf, -1, tree.children_left + start))
        parts["right"].append(np.where(leaf, -1, tree.children_right + start))
        parts["value"].append(tree.value[:, 0, :])
        parts["left_fraction"].append(_left_fraction(estimator))
        roots.append(start)
        start += tree.node_count
    if feature_names is None:
        feature_names = getattr(clf, "feature_names_", None)
    if feature_names is None:
        feature_names = getattr(clf, "feature_names_in_", [f"feature_{i}" for i in range(clf.n_features_in_)])
    return Forest(
        **{name: np.concatenate(arrays) for name, arrays in parts.items()},
        roots=np.array(roots, np.int64),
        n_features=clf.n_features_in_,
        feature_names=tuple(feature_names),
        class_names=tuple(str(name) for name in (clf.classes_ if class_names is None else class_names)),
        settings=getattr(clf, "settings_", None) or _settings(clf),
    )


def _settings(clf: Any) -> dict[str, Any]:
    found = {name: clf.get_params()[name] for name in ("max_features", "max_depth", "criterion", "bootstrap")}
    if isinstance(clf.random_state, (int, np.integer)):
        found["seed"] = int(clf.random_state)
    found = {name: value.item() if isinstance(value, np.generic) else value for name, value in found.items()}
    weights = {float(estimator.tree_.weighted_n_node_samples[0]) for estimator in clf.estimators_}
    if len(weights) == 1:
        found["n_samples"] = weights.pop()
    return {"trained_by": "scikit-learn", **found}


def _root_weight(forest: Forest, share: np.ndarray) -> float:
    """Training weight of a tree: as recorded, else the least that gives every leaf at least one sample."""
    recorded = forest.settings.get("n_samples")
    if isinstance(recorded, (int, float)) and not isinstance(recorded, bool) and recorded > 0:
        return float(recorded)
    least = share[share > 0].min()
    return float(min(np.rint(1 / least), np.iinfo(np.int32).max))


def to_sklearn(forest: Forest) -> ForestClassifier:
    """Make a fitted scikit-learn classifier of a forest.

    Parameters
    ----------
    forest : Forest
        Of any owner.

    Returns
    -------
    ForestClassifier
        `classes_` are the class names, as strings. The same leaf for every finite float32 sample. Trees whose nodes do
        not lie together in `forest` are renumbered, root first; others keep the order of their nodes.

    Notes
    -----
    ``forest_from_sklearn(to_sklearn(forest))`` has the split points of `forest`, rounded up to float32, which changes
    no leaf; after one round trip nothing changes any more. `n_node_samples` is rounded from `left_fraction`.
    scikit-learn sends NaN one way only: here the way that most of the training weight went.
    """
    share, distribution = forest.node_statistics()
    total = distribution.sum(axis=1, keepdims=True)
    p = np.divide(distribution, total, out=np.zeros_like(distribution), where=total > 0)
    impurity = np.where(total[:, 0] > 0, 1 - (p**2).sum(axis=1), 0)
    weight = share * _root_weight(forest, share)
    threshold, depth = _inclusive_from_strict(forest.threshold), forest.depth()

    template = _template(forest)
    state = template.tree_.__getstate__()
    tree_of_node = forest.tree_of_node()
    nodes_by_tree = np.split(
        np.argsort(tree_of_node, kind="stable"), np.cumsum(np.bincount(tree_of_node, minlength=forest.n_trees))[:-1]
    )
    place = np.empty(forest.n_nodes, np.int64)
    estimators = []
    for root, node in zip(forest.roots, nodes_by_tree, strict=True):
        node = np.concatenate([[root], node[node != root]])  # scikit-learn's root is node 0
        place[node] = np.arange(len(node))
        leaf = forest.feature[node] < 0
        # Fields that a later scikit-learn adds to a node keep the value of a freshly trained tree.
        nodes = np.repeat(state["nodes"][:1], len(node))
        nodes["left_child"] = np.where(leaf, TREE_LEAF, place[forest.left[node]])
        nodes["right_child"] = np.where(leaf, TREE_LEAF, place[forest.right[node]])
        nodes["feature"] = np.where(leaf, TREE_UNDEFINED, forest.feature[node])
        nodes["threshold"] = np.where(leaf, TREE_UNDEFINED, threshold[node])
        nodes["impurity"] = impurity[node]
        nodes["n_node_samples"] = np.maximum(np.rint(weight[node]), 1)
        nodes["weighted_n_node_samples"] = weight[node]
        nodes["missing_go_to_left"] = forest.left_fraction[node] > 0.5
        tree = Tree(forest.n_features, np.array([forest.n_classes], np.intp), 1)
        tree.__setstate__(
            state
            | {
                "max_depth": int(depth[node].max()),
                "node_count": len(node),
                "nodes": nodes,
                "values": np.ascontiguousarray(distribution[node][:, None, :]),
            }
        )
        estimator = copy.copy(template)
        estimator.tree_ = tree
        estimator.left_fraction_ = forest.left_fraction[node]
        estimators.append(estimator)

    clf = ForestClassifier(n_estimators=forest.n_trees, **_parameters(forest))
    clf.estimator_ = DecisionTreeClassifier()
    clf.estimators_ = estimators
    clf.classes_ = np.array(forest.class_names)
    clf.n_classes_ = forest.n_classes
    clf.n_outputs_ = 1
    clf.n_features_in_ = forest.n_features
    clf.feature_names_ = forest.feature_names  # feature_names_in_ would make scikit-learn warn at plain arrays
    clf.settings_ = copy.deepcopy(forest.settings)
    return clf


def _template(forest: Forest) -> DecisionTreeClassifier:
    """A fitted tree with the features and classes of `forest`, to be given other nodes."""
    X = np.zeros((forest.n_classes, forest.n_features), np.float32)
    X[:, :1] = np.arange(forest.n_classes)[:, None]
    return DecisionTreeClassifier(random_state=0).fit(X, np.arange(forest.n_classes, dtype=np.float64))


def _parameters(forest: Forest) -> dict[str, Any]:
    """What of the settings scikit-learn takes as parameters, so that a clone trains alike."""
    settings, found = forest.settings, {}
    if settings.get("max_features") in ("sqrt", "log2") or type(settings.get("max_features")) in (int, float):
        found["max_features"] = settings["max_features"] or "sqrt"
    if type(settings.get("max_depth")) is int and settings["max_depth"] > 0:
        found["max_depth"] = settings["max_depth"]
    if type(settings.get("seed")) is int and 0 <= settings["seed"] < 2**32:
        found["random_state"] = settings["seed"]
    return found


def train_sklearn(
    X: np.ndarray,
    y: np.ndarray,
    *,
    n_trees: int = 200,
    max_features: str | int | float | None = "sqrt",
    seed: int = 0,
    n_threads: int | None = None,
    max_depth: int | None = None,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    out_of_bag: bool = True,
) -> tuple[Forest, float | None]:
    """Train a random forest with scikit-learn, by the same criterion as Weka's FastRandomForest: information gain.

    Parameters
    ----------
    X : ndarray of float32, shape (n, n_features)
        Finite features of the labelled samples.
    y : ndarray, shape (n,)
        Indices into `class_names`, or the names themselves; any labels if `class_names` is left out.
    n_trees : int
        Number of trees.
    max_features : str, int, float or None
        Features tried at a split: ``sqrt``, ``log2``, a number, a share, or None for all.
    seed : int
        0 to 2^32 - 1. The same seed gives the same forest, whatever the number of threads.
    n_threads : int, optional
        Default: all cores.
    max_depth : int, optional
        None or 0: unlimited.
    feature_names, class_names : sequence of str, optional
        A class that no sample has gets probability 0.
    out_of_bag : bool
        Whether the trees vote on samples that they did not see, which takes time.

    Returns
    -------
    forest : Forest
        Its settings have ``oob_confusion``: those votes as a confusion matrix, see
        :func:`fijibridge.forest.out_of_bag.confusion`.
    oob_accuracy : float or None
        Share of samples whose class the trees that did not see them get right, over the samples that some tree did not
        see; None if there are none, or they were not asked for.

    Raises
    ------
    LabelsError
        If fewer than two classes have samples, or a label has no name.
    SettingsError
        For features of another shape, not finite, or parameters that scikit-learn refuses.
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise SettingsError(
            f"X {X.shape}, y {y.shape}", expected="(n, n_features) and (n,)", remedy="give one label a sample"
        )
    X = np.ascontiguousarray(X, np.float32)
    if not np.isfinite(X).all():
        raise SettingsError("features with NaN or infinity", expected="finite ones", remedy="repair the image first")
    names, index = class_indices(y, class_names)
    clf = RandomForestClassifier(
        n_trees,
        criterion="entropy",  # FastRandomForest's information gain; Gini's mean IoU is 0.01 lower on micrographs
        max_features=features_tried(max_features, X.shape[1]),
        max_depth=max_depth or None,
        random_state=seed,
        n_jobs=-1 if n_threads is None else n_threads,
        oob_score=out_of_bag,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores", category=UserWarning)
        try:
            clf.fit(X, index)
        except ValueError as error:  # sklearn's InvalidParameterError is one
            raise SettingsError(
                f"scikit-learn refused: {error}", expected="parameters in its range", remedy="change the parameter"
            ) from error
    oob_accuracy, found = None, {}
    if out_of_bag:
        votes = np.zeros((len(index), len(names)))
        votes[:, clf.classes_] = np.nan_to_num(clf.oob_decision_function_)
        matrix = confusion(index, votes)
        oob_accuracy = float(np.trace(matrix) / matrix.sum()) if matrix.any() else None
        found = {"oob_confusion": matrix.tolist()}
    present = [names[c] for c in clf.classes_]
    forest = forest_from_sklearn(clf, feature_names=feature_names, class_names=present)
    if len(present) < len(names):
        value = np.zeros((forest.n_nodes, len(names)))
        value[:, clf.classes_] = forest.value
        forest = dataclasses.replace(forest, value=value, class_names=names)
    forest = dataclasses.replace(forest, settings=forest.settings | found) if found else forest
    return forest, oob_accuracy
