"""Parts of planes of features, in the coordinates of the whole plane: a part is what it would be in the whole.

So a network of convolutions, halvings and doublings gives the same features piece by piece, see
:mod:`fijibridge.features.upsampling.convolutional`: :class:`Axis` holds which part of each layer a piece needs,
:class:`Cut` is such a part. Where a cell of a resized plane is taken from is computed as torch does it, in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from fijibridge.features.upsampling.published_checkpoint import Layout

SLOPE = 0.01  # of the leaky ReLU below 0

Span = tuple[int, int]


class Convolution(NamedTuple):
    """Weight (after, before, k, k) and bias (after,), torch float32."""

    weight: Any
    bias: Any


def nearest_places(span: Span, before: int, after: int) -> np.ndarray:
    """Of a plane stretched from ``before`` to ``after`` cells: the cells that ``span`` repeats, as torch has it.

    Parameters
    ----------
    span : (int, int)
        Of the stretched plane.
    before, after : int
        Cells of the plane, and of the stretched one.
    """
    scale = np.float32(before) / np.float32(after)
    return np.minimum(np.floor(np.arange(*span, dtype=np.float32) * scale).astype(np.int64), before - 1)


def doubled_places(span: Span, before: int) -> tuple[np.ndarray, np.ndarray]:
    """What cells of a plane of ``before`` cells doubled, corners on corners, take of it: indices and weights (n, 2).

    Parameters
    ----------
    span : (int, int)
        Of the doubled plane.
    before : int
        Cells of the plane.
    """
    scale = np.float32(before - 1) / np.float32(2 * before - 1)
    place = np.arange(*span, dtype=np.float32) * scale
    low = np.minimum(place.astype(np.int64), before - 1)
    upper = place - low.astype(np.float32)
    return np.stack([low, np.minimum(low + 1, before - 1)], axis=1), np.stack([1 - upper, upper], axis=1)


def pixel_places(span: Span, pixels: int, seen: int) -> tuple[np.ndarray, np.ndarray]:
    """What pixels of an image take of the ``seen`` ones of the network: indices and weights, both (n, taps).

    Means over the area where the network saw more pixels than there are, else linear between the centres.

    Parameters
    ----------
    span : (int, int)
        Of the image's pixels.
    pixels, seen : int
        Of the image, and of what the network sees of it.
    """
    each = np.arange(*span, dtype=np.float64)[:, None]
    if seen >= pixels:
        low, high = each * seen / pixels, (each + 1) * seen / pixels
        index = np.floor(low).astype(np.int64) + np.arange(math.ceil(seen / pixels) + 1)
        weight = np.clip(np.minimum(high, index + 1) - np.maximum(low, index), 0, None)
    else:
        place = np.clip((each + 0.5) * seen / pixels - 0.5, 0, seen - 1)
        index = np.floor(place).astype(np.int64) + np.arange(2)
        weight = 1 - np.abs(place - index)
    return np.minimum(index, seen - 1), (weight / weight.sum(1, keepdims=True)).astype(np.float32)


def grown(span: Span, radius: int, length: int) -> Span:
    """With so many cells more at both ends, inside a plane of this length.

    Parameters
    ----------
    span : (int, int)
    radius : int
        In cells.
    length : int
        Of the plane, in cells.
    """
    return max(0, span[0] - radius), min(length, span[1] + radius)


def ends(places: np.ndarray) -> Span:
    """From the least to the greatest."""
    return int(places.min()), int(places.max()) + 1


def joined(one: Span, other: Span) -> Span:
    """What covers both.

    Parameters
    ----------
    one, other : (int, int)
        Start and stop.
    """
    return min(one[0], other[0]), max(one[1], other[1])


class Axis:
    """What each layer of the convolutional upsampler must give, along one axis, for a span of the image's pixels.

    Parameters
    ----------
    layout : Layout
    cells : int
        Patches.
    pixels : int
        Of the image.
    span : (int, int)
        Pixels wanted.

    Attributes
    ----------
    sizes : list of int
        Pixels of the network's image and of its halves; one at least.
    steps : list of int
        Cells on the way up, before each doubling.
    index, weight : ndarray
        Of :func:`pixel_places`, on the doubled last step.
    last : (int, int)
        Span of the last convolution's result; `hidden` is what that sees.
    guides, own, doubled : list of (int, int)
        Spans of the halved images, before the convolutions of each step, and after its doubling.
    first : (int, int)
        Patches.
    """

    def __init__(self, layout: Layout, cells: int, pixels: int, span: Span) -> None:
        depth, radius = layout.depth, layout.kernel // 2
        self.sizes = [cells * layout.patch]
        for _ in range(depth):
            self.sizes.append(max(1, self.sizes[-1] // 2))
        self.steps = [cells, *self.sizes[depth - 1 : 0 : -1]]
        fine = 2 * self.steps[-1]
        index, self.weight = pixel_places(span, pixels, self.sizes[0])
        self.index = nearest_places((0, self.sizes[0]), fine, self.sizes[0])[index]
        self.last = ends(self.index)
        wanted = self.hidden = grown(self.last, 1, fine)
        self.own, self.doubled = [(0, 0)] * depth, [(0, 0)] * depth
        for i in range(depth - 1, -1, -1):
            size = self.steps[i]
            self.doubled[i] = grown(wanted, radius, 2 * size)
            self.own[i] = grown(ends(doubled_places(self.doubled[i], size)[0]), 2 * radius, size)
            before = 2 * self.steps[i - 1] if i else cells
            wanted = ends(nearest_places(self.own[i], before, size))
        self.first = grown(wanted, 4, cells)
        self.guides = [*self.own[:0:-1], ends(nearest_places(self.own[0], self.sizes[depth], cells))]
        self.guides.insert(0, (self.sizes[0], 0))  # nothing yet
        for i in range(depth, 0, -1):
            start, stop = grown(self.guides[i], 2, self.sizes[i])
            pooled = 2 * start, min(2 * stop, self.sizes[i - 1])
            self.guides[i - 1] = joined(self.guides[i - 1], pooled)


@dataclass(frozen=True, eq=False)
class Cut:
    """Part of a plane of features.

    Attributes
    ----------
    values : torch.Tensor, float32, shape (1, C, h, w)
    spans : sequence of Span
        Its rows and columns.
    size : sequence of int
        Rows and columns of the whole plane.
    """

    values: Any
    spans: Sequence[Span]
    size: Sequence[int]

    def cropped(self, spans: Sequence[Span]) -> Cut:
        """Less of it."""
        rows, cols = (slice(new[0] - own[0], new[1] - own[0]) for new, own in zip(spans, self.spans, strict=True))
        return Cut(self.values[:, :, rows, cols], tuple(spans), self.size)

    def beside(self, other: Cut) -> Cut:
        """Its channels, then those of another cut of the same place."""
        import torch

        return Cut(torch.cat([self.values, other.values], 1), self.spans, self.size)

    def padded(self, radius: int, padding: str) -> Any:
        """Values with so many rows and columns more at the borders of the plane, where it ends there.

        Parameters
        ----------
        radius : int
            In cells.
        padding : {"zeros", "replicate"}
            What lies beyond the plane.
        """
        import torch

        pads = [
            radius * at_border
            for (start, stop), length in zip(self.spans[::-1], self.size[::-1], strict=True)
            for at_border in (start == 0, stop == length)
        ]
        mode = "replicate" if padding == "replicate" else "constant"
        return torch.nn.functional.pad(self.values, pads, mode=mode) if any(pads) else self.values

    def convolved(self, convolution: Convolution, padding: str, active: bool = True) -> Cut:
        """A convolution; what it lacks inside the plane makes the result smaller.

        Parameters
        ----------
        convolution : Convolution
        padding : {"zeros", "replicate"}
            What lies beyond the plane.
        active : bool
            Whether a leaky ReLU follows.
        """
        import torch

        radius = convolution.weight.shape[-1] // 2
        values = torch.nn.functional.conv2d(self.padded(radius, padding), *convolution)
        if active:
            torch.nn.functional.leaky_relu_(values, SLOPE)
        spans = tuple(
            (start + radius * (start > 0), stop - radius * (stop < length))
            for (start, stop), length in zip(self.spans, self.size, strict=True)
        )
        return Cut(values, spans, self.size)

    def halved(self, size: Sequence[int]) -> Cut:
        """The maximum of 2 x 2; a plane of one row or column keeps it."""
        import torch

        values = torch.nn.functional.max_pool2d(self.values, 2, ceil_mode=True)
        spans = tuple((start // 2, start // 2 + length) for (start, _), length in
                      zip(self.spans, values.shape[2:], strict=True))  # fmt: skip
        return Cut(values, spans, size)

    def stretched(self, spans: Sequence[Span], size: Sequence[int]) -> Cut:
        """Part of the plane at another size, by nearest neighbours.

        Parameters
        ----------
        spans : sequence of (int, int)
            Rows and columns wanted of the stretched plane.
        size : (int, int)
            Its rows and columns.
        """
        values = self.values
        if size == self.size:
            return self.cropped(spans)
        for axis in (0, 1):
            places = nearest_places(spans[axis], self.size[axis], size[axis]) - self.spans[axis][0]
            values = values.index_select(2 + axis, tensor(places, values))
        return Cut(values, tuple(spans), size)

    def doubled(self, spans: Sequence[Span]) -> Cut:
        """Part of the plane at twice the size, bilinear, corners on corners."""
        values = self.values
        for axis in (0, 1):
            index, weight = doubled_places(spans[axis], self.size[axis])
            values = resampled(values, axis, index - self.spans[axis][0], weight)
        return Cut(values, tuple(spans), (2 * self.size[0], 2 * self.size[1]))


def tensor(array: np.ndarray, like: Any) -> Any:
    """An array as a tensor on another one's device.

    Parameters
    ----------
    array : ndarray
    like : torch.Tensor
    """
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(like.device)


def resampled(values: Any, axis: int, index: np.ndarray, weight: np.ndarray) -> Any:
    """Weighted means of rows (axis 0) or columns (axis 1) of (1, C, h, w): those of ``index``, both (n, taps).

    Parameters
    ----------
    values : torch.Tensor, shape (1, C, h, w)
    axis : {0, 1}
    index : ndarray of int, shape (n, taps)
    weight : ndarray, float32, shape (n, taps)
        Rows sum to 1.
    """
    mixing = np.zeros((len(index), values.shape[2 + axis]), np.float32)
    np.add.at(mixing, (np.arange(len(index))[:, None], index), weight)
    return tensor(mixing, values) @ values if axis == 0 else values @ tensor(mixing.T, values)
