"""Methods of removing positional bias by name: one table, what each does to tokens, what each refuses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import param_of
from fijibridge.features import VitSettings
from fijibridge.features.presets import PRESETS
from fijibridge.features.vit.debiasing import erasure
from fijibridge.features.vit.debiasing.base import DEBIASING
from fijibridge.features.vit.debiasing.distance_attention import distance_bias
from fijibridge.features.vit.debiasing.erasure import (
    DIRECTIONS,
    SPECTRA,
    TILES,
    Erasure,
    erasure_of,
    noise_erasure,
    places,
)
from fijibridge.features.vit.debiasing.mean_embedding import use_mean_position
from fijibridge.features.vit.debiasing.pattern import noise_tile, pattern_of
from fijibridge.features.vit.encoder import ViTEncoder
from fijibridge.features.vit.probe import positional_probe
from fijibridge.features.vit.tiles import shift_of
from fijibridge.images.image import image_from_array
from fijibridge.operations.bias import bias
from fijibridge.operations.feature_options import Debiasing
from fijibridge.synthesis.demo import demo_image
from fijibridge.weights.encoders import create_encoder

TINY = VitSettings(encoder="test_vit", blocks=(2, 3), coarse_blocks=(), upsampler="bilinear", tile=112, enlargement=1.0)


@pytest.fixture(scope="module")
def smooth_vit(tiny_vit, tmp_path_factory) -> Path:
    """The tiny ViT with a position embedding that varies slowly over the tile, as that of a trained one."""
    import torch

    state = load_file(tiny_vit)
    embedding = state["pos_embed"]
    prefix = embedding.shape[1] % 10
    side = int((embedding.shape[1] - prefix) ** 0.5)
    waves = torch.from_numpy(places((side, side)).astype(np.float32)) * side
    generator = torch.Generator().manual_seed(1)
    embedding[:, prefix:] = 0.5 * waves @ torch.randn(waves.shape[1], embedding.shape[2], generator=generator)
    path = tmp_path_factory.mktemp("smooth") / "vit.safetensors"
    save_file(state, path)
    return path


def tokens_of(method: str, data: np.ndarray, weights: Path, **changes) -> np.ndarray:
    own = replace(TINY, debiasing=method, tile=0, weights=str(weights), **changes)
    return ViTEncoder(own, device="cpu").tokens(image_from_array(data))


def test_there_is_one_list_of_names():
    _, param = param_of(Debiasing)
    assert tuple(param.choices()) == DEBIASING.names
    assert all(param.choices().values())  # each with a few words of help
    assert VitSettings.debiasing in DEBIASING
    for name in DEBIASING:
        assert VitSettings(debiasing=name).tile == DEBIASING[name].tile
    both = {name: DEBIASING[name].passes for name in DEBIASING if "+" in name}
    assert both == {"template+flips": DEBIASING["flips"].passes}


def test_the_weka_window_offers_the_same_names():
    script = Path(__file__).parents[3] / "macros" / "scripts" / "ViT_Features_in_Weka_Window.groovy"
    text = script.read_text(encoding="utf-8")
    offered = re.search(r'addChoice\("Debiasing", \[(.*?)\]', text, re.DOTALL)
    assert re.findall(r'"(.+?)"', offered.group(1)) == ["preset", *DEBIASING]
    # its tables of how many blocks and scales a preset has, for the memory that its features need
    blocks = {name: len(chosen.blocks) + len(chosen.coarse_blocks) for name, chosen in PRESETS.items()}
    scales = {name: len(chosen.scales) for name, chosen in PRESETS.items()}
    for table, expected in (("BLOCKS", blocks), ("SCALES", scales)):
        found = re.search(rf"{table} = \[(.*?)\]", text).group(1)
        assert {name: int(count) for name, count in re.findall(r'"(\w+)": (\d+)', found)} == expected


def test_unknown_names_are_told_the_known_ones(tmp_path):
    with pytest.raises(SettingsError, match=re.escape(", ".join(DEBIASING))):
        VitSettings(debiasing="learned")
    with pytest.raises(SettingsError, match=re.escape(", ".join(DEBIASING))) as error:
        bias([tmp_path / "image.tif"], out=tmp_path / "out", candidates="template, learned")
    assert "'learned'" in error.value.found
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "tile"), [("template", 280), ("none", 280), ("mean", 784)])
def test_a_tile_left_open_is_the_methods_own(name, tile):
    own = VitSettings(debiasing=name)
    assert own == VitSettings(debiasing=name, tile=tile)
    assert VitSettings.from_json(own.to_json()) == own
    assert own.to_json()["tile"] == tile


def test_too_large_a_tile_for_attention_by_distance():
    with pytest.raises(SettingsError, match="112 to 784 px"):
        VitSettings(debiasing="alibi", tile=800)


@pytest.mark.parametrize("method", [name for name in DEBIASING if name != "none"])
def test_each_method_takes_of_the_position(method, smooth_vit):
    """Noise has no position: what tokens hold of it is the encoder's."""
    data = np.random.default_rng(0).integers(0, 2**16, (512, 512), np.uint16)
    kept, found = (tokens_of(name, data, smooth_vit) for name in ("none", method))
    assert found.shape == kept.shape
    probe = {name: positional_probe(tokens, split="random") for name, tokens in (("none", kept), (method, found))}
    assert probe["none"] > 0.15
    assert probe[method] < 0.7 * probe["none"]
    spread = [(tokens - tokens.mean((0, 1))).var() for tokens in (kept, found)]
    assert 0.02 * spread[0] < spread[1] < 1.05 * spread[0]


