"""The loop that every training shares: steps, checks, early stopping, checkpoints, resuming, a log.

What is trained is a `TrainingTask`: its batches, losses, optimisers, learning rates and validation are its own.
"""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from fijibridge.core import progress
from fijibridge.core.checkpoint import TrainingState, read_checkpoint, write_checkpoint
from fijibridge.core.errors import OutputError, SettingsError

if TYPE_CHECKING:
    import torch

    from fijibridge.core.checkpoint import Stateful

log = logging.getLogger(__name__)

_BAR = 1000  # units of the progress bar of a training that ends by time

Result = TypeVar("Result")


@dataclass(frozen=True)
class TrainingLimits:
    """When a training is checked, and when it ends.

    Parameters
    ----------
    steps : int
        Number of steps; 0: by ``minutes``.
    minutes : float
        Time of all, without ``steps``.
    clock : {"wall", "cpu"}
        What measures the time.
    checks : int
        Number of checks over the whole training, evenly spread; without ``check_every``.
    check_every : int
        Steps between two checks; 0: by ``checks``.
    patience : int
        Checks without a better score after which training stops; 0: it never does.
    good_enough : float
        Score at which training stops.
    """

    steps: int = 0
    minutes: float = 0.0
    clock: Literal["wall", "cpu"] = "wall"
    checks: int = 1
    check_every: int = 0
    patience: int = 0
    good_enough: float = math.inf

    def share(self, at: TrainingState) -> float:
        """Share of the training that is done; 1 at its end."""
        return at.step / self.steps if self.steps else at.seconds / (60 * self.minutes)

    def check_due(self, at: TrainingState) -> bool:
        """Whether the step that was just done is followed by a check; the last one always is."""
        if self.check_every:
            return at.step % self.check_every == 0 or at.share >= 1
        return int(at.share * self.checks) > at.checks or at.share >= 1

    def stopped(self, at: TrainingState) -> bool:
        """Whether training ends before its time: the score is good enough, or no longer becomes better."""
        return at.best >= self.good_enough or (self.patience > 0 and at.waited >= self.patience)


@dataclass(frozen=True)
class Check(Generic[Result]):
    """What a check found.

    Parameters
    ----------
    row : dict of str to float
        For the log; the first entry is the number of steps.
    score : float
        The higher, the better.
    result : callable
        Makes what is kept; called where the score is the best so far.
    """

    row: dict[str, float]
    score: float
    result: Callable[[], Result]


@dataclass(frozen=True)
class Trained(Generic[Result]):
    """What a training came to.

    Parameters
    ----------
    at : TrainingState
        At the end.
    best : Result or None
        Of the best check; None where the task does not validate.
    """

    at: TrainingState
    best: Result | None


class TrainingTask(ABC, Generic[Result]):
    """What is trained, and how."""

    @abstractmethod
    def parts(self) -> Mapping[str, Stateful]:
        """All that a checkpoint must hold: networks, optimisers, random generators, by names without a dot."""

    @abstractmethod
    def step(self, at: TrainingState) -> Mapping[str, torch.Tensor]:
        """Do one step; its losses by name, scalars without gradients."""

    @abstractmethod
    def check(self, at: TrainingState, losses: Mapping[str, torch.Tensor]) -> Check[Result] | None:
        """Validate.

        Parameters
        ----------
        at : TrainingState
            After the last step.
        losses : mapping of str to torch.Tensor
            (steps,) each: what `step` returned since the last check.

        Returns
        -------
        Check or None
            None where there is nothing to validate with.
        """

    def save(self, result: Result, more: Callable[[Path], None]) -> None:
        """Write the best result to its folder, with what ``more`` writes into a folder; both or none of them.

        Parameters
        ----------
        result : Result
            Of the best check.
        more : callable
            Given the folder that is being written.
        """
        raise NotImplementedError

    def load(self) -> Result:
        """Read what `save` wrote."""
        raise NotImplementedError


