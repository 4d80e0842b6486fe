"""Draw docs/images/reconstruction_contacts.png: a true volume, and two made from one of its slices.

    python docs/scripts/reconstruction_picture.py [--volumes PLAIN.npy THINNED.npy] [--out docs/images]

Truth is every second voxel of volumes/electrode.tif in the folder FIJIBRIDGE_DATA. The volumes of 64^3 are made from
its slice 20 with contacts as the optimisation leaves them (separate=False) and with the defaults, some ten minutes of
CPU, unless they are given.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
import tifffile

mpl.use("Agg")
from matplotlib import pyplot as plt
from scipy import ndimage

from fijibridge.phases.phases import as_phases
from fijibridge.phases.rendering import render
from fijibridge.reconstruction import ReconstructionSettings, check_exemplars, reconstruct

SIDE, SLICE, PARTICLES = 64, 20, 1
COLOURS = np.array([[235, 235, 230], [70, 130, 180], [90, 60, 40]], np.uint8)


def made(truth: np.ndarray, separate: bool) -> np.ndarray:
    """A volume from one slice of the truth."""
    exemplars = check_exemplars({"xy": as_phases(truth[SLICE], class_names=("matrix", "particles", "binder"))})
    return reconstruct(exemplars, (SIDE,) * 3, ReconstructionSettings(separate=separate)).phases.index


def by_cluster(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Particles numbered by the size of their cluster, and colours: the largest is grey."""
    clusters, number = ndimage.label(index == PARTICLES)
    order = np.argsort(-np.bincount(clusters.ravel(), minlength=number + 1)[1:]) + 1
    rank = np.zeros(number + 1, np.uint8)
    rank[order[:20]] = np.arange(1, len(order[:20]) + 1)
    rank[order[20:]] = 21
    bright = (np.array(plt.get_cmap("tab20").colors) * 255).astype(np.uint8)
    palette = np.concatenate([[[255, 255, 255], [165, 165, 165]], bright[:19], [[240, 200, 60]]]).astype(np.uint8)
    return rank[clusters], palette


def draw(columns: dict[str, np.ndarray], target: Path) -> None:
    """Slices, oblique cuts and particles of volumes beside each other."""
    figure, axes = plt.subplots(3, len(columns), figsize=(3.2 * len(columns), 9.8), layout="constrained")
    steps = np.arange(SIDE)
    for (name, index), (flat, oblique, solid) in zip(columns.items(), axes.T, strict=True):
        flat.imshow(COLOURS[index[SIDE // 2]], interpolation="nearest")
        flat.set_title(name, fontsize=10)
        oblique.imshow(COLOURS[index[steps, steps]], interpolation="nearest", aspect=2**0.5)
        clusters, palette = by_cluster(index)
        solid.imshow(render(clusters, palette, transparent=(0,), size=420, cut=False))
    for axis, text in zip(
        axes[:, 0], ("slice", "diagonal cut", "particles by cluster; the largest: grey"), strict=True
    ):
        axis.set_ylabel(text, fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.savefig(target, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", nargs=2, type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    file = Path(os.environ["FIJIBRIDGE_DATA"]) / "volumes" / "electrode.tif"
    truth = tifffile.imread(file)[::2, ::2, ::2]
    if arguments.volumes:
        plain, thinned = (np.load(path) for path in arguments.volumes)
    else:
        plain, thinned = (made(truth, separate) for separate in (False, True))
    columns = {
        "truth": truth[:SIDE, :SIDE, :SIDE],
        "made, contacts not thinned": plain,
        "made with the defaults": thinned,
    }
    draw(columns, arguments.out / "reconstruction_contacts.png")


if __name__ == "__main__":
    main()
