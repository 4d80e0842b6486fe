"""Which pixels are alike: nearest neighbours in the space of the features' principal components.

What unlabelled pixels say of it is kept: with more labels on the same image only the labelled ones are looked up.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.array_cache import ArrayCache
from fijibridge.features.columns import columns

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Chosen on the tuning images of benchmarks/segmentation.py, with all labels, few, and those of a part of the image.
NEIGHBOURS = 15
GROUPED_COMPONENTS, PLAIN_COMPONENTS = 32, 16
PLAIN_SCALE = 0.6  # of the plain features' distances beside the grouped ones'
_FEW_FEATURES = 200  # of so many the covariance is quicker: 76 in 0.06 s, and in 0.6 s by random projections

_of_unlabelled = ArrayCache(64 * 2**20)  # of ten images


class SimilarPixels:
    """Unlabelled pixels in that space, and the nearest neighbours of each.

    Parameters
    ----------
    unlabelled : ndarray, float32, shape (n, F)
        Standardised features.
    grouped : ndarray of bool, shape (F,)
        Which of them the linear head replaces.
    seed : int
        Of the principal components.
    """

    def __init__(self, unlabelled: np.ndarray, grouped: np.ndarray, seed: int) -> None:
        digest = hashlib.blake2b(np.ascontiguousarray(unlabelled).data, digest_size=32)
        key = (digest.digest(), unlabelled.shape, grouped.tobytes(), seed)
        self._axes = _of_unlabelled.get((*key, "axes"), lambda: embedding(unlabelled, grouped, seed))
        self._points = _of_unlabelled.get((*key, "points"), lambda: self._placed(unlabelled))
        self._near = _of_unlabelled.get((*key, "near"), lambda: _nearest(self._points, self._points, among_itself=True))

    def _placed(self, samples: np.ndarray) -> np.ndarray:
        """Samples float32 (n, F) in the space, float64 (n, D)."""
        axes, offset = self._axes[:-1].astype(np.float32), self._axes[-1]
        return (samples @ axes).astype(np.float64) - offset

    def graph(self, labelled: np.ndarray) -> csr_matrix:
        """The graph of similar pixels.

        Parameters
        ----------
        labelled : ndarray, float32, shape (m, F)
            Standardised features of further pixels.

        Returns
        -------
        scipy.sparse.csr_matrix, shape (n + m, n + m)
            The labelled pixels last. See :func:`neighbour_graph`.
        """
        own, count = self._placed(labelled), len(self._points)
        behind = np.array([0, count])
        of_unlabelled = (self._near, _nearest(self._points, own) + behind)
        of_labelled = (_nearest(own, self._points), _nearest(own, own, among_itself=True) + behind)
        most = min(NEIGHBOURS, count + len(own) - 1)
        return neighbour_graph(np.concatenate([_merged(*of_unlabelled, most), _merged(*of_labelled, most)]))


def embedding(samples: np.ndarray, grouped: np.ndarray, seed: int) -> np.ndarray:
    """The space in which neighbours are looked for.

    Principal components of the grouped features (the ViT's channels), scaled to a total variance of 1, and of the
    others, scaled to ``PLAIN_SCALE ** 2``: there are many more of the former.

    Parameters
    ----------
    samples : ndarray, float32, shape (n, F)
        Standardised features.
    grouped : ndarray of bool, shape (F,)
    seed : int

    Returns
    -------
    ndarray, float64, shape (F + 1, D)
        Axes in columns, 48 at most, and below them the samples' mean along each.
    """
    from sklearn.decomposition import PCA

    found, differs = [], np.ptp(samples, axis=0) > 0
    for kind, most, scale in ((grouped, GROUPED_COMPONENTS, 1.0), (~grouped, PLAIN_COMPONENTS, PLAIN_SCALE)):
        own = kind & differs
        values = samples[:, columns(own)]
        if count := min(most, *values.shape):
            solver = "covariance_eigh" if values.shape[1] <= _FEW_FEATURES else "randomized"
            fitted = PCA(count, svd_solver=solver, iterated_power=2, random_state=seed).fit(values)
            axes = np.zeros((samples.shape[1] + 1, count))
            axes[:-1][own] = fitted.components_.T
            axes[-1] = fitted.mean_ @ fitted.components_.T
            found.append(axes * (scale / np.sqrt((values @ fitted.components_.T).var(0, dtype=np.float64).sum())))
    return np.hstack(found) if found else np.zeros((samples.shape[1] + 1, 1))


def _nearest(points: np.ndarray, others: np.ndarray, *, among_itself: bool = False) -> np.ndarray:
    """Distance and place of each point's nearest others, nearest first, float64 (n, at most NEIGHBOURS, 2)."""
    from sklearn.neighbors import NearestNeighbors

    most = min(NEIGHBOURS, len(others) - among_itself)
    if not (len(points) and most):
        return np.zeros((len(points), 0, 2))
    search = NearestNeighbors(n_neighbors=most).fit(others)
    return np.stack(search.kneighbors(None if among_itself else points), -1)


def _merged(one: np.ndarray, other: np.ndarray, most: int) -> np.ndarray:
    """The nearest of two lists of neighbours, (n, most, 2)."""
    both = np.concatenate([one, other], 1)
    order = np.argsort(both[..., 0], 1, kind="stable")[:, :most]
    return np.take_along_axis(both, order[..., None], 1)


def neighbour_graph(near: np.ndarray) -> csr_matrix:
    """A graph of points and their nearest neighbours.

    Parameters
    ----------
    near : ndarray, float64, shape (n, k, 2)
        Distance and place of the neighbours of each, nearest first.

    Returns
    -------
    scipy.sparse.csr_matrix, shape (n, n)
        Symmetric; of each point and its neighbours ``exp(-2 (d / d_k)^2)``, where d_k is the distance to the last of
        them.
    """
    from scipy.sparse import csr_matrix

    count, most = near.shape[:2]
    distance, place = near[..., 0], near[..., 1].astype(np.int32)
    weight = np.exp(-2 * (distance / np.maximum(distance[:, -1:], 1e-12)) ** 2)
    graph = csr_matrix((weight.ravel(), place.ravel(), np.arange(0, count * most + 1, most)), shape=(count, count))
    return graph.maximum(graph.T)
