"""Tortuosity, effective conductivity, connectivity, against exact values."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import grains, slanted_strip, three_phases

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.metrology import connectivity, effective_conductivity, tortuosities, tortuosity
from fijibridge.metrology.multigrid import solve_conduction
from fijibridge.phases.phases import as_phases

VOLUMES = Path(os.environ.get("FIJIBRIDGE_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data") / "volumes"


def test_a_straight_channel():
    channel = np.zeros((12, 14, 20), bool)
    channel[3:5, 2:9] = True
    found = tortuosity(channel, 2, (3, 2, 0.5))
    assert found.tau == pytest.approx(1, abs=1e-6)
    assert found.relative_conductivity == pytest.approx(14 / (12 * 14), rel=1e-6)
    assert tortuosity(channel, 0).tau == math.inf


def test_a_slanted_strip():
    assert tortuosity(slanted_strip(20), 0).tau == pytest.approx(7.51667, abs=1e-4)
    assert tortuosity(slanted_strip(20), 2).tau == pytest.approx(
        tortuosity(slanted_strip(20).transpose(2, 1, 0), 0).tau, rel=1e-4
    )


def test_a_dead_end_is_infinite():
    dead = np.zeros((8, 8, 8), bool)
    dead[:6, 3:5, 3:5] = True
    found = tortuosity(dead, 0)
    assert found.tau == math.inf
    assert found.relative_conductivity == 0
    assert tortuosity(np.zeros((4, 5)), 0).tau == math.inf


def test_voxels_that_touch_by_edges_do_not_conduct():
    assert tortuosity(np.eye(6, dtype=bool), 0).tau == math.inf


@pytest.mark.data
def test_electrode():
    tifffile = pytest.importorskip("tifffile")
    if not (VOLUMES / "electrode.tif").is_file():
        pytest.skip("no data folder")
    volume = tifffile.imread(VOLUMES / "electrode.tif")
    found = tortuosity(volume == 0, 0)
    assert found.relative_conductivity == pytest.approx(0.2166, abs=1e-4)
    assert found.tau == pytest.approx(2.0776, abs=5e-4)
    assert found.imbalance < 1e-2  # of first order, where the conductance is good to second


def test_against_a_direct_solver():
    """The same equations by scipy's sparse LU."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve

    rng = np.random.default_rng(1)
    sigma = rng.choice([0.01, 0.3, 1.0], (5, 6, 7)).astype(np.float32)
    spacing = (2.0, 1.0, 0.7)
    number = np.arange(sigma.size).reshape(sigma.shape)
    area = np.prod(spacing)
    matrix, right = np.zeros((sigma.size, sigma.size)), np.zeros(sigma.size)
    for axis in range(3):
        a, b = (np.moveaxis(number, axis, 0)[part].ravel() for part in (slice(None, -1), slice(1, None)))
        s, t = sigma.ravel()[a].astype(float), sigma.ravel()[b].astype(float)
        k = area / spacing[axis] ** 2 * 2 * s * t / (s + t)
        for i, j in ((a, b), (b, a)):
            np.add.at(matrix, (i, i), k)
            np.add.at(matrix, (i, j), -k)
    ends = 2 * area / spacing[1] ** 2 * sigma.astype(float)
    first, last = number[:, 0].ravel(), number[:, -1].ravel()
    for place in (first, last):
        matrix[place, place] += ends.ravel()[place]
    right[first] = ends.ravel()[first]
    v = spsolve(coo_matrix(matrix).tocsr(), right)
    wanted = (ends.ravel()[first] * (1 - v[first])).sum()
    found = solve_conduction(sigma, 1, spacing, tolerance=1e-7, threads=1)
    assert found.conductance == pytest.approx(wanted, rel=1e-6)


def test_a_solver_that_cannot_come_to_an_end():
    with pytest.raises(SettingsError, match="not found after 2 iterations"):
        solve_conduction(grains((6, 30, 30), 1.0, 0.8) + np.float32(0.1), 1, (1, 1, 1), max_iterations=2)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_laminate_lies_on_the_wiener_bounds(axis):
    layers = np.repeat([0, 1, 2, 1], [3, 2, 4, 3])[:, None, None] * np.ones((1, 5, 6), int)
    found = effective_conductivity(layers, [1.0, 0.1, 7.0], axis, spacing=(2, 1, 1), threads=1)
    wanted = found["wiener_low"] if axis == "z" else found["wiener_high"]
    assert found["conductivity"] == pytest.approx(wanted, rel=1e-5)
    assert found["wiener_low"] == pytest.approx(12 / (3 / 1 + 5 / 0.1 + 4 / 7))


