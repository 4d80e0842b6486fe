"""Random fields and their excursion sets: what is made has the statistics that were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from fijibridge.core.errors import SettingsError
from fijibridge.parametric.excursion import Kind, correlation_of, two_point
from fijibridge.parametric.fields import slice_fields, volume_field
from fijibridge.parametric.spectrum import Spectrum, fitted_spectrum

SPECTRUM = Spectrum((40.0, 20.0, 12.0, 8.0, 2.0), (0.2, 0.5, 0.2, 0.08, 0.0), 0.02)
KINDS = [Kind(), *(Kind(degrees, high) for degrees in (1, 1.5, 2, 4) for high in (True, False))]


def along(field: np.ndarray, lag: int) -> float:
    """Mean product at a lag, over the axes of a periodic field."""
    return float(np.mean([(field * np.roll(field, lag, axis)).mean() for axis in range(field.ndim)]))


def scores(kind: Kind, shape: tuple[int, int, int]) -> np.ndarray:
    return kind.normal_scores(
        volume_field(SPECTRUM, shape, (1, 1, 1), np.random.default_rng(place), 1) for place in range(len(kind.weights))
    )


def test_a_field_has_its_spectrums_correlation():
    field = volume_field(SPECTRUM, (96, 100, 90), (1, 1, 1), np.random.default_rng(0), 1)
    assert field.dtype == np.float32
    assert abs(field.std() - 1) < 1e-3
    for lag in (1, 2, 4, 7, 10):
        assert along(field, lag) == pytest.approx(float(SPECTRUM.correlation(lag)), abs=0.03)


def test_a_slice_is_like_a_slice_of_a_volume():
    fields = slice_fields(SPECTRUM, 40, (128, 100), (1, 1), np.random.default_rng(0))
    assert fields.shape == (40, 128, 100)
    for lag in (1, 4, 10):
        found = float(np.mean([along(field, lag) for field in fields]))
        assert found == pytest.approx(float(SPECTRUM.correlation(lag)), abs=0.03)


def test_a_stretched_field_is_longer_along_that_axis():
    field = volume_field(SPECTRUM, (96, 96, 96), (2, 1, 1), np.random.default_rng(0), 1)
    wanted = float(SPECTRUM.correlation(3.0))
    assert float((field * np.roll(field, 6, 0)).mean()) == pytest.approx(wanted, abs=0.05)
    assert float((field * np.roll(field, 3, 1)).mean()) == pytest.approx(wanted, abs=0.05)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_excursion_sets_have_the_two_point_function_that_is_predicted(kind):
    score = scores(kind, (96, 96, 96))
    assert abs(float(score.mean())) < 0.12  # a normal score, whatever the kind
    assert score.std() == pytest.approx(1, abs=0.12)
    phase = (score > np.quantile(score, 0.7)).astype(float)
    wanted = two_point(kind, 0.3, SPECTRUM.correlation(np.array([0, 1, 2, 4, 7])))
    wanted[0] = 0.3
    assert [along(phase, lag) for lag in (0, 1, 2, 4, 7)] == pytest.approx(wanted, abs=0.008)


@given(st.sampled_from(KINDS), st.floats(0.05, 0.95), st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_the_inverse_gives_the_correlation_back(kind, fraction, rho):
    found, slope = correlation_of(kind, fraction, two_point(kind, round(fraction, 6), [rho]))
    assert slope[0] >= 0
    whole = kind.degrees % 1 == 0
    allowed = 0.02 if whole else 0.06
    if slope[0] > (1e-3 if whole else 1e-2):  # else far correlations hardly show: points are sampled
        assert found[0] == pytest.approx(rho, abs=allowed)


def test_a_gaussian_half_is_the_arcsine_law():
    rho = np.array([-0.5, 0.0, 0.3, 0.9, 1.0])
    assert two_point(Kind(), 0.5, rho) == pytest.approx(0.25 + np.arcsin(rho) / (2 * np.pi))


def test_a_square_is_what_lies_beyond_both_thresholds():
    level = -special.ndtri(0.15)  # |Z| > level has 0.3
    rng = np.random.default_rng(0)
    first, other = rng.standard_normal((2, 400_000))
    second = 0.6 * first + 0.8 * other
    both = float(((np.abs(first) > level) & (np.abs(second) > level)).mean())
    assert float(two_point(Kind(1), 0.3, [0.6])[0]) == pytest.approx(both, abs=0.003)


def test_a_fit_gives_a_known_spectrums_correlation_back():
    lags = np.arange(33.0)
    found = fitted_spectrum(lags, SPECTRUM.correlation(lags), np.ones(33), 32)
    assert found.correlation(lags) == pytest.approx(SPECTRUM.correlation(lags), abs=0.02)


@pytest.mark.parametrize(
    ("lengths", "shares", "white"),
    [((20, 30), (1, 1), 0), ((20, 1), (1, 1), 0), ((20, 4), (1, -1), 0), ((20, 4), (0, 0), 0), ((20, 4, 3), (1, 1), 0)],
)
def test_what_is_no_spectrum_is_refused(lengths, shares, white):
    with pytest.raises(SettingsError):
        Spectrum(lengths, shares, white)


@pytest.mark.parametrize("degrees", [-1, 0.5, 17, float("nan")])
def test_degrees_that_no_field_has_are_refused(degrees):
    with pytest.raises(SettingsError, match="degrees"):
        Kind(degrees)
