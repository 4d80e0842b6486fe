"""The stack around a slice, for features that look along z: read slice by slice, a bounded number of them kept."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice, repeat
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np

Slice = TypeVar("Slice")

_KEPT_BYTES = 512 * 2**20  # of slices; at least as many as one block needs are kept


class StackAround:
    """A stack's pixels as an array that is read where it is sliced.

    Parameters
    ----------
    read : callable
        Place of a slice, from 0 -> its pixels.
    shape : tuple of int
        Slices, rows and columns; of an RGB stack also 3 colours.
    dtype : dtype
        float32 of greys, uint8 of colours.
    """

    def __init__(self, read: Callable[[int], np.ndarray], shape: tuple[int, ...], dtype: type = np.float32) -> None:
        self.shape, self.ndim, self.dtype = shape, len(shape), np.dtype(dtype)
        self._read = read
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._reading = threading.Lock()

    def __getitem__(self, spans: tuple[slice, slice, slice]) -> np.ndarray:
        planes, rows, cols = spans
        places = range(*planes.indices(self.shape[0]))
        with self._reading:
            return np.stack([self._plane(place, len(places))[rows, cols] for place in places])

    def _plane(self, place: int, together: int) -> np.ndarray:
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        plane = self._kept[place] = np.ascontiguousarray(self._read(place), self.dtype)
        most = max(together, _KEPT_BYTES // max(1, plane.nbytes))
        while len(self._kept) > most:
            self._kept.popitem(last=False)
        return plane


class Surroundings(NamedTuple):
    """Where a slice lies in its stack.

    Parameters
    ----------
    stack : StackAround
        Rows without the data bar, as the features have them.
    place : int
        Of the slice, from 0.
    others : mapping
        Further detectors -> their stacks, pixel on pixel.
    """

    stack: StackAround
    place: int
    others: Mapping[str, StackAround] = MappingProxyType({})

    def of(self, detector: str) -> Surroundings | None:
        """Those of a further detector; None where they are not known.

        Parameters
        ----------
        detector : str
        """
        stack = self.others.get(detector)
        return None if stack is None else Surroundings(stack, self.place)


def with_neighbours(slices: Iterator[Slice], count: int, depth: int) -> Iterator[list[Slice]]:
    """Each slice of a stream between those before and after it; the nearest one in place of one that is missing.

    Parameters
    ----------
    slices : iterator
        Frame by frame.
    count : int
        Slices together, an odd number; no more are kept.
    depth : int
        Slices of a frame: of another point in time nothing is a neighbour.

    Yields
    ------
    list
        ``count`` slices, the one meant in their middle.
    """
    half = count // 2
    for first in slices:
        together = deque([first] * half, maxlen=count)
        for one in chain([first], islice(slices, depth - 1), repeat(None, half)):
            together.append(together[-1] if one is None else one)
            if len(together) == count:
                yield list(together)
