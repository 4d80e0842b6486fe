"""What a network sees of an image: normalised grey values; in training, random crops of them, changed at random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.core.params import Param
from fijibridge.network.images import LabelledImages, offsets_of
from fijibridge.network.settings import NetworkSettings

SMALLEST = 32  # px, the least side of an image
IGNORED = -1  # class index of a pixel with no known class
_HALF = 0.5  # share of the crops that each kind of change is applied to
_REACH = 3.0  # normalised grey values beyond it are clipped: hot pixels, charging
_LONGEST = 24.0  # px, the widest curtain (standard deviation across)


@dataclass(frozen=True)
class Normalisation:
    """Grey values to about -1..1, an image and detector at a time: bit depth, brightness and contrast do not matter.

    Parameters
    ----------
    low, high : float
        Percentiles that become -1 and 1.
    reach : float
        What lies beyond -reach..reach is clipped.
    block : int
        The percentiles are those of the means of squares of so many pixels a side, so that noise hardly moves them:
        a phase has about the same normalised grey value in a clean and in a noisy image.
    """

    low: Annotated[float, Param("", low=0, high=50)] = 1.0
    high: Annotated[float, Param("", low=50, high=100)] = 99.0
    reach: Annotated[float, Param("", low=0.1, high=1000)] = _REACH
    block: Annotated[int, Param("", low=1, high=SMALLEST)] = 4

    def range_of(self, plane: np.ndarray, what: str) -> tuple[float, float]:
        """Grey values that become -1 and 1.

        Parameters
        ----------
        plane : np.ndarray
            (Y, X), any real dtype.
        what : str
            The image's name in messages.

        Returns
        -------
        (float, float)
            The lower and the upper one.

        Raises
        ------
        ImageError
            Values that are not finite, or all the same.
        """
        if plane.dtype.kind == "f" and not np.isfinite(plane).all():
            raise ImageError(f"{what} holds NaN or infinity", expected="finite numbers", remedy="replace them")
        rows, columns = (size // self.block for size in plane.shape)
        whole = plane[: rows * self.block, : columns * self.block].astype(np.float64)
        means = whole.reshape(rows, self.block, columns, self.block).mean((1, 3))
        dark, bright = (float(value) for value in np.percentile(means, (self.low, self.high)))
        if bright <= dark:  # nearly all pixels are equal: the few others still count
            dark, bright = float(plane.min()), float(plane.max())
        if bright <= dark:
            raise ImageError(
                f"{what} is empty: all its pixels are {dark:g}",
                expected="an image with contrast",
                remedy="leave that detector out: the network serves with the others",
            )
        return dark, bright

    def __call__(self, plane: np.ndarray, grey_range: tuple[float, float]) -> np.ndarray:
        """float32, normalised."""
        dark, bright = grey_range
        scaled = (plane.astype(np.float64) - dark) * (2 / (bright - dark)) - 1
        return np.clip(scaled, -self.reach, self.reach).astype(np.float32)


class CropSampler:
    """Random crops of labelled images. A crop is a function of the random numbers it is given, and of nothing else.

    Parameters
    ----------
    data : LabelledImages
        Where from.
    indices : np.ndarray
        Which images.
    values : np.ndarray
        (labels + 1,) int: label value -> class index, -1 for unknown.
    normalisation : Normalisation
        Of the grey values.
    settings : NetworkSettings
        Size, and how strong the changes are.
    labelled : bool
        Lay each crop over a labelled pixel (for sparse labels).

    Raises
    ------
    SettingsError
        An image smaller than a crop.
    """

    def __init__(
        self, data: LabelledImages, indices: np.ndarray, values: np.ndarray, normalisation: Normalisation,
        settings: NetworkSettings, *, labelled: bool = False,
    ) -> None:  # fmt: skip
        self.data, self.indices, self.values = data, indices, values
        self.normalisation, self.settings, self.labelled = normalisation, settings, labelled
        self._range = lru_cache(maxsize=None)(self._range_of)
        for index in map(int, indices):
            shape = data.shape(index)
            if min(shape) < settings.crop:
                raise SettingsError(
                    f"crops of {settings.crop} px, and {data.name(index)} of {shape[0]} x {shape[1]} px",
                    expected="images as large as a crop",
                    remedy=f"choose a crop of at most {min(shape) // settings.stride * settings.stride} px",
                )

    def _range_of(self, index: int, detector: str) -> tuple[float, float] | None:
        plane = self.data.grey(index, detector)
        if plane is None:
            return None
        return self.normalisation.range_of(np.asarray(plane), f"{detector} of {self.data.name(index)}")

    def sample(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(D * S, C, C) float32 grey values, (D,) float32 what is there, (C, C) int64 class indices.

        The S slices of a detector follow one another. Slices are changed alike but for their noise; where a neighbour
        is missing the nearest slice is repeated, noise included, as it is in prediction.
        """
        settings, data, side = self.settings, self.data, self.settings.crop
        index = int(rng.choice(self.indices))
        labels = data.labels(index)
        factor = 1.0
        if rng.random() < _HALF:
            factor = float(np.exp(rng.uniform(-1, 1) * np.log(settings.scale)))
        factor = min(factor, min(labels.shape) / side)
        corner = self._corner(labels, side * factor, rng)
        target = self.values[_window(labels, corner, factor, side, order=0)]
        offsets = [data.place(index, offset) for offset in offsets_of(settings.slices)]
        if settings.slices > 1 and rng.random() < settings.slice_dropout:
            offsets = [0] * settings.slices
        distinct, order = np.unique(offsets, return_inverse=True)
        stacks = np.zeros((len(data.detectors), settings.slices, side, side), np.float32)
        present = np.zeros(len(data.detectors), np.float32)
        for number, detector in enumerate(data.detectors):
            shift = rng.uniform(-1, 1, 2) * settings.misregistration
            if detector == data.reference or rng.random() >= _HALF:
                shift[:] = 0
            grey_range = self._range(index, detector)
            if grey_range is None:
                continue
            pieces = [
                _window(data.grey(index, detector, int(offset)), corner + shift, factor, side, order=1)
                for offset in distinct
            ]
            stacks[number] = self._changed(self.normalisation(np.stack(pieces), grey_range), rng)[order]
            present[number] = 1
        there = np.flatnonzero(present)
        if len(there) > 1 and rng.random() < settings.detector_dropout:
            present[rng.choice(there)] = 0
        turns, mirrored = int(rng.integers(4)), rng.random() < _HALF
        grey = (stacks * present[:, None, None, None]).reshape(-1, side, side)
        grey, target = np.rot90(grey, turns, (1, 2)), np.rot90(target, turns)
        if mirrored:
            grey, target = grey[:, :, ::-1], target[:, ::-1]
        return np.ascontiguousarray(grey), present, np.ascontiguousarray(target)

    def _corner(self, labels: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
        """(2,) y and x of a crop of ``size`` pixels, whole pixels where that is possible."""
        room = np.maximum(np.array(labels.shape) - size, 0)
        corner = np.floor(rng.random(2) * (np.floor(room) + 1))
        if self.labelled:
            places = np.flatnonzero(labels)
            place = np.array(np.unravel_index(int(rng.choice(places)), labels.shape))
            corner = np.ceil(place - rng.random(2) * size)
        return np.clip(corner, 0, room)

    def _changed(self, piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Contrast, gamma, shading, curtains, blur and noise, each on half of the crops; (slices, C, C)."""
        from scipy import ndimage

        settings, side = self.settings, piece.shape[-1]
        if rng.random() < _HALF:
            gain = 1 + rng.uniform(-1, 1) * settings.contrast
            gamma = np.exp(rng.uniform(-1, 1) * settings.contrast)
            share = np.clip((piece + 1) / 2, 0, 1) ** np.float32(gamma) * 2 - 1
            piece = share * np.float32(gain) + np.float32(rng.uniform(-1, 1) * settings.contrast)
        if rng.random() < _HALF:
            y, x = np.ogrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
            slope = rng.uniform(-1, 1, 2) * settings.stripes
            piece = piece + (slope[0] * y + slope[1] * x).astype(np.float32)
        if rng.random() < _HALF:
            width = np.exp(rng.uniform(0, np.log(_LONGEST)))
            curtain = ndimage.gaussian_filter1d(rng.standard_normal(side), width, mode="wrap")
            curtain *= 2 * settings.stripes * rng.random() / max(float(curtain.std()), 1e-6)
            piece = piece + curtain.astype(np.float32)
        if rng.random() < _HALF:
            blur = rng.uniform(0, settings.blur)
            piece = ndimage.gaussian_filter(piece, (0, blur, blur), truncate=3.0)
        if rng.random() < _HALF:
            deviation = settings.noise * rng.random() * float(piece.std())
            piece = piece + rng.standard_normal(piece.shape, np.float32) * np.float32(deviation)
        return np.clip(piece, -self.normalisation.reach, self.normalisation.reach).astype(np.float32)


def _window(plane: Any, corner: np.ndarray, factor: float, side: int, *, order: int) -> np.ndarray:
    """A (side, side) window from ``corner``, whose pixels are ``factor`` of the image's wide; only it is read."""
    from scipy import ndimage

    if factor == 1 and not (corner % 1).any() and (corner >= 0).all() and (corner + side <= plane.shape).all():
        y, x = corner.astype(int)
        return np.asarray(plane[y : y + side, x : x + side])
    start = np.maximum(np.floor(corner).astype(int) - 1, 0)
    stop = np.minimum(np.ceil(corner + side * factor).astype(int) + 2, plane.shape)
    part = np.asarray(plane[start[0] : stop[0], start[1] : stop[1]])
    if order:
        part = part.astype(np.float32)
    offset = corner - start + (factor - 1) / 2  # centres of pixels fall on centres
    return ndimage.affine_transform(
        part,
        np.array([factor, factor]),
        offset,
        (side, side),
        order=order,
        mode="nearest",
        output=part.dtype.newbyteorder("="),
    )
