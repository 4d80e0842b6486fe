"""Data sets of simulated micrographs: configuration, shards, resuming, workers, previews."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from shell import child

from fijibridge.core.errors import BridgeError, OutputError, ServiceError, SettingsError
from fijibridge.frontends.cli import main
from fijibridge.images.image import read_slices
from fijibridge.operations.simulate import simulate
from fijibridge.phases.reading import stored_names
from fijibridge.synthesis import dataset as dataset_module
from fijibridge.synthesis.config import (
    config_of,
    draw_imaging,
    draw_structure,
    load_config,
    load_preset,
    presets,
    to_record,
)
from fijibridge.synthesis.dataset import DATASET, class_names, label_values, simulated_pairs, write_dataset

SMALL = """
preset = "generic"
size = 64
depth = 12
sections = 2
pixel_size = 0.1

[structure]
cam_diameter = [1.2, 2.0]

[imaging]
snr = [10, 20]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "mine.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def written(file, tmp_path_factory) -> Path:
    """18 pairs, 8 a shard, in one go."""
    out = tmp_path_factory.mktemp("data") / "set"
    write_dataset(load_config(file), out=out, count=18, seed=3, workers=1)
    return out


def contents(folder: Path) -> dict[str, object]:
    """What a data set holds, by file; of dataset.json all but the versions' order."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".tif":
            found[str(path.relative_to(folder))] = tifffile.imread(path).tobytes()
        elif path.name in (DATASET, "parameters.json"):
            found[str(path.relative_to(folder))] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_shards(written):
    about = json.loads((written / DATASET).read_text(encoding="utf-8"))
    assert about["class_names"] == ["ISE", "CAM", "pore"]
    assert about["count"] == 18
    shards = sorted(written.glob("shard-*"))
    assert [shard.name for shard in shards] == ["shard-00000", "shard-00001", "shard-00002"]
    sizes = []
    for shard in shards:
        labels, se, bse = (np.atleast_3d(tifffile.imread(shard / f"{name}.tif")) for name in ("labels", "se", "bse"))
        assert labels.shape == se.shape == bse.shape
        assert set(np.unique(labels)) == {1, 2, 3}
        assert stored_names(shard / "labels.tif") == {0: "unlabelled", 1: "ISE", 2: "CAM", 3: "pore"}
        parameters = json.loads((shard / "parameters.json").read_text(encoding="utf-8"))
        sizes.append(len(parameters))
        for each, plane in zip(parameters, labels, strict=True):
            assert 10 <= each["snr"] <= 20
            assert 1.2 <= each["structure_settings"]["cam_diameter"] <= 2
            assert abs((plane == 2).mean() - each["structure_settings"]["cam_fraction"]) < 0.3
    assert sizes == [8, 8, 2]
    numbers = [json.loads((s / "parameters.json").read_text(encoding="utf-8"))[0]["image"] for s in shards]
    assert numbers == [0, 8, 16]


def test_pairs_differ(written):
    """Sections of a structure share its grains; no two images are alike."""
    bse = tifffile.imread(written / "shard-00000" / "bse.tif")
    assert len({plane.tobytes() for plane in bse}) == 8
    labels = tifffile.imread(written / "shard-00000" / "labels.tif")
    assert (labels[0] == labels[1]).mean() < 1


def test_simulated_pairs_are_those_of_the_data_set(file, written):
    pairs = list(simulated_pairs(load_config(file), 3, 3))
    stored = tifffile.imread(written / "shard-00000" / "se.tif")
    for pair, plane in zip(pairs, stored, strict=False):
        np.testing.assert_array_equal(pair.se, plane)


def test_resumed_it_is_the_same(file, written, tmp_path, monkeypatch):
    """Stopped within the second shard, by an error as a full disk gives."""
    out = tmp_path / "set"
    write = dataset_module.write_shard

    def stops(folder, record, seed, number, count):
        if number == 1:
            raise KeyboardInterrupt
        return write(folder, record, seed, number, count)

    monkeypatch.setattr(dataset_module, "write_shard", stops)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(load_config(file), out=out, count=18, seed=3, workers=1)
    monkeypatch.undo()
    with pytest.raises(OutputError, match="exists already"):
        write_dataset(load_config(file), out=out, count=18, seed=3, workers=1)
    with pytest.raises(SettingsError, match="another seed"):
        write_dataset(load_config(file), out=out, count=18, seed=4, workers=1, resume=True)
    with pytest.raises(SettingsError, match="another config"):
        write_dataset(replace(load_config(file), size=96), out=out, count=18, seed=3, workers=1, resume=True)
    write_dataset(load_config(file), out=out, count=18, seed=3, workers=1, resume=True)
    assert contents(out) == contents(written)


def test_grown_it_is_the_same_as_written_in_one_go(file, written, tmp_path):
    out = tmp_path / "set"
    write_dataset(load_config(file), out=out, count=10, seed=3, workers=1)  # its second shard is not full
    with pytest.raises(SettingsError, match="another count"):
        write_dataset(load_config(file), out=out, count=9, seed=3, workers=1, resume=True)
    write_dataset(load_config(file), out=out, count=18, seed=3, workers=1, resume=True)
    assert contents(out) == contents(written)


def test_a_script_without_a_guard_is_told(file, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from fijibridge.synthesis import load_config, write_dataset\n"
        f"write_dataset(load_config({str(file)!r}), out={str(tmp_path / 'set')!r}, count=18, workers=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "if __name__ == '__main__'" in done.stderr.splitlines()[-2]
    assert "workers=1" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_killed_and_continued_with_more_workers(file, written, tmp_path):
    out = tmp_path / "set"
    command = child("simulate", "--config", file, "--count", 18, "--seed", 3, "--out", out)
    process = subprocess.Popen([*command, "--workers", "1"], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not (out / "shard-00000").is_dir() and time.monotonic() < end:
            time.sleep(0.02)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    assert not (out / "shard-00002").exists()
    subprocess.run([*command, "--workers", "2", "--resume", "--quiet"], check=True, timeout=120)
    assert contents(out) == contents(written)
    assert (out / "preview.png").is_file()


def test_interrupted_it_tells_how_to_go_on(file, tmp_path, monkeypatch, capsys):
    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset_module, "write_shard", stops)
    out = str(tmp_path / "set")
    assert main(["simulate", "--config", str(file), "--count", "2", "--workers", "1", "--out", out]) == 130
    assert "interrupted; --resume continues from what was kept" in capsys.readouterr().err


def test_a_damaged_index_is_told(file, tmp_path):
    (tmp_path / DATASET).write_text("{", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be read"):
        write_dataset(load_config(file), out=tmp_path, count=2, workers=1, resume=True)


def test_on_a_dask_cluster(file, written, tmp_path):
    from dask.distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        write_dataset(load_config(file), out=tmp_path / "set", count=18, seed=3, dask=cluster.scheduler_address)
    assert contents(tmp_path / "set") == contents(written)


def test_a_tomography(file, tmp_path):
    """Consecutive sections, imaged alike but for jitter: one stack a structure, with its slice distance."""
    config = replace(load_config(file), depth=24, sections=8, spacing=2)
    write_dataset(config, out=tmp_path / "set", count=16, seed=3, workers=1)
    assert sorted(path.name for path in (tmp_path / "set").glob("shard*")) == ["shard-00000", "shard-00001"]
    stack = read_slices(tmp_path / "set" / "shard-00001" / "bse.tif")
    size = next(iter(stack)).pixel_size
    assert (size.x, size.z) == (pytest.approx(0.1), pytest.approx(0.2))
    about = json.loads((tmp_path / "set" / "shard-00001" / "parameters.json").read_text(encoding="utf-8"))
    assert [each["z"] for each in about] == list(range(0, 16, 2))
    assert len({each["snr"] for each in about}) == 1
    assert len({each["slice_shift_y"] for each in about}) > 1
    labels = tifffile.imread(tmp_path / "set" / "shard-00001" / "labels.tif")
    near = (labels[1:] == labels[:-1]).mean()
    assert near > (labels[4:] == labels[:-4]).mean() > 0.4


def test_no_scheduler(file, tmp_path, monkeypatch):
    from dask.distributed import Client

    def refused(*_, **__):
        raise OSError("timed out")

    monkeypatch.setattr(Client, "__init__", refused)
    monkeypatch.setattr(Client, "__del__", lambda self: None)
    with pytest.raises(ServiceError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1"):
        write_dataset(load_config(file), out=tmp_path / "set", count=2, dask="tcp://127.0.0.1:1")


def test_overwrite_replaces_a_data_set_and_nothing_else(file, tmp_path):
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.png").write_bytes(b"x")
    with pytest.raises(OutputError, match="holds other things"):
        write_dataset(load_config(file), out=other, count=2, workers=1, overwrite=True)
    assert (other / "cat.png").is_file()
    out = tmp_path / "set"
    write_dataset(load_config(file), out=out, count=10, workers=1)
    write_dataset(load_config(file), out=out, count=2, workers=1, overwrite=True)
    assert [path.name for path in sorted(out.glob("shard*"))] == ["shard-00000"]


@pytest.mark.parametrize("name", presets())
def test_presets(name):
    config = load_preset(name)
    assert config.name == name
    assert config_of(json.loads(json.dumps(to_record(config))), "x") == config
    for seed in range(5):
        rng = np.random.default_rng(seed)
        settings, size = draw_structure(config, rng)
        draw_imaging(config, rng)
        assert 0.01 <= size <= 0.1
        low, high = config.structure["porosity"]
        assert low <= settings.porosity <= high
    assert set(class_names(config)) == {"ISE", "CAM", "pore", *(["carbon"] if "carbon" in config.materials else [])}


def test_weights_become_volumes():
    """50 : 47 : 3 by weight, of 2.33, 1.86 and 2.0 g/cm3."""
    settings, _ = draw_structure(load_preset("si-li6ps5cl-vgcf"), np.random.default_rng(0))
    volumes = np.array([50 / 2.33, 47 / 1.86, 3 / 2.0])
    shares = (1 - settings.porosity) * volumes / volumes.sum()
    found = (settings.cam_fraction, settings.ise_fraction, settings.carbon_fraction)
    np.testing.assert_allclose(found, shares, atol=1e-9)


def test_labels_have_no_holes():
    """Binder without carbon: its label value follows on the pores'."""
    config = config_of(
        {"preset": "generic", "materials": {"binder": "PVDF"}, "structure": {"binder_fraction": 0.03}}, ""
    )
    assert class_names(config) == ("ISE", "CAM", "pore", "binder")
    assert label_values(config).tolist() == [0, 1, 2, 3, 0, 4]


