"""Pixel sizes as many programs write them: each in its own way, none of a screen, all of the image at hand."""

from __future__ import annotations

import os
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image as pillow

from fijibridge.images.image import PixelSize, read_image

CASES = Path(os.environ.get("FIJIBRIDGE_CASES", Path(__file__).parents[3] / "shared" / "cases"))
RNG = np.random.default_rng(0)
NM20 = PixelSize(20, 20, "nm")


def tagged(path, tag, text, shape=(96, 128), **options):
    content = text if isinstance(text, bytes) else text.encode("latin-1") + b"\0"
    data = RNG.integers(0, 255, shape, np.uint8)
    tifffile.imwrite(path, data, extratags=[(tag, 1, len(content), content, True)], metadata=None, **options)
    return path


def imagej(path, description, pixels=(0.05, 0.05), count=1):
    data = RNG.integers(0, 255, (count, 12, 16), np.uint8)
    tifffile.imwrite(
        path, data, description="ImageJ=1.54p\n" + description, metadata=None, resolution=pixels, resolutionunit=1,
        photometric="minisblack",
    )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("description", "pixels", "count", "expected"),
    [
        ("unit=nm\n", (0.05, 0.05), 1, NM20),
        ("unit=nm\nyunit=\\u00B5m\n", (0.05, 50), 1, NM20),
        ("unit=\\u00B5m\nzunit=nm\nimages=4\nslices=4\nspacing=50.0\n", (50, 50), 4, PixelSize(0.02, 0.02, "µm", 0.05)),
        ("unit=\\u00B5m\nimages=4\nslices=4\n", (2, 2), 4, PixelSize(0.5, 0.5, "µm", 1.0)),
        ("unit=\\u00B5m\nzunit=nm\nimages=4\nslices=4\n", (2, 2), 4, PixelSize(0.5, 0.5, "µm", 0.001)),
        ("unit=\\u00B5m\nimages=4\nslices=4\nspacing=-3.0\n", (2, 2), 4, PixelSize(0.5, 0.5, "µm", 3)),
        ("unit=nm\nimages=4\nframes=4\nfinterval=2.0\n", (2, 2), 4, PixelSize(0.5, 0.5, "nm")),
        ("unit=nm\nyunit=sec\n", (0.05, 50), 1, None),
        ("unit=inch\n", (192, 192), 1, None),
        ("unit=inch\n", (72, 72), 1, None),
        ("unit=cm\n", (118.11, 118.11), 1, None),
        ("unit=inch\nimages=4\nslices=4\n", (9600, 9600), 4, None),
        ("unit=cm\n", (500000, 500000), 1, NM20),
        ("unit=pixel\n", (1, 1), 1, None),
        ("unit= \n", (1, 1), 1, None),
    ],
)  # fmt: skip
def test_imagej(tmp_path, description, pixels, count, expected):
    assert read_image(imagej(tmp_path / "a.tif", description, pixels, count)).pixel_size == expected


@pytest.mark.parametrize("dpi", [72, 96, 192, 300, 1200, 4800, 9600])
@pytest.mark.parametrize("form", ["tiff", "png", "jpeg", "bmp"])
def test_no_screen_and_no_scanner(tmp_path, dpi, form):
    pillow.fromarray(RNG.integers(0, 255, (20, 30), np.uint8)).save(tmp_path / f"a.{form}", dpi=(dpi, dpi))
    assert read_image(tmp_path / f"a.{form}").pixel_size is None


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        # what SmartSEM writes today, and the same copied to half the size
        ("AP_IMAGE_PIXEL_SIZE\nImage Pixel Size = 20 nm\nDP_IMAGE_STORE\nStore resolution = 128 * 96\n", (96, 128), 20),
        ("AP_IMAGE_PIXEL_SIZE\nImage Pixel Size = 20 nm\nDP_IMAGE_STORE\nStore resolution = 128 * 96\n", (48, 64), 40),
        # a crop keeps its pixels
        ("AP_IMAGE_PIXEL_SIZE\nImage Pixel Size = 20 nm\nDP_IMAGE_STORE\nStore resolution = 128 * 96\n", (30, 100), 20),
        # older versions: "Pixel Size" is the screen's, the width of the field is the image's
        ("AP_PIXEL_SIZE\nPixel Size = 5.825 nm\nAP_WIDTH\nWidth = 5.965 \u00b5m\n", (384, 512), 11.65),
        ("AP_PIXEL_SIZE\nPixel Size = 10 nm\n", (384, 512), 20),
        ("AP_PIXEL_SIZE\nPixel Size = 10 nm\n", (1536, 2048), 5),
        # a decimal comma
        ("AP_IMAGE_PIXEL_SIZE\nImage Pixel Size = 2,5 nm\n", (96, 128), 2.5),
    ],
)
def test_zeiss(tmp_path, text, shape, expected):
    size = read_image(tagged(tmp_path / "z.tif", 34118, f"\r\n0\r\n{text}", shape), databar=0).pixel_size
    assert (size.x, size.y, size.unit) == (pytest.approx(expected, rel=1e-3), size.x, "nm")


