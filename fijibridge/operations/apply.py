"""Apply a saved classifier to more images, or to stacks slice by slice."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.core.options import Heap, Out, Overwrite, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.threads import limited_threads
from fijibridge.images.detectors import parse_detectors
from fijibridge.labels.region import Roi, Slices, field_of, slice_numbers
from fijibridge.operations.batch import Batch
from fijibridge.operations.detector_files import (
    Align,
    Detectors,
    about_detectors,
    count_joined,
    detector_files,
    frames_among,
    joined_slices,
    read_joined,
    shifts_of,
)
from fijibridge.operations.feature_options import EncoderWeights
from fijibridge.operations.options import Databar, Page, Probabilities, Uncertainty
from fijibridge.operations.report import REPORT, failed_lines, fraction_lines, write_report
from fijibridge.operations.segmentation_files import about_classifier, forest_prediction, write_segmentation
from fijibridge.segmentation.clean_up import CleanUp, FillHoles, MinimumSize, ModeFilter

if TYPE_CHECKING:
    from fijibridge.images.image import Image, PixelSize
    from fijibridge.labels.region import Field
    from fijibridge.segmentation import PixelSegmenter

log = logging.getLogger(__name__)
FAR_GREYS = 0.3  # share of the pixels outside of the training's greys, from which on it is told


def apply(
    classifier: Annotated[
        Path,
        Param(
            "folder of a saved classifier, or a TWS .model",
            positional=True,
            role="classifier",
            level="basic",
            group="Input",
        ),
    ],
    images: Annotated[
        list[Path], Param("micrographs or stacks", positional=True, role="image", level="basic", group="Input")
    ],
    *,
    out: Out,
    detectors: Detectors = "",
    align: Align = True,
    databar: Databar = "auto",
    page: Page = 0,
    probabilities: Probabilities = True,
    uncertainty: Uncertainty = False,
    minimum_size: MinimumSize = 0,
    fill_holes: FillHoles = 0,
    mode_filter: ModeFilter = 0,
    roi: Roi = "",
    slices: Slices = "",
    weights: EncoderWeights = None,
    threads: Threads = 0,
    heap: Heap = "",
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Segment images and stacks with a saved classifier.

    Each slice is scaled by its own grey values, so that it gets the same labels alone and in a stack; a field of it
    (--roi) gets those that it has in the whole, but for the clean-up, which sees the field alone.

    Writes NAME_labels.tif, NAME_probabilities.tif, NAME_overlay.png for each image, and report.json. Of several images
    one that cannot be segmented is left out, and named in the report and at the end.

    Returns
    -------
    dict
        The report; ``failed`` holds the images that were left out, and why.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.core.progress import bar
    from fijibridge.core.timing import Stages
    from fijibridge.features.channels import check_same_detectors
    from fijibridge.segmentation import load_segmenter

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
    with (
        limited_threads(threads),
        output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder,
    ):
        if heap:
            from fijibridge.jvm import start

            start(heap=heap)
        with stages("reading"):
            segmenter = load_segmenter(classifier, weights=weights, n_threads=threads)
            first, others = segmenter.detectors_
            check_same_detectors(first, others, [first, *further])
            batch = Batch(len(images))
            wanted = []
            for path, name in zip(images, _names(images), strict=True):
                paths = detector_files(path, first, detectors)
                if missing := [each for each in paths.values() if not Path(each).exists()]:
                    count_joined({first: missing[0]})  # a wrong path is known before hours of work, as are
                with batch.each(path, errors=ImageError):  # a wrong slice and a wrong field
                    chosen = slice_numbers(slices, count_joined(paths, page=page), path)
                    joined = read_joined(paths, align=False, databar=databar, page=page) if roi.strip() else None
                    field = field_of(roi, joined) if joined is not None else None
                    wanted.append((paths, path, chosen, field, name))
            if not wanted:
                batch.check()
        files = []
        with bar("images and slices", sum(len(chosen) for _, _, chosen, _, _ in wanted)) as steps:
            for paths, path, chosen, field, name in wanted:
                shifts: list[dict[str, Any]] = []
                told: list[str] = []

                def planes(
                    paths: Any = paths,
                    chosen: list[int] = chosen,
                    field: Field | None = field,
                    shifts: Any = shifts,
                    told: Any = told,
                ) -> Generator[tuple[Image, Image | None]]:
                    pages = [number - 1 for number in chosen]
                    for image in joined_slices(paths, align=align, databar=databar, pages=pages, page=page):
                        shifts.append(shifts_of(image))
                        if note := _greys_compared(image, segmenter):
                            told.append(note)
                        yield (field.cut(image), image) if field else (image, None)
                        steps.update()

                with batch.each(path, folder), closing(planes()) as whole:
                    file = write_segmentation(
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
                        frames=frames_among(path, chosen, page=page),
                    )
                    file |= about_detectors(paths, shifts)
                    file |= {"slices": chosen, "roi": asdict(field) if field else None}
                    file["notes"] += told[:1]
                    file["pixel_size_note"] = _compared(file["pixel_size"], segmenter.pixel_size_, path)
                    files.append(file)
        if not files:
            batch.check()
        report = {
            "operation": "apply",
            "out": str(out),
            "classifier": str(classifier),
            "files": files,
            "failed": batch.failed,
            "outputs": [name for file in files for name in file["outputs"]],
            "stages": stages.seconds,
            **about_classifier(segmenter),
        }
        write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return [*fraction_lines(report), *failed_lines(report)]


def _names(images: list[Path]) -> list[str]:
    """One output name an image: its file's stem, numbered where two images share it."""
    from fijibridge.images.place import image_name

    names: dict[str, str] = {}
    for path in images:
        stem = name = image_name(path)
        number = 2
        while name.casefold() in names:  # some file systems take A and a for one
            name, number = f"{stem}-{number}", number + 1
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


def _greys_compared(image: Image, segmenter: PixelSegmenter) -> str | None:
    """A word of warning where an image's greys lie far outside of the training's, and the features are not scaled."""
    import numpy as np

    extractor, trained = segmenter.extractor_, segmenter.grey_range_
    if extractor is None or trained is None or any(source.kind != "tws" for source in extractor.sources):
        return None
    grey = image.grey[image.field]
    outside = float(((grey < trained[0]) | (grey > trained[1])).mean())
    if outside <= FAR_GREYS:
        return None
    low, high = np.percentile(grey, (1, 99))
    note = (
        f"{100 * outside:.0f} % of the pixels are darker or brighter than all of training's (greys {low:g} to {high:g} "
        f"against {trained[0]:g} to {trained[1]:g}), and these features see greys as they are: scale the image as the "
        "training's was, or train anew"
    )
    log.warning("%s: %s", image.path, note)
    return note
