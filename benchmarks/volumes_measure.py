"""Resident memory and seconds of measuring a label volume that is read slab by slab.

    python benchmarks/volumes_measure.py [--size 1024] [--threads 2]

The volume is simulated, each slice when it is asked for: three phases by two sums of plane waves with seeded
directions, wave lengths of 24 to 60 voxels and phases. Fractions with their intervals, chord lengths and surfaces of
1024^3 voxels are to take 2 GiB at most. Up to 160^3 voxels the numbers are compared with those of the whole in memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from results import Results, add_json, met

from fijibridge.metrology import chord_lengths, connectivity, phase_fractions, specific_surface
from fijibridge.metrology.blocks import allowed_memory
from fijibridge.operations.report import peak_memory_mib
from fijibridge.phases import PhaseVolume, phase_volume

GOAL_GIB = 2
COMPARED = 160  # voxels along a side up to which the whole is measured, too
WAVES = 60


class Waves:
    """A sum of plane waves in a cube, slice by slice."""

    def __init__(self, size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        direction = rng.normal(size=(3, WAVES))
        direction /= np.linalg.norm(direction, axis=0)
        self.z, y, x = 2 * np.pi / rng.uniform(24, 60, WAVES) * direction
        self.shift = rng.uniform(0, 2 * np.pi, WAVES)
        place = np.arange(size)
        self.along_y, self.along_x = (np.exp(1j * np.outer(place, wave)).astype(np.complex64) for wave in (y, x))

    def plane(self, z: int) -> np.ndarray:
        """(Y, X) float32, of unit variance about."""
        there = self.along_y * np.exp(1j * (self.z * z + self.shift)).astype(np.complex64)
        both = there.real @ self.along_x.real.T - there.imag @ self.along_x.imag.T
        return both * np.float32(np.sqrt(2 / WAVES))


def simulated(size: int) -> PhaseVolume:
    """A cube of three phases."""
    first, second = Waves(size, 0), Waves(size, 1)

    def plane(z: int) -> np.ndarray:
        return np.where(first.plane(z) < -0.25, 0, np.where(second.plane(z) < 0.4, 1, 2)).astype(np.uint8)

    return phase_volume(plane, size, name="the simulated volume", slices=16)[0]


def apart(ours: Any, theirs: Any) -> float:
    """The largest relative difference between the numbers of two tables."""
    ours, theirs = (table.select_dtypes("number").to_numpy(float) for table in (ours, theirs))
    return float((np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-12)).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("volumes_measure", arguments.json)
    size, memory = arguments.size, allowed_memory(GOAL_GIB * 2**30)
    steps: dict[str, Callable[[Any], Any]] = {
        "fractions with intervals": lambda volume: phase_fractions(volume, memory=memory, threads=arguments.threads),
        "chord lengths": lambda volume: chord_lengths(volume)[0],
        "surfaces and interfaces": specific_surface,
        "connected components": connectivity,
    }
    title = f"{size} x {size} x {size} voxels, three phases, slab by slab"
    table = results.table("steps", f"{title}: its steps", {"what": "", "s": ".1f", "peak so far, GiB": ".2f"})
    began = time.perf_counter()
    volume, found = simulated(size), {}
    table.add("counting the phases", time.perf_counter() - began, peak_memory_mib() / 1024)
    for name, step in steps.items():
        started = time.perf_counter()
        found[name] = step(volume)
        table.add(name, time.perf_counter() - started, peak_memory_mib() / 1024)
    seconds, peak = time.perf_counter() - began, peak_memory_mib() / 1024
    table = results.table("measure", title, {"what": "", "measured": ".3g", "unit": "", "goal": "", "reached": ""})
    table.add("peak of resident memory", peak, "GiB", f"{GOAL_GIB}", met(peak <= GOAL_GIB))
    table.add("all steps", seconds, "s", None, None)
    table.add("side of the cells for the interval", int(found["fractions with intervals"].cell.max()), "px", None, None)
    if size <= COMPARED:
        whole = volume.load()
        steps["fractions with intervals"] = lambda volume: phase_fractions(volume, threads=arguments.threads)
        far = max(apart(found[name], step(whole)) for name, step in steps.items())
        table.add("largest relative difference from the whole", far, None, "1e-5", met(far <= 1e-5))


if __name__ == "__main__":
    main()
