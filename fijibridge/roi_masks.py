"""The pixels of an ImageJ ROI: for areas ImageJ's own mask, for lines and points the pixels it draws."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.errors import LabelsError

if TYPE_CHECKING:
    import roifile

# Steps a curve of a composite ROI is cut into; at 1000 pixels' length the error is below a tenth of a pixel.
_CURVE_STEPS = 64


def roi_mask(roi: roifile.ImagejRoi) -> tuple[np.ndarray, tuple[int, int]]:
    """Pixels of a ROI.

    An area holds the pixels whose centre lies inside it (pixel (0, 0) reaches from 0 to 1, its centre is at 0.5).

    Parameters
    ----------
    roi : roifile.ImagejRoi
        Rectangle, oval, ellipse, polygon, freehand or traced selection, composite, line, polyline, freehand line, point
        or multi-point.

    Returns
    -------
    mask : np.ndarray
        (rows, columns) bool, no larger than needed.
    origin : tuple of int
        (top, left) of the mask in the image; may lie outside of it.

    Raises
    ------
    LabelsError
        An angle, text or image, an empty ROI, or one of an unknown kind.
    """
    from roifile import ROI_SUBTYPE, ROI_TYPE

    kind, width = roi.roitype, max(roi.float_stroke_width or roi.stroke_width, 1.0)
    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE):
        raise _refused(roi, roi.subtype.name.lower())
    if roi.multi_coordinates is not None:
        mask, origin = _fill(_paths(roi.multi_coordinates))
    elif kind == ROI_TYPE.RECT:
        mask, origin = _rectangle(*_bounds(roi), arc=roi.rounded_rect_arc_size)
    elif kind == ROI_TYPE.OVAL:
        mask, origin = _oval(*_bounds(roi))
    elif kind in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED):
        mask, origin = _fill([_points(roi)])
    elif kind == ROI_TYPE.LINE:
        mask, origin = _line(np.array([[roi.x1, roi.y1], [roi.x2, roi.y2]], np.float64), width)
    elif kind in (ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE):
        mask, origin = _line(_points(roi), width)
    elif kind == ROI_TYPE.POINT:
        mask, origin = _pixels(_nearest(_points(roi)))
    else:
        raise _refused(roi, kind.name.lower())
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise LabelsError(
            f"ROI {roi.name!r} covers no pixel", expected="at least one pixel", remedy="draw it larger, or delete it"
        )
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cut, (origin[0] + int(rows[0]), origin[1] + int(columns[0]))


def _refused(roi: roifile.ImagejRoi, kind: str) -> LabelsError:
    return LabelsError(
        f"ROI {roi.name!r} is of type {kind}",
        expected="an area, a line or points",
        remedy="delete it from the set, or draw the region with another tool",
    )


def _points(roi: roifile.ImagejRoi) -> np.ndarray:
    """(n, 2) float64 x, y in image coordinates."""
    points = np.asarray(roi.coordinates(), dtype=np.float64)
    if points.ndim != 2 or not len(points) or not np.isfinite(points).all():
        raise LabelsError(
            f"ROI {roi.name!r} has no usable coordinates", expected="x, y of its points", remedy="draw it again"
        )
    return points


def _bounds(roi: roifile.ImagejRoi) -> tuple[int, int, int, int]:
    """x, y, width, height; whole pixels, by which ImageJ fills even a rectangle or oval that stores fractions."""
    return roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top


def _centres(x: float, y: float, width: float, height: float) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Pixel centres (columns, rows) of the pixels that a box touches, and its origin."""
    left, top = math.floor(x), math.floor(y)
    columns = np.arange(left, math.ceil(x + width)) + 0.5
    rows = np.arange(top, math.ceil(y + height)) + 0.5
    return columns[np.newaxis], rows[:, np.newaxis], (top, left)


def _rectangle(x: float, y: float, width: float, height: float, *, arc: float) -> tuple[np.ndarray, tuple[int, int]]:
    columns, rows, origin = _centres(x, y, width, height)
    mask = (columns >= x) & (columns < x + width) & (rows >= y) & (rows < y + height)
    if arc > 0:
        radius = min(arc, width, height) / 2
        # Distance to the inner rectangle, which the corner circles' centres span.
        dx = np.maximum(np.maximum(x + radius - columns, columns - (x + width - radius)), 0)
        dy = np.maximum(np.maximum(y + radius - rows, rows - (y + height - radius)), 0)
        mask &= dx**2 + dy**2 <= radius**2
    return mask, origin


def _oval(x: float, y: float, width: float, height: float) -> tuple[np.ndarray, tuple[int, int]]:
    columns, rows, origin = _centres(x, y, width, height)
    if width <= 0 or height <= 0:
        return np.zeros((0, 0), bool), origin
    dx, dy = (columns - x) / width * 2 - 1, (rows - y) / height * 2 - 1
    return dx**2 + dy**2 <= 1, origin


