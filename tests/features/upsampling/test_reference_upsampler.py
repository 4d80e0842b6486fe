"""Checkpoints of the convolutional upsampler of arXiv 2508.21529: read, checked, run piece by piece, kept."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from torch.nn import functional as F

from fijibridge.core.errors import FeatureMismatchError, SettingsError, WeightsError
from fijibridge.core.threads import limited_threads
from fijibridge.features import FeatureExtractor, TwsSettings, VitSettings, extract_features
from fijibridge.features.extractor_file import read_extractor
from fijibridge.features.linear_head.statistics import image_statistics, standardised
from fijibridge.features.upsampling import convolutional
from fijibridge.features.upsampling.base import UPSAMPLERS
from fijibridge.features.upsampling.convolutional import MEAN, STD, Convolutional, Network
from fijibridge.features.upsampling.cropped_planes import Axis, pixel_places
from fijibridge.features.upsampling.published_checkpoint import Layout, read_checkpoint
from fijibridge.features.upsampling.weights_file import layout, read_weights
from fijibridge.features.vit.encoder import ViTEncoder
from fijibridge.images.detectors import join_detectors
from fijibridge.operations.feature_options import chosen_features
from fijibridge.operations.features import features
from fijibridge.operations.segment import segment
from fijibridge.segmentation import PixelSegmenter, load_segmenter
from fijibridge.synthesis.demo import demo_image

SMALL = Layout(kernel=3, channels=8, hidden=6, down=4, patch=16, padding="replicate")
BLOCK = replace(SMALL, channels=64)  # of the small ViT of the tests
TINY = VitSettings(encoder="test_vit", blocks=(2, 3), coarse_blocks=(4,), upsampler="learned")
FEW = replace(TINY, coarse_blocks=(), channels=8)


def vit(weights: Path, own: VitSettings = TINY, **changes: Any) -> VitSettings:
    """The tiny ViT's settings with its weights' file."""
    return replace(own, weights=str(weights), **changes)


def both(weights: Path, own: VitSettings = TINY, **changes: Any) -> tuple[TwsSettings, VitSettings]:
    """TWS's features, then the ViT's."""
    return TwsSettings(), vit(weights, own, **changes)


def holding(data: bytes) -> FeatureExtractor:
    """An extractor with an upsampler's weights, as after its first image."""
    found = FeatureExtractor(VitSettings(upsampler="learned"))
    found.sources[0].upsampler_weights_ = data
    return found


def config_of(own: Layout, **changes: Any) -> dict[str, Any]:
    """The config of a checkpoint, as the authors' implementation writes it."""
    sizes = {"k": own.kernel, "n_ch_in": own.channels, "n_ch_hidden": own.hidden, "n_ch_out": own.channels}
    sizes |= {"n_ch_guidance": 3, "n_ch_downsampler": own.down, "patch_size": own.patch}
    other = {"name": "upsampler_LU_c96", "feat_weight": -1, "padding_mode": own.padding, "weights_init": "default"}
    return {**sizes, **other, **changes}


