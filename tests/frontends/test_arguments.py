"""Text from macros becomes typed arguments, reports become lines."""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import SettingsError
from fijibridge.frontends.arguments import arguments_of, kind_of, parameters_of, parse_options, report_lines
from fijibridge.operations import CATALOGUE

_keys = st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True)
_values = st.text(st.characters(blacklist_characters="[]", blacklist_categories=("Cs", "Cc")), max_size=20)


@given(st.dictionaries(_keys, _values, max_size=6))
def test_options_survive_imagejs_form(options):
    text = " ".join(f"{key}=[{value}]" for key, value in options.items())
    assert parse_options(text) == options


def test_options_as_imagejs_recorder_writes_them():
    text = "labels=/tmp/a.zip classes=[ISE, CAM, pore] max_features=sqrt overwrite heap=[] databar="
    assert parse_options(text) == {
        "labels": "/tmp/a.zip",
        "classes": "ISE, CAM, pore",
        "max_features": "sqrt",
        "overwrite": "true",
        "heap": "",
        "databar": "",
    }
    assert parse_options(" \n ") == {}


@pytest.mark.parametrize("text", ["=5", "a=[unclosed", "a=[b]c", "a = 5", "'x'"])
def test_options_that_are_none(text):
    with pytest.raises(SettingsError, match="not understood"):
        parse_options(text)


@given(st.text(st.characters(), max_size=300) | st.text("ab=[] \t\n", max_size=300))
@settings(deadline=None)
def test_any_text_is_options_or_is_told(text):
    try:
        found = parse_options(text)
    except SettingsError as error:
        told = str(error)
        assert len(told) < 1000
    else:
        assert all(isinstance(value, str) for value in found.values())


@pytest.mark.parametrize(
    "text", ["x " * 500_000, "a=[" * 300_000, " " * 10**6 + "=", "a" * 10**6 + "!", "k=[v] " * 10**5]
)
def test_the_time_for_options_is_linear(text):
    began = time.process_time()
    with pytest.raises(SettingsError):
        parse_options(text)
    assert time.process_time() - began < 0.5


def test_an_option_is_given_once():
    """As a file's name may make two of one: out=[/data/NAME], with the name "x] overwrite out=[y"."""
    with pytest.raises(SettingsError, match="'out' twice"):
        parse_options("out=[/data/x] overwrite out=[y]")
    assert parse_options("show trees=5 show") == {"show": "true", "trees": "5"}


@pytest.mark.parametrize(
    "value", ["/a\nb", "/a\x00b", "/a\tb", "/\ud800", "/a\x7f", [1, 2], {"a": 1}, [["/a"]], [None], b"/a"], ids=repr
)
@pytest.mark.parametrize("key", ["labels", "classes", "trees", "probabilities"])
def test_what_is_no_text_or_number_is_told(key, value):
    with pytest.raises(SettingsError, match=f"{key} = ") as caught:
        arguments_of("segment", {"image": "/a.tif", "labels": "/b.tif", key: value})
    str(caught.value).encode()


