"""Upsampling: features on the patch grid -> features on pixels, block by block.

A method is a file with an :class:`UpsamplingMethod` and a line in `UPSAMPLERS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fijibridge.core.errors import SettingsError
from fijibridge.core.registry import Registry

if TYPE_CHECKING:
    import numpy as np

_HERE = "fijibridge.features.upsampling"
UPSAMPLERS: Registry[UpsamplingMethod] = Registry(
    "upsampler",
    {
        "bilinear": ("between the centres of the patches", f"{_HERE}.bilinear:BILINEAR"),
        "guided": ("joint bilateral, along the image's edges", f"{_HERE}.guided:GUIDED"),
        "learned": ("joint bilateral, along what a small network sees", f"{_HERE}.learned:LEARNED"),
        "strided": (
            "the ViT sees the image four times, moved by half a patch: 4 times the cost",
            f"{_HERE}.dense:STRIDED",
        ),
        "scale": ("the image enlarged twice as much: 4 times the cost", f"{_HERE}.dense:SCALE"),
    },
)


class Upsampler(ABC):
    """Of one image, for patch grids of any size that cover it.

    Attributes
    ----------
    linear : bool
        Whether it is linear in the features, with weights that sum to 1: a linear model may then be applied on the
        patch grid. One that is not has :meth:`weighted`.
    """

    linear: bool = True

    @abstractmethod
    def block(self, tokens: np.ndarray, rows: slice, cols: slice, out: np.ndarray) -> None:
        """Features of a block of pixels.

        Parameters
        ----------
        tokens : ndarray, float32, shape (gy, gx, C)
            Features on the patch grid, which covers the image exactly.
        rows, cols : slice
            The block wanted, in pixels, with start and stop.
        out : ndarray, float32, shape (h, w, C)
            Filled in place; a view of a wider array serves.
        """

    @abstractmethod
    def at(self, tokens: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Features of single pixels, float32 (n, C): the same values as in a block.

        Parameters
        ----------
        tokens : ndarray, float32, shape (gy, gx, C)
        y, x : ndarray of int, shape (n,)
            Rows and columns.
        """

    def weighted(self, weights: np.ndarray) -> Upsampler:
        """The upsampler that multiplies the features at pixels by weights (C, K); of one that is not linear."""
        raise TypeError(f"{type(self).__name__} is linear: apply the weights on the patch grid")


class UpsamplingMethod(ABC):
    """How features of patches become features of pixels; it makes an :class:`Upsampler` for each image.

    Attributes
    ----------
    enlargement : float
        By how much more the ViT's image is enlarged than the settings say.
    strided : bool
        The ViT sees the image four times, moved by half a patch, so that the patch grid is twice as dense.
    """

    enlargement: float = 1.0
    strided: bool = False

    @abstractmethod
    def upsampler(self, grey: np.ndarray, weights: bytes) -> Upsampler:
        """The upsampler of one image.

        Parameters
        ----------
        grey : ndarray, float32, shape (Y, X)
            Without a data bar, scaled so that the darkest grey that counts is 0 and the brightest 1.
        weights : bytes
            Of :meth:`read_weights`.
        """

    def read_weights(self, path: str) -> bytes:
        """The weights' file of a method that has some; empty otherwise.

        Parameters
        ----------
        path : str
            Empty: the package's own.
        """
        return b""

    def check_weights(self, weights: bytes, channels: int, patch: int, encoder: str) -> None:
        """Refuse weights made for other features, and by default any: most methods have none.

        Parameters
        ----------
        weights : bytes
        channels : int
            Of principal components; of a block of the ViT where an encoder is named; 0: not known yet.
        patch : int
            Side of the ViT's patches in pixels; 0: not known yet.
        encoder : str
            Empty where principal components are upsampled.

        Raises
        ------
        SettingsError
        """
        if weights:
            raise SettingsError(
                "weights of an upsampler that has none",
                expected="no weights",
                remedy="restore the classifier's folder, or train it anew",
            )
