"""The cases of ``unchanged.py``: each operation on small inputs, in its variants.

An option that gets another name, another word for a value or a new default is told in the tables below, so that the
cases go on asking for the same.
"""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import roifile
import tifffile
from scipy import ndimage
from unchanged_digests import of_folder

from fijibridge.operations import operation
from fijibridge.synthesis.demo import demo_image

THREADS = 1
VIT = "vit_small_patch14_dinov2"
NAMES = "ISE,CAM,pore"

# --- what is renamed: operations, options and values as the cases say them -> as the code says them today ------------
# An operation "*" stands for all.
OPERATIONS: dict[str, str] = {}
OPTIONS: dict[tuple[str, str], str] = {}  # (operation, option) -> option
VALUES: dict[tuple[str, str, Any], Any] = {}  # (operation, option, value) -> value
ADDED: dict[str, dict[str, Any]] = {}  # operation -> options that now must be given for what was the default


def call(name: str, *inputs: Any, **options: Any) -> dict[str, Any]:
    """Run an operation of the catalogue, in today's words, with one thread where it takes a number."""
    function = operation(OPERATIONS.get(name, name))
    given = dict(ADDED.get(name, {}))
    for option, value in options.items():
        for where in (name, "*"):
            if (key := (where, option, value if isinstance(value, str | int | float) else None)) in VALUES:
                value = VALUES[key]
        given[OPTIONS.get((name, option), OPTIONS.get(("*", option), option))] = value
    threads = OPTIONS.get(("*", "threads"), "threads")
    if threads in inspect.signature(function).parameters:
        given.setdefault(threads, THREADS)
    return function(*inputs, **given)


# --- inputs ----------------------------------------------------------------------------------------------------------


class Skipped(Exception):
    """A case that cannot run here; its text says why."""


def write(path: Path, data: np.ndarray, nm: float = 50) -> Path:
    """An ImageJ TIFF with square pixels; a third axis in front is slices."""
    about = {"unit": "nm", "axes": "ZYX"[-data.ndim :], "spacing": nm}
    tifffile.imwrite(path, data, imagej=True, resolution=(1 / nm, 1 / nm), metadata=about)
    return path


def blobs(shape: tuple[int, ...], sigma: float = 3.0, seed: int = 0) -> np.ndarray:
    """Blobs of phase 2 (30 %), and 15 % of phase 0 in phase 1: blurred noise, cut at its quantiles."""
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal(shape), size, mode="wrap") for size in (sigma, sigma / 2)]
    cam = fields[0] > np.quantile(fields[0], 0.7)
    pore = ~cam & (fields[1] > np.quantile(fields[1][~cam], 1 - 0.15 / 0.7))
    return np.where(cam, 2, np.where(pore, 0, 1)).astype(np.uint8)


