"""Joint bilateral upsampling along the grey image's own edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fijibridge.features.upsampling.base import Upsampler, UpsamplingMethod

if TYPE_CHECKING:
    import numpy as np

# Chosen on the tuning images, see benchmarks/upsamplers.py.
SMOOTHING = 1.0  # of the guide, in pixels
CONTRAST = 0.1  # of the guide, where the image's darkest and brightest are 0 and 1


class Guided(UpsamplingMethod):
    """See :mod:`fijibridge.features.upsampling.joint_bilateral`; the guide is the smoothed grey image."""

    def upsampler(self, grey: np.ndarray, weights: bytes) -> Upsampler:
        """See :meth:`fijibridge.features.upsampling.base.UpsamplingMethod.upsampler`."""
        from fijibridge.features.upsampling.joint_bilateral import JointBilateral, grey_guide

        return JointBilateral(grey_guide(grey, SMOOTHING, CONTRAST))


GUIDED = Guided()
