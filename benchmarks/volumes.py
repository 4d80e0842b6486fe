"""Volumes: time a megavoxel, memory of long stacks, processes, runs that are killed, and what formats cost.

    python benchmarks/volumes.py [--part time memory processes killed] [--size 512] [--kills 20] [--features default]

A simulated tomography (BSE) with its truth, labelled on one slice. Times of 1024 x 1024 x 1000 slices are extrapolated
from some slices of that size. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from results import Results, add_json, met

from fijibridge.operations import operation
from fijibridge.synthesis.config import load_preset
from fijibridge.synthesis.dataset import class_names, label_values, make_pair_structure, sections_of
from fijibridge.synthesis.strokes import strokes_of

GOAL_HOURS, GOAL_MIB, GOAL_GROWTH, GOAL_SPEED = 2.0, 1.2 * 1024, 1.05, 1.7


def write_stack(folder: Path, size: int, count: int) -> Path:
    """A tomography of ``count`` slices, which is the same few sections again and again, and labels on its first."""
    few = min(count, 12)
    depth = max(8, few * 4 // 3 + 2)
    config = replace(load_preset("si-li6ps5cl-vgcf"), size=size, depth=depth, sections=few, spacing=1)
    sections = list(sections_of(config, make_pair_structure(config, 5, 0), 5, 0))
    order = [n % (2 * few - 2) if few > 1 else 0 for n in range(count)]
    order = [n if n < few else 2 * few - 2 - n for n in order]
    truth = label_values(config)[sections[0].labels]
    labels = np.zeros((count, size, size), np.uint8)
    labels[0] = strokes_of(truth, np.random.default_rng(0))
    tifffile.imwrite(folder / "stack.tif", np.stack([sections[n].bse for n in order]), imagej=True,
                     resolution=(0.05, 0.05), metadata={"axes": "ZYX", "spacing": 20.0, "unit": "nm"})  # fmt: skip
    tifffile.imwrite(folder / "labels.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    return folder / "stack.tif"


def train(folder: Path, size: int, features: str) -> Path:
    """A classifier of the first slice."""
    write_stack(folder, size, 1)
    config = load_preset("si-li6ps5cl-vgcf")
    labels = tifffile.imread(folder / "labels.tif")
    tifffile.imwrite(folder / "one.tif", labels.reshape(labels.shape[-2:]))
    chosen = {} if features == "default" else {"features": features}
    operation("segment")(folder / "stack.tif", labels=folder / "one.tif", out=folder / "trained",
                         classes=",".join(class_names(config)), **chosen)  # fmt: skip
    return folder / "trained" / "classifier"


def command(classifier: Path, stack: Path, out: Path, *more: str) -> list[str]:
    words = ["apply", classifier, stack, "--out", out, "--quiet", *more]
    return [sys.executable, "-m", "fijibridge", *map(str, words)]


def run(*words: str) -> tuple[float, float]:
    """Seconds on the clock and of CPU of a command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def time_a_slice(results: Results, folder: Path, features: str, size: int) -> None:
    columns = {"slices": "d", "CPU s a slice": ".1f", "CPU h, 1024 x 1024 x 1000": ".2f", "goal": "", "met": ""}
    table = results.table("time", f"Time of a stack, {features}, slices of {size} x {size}", columns)
    classifier = train(folder, size, features)
    stack = write_stack(folder, size, 21)  # of cubic voxels: the ViT sees every fourth
    _, few = run(*command(classifier, stack, folder / "few.zarr", "--slices", "1-5"))
    _, many = run(*command(classifier, stack, folder / "many.zarr"))
    each = (many - few) / 16
    hours = each * (1024 / size) ** 2 * 1000 / 3600
    table.add(21, each, hours, f"<= {GOAL_HOURS:g}", met(hours <= GOAL_HOURS))


def memory(results: Results, folder: Path, features: str, size: int, counts: tuple[int, int]) -> None:
    columns = {"slices": "d", "peak MiB": ".0f", "goal MiB": ".0f", "times the short one's": ".3f", "goal": ".2f",
               "met": ""}  # fmt: skip
    table = results.table("memory", f"Resident memory of a worker, {features}, slices of {size} x {size}", columns)
    classifier, peaks = train(folder, size, features), []
    for count in counts:
        stack = write_stack(folder, size, count)
        subprocess.run(command(classifier, stack, folder / f"{count}.zarr"), check=True)
        report = json.loads((folder / f"{count}_report" / "report.json").read_text(encoding="utf-8"))
        peaks.append(report["peak_memory_mib"])
        good = peaks[-1] <= GOAL_MIB and peaks[-1] <= GOAL_GROWTH * peaks[0]
        table.add(count, peaks[-1], GOAL_MIB, peaks[-1] / peaks[0], GOAL_GROWTH, met(good))


