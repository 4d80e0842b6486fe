"""Label propagation: classes spread from labelled pixels to others along a graph of similar pixels.

Zhu, Ghahramani and Lafferty 2003 (harmonic functions), as the absorption of random walks (Wu, Li, So, Wright and Chang
2012): a walk from an unlabelled pixel goes on to one of its nearest neighbours in feature space, more often to
those more alike, until a labelled pixel absorbs it or, with a small probability a step, it ends unseen. The pixel's
classes are the shares of its walks that each class absorbed.

So a single stroke labels all the pixels that can be reached from it through others like them, and a class's share of
the labels says little of its share of the image. A model fitted at the labels has to guess both from a few hundred
pixels that are all alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Chosen on the tuning images of benchmarks/segmentation.py, with all labels, few, and those of a part of the image.
LEAK = 0.005  # probability that a walk ends at a step
_UNREACHED = 1e-9  # share of the walks below which no label is in reach


def propagate(graph: csr_matrix, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Class probabilities of all pixels of a graph.

    A labelled pixel absorbs half of the walks that come to it where its class has the fewest labels, and in proportion
    fewer where its class has more.

    Parameters
    ----------
    graph : scipy.sparse.csr_matrix, shape (n, n)
        See :meth:`fijibridge.segmentation.similar_pixels.SimilarPixels.graph`.
    classes : ndarray of int, shape (n,)
        0 to n_classes - 1; -1 where it is unknown. One known at least.
    n_classes : int

    Returns
    -------
    ndarray, float64, shape (n, n_classes)
        Each row sums to 1, or is 0 where no label is in reach.
    """
    from scipy.sparse import diags
    from scipy.sparse.linalg import cg
    from threadpoolctl import threadpool_limits

    known = classes >= 0
    counts = np.bincount(classes[known], minlength=n_classes)
    absorbing = counts[counts > 0].min() / np.maximum(counts, 1)
    degree = np.asarray(graph.sum(1)).ravel()
    taken = np.where(known, absorbing[classes], LEAK) * degree
    system = (diags(degree + taken) - graph).tocsr()
    guess = diags(1 / (degree + taken))
    found = np.zeros((len(classes), n_classes))
    with threadpool_limits(1, "blas"):  # two threads spin on vectors as short as these: seven times the CPU seconds
        for k in np.flatnonzero(counts):
            found[:, k] = cg(system, np.where(classes == k, taken, 0), rtol=1e-5, maxiter=1000, M=guess)[0]
    found = np.maximum(found, 0)
    total = found.sum(1, keepdims=True)
    return np.divide(found, total, out=np.zeros_like(found), where=total > _UNREACHED)
