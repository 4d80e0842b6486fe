"""Gatan DigitalMicrograph: tags 65003 to 65011 of the TIFFs that it exports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.images.pixel_size import METRES, PixelSize, pixel_size_from_metres
from fijibridge.images.vendors.base import Vendor, in_metres

if TYPE_CHECKING:
    import tifffile

_UNITS, _SCALES = (65003, 65004, 65005), (65009, 65010, 65011)  # x, y, z


class Gatan(Vendor):
    """See :class:`Vendor`."""

    name = "Gatan"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`."""
        if tif is None:
            return None
        x, y, z = (
            in_metres(_value(tif, scale), _value(tif, unit)) for scale, unit in zip(_SCALES, _UNITS, strict=True)
        )
        if x is None or not x > 0:
            return None
        size = pixel_size_from_metres(y if y and y > 0 else x, x)
        if size is not None and z is not None and z > 0 and len(tif.pages) > 1:
            return PixelSize(size.y, size.x, size.unit, float(f"{z / METRES[size.unit]:.9g}"))
        return size


def _value(tif: tifffile.TiffFile, code: int) -> Any:
    tag = tif.pages.first.tags.get(code)
    return None if tag is None else tag.value
