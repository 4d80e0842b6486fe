"""What a metric is, what it gets and what it fills in.

A new metric is one file that makes a `Metric`, and one row of `fijibridge.metrology.catalogue.METRICS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from fijibridge.core.errors import SettingsError
from fijibridge.phases.phases import Phases, PhaseSource

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = ("metric", "phase", "other", "axis", "value", "unit", "low", "high", "spread")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured of an image.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        The image.
    table : pandas.DataFrame
        One row a number: ``metric``, ``phase``, ``other`` (the second phase of a pair), ``axis``, ``value``, ``unit``,
        ``low``, ``high`` (confidence interval or bounds, where there are any), ``spread`` (standard deviation over the
        blocks, where it was measured in blocks).
    curves : dict
        ``"correlation"``, ``"chords"``, ``"sizes"``: pandas tables, of the metrics asked for.
    metrics : tuple of str
        What was measured.
    notes : tuple of str
        Warnings: what was left out, and why.
    seconds : dict
        Wall seconds a metric.
    how : dict
        For each metric what it was measured on: ``"whole"``, ``"slabs of 16 slices"`` (every voxel counts, as in the
        whole) or ``"8 blocks of 256 x 256 x 256 voxels"``.
    """

    phases: PhaseSource
    table: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)

    def value(self, metric: str, phase: str = "", *, other: str = "", axis: str = "") -> float:
        """One number of the table.

        Parameters
        ----------
        metric : str
            Name in the table's column ``metric``.
        phase, other : str
            Names of the phase, and of the second phase of a pair; empty where the metric has none.
        axis : {"", "z", "y", "x"}
            Axis of the image; empty where the metric has none.

        Returns
        -------
        float

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

    def rows(self, metric: str) -> pd.DataFrame:
        """The rows of the table of one metric."""
        return self.table[self.table.metric == metric]


@dataclass(frozen=True, eq=False)
class Context:
    """The image and the settings that every metric gets, and the results so far.

    Parameters
    ----------
    source : Phases or PhaseVolume
        The image.
    axes : tuple of str
        Axes of the image for metrics that have a direction.
    conductivities : mapping or sequence of float, optional
        Conductivity of each phase.
    confidence : float
        Confidence level of intervals.
    surface_method : {"intercepts", "marching-cubes"}
        How interfaces are measured.
    periodic : bool
        Whether the image repeats itself at its borders.
    tolerance : float
        Relative error of conductivities at which the flow solver stops, as it estimates it.
    threads : int
        0: all cores.
    memory : int
        Bytes that it may take.
    rows : list of dict
        Rows of the table so far; see `add`.
    curves : dict
        Tables of curves so far, by name; each becomes a CSV.
    notes : list of str
        Warnings so far.
    """

    source: PhaseSource
    axes: tuple[str, ...]
    conductivities: Mapping[str, float] | Sequence[float] | None = None
    confidence: float = 0.95
    surface_method: str = "intercepts"
    periodic: bool = False
    tolerance: float = 1e-5
    threads: int = 0
    memory: int = 2**31
    rows: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _shared: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def phases(self) -> Phases:
        """The whole image in memory: for metrics that cannot go through the slabs of `source`."""
        return self.source.load()

    def add(
        self,
        metric: str,
        value: float,
        unit: str = "",
        phase: str = "",
        *,
        other: str = "",
        axis: str = "",
        low: float = math.nan,
        high: float = math.nan,
        spread: float = math.nan,
    ) -> None:
        """Add a row to the table.

        Parameters
        ----------
        metric : str
            Name of the number; a metric may add several.
        value : float
            The number.
        unit : str
            Its unit, such as `length_unit` makes it; empty for a pure number.
        phase, other : str
            Name of the phase, and of the second phase of a pair.
        axis : {"", "z", "y", "x"}
            Axis along which it was measured.
        low, high : float
            Confidence interval or bounds; NaN where there are none.
        spread : float
            Standard deviation over blocks of the image; NaN where it was measured on all of it.
        """
        self.rows.append(
            {
                "metric": metric, "phase": phase, "value": float(value), "unit": unit, "other": other, "axis": axis,
                "low": low, "high": high, "spread": spread,
            }
        )  # fmt: skip

    def length_unit(self, exponent: int) -> str:
        """The image's unit of length to a power, such as ``um^-1``."""
        return self.source.unit if exponent == 1 else f"{self.source.unit}^{exponent}"

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """An intermediate result that several metrics use, made by the first of them.

        Parameters
        ----------
        name : str
            Its name, which those metrics have in `Metric.uses`.
        make : callable
            Makes it.

        Returns
        -------
        object
            What ``make`` returned.
        """
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    def release(self, kept: Sequence[str]) -> None:
        """Free the intermediate results that are not among these names: they can take gigabytes."""
        for name in set(self._shared) - set(kept):
            del self._shared[name]


@dataclass(frozen=True)
class Metric:
    """How a metric is measured and drawn.

    Parameters
    ----------
    measure : callable
        Adds the metric's rows, curves and notes to a `Context`.
    draw : callable, optional
        Makes a figure of a `Measurement` that holds the metric; None where there is nothing to draw. Parts of figures
        are in `fijibridge.metrology.plots`.
    uses : tuple of str
        Names of the shared intermediate results that it uses (`Context.shared`).
    needs_conductivities : bool
        Whether it is measured only where the conductivities of the phases are given.
    when_named : bool
        Whether it is measured only where it is named, and not among all.
    follows_paths : bool
        Whether it follows paths through a phase, which a 2D image shows in its plane only.
    slabs : callable, optional
        Adds the same rows, curves and notes, from `Context.source` slab by slab and in bounded memory; it may be
        `measure` itself. Without it an image for which memory does not suffice is measured in blocks.
    voxel_bytes : callable
        Bytes a voxel that `measure` takes at its peak, of an image with such phases.
    beyond : mapping
        Column of a curve -> its value where the curve of a block has ended and that of another goes on.
    """

    measure: Callable[[Context], None]
    draw: Callable[[Measurement], Figure | None] | None = None
    uses: tuple[str, ...] = ()
    needs_conductivities: bool = False
    when_named: bool = False
    follows_paths: bool = False
    slabs: Callable[[Context], None] | None = None
    voxel_bytes: Callable[[PhaseSource], float] = lambda source: 60.0
    beyond: Mapping[str, float] = field(default_factory=dict)
