"""3D from one 2D image: each goal beside what is measured, loss by loss, and beside MCRpy where it is installed.

    python benchmarks/reconstruction.py [--part goals packings planes terms large peer] [--seeds 2]

Truth is every second voxel of volumes/electrode.tif (128^3; 45 % matrix, 40 % particles, 15 % binder), and packings of
the project's own simulator; a volume of 64^3 is made from one of its 128 x 128 slices, nothing else is shown. The
settings were chosen on slices 20 and 38 and on packings of other sizes; reported are slices 60, 85 and 110. MCRpy runs
in its own environment: FIJIBRIDGE_MCRPY names that environment's Python.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import tifffile
from machine import data_folder
from results import Results, Table, add_json
from scipy.interpolate import CubicSpline

from fijibridge.metrology import connectivity, specific_surface, tortuosity
from fijibridge.metrology.basins import basins
from fijibridge.phases.phases import Phases, as_phases
from fijibridge.reconstruction import ReconstructionSettings, check_exemplars, compare, reconstruct
from fijibridge.synthesis.structure import make_structure
from fijibridge.synthesis.structure_settings import StructureSettings

SLICES = (60, 85, 110)
SIDE = 64
NAMES = ("matrix", "particles", "binder")
CROPS = 12
BARE = {
    "separate": False,
    "correlation_weight": 0,
    "interface_weight": 0,
    "chord_weight": 0,
    "shape_weight": 0,
}
TERMS = (
    ("fractions alone", {}),
    ("+ correlation", {"correlation_weight": 1}),
    ("+ interface area, straight boundaries", {"interface_weight": 1}),
    ("+ chord lengths", {"chord_weight": 1}),
    ("+ erosions and openings", {"shape_weight": 1}),
    ("+ contacts thinned", {"separate": True}),
)


PACKINGS = ((0.48, 4.5, 0.7, 3), (0.55, 3.5, 0.5, 4))  # share of the particles, um across, contacts, seed
LONG = 8  # pixels of a straight boundary
DIRECTIONS = [way for way in product((-1, 0, 1), repeat=3) if way > (0, 0, 0)]


def conductivity(index: np.ndarray, phase: int) -> list[float]:
    """Relative conductivity of a phase along z, y and x."""
    return [tortuosity(index == phase, axis).relative_conductivity for axis in range(3)]


def surfaces(index: np.ndarray) -> np.ndarray:
    """Specific surface of each phase."""
    return specific_surface(index).specific_surface.to_numpy()[: int(index.max()) + 1]


def percolating(index: np.ndarray, phase: int) -> float:
    """Share of a phase that joins opposite faces, mean over the axes."""
    found = connectivity(as_phases((index == phase).astype(np.uint8)))
    return float(found[found.phase == "phase 1"].percolating.mean())


def contacts(index: np.ndarray, phase: int) -> tuple[float, float]:
    """Contacts a particle, and the mean number of voxel faces at one."""
    parts = basins(index == phase).astype(np.int64)
    number = int(parts.max()) + 1
    pairs = []
    for axis in range(3):
        sides = np.moveaxis(parts, axis, 0)
        one, other = sides[1:], sides[:-1]
        touching = (one != other) & (one > 0) & (other > 0)
        pairs.append(np.minimum(one, other)[touching] * number + np.maximum(one, other)[touching])
    found, faces = np.unique(np.concatenate(pairs), return_counts=True)
    return 2 * len(found) / (number - 1), float(faces.mean())


def straight(slices: np.ndarray, phases: int) -> float:
    """Share of the phases' boundaries in (N, Y, X) slices that keeps a row or column for 8 pixels and more."""
    total = long = 0
    for phase in range(phases):
        for turned in (slices == phase, np.swapaxes(slices == phase, 1, 2)):
            first, second = turned[..., 1:], turned[..., :-1]
            for sides in (first & ~second, second & ~first):
                rows = np.pad(np.moveaxis(sides, 1, 2).reshape(-1, sides.shape[1]), ((0, 0), (1, 1))).astype(np.int8)
                steps = np.diff(rows, axis=1)
                lengths = np.nonzero(steps == -1)[1] - np.nonzero(steps == 1)[1]
                total += int(lengths.sum())
                long += int(lengths[lengths >= LONG].sum())
    return long / total


