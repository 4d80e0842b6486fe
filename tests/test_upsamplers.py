"""From the patch grid to pixels: each upsampler by name, and the training of the learned one."""

from __future__ import annotations

import json
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from fijibridge.detectors import join_detectors
from fijibridge.errors import FeatureMismatchError, ImageError, SettingsError, WeightsError
from fijibridge.features import FeatureRecipe, extract_features
from fijibridge.features.joint import Joint, grey_guide, patch_means
from fijibridge.features.learned import DEPTH, PACKAGED, learned_guide, new_network, read_weights
from fijibridge.features.upsample import Bilinear, upsampler_of
from fijibridge.features.upsampler_training import UpsamplerSettings, joint, pieces, train_upsampler
from fijibridge.features.vit import ViTEncoder, shifted
from fijibridge.images import image_from_array
from fijibridge.operations.train_upsampler import train_upsampler as operation
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image

TINY = FeatureRecipe(encoder="test_vit", blocks=(2,), coarse_blocks=(4,))
NAMES = ("bilinear", "guided", "learned")
QUICK = UpsamplerSettings(encoder="test_vit", block=2, crops=4, crop=64, steps=12)


def made(name: str, grey: np.ndarray):
    weights = read_weights() if name == "learned" else ""
    return upsampler_of(FeatureRecipe(upsampler=name, upsampler_weights=weights), grey)


