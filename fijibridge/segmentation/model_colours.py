"""A forest that TWS trained on features of an RGB image, made fit for features in single precision."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fijibridge.forest import Forest

_MOST = 3 * 255  # red + green + blue


def on_thirds(forest: Forest) -> Forest:
    """The forest with splits that part float32 features as the old ones part TWS's own.

    Features of colours are thirds of whole numbers, which TWS has in double precision, while its forest stores some of
    them in single precision as splits: there a third that was rounded up is below the split that was made of it. Each
    split is replaced by the least third that is not below it, rounded to float32: the same side for every third.

    Parameters
    ----------
    forest : Forest

    Returns
    -------
    Forest
    """
    thirds = np.arange(_MOST + 1) / 3.0
    least = np.searchsorted(thirds, forest.threshold)
    reached = least <= _MOST
    splits = forest.threshold.copy()
    splits[reached] = thirds[least[reached]].astype(np.float32)
    return replace(forest, threshold=splits)
