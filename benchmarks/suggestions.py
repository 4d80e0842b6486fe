"""Strokes at suggested places against strokes at random places: mean IoU after each, and how many are needed.

    python benchmarks/suggestions.py [--images NAME ...] [--strokes 16] [--seeds 2] [--ways random suggested entropy]
        [--trees 100] [--cache DIR] [--data DIR]

The first training has one stroke a class. Then a place, a square of 24 pixels (of a large image more), is chosen: the
first of `fijibridge segment --suggest 1`, or one drawn at random. The simulated user draws one stroke in each class
that has a tenth of it, and trains again. Every stroke counts. Needed are the strokes from which on a way has 95 % of
the mean IoU that random places reach in the end. Settings were chosen on the tuning images and simulated ones, with a
logistic regression in place of the segmenter.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from cached_stacks import Case, cases
from machine import data_folder
from results import Results, add_json, met
from segmentation import mean_iou

import fijibridge as fb
from fijibridge.network.calibration import uncertainty
from fijibridge.segmentation.suggestions import Place, places_to_label, square_side
from fijibridge.synthesis.strokes import strokes_of

SHARE = 0.1  # of a square that a class has at least for a stroke
ENOUGH = 0.95  # of the final mean IoU
GOAL = 0.5  # of the strokes at random

Curve = list[tuple[int, float]]  # strokes, mean IoU


def drawn(labels: np.ndarray, truth: np.ndarray, place: Place, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The labels with a stroke of each class of a square, and how many these are."""
    field = slice(place.top, place.top + place.side), slice(place.left, place.left + place.side)
    values, counts = np.unique(truth[field], return_counts=True)
    there = values[(counts >= SHARE * place.side**2) & (values > 0)]
    new = strokes_of(np.where(np.isin(truth[field], there), truth[field], 0), rng, each=1)
    found = labels.copy()
    found[field] = np.where((found[field] == 0) & (new > 0), new, found[field])
    return found, len(there)


def chosen(way: str, case: Case, segmenter: fb.PixelSegmenter, probabilities: np.ndarray, labels: np.ndarray) -> Place:
    """The next place: the one worth most, or the least sure."""
    learned, weight, side = segmenter.unlikeness_, None, square_side(labels.shape)
    if way == "suggested":
        weight = learned.of(case.stack) * learned.typicality(case.stack, side=side)
    unsure = uncertainty(np.moveaxis(probabilities, -1, 0))
    return places_to_label(unsure, labels > 0, 1, weight=weight)[0]


def curve(case: Case, way: str, seed: int, strokes: int, trees: int) -> Curve:
    """Mean IoU after each stroke from one a class on; two at one place are trained together."""
    rng, side = np.random.default_rng(seed), square_side(case.truth.shape)
    labels = strokes_of(case.truth, np.random.default_rng(seed + 100), each=1)
    count, found = len(np.unique(case.truth[case.truth > 0])), []
    while True:
        segmenter = fb.PixelSegmenter(n_trees=trees, n_threads=1).fit(case.stack, labels)
        probabilities = segmenter.predict_proba(case.stack)
        found.append((count, mean_iou(probabilities.argmax(2) + 1, case.truth - 1)))
        if count >= strokes:
            return found
        if way == "random":
            top, left = (int(rng.integers(length - side + 1)) for length in labels.shape)
            place = Place(1, top, left, side, 0)
        else:
            place = chosen(way, case, segmenter, probabilities, labels)
        labels, more = drawn(labels, case.truth, place, rng)
        count += max(1, more)


def at(found: Curve, strokes: int) -> float:
    """Mean IoU with so many strokes."""
    return [score for count, score in found if count <= strokes][-1]


def needed(found: Curve, score: float, most: int) -> int:
    """Strokes with which a mean IoU is reached for the first time; one more than all where it is not."""
    return next((count for count, own in found if own >= score), most + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", default=None)
    parser.add_argument(
        "--ways", nargs="+", default=["random", "suggested"], choices=["random", "suggested", "entropy"]
    )
    parser.add_argument("--strokes", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "fijibridge-benchmark-stacks")
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    arguments = parser.parse_args()
    ways = ["random", *(way for way in arguments.ways if way != "random")]
    about = f"{arguments.strokes} strokes, {arguments.seeds} seeds"
    results = Results("suggestions", arguments.json)
    each = results.table(
        "images",
        f"Mean intersection over union with strokes at random and at suggested places, {about}",
        {"image": "", "tuning": "", "places": "", "one stroke a class": ".3f", "half of the strokes": ".3f",
         "all strokes": ".3f", "strokes needed": ".1f"},
    )  # fmt: skip
    found: dict[tuple[str, str], list[list[float]]] = {}
    for case in cases(arguments.data or data_folder(), arguments.cache, arguments.images):
        curves = {
            way: [curve(case, way, seed, arguments.strokes, arguments.trees) for seed in range(arguments.seeds)]
            for way in ways
        }
        final = ENOUGH * float(np.mean([own[-1][1] for own in curves["random"]]))
        for way in ways:
            rows = [
                [own[0][1], at(own, arguments.strokes // 2), own[-1][1], needed(own, final, arguments.strokes)]
                for own in curves[way]
            ]
            mean = np.mean(rows, axis=0)
            each.add(case.name, "yes" if case.tuning else "", way, *mean)
            found.setdefault(("tuning and simulated" if case.tuning else "others", way), []).append(mean.tolist())
    table = results.table(
        "suggestions",
        f"Strokes needed for 95 % of what random places reach in the end, {about}",
        {"images": "", "number": "d", "places": "", "one stroke a class": ".3f", "half of the strokes": ".3f",
         "all strokes": ".3f", "strokes needed": ".1f", "goal": ""},
    )  # fmt: skip
    for (images, way), rows in found.items():
        mean = np.mean(rows, axis=0)
        goal = None
        if way != "random":
            most = GOAL * float(np.mean([row[3] for row in found[images, "random"]]))
            goal = f"{most:.1f}: {met(mean[3] <= most)}"
        table.add(images, len(rows), way, *mean, goal)


if __name__ == "__main__":
    main()
