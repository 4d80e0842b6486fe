"""ROI sets as people, ImageJ, macOS and strangers make them: their classes, their slices, what is refused."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from test_labels import SHAPE, rectangle, refuses, shape_of_points, strokes

from fijibridge.labels.reading import read_labels
from fijibridge.labels.roi_masks import roi_mask
from fijibridge.labels.roi_sets import labels_from_rois, rasterise_rois, read_rois

DATA = Path(os.environ.get("FIJIBRIDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
CASES = DATA.parent / "cases"


def rois_named(*names, group=0):
    return [rectangle(3 * k, 2, 2, 2, name, group=group) for k, name in enumerate(names)]


def save(path, rois):
    with zipfile.ZipFile(path, "w") as archive:
        for k, roi in enumerate(rois):
            archive.writestr(f"{k:04}.roi" if not roi.name else f"{roi.name}.roi", roi.tobytes())


def test_roi_set_by_name(tmp_path):
    save(tmp_path / "r.zip", rois_named("Pore", "matrix", "pore-2", "pore-30", "matrix-1-2"))
    labels = read_labels(tmp_path / "r.zip", shape=SHAPE)
    assert labels.class_names == ("Pore", "matrix")
    assert labels.data[2, :15:3].tolist() == [1, 2, 1, 1, 2]
    other = read_labels(tmp_path / "r.zip", shape=SHAPE, class_names=["Matrix", "pore"])
    assert other.data[2, :15:3].tolist() == [2, 1, 2, 2, 1]
    assert other.counts == {"Matrix": 8, "pore": 12}


def test_numbered_class_names_count_when_asked_for():
    rois = rois_named("phase-1", "phase-2", "phase-2-1")
    labels = labels_from_rois(rois, SHAPE, class_names=["phase-1", "phase-2"])
    assert labels.data[2, :9:3].tolist() == [1, 2, 2]
    refuses(lambda: labels_from_rois(rois, SHAPE), "two classes")


def test_a_group_has_the_name_that_its_rois_share():
    rois = [
        rectangle(3 * k, 2, 2, 2, name, group=group)
        for k, (name, group) in enumerate([("ISE-1", 1), ("ise-2", 4), ("Pore-1", 3), ("pore-2", 3)])
    ]
    assert labels_from_rois([rois[0], *rois[2:]], SHAPE).class_names == ("ISE", "Pore")
    assert labels_from_rois(rois, SHAPE).class_names == ("group 1", "group 3", "group 4")  # two groups of one name


def test_roi_set_by_group(tmp_path):
    rois = [*rois_named("0001-0002", group=5), *rois_named("", "x", "y", group=2)[1:]]
    save(tmp_path / "r.zip", rois)
    labels = read_labels(tmp_path / "r.zip", shape=SHAPE)
    assert labels.class_names == ("group 2", "group 5")
    assert labels.data[2, :9:3].tolist() == [2, 1, 1]
    refuses(lambda: read_labels(tmp_path / "r.zip", shape=SHAPE, class_names=["a", "b"]), "label value 5")
    named = labels_from_rois([*rois_named("", group=2), rectangle(9, 9, 1, 1, group=1)], SHAPE, class_names=["a", "b"])
    assert named.counts == {"a": 1, "b": 4}


def test_rois_that_do_not_say_their_class(tmp_path):
    for name in ("0123-0456", "0001-0123-0456", "7"):
        refuses(lambda name=name: labels_from_rois(rois_named("pore", name), SHAPE), name, "named by their class")
    mixed = [*rois_named("pore", group=1), *rois_named("a", "b")]
    refuses(lambda: labels_from_rois(mixed, SHAPE), "2 have none", "a, b")
    refuses(lambda: labels_from_rois(rois_named("pore", "ore"), SHAPE, class_names=["pore", "matrix"]), "'ore'")
    refuses(lambda: labels_from_rois(rois_named("pore"), SHAPE, class_names=["pore", "matrix"]), "two classes")
    refuses(lambda: labels_from_rois(rois_named("a", "b"), SHAPE, class_names=["a", "b", "c"]), "value 3 (c)")
    many = [rectangle(k % 50, k // 50, 1, 1, f"c{k}x") for k in range(256)]
    refuses(lambda: labels_from_rois(many, SHAPE), "256 classes")
    rectangle(1, 1, 2, 2).tofile(tmp_path / "pore-1.roi")
    refuses(lambda: read_labels(tmp_path / "pore-1.roi", shape=SHAPE), "pore", "two classes")


def test_rois_of_several_slices():
    rois = rois_named("a", "b")
    rois[0].position, rois[1].position = 3, 7
    refuses(lambda: labels_from_rois(rois, SHAPE), "slices 3, 7")
    rois[1].position = 3
    assert labels_from_rois(rois, SHAPE).counts == {"a": 4, "b": 4}


def test_overlap_is_left_unlabelled(caplog):
    first, second, third = rectangle(0, 0, 10, 10, "a"), rectangle(5, 0, 10, 10, "b"), rectangle(0, 0, 4, 4, "a-2")
    labels = labels_from_rois([first, second, third], SHAPE)
    assert labels.counts == {"a": 50, "b": 50}
    assert not labels.data[:10, 5:10].any()
    assert "50 pixels" in caplog.text
    refuses(lambda: labels_from_rois([first, rectangle(0, 0, 10, 10, "b")], SHAPE), "no pixel is labelled")


@pytest.mark.parametrize(("left", "top", "inside"), [(55, 5, 50), (-2, 5, 80), (5, 35, 50), (5, -1, 90)])
def test_rois_over_the_edge_are_clipped(left, top, inside, caplog):
    data = rasterise_rois([(rectangle(left, top, 10, 10, "pore"), 1)], SHAPE)
    assert np.count_nonzero(data) == inside
    expected = np.zeros((60, 80), np.uint8)
    expected[10 + top : 20 + top, 10 + left : 20 + left] = 1
    np.testing.assert_array_equal(data, expected[10:50, 10:70])
    assert not caplog.text


def test_a_roi_outside_labels_nothing(caplog):
    rois = [rectangle(200, 200, 10, 10, "pore-2"), rectangle(3, 3, 5, 5, "pore"), rectangle(20, 3, 5, 5, "CAM")]
    assert labels_from_rois(rois, SHAPE).counts == {"pore": 25, "CAM": 25}
    assert "the ROIs 'pore-2'" in caplog.text
    assert "60 x 40" in caplog.text
    refuses(lambda: labels_from_rois([rois[0], rois[2]], SHAPE), "labels for 1 class(es): CAM")


def test_broken_roi_files(tmp_path):
    for name in ("a.zip", "a.roi"):
        (tmp_path / name).write_bytes(b"junk" * 30)
        refuses(lambda name=name: read_labels(tmp_path / name, shape=SHAPE), name)
    save(tmp_path / "none.zip", [])
    refuses(lambda: read_labels(tmp_path / "none.zip", shape=SHAPE), "none.zip", "no ROI")
    (tmp_path / "folder.zip").mkdir()
    refuses(lambda: read_labels(tmp_path / "folder.zip", shape=SHAPE), "folder")


def names_of(*names, **options):
    return labels_from_rois(rois_named(*names), SHAPE, **options).class_names


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("NMC 811", "NMC 622", "pore"), ("NMC 811", "NMC 622", "pore")),
        (("NMC-811", "NMC-622", "NMC-811-1"), ("NMC-811", "NMC-622")),
        (("class 1", "class 2", "class 2-1", "class 1-1"), ("class 1", "class 2")),
        (("phase_1", "phase_2"), ("phase_1", "phase_2")),
        (("Li6PS5Cl", "Li3"), ("Li6PS5Cl", "Li3")),
        (("pore-1", "CAM"), ("pore", "CAM")),
        (("pore", "CAM", "pore-1", "pore-2", "CAM-1"), ("pore", "CAM")),
        (("pore-007", "CAM"), ("pore-007", "CAM")),
        (("Pore ", " pore-3", "CAM"), ("Pore", "CAM")),
        (("pore-0", "pore-1", "CAM-0"), ("pore", "CAM")),
    ],
)
def test_names_that_end_in_a_number(names, classes):
    assert names_of(*names) == classes


def test_merged_names_are_told(caplog):
    assert names_of("CAM-1", "CAM-2", "pore") == ("CAM", "pore")
    assert "'CAM-1', 'CAM-2'" in caplog.text or "CAM-1, CAM-2" in caplog.text
    assert names_of("CAM-1", "CAM-2", "pore", class_names=["CAM-1", "CAM-2", "pore"]) == ("CAM-1", "CAM-2", "pore")


def test_any_number_is_a_rois_own_where_the_classes_are_named():
    names = ("pore 1", "pore_002", "CAM-3", "NMC 811", "NMC 622 2", "pore")
    labels = labels_from_rois(rois_named(*names), SHAPE, class_names=["CAM", "pore", "NMC 811", "NMC 622"])
    assert labels.counts == {"CAM": 4, "pore": 12, "NMC 811": 4, "NMC 622": 4}


def test_groups_come_before_names():
    rois = [rectangle(3 * k, 2, 2, 2, f"class {k + 1}-1", group=k + 1) for k in range(2)]
    assert labels_from_rois(rois, SHAPE).class_names == ("class 1", "class 2")
    same = [rectangle(3 * k, 2, 2, 2, "pore", group=k + 1) for k in range(2)]
    assert labels_from_rois(same, SHAPE).class_names == ("group 1", "group 2")


@pytest.mark.parametrize("name", ["a\nshow=x", "a\tb", "a\x00b", "x" * 121, "a\u202eb", "a\u2028b", "\x07"])
def test_names_that_would_break_out(tmp_path, name):
    rois = [*rois_named("pore"), rectangle(9, 2, 2, 2, name)]
    refuses(lambda: labels_from_rois(rois, SHAPE), "ROI name", "one line")
    rois[1].tofile(tmp_path / "one.roi")
    refuses(lambda: read_labels(tmp_path / "one.roi", shape=SHAPE), "ROI name", "one line")
    refuses(lambda: labels_from_rois(rois_named("a", "b"), SHAPE, class_names=["a", name]), "class name")


def test_text_images_and_angles_are_left_out(caplog):
    note = rectangle(1, 1, 20, 5, "note", subtype=ROI_SUBTYPE.TEXT)
    angle = shape_of_points(ROI_TYPE.ANGLE, [[1, 1], [5, 5], [9, 1]], name="corner")
    assert labels_from_rois([note, *rois_named("a", "b"), angle], SHAPE).counts == {"a": 4, "b": 4}
    assert "note" in caplog.text
    assert "corner" in caplog.text
    refuses(lambda: labels_from_rois([note, angle], SHAPE), "no ROI that covers pixels")


def test_slices_belong_to_a_volume(caplog):
    rois = rois_named("a", "b")
    rois[0].z_position = rois[1].z_position = 4
    assert labels_from_rois(rois, SHAPE).counts == {"a": 4, "b": 4}
    assert "slice 4" in caplog.text
    rois[1].z_position = 5
    refuses(lambda: labels_from_rois(rois, SHAPE), "slices 4, 5", "volume")
    points = shape_of_points(ROI_TYPE.POINT, [[1, 1], [5, 5]])
    points.counter_positions, points.counters = np.array([1, 7], np.uint32), np.zeros(2, np.uint8)
    refuses(lambda: labels_from_rois([points, rois[0]], SHAPE), "slices", "volume")


def test_a_zip_from_a_mac(tmp_path):
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as archive:
        for roi in rois_named("pore-1", "CAM"):
            archive.writestr(f"RoiSet/{roi.name}.roi", roi.tobytes())
            archive.writestr(f"__MACOSX/RoiSet/._{roi.name}.roi", b"\x00\x05\x16\x07" + bytes(100))
        archive.writestr("RoiSet/.DS_Store", b"x")
    assert read_labels(tmp_path / "r.zip", shape=SHAPE).class_names == ("pore", "CAM")


# --- overlays --------------------------------------------------------------------------------------------------------


def write_overlay(path, image, rois):
    tifffile.imwrite(path, image, imagej=True, metadata={"Overlays": [roi.tobytes() for roi in rois]})


def test_the_overlay_of_a_tiff(tmp_path, caplog):
    grey = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    bar = rectangle(1, 30, 20, 3, "|SB|")
    write_overlay(tmp_path / "o.tif", grey, [*rois_named("pore", "CAM", "pore-1"), bar])
    assert read_labels(tmp_path / "o.tif", shape=SHAPE).counts == {"pore": 8, "CAM": 4}
    refuses(lambda: read_labels(tmp_path / "o.tif", shape=(40, 61)), "60 x 40", "61 x 40")
    write_overlay(tmp_path / "bar.tif", grey, [bar])
    refuses(lambda: read_labels(tmp_path / "bar.tif", shape=SHAPE), "grey image")
    write_overlay(tmp_path / "both.tif", strokes(), rois_named("pore", "CAM"))
    assert read_labels(tmp_path / "both.tif", shape=SHAPE).class_names == ("class 1", "class 2", "class 3")
    assert "its overlay are not" in caplog.text


# --- hostile files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("far", [1e9, -1e9, 3e38, np.nan, np.inf])
def test_coordinates_far_outside(far):
    for kind in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE, ROI_TYPE.POINT):
        roi = shape_of_points(kind, np.array([[1.5, 1.5], [7.5, 3.5], [5.5, 9.5]], np.float32), name="far")
        roi.subpixel_coordinates[1, 0] = far
        refuses(lambda roi=roi: roi_mask(ImagejRoi.frombytes(roi.tobytes()), SHAPE), "'far'")
    line = rectangle(1, 1, 5, 5, "far", x1=1.0, y1=1.0, x2=far, y2=5.0)
    line.roitype = ROI_TYPE.LINE
    refuses(lambda: roi_mask(line, SHAPE), "'far'")
    wide = shape_of_points(ROI_TYPE.FREELINE, [[1, 1], [5, 5]], name="far")
    wide.float_stroke_width = far
    if far > 0:
        refuses(lambda: roi_mask(wide, SHAPE), "'far'")
    path = np.array([0, 1, 1, 1, far, 1, 1, 5, 5, 4], np.float32)
    refuses(lambda: roi_mask(rectangle(1, 1, 5, 5, "far", multi_coordinates=path), SHAPE), "'far'")


def test_a_huge_polygon_is_clipped_in_no_time():
    points = np.array([[-9e5, -9e5], [9e5, -9e5], [9e5, 9e5], [-9e5, 9e5]], np.float32)
    mask, origin = roi_mask(shape_of_points(ROI_TYPE.POLYGON, points), SHAPE)
    assert (mask.all(), mask.shape, origin) == (True, SHAPE, (0, 0))


def test_a_bomb_of_rois(tmp_path):
    body = rectangle(1, 1, 5, 5, "a").tobytes() + bytes(2**24)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(8):
            archive.writestr(f"{k}.roi", body)
    refuses(lambda: read_rois(tmp_path / "bomb.zip"), "bytes when unpacked", "64 MB")
    lying = bytearray((tmp_path / "bomb.zip").read_bytes())
    place = lying.rindex(b"PK\x01\x02")
    lying[place + 24 : place + 28] = struct.pack("<I", 99)  # the size that the directory names
    (tmp_path / "lying.zip").write_bytes(lying)
    refuses(lambda: read_rois(tmp_path / "lying.zip"), "lying.zip")
    assert zlib.crc32(body)


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared micrographs: set FIJIBRIDGE_DATA")
def test_the_shared_cases():
    nine = CASES / "09_roi_names_that_end_in_a_number"
    with_names = {
        "materials": ("NMC 811", "NMC 622", "pore"), "tws_default": ("class 1", "class 2"),
        "traces": ("class 1", "class 2"),
    }  # fmt: skip
    for name, classes in with_names.items():
        assert read_labels(nine / f"{name}.zip", shape=(96, 128)).class_names == classes
    strokes_in = read_labels(CASES / "10_roi_over_the_edge" / "strokes.zip", shape=(96, 128))
    assert strokes_in.counts == {"pore": 500, "CAM": 300}
    mac = read_labels(CASES / "21_roi_zip_from_a_mac" / "RoiSet.zip", shape=(96, 128))
    assert mac.class_names == ("pore", "CAM")
    (roi,) = read_rois(CASES / "11_spline_fitted_polygon" / "pore.roi")
    mask, _ = roi_mask(roi, (4096, 4096))
    assert np.count_nonzero(mask) == 3509
    for file in sorted((CASES / "attacks" / "08_roi_coordinates").glob("*.zip")):
        refuses(lambda file=file: read_labels(file, shape=(256, 256)), "outside the image")
