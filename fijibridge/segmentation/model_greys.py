"""Which greys a forest of TWS's features was trained on, as far as its splits tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fijibridge.forest import Forest

# Features in the units of the image itself: greys, blurred or picked.
_GREYS = ("original", "Gaussian_blur_", "Mean_", "Median_", "Minimum_", "Maximum_", "Neighbors_", "Bilateral_")


def greys_of_forest(forest: Forest) -> tuple[float, float] | None:
    """The lowest and the highest split on features that are greys; None where there are not two.

    A split lies between greys of two classes, so that the training's own greys reached further on both sides.

    Parameters
    ----------
    forest : Forest
    """
    of_grey = np.array([name.startswith(_GREYS) for name in forest.feature_names])
    inner = forest.feature >= 0
    splits = forest.threshold[inner][of_grey[forest.feature[inner]]]
    if splits.size < 2 or splits.min() == splits.max():
        return None
    return float(splits.min()), float(splits.max())
