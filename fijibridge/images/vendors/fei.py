"""FEI and Thermo Fisher: the sections of tags 34680 and 34682, the XML of tag 34683 (Phenom's too)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.images.pixel_size import PixelSize, pixel_size_from_metres
from fijibridge.images.vendors.base import (
    LARGEST_BAR,
    Vendor,
    as_number,
    in_metres,
    local_name,
    of_this_size,
    shape_of,
    xml_root,
)

if TYPE_CHECKING:
    from xml.etree import ElementTree

    import tifffile

_XML = 34683


class FEI(Vendor):
    """See :class:`Vendor`."""

    name = "FEI"

    def pixel_size(self, path: Path, tif: tifffile.TiffFile | None) -> PixelSize | None:
        """See :meth:`Vendor.pixel_size`."""
        shape = shape_of(path, tif) if tif is not None else None
        if tif is None or shape is None:
            return None
        scan, image, camera = (_section(tif, name) for name in ("Scan", "Image", "IRBeam"))
        written_for = as_number(image.get("ResolutionY")), as_number(image.get("ResolutionX"))
        y, x = as_number(scan.get("PixelHeight")), as_number(scan.get("PixelWidth"))
        if y is not None and x is not None:
            return of_this_size(pixel_size_from_metres(y, x), written_for, shape)
        field = as_number(camera.get("VFW")), as_number(camera.get("HFW"))
        if None not in (*field, *written_for) and all(written_for):
            size = pixel_size_from_metres(field[0] / written_for[0], field[1] / written_for[1])  # type: ignore[operator]
            return of_this_size(size, written_for, shape)
        root = _xml(tif)
        return None if root is None else of_this_size(_size_in(root), _pixels_in(root), shape)

    def databar_rows(self, path: Path, tif: tifffile.TiffFile | None, shape: tuple[int, int]) -> int | None:
        """See :meth:`Vendor.databar_rows`."""
        height, width = shape
        image = _section(tif, "Image")
        scanned_y, scanned_x = as_number(image.get("ResolutionY")), as_number(image.get("ResolutionX"))
        if not image and (root := _xml(tif)) is not None:
            scanned_y, scanned_x = _pixels_in(root)
        if scanned_y is not None and scanned_x in (None, width) and 0 <= height - scanned_y < LARGEST_BAR * height:
            return height - int(scanned_y)
        return None


def _section(tif: tifffile.TiffFile | None, name: str) -> dict[str, Any]:
    """A section of the metadata; empty where there is none."""
    meta = tif.fei_metadata if tif is not None and tif.is_fei else None
    section = (meta or {}).get(name)
    return section if isinstance(section, dict) else {}


def _xml(tif: tifffile.TiffFile | None) -> ElementTree.Element | None:
    tag = tif.pages.first.tags.get(_XML) if tif is not None else None
    if tag is None or not isinstance(tag.value, (str, bytes)):
        return None
    return xml_root(tag.value, word="ixel")


def _size_in(root: ElementTree.Element) -> PixelSize | None:
    """``<pixelWidth unit="nm">`` as Phenom, ``<PixelSize><X unit="m">`` as Thermo Fisher writes it."""
    found: dict[str, float | None] = {}
    for element in root.iter():
        name = local_name(element)
        if name.lower() in ("pixelwidth", "pixelheight"):
            found["x" if name.lower() == "pixelwidth" else "y"] = in_metres(element.text, element.get("unit", "m"))
        elif name == "PixelSize":
            for axis in element:
                if local_name(axis).lower() in ("x", "y"):
                    found.setdefault(local_name(axis).lower(), in_metres(axis.text, axis.get("unit", "m")))
    y, x = found.get("y"), found.get("x")
    return None if x is None else pixel_size_from_metres(y or x, x)


def _pixels_in(root: ElementTree.Element) -> tuple[float | None, float | None]:
    """(rows, columns) of the scan, without the data bar."""
    for element in root.iter():
        if local_name(element).lower() in ("imagesize", "scansize"):
            sizes = {local_name(axis).lower(): as_number(axis.text) for axis in element}
            return sizes.get("y", sizes.get("height")), sizes.get("x", sizes.get("width"))
    return None, None
