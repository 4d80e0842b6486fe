"""The learned upsampler: joint bilateral upsampling whose guide is what a small convolutional network sees.

After Docherty, Vamvakeros and Cooper 2025 (arXiv 2508.21529): a convolutional network, trained once and for all images,
that brings a ViT's features to pixels with reference to the image. There the network makes the features themselves, 384
channels of one block of one ViT. Here it makes the few channels of a guide, at the image's own pixels, and the features
go through :mod:`fijibridge.features.upsampling.joint_bilateral`: so one network serves any encoder, blocks and patch
size, upsampling is linear in the features and the channels are never all in memory. How it is trained:
:mod:`fijibridge.features.upsampling.training`.

Such a network of theirs may stand in a weights file, too: then it makes the features, see
:mod:`fijibridge.features.upsampling.convolutional`.

The network here: 3 x 3 convolutions of `WIDTH` channels with the dilations `DILATIONS`, each with a ReLU after it, and
a 1 x 1 convolution to `DEPTH` channels. It sees the grey image between its percentiles, and 17 pixels around each
pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fijibridge.features.upsampling.weights_file import DEPTH, DILATIONS, WIDTH

_HALO = sum(DILATIONS)
_BAND = 128  # rows of the image that the network sees at a time


def new_network() -> Any:
    """The network, not trained: (N, 1, Y, X) -> (N, DEPTH, Y - 34, X - 34)."""
    from torch import nn

    layers: dict[str, Any] = {}
    for i, dilation in enumerate(DILATIONS):
        layers[f"conv{i}"] = nn.Conv2d(WIDTH if i else 1, WIDTH, 3, dilation=dilation)
        layers[f"relu{i}"] = nn.ReLU()
    layers["guide"] = nn.Conv2d(WIDTH, DEPTH, 1)
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network


def padded(grey: np.ndarray) -> Any:
    """What the network sees of a grey image (Y, X): a tensor (1, 1, Y + 34, X + 34), the outermost pixels repeated.

    Parameters
    ----------
    grey : ndarray, float32, shape (Y, X)
        Scaled to 0 to 1.
    """
    import torch

    return torch.from_numpy(np.pad(grey, _HALO, mode="edge"))[None, None]


def learned_guide(grey: np.ndarray, weights: bytes) -> np.ndarray:
    """The guide of an image.

    Parameters
    ----------
    grey : ndarray, float32, shape (Y, X)
        Scaled to 0 to 1.
    weights : bytes
        See :func:`fijibridge.features.upsampling.weights_file.read_weights`.

    Returns
    -------
    ndarray, float32, shape (Y, X, DEPTH)
        Made band by band of rows, always the same bands.
    """
    import torch
    from safetensors.torch import load

    network = new_network()
    network.load_state_dict(load(weights))
    pixels = padded(grey)
    guide = np.empty((*grey.shape, DEPTH), np.float32)
    with torch.inference_mode():
        for top in range(0, grey.shape[0], _BAND):
            found = network(pixels[:, :, top : top + _BAND + 2 * _HALO])
            guide[top : top + _BAND] = found[0].permute(1, 2, 0)
    return guide
