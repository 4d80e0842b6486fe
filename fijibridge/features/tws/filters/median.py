"""Median of a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.filters.disk import disk_reach, disk_rows, disk_size, moves, padded

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

_FEW = 21  # pixels of a disk up to which sorting it away from both ends is faster than keeping its order


def _ranked(window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Every pixel's place in the order of grey values, and the sorted values, of the block and the widest disk's reach.

    Equal values have different places.

    Returns
    -------
    places : int32 (h, w)
    values : float32 (h * w,)
    """
    plane = padded(window, max(disk_reach(sigma) for sigma in window.settings.sigmas))
    bits = plane.ravel().view(np.uint32)
    # as whole numbers in the order of the floats: negative ones count backwards
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    keys = np.sort((keys << np.uint64(32)) | np.arange(plane.size, dtype=np.uint64))
    order = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    places = np.empty(plane.size, np.int32)
    places[order] = np.arange(plane.size, dtype=np.int32)
    return places.reshape(plane.shape), plane.ravel()[order]


@compiled
def _ones(word):
    """Number of bits set in 64."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _put_medians(out, places, values, margin, rows):
    """Medians over disks, of the places of pixels; the set of places in the disk is kept as bits.

    The disk goes right along one row and back along the next. ``under`` counts the bits of the words before ``at``,
    which is moved until the median's bit is in that word.
    """
    h, w = out.shape
    r = rows.size - 1
    stride = places.shape[1]
    flat = places.ravel()
    leaving, entering = moves(rows, stride)
    bits = np.zeros(places.size // 64 + 1, np.uint64)
    one = np.uint64(1)
    half = 0
    middle = margin * stride + margin
    for i in range(-r, r + 1):
        for j in range(-rows[abs(i)], rows[abs(i)] + 1):
            place = flat[middle + i * stride + j]
            bits[place >> 6] |= one << np.uint64(place & 63)
            half += 1
    half //= 2
    at = under = 0
    for y in range(h):
        for step in range(w):
            if y > 0 or step > 0:
                way = 2 if step == 0 else y % 2
                for i in range(2 * r + 1):
                    gone = flat[middle + leaving[way, i]]
                    word = gone >> 6
                    bits[word] ^= one << np.uint64(gone & 63)
                    under -= word < at
                    come = flat[middle + entering[way, i]]
                    word = come >> 6
                    bits[word] ^= one << np.uint64(come & 63)
                    under += word < at
                middle += stride if way == 2 else 1 - 2 * way
            while under > half:
                at -= 1
                under -= _ones(bits[at])
            while True:
                here = _ones(bits[at])
                if under + here > half:
                    break
                under += here
                at += 1
            rest = bits[at]
            for _ in range(half - under):
                rest &= rest - one
            lowest = rest & (~rest + one)
            out[y, w - 1 - step if y % 2 else step] = values[at * 64 + _ones(lowest - one)]


@compiled
def _put_few(out, plane, rows):
    """Medians over small disks, of the values: with each further value the least and the greatest are forgotten."""
    h, w = out.shape
    r = rows.size - 1
    count = 0
    for i in range(-r, r + 1):
        count += 2 * rows[abs(i)] + 1
    kept = np.empty((count // 2 + 2, w), np.float32)
    for y in range(h):
        n = seen = 0
        for i in range(-r, r + 1):
            for j in range(-rows[abs(i)], rows[abs(i)] + 1):
                source = plane[y + r + i][r + j : r + j + w]
                kept[n] = source
                n += 1
                seen += 1
                if seen < count // 2 + 2:
                    continue
                # the least to the first place, the greatest to the last: neither can be the median any more
                first, last = kept[0], kept[n - 1]
                for k in range(1, n):
                    other = kept[k]
                    for x in range(w):
                        a, b = first[x], other[x]
                        first[x] = a if a < b else b
                        other[x] = b if a < b else a
                for k in range(1, n - 1):
                    other = kept[k]
                    for x in range(w):
                        a, b = last[x], other[x]
                        last[x] = b if a < b else a
                        other[x] = a if a < b else b
                kept[0] = kept[n - 2]
                n -= 2
        out[y] = kept[0]


class Median(Filter):
    """``Median_s``: the median of the disk of radius s of ImageJ's `RankFilters`; edge pixels go on beyond the edge."""

    name = "Median"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return (f"Median_{sigma}",)

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return disk_reach(sigma)

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        rows = disk_rows(sigma)
        if disk_size(rows) <= _FEW:
            _put_few(planes[0], padded(window, len(rows) - 1), rows)
        else:
            places, values = window.kept("places", lambda: _ranked(window))
            margin = (places.shape[0] - planes.shape[1]) // 2
            _put_medians(planes[0], places, values, margin, rows)
