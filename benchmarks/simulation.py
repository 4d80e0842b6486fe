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
from machine import data_folder, describe

from fijibridge.operations.diversity import diversity as diversity_operation
from fijibridge.synthesis.config import load_preset, presets
from fijibridge.synthesis.dataset import make_pair_structure, sections_of, write_dataset
from fijibridge.synthesis.structure import PHASES


def speed(_: Path | None) -> None:
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
    print("\n| 512 x 512 SE + BSE pairs a second | found | goal (2 cores) |\n|---|---|---|")
    print(f"| from ready structures, one process | {pairs / wall:.2f} ({cpu / pairs:.2f} CPU s each) | >= 2 |")
    print(f"| with their 3D structures, written, a process a core | {whole:.2f} | >= 0.2 |", flush=True)


def fractions(_: Path | None) -> None:
    """Wanted against made, over structures of every preset and the corners of the hard test."""
    print("\n| structures | largest difference of a phase's fraction (points) | CPU s each | goal |\n|---|---|---|---|")
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
        print(f"| {name} (6) | {worst:.2f} | {(time.process_time() - cpu) / 6:.1f} | <= 0.5 |", flush=True)


def diversity(data: Path | None) -> None:
    """Distances between images, beside those of real ones."""
    real = sorted((data / "coating").glob("coating_?.png"))
    for name in presets():
        with tempfile.TemporaryDirectory() as folder:
            config = replace(load_preset(name), sections=2)
            write_dataset(config, out=Path(folder) / "set", count=24, seed=2)
            report = diversity_operation(Path(folder) / "set", real=real, out=Path(folder) / "report", images=24)
        print(f"\n{name}: {', '.join(f'{k} {100 * v:.1f} %' for k, v in report['class_fractions'].items())}")
        print("| | spread | spread of the real ones | real to nearest simulated | covered |\n|---|---|---|---|---|")
        for row in report["diversity"]:
            numbers = (row["spread"], row["spread_real"], row["to_nearest"], row["covered"])
            print(f"| {row['kind']} | " + " | ".join(f"{value:.3f}" for value in numbers) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"speed": speed, "fractions": fractions, "diversity": diversity}
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--data", type=Path, default=None)
    arguments = parser.parse_args()
    print(describe(), flush=True)
    for part in arguments.part:
        parts[part](arguments.data or (data_folder() if part == "diversity" else None))


if __name__ == "__main__":
    main()
