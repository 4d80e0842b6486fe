"""Training of the GAN: a generator that makes fine volumes of coarse ones, against a critic of their slices."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from fijibridge.core.checkpoint import TrainingState, check_new, identity_of
from fijibridge.core.errors import SettingsError
from fijibridge.core.options import Device, Seed
from fijibridge.core.params import Param, check
from fijibridge.core.training import Check, TrainingLimits, TrainingTask, average_weights, train
from fijibridge.superresolution.model import MODEL, GanModel, load_model, shares_of
from fijibridge.superresolution.settings import Iterations

if TYPE_CHECKING:
    import torch

    from fijibridge.core.checkpoint import Stateful
    from fijibridge.reconstruction.exemplars import Exemplars
    from fijibridge.superresolution.agreement import Agreement
    from fijibridge.superresolution.volume import Tie

_BETAS = (0.0, 0.9)
_PENALTY = 10.0  # weight of the gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028)
_CRITIC_STEPS = 5
_AVERAGED = 0.995  # of the generator that is kept: a running mean of its weights
_AGREEMENT = 0.05  # brings the anchor's loss to the order of the critic's
_CHECKED = 24  # coarse voxels a side of the volume that is measured
_GOOD = 0.01  # mean error of fractions and surface at which training may stop
_FREE = ("iterations", "patience", "check_every", "device")  # what may differ when a training is resumed

Width = Annotated[int, Param("channels of the networks' first layers", low=8, high=256)]
Batch = Annotated[int, Param("crops a step", low=1, high=64)]
Crop = Annotated[int, Param("side of a crop", low=4, high=64, unit="coarse voxels")]
Patience = Annotated[int, Param("checks without a better result after which training stops", low=1)]
CheckEvery = Annotated[int, Param("steps between two checks", low=1)]


@dataclass(frozen=True)
class TrainingSettings:
    """How the GAN is trained.

    Raises
    ------
    SettingsError
        A value outside its range.
    """

    iterations: Iterations = 3000
    width: Width = 32
    batch: Batch = 2
    crop: Crop = 12
    rate: Annotated[float, Param("learning rate", low=1e-6, high=0.1)] = 2e-4
    check_every: CheckEvery = 50
    patience: Patience = 20
    seed: Seed = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        check(type(self), vars(self))


def train_gan(
    tie: Tie,
    exemplars: Exemplars,
    settings: TrainingSettings | None = None,
    *,
    out: Path,
    resume: bool = False,
    overwrite: bool = False,
    weight: float = 1.0,
) -> GanModel:
    """Train a generator on one coarse volume and fine slices, with a Wasserstein loss and a gradient penalty.

    The critic compares slices of generated volumes, across all three axes, with crops of the fine slices, both turned
    and mirrored; the generator is also held to agree with the coarse volume in the phases that this shows. Every so
    often a volume is made and its fractions and surface are compared with the wanted fractions and the slices; the
    best generator is kept, and training stops when none better comes.

    Parameters
    ----------
    tie : Tie
        By `tied`.
    exemplars : Exemplars
        Fine slices with all phases.
    settings : TrainingSettings, optional
        How.
    out : Path
        Folder of the model; written at each check (with a checkpoint, to resume), with ``training.csv``.
    resume : bool
        Continue from the folder's checkpoint.
    overwrite : bool
        Replace a model.
    weight : float
        Of the agreement.

    Returns
    -------
    GanModel
        The best one.

    Raises
    ------
    OutputError
        The folder exists, or nothing is there to resume.
    SettingsError
        Slices or a coarse volume smaller than a crop, or a checkpoint of another training.
    """
    check_new(Path(out), MODEL, overwrite=overwrite or resume)
    return _GanTraining(tie, exemplars, settings or TrainingSettings(), Path(out), weight).run(resume)


class _GanTraining(TrainingTask[GanModel]):
    """The networks, their optimisers and random generators."""

    def __init__(self, tie: Tie, exemplars: Exemplars, settings: TrainingSettings, out: Path, weight: float) -> None:
        import torch

        from fijibridge.core.devices import torch_device
        from fijibridge.superresolution.networks import Architecture, Critic, Generator

        self.tie, self.exemplars, self.settings, self.out, self.weight = tie, exemplars, settings, out, weight
        self.anchor = tie.agreement
        coarse, factor = self.anchor.coarse, self.anchor.factor
        self.device = torch_device(settings.device)
        self.crop = min(settings.crop, *coarse.shape)
        side = self.crop * factor
        smallest = min(min(image.index.shape[1:]) for image in exemplars.images())
        if smallest < side or side < 24:
            raise SettingsError(
                f"crops of {self.crop} coarse voxels are {side} fine pixels; the smallest slice has {smallest}",
                expected="at least 24 fine pixels, and slices as large as a crop",
                remedy="choose another crop, or take larger slices",
            )
        architecture = Architecture(len(coarse.groups), len(exemplars.first), factor, settings.width)
        self.architecture = architecture
        with torch.random.fork_rng(devices=[]):  # a user's random numbers stay as they are
            torch.manual_seed(settings.seed)
            generator, averaged = Generator(architecture), Generator(architecture)
            critic = Critic(architecture.phases, settings.width)
        averaged.load_state_dict(generator.state_dict())
        self.generator, self.averaged = generator.to(self.device), averaged.to(self.device)
        self.critic = critic.to(self.device)
        make = torch.optim.Adam
        self.generator_steps = make(self.generator.parameters(), lr=settings.rate, betas=_BETAS)
        self.critic_steps = make(self.critic.parameters(), lr=settings.rate, betas=_BETAS)
        self.random = torch.Generator(self.device).manual_seed(settings.seed)
        self.rng = np.random.default_rng(settings.seed)
        self.slices = [self._one_hot(image.index[0]) for image in exemplars.images()]
        self.wanted_surface = np.mean(
            [_surface(image.index, architecture.phases) for image in exemplars.images()], axis=0
        )

    def _one_hot(self, plane: np.ndarray) -> torch.Tensor:
        import torch

        from fijibridge.reconstruction.slices import one_hot

        return one_hot(torch.from_numpy(plane.astype(np.int64)), self.architecture.phases).to(self.device)

    def run(self, resume: bool) -> GanModel:
        """Train until the end, a good result, or no better one for long."""
        settings = self.settings
        limits = TrainingLimits(
            settings.iterations, check_every=settings.check_every, patience=settings.patience, good_enough=-_GOOD
        )
        identity = identity_of(settings, [self.anchor.digest(), self.weight], free=_FREE)
        trained = train(self, limits, folder=self.out, identity=identity, resume=resume)
        assert trained.best is not None
        return trained.best

    def parts(self) -> Mapping[str, Stateful]:
        """See :meth:`TrainingTask.parts`."""
        return {
            "generator": self.generator, "averaged": self.averaged, "critic": self.critic,
            "generator_steps": self.generator_steps, "critic_steps": self.critic_steps, "random": self.random,
            "rng": self.rng,
        }  # fmt: skip

    def step(self, at: TrainingState) -> dict[str, torch.Tensor]:
        """Several steps of the critic and one of the generator."""
        import torch

        critic = penalty = torch.zeros(())
        for _ in range(_CRITIC_STEPS):
            with torch.no_grad():
                fake = self._slices_of(self._made()[0])
            real = self._real(len(fake))
            with self._faster():
                critic = self.critic(fake).mean() - self.critic(real).mean()
            penalty = self._penalty(real, fake)
            self.critic_steps.zero_grad(set_to_none=True)
            (critic.float() + _PENALTY * penalty).backward()
            self.critic_steps.step()
        made, parts = self._made()
        agreement = torch.zeros((), device=self.device)
        for part, volume in zip(parts, made, strict=True):
            agreement = agreement + part.loss(volume, 1, disagreement_alone=True)
        agreement = agreement / len(parts)
        with self._faster():
            generator = -self.critic(self._slices_of(made)).mean()
        self.generator_steps.zero_grad(set_to_none=True)
        (generator.float() + self.weight * _AGREEMENT * agreement).backward()
        self.generator_steps.step()
        average_weights(self.averaged, self.generator, min(_AVERAGED, at.step / (at.step + 10)))
        losses = {"critic": critic, "penalty": penalty, "generator": generator, "agreement": agreement}
        return {name: loss.detach().float() for name, loss in losses.items()}

    def _faster(self) -> AbstractContextManager[Any]:
        """Mixed precision on a GPU."""
        import torch

        gpu = self.device.startswith("cuda")
        return torch.autocast("cuda" if gpu else "cpu", torch.bfloat16, enabled=gpu)

    def _made(self) -> tuple[torch.Tensor, list[Agreement]]:
        """(N, P, Z, Y, X) probabilities for crops of the coarse volume, and the crops' agreements."""
        import torch

        from fijibridge.superresolution.networks import random_noise

        shape, factor, side = self.anchor.coarse.shape, self.anchor.factor, self.crop
        parts, given = [], []
        for _ in range(self.settings.batch):
            corner = [int(self.rng.integers(0, size - side + 1)) for size in shape]
            part = self.anchor.part(tuple(slice(c * factor, (c + side) * factor) for c in corner))
            parts.append(part)
            given.append(torch.from_numpy(shares_of(part.coarse)))
        noise = random_noise(self.architecture, len(given), (side,) * 3, self.random)
        with self._faster():
            logits = self.generator(torch.stack(given).to(self.device), noise)
        return torch.softmax(logits.float(), 1), parts

    def _slices_of(self, volumes: torch.Tensor) -> torch.Tensor:
        """(M, P, Y, X) slices across all axes; as many a volume as a crop has coarse voxels."""
        import torch

        found = []
        size = volumes.shape[-1]
        for axis in range(3):
            places = torch.randperm(size, generator=self.random, device=self.device)[: max(1, self.crop // 3)]
            found.append(volumes.index_select(axis + 2, places).movedim(axis + 2, 1).flatten(0, 1))
        return torch.cat(found)

    def _real(self, count: int) -> torch.Tensor:
        """(count, P, Y, X) crops of the fine slices, turned and mirrored where these stand for all directions."""
        import torch

        side = self.crop * self.anchor.factor
        found = []
        for _ in range(count):
            image = self.slices[int(self.rng.integers(len(self.slices)))]
            y, x = (int(self.rng.integers(0, size - side + 1)) for size in image.shape[1:])
            piece = image[:, y : y + side, x : x + side].rot90(int(self.rng.integers(4)), (1, 2))
            found.append(piece.flip(2) if self.rng.random() < 0.5 else piece)
        return torch.stack(found)

    def _penalty(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        import torch

        share = torch.rand(len(real), 1, 1, 1, generator=self.random, device=self.device)
        mixed = (share * real + (1 - share) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.critic(mixed).sum(), mixed, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    def check(self, at: TrainingState, losses: Mapping[str, torch.Tensor]) -> Check[GanModel]:
        """See :meth:`TrainingTask.check`; a volume is made and measured.

        The score is minus the mean relative error of its phase fractions and of its surface in slices.
        """
        import torch

        anchor, size = self.anchor, [min(side, _CHECKED) * self.anchor.factor for side in self.anchor.coarse.shape]
        part = anchor.part((slice(0, size[0]), slice(0, size[1]), slice(0, size[2])))
        model = self._model(copy.deepcopy(self.averaged).state_dict())
        logits = model.logits(part.coarse, self.settings.seed, device=self.device)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        wanted = part.fractions()
        index = logits.argmax(0)
        shares = np.bincount(index.ravel(), minlength=len(wanted)) / index.size
        present = wanted > 1e-4
        fractions = float(np.abs(shares / np.maximum(wanted, 1e-6) - 1)[present].mean())
        surface = float(np.abs(_surface(index, len(wanted)) / self.wanted_surface - 1).mean())
        errors = {"fraction_error": fractions, "surface_error": surface}
        last = {name: float(values[-1]) for name, values in losses.items()}
        row = {"iteration": at.step, **last, **errors, "seconds": at.seconds}

        def result() -> GanModel:
            return self._model(model.state, _offsets(logits, wanted), {"iteration": at.step, **errors})

        return Check(row, -(fractions + surface) / 2, result)

    def save(self, result: GanModel, more: Callable[[Path], None]) -> None:
        """See :meth:`TrainingTask.save`."""
        result.save(self.out, overwrite=True, more=more)

    def load(self) -> GanModel:
        """See :meth:`TrainingTask.load`."""
        return load_model(self.out)

    def _model(
        self, state: dict[str, torch.Tensor], offsets: np.ndarray | None = None, about: dict[str, Any] | None = None
    ) -> GanModel:
        first = self.exemplars.first
        about = {**(about or {}), "settings": asdict(self.settings), "agreement": self.weight}
        return GanModel(
            self.architecture, {name: tensor.cpu() for name, tensor in state.items()},
            tuple(image.index[0] for image in self.exemplars.images()), first.names, first.values,
            self.anchor.coarse.groups, np.zeros(len(first)) if offsets is None else offsets, first.spacing[2],
            first.unit, about,
        )  # fmt: skip


def _surface(index: np.ndarray, phases: int) -> np.ndarray:
    """(P,) how often a step of one voxel leads out of or into each phase, over the axes of slices."""
    axes = [axis for axis in range(index.ndim) if index.shape[axis] > 1]
    found = np.zeros(phases)
    for phase in range(phases):
        mask = index == phase
        found[phase] = np.mean([np.diff(mask, axis=axis).mean() for axis in axes])
    return found


def _offsets(logits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(P,) offsets on logits with which the largest gives the wanted fractions."""
    from fijibridge.reconstruction.cut import balanced

    return balanced(logits.reshape(len(logits), -1), wanted)[:, 0].astype(np.float64)
