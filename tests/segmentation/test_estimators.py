"""ForestClassifier and PixelSegmenter keep scikit-learn's conventions: its own checks, as far as they apply."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

import fijibridge as fb
from fijibridge.core.errors import SettingsError
from fijibridge.features.extract import FeatureExtractor
from fijibridge.forest import ForestClassifier

# Checks that a forest does not pass, as no forest of scikit-learn's does.
FOREST_FAILS = {
    name: "a bootstrap draws samples, so a weight of 2 is not the same as a sample that is there twice"
    for name in ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
}

# Checks of a segmenter. All others that scikit-learn has for classifiers fit tables of samples: a segmenter is fitted
# on images and label images, (Y, X) or (Y, X, 3), and has one output a pixel.
SEGMENTER = (
    "check_estimator_tags_renamed", "check_mixin_order",
    "check_estimator_cloneable", "check_estimator_repr", "check_estimators_unfitted", "check_get_params_invariance",
    "check_no_attributes_set_in_init", "check_parameters_default_constructible", "check_set_params",
    "check_valid_tag_types",
)  # fmt: skip
SEGMENTER_NOT = {
    "check_do_not_raise_errors_in_init_or_set_params": "settings are checked where they are given: a mistake is told "
    "before features take their time, not after",
}


@pytest.mark.slow
def test_forest_classifier():
    results = estimator_checks.check_estimator(
        ForestClassifier(n_estimators=5), expected_failed_checks=FOREST_FAILS, on_fail=None, on_skip=None
    )
    failed = {result["check_name"]: str(result["exception"]) for result in results if result["status"] == "failed"}
    assert not failed
    assert {result["check_name"] for result in results if result["status"] == "xfail"} == set(FOREST_FAILS)


def test_a_forest_of_several_outputs_is_refused():
    X = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(SettingsError, match="one label a sample"):
        ForestClassifier(3).fit(X, np.ones((20, 2)))


@pytest.mark.parametrize("name", SEGMENTER)
def test_pixel_segmenter(name):
    check = getattr(estimator_checks, name, None)
    if check is None:  # of another version of scikit-learn
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SettingsError occurred during set_params")  # see SEGMENTER_NOT
        check("PixelSegmenter", fb.PixelSegmenter("tws"))


def test_what_does_not_apply_is_still_so():
    for name in filter(estimator_checks.__dict__.get, SEGMENTER_NOT):
        with pytest.raises((AssertionError, SettingsError)):
            getattr(estimator_checks, name)("PixelSegmenter", fb.PixelSegmenter("tws"))


def test_parameters_of_a_segmenter():
    segmenter = fb.PixelSegmenter("tws", n_trees=7, max_features="3", class_colors=["#010203"])
    assert segmenter.get_params()["max_features"] == "3"
    assert clone(segmenter).get_params() == segmenter.get_params()
    assert is_classifier(segmenter)
    assert segmenter.set_params(n_trees=9, features="tws") is segmenter
    assert segmenter.n_trees == 9
    for wrong in ({"n_trees": 0}, {"nothing": 1}, {"features": "no such"}):
        with pytest.raises(SettingsError):
            segmenter.set_params(**wrong)
        assert segmenter.n_trees == 9
    extractor = FeatureExtractor("tws")
    assert clone(fb.PixelSegmenter(extractor)).features is extractor


def test_a_segmenter_that_was_not_trained():
    segmenter, image = fb.PixelSegmenter("tws"), np.zeros((32, 32), np.uint8)
    for call in (segmenter.predict, segmenter.predict_proba, segmenter.save, check_is_fitted):
        with pytest.raises(NotFittedError):
            call(segmenter if call is check_is_fitted else image)
    with pytest.raises(SettingsError, match="not trained"):
        segmenter.predict(image)


def test_equal_runs_write_equal_files(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (32, 40), dtype=np.uint8)
    labels = np.zeros(image.shape, np.uint8)
    labels[5:9, 5:9], labels[20:25, 20:25] = 1, 2
    found = []
    for run in ("one", "two"):
        segmenter = fb.PixelSegmenter("tws", n_trees=3, n_threads=1, seed=4).fit(image, labels)
        folder = segmenter.save(tmp_path / run)
        found.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert found[0].keys() == found[1].keys()
    assert found[0]["forest.safetensors"] == found[1]["forest.safetensors"]
    assert found[0]["classifier.json"] == found[1]["classifier.json"]
    assert found[0]["classifier.model"] == found[1]["classifier.model"]
