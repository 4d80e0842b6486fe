"""Plots of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.images.palette import class_colors_or_default
from fijibridge.metrology.plots import AXIS_STYLES
from fijibridge.metrology.plots import figure as figure_of
from fijibridge.phases.phases import Phases
from fijibridge.phases.rendering import render
from fijibridge.reconstruction.alike import PLANES
from fijibridge.reconstruction.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

_Colour = tuple[float, float, float]
_DPI = 130
_RARE = 0.005  # share of the longest chords that are not drawn


def write_comparison_pictures(
    comparison: Comparison,
    exemplars: Mapping[str, Phases],
    volume: Phases,
    folder: Path,
    colours: Sequence[Any] | None = None,
    *,
    transparent: Sequence[str] = (),
) -> list[str]:
    """Write ``slices.png``, ``fractions.png``, ``correlation.png``, ``surface.png``, ``chords.png``, ``view.png``.

    Parameters
    ----------
    comparison : Comparison
        Of these images.
    exemplars, volume : mapping of str to Phases, Phases
        As `compare` took them.
    folder : Path
        Exists.
    colours : sequence, optional
        One a phase in the order of ``comparison.names``, as `class_colors_or_default` takes them; by default its
        colours, as the pictures of ``measure`` have them.
    transparent : sequence of str
        Names of phases that are transparent in ``view.png``, such as the pores.

    Returns
    -------
    list of str
        Names of the files.

    Raises
    ------
    SettingsError
        Colours that do not fit.
    """
    from PIL import Image

    palette = class_colors_or_default(comparison.names, colours)
    places = [comparison.names.index(name) for name in transparent if name in comparison.names]
    figures = {
        "slices.png": _slices(comparison, exemplars, volume, palette),
        "fractions.png": _fractions(comparison, palette),
        "correlation.png": _correlation(comparison, palette),
        "surface.png": _surface(comparison, palette),
        "chords.png": _chords(comparison, palette),
    }
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=_DPI)
    picture = render(_indices(comparison, volume), palette, transparent=places, spacing=volume.spacing)
    Image.fromarray(picture).save(folder / "view.png")
    return [*figures, "view.png"]


def _indices(comparison: Comparison, phases: Phases) -> np.ndarray:
    """(Z, Y, X) places in the comparison's list of phases; 255 outside of the sample."""
    table = np.full(256, 255, np.uint8)
    for place, name in phases:
        table[place] = comparison.names.index(name)
    return table[phases.index]


def _figure(panels: int, width: float = 3.3, height: float = 3.0, columns: int = 3) -> tuple[Figure, list[Axes]]:
    return figure_of(panels, panel=(width, height), margin=(0.4, 0.4), columns=columns)


def _rgb(colour: np.ndarray) -> _Colour:
    red, green, blue = (float(channel) / 255 for channel in colour)
    return red, green, blue


def _pale(colour: _Colour) -> _Colour:
    red, green, blue = (0.45 * channel + 0.55 for channel in colour)
    return red, green, blue


# --- slices ----------------------------------------------------------------------------------------------------------


def _slices(comparison: Comparison, exemplars: Mapping[str, Phases], volume: Phases, palette: np.ndarray) -> Figure:
    """Exemplars and middle slices at one scale; a larger exemplar is shown as far as a slice goes."""
    solid = _indices(comparison, volume)
    extent = dict(zip("zyx", (n * s for n, s in zip(solid.shape, volume.spacing, strict=True)), strict=True))
    panels: list[tuple[str, np.ndarray | None, Sequence[float]]] = []
    for plane in (plane for plane in PLANES if plane in exemplars):
        image = exemplars[plane]
        limits = [max(extent.values())] * 2 if comparison.isotropic else [extent[axis] for axis in PLANES[plane]]
        shown, lengths = _middle(_indices(comparison, image)[0], image.spacing[1:], limits)
        part = shown.shape != image.index.shape[1:]
        name = "exemplar" if comparison.isotropic else f"exemplar {plane}"
        panels.append((name + (" (part)" if part else ""), shown, lengths))
    for plane, directions in PLANES.items():
        (normal,) = set("zyx") - set(directions)
        place = solid.shape["zyx".index(normal)] // 2
        picture = np.take(solid, place, axis="zyx".index(normal))
        panels.append((f"volume {plane}, {normal} = {place}", picture, [extent[axis] for axis in directions]))
    columns = 4 if comparison.isotropic else len(panels) if len(panels) <= 4 else 3
    # slices begin a row of their own below fewer than three exemplars
    gap = -len(exemplars) % columns if columns < len(panels) else 0
    panels[len(exemplars) : len(exemplars)] = [("", None, ())] * gap
    figure, axes = _figure(len(panels), 2.7, 2.8, columns)
    colours = np.full((256, 3), 255, np.uint8)
    colours[: len(palette)] = palette
    most = max(side for _, _, sides in panels for side in sides)
    for axis, (title, picture, sides) in zip(axes, panels, strict=True):
        axis.set_axis_off()
        if picture is None:
            continue
        down, across = sides
        axis.imshow(colours[picture], extent=(-across / 2, across / 2, down / 2, -down / 2), interpolation="nearest")
        axis.set(xlim=(-most / 2, most / 2), ylim=(most / 2, -most / 2), aspect="equal")
        axis.set_title(title, fontsize=9)
    if comparison.unit != "px":
        _scale_bar(axes[-1], most, comparison.unit)
    handles = [_patch(_rgb(colour), name) for colour, name in zip(palette, comparison.names, strict=True)]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def _patch(colour: _Colour, label: str) -> Patch:
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, label=label)


