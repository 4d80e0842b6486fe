"""Images in: micrographs and stacks from files and arrays, checked once, with pixel size and data bar."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.images.around import Surroundings
from fijibridge.images.databar import find_databar, look_for_databar
from fijibridge.images.pixel_size import PixelSize
from fijibridge.images.reading import Planes, open_planes

__all__ = [
    "Channel", "Image", "PixelSize", "count_frames", "count_slices", "find_databar", "image_from_array",
    "percentile_limits", "read_image", "read_slices", "read_stored", "scale_between", "scale_percentiles",
]  # fmt: skip

log = logging.getLogger(__name__)

_KEPT_DTYPES = (np.uint8, np.uint16, np.float32)
# Rounding to float32 is told where it is more than this share of the values' range: less than a step of 12 bits.
_LOST = 1e-4


@dataclass(frozen=True, eq=False)
class Channel:
    """The image of the same field by another detector.

    Parameters
    ----------
    name : str
        Of the detector.
    data : np.ndarray
        As `Image.data`, of the image's height and width, pixel on pixel.
    shift : (float, float) or None
        Rows and columns by which it was displaced downwards and to the right before it was moved onto the image; None
        where no displacement was looked for, or none could be found.
    """

    name: str
    data: np.ndarray
    shift: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Image:
    """One 2D image, by one detector or several.

    Parameters
    ----------
    data : np.ndarray
        (Y, X) or (Y, X, 3); uint8, uint16 or float32; C-contiguous.
    name : str
        File stem, for messages and output names.
    pixel_size : PixelSize, optional
        None if not known.
    databar_rows : int
        Rows at the bottom that are the microscope's data bar: never features, never labelled in a result.
    path : Path, optional
        Where it came from.
    detector : str
        Which detector took it, such as BSE; empty if not known.
    others : tuple of Channel
        Images of the same field by other detectors, see :func:`fijibridge.images.detectors.join_detectors`.
    databar_found : str
        How the data bar was found, or looked for in vain: by whom, and how sure.
    notes : tuple of str
        What a person should know of the reading, such as pages that were left out: for the report.
    around : Surroundings, optional
        The stack that it is a slice of, where features need it.
    """

    data: np.ndarray
    name: str
    pixel_size: PixelSize | None = None
    databar_rows: int = 0
    path: Path | None = None
    detector: str = ""
    others: tuple[Channel, ...] = ()
    databar_found: str = ""
    notes: tuple[str, ...] = ()
    around: Surroundings | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X), data bar included."""
        return self.data.shape[0], self.data.shape[1]

    @property
    def grey(self) -> np.ndarray:
        """(Y, X) float32 in the image's own units; of RGB the unweighted mean of the channels, ImageJ's default."""
        if self.data.ndim == 2:
            return self.data.astype(np.float32)
        # Summed in float64, so that three equal channels give exactly that channel.
        return self.data.mean(axis=2, dtype=np.float64).astype(np.float32)

    @property
    def field(self) -> slice:
        """Rows without the data bar."""
        return slice(0, self.shape[0] - self.databar_rows)

    @property
    def by_detector(self) -> dict[str, Image]:
        """Detector -> the image that it took, in order."""
        own = {self.detector: replace(self, others=())}
        for one in self.others:
            around = self.around and self.around.of(one.name)
            own[one.name] = replace(self, data=one.data, detector=one.name, others=(), around=around)
        return own


# --- from files ------------------------------------------------------------------------------------------------------