def _fill(paths: list[np.ndarray]) -> tuple[np.ndarray, tuple[int, int]]:
    """Pixels whose centre lies inside an odd number of turns of closed polygons."""
    every = np.concatenate(paths)
    left, top = (math.floor(value) for value in every.min(axis=0))
    right, bottom = (math.ceil(value) for value in every.max(axis=0))
    # A crossing flips all pixels to its right: counted first, then summed along the row.
    flips = np.zeros((max(bottom - top, 0), max(right - left, 0) + 1), np.int32)
    for path in paths:
        for (x1, y1), (x2, y2) in zip(path, np.roll(path, -1, axis=0), strict=True):
            if y1 == y2:
                continue
            low, high = min(y1, y2), max(y1, y2)
            rows = np.arange(math.ceil(low - 0.5), math.ceil(high - 0.5))  # centres in [low, high)
            crossing = x1 + (rows + 0.5 - y1) * (x2 - x1) / (y2 - y1)
            # A centre right on an edge belongs to the area on its left, as in ImageJ's PolygonFiller.
            np.add.at(flips, (rows - top, np.floor(crossing + 0.5).astype(int) - left), 1)
    return np.cumsum(flips, axis=1)[:, :-1] % 2 == 1, (top, left)


def _paths(path: np.ndarray) -> list[np.ndarray]:
    """Closed polygons of a composite ROI, whose path is a row of commands: 0 move, 1 line, 2 and 3 curves, 4 close."""
    values = np.asarray(path, dtype=np.float64)
    polygons: list[list[np.ndarray]] = []
    position = 0
    while position < len(values):
        command = int(values[position])
        if command not in (0, 1, 2, 3, 4):
            break
        number = (1, 1, 2, 3, 0)[command]
        points = values[position + 1 : position + 1 + 2 * number].reshape(-1, 2)
        position += 1 + 2 * number
        if command == 0:
            polygons.append([points[0]])
        elif command == 1:
            polygons[-1].append(points[0])
        elif command in (2, 3):
            polygons[-1].extend(_curve(np.vstack([polygons[-1][-1], points])))
    return [np.array(polygon) for polygon in polygons]


def _curve(control: np.ndarray) -> np.ndarray:
    """Points along a Bezier curve of degree 2 or 3, without its first."""
    t = np.linspace(0, 1, _CURVE_STEPS + 1)[1:, np.newaxis]
    while len(control) > 1:  # de Casteljau
        control = [a + (b - a) * t for a, b in pairwise(control)]
    return control[0]


def _line(points: np.ndarray, width: float) -> tuple[np.ndarray, tuple[int, int]]:
    """Pixels that ImageJ draws for a line: one wide the nearest to it, wider all within half the width."""
    if len(points) == 1:
        points = np.repeat(points, 2, axis=0)
    if width <= 1:
        drawn = []
        for start, end in pairwise(points):
            start, end = _nearest(start), _nearest(end)
            steps = int(np.abs(end - start).max())
            drawn.append(_nearest(start + (end - start) * np.linspace(0, 1, steps + 1)[:, np.newaxis]))
        return _pixels(np.concatenate(drawn))
    points = points + 0.5  # to the coordinates of areas, see _nearest
    low, high = points.min(axis=0) - width, points.max(axis=0) + width
    columns, rows, origin = _centres(low[0], low[1], *(high - low))
    mask = np.zeros((rows.size, columns.size), bool)
    for index, (start, end) in enumerate(pairwise(points)):
        direction = end - start
        length = float(np.hypot(*direction))
        if length > 0:
            ux, uy = direction / length
            along = (columns - start[0]) * ux + (rows - start[1]) * uy
            across = (rows - start[1]) * ux - (columns - start[0]) * uy
            mask |= (along >= 0) & (along <= length) & (np.abs(across) <= width / 2)
        if index > 0:  # no gap at a corner
            mask |= (columns - start[0]) ** 2 + (rows - start[1]) ** 2 <= (width / 2) ** 2
    return mask, origin


def _nearest(points: np.ndarray) -> np.ndarray:
    """Pixels of points and lines, for which ImageJ counts a pixel's centre as a whole number (0.5 in areas)."""
    return np.floor(points + 0.5).astype(int)


def _pixels(points: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    left, top = (int(value) for value in points.min(axis=0))
    right, bottom = (int(value) for value in points.max(axis=0))
    mask = np.zeros((bottom - top + 1, right - left + 1), bool)
    mask[points[:, 1] - top, points[:, 0] - left] = True
    return mask, (top, left)
