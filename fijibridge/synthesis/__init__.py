"""Structures of composite electrodes, and their SE and BSE micrographs with exact labels: training data."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "ImagingSettings": "fijibridge.synthesis.imaging_settings",
    "Material": "fijibridge.synthesis.materials",
    "Micrograph": "fijibridge.synthesis.imaging",
    "SimulationConfig": "fijibridge.synthesis.config",
    "Structure": "fijibridge.synthesis.structure",
    "StructureSettings": "fijibridge.synthesis.structure_settings",
    "load_config": "fijibridge.synthesis.config",
    "load_preset": "fijibridge.synthesis.config",
    "make_structure": "fijibridge.synthesis.structure",
    "presets": "fijibridge.synthesis.config",
    "simulated_pairs": "fijibridge.synthesis.dataset",
    "take_micrograph": "fijibridge.synthesis.imaging",
    "take_stack": "fijibridge.synthesis.imaging",
    "volume_fractions": "fijibridge.synthesis.composition",
    "write_dataset": "fijibridge.synthesis.dataset",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fijibridge.synthesis' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
