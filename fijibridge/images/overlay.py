"""An image with its labels in colour over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.atomic_output import output_file
from fijibridge.core.errors import LabelsError, OutputError
from fijibridge.images.image import Image, scale_percentiles
from fijibridge.images.palette import class_colors_or_default

if TYPE_CHECKING:
    from PIL import Image as pillow


_WIDEST_OVERLAY = 4096


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
        picture.save(part, format="PNG", compress_level=2)  # a third of the time, and no larger
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
