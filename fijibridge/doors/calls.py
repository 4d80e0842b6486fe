"""One call of an operation by a macro, whichever way it came: text in, the answer's text out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fijibridge.doors.arguments import arguments_of, kind_of, parameters_of, report_lines
from fijibridge.errors import BridgeError, SettingsError
from fijibridge.operations import CATALOGUE, operation
from fijibridge.progress import reported

log = logging.getLogger(__name__)

# what ImageJ opens: images and tables; the first are shown first
_SHOWN = (".tif", ".tiff", ".csv")
_BESIDE = ("confusion.csv", "importance.csv")  # tables that come with images: to be read where they are wanted
DONE, ERROR = "done", "error"

Watch = Callable[[float, str], None]


class CancelledCall(BaseException):
    """The macro does not want the answer any more. No Exception: nothing but the call itself may catch it."""


class _Watched:
    """A progress bar that tells a watcher the part done."""

    def __init__(self, watch: Watch, text: str, total: int) -> None:
        self.watch, self.text, self.total, self.count = watch, text, total, 0

    def __enter__(self) -> _Watched:
        self.watch(0.0, self.text)
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def update(self, n: int = 1) -> None:
        self.count += n
        self.watch(self.count / max(1, self.total), self.text)


def perform(
    name: str, values: dict[str, Any], options: str, *, place: Path, watch: Watch, whole_paths: bool = False
) -> str:
    """Run an operation for a macro.

    Parameters
    ----------
    name : str
        Of the catalogue.
    values, options
        As for `fijibridge.doors.arguments.arguments_of`.
    place : Path
        A private folder: results go there where the macro gave no folder ``out``.
    watch : callable (part, text)
        Told the progress; may raise `CancelledCall`.
    whole_paths : bool
        Refuse relative paths, which mean nothing to a process that the user did not start.

    Returns
    -------
    str
        First line ``done``; then the report as ``key=value`` lines, ``out`` empty where the results are in `place`, and
        one line ``show=PATH<tab>TITLE`` for each image or table that ImageJ can open. Or first line ``error``, and the
        message.
    """
    try:
        report, kept = _called(name, values, options, place, watch, whole_paths)
    except BridgeError as error:
        return _in_the_users_words(f"{ERROR}\n{error}", place)
    except CancelledCall:
        raise
    except Exception as error:
        log.exception("%s failed", name)
        return (
            f"{ERROR}\n{name} failed: {type(error).__name__}: {error}\n  expected: a run to the end\n"
            "  remedy: look into the log (fijibridge serve --status names it) and report it as a bug"
        )
    folder = Path(report["out"]) if "out" in report else place
    outputs = [folder / output for output in report.get("outputs", [])]
    shown = [path for path in outputs if path.suffix.lower() in _SHOWN and path.name not in _BESIDE and path.is_file()]
    lines = report_lines({**report, "out": folder if kept else ""} if "out" in report else report)
    lines = [_in_the_users_words(line, place) for line in lines]
    stem = Path(str(report.get("image") or "")).stem
    return "\n".join([DONE, *lines, *(f"show={path.as_posix()}\t{_title(path, stem)}" for path in shown)])


def _in_the_users_words(text: str, place: Path) -> str:
    """An open image is known to its user by its name, not by the private place it was saved to."""
    return text.replace(f"{place.as_posix()}/", "").replace(f"{place}{os.sep}", "")


def _title(path: Path, stem: str) -> str:
    """A window's title that tells which image the result is of."""
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
    with reported(lambda text, total: _Watched(watch, text, total)):
        report = operation(name)(**arguments)
    return report, arguments.get("out") != place / "results"
