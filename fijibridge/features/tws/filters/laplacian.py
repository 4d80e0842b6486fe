"""Laplacian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.gaussian_derivatives import Part, image_derivative, kernel_reach

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window


class Laplacian(Filter):
    """``Laplacian_s = d^2/dy^2 G + d^2/dx^2 G``, G the image blurred by a Gaussian of standard deviation s pixels.

    The kernels are those of :func:`fijibridge.features.tws.gaussian_derivatives.sampled_kernel`; the image is mirrored
    at its border.
    """

    name = "Laplacian"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return (f"Laplacian_{sigma}",)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return kernel_reach(sigma, 2)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        part, shape = Part(window.grey[None], (0, *window.origin)), (1, *window.shape)
        down, across = (image_derivative(part, shape, sigma, orders, window.box) for orders in ((2, 0), (0, 2)))
        np.add(down.values[0], across.values[0], out=planes[0])
