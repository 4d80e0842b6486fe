"""Principal components of the ViT: they are what they are called, kept by the extractor, and serve all images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.features import FeatureExtractor, FeatureSettings, TwsSettings, VitSettings, extract_features
from fijibridge.features.tws.bank import feature_names
from fijibridge.features.vit.encoder import ViTEncoder
from fijibridge.features.vit.pca import check_basis, component_names, fit_basis, project
from fijibridge.features.vit.probe import positional_probe
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image

TINY = VitSettings(encoder="test_vit", blocks=(2, 3), coarse_blocks=(), upsampler="bilinear", channels=5)


def tiny(weights, **changes) -> tuple:
    """TWS's features and the tiny ViT's."""
    return TwsSettings(), replace(TINY, weights=str(weights), **changes)


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
    projected = project(tokens, basis)
    assert (projected.shape, projected.dtype) == ((rows, cols, channels), np.float32)
    np.testing.assert_allclose(distances(projected), distances(tokens), rtol=1e-4, atol=1e-4)
    # fewer are the first of all
    few = max(1, channels // 2)
    np.testing.assert_allclose(project(tokens, fit_basis(tokens, few)), projected[..., :few], atol=1e-5)


def test_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    tokens = noise((20, 22, 9))
    flat = tokens.reshape(-1, 9).astype(np.float64)
    theirs = PCA(4).fit(flat)
    mean, *components = fit_basis(tokens, 4)
    components = np.array(components)
    np.testing.assert_allclose(mean, theirs.mean_, atol=1e-5)
    np.testing.assert_allclose(np.abs(components), np.abs(theirs.components_), atol=1e-5)
    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(4), largest] > 0).all()
    projected = project(tokens, fit_basis(tokens, 4))
    np.testing.assert_allclose(projected.mean(axis=(0, 1)), 0, atol=1e-4)
    variances = projected.var(axis=(0, 1), ddof=1)
    np.testing.assert_allclose(variances, theirs.explained_variance_, rtol=1e-3)


def test_the_format_is_the_documented_one():
    tokens = noise((4, 5, 3))
    table = fit_basis(tokens, 2)
    assert (table.shape, table.dtype, table.flags.c_contiguous) == ((3, 3), np.float32, True)
    np.testing.assert_allclose(table[0], tokens.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(table[1:] @ table[1:].T, np.eye(2), atol=1e-6)


def test_the_sign_does_not_depend_on_the_tokens_sign():
    tokens = noise((6, 6, 4))
    one, other = fit_basis(tokens, 3), fit_basis(-tokens, 3)
    np.testing.assert_allclose(one[0], -other[0], atol=1e-5)
    np.testing.assert_allclose(one[1:], other[1:], atol=1e-5)


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
    assert not project(np.full((5, 5, 4), 3, np.float32), basis).any()


# --- checked and kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        noise((2, 8)),
        noise((3, 0)),
        noise((3,)),
        noise((3, 8)).astype(np.float64),
        np.full((3, 8), np.nan, np.float32),
        np.full((3, 8), np.inf, np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_what_is_no_basis_is_refused(wrong):
    check_basis(noise((3, 8)), 2)
    with pytest.raises(SettingsError, match="is not that of channels = 2") as error:
        check_basis(wrong, 2)
    assert len(str(error.value)) < 400  # none of its numbers
    with pytest.raises(SettingsError, match="channels = 0"):
        check_basis(noise((1, 8)), 0)


def test_no_message_prints_a_basis(stack):
    extractor = stack.extractor
    basis = extractor.sources[1].basis_["b"]
    digest = extractor.sources[1].digests()["basis_b"]
    brief = extractor.to_brief()
    assert brief["sources"][1].pop("learned") == {"basis_b": digest[:12]}
    assert brief["sources"][0].pop("learned") == {}
    assert brief == extractor.to_json()
    for text in (repr(extractor), repr(stack), str(extractor.to_json())):
        assert str(float(basis[0, 0]))[:6] not in text


# --- of images -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tiny_vit):
    return ViTEncoder(replace(TINY, weights=str(tiny_vit)), device="cpu")


@pytest.fixture(scope="module")
def images():
    return [demo_image(96, seed)[0] for seed in (1, 2)]


@pytest.fixture(scope="module")
def stack(images, tiny_vit):
    return extract_features(images[0], tiny(tiny_vit))


def test_features_are_the_components_of_the_tokens(stack, images, encoder, tiny_vit):
    assert stack.names == (*feature_names(TwsSettings()), *component_names(5))
    assert stack.names[76] == "vit_pca_000"
    assert stack.shape == (96, 96, 81)
    basis = stack.extractor.sources[1].basis_["b"]
    np.testing.assert_array_equal(basis, fit_basis(encoder.tokens(images[0]), 5))
    np.testing.assert_array_equal(stack.tokens(), project(encoder.tokens(images[0]), basis))
    assert np.isfinite(positional_probe(stack.tokens()))
    # projected after upsampling they are the same
    upsampled = extract_features(images[0], tiny(tiny_vit, channels=0)).block()[..., 76:]
    np.testing.assert_allclose(np.asarray(stack)[..., 76:], project(upsampled, basis), atol=1e-3)


def test_one_basis_serves_all_images(stack, images, encoder, tiny_vit):
    other = extract_features(images[1], stack.extractor)
    assert other.extractor.differences(stack.extractor) == []
    basis = stack.extractor.sources[1].basis_["b"]
    np.testing.assert_array_equal(other.tokens(), project(encoder.tokens(images[1]), basis))
    # an extractor that comes back from its file has it, too
    kept = FeatureExtractor.restored(stack.extractor.to_json(), stack.extractor.arrays()).with_weights(str(tiny_vit))
    np.testing.assert_array_equal(extract_features(images[1], kept).tokens(), other.tokens())
    own = extract_features(images[1], tiny(tiny_vit))
    assert own.extractor.differences(stack.extractor)[0].startswith("basis_b: ")
    assert stack.extractor.differences(FeatureExtractor(tiny(tiny_vit, channels=4)), as_request=True) == [
        "channels: 5 against 4"
    ]


def test_a_fit_on_another_image_keeps_the_first_ones(stack, images, tiny_vit):
    extractor = FeatureExtractor(tiny(tiny_vit)).fit(images[0])
    before = extractor.arrays()["vit.basis_b"].copy()
    np.testing.assert_array_equal(extractor.fit(images[1]).arrays()["vit.basis_b"], before)


def test_two_scales_have_components_of_their_own(images, tiny_vit):
    own = tiny(tiny_vit, coarse_blocks=(4, 5))
    stack = extract_features(images[0], own)
    source = stack.extractor.sources[1]
    assert stack.names[76:] == (*component_names(5), *component_names(5, "h"))
    assert stack.names[81] == "vit_pcah_000"
    assert stack.groups[76:] == ("vit_pca",) * 5 + ("vit_pcah",) * 5
    assert stack.extractor.n_features() == stack.shape[2] == 76 + 10
    assert {letter: basis.shape for letter, basis in source.basis_.items()} == {"b": (6, 128), "h": (6, 128)}
    both = ViTEncoder(own[1], device="cpu")
    for (letter, tokens, _), part in zip(both.scales(images[0]), stack.parts[1:], strict=True):
        np.testing.assert_array_equal(source.basis_[letter], fit_basis(tokens, 5))
        np.testing.assert_array_equal(part.tokens, project(tokens, source.basis_[letter]))
    # the fine scale's are those that it has alone
    np.testing.assert_array_equal(
        stack.block()[..., 76:81], extract_features(images[0], tiny(tiny_vit)).block()[..., 76:]
    )
    kept = FeatureExtractor.restored(stack.extractor.to_json(), stack.extractor.arrays()).with_weights(str(tiny_vit))
    np.testing.assert_array_equal(extract_features(images[0], kept).block(), stack.block())
    one_image, other_image = (extract_features(image, own).extractor for image in images)
    assert [told.split(":")[0] for told in one_image.differences(other_image)] == ["basis_b", "basis_h"]


@pytest.mark.slow
def test_a_classifier_of_two_scales_of_components(tiny_vit, tmp_path, monkeypatch):
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    image, labels, truth = demo_image(128, 1)
    own = tiny(tiny_vit, channels=9, coarse_blocks=(4,))
    segmenter = PixelSegmenter(own, n_trees=10, n_threads=2).fit(image, labels)
    assert set(segmenter.head_importances_) == {"plain", "vit_pca", "vit_pcah"}
    assert (segmenter.predict(image) == truth).mean() > 0.6
    loaded = load_segmenter(segmenter.save(tmp_path / "saved"), weights=tiny_vit)
    assert loaded.extractor_.differences(segmenter.extractor_) == []
    np.testing.assert_array_equal(loaded.predict_proba(image), segmenter.predict_proba(image))


def test_more_channels_than_the_encoder_or_the_image_has(tiny_vit):
    with pytest.raises(SettingsError, match=r"channels = 129 .* 128 channels in 2 block"):
        ViTEncoder(replace(TINY, channels=129, weights=str(tiny_vit)))
    with pytest.raises(SettingsError, match=r"channels = 65 .* 64 channels in 1 block"):  # of the coarse scale
        ViTEncoder(replace(TINY, channels=65, coarse_blocks=(4,), weights=str(tiny_vit)))
    with pytest.raises(SettingsError, match="channels = 5 principal components of 4 patches"):
        extract_features(np.arange(256, dtype=np.uint8).reshape(16, 16), tiny(tiny_vit))
    foreign = FeatureExtractor(tiny(tiny_vit))
    foreign.sources[1].basis_ = {"b": fit_basis(noise((5, 5, 9)), 5)}
    with pytest.raises(FeatureMismatchError, match="components of 9 ViT channels") as error:
        extract_features(demo_image(96)[0], foreign)
    assert "128" in error.value.expected


# --- of a classifier -------------------------------------------------------------------------------------------------


def test_a_classifier_keeps_its_components(tiny_vit, tmp_path, monkeypatch):
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    (first, labels, _), (second, other_labels, _) = demo_image(128, 1), demo_image(128, 2)
    requested = FeatureSettings(tiny(tiny_vit))
    segmenter = PixelSegmenter(requested, head="none", n_trees=5, n_threads=2)
    segmenter.fit([first, second], [labels, other_labels])
    alone = extract_features(first, tiny(tiny_vit)).extractor
    assert segmenter.extractor_.differences(alone) == []  # the first image's serve both
    assert segmenter.features is requested
    assert segmenter.extract(second).extractor.differences(alone) == []
    loaded = load_segmenter(segmenter.save(tmp_path / "saved"), weights=tiny_vit)
    assert loaded.extractor_.differences(alone) == []
    np.testing.assert_array_equal(loaded.predict_proba(second), segmenter.predict_proba(second))
    own = extract_features(second, tiny(tiny_vit))
    with pytest.raises(FeatureMismatchError, match=r"basis_b: [0-9a-f]{12} against [0-9a-f]{12}"):
        loaded.predict(own)
    # stacks made one by one have different components, which is told before training
    stacks = [extract_features(image, tiny(tiny_vit)) for image in (first, second)]
    with pytest.raises(FeatureMismatchError, match="basis_b: "):
        PixelSegmenter(n_trees=2).fit(stacks, [labels, other_labels])


def test_stacks_made_by_one_segmenter_fit_together(tiny_vit):
    (first, labels, _), (second, other_labels, _) = demo_image(128, 1), demo_image(128, 2)
    segmenter = PixelSegmenter(tiny(tiny_vit), head="none", n_trees=2, n_threads=1)
    stacks = [segmenter.extract(image) for image in (first, second)]
    assert segmenter.fit(stacks, [labels, other_labels]).extractor_.differences(stacks[0].extractor) == []
