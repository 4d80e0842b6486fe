"""Resident memory and seconds of ``fijibridge segment`` on a large image with the default preset.

    python benchmarks/memory.py [--size 4096] [-- further options of segment]

The image is the simulated micrograph, mirrored until it has the size; the goal is less than 6 GiB at 4096 x 4096. The
command runs in a process of its own, and the operating system tells that process's peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from results import Results, add_json

from fijibridge.synthesis.demo import demo_image

GOAL_GIB = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--engine", default="sklearn", choices=["sklearn", "weka"])
    add_json(parser)
    arguments, further = parser.parse_known_args()
    results = Results("memory", arguments.json)
    image, labels, _ = demo_image(512)
    copies = -(-arguments.size // 512) // 2 + 1
    block = np.block([[image.data, image.data[:, ::-1]], [image.data[::-1], image.data[::-1, ::-1]]])
    data = np.tile(block, (copies, copies))[: arguments.size, : arguments.size]
    strokes = np.zeros_like(data, np.uint8)
    strokes[:512, :512] = labels.data[: arguments.size, : arguments.size]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tifffile.imwrite(place / "image.tif", data)
        tifffile.imwrite(place / "labels.tif", strokes)
        command = [sys.executable, "-m", "fijibridge", "segment", place / "image.tif", "--labels", place / "labels.tif"]
        started = time.perf_counter()
        subprocess.run(
            [*command, "--out", place / "out", "--engine", arguments.engine, "--quiet", *further], check=True
        )
        wall = time.perf_counter() - started
        report = json.loads((place / "out" / "report.json").read_text())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    cpu = used.ru_utime + used.ru_stime
    title = f"`fijibridge segment` on {arguments.size} x {arguments.size} pixels, 16 bit, engine {arguments.engine}"
    table = results.table("segment", title, {"what": "", "measured": ".2f", "unit": "", "goal": ""})
    table.add("peak of resident memory", peak, "GiB", f"{GOAL_GIB}")
    table.add("CPU time", cpu, "s", None)
    table.add("CPU time a megapixel", cpu / data.size * 1e6, "s", None)
    table.add("wall time", wall, "s", None)
    table = results.table("stages", f"{title}: its stages", {"stage": "", "CPU s": ".1f", "wall s": ".1f"})
    for name, seconds in report["stages"].items():
        table.add(name, seconds["cpu_s"], seconds["wall_s"])


if __name__ == "__main__":
    main()
