"""A block of an image with its surroundings, and what several filters need of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fijibridge.features.tws.blurring import Box, blur
from fijibridge.features.tws.gradient import gradient

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings

AROUND = 2  # pixels around the block that a Sobel of a Sobel looks at

_Value = TypeVar("_Value")
# a name, and what makes its value of the image, float32 (Y, X)
OncePerImage = Callable[[str, Callable[[np.ndarray], Any]], Any]


def _limits(image: np.ndarray) -> tuple[float, float]:
    return float(np.fmin.reduce(image, axis=None)), float(np.fmax.reduce(image, axis=None))  # as ImageJ: no NaN


class Window:
    """A block of an image and the pixels around it.

    Parameters
    ----------
    grey : ndarray, float32, shape (h, w)
        The block with its surroundings, C-contiguous, not changed by filters.
    origin : (int, int)
        Row and column of the image at which ``grey`` begins.
    shape : (int, int)
        Of the image, in pixels.
    box : (int, int, int, int)
        y0, y1, x0, x1 of the block, in the image.
    settings : TwsSettings
    once : callable, optional
        Keeps values of the whole image, see :meth:`of_image`; not needed where ``grey`` is the whole image.
    rgb : ndarray, uint8, shape (y1 - y0, x1 - x0, 3), optional
        The block of the RGB image that ``grey`` is one colour of.
    colour : int, optional
        Which: 0 red, 1 green, 2 blue.
    once_rgb : callable, optional
        Keeps values of the whole RGB image, see :meth:`of_rgb`.
    """

    def __init__(
        self,
        grey: np.ndarray,
        origin: tuple[int, int],
        shape: tuple[int, int],
        box: Box,
        settings: TwsSettings,
        *,
        once: OncePerImage | None = None,
        rgb: np.ndarray | None = None,
        colour: int = 0,
        once_rgb: OncePerImage | None = None,
    ) -> None:
        self.grey, self.origin, self.shape, self.box, self.settings = grey, origin, shape, box, settings
        self.rgb, self.colour = rgb, colour
        self._once_rgb = once_rgb
        self._once = once
        y0, y1, x0, x1 = box
        self._wide = (
            max(0, y0 - AROUND),
            min(shape[0], y1 + AROUND),
            max(0, x0 - AROUND),
            min(shape[1], x1 + AROUND),
        )
        self._blurred: dict[float, np.ndarray] = {}
        self._gradients: dict[float, tuple[np.ndarray, np.ndarray, Box]] = {}
        self._kept: dict[object, Any] = {}

    @property
    def inner(self) -> np.ndarray:
        """The block itself, a view of ``grey``."""
        return self.cut(self.grey, (*self.origin,))

    def cut(self, plane: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
        """The block out of a plane that begins at ``origin`` of the image.

        Parameters
        ----------
        plane : ndarray, shape (h, w)
        origin : (int, int)
        """
        y0, y1, x0, x1 = self.box
        return plane[y0 - origin[0] : y1 - origin[0], x0 - origin[1] : x1 - origin[1]]

    def of_image(self, name: str, make: Callable[[np.ndarray], Any]) -> Any:
        """A value of the whole image, made when it is first asked for and once for all its blocks.

        Parameters
        ----------
        name : str
            Of the value.
        make : callable
            Makes it of the image, float32 (Y, X).

        Returns
        -------
        object
            What `make` returned.
        """
        return self._once(name, make) if self._once else make(self.grey)

    def of_rgb(self, name: str, make: Callable[[np.ndarray], Any]) -> Any:
        """As :meth:`of_image`, of the RGB image, float32 (Y, X, 3); needs `rgb`.

        Parameters
        ----------
        name, make
            As of :meth:`of_image`.
        """
        assert self.rgb is not None
        return self._once_rgb(name, make) if self._once_rgb else make(self.rgb.astype(np.float32))

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest pixel of the whole image."""
        low, high = self.of_image("limits", _limits)
        return low, high

    def kept(self, key: object, make: Callable[[], _Value]) -> _Value:
        """What several features of this block need, made when it is first asked for.

        Parameters
        ----------
        key : hashable
            Says what it is.
        make : callable

        Returns
        -------
        object
            What `make` returned.
        """
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def blurred(self, sigma: float) -> np.ndarray:
        """The block and up to two pixels around it, as the Gaussian blur of TWS's sigma has them; sigma 0: unblurred.

        Parameters
        ----------
        sigma : float

        Returns
        -------
        ndarray, float32
            Of the rows and columns of :attr:`wide`.
        """
        if sigma not in self._blurred:
            if sigma == 0:
                y0, y1, x0, x1 = self._wide
                top, left = self.origin
                self._blurred[sigma] = np.ascontiguousarray(self.grey[y0 - top : y1 - top, x0 - left : x1 - left])
            else:
                self._blurred[sigma] = blur(self.grey, self.origin, self.shape, sigma, self._wide)
        return self._blurred[sigma]

    @property
    def wide(self) -> Box:
        """y0, y1, x0, x1 of :meth:`blurred`, in the image."""
        return self._wide

    def gradient(self, sigma: float) -> tuple[np.ndarray, np.ndarray, Box]:
        """Sobel responses of :meth:`blurred`, down and across, for the block and a pixel around it.

        Parameters
        ----------
        sigma : float

        Returns
        -------
        down, across : ndarray, float32
        box : (int, int, int, int)
            Their rows and columns in the image.
        """
        if sigma not in self._gradients:
            (y0, y1, x0, x1), (height, width) = self.box, self.shape
            # a pixel wider for the second Sobel, but never past the image: there the gradient's own edge is repeated
            box = (max(y0 - 1, 0), min(y1 + 1, height), max(x0 - 1, 0), min(x1 + 1, width))
            self._gradients[sigma] = (*gradient(self.blurred(sigma), self._wide, height, width, box), box)
        return self._gradients[sigma]
