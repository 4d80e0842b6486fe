"""A linear probe of the position of a patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_MOST_PROBED = 200  # patches a side that the probe looks at


def positional_probe(
    features: np.ndarray | Sequence[np.ndarray],
    *,
    split: str = "chessboard",
    ridge: float = 1.0,
    blocks: int = 4,
    seed: int = 0,
) -> float:
    """How well a linear model reads the place of a patch from its features: R^2 of a ridge probe of (x, y).

    Parameters
    ----------
    features : ndarray, shape (Y, X, F), or a sequence of them
        Features on the patch grid, or on pixels; of one image, or of several for ``split="images"``.
    split : {"chessboard", "random", "images"}
        ``"chessboard"``: the grid is cut into ``blocks`` x ``blocks`` fields; the probe is fitted on one colour and
        scored on the other, so that smoothness alone earns nothing. ``"random"``: fitted on a random 1/36 of the
        patches and scored on all; neighbours of a patch are alike, so that what varies slowly in the image earns, too.
        ``"images"``: fitted on all images but one and scored on that, in turn: the mean.
    ridge : float
        Penalty on standardised features, times the number of samples / 1000; with ``"random"`` and ``"images"`` it is
        the best of 0.01 to 1000 times that by leave-one-out on the samples (Golub, Heath, Wahba 1979).
    blocks : int
        Fields a side of the chessboard.
    seed : int
        Of the random patches.

    Returns
    -------
    float
        Mean R^2 of x and y. 1: the place can be read off; 0 or below: it cannot. NaN where there are too few patches.
    """
    images = [_thinned(one) for one in ([features] if isinstance(features, np.ndarray) else features)]
    if split == "images":
        scores = []
        for left_out in range(len(images)):
            kept = [_flat(image) for i, image in enumerate(images) if i != left_out]
            samples, target = (np.concatenate(parts) for parts in zip(*kept, strict=True))
            scores.append(_probe_score(samples, target, *_flat(images[left_out]), None))
        return float(np.mean(scores))
    samples, target = _flat(images[0])
    height, width = images[0].shape[:2]
    if min(height, width) < 2 * blocks:
        return float("nan")
    if split == "random":
        chosen = np.random.default_rng(seed).permutation(len(samples))[: len(samples) // 36]
        if len(chosen) < 2 * blocks:
            return float("nan")
        return _probe_score(samples[chosen], target[chosen], samples, target, None)
    y, x = np.mgrid[0:height, 0:width]
    train = ((y * blocks // height + x * blocks // width) % 2 == 0).ravel()
    return _probe_score(samples[train], target[train], samples[~train], target[~train], ridge)


def _thinned(features: np.ndarray) -> np.ndarray:
    """Every n-th row and column, so that a large image's hundreds of channels are not copied whole in float64."""
    step = max(1, -(-max(features.shape[:2]) // _MOST_PROBED))
    return features[::step, ::step]


def _flat(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples (n, F) and places (n, 2), y and x of 0 to 1."""
    height, width, channels = features.shape
    y, x = np.mgrid[0:height, 0:width]
    return features.reshape(-1, channels).astype(np.float64), np.stack([y.ravel() / height, x.ravel() / width], axis=1)


def _probe_score(
    samples: np.ndarray, target: np.ndarray, others: np.ndarray, truth: np.ndarray, ridge: float | None
) -> float:
    """R^2 on ``others`` of a ridge regression fitted on ``samples``; without a penalty the best is searched for."""
    mean, spread = samples.mean(0), samples.std(0) + 1e-9
    samples = (samples - mean) / spread
    centre = target.mean(0)
    if ridge is None:
        # leave-one-out error for each penalty from the singular values
        left, size, right = np.linalg.svd(samples, full_matrices=False)
        goal = left.T @ (target - centre)
        best = np.inf
        for penalty in len(samples) / 1000 * 10.0 ** np.arange(-2, 4):
            shrunk = size**2 / (size**2 + penalty)
            leverage = np.minimum((left**2) @ shrunk + 1 / len(samples), 1 - 1e-9)
            error = (((target - centre - left @ (shrunk[:, None] * goal)) / (1 - leverage)[:, None]) ** 2).sum()
            if error < best:
                best, coefficients = error, right.T @ ((size / (size**2 + penalty))[:, None] * goal)
    else:
        gram = samples.T @ samples
        gram[np.diag_indices(len(gram))] += ridge * len(samples) / 1000
        coefficients = np.linalg.solve(gram, samples.T @ (target - centre))
    residual = truth - centre - (others - mean) / spread @ coefficients
    return float(np.mean(1 - (residual**2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)))
