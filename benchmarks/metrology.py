"""Each reference of the metrology beside what is measured, and the seconds of all metrics of a volume.

    python benchmarks/metrology.py [--small] [--part references|electrode|surface]

Prints Markdown tables. The part ``electrode`` takes some minutes and needs shared/data/volumes/electrode.tif;
``--small`` leaves it out, and takes fewer images for the statistics.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import data_folder
from results import Results, Table, add_json, met

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the media that the tests measure too
from media import balls_at, grains, overlapping_balls, slanted_strip, union_of_two_balls
from surfaces import surfaces

from fijibridge.metrology import (
    effective_conductivity,
    measure,
    phase_fractions,
    specific_surface,
    tortuosity,
    triple_phase_boundary,
    two_point_correlation,
)
from fijibridge.operations.report import peak_memory_mib


def line(table: Table, name: str, wanted: float, tolerance: float, work: Callable[[], float]) -> None:
    """A row: the reference, what is measured, whether it is within the tolerance, seconds."""
    began = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    good = found == wanted or abs(found - wanted) <= tolerance
    table.add(name, f"{wanted:.6g}", f"{found:.6g}", f"{tolerance:.2g}: {met(good)}", seconds)


def sphere(radius: float) -> float:
    """Mean area of spheres around random places over the exact one."""
    rng, size = np.random.default_rng(0), 2 * int(radius) + 11
    areas = [specific_surface(balls_at(size, radius, size / 2 + rng.random((1, 3)))).area.iloc[0] for _ in range(40)]
    return float(np.mean(areas) / (4 * np.pi * radius**2))


def film() -> float:
    """Interface of a layer of two voxels between two other phases over that of the plane."""
    z, y, x = np.indices((40, 40, 40)) - 19.5
    tilt = np.array([1, 0.4, 0.3])
    away = (tilt[0] * z + tilt[1] * y + tilt[2] * x) / np.linalg.norm(tilt)
    table = specific_surface(np.digitize(away, [-0.9, 1.1]))
    return float(table.area[(table.phase == "phase 0") & (table.other == "phase 1")].iloc[0] / 1600 / np.hypot(1, 0.5))


def cube() -> float:
    volume = np.zeros((20, 20, 20), np.uint8)
    volume[5:15, 5:15, 5:15] = 1
    return float(specific_surface(volume, method="marching-cubes").specific_surface.iloc[0])


def slanted_line() -> float:
    z, y, x = np.indices((40, 40, 40)) - 19.5
    sectors = np.digitize(np.arctan2(y - 0.4 * z, x - 0.3 * z) % (2 * np.pi), [2.1, 4.2])
    return float(triple_phase_boundary(sectors).length.iloc[0] / (40 * np.sqrt(1 + 0.4**2 + 0.3**2)))


def balls(size: int) -> float:
    """Largest difference between the two-point function of overlapping balls and its formula."""
    radius, density = 5.0, 0.0012
    volume = overlapping_balls(size, radius, density)
    table = two_point_correlation(volume, periodic=True)
    table = table[(table.phase == "phase 1") & (table.direction == "radial")]
    wanted = np.exp(-density * union_of_two_balls(table.distance.to_numpy(), radius))
    return float(abs(table.probability.to_numpy() - wanted).max())


def coverage(count: int) -> float:
    """Share of images whose interval holds the true fraction."""
    held = 0
    for seed in range(count):
        row = phase_fractions(grains((128, 128), 3, 0.3, seed), threads=1).iloc[1]
        held += row.low <= 0.3 <= row.high
    return held / count


def laminate(axis: str, bound: str) -> float:
    layers = np.repeat([0, 1, 2, 1], [3, 2, 4, 3])[:, None, None] * np.ones((1, 12, 12), int)
    found = effective_conductivity(layers, [1.0, 0.1, 7.0], axis)
    return found["conductivity"] / found[bound]


def references(table: Table, small: bool) -> None:
    channel = np.zeros((20, 20, 20), bool)
    channel[:, 4:9, 3:12] = True
    dead = channel.copy()
    dead[15:] = False
    tortuosity(channel, 0)  # compiles
    line(table, "tau, straight channel", 1, 5e-6, lambda: tortuosity(channel, 0).tau)
    line(table, "tau, slanted 2 x 2 strip, N = 20", 7.51667, 1e-5, lambda: tortuosity(slanted_strip(20), 0).tau)
    line(table, "tau, dead end", np.inf, 0, lambda: tortuosity(dead, 0).tau)
    line(table, "laminate across / Wiener's lower bound", 1, 1e-5, lambda: laminate("z", "wiener_low"))
    line(table, "laminate along / Wiener's upper bound", 1, 1e-5, lambda: laminate("x", "wiener_high"))
    line(table, "area of spheres of radius 7 / exact", 1, 0.015, lambda: sphere(7))
    line(table, "cube of 10^3 in 20^3, marching cubes", 0.0705, 5e-5, cube)
    line(table, "layer of 2 voxels / exact", 1, 0.05, film)
    line(table, "slanted triple line / its length", 1, 0.02, slanted_line)
    line(
        table, "overlapping balls: largest error of S2", 0, 0.04 if small else 0.02, lambda: balls(64 if small else 160)
    )
    count = 100 if small else 1000
    line(
        table,
        f"intervals of {count} images that hold the truth",
        0.95,
        0.06 if small else 0.02,
        lambda: coverage(count),
    )


def electrode(results: Results, table: Table) -> None:
    import tifffile

    volume = tifffile.imread(data_folder() / "volumes" / "electrode.tif")
    line(table, "electrode.tif, phase 0, axis 0: tau", 2.0776, 5e-4, lambda: tortuosity(volume == 0, 0).tau)
    line(table, "... D_eff", 0.2166, 1e-4, lambda: tortuosity(volume == 0, 0).relative_conductivity)
    for size in (64, 256):
        began = time.perf_counter()
        found = measure(volume[:size, :size, :size])
        spent = time.perf_counter() - began
        costs = results.table(f"cost_{size}", f"Seconds of each metric, {size}^3 voxels", {"metric": "", "s": ".1f"})
        for name, seconds in {**found.seconds, "all": spent}.items():
            costs.add(name, seconds)
    memory = results.table("memory", "Peak memory of all of it", {"GiB (0: not known on this system)": ".2f"})
    memory.add((peak_memory_mib() or 0) / 1024)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a minute less, no electrode.tif")
    parser.add_argument("--part", choices=("references", "electrode", "surface"), help="default: all")
    add_json(parser)
    arguments = parser.parse_args(argv)
    results = Results("metrology", arguments.json)
    columns = {"reference": "", "exact": "", "measured": "", "goal": "", "s": ".2f"}
    table = results.table("references", "What is known exactly beside what is measured", columns)
    if arguments.part in (None, "references"):
        references(table, arguments.small)
    if arguments.part in (None, "electrode") and not arguments.small:
        electrode(results, table)
    if arguments.part in (None, "surface"):
        surfaces(results, arguments.small)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
