"""The segmenting network on a hard test set, beside a threshold and the forest of sparse labels.

    python benchmarks/network.py --work DIR [--part data train score detectors real] [--pairs 640] [--minutes 100]
    python benchmarks/network.py --work DIR --part stacks [--stacks 128] [--minutes 100] [--slices 1 3]

Training draws from the preset "generic": CAM diameter 2 to 8 um, CAM fraction 0.35 to 0.55, porosity 0.03 to 0.15,
SNR 6 to 20 dB, curtaining 0 to 0.1, misregistration 0 to 2 px. The test set draws what lies outside: CAM diameter 1 to
2 and 8 to 12 um, CAM fraction 0.25 to 0.35 and 0.55 to 0.65, porosity 0.15 to 0.25, SNR 3 to 6 dB, curtaining 0.1 to
0.2, misregistration 2 to 4 px; other seeds. Everything is chosen on training and validation images. DIR keeps data and
network, so that a part can be run again. --minutes are CPU minutes, of all cores together.

The part stacks asks whether a network gains from neighbouring slices: training and test set as before, but as stacks of
5 sections 2 pixels (0.1 um) apart, with jitter and drift. A network of each number of slices is trained on the same
stacks for the same CPU minutes; the middle slice of each of the 24 test stacks counts.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from machine import data_folder
from results import Results, add_json
from scipy import ndimage
from skimage.filters import threshold_multiotsu

import fijibridge as fb
from fijibridge.features.stack import FeatureStack
from fijibridge.images.image import Image
from fijibridge.images.registration import moved_back, registered
from fijibridge.labels.labels import Labels
from fijibridge.network.data import ShardedImages, open_dataset
from fijibridge.network.file import load_network
from fijibridge.network.images import surrounded
from fijibridge.network.network import Network
from fijibridge.network.settings import NetworkSettings
from fijibridge.network.training import train_network
from fijibridge.synthesis.config import SimulationConfig, load_preset
from fijibridge.synthesis.dataset import write_dataset
from fijibridge.synthesis.strokes import strokes_of

NAMES = ("ISE", "CAM", "pore")
GOALS = {"pore": 0.60, "CAM": 0.90, "ISE": 0.90, "mean": 0.80}
STACK_GOALS = {"pore": 0.80, "CAM": 0.93, "ISE": 0.90}
SECTIONS, SPACING = 5, 2  # of a stack, pixels
QUICK = {"width": 16, "crop": 192, "batch": 4, "checks": 4, "validation_images": 8}  # for a few CPU minutes
OTHERS = 3  # images that the forest and the threshold learn from
TREES = 200


def hard_configs() -> list[SimulationConfig]:
    """Small and large particles, few and many of them."""
    base = load_preset("generic")
    imaging = {"snr": [3, 6], "curtaining": [0.1, 0.2], "misregistration": [2.0, 4.0]}
    return [
        replace(
            base.with_ranges(
                structure={"cam_diameter": size, "cam_fraction": share, "porosity": [0.15, 0.25]}, imaging=imaging
            ),
            sections=1,
        )
        for size in ([1.0, 2.0], [8.0, 12.0])
        for share in ([0.25, 0.35], [0.55, 0.65])
    ]


def data(work: Path, arguments: argparse.Namespace, _: Results) -> None:
    """Training and test set; what is there of them is kept."""
    started = time.perf_counter()
    jobs = [(work / "train", load_preset("generic"), arguments.pairs, 1000)]
    jobs += [(work / f"test-{number}", config, 6, 9000 + number) for number, config in enumerate(hard_configs())]
    for folder, config, count, seed in jobs:
        write_dataset(config, out=folder, count=count, seed=seed, resume=folder.exists())
    print(
        f"data: {arguments.pairs} pairs to train, 24 to test, {(time.perf_counter() - started) / 60:.1f} min",
        flush=True,
    )


def train(work: Path, arguments: argparse.Namespace, _: Results) -> None:
    """With the defaults, for the minutes."""
    settings = NetworkSettings(minutes=arguments.minutes, clock="cpu", threads=arguments.threads)
    cpu = time.process_time()
    network = train_network(work / "train", settings, out=work / "network", resume=(work / "network").exists())
    told = {key: value for key, value in network.training.items() if key in ("iou", "ece_before", "ece_after")}
    print(f"training: {(time.process_time() - cpu) / 60:.0f} CPU min, validation {told}", flush=True)


def test_images(work: Path) -> list[tuple[ShardedImages, int]]:
    found = []
    for number in range(len(hard_configs())):
        images = open_dataset(work / f"test-{number}")
        found += [(images, index) for index in range(len(images))]
    return found


class Score:
    """Intersection over union, pixels of all images taken together."""

    def __init__(self) -> None:
        self.table = np.zeros((len(NAMES), len(NAMES)))

    def add(self, labels: np.ndarray, truth: np.ndarray) -> None:
        """Both 1, 2, 3."""
        flat = len(NAMES) * (truth.ravel().astype(int) - 1) + labels.ravel().astype(int) - 1
        self.table += np.bincount(flat, minlength=len(NAMES) ** 2).reshape(self.table.shape)

    def row(self) -> dict[str, float]:
        hit = np.diag(self.table)
        iou = hit / (self.table.sum(0) + self.table.sum(1) - hit)
        return {**dict(zip(NAMES, iou, strict=True)), "mean": float(iou.mean())}


def of_network(network: Network, images: ShardedImages, index: int, detectors: tuple[str, ...]) -> np.ndarray:
    planes, _ = registered({name: np.asarray(images.grey(index, name)) for name in detectors}, "BSE")
    return predicted(network, planes)


def predicted(network: Network, planes: dict[str, np.ndarray]) -> np.ndarray:
    """Values of `NAMES`, from 1."""
    order = np.array([NAMES.index(name) + 1 for name in network.class_names])
    return order[network.predict(planes, flips=True).argmax(0)]


class Threshold:
    """Three grey levels of the smoothed BSE image; how much it is smoothed is chosen on training images."""

    def __init__(self, work: Path) -> None:
        images = open_dataset(work / "train")
        scores = {}
        for sigma in (0.0, 1.0, 2.0, 3.0):
            score = Score()
            for index in range(OTHERS):
                score.add(self.labels(images.grey(index, "BSE"), sigma), images.labels(index))
            scores[sigma] = score.row()["mean"]
        self.sigma = max(scores, key=scores.get)

    def labels(self, bse: np.ndarray, sigma: float | None = None) -> np.ndarray:
        grey = ndimage.gaussian_filter(bse.astype(np.float32), self.sigma if sigma is None else sigma)
        level = np.digitize(grey, threshold_multiotsu(grey, 3))
        return np.array([3, 1, 2])[level]  # pores are darkest, CAM brightest


class SparseForest:
    """The forest of the main job, on the features of both images: strokes on three training images."""

    def __init__(self, work: Path) -> None:
        images = open_dataset(work / "train")
        vit = fb.VitSettings(blocks=(6,), coarse_blocks=(), upsampler="bilinear")
        self.maker = fb.PixelSegmenter((fb.TwsSettings(), vit), head="none", n_trees=TREES, seed=0)
        stacks, labels = [], []
        each = len(images) // OTHERS
        for index in range(0, OTHERS * each, each):  # of three structures
            stacks.append(self.stack(images, index))
            labels.append(Labels(strokes_of(images.labels(index), np.random.default_rng(index)), NAMES))
        self.forest = fb.PixelSegmenter("tws", head="none", n_trees=TREES, seed=0).fit(stacks, labels)

    def stack(self, images: ShardedImages, index: int) -> FeatureStack:
        arrays, names = [], []
        planes, _ = registered({name: np.array(images.grey(index, name)) for name in ("BSE", "SE")}, "BSE")
        for detector, plane in planes.items():
            stack = self.maker.extract(Image(np.ascontiguousarray(plane), f"{detector} {index}"))
            arrays.append(np.asarray(stack))
            names += [f"{detector}_{name}" for name in stack.names]
        return FeatureStack.from_array(np.concatenate(arrays, axis=2), names)

    def labels(self, images: ShardedImages, index: int) -> np.ndarray:
        return self.forest.predict(self.stack(images, index))


def add_rows(results: Results, key: str, title: str, rows: dict[str, Score], cpu: dict[str, float]) -> None:
    """A table of scores."""
    columns = {"method": "", **dict.fromkeys(GOALS, ".3f"), "CPU s an image": ".1f"}
    table = results.table(key, title, columns)
    for name, score in rows.items():
        found = score.row()
        table.add(name, *(found[each] for each in GOALS), cpu.get(name))
    table.add("goal", *GOALS.values(), None)


def score(work: Path, arguments: argparse.Namespace, results: Results) -> None:
    """The issue's table."""
    network = load_network(work / "network")
    threshold = Threshold(work)
    rows = {name: Score() for name in ("network, SE + BSE", "multi-Otsu of BSE", "forest, sparse labels of 3 images")}
    forest = None if arguments.no_forest else SparseForest(work)
    cpu = {name: 0.0 for name in rows}
    for images, index in test_images(work):
        truth = images.labels(index)
        makers = [
            lambda images=images, index=index: of_network(network, images, index, ("SE", "BSE")),
            lambda images=images, index=index: threshold.labels(images.grey(index, "BSE")),
        ] + ([lambda images=images, index=index: forest.labels(images, index)] if forest else [])
        for name, make in zip(rows, makers, strict=False):
            started = time.process_time()
            rows[name].add(make(), truth)
            cpu[name] += time.process_time() - started
    rows = {name: each for name, each in rows.items() if each.table.any()}
    title = "Intersection over union on the hard test set: 24 pairs of a harder material than the training's"
    add_rows(results, "hard", title, rows, {name: seconds / 24 for name, seconds in cpu.items()})
    means = [each.row()["mean"] for each in rows.values()]
    for (name, least), other in zip((("multi-Otsu", 0.10), ("forest", 0.03)), means[1:], strict=False):
        print(f"above {name}: {means[0] - other:.3f} (goal >= {least})", flush=True)


