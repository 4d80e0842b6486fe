"""Particles, or pores, of a phase: its parts between necks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_DEPTH = 0.5  # voxels by which a neck must be thinner than both particles, in distance to their surface


def basins(
    mask: np.ndarray, spacing: Sequence[float] | None = None, *, distance: np.ndarray | None = None
) -> np.ndarray:
    """Particles of a phase, separated at their necks by the watershed of the distance to the surface.

    Parameters
    ----------
    mask : np.ndarray
        (Y, X) or (Z, Y, X) bool.
    spacing : sequence of float, optional
        Size of a voxel along each axis; 1 by default. Its smallest side is the unit of the necks' depth.
    distance : np.ndarray, optional
        The mask's shape, float32: the distance to the surface in that unit, where it is known already.

    Returns
    -------
    np.ndarray
        int32 of that shape: 0 outside, 1, 2, ... a particle.
    """
    from scipy import ndimage
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    if distance is None:
        steps = None if spacing is None else np.array(spacing) / min(spacing)
        distance = ndimage.distance_transform_edt(mask, sampling=steps).astype(np.float32)
    distance = ndimage.gaussian_filter(distance, 0.5) * mask  # ties of the voxel grid make no particles
    markers, _ = ndimage.label(h_maxima(distance, _DEPTH), np.ones((3,) * mask.ndim))
    return watershed(-distance, markers, mask=mask)
