"""TWS's features of RGB images: equal to TWS, the same in blocks, and refused for other images."""

from __future__ import annotations

import colorsys
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_stack import stacks_of_tws

from fijibridge.core.errors import FeatureMismatchError, ImageError, SettingsError
from fijibridge.features.channels import DetectorImage
from fijibridge.features.tws.bank import feature_names
from fijibridge.features.tws.block import tws_features
from fijibridge.features.tws.colour import WholeColours, colour_features
from fijibridge.features.tws.filters.anisotropic_diffusion import diffused
from fijibridge.features.tws.settings import DEFAULT_FILTERS, TwsSettings
from fijibridge.features.tws.source import TwsSource
from fijibridge.images.image import Channel, Image

REFERENCE = Path(__file__).parents[2] / "data" / "tws_reference_ranks.npz"
MORE = (*DEFAULT_FILTERS, "Variance", "Mean", "Minimum", "Maximum", "Median", "Entropy", "Neighbors")
COLOUR = TwsSettings(MORE, 1, 4, colour=True)
EDGES = ("Anisotropic_diffusion", "Bilateral", "Lipschitz", "Kuwahara")


def scene(height: int = 41, width: int = 53) -> np.ndarray:
    rng = np.random.default_rng(4)
    ramp = np.linspace(0, 200, width)[None, :, None] * np.array([1, 0.5, 0.2])
    return np.clip(ramp + rng.normal(40, 30, (height, width, 3)), 0, 255).astype(np.uint8)


def test_features_are_those_of_tws_up_to_the_edge():
    with np.load(REFERENCE) as stored:
        reference = dict(stored)
    about = json.loads(str(reference["settings"]))["colours"]
    chosen = TwsSettings(tuple(about["filters"]), about["min_sigma"], about["max_sigma"], colour=True)
    assert feature_names(chosen) == tuple(reference["names_colours"])
    y, x = reference["yx"].T
    theirs = (reference["features_colours"] / 3.0).astype(np.float32)
    np.testing.assert_array_equal(colour_features(reference["image_rgb"], settings=chosen)[y, x], theirs)


def test_each_colour_is_rounded_to_bytes_before_the_mean():
    rgb = scene()
    chosen = TwsSettings(MORE, 1, 4)
    parts = [np.clip(np.floor(tws_features(rgb[..., c], settings=chosen) + 0.5), 0, 255) for c in range(3)]
    own = colour_features(rgb, settings=COLOUR)
    names = feature_names(COLOUR)
    kept = [i for i, name in enumerate(names) if name not in ("Hue", "Saturation", "Brightness")]
    assert [names[i] for i in kept] == list(feature_names(chosen))
    np.testing.assert_array_equal(own[..., kept], (np.sum(parts, 0, dtype=np.float64) / 3).astype(np.float32))


def test_hue_saturation_and_brightness_are_bytes():
    rgb = np.concatenate([scene(), np.repeat(scene()[..., :1], 3, 2), np.zeros((1, 53, 3), np.uint8)])
    own = colour_features(rgb, settings=TwsSettings((), colour=True))
    assert feature_names(TwsSettings((), colour=True)) == ("original", "Hue", "Saturation", "Brightness")
    exact = np.array([colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in rgb.reshape(-1, 3)]).reshape(rgb.shape) * 255
    np.testing.assert_array_equal(own[..., 0], (rgb.sum(2) / 3.0).astype(np.float32))
    assert (own[..., 1:] == np.floor(own[..., 1:])).all()
    # cut to whole numbers, of float32
    assert (own[..., 1:] <= exact + 1e-4).all()
    assert (own[..., 1:] > exact - 1 - 1e-4).all()


