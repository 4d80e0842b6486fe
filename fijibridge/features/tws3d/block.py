"""TWS's features of a volume, or of a block of it: what the filters of the 3D bank make, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.core.parallel import compiled
from fijibridge.features.tws.block import span_of
from fijibridge.features.tws.gaussian_derivatives import Box3d, Part, Triple
from fijibridge.features.tws3d.bank import factors_of, feature_names_3d, reach_3d, steps_3d
from fijibridge.features.tws3d.settings import Factors, Tws3dSettings
from fijibridge.features.tws3d.window import Window3d

_TILE = (32, 128, 128)  # planes, rows and columns at a time: what filters keep for each other stays below half a GiB
_DEFAULT = Tws3dSettings()


def tws3d_features(
    volume: Any,
    planes: slice = slice(None),
    rows: slice = slice(None),
    cols: slice = slice(None),
    *,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    settings: Tws3dSettings = _DEFAULT,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """TWS 4.0's 3D features of a grey volume, or of a block of it, under its attribute names.

    What each feature is, and what lies beyond the volume's border for it, stands at its filter, in
    :mod:`fijibridge.features.tws3d.filters`; a block looks at its true surroundings.

    Parameters
    ----------
    volume : array (Z, Y, X)
        In the image's own units (8-bit: 0..255, 16-bit: 0..65535), of any real type; read as float32, as TWS does.
        Anything with a shape that can be sliced: only the block and its filters' reach around it are read, a box at a
        time.
    planes, rows, cols : slice, optional
        The block wanted, in voxels; the whole volume by default.
    voxel_size : (float, float, float)
        Along z, y and x, in any unit of length; sigmas are in pixels along x.
    settings : Tws3dSettings
        TWS's default features by default.
    out : float32 array (d, h, w, >= F), optional
        Where to write, the first F features; other features stay as they are. A view into a larger stack serves.

    Returns
    -------
    float32 array (d, h, w, F)
        In the order of :func:`fijibridge.features.tws3d.bank.feature_names_3d`; a view of `out` if that was given. A
        block holds exactly the numbers that the whole volume has there.

    Raises
    ------
    ImageError
        If `volume` is not a 3D array or has no voxel.
    SettingsError
        If a slice has a step, a voxel's size is not above 0, or `out` is of another size or type.

    Notes
    -----
    Runs on one thread and releases the GIL: blocks may run in a thread pool. Besides the result, at sigmas up to 16 it
    holds less than 1 GiB, whatever the block's size. Thick blocks take less time a voxel than thin ones, since
    filters look up to five sigmas around a block.
    """
    if getattr(volume, "shape", None) is None:
        volume = np.asarray(volume)
    shape = tuple(volume.shape)
    if len(shape) != 3 or 0 in shape:
        raise ImageError(
            f"a volume of shape {shape}",
            expected="a grey volume (Z, Y, X) with at least one voxel",
            remedy="pass one channel at a time",
        )
    factors = factors_of(voxel_size, settings.scaling)

    def fill(part: np.ndarray, box: Box3d) -> None:
        _features_last(features_of(volume, box, settings, factors), part)

    return in_boxes((shape[0], shape[1], shape[2]), (planes, rows, cols), settings, out, fill)


def in_boxes(
    shape: Triple,
    block: tuple[slice, slice, slice],
    settings: Tws3dSettings,
    out: np.ndarray | None,
    fill: Callable[[np.ndarray, Box3d], None],
) -> np.ndarray:
    """Fill a block of a volume's features, small boxes at a time.

    Parameters
    ----------
    shape : (int, int, int)
        Of the volume.
    block : tuple of slice
        Planes, rows and columns wanted.
    settings : Tws3dSettings
    out : ndarray or None
        As of :func:`tws3d_features`.
    fill : callable
        Given a view of the result (d, h, w, F) and the box of the volume that it is of, fills it.

    Raises
    ------
    SettingsError
        As of :func:`tws3d_features`.
    """
    named = zip(block, shape, ("planes", "rows", "cols"), strict=True)
    starts, stops = zip(*(span_of(part, length, axis) for part, length, axis in named), strict=True)
    size = tuple(stop - start for start, stop in zip(starts, stops, strict=True))
    count = len(feature_names_3d(settings))
    if out is None:
        out = np.empty((*size, count), np.float32)
    elif out.ndim != 4 or out.shape[:3] != size or out.shape[3] < count or out.dtype != np.float32:
        raise SettingsError(
            f"out is {out.dtype} {out.shape}",
            expected=f"float32 ({size[0]}, {size[1]}, {size[2]}, at least {count})",
            remedy="make `out` as large as the block, or leave it out",
        )
    out = out[..., :count]
    for corner in np.ndindex(*(-(-length // tile) for length, tile in zip(size, _TILE, strict=True))):
        low = [start + at * tile for start, at, tile in zip(starts, corner, _TILE, strict=True)]
        high = [min(at + tile, stop) for at, tile, stop in zip(low, _TILE, stops, strict=True)]
        cut = tuple(slice(a - start, b - start) for a, b, start in zip(low, high, starts, strict=True))
        fill(out[cut], (low[0], high[0], low[1], high[1], low[2], high[2]))
    return out


def features_of(volume: Any, box: Box3d, settings: Tws3dSettings, factors: Factors) -> np.ndarray:
    """All features of a box; float32 (F, d, h, w).

    Parameters
    ----------
    volume : array (Z, Y, X)
    box : tuple of int
        z0, z1, y0, y1, x0, x1.
    settings : Tws3dSettings
    factors : (float, float, float)
        Of sigma along z, y and x.
    """
    around, shape = reach_3d(settings, factors), volume.shape
    low = [max(box[2 * axis] - by, 0) for axis, by in enumerate(around)]
    high = [min(box[2 * axis + 1] + by, shape[axis]) for axis, by in enumerate(around)]
    # a fresh C array, since numba compiles anew for every other layout, and for read-only ones
    values = np.array(volume[low[0] : high[0], low[1] : high[1], low[2] : high[2]], dtype=np.float32, order="C")
    part = Part(values, (low[0], low[1], low[2]))
    window = Window3d(part, (shape[0], shape[1], shape[2]), box, settings, factors)
    size = (box[1] - box[0], box[3] - box[2], box[5] - box[4])
    made = np.empty((len(feature_names_3d(settings)), *size), np.float32)
    made[0] = part.cut(box)
    first, sigma = 1, 0.0
    for step in steps_3d(settings):
        if step.sigma != sigma:
            window.forget()
            sigma = step.sigma
        own = made[first : first + len(step.names)]
        if step.names:
            step.filter.fill(window, sigma, own)
        first += len(step.names)
    return made


@compiled
def _features_last(made, out):
    """Features (F, d, h, w) into out (d, h, w, F), in strips along x that fit into the cache."""
    count, depth, height, width = made.shape
    for z in range(depth):
        for y in range(height):
            for left in range(0, width, 16):
                right = min(left + 16, width)
                for f in range(count):
                    row = made[f, z, y]
                    for x in range(left, right):
                        out[z, y, x, f] = row[x]
