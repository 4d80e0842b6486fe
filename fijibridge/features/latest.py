"""The latest images' tokens, so that more labels on the same image train anew without the ViT."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

import numpy as np

# Of all tokens kept: 8 megapixels of image with the default preset.
MOST_BYTES = 512 * 2**20


class LatestTokens:
    """Arrays by what they were made of; the least recently used go first.

    Parameters
    ----------
    most_bytes : int
        Of all arrays together; a larger one is not kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: dict[Hashable, np.ndarray] = {}  # the latest used is the last
        self._changing = threading.Lock()

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
        made = make()
        made.flags.writeable = False
        if made.nbytes <= self.most_bytes:
            with self._changing:
                self._kept[key] = made
                while sum(array.nbytes for array in self._kept.values()) > self.most_bytes:
                    self._kept.pop(next(iter(self._kept)))
        return made

    def clear(self) -> None:
        """Forget all of them."""
        with self._changing:
            self._kept.clear()
