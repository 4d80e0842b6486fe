"""What features take from an image as a whole, of one image or of several together.

Features are not made of a pixel's surroundings alone: greys are scaled by the image's percentiles before the ViT sees
them, the positional pattern is fitted to the image's own tiles, and the linear head sees every feature by its mean and
spread in the image. For separate images, of other contrast, this is what makes a classifier carry over. Slices of one
stack have one contrast, and a slice where one phase dominates would be scaled as if it had the others, too: they are
better segmented with the statistics of the whole stack, or of the training (``benchmarks/along_the_stack.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.features.grey_model import TERMS, GreyModel, Samples, identity
from fijibridge.features.linear_head.head import digest_of_names
from fijibridge.features.linear_head.statistics import Statistics, image_statistics
from fijibridge.features.source import FeatureSource, digest_of_array, grey_table

if TYPE_CHECKING:
    from fijibridge.features.stack import FeatureStack
    from fijibridge.images.image import Image

_OWN = ("mean", "spread", "greys", "shading", "images")


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Statistics of an image, or of several together.

    Two are equal where their digests are.

    Parameters
    ----------
    mean, spread : ndarray, float64, shape (F,)
        Of each feature, the linear head's not among them; (0,) where no linear head reads them.
    features_digest : str
        Of the features' names, see :func:`fijibridge.features.linear_head.head.digest_of_names`.
    of_sources : mapping of str to ndarray
        What each source takes from images, ``vit.0.limits``; see
        :meth:`fijibridge.features.source.FeatureSource.pooled`.
    greys : ndarray, float64, shape (D, 1001)
        Of each detector, percentiles of greys (:class:`fijibridge.features.grey_model.Samples`), from the least to the
        greatest; (0, 1001) where features alone were known.
    shading : ndarray, float64, shape (D, TERMS)
        Coefficients of each detector's images in the :mod:`fijibridge.features.grey_model` of these greys.
    images : int
        Of how many images.
    """

    mean: np.ndarray
    spread: np.ndarray
    features_digest: str
    of_sources: Mapping[str, np.ndarray]
    greys: np.ndarray
    shading: np.ndarray
    images: int = 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageStatistics) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> str:
        """SHA-256 of its numbers and of the features' names."""
        parts = [f"{name} {digest_of_array(array)}" for name, array in sorted(self.arrays().items())]
        return hashlib.sha256("\n".join([*parts, self.features_digest]).encode()).hexdigest()

    @cached_property
    def grey_models(self) -> list[GreyModel | None]:
        """Of each detector; None where all its greys are equal."""
        return [GreyModel.of(table) for table in self.greys]

    def of_source(self, kind: str) -> dict[str, np.ndarray]:
        """What a source takes from images.

        Parameters
        ----------
        kind : str
            Its name in :data:`fijibridge.features.source.SOURCES`.
        """
        start = f"{kind}."
        return {name.removeprefix(start): own for name, own in self.of_sources.items() if name.startswith(start)}

    def check_fits(self, names: Sequence[str]) -> None:
        """Refuse statistics of other features.

        Parameters
        ----------
        names : sequence of str
            Of the features.

        Raises
        ------
        FeatureMismatchError
        """
        if self.features_digest != digest_of_names(names):
            raise FeatureMismatchError(
                f"statistics of {len(self.mean)} features that are not the {len(names)} features {names[0]}, ...",
                expected="statistics that the same extractor made",
                remedy="make them with stack_statistics of the segmenter that segments",
            )

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers by name."""
        own = {"mean": self.mean, "spread": self.spread, "greys": self.greys, "shading": self.shading}
        own["images"] = np.array([self.images])
        return {**own, **self.of_sources}

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray], features_digest: str) -> ImageStatistics:
        """The statistics that :meth:`arrays` and `features_digest` describe.

        Parameters
        ----------
        arrays : mapping
        features_digest : str

        Raises
        ------
        SettingsError
            Arrays that are no statistics.
        """
        rest = dict(arrays)
        own = {name: np.asarray(rest.pop(name)) for name in _OWN if name in rest}
        fits = len(own) == len(_OWN) and all(np.isfinite(array).all() for array in (*own.values(), *rest.values()))
        fits = fits and own["mean"].ndim == 1 and own["mean"].shape == own["spread"].shape
        fits = fits and own["greys"].ndim == 2 and own["greys"].shape[1] == 1001 and own["images"].shape == (1,)
        fits = fits and own["shading"].shape == (len(own["greys"]), TERMS)
        fits = fits and all(own[name].dtype == np.float64 for name in _OWN[:-1])
        if not fits or not (own["spread"] > 0).all() or not own["images"][0] > 0:
            raise SettingsError(
                f"arrays {', '.join(sorted(arrays)) or 'none'} that are no statistics of images",
                expected=f"finite {', '.join(_OWN)}, and those of the features' sources",
                remedy="restore the classifier's folder, or train it anew",
            )
        return cls(
            own["mean"], own["spread"], features_digest, rest, own["greys"], own["shading"], int(own["images"][0])
        )


def statistics_of(
    stack: FeatureStack, image: Image | None = None, detectors: Sequence[str] = ("",), *, moments: bool = True
) -> ImageStatistics:
    """The statistics that an image's features were made with, and their own mean and spread.

    Parameters
    ----------
    stack : FeatureStack
        Without a linear head's channels.
    image : Image, optional
        Of which they are; without it the greys stay unknown.
    detectors : sequence of str
        Of the image, in the training's order.
    moments : bool
        Whether mean and spread are wanted, which takes time.
    """
    own = image_statistics(stack) if moments else Statistics(np.empty(0), np.empty(0))
    found: dict[str, np.ndarray] = {}
    for part in stack.parts:
        found |= part.statistics()
    return ImageStatistics(own.mean, own.spread, digest_of_names(stack.names), found, *greys_of(image, detectors))


def greys_of(image: Image | None, detectors: Sequence[str] = ("",)) -> tuple[np.ndarray, np.ndarray]:
    """Table of the greys of each detector's image, float64 (D, 1001), and coefficients, float64 (D, TERMS).

    Parameters
    ----------
    image : Image or None
        Without it there are no detectors.
    detectors : sequence of str
        In the order wanted.
    """
    from fijibridge.features.channels import channels_of

    if image is None:
        return np.empty((0, 1001)), np.empty((0, TERMS))
    first, *others = detectors
    seen = [Samples.of(own.image.grey[own.image.field]) for own in channels_of(image, first, others)]
    tables = [grey_table(samples.grey) for samples in seen]
    models = [GreyModel.of(table) for table in tables]
    found = [identity() if m is None else m.fitted(own) for m, own in zip(models, seen, strict=True)]
    return np.stack(tables), np.stack(found)


def pooled(parts: Sequence[ImageStatistics], sources: Sequence[FeatureSource[Any]]) -> ImageStatistics:
    """Statistics of several images in one; each image counts alike.

    Parameters
    ----------
    parts : sequence of ImageStatistics
        Of the same features.
    sources : sequence of FeatureSource
        That made them.

    Raises
    ------
    SettingsError
        No parts.
    """
    if not parts:
        raise SettingsError("statistics of no images", expected="one image at least", remedy="give images")
    if len(parts) == 1:
        return parts[0]
    joined = Statistics.pooled([Statistics(part.mean, part.spread) for part in parts])
    found = {
        f"{source.kind}.{name}": array
        for source in sources
        for name, array in source.pooled([part.of_source(source.kind) for part in parts]).items()
    }
    known = [part for part in parts if len(part.greys)]
    tables = zip(*(part.greys for part in known), strict=True)
    greys = np.stack([grey_table(np.concatenate(own)) for own in tables]) if known else np.empty((0, 1001))
    return ImageStatistics(
        joined.mean,
        joined.spread,
        parts[0].features_digest,
        found,
        greys,
        np.mean([part.shading for part in known], axis=0) if known else np.empty((0, TERMS)),
        sum(part.images for part in parts),
    )
