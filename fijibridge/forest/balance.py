"""Balanced classes: samples drawn so that each class has as many, by the rule of TWS's "Balance classes".

TWS passes its samples through Weka's filter ``weka.filters.supervised.instance.Resample`` with a bias to the uniform
class of 1: of n samples of K classes, n // K of each class are drawn with replacement. Class weights would not have the
same effect: trees that are grown to the end have pure leaves, which weights do not change, while copies of a rare
class's samples are in every tree's bag.
"""

from __future__ import annotations

import numpy as np

_FACTOR, _STEP, _BITS = 0x5DEECE66D, 0xB, 48  # java.util.Random: a linear congruential generator (Knuth)
_MASK = 2**_BITS - 1


def balanced_rows(y: np.ndarray, n_classes: int, seed: int) -> np.ndarray:
    """The samples that Weka's filter draws, in its order: class by class, with the same random numbers.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
        Classes of the samples, 0 to n_classes - 1.
    n_classes : int
    seed : int
        Of ``java.util.Random``; TWS leaves it at the filter's own, 1.

    Returns
    -------
    ndarray of int64
        Indices of samples: of each class that has some as many. Repeats are copies.
    """
    members = [np.flatnonzero(y == k) for k in range(n_classes)]
    there = [own for own in members if len(own)]
    each = len(y) // max(1, len(there))
    state = (seed ^ _FACTOR) & _MASK
    drawn = []
    for own in there:
        numbers, state = _next_ints(state, len(own), each)
        drawn.append(own[numbers])
    return np.concatenate(drawn) if drawn else np.zeros(0, np.int64)


def _next_ints(state: int, bound: int, count: int) -> tuple[np.ndarray, int]:
    """`count` times ``nextInt(bound)``, and the generator's state after it."""
    found: list[np.ndarray] = []
    missing = count
    while missing:
        states = _states(state, missing)
        bits = (states >> np.uint64(_BITS - 31)).astype(np.int64)
        state = int(states[-1])
        if bound & (bound - 1) == 0:
            numbers = (bits * bound) >> 31
        else:
            numbers = bits % bound
            numbers = numbers[bits - numbers + (bound - 1) < 2**31]  # Java draws anew beyond, so that all are alike
        found.append(numbers)
        missing -= len(numbers)
    return np.concatenate(found) if found else np.zeros(0, np.int64), state


def _states(state: int, count: int) -> np.ndarray:
    """The generator's next states: a**n s + c (a**(n-1) + ... + 1), in whole numbers modulo 2**48."""
    powers = np.cumprod(np.full(count, _FACTOR, np.uint64))  # modulo 2**64, of which 2**48 is a part
    sums = np.cumsum(np.concatenate([np.ones(1, np.uint64), powers[:-1]]))
    states: np.ndarray = powers * np.uint64(state) + sums * np.uint64(_STEP)
    return np.bitwise_and(states, np.uint64(_MASK))
