"""Specific surface of each phase, interface area of each pair, and the triple-phase boundary."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.metrology import plots
from fijibridge.metrology.intercepts import interface_areas
from fijibridge.metrology.meshes import mesh_areas
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.phases import PhaseSource, Slab, as_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions

_SIGMA_LINE = 1.0  # voxels: lines have no curvature that a Gaussian would take away
_RIM = 3  # voxels from a face of the image up to which lines are not counted
_HALO_LINE = 5  # slices that a slope depends on: the Gaussian is cut off at 4 sigma, the difference takes one more
# share of a surface that is extrapolated, above which a note says how far off that can be
_ROUGH, _THIN = 0.15, 0.25
_FINE = "less than some 4 voxels across: it may be off by 5 %"
_FINEST = "about one voxel thick: it may be a quarter too large; smaller voxels would tell"
_MESHES = (
    "surfaces by marching cubes are some 8 % too large where they are smooth and curved, more so with flat voxels, and "
    "too small between particles of a few voxels; --surface intercepts is right to 3 % from a radius of 3 voxels on"
)


def specific_surface(labels: Any, *, method: str = "intercepts", **options: Unpack[PhasesOptions]) -> pd.DataFrame:
    """Interface area between each pair of phases, and of each phase, per volume (2D: length per area).

    ``"intercepts"``: Crofton's formula with steps of up to 2.4 voxels in all directions, extrapolated to steps of no
    length, since a step that crosses twice crosses unseen (`fijibridge.metrology.intercepts.step_weights`). Right to
    3 % for overlapping spheres of a radius of 3 voxels and more, for layers of 2 voxels and more and for planes in any
    direction; layers of one voxel come out a quarter too large. ``"marching-cubes"``: the area of the 0.5 isosurface
    of the voxels themselves, as other programs have it (Lewiner et al. 2003; in 2D marching squares), some 8 % too
    large on smooth surfaces (20 % with flat voxels) and too small in crevices. Faces of voxels are never counted: that
    would be 50 % too large.

    Faces of the image are no surface. What lies at them weighs more where steps or cells lead out of the image, so that
    a part that is cut out has on average the surface per volume of the whole.

    Parameters
    ----------
    labels : array_like, Phases or PhaseVolume
        (Y, X) or (Z, Y, X) labels.
    method : {"intercepts", "marching-cubes"}
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
        row(phase, "", max(of_phase(pairs, phase), 0.0))
    for (a, b), value in pairs.items():
        row(a, phases.names[b], max(value, 0.0))
    return pd.DataFrame(rows)


def of_phase(pairs: Mapping[tuple[int, int], float], phase: int) -> float:
    """Area of a phase's interfaces with all others.

    Parameters
    ----------
    pairs : mapping
        (index of a phase, index of another) -> area.
    phase : int
        Index of the phase.

    Returns
    -------
    float
    """
    return sum(area for pair, area in pairs.items() if phase in pair)


def pair_areas(phases: PhaseSource, method: str = "intercepts") -> dict[tuple[int, int], float]:
    """Area of the interface of each pair of phases.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        The image.
    method : {"intercepts", "marching-cubes"}
        As for `specific_surface`.

    Returns
    -------
    dict
        (index of a phase, index of another) -> area; length in 2D. A little below 0 can be what is 0: those of all
        pairs with a phase add up to its own.

    Raises
    ------
    SettingsError
        Another method.
    """
    if method == "intercepts":
        return _by_pair(interface_areas(phases).areas)
    if method != "marching-cubes":
        raise SettingsError(
            f"method = {method!r}", expected="intercepts or marching-cubes", remedy="check the spelling"
        )
    every = frozenset(range(len(phases)))
    both = {pair: every - set(pair) for pair in combinations(every, 2)}  # two together have the surface of the rest
    sets = {(phase,) for phase, _ in phases} | {tuple(sorted(rest)) for rest in both.values() if rest}
    found = mesh_areas(phases, sets)
    return {
        (a, b): (found[a,] + found[b,] - (found[tuple(sorted(rest))] if rest else 0.0)) / 2
        for (a, b), rest in both.items()
    }


def _by_pair(areas: np.ndarray) -> dict[tuple[int, int], float]:
    return {(a, b): float(areas[a, b]) for a, b in combinations(range(len(areas)), 2)}


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


def triple_phase_boundary(labels: Any, **options: Unpack[PhasesOptions]) -> pd.DataFrame:
    """Length of the lines where three phases meet, per volume (2D: number of such points per area).

    Around a line where three phases meet their smoothed indicators take every triple of shares once, so that the area
    formula (Federer 1959), used on two of them, gives its length: ``L = 2 * integral of |grad(p_i) x grad(p_j)|``. No
    edges of voxels are counted, which would give a line in a general direction up to 1.7 times its length. Of more than
    three phases, ``L_ijk = (T_ij + T_ik - T_i,jk) / 2`` with T of two phases (j and k taken as one) and all others.
    Within 3 voxels of a face, where smoothing sees the mirror image, nothing counts; what lies behind counts twice.

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
            lines[pair] += _line_length(phases, _mask(slab, pair[0]), _mask(slab, pair[1]), slab)
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


def _inner(size: int) -> np.ndarray:
    """(size,) weights of voxels along an axis: those at the ends, where smoothing sees the mirror image, have none.

    Their neighbours inside count twice for it, so that the weights add up to the size.
    """
    weights: np.ndarray = np.ones(size)
    rim = min(_RIM, size // 4)
    weights[:rim] = weights[size - rim :] = 0
    weights[rim : 2 * rim] += 1
    weights[size - 2 * rim : size - rim] += 1
    return weights


def _line_length(phases: PhaseSource, a: np.ndarray, b: np.ndarray, slab: Slab) -> float:
    """The part of the lines that lies in the slab's own slices."""
    slopes = []
    for mask in (a, b):
        field = smoothed(phases, mask, _SIGMA_LINE)
        slopes.append(
            [_slope(field, phases.axis(axis), phases.spacing[phases.axis(axis)])[slab.own] for axis in phases.axes]
        )
    u, v = slopes
    square = np.zeros(u[0].shape, np.float32)
    for i, j in combinations(range(phases.ndim), 2):
        square += (u[i] * v[j] - u[j] * v[i]) ** 2
    along_z, along_y, along_x = (_inner(size) for size in phases.shape)
    length = np.einsum("z,zyx,y,x", along_z[slab.start : slab.stop], np.sqrt(square, out=square), along_y, along_x)
    return 2 * float(length) * phases.voxel


def _measure_surface(context: Context) -> None:
    found = interface_areas(context.source) if context.surface_method == "intercepts" else None
    pairs = _by_pair(found.areas) if found else pair_areas(context.source, context.surface_method)
    for row in _surface_table(context.source, pairs).itertuples():
        if row.other:
            context.add("interface_area", row.specific_surface, context.length_unit(-1), row.phase, other=row.other)
        else:
            context.add("specific_surface", row.specific_surface, context.length_unit(-1), row.phase)
            context.add("surface_of_phase_volume", row.per_phase_volume, context.length_unit(-1), row.phase)
    if not found:
        context.notes.append(_MESHES)
        return
    seen = _by_pair(found.seen)
    for phase, name in context.source:
        whole = of_phase(pairs, phase)
        share = 1 - of_phase(seen, phase) / whole if whole > 0 else 0.0
        if share > _ROUGH:
            context.notes.append(
                f"{name}: {100 * share:.0f} % of its surface is hidden between voxels and extrapolated, since "
                f"parts of it are {_FINE if share < _THIN else _FINEST}"
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
