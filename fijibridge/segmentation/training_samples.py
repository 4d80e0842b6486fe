"""What a segmenter is trained on: features at the labelled pixels of images, and samples that came without images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import LabelsError, SettingsError
from fijibridge.core.names import listed
from fijibridge.labels.labels import check_labelled
from fijibridge.segmentation.feature_checks import check_classes, check_same, other_names
from fijibridge.segmentation.training_labels import joined_names, label_data
from fijibridge.segmentation.training_statistics import own_statistics

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.features.image_statistics import ImageStatistics
    from fijibridge.features.stack import FeatureStack
    from fijibridge.forest.arff import LabelledSamples

# Labelled pixels of all images together whose features are made for a linear head, which learns from fewer: strokes
# are kept whole, and images that are labelled everywhere do not take gigabytes.
MOST_GATHERED = 30_000


@dataclass(frozen=True, eq=False)
class TrainingSamples:
    """Features and classes of labelled pixels, and what else a training needs of their images.

    Parameters
    ----------
    X : list of ndarray, float32, shape (n_i, F)
        Features at the labelled pixels of each image; then those that came without an image.
    y, strokes : ndarray of int64, shape (n,)
        Classes, and numbers of the strokes that the pixels belong to; -1 without an image.
    feature_names, class_names : tuple of str
    extractor : FeatureExtractor or None
        What made the features; None where they came from elsewhere.
    stacks : list of FeatureStack
        Of the images; empty where no more than the labelled pixels is needed of them.
    statistics : list of ImageStatistics
        Of the images.
    first : object
        The first image, if there is one.
    """

    X: list[np.ndarray]
    y: np.ndarray
    strokes: np.ndarray
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    extractor: FeatureExtractor | None
    stacks: list[FeatureStack]
    statistics: list[ImageStatistics]
    first: Any = None

    def labelled(self) -> LabelledSamples:
        """All samples together, for :func:`fijibridge.forest.write_arff`."""
        import numpy as np

        from fijibridge.forest.arff import LabelledSamples

        return LabelledSamples(np.concatenate(self.X), self.y, self.feature_names, self.class_names)


def gathered(
    images: Sequence[Any],
    labels: Sequence[Any],
    *,
    extract: Callable[[Any, FeatureExtractor], FeatureStack],
    base: FeatureExtractor,
    samples: LabelledSamples | None = None,
    linear_head: bool = False,
    statistics: bool = True,
    most: int = 0,
    seed: int = 0,
) -> TrainingSamples:
    """Features at the labelled pixels of images, made image by image, and the samples given besides.

    Parameters
    ----------
    images, labels, samples
        As of :meth:`fijibridge.segmentation.PixelSegmenter.fit`.
    extract : callable
        (image, extractor) -> features.
    base : FeatureExtractor
        Makes the features of the first image; what that learned serves all.
    linear_head : bool
        Whether a linear head is fitted to the ViT's channels, so that all features of the images are kept.
    statistics : bool
        Whether the images' statistics are wanted.
    most : int
        For a linear head: of more labelled pixels in all images together about so many are drawn, of each image and
        class its share (:func:`fijibridge.segmentation.pseudo_labels.chosen_labelled`); 0: all are taken.
    seed : int
        Of that draw.

    Raises
    ------
    LabelsError, FeatureMismatchError
        As of that method.
    SettingsError
        A linear head for samples without images.
    """
    import numpy as np
    from skimage.measure import label

    from fijibridge.features.stack import FeatureStack

    if len(images) != len(labels) or not (images or samples):
        raise LabelsError(
            f"{len(images)} images and {len(labels)} label images",
            expected="one label image for each image",
            remedy="give both lists in the same order",
        )
    if samples and linear_head:
        raise SettingsError(
            "samples without their images, for a linear head",
            expected="head none: a linear head learns from the images' unlabelled pixels, too",
            remedy="give head='none'",
        )
    stacks: list[FeatureStack] = []
    seen: list[ImageStatistics] = []
    X: list[np.ndarray] = []
    classes, strokes, n_strokes = [], [], 0
    names: tuple[str, ...] = samples.class_names if samples else ()
    feature_names: tuple[str, ...] = samples.feature_names if samples else ()
    extractor: FeatureExtractor | None = None
    total = sum(_labelled(drawn) for drawn in labels)
    for number, (image, drawn) in enumerate(zip(images, labels, strict=True)):
        stack = image if isinstance(image, FeatureStack) else extract(image, base)
        data, found = label_data(drawn, stack, image, of_several=len(labels) > 1 or samples is not None)
        if samples and len(found) > len(samples.class_names):
            raise LabelsError(
                f"labels of {len(found)} classes ({listed(found)}), and samples of {listed(samples.class_names)}",
                expected="labels of the samples' own classes",
                remedy="label these classes alone, or train without the samples",
            )
        names = joined_names(names, found)
        mask = data > 0
        if linear_head and any(stack.groups) and 0 < most < total:
            mask = _drawn(data, most * int(mask.sum()) // total, seed + number)
        X.append(stack.at(mask))
        classes.append(data[mask].astype(np.int64) - 1)
        numbers, count = label(data, connectivity=2, return_num=True)
        strokes.append(numbers[mask].astype(np.int64) + n_strokes)
        n_strokes += count
        if not number:
            extractor = stack.extractor
            base = extractor or base  # what the first image's features were made with serves all
        else:
            check_same(extractor, stack.extractor, "first image against another")
        feature_names = feature_names or stack.names
        if feature_names != stack.names:
            raise other_names(feature_names, stack.names)
        seen += own_statistics(stack, image, moments=linear_head) if statistics else []
        if linear_head and any(stack.groups):
            stacks.append(stack)
    if samples:
        extractor = extractor if images else base
        X.append(samples.X)
        classes.append(samples.y)
        strokes.append(np.full(len(samples), -1))
    y = np.concatenate(classes)
    check_labelled(np.bincount(y, minlength=len(names)).tolist(), names)
    check_classes(extractor, names)
    first = images[0] if images else None
    return TrainingSamples(X, y, np.concatenate(strokes), feature_names, names, extractor, stacks, seen, first)


def _labelled(labels: Any) -> int:
    """Labelled pixels of an image."""
    import numpy as np

    return int(np.count_nonzero(np.asarray(getattr(labels, "data", labels)) > 0))


def _drawn(data: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Which labelled pixels of an image train, bool (Y, X): about `most`, and of a rare class more than its share."""
    import numpy as np

    from fijibridge.segmentation.pseudo_labels import chosen_labelled

    places = np.flatnonzero(data)
    mask = np.zeros(data.size, bool)
    mask[places[chosen_labelled(data.ravel()[places], seed, most)]] = True
    return mask.reshape(data.shape)
