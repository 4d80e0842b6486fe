"""The labels that a segmenter is trained on: of the image's size, with the same classes in all images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import LabelsError

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.stack import FeatureStack
    from fijibridge.labels.labels import Labels

log = logging.getLogger(__name__)


def label_data(
    label: Labels | np.ndarray, stack: FeatureStack, image: Any, *, of_several: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Label values on the stack's rows, and the class names.

    Parameters
    ----------
    label : Labels or np.ndarray
        Of the image.
    stack : FeatureStack
        The image's features.
    image : object
        The image, which may know the rows of its data bar.
    of_several : bool
        Whether other images' labels train, too.

    Raises
    ------
    LabelsError
        Of another size.
    """
    from fijibridge.labels.labels import Labels, labels_from_array

    bar_rows = getattr(image, "databar_rows", 0)
    if not isinstance(label, Labels):
        label = labels_from_array(label, of_several=of_several)
    height, width = stack.shape[:2]
    if label.data.shape not in ((height + bar_rows, width), (height, width)):
        raise LabelsError(
            f"labels of {label.data.shape} for an image of {(height + bar_rows, width)}",
            expected="labels of the image's own size (height, width)",
            remedy="label the image itself, neither cropped nor scaled",
        )
    if label.data[height:].any():
        log.warning("labels in the data bar are not used")
    return label.data[:height], label.class_names


def joined_names(names: Sequence[str], found: Sequence[str]) -> tuple[str, ...]:
    """Class names of two label images together; "class k", which arrays get, gives way to any name.

    Parameters
    ----------
    names, found : sequence of str
        Of the images so far, and of one more.

    Raises
    ------
    LabelsError
        A class of two names.
    """
    joined = []
    for k, (own, other) in enumerate(zip_longest(names, found), start=1):
        plain = f"class {k}"
        if own != other and not {own, other} & {None, plain}:
            raise LabelsError(
                f"class {k} is {own!r} in one label image and {other!r} in another",
                expected="the same class names in the same order",
                remedy="give all label images the same list of class names",
            )
        joined.append(own if other is None or own not in (None, plain) else other)
    return tuple(joined)
