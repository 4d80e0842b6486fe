"""What a user chooses for TWS's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param, check
from fijibridge.core.registry import Registry
from fijibridge.features.source import SourceSettings
from fijibridge.features.tws.filter_registry import FILTERS

_Number = TypeVar("_Number", int, float)
DEFAULT_FILTERS = ("Gaussian_blur", "Sobel_filter", "Hessian", "Difference_of_gaussians", "Membrane_projections")

# declared once, for the settings here and for the operations' options
SIGMAS = Param(
    "smallest and largest sigma of TWS's filters; they double between these; default: 1:16, of volumes 1:8",
    unit="px",
    group="Features",
)
MEMBRANE = Param(
    "side of the patch of TWS's membrane projections and Kuwahara filter, and thickness of membranes; default: 19:1",
    unit="px",
    group="Features",
)
Sigma = Annotated[float, Param("sigma of a filter of TWS's", low=0.01, high=256, unit="px")]


@dataclass(frozen=True)
class TwsSettings(SourceSettings):
    """Which of TWS 4.0's filters, at which sigmas; the defaults are TWS's own, which make 76 features.

    Parameters
    ----------
    filters : tuple of str
        Names of :data:`fijibridge.features.tws.filter_registry.FILTERS`, in any order; features always come in TWS's.
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
    min_sigma: Sigma = 1.0
    max_sigma: Sigma = 16.0
    membrane_patch: Annotated[int, Param("side of TWS's patch", unit="px", low=3, high=255)] = 19
    membrane_thickness: Annotated[int, Param("thickness of membranes", unit="px", low=1, high=64)] = 1
    colour: bool = False
    old_hessian: bool = False

    def __post_init__(self) -> None:
        check_filters(self, FILTERS)

    def __str__(self) -> str:
        kind = "an RGB image" if self.colour else "a grey image"
        return f"TWS's {', '.join(self.filters)} of {kind}, sigmas {self.min_sigma:g} to {self.max_sigma:g}"

    @classmethod
    def parts(cls) -> Mapping[str, str]:
        """See :meth:`fijibridge.features.source.SourceSettings.parts`: TWS's filters, and sets of them."""
        sets = {
            "all": "all of TWS's filters",
            "colour": "those of TWS for an RGB image: of red, green and blue, and hue, saturation, brightness",
        }
        return sets | FILTERS.descriptions()

    @classmethod
    def of_parts(cls, parts: Sequence[str]) -> TwsSettings:
        """See :meth:`fijibridge.features.source.SourceSettings.of_parts`."""
        named = FILTERS.names if "all" in parts else tuple(one for one in parts if one != "colour")
        return cls(filters=named or DEFAULT_FILTERS, colour="colour" in parts)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """TWS's sigmas, from the smallest to the largest."""
        return doubled(self.min_sigma, self.max_sigma)


def check_filters(settings: Any, filters: Registry[Any]) -> None:
    """Check the filters and sigmas of settings, of slices or of volumes, and bring the filters into TWS's order.

    Parameters
    ----------
    settings : TwsSettings or Tws3dSettings
        Being made.
    filters : Registry
        The filters that there are.

    Raises
    ------
    SettingsError
        A filter that there is not, or sigmas that cannot be.
    """
    check(type(settings), vars(settings))
    for name in ("min_sigma", "max_sigma"):  # whole numbers too: names say 1.0
        object.__setattr__(settings, name, float(getattr(settings, name)))
    if unknown := [name for name in settings.filters if name not in filters]:
        filters[unknown[0]]  # says what there is; the others are not loaded, since a help text makes settings, too
    if not settings.sigmas:
        raise SettingsError(
            f"sigmas from {settings.min_sigma} to {settings.max_sigma}",
            expected="a smallest one that is not above the largest",
            remedy="such as 1:8",
        )
    object.__setattr__(settings, "filters", tuple(name for name in filters if name in settings.filters))


def doubled(low: float, high: float) -> tuple[float, ...]:
    """TWS's sigmas: the smallest, and its doubles up to the largest.

    Parameters
    ----------
    low, high : float
        The smallest and the largest.
    """
    found, sigma = [], float(low)
    while sigma <= high:
        found.append(sigma)
        sigma *= 2
    return tuple(found)


def sigmas_in(text: str) -> dict[str, float]:
    """Fields of the settings from an option such as ``1:16``; none from an empty one.

    Parameters
    ----------
    text : str

    Raises
    ------
    SettingsError
        Other text.
    """
    return _pair("sigma", text, ("min_sigma", "max_sigma"), float, "smallest:largest in pixels, such as 1:16")


def membrane_in(text: str) -> dict[str, int]:
    """Fields of the settings from an option such as ``19:1``; none from an empty one.

    Parameters
    ----------
    text : str

    Raises
    ------
    SettingsError
        Other text.
    """
    return _pair("membrane", text, ("membrane_patch", "membrane_thickness"), int, "patch:thickness, such as 19:1")


def _pair(option: str, text: str, names: tuple[str, str], kind: type[_Number], expected: str) -> dict[str, _Number]:
    if not text.strip():
        return {}
    try:
        first, second = (kind(part) for part in text.split(":"))
    except ValueError as error:
        raise SettingsError(f"{option} = {text!r}", expected=expected, remedy="check the two numbers") from error
    return {names[0]: first, names[1]: second}
