"""Greys of an image mapped onto those that a classifier was trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param

if TYPE_CHECKING:
    from fijibridge.images.image import Image

_SHARE = 0.1  # percent of the pixels beyond the darkest and the brightest that count

GreyRange = Annotated[
    str,
    Param(
        "map the greys before the features are made: none; auto: the image's own range onto that of the training; "
        "LOW:HIGH: these greys onto 0 to 255, as ImageJ converts to 8-bit",
        group="Input",
    ),
]


class GreyMap(NamedTuple):
    """Grey ``low`` becomes ``dark``, ``high`` becomes ``bright``, what lies between in proportion.

    Parameters
    ----------
    low, high, dark, bright : float
    to_bytes : bool
        Whether the result is 8-bit: rounded, and what lies outside set to 0 or 255.
    """

    low: float
    high: float
    dark: float
    bright: float
    to_bytes: bool = False

    def __call__(self, image: Image) -> Image:
        """The image with its greys mapped, grey: an RGB image becomes the mean of its colours.

        Parameters
        ----------
        image : Image
        """
        scale = (self.bright - self.dark) / (self.high - self.low)
        grey = (image.grey.astype(np.float64) - self.low) * scale + self.dark
        if self.to_bytes:
            return replace(image, data=np.clip(np.floor(grey + 0.5), 0, 255).astype(np.uint8))
        return replace(image, data=np.ascontiguousarray(grey, np.float32))


def grey_map(choice: str, image: Image, trained: tuple[float, float] | None) -> GreyMap | None:
    """What ``--grey-range`` means for an image; None: greys stay as they are.

    Parameters
    ----------
    choice : str
        ``"none"``, ``"auto"`` or ``"LOW:HIGH"``.
    image : Image
        The image, or the first slice of the stack.
    trained : (float, float) or None
        Darkest and brightest grey of the training.

    Raises
    ------
    SettingsError
        Another choice, a range without extent, or greys of the training that are not known.
    """
    choice = choice.strip().casefold()
    if choice in ("", "none"):
        return None
    if choice == "auto":
        low, high = map(float, np.percentile(image.grey[image.field], (_SHARE, 100 - _SHARE)))
        if trained is None:
            raise SettingsError(
                "grey_range = auto, and a classifier that does not know the greys of its training",
                expected="a classifier trained on images' greys",
                remedy="give the greys that were black and white in the training: --grey-range LOW:HIGH",
            )
        if not low < high:
            raise SettingsError(
                f"grey_range = auto, and an image that is {low:g} almost everywhere",
                expected="an image with dark and bright pixels",
                remedy="give the greys yourself: --grey-range LOW:HIGH",
            )
        return GreyMap(low, high, *trained)
    try:
        low, high = map(float, choice.split(":"))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise SettingsError(
            f"grey_range = {choice!r}", expected="none, auto, or LOW:HIGH with LOW below HIGH", remedy="such as 0:65535"
        )
    return GreyMap(low, high, 0.0, 255.0, to_bytes=True)
