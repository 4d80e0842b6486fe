"""A folder of slices: order, gaps, patterns, sizes and bit depths."""

from __future__ import annotations

import os

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from fijibridge.core.errors import ImageError, ImageNotFoundError
from fijibridge.images.image import count_slices, read_image, read_slices, reading_notes
from fijibridge.images.volume import open_volume

RNG = np.random.default_rng(0)


def folder_of(path, numbers, name="s{}.tif", dtype=np.uint16):
    planes = {number: RNG.integers(0, 250, (9, 11)).astype(dtype) for number in numbers}
    for number, plane in planes.items():
        iio.imwrite(path / name.format(number), plane)
    return planes


def data_of(path, **options):
    return [image.data for image in read_slices(path, databar=0, **options)]


def test_natural_order(tmp_path):
    planes = folder_of(tmp_path, (8, 9, 10, 11, 100 - 88))
    np.testing.assert_array_equal(data_of(tmp_path), [planes[number] for number in sorted(planes)])
    np.testing.assert_array_equal(data_of(tmp_path / "s*.tif"), [planes[number] for number in sorted(planes)])
    assert reading_notes(tmp_path / "s*.tif") == reading_notes(tmp_path)


def test_gaps_are_told_and_closed_by_a_pattern(tmp_path):
    planes = folder_of(tmp_path, (1, 2, 3, 6, 7, 10))
    with pytest.raises(ImageError) as error:
        count_slices(tmp_path)
    for words in ("4 is missing", "2 gaps", "pattern", f"'{tmp_path / 's*.tif'}'"):
        assert words in str(error.value)
    np.testing.assert_array_equal(data_of(tmp_path / "s*.tif"), list(planes.values()))
    assert "4 of the slices 1 to 10 are missing" in reading_notes(tmp_path / "s*.tif")[1]
    np.testing.assert_array_equal(data_of(tmp_path / "s[1-3].tif"), list(planes.values())[:3])
    with pytest.raises(ImageNotFoundError, match="called t"):
        count_slices(tmp_path / "t*.tif")


def test_other_images_beside_the_slices(tmp_path):
    planes = folder_of(tmp_path, (1, 2, 3), "run2_{}_bse.png", np.uint8)
    iio.imwrite(tmp_path / "overview.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(ImageError) as error:
        count_slices(tmp_path)
    pattern = tmp_path / "run2_*_bse.png"
    assert "overview.png" in str(error.value)
    assert f"'{pattern}'" in str(error.value)
    np.testing.assert_array_equal(data_of(pattern), list(planes.values()))
    assert read_image(pattern, databar=0).name == tmp_path.name


def test_what_differs_is_named(tmp_path):
    folder_of(tmp_path, (1, 2, 3, 4))
    for other, words in (
        (np.zeros((9, 12), np.uint16), "s3.tif is 12 x 9 pixels, s1.tif 11 x 9"),
        (np.zeros((9, 11), np.uint8), "s3.tif is 8 bit, s1.tif is 16 bit"),
        (np.zeros((9, 11), np.int16), "s3.tif is int16, s1.tif is uint16"),
        (np.zeros((9, 11), np.float32), "s3.tif is 32 bit float, s1.tif is 16 bit"),
        (np.zeros((9, 11, 3), np.uint8), "s3.tif is RGB, s1.tif is 16 bit"),
        (np.zeros((2, 9, 11), np.uint16), "2 slices of its own"),
    ):
        tifffile.imwrite(
            tmp_path / "s3.tif", other, photometric="rgb" if other.ndim == 3 and other.shape[2] == 3 else None
        )
        slices = read_slices(tmp_path, databar=0)
        next(slices)
        next(slices)
        with pytest.raises(ImageError) as error:
            next(slices)
        assert words in str(error.value)
        with open_volume(tmp_path) as volume:
            assert len(volume.read(0, 2)) == 2
            with pytest.raises(ImageError):
                volume.read(1, 3)
            assert volume[3].shape == (9, 11)


def test_a_channel_of_each_slice(tmp_path):
    data = RNG.integers(0, 250, (3, 2, 9, 11)).astype(np.uint8)
    for number, plane in enumerate(data):
        tifffile.imwrite(tmp_path / f"s{number}.tif", plane, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(ImageError, match="2 channels"):
        count_slices(tmp_path)
    np.testing.assert_array_equal(data_of(tmp_path, channel="2"), data[:, 1])


def test_a_folder_that_cannot_be_written_to(tmp_path):
    planes = folder_of(tmp_path, (1, 2, 3))
    mode = tmp_path.stat().st_mode
    os.chmod(tmp_path, 0o555)
    try:
        np.testing.assert_array_equal(data_of(tmp_path), list(planes.values()))
    finally:
        os.chmod(tmp_path, mode)
    assert len(list(tmp_path.iterdir())) == 3
