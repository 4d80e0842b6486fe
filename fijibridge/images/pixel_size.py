"""Size of a pixel, in the units that ImageJ shows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from fijibridge.core.errors import ImageError

MICRON = "\u00b5m"  # the micro sign, as ImageJ writes it; the Greek mu (U+03BC) is normalised to it
_UNIT_NAMES = {
    "um": MICRON, "\u03bcm": MICRON, "micron": MICRON, "microns": MICRON,
    "micrometer": MICRON, "micrometre": MICRON, "nanometer": "nm", "nanometre": "nm", "meter": "m", "metre": "m",
}  # fmt: skip
METRES = {"fm": 1e-15, "pm": 1e-12, "nm": 1e-9, MICRON: 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
_DPI_UNITS = {"inch": 0.0254, "inches": 0.0254, "in": 0.0254, "cm": 0.01, "centimeter": 0.01}  # what dpi turn into
# Screens, printers and scanners have 72 to 12,800 dots an inch: no finer a pixel in inch or cm is one of theirs.
_LARGEST_PIXEL = 1e-6  # m


def normalise_unit(unit: str) -> str:
    """Give a unit of length one spelling: ``um``, ``micron`` and both mu characters become the micro sign + m.

    Parameters
    ----------
    unit : str
        As found in a file or typed by a person.

    Returns
    -------
    str
        The unit as ImageJ shows it; an unknown unit is returned unchanged.
    """
    unit = unit.strip().rstrip("\x00")
    # ImageJ writes other characters than ASCII as Java escapes.
    unit = re.sub(r"\\u([\da-fA-F]{4})", lambda match: chr(int(match.group(1), 16)), unit)
    return _UNIT_NAMES.get(unit.lower(), unit)


@dataclass(frozen=True)
class PixelSize:
    """Size of a pixel.

    Parameters
    ----------
    y, x : float
        Height and width of a pixel, in `unit`.
    unit : str
        ImageJ's unit string; normalised (see `normalise_unit`).
    z : float, optional
        Distance of two slices, in `unit`; None if not known or a single image.

    Raises
    ------
    ImageError
        A size that is not a positive finite number, or an empty unit.
    """

    y: float
    x: float
    unit: str
    z: float | None = None

    def __post_init__(self) -> None:
        for axis in ("y", "x", "z"):
            value = getattr(self, axis)
            if axis == "z" and value is None:
                continue
            if not (math.isfinite(value) and value > 0):
                raise ImageError(
                    f"pixel size {axis} = {value!r} {self.unit}",
                    expected="a positive finite number",
                    remedy="give the size of a pixel, or none at all when it is not known",
                )
            object.__setattr__(self, axis, float(value))
        object.__setattr__(self, "unit", normalise_unit(self.unit))
        if not self.unit:
            raise ImageError("pixel size without a unit", expected="a unit such as nm", remedy="name the unit")

    @property
    def micrometres(self) -> float | None:
        """Mean of width and height in micrometres; None where the unit is no length that is known."""
        metres = METRES.get(self.unit)
        return None if metres is None else (self.y + self.x) / 2 * metres * 1e6

    @property
    def spacing_micrometres(self) -> float | None:
        """Distance of two slices in micrometres; None where it, or the unit, is not known."""
        metres = METRES.get(self.unit)
        return None if metres is None or self.z is None else self.z * metres * 1e6


def pixel_size_from_metres(y: float, x: float) -> PixelSize | None:
    """Express a pixel size in the unit a microscopist would use.

    Parameters
    ----------
    y, x : float
        Height and width of a pixel in metres.

    Returns
    -------
    PixelSize or None
        In nm, micrometres or mm; None where a number is not positive and finite.
    """
    if not (math.isfinite(y) and math.isfinite(x) and y > 0 and x > 0):
        return None
    # Below 100 nm in nm, so that a FIB-SEM's 20 nm does not turn into 0.02.
    unit = "nm" if x < 1e-7 else MICRON if x < 1e-3 else "mm"
    # Fifteen digits: else 5e-9 m would be shown as 5.000000000000001 nm.
    return PixelSize(float(f"{y / METRES[unit]:.12g}"), float(f"{x / METRES[unit]:.12g}"), unit)


def believed(size: PixelSize) -> PixelSize | None:
    """A pixel size that is no screen's or scanner's dots per inch: no microscope writes inch or cm.

    Parameters
    ----------
    size : PixelSize
        As a file or ImageJ gives it.

    Returns
    -------
    PixelSize or None
        As it is in other units; in those of a microscope where it is finer than any dpi; else None.
    """
    metres = _DPI_UNITS.get(size.unit.lower())
    if metres is None:
        return size
    if max(size.y, size.x) * metres >= _LARGEST_PIXEL:
        return None
    fine = pixel_size_from_metres(size.y * metres, size.x * metres)
    if fine is None or size.z is None:
        return fine
    return PixelSize(fine.y, fine.x, fine.unit, float(f"{size.z * metres / METRES[fine.unit]:.9g}"))
