"""Every type of ROI covers the pixels that ImageJ itself says: its masks, of ROIs that went through its files."""

from __future__ import annotations

import jpype
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from roifile import ImagejRoi

from fijibridge.labels.roi_masks import roi_mask

SHAPE = (60, 80)
AREAS = (
    "rectangle", "oval", "rounded", "sub-pixel rectangle", "sub-pixel oval", "ellipse", "rotated", "polygon",
    "freehand", "traced", "composite",
)  # fmt: skip
LINES = ("line", "polyline", "freeline", "points")


class Drawing:
    """ROIs of ImageJ's own classes, at random."""

    def __init__(self, java, seed):
        self.java, self.rng = java, np.random.default_rng(seed)
        self.ints, self.floats = jpype.JArray(jpype.JInt), jpype.JArray(jpype.JFloat)

    def kind(self, name):
        return self.java.jclass(f"ij.gui.{name}")

    def points(self, count, *, whole):
        points = self.rng.uniform(-10, 90, (count, 2))
        return np.round(points) if whole else points

    def outline(self, kind, count, *, whole, fitted=False, width=0.0):
        x, y = self.points(count, whole=whole).T
        array = self.ints if whole else self.floats
        number = getattr(self.kind("Roi"), kind)
        roi = self.kind("PolygonRoi")(array(x.astype(int if whole else float).tolist()),
                                      array(y.astype(int if whole else float).tolist()), count, number)  # fmt: skip
        if width:
            roi.setStrokeWidth(width)
        if fitted:
            roi.fitSpline()
        return roi

    def area(self, what, *, whole=True, fitted=False):
        corner, size = self.rng.uniform(-10, 70, 2).tolist(), self.rng.uniform(1, 60, 2).tolist()
        box = [int(value) for value in (*corner, *size)]
        far, count = self.rng.uniform(0, 70, 2).tolist(), int(self.rng.integers(3, 12))
        if what == "rectangle":
            return self.kind("Roi")(*box)
        if what == "rounded":
            return self.kind("Roi")(*box, int(self.rng.integers(1, 40)))
        if what == "oval":
            return self.kind("OvalRoi")(*box)
        if what.startswith("sub-pixel"):
            return self.kind("OvalRoi" if "oval" in what else "Roi")(*corner, *size)
        if what == "ellipse":
            return self.kind("EllipseRoi")(*corner, *far, float(self.rng.uniform(0.1, 1)))
        if what == "rotated":
            return self.kind("RotatedRectRoi")(*corner, *far, float(self.rng.uniform(1, 30)))
        if what == "composite":
            parts = [self.area(kind, whole=whole) for kind in self.rng.choice(AREAS[:-2], 2)]
            return self.kind("ShapeRoi")(parts[0]).xor(self.kind("ShapeRoi")(parts[1]))
        if what == "traced":
            plane = self.java.jclass("ij.process.ByteProcessor")(80, 60)
            for x, y, width, height in self.rng.integers(1, 30, (4, 4)).tolist():
                plane.setRoi(x, y, width, height)
                plane.setColor(255)
                plane.fill()
            start = int(np.flatnonzero(np.array(plane.getPixels()))[0])
            wand = self.java.jclass("ij.gui.Wand")(plane)
            wand.autoOutline(start % 80, start // 80, 255.0, 255.0)
            roi = self.kind("PolygonRoi")(wand.xpoints, wand.ypoints, wand.npoints, self.kind("Roi").TRACED_ROI)
            if fitted:
                roi.fitSpline()
            return roi
        return self.outline({"polygon": "POLYGON", "freehand": "FREEROI"}[what], count, whole=whole, fitted=fitted)

    def line(self, what, *, whole, fitted, width):
        if what == "points":
            x, y = self.points(5, whole=whole).T.tolist()
            return self.kind("PointRoi")(self.floats(x), self.floats(y), 5)
        if what == "line":
            roi = self.kind("Line")(*self.points(2, whole=whole).ravel().tolist())
            if width:
                roi.setStrokeWidth(width)
            return roi
        count = int(self.rng.integers(3, 12))
        return self.outline(what.upper(), count, whole=whole, fitted=fitted, width=width)


def through_a_file(java, roi):
    """The ROI as ImageJ reads it from its own file, and as fijibridge does."""
    content = java.jclass("ij.io.RoiEncoder").saveAsByteArray(roi)
    return java.jclass("ij.io.RoiDecoder").openFromByteArray(content), ImagejRoi.frombytes(bytes(content))


def ours(roi, shape=SHAPE):
    image = np.zeros(shape, bool)
    mask, (top, left) = roi_mask(roi, shape)
    image[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return image


def contained(roi):
    image = np.zeros(SHAPE, bool)
    for point in roi.getContainedPoints():
        if 0 <= point.y < SHAPE[0] and 0 <= point.x < SHAPE[1]:
            image[point.y, point.x] = True
    return image


def drawn(java, roi):
    plane = java.jclass("ij.process.ByteProcessor")(SHAPE[1], SHAPE[0])
    plane.setColor(255)
    roi.drawPixels(plane)
    return np.array(plane.getPixels()).reshape(SHAPE) != 0


FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("what", AREAS)
@FUZZ
@given(seed=st.integers(0, 2**31), whole=st.booleans(), fitted=st.booleans())
def test_areas(java, what, seed, whole, fitted):
    theirs, roi = through_a_file(java, Drawing(java, seed).area(what, whole=whole, fitted=fitted))
    # a fitted curve may touch a pixel's centre to the last bit of a float
    assert np.count_nonzero(ours(roi) != contained(theirs)) <= fitted


@pytest.mark.parametrize("what", LINES)
@FUZZ
@given(
    seed=st.integers(0, 2**31), whole=st.booleans(), fitted=st.booleans(), width=st.sampled_from([0.0, 1.0, 2.0, 5.5])
)
def test_lines_and_points(java, what, seed, whole, fitted, width):
    theirs, roi = through_a_file(java, Drawing(java, seed).line(what, whole=whole, fitted=fitted, width=width))
    if what == "points" or width > 1:
        try:
            expected = contained(theirs)
        except jpype.JException:  # ImageJ fails at a wide line that is wholly outside, above or left of the image
            return
    else:
        expected = drawn(java, theirs)
    assert np.count_nonzero(ours(roi) != expected) <= 2 * fitted


def test_the_mask_is_the_same_in_a_part_of_the_image(java):
    for seed in range(30):
        _, roi = through_a_file(java, Drawing(java, seed).area("polygon", whole=False))
        whole, part = ours(roi, (90, 90)), ours(roi, (30, 40))
        np.testing.assert_array_equal(part, whole[:30, :40])
