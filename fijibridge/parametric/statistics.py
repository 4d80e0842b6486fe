"""What slices are compared by: two-point functions, chords, and Euler numbers of the phases and of their cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np

DEPTHS = (0, 1, 2, 4)  # pixels by which a phase is eroded for its Euler numbers
_EVERY = 6  # lags below which each distance is kept apart
WEIGHTS = {"two_point": 1.0, "cross": 0.5, "chords": 1.0, "euler": 0.25}  # chosen on electrode slices 20 and 38


@dataclass(frozen=True, eq=False)
class SliceStatistics:
    """Statistics of slices of one material.

    Attributes
    ----------
    fractions : np.ndarray
        (phases,).
    distance : np.ndarray
        (lags,) pixels; mean of those in a bin.
    pairs : np.ndarray
        (lags,) pairs of pixels.
    two_point : dict of (int, int) to np.ndarray
        (lags,) probability that two points lie in the one and in the other phase.
    chords : np.ndarray
        (phases, lengths): share of the chords that are no longer than 1, 2, ... pixels.
    euler : np.ndarray
        (phases, depths, 2): Euler number a pixel of the phase eroded, with edges (0) and also with corners (1)
        connecting pixels.
    objects : np.ndarray
        (phases, depths): pieces and holes a pixel, by which differences of Euler numbers are divided.
    """

    fractions: np.ndarray
    distance: np.ndarray
    pairs: np.ndarray
    two_point: dict[tuple[int, int], np.ndarray]
    chords: np.ndarray
    euler: np.ndarray
    objects: np.ndarray


@lru_cache(maxsize=8)
def _bins(shape: tuple[int, int], reach: int, scales: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """Which lags count, the bin of each, and distance and pairs of the bins."""
    y, x = (np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)]) for _ in range(2))
    distance = np.hypot(y[:, None] / scales[0], x / scales[1])
    pairs = ((shape[0] - np.abs(y))[:, None] * (shape[1] - np.abs(x))).astype(float)
    inside = (distance <= reach) & (pairs > 0)
    key = np.where(distance < _EVERY, np.round(distance, 3), np.rint(distance) + 0.5)[inside]
    _, place = np.unique(key, return_inverse=True)
    count = np.bincount(place, pairs[inside])
    return inside, place, np.bincount(place, (distance * pairs)[inside]) / count, count


def correlations(
    images: np.ndarray, pairs: Sequence[tuple[int, int]], reach: int, scales: tuple[float, float] = (1.0, 1.0)
) -> tuple[np.ndarray, np.ndarray, dict[tuple[int, int], np.ndarray]]:
    """Two-point functions of slices, averaged over directions.

    Parameters
    ----------
    images : np.ndarray
        (N, Y, X) phases.
    pairs : sequence of (int, int)
        Of the phases.
    reach : int
        Largest lag.
    scales : (float, float)
        Lags along y and x are divided by them first: an anisotropic material is compared as if it were stretched back.

    Returns
    -------
    distance, count : np.ndarray
        (lags,): pixels, and pairs of pixels in all slices.
    found : dict
        Pair -> (lags,) probability.
    """
    from scipy import fft

    _, height, width = images.shape
    size = tuple(fft.next_fast_len(n + reach, real=True) for n in (height, width))
    used = sorted({phase for pair in pairs for phase in pair})
    spectra = {phase: fft.rfft2((images == phase).astype(np.float32), size) for phase in used}
    inside, place, distance, count = _bins((height, width), reach, scales)
    rows = np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)])
    found = {}
    for a, b in pairs:
        product = (spectra[a].conj() * spectra[b]).real.sum(axis=0)  # the real part: the mean over h and -h
        full = fft.irfft2(product, size)[np.ix_(rows, rows)]
        found[a, b] = np.bincount(place, full[inside]) / count / len(images)
    return distance, count * len(images), found


def mean_product(
    first: np.ndarray, second: np.ndarray, reach: int, scales: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """Mean product of two fields at points a lag apart, averaged over slices and directions.

    Parameters
    ----------
    first, second : np.ndarray
        (N, Y, X) fields.
    reach, scales
        As for `correlations`.

    Returns
    -------
    np.ndarray
        (lags,).
    """
    from scipy import fft

    _, height, width = first.shape
    size = tuple(fft.next_fast_len(n + reach, real=True) for n in (height, width))
    product = (fft.rfft2(first, size).conj() * fft.rfft2(second, size)).real.sum(axis=0)
    inside, place, _, count = _bins((height, width), reach, scales)
    rows = np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)])
    full = fft.irfft2(product, size)[np.ix_(rows, rows)]
    return np.asarray(np.bincount(place, full[inside]) / count / len(first))


def slice_statistics(
    images: np.ndarray, phases: int, reach: int, scales: tuple[float, float] = (1.0, 1.0)
) -> SliceStatistics:
    """Measure slices.

    Parameters
    ----------
    images : np.ndarray
        (N, Y, X) phases from 0.
    phases : int
        Number of phases.
    reach : int
        Largest lag, pixels.
    scales : (float, float)
        As for `correlations`.

    Returns
    -------
    SliceStatistics
    """
    from scipy import ndimage

    pairs = list(combinations_with_replacement(range(phases), 2))
    distance, count, found = correlations(images, pairs, reach, scales)
    fractions = np.array([float((images == phase).mean()) for phase in range(phases)])
    chords = np.zeros((phases, reach))
    euler, objects = np.zeros((phases, len(DEPTHS), 2)), np.zeros((phases, len(DEPTHS)))
    for phase in range(phases):
        for image in images == phase:
            for lines in (image, image.T):
                chords[phase] += np.bincount(np.minimum(_chords(lines), reach), minlength=reach + 1)[1:]
            inner = ndimage.distance_transform_edt(np.pad(image, 1, mode="edge"))[1:-1, 1:-1] if image.any() else image
            for level, depth in enumerate(DEPTHS):
                four, eight, number = _euler(inner > depth)
                euler[phase, level] += four, eight
                objects[phase, level] += number
        chords[phase] = np.cumsum(chords[phase]) / max(chords[phase].sum(), 1)
    return SliceStatistics(fractions, distance, count, found, chords, euler / images.size, objects / images.size)


def _chords(lines: np.ndarray) -> np.ndarray:
    """Lengths of all chords along the last axis, those cut by the border too."""
    edges = np.diff(np.pad(lines.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    return np.asarray(np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1])


def _euler(mask: np.ndarray) -> tuple[int, int, int]:
    """Euler numbers with edges and with corners connecting, and pieces and holes."""
    from scipy import ndimage

    four = ndimage.label(mask)[1]
    eight = ndimage.label(mask, np.ones((3, 3)))[1]
    outside = np.pad(~mask, 1, constant_values=True)
    holes_four = ndimage.label(outside, np.ones((3, 3)))[1] - 1
    holes_eight = ndimage.label(outside)[1] - 1
    return four - holes_four, eight - holes_eight, four + eight + holes_four + holes_eight


def differences(wanted: SliceStatistics, found: SliceStatistics) -> dict[str, np.ndarray]:
    """How far statistics lie apart, by phase.

    Parameters
    ----------
    wanted, found : SliceStatistics
        With the same phases, reach and scales.

    Returns
    -------
    dict of str to np.ndarray
        (phases,), all in %. "two_point": mean absolute difference over the share times its complement; "cross": that
        of the pairs with other phases, over both shares; "chords": mean absolute difference of the cumulative
        distributions, up to the longest chord but 1 %; "euler": difference of the Euler numbers over the number of
        pieces and holes, mean over depths.
    """
    phases = len(wanted.fractions)
    shares = wanted.fractions
    out = {name: np.zeros(phases) for name in WEIGHTS}
    for (a, b), curve in wanted.two_point.items():
        even = np.gradient(wanted.distance)  # bins are closer to each other at small lags
        apart = float(np.average(np.abs(curve - found.two_point[a, b]), weights=even))
        if a == b:
            out["two_point"][a] = apart / (shares[a] * (1 - shares[a]))
        elif phases > 2:
            for phase in (a, b):
                out["cross"][phase] += apart / (shares[a] * shares[b]) / (phases - 1)
    for phase in range(phases):
        last = int(np.searchsorted(wanted.chords[phase], 0.99)) + 1
        out["chords"][phase] = np.abs(wanted.chords[phase] - found.chords[phase])[:last].mean()
        used = wanted.objects[phase] > 0.1 * wanted.objects[phase].max()
        apart = np.abs(wanted.euler[phase] - found.euler[phase]).sum(axis=-1) / np.maximum(wanted.objects[phase], 1e-12)
        out["euler"][phase] = np.minimum(apart[used], 2).mean() if used.any() else 0
    return {name: 100 * values for name, values in out.items()}


def score(wanted: SliceStatistics, found: SliceStatistics) -> float:
    """One number for `differences`: the smaller, the more alike.

    Parameters
    ----------
    wanted, found : SliceStatistics
        As there.
    """
    apart = differences(wanted, found)
    return float(sum(weight * apart[name].mean() for name, weight in WEIGHTS.items()))
