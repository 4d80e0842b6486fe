"""Fuzzing ROI files: any bytes give labels or a message, and never pixels outside the image."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from fuzz_records import damaged, fuzz, short
from hypothesis import given
from hypothesis import strategies as st
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from test_labels import SHAPE, rectangle, shape_of_points

from fijibridge.core.errors import LabelsError
from fijibridge.labels.reading import read_labels
from fijibridge.labels.roi_masks import roi_mask

_number = st.one_of(st.floats(width=32), st.sampled_from([0.0, 0.5, 1e5, -1e5, 9.99e5, 3e38]))
_points = st.lists(st.tuples(_number, _number), min_size=1, max_size=8)


@st.composite
def rois(draw: st.DrawFn) -> ImagejRoi:
    kind = draw(st.sampled_from([kind for kind in ROI_TYPE if kind != ROI_TYPE.NOROI]))
    roi = shape_of_points(kind, np.zeros((draw(st.integers(1, 8)), 2), np.float32))
    roi.subpixel_coordinates = np.array(draw(_points), np.float32)
    roi.n_coordinates = len(roi.subpixel_coordinates)
    roi.integer_coordinates = np.zeros(roi.subpixel_coordinates.shape, np.int32)
    roi.float_stroke_width = draw(st.one_of(st.just(0.0), _number))
    roi.x1, roi.y1, roi.x2, roi.y2 = (draw(_number) for _ in range(4))
    roi.left, roi.top, roi.right, roi.bottom = (draw(st.integers(-5000, 60000)) for _ in range(4))
    roi.subtype = draw(st.sampled_from([ROI_SUBTYPE.UNDEFINED, ROI_SUBTYPE.ELLIPSE, ROI_SUBTYPE.ROTATED_RECT]))
    if draw(st.booleans()):
        roi.options |= ROI_OPTIONS.SPLINE_FIT
    if draw(st.booleans()):
        roi.multi_coordinates = np.array(draw(st.lists(_number, max_size=30)), np.float32)
    return roi


@fuzz(150)
@given(rois())
def test_fuzz_shapes(roi):
    try:
        mask, (top, left) = roi_mask(roi, SHAPE)
    except LabelsError as error:
        short(error)
        return
    assert mask.dtype == bool
    assert not mask.size or (top >= 0 and left >= 0)
    assert top + mask.shape[0] <= SHAPE[0]
    assert left + mask.shape[1] <= SHAPE[1]


def _set() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("pore.roi", rectangle(3, 3, 9, 9, "pore").tobytes())
        archive.writestr(
            "CAM.roi", shape_of_points(ROI_TYPE.POLYGON, [[20, 3], [40, 3], [40, 30]], name="CAM").tobytes()
        )
    return file.getvalue()


@fuzz(120)
@given(damaged(_set()), st.sampled_from([".zip", ".roi"]))
def test_fuzz_files(tmp_path, data, suffix):
    (path := tmp_path / f"r{suffix}").write_bytes(data)
    try:
        labels = read_labels(path, shape=SHAPE)
    except LabelsError as error:
        short(error)
    else:
        assert labels.data.shape == SHAPE
        assert all(len(name.splitlines()) == 1 for name in labels.class_names)


@fuzz(100)
@given(damaged(shape_of_points(ROI_TYPE.FREELINE, np.float32([[1.5, 2], [9, 9], [30, 20]]), name="a").tobytes()))
def test_fuzz_one_roi(tmp_path, data):
    (path := tmp_path / "r.roi").write_bytes(data)
    try:
        read_labels(path, shape=SHAPE)
    except LabelsError as error:
        short(error)
