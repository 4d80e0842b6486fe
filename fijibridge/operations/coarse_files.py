"""Coarse volumes as superresolve takes them: labels, probabilities, or grey values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.errors import ImageError, LabelsError
from fijibridge.phases.reading import (
    named,
    phase_names,
    read_labels_volume,
    stored_names,
    voxel_of,
    without_unlabelled,
)

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.images.image import PixelSize
    from fijibridge.phases.phases import Phases
    from fijibridge.superresolution import Coarse


def read_coarse(
    path: Path, slices: Phases, visible: list[str], kind: str, coarse_classes: str, voxel_size: str
) -> Coarse:
    """Read a coarse volume: labels, probabilities (a channel each visible phase) or grey values.

    Parameters
    ----------
    path : Path
        The volume's file.
    slices : Phases
        Of the fine micrographs.
    visible : list of str
        Phases that the volume shows, by their names in the micrographs.
    kind : {"auto", "labels", "probabilities", "grey"}
        What it holds.
    coarse_classes, voxel_size : str
        As the options of superresolve; empty: the file's.

    Returns
    -------
    Coarse

    Raises
    ------
    ImageNotFoundError, ImageError, LabelsError, SettingsError
        No such file, unreadable, or what it holds does not fit.
    """
    import numpy as np

    from fijibridge.phases.phases import as_phases
    from fijibridge.superresolution.coarse import coarse_grey, coarse_labels, coarse_probabilities

    values, stored = _read_channels(path) if kind == "probabilities" and len(visible) > 1 else read_labels_volume(path)
    spacing, unit, _ = voxel_of(voxel_size, stored, 3)
    if kind == "auto":
        fractions = values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1
        kind = "probabilities" if fractions and (values % 1 != 0).any() else "labels"
    if kind == "labels":
        try:
            values, outside, _ = without_unlabelled(values, stored_names(path))
            phases = as_phases(
                values, spacing=spacing, unit=unit, background=outside or None, class_names=phase_names(coarse_classes)
            )
        except LabelsError as error:
            if "grey image" not in error.found:
                raise
            raise LabelsError(
                f"{path}: {error.found}",
                expected=error.expected,
                remedy="say that it is a grey CT (--coarse-as grey), or segment it first",
            ) from error
        if phases.ndim == 3 and not coarse_classes.strip():
            phases = named(phases, stored_names(path))
        return coarse_labels(phases, slices, visible)
    steps = (spacing * 3)[:3] if spacing else [float("nan")] * 3
    if kind == "grey":
        return coarse_grey(values, slices, visible, spacing=steps, unit=unit)
    if values.dtype.kind == "u":
        values = values / np.float32(np.iinfo(values.dtype).max)
    return coarse_probabilities(values, slices, visible, spacing=steps, unit=unit)


def _read_channels(path: Path) -> tuple[np.ndarray, PixelSize | None]:
    """(C, Z, Y, X) of a hyperstack, and its pixel size.

    Raises
    ------
    ImageError
        Not such a TIFF.
    """
    from fijibridge.images.tiff import read_hyperstack

    axes, values, stored = read_hyperstack(path)
    if sorted(axes) != ["C", "X", "Y", "Z"]:
        raise ImageError(
            f"{path} has the axes {axes}",
            expected="a hyperstack with slices (Z) and a channel (C) for each visible phase",
            remedy="in Fiji: Image > Hyperstacks > Stack to Hyperstack...",
        )
    return values.transpose([axes.index(axis) for axis in "CZYX"]), stored