def oblique_spread(mask: np.ndarray) -> float:
    """Mean difference of a phase's correlation along diagonals from that along the axes, in % of f (1 - f)."""

    def both(way: tuple[int, ...]) -> float:
        ends = [slice(max(0, -step), size - max(0, step)) for step, size in zip(way, mask.shape, strict=True)]
        others = [slice(max(0, step), size - max(0, -step)) for step, size in zip(way, mask.shape, strict=True)]
        return float((mask[tuple(ends)] & mask[tuple(others)]).mean())

    def mean(length: int, kind: int) -> float:
        ways = [way for way in DIRECTIONS if sum(map(abs, way)) == kind]
        return float(np.mean([both(tuple(length * step for step in way)) for way in ways]))

    reach = 32
    along = CubicSpline(np.arange(reach + 1), [mean(length, 1) for length in range(reach + 1)])
    apart = []
    for kind in (2, 3):
        lengths = range(1, int(reach / kind**0.5) + 1)
        apart.append(np.mean([abs(mean(length, kind) - along(length * kind**0.5)) for length in lengths]))
    share = mask.mean()
    return float(100 * max(apart) / (share * (1 - share)))


class Truth:
    """A volume of particles (phase 1) in a matrix (0), and how its crops scatter."""

    def __init__(self, volume: np.ndarray, names: tuple[str, ...]) -> None:
        self.volume, self.names = volume, names
        self.surface = surfaces(volume)
        self.conductivity = [float(np.mean(conductivity(volume, phase))) for phase in (0, 1)]
        rng = np.random.default_rng(0)
        found = []
        for _ in range(CROPS):
            z, y, x = rng.integers(0, volume.shape[0] - SIDE + 1, 3)
            crop = volume[z : z + SIDE, y : y + SIDE, x : x + SIDE]
            flow = [float(np.mean(conductivity(crop, phase))) for phase in (0, 1)]
            found.append([*surfaces(crop), *flow, percolating(crop, 0), percolating(crop, 1), *contacts(crop, 1)])
        self.scatter = np.std(found, axis=0, ddof=1)
        self.percolating, self.contacts = (
            np.mean(found, axis=0)[slice(start, stop)] for start, stop in ((-4, -2), (-2, None))
        )

    def told(self) -> str:
        """Its figures in a line."""
        flow = ", ".join(f"{name} {value:.4f}" for name, value in zip(self.names, self.conductivity, strict=False))
        return f"truth: D_eff {flow}; contacts a particle {self.contacts[0]:.2f}, of {self.contacts[1]:.1f} faces"


def electrode_volume(folder: Path) -> np.ndarray:
    """The shared electrode at half resolution."""
    return np.ascontiguousarray(tifffile.imread(folder / "volumes" / "electrode.tif")[::2, ::2, ::2])


def electrode() -> Truth:
    """The same, with its figures."""
    return Truth(electrode_volume(data_folder()), NAMES)


def packing(share: float, diameter: float, touching: float, seed: int) -> Truth:
    """Particles of the simulator in solid electrolyte with pores."""
    settings = StructureSettings(
        cam_fraction=share, cam_diameter=diameter, cam_contacts=touching, cam_cracks=0, ise_grain_size=3, porosity=0.1,
        pore_size=1.2, interface_pores=0.2, crack_pores=0, carbon_fraction=0,
    )  # fmt: skip
    labels = make_structure(settings, shape=(128, 128, 128), voxel_size=0.4, seed=seed).labels
    return Truth(np.array([0, 0, 1, 2], np.uint8)[labels], ("electrolyte", "particles", "pores"))


def judged(truth: Truth, exemplar: Phases, volume: Phases, soft: np.ndarray | None) -> dict[str, float]:
    """The figures of one volume."""
    found = compare({"xy": exemplar}, volume)
    table = found.table
    auto = table[table.metric == "autocorrelation"]
    shares = np.array(exemplar.counts) / sum(exemplar.counts)
    surface = 100 * (surfaces(volume.index) / truth.surface - 1)
    flow = [float(np.mean(conductivity(volume.index, phase))) for phase in (0, 1)]
    lines = table[table.metric == "perimeter"]
    number, area = contacts(volume.index, 1)
    slices = np.concatenate([np.moveaxis(volume.index, axis, 0) for axis in range(3)])
    phases = len(truth.names)
    return {
        "fractions before the cut (points)": float(100 * np.abs(soft - shares).max()) if soft is not None else np.nan,
        "fractions after the cut (points)": float(
            100 * np.abs(np.array(volume.counts) / sum(volume.counts) - shares).max()
        ),
        "two-point correlation (%)": float(auto.error.abs().max()),
        "surface in slices, against the slice (%)": float(lines.error.abs().max()),
        **{f"surface of {name}, against the truth (%)": float(surface[k]) for k, name in enumerate(truth.names)},
        "spread of the axes, correlation (%)": float(table[table.metric == "correlation_spread"].volume.max()),
        "spread of the axes, surface (%)": float(table[table.metric == "intercept_spread"].volume.max()),
        "spread of diagonals against the axes (%)": max(oblique_spread(volume.index == p) for p in range(phases)),
        "boundary in straight runs of 8 px, over the slice's": straight(slices, phases)
        / max(straight(exemplar.index, phases), 1e-4),
        "D_eff of the matrix / truth": flow[0] / truth.conductivity[0],
        "D_eff of the particles / truth": flow[1] / truth.conductivity[1],
        "percolating share of the matrix / truth": percolating(volume.index, 0) / truth.percolating[0],
        "percolating share of the particles / truth": percolating(volume.index, 1) / truth.percolating[1],
        "contacts a particle / truth": number / truth.contacts[0],
        "mean area of a contact / truth": area / truth.contacts[1],
    }


