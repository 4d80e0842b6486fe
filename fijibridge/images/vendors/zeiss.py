"""Zeiss SmartSEM: the text of tag 34118."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.images.pixel_size import PixelSize, pixel_size_from_metres
from fijibridge.images.vendors.base import Vendor, in_metres, of_this_size, shape_of

if TYPE_CHECKING:
    import tifffile

_LENGTH = re.compile(r"\s*([-+.,\deE]+)\s*(\S+)")
_STORED = re.compile(r"(\d+)\s*[*x]\s*(\d+)")
_SCREEN = 1024  # columns of the scan on the screen, which "Pixel Size" belongs to


class Zeiss(Vendor):
    """See :class:`Vendor`."""

    name = "Zeiss"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`.

        "Image Pixel Size" is that of the image as it was stored. Older files have "Pixel Size" alone, which is that of
        the screen; the width of the field divided by the columns is right for both.
        """
        meta = (tif.sem_metadata if tif is not None and tif.is_sem else None) or {}
        shape = shape_of(path, tif) if meta else None
        if shape is None:
            return None
        stored = _STORED.search(_text(meta, "dp_image_store"))
        written_for = (float(stored.group(2)), float(stored.group(1))) if stored else (None, None)
        image, width, screen = (_metres(meta, key) for key in ("ap_image_pixel_size", "ap_width", "ap_pixel_size"))
        if image is not None:
            return of_this_size(pixel_size_from_metres(image, image), written_for, shape)
        columns = written_for[1] or shape[1]
        if width is not None:
            size = float(f"{width / columns:.4g}")
        elif screen is not None:
            size = screen * (_SCREEN / columns if columns % 256 == 0 else 1)
        else:
            return None
        return of_this_size(pixel_size_from_metres(size, size), written_for, shape)


def _text(meta: dict[str, Any], key: str) -> str:
    """An entry's value and unit as one text."""
    entry = meta.get(key)
    return " ".join(map(str, entry[1:])) if isinstance(entry, tuple) else ""


def _metres(meta: dict[str, Any], key: str) -> float | None:
    found = _LENGTH.match(_text(meta, key))
    metres = in_metres(*found.groups()) if found else None
    return metres if metres else None
