"""Segmenters of a ``.model`` with another classifier than FastRandomForest: predicting, saving, applying."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from weka_models import NAMES, picture, train_and_save, tws_features

import fijibridge as fb
from fijibridge.core.errors import ModelFileError, SettingsError
from fijibridge.forest import Forest, WekaClassifier

pytestmark = pytest.mark.usefixtures("java")


@pytest.fixture(scope="module")
def models(java, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "SMO": train_and_save("functions.SMO -M", folder / "smo.model"),
        "J48": train_and_save("trees.J48", folder / "j48.model"),
    }


@pytest.fixture(scope="module")
def smo(models):
    return fb.load_segmenter(models["SMO"], n_threads=2)


@pytest.mark.parametrize("name", ["SMO", "J48"])
def test_a_model_segments(models, name):
    image, truth = picture()
    segmenter = fb.load_segmenter(models[name], n_threads=1)
    assert isinstance(segmenter.forest_, WekaClassifier if name == "SMO" else Forest)
    assert segmenter.class_names_ == NAMES
    X = tws_features()[0]
    expected = segmenter.forest_.predict_proba(X).astype(np.float32).reshape(40, 48, 3)
    np.testing.assert_array_equal(segmenter.predict_proba(image), expected)
    assert (segmenter.predict(image) == truth + 1).mean() > 0.8


def test_what_it_says(smo):
    assert "weka.classifiers.functions.SMO run by Weka" in repr(smo)
    with pytest.raises(SettingsError, match="importances"):
        _ = smo.feature_importances_


def test_saved_and_loaded(smo, tmp_path):
    folder = smo.save(tmp_path / "classifier")
    assert not (folder / "forest.safetensors").exists()
    assert json.loads((folder / "classifier.json").read_text(encoding="utf-8"))["run_by"] == "Weka"
    again = fb.load_segmenter(folder)
    assert again.forest_.equals(smo.forest_)
    np.testing.assert_array_equal(again.predict_proba(picture()[0]), smo.predict_proba(picture()[0]))


def test_features_in_another_order_are_saved_and_loaded(models, smo, tmp_path):
    from fijibridge.forest.classifier import in_order
    from fijibridge.segmentation.load import segmenter_from_model

    names = tws_features()[3]
    turned = segmenter_from_model(models["SMO"], smo.extractor_, names[::-1])
    assert turned.forest_.feature_names == names[::-1]
    again = fb.load_segmenter(turned.save(tmp_path / "classifier"))
    assert again.forest_.equals(turned.forest_)
    assert in_order(again.forest_, names).equals(smo.forest_)


@pytest.fixture
def folder(smo, tmp_path):
    return smo.save(tmp_path / "classifier")


def _changed(folder, **values):
    path = folder / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_folders_that_do_not_fit(folder, models):
    names = list(tws_features()[3])
    _changed(folder, feature_names=names[::-1])
    with pytest.raises(ModelFileError, match=r"classifier.model is not the classifier that classifier.json describes"):
        fb.load_segmenter(folder)
    _changed(folder, feature_names=names[:-1])
    with pytest.raises(ModelFileError, match="in place of"):
        fb.load_segmenter(folder)
    _changed(folder, feature_names=names, class_names=list(NAMES[::-1]))
    with pytest.raises(ModelFileError, match="is not the classifier"):
        fb.load_segmenter(folder)
    _changed(folder, class_names=list(NAMES))
    fb.load_segmenter(folder)
    shutil.copy(models["J48"], folder / "classifier.model")
    with pytest.raises(ModelFileError, match="is not the classifier"):
        fb.load_segmenter(folder)
    (folder / "classifier.model").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match=r"not a \.model file"):
        fb.load_segmenter(folder)
    (folder / "classifier.model").unlink()
    with pytest.raises(ModelFileError, match="cannot read"):
        fb.load_segmenter(folder)
    _changed(folder, run_by="fijibridge")
    with pytest.raises(ModelFileError, match=r"forest.safetensors"):
        fb.load_segmenter(folder)


@pytest.mark.parametrize(("name", "workers"), [("SMO", 2), ("J48", 1)])
def test_apply(models, name, workers, tmp_path):
    """The whole operation on a stack of two slices; workers read the model themselves."""
    import tifffile

    from fijibridge.operations.apply import apply

    image, _ = picture()
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([image, image[::-1]]), imagej=True, metadata={"axes": "ZYX"})
    report = apply(models[name], [tmp_path / "stack.tif"], out=tmp_path / "out", threads=1, workers=workers)
    segmenter = fb.load_segmenter(models[name])
    labels = tifffile.imread(tmp_path / "out" / "stack_labels.tif")
    np.testing.assert_array_equal(labels[0], segmenter.predict(image))
    np.testing.assert_array_equal(labels[1], segmenter.predict(image[::-1]))
    if name == "SMO":
        assert report["forest"]["run_by"] == "Weka"
        assert report["forest"]["classifier"] == "weka.classifiers.functions.SMO"
    else:
        assert report["forest"]["trees"] == 1


def test_import_classifier(models, smo, tmp_path):
    """A model of features that fijibridge wrote, whichever classifier it holds."""
    import tifffile

    from fijibridge.operations.features import features
    from fijibridge.operations.import_classifier import import_classifier

    tifffile.imwrite(tmp_path / "image.tif", picture()[0])
    features(tmp_path / "image.tif", out=tmp_path / "features", features="tws")
    report = import_classifier(
        tws_model=models["SMO"], feature_file=tmp_path / "features" / "features.json", out=tmp_path / "out"
    )
    assert report["forest"]["run_by"] == "Weka"
    again = fb.load_segmenter(tmp_path / "out" / "classifier")
    np.testing.assert_array_equal(again.predict(picture()[0]), smo.predict(picture()[0]))
