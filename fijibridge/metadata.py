"""What a microscope writes beside the pixels: their size, and the data bar below the image."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.errors import ImageError

if TYPE_CHECKING:
    import tifffile

log = logging.getLogger(__name__)

MICRON = "\u00b5m"  # the micro sign, as ImageJ writes it; the Greek mu (U+03BC) is normalised to it
_UNIT_NAMES = {
    "um": MICRON, "\u03bcm": MICRON, "micron": MICRON, "microns": MICRON,
    "micrometer": MICRON, "micrometre": MICRON, "nanometer": "nm", "nanometre": "nm",
}  # fmt: skip
_METRES = {"pm": 1e-12, "nm": 1e-9, MICRON: 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}

# Screens and scanners write 72 to 4800 dpi, that is 5 micrometres a pixel and more; a micrograph's pixels are smaller.
_LARGEST_PIXEL_FROM_DPI = 5e-6
# No vendor's bar takes more; a larger number in the metadata belongs to another version of the image.
_LARGEST_BAR = 0.3
_TESCAN_TAG = 50431


def normalise_unit(unit: str) -> str:
    """Give a unit of length one spelling: ``um``, ``micron`` and both mu characters become the micro sign + m.

    Parameters
    ----------
    unit : str
        As found in a file or typed by a person.

    Returns
    -------
    str
        The unit as ImageJ shows it; an unknown unit is returned unchanged.
    """
    unit = unit.strip().rstrip("\x00")
    # ImageJ writes other characters than ASCII as Java escapes.
    unit = re.sub(r"\\u([\da-fA-F]{4})", lambda match: chr(int(match.group(1), 16)), unit)
    return _UNIT_NAMES.get(unit.lower(), unit)


@dataclass(frozen=True)
class PixelSize:
    """Size of a pixel.

    Parameters
    ----------
    y, x : float
        Height and width of a pixel, in `unit`.
    unit : str
        ImageJ's unit string; normalised (see `normalise_unit`).
    z : float, optional
        Distance of two slices, in `unit`; None if not known or a single image.

    Raises
    ------
    ImageError
        A size that is not a positive finite number, or an empty unit.
    """

    y: float
    x: float
    unit: str
    z: float | None = None

    def __post_init__(self) -> None:
        for axis in ("y", "x", "z"):
            value = getattr(self, axis)
            if axis == "z" and value is None:
                continue
            if not (math.isfinite(value) and value > 0):
                raise ImageError(
                    f"pixel size {axis} = {value!r} {self.unit}",
                    expected="a positive finite number",
                    remedy="give the size of a pixel, or none at all when it is not known",
                )
            object.__setattr__(self, axis, float(value))
        object.__setattr__(self, "unit", normalise_unit(self.unit))
        if not self.unit:
            raise ImageError("pixel size without a unit", expected="a unit such as nm", remedy="name the unit")

    @property
    def micrometres(self) -> float | None:
        """Mean of width and height in micrometres; None where the unit is no length that is known."""
        metres = _METRES.get(self.unit)
        return None if metres is None else (self.y + self.x) / 2 * metres * 1e6


def pixel_size_from_metres(y: float, x: float) -> PixelSize | None:
    """Express a pixel size in metres in the unit a microscopist would use; None if it is not a positive number."""
    if not (math.isfinite(y) and math.isfinite(x) and y > 0 and x > 0):
        return None
    # Below 100 nm in nm, so that a FIB-SEM's 20 nm does not turn into 0.02.
    unit = "nm" if x < 1e-7 else MICRON if x < 1e-3 else "mm"
    # Fifteen digits: else 5e-9 m would be shown as 5.000000000000001 nm.
    return PixelSize(float(f"{y / _METRES[unit]:.12g}"), float(f"{x / _METRES[unit]:.12g}"), unit)


# --- what the TIFF tags say ------------------------------------------------------------------------------------------


def pixel_size_of_tiff(tif: tifffile.TiffFile, path: Path) -> PixelSize | None:
    """Pixel size from the tags of an open TIFF: ImageJ, Zeiss, FEI/Thermo, TESCAN, or the resolution tags.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    path : Path
        Its path: TESCAN writes a ``.hdr`` file beside the image.

    Returns
    -------
    PixelSize or None
        None if the file does not say, or only gives a screen's or scanner's dots per inch.
    """
    for reader in (_imagej_size, _zeiss_size, _fei_size):
        size = reader(tif)
        if size is not None:
            return size
    return _tescan_size(_tescan_text(tif, path)) or _resolution_size(tif)


def pixel_size_beside(path: Path) -> PixelSize | None:
    """Pixel size from a TESCAN ``.hdr`` file beside an image that has no tags (PNG, JPEG, BMP)."""
    return _tescan_size(_sidecar_text(path))


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
    height, width = shape
    image = (_fei_metadata(tif) or {}).get("Image")
    if isinstance(image, dict):
        scanned_y, scanned_x = _number(image.get("ResolutionY")), _number(image.get("ResolutionX"))
        if scanned_y is not None and scanned_x in (None, width) and 0 <= height - scanned_y < _LARGEST_BAR * height:
            return height - int(scanned_y)
    strip = _tescan_value(_tescan_text(tif, path), "ImageStripSize")
    if strip is not None and 0 <= strip < _LARGEST_BAR * height:
        return int(strip)
    return None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _resolution(tif: tifffile.TiffFile) -> tuple[float, float] | None:
    """Pixels a unit along y and x from the resolution tags."""
    tags = tif.pages.first.tags
    found = []
    for name in ("YResolution", "XResolution"):
        tag = tags.get(name)
        if tag is None or not isinstance(tag.value, tuple) or len(tag.value) != 2 or 0 in tag.value:
            return None
        found.append(tag.value[0] / tag.value[1])
    return found[0], found[1]


def _imagej_size(tif: tifffile.TiffFile) -> PixelSize | None:
    meta = tif.imagej_metadata if tif.is_imagej else None
    resolution = _resolution(tif)
    if not meta or resolution is None:
        return None
    unit = normalise_unit(str(meta.get("unit", "")))
    if unit.lower() in ("", "pixel", "pixels"):
        return None
    spacing = _number(meta.get("spacing"))
    # ImageJ writes a negative spacing for some hyperstacks of old versions.
    z = abs(spacing) if spacing else None
    # The tags are fractions of 32-bit numbers: what lies beyond nine digits is rounding.
    y, x = (float(f"{1 / pixels:.9g}") for pixels in resolution)
    return PixelSize(y, x, unit, z)


def _zeiss_size(tif: tifffile.TiffFile) -> PixelSize | None:
    meta = tif.sem_metadata if tif.is_sem else None
    # "Image Pixel Size" is that of the stored image; "Pixel Size" that of the scan, which may have been binned.
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        entry = (meta or {}).get(key)
        if entry is not None and len(entry) == 3:
            value, metres = _number(entry[1]), _METRES.get(normalise_unit(str(entry[2])))
            if value is not None and metres is not None:
                return pixel_size_from_metres(value * metres, value * metres)
    return None


def _fei_metadata(tif: tifffile.TiffFile) -> dict[str, Any] | None:
    return tif.fei_metadata if tif.is_fei else None


def _fei_size(tif: tifffile.TiffFile) -> PixelSize | None:
    scan = (_fei_metadata(tif) or {}).get("Scan")
    if not isinstance(scan, dict):
        return None
    y, x = _number(scan.get("PixelHeight")), _number(scan.get("PixelWidth"))
    if y is None or x is None:
        return None
    return pixel_size_from_metres(y, x)


def _tescan_text(tif: tifffile.TiffFile, path: Path) -> str:
    tag = tif.pages.first.tags.get(_TESCAN_TAG)
    if tag is not None:
        value = tag.value
        return value if isinstance(value, str) else bytes(value).decode("latin-1")
    return _sidecar_text(path)


def _sidecar_text(path: Path) -> str:
    kind = path.suffix.lstrip(".")
    for name in (f"{path.stem}-{kind}.hdr", f"{path.stem}.hdr", f"{path.name}.hdr"):
        sidecar = path.with_name(name)
        if sidecar.is_file():
            text = sidecar.read_bytes().decode("latin-1")
            # Other programs write files of this ending too.
            return text if "PixelSizeX" in text else ""
    return ""


def _tescan_value(text: str, key: str) -> float | None:
    # The tag holds binary chunks around its lines of text, so that an INI parser would fail on it.
    match = re.search(rf"(?<![A-Za-z]){key}\s*=\s*([-+.\deE]+)", text)
    return _number(match.group(1)) if match else None


def _tescan_size(text: str) -> PixelSize | None:
    x = _tescan_value(text, "PixelSizeX")
    if x is None:
        return None
    return pixel_size_from_metres(_tescan_value(text, "PixelSizeY") or x, x)


def _resolution_size(tif: tifffile.TiffFile) -> PixelSize | None:
    tag = tif.pages.first.tags.get("ResolutionUnit")
    metres = {2: 0.0254, 3: 0.01}.get(int(tag.value)) if tag is not None else None
    resolution = _resolution(tif)
    if metres is None or resolution is None:
        return None
    y, x = metres / resolution[0], metres / resolution[1]
    if max(y, x) >= _LARGEST_PIXEL_FROM_DPI:
        return None
    return pixel_size_from_metres(y, x)


# --- what the pixels say ---------------------------------------------------------------------------------------------


def find_databar(data: np.ndarray) -> int:
    """Find the data bar below a micrograph by its pixels.

    A bar is a strip at the bottom with a straight upper edge, one background value under most of it, and text: several
    rows with many jumps between the background and a second value. Where one of these is missing the answer is 0, for
    a bar taken as image costs less than image taken as a bar.

    Parameters
    ----------
    data : np.ndarray
        (Y, X) or (Y, X, 3), any real dtype.

    Returns
    -------
    int
        Rows of the bar, 0 if there is none.
    """
    height = data.shape[0]
    if height < 64 or data.shape[1] < 32:
        return 0
    # Work on the bottom quarter only: no bar is higher, and images can be large.
    part = data[-(height // 4) :].astype(np.float32)
    if part.ndim == 3:
        part = part.mean(axis=2)
    background = _background(part[-max(4, height // 50) :])
    if background is None:
        return 0
    level, tolerance = background
    share = (np.abs(part - level) <= tolerance).mean(axis=1)
    is_line = _is_line(part, tolerance / 4)  # narrower: a smooth specimen is not to pass for a line
    gap = max(3, height // 200)
    top = _bar_top(share, is_line, gap)
    rows = len(part) - top
    if rows < max(8, height // 50) or rows > 0.22 * height or top < 4:
        return 0
    # The edge of a bar is straight: from image to plain background in one row, or within a block of a JPEG.
    first = top
    while first < len(part) and share[first] < 0.35 and is_line[first]:
        first += 1
    bar = part[first:]
    blurred = (bar == level).sum() < 0.97 * (np.abs(bar - level) <= tolerance).sum()
    edge_is_sharp = share[top - 3 : top].mean() <= 0.3 and share[first : first + (4 if blurred else 1)].max() >= 0.75
    # Without its upper rows, which in a dark region of the specimen would hold bits of the image above it.
    below_edge = bar[len(bar) // 8 :]
    return rows if edge_is_sharp and _has_text(below_edge, level, contrast_of=part[:top]) else 0


def _background(bottom: np.ndarray) -> tuple[float, float] | None:
    """Level of the strip at the very bottom and the tolerance around it; None if it has no dominant level."""
    values, counts = np.unique(bottom, return_counts=True)
    level = float(values[counts.argmax()])
    # Of the strip's own range: JPEG blurs black text into white; half of it must be level all the same.
    tolerance = 0.03 * float(bottom.max() - bottom.min())
    return (level, tolerance) if (np.abs(bottom - level) <= tolerance).mean() >= 0.5 else None


def _is_line(part: np.ndarray, tolerance: float) -> np.ndarray:
    """Rows that hold one value over most of the width."""
    medians = np.median(part, axis=1, keepdims=True)
    return (np.abs(part - medians) <= tolerance).mean(axis=1) >= 0.7


def _bar_top(share: np.ndarray, is_line: np.ndarray, gap: int) -> int:
    """Walk up from the bottom while rows hold the background, across thin horizontal lines; index of the top row."""
    top = row = len(share)
    while row > 0 and top - row <= gap:
        row -= 1
        if share[row] >= 0.35:
            top = row
        elif not is_line[row]:
            break
    # A line drawn along the upper edge belongs to the bar; a flat image above it does not end within the gap.
    edge = top
    while edge > 0 and top - edge <= gap and is_line[edge - 1]:
        edge -= 1
    return edge if top - edge <= gap else top


def _has_text(bar: np.ndarray, level: float, contrast_of: np.ndarray) -> bool:
    """Whether several rows jump often between the background and values as far from it as text is."""
    contrast = float(np.abs(bar - level).max())
    low, high = np.percentile(contrast_of, (1, 99))
    if contrast == 0 or contrast < 0.3 * float(high - low):
        return False
    ink = np.abs(bar - level) > 0.5 * contrast
    jumps = (ink[:, 1:] != ink[:, :-1]).sum(axis=1)
    return bool(0.002 <= ink.mean() <= 0.5 and (jumps >= 6).sum() >= 5)
