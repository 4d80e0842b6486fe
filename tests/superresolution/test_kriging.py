"""Kriging: where within coarse voxels a phase lies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fijibridge.superresolution.kriging import REACH, kriged, kriging_weights, reach_of
from fijibridge.superresolution.partial_volume import radial_covariance


def _covariance(distance: np.ndarray) -> np.ndarray:
    return 0.2 * np.exp(-distance / 5)


def test_weights_solve_the_kriging_equations():
    """Weights times the covariance of coarse voxels are the covariances with the fine ones, each pair summed up."""
    factor, n = 2, 2 * REACH + 1
    radii = np.linspace(0, reach_of(factor), 4000)
    weights = kriging_weights(radii, _covariance(radii), factor)
    assert weights.shape == (factor,) * 3 + (n,) * 3
    inside = np.array(list(np.ndindex((factor,) * 3)))
    corners = factor * (np.array(list(np.ndindex((n,) * 3))) - REACH)
    voxels = (corners[:, None] + inside).reshape(-1, 3)
    apart = np.linalg.norm(voxels[:, None] - voxels, axis=-1)
    block = _covariance(apart).reshape(n**3, factor**3, n**3, factor**3).mean((1, 3))
    block += 0.5 * block[0, 0] * np.eye(n**3)
    point = np.linalg.norm(inside[:, None, None] - (corners[:, None] + inside), axis=-1)
    wanted = _covariance(point).mean(2)
    assert weights.reshape(factor**3, -1) @ block == pytest.approx(wanted, abs=1e-6)


def test_a_phase_is_found_nearer_to_the_truth_than_by_interpolation():
    rng = np.random.default_rng(3)
    field = ndimage.gaussian_filter(rng.standard_normal((64, 64, 64)), 2.5, mode="wrap")
    truth = field > np.quantile(field, 0.6)
    shares = truth.reshape(16, 4, 16, 4, 16, 4).mean((1, 3, 5))
    labels = (shares < 0.5).astype(np.uint8)  # group 0 is the phase
    slices = ndimage.gaussian_filter(rng.standard_normal((200, 200)), 2.5, mode="wrap")
    mask = (slices > np.quantile(slices, 0.6)).astype(np.float32)
    covariances = [radial_covariance(image, reach_of(4)) for image in (mask, 1 - mask)]
    found = kriged(labels, covariances, 4, 0.02)
    assert found.sum(0) == pytest.approx(1, abs=1e-6)
    assert found.min() > 0.015
    cubic = ndimage.zoom((labels == 0).astype(np.float32), 4, order=3, mode="nearest", grid_mode=True)

    def overlap(share: np.ndarray) -> float:
        there = share > np.quantile(share, 1 - truth.mean())
        return (there & truth).sum() / (there | truth).sum()

    assert overlap(found[0]) > overlap(cubic) + 0.003
    # its probabilities are the shares of voxels that have the phase
    for low in (0.2, 0.4, 0.6):
        chosen = (found[0] >= low) & (found[0] < low + 0.2)
        assert truth[chosen].mean() == pytest.approx(found[0][chosen].mean(), abs=0.1)


def test_one_phase_alone_stays_alone():
    labels = np.zeros((6, 6, 6), np.uint8)
    radii = np.arange(40.0)
    found = kriged(labels, [(radii, _covariance(radii))] * 2, 2, 0.02)
    assert found[0] == pytest.approx(0.98, abs=1e-6)
