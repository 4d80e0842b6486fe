"""Classifiers of Weka as TWS saves them, trained by Weka on TWS's default features of a small image."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

NAMES = ("pores", "bïnder", "active material")


@cache
def picture() -> tuple[np.ndarray, np.ndarray]:
    """Three phases, uint8, and which pixel is which."""
    rng = np.random.default_rng(3)
    image, truth = rng.normal(90, 25, (40, 48)), np.zeros((40, 48), int)
    image[:, 16:32] += 50
    image[24:, 8:40] -= 60
    truth[:, 16:32], truth[24:, 8:40] = 1, 2
    return np.clip(image, 0, 255).astype(np.uint8), truth


@cache
def tws_features() -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """The picture's features, 150 pixels that are labelled, their classes, and the features' names."""
    from fijibridge.features.extract import FeatureExtractor

    image, truth = picture()
    stack = FeatureExtractor("tws").transform(image)
    X = stack.block(slice(0, 40), slice(0, 48)).reshape(-1, stack.shape[2])
    at = np.random.default_rng(4).permutation(len(X))[:150]
    return X, at, truth.reshape(-1)[at], tuple(stack.names)


def train_and_save(text: str, path: Path) -> Path:
    """Train a classifier, named with its options as in Weka below ``weka.classifiers``, and save it as TWS does."""
    import jpype

    import fijibridge.forest.java.weka as weka

    X, at, y, names = tws_features()
    data = weka._header(names, NAMES, len(y))
    weka._add_samples(data, X[at], y.astype(np.int32))
    options = jpype.JClass("weka.core.Utils").splitOptions(text)
    name, options[0] = f"weka.classifiers.{options[0]}", ""
    classifier = jpype.JClass("weka.classifiers.AbstractClassifier").forName(name, options)
    classifier.buildClassifier(data)
    things = jpype.JObject[:]([classifier, data.stringFreeStructure()])
    jpype.JClass("weka.core.SerializationHelper").writeAll(str(path), things)
    return path
