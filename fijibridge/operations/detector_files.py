"""Images of one place by several detectors, as the operations take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.core.params import Param

if TYPE_CHECKING:
    from fijibridge.images.image import Image

Detectors = Annotated[
    str,
    Param(
        "further detectors' images of the same field, NAME=FILE with commas between, such as SE=SE.tif, EDX-S=S.tif; "
        "a folder stands for the file in it that is named as the image",
        level="basic",
        group="Input",
    ),
]
Align = Annotated[
    bool, Param("move the images of further detectors onto the first where they are displaced", group="Input")
]
SeImage = Annotated[
    Path | None, Param("secondary electron image, or a stack", role="file", level="basic", group="Input")
]
BseImage = Annotated[
    Path | None,
    Param(
        "backscattered electron image of the same place, or a stack; either may be missing",
        role="image",
        level="basic",
        group="Input",
    ),
]


def given_detectors(se: Path | None, bse: Path | None) -> dict[str, Path]:
    """Detector -> file, of those that are given.

    Parameters
    ----------
    se, bse : Path, optional
        Images of one place by secondary and backscattered electrons.

    Raises
    ------
    SettingsError
        Neither.
    """
    paths = {name: path for name, path in (("SE", se), ("BSE", bse)) if path is not None}
    if not paths:
        raise SettingsError("neither SE nor BSE", expected="one image at least", remedy="give --se or --bse")
    return paths


def detector_files(image: Path, detector: str, detectors: str) -> dict[str, Path]:
    """Detector -> file: the image itself, and those of further detectors.

    Parameters
    ----------
    image : Path
        The image itself.
    detector : str
        That took it.
    detectors : str
        Further ones, as the option of that name.

    Raises
    ------
    SettingsError
        Another syntax than NAME=FILE, or a name given twice.
    """
    from fijibridge.images.detectors import check_names, parse_detectors
    from fijibridge.images.place import zarr_root

    others = parse_detectors(detectors)
    if others:
        check_names([detector, *others])
    found = {detector: Path(image)}
    for name, path in others.items():
        found[name] = path / Path(image).name if path.is_dir() and zarr_root(path) is None else path
    return found


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
    from fijibridge.images.image import count_slices

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
    from fijibridge.images.image import count_frames, count_slices

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
    from fijibridge.images.image import read_slices

    only = page - 1 if page else None
    slices = [read_slices(path, databar=databar, pages=pages, page=only) for path in paths.values()]
    for number, images in enumerate(zip(*slices, strict=True)):
        yield _joined(paths, images, align, pages[number] if pages is not None else number)


def _joined(paths: Mapping[str, Path], images: Any, align: bool, page: int) -> Image:
    from fijibridge.images.detectors import joined

    if len(paths) == 1:
        return images[0]
    where = f" in slice {page + 1}" if page else ""
    return joined(dict(zip(paths, images, strict=True)), align=align, where=where)


def about_detectors(paths: Mapping[str, Path], shifts: list[dict[str, Any]]) -> dict[str, Any]:
    """The report's part on several detectors; nothing for one.

    Parameters
    ----------
    paths : mapping
        Detector -> file.
    shifts : list of dict
        Of each slice what :func:`shifts_of` found.
    """
    if len(paths) == 1:
        return {}
    displacements = {name: [of_slice[name] for of_slice in shifts] for name in list(paths)[1:]}
    return {"detectors": {name: str(path) for name, path in paths.items()}, "displacements_px": displacements}


def shifts_of(image: Image) -> dict[str, Any]:
    """Rows and columns by which each further detector lay off the first, and was moved back; None where not known."""
    return {channel.name: channel.shift for channel in image.others}
