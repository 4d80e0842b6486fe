"""numpy to ImageJ and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fijibridge import jvm
from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.images.image import PixelSize
from fijibridge.jvm import transfer

pytestmark = pytest.mark.usefixtures("java")
_few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_KINDS = {np.uint8: 8, np.uint16: 16, np.float32: 32}


def _arrays(dtype, shapes):
    elements = st.floats(width=32) if dtype == np.float32 else None
    return hnp.arrays(dtype, shapes, elements=elements)


def _grey_shapes():
    # 3 in the last place of a uint8 array would be RGB.
    side = st.integers(1, 9).filter(lambda n: n != 3)
    return st.one_of(st.tuples(side, side), st.tuples(side, side, side))


def _rgb_shapes():
    side = st.integers(1, 7)
    return st.one_of(st.tuples(side, side, st.just(3)), st.tuples(st.integers(2, 4), side, side, st.just(3)))


@pytest.mark.parametrize("dtype", _KINDS)
@given(data=st.data())
@_few
def test_grey_round_trip(dtype, data):
    array = data.draw(_arrays(dtype, _grey_shapes()))
    image = jvm.to_imageplus(array)
    assert image.getBitDepth() == _KINDS[dtype]
    assert not image.getStack().isVirtual()
    back, size = jvm.from_imageplus(image)
    assert size is None
    assert back.dtype == dtype
    squeezed = array[0] if array.ndim == 3 and len(array) == 1 else array  # ImageJ has no stack of one slice
    np.testing.assert_array_equal(back, squeezed)


@given(array=hnp.arrays(np.uint8, _rgb_shapes()))
@_few
def test_rgb_round_trip(array):
    image = jvm.to_imageplus(array)
    assert image.getBitDepth() == 24
    np.testing.assert_array_equal(jvm.from_imageplus(image)[0], array)


@pytest.mark.parametrize("dtype", _KINDS)
def test_pixels_sit_where_imagej_looks(dtype):
    array = np.arange(2 * 4 * 5).reshape(2, 4, 5).astype(dtype) + dtype(200)
    image = jvm.to_imageplus(array)
    assert (image.getWidth(), image.getHeight(), image.getNSlices()) == (5, 4, 2)
    assert image.getStack().getProcessor(2).getf(3, 1) == array[1, 1, 3]


def test_rgb_pixel_as_imagej_reads_it():
    array = np.zeros((2, 2, 3), np.uint8)
    array[1, 0] = 10, 20, 250
    assert jvm.to_imageplus(array).getProcessor().getPixel(0, 1) & 0xFFFFFFFF == 0xFF0A14FA


@pytest.mark.parametrize(
    "change",
    [lambda a: a[::2, ::-1], lambda a: a.T, np.asfortranarray, lambda a: a.astype(a.dtype.newbyteorder()), list],
    ids=["strided", "transposed", "fortran", "other byte order", "a list of planes"],
)
@pytest.mark.parametrize("dtype", _KINDS)
def test_any_memory_order(change, dtype):
    array = change(np.arange(6 * 7 * 8).astype(dtype).reshape(6, 7, 8))
    np.testing.assert_array_equal(jvm.from_imagestack(jvm.to_imagestack(array)), np.asarray(array))


def test_read_only_input_and_independent_copies():
    array = np.ones((4, 5), np.float32)
    array.flags.writeable = False
    image = jvm.to_imageplus(array)
    image.getProcessor().setf(0, 0, 9)
    assert array[0, 0] == 1
    back, _ = jvm.from_imageplus(image)
    image.getProcessor().setf(0, 0, 5)
    assert back[0, 0] == 9


def test_planes_larger_than_a_step(monkeypatch):
    monkeypatch.setattr(transfer, "_STEP", 7)
    array = np.arange(2 * 5 * 9, dtype=np.float32).reshape(2, 5, 9)
    np.testing.assert_array_equal(jvm.from_imagestack(jvm.to_imagestack(array)), array)


@pytest.mark.parametrize("count", [1, 15, 16, 40])
def test_features_to_imagestack(count):
    array = np.random.default_rng(0).normal(size=(5, 6, count)).astype(np.float32)
    stack = jvm.features_to_imagestack(array, [f"vit_{i}" for i in range(count)])
    np.testing.assert_array_equal(np.moveaxis(jvm.from_imagestack(stack), 0, 2), array)
    assert [str(stack.getSliceLabel(i + 1)) for i in range(count)] == [f"vit_{i}" for i in range(count)]


@pytest.mark.parametrize("size", [PixelSize(2.5, 3.5, "nm"), PixelSize(0.1, 0.2, "um", z=0.4)])
def test_calibration(size):
    image = jvm.to_imageplus(np.zeros((3, 4, 5), np.float32), title="t", pixel_size=size)
    assert str(image.getTitle()) == "t"
    back = jvm.from_imageplus(image)[1]
    assert (back.y, back.x, back.unit) == (size.y, size.x, size.unit)
    assert back.z == (size.z or 1.0)  # ImageJ has no "unknown" for the depth of a stack
    flat = jvm.to_imageplus(np.zeros((4, 5), np.uint8), pixel_size=size)
    assert jvm.from_imageplus(flat)[1] == PixelSize(size.y, size.x, size.unit)


def test_slice_labels():
    image = jvm.to_imageplus(np.zeros((2, 4, 5), np.uint16), labels=["a", "b"])
    assert [str(image.getStack().getSliceLabel(i)) for i in (1, 2)] == ["a", "b"]
    with pytest.raises(SettingsError, match="one label a plane"):
        jvm.to_imagestack(np.zeros((2, 4, 5), np.uint16), ["a"])


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64, np.int8, bool, np.float16, np.complex64])
def test_other_dtypes_name_the_conversion(dtype):
    with pytest.raises(SettingsError, match=r"uint8, uint16 or float32[\s\S]*convert"):
        jvm.to_imageplus(np.zeros((4, 5), dtype))


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5), (0, 5), (2, 0, 5)])
def test_shapes_that_are_no_image(shape):
    with pytest.raises(SettingsError, match="shape"):
        jvm.to_imageplus(np.zeros(shape, np.uint16))


def test_colour_table_becomes_rgb(java):
    IJ = java.jclass("ij.IJ")
    image = jvm.to_imageplus(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16)
    IJ.run(image, "3-3-2 RGB", "")
    assert jvm.from_imageplus(image)[0].shape == (4, 4, 3)
    # a colour map only shows values, here as in a file that ImageJ saves
    IJ.run(image, "Fire", "")
    np.testing.assert_array_equal(jvm.from_imageplus(image)[0], np.arange(16, dtype=np.uint8).reshape(4, 4) * 16)


def test_hyperstacks(java):
    IJ = java.jclass("ij.IJ")
    image = jvm.to_imageplus(np.zeros((6, 4, 5), np.uint8))
    image.setDimensions(1, 1, 6)
    assert jvm.from_imageplus(image)[0].shape == (6, 4, 5)
    image.setDimensions(2, 3, 1)
    with pytest.raises(ImageError, match="2 channels x 3 slices"):
        jvm.from_imageplus(image)
    assert IJ is not None


def test_virtual_stack_is_read(java, tmp_path):
    array = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    image = jvm.to_imageplus(array)
    path = str(tmp_path / "stack.tif")
    java.jclass("ij.IJ").saveAsTiff(image, path)
    virtual = java.jclass("ij.plugin.FileInfoVirtualStack").openVirtual(path)
    assert virtual.getStack().isVirtual()
    np.testing.assert_array_equal(jvm.from_imageplus(virtual)[0], array)
    virtual.close()
