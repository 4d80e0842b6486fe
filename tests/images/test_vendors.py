"""A vendor's metadata are one file and one registration."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import SettingsError
from fijibridge.images import metadata
from fijibridge.images.image import PixelSize, read_image
from fijibridge.images.metadata import VENDORS, register_vendor
from fijibridge.images.vendors.base import Vendor


class Toy(Vendor):
    """A microscope that writes ``NAME.toy``: nanometres a pixel and rows of the bar."""

    name = "Toy"

    def _numbers(self, path):
        beside = path.with_suffix(".toy")
        return beside.read_text().split() if beside.is_file() else (None, None)

    def pixel_size(self, path, tif):
        nm, _ = self._numbers(path)
        return None if nm is None else PixelSize(float(nm), float(nm), "nm")

    def databar_rows(self, path, tif, shape):
        _, rows = self._numbers(path)
        return None if rows is None else int(rows)


@pytest.fixture
def vendors(monkeypatch):
    """The registry, as it was again after the test."""
    monkeypatch.setattr(metadata, "VENDORS", list(VENDORS))
    return metadata.VENDORS


def test_a_new_vendor_is_asked(tmp_path, vendors):
    data = np.random.default_rng(0).integers(0, 255, (80, 90), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, resolution=(1e6, 1e6), resolutionunit="centimeter")
    iio.imwrite(tmp_path / "b.png", data)
    for name in "ab":
        (tmp_path / f"{name}.toy").write_text("12.5 7")
    assert read_image(tmp_path / "a.tif").pixel_size == PixelSize(10, 10, "nm")
    register_vendor(Toy())
    assert [vendor.name for vendor in vendors][-2:] == ["Toy", "resolution tags"]
    image = read_image(tmp_path / "a.tif")
    assert (image.pixel_size, image.databar_rows) == (PixelSize(12.5, 12.5, "nm"), 7)
    assert read_image(tmp_path / "b.png").pixel_size == PixelSize(12.5, 12.5, "nm")


def test_the_first_vendor_that_answers_counts(tmp_path, vendors):
    data = np.zeros((80, 90), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, resolution=(0.5, 0.5), metadata={"unit": "nm"})
    (tmp_path / "a.toy").write_text("12.5 7")
    register_vendor(Toy())
    assert read_image(tmp_path / "a.tif").pixel_size == PixelSize(2, 2, "nm")
    vendors[:] = [vendor for vendor in vendors if vendor.name != "Toy"]
    register_vendor(Toy(), before="ImageJ")
    assert read_image(tmp_path / "a.tif").pixel_size == PixelSize(12.5, 12.5, "nm")


def test_refused_registrations(vendors):
    register_vendor(Toy())
    for before in ("resolution tags", "Nikon"):
        with pytest.raises(SettingsError, match=r"'Toy' before .*, among ImageJ, OME, Zeiss, FEI, TESCAN, .*, Toy"):
            register_vendor(Toy(), before=before)
