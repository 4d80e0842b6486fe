"""Gabor, anisotropic diffusion, bilateral, Lipschitz and Kuwahara: equal to TWS, and to what their formulas say."""

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

from fijibridge.features.tws.bank import feature_names, steps_of
from fijibridge.features.tws.block import WholePlanes, tws_features
from fijibridge.features.tws.eight_bit import as_bytes
from fijibridge.features.tws.filters.anisotropic_diffusion import diffused
from fijibridge.features.tws.filters.bilateral import bilateral_kernel
from fijibridge.features.tws.filters.gabor import Gabor
from fijibridge.features.tws.filters.gabor_kernels import ANGLES, WAVELETS
from fijibridge.features.tws.filters.kuwahara import line_taps
from fijibridge.features.tws.float_powers import float_powers
from fijibridge.features.tws.settings import TwsSettings
from fijibridge.features.tws.window import Window

FILTERS = ("Gabor", "Anisotropic_diffusion", "Bilateral", "Lipschitz", "Kuwahara")
ALL = TwsSettings(filters=FILTERS)
REFERENCE = Path(__file__).parents[2] / "data" / "tws_reference_edge_preserving.npz"
# TWS's Fourier transform is in float32; the others are bit-equal.
GABOR_CLOSE = 1e-5


def only(name: str, **others: object) -> TwsSettings:
    return TwsSettings(filters=(name,), **others)


def planes_of(image: np.ndarray, chosen: TwsSettings) -> np.ndarray:
    return tws_features(image, settings=chosen).transpose(2, 0, 1)


