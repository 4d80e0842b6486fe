"""Synthetic structures: what was asked for is what is counted and measured in them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fijibridge.core.errors import SettingsError
from fijibridge.metrology import chord_lengths, local_thickness
from fijibridge.synthesis.structure import PHASES, Structure, make_structure
from fijibridge.synthesis.structure_settings import StructureSettings

ISE, CAM, PORE, CARBON, BINDER = range(1, 6)
SMALL = {"shape": (24, 96, 96), "voxel_size": 0.1}
PLAIN = StructureSettings(carbon_fraction=0, cam_cracks=0, porosity=0, ise_grain_size=0.8)
RICH = StructureSettings(
    cam_diameter=2.5, cam_grain_size=0.6, cam_cracks=0.5, binder_fraction=0.02, carbon_fraction=0.03, porosity=0.1
)


@pytest.fixture(scope="module")
def rich() -> Structure:
    return make_structure(RICH, seed=3, **SMALL)


def to_cam(structure: Structure) -> np.ndarray:
    """Distance of each voxel to the CAM, micrometres."""
    return ndimage.distance_transform_edt(structure.labels != CAM) * structure.voxel_size


# --- settings --------------------------------------------------------------------------------------------------------


def test_the_rest_is_solid_electrolyte():
    assert StructureSettings(cam_fraction=0.4, porosity=0.1, carbon_fraction=0.03).ise_fraction == pytest.approx(0.47)
    assert tuple(RICH.fractions) == PHASES
    assert sum(RICH.fractions.values()) == pytest.approx(1)


def test_fractions_that_leave_no_electrolyte():
    with pytest.raises(SettingsError, match=r"CAM 0.6 \+ pores 0.3 \+ carbon 0.1 \+ binder 0.1 = 1.1"):
        StructureSettings(cam_fraction=0.6, porosity=0.3, carbon_fraction=0.1, binder_fraction=0.1)
    with pytest.raises(SettingsError, match="leaves 0 for"):
        StructureSettings(cam_fraction=0.7, porosity=0.2, carbon_fraction=0.1)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"cam_fraction": 0.9}, "cam_fraction"),
        ({"cam_diameter_spread": 0.8}, "cam_diameter_spread"),
        ({"interface_pores": 0.7, "crack_pores": 0.4}, "interface_pores 0.7"),
        ({"fibre_curvature": "much"}, "fibre_curvature"),
    ],
)
def test_settings_out_of_range(values, named):
    with pytest.raises(SettingsError, match=named):
        StructureSettings(**values)


def test_particles_that_cannot_be_packed_in_so_few_voxels():
    wanted = StructureSettings(cam_fraction=0.65, cam_diameter=0.5, cam_cracks=1.0, porosity=0.25, pore_size=0.4)
    with pytest.raises(SettingsError, match=r"CAM particles pack to 0\.\d+ of the volume, 0\.65 is wanted"):
        make_structure(wanted, shape=(16, 64, 64), voxel_size=0.1)


def test_importing_the_settings_loads_nothing_heavy():
    code = (
        "import sys, fijibridge.synthesis.structure, fijibridge.synthesis.composition; "
        "print([m for m in ('numba', 'scipy', 'torch', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- fractions, determinism, consistency -----------------------------------------------------------------------------


# without shrinking, which would take minutes
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.sampled_from([0.5, 1.0, 3.0, 12.0]),
    st.floats(0.25, 0.65),
    st.floats(0.03, 0.25),
    st.floats(0, 1),
    st.floats(0, 0.03),
    st.floats(0, 0.03),
    st.integers(0, 1000),
)
@pytest.mark.slow
def test_fractions_are_met(diameter, cam, porosity, share, carbon, binder, seed):
    wanted = StructureSettings(
        cam_fraction=cam,
        porosity=porosity,
        cam_diameter=diameter,
        interface_pores=share,
        crack_pores=(1 - share) / 2,
        carbon_fraction=carbon,
        binder_fraction=binder,
        cam_cracks=share,
        pore_size=0.4,
    )
    voxel = min(0.1, diameter / 10)  # films between particles of five voxels leave too little room for them
    found = make_structure(wanted, shape=(16, 64, 64), voxel_size=voxel, seed=seed).fractions
    for name, fraction in wanted.fractions.items():
        assert found[name] == pytest.approx(fraction, abs=0.005), name


def test_the_same_seed_gives_the_same_bits(rich):
    for threads in (1, 3):
        again = make_structure(RICH, seed=3, threads=threads, **SMALL)
        for name in ("labels", "grains", "particles"):
            np.testing.assert_array_equal(getattr(again, name), getattr(rich, name))
    other = make_structure(RICH, seed=4, **SMALL)
    assert np.mean(other.labels != rich.labels) > 0.3


def test_labels_grains_and_particles_agree(rich):
    assert (rich.labels.dtype, rich.grains.dtype, rich.particles.dtype) == (np.uint8, np.uint16, np.uint16)
    assert set(np.unique(rich.labels)) == {ISE, CAM, PORE, CARBON, BINDER}
    np.testing.assert_array_equal(rich.particles > 0, rich.labels == CAM)
    np.testing.assert_array_equal(rich.grains > 0, (rich.labels == CAM) | (rich.labels == ISE))
    inside = np.unique(rich.grains[rich.labels == CAM])
    assert not np.isin(inside, rich.grains[rich.labels == ISE]).any()
    pairs = np.unique(np.stack([rich.grains, rich.particles])[:, rich.labels == CAM], axis=1)
    assert pairs.shape[1] == len(inside)  # a grain lies in one particle
    assert len(inside) > 5 * rich.particles.max()


def test_single_crystals():
    found = make_structure(PLAIN, seed=1, **SMALL)
    pairs = np.unique(np.stack([found.grains, found.particles])[:, found.labels == CAM], axis=1)
    assert pairs.shape[1] == found.particles.max()


# --- particles -------------------------------------------------------------------------------------------------------


def whole_particles(structure: Structure) -> np.ndarray:
    """Diameters of the balls of equal volume of particles that no face of the volume cuts, micrometres."""
    numbers = structure.particles
    cut = np.unique(np.concatenate([np.take(numbers, [0, -1], axis).ravel() for axis in range(3)]))
    volumes = np.bincount(numbers.ravel())
    volumes[cut] = 0
    volumes[0] = 0
    return (6 / np.pi * volumes[volumes > 0]) ** (1 / 3) * structure.voxel_size


@pytest.mark.parametrize(
    ("fraction", "angularity", "tolerance"), [(0.3, 0.0, 0.05), (0.5, 0.0, 0.06), (0.4, 1.0, 0.12)]
)
def test_particles_have_the_size_asked_for(fraction, angularity, tolerance):
    asked = replace(PLAIN, cam_fraction=fraction, cam_diameter=1.2, cam_diameter_spread=1.0, cam_angularity=angularity)
    found = whole_particles(make_structure(asked, shape=(64, 96, 96), voxel_size=0.06, seed=2))
    assert len(found) > 12
    assert np.median(found) == pytest.approx(1.2, rel=tolerance)


def test_particles_spread_as_asked_for():
    asked = replace(PLAIN, cam_fraction=0.35, cam_diameter=0.8, cam_diameter_spread=1.3, cam_aspect_ratio=1.0)
    found = whole_particles(make_structure(asked, shape=(72, 96, 96), voxel_size=0.08, seed=2))
    # the largest and smallest twentieth of a normal distribution end at 2 standard deviations here
    assert np.exp(np.std(np.log(found))) == pytest.approx(1.3, abs=0.06)


def neighbours_across(structure: Structure) -> float:
    """Share of the particles' faces at which another particle lies."""
    both = all_ = 0
    for axis in range(3):
        a, b = (np.moveaxis(structure.particles, axis, 0)[cut] for cut in (slice(1, None), slice(None, -1)))
        edge = a != b
        both += np.count_nonzero(edge & (a > 0) & (b > 0))
        all_ += np.count_nonzero(edge)
    return both / all_


