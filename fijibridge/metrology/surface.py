"""Specific surface of each phase, interface area of each pair, and the triple-phase boundary."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.metrology import plots
from fijibridge.metrology.intercepts import interface_areas
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.phases import PhaseSource, Slab, as_source

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions

# Voxels. Planes in random directions come out 0.8 % too large with 0.7 (1.7 % in the worst) and spheres of radius 7
# 1.1 % too small; with 1.0 it is 0.0 % and 2.9 %. Lines have no such curvature to lose: 0.2 % with 1.0, 1.3 % with 0.7.
SIGMA_AREA, _SIGMA_LINE = 0.7, 1.0
# Slices that a slope depends on: the Gaussian is cut off at 4 sigma, the difference takes one more.
HALO_AREA, _HALO_LINE = 4, 5
_MESHED = 64  # slices at a time: a mesh of all would take gigabytes
_THIN = 0.15  # relative difference of two methods above which a note says so


def specific_surface(labels: Any, *, method: str = "gradient", **options: Unpack[PhasesOptions]) -> pd.DataFrame:
    """Interface area between each pair of phases, and of each phase, per volume (2D: length per area).

    ``"gradient"``: the integral of ``|grad(p)|`` of the phase's indicator smoothed by a Gaussian of 0.7 voxels
    (the coarea formula, Federer 1959); right to 2 % for planes in any direction and for bodies of more than some 12
    voxels across; layers thinner than about 3 voxels come out too small. ``"marching-cubes"``: the area of the 0.5
    isosurface of the voxels themselves (Lewiner et al. 2003; in 2D marching squares), which keeps thin layers and is
    some 8 % too large on curved surfaces (17 % with flat voxels). Faces of voxels are
    never counted: that would be 50 % too large. The interface of a pair is ``(S_i + S_j - S_ij) / 2``, with S_ij of
    both phases taken as one. ``"intercepts"``: lines in 13 directions (2D: 4) and Crofton's formula, as MorphoLibJ in
    Fiji (Lehmann and Legland 2012, Insight J.), each pair counted for itself; right for layers of a voxel or two too,
    with up to 5 % of error where all interfaces lie in one direction. Faces of the image are no surface.

    Parameters
    ----------
    labels : array_like, Phases or PhaseVolume
        (Y, X) or (Z, Y, X) labels.
    method : {"gradient", "marching-cubes", "intercepts"}
        See above.
    **options
        Spacing, unit, background and names as `as_phases` takes them.

    Returns
    -------
    pandas.DataFrame
        ``phase``, ``other`` (empty: with all other phases together), ``area``, ``specific_surface`` (area over the
        volume of all phases), ``per_phase_volume`` (area over the volume of ``phase``). Interfaces with the background
        count nowhere.

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`; another method.
    """
    phases = as_source(labels, **options)
    return _surface_table(phases, pair_areas(phases, method))


def _surface_table(phases: PhaseSource, pairs: dict[tuple[int, int], float]) -> pd.DataFrame:
    import pandas as pd

    rows = []

    def row(phase: int, other: str, value: float) -> None:
        own = phases.counts[phase] * phases.voxel
        rows.append(
            {
                "phase": phases.names[phase],
                "other": other,
                "area": value,
                "specific_surface": value / phases.measure,
                "per_phase_volume": value / own,
            }
        )

    for phase, _ in phases:
        row(phase, "", sum(value for pair, value in pairs.items() if phase in pair))
    for (a, b), value in pairs.items():
        row(a, phases.names[b], value)
    return pd.DataFrame(rows)


def pair_areas(phases: PhaseSource, method: str) -> dict[tuple[int, int], float]:
    """Area of the interface of each pair of phases.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        The image.
    method : {"gradient", "marching-cubes", "intercepts"}
        As for `specific_surface`.

    Returns
    -------
    dict
        (index of a phase, index of another) -> area; length in 2D.

    Raises
    ------
    SettingsError
        Another method.
    """
    pairs = list(combinations(range(len(phases)), 2))
    if method == "intercepts":
        areas = interface_areas(phases)
        return {(a, b): float(areas[a, b]) for a, b in pairs}
    if method not in ("gradient", "marching-cubes"):
        raise SettingsError(
            f"method = {method!r}", expected="gradient, marching-cubes or intercepts", remedy="check the spelling"
        )
    # a phase's own surface includes that with the background, which cancels in the pairs
    single = [(phase,) for phase, _ in phases]
    both: dict[tuple[int, int], tuple[int, ...] | None] = {}
    for a, b in pairs:
        if len(phases) == 2 and phases.filled:
            both[a, b] = None  # all there is has no surface
        elif len(phases) == 3 and phases.filled:  # two together have the surface of the third
            both[a, b] = (3 - a - b,)
        else:
            both[a, b] = (a, b)
    found = _areas(phases, {*single, *(several for several in both.values() if several)}, method)
    return {
        (a, b): max((found[a,] + found[b,] - (found[several] if several else 0.0)) / 2, 0.0)
        for (a, b), several in both.items()
    }


def _areas(phases: PhaseSource, sets: set[tuple[int, ...]], method: str) -> dict[tuple[int, ...], float]:
    """Surface of each set of phases taken as one, in one pass through the slabs."""
    area, before, after = (_gradient_area, HALO_AREA, HALO_AREA) if method == "gradient" else (_mesh_area, 0, 1)
    found = dict.fromkeys(sorted(sets), 0.0)
    for slab in phases.slabs(before=before, after=after):
        for several in found:
            found[several] += area(phases, _mask(slab, several), slab.own)
    return found


def _mask(slab: Slab, several: tuple[int, ...]) -> np.ndarray:
    """Where one of several phases is."""
    return np.logical_or.reduce([slab.index == phase for phase in several])


def smoothed(phases: PhaseSource, mask: np.ndarray, sigma: float) -> np.ndarray:
    """A mask smoothed along the axes that have more than one voxel; the image is mirrored at its faces.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        The image that the mask is of.
    mask : np.ndarray
        (Z, Y, X) bool: some of its slices.
    sigma : float
        Of the Gaussian, in voxels.

    Returns
    -------
    np.ndarray
        float32 of the mask's shape.
    """
    from scipy import ndimage as ndi

    sigmas = [sigma if size > 1 else 0 for size in phases.shape]
    return ndi.gaussian_filter(mask.astype(np.float32), sigmas, mode="reflect")


def _slope(field: np.ndarray, axis: int, step: float) -> np.ndarray:
    """Central difference along an axis; at the ends that of the mirror image."""
    moved = np.moveaxis(field, axis, 0)
    slope = np.zeros_like(moved)
    if len(moved) > 2:
        slope[1:-1] = (moved[2:] - moved[:-2]) / np.float32(2 * step)
    if len(moved) > 1:
        slope[0] = (moved[1] - moved[0]) / np.float32(2 * step)
        slope[-1] = (moved[-1] - moved[-2]) / np.float32(2 * step)
    return np.moveaxis(slope, 0, axis)


def _gradient_area(phases: PhaseSource, mask: np.ndarray, own: slice) -> float:
    """The part of a surface that lies in the slab's own slices."""
    field = smoothed(phases, mask, SIGMA_AREA)
    square = np.zeros(field.shape, np.float32)
    for axis in phases.axes:
        place = phases.axis(axis)
        square += _slope(field, place, phases.spacing[place]) ** 2
    np.sqrt(square, out=square)
    return float(square[own].sum(dtype=np.float64)) * phases.voxel


def _mesh_area(phases: PhaseSource, mask: np.ndarray, own: slice) -> float:
    """Area of the 0.5 isosurface (length of the contour in 2D), open at the mask's faces: of the cells of a slab."""
    from skimage import measure

    if mask.all() or not mask.any():
        return 0.0
    if phases.ndim == 2:
        total = 0.0
        for contour in measure.find_contours(mask[0].astype(np.float32), 0.5):
            steps = np.diff(contour, axis=0) * np.array(phases.spacing[1:])
            total += float(np.hypot(*steps.T).sum())
        return total
    total = 0.0
    for start in range(0, mask.shape[0] - 1, _MESHED):
        part = mask[start : start + _MESHED + 1]
        if part.shape[0] < 2 or part.all() or not part.any():
            continue
        vertices, faces, *_ = measure.marching_cubes(part.astype(np.float32), 0.5, spacing=phases.spacing)
        total += float(measure.mesh_surface_area(vertices, faces))
    return total


def triple_phase_boundary(labels: Any, **options: Unpack[PhasesOptions]) -> pd.DataFrame:
    """Length of the lines where three phases meet, per volume (2D: number of such points per area).

    Around a line where three phases meet their smoothed indicators take every triple of shares once, so that the area
    formula (Federer 1959), used on two of them, gives its length: ``L = 2 * integral of |grad(p_i) x grad(p_j)|``. No
    edges of voxels are counted, which would give a line in a general direction up to 1.7 times its length. Of more than
    three phases, ``L_ijk = (T_ij + T_ik - T_i,jk) / 2`` with T of two phases (j and k taken as one) and all others.

    Parameters
    ----------
    labels : array_like, Phases or PhaseVolume
        (Y, X) or (Z, Y, X) labels.
    **options
        Spacing, unit, background and names as `as_phases` takes them.

    Returns
    -------
    pandas.DataFrame
        ``phases`` (names joined by " / "), ``length`` (2D: number of points), ``density`` (over the volume of all
        phases). No rows for fewer than three phases.

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`.
    """
    import pandas as pd

    phases = as_source(labels, **options)
    triples = list(combinations(range(len(phases)), 3))
    # T of two (sets of) phases: length of the lines where they and any other phase meet
    simple = len(phases) == 3 and phases.filled
    wanted = {
        pair
        for i, j, k in triples
        for pair in ([((i,), (j,))] if simple else [((i,), (j,)), ((i,), (k,)), ((i,), (j, k))])
    }
    lines = dict.fromkeys(sorted(wanted), 0.0)
    for slab in phases.slabs(before=_HALO_LINE, after=_HALO_LINE) if wanted else ():
        for pair in lines:
            lines[pair] += _line_length(phases, _mask(slab, pair[0]), _mask(slab, pair[1]), slab.own)
    rows = []
    for i, j, k in triples:
        first = lines[(i,), (j,)]
        length = first if simple else max((first + lines[(i,), (k,)] - lines[(i,), (j, k)]) / 2, 0.0)
        rows.append(
            {
                "phases": " / ".join(phases.names[phase] for phase in (i, j, k)),
                "length": length,
                "density": length / phases.measure,
            }
        )
    return pd.DataFrame(rows, columns=["phases", "length", "density"])


def _line_length(phases: PhaseSource, a: np.ndarray, b: np.ndarray, own: slice) -> float:
    """The part of the lines that lies in the slab's own slices."""
    slopes = []
    for mask in (a, b):
        field = smoothed(phases, mask, _SIGMA_LINE)
        slopes.append(
            [_slope(field, phases.axis(axis), phases.spacing[phases.axis(axis)])[own] for axis in phases.axes]
        )
    u, v = slopes
    square = np.zeros(u[0].shape, np.float32)
    for i, j in combinations(range(phases.ndim), 2):
        square += (u[i] * v[j] - u[j] * v[i]) ** 2
    return 2 * float(np.sqrt(square, out=square).sum(dtype=np.float64)) * phases.voxel


