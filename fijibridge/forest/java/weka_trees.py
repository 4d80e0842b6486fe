"""Weka's own trees as a `Forest`: RandomForest, RandomTree, REPTree and J48, for the compiled kernel.

Their rules, from Weka 3.9's sources: RandomTree and REPTree go left where ``x < split``, J48 where ``x <= split``,
compared in float64; a missing value goes down both branches, weighted by the training weight that did; RandomForest,
Bagging and RandomCommittee add up the trees' distributions in their order and normalise once. RandomTree normalises its
leaves.
"""

from __future__ import annotations

import logging

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.forest.forest import Forest
from fijibridge.forest.java.model_file import ModelObjects, header_names, unusable

_BUFFER_BYTES = 2**31 - 1  # what one Java buffer spans
_ROUNDING = 1e-9

log = logging.getLogger(__name__)


def check_size(n_nodes: int, n_classes: int) -> None:
    """Refuse a forest whose leaf values no Java buffer holds.

    Parameters
    ----------
    n_nodes, n_classes : int
        Of the forest.

    Raises
    ------
    SettingsError
        If they are too many.
    """
    if n_nodes * n_classes * 8 > _BUFFER_BYTES:
        raise SettingsError(
            f"a forest of {n_nodes} nodes and {n_classes} classes",
            expected=f"at most {_BUFFER_BYTES // 8} leaf values",
            remedy="train fewer or shallower trees",
        )


def forest_of_trees(found: ModelObjects, what: str) -> Forest | None:
    """A tree, or an average of trees, of Weka as a forest that predicts the same.

    Parameters
    ----------
    found : ModelObjects
        A classifier and its header.
    what : str
        Whose they are, for messages.

    Returns
    -------
    Forest or None
        ``settings["trained_by"]`` is the classifier's class. None for any other classifier, and for trees that the
        arrays cannot say: with empty branches, or a single tree whose leaves do not sum to 1.

    Raises
    ------
    ModelFileError
        If trees share branches, or the header does not suit.
    """
    import jpype

    from fijibridge.forest.java import compiler as javahelper
    from fijibridge.jvm.transfer import direct_buffer

    features, classes, class_index = header_names(found.header, what)
    try:
        roots = javahelper.call("trees_roots", found.classifier)
        if roots is None:
            return None
        n_trees = len(roots)
        n_nodes = int(javahelper.call("trees_count", roots, jpype.JLong(found.size)))
        check_size(n_nodes, len(classes))
        arrays: dict[str, np.ndarray] = {
            "feature": np.zeros(n_nodes, np.int32),
            "threshold": np.zeros(n_nodes, np.float64),
            "left": np.zeros(n_nodes, np.int32),
            "right": np.zeros(n_nodes, np.int32),
            "value": np.zeros((n_nodes, len(classes)), np.float64),
            "left_fraction": np.zeros(n_nodes, np.float64),
            "roots": np.zeros(n_trees, np.int64),
        }
        smoothed = javahelper.call("trees_laplace", found.classifier, jpype.JInt(n_trees))
        missing = jpype.JClass("weka.core.DenseInstance")(len(features) + 1)  # all values are
        missing.setDataset(found.header)
        buffers = [direct_buffer(array.reshape(-1)) for array in arrays.values()]
        javahelper.call("trees_flatten", roots, smoothed, missing, jpype.JInt(len(classes)), *buffers)
    except jpype.JException as error:
        if "share branches" in str(error.getMessage()):
            raise unusable(f"{what}: {error.getMessage()}") from error
        log.info("%s runs in Weka: %s", what, error)
        return None
    except SettingsError as error:  # more nodes than a buffer holds
        log.info("%s runs in Weka: %s", what, error.found)
        return None
    feature, value = arrays["feature"], arrays["value"]
    sums = value[feature < 0].sum(axis=1)
    if (feature == class_index).any() or (n_trees == 1 and (abs(sums - 1) > _ROUNDING).any()):
        return None
    feature[feature > class_index] -= 1
    try:
        return Forest(
            **arrays,
            n_features=len(features),
            feature_names=features,
            class_names=classes,
            settings={"trained_by": found.java_class, "relation": str(found.header.relationName())},
        )
    except SettingsError as error:
        log.info("%s runs in Weka: %s", what, error.found)
        return None
