"""Tiles on the patch grid: a ViT sees one tile at a time, so that memory does not grow with the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np


@dataclass(frozen=True)
class Tile:
    """One tile: its slices on the patch grid and the (h, w) weights with which it enters the average."""

    rows: slice
    cols: slice
    weight: np.ndarray


def spans(length: int, tile: int, overlap: int) -> list[slice]:
    """Cut ``length`` patches into spans of equal size, as near to ``tile`` patches as goes evenly.

    Parameters
    ----------
    length, tile, overlap : int
        In patches.

    Returns
    -------
    list of slice
        They cover the whole length and overlap by ``overlap`` patches at least; all have one size, at most about 1.5
        times ``tile``.
    """
    count = max(1, round((length - overlap) / (tile - overlap)))
    size = min(length, ceil((length + (count - 1) * overlap) / count))
    starts = [round(i * (length - size) / max(1, count - 1)) for i in range(count)]
    return [slice(start, start + size) for start in starts]


def _ramp(span: slice, length: int, overlap: int) -> np.ndarray:
    """Weights of a span: 1 inside, falling linearly over the overlap at each end that has a neighbour."""
    size = span.stop - span.start
    weight = np.ones(size, np.float32)
    rise = (np.arange(1, overlap + 1, dtype=np.float32) / (overlap + 1))[:size]
    if span.start > 0:
        weight[: rise.size] = rise
    if span.stop < length:
        weight[-rise.size :] = np.minimum(weight[-rise.size :], rise[::-1])
    return weight


def tiles(grid: tuple[int, int], tile: int, overlap: int) -> Iterator[Tile]:
    """The tiles of a patch grid of ``grid`` = (rows, columns) patches, each about ``tile`` patches wide.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns of patches.
    tile, overlap : int
        In patches.
    """
    for rows in spans(grid[0], tile, overlap):
        for cols in spans(grid[1], tile, overlap):
            yield Tile(rows, cols, np.outer(_ramp(rows, grid[0], overlap), _ramp(cols, grid[1], overlap)))


def shift_of(number: int, step: int) -> tuple[int, int]:
    """Patches by which an image is rolled, down and right, for the tiling of this number; tiles lie ``step`` apart.

    The first is not rolled at all; further ones are spread evenly, by the recurrence of :func:`sample_outside`.

    Parameters
    ----------
    number : int
        Of the tiling; 0 is the first.
    step : int
        In patches.
    """
    return round(step * (number * 0.7548776662466927 % 1)), round(step * (number * 0.5698402909980532 % 1))


def sample_outside(grid: tuple[int, int], tile: Tile, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patches outside a tile that stand for all that are outside it.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns of patches.
    tile : Tile
        Of this grid, smaller than it.
    count : int
        Patches wanted.

    Returns
    -------
    rows, cols : ndarray of int64, shape (count,)
        Spread evenly over the grid, and the same for all tiles but for those inside the tile. Where fewer than
        ``count`` are outside, some come several times.
    weight : ndarray of float32, shape (count,)
        For how many patches each stands; they sum to the number outside.
    """
    y, x = np.mgrid[0 : grid[0], 0 : grid[1]]
    outside = np.ones(grid, bool)
    outside[tile.rows, tile.cols] = False
    # an additive recurrence in two irrational steps: low discrepancy, and no stride that falls in step with columns
    order = np.argsort(((y * 0.7548776662466927 + x * 0.5698402909980532) % 1)[outside], kind="stable")
    chosen = np.resize(order, count)
    times = np.bincount(chosen)[chosen]
    weight = order.size / np.unique(chosen).size / times
    return y[outside][chosen], x[outside][chosen], weight.astype(np.float32)
