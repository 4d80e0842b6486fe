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

from fijibridge.doors.cli import main
from fijibridge.errors import FeatureMismatchError, ImageNotFoundError, ModelFileError, OutputError
from fijibridge.features import FeatureRecipe, FeatureStack
from fijibridge.forest import Forest, read_model, train_weka, write_model
from fijibridge.operations.apply import apply
from fijibridge.operations.features import features
from fijibridge.operations.import_classifier import import_classifier
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.segmentation.recipe_file import read_recipe
from fijibridge.synthesis.demo import CLASS_NAMES, demo_image

FILES = {"classifier.json", "forest.safetensors", "classifier.model"}
COLORS = ["#102030", "#405060", "#708090"]


@pytest.fixture(scope="module")
def demo():
    return demo_image(128)


def trained(demo, recipe: FeatureRecipe | None = None, **options) -> PixelSegmenter:
    recipe = recipe or FeatureRecipe(encoder="none")
    image, labels, _ = demo
    return PixelSegmenter(recipe=recipe, n_trees=8, n_threads=2, class_colors=COLORS, **options).fit(image, labels)


@pytest.fixture(scope="module")
def segmenter(demo):
    return trained(demo)


@pytest.fixture
def saved(segmenter, tmp_path, monkeypatch):
    """A saved classifier, without its .model: what is in the folder is the same for both."""
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    return segmenter.save(tmp_path / "saved")


def rewrite(folder: Path, **changes) -> None:
    index = json.loads((folder / "classifier.json").read_text("utf-8"))
    (folder / "classifier.json").write_text(json.dumps({**index, **changes}), "utf-8")


# --- what was saved is there again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["sklearn", "weka"])
@pytest.mark.parametrize("kind", ["classical", "vit"])
def test_round_trip(java, demo, tiny_vit, tmp_path, engine, kind):
    image = demo[0]
    recipe = FeatureRecipe(encoder="test_vit", blocks=(2,)) if kind == "vit" else None
    before = trained(demo, recipe, engine=engine, checkpoint=tiny_vit)
    folder = tmp_path / "new" / "klassifikätor"
    assert before.save(folder) == folder
    assert {file.name for file in folder.iterdir()} == FILES
    after = load_segmenter(folder, checkpoint=tiny_vit)
    assert after.forest_.equals(before.forest_)
    assert after.engine == engine
    assert after.recipe_ == before.recipe_
    assert after.class_names_ == CLASS_NAMES
    assert ["#" + bytes(color).hex() for color in after.class_colors_] == COLORS
    assert after.pixel_size_ == image.pixel_size
    assert after.oob_accuracy_ == before.oob_accuracy_
    np.testing.assert_array_equal(after.predict_proba(image), before.predict_proba(image))
    # the .model beside is the same forest, its nodes in Weka's order
    in_fiji = read_model(folder / "classifier.model")
    assert in_fiji.feature_names == before.forest_.feature_names
    assert in_fiji.class_names == CLASS_NAMES
    samples = np.asarray(before.features(image)).reshape(-1, len(in_fiji.feature_names))
    assert np.abs(in_fiji.predict_proba(samples) - before.forest_.predict_proba(samples)).max() <= 1e-12
    # and it goes round: loaded, saved, loaded
    again = load_segmenter(after.save(tmp_path / "again"), checkpoint=tiny_vit)
    assert again.forest_.sha256() == before.forest_.sha256()
    assert again.recipe_ == before.recipe_


def test_a_classifier_saved_before_components_were_there(saved, demo, segmenter):
    recipe = segmenter.recipe_.to_json()
    rewrite(saved, recipe={key: value for key, value in recipe.items() if key not in ("channels", "basis")})
    loaded = load_segmenter(saved)
    assert loaded.recipe_ == segmenter.recipe_
    np.testing.assert_array_equal(loaded.predict(demo[0]), segmenter.predict(demo[0]))


