"""A folder of numbered images, such as the slices of a FIB-SEM or CT series, read as one stack."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import ImageError, ImageNotFoundError
from fijibridge.images.planes import Planes

if TYPE_CHECKING:
    from fijibridge.images.place import Place

_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".jp2", ".webp")


@contextmanager
def open_folder(place: Place, channel: str) -> Iterator[Planes]:
    """Open the numbered slices of a folder, in the order of their numbers.

    Parameters
    ----------
    place : Place
        A folder with images whose names differ by one number alone; or a folder and a pattern: all images that match
        are slices, and gaps in their numbers are closed.
    channel : str
        Of each slice.

    Yields
    ------
    Planes

    Raises
    ------
    ImageError
        An N5 store, no images, other images too, or a number that is missing.
    """
    folder, pattern = place.path, "/".join(place.inner)
    if folder.suffix.lower() == ".n5" or os.path.exists(folder / "attributes.json"):
        raise ImageError(
            f"{folder} is an N5 store, a format that is not supported",
            expected="OME-Zarr, HDF5, a TIFF stack, or a folder of numbered slices",
            remedy="open it in Fiji (File > Import > HDF5/N5/Zarr...) and save it as TIFF or OME-Zarr",
        )
    files = [path for path in _listed(folder) if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")]
    if pattern:
        files = [path for path in files if path.match(pattern)]
    if not files:
        raise (ImageNotFoundError if pattern else ImageError)(
            f"{folder} is a folder without images" + (f" that are called {pattern}" if pattern else ""),
            expected="an image file, or a folder of numbered slices",
            remedy="name an image file",
        )
    numbered, notes = _matching(files) if pattern else (_numbered(folder, files), ())
    about = f"a folder of {len(numbered)} slices, {numbered[0].name} to {numbered[-1].name}, is read as one stack"
    yield _planes(folder, numbered, channel, (about, *notes))


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise ImageError(
            f"{folder} cannot be listed ({error.strerror or error})",
            expected="a folder with read permission",
            remedy="change its permissions, or copy it elsewhere",
        ) from error


def _planes(folder: Path, files: list[Path], channel: str, notes: tuple[str, ...]) -> Planes:
    from fijibridge.images.reading import open_planes

    def first_of(raw: bool) -> tuple[tuple[int, ...], np.dtype]:
        with open_planes(files[0], channel=channel) as one:
            plane = one.plane(0, raw=raw)
        return plane.shape, plane.dtype

    with open_planes(files[0], channel=channel) as first:
        plane = first.plane(0, raw=True)
        size, bar = first.pixel_size, first.databar(plane.shape[:2])
    forms = {True: (plane.shape, plane.dtype)}

    def read(index: int, raw: bool) -> np.ndarray:
        with open_planes(files[index], channel=channel) as one:
            if one.count > 1:
                raise ImageError(
                    f"{files[index]}, a slice in a folder, has {one.count} slices of its own",
                    expected="one image a file",
                    remedy="name the file itself, or split it in Fiji (Image > Stacks > Stack to Images)",
                )
            values = one.plane(0, raw=raw)
        if raw not in forms:
            forms[raw] = first_of(raw)
        _check_alike(folder, files[index], values, files[0], *forms[raw])
        return values

    read(0, True)
    return Planes(
        folder, len(files), read, size, lambda shape: bar, pages=len(files), notes=notes,
        shape=plane.shape, dtype=plane.dtype,
    )  # fmt: skip


def _check_alike(
    folder: Path, path: Path, values: np.ndarray, first: Path, shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """Slices of one size and bit depth; else the one that differs is named."""
    if values.shape[:2] != shape[:2]:
        raise ImageError(
            f"{path.name} is {values.shape[1]} x {values.shape[0]} pixels, {first.name} {shape[1]} x {shape[0]}",
            expected=f"slices of one size in {folder}",
            remedy="cut them to one size, or move what is no slice elsewhere",
        )
    if values.dtype != dtype or values.ndim != len(shape):
        kinds = ["RGB" if axes == 3 else f"{of.itemsize * 8} bit" + " float" * (of.kind == "f")
                 for axes, of in ((values.ndim, values.dtype), (len(shape), dtype))]  # fmt: skip
        kinds = kinds if kinds[0] != kinds[1] else [str(values.dtype), str(dtype)]
        raise ImageError(
            f"{path.name} is {kinds[0]}, {first.name} is {kinds[1]}",
            expected=f"slices of one bit depth in {folder}",
            remedy="save all alike, in Fiji: File > Import > Image Sequence..., then Image > Type, and save as TIFF",
        )


def _natural(path: Path) -> tuple[tuple[int, int, str], ...]:
    """What sorts a name as a person does: s2 before s10."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((0, int(part), part) if part.isdigit() else (1, 0, part.casefold()) for part in parts if part)