def read_image(path: str | Path, *, databar: str | int = "auto", page: int | None = None, channel: str = "") -> Image:
    """Read one image, or one slice of a stack.

    Parameters
    ----------
    path : str or Path
        TIFF, PNG, OME-Zarr, HDF5, MRC, ...; a folder of slices. ``FILE.h5/volume/data`` is a dataset in a file,
        ``STACK.tif/BSE`` a channel, ``FOLDER/s_*.tif`` those slices of a folder.
    databar : str or int
        Rows of the data bar at the bottom: a number, or ``"auto"`` to take them from the microscope's metadata, else
        from the pixels (`find_databar`).
    page : int, optional
        Page of the file, from 0; by default the first slice of the stack that its pages make, which need not be page 0:
        a preview may come before the raw data.
    channel : str
        Of a file with several channels: the name of one, or its number from 1.

    Returns
    -------
    Image
        uint8, uint16 and float32 as stored; other types as float32. Alpha is dropped. Palettes are applied, except a
        colour map such as ImageJ's Fire, which only shows values; what ImageJ adds to negative values is taken off.

    Raises
    ------
    ImageNotFoundError
        No such file.
    ImageError
        Unreadable, truncated, empty, not finite, or not a grey or RGB image; no such page; a bar of the full height;
        several channels, datasets or images, and none chosen.
    SettingsError
        `databar` is neither ``"auto"`` nor a number of rows.
    """
    wanted = _databar_setting(databar)
    with _opened(path, page, channel) as source:
        image = _image(source, 0, wanted)
        if source.count > 1:
            image = replace(image, notes=(*image.notes, f"slice 1 of {source.count} was read alone"))
        for note in image.notes:
            log.warning("%s: %s", path, note)
        return image


def reading_notes(path: str | Path, *, channel: str = "") -> list[str]:
    """What a person should know of how a file is read, such as pages that are left out.

    Parameters
    ----------
    path, channel
        As for `read_image`, with the same errors for a file that cannot be read.
    """
    with open_planes(path, channel=channel) as source:
        return list(source.notes)


@contextmanager
def _opened(path: str | Path, page: int | None, channel: str) -> Iterator[Planes]:
    """A file's stack, or a page of it alone."""
    with open_planes(path, channel=channel) as source:
        yield source if page is None else source.only(page)


def count_slices(path: str | Path, *, page: int | None = None, channel: str = "") -> int:
    """Count the 2D slices of a file; an RGB slice counts once.

    Parameters
    ----------
    path, page, channel
        As for `read_image`, with the same errors for a file that cannot be read. A page alone is one slice.

    Returns
    -------
    int
        Pages of a TIFF; slices times frames of an ImageJ stack; 1 for a single image.
    """
    with _opened(path, page, channel) as source:
        if source.left_out:
            log.warning("%s: %s", path, source.notes[0])
        return source.count


def count_frames(path: str | Path, *, page: int | None = None, channel: str = "") -> int:
    """Count the points in time of a stack, whose slices come frame by frame.

    Parameters
    ----------
    path, page, channel
        As for `count_slices`.

    Returns
    -------
    int
        1 where time is no axis; the number of slices (`count_slices`) is a multiple of it.
    """
    with _opened(path, page, channel) as source:
        return source.frames


def read_slices(
    path: str | Path,
    *,
    databar: str | int = "auto",
    pages: Sequence[int] | None = None,
    page: int | None = None,
    channel: str = "",
) -> Iterator[Image]:
    """Read the slices of a stack one at a time, so that a stack larger than memory works.

    Parameters
    ----------
    path, databar
        As for `read_image`. ``"auto"`` looks at the first slice and keeps its answer for the others.
    pages : sequence of int, optional
        Slices of the stack to read, from 0; all if left out.
    page : int, optional
        As for `read_image`: this page of the file alone is the stack.
    channel : str
        As for `read_image`.

    Yields
    ------
    Image
        In the order of the file; the name of each is the file's stem.

    Raises
    ------
    ImageNotFoundError, ImageError, SettingsError
        As for `read_image`.
    """
    wanted, found = _databar_setting(databar), ""
    with _opened(path, page, channel) as source:
        if wanted is None and pages is not None and 0 not in pages[:1]:
            with suppress(ImageError):  # a bad first slice: the first of the others tells
                first = _image(source, 0, None)
                wanted, found = first.databar_rows, first.databar_found
        for index in range(source.count) if pages is None else pages:
            image = _image(source, index, wanted)
            wanted, found = image.databar_rows, found or image.databar_found
            yield replace(image, databar_found=found)


def read_stored(path: str | Path, *, page: int | None = None, index: int = 0, channel: str = "") -> np.ndarray:
    """Read one plane with the values the file stores: palette images as indices, no conversion (for label images).

    Parameters
    ----------
    path, page, channel
        As for `read_image`, with the same errors.
    index : int
        Slice of a stack, from 0.

    Returns
    -------
    np.ndarray
        (Y, X) or (Y, X, S), the file's dtype.
    """
    with _opened(path, page, channel) as source:
        return source.plane(index, raw=True)


