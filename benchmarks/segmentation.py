"""Mean IoU on real micrographs: sparse labels train, whole images are scored.

    python benchmarks/segmentation.py [--part own transfer third few] [--presets fast default best]
        [--features tws,vit tws,vit,conv] [--head linear none] [--debiasing preset none mean]
        [--engines sklearn weka] [--seeds 3] [--data DIR]

own: each image's labels train, the image is scored; of rare classes, cracks among them, recall and precision are told,
too. transfer: two images train, the others of their set are scored.
third: labels of one third of the image alone (every third that has all classes). few: a tenth of the strokes.
Defaults were chosen on the tuning images (superalloy/spot1_*, coating_0) alone; the others are reported apart. The peer
is TWS 4.0 with its defaults on the same labels (figures of the data's README).
"""

from __future__ import annotations

import argparse
import time
from itertools import combinations, product
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from machine import data_folder
from results import Results, Table, add_json
from scipy import ndimage

import fijibridge as fb
from fijibridge.features.presets import PRESETS
from fijibridge.features.settings import sources_in
from fijibridge.features.stack import FeatureStack
from fijibridge.features.vit.encoder import token_cache
from fijibridge.features.vit.probe import positional_probe

SETS = ("superalloy", "coating", "interactive")
TWS = {"superalloy": 0.637, "coating": 0.598, "interactive": 0.752}
GOALS = {
    "default": {"superalloy": 0.895, "coating": 0.80, "interactive": 0.82},
    "best": {"superalloy": 0.91, "coating": 0.82, "interactive": 0.84},
}
HARDER_GOALS = {"third": 0.62, "transfer": 0.70, "few": 0.40}  # of coating; the others: near their own labels
COST = {"fast": 6, "default": 15}  # CPU s a megapixel
RARE = 0.02  # share of an image's pixels below which a class is rare


def is_tuning(path: Path) -> bool:
    return path.stem.startswith("spot1_") or path.stem == "coating_0"