def test_a_material_of_ones_own():
    config = config_of({"preset": "generic", "materials": {"CAM": {"formula": "LiFePO4", "density": 3.6}}}, "")
    assert config.phase_materials()["CAM"].formula == "LiFePO4"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"preset": "genric"}, "did you mean generic"),
        ({"preset": "generic", "sise": 3}, "did you mean size"),
        ({"preset": "generic", "structure": {"cam_diametre": 2}}, "did you mean cam_diameter"),
        ({"preset": "generic", "imaging": {"curtain": 2}}, "did you mean curtaining"),
        ({"preset": "generic", "structure": {"cam_diameter": [5, 2]}}, r"write cam_diameter = \[low, high\]"),
        ({"preset": "generic", "imaging": {"snr": 900}}, "-20 to 100 dB"),
        ({"preset": "generic", "imaging": {"bits": [8, 16]}}, "8 or 16, the same"),
        ({"preset": "generic", "materials": {"CAM": "NMC"}}, "near: NCM"),
        ({"preset": "generic", "materials": {"CAM": {"formula": "C"}}}, "formula and a density"),
        ({"preset": "generic", "materials": {"pores": "Si"}}, "'pores' in"),
        ({"preset": "generic", "composition": {"CAM": 5, "ISE": 5, "binder": 1}}, "binder, .materials. has not"),
        ({"preset": "ncm-li3ps4", "composition": {"CAM": 1}, "structure": {"cam_fraction": 0.3}}, "weights or volume"),
        ({"preset": "generic", "structure": {"binder_fraction": 0.1}}, "no material for binder"),
        ({"preset": "generic", "pixel_size": 50}, "0.001 to 10 micrometres"),
        ({"preset": "generic", "size": 8}, "32 to 4096 px"),
        ({"preset": "generic", "depth": 8, "sections": 9}, "a depth of at least 9 px"),
        ({"preset": "generic", "depth": 32, "sections": 12, "spacing": 3}, "12 sections, 3 px apart"),
    ],
)
def test_a_configuration_that_cannot_serve(values, told):
    with pytest.raises(SettingsError, match=told):
        config_of(values, "bad")


