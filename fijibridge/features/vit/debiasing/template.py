"""The positional pattern, fitted to the image's own tiles, is subtracted from every tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fijibridge.features.vit.debiasing.base import Debiasing, TileRunner

if TYPE_CHECKING:
    import numpy as np


class Template(Debiasing):
    """See :mod:`fijibridge.features.vit.debiasing.pattern`."""

    def strengths(self, tiles: TileRunner, shape: tuple[int, int], mean: np.ndarray) -> np.ndarray | None:
        """See :meth:`fijibridge.features.vit.debiasing.base.Debiasing.strengths`."""
        from fijibridge.features.vit.debiasing.pattern import noise_pattern

        return noise_pattern(tiles, shape, self.flips).strengths(mean)

    def tile_pattern(
        self, tiles: TileRunner, shape: tuple[int, int], strengths: np.ndarray | None, count: int
    ) -> np.ndarray | None:
        """See :meth:`fijibridge.features.vit.debiasing.base.Debiasing.tile_pattern`."""
        from fijibridge.features.vit.debiasing.pattern import FEW_TILES, noise_pattern

        noise = noise_pattern(tiles, shape, self.flips)
        return noise.values if strengths is None or count < FEW_TILES else noise.with_strengths(strengths)


class TemplateFlips(Template):
    """The same on the mean over the four flips of each tile."""

    flips = 4


TEMPLATE, TEMPLATE_FLIPS = Template(), TemplateFlips()
