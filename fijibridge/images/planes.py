"""An open image file as a row of planes, and the error for one that its decoder refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.images.limits import check_size
from fijibridge.images.pixel_size import PixelSize


@dataclass(frozen=True)
class Planes:
    """An open file as a row of planes.

    Parameters
    ----------
    path : Path
        The file.
    count : int
        Number of planes.
    read : callable
        (index, raw) -> (Y, X) or (Y, X, S): the plane with the values stored, or as a person sees them.
    pixel_size : PixelSize or None
        As the file gives it.
    databar : callable
        (Y, X) -> rows of the data bar by the microscope's metadata, or None.
    left_out : int
        Pages that the file does not keep as one stack with the first, such as those of another size.
    frames : int
        Points in time among the planes, which come frame by frame; `count` is a multiple of it.
    numbers : sequence of int
        For each plane, which page of the file it is, from 0.
    pages : int
        All pages of the file, those that are no planes of the stack too.
    page : callable
        (number, raw) -> any page of the file, as `read`.
    notes : tuple of str
        What a person should know, such as pages that are left out.
    channels : tuple of str
        Names of the file's channels, one of which these planes are; empty where it has no channels.
    shape : tuple of int
        (Y, X) or (Y, X, S) of a plane, as far as it is known before one is read; else empty.
    dtype : np.dtype, optional
        Of the values stored, likewise.
    sparse : bool
        A format that stores nothing for empty parts: the size of the file says nothing about that of the volume.
    """

    path: Path
    count: int
    read: Callable[[int, bool], np.ndarray]
    pixel_size: PixelSize | None
    databar: Callable[[tuple[int, int]], int | None]
    left_out: int = 0
    frames: int = 1
    numbers: tuple[int, ...] = ()
    pages: int = 0
    page: Callable[[int, bool], np.ndarray] | None = None
    notes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None
    sparse: bool = False

    @property
    def name(self) -> str:
        """What the results are called after: the file's name without the ending, or that of a folder of slices."""
        return self.path.name if self.path.is_dir() and not self.sparse else self.path.stem

    def plane(self, index: int, *, raw: bool) -> np.ndarray:
        """One plane.

        Parameters
        ----------
        index : int
            From 0.
        raw : bool
            The values stored, palette indices for example, in place of the brightness a person sees.

        Returns
        -------
        np.ndarray
            (Y, X) or (Y, X, S).

        Raises
        ------
        ImageError
            The file has no such plane, or it cannot be read.
        """
        if not 0 <= index < self.count:
            raise ImageError(
                f"page {index} of {self.path}",
                expected=f"0 to {self.count - 1}: the file has {self.count} slice(s)",
                remedy="ask for a slice that the file has",
            )
        return self.read(index, raw)

    def volume(self) -> np.ndarray:
        """All planes with the values stored, in memory.

        Returns
        -------
        np.ndarray
            (count, Y, X) or (count, Y, X, S).

        Raises
        ------
        ImageError
            One cannot be read, they differ in size, or memory cannot hold them.
        """
        first = self.plane(0, raw=True)
        needed = self.count * first.nbytes
        files = [self.path] if self.path.is_file() else self.path.iterdir()
        stored = needed if self.sparse else sum(file.stat().st_size for file in files)
        check_size(self.path, f"{self.count} planes of {first.shape[1]} x {first.shape[0]} pixels", needed, stored)
        planes = np.empty((self.count, *first.shape), first.dtype)
        planes[0] = first
        for index in range(1, self.count):
            plane = self.plane(index, raw=True)
            if plane.shape != first.shape or plane.dtype != first.dtype:
                raise ImageError(
                    f"{self.path}: slice {index + 1} is {plane.shape} ({plane.dtype}), the first {first.shape} "
                    f"({first.dtype})",
                    expected="slices of one size and type",
                    remedy="in Fiji: File > Import > Image Sequence..., then save the stack as TIFF",
                )
            planes[index] = plane
        return planes

    def only(self, number: int) -> Planes:
        """A page of the file as its only plane.

        Parameters
        ----------
        number : int
            From 0.

        Raises
        ------
        ImageError
            The file has no such page.
        """
        page, pages = self.page or self.read, self.pages or self.count
        if not 0 <= number < pages:
            raise ImageError(
                f"page {number} of {self.path}",
                expected=f"0 to {pages - 1}: the file has {pages} page(s), and {self.count} slice(s)",
                remedy="ask for a page that the file has",
            )
        note = () if pages == 1 else (f"page {number + 1} of {pages} was taken, as asked for",)
        one = replace(self, count=1, frames=1, numbers=(number,), left_out=0, notes=note)
        return replace(one, read=lambda index, raw: page(number, raw))


def unreadable(path: Path, why: object) -> ImageError:
    """The error for a file that its decoder refuses.

    Parameters
    ----------
    path : Path
        The file.
    why : object
        What the decoder said.
    """
    text = " ".join(str(why).split())[:300]
    if isinstance(why, MemoryError):  # its size was checked: a part of it says that it is larger
        text = "its parts would take more memory than there is"
    if "imagecodecs" in text:
        return ImageError(
            f"{path} needs a decoder which is not installed ({text})",
            expected="a TIFF that tifffile can decode on its own, or the imagecodecs package",
            remedy="pip install imagecodecs, or save the image uncompressed",
        )
    return ImageError(
        f"{path} cannot be read as an image ({text})",
        expected="a complete TIFF, PNG, JPEG or BMP file",
        remedy="open it in Fiji to see whether it is whole, and save it as TIFF; or copy it again from its source",
    )
