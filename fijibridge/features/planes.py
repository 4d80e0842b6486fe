"""Parts of planes of features, in the coordinates of the whole plane: a part is what it would be in the whole.

So a network of convolutions, halvings and doublings gives the same features piece by piece, see :mod:`.convolutional`.
Where a cell of a resized plane comes from is told as torch does it, in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

SLOPE = 0.01  # of the leaky ReLU below 0

Span = tuple[int, int]


class Convolution(NamedTuple):
    """Weight (after, before, k, k) and bias (after,), torch float32."""

    weight: Any
    bias: Any


def nearest_places(span: Span, before: int, after: int) -> np.ndarray:
    """Of a plane stretched from ``before`` to ``after`` cells: the cells that ``span`` repeats, as torch has it."""
    scale = np.float32(before) / np.float32(after)
    return np.minimum(np.floor(np.arange(*span, dtype=np.float32) * scale).astype(np.int64), before - 1)


def doubled_places(span: Span, before: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a plane of ``before`` cells doubled with corners on corners: lower cell, upper cell, weight of the upper."""
    scale = np.float32(before - 1) / np.float32(2 * before - 1)
    place = np.arange(*span, dtype=np.float32) * scale
    low = np.minimum(place.astype(np.int64), before - 1)
    return low, np.minimum(low + 1, before - 1), place - low.astype(np.float32)


def pixel_places(span: Span, pixels: int, seen: int) -> tuple[np.ndarray, np.ndarray]:
    """What pixels of an image take of the ``seen`` ones of the network: indices and weights, both (n, taps).

    Means over the area where the network saw more pixels than there are, else linear between the centres.
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
    """With so many cells more at both ends, inside a plane of this length."""
    return max(0, span[0] - radius), min(length, span[1] + radius)


def ends(places: np.ndarray) -> Span:
    """From the least to the greatest."""
    return int(places.min()), int(places.max()) + 1


def joined(one: Span, other: Span) -> Span:
    """What covers both."""
    return min(one[0], other[0]), max(one[1], other[1])


@dataclass(frozen=True, eq=False)
class Cut:
    """Part of a plane of features.

    Attributes
    ----------
    values : torch.Tensor, float32, shape (1, C, h, w)
    spans : (Span, Span)
        Its rows and columns.
    size : (int, int)
        Of the whole plane.
    """

    values: Any
    spans: tuple[Span, Span]
    size: tuple[int, int]

    def cropped(self, spans: Sequence[Span]) -> Cut:
        """Less of it."""
        rows, cols = (slice(new[0] - own[0], new[1] - own[0]) for new, own in zip(spans, self.spans, strict=True))
        return Cut(self.values[:, :, rows, cols], tuple(spans), self.size)

    def beside(self, other: Cut) -> Cut:
        """Its channels, then those of another cut of the same place."""
        import torch

        return Cut(torch.cat([self.values, other.values], 1), self.spans, self.size)

    def padded(self, radius: int, padding: str) -> Any:
        """Values with so many rows and columns more at the borders of the plane, where it ends there."""
        import torch

        pads = [
            radius * at_border
            for (start, stop), length in zip(self.spans[::-1], self.size[::-1], strict=True)
            for at_border in (start == 0, stop == length)
        ]
        mode = "replicate" if padding == "replicate" else "constant"
        return torch.nn.functional.pad(self.values, pads, mode=mode) if any(pads) else self.values

    def convolved(self, convolution: Convolution, padding: str, active: bool = True) -> Cut:
        """A convolution; what it lacks inside the plane makes the result smaller."""
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

    def halved(self, size: tuple[int, int]) -> Cut:
        """The maximum of 2 x 2; a plane of one row or column keeps it."""
        import torch

        values = torch.nn.functional.max_pool2d(self.values, 2, ceil_mode=True)
        spans = tuple((start // 2, start // 2 + length) for (start, _), length in
                      zip(self.spans, values.shape[2:], strict=True))  # fmt: skip
        return Cut(values, spans, size)

    def stretched(self, spans: Sequence[Span], size: tuple[int, int]) -> Cut:
        """Part of the plane at another size, by nearest neighbours."""
        values = self.values
        if size == self.size:
            return self.cropped(spans)
        for axis in (0, 1):
            places = nearest_places(spans[axis], self.size[axis], size[axis]) - self.spans[axis][0]
            values = values.index_select(2 + axis, tensor(places, values))
        return Cut(values, tuple(spans), size)

    def doubled(self, spans: Sequence[Span]) -> Cut:
        """Part of the plane at twice the size, bilinear, corners on corners."""
        import torch

        values = self.values
        for axis in (0, 1):
            low, high, part = doubled_places(spans[axis], self.size[axis])
            ends = [tensor(places - self.spans[axis][0], values) for places in (low, high)]
            weight = tensor(part, values).view([1, 1, -1, 1] if axis == 0 else [1, 1, 1, -1])
            values = torch.lerp(*(values.index_select(2 + axis, own) for own in ends), weight)
        return Cut(values, tuple(spans), (2 * self.size[0], 2 * self.size[1]))


def tensor(array: np.ndarray, like: Any) -> Any:
    """An array as a tensor on another one's device."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(like.device)


def averaged(values: Any, axis: int, index: np.ndarray, weight: np.ndarray) -> Any:
    """Weighted means of rows (axis 0) or columns (axis 1) of (1, C, h, w): those of ``index`` (n, taps)."""
    total: Any = 0
    for tap in range(index.shape[1]):
        own = tensor(weight[:, tap], values).view([-1, 1] if axis == 0 else [1, -1])
        total = total + own * values.index_select(2 + axis, tensor(index[:, tap], values))
    return total
