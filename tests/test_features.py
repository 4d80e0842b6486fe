"""Features: recipes are checked and kept, tiles and blocks leave no trace, position is measured and removed."""

from __future__ import annotations

import functools
import json
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

from fijibridge.errors import FeatureMismatchError, ImageError, ImageNotFoundError, SettingsError
from fijibridge.features import FeatureRecipe, FeatureStack, extract_features, vit
from fijibridge.features import stack as stack_module
from fijibridge.features.classical import CLASSICAL_NAMES
from fijibridge.features.position import positional_probe
from fijibridge.features.tiles import overlap_of, sample_outside, spans, tiles
from fijibridge.features.upsample import bilinear
from fijibridge.features.vit import ViTEncoder
from fijibridge.images import Image, image_from_array
from fijibridge.synthesis.demo import demo_image
from fijibridge.weights import _write_cache, cache_file, load_weights, state_digest

TINY = FeatureRecipe(encoder="test_vit", blocks=(2,))

# --- recipe ----------------------------------------------------------------------------------------------------------

recipes = st.builds(
    FeatureRecipe,
    encoder=st.sampled_from(["test_vit", "vit_small_patch14_dinov2"]),
    blocks=st.sets(st.integers(1, 12), min_size=1).map(sorted),
    enlargement=st.floats(0.25, 8),
    position=st.sampled_from(["template", "keep", "mean"]),
    tile=st.integers(112, 4096),
    classical=st.sampled_from(["tws", "none"]),
    percentiles=st.tuples(st.floats(0, 49), st.floats(50, 100)),
    weights_sha256=st.text("0123456789abcdef", max_size=64),
    weights_source=st.text(max_size=9),
)


@given(recipes)
def test_a_recipe_survives_json(recipe):
    again = FeatureRecipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe
    assert recipe.differences(again) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"enlargement": 0.2},
        {"enlargement": 8.1},
        {"enlargement": float("nan")},
        {"enlargement": "2"},
        {"tile": 111},
        {"tile": 4097},
        {"tile": 280.5},
        {"tile": True},
        *({"channels": wrong} for wrong in (-1, 4097, 2.5)),
        {"basis": "bm8gYmFzaXM="},
        {"position": "learned"},
        {"classical": "weka"},
        {"upsampler": "cubic"},
        {"encoder": None},
        {"encoder": "none", "classical": "none"},
        {"blocks": ()},
        {"blocks": (0,)},
        {"blocks": (2, 2)},
        {"blocks": (6, 3)},
        {"blocks": 6},
        {"blocks": ("six",)},
        {"percentiles": (5, 5)},
        {"percentiles": (-1, 99)},
        {"percentiles": (1, 101)},
        {"percentiles": (1,)},
        {"percentiles": (float("nan"), 99)},
    ],
    ids=str,
)
def test_wrong_settings_are_refused_by_name(wrong):
    with pytest.raises(SettingsError, match="remedy") as error:
        FeatureRecipe(**wrong)
    assert "neither" in error.value.found if len(wrong) > 1 else next(iter(wrong)) in error.value.found


def test_numbers_of_numpy_become_plain_ones():
    recipe = FeatureRecipe(tile=np.int64(300), enlargement=np.float32(1.5), blocks=np.array([2, 4]))
    assert recipe == FeatureRecipe(tile=300, enlargement=1.5, blocks=(2, 4))
    assert json.loads(json.dumps(recipe.to_json()))["tile"] == 300


def test_a_recipe_of_a_newer_version_is_refused():
    for data in ({**FeatureRecipe().to_json(), "depth": 3}, [], "tws"):
        with pytest.raises(SettingsError, match="update fijibridge"):
            FeatureRecipe.from_json(data)
    with pytest.raises(SettingsError, match="depth"):
        FeatureRecipe.from_json({"depth": 3})


