"""Settings of TWS's features come back from their names; what no TWS has is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.features.settings import feature_settings
from fijibridge.features.tws.bank import feature_names
from fijibridge.features.tws.filter_registry import FILTERS
from fijibridge.features.tws.from_names import settings_from_names
from fijibridge.features.tws.settings import DEFAULT_FILTERS, TwsSettings, sigmas_in

RELATION = "TWS-2D-v4.0.0-grayscale"
WITHOUT_SIGMA = {"Gabor", "Bilateral", "Lipschitz", "Kuwahara", "Membrane_projections"}


@st.composite
def chosen(draw) -> TwsSettings:
    filters = draw(st.sets(st.sampled_from(FILTERS.names), min_size=1))
    smallest = draw(st.sampled_from((1.0, 2.0, 4.0)))
    largest = smallest * 2 ** draw(st.integers(0, 4))
    return TwsSettings(
        tuple(filters),
        smallest,
        largest,
        draw(st.sampled_from((7, 19, 25))),
        draw(st.integers(1, 5)),
        draw(st.booleans()),
    )


@settings(max_examples=200)
@given(chosen(), st.randoms())
def test_settings_make_the_names_that_they_are_told_from(own, random):
    names = list(feature_names(own))
    random.shuffle(names)
    mode = "RGB" if own.colour else "grayscale"
    found = settings_from_names(names, f"TWS-2D-v4.0.0-{mode}")
    assert isinstance(found, TwsSettings)
    assert set(feature_names(found)) == set(names)
    assert found.colour == own.colour
    silent = {"Difference_of_gaussians"} if len(own.sigmas) == 1 else set()  # there is no other sigma
    assert set(found.filters) == set(own.filters) - silent
    if set(own.filters) - WITHOUT_SIGMA - silent:
        assert found.sigmas == own.sigmas
    if "Membrane_projections" in own.filters:
        assert (found.membrane_patch, found.membrane_thickness) == (own.membrane_patch, own.membrane_thickness)


def test_half_a_pixel_is_a_sigma():
    own = TwsSettings(tuple(set(FILTERS) & {"Gaussian_blur", "Hessian", "Mean"}), 0.5, 2.0)
    assert settings_from_names(feature_names(own), RELATION) == own


def test_old_versions_have_their_own_hessian():
    names = feature_names(TwsSettings())
    found = settings_from_names(names, "segment")
    assert found == replace(TwsSettings(), old_hessian=True)


def test_fewer_features_than_the_settings_make():
    """Of a model whose attributes somebody selected in Weka."""
    names = ["Gaussian_blur_2.0", "original", "Hessian_Trace_8.0"]
    found = settings_from_names(names, RELATION)
    assert found == TwsSettings(("Gaussian_blur", "Hessian"), 2.0, 8.0)
    assert set(names) < set(feature_names(found))


@pytest.mark.parametrize(
    ("names", "relation", "message"),
    [
        (["original", "Colour_of_money"], RELATION, "1 are not TWS's in 2D: Colour_of_money"),
        (["original", "vit_b06_c000"], RELATION, "features.json, or the classifier's folder"),
        (["original", "Gaussian_blur_x"], RELATION, "Gaussian_blur_x"),
        (["original", "Membrane_projections_0"], RELATION, "Membrane_projections_0"),
        ([], RELATION, "0 features"),
        (["a", "b", "c", "d", "e", "f"], "iris", "a, b, c, d and 2 more"),
    ],
)
def test_what_tws_does_not_have_is_named(names, relation, message):
    with pytest.raises(FeatureMismatchError, match=message):
        settings_from_names(names, relation, where="old.model")


def test_filters_are_chosen_by_the_beginning_of_their_names():
    assert feature_settings("Gaussian,Hess,membrane").source("tws") == TwsSettings(
        ("Gaussian_blur", "Hessian", "Membrane_projections")
    )
    assert feature_settings("tws:all").source("tws") == TwsSettings(FILTERS.names)
    assert feature_settings("tws:colour,tws").source("tws") == TwsSettings(DEFAULT_FILTERS, colour=True)
    both = feature_settings("hessian,vit")
    assert [one.kind for one in both.sources] == ["tws", "vit"]
    with pytest.raises(SettingsError, match="'gauss and hess'"):
        feature_settings("gauss and hess")


@pytest.mark.parametrize(("text", "found"), [("", ()), ("1:16", (1.0, 16.0)), (" 0.5 : 2 ", (0.5, 2.0))])
def test_sigmas_are_two_numbers(text, found):
    assert tuple(sigmas_in(text).values()) == found


@pytest.mark.parametrize("text", ["1", "a:b", "1:2:3", "1,2"])
def test_other_sigmas_are_refused(text):
    with pytest.raises(SettingsError, match="such as 1:16"):
        sigmas_in(text)


@pytest.mark.parametrize("limits", [(4.0, 2.0), (float("nan"), 2.0), (0.0, 2.0), (1.0, 1e9)])
def test_sigmas_that_cannot_be(limits):
    with pytest.raises(SettingsError):
        TwsSettings(min_sigma=limits[0], max_sigma=limits[1])
