"""Images of one place by several detectors, as the operations take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.errors import ImageError, SettingsError
from fijibridge.params import Param

if TYPE_CHECKING:
    from fijibridge.images import Image

Detectors = Annotated[
    str,
    Param(
        "further detectors' images of the same field, NAME=FILE with commas between, such as SE=SE.tif, EDX-S=S.tif; "
        "a folder stands for the file in it that is named as the image"
    ),
]
Align = Annotated[bool, Param("move further detectors' images onto the first where they are displaced a little")]


def given_detectors(se: Path | None, bse: Path | None) -> dict[str, Path]:
    """Detector -> file, of those that are given.

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
    """Detector -> file: the image itself, by ``detector``, and those of the option ``detectors``.

    Raises
    ------
    SettingsError
        Another syntax than NAME=FILE, or a name given twice.
    """
    from fijibridge.detectors import check_names, parse_detectors

    others = parse_detectors(detectors)
    if others:
        check_names([detector, *others])
    found = {name: path / Path(image).name if path.is_dir() else path for name, path in others.items()}
    return {detector: Path(image), **found}


def count_joined(paths: Mapping[str, Path]) -> int:
    """Count the slices of the detectors' files.

    Raises
    ------
    ImageError
        Not all have as many, or one cannot be read.
    """
    from fijibridge.images import count_slices

    counts = {name: count_slices(path) for name, path in paths.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ImageError(f"stacks of different length: {told}", expected="as many slices", remedy="check the files")
    return next(iter(counts.values()))


def read_joined(paths: Mapping[str, Path], *, align: bool, databar: str | int = "auto", page: int = 0) -> Image:
    """Read one image of each detector and join them; of one detector alone, read its image.

    Raises
    ------
    ImageNotFoundError, ImageError, SettingsError
        As for `read_image` and `join_detectors`.
    """
    from fijibridge.images import read_image

    return _joined(paths, [read_image(path, databar=databar, page=page) for path in paths.values()], align, page)


def joined_slices(
    paths: Mapping[str, Path], *, align: bool, databar: str | int = "auto", pages: Sequence[int] | None = None
) -> Iterator[Image]:
    """The slices of stacks, or those of some pages, joined one at a time; see `read_joined`."""
    from fijibridge.images import read_slices

    slices = [read_slices(path, databar=databar, pages=pages) for path in paths.values()]
    for number, images in enumerate(zip(*slices, strict=True)):
        yield _joined(paths, images, align, pages[number] if pages is not None else number)


def _joined(paths: Mapping[str, Path], images: Any, align: bool, page: int) -> Image:
    from fijibridge.detectors import joined

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
