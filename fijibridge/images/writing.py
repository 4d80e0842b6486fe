"""Images out: label images, probabilities and overlays that Fiji and a person can open."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import LabelsError, OutputError, SettingsError
from fijibridge.images.palette import class_colors_or_default

if TYPE_CHECKING:
    from fijibridge.images.pixel_size import PixelSize


# An ImageJ TIFF has 32-bit offsets; the margin is for the page entries, as in tifffile.
LARGEST_TIFF = 2**32 - 2**25


# --- stacks for ImageJ -----------------------------------------------------------------------------------------------


def write_labels(
    path: str | Path,
    slices: np.ndarray | Iterable[np.ndarray],
    *,
    pixel_size: PixelSize | None = None,
    class_names: Sequence[str],
    class_colors: Sequence[Any] | None = None,
    count: int | None = None,
    frames: int = 1,
) -> Path:
    """Write a label image, or a stack of them, as an ImageJ TIFF with the classes' colours as look-up table.

    Parameters
    ----------
    path : str or Path
        Ends in .tif or .tiff; an existing file is replaced once the new one is complete.
    slices : np.ndarray or iterable of np.ndarray
        (Y, X), (Z, Y, X), or an iterable of (Y, X): 0 = unlabelled (black), k = ``class_names[k - 1]``. An iterable is
        written as it comes: never more than a slice is held.
    pixel_size : PixelSize, optional
        Written with its unit; `z` as the slice distance.
    class_names : sequence of str
        Kept in the image's info (Image > Show Info... in ImageJ).
    class_colors : sequence, optional
        See `class_colors_or_default`.
    count : int, optional
        Number of slices; needed for an iterator without a length.
    frames : int
        Points in time among the slices, which come frame by frame.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        No such folder, another ending, or another number of slices than said.
    LabelsError
        A value that is not a class.
    SettingsError
        Colours that do not fit the classes, or an iterator without `count`.
    """
    colors = class_colors_or_default(class_names, class_colors)
    planes, number, shape = _as_planes(slices, count, ndim=2)
    lut = np.zeros((3, 256), np.uint16)
    lut[:, 1 : len(colors) + 1] = colors.T.astype(np.uint16) * 257  # TIFF palettes have 16 bits

    def checked() -> Iterator[np.ndarray]:
        for plane in planes:
            if plane.dtype.kind not in "ui" or plane.min() < 0 or plane.max() > len(class_names):
                raise LabelsError(
                    f"label values {plane.min()} to {plane.max()} ({plane.dtype}) to be written to {path}",
                    expected=f"integers from 0 (unlabelled) to {len(class_names)}, one for each class name",
                    remedy="give all class names",
                )
            yield plane.astype(np.uint8)

    names = "\n".join(f"{value} = {name}" for value, name in enumerate(("unlabelled", *class_names)))
    return write_imagej(
        path,
        checked(),
        (frames, number // frames, *shape),
        np.uint8,
        "TZYX",
        pixel_size,
        colormap=lut,
        metadata={"Info": names},
    )


def write_probabilities(
    path: str | Path,
    slices: np.ndarray | Iterable[np.ndarray],
    *,
    pixel_size: PixelSize | None = None,
    class_names: Sequence[str],
    count: int | None = None,
    frames: int = 1,
) -> Path:
    """Write class probabilities as a 32-bit ImageJ TIFF with the class names as slice labels.

    Parameters
    ----------
    path : str or Path
        As for `write_labels`.
    slices : np.ndarray or iterable of np.ndarray
        (Y, X, classes) gives one slice a class; (Z, Y, X, classes) or an iterable of (Y, X, classes) gives a hyperstack
        with classes as channels. An iterable is written as it comes. An iterable with `count` 1 is a single image.
    pixel_size, count, frames
        As for `write_labels`.
    class_names : sequence of str
        One for each probability.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError, SettingsError
        As for `write_labels`; OutputError also where the last axis is not one probability a class.
    """
    planes, number, shape = _as_planes(slices, count, ndim=3)
    if shape[2] != len(class_names):
        raise OutputError(
            f"{shape[2]} probabilities a pixel for {len(class_names)} classes",
            expected="slices of (Y, X, classes)",
            remedy="move the classes to the last axis, and give all class names",
        )
    single = number == 1
    labels = [name if single else f"{name}, slice {z + 1}" for z in range(number) for name in class_names]
    by_class = (plane[..., k].astype(np.float32) for plane in planes for k in range(len(class_names)))
    stack = (frames, number // frames, len(class_names), *shape[:2])
    full = (len(class_names), *shape[:2]) if single else stack
    return write_imagej(
        path, by_class, full, np.float32, "ZYX" if single else "TZCYX", pixel_size,
        metadata={"Labels": labels, "min": 0.0, "max": 1.0, "mode": "grayscale"},
    )  # fmt: skip


def _as_planes(
    slices: np.ndarray | Iterable[np.ndarray], count: int | None, *, ndim: int
) -> tuple[Iterator[np.ndarray], int, tuple[int, ...]]:
    """Slices as (iterator that checks shape and number, number, shape of one)."""
    if isinstance(slices, np.ndarray) and slices.ndim == ndim:
        slices = slices[np.newaxis]
    number = count if count is not None else len(slices) if isinstance(slices, Sized) else None
    if number is None:
        raise SettingsError(
            "an iterator of slices without their number", expected="count=...", remedy="pass count, or a list"
        )
    iterator = iter(slices)
    first = next(iterator, None)
    if first is None or np.ndim(first) != ndim or np.size(first) == 0:
        found = "no slices" if first is None else f"a slice of shape {np.shape(first)}"
        raise OutputError(found, expected=f"slices with {ndim} axes", remedy="pass at least one slice of that kind")
    shape = np.shape(first)

    def checked() -> Iterator[np.ndarray]:
        done = 0
        for done, plane in enumerate(chain([first], iterator), start=1):
            if np.shape(plane) != shape or done > number:
                raise OutputError(
                    f"slice {done} of shape {np.shape(plane)}",
                    expected=f"{number} slice(s) of {shape}",
                    remedy="give slices of one shape, and their right number",
                )
            yield np.asarray(plane)
        if done < number:
            raise OutputError(f"{done} slice(s)", expected=f"{number}", remedy="give the right number of slices")

    return checked(), number, shape


def write_imagej(
    path: str | Path, planes: Iterator[np.ndarray], shape: tuple[int, ...], dtype: type, axes: str,
    pixel_size: PixelSize | None, *, metadata: dict[str, Any], colormap: np.ndarray | None = None,
) -> Path:  # fmt: skip
    """Write planes, as they come, into an ImageJ TIFF; it appears when it is complete.

    Parameters
    ----------
    path : path
        Ends in .tif or .tiff.
    planes : iterator of np.ndarray
        (Y, X), as many as `shape` has.
    shape : tuple of int
        Of the whole, (Y, X) last.
    dtype : type
        Of the pixels.
    axes : str
        A letter for each axis of `shape`, such as ``"ZCYX"``.
    pixel_size : PixelSize or None
        Written with its unit; `z` as the slice distance.
    metadata : dict
        What tifffile writes into the description of an ImageJ TIFF.
    colormap : np.ndarray, optional
        (3, 256) uint16 look-up table.

    Raises
    ------
    OutputError
        Another ending, an image of 4 GiB and more, or a place that cannot be written.

    Notes
    -----
    A stack of 4 GiB and more is written as ImageJ itself does: one page, behind which the slices follow one another,
    and their number in the description. ImageJ, Fiji and tifffile read it; other programs see its first slice alone.
    """
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"output {path}", expected="a name ending in .tif", remedy="give it that ending")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    plane = math.prod(shape[-2:]) * np.dtype(dtype).itemsize
    if plane > LARGEST_TIFF:
        raise OutputError(
            f"{path}, a slice of {plane / 2**30:.1f} GiB",
            expected="less than 4 GiB, the limit of an ImageJ TIFF",
            remedy="segment a field of it (--roi), or write NAME.zarr",
        )
    # All of ImageJ's axes: with fewer, tifffile takes one that is 1 pixel long for another.
    sizes = dict(zip(axes, shape, strict=True))
    shape = tuple(sizes.get(axis, 1) for axis in "TZCYXS")
    metadata = {"axes": "TZCYXS", **metadata}
    resolution = None
    if pixel_size is not None:
        resolution = (1 / pixel_size.x, 1 / pixel_size.y)
        # The description is ASCII; ImageJ writes and reads other characters as Java escapes.
        metadata["unit"] = "".join(c if c.isascii() else f"\\u{ord(c):04X}" for c in pixel_size.unit)
        if pixel_size.z is not None:
            metadata["spacing"] = pixel_size.z
    with output_file(path) as part:
        tifffile.imwrite(
            part, planes, shape=shape, dtype=dtype, imagej=True, resolution=resolution, colormap=colormap,
            metadata=metadata, truncate=size > LARGEST_TIFF,
        )  # fmt: skip
        for _ in planes:  # tifffile stops at the number in `shape`; the generator refuses what is left over
            pass
    return path


# --- pictures for people ---------------------------------------------------------------------------------------------
