"""Declarations of options: what they say, and what they let pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Optional

import pytest

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param, check, names_in, param_of, without_none

COLOURS = {"red": "as blood", "blue": ""}
_CHOICE = Param("which colour", choices=lambda: COLOURS)

_CHOICES = Param("which colours", choices=lambda: COLOURS, several=True)


@dataclass
class Settings:
    """An owner of every kind of option."""

    count: Annotated[int, Param("how many", low=1, high=9, unit="px")] = 1
    share: Annotated[float | None, Param("how much", low=0.5, from_preset=True)] = None
    kind: Literal["a", "b"] = "a"
    colour: Annotated[str, _CHOICE] = "red"
    colours: Annotated[str, _CHOICES] = ""
    wanted: Annotated[bool, Param("whether")] = True


@pytest.mark.parametrize(
    "values",
    [
        {"count": 9},
        {"share": None},
        {"share": 0.5},
        {"share": 3},
        {"colours": ""},
        {"colours": "blue, red"},
        {"other": 1},
    ],
)
def test_what_passes(values):
    check(Settings, values)


@pytest.mark.parametrize(
    ("values", "found", "expected"),
    [
        ({"count": 0}, "count = 0", "1 to 9 px"),
        ({"count": True}, "count = True", "int"),
        ({"count": None}, "count = None", "int"),
        ({"count": 1.5}, "count = 1.5", "int"),
        ({"share": 0.4}, "share = 0.4", "at least 0.5"),
        ({"share": float("nan")}, "share = nan", "at least 0.5"),
        ({"share": "much"}, "share = 'much'", "float"),
        ({"kind": "c"}, "kind = 'c'", "one of a, b"),
        ({"colour": "green"}, "colour = 'green'", "one of red, blue"),
        ({"colour": ""}, "colour = ''", "one of red, blue"),
        ({"colours": "red,green"}, "colours = 'green'", "some of red, blue"),
    ],
)
def test_what_does_not(values, found, expected):
    with pytest.raises(SettingsError) as error:
        check(Settings, values)
    assert (error.value.found, error.value.expected) == (found, expected)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [(128, 'give colours="128"'), ((64, 128, 128), 'give colours="64,128,128"'), (True, "give colours as str")],
)
def test_numbers_for_an_option_of_text(value, remedy):
    """As a Python script would give the size of a volume."""
    with pytest.raises(SettingsError) as error:
        check(Settings, {"colours": value})
    assert error.value.remedy == remedy


def test_choices_are_those_of_the_registry_now(monkeypatch):
    with pytest.raises(SettingsError) as error:
        check(Settings, {"colour": "gren"})
    assert error.value.remedy == "check the spelling"
    monkeypatch.setitem(COLOURS, "green", "as grass")
    check(Settings, {"colour": "green"})
    assert _CHOICE.description == "which colour; red: as blood; green: as grass; blue"
    with pytest.raises(SettingsError) as error:
        check(Settings, {"colour": "gren"})
    assert error.value.remedy == "did you mean green?"


def test_a_preset_is_named():
    assert Param("how much", from_preset=True).description == "how much; default: the preset's"


def test_types_without_none():
    assert without_none(int | None) is without_none(Optional[int]) is without_none(int) is int  # noqa: UP045
    assert without_none(int | str | None) == int | str | None
    param = Param("x")
    for annotation in (Annotated[int | None, param], Optional[Annotated[int | None, param]]):  # noqa: UP045
        assert param_of(annotation) == (int | None, param)  # either way round


def test_names():
    assert names_in(" a, b ,,c") == ["a", "b", "c"]
    assert names_in(" ") == []
