"""Importances and out-of-bag results of a classifier: the same whoever trained the forest."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from shell import write_sample
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import confusion_matrix, jaccard_score, precision_score, recall_score

import fijibridge as fb
from fijibridge.core.errors import ModelFileError
from fijibridge.features.linear_head.fitting import fit_linear_model
from fijibridge.features.linear_head.importance import head_importances
from fijibridge.features.linear_head.model import LinearModel
from fijibridge.features.presets import preset_settings
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.forest.out_of_bag import class_scores, confusion
from fijibridge.forest.sklearn import train_sklearn
from fijibridge.operations import operation
from fijibridge.synthesis.demo import CLASS_NAMES, demo_image

SMALL = {"encoder": "test_vit", "blocks": (2, 4), "coarse_blocks": (4,), "enlargement": 1.0}
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    """The first two features separate the classes, the others do not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 6)).astype(np.float32)
    return X, (X[:, 0] + rng.normal(0, 0.5, 900) > 0).astype(int) + (X[:, 1] > 1)


@pytest.fixture(scope="module")
def trained(tiny_vit) -> fb.PixelSegmenter:
    image, labels, _ = demo_image(112)
    vit = preset_settings("default", **SMALL, weights=str(tiny_vit))
    return fb.PixelSegmenter([TwsSettings(), vit], n_trees=12, n_threads=1).fit(image, labels)


def test_confusion_and_scores_are_scikit_learns(samples):
    X, y = samples
    forest, accuracy = train_sklearn(X, y, n_trees=30, seed=4, n_threads=1, class_names=NAMES)
    clf = RandomForestClassifier(30, criterion="entropy", max_features=2, random_state=4, oob_score=True).fit(X, y)
    found = clf.oob_decision_function_.argmax(axis=1)
    matrix = np.array(forest.settings["oob_confusion"])
    assert np.array_equal(matrix, confusion_matrix(y, found))
    assert accuracy == pytest.approx(clf.oob_score_)
    scores = class_scores(matrix, NAMES)
    for score, function in (("precision", precision_score), ("recall", recall_score), ("iou", jaccard_score)):
        expected = function(y, found, average=None)
        assert [scores[name][score] for name in NAMES] == pytest.approx(expected.tolist(), abs=1e-6)


def test_samples_that_all_trees_saw_do_not_count():
    votes = np.array([[0, 0], [1, 1], [0, 2.0]])
    assert confusion(np.array([0, 0, 0]), votes).tolist() == [[1, 1], [0, 0]]
    scores = class_scores([[1, 1], [0, 0]], ("a", "b"))
    assert scores == {
        "a": {"precision": 1.0, "recall": 0.5, "iou": 0.5},
        "b": {"precision": 0.0, "recall": None, "iou": 0.0},
    }


@pytest.mark.parametrize("n_trees", [1, 4, 60])
def test_wekas_votes_are_those_of_its_error(weka, samples, n_trees):
    X, y = samples
    forest, accuracy = weka.train_weka(X, y, n_trees=n_trees, seed=3, n_threads=2, class_names=NAMES)
    matrix = np.array(forest.settings["oob_confusion"])
    assert np.all(matrix.sum(axis=1) <= np.bincount(y))
    if n_trees == 60:  # each sample is outside of some bag
        assert matrix.sum() == len(y)
        assert np.trace(matrix) / matrix.sum() == pytest.approx(accuracy)
    else:
        assert matrix.sum() < len(y)
    assert weka.train_weka(X, y, n_trees=2, out_of_bag=False)[0].settings.get("oob_confusion") is None


def test_wekas_missing_samples(weka, samples):
    X, y = samples
    holed = X.copy()
    holed[3, 2] = np.nan
    assert "oob_confusion" not in weka.train_weka(holed, y, n_trees=5)[0].settings


