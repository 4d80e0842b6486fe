"""A real Trainable Weka Segmentation that makes features of some images, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def stacks_of_tws(
    folder: Path, images: dict[str, np.ndarray], filters: Sequence[str], low: float, high: float
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Names and values (Y, X, F) of TWS's feature stack of each image, (Y, X) or RGB (Y, X, 3).

    Values of an RGB image are the mean of its three colours, as TWS gives them to its classifier.
    """
    np.savez(folder / "images.npz", **images)
    settings = json.dumps({"filters": list(filters), "low": low, "high": high})
    command = [sys.executable, __file__, str(folder / "images.npz"), str(folder / "features.npz"), settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "features.npz") as live:
        return {key: (tuple(live[f"names_{key}"]), live[f"values_{key}"]) for key in images}


def _processor(image: np.ndarray):
    import jpype

    height, width = image.shape[:2]
    if image.ndim == 2:
        pixels = jpype.JArray(jpype.JFloat)(image.astype(np.float32).ravel())
        return jpype.JClass("ij.process.FloatProcessor")(width, height, pixels)
    red, green, blue = np.moveaxis(image.astype(np.uint32), 2, 0)
    packed = (0xFF000000 | red << 16 | green << 8 | blue).astype(np.uint32).view(np.int32)
    return jpype.JClass("ij.process.ColorProcessor")(width, height, jpype.JArray(jpype.JInt)(packed.ravel()))


def _values(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype.kind != "i":
        return pixels
    return ((pixels >> 16 & 255) + (pixels >> 8 & 255) + (pixels & 255)) / 3.0


def main(images: str, results: str, settings: str) -> None:
    """Make the stacks, as a program."""
    import jpype

    jpype.startJVM("-Djava.awt.headless=true", classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep))
    jpype.JClass("ij.Prefs").setThreads(4)  # with fewer it waits for itself
    kind = jpype.JClass("trainableSegmentation.FeatureStack")
    wanted = json.loads(settings)
    found = {}
    with np.load(images) as stored:
        for key, image in stored.items():
            stack = kind(_processor(image))
            flags = [str(name) in wanted["filters"] for name in kind.availableFeatures]
            assert sum(flags) == len(wanted["filters"])
            stack.setEnabledFeatures(jpype.JArray(jpype.JBoolean)(flags))
            stack.setMinimumSigma(wanted["low"])
            stack.setMaximumSigma(wanted["high"])
            assert stack.updateFeaturesMT(4)
            planes = stack.getStack()
            count = planes.getSize()
            found[f"names_{key}"] = np.array([str(planes.getSliceLabel(i + 1)) for i in range(count)])
            values = np.stack([_values(np.array(planes.getPixels(i + 1))) for i in range(count)], -1)
            found[f"values_{key}"] = values.reshape(*image.shape[:2], count)
    np.savez(results, **found)
    # ImageJ's own pool would keep the process alive
    jpype.JClass("ij.util.ThreadUtil").threadPoolExecutor.shutdownNow()


if __name__ == "__main__":
    main(*sys.argv[1:])
