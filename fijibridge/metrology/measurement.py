"""All metrics of one image in one call, as one table and a few curves."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import LabelsError, SettingsError
from fijibridge.core.progress import bar
from fijibridge.metrology.blocks import allowed_memory, measure_within
from fijibridge.metrology.catalogue import METRICS
from fijibridge.metrology.fractions import check_confidence
from fijibridge.metrology.metric import COLUMNS, Context, Measurement, Metric
from fijibridge.metrology.settings import SurfaceMethod
from fijibridge.metrology.transport import check_conductivities
from fijibridge.phases.phases import Phases, PhaseSource, as_source
from fijibridge.phases.volume import PhaseVolume

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fijibridge.phases.phases import PhasesOptions

log = logging.getLogger(__name__)
ALL = "all"
_HELD = 0.25  # share of the memory
_SLAB_BYTES = 50  # bytes a voxel that a slab takes with what is made of it, measured
_NEIGHBOURS = 10  # slices that a slab has beside its own, at most


def measure(
    labels: Any,
    *,
    metrics: Sequence[str] | None = None,
    axes: Sequence[str] | None = None,
    conductivities: Mapping[str, float] | Sequence[float] | None = None,
    confidence: float = 0.95,
    surface_method: SurfaceMethod = "intercepts",
    periodic: bool = False,
    tolerance: float = 1e-5,
    threads: int = 0,
    memory: int = 0,
    **options: Unpack[PhasesOptions],
) -> Measurement:
    """Measure a segmented image or volume.

    Parameters
    ----------
    labels : array_like, Phases or PhaseVolume
        (Y, X) or (Z, Y, X) labels; every value is a phase, except the background.
    metrics : sequence of str, optional
        Some of `fijibridge.metrology.catalogue.METRICS`: fractions, correlation, chords, surface, triple, sizes,
        connectivity, tortuosity, conductivity, tensor, electrode_tortuosity; by default all that the image has but
        the last two (conductivity only with `conductivities`), as "all" says beside other names.
    axes : sequence of {"z", "y", "x"}, optional
        For transport and percolation; all by default.
    conductivities : mapping or sequence of float, optional
        Of each phase, for the effective conductivity of the composite.
    confidence, periodic
        As for `phase_fractions`.
    surface_method : {"intercepts", "marching-cubes"}
        As for `specific_surface`.
    tolerance : float
        Relative error of conductivities at which the flow solver stops, as it estimates it.
    threads : int
        0: all cores.
    memory : int
        Bytes that the program may take in all; 0: what is free. A `PhaseVolume` that takes little of it is loaded,
        another is read slab by slab, with the same numbers. A metric that needs more of a whole image is measured in
        blocks of it, seeded and spread, and has their mean and standard deviation; `Measurement.how` and a note say so.
    **options
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

    phases = as_source(labels, **options)
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
    wanted = _wanted(metrics, conductivities is not None)
    allowed = allowed_memory(memory)
    context = Context(
        held(phases, allowed),
        tuple(axes or phases.axes),
        conductivities,
        confidence,
        surface_method,
        periodic,
        tolerance,
        threads,
        allowed,
    )
    if phases.ndim == 2 and any(metric.follows_paths for metric in wanted.values()):
        *first, last = (name for name in METRICS if METRICS[name].follows_paths)
        context.notes.append(f"2D: {', '.join(first)} and {last} are those of the plane; in 3D phases connect better")
    seconds, how = {}, {}
    with bar("metrics", len(wanted)) as steps:
        for name, metric in wanted.items():
            began = time.perf_counter()
            context.release(metric.uses)
            how[name] = measure_within(context, metric, name)
            seconds[name] = round(time.perf_counter() - began, 3)
            log.info("%s: %.1f s, %s", name, seconds[name], how[name])
            steps.update()
    table = pd.DataFrame(context.rows, columns=list(COLUMNS))
    return Measurement(phases, table, context.curves, tuple(wanted), tuple(context.notes), seconds, how)


def held(source: PhaseSource, allowed: int) -> PhaseSource:
    """The image in memory where that takes little of what is allowed; else with slabs for which it suffices.

    Parameters
    ----------
    source : Phases or PhaseVolume
        The image.
    allowed : int
        Bytes that it may take.

    Returns
    -------
    Phases or PhaseVolume
    """
    if isinstance(source, Phases) or source.size <= _HELD * allowed:
        return source.load()
    if isinstance(source, PhaseVolume):
        most = int(allowed / _SLAB_BYTES / (source.shape[1] * source.shape[2])) - _NEIGHBOURS
        return replace(source, slices=max(1, min(source.slab_slices, most)))
    return source


def _wanted(names: Sequence[str] | None, conducting: bool) -> dict[str, Metric]:
    """The metrics to measure, in the order of `METRICS`; among the names "all" are those measured unnamed."""
    named = [] if names is None else [name for name in names if name != ALL]
    if names is None or ALL in names:
        usual = [name for name in METRICS if not METRICS[name].when_named]
        names = [*named, *(name for name in usual if conducting or not METRICS[name].needs_conductivities)]
    wrong = [name for name in names if name not in METRICS]
    if wrong or not names:
        raise SettingsError(
            f"metrics {', '.join(map(repr, wrong)) or '(none)'}",
            expected=f"some of {', '.join(METRICS)}",
            remedy="check the spelling, or ask for all",
        )
    wanted = {name: METRICS[name] for name in METRICS if name in names}
    if not conducting and any(metric.needs_conductivities for metric in wanted.values()):
        raise SettingsError(
            "the conductivity of the composite without those of its phases",
            expected="a conductivity for each phase, 0 for an insulator",
            remedy="give --conductivities, such as ISE=1.2,CAM=0.01,pore=0",
        )
    return wanted
