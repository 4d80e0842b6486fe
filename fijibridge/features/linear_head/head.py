"""The linear head: a linear model that turns the ViT's hundreds of channels into one a class.

A forest makes poor use of ViT features: each of them says little, and a split sees one at a time. A logistic regression
weighs all of them at once. Its class probabilities take the place of the ViT's channels, beside TWS's own features, so
that a forest of about 80 features, in Weka or scikit-learn, has what the ViT knows.

Being linear, it is applied to the tokens on the patch grid, and only its values are upsampled; where upsampling is not
linear, it is applied at the pixels. Every image's features are standardised by their own mean and spread in that image
first (:mod:`fijibridge.features.linear_head.statistics`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fijibridge.core.errors import FeatureMismatchError
from fijibridge.core.names import check_names
from fijibridge.core.records import texts
from fijibridge.features.linear_head.model import LinearModel
from fijibridge.features.linear_head.statistics import Statistics, image_statistics
from fijibridge.features.source import ImageFeatures, digest_of_array
from fijibridge.features.stack import FeatureStack


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A fitted linear model, and which features and classes it is of.

    Parameters
    ----------
    model : LinearModel
    class_names : tuple of str
    features_digest : str
        Of the names of the features that it was fitted on, see :func:`digest_of_names`.
    """

    model: LinearModel
    class_names: tuple[str, ...]
    features_digest: str

    def transform(self, stack: FeatureStack) -> list[ImageFeatures]:
        """A stack's plain features, standardised, and class probabilities in place of its grouped ones.

        Parameters
        ----------
        stack : FeatureStack

        Raises
        ------
        FeatureMismatchError
            The model is one of other features.
        """
        counts = [sum(not group for group in stack.groups), sum(bool(group) for group in stack.groups)]
        wanted = [len(self.model.plain_weights), len(self.model.grouped_weights)]
        if counts != wanted:
            raise FeatureMismatchError(
                f"a linear head of {wanted[0]} plain and {wanted[1]} grouped features, for {counts[0]} and {counts[1]}",
                expected="the features that the head was fitted on",
                remedy="make the features as the classifier's own, or train anew",
            )
        if self.features_digest != digest_of_names(stack.names):
            raise FeatureMismatchError(
                f"a linear head of other features than {stack.names[-1]} and those before it",
                expected="the features that the head was fitted on, in their order",
                remedy="make the features as the classifier's own, or train anew",
            )
        return [HeadFeatures(stack, self)]

    @property
    def digest(self) -> str:
        """SHA-256 of its numbers, classes and features."""
        parts = [*map(digest_of_array, self.model.arrays().values()), *self.class_names, self.features_digest]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; the numbers are in :meth:`arrays`."""
        return {"class_names": list(self.class_names), "features_digest": self.features_digest}

    def arrays(self) -> dict[str, np.ndarray]:
        """The model's numbers by name."""
        return self.model.arrays()

    @classmethod
    def restored(cls, data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> LinearHead:
        """The head that :meth:`to_json` and :meth:`arrays` describe.

        Parameters
        ----------
        data, arrays : mapping

        Raises
        ------
        SettingsError
            Arrays that do not fit.
        """
        names = texts(data["class_names"], "class_names")
        check_names(names)
        return cls(LinearModel.from_arrays(arrays, len(names)), names, str(data["features_digest"]))


def digest_of_names(names: Sequence[str]) -> str:
    """The first 16 digits of the SHA-256 of features' names, to tell sets of features apart."""
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()[:16]


def head_feature_names(plain: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Names of what a forest sees: ``z_original``, ... of standardised features, ``linear_ISE``, ... of the classes.

    No dots: TWS parses names with sigmas.

    Parameters
    ----------
    plain, classes : sequence of str
    """
    names = [f"z_{name.replace('.', '_')}" for name in plain]
    for name in classes:
        own = f"linear_{re.sub('[^A-Za-z0-9]', '_', name)}"
        names.append(own if own not in names else f"{own}_{len(names) + 1}")
    return tuple(names)


class HeadFeatures(ImageFeatures):
    """What the head makes of a stack: its plain features, standardised, then one channel a class.

    Parameters
    ----------
    stack : FeatureStack
        With the features that the head was fitted on.
    head : LinearHead
    """

    def __init__(self, stack: FeatureStack, head: LinearHead) -> None:
        statistics = image_statistics(stack)
        grouped = np.array([bool(group) for group in stack.groups])
        model, spread = head.model, statistics.spread[grouped]
        weights = model.grouped_weights / spread[:, None]
        offset = model.offset - (statistics.mean[grouped] / spread) @ model.grouped_weights
        self._model = replace(model, offset=offset)
        self._plain: list[tuple[ImageFeatures, Statistics]] = []
        self._weighted: list[ImageFeatures] = []
        first, of_weights = 0, 0
        for part in stack.parts:
            count = len(part.names)
            if part.groups[0]:
                own = weights[of_weights : of_weights + count].astype(np.float32)
                self._weighted.append(part.weighted(own))
                of_weights += count
            else:
                columns = slice(first, first + count)
                self._plain.append((part, Statistics(statistics.mean[columns], statistics.spread[columns])))
            first += count
        names = [name for part, _ in self._plain for name in part.names]
        self.names = head_feature_names(names, head.class_names)
        self.groups = ("",) * len(self.names)

    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        first = 0
        for part, statistics in self._plain:
            own = out[:, :, first : first + len(part.names)]
            part.block(rows, cols, own)
            for line in own:
                line[:] = (line.astype(np.float64) - statistics.mean) / statistics.spread
            first += len(part.names)
        found = out[:, :, first:]
        logits = np.zeros(found.shape)
        layer = np.empty(found.shape, np.float32)
        for part in self._weighted:
            part.block(rows, cols, layer)
            logits += layer
        self._model.finish(out[:, :, :first], logits, found)
