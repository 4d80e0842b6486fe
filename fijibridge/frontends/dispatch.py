"""One call of an operation by a macro, from the service or from Ext: text in, the answer's text out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fijibridge.core.errors import BridgeError, SettingsError
from fijibridge.core.progress import reported
from fijibridge.frontends.arguments import arguments_of, is_one_line, kind_of, one_line, parameters_of, report_lines
from fijibridge.operations import CATALOGUE, not_opened, operation

log = logging.getLogger(__name__)

# what ImageJ opens: images and tables; the first of them last, so that it is the active one
_SHOWN = (".tif", ".tiff", ".csv")
DONE, ERROR = "done", "error"
_LONGEST_ERROR = 4000  # letters: more fills a dialog
_MOST_WARNINGS = 20

_SHARE = 0.5  # of what is left, for a bar
_SHARES = {"reading": 0.03, "starting Java": 0.1, "writing": 0.2, "images and slices": 0.98, "slices": 0.98}

Watch = Callable[[float, str], None]


class CancelledCall(BaseException):
    """The macro does not want the answer any more. No Exception: nothing but the call itself may catch it."""


class _Whole:
    """All bars of a call as one, which never goes back.

    How much is still to come, nobody knows: so a bar inside of another's step gets a share of what is left of it.

    Parameters
    ----------
    watch : callable (part, text)
        Gets the part done of the whole.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.open = [_Watched(self, "", 1, 0.0, 1.0)]  # the call, and in it the bars that are not closed yet

    def __call__(self, text: str, total: int) -> _Watched:
        outer = self.open[-1]
        start, width = outer.left()
        return _Watched(self, text, total, start, width * _SHARES.get(text, _SHARE))


class _Watched:
    """A progress bar inside of `_Whole`, from `start` on and `width` wide."""

    def __init__(self, whole: _Whole, text: str, total: int, start: float, width: float) -> None:
        self.whole, self.text, self.total, self.start, self.width = whole, text, max(1, total), start, width
        self.count, self.reached = 0, start

    def left(self) -> tuple[float, float]:
        """Where the next bar inside of this one's present step begins, and how wide it may be."""
        end = self.start + self.width * min(1.0, (self.count + 1) / self.total)
        return self.reached, max(0.0, end - self.reached)

    def __enter__(self) -> _Watched:
        self.whole.open.append(self)
        self.whole.watch(self.reached, self.text)
        return self

    def __exit__(self, *error: object) -> None:
        self.whole.open.remove(self)
        outer = self.whole.open[-1]
        outer.reached = max(outer.reached, self.start + self.width)

    def update(self, n: int = 1) -> None:
        self.count += n
        self.reached = max(self.reached, self.start + self.width * min(1.0, self.count / self.total))
        self.whole.watch(self.reached, self.text)


def perform(
    name: str, values: dict[str, Any], options: str, *, place: Path, watch: Watch, whole_paths: bool = False
) -> str:
    """Run an operation for a macro.

    Parameters
    ----------
    name : str
        Of the catalogue.
    values, options
        As for `fijibridge.frontends.arguments.arguments_of`.
    place : Path
        A private folder: results go there where the macro gave no folder ``out``.
    watch : callable (part, text)
        Gets the progress; may raise `CancelledCall`.
    whole_paths : bool
        Refuse relative paths, which mean nothing to a process that the user did not start.

    Returns
    -------
    str
        First line ``done``; then the report as ``key=value`` lines, ``out`` empty where the results are in `place`;
        ``warnings=`` with what the user should know of, where there is such; and one line ``show=PATH<tab>TITLE`` for
        each image or table that ImageJ can open. Or first line ``error``, and the message.
    """
    with _heard() as warnings:
        try:
            report, kept = _called(name, values, options, place, watch, whole_paths)
        except Exception as error:
            watch(1.0, "")  # compiled code makes an error of its own of the CancelledCall that ended it
            return _error(_in_words(name, error, place))
    folder = Path(report["out"]) if "out" in report else place
    outputs = [folder / output for output in report.get("outputs", [])]
    closed = not_opened(name)
    shown = [path for path in outputs if path.suffix.lower() in _SHOWN and path.name not in closed and path.is_file()]
    odd = [path for path in shown if not is_one_line(path.as_posix())]
    warnings += [note for note in _left_out(report) if not any(said.endswith(note) for said in warnings)]
    warnings += [f"{one_line(path.name)!r} is not opened: its path has a line break" for path in odd]
    lines = report_lines({**report, "out": folder if kept else ""} if "out" in report else report)
    if warnings:
        lines += report_lines({"warnings": "; ".join(dict.fromkeys(map(one_line, warnings)))})
    lines = [_in_the_users_words(line, place) for line in lines]
    stem = Path(str(report.get("image") or "")).stem
    opened = [f"show={path.as_posix()}\t{one_line(_title(path, stem))}" for path in reversed(shown) if path not in odd]
    return "\n".join([DONE, *lines, *opened])


