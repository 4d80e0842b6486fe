"""JSON and TOML as untrusted input: what comes through is bounded, what does not is refused in words."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import ModelFileError, SettingsError
from fijibridge.core.names import LONGEST, check_names, flaw, listed
from fijibridge.core.params import Param
from fijibridge.core.records import made, number, parse_json, parse_toml, read_json, texts


@dataclass(frozen=True)
class Record:
    """Of every kind of field."""

    name: str
    count: Annotated[int, Param("", low=1, high=9)] = 1
    share: Annotated[float, Param("", low=0, high=1)] = 0.5
    kind: Literal["a", "b", 2] = "a"
    whole: bool = True
    sizes: tuple[float, ...] = ()
    pair: tuple[int, int] | None = None
    rest: Any = None
    more: dict[str, int] | None = None


@pytest.mark.parametrize(
    "text",
    ["NaN", "[Infinity]", "1e999", "1e16", "-1e300", "9" * 5000, "1" + "0" * 400, "[" * 10**5, "[" * 50 + "]" * 50,
     '"\\ud800"', '"' + "x" * 2**21 + '"', '{"a": 1, "a": 2}', "nul", ""],
)  # fmt: skip
def test_json_that_is_refused(tmp_path, text):
    for record in (text, f'{{"a": {text}}}'):
        with pytest.raises(ValueError, match=r"\w"):
            parse_json(record)
        (tmp_path / "r.json").write_text(record)
        with pytest.raises(ModelFileError, match="cannot be read") as error:
            read_json(tmp_path / "r.json")
        assert len(str(error.value)) < 3000


def test_files_that_are_none(tmp_path):
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{}")
    (tmp_path / "folder.json").mkdir()
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(2**26)
    for name in ("bytes", "folder", "large", "none"):
        with pytest.raises(SettingsError, match=f"{name}.json cannot be read"):
            read_json(tmp_path / f"{name}.json", error=SettingsError)


_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=6,
)


def _leaves(value):
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    else:
        yield value


@settings(max_examples=150, deadline=None)
@given(_values)
def test_any_json_is_bounded_or_refused(value):
    try:
        found = parse_json(json.dumps(value))
    except ValueError:
        return
    assert found == value
    for leaf in _leaves(found):
        if isinstance(leaf, (int, float)):
            assert math.isfinite(leaf)
            assert abs(leaf) <= 1e15
        if isinstance(leaf, str):
            leaf.encode()


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("[]{}=.,'\"\n \\ax1-eE", max_size=60), st.binary(max_size=60)))
def test_any_text_is_parsed_or_refused(text):
    with contextlib.suppress(ValueError):
        assert isinstance(parse_json(text), dict)
    with contextlib.suppress(SettingsError):
        assert isinstance(text, bytes) or isinstance(parse_toml(text, "t.toml"), dict)


@pytest.mark.parametrize("text", ["a = 1979-05-27", "a = nan", "a = 1e300", "a = " + "[" * 10**5, "a." * 10**5 + "b=1"])
def test_toml_that_is_refused(text):
    with pytest.raises(SettingsError, match="is not valid TOML"):
        parse_toml(text, "t.toml")


# --- records ---------------------------------------------------------------------------------------------------------


def test_a_record():
    given = {"name": "x", "sizes": [1, 2.5], "pair": [1, 2], "kind": 2, "more": {"a": 1}}
    assert made(Record, given, "it") == Record("x", sizes=(1, 2.5), pair=(1, 2), kind=2, more={"a": 1})


@pytest.mark.parametrize(
    "wrong",
    [None, [], "x", {}, {"nothing": 1}, {"name": 5}, {"count": 0}, {"count": 10}, {"count": 1.5}, {"count": True},
     {"share": 2}, {"share": "0.5"}, {"share": None}, {"kind": "c"}, {"kind": True}, {"kind": []}, {"whole": 1},
     {"sizes": 1}, {"sizes": ["a"]}, {"sizes": "12"}, {"pair": [1]}, {"pair": [1, 2, 3]}, {"pair": [1, None]},
     {"more": []}, {"name": None}],
)  # fmt: skip
def test_records_that_are_refused(wrong):
    values = {"name": "x", **wrong} if isinstance(wrong, dict) and wrong else wrong
    with pytest.raises(SettingsError, match="the record: "):
        made(Record, values, "the record", error=SettingsError)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*Record.__dataclass_fields__, "x"]), _values, max_size=3))
def test_any_record_is_made_or_refused(values):
    try:
        found = made(Record, values, "it")
    except ModelFileError:
        return
    assert 1 <= found.count <= 9
    assert 0 <= found.share <= 1


def test_lists_and_numbers():
    assert texts(["a"], "x") == ("a",)
    for wrong in ("a", None, [1], {"a": 1}):
        with pytest.raises(ValueError, match="list of names"):
            texts(wrong, "x")
    assert number(1, "x", 0, 1) == 1.0
    for value in (True, "1", None, 2, float("nan")):
        with pytest.raises(ValueError, match="x ="):
            number(value, "x", 0, 1)


# --- names -----------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(), max_size=130))
def test_names(name):
    if flaw(name):
        with pytest.raises(SettingsError, match="class name") as error:
            check_names([name], error=SettingsError)
        assert len(str(error.value)) < 600
    else:
        assert 0 < len(name) <= LONGEST
        assert len(f"a{name}b".splitlines()) == 1
        name.encode()
        check_names([name])


@pytest.mark.parametrize("name", ["Kathode", "孔隙", "NMC 811", "β-Li₃PS₄", "a, b", "x=1", "  a", "ä" * 120])
def test_good_names(name):
    assert not flaw(name)


def test_lists_are_short():
    assert listed(range(1000)) == "0, 1, 2, 3, 4, 5, ... (1000)"
    assert listed(["a\nb"]) == "'a\\nb'"
    assert listed([]) == ""
