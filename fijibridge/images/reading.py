"""Image files opened by their content: the one way in for micrographs, labels and volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from fijibridge.core.registry import Registry
from fijibridge.images.place import Place, locate
from fijibridge.images.planes import Planes

__all__ = ["ORIGINAL", "READERS", "Planes", "open_planes"]

Reader = Callable[[Place, str], AbstractContextManager[Planes]]  # (what the path names, channel)

# A further format is a file beside this one, its line here, and how its files begin in formats.py.
READERS: Registry[Reader] = Registry(
    "image format",
    {
        "TIFF": ("TIFF, BigTIFF, OME-TIFF, ImageJ's stacks", "fijibridge.images.tiff:open_tiff"),
        "picture": ("PNG, JPEG, BMP, GIF, PGM/PPM, JPEG 2000, WebP", "fijibridge.images.pictures:open_picture"),
        "folder": ("a folder of numbered slices", "fijibridge.images.folders:open_folder"),
        "zarr": ("OME-Zarr 0.4 and 0.5, zarr arrays", "fijibridge.images.ome_zarr:open_zarr"),
        "HDF5": ("HDF5, as ilastik and BigDataViewer write it, too", "fijibridge.images.hdf5:open_hdf5"),
        "MRC": ("MRC, REC, ST", "fijibridge.images.mrc:open_mrc"),
        "DM": ("Gatan DigitalMicrograph's DM3 and DM4", "fijibridge.images.dm:open_dm"),
    },
)

# What Fiji exports loses the vendor's tags: NAME.tif.original beside it names the file that Fiji opened.
ORIGINAL = ".original"


@contextmanager
def open_planes(path: str | Path, *, channel: str = "") -> Iterator[Planes]:
    """Open an image file, a volume in a container, or a folder of numbered slices.

    Parameters
    ----------
    path : str or Path
        The file or folder; with a dataset (``FILE.h5/volume/data``, ``STORE.zarr/0``), a channel (``STACK.tif/BSE``) or
        a pattern of slices (``FOLDER/s_*.tif``) behind it.
    channel : str
        Of a file with several channels: the name of one, or its number from 1.

    Yields
    ------
    Planes

    Raises
    ------
    ImageNotFoundError
        No such file.
    ImageError
        A format that is not supported, a file that cannot be read, or one with several channels, datasets or images of
        which none was chosen.
    """
    place = locate(path)
    with READERS[place.form](place, channel) as planes:
        yield _with_original(planes) if place.form == "TIFF" else planes


def _with_original(planes: Planes) -> Planes:
    """An image that Fiji exported, with what the file says that Fiji opened, where both have one size."""
    note = planes.path.with_name(planes.path.name + ORIGINAL)
    try:
        if not note.is_file() or note.stat().st_size > 4096:
            return planes
        original = Path(note.read_text(encoding="utf-8").strip())
        if not original.is_file() or original.with_name(original.name + ORIGINAL).exists():
            return planes
        with open_planes(original) as source:
            shape = source.plane(0, raw=True).shape[:2]
            if shape != planes.plane(0, raw=True).shape[:2]:
                return planes
            rows = source.databar(shape)
        return replace(planes, pixel_size=planes.pixel_size or source.pixel_size, databar=lambda shape: rows)
    except (OSError, ValueError):  # an ImageError is a ValueError: the original is gone, or no image any more
        return planes
