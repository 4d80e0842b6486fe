"""Reading label images and volumes: values, names and the size of a voxel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fijibridge.core.errors import ImageError, LabelsError, SettingsError
from fijibridge.core.names import flaw

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.images.pixel_size import PixelSize
    from fijibridge.images.planes import Planes
    from fijibridge.phases.phases import Phases
    from fijibridge.phases.volume import PhaseVolume

_Source = TypeVar("_Source", "Phases", "PhaseVolume")
UNLABELLED = "unlabelled"  # what fijibridge calls the value 0 where it is no class
_NAME = re.compile(r"^(\d{1,9}) = (.+)$", re.MULTILINE)
_SIZE = re.compile(r"\s*([^a-zA-Z\u00b5\u03bc]*?)\s*([a-zA-Z\u00b5\u03bc]*)\s*")


@contextmanager
def open_phases(
    path: Path, *, classes: str = "", voxel_size: str = "", background: int | None = None
) -> Iterator[tuple[PhaseVolume, PixelSize | None, str]]:
    """Open a label image or volume of any size with its phases.

    Its values are counted in one pass, slice by slice; slices are read again when they are asked for.

    Parameters
    ----------
    path : Path
        An image file or a folder of slices: what `fijibridge.images.reading.open_planes` opens.
    classes : str
        Names of the phases in the order of their values, separated by commas; empty: those in the file, if fijibridge
        wrote it.
    voxel_size : str
        Size of a voxel, z,y,x and its unit, such as ``"50,10,10 nm"``; empty: the file's.
    background : int, optional
        Value of the voxels outside the sample. Pixels that the file itself calls unlabelled (as segment writes them in
        the data bar) are outside too; rows of them alone at the bottom are cut off.

    Yields
    ------
    volume : PhaseVolume
        The file's contents, which can be read as long as the file is open.
    pixel_size : PixelSize or None
        As the file gives it.
    note : str
        Warning about a voxel size of which the file gives only a part, and what was left out; or empty.

    Raises
    ------
    ImageNotFoundError, ImageError, LabelsError, SettingsError
        No such file, unreadable, RGB, no label image, a slice unlike the others, or malformed settings.
    """
    with _open_labels(path) as source:
        found, note = _phases_of(source, lambda number: source.plane(number, raw=True), classes, voxel_size, background)
        yield found, source.pixel_size, note


def read_phases(
    path: Path, *, classes: str = "", voxel_size: str = "", background: int | None = None
) -> tuple[Phases, PixelSize | None, str]:
    """Read a label image or volume with its phases into memory.

    Parameters
    ----------
    path, classes, voxel_size, background
        As for `open_phases`.

    Returns
    -------
    phases : Phases
        The file's contents.
    pixel_size : PixelSize or None
        As the file gives it.
    note : str
        Warning about a voxel size of which the file gives only a part, and what was left out; or empty.

    Raises
    ------
    ImageNotFoundError, ImageError, LabelsError, SettingsError
        As `open_phases`; more than memory holds.
    """
    with _open_labels(path) as source:
        labels = source.volume()
        found, note = _phases_of(source, labels.__getitem__, classes, voxel_size, background)
        return found.load(), source.pixel_size, note


def _phases_of(
    source: Planes, plane: Callable[[int], np.ndarray], classes: str, voxel_size: str, background: int | None
) -> tuple[PhaseVolume, str]:
    from fijibridge.phases.volume import phase_volume

    spacing, unit, note = voxel_of(voxel_size, source.pixel_size, 2 if source.count == 1 else 3)
    names = stored_names(source.path)
    volume, rows = phase_volume(
        plane,
        source.count,
        spacing=spacing,
        unit=unit,
        background=background,
        class_names=phase_names(classes),
        unlabelled=names.get(0) == UNLABELLED,
        name=str(source.path),
    )
    bare = volume.present.get(0, 0) if names.get(0) == UNLABELLED and 0 not in volume.values else 0
    note = "; ".join(part for part in (note, *_left_out(rows, bare)) if part)
    return (volume if classes.strip() else named(volume, names)), note


def _left_out(rows: int, bare: int) -> list[str]:
    """What is no phase, in words."""
    notes = [f"the {rows} unlabelled rows at the bottom (a data bar) are left out"] if rows else []
    return notes + ([f"{bare} unlabelled pixels are of no phase"] if bare else [])


def without_unlabelled(labels: np.ndarray, names: dict[int, str]) -> tuple[np.ndarray, list[int], str]:
    """Labels without the rows at the bottom that hold no phase, and the value of what is left without one.

    Parameters
    ----------
    labels : np.ndarray
        (Y, X) or (Z, Y, X).
    names : dict of int to str
        The file's, see `stored_names`.

    Returns
    -------
    labels : np.ndarray
        As many rows as hold a phase.
    outside : list of int
        0, where unlabelled pixels remain; else empty.
    note : str
        What was left out, in words; empty where nothing was.

    Raises
    ------
    LabelsError
        Nothing but unlabelled pixels.
    """
    import numpy as np

    if names.get(0) != UNLABELLED or labels.dtype.kind not in "uif" or labels.all():
        return labels, [], ""
    filled = np.flatnonzero(labels.any(axis=tuple(axis for axis in range(labels.ndim) if axis != labels.ndim - 2)))
    if not filled.size:
        raise LabelsError("an image of unlabelled pixels alone", expected="phases", remedy="segment the image first")
    rows = labels.shape[-2] - int(filled[-1]) - 1
    kept = labels[..., : labels.shape[-2] - rows, :]
    bare = int(kept.size - np.count_nonzero(kept))
    return kept, [0] if bare else [], "; ".join(_left_out(rows, bare))


def named(phases: _Source, names: dict[int, str]) -> _Source:
    """Rename phases by their label values.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        The image.
    names : dict of int to str
        Name of each label value.

    Returns
    -------
    Phases or PhaseVolume
        With these names if there is one for each phase and all differ, else unchanged.
    """
    found = tuple(names.get(value, "") for value in phases.values)
    return replace(phases, names=found) if all(found) and len(set(found)) == len(found) else phases


def stored_names(path: Path) -> dict[int, str]:
    """Label value -> name, of a TIFF that fijibridge wrote (lines ``1 = ISE`` in ImageJ's info) or a label image in
    OME-Zarr that names them; else empty."""
    import tifffile

    from fijibridge.images.place import locate

    if (place := locate(path)).form == "zarr":
        from fijibridge.images.ome_zarr import label_names

        return {value: name for value, name in label_names(place).items() if not flaw(name)}
    if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
        return {}
    with tifffile.TiffFile(path) as file:
        info = (file.imagej_metadata or {}).get("Info", "")
    found = {int(value): name.strip() for value, name in _NAME.findall(info if isinstance(info, str) else "")}
    return {value: name for value, name in found.items() if not flaw(name)}


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
    with _open_labels(path) as source:
        labels = source.volume()
        return labels[0] if source.count == 1 else labels, source.pixel_size


@contextmanager
def _open_labels(path: Path) -> Iterator[Planes]:
    """A file as planes of labels."""
    from fijibridge.images.reading import open_planes

    with open_planes(path) as source:
        if source.frames > 1:
            raise ImageError(
                f"{path} has {source.frames} points in time: time is no depth",
                expected="an image, or a volume of slices",
                remedy="take one frame, in Fiji with Image > Duplicate... or Image > Hyperstacks > Reduce "
                "Dimensionality...; if its frames really are slices, say so in Image > Properties...",
            )
        if source.plane(0, raw=True).ndim != 2:
            raise ImageError(
                f"{path} is an RGB image",
                expected="a label image: one number a pixel",
                remedy="use the segmentation's labels.tif, not its overlay; in Fiji: Image > Type > 8-bit Color",
            )
        yield source


def phase_names(text: str) -> list[str] | None:
    """Names separated by commas; None for an empty text."""
    return [part.strip() for part in text.split(",")] if text.strip() else None


def voxel_of(text: str, stored: PixelSize | None, ndim: int) -> tuple[list[float] | None, str, str]:
    """Size of a voxel, from an option or from the file.

    Parameters
    ----------
    text : str
        Size and unit, such as ``"50,10,10 nm"``; empty: the file's.
    stored : PixelSize or None
        The file's.
    ndim : int
        2 or 3, the dimensions of the image.

    Returns
    -------
    spacing : list of float or None
        One number, (y, x) or (z, y, x); None where neither is given.
    unit : str
        Unit of the spacing, ``"px"`` where there is none.
    note : str
        Warning where the file gives only a part of it, or empty.

    Raises
    ------
    SettingsError
        Malformed text.
    """
    if text.strip():
        from fijibridge.images.pixel_size import normalise_unit

        match = _SIZE.fullmatch(text)
        try:
            steps = [float(part) for part in match.group(1).split(",")] if match else []
        except ValueError:
            steps = []
        if not match or not steps or len(steps) > 3 or not all(0 < step < float("inf") for step in steps):
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
        note = (
            f"the file has no slice distance: {stored.x:g} {stored.unit}, a pixel's width, is used (see --voxel-size)"
        )
        return [stored.x, stored.y, stored.x], stored.unit, note
    return [stored.z, stored.y, stored.x], stored.unit, ""
