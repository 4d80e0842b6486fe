"""TWS's Derivatives, Laplacian and Structure: equal to TWS, near derivatives by scipy, the same in blocks."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fijibridge.features.tws.bank import feature_names, steps_of
from fijibridge.features.tws.block import tws_features
from fijibridge.features.tws.gaussian_derivatives import exact_kernel, kernel_reach, mirrored, sampled_kernel
from fijibridge.features.tws.settings import TwsSettings

FILTERS = ("Derivatives", "Laplacian", "Structure")
DEFAULT = TwsSettings(filters=FILTERS)
SMALL = TwsSettings(filters=FILTERS, max_sigma=2.0)
REFERENCE = Path(__file__).parents[2] / "data" / "tws_reference_derivatives.npz"
# Float32 rounding: bit-identical where Java's and C's exp agree, so allow them their last bit.
CLOSE = 1e-6


def scene(height: int = 60, width: int = 73) -> np.ndarray:
    rng = np.random.default_rng(5)
    waves = np.sin(np.arange(height) / 5)[:, None] * np.cos(np.arange(width) / 7)
    return (100 + 80 * waves + rng.normal(0, 8, (height, width))).astype(np.float32)


def assert_equal_to_tws(ours: np.ndarray, theirs: np.ndarray, names: tuple[str, ...]) -> None:
    """Each feature within CLOSE of its range."""
    ours, theirs = (a.reshape(-1, len(names)).astype(np.float64) for a in (ours, theirs))
    span = np.ptp(theirs, axis=0)
    span[span == 0] = np.maximum(np.abs(theirs).max(axis=0), 1e-20)[span == 0]
    worst = dict(zip(names, np.abs(ours - theirs).max(axis=0) / span, strict=True))
    assert {name: gap for name, gap in worst.items() if not gap <= CLOSE} == {}


@pytest.mark.parametrize("depth", ["8bit", "16bit"])
def test_features_are_those_of_tws_up_to_the_edge(depth):
    with np.load(REFERENCE) as stored:
        names = tuple(stored["names"])
        y, x = stored[f"yx_{depth}"].T
        assert names == feature_names(DEFAULT)
        features = tws_features(stored[f"image_{depth}"], settings=DEFAULT)
        assert_equal_to_tws(features[y, x], stored[f"features_{depth}"], names)


@pytest.mark.parametrize("sigma", [2.0, 4.0])
def test_derivatives_are_near_those_of_scipy(sigma):
    grey = scene()
    chosen = TwsSettings(filters=FILTERS, min_sigma=sigma, max_sigma=sigma)
    features = dict(zip(feature_names(chosen), np.moveaxis(tws_features(grey, settings=chosen), 2, 0), strict=True))

    def smooth(image, orders, scale=sigma):
        reach = 5 if max(orders) > 2 else 4
        return ndimage.gaussian_filter(image.astype(np.float64), scale, orders, mode="mirror", truncate=reach)

    expected = {f"Derivatives_{n}_{n}_{sigma}": smooth(grey, (n, n)) for n in (2, 3, 4, 5)}
    expected[f"Laplacian_{sigma}"] = smooth(grey, (0, 2)) + smooth(grey, (2, 0))
    dy, dx = smooth(grey, (1, 0)), smooth(grey, (0, 1))
    for scale in (1.0, 3.0):
        xx, xy, yy = (smooth(product, (0, 0), scale) for product in (dx * dx, dx * dy, dy * dy))
        both = np.linalg.eigvalsh(np.moveaxis([[xx, xy], [xy, yy]], (0, 1), (2, 3)))
        expected[f"Structure_largest_{sigma}_{scale}"] = both[..., 1]
        expected[f"Structure_smallest_{sigma}_{scale}"] = both[..., 0]
    assert set(expected) == set(features) - {"original"}
    for name, one in expected.items():
        assert np.abs(features[name] - one).max() < 0.01 * np.ptp(one), name


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_block_is_the_same_block_of_the_whole(data):
    grey = scene()
    whole = tws_features(grey, settings=SMALL)
    cut = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in grey.shape]
    rows, cols = (slice(*c) for c in cut)
    np.testing.assert_array_equal(tws_features(grey, rows, cols, settings=SMALL), whole[rows, cols])


@pytest.mark.parametrize("name", FILTERS)
def test_reach_is_enough_and_no_pixel_more(name):
    chosen = TwsSettings(filters=(name,), max_sigma=2.0)
    reach = max(step.reach for step in steps_of(chosen))
    grey = scene(2 * reach + 9, 2 * reach + 9)
    block = (slice(reach, reach + 9),) * 2
    here = tws_features(grey, *block, settings=chosen)
    shifted = tuple(slice(s.start + 3, s.stop + 3) for s in block)
    np.testing.assert_array_equal(tws_features(np.pad(grey, 3, constant_values=1e4), *shifted, settings=chosen), here)
    grey[:, 0] += 1e5  # the outermost column that the block may see
    assert not np.array_equal(tws_features(grey, *block, settings=chosen), here)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (17, 5)])
def test_flat_and_tiny_images(shape):
    features = tws_features(np.full(shape, 200, np.uint8), settings=DEFAULT)
    assert np.isfinite(features).all()
    named = dict(zip(feature_names(DEFAULT), np.moveaxis(features, 2, 0), strict=True))
    for name, one in named.items():
        if 1 in shape and name.startswith("Derivatives"):  # along an axis of one pixel nothing changes
            assert (one == 0).all(), name
        if name.startswith("Structure"):
            assert np.abs(one).max() < 1e-6, name


@given(st.floats(0.05, 12), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_exact_kernels_derive_polynomials(scale, order):
    half = exact_kernel(scale, order)
    assert len(half) == kernel_reach(scale, order, exact=True) + 1
    sign = (-1) ** order
    unit = max(scale, 0.5)
    weights = np.concatenate([sign * half[:0:-1], half]) * unit**order  # of the pixel at -k, in units of the scale
    k = np.arange(1 - len(half), len(half)) / unit
    for power in range(order + 1):
        wanted = math.factorial(order) if power == order else 0
        assert np.sum(weights * (-k) ** power) == pytest.approx(wanted, abs=1e-6 * math.factorial(order))


@given(st.floats(2, 12), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_both_kernels_agree_where_pixels_are_fine(scale, order):
    sampled, exact = sampled_kernel(scale, order, 1000), exact_kernel(scale, order)
    assert sampled.shape == exact.shape
    assert np.abs(sampled - exact).max() < 0.05 * np.abs(sampled).max()  # what the cut tails make, most in order 5


def test_kernels_end_where_the_image_does():
    assert len(sampled_kernel(4.0, 2, 1000)) == 17
    assert len(sampled_kernel(4.0, 2, 5)) == 5
    np.testing.assert_array_equal(sampled_kernel(4.0, 2, 1), [0.0])
    np.testing.assert_array_equal(sampled_kernel(0.2, 0, 50), [1.0])


@given(st.integers(-40, 40), st.integers(1, 9))
def test_mirrored_places(at, length):
    line = np.pad(np.arange(length), 60, "reflect") if length > 1 else np.zeros(121, int)
    assert mirrored(at, length) == line[at + 60]


LIVE = """
import json, os, sys
import jpype
import numpy as np

