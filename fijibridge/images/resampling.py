"""An image brought onto the pixels of another of the same field."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.images.pixel_size import METRES

if TYPE_CHECKING:
    from fijibridge.images.image import Image
    from fijibridge.images.pixel_size import PixelSize

_SAME_FIELD = 0.02  # share by which height and width of two images of one field may differ, rounding of a pixel besides

_SAME_SIZE = 0.02  # and by which pixels of one size may


def resampled(image: Image, first: Image) -> tuple[Image, str] | None:
    """An image of other pixel size, resampled to the pixels of the first one, which shows the same field.

    Linear interpolation, after a Gaussian blur where pixels become larger.

    Parameters
    ----------
    image, first : Image
        Both with their pixel sizes.

    Returns
    -------
    (Image, str) or None
        With the first one's shape and data bar (whose rows are 0), and what was done in words; None where the pixel
        sizes do not tell that both show one field.
    """
    from skimage.transform import resize

    own, wanted = image.pixel_size, first.pixel_size
    if own is None or wanted is None or {own.unit, wanted.unit} - set(METRES):
        return None
    of_image, of_first = _sides(image, own), _sides(first, wanted)
    pixels = [METRES[size.unit] * max(size.y, size.x) for size in (own, wanted)]
    if abs(pixels[0] - pixels[1]) < _SAME_SIZE * pixels[1]:  # rows or columns are missing
        return None
    if any(abs(a - b) > _SAME_FIELD * b + max(pixels) for a, b in zip(of_image, of_first, strict=True)):
        return None
    field = image.data[image.field]
    rows = first.field.stop
    shape = (rows, first.shape[1], *field.shape[2:])
    shrinks = shape[0] < field.shape[0]
    found = resize(field.astype(np.float64), shape, order=1, mode="edge", anti_aliasing=shrinks, preserve_range=True)
    if field.dtype.kind in "iu":
        found = np.rint(found)
    data = np.zeros((*first.shape, *field.shape[2:]), field.dtype)
    data[:rows] = found
    told = f"pixels of {own.x:g} {own.unit} resampled to {wanted.x:g} {wanted.unit}"
    return replace(image, data=data, pixel_size=wanted, databar_rows=first.databar_rows), told


def _sides(image: Image, size: PixelSize) -> tuple[float, float]:
    """Height and width of an image without its data bar, in metres."""
    metre = METRES[size.unit]
    return image.field.stop * size.y * metre, image.shape[1] * size.x * metre
