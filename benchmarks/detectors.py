"""SE and BSE joined against either alone: mean IoU on simulated pairs, whose sparse labels train.

    python benchmarks/detectors.py [--pairs 4] [--size 512] [--seed 2026] [--config ncm-li3ps4] [--encoder none]

Each pair is of a structure of its own. Its strokes (8 a class) train a segmenter on SE alone, on BSE alone, on both;
the whole image is scored. The simulation displaces SE by up to 2 px: SE alone is moved onto BSE too, so that all three
have the same labels. Nothing was chosen on these pairs.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from machine import describe

import fijibridge as fb
from fijibridge.features.presets import preset_recipe
from fijibridge.features.vit import latest_tokens
from fijibridge.synthesis.config import load_preset
from fijibridge.synthesis.dataset import class_names, simulated_pairs
from fijibridge.synthesis.strokes import strokes_of

GOAL = 0.03
WAYS = ("SE", "BSE", "SE + BSE")


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
    parser.add_argument("--encoder", default=fb.FeatureRecipe.encoder)
    arguments = parser.parse_args()
    print(describe(), flush=True)
    config = replace(load_preset(arguments.config), size=arguments.size, sections=1)
    names = class_names(config)
    print(
        f"{arguments.pairs} pairs of {config.name}, seed {arguments.seed}\n\n| pair | SE moved | {' | '.join(WAYS)} |"
    )
    print("|---|---|---|---|---|", flush=True)
    recipe = preset_recipe("default", encoder=arguments.encoder)
    scores, cpu = {way: [] for way in WAYS}, dict.fromkeys(WAYS, 0.0)
    for number, pair in enumerate(simulated_pairs(config, arguments.pairs, arguments.seed)):
        image = fb.join_detectors({"BSE": pair.bse, "SE": pair.se})
        labels = strokes_of(pair.labels, np.random.default_rng(arguments.seed + number))
        images = {**image.by_detector, "SE + BSE": image}
        for way in WAYS:
            latest_tokens.clear()
            began = time.process_time()
            segmenter = fb.PixelSegmenter(recipe=recipe).fit(images[way], labels)
            scores[way].append(iou(segmenter.predict(images[way]), pair.labels))
            cpu[way] += (time.process_time() - began) / arguments.pairs
        told = " | ".join(f"{np.mean(scores[way][-1]):.3f}" for way in WAYS)
        shift = image.others[0].shift
        moved = f"{shift[0]:g}, {shift[1]:g} px" if shift else "not told"
        print(f"| {number} | {moved} | {told} |", flush=True)
    means = {way: float(np.mean([np.mean(one) for one in scores[way]])) for way in WAYS}
    print("| mean | | " + " | ".join(f"{means[way]:.3f}" for way in WAYS) + " |")
    for k, name in enumerate(names):
        each = [f"{np.mean([one[k] for one in scores[way] if len(one) > k]):.3f}" for way in WAYS]
        print(f"| {name} | | " + " | ".join(each) + " |")
    print("| CPU s a pair | | " + " | ".join(f"{cpu[way]:.0f}" for way in WAYS) + " |")
    gain = means["SE + BSE"] - max(means["SE"], means["BSE"])
    print(f"\nboth above the better one alone: {gain:.3f} (goal >= {GOAL}, {'met' if gain >= GOAL else 'MISSED'})")


if __name__ == "__main__":
    main()
