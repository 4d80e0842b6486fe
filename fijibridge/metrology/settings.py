"""Options of measurements: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from fijibridge.core.params import Param
from fijibridge.metrology.catalogue import METRICS

Metrics = Annotated[
    str,
    Param(
        "what to measure, separated by commas",
        level="basic",
        group="Measurement",
        choices=lambda: {"all": "", **METRICS.descriptions()},
        several=True,
    ),
]
SurfaceMethod = Annotated[
    Literal["gradient", "marching-cubes", "intercepts"],
    Param(
        "how interfaces are measured: smoothed gradient, marching cubes, or intercepts (for layers of a few voxels)",
        group="Measurement",
    ),
]
