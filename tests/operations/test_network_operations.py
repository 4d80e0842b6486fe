"""The network through the catalogue: trained, applied, tuned further, and as features of the forest."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tifffile
from shell import write_image

import fijibridge as fb
from fijibridge.core.errors import (
    BridgeError,
    FeatureMismatchError,
    ImageError,
    ModelFileError,
    OutputError,
    SettingsError,
)
from fijibridge.images.writing import write_labels
from fijibridge.network.file import load_network
from fijibridge.operations.diversity import diversity
from fijibridge.operations.fine_tune_network import fine_tune_network
from fijibridge.operations.segment import segment
from fijibridge.operations.segment_network import segment_network
from fijibridge.operations.train_network import train_network
from fijibridge.synthesis.demo import CLASS_NAMES, demo_image

pytestmark = pytest.mark.slow

QUICK = {"steps": 2, "width": 4, "crop": 64, "batch": 2, "threads": 1}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """SE and BSE of one place, 100 x 100 pixels of 120 nm, and strokes."""
    folder = tmp_path_factory.mktemp("pair")
    for detector in ("SE", "BSE"):
        write_image(folder / f"{detector}.tif", demo_image(100, detector=detector)[0].data, nm=120)
    write_labels(folder / "strokes.tif", demo_image(100)[1].data, class_names=CLASS_NAMES)
    return folder


@pytest.fixture
def network(tiny_network):
    return tiny_network / "network"


def test_a_pair_is_segmented(network, pair, tmp_path):
    report = segment_network(network, se=pair / "SE.tif", bse=pair / "BSE.tif", out=tmp_path / "out", threads=1)
    assert report["detectors"] == ["SE", "BSE"]
    assert report["detectors_missing"] == []
    labels = tifffile.imread(tmp_path / "out" / "labels.tif")
    probabilities = tifffile.imread(tmp_path / "out" / "probabilities.tif")
    unsure = tifffile.imread(tmp_path / "out" / "uncertainty.tif")
    assert labels.shape == unsure.shape == (100, 100)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(0) + 1, labels)
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-30))).sum(0) / np.log(3)
    np.testing.assert_allclose(unsure, entropy, atol=1e-4)
    grey = {name: tifffile.imread(pair / f"{name}.tif").astype(np.float32) for name in ("SE", "BSE")}
    np.testing.assert_allclose(load_network(network).predict(grey), probabilities, atol=1e-5)
    assert (tmp_path / "out" / "overlay.png").is_file()


def test_one_detector_is_enough_and_the_other_is_told_missing(network, pair, tmp_path):
    report = segment_network(network, bse=pair / "BSE.tif", out=tmp_path / "out", uncertainty=False, threads=1)
    assert report["detectors_missing"] == ["SE"]
    assert not (tmp_path / "out" / "uncertainty.tif").exists()


def test_a_stack_is_as_its_slices(network, pair, tmp_path):
    planes = {name: tifffile.imread(pair / f"{name}.tif") for name in ("SE", "BSE")}
    for name, plane in planes.items():
        write_image(tmp_path / f"{name}.tif", np.stack([plane, plane[::-1]]), nm=120)
    segment_network(network, se=tmp_path / "SE.tif", bse=tmp_path / "BSE.tif", out=tmp_path / "all", threads=1)
    segment_network(network, se=pair / "SE.tif", bse=pair / "BSE.tif", out=tmp_path / "one", threads=1)
    stack = tifffile.imread(tmp_path / "all" / "labels.tif")
    assert stack.shape == (2, 100, 100)
    np.testing.assert_array_equal(stack[0], tifffile.imread(tmp_path / "one" / "labels.tif"))


def test_pixels_of_another_size_are_told(network, pair, tmp_path):
    write_image(tmp_path / "fine.tif", tifffile.imread(pair / "BSE.tif"), nm=10)
    report = segment_network(network, bse=tmp_path / "fine.tif", out=tmp_path / "out", threads=1)
    assert "pixels of 0.01" in report["notes"][0]
    rescaled = segment_network(network, bse=tmp_path / "fine.tif", out=tmp_path / "again", rescale=True, threads=1)
    assert rescaled["notes"] == []


def test_pairs_that_cannot_serve(network, pair, tmp_path):
    bse = tifffile.imread(pair / "BSE.tif")
    small = write_image(tmp_path / "small.tif", bse[:80])
    stack = write_image(tmp_path / "stack.tif", np.stack([bse, bse]))
    flat = write_image(tmp_path / "flat.tif", np.full((100, 100), 7, np.uint8))
    for given, error, told in (
        ({}, SettingsError, "neither SE nor BSE"),
        ({"se": small, "bse": pair / "BSE.tif"}, ImageError, "SE 100 x 80 px, BSE 100 x 100 px"),
        ({"se": stack, "bse": pair / "BSE.tif"}, ImageError, "SE 2, BSE 1"),
        ({"se": flat, "bse": pair / "BSE.tif"}, ImageError, "SE"),
    ):
        with pytest.raises(error, match=told):
            segment_network(network, out=tmp_path / "out", threads=1, **given)
        assert not (tmp_path / "out").exists()
    with pytest.raises(ModelFileError, match="no network that can be used"):
        segment_network(tmp_path, bse=pair / "BSE.tif", out=tmp_path / "out")


def test_training_by_the_catalogue(tiny_network, tmp_path):
    report = train_network(tiny_network / "dataset", out=tmp_path / "net", onnx=True, **QUICK)
    assert set(report["iou"]) == {"ISE", "CAM", "pore"}
    assert (tmp_path / "net" / "network.onnx").is_file()
    assert json.loads((tmp_path / "net" / "report.json").read_text(encoding="utf-8"))["mean_iou"] == report["mean_iou"]
    with pytest.raises(OutputError, match="exists already"):
        train_network(tiny_network / "dataset", out=tmp_path / "net", **QUICK)
    again = train_network(tiny_network / "dataset", out=tmp_path / "net", resume=True, **QUICK)
    assert again["iou"] == report["iou"]


def test_phases_can_be_merged(tiny_network, tmp_path):
    report = train_network(tiny_network / "dataset", out=tmp_path / "net", merge="pore=ISE", **QUICK)
    assert report["class_names"] == ["ISE", "CAM"]
    with pytest.raises(SettingsError, match="write CLASS=OTHER"):
        train_network(tiny_network / "dataset", out=tmp_path / "other", merge="pore", **QUICK)


def test_a_data_set_half_written(tiny_network, tmp_path):
    shutil.copytree(tiny_network / "dataset", tmp_path / "half")
    about = json.loads((tmp_path / "half" / "dataset.json").read_text(encoding="utf-8"))
    (tmp_path / "half" / "dataset.json").write_text(json.dumps(about | {"count": 40}), encoding="utf-8")
    with pytest.raises(ImageError, match="resume"):
        train_network(tmp_path / "half", out=tmp_path / "net", **QUICK)


def test_labels_drawn_for_the_forest_tune_the_network(network, tiny_network, pair, tmp_path):
    given = {"se": pair / "SE.tif", "bse": pair / "BSE.tif", "labels": pair / "strokes.tif", "steps": 25, "rate": 0.01}
    report = fine_tune_network(network, out=tmp_path / "out", threads=1, **given)
    assert report["accuracy_after"] > report["accuracy_before"] + 0.05
    assert report["labelled_pixels"] == (demo_image(100)[1].data > 0).sum()
    tuned = segment_network(tmp_path / "out" / "network", bse=pair / "BSE.tif", out=tmp_path / "segmented", threads=1)
    assert set(tuned["class_fractions"]) == set(CLASS_NAMES)
    replayed = fine_tune_network(
        network, out=tmp_path / "replayed", replay=tiny_network / "dataset", threads=1, **given
    )
    assert replayed["accuracy_after"] > replayed["accuracy_before"]
    with pytest.raises(BridgeError, match="carbon"):
        fine_tune_network(network, out=tmp_path / "x", classes="ISE,CAM,carbon", threads=1, **given)


def test_probabilities_as_features_of_the_forest(network, tiny_network, pair, tmp_path):
    """The saved classifier holds the network: it serves where the network has gone."""
    shutil.copytree(network, tmp_path / "net")
    given = {"labels": pair / "strokes.tif", "features": "tws", "trees": 8, "threads": 1}
    report = segment(pair / "BSE.tif", out=tmp_path / "out", network=tmp_path / "net", **given)
    _, source = report["features"]["sources"]
    assert (source["settings"], len(source["provenance"]["sha256"])) == ({"kind": "network"}, 64)
    plain = segment(pair / "BSE.tif", out=tmp_path / "plain", **given)
    assert [source["settings"]["kind"] for source in plain["features"]["sources"]] == ["tws"]
    shutil.rmtree(tmp_path / "net")
    shutil.move(tmp_path / "out", tmp_path / "moved")
    segmenter = fb.load_segmenter(tmp_path / "moved" / "classifier")
    assert segmenter.forest_.feature_names[-3:] == ("net_ISE", "net_CAM", "net_pore")
    labels = tifffile.imread(tmp_path / "moved" / "labels.tif")
    np.testing.assert_array_equal(segmenter.predict(fb.read_image(pair / "BSE.tif")), labels)
    other = train_network(tiny_network / "dataset", out=tmp_path / "other", **(QUICK | {"seed": 9}))
    assert other["class_names"] == ["ISE", "CAM", "pore"]
    shutil.rmtree(tmp_path / "moved" / "classifier" / "network")
    shutil.copytree(tmp_path / "other", tmp_path / "moved" / "classifier" / "network")
    with pytest.raises(FeatureMismatchError, match="the classifier's own"):
        fb.load_segmenter(tmp_path / "moved" / "classifier").predict(fb.read_image(pair / "BSE.tif"))
    with pytest.raises(ImageError, match="EDX"):
        segment(pair / "BSE.tif", out=tmp_path / "edx", network=tmp_path / "other", detector="EDX", **given)


def test_diversity_is_measured(tiny_network, tmp_path):
    """Of a data set against itself turned by noise: near; against a texture of another kind: far."""
    data = tifffile.imread(tiny_network / "dataset" / "shard-00000" / "bse.tif")
    near, far = tmp_path / "near", tmp_path / "far"
    for folder in (near, far):
        folder.mkdir()
    x = np.mgrid[0:128, 0:128][1]
    for number, plane in enumerate(data):
        write_image(near / f"{number}.tif", plane[::-1].copy())
        write_image(far / f"{number}.tif", (127 + 120 * np.sin((x + 3 * number) / 2)).astype(np.uint8))
    found = {}
    for folder in (near, far):
        real = sorted(folder.glob("*.tif"))
        report = diversity(
            tiny_network / "dataset", real=real, out=tmp_path / f"out {folder.name}", max_images=8, encoder="none"
        )
        found[folder.name] = {row["kind"]: row for row in report["diversity"]}
        assert (tmp_path / f"out {folder.name}" / "diversity.png").is_file()
    for kind in ("grey histograms", "power spectra"):
        assert found["near"][kind]["covered"] == 1
        assert found["near"][kind]["to_nearest"] < found["far"][kind]["to_nearest"]
    assert found["far"]["power spectra"]["covered"] == 0
    small = write_image(tmp_path / "small.tif", data[0][:50])
    with pytest.raises(ImageError, match="at least 128 px"):
        diversity(tiny_network / "dataset", real=[small], out=tmp_path / "out", encoder="none")
