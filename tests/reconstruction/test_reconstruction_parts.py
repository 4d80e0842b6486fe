"""The parts of a reconstruction: statistics of slices, losses, contacts, the cut, blocks, exemplars."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import ImageError, LabelsError, SettingsError
from fijibridge.metrology.basins import basins
from fijibridge.metrology.chords import chord_lengths
from fijibridge.metrology.correlation import two_point_correlation
from fijibridge.phases.phases import as_phases
from fijibridge.reconstruction.blocks import OVERLAP, blocks_of, largest_block, memory_needed
from fijibridge.reconstruction.contacts import contact_notes, contact_traces, depths, particle_density, surplus
from fijibridge.reconstruction.cut import cut, single, whole_counts, without_singles
from fijibridge.reconstruction.exemplars import check_exemplars, correlation_length
from fijibridge.reconstruction.patches import PatchLoss
from fijibridge.reconstruction.settings import ReconstructionSettings
from fijibridge.reconstruction.slices import across, one_hot, views
from fijibridge.reconstruction.statistics import (
    StatisticsLoss,
    chords,
    correlations,
    erosions,
    interfaces,
    openings,
    straight_boundaries,
)


def soft(index: np.ndarray, phases: int) -> torch.Tensor:
    return one_hot(torch.from_numpy(index.astype(np.int64))[None], phases)


def disks(size: int, centres: list[tuple[float, float]], radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.any([(y - a) ** 2 + (x - b) ** 2 <= radius**2 for a, b in centres], axis=0)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Two particles that touch, two that don't, and a thin layer: phases 0, 1, 2."""
    particles = disks(64, [(16, 14), (16, 27), (48, 14), (48, 44)], 7.5)
    index = particles.astype(np.uint8)
    index[30:33] = 2
    return index


# --- statistics ------------------------------------------------------------------------------------------------------


def test_correlations_are_those_of_metrology(image):
    found = correlations(soft(image, 3), 20, periodic=False)
    curves = two_point_correlation(as_phases(image))
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    for place, (i, j) in enumerate(pairs):
        for axis, values in (("y", found[place, :, 20]), ("x", found[place, 0, 20:])):
            rows = curves[(curves.phase == f"phase {i}") & (curves.other == f"phase {j}") & (curves.direction == axis)]
            np.testing.assert_allclose(values.numpy(), rows.probability.to_numpy()[:21], atol=2e-6)


def test_correlations_of_a_periodic_image(image):
    found = correlations(soft(image, 3), 10, periodic=True)
    inside = image == 1
    wanted = [(inside & np.roll(inside, -lag, axis=1)).mean() for lag in range(11)]
    np.testing.assert_allclose(found[3, 0, 10:].numpy(), wanted, atol=1e-6)


def test_interfaces_count_steps_between_phases(image):
    found = interfaces(soft(image, 3))
    below, above = image[1:], image[:-1]
    wanted = ((below == 0) & (above == 2)).mean() + ((below == 2) & (above == 0)).mean()
    assert float(found[1, 0, 2]) == pytest.approx(wanted, rel=1e-5)
    assert float(found[0, 0, 2]) == 0  # no interface along the layer
    assert float(found[:, 1, 1].abs().max()) == 0


def test_straight_boundaries_are_counted_by_their_length():
    rectangle = np.zeros((32, 32), np.uint8)
    rectangle[8:20, 8:14] = 1  # two sides of 12 pixels along the columns, two of 6 along the rows
    found = straight_boundaries(soft(rectangle, 2)).numpy()
    for side, shares in ((12, found[1]), (6, found[3])):
        for length, share in zip((1, 2, 3, 4, 6, 8, 12, 16), shares, strict=True):
            assert share == pytest.approx(max(0, side - length + 1) / (31 * (32 - length + 1)), abs=2e-6)


def test_openings_are_those_of_morphology(image):
    from scipy import ndimage

    areas, eulers = openings(soft(image, 3))
    for place, side in enumerate((2, 3, 4, 5, 7, 9, 11)):
        opened = ndimage.binary_opening(image == 1, np.ones((side, side)))
        inside = slice(side - 1, 64 - side + 1)  # where all squares lie in the image
        assert float(areas[1, place]) == pytest.approx(opened[inside, inside].mean(), abs=1e-3)
    assert float(areas[2, 1]) > 0.9 * float(areas[2, 0]) > 0  # the layer is three pixels thick
    assert float(areas[2, 2]) < 1e-3
    assert eulers.shape == areas.shape


