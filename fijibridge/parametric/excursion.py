"""Excursion sets of Gaussian and chi-square fields: from the field's correlation to the two-point function and back.

A chi-square field with d degrees is the sum of the squares of d independent Gaussian fields of one correlation. Its
high side with few degrees gives convex grains that seldom touch, its low side what lies between them (Worsley 1994,
Adv. Appl. Probab. 26:13; as a model of electrodes: Furat et al. 2025, arXiv 2503.17171).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fijibridge.core.errors import SettingsError

MOST_DEGREES = 16  # beyond, a chi-square field is a Gaussian one
_NODES = 160
_TABLE = 257
_SOBOL = 15  # 2^15 points


@dataclass(frozen=True)
class Kind:
    """What a field is, and which side of its threshold is the phase.

    Parameters
    ----------
    degrees : float
        Degrees of freedom of a chi-square field, 1 to 16; 0: a Gaussian field. Between whole numbers the last square
        counts by the fraction: 1.5 is the square of one field and half of that of another.
    high : bool
        The phase is where the field is above its threshold; False (chi-square alone): below.

    Raises
    ------
    SettingsError
        Other degrees.
    """

    degrees: float = 0
    high: bool = True

    def __post_init__(self) -> None:
        if self.degrees != 0 and not 1 <= self.degrees <= MOST_DEGREES:
            raise SettingsError(
                f"a chi-square field with degrees = {self.degrees}",
                expected=f"1 to {MOST_DEGREES} degrees, or 0 for a Gaussian field",
                remedy="change degrees in the parameters",
            )

    def __str__(self) -> str:
        side = "high" if self.high else "low"
        return f"chi-square ({self.degrees:g}, {side})" if self.degrees else "Gaussian"

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the squares of the Gaussian fields that make it; one for a Gaussian field."""
        whole = int(self.degrees)
        rest = self.degrees - whole
        return (1.0,) * max(whole, 1) + ((rest,) if rest else ())

    def normal_scores(self, fields: Iterable[np.ndarray]) -> np.ndarray:
        """Score of each place: standard normal over the places, larger where the phase comes first.

        Parameters
        ----------
        fields : iterable of np.ndarray
            As many independent Gaussian fields of unit variance as there are `weights`; overwritten.

        Returns
        -------
        np.ndarray
            As each of them.
        """
        total = None
        for field, weight in zip(fields, self.weights, strict=True):
            if not self.degrees:
                total = field
                continue
            field *= field
            if weight != 1:
                field *= np.float32(weight)
            total = field if total is None else np.add(total, field, out=total)
        assert total is not None
        if self.degrees:
            values, scores = _scores(self.degrees)
            for part in total:  # slice by slice: what interp makes has double precision
                part[...] = np.interp(part, values, scores)
            if not self.high:
                np.negative(total, out=total)
        return total


@lru_cache(maxsize=32)
def _scores(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of a chi-square variable, and the normal scores of the same rank."""
    from scipy import special

    scores = np.linspace(-5.5, 5.5, 4001)
    whole, rest = int(degrees), degrees - int(degrees)
    if not rest:
        return 2 * special.gammainccinv(whole / 2, special.ndtr(-scores)), scores
    values = np.geomspace(1e-12, 80, 4001)
    nodes, weights = _legendre()
    last = 8 * nodes  # of the Gaussian variable whose square counts in part
    beyond = special.chdtrc(whole, np.maximum(values[:, None] - rest * last**2, 0))
    tail = (beyond * np.exp(-(last**2) / 2) * weights).sum(axis=1) * 8 * np.sqrt(2 / np.pi)
    return np.interp(-scores[::-1], special.ndtri(np.clip(tail[::-1], 1e-12, 1)), values[::-1])[::-1], scores


def two_point(kind: Kind, fraction: float, correlation: Any) -> np.ndarray:
    """Probability that two points lie in the excursion set.

    Parameters
    ----------
    kind : Kind
        Of the field.
    fraction : float
        Of the set, between 0 and 1.
    correlation : array_like
        Of the (underlying) Gaussian fields at the two points, -1 to 1.

    Returns
    -------
    np.ndarray
        As `correlation`.

    Notes
    -----
    Gaussian: ``phi^2 + 1/(2 pi) int_0^asin(rho) exp(-t^2 / (1 + sin u)) du`` (Teubner 1991, Europhys. Lett. 14:403).
    Chi-square: the second value, given the first, is noncentral chi-square; between whole degrees, by quadrature with
    a Sobol sequence.
    """
    from scipy import special

    rho = np.asarray(correlation, float)
    nodes, weights = _legendre()
    if not kind.degrees:
        level = special.ndtri(fraction)
        angle = np.arcsin(np.clip(rho, -1, 1))[..., None]
        inner = np.exp(-(level**2) / (1 + np.sin(angle * nodes)))
        return np.asarray(fraction**2 + (inner * weights).sum(-1) * angle[..., 0] / (2 * np.pi))
    if kind.degrees % 1:
        return _sampled(kind, fraction, rho)
    level = _level(kind, fraction)
    first = _level(kind, fraction * nodes)
    square = np.minimum(rho**2, 1 - 1e-9)[..., None]
    below = special.chndtr(level / (1 - square), kind.degrees, square * first / (1 - square))
    return np.asarray(fraction * ((1 - below if kind.high else below) * weights).sum(-1))


def _level(kind: Kind, fraction: Any) -> Any:
    from scipy import special

    return special.chdtri(kind.degrees, fraction if kind.high else 1 - np.asarray(fraction))


def _sampled(kind: Kind, fraction: float, rho: np.ndarray) -> np.ndarray:
    """`two_point` between whole degrees."""
    from scipy import special
    from scipy.stats import qmc

    count = len(kind.weights)
    points = qmc.Sobol(2 * count, rng=0).random_base2(_SOBOL)
    normal = special.ndtri(np.clip(points, 1e-12, 1 - 1e-12)).astype(np.float32)
    weights = np.array(kind.weights, np.float32)
    first = (normal[:, :count] ** 2) @ weights
    level = np.quantile(first, 1 - fraction if kind.high else fraction)
    start = normal[first > level if kind.high else first <= level]
    found = []
    for one in np.clip(rho.ravel(), -1, 1):
        second = ((one * start[:, :count] + np.sqrt(1 - one**2) * start[:, count:]) ** 2) @ weights
        found.append(float((second > level if kind.high else second <= level).mean()))
    return np.asarray(fraction * np.reshape(found, rho.shape))


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2


@lru_cache(maxsize=256)
def _table(kind: Kind, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Correlations, dense towards 1, and the two-point probabilities of them."""
    lowest = 0.0 if kind.degrees else -1.0
    rho = np.sin(np.linspace(lowest, 1, _TABLE) * np.pi / 2)
    found = two_point(kind, fraction, rho)
    found[-1] = fraction
    return rho, np.maximum.accumulate(found)


def correlation_of(kind: Kind, fraction: float, probability: Any) -> tuple[np.ndarray, np.ndarray]:
    """The field's correlation that gives a two-point probability: the inverse of `two_point`.

    Parameters
    ----------
    kind : Kind
        Of the field.
    fraction : float
        Of the set.
    probability : array_like
        Two-point probabilities; what no correlation gives is taken for the nearest that one does.

    Returns
    -------
    correlation, slope : np.ndarray
        And how fast the probability rises with it.
    """
    rho, found = _table(kind, round(float(fraction), 6))
    correlation = np.interp(probability, found, rho)
    slope = np.interp(correlation, rho, np.gradient(found, rho))
    return correlation, slope
