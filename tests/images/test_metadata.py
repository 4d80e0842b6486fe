"""Pixel sizes as the microscopes' software writes them, and the data bars that it tells of."""

from __future__ import annotations

import os
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import ImageError
from fijibridge.images.image import PixelSize, read_image

DATA = Path(os.environ.get("FIJIBRIDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
RNG = np.random.default_rng(0)


def pixels(shape=(40, 50), dtype=np.uint8):
    if np.dtype(dtype).kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


# --- pixel size ------------------------------------------------------------------------------------------------------


def test_unit_spellings():
    assert {PixelSize(1, 1, unit).unit for unit in ("um", "\u00b5m", "\u03bcm", "\\u00B5m", "micron")} == {"\u00b5m"}
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ImageError):
            PixelSize(wrong, 1, "nm")
    with pytest.raises(ImageError):
        PixelSize(1, 1, " ")


def vendor_tiff(path, tag, text, shape=(100, 80), **options):
    content = text.encode("latin-1") + b"\0"
    # As bytes, for an ASCII tag may not hold the micro sign.
    tifffile.imwrite(path, pixels(shape), extratags=[(tag, 1, len(content), content, True)], metadata=None, **options)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 5.5 nm\r\nAP_PIXEL_SIZE\r\nPixel Size = 2 nm\r\n", (5.5, "nm")),
        ("AP_PIXEL_SIZE\r\nPixel Size = 1.25 \u00b5m\r\n", (1.25, "µm")),
        ("AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 950 pm\r\n", (0.95, "nm")),
        ("AP_WD\r\nWD = 4.1 mm\r\n", None),
    ],
)
def test_zeiss(tmp_path, text, expected):
    size = read_image(vendor_tiff(tmp_path / "z.tif", 34118, "\r\n0\r\n" + text)).pixel_size
    assert (size and (size.x, size.unit)) == expected
    assert size is None or size.x == size.y


def test_fei(tmp_path):
    text = "[Scan]\r\nPixelWidth=2e-008\r\nPixelHeight=2.5e-008\r\n[Image]\r\nResolutionX=80\r\nResolutionY={}\r\n"
    image = read_image(vendor_tiff(tmp_path / "f.tif", 34682, text.format(90)))
    assert image.pixel_size == PixelSize(25, 20, "nm")
    assert image.databar_rows == 10
    assert read_image(tmp_path / "f.tif", databar=0).databar_rows == 0
    # Metadata of the image before it was cut to another size do not count.
    assert read_image(vendor_tiff(tmp_path / "g.tif", 34682, text.format(30))).databar_rows == 0
    assert read_image(vendor_tiff(tmp_path / "h.tif", 34680, text.format(100))).databar_rows == 0


def test_tescan(tmp_path):
    text = "\x00\x01[MAIN]\r\nImageStripSize=12\r\nPixelSizeX=1.5e-7\r\nPixelSizeY=3e-7\r\n"
    image = read_image(vendor_tiff(tmp_path / "t.tif", 50431, text))
    assert image.pixel_size == PixelSize(0.3, 0.15, "µm")
    assert image.databar_rows == 12
    iio.imwrite(tmp_path / "p.png", pixels((100, 80)))
    (tmp_path / "p-png.hdr").write_text("[MAIN]\nPixelSizeX=5e-9\nPixelSizeY=5e-9\n")
    assert read_image(tmp_path / "p.png").pixel_size == PixelSize(5, 5, "nm")


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((72, 72), "inch", None),
        ((300, 300), "inch", None),
        ((118.11, 118.11), "centimeter", None),
        ((1e6, 5e5), "centimeter", PixelSize(20, 10, "nm")),
        ((254000, 254000), "inch", PixelSize(0.1, 0.1, "µm")),
        ((1e6, 1e6), "none", None),
    ],
)
def test_resolution_tags(tmp_path, resolution, unit, expected):
    tifffile.imwrite(tmp_path / "a.tif", pixels(), resolution=resolution, resolutionunit=unit)
    assert read_image(tmp_path / "a.tif").pixel_size == expected


def test_imagej_without_scale(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels(), imagej=True, resolution=(1, 1), metadata={"unit": "pixel"})
    assert read_image(tmp_path / "a.tif").pixel_size is None
