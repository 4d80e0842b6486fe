"""Images of one place by several detectors, as the operations take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.errors import SettingsError
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

    others = parse_detectors(detectors)
    if others:
        check_names([detector, *others])
    found = {detector: Path(image)}
    for name, path in others.items():
        found[name] = path / Path(image).name if is_folder_of_images(path) else path
    return found


def detectors_of_several(images: Sequence[Path], detectors: str) -> dict[str, Path]:
    """Further detectors of several images: each is a folder with a file for each image.

    Parameters
    ----------
    images : sequence of Path
    detectors : str
        As the option of that name.

    Raises
    ------
    SettingsError
        A file for several images.
    """
    from fijibridge.images.detectors import parse_detectors

    further = parse_detectors(detectors)
    if len(images) > 1 and (single := [str(path) for path in further.values() if not is_folder_of_images(path)]):
        raise SettingsError(
            f"{len(images)} images, and {single[0]} of a further detector",
            expected="a folder with a file for each image, named as it",
            remedy="give NAME=FOLDER, or one image at a time",
        )
    return further


def is_folder_of_images(path: Path) -> bool:
    """Whether a path is a folder with a file for each image, and not a store that is an image itself."""
    from fijibridge.images.place import zarr_root

    return path.is_dir() and zarr_root(path) is None


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
