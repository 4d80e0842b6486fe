"""The README's and the examples' code runs, and so do the benchmarks at small sizes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile

from fijibridge.synthesis.demo import demo_image

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


def strokes_as_rois(path: Path, labels: np.ndarray, names: tuple[str, ...]) -> None:
    """Each class as two rectangles inside its strokes."""
    rois = []
    for value, name in enumerate(names, start=1):
        for number, (y, x) in enumerate(np.argwhere(labels == value)[[0, -1]]):
            corners = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]]
            rois.append(roifile.ImagejRoi.frompoints(np.array(corners, float), name=f"{name}-{number}"))
    roifile.roiwrite(path, rois, mode="w")


@pytest.mark.weights
def test_readme_python(tmp_path):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S).group(1)
    image, labels, _ = demo_image(260)
    for name in ("micrograph.tif", "next.tif"):
        tifffile.imwrite(tmp_path / name, image.data)
    strokes_as_rois(tmp_path / "strokes.zip", labels.data, labels.class_names)
    script = tmp_path / "readme.py"
    script.write_text(
        code + "\nassert crop.shape == (256, 256, 76 + 2 * 384), crop.shape\n"
        "assert set(result.ravel()) <= {1, 2, 3} and probabilities.shape == (260, 260, 3)\n"
        "assert (next_result == result).all()\n",
        encoding="utf-8",
    )
    run(script, tmp_path)


@pytest.mark.weights
def test_readme_macro(tmp_path, java):
    code = re.search(
        r"```javascript\n(run\(\"fijibridge\"\).*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S
    )
    image, labels, _ = demo_image(140)
    tifffile.imwrite(tmp_path / "micrograph.tif", image.data)
    strokes_as_rois(tmp_path / "strokes.zip", labels.data, labels.class_names)
    (tmp_path / "readme.ijm").write_text(code.group(1), encoding="utf-8")
    command = [sys.executable, "-W", "error", "-m", "fijibridge", "macro", "readme.ijm"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 <= float(done.stdout) <= 1  # of a few labelled pixels
    assert (tmp_path / "out" / "labels.tif").is_file()


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


def test_superresolve_volume(tmp_path):
    out = run(ROOT / "examples" / "superresolve_volume.py", tmp_path)
    assert tifffile.imread(tmp_path / "fine.tif").shape == (32, 32, 32)
    assert float(re.search(r"agreement with the coarse volume: ([\d.]+)", out).group(1)) > 99.4
    assert float(re.search(r"union\): ([\d.]+)", out).group(1)) > 0.6


def test_readme_superresolution(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"## A coarse volume made fine.*?```python\n(.*?)```", text, re.S).group(1)
    ball = np.square(np.mgrid[:8, :8, :8] - 3.5).sum(0) < 9
    tifffile.imwrite(tmp_path / "coarse.tif", ball.astype(np.uint8))
    blobs = np.kron(np.random.default_rng(0).integers(1, 4, (12, 12), np.uint8), np.ones((4, 4), np.uint8))
    tifffile.imwrite(tmp_path / "labels.tif", blobs)
    script = tmp_path / "readme.py"
    script.write_text(code.replace("()", '(loss="patches", steps=3, trust="coarse")', 1), encoding="utf-8")
    run(script, tmp_path)


def test_readme_reconstruction(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"## A volume from one micrograph.*?```python\n(.*?)```", text, re.S).group(1)
    blobs = np.kron(np.random.default_rng(0).integers(1, 4, (12, 12), np.uint8), np.ones((4, 4), np.uint8))
    tifffile.imwrite(tmp_path / "labels.tif", blobs)
    script = tmp_path / "readme.py"
    script.write_text(code.replace("128", "16").replace("()", '(loss="patches", steps=4)', 1), encoding="utf-8")
    run(script, tmp_path)


def test_readme_metrology(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"## Numbers of a volume.*?```python\n(.*?)```", text, re.S).group(1)
    tifffile.imwrite(tmp_path / "volume.tif", np.random.default_rng(0).integers(0, 3, (8, 9, 10), np.uint8))
    script = tmp_path / "readme.py"
    script.write_text(code + "\nassert len(found.table) > 50\n", encoding="utf-8")
    run(script, tmp_path)


def test_metrology_benchmark_runs(tmp_path):
    out = run(ROOT / "benchmarks" / "metrology.py", tmp_path, "--small")
    assert len(re.findall(r"^\|.*\|$", out, re.M)) > 12
    assert "MISSED" not in out


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("interchange.py", ["--pixels", "4000", "--trees", "40"]),
        ("speed.py", ["--features", "8", "--trees", "20", "--size", "96", "--repeats", "1", "--java-pixels", "200"]),
        ("memory.py", ["--size", "300", "--encoder", "none"]),
        ("doors.py", ["--size", "96", "--encoder", "none", "--calls", "5", "--stack", "3", "40", "50"]),
    ],
)
def test_benchmarks_run(tmp_path, java, name, arguments):
    out = run(ROOT / "benchmarks" / name, tmp_path, *arguments)
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
    printed = run(ROOT / "benchmarks" / "detectors.py", tmp_path, "--pairs", "1", "--size", "128", "--encoder", "none")
    assert "both above the better one alone" in printed
