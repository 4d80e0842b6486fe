"""What the command line answers to bad input: what was found, what was expected, the remedy; and it writes nothing."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from shell import APPLY, FAST, SEGMENT, refused, tree, write_image, write_rois

from fijibridge.jvm import find_java


@pytest.fixture(scope="module", autouse=True)
def _one_jvm(request):
    """The tests' own JVM, before a model is read and starts one with another heap."""
    if find_java():
        request.getfixturevalue("java")


def _write_labels(values: np.ndarray) -> None:
    tifffile.imwrite("labels.tif", values.astype(np.uint8))


def _two_boxes(**boxes) -> tuple[str, ...]:
    write_rois(Path("rois.zip"), boxes)
    return ("segment", "image.tif", "--labels", "rois.zip", "--out", "out", *FAST)


def _truncated_image():
    Path("image.tif").write_bytes(Path("image.tif").read_bytes()[:9000])


def _nan():
    tifffile.imwrite("image.tif", np.full((128, 128), np.nan, np.float32))


def _stack():
    write_image(Path("image.tif"), np.zeros((3, 128, 128), np.uint8))


def _one_class():
    labels = np.zeros((128, 128))
    labels[5:9, 5:9] = 1
    _write_labels(labels)


def _outside():
    return _two_boxes(a=(5, 5, 9, 9), b=(130, 20, 140, 30))


def _a_file():
    Path("taken").write_text("mine", encoding="utf-8")
    return (*APPLY[:4], "taken", "--overwrite")


def _model_text():
    Path("x.model").write_bytes(b"@relation iris")
    return ("apply", "x.model", "image.tif", "--out", "out")


def _model_no_folder():
    Path("classifier", "classifier.json").unlink()
    return APPLY


def _damaged_forest():
    path = Path("classifier", "forest.safetensors")
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data)):  # not one alone: it could be a leaf's, where it means nothing
        data[place] ^= 1
    path.write_bytes(bytes(data))
    return APPLY


def _newer_features():
    path = Path("classifier", "classifier.json")
    index = json.loads(path.read_text(encoding="utf-8"))
    index["features"]["sources"][0]["settings"]["sigma"] = 3
    path.write_text(json.dumps(index), encoding="utf-8")
    return APPLY


VIT = (*SEGMENT, "--features", "tws,vit")
FEATURES = ("features", "image.tif", "--out", "out", "--features", "tws")
IMPORT = ("import-classifier", "classifier/classifier.model", "--feature-file")
NO_MODEL = ("import-classifier", "x.model", "--feature-file", "classifier", "--out", "out")

