"""ImageJ 1.54's filters as TWS calls them, on a window of an image, to the last bit.

Every step is done in the precision that ImageJ uses for it (`GaussianBlur`: float32; `Convolver`: products in float32,
sums in float64; `ZProjector`: mean and deviation in float64) and in the same order of summation. That is why the
kernels are spelled out instead of calls to `scipy.ndimage`.

A window starts at (oy, ox) of an image of `height` x `width` pixels. Boxes (y0, y1, x0, x1) are image coordinates.
Inner loops run along x, with one term of the sum at a time: the sum at each pixel keeps its order, and the compiler
can still use SIMD without leave to reorder floating point (which would change the last bits with the block's size).
"""

from __future__ import annotations

import math

import numpy as np

from fijibridge.core.parallel import compiled

# TWS's accuracy of the Gaussian; its line patch: pixels wide, line thickness, angles
ACCURACY = 0.0002
PATCH, THICKNESS, ANGLES = 19, 1, 10


def gaussian_kernel(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """ImageJ's one-sided Gaussian kernel and the weight that lies beyond each of its taps.

    The tail is a parabola that meets the Gaussian smoothly and is 0 at the first tap outside, in place of a step:
    ``c^2 (n - i)^2``, with ``c`` the smallest of ``sqrt(g(i)) / (n - i)`` met from the end inwards.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, at most 8.5 (beyond, ImageJ works on a coarser line).

    Returns
    -------
    kernel, beyond : float32 (n,)
        ``kernel[i]`` is the weight at distance i, the whole two-sided kernel sums to 1;
        ``beyond[i]`` is the sum of the weights at distances i+1, i+2, ... on one side.
    """
    n = math.ceil(sigma * math.sqrt(-2.0 * math.log(ACCURACY))) + 1
    kernel = np.array([math.exp(-0.5 * i * i / sigma / sigma) for i in range(n)], np.float32)
    if n > 3:
        slope, i = math.inf, n
        while i > n // 2:
            i -= 1
            candidate = math.sqrt(kernel[i]) / (n - i)
            if candidate >= slope:
                break
            slope = candidate
        for j in range(i + 2, n):
            kernel[j] = (n - j) * (n - j) * slope * slope
    weights = kernel.astype(np.float64)
    total = weights[0]
    for w in weights[1:]:
        total += 2.0 * w
    weights /= total
    remaining = 0.5 + 0.5 * float(kernel[0]) / total
    beyond = np.empty(n, np.float32)
    for i, w in enumerate(weights):
        remaining -= w
        beyond[i] = remaining
    return weights.astype(np.float32), beyond


def membrane_taps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lit pixels of TWS's line patch at each of its ten angles.

    A vertical line is turned about the patch's centre in steps of 18 degrees, nearest neighbour, zeros from outside.

    Returns
    -------
    offsets : int64 (T, 2)
        (dy, dx) of every lit pixel, angle after angle.
    starts : int64 (11,)
        Where each angle begins in `offsets`.
    scales : float64 (10,)
        One over the number of lit pixels: `Convolver` makes the weights sum to 1.
    """
    middle = PATCH // 2
    # TWS counts both ends in: thickness 1 gives a line of two pixels, right of the middle.
    lit = range(middle - THICKNESS // 2, middle + math.ceil(THICKNESS / 2) + 1)
    centre = (PATCH - 1) / 2.0
    offsets: list[tuple[int, int]] = []
    starts, scales = [0], []
    for step in range(ANGLES):
        angle = -step * (180 // ANGLES) / (180.0 / math.pi)
        ca, sa = math.cos(angle), math.sin(angle)
        shift_x = centre * sa - centre * ca
        shift_y = -centre * sa - centre * ca
        for y in range(PATCH):
            row_x = shift_x - y * sa + centre
            row_y = shift_y + y * ca + centre
            for x in range(PATCH):
                xs, ys = x * ca + row_x, x * sa + row_y
                if not (-0.01 <= xs < PATCH and -0.01 <= ys < PATCH):
                    continue
                if min(int(xs + 0.5), PATCH - 1) in lit:
                    offsets.append((y - middle, x - middle))
        starts.append(len(offsets))
        scales.append(1.0 / (starts[-1] - starts[-2]))
    return np.array(offsets, np.int64), np.array(starts, np.int64), np.array(scales, np.float64)


@compiled
def _edge_terms(i, n, length, beyond):
    """Weights of the first and the last pixel of a line in ImageJ's sum at position i (0: not added)."""
    first = np.float32(0)
    last = np.float32(0)
    if i < n:
        first = beyond[i]
        if i + n > length:
            last = beyond[length - i - 1]
    elif i + n >= length:
        last = beyond[length - i - 1]
    return first, last


@compiled
def blur(window, oy, ox, height, width, kernel, beyond, box):
    """Blur in x, then in y; edge pixels continue outwards. float32 (y1 - y0, x1 - x0).

    Parameters
    ----------
    window : ndarray, float32, shape (h, w)
        Part of the image.
    oy, ox : int
        Row and column of the image at which it begins.
    height, width : int
        Of the image, in pixels.
    kernel, beyond : ndarray, float32
        Of :func:`gaussian_kernel`.
    box : (int, int, int, int)
        y0, y1, x0, x1 in the image: what is wanted.
    """
    y0, y1, x0, x1 = box
    n = kernel.size
    ya, yb = max(0, y0 - n + 1), min(height, y1 + n - 1)
    xa, xb = x0 - ox, x1 - ox
    mid = np.empty((yb - ya, x1 - x0), np.float32)
    # columns whose sum stays inside the image
    ia, ib = min(max(x0, n), x1), max(min(x1, width - n), min(max(x0, n), x1))
    for y in range(ya, yb):
        line = window[y - oy]
        out = mid[y - ya]
        core = out[ia - x0 : ib - x0]
        m = ib - ia
        base = ia - ox
        src = line[base : base + m]
        for x in range(m):
            core[x] = src[x] * kernel[0]
        for k in range(1, n):
            w = kernel[k]
            if m > 0:
                left, right = line[base - k : base - k + m], line[base + k : base + k + m]
                for x in range(m):
                    core[x] += w * (left[x] + right[x])
        for x in range(x0, x1):
            if ia <= x < ib:
                continue
            total = line[x - ox] * kernel[0]
            first, last = _edge_terms(x, n, width, beyond)
            if first != 0:
                total += first * line[0]
            if last != 0:
                total += last * line[width - 1 - ox]
            for k in range(1, n):
                v = np.float32(0)
                if x - k >= 0:
                    v += line[x - k - ox]
                if x + k < width:
                    v += line[x + k - ox]
                total += kernel[k] * v
            out[x - x0] = total
    result = np.empty((y1 - y0, xb - xa), np.float32)
    m = xb - xa
    for y in range(y0, y1):
        out = result[y - y0]
        src = mid[y - ya]
        for x in range(m):
            out[x] = src[x] * kernel[0]
        first, last = _edge_terms(y, n, height, beyond)
        if first != 0:
            src = mid[0 - ya]
            for x in range(m):
                out[x] += first * src[x]
        if last != 0:
            src = mid[height - 1 - ya]
            for x in range(m):
                out[x] += last * src[x]
        for k in range(1, n):
            w = kernel[k]
            if y - k >= 0 and y + k < height:
                above, below = mid[y - k - ya], mid[y + k - ya]
                for x in range(m):
                    out[x] += w * (above[x] + below[x])
            elif y - k >= 0 or y + k < height:
                src = mid[y - k - ya] if y - k >= 0 else mid[y + k - ya]
                for x in range(m):
                    out[x] += w * src[x]
    return result


@compiled
def _sobel(image, from_box, height, width, box):
    """Both 3x3 Sobel responses with clamped edges: across rows (top minus bottom), across columns (left minus right).

    Sums in float64, results float32, as `Convolver` does.
    """
    fy, _, fx, _ = from_box
    y0, y1, x0, x1 = box
    down = np.empty((y1 - y0, x1 - x0), np.float32)
    across = np.empty((y1 - y0, x1 - x0), np.float32)
    for y in range(y0, y1):
        top, row, bottom = image[max(y - 1, 0) - fy], image[y - fy], image[min(y + 1, height - 1) - fy]
        d, a = down[y - y0], across[y - y0]
        for x in range(x0, x1):
            i = x - fx
            le = i - 1 if x > 0 else i
            ri = i + 1 if x < width - 1 else i
            tl, tc, tr = np.float64(top[le]), np.float64(top[i]), np.float64(top[ri])
            bl, bc, br = np.float64(bottom[le]), np.float64(bottom[i]), np.float64(bottom[ri])
            d[x - x0] = tl + 2.0 * tc + tr - bl - 2.0 * bc - br
            a[x - x0] = tl - tr + 2.0 * np.float64(row[le]) - 2.0 * np.float64(row[ri]) + bl - br
    return down, across


@compiled
def _put_hessian(out, f, xx, xy, yy):
    """Sobel applied twice -> the eight Hessian features out[..., f:f+8]. Gamma is 1, as in TWS."""
    two, four = np.float32(2), np.float32(4)
    for y in range(xx.shape[0]):
        for x in range(xx.shape[1]):
            a, b, d = xx[y, x], xy[y, x], yy[y, x]
            o = out[y, x]
            trace = a + d
            diff = a - d
            square = diff * diff
            gap = four * b * b + square
            root = math.sqrt(np.float64(gap))
            o[f] = math.sqrt(np.float64(a * a + b * b + d * d))
            o[f + 1] = trace
            o[f + 2] = a * d - b * b
            o[f + 3] = np.float32(np.float64(trace) + root) / two
            o[f + 4] = np.float32(np.float64(trace) - root) / two
            # Rounding may push the cosine past 1: TWS's acos is NaN there and becomes 0, so it must here.
            norm = math.sqrt(4.0 * np.float64(b) * np.float64(b) + np.float64(square))
            angle = 0.0
            if norm > 0:
                cosine = np.float64(diff) / norm
                if -1.0 <= cosine <= 1.0:
                    angle = 0.5 * math.acos(cosine)
            o[f + 5] = -angle if b < 0 else angle
            o[f + 6] = np.float64(trace) * np.float64(trace) * np.float64(gap)
            o[f + 7] = gap


@compiled
def _put_membranes(out, f, window, oy, ox, height, width, box, offsets, starts, scales):
    """Mean along ten turned lines, then mean, max, min, sum, standard deviation, median of the ten in out[..., f:]."""
    y0, y1, x0, x1 = box
    m = x1 - x0
    r = PATCH // 2
    angles = scales.size
    # the 19 rows around the current one, widened by clamped edges, in float64 as `Convolver` sums
    rows = np.empty((PATCH, m + 2 * r), np.float64)
    responses = np.empty((angles, m), np.float32)
    total = np.empty(m, np.float64)
    ten = np.empty(angles, np.float32)
    n64 = np.float64(angles)
    filled = y0 - r
    for y in range(y0, y1):
        while filled <= y + r:
            src = window[min(max(filled, 0), height - 1) - oy]
            dst = rows[(filled + r) % PATCH]
            for x in range(m + 2 * r):
                dst[x] = src[min(max(x0 - r + x, 0), width - 1) - ox]
            filled += 1
        for i in range(angles):
            total[:] = 0.0
            for t in range(starts[i], starts[i + 1]):
                line = rows[(y + offsets[t, 0] + r) % PATCH][offsets[t, 1] + r : offsets[t, 1] + r + m]
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
            o = out[y - y0, x]
            o[f] = s1 / n64
            o[f + 1] = ten[angles - 1]
            o[f + 2] = ten[0]
            o[f + 3] = summed
            o[f + 4] = math.sqrt(spread / (n64 - 1.0)) if spread > 0 else 0.0
            o[f + 5] = (ten[angles // 2 - 1] + ten[angles // 2]) / np.float32(2)


@compiled
def _put_point_wise(out, original, blurred, down, across, gauss_at, sobel_at, dog_at):
    """Original, Gaussians, Sobel moduli and differences of Gaussians: all that needs no neighbour here."""
    levels = blurred.shape[0]
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            o = out[y, x]
            o[0] = original[y, x]
            for s in range(levels):
                d = dog_at[s]
                o[gauss_at[s]] = blurred[s, y, x]
                for t in range(s):
                    o[d + t] = blurred[t, y, x] - blurred[s, y, x]
            for s in range(levels + 1):
                gd, ga = down[s, y, x], across[s, y, x]
                o[sobel_at[s]] = math.sqrt(np.float64(gd * gd + ga * ga))


@compiled
def fill_strip(
    out, window, oy, ox, height, width, blurred, blurred_box, box, taps,
    gauss_at, sobel_at, hessian_at, dog_at, membrane_at,
):  # fmt: skip
    """All 76 features of the strip `box` into out (rows, columns, 76): few rows, so that they stay in the cache.

    Parameters
    ----------
    out : ndarray, float32, shape (y1 - y0, x1 - x0, 76)
        Filled in place.
    window : ndarray, float32, shape (h, w)
        Part of the image.
    oy, ox : int
        Row and column of the image at which it begins.
    height, width : int
        Of the image, in pixels.
    blurred : ndarray, float32, shape (levels, bh, bw)
        The image at each sigma, the smallest first.
    blurred_box, box : (int, int, int, int)
        y0, y1, x0, x1 in the image, of ``blurred`` and of the strip.
    taps : tuple of ndarray
        Of :func:`membrane_taps`.
    gauss_at, sobel_at, hessian_at, dog_at, membrane_at : int or ndarray of int
        Where each kind's features stand among the 76.
    """
    y0, y1, x0, x1 = box
    by, _, bx, _ = blurred_box
    levels = blurred.shape[0]
    # one pixel wider for the second Sobel, but never past the image: there the gradient's own edge is repeated
    wide = (max(y0 - 1, 0), min(y1 + 1, height), max(x0 - 1, 0), min(x1 + 1, width))
    down = np.empty((levels + 1, y1 - y0, x1 - x0), np.float32)
    across = np.empty((levels + 1, y1 - y0, x1 - x0), np.float32)
    iy, ix = y0 - wide[0], x0 - wide[2]
    for s in range(levels + 1):
        if s == 0:
            d, a = _sobel(window, (oy, 0, ox, 0), height, width, wide)
        else:
            d, a = _sobel(blurred[s - 1], blurred_box, height, width, wide)
        xx, xy = _sobel(d, wide, height, width, box)
        yy = _sobel(a, wide, height, width, box)[1]
        down[s] = d[iy : iy + y1 - y0, ix : ix + x1 - x0]
        across[s] = a[iy : iy + y1 - y0, ix : ix + x1 - x0]
        _put_hessian(out, hessian_at[s], xx, xy, yy)
    original = window[y0 - oy : y1 - oy, x0 - ox : x1 - ox]
    inner = blurred[:, y0 - by : y1 - by, x0 - bx : x1 - bx]
    _put_point_wise(out, original, inner, down, across, gauss_at, sobel_at, dog_at)
    _put_membranes(out, membrane_at, window, oy, ox, height, width, box, taps[0], taps[1], taps[2])