def test_a_composite_lies_within_the_bounds_and_scales():
    volume = three_phases((24, 24, 24))
    values = {"phase 0": 0.0, "phase 1": 2.0, "phase 2": 5.0}
    found = effective_conductivity(volume, values, "y", threads=1)
    assert found["wiener_low"] == found["hashin_low"] == 0
    assert 0 < found["conductivity"] < found["hashin_high"] < found["wiener_high"]
    tenfold = effective_conductivity(volume, [0, 20.0, 50.0], "y", threads=1)
    assert tenfold["conductivity"] == pytest.approx(10 * found["conductivity"], rel=1e-4)
    alone = effective_conductivity(volume, [1.0, 0, 0], "y", threads=1)
    assert alone["conductivity"] == pytest.approx(tortuosity(volume == 0, 1).relative_conductivity, rel=1e-5)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations([0, 1, 2]), scale=st.floats(0.01, 100))
def test_permuted_axes_and_other_units_give_the_same(seed, order, scale):
    volume = grains((10, 12, 14), 1.5, 0.6, seed)
    spacing = np.array([1.5, 1.0, 0.8])
    axis = 1
    found = tortuosity(volume, axis, spacing, threads=1)
    other = tortuosity(volume.transpose(order), order.index(axis), spacing[order] * scale, threads=1)
    assert other.tau == pytest.approx(found.tau, rel=1e-4)


def test_fine_voxels_along_one_axis_are_the_same_material():
    volume = grains((8, 10, 12), 1.5, 0.6)
    coarse = tortuosity(np.repeat(volume, 2, axis=0), 2, (1, 1, 1), threads=1)
    # the finer grid along z resolves more of the flow: close, not equal
    assert tortuosity(volume, 2, (2, 1, 1), threads=1).tau == pytest.approx(coarse.tau, rel=0.02)


def test_tortuosities_of_all_phases():
    volume = three_phases((16, 16, 16))
    volume[8] = 1
    table = tortuosities(volume, class_names=["a", "b", "c"], threads=1).set_index(["phase", "axis"])
    assert len(table) == 9
    assert table.tortuosity_factor["a", "z"] == math.inf
    assert table.relative_conductivity["a", "z"] == 0
    assert table.tortuosity_factor["b", "z"] > 1
    assert tortuosities(volume[3], axes=["x"], threads=1).axis.eq("x").all()
    with pytest.raises(SettingsError, match="axis 'z'"):
        tortuosities(volume[3], axes=["z"])


def test_connectivity():
    image = np.zeros((6, 9), np.uint8)
    image[2] = 1  # a bar along x
    image[4, 3:5] = 1
    table = connectivity(image).set_index(["phase", "axis"])
    assert table.components["phase 1", "x"] == 2
    assert table.percolating["phase 1", "x"] == pytest.approx(9 / 11)
    assert table.percolating["phase 1", "y"] == 0
    assert table.isolated["phase 1", "y"] == 1
    assert table.isolated["phase 1", "x"] == pytest.approx(2 / 11)
    assert table.percolating["phase 0", "y"] == 0
    assert table.largest["phase 0", "y"] == pytest.approx((27 - 2) / (54 - 11))


@pytest.mark.parametrize("bad", [[1.0], [1, 2, -3], {"phase 0": 1}, [1, 2, math.nan], ["a", 1, 2]])
def test_conductivities_that_do_not_fit(bad):
    with pytest.raises(SettingsError, match="conductivities"):
        effective_conductivity(as_phases(three_phases((6, 6))), bad, "x")


def test_bad_masks():
    with pytest.raises(ImageError, match="shape"):
        tortuosity(np.ones(5), 0)
    with pytest.raises(SettingsError, match="axis = 3"):
        tortuosity(np.ones((5, 5, 5)), 3)
    with pytest.raises(SettingsError, match="voxel size"):
        tortuosity(np.ones((5, 5, 5)), 0, (1, 1))
