"""Electrode tortuosity factor: of paths from one face of the volume to the phase's surface, dead ends included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.parallel import Workers
from fijibridge.metrology import plots
from fijibridge.metrology.components import components
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.phases.checks import check_mask, check_spacing
from fijibridge.phases.phases import OUTSIDE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VOXEL_BYTES = 79.0  # at the peak, measured
_FACES = ("first", "last")
_MOST = 0.9  # of the surface, below which a note says so


@dataclass(frozen=True)
class ElectrodeTortuosity:
    """Transport from one face of the box to the surface of a phase.

    Parameters
    ----------
    tau : float
        Electrode tortuosity factor; infinite where the phase does not reach the face, NaN where what is reached has no
        reacting surface.
    reached : float
        Share of the reacting surface that is connected to the face; NaN where there is none.
    fraction : float
        Volume fraction of the phase in the box, isolated parts included.
    iterations : int
        Of the solver.
    """

    tau: float
    reached: float
    fraction: float
    iterations: int = 0


def electrode_tortuosity(
    mask: Any,
    axis: int,
    spacing: float | Sequence[float] | None = None,
    *,
    enters: Literal["first", "last"] = "first",
    reacting: Any = None,
    tolerance: float = 1e-5,
    threads: int = 0,
) -> ElectrodeTortuosity:
    """Electrode tortuosity factor of a phase, as impedance of a symmetric cell measures it.

    Current enters the phase through one face of the box, the separator's, and leaves through the phase's surface,
    everywhere at the same rate; the opposite face (the current collector) and the sides are sealed. That is the limit
    of low frequencies of a blocking electrode, whose resistance is a third of that of the pores (Landesfeind et al.
    2016, J. Electrochem. Soc. 163:A1373). With that resistance R, box length L, cross-section A and volume fraction eps

        tau_e = 3 R sigma eps A / L,        R = mean over the surface of the potential's drop / current

    (Nguyen et al. 2020, npj Comput. Mater. 6:123: the symmetric cell method). It is 1 for straight channels that are
    narrow for their length; the 3 is replaced by the value of a line of as many voxels, so that this holds for thin
    volumes, too. Other than in `tortuosity` dead ends count, and a phase need not percolate.

    Parameters
    ----------
    mask : array_like
        (Y, X) or (Z, Y, X), true where the phase is.
    axis : int
        Axis of the array from separator to current collector.
    spacing : float or sequence of float, optional
        Size of a voxel, one number or one an axis; 1 by default.
    enters : {"first", "last"}
        Face of that axis where the current enters.
    reacting : array_like, optional
        The mask's shape, true where voxels react at faces that they share with the phase; default: every other voxel.
    tolerance, threads
        As for `tortuosity`.

    Returns
    -------
    ElectrodeTortuosity

    Raises
    ------
    ImageError
        Not an image or volume.
    SettingsError
        An axis or a face that it does not have, a malformed spacing, masks that do not fit.
    """
    mask = check_mask(mask)
    if not -mask.ndim <= axis < mask.ndim:
        raise SettingsError(
            f"axis = {axis} of a mask in {mask.ndim}D", expected=f"0 to {mask.ndim - 1}", remedy="choose another axis"
        )
    if enters not in _FACES:
        raise SettingsError(f"enters = {enters!r}", expected="first or last", remedy="name a face of the axis")
    other = ~mask if reacting is None else check_mask(reacting)
    if other.shape != mask.shape:
        raise SettingsError(
            f"a phase of shape {mask.shape} and reacting voxels of shape {other.shape}",
            expected="the same shape",
            remedy="take both from one image",
        )
    steps = check_spacing(spacing, mask.ndim)
    axis = axis % mask.ndim + 3 - mask.ndim
    shape = (1,) * (3 - mask.ndim) + mask.shape
    return _solve(mask.reshape(shape), (other & ~mask).reshape(shape), axis, steps, enters, tolerance, threads)


def _solve(
    mask: np.ndarray,
    other: np.ndarray,
    axis: int,
    spacing: tuple[float, float, float],
    enters: str,
    tolerance: float,
    threads: int,
) -> ElectrodeTortuosity:
    from fijibridge.metrology.multigrid import Network

    side, fraction = (0 if enters == "first" else -1), float(mask.mean())
    labels, count = components(mask)
    keep = np.zeros(count + 1, bool)
    keep[labels.take(side, axis=axis)] = True
    keep[0] = False
    fed = keep[labels]
    del labels
    right = np.zeros(tuple(size + 2 for size in mask.shape))
    inner = right[1:-1, 1:-1, 1:-1]
    whole = 0.0
    for place in range(3):  # the area of the faces that the phase shares with what reacts
        area = float(np.prod(spacing)) / spacing[place]
        line, inside, reacts = (np.moveaxis(array, place, 0) for array in (inner, mask, other))
        line[1:] += area * (inside[1:] & reacts[:-1])
        line[:-1] += area * (inside[:-1] & reacts[1:])
    whole = float(inner.sum())
    inner *= fed
    current = float(inner.sum())
    reached = current / whole if whole else float("nan")
    if not current:
        return ElectrodeTortuosity(float("nan") if fed.any() else float("inf"), reached, fraction)
    right /= current
    with Workers(threads) as run:
        network = Network(fed.astype(np.float32), spacing, run, ends=((axis, side),))
        found = network.solve(right, tolerance=tolerance)
    number = mask.shape[axis]
    length = number * spacing[axis]
    section = mask.size * float(np.prod(spacing)) / length
    line_of_voxels = 1 / 3 + 1 / (6 * number**2)
    resistance = found.power / network.unit
    return ElectrodeTortuosity(
        resistance * fraction * section / length / line_of_voxels, reached, fraction, found.iterations
    )


def _measure(context: Context) -> None:
    phases = context.phases
    for phase, name in phases:
        mask = phases.mask(phase)
        others, short = ~mask & (phases.index != OUTSIDE), []
        for axis in context.axes:
            place = phases.axis(axis)
            for face in _FACES:
                found = _solve(mask, others, place, phases.spacing, face, context.tolerance, context.threads)
                context.add(f"electrode_tortuosity_{face}", found.tau, phase=name, axis=axis)
                context.add(f"electrode_surface_reached_{face}", found.reached, phase=name, axis=axis)
                if found.reached < _MOST:
                    short.append(f"{axis} {face} {found.reached:.3g}")
        if short:
            context.notes.append(
                f"electrode_tortuosity: from some faces little of the surface of {name} is reached "
                f"({', '.join(short)}): the factor is of that part, whose paths are short"
            )


def _draw(found: Measurement) -> Figure:
    figure, axes = plots.figure(2)
    for axis, face in zip(axes, _FACES, strict=True):
        label = f"electrode tortuosity factor from the {face} face"
        plots.grouped_bars(axis, found, f"electrode_tortuosity_{face}", label, legend=face == "last")
    return figure


ELECTRODE = Metric(_measure, _draw, follows_paths=True, when_named=True, voxel_bytes=lambda source: _VOXEL_BYTES)
