"""Micrographs from which volumes are made, as the operations take them: labels, or grey images and how to segment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fijibridge.core.errors import ImageError, LabelsError, SettingsError
from fijibridge.core.params import Param
from fijibridge.phases.reading import named, phase_names, read_phases, voxel_of

if TYPE_CHECKING:
    from fijibridge.images.image import Image
    from fijibridge.phases.phases import Phases

Classifier = Annotated[
    Path | None,
    Param("for grey micrographs: folder of the saved classifier that segments them", role="classifier", group="Input"),
]
Otsu = Annotated[
    int,
    Param(
        "for grey micrographs: number of phases to separate by multi-Otsu thresholds; 0: none",
        low=0,
        high=8,
        group="Input",
    ),
]


def read_slices(
    images: Mapping[str, Path], classes: str, pixel_size: str, classifier: Path | None, otsu: int
) -> tuple[dict[str, Phases], list[str]]:
    """Phases of micrographs, segmented first where that is asked for, and notes.

    Parameters
    ----------
    images : mapping of str to Path
        What each is called in messages, such as its plane, and its file.
    classes, pixel_size, classifier, otsu
        As their annotations say.

    Raises
    ------
    SettingsError, ImageError, LabelsError
        A grey image that nothing was said about, pixels that are no squares of one size, or what `read_phases` raises.
    """
    if classifier is not None and otsu:
        raise SettingsError(
            "a classifier and a number of phases for multi-Otsu",
            expected="one of the two",
            remedy="leave one of them out",
        )
    found: dict[str, Phases] = {}
    notes: list[str] = []
    for plane, path in images.items():
        if classifier is not None:
            found[plane], told = _segmented(path, classifier, pixel_size)
            notes += told
        elif otsu:
            found[plane], told = _thresholded(path, otsu, classes, pixel_size)
            notes += told
        else:
            try:
                found[plane], _, size_note = read_phases(path, classes=classes, voxel_size=pixel_size)
            except LabelsError as error:
                if "grey image" not in error.found:
                    raise
                remedy = (
                    "segment it first (fijibridge segment), name a classifier, or give otsu=3 for multi-Otsu thresholds"
                )
                raise LabelsError(f"{path}: {error.found}", expected=error.expected, remedy=remedy) from error
            if size_note:
                notes.append(size_note)
    sizes = {plane: (phase.spacing[1:], phase.unit) for plane, phase in found.items()}
    (y, x), _ = first = next(iter(sizes.values()))
    if any(size != first for size in sizes.values()) or abs(y - x) > 1e-3 * x:
        sizes_found = ", ".join(f"{plane} {y:g} x {x:g} {unit}" for plane, ((y, x), unit) in sizes.items())
        raise ImageError(
            f"pixel sizes (height x width): {sizes_found}",
            expected="square pixels of one size: they become the volume's voxels",
            remedy="scale the images in Fiji (Image > Scale...), or give pixel_size",
        )
    return found, notes


def _segmented(path: Path, classifier: Path, pixel_size: str) -> tuple[Phases, list[str]]:
    """A grey micrograph's phases by a saved classifier, and what to know of the image."""
    from fijibridge.images.image import read_image
    from fijibridge.phases.phases import as_phases
    from fijibridge.segmentation import load_segmenter

    segmenter = load_segmenter(classifier)
    image = read_image(path)
    labels = segmenter.predict(image)[image.field]
    spacing, unit, _ = voxel_of(pixel_size, image.pixel_size, 2)
    phases = named(as_phases(labels, spacing=spacing, unit=unit), dict(enumerate(segmenter.class_names_, start=1)))
    return phases, _told(image)


def _told(image: Image) -> list[str]:
    """What was left out of an image, in words."""
    rows, found = image.databar_rows, image.databar_found
    bar = [f"{image.path}: the {rows} rows at the bottom are the data bar ({found})"] if rows else []
    return bar + [f"{image.path}: {note}" for note in image.notes]


def _thresholded(path: Path, count: int, classes: str, pixel_size: str) -> tuple[Phases, list[str]]:
    """A grey micrograph's phases by multi-Otsu, darkest first; thresholds and what to know of the image in words."""
    import numpy as np
    from skimage.filters import threshold_multiotsu

    from fijibridge.images.image import read_image
    from fijibridge.phases.phases import as_phases

    if count < 2:
        raise SettingsError(f"otsu = {count}", expected="2 to 8", remedy="give the number of phases, or 0")
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
    spacing, unit, _ = voxel_of(pixel_size, image.pixel_size, 2)
    labels = np.digitize(grey, thresholds)
    cuts = ", ".join(f"{value:.4g}" for value in thresholds)
    note = f"{path} was segmented by its grey values alone (multi-Otsu): thresholds {cuts}"
    return as_phases(labels, spacing=spacing, unit=unit, class_names=phase_names(classes)), [note, *_told(image)]