def test_differences_are_told_in_words():
    assert TINY.differences(replace(TINY, tile=560, weights_source="elsewhere")) == ["tile: 280 against 560"]
    assert len(TINY.differences(TINY.with_weights(sha256="a1", source="", licence=""))) == 1
    classical = FeatureRecipe(encoder="none")
    assert classical.differences(replace(classical, tile=560, blocks=(1,))) == []
    assert classical.differences(TINY)[0].startswith("encoder: 'none' against 'test_vit'")


# --- tiles -----------------------------------------------------------------------------------------------------------


POSITIONS = st.sampled_from(["keep", "mean"])


@given(st.integers(1, 600), st.integers(8, 300), POSITIONS)
def test_spans_cover_and_are_alike(length, tile, position):
    overlap = overlap_of(tile, position)
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


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), POSITIONS)
@settings(max_examples=30, deadline=None)
def test_every_patch_has_a_weight(rows, cols, tile, position):
    total = np.zeros((rows, cols))
    for one in tiles((rows, cols), tile, overlap_of(tile, position)):
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


# --- upsampler -------------------------------------------------------------------------------------------------------


@given(*[st.integers(1, n) for n in (9, 9, 40, 40)], st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_bilinear_is_that_of_torch(gy, gx, height, width, seed):
    tokens = np.random.default_rng(seed).normal(size=(gy, gx, 3)).astype(np.float32)
    out = np.full((height, width, 5), 7, np.float32)
    bilinear(tokens, (height, width), slice(0, height), slice(0, width), out[..., 1:4])
    planes = torch.from_numpy(tokens).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(planes, size=(height, width), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(out[..., 1:4], theirs[0].permute(1, 2, 0), atol=2e-5)
    assert (out[..., [0, 4]] == 7).all()


# --- stack -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tiny_vit):
    return ViTEncoder(TINY, checkpoint=tiny_vit, device="cpu")


@pytest.fixture(scope="module")
def stack(encoder):
    return extract_features(demo_image(96)[0].data[:, :90], encoder=encoder)


@pytest.fixture(scope="module")
def whole(stack):
    return np.asarray(stack)


def test_names_shape_and_recipe(stack, whole, encoder):
    assert whole.shape == stack.shape == (96, 90, 76 + 64)
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    assert stack.names[:76] == CLASSICAL_NAMES
    assert stack.names[76] == "vit_b02_c000"
    assert len(set(stack.names)) == len(stack.names)
    assert not any("." in name for name in stack.names[76:])
    assert stack.recipe == encoder.recipe
    assert len(stack.recipe.weights_sha256) == 64
    assert stack.tokens().shape == (12, 11, 64)
    assert np.asarray(stack, np.float64).dtype == np.float64
    assert whole[..., 76:].std(axis=(0, 1)).min() > 0


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_a_block_is_the_same_block_of_the_whole(stack, whole, data):
    cut = [slice(*data.draw(st.tuples(st.integers(-n, n), st.integers(-n, n)))) for n in stack.shape[:2]]
    np.testing.assert_array_equal(stack.block(*cut), whole[tuple(cut)])


def test_a_block_with_a_step_is_refused(stack):
    with pytest.raises(SettingsError, match="step 2"):
        stack.block(slice(0, 10, 2))


@pytest.mark.parametrize("max_bytes", [1, 140 * 4 * 1000, 2**40])
def test_blocks_cover_once(stack, max_bytes):
    seen = np.zeros(stack.shape[:2], int)
    for rows, cols in stack.blocks(max_bytes):
        seen[rows, cols] += 1
        assert seen[rows, cols].size * stack.shape[2] * 4 <= max(max_bytes, stack.shape[2] * 4)
    assert (seen == 1).all()


@pytest.mark.parametrize("max_bytes", [140 * 4 * 300, None])
@pytest.mark.parametrize("share", [0, 0.002, 0.3])
def test_samples_are_those_of_the_whole(stack, whole, monkeypatch, max_bytes, share):
    if max_bytes:
        monkeypatch.setattr(stack_module.FeatureStack.blocks, "__defaults__", (max_bytes,))
        assert len(list(stack.blocks())) > 20
    mask = np.random.default_rng(1).random(stack.shape[:2]) < share
    np.testing.assert_array_equal(stack.at(mask), whole[mask])
    with pytest.raises(FeatureMismatchError, match="mask"):
        stack.at(mask[1:])


def test_the_data_bar_is_left_out(encoder):
    data = demo_image(96)[0].data.copy()
    field = np.asarray(extract_features(data[:80], encoder=encoder))
    data[80:] = 65535
    with_bar = extract_features(Image(data, "bar", databar_rows=16), encoder=encoder)
    assert with_bar.shape[:2] == (80, 96)
    np.testing.assert_array_equal(with_bar, field)


def test_features_from_elsewhere():
    array = np.random.default_rng(0).normal(size=(7, 9, 3))
    stack = FeatureStack.from_array(array)
    assert stack.names == ("feature_000", "feature_001", "feature_002")
    assert stack.recipe is None
    assert stack.tokens() is None
    np.testing.assert_array_equal(stack.block(slice(2, 5)), array[2:5].astype(np.float32))
    assert FeatureStack.from_array(array, "abc").names == ("a", "b", "c")
    broken = array.copy()
    broken[0, 0, :2] = np.nan, 1e300
    for wrong, names, told in [
        (array[0], None, r"\(9, 3\)"),
        (array[:0], None, r"\(0, 9, 3\)"),
        (broken, None, "2 features that are NaN"),
        (array, "ab", "2 names"),
        (array, "aba", "2 of them different"),
    ]:
        with pytest.raises(SettingsError, match=told):
            FeatureStack.from_array(wrong, names)


def test_depth_and_colour(encoder, stack, whole):
    data = demo_image(96)[0].data[:, :90]
    # the ViT sees the image between its percentiles, so that neither offset nor contrast matters
    other = np.asarray(extract_features((data * np.float32(0.001) + 5).astype(np.float32), encoder=encoder))
    np.testing.assert_allclose(other[..., 76:], whole[..., 76:], atol=1e-3)
    eight = (data >> 8).astype(np.uint8)
    rgb = np.asarray(extract_features(np.stack([eight] * 3, axis=2), encoder=encoder))
    np.testing.assert_allclose(rgb, np.asarray(extract_features(eight, encoder=encoder)), atol=1e-4)
    red = np.stack([eight, eight // 2, eight // 4], axis=2)
    assert np.abs(np.asarray(extract_features(red, encoder=encoder)) - rgb)[..., 76:].max() > 0.1
    with pytest.raises(ImageError):
        extract_features(np.full((8, 8), np.nan, np.float32), encoder=encoder)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (33, 17)])
def test_flat_and_tiny_images(encoder, shape):
    stack = extract_features(np.full(shape, 9, np.uint8), encoder=encoder)
    assert stack.shape == (*shape, 140)
    assert np.isfinite(np.asarray(stack)).all()


def test_an_encoder_of_another_recipe_is_refused(encoder):
    image = demo_image(96)[0]
    with pytest.raises(FeatureMismatchError, match="tile: 560 against 280"):
        extract_features(image, replace(TINY, tile=560), encoder=encoder)
    with pytest.raises(FeatureMismatchError, match="weights_sha256"):
        extract_features(image, replace(TINY, weights_sha256="0" * 64), encoder=encoder)
    assert extract_features(image, TINY, encoder=encoder).recipe == encoder.recipe


# --- ViT -------------------------------------------------------------------------------------------------------------


def test_several_blocks_follow_one_another_and_later_ones_do_not_run(tiny_vit):
    image = demo_image(96)[0]
    several = ViTEncoder(replace(TINY, blocks=(2, 4), position="keep"), checkpoint=tiny_vit, device="cpu")
    ran = []
    for i, block in enumerate(several.model.blocks, start=1):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    tokens = several.tokens(image)
    assert ran == [1, 2, 3, 4]
    assert tokens.shape == (12, 12, 128)
    assert (several.names[0], several.names[64], len(several.names)) == ("vit_b02_c000", "vit_b04_c000", 128)
    alone = ViTEncoder(replace(TINY, position="keep"), checkpoint=tiny_vit, device="cpu")
    np.testing.assert_allclose(tokens[..., :64], alone.tokens(image), atol=1e-5)
    assert np.abs(tokens[..., 64:] - tokens[..., :64]).max() > 0.1


def test_blocks_and_positions_that_are_not_there(tiny_vit):
    with pytest.raises(SettingsError, match="block 7 of test_vit"):
        ViTEncoder(replace(TINY, blocks=(1, 7)), checkpoint=tiny_vit)


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "vit_base_patch16_dinov3"])
def test_a_rotary_position_cannot_be_averaged(name):
    with torch.device("meta"):  # no numbers: the refusal comes before them
        import timm

        model = timm.create_model(name, pretrained=False, num_classes=0)
    from fijibridge.features.position import use_mean_position

    with pytest.raises(SettingsError, match="rotary"):
        use_mean_position(model, name)


