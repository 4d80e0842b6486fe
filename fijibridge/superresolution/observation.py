"""How a coarse volume shows a fine structure: what it holds, and the same of a structure that is known.

From a known structure and what a coarse volume would show of it follows what lies behind the coarse voxels of another
volume of the same material (see `fijibridge.superresolution.posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.superresolution.agreement import FWHM
from fijibridge.superresolution.psf import fitted_intensities

if TYPE_CHECKING:
    from fijibridge.superresolution.agreement import Agreement

_TO_SIGMA = 1.4826  # of a median absolute deviation, for normal noise
_FEWEST = 30  # voxels from which the noise is measured
_NOISE = 0.05  # of the whole spread, where there is no uniform region


@dataclass(frozen=True, eq=False)
class Observation:
    """What a coarse volume shows, as channels that do not depend on the range of its values.

    Labels and probabilities have a channel for each group of phases but the last, grey values have one.

    Parameters
    ----------
    agreement : Agreement
        The coarse volume and how it sees: threshold, point-spread function.
    intensities : np.ndarray
        (G,) grey value of each group; empty but for grey values.
    noise : float
        Standard deviation of the noise, in units of the channels; 0 of labels.
    """

    agreement: Agreement
    intensities: np.ndarray
    noise: float

    @property
    def channels(self) -> int:
        """Number of channels."""
        coarse = self.agreement.coarse
        return 1 if coarse.kind == "grey" else len(coarse.groups) - 1

    def given(self) -> np.ndarray:
        """(C, z, y, x) float32: the coarse volume."""
        coarse = self.agreement.coarse
        if coarse.kind == "labels":
            return _one_hot(coarse.labels, self.channels)
        if coarse.kind == "probabilities":
            return coarse.values[: self.channels].astype(np.float32)
        return self._scaled(coarse.values)[None]

    def of(self, index: np.ndarray) -> np.ndarray:
        """What would be seen of a structure, wherever the coarse grid lies, without noise.

        Parameters
        ----------
        index : np.ndarray
            (Z, Y, X) phase indices.

        Returns
        -------
        np.ndarray
            (C, Z - f + 1, Y - f + 1, X - f + 1) float32 for the factor f: of the coarse voxel whose first fine voxel
            lies there.
        """
        import torch
        import torch.nn.functional as F

        agreement = self.agreement
        one_hot = _one_hot(index, len(agreement.within))
        shares = agreement.seen_finely(torch.from_numpy(one_hot))
        found = F.avg_pool3d(shares[None], agreement.factor, stride=1)[0].numpy()
        if agreement.coarse.kind == "labels":
            found += agreement.offsets.astype(np.float32)[:, None, None, None]
            return _one_hot(found.argmax(0), self.channels)
        if agreement.coarse.kind == "probabilities":
            return found[: self.channels]
        return self._scaled(np.tensordot(self.intensities.astype(np.float32), found, 1))[None]

    def _scaled(self, grey: np.ndarray) -> np.ndarray:
        """Grey values, such that the groups' lie between 0 and 1."""
        low, high = self.intensities.min(), self.intensities.max()
        return ((grey - low) / max(high - low, 1e-9)).astype(np.float32)


def observation_of(agreement: Agreement) -> Observation:
    """Intensities and noise of a coarse volume.

    The noise is measured where a coarse voxel and its 26 neighbours show the same group.

    Parameters
    ----------
    agreement : Agreement
        The coarse volume and how it sees.
    """
    coarse = agreement.coarse
    nothing = np.zeros(0)
    if coarse.kind == "labels":
        return Observation(agreement, nothing, 0.0)
    if coarse.kind == "grey":
        width = agreement.sigma * FWHM / agreement.factor
        plain = Observation(agreement, fitted_intensities(coarse, agreement.factor, width), 0.0)
    else:
        plain = Observation(agreement, nothing, 0.0)
    return Observation(agreement, plain.intensities, _noise(plain.given(), coarse.labels))


def _noise(values: np.ndarray, labels: np.ndarray) -> float:
    """Standard deviation within uniform regions, mean over (C, z, y, x) channels."""
    from scipy import ndimage

    same = ndimage.maximum_filter(labels, 3) == ndimage.minimum_filter(labels, 3)
    apart = []
    for group in np.unique(labels):
        there = same & (labels == group)
        if np.count_nonzero(there) >= _FEWEST:
            inside = values[:, there]
            apart.append(np.abs(inside - np.median(inside, axis=1, keepdims=True)))
    if not apart:
        return _NOISE * float(np.ptp(values))
    return _TO_SIGMA * float(np.median(np.concatenate(apart, axis=1)))


def _one_hot(index: np.ndarray, count: int) -> np.ndarray:
    """(count, Z, Y, X) float32."""
    return (index == np.arange(count)[:, None, None, None]).astype(np.float32)
