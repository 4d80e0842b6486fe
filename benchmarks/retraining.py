"""Seconds from more labels to the segmented image: the first time, and again with further labels.

    python benchmarks/retraining.py [--engines sklearn weka] [--data DIR]

Four superalloys with their labels, side by side: 1024 x 1024 pixels. The first time half of the labels train, then all;
the ViT's tokens are those of the first time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from machine import data_folder
from results import Results, add_json
from segmentation import images, mean_iou

import fijibridge as fb

GOAL = 3.0  # seconds of training, 1024 x 1024 pixels


def joined(paths: list[Path], kind: str) -> np.ndarray:
    """Four pictures in a square."""
    found = [iio.imread(path.with_name(f"{path.stem}{kind}.png")) for path in paths]
    return np.block([found[:2], found[2:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", nargs="+", default=["sklearn"], choices=["sklearn", "weka"])
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    arguments = parser.parse_args()
    paths = [path for path in images(arguments.data or data_folder()) if path.stem.startswith("spot1_")][:4]
    image, labels, truth = (joined(paths, kind) for kind in ("", "_labels", "_truth"))
    half = labels.copy()
    half[::2] = 0
    table = Results("retraining", arguments.json).table(
        "retraining",
        "More labels on the same image, 1024 x 1024 pixels, seconds: the second time the ViT's tokens are there",
        {"forest": "", "labelled pixels": ",d", "features": ".1f", "training": ".1f", "goal": "", "prediction": ".1f",
         "mean IoU": ".3f"},
    )  # fmt: skip
    for engine in arguments.engines:
        fb.PixelSegmenter(engine=engine, n_trees=2).fit(image[:256, :256], labels[:256, :256])  # compiled, Java started
        for number, own in enumerate((half, labels)):
            started = [time.perf_counter()]
            segmenter = fb.PixelSegmenter(engine=engine)
            stack = segmenter.extract(image)
            started.append(time.perf_counter())
            segmenter.fit(stack, own)
            started.append(time.perf_counter())
            score = mean_iou(segmenter.predict(stack), truth)
            seconds = np.diff([*started, time.perf_counter()])
            goal = f"{GOAL:g}" if number else None
            table.add(engine, int(np.count_nonzero(own)), seconds[0], seconds[1], goal, seconds[2], score)


if __name__ == "__main__":
    main()
