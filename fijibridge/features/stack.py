"""FeatureStack: an image's features, computed block by block when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from fijibridge.core.errors import FeatureMismatchError, SettingsError
from fijibridge.features.source import ImageFeatures

# bytes of features held at a time by FeatureStack.blocks
BLOCK_BYTES = 256 * 2**20
# FeatureStack.sample: pixels are drawn anywhere in an image of so many at most, else in so many windows a side, so wide
_DRAWN_ANYWHERE, _WINDOWS, _WINDOW = 2**19, 6, 64


class MadeBy(Protocol):
    """What made a stack's features: a :class:`fijibridge.features.extract.FeatureExtractor`."""

    def differences(self, other: Any) -> list[str]:
        """What makes another's features differ, in words; empty if nothing does."""


class GivenStatistics(Protocol):
    """A :class:`fijibridge.features.image_statistics.ImageStatistics`."""

    @property
    def mean(self) -> np.ndarray:
        """Of each feature; empty where nobody asks for it."""

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each feature."""


class ArrayFeatures(ImageFeatures):
    """Features that are already there.

    Parameters
    ----------
    array : ndarray, float32, shape (Y, X, F)
    names : sequence of str
    """

    picks_pixels = True

    def __init__(self, array: np.ndarray, names: Sequence[str]) -> None:
        self.array, self.names = array, tuple(names)
        self.groups = ("",) * len(self.names)

    def block(self, rows: slice, cols: slice, out: np.ndarray) -> None:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        out[:] = self.array[rows, cols]

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """See :class:`fijibridge.features.source.ImageFeatures`."""
        return self.array[y, x]


class FeatureStack:
    """Features of an image, (Y, X, F) float32, with their names and what made them.

    A stack holds the image and the ViT's tokens; the channels themselves (460 of them for a 4096 x 4096 image would
    take 31 GB) are made when asked for: :meth:`block`, :meth:`at`, or all at once with
    ``numpy.asarray(stack)``.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels; the data bar of an SEM image is not part of it.
    parts : sequence of ImageFeatures
        Whose channels follow one another.
    extractor : FeatureExtractor or None
        What made the features; None for features from elsewhere.
    statistics : fijibridge.features.image_statistics.ImageStatistics or None
        Those of other images, which they were made with; None: with the image's own.

    Attributes
    ----------
    names : tuple of str
        One a channel, each once.
    groups, detectors : tuple of str
        One a channel, see :class:`fijibridge.features.source.ImageFeatures`.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        parts: Sequence[ImageFeatures],
        extractor: Any = None,
        statistics: GivenStatistics | None = None,
    ) -> None:
        self.parts = tuple(parts)
        self.names: tuple[str, ...] = tuple(name for part in self.parts for name in part.names)
        self.groups: tuple[str, ...] = tuple(group for part in self.parts for group in part.groups)
        self.detectors: tuple[str, ...] = tuple(part.detector for part in self.parts for _ in part.names)
        self.shape = (int(shape[0]), int(shape[1]), len(self.names))
        self.extractor, self.statistics = extractor, statistics
        self.image: Any = None  # of which they are, where that is known
        self.read: FeatureStack | None = None  # the features that a linear head has read, where this has its channels

    @classmethod
    def from_array(cls, array: np.ndarray, names: Sequence[str] | None = None) -> FeatureStack:
        """A stack of features made elsewhere, (Y, X, F); kept as float32.

        Parameters
        ----------
        array : ndarray, shape (Y, X, F)
        names : sequence of str, optional
            One a channel; ``feature_000``, ... otherwise.

        Raises
        ------
        SettingsError
            Not three-dimensional, not finite, or names that are not one a channel, each once.
        """
        with np.errstate(over="ignore"):  # becomes infinite, refused below
            array = np.asarray(array, dtype=np.float32)
        if array.ndim != 3 or not array.size:
            raise SettingsError(
                f"a feature array of shape {array.shape}",
                expected="(Y, X, F), features last",
                remedy="move the feature axis last: numpy.moveaxis(array, 0, -1)",
            )
        if not np.isfinite(array).all():
            raise SettingsError(
                f"{np.count_nonzero(~np.isfinite(array))} features that are NaN or infinite",
                expected="finite numbers",
                remedy="replace them before, for example with numpy.nan_to_num",
            )
        names = tuple(names) if names is not None else tuple(f"feature_{i:03d}" for i in range(array.shape[2]))
        if len(names) != array.shape[2] or len(set(names)) != len(names):
            raise SettingsError(
                f"{len(names)} names, {len(set(names))} of them different",
                expected=f"{array.shape[2]}, one a channel",
                remedy="give every channel a name of its own",
            )
        return cls((array.shape[0], array.shape[1]), [ArrayFeatures(array, names)])

    def __repr__(self) -> str:
        return f"FeatureStack(shape={self.shape}, extractor={self.extractor})"

    def block(self, rows: slice = slice(None), cols: slice = slice(None)) -> np.ndarray:
        """Features of a block, float32 (h, w, F), equal to the same block of the whole.

        Parameters
        ----------
        rows, cols : slice
            With step 1, as of an array.
        """
        rows, cols = (plain_slice(span, length) for span, length in zip((rows, cols), self.shape[:2], strict=True))
        out = np.empty((rows.stop - rows.start, cols.stop - cols.start, self.shape[2]), np.float32)
        for part, own in self._columns():
            part.block(rows, cols, out[:, :, own])
        return out

    def _columns(self) -> Iterator[tuple[ImageFeatures, slice]]:
        """Each part, and where its channels stand."""
        first = 0
        for part in self.parts:
            last = first + len(part.names)
            yield part, slice(first, last)
            first = last

    def blocks(self, max_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of blocks that cover the stack, each of at most ``max_bytes`` of features.

        Blocks are square where the image is wide: TWS's filters need about 30 pixels around each.
        """
        height, width, channels = self.shape
        pixels = max(1, max_bytes // (channels * 4))
        across = min(width, _even(math.isqrt(pixels)))
        down = _even(pixels // across)
        for top in range(0, height, down):
            for left in range(0, width, across):
                yield slice(top, min(height, top + down)), slice(left, min(width, left + across))

    def at(self, mask: np.ndarray) -> np.ndarray:
        """Features of the pixels where ``mask`` (Y, X) is true, float32 (n, F), in row-major order."""
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != self.shape[:2]:
            raise FeatureMismatchError(
                f"a mask of {mask.shape}",
                expected=f"{self.shape[:2]}, as the features",
                remedy="use the image's own size",
            )
        samples = np.empty((int(mask.sum()), self.shape[2]), np.float32)
        others = self._picked_into(samples, *mask.nonzero())
        if not others:
            return samples
        stack = FeatureStack(self._plane, [part for part, _ in others])
        columns = np.r_[tuple(own for _, own in others)]
        place = np.cumsum(mask).reshape(mask.shape) - 1
        for rows, cols in stack.blocks(BLOCK_BYTES // 4):
            wanted = mask[rows, cols]
            down, across = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
            if down.size:
                inner = slice(rows.start + down[0], rows.start + down[-1] + 1)
                beside = slice(cols.start + across[0], cols.start + across[-1] + 1)
                chosen = mask[inner, beside]
                samples[place[inner, beside][chosen][:, None], columns] = stack.block(inner, beside)[chosen]
        return samples

    @property
    def _plane(self) -> tuple[int, int]:
        return self.shape[0], self.shape[1]

    def _picked_into(self, samples: np.ndarray, y: np.ndarray, x: np.ndarray) -> list[tuple[ImageFeatures, slice]]:
        """Fill the columns of features that make single pixels; the others are returned with their columns."""
        others = []
        for part, own in self._columns():
            if part.picks_pixels:
                samples[:, own] = part.at(y, x)
            else:
                others.append((part, own))
        return others

    def _picked(self, rows: slice, cols: slice, chosen: np.ndarray) -> np.ndarray:
        """Features of chosen pixels of a block."""
        y, x = chosen.nonzero()
        samples = np.empty((len(y), self.shape[2]), np.float32)
        if others := self._picked_into(samples, y + rows.start, x + cols.start):
            found = FeatureStack(self._plane, [part for part, _ in others]).block(rows, cols)[y, x]
            samples[:, np.r_[tuple(own for _, own in others)]] = found
        return samples

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Features of pixels drawn from the whole image, float32 (n, F); the same for the same seed.

        Of a large image they come from windows spread over it: TWS's filters look at 30 pixels around each.

        Parameters
        ----------
        count : int
            About so many; all pixels where there are fewer.
        seed : int
        """
        height, width = self.shape[:2]
        rng = np.random.default_rng(seed)
        if height * width <= _DRAWN_ANYWHERE:
            mask = np.zeros(height * width, bool)
            mask[rng.choice(mask.size, min(count, mask.size), replace=False)] = True
            return self.at(mask.reshape(height, width))
        parts = []
        for cell in range(_WINDOWS**2):
            spans = []
            for length, place in ((height, cell // _WINDOWS), (width, cell % _WINDOWS)):
                first, last = length * place // _WINDOWS, length * (place + 1) // _WINDOWS
                start = first + int(rng.integers(max(1, last - first - _WINDOW + 1)))
                spans.append(slice(start, min(start + _WINDOW, length)))
            chosen = np.zeros([span.stop - span.start for span in spans], bool)
            share = min(-(-count // _WINDOWS**2), chosen.size)
            chosen.ravel()[rng.choice(chosen.size, share, replace=False)] = True
            parts.append(self._picked(spans[0], spans[1], chosen))
        return np.concatenate(parts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self.block()
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def tokens(self) -> np.ndarray | None:
        """The ViT's tokens on the patch grid of the (finer) scale, or their components, float32 (gy, gx, C); None
        without a ViT, or where a linear head has read them."""
        return next((tokens for part in self.parts if (tokens := part.grid_tokens()) is not None), None)


def _even(length: int) -> int:
    """A multiple of 64 where it is long, so that stacks of nearly as many channels have the same blocks."""
    return length // 64 * 64 if length >= 512 else max(1, length)


def plain_slice(span: slice, length: int) -> slice:
    """A slice with start <= stop inside ``length``.

    Parameters
    ----------
    span : slice
    length : int
    """
    start, stop, step = span.indices(length)
    if step != 1:
        raise SettingsError(f"a block with step {step}", expected="step 1", remedy="take every n-th pixel afterwards")
    return slice(start, max(start, stop))