@pytest.mark.parametrize(
    ("shape", "expected", "rows"),
    [
        ((90, 128), NM20, 10), ((80, 128), NM20, 0), ((45, 64), PixelSize(40, 40, "nm"), 0),
        ((180, 256), PixelSize(10, 10, "nm"), 0), ((30, 100), NM20, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("comma", [False, True])
def test_fei_and_its_copies(tmp_path, shape, expected, rows, comma):
    text = "[Scan]\r\nPixelWidth=2.0e-008\r\nPixelHeight=2.0e-008\r\n[Image]\r\nResolutionX=128\r\nResolutionY=80\r\n"
    image = read_image(tagged(tmp_path / "f.tif", 34682, text.replace("2.0e", "2,0e") if comma else text, shape))
    assert (image.pixel_size, image.databar_rows) == (expected, rows)


def test_xml_of_phenom_and_thermo_fisher(tmp_path):
    phenom = '<FeiImage><pixelWidth unit="nm">20</pixelWidth><pixelHeight unit="nm">20</pixelHeight></FeiImage>'
    assert read_image(tagged(tmp_path / "p.tif", 34683, phenom)).pixel_size == NM20
    thermo = (
        "<Metadata><ScanSettings><ScanSize><Width>128</Width><Height>80</Height></ScanSize></ScanSettings><BinaryResult>"
        '<PixelSize><X unit="m">2E-08</X><Y unit="m">2E-08</Y></PixelSize></BinaryResult></Metadata>'
    )
    image = read_image(tagged(tmp_path / "t.tif", 34683, thermo, (90, 128)))
    assert (image.pixel_size, image.databar_rows) == (NM20, 10)
    assert read_image(tagged(tmp_path / "u.tif", 34683, thermo, (45, 64))).pixel_size == PixelSize(40, 40, "nm")


@pytest.mark.parametrize("suffix", ["tif", "jpg", "bmp", "png"])
def test_texts_beside_the_image(tmp_path, suffix):
    data = RNG.integers(0, 255, (96, 128), np.uint8)
    jeol = "$CM_FORMAT JEOL-SEM\n$CM_FULL_SIZE 128 90\n$$SM_MICRON_BAR 50\n$$SM_MICRON_MARKER 1um\n"
    hitachi = "[SemImageFile]\nDataSize=128x90\nPixelSize=20.0\n"
    for name, text in (("jeol", jeol), ("hitachi", hitachi), ("comma", hitachi.replace("20.0", "20,0"))):
        iio.imwrite(tmp_path / f"{name}.{suffix}", data)
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-16" if name == "comma" else "latin-1")
        image = read_image(tmp_path / f"{name}.{suffix}")
        assert image.pixel_size == NM20
        assert image.databar_rows == 6
    iio.imwrite(tmp_path / f"half.{suffix}", data[:48, :64])
    (tmp_path / "half.txt").write_text(jeol)
    assert read_image(tmp_path / f"half.{suffix}", databar=0).pixel_size == PixelSize(40, 40, "nm")
    iio.imwrite(tmp_path / f"notes.{suffix}", data)
    (tmp_path / "notes.txt").write_text("PixelSize=3")  # a user's own
    assert read_image(tmp_path / f"notes.{suffix}").pixel_size is None


def test_gatan(tmp_path):
    data = RNG.integers(0, 255, (96, 128), np.uint8)
    for unit, scale in (("nm", 20.0), ("µm", 0.02), ("um", 0.02)):
        text = unit.encode("latin-1") + b"\0"
        units = [(code, 1, len(text), text, True) for code in (65003, 65004)]
        scales = [(code, 12, 1, scale, True) for code in (65009, 65010)]
        tifffile.imwrite(tmp_path / "g.tif", data, extratags=units + scales, metadata=None)
        assert read_image(tmp_path / "g.tif").pixel_size == NM20, unit


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"PhysicalSizeX": 20.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 20.0, "PhysicalSizeYUnit": "nm"}, NM20),
        ({"PhysicalSizeX": 0.02, "PhysicalSizeY": 0.02}, NM20),  # micrometres are the default
        ({"PhysicalSizeX": 20.0, "PhysicalSizeXUnit": "pixel"}, None),
        ({}, None),
    ],
)
def test_ome(tmp_path, metadata, expected):
    data = RNG.integers(0, 255, (96, 128), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, metadata={"axes": "YX", **metadata})
    assert read_image(tmp_path / "a.ome.tif").pixel_size == expected
    if metadata.get("PhysicalSizeXUnit") == "nm":
        more = {"axes": "ZYX", "PhysicalSizeZ": 0.05, **metadata}
        tifffile.imwrite(tmp_path / "z.ome.tif", np.stack([data] * 3), ome=True, metadata=more)
        assert read_image(tmp_path / "z.ome.tif").pixel_size == PixelSize(20, 20, "nm", 50)