def _image(source: Planes, index: int, databar: int | None) -> Image:
    """Plane `index` as an Image; `databar` None looks for the bar."""
    plane = source.plane(index, raw=False)
    data = _checked(plane, str(source.path), from_file=True)
    notes = source.notes + _rounding(plane, data)
    rows, found = (databar, "as asked for") if databar is not None else (source.databar(data.shape[:2]), "metadata")
    if rows is None:
        bar = look_for_databar(data)
        rows, found = bar.rows, str(bar)
    if rows:
        log.info("%s: the %d rows at the bottom are taken as data bar (%s)", source.path, rows, found)
    _check_databar(rows, data.shape[0], str(source.path))
    return Image(data, source.name, source.pixel_size, rows, source.path, databar_found=found, notes=notes)


# --- from arrays -----------------------------------------------------------------------------------------------------


def image_from_array(
    array: Any, *, name: str = "array", pixel_size: PixelSize | None = None, databar: str | int = 0
) -> Image:
    """Make an `Image` of an array.

    Parameters
    ----------
    array : array_like
        (Y, X) or (Y, X, 3), integers or floats; uint8, uint16 and float32 are kept, others become float32.
    name : str
        For messages and output names.
    pixel_size : PixelSize, optional
        None if not known.
    databar : str or int
        Rows of the data bar, or ``"auto"`` to look for it.

    Returns
    -------
    Image

    Raises
    ------
    ImageError
        Empty, NaN or infinite, another number of axes or channels, or not numbers.
    SettingsError
        `databar` is neither ``"auto"`` nor a number of rows.
    """
    wanted = _databar_setting(databar)
    data = _checked(np.asarray(array), f"array {name!r}", from_file=False)
    bar = look_for_databar(data) if wanted is None else None
    rows = bar.rows if bar else wanted or 0
    _check_databar(rows, data.shape[0], f"array {name!r}")
    found = str(bar) if bar else "as asked for"
    notes = _rounding(np.asarray(array), data)
    return Image(data, name, pixel_size, rows, databar_found=found, notes=notes)


def _checked(data: np.ndarray, what: str, *, from_file: bool) -> np.ndarray:
    """Check axes, dtype and values; convert to one of the kept dtypes, native byte order, C-contiguous."""
    if data.dtype.kind not in "uif":
        raise ImageError(
            f"{what} of dtype {data.dtype}",
            expected="integers or floats",
            remedy="take the magnitude of complex data; turn a mask into 0 and 255 (uint8)",
        )
    if data.ndim != 2 and (data.ndim != 3 or data.shape[2] != 3):
        raise ImageError(
            f"{what} of shape {data.shape}",
            expected="(Y, X) or (Y, X, 3)",
            remedy="save it as grey or RGB" if from_file else "pass one slice of a stack, or one channel",
        )
    if data.size == 0:
        raise ImageError(
            f"{what} of shape {data.shape} has no pixels", expected="at least one pixel", remedy="check the crop"
        )
    native = data.dtype.newbyteorder("=")
    target = native if native.type in _KEPT_DTYPES else np.dtype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes inf, which is refused below
        result = np.ascontiguousarray(data, dtype=target)
    if target.kind == "f":
        bad = int(result.size - np.count_nonzero(np.isfinite(result)))
        if bad:
            raise ImageError(
                f"{what} has {bad} value(s) that are NaN, infinite or beyond float32",
                expected="finite numbers",
                remedy="replace them, in ImageJ with Process > Math > NaN Background or Macro, or crop the image",
            )
    for note in _rounding(data, result):
        log.warning("%s: %s", what, note)
    return result


