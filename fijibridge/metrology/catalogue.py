"""The metrics there are. A row here registers one: `measure`, its report, plots, options and docs follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fijibridge.core.registry import Registry

if TYPE_CHECKING:
    from fijibridge.metrology.metric import Metric

# the order is that of the report
METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "fractions": (
            "volume (area) fraction of each phase with a confidence interval",
            "fijibridge.metrology.fractions:FRACTIONS",
        ),
        "correlation": (
            "two-point auto- and cross-correlation of the phases",
            "fijibridge.metrology.correlation:CORRELATION",
        ),
        "chords": ("chord lengths of each phase along each axis", "fijibridge.metrology.chords:CHORDS"),
        "surface": (
            "specific surface of each phase, interface area of each pair",
            "fijibridge.metrology.surface:SURFACE",
        ),
        "triple": ("triple-phase boundary: where three phases meet", "fijibridge.metrology.surface:TRIPLE"),
        "sizes": (
            "particle and pore sizes: local thickness of each phase; of a 2D image also the spheres behind its discs",
            "fijibridge.metrology.sizes:SIZES",
        ),
        "connectivity": (
            "connected components and percolation of each phase",
            "fijibridge.metrology.components:CONNECTIVITY",
        ),
        "tortuosity": ("tortuosity factor of each phase along each axis", "fijibridge.metrology.transport:TORTUOSITY"),
        "conductivity": (
            "effective conductivity of the composite along each axis",
            "fijibridge.metrology.transport:CONDUCTIVITY",
        ),
        "tensor": (
            "tensor of the conductivity of each phase, with conductivities of the composite (only when named)",
            "fijibridge.metrology.tensor:TENSOR",
        ),
        "electrode_tortuosity": (
            "electrode tortuosity factor of each phase, from each face to its surface (only when named)",
            "fijibridge.metrology.electrode:ELECTRODE",
        ),
    },
)
