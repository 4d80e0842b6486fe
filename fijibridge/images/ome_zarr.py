"""OME-Zarr 0.1 to 0.5 and plain zarr arrays, of version 2 or 3, through zarr."""

from __future__ import annotations

import warnings
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

if TYPE_CHECKING:
    import zarr

    from fijibridge.images.pixel_size import PixelSize
    from fijibridge.images.place import Place
    from fijibridge.images.planes import Planes

_OLD_AXES = ("t", "c", "z", "y", "x")  # of OME-Zarr 0.1 and 0.2, which name none


@contextmanager
def open_zarr(place: Place, channel: str) -> Iterator[Planes]:
    """Open an image in a zarr store.

    Parameters
    ----------
    place : Place
        The store; an image, a level or an array in it, and a channel of it, may be named behind it.
    channel : str
        A name or a number from 1; empty: the only one.

    Yields
    ------
    Planes

    Raises
    ------
    ImageNotFoundError
        Nothing of that name in the store.
    ImageError
        Damaged, no image in it, or several images or channels and none chosen.
    """
    try:
        import zarr
    except ImportError as error:
        raise missing_extra(f"{place.path} is a zarr store", "zarr") from error
    with warnings.catch_warnings():  # of files in the store that are none of its own, of codecs not yet standard
        warnings.simplefilter("ignore")
        try:
            root = zarr.open(str(place.path), mode="r")
            array, channel = _find(place, root, channel)
        except BridgeError:
            raise
        except Exception as error:  # damaged metadata raise errors of any kind
            raise _no_store(place, error) from error
    yield array_planes(array, channel)


def label_names(place: Place) -> dict[int, str]:
    """Label value -> name, of a label image in OME-Zarr whose ``image-label`` names them; else empty.

    Parameters
    ----------
    place : Place
        The store, and what is named behind it.
    """
    import zarr

    found: dict[int, str] = {}
    with suppress(Exception), warnings.catch_warnings():  # what cannot be read is told where the labels are
        warnings.simplefilter("ignore")
        node: Any = zarr.open(str(place.path), mode="r")
        for name in ("", *place.inner):
            node = node[name] if name else node
            properties = _ome(node).get("image-label", {}).get("properties", [])
            for one in properties:
                found[int(one["label-value"])] = str(one.get("class") or one.get("name") or "")
    return {value: name for value, name in found.items() if name}


def _no_store(place: Place, error: Exception) -> ImageError:
    if isinstance(error, FileNotFoundError):
        return ImageError(
            f"{place.path} is no zarr store that is whole: it has neither zarr.json nor .zarray or .zgroup",
            expected="OME-Zarr, or a zarr array",
            remedy="name the folder that holds one of these; or copy the store again from its source",
        )
    return unreadable_part(f"the zarr store {place.path}", error)


def _find(place: Place, root: Any, channel: str) -> tuple[StoredArray, str]:
    """The array that a path names, and the channel."""
    import zarr

    node, nodes, parts = root, [root], list(place.inner)
    while parts and isinstance(node, zarr.Group) and parts[0] in node:
        node = node[parts.pop(0)]
        nodes.append(node)
    if isinstance(node, zarr.Group):
        node, nodes = _image_of(place, node, nodes)
    names, size, notes = _described(nodes)
    what = "/".join(part for part in (str(place.path), node.path) if part)
    array = _stored(place.path, what, node, names, size, notes)
    if len(parts) > 1 or (parts and (channel or array.size("C") == 1)):
        raise ImageNotFoundError(
            f"no {'/'.join(place.inner)} in {place.path}",
            expected=", ".join(_members(root)) or "an array",
            remedy="check its spelling",
        )
    return array, channel or "".join(parts)


