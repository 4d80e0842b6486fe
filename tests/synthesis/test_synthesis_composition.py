"""From weights to volume fractions and back."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fijibridge.core.errors import SettingsError
from fijibridge.synthesis import composition
from fijibridge.synthesis.composition import volume_fractions


def test_silicon_argyrodite_and_fibres():
    found = volume_fractions(
        {"Si": 50, "Li6PS5Cl": 47, "VGCF": 3}, {"Si": 2.33, "Li6PS5Cl": 1.86, "VGCF": 2.0}, porosity=0.1
    )
    solid = 50 / 2.33 + 47 / 1.86 + 3 / 2.0
    assert found == pytest.approx(
        {"Si": 0.9 * 50 / 2.33 / solid, "Li6PS5Cl": 0.9 * 47 / 1.86 / solid, "VGCF": 0.9 * 1.5 / solid, "pore": 0.1}
    )


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.floats(0.5, 20)), min_size=1, max_size=5),
    st.floats(0, 0.9),
    st.floats(0.01, 100),
)
def test_volumes_give_the_weights_back(parts, porosity, unit):
    names = [f"m{i}" for i in range(len(parts))]
    weights = {name: w * unit for name, (w, _) in zip(names, parts, strict=True)}
    densities = {name: rho for name, (_, rho) in zip(names, parts, strict=True)}
    shares = volume_fractions(weights, densities, porosity)
    assert sum(shares.values()) == pytest.approx(1)
    masses = {name: shares[name] * densities[name] for name in names}
    for name in names:
        assert masses[name] / sum(masses.values()) == pytest.approx(weights[name] / sum(weights.values()))


@pytest.mark.parametrize(
    ("weights", "densities", "porosity", "named"),
    [
        ({"Si": 50}, {}, 0.1, "density of Si = None"),
        ({"Si": 50}, {"Si": 0}, 0.1, "density of Si = 0"),
        ({"Si": -1}, {"Si": 2.3}, 0.1, "weight of Si = -1"),
        ({"Si": 0}, {"Si": 2.3}, 0.1, "sum to 0"),
        ({"Si": 1}, {"Si": 2.3}, 1.0, "porosity = 1"),
        ({"pore": 1}, {"pore": 2.3}, 0.1, "named pore"),
    ],
)
def test_a_recipe_that_cannot_be(weights, densities, porosity, named):
    with pytest.raises(SettingsError, match=named):
        volume_fractions(weights, densities, porosity)


def test_the_example_in_the_documentation():
    assert doctest.testmod(composition).failed == 0
