"""Work that is stopped, that meets a full disk or one bad input: older results, states and good results are kept."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from shell import FAST, child, tree, write_sample

from fijibridge.core.errors import ImageError, ImageNotFoundError, OutputError
from fijibridge.frontends.cli import main
from fijibridge.operations.apply import apply
from fijibridge.operations.bias import bias
from fijibridge.operations.features import features
from fijibridge.operations.reconstruct import reconstruct
from fijibridge.operations.segment import segment
from fijibridge.operations.simulate import simulate
from fijibridge.operations.superresolve import superresolve
from fijibridge.reconstruction import volume as making

_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, limits and scripts of POSIX")
CASES = Path(__file__).parents[3] / "shared" / "cases"
SMALL = """
preset = "generic"
size = 48
depth = 12
sections = 2
pixel_size = 0.1

[structure]
cam_diameter = [1.2, 2.0]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- one bad image in a batch ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write_sample(folder, 96)
    out = folder / "out"
    segment(folder / "image.tif", labels=folder / "labels.tif", out=out, features="tws", trees=8, threads=1)
    return folder


def _bad(folder: Path, image: np.ndarray) -> dict[str, str]:
    """Bad images of several kinds, and a word of what is wrong with each."""
    broken = np.stack([image.astype(np.float32)] * 2)
    broken[1, 3, 4] = np.nan
    tifffile.imwrite(folder / "nan.tif", broken[1])
    tifffile.imwrite(folder / "late.tif", broken, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "whole.tif", image)
    data = (folder / "whole.tif").read_bytes()
    (folder / "short.tif").write_bytes(data[: len(data) // 2])
    (folder / "text.png").write_text("no image", encoding="utf-8")
    return {"nan.tif": "NaN", "late.tif, slice 2": "NaN", "short.tif": "truncated", "text.png": "text.png"}


def test_a_bad_image_is_named_and_the_others_are_kept(trained, here, capsys):
    image = tifffile.imread(trained / "image.tif")
    bad = _bad(here, image)
    names = ["whole.tif", *(name.partition(",")[0] for name in bad), str(trained / "image.tif")]
    classifier = str(trained / "out" / "classifier")
    assert main(["apply", classifier, *names, "--out", "out", "--threads", "1", "--quiet"]) == 3
    told = capsys.readouterr().err
    report = json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    assert {Path(each["image"]).name for each in report["failed"]} == set(bad)
    for each in report["failed"]:
        name = Path(each["image"]).name
        assert bad[name] in each["error"]
        assert f"{name} is left " in told
    files = {path.name for path in Path("out").glob("*.*")}
    kinds = ("labels.tif", "overlay.png", "probabilities.tif")
    assert files - {".fijibridge.json", "report.json"} == {
        f"{stem}_{kind}" for stem in ("whole", "late", "image") for kind in kinds
    }
    late = tifffile.imread("out/late_labels.tif")  # its good slice is segmented, the bad one left unlabelled
    assert np.array_equal(late[0], tifffile.imread("out/whole_labels.tif"))
    assert not late[1].any()
    assert report["outputs"] == [name for file in report["files"] for name in file["outputs"]]


def test_a_batch_of_bad_images_alone_is_refused(trained, here):
    _bad(here, tifffile.imread(trained / "image.tif"))
    classifier = trained / "out" / "classifier"
    with pytest.raises(ImageError, match="NaN"):
        apply(classifier, [here / "nan.tif", here / "short.tif"], out=here / "out", threads=1)
    with pytest.raises(ImageNotFoundError, match="nowhere"):  # known before the work
        apply(classifier, [trained / "image.tif", here / "nowhere.tif"], out=here / "out", threads=1)
    assert not (here / "out").exists()


def test_a_bad_slice_is_named_and_the_features_of_the_others_are_kept(trained, here):
    _bad(here, tifffile.imread(trained / "image.tif"))
    report = features(here / "late.tif", out=here / "f", features="tws", threads=1)
    assert report["slices"] == [1]
    assert report["failed"][0]["image"].endswith("late.tif, slice 2")
    turned = tifffile.imread(here / "late.tif")[::-1]
    tifffile.imwrite(here / "early.tif", turned, imagej=True, metadata={"axes": "ZYX"})
    assert features(here / "early.tif", out=here / "e", features="tws", threads=1)["slices"] == [2]
    assert (here / "f" / "features_0001.tif").is_file()
    assert not (here / "f" / "features_0002.tif").exists()


def test_bias_leaves_a_bad_image_out(trained, here, tiny_vit):
    _bad(here, tifffile.imread(trained / "image.tif"))
    images = [trained / "image.tif", here / "nan.tif"]
    report = bias(images, out=here / "b", encoder="test_vit", weights=tiny_vit, candidates="mean", threads=1)
    assert report["images"] == [str(trained / "image.tif")]
    assert report["failed"][0]["image"].endswith("nan.tif")


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared data")
def test_the_shared_batch(here):
    case = CASES / "20_one_bad_image_in_a_batch"
    labels = case / "labels_of_good1.tif"
    segment(case / "good1.tif", labels=labels, out=here / "c", features="tws", trees=8, threads=1)
    images = [case / name for name in ("good1.tif", "good2.tif", "nan.tif")]
    report = apply(here / "c" / "classifier", images, out=here / "r", threads=1)
    assert [Path(each["image"]).name for each in report["failed"]] == ["nan.tif"]
    assert len(report["files"]) == 2


# --- data sets that are replaced -------------------------------------------------------------------------------------


@pytest.fixture
def data_set(here):
    """A data set, with a user's files in it."""
    (here / "mine.toml").write_text(SMALL, encoding="utf-8")
    simulate(config=here / "mine.toml", out=here / "set", count=3, workers=1)
    (here / "set" / "nets").mkdir()
    (here / "set" / "nets" / "net.txt").write_text("mine", encoding="utf-8")
    (here / "set" / "shard-00000" / "notes.txt").write_text("mine", encoding="utf-8")
    return here / "set"


def test_a_config_in_the_output_is_refused(data_set, here):
    (here / "set" / "own.toml").write_text(SMALL, encoding="utf-8")
    (here / "new").mkdir()
    (here / "new" / "own.toml").write_text(SMALL, encoding="utf-8")
    before = tree(here)
    for place in ("set", "new"):
        for overwrite in (False, True):
            with pytest.raises(OutputError, match=r"own\.toml is an input"):
                simulate(config=here / place / "own.toml", out=here / place, count=3, workers=1, overwrite=overwrite)
    assert tree(here) == before


def test_an_older_data_set_stays_until_the_new_one_is_complete(data_set, here, monkeypatch):
    from fijibridge.synthesis import dataset

    before, write = tree(data_set), dataset.write_shard
    options = {"config": here / "mine.toml", "out": data_set, "count": 10, "seed": 1, "workers": 1}

    def stops(folder, record, seed, number, count):
        assert tree(data_set) == before
        if number == 1:
            raise KeyboardInterrupt
        return write(folder, record, seed, number, count)

    monkeypatch.setattr(dataset, "write_shard", stops)
    with pytest.raises(KeyboardInterrupt):
        simulate(**options, overwrite=True)
    monkeypatch.undo()
    assert tree(data_set) == before
    simulate(**options, resume=True)
    assert json.loads((data_set / "dataset.json").read_text(encoding="utf-8"))["count"] == 10
    for name in ("nets/net.txt", "shard-00000/notes.txt"):
        assert (data_set / name).read_text(encoding="utf-8") == "mine"
    assert sorted(os.listdir(here)) == ["mine.toml", "set"]
    simulate(config=here / "mine.toml", out=here / "again", count=10, seed=1, workers=1)
    for name in ("se", "bse", "labels"):
        for shard in (here / "again").glob("shard-*"):
            assert (data_set / shard.name / f"{name}.tif").read_bytes() == (shard / f"{name}.tif").read_bytes()


def test_a_preview_replaces_a_preview_alone(here):
    (here / "mine.toml").write_text(SMALL, encoding="utf-8")
    (here / "photo.png").write_bytes(b"dear")
    with pytest.raises(OutputError, match="no preview that fijibridge wrote"):
        simulate(config=here / "mine.toml", preview=here / "photo.png", count=1, overwrite=True)
    assert (here / "photo.png").read_bytes() == b"dear"
    for seed in (0, 1):
        simulate(config=here / "mine.toml", preview=here / "p.png", count=1, seed=seed, overwrite=True)


# --- states of work --------------------------------------------------------------------------------------------------

VOLUME = {"volume_size": "20", "loss": "patches", "steps": 8, "slices_per_step": 4, "threads": 1}


@pytest.fixture
def slice_file(here) -> Path:
    grains = np.kron(np.random.default_rng(0).integers(0, 2, (16, 16)), np.ones((4, 4), int)).astype(np.uint8)
    tifffile.imwrite(here / "slice.tif", grains + 1)
    return here / "slice.tif"


@pytest.mark.parametrize("out", ["v.tif", "v"])
@pytest.mark.parametrize("stage", ["compare", "write_phases", "put_volume"])
@pytest.mark.slow
def test_a_state_stays_until_its_volume_is_written(slice_file, here, monkeypatch, out, stage):
    from fijibridge.operations import reconstruct as operation
    from fijibridge.operations import volume_files
    from fijibridge.reconstruction import comparison, optimise

    if stage == "put_volume" and out == "v":
        return  # the volume stays in the folder
    reconstruct([slice_file], out=here / f"whole-{out}", **VOLUME)

    def fails(*_, **__):
        raise OSError(28, "No space left on device") if stage == "write_phases" else KeyboardInterrupt

    place = {"compare": comparison, "write_phases": operation, "put_volume": volume_files}[stage]
    with monkeypatch.context() as patch:
        patch.setattr(place, stage, fails)
        with pytest.raises((KeyboardInterrupt, OutputError)):
            reconstruct([slice_file], out=here / out, **VOLUME)
    assert (here / "v.resume").is_file()
    monkeypatch.setattr(optimise, "optimise", fails)  # nothing is computed again
    reconstruct([slice_file], out=here / out, resume=True, overwrite=stage == "put_volume", **VOLUME)
    made, whole = (here / name if out == "v.tif" else here / name / "volume.tif" for name in (out, f"whole-{out}"))
    assert made.read_bytes() == whole.read_bytes()
    assert not list(here.glob("*.resume*"))


@pytest.mark.slow
def test_the_states_of_several_samples_stay(here, monkeypatch):
    from fijibridge.operations import superresolve as operation

    write_sample(here)
    truth = np.kron(np.random.default_rng(0).integers(0, 2, (32, 32)), np.ones((3, 3), int)).astype(np.uint8) + 1
    tifffile.imwrite(here / "slice.tif", truth)
    given = {
        "micrographs": [here / "slice.tif"],
        "visible": "phase 1",
        "factor": 4,
        "samples": 2,
        "out": here / "f.tif",
    }
    given |= {key: VOLUME[key] for key in ("loss", "steps", "slices_per_step", "threads")}

    def fails(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(operation, "write_phases", fails)
        with pytest.raises(KeyboardInterrupt):
            superresolve(here / "coarse.tif", **given)
    assert sorted(path.name for path in here.glob("f*")) == ["f.resume-1", "f.resume-2"]
    superresolve(here / "coarse.tif", resume=True, **given)
    assert sorted(path.name for path in here.glob("f*")) == ["f.tif", "f_report"]


def test_a_state_that_cannot_be_kept_is_told(slice_file, here, monkeypatch, caplog):
    monkeypatch.setattr(making, "_SAVE_S", 0.0)

    def full(*_, **__):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with caplog.at_level(logging.WARNING):
        reconstruct([slice_file], out=here / "v.tif", **VOLUME)
    assert "the state is not kept" in caplog.text
    assert (here / "v.tif").is_file()


# --- killed ----------------------------------------------------------------------------------------------------------


@_posix
@pytest.mark.slow
def test_killed_it_leaves_what_the_next_run_removes(trained, here):
    """A second run at the same time is refused; after SIGKILL of the first the next one clears what it left."""
    command = child("segment", trained / "image.tif", "--labels", trained / "labels.tif", "--out", "out", *FAST)
    first = subprocess.Popen([*command, "--trees", "1500"], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not list(here.glob(".out*")) and time.monotonic() < end:
            time.sleep(0.05)
        second = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        assert second.returncode == 2
        assert "another run" in second.stderr
        first.kill()
        first.wait(20)
        assert list(here.glob(".out*"))
        assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    finally:
        first.kill()
    assert sorted(os.listdir(here)) == ["out"]


@_posix
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
@pytest.mark.slow
def test_workers_of_a_killed_simulation_end(here, name):
    import psutil

    (here / "mine.toml").write_text(SMALL, encoding="utf-8")
    command = child("simulate", "--config", "mine.toml", "--count", 400, "--workers", 2, "--out", "set", "--quiet")
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not list(here.glob("set/.shard-*")) and time.monotonic() < end:
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(getattr(signal, name))
    _, told = process.communicate(timeout=30)
    assert process.returncode == (-9 if name == "SIGKILL" else 143)
    assert "Traceback" not in told
    _, living = psutil.wait_procs(workers, 10)
    assert not living
    left = list(here.glob("set/.shard-*"))
    assert len(workers) >= 2
    assert name == "SIGKILL" or not left
