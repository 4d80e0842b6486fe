"""The 3x3 Sobel correlations of a part of an image, as ImageJ's `Convolver` makes them."""

from __future__ import annotations

import numpy as np

from fijibridge.core.parallel import compiled


@compiled
def gradient(image, from_box, height, width, box):
    """Both 3x3 Sobel responses with clamped edges: across rows (top minus bottom), across columns (left minus right).

    Sums in float64, results float32, as `Convolver` does.

    Parameters
    ----------
    image : ndarray, float32, shape (h, w)
    from_box : (int, int, int, int)
        y0, y1, x0, x1 of ``image`` in the whole one.
    height, width : int
        Of the whole image.
    box : (int, int, int, int)
        What is wanted, a pixel inside ``from_box`` unless the image ends there.

    Returns
    -------
    down, across : ndarray, float32, shape (y1 - y0, x1 - x0)
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
