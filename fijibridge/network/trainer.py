"""The loop of a network's training: batches, loss, schedule, checks and checkpoints."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from fijibridge import progress
from fijibridge.devices import torch_device, torch_threads
from fijibridge.errors import SettingsError
from fijibridge.network.augmentation import IGNORED, CropSampler
from fijibridge.network.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from fijibridge.network.file import save_network
from fijibridge.network.network import Network
from fijibridge.network.settings import NetworkSettings
from fijibridge.network.validation import Validation

log = logging.getLogger(__name__)

_AVERAGED = 0.995  # of the network that is kept: a running mean of the weights
_WARM_UP = 0.05  # share of the training in which the learning rate rises
_LAST_RATE = 0.005  # of the highest
_DECAY = 0.01  # of the weights
_LARGEST_GRADIENT = 1.0
_AHEAD = 3  # batches made ahead


class Trainer:
    """A network, its optimiser and what has been reached.

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
        Of the training, by `digest_of`.
    """

    def __init__(
        self, module: Any, network: Network, settings: NetworkSettings, sources: list[tuple[CropSampler, float]],
        frequencies: np.ndarray, validation: Validation | None, out: Path | None, identity: str,
    ) -> None:  # fmt: skip
        self.settings, self.sources, self.validation = settings, sources, validation
        self.network, self.out, self.identity = network, out, identity
        self.device = torch_device(settings.device)
        self.gpu = self.device.startswith("cuda")
        mixed = self.gpu and torch.cuda.is_bf16_supported() if settings.precision == "auto" else False
        self.mixed = mixed or settings.precision == "mixed"
        self.module = module.to(self.device, memory_format=torch.channels_last)
        self.averaged = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        flat = [tensor for tensor in self.module.parameters() if tensor.ndim < 2]  # biases and norms do not decay
        deep = [tensor for tensor in self.module.parameters() if tensor.ndim >= 2]
        groups = [{"params": deep, "weight_decay": _DECAY}, {"params": flat, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.rate)
        present = frequencies > 0
        weights = np.where(present, np.maximum(frequencies, 1e-6) ** -settings.class_balance, 1.0)
        weights /= (weights * frequencies).sum()  # a mean weight of 1 a pixel
        self.weights = torch.tensor(weights, dtype=torch.float32, device=self.device)
        self.at = Checkpoint()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self, resume: bool) -> Network:
        """Train until the end of the time or of the steps, or no better result for long."""
        settings = self.settings
        if resume:
            assert self.out is not None
            self.at = read_checkpoint(self.out, self.identity).restore(self.module, self.averaged, self.optimiser)
        at = self.at
        clock = time.process_time if settings.clock == "cpu" else time.monotonic
        started = clock() - at.seconds
        devices = [torch.device(self.device)] if self.gpu else []
        with ExitStack() as stack:
            stack.enter_context(torch_threads(_cores(settings.threads)))
            stack.enter_context(torch.random.fork_rng(devices=devices))
            bar = stack.enter_context(progress.bar("training", 1000))
            batches = stack.enter_context(_Batches(self.sources, settings, at.step))
            shown, reached = 0, self._reached(clock() - started)
            while reached < 1 and at.waited < settings.patience and not at.failed:
                at.losses.append(self._step(next(batches), reached))
                at.step += 1
                at.seconds = clock() - started
                reached = self._reached(at.seconds)
                bar.update(int(1000 * min(1.0, reached)) - shown)
                shown = int(1000 * min(1.0, reached))
                if int(reached * settings.checks) > at.checks or reached >= 1:
                    at.checks = int(reached * settings.checks)
                    self._check(reached)
        return self._end()

    def _reached(self, seconds: float) -> float:
        """Share of the training that is done."""
        if self.settings.steps:
            return self.at.step / self.settings.steps
        return seconds / (60 * self.settings.minutes)

    def _rate(self, reached: float) -> float:
        """Learning rate: up along a line, down along a cosine."""
        if reached < _WARM_UP:
            share = max(reached / _WARM_UP, 0.01)
        else:
            share = 0.5 * (1 + math.cos(math.pi * (reached - _WARM_UP) / (1 - _WARM_UP)))
        return self.settings.rate * max(share, _LAST_RATE)

    def _step(self, batch: tuple[np.ndarray, ...], reached: float) -> torch.Tensor:
        """One step on a batch; its loss."""
        # for encoders that drop out at random
        torch.manual_seed((self.settings.seed * 1_000_003 + self.at.step) % 2**63)
        grey, present, target = (torch.from_numpy(part).to(self.device, non_blocking=True) for part in batch)
        self.module.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(reached)
        with torch.autocast("cuda" if self.gpu else "cpu", torch.bfloat16, enabled=self.mixed):
            logits = self.module(grey.contiguous(memory_format=torch.channels_last), present)
        loss = self._loss(logits.float(), target)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), _LARGEST_GRADIENT)
        self.optimiser.step()
        share = 1 - min(_AVERAGED, (1 + self.at.step) / (10 + self.at.step))
        with torch.no_grad():
            for name, tensor in self.module.state_dict().items():
                if tensor.is_floating_point():
                    self.averaged[name].lerp_(tensor, share)
                else:
                    self.averaged[name].copy_(tensor)
        return loss.detach()

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

    def _network(
        self, state: dict[str, torch.Tensor], temperature: float | None = None, about: dict[str, Any] | None = None
    ) -> Network:
        told = self.network
        return Network(
            told.architecture, {name: tensor.detach().cpu().clone() for name, tensor in state.items()},
            told.class_names, told.detectors, told.normalisation,
            told.temperature if temperature is None else temperature, told.pixel_sizes,
            {**told.training, **(about or {})},
        )  # fmt: skip

    def _check(self, reached: float) -> None:
        """Look at the validation images, keep what is best, write a checkpoint."""
        at = self.at
        if not all(map(math.isfinite, torch.stack(at.losses).tolist())):
            at.failed = True
            return
        if self.validation is None:
            at.losses = []
            return
        network = self._network(self.averaged)
        iou = self.validation.iou(network, self.device)
        mean = 0.0 if np.isnan(iou).all() else float(np.nanmean(iou))
        row = {"step": at.step, "seconds": at.seconds, "loss": float(torch.stack(at.losses).mean())}
        row |= {"rate": self._rate(reached), "mean_iou": mean}
        row |= {f"iou_{name}": float(value) for name, value in zip(network.class_names, iou, strict=True)}
        at.rows.append(row)
        at.losses = []
        if mean > at.best:
            at.best, at.waited, at.best_state = mean, 0, network.state
        else:
            at.waited += 1
        if self.out is not None:
            assert at.best_state is not None
            kept = self._network(at.best_state)
            save_checkpoint(kept, self.out, at, self.identity, self.module, self.averaged, self.optimiser)

    def _end(self) -> Network:
        """Calibrate the best network, and tell what it reaches."""
        at = self.at
        if at.failed:
            if at.best_state is None:
                raise SettingsError(
                    f"the loss is no finite number after {at.step} steps",
                    expected="a loss that falls",
                    remedy=f"choose a lower learning rate than {self.settings.rate:g}",
                )
            log.warning("training was stopped: its loss is no longer a finite number; the best is kept")
        if self.validation is None or at.best_state is None:
            return self._network(self.averaged)
        if at.waited >= self.settings.patience:
            log.info("training was stopped: no better result for %d checks", at.waited)
        about = {"steps": at.step, "seconds": at.seconds, "best_mean_iou": at.best}
        with torch_threads(_cores(self.settings.threads)):
            temperature, found = self.validation.summary(self._network(at.best_state), self.device)
        network = self._network(at.best_state, temperature, about | found)
        if self.out is not None:
            save_network(network, self.out, overwrite=True, more=at.write_log)
        return network


def _cores(wanted: int) -> int:
    """Threads to use: as many as the process may, if none are wanted."""
    if wanted:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Batches:
    """Batches made ahead by other threads; each is a function of the seed and its number alone."""

    def __init__(self, sources: list[tuple[CropSampler, float]], settings: NetworkSettings, first: int) -> None:
        self.samplers = [sampler for sampler, _ in sources]
        self.shares = np.array([share for _, share in sources]) / sum(share for _, share in sources)
        self.settings, self.next = settings, first
        self.pool = ThreadPoolExecutor(_AHEAD)
        self.waiting: deque[Any] = deque()

    def __enter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        return self._batches()

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)

    def _batches(self) -> Iterator[tuple[np.ndarray, ...]]:
        while True:
            while len(self.waiting) < _AHEAD:
                self.waiting.append(self.pool.submit(self._make, self.next))
                self.next += 1
            yield self.waiting.popleft().result()

    def _make(self, step: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([self.settings.seed, step])
        chosen = rng.choice(len(self.samplers), self.settings.batch, p=self.shares)
        return tuple(map(np.stack, zip(*(self.samplers[number].sample(rng) for number in chosen), strict=True)))
