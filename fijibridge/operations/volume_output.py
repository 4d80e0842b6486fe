"""What the operations that make a volume write, and where."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.errors import LabelsError, OutputError

if TYPE_CHECKING:
    from fijibridge.metrology import Phases

VOLUME = "volume.tif"
_TIFF = (".tif", ".tiff")


def places_of(out: Path) -> tuple[Path, Path, Path]:
    """(the volume, the folder of its report, the state of work that was stopped) of NAME.tif or of a folder."""
    is_file = out.suffix.lower() in _TIFF
    target = out if is_file else out / VOLUME
    place = out.with_name(f"{out.stem}_report") if is_file else out
    return target, place, out.with_name(f"{out.stem if is_file else out.name}.resume")


def write_phases(path: Path, phases: Phases) -> Path:
    """Write a labelled volume as an ImageJ TIFF: the phases' own values, their colours, names and voxel size.

    Raises
    ------
    OutputError
        As `write_imagej`.
    LabelsError
        Values beyond 0 ... 255.
    """
    import numpy as np

    from fijibridge.image_output import class_colors_or_default, write_imagej
    from fijibridge.images import PixelSize

    if not 0 <= min(phases.values) <= max(phases.values) <= 255:
        raise LabelsError(
            f"phase values {', '.join(map(str, phases.values))}",
            expected="values from 0 to 255, as 8-bit images have",
            remedy="give the micrograph's phases smaller values (in Fiji: Process > Math > Macro...)",
        )
    values = np.array(phases.values, np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[:, values] = class_colors_or_default(phases.names, None).T.astype(np.uint16) * 257
    names = "\n".join(f"{value} = {name}" for value, name in zip(phases.values, phases.names, strict=True))
    z, y, x = phases.spacing
    return write_imagej(
        path, (values[plane] for plane in phases.index), phases.index.shape, np.uint8, "ZYX",
        PixelSize(y, x, phases.unit, z), colormap=colours, metadata={"Info": names},
    )  # fmt: skip


def check_target(target: Path | None, inputs: Sequence[Path | None], overwrite: bool) -> None:
    """Refuse a volume over something else, before the work."""
    if target is None:
        return
    if any(item is not None and Path(item).resolve() == target.resolve() for item in inputs):
        raise OutputError(
            f"{target} is an input of this work", expected="another file", remedy="choose another name for the volume"
        )
    if target.is_dir() or (target.exists() and not overwrite):
        raise OutputError(
            f"{target} exists already",
            expected="a new file",
            remedy="choose another name, or use --overwrite (overwrite=True)",
        )


def check_state(state: Path, resume: bool, overwrite: bool) -> None:
    """Refuse to start anew over the state of stopped work."""
    if state.exists() and not resume and not overwrite:
        raise OutputError(
            f"{state}: the state of work that was stopped",
            expected="a word on whether to go on with it",
            remedy="use --resume (resume=True) to go on, or --overwrite (overwrite=True) to start anew",
        )


def put_volume(made: Path, target: Path) -> None:
    """Move a volume from its report's folder to the file that was asked for.

    Raises
    ------
    OutputError
        It cannot be written; the message says where the volume is.
    """
    try:
        os.replace(made, target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({error.strerror or error}); the volume is {made}",
            expected="a place with write permission, and a file that no other program holds open",
            remedy="close the file in other programs, then move the volume yourself",
        ) from error
