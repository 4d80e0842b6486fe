"""Image files opened as a row of planes: TIFF through tifffile, page by page; other formats through imageio."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from fijibridge.errors import ImageError, ImageNotFoundError
from fijibridge.metadata import PixelSize, databar_of_tiff, pixel_size_beside, pixel_size_of_tiff

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Planes:
    """An open file as a row of planes.

    Parameters
    ----------
    path : Path
        The file.
    count : int
        Number of planes.
    read : callable
        (index, raw) -> (Y, X) or (Y, X, S): the plane with the values stored, or as a person sees them.
    pixel_size : PixelSize or None
        As the file gives it.
    databar : callable
        (Y, X) -> rows of the data bar by the microscope's metadata, or None.
    left_out : int
        Pages that the file does not keep as one stack with the first, such as those of another size.
    """

    path: Path
    count: int
    read: Callable[[int, bool], np.ndarray]
    pixel_size: PixelSize | None
    databar: Callable[[tuple[int, int]], int | None]
    left_out: int = 0

    def plane(self, index: int, *, raw: bool) -> np.ndarray:
        """Plane `index`; ImageError if the file has no such plane."""
        if not 0 <= index < self.count:
            raise ImageError(
                f"page {index} of {self.path}",
                expected=f"0 to {self.count - 1}: the file has {self.count} slice(s)",
                remedy="ask for a slice that the file has",
            )
        return self.read(index, raw)


def _unreadable(path: Path, why: object) -> ImageError:
    text = str(why)
    if "imagecodecs" in text:
        return ImageError(
            f"{path} is compressed in a way that needs a decoder which is not installed ({text})",
            expected="a TIFF that tifffile can decode on its own, or the imagecodecs package",
            remedy="pip install imagecodecs, or save the image uncompressed",
        )
    return ImageError(
        f"{path} cannot be read as an image ({text})",
        expected="a complete TIFF, PNG, JPEG or BMP file",
        remedy="open it in Fiji to see whether it is whole, and save it as TIFF; or copy it again from its source",
    )


def _truncated(path: Path, what: str) -> ImageError:
    return ImageError(
        f"{path} is truncated: {what}",
        expected="a complete file",
        remedy="copy it again from its source",
    )


@contextmanager
def open_planes(path: str | Path) -> Iterator[Planes]:
    """Open an image file; ImageNotFoundError or ImageError if that cannot be done."""
    path = Path(path)
    if not path.exists():
        raise ImageNotFoundError(f"no file {path}", expected="an image file", remedy="check the path and its spelling")
    if path.is_dir():
        raise ImageError(f"{path} is a folder", expected="an image file", remedy="name a file in it")
    try:
        with path.open("rb") as handle:
            start = handle.read(32)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not start:
        raise ImageError(f"{path} is empty (0 bytes)", expected="an image file", remedy="copy it again from its source")
    if start[:4] in _TIFF_STARTS:
        try:
            tif = tifffile.TiffFile(path)
        except Exception as error:  # a broken file breaks the parser in many ways
            raise _unreadable(path, error) from error
        with tif:
            try:
                planes = _tiff_planes(tif, path)
            except (ImageError, MemoryError):
                raise
            except Exception as error:
                raise _unreadable(path, error) from error
            yield planes
    else:
        yield _other_planes(path, start)


def _tiff_planes(tif: tifffile.TiffFile, path: Path) -> Planes:
    _check_page_chain(tif, path)
    series = tif.series[0]
    page = series.keyframe
    sizes = dict(zip(series.axes, series.shape, strict=True))
    is_colour = "S" in page.axes
    if sizes.get("C", 1) > 1 and not is_colour:
        raise ImageError(
            f"{path} has {sizes['C']} channels",
            expected="one grey channel, or RGB",
            remedy="in ImageJ: Image > Color > Split Channels, or Image > Type > RGB Color; if the channels are really "
            "slices, set them in Image > Properties",
        )
    if page.axes not in ("YX", "YXS", "SYX"):
        raise ImageError(
            f"{path} has planes with axes {page.axes} and shape {page.shape}",
            expected="planes of (Y, X) or (Y, X, 3)",
            remedy="save it as an ImageJ TIFF stack",
        )
    count = series.size // max(page.size, 1)
    meta = tif.imagej_metadata or {}
    promised = meta.get("frames", 1) * meta.get("slices", 1)
    if tif.is_imagej and promised > count:
        raise _truncated(path, f"its header promises {promised} slices, {count} are there")

    def read(index: int, raw: bool) -> np.ndarray:
        try:
            plane = _tiff_plane(tif, series, index, path)
        except (ImageError, MemoryError):
            raise
        except Exception as error:
            raise _unreadable(path, error) from error
        if page.axes == "SYX":
            plane = np.moveaxis(plane, 0, -1)
        return plane if raw else _decoded(plane, page, is_imagej=tif.is_imagej)

    left_out = sum(len(other.pages) for other in tif.series[1:] if not other.keyframe.is_reduced)
    size = pixel_size_of_tiff(tif, path)
    return Planes(path, count, read, size, lambda shape: databar_of_tiff(tif, path, shape), left_out)


def _check_page_chain(tif: tifffile.TiffFile, path: Path) -> None:
    """Refuse a file whose list of pages leads beyond its end: tifffile would take what is left as all."""
    form, handle = tif.tiff, tif.filehandle
    seen: set[int] = set()
    offset = tif.pages.first.offset
    while offset and offset not in seen:
        seen.add(offset)
        handle.seek(offset)
        head = handle.read(form.tagnosize)
        if len(head) == form.tagnosize:
            handle.seek(offset + form.tagnosize + form.tagsize * _unpack(form.tagnoformat, head))
            head = handle.read(form.offsetsize)
        if len(head) not in (form.offsetsize, form.tagnosize) or offset >= handle.size:
            raise _truncated(path, f"page {len(seen)} is not there")
        if len(head) < form.offsetsize:
            raise _truncated(path, f"page {len(seen)} is cut off")
        offset = _unpack(form.offsetformat, head)


def _unpack(form: str, data: bytes) -> int:
    return struct.unpack(form, data)[0]


def _tiff_plane(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, index: int, path: Path) -> np.ndarray:
    keyframe = series.keyframe
    if series.kind != "generic" and series.dataoffset is not None:
        # All slices in one block: ImageJ writes stacks above 4 GB with a single page entry.
        size = keyframe.size * keyframe.dtype.itemsize
        offset = series.dataoffset + index * size
        if offset + size > tif.filehandle.size:
            raise _truncated(path, f"slice {index} ends beyond the end of the file")
        tif.filehandle.seek(offset)
        plane = tif.filehandle.read_array(tif.byteorder + keyframe.dtype.char, keyframe.size)
        return plane.reshape(keyframe.shape)
    page = series.pages[index]
    if page is None:
        raise _truncated(path, f"slice {index} is not there")
    ends = [start + size for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    # tifffile fills missing strips with zeros, which would be read as black image.
    if ends and max(ends) > page.parent.filehandle.size:
        raise _truncated(path, f"slice {index} ends beyond the end of the file")
    return page.asarray()


def _decoded(plane: np.ndarray, page: tifffile.TiffPage, *, is_imagej: bool) -> np.ndarray:
    """Stored values to the brightness a person sees."""
    if plane.dtype == bool:
        plane = plane.astype(np.uint8) * np.uint8(255)  # as ImageJ opens 1-bit images
    photometric = tifffile.PHOTOMETRIC(page.photometric)
    if photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None and not is_imagej:
        return _grey_if_equal(np.moveaxis((page.colormap >> 8).astype(np.uint8)[:, plane], 0, -1))
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and not is_imagej and plane.dtype.kind == "u":
        plane = np.iinfo(plane.dtype).max - plane if page.bitspersample in (1, 8, 16) else plane
    if plane.ndim == 3:
        # Unspecified extra samples may be further detectors: only what is marked as alpha is dropped.
        colours = plane.shape[2] - sum(sample != 0 for sample in page.extrasamples)
        if photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR) and plane.shape[2] in (3, 4):
            colours = 3
        if colours in (1, 3):
            plane = plane[..., 0] if colours == 1 else plane[..., :3]
    return plane


def _grey_if_equal(rgb: np.ndarray) -> np.ndarray:
    same = np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2])
    return rgb[..., 0] if same else rgb


def _other_planes(path: Path, start: bytes) -> Planes:
    # PNG header: bit depth at byte 24, colour type at 25 (0 grey). Pillow would cut these to 8 bits silently.
    if start.startswith(b"\x89PNG") and start[24:25] == b"\x10" and start[25] != 0:
        raise ImageError(
            f"{path} is a PNG with 16 bits a channel in colour or with alpha",
            expected="16-bit grey PNG, or TIFF",
            remedy="save it as 16-bit grey, or as TIFF, so that no bits are lost",
        )
    import imageio.v3 as iio

    def attempt(what: Callable[[], Any]) -> Any:
        try:
            with _any_size():
                return what()
        except MemoryError:
            raise
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
            raise _unreadable(path, error) from error

    def read(index: int, raw: bool) -> np.ndarray:
        # mode="P" keeps a palette image's indices; any other mode is left as it is.
        mode = {"mode": "P"} if raw and is_palette else {}
        plane = attempt(lambda: iio.imread(path, plugin="pillow", index=index, **mode))
        if plane.dtype == bool and not raw:
            plane = plane.astype(np.uint8) * np.uint8(255)
        if plane.ndim == 3 and plane.shape[2] in (2, 4) and not raw:
            plane = plane[..., :-1]  # alpha
        if plane.ndim == 3 and plane.shape[2] == 1:
            plane = plane[..., 0]
        return _grey_if_equal(plane) if is_palette and not raw and plane.ndim == 3 else plane

    def look() -> tuple[int, bool]:
        with iio.imopen(path, "r", plugin="pillow") as file:
            return file.properties(index=...).n_images or 1, file.metadata(index=0).get("mode") == "P"

    count, is_palette = attempt(look)
    return Planes(path, count, read, pixel_size_beside(path), lambda shape: None)


@contextmanager
def _any_size() -> Iterator[None]:
    """Lift Pillow's limit for images from the web: stitched micrographs are larger, and they are the user's own."""
    from PIL import Image as pillow

    limit, pillow.MAX_IMAGE_PIXELS = pillow.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        pillow.MAX_IMAGE_PIXELS = limit