def scene(height: int, width: int, seed: int = 5) -> np.ndarray:
    """A ramp with soft discs and noise, 8-bit."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    grey = 60 + 80 * x / max(width, 2)
    for _ in range(6):
        inside = np.hypot(y - rng.uniform(0, height), x - rng.uniform(0, width)) - rng.uniform(3, 9)
        grey += rng.uniform(-50, 50) / (1 + np.exp(np.minimum(inside, 50)))
    return np.clip(grey + rng.normal(0, 5, (height, width)), 0, 255).astype(np.uint8)


def assert_equal_to_tws(names: list[str], ours: np.ndarray, theirs: np.ndarray, close: float = GABOR_CLOSE) -> None:
    """Planes (n, ...) bit-equal, of Gabor nearly."""
    span = np.ptp(theirs.reshape(len(names), -1).astype(np.float64), axis=1)
    gaps = np.abs(ours.astype(np.float64) - theirs).reshape(len(names), -1).max(axis=1)
    worst = dict(zip(names, zip(gaps, span, strict=True), strict=True))
    wrong = {n: gap for n, (gap, s) in worst.items() if not gap <= (close * s if n.startswith("Gabor") else 0)}
    assert wrong == {}


# What TWS says, without TWS.


@pytest.mark.parametrize("which", ["8bit", "float"])
def test_features_are_those_of_tws(which):
    with np.load(REFERENCE) as reference:
        names = [str(name) for name in reference["names"]]
        assert names == list(feature_names(ALL))
        y, x = reference[f"yx_{which}"].T
        ours = planes_of(reference[f"image_{which}"], ALL)[:, y, x]
        assert_equal_to_tws(names, ours, reference[f"features_{which}"])


def test_they_stand_where_tws_puts_them():
    chosen = TwsSettings(filters=("Membrane_projections", "Gaussian_blur", "Sobel_filter", *reversed(FILTERS)))
    kinds = [step.filter.name for step in steps_of(chosen)]
    assert kinds[:6] == [*FILTERS, "Sobel_filter"]
    assert kinds[-1] == "Membrane_projections"
    assert len(set(feature_names(chosen))) == len(feature_names(chosen))


def test_names_follow_the_settings():
    chosen = TwsSettings(filters=FILTERS, min_sigma=0.25, max_sigma=4, membrane_patch=12, membrane_thickness=2)
    names = feature_names(chosen)
    diffusion = [n for n in names if n.startswith("Anisotropic")]
    # 0.25 and 0.5 are both no smoothing: TWS would make the same attributes twice, and could not train
    assert [n.split("_")[3] for n in diffusion] == ["0", "0", "1", "1", "2", "2", "4", "4"]
    assert diffusion[:2] == [f"Anisotropic_diffusion_20_0_{a}_0.9_2.0" for a in (0.1, 0.35)]
    assert [n for n in names if n.startswith("Kuwahara")] == [f"Kuwahara_13_ 10_{i}" for i in range(3)]
    assert len(set(names)) == len(names)


# Each formula, by another way of computing it.


def test_eight_bits_are_the_range_stretched():
    grey = np.array([[-3.0, -2.0, 0.0, 1.0]], np.float32)
    np.testing.assert_array_equal(as_bytes(grey, (-2.0, 2.0)), [[0, 0, 128, 191]])
    np.testing.assert_array_equal(as_bytes(grey, (5.0, 5.0)), [[0, 0, 0, 0]])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (13, 11)])
def test_lipschitz_is_a_cone_of_every_pixel(shape):
    levels = np.random.default_rng(1).integers(0, 256, shape)
    levels[0, 0], levels[-1, -1] = 0, 255 if levels.size > 1 else 0
    y, x = (grid.ravel() for grid in np.mgrid[: shape[0], : shape[1]])
    for plane, slope in zip(planes_of(levels, only("Lipschitz"))[1:], (5, 10, 15, 20, 25), strict=True):
        dy, dx = np.abs(y[:, None] - y), np.abs(x[:, None] - x)
        corners = np.minimum(dy, dx)
        cost = slope * (np.maximum(dy, dx) - corners) + int(slope * math.sqrt(2)) * corners
        cover = (levels.ravel()[:, None] - cost).max(axis=0).reshape(shape)
        # at TWS's first and last row a diagonal step goes along the row, which costs more: never closer
        np.testing.assert_array_equal(plane, 255 - (cover - levels))


@pytest.mark.parametrize("shape", [(1, 1), (2, 15), (14, 9)])
def test_bilateral_is_a_weighted_mean(shape):
    levels = np.random.default_rng(2).integers(0, 256, shape)
    levels[0, 0], levels[-1, -1] = 0, 255 if levels.size > 1 else 0
    planes = planes_of(levels, only("Bilateral"))[1:]
    for plane, (radius, level) in zip(planes, [(5, 50), (5, 100), (10, 50), (10, 100)], strict=True):
        near, alike = bilateral_kernel(radius).astype(float), bilateral_kernel(level).astype(float)
        padded = np.pad(levels, radius)  # black
        for y, x in np.ndindex(shape):
            around = padded[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
            gap = around - levels[y, x]
            weights = np.outer(near, near) * (np.abs(gap) <= level) * alike[np.clip(gap, -level, level) + level]
            mean = (weights * around).sum() / weights.sum()
            # truncated, where rounding of float32 may fall short of a whole number
            assert np.floor(mean - 1e-3) <= plane[y, x] <= np.floor(mean + 1e-3)


@pytest.mark.parametrize("radius", [5, 10, 50, 100])
def test_bilateral_kernels_are_gaussians(radius):
    kernel = bilateral_kernel(radius)
    assert kernel.dtype == np.float32
    assert len(kernel) == 2 * radius + 1
    gauss = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (0.4 * (radius + 1))) ** 2)
    np.testing.assert_allclose(kernel, gauss / gauss.sum(), rtol=1e-5)


def test_kuwahara_lines_turn():
    offsets, starts = line_taps(19)
    assert len(starts) == ANGLES + 1
    for i in range(ANGLES):
        dy, dx = offsets[starts[i] : starts[i + 1]].T
        assert {(-9), 9} & (set(dy) | set(dx))
        assert np.abs(np.stack([dy, dx])).max() == 9
        # they run along the angle, up to half a pixel
        theta = math.radians(18 * i)
        across = np.abs(dx * math.sin(theta) - dy * math.cos(theta))
        mirrored = np.abs(dx * math.sin(theta) + dy * math.cos(theta))
        assert min(across.max(), mirrored.max()) < 1


@pytest.mark.parametrize(("shape", "patch"), [((1, 1), 5), ((3, 8), 7), ((12, 9), 5)])
def test_kuwahara_takes_the_most_even_line(shape, patch):
    image = np.random.default_rng(3).integers(10, 250, shape).astype(np.float32)
    planes = planes_of(image, only("Kuwahara", membrane_patch=patch))[1:]
    offsets, starts = line_taps(patch)
    base, single = image - image.min(), np.float32
    tiny = single(1e-45)

    def at(plane: np.ndarray, y: int, x: int) -> np.ndarray:
        return plane[..., min(max(y, 0), shape[0] - 1), min(max(x, 0), shape[1] - 1)]

    best = np.full((3, *shape), np.inf)
    expected = np.zeros((3, *shape))
    for i in range(ANGLES):
        line = offsets[starts[i] : starts[i + 1]]
        mean, spread = np.zeros(shape, single), np.zeros((3, *shape), single)
        for y, x in np.ndindex(shape):
            total = squares = single(0)
            for dy, dx in line:
                v = at(base, y + dy, x + dx)
                total, squares = total + v, squares + v * v
            m = total / single(len(line))
            variance = squares / single(len(line)) - m * m
            mean[y, x] = m
            spread[:, y, x] = variance, variance / (m + tiny), variance / (m * m + tiny)
        for y, x in np.ndindex(shape):
            around = np.array([at(spread, y + dy, x + dx) for dy, dx in line])
            for c in range(3):
                k = int(np.argmin(around[:, c]))
                if around[k, c] < best[c, y, x]:
                    best[c, y, x] = around[k, c]
                    expected[c, y, x] = at(mean, y + line[k, 0], x + line[k, 1]) + single(0.5) + image.min()
    np.testing.assert_array_equal(planes, expected.astype(np.float32))


def test_powers_are_those_of_pow():
    rng = np.random.default_rng(4)
    base = np.exp(np.concatenate([rng.uniform(0, 12, 20_000), rng.uniform(-80, 80, 2_000)])).astype(np.float32)
    base[:9] = 0, np.inf, np.nan, -1, 1e-40, 1, 2, 1 + 1e-7, 3e38
    first, second = -float(np.float32(0.35)), -float(np.float32(0.9))
    out = np.empty((2, base.size), np.float32)
    float_powers(out, base, first, second, np.empty((3, base.size)), np.empty(base.size, np.float32))
    with np.errstate(all="ignore"):
        expected = [np.power(base.astype(np.float64), exponent).astype(np.float32) for exponent in (first, second)]
    np.testing.assert_array_equal(out, expected)


def plain_diffusion(image: np.ndarray, smoothings: int, along: float, edge: float, iterations: int) -> np.ndarray:
    """Tschumperle and Deriche's diffusion by plain numpy, in double precision. (C, Y, X)."""
    image = np.trunc(image.astype(float))
    low, high, deviation = image.min(), image.max(), image.std()
    a, b = 0.25 * (2 - math.sqrt(2)), 0.5 * (math.sqrt(2) - 1)

    def around(plane: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
        padded = np.pad(plane, ((0, 0), (1, 1), (1, 1)), mode="edge")
        h, w = plane.shape[1:]
        return {(i, j): padded[:, 1 + i : 1 + i + h, 1 + j : 1 + j + w] for i in (-1, 0, 1) for j in (-1, 0, 1)}

    for _ in range(iterations):
        n = around(image)
        gx = a * (n[-1, 1] + n[1, 1] - n[-1, -1] - n[1, -1]) + b * (n[0, 1] - n[0, -1])
        gy = a * (n[1, -1] + n[1, 1] - n[-1, -1] - n[-1, 1]) + b * (n[1, 0] - n[-1, 0])
        outer = np.array([[(gx * gx).sum(0), (gx * gy).sum(0)], [(gx * gy).sum(0), (gy * gy).sum(0)]])
        values, vectors = np.linalg.eigh(np.moveaxis(outer, (0, 1), (2, 3)))
        strength = 1 + values.sum(-1) / (edge * deviation / 256) ** 2
        limits = np.stack([strength**-along, strength**-0.9], -1)  # the smaller eigenvalue's comes first
        tensor = np.einsum("yxik,yxk,yxjk->ijyx", vectors, limits, vectors)
        for _ in range(smoothings):
            n = around(image)
            ixx, iyy = n[0, 1] + n[0, -1] - 2 * n[0, 0], n[1, 0] + n[-1, 0] - 2 * n[0, 0]
            ixy = (n[-1, -1] + n[1, 1] - n[1, -1] - n[-1, 1]) / 2
            velocity = tensor[0, 0] * ixx + tensor[0, 1] * ixy + tensor[1, 1] * iyy
            image = np.clip(image + velocity * (20 / np.abs(velocity).max() * 6 * deviation / 256), low, high)
    return image


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("smoothings", "along", "edge", "iterations"), [(1, 0.1, 1.0, 3), (2, 0.35, 2.0, 2)])
def test_diffusion_is_that_of_tschumperle_and_deriche(channels, smoothings, along, edge, iterations):
    image = np.stack([scene(24, 27, seed) for seed in range(channels)])
    ours = diffused(image.astype(np.float32), smoothings, along, edge, iterations)
    assert (ours == np.trunc(ours)).all()
    expected = plain_diffusion(image, smoothings, along, edge, iterations)
    assert np.abs(image - expected).mean() > 1
    # Fractions are cut off. Only a few iterations are compared: steps this long let the smallest rounding grow.
    assert np.abs(ours + 0.5 - expected).max() < 0.51


