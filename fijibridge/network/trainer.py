"""What is particular to the training of a network: batches, loss, learning rate and validation."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from fijibridge.core.checkpoint import TrainingState, write_log
from fijibridge.core.devices import torch_device, torch_threads
from fijibridge.core.training import Check, TrainingLimits, TrainingTask, average_weights, train
from fijibridge.network.augmentation import IGNORED, CropSampler
from fijibridge.network.file import load_network, save_network
from fijibridge.network.network import Network
from fijibridge.network.settings import NetworkSettings
from fijibridge.network.unet import DetectorNetwork
from fijibridge.network.validation import Validation

if TYPE_CHECKING:
    from fijibridge.core.checkpoint import Stateful

_AVERAGED = 0.995  # of the network that is kept: a running mean of the weights
_WARM_UP = 0.05  # share of the training in which the learning rate rises
_LAST_RATE = 0.005  # of the highest
_DECAY = 0.01  # of the weights
_LARGEST_GRADIENT = 1.0
_AHEAD = 3  # batches made ahead


class Trainer(TrainingTask[Network]):
    """A network, its optimiser and its data.

    Parameters
    ----------
    module : DetectorNetwork
        To train.
    network : Network
        What is known of it beside the weights.
    settings : NetworkSettings
        How.
    sources : list of (CropSampler, float)
        Where crops come from, and which share of them.
    frequencies : np.ndarray
        (K,) share of each class.
    validation : Validation, optional
        Without it the last network counts as the best.
    out : Path, optional
        Folder for network and checkpoints.
    identity : str
        Of the training, by `fijibridge.core.checkpoint.identity_of`.
    """

    def __init__(
        self, module: DetectorNetwork, network: Network, settings: NetworkSettings,
        sources: list[tuple[CropSampler, float]], frequencies: np.ndarray, validation: Validation | None,
        out: Path | None, identity: str,
    ) -> None:  # fmt: skip
        self.settings, self.validation = settings, validation
        self.network, self.out, self.identity = network, out, identity
        self.device = torch_device(settings.device)
        self.gpu = self.device.startswith("cuda")
        mixed = self.gpu and torch.cuda.is_bf16_supported() if settings.precision == "auto" else False
        self.mixed = mixed or settings.precision == "mixed"
        self.module = module.to(self.device).to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.module)
        flat = [tensor for tensor in self.module.parameters() if tensor.ndim < 2]  # biases and norms do not decay
        deep = [tensor for tensor in self.module.parameters() if tensor.ndim >= 2]
        groups = [{"params": deep, "weight_decay": _DECAY}, {"params": flat, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.rate)
        present = frequencies > 0
        weights = np.where(present, np.maximum(frequencies, 1e-6) ** -settings.class_balance, 1.0)
        weights /= (weights * frequencies).sum()  # a mean weight of 1 a pixel
        self.weights = torch.tensor(weights, dtype=torch.float32, device=self.device)
        self.batches = _Batches(sources, settings)

    def run(self, resume: bool) -> Network:
        """Train, and calibrate the best network."""
        settings = self.settings
        limits = TrainingLimits(
            settings.steps, settings.minutes, settings.clock, checks=settings.checks, patience=settings.patience
        )
        devices = [torch.device(self.device)] if self.gpu else []
        with torch_threads(_cores(settings.threads)), torch.random.fork_rng(devices=devices), self.batches:
            trained = train(self, limits, folder=self.out, identity=self.identity, resume=resume)
        at, best = trained.at, trained.best
        if self.validation is None or best is None:
            return self._network(self.averaged.state_dict())
        about = {"steps": at.step, "seconds": at.seconds, "best_mean_iou": at.best}
        with torch_threads(_cores(settings.threads)):
            temperature, found = self.validation.summary(best, self.device)
        network = self._network(best.state, temperature, about | found)
        if self.out is not None:
            save_network(network, self.out, overwrite=True, more=lambda folder: write_log(folder, at.rows))
        return network

    def parts(self) -> Mapping[str, Stateful]:
        """See :meth:`TrainingTask.parts`; batches need no state: each is a function of the seed and the step."""
        return {"network": self.module, "averaged": self.averaged, "optimiser": self.optimiser}

    # --- steps -------------------------------------------------------------------------------------------------------

    def _rate(self, reached: float) -> float:
        """Learning rate at a share of the training: up along a line, down along a cosine."""
        if reached < _WARM_UP:
            share = max(reached / _WARM_UP, 0.01)
        else:
            share = 0.5 * (1 + math.cos(math.pi * (reached - _WARM_UP) / (1 - _WARM_UP)))
        return self.settings.rate * max(share, _LAST_RATE)

    def step(self, at: TrainingState) -> dict[str, torch.Tensor]:
        """One step on a batch; its loss."""
        # for encoders that drop out at random
        torch.manual_seed((self.settings.seed * 1_000_003 + at.step) % 2**63)
        batch = self.batches.take(at.step)
        grey, present, target = (torch.from_numpy(part).to(self.device, non_blocking=True) for part in batch)
        self.module.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(at.share)
        with torch.autocast("cuda" if self.gpu else "cpu", torch.bfloat16, enabled=self.mixed):
            logits = self.module(grey.contiguous(memory_format=torch.channels_last), present)
        loss = self._loss(logits.float(), target)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), _LARGEST_GRADIENT)
        self.optimiser.step()
        average_weights(self.averaged, self.module, min(_AVERAGED, (1 + at.step) / (10 + at.step)))
        return {"loss": loss.detach()}

    def _loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross entropy and soft Dice over the labelled pixels of the batch."""
        known = target >= 0
        if not known.any():
            return logits.sum() * 0
        entropy = F.cross_entropy(logits, target, weight=self.weights, ignore_index=IGNORED, reduction="sum")
        entropy = entropy / self.weights[target[known]].sum().clamp_min(1e-6)
        shares = torch.softmax(logits, 1) * known[:, None]
        truth = F.one_hot(target.clamp_min(0), logits.shape[1]).movedim(-1, 1) * known[:, None]
        both = (shares * truth).sum((0, 2, 3))
        sizes = truth.sum((0, 2, 3))
        dice = (2 * both + 1) / (shares.sum((0, 2, 3)) + sizes + 1)
        there = sizes > 0
        return entropy + self.settings.dice_weight * (1 - dice[there].mean())

    # --- checks ------------------------------------------------------------------------------------------------------

    def check(self, at: TrainingState, losses: Mapping[str, torch.Tensor]) -> Check[Network] | None:
        """See :meth:`TrainingTask.check`; the score is the averaged network's mean IoU on the validation images."""
        if self.validation is None:
            return None
        network = self._network(self.averaged.state_dict())
        iou = self.validation.iou(network, self.device)
        mean = 0.0 if np.isnan(iou).all() else float(np.nanmean(iou))
        row = {"step": at.step, "seconds": at.seconds, "loss": float(losses["loss"].mean())}
        row |= {"rate": self._rate(at.share), "mean_iou": mean}
        row |= {f"iou_{name}": float(value) for name, value in zip(network.class_names, iou, strict=True)}
        return Check(row, mean, lambda: network)

    def save(self, result: Network, more: Callable[[Path], None]) -> None:
        """See :meth:`TrainingTask.save`."""
        assert self.out is not None
        save_network(result, self.out, overwrite=True, more=more)

    def load(self) -> Network:
        """See :meth:`TrainingTask.load`."""
        assert self.out is not None
        return self._network(load_network(self.out).state)  # a copy: the file is replaced by the next checkpoint

    def _network(
        self, state: dict[str, torch.Tensor], temperature: float | None = None, about: dict[str, Any] | None = None
    ) -> Network:
        known = self.network
        return Network(
            known.architecture, {name: tensor.detach().cpu().clone() for name, tensor in state.items()},
            known.class_names, known.detectors, known.normalisation,
            known.temperature if temperature is None else temperature, known.pixel_sizes,
            known.spacings, {**known.training, **(about or {})},
        )  # fmt: skip


def _cores(wanted: int) -> int:
    """Threads to use: as many as the process may, if none are wanted."""
    if wanted:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Batches:
    """Batches made ahead by other threads; each is a function of the seed and its step alone."""

    def __init__(self, sources: list[tuple[CropSampler, float]], settings: NetworkSettings) -> None:
        self.samplers = [sampler for sampler, _ in sources]
        self.shares = np.array([share for _, share in sources]) / sum(share for _, share in sources)
        self.settings = settings
        self.begun: dict[int, Future[tuple[np.ndarray, ...]]] = {}

    def __enter__(self) -> None:
        self.pool = ThreadPoolExecutor(_AHEAD)

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)

    def take(self, step: int) -> tuple[np.ndarray, ...]:
        """The batch of a step; those of the next ones are begun."""
        for ahead in range(step, step + _AHEAD):
            if ahead not in self.begun:
                self.begun[ahead] = self.pool.submit(self._make, ahead)
        return self.begun.pop(step).result()

    def _make(self, step: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([self.settings.seed, step])
        chosen = rng.choice(len(self.samplers), self.settings.batch, p=self.shares)
        return tuple(map(np.stack, zip(*(self.samplers[number].sample(rng) for number in chosen), strict=True)))
