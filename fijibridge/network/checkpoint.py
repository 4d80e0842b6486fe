"""Checkpoints of a network's training: all that is needed to go on as if it had not been stopped."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from fijibridge.errors import ModelFileError, OutputError, SettingsError
from fijibridge.network.file import save_network
from fijibridge.network.network import Network
from fijibridge.network.settings import NetworkSettings

LOG = "training.csv"
_STATE = "checkpoint.safetensors"
_ABOUT = "checkpoint.json"
# what may be another when a training goes on: how long it takes, where it runs, how often it is looked at
_FREE = ("minutes", "clock", "steps", "threads", "device", "checks", "patience", "validation_images")


@dataclass
class Checkpoint:
    """Where a training is."""

    step: int = 0
    seconds: float = 0.0
    checks: int = 0
    best: float = -1.0
    waited: int = 0
    failed: bool = False
    rows: list[dict[str, float]] = field(default_factory=list)
    losses: list[torch.Tensor] = field(default_factory=list)
    """Since the last check."""
    best_state: dict[str, torch.Tensor] | None = None
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    """As read from the disk."""

    def restore(
        self, module: torch.nn.Module, averaged: dict[str, torch.Tensor], optimiser: torch.optim.Optimizer
    ) -> Checkpoint:
        """Give a network and its optimiser the state they had."""
        module.load_state_dict(_under(self.tensors, "network"))
        for name, tensor in _under(self.tensors, "averaged").items():
            averaged[name].copy_(tensor)
        self.best_state = _under(self.tensors, "best") or None
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in _under(self.tensors, "optimiser").items():
            number, _, part = key.partition(".")
            state.setdefault(int(number), {})[part] = value
        optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
        self.tensors = {}
        return self

    def write_log(self, folder: Path) -> None:
        """``training.csv``, and TensorBoard's events where that is installed."""
        if not self.rows:
            return
        with (folder / LOG).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        if importlib.util.find_spec("tensorboard") is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(folder / "tensorboard")) as events:
            for row in self.rows:
                for name, value in row.items():
                    if name != "step":
                        events.add_scalar(name, value, int(row["step"]))


def _under(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    start = f"{name}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}


def digest_of(settings: NetworkSettings, more: Sequence[Any]) -> str:
    """What a checkpoint belongs to."""
    own = {name: value for name, value in asdict(settings).items() if name not in _FREE}
    return hashlib.sha256(json.dumps([own, more], sort_keys=True).encode()).hexdigest()


def save_checkpoint(
    network: Network, out: Path, at: Checkpoint, identity: str, module: torch.nn.Module,
    averaged: dict[str, torch.Tensor], optimiser: torch.optim.Optimizer,
) -> None:  # fmt: skip
    """Write the best network so far, with what is needed to go on."""
    from safetensors.torch import save_file

    parts = {"network": module.state_dict(), "averaged": averaged, "best": at.best_state or {}}
    tensors = {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in moments.items()}
    about = {"step": at.step, "seconds": at.seconds, "checks": at.checks, "best": at.best, "waited": at.waited}
    about |= {"rows": at.rows, "identity": identity}

    def write(folder: Path) -> None:
        # clones: safetensors refuses tensors that share memory
        save_file(
            {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, folder / _STATE
        )
        (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        at.write_log(folder)

    save_network(network, out, overwrite=True, more=write)


def has_checkpoint(out: Path) -> bool:
    """Whether a training in this folder can go on."""
    return (out / _ABOUT).is_file()


def another_training(out: Path) -> SettingsError:
    """For a folder whose training is not the one to go on with."""
    return SettingsError(
        f"{out} holds another training",
        expected="the same data set, classes and settings",
        remedy="give the same options as before, or another folder",
    )


def read_checkpoint(out: Path, identity: str) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises
    ------
    OutputError
        None there.
    ModelFileError
        Damaged.
    SettingsError
        Of another training.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not has_checkpoint(out):
        raise OutputError(
            f"nothing to resume: no checkpoint in {out}",
            expected="the folder of a training that was stopped",
            remedy="start without resume",
        )
    try:
        about = json.loads((out / _ABOUT).read_text(encoding="utf-8"))
        if about.pop("identity") != identity:
            raise another_training(out)
        return Checkpoint(**about, tensors=load_file(out / _STATE))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, SettingsError):
            raise
        raise ModelFileError(
            f"the checkpoint in {out} is damaged ({type(error).__name__}: {error})",
            expected=f"{_ABOUT} and {_STATE} as they were written",
            remedy="start anew in another folder",
        ) from error
