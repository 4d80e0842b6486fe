"""One volume in every format: equal slices and voxel size; and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
import tifffile
import volume_files as write
import zarr

from fijibridge.core.errors import BridgeError, ImageError, ImageNotFoundError
from fijibridge.images.image import (
    count_frames,
    count_slices,
    read_image,
    read_slices,
    read_stored,
    reading_notes,
)
from fijibridge.images.reading import open_planes
from fijibridge.phases.reading import read_labels_volume

RNG = np.random.default_rng(0)
SHAPE = (7, 30, 41)
CHUNKS = (3, 16, 16)
NM = write.NM


def volume(dtype=np.uint16, shape=SHAPE):
    return RNG.integers(0, 200 if dtype == np.uint8 else 60000, shape).astype(dtype)


def refused(path, *words, kind=ImageError, **options):
    for ask in (
        read_image,
        read_stored,
        count_slices,
        reading_notes,
        lambda path, **more: list(read_slices(path, **more)),
    ):
        with pytest.raises(kind) as error:
            ask(path, **options)
        assert all(word in str(error.value) for word in words), str(error.value)


def is_volume(path, data, *, sized=True, name="v", **options):
    slices = list(read_slices(path, databar=0, **options))
    np.testing.assert_array_equal([image.data for image in slices], data)
    assert {image.data.dtype for image in slices} == {data.dtype}
    assert count_slices(path, **options) == len(data)
    np.testing.assert_array_equal(read_stored(path, index=len(data) - 1, **options), data[-1])
    backwards = read_slices(path, databar=0, pages=range(len(data))[::-1], **options)
    np.testing.assert_array_equal([image.data for image in backwards], data[::-1])
    assert slices[0].name == name
    size = slices[0].pixel_size
    if sized:
        assert (size.z, size.y, size.x, size.unit) == (*map(pytest.approx, NM), "nm")
    else:
        assert size is None


WRITERS = {
    "ImageJ": lambda path, data: write.imagej(path / "v.tif", data),
    "BigTIFF": lambda path, data: write.ome_tiff(path / "v.tif", data, bigtiff=True),
    "OME-TIFF": lambda path, data: write.ome_tiff(path / "v.ome.tif", data),
    "OME-TIFF in tiles": lambda path, data: write.ome_tiff(path / "v.tif", data, tile=(16, 16), compression="zlib"),
    "OME-Zarr 0.4": lambda path, data: write.ome_zarr(path / "v.zarr", data, version="0.4", chunks=CHUNKS, levels=2),
    "OME-Zarr 0.5": lambda path, data: write.ome_zarr(path / "v.zarr", data, chunks=CHUNKS, levels=2),
    "OME-Zarr of five axes": lambda path, data: write.ome_zarr(
        path / "v.zarr", data[None, None], axes="tczyx", chunks=(1, 1, *CHUNKS)
    ),
    "HDF5": lambda path, data: write.hdf5(path / "v.h5", data),
    "HDF5 in chunks": lambda path, data: write.hdf5(path / "v.h5", data, chunks=CHUNKS, compression="gzip"),
    "ilastik": lambda path, data: write.hdf5(path / "v.h5", data[..., None], name="exported_data", axes="zyxc"),
    "ilastik's order": lambda path, data: write.hdf5(
        path / "v.h5", np.ascontiguousarray(data.transpose(2, 1, 0)), name="volume/data", axes="xyz", chunks=(8, 8, 2)
    ),
    "BigDataViewer": lambda path, data: write.big_data_viewer(path / "v.h5", {(0, 0): data}, ["SE"], unit="nm"),
    "DM3": lambda path, data: write.digital_micrograph(path / "v.dm3", data),
    "DM4": lambda path, data: write.digital_micrograph(path / "v.dm4", data, version=4),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("form", WRITERS)
def test_one_volume_in_every_format(tmp_path, form, dtype):
    data = volume(dtype)
    path = WRITERS[form](tmp_path, data)
    is_volume(path, data, name=path.stem)
    with open_planes(path) as planes:
        np.testing.assert_array_equal(planes.volume(), data)
    labels, size = read_labels_volume(path)
    np.testing.assert_array_equal(labels, data)
    assert size.z == pytest.approx(NM[0])


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float32, ">i2", ">f4"])
def test_mrc(tmp_path, dtype):
    data = RNG.integers(-100, 100, SHAPE).astype(dtype) if dtype != np.uint16 else volume()
    path = write.mrc(tmp_path / "v.mrc", data)
    read = [image.data for image in read_slices(path, databar=0)]
    np.testing.assert_array_equal(read, data)
    np.testing.assert_array_equal(read_stored(path, index=2), data[2])
    assert read_stored(path).dtype == np.dtype(dtype).newbyteorder("=")
    size = read_image(path, databar=0).pixel_size
    assert (size.z, size.y, size.x, size.unit) == (*map(pytest.approx, NM), "nm")
    for none in (None, (0.1, 0.1, 0.1)):  # 1 A is what programs write that know none
        path = write.mrc(tmp_path / f"{none}.rec", data, size=none)
        assert read_image(path, databar=0).pixel_size is None
        assert "no voxel size" in reading_notes(path)[0]
    with path.open("r+b") as file:
        file.truncate(2000)
    refused(path, "cannot be read", path.name)


def test_bytes_of_old_imod_files_have_no_sign(tmp_path):
    data = RNG.integers(0, 255, SHAPE).astype(np.uint8)
    path = write.mrc(tmp_path / "v.st", data.view(np.int8))
    for flags, values in ((0, data), (1, data.view(np.int8))):
        with path.open("r+b") as file:
            file.seek(152)
            file.write(np.array([1146047817, flags], "<i4").tobytes())
        np.testing.assert_array_equal(read_stored(path, index=3), values[3])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("shape", [(30, 41), SHAPE])
def test_a_plain_zarr_array(tmp_path, zarr_format, shape):
    data = volume(shape=shape)
    zarr.create_array(tmp_path / "v.zarr", data=data, chunks=CHUNKS[-len(shape) :], zarr_format=zarr_format)
    is_volume(tmp_path / "v.zarr", data.reshape(-1, 30, 41), sized=False)
    (tmp_path / "v.zarr").rename(tmp_path / "v")  # whatever its name
    is_volume(tmp_path / "v", data.reshape(-1, 30, 41), sized=False)


def test_a_zarr_of_shards(tmp_path):
    data = volume()
    zarr.create_array(tmp_path / "v.zarr", data=data, chunks=(2, 8, 8), shards=(4, 16, 16))
    is_volume(tmp_path / "v.zarr", data, sized=False)


def test_the_metadata_of_these_tests_are_omes(tmp_path):
    from ome_zarr_models import open_ome_zarr

    for version in ("0.4", "0.5"):
        path = write.ome_zarr(tmp_path / version, volume(), version=version, levels=2)
        image = open_ome_zarr(zarr.open_group(path, mode="r"))
        assert image.ome_zarr_version == version


def test_levels_images_and_labels_in_a_store(tmp_path):
    data = volume()
    path = write.ome_zarr(tmp_path / "v.zarr", data, levels=2)
    np.testing.assert_array_equal(read_stored(path / "1", index=1), data[1, ::2, ::2])
    size = read_image(path / "1", databar=0).pixel_size
    assert (size.z, size.y, size.x) == (pytest.approx(NM[0]), pytest.approx(2 * NM[1]), pytest.approx(2 * NM[2]))
    labels = (data > 30000).astype(np.uint8)
    zarr.open_group(path / "labels", mode="w")
    write.ome_zarr(path / "labels" / "phases", labels)
    is_volume(path, data)
    is_volume(path / "labels" / "phases", labels)
    plate = zarr.open_group(tmp_path / "series.zarr", mode="w")
    plate.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    for name in "01":
        write.ome_zarr(tmp_path / "series.zarr" / name, data)
    refused(tmp_path / "series.zarr", "2 datasets", "0", "1", f"{tmp_path / 'series.zarr'}/0")
    is_volume(tmp_path / "series.zarr" / "1", data, name="series")
    refused(path / "9" / "8", "no 9/8", kind=ImageNotFoundError)
    refused(path / "9", "no 9 in", kind=ImageNotFoundError)


def test_units_and_scales(tmp_path):
    data = volume()
    for unit, size in (("micrometer", (0.05, 0.01, 0.008)), ("angstrom", (500, 100, 80))):
        is_volume(write.ome_zarr(tmp_path / unit / "v.zarr", data, unit=unit, size=size), data)
    path = write.ome_zarr(tmp_path / "no.zarr", data, unit="")
    assert read_image(path, databar=0).pixel_size is None
    assert "no unit" in reading_notes(path)[0]
    path = write.ome_zarr(tmp_path / "pixels.zarr", data, unit="", size=None)
    assert read_image(path, databar=0).pixel_size is None
    assert reading_notes(path) == []
    flat = write.ome_zarr(tmp_path / "flat.zarr", data[0], axes="yx")
    assert read_image(flat, databar=0).pixel_size.z is None


@pytest.mark.parametrize("damage", ["text", "no scale", "no dataset", "wrong axes", "codec"])
def test_damaged_metadata(tmp_path, damage):
    path = write.ome_zarr(tmp_path / "v.zarr", volume())
    file = path / ("0/zarr.json" if damage == "codec" else "zarr.json")
    text = json.loads(file.read_text())
    if damage != "codec":
        scales = text["attributes"]["ome"]["multiscales"][0]
    if damage == "no scale":
        scales["datasets"][0]["coordinateTransformations"][0]["scale"] = [1, "many", None]
    elif damage == "no dataset":
        scales["datasets"][0]["path"] = "there"
    elif damage == "wrong axes":
        scales["axes"] = scales["axes"][:2]
    elif damage == "codec":
        text["codecs"][-1]["name"] = "unheard-of"
    file.write_text("{" if damage == "text" else json.dumps(text))
    refused(path, "v.zarr", "cannot be read")


def test_chunks_that_cannot_be_read(tmp_path):
    data = volume()
    path = write.ome_zarr(tmp_path / "v.zarr", data, chunks=CHUNKS)
    chunk = path / "0" / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    np.testing.assert_array_equal(read_stored(path, index=2), data[2])
    for index in (3, 5):
        with pytest.raises(ImageError, match=r"slice\(s\) 4 to 6 of .* cannot be read"):
            read_stored(path, index=index)
    np.testing.assert_array_equal(read_stored(path, index=6), data[6])
    path = write.hdf5(tmp_path / "v.h5", data, chunks=CHUNKS, compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        where = file["volume"].id.get_chunk_info_by_coord((3, 0, 0))
    with path.open("r+b") as file:
        file.seek(where.byte_offset)
        file.write(b"\xff" * (where.size // 2))
    np.testing.assert_array_equal(read_stored(path, index=2), data[2])
    with pytest.raises(ImageError, match=r"slice\(s\) 4 to 6 of .* cannot be read"):
        read_stored(path, index=4)


def test_zarr_stores_without_an_image(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    refused(tmp_path / "a.zarr", "without an image")
    zarr.create_array(tmp_path / "b.zarr", data=np.arange(9))
    refused(tmp_path / "b.zarr", "no image")
    zarr.create_array(tmp_path / "c.zarr", data=volume(shape=(3, 4, 5, 60)))
    refused(tmp_path / "c.zarr", "shape (3, 4, 5, 60)", "OME-Zarr")
    zarr.create_array(tmp_path / "d.zarr", data=np.zeros((4, 5), complex))
    refused(tmp_path / "d.zarr", "complex")
    zarr.create_array(tmp_path / "e.zarr", shape=(0, 5), dtype="u1", chunks=(1, 1))
    refused(tmp_path / "e.zarr", "no pixels")
    (tmp_path / "f.zarr").mkdir()
    refused(tmp_path / "f.zarr", "no zarr store")
    for name in ("n.n5", "n"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "attributes.json").write_text("{}")
        refused(tmp_path / name, "N5", "not supported")


def test_several_datasets_in_a_file(tmp_path):
    data = volume()
    path = write.hdf5(tmp_path / "v.h5", data, name="volume/data")
    write.hdf5(path, data[::-1], name="volume/other")
    with h5py.File(path, "a") as file:
        file["table"] = np.zeros(9)
        file["words"] = "some words"
    refused(path, "2 datasets", "volume/data (7, 30, 41) uint16", f"{path}/volume/data")
    is_volume(f"{path}/volume/other", data[::-1])
    refused(f"{path}/volume", "2 datasets")
    refused(f"{path}/none", "no dataset none", "volume/other", kind=ImageNotFoundError)
    refused(f"{path}/volume/data/SE", "no dataset volume/data/SE", kind=ImageNotFoundError)
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["table"] = np.zeros(9)
    refused(tmp_path / "e.h5", "without an image")
    content = path.read_bytes()
    for length in (200, len(content) // 2):
        (tmp_path / "cut.h5").write_bytes(content[:length])
        refused(tmp_path / "cut.h5", "cut.h5", "cannot be read")


def test_channels_of_ilastik(tmp_path):
    data = RNG.random((*SHAPE, 2)).astype(np.float32)
    path = write.hdf5(tmp_path / "v.h5", data, axes="zyxc", chunks=(*CHUNKS, 2))
    refused(path, "2 channels", "1, 2")
    is_volume(path, data[..., 1], channel="2")
    is_volume(f"{path}/1", data[..., 0])
    is_volume(f"{path}/volume/1", data[..., 0])
    colour = volume(np.uint8, (4, 30, 41, 3))
    is_volume(write.hdf5(tmp_path / "rgb.h5", colour, axes="zyxc"), colour, name="rgb")
    is_volume(write.hdf5(tmp_path / "one.h5", colour[0], axes="yxc"), colour[:1], name="one", sized=True)


def test_axes_by_dimension_labels(tmp_path):
    data = volume()
    path = write.hdf5(tmp_path / "v.h5", np.ascontiguousarray(data.transpose(1, 2, 0)))
    with h5py.File(path, "a") as file:
        for dimension, label in zip(file["volume"].dims, "yxz", strict=True):
            dimension.label = label
    is_volume(path, data)


def test_setups_and_times_of_big_data_viewer(tmp_path):
    data = volume(shape=(2, 2, *SHAPE))
    volumes = {(time, setup): data[time, setup] for time in range(2) for setup in range(2)}
    path = write.big_data_viewer(tmp_path / "v.h5", volumes, ["SE", "BSE"], unit="nm")
    refused(path, "2 channels", "1 SE, 2 BSE")
    for channel in ("BSE", "2", "s01"):
        is_volume(path, data[:, 1].reshape(-1, *SHAPE[1:]), channel=channel)
    is_volume(f"{path}/SE", data[:, 0].reshape(-1, *SHAPE[1:]))
    assert count_frames(path, channel="SE") == 2
    is_volume(f"{path}/t00001/s00/0/cells", data[1, 0])
    size = read_image(f"{path}/t00001/s00/1/cells", databar=0).pixel_size
    assert (size.z, size.x) == (pytest.approx(NM[0]), pytest.approx(2 * NM[2]))
    path.with_suffix(".xml").unlink()
    refused(path, "1 s00, 2 s01")
    assert read_image(f"{path}/s00").pixel_size is None


def test_damaged_digital_micrograph(tmp_path):
    content = write.digital_micrograph(tmp_path / "v.dm3", volume()).read_bytes()
    for length in (14, 300, len(content) // 2):
        (tmp_path / "cut.dm3").write_bytes(content[:length])
        refused(tmp_path / "cut.dm3", "cut.dm3", "cannot be read")


@pytest.mark.parametrize(("form", "package"), [("zarr", "zarr"), ("h5", "h5py"), ("mrc", "mrcfile"), ("dm3", "ncempy")])
def test_a_library_that_is_missing_is_told(tmp_path, form, package, monkeypatch):
    make = {"zarr": write.ome_zarr, "h5": write.hdf5, "mrc": write.mrc, "dm3": write.digital_micrograph}[form]
    path = make(tmp_path / f"v.{form}", volume())
    monkeypatch.setitem(sys.modules, "ncempy.io" if package == "ncempy" else package, None)
    extra = "dm" if form == "dm3" else "volumes"
    refused(path, f"{package} is not installed", f'pip install "fijibridge[{extra}]"')


# --- channels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX", "TZCYX"])
def test_channels_by_name_and_number(tmp_path, axes):
    data = volume(shape=(2, 3, 2, 30, 41)[5 - len(axes) :] if axes != "CZYX" else (2, 3, 30, 41))
    flat = np.moveaxis(data, axes.index("C"), 0).reshape(2, -1, 30, 41)
    frames = 2 if "T" in axes else 1
    names = ("SE", "BSE")
    ome_tiff = write.ome_tiff(tmp_path / "v.ome.tif", data, axes=axes, channels=names)
    paths = [ome_tiff]
    if axes[-3] == "C":  # the order of ImageJ
        labels = [name for _ in range(len(flat[0])) for name in names]
        paths.append(write.imagej(tmp_path / "ij.tif", data, axes=axes, labels=labels))
    paths.append(
        write.ome_zarr(
            tmp_path / "v.zarr", data, axes=axes.lower(), channels=names, chunks=(1,) * (len(axes) - 2) + (16, 16)
        )
    )
    for path in paths:
        name = path.stem
        refused(path, "2 channels", "1 SE, 2 BSE", f"{path}/SE" if path.is_file() else "/SE")
        for channel, number in (("SE", 0), ("se", 0), ("1", 0), ("BSE", 1), ("2", 1)):
            is_volume(path, flat[number], name=name, channel=channel)
        is_volume(path / "BSE", flat[1], name=name)
        assert count_frames(path, channel="2") == frames
        assert any("channel BSE of 2" in note for note in reading_notes(path, channel="2"))
        refused(path, "channel 'EDX'", "1 SE, 2 BSE", channel="EDX")
        refused(path, "channel '3'", channel="3")
    with pytest.raises(BridgeError, match="one channel"):
        read_image(ome_tiff / "BSE", channel="SE")


def test_a_channel_of_a_file_that_has_none(tmp_path):
    data = volume()
    path = write.imagej(tmp_path / "v.tif", data)
    is_volume(path, data, channel="1")
    refused(path, "one channel", channel="BSE")
    refused(path / "BSE", "one channel")
    tifffile.imwrite(tmp_path / "rgb.tif", volume(np.uint8, (4, 30, 41, 3)), photometric="rgb")
    assert count_slices(tmp_path / "rgb.tif") == 4
    refused(tmp_path / "none.tif" / "BSE", "no file", kind=ImageNotFoundError)


def test_only_z_is_missing(tmp_path):
    path = tmp_path / "v.ome.tif"
    metadata = {"axes": "ZYX", "PhysicalSizeX": 8, "PhysicalSizeXUnit": "nm"}
    tifffile.imwrite(path, volume(), ome=True, metadata=metadata)
    size = read_image(path, databar=0).pixel_size
    assert (size.x, size.y, size.z, size.unit) == (8, 8, None, "nm")


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zarr", "h5", "tif"])
def test_a_slice_of_a_large_volume_takes_little_memory(tmp_path, form):
    """2 GiB of which next to nothing is stored; one slice of it within 200 MiB."""
    path = tmp_path / f"v.{form}"
    shape, chunks = (2048, 1024, 1024), (16, 256, 256)
    if form == "zarr":
        zarr.create_array(path, shape=shape, dtype="u1", chunks=chunks, fill_value=7)
    elif form == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("v", shape, "u1", chunks=chunks, fillvalue=7)
    else:  # one entry for all slices, as ImageJ writes stacks above 4 GB
        text = "ImageJ=1.54p\nimages=4200\nslices=4200\n"
        with tifffile.TiffWriter(path) as writer:
            writer.write(np.full(shape[1:], 7, np.uint8), description=text, metadata=None, contiguous=False)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size + 4199 * 2**20)  # sparse: 4.1 GiB, nothing of it on disk
    code = (
        "import sys, psutil; from fijibridge.images.image import read_stored; read_stored(sys.argv[1], index=0)\n"
        "before = psutil.Process().memory_info().rss\n"
        "from fijibridge.images.volume import open_volume\n"
        "with open_volume(sys.argv[1]) as volume:\n"
        "    assert len(volume) >= 2048 and volume[0].max() == 7, volume.shape\n"
        "    for z in (1000, 1007, 2040): volume[z]\n"
        "    if len(volume) > 2048: assert volume[4199].shape == (1024, 1024)\n"
        "taken = (psutil.Process().memory_info().rss - before) / 2**20\n"
        "assert taken < 200, f'{taken:.0f} MiB'\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_no_memory_holds_is_refused_before_it_is_read(tmp_path):
    for shape, chunks in (((4, 10**6, 10**6), (1, 1000, 1000)), ((10**4, 64, 64), (10**4, 10**5, 10**4))):
        zarr.create_array(tmp_path / "v.zarr", shape=shape, dtype="u1", chunks=chunks, overwrite=True)
        refused(tmp_path / "v.zarr", "GiB", f"{shape[2]} x {shape[1]} pixels")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("v", (4, 10**6, 10**6), "u2", chunks=(1, 1000, 1000))
    refused(tmp_path / "v.h5", "GiB")


@pytest.mark.parametrize("form", ["zarr", "h5"])
def test_each_chunk_is_decoded_once(tmp_path, form, monkeypatch):
    """Each row of chunks is asked for once; in parts, where a row is larger than what is kept."""
    data = volume()
    path = tmp_path / f"v.{form}"
    if form == "zarr":
        zarr.create_array(path, data=data, chunks=CHUNKS)
    else:
        write.hdf5(path, data, chunks=CHUNKS)
    asked = []
    from fijibridge.images import arrays

    get = arrays._get
    monkeypatch.setattr(arrays, "_get", lambda array, place, first, last: (
        asked.append((first, last)), get(array, place, first, last))[1])  # fmt: skip
    list(read_slices(path, databar=0))
    assert asked == [(0, 3), (3, 6), (6, 7)]
    from fijibridge.images import slabs

    asked.clear()
    monkeypatch.setattr(slabs, "LARGEST_SLAB", data[0].nbytes * 2)
    with open_planes(path) as planes:
        np.testing.assert_array_equal([planes.plane(index, raw=True) for index in range(7)], data)
        assert "decoded 2 times" in planes.notes[0]
    assert asked == [(0, 2), (2, 3), (3, 5), (5, 6), (6, 7)]
