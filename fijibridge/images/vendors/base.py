"""What a vendor's file says, as one small interface, and how tags are read."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xml.etree import ElementTree

    import tifffile

    from fijibridge.images.pixel_size import PixelSize

# No vendor's bar is higher, as a share of the image; a larger number belongs to another version of the image.
LARGEST_BAR = 0.3
_LARGEST_TEXT = 2**22  # bytes of a file or tag of metadata


class Vendor:
    """Reads the metadata that one vendor's software writes, in the file or in a text file beside it.

    A new vendor is a subclass in a file of its own and its place in :data:`fijibridge.images.metadata.VENDORS`. Each
    method answers None where the file is another vendor's, or does not say.

    Attributes
    ----------
    name : str
        For messages and :func:`fijibridge.images.metadata.register_vendor`.
    """

    name: str

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """Size of a pixel.

        Parameters
        ----------
        path : Path
            The image.
        tif : tifffile.TiffFile or None
            The same file, open; None for other formats (PNG, JPEG, BMP).
        """
        return None

    def databar_rows(self, path: Path, tif: tifffile.TiffFile | None, shape: tuple[int, int]) -> int | None:
        """Rows of the data bar at the bottom.

        Parameters
        ----------
        path : Path
            The image.
        tif : tifffile.TiffFile or None
            The same file, open; None for other formats.
        shape : tuple of int
            (Y, X) of the stored image. Metadata that were written for another size do not count.
        """
        return None

    def channel_names(self, path: Path, tif: tifffile.TiffFile, count: int) -> tuple[str, ...]:
        """Names of the channels, such as detectors.

        Parameters
        ----------
        path : Path
            The image.
        tif : tifffile.TiffFile
            The same file, open.
        count : int
            Number of channels.

        Returns
        -------
        tuple of str
            One each at most, empty ones where some have no name; none where the file is another vendor's.
        """
        return ()


def as_number(value: Any) -> float | None:
    """A finite number of a metadata entry, with a decimal comma too; None where it is none."""
    if isinstance(value, str) and value.count(",") == 1 and "." not in value:
        value = value.replace(",", ".")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def resolution_of(tif: tifffile.TiffFile) -> tuple[float, float] | None:
    """Pixels a unit along y and x, from the resolution tags; None where one is missing or 0."""
    tags = tif.pages.first.tags
    found = []
    for name in ("YResolution", "XResolution"):
        tag = tags.get(name)
        if tag is None or not isinstance(tag.value, tuple) or len(tag.value) != 2 or 0 in tag.value:
            return None
        found.append(tag.value[0] / tag.value[1])
    return found[0], found[1]


def shape_of(path: Path, tif: tifffile.TiffFile | None) -> tuple[int, int] | None:
    """(Y, X) of the image at hand.

    Parameters
    ----------
    path : Path
        The image.
    tif : tifffile.TiffFile or None
        The same file, open; None for other formats.

    Returns
    -------
    tuple of int or None
        None where it cannot be told.
    """
    if tif is not None:
        page = tif.series[0].keyframe if tif.series else tif.pages.first
        return page.imagelength, page.imagewidth
    from PIL import Image as pillow

    try:
        with pillow.open(path, formats=("PNG", "JPEG", "BMP", "GIF")) as picture:
            return picture.height, picture.width
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError):
        return None


def of_this_size(
    size: PixelSize | None, written_for: tuple[float | None, float | None], shape: tuple[int, int]
) -> PixelSize | None:
    """A pixel size that metadata give for an image of one size, in the image at hand.

    A copy of the same aspect, with or without a data bar, was scaled; a crop kept its pixels.

    Parameters
    ----------
    size : PixelSize or None
        What the metadata say.
    written_for : tuple
        (rows, columns) that they were written for, without a data bar; None where they do not say.
    shape : tuple of int
        (Y, X) of the image at hand.

    Returns
    -------
    PixelSize or None
        None where width and height tell of neither.
    """
    rows, columns = written_for
    if size is None or columns is None or not columns > 0 or columns == shape[1]:
        return size
    scale = columns / shape[1]
    if rows is not None and rows > 0:
        scaled = 0.98 * rows <= shape[0] * scale <= (1 + 2 * LARGEST_BAR) * rows
        if not scaled:
            return size if shape[1] < columns and shape[0] < (1 + LARGEST_BAR) * rows else None
    y, x = (float(f"{value * scale:.9g}") for value in (size.y, size.x))
    return replace(size, y=y, x=x)


def text_beside(path: Path, *names: str, with_word: str) -> str:
    """The text of a small file beside an image.

    Parameters
    ----------
    path : Path
        The image.
    *names : str
        Names of such files; the first one there with the word counts.
    with_word : str
        What the text must hold, for other programs write files of these names too.

    Returns
    -------
    str
        Empty where there is none.
    """
    for name in names:
        beside = path.with_name(name)
        try:
            if not beside.is_file() or beside.stat().st_size > _LARGEST_TEXT:
                continue
            data = beside.read_bytes()
        except OSError:
            continue
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = data.decode("utf-16" if utf16 else "latin-1", errors="replace")
        if with_word in text:
            return text
    return ""


def xml_root(text: str | bytes, *, word: str) -> ElementTree.Element | None:
    """The root of a small XML text; None where it is none, or declares entities, which could unpack to any size.

    Parameters
    ----------
    text : str or bytes
        What may be XML.
    word : str
        That it must hold.
    """
    from xml.etree import ElementTree

    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    text = text.strip("\0 \r\n\t\ufeff")
    if not text.startswith("<") or word not in text or "<!" in text or len(text) > _LARGEST_TEXT:
        return None
    try:
        return ElementTree.fromstring(text.encode("utf-8"))
    except (ElementTree.ParseError, ValueError, RecursionError, LookupError):
        return None


def local_name(element: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def in_metres(value: Any, unit: Any) -> float | None:
    """A length in metres.

    Parameters
    ----------
    value, unit : any
        As they stand in the metadata.

    Returns
    -------
    float or None
        None where either is missing or not known.
    """
    from fijibridge.images.pixel_size import METRES, normalise_unit

    if isinstance(unit, bytes):
        unit = unit.decode("latin-1")
    number, metres = as_number(value), METRES.get(normalise_unit(str(unit or "")))
    return None if number is None or metres is None else number * metres
