"""Do tiles show? Tokens by tiles against those of the whole image at once, and the segmentation by two sizes of tile.

    python benchmarks/tiles.py [--data DIR] [--picture FILE.png]

On the tuning images alone. With position "mean" tiles and whole shall agree (cosine >= 0.99 away from the border); with
"keep" each tile has a position embedding of its own, so the cosine is only reported, and the mean IoU of two sizes of
tile shall differ by at most 0.01. The picture shows the first three principal components of coating_0's tokens.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from machine import data_folder, describe
from segmentation import images, is_tuning, mean_iou

import fijibridge as fb
from fijibridge.features.vit import ViTEncoder

BORDER = 5  # patches
WHOLE = 4096
SIZES = (280, 336)
GOAL_COSINE, GOAL_IOU = 0.99, 0.01


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def tokens(encoder: ViTEncoder, image: fb.Image, tile: int) -> np.ndarray:
    encoder.recipe = replace(encoder.recipe, tile=tile)  # the tile is no part of the model
    return encoder.tokens(image)


def principal_picture(found: np.ndarray) -> np.ndarray:
    """The first three principal components of (gy, gx, C) tokens as red, green and blue, uint8."""
    flat = found.reshape(-1, found.shape[2]) - found.mean(axis=(0, 1))
    _, vectors = np.linalg.eigh(flat.T @ flat)
    parts = flat @ vectors[:, :-4:-1]
    low, high = np.percentile(parts, (1, 99), axis=0)
    return (np.clip((parts - low) / (high - low), 0, 1) * 255).astype(np.uint8).reshape(*found.shape[:2], 3)


def agreement(paths: list[Path], picture: Path | None) -> bool:
    print("\n| image | patches | position | tile | cosine to the whole, mean | first percentile | goal | |")
    print("|---|---|---|---|---|---|---|---|")
    met = True
    for position in ("mean", "keep"):
        encoder = ViTEncoder(fb.FeatureRecipe(position=position))
        tile = encoder.recipe.tile
        for path in paths:
            image = fb.read_image(path)
            ours = tokens(encoder, image, tile)
            similar = cosine(ours, tokens(encoder, image, WHOLE))[BORDER:-BORDER, BORDER:-BORDER]
            good = similar.mean() >= GOAL_COSINE
            met &= good or position == "keep"
            goal = f">= {GOAL_COSINE} | {'met' if good else 'MISSED'}" if position == "mean" else "(reported) | "
            print(
                f"| {path.stem} | {ours.shape[0]} x {ours.shape[1]} | {position} | {tile} px | {similar.mean():.4f} "
                f"| {np.percentile(similar, 1):.3f} | {goal} |",
                flush=True,
            )
            if picture and position == "keep" and path.stem == "coating_0":
                iio.imwrite(picture, principal_picture(ours).repeat(6, axis=0).repeat(6, axis=1))
    return met


def two_sizes(paths: list[Path]) -> bool:
    means = []
    print(f"\n| image | {' | '.join(f'mIoU, tile {size} px' for size in SIZES)} |\n|---|---|---|")
    encoders = {size: fb.PixelSegmenter(recipe=fb.FeatureRecipe(tile=size)) for size in SIZES}
    for path in paths:
        image = fb.read_image(path)
        labels = fb.read_labels(path.with_name(f"{path.stem}_labels.png"), shape=image.shape)
        truth = iio.imread(path.with_name(f"{path.stem}_truth.png"))
        scores = []
        for maker in encoders.values():
            stack = maker.features(image)
            seeds = [
                fb.PixelSegmenter(recipe=maker.recipe, reader="forest", seed=seed).fit(stack, labels)
                for seed in range(3)
            ]
            scores.append(np.mean([mean_iou(segmenter.predict(stack), truth) for segmenter in seeds]))
        means.append(scores)
        print(f"| {path.stem} | {' | '.join(f'{score:.3f}' for score in scores)} |", flush=True)
    one, two = np.mean(means, axis=0)
    print(f"\nMean {one:.4f} and {two:.4f}, apart {abs(one - two):.4f}; goal <= {GOAL_IOU}.")
    return abs(one - two) <= GOAL_IOU


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--picture", type=Path, default=None, help="write the principal components as PNG")
    arguments = parser.parse_args()
    paths = [path for path in images(arguments.data or data_folder()) if is_tuning(path)]
    print(describe(), flush=True)
    met = agreement(paths, arguments.picture)
    return 0 if two_sizes(paths) and met else 1


if __name__ == "__main__":
    raise SystemExit(main())
