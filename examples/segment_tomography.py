"""A FIB-SEM tomography by two detectors, labelled on three slices: segmented, stopped twice, resumed, measured.

    python examples/segment_tomography.py [--slices 400] [--size 192] [--features tws,vit] [--out FOLDER]

The stack is simulated (Si, Li6PS5Cl and carbon fibres; drift, curtains and flicker), so that its truth is known. The
run is killed twice on purpose, and goes on where it was. FOLDER then holds the OME-Zarr, which napari, ome-zarr and the
next commands of fijibridge open, and pictures of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile

import fijibridge as fb
from fijibridge.operations import operation
from fijibridge.synthesis.config import load_preset
from fijibridge.synthesis.dataset import class_names, label_values, make_pair_structure, sections_of

STROKES = 40  # on each labelled slice


def simulate(folder: Path, slices: int, size: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Write se.tif and bse.tif; gives the truth, (Z, Y, X), and the names of its values."""
    config = replace(load_preset("si-li6ps5cl-vgcf"), size=size, depth=slices * 4 // 3 + 1, sections=slices, spacing=1)
    sections = list(sections_of(config, make_pair_structure(config, 3, 0), 3, 0))
    for detector in ("se", "bse"):
        stack = np.stack([getattr(one, detector) for one in sections])
        tifffile.imwrite(folder / f"{detector}.tif", stack, imagej=True, resolution=(0.05, 0.05),
                         metadata={"axes": "ZYX", "spacing": 20.0, "unit": "nm"})  # fmt: skip
    return label_values(config)[np.stack([one.labels for one in sections])], class_names(config)


def draw(truth: np.ndarray) -> np.ndarray:
    """Short strokes of every class on three slices; 0 elsewhere."""
    rng, labels = np.random.default_rng(0), np.zeros(truth.shape, np.uint8)
    for z in (0, len(truth) // 2, len(truth) - 1):
        for value in np.unique(truth[z]):
            places = np.argwhere(truth[z] == value)
            for y, x in places[rng.integers(len(places), size=STROKES // 4)]:
                stroke = np.s_[z, y, x : x + 6]
                labels[stroke] = np.where(truth[stroke] == value, value, labels[stroke])
    return labels


def run_and_kill(command: list[str], state: Path, units: int) -> None:
    """Begin the work, and kill it when so many of its units are done."""
    process = subprocess.Popen(command)
    while process.poll() is None and len(list(state.glob("unit-*/record.json"))) < units:
        time.sleep(0.1)
    process.kill()
    process.wait()
    print(f"killed with {len(list(state.glob('unit-*/record.json')))} units done")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--features", default="tws,vit")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        truth, names = simulate(folder, arguments.slices, arguments.size)
        tifffile.imwrite(folder / "labels.tif", draw(truth), imagej=True, metadata={"axes": "ZYX"})
        command = [
            *(sys.executable, "-m", "fijibridge", "segment", f"{folder}/bse.tif", "--detectors", f"SE={folder}/se.tif"),
            *("--labels", f"{folder}/labels.tif", "--classes", ",".join(names), "--features", arguments.features),
            *("--out", f"{folder}/seg.zarr", "--workers", "2", "--quiet"),
        ]
        state, units = folder / "seg.zarr.resume", min(32, arguments.slices)
        run_and_kill(command, state, units // 4)
        run_and_kill([*command, "--resume"], state, units // 2)
        subprocess.run([*command, "--resume"], check=True)
        with fb.open_volume(folder / "seg.zarr") as volume:
            print(f"{volume.shape} voxels of {volume.voxel_size}")
            found = volume.read(0, len(volume))
        print(f"{100 * np.mean(found == truth):.1f} % of the voxels as in the truth")
        report = operation("measure")(folder / "seg.zarr", out=folder / "measured", metrics="fractions,surface")
        for name, share in report["class_fractions"].items():
            print(f"{name}: {100 * share:.1f} %, true {100 * np.mean(truth == names.index(name) + 1):.1f} %")


if __name__ == "__main__":
    main()
