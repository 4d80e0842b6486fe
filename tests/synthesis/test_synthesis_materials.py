"""Materials as the beams see them, and the ranges of the imaging model's settings."""

from typing import get_type_hints

import pytest

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import param_of
from fijibridge.synthesis.imaging_settings import ImagingSettings
from fijibridge.synthesis.materials import MATERIALS, Material, material_named

# materials


@pytest.mark.parametrize(
    ("name", "number"), [("Si", 14.0), ("NCM", 19.1), ("Li6PS5Cl", 14.0), ("Li3PS4", 14.3), ("PTFE", 8.28), ("VGCF", 6)]
)
def test_mean_atomic_number_goes_by_mass(name, number):
    assert MATERIALS[name].mean_atomic_number == pytest.approx(number, abs=0.1)


def test_known_electrons_of_silicon():
    assert MATERIALS["Si"].backscatter_coefficient == pytest.approx(0.164, abs=0.002)
    assert MATERIALS["Si"].electron_range(5) == pytest.approx(0.468, abs=0.01)  # um
    assert MATERIALS["Si"].electron_range(10) / MATERIALS["Si"].electron_range(5) == pytest.approx(2**1.67)


@pytest.mark.parametrize("formula", ["", "Li3(PS4)", "lips", "Xx2", "Li3PS4 ", "Si0", "2Si"])
def test_a_formula_that_is_none_is_refused(formula):
    with pytest.raises(SettingsError) as error:
        Material("mine", formula, 2.0)
    assert "mine" in error.value.found


@pytest.mark.parametrize("values", [{"density": 0}, {"density": float("nan")}, {"se_yield": -1}, {"roughness": -0.1}])
def test_a_material_of_impossible_numbers_is_refused(values):
    with pytest.raises(SettingsError, match=next(iter(values))):
        Material("mine", "Si", **{"density": 2.0, **values})


def test_near_names_of_materials_are_suggested():
    assert material_named("NCM") is MATERIALS["NCM"]
    with pytest.raises(SettingsError, match="near: Li6PS5Cl"):
        material_named("li6ps5br")


# settings


def bounds():
    for name, hint in get_type_hints(ImagingSettings, include_extras=True).items():
        yield name, param_of(hint)[1]


def test_each_setting_has_help_and_range():
    for name, param in bounds():
        assert len(param.help) > 15, name
        assert name == "bits" or (param.low is not None and param.high is not None), name


@pytest.mark.parametrize(("name", "param"), [pair for pair in bounds() if pair[0] != "bits"], ids=lambda value: value)
def test_settings_out_of_range_are_refused(name, param):
    for value in (param.low - 0.01, param.high + 0.01, float("nan"), "much"):
        with pytest.raises(SettingsError, match=name):
            ImagingSettings(**{name: value})
    assert getattr(ImagingSettings(**{name: param.high}), name) == param.high


def test_other_bit_depths_are_refused():
    with pytest.raises(SettingsError, match="bits"):
        ImagingSettings(bits=12)
