"""Volumes larger than memory: slab by slab the same numbers as of the whole, and blocks where the whole is needed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import grains, three_phases

from fijibridge.metrology import (
    chord_lengths,
    connectivity,
    measure,
    phase_fractions,
    specific_surface,
    triple_phase_boundary,
)
from fijibridge.metrology.blocks import BLOCKS, allowed_memory, mean_curve, spread_blocks
from fijibridge.metrology.catalogue import METRICS
from fijibridge.metrology.correlation import Correlations
from fijibridge.metrology.fractions import _variance, _variances_by_slabs
from fijibridge.metrology.near import INSIDE, CoarseCorrelations, NearCorrelations, near_bytes
from fijibridge.phases import PhaseVolume, as_phases, phase_volume

SLABWISE = [name for name in METRICS if METRICS[name].slabs]


def lazy(labels: np.ndarray, slices: int, **options) -> PhaseVolume:
    volume, _ = phase_volume(lambda number: labels[number], len(labels), slices=slices, **options)
    return volume


def same(ours: pd.DataFrame, theirs: pd.DataFrame, rel: float = 1e-9) -> None:
    pd.testing.assert_frame_equal(ours, theirs, check_exact=False, rtol=rel, atol=1e-12)


@st.composite
def volumes(draw):
    """A small random volume, blobs or noise, perhaps with background, and the slices of a slab."""
    shape = draw(st.tuples(st.integers(2, 13), st.integers(1, 12), st.integers(1, 12)))
    seed, number = draw(st.integers(0, 10**6)), draw(st.integers(2, 4))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, number, shape)
    if draw(st.booleans()):  # larger grains
        labels = np.kron(labels, np.ones((3, 2, 2), int))[: shape[0], : shape[1], : shape[2]]
    spacing = draw(st.sampled_from([(1, 1, 1), (2.5, 1, 1.5)]))
    background = draw(st.sampled_from([None, 0]))
    present = set(np.unique(labels).tolist())
    if background not in present or len(present) < 3:
        background = None
    return labels, draw(st.integers(1, 6)), {"spacing": spacing, "background": background}


@settings(max_examples=60, deadline=None)
@given(volumes())
def test_slabs_give_the_numbers_of_the_whole(given_volume):
    labels, slices, options = given_volume
    whole, slabs = as_phases(labels, **options), lazy(labels, slices, **options)
    assert (slabs.values, slabs.counts, slabs.names) == (whole.values, whole.counts, whole.names)
    for ours, theirs in zip(chord_lengths(slabs), chord_lengths(whole), strict=True):
        same(ours, theirs, 0)
    same(connectivity(slabs), connectivity(whole), 1e-12)
    for method in ("intercepts", "marching-cubes"):
        same(specific_surface(slabs, method=method), specific_surface(whole, method=method), 1e-7)
    same(triple_phase_boundary(slabs), triple_phase_boundary(whole), 1e-6)
    if len(whole) > 1:
        same(phase_fractions(slabs), phase_fractions(whole), 1e-6)


def test_a_component_that_winds_through_the_slabs_is_one():
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[:, 4, 1] = labels[8, 4, 1:8] = labels[:, 4, 7] = 1  # a U: two limbs until the last slice
    found = connectivity(lazy(labels, 2))
    row = found[(found.phase == "phase 1") & (found.axis == "z")].iloc[0]
    assert (row.components, row.percolating, row.largest) == (1, 1, 1)
    labels[8, 4, 4] = 0
    assert connectivity(lazy(labels, 2)).query("phase == 'phase 1'").components.tolist() == [2, 2, 2]


# --- the confidence interval ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("background", [None, 2])
@pytest.mark.parametrize("reach", [(3, 4, 5), (10, 4, 11), (10, 11, 12)])
def test_near_correlations_are_those_of_the_whole(reach, background, periodic):
    labels = three_phases((21, 22, 25))
    whole = Correlations(as_phases(labels, background=background), periodic=periodic, threads=1)
    source = lazy(labels, 4, background=background)
    near = NearCorrelations(source, reach, [0, 1], side=18, periodic=periodic, threads=1)  # several blocks
    z, y, x = (most - r for most, r in zip(whole.reach, reach, strict=True))
    part = (slice(0, reach[0] + 1), slice(y, whole.pairs.shape[1] - y), slice(x, whole.pairs.shape[2] - x))
    assert z + near.reach[0] == whole.reach[0]
    np.testing.assert_allclose(near.pairs, whole.pairs[part], atol=1e-6)
    for phase in (0, 1):
        np.testing.assert_allclose(near.deviations(phase), whole.deviations(phase)[part], atol=1e-6)


@pytest.mark.parametrize("sigma", [1.5, 4])
def test_the_interval_of_a_larger_volume(sigma):
    labels = grains((96, 80, 88), sigma, 0.3, 1)
    ours, theirs = phase_fractions(lazy(labels, 16), threads=1), phase_fractions(labels, threads=1)
    same(ours, theirs, 1e-5)
    assert (ours.cell == 1).all()


def test_larger_lags_are_taken_until_they_suffice(monkeypatch):
    labels = grains((64, 60, 56), 3, 0.4, 2)
    source, whole = lazy(labels, 16), Correlations(as_phases(labels), threads=1)
    short = NearCorrelations(source, (4, 5, 28), [0], threads=1)
    assert _variance(short, 0, source.counts).missing == (0, 1)
    monkeypatch.setattr("fijibridge.metrology.fractions._first_reach", lambda source: (4, 5, 6))
    found = _variances_by_slabs(source, periodic=False, threads=1, memory=2**31)
    for phase in (0, 1):
        theirs = _variance(whole, phase, source.counts)
        assert found[phase].value == pytest.approx(theirs.value, rel=1e-6)
        assert found[phase].settled == theirs.settled
        assert found[phase].missing == ()


def test_a_correlation_beyond_memory_is_taken_of_cells():
    labels = grains((90, 80, 70), 6, 0.4, 3)
    source = lazy(labels, 16)
    table = phase_fractions(source, memory=near_bytes(source, (4, 4, 4), 64) // 8, threads=1)
    assert (table.cell > 1).all()
    exact = phase_fractions(labels, threads=1)
    assert table.fraction.tolist() == exact.fraction.tolist()
    assert table.standard_error.tolist() == pytest.approx(exact.standard_error.tolist(), rel=0.05)
    notes = measure(source, metrics=["fractions"], memory=10_000_000, threads=1).notes
    assert any("cells of" in note for note in notes)


@pytest.mark.parametrize("background", [None, 0])
def test_cells_hold_the_pairs_of_all_voxels(background):
    labels = three_phases((11, 12, 13))
    source = lazy(labels, 2, background=background)
    coarse = CoarseCorrelations(source, 3, [0, 1], threads=1)
    assert coarse.extent == (4, 4, 5)
    assert coarse.pairs[0, 2, 2] == pytest.approx((coarse._cells[INSIDE] ** 2).sum(), rel=1e-5)
    assert coarse._cells[INSIDE].sum() == sum(source.counts)
    for phase in (0, 1):
        assert coarse._cells[phase].sum() == pytest.approx(0, abs=1e-3)  # the deviations from the mean
        assert coarse.deviations(phase)[0, 2, 2] == pytest.approx((coarse._cells[phase] ** 2).sum(), rel=1e-5)


def test_two_phases_have_one_variance():
    """Counted pairs less those that the fractions give would show drift in one phase only."""
    for share in (0.2, 0.7):
        rows = phase_fractions(grains((40, 40, 40), 2, share, 5), threads=1)
        assert rows.standard_error[0] == pytest.approx(rows.standard_error[1], rel=1e-9)
        assert rows.standard_error[0] < 0.03


# --- the choice -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_steps(monkeypatch):
    """Small volumes are done as large ones are: read slab by slab, correlated block by block."""
    monkeypatch.setattr("fijibridge.metrology.measurement._HELD", 0)
    monkeypatch.setattr("fijibridge.metrology.near._TRANSFORMS", (32, 24))


def test_measured_by_slabs_and_whole(small_steps):
    labels = three_phases((64, 62, 60), sigma=1.5)
    options = {"spacing": (2, 1, 1), "unit": "nm", "conductivities": [1, 0.1, 0], "threads": 1}
    whole = measure(labels, **options)
    assert set(whole.how.values()) == {"whole"}
    assert whole.table.spread.isna().all()
    options.pop("spacing"), options.pop("unit")
    forced = measure(lazy(labels, 7, spacing=(2, 1, 1), unit="nm"), memory=17_600_000, **options)
    assert {name for name, how in forced.how.items() if how.startswith("slabs of ")} == set(SLABWISE)
    blocks = {name: how for name, how in forced.how.items() if name not in SLABWISE}
    assert all("blocks of" in how for how in blocks.values())
    names = forced.table[forced.table.spread.isna()].metric.unique()
    same(
        forced.table[forced.table.metric.isin(names)].reset_index(drop=True),
        whole.table[whole.table.metric.isin(names)].reset_index(drop=True),
        1e-6,
    )
    assert {"fraction", "mean_chord", "specific_surface", "triple_phase_boundary", "percolating"} <= set(names)
    sampled = forced.table[~forced.table.metric.isin(names)]
    assert set(sampled.metric) >= {"local_thickness_mean", "relative_conductivity", "effective_conductivity"}
    assert sampled.unit.tolist() == whole.table[~whole.table.metric.isin(names)].unit.tolist()
    same(forced.curves["chords"], whole.curves["chords"], 1e-12)
    for name in ("correlation", "sizes"):
        assert list(forced.curves[name].columns[: len(whole.curves[name].columns) - 1])
        assert set(whole.curves[name].columns) < set(forced.curves[name].columns)
    assert any("sizes: mean and standard deviation (spread) of " in note for note in forced.notes)
    again = measure(lazy(labels, 7, spacing=(2, 1, 1), unit="nm"), metrics=["sizes"], memory=17_600_000, threads=1)
    thickness = forced.table[forced.table.metric.str.startswith("local")].reset_index(drop=True)
    pd.testing.assert_frame_equal(again.table, thickness)  # the blocks are seeded
    for name in forced.metrics:  # and drawn as the whole
        METRICS[name].draw(forced)


def test_an_image_in_memory_is_measured_in_blocks_where_memory_is_short(small_steps):
    labels = three_phases((64, 62, 60), sigma=1.5)
    found = measure(labels, metrics=["fractions", "correlation", "chords"], memory=17_600_000, threads=1)
    assert found.how["chords"] == "whole"
    assert found.how["fractions"].startswith("slabs")
    assert "blocks" in found.how["correlation"]
    same(found.rows("fraction"), measure(labels, metrics=["fractions"], threads=1).rows("fraction"), 1e-6)


def test_what_fits_is_loaded_once():
    labels, asked = three_phases((12, 20, 20)), []

    def plane(number):
        asked.append(number)
        return labels[number]

    volume, _ = phase_volume(plane, len(labels))
    found = measure(volume, metrics=["chords", "sizes", "connectivity", "surface"], threads=1)
    assert asked == [*range(12), *range(12)]  # counted, loaded
    assert set(found.how.values()) == {"whole"}


def test_slabs_become_thinner_where_memory_is_short():
    volume = lazy(np.tile(three_phases((4, 20, 20)), (4, 1, 1)), 0)
    assert volume.slab_slices == 16
    assert measure(volume, metrics=["chords"], memory=4000, threads=1).how == {"chords": "slabs of 1 slice"}


def test_a_2d_image_in_blocks(small_steps):
    labels = grains((220, 230), 2, 0.4, 1)
    found = measure(labels, metrics=["sizes", "fractions", "tortuosity"], memory=3_000_000, threads=1)
    assert found.how["sizes"].endswith("pixels")
    assert found.how["sizes"].count(" x ") == 1
    same(found.rows("fraction"), measure(labels, metrics=["fractions"], threads=1).rows("fraction"), 1e-6)


def test_a_phase_that_is_missing_from_a_block():
    labels = np.tile(three_phases((16, 32, 32)), (4, 1, 1))
    labels[16:] = np.minimum(labels[16:], 1)
    found = measure(lazy(labels, 8), metrics=["sizes", "tortuosity", "correlation"], memory=2_000_000, threads=1)
    row = found.rows("local_thickness_mean").set_index("phase").loc["phase 2"]
    assert math.isfinite(row.value)
    assert any("tortuosity_factor of phase 2 x: infinite in" in note for note in found.notes)


@settings(max_examples=100, deadline=None)
@given(st.tuples(st.integers(1, 400), st.integers(1, 400), st.integers(1, 400)), st.integers(1, 300), st.integers(0, 9))
def test_blocks_lie_inside_and_do_not_overlap(shape, side, seed):
    corners, size = spread_blocks(shape, side, seed=seed)
    assert len(corners) < 2 * BLOCKS  # one more cell along an axis makes twice as many at most
    for corner in corners:
        assert all(c >= 0 and c + s <= n for c, s, n in zip(corner, size, shape, strict=True))
    for number, first in enumerate(corners):
        for second in corners[number + 1 :]:
            assert any(abs(a - b) >= s for a, b, s in zip(first, second, size, strict=True))
    if min(shape) >= 2 * max(side, 16):
        assert size == (max(side, 16),) * 3
        assert len(corners) >= 8


def test_curves_of_blocks():
    sizes = METRICS["sizes"]
    one = pd.DataFrame({"phase": "a", "diameter": [1.0, 2.0], "fraction": [0.5, 0.5], "cumulative": [0.5, 1.0]})
    two = pd.DataFrame({"phase": ["a"] * 3, "diameter": [1.0, 2.0, 3.0], "fraction": [0.1, 0.1, 0.8],
                        "cumulative": [0.1, 0.2, 1.0]})  # fmt: skip
    found = mean_curve([one, two], sizes)
    assert found.diameter.tolist() == [1, 2, 3]
    assert found.fraction.tolist() == pytest.approx([0.3, 0.3, 0.4])
    assert found.cumulative.tolist() == pytest.approx([0.3, 0.6, 1.0])
    assert found.fraction_spread.iloc[0] == pytest.approx(np.std([0.5, 0.1], ddof=1))


def test_memory_allowed():
    assert allowed_memory() > 2**20
    assert allowed_memory(2**31) == 2**31 - 400 * 2**20
    assert allowed_memory(1000) == 500


def test_slabs_with_neighbours():
    labels = np.random.default_rng(0).integers(0, 3, (11, 4, 5))
    whole = as_phases(labels)
    for slices in (1, 2, 4, 11, 20):
        for before, after in ((0, 0), (1, 1), (5, 3), (0, 1)):
            asked: list[int] = []

            def plane(number, asked=asked):
                asked.append(number)
                return labels[number]

            volume = replace(lazy(labels, slices), plane=plane)
            slabs = list(volume.slabs(before=before, after=after))
            assert asked == list(range(11))
            own = np.concatenate([slab.index[slab.own] for slab in slabs])
            assert (own == whole.index).all()
            for slab in slabs:
                first, last = max(slab.start - before, 0), min(slab.stop + after, 11)
                assert (slab.index == whole.index[first:last]).all()
