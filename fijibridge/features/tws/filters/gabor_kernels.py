"""The kernels of TWS's Gabor filters, and what they are made of: sums of products of a column and a row."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

ANGLES = 10
_CUT = 1e-6  # part of a kernel's norm that its products may leave out


class Wavelet(NamedTuple):
    """One Gabor filter at all angles.

    Parameters
    ----------
    sigma : float
        Standard deviation along the wave, in pixels.
    gamma : float
        Along the wave over across it.
    quarters : int
        Phase, in eighths of a turn.
    waves : int
        Periods in the kernel's width.
    """

    sigma: float
    gamma: float
    quarters: int
    waves: int

    @property
    def reach(self) -> int:
        """Pixels around the middle of the kernel."""
        return 3 * max(int(self.sigma), int(self.sigma / self.gamma), 1)

    def kernel(self, angle: int) -> np.ndarray:
        """``exp(-(x'^2 / s^2 + (g y')^2 / s^2) / 2) cos(2 pi f x' / n + phase) g / (2 pi s^2)``, n the side.

        x' and y' are x and y turned by `angle` times 18 degrees.

        Parameters
        ----------
        angle : int

        Returns
        -------
        ndarray, float32, shape (n, n)
        """
        r = self.reach
        x, y = np.arange(-r, r + 1)[None, :], np.arange(-r, r + 1)[:, None]
        theta = math.pi / ANGLES * angle
        along = x * math.cos(theta) + y * math.sin(theta)
        across = y * math.cos(theta) - x * math.sin(theta)
        other = self.sigma / self.gamma
        bell = np.exp(-0.5 * (along**2 / self.sigma**2 + across**2 / other**2)) / (2 * math.pi * self.sigma * other)
        wave = np.cos(2 * math.pi * (self.waves * along) / (2 * r + 1) + self.quarters * math.pi / 4)
        return (bell * wave).astype(np.float32)


# In the order in which TWS makes them.
WAVELETS = (
    *(Wavelet(1.0, gamma, phase, 2) for phase in (0, 2) for gamma in (1.0, 0.5, 0.25)),
    *(
        Wavelet(sigma, gamma, phase, waves)
        for phase in (0, 2)
        for sigma in (2.0, 4.0)
        for gamma in (1.0, 2.0)
        for waves in (2, 3)
    ),
)
REACH = max(one.reach for one in WAVELETS)


class Products(NamedTuple):
    """Kernels as sums of products of a column and a row, each of which is even or odd.

    A part is the half of a kernel that is even in x, or odd. Angles i and 10 - i mirror each other, so their kernels
    are the sum and the difference of the same two parts.

    Parameters
    ----------
    starts : ndarray, int64, shape (filters, 6, 2, 2)
        First product and the one behind the last, of each filter, angle 0 to 5, and part: even, odd in x.
    odd : ndarray, bool, shape (products,)
        Whether the column is odd.
    columns, rows : ndarray, float32, shape (products, REACH + 1)
        From the middle outwards, padded by zeros, as a correlation has them.
    reaches : ndarray, int64, shape (filters,)
    masses : ndarray, float64, shape (filters, 10)
        Sums of the kernels' moduli.
    """

    starts: np.ndarray
    odd: np.ndarray
    columns: np.ndarray
    rows: np.ndarray
    reaches: np.ndarray
    masses: np.ndarray


@lru_cache(1)
def products() -> Products:
    """All of :data:`WAVELETS`, by singular value decomposition."""
    starts = np.zeros((len(WAVELETS), ANGLES // 2 + 1, 2, 2), np.int64)
    masses = np.empty((len(WAVELETS), ANGLES))
    odd: list[bool] = []
    columns: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    for i, wavelet in enumerate(WAVELETS):
        r = wavelet.reach
        for angle in range(ANGLES):
            masses[i, angle] = np.abs(wavelet.kernel(angle)).sum()
        for angle in range(ANGLES // 2 + 1):
            kernel = wavelet.kernel(angle).astype(np.float64)[::-1, ::-1]  # a convolution
            for part, sign in enumerate((1, -1)):
                half = (kernel + sign * kernel[:, ::-1]) / 2
                # a phase of 0 leaves the kernel as it is when turned by half a turn, one of a quarter changes its sign
                column_sign = sign if wavelet.quarters == 0 else -sign
                half = (half + column_sign * half[::-1]) / 2
                u, s, v = np.linalg.svd(half)
                left_out = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])
                count = int((left_out > _CUT * np.linalg.norm(kernel)).sum())
                starts[i, angle, part] = len(odd), len(odd) + count
                for j in range(count):
                    root = math.sqrt(s[j])
                    odd.append(column_sign < 0)
                    columns.append(np.pad(root * u[r:, j], (0, REACH - r)))
                    rows.append(np.pad(root * v[j, r:], (0, REACH - r)))
    reaches = np.array([one.reach for one in WAVELETS], np.int64)
    return Products(starts, np.array(odd), np.array(columns, np.float32), np.array(rows, np.float32), reaches, masses)
