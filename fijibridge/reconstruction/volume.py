"""A 3D volume from 2D exemplars: the whole way, in one piece or block by block."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.errors import OutputError, SettingsError
from fijibridge.metrology.phases import Phases
from fijibridge.output import output_file
from fijibridge.reconstruction.anchor import Anchor
from fijibridge.reconstruction.blocks import blocks_of, largest_block, memory_needed
from fijibridge.reconstruction.exemplars import Exemplars
from fijibridge.reconstruction.settings import ReconstructionSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fijibridge.reconstruction.optimise import State
    from fijibridge.weights import Weights

log = logging.getLogger(__name__)

_FREE = 255  # a voxel that no block has made yet
_SAVE_S = 20.0  # seconds between two saved states, or 20 times what saving takes
_SMALLEST = 16  # voxels a side
_ROUNDS = 60  # cuts until a volume agrees with its anchor
_SHARE = 0.8  # of the memory that may be used


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A volume made from exemplars.

    Attributes
    ----------
    phases : Phases
        (Z, Y, X): the exemplars' values and names.
    exemplars : Exemplars
        What it was made from.
    settings : ReconstructionSettings
        How.
    soft_fractions : np.ndarray
        (phases,) float64: fractions before the final cut, mean over blocks.
    notes : tuple of str
        What a user should know.
    """

    phases: Phases
    exemplars: Exemplars
    settings: ReconstructionSettings
    soft_fractions: np.ndarray
    notes: tuple[str, ...] = ()


def reconstruct(
    exemplars: Exemplars,
    shape: tuple[int, int, int],
    settings: ReconstructionSettings | None = None,
    *,
    weights: Weights | None = None,
    anchor: Anchor | None = None,
    state_file: Path | None = None,
    resume: bool = False,
    keep: Path | None = None,
) -> Reconstruction:
    """Make a volume whose slices look like the exemplars.

    Parameters
    ----------
    exemplars : Exemplars
        By `check_exemplars`.
    shape : tuple of int
        (Z, Y, X) in voxels of the exemplars' pixel size, each at least 16.
    settings : ReconstructionSettings, optional
        How; the defaults by default.
    weights : Weights, optional
        Of VGG19; by default ``load_weights("vgg19")`` where the loss needs it.
    anchor : Anchor, optional
        What the volume must agree with, such as a coarse volume of the same place.
    state_file : Path, optional
        Where the state is kept every 20 seconds, to be resumed; deleted at the end.
    resume : bool
        Go on from `state_file`; one that was kept at the end gives its volume at once.
    keep : Path, optional
        Where the state is kept at the end, in place of being deleted.

    Returns
    -------
    Reconstruction
        The same for the same seed on the same device with the same versions, stopped and resumed or not.

    Raises
    ------
    SettingsError
        A size below 16 or above the memory (with a block size that fits), blocks of a periodic volume, a device that is
        not there, more than 8 phases with VGG19.
    WeightsError
        VGG19's weights are not in reach.
    OutputError
        Nothing to resume, or the state of another reconstruction.
    """
    from fijibridge.devices import torch_device
    from fijibridge.reconstruction.cut import cut, without_singles
    from fijibridge.reconstruction.optimise import optimise

    settings = settings or ReconstructionSettings()
    phases = exemplars.first
    check_size(shape, len(phases), settings)
    torch_device(settings.device)
    if settings.loss != "patches" and weights is None:
        from fijibridge.weights import load_weights

        weights = load_weights("vgg19")
    elif settings.loss == "patches":
        weights = None
    blocks = blocks_of(shape, settings.block)
    volume = np.full(shape, _FREE, np.uint8)
    softs: list[np.ndarray] = []  # of the blocks that are done
    notes = list(exemplars.notes)
    digest = _digest(exemplars, shape, settings, weights, anchor)
    saver = _Saver(state_file, digest) if state_file else None
    number, state = 0, None
    if resume:
        if saver is None:
            raise SettingsError("resume without a state file", expected="a file", remedy="name the state file")
        number, state = saver.load(volume, softs)
    with _told_when_stopped(saver):
        for index in range(number, len(blocks)):
            block = blocks[index]
            free = volume[block] == _FREE
            if not free.any():
                continue
            known = None if free.all() else np.where(free, np.int16(-1), volume[block])
            held = anchor.part(block) if anchor else None
            made = optimise(
                exemplars,
                free.shape,
                settings,
                weights=weights,
                known=known,
                anchor=held,
                seed=settings.seed + 1000003 * index,
                state=state if index == number else None,
                save=saver.of(index, volume, softs) if saver else None,
            )
            fractions = held.fractions(free) if held else exemplars.fractions
            volume[block][free] = cut(made.logits[:, free], fractions)
            logits: np.ndarray | None = without_singles(volume[block], made.logits, exemplars)
            for _ in range(_ROUNDS):
                volume[block][free] = cut(logits[:, free], fractions)
                logits = held.raised(volume[block], logits) if held else None
                if logits is None:
                    break
            softs.append(made.fractions)
            notes += [f"block {index + 1}: {note}" if len(blocks) > 1 else note for note in made.notes]
            if saver and index + 1 < len(blocks):
                saver.block_done(index + 1, volume, softs)
    if saver:
        if keep:
            saver.block_done(len(blocks), volume, softs)
            os.replace(saver.path, keep)
        else:
            saver.path.unlink(missing_ok=True)
    counts = np.bincount(volume.ravel(), minlength=len(phases))
    step = phases.spacing[2]
    result = Phases(
        volume, phases.values, phases.names, (step, step, step), phases.unit, 3, tuple(int(count) for count in counts)
    )
    return Reconstruction(result, exemplars, settings, np.mean(softs, axis=0), tuple(notes))


