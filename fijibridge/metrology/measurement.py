"""All metrics of one image in one call, as one table and a few curves."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fijibridge.errors import LabelsError, SettingsError
from fijibridge.metrology.chords import chord_lengths
from fijibridge.metrology.components import connectivity
from fijibridge.metrology.correlation import Correlations, check_confidence, two_point_correlation
from fijibridge.metrology.fractions import phase_fractions
from fijibridge.metrology.phases import Phases, as_phases
from fijibridge.metrology.sizes import phase_sizes
from fijibridge.metrology.surface import pair_areas, specific_surface, triple_phase_boundary
from fijibridge.metrology.transport import check_conductivities, effective_conductivity, tortuosities
from fijibridge.progress import bar

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_THIN = 0.15  # difference of two methods from which a reader is told
COLUMNS = ("metric", "phase", "other", "axis", "value", "unit", "low", "high")


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured of an image.

    Parameters
    ----------
    phases : Phases
        The image.
    table : pandas.DataFrame
        One row a number: ``metric``, ``phase``, ``other`` (the second phase of a pair), ``axis``, ``value``, ``unit``,
        ``low``, ``high`` (confidence interval or bounds, where there are any).
    curves : dict
        ``"correlation"``, ``"chords"``, ``"sizes"``: pandas tables, of the metrics asked for.
    metrics : tuple of str
        What was measured.
    notes : tuple of str
        What a reader should know: what was left out, and why.
    seconds : dict
        Wall seconds a metric.
    """

    phases: Phases
    table: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def value(self, metric: str, phase: str = "", *, other: str = "", axis: str = "") -> float:
        """One number of the table.

        Raises
        ------
        SettingsError
            No such number.
        """
        table = self.table
        found = table[(table.metric == metric) & (table.phase == phase) & (table.other == other) & (table.axis == axis)]
        if len(found) != 1:
            raise SettingsError(
                f"no number {metric} of phase {phase!r}, other {other!r}, axis {axis!r}",
                expected=", ".join(sorted(set(table.metric))),
                remedy="look into the table",
            )
        return float(found.value.iloc[0])


@dataclass(frozen=True, eq=False)
class _Work:
    """What every metric gets."""

    phases: Phases
    axes: tuple[str, ...]
    conductivities: Any
    confidence: float
    surface_method: str
    periodic: bool
    tolerance: float
    threads: int
    rows: list[dict[str, Any]]
    curves: dict[str, pd.DataFrame]
    notes: list[str]
    shared: dict[str, Correlations]

    def put(self, metric: str, value: float, unit: str = "", phase: str = "", **more: Any) -> None:
        """A row of the table; ``more``: other, axis, low, high."""
        empty = {"other": "", "axis": "", "low": math.nan, "high": math.nan}
        self.rows.append({"metric": metric, "phase": phase, "value": float(value), "unit": unit, **empty, **more})

    def power(self, exponent: int) -> str:
        """The unit of length to a power, in words."""
        unit = self.phases.unit
        return f"{unit}^{exponent}" if exponent > 1 else unit if exponent == 1 else f"{unit}^{exponent}"

    def correlations(self) -> Correlations:
        if "all" not in self.shared:
            self.shared["all"] = Correlations(self.phases, periodic=self.periodic, threads=self.threads)
        return self.shared["all"]


def _fractions(work: _Work) -> None:
    found = phase_fractions(work.phases, confidence=work.confidence, correlations=work.correlations())
    for row in found.itertuples():
        work.put("fraction", row.fraction, phase=row.phase, low=row.low, high=row.high)
        work.put("integral_range", row.integral_range, work.power(work.phases.ndim), row.phase)
        work.put("effective_samples", row.effective_samples, phase=row.phase)
        if not row.settled:
            work.notes.append(
                f"{row.phase}: its correlation reaches across half the image, which is too small for a trustworthy "
                "confidence interval of the fraction"
            )


def _correlation(work: _Work) -> None:
    work.curves["correlation"] = two_point_correlation(work.phases, correlations=work.correlations())


def _chords(work: _Work) -> None:
    means, work.curves["chords"] = chord_lengths(work.phases)
    for row in means.itertuples():
        work.put("mean_chord", row.mean_chord, work.power(1), row.phase, axis=row.axis)


def _surface(work: _Work) -> None:
    for row in specific_surface(work.phases, method=work.surface_method).itertuples():
        if row.other:
            work.put("interface_area", row.specific_surface, work.power(-1), row.phase, other=row.other)
        else:
            work.put("specific_surface", row.specific_surface, work.power(-1), row.phase)
            work.put("surface_of_phase_volume", row.per_phase_volume, work.power(-1), row.phase)
    if work.surface_method == "intercepts":
        return
    # a check that costs little: smoothing wipes out what meshes and lines still see
    found = pair_areas(work.phases, work.surface_method)
    exact = pair_areas(work.phases, "intercepts")
    for phase, name in work.phases:
        ours, theirs = (sum(area for pair, area in areas.items() if phase in pair) for areas in (found, exact))
        if theirs and abs(ours / theirs - 1) > _THIN:
            work.notes.append(
                f"{name}: its surface by {work.surface_method} is {ours / theirs:.2f} times that by intercepts: parts "
                "of it are a few voxels thick; --surface intercepts is made for that"
            )


def _triple(work: _Work) -> None:
    found = triple_phase_boundary(work.phases)
    if not len(found):
        work.notes.append("no triple-phase boundary: the image has fewer than three phases")
    for row in found.itertuples():
        work.put("triple_phase_boundary", row.density, work.power(-2), row.phases)


def _sizes(work: _Work) -> None:
    found, work.curves["sizes"] = phase_sizes(work.phases, threads=work.threads)
    for row in found.itertuples():
        for name in ("mean", "standard_deviation", "d10", "d50", "d90"):
            work.put(f"local_thickness_{name}", getattr(row, name), work.power(1), row.phase)


