"""One picture a metric, for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.image_output import DEFAULT_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fijibridge.metrology.measurement import Measurement

_AXIS_STYLES = {"radial": "-", "z": ":", "y": "--", "x": "-."}


def _colour(number: int) -> tuple[float, ...]:
    return tuple(channel / 255 for channel in DEFAULT_COLORS[number % len(DEFAULT_COLORS)])


def _figure(panels: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(panels, 3)
    rows = -(-panels // columns)
    figure = Figure(figsize=(2.2 + 3.3 * columns, 0.6 + 3.0 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for extra in axes[panels:]:
        extra.remove()
    for axis in axes[:panels]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[:panels])


def _bars(axis: Axes, names: list[str], values: Any, colours: Any, form: str = "{:.3g}") -> None:
    """Bars with their numbers; what is infinite gets no bar but the word."""
    values = np.asarray(values, float)
    finite = np.where(np.isfinite(values), values, 0)
    axis.bar(range(len(names)), finite, color=colours, width=0.65)
    axis.set_xticks(range(len(names)), names, rotation=30 if max(map(len, names), default=0) > 9 else 0)
    top = finite.max(initial=0) or 1.0
    axis.set_ylim(0, 1.18 * top)
    for place, value in enumerate(values):
        text = form.format(value) if np.isfinite(value) else "infinite"
        axis.text(place, finite[place] + 0.02 * top, text, ha="center", va="bottom", fontsize=8)


def _grouped(axis: Axes, found: Measurement, metric: str, label: str, form: str = "{:.3g}") -> None:
    """Bars a phase (colours) and axis (groups) of one metric."""
    rows = found.table[found.table.metric == metric]
    axes = [name for name in found.phases.axes if name in set(rows.axis)]
    number = len(found.phases)
    values = rows.value[np.isfinite(rows.value)]
    top = values.max() if len(values) and values.max() > 0 else 1.0
    for phase, name in found.phases:
        for place, direction in enumerate(axes):
            value = float(rows.value[(rows.phase == name) & (rows.axis == direction)].iloc[0])
            x = place + (phase - (number - 1) / 2) * 0.8 / number
            height = value if np.isfinite(value) else 0
            axis.bar(x, height, 0.74 / number, color=_colour(phase), label=None if place else name)
            text = form.format(value) if np.isfinite(value) else "infinite"
            axis.text(x, height + 0.02 * top, text, ha="center", va="bottom", fontsize=7, rotation=90)
    axis.set_xticks(range(len(axes)), axes)
    axis.set(xlabel="axis", ylabel=label, ylim=(0, 1.3 * top))
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _fractions(found: Measurement) -> Figure:
    figure, (axis,) = _figure()
    rows = found.table[found.table.metric == "fraction"]
    for phase, row in enumerate(rows.itertuples()):
        axis.bar(phase, row.value, 0.65, color=_colour(phase))
        if np.isfinite(row.low):
            low, high = max(row.value - row.low, 0), max(row.high - row.value, 0)
            axis.errorbar(phase, row.value, [[low], [high]], color="black", capsize=4)
        top = row.high if np.isfinite(row.high) else row.value
        axis.annotate(
            f"{100 * row.value:.1f} %", (phase, top), (0, 3), textcoords="offset points", ha="center", fontsize=8
        )
    axis.set_xticks(range(len(rows)), list(rows.phase))
    axis.margins(y=0.12)
    axis.set(ylabel="fraction, with confidence interval")
    return figure


def _correlation(found: Measurement) -> Figure:
    pairs = list(dict.fromkeys(zip(*(found.curves["correlation"][name] for name in ("phase", "other")), strict=True)))
    figure, axes = _figure(len(pairs))
    shares = {name: found.phases.counts[phase] / sum(found.phases.counts) for phase, name in found.phases}
    colours = {name: _colour(phase) for phase, name in found.phases}
    for axis, (first, other) in zip(axes, pairs, strict=True):
        curves = found.curves["correlation"]
        curves = curves[(curves.phase == first) & (curves.other == other)]
        for direction, curve in curves.groupby("direction", sort=False):
            colour = colours[first] if direction == "radial" else "0.35"
            axis.plot(
                curve.distance, curve.probability, _AXIS_STYLES[str(direction)], color=colour, label=direction,
                lw=2 if direction == "radial" else 0.9,
            )  # fmt: skip
        axis.axhline(shares[first] * shares[other], color="0.7", lw=0.8, zorder=0)
        axis.set_title(first if first == other else f"{first} / {other}", fontsize=9)
        axis.set(xlabel=f"distance ({found.phases.unit})", ylabel="probability")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def _chords(found: Measurement) -> Figure:
    figure, axes = _figure(len(found.phases.axes))
    curves = found.curves["chords"]
    for axis, direction in zip(axes, found.phases.axes, strict=True):
        for phase, name in found.phases:
            curve = curves[(curves.phase == name) & (curves.axis == direction)]
            axis.plot(curve.length, curve.density, color=_colour(phase), label=name)
        axis.set_title(f"along {direction}", fontsize=9)
        axis.set(xlabel=f"chord length ({found.phases.unit})", ylabel=f"density (1/{found.phases.unit})")
    limit = curves.length[curves.probability > 1e-3].max() if len(curves) else 1
    for axis in axes:
        axis.set_xlim(0, limit)
    axes[-1].legend(frameon=False, fontsize=8)
    return figure


def _surface(found: Measurement) -> Figure:
    figure, axes = _figure(2)
    own = found.table[found.table.metric == "specific_surface"]
    pairs = found.table[found.table.metric == "interface_area"]
    what = "area per volume" if found.phases.ndim == 3 else "length per area"
    _bars(axes[0], list(own.phase), own.value, [_colour(k) for k in range(len(own))])
    _bars(axes[1], [f"{a} /\n{b}" for a, b in zip(pairs.phase, pairs.other, strict=True)], pairs.value, "0.5")
    axes[1].tick_params(axis="x", rotation=0)
    for axis, title in zip(axes, ("each phase", "each pair of phases"), strict=True):
        axis.set_title(title, fontsize=9)
        axis.set(ylabel=f"{what} (1/{found.phases.unit})")
    return figure


def _triple(found: Measurement) -> Figure:
    figure, (axis,) = _figure()
    rows = found.table[found.table.metric == "triple_phase_boundary"]
    what = "length per volume" if found.phases.ndim == 3 else "points per area"
    _bars(axis, [name.replace(" / ", " /\n") for name in rows.phase], rows.value, "0.5")
    axis.tick_params(axis="x", rotation=0)
    axis.set(ylabel=f"triple-phase boundary,\n{what} (1/{found.phases.unit}²)")
    return figure


def _sizes(found: Measurement) -> Figure:
    figure, axes = _figure(2)
    curves = found.curves["sizes"]
    for phase, name in found.phases:
        curve = curves[curves.phase == name]
        axes[0].plot(curve.diameter, curve.fraction, color=_colour(phase), label=name, drawstyle="steps-pre")
        axes[1].plot(curve.diameter, curve.cumulative, color=_colour(phase), label=name)
    for axis, label in zip(axes, ("share of the phase", "cumulative share"), strict=True):
        axis.set(xlabel=f"local thickness ({found.phases.unit})", ylabel=label, ylim=(0, None))
    axes[1].legend(frameon=False, fontsize=8)
    return figure


def _connectivity(found: Measurement) -> Figure:
    figure, (axis,) = _figure()
    _grouped(axis, found, "percolating", "share that percolates", "{:.3f}")
    axis.set_ylim(0, 1.3)
    return figure


def _tortuosity(found: Measurement) -> Figure:
    figure, axes = _figure(2)
    _grouped(axes[0], found, "tortuosity_factor", "tortuosity factor")
    _grouped(axes[1], found, "relative_conductivity", "effective / own conductivity")
    axes[0].get_legend().remove()
    return figure


def _conductivity(found: Measurement) -> Figure:
    figure, (axis,) = _figure()
    rows = found.table[found.table.metric == "effective_conductivity"]
    _bars(axis, list(rows.axis), rows.value, "0.5")
    hashin = found.table[found.table.metric.str.startswith("hashin")].value
    axis.axhspan(*hashin, color=_colour(1), alpha=0.25, lw=0, label="Hashin-Shtrikman bounds", zorder=0)
    for value, label in ((rows.low.iloc[0], "Wiener bounds"), (rows.high.iloc[0], None)):
        axis.axhline(value, color=_colour(5), lw=1, ls="--", label=label)
    axis.set(xlabel="axis", ylabel="effective conductivity", ylim=(0, 1.15 * max(rows.high.iloc[0], 1e-300)))
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


PICTURES: dict[str, Callable[[Measurement], Any]] = {
    "fractions": _fractions,
    "correlation": _correlation,
    "chords": _chords,
    "surface": _surface,
    "triple": _triple,
    "sizes": _sizes,
    "connectivity": _connectivity,
    "tortuosity": _tortuosity,
    "conductivity": _conductivity,
}


def write_pictures(found: Measurement, folder: Path) -> list[str]:
    """Write one PNG for each metric that was measured; the names of the files."""
    names = []
    for metric in found.metrics:
        if metric == "triple" and not (found.table.metric == "triple_phase_boundary").any():
            continue
        name = f"{metric}.png"
        # a figure of its own, without pyplot: nothing of the user's own plots is touched, no window opens
        PICTURES[metric](found).savefig(folder / name, dpi=130)
        names.append(name)
    return names
