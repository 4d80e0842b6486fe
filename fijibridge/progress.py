"""Progress of long work. The library reports steps; whoever calls it decides whether and where a bar is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol


class Bar(Protocol):
    """What a reporter hands out: a context manager with tqdm's ``update``."""

    def __enter__(self) -> Bar: ...

    def __exit__(self, *error: object) -> bool | None: ...

    def update(self, n: int = 1) -> Any: ...


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def update(self, n: int = 1) -> None:
        return None


Reporter = Callable[[str, int], Bar]

_reporter: ContextVar[Reporter] = ContextVar("reporter", default=lambda text, total: _Silent())


def bar(text: str, total: int) -> AbstractContextManager[Bar]:
    """A bar of ``total`` steps, shown by the reporter in force (by default: not shown)."""
    return _reporter.get()(text, total)


@contextmanager
def reported(reporter: Reporter) -> Iterator[None]:
    """Show the bars of the work inside the ``with`` by ``reporter(text, total)``."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


def terminal(text: str, total: int) -> Bar:
    """A reporter for the terminal (standard error): ``with reported(terminal): ...``."""
    import sys

    from tqdm import tqdm

    # in the log of a cluster job each refresh is a line that stays
    return tqdm(desc=text, total=total, leave=False, mininterval=0.1 if sys.stderr.isatty() else 10)
