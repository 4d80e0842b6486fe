"""Principal components of the ViT: they are what they are called, kept in the recipe, and serve all images."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.errors import FeatureMismatchError, SettingsError
from fijibridge.features import FeatureRecipe, FeatureStack, extract_features
from fijibridge.features.classical import CLASSICAL_NAMES
from fijibridge.features.pca import component_names, fit_basis, project, read_basis
from fijibridge.features.position import positional_probe
from fijibridge.features.vit import ViTEncoder
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image

TINY = FeatureRecipe(encoder="test_vit", blocks=(2, 3), channels=5)


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Tokens with a mean and spread of their own in each channel."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * rng.uniform(0.5, 3, shape[-1]) + rng.normal(size=shape[-1])).astype(np.float32)


def distances(tokens: np.ndarray) -> np.ndarray:
    flat = tokens.reshape(-1, tokens.shape[-1]).astype(np.float64)
    return np.linalg.norm(flat[:, None] - flat[None], axis=2)


# --- the components --------------------------------------------------------------------------------------------------


@given(st.integers(2, 7), st.integers(2, 7), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_all_components_keep_all_distances(rows, cols, width, seed):
    tokens = noise((rows, cols, width), seed)
    channels = min(width, rows * cols - 1)
    basis = fit_basis(tokens, channels)
    projected = project(tokens, basis, channels)
    assert (projected.shape, projected.dtype) == ((rows, cols, channels), np.float32)
    np.testing.assert_allclose(distances(projected), distances(tokens), rtol=1e-4, atol=1e-4)
    # fewer are the first of all
    few = max(1, channels // 2)
    np.testing.assert_allclose(project(tokens, fit_basis(tokens, few), few), projected[..., :few], atol=1e-5)


def test_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    tokens = noise((20, 22, 9))
    flat = tokens.reshape(-1, 9).astype(np.float64)
    theirs = PCA(4).fit(flat)
    mean, components = read_basis(fit_basis(tokens, 4), 4)
    np.testing.assert_allclose(mean, theirs.mean_, atol=1e-5)
    np.testing.assert_allclose(np.abs(components), np.abs(theirs.components_), atol=1e-5)
    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(4), largest] > 0).all()
    projected = project(tokens, fit_basis(tokens, 4), 4)
    np.testing.assert_allclose(projected.mean(axis=(0, 1)), 0, atol=1e-4)
    variances = projected.var(axis=(0, 1), ddof=1)
    np.testing.assert_allclose(variances, theirs.explained_variance_, rtol=1e-3)


def test_the_format_is_the_documented_one():
    tokens = noise((4, 5, 3))
    data = base64.b64decode(fit_basis(tokens, 2))
    table = np.frombuffer(data, "<f4").reshape(3, 3)
    np.testing.assert_allclose(table[0], tokens.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(table[1:] @ table[1:].T, np.eye(2), atol=1e-6)


def test_the_sign_does_not_depend_on_the_tokens_sign():
    tokens = noise((6, 6, 4))
    for one, other in zip(read_basis(fit_basis(tokens, 3), 3), read_basis(fit_basis(-tokens, 3), 3), strict=True):
        np.testing.assert_allclose(np.abs(one), np.abs(other), atol=1e-5)
    np.testing.assert_allclose(*(read_basis(fit_basis(t, 3), 3)[1] for t in (tokens, -tokens)), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "channels", "told"),
    [((9, 9, 4), 5, "4 at most"), ((2, 2, 9), 4, "3 at most: patches"), ((1, 1, 9), 1, "0 at most")],
)
def test_more_components_than_there_are(shape, channels, told):
    with pytest.raises(SettingsError, match=rf"channels = {channels} ") as error:
        fit_basis(noise(shape), channels)
    assert told in error.value.expected
    assert error.value.remedy


def test_a_constant_image_has_components_of_nothing():
    basis = fit_basis(np.full((5, 5, 4), 3, np.float32), 2)
    assert not project(np.full((5, 5, 4), 3, np.float32), basis, 2).any()


# --- in the recipe ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None)
def test_a_recipe_with_a_basis_survives_json(channels, more, seed):
    width = channels + more
    tokens = noise((4, 5, width), seed)
    recipe = FeatureRecipe(channels=np.int64(channels), basis=fit_basis(tokens, channels))
    again = FeatureRecipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe
    assert recipe.differences(again) == []
    for one, other in zip(read_basis(again.basis, channels), read_basis(recipe.basis, channels), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_message_prints_a_basis():
    tokens = noise((6, 6, 8))
    one, other = (FeatureRecipe(channels=2, basis=fit_basis(t, 2)) for t in (tokens, tokens**2))
    assert one.basis not in repr(one)
    (difference,) = one.differences(other)
    assert difference == f"basis: components {one.basis_digest} against components {other.basis_digest}"
    assert one.differences(replace(one, basis="")) == [f"basis: components {one.basis_digest} against none yet"]
    assert one.differences(replace(one, basis=""), as_request=True) == []
    assert one.differences(other, as_request=True)
    assert len(one.to_brief()["basis"]) == 12
    assert {**one.to_brief(), "basis": one.basis} == one.to_json()
    stack = FeatureStack((3, 3), [], one)
    assert one.basis not in repr(stack)
    for wrong in (one.basis[:-4], one.basis[:40], "ü" * 8, "!", base64.b64encode(np.full(24, np.nan, "<f4")).decode()):
        with pytest.raises(SettingsError, match="basis is not that of channels = 2") as error:
            replace(one, basis=wrong)
        assert wrong not in str(error.value)
    with pytest.raises(SettingsError, match="channels = 0"):
        replace(one, channels=0)


def test_without_a_vit_they_are_ignored():
    classical = FeatureRecipe(encoder="none")
    assert classical.differences(replace(classical, channels=9)) == []
    assert extract_features(demo_image(96)[0], replace(classical, channels=9)).names == CLASSICAL_NAMES


# --- of images -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tiny_vit):
    return ViTEncoder(TINY, checkpoint=tiny_vit, device="cpu")


@pytest.fixture(scope="module")
def images():
    return [demo_image(96, seed)[0] for seed in (1, 2)]


@pytest.fixture(scope="module")
def stack(images, encoder):
    return extract_features(images[0], encoder=encoder)


def test_features_are_the_components_of_the_tokens(stack, images, encoder, tiny_vit):
    assert stack.names == (*CLASSICAL_NAMES, *component_names(5))
    assert stack.names[76] == "vit_pca_000"
    assert stack.shape == (96, 96, 81)
    assert encoder.recipe.basis == ""  # an encoder is of no image
    np.testing.assert_array_equal(stack.tokens(), project(encoder.tokens(images[0]), stack.recipe.basis, 5))
    assert np.isfinite(positional_probe(stack.tokens()))
    # projected after upsampling they are the same
    every = replace(stack.recipe, channels=0, basis="")
    upsampled = extract_features(images[0], every, checkpoint=tiny_vit).block()[..., 76:]
    np.testing.assert_allclose(np.asarray(stack)[..., 76:], project(upsampled, stack.recipe.basis, 5), atol=1e-3)


def test_one_basis_serves_all_images(stack, images, encoder, tiny_vit):
    other = extract_features(images[1], stack.recipe, encoder=encoder)
    assert other.recipe == stack.recipe
    np.testing.assert_array_equal(other.tokens(), project(encoder.tokens(images[1]), stack.recipe.basis, 5))
    # the request without a basis takes the encoder's, where it has one
    knowing = ViTEncoder(stack.recipe, checkpoint=tiny_vit, device="cpu")
    assert extract_features(images[1], TINY, encoder=knowing).recipe == stack.recipe
    own = extract_features(images[1], TINY, encoder=encoder)
    assert own.recipe.differences(stack.recipe)[0].startswith("basis: ")
    with pytest.raises(FeatureMismatchError, match="another recipe: basis: "):
        extract_features(images[1], own.recipe, encoder=knowing)
    with pytest.raises(FeatureMismatchError, match=r"channels: 4 against 5 "):
        extract_features(images[1], replace(TINY, channels=4), encoder=knowing)


def test_more_channels_than_the_encoder_or_the_image_has(tiny_vit, encoder):
    with pytest.raises(SettingsError, match=r"channels = 129 .* 128 channels in 2 block"):
        ViTEncoder(replace(TINY, channels=129), checkpoint=tiny_vit)
    with pytest.raises(SettingsError, match="channels = 5 principal components of 4 patches"):
        extract_features(np.arange(256, dtype=np.uint8).reshape(16, 16), encoder=encoder)
    foreign = replace(TINY, basis=fit_basis(noise((5, 5, 9)), 5))
    with pytest.raises(FeatureMismatchError, match="components of 9 ViT channels") as error:
        extract_features(demo_image(96)[0], foreign, encoder=encoder)
    assert "128" in error.value.expected


# --- of a classifier -------------------------------------------------------------------------------------------------


def test_a_classifier_keeps_its_components(tiny_vit, tmp_path, monkeypatch):
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    (first, labels, _), (second, other_labels, _) = demo_image(128, 1), demo_image(128, 2)
    segmenter = PixelSegmenter(recipe=TINY, reader="forest", n_trees=5, n_threads=2, checkpoint=tiny_vit)
    segmenter.fit([first, second], [labels, other_labels])
    alone = extract_features(first, TINY, checkpoint=tiny_vit).recipe
    assert segmenter.recipe_ == alone  # the first image's serve both
    assert segmenter.recipe.basis == ""
    assert segmenter.features(second).recipe == alone
    loaded = load_segmenter(segmenter.save(tmp_path / "saved"), checkpoint=tiny_vit)
    assert loaded.recipe_ == alone
    np.testing.assert_array_equal(loaded.predict_proba(second), segmenter.predict_proba(second))
    own = extract_features(second, TINY, checkpoint=tiny_vit)
    with pytest.raises(FeatureMismatchError, match=r"basis: components .* against components"):
        loaded.predict(own)
    # stacks made one by one have different components, which is told before training
    stacks = [extract_features(image, TINY, checkpoint=tiny_vit) for image in (first, second)]
    with pytest.raises(FeatureMismatchError, match="basis: "):
        PixelSegmenter(n_trees=2).fit(stacks, [labels, other_labels])


def test_stacks_made_by_one_segmenter_fit_together(tiny_vit):
    (first, labels, _), (second, other_labels, _) = demo_image(128, 1), demo_image(128, 2)
    segmenter = PixelSegmenter(recipe=TINY, reader="forest", n_trees=2, n_threads=1, checkpoint=tiny_vit)
    stacks = [segmenter.features(image) for image in (first, second)]
    assert segmenter.fit(stacks, [labels, other_labels]).recipe_ == stacks[0].recipe
