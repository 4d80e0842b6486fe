"""Median within an ellipsoid, as ImageJ's ``Filters3D`` makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws3d.filters.neighbourhood import Mean3d

if TYPE_CHECKING:
    from fijibridge.features.tws3d.window import Window3d

_SORTED = 64  # so few values are sorted; more are counted
_COARSE = 8  # bits: a count for each 256 ranks


@compiled
def _by_sorting(values, origin, volume, box, rows, out):
    """Medians of few values, by insertion."""
    z0, z1, y0, y1, x0, x1 = box
    oz, oy, ox = origin
    held = np.empty(_SORTED, np.float32)
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                n = 0
                for i in range(rows.shape[0]):
                    zz, yy = z + rows[i, 0], y + rows[i, 1]
                    if 0 <= zz < volume[0] and 0 <= yy < volume[1]:
                        for xx in range(max(x - rows[i, 2], 0), min(x + rows[i, 2] + 1, volume[2])):
                            v = values[zz - oz, yy - oy, xx - ox]
                            j = n
                            while j > 0 and held[j - 1] > v:
                                held[j] = held[j - 1]
                                j -= 1
                            held[j] = v
                            n += 1
                if n % 2:
                    out[z - z0, y - y0, x - x0] = held[n // 2]
                else:
                    out[z - z0, y - y0, x - x0] = np.float32(0.5) * (held[n // 2 - 1] + held[n // 2])


@compiled
def _by_counting(ranks, sorted_values, origin, volume, box, rows, out):
    """Medians by a histogram of ranks that slides along x (Huang et al. 1979), with a coarse one to skip by."""
    z0, z1, y0, y1, x0, x1 = box
    oz, oy, ox = origin
    width = volume[2]
    fine = np.zeros(((sorted_values.size >> _COARSE) + 1) << _COARSE, np.int32)
    coarse = np.zeros(fine.size >> _COARSE, np.int32)
    for z in range(z0, z1):
        for y in range(y0, y1):
            fine[:] = 0
            coarse[:] = 0
            n = below = at = 0  # below: how many ranks in the ellipsoid are less than `at`
            for x in range(x0, x1):
                for i in range(rows.shape[0]):
                    zz, yy, w = z + rows[i, 0], y + rows[i, 1], rows[i, 2]
                    if not (0 <= zz < volume[0] and 0 <= yy < volume[1]):
                        continue
                    line = ranks[zz - oz, yy - oy]
                    if x > x0 and x - w - 1 >= 0:
                        rank = line[x - w - 1 - ox]
                        fine[rank] -= 1
                        coarse[rank >> _COARSE] -= 1
                        below -= rank < at
                        n -= 1
                    for xx in range(max(x - w, 0) if x == x0 else x + w, min(x + w + 1, width)):
                        rank = line[xx - ox]
                        fine[rank] += 1
                        coarse[rank >> _COARSE] += 1
                        below += rank < at
                        n += 1
                wanted = (n - 1) // 2
                while below > wanted:
                    if at & ((1 << _COARSE) - 1) == 0 and below - coarse[(at >> _COARSE) - 1] > wanted:
                        at -= 1 << _COARSE
                        below -= coarse[at >> _COARSE]
                    else:
                        at -= 1
                        below -= fine[at]
                while below + fine[at] <= wanted:
                    if at & ((1 << _COARSE) - 1) == 0 and below + coarse[at >> _COARSE] <= wanted:
                        below += coarse[at >> _COARSE]
                        at += 1 << _COARSE
                    else:
                        below += fine[at]
                        at += 1
                middle = sorted_values[at]
                if n % 2 == 0:
                    upper = at
                    if below + fine[at] <= wanted + 1:
                        upper += 1
                        while fine[upper] == 0:
                            if upper & ((1 << _COARSE) - 1) == 0 and coarse[upper >> _COARSE] == 0:
                                upper += 1 << _COARSE
                            else:
                                upper += 1
                    middle = np.float32(0.5) * (middle + sorted_values[upper])
                out[z - z0, y - y0, x - x0] = middle


class Median3d(Mean3d):
    """``Median_s``: the median within an ellipsoid of radius s; of an even number, the mean of the middle two."""

    name = "Median"

    def fill(self, window: Window3d, sigma: float, values: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws3d.filter.Filter3d.fill`."""
        part, rows = window.ellipsoid(sigma)
        where = (part.origin, window.shape, window.box, rows, values[0])
        if int((2 * rows[:, 2] + 1).sum()) <= _SORTED:
            _by_sorting(part.values, *where)
            return
        found, ranks = np.unique(part.values, return_inverse=True)
        _by_counting(ranks.reshape(part.values.shape).astype(np.int32), found, *where)
