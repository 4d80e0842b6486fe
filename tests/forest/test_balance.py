"""Balanced classes: the draw is that of Weka's filter."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fijibridge.forest.balance import _next_ints, balanced_rows
from fijibridge.forest.java.weka import balanced_rows_weka

ONCE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ONCE
@given(y=st.lists(st.integers(0, 3), min_size=1, max_size=60), seed=st.integers(1, 2**31 - 1))
def test_the_rows_are_those_that_weka_draws(java, y, seed):
    y = np.array(y)
    np.testing.assert_array_equal(balanced_rows(y, 4, seed), balanced_rows_weka(y, "abcd", seed))


@ONCE
@given(bound=st.one_of(st.integers(1, 2**31 - 1), st.integers(2**30, 2**31 - 1)), seed=st.integers(0, 2**31 - 1))
def test_the_numbers_are_those_of_java(java, bound, seed):
    """Also where Java draws anew, half of the time for the largest bounds."""
    random = java.jclass("java.util.Random")(seed)
    found, _ = _next_ints((seed ^ 0x5DEECE66D) & (2**48 - 1), bound, 9)
    assert found.tolist() == [int(random.nextInt(bound)) for _ in range(9)]


def test_each_class_has_as_many():
    y = np.repeat([0, 2], [900, 101])  # of three classes one has none
    rows = balanced_rows(y, 3, 1)
    assert np.bincount(y[rows]).tolist() == [500, 0, 500]
    assert len(np.unique(rows)) < 700  # copies