def _rounding(data: np.ndarray, kept: np.ndarray) -> tuple[str, ...]:
    """What is lost where values are rounded to float32, in words; nothing where that does not matter."""
    if data.dtype.kind in "ui" and data.dtype.itemsize > 2 and max(int(data.max()), -int(data.min())) > 2**24:
        return (f"{data.dtype} values above 2^24 are rounded to float32",)
    if data.dtype.kind == "f" and data.dtype.itemsize > 4:
        spread = float(data.max()) - float(data.min())
        lost = float(np.abs(kept.astype(np.float64) - data).max())
        if lost > _LOST * spread:
            return (
                f"{data.dtype} values from {data.min():.17g} to {data.max():.17g} are rounded to float32 by up to "
                f"{lost:.3g}: subtract their offset first, in ImageJ with Process > Math > Subtract...",
            )
    return ()


def _databar_setting(databar: str | int) -> int | None:
    """Rows, or None for "auto"."""
    if databar == "auto":
        return None
    if isinstance(databar, str) and databar.isascii() and databar.isdigit():
        return int(databar)
    if isinstance(databar, (int, np.integer)) and not isinstance(databar, bool) and databar >= 0:
        return int(databar)
    raise SettingsError(
        f"databar = {databar!r}",
        expected='"auto", or the number of rows (0: no data bar)',
        remedy="count the rows of the bar below the image, or leave it to auto",
    )


def _check_databar(rows: int, height: int, what: str) -> None:
    if rows >= height:
        raise ImageError(
            f"a data bar of {rows} rows in {what}, which has {height}",
            expected="a bar lower than the image",
            remedy="give the rows of the bar alone, or 0 for none",
        )


def grey_range(image: Image | np.ndarray) -> tuple[float, float]:
    """Darkest and brightest grey of an image, without its data bar.

    Parameters
    ----------
    image : Image or np.ndarray
        (Y, X) or (Y, X, 3), as `image_from_array` takes it.
    """
    image = image if isinstance(image, Image) else image_from_array(image)
    grey = image.grey[image.field]
    return float(grey.min()), float(grey.max())


def scale_percentiles(grey: np.ndarray, low: float = 0.5, high: float = 99.5, *, databar_rows: int = 0) -> np.ndarray:
    """Scale an image to 0..1 between two percentiles, from all its bits.

    Parameters
    ----------
    grey : np.ndarray
        (Y, X) or (Y, X, 3), any real dtype.
    low, high : float
        Percentiles that become 0 and 1, in percent; what lies beyond is clipped.
    databar_rows : int
        Rows at the bottom that do not count for the percentiles (they are scaled all the same).

    Returns
    -------
    np.ndarray
        The input's shape, float32, in [0, 1]; zeros for a constant image.

    Raises
    ------
    SettingsError
        Not 0 <= low < high <= 100.
    """
    return scale_between(grey, *percentile_limits(grey[: grey.shape[0] - databar_rows], low, high))


def percentile_limits(grey: np.ndarray, low: float = 0.5, high: float = 99.5) -> tuple[float, float]:
    """Grey values at two percentiles; the least and the greatest where nearly all pixels are equal.

    Parameters
    ----------
    grey : np.ndarray
        Of any shape, any real dtype.
    low, high : float
        In percent.

    Raises
    ------
    SettingsError
        Not 0 <= low < high <= 100.
    """
    if not 0 <= low < high <= 100:
        raise SettingsError(
            f"percentiles {low} and {high}", expected="0 <= low < high <= 100", remedy="for example 0.5 and 99.5"
        )
    dark, bright = (float(value) for value in np.percentile(grey, (low, high)))
    if bright <= dark:  # nearly all pixels are equal: the few others still count
        dark, bright = float(grey.min()), float(grey.max())
    return dark, bright


def scale_between(grey: np.ndarray, dark: float, bright: float) -> np.ndarray:
    """Scale an image so that two grey values become 0 and 1; what lies beyond is clipped.

    Parameters
    ----------
    grey : np.ndarray
        Of any shape, any real dtype.
    dark, bright : float

    Returns
    -------
    np.ndarray
        float32, in [0, 1]; zeros where the two are equal.
    """
    if bright <= dark:
        return np.zeros(grey.shape, np.float32)
    # In float64 inside, so that 32-bit values far from 0 keep their differences.
    scaled = (grey.astype(np.float64) - dark) / (bright - dark)
    return np.clip(scaled, 0, 1).astype(np.float32)
