"""A volume on disk as one lazy object: some slices at a time, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.images.limits import check_size
from fijibridge.images.reading import open_planes

if TYPE_CHECKING:
    from fijibridge.images.pixel_size import PixelSize

__all__ = ["Volume", "open_volume"]


class Volume:
    """A stack of slices on disk, which is read as it is asked for; see :func:`open_volume`.

    It is a context manager; `close` ends it without one. `volume[3]` is a slice, (Y, X); `volume[10:20]` and
    `volume[::50]` are some, (n, Y, X). One process, one thread: each worker opens its own.

    Attributes
    ----------
    path : Path
        The file or folder.
    name : str
        Its name without the ending.
    shape : tuple of int
        (Z, Y, X): all slices, which come frame by frame where there are several points in time.
    frames : int
        Points in time; `shape[0]` is a multiple of it.
    dtype : np.dtype
        Of the values, as the file stores them.
    axes : str
        ``"ZYX"``, or ``"ZYXS"`` of a stack in colour, whose slices are (Y, X, S).
    samples : int
        Values a voxel: 1, or 3 or 4 of RGB.
    voxel_size : PixelSize or None
        As the file gives it; z is None where only that is not known.
    channels : tuple of str
        Names of the file's channels, one of which this is; empty where it has no channels.
    notes : tuple of str
        What a person should know of the reading, such as pages that are left out.

    Parameters
    ----------
    path : str or Path
        As for :func:`open_volume`.
    channel : str
        Likewise.
    """

    def __init__(self, path: str | Path, *, channel: str = "") -> None:
        with ExitStack() as stack:
            planes = stack.enter_context(open_planes(path, channel=channel))
            form: tuple[int, ...] = planes.shape
            dtype = planes.dtype
            if not form or dtype is None:
                first = planes.plane(0, raw=True)
                form, dtype = first.shape, first.dtype
            self._open = stack.pop_all()
        self._planes, self._form = planes, form
        self.path, self.name = planes.path, planes.name
        self.shape = (planes.count, form[0], form[1])
        self.samples = form[2] if len(form) == 3 else 1
        self.axes = "ZYXS" if len(form) == 3 else "ZYX"
        self.frames: int = planes.frames
        self.dtype: np.dtype[Any] = dtype
        self.voxel_size: PixelSize | None = planes.pixel_size
        self.channels, self.notes = planes.channels, planes.notes
        self.closed = False

    def read(self, z0: int, z1: int) -> np.ndarray:
        """Read slices z0 to z1, the last left out.

        Parameters
        ----------
        z0, z1 : int
            0 <= z0 < z1 <= shape[0].

        Returns
        -------
        np.ndarray
            (z1 - z0, Y, X), of RGB (z1 - z0, Y, X, S); the values stored.

        Raises
        ------
        SettingsError
            No such slices, or the volume is closed.
        ImageError
            A slice that cannot be read, or of another size or type than the volume; or more than memory holds.
        """
        if not 0 <= z0 < z1 <= self.shape[0]:
            raise SettingsError(
                f"slices {z0} to {z1} of {self.path}",
                expected=f"0 <= z0 < z1 <= {self.shape[0]}",
                remedy="ask for these",
            )
        return self._read(range(z0, z1))

    def _read(self, indices: range) -> np.ndarray:
        if self.closed:
            raise SettingsError(f"{self.path} is closed", expected="an open volume", remedy="open it again")
        shape = (len(indices), *self._form)
        needed = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        check_size(self.path, f"{shape[0]} slices of {shape[2]} x {shape[1]} pixels", needed, needed)
        out = np.empty(shape, self.dtype)
        for place, index in enumerate(indices):
            plane = self._planes.plane(index, raw=True)
            if plane.shape != self._form or plane.dtype != self.dtype:
                raise ImageError(
                    f"{self.path}: slice {index + 1} is {plane.shape} ({plane.dtype}), the volume's are {self._form} "
                    f"({self.dtype})",
                    expected="slices of one size and type",
                    remedy="in Fiji: File > Import > Image Sequence..., then save the stack as TIFF",
                )
            out[place] = plane
        return out

    def __len__(self) -> int:
        """Number of slices."""
        return self.shape[0]

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> np.ndarray: ...
    def __getitem__(self, index: int | slice) -> np.ndarray:
        """A slice, (Y, X); or some, (n, Y, X)."""
        if isinstance(index, slice):
            return self._read(range(*index.indices(self.shape[0])))
        number = int(index) + (self.shape[0] if index < 0 else 0)
        if not 0 <= number < self.shape[0]:
            raise IndexError(f"slice {index} of {self.shape[0]}")
        return self._read(range(number, number + 1))[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        """The slices, one at a time."""
        return (self[index] for index in range(len(self)))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Refused: it would read the whole volume unasked."""
        raise TypeError("a Volume is no array: read(z0, z1) or volume[:] reads slices into one")

    def __repr__(self) -> str:
        return f"Volume({str(self.path)!r}, shape={self.shape}, dtype={self.dtype}, voxel_size={self.voxel_size})"

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self._open.close()

    def __enter__(self) -> Volume:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_volume(path: str | Path, *, channel: str = "") -> Volume:
    """Open a volume without reading it.

    Parameters
    ----------
    path : str or Path
        TIFF, BigTIFF or OME-TIFF stack; a folder of slices; OME-Zarr; HDF5; MRC; DM3, DM4. A dataset in a container
        stands behind it (``FILE.h5/volume/data``, ``STORE.zarr/1``), as may a channel (``STACK.tif/BSE``) and a pattern
        of slices (``FOLDER/s_*.tif``).
    channel : str
        Of a file with several channels: the name of one, or its number from 1.

    Returns
    -------
    Volume
        Of which `read(z0, z1)` gives some slices; use it in a `with` statement, or `close` it.

    Raises
    ------
    ImageNotFoundError
        No such file or dataset.
    ImageError
        Unreadable or no image; or several channels, datasets or images, and none chosen.

    Examples
    --------
    >>> with open_volume("stack.zarr") as volume:  # doctest: +SKIP
    ...     middle = volume[len(volume) // 2]
    """
    return Volume(path, channel=channel)