BAD = {
    # name: (what is wrong here, command or None for SEGMENT, words of the message)
    "image missing": (lambda: Path("image.tif").unlink(), None, ["image.tif"]),
    "image a folder": (None, ("segment", ".", *SEGMENT[2:]), ["."]),
    "image unreadable": (lambda: Path("image.tif").write_bytes(b"not an image"), None, ["image.tif"]),
    "image truncated": (_truncated_image, None, ["image.tif"]),
    "image of no bytes": (lambda: Path("image.tif").write_bytes(b""), None, ["image.tif"]),
    "image NaN": (_nan, None, ["NaN"]),
    "image a stack": (_stack, None, ["one label image", "a stack of 3 slices"]),
    "labels missing": (lambda: Path("labels.tif").unlink(), None, ["labels.tif"]),
    "labels of another size": (lambda: _write_labels(np.ones((64, 128))), None, ["128 x 64", "128 x 128"]),
    "one class": (_one_class, None, ["class 1"]),
    "no label": (lambda: _write_labels(np.zeros((128, 128))), None, ["no pixel is labelled"]),
    "value with no name": (None, (*SEGMENT, "--classes", "a,b"), ["label value 3"]),
    "name twice": (None, (*SEGMENT, "--classes", "a,b,A"), ["twice"]),
    "no ROI set": (lambda: Path("r.zip").write_bytes(b"x"), (*SEGMENT[:3], "r.zip", *SEGMENT[4:]), ["r.zip"]),
    "ROI outside": (_outside, None, ["labels for 1 class(es): a"]),
    "unknown encoder": (None, (*VIT, "--encoder", "vit_smal"), ["'vit_smal'", "encoder"]),
    "not a ViT": (None, (*VIT, "--encoder", "resnet18"), ["resnet18"]),
    "no features": (None, (*SEGMENT, "--features", ","), ["no source", "tws,vit"]),
    "features that may be two": (None, (*SEGMENT, "--features", "M"), ["features = 'M'", "Membrane_projections"]),
    "sigma one number": (None, (*SEGMENT, "--features", "tws", "--sigma", "4"), ["sigma = '4'", "such as 1:16"]),
    "sigmas turned": (None, (*SEGMENT, "--features", "tws", "--sigma", "4:1"), ["sigmas from 4.0 to 1.0"]),
    "sigma of a ViT": (None, (*VIT, "--features", "vit", "--sigma", "1:4"), ["sigma = 1:4", "add tws"]),
    "greys turned": (None, (*APPLY, "--grey-range", "200:100"), ["grey_range", "LOW below HIGH"]),
    "features of no network": (None, (*SEGMENT, "--features", "tws,network"), ["without its folder", "--network"]),
    "blocks no numbers": (None, (*VIT, "--blocks", "a"), ["blocks = 'a'"]),
    "blocks from 0": (None, (*VIT, "--blocks", "0", "--encoder", "test_vit"), ["blocks"]),
    "max-features": (None, (*SEGMENT, "--max-features", "few"), ["max_features", "'few'"]),
    "max-features 0": (None, (*SEGMENT, "--max-features", "0"), ["max_features"]),
    "max-features of too many": (None, (*SEGMENT, "--max-features", "1000"), ["max_features"]),
    "databar larger than the image": (None, (*SEGMENT, "--databar", "500"), ["500 rows", "128"]),
    "databar no number": (None, (*SEGMENT, "--databar", "some"), ["databar", "'some'"]),
    "databar over all of a class": (None, (*SEGMENT, "--databar", "127"), ["labels in the data bar", "two classes"]),
    "heap malformed": (None, (*SEGMENT, "--heap", "4 gigs"), ["heap='4 gigs'"]),
    "heap larger than the machine": (None, (*SEGMENT, "--heap", "9999g"), ["this machine's memory"]),
    "heap larger, weka": (None, (*SEGMENT, "--engine", "weka", "--heap", "9999g"), ["this machine's memory"]),
    "weights missing": (None, (*VIT, "--encoder", "test_vit", "--weights", "w.safetensors"), ["w.safetensors"]),
    "classifier missing": (None, ("apply", "none", *APPLY[2:]), ["no classifier none"]),
    "classifier a text": (_model_text, None, ["x.model"]),
    "classifier an image": (None, ("apply", "image.tif", *APPLY[2:]), ["not a .model file"]),
    "folder without index": (_model_no_folder, None, ["no classifier.json"]),
    "damaged forest": (_damaged_forest, None, ["classifier"]),
    "features of a newer version": (_newer_features, None, ["sigma"]),
    "second image missing": (None, (*APPLY[:3], "gone.tif", *APPLY[3:]), ["gone.tif"]),
    "channels too many": (None, (*VIT, "--encoder", "test_vit", "--channels", "129"), ["channels = 129", "128"]),
    "slices no numbers": (None, (*FEATURES, "--slices", "first"), ["slices = 'first'"]),
    "slices beyond": (None, (*FEATURES, "--slices", "1-2"), ["1 slice"]),
    "features by a model": (_model_text, (*FEATURES, "--feature-file", "x.model"), ["x.model", "features.json"]),
    "features of no image": (None, ("features", "gone.tif", *FEATURES[2:]), ["gone.tif"]),
    "model missing": (None, NO_MODEL, ["x.model"]),
    "feature file missing": (None, (*IMPORT, "gone.json", "--out", "out"), ["gone.json"]),
    "feature file an image": (None, (*IMPORT, "image.tif", "--out", "out"), ["image.tif", "features.json"]),
    "output under a file": (None, (*APPLY[:4], "image.tif/out"), ["image.tif/out cannot be written"]),
    "output a file": (_a_file, None, ["taken exists already: it is a file"]),
    "output a TIFF of another's": (None, (*APPLY[:4], "labels.tif", "--overwrite"), ["labels.tif is not known as a"]),
    "output of an input": (None, (*APPLY[:4], "classifier", "--overwrite"), ["is an input of this work"]),
    "output name too long": (None, (*APPLY[:4], "n" * 300), ["cannot be written"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(here, shell, name):
    damage, command, words = BAD[name]
    made = damage() if damage else None
    command = command or (made if isinstance(made, tuple) else SEGMENT)
    before = tree(here)
    refused(shell(*command), f"fijibridge {command[0]}: ", *words)
    assert tree(here) == before  # no output, and no hidden place where it was built


def _serialised(java, *objects) -> bytes:
    buffer = java.jclass("java.io.ByteArrayOutputStream")()
    stream = java.jclass("java.io.ObjectOutputStream")(buffer)
    for item in objects:
        stream.writeObject(item)
    stream.close()
    return bytes(buffer.toByteArray())


@pytest.mark.parametrize("kind", ["truncated", "hostile", "other classifier", "other features", "truncated gz"])
def test_bad_model(here, shell, java, weka, kind):
    whole = Path("classifier", "classifier.model").read_bytes()
    if kind == "truncated":
        data, word = whole[: len(whole) // 2], "classifier"
    elif kind == "truncated gz":
        data, word = gzip.compress(whole)[:-2000], "classifier"
    elif kind == "hostile":
        nested = java.jclass("java.util.HashMap")()
        nested.put(java.jclass("java.net.URL")("http://127.0.0.1:9/"), java.jclass("java.util.HashSet")())
        data, word = _serialised(java, nested), "holds a"
    elif kind == "other classifier":
        forest = java.jclass("weka.classifiers.trees.RandomForest")()
        data, word = _serialised(java, forest, weka._header(["a"], ["x", "y"])), "RandomForest"
    else:
        X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
        forest, _ = weka.train_weka(X, np.arange(40) % 2, n_trees=2, feature_names=["vit_a", "vit_b"])
        weka.write_model(here / "x.model", forest)
        data, word = (here / "x.model").read_bytes(), "vit_a"
    path = here / ("x.model.gz" if kind.endswith("gz") else "x.model")
    path.write_bytes(data)
    before = tree(here)
    refused(shell("apply", path.name, "image.tif", "--out", "out"), path.name, word)
    assert tree(here) == before


@pytest.mark.slow
def test_bad_weights(here, shell, tiny_vit, tmp_path, monkeypatch):
    from fijibridge.weights import weights

    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "cache"))
    cached = weights.cache_file("test_vit")
    weights._write_cache(weights.load_weights("test_vit", checkpoint=tiny_vit), cached)
    vit = ("--features", "tws,vit", "--encoder", "test_vit", "--blocks", "2", "--enlargement", "1")
    assert shell(*SEGMENT, *vit, "--quiet").status == 0
    shutil.move("out", "old")
    data = bytearray(cached.read_bytes())
    data[-100] ^= 1
    cached.write_bytes(bytes(data))
    before = tree(here)
    refused(shell(*SEGMENT, *vit), "SHA-256", "delete")
    refused(shell("apply", "old/classifier", *APPLY[2:]), "SHA-256", "delete")
    # weights that are in order, but not those of the training
    refused(shell("apply", "old/classifier", *APPLY[2:], "--weights", cached), "weights")
    # features of other blocks than the forest was trained on
    index = json.loads((here / "old/classifier/classifier.json").read_text(encoding="utf-8"))
    index["features"]["sources"][1]["settings"]["blocks"] = [3]
    (here / "old/classifier/classifier.json").write_text(json.dumps(index), encoding="utf-8")
    before = tree(here)
    refused(shell("apply", "old/classifier", *APPLY[2:], "--weights", tiny_vit), "a linear head of other features")
    assert tree(here) == before
