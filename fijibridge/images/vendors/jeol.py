"""JEOL: the text file beside the image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.images.pixel_size import PixelSize, pixel_size_from_metres
from fijibridge.images.vendors.base import (
    LARGEST_BAR,
    Vendor,
    as_number,
    in_metres,
    of_this_size,
    shape_of,
    text_beside,
)

if TYPE_CHECKING:
    import tifffile

_MARK = re.compile(r"([\d.,]+)\s*(\S+)")


class Jeol(Vendor):
    """See :class:`Vendor`."""

    name = "JEOL"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`."""
        text = _text(path)
        shape = shape_of(path, tif) if text else None
        if shape is None:
            return None
        full = _numbers(text, "$CM_FULL_SIZE")
        written_for = (full[1], full[0]) if len(full) == 2 else (None, None)
        bar, mark = _numbers(text, "$$SM_MICRON_BAR"), _MARK.match(_value(text, "$$SM_MICRON_MARKER"))
        length = in_metres(*mark.groups()) if mark else None
        if length and bar and bar[0] > 0:
            size = pixel_size_from_metres(length / bar[0], length / bar[0])
            return of_this_size(size, written_for, shape)
        return None

    def databar_rows(self, path: Path, tif: tifffile.TiffFile | None, shape: tuple[int, int]) -> int | None:
        """See :meth:`Vendor.databar_rows`."""
        size = _numbers(_text(path), "$CM_FULL_SIZE")
        if len(size) == 2 and size[0] == shape[1] and 0 < shape[0] - size[1] < LARGEST_BAR * shape[0]:
            return shape[0] - int(size[1])
        return None


def _text(path: Path) -> str:
    return text_beside(path, f"{path.stem}.txt", f"{path.stem}.TXT", f"{path.name}.txt", with_word="$CM_FORMAT")


def _value(text: str, key: str) -> str:
    found = re.search(rf"^{re.escape(key)}[ \t]+(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _numbers(text: str, key: str) -> list[float]:
    numbers = [as_number(word) for word in _value(text, key).split()]
    return [number for number in numbers if number is not None]
