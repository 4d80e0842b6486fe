"""Feature stacks of the micrographs with truth and of simulated ones, kept in a folder: they take longest.

What is pickled there is of this machine's own making, and read by nothing but these benchmarks.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as iio
import numpy as np
from segmentation import images, is_tuning

import fijibridge as fb
from fijibridge.features.stack import ArrayFeatures, FeatureStack
from fijibridge.features.vit.encoder import token_cache
from fijibridge.synthesis.config import load_preset
from fijibridge.synthesis.dataset import simulated_pairs
from fijibridge.synthesis.strokes import strokes_of

# name -> preset of the simulation and seed; settings are chosen on these and the tuning images
SIMULATED = {
    "simA": ("ncm-li3ps4", 41),
    "simB": ("ncm-li3ps4", 42),
    "simC": ("si-li6ps5cl-vgcf", 43),
    "simD": ("licoo2", 44),
}


class Case(NamedTuple):
    """A micrograph: features, labels (0 = none), truth (from 1), whether settings were chosen on it."""

    name: str
    group: str
    stack: FeatureStack
    labels: np.ndarray
    truth: np.ndarray
    tuning: bool


class Kept(FeatureStack):
    """A stack that keeps the samples drawn from it, which each training draws anew."""

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        known = self.__dict__.setdefault("_samples", {})
        if (count, seed) not in known:
            known[count, seed] = super().sample(count, seed)
        return known[count, seed]


def stack_of(name: str, image: fb.Image | np.ndarray, folder: Path) -> FeatureStack:
    """Features by the default preset, TWS's as an array."""
    file = folder / f"{name}.pkl"
    if not file.is_file():
        token_cache.clear()
        made = fb.PixelSegmenter(n_threads=1).extract(image)
        plain = np.empty((*made.shape[:2], len(made.parts[0].names)), np.float32)
        for rows, cols in FeatureStack(made.shape[:2], made.parts[:1]).blocks():
            made.parts[0].block(rows, cols, plain[rows, cols])
        parts = [ArrayFeatures(plain, made.parts[0].names), *made.parts[1:]]
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(FeatureStack(made.shape[:2], parts, made.extractor)))
    found = pickle.loads(file.read_bytes())
    return Kept(found.shape[:2], found.parts, found.extractor)


def simulated(name: str, folder: Path, size: int = 512) -> Case:
    """A simulated BSE micrograph with 12 strokes a class."""
    file = folder / f"{name}.npz"
    if not file.is_file():
        preset, seed = SIMULATED[name]
        pair = next(simulated_pairs(replace(load_preset(preset), size=size, sections=1), 1, seed))
        strokes = strokes_of(pair.labels, np.random.default_rng(seed), each=12)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, image=pair.bse.grey, truth=pair.labels, labels=strokes)
    known = np.load(file)
    return Case(name, "simulated", stack_of(name, known["image"], folder), known["labels"], known["truth"], True)


def cases(data: Path, folder: Path, names: list[str] | None = None) -> Iterator[Case]:
    """Simulated images, then the real ones; all, or those named."""
    for name in SIMULATED:
        if not names or name in names:
            yield simulated(name, folder)
    for path in images(data):
        if not names or path.stem in names:
            image = fb.read_image(path)
            labels = fb.read_labels(path.with_name(f"{path.stem}_labels.png"), shape=image.shape).data
            truth = iio.imread(path.with_name(f"{path.stem}_truth.png")).astype(np.uint8) + 1
            stack = stack_of(path.stem, image, folder)
            yield Case(path.stem, path.parent.name, stack, labels, truth, is_tuning(path))