def train(
    task: TrainingTask[Result], limits: TrainingLimits, *, folder: Path | None = None, identity: str = "",
    resume: bool = False,
) -> Trained[Result]:  # fmt: skip
    """Train until the number of steps or the time is reached, or the score no longer becomes better.

    Each check that is validated is followed by a checkpoint. Whatever ends the training in between, Ctrl-C included,
    it can be resumed from there, equal to the bit where the task's steps are. A checkpoint that cannot be written is
    told, and left out; but for the first, which says that there is no room for a result either.

    Parameters
    ----------
    task : TrainingTask
        What is trained.
    limits : TrainingLimits
        When it is checked, and when it ends.
    folder : Path, optional
        Where the task saves its results; without it there are no checkpoints.
    identity : str
        Of the training, by `identity_of`: a checkpoint of another one is refused.
    resume : bool
        Continue from the folder's checkpoint.

    Returns
    -------
    Trained
        The end of it, and the best result.

    Raises
    ------
    OutputError, ModelFileError, SettingsError
        No checkpoint to resume, a damaged one, one of another training; or losses that are not finite before there is
        any result.
    """
    import torch

    at = TrainingState()
    best: Result | None = None
    saved = resume
    if resume:
        assert folder is not None
        at = read_checkpoint(folder, identity, task.parts())
        best = task.load()
    clock = time.process_time if limits.clock == "cpu" else time.monotonic
    started = clock() - at.seconds
    at.share = limits.share(at)
    losses: list[Mapping[str, torch.Tensor]] = []
    with progress.bar("training", limits.steps or _BAR) as bar:
        shown = _shown(limits, at)
        bar.update(shown)
        while at.share < 1 and not limits.stopped(at):
            losses.append(task.step(at))
            at.step += 1
            at.seconds = clock() - started
            at.share = limits.share(at)
            bar.update(_shown(limits, at) - shown)
            shown = _shown(limits, at)
            if not limits.check_due(at):
                continue
            at.checks = int(at.share * limits.checks)
            since = {name: torch.stack([each[name] for each in losses]) for name in losses[0]}
            if not all(bool(values.isfinite().all()) for values in since.values()):
                _losses_not_finite(at, best is not None)
                break
            losses = []
            check = task.check(at, since)
            if check is None:
                continue
            at.rows.append(check.row)
            if best is None or check.score > at.best:
                at.best, at.waited, best = check.score, 0, check.result()
            else:
                at.waited += 1
            if folder is not None:
                try:
                    task.save(best, lambda new: write_checkpoint(new, at, identity, task.parts()))
                except OutputError as error:
                    if not saved:  # now, not after hours
                        raise
                    log.warning("step %d is not kept, so that it cannot be resumed from: %s", at.step, error.found)
                else:
                    saved = True
    if at.share < 1 and limits.stopped(at):
        log.info("training ended early, after %d steps: best score %g, %d checks ago", at.step, at.best, at.waited)
    return Trained(at, best)


def _shown(limits: TrainingLimits, at: TrainingState) -> int:
    """What the progress bar shows."""
    return at.step if limits.steps else int(_BAR * min(1.0, at.share))


def _losses_not_finite(at: TrainingState, has_result: bool) -> None:
    if not has_result:
        raise SettingsError(
            f"the loss is no finite number after {at.step} steps",
            expected="a loss that falls",
            remedy="choose a lower learning rate",
        )
    log.warning("training was stopped: its losses are no longer finite numbers; the best result is kept")


def average_weights(averaged: torch.nn.Module, module: torch.nn.Module, decay: float) -> None:
    """Exponential moving average of weights: change ``averaged`` towards ``module``.

    Parameters
    ----------
    averaged, module : torch.nn.Module
        Of one architecture. What is no floating-point number, such as a count, is copied.
    decay : float
        Share of the average that stays.
    """
    import torch

    with torch.no_grad():
        new = module.state_dict()
        for name, tensor in averaged.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(new[name], 1 - decay)
            else:
                tensor.copy_(new[name])
