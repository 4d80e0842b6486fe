"""MRC, REC and ST files, as electron tomography writes them, through mrcfile."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.images.arrays import StoredArray, array_planes, missing_extra, unreadable_part, voxel_size

if TYPE_CHECKING:
    from fijibridge.images.pixel_size import PixelSize
    from fijibridge.images.place import Place
    from fijibridge.images.planes import Planes

_IMOD = (
    1146047817  # IMOD's stamp, at byte 152 of the header; flags follow, of which the first says that bytes are signed
)


@contextmanager
def open_mrc(place: Place, channel: str) -> Iterator[Planes]:
    """Open an MRC file; rows come in the order of the file.

    Parameters
    ----------
    place : Place
        The file.
    channel : str
        The format has one alone.

    Yields
    ------
    Planes

    Raises
    ------
    ImageError
        Truncated, damaged, complex, or more than one volume.
    """
    path = place.path
    try:
        import mrcfile
    except ImportError as error:
        raise missing_extra(f"{path} is an MRC file", "mrcfile") from error
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            file = mrcfile.mmap(path, mode="r")
        except Exception as error:  # a damaged header raises errors of several kinds
            raise unreadable_part(str(path), error) from error
    with file:
        data = file.data
        if data is None or data.ndim not in (2, 3):
            raise ImageError(
                f"{path} holds an array of shape {() if data is None else data.shape}",
                expected="an image or one volume",
                remedy="save one volume alone",
            )
        stored = data.view(np.uint8) if data.dtype == np.int8 and not _signed_bytes(path) else data

        def get(part: tuple[Any, ...]) -> np.ndarray:
            return np.array(stored[part])  # off the file, which is closed again

        notes = [" ".join(str(each.message).split()) for each in told]
        order = tuple(int(file.header[name]) for name in ("mapc", "mapr", "maps"))
        if sorted(order) == [1, 2, 3] and order != (1, 2, 3):
            notes.append(f"its axes are stored in the order {order} of x, y, z; they are taken as they lie in the file")
        size = _voxel(file.header, data.ndim)
        if size is None:
            notes.append(
                "its header gives no voxel size"
                + " but 1 angstrom, the default of programs that know none" * (float(file.header.cella.x) > 0)
            )
        array = StoredArray(
            path, str(path), "ZYX"[-data.ndim :], data.shape,
            stored.dtype.newbyteorder("="), (1,) * (data.ndim - 2) + data.shape[-2:], get,
            pixel_size=size, notes=tuple(notes),
        )  # fmt: skip
        yield array_planes(array, channel)


def _signed_bytes(path: Path) -> bool:
    """Whether bytes are signed: by the standard they are, in IMOD's older files they are not, as their flags tell."""
    with path.open("rb") as file:
        file.seek(152)
        stamp, flags = np.frombuffer(file.read(8), "<i4")
        if _IMOD in (stamp, stamp.byteswap()):
            return bool((flags if stamp == _IMOD else flags.byteswap()) & 1)
    return True


def _voxel(header: Any, ndim: int) -> PixelSize | None:
    """Cell over number of samples, in angstrom; none where that is 0, or 1, which says nothing."""
    sizes: dict[str, float | None] = {}
    for axis, count in (("x", "mx"), ("y", "my"), ("z", "mz"))[:ndim]:
        number, cell = int(header[count]), float(header["cella"][axis])
        sizes[axis] = cell / number if number > 0 and math.isfinite(cell) and cell > 0 else None
    if all(size == 1 for size in sizes.values()):
        return None
    return voxel_size(sizes, dict.fromkeys("xyz", "angstrom"))
