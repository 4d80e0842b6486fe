"""Classifiers that were damaged, forged or made to fill the memory: folders, forests, features and .model files."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from attack_kinds.attack import Attack, command_line
from attack_kinds.mutations import VALUES, chosen, damaged, finite_rows, places, with_value, without

TITLE = "classifiers"
GOAL = 351

_NUMBERS = (np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, -1.0, 2.0**40)


def attacks(folder: Path) -> Iterator[Attack]:
    """See the runner."""
    import fijibridge as fb
    from fijibridge.forest import Forest

    rng = random.Random(18)
    image, _, segmenter = _trained()
    good = segmenter.save(folder / "good")
    picture = folder / "image.tif"
    tifffile.imwrite(picture, image)
    finite_rows(fb.load_segmenter(good, n_threads=1).predict_proba(image))  # compiles what the attacks use
    index = json.loads((good / "classifier.json").read_text(encoding="utf-8"))
    count = iter(range(10**6))

    def copy(change: Callable[[Path], object]) -> Path:
        place = folder / f"classifier {next(count)}"
        shutil.copytree(good, place)
        change(place)
        return place

    def segment(place: Path) -> None:
        os.environ.update(HF_HUB_OFFLINE="1", PIP_NO_INDEX="1")  # of this attack's process: no encoder is fetched
        finite_rows(fb.load_segmenter(place, n_threads=1).predict_proba(image))

    def attack(name: str, change: Callable[[Path], object], seconds: float = 5.0) -> Iterator[Attack]:
        place = copy(change)
        yield Attack(name, partial(segment, place), seconds)
        shutil.rmtree(place)

    # classifier.json: every value replaced, every value left out
    places_there = list(places(index))
    cases = [(path, value) for path in places_there for value in VALUES]
    for path, value in chosen(cases, 190, rng):
        text = with_value(index, path, value)
        yield from attack(f"classifier.json {path} = {value[:20]}", partial(_write, "classifier.json", text))
    for path in chosen(places_there, 30, rng):
        text = without(index, path)
        yield from attack(f"classifier.json without {path}", partial(_write, "classifier.json", text))
    vit = {"settings": {"kind": "vit", "encoder": "vit_small_patch14_dinov2", "blocks": [3, 6]}, "provenance": {}}
    for kind in ("vit", "network", "nothing", "os.system", 5, None):
        other = json.loads(json.dumps(index))
        other["features"]["sources"] = [{**vit, "settings": {**vit["settings"], "kind": kind}}]
        yield from attack(
            f"features of kind {kind}", partial(_write, "classifier.json", json.dumps(other)), 60
        )  # timm loads

    # forest.safetensors: numbers in each array, with digests that are right
    forest = Forest.load(good / "forest.safetensors")
    for array in ("threshold", "value", "left_fraction", "feature", "left", "right", "roots"):
        for number in _NUMBERS:
            yield from attack(f"forest's {array} = {number}", partial(_forged, index, forest, array, number))
    for names in (["a\nshow=x", "b"], ["a", "a"], ["", "b"], ["x" * 10**6, "b"], ["a\tb", "c"], ["\u202ea", "b"]):
        yield from attack(f"classes {names[0][:8]!r}", partial(_forged, index, forest, "class_names", names))
    for settings in ([], "x", {"n_samples": -1}, {"oob_confusion": [[1]]}):
        yield from attack(f"the forest's settings {settings}", partial(_forged, index, forest, "settings", settings))

    # bytes of each file
    for file in ("classifier.json", "forest.safetensors"):
        data = (good / file).read_bytes()
        for name, bad in damaged(data, rng):
            yield from attack(f"{file} {name}", partial(_write, file, bad))
        yield from attack(f"{file} a folder", partial(_folder, file))
        yield from attack(f"no {file}", partial(_without, file))
        yield from attack(f"{file} a pipe", partial(_pipe, file))
    for length in (0, 2**20, 2**40, 2**63):
        head = length.to_bytes(8, "little") + b"{" * 100
        yield from attack(f"a header of {length} bytes", partial(_write, "forest.safetensors", head))
    yield from attack("features.safetensors that nothing asks for", partial(_write, "features.safetensors", b"junk"))
    wide = '{"__metadata__": ' + "[" * 50_000 + "]" * 50_000 + "}"
    head = len(wide).to_bytes(8, "little") + wide.encode()
    yield from attack("a nested header", partial(_write, "forest.safetensors", head))

    # through the command line: a message and exit status 2
    for name, change in (
        ("a class with a line's end", partial(_forged, index, forest, "class_names", ["a\nshow=x", "b"])),
        ("NaN", partial(_forged, index, forest, "value", np.nan)),
        ("nested", partial(_write, "classifier.json", "[" * 10**5)),
    ):
        place = copy(change)
        words = ("apply", place, picture, "--out", folder / "out", "--threads", 1, "--quiet")
        yield Attack(f"apply with {name}", partial(command_line, *words), seconds=20)

    # .model files: most are refused before Java is asked
    model = (good / "classifier.model").read_bytes()
    plain = gzip.decompress(model) if model[:2] == b"\x1f\x8b" else model
    start = plain[:1024]
    for name, bad in damaged(plain, rng):
        (path := folder / f"{name}.model").write_bytes(bad)
        if bad[:64] != start[:64] or "cut" in name:  # it may take Java to see it, which takes seconds to start
            yield Attack(f".model {name}", partial(_refused, fb.load_segmenter, path), seconds=90, memory=None)
    for level in (1, 9):
        bomb = folder / f"bomb{level}"
        with gzip.open(bomb, "wb", compresslevel=level) as file:
            file.write(start)
            for _ in range(128):
                file.write(bytes(2**20))
        for suffix in (".model", ".model.gz"):
            shutil.copy(bomb, path := bomb.with_suffix(suffix))
            yield Attack(f"a bomb of gzip, level {level}, {suffix}", partial(_refused, fb.load_segmenter, path))
    for name, content in (
        ("zeros", gzip.compress(bytes(2**20))), ("cut", gzip.compress(start)[:-9]), ("text", b"\x1f\x8b" + b"x" * 99),
        ("another class", _stream("java.util.PriorityQueue")), ("a long name", _stream("x" * 60_000)),
        ("a name with a line's end", _stream("a\nb")), ("empty", b""),
    ):  # fmt: skip
        (path := folder / f"one {name}.model").write_bytes(content)
        yield Attack(f".model {name}", partial(_refused, fb.load_segmenter, path))
    pipe = folder / "pipe.model"
    _pipe("pipe.model", folder)
    yield Attack(".model a pipe", partial(_refused, fb.load_segmenter, pipe))


def _trained() -> tuple[Any, Any, Any]:
    import fijibridge as fb

    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (48, 64)).astype(np.uint8)
    image[:, 32:] += 120
    labels = np.zeros(image.shape, np.uint8)
    labels[10:20, 5:15], labels[10:20, 45:55] = 1, 2
    return image, labels, fb.PixelSegmenter("tws", n_trees=4, head="none", n_threads=1).fit(image, labels)


def _write(name: str, content: str | bytes, folder: Path) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))


def _folder(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def _without(name: str, folder: Path) -> None:
    (folder / name).unlink()


def _pipe(name: str, folder: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)


def _forged(index: dict[str, Any], forest: Any, what: str, value: Any, folder: Path) -> None:
    """A forest with a hostile number or names, whose every digest is right."""
    import hashlib

    from safetensors.numpy import save

    from fijibridge.forest.forest import _ARRAYS, _DTYPES, _KIND, _VERSION

    arrays = {name: getattr(forest, name).copy() for name in _ARRAYS}
    about = {
        "feature_names": list(forest.feature_names), "class_names": list(forest.class_names), "settings": {},
    }  # fmt: skip
    if what in arrays:
        leaf = forest.feature < 0
        for name in ("threshold", "left_fraction", "left", "right", "feature"):
            if name == what:
                leaf = ~leaf
        chosen_nodes = np.flatnonzero(leaf) if what not in ("roots",) else np.array([0])
        flat = arrays[what] if what == "roots" else arrays[what][chosen_nodes]
        if arrays[what].dtype.kind == "i":
            number = -5 if not np.isfinite(value) else int(np.clip(value, -(2**31), 2**31 - 1))
        else:
            number = value
        flat = flat.copy()
        flat[..., 0] = number
        arrays[what] = flat if what == "roots" else _put(arrays[what], chosen_nodes, flat)
    else:
        about[what] = value
    digest = hashlib.sha256(json.dumps([_KIND, about["feature_names"], about["class_names"]]).encode())
    for name in _ARRAYS:
        digest.update(f"{name}{arrays[name].shape}".encode())
        digest.update(arrays[name].astype("<" + _DTYPES[name]).tobytes())
    about["sha256"] = digest.hexdigest()
    metadata = {"kind": _KIND, "version": str(_VERSION), "about": json.dumps(about)}
    _write("forest.safetensors", save(arrays, metadata), folder)
    record = {**index, "forest_sha256": about["sha256"], "class_names": about["class_names"]}
    _write("classifier.json", json.dumps(record), folder)


def _put(array: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    array[rows] = values
    return array


def _stream(name: str) -> bytes:
    """The start of a serialised Java object of a class."""
    return b"\xac\xed\x00\x05\x73\x72" + len(name).to_bytes(2, "big") + name.encode() + bytes(64)


def _refused(call: Callable[..., object], *arguments: object) -> None:
    from attack_kinds.mutations import refused

    refused(lambda: call(*arguments), str(arguments[0]))