def test_fractions_that_do_not_fit(tmp_path):
    """Told before anything is written, with their sum."""
    values = {"structure": {"cam_fraction": [0.7, 0.75], "porosity": [0.4, 0.5]}}
    with pytest.raises(SettingsError, match="which leaves -0"):
        write_dataset(config_of({"preset": "generic", **values}, ""), out=tmp_path / "set", count=2)
    assert not (tmp_path / "set").exists()


def test_ranges_that_fit_at_times_are_drawn_again():
    values = {"structure": {"cam_fraction": [0.5, 0.75], "porosity": [0.1, 0.5]}}
    config = config_of({"preset": "generic", **values}, "")
    for seed in range(10):
        settings, _ = draw_structure(config, np.random.default_rng(seed))
        assert settings.ise_fraction > 0


def test_a_file_that_is_no_toml(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("size = = 3", encoding="utf-8")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_config(path)
    with pytest.raises(BridgeError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def test_a_preview_alone(file, tmp_path):
    picture = tmp_path / "preview.png"
    report = simulate(config=file, preview=picture, count=3)
    assert iio.imread(picture).shape[1] > 600
    assert sum(report["class_fractions"].values()) == pytest.approx(1)
    assert list(tmp_path.iterdir()) == [picture]
    for changed, told in (
        ({"preview": picture}, "exists already"),
        ({"preview": tmp_path / "a.jpg"}, "ends in .png"),
        ({"preview": tmp_path / "no" / "a.png"}, "no folder"),
        ({}, "nothing to write"),
    ):
        with pytest.raises(BridgeError, match=told):
            simulate(config=file, **changed)
