"""The report that an operation writes beside its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fijibridge.core.atomic_output import add_file
from fijibridge.core.machine import peak_memory_mib as peak_memory_mib

REPORT = "report.json"


def fraction_lines(report: dict[str, Any]) -> list[str]:
    """The fractions of the classes in each file of a report, a line a file."""
    lines = []
    for file in report.get("files", [report]):
        parts = ", ".join(f"{name} {100 * share:.1f} %" for name, share in file["class_fractions"].items())
        name = file.get("volume") or file["image"]
        lines.append(f"{name}: {parts}")
        if rows := file.get("databar_rows"):
            lines.append(f"{name}: the {rows} rows at the bottom are the data bar ({file.get('databar_found', '')})")
    return lines


def failed_lines(report: dict[str, Any]) -> list[str]:
    """The inputs that were left out, a line each."""
    return [f"left out: {each['image']}" for each in report.get("failed", [])]


def iou_lines(report: dict[str, Any]) -> list[str]:
    """Intersection over union with the truth, where a report has it."""
    if "mean_iou" not in report:
        return []
    parts = ", ".join(f"{name} {value:.3f}" for name, value in report["iou"].items())
    return [f"intersection over union with the truth: mean {report['mean_iou']:.3f} ({parts})"]


def oob_lines(report: dict[str, Any]) -> list[str]:
    """The forest's out-of-bag accuracy, and that at strokes held out, where a report has them."""
    if report.get("oob_accuracy") is None:
        return []
    lines = [f"out-of-bag accuracy at the labelled pixels: {100 * report['oob_accuracy']:.1f} %"]
    if report.get("balanced"):
        lines.append("(of a draw with copies, which balances the classes: the accuracy flatters the more)")
    held_out, head = report.get("held_out_accuracy"), (report.get("features") or {}).get("head")
    if held_out is None and head:
        lines.append(
            "no stroke could be held out to test the classifier: a class has one stroke only; draw another one"
        )
    elif held_out is not None and not report.get("detector_trust"):
        lines.append(f"mean accuracy of the classes at strokes held out: {100 * held_out:.1f} %")
    return lines


def detector_lines(report: dict[str, Any]) -> list[str]:
    """What each detector brought, where there are several."""
    if not report.get("detector_trust"):
        return []
    found = dict(report["detector_trust"])
    together = found.pop("together")
    parts = ", ".join(f"by {name} alone {100 * own['accuracy']:.0f} %" for name, own in found.items())
    return [f"of strokes held out are found: {parts}, together {100 * together['accuracy']:.0f} %"]


def difference_lines(report: dict[str, Any]) -> list[str]:
    """The largest differences of a volume from its micrographs, and the notes."""
    words = {
        "fraction_points": "phase fraction (points)",
        "two_point_percent": "two-point correlation (%)",
        "surface_percent": "surface (%)",
        "axis_spread_percent": "spread between axes (%)",
    }
    lines = ["largest differences from the micrograph:"]
    lines += [f"  {words.get(key, key)}: {value:.2f}" for key, value in report["headline"].items()]
    return lines + [f"note: {note}" for note in report.get("notes", [])]


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write the report as JSON beside the results."""
    (folder / REPORT).write_text(_text(report), encoding="utf-8")


def add_report(folder: Path, report: dict[str, Any]) -> None:
    """Write the report into a result that is in its place already."""
    add_file(folder, REPORT, _text(report).encode())


def _text(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=2, default=str) + "\n"
