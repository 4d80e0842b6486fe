"""The numbers of a segmented image or volume."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fijibridge.errors import SettingsError
from fijibridge.metrology.settings import SurfaceMethod
from fijibridge.operations.label_volumes import PhaseNames, VoxelSize, read_phases
from fijibridge.operations.results import REPORT, Out, Overwrite, peak_memory_mib, write_report
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.segmentation.pixel import Threads
from fijibridge.segmentation.stages import Stages


def measure(
    image: Annotated[Path, Param("label image or volume (stack): one value a phase", positional=True, role="image")],
    *,
    out: Out,
    classes: PhaseNames = "",
    background: Annotated[
        str, Param("label value that is no part of the sample; empty: every value is a phase, 0 too")
    ] = "",
    voxel_size: VoxelSize = "",
    metrics: Annotated[
        str,
        Param(
            "all, or some of fractions, correlation, chords, surface, triple, sizes, connectivity, tortuosity, "
            "conductivity, separated by commas"
        ),
    ] = "all",
    axes: Annotated[str, Param("axes for transport and percolation: all, or some of z,y,x")] = "all",
    conductivities: Annotated[
        str, Param("conductivity of each phase for that of the composite, such as ISE=1.2,CAM=0.01,pore=0")
    ] = "",
    confidence: Annotated[float, Param("of the intervals of the phase fractions", low=0.5, high=0.9999)] = 0.95,
    surface: SurfaceMethod = "gradient",
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Measure a segmented image or volume.

    Phase fractions with confidence intervals, two-point correlation, chord lengths, surfaces and interfaces,
    triple-phase boundary, local thickness, percolation, tortuosity factors, effective conductivity.

    Writes metrics.csv, a CSV of each curve, a PNG of each metric, and report.json.

    Returns
    -------
    dict
        The report; ``metrics`` holds the numbers by metric, phase and axis ("inf" for infinite).

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    import logging

    from fijibridge.metrology.measurement import measure as measure_labels
    from fijibridge.metrology.report import nested, write_measurement

    check(measure, locals())
    wanted = _list(metrics)
    stages = Stages()
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=[image]) as folder:
        with stages("reading"):
            phases, stored, size_note = read_phases(
                image, classes=classes, voxel_size=voxel_size, background=_background(background)
            )
        with stages("measuring"):
            found = measure_labels(
                phases,
                metrics=None if wanted == ["all"] else wanted,
                axes=None if axes.strip() == "all" else _list(axes),
                conductivities=_conductivities(conductivities),
                confidence=confidence,
                surface_method=surface,
                threads=threads,
            )
        with stages("writing"):
            outputs = write_measurement(found, folder)
        notes = [size_note, *found.notes] if size_note else list(found.notes)
        for note in notes:
            logging.getLogger(__name__).warning("%s: %s", image, note)
        total = sum(phases.counts)
        report = {
            "operation": "measure",
            "out": str(out),
            "image": str(image),
            "shape": list(phases.index.shape[3 - phases.ndim :]),
            "voxel_size": {
                **dict(zip(phases.axes, phases.spacing[3 - phases.ndim :], strict=True)),
                "unit": phases.unit,
            },
            "pixel_size": asdict(stored) if stored else None,
            "phases": dict(zip(phases.names, phases.values, strict=True)),
            "class_fractions": {name: round(phases.counts[phase] / total, 6) for phase, name in phases},
            "metrics": nested(found),
            "measured": list(found.metrics),
            "confidence": confidence,
            "surface": surface,
            "notes": notes,
            "outputs": outputs,
            "stages": stages.seconds,
            "seconds": found.seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


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
    parts = _list(text)
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
