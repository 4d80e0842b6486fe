"""TWS's default features without a JVM: equal to TWS, the same in blocks, and at ease with odd images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.features.tws.bank import feature_names, steps_of
from fijibridge.features.tws.block import tws_features
from fijibridge.features.tws.blurring import gaussian_kernel
from fijibridge.features.tws.filters.membrane_projections import membrane_taps
from fijibridge.features.tws.settings import TwsSettings

DEFAULT = TwsSettings()
NAMES = feature_names(DEFAULT)
HALO = max(step.reach for step in steps_of(DEFAULT))
PATCH = DEFAULT.membrane_patch

REFERENCE = Path(__file__).parents[2] / "data" / "tws_reference.npz"
# Float32 rounding: bit-identical where Java's and C's exp, sin and acos agree, so allow them their last bit.
CLOSE = 1e-6


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as stored:
        return dict(stored)


def differences(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Largest difference of each feature over its range; orientation modulo pi. (..., 76) -> (76,)."""
    ours = ours.reshape(-1, ours.shape[-1]).astype(np.float64)
    theirs = theirs.reshape(ours.shape).astype(np.float64)
    gap = np.abs(ours - theirs)
    span = np.ptp(theirs, axis=0)
    turn = np.array(["Orientation" in name for name in NAMES])
    gap[:, turn] = np.minimum(gap[:, turn] % np.pi, np.pi - gap[:, turn] % np.pi)
    span[turn] = np.pi
    span[span == 0] = np.maximum(np.abs(theirs).max(axis=0), 1)[span == 0]
    return gap.max(axis=0) / span


def assert_equal_to_tws(ours: np.ndarray, theirs: np.ndarray) -> None:
    worst = dict(zip(NAMES, differences(ours, theirs), strict=True))
    assert {name: gap for name, gap in worst.items() if not gap <= CLOSE} == {}


def scene(height: int = 70, width: int = 83) -> np.ndarray:
    rng = np.random.default_rng(5)
    return (rng.uniform(0, 255, (height, width)) + np.linspace(0, 90, width)).astype(np.float32)


def test_names_are_those_of_tws(reference):
    assert tuple(reference["names"]) == NAMES
    assert len(NAMES) == len(set(NAMES)) == 76


@pytest.mark.parametrize("depth", ["8bit", "16bit"])
def test_features_are_those_of_tws_up_to_the_edge(reference, depth):
    features = tws_features(reference[f"image_{depth}"])
    assert features.dtype == np.float32
    y, x = reference["yx"].T
    assert_equal_to_tws(features[y, x], reference[f"features_{depth}"])


def test_membrane_lines_are_those_of_imagej(reference):
    offsets, starts, scales = membrane_taps(PATCH, 1)
    kernels = np.zeros((10, PATCH, PATCH), np.uint8)
    for i, kernel in enumerate(kernels):
        y, x = offsets[starts[i] : starts[i + 1]].T + PATCH // 2
        kernel[y, x] = 1
    np.testing.assert_array_equal(kernels, reference["membrane_kernels"])
    np.testing.assert_allclose(scales * kernels.sum(axis=(1, 2)), 1)


@pytest.mark.parametrize("sigma", [0.4, 0.8, 1.6, 3.2, 6.4])
def test_gaussian_kernel_sums_to_one_and_is_near_a_gaussian(sigma):
    kernel, beyond = gaussian_kernel(sigma)
    assert 2 * kernel.sum() - kernel[0] == pytest.approx(1, abs=1e-6)
    distance = np.arange(len(kernel))
    gauss = np.exp(-0.5 * (distance / sigma) ** 2)
    assert np.abs(kernel - gauss / (2 * gauss.sum() - 1)).max() < 1e-3
    np.testing.assert_allclose(beyond[:-1], np.cumsum(kernel[::-1])[::-1][1:], atol=1e-6)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_block_is_the_same_block_of_the_whole(data):
    grey = scene()
    whole = tws_features(grey)
    cut = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in grey.shape]
    rows, cols = (slice(*c) for c in cut)
    np.testing.assert_array_equal(tws_features(grey, rows, cols), whole[rows, cols])


def test_halo_is_enough_and_no_pixel_more():
    grey = scene(2 * HALO + 20, 2 * HALO + 20)
    block = (slice(HALO, HALO + 20),) * 2
    here = tws_features(grey, *block)
    outside = np.pad(grey, 3, constant_values=1e4)
    shifted = tuple(slice(s.start + 3, s.stop + 3) for s in block)
    np.testing.assert_array_equal(tws_features(outside, *shifted), here)
    grey[:, 0] += 1000  # the outermost column that the block may see
    assert not np.array_equal(tws_features(grey, *block), here)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (17, 5)])
