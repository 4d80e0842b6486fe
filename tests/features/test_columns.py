"""Columns that stand side by side are taken without a copy, others alike."""

from __future__ import annotations

import numpy as np
import pytest

from fijibridge.features.columns import columns


@pytest.mark.parametrize(
    ("wanted", "shares"),
    [("1111", True), ("0110", True), ("1000", True), ("0001", True), ("1011", False), ("1001", False), ("0000", False)],
)
def test_columns(wanted, shares):
    mask = np.array([each == "1" for each in wanted])
    samples = np.arange(12.0).reshape(3, 4)
    found = samples[:, columns(mask)]
    np.testing.assert_array_equal(found, samples[:, mask])
    assert np.shares_memory(found, samples) == shares
