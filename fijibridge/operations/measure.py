"""The numbers of a segmented image or volume."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import SettingsError
from fijibridge.core.machine import bytes_of
from fijibridge.core.options import Out, Overwrite, Threads
from fijibridge.core.params import Param, check, names_in
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.metrology.catalogue import METRICS
from fijibridge.metrology.settings import (
    BpxAxis,
    BpxElectrode,
    BpxPhases,
    BpxTemplate,
    BpxWhole,
    ExportPhases,
    Exports,
    Metrics,
    SurfaceMethod,
)
from fijibridge.operations.options import Classes, VoxelSize
from fijibridge.operations.report import REPORT, fraction_lines, peak_memory_mib, write_report
from fijibridge.phases.reading import open_phases


def measure(
    image: Annotated[
        Path,
        Param(
            "label image or volume (stack): one value a phase",
            positional=True,
            role="image",
            level="basic",
            group="Input",
        ),
    ],
    *,
    out: Out,
    classes: Classes = "",
    background: Annotated[
        str,
        Param("label value that is no part of the sample; default: every value is a phase, also 0", group="Input"),
    ] = "",
    voxel_size: VoxelSize = "",
    metrics: Metrics = "all",
    axes: Annotated[
        str,
        Param(
            "axes for transport and percolation, separated by commas",
            group="Measurement",
            choices=lambda: dict.fromkeys(("all", "z", "y", "x"), ""),
            several=True,
        ),
    ] = "all",
    conductivities: Annotated[
        str,
        Param(
            "conductivity of each phase for that of the composite, such as ISE=1.2,CAM=0.01,pore=0",
            level="basic",
            group="Measurement",
        ),
    ] = "",
    confidence: Annotated[
        float,
        Param("level of the confidence intervals of the phase fractions", low=0.5, high=0.9999, group="Measurement"),
    ] = 0.95,
    surface: SurfaceMethod = "intercepts",
    export: Exports = "",
    export_phases: ExportPhases = "",
    bpx_template: BpxTemplate = None,
    bpx_phases: BpxPhases = "",
    bpx_electrode: BpxElectrode = "positive",
    bpx_axis: BpxAxis = "z",
    bpx_whole: BpxWhole = False,
    memory: Annotated[
        str,
        Param(
            "memory that the program may take, such as 2GB, for volumes larger than it; default: most of what is free",
            group="Computation",
        ),
    ] = "",
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Measure a segmented image or volume.

    Phase fractions with confidence intervals, two-point correlation, chord lengths, surfaces and interfaces,
    triple-phase boundary, local thickness, percolation, tortuosity factors, effective conductivity.

    A volume larger than memory is read slab by slab, with the same numbers; what needs the whole of it (correlation,
    sizes, tortuosity, conductivity) is then the mean of sampled blocks, with their standard deviation.

    Writes metrics.csv, a CSV of each curve, a PNG of each metric, and report.json; with ``export`` the volume in the
    formats of other tools, too.

    Returns
    -------
    dict
        The report; ``metrics`` holds the numbers by metric, phase and axis ("inf" for infinite), ``how`` what each
        was measured on.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    import logging

    from fijibridge.images.image import reading_notes
    from fijibridge.metrology.blocks import allowed_memory
    from fijibridge.metrology.export.export import BpxSettings, Job
    from fijibridge.metrology.export.exporting import check_exports, write_exports
    from fijibridge.metrology.measurement import held
    from fijibridge.metrology.measurement import measure as measure_labels
    from fijibridge.metrology.report import nested, write_measurement

    check(measure, locals())
    wanted, limit, formats = names_in(metrics), bytes_of(memory), names_in(export)
    stages = Stages()
    outputs: list[str] = []
    notes: list[str] = []
    with (
        limited_threads(threads, torch=False),
        output_folder(out, marker=REPORT, overwrite=overwrite, inputs=[image, bpx_template]) as folder,
    ):
        with ExitStack() as files:
            with stages("reading"):
                phases, stored, size_note = files.enter_context(
                    open_phases(image, classes=classes, voxel_size=voxel_size, background=_background(background))
                )
            job = Job(
                phases,
                tuple(names_in(export_phases)),
                surface,
                tuple(METRICS if "all" in wanted else wanted),
                phases.axes if "all" in names_in(axes) else tuple(names_in(axes)),
                allowed_memory(limit),
                BpxSettings(
                    Path(bpx_template) if bpx_template else None, bpx_electrode, bpx_phases, bpx_axis, bpx_whole
                ),
            )
            check_exports(formats, job)
            if formats:
                with stages("exporting"):  # before the measuring: what fails, fails early
                    job = replace(job, source=held(phases, job.memory))
                    exported = write_exports(formats, job, folder)
                    outputs, notes = [*outputs, *exported.names], [*notes, *exported.notes]
            with stages("measuring"):
                found = measure_labels(
                    job.source,
                    metrics=wanted,
                    axes=None if "all" in names_in(axes) else names_in(axes),
                    conductivities=_conductivities(conductivities),
                    confidence=confidence,
                    surface_method=surface,
                    threads=threads,
                    memory=limit,
                )
        with stages("writing"):
            outputs = write_measurement(found, folder) + outputs
            exported = write_exports(formats, job, folder, found)
            outputs += exported.names
        notes = [*reading_notes(image), *([size_note] if size_note else []), *found.notes, *notes, *exported.notes]
        for note in notes:
            logging.getLogger(__name__).warning("%s: %s", image, note)
        total = sum(phases.counts)
        report = {
            "operation": "measure",
            "out": str(out),
            "image": str(image),
            "shape": list(phases.shape[3 - phases.ndim :]),
            "voxel_size": {
                **dict(zip(phases.axes, phases.spacing[3 - phases.ndim :], strict=True)),
                "unit": phases.unit,
            },
            "pixel_size": asdict(stored) if stored else None,
            "phases": dict(zip(phases.names, phases.values, strict=True)),
            "class_fractions": {name: round(phases.counts[phase] / total, 6) for phase, name in phases},
            "metrics": nested(found),
            "measured": list(found.metrics),
            "how": found.how,
            "confidence": confidence,
            "surface": surface,
            "export": formats,
            "notes": notes,
            "outputs": outputs,
            "stages": stages.seconds,
            "seconds": found.seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return fraction_lines(report)


def _background(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError as error:
        raise SettingsError(
            f"background = {text!r}", expected="a label value, such as 0", remedy="give a whole number, or nothing"
        ) from error


def _conductivities(text: str) -> dict[str, float] | list[float] | None:
    if not text.strip():
        return None
    parts = names_in(text)
    try:
        if all("=" in part for part in parts):
            pairs = [part.rpartition("=") for part in parts]
            if len({name.strip() for name, _, _ in pairs}) == len(pairs):
                return {name.strip(): float(value) for name, _, value in pairs}
        else:
            return [float(part) for part in parts]
    except ValueError:
        pass
    raise SettingsError(
        f"conductivities = {text!r}",
        expected="a number for each phase, by name or in their order",
        remedy="for example ISE=1.2,CAM=0.01,pore=0",
    )
