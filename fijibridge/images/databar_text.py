"""Data bars of any background: a flat strip with a straight edge, known by its lines of text."""

from __future__ import annotations

import numpy as np

# Shares of the grey range below which neighbours count as equal: lossless, a gradient, after JPEG.
_TOLERANCES = (0.0, 0.012, 0.03, 0.06)
_LARGEST = 0.3  # share of the height; as for the bars that metadata tell of
_SHARP = 0.35  # of the columns change at the edge between specimen and bar, more than do below it
_FLAT = 0.6  # of the pixels of a bar equal their neighbour
_TEXT_ROW = 0.3  # of those of its rows of text
_PLAIN = 0.7  # of a row without text lie in long runs
_GLYPHS = 6  # on one line
_ON_ONE_LINE = 0.15  # of all that may be letters


def bar_with_text(data: np.ndarray) -> tuple[int, float]:
    """Find a data bar by its flat rows, its straight edge and its lines of text.

    Parameters
    ----------
    data : np.ndarray
        (Y, X) or (Y, X, 3), any real dtype.

    Returns
    -------
    rows : int
        Of the bar; 0 if there is none.
    confidence : float
        From 0 to 1.
    """
    height, width = data.shape[:2]
    if height < 64 or width < 64:
        return 0, 0.0
    part = data[-int(1.1 * _LARGEST * height) :].astype(np.float32)
    if part.ndim == 3:
        part = part.mean(axis=2)
    spread = float(part.max() - part.min())
    found: list[tuple[float, int, float]] = []
    for share in _TOLERANCES if spread > 0 else ():
        tolerance = share * spread
        for sharp, top in _tops(part, tolerance, height):
            rows = len(part) - top
            if sharp < _SHARP or top < 4 or rows < max(8, height // 50) or rows > _LARGEST * height:
                continue
            if (np.abs(np.diff(part[top:], axis=1)) <= tolerance).mean() >= _FLAT:
                found.append((sharp, top, share))
    for sharp, top, share in sorted(found, key=lambda one: (-round(one[0], 2), one[2])):
        glyphs = glyphs_on_lines(part[top:], float(np.subtract(*np.percentile(part[:top], (99, 1)))))
        if glyphs >= _GLYPHS:
            confidence = 0.4 + 0.3 * min(glyphs / 20, 1) + 0.3 * min(sharp, 1) - 1.5 * share
            return len(part) - top, float(np.clip(confidence, 0.5, 0.95))
    return 0, 0.0


def _tops(part: np.ndarray, tolerance: float, height: int) -> list[tuple[float, int]]:
    """Where a bar may begin, and how sharp an edge is there: above its last row that is flat but for text, or lower."""
    changed = (np.abs(np.diff(part, axis=0)) > tolerance).mean(axis=1)  # between row r and r + 1
    flat = (np.abs(np.diff(part, axis=1)) <= tolerance).mean(axis=1)
    runs = _in_long_runs(part, tolerance)
    row = last = len(part) - 1
    # A box may be inset: some rows of the specimen lie below its frame.
    for below in range(max(2, height // 250) + 1):
        if runs[last - below] >= _PLAIN or flat[last - below] >= _FLAT:
            row = last - below
            break
    else:
        return []
    while row > 0 and (flat[row - 1] >= _TEXT_ROW or runs[row - 1] >= _PLAIN):
        row -= 1
    # In a specimen that is flat itself: plain rows below, none above, and most columns change between.
    edges = [
        top
        for top in range(max(row, 4), last - 4)
        if changed[top - 1] >= _SHARP and runs[top : top + 2].min() >= _PLAIN and runs[top - 4 : top].max() < _PLAIN
    ]
    if row < len(part) - _LARGEST * height:
        # Nothing stopped the walk: a specimen without noise, in whose rows fewer columns change.
        sharp = [top for top in range(4, last - 4) if changed[top - 1] >= _FLAT and runs[top : top + 2].min() >= _PLAIN]
        edges += [_above_its_line(top, runs, height) for top in sharp[:1]]
    return [(float(changed[top - 1] - np.median(changed[top : top + 7])), top) for top in {row, *edges} if top > 0]


def _above_its_line(top: int, runs: np.ndarray, height: int) -> int:
    """The line along a bar's upper edge belongs to it, however dark the specimen above; a flat specimen is no line."""
    gap, line = max(4, height // 200), top
    while line > 0 and top - line < gap and runs[line - 1] >= _PLAIN:
        line -= 1
    return line if 0 < top - line < gap else top


def _in_long_runs(part: np.ndarray, tolerance: float) -> np.ndarray:
    """Share of each row that lies in runs of one value, each a thirtieth of the width and more."""
    shortest = max(8, part.shape[1] // 30)
    equal = np.abs(np.diff(part, axis=1)) <= tolerance
    found = np.empty(len(part))
    for index, row in enumerate(equal):
        breaks = np.flatnonzero(np.concatenate(([True], ~row, [True])))
        lengths = np.diff(breaks)
        found[index] = lengths[lengths >= shortest].sum() / part.shape[1]
    return found


def glyphs_on_lines(bar: np.ndarray, contrast_of_image: float) -> int:
    """Count what looks like letters: strokes of one contrast that stand on common lines.

    Parameters
    ----------
    bar : np.ndarray
        (rows, X) float32.
    contrast_of_image : float
        Of the micrograph above it: fainter things are no text.

    Returns
    -------
    int
    """
    from scipy import ndimage

    size = max(9, 2 * (len(bar) // 12) + 1)
    best = 0
    for hats in (ndimage.white_tophat, ndimage.black_tophat):
        hat = hats(bar, size=(size, size))
        strongest = float(np.percentile(hat[hat > 0], 98)) if (hat > 0).any() else 0.0
        if strongest < 0.2 * contrast_of_image or strongest == 0:
            continue
        labelled, count = ndimage.label(hat > 0.5 * strongest, structure=np.ones((3, 3), bool))
        if not 0 < count < 20_000:
            continue
        boxes = []
        peaks = ndimage.maximum(hat, labelled, np.arange(1, count + 1))
        for (rows, columns), peak in zip(ndimage.find_objects(labelled), peaks, strict=True):
            tall, wide = rows.stop - rows.start, columns.stop - columns.start
            inside = rows.start > 1 and 5 <= tall <= 0.75 * len(bar)  # what hangs from the edge is the specimen's
            if inside and wide <= 5 * tall and peak > 0.7 * strongest:
                boxes.append((rows.stop, tall, columns.start, columns.stop))
        best = max(best, _on_lines(boxes))
    return best


def _on_lines(boxes: list[tuple[int, int, int, int]]) -> int:
    """Boxes that stand on a line with others as tall, and near them."""
    counted = 0
    for line in sorted({bottom for bottom, *_ in boxes}):
        on = [box for box in boxes if abs(box[0] - line) <= 1]
        if len(on) < 4:
            continue
        tall = float(np.median([box[1] for box in on]))
        alike = sorted((box for box in on if 0.6 * tall <= box[1] <= 1.6 * tall), key=lambda box: box[2])
        near = [
            index
            for index, box in enumerate(alike)
            if (index and box[2] - alike[index - 1][3] < 1.5 * tall)
            or (index + 1 < len(alike) and alike[index + 1][2] - box[3] < 1.5 * tall)
        ]
        counted = max(counted, len(near))
    # Particles stand on every row alike, letters on a few.
    return counted if counted >= _ON_ONE_LINE * len(boxes) else 0
