"""The linear head: a linear model of the ViT's channels, kept by the extractor, applied image by image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.features import FeatureStack, TwsSettings, VitSettings, extract_features
from fijibridge.features.linear_head.fitting import class_shares, fit_linear_model
from fijibridge.features.linear_head.head import LinearHead, head_feature_names
from fijibridge.features.linear_head.model import LinearModel
from fijibridge.features.linear_head.statistics import image_statistics, standardised
from fijibridge.network.features import NetworkFeatureSettings
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image

TINY = VitSettings(encoder="test_vit", blocks=(2, 3), coarse_blocks=(4,), upsampler="bilinear")
NAMES = ("ISE", "CAM", "pore")


def tiny(weights, **changes) -> tuple:
    """TWS's features and the tiny ViT's."""
    return TwsSettings(), replace(TINY, weights=str(weights), **changes)


@pytest.fixture(scope="module")
def trained(tiny_vit):
    """A small segmenter, its image, labels and truth."""
    image, labels, truth = demo_image(128)
    segmenter = PixelSegmenter(tiny(tiny_vit), n_trees=10, n_threads=2).fit(image, labels)
    return segmenter, image, labels, truth


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**31))
def test_a_head_survives_as_arrays(classes, plain, tokens, seed):
    rng = np.random.default_rng(seed)
    model = LinearModel(
        rng.normal(size=classes), rng.normal(size=plain), rng.normal(size=plain) + 9,
        rng.normal(size=(plain, classes)), rng.normal(size=(tokens, classes)),
    )  # fmt: skip
    head = LinearHead(model, tuple(f"c{k}" for k in range(classes)), "0123456789abcdef")
    restored = LinearHead.restored(head.to_json(), head.arrays())
    assert (restored.class_names, restored.features_digest) == (head.class_names, head.features_digest)
    assert restored.digest == head.digest
    again = restored.model
    for name in ("offset", "low", "high", "plain_weights", "grouped_weights"):
        assert np.array_equal(getattr(model, name), getattr(again, name))
    assert LinearHead(model, head.class_names, "0" * 16).digest != head.digest
    assert replace(head, model=replace(model, offset=model.offset + 1)).digest != head.digest
    x, t = rng.normal(size=(7, plain)).astype("f4"), rng.normal(size=(7, tokens)).astype("f4")
    logits = model.offset + np.clip(x, model.low, model.high) @ model.plain_weights + t @ model.grouped_weights
    expected = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(again.probabilities(x, t), expected / expected.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("change", ["lacks one", "has another", "cut", "turned", "NaN", "one row"])
def test_damaged_arrays_are_refused(trained, change):
    head = trained[0].extractor_.head_
    arrays = dict(head.arrays())
    if change == "lacks one":
        del arrays["low"]
    elif change == "has another":
        arrays["mean"] = arrays["low"]
    else:
        own = arrays["plain_weights"]
        nan = np.where(np.arange(own.size).reshape(own.shape) == 5, np.nan, own)
        arrays["plain_weights"] = {"cut": own[:-1], "turned": own.T, "NaN": nan, "one row": own[0]}[change]
    with pytest.raises(SettingsError, match="are not a linear head of 3 classes"):
        LinearHead.restored(head.to_json(), arrays)


def test_a_head_of_other_classes_is_refused(trained):
    head = trained[0].extractor_.head_
    with pytest.raises(SettingsError, match="2 classes"):
        LinearHead.restored({**head.to_json(), "class_names": ["a", "b"]}, head.arrays())


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


def test_groups_and_names(tiny_vit, pair_network):
    image = demo_image(96)[0]
    sources = (*tiny(tiny_vit), NetworkFeatureSettings(str(pair_network[1])))
    stack = extract_features(image, sources)
    of_network = [name for name in stack.names if name.startswith("net_")]
    groups = ("",) * 76 + ("vit_b02",) * 64 + ("vit_b03",) * 64 + ("vit_h04",) * 64 + ("",) * len(of_network)
    assert stack.groups == groups
    assert of_network
    components = extract_features(image, tiny(tiny_vit, channels=3))
    assert components.groups == ("",) * 76 + ("vit_pca",) * 3 + ("vit_pcah",) * 3
    found = head_feature_names(["Gaussian_blur_1.0"], ["a b", "a-b"])
    assert found == ("z_Gaussian_blur_1_0", "linear_a_b", "linear_a_b_3")


def test_a_class_without_labels_is_never_found():
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(60, 5)).astype("f4")
    samples[30:] += 3
    model = fit_linear_model(samples, np.repeat([0, 2], 30), ("", *["vit_b01"] * 4), 3, samples)
    found = model.probabilities(samples[:, :1], samples[:, 1:])
    assert (found.argmax(1) == np.repeat([0, 2], 30)).all()
    assert found[:, 1].max() < 1e-6


def test_what_the_forest_sees(trained):
    segmenter, image, _, truth = trained
    stack = segmenter.extract(image)
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
    stack = extract_features(demo_image(100)[0], tiny(tiny_vit))
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
    found = standardised(stack.sample(5000), image_statistics(stack))
    assert np.isfinite(found).all()
    assert np.abs(found[:, :2]).max() == 0
    assert found[:, 2].std() == pytest.approx(1, abs=0.01)


def test_saved_and_loaded(trained, tmp_path, tiny_vit, monkeypatch):
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    segmenter, image, _, _ = trained
    again = load_segmenter(segmenter.save(tmp_path / "saved"), weights=tiny_vit)
    assert again.extractor_.differences(segmenter.extractor_) == []
    assert (again.predict(image) == segmenter.predict(image)).all()
    other, labels, _ = demo_image(128, 5)
    # trained anew, on the ViT's channels
    assert again.fit(other, labels).extractor_.head_.digest != segmenter.extractor_.head_.digest


@pytest.mark.slow
def test_same_seed_same_forest_and_both_engines(java, trained, tiny_vit):
    segmenter, image, labels, _ = trained
    again = PixelSegmenter(tiny(tiny_vit), n_trees=10, n_threads=2).fit(image, labels)
    assert again.extractor_.differences(segmenter.extractor_) == []
    assert again.forest_.sha256() == segmenter.forest_.sha256()
    weka = PixelSegmenter(tiny(tiny_vit), engine="weka", n_trees=30, n_threads=2).fit(image, labels)
    assert weka.extractor_.head_.digest == segmenter.extractor_.head_.digest
    assert (weka.predict(image) == segmenter.predict(image)).mean() > 0.9


def test_channels_of_other_classes_are_refused(trained, tiny_vit):
    segmenter, image, labels, _ = trained
    stack = segmenter.extract(image)
    with pytest.raises(FeatureMismatchError, match="linear head of ISE, CAM, pore, and labels of a, b, c"):
        PixelSegmenter(n_trees=2).fit(stack, replace(labels, class_names=("a", "b", "c")))
    raw = extract_features(image, tiny(tiny_vit, blocks=(2,)))
    with pytest.raises(FeatureMismatchError, match=r"blocks: \(2, 3\) against \(2,\)"):
        segmenter.predict(raw)


def test_several_images_train_together(tiny_vit):
    (first, labels, truth), (second, other_labels, _) = demo_image(96, 1), demo_image(96, 2)
    segmenter = PixelSegmenter(tiny(tiny_vit), n_trees=10)
    segmenter.fit([first, second], [labels, other_labels])
    assert (segmenter.predict(first) == truth).mean() > 0.6


def test_few_labels_of_two_classes(tiny_vit):
    image, labels, _ = demo_image(96)
    few = np.zeros(labels.data.shape, np.uint8)
    for value in (1, 2):
        y, x = (labels.data == value).nonzero()
        few[y[:4], x[:4]] = value
    segmenter = PixelSegmenter(tiny(tiny_vit), n_trees=5)
    segmenter.fit(image, replace(labels, data=few, class_names=NAMES[:2]))
    assert set(np.unique(segmenter.predict(image))) == {1, 2}


def test_without_a_vit_there_is_no_head():
    image, labels, _ = demo_image(96)
    segmenter = PixelSegmenter("tws", n_trees=5).fit(image, labels)
    assert segmenter.extractor_.head_ is None
    assert segmenter.head_importances_ is None
    assert segmenter.forest_.n_features == 76
