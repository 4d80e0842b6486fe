"""Joint bilateral upsampling: features on the patch grid -> pixels, along what a guide shows.

Kopf, Cohen, Lischinski, Uyttendaele 2007 (doi:10.1145/1276377.1276497): a pixel's features are a weighted mean over the
patches around it, where a patch counts the more the nearer it is and the more alike the guide is, there and here::

    weight(pixel, patch) = B(y - patch y) B(x - patch x) exp(-|guide(pixel) - mean guide of the patch|^2 / 2)

with B the quadratic B-spline over three patches, which is 0 at their end, so that nothing jumps from pixel to pixel;
the nine weights are divided by their sum. They depend on the image alone: upsampling is linear in the features, and
what is the same in all patches stays as it is.
"""

from __future__ import annotations

import numba
import numpy as np

from fijibridge.core.parallel import compiled, compiled_with
from fijibridge.features.upsampling.base import Upsampler


@compiled_with(inline="always")
def _spline(place, out):  # pragma: no cover - compiled
    """The three cells around a place in units of cells: the first, and their weights."""
    middle = np.floor(place + 0.5)
    part = place - middle
    out[0] = 0.5 * (0.5 - part) * (0.5 - part)
    out[1] = 0.75 - part * part
    out[2] = 0.5 * (0.5 + part) * (0.5 + part)
    return int(middle) - 1


@compiled
def _weights(y, x, shape, own, cells, weights, rows, cols):  # pragma: no cover - compiled
    """Nine cells of a pixel and their weights, which sum to 1."""
    gy, gx, depth = cells.shape
    near_y, near_x = np.empty(3), np.empty(3)
    top = _spline((y + 0.5) * gy / shape[0] - 0.5, near_y)
    left = _spline((x + 0.5) * gx / shape[1] - 0.5, near_x)
    least = np.inf
    for i in range(9):
        row, col = min(max(top + i // 3, 0), gy - 1), min(max(left + i % 3, 0), gx - 1)
        distance = 0.0
        for k in range(depth):
            difference = own[k] - cells[row, col, k]
            distance += difference * difference
        rows[i], cols[i], weights[i] = row, col, distance
        if near_y[i // 3] * near_x[i % 3] > 0:
            least = min(least, distance)
    total = 0.0
    for i in range(9):
        weights[i] = near_y[i // 3] * near_x[i % 3] * np.exp(min(0.5 * (least - weights[i]), 0.0))
        total += weights[i]
    for i in range(9):
        weights[i] /= total


@compiled_with(parallel=True)
def _block(tokens, shape, top, left, guide, cells, out):  # pragma: no cover - compiled
    channels = tokens.shape[2]
    for row in numba.prange(out.shape[0]):
        weights, rows, cols = np.empty(9), np.empty(9, np.int64), np.empty(9, np.int64)
        for col in range(out.shape[1]):
            y, x = top + row, left + col
            _weights(y, x, shape, guide[y, x], cells, weights, rows, cols)
            for channel in range(channels):
                out[row, col, channel] = 0
            for i in range(9):
                weight, source = np.float32(weights[i]), tokens[rows[i], cols[i]]
                for channel in range(channels):
                    out[row, col, channel] += weight * source[channel]


@compiled_with(parallel=True)
def _at(tokens, shape, y, x, guide, cells, out):  # pragma: no cover - compiled
    channels = tokens.shape[2]
    for n in numba.prange(y.size):
        weights, rows, cols = np.empty(9), np.empty(9, np.int64), np.empty(9, np.int64)
        _weights(y[n], x[n], shape, guide[y[n], x[n]], cells, weights, rows, cols)
        for channel in range(channels):
            out[n, channel] = 0
        for i in range(9):
            weight, source = np.float32(weights[i]), tokens[rows[i], cols[i]]
            for channel in range(channels):
                out[n, channel] += weight * source[channel]


class JointBilateral(Upsampler):
    """Joint bilateral upsampling of one image's features, for patch grids of any size.

    Parameters
    ----------
    guide : ndarray, float32 or float16, shape (Y, X, D)
        What is compared, in units of the distance at which a patch counts ``exp(-1/2)`` times as much.
    """

    def __init__(self, guide: np.ndarray) -> None:
        self.guide = guide
        self.shape = guide.shape[:2]
        self._means: dict[tuple[int, int], np.ndarray] = {}

    def block(self, tokens: np.ndarray, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.upsampling.base.Upsampler`."""
        if out.size:
            _block(tokens, self.shape, rows.start, cols.start, self.guide, self._cells(tokens.shape[:2]), out)

    def at(self, tokens: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """See :class:`fijibridge.features.upsampling.base.Upsampler`."""
        out = np.empty((len(y), tokens.shape[2]), np.float32)
        _at(tokens, self.shape, y, x, self.guide, self._cells(tokens.shape[:2]), out)
        return out

    def _cells(self, grid: tuple[int, int]) -> np.ndarray:
        """Means of the guide over the patches: float32 (gy, gx, D)."""
        if grid not in self._means:
            planes = np.moveaxis(self.guide, -1, 0)
            self._means[grid] = np.stack([patch_means(plane, grid) for plane in planes], axis=-1)
        return self._means[grid]


def patch_means(plane: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Means of a plane (Y, X) over the cells of a grid that covers it, float32; a cell has one pixel at least.

    Parameters
    ----------
    plane : ndarray, shape (Y, X)
    grid : (int, int)
        Rows and columns of cells.
    """
    import torch

    whole = torch.from_numpy(np.ascontiguousarray(plane, np.float32))
    return torch.nn.functional.adaptive_avg_pool2d(whole[None], grid)[0].numpy()


def grey_guide(grey: np.ndarray, sigma: float, contrast: float) -> np.ndarray:
    """A guide of the grey image itself, (Y, X, 1) float32.

    Parameters
    ----------
    grey : ndarray, float32, shape (Y, X)
        Scaled to 0 to 1.
    sigma : float
        Of the Gaussian that smooths the image, in pixels: noise is no edge.
    contrast : float
        Difference of grey values, on that scale, at which a patch counts ``exp(-1/2)`` times as much.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(grey, sigma, mode="nearest")
    return (smooth / np.float32(contrast)).astype(np.float32)[..., None]
