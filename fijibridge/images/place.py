"""What a path names: a file or store that is there, and behind it a dataset or a channel inside of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fijibridge.core.errors import SettingsError
from fijibridge.images.formats import format_of

_ZARR = (".zarray", ".zgroup", ".zattrs", "zarr.json")
# Files in which more than one image may lie: FILE.h5/volume/data names a dataset, STACK.tif/BSE a channel.
_WITH_INNER = ("TIFF", "HDF5", "zarr")
_WILD = "*?["


@dataclass(frozen=True)
class Place:
    """A file or folder, and what is named inside of it.

    Parameters
    ----------
    path : Path
        The file or folder that is there.
    form : str
        Name of its reader, see :data:`fijibridge.images.reading.READERS`.
    inner : tuple of str
        The rest of the path: a dataset, a channel or a pattern of file names.
    """

    path: Path
    form: str
    inner: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As the user may write it, for messages."""
        return "/".join((str(self.path), *self.inner))

    def channel(self, wanted: str) -> str:
        """The channel that is asked for, in a file in which nothing else can be named.

        Parameters
        ----------
        wanted : str
            By the caller; empty: what the path says.

        Raises
        ------
        SettingsError
            The path names another.
        """
        inside = "/".join(self.inner)
        if inside and wanted and inside != wanted:
            raise SettingsError(
                f"{self.name}, and channel {wanted!r}",
                expected="one channel",
                remedy="name it in the path, or by the option",
            )
        return wanted or inside


def locate(path: str | Path) -> Place:
    """Find what a path names.

    Parameters
    ----------
    path : str or Path
        A file; a folder; ``STORE.zarr/0``, ``FILE.h5/volume/data``: a dataset; ``STACK.tif/BSE``: a channel;
        ``FOLDER/s_*.tif``: some files of a folder.

    Raises
    ------
    ImageNotFoundError, ImageError
        Nothing is there, or it is of no format that is read.
    """
    path = Path(path)
    if os.path.isdir(path):  # Path.is_dir() raises for a name that no file can have
        root = zarr_root(path)
        return Place(path, "folder") if root is None else Place(root, "zarr", path.relative_to(root).parts)
    if not os.path.exists(path):
        parent = next((each for each in path.parents if os.path.exists(each)), Path())
        inner = path.relative_to(parent).parts if parent in path.parents else ()
        if os.path.isfile(parent) and (form := format_of(parent)) in _WITH_INNER:
            return Place(parent, form, inner)
        if os.path.isdir(parent) and inner:
            root = zarr_root(parent)
            if root is not None:
                return Place(root, "zarr", path.relative_to(root).parts)
            if len(inner) == 1 and set(_WILD) & set(inner[0]):
                return Place(parent, "folder", inner)
    return Place(path, format_of(path))


def zarr_root(folder: Path) -> Path | None:
    """The zarr store that a folder is, or lies in.

    Parameters
    ----------
    folder : Path
        It is there.

    Returns
    -------
    Path or None
        None for other folders.
    """
    root = folder if folder.suffix.lower() == ".zarr" else None
    for each in (folder, *folder.parents):
        if not any(os.path.exists(each / name) for name in _ZARR):
            break
        root = each
    return root


def image_name(path: str | Path) -> str:
    """What the results of an image are called after: its file's name without the ending, or its folder's.

    Parameters
    ----------
    path : str or Path
        As for `locate`; it need not be there.
    """
    path = Path(path)
    try:
        place = locate(path)
    except (OSError, ValueError):  # it is told where it is read
        return path.stem
    return place.path.name if place.form == "folder" else place.path.stem
