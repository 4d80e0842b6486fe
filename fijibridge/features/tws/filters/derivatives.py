"""Derivatives: those of high order, along both axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.gaussian_derivatives import Part, image_derivative, kernel_reach

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

ORDERS = (2, 3, 4, 5)


class Derivatives(Filter):
    """``Derivatives_n_n_s = d^n/dx^n d^n/dy^n G``, n from 2 to 5, G the image blurred by a Gaussian of s pixels.

    Here s is the standard deviation itself, where TWS's Gaussian blur takes 0.4 of it. The kernels are those of
    :func:`fijibridge.features.tws.gaussian_derivatives.sampled_kernel`; the image is mirrored at its border.
    """

    name = "Derivatives"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(f"Derivatives_{order}_{order}_{sigma}" for order in ORDERS)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return max(kernel_reach(sigma, order) for order in ORDERS)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        part, shape = Part(window.grey[None], (0, *window.origin)), (1, *window.shape)
        for plane, order in zip(planes, ORDERS, strict=True):
            plane[:] = image_derivative(part, shape, sigma, (order, order), window.box).values[0]
