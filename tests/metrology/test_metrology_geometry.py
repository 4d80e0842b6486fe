"""Surfaces, triple-phase boundary, chords and local thickness, against bodies with known numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import ball, grains, three_phases

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.metrology import (
    chord_lengths,
    local_thickness,
    measure,
    phase_sizes,
    specific_surface,
    triple_phase_boundary,
)


def area(labels, method="gradient", **about):
    table = specific_surface(labels, method=method, **about)
    return float(table.area[(table.phase == "phase 1") & (table.other == "")].iloc[0])


# --- surface ---------------------------------------------------------------------------------------------------------


def test_a_sphere():
    assert area(ball(25, 7)) == pytest.approx(4 * np.pi * 7**2, rel=0.015)


def test_a_sphere_of_anisotropic_voxels():
    spacing = (2.0, 1.0, 0.5)
    z, y, x = ((np.arange(n) - n // 2) * step for n, step in zip((31, 51, 91), spacing, strict=True))
    labels = (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= 18**2).astype(int)
    for method, tolerance in (("gradient", 0.03), ("marching-cubes", 0.18), ("intercepts", 0.01)):
        assert area(labels, method, spacing=spacing) == pytest.approx(4 * np.pi * 18**2, rel=tolerance)


def test_a_cube_by_marching_cubes():
    cube = np.zeros((20, 20, 20), np.uint8)
    cube[5:15, 5:15, 5:15] = 1
    table = specific_surface(cube, method="marching-cubes")
    assert table.specific_surface.iloc[0] == pytest.approx(0.0705, abs=5e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_plane_in_any_direction(seed):
    rng = np.random.default_rng(seed)
    normal = np.abs(rng.normal(size=3)) + 0.1
    normal /= normal.max()
    # a tilted layer through a box it leaves by the four side faces alone: its area over the base is 1 / cos
    n = 40
    z, y, x = np.indices((n, n, n)) - n / 2 + 0.5
    tilt = np.array([1.0, 0.4 * normal[1], 0.4 * normal[2]])
    labels = (tilt[0] * z + tilt[1] * y + tilt[2] * x > 0).astype(int)
    assert area(labels) == pytest.approx(n**2 * np.linalg.norm(tilt), rel=0.025)


@pytest.mark.parametrize("radius", [5, 10, 14])
def test_spheres_by_intercepts(radius):
    assert area(ball(2 * radius + 9, radius), "intercepts") == pytest.approx(4 * np.pi * radius**2, rel=0.01)


@pytest.mark.parametrize("thick", [2, 3, 5])
def test_a_thin_layer_between_two_phases_by_intercepts(thick):
    rng = np.random.default_rng(thick)
    z, y, x = np.indices((30, 30, 30)) - 14.5
    tilt = np.array([1, *rng.uniform(0.2, 0.5, 2)])
    away = (tilt[0] * z + tilt[1] * y + tilt[2] * x) / np.linalg.norm(tilt)
    layers = np.digitize(away, [-thick / 2 + 0.1, thick / 2 + 0.1])
    table = specific_surface(layers, method="intercepts").set_index(["phase", "other"]).area
    for pair in (("phase 0", "phase 1"), ("phase 1", "phase 2")):
        assert table[pair] == pytest.approx(30**2 * np.linalg.norm(tilt), rel=0.05)
    assert table["phase 0", "phase 2"] == 0
    notes = measure(layers, metrics=["surface"]).notes
    assert any("made for that" in note for note in notes) == (thick < 3)


def test_a_circle_in_2d():
    disc = ball(61, 20)[30]
    for method, tolerance in (("gradient", 0.015), ("marching-cubes", 0.08), ("intercepts", 0.02)):
        assert area(disc, method) == pytest.approx(2 * np.pi * 20, rel=tolerance)


def test_interfaces_of_a_pair():
    layers = np.zeros((30, 8, 8), int)
    layers[10:] = 1
    layers[20:] = 2
    for method in ("gradient", "marching-cubes"):
        table = specific_surface(layers, method=method, spacing=(1, 1, 1)).set_index(["phase", "other"])
        sides = 64 if method == "gradient" else 49  # a mesh ends at the outermost voxels' centres
        assert table.area["phase 0", "phase 1"] == pytest.approx(sides, rel=0.01)
        assert table.area["phase 1", "phase 2"] == pytest.approx(sides, rel=0.01)
        assert table.area["phase 0", "phase 2"] == pytest.approx(0, abs=0.5)
        assert table.area["phase 1", ""] == pytest.approx(2 * sides, rel=0.01)


def test_background_has_no_interface():
    layers = np.zeros((30, 8, 8), int)
    layers[10:] = 1
    layers[20:] = 2
    table = specific_surface(layers, background=0).set_index(["phase", "other"])
    assert table.area["phase 1", ""] == pytest.approx(64, rel=0.01)
    assert table.specific_surface["phase 2", ""] == pytest.approx(1 / 20, rel=0.01)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations([0, 1, 2]), scale=st.floats(0.1, 10))
def test_surface_and_lines_scale_and_turn(seed, order, scale):
    labels = three_phases((9, 10, 12), 1.5, seed)
    if len(np.unique(labels)) < 3:
        return
    spacing = np.array([1.5, 1.0, 0.8])
    turned = {"labels": labels.transpose(order), "spacing": spacing[order] * scale}
    assert specific_surface(**turned).specific_surface.to_numpy() == pytest.approx(
        specific_surface(labels, spacing=spacing).specific_surface.to_numpy() / scale, rel=1e-4
    )
    assert triple_phase_boundary(**turned).density.to_numpy() == pytest.approx(
        triple_phase_boundary(labels, spacing=spacing).density.to_numpy() / scale**2, rel=1e-4
    )


def test_no_such_method():
    with pytest.raises(SettingsError, match="method"):
        specific_surface(ball(5, 2), method="faces")


# --- triple-phase boundary -------------------------------------------------------------------------------------------


def sectors(n, angles, spacing=(1, 1, 1), tilt=(0.0, 0.0)):
    z, y, x = np.meshgrid(*((np.arange(n) - n / 2 + 0.5) * step for step in spacing), indexing="ij")
    return np.digitize(np.arctan2(y - tilt[0] * z, x - tilt[1] * z) % (2 * np.pi), angles)


@pytest.mark.parametrize("angles", [(2.1, 4.2), (1.0, np.pi), (np.pi / 2, np.pi)])
def test_a_straight_line(angles):
    for spacing in ((1, 1, 1), (2, 1, 1)):
        found = triple_phase_boundary(sectors(32, angles, spacing), spacing=spacing)
        assert found.length.iloc[0] == pytest.approx(32 * spacing[0], rel=0.02)


def test_a_slanted_line():
    found = triple_phase_boundary(sectors(40, (2.1, 4.2), tilt=(0.4, 0.3)))
    assert found.length.iloc[0] == pytest.approx(40 * np.sqrt(1 + 0.4**2 + 0.3**2), rel=0.02)


def test_four_phases_and_2d():
    square = np.zeros((40, 60), int)  # a T above and a T below: two points
    square[20:, :] = 1
    square[:20, 30:] = 2
    square[20:, 45:] = 3
    found = triple_phase_boundary(square).set_index("phases").length
    assert found["phase 0 / phase 1 / phase 2"] == pytest.approx(1, rel=0.02)
    assert found["phase 1 / phase 2 / phase 3"] == pytest.approx(1, rel=0.02)
    assert found["phase 0 / phase 1 / phase 3"] == pytest.approx(0, abs=0.01)
    assert len(triple_phase_boundary(square > 0)) == 0


# --- chords ----------------------------------------------------------------------------------------------------------


def test_stripes():
    stripes = np.repeat(np.tile([0, 1], 5), np.tile([3, 5], 5))[None, :] * np.ones((4, 1), int)
    means, curves = chord_lengths(stripes, spacing=(1, 2))
    means = means.set_index(["phase", "axis"])
    assert means.mean_chord["phase 0", "x"] == pytest.approx(2 * (15 / 40) / (4.5 / 39))  # 9 ends at 39 places
    assert means.mean_chord["phase 1", "y"] == np.inf
    assert curves[curves.phase == "phase 0"].length.tolist() == [6]
    assert curves.groupby("phase").probability.sum().tolist() == [1, 1]


def test_chords_of_a_memoryless_image_are_geometric_and_cut_ones_leave_no_bias():
    image = (np.random.default_rng(0).random((2000, 30)) < 0.8).astype(int)  # chords of 5 in 30 pixels
    means, curves = chord_lengths(image)
    means = means.set_index(["phase", "axis"])
    assert means.mean_chord["phase 1", "x"] == pytest.approx(5, rel=0.03)
    curve = curves[(curves.phase == "phase 1") & (curves.axis == "x")]
    first = curve.probability.to_numpy()[:8]
    assert first == pytest.approx(0.2 * 0.8 ** np.arange(8), rel=0.08)


def test_background_cuts_chords():
    line = np.array([[1, 1, 0, 2, 2, 2, 1, 1, 1, 1, 0, 2, 1]])
    means, _ = chord_lengths(np.repeat(line, 2, axis=0), background=0)
    means = means.set_index(["phase", "axis"])
    assert means.mean_chord["phase 1", "x"] == pytest.approx((7 / 11) / (1 / 8))  # ends: 2|1 and 2|1
    assert means.chords["phase 2", "x"] == 0


# --- local thickness -------------------------------------------------------------------------------------------------


def reference(mask, spacing):
    """Every ball painted, one by one."""
    from scipy import ndimage as ndi

    radii = ndi.distance_transform_edt(mask, sampling=spacing)
    places = np.indices(mask.shape).reshape(mask.ndim, -1).T * np.array(spacing)
    out = np.zeros(mask.size)
    for place in np.argwhere(mask):
        radius = radii[tuple(place)]
        near = ((places - place * np.array(spacing)) ** 2).sum(axis=1) < radius**2 * 0.9999995
        out[near] = np.maximum(out[near], radius)
    return 2 * out.reshape(mask.shape) * mask


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.5)])
def test_local_thickness_is_that_of_the_definition(spacing, monkeypatch):
    mask = grains((14, 16, 18), 2, 0.5, 3) == 1
    wanted = reference(mask, spacing)
    found = local_thickness(mask, spacing, threads=1)
    assert found == pytest.approx(wanted, abs=1e-4)
    plane = mask[7]
    assert local_thickness(plane, spacing[1:]) == pytest.approx(reference(plane, spacing[1:]), abs=1e-4)
    monkeypatch.setattr("fijibridge.metrology.sizes._VISITS", 0)
    together = local_thickness(mask, spacing, threads=1)
    assert (together <= wanted * (1 + 1e-5)).all()
    assert together.mean() == pytest.approx(wanted.mean(), rel=0.04)


def test_a_plate_and_a_sphere():
    plate = np.zeros((30, 12, 12), bool)
    plate[10:18] = True
    assert np.unique(local_thickness(plate, 2.5)).tolist() == [0, 20]
    found = local_thickness(ball(31, 10))
    assert found.max() == pytest.approx(20, abs=1)
    assert local_thickness(np.ones((3, 4))).min() == np.inf


def test_sizes_of_phases():
    layers = np.zeros((40, 10, 10), int)
    layers[4:10] = 1
    layers[20:32] = 1
    summary, curve = phase_sizes(layers, spacing=3, threads=1)
    row = summary.set_index("phase").loc["phase 1"]
    assert (row["d10"], row["d90"], row["mean"]) == (18, 36, pytest.approx((6 * 18 + 12 * 36) / 18))
    curve = curve[curve.phase == "phase 1"].set_index("diameter")
    assert curve.cumulative[18] == pytest.approx(1 / 3)
    assert curve.fraction.sum() == pytest.approx(1)
    with pytest.raises(ImageError):
        local_thickness(np.ones(4))
