"""SE and BSE joined against either alone: mean IoU on simulated pairs, whose sparse labels train.

    python benchmarks/detectors.py [--pairs 4] [--size 512] [--seed 2026] [--config ncm-li3ps4] [--features tws]

Each pair is of a structure of its own. Its strokes (8 a class) train a segmenter on SE alone, on BSE alone, on both;
the whole image is scored. The simulation displaces SE by up to 2 px: SE alone is moved onto BSE too, so that all three
have the same labels. Nothing was chosen on these pairs.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from results import Results, add_json, met

import fijibridge as fb
from fijibridge.features.settings import sources_in
from fijibridge.features.vit.encoder import token_cache
from fijibridge.synthesis.config import load_preset
from fijibridge.synthesis.dataset import class_names, simulated_pairs
from fijibridge.synthesis.strokes import strokes_of

GOAL = 0.03
DETECTORS = ("SE", "BSE", "SE + BSE")


def iou(found: np.ndarray, truth: np.ndarray) -> list[float]:
    """Of each class in the truth, 1, 2, ..."""
    values = np.unique(truth[truth > 0])
    return [float(((found == k) & (truth == k)).sum() / ((found == k) | (truth == k)).sum()) for k in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--config", default="ncm-li3ps4", help="preset of the simulation")
    parser.add_argument("--features", default="tws,vit", help="sources by name")
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("detectors", arguments.json)
    config = replace(load_preset(arguments.config), size=arguments.size, sections=1)
    names = class_names(config)
    side = f"{config.size} x {config.size} pixels"
    about = f"{arguments.pairs} simulated pairs of {config.name}, {side}, 8 strokes a class of each"
    each = results.table(
        "pairs",
        f"Mean intersection over union, {about}",
        {"pair": "", "SE moved": "", **dict.fromkeys(DETECTORS, ".3f")},
    )
    features = sources_in(arguments.features)
    scores, cpu = {way: [] for way in DETECTORS}, dict.fromkeys(DETECTORS, 0.0)
    for number, pair in enumerate(simulated_pairs(config, arguments.pairs, arguments.seed)):
        image = fb.join_detectors({"BSE": pair.bse, "SE": pair.se})
        labels = strokes_of(pair.labels, np.random.default_rng(arguments.seed + number))
        images = {**image.by_detector, "SE + BSE": image}
        for way in DETECTORS:
            token_cache.clear()
            began = time.process_time()
            segmenter = fb.PixelSegmenter(features).fit(images[way], labels)
            scores[way].append(iou(segmenter.predict(images[way]), pair.labels))
            cpu[way] += (time.process_time() - began) / arguments.pairs
        shift = image.others[0].shift
        moved = f"{shift[0]:g}, {shift[1]:g} px" if shift else "not found"
        each.add(str(number), moved, *(np.mean(scores[way][-1]) for way in DETECTORS))
    means = {way: float(np.mean([np.mean(one) for one in scores[way]])) for way in DETECTORS}
    gain = means["SE + BSE"] - max(means["SE"], means["BSE"])
    goal = f"{GOAL} above the better one alone; {gain:.3f}: {met(gain >= GOAL)}"
    table = results.table(
        "detectors",
        f"SE and BSE of one field: mean intersection over union of {about} train",
        {"features of": "", "mean IoU": ".3f", **dict.fromkeys(names, ".3f"), "CPU s a pair": ".0f", "goal": ""},
    )
    for way in DETECTORS:
        classes = [np.mean([one[k] for one in scores[way] if len(one) > k]) for k in range(len(names))]
        table.add(way, means[way], *classes, cpu[way], goal if way == DETECTORS[-1] else None)


if __name__ == "__main__":
    main()
