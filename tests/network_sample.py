"""Small labelled SE + BSE pairs, on which tiny networks learn in seconds. For several test files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from fijibridge.network.augmentation import IGNORED, CropSampler, Normalisation
from fijibridge.network.images import ImageArrays
from fijibridge.network.network import Network
from fijibridge.network.settings import NetworkSettings

NAMES = ("ISE", "CAM", "pore", "carbon", "binder")
SIDE = 96
TINY = NetworkSettings(
    width=8, levels=3, stem=1, crop=32, batch=4, steps=12, checks=3, rate=1e-2, threads=1, validation_share=0.2,
    # changes of the crops that a few steps can cope with
    blur=0.5, scale=1.1, noise=0.7, stripes=0.15, misregistration=2.0, device="cpu",
)  # fmt: skip


def pair(seed: int, bits: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SE, BSE and labels: CAM is bright in BSE, pores are dark in both; in SE, ISE and CAM look alike."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma, mode="wrap") for sigma in (6, 4)]
    cam = fields[0] > np.quantile(fields[0], 0.6)
    pore = ~cam & (fields[1] > np.quantile(fields[1][~cam], 0.8))
    labels = np.where(cam, 2, np.where(pore, 3, 1)).astype(np.uint8)
    noise = 12 * rng.standard_normal((2, SIDE, SIDE))
    se = np.choose(labels, (0, 120, 130, 50)) + noise[0]
    bse = np.choose(labels, (0, 90, 170, 60)) + noise[1]
    scale = 1 if bits == 8 else 200
    dtype = np.uint8 if bits == 8 else np.uint16
    return *(np.clip(plane * scale, 0, np.iinfo(dtype).max).astype(dtype) for plane in (se, bse)), labels


def write_dataset(folder: Path, shards: int = 2, each: int = 4, structures: bool = True) -> Path:
    for number in range(shards):
        shard = folder / f"shard-{number:05d}"
        shard.mkdir(parents=True)
        stacks = [np.stack(planes) for planes in zip(*(pair(100 * number + k) for k in range(each)), strict=True)]
        for name, stack in zip(("se", "bse", "labels"), stacks, strict=True):
            tifffile.imwrite(shard / f"{name}.tif", stack, imagej=True)
        entries = [
            {"pixel_size": 0.05} | ({"structure": 10 * number + k // 2} if structures else {}) for k in range(each)
        ]
        (shard / "parameters.json").write_text(json.dumps(entries), encoding="utf-8")
    index = {"class_names": NAMES, "detectors": ["SE", "BSE"], "pixel_size": 0.05, "count": shards * each}
    (folder / "dataset.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def sampler(labels_too: bool = False, **changes) -> CropSampler:
    pairs = [pair(seed) for seed in (1, 2)]
    data = ImageArrays([{"SE": se, "BSE": bse} for se, bse, _ in pairs], [p[2] for p in pairs], NAMES, ("SE", "BSE"))
    values = np.array([IGNORED, 0, 1, 2, IGNORED, IGNORED])
    return CropSampler(data, np.arange(2), values, Normalisation(), replace(TINY, **changes), labelled=labels_too)


def same(one: Network, other: Network) -> bool:
    """Whether two networks have the same weights."""
    return one.state.keys() == other.state.keys() and all((one.state[k] == other.state[k]).all() for k in one.state)