def made(truth: Truth, place: int, settings: ReconstructionSettings, side: int = SIDE) -> dict[str, float]:
    """Figures and CPU seconds of one reconstruction."""
    exemplar = as_phases(truth.volume[place], class_names=truth.names)
    cpu, wall = time.process_time(), time.perf_counter()
    result = reconstruct(check_exemplars({"xy": exemplar}), (side,) * 3, settings)
    spent = {"CPU s": time.process_time() - cpu, "wall s": time.perf_counter() - wall}
    return {**spent, **judged(truth, exemplar, result.phases, result.soft_fractions)}


def add_goals(truth: Truth, runs: list[dict[str, float]], table: Table) -> None:
    """A row for each figure: its mean, the worst, the goal, and how crops of the truth scatter."""
    phases = len(truth.names)
    sizes = [*truth.surface, *truth.conductivity, *truth.percolating, *truth.contacts]
    scatter = [f"{100 * one / size:.1f} %" for one, size in zip(truth.scatter, sizes, strict=True)]
    wanted = {
        "CPU s": ("<= 300", ""),
        "fractions before the cut (points)": ("<= 1", ""),
        "fractions after the cut (points)": ("<= 0.05", ""),
        "two-point correlation (%)": ("<= 1.5", ""),
        "surface in slices, against the slice (%)": ("<= 4", ""),
        **{f"surface of {name}, against the truth (%)": ("+-4", scatter[k]) for k, name in enumerate(truth.names)},
        "spread of the axes, correlation (%)": ("<= 2", ""),
        "spread of the axes, surface (%)": ("<= 2", ""),
        "spread of diagonals against the axes (%)": (
            "<= 2", f"truth {max(oblique_spread(truth.volume == phase) for phase in range(phases)):.1f}"),
        "boundary in straight runs of 8 px, over the slice's": ("<= 1.3", ""),
        "D_eff of the matrix / truth": ("0.96 to 1.04", scatter[phases]),
        "D_eff of the particles / truth": ("mean 0.8 to 1.25, each 0.6 to 1.6", scatter[phases + 1]),
        "percolating share of the matrix / truth": (">= 0.95", scatter[phases + 2]),
        "percolating share of the particles / truth": (">= 0.95", scatter[phases + 3]),
        "contacts a particle / truth": ("0.75 to 1.25", scatter[phases + 4]),
        "mean area of a contact / truth": ("0.75 to 1.25", scatter[phases + 5]),
    }  # fmt: skip
    for key, (goal, apart) in wanted.items():
        values = np.array([run[key] for run in runs])
        table.add(key, values.mean(), values.min(), values.max(), goal, apart)


COLUMNS = {"figure": "", "mean": ".3g", "least": ".3g", "most": ".3g", "goal": "", "crops of the truth": ""}


def goals(seeds: int, results: Results) -> None:
    """The electrode."""
    truth = electrode()
    print(truth.told())
    runs = []
    for seed in range(seeds):
        for place in SLICES:
            runs.append(made(truth, place, ReconstructionSettings(seed=seed)))
            told = ", ".join(f"{key} {value:.3g}" for key, value in runs[-1].items())
            print(f"  slice {place}, seed {seed}: {told}", flush=True)
    title = f"electrode.tif at half resolution, {SIDE}^3 voxels from one slice with the defaults, {len(runs)} volumes"
    add_goals(truth, runs, results.table("goals", title, COLUMNS))


def packings(_: int, results: Results) -> None:
    """Packings of the simulator."""
    for number, (share, diameter, touching, seed) in enumerate(PACKINGS, start=1):
        truth = packing(share, diameter, touching, seed)
        print(truth.told())
        runs = [made(truth, place, ReconstructionSettings(seed=seed)) for place in SLICES[:2]]
        title = (
            f"Packing {number}: {100 * share:g} % particles of {diameter / 0.4:g} voxels, {SIDE}^3 voxels from one "
            f"slice with the defaults, {len(runs)} volumes"
        )
        add_goals(truth, runs, results.table(f"packing_{number}", title, COLUMNS))


