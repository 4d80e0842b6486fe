"""Places to label next: least sure, apart from one another and from the labels, inside the image."""

from __future__ import annotations

import numpy as np
import pytest
import roifile
from hypothesis import given, settings
from hypothesis import strategies as st

from fijibridge.labels.roi_sets import labels_from_rois
from fijibridge.segmentation.suggestions import places_to_label, write_places


def test_the_least_sure_first():
    unsure = np.zeros((200, 300), np.float32)
    unsure[20:60, 30:70], unsure[120:160, 200:240] = 0.5, 0.9
    unsure[:, 150] = 1  # a boundary: one pixel wide
    first, second = places_to_label(unsure, np.zeros(unsure.shape, bool), 2)
    assert 112 <= first.top <= 144
    assert 192 <= first.left <= 224
    assert first.uncertainty > second.uncertainty
    assert 12 <= second.top <= 44


def test_a_weight():
    """What is worth more comes first; how unsure it is stays told as it is."""
    unsure, weight = np.full((120, 240), 0.4, np.float32), np.full((120, 240), 0.1, np.float32)
    unsure[20:60, 20:60], weight[60:100, 180:220] = 0.8, 0.9
    nothing = np.zeros(unsure.shape, bool)
    assert places_to_label(unsure, nothing, 1)[0].left < 60
    place = places_to_label(unsure, nothing, 1, weight=weight)[0]
    assert place.left > 150
    assert place.uncertainty == pytest.approx(0.4, abs=1e-3)
    assert place.worth == pytest.approx(0.36, abs=1e-3)
    assert places_to_label(unsure, nothing, 3, weight=np.zeros_like(weight)) == []


def test_nothing_is_unsure():
    """An image without a second class."""
    assert places_to_label(np.zeros((90, 90), np.float32), np.zeros((90, 90), bool), 3) == []


def test_labelled_places_are_left_out():
    unsure = np.full((200, 200), 0.5, np.float32)
    unsure[90:110, 90:110] = 1
    labelled = np.zeros(unsure.shape, bool)
    labelled[100, 100] = True
    for place in places_to_label(unsure, labelled, 50):
        assert abs(place.top + 12 - 100) > 12 or abs(place.left + 12 - 100) > 12
    labelled[:] = True
    assert places_to_label(unsure, labelled, 5) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 12), st.integers(0, 40))
def test_any_image(height, width, count, side):
    unsure = np.random.default_rng(height).random((height, width), np.float32)
    found = places_to_label(unsure, np.zeros(unsure.shape, bool), count, side=side)
    assert len(found) <= count
    for place in found:
        assert 0 <= place.top <= height - place.side
        assert 0 <= place.left <= width - place.side
    middles = {(place.top, place.left) for place in found}
    assert len(middles) == len(found)


def test_imagejs_rois(tmp_path):
    places = places_to_label(
        np.random.default_rng(0).random((99, 99), np.float32), np.zeros((99, 99), bool), 3, slice_number=4
    )
    write_places(tmp_path / "next.zip", places, in_stack=True)
    rois = roifile.roiread(tmp_path / "next.zip")
    assert [roi.position for roi in rois] == [4] * len(places)
    assert [(roi.top, roi.left, roi.bottom - roi.top) for roi in rois] == [place[1:4] for place in places]


def test_they_are_no_labels(tmp_path, caplog):
    """In the ROI Manager they lie beside a person's own."""
    unsure = np.random.default_rng(0).random((99, 99), np.float32)
    write_places(tmp_path / "next.zip", places_to_label(unsure, np.zeros((99, 99), bool), 3))
    own = [
        roifile.ImagejRoi.frompoints(np.array([[x, 2], [x + 9, 2], [x + 9, 9]]), name=name)
        for x, name in ((2, "a"), (30, "b"))
    ]
    labels = labels_from_rois([*own, *roifile.roiread(tmp_path / "next.zip")], (99, 99))
    assert labels.class_names == ("a", "b")
    assert "places to label next" in caplog.text