def good_value(plain, param, draw) -> object:
    """A value of a parameter's type and range, as a macro writes it."""
    kind = kind_of(plain)
    if kind == "bool":
        return draw(st.sampled_from(["true", "false", "1", "0", True]))
    if kind == "choice":
        return draw(st.sampled_from([str(choice) for choice in get_args(plain)]))
    if kind in ("int", "float"):
        low, high = int(param.low or 0), int(param.high or 100)
        return draw(st.one_of(st.integers(low, high), st.integers(low, high).map(str)))
    if kind == "paths":
        return "/a/b.tif\n/c/d e.tif"
    return "/a/ü b.tif" if kind == "path" else "abc"


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_parameter_of_every_operation_takes_what_a_macro_gives(name, data):
    parameters = parameters_of(name)
    values = {key: good_value(plain, param, data.draw) for key, (plain, param, _) in parameters.items()}
    found = arguments_of(name, values)
    assert found.keys() == parameters.keys()
    for key, (plain, _, _) in parameters.items():
        kind = {"bool": bool, "int": int, "float": float, "path": Path, "paths": list}.get(kind_of(plain), str)
        assert isinstance(found[key], kind), (key, found[key])


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a draw for each of each
@given(data=st.data())
def test_no_parameter_takes_another_type(name, data):
    parameters = parameters_of(name)
    for key, (plain, param, _) in parameters.items():
        if kind_of(plain) not in ("bool", "int", "float"):
            continue
        values = {other: good_value(kind, about, data.draw) for other, (kind, about, _) in parameters.items()}
        wrong = data.draw(st.sampled_from(["three", "1e400", "2,5", "nan", "0x10"]))
        with pytest.raises(SettingsError, match=f"{key} = {wrong}"):
            arguments_of(name, {**values, key: wrong})
        assert param.help


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_missing_is_named(name):
    needed = [key for key, (_, _, p) in parameters_of(name).items() if p.default is inspect.Parameter.empty]
    if not needed:
        assert arguments_of(name, dict.fromkeys(parameters_of(name), "")) == {}
        return
    with pytest.raises(SettingsError, match=f"{name} without|no image is open"):
        arguments_of(name, dict.fromkeys(needed, ""))


def test_unknown_options_are_named_with_what_may_have_been_meant():
    with pytest.raises(SettingsError, match="segment has no option 'tree'") as caught:
        arguments_of("segment", {"image": "/a.tif", "labels": "/b.tif", "out": "/c"}, "tree=5")
    assert caught.value.remedy == "did you mean trees?"


def test_a_title_in_the_options_does_not_undo_the_file_made_of_it():
    values = {"image": "/a.tif", "labels": "/exported.tif", "out": "/c", "trees": 10}
    found = arguments_of("segment", values, "labels=[open image] trees=20")
    assert found["labels"] == Path("/exported.tif")
    assert found["trees"] == 20


def test_several_paths(tmp_path):
    values = {"classifier": "/c", "out": "/o"}
    for text, wanted in [("/a.tif;/b.tif", ["/a.tif", "/b.tif"]), ("/a.tif\n/b;c.tif", ["/a.tif", "/b;c.tif"])]:
        assert arguments_of("apply", {**values, "images": text})["images"] == [Path(path) for path in wanted]
    odd = tmp_path / "a;b.tif"
    odd.touch()
    assert arguments_of("apply", {**values, "images": str(odd)})["images"] == [odd]


def test_reports_as_lines():
    report = {
        "out": Path("/a/b"),
        "fractions": {"ISE": 0.5, "big pore": 0.25},
        "files": [{"image": "a.tif", "shape": [3, 4]}],
        "none": None,
        "ok": True,
        "text": "two\nlines",
    }
    assert report_lines(report) == [
        "out=/a/b",
        "fractions.ISE=0.5",
        "fractions.big pore=0.25",
        "files.1.image=a.tif",
        "files.1.shape=3,4",
        "none=",
        "ok=true",
        "text=two lines",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "a\nshow=/x\tPWN",
        "a\r\nout=/x",
        "a\x0bb",
        "a\u2028out=/x",
        "a\x85out=/x",
        "pore=1",
        "a\0b",
        "\ud800",
        "a\x1b[2J",
    ],
    ids=repr,
)
def test_a_name_from_a_file_is_a_part_of_one_line(name):
    lines = report_lines({"fractions": {name: 0.5, "pore": 0.25}, "names": [name], "files": [{"image": name}]})
    assert len("\n".join(lines).split("\n")) == 4
    assert [line.partition(".")[0].partition("=")[0] for line in lines] == ["fractions", "fractions", "names", "files"]
    assert [line for line in lines if line.startswith("fractions.pore=")] == ["fractions.pore=0.25"]
    assert not any("\t" in line for line in lines)
    "\n".join(lines).encode()


def test_spaces_of_a_path_are_kept():
    assert report_lines({"out": Path("/a  b/c")}) == ["out=/a  b/c"]
