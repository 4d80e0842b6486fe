"""The full tensor of the effective conductivity: of a composite, and of each of its phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.parallel import Workers
from fijibridge.metrology import plots
from fijibridge.metrology.components import components
from fijibridge.metrology.metric import Context, Measurement, Metric
from fijibridge.metrology.transport import check_conductivities
from fijibridge.phases.phases import Phases, as_phases

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions

_VOXEL_BYTES = 91.0  # at the peak, measured
_NOTHING = 1e-6  # share of the conductivity of layers in parallel that counts as none


@dataclass(frozen=True, eq=False)
class ConductivityTensor:
    """An effective conductivity in all directions.

    Parameters
    ----------
    values : np.ndarray
        (D, D) float64, symmetric, in the order of `axes`, in the unit of the phases' conductivities.
    axes : tuple of str
        ("z", "y", "x"), or ("y", "x") in 2D.
    iterations : int
        Of the solver, of all directions together.
    """

    values: np.ndarray
    axes: tuple[str, ...]
    iterations: int = 0

    @property
    def principal(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal values, the largest first, and their unit directions as rows.

        A direction's largest component is positive.
        """
        found, columns = np.linalg.eigh(self.values)
        rows = columns.T[::-1]
        signs = np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])
        return np.where(found[::-1] > 0, found[::-1], 0.0), rows * signs[:, None]

    @property
    def anisotropy(self) -> float:
        """Largest over smallest principal value; infinite where the smallest is 0, NaN where all are."""
        values, _ = self.principal
        if values[0] <= 0:
            return float("nan")
        return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")


def conductivity_tensor(
    labels: Any,
    conductivities: Mapping[str, float] | Sequence[float],
    *,
    tolerance: float = 1e-5,
    threads: int = 0,
    **options: Unpack[PhasesOptions],
) -> ConductivityTensor:
    """Tensor of the effective conductivity of the image repeated periodically, with the mean gradient imposed.

    For the load along each axis the potential is a uniform gradient and a periodic part that is solved for; tensor
    element ij is the mean over the volume of flow i times gradient j, and symmetric (Milton 2002, The Theory of
    Composites, ch. 1). An image that is not periodic meets itself at its faces by chance: a well connected phase
    conducts worse there, one that hardly percolates may find ways that it has not; both fade with the image's size. In
    `effective_conductivity` faces are sealed or at fixed potentials, which leaves nothing off the diagonal.

    Parameters
    ----------
    labels : array_like or Phases
        (Y, X) or (Z, Y, X) labels.
    conductivities : mapping or sequence of float
        Of each phase, by name or in the order of the label values; 0 for an insulator. The background insulates. With 1
        for one phase and 0 for the others it is the relative conductivity of that phase.
    tolerance, threads
        As for `tortuosity`.
    **options
        As `as_phases` takes it.

    Returns
    -------
    ConductivityTensor

    Raises
    ------
    ImageError, LabelsError, SettingsError
        As `effective_conductivity`.
    """
    phases = as_phases(labels, **options)
    values = check_conductivities(phases, conductivities)
    table = np.zeros(256, np.float32)
    top = float(values.max())
    table[: len(values)] = values / top if top else 0
    relative, iterations = _relative_tensor(table[phases.index], phases, tolerance, threads)
    return ConductivityTensor(relative * top, phases.axes, iterations)


def _relative_tensor(sigma: np.ndarray, phases: Phases, tolerance: float, threads: int) -> tuple[np.ndarray, int]:
    """(D, D) tensor, and iterations."""
    from fijibridge.metrology import stencils
    from fijibridge.metrology.multigrid import Network, wrap

    places = [phases.axis(name) for name in phases.axes]
    found, iterations = np.zeros((len(places),) * 2), 0
    sigma = np.where(_touching(sigma > 0, places), sigma, np.float32(0))
    if not sigma.any():
        return found, 0
    mean = float(sigma.mean(dtype=np.float64))
    with Workers(threads) as run:
        network = Network(sigma, phases.spacing, run, periodic=True)
        del sigma
        padded = network.sigma
        share = network.unit / (phases.index.size * np.prod(phases.spacing))
        flows: list[tuple[int, np.ndarray, np.ndarray]] = []
        for i, place in enumerate(places):
            if phases.shape[place] == 1:  # its voxels lie side by side
                found[i, i] = mean
                continue
            load = np.zeros(3)
            load[place] = phases.spacing[place]
            right, layered = _load(padded, place, network.ratio[place] * load[place])
            layered *= load[place]
            solved = network.solve(right, offset=layered, floor=_NOTHING * layered, tolerance=tolerance)
            iterations += solved.iterations
            wrap(solved.v)
            flows.append((i, load, solved.v))
            for j, other, v in flows:
                arrays = (padded, network.ratio, solved.v, v, load, other)
                power = run(stencils.dissipation, *arrays, slices=(1, len(padded) - 1), size=padded.size)
                found[i, j] = found[j, i] = power * share
            if found[i, i] <= 2 * _NOTHING * layered * share:
                flows.pop()
                found[i], found[:, i] = 0, 0
    return found, iterations


