"""Debiasing methods, a row each: mean IoU, the same with labels of one third, what is left, cost.

    python benchmarks/debiasing.py [--debiasing template none ...] [--images NAME ...] [--trees 100] [--data DIR]

On the tuning images of segmentation.py, with its default preset and linear head, one seed, at 40,000 pixels of each.
R^2: of a ridge probe of the place, fitted on a random 1/36 of the patches, block by block; superalloys and coating
apart, for coating's layers tell the place whatever the encoder: of TWS's 76 features, which know no place, the last
rows tell. CPU s a megapixel are the ViT's; a first run makes the patterns of noise, too, which are then kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from machine import data_folder
from results import Results, add_json
from sampled import chosen_images

import fijibridge as fb
from fijibridge.features.vit.debiasing.base import DEBIASING
from fijibridge.features.vit.probe import positional_probe


def blocks_of(stack) -> list[np.ndarray]:
    """Tokens of each block and scale."""
    found = []
    for part in stack.parts:
        if (tokens := part.grid_tokens()) is not None:
            found += np.split(tokens, len(set(part.groups)), axis=2)
    return found


def shown(scores: list[list[float]]) -> str:
    return "; ".join(f"{value:.2f}" for value in np.mean(scores, axis=0)) if scores else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--debiasing", nargs="+", default=list(DEBIASING), choices=list(DEBIASING))
    parser.add_argument("--images", nargs="+", default=[], help="stems of tuning images; all where none is named")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("debiasing", arguments.json)
    micrographs = chosen_images(arguments.data or data_folder(), False, arguments.images)
    names = ", ".join(one.path.stem for one in micrographs)
    table = results.table(
        "methods",
        f"Debiasing methods: mean intersection over union with all labels and with those of one third of the image; "
        f"what is left of the place, R² of a linear probe block by block; CPU seconds. Tuning images ({names}), one "
        f"seed, {arguments.trees} trees, 40,000 pixels of each",
        {"method": "", "each image": "", "all labels": ".3f", "one third, each": "", "one third": ".3f",
         "R², superalloys (goal 0.1)": "", "R², coating": "", "ViT, CPU s/megapixel": ".1f"},
    )  # fmt: skip
    for name in arguments.debiasing:
        settings = fb.preset_settings("default", debiasing=name)
        own, third, costs, probes = [], [], [], {"superalloy": [], "coating": []}
        for one in micrographs:
            stack = one.features(settings)
            costs.append(one.cost)
            probes[one.path.parent.name].append([positional_probe(block, split="random") for block in blocks_of(stack)])
            own.append(one.segmented(stack, one.labels, arguments.trees))
            scores = [one.segmented(stack, labels, arguments.trees) for labels in one.thirds()[:2]]
            third += [np.mean(scores)] if scores else []
        each = [" ".join(f"{value:.3f}" for value in values) for values in (own, third)]
        places = [shown(probes[group]) for group in ("superalloy", "coating")]
        table.add(f"`{name}`", each[0], np.mean(own), each[1], np.mean(third), *places, np.median(costs))
    table = results.table(
        "tws", "R² of the same probe on TWS's 76 features, which know no place", {"image": "", "R²": ".2f"}
    )
    for one in micrographs:
        rows, cols = one.truth.shape
        # means over 7 x 7 pixels, a patch at twofold enlargement
        cut = one.classical.array[: rows // 7 * 7, : cols // 7 * 7]
        plain = cut.reshape(rows // 7, 7, cols // 7, 7, -1).mean((1, 3))
        table.add(one.path.stem, positional_probe(plain, split="random"))


if __name__ == "__main__":
    main()
