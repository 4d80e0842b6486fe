"""Progress of long work. The library reports steps; whoever calls it decides whether and where a bar is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol


class Bar(Protocol):
    """One bar of a reporter: a context manager with tqdm's ``update``."""

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
_stages_too: ContextVar[bool] = ContextVar("stages_too", default=False)


def bar(text: str, total: int) -> AbstractContextManager[Bar]:
    """A progress bar: ``with bar("features", 12) as progress: ... progress.update()``.

    Parameters
    ----------
    text : str
        What is being done.
    total : int
        Number of steps.

    Returns
    -------
    context manager
        Of a `Bar`, which the reporter of the enclosing :func:`reported` shows; without one it is not shown.
    """
    return _reporter.get()(text, total)


def stage(text: str) -> AbstractContextManager[Bar]:
    """A bar of one step for a stage of an operation, in which there may be further bars.

    Parameters
    ----------
    text : str
        What is being done.

    Returns
    -------
    context manager
        Of a `Bar`; shown only by a reporter that wants stages, too.
    """
    return _reporter.get()(text, 1) if _stages_too.get() else _Silent()


@contextmanager
def reported(reporter: Reporter, *, stages: bool = False) -> Iterator[None]:
    """Show the bars of the work inside the ``with`` by ``reporter(text, total)``.

    Parameters
    ----------
    reporter : callable (text, total)
        Makes a bar.
    stages : bool
        Whether it makes bars of an operation's stages, too: for one who shows all as a whole.
    """
    tokens = _reporter.set(reporter), _stages_too.set(stages)
    try:
        yield
    finally:
        _reporter.reset(tokens[0])
        _stages_too.reset(tokens[1])


def terminal(text: str, total: int) -> Bar:
    """A reporter for the terminal (standard error): ``with reported(terminal): ...``.

    Parameters
    ----------
    text : str
        What is being done.
    total : int
        Number of steps.
    """
    import sys

    from tqdm import tqdm

    # in the log of a cluster job each refresh is a line that stays
    return tqdm(desc=text, total=total, leave=False, mininterval=0.1 if sys.stderr.isatty() else 10)
