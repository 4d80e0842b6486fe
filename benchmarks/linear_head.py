"""The linear head beside other ways of using the ViT's channels: a row each, mean IoU with each image's own labels.

    python benchmarks/linear_head.py [--head linear none boosting pca random importance] [--channels 8 16 32 64 128]
        [--images NAME ...] [--all-images] [--trees 100] [--data DIR]

On the tuning images of segmentation.py, default preset, one seed, at 40,000 pixels of each. linear and forest are the
product's; boosting is scikit-learn's HistGradientBoostingClassifier on all channels. pca, random and importance are
forests on TWS's 76 features and K channels made of the ViT's 1536: principal components, a Gaussian random projection
(of channels by their spread), and the K channels that a forest of all finds most important.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from machine import data_folder
from results import Results, add_json
from sampled import Sampled, chosen_images
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.random_projection import GaussianRandomProjection

import fijibridge as fb

PLAIN = 76  # TWS's features, which come first
REDUCED = ("pca", "random", "importance")


def forest(trees: int) -> RandomForestClassifier:
    return RandomForestClassifier(trees, max_features="sqrt", n_jobs=1, random_state=0)


class Samples:
    """Features at the labelled and at the scored pixels of an image."""

    def __init__(self, one: Sampled, trees: int) -> None:
        self.one, self.trees = one, trees
        self.stack = one.features(fb.preset_settings("default"))
        labelled = one.labels > 0
        self.known, self.classes = self.stack.at(labelled), one.labels[labelled] - 1
        self.scored = self.stack.at(one.scored)
        self.spread = self.scored[:, PLAIN:].std(axis=0) + 1e-9
        self._ranked: np.ndarray | None = None

    def by(self, head: str, channels: int) -> float:
        """Mean IoU of one way."""
        if head in ("linear", "none"):
            return self.one.segmented(self.stack, self.one.labels, self.trees, head=head)
        if head == "boosting":
            model = HistGradientBoostingClassifier(random_state=0, early_stopping=False)
            return self._score(model, lambda samples: samples)
        return self._score(forest(self.trees), self._reduced(head, channels))

    def _score(self, model, seen: Callable[[np.ndarray], np.ndarray]) -> float:
        model.fit(seen(self.known), self.classes)
        return self.one.score(model.predict(seen(self.scored)).astype(int))

    def _reduced(self, head: str, channels: int) -> Callable[[np.ndarray], np.ndarray]:
        """TWS's features and so many channels of the ViT's."""
        if head == "importance":
            if self._ranked is None:
                importance = forest(self.trees).fit(self.known, self.classes).feature_importances_[PLAIN:]
                self._ranked = np.argsort(importance)[::-1]
            columns = np.concatenate([np.arange(PLAIN), PLAIN + self._ranked[:channels]])
            return lambda samples: samples[:, columns]
        if head == "pca":
            basis = PCA(channels, random_state=0).fit(self.scored[::4, PLAIN:])
            return lambda samples: np.hstack([samples[:, :PLAIN], basis.transform(samples[:, PLAIN:])])
        basis = GaussianRandomProjection(channels, random_state=0).fit(self.scored[:2, PLAIN:])
        return lambda samples: np.hstack([samples[:, :PLAIN], basis.transform(samples[:, PLAIN:] / self.spread)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    heads = ["linear", "none", "boosting", *REDUCED]
    parser.add_argument("--head", nargs="+", default=heads, choices=heads)
    parser.add_argument("--channels", nargs="+", type=int, default=[8, 16, 32, 64, 128])
    parser.add_argument("--images", nargs="+", default=[], help="stems; all where none is named")
    parser.add_argument("--all-images", action="store_true", help="not the tuning images alone")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("linear_head", arguments.json)
    micrographs = chosen_images(arguments.data or data_folder(), arguments.all_images, arguments.images)
    ways = [(head, 0) for head in arguments.head if head not in REDUCED]
    ways += list(product([head for head in arguments.head if head in REDUCED], arguments.channels))
    found: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for one in micrographs:
        samples = Samples(one, arguments.trees)
        for way in ways:
            cpu = time.process_time()
            found[way].append(samples.by(*way))
            seconds[way] += (time.process_time() - cpu) / len(micrographs)
        print(f"<!-- {one.path.stem} -->", flush=True)
    names = ", ".join(one.path.stem for one in micrographs)
    table = results.table(
        "heads",
        "Mean intersection over union by what reads the ViT's channels: preset `default`, one seed, 40,000 pixels of "
        f"each of {names}",
        {"head": "", "ViT channels": "", "each image": "", "mean": ".3f", "CPU s an image": ".1f"},
    )
    for (head, channels), scores in found.items():
        each = " ".join(f"{score:.3f}" for score in scores)
        table.add(head, str(channels or "all"), each, np.mean(scores), seconds[head, channels])


if __name__ == "__main__":
    main()