def planes(_: int, results: Results) -> None:
    """A material pressed along z, from its own slices of one, two and three planes."""
    whole = tifffile.imread(data_folder() / "volumes" / "electrode.tif")[::3, ::2, ::2]  # a third along z, else a half
    wanted = conductivity(whole, 0)
    shares = np.bincount(whole.ravel()) / whole.size
    cuts = {}
    for axis, plane in enumerate(("xy", "xz", "yz")):
        slices = np.moveaxis(whole, axis, 0)
        apart = [np.abs(np.bincount(one.ravel(), minlength=3) / one.size - shares).max() for one in slices]
        cuts[plane] = slices[int(np.argmin(apart))]  # the one with the fractions nearest to the volume's
    table = results.table(
        "planes",
        "electrode.tif pressed along z (every third voxel along z, every second along y and x), 64^3 voxels: D_eff of "
        "the matrix in the plane over that along z",
        {"micrographs": "", "D_eff xy / z": ".3f", "truth": ".3f"},
    )  # fmt: skip
    for given in (("xy",), ("xy", "xz"), ("xy", "xz", "yz")):
        exemplars = check_exemplars({plane: as_phases(cuts[plane], class_names=NAMES) for plane in given})
        flow = conductivity(reconstruct(exemplars, (SIDE,) * 3).phases.index, 0)
        table.add(", ".join(given), np.mean(flow[1:]) / flow[0], np.mean(wanted[1:]) / wanted[0])


def terms(_: int, results: Results) -> None:
    """Losses, and the terms switched on one after another."""
    truth = electrode()
    table = results.table(
        "terms",
        f"What each part of the loss is for: slice {SLICES[0]}, one seed",
        {"loss": "", "terms": "", "CPU s": ".0f", "two-point, %": ".1f", "surface in slices, %": ".1f",
         "axes, %": ".1f", "D_eff matrix": ".2f", "D_eff particles": ".2f"},
    )  # fmt: skip
    shown = ("CPU s", "two-point correlation (%)", "surface in slices, against the slice (%)",
             "spread of the axes, correlation (%)", "D_eff of the matrix / truth",
             "D_eff of the particles / truth")  # fmt: skip
    for loss in ("patches", "vgg19", "both"):
        settings = replace(ReconstructionSettings(), loss=loss, **BARE)
        for name, change in TERMS:
            settings = replace(settings, **change)
            if loss != "patches" and name not in (TERMS[0][0], TERMS[-2][0], TERMS[-1][0]):
                continue
            run = made(truth, SLICES[0], settings)
            table.add(loss, name, *(run[key] for key in shown))


def large(_: int, results: Results) -> None:
    """128^3 with VGG19 within 6 GiB."""
    truth = electrode()
    run = made(truth, SLICES[1], ReconstructionSettings(), side=128)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    add_figures(results.table("large", "128^3 voxels", FIGURES), {"peak memory, GiB (goal 6)": peak, **run})


FIGURES = {"figure": "", "measured": ".3g"}


def add_figures(table: Table, figures: dict[str, float]) -> None:
    """A row each."""
    for key, value in figures.items():
        table.add(key, value)


def peer(_: int, results: Results) -> None:
    """MCRpy on the same slice."""
    python = os.environ.get("FIJIBRIDGE_MCRPY")
    if not python:
        print("\nMCRpy: not run (FIJIBRIDGE_MCRPY is not set)")
        return
    truth = electrode()
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "slice.npy", Path(folder) / "volume.npy"
        np.save(given, truth.volume[SLICES[1]])
        script = Path(__file__).with_name("mcrpy_peer.py")
        done = subprocess.run([python, script, given, str(SIDE), out], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"\nMCRpy failed: {done.stderr.strip().splitlines()[-1]}")
            return
        about = json.loads(done.stdout.strip().splitlines()[-1])
        volume = np.load(out)
    exemplar = as_phases(truth.volume[SLICES[1]], class_names=NAMES)
    names = [NAMES[value] for value in np.unique(volume)]
    run = judged(truth, exemplar, as_phases(volume, class_names=names), None)
    title = f"MCRpy {about['version']} on slice {SLICES[1]}, {about['settings']}"
    add_figures(results.table("peer", title, FIGURES), {"CPU s": about["cpu_s"], **run})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"goals": goals, "packings": packings, "planes": planes, "terms": terms, "large": large, "peer": peer}
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--seeds", type=int, default=2)
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("reconstruction", arguments.json)
    for part in arguments.part:
        parts[part](arguments.seeds, results)


if __name__ == "__main__":
    main()
