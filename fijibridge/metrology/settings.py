"""Options of measurements: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from fijibridge.core.params import Param
from fijibridge.metrology.catalogue import METRICS
from fijibridge.metrology.export.catalogue import EXPORTS

Metrics = Annotated[
    str,
    Param(
        "what to measure, separated by commas",
        level="basic",
        group="Measurement",
        choices=lambda: {"all": "all but those only when named", **METRICS.descriptions()},
        several=True,
    ),
]
SurfaceMethod = Annotated[
    Literal["intercepts", "marching-cubes"],
    Param(
        "how interfaces are measured: intercepts in all directions, or marching cubes, to compare with other programs",
        group="Measurement",
    ),
]
Exports = Annotated[
    str,
    Param(
        "write the volume for other tools, too: formats, separated by commas",
        level="basic",
        group="Output",
        choices=EXPORTS.descriptions,
        several=True,
    ),
]
ExportPhases = Annotated[
    str, Param("phases for stl and openpnm, separated by commas; default: every phase", group="Output")
]
BpxTemplate = Annotated[
    Path | None,
    Param(
        "BPX file of the cell, of which the measured numbers replace those of the electrode; default: bpx.json is a "
        "part, to be completed",
        role="file",
        group="Output",
    ),
]
BpxPhases = Annotated[
    str,
    Param(
        "for bpx: the phase that holds the electrolyte, and the active material, such as pore=pore,particles=CAM",
        group="Output",
    ),
]
BpxElectrode = Annotated[
    Literal["positive", "negative"], Param("for bpx: the electrode that the volume is of", group="Output")
]
BpxAxis = Annotated[
    Literal["z", "y", "x"], Param("for bpx: the axis from the current collector to the separator", group="Output")
]
BpxWhole = Annotated[
    bool,
    Param("for bpx: the volume spans the electrode, so that its extent is the electrode's thickness", group="Output"),
]