def state_of(own: Layout, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under which features keep their scale."""
    rng, state = np.random.default_rng(seed), {}
    for name, shape in own.shapes().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = torch.from_numpy(rng.uniform(0.5, 2, shape).astype(np.float32))
        else:
            scale = 0.5 if len(shape) < 2 else np.prod(shape[1:]) ** -0.5
            state[name] = torch.from_numpy(rng.normal(scale=scale, size=shape).astype(np.float32))
    return state


def write(path: Path, own: Layout, state: dict[str, Any] | None = None, **changes: Any) -> Path:
    torch.save({"weights": state or state_of(own), "config": config_of(own, **changes)}, path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[int, Path]:
    """Checkpoints by their number of channels."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {own.channels: write(folder / f"{own.channels}.pth", own) for own in (SMALL, BLOCK)}


def upsampler(own: Layout, shape: tuple[int, int], seed: int = 0) -> Convolutional:
    arrays = {name: value.numpy() for name, value in state_of(own, seed).items()}
    network = Network.of(save(arrays, {"config": json.dumps(config_of(own))}))
    return Convolutional(network, np.random.default_rng(seed).random(shape, np.float32))


def whole(up: Convolutional, tokens: np.ndarray, width: int = 0) -> np.ndarray:
    out = np.full((*up.grey.shape, width or tokens.shape[2]), np.nan, np.float32)
    up.block(tokens, slice(0, out.shape[0]), slice(0, out.shape[1]), out)
    return out


def plainly(own: Layout, state: dict[str, torch.Tensor], grey: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """What the network makes of a whole image whose patches are the grid's, layer by layer."""

    def convolved(x: torch.Tensor, name: str) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        mode = "replicate" if own.padding == "replicate" else "constant"
        return F.conv2d(F.pad(x, [weight.shape[-1] // 2] * 4, mode=mode), weight, state.get(f"{name}.bias"))

    def double(x: torch.Tensor, name: str) -> torch.Tensor:
        for i in (0, 3):
            x = convolved(x, f"{name}.double_conv.{i}")
            norm = (
                state[f"{name}.double_conv.{i + 1}.{own}"] for own in ("running_mean", "running_var", "weight", "bias")
            )
            x = F.leaky_relu(F.batch_norm(x, *norm))
        return x

    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    image = (torch.from_numpy(grey)[None, None] * 255 - mean) / std
    guides = [image]
    for i in range(own.depth):
        half = double(F.max_pool2d(guides[-1], 2), f"downsampler.downsample_layers.{i}.maxpool_conv.1")
        guides.append(torch.cat([half, F.interpolate(image, half.shape[2:])], 1))
    guides[-1] = F.interpolate(guides[-1], tokens.shape[:2])
    x = F.normalize(torch.from_numpy(tokens).permute(2, 0, 1)[None], p=1)
    x = double(x, "upsampler.inp_conv")
    for i, guide in enumerate(guides[:0:-1]):
        x = double(torch.cat([F.interpolate(x, guide.shape[2:]), guide], 1), f"upsampler.upsamples.{i}.conv")
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        x = convolved(x, f"upsampler.upsamples.{i}.up.1")
    x = convolved(convolved(x, "upsampler.outp_conv"), "upsampler.mlp")
    return F.interpolate(x, image.shape[2:])[0].permute(1, 2, 0).numpy()


# --- the network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("patch", [14, 16, 8, 7])
@pytest.mark.parametrize("grid", [(2, 5), (23, 19), (9, 40)])
@pytest.mark.slow
def test_pieces_are_what_the_whole_image_gives(monkeypatch, patch, padding, grid):
    monkeypatch.setattr(convolutional, "PIECE", 100)
    own = replace(SMALL, patch=patch, padding=padding)
    up = upsampler(own, (grid[0] * patch, grid[1] * patch))
    tokens = np.random.default_rng(1).normal(size=(*grid, own.channels)).astype(np.float32)
    expected = plainly(own, state_of(own), up.grey, tokens)
    np.testing.assert_allclose(whole(up, tokens), expected, atol=3e-5 * expected.std())


def test_features_on_pixels_are_means_of_what_the_network_saw():
    """An image half as large as the network sees it."""
    grid, own = (9, 7), SMALL
    up = upsampler(own, (grid[0] * 8, grid[1] * 8))
    tokens = np.random.default_rng(1).normal(size=(*grid, own.channels)).astype(np.float32)
    seen = F.interpolate(torch.from_numpy(up.grey)[None, None], scale_factor=2, mode="bicubic")[0, 0].numpy()
    expected = plainly(own, state_of(own), seen, tokens).reshape(72, 2, 56, 2, 8).mean((1, 3))
    np.testing.assert_allclose(whole(up, tokens), expected, atol=3e-5 * expected.std())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 240), st.data())
def test_every_pixel_takes_what_is_at_its_place(pixels, seen, data):
    start = data.draw(st.integers(0, pixels - 1))
    index, weight = pixel_places((start, pixels), pixels, seen)
    assert (index >= 0).all()
    assert (index < seen).all()
    np.testing.assert_allclose(weight.sum(1), 1, atol=1e-6)
    centre = (np.arange(start, pixels) + 0.5) * seen / pixels
    expected = np.clip(centre, 0.5, seen - 0.5)
    np.testing.assert_allclose((weight * (index + 0.5)).sum(1), expected, atol=0.26 if seen < pixels * 2 else 0.5)
    if seen == pixels:
        assert np.array_equal(weight[:, 0], np.ones(pixels - start))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 90), st.integers(7, 16), st.integers(1, 300), st.data())
def test_spans_lie_in_their_planes(cells, patch, pixels, data):
    start = data.draw(st.integers(0, pixels - 1))
    stop = data.draw(st.integers(start + 1, pixels))
    axis = Axis(replace(SMALL, patch=patch), cells, pixels, (start, stop))
    spans = [axis.first, *axis.guides, *axis.own, axis.hidden]
    lengths = [cells, *axis.sizes, *axis.steps, 2 * axis.steps[-1]]
    for (low, high), length in zip(spans, lengths, strict=True):
        assert 0 <= low < high <= length


@pytest.mark.parametrize(("shape", "grid"), [((119, 150), (15, 19)), ((119, 150), (7, 9)), ((300, 40), (5, 1))])
@pytest.mark.slow
def test_a_block_and_single_pixels_are_those_of_the_whole(monkeypatch, shape, grid):
    """Of two blocks of a ViT at once, at any enlargement."""
    monkeypatch.setattr(convolutional, "PIECE", 90)
    up, rng = upsampler(SMALL, shape), np.random.default_rng(0)
    assert not up.linear
    tokens = rng.normal(size=(*grid, 16)).astype(np.float32)
    all_of_it = whole(up, tokens)
    assert np.isfinite(all_of_it).all()
    rows, cols = slice(shape[0] // 3, shape[0] - 5), slice(7, shape[1] - 2)
    wide = np.zeros((rows.stop - rows.start, cols.stop - cols.start, 19), np.float32)
    upsampler(SMALL, shape).block(tokens, rows, cols, wide[..., 2:18])
    assert np.array_equal(wide[..., 2:18], all_of_it[rows, cols])
    assert not wide[..., [0, 1, 18]].any()
    y, x = rng.integers(0, shape[0], 50), rng.integers(0, shape[1], 50)
    assert np.array_equal(up.at(tokens, y, x), all_of_it[y, x])
    assert up.at(tokens, y[:0], x[:0]).shape == (0, 16)
    up.block(tokens, slice(3, 3), slice(0, 9), np.empty((0, 9, 16), np.float32))
    other = rng.normal(size=tokens.shape).astype(np.float32)
    assert not np.array_equal(whole(up, other), all_of_it)
    each = whole(up, np.ascontiguousarray(tokens[..., 8:]))
    np.testing.assert_allclose(each, all_of_it[..., 8:], atol=1e-5)


def test_an_image_of_one_patch_and_a_constant_one():
    for shape, grid in (((1, 1), (1, 1)), ((9, 60), (1, 8))):
        up = upsampler(replace(SMALL, patch=14), shape)
        up.grey[:] = 0.5
        assert np.isfinite(whole(up, np.ones((*grid, 8), np.float32))).all()


def test_a_linear_model_of_the_features():
    up, rng = upsampler(SMALL, (90, 110)), np.random.default_rng(0)
    tokens, weights = rng.normal(size=(11, 14, 16)).astype(np.float32), rng.normal(size=(16, 3)).astype(np.float32)
    found = whole(up.weighted(weights), tokens, 3)
    expected = whole(up, tokens) @ weights
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["config", "bare", "bare of old", "half", "safetensors"])
def test_a_checkpoint_comes_back_equal(tmp_path, kind):
    own = replace(SMALL, patch=14, padding="zeros")
    state = state_of(own)
    if kind == "half":
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    path = tmp_path / "own.pth"
    if kind in ("config", "half"):
        write(path, own, state)
    elif kind == "safetensors":
        path.write_bytes(save({name: value.numpy() for name, value in state.items()}))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "bare")
    extractor = holding(read_weights(path))
    again = FeatureExtractor.restored(json.loads(json.dumps(extractor.to_json())), extractor.arrays())
    assert again.differences(extractor) == []
    data = again.sources[0].upsampler_weights_
    assert layout(data) == own
    kept = load(data)
    assert kept.keys() == state.keys()
    for name, value in state.items():
        assert kept[name].dtype == value.numpy().dtype
        assert np.array_equal(kept[name], value.numpy())
    grey, tokens = (
        np.random.default_rng(0).random((56, 70), np.float32),
        np.random.default_rng(1).normal(size=(8, 10, 8)),
    )
    theirs, found = (
        UPSAMPLERS["learned"].upsampler(grey, own_weights).at(tokens.astype(np.float32), np.arange(56), np.arange(56))
        for own_weights in (read_weights(path), data)
    )
    assert np.array_equal(found, theirs)
    (about,) = extractor.to_brief()["sources"]
    assert about["learned"] == {"upsampler_weights": extractor.sources[0].digests()["upsampler_weights"][:12]}
    assert extractor.differences(holding(read_weights()))[0].startswith("upsampler_weights: ")