def whole(upsampler, tokens: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    out = np.full((*shape, tokens.shape[2]), np.nan, np.float32)
    upsampler.block(tokens, slice(0, shape[0]), slice(0, shape[1]), out)
    return out


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return demo_image(128)[0].data[:, :119].astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12), st.integers(1, 140), st.integers(0, 99), st.integers(-1000, 1000))
def test_weights_sum_to_one(grey, name, gy, gx, seed, value):
    """A constant stays, values stay between the least and the greatest, and upsampling is linear."""
    upsampler, rng = made(name, grey), np.random.default_rng(seed)
    constant = np.full((gy, gx, 1), value, np.float32)
    np.testing.assert_allclose(whole(upsampler, constant, grey.shape), value, rtol=1e-5)
    one, other = rng.normal(size=(2, gy, gx, 2)).astype(np.float32)
    found = whole(upsampler, one, grey.shape)
    assert found.min() >= one.min() - 1e-5
    assert found.max() <= one.max() + 1e-5
    together = whole(upsampler, 2 * one - other, grey.shape)
    np.testing.assert_allclose(together, 2 * found - whole(upsampler, other, grey.shape), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_block_and_single_pixels_are_those_of_the_whole(grey, name):
    upsampler, rng = made(name, grey), np.random.default_rng(0)
    tokens = rng.normal(size=(18, 17, 5)).astype(np.float32)
    all_of_it = whole(upsampler, tokens, grey.shape)
    wide = np.zeros((40, 33, 9), np.float32)
    made(name, grey).block(tokens, slice(61, 101), slice(50, 83), wide[..., 2:7])
    assert np.array_equal(wide[..., 2:7], all_of_it[61:101, 50:83])
    assert not wide[..., [0, 1, 7, 8]].any()
    y, x = rng.integers(0, 128, 50), rng.integers(0, 119, 50)
    assert np.array_equal(upsampler.at(tokens, y, x), all_of_it[y, x])
    assert upsampler.at(tokens, y[:0], x[:0]).shape == (0, 5)
    upsampler.block(tokens, slice(3, 3), slice(0, 9), np.empty((0, 9, 5), np.float32))


def test_the_compiled_way_is_that_of_the_training(grey):
    guide = np.random.default_rng(0).normal(size=(*grey.shape, 3)).astype(np.float32)
    tokens = np.random.default_rng(1).normal(size=(9, 17, 4)).astype(np.float32)
    theirs = joint(*(torch.from_numpy(np.moveaxis(array, -1, 0).copy()) for array in (guide, tokens)))
    np.testing.assert_allclose(whole(Joint(guide), tokens, grey.shape), theirs.permute(1, 2, 0), atol=1e-5)


def test_a_flat_guide_leaves_the_spline():
    tokens = np.zeros((1, 5, 1), np.float32)
    tokens[0, 2] = 1
    found = whole(Joint(np.zeros((8, 40, 1), np.float32)), tokens, (8, 40))[0, :, 0]
    place = np.abs((np.arange(40) + 0.5) / 8 - 0.5 - 2)
    expected = np.where(place < 0.5, 0.75 - place**2, np.maximum(1.5 - place, 0) ** 2 / 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["guided", "learned"])
def test_an_edge_is_sharper_than_bilinear(name):
    """A step at a place that no border of a patch is at, in noise."""
    truth = (np.arange(112)[None] >= 50) * np.ones((112, 1), np.float32)
    grey = 100 + 60 * truth + np.random.default_rng(0).normal(scale=4, size=truth.shape).astype(np.float32)
    tokens = patch_means(truth, (16, 16))[..., None]
    errors = [np.abs(whole(made(one, grey), tokens, truth.shape)[..., 0] - truth).mean() for one in (name, "bilinear")]
    assert errors[0] < 0.6 * errors[1]


def test_a_constant_image_and_one_smaller_than_a_patch():
    for name in NAMES:
        for shape in ((1, 1), (5, 40)):
            tokens = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
            assert np.isfinite(whole(made(name, np.full(shape, 7, np.float32)), tokens, shape)).all()


# --- strided ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", [(0, 0), (4, -4), (3.5, -3.5), (-0.25, 2)])
def test_a_moved_image_shows_what_is_further(move):
    y, x = np.mgrid[0:40, 0:50].astype(np.float32)
    found = shifted(torch.from_numpy(np.stack([np.sin(y / 9), np.cos(x / 7)])), *move).numpy()
    expected = np.stack([np.sin((y + move[0]) / 9), np.cos((x + move[1]) / 7)])
    np.testing.assert_allclose(found[:, 8:-8, 8:-8], expected[:, 8:-8, 8:-8], atol=6e-3)


def test_strided_tokens_are_where_they_say(tiny_vit, monkeypatch):
    """Where a pass gives each patch its mean grey value, those of a ramp lie on the ramp at twice the density."""
    encoder = ViTEncoder(replace(TINY, upsampler="strided"), checkpoint=tiny_vit, device="cpu")
    side = encoder.patch

    def means(pixels, name, blocks):
        grid = (pixels.shape[1] // side, pixels.shape[2] // side)
        return patch_means(pixels[0].numpy(), grid)[..., None].repeat(encoder.width, axis=2)

    monkeypatch.setattr(encoder, "_view", means)
    ramp = np.arange(160, dtype=np.float32) + np.zeros((96, 1), np.float32)
    for turned in (False, True):
        found = encoder.tokens(image_from_array(ramp.T.copy() if turned else ramp))[..., 0]
        found = found.T if turned else found
        assert found.shape == (24, 40)
        expected = ((np.arange(40) + 0.5) * 4 - 0.5) / 159  # of pixels 0 to 159
        np.testing.assert_allclose(found[:, 3:-3], np.broadcast_to(expected, (24, 40))[:, 3:-3], atol=1e-4)


def test_strided_interleaves_four_passes(tiny_vit):
    image = demo_image(96)[0]
    encoder = ViTEncoder(replace(TINY, upsampler="strided", position="keep"), checkpoint=tiny_vit, device="cpu")
    plain = ViTEncoder(replace(TINY, position="keep"), checkpoint=tiny_vit, device="cpu")
    found, other = encoder.tokens(image), plain.tokens(image)
    assert found.shape == (2 * other.shape[0], 2 * other.shape[1], other.shape[2])
    quarter = found.reshape(other.shape[0], 2, other.shape[1], 2, -1)
    likeness = [np.corrcoef(quarter[:, i, :, j].ravel(), other.ravel())[0, 1] for i in (0, 1) for j in (0, 1)]
    assert min(likeness) > 0.8
    assert not np.array_equal(quarter[:, 0], quarter[:, 1])


# --- in recipes and classifiers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["guided", "learned", "strided", "scale"])
def test_a_classifier_predicts_the_same_when_loaded(java, tiny_vit, tmp_path, name):
    image, labels, truth = demo_image(96)
    recipe = replace(TINY, upsampler=name)
    segmenter = PixelSegmenter(recipe=recipe, n_trees=8, n_threads=1, checkpoint=tiny_vit).fit(image, labels)
    stack = segmenter.features(image)
    all_of_it = np.asarray(stack)
    assert np.array_equal(all_of_it[30:61, 5:70], stack.block(slice(30, 61), slice(5, 70)))
    again = load_segmenter(segmenter.save(tmp_path / "classifier"), checkpoint=tiny_vit)
    assert np.array_equal(again.predict(image), segmenter.predict(image))
    assert (segmenter.predict(image) == truth).mean() > 0.6
    plain = extract_features(image, TINY, checkpoint=tiny_vit)
    with pytest.raises(FeatureMismatchError, match=f"upsampler: '{name}' against 'bilinear'"):
        segmenter.predict(plain)


def test_the_linear_model_is_read_on_the_patch_grid(tiny_vit):
    """Its values on pixels are those of the upsampled channels."""
    image, labels, _ = demo_image(96)
    for name in ("guided", "learned"):
        recipe = replace(TINY, upsampler=name)
        segmenter = PixelSegmenter(recipe=recipe, n_trees=4, n_threads=1, checkpoint=tiny_vit).fit(image, labels)
        read = segmenter.features(image)
        from fijibridge.features.readout import image_statistics, read_readout, standardised

        stack = extract_features(image, recipe, checkpoint=tiny_vit)
        vit = np.array([feature.startswith("vit_") for feature in stack.names])
        samples = standardised(np.asarray(stack).reshape(-1, stack.shape[2]), vit, image_statistics(stack))
        model = read_readout(segmenter.recipe_.readout, segmenter.recipe_.readout_classes)
        found = model.probabilities(samples[:, ~vit], samples[:, vit]).reshape(96, 96, 3)
        np.testing.assert_allclose(np.asarray(read)[..., -3:], found, atol=1e-3)


def test_an_older_recipe_is_as_before():
    old = FeatureRecipe().to_json()
    del old["upsampler_weights"]
    assert FeatureRecipe.from_json(old) == FeatureRecipe()
    assert FeatureRecipe().upsampler == "bilinear"


def test_unknown_names_are_told():
    with pytest.raises(SettingsError, match="cubic") as caught:
        FeatureRecipe(upsampler="cubic")
    assert caught.value.expected == "one of bilinear, guided, learned, strided, scale"


# --- the learned one -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tiny_vit):
    return train_upsampler([demo_image(96)[0]], QUICK, checkpoint=tiny_vit)


def test_training_lowers_the_loss(tiny_vit, grey):
    image = demo_image(96)[0]
    for target in ("enlarged", "strided"):
        own = replace(QUICK, target=target, steps=30, rate=0.01)
        data, losses, history = train_upsampler([image], own, checkpoint=tiny_vit)
        assert history[-1]["validation"] < history[0]["validation"]
        assert losses.learned == history[-1]["validation"]
    again, same, _ = train_upsampler([image], own, checkpoint=tiny_vit)
    assert (again, same) == (data, losses)


def test_a_file_comes_back_equal(trained, tmp_path, grey):
    path = tmp_path / "own.safetensors"
    path.write_bytes(trained[0])
    recipe = FeatureRecipe(upsampler="learned", upsampler_weights=read_weights(path))
    assert FeatureRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    network = new_network()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in load(trained[0]).items()})
    guide = learned_guide(grey, recipe.percentiles, recipe.upsampler_weights)
    assert guide.shape == (*grey.shape, DEPTH)
    from fijibridge.features.learned import padded

    with torch.inference_mode():
        theirs = network(padded(grey, recipe.percentiles))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(guide, theirs, atol=1e-5)


