"""Tortuosity factor of a phase and effective conductivity of a composite, by solving for the steady flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.errors import ImageError, SettingsError
from fijibridge.metrology.components import percolating
from fijibridge.metrology.phases import Phases, as_phases, check_spacing

if TYPE_CHECKING:
    import pandas as pd


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
        Relative difference of the flows in and out: how far the solver came.
    iterations : int
        Of the solver.
    """

    tau: float
    relative_conductivity: float
    fraction: float
    imbalance: float = 0.0
    iterations: int = 0


def tortuosity(
    mask: Any, axis: int, spacing: float | Sequence[float] | None = None, *, tolerance: float = 1e-6, threads: int = 0
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
        Relative residual of the solver; the conductance's own error is about its square.
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
    mask = np.asarray(mask)
    if mask.ndim not in (2, 3) or mask.size == 0:
        raise ImageError(
            f"a mask of shape {mask.shape}", expected="(Y, X) or (Z, Y, X)", remedy="give one phase of an image"
        )
    if not -mask.ndim <= axis < mask.ndim:
        raise SettingsError(
            f"axis = {axis} of a mask in {mask.ndim}D", expected=f"0 to {mask.ndim - 1}", remedy="choose another axis"
        )
    steps = check_spacing(spacing, mask.ndim)
    axis = axis % mask.ndim + 3 - mask.ndim
    mask = (mask != 0).reshape((1,) * (3 - mask.ndim) + mask.shape)
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
    tolerance: float = 1e-6,
    threads: int = 0,
    **about: Any,
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
    **about
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
    phases = as_phases(labels, **about)
    values = check_conductivities(phases, conductivities)
    place = phases.axis(axis)
    table = np.zeros(256, np.float32)
    top = float(values.max())
    # relative to the best conductor, which keeps single precision away from its ends
    table[: len(values)] = values / top if top else 0
    relative, imbalance, _ = _relative(table[phases.index], place, phases.spacing, tolerance, threads)
    shares, conducting = np.array(phases.counts) / phases.index.size, values
    if (outside := 1 - shares.sum()) > 0:
        shares, conducting = np.append(shares, outside), np.append(values, 0.0)
    bounds = conductivity_bounds(shares, conducting, phases.ndim)
    return {"conductivity": relative * top, **bounds, "imbalance": imbalance}


def check_conductivities(phases: Phases, given: Mapping[str, float] | Sequence[float]) -> np.ndarray:
    """(phases,) float64 conductivities in the order of the phases; SettingsError where they do not fit."""
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
    """Bounds of Wiener (any composite) and of Hashin and Shtrikman (isotropic ones, in 2D or 3D)."""
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
    labels: Any, *, axes: Sequence[str] | None = None, tolerance: float = 1e-6, threads: int = 0, **about: Any
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
    **about
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

    from fijibridge.progress import bar

    phases = as_phases(labels, **about)
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
