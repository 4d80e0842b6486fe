"""Volumes in HDF5 through h5py: any dataset, ilastik's layouts, BigDataViewer's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import BridgeError, ImageError, ImageNotFoundError
from fijibridge.images.arrays import (
    StoredArray,
    array_planes,
    axes_of,
    choose_dataset,
    missing_extra,
    unreadable_part,
    voxel_size,
)
from fijibridge.images.channels import choose_channel
from fijibridge.images.vendors.base import xml_root

if TYPE_CHECKING:
    import h5py

    from fijibridge.images.pixel_size import PixelSize
    from fijibridge.images.place import Place
    from fijibridge.images.planes import Planes

# BigDataViewer: point in time, setup (a channel, an angle, a tile), level of the pyramid
_BDV = re.compile(r"t(\d{5,})/s(\d{2,})/(\d+)/cells")
_MOST_DATASETS = 10_000


@contextmanager
def open_hdf5(place: Place, channel: str) -> Iterator[Planes]:
    """Open a volume in an HDF5 file.

    Parameters
    ----------
    place : Place
        The file; a dataset, and a channel of it, may be named behind it.
    channel : str
        A name or a number from 1; empty: the only one. The setups of BigDataViewer are channels.

    Yields
    ------
    Planes

    Raises
    ------
    ImageNotFoundError
        No such dataset.
    ImageError
        Damaged, no image in it, or several datasets or channels and none chosen.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_extra(f"{place.path} is an HDF5 file", "h5py") from error
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401 (decoders such as Blosc, LZ4 and bitshuffle, where it is installed)
    try:
        file = h5py.File(place.path, "r", locking=False)  # a lock needs a folder that can be written to
    except Exception as error:  # h5py raises OSError, ValueError, RuntimeError on damaged files
        raise unreadable_part(str(place.path), error) from error
    with file:
        try:
            array, channel = _array(place, file, channel)
        except BridgeError:
            raise
        except Exception as error:
            raise unreadable_part(place.name, error) from error
        yield array_planes(array, channel)


def _array(place: Place, file: h5py.File, channel: str) -> tuple[StoredArray, str]:
    inner = list(place.inner)
    named = "/".join(inner)
    found = _datasets(place, file)
    if (setups := _setups(found)) and named not in found:
        return _big_data_viewer(place, file, setups, channel or named), ""
    below, behind = _below(found, named), ""
    if named not in found and not below and not channel and inner:  # the last part is a channel of the dataset
        rest = "/".join(inner[:-1])
        if rest in found or len(_below(found, rest)) == 1:
            behind, named, below = inner[-1], rest, _below(found, rest)
    if named not in found:
        if named and not below:
            raise _no_dataset(place, found)
        named = choose_dataset(str(place.path), below, "HDF5 file")
    array = _stored(place, file[named], f"{place.path}/{named}")
    if behind and array.size("C") == 1:
        raise _no_dataset(place, found)
    return array, channel or behind


def _no_dataset(place: Place, found: dict[str, str]) -> ImageNotFoundError:
    return ImageNotFoundError(
        f"no dataset {'/'.join(place.inner)} in {place.path}",
        expected=f"one of {', '.join(list(found)[:12]) or 'none'}",
        remedy="check its spelling",
    )


def _below(found: dict[str, str], group: str) -> dict[str, str]:
    """The datasets in a group and its groups."""
    return {name: text for name, text in found.items() if not group or name.startswith(f"{group}/")}


def _datasets(place: Place, file: h5py.File) -> dict[str, str]:
    """Name -> shape and type, of the datasets that may be images."""
    import h5py

    found: dict[str, str] = {}

    def visit(name: str, node: Any) -> bool | None:
        is_numbers = isinstance(node, h5py.Dataset) and node.shape is not None and node.dtype.kind in "uifb"
        if is_numbers and sum(size > 1 for size in node.shape) >= 2:
            found[name] = f"{tuple(node.shape)} {node.dtype}"
        return True if len(found) > _MOST_DATASETS else None

    file.visititems(visit)
    inner = "/".join(place.inner)  # links to other files are not visited
    for name in (inner, inner.rpartition("/")[0]):
        if name and name not in found and isinstance(node := file.get(name), h5py.Dataset) and node.ndim >= 2:
            found[name] = f"{tuple(node.shape)} {node.dtype}"
    return found


def _stored(place: Place, data: h5py.Dataset, what: str) -> StoredArray:
    tags = _axistags(data)
    labels = [dimension.label for dimension in data.dims]
    names = tags or (labels if all(labels) else [])
    axes = axes_of(what, names, data.shape, data.dtype)
    dtype = _true_type(data)

    def get(part: tuple[Any, ...]) -> np.ndarray:
        values = data[part]
        return values if values.dtype == dtype or dtype.kind != "u" else values.view(dtype)

    planes = (size if letter in "YXS" else 1 for letter, size in zip(axes, data.shape, strict=True))
    return StoredArray(
        place.path, what, axes, tuple(data.shape), dtype.newbyteorder("="), data.chunks or tuple(planes), get,
        pixel_size=_element_size(data, axes) or _size_by_xml(place.path, data),
    )  # fmt: skip


