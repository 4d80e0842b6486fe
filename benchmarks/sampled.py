"""Labelled micrographs, their classical features made once, scored at sampled pixels: for trying many ways quickly."""

from __future__ import annotations

import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from segmentation import Micrograph, images, is_tuning, mean_iou

import fijibridge as fb
from fijibridge.features.classical import CLASSICAL_NAMES
from fijibridge.features.recipe import FeatureRecipe
from fijibridge.features.stack import ArrayPart, FeatureStack, TokensPart, extract_features

PIXELS = 40_000  # of an image that are scored, drawn once


class Sampled(Micrograph):
    """An image with labels, truth and classical features; the ViT's come by recipe."""

    def __init__(self, path: Path) -> None:
        self.path, self.image = path, fb.read_image(path)
        self.labels = fb.read_labels(path.with_name(f"{path.stem}_labels.png"), shape=self.image.shape).data
        self.truth = iio.imread(path.with_name(f"{path.stem}_truth.png"))
        classical = extract_features(self.image, FeatureRecipe(encoder="none"))
        self.classical = ArrayPart(np.asarray(classical), CLASSICAL_NAMES)
        self.scored = np.zeros(self.truth.shape, bool)
        self.scored.flat[np.random.default_rng(0).choice(self.truth.size, PIXELS, replace=False)] = True

    def features(self, recipe: FeatureRecipe) -> FeatureStack:
        """All features; `cost` becomes the ViT's CPU seconds a megapixel of the image."""
        cpu = time.process_time()
        vit = extract_features(self.image, recipe)
        self.cost = (time.process_time() - cpu) / self.truth.size * 1e6
        tokens = [part for part in vit.parts if isinstance(part, TokensPart)]
        return FeatureStack(self.truth.shape, [self.classical, *tokens], vit.recipe)

    def score(self, predicted: np.ndarray) -> float:
        """Mean IoU of classes, from 0, predicted at the scored pixels."""
        return mean_iou(predicted + 1, self.truth[self.scored])

    def segmented(self, stack: FeatureStack, labels: np.ndarray, trees: int, **options) -> float:
        """Mean IoU of a segmenter trained on the stack."""
        segmenter = fb.PixelSegmenter(recipe=stack.recipe, n_trees=trees, **options).fit(stack, labels)
        seen = segmenter._read_out(stack).at(self.scored)
        return self.score(segmenter.forest_.predict_proba(seen).argmax(1))


def chosen_images(data: Path, every: bool, names: list[str]) -> list[Sampled]:
    """The tuning images, or all; of these only those named, where any are."""
    paths = [path for path in images(data) if (every or is_tuning(path)) and (not names or path.stem in names)]
    return [Sampled(path) for path in paths]