def _matching(files: list[Path]) -> tuple[list[Path], tuple[str, ...]]:
    """The files that a pattern names, in natural order, and a note of the numbers that are missing."""
    files = sorted(files, key=_natural)
    numbers = sorted(_series(files))
    steps = [after - before for before, after in pairwise(numbers)]
    missing = sum(round(step / min(steps)) - 1 for step in steps) if len(set(steps)) > 1 else 0
    if not missing:
        return files, ()
    which = f"{missing} of the slices {numbers[0]} to {numbers[-1]} are missing"
    return files, (f"{which}, and the gaps are closed: depths across them are too short",)


def _series(files: list[Path]) -> dict[int, Path]:
    """The largest set of files whose names differ in one number, by that number."""
    names: dict[tuple[str, str, str], dict[int, Path]] = {}
    for path in files:
        for match in re.finditer(r"\d+", path.stem):
            rest = (path.stem[: match.start()], path.stem[match.end() :], path.suffix.lower())
            names.setdefault(rest, {})[int(match.group())] = path
    return max(names.values(), key=len, default={})


def _numbered(folder: Path, files: list[Path]) -> list[Path]:
    """The files in the order of the number in which their names differ."""
    series = _series(files)
    others = sorted(path.name for path in files if path not in series.values())
    if len(series) < 2 or others:
        found = f", among them {others[0]}" if series and others else ""
        raise ImageError(
            f"{folder} is a folder of {len(files)} image(s){found}",
            expected="an image file, or a folder with nothing but slices whose names differ in one number",
            remedy=f"name a file in it; or its slices by a pattern, in quotes: '{_pattern(folder, series, files)}'",
        )
    numbers = sorted(series)
    steps = [after - before for before, after in pairwise(numbers)]
    if len(set(steps)) > 1:
        gaps = [before for before, step in zip(numbers, steps, strict=False) if step > min(steps)]
        first = gaps[0] + min(steps)
        more = f" (so are others, in {len(gaps)} gaps)" if len(gaps) > 1 else ""
        raise ImageError(
            f"{folder} has {len(numbers)} slices numbered {numbers[0]} to {numbers[-1]}, and {first} is missing{more}",
            expected="slices numbered in equal steps: each lies as far from the next",
            remedy="copy what is missing; or name the slices by a pattern, in quotes, which closes the gaps: "
            f"'{_pattern(folder, series, files)}'",
        )
    return [series[number] for number in numbers]


def _pattern(folder: Path, series: dict[int, Path], files: list[Path]) -> Path:
    """A pattern of file names that means the slices."""
    names = [path.name for path in series.values()] or [path.name for path in files]
    start = _same_start(names).rstrip("0123456789")
    end = _same_start([name[::-1] for name in names])[::-1].lstrip("0123456789")
    return folder / (f"{start}*{end}" if len(names) > 1 else f"*{Path(names[0]).suffix}")


def _same_start(names: list[str]) -> str:
    """The letters with which all names begin."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    return "".join(letter for letter, _ in pairs)
