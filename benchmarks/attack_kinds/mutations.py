"""Hostile values in place of every value of a record, and damaged bytes of files, for several kinds of attack."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

# What no setting, name or list may be; written as they stand in JSON.
VALUES = (
    "null", "true", "0", "-1", "1e308", "-1e308", "1e-308", "NaN", "Infinity", "1" + "0" * 400, "9" * 5000, '""', '"x"',
    '"\\ud800"', '"a\\nshow=/etc/passwd"', '"' + "x" * 100_000 + '"', "[]", "[[]]", "{}", '{"a": 1}', "[1, 2, 3]",
    "[" * 100_000 + "]" * 100_000,
)  # fmt: skip


def places(record: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of nested dicts and lists; of a long list to its first and last alone."""
    if path:
        yield path
    if isinstance(record, dict):
        for key, value in record.items():
            yield from places(value, (*path, key))
    elif isinstance(record, list) and record:
        for index in sorted({0, len(record) - 1}):
            yield from places(record[index], (*path, index))


def with_value(record: Any, path: tuple[Any, ...], text: str) -> str:
    """A record as JSON with one value replaced by a text as it stands."""
    marker = "@@HERE@@"
    copy = json.loads(json.dumps(record))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = marker
    return json.dumps(copy).replace(f'"{marker}"', text)


def without(record: Any, path: tuple[Any, ...]) -> str:
    """A record as JSON with one value left out."""
    copy = json.loads(json.dumps(record))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return json.dumps(copy)


def damaged(data: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """A file's bytes cut, turned, doubled and filled with noise, each with a name."""
    size = len(data)
    for share in (0, 0.01, 0.5, 0.99):
        yield f"cut to {share:.0%}", data[: int(size * share)]
    yield "twice", data + data
    yield "zeros", bytes(min(size, 2**16))
    for number in range(6):
        turned = bytearray(data)
        for _ in range(1 + number * 4):
            turned[rng.randrange(size)] = rng.randrange(256)
        yield f"bytes turned {number}", bytes(turned)
    for number in range(4):
        start = bytearray(data)
        start[rng.randrange(min(size, 64))] = rng.randrange(256)
        yield f"head turned {number}", bytes(start)


def chosen(every: list[Any], count: int, rng: random.Random) -> list[Any]:
    """So many of a list, in its order; all where there are no more."""
    return [every[index] for index in sorted(rng.sample(range(len(every)), min(count, len(every))))]


def finite_rows(probabilities: Any) -> None:
    """Assert that they are class probabilities: finite, none negative, summing to 1."""
    import numpy as np

    array = np.asarray(probabilities, np.float64)
    assert np.isfinite(array).all(), "probabilities that are no numbers"
    assert array.min() >= 0, f"a probability of {array.min()}"
    assert np.abs(array.sum(-1) - 1).max() < 1e-3, f"probabilities that sum to {array.sum(-1).max()}"


def refused(call: Callable[[], object], what: str) -> None:
    """Assert that a call raises a BridgeError."""
    from fijibridge.core.errors import BridgeError

    try:
        call()
    except BridgeError:
        return
    raise AssertionError(f"{what} was accepted")
