"""Volumes in every format that is read, written by hand or by the formats' own libraries."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import tifffile
import zarr

NM = (50.0, 10.0, 8.0)  # z, y, x in nm
_SPACE = {"z": "space", "y": "space", "x": "space", "c": "channel", "t": "time"}


def ome_zarr(
    path: Path,
    data: np.ndarray,
    *,
    axes: str = "zyx",
    version: str = "0.5",
    size: Sequence[float] | None = NM,
    unit: str = "nanometer",
    channels: Sequence[str] = (),
    chunks: Sequence[int] = (),
    levels: int = 1,
) -> Path:
    """An image with a pyramid, each level half as wide and high."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    named: list[dict[str, str]] = []
    for axis in axes:
        named.append({"name": axis, "type": _SPACE[axis]} | ({"unit": unit} if unit and axis in "zyx" else {}))
    datasets = []
    for level in range(levels):
        step = 2**level
        part = data[..., ::step, ::step]
        group.create_array(str(level), data=part, chunks=tuple(chunks) or part.shape, dimension_names=(
            list(axes) if version != "0.4" else None))  # fmt: skip
        known = dict(zip("zyx", size or (1, 1, 1), strict=True))
        scale = [known.get(axis, 1.0) * (step if axis in "yx" else 1) for axis in axes]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    multiscales = [{"axes": named, "datasets": datasets, "name": "image"}]
    omero = {"channels": [{"label": name, "color": "FFFFFF", "window": {"start": 0, "end": 255, "min": 0, "max": 255}}
                          for name in channels]}  # fmt: skip
    told = {"multiscales": multiscales} | ({"omero": omero} if channels else {})
    if version == "0.4":
        multiscales[0]["version"] = "0.4"
        group.attrs.update(told)
    else:
        group.attrs["ome"] = {"version": version} | told
    return path


def hdf5(path: Path, data: np.ndarray, *, name: str = "volume", axes: str = "", **options: object) -> Path:
    """A dataset with its element size, and the axes as ilastik writes them."""
    with h5py.File(path, "a") as file:
        stored = file.create_dataset(name, data=data, **options)
        stored.attrs["element_size_um"] = np.array(NM) / 1000
        if axes:
            stored.attrs["axistags"] = json.dumps({"axes": [{"key": axis, "typeFlags": 2} for axis in axes]})
    return path


def big_data_viewer(path: Path, volumes: dict[tuple[int, int], np.ndarray], names: Sequence[str], *, unit: str) -> Path:
    """(point in time, setup) -> volume; with the .xml beside it."""
    with h5py.File(path, "w") as file:
        for setup in {setup for _, setup in volumes}:
            file[f"s{setup:02d}/resolutions"] = np.array([[1.0, 1, 1], [2, 2, 1]])
            file[f"s{setup:02d}/subdivisions"] = np.array([[16, 16, 4], [16, 16, 4]], np.int32)
        for (time, setup), data in volumes.items():
            stored = data.view(np.int16) if data.dtype == np.uint16 else data
            for level in range(2):
                part = stored[:, :: 2**level, :: 2**level]
                file.create_dataset(f"t{time:05d}/s{setup:02d}/{level}/cells", data=part, chunks=(4, 8, 8))
    setups = "".join(
        f"<ViewSetup><id>{number}</id><name>{name}</name><voxelSize><unit>{unit}</unit>"
        f"<size>{NM[2]} {NM[1]} {NM[0]}</size></voxelSize></ViewSetup>"
        for number, name in enumerate(names)
    )
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<SpimData version="0.2"><ViewSetups>{setups}</ViewSetups></SpimData>'
    )
    path.with_suffix(".xml").write_text(text, encoding="utf-8")
    return path


def mrc(path: Path, data: np.ndarray, *, size: Sequence[float] | None = NM) -> Path:
    """Sizes in angstrom, as the format has them."""
    with mrcfile.new(path) as file:
        file.set_data(data)
        if size:
            file.voxel_size = tuple(10 * each for each in size[::-1])
    return path


def digital_micrograph(path: Path, data: np.ndarray, *, version: int = 3, size: Sequence[float] = NM) -> Path:
    """A DM3 or DM4 with a thumbnail before the volume, as DigitalMicrograph saves."""
    long = ">I" if version == 3 else ">Q"
    kinds = {"uint8": (6, 8), "uint16": (10, 4), "float32": (2, 6)}

    def entry(kind: int, name: str, body: bytes) -> bytes:
        lead = struct.pack(">Q", len(body)) if version == 4 else b""
        return bytes([kind]) + struct.pack(">H", len(name)) + name.encode() + lead + body

    def tag(name: str, info: list[int], value: bytes) -> bytes:
        numbers = b"".join(struct.pack(long, number) for number in (len(info), *info))
        return entry(21, name, b"%%%%" + numbers + value)

    def group(name: str, *children: bytes) -> bytes:
        return entry(20, name, b"\1\0" + struct.pack(long, len(children)) + b"".join(children))

    def image(values: np.ndarray, sizes: Sequence[float]) -> bytes:
        data_type, encoded = (23, 5) if values.dtype == np.uint32 else kinds[str(values.dtype)]
        scales = [
            group("", tag("Origin", [6], struct.pack("<f", 0)), tag("Scale", [6], struct.pack("<f", each)),
                  tag("Units", [20, 4, 2], "nm".encode("utf-16-le")))
            for each in sizes[::-1]
        ]  # fmt: skip
        return group("", group("ImageData", group("Calibrations", group("Dimension", *scales)),
                               tag("Data", [20, encoded, values.size], values.astype(values.dtype).tobytes()),
                               tag("DataType", [3], struct.pack("<i", data_type)),
                               group("Dimensions", *(tag("", [5], struct.pack("<I", each))
                                                     for each in values.shape[::-1]))))  # fmt: skip

    images = group("ImageList", image(np.zeros((4, 6), np.uint32), (1, 1)), image(data, size))
    body = b"\1\0" + struct.pack(long, 1) + images + b"\0" * 8
    path.write_bytes(struct.pack(">I", version) + struct.pack(long, len(body)) + struct.pack(">I", 1) + body)
    return path


def ome_tiff(
    path: Path, data: np.ndarray, *, axes: str = "ZYX", channels: Sequence[str] = (), **options: object
) -> Path:
    """PhysicalSize of all axes, in nm."""
    metadata = {"axes": axes, "PhysicalSizeX": NM[2], "PhysicalSizeXUnit": "nm", "PhysicalSizeY": NM[1],
                "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": NM[0], "PhysicalSizeZUnit": "nm"}  # fmt: skip
    if channels:
        metadata["Channel"] = {"Name": list(channels)}
    tifffile.imwrite(path, data, ome=True, metadata=metadata, photometric="minisblack", **options)
    return path


def imagej(path: Path, data: np.ndarray, *, axes: str = "ZYX", labels: Sequence[str] = (), **options: object) -> Path:
    """As Fiji saves a stack with its scale."""
    metadata = {"axes": axes, "unit": "nm", "spacing": NM[0]} | ({"Labels": list(labels)} if labels else {})
    resolution = (1 / NM[2], 1 / NM[1])
    tifffile.imwrite(path, data, imagej=True, resolution=resolution, metadata=metadata, **options)
    return path
