"""The positional pattern is subtracted, and directions that encode the position in noise are projected out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fijibridge.features.vit.debiasing.base import TileRunner
from fijibridge.features.vit.debiasing.template import Template

if TYPE_CHECKING:
    import numpy as np


class Distilled(Template):
    """See :mod:`fijibridge.features.vit.debiasing.erasure`."""

    accurate = False
    uses_mean = True

    def finish(self, tiles: TileRunner, tokens: np.ndarray, mean: np.ndarray | None = None) -> None:
        """See :meth:`fijibridge.features.vit.debiasing.base.Debiasing.finish`."""
        from fijibridge.features.vit.debiasing.erasure import noise_erasure
        from fijibridge.features.vit.debiasing.pattern import noise_pattern

        shape = (tiles.side, tiles.side)  # of tiles of one size, so that all images lose the same
        noise_erasure(tiles, shape, noise_pattern(tiles, shape, self.flips)).apply(tokens, mean)


DISTILLED = Distilled()
