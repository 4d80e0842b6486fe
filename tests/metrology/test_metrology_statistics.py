"""Phase fractions with their intervals, and two-point correlation, against media with known statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import grains, overlapping_balls, three_phases, union_of_two_balls

from fijibridge.core.errors import SettingsError
from fijibridge.metrology import phase_fractions, two_point_correlation


def curve(labels, phase="phase 0", other="phase 0", direction="radial", **more):
    table = two_point_correlation(labels, **more)
    return table[(table.phase == phase) & (table.other == other) & (table.direction == direction)]


# --- fractions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "sigma", "share"), [((96, 96), 3, 0.5), ((96, 96), 3, 0.16), ((24, 24, 24), 1.5, 0.3)]
)
def test_intervals_hold_the_truth_in_95_of_100_images(shape, sigma, share):
    held, count = 0, 200
    for seed in range(count):
        row = phase_fractions(grains(shape, sigma, share, seed), threads=1).set_index("phase").loc["phase 1"]
        held += row["low"] <= share <= row["high"]
    assert 0.91 <= held / count <= 0.99  # 95 % of 200 images: 1.5 % is one standard deviation


def test_the_interval_narrows_with_the_image():
    small = phase_fractions(grains((64, 64), 2, 0.4, 1)).iloc[0]
    large = phase_fractions(grains((256, 256), 2, 0.4, 1)).iloc[0]
    assert large.standard_error == pytest.approx(small.standard_error / 4, rel=0.5)
    assert large.integral_range == pytest.approx(small.integral_range, rel=1)
    assert large.settled


def test_independent_pixels_count_as_that_many_samples():
    image = (np.random.default_rng(0).random((200, 200)) < 0.3).astype(int)
    row = phase_fractions(image).iloc[1]
    assert row.effective_samples == pytest.approx(200**2, rel=0.35)
    assert row.standard_error == pytest.approx(np.sqrt(0.21) / 200, rel=0.2)


def test_an_image_of_one_grain_is_said_to_be_too_small():
    image = np.zeros((40, 40), int)
    image[:, 20:] = 1
    row = phase_fractions(image).iloc[0]
    assert not row.settled or row.high - row.low > 0.5


def test_a_layered_image():
    """Correlated along x, not along y: the neighbourhood is an ellipse."""
    held = 0
    for seed in range(60):
        rows = grains((100, 100), 2, 0.5, seed)
        stretched = np.repeat(rows[:, :25], 4, axis=1)
        row = phase_fractions(stretched, threads=1).iloc[1]
        held += row.low <= 0.5 <= row.high
    assert held >= 52


def test_background_and_units():
    image = three_phases((60, 60), 2)
    table = phase_fractions(image, background=0, spacing=(2, 2), class_names=["a", "b"]).set_index("phase")
    part = np.bincount(image.ravel())
    assert table.fraction["a"] == pytest.approx(part[1] / (part[1] + part[2]))
    assert table.value.tolist() == [1, 2]
    single = phase_fractions(image, background=0).set_index("phase")
    assert table.integral_range["a"] == pytest.approx(4 * single.integral_range["phase 1"])
    whole = phase_fractions(np.ones((4, 4)))
    assert whole.fraction.iloc[0] == 1
    assert not whole.settled.iloc[0]
    with pytest.raises(SettingsError, match="confidence"):
        phase_fractions(image, confidence=1)


# --- correlation -----------------------------------------------------------------------------------------------------


def test_overlapping_balls():
    radius, density = 5.0, 0.0012
    curves = []
    for seed in range(12):
        between = overlapping_balls(72, radius, density, seed)
        curves.append(curve(between, "phase 1", "phase 1", periodic=True).set_index("distance").probability)
    found = sum(curves) / len(curves)
    wanted = np.exp(-density * union_of_two_balls(found.index.to_numpy(), radius))
    noise = np.std([one.to_numpy() for one in curves], axis=0, ddof=1) / np.sqrt(12)
    assert abs(found.to_numpy() - wanted).max() < 0.012
    assert (abs(found.to_numpy() - wanted) < 4 * noise).all()


def brute(labels, a, b, lag):
    first, second = labels == a, labels == b
    here = tuple(slice(max(-step, 0), size - max(step, 0)) for step, size in zip(lag, labels.shape, strict=True))
    there = tuple(slice(max(step, 0), size - max(-step, 0)) for step, size in zip(lag, labels.shape, strict=True))
    return ((first[here] & second[there]).mean() + (second[here] & first[there]).mean()) / 2


def test_against_counting():
    labels = three_phases((10, 12, 14), 1.5)
    for a, b in ((0, 0), (0, 2), (1, 2)):
        for axis, name in enumerate("zyx"):
            found = curve(labels, f"phase {a}", f"phase {b}", name).probability.to_numpy()
            lags = [tuple(step if k == axis else 0 for k in range(3)) for step in range(labels.shape[axis] // 2 + 1)]
            assert found == pytest.approx([brute(labels, a, b, lag) for lag in lags], abs=1e-9)


def test_background_leaves_pairs_out():
    labels = three_phases((30, 30), 2)
    inside = labels > 0
    found = curve(labels, "phase 1", "phase 1", "x", background=0).probability.to_numpy()
    for step in (0, 1, 5):
        pairs = inside[:, : 30 - step] & inside[:, step:]
        both = (labels == 1)[:, : 30 - step] & (labels == 1)[:, step:]
        assert found[step] == pytest.approx(both.sum() / pairs.sum(), abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_symmetry_of_the_complement(seed):
    """What is not one phase is the other: S_00 - S_11 + 1 = 2 * (share of 0), for a periodic image at every lag."""
    labels = (np.random.default_rng(seed).random((8, 9, 10)) < 0.4).astype(int)
    share = (labels == 0).mean()
    for direction in ("radial", "z", "x"):
        zero, one, cross = (
            curve(labels, f"phase {a}", f"phase {b}", direction, periodic=True).probability.to_numpy()
            for a, b in ((0, 0), (1, 1), (0, 1))
        )
        assert zero - one == pytest.approx(2 * share - 1, abs=1e-9)
        assert zero + cross == pytest.approx(share, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations([0, 1, 2]), scale=st.floats(0.01, 100))
def test_permuted_axes_and_other_units(seed, order, scale):
    labels = three_phases((8, 9, 11), 1.5, seed)
    spacing = np.array([1.5, 1.0, 0.8])
    found = two_point_correlation(labels, spacing=spacing, threads=1)
    turned = two_point_correlation(labels.transpose(order), spacing=spacing[order] * scale, threads=1)
    for old, new in zip("zyx", order, strict=True):
        a = turned[turned.direction == old]
        b = found[found.direction == "zyx"[new]]
        assert a.probability.to_numpy() == pytest.approx(b.probability.to_numpy(), abs=1e-9)
        assert a.distance.to_numpy() == pytest.approx(b.distance.to_numpy() * scale)
    assert turned[turned.direction == "radial"].probability.sum() == pytest.approx(
        found[found.direction == "radial"].probability.sum(), rel=0.02
    )
