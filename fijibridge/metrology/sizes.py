"""Particle and pore sizes: the local thickness of each phase, and in 2D the spheres behind its discs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.parallel import Workers, compiled
from fijibridge.metrology import plots
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.metrology.stereology import phase_spheres
from fijibridge.phases.checks import check_mask, check_spacing
from fijibridge.phases.phases import as_phases

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions

_VISITS = 2_000_000_000  # voxels of balls painted one by one: some seconds
_VOXEL_BYTES = 48.0  # at the peak, measured
_LEVEL = 1.04  # ratio of the radii of balls that are painted together, where there are too many


@compiled
def _along_x(mask, out, step, z0, z1):
    """Squared distance along x to the next voxel outside the mask; infinite where the row has none."""
    _, ny, nx = mask.shape
    for z in range(z0, z1):
        for y in range(ny):
            last = np.inf
            for x in range(nx):
                last = last + step if mask[z, y, x] else 0.0
                out[z, y, x] = last
            last = np.inf
            for x in range(nx - 1, -1, -1):
                last = last + step if mask[z, y, x] else 0.0
                out[z, y, x] = min(last, out[z, y, x]) ** 2


@compiled
def _envelope(line, result, vertex, border, step):
    """Lower envelope of parabolas on one line (Felzenszwalb and Huttenlocher 2012)."""
    n = len(line)
    k = -1
    for q in range(n):
        if line[q] == np.inf:
            continue
        s = -np.inf
        while k >= 0:
            v = vertex[k]
            s = ((line[q] + (q * step) ** 2) - (line[v] + (v * step) ** 2)) / (2 * step * step * (q - v))
            if s > border[k]:
                break
            k -= 1
        if k < 0:
            s = -np.inf
        k += 1
        vertex[k] = q
        border[k] = s
    if k < 0:
        result[:n] = np.inf
        return
    last, j = k, 0
    for q in range(n):
        while j < last and border[j + 1] < q:
            j += 1
        result[q] = ((q - vertex[j]) * step) ** 2 + line[vertex[j]]


@compiled
def _along_y(field, step, z0, z1):
    _, ny, nx = field.shape
    line, result, vertex, border = np.empty(ny), np.empty(ny), np.empty(ny, np.int64), np.empty(ny)
    for z in range(z0, z1):
        for x in range(nx):
            for y in range(ny):
                line[y] = field[z, y, x]
            _envelope(line, result, vertex, border, step)
            for y in range(ny):
                field[z, y, x] = result[y]


@compiled
def _along_z(field, step, y0, y1):
    nz, _, nx = field.shape
    line, result, vertex, border = np.empty(nz), np.empty(nz), np.empty(nz, np.int64), np.empty(nz)
    for y in range(y0, y1):
        for x in range(nx):
            for z in range(nz):
                line[z] = field[z, y, x]
            _envelope(line, result, vertex, border, step)
            for z in range(nz):
                field[z, y, x] = result[z]


@compiled
def _is_ridge(square, spacing, out, z0, z1):
    """Voxels whose ball lies in none of their neighbours' balls."""
    nz, ny, nx = square.shape
    for z in range(z0, z1):
        for y in range(ny):
            for x in range(nx):
                if square[z, y, x] == 0:
                    continue
                radius = np.sqrt(square[z, y, x])
                ridge = True
                for dz in range(-1, 2):
                    for dy in range(-1, 2):
                        for dx in range(-1, 2):
                            a, b, c = z + dz, y + dy, x + dx
                            if 0 <= a < nz and 0 <= b < ny and 0 <= c < nx and (dz or dy or dx):
                                away = np.sqrt((dz * spacing[0]) ** 2 + (dy * spacing[1]) ** 2 + (dx * spacing[2]) ** 2)
                                if np.sqrt(square[a, b, c]) >= radius + away * 0.999999:
                                    ridge = False
                out[z, y, x] = ridge


@compiled
def _paint(places, radii, spacing, out, z0, z1):
    """out = the largest radius of the balls that contain a voxel, in these slices."""
    _, ny, nx = out.shape
    for i in range(len(places)):
        z, y, x = places[i]
        radius = radii[i]
        square = radius * radius * 0.9999995
        for a in range(max(z0, z - int(radius / spacing[0])), min(z1, z + int(radius / spacing[0]) + 1)):
            over = square - ((a - z) * spacing[0]) ** 2
            if over < 0:
                continue
            wide = int(np.sqrt(over) / spacing[1])
            for b in range(max(0, y - wide), min(ny, y + wide + 1)):
                rest = over - ((b - y) * spacing[1]) ** 2
                if rest < 0:
                    continue
                reach = int(np.sqrt(rest) / spacing[2])
                for c in range(max(0, x - reach), min(nx, x + reach + 1)):
                    if out[a, b, c] < radius:
                        out[a, b, c] = radius