def test_both_engines_find_what_matters(weka, samples):
    X, y = samples
    for train in (train_sklearn, weka.train_weka):
        found = train(X, y, n_trees=30, class_names=NAMES)[0].feature_importances()
        assert found.sum() == pytest.approx(1)
        assert set(np.argsort(-found)[:2]) == {0, 1}


def test_importances_of_a_segmenter(java, trained, tmp_path):
    assert trained.feature_importances_.shape == (len(trained.forest_.feature_names),)
    assert trained.feature_importances_.sum() == pytest.approx(1)
    assert trained.oob_confusion_.shape == (3, 3)
    assert np.trace(trained.oob_confusion_) / trained.oob_confusion_.sum() == pytest.approx(trained.oob_accuracy_)
    groups = trained.head_importances_
    assert list(groups) == ["plain", "vit_b02", "vit_b04", "vit_h04"]
    np.testing.assert_allclose(np.sum(list(groups.values()), axis=0), 1)
    again = fb.load_segmenter(trained.save(tmp_path / "saved"))
    np.testing.assert_array_equal(again.feature_importances_, trained.feature_importances_)
    np.testing.assert_array_equal(again.oob_confusion_, trained.oob_confusion_)


def test_a_classifier_without_out_of_bag_votes_has_no_confusion(trained, tmp_path):
    trained.save(tmp_path / "saved")
    path = tmp_path / "saved" / "classifier.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**index, "oob_confusion": None}), encoding="utf-8")
    assert fb.load_segmenter(tmp_path / "saved").oob_confusion_ is None
    del index["oob_confusion"]
    path.write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ModelFileError, match="oob_confusion"):
        fb.load_segmenter(tmp_path / "saved")


def test_groups_of_a_linear_model():
    """Values that come from one group alone, in parts known by construction."""
    rng = np.random.default_rng(1)
    groups = ["", "vit_b06", "vit_b06", "vit_h06"]
    X = rng.normal(size=(3000, 4)).astype(np.float32)
    y = (X[:, 1] > 0).astype(int)
    model = fit_linear_model(X, y, groups, 2, X)
    shares = head_importances(model, X, groups)
    assert list(shares) == ["plain", "vit_b06", "vit_h06"]
    assert min(shares["vit_b06"]) > 0.85
    np.testing.assert_allclose(sum(shares.values()), 1)
    again = head_importances(LinearModel.from_arrays(model.arrays(), 2), X, groups)
    assert all(np.array_equal(again[group], share) for group, share in shares.items())


@pytest.mark.parametrize("engine", ["sklearn", "weka"])
def test_files_of_segment(java, tiny_vit, tmp_path, engine):
    write_sample(tmp_path, 112)
    report = operation("segment")(
        tmp_path / "image.tif",
        labels=tmp_path / "labels.tif",
        out=tmp_path / "out",
        engine=engine,
        classes=",".join(CLASS_NAMES),
        encoder="test_vit",
        blocks="2",
        coarse_blocks="none",
        enlargement=1.0,
        weights=tiny_vit,
        trees=12,
        threads=1,
        importance=True,
    )
    assert {"confusion.csv", "importance.csv", "importance.png"} < set(report["outputs"])
    assert all((tmp_path / "out" / name).stat().st_size for name in report["outputs"])
    with (tmp_path / "out" / "confusion.csv").open(encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["true class", *CLASS_NAMES]
    assert [row[0] for row in rows] == list(CLASS_NAMES)
    matrix = np.array([row[1:] for row in rows], int)
    assert report["oob_scores"] == class_scores(matrix, CLASS_NAMES)
    with (tmp_path / "out" / "importance.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    forest = [float(row["importance"]) for row in table if row["model"] == "forest"]
    assert sum(forest) == pytest.approx(1, abs=1e-4)
    assert forest == sorted(forest, reverse=True)
    assert len(forest) == 76 + 3
    linear = [row for row in table if row["model"] == "linear"]
    assert {row["feature"] for row in linear} == {"plain", "vit_b02"}
    assert sum(float(row["importance"]) for row in linear) == pytest.approx(3, abs=1e-4)
