"""Upsampling by a network: it makes the guide of a joint bilateral filter, or the features themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fijibridge.features.upsampling.base import Upsampler, UpsamplingMethod

if TYPE_CHECKING:
    import numpy as np


class Learned(UpsamplingMethod):
    """By the package's network, one that ``train-upsampler`` wrote, or a published checkpoint.

    See :mod:`fijibridge.features.upsampling.guide_network` and :mod:`fijibridge.features.upsampling.convolutional`.
    """

    def upsampler(self, grey: np.ndarray, weights: bytes) -> Upsampler:
        """See :meth:`fijibridge.features.upsampling.base.UpsamplingMethod.upsampler`."""
        from fijibridge.features.upsampling.weights_file import layout

        if layout(weights) is None:
            from fijibridge.features.upsampling.guide_network import learned_guide
            from fijibridge.features.upsampling.joint_bilateral import JointBilateral

            return JointBilateral(learned_guide(grey, weights))
        from fijibridge.core.devices import torch_device
        from fijibridge.features.upsampling.convolutional import Convolutional, network_of

        network = network_of(weights, torch_device("auto"))
        return Convolutional(network, grey)

    def read_weights(self, path: str) -> bytes:
        """See :func:`fijibridge.features.upsampling.weights_file.read_weights`."""
        from fijibridge.features.upsampling.weights_file import read_weights

        return read_weights(path or None)

    def check_weights(self, weights: bytes, channels: int, patch: int, encoder: str) -> None:
        """See :meth:`fijibridge.features.upsampling.base.UpsamplingMethod.check_weights`."""
        from fijibridge.features.upsampling.weights_file import check_channels, check_weights

        check_weights(weights)
        if channels:
            check_channels(weights, channels, patch, encoder)


LEARNED = Learned()
