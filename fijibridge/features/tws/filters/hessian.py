"""Hessian: second derivatives by the Sobel filter applied twice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.blurring import blur_reach
from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.gradient import gradient

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

_PARTS = (
    "",
    "_Trace",
    "_Determinant",
    "_Eigenvalue_1",
    "_Eigenvalue_2",
    "_Orientation",
    "_Square_Eigenvalue_Difference",
    "_Normalized_Eigenvalue_Difference",
)


@compiled
def _put_hessian(out, xx, xy, yy, old):
    """Sobel applied twice -> the eight planes. Gamma is 1, as in TWS."""
    two, four = np.float32(2), np.float32(4)
    for y in range(xx.shape[0]):
        for x in range(xx.shape[1]):
            a, b, d = xx[y, x], xy[y, x], yy[y, x]
            trace = a + d
            diff = a - d
            square = diff * diff
            gap = four * b * b + square
            out[0, y, x] = math.sqrt(np.float64(a * a + b * b + d * d))
            out[1, y, x] = trace
            out[2, y, x] = a * d - b * b
            if old:
                half = np.float64(trace) / 2.0
                root = math.sqrt(np.float64(gap) / 2.0)
                out[3, y, x] = half + root
                out[4, y, x] = half - root
            else:
                root = math.sqrt(np.float64(gap))
                out[3, y, x] = np.float32(np.float64(trace) + root) / two
                out[4, y, x] = np.float32(np.float64(trace) - root) / two
            # Rounding may push the cosine past 1: TWS's acos is NaN there and becomes 0, so it must here.
            norm = math.sqrt(4.0 * np.float64(b) * np.float64(b) + np.float64(square))
            angle = 0.0
            if norm > 0:
                cosine = np.float64(diff) / norm
                if -1.0 <= cosine <= 1.0:
                    angle = 0.5 * math.acos(cosine)
            out[5, y, x] = -angle if b < 0 else angle
            out[6, y, x] = np.float64(trace) * np.float64(trace) * np.float64(gap)
            out[7, y, x] = gap


class Hessian(Filter):
    """Eight numbers of ``[[a, b], [b, d]] = [[S_r S_r G, S_c S_r G], [S_c S_r G, S_c S_c G]]``, G the blurred image.

    ``Hessian_s = sqrt(a^2 + b^2 + d^2)``, trace ``a + d``, determinant ``a d - b^2``, eigenvalues
    ``(a + d +- sqrt((a - d)^2 + 4 b^2)) / 2``, orientation ``+-acos((a - d) / sqrt((a - d)^2 + 4 b^2)) / 2`` (the
    sign is b's, radians), ``(a + d)^2 ((a - d)^2 + 4 b^2)`` and ``(a - d)^2 + 4 b^2``.
    Before version 3.2.25 TWS's eigenvalues were ``(a + d) / 2 +- sqrt(((a - d)^2 + 4 b^2) / 2)``.
    """

    name = "Hessian"
    at_zero = True

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(f"Hessian{part}_{sigma}" for part in _PARTS)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return blur_reach(sigma) + 2

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        down, across, box = window.gradient(sigma)
        xx, xy = gradient(down, box, *window.shape, window.box)
        yy = gradient(across, box, *window.shape, window.box)[1]
        _put_hessian(planes, xx, xy, yy, window.settings.old_hessian)
