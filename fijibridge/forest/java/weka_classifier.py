"""Classifiers that Weka itself runs: any that TWS saved and that is no forest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import FeatureMismatchError, ModelFileError, SettingsError
from fijibridge.forest.forest import Forest
from fijibridge.forest.java.model_file import header_names, read_objects, read_stream, stream_of
from fijibridge.forest.java.weka import forest_of

_KIND = "fijibridge.weka-classifier"
_ROWS = 2**14  # samples a call: their features as float64, twice, and short enough to answer Ctrl-C
_VALUES = 2**24
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class WekaClassifier:
    """A trained classifier of Weka, run by Weka in the JVM.

    It is the two serialised objects of a ``.model`` file, so that it travels to other processes and into files as it
    is; they are deserialised at the first prediction, under the same checks as in `read_weka_model`.

    Parameters
    ----------
    data : bytes
        The uncompressed stream of the classifier and its header.
    java_class : str
        The classifier's class, such as ``weka.classifiers.functions.SMO``.
    feature_names : tuple of str
        In the order of the samples' columns.
    class_names : tuple of str
        In Weka's order.
    places : tuple of int
        The column of each of the model's attributes.
    settings : dict
        ``trained_by`` and ``run_by``, for reports, and ``relation``, the name of the training's data set.

    Raises
    ------
    SettingsError
        If names are not distinct, or `places` is no order of the columns.
    """

    data: bytes
    java_class: str
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    places: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names, classes = self.feature_names, self.class_names
        if len(set(names)) != len(names) or len(set(classes)) != len(classes) or not names or not classes:
            raise SettingsError(
                f"{self.java_class} of {len(names)} features and {len(classes)} classes, not all of different names",
                expected="distinct names",
                remedy="rename the features or classes in TWS, train and save again",
            )
        if len(set(self.places)) != len(self.places) or not set(self.places) <= set(range(len(names))):
            raise SettingsError(
                f"places of {len(self.places)} features", expected="columns, each once", remedy="use in_order"
            )
        object.__setattr__(self, "settings", self.settings | {"trained_by": self.java_class, "run_by": "Weka"})

    @property
    def n_features(self) -> int:
        """Number of features of a sample."""
        return len(self.feature_names)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def __repr__(self) -> str:
        return f"WekaClassifier({self.java_class}, {self.n_features} features, classes {', '.join(self.class_names)})"

    def predict_proba(self, X: np.ndarray, *, n_threads: int | None = None) -> np.ndarray:
        """Class probabilities of samples: Weka's ``distributionForInstance``.

        Each thread has a copy of the classifier, since not all of Weka's may be asked by several. Nearest neighbours
        answer each sample as if it were the first: Weka's own remember the range of what they were asked before.

        Parameters
        ----------
        X : ndarray, shape (..., n_features)
            Samples; Weka gets them as float64. NaN counts as missing. A sample's class is the first, as in TWS.
        n_threads : int, optional
            Java threads; all cores that this process may use by default.

        Returns
        -------
        ndarray of float64, shape (..., n_classes)
            As Weka gives them. Where it gives zeros or NaN the row is uniform; one that does not sum to 1 is
            normalised.

        Raises
        ------
        FeatureMismatchError
            If the last axis of `X` is not n_features long.
        SettingsError
            If `n_threads` is below 1 or `X` is not numeric.
        ModelFileError
            If the classifier fails.
        """
        import jpype

        X = np.asarray(X)
        if X.ndim < 2 or X.shape[-1] != self.n_features:
            raise FeatureMismatchError(
                f"samples of shape {X.shape}",
                expected=f"(..., {self.n_features}), one column a feature of the classifier",
                remedy="compute the features as for the classifier's training",
            )
        if X.dtype.kind not in "fiub":
            raise SettingsError(f"samples of dtype {X.dtype}", expected="real numbers", remedy="give float32 features")
        n_threads = _cores() if n_threads is None else n_threads
        if n_threads < 1:
            raise SettingsError(f"n_threads={n_threads}", expected="1 or more", remedy="leave it out to use all cores")
        samples = X.reshape(-1, self.n_features)
        out = np.empty((len(samples), self.n_classes))
        rows = max(1, min(_ROWS, _VALUES // self.n_features, -(-len(samples) // n_threads)))
        copies = _copies(self, max(1, min(n_threads, -(-len(samples) // rows))))
        try:
            for first in range(0, len(samples), rows * len(copies)):
                self._predict_part(samples[first : first + rows * len(copies)], out[first:], rows, copies)
        except jpype.JException as error:
            raise ModelFileError(
                f"{self.java_class} fails ({error.getClass().getSimpleName()}: {error.getMessage()})",
                expected="a trained classifier of Weka 3.9 that takes numeric features",
                remedy="train and save it again in TWS; for want of memory start Java with a larger heap "
                "(fijibridge.jvm.start(heap=...))",
            ) from error
        return _summing_to_1(out).reshape(*X.shape[:-1], self.n_classes)

    def _predict_part(
        self, samples: np.ndarray, out: np.ndarray, rows: int, copies: list[tuple[Any, Any, Any]]
    ) -> None:
        """One step of all threads."""
        import jpype

        from fijibridge.forest.java import compiler as javahelper
        from fijibridge.jvm.transfer import direct_buffer

        tasks, held = [], []
        for number, start in enumerate(range(0, len(samples), rows)):
            part = np.ascontiguousarray(samples[start : start + rows][:, self.places], np.float64)
            held.append(part)  # Java's buffer is this memory
            tasks.append(
                javahelper.start(
                    "classifiers_predict",
                    *copies[number],
                    jpype.JInt[:](list(range(len(self.places)))),
                    direct_buffer(part.reshape(-1)),
                    direct_buffer(out[start : start + len(part)].reshape(-1)),
                    jpype.JInt(len(part)),
                )
            )
        javahelper.wait(tasks)

    def predict(self, X: np.ndarray, *, n_threads: int | None = None) -> np.ndarray:
        """Index into `class_names` of the most probable class; of equals the first one.

        Parameters
        ----------
        X : ndarray, shape (..., n_features)
            As for `predict_proba`, with its errors.
        n_threads : int, optional
            As for `predict_proba`.

        Returns
        -------
        ndarray of int64, shape (...)
        """
        return self.predict_proba(X, n_threads=n_threads).argmax(axis=-1)

    def feature_importances(self) -> np.ndarray:
        """Not there: what a classifier of Weka makes of a feature is its own affair.

        Raises
        ------
        SettingsError
            Always.
        """
        raise SettingsError(
            f"importances of the features of {self.java_class}",
            expected="a forest: FastRandomForest, or Weka's RandomForest",
            remedy="train a forest on the same labels for the importances",
        )

    def in_order(self, names: Sequence[str]) -> WekaClassifier:
        """The same classifier for samples whose columns stand in another order, or hold others beside its own.

        Parameters
        ----------
        names : sequence of str
            Of these columns, its own features among them.

        Returns
        -------
        WekaClassifier

        Raises
        ------
        SettingsError
            If one of its own is not among them, or one is there twice.
        """
        if len(set(names)) != len(names) or not {self.feature_names[own] for own in self.places} <= set(names):
            raise SettingsError(
                f"{len(names)} features in place of {self.n_features}",
                expected="the classifier's features, each once",
                remedy="name them all",
            )
        place = {name: number for number, name in enumerate(names)}
        places = tuple(place[self.feature_names[old]] for old in self.places)
        return replace(self, feature_names=tuple(names), places=places)

    def equals(self, other: object) -> bool:
        """Whether `other` is the same stream with its features in the same order."""
        return isinstance(other, WekaClassifier) and self.sha256() == other.sha256()

    def sha256(self) -> str:
        """Digest over the stream and the names.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        names = [_KIND, self.java_class, self.feature_names, self.class_names, self.places]
        digest = hashlib.sha256(json.dumps(names).encode())
        digest.update(self.data)
        return digest.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the classifier as the ``.model`` that it came from, which TWS and Weka load.

        The order of `in_order` is not in it.

        Parameters
        ----------
        path : path
            File to write; replaced if it exists.

        Returns
        -------
        Path
            `path`.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path = Path(path)
        with output_file(path) as part:
            part.write_bytes(self.data)
        return path

    def to_weka(self) -> tuple[Any, Any]:
        """A copy of the classifier and its header in Java, as `fijibridge.forest.to_weka` gives of a forest.

        Returns
        -------
        classifier : weka.classifiers.Classifier
        header : weka.core.Instances
        """
        found = read_stream(self.data, self.java_class)
        return found.classifier, found.header