def test_a_scaled_copy_with_tescans_tags(tmp_path):
    rows, text = 60, "[MAIN]\r\nImageStripSize=60\r\nPixelSizeX=2e-8\r\nPixelSizeY=2e-8\r\n"
    from test_databars import bar, micrograph

    full = np.vstack([micrograph("noisy", (708, 1024)), bar(1024, rows, 96, 255, 0)])
    for share in (1, 0.75, 0.5):
        size = (int(1024 * share), int(768 * share))
        copy = np.asarray(pillow.fromarray(full).resize(size, pillow.Resampling.LANCZOS))
        content = text.encode()
        tifffile.imwrite(tmp_path / "t.tif", copy, extratags=[(50431, 1, len(content), content, True)], metadata=None)
        image = read_image(tmp_path / "t.tif")
        # where the bar cannot be read any more, nothing is believed
        assert image.databar_rows <= rows * share + 1
        if image.pixel_size is not None or share == 1:
            assert (image.pixel_size.x, image.pixel_size.unit) == (pytest.approx(20 / share), "nm")


def test_what_fiji_exports_has_the_size_of_its_original(tmp_path):
    text = "[Scan]\r\nPixelWidth=2e-8\r\nPixelHeight=2e-8\r\n[Image]\r\nResolutionX=128\r\nResolutionY=86\r\n"
    original = tagged(tmp_path / "original.tif", 34682, text, resolution=(192, 192), resolutionunit=2)
    data = tifffile.imread(original)
    for name, values, unit, expected in (
        ("same", data, "inch", NM20), ("own", data, "nm", PixelSize(2, 2, "nm")), ("crop", data[:50], "inch", None),
    ):  # fmt: skip
        path = tmp_path / f"{name}.tif"
        pixels = (192, 192) if unit == "inch" else (0.5, 0.5)
        tifffile.imwrite(path, values, imagej=True, resolution=pixels, metadata={"unit": unit})
        assert read_image(path, databar=0).pixel_size == (None if unit == "inch" else expected)
        path.with_name(f"{name}.tif.original").write_text(str(original))
        image = read_image(path)
        assert image.pixel_size == expected
        assert image.databar_rows == (10 if name != "crop" else 0)


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared cases: set FIJIBRIDGE_CASES")
def test_cases():
    sizes = {
        "05_screen_dpi_as_pixel_size/resaved.tif": None,
        "05_screen_dpi_as_pixel_size/original.tif": NM20,
        "07_imagej_zunit/volume.tif": PixelSize(0.02, 0.02, "µm", 0.05),
        "07_imagej_zunit/yunit.tif": NM20,
        "08_imagej_spacing_one/volume.tif": PixelSize(0.5, 0.5, "µm", 1.0),
        **{f"17_pixel_sizes_not_read/{name}.tif": NM20 for name in ("jeol", "hitachi", "gatan", "ome.ome")},
    }
    assert {name: read_image(CASES / name).pixel_size for name in sizes} == sizes
