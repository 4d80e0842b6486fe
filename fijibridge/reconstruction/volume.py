"""A 3D volume from 2D exemplars, in one piece or block by block."""

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

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import OutputError, SettingsError
from fijibridge.phases.phases import Phases
from fijibridge.reconstruction.blocks import blocks_of, largest_block, memory_needed
from fijibridge.reconstruction.constraint import Constraint
from fijibridge.reconstruction.exemplars import Exemplars
from fijibridge.reconstruction.settings import ReconstructionSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fijibridge.reconstruction.optimise import State
    from fijibridge.weights.weights import Weights

log = logging.getLogger(__name__)

_STATE = "fijibridge-reconstruction"  # entry of a state's metadata
_FREE = 255  # a voxel that is in no block made so far
_SAVE_S = 20.0  # seconds between two saved states, or 20 times what saving takes
_SMALLEST = 16  # voxels a side
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
        How it was made.
    soft_fractions : np.ndarray
        (phases,) float64: fractions before the final cut, mean over blocks.
    notes : tuple of str
        Warnings.
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
    constraint: Constraint | None = None,
    state_file: Path | None = None,
    resume: bool = False,
    keep: Path | None = None,
) -> Reconstruction:
    """Make a volume whose slices look like the exemplars.

    Parameters
    ----------
    exemplars : Exemplars
        From `check_exemplars`.
    shape : tuple of int
        (Z, Y, X) in voxels of the exemplars' pixel size, each at least 16.
    settings : ReconstructionSettings, optional
        How it is made; the defaults by default.
    weights : Weights, optional
        Of VGG19; by default ``load_weights("vgg19")`` where the loss needs it.
    constraint : Constraint, optional
        What the volume must agree with, such as a coarse volume of the same place.
    state_file : Path, optional
        File in which the state is saved every 20 seconds, to be resumed; deleted at the end.
    resume : bool
        Continue from `state_file`; one that was kept at the end gives its volume at once.
    keep : Path, optional
        File in which the state is kept at the end instead of being deleted, until its volume is safe; may be
        `state_file`.

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
        VGG19's weights cannot be found.
    OutputError
        Nothing to resume, or the state of another reconstruction.
    """
    from fijibridge.core.devices import torch_device
    from fijibridge.reconstruction.contacts import contact_notes
    from fijibridge.reconstruction.hardening import hardened
    from fijibridge.reconstruction.optimise import optimise

    settings = settings or ReconstructionSettings()
    phases = exemplars.first
    check_size(shape, len(phases), settings)
    torch_device(settings.device)
    if settings.loss != "patches" and weights is None:
        from fijibridge.weights.weights import load_weights

        weights = load_weights("vgg19")
    elif settings.loss == "patches":
        weights = None
    blocks = blocks_of(shape, settings.chunk)
    volume = np.full(shape, _FREE, np.uint8)
    softs: list[np.ndarray] = []  # soft fractions of the blocks that are done
    notes = [*exemplars.notes, *(contact_notes(exemplars) if settings.separate else [])]
    digest = _digest(exemplars, shape, settings, weights, constraint)
    saver = _Saver(state_file, digest, len(notes)) if state_file else None
    number, state = 0, None
    if resume:
        if saver is None:
            raise SettingsError("resume without a state file", expected="a file", remedy="name the state file")
        number, state = saver.load(volume, softs, notes)
    with _logged_when_stopped(saver):
        for index in range(number, len(blocks)):
            block = blocks[index]
            free = volume[block] == _FREE
            if not free.any():
                continue
            known = None if free.all() else np.where(free, np.int16(-1), volume[block])
            local = constraint.part(block) if constraint else None
            made = optimise(
                exemplars,
                free.shape,
                settings,
                weights=weights,
                known=known,
                constraint=local,
                seed=settings.seed + 1000003 * index,
                state=state if index == number else None,
                save=saver.of(index, volume, softs, notes) if saver else None,
            )
            volume[block] = hardened(volume[block], made.logits, free, exemplars, settings, local)
            softs.append(made.fractions)
            notes += [f"block {index + 1}: {note}" if len(blocks) > 1 else note for note in made.notes]
            if saver and (keep or index + 1 < len(blocks)):
                saver.block_done(index + 1, volume, softs, notes)
    if saver:
        if not keep:
            saver.path.unlink(missing_ok=True)
        elif saver.path.is_file():  # it may be that it could not be written
            os.replace(saver.path, keep)
    counts = np.bincount(volume.ravel(), minlength=len(phases))
    step = phases.spacing[2]
    result = Phases(
        volume, phases.values, phases.names, (step, step, step), phases.unit, 3, tuple(int(count) for count in counts)
    )
    return Reconstruction(result, exemplars, settings, np.mean(softs, axis=0), tuple(notes))


