"""An array on disk with named axes - of zarr, HDF5, MRC - as a row of planes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.images.channels import channel_notes, choose_channel
from fijibridge.images.limits import LARGEST_SIDE, MOST_PAGES, check_size
from fijibridge.images.pixel_size import METRES, PixelSize, normalise_unit, pixel_size_from_metres
from fijibridge.images.planes import Planes
from fijibridge.images.slabs import Slabs

_SAMPLES = (3, 4)  # RGB, RGB with alpha
_MOST_CHANNELS = 16  # of a last axis without a name that may hold channels
_LONG_UNITS = {
    "angstrom": 1e-10, "\u00e5": 1e-10, "a": 1e-10, "picometer": 1e-12, "picometre": 1e-12, "millimeter": 1e-3,
    "millimetre": 1e-3, "centimeter": 1e-2, "centimetre": 1e-2,
}  # fmt: skip


@dataclass(frozen=True)
class StoredArray:
    """An array on disk.

    Parameters
    ----------
    path : Path
        The file or store.
    name : str
        With the dataset in it, as the user may write it.
    axes : str
        A letter an axis, of T, C, Z, Y, X and S (samples of RGB), see `axes_of`.
    shape : tuple of int
        As stored, in the order of `axes`.
    dtype : np.dtype
        Of the values that `get` returns.
    chunks : tuple of int
        What is decoded at once, in the order of `axes`.
    get : callable
        (a number or a slice for each axis) -> that part.
    channels : tuple of str
        Names, as far as the file gives them.
    pixel_size : PixelSize or None
        As the file gives it.
    notes : tuple of str
        What a person should know.
    """

    path: Path
    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    get: Callable[[tuple[Any, ...]], np.ndarray]
    channels: tuple[str, ...] = ()
    pixel_size: PixelSize | None = None
    notes: tuple[str, ...] = ()

    def size(self, axis: str) -> int:
        """Length along an axis; 1 where there is none of that letter."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


def array_planes(array: StoredArray, channel: str = "") -> Planes:
    """The planes of an array on disk, frame by frame, of which a row of chunks is in memory at a time.

    Parameters
    ----------
    array : StoredArray
        With axes Y and X at least.
    channel : str
        A name or a number from 1; empty: the only one.

    Raises
    ------
    ImageError
        Several channels and none chosen, no pixels, or values that are no numbers.
    """
    what = array.name
    if 0 in array.shape:
        raise ImageError(f"{what} of shape {array.shape} has no pixels", expected="an image", remedy="name another")
    if array.dtype.kind not in "uifb":
        raise ImageError(f"{what} holds values of {array.dtype}", expected="integers or floats", remedy="name another")
    names = (*array.channels, *[""] * array.size("C"))[: array.size("C")]
    chosen = choose_channel(what, names, channel)
    along = "Z" if "Z" in array.axes else "T"
    depth, frames = array.size(along), array.size("T")
    count = depth if along == "T" else depth * frames
    if count > MOST_PAGES or max(array.size("Y"), array.size("X")) > LARGEST_SIDE:
        raise ImageError(f"{what} of shape {array.shape}", expected="an image", remedy="it is damaged: copy it again")
    shape = (array.size("Y"), array.size("X"), *([array.size("S")] if "S" in array.axes else []))
    order = [axis for axis in array.axes if axis in (along, "Y", "X", "S")]
    target = [order.index(axis) for axis in (along, "Y", "X", "S") if axis in order]
    chunks = dict(zip(array.axes, array.chunks, strict=True))

    def slab_of(frame: int) -> Callable[[int, int], np.ndarray]:
        def read(first: int, last: int) -> np.ndarray:
            place = {"1": 0, "C": chosen} | ({} if along == "T" else {"T": frame}) | {along: slice(first, last)}
            got = _get(array, tuple(place.get(axis, slice(None)) for axis in array.axes), first, last)
            return np.transpose(got, target) if along in order else got.transpose(target)[None]

        return read

    plane_bytes = math.prod(shape) * array.dtype.itemsize
    slabs: dict[int, Slabs] = {}

    def slabs_of(frame: int) -> Slabs:
        if frame not in slabs:
            slabs.clear()  # the frame before is done
            slabs[frame] = Slabs(depth, chunks.get(along, 1), plane_bytes, slab_of(frame))
        return slabs[frame]

    # a chunk is decoded as a whole, and nothing but the machine's memory limits what one may be
    needed = max(math.prod(array.chunks), math.prod(shape)) * array.dtype.itemsize
    sizes = f"{shape[1]} x {shape[0]} pixels in chunks of {' x '.join(map(str, array.chunks))}"
    check_size(array.path, sizes, needed, needed)

    def read(index: int, raw: bool) -> np.ndarray:
        frame, number = (0, index) if along == "T" else divmod(index, depth)
        plane = slabs_of(frame).plane(number)
        if plane.dtype == bool and not raw:
            plane = plane.astype(np.uint8) * np.uint8(255)
        return plane[..., :3] if plane.ndim == 3 and not raw else plane

    notes = array.notes
    if (parts := slabs_of(0).parts) > 1:
        notes += (f"its chunks of {chunks[along]} slices are decoded {parts} times each, for memory's sake",)
    notes += channel_notes(names, chosen)
    return Planes(
        array.path, count, read, array.pixel_size, lambda shape: None, frames=frames, pages=count, notes=notes,
        channels=names if len(names) > 1 else (), shape=shape, dtype=array.dtype, sparse=True,
    )  # fmt: skip


