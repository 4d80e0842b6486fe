"""The machine a benchmark ran on, as text and as JSON; and where the data is."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from fijibridge.core.machine import machine_memory
from fijibridge.core.versions import versions


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


def graphics() -> str | None:
    """The name of the GPU; None without one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return lines[0] if lines else None


def machine() -> dict[str, Any]:
    """What stands beside every figure: processor, cores, memory, GPU, load, Python."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(machine_memory() / 2**30, 1),
        "gpu": graphics(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
    }


def describe() -> str:
    """One line on machine, load, date and versions."""
    found = machine()
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    gpu = f", {found['gpu']}" if found["gpu"] else ""
    return (
        f"{date.today()}, {found['cores']} cores of {found['cpu']}{gpu}, load {found['load']}, "
        f"Python {found['python']}, {packages}"
    )