def test_diffusion_keeps_what_tws_keeps():
    image = scene(20, 23).astype(np.float32) + np.float32(0.7)
    np.testing.assert_array_equal(diffused(image[None], 0, 0.1, 1.0)[0], np.trunc(image))
    assert (diffused(np.full((1, 4, 5), 9, np.float32), 2, 0.1, 1.0) == 0).all()
    assert (diffused(image[None] / 256, 2, 0.1, 1.0) == 0).all()
    odd = np.array([[[np.nan, 1e20], [-1e20, -2.9]]], np.float32)
    np.testing.assert_array_equal(diffused(odd, 0, 0.1, 1.0), [[[0, 2.0**31], [-(2.0**31), -2]]])


def plain_gabor(image: np.ndarray) -> np.ndarray:
    """All features by a convolution in double precision. (44, Y, X)."""
    planes = []
    for wavelet in WAVELETS:
        r = wavelet.reach
        # numpy's mirror of one pixel is that pixel
        padded = np.pad(image.astype(float), r, mode="reflect" if min(image.shape) > 1 else "symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * r + 1, 2 * r + 1))
        responses = []
        for angle in range(ANGLES):
            response = np.einsum("yxij,ij->yx", windows, wavelet.kernel(angle)[::-1, ::-1].astype(float))
            deviation = response.std(ddof=1) if response.size > 1 else 0
            seen = deviation > 1e-9 * np.abs(image).max()
            responses.append((response - response.mean()) / deviation if seen else np.zeros(image.shape))
        planes += [np.max(responses, axis=0), np.min(responses, axis=0)]
    return np.array(planes)


@pytest.mark.parametrize("shape", [(31, 28), (6, 9), (2, 30)])
@pytest.mark.parametrize("offset", [0, 1e5])
def test_gabor_is_a_normalised_convolution(shape, offset):
    image = scene(*shape).astype(np.float32) + np.float32(offset)
    image[0, 0] = offset
    np.testing.assert_allclose(planes_of(image, only("Gabor"))[1:], plain_gabor(image), atol=3e-5)


def test_gabor_passes_over_what_is_the_same_everywhere():
    stripes = np.broadcast_to(scene(1, 40), (33, 40))
    names = feature_names(only("Gabor"))[1:]
    planes = planes_of(stripes, only("Gabor"))[1:]
    assert np.isfinite(planes).all()
    # a wave across the stripes, odd, sees nothing: what it sees is not blown up to noise
    np.testing.assert_allclose(planes, plain_gabor(stripes), atol=1e-4)
    assert np.ptp(planes[names.index("Gabor_1_4.0_1.0_2_2.0")], axis=0).max() < 1e-4


# What holds for all of them.


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_a_block_is_the_same_block_of_the_whole(data):
    shape = data.draw(st.sampled_from([(61, 75), (9, 40), (70, 3)]))
    grey = scene(*shape).astype(np.float32) * 3 - 100
    chosen = TwsSettings(filters=FILTERS, max_sigma=2, membrane_patch=9)
    whole = tws_features(grey, settings=chosen)
    cut = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    rows, cols = (slice(*c) for c in cut)
    np.testing.assert_array_equal(tws_features(grey, rows, cols, settings=chosen), whole[rows, cols])


def test_blocks_at_the_seam_of_tiles():
    grey = scene(40, 300)
    chosen = TwsSettings(filters=("Gabor", "Bilateral", "Lipschitz", "Kuwahara"))
    whole = tws_features(grey, settings=chosen)
    kept = WholePlanes()
    for cols in (slice(200, 280), slice(255, 257)):
        part = tws_features(grey, slice(3, 30), cols, settings=chosen, whole=kept)
        np.testing.assert_array_equal(part, whole[3:30, cols])


def test_numbers_of_the_image_are_made_once():
    grey = np.arange(12, dtype=np.uint16).reshape(3, 4)
    kept, made = WholePlanes(), []

    def mean(image: np.ndarray) -> float:
        made.append(image.dtype)
        return float(image.mean())

    assert [kept.value(grey, "mean", mean) for _ in range(2)] == [5.5, 5.5]
    assert made == [np.float32]
    alone = Window(grey.astype(np.float32), (0, 0), (3, 4), (1, 2, 1, 2), ALL)
    assert alone.limits == (0.0, 11.0)
    odd = np.array([[np.nan, 2.0], [5.0, np.nan]], np.float32)
    assert Window(odd, (0, 0), (2, 2), (0, 2, 0, 2), ALL).limits == (2.0, 5.0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (17, 5)])
