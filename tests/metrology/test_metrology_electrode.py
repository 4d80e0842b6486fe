"""The electrode tortuosity factor, against exact values and the impedance at a low frequency."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import grains, three_phases

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.metrology import electrode_tortuosity, measure


@pytest.mark.parametrize("spacing", [1.0, (3, 2, 0.5)])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("enters", ["first", "last"])
def test_narrow_straight_channels(axis, spacing, enters):
    volume = np.zeros((6, 9, 12), bool)
    np.moveaxis(volume, axis, 0)[:, 1::3, 1::3] = True
    found = electrode_tortuosity(volume, axis, spacing, enters=enters, threads=1, tolerance=1e-8)
    assert found.tau == pytest.approx(1, abs=1e-6)
    assert found.reached == 1
    assert found.fraction == pytest.approx(volume.mean())


def test_a_dead_end_counts():
    """Channels to half the depth: half the length, half the fraction, twice as much current through each."""
    volume = np.zeros((20, 6, 6), bool)
    volume[:10, 1::3, 1::3] = True
    found = electrode_tortuosity(volume, 0, threads=1, tolerance=1e-8)
    # R is that of 10 voxels, where the volume is 20 deep: a half of a half. The channel's end has a face more
    faces = np.array([4] * 9 + [5]) / 41
    behind = np.cumsum(faces[::-1])[::-1]
    resistance = (behind**2 * np.array([0.5] + [1] * 9)).sum() / 4
    wanted = resistance * volume.mean() * 36 / 20 / (1 / 3 + 1 / 2400)
    assert found.tau == pytest.approx(wanted, rel=1e-6)
    assert electrode_tortuosity(volume, 0, enters="last", threads=1).tau == math.inf


def test_parts_that_are_not_reached():
    volume = np.zeros((9, 7, 7), bool)
    volume[:, 1, 1] = True
    volume[2:5, 4, 4] = True
    found = electrode_tortuosity(volume, 0, threads=1)
    assert found.reached == pytest.approx(36 / (36 + 14))
    assert found.tau == pytest.approx(12 / 9, rel=1e-4)  # the isolated part counts in the fraction alone


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_impedance_at_a_low_frequency(seed):
    """The double layer of each face a capacitor, an alternating potential at the entrance: solved as it stands."""
    mask, spacing = grains((6, 5, 7), 1.0, 0.6, seed) > 0, np.array([1.0, 2.0, 0.5])
    if not mask[0].any() or mask.all():
        return
    number, size = np.arange(mask.size).reshape(mask.shape), mask.size
    matrix, surface = np.zeros((size, size), complex), np.zeros(mask.shape)
    for axis in range(3):
        area = spacing.prod() / spacing[axis]
        a, b = (np.moveaxis(number, axis, 0)[part].ravel() for part in (slice(None, -1), slice(1, None)))
        both = mask.ravel()[a] & mask.ravel()[b]
        for i, j in ((a[both], b[both]), (b[both], a[both])):
            np.add.at(matrix, (i, i), area / spacing[axis])
            np.add.at(matrix, (i, j), -area / spacing[axis])
        for i, j in ((a, b), (b, a)):
            np.add.at(surface.reshape(-1), i, area * (mask.ravel()[i] & ~mask.ravel()[j]))
    entrance = np.zeros(mask.shape)
    entrance[0] = mask[0] * 2 * spacing[1] * spacing[2] / spacing[0]
    matrix[np.diag_indices(size)] += entrance.ravel() + 1e-4j * surface.ravel()
    matrix[~mask.ravel(), ~mask.ravel()] = 1
    isolated = np.abs(matrix.diagonal()) == 0
    matrix[isolated, isolated] = 1
    v = np.linalg.solve(matrix, entrance.ravel().astype(complex))
    current = (entrance.ravel() * (1 - v)).sum()
    found = electrode_tortuosity(mask, 0, spacing, threads=1, tolerance=1e-8)
    length, section = 6 * spacing[0], 35 * spacing[1] * spacing[2]
    wanted = (1 / current).real * mask.mean() * section / length / (1 / 3 + 1 / (6 * 6**2))
    assert found.tau == pytest.approx(wanted, rel=1e-3)


def test_no_surface_no_phase_and_thin_volumes():
    assert electrode_tortuosity(np.zeros((4, 5)), 0).tau == math.inf
    assert math.isnan(electrode_tortuosity(np.ones((4, 5)), 0).tau)
    assert electrode_tortuosity(np.array([[True, False, True]]), 0).tau == pytest.approx(1)
    volume = three_phases((6, 7, 8))
    one = electrode_tortuosity(volume == 0, 0, reacting=volume == 1, threads=1)
    assert one.tau != pytest.approx(electrode_tortuosity(volume == 0, 0, threads=1).tau, rel=1e-3)
    with pytest.raises(SettingsError, match="axis = 3"):
        electrode_tortuosity(volume == 0, 3)
    with pytest.raises(SettingsError, match="enters = 'top'"):
        electrode_tortuosity(volume == 0, 0, enters="top")
    with pytest.raises(SettingsError, match="shape"):
        electrode_tortuosity(volume == 0, 0, reacting=volume[0])
    with pytest.raises(ImageError, match="shape"):
        electrode_tortuosity(np.ones(5), 0)


def test_the_metric_is_measured_when_named():
    volume = three_phases((8, 9, 10))
    found = measure(volume, metrics=["electrode_tortuosity"], axes=["z"], threads=1)
    wanted = electrode_tortuosity(volume == 1, 0, enters="last", threads=1)
    assert found.value("electrode_tortuosity_last", "phase 1", axis="z") == pytest.approx(wanted.tau)
    assert found.value("electrode_surface_reached_last", "phase 1", axis="z") == pytest.approx(wanted.reached)
    assert len(found.table) == 12
    hollow = measure(volume, metrics=["electrode_tortuosity"], axes=["z"], background=2, threads=1)
    wanted = electrode_tortuosity(volume == 1, 0, reacting=volume == 0, threads=1)
    assert hollow.value("electrode_tortuosity_first", "phase 1", axis="z") == pytest.approx(wanted.tau)
