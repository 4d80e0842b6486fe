"""Images out: label images, probabilities and overlays that Fiji and a person can open."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from fijibridge.errors import LabelsError, OutputError, SettingsError
from fijibridge.images import Image, scale_percentiles
from fijibridge.output import output_file

if TYPE_CHECKING:
    from PIL import Image as pillow

    from fijibridge.metadata import PixelSize

# Okabe and Ito's palette (jfly.uni-koeln.de/color), which most colour-blind people can tell apart; no black or white.
DEFAULT_COLORS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip

# An ImageJ TIFF has 32-bit offsets; the margin is for the page entries, as in tifffile.
LARGEST_TIFF = 2**32 - 2**25
_WIDEST_OVERLAY = 4096


def class_colors_or_default(class_names: Sequence[str], class_colors: Sequence[Any] | None) -> np.ndarray:
    """Colours of the classes.

    Parameters
    ----------
    class_names : sequence of str
        Names of the classes 1, 2, ...
    class_colors : sequence, optional
        One colour a class, (r, g, b) in 0..255 or ``"#rrggbb"``; None for `DEFAULT_COLORS`, repeated as needed.

    Returns
    -------
    np.ndarray
        (classes, 3) uint8.

    Raises
    ------
    SettingsError
        Another number of colours than of names, or not a colour.
    """
    if class_colors is None:
        class_colors = [DEFAULT_COLORS[index % len(DEFAULT_COLORS)] for index in range(len(class_names))]
    if len(class_colors) != len(class_names):
        raise SettingsError(
            f"{len(class_colors)} colours for {len(class_names)} classes",
            expected="one colour a class",
            remedy="give as many colours as class names, or none for the default colours",
        )
    return np.array([_color(color) for color in class_colors], np.uint8).reshape(-1, 3)


def _color(color: Any) -> tuple[int, ...]:
    try:
        channels = tuple(bytes.fromhex(color.lstrip("#"))) if isinstance(color, str) else tuple(int(c) for c in color)
    except (TypeError, ValueError):
        channels = ()
    if len(channels) != 3 or not all(0 <= channel <= 255 for channel in channels):
        raise SettingsError(
            f"class colour {color!r}",
            expected='(r, g, b) of 0 to 255, or "#rrggbb"',
            remedy="for example (230, 159, 0)",
        )
    return channels


# --- stacks for ImageJ -----------------------------------------------------------------------------------------------


def write_labels(
    path: str | Path,
    slices: np.ndarray | Iterable[np.ndarray],
    *,
    pixel_size: PixelSize | None = None,
    class_names: Sequence[str],
    class_colors: Sequence[Any] | None = None,
    count: int | None = None,
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

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        No such folder, another ending, more than 4 GiB, or another number of slices than said.
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
        path, checked(), (number, *shape), np.uint8, "ZYX", pixel_size, colormap=lut, metadata={"Info": names}
    )


def write_probabilities(
    path: str | Path,
    slices: np.ndarray | Iterable[np.ndarray],
    *,
    pixel_size: PixelSize | None = None,
    class_names: Sequence[str],
    count: int | None = None,
) -> Path:
    """Write class probabilities as a 32-bit ImageJ TIFF with the class names as slice labels.

    Parameters
    ----------
    path : str or Path
        As for `write_labels`.
    slices : np.ndarray or iterable of np.ndarray
        (Y, X, classes) gives one slice a class; (Z, Y, X, classes) or an iterable of (Y, X, classes) gives a hyperstack
        with classes as channels. An iterable is written as it comes. An iterable with `count` 1 is a single image.
    pixel_size, count
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
    full = (len(class_names), *shape[:2]) if single else (number, len(class_names), *shape[:2])
    return write_imagej(
        path, by_class, full, np.float32, "ZYX" if single else "ZCYX", pixel_size,
        metadata={"Labels": labels, "min": 0.0, "max": 1.0, "mode": "grayscale"},
    )  # fmt: skip


def _as_planes(
    slices: np.ndarray | Iterable[np.ndarray], count: int | None, *, ndim: int
) -> tuple[Iterator[np.ndarray], int, tuple[int, ...]]:
    """Slices as (iterator that checks shape and number, number, shape of one)."""
    if isinstance(slices, np.ndarray) and slices.ndim == ndim:
        slices = slices[np.newaxis]
    number = count if count is not None else len(slices) if hasattr(slices, "__len__") else None
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
        done, plane = 0, first
        while plane is not None:
            done += 1
            if np.shape(plane) != shape or done > number:
                raise OutputError(
                    f"slice {done} of shape {np.shape(plane)}",
                    expected=f"{number} slice(s) of {shape}",
                    remedy="give slices of one shape, and their right number",
                )
            yield np.asarray(plane)
            plane = next(iterator, None)
        if done < number:
            raise OutputError(f"{done} slice(s)", expected=f"{number}", remedy="give the right number of slices")

    return checked(), number, shape


