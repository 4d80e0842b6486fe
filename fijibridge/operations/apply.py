"""Apply a saved classifier to more images, or to stacks slice by slice."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import one_run, output_folder
from fijibridge.core.errors import ImageError, SettingsError
from fijibridge.core.options import Heap, Out, Overwrite, Resume, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.task_pool import Dask, Workers
from fijibridge.core.threads import limited_threads
from fijibridge.features.tws.from_names import Dimensions
from fijibridge.images.grey_map import GreyRange, grey_map
from fijibridge.labels.region import Roi, Slices
from fijibridge.operations.batch import Batch
from fijibridge.operations.detector_files import Align, Detectors, detector_files, detectors_of_several
from fijibridge.operations.feature_options import EncoderWeights
from fijibridge.operations.options import Databar, Page, Probabilities, Uncertainty
from fijibridge.operations.report import REPORT, failed_lines, fraction_lines, write_report
from fijibridge.operations.segmentation_files import about_classifier
from fijibridge.operations.segmentation_target import target_of
from fijibridge.operations.stack_segmentation import (
    about_part,
    check_all_done,
    check_dimensions,
    chosen_every,
    finished_volume,
    make_store,
    open_stack,
    outputs_of,
    stored_as,
    threads_each,
    write_stack,
)
from fijibridge.segmentation.clean_up import CleanUp, FillHoles, MinimumSize, ModeFilter
from fijibridge.segmentation.options import Statistics
from fijibridge.segmentation.slices.options import (
    MergeParts,
    OmeZarr,
    Part,
    ProbabilityType,
    SmoothZ,
    VitEvery,
    part_of,
)

if TYPE_CHECKING:
    from fijibridge.images.image import Image, PixelSize
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
    grey_range: GreyRange = "none",
    dimensions: Dimensions = "auto",
    probabilities: Probabilities = True,
    probability_type: ProbabilityType = "auto",
    uncertainty: Uncertainty = False,
    ome_zarr: OmeZarr = "0.5",
    statistics: Statistics = "auto",
    vit_every: VitEvery = 0,
    smooth_z: SmoothZ = False,
    minimum_size: MinimumSize = 0,
    fill_holes: FillHoles = 0,
    mode_filter: ModeFilter = 0,
    roi: Roi = "",
    slices: Slices = "",
    weights: EncoderWeights = None,
    threads: Threads = 0,
    heap: Heap = "",
    workers: Workers = 1,
    dask: Dask = "",
    part: Part = "",
    merge_parts: MergeParts = False,
    resume: Resume = False,
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
    from fijibridge.core.timing import Stages
    from fijibridge.features.channels import check_same_detectors
    from fijibridge.segmentation import load_segmenter
    from fijibridge.segmentation.slices.estimate import check_disk, tell
    from fijibridge.segmentation.slices.job import Job, StackFiles
    from fijibridge.segmentation.slices.journal import JOB, discard_state, fingerprint, identity_of, journal, state_of
    from fijibridge.segmentation.slices.results import StackResult
    from fijibridge.segmentation.slices.run import check_readable, do_units
    from fijibridge.segmentation.slices.unit import prediction
    from fijibridge.segmentation.slices.whole_stack import learn_stacks

    check(apply, locals())
    if not images:
        raise SettingsError("no images", expected="one image at least", remedy="name the images after the classifier")
    stages, share, target = Stages(), part_of(part), target_of(out, len(images))
    further = detectors_of_several(images, detectors)
    state, go_on = state_of(out), resume or merge_parts
    inputs = (classifier, *images, weights, *further.values())
    overwrite = overwrite or (go_on and (state / JOB).is_file())  # what was to be replaced when that was begun
    if not share:
        target.check(inputs, overwrite)
    with (
        limited_threads(threads),
        one_run(state.with_name(f"{state.name}-part-{share[0]}") if share else out),
    ):
        if heap:
            from fijibridge.jvm import start

            start(heap=heap)
        with stages("reading"):
            segmenter = load_segmenter(classifier, weights=weights, n_threads=threads, dimensions=dimensions)
            first, others = segmenter.detectors_
            check_same_detectors(first, others, [first, *further])
            batch = Batch(len(images))
            stacks: list[StackFiles] = []
            firsts: list[Image] = []
            notes: list[str | None] = []
            for path, name in zip(images, _names(images), strict=True):
                paths = detector_files(path, first, detectors)
                # a wrong path, a wrong slice and a wrong field are known before hours of work
                with batch.each(path, errors=ImageError):
                    stack, image = open_stack(paths, f"{name}_", slices=slices, roi=roi, databar=databar, page=page)
                    check_dimensions(segmenter.extractor_, stack.total, path)
                    greys = grey_map(grey_range, image, segmenter.grey_range_)
                    image = greys(image) if greys else image
                    stacks.append(replace(stack, greys=greys))
                    firsts = firsts or [image]
                    notes.append(_greys_compared(image, segmenter))
            if not stacks:
                batch.check()
            job = Job(
                stacks=tuple(stacks),
                state=str(state),
                classes=len(segmenter.class_names_),
                classifier=str(Path(classifier).absolute()),
                weights=str(Path(weights).absolute()) if weights else "",
                dimensions=dimensions,
                align=align,
                page=page,
                probabilities=stored_as(probabilities, probability_type, target.kind),
                uncertainty=uncertainty,
                unlikeness=uncertainty and segmenter.unlikeness_ is not None,
                statistics=statistics,
                vit_every=chosen_every(vit_every, firsts[0], segmenter),
                smooth_z=smooth_z,
                cleaning=CleanUp(minimum_size, fill_holes, mode_filter),
                zarr=ome_zarr if target.kind == "zarr" else "",
                threads=threads_each(threads, workers, dask),
                thick=segmenter.extractor_ is not None and segmenter.extractor_.needs_stack,
            )
            about = about_classifier(segmenter)
            found = fingerprint(job, {"forest": about["forest"], "features": about["features"]})
            job = replace(job, identity=identity_of(found))
            needed = check_disk(job, state)
        with journal(job, found, parts=share[1] if share else 0, resume=go_on, overwrite=overwrite) as done:
            if merge_parts:
                check_all_done(job, done)
            if job.zarr:
                make_store(job, segmenter, firsts[0])
            with stages("statistics of the stack"):
                learn_stacks(job, segmenter)
            left = sum(unit.size for number, unit in enumerate(job.units()) if number not in done)
            expected = tell(job, segmenter, firsts[0], left=left, workers=workers, needed=needed)
            failed = do_units(
                job, done, stages=stages, predict_of=lambda stack: prediction(segmenter, job, stack, stages),
                workers=workers, dask=dask, part=share,
            )  # fmt: skip
            if share:
                return about_part(job, share)
            with output_folder(target.folder, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder:
                files = []
                for number, stack in enumerate(stacks):
                    with batch.each(stack.files[first], folder), stages("writing"):
                        if number in failed:
                            raise failed[number]
                        result = StackResult(job, number)
                        check_readable(result)
                        prefix = stack.name if target.kind == "folder" else ""
                        file, bad = write_stack(result, folder, prefix, target, segmenter)
                        batch.failed += bad
                        file["notes"] += [notes[number]] if notes[number] else []
                        file["pixel_size_note"] = _compared(
                            file["pixel_size"], segmenter.pixel_size_, stack.files[first]
                        )
                        files.append(file)
                if not files:
                    batch.check()
                made, names = finished_volume(job, target)
                report = {
                    "operation": "apply",
                    "out": str(out),
                    "classifier": str(classifier),
                    "files": files,
                    "failed": batch.failed,
                    "outputs": outputs_of(target, files),
                    "features_by_names": _by_names(classifier, segmenter),
                    "expected": expected,
                    "stages": stages.seconds,
                    **about_classifier(segmenter),
                }
                write_report(folder, report)
                target.note(folder)
            if made:
                target.put(made, names, overwrite, inputs)
        discard_state(state)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    if "part" in report:
        done = f"{report['units_done']} of all {report['units']} units are done; at the end: --merge-parts"
        return [f"part {report['part']}: {report['slices_of_part']} slices; {done}"]
    told = report["features_by_names"]
    return [
        *([f"features, by the names of the attributes: {told}"] if told else []),
        *fraction_lines(report),
        *failed_lines(report),
    ]


def _by_names(classifier: Path, segmenter: PixelSegmenter) -> str | None:
    """What was told from the attributes of a .model; None of a folder, which says it itself."""
    if segmenter.extractor_ is None or not Path(classifier).is_file():
        return None
    return "; ".join(map(str, segmenter.extractor_.settings.sources))


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
        f"against {trained[0]:g} to {trained[1]:g}), and these features see greys as they are: give --grey-range auto "
        "or LOW:HIGH, or train anew"
    )
    log.warning("%s: %s", image.path, note)
    return note