def test_chords_are_the_lineal_path(image):
    found = chords(soft(image, 3))[1]
    runs = image == 1
    wanted = []
    for length in (2, 3, 4, 6, 8):
        along = [np.lib.stride_tricks.sliding_window_view(runs, length, axis=axis).all(-1).mean() for axis in (0, 1)]
        wanted.append(np.mean(along))
    np.testing.assert_allclose(found[:5].numpy(), wanted, atol=1e-5)
    # and the chord lengths' own mean follows from it
    means, _ = chord_lengths(as_phases(image))
    assert means[means.phase == "phase 1"].mean_chord.max() < 24


def test_euler_numbers_tell_joined_particles_from_single_ones():
    apart = disks(64, [(20, 20), (20, 44), (44, 32)], 7.5)
    joined = disks(64, [(20, 20), (20, 34), (44, 32)], 7.5)
    # densities of an image that goes on beyond its border: only differences are whole numbers
    found = [erosions(soft(index, 2))[1][1] for index in (apart, joined)]
    difference = (found[0] - found[1]).numpy() * [(64 - side + 1) ** 2 for side in (1, 2, 3, 4, 5, 7, 9, 11)]
    assert round(difference[0]) == 1  # the joined ones are one less,
    assert round(difference[5]) == 0  # until squares of 7 x 7 pixels have parted them


@pytest.mark.parametrize("periodic", [False, True])
def test_the_exemplar_itself_costs_nothing(image, periodic):
    wide = np.tile(image, (1, 2)) if periodic else image
    exemplar = soft(wide, 3)
    terms = StatisticsLoss([exemplar], wide.shape, ReconstructionSettings(periodic=periodic))(exemplar)
    assert set(terms) == {"correlation", "interface", "straight", "chord", "eroded", "opened"}
    if not periodic:
        assert all(value.item() < 1e-8 for value in terms.values())
    loss = PatchLoss([exemplar])(exemplar, torch.Generator().manual_seed(0))
    assert float(loss) < 1e-8


def test_a_term_without_weight_is_left_out(image):
    exemplar = soft(image, 3)
    settings = ReconstructionSettings(chord_weight=0, shape_weight=0, fraction_weight=0)
    terms = StatisticsLoss([exemplar], image.shape, settings)
    assert set(terms(exemplar)) == {"correlation", "interface", "straight"}
    assert float(terms.fractions(torch.rand(3, 4, 4, 4), torch.tensor([1.0, 0, 0]))) == 0


def test_every_term_has_a_gradient_that_leads_to_the_exemplar(image):
    exemplar = soft(image, 3)
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    logits = (2 * exemplar + noise).requires_grad_(True)
    terms = StatisticsLoss([exemplar], image.shape, ReconstructionSettings())
    optimiser = torch.optim.Adam([logits], lr=0.2)
    first = None
    for _ in range(40):
        found = terms(torch.softmax(logits, 1))
        first = first or {name: value.item() for name, value in found.items()}
        optimiser.zero_grad()
        sum(found.values()).backward()
        optimiser.step()
    assert all(value.item() < 0.5 * first[name] for name, value in found.items())


def test_patches_see_what_fractions_do_not():
    rng = np.random.default_rng(0)
    stripes = np.tile(np.repeat([0, 1], 4), (64, 8)).astype(np.uint8)
    shuffled = rng.permutation(stripes.ravel()).reshape(stripes.shape)
    loss = PatchLoss([soft(stripes, 2)])
    shifted = np.roll(stripes, 8, axis=1)
    generator = torch.Generator().manual_seed(0)
    assert float(loss(soft(shifted, 2), generator)) < 1e-6
    assert float(loss(soft(shuffled, 2), generator)) > 1


def test_a_large_exemplar_is_looked_at_in_parts():
    """Each step another part, so that the time of a step does not grow with the exemplar; each tells the same."""
    rng = np.random.default_rng(0)
    blobs = np.kron(rng.integers(0, 2, (100, 100), np.uint8), np.ones((4, 4), np.uint8))
    loss = PatchLoss([soft(blobs, 2)])
    shuffled = rng.permutation(blobs.ravel()).reshape(blobs.shape)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        assert float(loss(soft(blobs[:128, :128], 2), generator)) < 0.1 * float(
            loss(soft(shuffled[:128, :128], 2), generator)
        )


def test_slices_keep_the_order_of_the_axes():
    volume = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).float()
    places = torch.tensor([1, 2])
    assert across(volume, 0, places)[0].equal(volume[:, 1])
    assert across(volume, 1, places)[1].equal(volume[:, :, 2])
    assert across(volume, 2, places)[1].equal(volume[..., 2])
    assert len(views(volume, isotropic=False)) == 1


# --- contacts --------------------------------------------------------------------------------------------------------


def balls(gap: float) -> np.ndarray:
    z, y, x = np.mgrid[:24, :24, :40]
    return np.any([(z - 12) ** 2 + (y - 12) ** 2 + (x - centre) ** 2 <= 8**2 for centre in (11, 11 + 16 + gap)], axis=0)