def write_imagej(
    path: str | Path, planes: Iterator[np.ndarray], shape: tuple[int, ...], dtype: type, axes: str,
    pixel_size: PixelSize | None, *, metadata: dict[str, Any], colormap: np.ndarray | None = None,
) -> Path:  # fmt: skip
    """Write planes, as they come, into an ImageJ TIFF of less than 4 GiB; it appears when it is complete."""
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"output {path}", expected="a name ending in .tif", remedy="give it that ending")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > LARGEST_TIFF:
        raise OutputError(
            f"{path} would take {size / 2**30:.1f} GiB",
            expected="less than 4 GiB, the limit of an ImageJ TIFF",
            remedy="write fewer slices a file, or write labels without probabilities",
        )
    metadata = {"axes": axes, **metadata}
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
            metadata=metadata,
        )  # fmt: skip
        for _ in planes:  # tifffile stops at the number it was told; what is left over is refused by the generator
            pass
    return path


# --- pictures for people ---------------------------------------------------------------------------------------------


def write_overlay(
    path: str | Path,
    image: Image,
    labels: np.ndarray,
    class_names: Sequence[str],
    class_colors: Sequence[Any] | None = None,
) -> Path:
    """Write a PNG to look at: the grey image, translucent class colours, thin boundaries and a legend below.

    Parameters
    ----------
    path : str or Path
        Ends in .png; an existing file is replaced.
    image : Image
        Shown between its percentiles 0.5 and 99.5.
    labels : np.ndarray
        (Y, X) integers as in `write_labels`; unlabelled pixels stay grey.
    class_names : sequence of str
        For the legend.
    class_colors : sequence, optional
        See `class_colors_or_default`.

    Returns
    -------
    Path
        The file; an image wider than 4096 pixels is reduced by a whole number.

    Raises
    ------
    OutputError
        No such folder, or another ending.
    LabelsError
        Labels of another size than the image, or a value that is not a class.
    SettingsError
        Colours that do not fit the classes.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OutputError(f"output {path}", expected="a name ending in .png", remedy="give it that ending")
    colors = class_colors_or_default(class_names, class_colors)
    labels = np.asarray(labels)
    if labels.shape != image.shape or labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() > len(colors):
        raise LabelsError(
            f"labels of shape {labels.shape} ({labels.dtype}) on an image of {image.shape}",
            expected=f"integers from 0 to {len(colors)} in the image's shape",
            remedy="pass the labels of this image and all class names",
        )
    grey = scale_percentiles(image.grey, databar_rows=image.databar_rows)
    step = -(-image.shape[1] // _WIDEST_OVERLAY)
    if step > 1:
        rows, columns = (max(size // step, 1) * step for size in image.shape)
        labels = labels[:rows:step, :columns:step]
        blocks = grey[:rows, :columns]
        # An image that is wide but only a few rows high has no whole block of rows.
        blocks = np.pad(blocks, ((0, rows - blocks.shape[0]), (0, 0)), mode="edge")
        grey = blocks.reshape(rows // step, step, columns // step, step).mean(axis=(1, 3))
    picture = _picture(_coloured(grey, labels, colors), class_names, colors)
    with output_file(path) as part:
        picture.save(part, format="PNG")
    return path


def _coloured(grey: np.ndarray, labels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """(Y, X, 3) uint8: a third of the class colour over the grey, the full colour along boundaries."""
    of_label = np.concatenate([np.zeros((1, 3), np.uint8), colors])[labels].astype(np.float32)
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    opacity = np.where(labels == 0, 0.0, np.where(edge, 1.0, 0.35)).astype(np.float32)[..., np.newaxis]
    mixed = grey[..., np.newaxis] * 255 * (1 - opacity) + of_label * opacity
    return np.rint(mixed).astype(np.uint8)


def _picture(pixels: np.ndarray, class_names: Sequence[str], colors: np.ndarray) -> pillow.Image:
    """The coloured image with a legend strip below, its lines wrapped to the image's width."""
    from PIL import Image as pillow
    from PIL import ImageDraw, ImageFont

    height, width = pixels.shape[:2]
    size = int(min(max(width / 45, 11), 48))
    try:
        font = ImageFont.load_default(size)
    except (TypeError, OSError, ImportError):  # Pillow before 10.1, or built without FreeType
        font = ImageFont.load_default()
    places, x, y = [], size // 2, size // 2
    for class_name in class_names:
        needed = size + size // 2 + int(font.getlength(class_name)) + size
        if x > size and x + needed > width:
            x, y = size // 2, y + size + size // 2
        places.append((x, y))
        x += needed
    canvas = pillow.new("RGB", (width, height + y + size + size // 2), (255, 255, 255))
    canvas.paste(pillow.fromarray(pixels), (0, 0))
    draw = ImageDraw.Draw(canvas)
    # Only scalable fonts can centre a text vertically.
    anchor = "lm" if isinstance(font, ImageFont.FreeTypeFont) else "la"
    for (x, y), class_name, color in zip(places, class_names, colors, strict=True):
        box = (x, height + y, x + size, height + y + size)
        draw.rectangle(box, fill=tuple(int(channel) for channel in color), outline=(0, 0, 0))
        at = (box[2] + size // 2, box[1] + (size / 2 if anchor == "lm" else 0))
        draw.text(at, class_name, fill=(0, 0, 0), font=font, anchor=anchor)
    return canvas