def test_films_part_the_particles_that_do_not_touch():
    asked = replace(PLAIN, cam_fraction=0.6, cam_diameter=1.2)
    none, some, all_ = (
        neighbours_across(make_structure(replace(asked, cam_contacts=share), seed=2, **SMALL)) for share in (0, 0.3, 1)
    )
    assert none < 0.01 < some < 0.8 * all_
    assert all_ < 0.4  # still particles, not one body


def test_an_aspect_ratio_shows():
    def elongation(ratio):
        asked = replace(
            PLAIN, cam_fraction=0.25, cam_diameter=1.2, cam_diameter_spread=1, cam_aspect_ratio=ratio,
            cam_angularity=0, cam_roughness=0,
        )  # fmt: skip
        found = make_structure(asked, shape=(48, 80, 80), voxel_size=0.08, seed=5)
        ratios = []
        for number in np.unique(found.particles)[1:]:
            places = np.argwhere(found.particles == number)
            if places.min() > 0 and (places.max(0) < np.array(found.labels.shape) - 1).all():
                spread = np.linalg.eigvalsh(np.cov(places.T))
                ratios.append(np.sqrt(spread[2] / spread[0]))
        return np.median(ratios)

    assert elongation(1.0) == pytest.approx(1.0, abs=0.08)
    assert elongation(2.0) == pytest.approx(2.0, abs=0.3)


