"""The GAN: a tiny one, trained for a few steps on a CPU, saved, loaded, resumed and applied block by block."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from test_superresolution import NAMES, files, means, structure, truth, typical  # noqa: F401

from fijibridge.core.checkpoint import CHECKPOINT, LOG, TrainingState
from fijibridge.core.errors import BridgeError, LabelsError, OutputError, SettingsError
from fijibridge.core.training import Check
from fijibridge.operations.superresolve import superresolve as operation
from fijibridge.phases.phases import as_phases
from fijibridge.reconstruction import check_exemplars
from fijibridge.superresolution import coarse_labels, tied
from fijibridge.superresolution import training as training_module
from fijibridge.superresolution.model import load_model
from fijibridge.superresolution.networks import Architecture, noise_of
from fijibridge.superresolution.samples import generated_samples
from fijibridge.superresolution.training import TrainingSettings, train_gan

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

TINY = TrainingSettings(iterations=6, width=8, batch=1, crop=6, check_every=3)


@pytest.fixture(scope="module")
def exemplars():
    return check_exemplars({"xy": as_phases(typical(structure((96, 96, 96), seed=1))[0], class_names=NAMES)})


@pytest.fixture(scope="module")
def tie(truth, exemplars):  # noqa: F811
    labels = (means(truth == 2) >= 0.5).astype(np.uint8)
    coarse = coarse_labels(as_phases(labels, class_names=["rest", "CAM"]), exemplars.first, ["CAM"])
    return tied(coarse, exemplars, 4)


@pytest.fixture(scope="module")
def trained(tie, exemplars, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gan") / "model"
    return train_gan(tie, exemplars, TINY, out=folder), folder


def test_a_trained_model_is_written(trained):
    model, folder = trained
    with (folder / LOG).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == [3, 6]
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())
    loaded = load_model(folder)
    assert loaded.names == tuple(NAMES)
    assert loaded.visible == ["CAM"]
    for name, tensor in model.state.items():
        assert (loaded.state[name] == tensor).all()
    np.testing.assert_array_equal(loaded.exemplars().first.index, model.exemplars().first.index)


def test_it_learns(tie, exemplars, tmp_path):
    """The agreement with the coarse volume, the one part of the loss that must fall, does."""
    import torch

    training = training_module._GanTraining(tie, exemplars, replace(TINY, rate=5e-3), tmp_path / "model", 400.0)

    def agreement() -> float:
        logits = training._model(training.generator.state_dict()).logits(tie.agreement.coarse, 0)
        return float(tie.agreement.loss(torch.softmax(torch.from_numpy(logits), 0), 1, disagreement_alone=True))

    before, at = agreement(), TrainingState()
    after = []
    for step in range(1, 91):
        training.step(at)
        at.step = step
        after += [agreement()] if step >= 50 and step % 10 == 0 else []
    assert np.median(after) < 0.8 * before  # generator against critic: single steps go up and down


def test_there_is_no_seam_whatever_the_blocks(trained, tie):
    model, _ = trained
    whole = model.logits(tie.agreement.coarse, 0, block=8)
    blocks = model.logits(tie.agreement.coarse, 0, block=3)
    np.testing.assert_allclose(blocks, whole, atol=1e-4)
    made = [model.apply(tie.agreement, 0, block=block) for block in (8, 3)]
    assert (made[0] != made[1]).mean() < 1e-3  # ties of floating point numbers
    assert tie.agreement.agreeing(made[0]).all()


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_margin_is_what_a_block_depends_on(factor):
    import torch

    from fijibridge.superresolution.networks import Generator

    architecture = Architecture(2, 3, factor, width=8)
    torch.manual_seed(0)
    generator = Generator(architecture).eval()
    side = 2 * architecture.margin + 3
    shares = torch.rand(1, 2, side, side, side)
    noise = [torch.from_numpy(part) for part in noise_of(architecture, 0, (side,) * 3, (slice(0, side),) * 3)]
    with torch.inference_mode():
        before = generator(shares, noise)
        shares[..., 0] = 1 - shares[..., 0]
        changed = (generator(shares, noise) != before).any((0, 1)).any(0).any(0).numpy()
    reached = int(np.flatnonzero(changed)[-1]) // factor
    assert reached <= architecture.margin
    assert reached >= architecture.margin - 1


def test_seeds_are_samples(trained, tie):
    model, _ = trained
    first, second, third = (generated_samples(model, tie, seed, 1)[0].phases.index for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


def test_stopped_and_resumed_it_is_the_same(trained, tie, exemplars, tmp_path):
    model, _ = trained
    folder = tmp_path / "model"
    train_gan(tie, exemplars, replace(TINY, iterations=3), out=folder)
    with pytest.raises(OutputError, match="exists already"):
        train_gan(tie, exemplars, TINY, out=folder)
    with pytest.raises(SettingsError, match="another training"):
        train_gan(tie, exemplars, replace(TINY, width=16), out=folder, resume=True)
    again = train_gan(tie, exemplars, TINY, out=folder, resume=True)
    for name, tensor in model.state.items():
        np.testing.assert_allclose(again.state[name].numpy(), tensor.numpy(), atol=1e-6)
    with pytest.raises(OutputError, match="nothing to resume"):
        train_gan(tie, exemplars, TINY, out=tmp_path / "none", resume=True)


def test_losses_that_are_no_longer_finite(tie, exemplars, tmp_path, monkeypatch, caplog):
    step = training_module._GanTraining.step

    def broken(self, at):
        losses = step(self, at)
        return losses | {"critic": losses["critic"] * float("nan")} if at.step >= 3 else losses

    monkeypatch.setattr(training_module._GanTraining, "step", broken)
    model = train_gan(tie, exemplars, replace(TINY, iterations=30), out=tmp_path / "model")
    assert "no longer finite" in caplog.text
    assert model.about["iteration"] <= 6
    with pytest.raises(SettingsError, match="lower learning rate"):
        train_gan(tie, exemplars, replace(TINY, check_every=6), out=tmp_path / "other")


def test_it_stops_when_nothing_better_comes(tie, exemplars, tmp_path, monkeypatch):
    errors = iter([0.5, 0.4, 0.6, 0.7, 0.1])

    def check(self, at, losses):
        return Check({"iteration": at.step}, -next(errors), lambda: self._model(self.averaged.state_dict()))

    monkeypatch.setattr(training_module._GanTraining, "check", check)
    train_gan(tie, exemplars, replace(TINY, iterations=30, check_every=1, patience=2), out=tmp_path / "model")
    with (tmp_path / "model" / LOG).open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_a_model_of_something_else(trained, tie, exemplars):
    model, _ = trained
    coarse = tie.agreement.coarse
    model.check(coarse, tuple(NAMES), 4)
    with pytest.raises(LabelsError, match="a model of the phases"):
        model.check(coarse, ("a", "b", "c"))
    with pytest.raises(SettingsError, match="model of factor 4"):
        model.check(coarse, None, 8)
    other = replace(coarse, groups=((1,), (0, 2)))
    with pytest.raises(LabelsError, match="show CAM"):
        model.check(other)


def test_the_operation_trains_and_applies(files, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(training_module.TrainingSettings, "__init__", _tiny(training_module.TrainingSettings.__init__))
    options = {"method": "gan", "coarse_classes": "rest,CAM"}
    named = {"visible": "CAM", "classes": ",".join(NAMES)}
    report = operation(
        files / "coarse.tif", micrographs=[files / "sem0.tif"], out=tmp_path / "fine.tif", train=True,
        out_model=tmp_path / "model", training_steps=3, **options, **named,
    )  # fmt: skip
    assert report["method"] == "gan"
    assert report["agreement"] == 1.0
    assert (tmp_path / "fine.tif").is_file()
    assert (tmp_path / "model" / CHECKPOINT).is_file()
    applied = operation(files / "coarse.tif", out=tmp_path / "again", model=tmp_path / "model", **options)
    assert applied["class_fractions"] == report["class_fractions"]
    assert json.loads((tmp_path / "again" / "report.json").read_text())["model"]["iteration"] == 3
    for change, told in (
        ({"factor": 8, "voxel_size": "0.1 um"}, "model of factor 4"),
        ({"train": True}, "trained model|without a folder"),
        ({"resume": True}, "nothing to resume"),
        ({"method": "optimise"}, "the method optimise"),
        ({"model": files}, "no trained model"),
        ({"model": None}, "without a model"),
    ):
        with pytest.raises(BridgeError, match=told):
            operation(
                files / "coarse.tif", out=tmp_path / "other", **({"model": tmp_path / "model"} | options | change)
            )
        assert not (tmp_path / "other").exists()


def _tiny(init):
    """Settings of the operation's training, made small."""

    def small(self, **given):
        init(self, **{"width": 8, "batch": 1, "crop": 6, "check_every": 3, **given})

    return small
