"""Every feature and kind of model of real Trainable Weka Segmentation 4.0, beside fijibridge's, and their CPU time.

    FIJIBRIDGE_TWS_CLASSPATH=... python benchmarks/tws_parity.py [--size 256] [--volume 24,64,64] [--parts 2d speed]

The images are simulated, and the models are trained by TWS on rectangles. A difference is the largest, or the mean,
over the feature's own range; the border is what lies within 16 pixels of it. Labels are those of TWS's own
applyClassifier against load_segmenter(".model").predict. CPU seconds are of the whole process, TWS's on many threads
(it hangs on few), fijibridge's on one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from results import Results, Table, add_json, met

import fijibridge as fb
from fijibridge.features.tws.block import tws_features
from fijibridge.features.tws.filter_registry import FILTERS
from fijibridge.features.tws.settings import DEFAULT_FILTERS, TwsSettings
from fijibridge.images.image import image_from_array
from fijibridge.synthesis.demo import demo_image

BORDER = 16
INSIDE, AT_BORDER, SAME_LABELS = 1e-4, 1e-3, 99.9
CLASSIFIERS = (
    "weka.classifiers.functions.SMO", "weka.classifiers.functions.Logistic", "weka.classifiers.bayes.NaiveBayes",
    "weka.classifiers.trees.J48", "weka.classifiers.trees.RandomForest", "weka.classifiers.meta.AdaBoostM1",
    "weka.classifiers.meta.Bagging", "weka.classifiers.meta.LogitBoost",
)  # fmt: skip
RANGES = ((1.0, 16.0), (2.0, 8.0), (0.5, 32.0))


def case(name: str, image: Path, out: Path, filters: list[str], **more: Any) -> dict[str, Any]:
    """A case as tws_parity_peer.py takes it."""
    own = {"dimensions": "2d", "min_sigma": 1.0, "max_sigma": 16.0, "strokes": [], "classes": ["pore", "solid"]}
    return {"name": name, "image": str(image), "out": str(out / name), "filters": filters, **own, **more}


def strokes(labels: np.ndarray, planes: list[int], seed: int = 0, count: int = 12, side: int = 6) -> list[list[int]]:
    """Rectangles inside one class each: class, plane from 1, x, y, width, height."""
    rng = np.random.default_rng(seed)
    found: list[list[int]] = []
    stack = labels if labels.ndim == 3 else labels[None]
    for plane in planes:
        for number in (0, 1):
            made = 0
            while made < count:
                y, x = (int(rng.integers(0, length - side)) for length in stack.shape[1:])
                if (stack[plane - 1, y : y + side, x : x + side] == number).mean() > 0.9:
                    found.append([number, plane, x, y, side, side])
                    made += 1
    return found


def run_peer(cases: list[dict[str, Any]], work: Path) -> None:
    """Real TWS on all cases, in a process of its own."""
    (work / "job.json").write_text(json.dumps(cases), encoding="utf-8")
    script = Path(__file__).with_name("tws_parity_peer.py")
    done = subprocess.run(
        [sys.executable, str(script), str(work / "job.json")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr)


def differences(ours: np.ndarray, theirs: np.ndarray, name: str) -> tuple[float, float, float]:
    """Largest difference inside and at the border, and the mean one, over the feature's range; (..., Y, X)."""
    gap = np.abs(ours.astype(np.float64) - theirs)
    span = float(np.ptp(theirs)) or max(float(np.abs(theirs).max()), 1.0)
    if "Orientation" in name:
        gap, span = np.minimum(gap % np.pi, np.pi - gap % np.pi), np.pi
    gap /= span
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    border = gap.copy()
    border[inner] = 0
    return float(gap[inner].max(initial=0)), float(border.max(initial=0)), float(gap.mean())


def add_features(table: Table, what: str, names: list[str], ours: np.ndarray, theirs: np.ndarray, seconds: Any) -> None:
    """One row a kind of features."""
    found = [differences(one, other, name) for one, other, name in zip(ours, theirs, names, strict=True)]
    inside, border, mean = (float(np.max(column)) for column in zip(*found, strict=True))
    good = inside <= INSIDE and border <= AT_BORDER
    table.add(what, len(names), inside, border, mean, *seconds, met(good))