def test_a_rough_particle_has_more_surface():
    def faces(roughness):
        asked = replace(PLAIN, cam_fraction=0.3, cam_diameter=3, cam_roughness=roughness, cam_angularity=0)
        particles = make_structure(asked, shape=(48, 96, 96), voxel_size=0.08, seed=5).labels == CAM
        smooth = ndimage.gaussian_filter(particles.astype(np.float32), 1)
        return sum(np.abs(g).sum() for g in np.gradient(smooth))

    assert faces(0.15) > 1.05 * faces(0.0)


@pytest.mark.parametrize("grain", [0.0, 0.5])
def test_cracks_run_through_particles(grain):
    asked = replace(PLAIN, porosity=0.06, interface_pores=0, crack_pores=0, cam_diameter=3, cam_grain_size=grain)
    whole, cracked = (make_structure(replace(asked, cam_cracks=share), seed=2, **SMALL) for share in (0, 1))

    def inner(structure):  # pores with CAM on both sides within a third of a micrometre
        closed = ndimage.binary_closing(structure.labels == CAM, iterations=2)
        return np.count_nonzero(closed & (structure.labels == PORE)) / structure.labels.size

    assert inner(cracked) > 0.004 > 2 * inner(whole)
    assert cracked.fractions["CAM"] == pytest.approx(0.45, abs=0.001)


# --- pores, fibres, binder -------------------------------------------------------------------------------------------


def test_gaps_lie_at_the_interface():
    asked = replace(PLAIN, porosity=0.06, cam_diameter=3, crack_pores=0, pore_size=0.5)
    gaps, voids = (make_structure(replace(asked, interface_pores=share), seed=2, **SMALL) for share in (1, 0))
    near = [np.mean(to_cam(s)[s.labels == PORE] < 0.35) for s in (gaps, voids)]
    assert near[0] > 0.85 > 0.6 > near[1]
    # along part of the surface, not all around: the rest of the shell is electrolyte
    shell = (to_cam(gaps) > 0) & (to_cam(gaps) < 0.15)
    assert 0.1 < np.mean(gaps.labels[shell] == PORE) < 0.6


