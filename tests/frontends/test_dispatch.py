"""A macro's call: the answer's lines, what it warns of, and what it opens."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import ImageError
from fijibridge.frontends import dispatch
from fijibridge.frontends.dispatch import CancelledCall, perform
from fijibridge.frontends.service.server import _wanted

FORGED = "a\nshow=/etc/passwd\tPWN\nout=/home/me"


def answer_to(monkeypatch, place: Path, report: dict, *warned: str) -> list[str]:
    """The lines of a call whose operation reports this."""

    def fake(out: Path) -> dict:
        for text in warned:
            logging.getLogger("fijibridge.images.image").warning("%s", text)
        out.mkdir(parents=True)
        for name in report.get("outputs", []):
            tifffile.imwrite(out / name, np.zeros((2, 2), np.uint8))
        return {**report, "out": str(out)}

    monkeypatch.setattr(dispatch, "operation", lambda _: fake)
    monkeypatch.setattr(dispatch, "arguments_of", lambda name, values, options: {"out": Path(values["out"])})
    return perform("apply", {}, "", place=place, watch=lambda *_: None).split("\n")


def test_names_from_files_forge_no_lines(monkeypatch, tmp_path):
    report = {"class_fractions": {FORGED: 0.5}, "class_names": [FORGED], "image": f"/x/{FORGED}.tif", FORGED: 1}
    lines = answer_to(monkeypatch, tmp_path, {**report, "outputs": ["labels.tif", "a\nshow=.tif"]}, FORGED)
    assert lines[0] == "done"
    assert [line for line in lines if line.startswith("out=")] == ["out="]
    shown = [line for line in lines if line.startswith("show=")]
    assert len(shown) == 1
    assert shown[0].split("\t")[0] == f"show={(tmp_path / 'results' / 'labels.tif').as_posix()}"
    assert len(shown[0].split("\t")) == 2
    warnings = next(line for line in lines if line.startswith("warnings="))
    assert "is not opened" in warnings


def test_what_is_left_out_reaches_the_macro(monkeypatch, tmp_path):
    notes = ["2 page(s) are not read", "greys far from the training's"]
    files = [{"image": "/x/a.tif", "databar_rows": 40, "notes": notes}, {"image": "/x/b.tif", "databar_rows": 0}]
    lines = answer_to(monkeypatch, tmp_path, {"files": files}, f"/x/a.tif: {notes[0]}", f"/x/a.tif: {notes[0]}")
    assert [line for line in lines if line.startswith("warnings=")] == [
        f"warnings=/x/a.tif: {notes[0]}; a.tif: the last 40 rows, its data bar, are left out; a.tif: {notes[1]}"
    ]
    assert logging.getLogger("fijibridge").handlers == []


def test_a_call_without_such_has_no_warnings(monkeypatch, tmp_path):
    assert not any(line.startswith("warnings") for line in answer_to(monkeypatch, tmp_path, {"databar_rows": 0}))


_texts = st.text(st.characters(), max_size=12) | st.sampled_from(["segment", "measure", "/no/a.tif", "image", "labels"])
_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.integers(10**400, 10**401) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_requests = st.fixed_dictionaries(
    {"operation": st.sampled_from(["segment", "measure", "apply", "reconstruct"]) | _values},
    optional={
        "arguments": st.dictionaries(st.sampled_from(["image", "labels", "classifier", "trees"]) | _texts, _values)
        | _values,
        "options": st.text("abtrees=[] 19,", max_size=40) | _values,
    },
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=_requests | _values, cut=st.integers(0, 400) | st.none())
def test_any_request_is_answered_in_words(tmp_path, wanted, cut):
    """No image is there, so that no call can succeed."""
    path = tmp_path / "request.json"
    path.write_text(json.dumps(wanted)[:cut], encoding="utf-8")
    try:
        name, values, options = _wanted(path)
    except (ValueError, RecursionError):
        return
    answer = perform(name, values, options, place=tmp_path / "place", watch=lambda *_: None, whole_paths=True)
    assert answer.startswith("error\n")
    assert "report it as a bug" not in answer
    assert len(answer) < 5000


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, '{"operation": 1' + "0" * 5000 + "}", "\ufeff{}", ""])
def test_text_that_is_no_request(tmp_path, text):
    path = tmp_path / "request.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((ValueError, RecursionError)):
        _wanted(path)


@pytest.mark.parametrize("error", [SystemError, MemoryError, ImageError])
def test_what_compiled_code_makes_of_an_interruption_is_a_cancelled_call(monkeypatch, tmp_path, caplog, error):
    """The exception of a signal that comes within Numba's dispatcher, or a decoder, arrives as another one."""
    wanted = True

    def interrupted(out: Path) -> dict:
        nonlocal wanted
        wanted = out.name == "kept"
        raise error("a result with an exception set")

    def watch(*_: object) -> None:
        if not wanted:
            raise CancelledCall

    monkeypatch.setattr(dispatch, "operation", lambda _: interrupted)
    monkeypatch.setattr(dispatch, "arguments_of", lambda name, values, options: {"out": tmp_path / options})
    assert perform("apply", {}, "kept", place=tmp_path, watch=watch).startswith("error\n")
    caplog.clear()
    with pytest.raises(CancelledCall):
        perform("apply", {}, "cancelled", place=tmp_path, watch=watch)
    assert not caplog.records


def parts_of(name: str, values: dict, place: Path) -> tuple[list[float], list[str]]:
    """How far a call was, and what was said, each time that it told."""
    seen: list[tuple[float, str]] = []
    answer = perform(name, values, "", place=place, watch=lambda part, text: seen.append((part, text)))
    assert answer.startswith("done"), answer
    return [part for part, _ in seen], [text for _, text in seen]


def test_one_images_bar_moves_and_never_goes_back(tmp_path):
    from shell import write_sample

    write_sample(tmp_path)
    fast = {"features": "tws", "trees": "8", "threads": "1"}
    image = {"image": str(tmp_path / "image.tif"), "labels": str(tmp_path / "labels.tif")}
    parts, texts = parts_of("segment", {**image, **fast}, tmp_path / "a")
    assert parts == sorted(parts)
    assert len(set(parts)) >= 6
    assert 0 <= parts[0] < 0.1 < 0.8 < parts[-1] <= 1
    assert {"reading", "features", "training", "segmenting"} <= set(texts)
    classifier = str(tmp_path / "a" / "results" / "classifier")
    parts, _ = parts_of("apply", {"classifier": classifier, "images": image["image"]}, tmp_path / "b")
    assert parts == sorted(parts)
    assert len({part for part in parts if 0 < part < 0.95}) >= 3


def test_bars_inside_of_bars_share_their_step():
    seen: list[float] = []
    whole = dispatch._Whole(lambda part, text: seen.append(part))
    with whole("images and slices", 2) as images:
        for _ in range(2):
            with whole("features", 1), whole("ViT features of BSE", 4) as tiles:
                for _ in range(6):  # more than were announced
                    tiles.update()
            with whole("training", 1):
                pass
            images.update()
    assert seen == sorted(seen)
    half = seen.index(0.49)
    assert max(seen[:half]) < 0.49
    assert seen[-1] == 0.98
