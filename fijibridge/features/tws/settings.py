"""What a user chooses for TWS's features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param, check
from fijibridge.features.source import SourceSettings

DEFAULT_FILTERS = ("Gaussian_blur", "Sobel_filter", "Hessian", "Difference_of_gaussians", "Membrane_projections")

MinSigma = Annotated[
    float, Param("smallest sigma of TWS's features; they double up to the largest", unit="px", low=0.01, high=256)
]
MaxSigma = Annotated[float, Param("largest sigma of TWS's features", unit="px", low=0.01, high=256)]
MembranePatch = Annotated[int, Param("side of the patch of membrane projections, Kuwahara", unit="px", low=3, high=255)]
MembraneThickness = Annotated[int, Param("expected thickness of membranes", unit="px", low=1, high=64)]


@dataclass(frozen=True)
class TwsSettings(SourceSettings):
    """Which of TWS 4.0's filters, at which sigmas; the defaults are TWS's own, which make 76 features.

    Parameters
    ----------
    filters : tuple of str
        Names of :data:`fijibridge.features.tws.bank.FILTERS`, in any order; features always come in TWS's.
    min_sigma, max_sigma : float
        Pixels; sigmas double from the one to the other.
    membrane_patch, membrane_thickness : int
        Pixels.
    colour : bool
        Whether features are made of red, green and blue, as TWS makes them of an RGB image.
    old_hessian : bool
        Whether the eigenvalues of the Hessian are those of TWS before 3.2.25.

    Raises
    ------
    SettingsError
        An unknown filter, or a value outside its range.
    """

    kind: ClassVar[str] = "tws"

    filters: tuple[str, ...] = DEFAULT_FILTERS
    min_sigma: MinSigma = 1.0
    max_sigma: MaxSigma = 16.0
    membrane_patch: MembranePatch = 19
    membrane_thickness: MembraneThickness = 1
    colour: bool = False
    old_hessian: bool = False

    def __post_init__(self) -> None:
        from fijibridge.features.tws.bank import FILTERS

        check(type(self), vars(self))
        for name in self.filters:
            FILTERS[name]  # which refuses what it does not know
        if not self.sigmas:
            raise SettingsError(
                f"sigmas from {self.min_sigma} to {self.max_sigma}",
                expected="a smallest one that is not above the largest",
                remedy="such as 1:16",
            )
        object.__setattr__(self, "filters", tuple(name for name in FILTERS if name in self.filters))

    @property
    def sigmas(self) -> tuple[float, ...]:
        """TWS's sigmas, from the smallest to the largest."""
        found, sigma = [], self.min_sigma
        while sigma <= self.max_sigma:
            found.append(sigma)
            sigma *= 2
        return tuple(found)
