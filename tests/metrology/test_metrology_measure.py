"""`measure` as a function and as an operation: what it writes, what it refuses, and in which words."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tifffile
from media import three_phases
from shell import tree

from fijibridge.core.errors import BridgeError, ImageNotFoundError, LabelsError, OutputError, SettingsError
from fijibridge.core.manifest import MANIFEST
from fijibridge.frontends.arguments import report_lines
from fijibridge.frontends.cli import main
from fijibridge.images.image import PixelSize
from fijibridge.images.writing import write_labels
from fijibridge.metrology import measure
from fijibridge.metrology.catalogue import METRICS
from fijibridge.operations.measure import measure as measure_file

NAMED = {"tensor", "electrode_tortuosity"}  # measured only when named
ALL = set(METRICS) - NAMED


@pytest.fixture(scope="module")
def volume():
    return three_phases((20, 22, 24))


@pytest.fixture
def file(tmp_path, volume):
    return write_labels(
        tmp_path / "volume.tif",
        volume + 1,
        class_names=["a", "b", "c"],
        pixel_size=PixelSize(10, 10, "nm", 25),
    )


# --- the function ----------------------------------------------------------------------------------------------------


def test_all_of_a_volume(volume):
    found = measure(volume, spacing=(2, 1, 1), unit="nm", conductivities=[1, 0.1, 0], threads=1)
    assert set(found.metrics) == ALL == {name for name in METRICS if not METRICS[name].when_named}
    assert all(METRICS[name].draw for name in METRICS)
    assert set(found.curves) == {"correlation", "chords", "sizes"}
    assert found.value("fraction", "phase 0") == pytest.approx((volume == 0).mean())
    assert found.value("tortuosity_factor", "phase 0", axis="z") > 1
    assert found.value("interface_area", "phase 0", other="phase 2") > 0
    units = found.table.drop_duplicates("metric").set_index("metric").unit
    assert units["specific_surface"] == "nm^-1"
    assert units["triple_phase_boundary"] == "nm^-2"
    assert units["integral_range"] == "nm^3"
    # what each phase shows to the others adds up to what the pairs share
    table = found.table.set_index("metric")
    assert table.loc["specific_surface"].value.sum() == pytest.approx(2 * table.loc["interface_area"].value.sum())
    with pytest.raises(SettingsError, match="no number"):
        found.value("fraction", "nothing")


def test_all_of_an_image(volume):
    found = measure(volume[5], threads=1)
    assert set(found.metrics) == ALL - {"conductivity"}
    assert set(found.table.axis) == {"", "y", "x"}
    assert any("2D" in note for note in found.notes)


def test_some_metrics_and_axes(volume):
    found = measure(volume, metrics=["tortuosity", "fractions"], axes=["y"], threads=1)
    assert found.metrics == ("fractions", "tortuosity")
    assert set(found.table.axis) == {"", "y"}
    assert found.curves == {}


def test_two_phases_have_no_triple_line(volume):
    found = measure(volume > 0, metrics=["triple"])
    assert len(found.table) == 0
    assert "fewer than three" in found.notes[0]


# a metric of a user's own: one file, and one row in the catalogue
TOY = """
import numpy as np
import pandas as pd

from fijibridge.metrology import plots
from fijibridge.metrology.metric import Metric


def measure(context):
    for phase, name in context.phases:
        places = np.argwhere(context.phases.mask(phase))
        for axis in context.axes:
            value = places[:, context.phases.axis(axis)].mean()
            context.add("toy_middle", value, context.length_unit(1), name, axis=axis)
    context.curves["toy"] = pd.DataFrame({"phase": context.phases.names, "voxels": context.phases.counts})


def draw(found):
    figure, (axis,) = plots.figure()
    plots.grouped_bars(axis, found, "toy_middle", "middle of the phase")
    return figure


