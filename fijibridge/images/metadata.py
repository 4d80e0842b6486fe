"""What a microscope writes beside the pixels: the vendors that are asked for it, in order of trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.errors import SettingsError
from fijibridge.images.vendors.fei import FEI
from fijibridge.images.vendors.gatan import Gatan
from fijibridge.images.vendors.hitachi import Hitachi
from fijibridge.images.vendors.imagej import ImageJ
from fijibridge.images.vendors.jeol import Jeol
from fijibridge.images.vendors.olympus import OlympusSIS
from fijibridge.images.vendors.ome import Ome
from fijibridge.images.vendors.resolution_tags import ResolutionTags
from fijibridge.images.vendors.tescan import Tescan
from fijibridge.images.vendors.zeiss import Zeiss

if TYPE_CHECKING:
    import tifffile

    from fijibridge.images.pixel_size import PixelSize
    from fijibridge.images.vendors.base import Vendor

# The first that answers counts. ImageJ leads: a user who set the scale there meant it; the tags alone come last.
VENDORS: list[Vendor] = [
    ImageJ(), Ome(), Zeiss(), FEI(), Tescan(), Gatan(), OlympusSIS(), Jeol(), Hitachi(), ResolutionTags(),
]  # fmt: skip


def register_vendor(vendor: Vendor, *, before: str = "resolution tags") -> None:
    """Add a vendor to those that are asked.

    Parameters
    ----------
    vendor : Vendor
        With a name of its own.
    before : str
        Name of the vendor that it is asked before.

    Raises
    ------
    SettingsError
        A name that is taken, or no vendor of the name `before`.
    """
    names = [other.name for other in VENDORS]
    if vendor.name in names or before not in names:
        raise SettingsError(
            f"vendor {vendor.name!r} before {before!r}, among {', '.join(names)}",
            expected="a new name, before one of these",
            remedy="rename the vendor, or choose its place among them",
        )
    VENDORS.insert(names.index(before), vendor)


def pixel_size_of_tiff(tif: tifffile.TiffFile, path: Path) -> PixelSize | None:
    """Pixel size that the tags of an open TIFF, or a file beside it, give.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    path : Path
        Its path.

    Returns
    -------
    PixelSize or None
        None if the file does not say, or only gives a screen's or scanner's dots per inch.
    """
    return _pixel_size(path, tif)


def pixel_size_beside(path: Path) -> PixelSize | None:
    """Pixel size from a vendor's file beside an image that has no tags (PNG, JPEG, BMP)."""
    return _pixel_size(path, None)


def _pixel_size(path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
    return next((size for vendor in VENDORS if (size := vendor.pixel_size(path, tif)) is not None), None)


def channel_names_of_tiff(tif: tifffile.TiffFile, path: Path, count: int) -> tuple[str, ...]:
    """Names of the channels of an open TIFF.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    path : Path
        Its path.
    count : int
        Number of channels.

    Returns
    -------
    tuple of str
        One each; empty where the file gives none.
    """
    found = next((names for vendor in VENDORS if (names := vendor.channel_names(path, tif, count))), ())
    return (*(" ".join(name.split())[:80] for name in found[:count]), *[""] * (count - len(found)))


def databar_beside(path: Path, shape: tuple[int, int]) -> int | None:
    """Rows of the data bar as a vendor's file beside an image gives them (PNG, JPEG, BMP).

    Parameters
    ----------
    path : Path
        The image.
    shape : tuple of int
        (Y, X) of it.
    """
    return next((rows for vendor in VENDORS if (rows := vendor.databar_rows(path, None, shape)) is not None), None)


def databar_of_tiff(tif: tifffile.TiffFile, path: Path, shape: tuple[int, int]) -> int | None:
    """Rows of the data bar as the microscope's own metadata give them.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    path : Path
        Its path.
    shape : tuple of int
        (Y, X) of the stored image.

    Returns
    -------
    int or None
        None if the metadata do not say, or were written for an image of another size.
    """
    return next((rows for vendor in VENDORS if (rows := vendor.databar_rows(path, tif, shape)) is not None), None)
