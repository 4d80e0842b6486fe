"""Statistics of the images that a classifier is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fijibridge.features.image_statistics import ImageStatistics
    from fijibridge.features.stack import FeatureStack


def own_statistics(stack: FeatureStack, image: Any, *, moments: bool) -> list[ImageStatistics]:
    """Statistics of a training image; none of features from elsewhere.

    Parameters
    ----------
    stack : FeatureStack
        Its features.
    image : Image, ndarray or FeatureStack
        Itself, if it was given.
    moments : bool
        Whether a linear head reads mean and spread.
    """
    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.features.image_statistics import statistics_of
    from fijibridge.features.stack import FeatureStack
    from fijibridge.images.image import Image, image_from_array

    made_by = stack.extractor
    if not isinstance(made_by, FeatureExtractor) or made_by.head_ is not None:
        return []
    whole = stack.image
    if not isinstance(image, FeatureStack):
        whole = image if isinstance(image, Image) else image_from_array(image)
    detectors = (made_by.detector, *made_by.detectors_)
    return [statistics_of(stack, whole, detectors, moments=moments and any(stack.groups))]
