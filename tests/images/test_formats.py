"""What is opened, by content; what is refused, before it costs anything; which pages and frames are the image."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image as pillow

from fijibridge.core.errors import BridgeError, ImageError, ImageNotFoundError
from fijibridge.images.image import (
    count_frames,
    count_slices,
    image_from_array,
    read_image,
    read_slices,
    read_stored,
    reading_notes,
)
from fijibridge.images.writing import write_labels, write_probabilities
from fijibridge.phases.reading import read_phases

CASES = Path(os.environ.get("FIJIBRIDGE_CASES", Path(__file__).parents[3] / "shared" / "cases"))
RNG = np.random.default_rng(0)
WAYS_IN = (read_image, read_stored, count_slices, lambda path: list(read_slices(path)), read_phases)


def refused(path, *words, ways=WAYS_IN):
    for ask in ways:
        with pytest.raises(BridgeError) as error:
            ask(path)
        assert all(word in str(error.value) for word in words), str(error.value)


def png(width, height, data=b"\0" * 99):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.eps"])
def test_postscript_is_never_run(tmp_path, name, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **more: pytest.fail("an interpreter was started"))
    for text in (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", b"\xc5\xd0\xd3\xc6" + b"\0" * 60):
        (tmp_path / name).write_bytes(text)
        refused(tmp_path / name, "PostScript", "not supported")


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("a.dm3", b"\0\0\0\x05", ("DigitalMicrograph", "Bio-Formats")),
        ("a.mrc", b"\0" * 208 + b"MAPS", ("MRC", "MAP")),
        ("a.npy", b"\x93NUMPY", ("NumPy", "numpy.load")),
        ("a.ser", b"II\x97\x01", ("TIA",)),
        ("a.czi", b"ZISRAWFILE", ("CZI",)),
        ("a.zip", b"PK\x03\x04", ("zip", "unpack")),
        ("a.raw", b"\x07\x07", ("raw numbers", "Import > Raw")),
        ("a.csv", b"1,2,3\n", ("text", "Text Image")),
        ("a.tif", b"some words", ("no format",)),
        ("a.tif", b"%PDF", ("a PDF",)),  # whatever its name
    ],
)
def test_formats_that_are_not_supported(tmp_path, name, start, words):
    (tmp_path / name).write_bytes(start + b"\0" * 600)
    refused(tmp_path / name, "supported", *words)
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / name)
    assert "damaged" not in str(error.value)
    assert "truncated" not in str(error.value)


@pytest.mark.parametrize("start", [b"\0\0\0\x03", b"\0\0\0\x04", b"\0" * 208 + b"MAP ", b"\x89HDF\r\n\x1a\n"])
def test_nothing_but_how_a_format_begins(tmp_path, start):
    (tmp_path / "a.tif").write_bytes(start + b"\0" * 1200)
    refused(tmp_path / "a.tif", "a.tif", "cannot be read", "remedy")


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF", "PPM", "TIFF"])
def test_the_content_counts_not_the_name(tmp_path, form):
    data = RNG.integers(0, 255, (20, 30), np.uint8)
    pillow.fromarray(data).save(tmp_path / "a", form)
    (tmp_path / "a").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg").data, data)


def test_pipes_devices_and_names(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "pipe")
    refused(Path("/dev/zero"), "device")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        refused(tmp_path / "s", "pipe or a device")
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    for name in ("loop.tif", "a" * 3000, "a\0b.tif"):
        with pytest.raises(ImageNotFoundError):
            read_image(f"{tmp_path}/{name}")


@pytest.mark.parametrize("side", [40_000, 1_000_000_000])
def test_size_is_checked_before_memory_is_taken(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png(side, side))
    refused(tmp_path / "a.png", "GiB", f"{side} x {side}")
    data = zlib.compress(b"\0" * 999)
    tags = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 273: 122, 277: 1, 278: side, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags.items())
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, 9) + entries + struct.pack("<I", 0) + data)
    refused(tmp_path / "a.tif", "GiB", f"{side} x {side}")


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"contiguous": False}, {"metadata": None}], ids=str)
def test_pages_written_one_by_one_are_one_stack(tmp_path, options):
    stack = RNG.integers(0, 60000, (4, 20, 30), np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in stack:
            writer.write(plane, **options)
    assert count_slices(tmp_path / "a.tif") == 4
    np.testing.assert_array_equal([image.data for image in read_slices(tmp_path / "a.tif")], stack)
    assert reading_notes(tmp_path / "a.tif") == []


def pictures():
    coarse = np.kron(RNG.integers(20, 230, (12, 16)), np.ones((10, 10)))
    raw = np.clip(coarse * 257 + RNG.normal(0, 900, coarse.shape), 0, 65535).astype(np.uint16)
    drawn = np.stack([(raw >> 8).astype(np.uint8)] * 3, axis=2)
    drawn[-12:-6, 8:60] = 255
    return drawn, raw


@pytest.mark.parametrize("kind", ["colour", "thumbnail", "8 bits", "8 bits of 8"])
def test_a_preview_gives_way_to_the_raw_page(tmp_path, kind):
    drawn, raw = pictures()
    preview = {"colour": drawn, "thumbnail": drawn[::2, ::2], "8 bits": drawn[..., 0], "8 bits of 8": drawn}[kind]
    data = drawn[..., 1] * np.uint8(1) if kind == "8 bits of 8" else raw
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(preview, metadata=None, photometric="rgb" if preview.ndim == 3 else "minisblack")
        writer.write(data, metadata=None, photometric="minisblack")
    image = read_image(tmp_path / "a.tif", databar=0)
    np.testing.assert_array_equal(image.data, data)
    assert "preview" in image.notes[0]
    assert "--page" in image.notes[0]
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", databar=0, page=0).data, preview)
    np.testing.assert_array_equal(read_stored(tmp_path / "a.tif", page=1), data)
    assert count_slices(tmp_path / "a.tif", page=1) == 1
    with pytest.raises(ImageError, match="2 page"):
        read_image(tmp_path / "a.tif", page=2)


def test_a_page_that_says_that_it_is_reduced(tmp_path):
    drawn, raw = pictures()
    for order in ((drawn[::2, ::2], raw), (raw, drawn[::2, ::2])):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for data in order:
                small = data is not raw
                kind = "rgb" if small else "minisblack"
                writer.write(data, metadata=None, photometric=kind, subfiletype=int(small))
        image = read_image(tmp_path / "a.tif", databar=0)
        np.testing.assert_array_equal(image.data, raw)
        assert bool(image.notes) == (order[1] is raw)
        for page, data in enumerate(order):
            np.testing.assert_array_equal(read_stored(tmp_path / "a.tif", page=page), data)
    tifffile.imwrite(tmp_path / "a.tif", raw, subfiletype=1, metadata=None)  # there is no other
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", databar=0).data, raw)


def test_what_lies_behind_the_image_stays_there(tmp_path):
    drawn, raw = pictures()
    for other in ((raw > 30000).astype(np.uint8), RNG.integers(0, 65535, raw.shape, np.uint16)):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            writer.write(drawn, metadata=None, photometric="rgb")
            writer.write(other, metadata=None, photometric="minisblack")
        image = read_image(tmp_path / "a.tif", databar=0)
        np.testing.assert_array_equal(image.data, drawn)
        assert "not read" in image.notes[0]


# --- time, slices, folders -------------------------------------------------------------------------------------------


def test_time_is_no_depth(tmp_path):
    data = RNG.integers(0, 3, (3, 2, 12, 14), np.uint8)
    for axes, stack in (("TYX", data[:, 0]), ("TZYX", data)):
        path = tmp_path / f"{axes}.tif"
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": axes})
        assert (count_slices(path), count_frames(path)) == (stack.size // 168, 3)
        np.testing.assert_array_equal([image.data for image in read_slices(path)], stack.reshape(-1, 12, 14))
        refused(path, "time is no depth", ways=(read_phases,))
        count = count_slices(path)
        write_labels(tmp_path / "l.tif", stack.reshape(-1, 12, 14), class_names=["a", "b"], frames=3)
        shares = RNG.random((count, 12, 14, 2)).astype(np.float32)
        write_probabilities(tmp_path / "p.tif", shares, class_names=["a", "b"], frames=3)
        with tifffile.TiffFile(tmp_path / "l.tif") as labels, tifffile.TiffFile(tmp_path / "p.tif") as probabilities:
            assert (labels.series[0].axes, labels.series[0].shape) == (axes, stack.shape)
            assert probabilities.series[0].axes == axes.replace("YX", "CYX")
    tifffile.imwrite(tmp_path / "z.ome.tif", data.swapaxes(0, 1), metadata={"axes": "ZTYX"})
    np.testing.assert_array_equal(
        [image.data for image in read_slices(tmp_path / "z.ome.tif")], data.reshape(-1, 12, 14)
    )
    tifffile.imwrite(tmp_path / "v.tif", data[0], imagej=True, metadata={"axes": "ZYX"})
    assert count_frames(tmp_path / "v.tif") == 1
    assert read_phases(tmp_path / "v.tif")[0].ndim == 3


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize("name", ["s_{:04d}", "s{}", "run2_{}_20nm", "{}"])
def test_a_folder_of_numbered_slices_is_a_volume(tmp_path, suffix, name):
    labels = RNG.integers(1, 4, (12, 9, 11), np.uint8)
    for number, plane in enumerate(labels, start=1):
        iio.imwrite(tmp_path / f"{name.format(number)}.{suffix}", plane)
    (tmp_path / "notes.txt").write_text("mine")
    phases, _, _ = read_phases(tmp_path)
    np.testing.assert_array_equal(np.asarray(phases.index) + 1, labels)
    assert "12 slices" in reading_notes(tmp_path)[0]


def test_folders_that_are_no_volume(tmp_path):
    data = np.ones((9, 11), np.uint8)
    refused(tmp_path, "without images")
    iio.imwrite(tmp_path / "s_1.png", data)
    refused(tmp_path, "1 image")
    for number in (2, 4):
        iio.imwrite(tmp_path / f"s_{number}.png", data)
    refused(tmp_path, "3 is missing")
    iio.imwrite(tmp_path / "s_3.png", data[:5])
    refused(tmp_path, "s_3.png is 11 x 5", ways=(read_phases,))
    iio.imwrite(tmp_path / "s_3.png", data)
    iio.imwrite(tmp_path / "overview.png", data)
    refused(tmp_path, "overview.png")
    (tmp_path / "a.zarr").mkdir()
    refused(tmp_path / "a.zarr", "zarr", "copy the store again")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "zarr.json").write_text("{}")
    refused(tmp_path / "b", "zarr", "without an image")


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(256, 1), (1, 256), (1, 1), (3, 1), (4, 1)])
@pytest.mark.parametrize("count", [1, 3])
def test_one_pixel_wide(tmp_path, shape, count):
    stack = RNG.integers(0, 3, (count, *shape), np.uint8)
    path = write_labels(tmp_path / "l.tif", stack, class_names=["a", "b"])
    np.testing.assert_array_equal([image.data for image in read_slices(path)], stack)
    shares = RNG.random((count, *shape, 2)).astype(np.float32)
    write_probabilities(tmp_path / "p.tif", shares, class_names=["a", "b"])
    with tifffile.TiffFile(tmp_path / "p.tif") as tif:
        assert tif.series[0].kind == "imagej"
        np.testing.assert_array_equal(tif.asarray().reshape(count, 2, *shape), np.moveaxis(shares, -1, 1))


def test_float64_far_from_zero_is_told(tmp_path, caplog):
    micrograph = RNG.normal(128, 30, (20, 20))
    tifffile.imwrite(tmp_path / "a.tif", micrograph + 1e12)
    image = read_image(tmp_path / "a.tif")
    assert "rounded to float32" in image.notes[0]
    assert "rounded to float32" in caplog.text
    for fine in (micrograph, micrograph * 1e-12, micrograph + 1000):
        assert image_from_array(fine).notes == ()


def test_signed_values_through_imagej(tmp_path):
    data = RNG.integers(-5000, 5000, (20, 30), np.int16)
    tifffile.imwrite(tmp_path / "a.tif", data)
    text = "ImageJ=1.54p\nunit= \ncf=0\nc0=-32768.0\nc1=1.0\nvunit=Gray Value\n"
    saved = (data.astype(np.int32) + 32768).astype(np.uint16)
    tifffile.imwrite(tmp_path / "b.tif", saved, description=text, metadata=None)
    for name in "ab":
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.tif").data, data.astype(np.float32))


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared cases: set FIJIBRIDGE_CASES")
def test_cases():
    for name in ("micrograph.png", "loop.png"):
        refused(CASES / "attacks" / "01_eps_runs_ghostscript" / name, "PostScript")
    for name in ("png_1e9.png", "tiff_1e6_deflate.tif"):
        refused(CASES / "attacks" / "09_bombs" / name, "GiB")
    assert read_image(CASES / "attacks/14_one_pixel_wide/imNx1.tif").shape == (256, 1)
    assert read_image(CASES / "attacks/16_float64_offset/f64_offset_1e12.tif").notes
    signed = CASES / "16_int16_differs_through_imagej"
    np.testing.assert_array_equal(read_image(signed / "image.tif").data, read_image(signed / "resaved.tif").data)
    assert read_image(CASES / "18_preview_page_before_raw/image.tif").data.dtype == np.uint16
    for name, slices in (("t", 3), ("tz", 6)):
        path = CASES / "23_time_axis_becomes_z" / f"{name}.tif"
        assert (count_slices(path), count_frames(path)) == (slices, 3)
        refused(path, "time", ways=(read_phases,))
    assert count_slices(CASES / "25_folder_of_slices" / "slices") == 4
