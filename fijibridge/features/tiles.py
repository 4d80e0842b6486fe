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


def _overlap(tile: int) -> int:
    """Patches that neighbouring tiles share at least: half a tile, so that nearly every patch is seen by four tiles.

    With a quarter instead, the ViT costs a third less and the mean IoU of the tuning images is 0.003 to 0.013 lower.
    """
    return tile // 2


def spans(length: int, tile: int) -> list[slice]:
    """Cut ``length`` patches into overlapping spans of equal size, as near to ``tile`` patches as goes evenly.

    Returns
    -------
    list of slice
        They cover the whole length; all have one size, at most 1.5 times ``tile``.
    """
    overlap = _overlap(tile)
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


def tiles(grid: tuple[int, int], tile: int) -> Iterator[Tile]:
    """The tiles of a patch grid of ``grid`` = (rows, columns) patches, each about ``tile`` patches wide."""
    overlap = _overlap(tile)
    for rows in spans(grid[0], tile):
        for cols in spans(grid[1], tile):
            yield Tile(rows, cols, np.outer(_ramp(rows, grid[0], overlap), _ramp(cols, grid[1], overlap)))