def test_flips_do_not_know_left_from_right(smooth_vit):
    data = demo_image(192)[0].data
    own = tokens_of("flips", data, smooth_vit)
    for axis in (0, 1):
        flipped = tokens_of("flips", np.ascontiguousarray(np.flip(data, axis)), smooth_vit)
        np.testing.assert_allclose(np.flip(flipped, axis), own, atol=1e-3)
    kept = tokens_of("none", np.ascontiguousarray(data[::-1]), smooth_vit)
    assert np.abs(kept[::-1] - tokens_of("none", data, smooth_vit)).max() > 0.1


def test_rolls_are_the_mean_over_rolled_images(smooth_vit):
    data = demo_image(192)[0].data
    expected = np.zeros((12, 12, 128), np.float32)
    step = max(8, round(DEBIASING["rolls"].tile / 16)) * 3 // 4 + 1
    for number in range(DEBIASING["rolls"].tilings):
        down, right = shift_of(number, step)
        seen = tokens_of("none", np.roll(data, (down * 16, right * 16), (0, 1)), smooth_vit)
        expected += np.roll(seen, (-down, -right), (0, 1)) / DEBIASING["rolls"].tilings
    np.testing.assert_allclose(tokens_of("rolls", data, smooth_vit), expected, atol=1e-3)


@given(st.integers(0, 99), st.integers(1, 300))
def test_shifts_stay_within_a_step(number, step):
    assert shift_of(0, step) == (0, 0)
    assert all(0 <= shift <= step for shift in shift_of(number, step))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 12), st.integers(0, 5), st.floats(0.01, 8))
@settings(max_examples=30, deadline=None)
def test_attention_falls_with_distance(rows, cols, heads, prefix, slope):
    bias = distance_bias((rows, cols), heads, prefix, slope)
    n = prefix + rows * cols
    assert bias.shape == (1, heads, n, n)
    assert bias.max() == 0
    np.testing.assert_array_equal(bias, bias.transpose(0, 1, 3, 2))
    assert not bias[:, :, :prefix].any()
    if cols > 1:
        np.testing.assert_allclose(bias[0, -1, prefix, prefix + 1], -slope / 256, rtol=1e-5)
        steepest = bias[0, 0, prefix, prefix:].reshape(rows, cols)
        np.testing.assert_allclose(steepest[0], -slope * 2 ** (-8 / heads) * np.arange(cols), rtol=1e-5)


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "vit_tiny_patch16_dinov3_qkvb"])
def test_rotary_positions_are_averaged_over_but_not_replaced(name, tmp_path):
    save_file(create_encoder(name).state_dict(), tmp_path / "vit.safetensors")
    data = demo_image(96)[0].data
    for method in ("flips", "rolls", "distilled"):
        assert np.isfinite(tokens_of(method, data, tmp_path / "vit.safetensors", encoder=name)).all()
    with pytest.raises(SettingsError, match="debiasing='alibi'") as error:
        tokens_of("alibi", data, tmp_path / "vit.safetensors", encoder=name)
    assert "rotary" in error.value.found or "no learned" in error.value.found


