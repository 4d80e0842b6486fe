"""Displacement of SE against BSE: found by edges, though contrasts differ, and taken back."""

from __future__ import annotations

import numpy as np
import pytest
from shell import write_image

from fijibridge.images.registration import displacement, registered
from fijibridge.operations.segment_network import segment_network
from fijibridge.synthesis.demo import demo_image


@pytest.fixture(scope="module")
def planes():
    return {name: demo_image(160, detector=name)[0].data for name in ("SE", "BSE")}


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-9, 14)])
def test_displacement_of_another_contrast(planes, shift):
    moved = np.roll(planes["SE"], shift, (0, 1))
    assert displacement(moved, planes["BSE"]) == pytest.approx(shift, abs=1)
    assert displacement(planes["BSE"], moved) == pytest.approx((-shift[0], -shift[1]), abs=1)


def test_nothing_in_common_is_told():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 160, 160))
    assert displacement(one, other) is None
    assert displacement(demo_image(160, 1)[0].data, demo_image(160, 2)[0].data) is None


def test_moved_back(planes):
    images, found = registered({"SE": np.roll(planes["SE"], (4, -6), (0, 1)), "BSE": planes["BSE"]}, "BSE")
    assert found == {"SE": pytest.approx((4, -6), abs=1)}
    y, x = (int(value) for value in found["SE"])
    wanted = np.roll(planes["SE"], (4 - y, -6 - x), (0, 1))
    np.testing.assert_array_equal(images["SE"][8:-8, 8:-8], wanted[8:-8, 8:-8])
    assert images["BSE"] is planes["BSE"]
    alone, none = registered({"SE": planes["SE"]}, "BSE")
    assert alone["SE"] is planes["SE"]
    assert none == {}


def test_a_far_displacement_is_told(planes, tiny_network, tmp_path):
    se = write_image(tmp_path / "se.tif", np.roll(planes["SE"], (11, 0), (0, 1)), nm=100)
    bse = write_image(tmp_path / "bse.tif", planes["BSE"], nm=100)
    report = segment_network(tiny_network / "network", se=se, bse=bse, out=tmp_path / "out", threads=1)
    assert report["displacements_px"]["SE"] == [pytest.approx((11, 0), abs=1)]
    assert "which is far" in report["notes"][0]
    as_is = segment_network(tiny_network / "network", se=se, bse=bse, out=tmp_path / "as is", align=False, threads=1)
    assert as_is["displacements_px"] == {}