@pytest.mark.parametrize("value", [0, 7, 65535])
def test_flat_and_tiny_images(shape, value):
    features = tws_features(np.full(shape, value, np.uint16))
    assert features.shape == (*shape, 76)
    assert np.isfinite(features).all()
    means = [NAMES.index(n) for n in ("original", "Gaussian_blur_16.0", "Membrane_projections_0_19_1")]
    np.testing.assert_allclose(features[..., means], value, rtol=1e-6)
    edges = [i for i, n in enumerate(NAMES) if n.startswith(("Sobel", "Difference"))]
    assert np.abs(features[..., edges]).max() <= 1e-5 * max(value, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float64, ">u2"])
def test_any_real_type_and_layout(dtype):
    grey = scene(20, 24).astype(dtype)
    expected = tws_features(grey.astype(np.float32))
    np.testing.assert_array_equal(tws_features(grey), expected)
    np.testing.assert_array_equal(tws_features(np.asfortranarray(grey)), expected)
    grey.flags.writeable = False
    np.testing.assert_array_equal(tws_features(grey), expected)


def test_out_is_filled_in_place_and_nothing_else():
    grey = scene(40, 33)
    stack = np.full((40, 33, 90), -1, np.float32)
    result = tws_features(grey, out=stack[..., 10:])
    assert np.shares_memory(result, stack)
    np.testing.assert_array_equal(stack[..., 10:86], tws_features(grey))
    assert (stack[..., :10] == -1).all()
    assert (stack[..., 86:] == -1).all()
    own = np.empty((40, 33, 76), np.float32)
    tws_features(grey, out=own)
    np.testing.assert_array_equal(own, result)


def test_errors_say_what_was_found():
    with pytest.raises(ImageError, match=r"\(3, 4, 3\)"):
        tws_features(np.zeros((3, 4, 3)))
    with pytest.raises(ImageError, match=r"\(0, 4\)"):
        tws_features(np.zeros((0, 4)))
    with pytest.raises(SettingsError, match="step"):
        tws_features(np.zeros((5, 4)), slice(None, None, 2))
    for out in (np.empty((5, 4, 75), np.float32), np.empty((5, 4, 76)), np.empty((4, 5, 76), np.float32)):
        with pytest.raises(SettingsError, match="out is"):
            tws_features(np.zeros((5, 4)), out=out)


LIVE = """
import os, sys
import jpype
import numpy as np

jpype.startJVM("-Djava.awt.headless=true", classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep))
with np.load(sys.argv[1]) as images:
    images = dict(images)
features = {}
for key, image in images.items():
    height, width = image.shape
    pixels = jpype.JArray(jpype.JFloat)(image.ravel())
    ip = jpype.JClass("ij.process.FloatProcessor")(width, height, pixels)
    stack = jpype.JClass("trainableSegmentation.FeatureStack")(ip)
    assert stack.updateFeaturesMT(1)
    planes = stack.getStack()
    features[key] = np.stack([np.array(planes.getPixels(i + 1)) for i in range(planes.getSize())], -1)
    features[key] = features[key].reshape(height, width, -1)
np.savez(sys.argv[2], **features)
# ImageJ's own pool would keep the process alive
jpype.JClass("ij.util.ThreadUtil").threadPoolExecutor.shutdownNow()
"""


@pytest.mark.tws
@pytest.mark.skipif("FIJIBRIDGE_TWS_CLASSPATH" not in os.environ, reason="FIJIBRIDGE_TWS_CLASSPATH is not set")
def test_live_tws_says_the_same(tmp_path):
    rng = np.random.default_rng(11)
    images = {
        "noise": rng.normal(0, 1e3, (61, 47)).astype(np.float32),
        "grey": rng.integers(0, 256, (40, 90)).astype(np.float32),
        "smaller_than_a_kernel": scene(9, 28),
        "pixel": scene(1, 1),
        "flat": np.full((30, 31), 100, np.float32),
    }
    np.savez(tmp_path / "images.npz", **images)
    command = [sys.executable, "-c", LIVE, str(tmp_path / "images.npz"), str(tmp_path / "features.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "features.npz") as live:
        for key, image in images.items():
            assert_equal_to_tws(tws_features(image), live[key])
