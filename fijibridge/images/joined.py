"""Stacks by several detectors, read slice by slice as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fijibridge.core.errors import ImageError
from fijibridge.images.detectors import joined
from fijibridge.images.image import Image, count_frames, count_slices, read_slices


def count_joined(paths: Mapping[str, Path], *, page: int = 0) -> int:
    """Count the slices of the detectors' files.

    Parameters
    ----------
    paths : mapping
        Detector -> file.
    page : int
        As the option of that name.

    Raises
    ------
    ImageError
        Not all have as many, or one cannot be read.
    """
    counts = {name: count_slices(path, page=page - 1 if page else None) for name, path in paths.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ImageError(f"stacks of different length: {found}", expected="as many slices", remedy="check the files")
    return next(iter(counts.values()))


def frames_among(path: Path, numbers: Sequence[int], *, page: int = 0) -> int:
    """Points in time among chosen slices of a stack, which are written frame by frame.

    Parameters
    ----------
    path : Path
        The stack.
    numbers : sequence of int
        Its chosen slices, from 1.
    page : int
        As the option of that name.

    Returns
    -------
    int
        1 where time is no axis. Slices that are not the same ones of each frame count as a frame each, for time is no
        depth.
    """
    only = page - 1 if page else None
    if (frames := count_frames(path, page=only)) == 1:
        return 1
    depth = count_slices(path, page=only) // frames
    times = sorted({(number - 1) // depth for number in numbers})
    depths = sorted({(number - 1) % depth for number in numbers})
    whole = [time * depth + z + 1 for time in times for z in depths]
    return len(times) if list(numbers) == whole else len(numbers)


def read_joined(
    paths: Mapping[str, Path], *, align: bool, databar: str | int = "auto", index: int = 0, page: int = 0
) -> Image:
    """Read one image of each detector and join them; of one detector alone, read its image.

    Parameters
    ----------
    paths : mapping
        Detector -> file.
    align : bool
        Move the images of further detectors onto the first.
    databar : str or int
        As for `read_image`.
    index : int
        Slice of a stack, from 0.
    page : int
        As the option of that name.

    Raises
    ------
    ImageNotFoundError, ImageError, SettingsError
        As for `read_image` and `join_detectors`.
    """
    return next(joined_slices(paths, align=align, databar=databar, pages=[index], page=page))


def joined_slices(
    paths: Mapping[str, Path], *, align: bool, databar: str | int = "auto", pages: Sequence[int] | None = None,
    page: int = 0,
) -> Iterator[Image]:  # fmt: skip
    """Read slices of stacks, joined one at a time.

    Parameters
    ----------
    paths, align, databar
        As for `read_joined`.
    pages : sequence of int, optional
        Slices, from 0; by default all.
    page : int
        As the option of that name.

    Yields
    ------
    Image
    """
    only = page - 1 if page else None
    slices = [read_slices(path, databar=databar, pages=pages, page=only) for path in paths.values()]
    for number, images in enumerate(zip(*slices, strict=True)):
        yield _joined(paths, images, align, pages[number] if pages is not None else number)


def _joined(paths: Mapping[str, Path], images: Any, align: bool, page: int) -> Image:
    if len(paths) == 1:
        return images[0]
    where = f" in slice {page + 1}" if page else ""
    return joined(dict(zip(paths, images, strict=True)), align=align, where=where)
