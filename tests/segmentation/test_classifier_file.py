"""Saved classifiers: whole or not at all, the same after loading, in TWS too, and what is damaged is refused."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import FeatureMismatchError, ImageNotFoundError, ModelFileError, OutputError
from fijibridge.features.extractor_file import arrays_digest, read_arrays, write_arrays
from fijibridge.features.stack import FeatureStack
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.features.vit.settings import VitSettings
from fijibridge.forest import Forest, read_model, train_weka, write_model
from fijibridge.frontends.cli import main
from fijibridge.operations.apply import apply
from fijibridge.operations.features import features
from fijibridge.operations.import_classifier import import_classifier
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.segmentation.load import read_features
from fijibridge.synthesis.demo import CLASS_NAMES, demo_image

FILES = {"classifier.json", "forest.safetensors", "classifier.model", "recipe.toml", "statistics.safetensors"}
COLORS = ["#102030", "#405060", "#708090"]


@pytest.fixture(scope="module")
def demo():
    return demo_image(128)


def trained(demo, features="tws", **options) -> PixelSegmenter:
    image, labels, _ = demo
    return PixelSegmenter(features, n_trees=8, n_threads=2, class_colors=COLORS, **options).fit(image, labels)


def tiny(weights: Path, **changes) -> list:
    vit = VitSettings("test_vit", (2,), (), upsampler="bilinear", weights=str(weights))
    return [TwsSettings(), replace(vit, **changes)]


@pytest.fixture(scope="module")
def segmenter(demo):
    return trained(demo)


@pytest.fixture
def saved(segmenter, tmp_path):
    return segmenter.save(tmp_path / "saved")


def rewrite(folder: Path, **changes) -> None:
    index = json.loads((folder / "classifier.json").read_text("utf-8"))
    (folder / "classifier.json").write_text(json.dumps({**index, **changes}), "utf-8")


# --- what was saved is there again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["sklearn", "weka"])
@pytest.mark.parametrize("kind", ["tws", "vit", "components"])
@pytest.mark.slow
def test_round_trip(java, demo, tiny_vit, tmp_path, engine, kind):
    image = demo[0]
    features = {"tws": "tws", "vit": tiny(tiny_vit), "components": tiny(tiny_vit, channels=4)}[kind]
    before = trained(demo, features, engine=engine)
    folder = tmp_path / "new" / "klassifikätor"
    assert before.save(folder) == folder
    files = FILES if kind == "tws" else FILES | {"features.safetensors", "unlikeness.safetensors"}
    assert {file.name for file in folder.glob("[!.]*")} == files
    after = load_segmenter(folder, weights=tiny_vit)
    assert after.forest_.equals(before.forest_)
    assert after.engine == engine
    assert after.head == ("none" if kind == "tws" else "linear")
    assert after.extractor_.differences(before.extractor_) == []
    assert after.extractor_.to_json() == before.extractor_.to_json()
    learned = after.extractor_.arrays()
    assert set(learned) == set(before.extractor_.arrays())
    for name, array in before.extractor_.arrays().items():
        np.testing.assert_array_equal(learned[name], array)
    assert after.class_names_ == CLASS_NAMES
    assert ["#" + bytes(color).hex() for color in after.class_colors_] == COLORS
    assert after.pixel_size_ == image.pixel_size
    assert after.oob_accuracy_ == before.oob_accuracy_
    assert after.held_out_accuracy_ == before.held_out_accuracy_
    np.testing.assert_array_equal(after.oob_confusion_, before.oob_confusion_)
    np.testing.assert_array_equal(after.predict_proba(image), before.predict_proba(image))
    # the .model beside is the same forest, its nodes in Weka's order
    in_fiji = read_model(folder / "classifier.model")
    assert in_fiji.feature_names == before.forest_.feature_names
    assert in_fiji.class_names == CLASS_NAMES
    samples = np.asarray(before.extract(image)).reshape(-1, len(in_fiji.feature_names))
    assert np.abs(in_fiji.predict_proba(samples) - before.forest_.predict_proba(samples)).max() <= 1e-12
    # and it goes round: loaded, saved, loaded
    again = load_segmenter(after.save(tmp_path / "again"), weights=tiny_vit)
    assert again.forest_.sha256() == before.forest_.sha256()
    assert again.extractor_.differences(before.extractor_) == []


def test_an_upsamplers_weights_and_components_of_two_scales_are_saved(demo, tiny_vit, tmp_path):
    before = trained(demo, tiny(tiny_vit, channels=4, coarse_blocks=(3,), upsampler="learned"))
    after = load_segmenter(before.save(tmp_path / "saved"), weights=tiny_vit)
    learned = after.extractor_.arrays()
    assert {"vit.basis_b", "vit.basis_h", "vit.upsampler_weights"} < learned.keys()
    for name, array in before.extractor_.arrays().items():
        np.testing.assert_array_equal(learned[name], array, err_msg=name)
    np.testing.assert_array_equal(after.predict_proba(demo[0]), before.predict_proba(demo[0]))


def test_a_classifier_of_fijibridge_0_1_is_refused(saved):
    """Format version 1 had a recipe in place of sources."""
    index = json.loads((saved / "classifier.json").read_text("utf-8"))
    del index["features"], index["features_sha256"]
    index |= {"version": 1, "recipe": {"encoder": "none", "blocks": [6], "classical": "tws"}}
    (saved / "classifier.json").write_text(json.dumps(index), "utf-8")
    refused(saved, r"a classifier of fijibridge 0\.1")
    with pytest.raises(ModelFileError) as error:
        read_features(saved)
    assert "version 2" in error.value.expected
    assert "train it again" in error.value.remedy
    assert "0.1" in error.value.remedy


def test_other_weights_than_the_classifiers_are_refused(demo, tiny_vit, tmp_path):
    from safetensors.torch import load_file, save_file

    trained(demo, tiny(tiny_vit)).save(tmp_path / "vit")
    state = load_file(tiny_vit)
    state["norm.bias"] += 1
    save_file(state, tmp_path / "other.safetensors")
    loaded = load_segmenter(tmp_path / "vit", weights=tmp_path / "other.safetensors")
    with pytest.raises(FeatureMismatchError, match="the classifier's own"):
        loaded.predict(demo[0])


def test_features_from_elsewhere_keep_their_names(saved, tmp_path):
    rng = np.random.default_rng(0)
    stack = FeatureStack.from_array(rng.normal(size=(20, 20, 3)), "abc")
    segmenter = PixelSegmenter(n_trees=3, n_threads=1).fit(stack, rng.integers(0, 3, (20, 20)))
    loaded = load_segmenter(segmenter.save(tmp_path / "elsewhere"))
    assert loaded.extractor_ is None
    assert loaded.pixel_size_ is None
    np.testing.assert_array_equal(loaded.predict(stack), segmenter.predict(stack))
    with pytest.raises(FeatureMismatchError, match="came from elsewhere"):
        loaded.predict(np.zeros((20, 20), np.uint8))


def test_saving_needs_no_java(segmenter, demo, tmp_path, monkeypatch, caplog):
    with_java = segmenter.save(tmp_path / "with Java")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    folder = segmenter.save(tmp_path / "saved")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert {file.name for file in folder.glob("[!.]*")} == FILES
    assert (folder / "classifier.model").read_bytes() == (with_java / "classifier.model").read_bytes()
    np.testing.assert_array_equal(load_segmenter(folder).predict(demo[0]), segmenter.predict(demo[0]))


# --- .model files of TWS ---------------------------------------------------------------------------------------------


def test_a_plain_model_on_tws_features_segments(java, segmenter, demo, tmp_path):
    for name in ("plain.model", "plain.model.gz"):
        write_model(tmp_path / name, segmenter.forest_)
        loaded = load_segmenter(tmp_path / name)
        assert loaded.class_names_ == CLASS_NAMES
        assert loaded.extractor_.differences(segmenter.extractor_) == []
        np.testing.assert_array_equal(loaded.predict(demo[0]), segmenter.predict(demo[0]))


def test_a_model_on_other_features_is_refused_by_name(java, segmenter, tmp_path):
    forest = segmenter.forest_
    names = list(forest.feature_names)
    others = {
        "vit_b06_c000": (["vit_b06_c000", *names[1:]], r"Forest to Python(?s:.*)import-classifier"),
        "Gabor_1": (["Gabor_1", *names[1:]], r"76 features, of which 1 are not TWS's in 2D: Gabor_1"),
    }
    for name, (used, message) in others.items():
        write_model(tmp_path / f"{name}.model", replace(forest, feature_names=tuple(used)))
        with pytest.raises(FeatureMismatchError, match=message):
            load_segmenter(tmp_path / f"{name}.model")
    (tmp_path / "text.model").write_text("hello")
    with pytest.raises(ModelFileError, match=r"is not a \.model file"):
        load_segmenter(tmp_path / "text.model")


# --- .model files that TWS trained on features of fijibridge ----------------------------------------------------------


@pytest.fixture(scope="module")
def from_tws(java, demo, tiny_vit, tmp_path_factory) -> Path:
    """What a user of TWS has: image.tif, the folder features, and tws.model, trained on them in another order."""
    folder = tmp_path_factory.mktemp("tws")
    tifffile.imwrite(folder / "image.tif", demo[0].data)
    small = {"encoder": "test_vit", "blocks": "2", "coarse_blocks": "none", "channels": 4, "weights": tiny_vit}
    features(folder / "image.tif", out=folder / "features", **small)
    with tifffile.TiffFile(folder / "features" / "features.tif") as tif:
        planes, names = tif.asarray(), tif.imagej_metadata["Labels"]
    order = np.random.default_rng(0).permutation(len(names))
    labels = demo[1].data
    forest, _ = train_weka(
        planes[order][:, labels > 0].T,
        labels[labels > 0].astype(np.int64) - 1,
        n_trees=8,
        feature_names=[names[i] for i in order],
        class_names=CLASS_NAMES,
    )
    write_model(folder / "tws.model", forest)
    result = forest.predict(np.moveaxis(planes[order], 0, 2)) + 1
    tifffile.imwrite(folder / "wanted.tif", result.astype(np.uint8))
    return folder


def test_a_model_of_tws_segments(from_tws, tiny_vit, tmp_path):
    file, out = from_tws / "features" / "features.json", tmp_path / "c"
    arguments = ["import-classifier", from_tws / "tws.model", "--feature-file", file, "--out", out, "--quiet"]
    assert main(list(map(str, arguments))) == 0
    report = json.loads((tmp_path / "c" / "report.json").read_text("utf-8"))
    assert report["outputs"] == ["classifier"]
    assert report["class_names"] == list(CLASS_NAMES)
    assert report["forest"]["trees"] == 8
    assert report["features"]["sources"][1]["settings"]["channels"] == 4
    assert report["features"]["head"] is None
    apply(tmp_path / "c" / "classifier", [from_tws / "image.tif"], out=tmp_path / "r", weights=tiny_vit)
    ours = tifffile.imread(tmp_path / "r" / "image_labels.tif")
    assert np.array_equal(ours, tifffile.imread(from_tws / "wanted.tif"))
    # a saved classifier describes its features too, and a model in the right order stays as it is
    saved = tmp_path / "c" / "classifier"
    again = import_classifier(saved / "classifier.model", feature_file=saved, out=tmp_path / "d")
    assert again["features"] == report["features"]
    assert again["forest"] == report["forest"]
    (found, names), (wanted, wanted_names) = read_features(tmp_path / "d" / "classifier"), read_features(file)
    assert (found.differences(wanted), names) == ([], wanted_names)


def test_a_model_of_other_features(from_tws, tmp_path):
    features(from_tws / "image.tif", out=tmp_path / "f", features="tws")
    before = set(tmp_path.iterdir())
    with pytest.raises(FeatureMismatchError, match=r"80 features, and these are 76; these lack vit_pca") as error:
        import_classifier(from_tws / "tws.model", feature_file=tmp_path / "f", out=tmp_path / "c")
    assert "features.json beside" in error.value.remedy
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy(from_tws / "features" / "features.safetensors", more)
    content = json.loads((from_tws / "features" / "features.json").read_text(encoding="utf-8"))
    content["feature_names"].append("x")
    (more / "features.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(FeatureMismatchError, match="the model lacks x"):
        import_classifier(from_tws / "tws.model", feature_file=more / "features.json", out=tmp_path / "c")
    shutil.rmtree(more)
    with pytest.raises(ImageNotFoundError, match=r"no model file .*gone\.model"):
        import_classifier(tmp_path / "gone.model", feature_file=tmp_path / "f", out=tmp_path / "c")
    assert set(tmp_path.iterdir()) == before


LIVE = """
import os, sys
import jpype

