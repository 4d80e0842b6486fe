"""Micrographs from which volumes are made, as the operations take them: labels, or grey images and how to segment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fijibridge.errors import ImageError, LabelsError, SettingsError
from fijibridge.operations.label_volumes import named, phase_names, read_phases, voxel_of
from fijibridge.params import Param

if TYPE_CHECKING:
    from fijibridge.metrology import Phases

Classifier = Annotated[
    Path | None, Param("for grey micrographs: folder of the saved classifier that segments them", role="classifier")
]
Otsu = Annotated[int, Param("for grey micrographs: number of phases, told apart by multi-Otsu", low=0, high=8)]


def read_slices(
    images: Mapping[str, Path], classes: str, voxel_size: str, classifier: Path | None, phases: int
) -> tuple[dict[str, Phases], list[str]]:
    """Phases of micrographs, segmented first where that is asked for, and notes.

    Parameters
    ----------
    images : mapping of str to Path
        What each is called in messages, such as its plane, and its file.
    classes, voxel_size, classifier, phases
        As their annotations say.

    Raises
    ------
    SettingsError, ImageError, LabelsError
        A grey image that nothing was said about, pixels that are no squares of one size, or what `read_phases` raises.
    """
    if classifier is not None and phases:
        raise SettingsError(
            "a classifier and a number of phases", expected="one of the two", remedy="leave one of them out"
        )
    found: dict[str, Phases] = {}
    notes: list[str] = []
    for plane, path in images.items():
        if classifier is not None:
            found[plane] = _segmented(path, classifier, voxel_size)
        elif phases:
            found[plane], note = _thresholded(path, phases, classes, voxel_size)
            notes.append(note)
        else:
            try:
                found[plane], _, size_note = read_phases(path, classes=classes, voxel_size=voxel_size)
            except LabelsError as error:
                if "grey image" not in error.found:
                    raise
                remedy = "segment it first (fijibridge segment), name a classifier, or give phases=3 for multi-Otsu"
                raise LabelsError(f"{path}: {error.found}", expected=error.expected, remedy=remedy) from error
            if size_note:
                notes.append(size_note)
    sizes = {plane: (phase.spacing[1:], phase.unit) for plane, phase in found.items()}
    (y, x), _ = first = next(iter(sizes.values()))
    if any(size != first for size in sizes.values()) or abs(y - x) > 1e-3 * x:
        told = ", ".join(f"{plane} {y:g} x {x:g} {unit}" for plane, ((y, x), unit) in sizes.items())
        raise ImageError(
            f"pixel sizes (height x width): {told}",
            expected="square pixels of one size: they become the volume's voxels",
            remedy="scale the images in Fiji (Image > Scale...), or give voxel_size",
        )
    return found, notes


def _segmented(path: Path, classifier: Path, voxel_size: str) -> Phases:
    """A grey micrograph's phases by a saved classifier."""
    from fijibridge.images import read_image
    from fijibridge.metrology.phases import as_phases
    from fijibridge.segmentation import load_segmenter

    segmenter = load_segmenter(classifier)
    image = read_image(path)
    labels = segmenter.predict(image)[image.field]
    spacing, unit, _ = voxel_of(voxel_size, image.pixel_size, 2)
    return named(as_phases(labels, spacing=spacing, unit=unit), dict(enumerate(segmenter.class_names_, start=1)))


def _thresholded(path: Path, count: int, classes: str, voxel_size: str) -> tuple[Phases, str]:
    """A grey micrograph's phases by multi-Otsu, darkest first, and the thresholds in words."""
    import numpy as np
    from skimage.filters import threshold_multiotsu

    from fijibridge.images import read_image
    from fijibridge.metrology.phases import as_phases

    if count < 2:
        raise SettingsError(f"phases = {count}", expected="2 to 8", remedy="give the number of phases, or 0")
    image = read_image(path)
    grey = image.data[image.field].astype(np.float32)
    try:
        thresholds = threshold_multiotsu(grey, classes=count)
    except ValueError as error:
        raise ImageError(
            f"{path} has fewer grey values than {count} phases",
            expected="a micrograph whose phases differ in grey",
            remedy="give fewer phases, or segment the image first",
        ) from error
    spacing, unit, _ = voxel_of(voxel_size, image.pixel_size, 2)
    labels = np.digitize(grey, thresholds)
    told = ", ".join(f"{value:.4g}" for value in thresholds)
    note = f"{path} was segmented by its grey values alone (multi-Otsu): thresholds {told}"
    return as_phases(labels, spacing=spacing, unit=unit, class_names=phase_names(classes)), note
