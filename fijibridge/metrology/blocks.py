"""A metric of an image of any size: on the whole where memory suffices, slab by slab, or in sampled blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.machine import free_memory
from fijibridge.core.progress import bar
from fijibridge.metrology.metric import COLUMNS, Context, Metric
from fijibridge.phases.phases import Phases

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = 8  # as many, or a few more where that fills the image evenly
_FEWEST = 4  # blocks are made smaller until so many fit beside each other
_SIDES = {2: 4096, 3: 256}  # pixels, voxels along a side of a block at most
_SMALLEST = 16
_PROGRAM = 400 * 2**20  # bytes that the program takes with its libraries
_USED = 0.7  # share of the free memory
_KEYS = ["metric", "phase", "other", "axis", "unit"]


def allowed_memory(limit: int = 0) -> int:
    """Memory for measuring.

    Parameters
    ----------
    limit : int
        Bytes that the program may take in all; 0: what is free.

    Returns
    -------
    int
        Bytes.
    """
    return max(limit - _PROGRAM, limit // 2) if limit else int(_USED * free_memory())


def measure_within(context: Context, metric: Metric, name: str) -> str:
    """Measure an image by a metric, in the best way for which memory suffices.

    Parameters
    ----------
    context : Context
        Gets the metric's rows, curves and notes.
    metric : Metric
        What to measure.
    name : str
        Its name, for the notes.

    Returns
    -------
    str
        On what, as in `Measurement.how`.
    """
    source = context.source
    if metric.slabs is not metric.measure and source.size * metric.voxel_bytes(source) <= context.memory:
        metric.measure(context)
        return "whole"
    if metric.slabs is not None:
        metric.slabs(context)
        loaded = isinstance(source, Phases) and metric.slabs is metric.measure
        return "whole" if loaded else f"slabs of {_several(source.slab_slices, 'slice')}"
    return _measure_blocks(context, metric, name)


def _measure_blocks(context: Context, metric: Metric, name: str) -> str:
    import pandas as pd

    source = context.source
    side = min(_SIDES[source.ndim], int((context.memory / metric.voxel_bytes(source)) ** (1 / source.ndim)))
    corners, size = spread_blocks(source.shape, side)
    tables, curves, notes = [], [], []
    with bar(f"{name}, blocks", len(corners)) as steps:
        for corner in corners:
            part = replace(context, source=source.block(corner, size), rows=[], curves={}, notes=[], _shared={})
            metric.measure(part)
            tables.append(pd.DataFrame(part.rows, columns=list(COLUMNS)))
            curves.append(part.curves)
            notes += [note for note in part.notes if note not in notes]
            steps.update()
    words = " x ".join(map(str, size[3 - source.ndim :])) + (" voxels" if source.ndim == 3 else " pixels")
    how = f"{_several(len(corners), 'block')} of {words}"
    needed = source.size * metric.voxel_bytes(source) / 2**30
    context.notes.append(
        f"{name}: mean and standard deviation (spread) of {how}, since the whole would take {needed:.3g} GiB of memory "
        f"where {context.memory / 2**30:.3g} GiB may be taken"
    )
    context.notes.extend(notes)
    for row in _mean_rows(pd.concat(tables)):
        endless = row.pop("endless")
        if endless and math.isfinite(row["value"]):
            about = " ".join(part for part in (row["phase"], row["other"], row["axis"]) if part)
            context.notes.append(
                f"{row['metric']} of {about}: infinite in {endless} of {len(corners)} blocks; the mean is of the others"
            )
        context.add(**row)
    for curve in dict.fromkeys(key for found in curves for key in found):
        context.curves[curve] = mean_curve([found[curve] for found in curves if curve in found], metric)
    return how


def _several(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def spread_blocks(
    shape: tuple[int, int, int], side: int, *, count: int = BLOCKS, seed: int = 0
) -> tuple[list[tuple[int, int, int]], tuple[int, int, int]]:
    """Places of blocks that do not overlap, spread over an image: one at random in each of equal cells.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X) of the image.
    side : int
        Voxels along a side of a block at most; less where too few blocks would fit.
    count : int
        Blocks, where so many fit; more, but not twice as many, where the cells come out so.
    seed : int
        The same number, the same places.

    Returns
    -------
    corners : list of tuple of int
        First voxels (z, y, x).
    size : tuple of int
        (Z, Y, X) of each block.
    """
    side = max(side, _SMALLEST)
    while True:
        z, y, x = (min(n, side) for n in shape)
        size, cells = (z, y, x), [1, 1, 1]
        while math.prod(cells) < count:
            free = [axis for axis in range(3) if shape[axis] // (cells[axis] + 1) >= size[axis]]
            if not free:
                break
            cells[max(free, key=lambda axis: shape[axis] / cells[axis])] += 1
        if math.prod(cells) >= min(_FEWEST, count) or side <= _SMALLEST:
            break
        side = max(int(0.9 * side), _SMALLEST)
    rng = np.random.default_rng(seed)
    corners = []
    for place in product(*map(range, cells)):
        z, y, x = (
            int(rng.integers(number * n // parts, (number + 1) * n // parts - s + 1))
            for number, parts, n, s in zip(place, cells, shape, size, strict=True)
        )
        corners.append((z, y, x))
    return corners, size


def _mean_rows(rows: pd.DataFrame) -> Iterator[dict]:
    """A row for each number: its mean over the blocks where it is finite, and in how many it is infinite."""
    for key, group in rows.groupby(_KEYS, sort=False):
        values = group.value.to_numpy(float)
        finite, endless = values[np.isfinite(values)], int(np.isinf(values).sum())
        bounds = {side: float(group[side].mean()) for side in ("low", "high")}
        yield {
            **dict(zip(_KEYS, key, strict=True)),
            **bounds,
            "value": float(finite.mean()) if len(finite) else math.inf if endless else math.nan,
            "spread": float(finite.std(ddof=1)) if len(finite) > 1 else math.nan,
            "endless": endless,
        }


def mean_curve(curves: list[pd.DataFrame], metric: Metric) -> pd.DataFrame:
    """The mean of the curves of several blocks, with the standard deviation of each column as ``COLUMN_spread``.

    Parameters
    ----------
    curves : list of pandas.DataFrame
        With the same columns; text tells curves apart, the first number is the place.
    metric : Metric
        Says by `Metric.beyond` how a curve that ended goes on.

    Returns
    -------
    pandas.DataFrame
    """
    import pandas as pd

    keys = [name for name in curves[0].columns if not pd.api.types.is_numeric_dtype(curves[0][name])]
    place, *values = [name for name in curves[0].columns if name not in keys]
    every = pd.concat([curve.assign(block=number) for number, curve in enumerate(curves)], ignore_index=True)
    every["bin"] = every.groupby([*keys, "block"], sort=False).cumcount() if keys else every.groupby("block").cumcount()
    pieces = []
    for key, group in every.groupby(keys, sort=False) if keys else [((), every)]:
        piece = pd.DataFrame({place: group.groupby("bin")[place].mean()})
        for name in values:
            table = group.pivot(index="bin", columns="block", values=name)
            if name in metric.beyond:
                table = table.fillna(metric.beyond[name])
            piece[name], piece[f"{name}_spread"] = table.mean(axis=1), table.std(axis=1)
        for name, value in zip(keys, key, strict=True):
            piece[name] = value
        pieces.append(piece[[*keys, *(name for name in piece.columns if name not in keys)]])
    return pd.concat(pieces, ignore_index=True)
