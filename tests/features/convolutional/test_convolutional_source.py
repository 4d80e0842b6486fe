"""Layers of a convolutional network as features: tiles, blocks, detectors, statistics, saving, what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.features import ConvSettings, FeatureExtractor, TwsSettings, extract_features
from fijibridge.features.convolutional import layers as conv_layers
from fijibridge.features.convolutional.layers import ConvolutionalLayers
from fijibridge.features.convolutional.source import ConvSource
from fijibridge.features.settings import sources_in
from fijibridge.features.upsampling.bilinear import BilinearUpsampler, CellPlaces
from fijibridge.images.detectors import join_detectors
from fijibridge.images.image import image_from_array
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image
from fijibridge.weights.convolutional import DEFAULT_NETWORK, create_convolutional


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory) -> Path:
    """A checkpoint of the default network with random weights, whose outputs neither vanish nor grow."""
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = create_convolutional(DEFAULT_NETWORK).state_dict()
        for name in state:
            if name.endswith("running_var"):
                state[name] = torch.rand_like(state[name]) + 0.5
    path = tmp_path_factory.mktemp("weights") / "lite0.safetensors"
    save_file(state, path)
    return path


@pytest.fixture
def settings(random_weights) -> ConvSettings:
    conv_layers.token_cache.clear()
    return ConvSettings(layers=("blocks.0", "blocks.1", "blocks.2"), weights=str(random_weights))


@pytest.fixture(scope="module")
def image():
    """An odd size, so that no grid covers it exactly."""
    return image_from_array(np.random.default_rng(0).integers(0, 4000, (101, 77)).astype(np.uint16))


def test_grids_of_layers(settings):
    layers = ConvolutionalLayers(replace(settings, layers=("bn1", "blocks.0", "blocks.1", "blocks.2"))).layers
    assert [(own.channels, own.stride) for own in layers.values()] == [(32, 2), (16, 2), (24, 4), (40, 8)]
    # counted by hand: TensorFlow pads 3 x 3 with stride 2 on the far side alone: centres at pixels 1, 3 and 7
    assert [own.shift * own.stride for own in layers.values()] == [0.5, 0.5, 1.5, 3.5]
    assert [own.reach for own in layers.values()] == [1, 3, 9, 33]


@pytest.mark.parametrize("enlargement", [1.0, 1.7])
def test_tiles_make_what_the_whole_image_makes(settings, image, monkeypatch, enlargement):
    network = ConvolutionalLayers(replace(settings, enlargement=enlargement))
    whole = dict(network.outputs(image))
    conv_layers.token_cache.clear()
    monkeypatch.setattr(conv_layers, "TILE", 32)
    for name, output in network.outputs(image):
        assert output.shape == whole[name].shape
        np.testing.assert_allclose(output, whole[name], atol=1e-5 * np.abs(whole[name]).max())
        assert output.std() > 0


def test_a_margin_too_small_would_show(settings, image, monkeypatch):
    network = ConvolutionalLayers(settings)
    whole = dict(network.outputs(image))
    conv_layers.token_cache.clear()
    monkeypatch.setattr(conv_layers, "TILE", 32)
    monkeypatch.setattr(network, "margin", 16)
    found = dict(network.outputs(image))["blocks.2"]
    assert np.abs(found - whole["blocks.2"]).max() > 1e-3 * np.abs(found).max()


def test_threads_do_not_disturb_one_another(settings):
    images = [image_from_array(np.random.default_rng(i).integers(0, 255, (64, 64)).astype(np.uint8)) for i in range(4)]
    network = ConvolutionalLayers(settings)
    alone = [dict(network.outputs(one)) for one in images]
    conv_layers.token_cache.clear()
    with ThreadPoolExecutor(4) as workers:
        together = list(workers.map(lambda one: dict(network.outputs(one)), images))
    for one, other in zip(alone, together, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_blocks_and_pixels_are_those_of_the_whole(settings, image):
    stack = extract_features(image, settings)
    assert stack.shape == (101, 77, 80)
    assert stack.names[:2] == ("conv_blocks_0_c000", "conv_blocks_0_c001")
    assert set(stack.groups) == {""}
    whole = stack.block()
    np.testing.assert_array_equal(stack.block(slice(33, 71), slice(5, 77)), whole[33:71, 5:77])
    mask = np.random.default_rng(1).random((101, 77)) < 0.1
    np.testing.assert_array_equal(stack.at(mask), whole[mask])
    weights = np.random.default_rng(2).normal(size=(16, 3)).astype(np.float32)
    part, out = stack.parts[0].weighted(weights), np.empty((101, 77, 3), np.float32)
    part.block(slice(0, 101), slice(0, 77), out)
    np.testing.assert_allclose(out, whole[..., :16] @ weights, atol=1e-4 * np.abs(out).max())


@pytest.mark.parametrize(("stride", "shift"), [(2, 0.25), (4, 0.375), (8, 0.0)])
def test_centres_of_cells_lie_where_they_are_said_to(stride, shift):
    """Cells that hold the place of their own centres give each pixel its own place."""
    shape = (41, 53)
    centres = [stride * (np.arange(-(-length // stride)) + 0.5 + shift) for length in shape]
    tokens = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).astype(np.float32)
    upsampler = BilinearUpsampler(shape, CellPlaces(stride, shift))
    out = np.empty((*shape, 2), np.float32)
    upsampler.block(tokens, slice(0, 41), slice(0, 53), out)
    inner = slice(2 * stride, 24)
    np.testing.assert_allclose(out[inner, inner], np.moveaxis(np.mgrid[inner, inner], 0, -1) + 0.5, atol=1e-4)
    y, x = np.mgrid[0:41:7, 0:53:5].reshape(2, -1)
    np.testing.assert_array_equal(upsampler.at(tokens, y, x), out[y, x])


def test_each_detector_has_its_own_channels(settings, image):
    other = image_from_array(image.data[::-1].copy())
    both = extract_features(join_detectors({"BSE": image, "SE": other}), settings)
    assert set(both.detectors[: len(both.names) // 2]) == {""}
    assert set(both.detectors[len(both.names) // 2 :]) == {"SE"}
    assert both.names[80] == "conv_SE_blocks_0_c000"
    alone = [extract_features(own, settings).block() for own in (image, other)]
    np.testing.assert_array_equal(both.block(), np.concatenate(alone, axis=2))
    assert both.extractor.n_features(2) == 160


def test_colours_are_seen(settings):
    data = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    found = [extract_features(image_from_array(own), settings).block() for own in (data, data[..., ::-1].copy())]
    assert found[0].shape == (64, 64, 80)
    assert not np.allclose(*found)


def test_statistics_of_a_stack_scale_each_slice_alike(settings):
    rng = np.random.default_rng(0)
    dark, bright = (image_from_array(rng.integers(low, low + 90, (64, 64)).astype(np.uint8)) for low in (0, 100))
    extractor = FeatureExtractor(settings)
    together = extractor.statistics([dark, bright])
    limits = together.of_source("conv")["0.limits"]
    assert limits[0] < 5
    assert limits[1] > 180
    own, seen = (extractor.transform(dark, statistics).block() for statistics in (None, together))
    assert not np.allclose(own, seen)
    alone = extractor.transform(dark, extractor.statistics([dark])).block()
    np.testing.assert_array_equal(alone, own)


def test_components_are_learned_once(settings, image):
    few = replace(settings, channels=5)
    stack = extract_features(image, few)
    assert stack.names[5] == "conv_blocks_1_p000"
    assert stack.shape[2] == few.channels * 3
    source = ConvSource(few)
    source.set_arrays(stack.extractor.sources[0].arrays())
    assert source.differences(stack.extractor.sources[0], as_request=True) == []
    with pytest.raises(SettingsError, match="basis"):
        ConvSource(few).set_arrays({})
    with pytest.raises(SettingsError, match="learned arrays"):
        ConvSource(settings).set_arrays(stack.extractor.sources[0].arrays())


@pytest.mark.parametrize("grouped", [False, True])
def test_a_saved_classifier_predicts_the_same(settings, tmp_path, monkeypatch, grouped):
    image, labels, truth = demo_image(96)
    settings = replace(settings, grouped=grouped)
    segmenter = PixelSegmenter((TwsSettings(), settings), n_trees=8, n_threads=1).fit(image, labels)
    assert segmenter.forest_.n_features == 76 + (3 if grouped else 80)
    predicted = segmenter.predict(image)
    assert (predicted == truth).mean() > 0.6
    folder = segmenter.save(tmp_path / "saved")
    loaded = load_segmenter(folder)
    assert loaded.extractor_.sources[1].provenance == segmenter.extractor_.sources[1].provenance
    monkeypatch.setattr(conv_layers, "cache_file", lambda network: Path(settings.weights))
    monkeypatch.setattr(conv_layers, "load_weights", lambda name, **o: _given(name, settings, **o))
    np.testing.assert_array_equal(loaded.predict(image), predicted)


def _given(name, settings, **options):
    from fijibridge.weights.weights import load_weights

    return load_weights(name, checkpoint=settings.weights, model=options["model"])


def test_other_weights_than_the_classifiers_are_refused(settings):
    from fijibridge.features.provenance import Provenance

    with pytest.raises(FeatureMismatchError, match="classifier's own"):
        ConvolutionalLayers(settings, known=Provenance("0" * 64, "elsewhere"))


WRONG = {
    "no such layer": ({"layers": ("blocks.77",)}, "layer 'blocks.77'"),
    "no layers": ({"layers": ()}, r"layers \(\)"),
    "a layer twice": ({"layers": ("blocks.0", "blocks.0")}, "each once"),
    "no such network": ({"network": "efficientnot"}, "not known to timm"),
    "more components than channels": ({"channels": 17}, "which has 16 channels"),
    "percentiles": ({"percentiles": (90, 10)}, "percentiles"),
    "a layer without a place": ({"layers": ("global_pool",)}, "which makes nothing"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_is_refused(settings, what):
    changes, message = WRONG[what]
    with pytest.raises(SettingsError, match=message):
        ConvolutionalLayers(replace(settings, **changes))


def test_a_network_that_sees_the_whole_image_is_refused(tmp_path):
    from safetensors.torch import save_file

    state = create_convolutional("efficientnet_b0").state_dict()  # squeeze-and-excitation in each block
    save_file(state, tmp_path / "b0.safetensors")
    with pytest.raises(SettingsError, match="see the whole image"):
        ConvolutionalLayers(ConvSettings("efficientnet_b0", weights=str(tmp_path / "b0.safetensors")))


def test_by_name():
    assert sources_in("tws,conv") == [TwsSettings(), ConvSettings()]
    (vgg,) = sources_in("conv:vgg19")
    assert (vgg.network, len(vgg.layers)) == ("vgg19", 3)
    assert ConvSettings.from_json(vgg.to_json()) == vgg


@pytest.mark.weights("tf_efficientnet_lite0")
def test_pretrained_features():
    conv_layers.token_cache.clear()
    stack = extract_features(demo_image(96)[0], "conv")
    assert np.isfinite(stack.block()).all()
    provenance = stack.extractor.sources[0].provenance
    assert "apache-2.0" in provenance.licence.lower()


@pytest.mark.weights("vgg19")
def test_vgg19_says_what_is_unclear():
    stack = extract_features(demo_image(96)[0], "conv:vgg19")
    assert stack.shape[2] == 48
    assert stack.extractor.sources[0].provenance.licence
