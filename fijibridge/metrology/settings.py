"""Settings that the doors show: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from fijibridge.params import Param

SurfaceMethod = Annotated[
    Literal["gradient", "marching-cubes", "intercepts"],
    Param("how interfaces are measured: smoothed gradient, marching cubes, or intercepts (for layers of a few voxels)"),
]
