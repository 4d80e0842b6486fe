"""Gaussian smoothing of whole micrographs by FFT, at the same cost for any width."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_MARGIN = 32  # mirrored pixels around an image at least, so that opposite edges do not mix


class Smoother:
    """Smooths (Y, X) float32 images of one shape, mirrored at their edges.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the images, px.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        from scipy.fft import next_fast_len

        self.shape = shape
        self._padded = tuple(next_fast_len(size + 2 * _MARGIN, real=True) for size in shape)
        self._rows, self._columns = (
            mirrored(np.arange(padded) - _MARGIN, size) for padded, size in zip(self._padded, shape, strict=True)
        )
        self._fy = np.fft.fftfreq(self._padded[0]).astype(np.float32)[:, None]
        self._fx = np.fft.rfftfreq(self._padded[1]).astype(np.float32)[None, :]

    def spectrum(self, image: np.ndarray) -> np.ndarray:
        """The spectrum of an image (Y, X), for smoothing it by several widths."""
        from scipy.fft import rfft2

        padded = np.asarray(image, np.float32)[self._rows[:, None], self._columns]
        return rfft2(padded, workers=1, overwrite_x=True)

    def gaussian(self, image: np.ndarray, sigma: float | Sequence[float], *, spectrum: bool = False) -> np.ndarray:
        """Smooth by a Gaussian.

        Parameters
        ----------
        image : ndarray (Y, X)
            The image, or its spectrum.
        sigma : float or (float, float) or (float, float, float)
            Standard deviation in px; along y and x; or along a direction, across it, and that direction in radians
            from x towards y.
        spectrum : bool
            Whether ``image`` is a spectrum from `spectrum`.

        Returns
        -------
        ndarray (Y, X) float32
        """
        from scipy.fft import irfft2

        first, second, angle = {1: lambda s: (s[0], s[0], 0.0), 2: lambda s: (s[1], s[0], 0.0), 3: tuple}[
            np.size(sigma)
        ](np.ravel(sigma).tolist())
        along = math.cos(angle) * self._fx + math.sin(angle) * self._fy
        across = math.cos(angle) * self._fy - math.sin(angle) * self._fx
        scale = -2 * math.pi**2
        transfer = np.exp(
            (along * along) * np.float32(scale * first**2) + (across * across) * np.float32(scale * second**2)
        )
        spread = (image if spectrum else self.spectrum(image)) * transfer
        whole = irfft2(spread, s=self._padded, workers=1, overwrite_x=True)
        height, width = self.shape
        return np.ascontiguousarray(whole[_MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width])

    def noise(self, rng: np.random.Generator, sigma: float | Sequence[float]) -> np.ndarray:
        """A random field: white noise smoothed by a Gaussian.

        Parameters
        ----------
        rng : np.random.Generator
            Of the noise.
        sigma : float or sequence of float
            As for `gaussian`, px.

        Returns
        -------
        ndarray (Y, X) float32
            Mean 0, standard deviation 1.
        """
        return standardised(self.gaussian(rng.standard_normal(self.shape, np.float32), sigma))


def mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Indices mirrored at the edges of an image, where the edge pixel occurs twice.

    Parameters
    ----------
    index : ndarray
        Whole numbers.
    size : int
        Pixels along the axis.

    Returns
    -------
    ndarray
        The same shape, 0 to ``size - 1``.
    """
    index = np.mod(index, 2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def standardised(field: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """A field scaled to mean 0 and standard deviation 1.

    Parameters
    ----------
    field : ndarray (Y, X) float32
        The field.
    where : ndarray (Y, X) bool, optional
        The pixels of which mean and standard deviation are taken; all by default.

    Returns
    -------
    ndarray (Y, X) float32
        Zero where the field does not vary.
    """
    inside = field if where is None else field[where]
    if not inside.size:
        return np.zeros_like(field)
    mean, spread = float(np.mean(inside, dtype=np.float64)), float(np.std(inside, dtype=np.float64))
    # below that only rounding errors vary
    if not spread > 1e-5 * max(abs(mean), 1e-6):
        return np.zeros_like(field)
    return (field - np.float32(mean)) * np.float32(1 / spread)
