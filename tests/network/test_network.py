"""The segmenting network: tiny ones, pair_network for a few steps on small pairs that are made here."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from network_sample import NAMES, SIDE, TINY, pair, same, sampler

from fijibridge.core.checkpoint import LOG, has_checkpoint
from fijibridge.core.errors import BridgeError, ImageError, LabelsError, ModelFileError, OutputError, SettingsError
from fijibridge.network import trainer as network_trainer
from fijibridge.network.augmentation import IGNORED
from fijibridge.network.calibration import expected_calibration_error, fitted_temperature, softmax
from fijibridge.network.file import load_network
from fijibridge.network.training import crop_for, fine_tune, train_network
from fijibridge.network.unet import DetectorNetwork, new_network
from fijibridge.network.validation import iou_of

pytestmark = pytest.mark.usefixtures("one_thread")


# --- training --------------------------------------------------------------------------------------------------------


def test_it_learns_and_is_written(pair_network):
    network, out = pair_network
    assert network.class_names == NAMES[:3]  # no carbon and no binder in the data
    iou = network.training["iou"]
    assert iou["mean"] > 0.8
    assert network.training["best_mean_iou"] == pytest.approx(iou["mean"])
    assert network.pixel_sizes == (0.05, 0.05)
    with (out / LOG).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [15, 30, 45, 60]
    assert max(float(row["mean_iou"]) for row in rows) == pytest.approx(iou["mean"])
    assert set(rows[0]) == {"step", "seconds", "loss", "rate", "mean_iou", "iou_ISE", "iou_CAM", "iou_pore"}
    assert not has_checkpoint(out)


def test_probabilities_are_calibrated(pair_network):
    about = pair_network[0].training
    assert about["ece_after"] <= about["ece_before"] + 0.005
    assert about["ece_after"] < 0.1


def test_both_detectors_are_better_than_one_and_each_serves_alone(pair_network):
    about = pair_network[0].training
    alone = about["iou_of_one_detector"]
    assert about["iou"]["mean"] > max(alone["SE"]["mean"], alone["BSE"]["mean"]) - 0.02
    assert alone["BSE"]["CAM"] > 0.6  # told, not guessed, that SE is missing
    assert about["iou"]["CAM"] > alone["SE"]["CAM"] + 0.1  # which SE does not show


def test_new_images_of_another_bit_depth(pair_network):
    se, bse, labels = pair(999, bits=16)
    found = pair_network[0].predict({"SE": se, "BSE": bse}, device="cpu")
    assert (found.argmax(0) + 1 == labels).mean() > 0.85


class Killed(BaseException):
    """As Ctrl-C: not to be caught by accident."""


@pytest.mark.slow
def test_killed_and_resumed_ends_as_if_it_had_not_been(labelled_pairs, tmp_path, monkeypatch):
    whole = train_network(labelled_pairs, TINY, out=tmp_path / "whole")
    step = network_trainer.Trainer.step

    def until(last: int):
        def run(self, at):
            if at.step == last:
                raise Killed
            return step(self, at)

        return run

    monkeypatch.setattr(network_trainer.Trainer, "step", until(7))
    with pytest.raises(Killed):
        train_network(labelled_pairs, TINY, out=tmp_path / "stopped")
    assert has_checkpoint(tmp_path / "stopped")
    load_network(tmp_path / "stopped")  # can be used as it is
    monkeypatch.setattr(network_trainer.Trainer, "step", until(10))
    with pytest.raises(Killed):
        train_network(labelled_pairs, TINY, out=tmp_path / "stopped", resume=True)
    monkeypatch.setattr(network_trainer.Trainer, "step", step)
    resumed = train_network(labelled_pairs, TINY, out=tmp_path / "stopped", resume=True)
    assert same(whole, resumed)
    assert resumed.temperature == whole.temperature
    ended = train_network(labelled_pairs, TINY, out=tmp_path / "stopped", resume=True)  # nothing left to do
    assert same(ended, resumed)


def test_resuming_another_training_is_refused(labelled_pairs, tmp_path, pair_network):
    with pytest.raises(OutputError, match="nothing to resume"):
        train_network(labelled_pairs, TINY, out=tmp_path / "none", resume=True)
    with pytest.raises(SettingsError, match="another training"):  # which had ended
        train_network(labelled_pairs, TINY, out=pair_network[1], resume=True)
    with pytest.raises(OutputError, match="exists already"):
        train_network(labelled_pairs, TINY, out=pair_network[1])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(OutputError, match="exists already"):
        train_network(labelled_pairs, TINY, out=tmp_path / "other", overwrite=True)


@pytest.mark.slow
def test_a_checkpoint_of_other_settings_is_refused(labelled_pairs, tmp_path, monkeypatch):
    save = network_trainer.Trainer.save

    def killed(self, result, more):
        save(self, result, more)
        raise Killed

    monkeypatch.setattr(network_trainer.Trainer, "save", killed)
    with pytest.raises(Killed):
        train_network(labelled_pairs, TINY, out=tmp_path / "net")
    with pytest.raises(SettingsError, match="another training"):
        train_network(labelled_pairs, replace(TINY, width=4), out=tmp_path / "net", resume=True)
    (tmp_path / "net" / "checkpoint.safetensors").write_bytes(b"short")
    with pytest.raises(ModelFileError, match="damaged"):
        train_network(labelled_pairs, TINY, out=tmp_path / "net", resume=True)


@pytest.mark.slow
def test_minutes_end_a_training(labelled_pairs, tmp_path):
    timed = replace(TINY, steps=0, minutes=0.02, checks=2, clock="cpu", validation_images=1)
    about = train_network(labelled_pairs, timed, out=tmp_path / "net").training
    assert about["steps"] > 3
    assert 1.2 <= about["seconds"] < 6


@pytest.mark.slow
def test_training_stops_when_nothing_better_comes(labelled_pairs, tmp_path):
    stubborn = replace(TINY, steps=40, checks=40, patience=2, rate=1e-6, validation_images=1)
    network = train_network(labelled_pairs, stubborn, out=tmp_path / "net")
    assert network.training["steps"] < 40


def test_a_loss_without_end_is_told(labelled_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(network_trainer.Trainer, "_loss", lambda self, logits, target: logits.sum() * float("nan"))
    with pytest.raises(SettingsError, match="lower learning rate"):
        train_network(labelled_pairs, TINY, out=tmp_path / "net")


@pytest.mark.slow
def test_classes_are_chosen_and_merged(labelled_pairs, tmp_path):
    short = replace(TINY, steps=2, checks=1, validation_images=1)
    merged = train_network(labelled_pairs, short, out=tmp_path / "a", merge={"pore": "ISE"})
    assert merged.class_names == ("ISE", "CAM")
    chosen = train_network(labelled_pairs, short, out=tmp_path / "b", classes=["pore", "CAM"])
    assert chosen.class_names == ("pore", "CAM")
    with pytest.raises(SettingsError, match="CAN"):
        train_network(labelled_pairs, short, out=tmp_path / "c", classes=["CAN"])
    with pytest.raises(SettingsError, match="1 class"):
        train_network(labelled_pairs, short, out=tmp_path / "c", classes=["CAM"])


@pytest.mark.slow
def test_an_encoder_by_name(labelled_pairs, tmp_path):
    short = replace(TINY, encoder="resnet18", pretrained="no", width=4, crop=64, batch=2, steps=1, checks=1)
    network = train_network(labelled_pairs, replace(short, validation_images=1), out=tmp_path / "net")
    again = load_network(tmp_path / "net")
    se, bse, _ = pair(1)
    images = {"SE": se, "BSE": bse}
    np.testing.assert_array_equal(again.predict(images, device="cpu"), network.predict(images, device="cpu"))


def test_no_weights_in_reach_is_a_random_start(monkeypatch, caplog):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from fijibridge.network import unet

    make = unet._smp_unet

    def offline(architecture, weights=None):
        if weights:
            raise OSError("no hub")
        return make(architecture)

    monkeypatch.setattr(unet, "_smp_unet", offline)
    wanted = replace(TINY, encoder="resnet18", crop=64)
    _, start = new_network(wanted, 2, 3)
    assert start == "random"
    assert "no ImageNet weights of resnet18" in caplog.text
    with pytest.raises(SettingsError, match="cannot be had"):
        new_network(replace(wanted, pretrained="yes"), 2, 3)


def test_settings_that_cannot_be():
    with pytest.raises(SettingsError, match=r"near are.*resnet18"):
        new_network(replace(TINY, encoder="resnet-18", crop=64), 2, 3)
    with pytest.raises(SettingsError, match="multiple of 4"):
        replace(TINY, crop=50)
    with pytest.raises(SettingsError, match="device"):
        replace(TINY, device=3)
    with pytest.raises(SettingsError, match="batch 2 or more"):
        replace(TINY, crop=32, levels=5, stem=2, batch=1)


@pytest.mark.parametrize("stem", [1, 2, 4])
@pytest.mark.parametrize("levels", [2, 4])
def test_multiples_of_the_stride_serve(stem, levels):
    import torch

    module, _ = new_network(replace(TINY, stem=stem, levels=levels, width=4, crop=32), 2, 3)
    stride = module.architecture.stride
    assert stride == stem * 2 ** (levels - 1)
    grey = torch.randn(1, 2, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = module.eval()(grey, torch.ones(1, 2))
    assert logits.shape == (1, 3, 32, 64)


@pytest.mark.slow
def test_mixed_precision(labelled_pairs, tmp_path):
    network = train_network(labelled_pairs, replace(TINY, steps=2, checks=1, precision="mixed"), out=tmp_path / "net")
    assert all(bool(tensor.isfinite().all()) for tensor in network.state.values())
    full = train_network(labelled_pairs, replace(TINY, steps=2, checks=1), out=tmp_path / "full")
    assert not same(network, full)


# --- fine-tuning -----------------------------------------------------------------------------------------------------


def inverted(seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A pair whose BSE has its contrast the wrong way round, as no training had it, and sparse labels."""
    se, bse, labels = pair(seed)
    rng = np.random.default_rng(seed)
    return {"SE": se, "BSE": 255 - bse}, np.where(rng.random(labels.shape) < 0.02, labels, 0)


