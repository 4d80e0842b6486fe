"""A .model of TWS's own features: its names say which are made, and greys that do not fit are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import fijibridge as fb
from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.forest import write_model
from fijibridge.images.grey_map import grey_map
from fijibridge.images.image import image_from_array
from fijibridge.operations import operation
from fijibridge.segmentation.model_colours import on_thirds
from fijibridge.segmentation.model_greys import greys_of_forest
from fijibridge.synthesis.demo import demo_image

CHOSEN = TwsSettings(("Gaussian_blur", "Hessian", "Membrane_projections"), 2.0, 8.0, 9, 3)


@pytest.fixture(scope="module")
def old(java, tmp_path_factory) -> tuple[fb.PixelSegmenter, Path, np.ndarray]:
    """A segmenter, its forest as TWS would have saved it, and the 8-bit image of both."""
    image, labels = demo_image(96)[:2]
    data = (image.grey / image.grey.max() * 255).astype(np.uint8)
    segmenter = fb.PixelSegmenter(CHOSEN, head="none", n_trees=12, n_threads=1).fit(data, labels)
    path = tmp_path_factory.mktemp("old") / "old.model"
    write_model(path, segmenter.forest_)
    tifffile.imwrite(path.with_name("image.tif"), data)
    return segmenter, path, data


def test_it_makes_its_own_features(old):
    segmenter, path, data = old
    loaded = fb.load_segmenter(path, n_threads=1)
    assert loaded.extractor_.settings.source("tws") == CHOSEN
    np.testing.assert_array_equal(loaded.predict_proba(data), segmenter.predict_proba(data))


def test_attributes_in_another_order_or_fewer_of_them(old, tmp_path):
    segmenter, _, data = old
    forest = segmenter.forest_
    order = np.random.default_rng(0).permutation(forest.n_features)
    used = set(forest.feature[forest.feature >= 0].tolist())
    order = [column for column in order if column in used or column % 2]  # some that no tree asks for are gone
    place = np.zeros(forest.n_features, np.int32)
    place[order] = np.arange(len(order))
    fewer = replace(
        forest,
        feature=np.where(forest.feature >= 0, place[forest.feature], forest.feature),
        feature_names=tuple(forest.feature_names[column] for column in order),
        n_features=len(order),
    )
    write_model(tmp_path / "fewer.model", fewer)
    loaded = fb.load_segmenter(tmp_path / "fewer.model", n_threads=1)
    np.testing.assert_array_equal(loaded.predict_proba(data), segmenter.predict_proba(data))


def test_a_model_that_does_not_say_its_dimensions_is_asked_for_them(old, tmp_path, monkeypatch):
    segmenter, _, _ = old
    forest = segmenter.forest_
    names = ("original", "Mean_1.0", "Variance_1.0")
    few = replace(
        forest, feature=np.minimum(forest.feature, 2).astype(np.int32), feature_names=names, n_features=len(names)
    )
    monkeypatch.setattr("fijibridge.forest.java.model_writing.RELATION", "segment")
    monkeypatch.setattr("fijibridge.forest.java.weka.RELATION", "segment")
    write_model(tmp_path / "few.model", few)
    with pytest.raises(FeatureMismatchError, match="say --dimensions 2d"):
        fb.load_segmenter(tmp_path / "few.model")
    settings = fb.load_segmenter(tmp_path / "few.model", dimensions="2d").extractor_.settings.source("tws")
    assert settings == TwsSettings(("Mean", "Variance"), 1.0, 1.0, old_hessian=True)
    assert fb.load_segmenter(tmp_path / "few.model", dimensions="3d").extractor_.needs_stack


def test_greys_of_the_training_are_told_from_the_splits(old):
    segmenter, path, data = old
    low, high = greys_of_forest(segmenter.forest_)
    assert data.min() <= low < high < int(data.max()) + 1
    assert fb.load_segmenter(path).grey_range_ == (low, high)


def test_greys_that_do_not_fit_are_told_and_mapped(old, tmp_path, caplog):
    segmenter, path, data = old
    apply = operation("apply")
    tifffile.imwrite(tmp_path / "deep.tif", data.astype(np.uint16) * 200 + 3000)
    report = apply(path, [tmp_path / "deep.tif"], out=tmp_path / "as_it_is", threads=1)
    assert report["features_by_names"].startswith("TWS's Gaussian_blur, Hessian, Membrane_projections of a grey image")
    assert "these features see greys as they are: give --grey-range auto" in caplog.text
    expected = segmenter.predict(data)
    as_it_is = tifffile.imread(tmp_path / "as_it_is" / "deep_labels.tif")
    assert (as_it_is == expected).mean() < 0.9
    apply(path, [tmp_path / "deep.tif"], out=tmp_path / "mapped", grey_range="3000:54000", threads=1)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "mapped" / "deep_labels.tif"), expected)
    apply(path, [tmp_path / "deep.tif"], out=tmp_path / "auto", grey_range="auto", threads=1)
    auto = tifffile.imread(tmp_path / "auto" / "deep_labels.tif")
    assert (auto == expected).mean() > (as_it_is == expected).mean()


@pytest.mark.parametrize("choice", ["wide", "5:5", "9:1", "1:2:3", "0:"])
def test_a_range_that_is_none_is_refused(choice):
    with pytest.raises(SettingsError, match="LOW:HIGH"):
        grey_map(choice, image_from_array(np.zeros((4, 4), np.uint8)), (0, 255))


def test_auto_needs_greys_on_both_sides():
    flat, ramp = (image_from_array(array) for array in (np.zeros((4, 4), np.uint8), np.eye(8, dtype=np.float32)))
    with pytest.raises(SettingsError, match="dark and bright"):
        grey_map("auto", flat, (0, 255))
    with pytest.raises(SettingsError, match="does not know the greys"):
        grey_map("auto", ramp, None)
    assert grey_map("none", flat, None) is None


def test_splits_on_thirds_part_as_in_double_precision(old):
    """TWS compares thirds in double precision with splits that were rounded to single precision."""
    forest = old[0].forest_
    rng = np.random.default_rng(1)
    kinds = [
        rng.integers(0, 766, forest.n_nodes) / 3.0,
        (rng.integers(0, 766, forest.n_nodes) / 3.0).astype(np.float32),
        (rng.integers(0, 1531, forest.n_nodes) / 6.0).astype(np.float32),
        rng.uniform(-5, 300, forest.n_nodes),
    ]
    thirds = np.arange(766) / 3.0
    for splits in kinds:
        given = replace(forest, threshold=splits.astype(np.float64))
        made = on_thirds(given)
        left = thirds[:, None] < given.threshold
        np.testing.assert_array_equal(thirds.astype(np.float32)[:, None] < made.threshold, left)
