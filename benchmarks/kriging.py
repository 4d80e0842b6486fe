"""Where within coarse voxels a phase lies, by area-to-point kriging (Kyriakidis 2004, Geographical Analysis 36).

A coarse volume of labels shows of each voxel whether a phase has most of it. Of each fine voxel the best linear
estimate from the coarse ones around follows from the covariance of the phase, which is that of a fine slice:
covariances of coarse voxels with one another and with the fine voxel are means of it. A label is a rough measure of the
share of its voxel; the nugget stands for what it is off by.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REACH = 2  # coarse voxels to each side of the one that are asked
# of the variance of coarse voxels; 0.3 to 0.5 overlapped best with the particles of two crops of a battery electrode
_NUGGET = 0.5


def reach_of(factor: int) -> int:
    """Fine pixels up to which covariances are needed."""
    return int(np.ceil(np.sqrt(3) * (2 * REACH + 2) * factor))


def kriging_weights(radii: np.ndarray, covariances: np.ndarray, factor: int) -> np.ndarray:
    """Weights of the coarse voxels around.

    Parameters
    ----------
    radii, covariances : np.ndarray
        Of a phase by distance in fine pixels; 0 beyond the last.
    factor : int
        Fine voxels along a coarse one.

    Returns
    -------
    np.ndarray
        (factor, factor, factor, n, n, n) float64 with n = 2 REACH + 1: for each fine voxel of a coarse one, by which
        the centred labels of the coarse voxels around are to be multiplied.
    """
    n, side = 2 * REACH + 1, 2 * REACH * factor + factor
    steps = np.arange(1 - side, side)  # between any two fine voxels
    distance = np.sqrt(steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2)
    between = np.interp(distance, radii, covariances, right=0.0)
    point = _box_means(between, factor)  # of a fine voxel with a coarse one that begins so many steps from it
    block = _box_means(point[::-1, ::-1, ::-1], factor)
    # of two coarse voxels, by the steps between their corners
    middle, fine = block.shape[0] // 2, factor * np.arange(-2 * REACH, 2 * REACH + 1)
    of_steps = block[np.ix_(*[middle + fine] * 3)]
    places = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    apart = places[:, None] - places + 2 * REACH
    matrix = of_steps[apart[..., 0], apart[..., 1], apart[..., 2]]
    matrix[np.diag_indices(len(matrix))] += _NUGGET * of_steps[(2 * REACH,) * 3]
    corners = factor * np.arange(-REACH, REACH + 1)
    along = side - 1 + corners[None] - np.arange(factor)[:, None]  # (factor, n): where in `point`
    sides = point[
        along[:, None, None, :, None, None],
        along[None, :, None, None, :, None],
        along[None, None, :, None, None, :],
    ]
    weights = np.linalg.solve(matrix, sides.reshape(factor**3, n**3).T).T
    return weights.reshape(factor, factor, factor, n, n, n)


def _box_means(values: np.ndarray, side: int) -> np.ndarray:
    """Means over all cubes of a side, by the place of their first corner."""
    for axis in range(3):
        sums = np.cumsum(np.moveaxis(values, axis, 0), axis=0)
        sums = np.concatenate([np.zeros((1, *sums.shape[1:])), sums])
        values = np.moveaxis((sums[side:] - sums[:-side]) / side, 0, axis)
    return values


def kriged(
    labels: np.ndarray, covariances: Sequence[tuple[np.ndarray, np.ndarray]], factor: int, least: float
) -> np.ndarray:
    """Probability of each group in the fine voxels of a coarse volume.

    Parameters
    ----------
    labels : np.ndarray
        (Z, Y, X) number of the group.
    covariances : sequence of (radii, covariances)
        Of each group, see `kriging_weights`.
    factor : int
        Fine voxels along a coarse one.
    least : float
        No probability is less.

    Returns
    -------
    np.ndarray
        (G, factor Z, factor Y, factor X) float32; they sum to 1.
    """
    from scipy import ndimage

    shape = tuple(factor * size for size in labels.shape)
    found = np.empty((len(covariances), *shape), np.float32)
    for group, (radii, values) in enumerate(covariances):
        there = (labels == group).astype(np.float32)
        mean = there.mean()
        weights = kriging_weights(radii, values, factor)
        for place in np.ndindex(factor, factor, factor):
            z, y, x = (slice(start, None, factor) for start in place)
            found[group, z, y, x] = ndimage.correlate(there - mean, weights[place], mode="nearest") + mean
    np.clip(found, least, 1 - least, out=found)
    return found / found.sum(0)
