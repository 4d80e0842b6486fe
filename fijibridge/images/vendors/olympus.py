"""Olympus SIS: tag 33560 of the TIFFs of its cameras for electron microscopes, on the raw page."""

from __future__ import annotations

from pathlib import Path

import tifffile

from fijibridge.images.pixel_size import PixelSize, pixel_size_from_metres
from fijibridge.images.vendors.base import Vendor, as_number

_TAG = 33560
_PAGES = 4  # in which it is looked for


class OlympusSIS(Vendor):
    """See :class:`Vendor`."""

    name = "Olympus SIS"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`."""
        pages = tif.pages[:_PAGES] if tif is not None else []
        tags = [page.tags.get(_TAG) for page in pages if isinstance(page, tifffile.TiffPage)]
        meta = next((tag.value for tag in tags if tag is not None and isinstance(tag.value, dict)), {})
        x, y = as_number(meta.get("pixelsizex")), as_number(meta.get("pixelsizey"))
        return None if x is None else pixel_size_from_metres(y or x, x)