def test_cracks_are_thin_and_wide():
    asked = replace(PLAIN, cam_fraction=0.2, porosity=0.05, interface_pores=0, pore_size=0.8)
    sheets, voids = (make_structure(replace(asked, crack_pores=share), seed=2, **SMALL) for share in (1, 0))
    thick = [np.median(local_thickness(s.labels == PORE)[s.labels == PORE]) for s in (sheets, voids)]
    assert thick[0] < 0.6 * thick[1]
    largest = [np.bincount(ndimage.label(s.labels == PORE)[0].ravel())[1:].max() for s in (sheets, voids)]
    assert largest[0] > largest[1]


def test_voids_grow_with_the_pore_size():
    asked = replace(PLAIN, porosity=0.1, interface_pores=0, crack_pores=0, cam_diameter=6)
    found = []
    for size in (0.4, 0.8):
        structure = make_structure(replace(asked, pore_size=size), seed=2, **SMALL)
        table = chord_lengths(structure.labels == PORE, spacing=0.1)[0]
        found.append(float(table[table.phase == "phase 1"].mean_chord.mean()))
    assert found[1] == pytest.approx(2 * found[0], rel=0.3)
    assert 0.4 < found[0] / 0.4 < 1.6


def test_fibres_lead_around_the_particles():
    asked = replace(PLAIN, carbon_fraction=0.03, cam_diameter=3, fibre_diameter=0.3, fibre_length=6)
    shape = {"shape": (48, 96, 96), "voxel_size": 0.075}
    found, without = (make_structure(replace(asked, carbon_fraction=share), seed=2, **shape) for share in (0.03, 0))
    np.testing.assert_array_equal(found.labels == CAM, without.labels == CAM)
    carbon = found.labels == CARBON
    thick = local_thickness(carbon, 0.075)[carbon]
    assert np.median(thick) == pytest.approx(0.3, abs=0.08)
    pieces = ndimage.label(carbon, np.ones((3, 3, 3)))[0]
    longest = max(np.linalg.norm([s.stop - s.start for s in box]) for box in ndimage.find_objects(pieces))
    assert longest * 0.075 > 3


def test_binder_gathers_at_the_particles():
    found = make_structure(replace(PLAIN, binder_fraction=0.03, cam_diameter=3), seed=2, **SMALL)
    away = to_cam(found)
    assert np.median(away[found.labels == BINDER]) < 0.6 * np.median(away[found.labels == ISE])


# --- the parts -------------------------------------------------------------------------------------------------------


def test_noise_has_unit_variance_and_no_direction():
    from fijibridge.synthesis.noise import lattice, noise_row

    step, n = 4.3, 90
    values = lattice(np.random.default_rng(0), (n, n, n), step)
    field, line = np.empty((n, n, n), np.float32), np.empty(n + 8)
    for z in range(n):
        for y in range(n):
            noise_row(values, step, z, y, 0, n, line, field[z, y])
    assert field.std() == pytest.approx(1, abs=0.05)
    assert field.mean() == pytest.approx(0, abs=0.1)
    part = np.empty(n)
    noise_row(values, step, 50, 60, 37, 80, line, part)
    np.testing.assert_allclose(part[37:80], field[50, 60, 37:80], atol=1e-6)
    along = [np.mean(field * np.roll(field, 4, axis)) for axis in range(3)]
    across = np.mean(field * np.roll(field, (3, 3), (1, 2)))  # 4.2 voxels away, along a diagonal
    assert np.ptp(along) < 0.06
    assert across == pytest.approx(np.mean(along), abs=0.06)