def _middle(image: np.ndarray, spacing: Sequence[float], limits: Sequence[float]) -> tuple[np.ndarray, list[float]]:
    """The middle of an image, no longer than the limits, and its sides' lengths."""
    sizes = [
        max(min(size, round(limit / step)), 1) for size, step, limit in zip(image.shape, spacing, limits, strict=True)
    ]
    cut = tuple(slice((n - size) // 2, (n - size) // 2 + size) for n, size in zip(image.shape, sizes, strict=True))
    return image[cut], [size * step for size, step in zip(sizes, spacing, strict=True)]


def _scale_bar(axis: Axes, most: float, unit: str) -> None:
    """A bar of a round length below a panel, about a third of it long."""
    power = 10 ** math.floor(math.log10(most / 3))
    length = max(step * power for step in (1, 2, 5) if step * power <= most / 3)
    low = most / 2 + 0.06 * most
    axis.plot([most / 2 - length, most / 2], [low, low], color="black", lw=3, solid_capstyle="butt", clip_on=False)
    axis.text(
        most / 2 - length / 2, low + 0.03 * most, f"{length:g} {unit}", ha="center", va="top", fontsize=9, clip_on=False
    )
    axis.set_ylim(most / 2 + 0.16 * most, -most / 2)


# --- bars ------------------------------------------------------------------------------------------------------------


def _bars(axis: Axes, groups: Sequence[tuple[str, Any, Sequence[tuple[float, str]]]], form: str) -> None:
    """Groups of bars, each (name, colour, [(value, what), ...]); the last of a group, the volume, in full colour."""
    top = max((value for _, _, bars in groups for value, _ in bars if math.isfinite(value)), default=0) or 1.0
    for place, (_, colour, bars) in enumerate(groups):
        width = 0.8 / len(bars)
        for number, (value, _) in enumerate(bars):
            x = place + (number - (len(bars) - 1) / 2) * width
            height = value if math.isfinite(value) else 0
            full = number == len(bars) - 1
            axis.bar(
                x, height, 0.92 * width, color=colour if full else _pale(colour), hatch=None if full else "///",
                edgecolor=colour, lw=0.5,
            )  # fmt: skip
            axis.text(x, height + 0.02 * top, form.format(value), ha="center", va="bottom", fontsize=7)
    axis.set_xticks(range(len(groups)), [name for name, _, _ in groups], fontsize=8)
    axis.set_ylim(0, 1.15 * top)


def _bar_legend(axis: Axes, what: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    grey = (0.4, 0.4, 0.4)
    handles = [
        Patch(facecolor=_pale(grey), edgecolor=grey, hatch="///", label=", ".join(what)),
        Patch(facecolor=grey, edgecolor=grey, label="volume"),
    ]
    axis.legend(handles=handles, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _sources(comparison: Comparison) -> list[str]:
    planes = list(dict.fromkeys(comparison.rows("fraction").plane))
    return ["exemplar"] if planes == ["all"] else [f"exemplars {' | '.join(planes)}"]


def _fractions(comparison: Comparison, palette: np.ndarray) -> Figure:
    figure, (axis,) = _figure(1, 2.5 + 1.1 * len(comparison.names))
    groups = []
    for name, colour in zip(comparison.names, palette, strict=True):
        rows = comparison.rows("fraction")
        rows = rows[rows.phase == name]
        bars = [(100 * row.exemplar, row.plane) for row in rows.itertuples()]
        groups.append((name, _rgb(colour), [*bars, (100 * rows.volume.iloc[0], "volume")]))
    _bars(axis, groups, "{:.1f}")
    axis.set(ylabel="fraction (%)")
    _bar_legend(axis, _sources(comparison))
    return figure


def _surface(comparison: Comparison, palette: np.ndarray) -> Figure:
    colours = {name: _rgb(colour) for name, colour in zip(comparison.names, palette, strict=True)}
    figure, axes = _figure(2, 4.2)
    for axis, metric, title in zip(
        axes, ("specific_surface", "interface_area"), ("each phase", "each pair of phases"), strict=True
    ):
        groups = []
        for row in comparison.rows(metric).itertuples():
            name = f"{row.phase} /\n{row.other}" if row.other else row.phase
            colour = (0.45, 0.45, 0.45) if row.other else colours[row.phase]
            groups.append((name, colour, [(row.exemplar, "exemplar"), (row.volume, "volume")]))
        _bars(axis, groups, "{:#.3g}")
        axis.set_title(title, fontsize=9)
        axis.set(ylabel=f"area per volume (1/{comparison.unit})")
    _bar_legend(axes[-1], ["exemplar's perimeter · 4/π"])
    return figure


# --- curves ----------------------------------------------------------------------------------------------------------


def _line_legend(axis: Axes, colour: Any, styles: Mapping[str, str], width: float) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color="black", lw=width, label="exemplar")]
    handles += [Line2D([], [], color=colour, lw=width, label="volume")]
    handles += [Line2D([], [], color="0.5", ls=style, lw=1, label=name) for name, style in styles.items()]
    axis.legend(handles=handles, frameon=False, fontsize=8)


def _correlation(comparison: Comparison, palette: np.ndarray) -> Figure:
    """Of isotropic material the mean over all directions, and the volume's axes beside it; else axis by axis."""
    figure, axes = _figure(len(comparison.names))
    curves = comparison.curves["correlation"]
    curves = curves[(curves.phase == curves.other) & (curves.distance <= comparison.reach)]
    isotropic = comparison.isotropic
    styles = AXIS_STYLES if isotropic else {name: AXIS_STYLES[name] for name in "zyx"}
    for axis, name, colour in zip(axes, comparison.names, map(_rgb, palette), strict=True):
        own = curves[curves.phase == name]
        for (plane, direction, which), curve in own.groupby(["plane", "axis", "which"], sort=False):
            exemplar = which == "exemplar"
            # of the one exemplar its mean curve, once
            if direction not in styles or (isotropic and exemplar and (plane, direction) != ("xy", "radial")):
                continue
            axis.plot(
                curve.distance, curve.probability, styles[direction], color="black" if exemplar else colour,
                lw=1.0 if isotropic and direction != "radial" else 1.8 if not exemplar else 1.2,
                zorder=3 if exemplar else 2,
            )  # fmt: skip
        axis.set_title(name, fontsize=9)
        axis.set(xlabel=f"distance ({comparison.unit})", ylabel="probability of the phase at both ends")
    _line_legend(axes[0], _rgb(palette[0]), styles, 1.8)
    return figure


def _chords(comparison: Comparison, palette: np.ndarray) -> Figure:
    """Shares of chords up to a length: of a small image too a smooth curve, which a density is not."""
    figure, axes = _figure(len(comparison.names))
    curves = comparison.curves["chords"]
    planes = ("", "xy") if comparison.isotropic else ("", *PLANES)  # the one exemplar once
    styles = {name: AXIS_STYLES[name] for name in "zyx"}
    for axis, name, colour in zip(axes, comparison.names, map(_rgb, palette), strict=True):
        own = curves[(curves.phase == name) & curves.plane.isin(planes)]
        furthest = 0.0
        for (_, direction, which), curve in own.groupby(["plane", "axis", "which"], sort=False):
            exemplar = which == "exemplar"
            shares = curve.probability.cumsum()
            axis.plot(
                curve.length, shares, styles[direction], color="black" if exemplar else colour,
                lw=1.0 if exemplar else 2.0, zorder=3 if exemplar else 2,
            )  # fmt: skip
            furthest = max(furthest, float(curve.length[shares <= 1 - _RARE].max() if len(shares) > 1 else 0))
        axis.set_title(name, fontsize=9)
        axis.set(xlabel=f"chord length ({comparison.unit})", ylabel="share of chords up to it", ylim=(0, 1.02))
        axis.set_xlim(0, furthest or None)
    _line_legend(axes[0], _rgb(palette[0]), styles, 1.2)
    return figure
