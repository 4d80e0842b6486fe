"""A field of an image, slices of a stack: the same labels as there in the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from shell import write_image, write_rois, write_sample

import fijibridge as fb
from fijibridge.core.errors import ImageNotFoundError, LabelsError, SettingsError
from fijibridge.images.image import image_from_array, read_slices
from fijibridge.labels.region import Field, field_of
from fijibridge.operations import operation
from fijibridge.synthesis.demo import demo_image

QUICK = {"encoder": "test_vit", "blocks": "2,4", "coarse_blocks": "4", "enlargement": 1.0, "trees": 8, "threads": 1}


@pytest.fixture(scope="module")
def sample(tmp_path_factory, tiny_vit, java) -> Path:
    """image.tif, labels.tif, stack.tif of three slices, and whole/, a result of segment."""
    folder = tmp_path_factory.mktemp("preview")
    write_sample(folder, 112)
    write_image(folder / "stack.tif", np.stack([demo_image(112, seed)[0].data for seed in range(3)]))
    options = {**QUICK, "weights": tiny_vit, "labels": folder / "labels.tif", "uncertainty": True}
    operation("segment")(folder / "image.tif", out=folder / "whole", **options)
    return folder


def test_a_field_gets_the_labels_of_the_whole(sample, tiny_vit, tmp_path):
    options = {**QUICK, "weights": tiny_vit, "labels": sample / "labels.tif", "uncertainty": True}
    report = operation("segment")(sample / "image.tif", out=tmp_path / "part", roi="30, 17, 50,40", **options)
    assert report["roi"] == {"x": 30, "y": 17, "width": 50, "height": 40}
    assert report["shape"] == [40, 50]
    assert report["pixel_size"]["x"] == pytest.approx(25)
    place = np.s_[..., 17:57, 30:80]
    for name in ("labels.tif", "probabilities.tif", "uncertainty.tif"):
        part, whole = (tifffile.imread(folder / name) for folder in (tmp_path / "part", sample / "whole"))
        np.testing.assert_array_equal(part, whole[place])
    assert next(read_slices(tmp_path / "part" / "labels.tif", databar=0)).pixel_size.x == pytest.approx(25)
    forests = [fb.load_segmenter(folder / "classifier").forest_ for folder in (tmp_path / "part", sample / "whole")]
    assert forests[0].equals(forests[1])  # all labels trained


def test_apply_to_slices_and_a_field(sample, tiny_vit, tmp_path):
    options = {"weights": tiny_vit, "threads": 1, "probabilities": False}
    apply, classifier = operation("apply"), sample / "whole" / "classifier"
    apply(classifier, [sample / "stack.tif"], out=tmp_path / "all", **options)
    roi = write_rois(tmp_path / "field.roi", {"field": (60, 8, 100, 30)})
    report = apply(classifier, [sample / "stack.tif"], out=tmp_path / "some", slices="3,1", roi=str(roi), **options)
    told = report["files"][0]
    assert told["slices"] == [1, 3]
    assert told["roi"] == {"x": 60, "y": 8, "width": 40, "height": 22}
    whole, part = (tifffile.imread(tmp_path / name / "stack_labels.tif") for name in ("all", "some"))
    np.testing.assert_array_equal(part, whole[[0, 2], 8:30, 60:100])


def test_a_field_reaches_into_the_data_bar(sample, tmp_path):
    options = {"labels": sample / "labels.tif", "features": "tws", "trees": 8, "threads": 1, "databar": "12"}
    whole = operation("segment")(sample / "image.tif", out=tmp_path / "whole", **options)
    part = operation("segment")(sample / "image.tif", out=tmp_path / "part", roi="5,90,60,20", **options)
    assert (whole["databar_rows"], part["databar_rows"]) == (12, 10)
    labels = [tifffile.imread(tmp_path / name / "labels.tif") for name in ("whole", "part")]
    np.testing.assert_array_equal(labels[1], labels[0][90:110, 5:65])
    assert (labels[1][-10:] == 0).all()
    with pytest.raises(SettingsError, match="the last 12 rows of them its data bar"):
        operation("segment")(sample / "image.tif", out=tmp_path / "bar", roi="5,100,60,12", **options)


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_field_of_probabilities(data):
    image, labels, _ = demo_image(96)
    segmenter = _trained(image, labels)
    whole = segmenter.predict_proba(image)
    spans = [slice(*sorted(data.draw(st.tuples(st.integers(0, 99), st.integers(0, 99))))) for _ in range(2)]
    np.testing.assert_array_equal(segmenter.predict_proba(image, *spans), whole[tuple(spans)])


_TRAINED = {}


def _trained(image, labels) -> fb.PixelSegmenter:
    if not _TRAINED:
        _TRAINED["one"] = fb.PixelSegmenter("tws", n_trees=4, n_threads=1).fit(image, labels)
    return _TRAINED["one"]


@pytest.mark.parametrize(
    ("roi", "told"),
    [
        ("90,0,20,20", "20 x 20 px at \\(90, 0\\), of array, which has 100 x 80 px"),
        ("0,70,20,20", "which has 100 x 80 px"),
        ("200,200,5,5", "which has 100 x 80 px"),
        ("10,10,0,20", "at least one pixel"),
        ("10,10,20,0", "at least one pixel"),
        ("-1,0,20,20", "x,y,width,height"),
        ("1,2,3", "x,y,width,height"),
        ("1.5,2,3,4", "x,y,width,height"),
        ("a,b,c,d", "x,y,width,height"),
    ],
)
def test_bad_fields(roi, told):
    with pytest.raises(SettingsError, match=told):
        field_of(roi, image_from_array(np.zeros((80, 100), np.uint8)))


def test_fields_from_roi_files(tmp_path):
    image = image_from_array(np.zeros((80, 100), np.uint8))
    assert field_of(" ", image) is None
    assert field_of("0,0,100,80", image) == Field(0, 0, 100, 80)
    with pytest.raises(ImageNotFoundError, match="nowhere"):
        field_of(str(tmp_path / "nowhere.roi"), image)
    (tmp_path / "bad.roi").write_bytes(b"no ROI")
    with pytest.raises(LabelsError, match="bad\\.roi"):
        field_of(str(tmp_path / "bad.roi"), image)
    with pytest.raises(SettingsError, match="inside the image"):
        field_of(str(write_rois(tmp_path / "out.roi", {"out": (-5, 3, 20, 20)})), image)
    with pytest.raises(SettingsError, match="holds 2 ROIs"):
        field_of(str(write_rois(tmp_path / "two.zip", {"a": (1, 3, 20, 20), "b": (1, 3, 9, 9)})), image)


@pytest.mark.parametrize(("slices", "told"), [("4", "stack.tif with 3 slice"), ("2-1", "2-1"), ("x", "ranges")])
def test_slices_that_are_not_there(sample, tmp_path, slices, told):
    with pytest.raises(SettingsError, match=told):
        operation("apply")(
            sample / "whole" / "classifier", [sample / "stack.tif"], out=tmp_path / "out", slices=slices, threads=1
        )
    assert not (tmp_path / "out").exists()


def test_a_bad_field_leaves_nothing(sample, tmp_path):
    with pytest.raises(SettingsError, match="inside the image"):
        operation("apply")(
            sample / "whole" / "classifier", [sample / "stack.tif"], out=tmp_path / "out", roi="0,0,113,9", threads=1
        )
    assert not (tmp_path / "out").exists()


def test_pages_of_a_stack_keep_the_first_ones_data_bar(tmp_path):
    stack = np.full((3, 90, 80), 100, np.uint8)
    stack[:, ::2, ::3] = 160
    stack[0, 80:] = 0
    write_image(tmp_path / "bar.tif", stack)
    every = list(read_slices(tmp_path / "bar.tif"))
    some = list(read_slices(tmp_path / "bar.tif", pages=[1, 2]))
    assert [image.databar_rows for image in some] == [image.databar_rows for image in every][1:]
    np.testing.assert_array_equal([image.data for image in some], stack[1:])
