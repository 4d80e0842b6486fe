"""Volumes from micrographs: small ones, by every loss, whole and in chunks, stopped and resumed."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import LabelsError, OutputError, SettingsError
from fijibridge.operations.reconstruct import reconstruct as operation
from fijibridge.phases.phases import as_phases
from fijibridge.reconstruction import ReconstructionSettings, check_exemplars, reconstruct
from fijibridge.reconstruction import optimise as optimising
from fijibridge.reconstruction import volume as making

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

FAST = ReconstructionSettings(loss="patches", steps=30, slices_per_step=4)


def grains_field(size: int, seed: int = 0) -> np.ndarray:
    from scipy import ndimage

    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 2.0, mode="wrap")


def grains(size: int, seed: int = 0) -> np.ndarray:
    """Three phases: blurred noise, cut at its quantiles."""
    field = grains_field(size, seed)
    return np.digitize(field, np.quantile(field, [0.5, 0.8])).astype(np.uint8)


@pytest.fixture(scope="module")
def exemplars():
    return check_exemplars({"xy": as_phases(grains(64), class_names=["pore", "ISE", "CAM"])})


@pytest.fixture(scope="module")
def made(exemplars):
    return reconstruct(exemplars, (24, 32, 28), FAST)


def test_a_volume_has_the_exemplars_phases(made, exemplars):
    assert made.phases.index.shape == (24, 32, 28)
    assert made.phases.names == ("pore", "ISE", "CAM")
    assert sum(made.phases.counts) == 24 * 32 * 28
    shares = np.array(made.phases.counts) / sum(made.phases.counts)
    np.testing.assert_allclose(shares, exemplars.fractions, atol=1e-4)  # of a voxel's share
    assert np.abs(made.soft_fractions - exemplars.fractions).max() < 0.08  # after so few steps
    # it is no noise, whose neighbours would be of one phase in 38 of 100 cases (in the micrograph: 82)
    index = made.phases.index
    assert np.mean([(np.diff(index.astype(int), axis=axis) == 0).mean() for axis in range(3)]) > 0.55


def test_a_seed_gives_the_same_volume(made, exemplars):
    again = reconstruct(exemplars, (24, 32, 28), FAST)
    assert (again.phases.index == made.phases.index).all()
    other = reconstruct(exemplars, (24, 32, 28), replace(FAST, seed=1))
    assert (other.phases.index != made.phases.index).mean() > 0.2


@pytest.mark.parametrize("after", [5, 25])
def test_stopped_and_resumed_it_is_the_same(made, exemplars, tmp_path, monkeypatch, after, caplog):
    state = tmp_path / "v.resume"
    monkeypatch.setattr(making, "_SAVE_S", 0.0)
    calls = {"steps": 0}

    def stop(self, volume, generator):
        calls["steps"] += 1
        if calls["steps"] > after:
            raise KeyboardInterrupt
        return loss(self, volume, generator)

    loss = optimising._Level.loss
    monkeypatch.setattr(optimising._Level, "loss", stop)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        reconstruct(exemplars, (24, 32, 28), FAST, state_file=state)
    assert state.is_file()
    assert f"kept in {state}" in caplog.text
    monkeypatch.setattr(optimising._Level, "loss", loss)
    with pytest.raises(OutputError, match="another reconstruction"):
        reconstruct(
            exemplars, (24, 32, 28), ReconstructionSettings(loss="patches", seed=9), state_file=state, resume=True
        )
    again = reconstruct(exemplars, (24, 32, 28), FAST, state_file=state, resume=True)
    assert (again.phases.index == made.phases.index).all()
    assert not state.exists()


def test_blocks_fit_together(exemplars):
    settings = ReconstructionSettings(loss="patches", steps=30, slices_per_step=4, chunk=32)
    whole = reconstruct(exemplars, (48, 24, 24), settings).phases
    np.testing.assert_allclose(np.array(whole.counts) / sum(whole.counts), exemplars.fractions, atol=1e-3)
    steps = (np.diff(whole.index.astype(int), axis=0) != 0).mean((1, 2))
    # blocks are 0 ... 31 and 16 ... 47: the second begins, new, at plane 32
    assert steps[31] < 1.5 * np.delete(steps, 31).mean() + 0.05


def test_parting_leaves_given_voxels_and_some_phase_possible(exemplars, monkeypatch):
    import torch

    monkeypatch.setattr(optimising, "surplus", lambda index, *_: np.ones(index.shape, bool))  # all, in every phase
    known = np.full((16, 16, 16), -1, np.int16)
    known[:4] = 1
    given = optimising._barrier(known, 3, "cpu")
    level = optimising._Level(1, (16, 16, 16), exemplars, FAST, None, "cpu")
    logits = torch.zeros(3, 16, 16, 16)
    run = optimising._Run(
        level, 0, logits, given.clone(), torch.Generator(), settings=FAST, exemplars=exemplars, notes=[]
    )
    run._separate()
    assert torch.equal(run.barrier[:, :4], given[:, :4])
    assert float(run.barrier.amax(0).min()) == 0
    assert float(run.barrier[:, 4:].amin(0).max()) < 0


def test_a_periodic_volume_goes_on_at_its_opposite_side(exemplars):
    settings = ReconstructionSettings(loss="patches", steps=25, slices_per_step=6, periodic=True)
    index = reconstruct(exemplars, (24, 24, 24), settings).phases.index.astype(int)
    inside = np.mean([(np.diff(index, axis=axis) != 0).mean() for axis in range(3)])
    around = np.mean([(np.take(index, 0, axis) != np.take(index, -1, axis)).mean() for axis in range(3)])
    assert around < 1.6 * inside


def test_two_planes_make_an_anisotropic_volume():
    flat = np.repeat(grains(64)[:16], 4, axis=0)  # four times as long along the rows' axis
    square = np.empty(flat.size, np.uint8)
    square[grains_field(64).ravel().argsort()] = np.sort(flat.ravel())  # another image with the same fractions
    square = square.reshape(64, 64)
    planes = {"xy": as_phases(square), "xz": as_phases(flat)}  # which stands for yz, too
    settings = ReconstructionSettings(loss="patches", steps=60, slices_per_step=4)
    made = reconstruct(check_exemplars(planes), (20, 20, 20), settings).phases.index.astype(int)
    steps = [(np.diff(made, axis=axis) != 0).mean() for axis in range(3)]
    assert steps[0] < 0.9 * min(steps[1:])  # fewer changes along z


def test_numbers_that_are_no_longer_finite(exemplars, monkeypatch):
    loss = optimising._Level.loss
    calls = {"steps": 0}

    def broken(self, volume, generator):
        calls["steps"] += 1
        return loss(self, volume, generator) * (float("nan") if calls["steps"] > 28 else 1)

    monkeypatch.setattr(optimising._Level, "loss", broken)
    made = reconstruct(exemplars, (24, 24, 24), FAST)
    assert "no longer a finite number at step" in made.notes[-1]
    shares = np.array(made.phases.counts) / sum(made.phases.counts)
    np.testing.assert_allclose(shares, exemplars.fractions, atol=1e-4)


def test_sizes_that_cannot_be(exemplars, monkeypatch):
    with pytest.raises(SettingsError, match="at least 16 voxels"):
        reconstruct(exemplars, (8, 32, 32), FAST)
    with pytest.raises(SettingsError, match=r"need about [\d.]+ GiB(.|\n)*make it in chunks: chunk=\d+"):
        reconstruct(exemplars, (2048, 2048, 2048), FAST)
    with pytest.raises(SettingsError, match="periodic volume in blocks"):
        reconstruct(exemplars, (64, 64, 64), ReconstructionSettings(loss="patches", periodic=True, chunk=32))
    with pytest.raises(SettingsError, match="device"):
        reconstruct(exemplars, (32, 32, 32), ReconstructionSettings(loss="patches", device="tpu9"))


@pytest.mark.weights("vgg19")
@pytest.mark.parametrize("loss", ["vgg19", "both"])
def test_vgg19(exemplars, loss):
    from fijibridge.weights.weights import load_weights

    settings = ReconstructionSettings(loss=loss, steps=30, slices_per_step=3)
    made = reconstruct(exemplars, (24, 24, 24), settings, weights=load_weights("vgg19"))
    index = made.phases.index.astype(int)
    alike = np.mean([(np.diff(index, axis=axis) == 0).mean() for axis in range(3)])
    assert alike > 0.5  # at random: 0.38


# --- the operation ---------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    info = "1 = pore\n2 = ISE\n3 = CAM"
    tifffile.imwrite("slice.tif", grains(64) + 1, imagej=True, resolution=(5, 5), metadata={"unit": "um", "Info": info})
    return tmp_path


def run(images=("slice.tif",), **options):
    fast = {"out": "volume.tif", "volume_size": "24", "loss": "patches", "steps": 8, "slices_per_step": 4, "threads": 1}
    return operation([Path(image) for image in images], **{**fast, **options})


def test_the_volume_and_its_report(here):
    report = run(volume_size="16,24,20")
    with tifffile.TiffFile("volume.tif") as file:
        assert file.series[0].shape == (16, 24, 20)
        assert file.imagej_metadata["spacing"] == pytest.approx(0.2)
        assert file.imagej_metadata["Info"] == "1 = pore\n2 = ISE\n3 = CAM"
        assert set(np.unique(file.asarray())) == {1, 2, 3}
    assert sorted(path.name for path in here.iterdir()) == ["slice.tif", "volume.tif", "volume_report"]
    stored = json.loads(Path("volume_report/report.json").read_text())
    assert stored["headline"]["fraction_points"] < 0.05
    assert set(stored["headline"]) == set(report["headline"])
    assert stored["class_fractions"].keys() == {"pore", "ISE", "CAM"}
    for name in stored["outputs"]:
        assert (Path("volume_report") / name).is_file()
    assert {"view.png", "slices.png", "comparison.csv"} <= set(stored["outputs"])


def test_a_folder_for_both(here):
    report = run(out="made")
    assert report["volume"] == str(Path("made/volume.tif"))
    assert {"volume.tif", "report.json"} <= {path.name for path in Path("made").iterdir()}


def test_what_exists_is_not_lost(here):
    Path("volume.tif").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        run()
    with pytest.raises(OutputError, match="is an input"):
        run(out="slice.tif", overwrite=True)
    with pytest.raises(OutputError, match="not known as a volume that fijibridge wrote"):
        run(overwrite=True)
    assert Path("volume.tif").read_bytes() == b"mine"
    run(out="fine.tif")
    before = Path("fine.tif").read_bytes()
    run(out="fine.tif", seed=1, overwrite=True)
    assert Path("fine.tif").read_bytes() != before
    Path("other.resume").write_bytes(b"state")
    with pytest.raises(OutputError, match="--resume"):
        run(out="other.tif")
    with pytest.raises(OutputError, match="cannot be read as a state"):
        run(out="other.tif", resume=True)
    with pytest.raises(OutputError, match="nothing to resume"):
        run(out="new.tif", resume=True)
    with pytest.raises(OutputError, match="no state of a stopped run"):
        run(out="other.tif", overwrite=True)
    assert Path("other.resume").read_bytes() == b"state"
    assert not Path("new.tif").exists()


def test_grey_images_are_segmented_only_when_asked(here):
    rng = np.random.default_rng(0)
    grey = (grains(64) * 80 + 40 + rng.normal(0, 6, (64, 64))).clip(0, 255).astype(np.uint8)
    tifffile.imwrite("grey.tif", grey)
    with pytest.raises(LabelsError, match=r"grey\.tif: .*looks like a grey image(.|\n)*otsu=3"):
        run(["grey.tif"])
    report = run(["grey.tif"], otsu=3, classes="pore,ISE,CAM")
    assert "multi-Otsu" in report["notes"][0]
    assert report["class_fractions"]["CAM"] == pytest.approx(0.2, abs=0.02)
    with pytest.raises(SettingsError, match="one of the two"):
        run(["grey.tif"], out="v.tif", otsu=3, classifier="somewhere")


def test_a_saved_classifier_segments_grey_images(here):
    from shell import write_sample

    from fijibridge.operations.segment import segment

    write_sample(here, 96)
    segment(
        Path("image.tif"), labels=Path("labels.tif"), out=Path("trained"), classes="ISE,CAM,pore", features="tws",
        trees=8, threads=1,
    )  # fmt: skip
    report = run(["image.tif"], classifier=Path("trained/classifier"))
    assert set(report["phases"]) <= {"ISE", "CAM", "pore"}
    shares = json.loads(Path("trained/report.json").read_text())["class_fractions"]
    assert report["class_fractions"]["CAM"] == pytest.approx(shares["CAM"], abs=1e-3)
    # the names travel with the labels, too
    report = run(["trained/labels.tif"], out="again.tif")
    assert report["class_fractions"]["CAM"] == pytest.approx(shares["CAM"], abs=1e-3)


def test_bad_inputs(here):
    with pytest.raises(SettingsError, match="one, two"):
        run(["slice.tif"] * 4)
    for size in ("big", "24,24", "0", ""):
        with pytest.raises(SettingsError, match="volume_size"):
            run(volume_size=size)
    with pytest.raises(SettingsError, match="limit of an ImageJ TIFF"):
        run(volume_size="2048")
    tifffile.imwrite("one.tif", np.ones((64, 64), np.uint8))
    with pytest.raises(LabelsError, match="one phase only"):
        run(["one.tif"])
    tifffile.imwrite("far.tif", grains(64).astype(np.uint16) * 300)
    with pytest.raises(LabelsError, match="0 to 255"):
        run(["far.tif"])
    tifffile.imwrite("scaled.tif", grains(64) + 1, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    with pytest.raises(ValueError, match="pixel sizes"):
        run(["slice.tif", "scaled.tif", "slice.tif"])
    assert not Path("volume.tif").exists()
    assert not Path("volume_report").exists()
