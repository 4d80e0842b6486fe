"""Segmentations as OME-Zarr, written slab by slab: labels with a pyramid, their names and colours, and probabilities.

The root is a label image (``image-label`` of OME-NGFF 0.4 and 0.5), so that any reader opens it; the probabilities lie
in ``probabilities``, a channel a class. A shard (0.5) holds a slab of whole slices, so that whole files are written,
never parts of them; 0.4 has no shards, its chunks are as high as a slab.

The formats: https://ngff.openmicroscopy.org/0.5/ and https://ngff.openmicroscopy.org/0.4/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import OutputError, SettingsError
from fijibridge.core.manifest import MANIFEST

if TYPE_CHECKING:
    from fijibridge.images.pixel_size import PixelSize

VERSIONS = ("0.5", "0.4")
LABELS, PROBABILITIES = "labels", "probabilities"
_CHUNK = 256  # pixels a side: what a viewer reads at a time
_SMALLEST = 128  # pixels: a level of the pyramid whose slices are smaller has no further one
_UNITS = {"nm": "nanometer", "\u00b5m": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter",
          "pm": "picometer", "fm": "femtometer"}  # fmt: skip


def create_store(
    path: Path,
    shape: tuple[int, int, int],
    slab: int,
    *,
    version: str,
    class_names: Sequence[str],
    class_colors: np.ndarray,
    pixel_size: PixelSize | None,
    probabilities: str = "",
) -> None:
    """Make an OME-Zarr store of labels, to be filled by `write_slab` and completed by `finish_store`.

    Parameters
    ----------
    path : Path
        The folder; does not exist.
    shape : (int, int, int)
        (Z, Y, X) in voxels.
    slab : int
        Slices that are written at a time.
    version : {"0.5", "0.4"}
        Of OME-Zarr.
    class_names : sequence of str
        Of the label values 1, 2, ...
    class_colors : ndarray of uint8, shape (classes, 3)
    pixel_size : PixelSize or None
        With the distance of slices; unknown sizes are 1.
    probabilities : {"", "uint8", "float32"}
        Their type; empty: none are written.

    Raises
    ------
    SettingsError
        Another version.
    OutputError
        zarr is not installed.
    """
    zarr = _zarr()
    if version not in VERSIONS:
        raise SettingsError(f"OME-Zarr {version!r}", expected=" or ".join(VERSIONS), remedy="choose one of these")
    form = 3 if version == "0.5" else 2
    root = zarr.create_group(path, zarr_format=form, overwrite=False)
    _array(root, "0", shape, (slab, *_pieces(shape)), np.uint8, form, slab)
    scales = [_scale(pixel_size, 1)]
    colours = [{"label-value": 0, "rgba": [0, 0, 0, 0]}]
    colours += [{"label-value": k, "rgba": [*map(int, rgb), 255]} for k, rgb in enumerate(class_colors, start=1)]
    names = [{"label-value": 0, "class": "unlabelled"}]
    names += [{"label-value": k, "class": name} for k, name in enumerate(class_names, start=1)]
    label: dict[str, Any] = {"colors": colours, "properties": names}
    if form == 2:
        label["version"] = version
    _describe(root, version, LABELS, pixel_size, scales, {"image-label": label})
    if probabilities:
        group = root.create_group(PROBABILITIES)
        count = len(class_names)
        chunks = (1, slab, *_pieces(shape))
        _array(group, "0", (count, *shape), chunks, np.dtype(probabilities), form, slab)
        shown = {"start": 0, "end": 255 if probabilities == "uint8" else 1, "min": 0}
        shown["max"] = shown["end"]
        channels = [
            {"label": name, "color": "".join(f"{int(value):02X}" for value in rgb), "active": True, "window": shown}
            for name, rgb in zip(class_names, class_colors, strict=True)
        ]
        omero: dict[str, Any] = {"channels": channels}
        if form == 2:
            omero |= {"version": version}
        _describe(group, version, PROBABILITIES, pixel_size, [[1.0, *scales[0]]], {"omero": omero}, channels=True)


def write_slab(path: Path, first: int, labels: np.ndarray, probabilities: np.ndarray | None = None) -> None:
    """Write slices that begin at a multiple of the store's slab; the same slab may be written again.

    Parameters
    ----------
    path : Path
        The store.
    first : int
        The first slice, from 0.
    labels : ndarray of uint8, shape (n, Y, X)
    probabilities : ndarray, shape (n, Y, X, classes), optional
    """
    root = _zarr().open_group(path, mode="r+")
    root["0"][first : first + len(labels)] = labels
    if probabilities is not None:
        array = root[f"{PROBABILITIES}/0"]
        for k in range(probabilities.shape[-1]):
            array[k, first : first + len(labels)] = probabilities[..., k]


def read_slab(path: Path, kind: str, first: int, count: int) -> Iterator[np.ndarray]:
    """Slices of a slab.

    Parameters
    ----------
    path : Path
        The store.
    kind : {"labels", "probabilities"}
    first, count : int
        The first slice, from 0, and their number.

    Yields
    ------
    ndarray
        (Y, X), or (Y, X, classes) of probabilities.
    """
    root = _zarr().open_group(path, mode="r")
    if kind == LABELS:
        yield from root["0"][first : first + count]
    else:
        yield from np.moveaxis(root[f"{PROBABILITIES}/0"][:, first : first + count], 0, -1)


def finish_store(path: Path) -> list[str]:
    """Complete a store whose slabs are all written: the pyramid of the labels; what killed workers left goes.

    Parameters
    ----------
    path : Path
        The store.

    Returns
    -------
    list of str
        Its files, below it, with forward slashes.
    """
    zarr = _zarr()
    for left in path.rglob("*.partial"):  # zarr's own names of files that were being written
        left.unlink()
    root = zarr.open_group(path, mode="r+")
    form = root.metadata.zarr_format
    scales, level, array = [_first_scale(root)], 0, root["0"]
    # a label of eight (or of four, where slices are far apart) stands for all: means of labels would be other classes
    while min(array.shape[1:]) >= 2 * _SMALLEST:
        z, y, x = scales[-1]
        factors = (2 if z < 1.5 * min(y, x) and array.shape[0] > 1 else 1, 2, 2)
        shape = tuple(-(-size // factor) for size, factor in zip(array.shape, factors, strict=True))
        slab = max(1, array.chunks[0] if array.shards is None else array.shards[0])
        level += 1
        if str(level) in root:
            del root[str(level)]
        coarse = _array(root, str(level), shape, (slab, *_pieces(shape)), np.uint8, form, slab)
        for first in range(0, shape[0], slab):
            last = min(first + slab, shape[0])
            block = array[first * factors[0] : last * factors[0] : factors[0], :: factors[1], :: factors[2]]
            coarse[first:last] = block
        scales.append([a * b for a, b in zip(scales[-1], factors, strict=True)])
        array = coarse
    _rescale(root, scales)
    return [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.name != MANIFEST]


def bytes_of(shape: tuple[int, int, int], classes: int, probabilities: str) -> int:
    """What a store takes on the disk at most, about: labels of phases shrink to a quarter and less, probabilities less.

    Parameters
    ----------
    shape : (int, int, int)
    classes : int
    probabilities : {"", "uint8", "float32"}
    """
    each = np.dtype(probabilities).itemsize if probabilities else 0
    return math.prod(shape) * (0.3 + classes * each).__ceil__()


# --- metadata --------------------------------------------------------------------------------------------------------


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise OutputError(
            "zarr is not installed, which OME-Zarr needs",
            expected="zarr 3",
            remedy='pip install "fijibridge[volumes]", or write NAME.tif',
        ) from error
    return zarr


def _pieces(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a chunk."""
    return min(_CHUNK, shape[-2]), min(_CHUNK, shape[-1])


