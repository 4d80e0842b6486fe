"""Labels on slices of a stack: ROIs say their slice, label images lie in a stack."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from roifile import ImagejRoi
from test_labels import rectangle, refuses
from test_roi_sets import save

from fijibridge.labels.stack_labels import read_stack_labels

STACK = (6, 20, 30)


def on_slice(number: int, name: str, left: int = 2, **place: int) -> ImagejRoi:
    roi = rectangle(left, 3, 4, 2, name)
    roi.position = number
    for key, value in place.items():
        setattr(roi, key, value)
    return roi


def test_rois_say_their_slice(tmp_path):
    save(tmp_path / "r.zip", [on_slice(5, "pore"), on_slice(2, "CAM"), on_slice(5, "CAM-1", 10)])
    found = read_stack_labels(tmp_path / "r.zip", shape=STACK)
    assert list(found) == [1, 4]
    assert {one.class_names for one in found.values()} == {("pore", "CAM")}
    assert found[1].counts == {"pore": 0, "CAM": 8}
    assert found[4].counts == {"pore": 8, "CAM": 8}


def test_rois_of_a_hyperstack(tmp_path):
    rois = [on_slice(0, "a", z_position=2, t_position=2), on_slice(0, "b", z_position=3, t_position=1)]
    save(tmp_path / "r.zip", rois)
    assert list(read_stack_labels(tmp_path / "r.zip", shape=STACK, frames=2)) == [2, 4]


def test_a_stack_of_label_images(tmp_path):
    labels = np.zeros(STACK, np.uint8)
    labels[1, :2], labels[4, 5:] = 1, 2
    tifffile.imwrite(tmp_path / "l.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    found = read_stack_labels(tmp_path / "l.tif", shape=STACK, class_names=["pore", "CAM"])
    assert list(found) == [1, 4]
    assert found[4].counts == {"pore": 0, "CAM": 15 * 30}
    assert read_stack_labels(tmp_path / "l.tif", shape=STACK)[1].class_names == ("class 1", "class 2")


def test_an_overlay_of_the_stack(tmp_path):
    overlay = [on_slice(3, "pore").tobytes(), on_slice(4, "CAM").tobytes()]
    tifffile.imwrite(
        tmp_path / "s.tif", np.zeros(STACK, np.uint16), imagej=True, metadata={"axes": "ZYX", "Overlays": overlay}
    )
    assert list(read_stack_labels(tmp_path / "s.tif", shape=STACK)) == [2, 3]


@pytest.mark.parametrize(
    ("rois", "told"),
    [
        ([on_slice(1, "a"), on_slice(0, "b")], "'b' does not say on which of the 6 slices"),
        ([on_slice(1, "a"), on_slice(7, "b")], "slices 1 to 6"),
        ([on_slice(1, "a"), on_slice(2, "a-1")], "at least two classes"),
    ],
)
def test_rois_that_do_not_fit(tmp_path, rois, told):
    save(tmp_path / "r.zip", rois)
    refuses(lambda: read_stack_labels(tmp_path / "r.zip", shape=STACK), told)


def test_label_images_that_do_not_fit(tmp_path):
    tifffile.imwrite(tmp_path / "one.tif", np.ones((20, 30), np.uint8))
    refuses(lambda: read_stack_labels(tmp_path / "one.tif", shape=STACK), "a stack of 6 slices")
    for name, shape, told in (("few", (5, 20, 30), "has 5 slices"), ("large", (6, 21, 30), "30 x 21 pixels")):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, np.ones(shape, np.uint8), imagej=True, metadata={"axes": "ZYX"})
        refuses(lambda path=path: read_stack_labels(path, shape=STACK), told)
    grey = np.random.default_rng(0).integers(0, 255, STACK, np.uint8)
    tifffile.imwrite(tmp_path / "grey.tif", grey, imagej=True, metadata={"axes": "ZYX"})
    refuses(lambda: read_stack_labels(tmp_path / "grey.tif", shape=STACK), "looks like a grey image")
