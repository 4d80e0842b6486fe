"""Autocorrelations of the phases of a volume larger than memory: of small lags exactly, or of a coarser copy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from fijibridge.core.parallel import thread_count
from fijibridge.metrology.correlation import half, stored_lags
from fijibridge.phases.phases import OUTSIDE, PhaseSource

INSIDE = -1  # among the fields: all phases together
_EXACT = 2**21  # voxels of a transform up to which double precision is cheap
_TRANSFORMS = (256, 192, 128, 96, 64)  # voxels along a side of one, if the lags leave enough of it to the block
_LAG_BYTES = 80  # a stored lag, in what is made of the correlations


class NearCorrelations:
    """Autocorrelations as those of `Correlations`, for lags up to a reach, from blocks of the volume.

    Each block is correlated with itself and its surroundings as far as the lags reach, so that every pair of voxels of
    the volume counts once.

    Parameters
    ----------
    source : Phases or PhaseVolume
        The volume.
    reach : tuple of int
        Largest lags along z, y and x, at most half the volume's sides.
    fields : sequence of int
        Indices of the phases.
    periodic : bool
        As for `Correlations`.
    side : int
        Voxels along a side of the transforms, as far as the lags leave room.
    threads : int
        0: all cores.
    """

    def __init__(
        self,
        source: PhaseSource,
        reach: tuple[int, int, int],
        fields: Sequence[int],
        *,
        side: int = _TRANSFORMS[0],
        periodic: bool = False,
        threads: int = 0,
    ) -> None:
        self.extent, self.reach, self.full_reach = source.shape, reach, half(source.shape)
        self.lags = stored_lags(reach)
        self.weights = np.where(self.lags[0] > 0, 2.0, 1.0)[:, None, None]
        self._periodic, self._workers = periodic, thread_count(threads)
        self._sums = self._correlate(source, side, [*fields, *([] if source.filled else [INSIDE])])
        if not source.filled:
            self.pairs = np.rint(self._sums.pop(INSIDE))
        elif periodic:
            self.pairs = np.full(tuple(map(len, self.lags)), float(source.size))
        else:
            z, y, x = (n - np.abs(lags) for n, lags in zip(self.extent, self.lags, strict=True))
            self.pairs = np.einsum("i,j,k->ijk", z.astype(np.float64), y, x)

    def deviations(self, phase: int) -> np.ndarray:
        """As `Correlations.deviations`."""
        return self._sums[phase]

    def _correlate(self, source: PhaseSource, side: int, fields: list[int]) -> dict[int, np.ndarray]:
        from scipy import fft

        block, size = transform_sizes(self.extent, self.reach, side)
        dtype = np.float64 if math.prod(size) <= _EXACT else np.float32
        sums: dict[int, np.ndarray] = {}
        for around, own in self._surroundings(source, block):
            inside = around != OUTSIDE
            if not inside[own].any():
                continue
            for field in fields:
                values = _values(around == field, inside, field, source, dtype)
                outer = fft.rfftn(values, size, workers=self._workers)
                # at its place in the surroundings, so that a lag is the difference of the places
                alone = np.zeros_like(values)
                alone[own] = values[own]
                del values
                inner = fft.rfftn(alone, size, workers=self._workers)
                del alone
                np.conj(inner, out=inner)
                inner *= outer
                if field in sums:
                    sums[field] += inner
                else:
                    sums[field] = inner
                del inner, outer
        z, y, x = self.lags
        found = {}
        for field in fields:
            full = fft.irfftn(sums.pop(field), size, workers=self._workers, overwrite_x=True)
            found[field] = full[: len(z)][:, y][:, :, x].astype(np.float64)
        return found

    def _surroundings(
        self, source: PhaseSource, block: tuple[int, int, int]
    ) -> Iterator[tuple[np.ndarray, tuple[slice, slice, slice]]]:
        """Each block with what the lags reach (behind it in z, around it in y and x), and its place in that."""
        (nz, ny, nx), (bz, by, bx), (rz, ry, rx) = self.extent, block, self.reach
        for z in range(0, nz, bz):
            last = min(z + bz, nz)
            slab = source.read(z, min(last + rz, nz))
            missing = last + rz - nz
            if missing > 0:
                more = source.read(0, missing) if self._periodic else np.full((missing, ny, nx), OUTSIDE, np.uint8)
                slab = np.concatenate([slab, more])
            for y, x in product(range(0, ny, by), range(0, nx, bx)):
                rows = np.arange(y - ry, min(y + by, ny) + ry)
                columns = np.arange(x - rx, min(x + bx, nx) + rx)
                if self._periodic:
                    part = slab.take(rows, axis=1, mode="wrap").take(columns, axis=2, mode="wrap")
                else:
                    part = np.full((len(slab), len(rows), len(columns)), OUTSIDE, np.uint8)
                    y0, y1, x0, x1 = (
                        max(rows[0], 0),
                        min(rows[-1] + 1, ny),
                        max(columns[0], 0),
                        min(columns[-1] + 1, nx),
                    )
                    part[:, y0 - rows[0] : y1 - rows[0], x0 - columns[0] : x1 - columns[0]] = slab[:, y0:y1, x0:x1]
                yield part, (slice(0, last - z), slice(ry, len(rows) - ry), slice(rx, len(columns) - rx))


def _values(mask: np.ndarray, inside: np.ndarray, field: int, source: PhaseSource, dtype: Any) -> np.ndarray:
    """What is correlated: a phase's indicator less its fraction, 0 in the background; or 1 in all phases."""
    if field == INSIDE:
        return inside.astype(dtype)
    share = source.counts[field] / sum(source.counts)
    return np.where(mask, dtype(1 - share), np.where(inside, dtype(-share), dtype(0)))


