"""TWS's filters of volumes without a JVM: equal to TWS, near independent computations, the same in blocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.features.tws3d.bank import factors_of, feature_names_3d, reach_3d
from fijibridge.features.tws3d.block import tws3d_features
from fijibridge.features.tws3d.ellipsoid import ellipsoid_rows
from fijibridge.features.tws3d.filter_registry import FILTERS_3D
from fijibridge.features.tws3d.gauss3 import gauss3_kernel
from fijibridge.features.tws3d.settings import Tws3dSettings

ALL = Tws3dSettings(filters=FILTERS_3D.names)
SMALL = Tws3dSettings(filters=FILTERS_3D.names, max_sigma=2.0)
COARSE = (2.0, 1.0, 1.0)
REFERENCE = Path(__file__).parents[2] / "data" / "tws_reference_3d.npz"
# Float32 rounding: bit-identical where Java's and C's exp, cos and acos agree, so allow them their last bit.
CLOSE = 1e-6


def scene(depth: int = 11, height: int = 20, width: int = 23) -> np.ndarray:
    rng = np.random.default_rng(5)
    z, y, x = np.mgrid[:depth, :height, :width]
    waves = np.sin(x / 4 + z / 3) * np.cos(y / 5 - z / 4)
    return (100 + 80 * waves + rng.normal(0, 8, z.shape)).astype(np.float32)


def named(volume: np.ndarray, chosen: Tws3dSettings, voxel_size=(1.0, 1.0, 1.0), **rest) -> dict[str, np.ndarray]:
    features = tws3d_features(volume, voxel_size=voxel_size, settings=chosen, **rest)
    return dict(zip(feature_names_3d(chosen), np.moveaxis(features, 3, 0), strict=True))


def assert_equal_to_tws(ours: np.ndarray, theirs: np.ndarray, names: tuple[str, ...]) -> None:
    """Each feature within CLOSE of its range; eigenvalues within CLOSE of the largest one's."""
    ours, theirs = (a.reshape(-1, len(names)).astype(np.float64) for a in (ours, theirs))
    size = {name: np.ptp(one) or np.abs(one).max() for name, one in zip(names, theirs.T, strict=True)}
    worst = {}
    for name, gap in zip(names, np.abs(ours - theirs).max(axis=0), strict=True):
        # the smallest is noise where a volume is flat along an axis
        worst[name] = gap / max(size[name.replace("smallest", "largest").replace("middle", "largest")], 1e-20)
    assert {name: gap for name, gap in worst.items() if not gap <= CLOSE} == {}


@pytest.mark.parametrize("depth", ["8bit", "16bit", "32bit"])
def test_features_are_those_of_tws_up_to_the_edge(depth):
    with np.load(REFERENCE) as stored:
        names = tuple(stored["names"])
        assert names == feature_names_3d(ALL)
        voxel_size = tuple(stored[f"voxel_size_{depth}"])
        features = tws3d_features(stored[f"volume_{depth}"], voxel_size=voxel_size, settings=ALL)
        assert features.dtype == np.float32
        assert_equal_to_tws(features[tuple(stored[f"zyx_{depth}"].T)], stored[f"features_{depth}"], names)


def test_defaults_are_those_of_tws():
    assert feature_names_3d(Tws3dSettings()) == (
        "original",
        *(f"{name}_{sigma}" for sigma in (1.0, 2.0, 4.0, 8.0) for name in ("Mean", "Variance")),
    )
    assert len(feature_names_3d(ALL)) == len(set(feature_names_3d(ALL))) == 95


