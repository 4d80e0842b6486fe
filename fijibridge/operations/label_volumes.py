"""Label images and volumes as the operations take them: values, names and voxel size."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fijibridge.errors import ImageError, SettingsError
from fijibridge.params import Param

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.images import PixelSize
    from fijibridge.metrology import Phases

PhaseNames = Annotated[
    str, Param("names of the phases in the order of their values, separated by commas; empty: those in the file")
]
VoxelSize = Annotated[
    str, Param("size of a voxel, z,y,x and its unit, such as 50,10,10 nm; empty: from the file, else 1 px")
]

_NAME = re.compile(r"^(\d+) = (.+)$", re.MULTILINE)
_SIZE = re.compile(r"\s*([^a-zA-Z\u00b5\u03bc]*?)\s*([a-zA-Z\u00b5\u03bc]*)\s*")


def read_phases(
    path: Path, *, classes: str = "", voxel_size: str = "", background: int | None = None
) -> tuple[Phases, PixelSize | None, str]:
    """Read a label image or volume as the metrics take it.

    Parameters
    ----------
    path : Path
        TIFF, PNG, ...
    classes : str
        Names separated by commas; empty: those in the file, where fijibridge wrote it.
    voxel_size : str
        As `VoxelSize` says; empty: the file's.
    background : int, optional
        Value that is no phase.

    Returns
    -------
    phases : Phases
        What the file holds.
    pixel_size : PixelSize or None
        As the file gives it.
    note : str
        On a voxel size that the file tells only in part, or empty.

    Raises
    ------
    ImageNotFoundError, ImageError, LabelsError, SettingsError
        No such file, unreadable, RGB, no label image, or malformed settings.
    """
    from fijibridge.metrology.phases import as_phases

    labels, stored = read_labels_volume(path)
    spacing, unit, note = voxel_of(voxel_size, stored, labels.ndim)
    about = {"spacing": spacing, "unit": unit, "background": background}
    phases = as_phases(labels, class_names=phase_names(classes), **about)
    return (phases if classes.strip() else named(phases, stored_names(path))), stored, note


def named(phases: Phases, names: dict[int, str]) -> Phases:
    """The phases with the names of their values, where each has its own."""
    found = tuple(names.get(value, "") for value in phases.values)
    return replace(phases, names=found) if all(found) and len(set(found)) == len(found) else phases


def stored_names(path: Path) -> dict[int, str]:
    """Names of the values of a label TIFF that fijibridge wrote (lines ``1 = ISE`` in ImageJ's info), else none."""
    import tifffile

    if path.suffix.lower() not in (".tif", ".tiff"):
        return {}
    with tifffile.TiffFile(path) as file:
        info = (file.imagej_metadata or {}).get("Info", "")
    return {int(value): name.strip() for value, name in _NAME.findall(info if isinstance(info, str) else "")}


def read_labels_volume(path: Path) -> tuple[np.ndarray, PixelSize | None]:
    """Read a label image or stack with the values the file stores.

    Parameters
    ----------
    path : Path
        TIFF, PNG, ...

    Returns
    -------
    labels : np.ndarray
        (Y, X), or (Z, Y, X) of a stack; the file's dtype.
    pixel_size : PixelSize or None
        As the file gives it.

    Raises
    ------
    ImageNotFoundError, ImageError
        No such file, unreadable, or RGB.
    """
    import numpy as np

    from fijibridge.image_files import open_planes

    with open_planes(path) as source:
        first = source.plane(0, raw=True)
        if first.ndim != 2:
            raise ImageError(
                f"{path} is an RGB image",
                expected="a label image: one number a pixel",
                remedy="use the segmentation's labels.tif, not its overlay; in Fiji: Image > Type > 8-bit Color",
            )
        labels = np.empty((source.count, *first.shape), first.dtype)
        labels[0] = first
        for index in range(1, source.count):
            labels[index] = source.plane(index, raw=True)
        return labels[0] if source.count == 1 else labels, source.pixel_size


def phase_names(text: str) -> list[str] | None:
    """Names separated by commas; None for an empty text."""
    return [part.strip() for part in text.split(",")] if text.strip() else None


def voxel_of(text: str, stored: PixelSize | None, ndim: int) -> tuple[list[float] | None, str, str]:
    """Spacing, its unit, and a note where the file tells only part of it."""
    if text.strip():
        from fijibridge.metadata import normalise_unit

        match = _SIZE.fullmatch(text)
        try:
            steps = [float(part) for part in match.group(1).split(",")] if match else []
        except ValueError:
            steps = []
        if not steps or len(steps) > 3 or not all(0 < step < float("inf") for step in steps):
            raise SettingsError(
                f"voxel size {text!r}",
                expected="one number, or z,y,x, and a unit",
                remedy='for example "50,10,10 nm"; "10,10 nm" for an image in 2D',
            )
        return steps, normalise_unit(match.group(2)) or "px", ""
    if stored is None:
        return None, "px", ""
    if ndim == 2:
        return [stored.y, stored.x], stored.unit, ""
    if stored.z is None:
        note = f"the file tells no slice distance: taken as {stored.x:g} {stored.unit}, a pixel's width (--voxel-size)"
        return [stored.x, stored.y, stored.x], stored.unit, note
    return [stored.z, stored.y, stored.x], stored.unit, ""
