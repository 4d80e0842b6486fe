"""Writing phases as a label TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.errors import LabelsError

if TYPE_CHECKING:
    from fijibridge.phases.phases import Phases, PhaseSource


def write_phases(path: Path, phases: Phases) -> Path:
    """Write a label image or volume as an ImageJ TIFF with the phases' values, colours, names and the size of a voxel.

    Parameters
    ----------
    path : Path
        Of the TIFF.
    phases : Phases
        Image or volume; its background gets the lowest value that is no phase.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    OutputError
        As `write_imagej`.
    LabelsError
        Label values that do not fit into 8 bits (0 to 255).
    """
    import numpy as np

    from fijibridge.images.image import PixelSize
    from fijibridge.images.palette import class_colors_or_default
    from fijibridge.images.writing import write_imagej

    check_values(phases)
    values = np.full(256, min(set(range(256)) - set(phases.values)), np.uint8)  # of the background, but for the phases
    values[: len(phases)] = phases.values
    colours = np.zeros((3, 256), np.uint16)
    colours[:, values[: len(phases)]] = class_colors_or_default(phases.names, None).T.astype(np.uint16) * 257
    names = "\n".join(f"{value} = {name}" for value, name in zip(phases.values, phases.names, strict=True))
    z, y, x = phases.spacing
    return write_imagej(
        path, (values[plane] for plane in phases.index), phases.index.shape, np.uint8, "ZYX",
        PixelSize(y, x, phases.unit, z), colormap=colours, metadata={"Info": names},
    )  # fmt: skip


def check_values(phases: PhaseSource) -> None:
    """See that phases can be written, before hours of work.

    Parameters
    ----------
    phases : Phases or PhaseVolume
        Image or volume.

    Raises
    ------
    LabelsError
        Label values that do not fit into 8 bits (0 to 255).
    """
    if not 0 <= min(phases.values) <= max(phases.values) <= 255:
        raise LabelsError(
            f"phase values {', '.join(map(str, phases.values))}",
            expected="values from 0 to 255, as 8-bit images have",
            remedy="give the micrograph's phases smaller values (in Fiji: Process > Math > Macro...)",
        )
