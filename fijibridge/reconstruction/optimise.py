"""The optimisation: a soft volume, from coarse to fine, until its slices look like the exemplars."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core import progress
from fijibridge.core.devices import torch_device, torch_threads
from fijibridge.reconstruction.constraint import Constraint
from fijibridge.reconstruction.contacts import surplus
from fijibridge.reconstruction.cut import cut
from fijibridge.reconstruction.exemplars import Exemplars
from fijibridge.reconstruction.patches import PatchLoss
from fijibridge.reconstruction.settings import ReconstructionSettings
from fijibridge.reconstruction.slices import across, coarser, diagonal, one_hot, stretched, views
from fijibridge.reconstruction.statistics import StatisticsLoss
from fijibridge.reconstruction.vgg import VggLoss

if TYPE_CHECKING:
    import torch

    from fijibridge.weights.weights import Weights

log = logging.getLogger(__name__)

_COARSEST = 16  # voxels a side of the coarsest level
_FACTORS = (1, 2, 4, 8)
_RATE = 0.15  # Adam's, on logits
_SHARPEST = 4.0  # factor on the logits at the end of the binarisation ramp
_FORBIDDEN = -20.0  # added to a logit: a phase that may not be there
_SEPARATIONS = (0.4, 0.55, 0.7, 0.85)  # shares of the finest level's steps after which contacts are thinned
# the same under a constraint, which restores contacts
_CONSTRAINED_SEPARATIONS = (0.3, 0.5, 0.7, 0.85)
_OBLIQUE = 0.3  # weight of the slices along diagonals; those along the three axes have 1 together
_DIAGONAL = 0.75  # of the volume's side, along a diagonal
_MORE = 4  # times as many slices for the statistics as for features: statistics of a few are too uncertain
_SERIAL = 32**3  # voxels of a level up to which one thread works: several would wait for each other
_KEEP = 25  # steps between backups of the volume, to which it goes back when the loss is no longer finite


@dataclass
class State:
    """The state of an optimisation, from which it is resumed.

    Attributes
    ----------
    level, step : int
        Level (0: coarsest) and steps done in it.
    tensors : dict of str to torch.Tensor
        Logits, Adam's moments, the random generator's state, and the barrier.
    """

    level: int
    step: int
    tensors: dict[str, torch.Tensor] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Optimised:
    """A soft volume.

    Attributes
    ----------
    logits : np.ndarray
        (P, Z, Y, X) float32.
    fractions : np.ndarray
        (P,) of the soft volume, before the cut.
    notes : list of str
        Warnings.
    """

    logits: np.ndarray
    fractions: np.ndarray
    notes: list[str]


_Save = Callable[[Callable[[], State]], None]


def factors_of(shape: tuple[int, int, int], exemplars: Exemplars, constraint: Constraint | None = None) -> list[int]:
    """Downsampling factors of the levels.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X) of the volume.
    exemplars : Exemplars
        Their size limits the factors, too.
    constraint : Constraint, optional
        With its coarsest level.

    Returns
    -------
    list of int
        Coarsest first.
    """
    least = min(*shape, *(min(phases.index.shape[1:]) for phases in exemplars.images()))
    allowed = [factor for factor in _FACTORS if constraint is None or factor <= constraint.coarsest]
    return [factor for factor in allowed if factor == 1 or least // factor >= _COARSEST][::-1]


def steps_of(factor: int, settings: ReconstructionSettings) -> int:
    """Number of steps of a level: most at half resolution, where particles find their places.

    Parameters
    ----------
    factor : int
        Downsampling factor of the level.
    settings : ReconstructionSettings
        With the steps at full resolution.

    Returns
    -------
    int
    """
    return math.ceil(settings.steps * {1: 1.0, 2: 1.5}.get(factor, 0.5))


class _Level:
    """One resolution: its exemplars, losses and the size of its volume."""

    def __init__(
        self,
        factor: int,
        shape: tuple[int, int, int],
        exemplars: Exemplars,
        settings: ReconstructionSettings,
        weights: Weights | None,
        device: str,
        constraint: Constraint | None = None,
    ) -> None:
        import torch

        self.factor = factor
        depth, height, width = (max(1, size // factor) for size in shape)
        self.shape = depth, height, width
        self.steps = steps_of(factor, settings)
        phases = len(exemplars.first)
        self.fractions = constraint.fractions() if constraint else exemplars.fractions
        self.wanted = torch.tensor(self.fractions, dtype=torch.float32, device=device)
        self.constraint = constraint
        self._settings = settings
        self._losses: list[_Losses] = []
        least = 0
        for axis, sides in enumerate(((height, width), (depth, width), (depth, height))):
            if axis and exemplars.isotropic and min(sides) == least:
                self._losses.append(self._losses[0])
                continue
            least = min(sides)
            soft: list[torch.Tensor] = []
            for image in exemplars.images(axis):
                index = torch.from_numpy(image.index.astype(np.int64)).to(device)
                soft += views(coarser(one_hot(index, phases), factor), isotropic=exemplars.isotropic)
            self._losses.append(_losses(soft, sides, settings, weights))
        self._oblique: _Losses | None = None
        self._length = math.ceil(_DIAGONAL * min(self.shape))
        if exemplars.isotropic:
            seen = [stretched(view) for view in soft]
            plain = replace(settings, periodic=False)  # a diagonal does not close in itself
            self._oblique = _losses(seen, (self._length, min(self.shape)), plain, weights)

    def loss(self, volume: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Sum of all losses over random slices.

        Parameters
        ----------
        volume : torch.Tensor
            (P, Z, Y, X) probabilities.
        generator : torch.Generator
            On the CPU, for the choice of slices.

        Returns
        -------
        torch.Tensor
            Scalar.
        """
        import torch

        total = self._losses[0][2].fractions(volume, self.wanted)
        if self.constraint:
            total = total + self.constraint.loss(volume, self.factor)
        count = self._settings.slices_per_step
        for axis, losses in enumerate(self._losses):
            size = volume.shape[axis + 1]
            places = torch.randperm(size, generator=generator)[: _MORE * count].to(volume.device)
            total = total + _sum(losses, across(volume, axis, places), count, generator) / 3
        if self._oblique:
            axis = int(torch.randint(3, (), generator=generator))
            slices = diagonal(volume, axis, self._length, _MORE // 2 * count, generator)
            total = total + _OBLIQUE * _sum(self._oblique, slices, max(1, count // 2), generator)
        return total


_Losses = tuple[PatchLoss | None, VggLoss | None, StatisticsLoss]


def _losses(
    exemplars: list[torch.Tensor], sides: tuple[int, int], settings: ReconstructionSettings, weights: Weights | None
) -> _Losses:
    """The losses of slices of one kind."""
    return (
        PatchLoss(exemplars, periodic=settings.periodic) if settings.loss != "vgg19" else None,
        VggLoss(weights, exemplars, periodic=settings.periodic) if weights else None,
        StatisticsLoss(exemplars, sides, settings),
    )


def _sum(losses: _Losses, slices: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Statistics of all slices, texture of as many as `count`: statistics of a few are too uncertain."""
    import torch

    patches, vgg, terms = losses
    parts = list(terms(slices).values())
    if patches:
        parts.append(patches(slices[:count], generator))
    if vgg:
        parts.append(vgg(slices[:count]))
    return reduce(torch.add, parts)


def optimise(
    exemplars: Exemplars,
    shape: tuple[int, int, int],
    settings: ReconstructionSettings,
    *,
    weights: Weights | None = None,
    known: np.ndarray | None = None,
    constraint: Constraint | None = None,
    seed: int | None = None,
    state: State | None = None,
    save: _Save | None = None,
) -> Optimised:
    """Make a soft volume whose slices look like the exemplars.

    Logits of the phases start at random, at the coarsest of several levels. Each step takes random slices across the
    three axes, compares them with the exemplars (features of a VGG19, patches, statistics), and updates all logits by
    Adam (Kingma and Ba 2015). At full resolution the logits are multiplied by a growing factor, so that every voxel
    becomes one phase, and surplus contacts between particles, which the exemplars do not have, are removed.

    Parameters
    ----------
    exemplars : Exemplars
        What slices should look like.
    shape : tuple of int
        (Z, Y, X) of the volume.
    settings : ReconstructionSettings
        Losses, steps and weights.
    weights : Weights, optional
        Of VGG19; needed unless ``loss="patches"``.
    known : np.ndarray, optional
        (Z, Y, X) int16: fixed phase indices, -1 where the volume is free.
    constraint : Constraint, optional
        What the volume must agree with; it determines the fractions of the phases.
    seed : int, optional
        In place of the settings' (for a block).
    state : State, optional
        From which to continue.
    save : callable, optional
        Called after each step with a function that returns the `State`, which takes a while: it calls that one when it
        wants to save.

    Returns
    -------
    Optimised
    """
    import torch

    device = torch_device(settings.device)
    generator = torch.Generator().manual_seed(settings.seed if seed is None else seed)
    factors = factors_of(shape, exemplars, constraint)
    given = _barrier(known, len(exemplars.first), device)
    notes: list[str] = []
    logits: torch.Tensor | None = None
    barrier: torch.Tensor | None = None
    first = 0
    if state is not None:
        first = state.level
        logits = state.tensors["logits"].to(device)
        generator.set_state(state.tensors["generator"])
    total = sum(steps_of(factor, settings) for factor in factors)
    # on a GPU, of several algorithms of a convolution those that give the same numbers each time
    same = torch.backends.cudnn.flags(deterministic=True, benchmark=False)
    with progress.bar("reconstructing", total) as bar, same:
        bar.update(sum(steps_of(factor, settings) for factor in factors[:first]))
        for number in range(first, len(factors)):
            level = _Level(factors[number], shape, exemplars, settings, weights, device, constraint)
            resumed = state if number == first else None
            if resumed is None:
                logits = _started(logits, level, generator, constraint)
                barrier = None if given is None else _resized(given, level.shape)
            else:
                barrier = resumed.tensors["barrier"].to(device) if "barrier" in resumed.tensors else None
                bar.update(resumed.step)
            assert logits is not None  # the first level has made them, or the state has them
            run = _Run(level, number, logits, barrier, generator, settings=settings, exemplars=exemplars, notes=notes)
            with torch_threads(1 if math.prod(level.shape) <= _SERIAL else 0):
                logits, barrier = run.go(resumed, save, bar)
            if run.broken:
                logits = _resized(logits, shape)
                barrier = None if given is None else _resized(given, shape)
                break
    assert logits is not None
    with torch.no_grad():
        allowed = logits if barrier is None else logits + barrier
        fractions = torch.softmax(allowed * _SHARPEST, 0).mean((1, 2, 3))
    return Optimised(allowed.cpu().numpy(), fractions.cpu().numpy().astype(np.float64), notes)


class _Run:
    """The steps of one level."""

    def __init__(
        self,
        level: _Level,
        number: int,
        logits: torch.Tensor,
        barrier: torch.Tensor | None,
        generator: torch.Generator,
        *,
        settings: ReconstructionSettings,
        exemplars: Exemplars,
        notes: list[str],
    ) -> None:
        self.level, self.number, self.generator = level, number, generator
        self.logits, self.barrier = logits.clone().requires_grad_(True), barrier
        self.settings, self.exemplars, self.notes = settings, exemplars, notes
        self.broken = False
        self.done = 0

    def go(
        self, resumed: State | None, save: _Save | None, bar: progress.Bar
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Do the remaining steps.

        Parameters
        ----------
        resumed : State or None
            From which to continue.
        save : callable, optional
            As `optimise` takes it.
        bar : Bar
            Progress, updated each step.

        Returns
        -------
        logits : torch.Tensor
            (P, Z, Y, X).
        barrier : torch.Tensor or None
            (P, Z, Y, X) to be added to them: where phases are fixed or forbidden.
        """
        import torch

        optimiser = torch.optim.Adam([self.logits], lr=_RATE, betas=(0.9, 0.99))
        self.optimiser = optimiser
        kept = self.logits.detach().clone()
        if resumed is not None:
            self.done = resumed.step
            if resumed.step:
                names = ("exp_avg", "exp_avg_sq", "step")
                optimiser.state[self.logits] = {
                    name: resumed.tensors[name].to(self.logits.device if name != "step" else "cpu") for name in names
                }
        steps = self.level.steps
        finest = self.level.factor == 1
        shares = _CONSTRAINED_SEPARATIONS if self.level.constraint else _SEPARATIONS
        parting = {math.ceil(share * steps) for share in shares} if finest and self.settings.separate else set()
        while self.done < steps:
            if self.done in parting:
                self._separate()
            spent = self.done / steps
            sharp = 1 + (_SHARPEST - 1) * max(0.0, (spent - 0.4) / 0.6) if finest else 1.0
            optimiser.param_groups[0]["lr"] = _RATE * (1 if spent < 0.7 else 1 - 0.8 * (spent - 0.7) / 0.3)
            allowed = self.logits if self.barrier is None else self.logits + self.barrier
            loss = self.level.loss(torch.softmax(allowed * sharp, 0), self.generator)
            if not torch.isfinite(loss):
                self._go_back(kept)
                break
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            self.done += 1
            if self.done % _KEEP == 0 and bool(torch.isfinite(self.logits).all()):
                kept.copy_(self.logits.detach())
            if save is not None:
                save(self.state)
            bar.update(1)
        return self.logits.detach(), self.barrier

    def _go_back(self, kept: torch.Tensor) -> None:
        import torch

        self.broken = True
        with torch.no_grad():
            self.logits.copy_(kept)
        note = (
            f"the loss was no longer a finite number at step {self.done + 1} of {self.level.steps} of level "
            f"{self.number + 1}: the volume is that of at most {_KEEP} steps before; use smaller weights"
        )
        log.warning("%s", note)
        self.notes.append(note)

    def _separate(self) -> None:
        """Forbid a phase at contacts that the exemplars do not have; the remaining steps adapt the surroundings."""
        import torch

        allowed = self.logits if self.barrier is None else self.logits + self.barrier
        flat = allowed.detach().flatten(1).cpu().numpy()
        index = cut(flat, self.level.fractions).reshape(self.level.shape)
        for phase, _ in self.exemplars.first:
            kept = self.level.constraint.surrounded(phase) if self.level.constraint else None
            rims = surplus(index, self.exemplars, phase, self.settings.seed + self.done, kept)
            if rims is None:
                continue
            where = torch.from_numpy(rims).to(self.logits.device)
            if self.barrier is None:
                self.barrier = torch.zeros_like(self.logits)
            # not where the phase is fixed or another phase was forbidden: one phase must stay possible
            self.barrier[phase][where & (self.barrier.amin(0) >= 0)] = _FORBIDDEN

    def state(self) -> State:
        """A copy of the state."""
        moments = self.optimiser.state[self.logits]
        tensors = {
            "logits": self.logits.detach().cpu().clone(),
            "generator": self.generator.get_state(),
            **{name: moments[name].detach().cpu().clone() for name in ("exp_avg", "exp_avg_sq", "step")},
        }
        if self.barrier is not None:
            tensors["barrier"] = self.barrier.cpu().clone()
        return State(self.number, self.done, tensors)


def _barrier(known: np.ndarray | None, phases: int, device: str) -> torch.Tensor | None:
    """(P, Z, Y, X) added to the logits: a fixed phase wins, nothing is added where the volume is free."""
    import torch

    if known is None:
        return None
    index = torch.from_numpy(known.astype(np.int64)).to(device)
    return torch.stack([(index == phase).float() - (index >= 0).float() for phase in range(phases)]) * -_FORBIDDEN


def _resized(tensor: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """(P, Z, Y, X) at another size: averaged to a smaller, interpolated to a larger one."""
    import torch.nn.functional as F

    if tensor.shape[1:] == tuple(shape):
        return tensor
    if tensor.shape[1] > shape[0]:
        return F.adaptive_avg_pool3d(tensor[None], shape)[0]
    return F.interpolate(tensor[None], size=shape, mode="trilinear")[0]


def _started(
    logits: torch.Tensor | None, level: _Level, generator: torch.Generator, constraint: Constraint | None
) -> torch.Tensor:
    """The logits a level begins with: random ones, or the coarser level's, sharpened, with some noise."""
    import torch

    device = level.wanted.device
    noise = torch.randn(len(level.wanted), *level.shape, generator=generator).to(device)
    if logits is None and constraint:
        return torch.from_numpy(constraint.start(level.factor)).to(device) + 0.5 * noise
    if logits is None:
        return level.wanted.log()[:, None, None, None] + 0.5 * noise
    return 1.3 * _resized(logits, level.shape) + 0.3 * noise
