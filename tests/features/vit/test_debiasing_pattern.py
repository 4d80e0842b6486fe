"""The positional pattern of a ViT: found in noise, fitted to an image's tiles, taken away, kept; measured."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.features import VitSettings
from fijibridge.features.vit.debiasing import pattern
from fijibridge.features.vit.debiasing.base import DEBIASING
from fijibridge.features.vit.debiasing.pattern import MODES, noise_pattern, noise_tile, pattern_of
from fijibridge.features.vit.encoder import ViTEncoder
from fijibridge.features.vit.probe import positional_probe
from fijibridge.operations.bias import _choice, bias
from fijibridge.synthesis.demo import demo_image

TINY = VitSettings(encoder="test_vit", blocks=(2, 3), coarse_blocks=(), upsampler="bilinear", tile=112)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache folder of the test's own, and no pattern in memory."""
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pattern, "_patterns", {})
    return tmp_path / "cache" / "positions"


def tile_runner(run):
    """An encoder whose network is a function."""
    return SimpleNamespace(weights_sha256="digest", blocks=(1,), patch=16, side=8, run=lambda shape: run)


def smooth_pattern(h: int, w: int, channels: int) -> np.ndarray:
    """What varies slowly over a tile, in each channel otherwise."""
    y, x = np.mgrid[0:h, 0:w] / (h - 1)
    shapes = np.stack([y, x, y * x, y**2, x**2], axis=2) - 0.4
    return (shapes @ np.random.default_rng(7).normal(size=(5, channels))).astype("f4")


def test_a_pattern_is_fitted_in_strength():
    """An image whose tiles hold the pattern of noise one and a half times as strong, and their own content."""
    truth = smooth_pattern(12, 14, 16)
    rng = np.random.default_rng(0)
    noise = truth + rng.normal(size=truth.shape).astype("f4") * 0.05 + 3
    found = pattern_of(noise, 2)
    assert found.modes.shape == (2, 12 * 14, MODES)
    np.testing.assert_allclose(found.values.mean((0, 1)), 0, atol=1e-5)
    own = 1.5 * truth + rng.normal(size=truth.shape).astype("f4") * 0.3 - 5
    left = own - found.fitted(own)
    centred = 1.5 * truth - 1.5 * truth.mean((0, 1))
    assert np.abs(left - left.mean((0, 1)) - (own - 1.5 * truth) + (own - 1.5 * truth).mean((0, 1))).mean() < 0.1
    assert (found.fitted(own) * centred).sum() / (centred**2).sum() == pytest.approx(1, abs=0.05)


def test_the_template_takes_the_place_away(tiny_vit, tmp_path):
    """The image's content is noise, so that nothing but the encoder's embedding, which is smooth, tells of places."""
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(tiny_vit)
    prefix = state["pos_embed"].shape[1] % 10
    grid = int((state["pos_embed"].shape[1] - prefix) ** 0.5)
    smooth = smooth_pattern(grid, grid, state["pos_embed"].shape[2]).reshape(1, grid**2, -1)
    state["pos_embed"][:, prefix:] = torch.from_numpy(smooth)
    save_file(state, tmp_path / "vit.safetensors")
    image = demo_image(256, 3)[0]
    image = replace(image, data=np.random.default_rng(0).permutation(image.data.ravel()).reshape(image.data.shape))
    for tile, most in ((512, 0.3), (112, 0.6)):  # one tile, by the pattern of noise alone; many
        spread = {}
        for method in ("none", "template"):
            own = replace(TINY, debiasing=method, tile=tile, weights=str(tmp_path / "vit.safetensors"))
            tokens = ViTEncoder(own, device="cpu").tokens(image)
            spread[method] = float((tokens - tokens.mean((0, 1))).var())
        assert spread["template"] < most * spread["none"]


def test_a_pattern_is_made_once_and_kept(own_cache, monkeypatch):
    made = []

    def run(grey: np.ndarray) -> np.ndarray:
        made.append(grey.shape)
        return smooth_pattern(8, 9, 4) + grey[:8, :9, None]

    first = noise_pattern(tile_runner(run), (8, 9))
    assert made == [(128, 144)] * pattern.NOISE_TILES
    assert noise_pattern(tile_runner(run), (8, 9)) is first
    pattern._patterns.clear()
    again = noise_pattern(tile_runner(run), (8, 9))
    assert len(made) == pattern.NOISE_TILES  # from the cache
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.modes, again.modes)
    assert [path.suffix for path in own_cache.iterdir()] == [".safetensors"]
    next(own_cache.iterdir()).write_bytes(b"damaged")
    pattern._patterns.clear()
    anew = noise_pattern(tile_runner(run), (8, 9))
    assert len(made) == 2 * pattern.NOISE_TILES
    np.testing.assert_array_equal(anew.values, first.values)


