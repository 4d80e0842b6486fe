"""Images: real files in, one checked Image out, and every bad file refused with a remedy."""

from __future__ import annotations

import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image as pillow

from fijibridge.core.errors import ImageError, ImageNotFoundError, SettingsError
from fijibridge.images.image import (
    count_slices,
    image_from_array,
    read_image,
    read_slices,
    read_stored,
    scale_percentiles,
)

RNG = np.random.default_rng(0)


def pixels(shape=(40, 50), dtype=np.uint8):
    if np.dtype(dtype).kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def says(error, *words):
    text = str(error.value)
    assert all(word in text for word in words), text
    assert error.value.expected
    assert error.value.remedy


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"imagej": True}, {"byteorder": ">"}, {"tile": (16, 16)}], ids=str
)
def test_tiff_keeps_its_values(tmp_path, dtype, options):
    data = pixels(dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, **options)
    image = read_image(tmp_path / "a.tif")
    assert image.data.dtype == dtype
    assert image.data.dtype.isnative
    assert image.data.flags.c_contiguous
    np.testing.assert_array_equal(image.data, data)
    assert (image.name, image.path, image.shape) == ("a", tmp_path / "a.tif", (40, 50))
    assert image.pixel_size is None


@pytest.mark.parametrize("compression", ["lzw", "packbits", "zlib"])
def test_compressed_tiff_or_a_remedy(tmp_path, compression):
    pytest.importorskip("imagecodecs")
    data = pixels(dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, data)


def test_missing_decoder_names_the_package(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", pixels())

    def asarray(self, **options):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    tifffile.imwrite(tmp_path / "z.tif", pixels(), compression="zlib")
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / "z.tif")
    says(error, "z.tif", "pip install imagecodecs")


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint32, np.int32, np.float16, np.float64])
def test_other_types_become_float32(tmp_path, dtype):
    data = (pixels(dtype=np.uint8) // 2).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data)
    image = read_image(tmp_path / "a.tif")
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.data, data.astype(np.float32))


def test_rounding_to_float32_is_logged(caplog):
    image_from_array(np.full((4, 4), 2**24 + 1, np.uint32))
    assert "rounded" in caplog.text


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("alpha", [False, True])
def test_rgb_tiff(tmp_path, planar, alpha):
    data = pixels((40, 50, 4 if alpha else 3))
    stored = np.moveaxis(data, -1, 0) if planar == "separate" else data
    extra = {"extrasamples": ["unassalpha"]} if alpha else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, **extra)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, data[..., :3])
    np.testing.assert_allclose(image.grey, data[..., :3].mean(axis=2), rtol=1e-6)
    assert image.grey.dtype == np.float32
    assert count_slices(tmp_path / "a.tif") == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_of_equal_channels_is_the_channel(dtype):
    channel = pixels(dtype=dtype)
    np.testing.assert_array_equal(image_from_array(np.stack([channel] * 3, axis=2)).grey, channel.astype(np.float32))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_other_formats(tmp_path, name):
    data = np.full((40, 50), 100, np.uint8)
    iio.imwrite(tmp_path / name, data)
    image = read_image(tmp_path / name)
    np.testing.assert_array_equal(image.grey, data)
    assert count_slices(tmp_path / name) == 1


def test_png_16_bit_and_alpha(tmp_path):
    data = pixels(dtype=np.uint16)
    iio.imwrite(tmp_path / "a.png", data)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").data, data)
    rgba = pixels((40, 50, 4))
    iio.imwrite(tmp_path / "b.png", rgba)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").data, rgba[..., :3])
    grey = pillow.fromarray(rgba[..., 0])
    pillow.merge("LA", [grey, grey]).save(tmp_path / "c.png")
    np.testing.assert_array_equal(read_image(tmp_path / "c.png").data, rgba[..., 0])


def test_png_with_16_bits_a_channel_is_not_cut_to_8(tmp_path):
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (4).to_bytes(4, "big") * 2 + b"\x10\x02\0\0\0"
    (tmp_path / "a.png").write_bytes(header)
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / "a.png")
    says(error, "a.png", "16")


def palette_png(path, indices):
    image = pillow.fromarray(indices).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.putdata(indices.ravel().tolist())
    image.save(path)


