"""What the operations make of image files: frames, pages, greys and data bars reach results and report."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import BridgeError
from fijibridge.operations.apply import apply
from fijibridge.operations.apply import summary as apply_summary
from fijibridge.operations.measure import measure
from fijibridge.operations.segment import segment


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(grey image, its phases, a classifier of TWS's features alone)."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    phases = np.kron(rng.integers(1, 3, (6, 8)), np.ones((8, 8), int))
    image = np.clip(np.where(phases == 1, 70, 170) + rng.normal(0, 6, phases.shape), 0, 255).astype(np.uint8)
    tifffile.imwrite(folder / "image.tif", image)
    tifffile.imwrite(folder / "labels.tif", phases.astype(np.uint8))
    segment(folder / "image.tif", labels=folder / "labels.tif", out=folder / "out", features="tws", trees=10)
    return image, phases, folder / "out" / "classifier"


def test_frames_stay_frames(trained, tmp_path):
    image, phases, classifier = trained
    for axes, shape in (("TYX", (3,)), ("TZYX", (3, 2))):
        stack = np.broadcast_to(image, (*shape, *image.shape))
        tifffile.imwrite(tmp_path / f"{axes}.tif", stack, imagej=True, metadata={"axes": axes})
    report = apply(classifier, [tmp_path / "TYX.tif", tmp_path / "TZYX.tif"], out=tmp_path / "out", uncertainty=True)
    for file, axes, shape in zip(report["files"], ("TYX", "TZYX"), ((3,), (3, 2)), strict=True):
        assert file["frames"] == 3
        for name, inner in (("labels", ""), ("probabilities", "C"), ("uncertainty", "")):
            with tifffile.TiffFile(tmp_path / "out" / f"{axes}_{name}.tif") as tif:
                assert tif.series[0].axes == axes.replace("YX", f"{inner}YX")
                values = tif.asarray()
            if name == "labels":
                assert (values == np.broadcast_to(phases, (*shape, *phases.shape))).mean() > 0.9
    for slices, axes in (("1-2", "ZYX"), ("1,3,5", "TYX"), ("1-4", "TZYX"), ("1-3", "TYX")):
        # the same slices of each frame; others are a frame each, for time is no depth
        again = apply(classifier, [tmp_path / "TZYX.tif"], out=tmp_path / "some", slices=slices, overwrite=True)
        with tifffile.TiffFile(tmp_path / "some" / "TZYX_labels.tif") as tif:
            assert tif.series[0].axes == axes, slices
        assert again["files"][0]["slices"]
    with pytest.raises(BridgeError, match="time is no depth"):
        measure(tmp_path / "out" / "TYX_labels.tif", out=tmp_path / "numbers", metrics="fractions")


def test_greys_far_from_training_are_told(trained, tmp_path, caplog):
    image, _, classifier = trained
    tifffile.imwrite(tmp_path / "same.tif", image)
    tifffile.imwrite(tmp_path / "darker.tif", (image * 0.9).astype(np.uint8))
    tifffile.imwrite(tmp_path / "deep.tif", image.astype(np.uint16) * 257)
    report = apply(classifier, [tmp_path / f"{name}.tif" for name in ("same", "darker", "deep")], out=tmp_path / "out")
    same, darker, deep = report["files"]
    assert same["notes"] == darker["notes"] == []
    assert "100 % of the pixels" in deep["notes"][0]
    assert "100 % of the pixels" in caplog.text
    index = json.loads((classifier / "classifier.json").read_text())
    assert index["grey_range"] == [float(image.min()), float(image.max())]


def test_pages_and_what_was_left_out(trained, tmp_path):
    image, _, classifier = trained
    drawn = np.stack([image] * 3, axis=2)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(drawn, metadata=None, photometric="rgb")
        writer.write(image[:20, :30], metadata=None)
    chosen = apply(classifier, [tmp_path / "a.tif"], out=tmp_path / "chosen")["files"][0]
    assert chosen["shape"] == list(image.shape)
    assert "1 page(s)" in chosen["notes"][0]
    second = apply(classifier, [tmp_path / "a.tif"], out=tmp_path / "second", page=2)["files"][0]
    assert second["shape"] == [20, 30]
    assert second["notes"] == ["page 2 of 2 was taken, as asked for"]
    with pytest.raises(BridgeError, match="2 page"):
        apply(classifier, [tmp_path / "a.tif"], out=tmp_path / "third", page=3)


def test_the_report_says_how_the_bar_was_found(trained, tmp_path):
    image, _, classifier = trained
    tifffile.imwrite(tmp_path / "a.tif", image)
    found = apply(classifier, [tmp_path / "a.tif"], out=tmp_path / "auto")["files"][0]
    assert (found["databar_rows"], found["databar_found"]) == (0, "no strip with text was seen")
    report = apply(classifier, [tmp_path / "a.tif"], out=tmp_path / "given", databar="8")
    assert (report["files"][0]["databar_rows"], report["files"][0]["databar_found"]) == (8, "as asked for")
    assert any("8 rows at the bottom" in line for line in apply_summary(report))


def test_a_folder_of_slices_is_measured(tmp_path):
    labels = np.random.default_rng(0).integers(1, 3, (4, 12, 14), np.uint8)
    for number, plane in enumerate(labels):
        tifffile.imwrite(tmp_path / f"slice_{number:03d}.tif", plane)
    report = measure(tmp_path, out=tmp_path.with_name("numbers"), metrics="fractions")
    assert report["shape"] == [4, 12, 14]
    assert "4 slices" in report["notes"][0]
