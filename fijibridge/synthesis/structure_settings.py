"""Settings of a synthetic structure: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param, check


@dataclass(frozen=True)
class StructureSettings:
    """What a composite electrode of a solid-state battery is made of; the solid electrolyte (ISE) is the rest.

    Fractions are of the whole volume. The defaults are a generic composite cathode.

    Raises
    ------
    SettingsError
        A value outside its range, or fractions that leave nothing for the solid electrolyte.
    """

    cam_fraction: Annotated[float, Param("volume fraction of the active material (CAM)", low=0.05, high=0.75)] = 0.45
    cam_diameter: Annotated[
        float, Param("median diameter, by number, of the CAM particles", low=0.2, high=30, unit="um")
    ] = 4.0
    cam_diameter_spread: Annotated[
        float, Param("geometric standard deviation of the diameters; 1: all alike", low=1, high=2)
    ] = 1.3
    cam_aspect_ratio: Annotated[
        float, Param("mean ratio of a particle's longest axis to its shortest", low=1, high=3)
    ] = 1.25
    cam_roughness: Annotated[
        float, Param("rms height of the CAM surface's unevenness, as a share of the radius", low=0, high=0.2)
    ] = 0.05
    cam_angularity: Annotated[
        float, Param("shape of the CAM particles; 0: rounded ellipsoids, 1: fragments with plane faces", low=0, high=1)
    ] = 0.3
    cam_contacts: Annotated[
        float,
        Param("share of neighbouring CAM particles that touch where they meet; a film parts the others", low=0, high=1),
    ] = 0.3
    cam_cracks: Annotated[
        float,
        Param(
            "share of the CAM particles that are cracked, while cracks are no more than half of the pores",
            low=0,
            high=1,
        ),
    ] = 0.1
    cam_grain_size: Annotated[
        float, Param("size of the crystal grains inside CAM particles; 0: single crystals", low=0, high=10, unit="um")
    ] = 0.0
    porosity: Annotated[float, Param("volume fraction of all pores", low=0, high=0.5)] = 0.08
    pore_size: Annotated[
        float, Param("size of the rounded pores; gaps are thinner, cracks longer", low=0.05, high=5, unit="um")
    ] = 0.6
    interface_pores: Annotated[
        float, Param("share of the pore volume that lies as non-wetting gaps at CAM surfaces", low=0, high=1)
    ] = 0.4
    crack_pores: Annotated[
        float, Param("share of the pore volume that lies as cracks through the solid electrolyte", low=0, high=1)
    ] = 0.1
    ise_grain_size: Annotated[
        float, Param("size of the crystal grains of the solid electrolyte", low=0.05, high=20, unit="um")
    ] = 1.0
    carbon_fraction: Annotated[float, Param("volume fraction of the carbon fibres", low=0, high=0.2)] = 0.02
    fibre_diameter: Annotated[float, Param("diameter of the carbon fibres", low=0.02, high=2, unit="um")] = 0.15
    fibre_length: Annotated[float, Param("length of the carbon fibres", low=0.5, high=100, unit="um")] = 8.0
    fibre_curvature: Annotated[
        float, Param("rms curvature of the fibres' paths; 0: straight", low=0, high=2, unit="1/um")
    ] = 0.15
    binder_fraction: Annotated[float, Param("volume fraction of the binder", low=0, high=0.2)] = 0.0
    binder_size: Annotated[float, Param("size of the binder's blobs and films", low=0.05, high=5, unit="um")] = 0.3

    def __post_init__(self) -> None:
        check(type(self), vars(self))
        if self.ise_fraction <= 0:
            raise SettingsError(
                f"CAM {self.cam_fraction:g} + pores {self.porosity:g} + carbon {self.carbon_fraction:g} + binder "
                f"{self.binder_fraction:g} = {1 - self.ise_fraction:.6g}, which leaves {self.ise_fraction:g} for the "
                "solid electrolyte",
                expected="a sum below 1",
                remedy="lower cam_fraction, porosity, carbon_fraction or binder_fraction",
            )
        if (shares := self.interface_pores + self.crack_pores) > 1 + 1e-9:
            raise SettingsError(
                f"interface_pores {self.interface_pores:g} + crack_pores {self.crack_pores:g} = {shares:g}",
                expected="at most 1: both are shares of the pore volume",
                remedy="lower one of them",
            )

    @property
    def ise_fraction(self) -> float:
        """Volume fraction of the solid electrolyte: what the others leave."""
        others = self.cam_fraction + self.porosity + self.carbon_fraction + self.binder_fraction
        return round(1 - others, 12)  # 0.7 + 0.2 + 0.1 leaves 0, not 1e-16

    @property
    def fractions(self) -> dict[str, float]:
        """Wanted volume fraction of each phase, in the order of the labels."""
        return {
            "ISE": self.ise_fraction,
            "CAM": self.cam_fraction,
            "pore": self.porosity,
            "carbon": self.carbon_fraction,
            "binder": self.binder_fraction,
        }
