"""TWS's filters over disks, its neighbours, and its blur at large sigmas: equal to TWS, and the same in blocks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_stack import stacks_of_tws

from fijibridge.core.errors import SettingsError
from fijibridge.features.tws import block
from fijibridge.features.tws.bank import feature_names, steps_of
from fijibridge.features.tws.block import tws_features
from fijibridge.features.tws.filters.disk import disk_rows, disk_size
from fijibridge.features.tws.from_names import settings_from_names
from fijibridge.features.tws.settings import TwsSettings

REFERENCE = Path(__file__).parents[2] / "data" / "tws_reference_ranks.npz"
CLOSE = 1e-6  # of a feature's range: float32 rounding
RANKS = ("Variance", "Mean", "Minimum", "Maximum", "Median")
BLURS = ("Gaussian_blur", "Sobel_filter", "Hessian", "Difference_of_gaussians")
ALL = TwsSettings(filters=(*RANKS, "Entropy", "Neighbors"), min_sigma=1, max_sigma=8)


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as stored:
        return dict(stored)


def scene(height: int = 50, width: int = 61) -> np.ndarray:
    rng = np.random.default_rng(9)
    return (rng.normal(100, 25, (height, width)) + np.linspace(0, 90, width)).astype(np.float32)


def assert_equal_to_tws(names: tuple[str, ...], ours: np.ndarray, theirs: np.ndarray) -> None:
    """Within float32 rounding of each feature's range; orientations modulo pi."""
    assert ours.shape == theirs.shape
    wrong = {}
    for i, name in enumerate(names):
        own, its = ours[..., i].astype(np.float64), theirs[..., i].astype(np.float64)
        np.testing.assert_array_equal(np.isnan(own), np.isnan(its), err_msg=name)
        gap = np.abs(own - its)[~np.isnan(its)]
        if "Orientation" in name:
            gap = np.minimum(gap, np.pi - gap)
        span = np.ptp(its[~np.isnan(its)]) if gap.size else 0
        if gap.size and not gap.max() <= CLOSE * (span or max(np.nanmax(np.abs(its)), 1)):
            wrong[name] = gap.max()
    assert wrong == {}


@pytest.mark.parametrize("case", ["ranks", "wide", "broken", "blurs"])
def test_features_are_those_of_tws_up_to_the_edge(reference, case):
    about = json.loads(str(reference["settings"]))[case]
    chosen = TwsSettings(tuple(about["filters"]), about["min_sigma"], about["max_sigma"])
    names = feature_names(chosen)
    assert names == tuple(reference[f"names_{case}"])
    y, x = reference["yx"].T
    assert_equal_to_tws(
        names, tws_features(reference["image_grey"], settings=chosen)[y, x], reference[f"features_{case}"]
    )


def test_disks_are_those_of_imagej():
    sizes = {0.3: 5, 0.5: 5, 1: 9, 1.5: 13, 1.75: 13, 2: 21, 2.5: 29, 2.84: 29, 3: 37, 4: 57, 16: 805}
    assert {radius: disk_size(disk_rows(radius)) for radius in sizes} == sizes


