"""TWS's filters as a feature source."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.array_cache import ArrayCache
from fijibridge.features.source import FeatureSource, ImageFeatures, detector_name
from fijibridge.features.tws.bank import feature_names
from fijibridge.features.tws.block import WholePlanes, tws_features
from fijibridge.features.tws.colour import WholeColours, check_colour, colour_features
from fijibridge.features.tws.settings import TwsSettings

if TYPE_CHECKING:
    from fijibridge.features.channels import DetectorImage
    from fijibridge.images.image import Image


# Blocks of images seen before. Nothing is kept unless a process that sees an image again and again allows some bytes.
block_cache = ArrayCache(0)


class TwsFeatures(ImageFeatures):
    """TWS's filters of a grey image, or of an RGB one.

    Parameters
    ----------
    pixels : ndarray, float32, shape (Y, X), or uint8, shape (Y, X, 3)
        In the image's own units; RGB where the settings say colour.
    settings : TwsSettings
    detector : str
        In the features' names; empty: none.
    """

    def __init__(self, pixels: np.ndarray, settings: TwsSettings, detector: str = "") -> None:
        self.pixels, self.settings, self.detector = pixels, settings, detector
        self.names = tuple(detector_name(detector, name) for name in feature_names(settings))
        self._whole, self._colours = WholePlanes(), WholeColours()
        self.groups = ("",) * len(self.names)

    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        if not block_cache.most_bytes:
            self._made(rows, cols, out)
            return
        key = (self._digest, self.settings, rows.start, rows.stop, cols.start, cols.stop)
        out[:] = block_cache.get(key, lambda: self._made(rows, cols))

    def _made(self, rows: slice, cols: slice, out: np.ndarray | None = None) -> np.ndarray:
        if self.settings.colour:
            return colour_features(self.pixels, rows, cols, settings=self.settings, out=out, whole=self._colours)
        return tws_features(self.pixels, rows, cols, settings=self.settings, out=out, whole=self._whole)

    @cached_property
    def _digest(self) -> bytes:
        return hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes()).digest()


class TwsSource(FeatureSource[TwsSettings]):
    """TWS 4.0's features of each detector's image (Arganda-Carreras et al. 2017)."""

    settings_class = TwsSettings

    def n_features(self, detectors: int) -> int | None:
        """See :meth:`fijibridge.features.source.FeatureSource.n_features`."""
        return detectors * len(feature_names(self.settings))

    def feature_names(self) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.source.FeatureSource.feature_names`."""
        return feature_names(self.settings)

    def transform(self, images: Sequence[DetectorImage]) -> list[ImageFeatures]:
        """See :meth:`fijibridge.features.source.FeatureSource.transform`."""
        return [TwsFeatures(self._pixels(one.image), self.settings, one.label) for one in images]

    def _pixels(self, image: Image) -> np.ndarray:
        """What features are made of: the rows without the data bar."""
        if not self.settings.colour:
            return np.ascontiguousarray(image.grey[image.field])
        check_colour(image.data)
        return np.ascontiguousarray(image.data[image.field])