def test_a_config_may_leave_the_hidden_channels_open(tmp_path):
    own = replace(SMALL, hidden=8)
    assert layout(read_weights(write(tmp_path / "own.pth", own, n_ch_hidden=-1))) == own


FIRST = "upsampler.inp_conv.double_conv.0.weight"
NORM = "upsampler.inp_conv.double_conv.1.running_var"
LAST = "upsampler.mlp.weight"


def changed(name: str, value: torch.Tensor | None) -> dict[str, torch.Tensor]:
    state = state_of(SMALL)
    del state[name]
    return state if value is None else {**state, name: value}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"weights": changed(NORM, None), "config": config_of(SMALL)}, f"lacks {NORM}"),
        ({"weights": changed(FIRST, None), "config": config_of(SMALL)}, f"lacks {FIRST}"),
        ({"weights": {**state_of(SMALL), "head.weight": torch.ones(2)}}, "has head.weight"),
        ({"weights": state_of(SMALL), "config": config_of(SMALL, n_ch_downsampler=5)}, r"\(4, 3, 3, 3\), not \(5, 3"),
        ({"weights": changed(NORM, torch.ones(9)), "config": config_of(SMALL)}, rf"{NORM} is \(9,\), not \(6,\)"),
        ({"weights": changed(FIRST, torch.ones(3)), "config": config_of(SMALL)}, "not of four dimensions"),
        ({"weights": changed(NORM, torch.full((6,), torch.nan)), "config": config_of(SMALL)}, f"{NORM} is not finite"),
        ({"weights": changed(NORM, -torch.ones(6)), "config": config_of(SMALL)}, f"{NORM} is negative"),
        ({"weights": changed(NORM, torch.ones(6, dtype=int)), "config": config_of(SMALL)}, "is int64, no floating"),
        ({"weights": changed(LAST, torch.ones(12, 8, 1, 1)), "config": config_of(SMALL, n_ch_out=12)}, "n_ch_out = 12"),
        ({"weights": state_of(SMALL), "config": config_of(SMALL, patch_size=40)}, "lacks downsampler"),
        ({"weights": state_of(SMALL), "config": config_of(SMALL, patch_size=0)}, "patch_size = 0"),
        ({"weights": state_of(SMALL), "config": config_of(SMALL, patch_size="14")}, "no whole number"),
        ({"weights": state_of(SMALL), "config": config_of(SMALL, padding_mode="circular")}, "= 'circular', not zeros"),
        ({"weights": state_of(SMALL), "config": config_of(SMALL, feat_weight=0.3)}, "feat_weight = 0.3"),
        ({"weights": state_of(SMALL), "config": config_of(SMALL, n_ch_guidance=1)}, "n_ch_guidance = 1"),
        ({"weights": state_of(SMALL), "config": config_of(SMALL, k=4)}, "k = 4"),
        ({"weights": state_of(SMALL), "config": config_of(SMALL, name="upsampler_LU_ac48_dvt")}, "autoencoder"),
        ({"weights": state_of(SMALL), "config": [1]}, "a config that is no dict"),
        ({"weights": state_of(SMALL), "config": {"k": torch.ones(1)}}, "not of plain values"),
        ({"weights": {**state_of(SMALL), "epoch": 3}}, "epoch is no tensor"),
        ({"weights": {}}, "no state dict"),
        ([1, 2], "no state dict"),
        ({"weights": changed(NORM, torch.ones(1).expand(2**26))}, "tensors of more than 128 MiB"),
        ({"weights": state_of(SMALL), "config": Path("a")}, "other objects than tensors"),
        ({"vit.weight": torch.ones(2)}, "of another network: vit.weight"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(tmp_path, content, word):
    path = tmp_path / "own.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=word) as caught:
        read_weights(path)
    assert str(path) in caught.value.found
    assert "checkpoint" in caught.value.expected
    assert caught.value.remedy


def test_other_files_are_told(tmp_path, monkeypatch):
    path = tmp_path / "own.pth"
    whole_file = write(tmp_path / "good.pth", SMALL).read_bytes()
    for content, word in [
        (whole_file[:-1000], "none that torch reads"),
        (b"\x80\x02" + bytes(99), "no safetensors file"),
        (b"\x89PNG", "no safetensors file"),
    ]:
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=word):
            read_weights(path)
    monkeypatch.setattr("fijibridge.features.upsampling.weights_file.LARGEST", 1000)
    with pytest.raises(WeightsError, match="0 MiB, more than 0"):
        read_weights(tmp_path / "good.pth")
    monkeypatch.setattr("fijibridge.features.upsampling.published_checkpoint.LARGEST", 1000)
    with pytest.raises(WeightsError, match="when unpacked"):
        read_checkpoint(tmp_path / "good.pth")


