"""Properties of materials for the imaging model: composition, density, SE yield, charging, milling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param

# atomic number and standard atomic weight of the elements that the table and near relatives of it need
_ELEMENTS = {
    "H": (1, 1.008), "Li": (3, 6.94), "B": (5, 10.81), "C": (6, 12.011), "N": (7, 14.007), "O": (8, 15.999),
    "F": (9, 18.998), "Na": (11, 22.990), "Mg": (12, 24.305), "Al": (13, 26.982), "Si": (14, 28.085),
    "P": (15, 30.974), "S": (16, 32.06), "Cl": (17, 35.45), "K": (19, 39.098), "Ca": (20, 40.078),
    "Ti": (22, 47.867), "V": (23, 50.942), "Cr": (24, 51.996), "Mn": (25, 54.938), "Fe": (26, 55.845),
    "Co": (27, 58.933), "Ni": (28, 58.693), "Cu": (29, 63.546), "Zn": (30, 65.38), "Ga": (31, 69.723),
    "Ge": (32, 72.630), "As": (33, 74.922), "Se": (34, 78.971), "Br": (35, 79.904), "Sr": (38, 87.62),
    "Y": (39, 88.906), "Zr": (40, 91.224), "Nb": (41, 92.906), "Mo": (42, 95.95), "Ag": (47, 107.868),
    "In": (49, 114.818), "Sn": (50, 118.710), "Sb": (51, 121.760), "I": (53, 126.904), "Ba": (56, 137.327),
    "La": (57, 138.905), "Ta": (73, 180.948), "W": (74, 183.84), "Pt": (78, 195.084), "Au": (79, 196.967),
    "Pb": (82, 207.2), "Bi": (83, 208.980),
}  # fmt: skip


_LONGEST = 200  # signs of a formula


@dataclass(frozen=True)
class Material:
    """A material of the electrode, with the properties on which its image depends.

    Parameters
    ----------
    name : str
        Its name.
    formula : str
        Chemical formula such as ``"LiNi0.6Co0.2Mn0.2O2"``: element symbols, each with an optional number.
    density : float
        g/cm³.
    se_yield : float
        Secondary electrons of a flat surface, relative to the other materials of the table (silicon 1). Yields depend
        on surface state and detector, so only the order counts.
    conducting : bool
        Whether charge flows off; an insulator charges up under the beam.
    milling_rate : float
        How fast an ion beam removes it, relative to silicon 1: a slowly milled material stands proud of the section and
        throws shadows (curtains) behind it.
    roughness : float
        Texture of the milled surface, relative: 0 glassy, 1 grainy like a pressed sulfide.
    channelling : float
        How much the brightness of its crystals depends on their orientation, relative; 0 for a glass or polymer.

    Raises
    ------
    SettingsError
        An invalid formula, an unknown element, or a number that is not positive.
    """

    name: str
    formula: str
    density: Annotated[float, Param("", low=1e-3, high=100)]
    se_yield: Annotated[float, Param("", low=1e-3, high=1000)] = 1.0
    conducting: bool = True
    milling_rate: Annotated[float, Param("", low=1e-3, high=1000)] = 1.0
    roughness: Annotated[float, Param("", low=0, high=100)] = 0.3
    channelling: Annotated[float, Param("", low=0, high=100)] = 1.0

    def __post_init__(self) -> None:
        for name, lowest in (("density", 1e-3), ("se_yield", 1e-3), ("milling_rate", 1e-3)):
            if not getattr(self, name) >= lowest:
                raise SettingsError(
                    f"{name} = {getattr(self, name)} of {self.name}",
                    expected=f"a number above {lowest}",
                    remedy=f"give {name} as in the table `MATERIALS`",
                )
        for name in ("roughness", "channelling"):
            if not getattr(self, name) >= 0:
                raise SettingsError(
                    f"{name} = {getattr(self, name)} of {self.name}",
                    expected="at least 0",
                    remedy=f"give {name} as in the table `MATERIALS`",
                )
        _ = self.mass_fractions

    @cached_property
    def mass_fractions(self) -> dict[str, float]:
        """Mass fraction of each element."""
        pieces = re.findall(r"([A-Z][a-z]?)(\d{1,6}(?:\.\d{1,12})?|\.\d{1,12})?", self.formula[:_LONGEST])
        if not pieces or "".join(symbol + number for symbol, number in pieces) != self.formula:
            raise SettingsError(
                f"the formula {self.formula!r} of {self.name}",
                expected="element symbols, each with an optional number, such as Li6PS5Cl",
                remedy="write brackets out: Li3PS4, not Li3(PS4)",
            )
        mass: dict[str, float] = {}
        for symbol, number in pieces:
            if symbol not in _ELEMENTS:
                raise SettingsError(
                    f"the element {symbol} in {self.formula!r} of {self.name}",
                    expected=f"one of {', '.join(_ELEMENTS)}",
                    remedy="check the formula's capitals",
                )
            mass[symbol] = mass.get(symbol, 0.0) + float(number or 1) * _ELEMENTS[symbol][1]
        total = sum(mass.values())
        if not total > 0:
            raise SettingsError(
                f"the formula {self.formula!r} of {self.name}",
                expected="at least one atom",
                remedy="leave out the elements whose number is 0",
            )
        return {symbol: part / total for symbol, part in mass.items()}

    @property
    def mean_atomic_number(self) -> float:
        """Atomic number averaged by mass fraction, as backscattering of a compound goes (Castaing)."""
        return sum(part * _ELEMENTS[symbol][0] for symbol, part in self.mass_fractions.items())

    @property
    def mean_atomic_weight(self) -> float:
        """Atomic weight averaged by mass fraction, g/mol."""
        return sum(part * _ELEMENTS[symbol][1] for symbol, part in self.mass_fractions.items())

    @property
    def backscatter_coefficient(self) -> float:
        """Share of beam electrons that come back: a cubic in the mean atomic number.

        ``eta(Z) = -0.0254 + 0.016 Z - 1.86e-4 Z^2 + 8.3e-7 Z^3``, the fit to measurements at normal incidence that
        textbooks of scanning electron microscopy give (Goldstein et al., Scanning Electron Microscopy and X-Ray
        Microanalysis); below Z = 3 that of lithium is used.
        """
        z = max(self.mean_atomic_number, 3.0)
        return -0.0254 + 0.016 * z - 1.86e-4 * z**2 + 8.3e-7 * z**3

    def electron_range(self, beam_energy: float) -> float:
        """Range of beam electrons (energy in keV) in the material, in micrometres.

        ``R = 0.0276 A E^1.67 / (Z^0.889 rho)`` with E in keV, rho in g/cm³ and A in g/mol (Kanaya and Okayama 1972).
        """
        return (
            0.0276
            * self.mean_atomic_weight
            * beam_energy**1.67
            / (max(self.mean_atomic_number, 1.0) ** 0.889 * self.density)
        )


# SE yields, milling rates, roughness and channelling are relative and typical: no two microscopes agree on them.
MATERIALS: dict[str, Material] = {
    material.name: material
    for material in (
        Material("Si", "Si", 2.33, 0.85, True, 1.0, 0.12, 0.5),
        Material("Li6PS5Cl", "Li6PS5Cl", 1.86, 1.15, False, 1.9, 0.9, 0.35),
        Material("Li3PS4", "Li3PS4", 1.87, 1.05, False, 1.9, 0.75, 0.15),
        Material("NCM", "LiNi0.6Co0.2Mn0.2O2", 4.77, 1.35, True, 0.55, 0.2, 1.0),
        Material("LiCoO2", "LiCoO2", 5.05, 1.35, True, 0.5, 0.15, 1.0),
        Material("graphite", "C", 2.26, 0.6, True, 0.7, 0.5, 0.3),
        Material("VGCF", "C", 2.0, 0.6, True, 0.7, 0.3, 0.2),
        Material("PTFE", "C2F4", 2.2, 0.8, False, 2.5, 0.4, 0.0),
        Material("PVDF", "C2H2F2", 1.78, 0.75, False, 2.5, 0.4, 0.0),
    )
}


def material_named(name: str) -> Material:
    """The material of the table with a name.

    Raises
    ------
    SettingsError
        No such material; the nearest names are given.
    """
    if name in MATERIALS:
        return MATERIALS[name]
    folded = {known.casefold(): known for known in MATERIALS}
    near = [folded[key] for key in difflib.get_close_matches(name.casefold(), list(folded), n=2, cutoff=0.5)]
    raise SettingsError(
        f"no material {name!r}" + (f"; near: {', '.join(near)}" if near else ""),
        expected=f"one of {', '.join(MATERIALS)}",
        remedy="take one of these, or describe your own with Material(name, formula, density, ...)",
    )


def phase_materials(
    phases: tuple[str, ...], materials: Mapping[str, Material], present: tuple[str, ...]
) -> list[Material | None]:
    """Check and sort the materials of a structure.

    Parameters
    ----------
    phases : tuple of str
        Names of all phases, in the order of the label values from 1.
    materials : mapping of str to Material
        By phase.
    present : tuple of str
        Phases that the structure contains, all of which but pores need a material.

    Returns
    -------
    list of Material or None
        By phase; None for pores and for phases that are neither given nor present.

    Raises
    ------
    SettingsError
        A phase of the structure that has no material, a name that is no phase, or a value that is no material.
    """
    for phase, material in materials.items():
        if phase not in phases or phase == "pore":
            folded = {name.casefold(): name for name in phases if name != "pore"}
            near = difflib.get_close_matches(str(phase).casefold(), list(folded), n=1, cutoff=0.5)
            raise SettingsError(
                f"a material for {phase!r}" + (f"; near: {folded[near[0]]}" if near else ""),
                expected=f"phases {', '.join(name for name in phases if name != 'pore')} (pores have none)",
                remedy="name the phase as the structure does",
            )
        if not isinstance(material, Material):
            raise SettingsError(
                f"{material!r} as the material of {phase}",
                expected="a Material",
                remedy=f"take it from the table: material_named({material!r})",
            )
    missing = [phase for phase in present if phase != "pore" and phase not in materials]
    if missing:
        raise SettingsError(
            f"no material for {', '.join(missing)}, which the structure contains",
            expected="a material for each phase but pores",
            remedy=f"add {missing[0]!r} to the materials, one of {', '.join(MATERIALS)} or your own",
        )
    return [materials.get(phase) for phase in phases]
