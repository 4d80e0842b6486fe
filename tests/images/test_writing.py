"""What is written opens again: values, colours, names, pixel size; and nothing half-written stays."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fijibridge.core.errors import BridgeError, LabelsError, OutputError, SettingsError
from fijibridge.images import writing
from fijibridge.images.image import PixelSize, count_slices, image_from_array, read_image, read_slices, read_stored
from fijibridge.images.overlay import write_overlay
from fijibridge.images.palette import class_colors_or_default
from fijibridge.images.writing import write_labels, write_probabilities

RNG = np.random.default_rng(0)
NAMES = ("pore", "matrix", "crack")
SIZES = st.floats(1e-3, 1e3).map(lambda value: float(f"{value:.6g}"))


def says(error, *words):
    text = str(error.value)
    assert all(word in text for word in words), text
    assert error.value.expected
    assert error.value.remedy


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    y=SIZES, x=SIZES, z=st.none() | SIZES, unit=st.sampled_from(["nm", "µm", "um", "micron", "mm", "Å"]),
    count=st.integers(1, 3), classes=st.integers(1, 5),
)  # fmt: skip
def test_labels_round_trip(tmp_path, y, x, z, unit, count, classes):
    size = PixelSize(y, x, unit, z)
    stack = RNG.integers(0, classes + 1, (count, 9, 11), dtype=np.uint8)
    names = [f"class é {k}" for k in range(classes)]
    path = write_labels(tmp_path / "l.tif", iter(stack), pixel_size=size, class_names=names, count=count)
    images = list(read_slices(path))
    np.testing.assert_array_equal([image.data for image in images], stack)
    back = images[0].pixel_size
    assert back.unit == size.unit
    assert (back.y, back.x) == pytest.approx((y, x), rel=1e-5)
    assert back.z == (pytest.approx(z) if z is not None else None)


def test_labels_carry_colours_and_names(tmp_path):
    labels = RNG.integers(0, 4, (20, 30), dtype=np.uint8)
    path = write_labels(tmp_path / "l.tif", labels, class_names=NAMES, class_colors=["#ff0000", (0, 255, 0), (0, 0, 9)])
    with tifffile.TiffFile(path) as tif:
        lut = tif.pages.first.colormap >> 8
        assert "2 = matrix" in tif.imagej_metadata["Info"]
    np.testing.assert_array_equal(lut[:, :4].T, [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 9]])
    np.testing.assert_array_equal(read_image(path).data, labels)
    np.testing.assert_array_equal(read_image(write_labels(path, labels[None], class_names=NAMES)).data, labels)


def test_probabilities_of_an_image_and_of_a_stack(tmp_path):
    values = RNG.random((4, 20, 30, 3)).astype(np.float32)
    single = write_probabilities(tmp_path / "p.tif", values[0], class_names=NAMES, pixel_size=PixelSize(2, 3, "µm"))
    with tifffile.TiffFile(single) as tif:
        assert tif.imagej_metadata["Labels"] == list(NAMES)
        assert tif.series[0].axes == "ZYX"
        np.testing.assert_array_equal(tif.asarray(), np.moveaxis(values[0], 2, 0))
    assert read_image(single).pixel_size.unit == "µm"
    stack = write_probabilities(tmp_path / "s.tif", iter(values), class_names=NAMES, count=4)
    with tifffile.TiffFile(stack) as tif:
        assert tif.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(tif.asarray(), np.moveaxis(values, 3, 1))


def test_writing_streams(tmp_path):
    alive = 0

    def slices():
        nonlocal alive
        for number in range(50):
            alive += 1
            assert alive - number <= 2
            yield np.full((10, 10), number % 4, np.uint8)

    path = write_labels(tmp_path / "l.tif", slices(), class_names=NAMES, count=50)
    assert count_slices(path) == 50


def test_stacks_beyond_4_gib_are_written_as_imagej_does(tmp_path, monkeypatch):
    """The limit is made small: one page, and the number of slices in the description."""
    monkeypatch.setattr(writing, "LARGEST_TIFF", 4000)
    stack = np.random.default_rng(0).integers(0, 4, (9, 30, 40)).astype(np.uint8)
    path = write_labels(tmp_path / "l.tif", stack, class_names=NAMES, pixel_size=PixelSize(5, 5, "nm", 20))
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == 1
        assert tif.imagej_metadata["images"] == 9
    assert count_slices(path) == 9
    for index in (0, 8):
        assert np.array_equal(read_stored(path, index=index), stack[index])
    assert next(read_slices(path, pages=[8])).pixel_size == PixelSize(5, 5, "nm", 20)
    with pytest.raises(OutputError) as error:
        write_labels(tmp_path / "p.tif", np.ones((1, 100, 100), np.uint8), class_names=NAMES)
    says(error, "p.tif", "4 GiB", "NAME.zarr")
    assert [file.name for file in tmp_path.iterdir()] == ["l.tif"]


def test_writing_refuses_and_leaves_nothing(tmp_path):
    labels = np.ones((5, 6), np.uint8)

    def broken():
        yield labels
        raise RuntimeError("interrupted")

    cases = [
        (OutputError, lambda: write_labels(tmp_path / "no" / "l.tif", labels, class_names=NAMES)),
        (OutputError, lambda: write_labels(tmp_path / "l.png", labels, class_names=NAMES)),
        (OutputError, lambda: write_labels(tmp_path / "l.tif", [], class_names=NAMES)),
        (OutputError, lambda: write_labels(tmp_path / "l.tif", [labels, labels[1:]], class_names=NAMES)),
        (OutputError, lambda: write_labels(tmp_path / "l.tif", iter([labels]), class_names=NAMES, count=2)),
        (OutputError, lambda: write_labels(tmp_path / "l.tif", iter([labels] * 3), class_names=NAMES, count=2)),
        (OutputError, lambda: write_probabilities(tmp_path / "l.tif", np.ones((3, 4, 2)), class_names=NAMES)),
        (SettingsError, lambda: write_labels(tmp_path / "l.tif", iter([labels]), class_names=NAMES)),
        (SettingsError, lambda: write_labels(tmp_path / "l.tif", labels, class_names=NAMES, class_colors=["#000000"])),
        (LabelsError, lambda: write_labels(tmp_path / "l.tif", labels * 4, class_names=NAMES)),
        (LabelsError, lambda: write_labels(tmp_path / "l.tif", labels * 0.5, class_names=NAMES)),
        (RuntimeError, lambda: write_labels(tmp_path / "l.tif", broken(), class_names=NAMES, count=2)),
        (OutputError, lambda: write_overlay(tmp_path / "l.tif", image_from_array(labels), labels, NAMES)),
        (LabelsError, lambda: write_overlay(tmp_path / "l.png", image_from_array(labels), labels[1:], NAMES)),
    ]
    for kind, call in cases:
        with pytest.raises(kind) as error:
            call()
        if issubclass(kind, BridgeError):
            says(error)
        assert not list(tmp_path.iterdir())


def test_colours():
    assert class_colors_or_default(["a"] * 9, None).shape == (9, 3)
    assert class_colors_or_default(["a"], ["#0a0B0c"]).tolist() == [[10, 11, 12]]
    for wrong in ("red", (1, 2), (1, 2, 300), 7):
        with pytest.raises(SettingsError):
            class_colors_or_default(["a"], [wrong])


def test_overlay(tmp_path):
    image = image_from_array(RNG.integers(0, 60000, (200, 300), dtype=np.uint16))
    labels = np.zeros((200, 300), np.uint8)
    labels[:100, :150], labels[100:, 150:] = 1, 3
    path = write_overlay(tmp_path / "o.png", image, labels, NAMES, [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
    picture = read_image(path, databar=0).data
    assert picture.shape[1] == 300
    assert picture.shape[0] > 210  # the legend
    red = picture[10:90, 10:140].astype(int)
    assert (red[..., 0] - red[..., 1]).mean() == pytest.approx(0.35 * 255, abs=3)
    np.testing.assert_array_equal(picture[10, 160], picture[10, 160, 0])  # unlabelled stays grey
    np.testing.assert_array_equal(picture[50, 149], (255, 0, 0))  # boundary
    legend = picture[200:].reshape(-1, 3)
    assert all((legend == color).all(axis=1).sum() > 50 for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))


def test_wide_overlay_is_reduced(tmp_path):
    wide = image_from_array(np.tile(np.arange(5000, dtype=np.uint16), (30, 1)))
    path = write_overlay(tmp_path / "o.png", wide, np.ones(wide.shape, np.uint8), ["a"])
    assert read_image(path).shape[1] == 2500