def detectors(work: Path, _: argparse.Namespace, results: Results) -> None:
    """One detector against two, on the hard test set and on validation structures of the training."""
    network = load_network(work / "network")
    rows = {name: Score() for name in ("SE + BSE", "SE", "BSE")}
    for images, index in test_images(work):
        for name, each in rows.items():
            each.add(of_network(network, images, index, tuple(name.split(" + "))), images.labels(index))
    add_rows(results, "detectors", "One network with two detectors and with one: the hard test set", rows, {})
    means = {name: each.row()["mean"] for name, each in rows.items()}
    print(
        f"both above the better one: {means['SE + BSE'] - max(means['SE'], means['BSE']):.3f} (goal >= 0.03)",
        flush=True,
    )


def real(work: Path, arguments: argparse.Namespace, results: Results) -> None:
    """Real BSE images of another material, its classes by their order of brightness: the nearest that there is."""
    network = load_network(work / "network")
    folder = (arguments.data or data_folder()) / "coating"
    columns = {"image": "", "background as CAM": ".3f", "oxide as ISE": ".3f", "cracks as pore": ".3f", "mean": ".3f"}
    title = "The network on real BSE images of another material, its classes by order of brightness"
    table = results.table("real", title, columns)
    for path in sorted(folder.glob("coating_?.png")):
        truth = iio.imread(folder / f"{path.stem}_truth.png")
        grey = fb.read_image(path).grey
        for scale in (1.0, 0.5):
            seen = ndimage.zoom(grey, scale, order=1) if scale != 1 else grey
            found = network.predict({"BSE": seen}, flips=True)
            labels = np.array([("CAM", "ISE", "pore").index(name) for name in network.class_names])[found.argmax(0)]
            labels = ndimage.zoom(labels, 1 / scale, order=0) if scale != 1 else labels
            iou = [((labels == k) & (truth == k)).sum() / ((labels == k) | (truth == k)).sum() for k in range(3)]
            table.add(f"{path.stem}, at {scale:g} x", *iou, np.mean(iou))


