"""Options of generated volumes: apart from what computes, so that a help text loads nothing heavy."""

from __future__ import annotations

from typing import Annotated

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param

SetFractions = Annotated[
    str,
    Param(
        "fractions other than the slice's, such as pore=0.3,binder=0.05; phases not named share the rest as before",
        group="3D volume",
    ),
]
ScaleLengths = Annotated[
    float, Param("factor of all lengths: 1.5 makes particles half as large again", low=0.1, high=10, group="3D volume")
]
Stretch = Annotated[
    str,
    Param("factors of the lengths along z, y and x, such as 0.7,1,1: flatter along z", group="3D volume"),
]


def fractions_of(text: str) -> dict[str, float]:
    """``pore=0.3,binder=0.05`` as a dictionary.

    Raises
    ------
    SettingsError
        Anything else.
    """
    found: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = part.rpartition("=")
        try:
            share = float(value)
        except ValueError:
            share = float("nan")
        if not name.strip() or not 0 < share < 1 or name.strip() in found:
            raise SettingsError(
                f"set_fractions = {text!r}",
                expected="each phase once, with a share of the volume between 0 and 1",
                remedy="such as pore=0.3,binder=0.05",
            )
        found[name.strip()] = share
    return found


def stretch_of(text: str) -> tuple[float, float, float]:
    """``0.7,1,1`` as factors along z, y and x.

    Raises
    ------
    SettingsError
        Anything else.
    """
    try:
        z, y, x = (float(part) for part in text.split(","))
    except ValueError:
        z = y = x = 0.0
    if not all(0.1 <= factor <= 10 for factor in (z, y, x)):
        raise SettingsError(
            f"stretch = {text!r}", expected="three factors from 0.1 to 10: along z, y and x", remedy="such as 0.7,1,1"
        )
    return z, y, x