def test_palettes(tmp_path):
    indices = RNG.integers(0, 3, (20, 30), dtype=np.uint8)
    palette_png(tmp_path / "a.png", indices)
    colours = np.zeros((3, 256), np.uint16)
    colours[0, 1] = colours[2, 2] = 65535
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colours)
    tifffile.imwrite(tmp_path / "ij.tif", indices, imagej=True, colormap=colours)
    expected = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)[indices]
    # "ij.tif" too: so ImageJ saves a.png and a.tif, and nothing in it tells whether the palette was its own choice
    for name in ("a.png", "a.tif", "ij.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name).data, expected)
        np.testing.assert_array_equal(read_stored(tmp_path / name), indices)


def test_colour_maps_only_show_values(tmp_path):
    """A map such as Fire is a way to look at 256 values, in whatever file; a palette of greys is its greys."""
    data, steps = pixels(), np.arange(256)
    fire = np.stack([np.minimum(2 * steps, 255), steps // 2, steps]).astype(np.uint16) * 257
    high_low = np.stack([steps] * 3).astype(np.uint16) * 257
    high_low[:, 0], high_low[:, 255] = (0, 0, 65535), (65535, 0, 0)
    inverse = np.stack([255 - steps] * 3).astype(np.uint16) * 257
    for colours, expected in ((fire, data), (high_low, data), (inverse, 255 - data)):
        for options in ({"photometric": "palette"}, {"imagej": True}):
            tifffile.imwrite(tmp_path / "a.tif", data, colormap=colours, **options)
            np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, expected)


def test_one_bit_and_inverted(tmp_path):
    bits = RNG.random((20, 32)) > 0.5
    pillow.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").data, bits * np.uint8(255))
    data = pixels()
    tifffile.imwrite(tmp_path / "b.tif", data, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif").data, 255 - data)


@pytest.mark.parametrize("kind", ["imagej", "plain", "pages", "compressed"])
def test_stacks(tmp_path, kind):
    stack = pixels((5, 30, 40), np.uint16)
    path = tmp_path / "s.tif"
    if kind == "imagej":
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
    elif kind == "pages":
        with tifffile.TiffWriter(path) as writer:
            for plane in stack:
                writer.write(plane, contiguous=False, metadata=None)
    else:
        tifffile.imwrite(path, stack, compression="zlib" if kind == "compressed" else None)
    assert count_slices(path) == 5
    np.testing.assert_array_equal(read_image(path, page=3).data, stack[3])
    np.testing.assert_array_equal([image.data for image in read_slices(path)], stack)
    with pytest.raises(ImageError) as error:
        read_image(path, page=5)
    says(error, "page 5", "0 to 4")


def test_stack_with_one_page_entry(tmp_path):
    """As ImageJ writes stacks above 4 GB: all slices behind one entry; a cut one must not pass as a single image."""
    stack = pixels((6, 30, 40))
    path = tmp_path / "s.tif"
    description = "ImageJ=1.54p\nimages=6\nslices=6\n"
    with tifffile.TiffWriter(path) as writer:
        writer.write(stack[0], description=description, metadata=None, contiguous=False)
    with path.open("ab") as handle:
        handle.write(stack[1:].tobytes())
    assert count_slices(path) == 6
    np.testing.assert_array_equal([image.data for image in read_slices(path)], stack)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageError) as error:
        count_slices(path)
    says(error, "truncated")


def test_rgb_stack_and_hyperstack(tmp_path):
    tifffile.imwrite(tmp_path / "rgb.tif", pixels((4, 20, 30, 3)), imagej=True, photometric="rgb")
    assert [image.data.shape for image in read_slices(tmp_path / "rgb.tif")] == [(20, 30, 3)] * 4
    tifffile.imwrite(tmp_path / "zt.tif", pixels((2, 3, 20, 30)), imagej=True, metadata={"axes": "TZYX"})
    assert count_slices(tmp_path / "zt.tif") == 6
    tifffile.imwrite(tmp_path / "c.tif", pixels((2, 20, 30)), imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / "c.tif")
    says(error, "2 channels", "Split Channels")


# --- bad input -------------------------------------------------------------------------------------------------------


def test_no_file_folder_garbage(tmp_path):
    with pytest.raises(ImageNotFoundError) as error:
        read_image(tmp_path / "none.tif")
    says(error, "none.tif")
    with pytest.raises(ImageError) as error:
        read_image(tmp_path)
    says(error, str(tmp_path), "folder")
    junk = b"junk" * 9
    for name, content in (("empty.tif", b""), ("a.tif", b"II*\0" + junk), ("a.png", junk), ("b.tif", b"x")):
        (tmp_path / name).write_bytes(content)
        for function in (read_image, count_slices, read_stored, lambda path: next(read_slices(path))):
            with pytest.raises(ImageError) as error:
                function(tmp_path / name)
            says(error, name)


@pytest.mark.parametrize("kind", ["plain", "imagej", "zlib", "pages", "single", "png", "jpg"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_truncated_files_are_refused(tmp_path, kind, share):
    stack = pixels((5, 60, 60))
    path = tmp_path / f"a.{kind if kind in ('png', 'jpg') else 'tif'}"
    if kind in ("png", "jpg"):
        iio.imwrite(path, stack[0])
    elif kind == "pages":
        with tifffile.TiffWriter(path) as writer:
            for plane in stack:
                writer.write(plane, contiguous=False, metadata=None)
    else:
        tifffile.imwrite(
            path, stack[0] if kind == "single" else stack, imagej=kind == "imagej",
            compression="zlib" if kind == "zlib" else None, metadata={"axes": "ZYX"} if kind == "imagej" else {},
        )  # fmt: skip
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError) as error:
        list(read_slices(path))
    says(error, path.name)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path, bad):
    data = pixels(dtype=np.float32)
    data[3, 4:7] = bad
    tifffile.imwrite(tmp_path / "a.tif", data)
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / "a.tif")
    says(error, "a.tif", "3 value(s)")
    with pytest.raises(ImageError):
        image_from_array(data)
    with pytest.raises(ImageError):
        image_from_array(np.full((3, 3), 1e300))  # beyond float32


@pytest.mark.parametrize(
    "array",
    [
        *(np.zeros(shape) for shape in [(0, 5), (7,), (4, 5, 5), (4, 5, 4), (2, 3, 4, 3)]),
        *(np.zeros((3, 3), dtype) for dtype in (bool, complex, object, "U1")),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_arrays_that_are_no_images(array):
    with pytest.raises(ImageError) as error:
        image_from_array(array, name="thing")
    says(error, "thing")


def test_five_channel_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels((20, 30, 5)), photometric="rgb", planarconfig="contig", metadata=None)
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / "a.tif")
    says(error, "a.tif", "(20, 30, 5)")


def test_databar_setting(tmp_path):
    iio.imwrite(tmp_path / "a.png", pixels())
    image = read_image(tmp_path / "a.png", databar="7")
    assert image.databar_rows == 7
    assert image.data[image.field].shape == (33, 50)
    assert read_image(tmp_path / "a.png", databar=0).field == slice(0, 40)
    for wrong in ("some", "-1", -1, 1.5, True, None, ""):
        with pytest.raises(SettingsError):
            read_image(tmp_path / "a.png", databar=wrong)
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / "a.png", databar=40)
    says(error, "a.png", "40")