def test_other_weights_are_refused(trained, tmp_path, tiny_vit):
    path = tmp_path / "own.safetensors"
    path.write_bytes(trained[0])
    own = replace(TINY, upsampler="learned", upsampler_weights=read_weights(path))
    packaged = extract_features(demo_image(96)[0], replace(TINY, upsampler="learned"), checkpoint=tiny_vit)
    assert packaged.recipe.upsampler_weights == read_weights()
    assert "upsampler_weights: SHA-256" in own.differences(packaged.recipe, as_request=True)[0]
    assert own.to_brief()["upsampler_weights"] == own.upsampler_sha256
    assert not TINY.differences(replace(TINY, upsampler_weights=own.upsampler_weights))
    about = json.loads(PACKAGED.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["sha256"] == packaged.recipe.upsampler_sha256
    assert PACKAGED.stat().st_size < 10 * 2**20


def test_bad_weights_are_told(trained, tmp_path):
    path = tmp_path / "bad.safetensors"
    arrays = load(trained[0])
    first = next(iter(sorted(arrays)))
    for content, word in [
        (b"", "no safetensors file"),
        (b"PK\x03\x04" * 99, "no safetensors file"),
        (save({name: value for name, value in arrays.items() if name != first}), f"lacks {first}"),
        (save({**arrays, "inp_conv.weight": arrays[first]}), "has inp_conv.weight"),
        (save({**arrays, first: np.zeros((3, 3), np.float32)}), rf"{first} is float32 \(3, 3\)"),
        (save({**arrays, first: arrays[first] * np.float32(np.nan)}), f"{first} is not finite"),
    ]:
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=word):
            read_weights(path)
    with pytest.raises(WeightsError, match="no weights of an upsampler"):
        read_weights(tmp_path / "nowhere")
    for text in ("AAAA", "é"):
        with pytest.raises(SettingsError, match="upsampler_weights: no safetensors file"):
            FeatureRecipe(upsampler="learned", upsampler_weights=text)


