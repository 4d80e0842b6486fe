"""Choices by name: imported when one is asked for, in the table's order, with room for further ones."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fijibridge.core.errors import SettingsError
from fijibridge.core.registry import Registry
from fijibridge.features.source import SOURCES, FeatureSource, SourceSettings
from fijibridge.features.upsampling.base import UPSAMPLERS, UpsamplingMethod
from fijibridge.features.vit.debiasing.base import DEBIASING, Debiasing


def numbers() -> Registry[object]:
    return Registry("number", {"pi": ("circle over diameter", "math:pi"), "root": ("square root", "math:sqrt")})


def test_things_are_imported_when_asked_for(tmp_path, monkeypatch):
    (tmp_path / "registered_thing.py").write_text("THING = object()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    own: Registry[object] = Registry("thing", {"one": ("the only one", "registered_thing:THING")})
    assert own.descriptions() == {"one": "the only one"}
    assert "one" in own
    assert "registered_thing" not in sys.modules
    thing = own["one"]
    assert thing is sys.modules["registered_thing"].THING
    del sys.modules["registered_thing"]
    assert own["one"] is thing  # not imported again


def test_names_and_their_order():
    own = numbers()
    assert own.names == tuple(own) == ("pi", "root")
    assert len(own) == 2
    assert own["root"](9) == 3
    assert "e" not in own
    assert 3 not in own
    found = own.descriptions()
    found["e"] = "another"
    assert own.descriptions() == {"pi": "circle over diameter", "root": "square root"}


@given(st.text().filter(lambda name: name not in ("pi", "root")))
def test_an_unknown_name(name):
    with pytest.raises(SettingsError) as error:
        numbers()[name]
    assert error.value.found == f"number {name!r}"
    assert error.value.expected == "one of pi, root"
    assert error.value.remedy == "check the spelling"


def test_a_further_choice():
    own, thing = numbers(), object()
    assert own.add("e", thing, "of the logarithm") is thing
    assert own["e"] is thing
    assert own.names == ("pi", "root", "e")
    assert own.descriptions()["e"] == "of the logarithm"
    with pytest.raises(SettingsError, match="a second number 'e'"):
        own.add("e", 3)
    with pytest.raises(SettingsError, match="a second number 'pi'"), own.added("pi", 3):
        pytest.fail("the name is taken")
    assert own["e"] is thing


def test_a_choice_for_a_while():
    own = numbers()
    with own.added("e", 2.7, "of the logarithm"):
        assert own["e"] == 2.7
        assert own.descriptions()["e"] == "of the logarithm"
    assert own.names == ("pi", "root")
    with pytest.raises(RuntimeError), own.added("e", 2.7):  # also where what is tried fails
        raise RuntimeError
    assert own.names == ("pi", "root")
    assert "e" not in own.descriptions()


def test_a_name_may_be_added_while_all_are_listed():
    own = numbers()
    for name in own:
        own.add(f"another {name}", name)
    assert len(own) == 4


@pytest.mark.parametrize(
    ("registry", "kind"), [(UPSAMPLERS, UpsamplingMethod), (DEBIASING, Debiasing)], ids=["upsamplers", "debiasing"]
)
def test_methods_are_what_they_are_called(registry, kind):
    for name in registry:
        assert isinstance(registry[name], kind)
        assert registry.descriptions()[name]


def test_sources_are_registered_under_their_own_names():
    for name in SOURCES:
        source = SOURCES[name]
        assert issubclass(source, FeatureSource)
        assert issubclass(source.settings_class, SourceSettings)
        assert source.settings_class.kind == source().kind == name
