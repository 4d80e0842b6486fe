"""Stacks: every way of doing the work gives the same bytes; what is stopped goes on; bad slices are named."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from shell import child

from fijibridge.core.errors import ImageError, OutputError, ServiceError, SettingsError
from fijibridge.frontends.cli import main
from fijibridge.operations.apply import apply
from fijibridge.operations.segment import segment
from fijibridge.segmentation.slices import estimate, run
from fijibridge.segmentation.slices.unit import segment_unit

zarr = pytest.importorskip("zarr")
DEPTH = 7
QUICK = {"threads": 1}
STACK = {"imagej": True, "resolution": (0.1, 0.1), "metadata": {"axes": "ZYX", "spacing": 20.0, "unit": "nm"}}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A stack, labels on two of its slices, and what segment makes of it."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=(DEPTH, 60, 72)), 3)
    truth = np.digitize(field, np.quantile(field, [0.4, 0.75]))
    image = (60 * truth + 60 + rng.normal(0, 12, truth.shape)).clip(0, 255).astype(np.uint8)
    tifffile.imwrite(folder / "stack.tif", image, **STACK)
    strokes = np.where(rng.random(truth.shape) < 0.1, truth + 1, 0).astype(np.uint8)
    strokes[[0, 1, 3, 5, 6]] = 0
    tifffile.imwrite(folder / "strokes.tif", strokes, imagej=True, metadata={"axes": "ZYX"})
    segment(
        folder / "stack.tif", labels=folder / "strokes.tif", out=folder / "out", features="tws", trees=8,
        classes="pore,ISE,CAM", **QUICK,
    )  # fmt: skip
    return folder


def _apply(made: Path, out: Path, *, stack: str | Path = "stack.tif", **options) -> dict:
    return apply(made / "out" / "classifier", [made / stack], out=out, **QUICK, **options)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_volumes_hold_what_a_folder_holds(made, tmp_path, version):
    import ome_zarr_models.v04
    import ome_zarr_models.v05

    labels = tifffile.imread(made / "out" / "labels.tif")
    report = _apply(made, tmp_path / "seg.tif")
    assert report["outputs"][0] == "../seg.tif"
    with tifffile.TiffFile(tmp_path / "seg.tif") as tif:
        assert np.array_equal(tif.asarray(), labels)
        assert tif.imagej_metadata["spacing"] == 20.0
        assert "3 = CAM" in tif.imagej_metadata["Info"]
    assert (tmp_path / "seg_report" / "sections.png").is_file()
    _apply(made, tmp_path / "seg.zarr", ome_zarr=version, overwrite=True)
    root = zarr.open_group(tmp_path / "seg.zarr", mode="r")
    assert np.array_equal(root["0"][:], labels)
    models = {"0.5": ome_zarr_models.v05, "0.4": ome_zarr_models.v04}[version]
    image = models.ImageLabel.from_zarr(root)
    attributes = getattr(image.attributes, "ome", image.attributes)
    level = attributes.multiscales[0].datasets[0]
    assert level.coordinateTransformations[0].scale == [20.0, 10.0, 10.0]
    assert [one.model_extra["class"] for one in attributes.image_label.properties] == [
        "unlabelled", "pore", "ISE", "CAM",
    ]  # fmt: skip
    models.Image.from_zarr(root["probabilities"])
    true = tifffile.imread(made / "out" / "probabilities.tif")
    found = root["probabilities/0"][:]
    assert found.dtype == np.uint8
    assert np.abs(found / 255 - true.transpose(1, 0, 2, 3)).max() <= 0.5001 / 255


def test_the_pyramid_of_a_large_store(tmp_path):
    from fijibridge.images.ome_zarr_writing import create_store, finish_store, read_slab, write_slab
    from fijibridge.images.palette import class_colors_or_default
    from fijibridge.images.pixel_size import PixelSize

    labels = np.random.default_rng(1).integers(0, 3, (5, 300, 530)).astype(np.uint8)
    names = ("a", "b")
    create_store(
        tmp_path / "s.zarr", labels.shape, 2, version="0.5", class_names=names,
        class_colors=class_colors_or_default(names, None), pixel_size=PixelSize(10, 10, "nm", 20),
    )  # fmt: skip
    for first in (2, 0, 4):
        write_slab(tmp_path / "s.zarr", first, labels[first : first + 2])
    (tmp_path / "s.zarr" / "0" / "c" / "torn.0123.partial").write_bytes(b"x")
    names = finish_store(tmp_path / "s.zarr")
    assert not any(name.endswith(".partial") for name in names)
    root = zarr.open_group(tmp_path / "s.zarr", mode="r")
    assert np.array_equal(root["0"][:], labels)
    assert np.array_equal(root["1"][:], labels[:, ::2, ::2])  # slices are farther apart than pixels
    assert "2" not in root
    assert np.array_equal(list(read_slab(tmp_path / "s.zarr", "labels", 2, 2)), labels[2:4])
    shards = {path.name for path in (tmp_path / "s.zarr" / "0" / "c").iterdir()}
    assert shards == {"0", "1", "2"}  # one a slab
    levels = root.attrs["ome"]["multiscales"][0]["datasets"]
    assert [one["coordinateTransformations"][0]["scale"] for one in levels] == [[20, 10, 10], [20, 20, 20]]


@pytest.mark.slow
def test_every_way_gives_the_same_bytes(made, tmp_path):
    distributed = pytest.importorskip("distributed")
    _apply(made, tmp_path / "one.zarr")
    wanted = _files(tmp_path / "one.zarr")
    _apply(made, tmp_path / "two.zarr", workers=2)
    assert _files(tmp_path / "two.zarr") == wanted
    for part in ("2/3", "1/3"):
        report = _apply(made, tmp_path / "parts.zarr", part=part)
    assert (report["units"], report["units_done"]) == (DEPTH, 5)
    with pytest.raises(OutputError, match=r"2 of 7 units are not done yet, of part\(s\) 3 of 3"):
        _apply(made, tmp_path / "parts.zarr", merge_parts=True)
    with pytest.raises(SettingsError, match="is done in 3 parts"):
        _apply(made, tmp_path / "parts.zarr", part="1/2")
    _apply(made, tmp_path / "parts.zarr", part="3/3")
    _apply(made, tmp_path / "parts.zarr", merge_parts=True)
    assert _files(tmp_path / "parts.zarr") == wanted
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        _apply(made, tmp_path / "dask.zarr", dask=cluster.scheduler_address)
    assert _files(tmp_path / "dask.zarr") == wanted
    assert not list(tmp_path.glob("*.resume"))


def test_no_scheduler(made, tmp_path):
    with pytest.raises(ServiceError, match="no Dask scheduler"):
        _apply(made, tmp_path / "out", dask="tcp://127.0.0.1:9")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_killed_anywhere_it_goes_on_with_the_same_bytes(made, tmp_path):
    command = child("apply", made / "out" / "classifier", made / "stack.tif", "--threads", "1", "--quiet", "--workers")
    drawn = random.Random(0)
    for workers in ("1", "2"):
        out = tmp_path / f"{workers}.zarr"
        state = out.with_name(f"{out.name}.resume")
        resume: list[str] = []
        for stop in (1, 4):
            process = subprocess.Popen([*command, workers, "--out", out, *resume], stderr=subprocess.DEVNULL)
            end = time.monotonic() + 90
            while len(list(state.glob("unit-*"))) < stop and process.poll() is None and time.monotonic() < end:
                time.sleep(0.005)
            time.sleep(drawn.random() / 10)
            process.kill()
            process.wait(30)
            resume = ["--resume"] if (state / "job.json").is_file() else []
        kept = len(list(state.glob("unit-*/record.json"))) if resume else 0
        done = subprocess.run([*command, workers, "--out", out, *resume], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or (out.exists() and not resume), done.stderr
        assert kept >= 1 or out.exists()
        assert not state.exists()
    _apply(made, tmp_path / "whole.zarr")
    assert _files(tmp_path / "1.zarr") == _files(tmp_path / "2.zarr") == _files(tmp_path / "whole.zarr")


@pytest.fixture
def stopped(made, tmp_path, monkeypatch):
    """A run that was stopped after three units."""

    def stop(job, number, *rest, **more):
        if number == 3:
            raise KeyboardInterrupt
        return segment_unit(job, number, *rest, **more)

    monkeypatch.setattr(run, "segment_unit", stop)
    with pytest.raises(KeyboardInterrupt):
        _apply(made, tmp_path / "out")
    done = list[int]()

    def count(job, number, *rest, **more):
        done.append(number)
        return segment_unit(job, number, *rest, **more)

    monkeypatch.setattr(run, "segment_unit", count)
    return done


def test_what_is_done_is_not_done_again(made, tmp_path, stopped):
    with pytest.raises(OutputError, match="3 units are done"):
        _apply(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    _apply(made, tmp_path / "out", resume=True)
    assert stopped == [3, 4, 5, 6]
    assert np.array_equal(
        tifffile.imread(tmp_path / "out" / "stack_labels.tif"), tifffile.imread(made / "out" / "labels.tif")
    )
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    with pytest.raises(OutputError, match="nothing to resume"):
        _apply(made, tmp_path / "another", resume=True)


def test_it_begins_anew_when_asked(made, tmp_path, stopped):
    _apply(made, tmp_path / "out", overwrite=True)
    assert stopped == list(range(DEPTH))


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        ({"minimum_size": 3}, "settings cleaning minimum_size: 0 before, 3 now"),
        ({"probabilities": False}, "settings probabilities"),
        ({"slices": "1-6"}, "settings stacks"),
    ],
)
def test_other_work_is_refused(made, tmp_path, stopped, options, differs):
    with pytest.raises(SettingsError, match=differs):
        _apply(made, tmp_path / "out", resume=True, **options)
    assert not stopped


def test_a_changed_input_is_refused(made, tmp_path, stopped):
    other = tmp_path / "elsewhere"
    other.mkdir()
    image = tifffile.imread(made / "stack.tif")
    image[2, 5, 5] += 1
    tifffile.imwrite(other / "stack.tif", image, **STACK)
    with pytest.raises(SettingsError, match="sample"):
        _apply(made, tmp_path / "out", stack=other / "stack.tif", resume=True)


def test_bad_slices_are_named_and_the_rest_is_done(made, tmp_path, capsys):
    image = tifffile.imread(made / "stack.tif").astype(np.float32)
    image[0, 3, 3] = np.nan
    image[4, 3, 3] = np.inf
    tifffile.imwrite(tmp_path / "bad.tif", image, imagej=True, metadata={"axes": "ZYX"})
    classifier = made / "out" / "classifier"
    arguments = ["apply", classifier, tmp_path / "bad.tif", "--out", tmp_path / "seg.tif", "--threads", "1"]
    assert main([str(word) for word in arguments]) == 3
    assert "slice 5" in capsys.readouterr().err
    found, good = tifffile.imread(tmp_path / "seg.tif"), tifffile.imread(made / "out" / "labels.tif")
    assert not found[[0, 4]].any()
    assert np.array_equal(found[[1, 2, 3, 5, 6]], good[[1, 2, 3, 5, 6]])
    report = json.loads((tmp_path / "seg_report" / "report.json").read_text(encoding="utf-8"))
    assert report["files"][0]["failed_slices"] == [1, 5]
    image[:] = np.nan
    tifffile.imwrite(tmp_path / "bad.tif", image, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(ImageError, match="NaN"):
        apply(classifier, [tmp_path / "bad.tif"], out=tmp_path / "none", **QUICK)
    assert not (tmp_path / "none").exists()


def test_a_slice_alone_is_the_slice_in_the_stack(made, tmp_path):
    image = tifffile.imread(made / "stack.tif")
    tifffile.imwrite(tmp_path / "alone.tif", image[4])
    _apply(made, tmp_path / "out", stack=tmp_path / "alone.tif")
    for kind in ("labels", "probabilities"):
        alone = tifffile.imread(tmp_path / "out" / f"alone_{kind}.tif")
        assert np.array_equal(alone, tifffile.imread(made / "out" / f"{kind}.tif")[4])


def test_probabilities_are_smoothed_over_neighbours(made, tmp_path):
    _apply(made, tmp_path / "out", smooth_z=True, slices="1-3,5-7")
    whole = tifffile.imread(made / "out" / "probabilities.tif")[[0, 1, 2, 4, 5, 6]].astype(np.float64)
    wanted, weights = 2 * whole, np.full(6, 2.0)
    for place in range(6):
        for other in (place - 1, place + 1):
            if 0 <= other < 6 and {place, other} != {2, 3}:  # slice 4 lies between these
                wanted[place] += whole[other]
                weights[place] += 1
    found = tifffile.imread(tmp_path / "out" / "stack_probabilities.tif")
    assert np.allclose(found, wanted / weights[:, None, None, None], atol=1e-6)


def test_a_disk_that_is_too_small_is_known_before(made, tmp_path, monkeypatch):
    monkeypatch.setattr(estimate.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match="GiB free"):
        _apply(made, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_long_work_is_told_before(made, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(estimate, "_WORTH_IT", 1)
    report = _apply(made, tmp_path / "out")
    assert report["expected"]["slices"] == DEPTH
    assert report["expected"]["cpu_hours"] >= 0
    assert "7 slices: about" in caplog.text


def test_the_report_looks_along_z(made):
    report = json.loads((made / "out" / "report.json").read_text(encoding="utf-8"))
    table = np.genfromtxt(made / "out" / "along_z.csv", delimiter=",", names=True)
    assert sorted(report["least_certain_slices"]) == sorted(
        int(table["slice"][place]) for place in np.argsort(-table["uncertainty"])[:5]
    )
    labels = tifffile.imread(made / "out" / "labels.tif")
    assert np.allclose(table["changes"][1:], [(a != b).mean() for a, b in zip(labels[1:], labels[:-1], strict=True)],
                       atol=1e-5)  # fmt: skip
    assert np.allclose(table["ISE"], (labels == 2).mean(axis=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "1/2/3", "x/y", "-1/2"])
def test_no_such_part(made, tmp_path, part):
    with pytest.raises(SettingsError, match="I/N"):
        _apply(made, tmp_path / "out", part=part)


def test_a_volume_for_several_is_refused(made, tmp_path):
    with pytest.raises(SettingsError, match="folder for the results of several"):
        apply(made / "out" / "classifier", [made / "stack.tif"] * 2, out=tmp_path / "a.zarr", **QUICK)


@pytest.mark.slow
def test_segment_with_processes_gives_the_same(made, tmp_path):
    segment(
        made / "stack.tif", labels=made / "strokes.tif", out=tmp_path / "seg.zarr", features="tws", trees=8,
        classes="pore,ISE,CAM", workers=2, suggest=3, threads=2,
    )  # fmt: skip
    root = zarr.open_group(tmp_path / "seg.zarr", mode="r")
    assert np.array_equal(root["0"][:], tifffile.imread(made / "out" / "labels.tif"))
    assert (tmp_path / "seg_report" / "classifier" / "classifier.json").is_file()
    assert (tmp_path / "seg_report" / "label_next.zip").is_file()


def test_a_segmenter_in_memory_segments_a_volume(made, tmp_path):
    import fijibridge as fb

    segmenter = fb.load_segmenter(made / "out" / "classifier", n_threads=1)
    report = fb.segment_volume(segmenter, made / "stack.tif", tmp_path / "seg.zarr", threads=1)
    with fb.open_volume(tmp_path / "seg.zarr") as volume:
        assert (volume.voxel_size.z, volume.voxel_size.x, volume.voxel_size.unit) == (20, 10, "nm")
        assert np.array_equal(volume.read(0, DEPTH), tifffile.imread(made / "out" / "labels.tif"))
    assert report["failed"] == []


def test_paths_may_be_text(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    apply(str(made / "out" / "classifier"), [str(made / "stack.tif")], out="out", slices="2", **QUICK)
    segment(str(made / "stack.tif"), labels=str(made / "strokes.tif"), out="seg.tif", features="tws", trees=2, **QUICK)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "seg.tif", "seg_report"}


def test_measure_knows_the_phases_of_a_volume(made, tmp_path):
    from fijibridge.operations.measure import measure

    for name in ("one.zarr", "two.tif"):
        _apply(made, tmp_path / name)
        report = measure(tmp_path / name, out=tmp_path / f"measured_{name}", metrics="fractions")
        assert report["phases"] == {"pore": 1, "ISE": 2, "CAM": 3}
        assert report["voxel_size"] == {"z": 20.0, "y": 10.0, "x": 10.0, "unit": "nm"}


@pytest.mark.parametrize("kind", ["folder", "pages.tif", "ome.tif", "zarr", "h5", "mrc"])
def test_every_format_gives_the_same_labels(made, tmp_path, kind):
    image = tifffile.imread(made / "stack.tif")
    place = tmp_path / f"stack.{kind}"
    if kind == "folder":
        place = tmp_path / "stack"
        place.mkdir()
        for z, plane in enumerate(image):
            tifffile.imwrite(place / f"slice_{z + 1}.tif", plane)
    elif kind == "pages.tif":
        with tifffile.TiffWriter(place) as writer:
            for plane in image:
                writer.write(plane, contiguous=False)
    elif kind == "ome.tif":
        sizes = {"PhysicalSizeX": 10.0, "PhysicalSizeY": 10.0, "PhysicalSizeZ": 20.0}
        sizes |= {f"{name}Unit": "nm" for name in sizes}
        tifffile.imwrite(place, image, metadata={"axes": "ZYX", **sizes})
    elif kind == "zarr":
        zarr.create_array(str(place), data=image, chunks=(3, 60, 72))
    elif kind == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(place, "w") as file:
            file["raw"] = image
    else:
        mrcfile = pytest.importorskip("mrcfile")
        with mrcfile.new(place) as file:
            file.set_data(image.astype(np.uint16))
    report = _apply(made, tmp_path / "seg.tif", stack=place)
    assert np.array_equal(tifffile.imread(tmp_path / "seg.tif"), tifffile.imread(made / "out" / "labels.tif"))
    if kind == "ome.tif":
        assert report["files"][0]["pixel_size"]["z"] == 20.0


@pytest.fixture
def by_vit(made, tmp_path, tiny_vit) -> Path:
    """A classifier of a ViT, trained on the stack."""
    segment(
        made / "stack.tif", labels=made / "strokes.tif", out=tmp_path / "vit", encoder="test_vit", weights=tiny_vit,
        channels=4, blocks="1", coarse_blocks="1", trees=8, vit_every=1, **QUICK,
    )  # fmt: skip
    return tmp_path / "vit" / "classifier"


def test_a_slice_alone_by_the_trainings_statistics(made, tmp_path, tiny_vit, by_vit):
    image = tifffile.imread(made / "stack.tif")
    tifffile.imwrite(tmp_path / "alone.tif", image[4])
    more = {"weights": tiny_vit, **QUICK}
    apply(by_vit, [tmp_path / "alone.tif"], out=tmp_path / "one", statistics="training", **more)
    whole = tifffile.imread(tmp_path / "vit" / "probabilities.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "one" / "alone_probabilities.tif"), whole[4])
    apply(by_vit, [made / "stack.tif"], out=tmp_path / "two", slices="5", vit_every=1, **more)
    assert np.array_equal(tifffile.imread(tmp_path / "two" / "stack_probabilities.tif").squeeze(), whole[4])
    apply(by_vit, [made / "stack.tif"], out=tmp_path / "own", slices="5", statistics="slice", **more)
    assert not np.array_equal(tifffile.imread(tmp_path / "own" / "stack_probabilities.tif").squeeze(), whole[4])


def test_slices_between_those_that_the_vit_sees(made, tmp_path, tiny_vit, by_vit):
    """Whichever slices are asked for, and in whichever units: the same."""
    more = {"weights": tiny_vit, "vit_every": 2, **QUICK}
    apply(by_vit, [made / "stack.tif"], out=tmp_path / "all", **more)
    apply(by_vit, [made / "stack.tif"], out=tmp_path / "some", slices="2,4-5", **more)
    every, some = (tifffile.imread(tmp_path / name / "stack_probabilities.tif") for name in ("all", "some"))
    assert np.array_equal(some, every[[1, 3, 4]])
    each = tifffile.imread(tmp_path / "vit" / "probabilities.tif")
    assert np.array_equal(every[[0, 2, 4, 6]], each[[0, 2, 4, 6]])
    assert not np.array_equal(every[1], each[1])


def test_drift_of_greys_is_undone(made, tmp_path):
    image = tifffile.imread(made / "stack.tif")
    gain = np.linspace(0.6, 1.4, DEPTH)[:, None, None]
    tifffile.imwrite(tmp_path / "drift.tif", np.rint(image * gain * 100).astype(np.uint16), **STACK)
    good = tifffile.imread(made / "out" / "labels.tif")
    right = {}
    for statistics in ("auto", "slice"):
        segment(
            tmp_path / "drift.tif", labels=made / "strokes.tif", out=tmp_path / statistics, features="tws", trees=8,
            statistics=statistics, **QUICK,
        )  # fmt: skip
        right[statistics] = (tifffile.imread(tmp_path / statistics / "labels.tif") == good).mean()
    assert right["auto"] > 0.95
    assert right["slice"] < right["auto"] - 0.05


def test_a_worker_that_lives_on_takes_no_older_classifier(made, tmp_path):
    """As on a Dask cluster: another classifier in the folder of the first."""
    from dataclasses import replace

    from fijibridge.segmentation.slices import unit
    from fijibridge.segmentation.slices.job import Job, StackFiles

    stack = StackFiles("a_", {"BSE": str(made / "stack.tif")}, (1,), (60, 72), 0, total=DEPTH)
    first = Job((stack,), str(tmp_path), 3, classifier=str(made / "out" / "classifier"), identity="one", threads=1)
    unit.segment_unit(first, 0)
    before = next(iter(unit._loaded.values()))
    unit.segment_unit(first, 0)
    assert next(iter(unit._loaded.values())) is before
    unit.segment_unit(replace(first, identity="two"), 0)
    assert next(iter(unit._loaded.values())) is not before
