"""Pixel sizes as the microscopes' software writes them, and data bars found by their metadata or their pixels."""

from __future__ import annotations

import os
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image as pillow
from PIL import ImageDraw, ImageFont

from fijibridge.errors import ImageError
from fijibridge.images import PixelSize, find_databar, image_from_array, read_image

DATA = Path(os.environ.get("FIJIBRIDGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
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


# --- data bars -------------------------------------------------------------------------------------------------------


def bar(width, height, paper, ink, separator):
    strip = pillow.new("L", (width, height), paper)
    draw, font, x = ImageDraw.Draw(strip), ImageFont.load_default(max(9, int(height * 0.45))), 5
    for text in ("HV 15.00 kV", "WD 4.1 mm", "mag 20 000 x", "det ETD", "10 um"):
        draw.text((x, height * 0.2), text, fill=ink, font=font)
        x += int(font.getlength(text)) + 10
        if separator is not None:
            draw.line((x - 4, 0, x - 4, height), fill=separator)
    if separator is not None:
        draw.line((0, 0, width, 0), fill=separator, width=2)
    draw.rectangle((width * 0.7, height * 0.85, width * 0.95, height * 0.9), fill=ink)
    return np.asarray(strip)


def micrograph(kind, shape=(480, 600)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    smooth = 128 + 60 * np.sin(x / 17) * np.cos(y / 23)
    noise = RNG.normal(0, {"clean": 0, "noisy": 15}[kind], shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["clean", "noisy"])
@pytest.mark.parametrize("share", [0.03, 0.06, 0.12])
@pytest.mark.parametrize(("paper", "ink", "separator"), [(0, 255, None), (255, 0, None), (0, 255, 128), (255, 0, 128)])
def test_finds_data_bars(tmp_path, kind, share, paper, ink, separator):
    field = micrograph(kind)
    rows = int(field.shape[0] * share)
    full = np.vstack([field, bar(field.shape[1], rows, paper, ink, separator)])
    assert find_databar(full) == rows
    assert find_databar(full.astype(np.uint16) * 257) == rows
    assert find_databar(np.stack([full] * 3, axis=2)) == rows
    pillow.fromarray(full).save(tmp_path / "a.jpg", quality=85)
    assert abs(read_image(tmp_path / "a.jpg").databar_rows - rows) <= 2
    assert image_from_array(full, databar="auto").databar_rows == rows
    assert image_from_array(full).databar_rows == 0


def test_finds_no_bar_where_there_is_none():
    shape = (512, 600)
    y, x = np.mgrid[: shape[0], : shape[1]]
    grain = RNG.integers(50, 200, shape)
    images = {
        "flat": np.full(shape, 7),
        "noise": RNG.integers(0, 256, shape),
        "gradient down": y / 2,
        "gradient across": x / 3,
        "black below": np.where(y > 460, 0, grain),
        "dark below": np.where(y > 460 + 5 * np.sin(x / 30), RNG.poisson(0.2, shape), grain),
        "particles below": np.where(y > 460 + 3 * np.sin(x / 9), 0, 200) * (RNG.random(shape) > 0.1),
        "binary": (RNG.random(shape) > 0.95) * 255,
        "small": bar(200, 30, 0, 255, None),
        "clean": micrograph("clean"),
        "noisy": micrograph("noisy"),
    }
    found = {name: find_databar(np.asarray(image).astype(np.uint8)) for name, image in images.items()}
    found["float"] = find_databar(RNG.normal(size=shape).astype(np.float32))
    assert found == dict.fromkeys(found, 0)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="no shared micrographs: set FIJIBRIDGE_DATA")
def test_real_micrographs_have_no_bar():
    folders = ("superalloy", "coating", "interactive", "positional_bias")
    paths = [path for folder in folders for path in sorted((DATA / folder).glob("*.png"))]
    paths = [path for path in paths if not path.stem.endswith(("_labels", "_truth"))]
    assert len(paths) >= 15
    assert {path.name: read_image(path).databar_rows for path in paths} == {path.name: 0 for path in paths}
