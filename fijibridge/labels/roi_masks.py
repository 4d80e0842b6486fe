"""The pixels of a ROI in an image: ImageJ's own mask of areas and wide lines, the pixels it draws of others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import LabelsError
from fijibridge.labels import roi_shapes

if TYPE_CHECKING:
    import roifile

_MOST_CROSSINGS = 30_000_000  # edges by rows that they cross: seconds
_AT_ONCE = 4_000_000


class Window:
    """The pixels that count: an image, and what is to be seen around it.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) of the image.
    margin : int
        Pixels around it.
    """

    def __init__(self, shape: tuple[int, int], margin: int = 0) -> None:
        self.top = self.left = -margin
        self.bottom, self.right = shape[0] + margin, shape[1] + margin

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
        """The part of a box of whole pixels that lies in the window; left >= right, or top >= bottom, where none does.

        Parameters
        ----------
        left, top, right, bottom : float
            Edges of the box.
        """
        return (
            max(self.left, int(np.floor(left))), max(self.top, int(np.floor(top))),
            min(self.right, int(np.ceil(right))), min(self.bottom, int(np.ceil(bottom))),
        )  # fmt: skip


Mask = tuple[np.ndarray, tuple[int, int]]
_NOTHING: Mask = (np.zeros((0, 0), bool), (0, 0))


def not_drawn(roi: roifile.ImagejRoi) -> str:
    """What kind of ROI it is, where that is none that labels: text, an image, an angle; else empty."""
    from roifile import ROI_SUBTYPE, ROI_TYPE

    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE):
        return str(roi.subtype.name).lower()
    return str(roi.roitype.name).lower() if roi.roitype in (ROI_TYPE.ANGLE, ROI_TYPE.NOROI) else ""


def roi_mask(roi: roifile.ImagejRoi, shape: tuple[int, int], *, margin: int = 0) -> Mask:
    """Pixels of a ROI inside an image.

    An area holds the pixels whose centre lies inside it (pixel (0, 0) reaches from 0 to 1, its centre is at 0.5).

    Parameters
    ----------
    roi : roifile.ImagejRoi
        Rectangle, oval, ellipse, polygon, freehand or traced selection (fitted with a spline or not), composite, line,
        polyline, freehand line, point or multi-point.
    shape : tuple of int
        (Y, X) of the image; what lies outside is cut off.
    margin : int
        Pixels around the image that are kept too.

    Returns
    -------
    mask : np.ndarray
        (rows, columns) bool, no larger than needed; empty where the ROI has no pixel inside.
    origin : tuple of int
        (top, left) of the mask in the image.

    Raises
    ------
    LabelsError
        An angle, text or image, one of an unknown kind, or coordinates that are no numbers or far outside.
    """
    from roifile import ROI_TYPE

    window = Window(shape, margin)
    kind, width = roi.roitype, _stroke_width(roi)
    if other := not_drawn(roi):
        raise LabelsError(
            f"ROI {roi.name!r} is of type {other}",
            expected="an area, a line or points",
            remedy="delete it from the set, or draw the region with another tool",
        )
    if roi.multi_coordinates is not None:
        found = _fill(roi_shapes.flattened(roi_shapes.commands_of(roi), roi.name), window, roi.name)
    elif kind in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        found = _box(roi, window)
    elif kind in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED):
        found = _fill([_to_origin(_outline(roi, closed=True))], window, roi.name)
    elif kind == ROI_TYPE.LINE:
        ends = roi_shapes.checked(roi, np.array([[roi.x1, roi.y1], [roi.x2, roi.y2]], np.float64))
        found = _thin(ends, window) if width <= 1 else _straight(ends, width, window, roi.name)
    elif kind in (ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE):
        points = _outline(roi, closed=False)
        if len(points) > roi_shapes.MOST_POINTS:  # one after the other
            raise roi_shapes.too_intricate(roi.name, f"a line of {len(points)} points")
        found = _thin(_to_origin(points), window) if width <= 1 else _thick(points, width, window, roi.name)
    else:
        found = _pixels(_nearest(roi_shapes.points_of(roi)), window)
    return _smallest(*found)


def _smallest(mask: np.ndarray, origin: tuple[int, int]) -> Mask:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return _NOTHING
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cut, (origin[0] + int(rows[0]), origin[1] + int(columns[0]))


def _stroke_width(roi: roifile.ImagejRoi) -> float:
    return max(float(roi_shapes.checked(roi, np.array([roi.float_stroke_width or roi.stroke_width or 1], float))[0]), 1)


def _box(roi: roifile.ImagejRoi, window: Window) -> Mask:
    """A rectangle, which may have rounded corners, or an oval."""
    from roifile import ROI_TYPE

    x, y, width, height = roi_shapes.bounds_of(roi)
    if width <= 0 or height <= 0:
        raise LabelsError(
            f"ROI {roi.name!r} covers no pixel", expected="at least one pixel", remedy="draw it larger, or delete it"
        )
    if roi.roitype == ROI_TYPE.RECT and roi.rounded_rect_arc_size > 0:
        path = roi_shapes.rounded(x, y, width, height, roi.rounded_rect_arc_size)
        return _fill(roi_shapes.flattened(path, roi.name), window, roi.name)
    left, top, right, bottom = window.box(x, y, x + width, y + height)
    if left >= right or top >= bottom:
        return _NOTHING
    if roi.roitype == ROI_TYPE.RECT:
        return np.ones((bottom - top, right - left), bool), (top, left)
    dx = np.arange(left - x, right - x) - (width / 2 - 0.5)
    dy = np.arange(top - y, bottom - y) - (height / 2 - 0.5)
    across, down = dx * dx / (width / 2) ** 2, dy * dy / (height / 2) ** 2
    return across + down[:, np.newaxis] <= 1, (top, left)


def _outline(roi: roifile.ImagejRoi, *, closed: bool) -> np.ndarray:
    """(n, 2) x, y: the points of the ROI, or those of the spline fitted to them."""
    from roifile import ROI_OPTIONS, ROI_TYPE

    points = roi_shapes.points_of(roi)
    if not roi.options & ROI_OPTIONS.SPLINE_FIT or len(points) < 2 or roi.version < 218:
        return points
    names = {ROI_TYPE.FREEHAND: "freehand", ROI_TYPE.FREELINE: "freehand", ROI_TYPE.TRACED: "traced"}
    flat = roi.roitype == ROI_TYPE.FREELINE and not np.ptp(points, axis=0).all()
    length = roi_shapes.length_of(points, "" if flat else names.get(roi.roitype, ""), closed=closed)
    if max(length / 2, len(points)) > roi_shapes.MOST_POINTS:
        raise roi_shapes.too_intricate(roi.name, f"a spline {length:.3g} px long through {len(points)} points")
    return roi_shapes.spline(points, length, closed=closed)


def _to_origin(points: np.ndarray) -> np.ndarray:
    """Points as ImageJ keeps them: float32 from their smallest."""
    least = points.min(axis=0).astype(np.float32)
    return (points.astype(np.float32) - least).astype(np.float64) + least


def _fill(polygons: Sequence[np.ndarray], window: Window, name: str, *, all_of_them: bool = False) -> Mask:
    """Pixels inside an odd number of turns of closed polygons, or inside any of several convex ones."""
    polygons = [polygon for polygon in polygons if len(polygon) > 1]
    if not polygons:
        return _NOTHING
    every = np.concatenate(polygons)
    box = window.box(*(every.min(axis=0) - 1), *(every.max(axis=0) + 1))
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return _NOTHING
    sizes = [len(polygon) for polygon in polygons]
    following = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    sense = np.ones(len(every), np.int32)
    if all_of_them:
        sense = np.repeat([np.int32(1) if _area(polygon) > 0 else np.int32(-1) for polygon in polygons], sizes)
    # A crossing turns all pixels to its right: counted first, then summed along the row.
    turns = np.zeros((bottom - top, right - left + 1), np.int32)
    # As ImageJ's PolygonFiller: an edge on the centre of a row belongs to the row above, one on a centre to its left.
    first, last = (np.floor(ends[:, 1] + 0.5).astype(np.int64) for ends in (every, following))
    sense = sense * np.sign(first - last).astype(np.int32)
    low, high = np.clip(np.minimum(first, last), top, bottom), np.clip(np.maximum(first, last), top, bottom)
    edges = np.flatnonzero(high > low)
    counts = (high - low)[edges]
    if counts.sum() > _MOST_CROSSINGS:
        raise roi_shapes.too_intricate(name, f"{len(edges)} edges through {bottom - top} rows")
    (x1, y1), (x2, y2) = every.T, following.T
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(edges):
        stop = max(int(np.searchsorted(ends, (ends[begin - 1] if begin else 0) + _AT_ONCE, "right")), begin + 1)
        some, number = edges[begin:stop], counts[begin:stop]
        edge = np.repeat(some, number)
        row = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + low[edge]
        slope = (x2[some] - x1[some]) / (y2[some] - y1[some])
        at = x1[edge] + (row + 0.5 - y1[edge]) * np.repeat(slope, number) + 1e-8
        column = np.clip(np.floor(at + 0.5) - left, 0, right - left).astype(np.int64)
        np.add.at(turns, (row - top, column), sense[edge])
        begin = stop
    np.cumsum(turns, axis=1, out=turns)
    inside = turns[:, :-1] != 0 if all_of_them else turns[:, :-1] % 2 == 1
    return inside, (top, left)


def _area(polygon: np.ndarray) -> float:
    """Twice the area, positive where it is run round clockwise (y grows downwards)."""
    x, y = (polygon - polygon[0]).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _apart(points: np.ndarray) -> np.ndarray:
    """Points without those that lie where the one before lies."""
    return points[np.concatenate([[True], (np.diff(points, axis=0) != 0).any(axis=1)])]


def _thick(points: np.ndarray, width: float, window: Window, name: str) -> Mask:
    points = _apart(points)
    if len(points) < 2:
        return _pixels(_nearest(points), window)
    return _fill(roi_shapes.wide_line(points, width), window, name, all_of_them=True)


def _straight(ends: np.ndarray, width: float, window: Window, name: str) -> Mask:
    """A straight line wider than a pixel: ImageJ takes a rotated rectangle, in whole pixels around its corners."""
    if len(_apart(ends)) < 2:
        return _pixels(_nearest(ends), window)
    corners = roi_shapes.rotated(ends.astype(np.float32).astype(np.float64), width)
    mask, (top, left) = _fill([corners], window, name)
    origin = np.floor(corners.min(axis=0)).astype(int)
    columns, rows = (corners.max(axis=0) - origin + 0.5).astype(int) + origin
    return mask[: max(0, rows - top), : max(0, columns - left)], (top, left)


def _thin(points: np.ndarray, window: Window) -> Mask:
    """The pixels that ImageJ draws for a line one pixel wide, with its roundings."""
    corners = _nearest(_apart(points))
    mask, (top, left) = _pixels(corners, window)
    low, high = np.array([window.left - 1, window.top - 1]), np.array([window.right, window.bottom])
    for start, end in pairwise(corners):
        way = end - start
        steps = int(np.abs(way).max())
        first, last = 0, steps
        step = way / max(steps, 1)
        for axis in (0, 1):
            if not step[axis]:
                last = last if low[axis] <= start[axis] <= high[axis] else -1
                continue
            near, far = (low, high) if step[axis] > 0 else (high, low)
            first = max(first, int((near[axis] - start[axis]) / step[axis]))
            last = min(last, int((far[axis] - start[axis]) / step[axis]))
        if first <= last:
            places = np.tile(step, (last - first + 1, 1))
            places[0] = start + first * step
            x, y = _nearest(np.cumsum(places, axis=0)).T
            inside = (x >= left) & (x < left + mask.shape[1]) & (y >= top) & (y < top + mask.shape[0])
            mask[y[inside] - top, x[inside] - left] = True
    return mask, (top, left)


def _nearest(points: np.ndarray) -> np.ndarray:
    """Pixels of points and lines, for which ImageJ counts a pixel's centre as a whole number (0.5 in areas)."""
    return np.floor(points + 0.5).astype(int)


def _pixels(points: np.ndarray, window: Window) -> Mask:
    left, top, right, bottom = window.box(*points.min(axis=0), *(points.max(axis=0) + 1))
    if left >= right or top >= bottom:
        return _NOTHING
    x, y = points.T
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    mask = np.zeros((bottom - top, right - left), bool)
    mask[y[inside] - top, x[inside] - left] = True
    return mask, (top, left)