# --- scaling ---------------------------------------------------------------------------------------------------------


def test_scale_percentiles():
    grey = (np.arange(10000).reshape(100, 100) + 30000).astype(np.float32)
    scaled = scale_percentiles(grey, 1, 99)
    assert scaled.dtype == np.float32
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert len(np.unique(scaled)) > 9000  # all 16 bits, not 256 steps
    assert not scale_percentiles(np.full((5, 5), 3.0)).any()
    mostly = np.zeros((100, 100))
    mostly[0, 0] = 5
    assert scale_percentiles(mostly)[0, 0] == 1
    with_bar = np.vstack([grey, np.full((10, 100), 65535, np.float32)])
    np.testing.assert_array_equal(scale_percentiles(with_bar, 1, 99, databar_rows=10)[:100], scaled)
    with pytest.raises(SettingsError):
        scale_percentiles(grey, 99, 1)


def test_import_is_light():
    heavy = ("torch", "jpype", "scipy", "PIL", "roifile")
    modules = "fijibridge.images.image, fijibridge.labels.labels"
    code = f"import {modules}, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pages_outside_the_stack_are_told(tmp_path, caplog):
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        for rows in (20, 20, 10, 5):
            writer.write(np.zeros((rows, 20), np.uint8), metadata=None)
        writer.write(np.zeros((8, 8), np.uint8), subfiletype=1, metadata=None)  # a preview is no slice
    assert count_slices(path) == 2
    assert "mixed.tif: 2 page(s) that make no stack" in caplog.text
    caplog.clear()
    tifffile.imwrite(path, np.zeros((3, 20, 20), np.uint8), photometric="minisblack")
    assert count_slices(path) == 3
    assert not caplog.text