def test_damaged_weights_of_a_classifier_are_refused():
    arrays = {name: value.numpy() for name, value in state_of(SMALL).items()}
    for data, word in [
        (save(arrays, {"config": "{"}), "a config that cannot be read"),
        (save({**arrays, FIRST: arrays[FIRST][:2]}), "is"),
        (save(arrays)[:-4], "no safetensors file"),
    ]:
        with pytest.raises(SettingsError, match=f"weights of the upsampler: .*{word}"):
            FeatureExtractor.restored(holding(b"").to_json(), {"vit.upsampler_weights": np.frombuffer(data, np.uint8)})


# --- in classifiers -------------------------------------------------------------------------------------------------


def test_another_number_of_channels_is_refused_before_the_vit_runs(files, tiny_vit, monkeypatch):
    image = demo_image(96)[0]
    monkeypatch.setattr(ViTEncoder, "_run", lambda *_: pytest.fail("the ViT ran"))
    with pytest.raises(SettingsError, match="for 8 channels, and test_vit with 64 in a block") as caught:
        extract_features(image, both(tiny_vit, upsampler_weights=files[8]))
    assert "(set channels to 8)" in caught.value.remedy
    with pytest.raises(SettingsError, match="for 64 channels, and channels = 8 principal components"):
        extract_features(image, both(tiny_vit, FEW, upsampler_weights=files[64]))
    with pytest.raises(SettingsError, match="with upsampler = 'guided'"):
        replace(FEW, upsampler="guided", upsampler_weights=files[64])
    # of a classifier, too, as soon as it is loaded
    own = FeatureExtractor(FEW)
    arrays = {"vit.upsampler_weights": np.frombuffer(read_weights(files[64]), np.uint8)}
    with pytest.raises(SettingsError, match="for 64 channels, and channels = 8 principal components"):
        FeatureExtractor.restored(own.to_json(), arrays)


