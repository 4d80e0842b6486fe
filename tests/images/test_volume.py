"""A volume on disk as one lazy object."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import volume_files as write

import fijibridge as fb
from fijibridge.core.errors import ImageError, ImageNotFoundError, SettingsError

RNG = np.random.default_rng(0)
DATA = RNG.integers(0, 60000, (7, 30, 41)).astype(np.uint16)


@pytest.mark.parametrize("form", ["tif", "zarr", "h5"])
def test_volume(tmp_path, form):
    make = {"tif": write.imagej, "zarr": write.ome_zarr, "h5": write.hdf5}[form]
    path = make(tmp_path / f"v.{form}", DATA)
    with fb.open_volume(path) as volume:
        assert (volume.shape, volume.axes, volume.samples, volume.frames) == (DATA.shape, "ZYX", 1, 1)
        assert (volume.dtype, volume.name, len(volume)) == (np.uint16, "v", 7)
        assert (volume.voxel_size.z, volume.voxel_size.unit) == (pytest.approx(50), "nm")
        assert volume.channels == volume.notes == ()
        np.testing.assert_array_equal(volume.read(2, 5), DATA[2:5])
        for index in (0, -1, np.int64(3), slice(None), slice(1, 6, 2), slice(None, None, -1), slice(5, 2)):
            np.testing.assert_array_equal(volume[index], DATA[index])
        np.testing.assert_array_equal(list(volume), DATA)
        for wrong in ((5, 5), (-1, 2), (0, 8)):
            with pytest.raises(SettingsError, match="z1 <= 7"):
                volume.read(*wrong)
        with pytest.raises(IndexError):
            volume[7]
        with pytest.raises(TypeError, match="no array"):
            np.asarray(volume)
        assert "(7, 30, 41)" in repr(volume)
    volume.close()
    with pytest.raises(SettingsError, match="closed"):
        volume.read(0, 1)
    path.rename(tmp_path / "elsewhere")  # nothing holds it


def test_one_image_is_a_volume_of_one_slice(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", DATA[0])
    with fb.open_volume(tmp_path / "v.tif") as volume:
        assert volume.shape == (1, 30, 41)
        assert volume.voxel_size is None


def test_channels_frames_and_colour(tmp_path):
    data = RNG.integers(0, 250, (2, 3, 2, 30, 41)).astype(np.uint8)
    path = write.ome_zarr(tmp_path / "v.zarr", data, axes="tzcyx", channels=["SE", "BSE"])
    with fb.open_volume(path, channel="BSE") as volume:
        assert (volume.shape, volume.frames, volume.channels) == ((6, 30, 41), 2, ("SE", "BSE"))
        np.testing.assert_array_equal(volume[:], data[:, :, 1].reshape(-1, 30, 41))
    colour = RNG.integers(0, 250, (4, 30, 41, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colour, photometric="rgb")
    with fb.open_volume(tmp_path / "rgb.tif") as volume:
        assert (volume.shape, volume.axes, volume.samples) == ((4, 30, 41), "ZYXS", 3)
        np.testing.assert_array_equal(volume.read(1, 3), colour[1:3])


def test_palettes_stay_indices(tmp_path):
    indices = RNG.integers(0, 4, (30, 41)).astype(np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[0, :4] = (0, 65535, 20000, 99)
    tifffile.imwrite(tmp_path / "v.tif", indices, photometric="palette", colormap=colours)
    with fb.open_volume(tmp_path / "v.tif") as volume:
        np.testing.assert_array_equal(volume[0], indices)


def test_a_slice_that_cannot_be_read_leaves_the_others(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.tif") as writer:
        for plane in DATA:
            writer.write(plane, compression="zlib", contiguous=False, metadata=None)
    with tifffile.TiffFile(tmp_path / "v.tif") as tif:
        start = tif.pages[0].dataoffsets[0]
    with (tmp_path / "v.tif").open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * 100)
    with fb.open_volume(tmp_path / "v.tif") as volume:  # shape and type are known without the first slice
        assert (volume.shape, volume.dtype) == (DATA.shape, np.uint16)
        with pytest.raises(ImageError, match="cannot be read"):
            volume[0]
        np.testing.assert_array_equal(volume.read(1, 7), DATA[1:])


def test_what_is_not_there(tmp_path):
    with pytest.raises(ImageNotFoundError):
        fb.open_volume(tmp_path / "none.zarr")
    with pytest.raises(ImageError, match="without images"):
        fb.open_volume(tmp_path)
