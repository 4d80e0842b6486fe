"""What a benchmark finds: printed as Markdown, and kept as JSON, from which the documentation makes its tables.

A file ``benchmarks/results/NAME.json`` has one entry a table, each with its own date, machine, versions and command: a
part that is run again replaces its own table and leaves the others.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from machine import describe, machine

from fijibridge.core.versions import versions

FOLDER = Path(__file__).resolve().parent / "results"


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option ``--json FILE``."""
    own = f"benchmarks/results/{Path(sys.argv[0]).stem}.json"
    parser.add_argument("--json", type=Path, default=None, help=f"file for the figures; default: {own}")


class Results:
    """The tables of one run of a benchmark.

    Parameters
    ----------
    name : str
        The script's name without ``.py``.
    path : Path, optional
        Where the JSON goes instead of ``benchmarks/results/NAME.json``.
    """

    def __init__(self, name: str, path: Path | None = None) -> None:
        self.name, self.path = name, path or FOLDER / f"{name}.json"
        self.printing: Table | None = None
        print(describe(), flush=True)

    def table(self, key: str, title: str, columns: Mapping[str, str]) -> Table:
        """Begin a table.

        Parameters
        ----------
        key : str
            Its name in the JSON file and in the documentation, ``{{ table NAME.KEY }}``.
        title : str
            What it shows, on which data, with which settings.
        columns : mapping
            Name with unit -> format of its numbers, such as ``".3f"``; empty where it holds text.
        """
        return Table(self, key, title, columns)

    def write(self, key: str, about: dict[str, Any]) -> None:
        """Put one table into the file."""
        kept = json.loads(self.path.read_text(encoding="utf-8"))["tables"] if self.path.is_file() else {}
        text = json.dumps({"benchmark": self.name, "tables": {**kept, key: about}}, indent=1, ensure_ascii=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text + "\n", encoding="utf-8")


def _asked(arguments: list[str]) -> list[str]:
    """The arguments without where files lie, which are places on one machine."""
    kept = list(arguments)
    for name in ("--json", "--cache"):
        if name in kept:
            place = kept.index(name)
            del kept[place : place + 2]
    return kept


class Table:
    """Rows that are printed and written as they come, so that a run that is broken off keeps what it found."""

    def __init__(self, results: Results, key: str, title: str, columns: Mapping[str, str]) -> None:
        self.results, self.key, self.formats = results, key, list(columns.values())
        self.about: dict[str, Any] = {
            "title": title,
            "date": date.today().isoformat(),
            "source": f"measured {date.today()} by benchmarks/{results.name}.py",
            "command": shlex.join(["python", f"benchmarks/{results.name}.py", *_asked(sys.argv[1:])]),
            "machine": machine(),
            "versions": versions(),
            "columns": [{"name": name, "format": form} for name, form in columns.items()],
            "rows": [],
        }

    def add(self, *cells: Any) -> None:
        """A row: numbers, text, or None for an empty cell."""
        assert len(cells) == len(self.formats), (cells, self.about["columns"])
        row = [cell if cell is None or isinstance(cell, (str, int)) else _plain(cell) for cell in cells]
        self.about["rows"].append(row)
        if self.results.printing is not self:
            self.results.printing = self
            names = [column["name"] for column in self.about["columns"]]
            print(f"\n{self.about['title']}\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
        shown = [shown_cell(cell, form) for cell, form in zip(row, self.formats, strict=True)]
        print(f"| {' | '.join(shown)} |", flush=True)
        self.results.write(self.key, self.about)


def _plain(number: Any) -> float | str:
    """A number as JSON has it: six digits are more than any of these figures is worth; no infinities."""
    value = float(f"{float(number):.6g}")
    return value if abs(value) < float("inf") else str(value)


def shown_cell(cell: Any, form: str) -> str:
    """A cell as the tables show it."""
    return "" if cell is None else cell if isinstance(cell, str) else format(cell, form)


def met(good: bool) -> str:
    """Whether a goal was reached, in a word."""
    return "met" if good else "MISSED"