def own_labels(model: Path, image: Path) -> tuple[np.ndarray, float]:
    """Labels by fijibridge, from 0, and the CPU seconds that they took; a first run compiles."""
    segmenter = fb.load_segmenter(model, n_threads=1)
    if segmenter.extractor_.needs_stack:
        out = model.with_name(f"{model.name}.tif")
        began = time.process_time()
        fb.segment_volume(model, image, out, probabilities=False, threads=1)
        return tifffile.imread(out) - 1, time.process_time() - began
    read = fb.read_image(image)
    began = time.process_time()
    return segmenter.predict(read)[None] - 1, time.process_time() - began


def simulated(size: int, work: Path) -> tuple[Path, list[list[int]]]:
    """An 8-bit image, and rectangles of two classes on it."""
    image, truth = demo_image(size)[:2]
    file = work / "grey8.tif"
    tifffile.imwrite(file, (image.grey / image.grey.max() * 255).astype(np.uint8))
    return file, strokes((truth.data > 1).astype(np.uint8), [1])


def part_2d(results: Results, size: int, work: Path, *, colour: bool = False) -> None:
    """Each filter alone, all together, further ranges of sigmas: features and labels."""
    file, drawn = simulated(size, work)
    data = tifffile.imread(file)
    files = {8: file, 16: work / "grey16.tif"}
    if colour:
        colours = np.stack([data, np.roll(data, 3, 1), 255 - data // 2], -1)
        tifffile.imwrite(file, colours, photometric="rgb")
    else:
        tifffile.imwrite(files[16], data.astype(np.uint16) * 193 + 1000)
    cases = [case(f"{name}", files[8], work, [name], strokes=drawn) for name in FILTERS]
    cases.append(case("default filters", files[8], work, list(DEFAULT_FILTERS), strokes=drawn))
    for low, high in RANGES[: 1 if colour else None]:
        limits = {"min_sigma": low, "max_sigma": high, "strokes": drawn}
        chosen = [name for name in FILTERS if name != "Neighbors" or low >= 1]  # TWS's own would never end
        cases.append(case(f"all filters, sigmas {low:g} to {high:g}", files[8], work, chosen, **limits))
    if not colour:
        cases.append(case("all filters, 16 bit", files[16], work, list(FILTERS), strokes=drawn))
    compare(results, "rgb" if colour else "2d", cases, work)


def part_classifiers(results: Results, size: int, work: Path) -> None:
    """Other classifiers than FastRandomForest, on the default features."""
    file, drawn = simulated(size, work)
    cases = [
        case(name.rpartition(".")[2], file, work, list(DEFAULT_FILTERS), strokes=drawn, classifier=name)
        for name in CLASSIFIERS
    ]
    run_peer(cases, work)
    add_labels(results, "classifiers", "with other classifiers, on the default features", cases, 100.0)


def compare(results: Results, key: str, cases: list[dict[str, Any]], work: Path) -> None:
    """Run both, and fill two tables."""
    run_peer(cases, work)
    title = {"2d": "grey slices", "rgb": "an RGB image", "3d": "volumes"}[key]
    features = results.table(
        f"{key}_features",
        f"TWS's features of {title}: difference from real TWS 4.0; goals {INSIDE:g}, at the border {AT_BORDER:g}",
        {"filters": "", "features": "d", "largest inside": ".1e", "at the border": ".1e", "largest mean": ".1e",
         "CPU s, TWS": ".2f", "CPU s, fijibridge": ".2f", "goal": ""},
    )  # fmt: skip
    for one in cases:
        out = Path(one["out"])
        said = json.loads(out.with_name(f"{out.name}.said.json").read_text(encoding="utf-8"))
        theirs = np.load(out.with_name(f"{out.name}.features.npy"))
        ours, seconds = own_features(one, said["names"], colour=key == "rgb")
        add_features(features, one["name"], said["names"], ours, theirs, (said["cpu_features"], seconds))
    add_labels(results, f"{key}_labels", f"on {title}", cases, SAME_LABELS)


def add_labels(results: Results, key: str, what: str, cases: list[dict[str, Any]], goal: float) -> None:
    """One row a model: how many labels are TWS's own."""
    table = results.table(
        key,
        f"Models that real TWS 4.0 trained {what}: labels equal to its own, goal {goal:g} %",
        {"model": "", "labels equal, %": ".3f", "CPU s, TWS": ".2f", "CPU s, fijibridge": ".2f", "goal": ""},
    )
    for one in cases:
        out = Path(one["out"])
        said = json.loads(out.with_name(f"{out.name}.said.json").read_text(encoding="utf-8"))
        labels = np.load(out.with_name(f"{out.name}.labels.npy"))
        found, spent = own_labels(out.with_name(f"{out.name}.model"), Path(one["image"]))
        equal = 100 * float((found == labels).mean())
        table.add(one["name"], equal, said["cpu_applying"], spent, met(equal >= goal))


def own_features(one: dict[str, Any], names: list[str], *, colour: bool) -> tuple[np.ndarray, float]:
    """Fijibridge's features in TWS's order, (F, ..., Y, X), and CPU seconds of one thread, compiled before."""
    limits = {"min_sigma": one["min_sigma"], "max_sigma": one["max_sigma"]}
    data = tifffile.imread(one["image"])
    if one["dimensions"] == "3d":
        from fijibridge.features.tws3d.bank import feature_names_3d
        from fijibridge.features.tws3d.block import tws3d_features
        from fijibridge.features.tws3d.settings import Tws3dSettings

        in_3d = Tws3dSettings(filters=tuple(one["filters"]), **limits)
        voxel = (one["depth"], 1.0, 1.0)
        tws3d_features(data[:4, :20, :20], settings=in_3d, voxel_size=voxel)
        began = time.process_time()
        made = tws3d_features(data, settings=in_3d, voxel_size=voxel)
        spent, own = time.process_time() - began, feature_names_3d(in_3d)
    else:
        settings = TwsSettings(filters=tuple(one["filters"]), colour=colour, **limits)
        extractor = fb.FeatureExtractor(settings)
        extractor.transform(image_from_array(data[:40, :40])).block()
        began = time.process_time()
        stack = extractor.transform(image_from_array(data))
        made = stack.block()
        spent, own = time.process_time() - began, stack.names
    places = [own.index(name) for name in names]
    return np.moveaxis(made, -1, 0)[places], spent


def part_3d(results: Results, shape: tuple[int, int, int], work: Path) -> None:
    """Volumes, with cubic and with flat voxels."""
    from fijibridge.features.tws3d.bank import FILTERS_3D
    from fijibridge.features.tws3d.settings import Tws3dSettings

    rng = np.random.default_rng(7)
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.normal(size=shape), 3)
    truth = (field > np.median(field)).astype(np.uint8)
    data = np.clip(70 + 90 * truth + rng.normal(0, 18, shape), 0, 255).astype(np.uint8)
    planes = [shape[0] // 3, 2 * shape[0] // 3]
    cases = []
    for depth in (1.0, 2.5):
        file = work / f"volume_{depth:g}.tif"
        tifffile.imwrite(
            file, data, imagej=True, resolution=(1, 1), metadata={"axes": "ZYX", "spacing": depth, "unit": "micron"}
        )
        sets = [[name] for name in FILTERS_3D] if depth == 1 else []
        sets += [list(Tws3dSettings().filters), list(FILTERS_3D)]
        for chosen in sets:
            what = chosen[0] if len(chosen) == 1 else "all filters" if len(chosen) > 2 else "default filters"
            name = f"{what}, slices {depth:g} pixels apart"
            more = {"dimensions": "3d", "max_sigma": 4.0 if len(chosen) > 2 else 8.0, "depth": depth}
            cases.append(case(name, file, work, chosen, strokes=strokes(truth, planes, count=5), **more))
    compare(results, "3d", cases, work)


def part_speed(results: Results, size: int, work: Path) -> None:
    """CPU seconds a megapixel: TWS's default filters, all of them, each alone, and its default model."""
    from fijibridge.features.tws.bank import feature_names

    image, truth = demo_image(size)[:2]
    grey = (image.grey / image.grey.max() * 255).astype(np.uint8)
    file = work / "speed.tif"
    tifffile.imwrite(file, grey)
    chosen = {"default": list(DEFAULT_FILTERS), "all": list(FILTERS)}
    drawn = strokes((truth.data > 1).astype(np.uint8), [1])
    cases = [case(f"speed {name}", file, work, filters, strokes=drawn) for name, filters in chosen.items()]
    run_peer(cases, work)
    table = results.table(
        "speed",
        f"CPU seconds a megapixel of TWS's features, {size} x {size}, 8 bit; goals: default 1.0, all a tenth of TWS's",
        {"filters": "", "features": "d", "CPU s/Mpx, TWS": ".2f", "CPU s/Mpx, fijibridge": ".2f", "times less": ".1f",
         "goal": ""},
    )  # fmt: skip
    for one, (name, filters) in zip(cases, chosen.items(), strict=True):
        said = json.loads(Path(one["out"] + ".said.json").read_text(encoding="utf-8"))
        settings = TwsSettings(filters=tuple(filters))
        tws_features(grey, settings=settings)  # compiles
        began = time.process_time()
        tws_features(grey, settings=settings)
        spent = (time.process_time() - began) / (grey.size / 1e6)
        theirs = said["cpu_features"] / (grey.size / 1e6)
        good = spent <= 1.0 if name == "default" else theirs / spent >= 10
        table.add(name, len(feature_names(settings)), theirs, spent, theirs / spent, met(good))
    part_forest(results, cases[0])
    by_filter = results.table(
        "by_filter", "CPU seconds a megapixel of each filter, sigmas 1 to 16", {"filter": "", "CPU s/Mpx": ".2f"}
    )
    for name in FILTERS:
        settings = TwsSettings(filters=(name,))
        tws_features(grey, settings=settings)  # compiles
        began = time.process_time()
        tws_features(grey, settings=settings)
        by_filter.add(name, (time.process_time() - began) / (grey.size / 1e6))


def part_forest(results: Results, one: dict[str, Any]) -> None:
    """CPU seconds a megapixel of applying TWS's own default model: 200 trees on its 76 features."""
    out = Path(one["out"])
    said = json.loads(out.with_name(f"{out.name}.said.json").read_text(encoding="utf-8"))
    pixels = tifffile.imread(one["image"]).size / 1e6
    own_labels(Path(f"{out}.model"), Path(one["image"]))  # compiles
    labels, spent = own_labels(Path(f"{out}.model"), Path(one["image"]))
    equal = 100 * float((labels == np.load(f"{out}.labels.npy")).mean())
    table = results.table(
        "forest",
        "CPU seconds a megapixel of TWS's default model, features and 200 trees, 8 bit; goal 1.5",
        {"CPU s/Mpx, TWS": ".2f", "CPU s/Mpx, fijibridge": ".2f", "labels equal, %": ".3f", "goal": ""},
    )
    table.add(said["cpu_applying"] / pixels, spent / pixels, equal, met(spent / pixels <= 1.5))


# A process of its own, since its peak is asked for: blocks of an image, once what depends on all of it is there.
_BLOCKS = """
import sys
import numpy as np
import fijibridge as fb
from fijibridge.core.machine import peak_memory_mib
from fijibridge.features.tws.filter_registry import FILTERS
side = int(sys.argv[1])
noise = np.random.default_rng(0).normal(128, 30, (side, side)).clip(0, 255).astype(np.uint8)
stack = fb.FeatureExtractor(fb.TwsSettings(FILTERS.names)).transform(noise)
for place, block in zip(range(5), stack.blocks()):
    stack.block(*block)
print(peak_memory_mib())
"""


def part_memory(results: Results, size: int) -> None:
    """Peak memory of all filters on a large image; blocks after the fifth take no more."""
    done = subprocess.run([sys.executable, "-c", _BLOCKS, str(size)], capture_output=True, text=True, check=True)
    peak = float(done.stdout.split()[-1]) / 1024
    table = results.table(
        "memory",
        f"Peak memory of TWS's features, all filters, {size} x {size}, 8 bit, block by block; goal 2 GiB",
        {"peak, GiB": ".2f", "goal": ""},
    )
    table.add(peak, met(peak <= 2))


PARTS = ("2d", "rgb", "3d", "classifiers", "speed", "memory")


def main() -> int:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--speed-size", type=int, default=1024, help="side of the image of the part speed")
    parser.add_argument("--memory-size", type=int, default=4096, help="side of the image of the part memory")
    parser.add_argument("--volume", default="24,64,64", help="planes, rows, columns")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add_json(parser)
    options = parser.parse_args()
    if "FIJIBRIDGE_TWS_CLASSPATH" not in os.environ:
        sys.exit("set FIJIBRIDGE_TWS_CLASSPATH to the class path of a Trainable Weka Segmentation 4.0")
    results = Results("tws_parity", options.json)
    for part in options.parts:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            if part == "3d":
                planes, rows, columns = map(int, options.volume.split(","))
                part_3d(results, (planes, rows, columns), work)
            elif part == "speed":
                part_speed(results, options.speed_size, work)
            elif part == "memory":
                part_memory(results, options.memory_size)
            elif part == "classifiers":
                part_classifiers(results, options.size, work)
            else:
                part_2d(results, options.size, work, colour=part == "rgb")
    return 0


if __name__ == "__main__":
    sys.exit(main())