def _connectivity(work: _Work) -> None:
    seen = set()
    for row in connectivity(work.phases).itertuples():
        if row.phase not in seen:
            seen.add(row.phase)
            work.put("components", row.components, phase=row.phase)
            work.put("largest_component", row.largest, phase=row.phase)
        if row.axis in work.axes:
            work.put("percolating", row.percolating, phase=row.phase, axis=row.axis)
            work.put("isolated", row.isolated, phase=row.phase, axis=row.axis)


def _tortuosity(work: _Work) -> None:
    found = tortuosities(work.phases, axes=work.axes, tolerance=work.tolerance, threads=work.threads)
    for row in found.itertuples():
        work.put("tortuosity_factor", row.tortuosity_factor, phase=row.phase, axis=row.axis)
        work.put("relative_conductivity", row.relative_conductivity, phase=row.phase, axis=row.axis)


def _conductivity(work: _Work) -> None:
    for axis in work.axes:
        found = effective_conductivity(
            work.phases, work.conductivities, axis, tolerance=work.tolerance, threads=work.threads
        )
        bounds = {"low": found["wiener_low"], "high": found["wiener_high"]}
        work.put("effective_conductivity", found["conductivity"], axis=axis, **bounds)
    work.put("hashin_shtrikman_low", found["hashin_low"])
    work.put("hashin_shtrikman_high", found["hashin_high"])


# metric -> how; the order is that of the report
METRICS: dict[str, Callable[[_Work], None]] = {
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


def measure(
    labels: Any,
    *,
    metrics: Sequence[str] | None = None,
    axes: Sequence[str] | None = None,
    conductivities: Mapping[str, float] | Sequence[float] | None = None,
    confidence: float = 0.95,
    surface_method: str = "gradient",
    periodic: bool = False,
    tolerance: float = 1e-6,
    threads: int = 0,
    **about: Any,
) -> Measurement:
    """Measure a segmented image or volume.

    Parameters
    ----------
    labels : array_like or Phases
        (Y, X) or (Z, Y, X) labels; every value is a phase, but for the background.
    metrics : sequence of str, optional
        Some of `METRICS`: fractions, correlation, chords, surface, triple, sizes, connectivity, tortuosity,
        conductivity; by default all that the image has (conductivity only with `conductivities`).
    axes : sequence of {"z", "y", "x"}, optional
        For transport and percolation; all by default.
    conductivities : mapping or sequence of float, optional
        Of each phase, for the effective conductivity of the composite.
    confidence, periodic
        As for `phase_fractions`.
    surface_method : {"gradient", "marching-cubes", "intercepts"}
        As for `specific_surface`.
    tolerance : float
        Of the flow solver, as for `tortuosity`.
    threads : int
        0: all cores.
    **about
        ``spacing``, ``unit``, ``background``, ``class_names`` as `as_phases` takes them.

    Returns
    -------
    Measurement

    Raises
    ------
    ImageError, LabelsError
        As `as_phases`; an image of one phase.
    SettingsError
        An unknown metric, an axis that the image does not have, settings out of range.
    """
    import pandas as pd

    phases = as_phases(labels, **about)
    if len(phases) < 2:
        raise LabelsError(
            f"one phase only ({phases.names[0]}, value {phases.values[0]})",
            expected="two phases at least",
            remedy="check the segmentation; if the other value is a phase too, leave out --background",
        )
    check_confidence(confidence)
    if axes is not None and not axes:
        raise SettingsError(
            "no axes", expected=" or ".join(phases.axes), remedy="name one axis at least, or ask for all"
        )
    for axis in axes or ():
        phases.axis(axis)
    if conductivities is not None:
        check_conductivities(phases, conductivities)
    notes: list[str] = []
    wanted = _wanted(metrics, conductivities is not None)
    if phases.ndim == 2 and {"connectivity", "tortuosity", "conductivity"} & set(wanted):
        notes.append(
            "2D: connectivity, tortuosity and conductivity are those of the plane; in 3D phases connect better"
        )
    work = _Work(
        phases, tuple(axes or phases.axes), conductivities, confidence, surface_method, periodic, tolerance, threads,
        [], {}, notes, {},
    )  # fmt: skip
    seconds = {}
    with bar("metrics", len(wanted)) as steps:
        for name in wanted:
            began = time.perf_counter()
            if name not in ("fractions", "correlation"):
                work.shared.clear()  # gigabytes
            METRICS[name](work)
            seconds[name] = round(time.perf_counter() - began, 3)
            log.info("%s: %.1f s", name, seconds[name])
            steps.update()
    table = pd.DataFrame(work.rows, columns=list(COLUMNS))
    return Measurement(phases, table, work.curves, wanted, tuple(notes), seconds)


def _wanted(metrics: Sequence[str] | None, conducting: bool) -> tuple[str, ...]:
    """The metrics to measure, in the order of `METRICS`."""
    if metrics is None:
        return tuple(name for name in METRICS if name != "conductivity" or conducting)
    wrong = [name for name in metrics if name not in METRICS]
    if wrong or not metrics:
        raise SettingsError(
            f"metrics {', '.join(map(repr, wrong)) or '(none)'}",
            expected=f"some of {', '.join(METRICS)}",
            remedy="check the spelling, or ask for all",
        )
    if "conductivity" in metrics and not conducting:
        raise SettingsError(
            "the conductivity of the composite without those of its phases",
            expected="a conductivity for each phase, 0 for an insulator",
            remedy="give --conductivities, such as ISE=1.2,CAM=0.01,pore=0",
        )
    return tuple(name for name in METRICS if name in metrics)
