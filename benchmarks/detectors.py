"""Two detectors against either alone: mean IoU on simulated pairs, whose sparse labels train.

    python benchmarks/detectors.py [--pairs 4] [--size 512] [--seed 2026] [--config ncm-li3ps4]
        [--cases pair weak-se weak-bse noise displaced blurred] [--features default]

pair: SE and BSE as they are simulated. weak-se, weak-bse: one at 0 dB, the other at 15 dB. noise: SE is noise alone.
displaced: SE lies 20 px aside and is not moved back. blurred: SE is out of focus (a Gaussian of 4 px).

Each pair is of a structure of its own. Its strokes (8 a class) train a segmenter on the first detector alone, on the
other alone, on both; the whole image is scored. SE alone is moved onto BSE too, so that all three have the same labels.
The weights of the detectors were chosen on other seeds and on a second material.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from results import Results, add_json, met
from scipy.ndimage import gaussian_filter

import fijibridge as fb
from fijibridge.features.vit.encoder import token_cache
from fijibridge.images.image import Image
from fijibridge.synthesis.config import SimulationConfig, load_preset
from fijibridge.synthesis.dataset import class_names, simulated_pairs
from fijibridge.synthesis.strokes import strokes_of

GOAL = 0.03
SHIFT = 20  # px
# least gain over the better detector, mean and of each image; None: no such goal
GOALS = {
    "pair": (GOAL, None),
    "weak-se": (-0.003, -0.01),
    "weak-bse": (-0.003, -0.01),
    "noise": (-0.003, None),
    "displaced": (-0.003, None),
    "blurred": (-0.003, -0.01),
}
DETECTORS = ("SE", "BSE", "SE + BSE")


def iou(found: np.ndarray, truth: np.ndarray) -> list[float]:
    """Of each class in the truth, 1, 2, ..."""
    values = np.unique(truth[truth > 0])
    return [float(((found == k) & (truth == k)).sum() / ((found == k) | (truth == k)).sum()) for k in values]


class Fields:
    """Simulated fields of view, with the images of each case."""

    def __init__(self, config: SimulationConfig, count: int, seed: int) -> None:
        def pairs(own: SimulationConfig) -> Iterator:
            return simulated_pairs(own, count, seed)

        of_snr = [config.with_ranges(imaging={"snr": [snr, snr]}) for snr in (0, 15)]
        self.pairs = list(zip(pairs(config), *map(pairs, of_snr), strict=True))
        self.seed = seed

    def labels(self, number: int) -> np.ndarray:
        """The truth of a field."""
        return self.pairs[number][0].labels

    def image(self, number: int, case: str) -> Image:
        """Both detectors' images of a case."""
        pair, weak, good = self.pairs[number]
        if case == "weak-se":
            return fb.join_detectors({"BSE": good.bse, "SE": weak.se})
        if case == "weak-bse":
            return fb.join_detectors({"BSE": weak.bse, "SE": good.se})
        both = fb.join_detectors({"BSE": pair.bse, "SE": pair.se})
        se = both.by_detector["SE"].data
        if case == "noise":
            se = np.random.default_rng(self.seed + number).normal(128, 30, se.shape).clip(0, 255).astype(se.dtype)
        elif case == "displaced":
            se = np.roll(se, SHIFT, axis=(0, 1))
        elif case == "blurred":
            se = gaussian_filter(se, 4)
        else:
            return both
        return fb.join_detectors({"BSE": pair.bse, "SE": se}, align=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--config", default="ncm-li3ps4", help="preset of the simulation")
    parser.add_argument("--cases", nargs="+", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--features", default="default", help="a preset, or kinds of features such as tws,conv,vit")
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
        {"case": "", "pair": "", **dict.fromkeys(DETECTORS, ".3f"), "weights BSE, SE, both": ""},
    )
    cases = results.table(
        "cases",
        f"What a second detector brings: mean intersection over union of both less that of the better one, {about} "
        "train; and least, of each image less that of its own better one",
        {"case": "", "mean": "+.3f", "least": "+.3f", "goal": ""},
    )
    fields = Fields(config, arguments.pairs, arguments.seed)
    alone: dict[tuple[int, bytes], tuple[list[float], float]] = {}
    for case in arguments.cases:
        scores, cpu = {way: [] for way in DETECTORS}, dict.fromkeys(DETECTORS, 0.0)
        for number in range(arguments.pairs):
            image, truth = fields.image(number, case), fields.labels(number)
            labels = strokes_of(truth, np.random.default_rng(arguments.seed + number))
            images = {**image.by_detector, "SE + BSE": image}
            for way in DETECTORS:
                key = number, images[way].data.tobytes()
                if way != DETECTORS[-1] and key in alone:
                    found, seconds = alone[key]
                else:
                    token_cache.clear()
                    began = time.process_time()
                    segmenter = fb.PixelSegmenter(arguments.features).fit(images[way], labels)
                    found = iou(segmenter.predict(images[way]), truth)
                    seconds = time.process_time() - began
                    if way != DETECTORS[-1]:
                        alone[key] = found, seconds
                scores[way].append(found)
                cpu[way] += seconds / arguments.pairs
            trust = segmenter.detector_trust_
            weights = (*trust.weights.values(), trust.together) if trust else ()
            each.add(
                case,
                str(number),
                *(np.mean(scores[way][-1]) for way in DETECTORS),
                ", ".join(f"{w:.2f}" for w in weights),
            )
        means = {way: np.array([np.mean(one) for one in scores[way]]) for way in DETECTORS}
        gain = means["SE + BSE"] - np.maximum(means["SE"], means["BSE"])
        mean = means["SE + BSE"].mean() - max(means["SE"].mean(), means["BSE"].mean())
        wanted, least = GOALS[case]
        goal = f"{wanted:+g}: {met(mean >= wanted)}"
        goal += f"; each {least:+g}: {met(gain.min() >= least)}" if least is not None else ""
        cases.add(case, mean, gain.min(), goal)
        if case != "pair":
            continue
        table = results.table(
            "detectors",
            f"SE and BSE of one field: mean intersection over union of {about} train",
            {"features of": "", "mean IoU": ".3f", **dict.fromkeys(names, ".3f"), "CPU s a pair": ".0f", "goal": ""},
        )
        for way in DETECTORS:
            classes = [np.mean([one[k] for one in scores[way] if len(one) > k]) for k in range(len(names))]
            both = f"{GOAL} above the better one alone; {mean:.3f}: {met(mean >= GOAL)}"
            table.add(way, means[way].mean(), *classes, cpu[way], both if way == DETECTORS[-1] else None)


if __name__ == "__main__":
    main()