def test_a_cache_that_cannot_be_written(own_cache, monkeypatch):
    own_cache.parent.write_text("a file where the folder would be")
    found = noise_pattern(tile_runner(lambda grey: smooth_pattern(8, 8, 4)), (8, 8))
    assert np.isfinite(found.values).all()


def test_noise_has_no_place():
    tiles = [noise_tile((64, 80), np.random.default_rng(seed)) for seed in range(30)]
    assert all(tile.dtype == np.float32 and tile.min() == 0 and tile.max() == 1 for tile in tiles)
    assert np.abs(np.mean(tiles, axis=0) - 0.5).mean() < 0.06


def test_probes_of_several_kinds():
    y, x = np.mgrid[0:40, 0:40] / 40
    rng = np.random.default_rng(0)
    told = np.stack([y, x, rng.normal(size=y.shape)], axis=2)
    noise = rng.normal(size=(40, 40, 3))
    assert positional_probe(told, split="random") > 0.95
    assert positional_probe(noise, split="random") < 0.1
    assert positional_probe([told, told + rng.normal(size=told.shape) * 0.01], split="images") > 0.95
    assert positional_probe([told, noise], split="images") < 0.1
    assert np.isnan(positional_probe(told[:12, :12], split="random"))


def test_bias_of_images(tiny_vit, tmp_path):
    from imageio.v3 import imread, imwrite

    for seed in (1, 2):
        imwrite(tmp_path / f"{seed}.tif", demo_image(160, seed)[0].data)
    images = [tmp_path / "1.tif", tmp_path / "2.tif"]
    options = {"encoder": "test_vit", "weights": tiny_vit, "threads": 1}
    report = bias(images, out=tmp_path / "out", **options)
    assert set(report["r2"]) == {name for name in DEBIASING if DEBIASING[name].passes == 1}
    assert report["choice"] in DEBIASING
    assert len(report["r2_without_vit"]) == 2
    assert "R^2" in report["reason"]
    with (tmp_path / "out" / "bias.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # default's blocks of 12 at a depth of 6, fine and coarse
    assert {row["block"] for row in rows} == {"vit_b02", "vit_b03", "vit_h03", "vit_h04"}
    assert len(rows) == len(report["r2"]) * 2 * 4
    assert all(np.isfinite(float(row["images"])) for row in rows)
    picture = imread(tmp_path / "out" / "bias.png")
    assert picture.shape[1] > 3 * picture.shape[0]
    one = bias(images[:1], out=tmp_path / "one", preset="fast", candidates="flips, template", **options)
    assert list(one["r2"]) == ["none", "template", "flips"]
    assert one["r2"]["none"]["images"] is None


@pytest.mark.parametrize(
    ("images", "options", "told"),
    [([], {}, "no image"), (["1.tif"], {"candidates": "tws"}, "tws"), (["1.tif"], {"preset": "all"}, "fast")],
)
def test_bias_of_what_cannot_serve(tmp_path, images, options, told):
    with pytest.raises(SettingsError, match=told):
        bias([Path(name) for name in images], out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_bias_of_a_stack(tmp_path, tiny_vit):
    import tifffile

    stack = np.zeros((3, 64, 64), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(ImageError, match="3 slices"):
        bias([tmp_path / "stack.tif"], out=tmp_path / "out", encoder="test_vit", weights=tiny_vit)


@pytest.mark.parametrize(
    ("scores", "plain", "choice", "reason"),
    [
        ({"template": 0.05, "mean": -0.1}, 0, "template", "costs no accuracy"),
        ({"template": 0.5, "mean": 0.0}, 0, "mean", "costs accuracy"),
        ({"template": 0.5, "mean": 0.45}, 0, "template", "the image's own"),
        ({"template": 0.25, "mean": 0.1}, 0, "template", "mean leaves 0.10"),
        ({"template": 0.5, "mean": 0.45}, 0.4, "template", "the image itself"),
        ({"template": 0.5, "mean": 0.05, "template+flips": 0.1}, 0, "template+flips", "4 times as long"),
        ({"template": 0.5, "mean": 0.0, "flips": 0.05}, 0, "flips", "4 times as long"),
        ({"template": 0.5}, 0, "template", "the image's own"),
        ({"template": float("nan"), "mean": float("nan")}, 0, "template", "too few patches"),
    ],
)
def test_the_choice_is_explained(scores, plain, choice, reason):
    import pandas as pd

    scores = {"none": 0.8, **scores}
    table = pd.DataFrame({"debiasing": list(scores), "random": list(scores.values())})
    found, why = _choice(table, plain)
    assert found == choice
    assert reason in why
