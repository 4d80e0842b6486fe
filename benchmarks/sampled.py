"""Labelled micrographs, their classical features made once, scored at sampled pixels: to try many settings quickly."""

from __future__ import annotations

import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from segmentation import Micrograph, images, is_tuning, mean_iou

import fijibridge as fb
from fijibridge.features.extract import extract_features
from fijibridge.features.stack import ArrayFeatures, FeatureStack
from fijibridge.features.tws.bank import feature_names
from fijibridge.features.tws.settings import TwsSettings

PIXELS = 40_000  # of an image that are scored, drawn once


class Sampled(Micrograph):
    """An image with labels, truth and classical features; the ViT's are made when asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.image = path, fb.read_image(path)
        self.labels = fb.read_labels(path.with_name(f"{path.stem}_labels.png"), shape=self.image.shape).data
        self.truth = iio.imread(path.with_name(f"{path.stem}_truth.png"))
        classical = extract_features(self.image, "tws")
        self.classical = ArrayFeatures(np.asarray(classical), feature_names(TwsSettings()))
        self.scored = np.zeros(self.truth.shape, bool)
        self.scored.flat[np.random.default_rng(0).choice(self.truth.size, PIXELS, replace=False)] = True

    def features(self, settings: fb.VitSettings) -> FeatureStack:
        """All features; `cost` becomes the ViT's CPU seconds a megapixel of the image."""
        cpu = time.process_time()
        vit = extract_features(self.image, (fb.TwsSettings(), settings))
        self.cost = (time.process_time() - cpu) / self.truth.size * 1e6
        return FeatureStack(self.truth.shape, [self.classical, *vit.parts[1:]], vit.extractor)

    def score(self, predicted: np.ndarray) -> float:
        """Mean IoU of classes, from 0, predicted at the scored pixels."""
        return mean_iou(predicted + 1, self.truth[self.scored])

    def segmented(self, stack: FeatureStack, labels: np.ndarray, trees: int, **options) -> float:
        """Mean IoU of a segmenter trained on the stack."""
        segmenter = fb.PixelSegmenter(stack.extractor, n_trees=trees, **options).fit(stack, labels)
        seen = segmenter.extractor_.with_linear_head(stack).at(self.scored)
        return self.score(segmenter.forest_.predict_proba(seen).argmax(1))


def chosen_images(data: Path, every: bool, names: list[str]) -> list[Sampled]:
    """The tuning images, or all; of these only those named, where any are."""
    paths = [path for path in images(data) if (every or is_tuning(path)) and (not names or path.stem in names)]
    return [Sampled(path) for path in paths]
