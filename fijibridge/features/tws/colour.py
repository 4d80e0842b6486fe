"""TWS's features of an RGB image, or of a block of it: each filter on each colour, rounded to 8 bits, then averaged."""

from __future__ import annotations

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, ImageError
from fijibridge.core.parallel import compiled
from fijibridge.features.tws.block import WholePlanes, in_tiles, planes_of
from fijibridge.features.tws.blurring import Box
from fijibridge.features.tws.settings import TwsSettings

COLOURS = 3


class WholeColours:
    """What depends on a whole RGB image, each made once; see :class:`fijibridge.features.tws.block.WholePlanes`.

    Attributes
    ----------
    colours : tuple of WholePlanes
        Of red, green and blue.
    """

    def __init__(self) -> None:
        of_rgb = WholePlanes()
        self.colours = tuple(WholePlanes(of_rgb, colour) for colour in range(COLOURS))


def colour_features(
    rgb: np.ndarray,
    rows: slice = slice(None),
    cols: slice = slice(None),
    *,
    settings: TwsSettings,
    out: np.ndarray | None = None,
    whole: WholeColours | None = None,
) -> np.ndarray:
    """TWS 4.0's features of an RGB image, or of a block of it, under its attribute names.

    TWS filters red, green and blue, rounds each to whole numbers from 0 to 255, and gives its classifier the mean of
    the three: so what is negative is 0, and a variance above 255 is 255.

    Parameters
    ----------
    rgb : array (Y, X, 3), uint8
        Only the block and its filters' reach around it are read.
    rows, cols : slice, optional
        The block wanted, in pixels; the whole image by default.
    settings : TwsSettings
        With ``colour``.
    out : float32 array (h, w, >= F), optional
        As of :func:`fijibridge.features.tws.block.tws_features`.
    whole : WholeColours, optional
        Of the same image, where several blocks of it are made.

    Returns
    -------
    float32 array (h, w, F)
        In the order of :func:`fijibridge.features.tws.bank.feature_names`; a block holds exactly the numbers that the
        whole image has there.

    Raises
    ------
    ImageError
        If `rgb` has no pixel.
    FeatureMismatchError
        If `rgb` is no 8-bit RGB image.
    SettingsError
        As of :func:`fijibridge.features.tws.block.tws_features`.
    """
    check_colour(rgb)
    if 0 in rgb.shape:
        raise ImageError(
            f"an image of shape {tuple(rgb.shape)}", expected="at least one pixel", remedy="choose another image"
        )
    whole = whole or WholeColours()

    def fill(part: np.ndarray, box: Box) -> None:
        total = np.zeros((part.shape[2], *part.shape[:2]), np.uint16)
        for number, own in enumerate(whole.colours):
            _add_bytes(planes_of(rgb[:, :, number], box, settings, own, rgb), total)
        _put_means(total, part)

    return in_tiles((rgb.shape[0], rgb.shape[1]), rows, cols, settings, out, fill)


def check_colour(pixels: np.ndarray) -> None:
    """See that an image is what ImageJ calls RGB.

    Parameters
    ----------
    pixels : ndarray
        (Y, X) or (Y, X, 3).

    Raises
    ------
    FeatureMismatchError
        A grey image, or colours of more than 8 bits.
    """
    if pixels.ndim == 3 and pixels.shape[2] == COLOURS and pixels.dtype == np.uint8:
        return
    kind = "a grey image" if pixels.ndim == 2 else f"an image of {pixels.shape[-1]} colours of type {pixels.dtype}"
    raise FeatureMismatchError(
        f"{kind}, and features made of colours",
        expected="an 8-bit RGB image",
        remedy="convert it in Fiji (Image > Type > RGB Color), or train on grey images",
    )


@compiled
def _add_bytes(planes, total):
    """Add planes (F, h, w), each number rounded to 0 .. 255 as ImageJ rounds; NaN is 0."""
    for f in range(planes.shape[0]):
        for y in range(planes.shape[1]):
            row, sums = planes[f, y], total[f, y]
            for x in range(planes.shape[2]):
                value = row[x] + np.float32(0.5)
                if value >= 256:
                    value = np.float32(255)
                if value >= 1:
                    sums[x] += np.uint16(value)


@compiled
def _put_means(total, out):
    """Sums of three colours (F, h, w) to their means (h, w, F)."""
    count, height, width = total.shape
    for y in range(height):
        for left in range(0, width, 16):
            for f in range(count):
                row = total[f, y]
                for x in range(left, min(left + 16, width)):
                    out[y, x, f] = row[x] / 3.0
