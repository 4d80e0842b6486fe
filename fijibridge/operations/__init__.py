"""The catalogue: what every front end calls. One plain function an operation; its signature is its only parameter list.

A new operation is a file with a function of the operation's name, and a line in `CATALOGUE`. The file may also hold:

- ``summary(report)``: the lines of a report that a person reads first;
- ``TITLE``: its name in ImageJ's menu, where the function's name alone says too little;
- ``NOT_OPENED``: files among a report's ``outputs`` that ImageJ does not open by itself.

A report with ``healthy`` False makes the command line end with status 1.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

# operation -> module; the order is that of help texts
CATALOGUE = {
    "segment": "fijibridge.operations.segment",
    "train": "fijibridge.operations.train",
    "apply": "fijibridge.operations.apply",
    "features": "fijibridge.operations.features",
    "bias": "fijibridge.operations.bias",
    "import_classifier": "fijibridge.operations.import_classifier",
    "convert_macro": "fijibridge.operations.convert_macro",
    "measure": "fijibridge.operations.measure",
    "reconstruct": "fijibridge.operations.reconstruct",
    "generate": "fijibridge.operations.generate",
    "superresolve": "fijibridge.operations.superresolve",
    "simulate": "fijibridge.operations.simulate",
    "diversity": "fijibridge.operations.diversity",
    "train_network": "fijibridge.operations.train_network",
    "segment_network": "fijibridge.operations.segment_network",
    "fine_tune_network": "fijibridge.operations.fine_tune_network",
    "train_upsampler": "fijibridge.operations.train_upsampler",
    "demo": "fijibridge.operations.demo",
    "doctor": "fijibridge.operations.doctor",
}


def operation(name: str) -> Callable[..., dict[str, Any]]:
    """The function of an operation of the catalogue."""
    function: Callable[..., dict[str, Any]] = getattr(import_module(CATALOGUE[name]), name)
    return function


def summary_of(name: str, report: dict[str, Any]) -> list[str]:
    """A report in a few lines, for a person.

    Parameters
    ----------
    name : str
        The operation.
    report : dict
        What it returned.

    Returns
    -------
    list of str
        The operation's own lines, then the time it took and where its results are.
    """
    own = getattr(import_module(CATALOGUE[name]), "summary", None)
    lines: list[str] = own(report) if own else []
    if "stages" in report:
        wall = sum(stage["wall_s"] for stage in report["stages"].values())
        cpu = sum(stage["cpu_s"] for stage in report["stages"].values())
        lines.append(f"{wall:.0f} s ({cpu:.0f} CPU s)")
    if "out" in report:
        lines.append(f"results: {report['out']}")
    return lines


def title_of(name: str) -> str:
    """An operation's name for menus: ``Import Classifier``."""
    words = " ".join(part.capitalize() for part in name.split("_"))
    return getattr(import_module(CATALOGUE[name]), "TITLE", words)


def not_opened(name: str) -> tuple[str, ...]:
    """Names of the files that ImageJ does not open by itself: to be read where they are wanted."""
    return getattr(import_module(CATALOGUE[name]), "NOT_OPENED", ())
