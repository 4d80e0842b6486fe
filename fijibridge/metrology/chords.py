"""Chord lengths: how long straight lines along the axes run inside each phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.metrology import plots
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.phases import OUTSIDE, PhaseSource, as_source

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions


@compiled
def _runs(lines, complete, voxels, ends):
    """Count along the last axis: complete chords by phase and length, and the voxels and inner ends of all chords.

    Returns the number of neighbours that both lie in the sample.

    A chord that meets the border or the background is not complete; that end of it is not counted.
    """
    count, length = lines.shape
    neighbours = 0
    for line in range(count):
        start, closed = 0, False
        for x in range(1, length + 1):
            here = lines[line, x - 1]
            if x < length and lines[line, x] == here:
                continue
            after = lines[line, x] if x < length else OUTSIDE
            if here != OUTSIDE:
                voxels[here] += x - start
                neighbours += x - start if after != OUTSIDE else x - start - 1
                ends[here] += (1 if closed else 0) + (1 if after != OUTSIDE else 0)
                if closed and after != OUTSIDE:
                    complete[here, x - start] += 1
            closed = here != OUTSIDE
            start = x
    return neighbours


@compiled
def _runs_down(slab, length, phase, closed, complete, voxels, ends):
    """As `_runs`, along the first axis and slab by slab.

    `length`, `phase` and `closed` are those of each column's chord so far; a slice of the background ends all chords.
    """
    neighbours = 0
    for z in range(slab.shape[0]):
        for y in range(slab.shape[1]):
            for x in range(slab.shape[2]):
                here, before = slab[z, y, x], phase[y, x]
                if here == before:
                    length[y, x] += 1
                    continue
                if before != OUTSIDE:
                    run, open_end = length[y, x], here == OUTSIDE
                    voxels[before] += run
                    neighbours += run - 1 if open_end else run
                    ends[before] += (1 if closed[y, x] else 0) + (0 if open_end else 1)
                    if closed[y, x] and not open_end:
                        complete[before, run] += 1
                closed[y, x] = before != OUTSIDE
                phase[y, x] = here
                length[y, x] = 1
    return neighbours


def chord_lengths(labels: Any, **options: Unpack[PhasesOptions]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Chord-length distribution of each phase along each axis.

    Chords cut by the border of the image are left out of the distribution, and each length is weighted by the number of
    places where the image would hold it whole (Miles and Lantuejoul's correction: long chords are cut more often); the
    mean length is that of all chords, including cut ones: length in the phase over half the number of ends (Torquato
    2002, Random Heterogeneous Materials, ch. 2.5; Serra 1982).

    Parameters
    ----------
    labels : array_like, Phases or PhaseVolume
        (Y, X) or (Z, Y, X) labels.
    **options
        Spacing, unit, background and names as `as_phases` takes them.

    Returns
    -------
    means : pandas.DataFrame
        ``phase``, ``axis``, ``mean_chord`` (in the spacing's unit; infinite where no chord ends inside the image),
        ``chords`` (number of complete chords).
    distribution : pandas.DataFrame
        ``phase``, ``axis``, ``length``, ``probability`` (share of the chords, sums to 1), ``density`` (that a
        unit of length).

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`.
    """
    import pandas as pd

    source = as_source(labels, **options)
    means, curves = [], []
    for axis, found in _counted(source).items():
        place = source.axis(axis)
        step, size = source.spacing[place], source.shape[place]
        for phase, name in source:
            share = found.voxels[phase] / found.voxels.sum()
            mean = share / (found.ends[phase] / 2 / found.neighbours) * step if found.ends[phase] else float("inf")
            number = found.complete[phase]
            means.append({"phase": name, "axis": axis, "mean_chord": mean, "chords": int(number.sum())})
            lengths = np.flatnonzero(number)
            if len(lengths) == 0:
                continue
            weighted = number[lengths] / (size - lengths - 1)
            share = weighted / weighted.sum()
            curves.append(
                pd.DataFrame(
                    {
                        "phase": name,
                        "axis": axis,
                        "length": lengths * step,
                        "probability": share,
                        "density": share / step,
                    }
                )
            )
    empty = pd.DataFrame(columns=["phase", "axis", "length", "probability", "density"])
    return pd.DataFrame(means), pd.concat(curves, ignore_index=True) if curves else empty


class _Chords:
    """The chords of one axis, so far."""

    def __init__(self, source: PhaseSource, axis: str) -> None:
        self.complete = np.zeros((len(source), source.shape[source.axis(axis)] + 1), np.int64)
        self.voxels, self.ends = np.zeros(len(source), np.int64), np.zeros(len(source), np.int64)
        self.neighbours = 0


def _counted(source: PhaseSource) -> dict[str, _Chords]:
    """The chords along each axis, in one pass through the slabs."""
    found = {axis: _Chords(source, axis) for axis in source.axes}
    plane = source.shape[1:]
    length, phase, closed = np.zeros(plane, np.int32), np.full(plane, OUTSIDE, np.uint8), np.zeros(plane, bool)

    def down(slices: np.ndarray) -> None:
        along = found["z"]
        along.neighbours += _runs_down(slices, length, phase, closed, along.complete, along.voxels, along.ends)

    for slab in source.slabs():
        for axis in set(source.axes) - {"z"}:
            along = found[axis]
            lines = np.ascontiguousarray(np.moveaxis(slab.index, source.axis(axis), -1)).reshape(
                -1, source.shape[source.axis(axis)]
            )
            along.neighbours += _runs(lines, along.complete, along.voxels, along.ends)
        if "z" in found:
            down(slab.index)
    if "z" in found:
        down(np.full((1, *plane), OUTSIDE, np.uint8))
    return found


def _measure(context: Context) -> None:
    means, context.curves["chords"] = chord_lengths(context.source)
    for row in means.itertuples():
        context.add("mean_chord", row.mean_chord, context.length_unit(1), row.phase, axis=row.axis)


def _draw(found: Measurement) -> Figure:
    figure, axes = plots.figure(len(found.phases.axes))
    curves = found.curves["chords"]
    for axis, direction in zip(axes, found.phases.axes, strict=True):
        for phase, name in found.phases:
            curve = curves[(curves.phase == name) & (curves.axis == direction)]
            axis.plot(curve.length, curve.density, color=plots.colour(phase), label=name)
        axis.set_title(f"along {direction}", fontsize=9)
        axis.set(xlabel=f"chord length ({found.phases.unit})", ylabel=f"density (1/{found.phases.unit})")
    limit = curves.length[curves.probability > 1e-3].max() if len(curves) else 1
    for axis in axes:
        axis.set_xlim(0, limit)
    axes[-1].legend(frameon=False, fontsize=8)
    return figure


CHORDS = Metric(_measure, _draw, slabs=_measure)
