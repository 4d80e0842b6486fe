"""Bilinear interpolation between the centres of the patches, on pixels with half-pixel centres."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from fijibridge.core.parallel import compiled_with
from fijibridge.features.upsampling.base import Upsampler, UpsamplingMethod


@dataclass(frozen=True)
class CellPlaces:
    """Where the cells of a grid lie that does not cover the image exactly, or whose centres are not in their middles.

    Parameters
    ----------
    cell : float
        Side of a cell in pixels of the image.
    shift : float
        How far the cells' centres lie down and right of the middles of their squares, in cells.
    """

    cell: float
    shift: float = 0.0


def _lerp(length: int, cells: int, span: slice, places: CellPlaces | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Lower cell and weight of the upper one for the pixel centres of ``span`` (half-pixel centres, clamped)."""
    density, shift = (cells / length, 0.0) if places is None else (1 / places.cell, places.shift)
    place = (np.arange(span.start, span.stop) + 0.5) * density - 0.5 - shift
    place = np.clip(place, 0, cells - 1)
    low = np.minimum(place.astype(np.int64), max(cells - 2, 0))
    return low, (place - low).astype(np.float32)


@compiled_with(parallel=True)
def _bilinear(tokens, y_low, y_part, x_low, x_part, out):  # pragma: no cover - compiled
    cells_y, cells_x, channels = tokens.shape
    for row in numba.prange(y_low.size):
        upper = min(y_low[row] + 1, cells_y - 1)
        fy = y_part[row]
        line = np.empty((cells_x, channels), np.float32)
        for cell in range(x_low[0], min(x_low[-1] + 2, cells_x)):
            for channel in range(channels):
                below = tokens[y_low[row], cell, channel]
                line[cell, channel] = below + fy * (tokens[upper, cell, channel] - below)
        for col in range(x_low.size):
            left = x_low[col]
            right = min(left + 1, cells_x - 1)
            fx = x_part[col]
            for channel in range(channels):
                out[row, col, channel] = line[left, channel] + fx * (line[right, channel] - line[left, channel])


def bilinear(
    tokens: np.ndarray,
    shape: tuple[int, int],
    rows: slice,
    cols: slice,
    out: np.ndarray,
    places: CellPlaces | None = None,
) -> None:
    """Bilinear interpolation with half-pixel centres.

    Parameters
    ----------
    tokens : ndarray, float32, shape (gy, gx, C)
        Features on the patch grid, which covers the image exactly where no `places` are given.
    shape : (int, int)
        Image height and width in pixels.
    rows, cols : slice
        The block wanted, in pixels, with start and stop.
    out : ndarray, float32, shape (h, w, C)
        Filled in place; a view of a wider array serves.
    places : CellPlaces, optional
    """
    if not out.size:  # the compiled loop looks at the first column
        return
    y_low, y_part = _lerp(shape[0], tokens.shape[0], rows, places)
    x_low, x_part = _lerp(shape[1], tokens.shape[1], cols, places)
    _bilinear(tokens, y_low, y_part, x_low, x_part, out)


@compiled_with(parallel=True)
def _bilinear_at(tokens, y_low, y_part, x_low, x_part, out):  # pragma: no cover - compiled
    cells_y, cells_x, channels = tokens.shape
    for i in numba.prange(y_low.size):
        top, left = y_low[i], x_low[i]
        bottom, right = min(top + 1, cells_y - 1), min(left + 1, cells_x - 1)
        fy, fx = y_part[i], x_part[i]
        for channel in range(channels):
            below = tokens[top, left, channel]
            one = below + fy * (tokens[bottom, left, channel] - below)
            below = tokens[top, right, channel]
            other = below + fy * (tokens[bottom, right, channel] - below)
            out[i, channel] = one + fx * (other - one)


def bilinear_at(
    tokens: np.ndarray, shape: tuple[int, int], y: np.ndarray, x: np.ndarray, places: CellPlaces | None = None
) -> np.ndarray:
    """`bilinear` of single pixels: float32 (n, C), equal to the same pixels of a block.

    Parameters
    ----------
    tokens, shape, places
        As of `bilinear`.
    y, x : ndarray of int, shape (n,)
        Rows and columns.
    """
    y_low, y_part = _lerp(shape[0], tokens.shape[0], slice(0, shape[0]), places)
    x_low, x_part = _lerp(shape[1], tokens.shape[1], slice(0, shape[1]), places)
    out = np.empty((len(y), tokens.shape[2]), np.float32)
    _bilinear_at(tokens, y_low[y], y_part[y], x_low[x], x_part[x], out)
    return out


class BilinearUpsampler(Upsampler):
    """Bilinear interpolation on an image.

    Parameters
    ----------
    shape : (int, int)
        Its height and width in pixels.
    places : CellPlaces, optional
        Of grids that do not cover the image exactly.
    """

    def __init__(self, shape: tuple[int, int], places: CellPlaces | None = None) -> None:
        self.shape, self.places = shape, places

    def block(self, tokens: np.ndarray, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :meth:`fijibridge.features.upsampling.base.Upsampler.block`."""
        bilinear(tokens, self.shape, rows, cols, out, self.places)

    def at(self, tokens: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """See :meth:`fijibridge.features.upsampling.base.Upsampler.at`."""
        return bilinear_at(tokens, self.shape, y, x, self.places)


class Bilinear(UpsamplingMethod):
    """Between the centres of the patches."""

    def upsampler(self, grey: np.ndarray, weights: bytes) -> Upsampler:
        """See :meth:`fijibridge.features.upsampling.base.UpsamplingMethod.upsampler`."""
        return BilinearUpsampler((grey.shape[0], grey.shape[1]))


BILINEAR = Bilinear()