def test_the_weights_must_be_the_recipes(tiny_vit):
    with pytest.raises(FeatureMismatchError, match="train the classifier anew"):
        ViTEncoder(replace(TINY, weights_sha256="0" * 64), checkpoint=tiny_vit)


def test_the_network_is_loaded_once(tiny_vit, tmp_path, monkeypatch):
    loads = []

    def counted(*arguments, **options):
        loads.append(arguments)
        return load_weights(*arguments, **options)

    monkeypatch.setattr(vit, "load_weights", counted)
    monkeypatch.setattr(vit, "_models", {})
    own = Path(shutil.copy(tiny_vit, tmp_path / "own.safetensors"))

    def loaded(checkpoint=own, **changes) -> int:
        ViTEncoder(replace(TINY, **changes), checkpoint=checkpoint, device="cpu")
        return len(loads)

    assert loaded() == 1
    # all but encoder, position and weights is no part of the network
    assert loaded(blocks=(1, 4), enlargement=1.0, tile=560, channels=3, percentiles=(1, 99), classical="none") == 1
    extract_features(demo_image(96)[0], TINY, checkpoint=own)
    assert len(loads) == 1
    assert [loaded(position=position) for position in ("mean", "keep", "mean")] == [2, 2, 2]
    # a third model takes the place of the one that was not used for longest
    assert loaded(checkpoint=tiny_vit) == 3
    assert (loaded(position="mean"), loaded()) == (3, 4)
    assert len(vit._models) == vit.MOST_MODELS
    os.utime(own, ns=(1, 1))  # another file of the same name
    assert loaded() == 5
    own.unlink()
    with pytest.raises(ImageNotFoundError):
        loaded()
    loaded(checkpoint=tiny_vit)
    with pytest.raises(SettingsError, match="block 7"):  # of a network in memory too
        loaded(checkpoint=tiny_vit, blocks=(7,))