def test_hue_comes_behind_diffusion_which_sees_all_colours_at_once():
    rgb = scene(20, 24)
    chosen = TwsSettings(("Anisotropic_diffusion", "Bilateral"), 1, 1, colour=True)
    names = feature_names(chosen)
    assert names.index("Anisotropic_diffusion_20_1_0.35_0.9_1.0") + 1 == names.index("Hue")
    assert names.index("Brightness") + 1 == names.index("Bilateral_5.0_50.0")
    whole = colour_features(rgb, settings=chosen)
    joint = diffused(np.moveaxis(rgb, 2, 0).astype(np.float32), 1, 0.1, 1.0)
    np.testing.assert_array_equal(whole[..., 1], (joint.sum(0, dtype=np.float64) / 3).astype(np.float32))
    apart = [diffused(rgb[None, ..., c].astype(np.float32), 1, 0.1, 1.0)[0] for c in range(3)]
    assert np.abs(whole[..., 1] - np.mean(apart, 0)).max() > 1
    rows, cols = slice(3, 15), slice(5, 20)
    np.testing.assert_array_equal(colour_features(rgb, rows, cols, settings=chosen), whole[rows, cols])


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_a_block_is_the_same_block_of_the_whole(data):
    rgb = scene()
    whole = colour_features(rgb, settings=COLOUR)
    cut = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in rgb.shape[:2]]
    rows, cols = (slice(*c) for c in cut)
    kept = WholeColours()
    np.testing.assert_array_equal(colour_features(rgb, rows, cols, settings=COLOUR, whole=kept), whole[rows, cols])


@pytest.mark.parametrize("pixels", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.uint16), np.zeros((4, 5, 4))])
def test_other_images_are_refused(pixels):
    with pytest.raises(FeatureMismatchError, match="8-bit RGB"):
        colour_features(pixels, settings=COLOUR)


def test_errors_say_what_was_found():
    with pytest.raises(ImageError, match=r"\(0, 4, 3\)"):
        colour_features(np.zeros((0, 4, 3), np.uint8), settings=COLOUR)
    with pytest.raises(SettingsError, match="colour"):
        tws_features(np.zeros((4, 5)), settings=COLOUR)


def test_the_source_sees_colours_where_its_settings_say_so():
    rgb = scene()
    image = Image(rgb, "rgb", databar_rows=3)
    (features,) = TwsSource(COLOUR).transform([DetectorImage("", "", image)])
    out = np.empty((38, 53, len(features.names)), np.float32)
    features.block(slice(0, 38), slice(0, 53), out)
    np.testing.assert_array_equal(out, colour_features(rgb[:38], settings=COLOUR))
    (features,) = TwsSource(TwsSettings()).transform([DetectorImage("", "", image)])
    out = np.empty((38, 53, 76), np.float32)
    features.block(slice(0, 38), slice(0, 53), out)
    np.testing.assert_array_equal(out, tws_features(image.grey[:38]))


def test_the_source_refuses_a_grey_image_for_colours():
    image = Image(scene(), "rgb", detector="SE", others=(Channel("BSE", scene()[..., 0]),))
    both = [DetectorImage(name, "" if name == "SE" else name, own) for name, own in image.by_detector.items()]
    with pytest.raises(FeatureMismatchError, match="grey image"):
        TwsSource(COLOUR).transform(both)


@pytest.mark.tws
@pytest.mark.skipif("FIJIBRIDGE_TWS_CLASSPATH" not in os.environ, reason="FIJIBRIDGE_TWS_CLASSPATH is not set")
@pytest.mark.parametrize(("low", "high"), [(1, 16), (2, 8)])
def test_live_tws_says_the_same(tmp_path, low, high):
    rng = np.random.default_rng(2)
    images = {
        "scene": scene(),
        "noise": rng.integers(0, 256, (30, 44, 3), np.uint8),
        "grey": np.repeat(scene()[..., :1], 3, 2),
        "tiny": scene(3, 2),
        "flat": np.full((20, 21, 3), (0, 128, 255), np.uint8),
    }
    filters = (*MORE, *EDGES)
    chosen = TwsSettings(filters, low, high, colour=True)
    for key, (names, theirs) in stacks_of_tws(tmp_path, images, filters, low, high).items():
        assert names == feature_names(chosen)
        np.testing.assert_array_equal(colour_features(images[key], settings=chosen), theirs.astype(np.float32))
