"""The loop that all trainings share: a line that is fitted to points, stopped, resumed, refused."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.checkpoint import CHECKPOINT, LOG, check_new, has_checkpoint, identity_of
from fijibridge.core.errors import ModelFileError, OutputError, SettingsError
from fijibridge.core.progress import reported
from fijibridge.core.training import Check, TrainingLimits, TrainingTask, average_weights, train

MARKER = "line.safetensors"
LIMITS = TrainingLimits(12, checks=4)


class Stopped(BaseException):
    """As Ctrl-C."""


class Line(TrainingTask):
    """y = 2 x + 1 by Adam, from random points of a NumPy and noise of a torch generator."""

    def __init__(self, out=None, stop_at=-1, scores=None, factor=1.0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.line, self.mean = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        self.optimiser = torch.optim.Adam(self.line.parameters(), lr=0.05)
        self.rng, self.noise = np.random.default_rng(0), torch.Generator().manual_seed(0)
        self.out, self.stop_at, self.scores, self.factor = out, stop_at, iter(scores or ()), factor

    def parts(self):
        return {"line": self.line, "mean": self.mean, "adam": self.optimiser, "rng": self.rng, "noise": self.noise}

    def step(self, at):
        if at.step == self.stop_at:
            raise Stopped
        x = torch.from_numpy(self.rng.standard_normal((8, 1)).astype(np.float32))
        error = self.line(x) - 2 * x - 1 + 0.1 * torch.randn(8, 1, generator=self.noise)
        loss = error.square().mean() * self.factor
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        average_weights(self.mean, self.line, 0.9)
        return {"loss": loss.detach()}

    def check(self, at, losses):
        score = next(self.scores, -float(losses["loss"].mean()))
        row = {"step": at.step, "losses": len(losses["loss"]), "score": score}
        return Check(row, score, lambda: {name: value.clone() for name, value in self.mean.state_dict().items()})

    def save(self, result, more):
        self.out.mkdir(exist_ok=True)
        save_file(result, self.out / MARKER)
        more(self.out)

    def load(self):
        return load_file(self.out / MARKER)


def fitted(out=None, limits=LIMITS, resume=False, **changes):
    trained = train(Line(out, **changes), limits, folder=out, identity="line", resume=resume)
    return trained.at, trained.best


def test_stopped_and_resumed_it_is_equal_to_the_bit(tmp_path):
    state, best = fitted(tmp_path / "whole")
    assert [row["step"] for row in state.rows] == [3, 6, 9, 12]
    assert {row["losses"] for row in state.rows} == {3}
    with pytest.raises(Stopped):
        fitted(tmp_path / "stopped", stop_at=7)
    with pytest.raises(Stopped):
        fitted(tmp_path / "stopped", stop_at=10, resume=True)
    again, resumed = fitted(tmp_path / "stopped", resume=True)
    assert again.rows == state.rows
    assert all(torch.equal(resumed[name], best[name]) for name in best)
    ends = [load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "stopped")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    with (tmp_path / "whole" / LOG).open(encoding="utf-8") as file:
        assert [float(row["score"]) for row in csv.DictReader(file)] == [row["score"] for row in state.rows]
    assert fitted(tmp_path / "whole", resume=True)[0].step == 12  # nothing left to do


def test_a_resumed_training_may_take_longer(tmp_path):
    fitted(tmp_path / "line", replace(LIMITS, check_every=3))
    state, best = fitted(tmp_path / "line", TrainingLimits(24, check_every=3), resume=True)
    whole, wanted = fitted(tmp_path / "other", TrainingLimits(24, check_every=3))
    assert state.rows == whole.rows
    assert all(torch.equal(best[name], wanted[name]) for name in wanted)


def test_what_cannot_be_resumed(tmp_path):
    with pytest.raises(OutputError, match="nothing to resume"):
        fitted(tmp_path / "none", resume=True)
    fitted(tmp_path / "line")
    with pytest.raises(SettingsError, match="another training"):
        train(Line(tmp_path / "line"), LIMITS, folder=tmp_path / "line", identity="curve", resume=True)
    tensors = {name: tensor.clone() for name, tensor in load_file(tmp_path / "line" / CHECKPOINT).items()}
    for damage in (b"short", b""):
        (tmp_path / "line" / CHECKPOINT).write_bytes(damage)
        with pytest.raises(ModelFileError, match="damaged"):
            fitted(tmp_path / "line", resume=True)
    save_file({name: value for name, value in tensors.items() if name != "line.weight"}, tmp_path / "line" / CHECKPOINT)
    with pytest.raises(ModelFileError, match="damaged"):
        fitted(tmp_path / "line", resume=True)


def test_the_best_result_is_kept_and_patience_ends():
    state, best = fitted(scores=[1.0, 3.0, 2.0, 2.5], limits=TrainingLimits(100, check_every=1, patience=2))
    assert (state.step, state.best, state.waited) == (4, 3.0, 2)
    second, wanted = fitted(scores=[1.0, 3.0], limits=TrainingLimits(2, check_every=1))
    assert second.step == 2
    assert all(torch.equal(best[name], wanted[name]) for name in wanted)


def test_good_enough_is_an_end():
    state, _ = fitted(scores=[1.0, 3.0, 5.0], limits=TrainingLimits(100, check_every=2, good_enough=3.0))
    assert state.step == 4


def test_minutes_are_an_end():
    state, best = fitted(limits=TrainingLimits(minutes=0.005, checks=3, clock="cpu"))
    assert best is not None
    assert state.seconds >= 0.3
    assert len(state.rows) == 3


def test_losses_that_are_not_finite(tmp_path, caplog):
    with pytest.raises(SettingsError, match="lower learning rate"):
        fitted(factor=math.nan)
    with pytest.raises(Stopped):
        fitted(tmp_path / "line", stop_at=7)
    state, best = fitted(tmp_path / "line", resume=True, factor=math.nan)
    assert "no longer finite" in caplog.text
    assert state.step == 9
    assert all(bool(tensor.isfinite().all()) for tensor in best.values())


@pytest.mark.parametrize("limits", [LIMITS, TrainingLimits(minutes=0.002, clock="cpu")])
def test_the_bar_comes_to_its_end(limits):
    bars = []

    class Bar:
        def __init__(self, text, total):
            self.total, self.shown = total, 0
            bars.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def update(self, n=1):
            self.shown += n

    with reported(Bar):
        fitted(limits=limits)
    assert [(bar.total, bar.shown) for bar in bars] == [(limits.steps or 1000,) * 2]


def test_counts_are_copied_and_weights_averaged():
    averaged, module = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        module.weight.fill_(3.0)
        module.num_batches_tracked.fill_(7)
    average_weights(averaged, module, 0.75)
    assert averaged.weight.tolist() == [1.5, 1.5]
    assert averaged.weight.requires_grad
    assert int(averaged.num_batches_tracked) == 7


def test_a_new_folder(tmp_path):
    check_new(tmp_path / "new", MARKER, overwrite=False)
    (tmp_path / "empty").mkdir()
    check_new(tmp_path / "empty", MARKER, overwrite=False)
    with output_folder(tmp_path / "old", marker=MARKER) as folder:
        (folder / MARKER).touch()
    check_new(tmp_path / "old", MARKER, overwrite=True)
    (tmp_path / "file").touch()
    for name, overwrite, words in (
        ("old", False, "--resume"),
        ("file", True, "is a file"),
        (".", True, "holds other things"),
    ):
        with pytest.raises(OutputError, match=words):
            check_new(tmp_path / name, MARKER, overwrite=overwrite)
    with pytest.raises(OutputError, match="is an input"):
        check_new(tmp_path / "old", MARKER, overwrite=True, inputs=[tmp_path / "old" / "data"])
    assert not has_checkpoint(tmp_path / "old")


def test_an_identity_is_that_of_all_but_the_free_settings():
    @dataclass(frozen=True)
    class Settings:
        rate: float = 0.1
        steps: int = 3

    own = identity_of(Settings(), ["data"], free=("steps",))
    assert own == identity_of(Settings(steps=5), ["data"], free=("steps",))
    assert own != identity_of(Settings(rate=0.2), ["data"], free=("steps",))
    assert own != identity_of(Settings(), ["other data"], free=("steps",))


def test_a_checkpoint_is_readable_text(tmp_path):
    fitted(tmp_path / "line")
    about = json.loads((tmp_path / "line" / "checkpoint.json").read_text(encoding="utf-8"))
    assert about["step"] == 12
    assert about["identity"] == "line"