def _array(
    group: Any, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: Any, form: int, slab: int
) -> Any:
    """An array whose files hold a slab of whole slices each (Zarr 3), or a piece of a slab (Zarr 2)."""
    separator = {"name": "default" if form == 3 else "v2", "separator": "/"}
    shards, axes = None, None
    if form == 3:
        axes = ["c", "z", "y", "x"][-len(shape) :]
        whole = [-(-size // chunk) * chunk for size, chunk in zip(shape[-2:], chunks[-2:], strict=True)]
        shards = (*chunks[:-3], slab, *whole)
    return group.create_array(
        name, shape=shape, chunks=chunks, shards=shards, dtype=np.dtype(dtype), chunk_key_encoding=separator,
        dimension_names=axes, fill_value=0,
    )  # fmt: skip


def _scale(size: PixelSize | None, factor: int) -> list[float]:
    if size is None:
        return [float(factor)] * 3
    return [(size.z or size.x) * factor, size.y * factor, size.x * factor]


def _describe(
    group: Any, version: str, name: str, size: PixelSize | None, scales: list[list[float]], more: dict[str, Any],
    *, channels: bool = False,
) -> None:  # fmt: skip
    unit = _UNITS.get(size.unit) if size else None
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if channels else []
    axes += [{"name": axis, "type": "space"} | ({"unit": unit} if unit else {}) for axis in "zyx"]
    image: dict[str, Any] = {"name": name, "axes": axes, "datasets": _datasets(scales)}
    if version == "0.4":
        image["version"] = version
        group.attrs.update({"multiscales": [image], **more})
    else:
        group.attrs.update({"ome": {"version": version, "multiscales": [image], **more}})


def _datasets(scales: list[list[float]]) -> list[dict[str, Any]]:
    return [
        {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for level, scale in enumerate(scales)
    ]


def _multiscales(group: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """All attributes of a group, and the part of them that holds the levels."""
    attributes = dict(group.attrs)
    return attributes, attributes.get("ome", attributes)["multiscales"][0]


def _first_scale(group: Any) -> list[float]:
    _, image = _multiscales(group)
    return list(image["datasets"][0]["coordinateTransformations"][0]["scale"])


def _rescale(group: Any, scales: list[list[float]]) -> None:
    attributes, image = _multiscales(group)
    image["datasets"] = _datasets(scales)
    image["type"] = "nearest"
    group.attrs.update(attributes)