def means(mask: np.ndarray, factor: int = 4) -> np.ndarray:
    """Share of each coarse voxel."""
    z, y, x = (size // factor for size in mask.shape)
    return mask.reshape(z, factor, y, factor, x, factor).mean((1, 3, 5))


class Workshop:
    """A folder with the inputs, made when a case asks for them, and places for results."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._results, self._made = folder, 0, {}

    def out(self, suffix: str = "") -> Path:
        """A new place for a result."""
        self._results += 1
        return self.folder / f"result {self._results}{suffix}"

    def once(self, name: str, make: Callable[[Path], Any]) -> Path:
        """A file or folder that several cases use."""
        if name not in self._made:
            self._made[name] = self.folder / name
            try:
                make(self._made[name])
            except BaseException:
                del self._made[name]
                raise
        return self._made[name]

    def image(self, size: int = 256, rows: int = 0, detector: str = "BSE", seed: int = 0, shift: int = 0) -> Path:
        """A simulated micrograph, of which ``rows`` rows are kept (0: all), displaced by ``shift`` pixels."""

        def make(path: Path) -> None:
            data = demo_image(size, seed, detector=detector)[0].data
            write(path, np.roll(data, (shift, -shift), (0, 1))[: rows or size])

        return self.once(f"{detector} {size} {rows} {seed} {shift}.tif", make)

    def strokes(self, size: int = 256, seed: int = 0) -> Path:
        """Its sparse labels."""
        return self.once(f"strokes {size} {seed}.tif", lambda path: write(path, demo_image(size, seed)[1].data))

    def stack(self, detector: str = "BSE") -> Path:
        """Two slices of 96 x 112 pixels."""

        def make(path: Path) -> None:
            write(path, np.stack([demo_image(112, seed, detector=detector)[0].data[:96] for seed in (1, 2)]))

        return self.once(f"stack {detector}.tif", make)

    def rois(self, size: int = 128) -> Path:
        """Ellipses, polygons and squares on the phases, as ImageJ saves them."""

        def make(path: Path) -> None:
            truth = demo_image(size)[2]
            rois = []
            for value, name in enumerate(NAMES.split(","), start=1):
                inside = np.argwhere(truth[8:-8, 8:-8] == value) + 8
                for number, (y, x) in enumerate(inside[40::300][:6]):
                    kind = (roifile.ROI_TYPE.OVAL, roifile.ROI_TYPE.RECT)[number % 2]
                    box = {"left": int(x), "top": int(y), "right": int(x) + 6, "bottom": int(y) + 5}
                    rois.append(roifile.ImagejRoi(roitype=kind, name=f"{name}-{number}", **box))
                polygon = roifile.ImagejRoi.frompoints(inside[333][::-1] + np.array([[0, 0], [7, 1], [5, 6], [1, 4]]))
                polygon.name = f"{name}-9"
                rois.append(polygon)
            roifile.roiwrite(path, rois, mode="w")

        return self.once(f"rois {size}.zip", make)

    def classifier(self, kind: str) -> Path:
        """A saved classifier: fast, two detectors, weka."""
        given = {
            "fast": {"preset": "fast"},
            "detectors": {"features": "tws", "detectors": f"SE={self.image(128, detector='SE')}"},
            "weka": {"preset": "fast", "engine": "weka", "head": "none", "channels": 6},
            "tws": {"features": "tws", "engine": "weka"},
        }[kind]

        def make(place: Path) -> None:
            options = {"labels": self.strokes(128), "classes": NAMES, "trees": 10, "databar": "0", **given}
            call("segment", self.image(128), out=place, **options)

        return self.once(f"classifier {kind}", make) / "classifier"

    def dataset(self) -> Path:
        """Simulated pairs, enough for a network of a few steps."""

        def make(place: Path) -> None:
            call("simulate", material="generic", out=place, count=8, size=128, seed=3, workers=1)

        return self.once("dataset", make)

    def network(self) -> Path:
        """A network of a few steps."""
        options = {"steps": 4, "width": 4, "crop": 64, "batch": 2}
        return self.once("network", lambda place: call("train_network", self.dataset(), out=place, **options))

    def volume(self, size: int = 32) -> Path:
        """A labelled volume, not a cube."""
        return self.once(f"volume {size}.tif", lambda path: write(path, blobs((size - 8, size - 4, size))))

    def plane(self, number: int = 0) -> Path:
        """A labelled micrograph of 96 x 96 pixels."""
        return self.once(f"plane {number}.tif", lambda path: write(path, blobs((96, 96), seed=1 + number)))


# --- the table -------------------------------------------------------------------------------------------------------

Case = Callable[[Workshop], dict[str, str]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    """Put a case into the table."""

    def put(function: Case) -> Case:
        CASES[name] = function
        return function

    return put


def needs_java() -> None:
    """Skip without Java."""
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise Skipped("no Java")


def segmented(shop: Workshop, size: int, **options: Any) -> dict[str, str]:
    if options.get("engine") == "weka":
        needs_java()
    out = shop.out()
    given = {"labels": shop.strokes(size), "classes": NAMES, "trees": 20, "databar": "0"}
    if options.get("debiasing") in KEPT:
        call("segment", shop.image(size, seed=1), out=shop.out(), **{**given, **options})
    call("segment", shop.image(size), out=out, **{**given, **options})
    return of_folder(out)


# The directions that it takes away are in the memory's other order where they were just made, and sums round otherwise
# than with those that the cache keeps: another image comes first, so that the cache has them.
KEPT = ("distilled",)

SEGMENT: dict[str, tuple[int, dict[str, Any]]] = {
    "fast": (256, {"preset": "fast"}),
    "default": (256, {"preset": "default", "importance": True, "uncertainty": True}),
    "best": (256, {"preset": "best"}),
    "weka": (256, {"preset": "fast", "engine": "weka", "seed": 2}),
    "weka forest": (128, {"preset": "fast", "engine": "weka", "head": "none", "max_features": "log2"}),
    "forest": (256, {"preset": "fast", "head": "none", "importance": True}),
    "none": (256, {"features": "tws", "mode_filter": 2, "fill_holes": 50, "minimum_size": 30, "max_depth": 6}),
    "none weka": (128, {"features": "tws", "engine": "weka"}),
    "channels": (192, {"preset": "fast", "blocks": "6", "channels": 8}),
    "channels forest": (192, {"preset": "fast", "blocks": "6", "channels": 8, "head": "none"}),
    "coarse blocks": (128, {"preset": "default", "blocks": "4", "coarse_blocks": "8", "enlargement": 1.5}),
    "no classical": (128, {"preset": "fast", "features": "vit"}),
    "roi": (256, {"preset": "fast", "roi": "40,60,100,90", "mode_filter": 1}),
    "data bar": (128, {"preset": "fast", "databar": "20"}),
}
SEGMENT |= {
    f"upsampler {name}": (128, {"preset": "fast", "upsampler": name, "trees": 10})
    for name in ("bilinear", "guided", "learned", "strided", "scale")
}
_FIRST = {"none": "keep"}  # as the JSON calls it
POSITIONS = ("template", "none", "mean", "flips", "rolls", "alibi", "distilled", "template+flips")
_TILED = {"preset": "fast", "enlargement": 2.0, "tile": 140, "trees": 10}
SEGMENT |= {f"position {_FIRST.get(name, name)}": (128, {**_TILED, "debiasing": name}) for name in POSITIONS}
for _name, (_size, _options) in SEGMENT.items():
    CASES[f"segment {_name}"] = partial(segmented, size=_size, **_options)


@case("segment labels of ImageJ")
def _rois(shop: Workshop) -> dict[str, str]:
    return segmented(shop, 128, labels=shop.rois(), features="tws")


@case("segment detectors")
def _detectors(shop: Workshop) -> dict[str, str]:
    return segmented(shop, 128, preset="fast", detectors=f"SE={shop.image(128, detector='SE', shift=3)}")


@case("segment network")
def _network_feature(shop: Workshop) -> dict[str, str]:
    return segmented(shop, 128, features="tws", network=shop.network())


def applied(shop: Workshop, kind: str, image: Callable[[Workshop], Path], **options: Any) -> dict[str, str]:
    if kind in ("tws", "weka"):
        needs_java()
    out, classifier = shop.out(), shop.classifier(kind)
    if kind == "tws":
        classifier = classifier / "classifier.model"
    if kind == "detectors":
        options["detectors"] = f"SE={shop.stack('SE')}"
    call("apply", classifier, [image(shop)], out=out, databar="0", **options)
    return of_folder(out)


CASES |= {
    "apply stack": partial(applied, kind="fast", image=Workshop.stack, uncertainty=True, mode_filter=1),
    "apply field": partial(applied, kind="fast", image=Workshop.stack, slices="2", roi="10,12,40,50"),
    "apply detectors": partial(applied, kind="detectors", image=Workshop.stack),
    "apply weka": partial(applied, kind="weka", image=Workshop.image),
    "apply model of TWS": partial(applied, kind="tws", image=Workshop.image),
}


@case("import_classifier")
def _imported(shop: Workshop) -> dict[str, str]:
    needs_java()
    classifier, out, again = shop.classifier("weka"), shop.out(), shop.out()
    call("import_classifier", classifier / "classifier.model", feature_file=classifier, out=out)
    call("apply", out / "classifier", [shop.stack()], out=again, databar="0")
    return of_folder(out) | of_folder(again)


# Everything is said, for defaults are to change.
PLAIN = {
    "encoder": VIT,
    "blocks": "6",
    "channels": 0,
    "enlargement": 2.0,
    "debiasing": "template",
    "upsampler": "bilinear",
    "tile": 0,
    "features": "vit",
    "coarse_blocks": "none",
    "databar": "0",
}
FEATURES: dict[str, dict[str, Any]] = {
    "classical": {"features": "tws"},
    "blocks": {"blocks": "3,9", "enlargement": 1.0, "upsampler": "guided"},
    "channels": {"channels": 8, "blocks": "3,6", "features": "tws,vit"},
}
FEATURES |= {f"upsampler {name}": {"upsampler": name} for name in ("bilinear", "guided", "learned", "strided", "scale")}
FEATURES |= {f"position {_FIRST.get(name, name)}": {"debiasing": name, "tile": 140} for name in POSITIONS}
FEATURES |= {f"position {name}, tile": {"debiasing": name} for name in ("mean", "alibi", "distilled")}


def featured(shop: Workshop, image: Path | None = None, **options: Any) -> dict[str, str]:
    out, given = shop.out(), {**PLAIN, **options}
    if given["debiasing"] in KEPT:
        call("features", shop.image(112, rows=96, seed=1), out=shop.out(), **given)
    call("features", image or shop.image(112, rows=96), out=out, **given)
    found = of_folder(out)
    shutil.rmtree(out)  # large
    return found


for _name, _options in FEATURES.items():
    CASES[f"features {_name}"] = partial(featured, **_options)


@case("features slices")
def _slices(shop: Workshop) -> dict[str, str]:
    return featured(shop, shop.stack(), slices="2", upsampler="guided")


@case("features detectors")
def _feature_detectors(shop: Workshop) -> dict[str, str]:
    return featured(shop, shop.stack(), slices="1", channels=4, detectors=f"SE={shop.stack('SE')}")


@case("features network")
def _feature_network(shop: Workshop) -> dict[str, str]:
    return featured(shop, features="network", network=shop.network())


@case("features of a classifier")
def _feature_classifier(shop: Workshop) -> dict[str, str]:
    return featured(shop, feature_file=shop.classifier("fast"))
