"""Any program: the TIFF resolution tags, where they are no screen's or scanner's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.images.pixel_size import PixelSize, believed
from fijibridge.images.vendors.base import Vendor, resolution_of

if TYPE_CHECKING:
    import tifffile

_UNITS = {2: "inch", 3: "cm"}


class ResolutionTags(Vendor):
    """See :class:`Vendor`."""

    name = "resolution tags"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`."""
        tag = tif.pages.first.tags.get("ResolutionUnit") if tif is not None else None
        unit = _UNITS.get(int(tag.value)) if tag is not None else None
        resolution = resolution_of(tif) if tif is not None else None
        if unit is None or resolution is None:
            return None
        return believed(PixelSize(1 / resolution[0], 1 / resolution[1], unit))
