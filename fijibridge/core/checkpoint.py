"""Files of a training: its log, and checkpoints from which it is resumed as if it had not been stopped.

::

    checkpoint.json          how far it is, its identity, NumPy's random generators
    checkpoint.safetensors   networks, optimisers, torch's random generators
    training.csv             a row a check; as TensorBoard's events too, where that is installed

Nothing in them is unpickled.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fijibridge.core.atomic_output import Inputs, check_output
from fijibridge.core.errors import ModelFileError, OutputError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    import torch

    Stateful: TypeAlias = torch.nn.Module | torch.optim.Optimizer | torch.Generator | np.random.Generator

LOG = "training.csv"
CHECKPOINT = "checkpoint.safetensors"
_ABOUT = "checkpoint.json"


@dataclass
class TrainingState:
    """Where a training is: ``step`` counts the steps done, ``share`` is their share of the whole training."""

    step: int = 0
    seconds: float = 0.0
    share: float = 0.0
    checks: int = 0
    best: float = -math.inf
    waited: int = 0
    """Checks since the best one."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """Of the log, one a check."""


def check_new(folder: Path, marker: str, *, overwrite: bool, inputs: Inputs = ()) -> None:
    """See that a training may write its results to a folder, before hours of work.

    Parameters
    ----------
    folder : Path
        Of the results.
    marker : str
        A file that every such folder holds.
    overwrite : bool
        Whether an older result may be replaced.
    inputs : iterable of path
        What the training reads.

    Raises
    ------
    OutputError
        Something else is there.
    """
    check_output(folder, marker=marker, overwrite=overwrite, inputs=inputs, advice=", or --resume to continue training")


def has_checkpoint(folder: Path) -> bool:
    """Whether a training in this folder can be resumed."""
    return (folder / _ABOUT).is_file()


def identity_of(settings: Any, more: Sequence[Any], *, free: Sequence[str]) -> str:
    """What a checkpoint belongs to.

    Parameters
    ----------
    settings : dataclass
        Of the training.
    more : sequence
        What else it depends on, such as digests of its data; of JSON's types.
    free : sequence of str
        Settings that may change when a training is resumed.

    Returns
    -------
    str
        SHA-256.
    """
    own = {name: value for name, value in asdict(settings).items() if name not in free}
    return hashlib.sha256(json.dumps([own, more], sort_keys=True).encode()).hexdigest()


def another_training(folder: Path) -> SettingsError:
    """For a folder whose training is not the one to resume."""
    return SettingsError(
        f"{folder} holds another training",
        expected="the same data and settings",
        remedy="give the same options as before, or another folder",
    )


def write_log(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write ``training.csv``, and TensorBoard's events where that is installed.

    Parameters
    ----------
    folder : Path
        Exists.
    rows : sequence of mapping
        All with the same columns, the first of which is the number of steps.
    """
    if not rows:
        return
    with (folder / LOG).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    if importlib.util.find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard")) as events:
        for row in rows:
            (_, step), *values = row.items()
            for name, value in values:
                events.add_scalar(name, value, int(step))


def write_checkpoint(folder: Path, at: TrainingState, identity: str, parts: Mapping[str, Stateful]) -> None:
    """Write a checkpoint and the log to a folder.

    Parameters
    ----------
    folder : Path
        Exists.
    at : TrainingState
        How far the training is.
    identity : str
        Of the training, by `identity_of`.
    parts : mapping of str to Stateful
        Networks, optimisers and random generators, by names without a dot.
    """
    import torch
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    generators = {}
    for name, part in parts.items():
        if isinstance(part, torch.Generator):
            tensors[name] = part.get_state()
        elif isinstance(part, torch.nn.Module):
            tensors |= {f"{name}.{key}": tensor for key, tensor in part.state_dict().items()}
        elif isinstance(part, torch.optim.Optimizer):
            for number, moments in part.state_dict()["state"].items():
                tensors |= {f"{name}.{number}.{key}": value for key, value in moments.items()}
        else:
            generators[name] = part.bit_generator.state
    # clones: safetensors refuses tensors that share memory
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(tensors, folder / CHECKPOINT)
    about = {**asdict(at), "generators": generators, "identity": identity}
    (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
    write_log(folder, at.rows)


def read_checkpoint(folder: Path, identity: str, parts: Mapping[str, Stateful]) -> TrainingState:
    """Give the parts of a training the state they had.

    Parameters
    ----------
    folder : Path
        Where the checkpoint is.
    identity : str
        Of the training, by `identity_of`.
    parts : mapping of str to Stateful
        As they were given to `write_checkpoint`; they are changed.

    Returns
    -------
    TrainingState
        How far the training was.

    Raises
    ------
    OutputError
        No checkpoint.
    ModelFileError
        A damaged one.
    SettingsError
        One of another training.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not has_checkpoint(folder):
        raise OutputError(
            f"nothing to resume: no checkpoint in {folder}",
            expected="the folder of a training that was stopped",
            remedy="start without --resume",
        )
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        if about.pop("identity") != identity:
            raise another_training(folder)
        generators = about.pop("generators", {})
        # clones: what is read is mapped to the file, which the next checkpoint replaces
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / CHECKPOINT).items()}
        for name, part in parts.items():
            start = f"{name}."
            own = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            if isinstance(part, torch.Generator):
                part.set_state(tensors[name])
            elif isinstance(part, torch.nn.Module):
                part.load_state_dict(own)
            elif isinstance(part, torch.optim.Optimizer):
                state: dict[int, dict[str, torch.Tensor]] = {}
                for key, value in own.items():
                    number, _, moment = key.partition(".")
                    state.setdefault(int(number), {})[moment] = value
                part.load_state_dict(part.state_dict() | {"state": state})
            else:
                part.bit_generator.state = generators[name]
        return TrainingState(**about)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        if isinstance(error, SettingsError):
            raise
        raise ModelFileError(
            f"the checkpoint in {folder} is damaged ({type(error).__name__}: {error})",
            expected=f"{_ABOUT} and {CHECKPOINT} as they were written",
            remedy="start anew in another folder",
        ) from error
