"""Whose statistics scale a slice: alone it is as in its stack, separate images are as before."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fijibridge.core.errors import ModelFileError, SettingsError
from fijibridge.features.extractor_file import read_arrays, write_arrays
from fijibridge.features.stack import FeatureStack
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.features.vit.encoder import token_cache
from fijibridge.features.vit.settings import VitSettings
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.segmentation.statistics import ChosenSlices, stack_statistics, statistics_for
from fijibridge.synthesis.demo import demo_image


@pytest.fixture(scope="module")
def slices():
    return [demo_image(128, seed)[0] for seed in range(4)]


@pytest.fixture(scope="module")
def features(tiny_vit):
    return TwsSettings(), VitSettings("test_vit", (2,), (4,), weights=str(tiny_vit))


@pytest.fixture(scope="module")
def segmenter(features):
    image, labels, _ = demo_image(128)
    return PixelSegmenter(features, n_trees=10, n_threads=2).fit(image, labels)


def test_the_training_image_by_the_trainings(segmenter, slices):
    np.testing.assert_array_equal(
        segmenter.predict_proba(slices[0], statistics=segmenter.statistics_), segmenter.predict_proba(slices[0])
    )


@pytest.mark.parametrize("choice", ["training", "stack"])
def test_a_slice_alone_is_as_in_its_stack(segmenter, slices, choice):
    used = statistics_for(segmenter, slices, choice)
    in_stack = [segmenter.predict_proba(one, statistics=used) for one in slices][2]
    token_cache.clear()
    np.testing.assert_array_equal(segmenter.predict_proba(slices[2], statistics=used), in_stack)
    assert not np.array_equal(in_stack, segmenter.predict_proba(slices[2]))


def test_saved_and_loaded(segmenter, slices, tmp_path, tiny_vit):
    loaded = load_segmenter(segmenter.save(tmp_path / "saved"), weights=tiny_vit)
    assert loaded.statistics_ == segmenter.statistics_
    used = statistics_for(loaded, slices[3:], "training")
    np.testing.assert_array_equal(
        loaded.predict_proba(slices[3], statistics=used),
        segmenter.predict_proba(slices[3], statistics=segmenter.statistics_),
    )


def test_an_image_alone_has_its_own(segmenter, slices):
    assert statistics_for(segmenter, slices[:1]) is None
    assert statistics_for(segmenter, slices, "slice") is None
    assert statistics_for(segmenter, slices, "training") is segmenter.statistics_


def test_older_classifiers_have_none(segmenter, slices, tmp_path, tiny_vit):
    saved = segmenter.save(tmp_path / "saved")
    (saved / "statistics.safetensors").unlink()
    index = json.loads((saved / "classifier.json").read_text("utf-8"))
    del index["statistics"]
    (saved / "classifier.json").write_text(json.dumps(index), "utf-8")
    loaded = load_segmenter(saved, weights=tiny_vit)
    assert loaded.statistics_ is None
    np.testing.assert_array_equal(loaded.predict_proba(slices[1]), segmenter.predict_proba(slices[1]))
    with pytest.raises(SettingsError, match="without statistics"):
        statistics_for(loaded, slices, "training")


@pytest.mark.parametrize("damage", ["gone", "other", "broken"])
def test_damaged_statistics_are_refused(segmenter, tmp_path, damage):
    saved = segmenter.save(tmp_path / "saved")
    file = saved / "statistics.safetensors"
    if damage == "gone":
        file.unlink()
    elif damage == "other":
        arrays = read_arrays(file)
        write_arrays(file, {**arrays, "mean": arrays["mean"] + 1})
    else:
        file.write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match="no classifier that can be used"):
        load_segmenter(saved)


def test_training_on_slices_by_the_stacks(features, slices):
    labels = [demo_image(128, seed)[1] for seed in (0, 1)]
    segmenter = PixelSegmenter(features, n_trees=5, n_threads=2)
    found = stack_statistics(segmenter, slices)
    segmenter.fit(slices[:2], labels, statistics=found)
    assert segmenter.statistics_ is found
    both = PixelSegmenter(features, n_trees=5, n_threads=2).fit(slices[:2], labels)
    assert both.statistics_.images == 2


def test_features_from_elsewhere_have_none():
    features = FeatureStack.from_array(np.random.default_rng(0).normal(size=(20, 20, 3)))
    labels = np.zeros((20, 20), np.uint8)
    labels[:2], labels[5:7] = 1, 2
    assert PixelSegmenter("tws", n_trees=5).fit(features, labels).statistics_ is None


def test_features_of_an_image_know_its_greys(features, slices):
    segmenter = PixelSegmenter(features, n_trees=5, n_threads=2)
    segmenter.fit(segmenter.extract(slices[0]), demo_image(128)[1].data)
    assert segmenter.statistics_.greys.shape == (1, 1001)
    assert len(segmenter.statistics_.mean) == 76 + 128


def test_filters_alone_need_no_means(slices):
    segmenter = PixelSegmenter("tws", n_trees=5, n_threads=2).fit(slices[0], demo_image(128)[1])
    assert segmenter.statistics_.mean.shape == (0,)
    np.testing.assert_array_equal(
        segmenter.predict(slices[1], statistics=segmenter.statistics_), segmenter.predict(slices[1])
    )


def test_slices_are_spread_and_read_when_asked():
    asked = []

    class Lazy(list):
        def __getitem__(self, place):
            asked.append(place)
            return super().__getitem__(place)

    chosen = ChosenSlices(Lazy(range(100)), 4)
    assert len(chosen) == 4
    assert not asked
    assert list(chosen) == [12, 37, 62, 87] == asked
    assert list(ChosenSlices(range(3))) == [0, 1, 2]


def test_bad_choices(segmenter, slices):
    with pytest.raises(SettingsError, match="stack"):
        statistics_for(segmenter, slices, "all")
    with pytest.raises(SettingsError, match="0 slices"):
        stack_statistics(segmenter, [])
    with pytest.raises(SettingsError, match="0 slices"):
        stack_statistics(segmenter, slices, 0)
    other = replace(slices[0], data=np.full((128, 128), 7, np.uint16))
    assert np.isfinite(stack_statistics(segmenter, [other, slices[0]]).spread).all()
