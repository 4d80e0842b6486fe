"""Simulated micrographs: how fast they are made, whether fractions are met, how diverse they are.

    python benchmarks/simulation.py [--part speed fractions diversity] [--data DIR]

diversity stands the presets beside the real BSE images of coating/ (other materials: an environmental barrier coating).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import data_folder
from results import Results, add_json

from fijibridge.operations.diversity import diversity as diversity_operation
from fijibridge.synthesis.config import load_preset, presets
from fijibridge.synthesis.dataset import make_pair_structure, sections_of, write_dataset
from fijibridge.synthesis.structure import PHASES


def speed(_: Path | None, results: Results) -> None:
    """512 x 512 pairs a second on all cores."""
    config = load_preset("generic")
    structure = make_pair_structure(config, 0, 0)
    list(sections_of(config, structure, 0, 0))  # compiled
    started, cpu = time.perf_counter(), time.process_time()
    pairs = sum(len(list(sections_of(config, structure, 0, number))) for number in range(4))
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        write_dataset(config, out=Path(folder) / "set", count=64, seed=1)
        whole = 64 / (time.perf_counter() - started)
    columns = {"pairs": "", "a second": ".2f", "CPU s each": ".2f", "goal (2 cores)": ""}
    table = results.table("speed", "512 x 512 SE + BSE pairs a second", columns)
    table.add("from ready structures, one process", pairs / wall, cpu / pairs, "2")
    table.add("with their 3D structures, written, a process a core", whole, None, "0.2")


def fractions(_: Path | None, results: Results) -> None:
    """Wanted against made, over structures of every preset and the corners of the hard test."""
    columns = {"structures": "", "largest difference, points": ".2f", "CPU s each": ".1f", "goal": ""}
    table = results.table("fractions", "Volume fractions of simulated structures: wanted against made", columns)
    hard = {"cam_fraction": [0.25, 0.65], "cam_diameter": [1.0, 12.0], "porosity": [0.03, 0.25]}
    configs = {name: load_preset(name) for name in presets()}
    configs["hard test"] = load_preset("generic").with_ranges(structure=hard)
    for name, config in configs.items():
        worst, cpu = 0.0, time.process_time()
        for number in range(6):
            made = make_pair_structure(config, 5, number)
            counts = np.bincount(made.labels.ravel(), minlength=len(PHASES) + 1)[1:] / made.labels.size
            wanted = np.array([made.settings.fractions[phase] for phase in PHASES])
            worst = max(worst, 100 * float(np.abs(counts - wanted).max()))
        table.add(f"{name} (6)", worst, (time.process_time() - cpu) / 6, "0.5")


def diversity(data: Path | None, results: Results) -> None:
    """Distances between images, beside those of real ones."""
    real = sorted((data / "coating").glob("coating_?.png"))
    columns = {
        "preset": "",
        "in": "",
        **dict.fromkeys(("spread", "of the real ones", "real to nearest", "covered"), ".3f"),
    }
    table = results.table("diversity", "Diversity of simulated images beside the real ones of coating/", columns)
    for name in presets():
        with tempfile.TemporaryDirectory() as folder:
            config = replace(load_preset(name), sections=2)
            write_dataset(config, out=Path(folder) / "set", count=24, seed=2)
            report = diversity_operation(Path(folder) / "set", real=real, out=Path(folder) / "report", max_images=24)
        print(f"\n{name}: {', '.join(f'{k} {100 * v:.1f} %' for k, v in report['class_fractions'].items())}")
        for row in report["diversity"]:
            numbers = (row["spread"], row["spread_real"], row["to_nearest"], row["covered"])
            table.add(name, row["kind"], *numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"speed": speed, "fractions": fractions, "diversity": diversity}
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--data", type=Path, default=None)
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("simulation", arguments.json)
    for part in arguments.part:
        parts[part](arguments.data or (data_folder() if part == "diversity" else None), results)


if __name__ == "__main__":
    main()