@pytest.mark.parametrize("value", [0, 7, 65535])
def test_flat_and_tiny_images(shape, value):
    features = planes_of(np.full(shape, value, np.uint16), ALL)
    assert features.shape[1:] == shape
    for name, plane in zip(feature_names(ALL), features, strict=True):
        kind = name.partition("_")[0]
        expected = {"original": value, "Lipschitz": 255, "Kuwahara": value + 0.5}.get(kind, 0)
        np.testing.assert_array_equal(plane, np.float32(expected), err_msg=name)


def test_gabor_reaches_as_far_as_its_largest_kernel():
    assert Gabor().reach(ALL, 0) == 12
    assert len(WAVELETS) == 22


# TWS itself.

LIVE = """
import json, os, sys
import jpype
import numpy as np

jpype.startJVM("-Djava.awt.headless=true", classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep))
of = jpype.JClass
of("ij.Prefs").setThreads(4)  # with fewer, Gabor waits for itself
Stack = of("trainableSegmentation.FeatureStack")


def processor(image):
    height, width = image.shape[:2]
    if image.ndim == 3:
        red, green, blue = np.moveaxis(image.astype(np.int32), -1, 0)
        pixels = jpype.JArray(jpype.JInt)(((red << 16) | (green << 8) | blue).ravel())
        return of("ij.process.ColorProcessor")(width, height, pixels)
    if image.dtype == np.uint8:
        return of("ij.process.ByteProcessor")(width, height, jpype.JArray(jpype.JByte)(image.view(np.int8).ravel()))
    if image.dtype == np.uint16:
        pixels = jpype.JArray(jpype.JShort)(image.view(np.int16).ravel())
        return of("ij.process.ShortProcessor")(width, height, pixels, None)
    return of("ij.process.FloatProcessor")(width, height, jpype.JArray(jpype.JFloat)(image.ravel()))


with np.load(sys.argv[1]) as images:
    images = dict(images)
result = {}
for key, chosen in json.loads(sys.argv[3]).items():
    image = images[key.partition(":")[0]]
    stack = Stack(of("ij.ImagePlus")("", processor(image)))
    wanted = [str(name) in chosen["filters"] for name in Stack.availableFeatures]
    stack.setEnabledFeatures(jpype.JArray(jpype.JBoolean)(wanted))
    stack.setMinimumSigma(chosen["min_sigma"])
    stack.setMaximumSigma(chosen["max_sigma"])
    stack.setMembranePatchSize(chosen["membrane_patch"])
    stack.setMembraneSize(chosen["membrane_thickness"])
    assert stack.updateFeaturesMT(4)
    planes = stack.getStack()
    n = planes.getSize()
    result[key] = np.stack([np.array(planes.getPixels(i + 1)) for i in range(n)]).reshape(n, *image.shape[:2])
    result["names of " + key] = np.array([str(planes.getSliceLabel(i + 1)) for i in range(n)])
np.savez(sys.argv[2], **result)
# ImageJ's own pool would keep the process alive
of("ij.util.ThreadUtil").threadPoolExecutor.shutdownNow()
"""