def _get(array: StoredArray, place: tuple[Any, ...], first: int, last: int) -> np.ndarray:
    try:
        got = np.asarray(array.get(place))
    except Exception as error:  # decoders and stores raise errors of any kind
        raise unreadable_part(f"slice(s) {first + 1} to {last} of {array.name}", error) from error
    return got if got.dtype.isnative else got.astype(got.dtype.newbyteorder("="))


def unreadable_part(what: str, why: object) -> ImageError:
    """The error for a container, or a part of it, that its library refuses.

    Parameters
    ----------
    what : str
        The file and the part.
    why : object
        What the library said.
    """
    text = " ".join(str(why).split())[:300] or type(why).__name__
    return ImageError(
        f"{what} cannot be read ({text})",
        expected="a complete file, all of whose parts can be decoded",
        remedy="copy it again from its source; open it in Fiji to see what is left of it",
    )


def axes_of(what: str, names: Sequence[str], shape: Sequence[int], dtype: np.dtype[Any]) -> str:
    """Letters of an array's axes.

    Parameters
    ----------
    what : str
        The dataset, as the user may write it.
    names : sequence of str
        As the file gives them, in any case; empty where it does not.
    shape : sequence of int
        Of the array.
    dtype : np.dtype
        Of its values: of three axes the last is RGB where it has three or four values of 8 bits.

    Returns
    -------
    str
        Of T, C, Z, Y, X and S; an axis of length 1 that is none of these is ``"1"``.

    Raises
    ------
    ImageError
        No image.
    """
    letters = "".join(name[:1].upper() for name in names)
    if len(letters) == len(shape) and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters):
        unknown = [name for name, size, letter in zip(names, shape, letters, strict=True)
                   if letter not in "TCZYX" and size > 1]  # fmt: skip
        if not unknown:
            letters = "".join(letter if letter in "TCZYX" else "1" for letter in letters)
            return _with_samples(letters, shape, dtype)
    own = [index for index, size in enumerate(shape) if size > 1]
    if len(own) < 2 or len(shape) <= 3:  # a short image keeps its axes of length 1, but those that lead
        own = list(range(len(shape) - min(len(shape), 3), len(shape)))
    sizes = [shape[index] for index in own]
    found = {2: "YX", 3: "ZYX", 4: "ZYXC"}.get(len(own), "")
    if len(own) == 3 and sizes[2] in _SAMPLES and dtype == np.uint8:
        found = "YXS"
    if len(own) == 4 and sizes[3] in _SAMPLES and dtype == np.uint8:
        found = "ZYXS"
    if not found or (found == "ZYXC" and sizes[3] > _MOST_CHANNELS):
        said = f" and axes {', '.join(names)}" if names else ""
        raise ImageError(
            f"{what} of shape {tuple(shape)}{said}",
            expected="an image (Y, X), a volume (Z, Y, X), or axes named t, c, z, y, x",
            remedy="name a dataset of two or three axes; or name its axes: in HDF5 by ilastik's axistags or dimension "
            "labels, in zarr as OME-Zarr",
        )
    named = dict(zip(own, found, strict=True))
    return "".join(named.get(index, "1") for index in range(len(shape)))


