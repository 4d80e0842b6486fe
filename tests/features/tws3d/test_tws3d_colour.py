"""TWS's features of RGB volumes: equal to TWS, the same in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import FeatureMismatchError, ImageError, SettingsError
from fijibridge.features.tws3d.bank import feature_names_3d
from fijibridge.features.tws3d.block import tws3d_features
from fijibridge.features.tws3d.colour import SliceRanges, colour_features_3d
from fijibridge.features.tws3d.filter_registry import FILTERS_3D
from fijibridge.features.tws3d.settings import Tws3dSettings

ALL = Tws3dSettings(filters=FILTERS_3D.names, max_sigma=2.0)
REFERENCE = Path(__file__).parents[2] / "data" / "tws_reference_3d.npz"


def scene() -> np.ndarray:
    rng = np.random.default_rng(3)
    z, y, x = np.mgrid[:7, :12, :15]
    colours = [100 + 90 * np.sin(x / 4 + z / 3 + k) * np.cos(y / 5 - k) for k in range(3)]
    return (np.stack(colours, -1) + rng.normal(0, 12, (7, 12, 15, 3))).clip(0, 255).astype(np.uint8)


def test_features_are_those_of_tws():
    with np.load(REFERENCE) as stored:
        assert tuple(stored["names_rgb"]) == feature_names_3d(ALL)
        volume, voxel_size = stored["volume_rgb"], tuple(stored["voxel_size_rgb"])
        features = colour_features_3d(volume, voxel_size=voxel_size, settings=ALL)
        np.testing.assert_allclose(features[tuple(stored["zyx_rgb"].T)] * 3, stored["sums_rgb"], rtol=1e-6)


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_block_is_the_same_block_of_the_whole(data):
    volume = scene()
    whole = colour_features_3d(volume, voxel_size=(3.0, 1.0, 1.0), settings=ALL)
    cut = tuple(slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in volume.shape[:3])
    block = colour_features_3d(volume, *cut, voxel_size=(3.0, 1.0, 1.0), settings=ALL, ranges=SliceRanges())
    np.testing.assert_array_equal(block, whole[cut])


def test_a_variance_is_stretched_slice_by_slice():
    volume, chosen = scene(), Tws3dSettings(filters=("Variance",), max_sigma=1.0)
    expected = np.zeros(volume.shape[:3])
    for number in range(3):
        spread = tws3d_features(volume[..., number], settings=chosen)[..., 1].astype(np.float64)
        low, high = (limit(axis=(1, 2), keepdims=True) for limit in (spread.min, spread.max))
        expected += np.floor((spread - low) * 255 / (high - low) + 0.5)
    found = colour_features_3d(volume, settings=chosen)[..., 1]
    assert np.abs(found - expected / 3).max() <= 1 / 3 + 1e-4  # a half may be rounded either way
    assert (np.abs(found - expected / 3) < 1e-4).mean() > 0.99


def test_grey_in_three_colours_is_the_rounded_grey():
    volume = scene()
    grey = np.repeat(volume[..., :1], 3, axis=3)
    chosen = Tws3dSettings(filters=("Mean", "Laplacian"), max_sigma=2.0)
    alone = tws3d_features(volume[..., 0], settings=chosen)
    expected = np.floor(alone.clip(0, 255) + np.float32(0.5)).clip(0, 255)
    np.testing.assert_allclose(colour_features_3d(grey, settings=chosen), expected, rtol=1e-6)


def test_flat_volumes():
    found = colour_features_3d(np.full((3, 8, 9, 3), 77, np.uint8), settings=ALL)
    assert np.isfinite(found).all()
    named = dict(zip(feature_names_3d(ALL), np.moveaxis(found, 3, 0), strict=True))
    assert (named["Mean_2.0"] == 77).all()
    assert (named["Variance_2.0"] == 0).all()


def test_errors_say_what_was_found():
    with pytest.raises(FeatureMismatchError, match=r"\(3, 4, 5\)"):
        colour_features_3d(np.zeros((3, 4, 5), np.uint8), settings=ALL)
    with pytest.raises(FeatureMismatchError, match="uint16"):
        colour_features_3d(np.zeros((3, 4, 5, 3), np.uint16), settings=ALL)
    with pytest.raises(ImageError, match=r"\(3, 0, 5, 3\)"):
        colour_features_3d(np.zeros((3, 0, 5, 3), np.uint8), settings=ALL)
    with pytest.raises(SettingsError, match="out is"):
        colour_features_3d(np.zeros((3, 4, 5, 3), np.uint8), settings=ALL, out=np.empty((3, 4, 5, 2), np.float32))
