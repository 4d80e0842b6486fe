"""What a macro does to call the service, in Python: write the request, GET twice, poll. For several test files."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

from fijibridge.doors.service import Running, ask

_numbers = itertools.count()


def request(folder: Path, operation: str, arguments: dict[str, Any], options: str = "") -> str:
    """Write a request; its id."""
    key = f"test-{os.getpid()}-{next(_numbers)}"
    wanted = {"operation": operation, "arguments": arguments, "options": options}
    (folder / "requests" / f"{key}.json").write_text(json.dumps(wanted), encoding="utf-8")
    return key


def get(service: Running, path: str) -> str:
    """As ImageJ does: every request twice, the second answer counts."""
    ask(service, path)
    answer = ask(service, path)
    assert answer is not None, path
    return answer


def wait(service: Running, key: str) -> str:
    """The answer of a request, polled for."""
    answer = get(service, f"run/{key}")
    for n in itertools.count(1):
        if not answer.startswith("running"):
            return answer
        answer = get(service, f"poll/{key}/{n}")
    raise AssertionError


def call(service: Running, folder: Path, operation: str, arguments: dict[str, Any], options: str = "") -> str:
    """An operation's answer; its files are released."""
    key = request(folder, operation, arguments, options)
    answer = wait(service, key)
    get(service, f"release/{key}")
    return answer


def values(answer: str) -> dict[str, str]:
    """The ``key=value`` lines of an answer."""
    return dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
