"""Volumes of a parametric model."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.progress import bar
from fijibridge.parametric.fields import volume_field
from fijibridge.parametric.fitting import fit
from fijibridge.parametric.model import Model, Step

if TYPE_CHECKING:
    from fijibridge.phases.phases import Phases

log = logging.getLogger(__name__)
_REST = 255
_SHARE = 0.8  # of the memory that may be used
_PADDED, _KEPT, _VOXEL = (
    13.0,
    4.0,
    9.0,
)  # bytes a voxel: of a field and its transform, of a field that is kept, of the rest


def volume_of(
    model: Model, shape: Sequence[int], *, seed: int = 0, periodic: bool = False, threads: int = 0
) -> np.ndarray:
    """A volume of a model.

    Parameters
    ----------
    model : Model
        Of the structure.
    shape : sequence of int
        (Z, Y, X) voxels.
    seed : int
        The same seed, model and shape give the same volume.
    periodic : bool
        The volume goes on at its opposite sides; else it is cut out of a larger one that does.
    threads : int
        0: all cores.

    Returns
    -------
    np.ndarray
        (Z, Y, X) uint8, phases from 0. Each has its fraction of the voxels, to a voxel.

    Raises
    ------
    SettingsError
        A side below 1, or a volume that does not fit into the memory.
    """
    from fijibridge.core.parallel import thread_count

    shape = tuple(int(side) for side in shape)
    check_memory(model, shape, periodic)
    padded = _padded(model, shape, periodic)
    workers = thread_count(threads)
    labels = np.full(shape, _REST, np.uint8)
    total = labels.size
    kept: list[np.ndarray] = []
    needed = {step.follows for step in model.steps}
    place = tuple(slice(0, side) for side in shape)
    with bar("random fields", sum(len(step.kind.weights) for step in model.steps)) as progress:

        def fields(number: int, step: Step) -> Iterator[np.ndarray]:
            for component in range(len(step.kind.weights)):
                rng = np.random.default_rng([seed, number, component])
                field = volume_field(step.spectrum, padded, model.stretch, rng, workers)
                yield field if padded == shape else field[place].copy()
                del field
                progress.update()

        left = total
        for number, step in enumerate(model.steps):
            own = step.kind.normal_scores(fields(number, step))
            keep = number in needed
            whole = step.score(own.copy() if keep and step.follows >= 0 else own, kept)
            count = min(round(model.fractions[step.phase] * total), left)
            _cut(labels, whole, count, step.phase)
            left -= count
            kept.append(own if keep else np.empty(0, np.float32))
            del own, whole
    labels[labels == _REST] = model.rest
    return labels


def _cut(labels: np.ndarray, score: np.ndarray, count: int, phase: int) -> None:
    """Give a phase so many of the voxels left, those of the highest score."""
    if not count:
        return
    values = score[labels == _REST]
    place = len(values) - count
    values.partition(place)
    level = values[place]
    missing = count
    del values
    for plane, own in zip(labels, score, strict=True):
        chosen = (plane == _REST) & (own > level)
        plane[chosen] = phase
        missing -= int(chosen.sum())
    for plane, own in zip(labels, score, strict=True):  # voxels at the threshold itself, as many as it takes
        if missing <= 0:
            break
        ties = np.flatnonzero((plane == _REST) & (own == level))[:missing]
        plane.ravel()[ties] = phase
        missing -= len(ties)


def _padded(model: Model, shape: Sequence[int], periodic: bool) -> tuple[int, ...]:
    """Shape in which the fields are made: larger by the length over which they are correlated, unless periodic."""
    from scipy import fft

    if periodic:
        return tuple(shape)
    margin = min(max(_correlated(step) for step in model.steps), 2 * model.reach)
    return tuple(
        int(fft.next_fast_len(side + math.ceil(margin * factor), real=True))
        for side, factor in zip(shape, model.stretch, strict=True)
    )


def _correlated(step: Step) -> int:
    """Lag in voxels beyond which a field's correlation stays below 5 %."""
    lags = np.arange(512)
    far = np.flatnonzero(np.abs(step.spectrum.correlation(lags)) > 0.05)
    return int(far[-1]) + 1


def memory_needed(model: Model, shape: Sequence[int], periodic: bool = False) -> int:
    """Bytes that `volume_of` takes at its peak.

    Parameters
    ----------
    model : Model
        Of the structure.
    shape : sequence of int
        (Z, Y, X) voxels.
    periodic : bool
        As there.
    """
    kept = len({step.follows for step in model.steps} - {-1})
    chi = 4.0 if any(step.kind.degrees > 1 for step in model.steps) else 0.0
    return int(_PADDED * math.prod(_padded(model, shape, periodic)) + (_VOXEL + chi + _KEPT * kept) * math.prod(shape))


def check_memory(model: Model, shape: Sequence[int], periodic: bool = False) -> None:
    """Refuse a volume that does not fit into the memory, before the work.

    Parameters
    ----------
    model, shape, periodic
        As for `memory_needed`.

    Raises
    ------
    SettingsError
        A side below 1, or too many voxels; the message says which side fits.
    """
    from fijibridge.core.machine import free_memory

    if min(shape) < 1:
        raise SettingsError(
            f"a volume of {' x '.join(map(str, shape))} voxels",
            expected="a side of 1 voxel or more",
            remedy="give the size as z,y,x in voxels",
        )
    free = _SHARE * free_memory()
    needed = memory_needed(model, shape, periodic)
    if needed > free:
        side = int((math.prod(shape) * free / needed) ** (1 / 3)) // 16 * 16
        raise SettingsError(
            f"a volume of {' x '.join(map(str, shape))} voxels, which takes {needed / 2**30:.1f} GiB to make",
            expected=f"at most {free / 2**30:.1f} GiB, which are free: some {side}^3 voxels",
            remedy="make a smaller volume, or several with other seeds"
            + ("" if periodic else "; a periodic one takes less"),
        )


def parametric_start(
    exemplars: Sequence[Phases], shape: Sequence[int], seed: int = 0, *, periodic: bool = False, threads: int = 0
) -> np.ndarray:
    """A volume to start a reconstruction from: fitted to slices, with their fractions.

    Parameters
    ----------
    exemplars : sequence of Phases
        Segmented slices in 2D of one (isotropic) material.
    shape : sequence of int
        (Z, Y, X) voxels.
    seed : int
        The same seed gives the same volume.
    periodic, threads
        As for `volume_of`.

    Returns
    -------
    np.ndarray
        (Z, Y, X) uint8: phases in the exemplars' order, from 0.

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `fit` and `volume_of`.
    """
    return volume_of(fit(exemplars, seed=seed).model, shape, seed=seed, periodic=periodic, threads=threads)