needs_tws = pytest.mark.skipif(
    "FIJIBRIDGE_TWS_CLASSPATH" not in os.environ, reason="FIJIBRIDGE_TWS_CLASSPATH is not set"
)


def ask_tws(folder: Path, images: dict[str, np.ndarray], chosen: dict[str, TwsSettings]) -> dict[str, np.ndarray]:
    """Features (n, Y, X) of each case and, under "names of", their labels; a case is an image's name, or name:note."""
    np.savez(folder / "images.npz", **images)
    keys = ("filters", "min_sigma", "max_sigma", "membrane_patch", "membrane_thickness")
    cases = json.dumps({case: {key: getattr(one, key) for key in keys} for case, one in chosen.items()})
    command = [sys.executable, "-c", LIVE, str(folder / "images.npz"), str(folder / "features.npz"), cases]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "features.npz") as stored:
        return dict(stored)


@pytest.mark.tws
@needs_tws
def test_live_tws_says_the_same(tmp_path):
    rng = np.random.default_rng(11)
    without = tuple(name for name in FILTERS if name != "Gabor")
    images = {
        "grey": scene(61, 47),
        "deep": (scene(50, 60, 6).astype(np.uint16) * 150 + 300),
        "float": (scene(64, 57, 7) * 3.7 - 100).astype(np.float32),
        "noise": rng.integers(0, 256, (40, 51)).astype(np.uint8),
        "small": scene(9, 14),
        "row": scene(1, 40),
        "column": scene(40, 1),
        "pixel": np.full((1, 1), 77, np.uint8),
        "four": np.array([[3, 200], [70, 5]], np.uint8),
        "flat": np.full((20, 21), 100, np.uint8),
        "dim": (scene(30, 31) / 256).astype(np.float32),
    }
    # of these TWS's Gabor is noise, or fails
    noisy = {"row", "column", "pixel", "four", "flat"}
    cases = {name: TwsSettings(filters=without if name in noisy else FILTERS) for name in images}
    cases["grey:other sigmas"] = TwsSettings(filters=without, min_sigma=2, max_sigma=8, membrane_patch=11)
    cases["float:wide"] = TwsSettings(filters=without, min_sigma=0.5, max_sigma=32, membrane_thickness=3)
    cases["small:large patch"] = only("Kuwahara", membrane_patch=31)
    found = ask_tws(tmp_path, images, cases)
    for case, chosen in cases.items():
        names = [str(name) for name in found[f"names of {case}"]]
        assert names == list(feature_names(chosen)), case
        assert_equal_to_tws(names, planes_of(images[case.partition(":")[0]], chosen), found[case])


