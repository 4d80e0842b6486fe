"""The outlines of ROIs by the rules of ImageJ's own reader: ellipses, splines, composite paths, wide lines."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import LabelsError

if TYPE_CHECKING:
    import roifile

FARTHEST = 1e6  # px: no image is that large, and no person draws that far outside of one
MOST_POINTS = 200_000  # of a line or a spline
_MOST_CURVED = 20_000  # points that the curves of a path are flattened to
_FLATNESS = 0.01  # px, ImageJ's own for filling
_DEEPEST = 10  # halvings of a curve, Java's own
_ELLIPSE = 72  # corners of ImageJ's ellipses
_PERIODIC = 7  # points by which a closed spline is continued at both ends


def bounds_of(roi: roifile.ImagejRoi) -> tuple[int, int, int, int]:
    """x, y, width, height in whole pixels, by which ImageJ fills even a rectangle or oval that stores fractions."""
    if roi.subpixelrect:
        x, y, width, height = checked(roi, np.array([roi.xd, roi.yd, roi.widthd, roi.heightd], np.float64))
        return int(x), int(y), int(np.ceil(width)), int(np.ceil(height))
    left, top, right, bottom = (_short(edge) for edge in (roi.left, roi.top, roi.right, roi.bottom))
    return left, top, right - left, bottom - top


def _short(value: int) -> int:
    """A 16-bit number as ImageJ reads it: above 32767 up to 60535, and negative down to -5000."""
    return value - 65536 if value >= 60536 else value


def points_of(roi: roifile.ImagejRoi) -> np.ndarray:
    """(n, 2) float64 x, y of the points stored, or of an ellipse or rotated rectangle made of its parameters."""
    from roifile import ROI_SUBTYPE, ROI_TYPE

    if roi.roitype == ROI_TYPE.FREEHAND and roi.subtype in (ROI_SUBTYPE.ELLIPSE, ROI_SUBTYPE.ROTATED_RECT):
        ends = checked(roi, np.array([[roi.x1, roi.y1], [roi.x2, roi.y2]], np.float64))
        packed = (roi.arrow_style_or_aspect_ratio, roi.arrow_head_size, roi.rounded_rect_arc_size)
        (share,) = checked(roi, np.array(struct.unpack(">f", struct.pack(">BBh", *packed)), np.float64))
        return ellipse(ends, float(share)) if roi.subtype == ROI_SUBTYPE.ELLIPSE else rotated(ends, float(share))
    if roi.subpixelresolution and roi.subpixel_coordinates is not None:
        with np.errstate(invalid="ignore"):  # what is no number is told by `checked`
            points = np.asarray(roi.subpixel_coordinates, np.float64)
        return checked(roi, points)
    relative = roi.integer_coordinates
    points = np.zeros((0, 2)) if relative is None else np.asarray(relative, np.float64)
    if points.ndim == 2 and len(points):
        points = np.where(points >= 60536, 0, points) + np.array([_short(roi.left), _short(roi.top)])
    return checked(roi, points)


def checked(roi: roifile.ImagejRoi, numbers: np.ndarray) -> np.ndarray:
    """Numbers of a ROI, which are refused where they are not finite or far beyond any image.

    Parameters
    ----------
    roi : roifile.ImagejRoi
        Whose, for messages.
    numbers : np.ndarray
        Coordinates and sizes in pixels.

    Raises
    ------
    LabelsError
        None, NaN, infinite, or above a million.
    """
    if not numbers.size or not np.isfinite(numbers).all():
        raise LabelsError(
            f"ROI {roi.name!r} has no usable coordinates", expected="x, y of its points", remedy="draw it again"
        )
    far = numbers.flat[np.abs(numbers).argmax()]
    if abs(far) > FARTHEST:
        raise LabelsError(
            f"ROI {roi.name!r} reaches to {far:g} px, far outside the image",
            expected="ROIs inside the image",
            remedy="delete it from the set, and draw it on this image",
        )
    return numbers


def too_intricate(name: str, why: str) -> LabelsError:
    """The error for a ROI that would take minutes.

    Parameters
    ----------
    name : str
        The ROI's.
    why : str
        What it has too many of.
    """
    return LabelsError(
        f"ROI {name!r} is too intricate: {why}",
        expected="what a person or the wand draws",
        remedy="simplify it in ImageJ (Edit > Selection > Interpolate), or make a label image of it",
    )


def ellipse(ends: np.ndarray, aspect: float) -> np.ndarray:
    """ImageJ's ellipse as a polygon.

    Parameters
    ----------
    ends : np.ndarray
        (2, 2) x, y of both ends of the major axis.
    aspect : float
        Minor axis by major axis; cut to 0 to 1.
    """
    along = ends[1] - ends[0]
    angle = np.arange(_ELLIPSE) * (2 * np.pi / _ELLIPSE)
    major = float(np.hypot(*along))
    offsets = np.stack([np.cos(angle) * major / 2, np.sin(angle) * major * float(np.clip(aspect, 0, 1)) / 2], axis=1)
    turn = np.arctan2(along[1], along[0])
    distance = np.hypot(*offsets.T)
    direction = np.arctan2(offsets[:, 1], offsets[:, 0]) + turn
    points = ends.mean(axis=0) + np.stack([np.cos(direction), np.sin(direction)], axis=1) * distance[:, np.newaxis]
    return points.astype(np.float32).astype(np.float64)


def rotated(ends: np.ndarray, width: float) -> np.ndarray:
    """ImageJ's rotated rectangle as a polygon.

    Parameters
    ----------
    ends : np.ndarray
        (2, 2) x, y of both ends of its middle line; they differ.
    width : float
        Across that line.
    """
    (x1, y1), (x2, y2) = ends
    length = float(np.hypot(x2 - x1, y2 - y1)) or np.inf
    side = np.array([y2 - y1, x1 - x2]) * (0.5 * width / length)
    points = np.array([ends[0] + side, ends[1] + side, ends[1] - side, ends[0] - side])
    return points.astype(np.float32).astype(np.float64)


def spline(points: np.ndarray, length: float, *, closed: bool) -> np.ndarray:
    """The points of the spline that ImageJ fits to the points of a selection.

    Parameters
    ----------
    points : np.ndarray
        (n, 2) x, y, two at least.
    length : float
        See `length_of`.
    closed : bool
        Whether the last point is joined to the first.

    Returns
    -------
    np.ndarray
        One point for two pixels of length, 100 at least.
    """
    from scipy.interpolate import CubicSpline

    origin = points.min(axis=0)
    nodes = (points - origin).astype(np.float32)
    if closed:
        nodes = np.concatenate([nodes, nodes[:1]])
    steps = np.sqrt(np.sqrt((np.diff(nodes, axis=0) ** 2).sum(axis=1))).astype(np.float32)
    place = np.concatenate([[0], np.cumsum(np.maximum(steps, np.float32(0.001)), dtype=np.float32)]).astype(np.float32)
    wanted = np.arange(count := max(100, int(length / 2))) * (float(place[-1]) / (count - 1))
    if closed:
        more = min(_PERIODIC, len(nodes) - 1)
        place = np.concatenate([place[-1 - more : -1] - place[-1], place, place[1 : 1 + more] + place[-1]])
        nodes = np.concatenate([nodes[-1 - more : -1], nodes, nodes[1 : 1 + more]])
    curve = CubicSpline(place.astype(np.float64), nodes.astype(np.float64), bc_type="natural")(wanted)
    return (curve.astype(np.float32) + origin.astype(np.float32)).astype(np.float64)


def length_of(points: np.ndarray, kind: str, *, closed: bool) -> float:
    """Length of a selection as ImageJ measures it, in pixels.

    Parameters
    ----------
    points : np.ndarray
        (n, 2) x, y.
    kind : {"freehand", "traced", ""}
        What a hand drew is smoothed first; of what the wand traced corners are cut.
    closed : bool
        Whether the way back to the first point counts.
    """
    if kind == "traced":
        return _traced_length(points)
    way_back = float(np.hypot(*(points[-1] - points[0]))) if closed else 0.0
    if kind == "freehand" and len(points) > 2:
        means = (points[:-2] + points[1:-1] + points[2:]) / 3
        points = np.concatenate([points[:1], means, points[-1:]])
    return float(np.hypot(*np.diff(points, axis=0).T).sum()) + way_back


def _traced_length(points: np.ndarray) -> float:
    if len(points) < 4:
        return 0.0
    sides = np.abs(points - np.roll(points, 1, axis=0)).sum(axis=1)
    corners, corner = 0, False
    for side in sides:
        corner = bool(side > 1) or not corner
        corners += corner
    return float(sides.sum() - corners * (2 - np.sqrt(2)))


def rounded(x: float, y: float, width: float, height: float, arc: float) -> list[list[float]]:
    """A rectangle with rounded corners as commands of a path (see `flattened`), as Java makes it.

    Parameters
    ----------
    x, y, width, height : float
    arc : float
        Diameter of the corners.
    """
    across, down = min(width, arc), min(height, arc)
    bend = (1 - 4 / 3 * (np.sqrt(2) - 1)) / 2
    right, bottom, half_x, half_y, near_x, near_y = (
        x + width, y + height, across / 2, down / 2, across * bend, down * bend,
    )  # fmt: skip
    return [
        [0, x, y + half_y], [1, x, bottom - half_y],
        [3, x, bottom - near_y, x + near_x, bottom, x + half_x, bottom], [1, right - half_x, bottom],
        [3, right - near_x, bottom, right, bottom - near_y, right, bottom - half_y], [1, right, y + half_y],
        [3, right, y + near_y, right - near_x, y, right - half_x, y], [1, x + half_x, y],
        [3, x + near_x, y, x, y + near_y, x, y + half_y], [4],
    ]  # fmt: skip


def commands_of(roi: roifile.ImagejRoi) -> list[list[float]]:
    """The path of a composite ROI as commands: 0 move, 1 line, 2 and 3 curves, 4 close, each with its points."""
    values = checked(roi, np.asarray(roi.multi_coordinates, np.float64)).tolist()
    found: list[list[float]] = []
    position = 0
    while position < len(values):
        command = int(values[position])
        if command not in (0, 1, 2, 3, 4) or (command in (1, 2, 3) and not found):
            raise LabelsError(
                f"ROI {roi.name!r} has a path that ImageJ cannot have written",
                expected="moves, lines and curves",
                remedy="draw it again",
            )
        size = 1 + 2 * (1, 1, 2, 3, 0)[command]
        if position + size > len(values):
            break
        found.append([command, *values[position + 1 : position + size]])
        position += size
    return found


def flattened(commands: list[list[float]], name: str) -> list[np.ndarray]:
    """The closed polygons of a path.

    Parameters
    ----------
    commands : list of list of float
        See `commands_of`.
    name : str
        The ROI's, for messages.
    """
    corners = np.array([number for _, *numbers in commands for number in numbers]).reshape(-1, 2)
    origin = np.floor(corners.min(axis=0)) if len(corners) else np.zeros(2)
    polygons: list[list[np.ndarray]] = []
    room = _MOST_CURVED
    for command, *numbers in commands:
        points = (np.array(numbers).reshape(-1, 2) - origin).astype(np.float32).astype(np.float64)
        if command == 0 or (command != 4 and not polygons):
            polygons.append([points[0]])
        elif command == 1:
            polygons[-1].append(points[0])
        elif command in (2, 3):
            curve = _curve(np.vstack([polygons[-1][-1], points]))
            room -= len(curve)
            if room < 0:
                raise too_intricate(name, f"curves of more than {_MOST_CURVED} points")
            polygons[-1].extend(curve)
    return [np.array(polygon, np.float32).astype(np.float64) + origin for polygon in polygons]


def _curve(control: np.ndarray, depth: int = 0) -> list[np.ndarray]:
    """Points along a Bezier curve of degree 2 or 3, without its first: halved until flat, as Java does it."""
    if depth >= _DEEPEST or _bulge(control) < _FLATNESS:
        return [control[-1]]
    left, right, row = [control[0]], [control[-1]], control
    while len(row) > 1:  # de Casteljau
        row = (row[:-1] + row[1:]) / 2
        left.append(row[0])
        right.append(row[-1])
    return _curve(np.array(left), depth + 1) + _curve(np.array(right[::-1]), depth + 1)


def _bulge(control: np.ndarray) -> float:
    """Largest distance of an inner control point to the chord."""
    start, chord = control[0], control[-1] - control[0]
    length = float(chord @ chord)
    rest = control[1:-1] - start
    share = np.clip(rest @ chord / length, 0, 1) if length else np.zeros(len(rest))
    return float(np.hypot(*(rest - share[:, np.newaxis] * chord).T).max())


def wide_line(points: np.ndarray, width: float) -> list[np.ndarray]:
    """The rectangles and triangles by which ImageJ turns a polyline wider than a pixel into an area.

    Parameters
    ----------
    points : np.ndarray
        (n, 2) x, y, two at least; neighbours differ.
    width : float
        Of the line.
    """
    radius = width / 2
    direction = np.diff(points, axis=0)
    direction /= np.hypot(*direction.T)[:, np.newaxis]
    across = np.stack([direction[:, 1], -direction[:, 0]], axis=1) * radius
    starts, stops = points[:-1].copy(), points[1:].copy()
    starts[0] -= 0.5 * direction[0]
    stops[-1] += 0.5 * direction[-1]
    shapes = [np.array([a + s, a - s, b - s, b + s]) for a, b, s in zip(starts, stops, across, strict=True)]
    for number in range(1, len(starts)):
        before, after, corner = across[number - 1], across[number], starts[number]
        (dx0, dy0), (dx1, dy1) = direction[number - 1], direction[number]
        side = -1 if dx1 * dy0 > dx0 * dy1 else 1
        tip = corner - side * 0.5 * (before + after)  # beyond the corner, so that no pixel is missed by rounding
        shapes.append(np.array([tip, corner + side * before, corner + side * after]))
    return [shape.astype(np.float32).astype(np.float64) + 0.5 for shape in shapes]
