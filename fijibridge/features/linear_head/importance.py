"""How much each block, scale and feature counts in the linear head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fijibridge.features.columns import columns
from fijibridge.features.linear_head.model import LinearModel

PLAIN = "plain"  # the features that the forest sees itself


def head_importances(model: LinearModel, samples: np.ndarray, groups: Sequence[str]) -> dict[str, np.ndarray]:
    """How much of the classes' values in a linear model comes from each group of features.

    A class's value is a sum over features; of each group's part of the sum the standard deviation over pixels is taken,
    after subtraction of the mean over the classes, which separates no classes.

    Parameters
    ----------
    model : LinearModel
    samples : ndarray, float32, shape (n, F)
        Standardised features at pixels drawn from the whole images.
    groups : sequence of str
        Of the features; empty: a plain feature.

    Returns
    -------
    dict
        Group -> float64 (K,), which sum to 1 over the groups for each class (0 for a class with no value at all).
        Groups are ``"plain"``, the features that the forest sees itself, and each block and scale of the ViT,
        ``"vit_b06"``.
    """
    of_feature = np.array(groups)
    grouped = of_feature != ""
    values = np.clip(samples[:, columns(~grouped)].astype(np.float64), model.low, model.high)
    parts = {PLAIN: values @ model.plain_weights}
    for group in dict.fromkeys(of_feature[grouped].tolist()):
        parts[group] = samples[:, columns(of_feature == group)] @ model.grouped_weights[of_feature[grouped] == group]
    spread = np.array([(part - part.mean(axis=1, keepdims=True)).std(axis=0) for part in parts.values()])
    total = spread.sum(axis=0)
    shares = np.divide(spread, total, out=np.zeros_like(spread), where=total > 0)
    return dict(zip(parts, shares, strict=True))
