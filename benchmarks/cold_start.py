"""CPU and wall seconds of a first and a second ``fijibridge segment`` from the shell, by stage.

    python benchmarks/cold_start.py [--size 512] [--preset default] [--json FILE]

Each run is a process of its own with the defaults, as a user starts it. The first finds the weights but no compiled
code and nothing else in the cache; the second finds what the first left there. ``start and end`` is what no stage
counts: loading, options, the report.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tifffile
from machine import describe
from speed import labelled_image

from fijibridge.core.cache import cache_folder

GOAL = 20  # CPU seconds of the second run, on 512 x 512, on a quiet machine
_RUN = """
import atexit, time
from fijibridge.frontends.process import run
atexit.register(lambda: print("CPU seconds", time.process_time()))
run()
"""


def run(arguments: list[str], out: Path, environment: dict[str, str]) -> dict[str, dict[str, float]]:
    """Segment in a fresh process; seconds by stage."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-c", _RUN, "segment", *arguments, "--out", str(out), "--quiet"]
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    wall, cpu = time.perf_counter() - began, float(done.stdout.split()[-1])
    stages = json.loads((out / "report.json").read_text(encoding="utf-8"))["stages"]
    counted = {key: sum(stage[key] for stage in stages.values()) for key in ("cpu_s", "wall_s")}
    stages["start and end"] = {"cpu_s": cpu - counted["cpu_s"], "wall_s": wall - counted["wall_s"]}
    return {**stages, "all": {"cpu_s": cpu, "wall_s": wall}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="pixels a side of the image")
    parser.add_argument("--preset", default="", help="another preset than segment's own")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, labels, source = labelled_image(arguments.size)
        tifffile.imwrite(folder / "image.tif", image.astype("uint8"))
        tifffile.imwrite(folder / "labels.tif", labels.astype("uint8"))
        if (weights := cache_folder() / "weights").is_dir():
            shutil.copytree(weights, folder / "cache" / "weights")
        environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        environment["FIJIBRIDGE_CACHE"] = str(folder / "cache")
        asked = [str(folder / "image.tif"), "--labels", str(folder / "labels.tif")]
        asked += ["--preset", arguments.preset] if arguments.preset else []
        runs = {which: run(asked, folder / "out", environment) for which in ("first", "second")}
    print(f"\nsegment of {arguments.size} x {arguments.size} ({source})\n")
    print("| stage | first, CPU s | first, s | second, CPU s | second, s |\n|---|---|---|---|---|")
    for stage in dict.fromkeys([*runs["first"], *runs["second"]]):
        cells = [runs[which].get(stage, {}).get(key, 0.0) for which in runs for key in ("cpu_s", "wall_s")]
        print(f"| {stage} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    cpu = runs["second"]["all"]["cpu_s"]
    print(f"\ngoal for the second run: at most {GOAL} CPU s ({'met' if cpu <= GOAL else 'MISSED'})")
    if arguments.json:
        about = {"machine": describe(), "size": arguments.size, "image": source, "goal_cpu_s": GOAL, "runs": runs}
        arguments.json.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
