"""Ways of removing positional bias, a row each: mean IoU, the same with labels of one third, what is left, cost.

    python benchmarks/position.py [--position template keep ...] [--images NAME ...] [--trees 100] [--data DIR]

On the tuning images of segmentation.py, with its default preset and linear reader, one seed, at 40,000 pixels of each.
R^2: of a ridge probe of the place, fitted on a random 1/36 of the patches, block by block; superalloys and coating
apart, for coating's layers tell the place whatever the encoder: of TWS's 76 features, which know no place, the last
rows tell. CPU s a megapixel are the ViT's; a first run makes the patterns of noise, too, which are then kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from machine import data_folder, describe
from sampled import chosen_images

from fijibridge.features.position import positional_probe
from fijibridge.features.presets import preset_recipe
from fijibridge.features.stack import TokensPart
from fijibridge.features.ways import WAYS


def blocks_of(stack) -> list[np.ndarray]:
    """Tokens of each block and scale."""
    found = []
    for part in stack.parts:
        if isinstance(part, TokensPart):
            found += np.split(part.tokens, len({name[:7] for name in part.names}), axis=2)
    return found


def told(scores: list[list[float]]) -> str:
    return " ".join(f"{value:.2f}" for value in np.mean(scores, axis=0)) if scores else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--position", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--images", nargs="+", default=[], help="stems of tuning images; all where none is named")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--data", type=Path, default=None)
    arguments = parser.parse_args()
    print(describe())
    micrographs = chosen_images(arguments.data or data_folder(), False, arguments.images)
    print(
        "| | " + ", ".join(one.path.stem for one in micrographs) + " | mean | labels of a third: each | mean ", end=""
    )
    print("| R^2 superalloy | R^2 coating | CPU s/Mpx |\n|" + "---|" * 8, flush=True)
    for name in arguments.position:
        recipe = preset_recipe("default", position=name, classical="none")
        own, third, costs, probes = [], [], [], {"superalloy": [], "coating": []}
        for one in micrographs:
            stack = one.features(recipe)
            costs.append(one.cost)
            probes[one.path.parent.name].append([positional_probe(block, split="random") for block in blocks_of(stack)])
            own.append(one.segmented(stack, one.labels, arguments.trees))
            scores = [one.segmented(stack, labels, arguments.trees) for labels in one.thirds()[:2]]
            third += [np.mean(scores)] if scores else []
        each = [" ".join(f"{value:.3f}" for value in values) for values in (own, third)]
        print(
            f"| {name} | {each[0]} | {np.mean(own):.3f} | {each[1]} | {np.mean(third):.3f} | "
            f"{told(probes['superalloy'])} | {told(probes['coating'])} | {np.median(costs):.1f} |",
            flush=True,
        )
    for one in micrographs:
        rows, cols = one.truth.shape
        # means over 7 x 7 pixels, a patch at twofold enlargement
        cut = one.classical.array[: rows // 7 * 7, : cols // 7 * 7]
        plain = cut.reshape(rows // 7, 7, cols // 7, 7, -1).mean((1, 3))
        print(f"{one.path.stem}: R^2 of TWS's features {positional_probe(plain, split='random'):.2f}")


if __name__ == "__main__":
    main()
