"""OME-TIFF: PhysicalSizeX, Y and Z of the XML in the description."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.images.pixel_size import METRES, PixelSize, pixel_size_from_metres
from fijibridge.images.vendors.base import Vendor, as_number, in_metres, local_name, of_this_size, shape_of, xml_root

if TYPE_CHECKING:
    import tifffile


class Ome(Vendor):
    """See :class:`Vendor`."""

    name = "OME"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`."""
        text = tif.pages.first.description if tif is not None else ""
        root = xml_root(text, word="PhysicalSizeX") if tif is not None else None
        if root is None or (shape := shape_of(path, tif)) is None:
            return None
        pixels = next((each for each in root.iter() if local_name(each) == "Pixels"), None)
        if pixels is None:
            return None

        def metres(axis: str) -> float | None:
            value = in_metres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "\u00b5m"))
            return value if value and value > 0 else None

        x, y, z = metres("X"), metres("Y"), metres("Z")
        size = None if x is None else pixel_size_from_metres(y or x, x)
        size = of_this_size(size, (as_number(pixels.get("SizeY")), as_number(pixels.get("SizeX"))), shape)
        if size is not None and z is not None and (as_number(pixels.get("SizeZ")) or 1) > 1:
            return PixelSize(size.y, size.x, size.unit, float(f"{z / METRES[size.unit]:.9g}"))
        return size

    def channel_names(self, path: Path, tif: tifffile.TiffFile, count: int) -> tuple[str, ...]:
        """See :meth:`Vendor.channel_names`."""
        root = xml_root(tif.pages.first.description, word="Channel")
        if root is None:
            return ()
        pixels = next((each for each in root.iter() if local_name(each) == "Pixels"), None)
        found = [] if pixels is None else [each for each in pixels if local_name(each) == "Channel"]
        return tuple(each.get("Name", "") for each in found[:count])
