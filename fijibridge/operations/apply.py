"""Apply a saved classifier to more images, or to stacks slice by slice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.detectors import parse_detectors
from fijibridge.errors import SettingsError
from fijibridge.operations.detector_images import (
    Align,
    Detectors,
    about_detectors,
    count_joined,
    detector_files,
    joined_slices,
    read_joined,
    shifts_of,
)
from fijibridge.operations.previews import Roi, Slices, field_of, slice_numbers
from fijibridge.operations.results import (
    REPORT,
    Databar,
    Heap,
    Out,
    Overwrite,
    Probabilities,
    Uncertainty,
    Weights,
    about_classifier,
    forest_prediction,
    write_report,
    write_segmentation,
)
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.segmentation.cleaning import CleanUp, FillHoles, MinimumSize, ModeFilter
from fijibridge.segmentation.pixel import Threads

if TYPE_CHECKING:
    from fijibridge.images import Image, PixelSize
    from fijibridge.operations.previews import Field

log = logging.getLogger(__name__)


def apply(
    classifier: Annotated[
        Path, Param("folder of a saved classifier, or a TWS .model", positional=True, role="classifier")
    ],
    images: Annotated[list[Path], Param("micrographs or stacks", positional=True, role="image")],
    *,
    out: Out,
    detectors: Detectors = "",
    align: Align = True,
    databar: Databar = "auto",
    probabilities: Probabilities = True,
    uncertainty: Uncertainty = False,
    minimum_size: MinimumSize = 0,
    fill_holes: FillHoles = 0,
    mode_filter: ModeFilter = 0,
    roi: Roi = "",
    slices: Slices = "",
    weights: Weights = None,
    threads: Threads = 0,
    heap: Heap = "",
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Segment images and stacks with a saved classifier.

    Each slice is scaled by its own grey values, so that it gets the same labels alone and in a stack; a field of it
    (--roi) gets those that it has in the whole, but for the clean-up, which sees the field alone.

    Writes NAME_labels.tif, NAME_probabilities.tif, NAME_overlay.png for each image, and report.json.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.features.detectors import check_same_detectors
    from fijibridge.progress import bar
    from fijibridge.segmentation import load_segmenter
    from fijibridge.segmentation.stages import Stages

    check(apply, locals())
    if not images:
        raise SettingsError("no images", expected="one image at least", remedy="name the images after the classifier")
    stages = Stages()
    further = parse_detectors(detectors)
    if len(images) > 1 and (single := [str(path) for path in further.values() if not path.is_dir()]):
        raise SettingsError(
            f"{len(images)} images, and {single[0]} of a further detector",
            expected="a folder with a file for each image, named as it",
            remedy="give NAME=FOLDER, or apply the classifier to one image at a time",
        )
    inputs = (classifier, *images, weights, *further.values())
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder:
        if heap:
            from fijibridge.jvm import start

            start(heap=heap)
        with stages("reading"):
            segmenter = load_segmenter(classifier, checkpoint=weights, n_threads=threads)
            recipe = segmenter.recipe_ or segmenter.recipe
            check_same_detectors(recipe, [recipe.detector, *further])
            joined = [detector_files(path, recipe.detector, detectors) for path in images]
            # a wrong path, slice or field is known before hours of work
            counts = [count_joined(paths) for paths in joined]
            numbers = [slice_numbers(slices, count, path) for path, count in zip(images, counts, strict=True)]
            fields = [
                field_of(roi, read_joined(paths, align=False, databar=databar)) if roi.strip() else None
                for paths in joined
            ]
        files = []
        with bar("images and slices", sum(map(len, numbers))) as steps:
            for paths, path, chosen, field, name in zip(joined, images, numbers, fields, _names(images), strict=True):
                shifts: list[dict[str, Any]] = []

                def planes(
                    paths: Any = paths, chosen: list[int] = chosen, field: Field | None = field, shifts: Any = shifts
                ) -> Iterator[tuple[Image, Image | None]]:
                    pages = [number - 1 for number in chosen]
                    for image in joined_slices(paths, align=align, databar=databar, pages=pages):
                        shifts.append(shifts_of(image))
                        steps.update()
                        yield (field.cut(image), image) if field else (image, None)

                whole = planes()
                files.append(
                    write_segmentation(
                        forest_prediction(segmenter, stages, field),
                        segmenter.class_names_,
                        segmenter.class_colors_,
                        whole,
                        len(chosen),
                        folder,
                        prefix=f"{name}_",
                        probabilities=probabilities,
                        uncertainty=uncertainty,
                        cleaning=CleanUp(minimum_size, fill_holes, mode_filter),
                        stages=stages,
                    )
                )
                whole.close()
                files[-1] |= about_detectors(paths, shifts)
                files[-1] |= {"slices": chosen, "roi": asdict(field) if field else None}
                files[-1]["pixel_size_note"] = _compared(files[-1]["pixel_size"], segmenter.pixel_size_, path)
        report = {
            "operation": "apply",
            "out": str(out),
            "classifier": str(classifier),
            "files": files,
            "outputs": [name for file in files for name in file["outputs"]],
            "stages": stages.seconds,
            **about_classifier(segmenter),
        }
        write_report(folder, report)
    return report


def _names(images: list[Path]) -> list[str]:
    """One output name an image: its stem, numbered where two images share it."""
    names: dict[str, str] = {}
    for path in images:
        name, number = Path(path).stem, 2
        while name.casefold() in names:  # some file systems take A and a for one
            name, number = f"{Path(path).stem}-{number}", number + 1
        names[name.casefold()] = name
    return list(names.values())


def _compared(found: dict[str, Any] | None, trained: PixelSize | None, path: Path) -> str | None:
    """A word of warning where an image's pixels are of another size than those the classifier was trained on."""
    if found is None or trained is None or found["unit"] != trained.unit:
        return None
    ratio = found["x"] / trained.x
    if 0.9 < ratio < 1.1:
        return None
    note = f"pixels {ratio:.2f} times as large as in training ({found['x']:g} against {trained.x:g} {trained.unit})"
    log.warning("%s: %s; features depend on scale, so rescale the image or train anew", path, note)
    return note
