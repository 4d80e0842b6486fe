"""Mean IoU on real micrographs: each image's sparse labels train, the whole image is scored.

    python benchmarks/segmentation.py [--engines sklearn weka] [--seeds 3] [--tiles 280 322] [--data DIR]

Defaults were chosen on the tuning images (superalloy/spot1_*, coating_0) alone; the others are reported apart. The peer
is TWS 4.0 with its defaults on the same labels (figures of the data's README).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from machine import data_folder, describe

import fijibridge as fb
from fijibridge.features.position import positional_probe

SETS = ("superalloy", "coating", "interactive")
TWS = {"superalloy": 0.637, "coating": 0.598, "interactive": 0.752}
GOAL = {"superalloy": 0.69, "coating": 0.68, "interactive": 0.775}


def is_tuning(path: Path) -> bool:
    return path.stem.startswith("spot1_") or path.stem == "coating_0"


def mean_iou(labels: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the classes of the truth; labels are class + 1."""
    scores = []
    for k in np.unique(truth):
        found, true = labels == k + 1, truth == k
        scores.append((found & true).sum() / (found | true).sum())
    return float(np.mean(scores))


def images(data: Path) -> list[Path]:
    return [
        p for name in SETS for p in sorted((data / name).glob("*.png")) if not p.stem.endswith(("_labels", "_truth"))
    ]


def score(
    path: Path, recipe: fb.FeatureRecipe, engines: list[str], seeds: int, encoders: dict
) -> dict[str, list[float]]:
    """mIoU of each seed by engine, for one image; also the probe's R^2 and CPU seconds a megapixel."""
    image = fb.read_image(path)
    labels = fb.read_labels(path.with_name(f"{path.stem}_labels.png"), shape=image.shape)
    truth = iio.imread(path.with_name(f"{path.stem}_truth.png"))
    maker = encoders.setdefault(recipe, fb.PixelSegmenter(recipe=recipe))
    cpu = time.process_time()
    stack = maker.features(image)
    tokens = stack.tokens()
    found = {"features": [(time.process_time() - cpu) / truth.size * 1e6]}
    found["probe"] = [positional_probe(tokens)] if tokens is not None else []
    for engine in engines:
        found[engine] = []
        for seed in range(seeds):
            segmenter = fb.PixelSegmenter(engine=engine, recipe=recipe, seed=seed).fit(stack, labels)
            found[engine].append(mean_iou(segmenter.predict(stack), truth))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--engines", nargs="+", default=["sklearn", "weka"], choices=["sklearn", "weka"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tiles", nargs="+", type=int, default=[fb.FeatureRecipe.tile])
    parser.add_argument("--position", nargs="+", default=[fb.FeatureRecipe.position])
    parser.add_argument("--tuning-only", action="store_true")
    arguments = parser.parse_args()
    data = arguments.data or data_folder()
    paths = [p for p in images(data) if is_tuning(p) or not arguments.tuning_only]
    print(describe(), flush=True)
    for tile in arguments.tiles:
        for position in arguments.position:
            recipe = replace(fb.FeatureRecipe(), tile=tile, position=position)
            encoders: dict = {}
            results = {}
            print(f"\n## tile {recipe.tile}, position {position}, {arguments.seeds} seeds\n")
            print("| image | engine | mIoU of each seed |")
            print("|---|---|---|", flush=True)
            for path in paths:
                results[path] = score(path, recipe, arguments.engines, arguments.seeds, encoders)
                for engine in arguments.engines:
                    values = " ".join(f"{v:.3f}" for v in results[path][engine])
                    print(f"| {path.stem} | {engine} | {values} |", flush=True)
            report(results, arguments.engines, arguments.tuning_only)


def report(results: dict[Path, dict[str, list[float]]], engines: list[str], tuning_only: bool) -> None:
    """One row a set: all its images, the tuning ones, the others; goal and peer beside them."""
    print("\n| set | engine | mean IoU ± spread of seeds | tuning images | other images | goal | TWS 4.0 |")
    print("|---|---|---|---|---|---|---|")
    means: dict[tuple[str, str], float] = {}
    for name in SETS:
        rows = {path: found for path, found in results.items() if path.parent.name == name}
        for engine in engines if rows else []:
            seeds = np.array([found[engine] for found in rows.values()])
            tuning = np.array([is_tuning(path) for path in rows])
            part = [f"{seeds[chosen].mean():.3f}" if chosen.any() else "-" for chosen in (tuning, ~tuning)]
            means[name, engine] = seeds.mean()
            goal = "(tuning images only)" if tuning_only else f">= {GOAL[name]}"
            print(
                f"| {name} | {engine} | {seeds.mean():.3f} ± {seeds.mean(0).std():.3f} | {part[0]} | {part[1]} "
                f"| {goal} | {TWS[name]} |"
            )
    if len(engines) == 2:
        apart = {name: abs(means[name, engines[0]] - means[name, engines[1]]) for name, _ in means}
        print(f"\nThe engines differ by {', '.join(f'{v:.3f} ({k})' for k, v in apart.items())}; goal <= 0.02.")
    probes = [p for found in results.values() for p in found["probe"]]
    cost = [found["features"][0] for path, found in results.items()]
    if probes:
        print(
            f"\nPositional probe, R^2 over all images: {np.mean(probes):.2f} ({min(probes):.2f} to {max(probes):.2f})."
        )
    print(f"ViT features: {np.median(cost):.1f} CPU s a megapixel of the image (median).", flush=True)


if __name__ == "__main__":
    main()