def transform_sizes(
    extent: tuple[int, int, int], reach: tuple[int, int, int], side: int
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Sizes of the blocks that are correlated with their surroundings, and of the transforms for it.

    Parameters
    ----------
    extent : tuple of int
        (Z, Y, X) of the volume.
    reach : tuple of int
        Largest lags along z, y and x.
    side : int
        Voxels along a side of the transforms, as far as the lags leave room.
    """
    from scipy import fft

    around = (reach[0], 2 * reach[1], 2 * reach[2])
    block = [min(n, max(side - a, r // 2, 8)) for n, a, r in zip(extent, around, reach, strict=True)]
    size = [fft.next_fast_len(b + a, real=True) for b, a in zip(block, around, strict=True)]
    return (block[0], block[1], block[2]), (size[0], size[1], size[2])


def largest_side(source: PhaseSource, reach: tuple[int, int, int], memory: int) -> int:
    """Voxels along a side of the transforms for which so many bytes suffice; 0 where they do for none.

    Parameters
    ----------
    source : PhaseSource
    reach : (int, int, int)
        Largest lag along each axis, in voxels.
    memory : int
        Bytes.
    """
    return next((side for side in _TRANSFORMS if near_bytes(source, reach, side) <= memory), 0)


def near_bytes(source: PhaseSource, reach: tuple[int, int, int], side: int) -> int:
    """Memory that `NearCorrelations` of all phases take, with what is made of them.

    Parameters
    ----------
    source : PhaseSource
    reach : (int, int, int)
        Largest lag along each axis, in voxels.
    side : int
        Voxels along a side of the transforms.

    Returns
    -------
    int
        Bytes.
    """
    block, size = transform_sizes(source.shape, reach, side)
    fields = len(source) + (0 if source.filled else 1)
    number = math.prod(size)
    lags = math.prod(len(lags) for lags in stored_lags(reach))
    slab = 2 * (block[0] + reach[0]) * source.shape[1] * source.shape[2]
    width = 8 if number <= _EXACT else 4
    return slab + number * width * (fields + 4) + lags * (8 * fields + _LAG_BYTES)


class CoarseCorrelations:
    """Autocorrelations of the sums in cells of several voxels a side, for all lags up to half the volume.

    Their sum over all lags is that of the voxels' own; only the lag is rounded to cells.

    Parameters
    ----------
    source : Phases or PhaseVolume
        The volume.
    cell : int
        Voxels along a side of a cell.
    fields : sequence of int
        Indices of the phases.
    threads : int
        0: all cores.
    """

    def __init__(self, source: PhaseSource, cell: int, fields: Sequence[int], *, threads: int = 0) -> None:
        z, y, x = (-(-n // cell) for n in source.shape)
        self.extent, self.reach = (z, y, x), half((z, y, x))
        self.full_reach, self.lags = self.reach, stored_lags(self.reach)
        self.weights = np.where(self.lags[0] > 0, 2.0, 1.0)[:, None, None]
        self._workers = thread_count(threads)
        self._cells = {field: np.zeros(self.extent, np.float32) for field in (*fields, INSIDE)}
        for place in range(z):
            slices = source.read(place * cell, min((place + 1) * cell, source.shape[0]))
            for field, cells in self._cells.items():
                values = _values(slices == field, slices != OUTSIDE, field, source, np.float32)
                rows = np.add.reduceat(values.sum(axis=0, dtype=np.float64), range(0, source.shape[1], cell), axis=0)
                cells[place] = np.add.reduceat(rows, range(0, source.shape[2], cell), axis=1)
        self.pairs = self._auto(INSIDE)

    def deviations(self, phase: int) -> np.ndarray:
        """As `Correlations.deviations`."""
        return self._auto(phase)

    def _auto(self, field: int) -> np.ndarray:
        from scipy import fft

        z, y, x = self.lags
        size = [fft.next_fast_len(n + r, real=True) for n, r in zip(self.extent, self.reach, strict=True)]
        spectrum = fft.rfftn(self._cells[field], size, workers=self._workers)
        power = (spectrum.real**2 + spectrum.imag**2).astype(spectrum.dtype)
        del spectrum
        full = fft.irfftn(power, size, workers=self._workers, overwrite_x=True)
        return np.ascontiguousarray(full[: len(z)][:, y][:, :, x])
