"""Gatan DigitalMicrograph's DM3 and DM4 through ncempy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.images.arrays import StoredArray, array_planes, axes_of, missing_extra, unreadable_part, voxel_size

if TYPE_CHECKING:
    from fijibridge.images.place import Place
    from fijibridge.images.planes import Planes


@contextmanager
def open_dm(place: Place, channel: str) -> Iterator[Planes]:
    """Open a DM3 or DM4 file; the thumbnail before the image is left out.

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
        Truncated, damaged, or no image or volume.
    """
    path = place.path
    try:
        from ncempy.io import dm
    except ImportError as error:
        raise missing_extra(f"{path} is a Gatan DigitalMicrograph file", "ncempy", "dm") from error
    try:
        with dm.fileDM(path, on_memory=False) as file:  # a map of all cannot be closed after an error
            stored = np.squeeze(file.getMemmap(0))
            number = 0 if file.numObjects == 1 else 1
            start = sum(file.dataShape[:number])  # scales of all datasets stand in one list, x first
            scales = list(zip(file.scale, file.scaleUnit, strict=False))[start : start + stored.ndim]
            if stored.ndim < 2:
                raise ValueError(f"its data of shape {stored.shape} are no image")
    except Exception as error:  # its parser raises errors of any kind
        raise unreadable_part(str(path), error) from error
    axes = axes_of(str(path), (), stored.shape, stored.dtype)
    known = dict(zip("xyz", scales, strict=False))
    array = StoredArray(
        path, str(path), axes, stored.shape, stored.dtype.newbyteorder("="),
        tuple(size if letter in "YXS" else 1 for letter, size in zip(axes, stored.shape, strict=True)),
        lambda part: np.array(stored[part]),
        pixel_size=voxel_size({axis: float(scale) for axis, (scale, _) in known.items()},
                              {axis: str(unit) for axis, (_, unit) in known.items()}),
    )  # fmt: skip
    yield array_planes(array, channel)
