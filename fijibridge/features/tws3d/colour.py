"""TWS's features of an RGB volume: each filter on each colour, rounded to 8 bits, then averaged."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, ImageError
from fijibridge.core.parallel import compiled
from fijibridge.features.tws.gaussian_derivatives import Box3d
from fijibridge.features.tws3d.bank import factors_of, feature_names_3d
from fijibridge.features.tws3d.block import features_of, in_boxes, tws3d_features
from fijibridge.features.tws3d.settings import Tws3dSettings

COLOURS = 3

_STRETCHED = "Variance"  # its numbers are not cut at 255 but stretched, slice by slice
_STRIP = 128  # rows at a time, where a whole slice is looked at


class _Colour:
    """One colour of an RGB volume, read when it is sliced."""

    def __init__(self, rgb: Any, number: int) -> None:
        self._rgb, self._number = rgb, number
        self.shape = rgb.shape[:3]

    def __getitem__(self, cut: tuple[slice, slice, slice]) -> np.ndarray:
        colour: np.ndarray = self._rgb[cut][..., self._number]
        return colour


class SliceRanges:
    """The least and the greatest variance of each colour in each slice, each found once.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self._finding = threading.Lock()

    def of(
        self, rgb: Any, plane: int, number: int, voxel_size: tuple[float, float, float], settings: Tws3dSettings
    ) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest variance in a slice, one a sigma; float32.

        Parameters
        ----------
        rgb : array (Z, Y, X, 3), uint8
        plane, number : int
            Of the slice and of the colour.
        voxel_size : (float, float, float)
        settings : Tws3dSettings
        """
        with self._finding:
            if (plane, number) not in self._found:
                colour, alone = _Colour(rgb, number), replace(settings, filters=(_STRETCHED,))
                strips = [
                    tws3d_features(
                        colour,
                        slice(plane, plane + 1),
                        slice(top, top + _STRIP),
                        voxel_size=voxel_size,
                        settings=alone,
                    )[..., 1:]
                    for top in range(0, colour.shape[1], _STRIP)
                ]
                least = np.min([strip.min(axis=(0, 1, 2)) for strip in strips], axis=0)
                greatest = np.max([strip.max(axis=(0, 1, 2)) for strip in strips], axis=0)
                self._found[plane, number] = least, greatest
            return self._found[plane, number]


def colour_features_3d(
    rgb: Any,
    planes: slice = slice(None),
    rows: slice = slice(None),
    cols: slice = slice(None),
    *,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    settings: Tws3dSettings,
    out: np.ndarray | None = None,
    ranges: SliceRanges | None = None,
) -> np.ndarray:
    """TWS 4.0's 3D features of an RGB volume, or of a block of it, under its attribute names.

    TWS filters red, green and blue, rounds each to whole numbers from 0 to 255, and gives its classifier the mean of
    the three: so what is negative is 0. The variance alone it stretches, colour by colour and slice by slice, so that
    the slice's least variance is 0 and its greatest 255: it can be compared within a slice, not between two.

    Parameters
    ----------
    rgb : array (Z, Y, X, 3), uint8
        Anything that can be sliced. Only the block and its filters' reach around it are read; for variances, the whole
        slices of the block.
    planes, rows, cols : slice, optional
        The block wanted, in voxels; the whole volume by default.
    voxel_size : (float, float, float)
        Along z, y and x.
    settings : Tws3dSettings
    out : float32 array (d, h, w, >= F), optional
        As of :func:`fijibridge.features.tws3d.block.tws3d_features`.
    ranges : SliceRanges, optional
        Of the same volume, settings and voxel size, where several blocks of it are made.

    Returns
    -------
    float32 array (d, h, w, F)
        In the order of :func:`fijibridge.features.tws3d.bank.feature_names_3d`; a block holds exactly the numbers that
        the whole volume has there.

    Raises
    ------
    FeatureMismatchError
        If `rgb` is no 8-bit RGB volume.
    ImageError
        If `rgb` has no voxel.
    SettingsError
        As of :func:`fijibridge.features.tws3d.block.tws3d_features`.
    """
    shape = tuple(rgb.shape)
    if len(shape) != 4 or shape[3] != COLOURS or rgb.dtype != np.uint8:
        raise FeatureMismatchError(
            f"a volume of shape {shape} of type {rgb.dtype}, and features made of colours",
            expected="an 8-bit RGB volume (Z, Y, X, 3)",
            remedy="convert it in Fiji (Image > Type > RGB Color), or train on grey volumes",
        )
    if 0 in shape:
        raise ImageError(f"a volume of shape {shape}", expected="at least one voxel", remedy="choose another volume")
    ranges, factors = ranges or SliceRanges(), factors_of(voxel_size, settings.scaling)
    stretched = [i for i, name in enumerate(feature_names_3d(settings)) if name.startswith(_STRETCHED)]

    def fill(part: np.ndarray, box: Box3d) -> None:
        total = np.zeros((part.shape[3], *part.shape[:3]), np.uint16)
        for number in range(COLOURS):
            made = features_of(_Colour(rgb, number), box, settings, factors)
            if stretched:
                for at, plane in enumerate(range(*box[:2])):
                    least, greatest = ranges.of(rgb, plane, number, voxel_size, settings)
                    for one, low, high in zip(stretched, least, greatest, strict=True):
                        scale = np.float32(255) / (high - low) if high > low else np.float32(0)
                        made[one, at] = (made[one, at] - low) * scale
            _add_bytes(made, total)
        _put_means(total, part)

    return in_boxes((shape[0], shape[1], shape[2]), (planes, rows, cols), settings, out, fill)


@compiled
def _add_bytes(made, total):
    """Add features (F, d, h, w), each number rounded to 0 .. 255 as ImageJ rounds; NaN is 0."""
    for f in range(made.shape[0]):
        for z in range(made.shape[1]):
            for y in range(made.shape[2]):
                row, sums = made[f, z, y], total[f, z, y]
                for x in range(made.shape[3]):
                    value = row[x] + np.float32(0.5)
                    if value >= 256:
                        value = np.float32(255)
                    if value >= 1:
                        sums[x] += np.uint16(value)


@compiled
def _put_means(total, out):
    """Sums of three colours (F, d, h, w) to their means (d, h, w, F)."""
    count, depth, height, width = total.shape
    for z in range(depth):
        for y in range(height):
            for left in range(0, width, 16):
                for f in range(count):
                    row = total[f, z, y]
                    for x in range(left, min(left + 16, width)):
                        out[z, y, x, f] = row[x] / 3.0