_COPIES: WeakKeyDictionary[WekaClassifier, list[tuple[Any, Any, Any]]] = WeakKeyDictionary()


def _copies(classifier: WekaClassifier, count: int) -> list[tuple[Any, Any, Any]]:
    """Deserialised as often as there are threads, and kept as long as the classifier lives."""
    kept = _COPIES.setdefault(classifier, [])
    while len(kept) < count:
        found = read_stream(classifier.data, classifier.java_class)
        kept.append((found.classifier, found.header, found.ranges))
    return kept[:count]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _summing_to_1(found: np.ndarray) -> np.ndarray:
    sums = found.sum(axis=1)
    nothing = ~(np.isfinite(found).all(axis=1) & (found >= -_ROUNDING).all(axis=1) & (sums > 0))
    np.maximum(found, 0, out=found)
    found[nothing] = 1 / found.shape[1]
    off = ~nothing & (abs(sums - 1) > _ROUNDING)
    found[off] /= sums[off, None]
    return found


def read_weka_model(path: str | os.PathLike[str]) -> Forest | WekaClassifier:
    """Read a classifier that TWS or Weka saved, whichever it is.

    Parameters
    ----------
    path : path
        A ``.model``, or one compressed with gzip.

    Returns
    -------
    Forest or WekaClassifier
        A `Forest`, for the compiled kernel, of FastRandomForest and of Weka's RandomForest, RandomTree, REPTree and
        J48; any other classifier as one that Weka runs.

    Raises
    ------
    ModelFileError
        If it is missing, truncated, not a ``.model``, of a class that is not there, never trained, or holds what it
        must not.
    """
    path = Path(path)
    found = read_objects(path)
    if (forest := forest_of(found, str(path))) is not None:
        return forest
    features, classes, _ = header_names(found.header, str(path))
    try:
        classifier = WekaClassifier(
            stream_of(path),
            found.java_class,
            features,
            classes,
            places=tuple(range(len(features))),
            settings={"relation": str(found.header.relationName())},
        )
    except SettingsError as error:
        raise ModelFileError(f"{path}: {error.found}", expected=error.expected, remedy=error.remedy) from error
    try:
        classifier.predict_proba(np.zeros((1, len(features))), n_threads=1)
    except ModelFileError as error:
        raise ModelFileError(
            f"{path} holds a classifier that does not work, or was never trained: {error.found}",
            expected=error.expected,
            remedy=error.remedy,
        ) from error
    return classifier
