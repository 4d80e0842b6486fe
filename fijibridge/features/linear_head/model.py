"""The linear head's model: its numbers, and class probabilities of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numba
import numpy as np

from fijibridge.core.errors import SettingsError
from fijibridge.core.parallel import compiled_with


@dataclass(frozen=True, eq=False)
class LinearModel:
    """``softmax(offset + clip(plain, low, high) @ plain_weights + grouped @ grouped_weights)``.

    Of standardised features. Plain ones are those that the forest sees itself (TWS's, a network's), grouped ones those
    that the head replaces (the ViT's).

    Parameters
    ----------
    offset : ndarray, float64, shape (K,)
    low, high : ndarray, float64, shape (P,)
        Least and greatest values of the plain features where it was fitted: values outside are clipped, so that a hot
        pixel is no extrapolation.
    plain_weights : ndarray, float64, shape (P, K)
    grouped_weights : ndarray, float64, shape (T, K)
    """

    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray
    plain_weights: np.ndarray
    grouped_weights: np.ndarray

    def probabilities(self, plain: np.ndarray, grouped: np.ndarray) -> np.ndarray:
        """Class probabilities of samples.

        Parameters
        ----------
        plain : ndarray, float32, shape (n, P)
        grouped : ndarray, float32, shape (n, T)

        Returns
        -------
        ndarray, float32, shape (n, K)
        """
        logits = (grouped @ self.grouped_weights.astype(grouped.dtype)).astype(np.float64)[:, None]
        out = np.empty(logits.shape, np.float32)
        self.finish(np.ascontiguousarray(plain[:, None]), logits, out)
        return out[:, 0]

    def finish(self, plain: np.ndarray, logits: np.ndarray, out: np.ndarray) -> None:
        """Add offset and plain features to the grouped features' part of the logits, and take the softmax.

        Parameters
        ----------
        plain : ndarray, float32, shape (Y, X, P)
        logits : ndarray, float64, shape (Y, X, K)
        out : ndarray, float32, shape (Y, X, K)
            Filled in place.
        """
        _probabilities(plain, self.low, self.high, self.plain_weights, self.offset, logits, out)

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], n_classes: int) -> LinearModel:
        """The model that :meth:`arrays` describe.

        Parameters
        ----------
        arrays : mapping
        n_classes : int
            K.

        Raises
        ------
        SettingsError
            Not a linear model of so many classes.
        """
        wanted = [one.name for one in fields(cls)]
        if set(arrays) == set(wanted):
            found = cls(**{name: np.asarray(arrays[name], np.float64) for name in wanted})
            k, p, t = n_classes, len(found.low), len(found.grouped_weights)
            shapes = ((k,), (p,), (p,), (p, k), (t, k))
            finite = all(np.isfinite(array).all() for array in found.arrays().values())
            if k >= 2 and finite and shapes == tuple(array.shape for array in found.arrays().values()):
                return found
        raise SettingsError(
            f"arrays {', '.join(sorted(arrays)) or 'none'} that are not a linear head of {n_classes} classes",
            expected=f"finite {', '.join(wanted)} of {n_classes} classes",
            remedy="restore the classifier's folder, or train it anew",
        )


@compiled_with(parallel=True)
def _probabilities(plain, low, high, weights, offset, logits, out):  # pragma: no cover - compiled
    rows, columns, classes = logits.shape
    for row in numba.prange(rows):
        value = np.empty(classes)
        for column in range(columns):
            for k in range(classes):
                value[k] = logits[row, column, k] + offset[k]
            for feature in range(low.size):
                x = min(max(plain[row, column, feature], low[feature]), high[feature])
                for k in range(classes):
                    value[k] += x * weights[feature, k]
            most = value.max()
            total = 0.0
            for k in range(classes):
                value[k] = np.exp(value[k] - most)
                total += value[k]
            for k in range(classes):
                out[row, column, k] = value[k] / total
