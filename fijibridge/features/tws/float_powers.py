"""Powers in double precision, rounded to single: the same numbers as ``pow`` gives, several at a time."""

from __future__ import annotations

import math

import numpy as np

from fijibridge.core.parallel import compiled

_LOG2 = math.log(2.0)
_HIGH = np.float64(float.fromhex("0x1.62e42fefa0000p-1"))  # ln 2 in two parts, so that whole multiples are exact
_LOW = _LOG2 - float(_HIGH) + 2.3190468138462996e-17
_ROUNDING = 1.5 * 2.0**52  # added to a small number and taken off, leaves it whole
_MIDDLE = 0x3F330000  # of float32's bits, about 0.7: mantissas are taken around 1
_SAFE = 1e-10  # a relative error that the approximation never comes near, by a factor of a thousand


@compiled
def float_powers(out, base, first, second, double, doubt):
    """``base^first`` and ``base^second`` as the nearest float32 of the double precision power.

    The logarithm and the exponential are series that the compiler computes side by side. Where they come so near to
    the middle between two floats that their error might matter, and where the base is no ordinary number, ``pow``
    itself is called.

    Parameters
    ----------
    out : ndarray, float32, shape (2, n)
        Filled in place.
    base : ndarray, float32, shape (n,)
    first, second : float
        Exponents, of a modulus of 1 at most.
    double : ndarray, float64, shape (3, n)
        Scratch.
    doubt : ndarray, float32, shape (n,)
        Scratch.
    """
    n = base.size
    bits, logs = base.view(np.int32), double[0]
    mantissas = doubt.view(np.int32)
    for i in range(n):
        whole = (bits[i] - _MIDDLE) >> 23
        mantissas[i] = bits[i] - (whole << 23)
        logs[i] = whole
    for i in range(n):
        m = np.float64(doubt[i])
        s = np.divide(m - 1.0, m + 1.0)
        q = s * s
        # 2 atanh(s), |s| < 0.18
        tail = 2 / 17 + q * (2 / 19)
        tail = 2 / 13 + q * (2 / 15 + q * tail)
        tail = 2 / 9 + q * (2 / 11 + q * tail)
        tail = 2 / 5 + q * (2 / 7 + q * tail)
        logs[i] = logs[i] * _LOG2 + s * (2.0 + q * (2 / 3 + q * tail))
    for i in range(n):
        doubt[i] = 0 if 1e-30 < base[i] < 1e30 else 1  # NaN too
    for j in range(2):
        exponent, row, powers, shifted = first if j == 0 else second, out[j], double[1], double[2]
        steps = shifted.view(np.int64)
        for i in range(n):
            shifted[i] = exponent * logs[i] * (1 / _LOG2) + _ROUNDING
        for i in range(n):
            whole = shifted[i] - _ROUNDING
            r = (exponent * logs[i] - whole * _HIGH) - whole * _LOW
            # exp(r), |r| < 0.35
            tail = 1 / 39916800 + r * (1 / 479001600)
            tail = 1 / 362880 + r * (1 / 3628800 + r * tail)
            tail = 1 / 5040 + r * (1 / 40320 + r * tail)
            tail = 1 / 120 + r * (1 / 720 + r * tail)
            powers[i] = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * tail))))
        for i in range(n):
            steps[i] = (steps[i] + 1023) << 52
        for i in range(n):
            value = powers[i] * shifted[i]
            row[i] = np.float32(value)
            near = np.float32(value * (1 - _SAFE)) != np.float32(value * (1 + _SAFE))
            powers[i] = 1.0 if near else doubt[i]
        # a list first: in a branch the compiler would call pow for all of them and drop what is not wanted
        count = 0
        for i in range(n):
            steps[count] = i
            count += powers[i] != 0
        for k in range(count):
            i = steps[k]
            row[i] = np.float32(math.pow(np.float64(base[i]), exponent))