@pytest.mark.parametrize("size", [3.5, 6.0, 14.0])
def test_grains_are_the_cells_of_a_laguerre_tessellation(size):
    from fijibridge.core.parallel import Workers
    from fijibridge.synthesis.grains import make_grains, seeds

    shape = (12, 26, 30)
    with Workers(1) as run:
        found = make_grains(np.ones(shape, np.uint8), np.zeros(shape, np.uint16), size, 0, 7, run)
    points, weights = seeds(np.random.default_rng([7, 5]), shape, size)
    places = np.stack(np.indices(shape), -1).reshape(-1, 1, 3) + 0.5
    power = ((places - points.reshape(1, -1, 3)) ** 2).sum(2) - weights.ravel()
    wanted = power.argmin(1)
    # one number a cell and one cell a number, but where the nearest seed is more than one lattice cell away
    pairs, counts = np.unique(np.stack([found.ravel(), wanted]), axis=1, return_counts=True)
    agreed = sum(counts[pairs[0] == number].max() for number in np.unique(pairs[0]))
    assert agreed / found.size > 0.985
    assert len(np.unique(found)) == pytest.approx(len(np.unique(wanted)), rel=0.03)


def test_packed_particles_hardly_overlap():
    from fijibridge.synthesis.packing import pack

    asked = replace(PLAIN, cam_fraction=0.55, cam_diameter=2, cam_diameter_spread=1.4, cam_aspect_ratio=1.0)
    found = pack(asked, (6.0, 12.0, 12.0), 0)
    apart = np.linalg.norm(found.centres[:, None] - found.centres, axis=2) / (found.radii[:, None] + found.radii)
    nearest = apart[np.triu_indices(len(apart), 1)]
    assert nearest.min() > 0.8
    assert np.mean(np.sort(nearest)[: len(apart)]) > 0.95
    outside = (found.centres < 0).any(1) | (found.centres > [6, 12, 12]).any(1)
    assert 0.2 < outside.mean() < 0.9  # cut out of an endless material


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"carbon_fraction": 0.02, "fibre_diameter": 0.1}, "fibre_diameter = 0.1 um"),
        ({"cam_diameter": 0.4}, "cam_diameter = 0.4 um"),
        ({"porosity": 0.1, "pore_size": 0.1}, "pore_size = 0.1 um"),
        ({"cam_grain_size": 0.2}, "cam_grain_size = 0.2 um"),
    ],
)
def test_a_voxel_too_coarse(values, named):
    with pytest.raises(SettingsError, match=f"voxel of 0.1 um is too coarse for {named}"):
        make_structure(replace(PLAIN, **values), **SMALL)


def test_a_fraction_that_cannot_be_packed():
    asked = replace(
        PLAIN, cam_fraction=0.75, cam_diameter=0.5, cam_aspect_ratio=3.0, cam_roughness=0.2, cam_contacts=0.0
    )
    with pytest.raises(SettingsError, match=r"pack to 0\.[67]\d+ of the volume, 0.75 is wanted"):
        make_structure(asked, shape=(24, 64, 64), voxel_size=0.05)


def test_carbon_that_finds_no_room():
    from fijibridge.synthesis.fibres import add_fibres

    asked = StructureSettings(fibre_diameter=0.3, carbon_fraction=0.2)
    labels = np.ones((16, 32, 32), np.uint8)
    covered = np.full(labels.shape, -1, np.float32)  # all of it inside the CAM
    with pytest.raises(SettingsError, match=r"carbon fibres fill 0\.\d+ of the volume, 0.2 is wanted"):
        add_fibres(labels, covered, asked, 0.1, 0, int(0.4 * labels.size))


@pytest.mark.parametrize(
    "wrong",
    [{"shape": (4, 64, 64)}, {"shape": (64, 64)}, {"voxel_size": 0.0}, {"voxel_size": float("nan")}, {"seed": -1}],
)
def test_malformed_arguments(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        make_structure(PLAIN, **(SMALL | wrong))


def test_more_particles_than_can_be_packed():
    with pytest.raises(SettingsError, match=r"CAM particles of 0\.5 um"):
        make_structure(replace(PLAIN, cam_diameter=0.5), shape=(512, 1024, 1024), voxel_size=0.1)
