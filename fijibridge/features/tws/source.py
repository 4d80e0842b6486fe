"""TWS's default filters as a feature source."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.array_cache import ArrayCache
from fijibridge.features.source import FeatureSource, ImageFeatures, detector_name
from fijibridge.features.tws.default_features import CLASSICAL_NAMES, classical_features
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
    detector : str
        In the features' names; empty: none.
    """

    def __init__(self, grey: np.ndarray, detector: str = "") -> None:
        self.grey = grey
        self.names = tuple(detector_name(detector, name) for name in CLASSICAL_NAMES)
        self.groups = ("",) * len(self.names)

    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        if not block_cache.most_bytes:
            classical_features(self.grey, rows, cols, out=out)
            return
        key = (self._digest, rows.start, rows.stop, cols.start, cols.stop)
        out[:] = block_cache.get(key, lambda: classical_features(self.grey, rows, cols))

    @cached_property
    def _digest(self) -> bytes:
        return hashlib.sha256(repr(self.grey.shape).encode() + self.grey.tobytes()).digest()


class TwsSource(FeatureSource[TwsSettings]):
    """TWS 4.0's 76 default features of each detector's image (Arganda-Carreras et al. 2017)."""

    settings_class = TwsSettings

    def n_features(self, detectors: int) -> int | None:
        """See :meth:`fijibridge.features.source.FeatureSource.n_features`."""
        return detectors * len(CLASSICAL_NAMES)

    def transform(self, images: Sequence[DetectorImage]) -> list[ImageFeatures]:
        """See :meth:`fijibridge.features.source.FeatureSource.transform`."""
        return [TwsFeatures(np.ascontiguousarray(one.image.grey[one.image.field]), one.label) for one in images]
