"""Structure: eigenvalues of the structure tensor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.gaussian_derivatives import Part, image_derivative, kernel_reach

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

INTEGRATION_SCALES = (1.0, 3.0)  # TWS's, pixels


@compiled
def _put_eigenvalues(largest, smallest, xx, xy, yy):
    """Absolute eigenvalues of symmetric 2x2 matrices: q, the root without cancellation, and ``determinant / q``."""
    for y in range(xx.shape[0]):
        for x in range(xx.shape[1]):
            a, b, d = np.float64(xx[y, x]), np.float64(xy[y, x]), np.float64(yy[y, x])
            trace = -(a + d)
            determinant = a * d - b * b
            root = math.sqrt(max(trace * trace - 4 * determinant, 0.0))
            q = -0.5 * (trace + (-root if trace < 0 else root))
            first = abs(q)
            second = abs(determinant / q) if q != 0 else 0.0
            largest[y, x] = max(first, second)
            smallest[y, x] = min(first, second)


class Structure(Filter):
    """``Structure_largest_s_t`` and ``Structure_smallest_s_t``: eigenvalues of the blurred products of derivatives.

    The tensor is ``[[T Ix Ix, T Ix Iy], [T Ix Iy, T Iy Iy]]``, with Ix and Iy first derivatives at a scale of s pixels
    and T a Gaussian blur of standard deviation t = 1 and 3 pixels. The kernels are those of
    :func:`fijibridge.features.tws.gaussian_derivatives.sampled_kernel`; images are mirrored at the border.
    """

    name = "Structure"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(
            f"Structure_{which}_{sigma}_{scale}" for scale in INTEGRATION_SCALES for which in ("largest", "smallest")
        )

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """See :meth:`fijibridge.features.tws.filter.Filter.chosen`."""
        return (float(name.split("_")[2]),), {}  # the other number is the integration's

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return kernel_reach(sigma, 1) + kernel_reach(max(INTEGRATION_SCALES), 0)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        part, shape = Part(window.grey[None], (0, *window.origin)), (1, *window.shape)
        (y0, y1, x0, x1), (height, width) = window.box, window.shape
        around = kernel_reach(max(INTEGRATION_SCALES), 0)
        wide = (max(y0 - around, 0), min(y1 + around, height), max(x0 - around, 0), min(x1 + around, width))
        (iy, origin), (ix, _) = (image_derivative(part, shape, sigma, orders, wide) for orders in ((1, 0), (0, 1)))
        products = [Part(product, origin) for product in (ix * ix, ix * iy, iy * iy)]
        for number, scale in enumerate(INTEGRATION_SCALES):
            tensor = (image_derivative(one, shape, scale, (0, 0), window.box).values[0] for one in products)
            _put_eigenvalues(planes[2 * number], planes[2 * number + 1], *tensor)
