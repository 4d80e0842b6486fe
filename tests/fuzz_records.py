"""Hostile values and bytes for fuzz tests of what is read from files: short in CI, as long as one likes by hand.

``FIJIBRIDGE_FUZZ=100 pytest tests -k fuzz`` tries a hundred times as many.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def fuzz(examples: int) -> settings:
    """Settings of a fuzz test of so many examples in CI."""
    often = int(os.environ.get("FIJIBRIDGE_FUZZ", "1"))
    return settings(
        max_examples=examples * often,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def short(error: Exception) -> None:
    """Assert that a message is one that a person reads."""
    assert 0 < len(str(error)) < 3000


# as they stand in JSON
hostile = st.one_of(
    st.sampled_from(
        ["null", "true", "0", "-1", "0.5", "1e308", "-1e308", "1e-308", "NaN", "-Infinity", "1" + "0" * 400, "9" * 5000,
         '""', '"x"', '"\\ud800"', '"a\\nb"', "[]", "[[]]", "{}", '{"a": 1}', "[1, 2, 3]", "[" * 9999 + "]" * 9999]
    ),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(st.characters(), max_size=8).map(json.dumps),
)  # fmt: skip


def places(record: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of nested dicts and lists."""
    found = [path] if path else []
    if isinstance(record, (dict, list)):
        for key in record if isinstance(record, dict) else range(len(record)):
            found += places(record[key], (*path, key))
    return found


@st.composite
def changed(draw: st.DrawFn, record: Any) -> str:
    """A record as JSON, with one to three values replaced or left out."""
    found = copy.deepcopy(record)
    texts = []
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(found)))
        inner = found
        for key in path[:-1]:
            inner = inner[key]
        if draw(st.booleans()) or len(places(found)) < 2:
            texts.append(draw(hostile))
            inner[path[-1]] = f"@@{len(texts) - 1}@@"
        else:
            del inner[path[-1]]
    text = json.dumps(found)
    for number, hostile_text in enumerate(texts):
        text = text.replace(f'"@@{number}@@"', hostile_text)
    return text


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes of a file, some of them turned, with a part cut out or doubled."""
    found = bytearray(data)
    for _ in range(draw(st.integers(0, 8))):
        found[draw(st.integers(0, len(found) - 1))] = draw(st.integers(0, 255))
    start, stop = sorted(draw(st.tuples(st.integers(0, len(found)), st.integers(0, len(found)))))
    return bytes(
        draw(st.sampled_from([found, found[:stop], found[:start] + found[stop:], found[:stop] + found[start:]]))
    )
