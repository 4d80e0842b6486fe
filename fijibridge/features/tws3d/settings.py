"""What a user chooses for TWS's features of volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from fijibridge.core.params import Param
from fijibridge.features.source import SourceSettings
from fijibridge.features.tws.settings import Sigma, check_filters, doubled
from fijibridge.features.tws3d.filter_registry import FILTERS_3D

DEFAULT_FILTERS = ("Mean", "Variance")

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
    colour : bool
        Whether features are made of red, green and blue, as TWS makes them of an RGB volume.
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

    filters: tuple[str, ...] = DEFAULT_FILTERS
    min_sigma: Sigma = 1.0
    max_sigma: Sigma = 8.0
    colour: bool = False
    scaling: Annotated[Scaling, Param("what the voxel size changes: sigmas as in TWS, derivatives too, or nothing")] = (
        "tws"
    )

    def __post_init__(self) -> None:
        check_filters(self, FILTERS_3D)

    def __str__(self) -> str:
        kind = "an RGB volume" if self.colour else "a grey volume"
        return f"TWS's {', '.join(self.filters)} of {kind}, sigmas {self.min_sigma:g} to {self.max_sigma:g}"

    @classmethod
    def parts(cls) -> Mapping[str, str]:
        """See :meth:`fijibridge.features.source.SourceSettings.parts`: TWS's filters, and sets of them."""
        sets = {
            "all": "all of TWS's filters of volumes, or some by name, such as tws3d:Hessian",
            "isotropic": "derivatives along z by the voxel's depth, too, which TWS takes by the slice",
            "colour": "those of TWS for an RGB volume",
        }
        return sets | FILTERS_3D.descriptions()

    @classmethod
    def of_parts(cls, parts: Sequence[str]) -> Tws3dSettings:
        """See :meth:`fijibridge.features.source.SourceSettings.of_parts`."""
        named = FILTERS_3D.names if "all" in parts else tuple(one for one in parts if one in FILTERS_3D)
        return cls(
            filters=named or DEFAULT_FILTERS,
            colour="colour" in parts,
            scaling="isotropic" if "isotropic" in parts else "tws",
        )

    @property
    def sigmas(self) -> tuple[float, ...]:
        """TWS's sigmas, from the smallest to the largest."""
        return doubled(self.min_sigma, self.max_sigma)
