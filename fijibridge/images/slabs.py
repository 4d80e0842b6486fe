"""Slices of a volume that is stored in chunks: a row of chunks is decoded once, and kept until the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# What is kept of a volume: a row of chunks of 1024 x 1024 x 64 voxels of 16 bits takes half of it.
LARGEST_SLAB = 2**28  # bytes


class Slabs:
    """Slices out of slabs, of which the last is kept.

    Parameters
    ----------
    count : int
        Slices.
    depth : int
        Slices in a row of chunks.
    slice_bytes : int
        Bytes of a slice.
    read : callable
        (first, last) -> (last - first, Y, X) or (last - first, Y, X, S): some slices, in one row of chunks.

    Attributes
    ----------
    parts : int
        How often each chunk is decoded: 1, unless a row of them is larger than what is kept.
    """

    def __init__(self, count: int, depth: int, slice_bytes: int, read: Callable[[int, int], np.ndarray]) -> None:
        self.count, self._depth, self._read = count, max(1, min(depth, count)), read
        self._step = min(self._depth, max(1, LARGEST_SLAB // max(slice_bytes, 1)))
        self.parts = -(-self._depth // self._step)
        self._step = -(-self._depth // self.parts)  # parts of nearly one size
        self._first = -1
        self._slab: np.ndarray | None = None

    def plane(self, index: int) -> np.ndarray:
        """A slice of its own, no view of the slab.

        Parameters
        ----------
        index : int
            From 0.
        """
        row = index // self._depth * self._depth
        first = row + (index - row) // self._step * self._step
        if self._slab is None or self._first != first:
            self._slab = None  # not two at a time
            last = min(first + self._step, row + self._depth, self.count)
            self._slab, self._first = self._read(first, last), first
        return self._slab[index - first].copy()
