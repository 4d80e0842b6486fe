"""What a network has on a coarse grid, as features of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fijibridge.features.source import NO_STATISTICS, ImageFeatures
from fijibridge.features.upsampling.base import Upsampler


class TokenFeatures(ImageFeatures):
    """Channels on a coarse grid, such as a ViT's tokens on its patches, upsampled where they are wanted.

    Parameters
    ----------
    tokens : ndarray, float32, shape (gy, gx, C)
    upsampler : Upsampler
        Of the image.
    names : tuple of str
    groups : tuple of str
    statistics : callable, optional
        See :meth:`statistics`.
    detector : str
        See :class:`fijibridge.features.source.ImageFeatures`.
    """

    picks_pixels = True

    def __init__(
        self,
        tokens: np.ndarray,
        upsampler: Upsampler,
        names: tuple[str, ...],
        groups: tuple[str, ...],
        statistics: Callable[[], Mapping[str, np.ndarray]] | None = None,
        detector: str = "",
    ) -> None:
        self.tokens, self.upsampler, self.names, self.groups = tokens, upsampler, names, groups
        self.detector = detector
        self._statistics = statistics

    def statistics(self) -> Mapping[str, np.ndarray]:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        return self._statistics() if self._statistics else NO_STATISTICS

    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        self.upsampler.block(self.tokens, rows, cols, out)

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        return self.upsampler.at(self.tokens, y, x)

    def spread_over(self) -> np.ndarray | None:
        """The coarse grid; sampled pixels where upsampling is not linear, for the features there are others."""
        return self.tokens if self.upsampler.linear else None

    def grid_tokens(self) -> np.ndarray | None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        return self.tokens

    def weighted(self, weights: np.ndarray) -> ImageFeatures:
        """On the coarse grid where upsampling is linear: K channels in place of hundreds are then upsampled."""
        names = tuple(f"weighted_{k}" for k in range(weights.shape[1]))
        groups = ("",) * weights.shape[1]
        if self.upsampler.linear:
            return TokenFeatures(np.stack([row @ weights for row in self.tokens]), self.upsampler, names, groups)
        return TokenFeatures(self.tokens, self.upsampler.weighted(weights), names, groups)
