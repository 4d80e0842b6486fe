"""From probabilities to phases: the cut that keeps the phase fractions exactly."""

from __future__ import annotations

import numpy as np

_ROUNDS = 400


def whole_counts(fractions: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers that sum to ``total``, nearest to the fractions (largest remainders)."""
    wanted = np.asarray(fractions, np.float64) * total
    counts = np.floor(wanted).astype(np.int64)
    rest = total - int(counts.sum())
    counts[np.argsort(counts - wanted, kind="stable")[:rest]] += 1
    return counts


def cut(logits: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """The most probable phases under the condition that each has its number of voxels.

    One offset a phase is added to the logits (a Lagrange multiplier of the condition) until the largest one gives the
    wanted numbers; the few voxels that are left over go where they lose least.

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
    shifted = logits + best
    index = shifted.argmax(0).astype(np.uint8)
    return _evened(index, shifted, wanted)


def _evened(index: np.ndarray, logits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Move the voxels that lose least from phases with too many to phases with too few."""
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
