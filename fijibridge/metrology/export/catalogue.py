"""The export formats there are. A row here registers one: `measure --export`, its help and docs follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fijibridge.core.registry import Registry

if TYPE_CHECKING:
    from fijibridge.metrology.export.export import Export

EXPORTS: Registry[Export] = Registry(
    "export format",
    {
        "vtk": ("phases.vti for ParaView and PyVista", "fijibridge.metrology.export.vtk:VTK"),
        "stl": ("a closed surface of each phase", "fijibridge.metrology.export.stl:STL"),
        "npz": ("labels, voxel size and names for NumPy", "fijibridge.metrology.export.npz:NPZ"),
        "geodict": ("8-bit raw voxels and a text for GeoDict's import", "fijibridge.metrology.export.geodict:GEODICT"),
        "openpnm": ("a pore network of each phase for OpenPNM", "fijibridge.metrology.export.openpnm:OPENPNM"),
        "bpx": (
            "Battery Parameter eXchange: porosity, transport efficiency, particle radius and surface",
            "fijibridge.metrology.export.bpx:BPX",
        ),
    },
)
