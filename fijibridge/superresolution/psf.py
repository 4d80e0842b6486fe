"""The point-spread function of a coarse volume, estimated from how wide its edges are."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.superresolution.agreement import FWHM

if TYPE_CHECKING:
    from fijibridge.superresolution.coarse import Coarse

_WIDEST = 2.5  # coarse voxels, FWHM
_STEP = 0.1
_MOST = 48  # coarse voxels a side that are looked at, in the middle


def estimated_psf(coarse: Coarse, factor: int) -> float:
    """Full width at half maximum of a Gaussian point-spread function.

    The interpolated volume, cut at its thresholds, has sharp edges where the material has them. Blurred with a width
    and averaged over coarse voxels it comes nearest to the coarse volume (grey values: to a linear function of the
    groups' shares) at the right width. Structures should be wider than the function; else it is underestimated.

    Parameters
    ----------
    coarse : Coarse
        Probabilities or grey values.
    factor : int
        Fine voxels along a coarse one.

    Returns
    -------
    float
        In coarse voxels; 0 for labels.
    """
    if coarse.kind == "labels":
        return 0.0
    values, masks = _sharpened(coarse, factor)
    widths = np.arange(0, _WIDEST + 1e-9, _STEP)
    errors = []
    for width in widths:
        shares = np.stack([_seen(mask, width * factor / FWHM, factor) for mask in masks])
        if coarse.kind == "grey":
            errors.append(np.square(np.tensordot(_fitted(shares, values), shares, 1) - values).mean())
        else:
            errors.append(np.square(shares - values).mean())
    return float(widths[int(np.argmin(errors))])


def fitted_intensities(coarse: Coarse, factor: int, width: float) -> np.ndarray:
    """Grey value of each group: those with which the interpolated volume, blurred, comes nearest to the coarse one.

    Parameters
    ----------
    coarse : Coarse
        Grey values.
    factor : int
        Fine voxels along a coarse one.
    width : float
        Of the point-spread function (FWHM), in coarse voxels.

    Returns
    -------
    np.ndarray
        (G,) float64.
    """
    values, masks = _sharpened(coarse, factor)
    return _fitted(np.stack([_seen(mask, width * factor / FWHM, factor) for mask in masks]), values)


def _fitted(shares: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(G,) by which (G, z, y, x) shares are to be multiplied to give grey values."""
    found, *_ = np.linalg.lstsq(shares.reshape(len(shares), -1).T, values.ravel(), rcond=None)
    return np.asarray(found, np.float64)


def _sharpened(coarse: Coarse, factor: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The middle of a volume, and the groups' fine masks there: interpolated and cut at the thresholds."""
    from scipy import ndimage

    middle = tuple(slice(max(0, (size - _MOST) // 2), (size + _MOST) // 2) for size in coarse.shape)
    place: tuple[Any, ...] = (..., *middle)
    values = coarse.values[place]

    def enlarged(array: np.ndarray) -> np.ndarray:
        return ndimage.zoom(array, factor, order=3, mode="nearest", grid_mode=True)

    count = len(coarse.groups)
    if coarse.kind == "grey":
        # between the groups' grey values, halfway from the brightest of one to the darkest of the next
        order = sorted(range(count), key=lambda group: float(np.median(coarse.values[coarse.labels == group])))
        ends = [
            (coarse.values[coarse.labels == low].max() + coarse.values[coarse.labels == high].min()) / 2
            for low, high in pairwise(order)
        ]
        groups = np.array(order)[np.digitize(enlarged(values), ends)]
    else:
        groups = np.stack([enlarged(share) for share in values]).argmax(0)
    return values, [(groups == group).astype(np.float32) for group in range(count)]


def _seen(mask: np.ndarray, sigma: float, factor: int) -> np.ndarray:
    """A fine mask, blurred and averaged over coarse voxels."""
    from scipy import ndimage

    if sigma:
        mask = ndimage.gaussian_filter(mask, sigma, mode="nearest")
    z, y, x = (size // factor for size in mask.shape)
    return mask.reshape(z, factor, y, factor, x, factor).mean((1, 3, 5))
