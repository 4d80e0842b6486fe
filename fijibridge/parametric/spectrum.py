"""The correlation of an isotropic random field, kept as its spectrum: any that is nowhere negative is a field's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from fijibridge.core.errors import SettingsError

_LINEAR = 28  # wavenumbers of even steps, then steps that grow
_GROWTH = 1.09
_FINE = 40  # points of the quadrature in each step
_LAGS = 4096  # a correlation at more lags is interpolated
_SMOOTH = 0.02  # weight of the spectrum's smoothness


@dataclass(frozen=True)
class Spectrum:
    """Variance of a field by wavelength, and its white part (independent from voxel to voxel).

    Between two of the wavelengths the spectral density is linear in the wavenumber.

    Parameters
    ----------
    wavelengths : tuple of float
        In voxels, falling, at least 2.
    shares : tuple of float
        Of the variance at each; not negative.
    white : float
        Share that is white. All shares together are scaled to 1.

    Raises
    ------
    SettingsError
        Wavelengths or shares that no field has.
    """

    wavelengths: tuple[float, ...]
    shares: tuple[float, ...]
    white: float = 0.0

    def __post_init__(self) -> None:
        lengths, shares = np.array(self.wavelengths, float), np.array([*self.shares, self.white], float)
        if (
            len(lengths) != len(self.shares)
            or len(lengths) < 2
            or not np.isfinite(lengths).all()
            or (np.diff(lengths) >= 0).any()
            or lengths[-1] < 2 - 1e-9
        ):
            raise SettingsError(
                f"a spectrum with {len(lengths)} wavelengths and {len(self.shares)} shares",
                expected="as many shares as wavelengths, which fall from one to the next, the last not below 2",
                remedy="change the spectrum in the parameters",
            )
        if not np.isfinite(shares).all() or shares.min() < 0 or not shares.sum() > 0:
            raise SettingsError(
                f"shares of a spectrum from {shares.min():g} to {shares.max():g}",
                expected="numbers from 0 on, not all 0",
                remedy="change the spectrum in the parameters",
            )
        total = float(shares.sum())
        object.__setattr__(self, "shares", tuple(float(share) / total for share in self.shares))
        object.__setattr__(self, "white", float(self.white) / total)

    @property
    def wavenumbers(self) -> np.ndarray:
        """2 pi over the wavelengths, per voxel."""
        return 2 * np.pi / np.array(self.wavelengths)

    def correlation(self, distance: Any) -> np.ndarray:
        """The field's correlation, in three dimensions or in a slice.

        Parameters
        ----------
        distance : array_like
            In voxels.

        Returns
        -------
        np.ndarray
            1 at distance 0.
        """
        distance = np.asarray(distance, float)
        if distance.size > _LAGS:
            where = np.linspace(0, distance.max(), _LAGS)
            found = _columns(self.wavenumbers, where) @ np.array(self.shares)
            return np.asarray(np.interp(distance, where, found) + self.white * (distance == 0))
        found = _columns(self.wavenumbers, distance.ravel()) @ np.array(self.shares)
        return np.asarray(found.reshape(distance.shape) + self.white * (distance == 0))

    def density(self, wavenumber: Any) -> np.ndarray:
        """Spectral density: its integral over all wave vectors below pi, over (2 pi)^3, is the share that is not white.

        Parameters
        ----------
        wavenumber : array_like
            Radians a voxel.

        Returns
        -------
        np.ndarray
            Not negative; the white part is left out.
        """
        nodes = self.wavenumbers
        heights = np.array(self.shares) / _volumes(nodes)
        return np.asarray(np.interp(wavenumber, [0.0, *nodes], [0.0, *heights], right=0.0))


def wavenumbers_for(reach: int) -> np.ndarray:
    """Wavenumbers that resolve a correlation up to a lag.

    Parameters
    ----------
    reach : int
        Largest lag, voxels.

    Returns
    -------
    np.ndarray
        (N,), rising to pi.
    """
    step = np.pi / (1.3 * reach)
    nodes = [step * (1 + place) for place in range(min(_LINEAR, int(np.pi / step) - 1))]
    while nodes[-1] + step < np.pi:
        step *= _GROWTH
        nodes.append(nodes[-1] + step)
    nodes[-1] = np.pi
    return np.array(nodes)


def _hats(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights (points, nodes) of the integral of each node's triangle times k^2."""
    ends = np.array([0.0, *nodes])
    points, widths = [], []
    for low, high in pairwise(ends):
        middle = (np.arange(_FINE) + 0.5) / _FINE
        points.append(low + (high - low) * middle)
        widths.append(np.full(_FINE, (high - low) / _FINE))
    where, width = np.concatenate(points), np.concatenate(widths)
    rise = np.stack([np.interp(where, ends, np.eye(len(ends))[place]) for place in range(1, len(ends))], axis=1)
    return where, rise * (width * where**2)[:, None]


def _volumes(nodes: np.ndarray) -> np.ndarray:
    """(N,): integral of each node's triangle over all wave vectors, over (2 pi)^3."""
    return np.asarray(_hats(nodes)[1].sum(axis=0) / (2 * np.pi**2))


def _columns(nodes: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """(lags, N): the correlation of a field with the variance of one triangle alone."""
    return _cached_columns(tuple(nodes.tolist()), tuple(distance.tolist()))


@lru_cache(maxsize=8)
def _cached_columns(nodes: tuple[float, ...], distance: tuple[float, ...]) -> np.ndarray:
    where, weights = _hats(np.array(nodes))
    return np.asarray(np.sinc(np.array(distance)[:, None] * where / np.pi) @ (weights / weights.sum(axis=0)))


def fitted_spectrum(distance: np.ndarray, correlation: np.ndarray, weights: np.ndarray, reach: int) -> Spectrum:
    """The spectrum whose correlation comes nearest to one that was measured (least squares, nowhere negative).

    Parameters
    ----------
    distance, correlation, weights : np.ndarray
        (lags,): voxels; the correlation and its weight there.
    reach : int
        Largest lag that is to be resolved, voxels.

    Returns
    -------
    Spectrum
    """
    from scipy.optimize import nnls

    nodes = wavenumbers_for(reach)
    columns = np.hstack([_columns(nodes, distance), (distance == 0).astype(float)[:, None]])
    scale = weights / np.sqrt((weights**2).sum())
    count = columns.shape[1]
    curve = np.zeros((count - 3, count))  # second differences of the shares, which a smooth density makes small
    for place in range(count - 3):
        curve[place, place : place + 3] = 1, -2, 1
    rows = np.vstack([columns * scale[:, None], 10 * np.ones((1, count)), _SMOOTH * curve])
    shares, _ = nnls(rows, np.concatenate([correlation * scale, [10.0], np.zeros(len(curve))]), maxiter=50 * count)
    lengths = 2 * np.pi / nodes
    lengths[-1] = 2.0
    return Spectrum(tuple(lengths.tolist()), tuple(shares[:-1].tolist()), float(shares[-1]))