@pytest.mark.slow
def test_sparse_labels_fine_tune(pair_network, labelled_pairs):
    network = pair_network[0]
    drawn = [inverted(seed) for seed in (20, 21)]
    short = replace(TINY, steps=40, rate=3e-3, checks=1, detector_dropout=0.0, crop=64)
    names = ["pore", "ISE", "CAM"]
    order = np.array([0, 2, 3, 1], np.uint8)  # the labels' own numbers
    tuned = fine_tune(
        network, [image for image, _ in drawn], [order[labels] for _, labels in drawn], short, class_names=names,
        replay=labelled_pairs, replay_share=0.3, pixel_size=0.1,
    )  # fmt: skip
    image, truth = inverted(30)[0], pair(30)[2]
    before, after = ((one.predict(image, device="cpu").argmax(0) + 1 == truth).mean() for one in (network, tuned))
    assert after > before + 0.15
    assert tuned.class_names == network.class_names
    assert tuned.pixel_sizes == (0.05, 0.1)
    assert not same(network, tuned)
    assert tuned.training["fine_tuned"]["images"] == 2


def test_the_largest_crop_that_fits(pair_network):
    assert crop_for(pair_network[0], [np.zeros((SIDE, 200)), np.zeros((300, 300))]) == 64  # and the default stride
    assert crop_for(pair_network[0], [np.zeros((900, 900))]) == 256
    assert crop_for(pair_network[0], [np.zeros((131, 140))]) == 128


