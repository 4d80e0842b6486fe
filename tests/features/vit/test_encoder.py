"""The ViT: tiles leave no trace, networks are shared, position is measured and removed."""

from __future__ import annotations

import functools
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import FeatureMismatchError, ImageNotFoundError, SettingsError
from fijibridge.features import TwsSettings, VitSettings, extract_features
from fijibridge.features.provenance import Provenance
from fijibridge.features.vit import encoder as vit
from fijibridge.features.vit.debiasing.base import DEBIASING
from fijibridge.features.vit.encoder import ViTEncoder
from fijibridge.features.vit.probe import positional_probe
from fijibridge.features.vit.tiles import sample_outside, spans, tiles
from fijibridge.images.image import image_from_array
from fijibridge.synthesis.demo import demo_image
from fijibridge.weights.weights import _write_cache, cache_file, load_weights, state_digest

TINY = VitSettings(encoder="test_vit", blocks=(2,), coarse_blocks=(), upsampler="bilinear")
PLAIN = VitSettings(blocks=(6,), coarse_blocks=(), upsampler="bilinear")  # of the default encoder


def encoder_of(weights: Path, own: VitSettings = TINY, **changes) -> ViTEncoder:
    return ViTEncoder(replace(own, weights=str(weights), **changes), device="cpu")


def overlap_of(tile: int, debiasing: str) -> int:
    return DEBIASING[debiasing].overlap_of(tile)


@pytest.fixture(scope="module")
def encoder(tiny_vit):
    return encoder_of(tiny_vit)


# --- tiles -----------------------------------------------------------------------------------------------------------


METHODS = st.sampled_from(["none", "mean"])


@given(st.integers(1, 600), st.integers(8, 300), METHODS)
def test_spans_cover_and_are_alike(length, tile, debiasing):
    overlap = overlap_of(tile, debiasing)
    found = spans(length, tile, overlap)
    sizes = {span.stop - span.start for span in found}
    assert len(sizes) == 1
    assert found[0].start == 0
    assert found[-1].stop == length
    for one, two in pairwise(found):
        assert one.stop - two.start >= overlap - 1  # rounding costs at most one
    (size,) = sizes
    assert size <= 1.5 * tile
    assert size >= min(length, 0.7 * tile)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), METHODS)
@settings(max_examples=30, deadline=None)
def test_every_patch_has_a_weight(rows, cols, tile, debiasing):
    total = np.zeros((rows, cols))
    for one in tiles((rows, cols), tile, overlap_of(tile, debiasing)):
        assert one.weight.shape == (one.rows.stop - one.rows.start, one.cols.stop - one.cols.start)
        assert one.weight.min() > 0
        assert one.weight.max() <= 1
        total[one.rows, one.cols] += one.weight
    assert total.min() > 0


@given(st.integers(9, 60), st.integers(9, 60), st.integers(8, 20), st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_a_sample_stands_for_all_that_is_outside(rows, cols, tile, count):
    for one in tiles((rows, cols), tile, overlap_of(tile, "mean")):
        n_outside = rows * cols - one.weight.size
        if not n_outside:
            continue
        y, x, weight = sample_outside((rows, cols), one, count)
        assert y.shape == x.shape == weight.shape == (count,)
        inside = (y >= one.rows.start) & (y < one.rows.stop) & (x >= one.cols.start) & (x < one.cols.stop)
        assert not inside.any()
        assert len(set(zip(y, x, strict=True))) == min(count, n_outside)
        np.testing.assert_allclose(weight.sum(), n_outside, rtol=1e-4)


# --- ViT -------------------------------------------------------------------------------------------------------------


def test_several_blocks_follow_one_another_and_later_ones_do_not_run(tiny_vit):
    image = demo_image(96)[0]
    several = encoder_of(tiny_vit, blocks=(2, 4), debiasing="none")
    ran = []
    for i, block in enumerate(several.model.blocks, start=1):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    tokens = several.tokens(image)
    assert ran == [1, 2, 3, 4]
    assert tokens.shape == (12, 12, 128)
    assert (several.names[0], several.names[64], len(several.names)) == ("vit_b02_c000", "vit_b04_c000", 128)
    alone = encoder_of(tiny_vit, debiasing="none")
    np.testing.assert_allclose(tokens[..., :64], alone.tokens(image), atol=1e-5)
    assert np.abs(tokens[..., 64:] - tokens[..., :64]).max() > 0.1


def test_blocks_that_are_not_there(tiny_vit):
    with pytest.raises(SettingsError, match="block 7 of test_vit"):
        encoder_of(tiny_vit, blocks=(1, 7))


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "vit_base_patch16_dinov3"])
def test_a_rotary_position_cannot_be_averaged(name):
    with torch.device("meta"):  # no numbers: the refusal comes before them
        import timm

        model = timm.create_model(name, pretrained=False, num_classes=0)
    from fijibridge.features.vit.debiasing.mean_embedding import use_mean_position

    with pytest.raises(SettingsError, match="rotary"):
        use_mean_position(model, name)


