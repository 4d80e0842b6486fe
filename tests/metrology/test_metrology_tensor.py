"""The tensor of the conductivity against laminates, rotations and a direct solver."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import grains, three_phases

from fijibridge.core.errors import SettingsError
from fijibridge.metrology import conductivity_tensor, effective_conductivity, measure


def test_an_oblique_laminate():
    """Layers along a diagonal: faces in series across, faces side by side along, turned by 45 degrees."""
    y, x = np.indices((16, 16))
    labels = (y + x) % 8 >= 4
    values = np.array([1.0, 0.25])
    ring = values[np.arange(9) % 8 // 4]
    faces = 2 * ring[1:] * ring[:-1] / (ring[1:] + ring[:-1])
    along, across = faces.mean(), 1 / (1 / faces).mean()
    found = conductivity_tensor(labels, values, threads=1, tolerance=1e-8)
    wanted = np.array([[along + across, across - along], [across - along, along + across]]) / 2
    np.testing.assert_allclose(found.values, wanted, rtol=1e-6)
    principal, directions = found.principal
    np.testing.assert_allclose(principal, [along, across], rtol=1e-6)
    np.testing.assert_allclose(np.abs(directions), np.sqrt(0.5), rtol=1e-6)
    assert directions[0, 0] * directions[0, 1] < 0 < directions[1, 0] * directions[1, 1]
    assert found.anisotropy == pytest.approx(along / across)
    assert found.axes == ("y", "x")


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_layers_along_an_axis_lie_on_the_wiener_bounds(axis):
    layers = np.repeat([0, 1, 2, 1], [3, 2, 4, 3])[:, None, None] * np.ones((1, 5, 6), int)
    values = [1.0, 0.1, 7.0]
    found = conductivity_tensor(layers, values, spacing=(2, 1, 0.5), threads=1)
    sealed = effective_conductivity(layers, values, axis, spacing=(2, 1, 0.5), threads=1)["conductivity"]
    place = "zyx".index(axis)
    assert found.values[place, place] == pytest.approx(sealed, rel=1e-5)
    assert abs(found.values - np.diag(found.values.diagonal())).max() < 1e-7


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), insulator=st.booleans())
def test_a_turned_volume_has_a_turned_tensor(seed, insulator):
    volume = grains((9, 10, 12), 1.5, 0.6, seed)
    values = [0.0 if insulator else 0.2, 1.0]
    found = conductivity_tensor(volume, values, spacing=(1, 2, 0.7), threads=1, tolerance=1e-7).values
    turned = np.rot90(volume, axes=(1, 2))
    other = conductivity_tensor(turned, values, spacing=(1, 0.7, 2), threads=1, tolerance=1e-7).values
    turn = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    np.testing.assert_allclose(other, turn @ found @ turn.T, atol=2e-6)
    assert np.linalg.eigvalsh(found).min() > -1e-9


@pytest.mark.parametrize("shape", [(5, 1, 6), (4, 5, 3), (2, 4, 4)])
def test_against_a_direct_solver(shape):
    """The same equations by least squares, voxel by voxel."""
    rng = np.random.default_rng(1)
    labels = np.concatenate([[0, 1, 2], rng.integers(0, 3, math.prod(shape) - 3)]).reshape(shape)
    values, spacing = np.array([0.1, 1.0, 3.0]), np.array([2.0, 1.0, 0.7])
    sigma, number = values[labels], np.arange(labels.size).reshape(shape)
    drops, weights, loads = [], [], []
    for axis in range(3):
        s, t = sigma, np.roll(sigma, -1, axis)
        for a, b, face in zip(
            number.ravel(), np.roll(number, -1, axis).ravel(), (2 * s * t / (s + t)).ravel(), strict=True
        ):
            drops.append(np.eye(labels.size)[a] - np.eye(labels.size)[b])
            weights.append(spacing.prod() / spacing[axis] ** 2 * face)
            loads.append(np.eye(3)[axis] * spacing[axis])
    drops, weights, loads = np.array(drops), np.array(weights), np.array(loads)
    root = np.sqrt(weights)[:, None]
    v = np.linalg.lstsq(root * drops, -root * loads, rcond=None)[0]
    total = drops @ v + loads
    wanted = total.T @ (weights[:, None] * total) / (labels.size * spacing.prod())
    found = conductivity_tensor(labels, values, spacing=spacing, threads=1, tolerance=1e-9)
    np.testing.assert_allclose(found.values, wanted, rtol=1e-5, atol=1e-7)


def test_what_does_not_percolate_conducts_nothing():
    labels = np.zeros((10, 11, 12), np.uint8)
    labels[3:5, 3:5] = 1  # a bar along x
    labels[8, 0, 0] = 1
    found = conductivity_tensor(labels, [0.0, 1.0], threads=1)
    np.testing.assert_allclose(found.values, np.diag([0, 0, 4 / 110]), atol=1e-12)
    assert found.anisotropy == math.inf
    labels[3:5, 3:5, 6] = 0
    assert not conductivity_tensor(labels, [0.0, 1.0], threads=1).values.any()
    assert math.isnan(conductivity_tensor(labels, [0.0, 0.0], threads=1).anisotropy)


def test_an_isotropic_medium_and_its_background():
    volume = np.tile(three_phases((8, 8, 8), sigma=1, seed=5), (2, 2, 2))
    found = conductivity_tensor(volume, [1, 0.5, 0.25], threads=1).values
    once = conductivity_tensor(volume[:8, :8, :8], [1, 0.5, 0.25], threads=1).values
    np.testing.assert_allclose(found, once, atol=2e-5)  # a period repeated
    large = conductivity_tensor(three_phases((40, 40, 40)), [1, 0.5, 0.25], threads=1).values
    assert abs(large - np.diag(large.diagonal())).max() < 0.01 * large.max()
    hollow = conductivity_tensor(volume, [0.5, 0.25], background=0, threads=1).values
    assert hollow[0, 0] < once[0, 0]


def test_the_metric_is_measured_when_named():
    volume = three_phases((10, 11, 12))
    assert "tensor" not in measure(volume, metrics=["all"], threads=1).metrics
    found = measure(volume, metrics=["tensor"], conductivities=[1, 0.1, 0], threads=1)
    wanted = conductivity_tensor(volume, [1, 0.1, 0], threads=1)
    assert found.value("effective_conductivity_tensor", axis="yx") == pytest.approx(wanted.values[1, 2])
    assert found.value("effective_conductivity_principal_1") == pytest.approx(wanted.principal[0][0])
    assert found.value("effective_conductivity_direction_3", axis="z") == pytest.approx(wanted.principal[1][2, 0])
    assert found.value("effective_conductivity_anisotropy") == pytest.approx(wanted.anisotropy)
    assert found.value("relative_conductivity_tensor", "phase 2", axis="zz") > 0
    assert any("repeated periodically" in note for note in found.notes)
    plane = measure(volume[0], metrics=["tensor"], threads=1)
    assert set(plane.table.axis) == {"", "yy", "yx", "xx", "y", "x"}
    with pytest.raises(SettingsError, match="conductivities"):
        conductivity_tensor(volume, [1, 2])
