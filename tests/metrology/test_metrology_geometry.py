"""Surfaces, triple-phase boundary, chords and local thickness, against bodies with known numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import ball, ball_centres, balls_at, grains, three_phases

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.metrology import (
    chord_lengths,
    local_thickness,
    measure,
    phase_sizes,
    specific_surface,
    triple_phase_boundary,
)
from fijibridge.metrology.intercepts import _crossings, _steps, step_weights
from fijibridge.metrology.meshes import mesh_areas
from fijibridge.phases import as_phases


def area(labels, method="intercepts", **about):
    table = specific_surface(labels, method=method, **about)
    return float(table.area[(table.phase == "phase 1") & (table.other == "")].iloc[0])


# --- surface ---------------------------------------------------------------------------------------------------------


def sphere(radius, rng, spacing=(1.0, 1.0, 1.0)):
    """A ball around a random place, some voxels from the faces."""
    half = [int(radius / step) + 6 for step in spacing]
    z, y, x = ((np.arange(2 * n + 1) - n + rng.random() - 0.5) * step for n, step in zip(half, spacing, strict=True))
    return (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= radius**2).astype(int)


@pytest.mark.parametrize("radius", [3, 5, 10])
def test_spheres(radius):
    rng = np.random.default_rng(radius)
    found = np.mean([area(sphere(radius, rng)) for _ in range(30)])
    assert found == pytest.approx(4 * np.pi * radius**2, rel=0.03)


def test_spheres_of_flat_voxels():
    rng = np.random.default_rng(0)
    spacing = (2.0, 1.0, 0.5)
    for method, tolerance in (("intercepts", 0.03), ("marching-cubes", 0.18)):
        found = np.mean([area(sphere(12, rng, spacing), method, spacing=spacing) for _ in range(8)])
        assert found == pytest.approx(4 * np.pi * 12**2, rel=tolerance)


@pytest.mark.parametrize(("radius", "share"), [(3, 0.6), (3, 0.2), (6, 0.4)])
def test_overlapping_spheres(radius, share):
    # the law of what is exposed, 4 pi R^2 N (1 - share), at the number of spheres there are
    errors, size = [], 96
    for seed in range(4):
        density = -np.log(1 - share) / (4 / 3 * np.pi * radius**3)
        centres = ball_centres(size, density, seed)
        number = len(centres) / size**3
        law = number * 4 * np.pi * radius**2 * np.exp(-number * 4 / 3 * np.pi * radius**3)
        errors.append(area(balls_at(size, radius, centres)) / size**3 / law - 1)
    assert np.mean(errors) == pytest.approx(0, abs=0.03)


def test_a_cube_by_marching_cubes():
    cube = np.zeros((20, 20, 20), np.uint8)
    cube[5:15, 5:15, 5:15] = 1
    table = specific_surface(cube, method="marching-cubes")
    assert table.specific_surface.iloc[0] == pytest.approx(0.0705, abs=5e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.5)])
def test_cells_add_up_to_the_mesh(spacing):
    from skimage import measure

    noise = np.random.default_rng(1).random((9, 10, 11)) < 0.5
    inside = np.pad(noise, 2)  # nothing in the cells at the faces, which weigh more
    corners, faces, *_ = measure.marching_cubes(inside.astype(np.float32), 0.5, spacing=spacing)
    found = mesh_areas(as_phases(inside, spacing=spacing), [(1,)])
    assert found[1,] == pytest.approx(measure.mesh_surface_area(corners, faces), rel=1e-5)


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


@settings(max_examples=30, deadline=None)
@given(
    ndim=st.sampled_from([2, 3]),
    spacing=st.tuples(*[st.floats(0.2, 5)] * 3),
    direction=st.tuples(*[st.floats(-1, 1)] * 3),
)
def test_weights_are_those_of_planes(ndim, spacing, direction):
    flat = np.zeros((20, 20, 20) if ndim == 3 else (20, 20), int)
    vectors = _steps(as_phases(flat, spacing=spacing[3 - ndim :])) * np.array([*spacing])
    weights, lengths = step_weights(vectors, ndim), np.linalg.norm(vectors, axis=1)
    assert (weights * lengths).sum() == pytest.approx(0, abs=1e-6 * lengths.max())  # no term in the squared length
    normal = np.array(direction) * ([1, 1, 1] if ndim == 3 else [0, 1, 1])
    if np.linalg.norm(normal) < 0.1:
        return
    crossed = np.abs(vectors @ normal) / np.linalg.norm(normal) / lengths
    assert weights @ crossed == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("thick", [2, 3, 5])
def test_a_thin_layer_between_two_phases(thick):
    rng = np.random.default_rng(thick)
    z, y, x = np.indices((30, 30, 30)) - 14.5
    tilt = np.array([1, *rng.uniform(0.2, 0.5, 2)])
    away = (tilt[0] * z + tilt[1] * y + tilt[2] * x) / np.linalg.norm(tilt)
    layers = np.digitize(away, [-thick / 2 + 0.1, thick / 2 + 0.1])
    table = specific_surface(layers).set_index(["phase", "other"]).area
    exact = 30**2 * np.linalg.norm(tilt)
    for pair in (("phase 0", "phase 1"), ("phase 1", "phase 2"), ("phase 0", ""), ("phase 2", "")):
        assert table[pair] == pytest.approx(exact, rel=0.05)
    assert table["phase 0", "phase 2"] == pytest.approx(0, abs=0.02 * exact)


def test_a_note_says_how_far_off_a_surface_can_be():
    rng = np.random.default_rng(0)
    notes = {
        name: measure(labels, metrics=["surface"]).notes
        for name, labels in {
            "one": np.where(np.indices((24, 24, 24))[0] % 8 < 1, 1, 0),
            "four": np.where(np.indices((24, 24, 24)).sum(axis=0) % 21 < 7, 1, 0),
            "specks": (rng.random((24, 24, 24)) < 0.02).astype(int),
        }.items()
    }
    assert notes["four"] == ()
    for name in ("one", "specks"):
        assert any("about one voxel thick" in note for note in notes[name])
    assert any(
        "8 %" in note for note in measure(ball(15, 5), metrics=["surface"], surface_method="marching-cubes").notes
    )


def test_a_circle_in_2d():
    disc = ball(61, 20)[30]
    for method, tolerance in (("marching-cubes", 0.08), ("intercepts", 0.055)):
        assert area(disc, method) == pytest.approx(2 * np.pi * 20, rel=tolerance)
    rng = np.random.default_rng(0)
    y, x = np.indices((60, 60))
    lengths = [area(((y - a) ** 2 + (x - b) ** 2 <= 20**2).astype(int)) for a, b in rng.uniform(28, 32, (20, 2))]
    assert np.mean(lengths) == pytest.approx(2 * np.pi * 20, rel=0.01)


def test_interfaces_of_a_pair():
    layers = np.zeros((30, 8, 8), int)
    layers[10:] = 1
    layers[20:] = 2
    for method, tolerance in (("intercepts", 0.02), ("marching-cubes", 1e-6)):
        table = specific_surface(layers, method=method, spacing=(1, 1, 1)).set_index(["phase", "other"])
        assert table.area["phase 0", "phase 1"] == pytest.approx(64, rel=tolerance)
        assert table.area["phase 1", "phase 2"] == pytest.approx(64, rel=tolerance)
        assert table.area["phase 0", "phase 2"] == pytest.approx(0, abs=0.5)
        assert table.area["phase 1", ""] == pytest.approx(2 * 64, rel=tolerance)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    side=st.integers(3, 7),
    ndim=st.sampled_from([2, 3]),
    spacing=st.sampled_from([(1, 1, 1), (3, 1, 1)]),
)
def test_parts_have_the_surface_of_the_whole(seed, side, ndim, spacing):
    # every part of a periodic image, shifted by each voxel, once: on average exactly what the whole has of pairs
    period = 5
    labels = np.random.default_rng(seed).integers(0, 3, (period,) * ndim)
    labels.flat[:3] = 0, 1, 2
    whole = as_phases(np.tile(labels, (3,) * ndim), spacing=spacing[3 - ndim :])
    steps = _steps(whole)
    steps = steps[(np.abs(steps) < side)[:, 3 - ndim :].all(axis=1)]
    mean = np.zeros((len(steps), 3, 3))
    for corner in np.ndindex(*labels.shape):
        part = whole.block((*(0,) * (3 - ndim), *corner), (*(1,) * (3 - ndim), *(side,) * ndim))
        crossed, number = _crossings(part, steps)
        mean += (crossed + crossed.transpose(0, 2, 1)) / number[:, None, None] / labels.size
    for step, found in zip(steps, mean, strict=True):
        moved = np.roll(labels, [-d for d in step[3 - ndim :]], tuple(range(ndim)))
        exact = np.zeros((3, 3))
        np.add.at(exact, (labels, moved), 2 / labels.size)
        exact += exact.T
        np.fill_diagonal(exact, 0)
        np.fill_diagonal(found, 0)
        np.testing.assert_allclose(found, exact, atol=1e-9)


@pytest.mark.parametrize("method", ["intercepts", "marching-cubes"])
@pytest.mark.parametrize("side", [16, 32])
def test_parts_of_a_volume_have_its_surface(method, side):
    volume = grains((64, 64, 64), 2, 0.4, 1)
    parts = [
        specific_surface(volume[z : z + side, y : y + side, x : x + side], method=method).specific_surface.iloc[0]
        for z, y, x in product(range(0, 64, side), repeat=3)
    ]
    assert np.mean(parts) == pytest.approx(specific_surface(volume, method=method).specific_surface.iloc[0], rel=0.01)


def test_background_around_an_image_changes_nothing():
    labels = three_phases((9, 10, 12), 1.5, 3) + 1
    alone = specific_surface(labels)
    around = specific_surface(np.pad(labels, 3), background=0)
    assert around.area.to_numpy() == pytest.approx(alone.area.to_numpy(), rel=1e-12)


def test_background_has_no_interface():
    layers = np.zeros((30, 8, 8), int)
    layers[10:] = 1
    layers[20:] = 2
    table = specific_surface(layers, background=0).set_index(["phase", "other"])
    assert table.area["phase 1", ""] == pytest.approx(64, rel=0.03)
    assert table.specific_surface["phase 2", ""] == pytest.approx(1 / 20, rel=0.03)


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


def test_parts_have_the_lines_of_the_whole():
    volume = three_phases((72, 72, 72), 2.5, 4)
    parts = [
        triple_phase_boundary(volume[z : z + 24, y : y + 24, x : x + 24]).density.iloc[0]
        for z, y, x in product(range(0, 72, 24), repeat=3)
    ]
    assert np.mean(parts) == pytest.approx(triple_phase_boundary(volume).density.iloc[0], rel=0.04)


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
