"""Clean-up of label images, against what a person would draw, and the properties it promises."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shell import write_sample
from skimage.measure import label

import fijibridge as fb
from fijibridge.core.errors import LabelsError, SettingsError
from fijibridge.operations import operation

QUICK = {"features": "tws", "trees": 8, "threads": 1}
LABELS = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def drawn(text: str) -> np.ndarray:
    return np.array([[int(value) for value in row] for row in text.split()], np.uint8)


def test_small_regions_get_the_class_around_them():
    given = drawn("111222 131222 111212 113322 113322")
    assert np.array_equal(fb.clean_up(given, minimum_size=2), drawn("111222 111222 111222 113322 113322"))
    # the region of four 3s has 3 sides with 1 (left and above) and 3 with 2: of equals the first
    assert np.array_equal(fb.clean_up(given, minimum_size=5), drawn("111222 111222 111222 111122 111122"))


def test_small_regions_inside_small_regions():
    given = drawn("1111111 1222221 1233321 1222221 1111111")
    assert (fb.clean_up(given, minimum_size=20) == 1).all()
    assert (fb.clean_up(given, minimum_size=10**9) == 1).all()  # the largest one stays
    assert np.array_equal(fb.clean_up(given, minimum_size=4), drawn("1111111 1222221 1222221 1222221 1111111"))


def test_corners_do_not_connect():
    given = drawn("2111 1211 1121 1112")
    assert (fb.clean_up(given, minimum_size=2) == 1).all()


def test_holes_of_one_class_are_filled():
    given = drawn("1111122 1223122 1221111 1111121 2111111")
    filled = drawn("1111122 1111122 1111111 1111111 2111111")  # what touches the border is no hole
    assert np.array_equal(fb.clean_up(given, fill_holes=6), filled)
    one = drawn("1111122 1223122 1221111 1111111 2111111")
    assert np.array_equal(fb.clean_up(given, fill_holes=1), one)
    beside_a_bar = drawn("11111 12121 00000")
    assert np.array_equal(fb.clean_up(beside_a_bar, fill_holes=9), beside_a_bar)


def test_mode_in_a_disc():
    given = np.ones((9, 9), np.uint8)
    given[:, 5:] = 2
    given[4, 2] = given[2, 7] = 3
    clean = given.copy()
    clean[4, 2], clean[2, 7] = 1, 2
    assert np.array_equal(fb.clean_up(given, mode_filter=1), clean)


@given(given=LABELS, radius=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_mode_is_counted(given, radius):
    found = fb.clean_up(given, mode_filter=radius)
    y, x = np.indices(given.shape)
    for at in zip(*np.nonzero(given), strict=True):
        near = ((y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2 + 1) & (given > 0)
        assert found[at] == np.bincount(given[near]).argmax()


@given(given=LABELS, size=st.integers(0, 9), holes=st.integers(0, 9), radius=st.integers(0, 2))
@settings(max_examples=120, deadline=None)
def test_what_is_promised(given, size, holes, radius):
    before = given.copy()
    found = fb.clean_up(given, minimum_size=size, fill_holes=holes, mode_filter=radius)
    assert np.array_equal(given, before)
    assert found.dtype == np.uint8
    assert np.array_equal(found == 0, given == 0)
    assert set(np.unique(found)) <= set(np.unique(given))
    if not size and not holes and not radius:
        assert np.array_equal(found, given)
    regions = label(found, background=0, connectivity=1)
    sizes = np.bincount(regions.ravel())[1:]
    islands = label(given > 0, connectivity=1).max()  # each may be smaller than the minimum
    assert (sizes < size).sum() == 0 or len(sizes) == 1 or islands > 1


def test_a_stack_is_cleaned_slice_by_slice():
    stack = np.random.default_rng(0).integers(0, 4, (3, 20, 30))
    together = fb.clean_up(stack, minimum_size=5, mode_filter=1)
    assert np.array_equal(together, [fb.clean_up(plane, minimum_size=5, mode_filter=1) for plane in stack])


@pytest.mark.parametrize(
    ("labels", "options", "told"),
    [
        (np.ones((4, 4), int), {"minimum_size": -1}, "minimum_size = -1"),
        (np.ones((4, 4), int), {"fill_holes": 2.5}, "fill_holes = 2.5"),
        (np.ones((4, 4), int), {"mode_filter": 101}, "0 to 100 px"),
        (np.ones((4, 4)), {}, "float64"),
        (np.full((4, 4), 256), {}, "0 to 255"),
        (np.full((4, 4), -1), {}, "0 to 255"),
        (np.ones(4, int), {}, "shape"),
        (np.ones((0, 4), int), {}, "shape"),
    ],
)
def test_bad_inputs(labels, options, told):
    with pytest.raises((LabelsError, SettingsError), match=told):
        fb.clean_up(labels, **options)


def test_operations_clean_labels_alone(java, tmp_path):
    write_sample(tmp_path, 96)
    options = {"labels": tmp_path / "labels.tif", **QUICK}
    clean = {"minimum_size": 30, "fill_holes": 20, "mode_filter": 1}
    plain = operation("segment")(tmp_path / "image.tif", out=tmp_path / "plain", **options)
    cleaned = operation("segment")(tmp_path / "image.tif", out=tmp_path / "clean", **options, **clean)
    before, after = (tifffile.imread(tmp_path / name / "labels.tif") for name in ("plain", "clean"))
    assert np.array_equal(after, fb.clean_up(before, **clean))
    changed = int((before != after).sum())
    assert changed > 0
    assert plain["clean_up"] is None
    assert cleaned["clean_up"] == {**clean, "changed_pixels": changed}
    assert list(cleaned["class_fractions"].values()) == pytest.approx(
        np.bincount(after.ravel())[1:] / after.size, abs=1e-6
    )
    same = [(tmp_path / name / "probabilities.tif").read_bytes() for name in ("plain", "clean")]
    assert same[0] == same[1]
    applied = operation("apply")(
        tmp_path / "clean" / "classifier", [tmp_path / "image.tif"], out=tmp_path / "applied", threads=1, **clean
    )
    assert np.array_equal(tifffile.imread(tmp_path / "applied" / "image_labels.tif"), after)
    assert applied["files"][0]["clean_up"] == cleaned["clean_up"]
