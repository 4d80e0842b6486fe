"""Data bars found by their pixels: every kind that microscopes write, and none where there is none."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow
from PIL import ImageDraw, ImageFont

from fijibridge.images.databar import look_for_databar
from fijibridge.images.image import find_databar, image_from_array, read_image

DATA = Path(os.environ.get("FIJIBRIDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
CASES = Path(os.environ.get("FIJIBRIDGE_CASES", Path(__file__).parents[3] / "shared" / "cases"))
RNG = np.random.default_rng(0)


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


# --- bars of other kinds ---------------------------------------------------------------------------------------------

TEXTS = (
    "EHT = 5.00 kV",
    "Signal A = InLens",
    "WD = 3.9 mm",
    "Mag = 50.00 K X",
    "View field: 2.56 mm",
    "Det SE",
    "10 um",
)


def lines_of_text(draw, width, height, count, ink, left=6):
    line = height / count
    font = ImageFont.load_default(max(9, int(line * 0.6)))
    for row in range(count):
        x = left
        for text in TEXTS[row:]:
            if x + font.getlength(text) > width - 4:
                break
            draw.text((x, row * line + line * 0.15), text, fill=ink, font=font)
            x += font.getlength(text) + 14


def framed(field, rows):
    """Zeiss: a white box with a frame, inset by a pixel, so that the specimen shows around it."""
    full = field.copy()
    box = pillow.new("L", (field.shape[1] - 2, rows - 1), 255)
    draw = ImageDraw.Draw(box)
    lines_of_text(draw, box.width, box.height, 2, 0)
    draw.rectangle((0, 0, box.width - 1, box.height - 1), outline=0)
    full[-rows:-1, 1:-1] = np.asarray(box)
    return full


def strip(paint, ground=255):
    def make(field, rows):
        image = pillow.new("L", (field.shape[1], rows), ground)
        paint(ImageDraw.Draw(image), image)
        full = field.copy()
        full[-rows:] = np.asarray(image)
        return full

    return make


def table(draw, image):
    width, height = image.size
    lines_of_text(draw, width // 2, height, 3, 255)
    lines_of_text(draw, width, height, 3, 255, left=width // 2 + 6)
    for row in range(3):
        draw.line((0, row * height // 3, width, row * height // 3), fill=0)
    draw.line((width // 2, 0, width // 2, height), fill=0)


def two_tones(draw, image):
    width, height = image.size
    draw.rectangle((0, 0, width // 2, height), fill=0)
    lines_of_text(draw, width // 2, height, 2, 255)
    lines_of_text(draw, width, height, 2, 0, left=width // 2 + 6)


def gradient(vertical):
    def paint(draw, image):
        width, height = image.size
        y, x = np.mgrid[:height, :width]
        image.paste(pillow.fromarray((60 + 100 * (y / height if vertical else x / width)).astype(np.uint8)))
        lines_of_text(draw, width, height, 2, 255)

    return paint


KINDS = {
    "framed": framed,
    "table": strip(table, 96),
    "two tones": strip(two_tones),
    "gradient down": strip(gradient(True)),
    "gradient across": strip(gradient(False)),
    "black": strip(lambda draw, image: lines_of_text(draw, *image.size, 2, 255), 0),
}


def phases(shape, noise, dark=0):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(shape[0] + noise)
    grains = np.where(gaussian_filter(rng.normal(size=shape), 5) > 0, 180, dark) + rng.normal(0, noise, shape)
    return np.clip(grains, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "noise", "dark", "rows"),
    [((480, 640), 12, 60, 50), ((480, 640), 12, 0, 50), ((768, 1024), 6, 60, 70), ((600, 800), 20, 0, 48)],
)
def test_finds_bars_of_every_kind(kind, shape, noise, dark, rows):
    """Also under a specimen with black in it, which a black strip has too."""
    full = KINDS[kind](phases(shape, noise, dark), rows)
    found = look_for_databar(full)
    assert found.rows == rows
    assert 0.5 <= found.confidence <= 1
    assert "confidence" in str(found)
    assert find_databar(full.astype(np.uint16) * 257) == rows
    assert find_databar(np.stack([full] * 3, axis=2)) == rows
    image = image_from_array(full, databar="auto")
    assert image.databar_found == str(found)


@pytest.mark.parametrize("kind", KINDS)
def test_finds_them_after_jpeg(kind):
    buffer = io.BytesIO()
    pillow.fromarray(KINDS[kind](phases((768, 1024), 12, 60), 80)).save(buffer, "JPEG", quality=92)
    rows = find_databar(np.asarray(pillow.open(buffer)))
    assert abs(rows - 80) <= 4 or rows == 0  # one that is missed costs less than a micrograph that is cut
    assert rows or kind.startswith("gradient")


@pytest.mark.parametrize("noise", [0, 3, 10, 20])
@pytest.mark.parametrize("dark", [0, 60])
def test_text_on_the_specimen_is_no_bar(noise, dark):
    """A scale bar and words burned into the micrograph, as exporting programs draw them."""
    field = phases((480, 640), noise, dark)
    image = pillow.fromarray(field)
    draw = ImageDraw.Draw(image)
    draw.text((20, 440), "HV 15.00 kV  WD 4.1 mm", fill=255, font=ImageFont.load_default(18))
    draw.rectangle((500, 450, 600, 456), fill=255)
    assert find_databar(np.asarray(image)) == 0
    assert find_databar(field) == 0


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
@pytest.mark.parametrize(("ground", "speck"), [(0, 255), (255, 0)])
def test_specks_on_a_flat_strip_are_no_text(size, share, ground, speck):
    """Resin or vacuum beside a straight edge, with noise or fine particles in it, is micrograph."""
    full = phases((480, 640), 12, 60)
    specks = RNG.random((60 // size, 640 // size + 1)) < share
    full[-60:] = np.where(np.kron(specks, np.ones((size, size), bool))[:60, :640], speck, ground)
    assert find_databar(full) == 0


@pytest.mark.skipif(not CASES.is_dir(), reason="no shared cases: set FIJIBRIDGE_CASES")
@pytest.mark.parametrize(("case", "rows"), [("01_zeiss_framed_databar", 35), ("03_table_databar_no_metadata", 40)])
def test_cases(case, rows):
    assert read_image(CASES / case / "image.tif").databar_rows == rows


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="no shared micrographs: set FIJIBRIDGE_DATA")
def test_real_volumes_have_no_bar():
    paths = sorted((DATA / "volumes").glob("*.tif"))
    assert {path.name: read_image(path).databar_rows for path in paths} == {path.name: 0 for path in paths}
