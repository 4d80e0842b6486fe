"""One classifier along a stack: whose statistics scale a slice, and grey levels that drift.

    python benchmarks/along_the_stack.py [--part dominated unlabelled drift separate] [--seeds 11 12 13] [--data DIR]

Simulated stacks of a composite cathode, BSE, with their truth; strokes on the middle slice train. Statistics are those
of :mod:`fijibridge.segmentation.statistics`: each slice's own, the training's, the stack's. Constants were chosen on
seeds 1 to 4, the tables are of others.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from machine import data_folder
from results import Results, add_json, met
from scipy.ndimage import uniform_filter
from segmentation import mean_iou

import fijibridge as fb
from fijibridge.segmentation.grey_drift import GreyDrift
from fijibridge.segmentation.statistics import stack_statistics, statistics_for
from fijibridge.synthesis.config import load_preset
from fijibridge.synthesis.dataset import label_values, make_pair_structure, sections_of
from fijibridge.synthesis.strokes import strokes_of

NAMES = ("ISE", "CAM", "pore")
STATISTICS = ("slice", "training", "stack")
FEATURES = ["tws", "default"]
IMAGING = {
    "bits": 16, "snr": 10.0, "shine_through": 0.4, "shine_depth": 0.5, "curtaining": 0.05, "channelling": 0.08,
    "edge_brightening": 0.6, "redeposition": 0.1, "charging": 0.1, "gradient": 0.2, "misregistration": 0.0,
    "drift": 0.0, "brightness": 0.45, "contrast": 0.4, "gamma": 1.0, "defocus": 0.6, "line_noise": 0.01,
}  # fmt: skip
WINDOW = 160


def stack(seed: int, size: int = 256, count: int = 24, **structure: float) -> tuple[np.ndarray, np.ndarray]:
    """Greys and truth (1, 2, ...) of a stack, (Z, Y, X)."""
    chosen = {"cam_diameter": 2.2, "cam_grain_size": 0.5, "porosity": 0.12, "cam_fraction": 0.42, **structure}
    config = replace(
        load_preset("generic").with_ranges(structure=chosen, imaging=IMAGING),
        size=size, depth=2 * count + 16, sections=count, spacing=2, pixel_size=0.04,
    )  # fmt: skip
    values = label_values(config)
    pairs = list(sections_of(config, make_pair_structure(config, seed, 0), seed, 0))
    return np.stack([pair.bse for pair in pairs]), np.stack([values[pair.labels] for pair in pairs])


def trained(image: np.ndarray, truth: np.ndarray, seed: int, features: Any = "default") -> fb.PixelSegmenter:
    """On strokes in one slice."""
    strokes = strokes_of(truth, np.random.default_rng(seed))
    return fb.PixelSegmenter(features, n_threads=2).fit(image, fb.Labels(strokes, NAMES))


def dominated_windows(truth: np.ndarray) -> list[tuple[slice, ...]]:
    """Two windows a class, of slices apart from one another, where it has its largest shares."""
    found = []
    half = WINDOW // 2
    for k in np.unique(truth):
        best = []
        for z, own in enumerate(truth):
            share = uniform_filter((own == k).astype(float), WINDOW)[half:-half, half:-half]
            y, x = np.unravel_index(share.argmax(), share.shape)
            best.append((share.max(), z, y, x))
        used: list[int] = []
        for _, z, y, x in sorted(best, reverse=True):
            if len(used) < 2 and all(abs(z - other) >= 4 for other in used):
                used.append(z)
                found.append((slice(z, z + 1), slice(y, y + WINDOW), slice(x, x + WINDOW)))
    return found


def dominated(results: Results, seeds: Sequence[int], _: Path | None) -> None:
    columns = {"seed": "", "share of the phase": ".2f", **dict.fromkeys(STATISTICS, ".3f"), "goal": "", "": ""}
    title = f"Accuracy in six windows of {WINDOW} px where one phase dominates, by whose statistics scale them"
    table = results.table("dominated", title, columns)
    for seed in seeds:
        grey, truth = stack(seed, size=384, count=16, cam_diameter=4.5, porosity=0.16)
        segmenter, windows = trained(grey[8], truth[8], seed), dominated_windows(truth)
        share = np.mean([np.bincount(truth[window].ravel()).max() / WINDOW**2 for window in windows])
        scores = []
        for choice in STATISTICS:
            used = statistics_for(segmenter, list(grey), choice)
            right = [segmenter.predict(grey[w][0], statistics=used) == truth[w][0] for w in windows]
            scores.append(float(np.mean(right)))
        table.add(seed, share, *scores, "0.90", met(scores[-1] >= 0.90))


def unlabelled(results: Results, seeds: Sequence[int], _: Path | None) -> None:
    columns = {"seed": "", **dict.fromkeys(STATISTICS, ".4f"), "stack - slice": "+.4f", "goal": "", "": ""}
    table = results.table("unlabelled", "Mean IoU of slices without labels, 256 px, by whose statistics", columns)
    gains = []
    for seed in seeds:
        grey, truth = stack(seed)
        segmenter = trained(grey[12], truth[12], seed)
        scores = []
        for choice in STATISTICS:
            used = statistics_for(segmenter, list(grey), choice)
            scores.append(np.mean([iou(segmenter, grey[z], truth[z], used) for z in range(0, 24, 4) if z != 12]))
        gains.append(scores[2] - scores[0])
        table.add(seed, *scores, gains[-1], "+0.005", met(gains[-1] >= 0.005))
    table.add("mean", None, None, None, np.mean(gains), "+0.005", met(np.mean(gains) >= 0.005))


def iou(segmenter: fb.PixelSegmenter, image: Any, truth: np.ndarray, statistics: Any = None) -> float:
    return mean_iou(segmenter.predict(image, statistics=statistics), truth.astype(int) - 1)


def drifted(grey: np.ndarray, kind: str, middle: int) -> np.ndarray:
    """A stack whose greys drift linearly from end to end; the slice in the middle stays."""
    count, height, width = grey.shape
    z = ((np.arange(count) - middle) / count)[:, None, None]
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    seen, contrast = grey.astype(np.float64), np.ptp(np.percentile(grey, (1, 99)))
    if kind in ("gain", "all"):
        seen = seen * (1 + 0.5 * z)
    if kind in ("offset", "all"):
        seen = seen + 0.4 * contrast * z
    if kind in ("shading", "all"):
        seen = seen * (1 + 0.6 * z * (0.7 * x + 0.5 * y - 0.3 * x * x))
    return np.clip(seen, 0, 65535).astype(np.uint16)


def drift(results: Results, seeds: Sequence[int], _: Path | None) -> None:
    columns = {
        "seed": "", "features": "", "drift": "", "no drift": ".4f", "each slice as it is": ".4f", "corrected": ".4f",
        "without the training's slice": ".4f", "lost": "+.4f", "goal": "", "": "",
    }  # fmt: skip
    title = (
        "Mean IoU where greys drift along the stack (gain by a half, offset by 0.4 of the contrast, shading by 0.6 at "
        "the edges, from end to end); corrected ones with the stack's statistics"
    )
    tables = {features: results.table(f"drift_{features}", f"{title}; {features}", columns) for features in FEATURES}
    for seed in seeds:
        grey, truth = stack(seed)
        for features in FEATURES:
            segmenter = trained(grey[12], truth[12], seed, features)

            def score(images: Sequence[Any], choice: str, segmenter: Any = segmenter, truth: Any = truth) -> float:
                used = stack_statistics(segmenter, images, 6) if choice == "stack" else None
                return float(np.mean([iou(segmenter, images[z], truth[z], used) for z in (1, 6, 10, 17, 23)]))

            choice = "slice" if features == "tws" else "stack"
            without = score(grey, choice)
            for kind in ("none", "gain", "offset", "shading", "all"):
                seen, scores = drifted(grey, kind, 12), []
                found = GreyDrift.of(seen, segmenter)  # which knows the training's slice by its greys
                scores.append(score([found.corrected(one, z) for z, one in enumerate(seen)], choice))
                if features == "tws":
                    apart = GreyDrift.of(np.delete(seen, 12, axis=0), segmenter)
                    flat = [apart.corrected(one, z - (z > 12)) for z, one in enumerate(seen)]
                    scores.append(score(flat, choice))
                else:  # which takes long
                    scores.append(None)
                goal = 0.001 if kind == "none" else 0.005
                lost = without - scores[0]
                tables[features].add(
                    seed, features, kind, without, score(seen, "slice"), *scores, lost, f"{goal}", met(lost <= goal)
                )


def separate(results: Results, _: Sequence[int], data: Path | None) -> None:
    """Two superalloy micrographs train, others with other settings are segmented."""
    folder = (data or data_folder()) / "superalloy"
    paths = sorted(p for p in folder.glob("*.png") if not p.stem.endswith(("_labels", "_truth")))
    kinds = dict.fromkeys(("its own", "the option's default", "the training's"), ".4f")
    columns = {"image": "", **kinds, "goal": "", "": ""}
    title = f"Mean IoU of separate micrographs, trained on {paths[0].stem} and {paths[1].stem}, by whose statistics"
    table = results.table("separate", title, columns)
    images = [fb.read_image(path) for path in paths]
    labels = [
        fb.read_labels(p.with_name(f"{p.stem}_labels.png"), shape=i.shape) for p, i in zip(paths, images, strict=True)
    ]
    segmenter = fb.PixelSegmenter(n_threads=2).fit(images[:2], labels[:2])
    for path, image in zip(paths[2:], images[2:], strict=True):
        truth = iio.imread(path.with_name(f"{path.stem}_truth.png")).astype(int)
        choices = [statistics_for(segmenter, [image], choice) for choice in STATISTICS]
        own, training, default = (iou(segmenter, image, truth + 1, used) for used in choices)
        table.add(path.stem, own, default, training, "no less than its own", met(default >= own))


PARTS = {"dominated": dominated, "unlabelled": unlabelled, "drift": drift, "separate": separate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[11, 12, 13])
    parser.add_argument(
        "--features", nargs="+", choices=tuple(FEATURES), default=tuple(FEATURES), help="of the part drift"
    )
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("along_the_stack", arguments.json)
    FEATURES[:] = arguments.features
    for part in arguments.part:
        PARTS[part](results, arguments.seeds, arguments.data)


if __name__ == "__main__":
    main()
