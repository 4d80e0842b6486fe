"""Ways of removing positional bias by name: one table, what each does to tokens, what each refuses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fijibridge.errors import SettingsError
from fijibridge.features import erasure, position
from fijibridge.features.erasure import DIRECTIONS, SPECTRA, TILES, Erasure, erasure_of, noise_erasure, places
from fijibridge.features.position import distance_bias, noise_tile, pattern_of, positional_probe
from fijibridge.features.recipe import FeatureRecipe, Position
from fijibridge.features.tiles import shift_of
from fijibridge.features.vit import ViTEncoder
from fijibridge.features.ways import WAYS
from fijibridge.images import image_from_array
from fijibridge.operations.bias import bias
from fijibridge.params import param_of
from fijibridge.synthesis.demo import demo_image
from fijibridge.weights import create_encoder

TINY = FeatureRecipe(encoder="test_vit", blocks=(2, 3), tile=112, enlargement=1.0)


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


def tokens_of(way: str, data: np.ndarray, weights: Path, **changes) -> np.ndarray:
    recipe = replace(TINY, position=way, tile=0, **changes)
    return ViTEncoder(recipe, checkpoint=weights, device="cpu").tokens(image_from_array(data))


def test_there_is_one_list_of_names():
    plain, param = param_of(Position)
    assert get_args(plain) == tuple(WAYS)
    assert all(f"{name}: {way.help}" in param.help for name, way in WAYS.items())
    assert FeatureRecipe.position in WAYS
    for name, way in WAYS.items():
        assert FeatureRecipe(position=name).tile == way.tile
    assert {name: way.passes for name, way in WAYS.items() if "+" in name} == {"template+flips": WAYS["flips"].passes}


def test_the_weka_window_offers_the_same_names():
    script = Path(__file__).parents[1] / "macros" / "scripts" / "ViT_Features_in_Weka_Window.groovy"
    offered = re.search(r'addChoice\("Position", \[(.*?)\]', script.read_text(encoding="utf-8"), re.DOTALL)
    assert re.findall(r'"(.+?)"', offered.group(1)) == list(WAYS)


def test_unknown_names_are_told_the_known_ones(tmp_path):
    with pytest.raises(SettingsError, match=re.escape(", ".join(WAYS))):
        FeatureRecipe(position="learned")
    with pytest.raises(SettingsError, match=re.escape(", ".join(WAYS))) as error:
        bias([tmp_path / "image.tif"], out=tmp_path / "out", positions="template, learned")
    assert "'learned'" in error.value.found
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "tile"), [("template", 280), ("keep", 280), ("mean", 784)])
def test_recipes_of_before_load(name, tile):
    """As they were saved when there were three names."""
    recipe = FeatureRecipe(position=name)
    old = {**recipe.to_json(), "tile": tile}
    assert FeatureRecipe.from_json(old) == recipe
    assert recipe.differences(FeatureRecipe.from_json(old)) == []


def test_too_large_a_tile_for_attention_by_distance():
    with pytest.raises(SettingsError, match="112 to 784 px"):
        FeatureRecipe(position="alibi", tile=800)


@pytest.mark.parametrize("way", [name for name in WAYS if name != "keep"])
def test_each_way_takes_of_the_place(way, smooth_vit):
    """Noise has no place: what tokens tell of it is the encoder's."""
    data = np.random.default_rng(0).integers(0, 2**16, (512, 512), np.uint16)
    kept, found = (tokens_of(name, data, smooth_vit) for name in ("keep", way))
    assert found.shape == kept.shape
    probe = {name: positional_probe(tokens, split="random") for name, tokens in (("keep", kept), (way, found))}
    assert probe["keep"] > 0.15
    assert probe[way] < 0.7 * probe["keep"]
    spread = [(tokens - tokens.mean((0, 1))).var() for tokens in (kept, found)]
    assert 0.02 * spread[0] < spread[1] < 1.05 * spread[0]


def test_flips_do_not_know_left_from_right(smooth_vit):
    data = demo_image(192)[0].data
    own = tokens_of("flips", data, smooth_vit)
    for axis in (0, 1):
        flipped = tokens_of("flips", np.ascontiguousarray(np.flip(data, axis)), smooth_vit)
        np.testing.assert_allclose(np.flip(flipped, axis), own, atol=1e-3)
    kept = tokens_of("keep", np.ascontiguousarray(data[::-1]), smooth_vit)
    assert np.abs(kept[::-1] - tokens_of("keep", data, smooth_vit)).max() > 0.1


def test_rolls_are_the_mean_over_rolled_images(smooth_vit):
    data = demo_image(192)[0].data
    expected = np.zeros((12, 12, 128), np.float32)
    step = max(8, round(WAYS["rolls"].tile / 16)) * 3 // 4 + 1
    for number in range(WAYS["rolls"].tilings):
        down, right = shift_of(number, step)
        seen = tokens_of("keep", np.roll(data, (down * 16, right * 16), (0, 1)), smooth_vit)
        expected += np.roll(seen, (-down, -right), (0, 1)) / WAYS["rolls"].tilings
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
    for way in ("flips", "rolls", "distilled"):
        assert np.isfinite(tokens_of(way, data, tmp_path / "vit.safetensors", encoder=name)).all()
    with pytest.raises(SettingsError, match="position='alibi'") as error:
        tokens_of("alibi", data, tmp_path / "vit.safetensors", encoder=name)
    assert "rotary" in error.value.found or "no learned" in error.value.found


def test_attention_without_a_mask_is_refused(monkeypatch):
    model = create_encoder("test_vit")
    monkeypatch.setattr(type(model), "forward_intermediates", lambda self, x: x)
    with pytest.raises(SettingsError, match=r"position='alibi'.*takes no mask"):
        position.use_mean_position(model, "test_vit", "alibi")


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

    noise = pattern_of(np.mean([run(noise_tile((128, 144), np.random.default_rng(i))) for i in range(8)], axis=0), 2)
    made.clear()
    first = noise_erasure("digest", (1, 2), (8, 9), 16, run, noise)
    assert len(made) == len(SPECTRA) * TILES
    assert first.reading.shape == first.writing.shape == (2, DIRECTIONS, 32)
    again = noise_erasure("digest", (1, 2), (8, 9), 16, run, noise)
    assert len(made) == len(SPECTRA) * TILES  # from the cache
    np.testing.assert_array_equal(first.reading, again.reading)
    (file,) = (tmp_path / "cache" / "positions").iterdir()
    file.write_bytes(b"damaged")
    anew = noise_erasure("digest", (1, 2), (8, 9), 16, run, noise)
    np.testing.assert_array_equal(first.writing, anew.writing)
    assert erasure.digest_of("a") != erasure.digest_of("b")
