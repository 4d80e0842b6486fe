"""ImageJ and Fiji: the units in the description, the size in the resolution tags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.images.pixel_size import METRES, PixelSize, believed, normalise_unit
from fijibridge.images.vendors.base import Vendor, as_number, resolution_of

if TYPE_CHECKING:
    import tifffile


class ImageJ(Vendor):
    """See :class:`Vendor`."""

    name = "ImageJ"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`."""
        meta = tif.imagej_metadata if tif is not None and tif.is_imagej else None
        if tif is None or not meta:
            return None
        resolution = resolution_of(tif)
        if resolution is None:
            return None
        unit = normalise_unit(str(meta.get("unit", "")))
        if unit.lower() in ("", "pixel", "pixels") or len(unit) > 32 or not unit.isprintable():
            return None
        spacing = as_number(meta.get("spacing"))
        # ImageJ writes a negative spacing for some hyperstacks of old versions, and none at all where it is 1;
        # tifffile, which calls itself version 1.11a, writes none where it was given none.
        is_default = (as_number(meta.get("slices")) or 1) > 1 and str(meta.get("ImageJ", "")) != "1.11a"
        z = abs(spacing) if spacing else 1.0 if is_default else None
        # The tags are fractions of 32-bit numbers: what lies beyond nine digits is rounding.
        y, x = (float(f"{1 / pixels:.9g}") for pixels in resolution)
        # Each axis may have a unit of its own; those without one have that of x.
        factors = [_factor(str(meta.get(key, "")), unit) for key in ("yunit", "zunit")]
        if factors[0] is None:
            return None
        z = None if z is None or factors[1] is None else float(f"{z * factors[1]:.9g}")
        return believed(PixelSize(float(f"{y * factors[0]:.9g}"), x, unit, z))

    def channel_names(self, path: Path, tif: tifffile.TiffFile, count: int) -> tuple[str, ...]:
        """See :meth:`Vendor.channel_names`: the labels of the first slices, one a channel."""
        labels = (tif.imagej_metadata or {}).get("Labels", []) if tif.is_imagej else []
        names = tuple(str(label) for label in labels[:count]) if isinstance(labels, list) else ()
        return names if len(set(names)) == count else ()


def _factor(unit: str, of: str) -> float | None:
    """How many of one unit another is; None where that is not known."""
    unit = normalise_unit(unit)
    if unit in ("", of):
        return 1.0
    return METRES[unit] / METRES[of] if unit in METRES and of in METRES else None