def test_networks_in_memory_are_those_of_the_users_cache(tiny_vit, tmp_path, monkeypatch):
    monkeypatch.setattr(vit, "_models", {})
    digests = []
    for folder, shift in (("a", 0), ("b", 1)):
        monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / folder))
        found = load_weights("test_vit", checkpoint=tiny_vit)
        state = {**found.state, "norm.bias": found.state["norm.bias"] + shift}
        _write_cache(replace(found, state=state, sha256=state_digest(state)), cache_file("test_vit"))
        digests.append(ViTEncoder(TINY, device="cpu").recipe.weights_sha256)
    assert digests[0] != digests[1]
    monkeypatch.setenv("FIJIBRIDGE_CACHE", str(tmp_path / "a"))
    with pytest.raises(FeatureMismatchError, match="train the classifier anew"):
        ViTEncoder(replace(TINY, weights_sha256=digests[1]), device="cpu")
    assert ViTEncoder(replace(TINY, weights_sha256=digests[0]), device="cpu").recipe.weights_sha256 == digests[0]
    assert len(vit._models) == 2


def test_threads_share_one_network(tiny_vit, monkeypatch):
    monkeypatch.setattr(vit, "_models", {})
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: ViTEncoder(TINY, checkpoint=tiny_vit, device="cpu"), range(4)))
    assert len({id(encoder.model) for encoder in made}) == 1