def _touching(mask: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """The components of a mask that touch a face of the volume; the others carry nothing through it."""
    labels, count = components(mask)
    keep = np.zeros(count + 1, bool)
    for place in places:
        for side in (0, -1):
            keep[labels.take(side, axis=place)] = True
    keep[0] = False
    return keep[labels]


def _load(padded: np.ndarray, place: int, weight: float) -> tuple[np.ndarray, float]:
    """Current that a gradient along an axis brings into each voxel, and its sum over the faces, all weighted."""
    line = np.moveaxis(padded, place, 0)
    right = np.zeros(padded.shape)
    into = np.moveaxis(right, place, 0)
    inner = (slice(1, -1), slice(1, -1))
    total = 0.0
    for k in range(len(line) - 1):
        a, b = line[k][inner].astype(np.float64), line[k + 1][inner].astype(np.float64)
        face = np.divide(2 * weight * a * b, a + b, out=np.zeros_like(a), where=a + b > 0)
        into[k][inner] -= face
        into[k + 1][inner] += face
        if k:
            total += float(face.sum())
    into[0], into[-1] = 0, 0
    return right, total


def _measure(context: Context) -> None:
    phases = context.phases
    kept = [f"{a}{b}" for place, a in enumerate(phases.axes) for b in phases.axes[place:]]

    def add(conductivities: Sequence[float] | Mapping[str, float], prefix: str, phase: str) -> None:
        found = conductivity_tensor(phases, conductivities, tolerance=context.tolerance, threads=context.threads)
        for name, value in zip(kept, found.values[np.triu_indices(phases.ndim)], strict=True):
            context.add(f"{prefix}_tensor", value, phase=phase, axis=name)
        values, directions = found.principal
        for number, (value, direction) in enumerate(zip(values, directions, strict=True), 1):
            context.add(f"{prefix}_principal_{number}", value, phase=phase)
            for axis, part in zip(phases.axes, direction, strict=True):
                context.add(f"{prefix}_direction_{number}", part, phase=phase, axis=axis)
        context.add(f"{prefix}_anisotropy", found.anisotropy, phase=phase)

    for phase, name in phases:
        add([float(phase == other) for other, _ in phases], "relative_conductivity", name)
    if context.conductivities is not None:
        add(context.conductivities, "effective_conductivity", "")
    if not context.periodic:
        context.notes.append(
            "tensor: of the volume repeated periodically, so that a phase meets itself at opposite faces by chance; "
            "how far its diagonal is from tortuosity and conductivity, with their sealed faces, tells what that matters"
        )


def _draw(found: Measurement) -> Figure:
    kinds = [("relative_conductivity", phase, name) for phase, name in found.phases]
    if len(found.rows("effective_conductivity_tensor")):
        kinds.append(("effective_conductivity", -1, ""))
    figure, axes = plots.figure(len(kinds))
    names = found.phases.axes
    for axis, (prefix, phase, name) in zip(axes, kinds, strict=True):
        matrix = np.zeros((len(names),) * 2)
        for i, a in enumerate(names):
            for j, b in enumerate(names[i:], i):
                matrix[i, j] = matrix[j, i] = found.value(f"{prefix}_tensor", name, axis=a + b)
        top = float(np.abs(matrix).max()) or 1.0
        axis.imshow(matrix, cmap="RdBu", vmin=-top, vmax=top)
        for (i, j), value in np.ndenumerate(matrix):
            bright = abs(value) > 0.6 * top
            axis.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=8, color="w" if bright else "k")
        axis.set_xticks(range(len(names)), names)
        axis.set_yticks(range(len(names)), names)
        title = f"{name}: effective / own conductivity" if name else "effective conductivity"
        axis.set_title(title, fontsize=8, color=plots.colour(phase) if name else "k")
    return figure


TENSOR = Metric(_measure, _draw, follows_paths=True, when_named=True, voxel_bytes=lambda source: _VOXEL_BYTES)