def mean_iou(labels: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the classes of the truth; labels are class + 1."""
    scores = []
    for k in np.unique(truth):
        found, true = labels == k + 1, truth == k
        scores.append((found & true).sum() / (found | true).sum())
    return float(np.mean(scores))


def rare_scores(labels: np.ndarray, truth: np.ndarray) -> dict[int, tuple[float, float, float]]:
    """IoU, recall and precision of each rare class, by its label."""
    scores = {}
    for k, share in enumerate(np.bincount(truth.ravel()) / truth.size):
        if 0 < share < RARE:
            found, true = labels == k + 1, truth == k
            hit = np.count_nonzero(found & true)
            scores[k + 1] = hit / np.count_nonzero(found | true), hit / true.sum(), hit / max(1, found.sum())
    return scores


def images(data: Path) -> list[Path]:
    return [
        p for name in SETS for p in sorted((data / name).glob("*.png")) if not p.stem.endswith(("_labels", "_truth"))
    ]


class Micrograph:
    """An image with labels, truth and features."""

    def __init__(self, path: Path, maker: fb.PixelSegmenter) -> None:
        self.path = path
        image = fb.read_image(path)
        self.labels = fb.read_labels(path.with_name(f"{path.stem}_labels.png"), shape=image.shape).data
        self.truth = iio.imread(path.with_name(f"{path.stem}_truth.png"))
        token_cache.clear()
        cpu = time.process_time()
        self.stack: FeatureStack = maker.extract(image)
        self.cost = (time.process_time() - cpu) / self.truth.size * 1e6
        blocks = []
        for part in self.stack.parts:
            if (found := part.grid_tokens()) is not None:
                blocks += np.split(found, len(set(part.groups)), axis=2)
        self.probe = [positional_probe(tokens, split="random") for tokens in blocks]
        self.seen_probe: tuple[float, float] | None = None

    def probe_seen(self, segmenter: fb.PixelSegmenter) -> None:
        """R^2 of what the forest sees, and of TWS's features among it, at means over 7 x 7 pixels, a patch at 2 x."""
        seen = np.asarray(segmenter.extractor_.with_linear_head(self.stack))
        rows, cols = (length // 7 for length in seen.shape[:2])
        cells = seen[: rows * 7, : cols * 7].reshape(rows, 7, cols, 7, -1).mean((1, 3))
        self.seen_probe = tuple(positional_probe(part, split="random") for part in (cells, cells[..., :76]))

    def strokes(self) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Number of each stroke, and the numbers of each class."""
        numbers, of_class, most = np.zeros(self.labels.shape, int), {}, 0
        for value in np.unique(self.labels[self.labels > 0]):
            own, count = ndimage.label(self.labels == value, np.ones((3, 3)))
            numbers[own > 0] = own[own > 0] + most
            of_class[int(value)] = np.arange(most + 1, most + count + 1)
            most += count
        return numbers, of_class

    def few(self, seed: int) -> np.ndarray:
        """A tenth of the strokes of each class, one at least."""
        numbers, of_class = self.strokes()
        rng = np.random.default_rng(seed)
        kept = [rng.choice(own, max(1, round(len(own) / 10)), replace=False) for own in of_class.values()]
        return np.where(np.isin(numbers, np.concatenate(kept)), self.labels, 0).astype(np.uint8)

    def thirds(self) -> list[np.ndarray]:
        """The labels of each third, left to right and top to bottom, that has all classes."""
        found = []
        for axis, third in product((0, 1), range(3)):
            place = np.arange(self.labels.shape[axis]) * 3 // self.labels.shape[axis] == third
            part = np.where(np.expand_dims(place, 1 - axis), self.labels, 0).astype(np.uint8)
            if len(np.unique(part)) == len(np.unique(self.labels)):
                found.append(part)
        return found


class Trial:
    """One way of segmenting, on images whose features are there."""

    def __init__(self, maker: dict, seeds: int) -> None:
        self.maker, self.seeds = maker, seeds
        self.rare: dict[tuple[str, int], list[tuple[float, ...]]] = {}  # of an image's class: IoU, recall, precision

    def predicted(
        self, train: list[tuple[FeatureStack, np.ndarray]], tests: list[Micrograph], seed: int
    ) -> list[np.ndarray]:
        stacks, labels = zip(*train, strict=True)
        segmenter = fb.PixelSegmenter(seed=seed, **self.maker).fit(list(stacks), list(labels))
        # without a head it sees all channels, whose probe is there, and which would take gigabytes
        if segmenter.head == "linear" and tests[0].stack in stacks and tests[0].seen_probe is None:
            tests[0].probe_seen(segmenter)
        return [segmenter.predict(test.stack) for test in tests]

    def score(self, train: list[tuple[FeatureStack, np.ndarray]], tests: list[Micrograph], seed: int) -> list[float]:
        labels = self.predicted(train, tests, seed)
        return [mean_iou(found, test.truth) for found, test in zip(labels, tests, strict=True)]

    def own(self, one: Micrograph, _: list[Micrograph]) -> list[float]:
        scores = []
        for seed in range(self.seeds):
            labels = self.predicted([(one.stack, one.labels)], [one], seed)[0]
            scores.append(mean_iou(labels, one.truth))
            for value, scored in rare_scores(labels, one.truth).items():
                self.rare.setdefault((one.path.stem, value), []).append(scored)
        return scores

    def few(self, one: Micrograph, _: list[Micrograph]) -> list[float]:
        return [self.score([(one.stack, one.few(seed))], [one], seed)[0] for seed in range(self.seeds)]

    def third(self, one: Micrograph, _: list[Micrograph]) -> list[float]:
        thirds = one.thirds()
        scores = [
            [self.score([(one.stack, third)], [one], seed)[0] for third in thirds[:3]] for seed in range(self.seeds)
        ]
        return np.mean(scores, axis=1).tolist() if thirds else []

    def transfer(self, one: Micrograph, others: list[Micrograph]) -> list[float]:
        """Mean over two pairs of other images of the set that train."""
        pairs = list(combinations([other for other in others if other is not one], 2))
        if not pairs:
            return []
        chosen = [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(2, len(pairs))).astype(int)]
        scores = [
            [self.score([(m.stack, m.labels) for m in pair], [one], seed)[0] for pair in chosen]
            for seed in range(self.seeds)
        ]
        return np.mean(scores, axis=1).tolist()


def row(table: Table, names: tuple[str, ...], found: dict[Path, list[float]], *last: str | float | None) -> None:
    """Mean over images and seeds, spread of the seeds, tuning images, others."""
    scores = {path: values for path, values in found.items() if values}
    if not scores:
        return
    values = np.array(list(scores.values()))
    tuning = np.array([is_tuning(path) for path in scores])
    parts = [values[chosen].mean() if chosen.any() else None for chosen in (tuning, ~tuning)]
    table.add(*names, values.mean(), values.mean(0).std(), *parts, *last)


def goal_of(part: str, preset: str, group: str, own: float | None) -> float | None:
    """Mean IoU to reach."""
    if part == "own":
        return GOALS.get(preset, {}).get(group)
    if group == "coating":
        return HARDER_GOALS[part]
    return None if part == "few" or own is None else own - {"third": 0.04, "transfer": 0.03}[part]


def measure(
    paths: list[Path], maker: dict, name: str, shown: tuple[str, ...], tables: dict[str, Table],
    arguments: argparse.Namespace,
) -> None:  # fmt: skip
    """All parts for one preset, one head and one engine."""
    costs, probes = [], []
    for group in SETS:
        own = [path for path in paths if path.parent.name == group]
        trial, shared = Trial(maker, arguments.seeds), fb.PixelSegmenter(**maker)
        micrographs = [Micrograph(path, shared) for path in own]
        costs += [one.cost for one in micrographs]
        probes += [one.probe for one in micrographs if one.probe]
        of_own: float | None = None
        for part in arguments.part:
            found = {one.path: getattr(trial, part)(one, micrographs) for one in micrographs}
            goal = None if arguments.tuning_only else goal_of(part, name, group, of_own)  # they are of all images
            if part == "own":
                of_own = float(np.mean([np.mean(v) for v in found.values()]))
                row(tables["own"], (*shown, group), found, goal, TWS[group])
                for path, values in found.items():
                    tables["images"].add(*shown, path.stem, "yes" if is_tuning(path) else "", np.mean(values))
            else:
                row(tables["harder"], (*shown, group, part), found, goal)
        for (stem, value), scored in trial.rare.items():
            tables["rare"].add(*shown, stem, str(value), *np.mean(scored, axis=0))
        if found := [one.seen_probe for one in micrographs if one.seen_probe]:
            tables["probe"].add(*shown, group, *np.mean(found, axis=0), "0.1")
    if probes:
        blocks = "; ".join(f"{value:.2f}" for value in np.mean(probes, axis=0))
        tables["blocks"].add(*shown, blocks)
    tables["cost"].add(*shown, np.median(costs), COST.get(name))


def begun(results: Results, seeds: int, varied: list[str]) -> dict[str, Table]:
    """The tables of a run; `varied` is what its rows differ by."""
    trial = dict.fromkeys(varied, "")
    scores = {"mean IoU": ".3f", "spread of seeds": ".3f", "tuning images": ".3f", "other images": ".3f", "goal": ".3f"}
    own = (
        f"Mean intersection over union: the sparse labels of each image train, the whole image is scored; {seeds} seeds"
    )
    rare = {"image": "", "class": "", "IoU": ".3f", "recall": ".3f", "precision": ".3f"}
    image = {"image": "", "tuning": "", "mean IoU": ".3f"}
    return {
        "own": results.table("own", own, {**trial, "data set": "", **scores, "TWS 4.0": ".3f"}),
        "images": results.table("images", "Mean intersection over union of each image", {**trial, **image}),
        "rare": results.table("rare", f"Classes of less than {RARE:.0%} of an image's pixels", {**trial, **rare}),
        "harder": results.table(
            "harder",
            f"Mean intersection over union with harder trainings, seeds: {seeds}. Labels of one third of the image, "
            "a tenth of the strokes (one of a class at least), labels of two other images",
            {**trial, "data set": "", "labels": "", **scores},
        ),
        "probe": results.table(
            "probe",
            "Positional probe, R², of what the forest sees (0: a linear probe cannot tell the place)",
            {**trial, "data set": "", "what the forest sees": ".2f", "TWS's features alone": ".2f", "goal": ""},
        ),
        "blocks": results.table(
            "blocks", "Positional probe, R², of the ViT's channels", {**trial, "each block and scale": ""}
        ),
        "cost": results.table(
            "cost",
            "CPU seconds of the ViT, and of a convolutional network, a megapixel of the image",
            {**trial, "CPU s/megapixel": ".1f", "goal": ""},
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--part", nargs="+", default=["own"], choices=["own", "transfer", "third", "few"])
    parser.add_argument("--presets", nargs="+", default=["default"], choices=list(PRESETS))
    parser.add_argument("--features", nargs="+", default=["tws,vit"], help="sources by name; the ViT is the preset's")
    parser.add_argument("--head", nargs="+", default=["linear"], choices=["linear", "none"])
    parser.add_argument("--engines", nargs="+", default=["sklearn"], choices=["sklearn", "weka"])
    parser.add_argument("--debiasing", nargs="+", default=["preset"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tuning-only", action="store_true")
    add_json(parser)
    arguments = parser.parse_args()
    data = arguments.data or data_folder()
    paths = [p for p in images(data) if is_tuning(p) or not arguments.tuning_only]
    ways = {
        "preset": arguments.presets, "features": arguments.features, "debiasing": arguments.debiasing,
        "head": arguments.head, "engine": arguments.engines,
    }  # fmt: skip
    varied = [way for way, values in ways.items() if len(values) > 1 or way == "preset"]
    tables = begun(Results("segmentation", arguments.json), arguments.seeds, varied)
    for trial in product(*ways.values()):
        name, features, debiasing, head, engine = trial
        shown = tuple(value for way, value in zip(ways, trial, strict=True) if way in varied)
        vit = fb.preset_settings(name, debiasing=None if debiasing == "preset" else debiasing)
        maker = {
            "features": tuple(vit if one.kind == "vit" else one for one in sources_in(features)),
            "head": head,
            "engine": engine,
        }
        measure(paths, maker, name, shown, tables, arguments)


if __name__ == "__main__":
    main()
