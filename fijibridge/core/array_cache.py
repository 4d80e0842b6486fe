"""What was made of an image is kept: in memory by an LRU cache, of the last images also in the user's cache folder.

More labels on one image then train again without the ViT, in the next session, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar
from weakref import ref

import numpy as np

from fijibridge.core.cache import cache_key, load_cached_arrays, save_cached_arrays

# Of all tokens kept: 8 megapixels of image with the default preset.
MOST_BYTES = 512 * 2**20
MOST_BYTES_ON_DISK = 2 * 2**30

Value = TypeVar("Value")


class ArrayCache:
    """Arrays by what they were made of; the least recently used are dropped first.

    Parameters
    ----------
    most_bytes : int
        Of all arrays together; a larger one is not kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: dict[Hashable, np.ndarray] = {}  # the latest used is the last
        self._changing = threading.Lock()
        self._folder = ""
        self._off = False

    @contextmanager
    def off(self) -> Iterator[None]:
        """Meanwhile nothing more is kept: for a stack, none of whose slices is seen twice."""
        self._off = True
        try:
            yield
        finally:
            self._off = False

    @contextmanager
    def on_disk(self, folder: str) -> Iterator[None]:
        """Meanwhile arrays are also looked for and stored in the user's cache folder.

        Parameters
        ----------
        folder : str
            Of this cache, in there. It holds 2 GiB at most: what was used least recently goes first.
        """
        self._folder = folder
        try:
            yield
        finally:
            self._folder = ""

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of a key, made if it is not there; read-only, for others may have it too.

        Parameters
        ----------
        key : hashable
        make : callable
            Makes the array. Two threads that ask at once may both make it.

        Returns
        -------
        ndarray
        """
        with self._changing:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found
                return found
        made = _from_disk(self._folder, key, make) if self._folder else make()
        made.flags.writeable = False
        if made.nbytes <= self.most_bytes and not self._off:
            with self._changing:
                self._kept[key] = made
                while sum(array.nbytes for array in self._kept.values()) > self.most_bytes:
                    self._kept.pop(next(iter(self._kept)))
        return made

    def clear(self) -> None:
        """Forget all of them; what is on the disk stays."""
        with self._changing:
            self._kept.clear()


def _from_disk(folder: str, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
    from fijibridge.core.versions import versions

    name = cache_key(key, versions())  # another torch may count a little differently
    if (found := load_cached_arrays(name, folder)) is not None and "array" in found:
        return found["array"]
    made = make()
    save_cached_arrays(name, {"array": made}, folder, most_bytes=MOST_BYTES_ON_DISK)
    return made


class ByArray(Generic[Value]):
    """What was found of arrays, kept by the very array and as long as that is there; the array must not change."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[ref[np.ndarray], Value]] = {}

    def get(self, array: np.ndarray, find: Callable[[], Value]) -> Value:
        """What was found of an array, or `find`'s result.

        Parameters
        ----------
        array : ndarray
        find : callable
        """
        key = id(array)
        if (known := self._found.get(key)) is not None and known[0]() is array:
            return known[1]
        found = find()
        self._found[key] = (ref(array, lambda _: self._found.pop(key, None)), found)
        return found