def _image_of(place: Place, group: zarr.Group, nodes: list[Any]) -> tuple[zarr.Array[Any], list[Any]]:
    """The only image of a group, in full size."""
    import zarr

    if multiscales := _multiscales(group):
        path = str(multiscales["datasets"][0]["path"])
        node = group[path]
        if not isinstance(node, zarr.Array):
            raise ImageError(
                f"{place.path}: its metadata call {path} an image, which is a group",
                expected="an array",
                remedy="copy the store again from its source",
            )
        return node, [*nodes, node]
    images: dict[str, str] = {}
    for name, node in sorted(group.members(), key=lambda member: (len(member[0]), member[0])):
        if isinstance(node, zarr.Array):
            images |= {name: f"{node.shape} {node.dtype}"} if _is_image(node) else {}
        elif _holds_image(node):
            images[name] = "(a group)"
    path = "/".join(part for part in (str(place.path), group.path) if part)
    node = group[choose_dataset(path, images, "zarr group")]
    nodes = [*nodes, node]
    return (node, nodes) if isinstance(node, zarr.Array) else _image_of(place, node, nodes)


def _is_image(node: Any) -> bool:
    return node.ndim >= 2 and sum(size > 1 for size in node.shape) >= 2 and node.dtype.kind in "uifb"


def _holds_image(group: Any, depth: int = 3) -> bool:
    """Whether an image lies in a group or, as in plates, in groups of it."""
    import zarr

    if _multiscales(group):
        return True
    members = [node for _, node in group.members()]
    return any(_is_image(node) if isinstance(node, zarr.Array) else depth > 0 and _holds_image(node, depth - 1)
               for node in members)  # fmt: skip


def _members(root: Any) -> list[str]:
    import zarr

    return [name for name, _ in root.members()][:12] if isinstance(root, zarr.Group) else []


def _ome(group: Any) -> dict[str, Any]:
    """OME's metadata of a group, which 0.5 keeps under a key of its own."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, dict) else {}


def _multiscales(group: Any) -> dict[str, Any] | None:
    found = _ome(group).get("multiscales")
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else None


def _described(nodes: list[Any]) -> tuple[list[str], tuple[tuple[str, ...], PixelSize | None], tuple[str, ...]]:
    """Axes, channels and voxel size of an array, by the groups that it lies in."""
    array = nodes[-1]
    for group in reversed(nodes[:-1]):
        scales = _multiscales(group)
        start = f"{group.path}/" if group.path else ""
        inner = array.path[len(start) :]
        data = (
            next((each for each in scales["datasets"] if str(each["path"]).strip("/") == inner), None)
            if scales
            else None
        )
        if scales is None or data is None:
            continue
        axes = scales.get("axes") or _OLD_AXES[-array.ndim :]
        named = [axis if isinstance(axis, dict) else {"name": str(axis)} for axis in axes]
        names = [str(axis.get("name", "")) for axis in named]
        factors = np.ones(array.ndim)
        for transform in (*data.get("coordinateTransformations", ()), *scales.get("coordinateTransformations", ())):
            if transform.get("type") == "scale":
                factors = factors * np.asarray(transform["scale"], np.float64)
        sizes = {name: float(factor) for name, factor in zip(names, factors, strict=True) if name in ("z", "y", "x")}
        units = {str(axis.get("name")): str(axis.get("unit") or "") for axis in named}
        unknown = not any(units.get(axis) for axis in sizes) and any(size != 1 for size in sizes.values())
        notes = ("its scale has no unit, and is not taken as a voxel size",) if unknown else ()
        channels = (_ome(group).get("omero") or {}).get("channels") or ()
        labels = tuple(str(each.get("label") or "") for each in channels if isinstance(each, dict))
        return names, (labels, voxel_size(sizes, units)), notes
    given = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    return [str(name or "") for name in given], ((), None), ()


def _stored(
    path: Path,
    what: str,
    array: zarr.Array[Any],
    names: list[str],
    described: tuple[tuple[str, ...], PixelSize | None],
    notes: tuple[str, ...],
) -> StoredArray:
    if not _is_image(array) and array.ndim < 2:
        raise ImageError(
            f"{what} is a zarr array of shape {array.shape} ({array.dtype}), no image",
            expected="two axes or more",
            remedy="name another array of the store",
        )
    channels, size = described
    return StoredArray(
        path, what, axes_of(what, names, array.shape, array.dtype), tuple(array.shape), array.dtype.newbyteorder("="),
        tuple(array.chunks), lambda part: np.asarray(array[part]), channels, size, notes,
    )  # fmt: skip
