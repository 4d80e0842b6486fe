"""TESCAN: the text of tag 50431, or a ``.hdr`` file beside the image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.images.pixel_size import PixelSize, pixel_size_from_metres
from fijibridge.images.vendors.base import LARGEST_BAR, Vendor, as_number, of_this_size, shape_of, text_beside

if TYPE_CHECKING:
    import tifffile


_TAG = 50431
_SMALLEST = 256  # columns; no bar can be read in fewer
_STRIP = "ImageStripSize"  # rows of the bar


class Tescan(Vendor):
    """See :class:`Vendor`."""

    name = "TESCAN"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`."""
        text = _text(path, tif)
        x = _value(text, "PixelSizeX")
        shape = shape_of(path, tif) if x is not None else None
        if x is None or shape is None:
            return None
        size = pixel_size_from_metres(_value(text, "PixelSizeY") or x, x)
        columns = _columns(text)
        strip = _value(text, _STRIP)
        if columns is None and tif is not None and strip:
            seen = _bar_seen(text, tif)
            columns = shape[1] if seen == strip else _likely_columns(shape[1] * strip / seen) if seen else None
            if columns is None:
                return None
        return of_this_size(size, (None, columns), shape)

    def databar_rows(self, path: Path, tif: tifffile.TiffFile | None, shape: tuple[int, int]) -> int | None:
        """See :meth:`Vendor.databar_rows`."""
        text = _text(path, tif)
        rows = _value(text, _STRIP)
        if rows is None or not 0 <= rows < LARGEST_BAR * shape[0] or (_columns(text) or shape[1]) != shape[1]:
            return None
        return int(rows) if tif is None else _bar_seen(text, tif)


def _columns(text: str) -> float | None:
    """Columns of the scan, where the metadata say."""
    names = ("ImageWidth", "ScanWidth", "ResolutionX")
    return next((columns for name in names if (columns := _value(text, name))), None)


def _bar_seen(text: str, tif: tifffile.TiffFile) -> int | None:
    """Rows of the bar in this image, which may be a scaled copy; None where there is none such as the metadata say."""
    from fijibridge.images.databar import is_flat, look_for_databar

    page, rows = tif.pages.first, int(_value(text, _STRIP) or 0)
    try:
        data = page.asarray()
    except Exception:  # damaged: reading the plane says so
        return None
    if not rows or data.ndim not in (2, 3) or rows >= len(data) or data.shape[1] < _SMALLEST:
        return rows
    found = look_for_databar(data).rows
    if found:
        return found if abs(found - rows) > max(2, 0.1 * rows) else rows
    return rows if is_flat(data[-rows:][: max(2, rows // 4)]) else None


def _likely_columns(columns: float) -> float | None:
    """The width of a scan that is nearly this: they are multiples of 256."""
    likely = 256 * round(columns / 256)
    return likely if likely and abs(likely / columns - 1) < 0.03 else None


def _text(path: Path, tif: tifffile.TiffFile | None) -> str:
    tag = None if tif is None else tif.pages.first.tags.get(_TAG)
    if tag is not None and isinstance(tag.value, (str, bytes)):
        return tag.value if isinstance(tag.value, str) else tag.value.decode("latin-1")
    kind = path.suffix.lstrip(".")
    names = (f"{path.stem}-{kind}.hdr", f"{path.stem}.hdr", f"{path.name}.hdr")
    return text_beside(path, *names, with_word="PixelSizeX")


def _value(text: str, key: str) -> float | None:
    # The tag holds binary chunks around its lines of text, so that an INI parser would fail on it.
    match = re.search(rf"(?<![A-Za-z]){key}\s*=\s*([-+.,\deE]+)", text)
    return as_number(match.group(1)) if match else None
