"""Numbers of a segmented image or volume: fractions, correlation, surface, sizes, connectivity, transport.

Every function takes a label array, (Y, X) or (Z, Y, X), with the size of its voxels, or a `Phases`. Names load on first
use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "Measurement": "fijibridge.metrology.measurement",
    "Phases": "fijibridge.metrology.phases",
    "Tortuosity": "fijibridge.metrology.transport",
    "as_phases": "fijibridge.metrology.phases",
    "chord_lengths": "fijibridge.metrology.chords",
    "connectivity": "fijibridge.metrology.components",
    "effective_conductivity": "fijibridge.metrology.transport",
    "local_thickness": "fijibridge.metrology.sizes",
    "measure": "fijibridge.metrology.measurement",
    "phase_fractions": "fijibridge.metrology.fractions",
    "phase_sizes": "fijibridge.metrology.sizes",
    "specific_surface": "fijibridge.metrology.surface",
    "tortuosities": "fijibridge.metrology.transport",
    "tortuosity": "fijibridge.metrology.transport",
    "triple_phase_boundary": "fijibridge.metrology.surface",
    "two_point_correlation": "fijibridge.metrology.correlation",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fijibridge.metrology' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