def test_the_weights_must_be_the_known_ones(tiny_vit, encoder):
    with pytest.raises(FeatureMismatchError, match="train the classifier anew"):
        ViTEncoder(replace(TINY, weights=str(tiny_vit)), known=Provenance("0" * 64), device="cpu")
    known = ViTEncoder(replace(TINY, weights=str(tiny_vit)), known=encoder.provenance, device="cpu")
    assert known.provenance == encoder.provenance
    assert len(known.provenance.sha256) == 64


def test_the_network_is_loaded_once(tiny_vit, tmp_path, monkeypatch):
    loads = []

    def counted(*arguments, **options):
        loads.append(arguments)
        return load_weights(*arguments, **options)

    monkeypatch.setattr(vit, "load_weights", counted)
    monkeypatch.setattr(vit, "_models", {})
    own = Path(shutil.copy(tiny_vit, tmp_path / "own.safetensors"))

    def loaded(weights=own, **changes) -> int:
        encoder_of(weights, **changes)
        return len(loads)

    assert loaded() == 1
    # all but encoder, debiasing and weights is no part of the network
    assert loaded(blocks=(1, 4), enlargement=1.0, tile=560, channels=3, percentiles=(1, 99)) == 1
    extract_features(demo_image(96)[0], (TwsSettings(), replace(TINY, weights=str(own))))
    assert len(loads) == 1
    assert [loaded(debiasing=method) for method in ("mean", "none", "mean")] == [2, 2, 2]
    # a third model takes the place of the one that was not used for longest
    assert loaded(tiny_vit) == 3
    assert (loaded(debiasing="mean"), loaded()) == (3, 4)
    assert len(vit._models) == vit.MOST_MODELS
    os.utime(own, ns=(1, 1))  # another file of the same name
    assert loaded() == 5
    own.unlink()
    with pytest.raises(ImageNotFoundError):
        loaded()
    loaded(tiny_vit)
    with pytest.raises(SettingsError, match="block 7"):  # of a network in memory too
        loaded(tiny_vit, blocks=(7,))


def test_networks_in_memory_are_those_of_the_users_cache(tiny_vit, tmp_path, monkeypatch):
    monkeypatch.setattr(vit, "_models", {})
    digests = []
    for folder, shift in (("a", 0), ("b", 1)):
        monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / folder))
        found = load_weights("test_vit", checkpoint=tiny_vit)
        state = {**found.state, "norm.bias": found.state["norm.bias"] + shift}
        _write_cache(replace(found, state=state, sha256=state_digest(state)), cache_file("test_vit"))
        digests.append(ViTEncoder(TINY, device="cpu").provenance.sha256)
    assert digests[0] != digests[1]
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "a"))
    with pytest.raises(FeatureMismatchError, match="train the classifier anew"):
        ViTEncoder(TINY, known=Provenance(digests[1]), device="cpu")
    assert ViTEncoder(TINY, known=Provenance(digests[0]), device="cpu").provenance.sha256 == digests[0]
    assert len(vit._models) == 2


def test_threads_share_one_network(tiny_vit, monkeypatch):
    monkeypatch.setattr(vit, "_models", {})
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: encoder_of(tiny_vit), range(4)))
    assert len({id(encoder.model) for encoder in made}) == 1


def test_a_constant_image_has_constant_tokens_without_position(tiny_vit, encoder):
    image = image_from_array(np.full((200, 180), 700, np.uint16))
    mean = encoder_of(tiny_vit, debiasing="mean", tile=112).tokens(image)
    assert np.ptp(mean, axis=(0, 1)).max() < 1e-4
    assert np.ptp(encoder.tokens(image), axis=(0, 1)).max() > 0.1


