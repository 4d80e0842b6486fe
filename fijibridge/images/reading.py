"""Image files opened by their content: the one way in for micrographs, labels and volumes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fijibridge.images.formats import format_of
from fijibridge.images.planes import Planes

__all__ = ["ORIGINAL", "Planes", "open_planes"]

# What Fiji exports loses the vendor's tags: NAME.tif.original beside it names the file that Fiji opened.
ORIGINAL = ".original"


@contextmanager
def open_planes(path: str | Path) -> Iterator[Planes]:
    """Open an image file, or a folder of numbered slices.

    Parameters
    ----------
    path : str or Path
        The file, or the folder.

    Yields
    ------
    Planes

    Raises
    ------
    ImageNotFoundError
        No such file.
    ImageError
        A format that is not supported, or a file that cannot be read.
    """
    path = Path(path)
    if os.path.isdir(path):  # Path.is_dir() raises for a name that no file can have
        from fijibridge.images.folders import folder_planes

        yield folder_planes(path, open_planes)
    elif (form := format_of(path)) == "TIFF":
        from fijibridge.images.tiff import open_tiff

        with open_tiff(path) as planes:
            yield _with_original(planes)
    else:
        from fijibridge.images.pictures import picture_planes

        yield picture_planes(path, form)


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
