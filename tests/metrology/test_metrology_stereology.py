"""Spheres from the discs of a section, with spheres of known sizes."""

from __future__ import annotations

import numpy as np
import pytest
from media import sections

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.metrology import measure, phase_spheres, sphere_sizes
from fijibridge.metrology.stereology import unfold

MEDIAN, SPREAD = 24.0, 0.25
MEAN = MEDIAN * np.exp(SPREAD**2 / 2)
DEVIATION = MEAN * np.sqrt(np.exp(SPREAD**2) - 1)
SAUTER = MEDIAN * np.exp(2.5 * SPREAD**2)


def lognormal_discs(count: int, seed: int = 0) -> np.ndarray:
    """Diameters of the discs that a plane cuts out of spheres of lognormal diameters."""
    rng = np.random.default_rng(seed)
    spheres = MEDIAN * np.exp(SPREAD**2 + SPREAD * rng.standard_normal(count))  # met in proportion to the diameter
    return spheres * np.sqrt(1 - rng.random(count) ** 2)


def test_lognormal_spheres():
    discs = lognormal_discs(10_000)
    found = unfold(discs, np.full(len(discs), 1e-3 * MEAN / len(discs)), smallest=3)
    assert found.moment(0) == pytest.approx(1e-3, rel=0.02)
    assert found.mean == pytest.approx(MEAN, rel=0.01)
    assert found.standard_deviation == pytest.approx(DEVIATION, rel=0.06)
    assert found.sauter == pytest.approx(SAUTER, rel=0.01)
    # the discs themselves are smaller and of wider spread
    assert discs.mean() < 0.9 * MEAN
    assert discs.std() > 1.2 * DEVIATION


def test_spheres_of_one_size():
    discs = 20 * np.sqrt(1 - np.random.default_rng(0).random(5000) ** 2)
    found = unfold(discs, np.full(5000, 1 / 5000), smallest=2, classes=10)
    assert (found.density[:-2] * found.edges[1:-2]).sum() < 0.05  # all in the last classes
    assert found.mean == pytest.approx(20, rel=0.05)


def test_sections_in_an_image():
    image = sections(700, MEDIAN, SPREAD, 0.3)
    found = sphere_sizes(image, 0.5)
    assert found.mean == pytest.approx(MEAN / 2, rel=0.06)
    assert found.standard_deviation == pytest.approx(DEVIATION / 2, rel=0.2)
    assert found.sauter == pytest.approx(SAUTER / 2, rel=0.06)
    assert found.fraction == pytest.approx(image.mean(), rel=0.06)
    measured = measure(image, metrics=["sizes"], spacing=0.5, class_names=["matrix", "particles"], threads=1)
    assert measured.value("sphere_diameter_mean", "particles") == pytest.approx(found.mean)
    assert measured.value("sphere_fraction", "particles") == pytest.approx(found.fraction)
    curve = measured.curves["spheres"]
    assert curve[curve.phase == "particles"].cumulative.iloc[-1] == pytest.approx(1)
    assert "sphere_diameter_mean" not in set(measure(np.stack([image[:40, :40]] * 9), metrics=["sizes"]).table.metric)


def test_what_has_no_spheres():
    bars = np.zeros((60, 60), np.uint8)
    bars[::6] = 1
    table, curves, notes = phase_spheres(bars)
    assert not len(table)
    assert not len(curves)
    assert notes == ("sizes: no spheres of phase 0 (0), phase 1 (0): fewer than 50 whole particles",)
    assert sphere_sizes(np.zeros((9, 9))).discs == 0
    with pytest.raises(ImageError, match="one section"):
        sphere_sizes(np.zeros((4, 4, 4)))
    with pytest.raises(ImageError, match="one section"):
        phase_spheres(np.stack([bars, bars]))
    with pytest.raises(SettingsError, match="-1 classes"):
        sphere_sizes(bars, classes=-1)