# --- independent computations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), COARSE])
def test_derivatives_are_near_those_of_scipy(voxel_size):
    volume = scene(20, 30, 32)
    chosen = Tws3dSettings(filters=("Hessian", "Derivatives", "Laplacian", "Edges", "Structure"), min_sigma=4.0)
    found = named(volume, Tws3dSettings(filters=chosen.filters, min_sigma=4.0, max_sigma=4.0), voxel_size)
    scales = np.array([4.0 / voxel_size[0], 4.0, 4.0])
    padded = np.pad(volume.astype(np.float64), ((1, 1), (0, 0), (0, 0)), "edge")

    def smooth(image, orders, by=1.0):
        reach = 5 if max(orders) > 2 else 4
        return ndimage.gaussian_filter(image, scales * by, orders, mode="mirror", truncate=reach)

    unit = {axis: tuple(int(other == axis) for other in range(3)) for axis in range(3)}
    twice = {(a, b): tuple(np.add(unit[a], unit[b])) for a in range(3) for b in range(3)}
    slope = [smooth(padded, unit[axis]) for axis in range(3)]
    hessian = np.array([[smooth(padded, twice[a, b]) for b in range(3)] for a in range(3)])
    eigen = np.sort(np.abs(np.linalg.eigvalsh(np.moveaxis(hessian, (0, 1), (3, 4)))), axis=3)
    expected = {
        f"Hessian_{rank}_4.0_true": eigen[..., 2 - i] for i, rank in enumerate(("largest", "middle", "smallest"))
    }
    expected |= {f"Derivatives_{n}_{n}_{n}_4.0": smooth(padded, (n, n, n)) for n in range(1, 6)}
    expected["Laplacian_4.0"] = hessian[0, 0] + hessian[1, 1] + hessian[2, 2]
    expected["Edges_4.0"] = np.sqrt(sum(one * one for one in slope))
    for scale in (1.0, 3.0):
        tensor = np.array([[smooth(slope[a] * slope[b], (0, 0, 0), scale / 4) for b in range(3)] for a in range(3)])
        eigen = np.linalg.eigvalsh(np.moveaxis(tensor, (0, 1), (3, 4)))
        for i, rank in enumerate(("largest", "middle", "smallest")):
            expected[f"Structure_{rank}_4.0_{scale}"] = eigen[..., 2 - i]
    assert set(expected) == set(found) - {"original"}
    for name, one in expected.items():
        # ImageScience cuts kernels at the length of the axis, and scipy rounds their length
        inner = (slice(6, -6), slice(8, -8), slice(8, -8))
        gap = np.abs(found[name] - one[1:-1])[inner].max()
        assert gap < 0.03 * np.ptp(one), name


def test_gaussians_are_near_those_of_scipy():
    volume = scene()
    found = named(volume, Tws3dSettings(filters=("Gaussian_blur", "Difference_of_Gaussian"), max_sigma=2.0), COARSE)
    one, two = (ndimage.gaussian_filter(volume, (s / 2, s, s), mode="mirror") for s in (1, 2))
    span = np.ptp(volume)
    assert np.abs(found["Gaussian_blur_1.0"] - one).max() < 0.01 * span
    assert np.abs(found["Gaussian_blur_2.0"] - two).max() < 0.01 * span
    difference = found["Gaussian_blur_2.0"] - found["Gaussian_blur_1.0"]
    np.testing.assert_array_equal(found["Difference_of_Gaussian_1.0_2.0"], difference)


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0, 3.3, 8.0])
def test_gauss3_kernel_sums_to_one_and_is_near_a_gaussian(sigma):
    kernel = gauss3_kernel(sigma)
    distance = np.arange(len(kernel)) - len(kernel) // 2
    gauss = np.exp(-0.5 * (distance / sigma) ** 2)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(kernel, gauss / gauss.sum(), atol=4e-3)


