"""Tasks here and in processes: what is done comes with its number, errors as values, dead workers are replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fijibridge.core.errors import ServiceError, SettingsError
from fijibridge.core.task_pool import done_tasks


def square(number: int) -> int:
    if number < 0:
        raise SettingsError(f"{number}", expected="a positive number", remedy="choose another")
    return number**2


def die_once(number: int, folder: str) -> int:
    """The second task ends its process when it is first begun."""
    mark = Path(folder) / "begun"
    if number == 1 and not mark.exists():
        mark.touch()
        os._exit(1)
    return number


def die(number: int) -> None:
    os._exit(1)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_each_task_is_done_and_errors_are_values(workers):
    found = dict(done_tasks(square, [(2,), (-1,), (3,)], workers=workers))
    assert (found[0], found[2]) == (4, 9)
    assert isinstance(found[1], SettingsError)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(tmp_path):
    found = list(done_tasks(die_once, [(n, str(tmp_path)) for n in range(4)], workers=2))
    assert sorted(found) == [(n, n) for n in range(4)]


@pytest.mark.slow
def test_workers_that_always_die_are_given_up():
    with pytest.raises(ServiceError, match="again and again"):
        list(done_tasks(die, [(1,), (2,)], workers=2))