def _true_type(data: h5py.Dataset) -> np.dtype[Any]:
    """BigDataViewer stores unsigned values in a signed type."""
    is_bdv = _BDV.fullmatch(data.name.strip("/")) and data.dtype == np.int16
    return np.dtype(data.dtype.str.replace("i", "u")) if is_bdv else data.dtype


def _axistags(data: h5py.Dataset) -> list[str]:
    """Letters of the axes, as ilastik writes them with each dataset."""
    text = data.attrs.get("axistags", "")
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        tags = json.loads(text.decode() if isinstance(text, bytes) else text)
        return [str(axis["key"]) for axis in tags["axes"]]
    return []


def _element_size(data: h5py.Dataset, axes: str) -> PixelSize | None:
    """``element_size_um``, z, y, x, as ImageJ's HDF5 plugins and others write it with the dataset."""
    found = data.attrs.get("element_size_um")
    if found is None:
        return None
    with suppress(ValueError, TypeError):
        sizes = np.asarray(found, np.float64).ravel().tolist()
        if len(sizes) in (2, 3):
            return voxel_size(dict(zip("xyz", sizes[::-1], strict=False)), dict.fromkeys("xyz", "um"))
    return None


# --- BigDataViewer ---------------------------------------------------------------------------------------------------


def _setups(found: dict[str, str]) -> dict[str, list[str]]:
    """Setup -> its datasets of full size, in the order of time; empty where the file is no BigDataViewer's."""
    setups: dict[str, list[str]] = {}
    for name in sorted(found):
        if (match := _BDV.fullmatch(name)) and match.group(3) == "0":
            setups.setdefault(match.group(2), []).append(name)
    return setups


def _big_data_viewer(place: Place, file: h5py.File, setups: dict[str, list[str]], channel: str) -> StoredArray:
    """A setup of all points in time."""
    views = _views(place.path)
    ids = sorted(setups)
    names = [str(views.get(int(setup), {}).get("name") or f"s{setup}") for setup in ids]
    if channel.lower().startswith("s") and channel[1:] in ids:
        channel = str(ids.index(channel[1:]) + 1)
    chosen = setups[ids[choose_channel(str(place.path), names, channel)]]
    arrays = [_stored(place, file[name], f"{place.path}/{name}") for name in chosen]
    first = arrays[0]
    if any(array.shape != first.shape or array.dtype != first.dtype for array in arrays) or len(first.shape) != 3:
        raise ImageError(
            f"{place.path} has points in time of different sizes",
            expected="volumes of one size",
            remedy=f"name one behind the path: {place.path}/{chosen[0]}",
        )
    if len(arrays) == 1:
        return first
    return StoredArray(
        place.path, str(place.path), f"T{first.axes}", (len(arrays), *first.shape), first.dtype, (1, *first.chunks),
        lambda part: arrays[part[0]].get(part[1:]), pixel_size=first.pixel_size, notes=first.notes,
    )  # fmt: skip


def _views(path: Path) -> dict[int, dict[str, Any]]:
    """Setup -> name, size and unit, of the .xml beside the file; empty where there is none of BigDataViewer."""
    views: dict[int, dict[str, Any]] = {}
    with suppress(OSError, ValueError, TypeError, AttributeError):
        root = xml_root(path.with_suffix(".xml").read_bytes(), word="ViewSetup")
        for setup in [] if root is None else root.iter("ViewSetup"):
            size = setup.find("voxelSize")
            views[int(setup.findtext("id", ""))] = {
                "name": setup.findtext("name", "").strip(),
                "unit": "" if size is None else size.findtext("unit", "").strip(),
                "size": [] if size is None else [float(part) for part in size.findtext("size", "").split()],
            }
    return views


def _size_by_xml(path: Path, data: h5py.Dataset) -> PixelSize | None:
    """Voxel size of a BigDataViewer's dataset: its setup's, times the level's."""
    match = _BDV.fullmatch(data.name.strip("/"))
    view = _views(path).get(int(match.group(2))) if match else None
    if match is None or view is None or len(view["size"]) != 3:
        return None
    factors = [1.0] * 3
    with suppress(KeyError, IndexError, ValueError, TypeError):
        factors = [float(part) for part in data.file[f"s{match.group(2)}/resolutions"][int(match.group(3))]]
    sizes = [size * factor for size, factor in zip(view["size"], factors, strict=True)]
    return voxel_size(dict(zip("xyz", sizes, strict=True)), dict.fromkeys("xyz", view["unit"]))
