"""Do tiles show? Tokens by tiles against those of the whole image at once, and the segmentation by two sizes of tile.

    python benchmarks/tiles.py [--data DIR] [--picture FILE.png]

On the tuning images alone. With debiasing "mean" tiles and whole shall agree (cosine >= 0.99 away from the border);
with "none" each tile has a position embedding of its own, so the cosine is only reported, and the mean IoU of two sizes
of tile shall differ by at most 0.01. The picture shows the first three principal components of coating_0's tokens.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from machine import data_folder
from results import Results, Table, add_json, met
from segmentation import images, is_tuning, mean_iou

import fijibridge as fb
from fijibridge.features.vit.encoder import ViTEncoder

BORDER = 5  # patches
WHOLE = 4096
SIZES = (280, 336)
GOAL_COSINE, GOAL_IOU = 0.99, 0.01


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def tokens(encoder: ViTEncoder, image: fb.Image, tile: int) -> np.ndarray:
    encoder.settings = replace(encoder.settings, tile=tile)  # the tile is no part of the model
    return encoder.tokens(image)


def principal_picture(found: np.ndarray) -> np.ndarray:
    """The first three principal components of (gy, gx, C) tokens as red, green and blue, uint8."""
    flat = found.reshape(-1, found.shape[2]) - found.mean(axis=(0, 1))
    _, vectors = np.linalg.eigh(flat.T @ flat)
    parts = flat @ vectors[:, :-4:-1]
    low, high = np.percentile(parts, (1, 99), axis=0)
    return (np.clip((parts - low) / (high - low), 0, 1) * 255).astype(np.uint8).reshape(*found.shape[:2], 3)


def agreement(paths: list[Path], picture: Path | None, table: Table) -> bool:
    all_met = True
    for debiasing in ("mean", "none"):
        encoder = ViTEncoder(fb.VitSettings(blocks=(6,), coarse_blocks=(), upsampler="bilinear", debiasing=debiasing))
        tile = encoder.settings.tile
        for path in paths:
            image = fb.read_image(path)
            ours = tokens(encoder, image, tile)
            similar = cosine(ours, tokens(encoder, image, WHOLE))[BORDER:-BORDER, BORDER:-BORDER]
            good = similar.mean() >= GOAL_COSINE
            all_met &= good or debiasing == "none"
            goal = f"{GOAL_COSINE}: {met(good)}" if debiasing == "mean" else "reported only"
            patches = f"{ours.shape[0]} x {ours.shape[1]}"
            table.add(path.stem, patches, debiasing, f"{tile} px", similar.mean(), np.percentile(similar, 1), goal)
            if picture and debiasing == "none" and path.stem == "coating_0":
                iio.imwrite(picture, principal_picture(ours).repeat(6, axis=0).repeat(6, axis=1))
    return all_met


def two_sizes(paths: list[Path], table: Table) -> bool:
    means = []
    vit = fb.VitSettings(blocks=(6,), coarse_blocks=(), upsampler="bilinear")
    encoders = {size: fb.PixelSegmenter((fb.TwsSettings(), replace(vit, tile=size))) for size in SIZES}
    for path in paths:
        image = fb.read_image(path)
        labels = fb.read_labels(path.with_name(f"{path.stem}_labels.png"), shape=image.shape)
        truth = iio.imread(path.with_name(f"{path.stem}_truth.png"))
        scores = []
        for maker in encoders.values():
            stack = maker.extract(image)
            seeds = [fb.PixelSegmenter(maker.features, head="none", seed=seed).fit(stack, labels) for seed in range(3)]
            scores.append(np.mean([mean_iou(segmenter.predict(stack), truth) for segmenter in seeds]))
        means.append(scores)
        table.add(path.stem, *scores, None)
    one, two = np.mean(means, axis=0)
    good = abs(one - two) <= GOAL_IOU
    table.add("mean", one, two, f"within {GOAL_IOU}: {met(good)}")
    return bool(good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--picture", type=Path, default=None, help="write the principal components as PNG")
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("tiles", arguments.json)
    paths = [path for path in images(arguments.data or data_folder()) if is_tuning(path)]
    columns = {
        "image": "",
        "patches": "",
        "debiasing": "",
        "tile": "",
        "mean": ".4f",
        "first percentile": ".3f",
        "goal": "",
    }
    cosines = results.table("agreement", "Tokens of tiles against those of the whole image at once: cosine", columns)
    columns = {"image": "", **{f"tile {size} px": ".3f" for size in SIZES}, "goal": ""}
    sizes = results.table("sizes", "Mean intersection over union by two sizes of tile, debiasing `template`", columns)
    all_met = agreement(paths, arguments.picture, cosines)
    return 0 if two_sizes(paths, sizes) and all_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