def test_other_weights_than_the_classifiers_are_refused(demo, tiny_vit, tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file

    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    trained(demo, FeatureRecipe(encoder="test_vit", blocks=(2,)), checkpoint=tiny_vit).save(tmp_path / "vit")
    state = load_file(tiny_vit)
    state["norm.bias"] += 1
    save_file(state, tmp_path / "other.safetensors")
    loaded = load_segmenter(tmp_path / "vit", checkpoint=tmp_path / "other.safetensors")
    with pytest.raises(FeatureMismatchError, match="the classifier's own"):
        loaded.predict(demo[0])


def test_features_from_elsewhere_keep_their_names(saved, tmp_path):
    rng = np.random.default_rng(0)
    stack = FeatureStack.from_array(rng.normal(size=(20, 20, 3)), "abc")
    segmenter = PixelSegmenter(n_trees=3, n_threads=1).fit(stack, rng.integers(0, 3, (20, 20)))
    loaded = load_segmenter(segmenter.save(tmp_path / "elsewhere"))
    assert loaded.recipe_ is None
    assert loaded.pixel_size_ is None
    np.testing.assert_array_equal(loaded.predict(stack), segmenter.predict(stack))
    with pytest.raises(FeatureMismatchError, match="came from elsewhere"):
        loaded.predict(np.zeros((20, 20), np.uint8))


def test_without_java_the_model_is_left_out_with_a_warning(segmenter, demo, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with caplog.at_level(logging.WARNING, "fijibridge"):
        folder = segmenter.save(tmp_path / "saved")
    assert "no Java: classifier.model, which Fiji needs, was not written" in caplog.text
    assert {file.name for file in folder.iterdir()} == FILES - {"classifier.model"}
    np.testing.assert_array_equal(load_segmenter(folder).predict(demo[0]), segmenter.predict(demo[0]))


# --- .model files of TWS ---------------------------------------------------------------------------------------------


def test_a_plain_model_on_tws_features_segments(java, segmenter, demo, tmp_path):
    for name in ("plain.model", "plain.model.gz"):
        write_model(tmp_path / name, segmenter.forest_)
        loaded = load_segmenter(tmp_path / name)
        assert loaded.class_names_ == CLASS_NAMES
        assert loaded.recipe_.differences(segmenter.recipe_) == []
        np.testing.assert_array_equal(loaded.predict(demo[0]), segmenter.predict(demo[0]))


def test_a_model_on_other_features_is_refused_by_name(java, segmenter, tmp_path):
    forest = segmenter.forest_
    names = list(forest.feature_names)
    others = {
        "Gabor_1": (["Gabor_1", *names[1:]], r"76 features, among them Gabor_1"),
        "turned": (names[::-1], "not TWS's default set in its order"),
    }
    for name, (used, told) in others.items():
        write_model(tmp_path / f"{name}.model", replace(forest, feature_names=tuple(used)))
        with pytest.raises(FeatureMismatchError, match=told):
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
    tiny = {"encoder": "test_vit", "blocks": "2", "channels": 4, "weights": tiny_vit}
    features(folder / "image.tif", out=folder / "features", **tiny)
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
    recipe = from_tws / "features" / "recipe.json"
    arguments = ["import-classifier", from_tws / "tws.model", "--recipe", recipe, "--out", tmp_path / "c", "--quiet"]
    assert main(list(map(str, arguments))) == 0
    report = json.loads((tmp_path / "c" / "report.json").read_text("utf-8"))
    assert report["outputs"] == ["classifier"]
    assert report["class_names"] == list(CLASS_NAMES)
    assert report["forest"]["trees"] == 8
    assert report["recipe"]["channels"] == 4
    apply(tmp_path / "c" / "classifier", [from_tws / "image.tif"], out=tmp_path / "r", weights=tiny_vit)
    ours = tifffile.imread(tmp_path / "r" / "image_labels.tif")
    assert np.array_equal(ours, tifffile.imread(from_tws / "wanted.tif"))
    # a saved classifier tells the recipe too, and a model in the right order stays as it is
    again = import_classifier(
        tmp_path / "c" / "classifier" / "classifier.model", recipe=tmp_path / "c" / "classifier", out=tmp_path / "d"
    )
    assert again["recipe"] == report["recipe"]
    assert read_recipe(tmp_path / "d" / "classifier") == read_recipe(recipe)


def test_a_model_of_other_features(from_tws, tmp_path):
    features(from_tws / "image.tif", out=tmp_path / "f", encoder="none")
    before = set(tmp_path.iterdir())
    with pytest.raises(FeatureMismatchError, match=r"80 features, the recipe makes 76; .*not make vit_pca") as error:
        import_classifier(from_tws / "tws.model", recipe=tmp_path / "f", out=tmp_path / "c")
    assert "recipe.json beside" in error.value.remedy
    more = tmp_path / "more.json"
    content = json.loads((from_tws / "features" / "recipe.json").read_text(encoding="utf-8"))
    more.write_text(json.dumps({**content, "feature_names": [*content["feature_names"], "x"]}), encoding="utf-8")
    with pytest.raises(FeatureMismatchError, match="the model lacks x"):
        import_classifier(from_tws / "tws.model", recipe=more, out=tmp_path / "c")
    more.unlink()
    with pytest.raises(ImageNotFoundError, match=r"no model file .*gone\.model"):
        import_classifier(tmp_path / "gone.model", recipe=tmp_path / "f", out=tmp_path / "c")
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


def refused(folder: Path, told: str) -> None:
    with pytest.raises(ModelFileError, match=told) as error:
        load_segmenter(folder)
    assert str(folder) in error.value.found
    assert error.value.remedy


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "'other'"),
        ({"engine": "xgboost"}, "engine = 'xgboost'"),
        ({"engine": []}, "engine"),
        ({"class_names": ["a", "b", "c"]}, "is not the forest"),
        ({"class_names": 3}, "is not the forest"),
        ({"class_colors": [[0, 0, 0]]}, "colo"),
        ({"class_colors": "red"}, "colo"),
        ({"recipe": "tws"}, "recipe"),
        ({"recipe": {"depth": 1}}, "depth"),
        ({"recipe": {"encoder": 5}}, "encoder"),
        ({"recipe": {"tile": "wide"}}, "tile"),
        ({"recipe": {"percentiles": [1]}}, "percentiles"),
        ({"recipe": {"channels": 2, "basis": "AAAA"}}, "basis"),
        ({"pixel_size": {"y": -1, "x": 1, "unit": "nm"}}, "no classifier that can be used"),
        ({"pixel_size": [1, 2]}, "no classifier that can be used"),
        ({"oob_accuracy": "good"}, "'good'"),
        ({"forest_sha256": "0" * 64}, "is not the forest"),
    ],
    ids=str,
)
def test_a_changed_index_is_refused(saved, changes, told):
    rewrite(saved, **changes)
    refused(saved, told)


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
    refused(saved, "is not the forest that classifier.json tells of")
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
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    place = tmp_path / "saved"
    if older:
        segmenter.save(place)
    before = {file.name: file.read_bytes() for file in place.iterdir()} if older else None

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def full_model(path: Path, *_):
        path.write_bytes(b"half")
        full()

    if where == "forest":
        monkeypatch.setattr(Forest, "save", full)
    elif where == "index":
        monkeypatch.setattr(Path, "write_text", full)
    else:
        monkeypatch.setattr("fijibridge.segmentation.bundle._write_model", full_model)
    with pytest.raises(OutputError, match="No space left") as error:
        segmenter.save(place, overwrite=older)
    assert str(place) in error.value.found
    assert [file.name for file in tmp_path.iterdir()] == (["saved"] if older else [])
    if older:
        assert {file.name: file.read_bytes() for file in place.iterdir()} == before
