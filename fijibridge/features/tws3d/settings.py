"""What a user chooses for TWS's features of volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param, check
from fijibridge.features.source import SourceSettings
from fijibridge.features.tws.settings import Sigma, doubled
from fijibridge.features.tws3d.filter_registry import FILTERS_3D

Scaling = Literal["tws", "isotropic", "none"]
Factors = tuple[float, float, float]  # of sigma, along z, y and x


@dataclass(frozen=True)
class Tws3dSettings(SourceSettings):
    """Which of TWS 4.0's 3D filters, at which sigmas; the defaults are TWS's own.

    Parameters
    ----------
    filters : tuple of str
        Names of :data:`fijibridge.features.tws3d.filter_registry.FILTERS_3D`, in any order; features come in TWS's.
    min_sigma, max_sigma : float
        In pixels along x; sigmas double from the one to the other.
    scaling : {"tws", "isotropic", "none"}
        What the voxel size changes. ``"tws"``: sigmas and radii are the same length along all axes, as TWS has them,
        but a derivative along z is per slice, whatever their distance, and fades where sigma is below half a slice: a
        slope of a given steepness weighs more along z than along x, or less. ``"isotropic"``: derivatives too are per
        pixel along x, and exact on ramps and parabolas at any sigma, so that a rotated object has the same features;
        nor are the eigenvalues in the middle of a perfect ball 0, as TWS's are. Forests of TWS itself expect other
        numbers then. ``"none"``: voxels are taken as cubes.

    Raises
    ------
    SettingsError
        An unknown filter, or a value outside its range.
    """

    kind: ClassVar[str] = "tws3d"

    filters: tuple[str, ...] = ("Mean", "Variance")
    min_sigma: Sigma = 1.0
    max_sigma: Sigma = 8.0
    scaling: Annotated[Scaling, Param("what the voxel size changes: sigmas as in TWS, derivatives too, or nothing")] = (
        "tws"
    )

    def __post_init__(self) -> None:
        check(type(self), vars(self))
        if unknown := [name for name in self.filters if name not in FILTERS_3D]:
            FILTERS_3D[unknown[0]]  # says what there is; the others are not loaded
        if not self.sigmas:
            raise SettingsError(
                f"sigmas from {self.min_sigma} to {self.max_sigma}",
                expected="a smallest one that is not above the largest",
                remedy="such as 1:8",
            )
        object.__setattr__(self, "filters", tuple(name for name in FILTERS_3D if name in self.filters))

    @property
    def sigmas(self) -> tuple[float, ...]:
        """TWS's sigmas, from the smallest to the largest."""
        return doubled(self.min_sigma, self.max_sigma)