@pytest.mark.parametrize("channels", [0, 8])
def test_another_patch_size_is_refused(tmp_path, tiny_vit, channels):
    own = replace(SMALL if channels else BLOCK, patch=14)
    settings = both(tiny_vit, FEW, channels=channels, upsampler_weights=write(tmp_path / "own.pth", own))
    with pytest.raises(SettingsError, match="for patches of 14 px, and an encoder with patches of 16 px"):
        extract_features(demo_image(96)[0], settings)


@pytest.mark.parametrize("channels", [0, 8])
@pytest.mark.slow
def test_a_classifier_predicts_the_same_when_loaded(files, tiny_vit, tmp_path, channels, monkeypatch):
    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    image, labels, truth = demo_image(96)
    own = both(tiny_vit, FEW if channels else TINY, upsampler_weights=files[channels or 64])
    segmenter = PixelSegmenter(own, n_trees=8, n_threads=1).fit(image, labels)
    stack = segmenter.extract(image)
    all_of_it = np.asarray(stack)
    assert np.array_equal(all_of_it[30:61, 5:70], stack.block(slice(30, 61), slice(5, 70)))
    mask = np.random.default_rng(0).random((96, 96)) < 0.02
    assert np.array_equal(stack.at(mask), all_of_it[mask])
    again = load_segmenter(segmenter.save(tmp_path / "classifier"), weights=tiny_vit)
    assert again.extractor_.differences(segmenter.extractor_) == []
    assert np.array_equal(again.predict(image), segmenter.predict(image))
    field = again.predict_proba(image, slice(10, 50), slice(60, 90))
    assert np.array_equal(field, segmenter.predict_proba(image)[10:50, 60:90])
    assert (segmenter.predict(image) == truth).mean() > 0.6
    assert sum(segmenter.head_importances_.values()) == pytest.approx(1)
    packaged = extract_features(image, both(tiny_vit, FEW if channels else TINY))
    with pytest.raises(FeatureMismatchError, match=r"upsampler_weights: [0-9a-f]{12} against [0-9a-f]{12}"):
        segmenter.predict(packaged)


