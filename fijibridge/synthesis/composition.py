"""From the composition of a composite by weight to the volume fractions of its structure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fijibridge.core.errors import SettingsError


def volume_fractions(
    weights: Mapping[str, float], densities: Mapping[str, float], porosity: float = 0.0
) -> dict[str, float]:
    """Volume fractions of a composite of known weights, densities and residual porosity.

    Component i, of weight w_i and density rho_i, takes the volume w_i / rho_i; the solids together fill 1 - p::

        v_i = (1 - p) (w_i / rho_i) / sum_j (w_j / rho_j)

    Parameters
    ----------
    weights : mapping of str to float
        Parts by weight, in any unit: 50, 47 and 3, or 0.5, 0.47 and 0.03.
    densities : mapping of str to float
        Density of each component, g/cm3; it may have more components than ``weights``.
    porosity : float
        Volume fraction of pores in the pressed composite, 0 or more and below 1.

    Returns
    -------
    dict of str to float
        Volume fraction of each component, then of ``"pore"``; the sum is 1.

    Raises
    ------
    SettingsError
        No weights, a negative weight, a density that is missing or not positive, a porosity outside [0, 1).

    Examples
    --------
    >>> shares = volume_fractions(
    ...     {"Si": 50, "Li6PS5Cl": 47, "VGCF": 3}, {"Si": 2.33, "Li6PS5Cl": 1.86, "VGCF": 2.0}, porosity=0.1
    ... )
    >>> {name: round(share, 3) for name, share in shares.items()}
    {'Si': 0.4, 'Li6PS5Cl': 0.472, 'VGCF': 0.028, 'pore': 0.1}
    """
    if not 0 <= porosity < 1:
        raise SettingsError(
            f"porosity = {porosity}", expected="0 or more and below 1", remedy="give the volume fraction of pores"
        )
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise SettingsError(f"weight of {name} = {weight}", expected="0 or more", remedy="give parts by weight")
        if name == "pore":
            raise SettingsError(
                "a component named pore", expected="solids", remedy="give the pores as porosity, not by weight"
            )
        density = densities.get(name)
        if density is None or not (math.isfinite(density) and density > 0):
            known = ", ".join(densities) or "none"
            raise SettingsError(
                f"density of {name} = {density} (given: {known})",
                expected="a positive density in g/cm3",
                remedy=f"give the density of {name}",
            )
    volumes = {name: weight / densities[name] for name, weight in weights.items()}
    total = sum(volumes.values())
    if not total > 0:
        raise SettingsError("weights that sum to 0", expected="at least one component", remedy="give parts by weight")
    shares = {name: (1 - porosity) * volume / total for name, volume in volumes.items()}
    return shares | {"pore": porosity}