def test_attention_without_a_mask_is_refused(monkeypatch):
    model = create_encoder("test_vit")
    monkeypatch.setattr(type(model), "forward_intermediates", lambda self, x: x)
    with pytest.raises(SettingsError, match=r"debiasing='alibi'.*takes no mask"):
        use_mean_position(model, "test_vit", "alibi")


# --- erasure ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_erased_tokens_tell_no_place(seed, directions):
    rng = np.random.default_rng(seed)
    basis = places((12, 14))
    told = basis[:, :directions] @ rng.normal(size=(directions, 16)) * 20
    tokens = told + rng.normal(size=(12 * 14, 16)) @ rng.normal(size=(16, 16))
    tokens -= tokens.mean(0)
    covariance = tokens.T @ tokens / len(tokens)
    reading, writing = erasure_of(covariance, tokens.T @ basis[:, :directions], directions)
    # a projection along as many directions, no more
    np.testing.assert_allclose(reading @ writing.T, np.eye(directions), atol=1e-6)
    left = (tokens - tokens @ reading.T @ writing).T @ basis[:, :directions]
    assert np.abs(left).max() < 1e-6 * np.abs(tokens.T @ basis).max()
    whole = tokens[None].astype(np.float32)
    Erasure(reading[None].astype("f4"), writing[None].astype("f4")).apply(whole)
    np.testing.assert_allclose(whole[0], tokens - tokens @ reading.T @ writing, atol=1e-3 * np.abs(tokens).max())


def test_an_erasure_is_made_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "cache"))
    made = []
    weights = np.random.default_rng(3).normal(size=(5, 2 * 32))
    mixing = np.random.default_rng(4).normal(size=(256, 2 * 32)).astype(np.float32)

    def run(grey: np.ndarray) -> np.ndarray:
        made.append(grey.shape)
        seen = grey.reshape(8, 16, 9, 16).transpose(0, 2, 1, 3).reshape(8, 9, 256)
        shape = (places((8, 9)) @ weights).reshape(8, 9, -1) * seen.std()
        return (seen @ mixing * 0.1 + shape * 30).astype(np.float32)

    tiles = SimpleNamespace(weights_sha256="digest", blocks=(1, 2), patch=16, side=8, run=lambda shape: run)
    noise = pattern_of(np.mean([run(noise_tile((128, 144), np.random.default_rng(i))) for i in range(8)], axis=0), 2)
    made.clear()
    first = noise_erasure(tiles, (8, 9), noise)
    assert len(made) == len(SPECTRA) * TILES
    assert first.reading.shape == first.writing.shape == (2, DIRECTIONS, 32)
    again = noise_erasure(tiles, (8, 9), noise)
    assert len(made) == len(SPECTRA) * TILES  # from the cache
    np.testing.assert_array_equal(first.reading, again.reading)
    # the first use gives the same bits as later ones: products depend on how an array lies in memory
    for one in (first, again):
        assert one.reading.flags.c_contiguous
        assert one.writing.flags.c_contiguous
    tokens = np.random.default_rng(5).normal(size=(2, 12, 13, 64)).astype(np.float32)
    tokens[1] = tokens[0]
    first.apply(tokens[0])
    again.apply(tokens[1])
    np.testing.assert_array_equal(tokens[0], tokens[1])
    (file,) = (tmp_path / "cache" / "positions").iterdir()
    file.write_bytes(b"damaged")
    anew = noise_erasure(tiles, (8, 9), noise)
    np.testing.assert_array_equal(first.writing, anew.writing)
    assert erasure.cache_key("a") != erasure.cache_key("b")
