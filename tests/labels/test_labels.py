"""Labels: label images and ROI sets become the pixels and classes that a person meant."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import roifile
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from fijibridge.core.errors import ImageError, ImageNotFoundError, LabelsError
from fijibridge.labels.labels import Labels, labels_from_array
from fijibridge.labels.reading import read_labels
from fijibridge.labels.roi_masks import roi_mask

SHAPE = (40, 60)
RNG = np.random.default_rng(0)


def strokes(values=(1, 2, 3), shape=SHAPE):
    data = np.zeros(shape, np.uint8)
    for k, value in enumerate(values):
        data[3 + 5 * k : 6 + 5 * k, 10:30] = value
    return data


def refuses(call, *words, kind=LabelsError):
    with pytest.raises(kind) as error:
        call()
    text = str(error.value)
    assert all(word in text for word in words), text
    assert error.value.expected
    assert error.value.remedy


# --- label images ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["l.png", "l.tif", "l16.tif", "lf.tif", "palette.png", "palette.tif", "rgb.png"])
def test_label_images(tmp_path, name):
    data, path = strokes(), tmp_path / name
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 1:4] = np.eye(3) * 65535
    if name == "palette.png":
        image = pillow.fromarray(data).convert("P")
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        image.putdata(data.ravel().tolist())
        image.save(path)
    elif name == "palette.tif":
        tifffile.imwrite(path, data, photometric="palette", colormap=colours)
    elif name == "rgb.png":
        iio.imwrite(path, np.stack([data] * 3, axis=2))
    elif name.endswith(".tif"):
        tifffile.imwrite(path, data.astype({"l.tif": "u1", "l16.tif": "u2", "lf.tif": "f4"}[name]))
    else:
        iio.imwrite(path, data)
    labels = read_labels(path, shape=SHAPE)
    np.testing.assert_array_equal(labels.data, data)
    assert labels.class_names == ("class 1", "class 2", "class 3")
    assert labels.counts == {"class 1": 60, "class 2": 60, "class 3": 60}
    assert read_labels(path, shape=SHAPE, class_names=["a", "b", "c"]).class_names == ("a", "b", "c")


@settings(max_examples=30, deadline=None)
@given(data=st.data(), classes=st.integers(2, 255), dtype=st.sampled_from(["u1", "u2", "i4", "i8", "f4", "f8"]))
def test_any_array_of_labels(data, classes, dtype):
    array = np.zeros((20, 30), dtype)
    places = data.draw(st.permutations(range(600)))[:classes]
    array.ravel()[places] = np.arange(1, classes + 1)
    labels = labels_from_array(array)
    assert labels.data.dtype == np.uint8
    np.testing.assert_array_equal(labels.data, array)
    assert len(labels.class_names) == classes
    assert set(labels.counts.values()) == {1}


def test_wrong_label_images(tmp_path):
    refuses(lambda: read_labels(tmp_path / "none.png", shape=SHAPE), "none.png", kind=ImageNotFoundError)
    refuses(lambda: read_labels(tmp_path / "none.zip", shape=SHAPE), "none.zip", kind=ImageNotFoundError)
    (tmp_path / "junk.png").write_bytes(b"junk" * 5)
    refuses(lambda: read_labels(tmp_path / "junk.png", shape=SHAPE), "junk.png", kind=ImageError)
    iio.imwrite(tmp_path / "colour.png", RNG.integers(0, 255, (*SHAPE, 3), dtype=np.uint8))
    refuses(lambda: read_labels(tmp_path / "colour.png", shape=SHAPE), "colour.png", "8-bit Color")
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([strokes()] * 2))
    refuses(lambda: read_labels(tmp_path / "stack.tif", shape=SHAPE), "stack.tif", "2 slices")
    iio.imwrite(tmp_path / "l.png", strokes())
    refuses(lambda: read_labels(tmp_path / "l.png", shape=(40, 61)), "l.png", "60 x 40", "61 x 40")


def test_wrong_label_values():
    data = strokes()
    refuses(lambda: labels_from_array(data, class_names=["a", "b"]), "label value 3", "a name for each label value")
    refuses(lambda: labels_from_array(data, class_names=list("abcd")), "value 4 (d)")
    refuses(lambda: labels_from_array(strokes((1, 3))), "value 2", "renumber")
    refuses(lambda: labels_from_array(strokes((1,))), "class 1", "two classes")
    refuses(lambda: labels_from_array(strokes(())), "no pixel is labelled")
    refuses(lambda: labels_from_array(strokes((1, 255))), "no labelled pixel", "renumber")
    refuses(lambda: labels_from_array(data.astype(int) * 100), "300")
    refuses(lambda: labels_from_array(-data.astype(int)), "-3")
    refuses(lambda: labels_from_array(data * 0.5), "1.5", "whole numbers")
    refuses(lambda: labels_from_array(np.where(data, data, np.nan)), "nan")
    refuses(lambda: labels_from_array(data > 0), "two classes")
    refuses(lambda: labels_from_array(data.astype(complex)), "complex")
    refuses(lambda: labels_from_array(data[0]), "(60,)")
    refuses(lambda: labels_from_array(np.zeros((0, 3))), "no pixel is labelled")
    refuses(lambda: labels_from_array(data, shape=(1, 2)), "2 x 1")
    refuses(lambda: labels_from_array(data, class_names=["a", "A", "b"]), "twice")
    refuses(lambda: labels_from_array(data, class_names=["a", " ", "b"]), "class name", "empty")
    refuses(lambda: labels_from_array(data, class_names=[str(k) for k in range(256)]), "256 classes")
    refuses(lambda: Labels(data.astype(int), ("a", "b", "c")), "int64")


def test_jpeg_labels_are_refused(tmp_path):
    iio.imwrite(tmp_path / "l.jpg", strokes() * 60)
    iio.imwrite(tmp_path / "named.png", strokes() * 60, extension=".jpg")
    tifffile.imwrite(tmp_path / "l.tif", strokes() * 60, compression="jpeg")
    for name in ("l.jpg", "named.png", "l.tif"):
        refuses(lambda name=name: read_labels(tmp_path / name, shape=SHAPE), name, "JPEG", "PNG or TIFF")


@pytest.mark.parametrize("values", [(127, 255), (255, 100, 50), (1, 255), (2, 3), (10, 20, 30)])
def test_values_with_gaps_get_a_short_message(tmp_path, values):
    iio.imwrite(tmp_path / "l.png", strokes(values))
    with pytest.raises(LabelsError) as error:
        read_labels(tmp_path / "l.png", shape=SHAPE)
    found = str(error.value)
    assert all(str(value) in found for value in values), found
    assert f"without gaps: {', '.join(str(k + 1) for k in range(len(values)))}" in found
    assert len(found) < 600


def test_a_grey_micrograph_is_no_label_image(tmp_path):
    grey = RNG.integers(0, 200, SHAPE, dtype=np.uint8)
    iio.imwrite(tmp_path / "g.png", grey)
    tifffile.imwrite(tmp_path / "g16.tif", grey.astype(np.uint16) * 200)
    tifffile.imwrite(tmp_path / "gf.tif", grey / np.float32(200))
    for name, word in (("g.png", "grey image"), ("g16.tif", "uint16"), ("gf.tif", "whole numbers")):
        with pytest.raises(LabelsError, match=word) as error:
            read_labels(tmp_path / name, shape=SHAPE)
        assert len(str(error.value)) < 600
    many = [f"c{k}" for k in range(1, 41)]  # named, they are meant
    labels = np.zeros(SHAPE, np.uint8)
    labels.ravel()[:40] = np.arange(1, 41)
    iio.imwrite(tmp_path / "many.png", labels)
    assert len(read_labels(tmp_path / "many.png", shape=SHAPE, class_names=many).class_names) == 40


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "\x1b[1m", "x" * 121, "\u202e", "\ud800"])
def test_names_that_would_break_out_of_reports(name):
    refuses(lambda: labels_from_array(strokes((1, 2)), class_names=["a", name]), "class name", "one line of 1 to")


# --- shapes of ROIs --------------------------------------------------------------------------------------------------


def rectangle(left, top, width, height, name="", **fields):
    return ImagejRoi(
        roitype=ROI_TYPE.RECT, left=left, top=top, right=left + width, bottom=top + height, name=name, **fields
    )


def shape_of_points(kind, points, *, name="a", **fields):
    roi = ImagejRoi.frompoints(points)
    roi.roitype, roi.name = kind, name
    for key, value in fields.items():
        setattr(roi, key, value)
    return roi


def drawn(roi, shape=SHAPE):
    roi = ImagejRoi.frombytes(roi.tobytes())  # through the file format, as a user's ROIs come
    mask, (top, left) = roi_mask(roi, shape)
    image = np.zeros(shape, bool)
    image[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return image


def text_mask(*rows):
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def test_rectangle():
    expected = np.zeros(SHAPE, bool)
    expected[4:11, 3:13] = True
    np.testing.assert_array_equal(drawn(rectangle(3, 4, 10, 7)), expected)
    rounded = drawn(rectangle(3, 4, 10, 7, rounded_rect_arc_size=6))
    assert rounded[4, 3:13].tolist() == [False] + [True] * 8 + [False]
    assert rounded.sum() == 66


# Masks as ImageJ 1.54p gives them (Roi.getContainedPoints).
OVALS = {
    (4, 4): (".##.", "####", "####", ".##."),
    (5, 5): (".###.", "#####", "#####", "#####", ".###."),
    (6, 3): (".####.", "######", ".####."),
    (1, 1): ("#",),
    (7, 7): ("..###..", ".#####.", "#######", "#######", "#######", ".#####.", "..###.."),
}


@pytest.mark.parametrize("size", OVALS, ids=str)
def test_oval(size):
    roi = rectangle(2, 3, *size)
    roi.roitype = ROI_TYPE.OVAL
    expected = text_mask(*OVALS[size])
    image = drawn(roi)
    np.testing.assert_array_equal(image[3 : 3 + size[1], 2 : 2 + size[0]], expected)
    assert image.sum() == expected.sum()


@pytest.mark.parametrize("kind", [ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED])
def test_polygon(kind):
    image = drawn(shape_of_points(kind, [[5, 5], [9, 5], [9, 9]]))
    # The centres on the diagonal belong to the area left of it, which is outside.
    np.testing.assert_array_equal(image[5:9, 5:9], text_mask(".###", "..##", "...#", "...."))
    assert image.sum() == 6
    square = shape_of_points(kind, [[5.4, 5.4], [8.6, 5.4], [8.6, 8.6], [5.4, 8.6]])
    np.testing.assert_array_equal(np.argwhere(drawn(square)), [(y, x) for y in range(5, 9) for x in range(5, 9)])


@settings(max_examples=30, deadline=None)
@given(points=st.lists(st.tuples(st.floats(1, 39, width=32), st.floats(1, 39, width=32)), min_size=3, max_size=8))
def test_polygon_is_even_odd_at_the_centres(points):
    try:
        image = drawn(shape_of_points(ROI_TYPE.POLYGON, np.array(points, np.float32)), (40, 40))
    except LabelsError:
        image = np.zeros((40, 40), bool)
    y, x = np.mgrid[:40, :40] + 0.5
    inside, near = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        crosses = (y1 <= y) != (y2 <= y)
        at = x1 + (y - y1) * (x2 - x1) / (y2 - y1 if y1 != y2 else 1)
        inside ^= crosses & (at < x)
        # a centre on an edge may count either way
        along = np.clip(
            ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / max((x2 - x1) ** 2 + (y2 - y1) ** 2, 1e-12), 0, 1
        )
        near |= np.hypot(x1 + along * (x2 - x1) - x, y1 + along * (y2 - y1) - y) < 1e-6
    np.testing.assert_array_equal(image[~near], inside[~near])


def test_composite_with_a_hole():
    outer, inner = [(2, 2), (12, 2), (12, 12), (2, 12)], [(5, 5), (5, 8), (8, 8), (8, 5)]
    path = []
    for polygon in (outer, inner):
        for k, (x, y) in enumerate(polygon):
            path += [0 if k == 0 else 1, x, y]
        path.append(4)
    roi = rectangle(2, 2, 10, 10, multi_coordinates=np.array(path, np.float32), shape_roi_size=len(path))
    image = drawn(roi)
    expected = np.zeros(SHAPE, bool)
    expected[2:12, 2:12] = True
    expected[5:8, 5:8] = False
    np.testing.assert_array_equal(image, expected)


def test_composite_with_curves():
    k = 0.5522847498 * 10  # a circle of radius 10 around (20, 20), as four Bezier curves
    path = [0, 30, 20]
    for curve in (
        (30, 20 + k, 20 + k, 30, 20, 30), (20 - k, 30, 10, 20 + k, 10, 20),
        (10, 20 - k, 20 - k, 10, 20, 10), (20 + k, 10, 30, 20 - k, 30, 20),
    ):  # fmt: skip
        path += [3, *curve]
    roi = rectangle(10, 10, 20, 20, multi_coordinates=np.array([*path, 4], np.float32), shape_roi_size=len(path) + 1)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    np.testing.assert_array_equal(drawn(roi), (x - 20) ** 2 + (y - 20) ** 2 <= 100)


def line(x1, y1, x2, y2, **fields):
    return rectangle(
        int(min(x1, x2)), int(min(y1, y2)), int(abs(x2 - x1)) + 1, int(abs(y2 - y1)) + 1,
        x1=x1, y1=y1, x2=x2, y2=y2, **fields,
    )  # fmt: skip


def test_lines():
    straight = line(3, 5, 9, 5)
    straight.roitype = ROI_TYPE.LINE
    np.testing.assert_array_equal(np.argwhere(drawn(straight)), [(5, x) for x in range(3, 10)])
    thick = line(3, 5, 9, 5, stroke_width=3)
    thick.roitype = ROI_TYPE.LINE
    assert set(np.argwhere(drawn(thick))[:, 0]) == {4, 5, 6}
    diagonal = shape_of_points(ROI_TYPE.POLYLINE, [[3, 3], [6, 6], [6, 9]])
    expected = [(3, 3), (4, 4), (5, 5), (6, 6), (7, 6), (8, 6), (9, 6)]
    np.testing.assert_array_equal(np.argwhere(drawn(diagonal)), expected)
    bent = shape_of_points(ROI_TYPE.FREELINE, [[5, 5], [20, 5], [20, 20]], stroke_width=5)
    image = drawn(bent)
    assert image[3:8, 5:18].all()
    assert image[8:20, 18:23].all()
    assert not image[9:, :17].any()


def test_points():
    single = shape_of_points(ROI_TYPE.POINT, [[7, 8]])
    np.testing.assert_array_equal(np.argwhere(drawn(single)), [(8, 7)])
    several = shape_of_points(ROI_TYPE.POINT, [[7.2, 8.0], [3.0, 4.4]])  # a pixel's centre is a whole number here
    np.testing.assert_array_equal(np.argwhere(drawn(several)), [(4, 3), (8, 7)])


def test_rois_without_pixels():
    angle = shape_of_points(ROI_TYPE.ANGLE, [[1, 1], [5, 5], [9, 1]], name="corner")
    refuses(lambda: roi_mask(angle, SHAPE), "corner", "angle")
    refuses(lambda: roi_mask(rectangle(1, 1, 5, 5, "note", subtype=ROI_SUBTYPE.TEXT), SHAPE), "note", "text")
    refuses(lambda: roi_mask(rectangle(1, 1, 0, 5, "thin"), SHAPE), "thin", "no pixel")
    refuses(lambda: roi_mask(ImagejRoi(roitype=ROI_TYPE.NOROI, name="x"), SHAPE), "noroi")
    refuses(lambda: roi_mask(ImagejRoi(roitype=ROI_TYPE.FREEHAND, name="x"), SHAPE), "coordinates")


def test_sub_pixel_option_survives_the_file():
    roi = shape_of_points(ROI_TYPE.POLYGON, np.array([[1.5, 1.5], [4.5, 1.5], [4.5, 4.5]]))
    assert roi.options & ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    assert roifile.ImagejRoi.frombytes(roi.tobytes()).subpixelresolution