def _in_words(name: str, error: Exception, place: Path) -> str:
    """What a user reads of an error; the log gets the trace where it is not one of the user's."""
    if isinstance(error, BridgeError):
        return _in_the_users_words(str(error), place)
    log.error("%s failed", name, exc_info=error)
    if isinstance(error, MemoryError):
        return (
            f"{name}: the memory is full\n  expected: room for the image and its features\n"
            "  remedy: close other programs, or take a smaller image or fewer features"
        )
    return (
        f"{name} failed: {type(error).__name__}: {error}\n  expected: a run to the end\n"
        "  remedy: look into the log (fijibridge serve --status names it) and report it as a bug"
    )


def _error(text: str) -> str:
    return f"{ERROR}\n{text}" if len(text) <= _LONGEST_ERROR else f"{ERROR}\n{text[:_LONGEST_ERROR]}..."


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What is logged as a warning meanwhile: a macro's user reads no log."""
    heard: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(heard) < _MOST_WARNINGS:
                heard.append(record.getMessage())

    handler = Handler(logging.WARNING)
    logger = logging.getLogger("fijibridge")
    logger.addHandler(handler)
    try:
        yield heard
    finally:
        logger.removeHandler(handler)


def _left_out(report: dict[str, Any]) -> list[str]:
    """What of the images a report says was left out, in words."""
    parts = [report, *(part for part in report.get("files", []) if isinstance(part, dict))]
    found = []
    for part in parts:
        image = part.get("image")
        of = f"{Path(image).name}: " if isinstance(image, (str, Path)) else ""
        if isinstance(rows := part.get("databar_rows"), int) and rows > 0:
            found.append(f"{of}the last {rows} rows, its data bar, are left out")
        notes = part.get("notes") or []
        found += [f"{of}{note}" for note in ([notes] if isinstance(notes, str) else notes)]
    return found[:_MOST_WARNINGS]


def _in_the_users_words(text: str, place: Path) -> str:
    """An open image is known to its user by its name, not by the private place it was saved to."""
    return text.replace(f"{place.as_posix()}/", "").replace(f"{place}{os.sep}", "")


def _title(path: Path, stem: str) -> str:
    """A window's title, with the name of the image that the result is of."""
    return path.stem if path.stem.startswith(stem) else f"{stem}_{path.stem}"


def _called(
    name: str, values: dict[str, Any], options: str, place: Path, watch: Watch, whole_paths: bool
) -> tuple[dict[str, Any], bool]:
    """The report, and whether its results stay where the macro wanted them."""
    if name not in CATALOGUE:
        raise SettingsError(f"no operation {name!r}", expected=", ".join(CATALOGUE), remedy="check the spelling")
    parameters = parameters_of(name)
    results = (
        {"out": str(place / "results")} if "out" in parameters and not str(values.get("out") or "").strip() else {}
    )
    arguments = arguments_of(name, {**values, **results}, options)
    if whole_paths:
        for key, value in arguments.items():
            for path in value if isinstance(value, list) else [value]:
                if kind_of(parameters[key][0]) in ("path", "paths") and not path.is_absolute():
                    raise SettingsError(
                        f"{key} = {path}, a path that does not say where it begins",
                        expected="the whole path, from the root or drive on; or the title of an open image",
                        remedy="use getDirectory(...) or File.getDirectory(...) in front of the name",
                    )
    with reported(_Whole(watch), stages=True):
        report = operation(name)(**arguments)
    return report, arguments.get("out") != place / "results"