@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (0.5, 2.0, 1.0)])
@pytest.mark.parametrize("sigma", [1.0, 2.0, 5.0])
def test_neighbourhoods_are_those_within_an_ellipsoid(voxel_size, sigma):
    volume = scene(7, 8, 9)
    filters = ("Minimum", "Maximum", "Mean", "Median", "Variance")
    found = named(volume, Tws3dSettings(filters=filters, min_sigma=sigma, max_sigma=sigma), voxel_size)
    z, y, x = np.indices(volume.shape)
    for at in product((0, 3, 6), (0, 4, 7), (0, 1, 8)):
        distance = sum(((axis - a) * size) ** 2 for axis, a, size in zip((z, y, x), at, voxel_size, strict=True))
        inside = volume[distance <= sigma**2 * voxel_size[2] ** 2].astype(np.float64)
        spread = inside.var(ddof=1) if inside.size > 1 else 0
        expected = inside.min(), inside.max(), inside.mean(), np.median(inside), spread
        for name, value in zip(filters, expected, strict=True):
            assert found[f"{name}_{sigma}"][at] == pytest.approx(value, rel=1e-5, abs=1e-3), (name, at)


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16, np.float32]))
@settings(max_examples=10, deadline=None)
def test_median_of_many_and_of_equal_values(seed, dtype):
    rng = np.random.default_rng(seed)
    volume = (rng.integers(0, rng.choice([2, 5, 250]), (6, 9, 11)) * (0.37 if dtype == np.float32 else 1)).astype(dtype)
    found = named(volume, Tws3dSettings(filters=("Median",), min_sigma=4.0))["Median_4.0"]
    z, y, x = np.indices(volume.shape)
    for at in rng.integers(0, volume.shape, (20, 3)):
        inside = volume[(z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 <= 16]
        assert found[tuple(at)] == pytest.approx(np.median(inside.astype(np.float64)), rel=1e-6)


def test_ellipsoids_hold_their_surface():
    rows = ellipsoid_rows(2.0, (1.0, 1.0, 1.0))
    assert int((2 * rows[:, 2] + 1).sum()) == 33
    assert np.abs(rows).max(axis=0).tolist() == [2, 2, 2]
    assert ellipsoid_rows(1.0, (0.5, 1.0, 1.0))[:, 0].tolist() == [0, 0, 0]  # thicker slices: a disc


# --- voxel sizes ---------------------------------------------------------------------------------------------------


def test_a_length_has_no_unit():
    volume = scene()
    np.testing.assert_array_equal(
        tws3d_features(volume, voxel_size=(20.0, 10.0, 10.0), settings=SMALL),
        tws3d_features(volume, voxel_size=COARSE, settings=SMALL),
    )


def test_scaling_none_takes_voxels_as_cubes():
    volume = scene()
    chosen = Tws3dSettings(filters=SMALL.filters, max_sigma=2.0, scaling="none")
    cubes = tws3d_features(volume, settings=SMALL)
    np.testing.assert_array_equal(tws3d_features(volume, voxel_size=COARSE, settings=chosen), cubes)
    assert not np.array_equal(tws3d_features(volume, voxel_size=COARSE, settings=SMALL), cubes)


def ball(spacing: int) -> np.ndarray:
    """A soft ball, in the middle slice's middle, as seen in every slice or every n-th."""
    z, y, x = np.mgrid[-24:25:spacing, -24:25, -24:25].astype(np.float64)
    return (1000 * np.exp(-(z**2 + y**2 + x**2) / (2 * 8.0**2))).astype(np.float32)


@pytest.mark.parametrize("spacing", [2, 4, 6])
def test_isotropic_features_depend_little_on_the_slices_distance(spacing):
    filters = ("Gaussian_blur", "Hessian", "Laplacian", "Edges", "Structure")
    gaps = {}
    for scaling in ("isotropic", "tws"):
        chosen = Tws3dSettings(filters=filters, max_sigma=2.0, scaling=scaling)
        fine = named(ball(1), chosen)
        coarse = named(ball(spacing), chosen, (spacing, 1, 1))
        # the smallest structure, of a gradient that turns between two slices, is lost between them
        gaps[scaling] = max(
            np.abs(one[::spacing] - coarse[name])[1:-1, 12:-12, 12:-12].max() / np.abs(one).max()
            for name, one in fine.items()
            if not name.startswith("Structure_smallest")
        )
    assert gaps["isotropic"] < {2: 0.03, 4: 0.15, 6: 0.35}[spacing]
    assert gaps["tws"] > 0.5  # a second derivative along z is spacing ** 2 times what it is along x


@pytest.mark.parametrize("spacing", [0.5, 2.0, 4.0, 8.0])
def test_isotropic_slopes_are_those_of_a_ramp(spacing):
    z, _, x = np.mgrid[:30, :24, :26].astype(np.float64)
    ramp = (3 * z * spacing + 4 * x).astype(np.float32)
    chosen = Tws3dSettings(filters=("Edges", "Laplacian"), max_sigma=2.0, scaling="isotropic")
    found = named(ramp, chosen, (spacing, 1.0, 1.0))
    inner = (slice(14, 16), slice(None), slice(9, -9)) if spacing < 1 else (slice(10, 20), slice(None), slice(9, -9))
    np.testing.assert_allclose(found["Edges_1.0"][inner], 5, rtol=1e-4)
    assert np.abs(found["Laplacian_1.0"][inner]).max() < 1e-3


# --- blocks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["tws", "isotropic"])
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_block_is_the_same_block_of_the_whole(scaling, data):
    volume, chosen = scene(), Tws3dSettings(filters=SMALL.filters, max_sigma=2.0, scaling=scaling)
    whole = tws3d_features(volume, voxel_size=COARSE, settings=chosen)
    cut = tuple(slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in volume.shape)
    np.testing.assert_array_equal(tws3d_features(volume, *cut, voxel_size=COARSE, settings=chosen), whole[cut])


def test_boxes_inside_a_block_do_not_show(monkeypatch):
    volume = scene()
    whole = tws3d_features(volume, settings=SMALL)
    monkeypatch.setattr("fijibridge.features.tws3d.block._TILE", (4, 7, 9))
    np.testing.assert_array_equal(tws3d_features(volume, settings=SMALL), whole)


@pytest.mark.parametrize("name", FILTERS_3D.names)
@pytest.mark.parametrize("scaling", ["tws", "isotropic"])
def test_reach_is_enough(name, scaling):
    chosen = Tws3dSettings(filters=(name,), max_sigma=2.0, scaling=scaling)
    reach = reach_3d(chosen, factors_of(COARSE, scaling))
    volume = scene(*(2 * by + 4 for by in reach))
    block = tuple(slice(by, by + 4) for by in reach)
    here = tws3d_features(volume, *block, voxel_size=COARSE, settings=chosen)
    outside = np.pad(volume, 3, constant_values=1e4)
    shifted = tuple(slice(one.start + 3, one.stop + 3) for one in block)
    np.testing.assert_array_equal(tws3d_features(outside, *shifted, voxel_size=COARSE, settings=chosen), here)


class Recorded:
    """A volume that says what was read of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.read = values, values.shape, []

    def __getitem__(self, cut):
        self.read.append(tuple((one.start, one.stop) for one in cut))
        return self.values[cut]


def test_only_the_block_and_its_reach_are_read_in_small_boxes():
    volume = Recorded(np.zeros((60, 300, 300), np.uint8))
    chosen = Tws3dSettings(filters=("Maximum",), max_sigma=4.0)
    tws3d_features(volume, slice(20, 60), slice(10, 290), slice(100, 110), settings=chosen)
    assert min(read[0][0] for read in volume.read) == 16
    assert {read[2] for read in volume.read} == {(96, 114)}
    assert max((b - a) * (d - c) for (a, b), (c, d), _ in volume.read) <= (32 + 8) * (128 + 8)


@pytest.mark.parametrize("shape", [(1, 9, 10), (2, 9, 10), (5, 1, 9), (5, 9, 1), (1, 1, 1), (3, 2, 2)])
@pytest.mark.parametrize("scaling", ["tws", "isotropic", "none"])
def test_flat_and_tiny_volumes(shape, scaling):
    chosen = Tws3dSettings(filters=FILTERS_3D.names, scaling=scaling)
    found = named(np.full(shape, 7, np.uint16), chosen, (3.0, 1.0, 1.0))
    for name, one in found.items():
        assert np.isfinite(one).all(), name
        if name.startswith(("original", "Gaussian_blur", "Minimum", "Maximum", "Mean", "Median")):
            np.testing.assert_allclose(one, 7, rtol=1e-5, err_msg=name)
        if name.startswith(("Variance", "Edges", "Structure", "Difference")):
            assert np.abs(one).max() < 1e-4, name


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float64, ">u2"])
def test_any_real_type_and_layout(dtype):
    volume = scene(5, 9, 10).astype(dtype)
    expected = tws3d_features(volume.astype(np.float32), settings=SMALL)
    np.testing.assert_array_equal(tws3d_features(volume, settings=SMALL), expected)
    np.testing.assert_array_equal(tws3d_features(np.asfortranarray(volume), settings=SMALL), expected)


def test_out_is_filled_in_place_and_nothing_else():
    volume = scene(4, 9, 10)
    stack = np.full((4, 9, 10, 15), -1, np.float32)
    result = tws3d_features(volume, out=stack[..., 3:])
    assert np.shares_memory(result, stack)
    np.testing.assert_array_equal(stack[..., 3:12], tws3d_features(volume))
    assert (stack[..., :3] == -1).all()
    assert (stack[..., 12:] == -1).all()


def test_errors_say_what_was_found():
    with pytest.raises(ImageError, match=r"\(3, 4\)"):
        tws3d_features(np.zeros((3, 4)))
    with pytest.raises(ImageError, match=r"\(0, 4, 5\)"):
        tws3d_features(np.zeros((0, 4, 5)))
    with pytest.raises(SettingsError, match=r"planes.*step"):
        tws3d_features(np.zeros((5, 4, 4)), slice(None, None, 2))
    with pytest.raises(SettingsError, match="out is"):
        tws3d_features(np.zeros((5, 4, 4)), out=np.empty((5, 4, 4, 8), np.float32))
    with pytest.raises(SettingsError, match="voxel size"):
        tws3d_features(np.zeros((5, 4, 4)), voxel_size=(0.0, 1.0, 1.0))
    with pytest.raises(SettingsError, match="Sobel"):
        Tws3dSettings(filters=("Sobel_filter",))
    with pytest.raises(SettingsError, match="sigmas"):
        Tws3dSettings(min_sigma=4.0, max_sigma=2.0)
    with pytest.raises(SettingsError, match="scaling"):
        Tws3dSettings(scaling="cubic")


def test_settings_come_back_from_json():
    chosen = Tws3dSettings(filters=("Variance", "Hessian"), min_sigma=2.0, scaling="isotropic")
    assert chosen.filters == ("Hessian", "Variance")
    assert Tws3dSettings.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen


# --- TWS itself ----------------------------------------------------------------------------------------------------

LIVE = """
import json, os, sys
import jpype
import numpy as np

jpype.startJVM("-Djava.awt.headless=true", classpath=os.environ["FIJIBRIDGE_TWS_CLASSPATH"].split(os.pathsep))
ij, tws = jpype.JPackage("ij"), jpype.JPackage("trainableSegmentation")
ij.Prefs.setThreads(24)  # each Difference_of_Gaussian holds one and waits for another
with np.load(sys.argv[1]) as volumes:
    volumes = dict(volumes)
results = {}
for key, (name, voxel_size, filters, low, high) in json.loads(sys.argv[3]).items():
    volume = volumes[name]
    depth, height, width = volume.shape
    stack = ij.ImageStack(width, height)
    for plane in volume:
        if volume.dtype == np.uint8:
            ip = ij.process.ByteProcessor(width, height, jpype.JArray(jpype.JByte)(plane.ravel().view(np.int8)))
        elif volume.dtype == np.uint16:
            pixels = jpype.JArray(jpype.JShort)(plane.ravel().view(np.int16))
            ip = ij.process.ShortProcessor(width, height, pixels, None)
        else:
            ip = ij.process.FloatProcessor(width, height, jpype.JArray(jpype.JFloat)(plane.ravel()))
        stack.addSlice("", ip)
    image = ij.ImagePlus("volume", stack)
    calibration = ij.measure.Calibration()
    calibration.pixelDepth, calibration.pixelHeight, calibration.pixelWidth = voxel_size
    image.setCalibration(calibration)
    features = tws.FeatureStack3D(image)
    flags = [str(one) in filters for one in tws.FeatureStack3D.availableFeatures]
    features.setEnableFeatures(jpype.JArray(jpype.JBoolean)(flags))
    features.setMinimumSigma(low)
    features.setMaximumSigma(high)
    assert features.updateFeaturesMT()
    slices = features.getFeatureStackArray()
    stacks = [slices.get(n).getStack() for n in range(depth)]
    count = stacks[0].getSize()
    planes = [[np.array(one.getPixels(i + 1)).reshape(height, width) for i in range(count)] for one in stacks]
    results[key] = np.moveaxis(np.array(planes), 1, 3)
    results[key + "_names"] = np.array([str(stacks[0].getSliceLabel(i + 1)) for i in range(count)])
np.savez(sys.argv[2], **results)
# ImageJ's own pool would keep the process alive
jpype.JClass("ij.util.ThreadUtil").threadPoolExecutor.shutdownNow()
"""


@pytest.mark.tws
@pytest.mark.skipif("FIJIBRIDGE_TWS_CLASSPATH" not in os.environ, reason="FIJIBRIDGE_TWS_CLASSPATH is not set")
def test_live_tws_says_the_same(tmp_path):
    grey = scene(10, 24, 32)
    volumes = {
        "bytes": grey.clip(0, 255).astype(np.uint8),
        "shorts": (grey * 200).clip(0, 65535).astype(np.uint16),
        "floats": grey - 90,
        "thin": grey[:2].astype(np.uint8),
        "slice": grey[:1],
        "tiny": grey[:4, :3, :2],
    }
    names = ALL.filters
    cubes = (1.0, 1.0, 1.0)
    cases = {name: (name, cubes, names, 1.0, 8.0) for name in volumes}
    cases |= {f"bytes_{size}": ("bytes", (size, 1.0, 1.0), names, 1.0, 8.0) for size in (0.5, 2.0, 4.0)}
    cases["thin_thick"] = ("thin", (4.0, 1.0, 1.0), names, 1.0, 8.0)
    cases["oblong"] = ("floats", (0.3, 0.1, 0.2), names, 0.5, 4.0)
    cases["default"] = ("shorts", (2.0, 0.5, 0.5), ("Mean", "Variance"), 1.0, 8.0)
    np.savez(tmp_path / "volumes.npz", **volumes)
    files = [str(tmp_path / "volumes.npz"), str(tmp_path / "features.npz")]
    command = [sys.executable, "-c", LIVE, *files, json.dumps(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "features.npz") as live:
        for key, (name, voxel_size, filters, low, high) in cases.items():
            chosen = Tws3dSettings(filters=tuple(filters), min_sigma=low, max_sigma=high)
            found = tws3d_features(volumes[name], voxel_size=tuple(voxel_size), settings=chosen)
            assert feature_names_3d(chosen) == tuple(live[f"{key}_names"])
            assert_equal_to_tws(found, live[key], feature_names_3d(chosen))
