"""Each reference of the metrology beside what is measured, and the seconds of all metrics of a volume.

    python benchmarks/metrology.py [--small] [--part PART] [--part peers [--sides 64,128,256] [--sample FILE]]

Prints Markdown tables. The cost takes some minutes and needs shared/data/volumes/electrode.tif; ``--small`` leaves it
out, and takes fewer images for the statistics.

``--part peers`` measures one tortuosity factor by fijibridge, TauFactor and OpenImpala, those that are
installed, on the same volumes with one thread each, in CPU seconds with all that is prepared. TauFactor's equations are
fijibridge's, so that the error of both is known from a solution to 1e-8 (1e-6 of more than 128^3 voxels). OpenImpala's
factor is another: potentials are fixed in the outermost voxels' centres, and only what percolates counts in the
fraction. It is left out above 64^3 voxels, TauFactor above 128^3: that keeps the run short. ``--sample`` is TauFactor's
own sample, of its repository.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from machine import data_folder
from results import Results, Table, add_json, met

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the media that the tests measure too
from media import balls_at, grains, overlapping_balls, sections, slanted_strip, union_of_two_balls
from surfaces import surfaces

from fijibridge.metrology import (
    conductivity_tensor,
    effective_conductivity,
    electrode_tortuosity,
    measure,
    phase_fractions,
    specific_surface,
    sphere_sizes,
    tortuosities,
    tortuosity,
    triple_phase_boundary,
    two_point_correlation,
)
from fijibridge.operations.report import peak_memory_mib

PARTS = ("references", "transport", "surface", "cost", "peers")


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
    line(
        table,
        "tau, slanted 2 x 2 strip, N = 20",
        7.51667,
        1e-5,
        lambda: tortuosity(slanted_strip(20), 0, tolerance=1e-8).tau,
    )
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


def electrode(table: Table) -> None:
    import tifffile

    volume = tifffile.imread(data_folder() / "volumes" / "electrode.tif")
    line(table, "electrode.tif, phase 0, axis 0: tau", 2.0776, 5e-4, lambda: tortuosity(volume == 0, 0).tau)
    line(table, "... D_eff", 0.2166, 1e-4, lambda: tortuosity(volume == 0, 0).relative_conductivity)


def cost(results: Results, sides: list[int]) -> None:
    import tifffile

    volume = tifffile.imread(data_folder() / "volumes" / "electrode.tif")
    measure(volume[:32, :32, :32])  # compiles
    table = results.table(
        "cost",
        "All metrics of parts of electrode.tif; of which nine tortuosity factors; peak of memory so far",
        {"volume": "", "CPU s": ".0f", "tortuosity, CPU s": ".0f", "peak memory, GiB": ".1f"},
    )
    for side in sides:
        part = volume[:side, :side, :side]
        flow = spent(lambda: len(tortuosities(part).axis))[1]  # noqa: B023
        every = spent(lambda: len(measure(part).table))[1]  # noqa: B023
        table.add(f"{side}^3", every, flow, (peak_memory_mib() or 0) / 1024)


def unfolded(quantity: str) -> float:
    """Of lognormal spheres, unfolded from the discs of a section, over the truth."""
    found = sphere_sizes(sections(700, 24, 0.25, 0.3))
    if quantity == "mean":
        return found.mean / (24 * np.exp(0.25**2 / 2))
    return found.sauter / (24 * np.exp(2.5 * 0.25**2))


def oblique() -> float:
    """Off-diagonal element of layers at 45 degrees over that of the turned laminate."""
    y, x = np.indices((16, 16))
    ring = np.array([1, 1, 1, 1, 0.25, 0.25, 0.25, 0.25, 1])
    faces = 2 * ring[1:] * ring[:-1] / (ring[1:] + ring[:-1])
    wanted = (1 / (1 / faces).mean() - faces.mean()) / 2
    return float(conductivity_tensor((y + x) % 8 >= 4, [1.0, 0.25]).values[0, 1] / wanted)


def narrow_channels() -> float:
    volume = np.zeros((40, 9, 9), bool)
    volume[:, 1::3, 1::3] = True
    return electrode_tortuosity(volume, 0).tau


def transport(table: Table) -> None:
    line(table, "tensor of layers at 45 degrees, off the diagonal / exact", 1, 1e-5, oblique)
    line(table, "electrode tortuosity factor, narrow channels", 1, 1e-4, narrow_channels)
    line(table, "mean diameter of lognormal spheres from a section / exact", 1, 0.05, lambda: unfolded("mean"))
    line(table, "their Sauter mean diameter / exact", 1, 0.05, lambda: unfolded("sauter"))


def seam(table: Table) -> None:
    import tifffile

    volume = tifffile.imread(data_folder() / "volumes" / "electrode.tif")
    for side in (64, 128):
        for phase, name in ((0, "pores"), (1, "particles"), (2, "binder")):
            part = volume[:side, :side, :side] == phase
            diagonal = conductivity_tensor(part, [0.0, 1.0]).values.diagonal()
            sealed = np.array([tortuosity(part, axis).relative_conductivity for axis in range(3)])
            table.add(f"{name}, {side}^3", *sealed, *(diagonal / sealed))


def spent(work: Callable[[], float]) -> tuple[float, float]:
    """What it returns, and CPU seconds."""
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def by_taufactor(mask: np.ndarray, criterion: float) -> float:
    import taufactor
    import torch

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):
        solver = taufactor.Solver(mask.astype(np.uint8), device="cpu")
        solver.solve(verbose=False, conv_crit=criterion, iter_limit=20_000)
    return float(np.ravel(solver.tau)[0])


def by_openimpala(mask: np.ndarray) -> float:
    import openimpala

    # its default solver, AMReX's multigrid, ends the program on these volumes
    options = {"solver": "flexgmres", "preconditioner": "pfmg"}
    return float(openimpala.tortuosity(mask.astype(np.int32), 1, "z", **options).tortuosity)


def peers(results: Results, sides: list[int], sample: Path | None) -> None:
    import tifffile

    table = results.table(
        "peers",
        "One tortuosity factor by several programs, one thread each",
        {"volume": "", "program": "", "stops at": "", "factor": ".5f", "its error": ".0e", "CPU s": ".2f"},
    )
    electrode = tifffile.imread(data_folder() / "volumes" / "electrode.tif")
    volumes = {
        f"electrode.tif, {name}, {side}^3": electrode[:side, :side, :side] == phase
        for side in sides
        for phase, name in ((0, "pores"), (1, "particles"))
    }
    if sample is not None:
        volumes[f"{sample.name}, white"] = tifffile.imread(sample) > 0
    tortuosity(electrode[:8, :8, :8] == 0, 0, threads=1)  # compiles
    if present("taufactor"):
        by_taufactor(np.ones((8, 8, 8), bool), 1e-2)  # imports
    session: Any = contextlib.nullcontext()
    if present("openimpala"):
        import openimpala

        session = openimpala.Session()
    with session:
        for name, mask in volumes.items():
            exact = tortuosity(mask, 0, tolerance=1e-8 if mask.size <= 128**3 else 1e-6, threads=1).tau
            for tolerance in (1e-3, 1e-5):
                found, seconds = spent(lambda: tortuosity(mask, 0, tolerance=tolerance, threads=1).tau)  # noqa: B023
                table.add(name, "fijibridge", f"factor {tolerance:.0e}", found, abs(found / exact - 1), seconds)
            if present("taufactor") and mask.size <= 128**3:
                for criterion in (1e-2, 1e-3):
                    found, seconds = spent(lambda: by_taufactor(mask, criterion))  # noqa: B023
                    version = f"TauFactor {metadata.version('taufactor')}"
                    table.add(name, version, f"flow {criterion:.0e}", found, abs(found / exact - 1), seconds)
            if present("openimpala") and mask.size <= 64**3:
                found, seconds = spent(lambda: by_openimpala(mask))  # noqa: B023
                version = f"OpenImpala {metadata.version('openimpala')}"
                table.add(name, version, "residual 1e-9", found, None, seconds)


def present(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a minute less, no electrode.tif")
    add_json(parser)
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all but peers")
    parser.add_argument("--sides", default="64,128,256", help="voxels along the sides of the parts of electrode.tif")
    parser.add_argument("--sample", type=Path, default=None, help="TauFactor's own sample")
    arguments = parser.parse_args(argv)
    results = Results("metrology", arguments.json)
    parts = arguments.part or [part for part in PARTS if part != "peers"]
    sides = [int(side) for side in arguments.sides.split(",")]
    columns = {"reference": "", "exact": "", "measured": "", "goal": "", "s": ".2f"}
    if "references" in parts:
        table = results.table("references", "What is known exactly beside what is measured", columns)
        references(table, arguments.small)
        if not arguments.small:
            electrode(table)
    if "transport" in parts:
        title = "Tensor, electrode tortuosity factor and spheres behind discs, where they are known"
        transport(results.table("transport", title, columns))
        if not arguments.small:
            axes = {f"sealed, {axis}": ".4f" for axis in "zyx"} | {f"tensor / sealed, {axis}": ".2f" for axis in "zyx"}
            title = "Relative conductivity along the axes of parts of electrode.tif: sealed sides beside the tensor"
            seam(results.table("seam", title, {"part": "", **axes}))
    if "surface" in parts:
        surfaces(results, arguments.small)
    if "cost" in parts and not arguments.small:
        cost(results, sides)
    if "peers" in parts:
        peers(results, sides, arguments.sample)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
