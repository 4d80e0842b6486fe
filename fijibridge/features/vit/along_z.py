"""A ViT's tokens along a stack: made of every n-th slice, and interpolated between.

Neighbouring slices of a tomography are alike, and tokens, which stand for whole patches, more so: those of every n-th
slice, interpolated linearly, cost a part of the time and lose some of the noise. Where two such slices are not alike
(wide spacing, a jump of the stage), the slices between them are encoded themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fijibridge.core.errors import SettingsError

# Least correlation of the tokens of two encoded slices between which others are interpolated.
LEAST_CORRELATION = 0.5
_KEPT = 3  # slices' tokens


class TokensAlongZ:
    """Tokens of the slices of a stack; best asked for in order.

    Parameters
    ----------
    encode : callable
        Slice number, the first being 0 -> its tokens, by name, ndarray, float32, shape (gy, gx, C): as of
        :meth:`fijibridge.features.extract.FeatureExtractor.tokens`, whose ``transform`` takes them back.
    count : int
        Slices of the stack.
    every : int
        Slices 0, ``every``, 2 ``every``, ... and the last one are encoded; 1: all.
    least_correlation : float
        See :func:`correlation`; 1 and more: all slices are encoded.

    Raises
    ------
    SettingsError
        A number below 1.
    """

    def __init__(
        self,
        encode: Callable[[int], Mapping[str, np.ndarray]],
        count: int,
        every: int = 4,
        *,
        least_correlation: float = LEAST_CORRELATION,
    ) -> None:
        if count < 1 or every < 1:
            raise SettingsError(
                f"tokens of every {every}. slice of {count}", expected="numbers from 1 on", remedy="use every slice: 1"
            )
        self.count, self.every, self.least_correlation = count, every, least_correlation
        self._encode = encode
        self._kept: dict[int, Mapping[str, np.ndarray]] = {}  # the latest used is the last
        self._alike: dict[int, bool] = {}

    def tokens(self, z: int) -> Mapping[str, np.ndarray]:
        """Tokens of a slice: made, or interpolated.

        Parameters
        ----------
        z : int
            The first being 0.

        Returns
        -------
        mapping of str to ndarray
            As of ``encode``. They do not depend on which slices were asked for before.

        Raises
        ------
        SettingsError
            No such slice.
        """
        if not 0 <= z < self.count:
            raise SettingsError(
                f"slice {z} of {self.count}", expected=f"0 to {self.count - 1}", remedy="count the slices from 0"
            )
        before = z // self.every * self.every
        after = min(before + self.every, self.count - 1)
        if z in (before, after):
            return self._made(z)
        below, above = self._made(before), self._made(after)
        if before not in self._alike:
            self._alike[before] = all(
                below[name].shape == above[name].shape
                and correlation(below[name], above[name]) >= self.least_correlation
                for name in below
            )
        if not self._alike[before]:
            return self._encode(z)
        share = np.float32((z - before) / (after - before))
        return {name: one + share * (above[name] - one) for name, one in below.items()}

    def _made(self, z: int) -> Mapping[str, np.ndarray]:
        found = self._kept.pop(z, None)
        self._kept[z] = self._encode(z) if found is None else found
        while len(self._kept) > _KEPT:
            self._kept.pop(next(iter(self._kept)))
        return self._kept[z]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """How alike the tokens of two slices are: the correlation over all patches and channels, each channel without its
    mean.

    Parameters
    ----------
    one, other : ndarray, float32, shape (gy, gx, C)

    Returns
    -------
    float
        -1 to 1; 0 where either has no variance.
    """
    a, b = (own.astype(np.float64) - own.mean((0, 1), dtype=np.float64) for own in (one, other))
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size else 0.0
