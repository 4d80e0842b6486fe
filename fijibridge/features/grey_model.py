"""A statistical model of an image's greys: a mixture of a few grey levels, under gain, offset and smooth shading.

Which greys the phases have is learned from a reference (the training images): a mixture of normal distributions, m_k
and s_k. In another slice of the stack the grey at a place (y, x) of a pixel of component k is taken to be ::

    g(y, x) m_k + o(y, x),    g = g0 + g1 y + g2 x + g3 y^2 + g4 y x + g5 x^2, and o likewise

with shares of the components that are the slice's own: a slice where one phase dominates is another mixture of the same
greys, and not a brighter one. The coefficients are found by expectation maximisation (Wells, Grimson, Kikinis, Jolesz
1996, doi:10.1109/42.511747; the shares and the polynomial as of Van Leemput, Maes, Vandermeulen, Suetens 1999,
doi:10.1109/42.811268).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

TERMS = 12  # coefficients: six of the gain, six of the offset
SAMPLES = 4_096  # of an image
_BLOCK = 3  # side of the squares whose means are the samples, px: noise hardly moves these
_MOST_COMPONENTS = 5
# Samples are not independent: grains and shading of one particle reach over several.
WEIGHT = 1 / 64
_OUTLIERS = 0.01  # share of greys that the reference does not have, spread evenly over six standard deviations
# Standard deviations, in units of the reference's greys, of what is not constant over the image.
_EXPECTED = np.array([np.inf, *[0.2] * 2, *[0.05] * 3, np.inf, *[0.3] * 5])


def identity() -> np.ndarray:
    """Coefficients of an image with the reference's own greys."""
    return np.eye(TERMS)[0]


