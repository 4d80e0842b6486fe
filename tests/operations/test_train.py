"""train: several labelled images, data that TWS saved, and both; and what it refuses before the work begins."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from shell import write_image, write_rois

from fijibridge.core.errors import BridgeError
from fijibridge.features.extract import FeatureExtractor
from fijibridge.features.extractor_file import write_extractor
from fijibridge.forest import read_arff, write_arff
from fijibridge.frontends.cli import main
from fijibridge.images.image import read_image
from fijibridge.operations.apply import apply
from fijibridge.operations.segment import segment
from fijibridge.operations.train import train
from fijibridge.segmentation import load_segmenter
from fijibridge.synthesis.demo import CLASS_NAMES, demo_image

QUICK = {"features": "tws", "trees": 10, "threads": 1}
SIZE = 96


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Three images of a material, the folder of their labels, and the truth."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "labels").mkdir()
    truths = []
    for k in range(3):
        image, labels, truth = demo_image(SIZE, k)
        write_image(folder / f"place{k}.tif", image.data)
        tifffile.imwrite(folder / "labels" / f"place{k}.tif", labels.data)
        truths.append(truth)
    return folder, truths


def _images(folder: Path) -> list[Path]:
    return [folder / f"place{k}.tif" for k in range(3)]


@pytest.fixture(scope="module")
def trained(places):
    """The first two images, whose data are saved."""
    folder, _ = places
    report = train(
        _images(folder)[:2], labels=[folder / "labels"], out=folder / "two", classes=",".join(CLASS_NAMES),
        save_data=True, importance=True, **QUICK,
    )  # fmt: skip
    return folder / "two", report


def test_several_images(places, trained, tmp_path):
    folder, truths = places
    out, report = trained
    strokes = [demo_image(SIZE, k)[1].counts for k in range(2)]
    assert report["samples"] == {name: sum(one[name] for one in strokes) for name in CLASS_NAMES}
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(report))
    files = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert files == {"classifier", "confusion.csv", "data.arff", "importance.csv", "importance.png", "report.json"}
    # the result itself is taken for the classifier in it
    applied = apply(out, [folder / "place2.tif"], out=tmp_path / "a", threads=1)
    assert applied["forest"] == report["forest"]
    assert (tifffile.imread(tmp_path / "a" / "place2_labels.tif") == truths[2]).mean() > 0.7


def test_it_is_the_training_that_python_does(places, trained):
    from fijibridge.segmentation import PixelSegmenter

    folder, _ = places
    images = [read_image(path) for path in _images(folder)[:2]]
    segmenter = PixelSegmenter("tws", n_trees=10, n_threads=1)
    segmenter.fit(images, [demo_image(SIZE, k)[1] for k in range(2)])
    assert segmenter.forest_.sha256() == trained[1]["forest"]["sha256"]


def test_one_image_is_the_training_of_segment(places, tmp_path):
    folder, _ = places
    image, labels = folder / "place0.tif", folder / "labels" / "place0.tif"
    alone = train([image], labels=[labels], out=tmp_path / "t", **QUICK)
    whole = segment(image, labels=labels, out=tmp_path / "s", **QUICK)
    assert alone["forest"] == whole["forest"]
    assert alone["oob_accuracy"] == whole["oob_accuracy"]


def test_the_saved_data(places, trained):
    folder, _ = places
    samples = read_arff(trained[0] / "data.arff")
    assert samples.counts == trained[1]["samples"]
    stack = FeatureExtractor("tws").transform(read_image(folder / "place0.tif"))
    mask = demo_image(SIZE, 0)[1].data > 0
    np.testing.assert_allclose(samples.X[: mask.sum()], stack.at(mask), atol=1e-5, rtol=1e-6)
    assert samples.feature_names == stack.names


@pytest.mark.parametrize("engine", ["sklearn", "weka"])
def test_data_alone(places, trained, tmp_path, engine):
    folder, truths = places
    report = train(data=trained[0] / "data.arff", out=tmp_path / "t", engine=engine, trees=10, threads=1)
    assert report["samples"] == trained[1]["samples"]
    assert report["oob_accuracy"] > 0.8
    segmenter = load_segmenter(tmp_path / "t" / "classifier")
    assert segmenter.class_names_ == CLASS_NAMES
    assert (segmenter.predict(read_image(folder / "place2.tif")) == truths[2]).mean() > 0.7


def test_data_and_labels_go_on_together(places, trained, tmp_path):
    folder, _ = places
    rois = {"pore": (3, 3, 20, 20), "CAM": (40, 40, 60, 60), "pore-1": (70, 3, 80, 12)}
    folder_of_rois = tmp_path / "rois"
    folder_of_rois.mkdir()
    _zip(folder_of_rois / "place2.zip", rois)
    both = train(
        [folder / "place2.tif"], labels=[folder_of_rois], data=trained[0] / "data.arff", out=tmp_path / "both",
        save_data=True, trees=10, threads=1,
    )  # fmt: skip
    old, new = trained[1]["samples"], {"CAM": 400, "pore": 17 * 17 + 90}
    assert both["samples"] == {name: old[name] + new.get(name, 0) for name in CLASS_NAMES}
    lines = (tmp_path / "both" / "data.arff").read_text().splitlines()
    data = (trained[0] / "data.arff").read_text().splitlines()
    assert lines[-sum(old.values()) :] == data[-sum(old.values()) :]  # no digit of the old data is lost
    # what was trained so is trained from its data alone, too
    again = train(data=tmp_path / "both" / "data.arff", out=tmp_path / "again", trees=10, threads=1)
    assert again["samples"] == both["samples"]


def _zip(path: Path, rois: dict, slices: dict | None = None) -> Path:
    import zipfile

    from roifile import roiread

    with zipfile.ZipFile(path, "w") as archive:
        for name, box in rois.items():
            file = write_rois(path.parent / f"{name}.roi", {name: box})
            roi = roiread(file)
            roi.position = (slices or {}).get(name, 0)
            archive.writestr(f"{name}.roi", roi.tobytes())
            file.unlink()
    return path


def test_roi_sets_of_which_each_lacks_classes(places, tmp_path):
    folder, _ = places
    first = _zip(tmp_path / "a.zip", {"pore": (0, 0, 10, 10), "CAM": (30, 30, 40, 40)})
    other = _zip(tmp_path / "b.zip", {"ISE": (0, 0, 10, 10), "pore": (30, 30, 40, 40)})
    report = train(_images(folder)[:2], labels=[first, other], out=tmp_path / "t", **QUICK)
    assert report["samples"] == {"pore": 200, "CAM": 100, "ISE": 100}


def test_a_stack_with_labels_on_some_slices_and_an_image(places, tmp_path):
    folder, _ = places
    planes = np.stack([demo_image(SIZE, k)[0].data for k in range(3)])
    stack = write_image(tmp_path / "stack.tif", planes)
    rois = _zip(tmp_path / "stack.zip", {"pore": (0, 0, 10, 10), "CAM": (30, 30, 40, 40)}, {"pore": 1, "CAM": 3})
    report = train(
        [stack, folder / "place0.tif"], labels=[rois, folder / "labels" / "place0.tif"], out=tmp_path / "t",
        classes=",".join(CLASS_NAMES), **QUICK,
    )  # fmt: skip
    own = demo_image(SIZE, 0)[1].counts
    assert report["samples"] == {**own, "pore": own["pore"] + 100, "CAM": own["CAM"] + 100}
    assert report["labelled_slices"] == 3


def test_balanced_as_tws_does_it(places, trained, tmp_path, capsys):
    data = str(trained[0] / "data.arff")
    out = {}
    for engine in ("sklearn", "weka"):
        where = tmp_path / engine
        assert (
            main(["train", "--data", data, "--balance", "--engine", engine, "--trees", "5", "--out", str(where)]) == 0
        )
        out[engine] = json.loads((where / "report.json").read_text())
        assert "flatters the more" in capsys.readouterr().out
    drawn = [np.loadtxt(tmp_path / engine / "confusion.csv", delimiter=",", skiprows=1, usecols=(1, 2, 3)).sum(1)
             for engine in out]  # fmt: skip
    each = sum(trained[1]["samples"].values()) // 3
    assert (np.abs(drawn[1] - drawn[0]) < 0.2 * each).all()  # those that no tree saw
    assert (drawn[0] <= each).all()


def test_features_of_a_vit_with_their_file(places, tiny_vit, tmp_path):
    folder, _ = places
    vit = {"features": "tws,vit", "encoder": "test_vit", "blocks": "2", "coarse_blocks": "none", "enlargement": 1.0}
    vit |= {"upsampler": "bilinear", "trees": 8, "threads": 1, "weights": tiny_vit}
    image, labels = [folder / "place0.tif"], [folder / "labels" / "place0.tif"]
    linear = train(image, labels=labels, out=tmp_path / "linear", save_data=True, **vit)
    assert linear["head"] == "linear"
    data = tmp_path / "linear" / "data.arff"
    with pytest.raises(BridgeError, match="feature-file"):
        train(data=data, out=tmp_path / "no", threads=1)
    report = train(data=data, feature_file=tmp_path / "linear", out=tmp_path / "t", trees=8, threads=1)
    assert report["head"] == "none"
    segmenter = load_segmenter(tmp_path / "t", weights=tiny_vit)
    assert segmenter.predict(read_image(image[0])).shape == (SIZE, SIZE)
    # features.json beside features, whose order may be another in the data
    extractor = segmenter.extractor_
    (tmp_path / "f").mkdir()
    samples = read_arff(data)
    write_extractor(tmp_path / "f", extractor, samples.feature_names)
    turned = write_arff(tmp_path / "turned.arff", samples.X[:, ::-1], samples.y, samples.feature_names[::-1],
                        samples.class_names)  # fmt: skip
    same = train(data=turned, feature_file=tmp_path / "f", out=tmp_path / "u", trees=8, threads=1)
    assert same["forest"] == report["forest"]
    write_arff(tmp_path / "x.arff", samples.X[:, :3], samples.y, samples.feature_names[:3], samples.class_names)
    with pytest.raises(BridgeError, match="lack"):
        train(data=tmp_path / "x.arff", feature_file=tmp_path / "f", out=tmp_path / "v")


def test_long_training_is_told(trained, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("fijibridge.operations.train._WORTH_IT", 100)
    report = train(data=trained[0] / "data.arff", out=tmp_path / "t", trees=5, threads=1)
    assert report["expected_minutes"] >= 0
    assert "training takes about" in caplog.text


# --- what cannot serve -----------------------------------------------------------------------------------------------


def _changed(trained, path: Path, change) -> Path:
    text = (trained[0] / "data.arff").read_text()
    path.write_text(change(text), encoding="utf-8")
    return path


BAD = {
    "nothing": ({}, "no images and no data"),
    "images without labels": ({"images": ["place0.tif"]}, "1 image(s) and no labels"),
    "labels without images": ({"labels": ["labels"]}, "and no image"),
    "fewer labels": ({"images": ["place0.tif", "place1.tif"], "labels": ["labels/place0.tif"]}, "2 images and 1 file"),
    "no labels of one": ({"images": ["place0.tif", "other.tif"], "labels": ["labels"]}, "no labels of other.tif"),
    "an image that is not labelled": (
        {"images": ["place0.tif", "place1.tif"], "labels": ["labels/place0.tif", "empty.tif"]}, "is labelled in",
    ),
    "other classes": ({"data": "two/data.arff", "classes": "a,b,c"}, "classes a, b, c"),
    "a ROI of another class": (
        {"images": ["place0.tif"], "labels": ["other.zip"], "data": "two/data.arff"}, "'crack', which is not among",
    ),
    "other features": ({"data": "two/data.arff", "features": "tws,vit"}, "features tws,vit"),
    "a detector's file for several": (
        {"images": ["place0.tif", "place1.tif"], "labels": ["labels"], "detectors": "SE=place2.tif"},
        "further detector",
    ),
    "no data": ({"data": "no.arff"}, "no file"),
    "no ARFF": ({"data": "place0.tif"}, "begins with"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(places, trained, tmp_path, case):
    folder, _ = places
    given, words = BAD[case]
    if not (folder / "empty.tif").exists():
        tifffile.imwrite(folder / "empty.tif", np.zeros((SIZE, SIZE), np.uint8))
        _zip(folder / "other.zip", {"crack": (0, 0, 9, 9), "pore": (20, 20, 30, 30)})
        write_image(folder / "other.tif", np.zeros((SIZE, SIZE), np.uint8))
    arguments = {
        key: [folder / one for one in value] if isinstance(value, list) else
        folder / value if key == "data" else
        value.replace("=place2", f"={folder}/place2") if key == "detectors" else value
        for key, value in given.items()
    }  # fmt: skip
    with pytest.raises(BridgeError, match=re.escape(words)) as error:
        train(out=tmp_path / "t", threads=1, **arguments)
    assert error.value.expected
    assert error.value.remedy
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: re.sub(r"(?m)^\d+", "?", text), "missing values"),
        (lambda text: re.sub(r"(?m)^\d+", "Infinity", text), "infinite values"),
        (lambda text: text.replace("Gaussian_blur_1.0", "Mean_1.0_of_mine"), "are not TWS's in 2D: Mean_1.0_of_mine"),
        (lambda text: re.sub(r"(?m),\w+$", ",pore", text), "labels for 1 class"),
        (lambda text: text.split("@data")[0] + "@data\n", "no samples"),
    ],
)
def test_data_that_cannot_serve(trained, tmp_path, change, words):
    path = _changed(trained, tmp_path / "bad.arff", change)
    with pytest.raises(BridgeError, match=words):
        train(data=path, out=tmp_path / "t", threads=1)
    assert not (tmp_path / "t").exists()


def test_weka_takes_missing_values(trained, tmp_path):
    path = _changed(trained, tmp_path / "bad.arff", lambda text: re.sub(r"(?m)^\d+(\.\d+)?,", "?,", text, count=5))
    report = train(data=path, out=tmp_path / "t", engine="weka", trees=3, threads=1)
    assert report["oob_accuracy"] > 0.8
