"""Whether features are those that a classifier was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fijibridge.core.errors import FeatureMismatchError

if TYPE_CHECKING:
    from fijibridge.features.extract import FeatureExtractor


def check_same(own: FeatureExtractor | None, other: FeatureExtractor | None, which: str) -> None:
    """Refuse features that were made in another way; nothing where it is not known.

    Parameters
    ----------
    own, other : FeatureExtractor or None
    which : str
        What is compared with what.

    Raises
    ------
    FeatureMismatchError
    """
    from fijibridge.features.extract import other_features

    if own is not None and other is not None and (differences := own.differences(other)):
        raise other_features(differences, which)


def check_classes(extractor: FeatureExtractor | None, names: Sequence[str]) -> None:
    """Refuse channels of a linear head of other classes.

    Parameters
    ----------
    extractor : FeatureExtractor or None
    names : sequence of str
        Of the classes.

    Raises
    ------
    FeatureMismatchError
    """
    head = extractor.head_ if extractor else None
    if head is not None and head.class_names != tuple(names):
        raise FeatureMismatchError(
            f"features with a linear head of {few(head.class_names)}, and labels of {few(names)}",
            expected="labels of the head's own classes",
            remedy="make the features without a classifier's head, or label those classes",
        )


def no_features_of_an_image(names: Sequence[str]) -> FeatureMismatchError:
    """The error for an image where the training's features came from elsewhere.

    Parameters
    ----------
    names : sequence of str
        Of these features.
    """
    return FeatureMismatchError(
        "an image for a classifier whose features came from elsewhere",
        expected=f"its features: {few(names)}",
        remedy="make them as for the training and give FeatureStack.from_array(features, names)",
    )


def other_names(own: Sequence[str], found: Sequence[str]) -> FeatureMismatchError:
    """The error for features of other names.

    Parameters
    ----------
    own, found : sequence of str
        The classifier's, and those that were given.
    """
    missing = [name for name in own if name not in set(found)]
    extra = [name for name in found if name not in set(own)]
    parts = [f"{len(found)} features where the classifier has {len(own)}"] if len(found) != len(own) else []
    parts += [f"missing: {few(missing)}"] if missing else []
    parts += [f"not the classifier's: {few(extra)}"] if extra else []
    return FeatureMismatchError(
        "; ".join(parts) or "the same features in another order",
        expected=f"the classifier's features: {few(own)}",
        remedy="make the features as the classifier's own, or train anew",
    )


def few(names: Sequence[str]) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:4]) + (f", ... ({len(names)})" if len(names) > 4 else "")
