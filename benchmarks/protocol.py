"""Train on a few images of a set, segment the others: a protocol whose figures others have published.

    python benchmarks/protocol.py [--part superalloy coating] [--features default] [--splits 3] [--data DIR]

The reference method (Docherty et al. 2025, arXiv 2508.21529) trains on four images of a set of 22 superalloys and
scores all 22: on the labels that a person drew, and once on every pixel of the truth. Networks that were pre-trained on
micrographs (Stuckner et al. 2022, doi:10.1038/s41524-022-00878-5) train on every pixel of 1 to 10 images. Here the
images that train are not scored. Which ones train is drawn with the split's number as seed, which is also the
seed of the training. Everything is at its default, and nothing was chosen on these trainings.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from machine import data_folder
from results import Results, add_json
from segmentation import Micrograph, images, mean_iou

import fijibridge as fb

# data set: images that train, of nine and of three, and how they are labelled
TRAINING = {
    "superalloy": ((4, "every pixel"), (4, "strokes"), (1, "every pixel")),
    "coating": ((2, "every pixel"), (2, "strokes"), (1, "every pixel")),
}
FOREST_ALONE = 50_000  # labelled pixels for a forest of TWS's features alone, which takes all that it is given
NETWORKS = "networks 0.93 to 0.96"
PUBLISHED = {
    ("superalloy", 4, "strokes", "tws"): "0.559",
    ("superalloy", 4, "strokes", "default"): "0.752",
    ("superalloy", 4, "every pixel", "default"): f"0.778; {NETWORKS}",
    ("superalloy", 1, "every pixel", "default"): NETWORKS,
}


def splits(paths: list[Path], count: int, most: int) -> list[list[Path]]:
    """Which images train: of three images each choice by turns, of more so many draws with the seeds 0, 1, ..."""
    if len(paths) == 3:
        chosen = [[path for k, path in enumerate(paths) if (k == turn) == (count == 1)] for turn in range(3)]
        return chosen[:most]
    drawn = [np.random.default_rng(seed).choice(len(paths), count, replace=False) for seed in range(most)]
    return [[paths[k] for k in sorted(places)] for places in drawn]


def training_labels(one: Micrograph, way: str, features: str, number: int, seed: int) -> np.ndarray:
    """Strokes, or the whole truth as labels; of that a part where a forest would train on all of it."""
    if way == "strokes":
        return one.labels
    every = (one.truth + 1).astype(np.uint8)
    if features != "tws":
        return every
    kept = np.zeros(every.size, bool)
    kept[np.random.default_rng(seed).choice(every.size, min(every.size, FOREST_ALONE // number), replace=False)] = True
    return np.where(kept.reshape(every.shape), every, 0).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--part", nargs="+", default=list(TRAINING), choices=list(TRAINING))
    parser.add_argument("--features", default="default", choices=["default", "tws"])
    parser.add_argument("--splits", type=int, default=3)
    add_json(parser)
    arguments = parser.parse_args()
    features = arguments.features
    of = "the preset `default`" if features == "default" else "TWS's 76 features"
    table = Results("protocol", arguments.json).table(
        features,
        f"Mean intersection over union on the images of a set that did not train, {of}, {arguments.splits} splits",
        {
            "data set": "",
            "images that train": "",
            "labels": "",
            "mean IoU": ".3f",
            "least split": ".3f",
            "greatest split": ".3f",
            "CPU s a training": ".0f",
            "memory, GiB": ".1f",
            "published": "",
        },
    )
    paths = images(arguments.data or data_folder())
    for group in arguments.part:
        maker = fb.PixelSegmenter(features, n_threads=1)
        micrographs = [Micrograph(path, maker) for path in paths if path.parent.name == group]
        for count, way in TRAINING[group]:
            found = trained(micrographs, count, way, features, arguments.splits)
            published = PUBLISHED.get((group, count, way, features))
            table.add(group, f"{count} of {len(micrographs)}", way, *found, published)


def trained(micrographs: list[Micrograph], count: int, way: str, features: str, most: int) -> tuple[float, ...]:
    """Mean IoU over the splits, the least and the greatest, CPU seconds of a training, and the memory so far."""
    scores, cpu = [], []
    for seed, train in enumerate(splits([one.path for one in micrographs], count, most)):
        taught = [one for one in micrographs if one.path in train]
        tests = [one for one in micrographs if one.path not in train]
        labels = [training_labels(one, way, features, count, seed) for one in taught]
        began = time.process_time()
        segmenter = fb.PixelSegmenter(features, seed=seed, n_threads=1)
        segmenter.fit([one.stack for one in taught], labels)
        cpu.append(time.process_time() - began)
        each = [mean_iou(segmenter.predict(one.stack), one.truth) for one in tests]
        scores.append(float(np.mean(each)))
        shown = " ".join(f"{one.path.stem} {score:.3f}" for one, score in zip(tests, each, strict=True))
        print(f"<!-- {count} {way}, trained on {[one.path.stem for one in taught]}: {shown} -->", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return float(np.mean(scores)), min(scores), max(scores), float(np.mean(cpu)), memory


if __name__ == "__main__":
    main()
