"""Hitachi: the text file beside the image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.images.pixel_size import PixelSize, pixel_size_from_metres
from fijibridge.images.vendors.base import LARGEST_BAR, Vendor, as_number, of_this_size, shape_of, text_beside

if TYPE_CHECKING:
    import tifffile


class Hitachi(Vendor):
    """See :class:`Vendor`."""

    name = "Hitachi"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`."""
        text = _text(path)
        shape = shape_of(path, tif) if text else None
        nm = as_number(_value(text, "PixelSize"))
        if shape is None or nm is None:
            return None
        return of_this_size(pixel_size_from_metres(nm * 1e-9, nm * 1e-9), _data_size(text), shape)

    def databar_rows(self, path: Path, tif: tifffile.TiffFile | None, shape: tuple[int, int]) -> int | None:
        """See :meth:`Vendor.databar_rows`."""
        rows, columns = _data_size(_text(path))
        if columns == shape[1] and rows is not None and 0 < shape[0] - rows < LARGEST_BAR * shape[0]:
            return shape[0] - int(rows)
        return None


def _text(path: Path) -> str:
    return text_beside(path, f"{path.stem}.txt", f"{path.stem}.TXT", f"{path.name}.txt", with_word="SemImageFile")


def _value(text: str, key: str) -> str:
    found = re.search(rf"^{key}\s*=\s*(\S+)", text, re.MULTILINE)
    return found.group(1) if found else ""


def _data_size(text: str) -> tuple[float | None, float | None]:
    """(rows, columns)."""
    found = re.match(r"(\d+)\s*[x*]\s*(\d+)", _value(text, "DataSize"))
    return (float(found.group(2)), float(found.group(1))) if found else (None, None)