def test_particles_are_parted_at_their_neck():
    touching = balls(-2)
    assert basins(touching).max() == 2
    assert basins(balls(2)).max() == 2
    number, length = contact_traces(touching[12]) * touching[12].size
    assert number == 1
    assert 6 <= length <= 14  # the neck of two circles of radius 8
    assert not contact_traces(balls(2)[12]).any()


def test_a_contact_is_thinned_from_its_rim():
    touching = balls(-2)
    depth = depths(touching, opened=0)
    at_contact = np.isfinite(depth)
    assert set(np.unique(np.argwhere(at_contact)[:, 2])) <= set(range(16, 22))  # the neck's planes
    axis = np.hypot(*(np.argwhere(at_contact)[:, :2] - 12.0).T)
    assert np.corrcoef(axis, depth[at_contact])[0, 1] < -0.8
    thinner = touching & ~(depth < 0.6)
    assert 0 < contact_traces(thinner[12])[1] < contact_traces(touching[12])[1]
    assert (depths(touching, opened=1)[at_contact] == 0).all()


def test_particles_in_slices_are_counted_without_specks():
    mask = disks(64, [(16, 16), (16, 46), (48, 30)], 9)
    mask[60, 60:63] = True
    mask[16, 14:17] = False  # a hole
    assert round(particle_density(mask[None]) * mask.size) == 2


def spheres(centres: list[tuple[int, int, int]], radius: float) -> np.ndarray:
    grid = np.mgrid[:48, :48, :48]
    return np.any(
        [sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2 for centre in centres], axis=0
    )


CHAINS = [(z, y, x) for z in (12, 36) for y in (12, 36) for x in (8, 24, 40)]


def test_contacts_are_as_thin_as_the_exemplar_shows_them():
    thin = as_phases(disks(96, [(y, x) for y in range(12, 96, 24) for x in range(8, 96, 16)], 7.5).astype(np.uint8))
    broad = spheres(CHAINS, 9.5).astype(np.uint8)
    exemplars = check_exemplars({"xy": thin})
    rims = surplus(broad, exemplars, 1)
    assert rims is not None
    assert 0 < rims.sum() < 0.1 * broad.sum()
    assert np.abs(np.argwhere(rims)[:, 2, None] - [16, 32]).min(axis=1).max() <= 3  # at the necks
    planes = [(broad == 1) & ~keep for keep in (np.zeros_like(rims), rims)]
    before, after = (np.mean([particle_density(np.moveaxis(mask, axis, 0)) for axis in range(3)]) for mask in planes)
    assert after > before
    assert surplus(broad, exemplars, 1, kept=np.ones_like(rims)).sum() == 0
    assert surplus(spheres(CHAINS, 7.2).astype(np.uint8), exemplars, 1) is None  # already apart


def test_few_contacts_are_told():
    places = [(y, x) for y in range(12, 96, 24) for x in range(8, 96, 15)]
    touching = check_exemplars({"xy": as_phases(disks(96, places, 8.5).astype(np.uint8))})
    (note,) = (note for note in contact_notes(touching) if "phase 1" in note)
    assert note.startswith("particles of phase 1 touch 20 times in the micrograph")
    assert "known to 22 %" in note
    apart = check_exemplars({"xy": as_phases(disks(96, places, 5).astype(np.uint8))})
    assert any("phase 1 touch 0 times" in note and "is not known" in note for note in contact_notes(apart))


def test_thin_layers_and_phases_without_contacts_stay():
    layers = as_phases(np.tile(np.repeat([0, 0, 0, 1], 2), (64, 8)).astype(np.uint8))
    assert surplus(np.repeat(layers.index, 32, axis=0), check_exemplars({"xy": layers}), 1) is None
    alone = as_phases(disks(64, [(32, 32)], 9).astype(np.uint8))
    assert surplus(np.repeat(alone.index, 64, axis=0), check_exemplars({"xy": alone}), 1) is None


# --- cut -------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), phases=st.integers(2, 5), total=st.integers(2, 400), ties=st.booleans())
def test_the_cut_keeps_the_fractions_exactly(seed, phases, total, ties):
    rng = np.random.default_rng(seed)
    fractions = rng.dirichlet(np.ones(phases))
    logits = rng.normal(size=(phases, total)).astype(np.float32)
    if ties:
        logits = np.zeros_like(logits)
    index = cut(logits, fractions)
    counts = np.bincount(index, minlength=phases)
    assert (counts == whole_counts(fractions, total)).all()
    assert np.abs(counts - fractions * total).max() < 1


def test_the_cut_changes_the_least_sure_voxels():
    logits = np.zeros((2, 10), np.float32)
    logits[1] = np.linspace(-5, 5, 10)
    assert cut(logits, np.array([0.7, 0.3])).tolist() == [0] * 7 + [1] * 3