def squared_distance(mask: np.ndarray, spacing: tuple[float, float, float], run: Workers) -> np.ndarray:
    """Squared distance to the nearest voxel outside a mask.

    Parameters
    ----------
    mask : np.ndarray
        (Z, Y, X) bool.
    spacing : tuple of float
        (z, y, x) size of a voxel.
    run : Workers
        Threads.

    Returns
    -------
    np.ndarray
        (Z, Y, X) float32; infinite where no voxel is outside.
    """
    # scipy's distance_transform_edt gives the same to 1e-6, but in 5.0 s and float64 where this takes 0.7 s (256^3, 2
    # cores); coarse painting asks for it dozens of times a phase
    nz, ny, _ = mask.shape
    field = np.empty(mask.shape, np.float32)
    run(_along_x, mask, field, spacing[2], slices=(0, nz), size=mask.size)
    run(_along_y, field, spacing[1], slices=(0, nz), size=mask.size)
    run(_along_z, field, spacing[0], slices=(0, ny), size=mask.size)
    return field


def local_thickness(mask: Any, spacing: float | Sequence[float] | None = None, *, threads: int = 0) -> np.ndarray:
    """Diameter of the largest ball inside a phase that contains a voxel, for each of its voxels.

    Hildebrand and Rueegsegger 1997 (J. Microsc. 185:67), as ImageJ's Local Thickness: the balls of the distance ridge
    are painted, their radius being the distance to the nearest voxel of another phase. The phase continues beyond the
    image's faces. Where exact painting would take minutes, large balls of radii within 4 % are painted together, with
    the smallest radius of them. In 2D: circles.

    Parameters
    ----------
    mask : array_like
        (Y, X) or (Z, Y, X), true where the phase is.
    spacing : float or sequence of float, optional
        Size of a voxel, one number or one an axis; 1 by default.
    threads : int
        0: all cores.

    Returns
    -------
    np.ndarray
        The mask's shape, float32, in the unit of the spacing; 0 outside the phase. Infinite for a phase that fills the
        whole image.

    Raises
    ------
    ImageError
        Not an image or volume.
    SettingsError
        A malformed spacing.
    """
    given = check_mask(mask)
    steps = check_spacing(spacing, given.ndim)
    inside = np.ascontiguousarray(given.reshape((1,) * (3 - given.ndim) + given.shape))
    if inside.all():
        return np.full(given.shape, np.inf, np.float32)
    scale = min(steps[3 - given.ndim :])
    unit = np.array([step / scale for step in steps])
    if given.ndim == 2 or given.shape[0] == 1:
        unit[0] = 1e6  # one slice: there is nothing above it
    with Workers(threads) as run:
        out = _thickness(inside, unit, run)
    return (out * np.float32(2 * scale)).reshape(given.shape)


def _thickness(inside: np.ndarray, unit: np.ndarray, run: Workers) -> np.ndarray:
    """Radii, in units of the smallest side of a voxel."""
    slices, size = (0, inside.shape[0]), inside.size
    square = squared_distance(inside, tuple(unit), run)
    ridge = np.zeros(inside.shape, bool)
    run(_is_ridge, square, unit, ridge, slices=slices, size=size)
    places = np.argwhere(ridge)
    radii = np.sqrt(square[ridge])
    del ridge
    order = np.argsort(radii, kind="stable")
    places, radii = places[order], radii[order]
    wide = np.prod(
        [np.minimum(2 * radii / step + 1, side) for step, side in zip(unit, inside.shape, strict=True)], axis=0
    )
    one_by_one = int(np.searchsorted(np.cumsum(0.5 * wide), _VISITS))
    out = np.zeros(inside.shape, np.float32)
    # largest first: what they cover is not written again
    run(_paint, places[:one_by_one][::-1].copy(), radii[:one_by_one][::-1].copy(), unit, out, slices=slices, size=size)
    if one_by_one < len(radii):
        radius, low = float(radii[-1]), float(radii[one_by_one])
        while True:
            radius = max(radius / _LEVEL, low)
            seeds = square >= np.float32(radius * radius * 0.999999)
            near = squared_distance(~seeds, tuple(unit), run) <= radius * radius * 0.9999995
            np.maximum(out, np.float32(radius), out=out, where=near & (out < radius))
            if radius <= low:
                break
    out[~inside] = 0
    return out


