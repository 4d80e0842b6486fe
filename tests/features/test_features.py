"""A feature stack: blocks and samples leave no trace, odd images are served."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import FeatureMismatchError, ImageError, SettingsError
from fijibridge.features import FeatureExtractor, FeatureStack, TwsSettings, VitSettings, extract_features
from fijibridge.features import stack as stack_module
from fijibridge.features.tws.bank import feature_names
from fijibridge.features.upsampling.bilinear import bilinear
from fijibridge.images.image import Image
from fijibridge.synthesis.demo import demo_image

TINY = VitSettings(encoder="test_vit", blocks=(2,), coarse_blocks=(), upsampler="bilinear")

# --- upsampler -------------------------------------------------------------------------------------------------------


@given(*[st.integers(1, n) for n in (9, 9, 40, 40)], st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_bilinear_is_that_of_torch(gy, gx, height, width, seed):
    tokens = np.random.default_rng(seed).normal(size=(gy, gx, 3)).astype(np.float32)
    out = np.full((height, width, 5), 7, np.float32)
    bilinear(tokens, (height, width), slice(0, height), slice(0, width), out[..., 1:4])
    planes = torch.from_numpy(tokens).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(planes, size=(height, width), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(out[..., 1:4], theirs[0].permute(1, 2, 0), atol=2e-5)
    assert (out[..., [0, 4]] == 7).all()


# --- stack -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def extractor(tiny_vit):
    return FeatureExtractor((TwsSettings(), replace(TINY, weights=str(tiny_vit))))


@pytest.fixture(scope="module")
def stack(extractor):
    return extractor.transform(demo_image(96)[0].data[:, :90])


@pytest.fixture(scope="module")
def whole(stack):
    return np.asarray(stack)


def test_names_shape_and_extractor(stack, whole, extractor):
    assert whole.shape == stack.shape == (96, 90, 76 + 64)
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    assert stack.names[:76] == feature_names(TwsSettings())
    assert stack.names[76] == "vit_b02_c000"
    assert len(set(stack.names)) == len(stack.names)
    assert not any("." in name for name in stack.names[76:])
    assert stack.groups == ("",) * 76 + ("vit_b02",) * 64
    assert stack.extractor is extractor
    assert extractor.fitted
    assert extractor.n_features() == 140
    assert len(extractor.sources[1].provenance.sha256) == 64
    assert stack.tokens().shape == (12, 11, 64)
    assert np.asarray(stack, np.float64).dtype == np.float64
    assert whole[..., 76:].std(axis=(0, 1)).min() > 0


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_a_block_is_the_same_block_of_the_whole(stack, whole, data):
    cut = [slice(*data.draw(st.tuples(st.integers(-n, n), st.integers(-n, n)))) for n in stack.shape[:2]]
    np.testing.assert_array_equal(stack.block(*cut), whole[tuple(cut)])


def test_a_block_with_a_step_is_refused(stack):
    with pytest.raises(SettingsError, match="step 2"):
        stack.block(slice(0, 10, 2))


@pytest.mark.parametrize("max_bytes", [1, 140 * 4 * 1000, 2**40])
def test_blocks_cover_once(stack, max_bytes):
    seen = np.zeros(stack.shape[:2], int)
    for rows, cols in stack.blocks(max_bytes):
        seen[rows, cols] += 1
        assert seen[rows, cols].size * stack.shape[2] * 4 <= max(max_bytes, stack.shape[2] * 4)
    assert (seen == 1).all()


@pytest.mark.parametrize("max_bytes", [140 * 4 * 300, None])
@pytest.mark.parametrize("share", [0, 0.002, 0.3])
def test_samples_are_those_of_the_whole(stack, whole, monkeypatch, max_bytes, share):
    if max_bytes:
        monkeypatch.setattr(stack_module.FeatureStack.blocks, "__defaults__", (max_bytes,))
        assert len(list(stack.blocks())) > 20
    mask = np.random.default_rng(1).random(stack.shape[:2]) < share
    np.testing.assert_array_equal(stack.at(mask), whole[mask])
    with pytest.raises(FeatureMismatchError, match="mask"):
        stack.at(mask[1:])


def test_the_data_bar_is_left_out(extractor):
    data = demo_image(96)[0].data.copy()
    field = np.asarray(extract_features(data[:80], extractor))
    data[80:] = 65535
    with_bar = extract_features(Image(data, "bar", databar_rows=16), extractor)
    assert with_bar.shape[:2] == (80, 96)
    np.testing.assert_array_equal(with_bar, field)


def test_features_from_elsewhere():
    array = np.random.default_rng(0).normal(size=(7, 9, 3))
    stack = FeatureStack.from_array(array)
    assert stack.names == ("feature_000", "feature_001", "feature_002")
    assert stack.extractor is None
    assert stack.tokens() is None
    np.testing.assert_array_equal(stack.block(slice(2, 5)), array[2:5].astype(np.float32))
    assert FeatureStack.from_array(array, "abc").names == ("a", "b", "c")
    broken = array.copy()
    broken[0, 0, :2] = np.nan, 1e300
    for wrong, names, told in [
        (array[0], None, r"\(9, 3\)"),
        (array[:0], None, r"\(0, 9, 3\)"),
        (broken, None, "2 features that are NaN"),
        (array, "ab", "2 names"),
        (array, "aba", "2 of them different"),
    ]:
        with pytest.raises(SettingsError, match=told):
            FeatureStack.from_array(wrong, names)


def test_depth_and_colour(extractor, stack, whole):
    data = demo_image(96)[0].data[:, :90]
    # the ViT sees the image between its percentiles, so that neither offset nor contrast matters
    other = np.asarray(extract_features((data * np.float32(0.001) + 5).astype(np.float32), extractor))
    np.testing.assert_allclose(other[..., 76:], whole[..., 76:], atol=1e-3)
    eight = (data >> 8).astype(np.uint8)
    rgb = np.asarray(extract_features(np.stack([eight] * 3, axis=2), extractor))
    np.testing.assert_allclose(rgb, np.asarray(extract_features(eight, extractor)), atol=1e-4)
    red = np.stack([eight, eight // 2, eight // 4], axis=2)
    assert np.abs(np.asarray(extract_features(red, extractor)) - rgb)[..., 76:].max() > 0.1
    with pytest.raises(ImageError):
        extract_features(np.full((8, 8), np.nan, np.float32), extractor)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (33, 17)])
def test_flat_and_tiny_images(extractor, shape):
    stack = extract_features(np.full(shape, 9, np.uint8), extractor)
    assert stack.shape == (*shape, 140)
    assert np.isfinite(np.asarray(stack)).all()


def test_features_of_another_extractor_are_told_apart(stack, extractor, tiny_vit):
    image = demo_image(96)[0]
    changed = extract_features(image, (TwsSettings(), replace(TINY, weights=str(tiny_vit), tile=560))).extractor
    assert extractor.differences(changed) == ["tile: 280 against 560"]
    assert extractor.differences(extract_features(image, "tws").extractor) == ["features: tws,vit against tws"]
    again = extract_features(image, (TwsSettings(), replace(TINY, weights=str(tiny_vit)))).extractor
    assert extractor.differences(again) == []


def test_sources_follow_one_another(stack, whole, tiny_vit):
    image, vit = demo_image(96)[0].data[:, :90], replace(TINY, weights=str(tiny_vit))
    turned = extract_features(image, (vit, TwsSettings()))
    assert turned.names == stack.names[76:] + stack.names[:76]
    np.testing.assert_array_equal(turned.block(), np.concatenate([whole[..., 76:], whole[..., :76]], axis=2))
    alone = extract_features(image, vit)
    assert alone.names == stack.names[76:]
    np.testing.assert_array_equal(alone, whole[..., 76:])