def test_a_constant_image_has_constant_tokens_without_position(tiny_vit, encoder):
    image = image_from_array(np.full((200, 180), 700, np.uint16))
    mean = ViTEncoder(replace(TINY, position="mean", tile=112), checkpoint=tiny_vit, device="cpu").tokens(image)
    assert np.ptp(mean, axis=(0, 1)).max() < 1e-4
    assert np.ptp(encoder.tokens(image), axis=(0, 1)).max() > 0.1


@pytest.mark.parametrize("position", ["keep", "mean"])
def test_without_position_only_the_neighbours_count(tiny_vit, position):
    """Without position a ViT knows no order of patches: an image rolled by whole patches gives rolled tokens."""
    recipe = replace(TINY, position=position, enlargement=1, tile=4096)
    own = ViTEncoder(recipe, checkpoint=tiny_vit, device="cpu")
    data = demo_image(96)[0].data
    rolled = own.tokens(image_from_array(np.roll(data, (32, -16), axis=(0, 1))))
    gap = np.abs(rolled - np.roll(own.tokens(image_from_array(data)), (2, -1), axis=(0, 1))).max()
    assert gap < 1e-3 if position == "mean" else gap > 0.1


@pytest.fixture(scope="module")
def default_tokens():
    """Tokens of one image by the default encoder, as often as wanted; computed once for (position, tile)."""

    @functools.cache
    def encoder(position: str) -> ViTEncoder:
        return ViTEncoder(FeatureRecipe(position=position), device="cpu")

    @functools.cache
    def tokens(position: str, tile: int) -> np.ndarray:
        own = encoder(position)
        own.recipe = replace(own.recipe, tile=tile)  # the tile is no part of the model
        return own.tokens(demo_image(224)[0])

    return tokens


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


@pytest.mark.weights
def test_tiles_agree_with_the_whole_without_position():
    image, _, _ = demo_image(640)
    encoder = ViTEncoder(FeatureRecipe(position="mean"), device="cpu")
    ours = encoder.tokens(image)
    encoder.recipe = replace(encoder.recipe, tile=4096)  # the tile is no part of the model
    similar = cosine(ours, encoder.tokens(image))
    assert 0.99 <= similar[5:-5, 5:-5].mean() < 0.99999


def test_a_tile_that_sees_every_other_patch_is_the_whole(tiny_vit):
    """Without position a ViT sees a set: where the sample is all patches outside a tile, tiling changes nothing."""
    encoder = ViTEncoder(replace(TINY, position="mean", tile=224), checkpoint=tiny_vit, device="cpu")
    image = demo_image(230)[0]
    tiled = encoder.tokens(image)
    encoder.recipe = replace(encoder.recipe, tile=4096)
    assert len(list(tiles(tiled.shape[:2], 14, overlap_of(14, "mean")))) > 1
    np.testing.assert_allclose(tiled, encoder.tokens(image), atol=2e-4)


@pytest.mark.weights
def test_tiles_with_position_do_not(default_tokens):
    inside = np.s_[2:-2, 2:-2]
    mean, keep = (cosine(default_tokens(p, 280), default_tokens(p, 4096))[inside].mean() for p in ("mean", "keep"))
    assert keep < 0.95 < mean


@pytest.mark.weights
def test_no_seam_between_tiles(default_tokens):
    tokens = default_tokens("keep", 280)
    cuts = spans(tokens.shape[1], 20, overlap_of(20, "keep"))
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
    mean = ViTEncoder(replace(TINY, position="mean"), checkpoint=tiny_vit, device="cpu")
    assert positional_probe(mean.tokens(image)) <= 0.1
    # a random position embedding is not linear in place, but an encoder that keeps it sees more of it
    assert np.abs(encoder.tokens(image) - mean.tokens(image)).max() > 0.1
