"""From the patch grid to pixels: each upsampler by name, and the training of the learned one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from fijibridge.core.errors import FeatureMismatchError, ImageError, SettingsError, WeightsError
from fijibridge.features import FeatureExtractor, TwsSettings, VitSettings, extract_features
from fijibridge.features.linear_head.statistics import image_statistics, standardised
from fijibridge.features.upsampling.base import UPSAMPLERS
from fijibridge.features.upsampling.bilinear import BilinearUpsampler
from fijibridge.features.upsampling.guide_network import learned_guide, new_network
from fijibridge.features.upsampling.joint_bilateral import JointBilateral, grey_guide, patch_means
from fijibridge.features.upsampling.training import UpsamplerSettings, joint, train_upsampler, training_crops
from fijibridge.features.upsampling.weights_file import DEPTH, PACKAGED, read_weights
from fijibridge.features.vit.encoder import ViTEncoder, shifted
from fijibridge.images.detectors import join_detectors
from fijibridge.images.image import image_from_array, scale_percentiles
from fijibridge.operations.train_upsampler import train_upsampler as operation
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image

TINY = VitSettings(encoder="test_vit", blocks=(2,), coarse_blocks=(4,), upsampler="bilinear")
NAMES = ("bilinear", "guided", "learned")
QUICK = UpsamplerSettings(encoder="test_vit", block=2, crops=4, crop=64, steps=12)


def tiny(weights, **changes) -> tuple:
    """TWS's features and the tiny ViT's."""
    return TwsSettings(), replace(TINY, weights=str(weights), **changes)


def made(name: str, grey: np.ndarray):
    method = UPSAMPLERS[name]
    return method.upsampler(scale_percentiles(grey), method.read_weights(""))


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


def test_the_compiled_function_is_that_of_the_training(grey):
    guide = np.random.default_rng(0).normal(size=(*grey.shape, 3)).astype(np.float32)
    tokens = np.random.default_rng(1).normal(size=(9, 17, 4)).astype(np.float32)
    theirs = joint(*(torch.from_numpy(np.moveaxis(array, -1, 0).copy()) for array in (guide, tokens)))
    np.testing.assert_allclose(whole(JointBilateral(guide), tokens, grey.shape), theirs.permute(1, 2, 0), atol=1e-5)


def test_a_flat_guide_leaves_the_spline():
    tokens = np.zeros((1, 5, 1), np.float32)
    tokens[0, 2] = 1
    found = whole(JointBilateral(np.zeros((8, 40, 1), np.float32)), tokens, (8, 40))[0, :, 0]
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
    encoder = ViTEncoder(replace(TINY, upsampler="strided", weights=str(tiny_vit)), device="cpu")
    side = encoder.patch

    def means(pixels, name, blocks, seen):
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
    kept = replace(TINY, debiasing="none", weights=str(tiny_vit))
    encoder = ViTEncoder(replace(kept, upsampler="strided"), device="cpu")
    plain = ViTEncoder(kept, device="cpu")
    found, other = encoder.tokens(image), plain.tokens(image)
    assert found.shape == (2 * other.shape[0], 2 * other.shape[1], other.shape[2])
    quarter = found.reshape(other.shape[0], 2, other.shape[1], 2, -1)
    likeness = [np.corrcoef(quarter[:, i, :, j].ravel(), other.ravel())[0, 1] for i in (0, 1) for j in (0, 1)]
    assert min(likeness) > 0.8
    assert not np.array_equal(quarter[:, 0], quarter[:, 1])


# --- in classifiers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["guided", "learned", "strided", "scale"])
@pytest.mark.slow
def test_a_classifier_predicts_the_same_when_loaded(java, tiny_vit, tmp_path, name):
    image, labels, truth = demo_image(96)
    segmenter = PixelSegmenter(tiny(tiny_vit, upsampler=name), n_trees=8, n_threads=1).fit(image, labels)
    stack = segmenter.extract(image)
    all_of_it = np.asarray(stack)
    assert np.array_equal(all_of_it[30:61, 5:70], stack.block(slice(30, 61), slice(5, 70)))
    again = load_segmenter(segmenter.save(tmp_path / "classifier"), weights=tiny_vit)
    assert np.array_equal(again.predict(image), segmenter.predict(image))
    assert (segmenter.predict(image) == truth).mean() > 0.6
    plain = extract_features(image, tiny(tiny_vit))
    with pytest.raises(FeatureMismatchError, match=f"upsampler: '{name}' against 'bilinear'"):
        segmenter.predict(plain)


def test_the_linear_model_is_applied_on_the_patch_grid(tiny_vit):
    """Its values on pixels are those of the upsampled channels."""
    image, labels, _ = demo_image(96)
    for name in ("guided", "learned"):
        own = tiny(tiny_vit, upsampler=name)
        segmenter = PixelSegmenter(own, n_trees=4, n_threads=1).fit(image, labels)
        seen = segmenter.extract(image)
        stack = extract_features(image, own)
        vit = np.array([feature.startswith("vit_") for feature in stack.names])
        samples = standardised(np.asarray(stack).reshape(-1, stack.shape[2]), image_statistics(stack))
        model = segmenter.extractor_.head_.model
        found = model.probabilities(samples[:, ~vit], samples[:, vit]).reshape(96, 96, 3)
        np.testing.assert_allclose(np.asarray(seen)[..., -3:], found, atol=1e-3)


def test_a_weights_file_is_no_part_of_what_is_saved():
    own = VitSettings(upsampler="learned", upsampler_weights="own.safetensors")
    assert "upsampler_weights" not in own.to_json()
    assert VitSettings.from_json(own.to_json()) == VitSettings(upsampler="learned")
    assert VitSettings().upsampler == "guided"


def test_unknown_names_are_told():
    with pytest.raises(SettingsError, match="cubic") as caught:
        VitSettings(upsampler="cubic")
    assert caught.value.expected == "one of bilinear, guided, learned, strided, scale"


# --- the learned one -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tiny_vit):
    return train_upsampler([demo_image(96)[0]], QUICK, checkpoint=tiny_vit)


@pytest.mark.slow
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
    assert read_weights(path) == trained[0]
    extractor = FeatureExtractor(VitSettings(upsampler="learned"))
    extractor.sources[0].upsampler_weights_ = read_weights(path)
    again = FeatureExtractor.restored(json.loads(json.dumps(extractor.to_json())), extractor.arrays())
    assert again.differences(extractor) == []
    kept, grey = again.sources[0].upsampler_weights_, scale_percentiles(grey)
    assert kept == trained[0]
    network = new_network()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in load(trained[0]).items()})
    guide = learned_guide(grey, kept)
    assert guide.shape == (*grey.shape, DEPTH)
    from fijibridge.features.upsampling.guide_network import padded

    with torch.inference_mode():
        theirs = network(padded(grey))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(guide, theirs, atol=1e-5)


def test_other_weights_are_refused(trained, tmp_path, tiny_vit):
    path = tmp_path / "own.safetensors"
    path.write_bytes(trained[0])
    image = demo_image(96)[0]
    own = extract_features(image, tiny(tiny_vit, upsampler="learned", upsampler_weights=path)).extractor
    packaged = extract_features(image, tiny(tiny_vit, upsampler="learned"))
    assert packaged.extractor.sources[1].upsampler_weights_ == read_weights()
    mine, theirs = (one.sources[1].digests()["upsampler_weights"][:12] for one in (own, packaged.extractor))
    told = [f"upsampler_weights: {mine} against {theirs}"]
    assert own.differences(packaged.extractor) == own.differences(packaged.extractor, as_request=True) == told
    assert own.to_brief()["sources"][1]["learned"] == {"upsampler_weights": mine}
    requested = FeatureExtractor(tiny(tiny_vit, upsampler="learned", upsampler_weights=path))
    assert own.differences(requested, as_request=True) == []
    about = json.loads(PACKAGED.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["sha256"] == hashlib.sha256(packaged.extractor.sources[1].upsampler_weights_).hexdigest()
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
    data = FeatureExtractor(VitSettings(upsampler="learned")).to_json()
    for content in (b"AAAA", b""):
        with pytest.raises(SettingsError, match="weights of the upsampler: no safetensors file"):
            FeatureExtractor.restored(data, {"vit.upsampler_weights": np.frombuffer(content, np.uint8)})


def test_pieces_that_show_nothing_are_left_out():
    flat = image_from_array(np.full((80, 90), 3, np.uint8))
    ramp = image_from_array(np.arange(80 * 90, dtype=np.uint16).reshape(80, 90))
    assert len(list(training_crops([flat, ramp], QUICK))) == QUICK.crops
    with pytest.raises(ImageError, match="none of which shows anything"):
        list(training_crops([flat], QUICK))


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
    data = read_weights(tmp_path / "out" / report["outputs"][0])
    assert hashlib.sha256(data).hexdigest() == report["sha256"]


def test_the_grey_guide_is_in_units_of_its_contrast(grey):
    found = grey_guide(scale_percentiles(grey, 0, 100), 0, 0.25)
    np.testing.assert_allclose([found.min(), found.max()], [0, 4], atol=1e-5)
    assert BilinearUpsampler(grey.shape).shape == grey.shape


def test_scale_is_twice_the_enlargement(tiny_vit):
    image = demo_image(96)[0]
    found = extract_features(image, tiny(tiny_vit, upsampler="scale"))
    twice = extract_features(image, tiny(tiny_vit, enlargement=2 * TINY.enlargement))
    assert np.array_equal(found, twice)
    assert found.names == twice.names
    tokens = ViTEncoder(replace(TINY, upsampler="scale", weights=str(tiny_vit))).tokens(image)
    assert np.array_equal(tokens, twice.tokens())


def test_each_detector_has_its_own_guide(tiny_vit):
    image = demo_image(96)[0]
    other = replace(image, data=np.ascontiguousarray(image.data[::-1, ::-1]))
    joined = join_detectors({"SE": image, "BSE": other}, align=False)
    vit = replace(TINY, upsampler="guided", weights=str(tiny_vit))
    both = np.asarray(extract_features(joined, vit))
    each = [np.asarray(extract_features(own, vit)) for own in (image, other)]
    assert np.array_equal(both, np.concatenate(each, axis=2))
