"""Mean IoU, cost and memory of each upsampler, in one table.

    python benchmarks/upsamplers.py [--tuning-only] [--upsamplers bilinear guided learned strided scale] [--data DIR]

The preset ``default`` with the linear head, one seed; labels of each image train, the image is scored. Each upsampler
runs in a process of its own, whose peak memory the operating system tells: it holds image, features' grids and forest.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from machine import data_folder
from results import Results, add_json
from segmentation import SETS, images, is_tuning, mean_iou

import fijibridge as fb

NAMES = ("bilinear", "guided", "learned", "strided", "scale")


def segmenter_of(name: str) -> fb.PixelSegmenter:
    return fb.PixelSegmenter((fb.TwsSettings(), fb.preset_settings("default", upsampler=name)))


def measure(name: str, path: Path) -> dict[str, float]:
    """An image segmented: mean IoU, CPU seconds of its features, and of bringing two class maps to pixels."""
    image = fb.read_image(path)
    labels = fb.read_labels(path.with_name(f"{path.stem}_labels.png"), shape=image.shape)
    segmenter, truth = segmenter_of(name), iio.imread(path.with_name(f"{path.stem}_truth.png"))
    cpu = time.process_time()
    stack = segmenter.extract(image)
    tokens = time.process_time() - cpu
    upsampler = stack.parts[-1].upsampler
    maps = np.random.default_rng(0).normal(size=(2, *stack.parts[-1].tokens.shape[:2], 3)).astype(np.float32)
    out = np.empty((*stack.shape[:2], 3), np.float32)
    spans = [slice(0, length) for length in stack.shape[:2]]
    upsampler.block(maps[0], *spans, out)  # compiled before it is timed
    cpu = time.process_time()
    for own in maps:
        upsampler.block(own, *spans, out)
    pixels = time.process_time() - cpu
    segmenter.fit(stack, labels)
    score = mean_iou(segmenter.predict(stack), truth)
    return {"score": score, "tokens": tokens / truth.size * 1e6, "pixels": pixels / truth.size * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--upsamplers", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--tuning-only", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # the process of one upsampler
    add_json(parser)
    arguments = parser.parse_args()
    paths = [p for p in images(arguments.data or data_folder()) if is_tuning(p) or not arguments.tuning_only]
    if arguments.one:
        for path in paths:
            print(json.dumps({"path": str(path), **measure(arguments.upsamplers[0], path)}), flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"peak": peak / (2**20 if sys.platform == "darwin" else 2**10)}))
        return
    sets = [name for name in SETS if any(path.parent.name == name for path in paths)]
    table = Results("upsamplers", arguments.json).table(
        "upsamplers",
        "Upsamplers: mean intersection over union (preset `default`, one seed), CPU seconds a megapixel of the ViT and "
        "of bringing two maps of three channels to pixels, peak memory",
        {"upsampler": "", **dict.fromkeys(sets, ".3f"), "tuning images": ".3f", "ViT, CPU s/megapixel": ".1f",
         "to pixels, CPU s/megapixel": ".2f", "peak, MiB": ".0f"},
    )  # fmt: skip
    own = [argument for argument in sys.argv[1:] if argument == "--tuning-only"]
    for name in arguments.upsamplers:
        command = [sys.executable, __file__, "--one", "--upsamplers", name, *own]
        command += ["--data", str(arguments.data or data_folder())]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        *rows, last = map(json.loads, done.stdout.splitlines())
        means = [np.mean([row["score"] for row in rows if Path(row["path"]).parent.name == one]) for one in sets]
        tuning = np.mean([row["score"] for row in rows if is_tuning(Path(row["path"]))])
        tokens, pixels = (np.median([row[kind] for row in rows]) for kind in ("tokens", "pixels"))
        table.add(f"`{name}`", *means, tuning, tokens, pixels, last["peak"])
        print("<!-- " + " ".join(f"{Path(row['path']).stem} {row['score']:.3f}" for row in rows) + " -->", flush=True)


if __name__ == "__main__":
    main()