def places(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of an image, from -1 to 1: (Y, 1) and (1, X).

    Parameters
    ----------
    shape : (int, int)
    """
    y, x = ((np.arange(length) + 0.5) * (2 / length) - 1 for length in shape)
    return y[:, None], x[None]


def gain_and_offset(coefficients: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two fields at places, in units of the reference's greys.

    Parameters
    ----------
    coefficients : ndarray, shape (TERMS,)
    y, x : ndarray
        Of :func:`places`, which broadcast.
    """
    half = TERMS // 2
    gain, offset = (
        own[0] + own[1] * y + own[2] * x + own[3] * y**2 + own[4] * y * x + own[5] * x**2
        for own in (coefficients[:half], coefficients[half:])
    )
    return gain, offset


@dataclass(frozen=True, eq=False)
class Samples:
    """Greys of an image at places spread over it.

    Parameters
    ----------
    grey : ndarray, float32, shape (N,)
        Means over small squares, in the image's own units.
    y, x : ndarray, float32, shape (N,)
        From -1 to 1.
    """

    grey: np.ndarray
    y: np.ndarray
    x: np.ndarray

    @classmethod
    def of(cls, grey: np.ndarray) -> Samples:
        """Of an image.

        Parameters
        ----------
        grey : ndarray, shape (Y, X)
        """
        sides = [min(_BLOCK, length) for length in grey.shape]
        step = max(1.0, (grey.size / SAMPLES) ** 0.5)
        rows, cols = (
            np.unique(np.linspace(0, length - side, max(1, min(round(length / step), length // side))).astype(int))
            for length, side in zip(grey.shape, sides, strict=True)
        )
        total = np.zeros((len(rows), len(cols)), np.float64)
        for down in range(sides[0]):
            for right in range(sides[1]):
                total += grey[np.ix_(rows + down, cols + right)]
        y, x = places((grey.shape[0], grey.shape[1]))
        beside = np.broadcast_arrays(y[rows + sides[0] // 2, :], x[:, cols + sides[1] // 2])
        values = (total / (sides[0] * sides[1]), *beside)
        return cls(*(np.ascontiguousarray(own.ravel(), np.float32) for own in values))


@dataclass(frozen=True, eq=False)
class GreyModel:
    """The mixture of a reference's greys, in units in which their mean is 0 and their standard deviation 1.

    Parameters
    ----------
    centre, unit : float
        Mean and standard deviation, in the image's own units.
    means, spreads, shares : ndarray, float64, shape (K,)
        Of the components; the shares sum to 1.
    """

    centre: float
    unit: float
    means: np.ndarray
    spreads: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, greys: np.ndarray) -> GreyModel | None:
        """The mixture of greys; as many components as the Bayesian information criterion asks for.

        Parameters
        ----------
        greys : ndarray, shape (n,)
            Samples, or a table of percentiles.

        Returns
        -------
        GreyModel or None
            None where all greys are equal.
        """
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        centre, unit = float(np.mean(greys)), float(np.std(greys))
        if unit <= 1e-9 * max(1e-300, abs(centre)):
            return None
        values = ((greys.astype(np.float64) - centre) / unit)[:, None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            made = [
                GaussianMixture(count, random_state=0, reg_covar=1e-3, init_params="k-means++").fit(values)
                for count in range(1, _MOST_COMPONENTS + 1)
                if count < len(np.unique(values))
            ]
        best = min(made, key=lambda model: model.bic(values))
        return cls(centre, unit, best.means_[:, 0], np.sqrt(best.covariances_[:, 0, 0]), best.weights_)

    @cached_property
    def _precisions(self) -> np.ndarray:
        return self.spreads**-2

    def percentiles(self, wanted: Sequence[float]) -> np.ndarray:
        """Greys at percentiles of the mixture, in its units.

        Parameters
        ----------
        wanted : sequence of float
            In percent.
        """
        from scipy.stats import norm

        greys = np.linspace((self.means - 5 * self.spreads).min(), (self.means + 5 * self.spreads).max(), 4096)
        below = norm.cdf((greys[:, None] - self.means) / self.spreads) @ self.shares
        return np.interp(np.asarray(wanted) / 100, below, greys)

    def scaled(self, samples: Samples) -> Samples:
        """Samples in the model's units."""
        return replace(samples, grey=((samples.grey - self.centre) / self.unit).astype(np.float32))

    def normal_equations(
        self, samples: Samples, coefficients: np.ndarray, shares: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One step of expectation: what better coefficients solve, ``matrix @ coefficients = right``.

        Parameters
        ----------
        samples : Samples
            In the model's units.
        coefficients : ndarray, shape (TERMS,)
            Known so far.
        shares : ndarray, shape (K,)
            Of the components in this image, known so far.

        Returns
        -------
        matrix : ndarray, shape (TERMS, TERMS)
        right : ndarray, shape (TERMS,)
        shares : ndarray, shape (K,)
        """
        y, x, grey = (own.astype(np.float64) for own in (samples.y, samples.x, samples.grey))
        gain, offset = gain_and_offset(coefficients, y, x)
        width = np.maximum(np.abs(gain), 0.05)[:, None] * self.spreads
        distance = (grey[:, None] - gain[:, None] * self.means - offset[:, None]) / width
        likely = (shares / width) * np.exp(-0.5 * distance**2) / np.sqrt(2 * np.pi)
        known = likely / (likely.sum(1, keepdims=True) + _OUTLIERS / 6)
        weight = known * self._precisions * WEIGHT
        terms = np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], 1)
        total, first, second = weight.sum(1), weight @ self.means, weight @ self.means**2
        of_gain, mixed, of_offset = ((terms * own[:, None]).T @ terms for own in (second, first, total))
        matrix = np.block([[of_gain, mixed], [mixed, of_offset]])
        right = np.concatenate([terms.T @ (first * grey), terms.T @ (total * grey)])
        found = known.sum(0) + 1
        return matrix, right, found / found.sum()

    def fitted(self, samples: Samples, steps: int = 30) -> np.ndarray:
        """Coefficients of a single image, (TERMS,) float64.

        Parameters
        ----------
        samples : Samples
            In the image's own units.
        steps : int
            Of expectation and maximisation.
        """
        found, shares, own = identity(), self.shares, self.scaled(samples)
        for _ in range(steps):
            matrix, right, shares = self.normal_equations(own, found, shares)
            found = np.linalg.solve(matrix + prior(), right + prior() @ identity())
        return found


def prior() -> np.ndarray:
    """Precision of the coefficients before an image is seen: shading is weak; gain is near 1 within a factor of two."""
    precision = np.where(np.isinf(_EXPECTED), 0, _EXPECTED**-2.0)
    precision[0] += 4.0
    return np.diag(precision)
