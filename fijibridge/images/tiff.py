"""TIFF through tifffile, page by page: which pages are the image, and what their numbers mean."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from fijibridge.core.errors import ImageError
from fijibridge.images.channels import channel_notes, choose_channel
from fijibridge.images.formats import format_of
from fijibridge.images.limits import LARGEST_SIDE, MOST_PAGES, check_size
from fijibridge.images.metadata import channel_names_of_tiff, databar_of_tiff, pixel_size_of_tiff
from fijibridge.images.palette import brightness
from fijibridge.images.planes import Planes, unreadable

if TYPE_CHECKING:
    from fijibridge.images.pixel_size import PixelSize
    from fijibridge.images.place import Place

# Micrograph and preview are alike when they correlate so much over their coarse means.
_ALIKE = 0.8
_COARSE = 24
# fijibridge's own label images say so in their info: their look-up table is of colours, their values are what counts.
_OWN_LABELS = "0 = unlabelled"
_SPLIT = (
    "or in ImageJ: Image > Color > Split Channels, or Image > Type > RGB Color; if the channels are really slices, set "
    "them in Image > Properties"
)


@dataclass
class _Group:
    """Pages of one kind, which make a stack."""

    keyframe: Any
    pages: list[tuple[Any, int]]  # (series, index in it)
    numbers: list[int]  # pages of the file, from 0
    frames: int = 1
    reduced: bool = False  # a copy of another page, as the file itself says
    channels: tuple[str, ...] = ()  # names of the channels
    channel: int = 0  # of which the pages are this one


@contextmanager
def open_tiff(place: Place, channel: str) -> Iterator[Planes]:
    """Open a TIFF.

    Parameters
    ----------
    place : Place
        The file; a channel may be named behind it.
    channel : str
        A name or a number from 1; empty: the only one, or the one behind the file.

    Yields
    ------
    Planes

    Raises
    ------
    ImageError
        Truncated, damaged, not a grey or RGB image, or several channels and none chosen.
    """
    path, channel = place.path, place.channel(channel)
    try:
        tif = tifffile.TiffFile(path)
    except Exception as error:  # the parser raises errors of any kind on a broken file
        raise unreadable(path, error) from error
    with tif:
        try:
            planes = _planes(tif, path, channel)
        except ImageError:
            raise
        except Exception as error:
            raise unreadable(path, error) from error
        yield planes


def _planes(tif: tifffile.TiffFile, path: Path, channel: str) -> Planes:
    _check_page_chain(tif, path)
    groups = _groups(tif, path, channel)

    def read_of(group: _Group, index: int, raw: bool) -> np.ndarray:
        try:
            series, number = group.pages[index]
            plane = _plane(tif, series, number, path)
            if group.keyframe.axes == "SYX":
                plane = np.moveaxis(plane, 0, -1)
            plane = _signed(plane, tif)
            return plane if raw else _decoded(plane, group.keyframe, tif)
        except ImageError:
            raise
        except Exception as error:
            raise unreadable(path, error) from error

    full = [group for group in groups if not group.reduced] or groups
    chosen, why = _choose(full, lambda group: read_of(group, 0, False))
    _check_group(tif, chosen, path)
    where = {number: (group, index) for group in groups for index, number in enumerate(group.numbers)}
    left_out = sum(len(group.numbers) for group in full if group is not chosen)

    def page(number: int, raw: bool) -> np.ndarray:
        if number not in where:
            raise ImageError(
                f"page {number} of {path} is a reduced image, or no image",
                expected=f"one of {', '.join(map(str, sorted(where)[:20]))}",
                remedy="ask for a page that is an image",
            )
        return read_of(*where[number], raw)

    notes = []
    if left_out:
        others = ", ".join(_about(group) for group in full if group is not chosen)
        notes.append(
            f"{left_out} page(s) that make no stack with the others are not read ({others}); read was {_about(chosen)}"
            f"{why}; choose another with --page"
        )
    elif smaller := sum(len(series.levels) - 1 for series in tif.series):
        notes.append(f"{smaller} smaller page(s) of the same shape were taken as reduced copies and left out")
    elif groups[0].reduced and groups[0] is not chosen:
        notes.append(f"page 1 is a reduced image and was left out; read was {_about(chosen)}")
    notes += channel_notes(chosen.channels, chosen.channel)
    return Planes(
        path,
        len(chosen.pages),
        lambda index, raw: read_of(chosen, index, raw),
        pixel_size_of_tiff(tif, path),
        lambda shape: databar_of_tiff(tif, path, shape),
        left_out,
        chosen.frames,
        tuple(chosen.numbers),
        max(where) + 1,
        page,
        tuple(notes),
        chosen.channels,
        *_form(tif, chosen.keyframe),
    )


def _form(tif: tifffile.TiffFile, key: tifffile.TiffPage) -> tuple[tuple[int, ...], np.dtype | None]:
    """Shape and type of a plane with the values stored, before one is read."""
    shape = (*key.shape[1:], key.shape[0]) if key.axes == "SYX" else tuple(key.shape)
    return shape, None if key.dtype is None else _signed(np.empty(0, key.dtype), tif).dtype.newbyteorder("=")


def _about(group: _Group) -> str:
    key, numbers = group.keyframe, group.numbers
    which = f"page {numbers[0] + 1}" if len(numbers) == 1 else f"{len(numbers)} pages from {numbers[0] + 1}"
    kind = "RGB" if "S" in key.axes else f"{key.bitspersample} bit"
    return f"{which}: {key.imagewidth} x {key.imagelength} px, {kind}"


def read_hyperstack(path: Path) -> tuple[str, np.ndarray, PixelSize | None]:
    """All that a TIFF's first series holds, with the values stored.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    axes : str
        A letter each, such as ``"ZCYX"``.
    values : np.ndarray
        With these axes.
    pixel_size : PixelSize or None
        As the file gives it.

    Raises
    ------
    ImageNotFoundError, ImageError
        No such file, no TIFF, damaged, or more than memory holds.
    """
    if (kind := format_of(path)) != "TIFF":
        raise ImageError(f"{path} is a {kind}", expected="a hyperstack", remedy="save it in Fiji as TIFF")
    try:
        with tifffile.TiffFile(path) as tif:
            _check_page_chain(tif, path)
            series = tif.series[0]
            if series.dtype is None:
                raise unreadable(path, "its pixels are of no type that is known")
            check_size(path, f"{series.shape} pixels", series.size * series.dtype.itemsize, tif.filehandle.size)
            planes = _whole(series, path)
            values = np.stack([_plane(tif, *page, path) for page in planes.pages])
            if planes.frames > 1:
                raise ImageError(
                    f"{path} has {planes.frames} points in time: time is no depth",
                    expected="one volume",
                    remedy="take one frame, in Fiji with Image > Hyperstacks > Reduce Dimensionality...",
                )
            return series.axes, values.reshape(series.shape), pixel_size_of_tiff(tif, path)
    except ImageError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error


# --- which pages -----------------------------------------------------------------------------------------------------


def _groups(tif: tifffile.TiffFile, path: Path, channel: str) -> list[_Group]:
    """The pages by kind, in the order of the file."""
    found = tif.series
    if not found:
        raise unreadable(path, "no page is an image")
    if len(found) == 1 or found[0].kind not in ("generic", "shaped", "uniform"):
        full = [series for series in found if not series.keyframe.is_reduced]
        groups: list[_Group] = []
        start = 0
        for series in full or found[:1]:
            # the first is the image: what others have is not asked for
            group = _whole(series, path) if groups else _one_channel(tif, series, path, channel)
            group.numbers, start = [start + index for _, index in group.pages], start + _count(series)
            groups.append(group)
        return groups
    choose_channel(str(path), ("",), channel)
    # Written page by page, each may be a series of its own: by tifffile with a shape in each description, or because
    # one is compressed otherwise. What has one size and type is one stack, in the order of the file.
    by_kind: dict[Any, list[tuple[int, int, Any]]] = {}
    for series in found:
        key = series.keyframe
        first = key.index
        for index in range(_count(series)):
            page = series.pages[index] if index < len(series.pages) else None
            number = first + index if page is None else page.index
            kind = (bool(key.is_reduced), key.shape, key.axes, str(key.dtype), int(key.photometric))
            by_kind.setdefault(kind, []).append((number, index, series))
    groups = []
    order = sorted(page[:2] for pages in by_kind.values() for page in pages)
    numbers = {place: count for count, place in enumerate(order)}
    for (reduced, *_), pages in by_kind.items():
        pages.sort(key=lambda page: page[:2])
        own = [numbers[number, index] for number, index, _ in pages]
        own_pages = [(series, index) for _, index, series in pages]
        groups.append(_Group(pages[0][2].keyframe, own_pages, own, reduced=reduced))
    return sorted(groups, key=lambda group: group.numbers[0])


def _count(series: tifffile.TiffPageSeries) -> int:
    return series.size // max(series.keyframe.size, 1)


def _whole(series: tifffile.TiffPageSeries, path: Path) -> _Group:
    """A series with its axes, frame by frame."""
    count = _count(series)
    if count > MOST_PAGES:
        raise unreadable(path, f"{count} pages")
    inner = len(series.keyframe.axes)
    axes, shape = series.axes[: len(series.axes) - inner], series.shape[: len(series.shape) - inner]
    order, frames = np.arange(count), 1
    if "T" in axes and int(np.prod(shape, dtype=np.int64)) == count:
        frames = shape[axes.index("T")]
        order = np.moveaxis(order.reshape(shape), axes.index("T"), 0).ravel()
    return _Group(series.keyframe, [(series, int(index)) for index in order], [], int(frames))


def _one_channel(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path, channel: str) -> _Group:
    """A channel of a series, frame by frame."""
    group = _whole(series, path)
    inner = len(series.keyframe.axes)
    axes, shape = series.axes[: len(series.axes) - inner], series.shape[: len(series.shape) - inner]
    count = shape[axes.index("C")] if "C" in axes else 1
    if count == 1 or int(np.prod(shape, dtype=np.int64)) != len(group.pages):
        choose_channel(str(path), ("",), channel)
        return group
    if "S" in series.keyframe.axes and not channel:
        return group  # images in colour, which is what channels are there
    names = channel_names_of_tiff(tif, path, count)
    chosen = choose_channel(str(path), names, channel, remedy=_SPLIT)
    of = np.moveaxis(np.arange(len(group.pages)).reshape(shape), axes.index("C"), 0)[chosen]
    wanted = set(of.ravel().tolist())
    pages = [page for page in group.pages if page[1] in wanted]
    return _Group(group.keyframe, pages, [], group.frames, channels=names, channel=chosen)


def _choose(groups: list[_Group], look: Any) -> tuple[_Group, str]:
    """The group that is the image, and why it is not the first one: a preview may come before the raw data."""
    first = groups[0]
    best = first
    for other in groups[1:]:
        if "S" in other.keyframe.axes or len(first.pages) not in (1, len(other.pages)):
            continue
        more = _rank(other.keyframe) > _rank(best.keyframe)
        if more and _same_field(best.keyframe, other.keyframe) and _same_picture(look(best), look(other)):
            best = other
    return best, "" if best is first else ", of which the first page is a preview"


def _rank(key: Any) -> tuple[bool, int, int]:
    """What is raw: grey before colour, the larger, the one with more bits."""
    bits = key.bitspersample if isinstance(key.bitspersample, int) else max(key.bitspersample)
    return "S" not in key.axes, key.imagewidth, bits


def _same_field(preview: Any, raw: Any) -> bool:
    """Whether the sizes are those of one field: the same aspect, but for a data bar that one may have."""
    ratio = (preview.imagelength / preview.imagewidth) / (raw.imagelength / raw.imagewidth)
    return 0.75 < ratio < 1.34 and preview.imagewidth <= 1.02 * raw.imagewidth


def _same_picture(preview: np.ndarray, raw: np.ndarray) -> bool:
    """Whether two images show one field, however one is scaled, drawn upon, or with a bar below it."""

    def coarse(image: np.ndarray, width: int, height: int) -> np.ndarray:
        grey = image.astype(np.float64)
        grey = grey.mean(axis=2) if grey.ndim == 3 else grey
        rows = np.linspace(0, min(height, grey.shape[0]), _COARSE + 1).astype(int)
        columns = np.linspace(0, grey.shape[1], _COARSE + 1).astype(int)
        sums = np.add.reduceat(np.add.reduceat(grey[: rows[-1]], rows[:-1], axis=0), columns[:-1], axis=1)
        return sums / np.outer(np.diff(rows), np.diff(columns))

    if min(*preview.shape[:2], *raw.shape[:2]) < _COARSE or len(np.unique(raw[::3, ::3])) < 16:
        return False
    rows = min(preview.shape[0] / preview.shape[1], raw.shape[0] / raw.shape[1])
    a = coarse(preview, preview.shape[1], int(rows * preview.shape[1]))[:-5]
    b = coarse(raw, raw.shape[1], int(rows * raw.shape[1]))[:-5]
    if a.std() == 0 or b.std() == 0:
        return False
    return bool(np.corrcoef(a.ravel(), b.ravel())[0, 1] > _ALIKE)


# --- checks ----------------------------------------------------------------------------------------------------------


def _check_group(tif: tifffile.TiffFile, group: _Group, path: Path) -> None:
    page, series = group.keyframe, group.pages[0][0]
    sizes = dict(zip(series.axes, series.shape, strict=True))
    if sizes.get("C", 1) > 1 and not group.channels and "S" not in page.axes:
        raise ImageError(
            f"{path} has {sizes['C']} channels of several kinds", expected="one grey channel, or RGB", remedy=_SPLIT
        )
    if page.axes not in ("YX", "YXS", "SYX"):
        raise ImageError(
            f"{path} has planes with axes {page.axes} and shape {page.shape}",
            expected="planes of (Y, X) or (Y, X, 3)",
            remedy="save it as an ImageJ TIFF stack",
        )
    if not 0 < page.imagewidth <= LARGEST_SIDE or not 0 < page.imagelength <= LARGEST_SIDE or page.dtype is None:
        raise unreadable(path, f"a page of {page.imagewidth} x {page.imagelength} pixels of {page.bitspersample} bits")
    what = f"{page.imagewidth} x {page.imagelength} pixels"
    check_size(path, what, page.size * page.dtype.itemsize, tif.filehandle.size)
    meta = tif.imagej_metadata or {}
    promised = meta.get("frames", 1) * meta.get("slices", 1)
    if tif.is_imagej and promised > len(group.pages):
        raise _truncated(path, f"its header promises {promised} slices, {len(group.pages)} are there")


def _truncated(path: Path, what: str) -> ImageError:
    return ImageError(
        f"{path} is truncated: {what}", expected="a complete file", remedy="copy it again from its source"
    )


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
        if len(seen) > MOST_PAGES:
            raise unreadable(path, f"more than {MOST_PAGES} pages")
        offset = _unpack(form.offsetformat, head)
    if offset:
        raise unreadable(path, "its list of pages leads back to an earlier one")


def _unpack(form: str, data: bytes) -> int:
    return struct.unpack(form, data)[0]


# --- pixels ----------------------------------------------------------------------------------------------------------


def _plane(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, index: int, path: Path) -> np.ndarray:
    keyframe = series.keyframe
    dtype = keyframe.dtype
    if series.kind != "generic" and series.dataoffset is not None and dtype is not None:
        # All slices in one block: ImageJ writes stacks above 4 GB with a single page entry.
        size = keyframe.size * dtype.itemsize
        offset = series.dataoffset + index * size
        if series.dataoffset < 8:  # where the header is
            raise _truncated(path, f"slice {index} lacks its pixels")
        if offset + size > tif.filehandle.size:
            raise _truncated(path, f"slice {index} ends beyond the end of the file")
        tif.filehandle.seek(offset)
        plane = tif.filehandle.read_array(tif.byteorder + dtype.char, keyframe.size)
        return plane.reshape(keyframe.shape)
    page = series.pages[index]
    if page is None:
        raise _truncated(path, f"slice {index} is not there")
    ends = [start + size for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    # tifffile fills missing strips with zeros, which would be read as black image.
    if ends and max(ends) > page.parent.filehandle.size:
        raise _truncated(path, f"slice {index} ends beyond the end of the file")
    parts = int(np.prod(keyframe.chunked)) if keyframe.chunked else 1
    if len(ends) < parts or not all(page.dataoffsets) or not all(page.databytecounts):
        raise _truncated(path, f"slice {index} lacks some of its {parts} strip(s) or tile(s)")
    return page.asarray()


def _decoded(plane: np.ndarray, page: tifffile.TiffPage, tif: tifffile.TiffFile) -> np.ndarray:
    """Stored values to the brightness a person sees, the same from the microscope's file and as ImageJ saves it."""
    if plane.dtype == bool:
        plane = plane.astype(np.uint8) * np.uint8(255)  # as ImageJ opens 1-bit images
    photometric = tifffile.PHOTOMETRIC(page.photometric)
    meta = (tif.imagej_metadata or {}) if tif.is_imagej else {}
    if photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None and plane.dtype.kind == "u":
        if _OWN_LABELS in str(meta.get("Info", "")):
            return plane
        stored = np.moveaxis((page.colormap >> 8).astype(np.uint8), 0, -1)
        colours = np.zeros((max(256, len(stored), int(plane.max()) + 1), 3), np.uint8)
        colours[: len(stored)] = stored
        return brightness(plane, colours)
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and plane.dtype.kind == "u":
        plane = np.iinfo(plane.dtype).max - plane if page.bitspersample in (1, 8, 16) else plane
    if plane.ndim == 3:
        # Unspecified extra samples may be other detectors: only what is marked as alpha is dropped.
        samples = plane.shape[2] - sum(sample != 0 for sample in page.extrasamples)
        if photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR) and plane.shape[2] in (3, 4):
            samples = 3
        if samples in (1, 3):
            plane = plane[..., 0] if samples == 1 else plane[..., :3]
    return plane


def _signed(plane: np.ndarray, tif: tifffile.TiffFile) -> np.ndarray:
    """Without the 32768 that ImageJ adds to signed 16-bit values, as it says by a calibration."""
    meta = (tif.imagej_metadata or {}) if tif.is_imagej and plane.dtype == np.uint16 else {}
    if (meta.get("cf"), meta.get("c0"), meta.get("c1")) != (0, -32768.0, 1.0):
        return plane
    return (plane.astype(np.uint16) ^ np.uint16(0x8000)).view(np.int16)