def _with_samples(letters: str, shape: Sequence[int], dtype: np.dtype[Any]) -> str:
    """A last axis of three colours of 8 bits, as RGB images have it."""
    rgb = letters.endswith("C") and shape[-1] in _SAMPLES and dtype == np.uint8
    return f"{letters[:-1]}S" if rgb else letters


def voxel_size(sizes: Mapping[str, float | None], units: Mapping[str, str]) -> PixelSize | None:
    """Size of a voxel from a scale for each axis.

    Parameters
    ----------
    sizes : mapping
        Axis (``"z"``, ``"y"``, ``"x"``) -> length; z may be missing.
    units : mapping
        Axis -> its unit of length.

    Returns
    -------
    PixelSize or None
        In the unit a microscopist would use; None where y or x has no length that is known.
    """
    metres = {}
    for axis, size in sizes.items():
        unit = normalise_unit(units.get(axis) or "")
        scale = METRES.get(unit) or _LONG_UNITS.get(unit.lower())
        if scale is not None and size is not None and math.isfinite(size) and size > 0:
            metres[axis] = float(size) * scale
    if "x" not in metres:
        return None
    found = pixel_size_from_metres(metres.get("y", metres["x"]), metres["x"])
    if found is None or "z" not in metres:
        return found
    return PixelSize(found.y, found.x, found.unit, float(f"{metres['z'] / METRES[found.unit]:.9g}"))


def choose_dataset(what: str, found: Mapping[str, str], kind: str) -> str:
    """The only image of a container.

    Parameters
    ----------
    what : str
        The file, or the group in it.
    found : mapping
        Name -> shape and type in words, of the datasets that may be images.
    kind : str
        ``"HDF5 file"``, for messages.

    Raises
    ------
    ImageError
        None, or several.
    """
    if not found:
        raise ImageError(
            f"{what} is a {kind} without an image: no dataset in it has two axes or more",
            expected="an image or a volume of numbers",
            remedy="check that it is the right file, and complete",
        )
    if len(found) == 1:
        return next(iter(found))
    listed = ", ".join(f"{name} {about}" for name, about in list(found.items())[:12])
    more = f" and {len(found) - 12} more" if len(found) > 12 else ""
    raise ImageError(
        f"{what} is a {kind} with {len(found)} datasets: {listed}{more}",
        expected="one image, or the name of one",
        remedy=f"name it behind the path: {what}/{next(iter(found))}",
    )


def missing_extra(what: str, package: str, extra: str = "volumes") -> ImageError:
    """The error for a format whose library is not installed.

    Parameters
    ----------
    what : str
        ``"FILE is an MRC file"``.
    package : str
        The library.
    extra : str
        Of this package, that brings it.
    """
    return ImageError(
        f"{what}, and {package} is not installed",
        expected=f"{package}, which reads it",
        remedy=f'pip install "fijibridge[{extra}]"; or open it in Fiji and save it as TIFF',
    )
