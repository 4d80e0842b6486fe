"""Tortuosity factor of a phase and effective conductivity of a composite, by solving for the steady flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.metrology import plots
from fijibridge.metrology.components import percolating
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.checks import check_mask, check_spacing
from fijibridge.phases.phases import PhaseSource, as_phases

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions

_VOXEL_BYTES = 91.0  # at the peak, measured


@dataclass(frozen=True)
class Tortuosity:
    """Transport through one phase along one axis.

    Parameters
    ----------
    tau : float
        Tortuosity factor, ``fraction / relative_conductivity``; infinite where the phase does not percolate.
    relative_conductivity : float
        Effective conductivity (diffusivity) of the box over that of the phase; 0 where it does not percolate.
    fraction : float
        Volume fraction of the phase in the box, dead ends and isolated parts included.
    imbalance : float
        Relative difference of the flows in and out: that of the potentials' error, of whose square is that of ``tau``.
    iterations : int
        Of the solver.
    """

    tau: float
    relative_conductivity: float
    fraction: float
    imbalance: float = 0.0
    iterations: int = 0


def tortuosity(
    mask: Any, axis: int, spacing: float | Sequence[float] | None = None, *, tolerance: float = 1e-5, threads: int = 0
) -> Tortuosity:
    """Tortuosity factor of a phase.

    The steady flow between two opposite faces at fixed potentials is solved, the other faces sealed, the other phases
    insulating; tau = fraction * D0 / D_eff (Cooper et al. 2016, SoftwareX 5:203). Potentials sit in the voxels'
    centres, the electrodes half a voxel before the first, as in TauFactor.

    Parameters
    ----------
    mask : array_like
        (Y, X) or (Z, Y, X), true where the phase is.
    axis : int
        Axis of the array along which it flows.
    spacing : float or sequence of float, optional
        Size of a voxel, one number or one an axis; 1 by default.
    tolerance : float
        Relative error of the conductivity at which the solver stops, as it estimates it.
    threads : int
        0: all cores.

    Returns
    -------
    Tortuosity

    Raises
    ------
    ImageError
        Not an image or volume.
    SettingsError
        An axis that it does not have, or a malformed spacing.
    """
    mask = check_mask(mask)
    if not -mask.ndim <= axis < mask.ndim:
        raise SettingsError(
            f"axis = {axis} of a mask in {mask.ndim}D", expected=f"0 to {mask.ndim - 1}", remedy="choose another axis"
        )
    steps = check_spacing(spacing, mask.ndim)
    axis = axis % mask.ndim + 3 - mask.ndim
    mask = mask.reshape((1,) * (3 - mask.ndim) + mask.shape)
    fraction = float(mask.mean())
    relative, imbalance, iterations = _relative(mask.astype(np.float32), axis, steps, tolerance, threads)
    tau = fraction / relative if relative else float("inf")
    return Tortuosity(tau, relative, fraction, imbalance, iterations)


def _relative(
    sigma: np.ndarray, axis: int, spacing: tuple[float, float, float], tolerance: float, threads: int
) -> tuple[float, float, int]:
    """Effective conductivity of the box, the imbalance of the flows and the iterations; zeros if nothing percolates."""
    from fijibridge.metrology.multigrid import solve_conduction

    carries = percolating(sigma > 0, axis)
    if not carries.any():
        return 0.0, 0.0, 0
    found = solve_conduction(
        np.where(carries, sigma, np.float32(0)), axis, spacing, tolerance=tolerance, threads=threads
    )
    length = sigma.shape[axis] * spacing[axis]
    area = sigma.size * spacing[0] * spacing[1] * spacing[2] / length
    return found.conductance * length / area, found.imbalance, found.iterations


def effective_conductivity(
    labels: Any,
    conductivities: Mapping[str, float] | Sequence[float],
    axis: str,
    *,
    tolerance: float = 1e-5,
    threads: int = 0,
    **options: Unpack[PhasesOptions],
) -> dict[str, float]:
    """Effective conductivity of a composite along an axis, with the bounds that its fractions alone give.

    Faces between two phases conduct as two half voxels in series (the harmonic mean).

    Parameters
    ----------
    labels : array_like or Phases
        (Y, X) or (Z, Y, X) labels.
    conductivities : mapping or sequence of float
        Of each phase, by name or in the order of the label values; 0 for an insulator. The background insulates.
    axis : {"z", "y", "x"}
        Along which it flows.
    tolerance, threads
        As for `tortuosity`.
    **options
        As `as_phases` takes it.

    Returns
    -------
    dict
        ``conductivity``, in the unit of the phases'; ``wiener_low`` and ``wiener_high``, layers in series and in
        parallel (Wiener 1912); ``hashin_low`` and ``hashin_high``, of isotropic composites (Hashin and Shtrikman 1962);
        ``imbalance``.

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`; conductivities that are negative, or not one a phase.
    """
    phases = as_phases(labels, **options)
    values = check_conductivities(phases, conductivities)
    place = phases.axis(axis)
    table = np.zeros(256, np.float32)
    top = float(values.max())
    # relative to the best conductor, which keeps single precision away from its limits
    table[: len(values)] = values / top if top else 0
    relative, imbalance, _ = _relative(table[phases.index], place, phases.spacing, tolerance, threads)
    shares, conducting = np.array(phases.counts) / phases.index.size, values
    if (outside := 1 - shares.sum()) > 0:
        shares, conducting = np.append(shares, outside), np.append(values, 0.0)
    bounds = conductivity_bounds(shares, conducting, phases.ndim)
    return {"conductivity": relative * top, **bounds, "imbalance": imbalance}


def check_conductivities(phases: PhaseSource, given: Mapping[str, float] | Sequence[float]) -> np.ndarray:
    """Check the conductivities of the phases.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        The image.
    given : mapping or sequence of float
        Of each phase, by name or in the order of the label values.

    Returns
    -------
    np.ndarray
        (P,) float64 in the order of the phases.

    Raises
    ------
    SettingsError
        Negative, not finite, or not one a phase.
    """
    if isinstance(given, Mapping):
        if set(given) != set(phases.names):
            raise SettingsError(
                f"conductivities of {', '.join(given)}",
                expected=f"one for each of {', '.join(phases.names)}",
                remedy="name every phase; 0 for an insulator",
            )
        given = [given[name] for name in phases.names]
    try:
        values = np.array(given, np.float64)
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if values.shape != (len(phases),) or not np.isfinite(values).all() or (values < 0).any():
        raise SettingsError(
            f"conductivities {given!r}",
            expected=f"{len(phases)} numbers from 0 up, for {', '.join(phases.names)}",
            remedy="give one a phase; 0 for an insulator",
        )
    return values


def conductivity_bounds(fractions: np.ndarray, conductivities: np.ndarray, ndim: int) -> dict[str, float]:
    """Bounds on the effective conductivity that the fractions alone give.

    Those of Wiener (1912) hold for any composite, those of Hashin and Shtrikman (1962) for isotropic ones.

    Parameters
    ----------
    fractions : np.ndarray
        (P,) float64 that sum to 1.
    conductivities : np.ndarray
        (P,) float64, from 0 up.
    ndim : int
        2 or 3.

    Returns
    -------
    dict
        ``wiener_low``, ``wiener_high``, ``hashin_low``, ``hashin_high``, in the unit of the conductivities.
    """
    low, high = float(conductivities.min()), float(conductivities.max())

    def mean(weight: float) -> float:
        base = conductivities + (ndim - 1) * weight
        if (base[fractions > 0] == 0).any():
            return 0.0
        used = fractions > 0
        return float(1 / (fractions[used] / base[used]).sum() - (ndim - 1) * weight)

    return {
        "wiener_low": mean(0.0),
        "wiener_high": float((fractions * conductivities).sum()),
        "hashin_low": mean(low),
        "hashin_high": mean(high),
    }


def tortuosities(
    labels: Any,
    *,
    axes: Sequence[str] | None = None,
    tolerance: float = 1e-5,
    threads: int = 0,
    **options: Unpack[PhasesOptions],
) -> pd.DataFrame:
    """Tortuosity factor of each phase along each axis.

    Parameters
    ----------
    labels : array_like or Phases
        (Y, X) or (Z, Y, X) labels.
    axes : sequence of {"z", "y", "x"}, optional
        All there are by default.
    tolerance, threads
        As for `tortuosity`.
    **options
        As `as_phases` takes it.

    Returns
    -------
    pandas.DataFrame
        ``phase``, ``axis``, ``tortuosity_factor``, ``relative_conductivity``, ``imbalance``, ``iterations``.

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `as_phases`; an axis that the image does not have.
    """
    import pandas as pd

    from fijibridge.core.progress import bar

    phases = as_phases(labels, **options)
    wanted = [(phase, name, axis) for phase, name in phases for axis in axes or phases.axes]
    for axis in axes or ():
        phases.axis(axis)
    rows = []
    with bar("tortuosity", len(wanted)) as steps:
        for phase, name, axis in wanted:
            found = tortuosity(
                phases.mask(phase), phases.axis(axis), phases.spacing, tolerance=tolerance, threads=threads
            )
            rows.append(
                {
                    "phase": name,
                    "axis": axis,
                    "tortuosity_factor": found.tau,
                    "relative_conductivity": found.relative_conductivity,
                    "imbalance": found.imbalance,
                    "iterations": found.iterations,
                }
            )
            steps.update()
    return pd.DataFrame(rows)


def _measure_tortuosity(context: Context) -> None:
    found = tortuosities(context.phases, axes=context.axes, tolerance=context.tolerance, threads=context.threads)
    for row in found.itertuples():
        context.add("tortuosity_factor", row.tortuosity_factor, phase=row.phase, axis=row.axis)
        context.add("relative_conductivity", row.relative_conductivity, phase=row.phase, axis=row.axis)


def _draw_tortuosity(found: Measurement) -> Figure:
    figure, axes = plots.figure(2)
    plots.grouped_bars(axes[0], found, "tortuosity_factor", "tortuosity factor", legend=False)
    plots.grouped_bars(axes[1], found, "relative_conductivity", "effective / own conductivity")
    return figure


TORTUOSITY = Metric(_measure_tortuosity, _draw_tortuosity, follows_paths=True, voxel_bytes=lambda source: _VOXEL_BYTES)


def _measure_conductivity(context: Context) -> None:
    assert context.conductivities is not None  # as `needs_conductivities` says
    for axis in context.axes:
        found = effective_conductivity(
            context.phases, context.conductivities, axis, tolerance=context.tolerance, threads=context.threads
        )
        context.add(
            "effective_conductivity",
            found["conductivity"],
            axis=axis,
            low=found["wiener_low"],
            high=found["wiener_high"],
        )
    context.add("hashin_shtrikman_low", found["hashin_low"])
    context.add("hashin_shtrikman_high", found["hashin_high"])


def _draw_conductivity(found: Measurement) -> Figure:
    figure, (axis,) = plots.figure()
    rows = found.rows("effective_conductivity")
    plots.bars(axis, list(rows.axis), rows.value, "0.5")
    hashin = found.table[found.table.metric.str.startswith("hashin")].value
    axis.axhspan(*hashin, color=plots.colour(1), alpha=0.25, lw=0, label="Hashin-Shtrikman bounds", zorder=0)
    for value, label in ((rows.low.iloc[0], "Wiener bounds"), (rows.high.iloc[0], None)):
        axis.axhline(value, color=plots.colour(5), lw=1, ls="--", label=label)
    axis.set(xlabel="axis", ylabel="effective conductivity", ylim=(0, 1.15 * max(rows.high.iloc[0], 1e-300)))
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


CONDUCTIVITY = Metric(
    _measure_conductivity,
    _draw_conductivity,
    needs_conductivities=True,
    follows_paths=True,
    voxel_bytes=lambda source: _VOXEL_BYTES,
)
