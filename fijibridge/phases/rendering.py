"""Rendering of a label volume by ray casting, with numpy and no graphics library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fijibridge.core.errors import ImageError, LabelsError, SettingsError

_SUPERSAMPLING = 2  # rays a pixel and direction: smooth edges
_RAYS = 2**18  # at once; 100 bytes each
_MARGIN = 0.02  # of the picture, on either side
_SMOOTH = 1.2  # voxels: without it a surface shows its voxels' six directions only
_AMBIENT, _DIFFUSE = 0.58, 0.46
_OCCLUSION = 0.7  # how much darker the deepest cavity is
_INSIDE = 0.93  # faces of the cut are a little darker than the outer ones, so that the corner is visible
_EMPTY, _OPAQUE, _BORDER = 0, 1, 2


@dataclass(frozen=True)
class _Camera:
    """Directions in (z, y, x), of unit length in space."""

    viewer: np.ndarray  # to the viewer
    right: np.ndarray
    up: np.ndarray


def _camera(azimuth: float, elevation: float) -> _Camera:
    """Seen from the side of the last row (large y), slice 0 on top; a larger azimuth is further to the right."""
    turn, rise = np.radians([azimuth, elevation])
    viewer = np.array([-np.sin(rise), np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn)])
    right = np.array([0.0, -np.sin(turn), np.cos(turn)])
    up = np.array([-np.cos(rise), -np.sin(rise) * np.cos(turn), -np.sin(rise) * np.sin(turn)])
    return _Camera(viewer, right, up)


def render(
    volume_labels: Any,
    colours: Any,
    *,
    transparent: Sequence[int] = (),
    size: int = 600,
    azimuth: float = 35,
    elevation: float = 25,
    cut: bool = True,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """Draw a label volume as seen from outside, in parallel projection.

    Each ray is followed through the voxels that it crosses (Amanatides and Woo 1987, Eurographics) to the first that is
    not transparent. Faces of the volume and of the cut are flat; surfaces inside are lit by the slope of the smoothed
    mask of what is opaque, and darker where more of it is around (cavities).

    Parameters
    ----------
    volume_labels : array_like
        (Z, Y, X) whole numbers, places in `colours`; 255 (`Phases.index` outside of the sample) is transparent.
    colours : array_like
        (phases, 3) uint8 colours.
    transparent : sequence of int
        Labels that are transparent.
    size : int
        Pixels of the picture's longer side; the volume fills it but for a small margin.
    azimuth, elevation : float
        Degrees: where the viewer stands. 0, 0 faces the xz plane from the last row, x to the right and slice 0 on top;
        azimuth turns the viewer towards large x, elevation (-90 to 90) lifts it.
    cut : bool
        Leave out the octant that faces the viewer.
    spacing : tuple of float
        (z, y, x) size of a voxel.

    Returns
    -------
    np.ndarray
        (Y, X, 3) uint8, white where nothing is.

    Raises
    ------
    ImageError
        Not three dimensions, or empty.
    LabelsError
        A label without a colour.
    SettingsError
        A size below 8 pixels or an elevation beyond the poles.
    """
    labels = np.asarray(volume_labels)
    palette = np.asarray(colours, np.float32).reshape(-1, 3)
    if labels.ndim != 3 or labels.size == 0:
        raise ImageError(f"labels of shape {labels.shape}", expected="(Z, Y, X), not empty", remedy="give a volume")
    if labels.dtype.kind not in "ui" or labels.min() < 0 or ((labels >= len(palette)) & (labels != 255)).any():
        raise LabelsError(
            f"labels {labels.min()} to {labels.max()} ({labels.dtype}) and {len(palette)} colours",
            expected="whole numbers from 0 up, one colour each",
            remedy="give a colour for each label",
        )
    if size < 8 or not -90 <= elevation <= 90:
        raise SettingsError(
            f"size = {size}, elevation = {elevation}", expected="8 or more; -90 to 90", remedy="such as 600 and 25"
        )
    scene = _Scene(labels, transparent, np.asarray(spacing, float), _camera(azimuth, elevation), cut)
    width, height = (np.abs(axis) @ scene.extent for axis in (scene.camera.right, scene.camera.up))
    longest = max(width, height)
    margin = 2 * _MARGIN * longest
    step = (longest + margin) / (size * _SUPERSAMPLING)
    columns, rows = (_SUPERSAMPLING * round((side + margin) / step / _SUPERSAMPLING) for side in (width, height))
    across = (np.arange(columns) - (columns - 1) / 2) * step
    down = ((rows - 1) / 2 - np.arange(rows)) * step
    picture = np.empty((rows // _SUPERSAMPLING, columns // _SUPERSAMPLING, 3), np.uint8)
    band = max(_RAYS // columns // _SUPERSAMPLING, 1) * _SUPERSAMPLING
    for start in range(0, rows, band):
        heights = down[start : start + band]
        origins = (
            scene.extent[:, None, None] / 2
            + across * scene.camera.right[:, None, None]
            + heights[:, None] * scene.camera.up[:, None, None]
        )
        seen = scene.trace(origins.reshape(3, -1), palette)
        seen = seen.reshape(-1, _SUPERSAMPLING, columns // _SUPERSAMPLING, _SUPERSAMPLING, 3).mean(axis=(1, 3))
        picture[start // _SUPERSAMPLING :][: len(seen)] = np.rint(seen).clip(0, 255)
    return picture


class _Scene:
    """A volume prepared for one view.

    Parameters
    ----------
    labels : np.ndarray
        (Z, Y, X) labels.
    transparent : sequence of int
        Labels that are transparent.
    spacing : np.ndarray
        (3,) size of a voxel.
    camera : _Camera
        The view.
    cut : bool
        Whether to leave out the octant that faces the viewer.
    """

    def __init__(
        self, labels: np.ndarray, transparent: Sequence[int], spacing: np.ndarray, camera: _Camera, cut: bool
    ) -> None:
        from scipy import ndimage as ndi

        self.labels, self.spacing, self.camera = labels, spacing, camera
        self.shape = np.array(labels.shape)
        self.extent = self.shape * spacing
        direction = -camera.viewer / spacing  # in voxels per length; never exactly along a plane of voxels
        self.direction = np.where(np.abs(direction) < 1e-9, -1e-9, direction)
        # the near half of each axis: rays run away from the viewer, so that a ray that leaves it never comes back
        half = self.shape // 2
        self.near_low = np.where(self.direction < 0, self.shape - half, 0)
        self.near_high = np.where(self.direction < 0, self.shape, half)
        self.cut = bool(cut) and bool((half > 0).all())
        opaque = ~np.isin(labels, [*transparent, 255])
        # a border of its own value ends a ray without a comparison for each axis
        self.kinds = np.pad(opaque.astype(np.uint8), 1, constant_values=_BORDER)
        self.clear = not opaque.all()
        if self.clear:
            self.smooth = ndi.gaussian_filter(opaque.astype(np.float32), _SMOOTH, mode="nearest")
            self.around = opaque.astype(np.float32)
            if self.cut:  # light falls in through the cut as well
                self.around[tuple(slice(a, b) for a, b in zip(self.near_low, self.near_high, strict=True))] = 0
            self.reach = max(round(self.shape.min() / 32), 1)  # voxels
            for _ in range(2):
                self.around = ndi.uniform_filter(self.around, 2 * self.reach + 1, mode="constant")

    def trace(self, origins: np.ndarray, palette: np.ndarray) -> np.ndarray:
        """Colours at the ends of rays.

        Parameters
        ----------
        origins : np.ndarray
            (3, rays) points on the rays, in space.
        palette : np.ndarray
            (phases, 3) float32.

        Returns
        -------
        np.ndarray
            (rays, 3) float32, 255 where a ray meets nothing.
        """
        origins = origins / self.spacing[:, None]
        colours = np.full((origins.shape[1], 3), 255, np.float32)
        rays, times, axes, inside = self._enter(origins)
        found, voxels, times, axes, first = self._march(origins[:, rays], times, axes)
        rays, inside = rays[found], inside[found]
        normals = np.zeros((3, len(rays)), np.float32)
        normals[axes, np.arange(len(rays))] = -np.sign(self.direction)[axes]
        light = np.ones(len(rays), np.float32)
        deep = ~first
        if deep.any():
            points = origins[:, rays[deep]] + times[deep] * self.direction[:, None]
            normals[:, deep], light[deep] = self._surface(points, normals[:, deep])
        light *= np.where(first & inside, np.float32(_INSIDE), 1)
        source = self.camera.viewer - 0.45 * self.camera.right + 0.8 * self.camera.up
        source = (source / np.linalg.norm(source)).astype(np.float32)
        light *= _AMBIENT + _DIFFUSE * np.maximum(source @ normals, 0)
        colours[rays] = palette[self.labels[tuple(voxels)]] * light[:, None]
        return colours

    def _enter(self, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rays that meet the body, the time, the axis of the face, and whether it is a face of the cut."""
        first, last, axis = self._box(origins, np.zeros(3), self.shape)
        meets = first[axis, np.arange(axis.size)] < last.min(axis=0)
        rays = np.flatnonzero(meets)
        axis = axis[rays]
        times = first[axis, rays]
        inside = np.zeros(len(rays), bool)
        if self.cut:
            begin, end, _ = self._box(origins[:, rays], self.near_low, self.near_high)
            inside = begin.max(axis=0) <= times + 1e-9
            inside &= end.min(axis=0) > times
            axis = np.where(inside, end.argmin(axis=0), axis)
            times = np.where(inside, end.min(axis=0), times)
        return rays, times, axis, inside

    def _box(self, origins: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(3, rays) times at which rays pass the near and the far plane of each axis, and the last near one's axis."""
        near, far = np.where(self.direction > 0, (low, high), (high, low))
        begin = (near[:, None] - origins) / self.direction[:, None]
        end = (far[:, None] - origins) / self.direction[:, None]
        return begin, end, begin.argmax(axis=0)

    def _march(
        self, origins: np.ndarray, times: np.ndarray, axes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Follow rays until a voxel is opaque: rays, (3, hits) voxels, times, axes of the faces, whether at the first.

        Parameters
        ----------
        origins : np.ndarray
            (3, rays) in voxels.
        times, axes : np.ndarray
            (rays,) where they enter.
        """
        points = origins + times * self.direction[:, None]
        voxels = np.floor(points).astype(np.int64)
        rays = np.arange(points.shape[1])
        # the face itself decides along its axis, not a rounded point on it
        voxels[axes, rays] = np.rint(points[axes, rays]) - (self.direction[axes] < 0)
        voxels = voxels.clip(0, self.shape[:, None] - 1)
        ahead = (voxels + (self.direction > 0)[:, None] - origins) / self.direction[:, None]
        strides = np.array([self.kinds.shape[1] * self.kinds.shape[2], self.kinds.shape[2], 1])
        place = strides @ (voxels + 1)
        steps = strides * np.sign(self.direction).astype(np.int64)
        every = 1 / np.abs(self.direction)
        kinds = self.kinds.ravel()
        found = []
        start = True
        while len(rays):
            here = kinds[place]
            hit = here == _OPAQUE
            if hit.any():
                found.append((rays[hit], place[hit], times[hit], axes[hit], np.full(hit.sum(), start)))
            going = here == _EMPTY
            rays, place, ahead = rays[going], place[going], ahead[:, going]
            axes = ahead.argmin(axis=0)
            columns = np.arange(len(rays))
            times = ahead[axes, columns]
            ahead[axes, columns] += every[axes]
            place = place + steps[axes]
            start = False
        if not found:
            nothing = np.zeros(0, np.int64)
            return nothing, np.zeros((3, 0), np.int64), np.zeros(0), nothing, np.zeros(0, bool)
        rays, place, times, axes, first = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return rays, np.array(np.unravel_index(place, self.kinds.shape)) - 1, times, axes, first

    def _surface(self, points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normals of surfaces inside, and how much light reaches them.

        Parameters
        ----------
        points : np.ndarray
            (3, hits) in voxels.
        faces : np.ndarray
            (3, hits) normals of the faces that were hit, for where the mask has no slope.
        """
        from scipy import ndimage as ndi

        centres = points - 0.5  # of arrays, whose first voxel's centre is 0

        def sample(field: np.ndarray, where: np.ndarray) -> np.ndarray:
            return ndi.map_coordinates(field, where, order=1, mode="nearest")

        normals = np.empty_like(faces)
        for axis in range(3):
            move = np.zeros((3, 1))
            move[axis] = 1
            slope = sample(self.smooth, centres - move) - sample(self.smooth, centres + move)
            normals[axis] = slope / self.spacing[axis]
        length = np.linalg.norm(normals, axis=0)
        normals = np.where(length > 1e-3, normals / np.maximum(length, 1e-3), faces)
        ahead = centres + self.reach * normals
        blocked = sample(self.around, ahead).clip(0, 1)
        return normals, 1 - np.float32(_OCCLUSION) * blocked
