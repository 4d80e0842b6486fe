"""A table of the documentation from what a benchmark wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def result_table(name: str, key: str) -> str:
    """One table of ``benchmarks/results/NAME.json`` as Markdown, with its title, date and machine.

    Raises
    ------
    KeyError, FileNotFoundError
        No such table: the build fails.
    """
    table = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["tables"][key]
    columns = table["columns"]
    lines = [
        f"{table['title']}.",
        "",
        f"| {' | '.join(column['name'] for column in columns)} |",
        f"|{'---|' * len(columns)}",
    ]
    for row in table["rows"]:
        cells = [_cell(cell, column["format"]) for cell, column in zip(row, columns, strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"*{_made(table)}: `{table['command']}`.*"]
    return "\n".join(lines)


def _cell(cell: Any, form: str) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else format(cell, form)


def _made(table: dict[str, Any]) -> str:
    """Date, machine and versions in a line."""
    machine, versions = table["machine"], table["versions"]
    where = f"{machine['cores']} cores of an {machine['cpu']}" if machine["cores"] else machine["cpu"]
    if machine["gpu"]:
        where += f", {machine['gpu']}"
    if isinstance(machine["load"], str):
        where += f" ({machine['load']})"
    shown = [f"{name} {versions[name]}" for name in ("fijibridge", "scikit-learn", "torch") if name in versions]
    source = table["source"]
    if machine["python"]:
        shown.insert(0, f"Python {machine['python']}")
    return ", ".join([f"{source[0].upper()}{source[1:]}; {where}", *shown])