TOY = Metric(measure, draw)
"""


@pytest.fixture
def toy(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy_metric.py").write_text(TOY, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    with METRICS.added("toy", "toy_metric:TOY", "middle of each phase"):
        yield
    sys.modules.pop("toy_metric", None)


def test_a_new_metric_is_one_file_and_one_registration(toy, file, tmp_path, volume):
    found = measure(volume, metrics=["toy"], axes=["z"], unit="nm")
    assert found.metrics == ("toy",)
    assert found.value("toy_middle", "phase 1", axis="z") == np.argwhere(volume == 1)[:, 0].mean()
    assert "toy" in measure(volume).metrics  # all includes it, last
    report = measure_file(file, out=tmp_path / "out", metrics="toy, chords", threads=1)
    assert report["measured"] == ["chords", "toy"]
    assert report["metrics"]["toy_middle"]["a"].keys() == {"z", "y", "x"}
    assert report["outputs"] == ["metrics.csv", "chords.csv", "toy.csv", "chords.png", "toy.png"]
    assert (tmp_path / "out" / "toy.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(tmp_path / "out" / "metrics.csv")
    assert (table.metric == "toy_middle").sum() == 9
    with pytest.raises(SettingsError, match="tensor, electrode_tortuosity, toy"):
        measure(volume, metrics=["tau"])


def test_the_option_names_every_metric():
    """The options of command line and macros are declared when the program starts, from what is registered."""
    code = (
        "from fijibridge.metrology.catalogue import METRICS\n"
        "METRICS.add('toy', 'toy_metric:TOY', 'middle of each phase')\n"
        "from fijibridge.frontends.arguments import parameters_of\n"
        "print(', '.join(parameters_of('measure')['metrics'][1].choices()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ", ".join(["all", *METRICS, "toy"]) == done.stdout.strip()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"metrics": ["tau"]}, "metrics 'tau'"),
        ({"metrics": []}, "none"),
        ({"metrics": ["conductivity"]}, "without those of its phases"),
        ({"axes": ["t"]}, "axis 't'"),
        ({"confidence": 0}, "confidence"),
        ({"conductivities": [1]}, "conductivities"),
        ({"surface_method": "faces"}, "method"),
    ],
)
def test_settings_that_do_not_fit(volume, more, words):
    with pytest.raises(SettingsError, match=words):
        measure(volume, **more)


def test_one_phase():
    with pytest.raises(LabelsError, match="one phase only"):
        measure(np.ones((5, 5, 5), int))


# --- the operation ---------------------------------------------------------------------------------------------------


def test_what_is_written(file, tmp_path, volume):
    out = tmp_path / "report"
    report = measure_file(
        file, out=out, classes="pore, AM,CBD", conductivities="pore=0, AM=1, CBD=0.5", threads=1,
        metrics="all,tensor,electrode_tortuosity",
    )  # fmt: skip
    assert report == json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert set(tree(out)) == {MANIFEST, "report.json", *report["outputs"]}
    pictures = {f"{name}.png" for name in METRICS}
    assert set(report["outputs"]) == pictures | {"metrics.csv", "correlation.csv", "chords.csv", "sizes.csv"}
    assert report["voxel_size"] == {"z": 25, "y": 10, "x": 10, "unit": "nm"}
    assert report["phases"] == {"pore": 1, "AM": 2, "CBD": 3}
    assert report["shape"] == list(volume.shape)
    numbers = report["metrics"]
    assert numbers["fraction"]["pore"] == pytest.approx((volume == 0).mean())
    low, high = numbers["interval"]["fraction"]["pore"]
    assert low < numbers["fraction"]["pore"] < high
    table = pd.read_csv(out / "metrics.csv")
    row = table[(table.metric == "tortuosity_factor") & (table.phase == "AM") & (table.axis == "z")]
    assert row.value.iloc[0] == pytest.approx(numbers["tortuosity_factor"]["AM"]["z"])
    assert any(line.startswith("metrics.tortuosity_factor.AM.z=") for line in report_lines(report))
    for name in pictures:
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_infinity_and_the_voxel_size_given(tmp_path, caplog):
    labels = np.zeros((12, 14), np.uint8)
    labels[4:8] = 1
    tifffile.imwrite(tmp_path / "bar.tif", labels)
    report = measure_file(tmp_path / "bar.tif", out=tmp_path / "out", voxel_size="20,10 um", threads=1)
    assert report["metrics"]["tortuosity_factor"]["phase 1"] == {"y": "inf", "x": pytest.approx(1, abs=1e-5)}
    assert "Infinity" not in (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    table = pd.read_csv(tmp_path / "out" / "metrics.csv")
    rows = table[(table.metric == "tortuosity_factor") & (table.phase == "phase 1")]
    assert rows.value.tolist() == [math.inf, pytest.approx(1, abs=1e-5)]
    assert report["voxel_size"] == {"y": 20, "x": 10, "unit": "\u00b5m"}
    assert "triple.png" not in report["outputs"]
    assert any("2D" in note for note in report["notes"])


def test_a_stack_without_slice_distance(tmp_path, volume, caplog):
    tifffile.imwrite(
        tmp_path / "v.tif", volume, imagej=True, resolution=(0.1, 0.1), metadata={"axes": "ZYX", "unit": "nm"}
    )
    with caplog.at_level(logging.WARNING):
        report = measure_file(tmp_path / "v.tif", out=tmp_path / "out", metrics="fractions", threads=1)
    assert report["voxel_size"]["z"] == 10
    assert "no slice distance" in caplog.text
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, volume)
    report = measure_file(plain, out=tmp_path / "plain", metrics="fractions", background="0", threads=1)
    assert report["voxel_size"] == {"z": 1, "y": 1, "x": 1, "unit": "px"}
    assert list(report["phases"]) == ["phase 1", "phase 2"]


def test_a_file_larger_than_the_memory_given(tmp_path, caplog):
    file = write_labels(tmp_path / "v.tif", three_phases((36, 40, 44)) + 1, class_names=["a", "b", "c"])
    options = {"metrics": "chords,surface,connectivity,sizes", "threads": 1}
    whole = measure_file(file, out=tmp_path / "whole", **options)
    assert set(whole["how"].values()) == {"whole"}
    assert "spread" not in whole["metrics"]
    with caplog.at_level(logging.WARNING):
        short = measure_file(file, out=tmp_path / "short", memory="40 kB", **options)
    assert short["how"]["chords"] == "slabs of 1 slice"
    assert short["how"]["sizes"] == "8 blocks of 16 x 16 x 16 voxels"
    for name in ("mean_chord", "specific_surface", "interface_area", "percolating", "components"):
        ours, theirs = (pd.json_normalize(report["metrics"][name]).iloc[0] for report in (short, whole))
        pd.testing.assert_series_equal(ours, theirs, rtol=1e-6)
    assert short["metrics"]["spread"]["local_thickness_mean"]["a"] > 0
    assert any("sizes: mean and standard deviation (spread) of" in note for note in short["notes"])
    assert "sizes: mean and standard deviation" in caplog.text
    table = pd.read_csv(tmp_path / "short" / "metrics.csv")
    assert table.spread.notna().sum() == 15
    assert (tmp_path / "short" / "sizes.png").is_file()
    for name in ("voxel_size", "phases", "class_fractions", "shape"):
        assert short[name] == whole[name]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"memory": "much"}, "memory = 'much'"),
        ({"memory": "0GB"}, "memory = '0GB'"),
        ({"classes": "a,b"}, "2 name"),
        ({"classes": "a,b,c,d"}, "4 name"),
        ({"background": "none"}, "background = 'none'"),
        ({"background": "9"}, "does not have"),
        ({"voxel_size": "big"}, "voxel size 'big'"),
        ({"voxel_size": "1,2,3,4 nm"}, "voxel size"),
        ({"voxel_size": "0 nm"}, "voxel size"),
        ({"voxel_size": "2,1 nm"}, "voxel size"),
        ({"metrics": "fractions,tau"}, "'tau'"),
        ({"axes": "q"}, "axes = 'q'"),
        ({"axes": ""}, "axes"),
        ({"conductivities": "1,2"}, "conductivities"),
        ({"conductivities": "x=1,y=2,z=3"}, "conductivities"),
        ({"conductivities": "a=1,2"}, "conductivities"),
        ({"conductivities": "phase 1=1,phase 1=2,phase 2=3"}, "conductivities"),
        ({"confidence": 2.0}, "confidence"),
        ({"surface": "faces"}, "surface"),
    ],
)
def test_bad_options_leave_nothing(file, tmp_path, more, words):
    with pytest.raises(BridgeError, match=words):
        measure_file(file, out=tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()


def test_bad_files(tmp_path, file):
    with pytest.raises(ImageNotFoundError):
        measure_file(tmp_path / "no.tif", out=tmp_path / "out")
    rng = np.random.default_rng(0)
    for data, words in (
        (rng.integers(0, 255, (9, 9, 3), np.uint8), "RGB"),
        (rng.random((9, 9), np.float32), "not whole numbers"),
        (rng.integers(0, 255, (9, 9), np.uint8), "grey image"),
        (np.ones((9, 9), np.uint8), "one phase only"),
    ):
        tifffile.imwrite(tmp_path / "bad.tif", data, photometric="rgb" if data.ndim == 3 else "minisblack")
        with pytest.raises(BridgeError, match=words):
            measure_file(tmp_path / "bad.tif", out=tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        measure_file(file, out=tmp_path / "out")
    with pytest.raises(OutputError, match="other things"):
        measure_file(file, out=tmp_path / "out", overwrite=True)


def test_the_command_line(file, tmp_path, capsys):
    arguments = ["measure", str(file), "--out", str(tmp_path / "out"), "--metrics", "fractions,connectivity"]
    assert main([*arguments, "--threads", "1"]) == 0
    assert "volume.tif: a " in capsys.readouterr().out  # the names in the file
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite", "--axes", "z"]) == 0
