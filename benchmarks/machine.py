"""What every benchmark prints first: the machine's kind, its load, the date, the versions; and where the data is."""

from __future__ import annotations

import os
import platform
import sys
from datetime import date
from pathlib import Path

from fijibridge.versions import versions


def data_folder() -> Path:
    """The micrographs with ground truth: FIJIBRIDGE_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("FIJIBRIDGE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not folder.is_dir():
        sys.exit(f"no data folder {folder}: set FIJIBRIDGE_DATA")
    return folder


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe() -> str:
    """One line on machine, load, date and versions."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    python = platform.python_version()
    return f"{date.today()}, {os.cpu_count()} cores of {processor()}, load {load}, Python {python}, {packages}"
