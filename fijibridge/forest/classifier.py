"""What all classifiers have in common: forests of the compiled kernel, and those that Weka runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fijibridge.forest.forest import Forest
from fijibridge.forest.java.weka_classifier import WekaClassifier


class Classifier(Protocol):
    """A trained classifier of samples with numeric features: a `Forest` or a `WekaClassifier`, which say more.

    Attributes
    ----------
    feature_names, class_names : tuple of str
        In the order of the samples' columns, and of the probabilities.
    n_features, n_classes : int
        Their numbers.
    settings : dict
        What trained it, as plain JSON.
    """

    @property
    def feature_names(self) -> tuple[str, ...]: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def n_features(self) -> int: ...
    @property
    def n_classes(self) -> int: ...
    @property
    def settings(self) -> dict[str, Any]: ...

    def predict_proba(self, X: np.ndarray, *, n_threads: int | None = None) -> np.ndarray:
        """Class probabilities of samples.

        Parameters
        ----------
        X : ndarray, shape (..., n_features)
        n_threads : int, optional
            All cores that this process may use by default.

        Returns
        -------
        ndarray of float64, shape (..., n_classes)
            Each row sums to 1.
        """

    def predict(self, X: np.ndarray, *, n_threads: int | None = None) -> np.ndarray:
        """Index into `class_names` of the most probable class; of equals the first one.

        Parameters
        ----------
        X : ndarray, shape (..., n_features)
        n_threads : int, optional
            As for `predict_proba`.

        Returns
        -------
        ndarray of int64, shape (...)
        """

    def feature_importances(self) -> np.ndarray:
        """Importances of a forest's features, which sum to 1; a SettingsError of another classifier."""

    def equals(self, other: object) -> bool:
        """Whether `other` predicts the same from samples of the same names."""

    def sha256(self) -> str:
        """Digest over all that it predicts with, 64 hexadecimal digits."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file, which its kind reads, and return the path."""


def brief(classifier: Classifier) -> dict[str, Any]:
    """What a report says of a classifier.

    Parameters
    ----------
    classifier : Classifier

    Returns
    -------
    dict
        ``trees``, ``nodes`` and ``sha256`` of a forest; ``classifier``, ``run_by`` and ``sha256`` of one run by Weka.
    """
    if isinstance(classifier, Forest):
        return {"trees": classifier.n_trees, "nodes": classifier.n_nodes, "sha256": classifier.sha256()}
    named = {"classifier": classifier.settings.get("trained_by"), "run_by": classifier.settings.get("run_by")}
    return {**named, "sha256": classifier.sha256()}


def in_few_words(classifier: Classifier) -> str:
    """How many trees, or which classifier of Weka's."""
    if isinstance(classifier, Forest):
        return f"{classifier.n_trees} trees"
    return f"{classifier.settings.get('trained_by')} run by Weka"


def in_java(classifier: Classifier) -> tuple[Any, Any, tuple[str, ...]]:
    """A classifier in the JVM, such as TWS takes it.

    Parameters
    ----------
    classifier : Classifier

    Returns
    -------
    classifier : weka.classifiers.Classifier
        A FastRandomForest where a forest is given.
    header : weka.core.Instances
    feature_names : tuple of str
        In the header's order, which is not that of the samples where `in_order` has changed it.
    """
    from fijibridge.forest.java.weka import to_weka

    if isinstance(classifier, Forest):
        made, header = to_weka(classifier)
    else:
        assert isinstance(classifier, WekaClassifier)
        made, header = classifier.to_weka()
    return made, header, tuple(str(header.attribute(k).name()) for k in range(int(header.numAttributes()) - 1))


def in_order(classifier: Classifier, names: Sequence[str]) -> Classifier:
    """The classifier for samples whose columns stand in another order, or hold others beside its own.

    Parameters
    ----------
    classifier : Classifier
    names : sequence of str
        Of these columns, its own feature names among them.

    Returns
    -------
    Classifier
    """
    if classifier.feature_names == tuple(names):
        return classifier
    if isinstance(classifier, WekaClassifier):
        return classifier.in_order(names)
    assert isinstance(classifier, Forest)
    place = np.array([tuple(names).index(name) for name in classifier.feature_names], classifier.feature.dtype)
    feature = np.where(classifier.feature >= 0, place[classifier.feature], classifier.feature)
    return replace(classifier, feature=feature, feature_names=tuple(names), n_features=len(names))
