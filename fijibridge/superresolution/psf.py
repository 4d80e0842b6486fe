"""The point-spread function of a coarse volume, estimated from how its values and the fine slices correlate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.superresolution.agreement import FWHM
from fijibridge.superresolution.partial_volume import radial_covariance

if TYPE_CHECKING:
    from fijibridge.superresolution.coarse import Coarse

_LAGS = 4  # coarse voxels
_WIDEST = 2.5  # coarse voxels, FWHM
_STEP = 0.1


def estimated_psf(coarse: Coarse, masks: Sequence[np.ndarray], factor: int) -> float:
    """Full width at half maximum of a Gaussian point-spread function.

    The covariance of the fine material, isotropic and known from slices, convolved twice with the coarse voxel and
    with the point-spread function is the covariance of the coarse volume; the width is the one whose covariance
    comes nearest to the measured one at lags along the axes. Grey values have noise and unknown contrast: their lag
    0 is left out and the scale fitted.

    Parameters
    ----------
    coarse : Coarse
        Probabilities or grey values.
    masks : sequence of np.ndarray
        (G, Y, X) of each fine slice.
    factor : int
        Fine voxels along a coarse one.

    Returns
    -------
    float
        In coarse voxels; 0 for labels.
    """
    from scipy import ndimage

    if coarse.kind == "labels":
        return 0.0
    grey = coarse.kind == "grey"
    if grey:
        levels = np.array([np.median(coarse.values[coarse.labels == g]) for g in range(len(coarse.groups))])
        slices = [np.einsum("g,gyx->yx", levels, mask) for mask in masks]
        measured = coarse.values.astype(np.float64)
    else:
        slices = [mask[0].astype(np.float64) for mask in masks]
        measured = coarse.values[0].astype(np.float64)
    lags = np.arange(1 if grey else 0, min(_LAGS, min(measured.shape) // 2) + 1)
    measured = measured - measured.mean()
    wanted = np.array([_along_axes(measured, lag) for lag in lags])
    reach = (_LAGS + 1) * factor + int(np.ceil(3 * np.sqrt(2) * _WIDEST / FWHM * factor))
    steps = np.arange(-reach, reach + 1)
    distance = np.sqrt(steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2)
    fine = np.mean([np.interp(distance, *radial_covariance(image, reach), right=0.0) for image in slices], axis=0)
    for axis in range(3):  # a triangle: the voxel's box, twice
        kernel = np.convolve(np.ones(factor), np.ones(factor)) / factor**2
        fine = ndimage.convolve1d(fine, kernel, axis=axis, mode="constant")
    errors = []
    widths = np.arange(0, _WIDEST + 1e-9, _STEP)
    for width in widths:
        sigma = np.sqrt(2) * width / FWHM * factor
        seen = ndimage.gaussian_filter(fine, sigma, mode="constant") if width else fine
        found = seen[reach, reach, reach + lags * factor]
        scale = (found @ wanted) / (found @ found) if grey else 1.0
        errors.append(np.square(scale * found - wanted).sum())
    return float(widths[int(np.argmin(errors))])


def _along_axes(values: np.ndarray, lag: int) -> float:
    """Mean product of values a lag apart, over the three axes."""
    found = []
    for axis in range(3):
        moved = np.moveaxis(values, axis, 0)
        found.append((moved[: len(moved) - lag] * moved[lag:]).mean())
    return float(np.mean(found))
