"""The examples run, and so do the benchmarks at small sizes. The code of README and documentation: test_docs.py."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def run(script: str | Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.weights
def test_segment_micrograph(tmp_path):
    out = run(ROOT / "examples" / "segment_micrograph.py", tmp_path)
    assert re.findall(r"^(\w+): \d+\.\d %$", out, re.M) == ["ISE", "CAM", "pore"]
    assert (tmp_path / "overlay.png").is_file()


def test_a_macro(tmp_path, java):
    macro = ROOT / "examples" / "segment_open_image.ijm"
    command = [sys.executable, "-W", "error", "-m", "fijibridge", "macro", str(macro)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    share = float(re.search(r"particle: ([\d.]+)", done.stdout).group(1))
    assert abs(share - np.pi * 60**2 / 256**2) < 0.05
    assert "images open: 4" in done.stdout


def test_macro_from_python(tmp_path, java):
    out = run(ROOT / "examples" / "macro_from_python.py", tmp_path)
    iou, title = re.search(r"mean IoU and title: ([\d.]+) (\S+)", out).groups()
    assert float(iou) > 0.5
    assert title == "labels.tif"
    assert "failed in line 2" in out
    assert "96 to 4096 px" in out


def test_forest_in_weka(tmp_path, java):
    out = run(ROOT / "examples" / "forest_in_weka.py", tmp_path)
    assert out.count("True") == 2
    assert float(out.split()[-1]) <= 1e-7


def test_segment_tomography(tmp_path):
    out = run(
        ROOT / "examples" / "segment_tomography.py", tmp_path, "--slices", "8", "--size", "96", "--features", "tws"
    )
    assert out.count("killed with") == 2
    assert "(8, 96, 96) voxels" in out
    assert float(re.search(r"([\d.]+) % of the voxels as in the truth", out).group(1)) > 65
    assert re.findall(r"^(\w+): [\d.]+ %, true [\d.]+ %$", out, re.M) == ["ISE", "CAM", "pore", "carbon"]


def test_measure_volume(tmp_path):
    out = run(ROOT / "examples" / "measure_volume.py", tmp_path)
    assert out.count("tortuosity_factor") == 9
    taus = [float(tau) for tau in re.findall(r"tortuosity factor of ISE along [zyx]: ([\d.]+)", out)]
    assert len(taus) == 3
    assert min(taus) > 1
    volume, one_slice = (
        float(high) - float(low) for low, high in re.findall(r"CAM in .*\(([\d.]+) to ([\d.]+) %\)", out)
    )
    assert volume < one_slice


def test_reconstruct_volume(tmp_path):
    out = run(ROOT / "examples" / "reconstruct_volume.py", tmp_path)
    assert tifffile.imread(tmp_path / "volume.tif").shape == (32, 32, 32)
    assert float(re.search(r"fraction_points: ([\d.]+)", out).group(1)) < 0.05
    assert float(re.search(r"two_point_percent: ([\d.]+)", out).group(1)) < 25


def test_cathode_to_bpx(tmp_path):
    out = run(ROOT / "examples" / "cathode_to_bpx.py", tmp_path)
    assert float(re.search(r"([\d.]+) % of the pixels as in the truth", out).group(1)) > 75
    phases = re.findall(r"^(\w+): ([\d.]+) %, in the true image ([\d.]+) %$", out, re.M)
    assert [name for name, _, _ in phases] == ["ISE", "CAM", "pore"]
    shares = {name: float(share) / 100 for name, share, _ in phases}
    tau = float(re.search(r"^ISE.*\n.*tortuosity factor along z ([\d.]+)$", out, re.M).group(1))
    whole = json.loads((tmp_path / "report" / "bpx.json").read_text(encoding="utf-8"))
    positive = whole["Parameterisation"]["Positive electrode"]
    assert abs(positive["Porosity"] - shares["ISE"]) < 1e-3
    assert positive["Transport efficiency"] == pytest.approx(shares["ISE"] / tau, rel=0.01)
    assert 0 < positive["Particle radius [m]"] < 2.5e-6
    bpx = pytest.importorskip("bpx")
    cell = bpx.parse_bpx_file(str(tmp_path / "report" / "bpx.json")).parameterisation
    assert cell.positive_electrode.porosity == positive["Porosity"]
    assert cell.negative_electrode.porosity == 0.45
    if "PyBaMM: " in out:  # where it is installed
        assert 2.5 < float(re.search(r"ten minutes of 2 mA: ([\d.]+) V", out).group(1)) < 4.4


def test_generate_volume(tmp_path):
    out = run(ROOT / "examples" / "generate_volume.py", tmp_path)
    assert tifffile.imread(tmp_path / "volume.tif").shape == (64, 64, 64)
    assert float(re.search(r"two-point functions differ by ([\d.]+) %", out).group(1)) < 8
    assert 0.55 < float(re.search(r"times 1.5: ([\d.]+)", out).group(1)) < 0.8


def test_superresolve_volume(tmp_path):
    out = run(ROOT / "examples" / "superresolve_volume.py", tmp_path)
    assert tifffile.imread(tmp_path / "fine.tif").shape == (32, 32, 32)
    assert float(re.search(r"agreement with the coarse volume: ([\d.]+)", out).group(1)) > 99.4
    assert float(re.search(r"union\): ([\d.]+)", out).group(1)) > 0.6
    assert float(re.search(r"most probable volume: ([\d.]+)", out).group(1)) > 0.6
    assert tifffile.imread(tmp_path / "uncertainty.tif").max() <= 1


def test_metrology_benchmark_runs(tmp_path):
    out = run(ROOT / "benchmarks" / "metrology.py", tmp_path, "--small", "--json", "found.json")
    assert len(re.findall(r"^\|.*\|$", out, re.M)) > 12
    assert "MISSED" not in out


def test_measuring_large_volumes_benchmark_runs(tmp_path):
    out = run(ROOT / "benchmarks" / "volumes_measure.py", tmp_path, "--size", "64", "--json", "found.json")
    assert len(re.findall(r"^\|.*\|$", out, re.M)) > 8
    assert "GiB | 2" in out
    assert "MISSED" not in out
    assert float(re.search(r"difference from the whole.*? \| ([-+.e\d]+) \|", out).group(1)) < 1e-6


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("interchange.py", ["--pixels", "4000", "--trees", "40"]),
        ("speed.py", ["--features", "8", "--trees", "20", "--size", "96", "--repeats", "1", "--java-pixels", "200"]),
        ("memory.py", ["--size", "300", "--features", "tws"]),
        ("volumes.py", ["--part", "memory", "time", "--size", "96", "--long", "20", "--features", "tws"]),
        ("frontends.py", ["--size", "96", "--features", "tws", "--calls", "5", "--stack", "3", "40", "50"]),
    ],
)
def test_benchmarks_run(tmp_path, java, name, arguments):
    out = run(ROOT / "benchmarks" / name, tmp_path, *arguments, "--json", "found.json")
    tables = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["tables"]
    assert all(table["rows"] and table["date"] and table["machine"]["cores"] for table in tables.values())
    assert "| goal |" in out or "goal" in out.lower()
    assert len(re.findall(r"^\|.*\|$", out, re.M)) >= 3


def test_simulation_and_network(tmp_path):
    printed = run(ROOT / "examples" / "simulate_and_segment.py", tmp_path, str(tmp_path))
    assert "classes: ISE, CAM, pore" in printed
    assert (tmp_path / "segmentation" / "labels.tif").is_file()


def test_two_detectors(tmp_path):
    printed = run(ROOT / "examples" / "two_detectors.py", tmp_path)
    assert "SE lay off BSE by (rows, columns): (0.0, 0.0)" in printed
    assert "features of BSE, SE" in printed


def test_detectors_benchmark_runs(tmp_path):
    small = ["--pairs", "1", "--size", "128", "--features", "tws", "--json", "found.json"]
    printed = run(ROOT / "benchmarks" / "detectors.py", tmp_path, *small)
    assert "above the better one alone" in printed
    assert "| noise |" in printed


def test_train_from_many(tmp_path):
    printed = run(ROOT / "examples" / "train_from_many.py", tmp_path)
    one, many, old, both = (float(share) for share in re.findall(r"([0-9.]+) % of the pixels", printed))
    assert min(one, many, old, both) > 60
    assert many >= one - 2
    assert "data.arff is read and written again: the same bytes" in printed


def test_labels_on_slices(tmp_path):
    printed = run(ROOT / "examples" / "segment_stack.py", tmp_path)
    assert "labels on slices [1, 3], segmented [1, 2, 3]" in printed
    assert min(map(float, re.findall(r"([0-9.]+) % of the pixels", printed))) > 70