def around(plane: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Values under a mask around each pixel, (h, w, n); edge pixels go on beyond the edge."""
    r = len(mask) // 2
    views = np.lib.stride_tricks.sliding_window_view(np.pad(plane, r, mode="edge"), mask.shape)
    return views[:, :, mask]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 2), (9, 28), (37, 43)])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5, 2.0, 2.5, 4.0, 9.0])
@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_over_disks(shape, sigma, kind):
    grey = scene(*shape) - 120
    if kind == "bytes":
        grey = np.clip(grey.round(), 0, 60)  # many equal ones
    r = len(disk_rows(sigma)) - 1
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    square = {0.5: 1, 1.0: 2, 1.5: 4, 2.0: 5, 2.5: 9, 4.0: 17, 9.0: 82}[sigma]
    values = around(grey.astype(np.float64), y * y + x * x <= square)
    features = tws_features(grey, settings=TwsSettings(RANKS, sigma, sigma))
    assert feature_names(TwsSettings(RANKS, sigma, sigma))[1:] == tuple(f"{name}_{sigma}" for name in RANKS)
    expected = [values.var(2), values.mean(2), values.min(2), values.max(2), np.median(values, 2)]
    for own, its in zip(np.moveaxis(features, 2, 0)[1:], expected, strict=True):
        np.testing.assert_allclose(own, its, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(features[..., 3:], np.stack(expected[2:], -1).astype(np.float32))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0, 6.5])
def test_entropy_is_that_of_the_lowest_values(sigma):
    grey = scene(23, 31)
    r = int(sigma)
    codes = np.rint((grey - grey.min()) * (255 / np.ptp(grey))).astype(int)
    features = tws_features(grey, settings=TwsSettings(("Entropy",), sigma, sigma))
    for (y, x), _ in np.ndenumerate(grey):
        rows, cols = (slice(max(0, at - r), at + r + 1) for at in (y, x))
        yy, xx = np.mgrid[rows.start : min(23, rows.stop), cols.start : min(31, cols.stop)]
        inside = codes[rows, cols][np.hypot(yy - y, xx - x) <= r + 0.5]
        for i, levels in enumerate((32, 64, 128, 256)):
            counts = np.bincount(inside[inside < levels])
            shares = counts[counts > 0] / max(counts.sum(), 1)
            expected = -(shares * np.log2(shares)).sum()
            assert features[y, x, i + 1] == pytest.approx(expected, abs=1e-6)


def test_entropy_sees_the_range_of_the_whole_image():
    grey = np.zeros((40, 300), np.float32)
    grey[:, ::2] = 1
    chosen = TwsSettings(("Entropy",), 2, 2)
    part = (slice(0, 40), slice(0, 20))
    assert tws_features(grey, *part, settings=chosen)[20, 10, 4] > 0.9
    grey[0, 299] = 1e4  # by its side the stripes are all the same
    assert (tws_features(grey, *part, settings=chosen)[20, 10, 1:] == 0).all()


def test_neighbours_are_mirrored():
    grey = scene(20, 33)
    features = tws_features(grey, settings=TwsSettings(("Neighbors",), 1, 4))
    names = feature_names(TwsSettings(("Neighbors",), 1, 4))
    mirrored = np.pad(grey, 4, mode="reflect")
    places = [(dy, dx) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dy, dx) != (0, 0)]
    for step in (1, 2, 4):
        for number, (dy, dx) in enumerate(places):
            top, left = 4 + step * dy, 4 + step * dx
            own = features[..., names.index(f"Neighbors_{step}_{number}")]
            np.testing.assert_array_equal(own, mirrored[top : top + 20, left : left + 33])


def test_neighbours_outside_the_mirror_image_are_nan_as_in_tws():
    features = tws_features(scene(1, 40), settings=TwsSettings(("Neighbors",), 1, 2))
    names = feature_names(TwsSettings(("Neighbors",), 1, 2))
    assert np.isfinite(features[..., [names.index(f"Neighbors_2_{k}") for k in (1, 6)]]).all()
    assert np.isnan(features[..., names.index("Neighbors_2_0")]).all()


def test_neighbours_need_a_whole_pixel():
    with pytest.raises(SettingsError, match=r"0\.5"):
        feature_names(TwsSettings(("Neighbors",), 0.5, 4))


@pytest.mark.parametrize("sigma", [22.0, 32.0, 64.0, 128.0])
def test_a_coarse_blur_is_near_a_gaussian(sigma):
    from scipy.ndimage import gaussian_filter

    grey = scene(300, 260)
    own = tws_features(grey, settings=TwsSettings(("Gaussian_blur",), sigma, sigma))[..., 1]
    near = gaussian_filter(grey.astype(np.float64), 0.4 * sigma, mode="nearest", truncate=6)
    assert np.abs(own - near).max() < 2e-3 * np.ptp(near)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_a_block_is_the_same_block_of_the_whole(data):
    grey = scene()
    chosen = data.draw(st.sampled_from([ALL, TwsSettings(BLURS, 16, 64), TwsSettings((*RANKS, "Entropy"), 0.5, 32)]))
    whole = tws_features(grey, settings=chosen)
    cut = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in grey.shape]
    rows, cols = (slice(*c) for c in cut)
    np.testing.assert_array_equal(tws_features(grey, rows, cols, settings=chosen), whole[rows, cols])


@pytest.mark.parametrize("chosen", [ALL, TwsSettings(BLURS, 1, 32), *(TwsSettings((name,), 0.5, 32) for name in BLURS)])
def test_tiles_leave_no_seams(monkeypatch, chosen):
    grey = scene(150, 170)
    whole = tws_features(grey, settings=chosen)
    monkeypatch.setattr(block, "_TILE", 37)
    np.testing.assert_array_equal(tws_features(grey, settings=chosen), whole)


@pytest.mark.parametrize("name", [*RANKS, "Entropy", "Gaussian_blur", "Sobel_filter"])
@pytest.mark.parametrize("sigma", [0.5, 3.0, 32.0])
def test_no_pixel_beyond_the_reach_matters(name, sigma):
    (step,) = [one for one in steps_of(TwsSettings((name,), sigma, sigma)) if one.sigma]
    halo = step.reach
    grey = scene(2 * halo + 5, 2 * halo + 5)
    grey[0, 0], grey[0, 1] = -500, 900  # the range of the whole image, for entropy
    here = slice(halo + 1, halo + 4)
    chosen = TwsSettings((name,), sigma, sigma)
    features = tws_features(grey, here, here, settings=chosen)
    grey[:, :1] = -500
    grey[-1:] = 900
    np.testing.assert_array_equal(tws_features(grey, here, here, settings=chosen), features)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (17, 5)])
@pytest.mark.parametrize("value", [0, 7, 65535, -2.5])
def test_flat_and_tiny_images(shape, value):
    chosen = TwsSettings((*RANKS, "Entropy", "Gaussian_blur"), 0.5, 128)
    features = tws_features(np.full(shape, value, np.float32), settings=chosen)
    for name, plane in zip(feature_names(chosen), np.moveaxis(features, 2, 0), strict=True):
        if name.startswith(("Variance", "Entropy")):
            assert (plane == 0).all()
        else:
            np.testing.assert_allclose(plane, value, rtol=1e-6)


def test_sigmas_may_be_whole_numbers():
    assert feature_names(TwsSettings(("Mean",), 2, 4)) == ("original", "Mean_2.0", "Mean_4.0")


@pytest.mark.parametrize(
    ("filters", "low", "high"),
    [(("Entropy",), 1, 8), (("Neighbors",), 2, 16), (("Entropy", "Neighbors", "Median"), 1.5, 12), (RANKS, 0.5, 32)],
)
def test_settings_are_known_from_names(filters, low, high):
    chosen = TwsSettings(filters, low, high)
    found = settings_from_names(feature_names(chosen), "TWS-2D-v4.0.0-grayscale")
    assert feature_names(found) == feature_names(chosen)


@pytest.mark.tws
@pytest.mark.skipif("FIJIBRIDGE_TWS_CLASSPATH" not in os.environ, reason="FIJIBRIDGE_TWS_CLASSPATH is not set")
@pytest.mark.parametrize(
    ("filters", "low", "high"),
    [
        ((*RANKS, "Entropy", "Neighbors"), 1, 16),
        ((*RANKS, "Entropy", "Neighbors"), 2, 8),
        ((*RANKS, "Entropy"), 0.5, 32),
        (BLURS, 0.5, 32),
        (BLURS, 8, 128),
    ],
)
def test_live_tws_says_the_same(tmp_path, filters, low, high):
    rng = np.random.default_rng(11)
    images = {
        "float": rng.normal(0, 1e3, (61, 47)).astype(np.float32),
        "bytes": rng.integers(0, 256, (40, 90)),
        "words": (scene(33, 70) * 200).round(),
        "smaller_than_a_disk": scene(9, 28),
        "row": scene(1, 30),
        "pixel": scene(1, 1),
        "flat": np.full((30, 31), 100),
    }
    chosen = TwsSettings(tuple(filters), low, high)
    for key, (names, theirs) in stacks_of_tws(tmp_path, images, filters, low, high).items():
        assert names == feature_names(chosen)
        assert_equal_to_tws(names, tws_features(images[key], settings=chosen), theirs)