def test_pieces_that_show_nothing_are_left_out():
    flat = image_from_array(np.full((80, 90), 3, np.uint8))
    ramp = image_from_array(np.arange(80 * 90, dtype=np.uint16).reshape(80, 90))
    assert len(list(pieces([flat, ramp], QUICK))) == QUICK.crops
    with pytest.raises(ImageError, match="none of which shows anything"):
        list(pieces([flat], QUICK))


def test_the_operation(tiny_vit, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    with pytest.raises(ImageError, match="no folder with images"):
        operation(folder, out=tmp_path / "out", encoder="test_vit", weights=tiny_vit)
    iio.imwrite(folder / "a.png", demo_image(96)[0].data)
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    report = operation(
        folder, out=tmp_path / "out", encoder="test_vit", block=2, weights=tiny_vit, crops=2, crop=64, steps=2
    )
    assert list(report["images"]) == ["a.png"]
    recipe = FeatureRecipe(upsampler="learned", upsampler_weights=read_weights(tmp_path / "out" / report["outputs"][0]))
    assert recipe.upsampler_sha256 == report["sha256"]


def test_the_grey_guide_is_in_units_of_its_contrast(grey):
    found = grey_guide(grey, (0, 100), 0, 0.25)
    np.testing.assert_allclose([found.min(), found.max()], [0, 4], atol=1e-5)
    assert Bilinear(grey.shape).shape == grey.shape


def test_scale_is_twice_the_enlargement(tiny_vit):
    image = demo_image(96)[0]
    found = extract_features(image, replace(TINY, upsampler="scale"), checkpoint=tiny_vit)
    twice = extract_features(image, replace(TINY, enlargement=2 * TINY.enlargement), checkpoint=tiny_vit)
    assert np.array_equal(found, twice)
    assert found.names == twice.names
    tokens = ViTEncoder(replace(TINY, upsampler="scale"), checkpoint=tiny_vit).tokens(image)
    assert np.array_equal(tokens, twice.tokens())


def test_each_detector_has_its_own_guide(tiny_vit):
    image = demo_image(96)[0]
    other = replace(image, data=np.ascontiguousarray(image.data[::-1, ::-1]))
    joined = join_detectors({"SE": image, "BSE": other}, align=False)
    recipe = replace(TINY, upsampler="guided", classical="none")
    both = np.asarray(extract_features(joined, recipe, checkpoint=tiny_vit))
    each = [np.asarray(extract_features(own, recipe, checkpoint=tiny_vit)) for own in (image, other)]
    assert np.array_equal(both, np.concatenate(each, axis=2))