def test_labels_that_cannot_fine_tune(pair_network):
    network = pair_network[0]
    image, labels = inverted(20)
    with pytest.raises(LabelsError, match="labels of gold"):
        fine_tune(network, [image], [labels], TINY, class_names=["gold"])
    with pytest.raises(LabelsError, match="no label"):
        fine_tune(network, [image], [labels * 0], TINY)
    with pytest.raises(LabelsError, match="labels 0 to 3"):
        fine_tune(network, [image], [labels], TINY, class_names=["ISE"])
    with pytest.raises(LabelsError, match="2 images and 1"):
        fine_tune(network, [image, image], [labels], TINY)
    with pytest.raises(ImageError, match="its labels of"):
        fine_tune(network, [image], [labels[:-1]], TINY)
    with pytest.raises(SettingsError, match="multiple of 4"):
        fine_tune(network, [image], [labels], replace(TINY, stem=1, levels=2, crop=34))
    with pytest.raises(SettingsError, match="crops of 128"):
        fine_tune(network, [image], [labels], replace(TINY, crop=128))


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_temperature_is_found_again():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 3))
    truth = np.array([rng.choice(3, p=row) for row in softmax(logits)])
    assert fitted_temperature(logits * 2.5, truth) == pytest.approx(2.5, rel=0.05)
    assert expected_calibration_error(softmax(logits), truth) < 0.015
    assert expected_calibration_error(softmax(logits * 2.5), truth) > 0.05


def test_iou():
    table = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    np.testing.assert_allclose(iou_of(table)[:2], [8 / 11, 9 / 12])
    assert np.isnan(iou_of(table)[2])


def test_unlabelled_pixels_do_not_count(pair_network, random_network):
    """The loss of a batch is that of its labelled pixels alone."""
    import torch

    trainer = network_trainer.Trainer(
        DetectorNetwork(random_network.architecture),
        random_network,
        TINY,
        [(sampler(), 1.0)],
        np.full(3, 1 / 3),
        None,
        None,
        "",
    )
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.standard_normal((1, 3, 8, 8)).astype(np.float32))
    target = torch.from_numpy(rng.integers(0, 3, (1, 8, 8)))
    target[:, 4:] = IGNORED
    changed = logits.clone()
    changed[:, :, 4:] += 5 * torch.randn(1, 3, 4, 8)
    assert float(trainer._loss(logits, target)) == pytest.approx(float(trainer._loss(changed, target)), rel=1e-6)
    target[:] = IGNORED
    assert float(trainer._loss(logits, target)) == 0


def test_a_help_text_loads_nothing_heavy():
    code = (
        "import sys, fijibridge.network.settings;"
        "print(sorted({'torch', 'numpy', 'tifffile', 'segmentation_models_pytorch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"


def test_errors_are_the_users():
    assert issubclass(ModelFileError, BridgeError)
