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
from fijibridge.features.tws.settings import TwsSettings

if TYPE_CHECKING:
    from fijibridge.features.channels import DetectorImage


# Blocks of images seen before. Nothing is kept unless a process that sees an image again and again allows some bytes.
block_cache = ArrayCache(0)


class TwsFeatures(ImageFeatures):
    """TWS's filters of a grey image.

    Parameters
    ----------
    grey : ndarray, float32, shape (Y, X)
        In the image's own units.
    settings : TwsSettings
    detector : str
        In the features' names; empty: none.
    """

    def __init__(self, grey: np.ndarray, settings: TwsSettings, detector: str = "") -> None:
        self.grey, self.settings = grey, settings
        self.names = tuple(detector_name(detector, name) for name in feature_names(settings))
        self._whole = WholePlanes()
        self.groups = ("",) * len(self.names)

    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        if not block_cache.most_bytes:
            self._made(rows, cols, out)
            return
        key = (self._digest, self.settings, rows.start, rows.stop, cols.start, cols.stop)
        out[:] = block_cache.get(key, lambda: self._made(rows, cols))

    def _made(self, rows: slice, cols: slice, out: np.ndarray | None = None) -> np.ndarray:
        return tws_features(self.grey, rows, cols, settings=self.settings, out=out, whole=self._whole)

    @cached_property
    def _digest(self) -> bytes:
        return hashlib.sha256(repr(self.grey.shape).encode() + self.grey.tobytes()).digest()


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
        greys = [np.ascontiguousarray(one.image.grey[one.image.field]) for one in images]
        return [TwsFeatures(grey, self.settings, one.label) for grey, one in zip(greys, images, strict=True)]
