"""The least that a kind of features, an upsampler and a debiasing method are made of; for several test files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

from fijibridge.features.source import FeatureSource, ImageFeatures, SourceSettings, detector_name
from fijibridge.features.stack import ArrayFeatures
from fijibridge.features.upsampling.base import Upsampler, UpsamplingMethod
from fijibridge.features.vit.debiasing.base import Debiasing


@dataclass(frozen=True)
class ToySettings(SourceSettings):
    kind: ClassVar[str] = "toy"
    sigma: float = 2.0


class ToySource(FeatureSource[ToySettings]):
    """Two filters, in units of the first image's mean grey value."""

    settings_class = ToySettings
    level_ = np.empty(0)

    def fit(self, images):
        if not self.level_.size:
            self.level_ = np.array([images[0].image.grey.mean()])

    def transform(self, images) -> list[ImageFeatures]:
        made: list[ImageFeatures] = []
        for one in images:
            grey = one.image.grey[one.image.field] / self.level_
            layers = [
                filtered(grey, self.settings.sigma) for filtered in (gaussian_filter, gaussian_gradient_magnitude)
            ]
            names = [detector_name(one.label, name) for name in ("toy_blur", "toy_edge")]
            made.append(ArrayFeatures(np.stack(layers, axis=2).astype(np.float32), names))
        return made

    def arrays(self) -> dict[str, np.ndarray]:
        return {"level": self.level_} if self.level_.size else {}

    def set_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        rest = dict(arrays)
        self.level_ = rest.pop("level")
        super().set_arrays(rest)


class NearestPatch(UpsamplingMethod):
    """Each pixel has what its patch has."""

    def upsampler(self, grey: np.ndarray, weights: bytes) -> Upsampler:
        return _Nearest(grey.shape)


class _Nearest(Upsampler):
    def __init__(self, shape):
        self.shape = shape

    def at(self, tokens, y, x):
        (gy, gx), (height, width) = tokens.shape[:2], self.shape
        return tokens[y * gy // height, x * gx // width]

    def block(self, tokens, rows, cols, out):
        y, x = np.mgrid[rows.start : rows.stop, cols.start : cols.stop]
        out[:] = self.at(tokens, y, x)


class HalfTurn(Debiasing):
    """The mean over each tile as it is and turned by 180 degrees, less the mean of each row of patches."""

    flips = 2

    def finish(self, tiles, tokens: np.ndarray) -> None:
        tokens -= tokens.mean(axis=1, keepdims=True)
