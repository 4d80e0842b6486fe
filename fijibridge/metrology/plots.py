"""Parts of the metrics' figures, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.images.palette import DEFAULT_COLORS
from fijibridge.metrology.catalogue import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fijibridge.metrology.metric import Measurement

AXIS_STYLES = {"radial": "-", "z": ":", "y": "--", "x": "-."}


def colour(number: int) -> tuple[float, float, float]:
    """The colour of the phase with a place, (r, g, b) from 0 to 1."""
    red, green, blue = DEFAULT_COLORS[number % len(DEFAULT_COLORS)]
    return red / 255, green / 255, blue / 255


def figure(
    panels: int = 1,
    *,
    panel: tuple[float, float] = (3.3, 3.0),
    margin: tuple[float, float] = (2.2, 0.6),
    columns: int = 3,
) -> tuple[Figure, list[Axes]]:
    """A figure with panels in rows.

    It is made without pyplot, so that nothing of the user's own plots is touched and no window opens.

    Parameters
    ----------
    panels : int
        Number of panels.
    panel : tuple of float
        Width and height that each takes, inches.
    margin : tuple of float
        Width and height added to the figure, inches.
    columns : int
        Panels in a row at most.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : list of matplotlib.axes.Axes
        One a panel, row by row.
    """
    from matplotlib.figure import Figure

    columns = min(panels, columns)
    rows = -(-panels // columns)
    figure = Figure(figsize=(margin[0] + panel[0] * columns, margin[1] + panel[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for extra in axes[panels:]:
        extra.remove()
    for axis in axes[:panels]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[:panels])


def bars(axis: Axes, names: Sequence[str], values: Any, colours: Any, form: str = "{:.3g}") -> None:
    """Draw bars with their numbers; an infinite one has no bar but the word.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where to draw.
    names : sequence of str
        Below the bars.
    values : array_like
        (N,) heights, from 0 up.
    colours : color or sequence of color
        As matplotlib takes them.
    form : str
        Format of the numbers.
    """
    values = np.asarray(values, float)
    finite = np.where(np.isfinite(values), values, 0)
    axis.bar(range(len(names)), finite, color=colours, width=0.65)
    axis.set_xticks(range(len(names)), names, rotation=30 if max(map(len, names), default=0) > 9 else 0)
    top = finite.max(initial=0) or 1.0
    axis.set_ylim(0, 1.18 * top)
    for place, value in enumerate(values):
        text = form.format(value) if np.isfinite(value) else "infinite"
        axis.text(place, finite[place] + 0.02 * top, text, ha="center", va="bottom", fontsize=8)


def grouped_bars(
    axis: Axes, found: Measurement, metric: str, label: str, form: str = "{:.3g}", *, legend: bool = True
) -> None:
    """Draw a bar for each phase (colours) and axis of the image (groups).

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where to draw.
    found : Measurement
        Holds the metric.
    metric : str
        Name in the table's column ``metric``.
    label : str
        Of the y axis.
    form : str
        Format of the numbers.
    legend : bool
        Whether to add the legend of the phases.
    """
    rows = found.rows(metric)
    axes = [name for name in found.phases.axes if name in set(rows.axis)]
    number = len(found.phases)
    values = rows.value[np.isfinite(rows.value)]
    top = values.max() if len(values) and values.max() > 0 else 1.0
    for phase, name in found.phases:
        for place, direction in enumerate(axes):
            value = float(rows.value[(rows.phase == name) & (rows.axis == direction)].iloc[0])
            x = place + (phase - (number - 1) / 2) * 0.8 / number
            height = value if np.isfinite(value) else 0
            axis.bar(x, height, 0.74 / number, color=colour(phase), label=None if place else name)
            text = form.format(value) if np.isfinite(value) else "infinite"
            axis.text(x, height + 0.02 * top, text, ha="center", va="bottom", fontsize=7, rotation=90)
    axis.set_xticks(range(len(axes)), axes)
    axis.set(xlabel="axis", ylabel=label, ylim=(0, 1.3 * top))
    if legend:
        axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def write_plots(found: Measurement, folder: Path) -> list[str]:
    """Write a PNG for each metric that was measured.

    Parameters
    ----------
    found : Measurement
        From `measure`.
    folder : Path
        Exists.

    Returns
    -------
    list of str
        Names of the files.
    """
    names = []
    for name in found.metrics:
        draw = METRICS[name].draw
        drawing = draw(found) if draw else None
        if drawing is not None:
            names.append(f"{name}.png")
            drawing.savefig(folder / names[-1], dpi=130)
    return names
