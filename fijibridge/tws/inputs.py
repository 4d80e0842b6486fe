"""Images, features and labels as a TWS session takes them: slice by slice, checked against one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, LabelsError, SettingsError
from fijibridge.features import FeatureExtractor, FeatureSettings, FeatureStack, VitSettings
from fijibridge.features.settings import feature_settings
from fijibridge.features.source import SourceSettings
from fijibridge.images.image import Image, image_from_array
from fijibridge.labels.labels import Labels, labels_from_array

MOST_CLASSES = 100  # WekaSegmentation.MAX_NUM_CLASSES
# Principal components of the ViT's channels at each scale where features are chosen by a name: TWS holds all features
# in Java's heap. The dialog of "ViT Features in Weka Window" has the same default.
CHANNELS = 32


def grey_planes(image: Any) -> tuple[np.ndarray, bool]:
    """The image as (Z, Y, X) of a type that ImageJ has, grey and without data bar, and whether it is a stack."""
    if isinstance(image, np.ndarray):
        is_stack = image.ndim == 3
        images = [image_from_array(plane) for plane in (image if is_stack else [image])]
    else:
        is_stack = not isinstance(image, Image)
        images = list(image) if is_stack else [image]
    shapes = {one.shape for one in images}
    if len(shapes) != 1:
        raise SettingsError(
            f"slices of {len(shapes)} sizes", expected="slices of one size", remedy="crop them, or use a session each"
        )
    # TWS would take the bits of float features of an RGB image for colours
    return np.stack([(one.data if one.data.ndim == 2 else one.grey)[one.field] for one in images]), is_stack


def extractor_for(features: Any) -> FeatureExtractor | None:
    """What makes features that are chosen by name or settings; None for features that are there already.

    A name gets `CHANNELS` principal components of the ViT's channels; settings are taken as they are.
    """
    if isinstance(features, FeatureExtractor):
        return features
    if isinstance(features, str):
        chosen = feature_settings(features)
        reduced = (replace(one, channels=CHANNELS) if isinstance(one, VitSettings) else one for one in chosen.sources)
        return FeatureExtractor(replace(chosen, sources=tuple(reduced)))
    if isinstance(features, (FeatureSettings, SourceSettings)):
        return FeatureExtractor(features)
    if isinstance(features, Sequence) and features and all(isinstance(one, SourceSettings) for one in features):
        return FeatureExtractor(features)
    return None


def extracted_stacks(image: Image | np.ndarray | Sequence[Image], extractor: FeatureExtractor) -> list[FeatureStack]:
    """Features of each slice; an extractor that has seen no image is fitted on the first.

    Parameters
    ----------
    image : Image or ndarray, shape (Y, X), (Z, Y, X), or a list of Image
    extractor : FeatureExtractor
    """
    slices: Sequence[Image] | np.ndarray
    if isinstance(image, np.ndarray):
        slices = image if image.ndim == 3 else image[np.newaxis]
    else:
        slices = [image] if isinstance(image, Image) else image
    return [extractor.transform(plane) for plane in slices]


def feature_stacks(features: Any, is_stack: bool, shape: tuple[int, ...] | None) -> list[FeatureStack]:
    """One FeatureStack a slice, checked against the image's.

    Parameters
    ----------
    features : FeatureStack, a list of them, or ndarray (Y, X, F) or (Z, Y, X, F)
    is_stack : bool
        Whether an array has slices.
    shape : (int, int, int) or None
        (Z, Y, X) of the image; None: any.
    """
    if isinstance(features, np.ndarray):
        features = [FeatureStack.from_array(one) for one in (features if is_stack else [features])]
    stacks = [features] if isinstance(features, FeatureStack) else list(features)
    sizes = {stack.shape[:2] for stack in stacks}
    if len({stack.names for stack in stacks}) != 1 or len(sizes) != 1:
        raise FeatureMismatchError(
            "slices with different features or sizes",
            expected="the same features for all slices",
            remedy="make them by one extractor",
        )
    if shape is not None and (len(stacks), *sizes.pop()) != shape:
        raise FeatureMismatchError(
            f"features of {len(stacks)} x {stacks[0].shape[:2]}",
            expected=f"{shape[0]} x {shape[1:]}, as the image",
            remedy="make the features of this image; leave a data bar out of both",
        )
    if len(stacks[0].names) < 2:
        raise SettingsError("1 feature", expected="at least 2: TWS does not work with one", remedy="add another")
    return stacks


def label_planes(
    labels: Any, shape: tuple[int, ...], is_stack: bool, class_names: Sequence[str] | None, bar_rows: int = 0
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Label values (Z, Y, X) and class names.

    Parameters
    ----------
    labels : Labels or integer ndarray (Y, X) or (Z, Y, X), or a list of them
    shape : (int, int, int)
        (Z, Y, X) of the image without data bar.
    is_stack : bool
        Whether the image has slices.
    class_names : sequence of str or None
        Of the label values 1, 2, ...
    bar_rows : int
        Rows of a data bar at the bottom, which are cut off.
    """
    parts = list(labels) if is_stack and not isinstance(labels, Labels) else [labels]
    planes = [part.data if isinstance(part, Labels) else np.asarray(part) for part in parts]
    planes = [plane[: shape[1]] if plane.ndim and len(plane) == shape[1] + bar_rows else plane for plane in planes]
    if len(planes) != shape[0] or any(plane.shape != shape[1:] for plane in planes):
        raise LabelsError(
            f"{len(planes)} label image(s) of {' and '.join(sorted({str(plane.shape) for plane in planes}))} for "
            f"{shape[0]} image(s) of {shape[1:]}",
            expected="labels of the image's own size",
            remedy="label the image itself, neither cropped nor scaled",
        )
    data = np.stack(planes)
    named = next((part.class_names for part in parts if isinstance(part, Labels)), None)
    # checks of values and names that all labels get
    whole = labels_from_array(data.reshape(-1, shape[2]), class_names=class_names or named)
    if len(whole.class_names) > MOST_CLASSES:
        raise LabelsError(f"{len(whole.class_names)} classes", expected=f"{MOST_CLASSES} at most", remedy="merge some")
    return whole.data.reshape(shape), whole.class_names


def boxes(labels: np.ndarray) -> Iterator[tuple[int, int, int, int, int]]:
    """Cut a label image into rectangles of one value: runs of a row, merged with equal runs of the rows below.

    TWS takes all pixels of a rectangle; of other shapes it leaves out those in the image's last row and column.

    Yields
    ------
    value, left, top, width, height : int
        They cover every labelled pixel once.
    """
    open_runs: dict[tuple[int, int, int], int] = {}  # (value, left, right) -> first row
    for y in range(len(labels) + 1):
        runs = set()
        if y < len(labels):
            row = labels[y].astype(np.int64)
            edges = np.flatnonzero(np.diff(row, prepend=0, append=0))
            for left, right in pairwise(edges):
                if row[left]:
                    runs.add((int(row[left]), int(left), int(right)))
        for run in [run for run in open_runs if run not in runs]:
            top = open_runs.pop(run)
            yield run[0], run[1], top, run[2] - run[1], y - top
        for run in runs:
            open_runs.setdefault(run, y)
