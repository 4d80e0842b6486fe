"""A folder of numbered images, such as the slices of a FIB-SEM or CT series, read as one stack."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.images.planes import Planes

_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".jp2", ".webp")
_STORES = (".zarray", ".zgroup", ".zattrs", "zarr.json", "attributes.json")


def folder_planes(folder: Path, open_planes: Callable[[Path], AbstractContextManager[Planes]]) -> Planes:
    """The numbered slices of a folder as planes, in the order of their numbers.

    Parameters
    ----------
    folder : Path
        With images whose names differ by one number alone.
    open_planes : callable
        Opens one of them.

    Raises
    ------
    ImageError
        A zarr or N5 store, no images, other images too, or a number that is missing.
    """
    if folder.suffix.lower() in (".zarr", ".n5") or any((folder / name).exists() for name in _STORES):
        raise ImageError(
            f"{folder} is a zarr or N5 store, a format that is not supported",
            expected="a TIFF stack, or a folder of numbered slices",
            remedy="open it in Fiji (File > Import > HDF5/N5/Zarr...) and save it as TIFF; or in Python: "
            "tifffile.imwrite('volume.tif', zarr.open(...)[:])",
        )
    files = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")]
    if not files:
        raise ImageError(
            f"{folder} is a folder without images",
            expected="an image file, or a folder of numbered slices",
            remedy="name an image file",
        )
    numbered = _numbered(folder, files)
    with open_planes(numbered[0]) as first:
        size, plane, bar = first.pixel_size, first.plane(0, raw=True), first.databar(first.plane(0, raw=True).shape[:2])
    note = f"a folder of {len(numbered)} slices, {numbered[0].name} to {numbered[-1].name}, is read as one stack"

    def read(index: int, raw: bool) -> np.ndarray:
        with open_planes(numbered[index]) as one:
            if one.count > 1:
                raise ImageError(
                    f"{numbered[index]}, a slice in a folder, has {one.count} slices of its own",
                    expected="one image a file",
                    remedy="name the file itself, or split it in Fiji (Image > Stacks > Stack to Images)",
                )
            values, found = one.plane(0, raw=raw), one.plane(0, raw=True) if not raw else None
            shape = (values if found is None else found).shape
        if shape[:2] != plane.shape[:2]:
            raise ImageError(
                f"{numbered[index].name} is {shape[1]} x {shape[0]} pixels, {numbered[0].name} "
                f"{plane.shape[1]} x {plane.shape[0]}",
                expected=f"slices of one size in {folder}",
                remedy="cut them to one size, or move what is no slice elsewhere",
            )
        return values

    read(0, True)
    return Planes(folder, len(numbered), read, size, lambda shape: bar, pages=len(numbered), notes=(note,))


def _numbered(folder: Path, files: list[Path]) -> list[Path]:
    """The files in the order of the number in which their names differ."""
    names: dict[tuple[str, str, str], dict[int, Path]] = {}
    for path in files:
        for match in re.finditer(r"\d+", path.stem):
            rest = (path.stem[: match.start()], path.stem[match.end() :], path.suffix.lower())
            names.setdefault(rest, {})[int(match.group())] = path
    series = max(names.values(), key=len, default={})
    others = sorted(path.name for path in files if path not in series.values())
    if len(series) < 2 or others:
        found = f", among them {others[0]}" if series and others else ""
        raise ImageError(
            f"{folder} is a folder of {len(files)} image(s){found}",
            expected="an image file, or a folder with nothing but slices whose names differ in one number",
            remedy="name a file in it; or move what is no slice of the volume elsewhere",
        )
    numbers = sorted(series)
    steps = [after - before for before, after in pairwise(numbers)]
    if len(set(steps)) > 1:
        missing = next(number for number, step in zip(numbers, steps, strict=False) if step > min(steps)) + min(steps)
        raise ImageError(
            f"{folder} has {len(numbers)} slices numbered {numbers[0]} to {numbers[-1]}, and {missing} is missing",
            expected="slices numbered in equal steps: each lies as far from the next",
            remedy="copy what is missing, or number the slices anew; or make a stack of them in Fiji",
        )
    return [series[number] for number in numbers]