def _measure_surface(context: Context) -> None:
    found = pair_areas(context.source, context.surface_method)
    for row in _surface_table(context.source, found).itertuples():
        if row.other:
            context.add("interface_area", row.specific_surface, context.length_unit(-1), row.phase, other=row.other)
        else:
            context.add("specific_surface", row.specific_surface, context.length_unit(-1), row.phase)
            context.add("surface_of_phase_volume", row.per_phase_volume, context.length_unit(-1), row.phase)
    if context.surface_method == "intercepts":
        return
    # a cheap check: smoothing removes thin parts that intercepts count
    exact = pair_areas(context.source, "intercepts")
    for phase, name in context.source:
        ours, theirs = (sum(area for pair, area in areas.items() if phase in pair) for areas in (found, exact))
        if theirs and abs(ours / theirs - 1) > _THIN:
            context.notes.append(
                f"{name}: its surface by {context.surface_method} is {ours / theirs:.2f} times that by intercepts: "
                "parts of it are a few voxels thick; --surface intercepts is made for that"
            )


def _draw_surface(found: Measurement) -> Figure:
    figure, axes = plots.figure(2)
    own = found.rows("specific_surface")
    pairs = found.rows("interface_area")
    what = "area per volume" if found.phases.ndim == 3 else "length per area"
    plots.bars(axes[0], list(own.phase), own.value, [plots.colour(k) for k in range(len(own))])
    plots.bars(axes[1], [f"{a} /\n{b}" for a, b in zip(pairs.phase, pairs.other, strict=True)], pairs.value, "0.5")
    axes[1].tick_params(axis="x", rotation=0)
    for axis, title in zip(axes, ("each phase", "each pair of phases"), strict=True):
        axis.set_title(title, fontsize=9)
        axis.set(ylabel=f"{what} (1/{found.phases.unit})")
    return figure


SURFACE = Metric(_measure_surface, _draw_surface, slabs=_measure_surface)


def _measure_triple(context: Context) -> None:
    found = triple_phase_boundary(context.source)
    if not len(found):
        context.notes.append("no triple-phase boundary: the image has fewer than three phases")
    for row in found.itertuples():
        context.add("triple_phase_boundary", row.density, context.length_unit(-2), row.phases)


def _draw_triple(found: Measurement) -> Figure | None:
    rows = found.rows("triple_phase_boundary")
    if not len(rows):
        return None
    figure, (axis,) = plots.figure()
    what = "length per volume" if found.phases.ndim == 3 else "points per area"
    plots.bars(axis, [name.replace(" / ", " /\n") for name in rows.phase], rows.value, "0.5")
    axis.tick_params(axis="x", rotation=0)
    axis.set(ylabel=f"triple-phase boundary,\n{what} (1/{found.phases.unit}²)")
    return figure


TRIPLE = Metric(_measure_triple, _draw_triple, slabs=_measure_triple)