def check_size(shape: tuple[int, int, int], phases: int, settings: ReconstructionSettings) -> None:
    """SettingsError for a size that is too small, does not fit in memory, or blocks that cannot be."""
    if len(shape) != 3 or min(shape) < _SMALLEST:
        raise SettingsError(
            f"size {' x '.join(map(str, shape))}",
            expected=f"at least {_SMALLEST} voxels along each axis",
            remedy="such as 128, or z,y,x as 64,128,128",
        )
    blocks = blocks_of(shape, settings.block)
    if settings.periodic and len(blocks) > 1:
        raise SettingsError(
            "a periodic volume in blocks", expected="one of the two", remedy="leave out the block size, or periodic"
        )
    from fijibridge.jvm.java import machine_memory

    largest = tuple(max(piece.stop - piece.start for piece in pieces) for pieces in zip(*blocks, strict=True))
    network = settings.loss != "patches"
    needed = memory_needed(largest, phases, settings.slices_per_step, network=network)  # type: ignore[arg-type]
    memory = int(_SHARE * machine_memory())
    if settings.device in ("auto", "cpu") and needed > memory:
        side = largest_block(shape, phases, settings.slices_per_step, memory, network=network)
        raise SettingsError(
            f"{' x '.join(map(str, largest))} voxels need about {needed / 2**30:.1f} GiB of memory",
            expected=f"at most {memory / 2**30:.1f} GiB, {100 * _SHARE:.0f} % of this machine's",
            remedy=f"make it in blocks: block={side} (--block {side})" if side else "choose a smaller size",
        )


def _digest(
    exemplars: Exemplars,
    shape: tuple[int, int, int],
    settings: ReconstructionSettings,
    weights: Weights | None,
    anchor: Anchor | None,
) -> str:
    """What a state belongs to: all that decides what the volume will be."""
    digest = hashlib.sha256()
    about = {"settings": asdict(settings), "shape": list(shape), "weights": weights.sha256 if weights else ""}
    digest.update(json.dumps(about, sort_keys=True).encode())
    if anchor:
        digest.update(anchor.digest().encode())
    planes = [*exemplars.planes.items(), *(("", phases) for phases in exemplars.others)]
    for plane, phases in planes:
        digest.update(f"{plane}{phases.index.shape}{phases.values}".encode())
        digest.update(np.ascontiguousarray(phases.index).data)
    return digest.hexdigest()


class _Saver:
    """The state of a reconstruction in a safetensors file."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path, self._digest = path, digest
        self._next = time.monotonic() + _SAVE_S

    def of(self, block: int, volume: np.ndarray, softs: list[np.ndarray]) -> Callable[[Callable[[], State]], None]:
        """What `optimise` calls after each step of a block."""

        def save(state: Callable[[], State]) -> None:
            now = time.monotonic()
            if now < self._next:
                return
            found = state()
            self._write(found.tensors, block, volume, softs, level=found.level, step=found.step)
            self._next = time.monotonic() + max(_SAVE_S, 20 * (time.monotonic() - now))

        return save

    def block_done(self, following: int, volume: np.ndarray, softs: list[np.ndarray]) -> None:
        """Keep the blocks made so far."""
        self._write({}, following, volume, softs, level=-1, step=0)

    def _write(
        self,
        tensors: dict[str, Any],
        block: int,
        volume: np.ndarray,
        softs: list[np.ndarray],
        *,
        level: int,
        step: int,
    ) -> None:
        import torch
        from safetensors.torch import save_file

        about = {"digest": self._digest, "block": block, "level": level, "step": step}
        tensors = {**tensors, "volume": torch.from_numpy(volume.copy())}
        if softs:
            tensors["softs"] = torch.from_numpy(np.stack(softs))
        with output_file(self.path) as part:
            save_file(tensors, part, metadata={"fijibridge-reconstruction": json.dumps(about)})

    def load(self, volume: np.ndarray, softs: list[np.ndarray]) -> tuple[int, State | None]:
        """Number of the block to go on with, and its state; the others get the blocks that are done."""
        from safetensors import SafetensorError, safe_open

        from fijibridge.reconstruction.optimise import State

        if not self.path.is_file():
            raise OutputError(
                f"nothing to resume: no file {self.path}",
                expected="the state of work that was stopped",
                remedy="start without resume",
            )
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["fijibridge-reconstruction"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise OutputError(
                f"{self.path} cannot be read as a state: {error}",
                expected="a file that a stopped reconstruction left",
                remedy="delete it and start anew",
            ) from error
        if about["digest"] != self._digest:
            raise OutputError(
                f"{self.path} is the state of another reconstruction",
                expected="the same exemplars, size, settings and weights as before it was stopped",
                remedy="give the same options as before, or start anew (overwrite)",
            )
        volume[:] = tensors.pop("volume").numpy()
        if "softs" in tensors:
            softs += list(tensors.pop("softs").numpy())
        return about["block"], State(about["level"], about["step"], tensors) if about["level"] >= 0 else None


@contextmanager
def _told_when_stopped(saver: _Saver | None) -> Iterator[None]:
    """Tell where a stopped reconstruction's state is."""
    try:
        yield
    except BaseException:
        if saver and saver.path.is_file():
            log.warning("stopped; what was reached is kept in %s, to be resumed", saver.path)
        raise
