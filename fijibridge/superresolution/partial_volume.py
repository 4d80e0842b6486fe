"""What a coarse volume makes of a fine structure, learned from fine slices.

A coarse voxel covers many fine ones. Segmented by a threshold, it belongs to the phase that most of it is: thin and
rugged phases lose, compact ones gain. How much follows from the fine slices: squares of a slice stand for cubes of the
volume where their phase fractions vary as much, and how much those of cubes vary follows from the two-point correlation
(the variance of a mean is the mean covariance; Torquato 2002, Random Heterogeneous Materials, section 2.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fijibridge.phases.phases import Phases

_ROUNDS = 200
_STEP = 0.05  # of the offsets


def group_masks(phases: Phases, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Where a slice has each group of phases.

    Parameters
    ----------
    phases : Phases
        A slice.
    groups : sequence of sequence of int
        Phases of each.

    Returns
    -------
    np.ndarray
        (G, Y, X) float32 of 0 and 1.
    """
    return np.stack([np.isin(phases.index[0], group) for group in groups]).astype(np.float32)


def square_means(mask: np.ndarray, side: int) -> np.ndarray:
    """Means over all squares of a side, wherever they lie.

    Parameters
    ----------
    mask : np.ndarray
        (Y, X).
    side : int
        In pixels.

    Returns
    -------
    np.ndarray
        (Y - side + 1, X - side + 1) float64.
    """
    sums = np.pad(mask, ((1, 0), (1, 0))).cumsum(0, dtype=np.float64).cumsum(1)
    return (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2


def radial_covariance(image: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of an image by distance, over the lags within a square.

    Parameters
    ----------
    image : np.ndarray
        (Y, X).
    reach : int
        Longest lag along an axis, in pixels.

    Returns
    -------
    distances, covariances : np.ndarray
        (N,) each; distances in pixels.
    """
    from scipy import fft

    reach = min(reach, min(image.shape) - 1)
    size = [fft.next_fast_len(n + reach) for n in image.shape]
    spectrum = fft.rfft2(image - image.mean(), size)
    counts = fft.rfft2(np.ones_like(image), size)
    lags = np.r_[0 : reach + 1, -reach:0]
    covariance = fft.irfft2(np.abs(spectrum) ** 2, size)[np.ix_(lags, lags)]
    pairs = fft.irfft2(np.abs(counts) ** 2, size)[np.ix_(lags, lags)]
    radii, place = np.unique(np.hypot(*np.meshgrid(lags, lags)).round(6).ravel(), return_inverse=True)
    found = np.bincount(place.ravel(), covariance.ravel()) / np.bincount(place.ravel(), pairs.ravel())
    return radii, found


def cube_variance(mask: np.ndarray, side: int) -> float:
    """Variance of the fraction of a phase in cubes of a side, by the covariance of a slice of isotropic material.

    Parameters
    ----------
    mask : np.ndarray
        (Y, X) of 0 and 1.
    side : int
        In pixels.
    """
    steps = np.arange(1 - side, side)
    weight = side - np.abs(steps)
    distance = np.sqrt(steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2)
    weights = weight[:, None, None] * weight[:, None] * weight
    return float((weights * np.interp(distance, *radial_covariance(mask, 2 * side))).sum()) / side**6


def equal_side(slices: Sequence[np.ndarray], factor: int) -> int:
    """Side of the squares whose fractions vary as those of cubes of ``factor`` fine voxels; mean over slices, groups.

    Parameters
    ----------
    slices : sequence of np.ndarray
        (G, Y, X) masks of each slice.
    factor : int
        Fine voxels along a coarse one.
    """
    found = []
    for masks in slices:
        sides = np.arange(1, min(3 * factor, min(masks.shape[1:]) // 4) + 1)
        for mask in masks:
            variances = [square_means(mask, side).var() for side in sides]
            wanted = cube_variance(mask, factor)
            found.append(np.interp(-wanted, -np.array(variances), sides))
    return max(1, round(float(np.mean(found))))


def coarse_fractions(slices: Sequence[np.ndarray], side: int, offsets: np.ndarray) -> np.ndarray:
    """(G,) share of coarse voxels that a threshold would give each group.

    Parameters
    ----------
    slices : sequence of np.ndarray
        (G, Y, X) masks.
    side : int
        By `equal_side`.
    offsets : np.ndarray
        (G,) added to the groups' fractions before the largest wins; 0 where the coarse volume was cut at one half.
    """
    counts = np.zeros(len(offsets))
    for masks in slices:
        means = np.stack([square_means(mask, side) for mask in masks]) + offsets[:, None, None]
        winning = means >= means.max(0) - 1e-9
        counts += (winning / winning.sum(0)).mean((1, 2))  # ties count for all
    return counts / len(slices)


def fitted_offsets(slices: Sequence[np.ndarray], side: int, wanted: np.ndarray) -> np.ndarray:
    """Offsets with which fine slices give a coarse volume's fractions: where its threshold must have been.

    Parameters
    ----------
    slices : sequence of np.ndarray
        (G, Y, X) masks.
    side : int
        By `equal_side`.
    wanted : np.ndarray
        (G,) fractions of the coarse volume.

    Returns
    -------
    np.ndarray
        (G,), see `coarse_fractions`.
    """
    offsets = np.zeros(len(wanted))
    step, before = _STEP, np.zeros(len(wanted))
    best, least = offsets, np.inf
    for _ in range(_ROUNDS):
        missed = wanted - coarse_fractions(slices, side, offsets)
        if np.abs(missed).max() < least:
            best, least = offsets.copy(), float(np.abs(missed).max())
        if least < 1e-3:
            break
        if (np.sign(missed) * np.sign(before) < 0).any():
            step = max(0.8 * step, 0.002)
        before = missed
        offsets = offsets + step * np.sign(missed) * np.minimum(1, 20 * np.abs(missed))
    return best - best.mean()