jpype.startJVM("-Djava.awt.headless=true", classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep))
tws = jpype.JClass("trainableSegmentation.WekaSegmentation")()
assert tws.loadClassifier(sys.argv[1])
header = tws.getTrainHeader()
print(tws.getClassifier().getClass().getName(), header.numAttributes(), header.numClasses())
print("|".join(str(header.classAttribute().value(k)) for k in range(header.numClasses())))
# ImageJ's own pool would keep the process alive
jpype.JClass("ij.util.ThreadUtil").threadPoolExecutor.shutdownNow()
"""


@pytest.mark.tws
@pytest.mark.skipif("FIJIBRIDGE_TWS_CLASSPATH" not in os.environ, reason="FIJIBRIDGE_TWS_CLASSPATH is not set")
@pytest.mark.parametrize("engine", ["sklearn", "weka"])
def test_tws_loads_the_model(java, demo, tmp_path, engine):
    folder = trained(demo, engine=engine).save(tmp_path / "saved")
    command = [sys.executable, "-c", LIVE, str(folder / "classifier.model")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert "hr.irb.fastRandomForest.FastRandomForest 77 3" in said
    assert "|".join(CLASS_NAMES) in said


# --- damaged and alien -----------------------------------------------------------------------------------------------


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as error:
        load_segmenter(folder)
    assert str(folder) in error.value.found
    assert error.value.remedy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "fijibridge 0.1"),
        ({"version": 3}, "version 3"),
        ({"format": "other"}, "'other'"),
        ({"engine": "xgboost"}, "engine = 'xgboost'"),
        ({"engine": []}, "engine"),
        ({"class_names": ["a", "b", "c"]}, "is not the forest"),
        ({"class_names": 3}, "is not the forest"),
        ({"class_colors": [[0, 0, 0]]}, "colo"),
        ({"class_colors": "red"}, "colo"),
        ({"features": "tws"}, "features in classifier.json"),
        ({"features": {"sources": 1}}, "features in classifier.json"),
        ({"features_sha256": "0" * 64}, "features.safetensors is not what classifier.json describes"),
        ({"pixel_size": {"y": -1, "x": 1, "unit": "nm"}}, "no classifier that can be used"),
        ({"pixel_size": [1, 2]}, "no classifier that can be used"),
        ({"oob_accuracy": "good"}, "'good'"),
        ({"held_out_accuracy": 2}, "held_out_accuracy"),
        ({"oob_confusion": [[1, 2], [3, 4]]}, "no classifier that can be used"),
        ({"forest_sha256": "0" * 64}, "is not the forest"),
    ],
    ids=str,
)
def test_a_changed_index_is_refused(saved, changes, message):
    rewrite(saved, **changes)
    refused(saved, message)


@pytest.fixture(scope="module")
def saved_with_vit(demo, tiny_vit, tmp_path_factory):
    return trained(demo, tiny(tiny_vit, channels=4)).save(tmp_path_factory.mktemp("vit") / "saved")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "sobel"}, "sobel"),
        ({"kind": 5}, "5"),
        ({"depth": 1}, "depth"),
        ({"encoder": 5}, "encoder"),
        ({"tile": "wide"}, "tile"),
        ({"percentiles": [1]}, "percentiles"),
        ({"debiasing": "learned"}, "debiasing"),
        ({"channels": 2}, "principal components|basis"),
        ({"channels": 0}, "basis"),
    ],
    ids=str,
)
def test_changed_settings_of_features_are_refused(saved_with_vit, tmp_path, changes, message):
    saved = shutil.copytree(saved_with_vit, tmp_path / "saved")
    about = json.loads((saved / "classifier.json").read_text("utf-8"))["features"]
    about["sources"][1]["settings"] |= changes
    rewrite(saved, features=about)
    refused(saved, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vit.basis_b": np.zeros((2, 2), np.float32)}, "principal components|basis"),
        ({"vit.basis_b": np.full((5, 64), np.nan, np.float32)}, "principal components|basis"),
        ({"vit.basis_h": np.zeros((5, 64), np.float32)}, "basis_h"),
        ({"head.offset": np.zeros(2)}, "linear head"),
        ({"head.low": np.full(76, np.nan)}, "linear head"),
        ({"tws.sigma": np.zeros(2)}, "sigma"),
        ({"other.basis": np.zeros(2)}, "other.basis"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_changed_arrays_of_features_are_refused(saved_with_vit, tmp_path, changes, message):
    """By their digest; and where that is made to fit, by their shapes and values."""
    saved = shutil.copytree(saved_with_vit, tmp_path / "saved")
    arrays = {**read_arrays(saved / "features.safetensors"), **changes}
    write_arrays(saved / "features.safetensors", arrays)
    refused(saved, "features.safetensors is not what classifier.json describes")
    rewrite(saved, features_sha256=arrays_digest(arrays))
    refused(saved, message)


def test_damaged_or_missing_arrays_of_features_are_refused(saved_with_vit, tmp_path):
    saved = shutil.copytree(saved_with_vit, tmp_path / "saved")
    path = saved / "features.safetensors"
    good = path.read_bytes()
    for content in (good[:-5], b"", good[:-1] + bytes([good[-1] ^ 1])):
        path.write_bytes(content)
        refused(saved, "features.safetensors")
    path.unlink()
    refused(saved, "features.safetensors")
    path.write_bytes(good)
    load_segmenter(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"format": 1}'])
def test_a_broken_index_is_refused(saved, content):
    (saved / "classifier.json").write_bytes(content)
    refused(saved, "classifier.json")


@pytest.mark.parametrize("name", ["classifier.json", "forest.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    refused(saved, name)


def test_a_damaged_or_swapped_forest_is_refused(saved, demo, segmenter):
    path = saved / "forest.safetensors"
    good = path.read_bytes()
    split = segmenter.forest_.threshold[segmenter.forest_.feature >= 0].max()
    for content in (good[:-5], b"", good.replace(split.tobytes(), (split * 2).tobytes())):
        assert content != good
        path.write_bytes(content)
        refused(saved, "forest.safetensors")
    trained(demo, seed=7).forest_.save(path)
    refused(saved, "is not the forest that classifier.json describes")
    path.write_bytes(good)
    load_segmenter(saved)


def test_other_folders_and_nothing(tmp_path):
    refused(tmp_path, "classifier.json")
    with pytest.raises(ImageNotFoundError, match="no classifier"):
        load_segmenter(tmp_path / "nowhere")


# --- writing ---------------------------------------------------------------------------------------------------------


def test_only_a_classifier_is_overwritten(saved, demo, tmp_path):
    other = trained(demo, seed=7)
    with pytest.raises(OutputError, match="exists already"):
        other.save(saved)
    assert other.save(saved, overwrite=True) == saved
    assert load_segmenter(saved).forest_.equals(other.forest_)
    alien = tmp_path / "photographs"
    alien.mkdir()
    other.save(alien)  # an empty folder is no loss
    shutil.rmtree(alien)
    alien.mkdir()
    (alien / "mother.jpg").write_bytes(b"irreplaceable")
    for overwrite in (False, True):
        with pytest.raises(OutputError):
            other.save(alien, overwrite=overwrite)
    with pytest.raises(OutputError, match="is a file"):
        other.save(alien / "mother.jpg", overwrite=True)
    assert [file.name for file in alien.iterdir()] == ["mother.jpg"]
    assert {file.name for file in tmp_path.iterdir()} == {"saved", "photographs"}


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("where", ["forest", "index", "model"])
def test_a_full_disk_leaves_nothing_half_written(segmenter, demo, tmp_path, monkeypatch, older, where):
    place = tmp_path / "saved"
    if older:
        segmenter.save(place)
    before = {file.name: file.read_bytes() for file in place.iterdir()} if older else None

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def full_model(path: Path, *_, **__):
        path.write_bytes(b"half")
        full()

    if where == "forest":
        monkeypatch.setattr(Forest, "save", full)
    elif where == "index":
        monkeypatch.setattr(Path, "write_text", full)
    else:
        monkeypatch.setattr("fijibridge.segmentation.classifier_file.write_model", full_model)
    with pytest.raises(OutputError, match="No space left") as error:
        segmenter.save(place, overwrite=older)
    assert str(place) in error.value.found
    assert [file.name for file in tmp_path.iterdir()] == (["saved"] if older else [])
    if older:
        assert {file.name: file.read_bytes() for file in place.iterdir()} == before
