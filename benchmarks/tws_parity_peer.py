"""What real Trainable Weka Segmentation makes of images: features, a trained model, labels, and the CPU time of each.

    FIJIBRIDGE_TWS_CLASSPATH=... python benchmarks/tws_parity_peer.py JOB.json

A process of its own, started by tws_parity.py: the job is a list of cases, each with the files and TWS's settings;
results go beside them as .npy, .model and a JSON of seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import jpype
import numpy as np

THREADS = 32  # TWS's 3D Gaussians wait for one another for ever on few threads, and Gabor on one


def start() -> None:
    """Start the JVM with TWS."""
    jpype.startJVM(
        "-Djava.awt.headless=true", "-Xmx6g", classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep)
    )
    jpype.JClass("ij.Prefs").setThreads(THREADS)


def flags(available: Any, names: list[str]) -> Any:
    """TWS's array of enabled features."""
    found = [str(name) in names for name in available]
    assert sum(found) == len(names), (names, [str(name) for name in available])
    return jpype.JArray(jpype.JBoolean)(found)


def pixels(stack: Any, number: int) -> np.ndarray:
    """A plane's values as TWS's instances have them: of colours the mean of the 8-bit three."""
    processor = stack.getProcessor(number)
    values = np.array(processor.getPixels())
    if str(processor.getClass().getSimpleName()) == "ColorProcessor":
        parts = [(values >> shift) & 255 for shift in (16, 8, 0)]
        values = sum(part.astype(np.float64) for part in parts) / 3.0
    return values.reshape(processor.getHeight(), processor.getWidth()).astype(np.float32)


def features_2d(image: Any, case: dict[str, Any]) -> tuple[list[str], np.ndarray, float]:
    """Names, features (F, Y, X), CPU seconds."""
    kind = jpype.JClass("trainableSegmentation.FeatureStack")
    stack = kind(image)
    stack.setEnabledFeatures(flags(kind.availableFeatures, case["filters"]))
    stack.setMinimumSigma(case["min_sigma"])
    stack.setMaximumSigma(case["max_sigma"])
    began = time.process_time()
    assert stack.updateFeaturesMT(THREADS)
    spent = time.process_time() - began
    made = stack.getStack()
    numbers = range(1, made.getSize() + 1)
    return [str(stack.getSliceLabel(n)) for n in numbers], np.stack([pixels(made, n) for n in numbers]), spent


def features_3d(image: Any, case: dict[str, Any]) -> tuple[list[str], np.ndarray, float]:
    """Names, features (F, Z, Y, X), CPU seconds."""
    kind = jpype.JClass("trainableSegmentation.FeatureStack3D")
    stack = kind(image)
    stack.setEnableFeatures(flags(kind.availableFeatures, case["filters"]))
    stack.setMinimumSigma(case["min_sigma"])
    stack.setMaximumSigma(case["max_sigma"])
    began = time.process_time()
    assert stack.updateFeaturesMT()
    spent = time.process_time() - began
    array = stack.getFeatureStackArray()
    slices = [array.get(z).getStack() for z in range(array.getSize())]
    numbers = range(1, slices[0].getSize() + 1)
    names = [str(slices[0].getSliceLabel(n)) for n in numbers]
    return names, np.stack([np.stack([pixels(one, n) for one in slices]) for n in numbers]), spent


def trained(image: Any, case: dict[str, Any], model: Path) -> tuple[np.ndarray, float, float]:
    """Labels of a model that is trained on rectangles and saved; CPU seconds of training and of applying it."""
    in_3d = case["dimensions"] == "3d"
    if in_3d:
        segmentation = jpype.JClass("trainableSegmentation.WekaSegmentation")(True)
        segmentation.setTrainingImage(image)
    else:
        segmentation = jpype.JClass("trainableSegmentation.WekaSegmentation")(image)
    kind = jpype.JClass("trainableSegmentation.FeatureStack3D" if in_3d else "trainableSegmentation.FeatureStack")
    segmentation.setEnabledFeatures(flags(kind.availableFeatures, case["filters"]))
    segmentation.setMinimumSigma(case["min_sigma"])
    segmentation.setMaximumSigma(case["max_sigma"])
    if "classifier" in case:
        segmentation.setClassifier(jpype.JClass(case["classifier"])())
    for number, name in enumerate(case["classes"]):
        if number > 1:
            segmentation.addClass()
        segmentation.setClassLabel(number, name)
    for number, plane, x, y, width, height in case["strokes"]:
        segmentation.addExample(number, jpype.JClass("ij.gui.Roi")(x, y, width, height), plane)
    began = time.process_time()
    assert segmentation.trainClassifier()
    middle = time.process_time()
    assert segmentation.saveClassifier(str(model))
    after = time.process_time()
    result = segmentation.applyClassifier(image, THREADS, False)
    ended = time.process_time()
    made = result.getImageStack()
    labels = np.stack([pixels(made, n) for n in range(1, made.getSize() + 1)])
    return labels.astype(np.uint8), middle - began, ended - after


def main() -> int:
    """All cases of the job."""
    cases = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    start()
    for case in cases:
        image, out = jpype.JClass("ij.IJ").openImage(case["image"]), Path(case["out"])
        names, features, spent = (features_3d if case["dimensions"] == "3d" else features_2d)(image, case)
        np.save(out.with_name(f"{out.name}.features.npy"), features)
        said: dict[str, Any] = {"names": names, "cpu_features": spent}
        if case["strokes"]:
            labels, training, applying = trained(image, case, out.with_name(f"{out.name}.model"))
            np.save(out.with_name(f"{out.name}.labels.npy"), labels)
            said |= {"cpu_training": training, "cpu_applying": applying}
        out.with_name(f"{out.name}.said.json").write_text(json.dumps(said), encoding="utf-8")
        print(case["name"], flush=True)
    os._exit(0)  # ImageJ's own threads would keep the process alive


if __name__ == "__main__":
    main()