@pytest.mark.parametrize("debiasing", ["none", "mean"])
def test_without_position_only_the_neighbours_count(tiny_vit, debiasing):
    """Without position a ViT knows no order of patches: an image rolled by whole patches gives rolled tokens."""
    own = encoder_of(tiny_vit, debiasing=debiasing, enlargement=1, tile=4096)
    data = demo_image(96)[0].data
    rolled = own.tokens(image_from_array(np.roll(data, (32, -16), axis=(0, 1))))
    gap = np.abs(rolled - np.roll(own.tokens(image_from_array(data)), (2, -1), axis=(0, 1))).max()
    assert gap < 1e-3 if debiasing == "mean" else gap > 0.1


@pytest.fixture(scope="module")
def default_tokens():
    """Tokens of one image by the default encoder, as often as wanted; computed once for (debiasing, tile)."""

    @functools.cache
    def encoder(debiasing: str) -> ViTEncoder:
        return ViTEncoder(replace(PLAIN, debiasing=debiasing, tile=0), device="cpu")

    @functools.cache
    def tokens(debiasing: str, tile: int) -> np.ndarray:
        own = encoder(debiasing)
        own.settings = replace(own.settings, tile=tile)  # the tile is no part of the model
        return own.tokens(demo_image(224)[0])

    return tokens


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


@pytest.mark.weights
@pytest.mark.slow
def test_tiles_agree_with_the_whole_without_position():
    image, _, _ = demo_image(640)
    encoder = ViTEncoder(replace(PLAIN, debiasing="mean", tile=0), device="cpu")
    ours = encoder.tokens(image)
    encoder.settings = replace(encoder.settings, tile=4096)  # the tile is no part of the model
    similar = cosine(ours, encoder.tokens(image))
    assert 0.99 <= similar[5:-5, 5:-5].mean() < 0.99999


def test_a_tile_that_sees_every_other_patch_is_the_whole(tiny_vit):
    """Without position a ViT sees a set: where the sample is all patches outside a tile, tiling changes nothing."""
    encoder = encoder_of(tiny_vit, debiasing="mean", tile=224)
    image = demo_image(230)[0]
    tiled = encoder.tokens(image)
    encoder.settings = replace(encoder.settings, tile=4096)
    assert len(list(tiles(tiled.shape[:2], 14, overlap_of(14, "mean")))) > 1
    np.testing.assert_allclose(tiled, encoder.tokens(image), atol=2e-4)


@pytest.mark.weights
def test_tiles_with_position_do_not(default_tokens):
    inside = np.s_[2:-2, 2:-2]
    mean, kept = (cosine(default_tokens(p, 280), default_tokens(p, 4096))[inside].mean() for p in ("mean", "none"))
    assert kept < 0.95 < mean


@pytest.mark.weights
def test_no_seam_between_tiles(default_tokens):
    tokens = default_tokens("none", 280)
    cuts = spans(tokens.shape[1], 20, overlap_of(20, "none"))
    assert len(cuts) > 1
    jumps = np.abs(np.diff(tokens, axis=1)).mean(axis=(0, 2))  # between patches c and c + 1
    borders = sorted({cut.stop - 1 for cut in cuts[:-1]} | {cut.start - 1 for cut in cuts[1:]})
    # tiles side by side, with no overlap, give 1.29
    assert jumps[borders].mean() <= 1.15 * np.delete(jumps, borders).mean()


# --- probe -----------------------------------------------------------------------------------------------------------


def test_the_probe_reads_coordinates_and_no_noise():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:40, 0:48] / 48
    noise = rng.normal(size=(40, 48, 20))
    assert positional_probe(noise) <= 0.1
    mixed = np.concatenate([noise, (y + x)[..., None], (y - x)[..., None]], axis=2)
    assert positional_probe(mixed) > 0.95
    assert 0.4 < positional_probe(np.concatenate([noise, y[..., None]], axis=2)) < 0.6
    assert np.isnan(positional_probe(noise[:7]))


def test_the_probe_finds_a_vits_position_and_the_mean_removes_it(tiny_vit, encoder):
    image = image_from_array(np.random.default_rng(2).integers(0, 255, (160, 160)).astype(np.uint8))
    mean = encoder_of(tiny_vit, debiasing="mean")
    assert positional_probe(mean.tokens(image)) <= 0.1
    # a random position embedding is not linear in place, but an encoder that keeps it sees more of it
    assert np.abs(encoder.tokens(image) - mean.tokens(image)).max() > 0.1
