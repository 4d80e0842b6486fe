"""The operations as functions and through the command line: what they write, and what the numbers in it say."""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from roifile import ImagejRoi, roiread
from shell import FAST, tree, write_image, write_rois, write_sample

from fijibridge.core.errors import (
    BridgeError,
    FeatureMismatchError,
    ImageNotFoundError,
    ModelFileError,
    OutputError,
    SettingsError,
)
from fijibridge.core.params import Param, param_of
from fijibridge.features.extract import FeatureExtractor, extract_features
from fijibridge.features.extractor_file import write_extractor
from fijibridge.features.stack import FeatureStack
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.frontends.cli import main
from fijibridge.images.image import read_image, read_slices
from fijibridge.labels.region import slice_numbers
from fijibridge.operations import CATALOGUE, operation
from fijibridge.operations.apply import apply
from fijibridge.operations.features import features
from fijibridge.operations.segment import segment
from fijibridge.segmentation import PixelSegmenter
from fijibridge.segmentation.load import read_features
from fijibridge.synthesis.demo import CLASS_NAMES, demo_image

QUICK = {"features": "tws", "trees": 12, "threads": 1}
TINY = {"features": "tws,vit", "encoder": "test_vit", "blocks": "2", "coarse_blocks": "none", "enlargement": 1.0}
TINY |= {"upsampler": "bilinear"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture(scope="module")
def done(sample):
    """A result of segment, made once, not to be changed."""
    out = sample / "result"
    classes = ",".join(CLASS_NAMES)
    report = segment(sample / "image.tif", labels=sample / "labels.tif", out=out, classes=classes, **QUICK)
    return out, report


def _stored(out: Path) -> dict:
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


# --- segment ---------------------------------------------------------------------------------------------------------


def test_segment_writes_all(done):
    out, _ = done
    files = {path.relative_to(out).as_posix() for path in out.rglob("[!.]*") if path.is_file()}
    wanted = {"labels.tif", "probabilities.tif", "overlay.png", "confusion.csv", "report.json"}
    wanted |= {"classifier/classifier.json", "classifier/forest.safetensors", "classifier/classifier.model"}
    wanted |= {"classifier/statistics.safetensors", "classifier/recipe.toml"}
    assert files == wanted


def test_label_image(done):
    out, _ = done
    with tifffile.TiffFile(out / "labels.tif") as tif:
        data, page = tif.asarray(), tif.pages[0]
        assert tif.is_imagej
        assert (data.shape, data.dtype) == ((128, 128), np.uint8)
        assert tif.imagej_metadata["unit"] == "nm"
        assert page.tags["XResolution"].value[0] / page.tags["XResolution"].value[1] == pytest.approx(1 / 25)
        lut = page.colormap
    assert len({tuple(lut[:, value]) for value in range(4)}) == 4  # unlabelled and the classes look different
    assert set(np.unique(data)) <= {1, 2, 3}
    truth = demo_image(128)[2]
    assert (data == truth).mean() > 0.75


def test_probabilities(done):
    out, _ = done
    with tifffile.TiffFile(out / "probabilities.tif") as tif:
        data, names = tif.asarray(), tif.imagej_metadata["Labels"]
    assert (data.shape, data.dtype) == ((3, 128, 128), np.float32)
    assert tuple(names) == CLASS_NAMES
    np.testing.assert_allclose(data.sum(axis=0), 1, atol=1e-6)
    labels = tifffile.imread(out / "labels.tif")
    assert np.array_equal(data.argmax(axis=0) + 1, labels)


def test_report(done):
    out, report = done
    stored = _stored(out)
    assert stored == json.loads(json.dumps(report))
    labels = tifffile.imread(out / "labels.tif")
    for k, name in enumerate(CLASS_NAMES, start=1):
        assert stored["class_fractions"][name] == pytest.approx((labels == k).mean(), abs=1e-6)
    strokes = demo_image(128)[1]
    assert stored["labelled_pixels"] == strokes.counts
    assert 0.5 < stored["oob_accuracy"] <= 1
    assert [source["settings"] for source in stored["features"]["sources"]] == [TwsSettings().to_json()]
    assert stored["positional_probe_r2"] is None  # no ViT
    assert stored["pixel_size"]["x"] == pytest.approx(25)
    assert stored["outputs"] == ["confusion.csv", "labels.tif", "overlay.png", "probabilities.tif"]
    assert stored["forest"]["trees"] == 12
    assert stored["versions"]["fijibridge"]
    assert stored["peak_memory_mib"] > 50
    assert {"reading", "features", "training", "prediction", "writing"} <= set(stored["stages"])
    assert all(stage["wall_s"] >= 0 and stage["cpu_s"] >= 0 for stage in stored["stages"].values())
    assert sum(stage["wall_s"] for stage in stored["stages"].values()) > 0.05


def test_the_same_again(done, sample, tmp_path):
    out, report = done
    classes = ",".join(CLASS_NAMES)
    options = {**QUICK, "threads": 2, "probabilities": False}
    again = segment(sample / "image.tif", labels=sample / "labels.tif", out=tmp_path / "r", classes=classes, **options)
    assert again["forest"]["sha256"] == report["forest"]["sha256"]
    assert (tmp_path / "r" / "labels.tif").read_bytes() == (out / "labels.tif").read_bytes()
    assert not (tmp_path / "r" / "probabilities.tif").exists()
    assert again["outputs"] == ["confusion.csv", "labels.tif", "overlay.png"]


def test_engine_weka(java, sample, tmp_path):
    out = tmp_path / "weka"
    options = ["--engine", "weka", "--out", str(out), "--quiet", *FAST]
    assert main(["segment", str(sample / "image.tif"), "--labels", str(sample / "labels.tif"), *options]) == 0
    assert _stored(out)["engine"] == "weka"
    assert (tifffile.imread(out / "labels.tif") == demo_image(128)[2]).mean() > 0.75
    # TWS's own file holds the same forest
    for classifier, name in ((out / "classifier", "a"), (out / "classifier" / "classifier.model", "b")):
        apply(classifier, [sample / "image.tif"], out=tmp_path / name)
    assert np.array_equal(
        tifffile.imread(tmp_path / "a" / "image_labels.tif"), tifffile.imread(tmp_path / "b" / "image_labels.tif")
    )


def test_with_a_vit(tiny_vit, sample, tmp_path):
    """Through a real ViT of random weights: the probe has tokens to look at, and apply wants the same weights."""
    options = {**QUICK, **TINY, "blocks": "2,3", "weights": tiny_vit}
    report = segment(sample / "image.tif", labels=sample / "labels.tif", out=tmp_path / "vit", **options)
    assert isinstance(report["positional_probe_r2"], float)
    _, vit = report["features"]["sources"]
    assert vit["settings"]["blocks"] == [2, 3]
    assert len(vit["provenance"]["sha256"]) == 64
    assert vit["settings"]["channels"] == 0
    assert vit["learned"] == {}
    apply(tmp_path / "vit" / "classifier", [sample / "image.tif"], out=tmp_path / "again", weights=tiny_vit)
    ours = tifffile.imread(tmp_path / "again" / "image_labels.tif")
    assert np.array_equal(ours, tifffile.imread(tmp_path / "vit" / "labels.tif"))


def test_with_a_vit_of_few_channels(tiny_vit, sample, tmp_path):
    options = {**QUICK, **TINY, "blocks": "2,3", "channels": 6, "weights": tiny_vit}
    report = segment(sample / "image.tif", labels=sample / "labels.tif", out=tmp_path / "vit", **options)
    assert isinstance(report["positional_probe_r2"], float)
    _, vit = report["features"]["sources"]
    assert vit["settings"]["channels"] == 6
    assert len(vit["learned"]["basis_b"]) == 12  # its digest: the basis itself is with the classifier
    other = write_image(tmp_path / "other.tif", demo_image(96, 5)[0].data)
    report = apply(tmp_path / "vit" / "classifier", [sample / "image.tif", other], out=tmp_path / "r", weights=tiny_vit)
    ours = tifffile.imread(tmp_path / "r" / "image_labels.tif")
    assert np.array_equal(ours, tifffile.imread(tmp_path / "vit" / "labels.tif"))
    # the features of the other image, by themselves, have the same components
    out = tmp_path / "f"
    features(other, feature_file=tmp_path / "vit" / "classifier", out=out, weights=tiny_vit)
    extractor, _ = read_features(tmp_path / "vit" / "classifier")
    again, names = read_features(out)
    assert again.differences(extractor) == []
    with tifffile.TiffFile(out / "features.tif") as tif:
        assert names == tuple(tif.imagej_metadata["Labels"])


def test_data_bar_is_not_labelled(sample, tmp_path):
    options = {"labels": sample / "labels.tif", "out": tmp_path / "r", "databar": "20", **QUICK}
    report = segment(sample / "image.tif", **options)
    data = tifffile.imread(tmp_path / "r" / "labels.tif")
    assert data.shape == (128, 128)
    assert not data[108:].any()
    assert data[:108].all()
    assert report["databar_rows"] == 20
    inside = demo_image(128)[1].data[:108]
    assert list(report["labelled_pixels"].values()) == [(inside == value).sum() for value in (1, 2, 3)]
    assert sum(report["class_fractions"].values()) == pytest.approx(1, abs=1e-5)
    probabilities = tifffile.imread(tmp_path / "r" / "probabilities.tif")
    assert not probabilities[:, 108:].any()


def test_roi_labels(sample, tmp_path):
    _, _, truth = demo_image(128)
    boxes = {}
    for value, name in ((2, "cam"), (1, "ise")):
        y, x = np.argwhere(truth == value)[64]
        boxes |= {f"{name}-1": (int(x), int(y), int(x) + 3, int(y) + 3)}
    rois = write_rois(tmp_path / "strokes.zip", boxes)
    arguments = ["segment", str(sample / "image.tif"), "--labels", str(rois), "--out", str(tmp_path / "r"), *FAST]
    assert main([*arguments, "--quiet"]) == 0
    report = _stored(tmp_path / "r")
    assert report["class_names"] == ["cam", "ise"]
    assert report["labelled_pixels"] == {"cam": 9, "ise": 9}


# --- apply -----------------------------------------------------------------------------------------------------------


def test_a_stack_is_its_slices(done, tmp_path):
    out, _ = done
    slices = [demo_image(96, seed)[0].data // scale for seed, scale in ((1, 1), (2, 3))]
    stack = write_image(tmp_path / "stack.tif", np.stack(slices))
    single = [write_image(tmp_path / f"s{z}.tif", data) for z, data in enumerate(slices)]
    report = apply(out / "classifier", [stack, *single], out=tmp_path / "r", statistics="slice")
    assert [file["shape"] for file in report["files"]] == [[2, 96, 96], [96, 96], [96, 96]]
    for kind in ("labels", "probabilities"):
        whole = tifffile.imread(tmp_path / "r" / f"stack_{kind}.tif")
        assert len(whole) == 2
        for z in range(2):
            assert np.array_equal(whole[z], tifffile.imread(tmp_path / "r" / f"s{z}_{kind}.tif")), (kind, z)
    assert len(np.unique(whole.reshape(2, -1), axis=0)) == 2  # the slices are not one and the same
    read = list(read_slices(tmp_path / "r" / "stack_labels.tif", databar=0))
    assert [image.pixel_size.x for image in read] == pytest.approx([25, 25])


def test_images_of_one_name(done, sample, tmp_path):
    out, _ = done
    paths = []
    for folder, name, seed in (("a", "x.tif", 1), ("b", "X.tif", 2), ("c", "x_2.tif", 3), ("d", "x[1].tif", 4)):
        (tmp_path / folder).mkdir()
        paths.append(write_image(tmp_path / folder / name, demo_image(96, seed)[0].data))
    report = apply(out / "classifier", paths, out=tmp_path / "r", probabilities=False)
    assert report["outputs"] == [name for file in report["files"] for name in file["outputs"]]
    prefixes = ["x", "X-2", "x_2", "x[1]"]
    assert [f["outputs"] for f in report["files"]] == [[f"{p}_labels.tif", f"{p}_overlay.png"] for p in prefixes]
    assert {path.name for path in (tmp_path / "r").glob("[!.]*")} == {
        "report.json", *(name for file in report["files"] for name in file["outputs"])
    }  # fmt: skip
    assert len({(tmp_path / "r" / f"{p}_labels.tif").read_bytes() for p in prefixes}) == 4


def test_pixels_of_another_size(done, sample, tmp_path, caplog):
    out, _ = done
    data = demo_image(96)[0].data
    other, same = write_image(tmp_path / "other.tif", data, nm=50), write_image(tmp_path / "same.tif", data, nm=26)
    with caplog.at_level(logging.WARNING):
        report = apply(out / "classifier", [other, same], out=tmp_path / "r", probabilities=False)
    assert "2.00 times as large" in report["files"][0]["pixel_size_note"]
    assert report["files"][1]["pixel_size_note"] is None
    assert "rescale the image or train anew" in caplog.text


# --- features ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stack_file(tmp_path_factory) -> Path:
    """Three slices of 70 x 90 pixels, the 10 rows at the bottom for a data bar."""
    slices = [demo_image(96, seed)[0].data[:70, :90] for seed in (1, 2, 3)]
    return write_image(tmp_path_factory.mktemp("stack") / "stack.tif", np.stack(slices))


@pytest.mark.parametrize("channels", [0, 4])
def test_features_as_imagej_opens_them(java, tiny_vit, sample, tmp_path, channels):
    options = {**TINY, "channels": channels, "weights": tiny_vit, "threads": 1}
    report = features(sample / "image.tif", out=tmp_path / "f", **options)
    assert _stored(tmp_path / "f") == json.loads(json.dumps(report))
    learned = ["features.safetensors"] if channels else []
    assert report["outputs"] == ["features.tif", "features.json", *learned]
    assert {path.name for path in (tmp_path / "f").glob("[!.]*")} == {*report["outputs"], "report.json"}
    assert (report["slices"], report["shape"]) == ([1], [128, 128])
    assert report["n_features"] == 76 + (channels or 64)
    assert {"reading", "features", "writing"} <= set(report["stages"])
    extractor, names = read_features(tmp_path / "f" / "features.json")
    assert list(extractor.arrays()) == (["vit.basis_b"] if channels else [])
    stack = extract_features(read_image(sample / "image.tif"), extractor.with_weights(str(tiny_vit)))
    assert names == stack.names
    assert sum(name.startswith("vit_") for name in names) == (channels or 64)

    opened = java.jclass("ij.IJ").openImage(str(tmp_path / "f" / "features.tif"))
    planes = opened.getStack()
    assert (opened.getStackSize(), opened.getBitDepth()) == (len(names), 32)
    assert tuple(str(planes.getSliceLabel(i + 1)) for i in range(len(names))) == names
    ours = np.asarray(stack)
    for i in (0, 1, 40, 75, 76, len(names) - 1):
        np.testing.assert_array_equal(np.asarray(planes.getPixels(i + 1)).reshape(128, 128), ours[..., i])
    assert opened.getCalibration().pixelWidth == pytest.approx(25)
    assert str(opened.getCalibration().getUnit()) == "nm"


def test_labels_on_several_slices(stack_file, tmp_path):
    """A class may be labelled on one slice alone; all slices are segmented, as by the classifier afterwards."""
    rois = {
        "ISE-1": (5, 5, 30, 9, 1),
        "CAM-1": (40, 30, 60, 40, 1),
        "pore-1": (20, 40, 30, 50, 3),
        "ISE-2": (60, 10, 80, 20, 3),
    }
    with zipfile.ZipFile(tmp_path / "rois.zip", "w") as archive:
        for name, (left, top, right, bottom, place) in rois.items():
            corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
            roi = ImagejRoi.frompoints(corners, name=name)
            roi.position = place
            archive.writestr(f"{name}.roi", roi.tobytes())
    how = {"features": "tws", "databar": "10", "trees": 8, "threads": 1}
    report = segment(stack_file, labels=tmp_path / "rois.zip", out=tmp_path / "all", **how)
    assert report["labelled_slices"] == [1, 3]
    assert report["class_names"] == ["ISE", "CAM", "pore"]
    assert report["labelled_pixels"]["ISE"] == 25 * 4 + 20 * 10
    whole = tifffile.imread(tmp_path / "all" / "labels.tif")
    assert whole.shape == (3, 70, 90)
    apply(tmp_path / "all" / "classifier", [stack_file], out=tmp_path / "applied", databar="10")
    assert np.array_equal(whole, tifffile.imread(tmp_path / "applied" / "stack_labels.tif"))
    report = segment(stack_file, labels=tmp_path / "rois.zip", out=tmp_path / "two", slices="2,3", suggest=3, **how)
    assert np.array_equal(whole[1:], tifffile.imread(tmp_path / "two" / "labels.tif"))
    rois = roiread(tmp_path / "two" / "label_next.zip")
    assert len(rois) == len(report["label_next"]) == 3
    assert {roi.position for roi in rois} <= {2, 3}


def test_features_of_slices(tiny_vit, stack_file, tmp_path, monkeypatch):
    monkeypatch.setattr("fijibridge.operations.features._BAND_BYTES", 90 * 80 * 4 * 7)  # 7 rows
    options = {**TINY, "channels": 4, "weights": tiny_vit, "databar": "10"}
    report = features(stack_file, out=tmp_path / "f", slices="3, 2", **options)
    assert report["slices"] == [2, 3]
    assert report["shape"] == [3, 70, 90]
    assert report["outputs"] == [
        "features_0002.tif", "features_0003.tif", "features.json", "features.safetensors",
    ]  # fmt: skip
    extractor, names = read_features(tmp_path / "f")
    extractor = extractor.with_weights(str(tiny_vit))
    images = list(read_slices(stack_file, databar=10))
    # the components are those of the first slice wanted
    settings = [source.settings for source in extractor.sources]
    for image, same in ((images[1], True), (images[0], False)):
        assert (not extract_features(image, settings).extractor.differences(extractor)) == same
    for number in (2, 3):
        data = tifffile.imread(tmp_path / "f" / f"features_{number:04d}.tif")
        assert data.shape == (80, 70, 90)
        assert not data[:, 60:].any()
        stack = extract_features(images[number - 1], extractor)
        np.testing.assert_array_equal(np.moveaxis(data[:, :60], 0, 2), np.asarray(stack))
    # one slice by what makes the features of the others
    features(stack_file, out=tmp_path / "one", slices="1", feature_file=tmp_path / "f", weights=tiny_vit, databar="10")
    again, same_names = read_features(tmp_path / "one")
    assert (again.differences(extractor), same_names) == ([], names)
    assert not (tmp_path / "one" / "features.tif").exists()


@pytest.mark.parametrize(
    ("text", "count", "numbers"), [("", 2, [1, 2]), ("1-3,7", 9, [1, 2, 3, 7]), (" 2 , 1-2 ", 2, [1, 2]), ("1", 1, [1])]
)
def test_slices_by_number(text, count, numbers):
    assert slice_numbers(text, count) == numbers


@pytest.mark.parametrize(
    "text", ["0", "4", "2-4", "3-1", "a", "1-", "-1", "1,,2", "1-2-3", "1_0", "1.5", "²", "9" * 20]
)
def test_slices_that_are_not_there(text):
    with pytest.raises(SettingsError, match="slices = "):
        slice_numbers(text, 3)


def test_features_that_no_tiff_holds(tiny_vit, sample, tmp_path, monkeypatch):
    def no_work(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("fijibridge.features.vit.encoder.ViTEncoder.tokens", no_work)
    monkeypatch.setattr("fijibridge.images.writing.LARGEST_TIFF", 100 * 4 * 128 * 128)
    for options, remedy in [
        ({**TINY, "weights": tiny_vit}, "set channels to 24 or less, or crop the image"),
        ({**TINY, "channels": 25}, "set channels to 24 or less"),
    ]:
        with pytest.raises(OutputError, match="features of 128 x 128 px would take") as error:
            features(sample / "image.tif", out=tmp_path / "f", **options)
        assert "100 features of this size" in error.value.expected
        assert remedy in error.value.remedy
    monkeypatch.setattr("fijibridge.images.writing.LARGEST_TIFF", 50 * 4 * 128 * 128)
    with pytest.raises(OutputError) as error:
        features(sample / "image.tif", out=tmp_path / "f", features="tws")
    assert error.value.remedy == "crop the image"
    monkeypatch.setattr("fijibridge.images.writing.LARGEST_TIFF", 76 * 4 * 128 * 128)
    with pytest.raises(OutputError) as error:
        features(sample / "image.tif", out=tmp_path / "f", **TINY, weights=tiny_vit)
    assert error.value.remedy == "leave the ViT out, or crop the image"
    assert tree(tmp_path) == {}


def test_channels_are_counted_at_each_scale(tiny_vit, sample, tmp_path, monkeypatch):
    monkeypatch.setattr("fijibridge.images.writing.LARGEST_TIFF", 100 * 4 * 128 * 128)
    with pytest.raises(OutputError, match="204 features") as error:
        features(sample / "image.tif", out=tmp_path / "f", **{**TINY, "coarse_blocks": "4", "weights": tiny_vit})
    assert "set channels to 12 or less" in error.value.remedy


def test_files_that_do_not_describe_features(sample, tmp_path, monkeypatch):
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    rng = np.random.default_rng(0)
    elsewhere = FeatureStack.from_array(rng.normal(size=(20, 20, 3)))
    saved = PixelSegmenter(n_trees=2, n_threads=1).fit(elsewhere, rng.integers(0, 3, (20, 20))).save(tmp_path / "s")
    plain, broken = tmp_path / "plain.model", tmp_path / "broken.json"
    plain.write_bytes(b"\xac\xed\x00\x05")
    before = tree(tmp_path)
    for classifier, kind, told in [
        (saved, FeatureMismatchError, "features from elsewhere"),
        (plain, ModelFileError, "plain.model does not describe features"),
        (sample, ImageNotFoundError, r"no .*features\.json"),
        (tmp_path / "gone", ImageNotFoundError, "no .*gone"),
    ]:
        with pytest.raises(kind, match=told):
            features(sample / "image.tif", feature_file=classifier, out=tmp_path / "f")
    extractor = FeatureExtractor("tws")
    (tmp_path / "f").mkdir()
    write_extractor(tmp_path / "f", extractor, ["a"])
    good = json.loads((tmp_path / "f" / "features.json").read_text(encoding="utf-8"))
    shutil.rmtree(tmp_path / "f")
    about = good["features"]
    (source,) = about["sources"]

    def with_settings(**settings):
        return json.dumps({**good, "features": {**about, "sources": [{**source, "settings": settings}]}})

    for content, told in [
        ("{", "cannot be read .*property name"),
        ("[]", "no JSON object"),
        ("{}", "format"),
        (json.dumps({**good, "version": 1}), "version 1"),
        (json.dumps({**good, "version": 3}), "version 3"),
        (json.dumps({**good, "format": "fijibridge-recipe"}), "fijibridge 0.1"),
        (with_settings(kind="tws", depth=1), "depth"),
        (with_settings(kind="sobel"), "sobel"),
        (json.dumps({**good, "features": None}), "NoneType"),
        (json.dumps({**good, "features": {**about, "sources": []}}), "no source"),
        (json.dumps({**good, "features_sha256": "0" * 64}), "features.safetensors beside it is not what it describes"),
        (json.dumps({**good, "feature_names": "a"}), "feature_names"),
        ('{"a":' * 100_000, "nested too deeply"),
    ]:
        broken.write_text(content, encoding="utf-8")
        with pytest.raises(ModelFileError, match=told) as error:
            read_features(broken)
        assert str(broken) in error.value.found
    broken.unlink()
    assert tree(tmp_path) == before


def test_options_beside_a_classifier_are_told_to_be_unused(done, sample, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        features(sample / "image.tif", feature_file=done[0] / "classifier", features="vit", out=tmp_path / "f")
    assert "the options for features are not used" in caplog.text
    written, names = read_features(tmp_path / "f")
    wanted, wanted_names = read_features(done[0] / "classifier")
    assert (written.differences(wanted), names) == ([], wanted_names)


# --- demo ------------------------------------------------------------------------------------------------------------


def test_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--size", "128", "--features", "tws", "--threads", "1"]) == 0
    out = tmp_path / "fijibridge-demo"
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {"image.tif", "labels.tif", "truth.tif", "segmentation/labels.tif", "report.json"} <= files
    report = _stored(out)
    assert set(report["outputs"]) < files
    assert "segmentation/overlay.png" in report["outputs"]
    assert report["iou"].keys() == set(CLASS_NAMES)
    assert report["mean_iou"] == pytest.approx(np.mean(list(report["iou"].values())), abs=1e-3)
    assert report["mean_iou"] > 0.5
    truth, found = (read_image(out / n, databar=0).data for n in ("truth.tif", "segmentation/labels.tif"))
    pore = ((truth == 3) & (found == 3)).sum() / ((truth == 3) | (found == 3)).sum()
    assert report["iou"]["pore"] == pytest.approx(pore, abs=1e-4)
    assert "intersection over union" in capsys.readouterr().out
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir())
    text = (out / "report.json").read_text(encoding="utf-8")
    assert "/new" not in text  # no word of the place where it was built


# --- all of them -----------------------------------------------------------------------------------------------------


def test_every_parameter_is_described():
    for name in CATALOGUE:
        hints = inspect.get_annotations(operation(name), eval_str=True)
        hints.pop("return")
        for parameter, annotation in hints.items():
            param = param_of(annotation)[1]
            assert isinstance(param, Param), f"{name}: {parameter}"
            assert param.help or parameter == "seed"


@pytest.mark.parametrize(
    "change", [{"trees": 0}, {"seed": -1}, {"engine": "java"}, {"tile": 5}, {"threads": -1}, {"max_features": "few"}]
)
def test_settings_out_of_range_are_called_by_their_own_names(sample, tmp_path, change):
    (name,) = change
    with pytest.raises(SettingsError, match=rf"^{name} = ") as caught:
        segment(sample / "image.tif", labels=sample / "labels.tif", out=tmp_path / "r", **{**QUICK, **change})
    assert caught.value.expected
    assert tree(tmp_path) == {}


def test_results_never_replace_their_own_inputs(done, sample):
    out, _ = done
    before = tree(out)
    with pytest.raises(OutputError, match="input of this work"):
        apply(out / "classifier", [sample / "image.tif"], out=out, overwrite=True)
    with pytest.raises(OutputError, match="input of this work"):
        segment(sample / "image.tif", labels=out / "labels.tif", out=out, overwrite=True, **QUICK)
    assert tree(out) == before


def test_no_images(done, tmp_path):
    with pytest.raises(BridgeError, match="no images"):
        apply(done[0] / "classifier", [], out=tmp_path / "r")
