"""Positional bias: measured by a probe, removed by a mean position embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from fijibridge.errors import SettingsError


def use_mean_position(model: Any, encoder: str) -> None:
    """Replace a ViT's learned position embedding by its mean over the patch grid, in place.

    Every patch then gets the same vector, so that a homogeneous image gives homogeneous features; no training.
    The class token's own entry stays.

    Raises
    ------
    SettingsError
        The encoder has no learned absolute position embedding, a rotary one too (which cannot be averaged), or an
        attention without a mask.
    """
    import inspect

    import torch

    embedding = getattr(model, "pos_embed", None)
    rotary = getattr(model, "rope", None) is not None
    if rotary or not isinstance(embedding, torch.nn.Parameter) or embedding.ndim != 3:
        raise SettingsError(
            f"position='mean' with encoder {encoder!r}, which has "
            + ("a rotary position embedding" if rotary else "no learned position embedding"),
            expected="a ViT with an absolute position embedding alone",
            remedy="use position='keep', or another encoder",
        )
    if "attn_mask" not in inspect.signature(model.forward_intermediates).parameters:  # tiles need it for their context
        raise SettingsError(
            f"position='mean' with encoder {encoder!r}, whose attention takes no mask",
            expected="a plain ViT, of timm's VisionTransformer class",
            remedy="use position='keep', or another encoder",
        )
    prefix = 0 if getattr(model, "no_embed_class", False) else model.num_prefix_tokens
    with torch.no_grad():
        embedding[:, prefix:] = embedding[:, prefix:].mean(dim=1, keepdim=True)


def positional_probe(features: np.ndarray, *, ridge: float = 1.0, blocks: int = 4) -> float:
    """How well a linear model reads the place of a patch from its features: R^2 of a ridge probe of (x, y).

    The grid is cut into ``blocks`` x ``blocks`` fields like a chessboard; the probe is fitted on one colour and
    scored on the other, so that smoothness alone earns nothing.

    Parameters
    ----------
    features : ndarray, shape (Y, X, F)
        Features on the patch grid, or on pixels.
    ridge : float
        Penalty on standardised features, times the number of samples / 1000.

    Returns
    -------
    float
        Mean R^2 of x and y. 1: the place can be read off; 0 or below: it cannot.
    """
    height, width, channels = features.shape
    if min(height, width) < 2 * blocks:
        return float("nan")
    y, x = np.mgrid[0:height, 0:width]
    fields = (y * blocks // height + x * blocks // width) % 2 == 0
    samples = features.reshape(-1, channels).astype(np.float64)
    target = np.stack([y.ravel() / height, x.ravel() / width], axis=1)
    train, test = fields.ravel(), ~fields.ravel()
    mean, spread = samples[train].mean(0), samples[train].std(0) + 1e-9
    samples = (samples - mean) / spread
    centre = target[train].mean(0)
    gram = samples[train].T @ samples[train]
    gram[np.diag_indices(channels)] += ridge * train.sum() / 1000
    coefficients = np.linalg.solve(gram, samples[train].T @ (target[train] - centre))
    residual = target[test] - centre - samples[test] @ coefficients
    total = target[test] - target[test].mean(0)
    return float(np.mean(1 - (residual**2).sum(0) / (total**2).sum(0)))