@pytest.mark.slow
def test_the_linear_model_is_applied_at_pixels(files, tiny_vit):
    """Of features standardised by their mean and spread there."""
    image, labels, _ = demo_image(96)
    own = both(tiny_vit, upsampler_weights=files[64])
    segmenter = PixelSegmenter(own, n_trees=4, n_threads=1).fit(image, labels)
    seen, stack = segmenter.extract(image), extract_features(image, own)
    of_vit = np.array([feature.startswith("vit_") for feature in stack.names])
    assert of_vit.sum() == 3 * 64
    samples = standardised(np.asarray(stack).reshape(-1, stack.shape[2]), image_statistics(stack))
    np.testing.assert_allclose(samples[:, of_vit].std(0), 1, atol=0.01)
    model = segmenter.extractor_.head_.model
    found = model.probabilities(samples[:, ~of_vit], samples[:, of_vit]).reshape(96, 96, 3)
    np.testing.assert_allclose(np.asarray(seen)[..., -3:], found, atol=2e-3)


def test_samples_are_those_of_blocks(files, tiny_vit, monkeypatch):
    stack = extract_features(demo_image(100)[0], both(tiny_vit, upsampler_weights=files[64]))
    mask = np.random.default_rng(0).random((100, 100)) < 0.02
    assert np.array_equal(stack.at(mask), stack.block()[mask])
    alone = extract_features(demo_image(100)[0], vit(tiny_vit, upsampler_weights=files[64]))
    assert np.array_equal(alone.at(mask), stack.at(mask)[:, 76:])
    monkeypatch.setattr("fijibridge.features.stack._DRAWN_ANYWHERE", 1000)
    assert np.isfinite(stack.sample(500)).all()


@pytest.mark.slow
def test_each_detector_goes_through_by_itself(files, tiny_vit):
    image = demo_image(96)[0]
    other = replace(image, data=np.ascontiguousarray(image.data[::-1, ::-1]))
    joined = join_detectors({"SE": image, "BSE": other}, align=False)
    own = vit(tiny_vit, upsampler_weights=files[64])
    together = np.asarray(extract_features(joined, own))
    each = [np.asarray(extract_features(one, own)) for one in (image, other)]
    assert np.array_equal(together, np.concatenate(each, axis=2))


def test_the_operations(files, tiny_vit, tmp_path, monkeypatch):
    import imageio.v3 as iio
    import tifffile

    monkeypatch.setattr("fijibridge.jvm.java.find_java", lambda: None)
    image, labels, _ = demo_image(96)
    iio.imwrite(tmp_path / "image.png", image.data)
    iio.imwrite(tmp_path / "labels.png", labels.data)
    given = {"encoder": "test_vit", "weights": tiny_vit, "upsampler": "learned", "upsampler_weights": files[8]}
    report = segment(
        tmp_path / "image.png", labels=tmp_path / "labels.png", out=tmp_path / "out", channels=8, trees=4,
        threads=1, importance=True, uncertainty=True, **given,
    )  # fmt: skip
    digest = holding(read_weights(files[8])).sources[0].digests()["upsampler_weights"]
    about = report["features"]["sources"][1]["learned"]
    assert about["upsampler_weights"] == digest[:12]
    assert set(about) == {"upsampler_weights", "basis_b", "basis_h"}
    assert report["positional_probe_r2"] is None or report["positional_probe_r2"] <= 1
    report = features(
        tmp_path / "image.png", out=tmp_path / "stack", blocks="2", coarse_blocks="none", channels=8, threads=1, **given
    )
    assert report["n_features"] == 76 + 8
    planes = tifffile.imread(tmp_path / "stack" / "features.tif")
    extractor, names = read_extractor(tmp_path / "stack")
    with limited_threads(1):  # a convolution's sums may end otherwise with two
        stack = extract_features(image, extractor.with_weights(str(tiny_vit)))
        made = np.moveaxis(np.asarray(stack), -1, 0)
    assert stack.names == names
    np.testing.assert_array_equal(planes[76:], made[76:])
    with pytest.raises(SettingsError, match="with upsampler = 'guided'"):
        chosen_features(upsampler="guided", upsampler_weights=files[8])


def test_a_layout_tells_its_arrays():
    published = Layout(kernel=3, channels=384, hidden=96, down=64, patch=14, padding="replicate")
    assert len(published.shapes()) == 4 * 13 + 13 + 4 * 15 + 4
    assert published.shapes()["upsampler.upsamples.2.conv.double_conv.0.weight"] == (163, 163, 3, 3)
    assert asdict(published)["hidden"] == 96