def check_size(shape: tuple[int, int, int], phases: int, settings: ReconstructionSettings) -> None:
    """Check the size of a volume before hours of work.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X) of the volume.
    phases : int
        Number of phases.
    settings : ReconstructionSettings
        How it will be made.

    Raises
    ------
    SettingsError
        Too small, too large for the memory, or blocks that cannot be made.
    """
    if len(shape) != 3 or min(shape) < _SMALLEST:
        raise SettingsError(
            f"size {' x '.join(map(str, shape))}",
            expected=f"at least {_SMALLEST} voxels along each axis",
            remedy="such as 128, or z,y,x as 64,128,128",
        )
    blocks = blocks_of(shape, settings.chunk)
    if settings.periodic and len(blocks) > 1:
        raise SettingsError(
            "a periodic volume in blocks", expected="one of the two", remedy="leave out the block size, or periodic"
        )
    from fijibridge.core.machine import machine_memory

    depth, height, width = (max(part.stop - part.start for part in parts) for parts in zip(*blocks, strict=True))
    network = settings.loss != "patches"
    needed = memory_needed((depth, height, width), phases, settings.slices_per_step, network=network)
    memory = int(_SHARE * machine_memory())
    if settings.device in ("auto", "cpu") and needed > memory:
        side = largest_block(shape, phases, settings.slices_per_step, memory, network=network)
        raise SettingsError(
            f"{depth} x {height} x {width} voxels need about {needed / 2**30:.1f} GiB of memory",
            expected=f"at most {memory / 2**30:.1f} GiB, {100 * _SHARE:.0f} % of this machine's",
            remedy=f"make it in chunks: chunk={side} (--chunk {side})" if side else "choose a smaller size",
        )


def _digest(
    exemplars: Exemplars,
    shape: tuple[int, int, int],
    settings: ReconstructionSettings,
    weights: Weights | None,
    constraint: Constraint | None,
) -> str:
    """Digest of all that determines the volume, by which a state is matched to it."""
    digest = hashlib.sha256()
    about = {"settings": asdict(settings), "shape": list(shape), "weights": weights.sha256 if weights else ""}
    digest.update(json.dumps(about, sort_keys=True).encode())
    if constraint:
        digest.update(constraint.digest().encode())
    planes = [*exemplars.planes.items(), *(("", phases) for phases in exemplars.others)]
    for plane, phases in planes:
        digest.update(f"{plane}{phases.index.shape}{phases.values}".encode())
        digest.update(np.ascontiguousarray(phases.index).data)
    return digest.hexdigest()


def is_state(path: Path) -> bool:
    """Whether a file is the state of a reconstruction.

    Parameters
    ----------
    path : Path
        Exists.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return _STATE in (file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return False


class _Saver:
    """The state of a reconstruction in a safetensors file."""

    def __init__(self, path: Path, digest: str, known_notes: int) -> None:
        self.path, self._digest, self._known_notes = path, digest, known_notes
        self._next = time.monotonic() + _SAVE_S

    def of(
        self, block: int, volume: np.ndarray, softs: list[np.ndarray], notes: list[str]
    ) -> Callable[[Callable[[], State]], None]:
        """The function that `optimise` calls after each step of a block.

        Parameters
        ----------
        block : int
            Number of the block.
        volume : np.ndarray
            (Z, Y, X) uint8: the blocks that are done.
        softs : list of np.ndarray
            Their soft fractions.
        notes : list of str
            Their warnings, behind those that are known without them.

        Returns
        -------
        callable
        """

        def save(state: Callable[[], State]) -> None:
            now = time.monotonic()
            if now < self._next:
                return
            found = state()
            self._write(found.tensors, block, volume, softs, notes, level=found.level, step=found.step)
            self._next = time.monotonic() + max(_SAVE_S, 20 * (time.monotonic() - now))

        return save

    def block_done(self, following: int, volume: np.ndarray, softs: list[np.ndarray], notes: list[str]) -> None:
        """Save the blocks made so far."""
        self._write({}, following, volume, softs, notes, level=-1, step=0)

    def _write(
        self,
        tensors: dict[str, Any],
        block: int,
        volume: np.ndarray,
        softs: list[np.ndarray],
        notes: list[str],
        *,
        level: int,
        step: int,
    ) -> None:
        import torch
        from safetensors.torch import save_file

        about = {"digest": self._digest, "block": block, "level": level, "step": step}
        about["notes"] = notes[self._known_notes :]
        tensors = {**tensors, "volume": torch.from_numpy(volume.copy())}
        if softs:
            tensors["softs"] = torch.from_numpy(np.stack(softs))
        try:
            with output_file(self.path) as part:
                save_file(tensors, part, metadata={_STATE: json.dumps(about)})
        except OutputError as error:  # the work is worth more than its state
            log.warning("the state is not kept, so that a stopped run cannot be resumed from here: %s", error.found)

    def load(self, volume: np.ndarray, softs: list[np.ndarray], notes: list[str]) -> tuple[int, State | None]:
        """Number of the block to continue with, and its state; fills in what is known of the others."""
        from safetensors import SafetensorError, safe_open

        from fijibridge.reconstruction.optimise import State

        if not self.path.is_file():
            raise OutputError(
                f"nothing to resume: no file {self.path}",
                expected="the state of a stopped reconstruction",
                remedy="start without resume",
            )
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})[_STATE])
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
        notes += about.get("notes", [])
        return about["block"], State(about["level"], about["step"], tensors) if about["level"] >= 0 else None


@contextmanager
def _logged_when_stopped(saver: _Saver | None) -> Iterator[None]:
    """Log where the state of a stopped reconstruction is."""
    try:
        yield
    except BaseException:
        if saver and saver.path.is_file():
            log.warning("stopped; the state is kept in %s and can be resumed", saver.path)
        raise