def as_stacks(config: SimulationConfig) -> SimulationConfig:
    stage = {"slice_jitter": [0.0, 1.0], "slice_drift": [0.0, 0.1], "flicker": [0.0, 0.03]}
    return replace(config.with_ranges(imaging=stage), sections=SECTIONS, spacing=SPACING)


def stacks(work: Path, arguments: argparse.Namespace, results: Results) -> None:
    """Networks of one and of several slices, after the same training; and one of several given single images."""
    train_on, tests = work / "stacks-train", [work / f"stacks-test-{number}" for number in range(len(hard_configs()))]
    jobs = [(train_on, load_preset("generic"), arguments.stacks, 3000)]
    jobs += [(tests[number], config, 6, 9100 + number) for number, config in enumerate(hard_configs())]
    for folder, config, count, seed in jobs:
        write_dataset(as_stacks(config), out=folder, count=count * SECTIONS, seed=seed, resume=folder.exists())
    columns = {"network": "", **dict.fromkeys(GOALS, ".3f"), "validation mean": ".3f", "CPU min": ".1f", "steps": "d"}
    title = f"Neighbouring slices: the hard test set as 24 stacks, training on {arguments.stacks} stacks"
    if arguments.quick:
        title += "; --quick: width 16, crops of 192 px, batches of 4"
    table = results.table("stacks", title, columns)
    for slices in arguments.slices:
        out = work / f"stacks-network-{slices}"
        settings = NetworkSettings(minutes=arguments.minutes, clock="cpu", threads=arguments.threads, slices=slices)
        if arguments.quick:
            settings = replace(settings, **QUICK)
        network = train_network(train_on, settings, out=out, resume=out.exists())
        about = network.training
        found = {key: Score() for key in (slices, 1)}
        for folder in tests:
            images = open_dataset(folder)
            for index in range(SECTIONS // 2, len(images), SECTIONS):
                for seen, score in found.items():
                    planes = {name: surrounded(images, index, name, seen) for name in ("SE", "BSE")}
                    score.add(predicted(network, moved_stacks(planes)), images.labels(index))
        spent = (about["seconds"] / 60, about["steps"])
        for seen, score in found.items():
            validated = about["iou"] if seen == slices else about["iou_of_single_images"]
            name = f"{slices} slice{'s' * (slices > 1)}" + ("" if seen == slices else ", given single images")
            table.add(name, *(score.row()[each] for each in GOALS), validated["mean"], *spent)
    table.add("goal", *(STACK_GOALS.get(each) for each in GOALS), None, None, None)


def moved_stacks(planes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """SE moved onto BSE, all slices as the middle one."""
    middle = {name: plane if plane.ndim == 2 else plane[len(plane) // 2] for name, plane in planes.items()}
    moved, shifts = registered(middle, "BSE")
    for name, shift in shifts.items():
        if shift is not None and planes[name].ndim == 3:
            moved[name] = np.stack([moved_back(plane, shift) for plane in planes[name]])
    return {name: planes[name] if planes[name].ndim == 3 and not shifts.get(name) else moved[name] for name in planes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"data": data, "train": train, "score": score, "detectors": detectors, "real": real}
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", nargs="+", choices=[*parts, "stacks"], default=list(parts))
    parser.add_argument("--pairs", type=int, default=640)
    parser.add_argument("--minutes", type=float, default=100.0)
    parser.add_argument("--stacks", type=int, default=128, help="stacks that the part stacks trains on")
    parser.add_argument("--quick", action="store_true", help="the part stacks with a smaller network and smaller crops")
    parser.add_argument("--slices", type=int, nargs="+", choices=(1, 3, 5), default=[1, 3])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the training; 0: all cores")
    parser.add_argument("--no-forest", action="store_true", help="leave the slow forest out")
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    results = Results("network", arguments.json)
    for part in arguments.part:
        {**parts, "stacks": stacks}[part](arguments.work, arguments, results)


if __name__ == "__main__":
    main()