def processes(results: Results, folder: Path, features: str, size: int, count: int) -> None:
    columns = {"processes": "d", "threads each": "d", "s": ".1f", "times as fast": ".2f", "goal": ".1f", "met": ""}
    title = f"Processes, {features}, {count} slices of {size} x {size}; without what starting takes"
    table = results.table("processes", title, columns)
    classifier, stack = train(folder, size, features), write_stack(folder, size, count)
    single = 0.0
    for workers in (1, 2):
        more = ("--workers", str(workers), "--threads", str(workers))  # a thread each
        start, _ = run(*command(classifier, stack, folder / f"few{workers}.zarr", "--slices", f"1-{workers}", *more))
        whole, _ = run(*command(classifier, stack, folder / f"all{workers}.zarr", *more))
        seconds = (whole - start) * count / (count - workers)
        single = single or seconds
        table.add(workers, 1, seconds, single / seconds, GOAL_SPEED if workers > 1 else 1, met(
            workers == 1 or single / seconds >= GOAL_SPEED))  # fmt: skip


def killed(results: Results, folder: Path, features: str, size: int, count: int, kills: int) -> None:
    columns = {"processes": "d", "kills": "d", "units": "d", "finished units done again": "d", "goal": "d",
               "bytes equal": "", "met": ""}  # fmt: skip
    title = f"SIGKILL at random moments, {features}, {count} slices of {size} x {size}"
    table = results.table("killed", title, columns)
    classifier, stack = train(folder, size, features), write_stack(folder, size, count)
    length, _ = run(*command(classifier, stack, folder / "whole.zarr"))
    wanted = contents(folder / "whole.zarr")
    drawn = random.Random(0)
    for workers in (1, 2):
        out, again, stopped, resume = folder / f"killed{workers}.zarr", 0, 0, list[str]()
        state, units = out.with_name(f"{out.name}.resume"), 0
        before: dict[str, int] = {}
        while stopped < kills:
            process = subprocess.Popen(command(classifier, stack, out, "--workers", str(workers), *resume))
            time.sleep(drawn.uniform(0.3, 1.2) * length)
            if process.poll() is not None:  # it was done before: begin anew
                resume, before = ["--overwrite"], {}
                continue
            process.kill()
            process.wait()
            stopped += 1
            begun = (state / "job.json").is_file()
            records = {item.parent.name: item.stat().st_mtime_ns for item in state.glob("unit-*/record.json")}
            again += sum(records.get(name, 0) != made for name, made in before.items()) if begun else 0
            before, units = records, max(units, len(records))
            resume = ["--resume"] if begun else ["--overwrite"]
        subprocess.run(command(classifier, stack, out, "--workers", str(workers), *resume), check=True)
        equal = contents(out) == wanted
        table.add(workers, stopped, min(32, count), again, 0, str(equal), met(equal and not again))


def contents(folder: Path) -> dict[str, bytes]:
    return {item.relative_to(folder).as_posix(): item.read_bytes() for item in folder.rglob("*") if item.is_file()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("time", "memory", "processes", "killed")
    parser.add_argument("--part", nargs="*", choices=parts, default=parts)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=8, help="slices of the parts processes and killed")
    parser.add_argument("--long", type=int, default=400, help="slices of the long stack; the short one has a tenth")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--features", default="default", help="default, or kinds of features such as tws")
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("volumes", arguments.json)
    work = {
        "time": lambda folder: time_a_slice(results, folder, arguments.features, arguments.size),
        "memory": lambda folder: memory(
            results, folder, "tws", min(arguments.size, 128), (arguments.long // 10, arguments.long)
        ),
        "processes": lambda folder: processes(results, folder, arguments.features, arguments.size, arguments.count),
        "killed": lambda folder: killed(results, folder, "tws", arguments.size, arguments.count, arguments.kills),
    }
    for part in arguments.part:
        with tempfile.TemporaryDirectory() as folder:
            work[part](Path(folder))


if __name__ == "__main__":
    main()
