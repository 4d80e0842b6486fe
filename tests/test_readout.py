"""Supervised channels: a linear model of the ViT's channels, kept in the recipe, applied image by image."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.errors import FeatureMismatchError, SettingsError
from fijibridge.features import FeatureRecipe, FeatureStack, extract_features
from fijibridge.features.presets import PRESETS, preset_recipe
from fijibridge.features.readout import (
    Readout,
    class_shares,
    fit_readout,
    group_of,
    image_statistics,
    read_readout,
    seen_names,
    standardised,
)
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image

TINY = FeatureRecipe(encoder="test_vit", blocks=(2, 3), coarse_blocks=(4,))
NAMES = ("ISE", "CAM", "pore")


@pytest.fixture(scope="module")
def trained(tiny_vit):
    """A small segmenter, its image, labels and truth."""
    image, labels, truth = demo_image(128)
    segmenter = PixelSegmenter(recipe=TINY, n_trees=10, n_threads=2, checkpoint=tiny_vit).fit(image, labels)
    return segmenter, image, labels, truth


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**31))
def test_a_model_survives_as_text(classes, plain, tokens, seed):
    rng = np.random.default_rng(seed)
    model = Readout(
        rng.normal(size=classes), rng.normal(size=plain), rng.normal(size=plain) + 9,
        rng.normal(size=(plain, classes)), rng.normal(size=(tokens, classes)), 2**32 - 1 - plain,
    )  # fmt: skip
    names = [f"c{k}" for k in range(classes)]
    again = read_readout(model.to_text(), names)
    assert again.names_crc == model.names_crc
    for name in ("offset", "low", "high", "plain_weights", "token_weights"):
        assert np.array_equal(getattr(model, name), getattr(again, name))
    recipe = FeatureRecipe(readout=model.to_text(), readout_classes=names)
    assert FeatureRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    x, t = rng.normal(size=(7, plain)).astype("f4"), rng.normal(size=(7, tokens)).astype("f4")
    logits = model.offset + np.clip(x, model.low, model.high) @ model.plain_weights + t @ model.token_weights
    expected = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(again.probabilities(x, t), expected / expected.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("text", ["AAAA", "not base64 %", "é", "AAAAAAAA8D8=", ""])
def test_a_damaged_model_is_told(text):
    with pytest.raises(SettingsError, match="readout is not a linear model of 3 classes"):
        read_readout(text, NAMES)


def test_a_model_of_other_classes_is_told(trained):
    with pytest.raises(SettingsError, match="2 classes"):
        replace(trained[0].recipe_, readout_classes=("a", "b"))


@pytest.mark.parametrize("counts", [[0.5, 0.5], [0.2, 0.3, 0.5], [0.6, 0.0, 0.4]])
def test_shares_are_found(counts):
    """Well separated classes whose shares among pixels are not those of the labels."""
    rng = np.random.default_rng(0)
    trained = np.array(counts)
    true = np.where(trained > 0, np.arange(1, len(counts) + 1) ** 2, 0).astype(float)
    true /= true.sum()
    classes = rng.choice(len(counts), 20_000, p=true)
    values = classes[:, None] * 3 + rng.normal(size=(20_000, 1))
    likelihood = np.exp(-((values - 3 * np.arange(len(counts))) ** 2) / 2)
    found = class_shares(likelihood * trained / (likelihood * trained).sum(1, keepdims=True), trained)
    expected = np.sqrt(true * trained)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=0.01)


def test_groups_and_names():
    assert [group_of(name) for name in ("vit_b06_c000", "vit_h09_c383", "vit_pca_000", "original", "net_ISE")] == [
        "vit_b06", "vit_h09", "vit_pca", "", "",
    ]  # fmt: skip
    assert seen_names(["Gaussian_blur_1.0"], ["a b", "a-b"]) == ("z_Gaussian_blur_1_0", "linear_a_b", "linear_a_b_3")


def test_a_class_without_labels_is_never_found():
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(60, 5)).astype("f4")
    samples[30:] += 3
    names = ["original", *(f"vit_b01_c{k:03d}" for k in range(4))]
    model = fit_readout(samples, np.repeat([0, 2], 30), names, 3, samples)
    found = model.probabilities(samples[:, :1], samples[:, 1:])
    assert (found.argmax(1) == np.repeat([0, 2], 30)).all()
    assert found[:, 1].max() < 1e-6


def test_what_the_forest_sees(trained):
    segmenter, image, _, truth = trained
    stack = segmenter.features(image)
    assert stack.shape[2] == 76 + 3
    assert stack.names == segmenter.forest_.feature_names
    assert stack.names[-3:] == ("linear_ISE", "linear_CAM", "linear_pore")
    whole = stack.block()
    np.testing.assert_allclose(whole[:, :, -3:].sum(2), 1, atol=1e-5)
    assert np.array_equal(whole[40:71, 3:90], stack.block(slice(40, 71), slice(3, 90)))
    mask = np.zeros(stack.shape[:2], bool)
    mask[::7, ::5] = True
    assert np.array_equal(stack.at(mask), whole[mask])
    np.testing.assert_allclose(whole[:, :, :76].mean((0, 1)), 0, atol=0.05)
    assert (segmenter.predict(stack) == segmenter.predict(image)).all()
    assert (segmenter.predict(image) == truth).mean() > 0.6


def test_single_pixels_are_those_of_blocks(tiny_vit):
    stack = extract_features(demo_image(100)[0], TINY, checkpoint=tiny_vit)
    mask = np.random.default_rng(0).random((100, 100)) < 0.02
    assert np.array_equal(stack.at(mask), stack.block()[mask])


def test_samples_of_a_large_image_are_spread(monkeypatch):
    monkeypatch.setattr("fijibridge.features.stack._DRAWN_ANYWHERE", 1000)
    y, x = np.mgrid[0:500, 0:700].astype("f4")
    stack = FeatureStack.from_array(np.stack([y, x], axis=2))
    sample = stack.sample(1000, seed=3)
    assert len(sample) >= 1000
    assert np.histogram2d(*sample.T, bins=6)[0].min() > 0
    assert np.array_equal(sample, stack.sample(1000, seed=3))


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0), (1, 20_000), (0.3, 9_000)])
def test_brightness_and_contrast_do_not_matter(trained, gain, offset):
    """A classifier meets images taken with other settings."""
    segmenter, image, _, _ = trained
    grey = image.data.astype(np.float64)
    other = replace(image, data=(grey / grey.max() * 30_000 * gain + offset).astype(np.uint16))
    assert (segmenter.predict(other) == segmenter.predict(image)).mean() > 0.97


def test_statistics_of_constant_and_huge_features():
    array = np.zeros((40, 50, 3), "f4")
    array[:, :, 1] = 1e9
    array[:, :, 2] = np.random.default_rng(0).normal(1e6, 3, (40, 50))
    stack = FeatureStack.from_array(array)
    found = standardised(stack.sample(5000), np.zeros(3, bool), image_statistics(stack))
    assert np.isfinite(found).all()
    assert np.abs(found[:, :2]).max() == 0
    assert found[:, 2].std() == pytest.approx(1, abs=0.01)


def test_saved_and_loaded(trained, tmp_path, tiny_vit, monkeypatch):
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    segmenter, image, _, _ = trained
    again = load_segmenter(segmenter.save(tmp_path / "saved"), checkpoint=tiny_vit)
    assert again.recipe_ == segmenter.recipe_
    assert (again.predict(image) == segmenter.predict(image)).all()
    other, labels, _ = demo_image(128, 5)
    assert again.fit(other, labels).recipe_.readout != segmenter.recipe_.readout  # trained anew, on the ViT's channels


def test_same_seed_same_forest_and_both_engines(java, trained, tiny_vit):
    segmenter, image, labels, _ = trained
    again = PixelSegmenter(recipe=TINY, n_trees=10, n_threads=2, checkpoint=tiny_vit).fit(image, labels)
    assert again.recipe_ == segmenter.recipe_
    assert again.forest_.sha256() == segmenter.forest_.sha256()
    weka = PixelSegmenter(engine="weka", recipe=TINY, n_trees=30, n_threads=2, checkpoint=tiny_vit).fit(image, labels)
    assert weka.recipe_.readout == segmenter.recipe_.readout
    assert (weka.predict(image) == segmenter.predict(image)).mean() > 0.9


def test_channels_of_other_classes_are_refused(trained):
    segmenter, image, labels, _ = trained
    stack = segmenter.features(image)
    with pytest.raises(FeatureMismatchError, match="linear model of ISE, CAM, pore, and labels of a, b, c"):
        PixelSegmenter(n_trees=2).fit(stack, replace(labels, class_names=("a", "b", "c")))
    raw = extract_features(image, replace(TINY, blocks=(2,)), checkpoint=segmenter.checkpoint)
    with pytest.raises(FeatureMismatchError, match=r"blocks: \(2, 3\) against \(2,\)"):
        segmenter.predict(raw)


def test_several_images_train_together(tiny_vit):
    (first, labels, truth), (second, other_labels, _) = demo_image(96, 1), demo_image(96, 2)
    segmenter = PixelSegmenter(recipe=TINY, n_trees=10, checkpoint=tiny_vit)
    segmenter.fit([first, second], [labels, other_labels])
    assert (segmenter.predict(first) == truth).mean() > 0.6


def test_few_labels_of_two_classes(tiny_vit):
    image, labels, _ = demo_image(96)
    few = np.zeros(labels.data.shape, np.uint8)
    for value in (1, 2):
        y, x = (labels.data == value).nonzero()
        few[y[:4], x[:4]] = value
    segmenter = PixelSegmenter(recipe=TINY, n_trees=5, checkpoint=tiny_vit)
    segmenter.fit(image, replace(labels, data=few, class_names=NAMES[:2]))
    assert set(np.unique(segmenter.predict(image))) == {1, 2}


def test_presets():
    assert preset_recipe() == FeatureRecipe(**PRESETS["default"])
    assert preset_recipe("best").position == "template+flips"
    assert preset_recipe("best", position="keep").position == "keep"
    assert preset_recipe("fast", enlargement=None, blocks=(3,)).blocks == (3,)
    assert preset_recipe("default", encoder="test_vit").blocks == (2, 3)  # 6 blocks in place of 12
    with pytest.raises(SettingsError, match="one of fast, default, best"):
        preset_recipe("quick")


def test_without_a_vit_the_forest_reads():
    image, labels, _ = demo_image(96)
    segmenter = PixelSegmenter(recipe=FeatureRecipe(encoder="none"), n_trees=5).fit(image, labels)
    assert segmenter.recipe_.readout == ""
    assert segmenter.forest_.n_features == 76
