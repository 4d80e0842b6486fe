"""By whose statistics the slices of a stack are scaled: the stack's, the training's, or each slice its own.

An image's percentiles, its tokens' mean and spread and the strength of its positional pattern enter its features
(:mod:`fijibridge.features.image_statistics`). What serves best was measured with ``benchmarks/along_the_stack.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import check
from fijibridge.segmentation.options import Statistics

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.image_statistics import ImageStatistics
    from fijibridge.images.image import Image
    from fijibridge.segmentation.segmenter import PixelSegmenter

SLICES = 16  # of a stack, whose statistics stand for all of them


class _Choice:
    statistics: Statistics


class ChosenSlices(Sequence[Any]):
    """Slices spread evenly over a stack, read when they are asked for.

    Parameters
    ----------
    images : sequence
        All slices.
    number : int
        How many at most.
    """

    def __init__(self, images: Sequence[Any], number: int = SLICES) -> None:
        count = min(number, len(images))
        self._images = images
        self.places = [(2 * i + 1) * len(images) // (2 * count) for i in range(count)]  # the middles of equal parts

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        return self._images[self.places[index]]

    def __iter__(self) -> Iterator[Any]:
        return (self._images[place] for place in self.places)


def stack_statistics(
    segmenter: PixelSegmenter, images: Sequence[Image | np.ndarray], number: int = SLICES
) -> ImageStatistics:
    """Statistics of slices spread evenly over a stack together, by which each of its slices is then scaled.

    Parameters
    ----------
    segmenter : PixelSegmenter
        Whose features they are of; it need not be trained.
    images : sequence of Image or ndarray
        All slices. Of a lazy sequence only the chosen ones are read, twice.
    number : int
        How many at most.

    Returns
    -------
    ImageStatistics
        For ``extract``, ``predict``, ``predict_proba`` and ``fit`` of the segmenter.

    Raises
    ------
    SettingsError
        No slices, a number below 1, or a classifier whose features came from elsewhere.
    ImageError, FeatureMismatchError
        See :meth:`fijibridge.segmentation.segmenter.PixelSegmenter.extract`.
    """
    from fijibridge.core.threads import limited_threads

    if number < 1 or not len(images):
        raise SettingsError(
            f"statistics of {min(number, len(images))} slices", expected="1 at least", remedy="give the stack's slices"
        )
    extractor = (segmenter.extractor_ or segmenter._extractor).without_head()
    with limited_threads(segmenter.n_threads):
        return extractor.statistics(ChosenSlices(images, number))


def statistics_for(
    segmenter: PixelSegmenter, images: Sequence[Image | np.ndarray], statistics: Statistics = "stack"
) -> ImageStatistics | None:
    """By which statistics the slices of a stack are to be scaled; one object for all of them.

    Parameters
    ----------
    segmenter : PixelSegmenter
        Trained.
    images : sequence of Image or ndarray
        All slices, as of :func:`stack_statistics`.
    statistics : {"auto", "training", "stack", "slice"}
        See :data:`fijibridge.segmentation.options.Statistics`. ``"auto"`` of a classifier that does not know its
        training's: each slice its own.

    Returns
    -------
    ImageStatistics or None
        None: each image's own, which are also those of a stack of one slice.

    Raises
    ------
    SettingsError
        ``"training"`` of a classifier without them, or another word.
    """
    check(_Choice, {"statistics": statistics})
    if statistics == "auto":
        return segmenter.statistics_ if len(images) > 1 else None
    if statistics == "training":
        if segmenter.statistics_ is None:
            raise SettingsError(
                "a classifier without statistics of its training images",
                expected="one trained on images by this version",
                remedy="use statistics stack or slice, or train the classifier anew",
            )
        return segmenter.statistics_
    return stack_statistics(segmenter, images) if statistics == "stack" and len(images) > 1 else None
