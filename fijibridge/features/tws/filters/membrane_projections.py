"""Membrane projections: statistics of averages along lines of several directions."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.filter import Filter

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

ANGLES = 10


@lru_cache(8)
def membrane_taps(patch: int, thickness: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lit pixels of TWS's line patch at each of its ten angles.

    A vertical line is turned about the patch's centre in steps of 18 degrees, nearest neighbour, zeros from outside.

    Parameters
    ----------
    patch : int
        Its side, in pixels.
    thickness : int
        Of the line, in pixels; TWS counts both ends in.

    Returns
    -------
    offsets : int64 (T, 2)
        (dy, dx) of every lit pixel, angle after angle.
    starts : int64 (11,)
        Where each angle begins in `offsets`.
    scales : float64 (10,)
        One over the number of lit pixels: `Convolver` makes the weights sum to 1.
    """
    middle = patch // 2
    # TWS counts both ends in: thickness 1 gives a line of two pixels, right of the middle.
    lit = range(middle - thickness // 2, middle + math.ceil(thickness / 2) + 1)
    centre = (patch - 1) / 2.0
    offsets: list[tuple[int, int]] = []
    starts, scales = [0], []
    for step in range(ANGLES):
        angle = -step * (180 // ANGLES) / (180.0 / math.pi)
        ca, sa = math.cos(angle), math.sin(angle)
        shift_x = centre * sa - centre * ca
        shift_y = -centre * sa - centre * ca
        for y in range(patch):
            row_x = shift_x - y * sa + centre
            row_y = shift_y + y * ca + centre
            for x in range(patch):
                xs, ys = x * ca + row_x, x * sa + row_y
                if not (-0.01 <= xs < patch and -0.01 <= ys < patch):
                    continue
                if min(int(xs + 0.5), patch - 1) in lit:
                    offsets.append((y - middle, x - middle))
        starts.append(len(offsets))
        scales.append(1.0 / (starts[-1] - starts[-2]))
    return np.array(offsets, np.int64), np.array(starts, np.int64), np.array(scales, np.float64)


@compiled
def _put_membranes(out, patch, window, oy, ox, height, width, box, offsets, starts, scales):
    """Means along ten turned lines; their mean, maximum, minimum, sum, standard deviation, median in six planes."""
    y0, y1, x0, x1 = box
    m = x1 - x0
    r = patch // 2
    angles = scales.size
    # the rows around the current one, widened by clamped edges, in float64 as `Convolver` sums
    rows = np.empty((patch, m + 2 * r), np.float64)
    responses = np.empty((angles, m), np.float32)
    total = np.empty(m, np.float64)
    ten = np.empty(angles, np.float32)
    n64 = np.float64(angles)
    filled = y0 - r
    for y in range(y0, y1):
        while filled <= y + r:
            src = window[min(max(filled, 0), height - 1) - oy]
            dst = rows[(filled + r) % patch]
            for x in range(m + 2 * r):
                dst[x] = src[min(max(x0 - r + x, 0), width - 1) - ox]
            filled += 1
        for i in range(angles):
            total[:] = 0.0
            for t in range(starts[i], starts[i + 1]):
                line = rows[(y + offsets[t, 0] + r) % patch][offsets[t, 1] + r : offsets[t, 1] + r + m]
                for x in range(m):
                    total[x] += line[x]
            for x in range(m):
                responses[i, x] = total[x] * scales[i]
        for x in range(m):
            summed = np.float32(0)
            s1 = s2 = 0.0
            for i in range(angles):
                v = responses[i, x]
                summed += v
                s1 += v
                s2 += np.float64(v) * np.float64(v)
                j = i  # insertion: ten values, nothing is faster
                while j > 0 and ten[j - 1] > v:
                    ten[j] = ten[j - 1]
                    j -= 1
                ten[j] = v
            spread = (n64 * s2 - s1 * s1) / n64
            out[0, y - y0, x] = s1 / n64
            out[1, y - y0, x] = ten[angles - 1]
            out[2, y - y0, x] = ten[0]
            out[3, y - y0, x] = summed
            out[4, y - y0, x] = math.sqrt(spread / (n64 - 1.0)) if spread > 0 else 0.0
            out[5, y - y0, x] = (ten[angles // 2 - 1] + ten[angles // 2]) / np.float32(2)


class MembraneProjections(Filter):
    """Mean, maximum, minimum, sum, standard deviation and median of ten line averages, 18 degrees apart."""

    name = "Membrane_projections"
    place = "last"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        of = f"{settings.membrane_patch}_{settings.membrane_thickness}"
        return tuple(f"Membrane_projections_{number}_{of}" for number in range(6))

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """See :meth:`fijibridge.features.tws.filter.Filter.chosen`."""
        patch, thickness = name.split("_")[-2:]
        return (), {"membrane_patch": int(patch), "membrane_thickness": int(thickness)}

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return settings.membrane_patch // 2

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        patch = window.settings.membrane_patch
        taps = membrane_taps(patch, window.settings.membrane_thickness)
        _put_membranes(planes, patch, window.grey, *window.origin, *window.shape, window.box, *taps)