def test_single_voxels_that_the_exemplar_does_not_have_are_repaired():
    half = np.zeros((32, 32), np.uint8)
    half[:, 16:] = 1
    assert not single(half == 1).any()
    volume = np.repeat(half[None], 20, axis=0)
    rng = np.random.default_rng(0)
    volume[rng.integers(0, 20, 60), rng.integers(1, 31, 60), rng.integers(2, 12, 60)] = 1
    logits = np.stack([volume == phase for phase in (0, 1)]).astype(np.float32)
    towards = np.float32(0.1) * (np.arange(32, dtype=np.float32) - 15.5)  # surest far from the interface
    logits += np.stack([-towards, towards])[:, None, None]
    fractions = np.bincount(volume.ravel()) / volume.size
    repaired = without_singles(volume, logits, check_exemplars({"xy": as_phases(half)}))
    index = cut(repaired.reshape(2, -1), fractions).reshape(volume.shape)
    assert (np.bincount(index.ravel()) == np.bincount(volume.ravel())).all()
    assert single(index == 1).sum() < 0.2 * single(volume == 1).sum()
    # where the exemplar has single pixels too, they stay
    specked = check_exemplars({"xy": as_phases(volume[0])})
    kept = without_singles(np.repeat(volume[:1], 20, axis=0), logits, specked)
    assert np.array_equal(kept, logits)


# --- blocks ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(shape=st.tuples(*[st.integers(16, 150)] * 3), side=st.integers(2 * OVERLAP, 80))
def test_blocks_cover_the_volume_and_overlap(shape, side):
    made = np.zeros(shape, bool)
    for number, block in enumerate(blocks_of(shape, side)):
        assert all(piece.stop - piece.start <= side for piece in block)
        if number:
            assert made[block].any()
        made[block] = True
    assert made.all()


def test_blocks_and_memory():
    assert len(blocks_of((64, 64, 64), 0)) == 1
    with pytest.raises(SettingsError, match="at least 32"):
        blocks_of((128, 128, 128), 20)
    assert memory_needed((128,) * 3, 3, 8, network=True) < 8 * 2**30
    side = largest_block((512,) * 3, 3, 8, 8 * 2**30, network=False)
    assert side % 16 == 0
    assert memory_needed((side,) * 3, 3, 8, network=False) <= 8 * 2**30 < memory_needed((512,) * 3, 3, 8, network=False)
    assert largest_block((512,) * 3, 3, 8, 2**20, network=False) == 0


# --- exemplars -------------------------------------------------------------------------------------------------------


def test_exemplars_that_cannot_serve(image):
    good = as_phases(image)
    with pytest.raises(LabelsError, match="one phase only"):
        check_exemplars({"xy": as_phases(np.zeros((32, 32), np.uint8))})
    with pytest.raises(ImageError, match="at least 16 x 16"):
        check_exemplars({"xy": as_phases(image[:8])})
    with pytest.raises(ImageError, match="one slice"):
        check_exemplars({"xy": as_phases(np.stack([image, image]))})
    with pytest.raises(ImageError, match="background"):
        check_exemplars({"xy": as_phases(image, background=2)})
    with pytest.raises(ImageError, match="xy, xz and yz"):
        check_exemplars({"xy": good, "yz": good})
    other = image.copy()
    other[:20] = 1
    with pytest.raises(LabelsError, match=r"disagree in the fraction of phase 0: xy 7\d\.\d %, xz \d\d\.\d %"):
        check_exemplars({"xy": good, "xz": as_phases(other), "yz": good})
    with pytest.raises(LabelsError, match="the same phases"):
        check_exemplars({"xy": good, "xz": as_phases(image > 0), "yz": good})


def test_an_exemplar_small_for_its_structure_is_reported(caplog):
    y, x = np.mgrid[:64, :64]
    coarse = ((np.sin(x / 9) + np.sin(y / 9)) > 0).astype(np.uint8)
    found = check_exemplars({"xy": as_phases(coarse)})
    assert len(found.notes) == 1
    assert "correlation length of phase" in found.notes[0]
    assert found.notes[0] in caplog.text
    rng = np.random.default_rng(0)
    fine = as_phases((rng.random((64, 64)) > 0.5).astype(np.uint8))
    assert check_exemplars({"xy": fine}).notes == ()
    assert correlation_length(fine, 0) <= 2


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="loss"):
        ReconstructionSettings(loss="gram")
    with pytest.raises(SettingsError, match="steps"):
        ReconstructionSettings(steps=0)
    with pytest.raises(SettingsError, match="chord_weight"):
        ReconstructionSettings(chord_weight=-1)
