"""Gabor: the strongest and the weakest response over ten angles of small waves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.parallel import compiled
from fijibridge.features.tws.filter import Filter
from fijibridge.features.tws.filters.gabor_kernels import ANGLES, REACH, WAVELETS, products

if TYPE_CHECKING:
    from fijibridge.features.tws.settings import TwsSettings
    from fijibridge.features.tws.window import Window

_TILE = 256
_NOISE = 4e-7  # a response's deviation below this part of what it might be is float32's rounding


@compiled
def _fold(padded, y, half, even, odd):
    """Rows ``y + k`` and ``y - k`` of the middle, added and subtracted; k from 0."""
    width = padded.shape[1]
    middle = padded[y + half]
    for x in range(width):
        even[0, x] = middle[x]
        odd[0, x] = 0
    for k in range(1, half + 1):
        below, above = padded[y + half + k], padded[y + half - k]
        for x in range(width):
            even[k, x] = below[x] + above[x]
            odd[k, x] = below[x] - above[x]


@compiled
def _add_products(out, first, last, even, odd, is_odd, columns, rows, r, rows_odd, through):
    """Add to a row of responses the products of a part: first down the columns, then along the row."""
    width = out.size
    start = columns.shape[1] - 1 - r
    wide = width + 2 * r
    for p in range(first, last):
        folded = odd if is_odd[p] else even
        c, w = columns[p], rows[p]
        middle = folded[0, start : start + wide]
        for x in range(wide):
            through[x] = c[0] * middle[x]
        for k in range(1, r + 1, 3):  # reaches are multiples of 3
            c1, c2, c3 = c[k], c[k + 1], c[k + 2]
            f1 = folded[k, start : start + wide]
            f2 = folded[k + 1, start : start + wide]
            f3 = folded[k + 2, start : start + wide]
            for x in range(wide):
                through[x] += c1 * f1[x] + c2 * f2[x] + c3 * f3[x]
        if rows_odd:
            for k in range(1, r + 1, 3):
                w1, w2, w3 = w[k], w[k + 1], w[k + 2]
                r1, r2, r3 = through[r + k :], through[r + k + 1 :], through[r + k + 2 :]
                l1, l2, l3 = through[r - k :], through[r - k - 1 :], through[r - k - 2 :]
                for x in range(width):
                    out[x] += w1 * (r1[x] - l1[x]) + w2 * (r2[x] - l2[x]) + w3 * (r3[x] - l3[x])
        else:
            m = through[r:]
            for x in range(width):
                out[x] += w[0] * m[x]
            for k in range(1, r + 1, 3):
                w1, w2, w3 = w[k], w[k + 1], w[k + 2]
                r1, r2, r3 = through[r + k :], through[r + k + 1 :], through[r + k + 2 :]
                l1, l2, l3 = through[r - k :], through[r - k - 1 :], through[r - k - 2 :]
                for x in range(width):
                    out[x] += w1 * (r1[x] + l1[x]) + w2 * (r2[x] + l2[x]) + w3 * (r3[x] + l3[x])


@compiled
def _responses(responses, i, even, odd, starts, is_odd, columns, rows, reaches, part, through):
    """A row of responses at all angles, (10, w), of filter i."""
    angles = responses.shape[0]
    for angle in range(angles // 2 + 1):
        part[:] = 0
        for half in range(2):
            first, last = starts[i, angle, half]
            _add_products(part[half], first, last, even, odd, is_odd, columns, rows, reaches[i], half == 1, through)
        own, mirrored = responses[angle], responses[(angles - angle) % angles]
        for x in range(own.size):
            a, b = part[0, x], part[1, x]
            mirrored[x] = a - b
            own[x] = a + b


@compiled
def _add_moments(moments, padded, starts, is_odd, columns, rows, reaches):
    """Sums and sums of squares of all responses of a tile, added to float64 (filters, angles, 2)."""
    filters, angles, _ = moments.shape
    half = columns.shape[1] - 1
    height, width = padded.shape[0] - 2 * half, padded.shape[1] - 2 * half
    even = np.empty((half + 1, padded.shape[1]), np.float32)
    odd = np.empty((half + 1, padded.shape[1]), np.float32)
    responses, part = np.empty((angles, width), np.float32), np.empty((2, width), np.float32)
    through = np.empty(padded.shape[1], np.float32)
    sums = np.zeros((filters, angles, 2, width))
    for y in range(height):
        _fold(padded, y, half, even, odd)
        for i in range(filters):
            _responses(responses, i, even, odd, starts, is_odd, columns, rows, reaches, part, through)
            for angle in range(angles):
                s1, s2, row = sums[i, angle, 0], sums[i, angle, 1], responses[angle]
                for x in range(width):
                    v = np.float64(row[x])
                    s1[x] += v
                    s2[x] += v * v
    for i in range(filters):
        for angle in range(angles):
            for j in range(2):
                moments[i, angle, j] += sums[i, angle, j].sum()


@compiled
def _put_gabor(planes, padded, means, scales, starts, is_odd, columns, rows, reaches):
    """Largest and smallest normalised response of every filter, in two planes each."""
    filters, angles = means.shape
    half = columns.shape[1] - 1
    height, width = planes.shape[1:]
    even = np.empty((half + 1, padded.shape[1]), np.float32)
    odd = np.empty((half + 1, padded.shape[1]), np.float32)
    responses, part = np.empty((angles, width), np.float32), np.empty((2, width), np.float32)
    through = np.empty(padded.shape[1], np.float32)
    for y in range(height):
        _fold(padded, y, half, even, odd)
        for i in range(filters):
            _responses(responses, i, even, odd, starts, is_odd, columns, rows, reaches, part, through)
            high, low = planes[2 * i, y], planes[2 * i + 1, y]
            for angle in range(angles):
                row, mean, scale = responses[angle], means[i, angle], scales[i, angle]
                for x in range(width):
                    v = (row[x] - mean) * scale
                    if angle == 0:
                        high[x] = low[x] = v
                    else:
                        high[x] = v if v > high[x] else high[x]
                        low[x] = v if v < low[x] else low[x]


def _mirrored(start: int, stop: int, length: int) -> np.ndarray:
    """Indices of start..stop where the image goes on mirrored, its edge pixel once."""
    if length == 1:
        return np.zeros(stop - start, np.int64)
    place = np.arange(start, stop) % (2 * length - 2)
    return np.minimum(place, 2 * length - 2 - place)


def _padded(part: np.ndarray, origin: tuple[int, int], shape: tuple[int, int], box: tuple[int, ...], level: np.float32):
    """A box and its surroundings, less a grey level."""
    (y0, y1, x0, x1), (height, width) = box, shape
    ys = _mirrored(y0 - REACH, y1 + REACH, height) - origin[0]
    xs = _mirrored(x0 - REACH, x1 + REACH, width) - origin[1]
    return part[ys][:, xs] - level


def _of_image(image: np.ndarray) -> tuple[np.float32, np.ndarray, np.ndarray]:
    """The mean grey level, and the mean of each response and one over its standard deviation, float32 (filters, 10)."""
    level = np.float32(image.mean(dtype=np.float64))
    height, width = image.shape
    made = products()
    moments = np.zeros((len(WAVELETS), ANGLES, 2))
    strongest = 0.0
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            box = (top, min(top + _TILE, height), left, min(left + _TILE, width))
            padded = _padded(image, (0, 0), image.shape, box, level)
            strongest = max(strongest, float(np.abs(padded).max()))
            _add_moments(moments, padded, *made[:5])
    count = image.size
    means = moments[..., 0] / count
    variance = (moments[..., 1] - count * means**2) / max(count - 1, 1)
    deviation = np.sqrt(np.maximum(variance, 0))
    seen = deviation > _NOISE * strongest * made.masses
    scales = np.divide(1, deviation, out=np.zeros_like(deviation), where=seen)
    return level, means.astype(np.float32), scales.astype(np.float32)


class Gabor(Filter):
    """``Gabor_1_s_g_p_f`` and ``Gabor_2_s_g_p_f``: the largest and smallest normalised response over ten angles.

    A response is the convolution of the image with a Gaussian of standard deviations s and s / g pixels times a
    cosine of f waves over the kernel's width, of phase p eighths of a turn, turned by 18 degrees from angle to angle;
    see :class:`fijibridge.features.tws.filters.gabor_kernels.Wavelet`. Each is normalised by its mean and standard
    deviation over the whole image. Beyond the image's edge it goes on mirrored, its edge pixel once.

    Where a response is the same everywhere up to rounding, as all are in an image of one value, it is 0 here; TWS
    divides rounding noise by itself, or by 0. So are responses across an image of one row. At an image of one column
    TWS fails. TWS convolves by a Fourier transform in float32: its rounding, over a feature's range, is 1e-6 for 8-bit
    images, 3e-5 where a detail of 100 grey levels stands on 10 000, and 7e-4 where it stands on 100 000. Here the mean
    is taken off first, which leaves 1e-6.
    """

    name = "Gabor"
    place = "first"

    def names(self, settings: TwsSettings, sigma: float) -> tuple[str, ...]:
        """See :meth:`fijibridge.features.tws.filter.Filter.names`."""
        return tuple(
            f"Gabor_{which}_{one.sigma}_{one.gamma}_{one.quarters}_{float(one.waves)}"
            for one in WAVELETS
            for which in (1, 2)
        )

    def chosen(self, name: str) -> tuple[tuple[float, ...], dict[str, int]]:
        """See :meth:`fijibridge.features.tws.filter.Filter.chosen`."""
        return (), {}  # its numbers are always the same

    def reach(self, settings: TwsSettings, sigma: float) -> int:
        """See :meth:`fijibridge.features.tws.filter.Filter.reach`."""
        return REACH

    def fill(self, window: Window, sigma: float, planes: np.ndarray) -> None:
        """See :meth:`fijibridge.features.tws.filter.Filter.fill`."""
        level, means, scales = window.of_image("gabor", _of_image)
        padded = _padded(window.grey, window.origin, window.shape, window.box, level)
        _put_gabor(planes, padded, means, scales, *products()[:5])