def phase_sizes(
    labels: Any, *, threads: int = 0, **options: Unpack[PhasesOptions]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Local thickness of each phase: particle sizes of the solids, pore sizes of the pores.

    Parameters
    ----------
    labels : array_like or Phases
        (Y, X) or (Z, Y, X) labels.
    threads : int
        0: all cores.
    **options
        Spacing, unit, background and names as `as_phases` takes them; background bounds a phase as another phase does.

    Returns
    -------
    summary : pandas.DataFrame
        ``phase``, ``mean`` (by volume), ``standard_deviation``, ``d10``, ``d50``, ``d90`` (a tenth, half, nine tenths
        of the volume are thinner).
    distribution : pandas.DataFrame
        ``phase``, ``diameter`` (upper end of a class, one smallest voxel side wide), ``fraction`` (of the phase's
        volume), ``cumulative``.

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`.
    """
    import pandas as pd

    phases = as_phases(labels, **options)
    width = min(phases.spacing[3 - phases.ndim :])
    rows, curves = [], []
    for phase, name in phases:
        found = local_thickness(phases.mask(phase), phases.spacing, threads=threads)
        sizes = found[found > 0]
        del found
        if not len(sizes) or not np.isfinite(sizes[0]):  # it is in another part of the image, or fills this one
            nothing = float("inf") if len(sizes) else float("nan")
            rows.append({"phase": name, **dict.fromkeys(("mean", "standard_deviation", "d10", "d50", "d90"), nothing)})
            continue
        low, middle, high = np.quantile(sizes, (0.1, 0.5, 0.9))
        rows.append(
            {
                "phase": name,
                "mean": float(sizes.mean(dtype=np.float64)),
                "standard_deviation": float(sizes.std(dtype=np.float64)),
                "d10": float(low),
                "d50": float(middle),
                "d90": float(high),
            }
        )
        classes = np.ceil(sizes / np.float32(width) - 1e-3).astype(np.int64)
        share = np.bincount(classes) / len(sizes)
        curves.append(
            pd.DataFrame(
                {
                    "phase": name,
                    "diameter": np.arange(len(share)) * width,
                    "fraction": share,
                    "cumulative": np.cumsum(share),
                }
            )
        )
    empty = pd.DataFrame(columns=["phase", "diameter", "fraction", "cumulative"])
    return pd.DataFrame(rows), pd.concat(curves, ignore_index=True) if curves else empty


def _measure(context: Context) -> None:
    found, context.curves["sizes"] = phase_sizes(context.phases, threads=context.threads)
    for row in found.itertuples():
        for name in ("mean", "standard_deviation", "d10", "d50", "d90"):
            context.add(f"local_thickness_{name}", getattr(row, name), context.length_unit(1), row.phase)
    if context.phases.ndim == 2:
        spheres, curves, notes = phase_spheres(context.phases)
        context.notes.extend(notes)
        if len(curves):
            context.curves["spheres"] = curves
        for row in spheres.itertuples():
            for name in ("mean", "standard_deviation", "sauter"):
                context.add(f"sphere_diameter_{name}", getattr(row, name), context.length_unit(1), row.phase)
            context.add("sphere_fraction", row.fraction, phase=row.phase)


def _draw(found: Measurement) -> Figure:
    spheres = found.curves.get("spheres", ())
    figure, axes = plots.figure(3 if len(spheres) else 2)
    curves = found.curves["sizes"]
    for phase, name in found.phases:
        curve = curves[curves.phase == name]
        axes[0].plot(curve.diameter, curve.fraction, color=plots.colour(phase), label=name, drawstyle="steps-pre")
        axes[1].plot(curve.diameter, curve.cumulative, color=plots.colour(phase), label=name)
        if len(spheres):
            curve = spheres[spheres.phase == name]
            axes[2].plot(curve.diameter, curve.cumulative, color=plots.colour(phase), label=name, drawstyle="steps-pre")
            axes[2].set(xlabel=f"diameter of spheres ({found.phases.unit})", ylabel="cumulative number", ylim=(0, None))
    for axis, label in zip(axes[:2], ("share of the phase", "cumulative share"), strict=True):
        axis.set(xlabel=f"local thickness ({found.phases.unit})", ylabel=label, ylim=(0, None))
    axes[1].legend(frameon=False, fontsize=8)
    return figure


SIZES = Metric(
    _measure,
    _draw,
    voxel_bytes=lambda source: _VOXEL_BYTES,
    beyond={"fraction": 0.0, "cumulative": 1.0, "per_volume": 0.0},
)