jpype.startJVM("-Djava.awt.headless=true", classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep))
ij, tws = jpype.JPackage("ij"), jpype.JPackage("trainableSegmentation")
ij.Prefs.setThreads(4)
with np.load(sys.argv[1]) as images:
    images = dict(images)
wanted = ("Derivatives", "Laplacian", "Structure")
results = {}
for key, (name, low, high) in json.loads(sys.argv[3]).items():
    image = images[name]
    height, width = image.shape
    if image.dtype == np.uint8:
        ip = ij.process.ByteProcessor(width, height, jpype.JArray(jpype.JByte)(image.ravel().view(np.int8)))
    elif image.dtype == np.uint16:
        pixels = jpype.JArray(jpype.JShort)(image.ravel().view(np.int16))
        ip = ij.process.ShortProcessor(width, height, pixels, None)
    else:
        ip = ij.process.FloatProcessor(width, height, jpype.JArray(jpype.JFloat)(image.ravel()))
    stack = tws.FeatureStack(ij.ImagePlus("image", ip))
    flags = [str(one) in wanted for one in tws.FeatureStack.availableFeatures]
    stack.setEnabledFeatures(jpype.JArray(jpype.JBoolean)(flags))
    stack.setMinimumSigma(low)
    stack.setMaximumSigma(high)
    assert stack.updateFeaturesMT(1)
    planes = stack.getStack()
    results[key] = np.stack([np.array(planes.getPixels(i + 1)) for i in range(planes.getSize())], -1)
    results[key] = results[key].reshape(height, width, -1)
    results[key + "_names"] = np.array([str(planes.getSliceLabel(i + 1)) for i in range(planes.getSize())])
np.savez(sys.argv[2], **results)
# ImageJ's own pool would keep the process alive
jpype.JClass("ij.util.ThreadUtil").threadPoolExecutor.shutdownNow()
"""


@pytest.mark.tws
@pytest.mark.skipif("FIJIBRIDGE_TWS_CLASSPATH" not in os.environ, reason="FIJIBRIDGE_TWS_CLASSPATH is not set")
def test_live_tws_says_the_same(tmp_path):
    grey = scene()
    images = {
        "bytes": grey.clip(0, 255).astype(np.uint8),
        "shorts": (grey * 200).astype(np.uint16)[:33, :51],
        "floats": (grey - 90)[:29, :64],
        "small": grey[:3, :5].astype(np.uint8),
        "row": grey[:1],
        "pixel": grey[:1, :1],
        "flat": np.full((30, 31), 100, np.uint8),
    }
    cases = {name: (name, 1.0, 16.0) for name in images}
    cases |= {"narrow": ("shorts", 2.0, 8.0), "wide": ("floats", 0.5, 32.0)}
    np.savez(tmp_path / "images.npz", **images)
    files = [str(tmp_path / "images.npz"), str(tmp_path / "features.npz")]
    command = [sys.executable, "-c", LIVE, *files, json.dumps(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "features.npz") as live:
        for key, (name, low, high) in cases.items():
            chosen = TwsSettings(filters=FILTERS, min_sigma=low, max_sigma=high)
            assert feature_names(chosen) == tuple(live[f"{key}_names"])
            assert_equal_to_tws(tws_features(images[name], settings=chosen), live[key], feature_names(chosen))
