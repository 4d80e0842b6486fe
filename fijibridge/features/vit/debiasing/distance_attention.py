"""Attention that falls with distance (ALiBi), on a mean position embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from fijibridge.features.vit.debiasing.base import Debiasing
from fijibridge.features.vit.debiasing.mean_embedding import use_mean_position

SLOPE = 4.0


class DistanceAttention(Debiasing):
    """The attention's logits are numbers for each pair of patches and head: 240 MB for a tile of 784 px."""

    largest_tile = 784
    network_variant = "mean embedding"
    accurate = False

    def prepare(self, network: Any, encoder: str) -> None:
        """See :meth:`fijibridge.features.vit.debiasing.base.Debiasing.prepare`."""
        use_mean_position(network, encoder, "alibi")

    def attention_bias(self, shape: tuple[int, int], heads: int, prefix: int) -> np.ndarray | None:
        """See :meth:`fijibridge.features.vit.debiasing.base.Debiasing.attention_bias`."""
        return distance_bias(shape, heads, prefix, SLOPE)


ALIBI = DistanceAttention()


def distance_bias(shape: tuple[int, int], heads: int, prefix: int, slope: float) -> np.ndarray:
    """What is added to the attention's logits so that near patches count more: ALiBi in two dimensions.

    Head i of H has the bias ``-slope * 2^(-8 i / H)`` times the distance in patches (Press, Smith, Lewis 2022, arXiv
    2108.12409); class and register tokens see all patches alike, and are seen alike.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of patches of a tile.
    heads : int
        H.
    prefix : int
        Tokens before those of the patches.
    slope : float

    Returns
    -------
    ndarray, float32, shape (1, heads, n, n)
        n: tokens of a tile.
    """
    y, x = (values.ravel() for values in np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32))
    distance = np.hypot(y[:, None] - y, x[:, None] - x)
    bias = np.zeros((1, heads, prefix + y.size, prefix + y.size), np.float32)
    for head in range(heads):
        bias[0, head, prefix:, prefix:] = -slope * 2 ** (-8 * (head + 1) / heads) * distance
    return bias
