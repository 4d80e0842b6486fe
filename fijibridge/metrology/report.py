"""A measurement as files: tables and plots."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from fijibridge.metrology.metric import Measurement
from fijibridge.metrology.plots import write_plots

TABLE = "metrics.csv"


def write_measurement(found: Measurement, folder: Path) -> list[str]:
    """Write ``metrics.csv``, a CSV of each curve and a PNG of each metric.

    Parameters
    ----------
    found : Measurement
        From `measure`.
    folder : Path
        Exists.

    Returns
    -------
    list of str
        Names of the files, the table first.
    """
    found.table.to_csv(folder / TABLE, index=False, encoding="utf-8")
    names = [TABLE]
    for name, curve in found.curves.items():
        names.append(f"{name}.csv")
        curve.to_csv(folder / names[-1], index=False, encoding="utf-8", float_format="%.9g")
    return names + write_plots(found, folder)


def number(value: float) -> float | str | None:
    """A number as JSON has it: infinity as the text ``inf``, not a number as null."""
    if math.isnan(value):
        return None
    return float(value) if math.isfinite(value) else "inf" if value > 0 else "-inf"


def nested(found: Measurement) -> dict[str, Any]:
    """The table as metric -> phase (a pair as "A / B") -> axis -> number.

    ``interval`` has [low, high] in the same order, ``spread`` the standard deviations over sampled blocks.
    """
    result: dict[str, Any] = {}
    for row in found.table.itertuples():
        keys = [key for key in (f"{row.phase} / {row.other}" if row.other else row.phase, row.axis) if key]
        _put(result, [row.metric, *keys], number(row.value))
        if keys and not (math.isnan(row.low) and math.isnan(row.high)):
            _put(result, ["interval", row.metric, *keys], [number(row.low), number(row.high)])
        if not math.isnan(row.spread):
            _put(result, ["spread", row.metric, *keys], number(row.spread))
    return result


def _put(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = value
