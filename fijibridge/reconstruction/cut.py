"""From probabilities to phases: the cut that meets the phase fractions exactly, and the removal of single voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fijibridge.reconstruction.exemplars import Exemplars

_ROUNDS = 400
_FORBIDDEN = -1e3
_MORE = 1.2  # ratio of single pixels to the exemplar's from which they are removed


def whole_counts(fractions: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers that sum to a total, nearest to the fractions (largest remainders).

    Parameters
    ----------
    fractions : np.ndarray
        (P,) that sum to 1.
    total : int
        Number of voxels.

    Returns
    -------
    np.ndarray
        (P,) int64.
    """
    wanted = np.asarray(fractions, np.float64) * total
    counts = np.floor(wanted).astype(np.int64)
    rest = total - int(counts.sum())
    counts[np.argsort(counts - wanted, kind="stable")[:rest]] += 1
    return counts


def cut(logits: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """The most probable phases under the constraint that each has its number of voxels.

    One offset a phase is added to the logits (the constraint's Lagrange multiplier) until the largest logit gives the
    wanted numbers; the few voxels that are left over change phase where that costs least.

    Parameters
    ----------
    logits : np.ndarray
        (P, N) float32.
    fractions : np.ndarray
        (P,) that sum to 1.

    Returns
    -------
    np.ndarray
        (N,) uint8 phase indices.
    """
    wanted = whole_counts(fractions, logits.shape[1])
    shifted = logits + balanced(logits, fractions)
    index = shifted.argmax(0).astype(np.uint8)
    return _rebalanced(index, shifted, wanted)


def balanced(logits: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Offsets with which the largest logit gives nearly the wanted fractions.

    Parameters
    ----------
    logits : np.ndarray
        (P, N) float32.
    fractions : np.ndarray
        (P,) that sum to 1.

    Returns
    -------
    np.ndarray
        (P, 1) float32.
    """
    phases, total = logits.shape
    wanted = whole_counts(fractions, total)
    offset = np.zeros((phases, 1), np.float32)
    best, least = offset, total + 1
    step = 0.5
    previous = np.zeros(phases)
    for _ in range(_ROUNDS):
        counts = np.bincount((logits + offset).argmax(0), minlength=phases)
        missed = int(np.abs(counts - wanted).sum())
        if missed < least:
            best, least = offset, missed
        if missed == 0:
            break
        change = np.log((wanted + 1) / (counts + 1))
        if (np.sign(change) * np.sign(previous) < 0).any():  # overshot
            step = max(step * 0.8, 0.02)
        previous = change
        offset = offset + np.float32(step) * change.astype(np.float32)[:, None]
    return best


def _rebalanced(index: np.ndarray, logits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Move voxels from phases with too many to phases with too few, where that costs least."""
    phases = len(wanted)
    for _ in range(phases * phases):
        counts = np.bincount(index, minlength=phases)
        over, under = int((counts - wanted).argmax()), int((counts - wanted).argmin())
        number = int(min(counts[over] - wanted[over], wanted[under] - counts[under]))
        if number <= 0:
            break
        there = np.flatnonzero(index == over)
        loss = logits[over, there] - logits[under, there]
        index[there[np.argpartition(loss, number - 1)[:number]]] = under
    return index


def single(mask: np.ndarray) -> np.ndarray:
    """Isolated pixels of a (..., Y, X) bool mask: no pixel of the mask touches them at a side."""
    padded = np.pad(mask, [(0, 0)] * (mask.ndim - 2) + [(1, 1), (1, 1)])
    beside = padded[..., :-2, 1:-1] | padded[..., 2:, 1:-1] | padded[..., 1:-1, :-2] | padded[..., 1:-1, 2:]
    return mask & ~beside


def without_singles(index: np.ndarray, logits: np.ndarray, exemplars: Exemplars) -> np.ndarray:
    """Logits whose cut has no more single pixels in its slices than the exemplars have.

    Parameters
    ----------
    index : np.ndarray
        (Z, Y, X) phase indices of the first cut.
    logits : np.ndarray
        (P, Z, Y, X) float32.
    exemplars : Exemplars
        What the slices should look like.

    Returns
    -------
    np.ndarray
        (P, Z, Y, X) float32: a phase is forbidden where it was single and least certain.
    """
    result = logits.copy()
    for phase in range(len(logits)):
        alone = np.zeros(index.shape, np.uint8)
        wanted = found = 0.0
        for axis in range(3):
            planes = single(np.moveaxis(index == phase, axis, 0))
            found += planes.mean()
            wanted += single(exemplars.across(axis).index == phase).mean()
            alone += np.moveaxis(planes, 0, axis)
        if found <= _MORE * wanted:
            continue
        places = np.flatnonzero(alone)
        others = np.delete(logits, phase, axis=0).max(0)
        margin = (logits[phase] - others).ravel()[places] - 1e3 * (
            alone.ravel()[places] - 1.0
        )  # single in all planes: first
        surplus = round(len(places) * (1 - wanted / found))
        result[phase].ravel()[places[np.argsort(margin, kind="stable")[:surplus]]] = _FORBIDDEN
    return result