@pytest.mark.tws
@needs_tws
def test_live_tws_treats_colours_alike(tmp_path):
    """TWS filters red, green and blue as 32-bit images and rounds features to 8 bits; diffusion is joint."""
    colours = np.stack([scene(31, 34, seed) for seed in (1, 2, 3)], axis=-1)
    images = {"rgb": colours}
    found = ask_tws(tmp_path, images, {"rgb": TwsSettings(filters=FILTERS, max_sigma=2)})
    names = [str(name) for name in found["names of rgb"]]
    packed = dict(zip(names, found["rgb"].astype(np.int64), strict=True))
    chosen = TwsSettings(filters=("Bilateral", "Lipschitz", "Kuwahara"))
    for c, shift in enumerate((16, 8, 0)):
        for name, plane in zip(feature_names(chosen)[1:], planes_of(colours[..., c], chosen)[1:], strict=True):
            ours = np.clip(np.floor(plane + 0.5), 0, 255)
            np.testing.assert_array_equal(ours, (packed[name] >> shift) & 255, err_msg=name)
    for along in (0.1, 0.35):
        joint = diffused(np.moveaxis(colours, -1, 0).astype(np.float32), 2, along, 1.0)
        for c, shift in enumerate((16, 8, 0)):
            theirs = (packed[f"Anisotropic_diffusion_20_2_{along}_0.9_1.0"] >> shift) & 255
            np.testing.assert_array_equal(joint[c], theirs)
