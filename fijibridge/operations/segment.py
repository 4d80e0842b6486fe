"""Train on one image's sparse labels, segment the image."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.array_cache import ByArray
from fijibridge.core.atomic_output import note_files, one_run, output_folder
from fijibridge.core.options import Heap, Out, Overwrite, Resume, Seed, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.task_pool import Workers
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.images.joined import count_joined
from fijibridge.labels.region import Roi, Slices
from fijibridge.operations.detector_files import Align, Detectors, detector_files
from fijibridge.operations.feature_options import (
    Blocks,
    Channels,
    CoarseBlocks,
    Debiasing,
    Detector,
    Encoder,
    EncoderWeights,
    Enlargement,
    Features,
    Head,
    Membrane,
    NetworkFeatures,
    Preset,
    Sigmas,
    Tile,
    Upsampler,
    UpsamplerWeights,
    chosen_features,
)
from fijibridge.operations.labelled_images import read_labelled
from fijibridge.operations.options import (
    Classes,
    Databar,
    Importance,
    LabelsFile,
    Page,
    Probabilities,
    Suggest,
    Uncertainty,
)
from fijibridge.operations.report import REPORT, detector_lines, fraction_lines, oob_lines, write_report
from fijibridge.operations.segmentation_files import (
    CLASSIFIER,
    CONFUSION,
    about_classifier,
    write_confusion,
    write_importance,
)
from fijibridge.operations.segmentation_target import target_of
from fijibridge.operations.stack_segmentation import (
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
from fijibridge.segmentation.options import Engine, MaxDepth, MaxFeatures, Statistics, Trees
from fijibridge.segmentation.segmenter import PixelSegmenter
from fijibridge.segmentation.slices.options import OmeZarr, SmoothZ, VitEvery
from fijibridge.segmentation.suggestions import Place, write_places
from fijibridge.weights.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    from fijibridge.labels.labels import Labels
    from fijibridge.segmentation.slices.results import StackResult

log = logging.getLogger(__name__)
LABEL_NEXT = "label_next.zip"
NOT_OPENED = (CONFUSION, "importance.csv", LABEL_NEXT)


def segment(
    image: Annotated[
        Path, Param("micrograph: TIFF, PNG, ...", positional=True, role="image", level="basic", group="Input")
    ],
    *,
    labels: LabelsFile,
    out: Out,
    engine: Engine = "sklearn",
    classes: Classes = "",
    preset: Preset = "default",
    head: Head = "linear",
    features: Features = None,
    sigma: Sigmas = "",
    membrane: Membrane = "",
    encoder: Encoder = DEFAULT_ENCODER,
    blocks: Blocks = None,
    coarse_blocks: CoarseBlocks = None,
    channels: Channels = 0,
    enlargement: Enlargement = None,
    debiasing: Debiasing = None,
    upsampler: Upsampler = None,
    upsampler_weights: UpsamplerWeights = None,
    tile: Tile = 0,
    network: NetworkFeatures = None,
    detector: Detector = "BSE",
    detectors: Detectors = "",
    align: Align = True,
    trees: Trees = 100,
    max_features: MaxFeatures = "sqrt",
    max_depth: MaxDepth = 0,
    seed: Seed = 0,
    databar: Databar = "auto",
    page: Page = 0,
    probabilities: Probabilities = True,
    uncertainty: Uncertainty = False,
    ome_zarr: OmeZarr = "0.5",
    statistics: Statistics = "auto",
    vit_every: VitEvery = 0,
    smooth_z: SmoothZ = False,
    suggest: Suggest = 0,
    importance: Importance = False,
    minimum_size: MinimumSize = 0,
    fill_holes: FillHoles = 0,
    mode_filter: ModeFilter = 0,
    roi: Roi = "",
    slices: Slices = "",
    weights: EncoderWeights = None,
    threads: Threads = 0,
    heap: Heap = "",
    workers: Workers = 1,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Train on sparse labels and segment an image.

    The preset says how much the ViT does; explicit options override it. Labels lie on the image, also where
    further detectors add their features. All labels train, with --roi too: a field gets the labels that it has in the
    whole, but for the clean-up, which sees the field alone.

    Of a stack the labels may lie on some slices alone: these train, and all slices are segmented.

    Writes labels.tif, probabilities.tif, overlay.png, confusion.csv (out-of-bag confusion matrix at the labelled
    pixels), report.json and the folder classifier.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.features.vit.encoder import token_cache
    from fijibridge.images.image import grey_range
    from fijibridge.segmentation.slices.estimate import check_disk, tell
    from fijibridge.segmentation.slices.job import Job
    from fijibridge.segmentation.slices.journal import JOB, discard_state, fingerprint, identity_of, journal, state_of
    from fijibridge.segmentation.slices.results import StackResult
    from fijibridge.segmentation.slices.run import check_readable, do_units
    from fijibridge.segmentation.slices.unit import prediction
    from fijibridge.segmentation.slices.whole_stack import learn_stacks

    check(segment, locals())
    settings = chosen_features(
        preset,
        features=features,
        sigma=sigma,
        membrane=membrane,
        encoder=encoder,
        blocks=blocks,
        coarse_blocks=coarse_blocks,
        channels=channels,
        enlargement=enlargement,
        debiasing=debiasing,
        upsampler=upsampler,
        upsampler_weights=upsampler_weights,
        tile=tile,
        network=network,
        weights=weights,
        detector=detector,
    )
    made_by = FeatureExtractor(settings)
    segmenter = PixelSegmenter(
        made_by,
        engine=engine,
        head=head,
        n_trees=trees,
        max_features=max_features,
        max_depth=max_depth,
        seed=seed,
        n_threads=threads,
    )
    stages, target = Stages(), target_of(out, 1)
    paths = detector_files(image, detector, detectors)
    inputs = (labels, network, weights, upsampler_weights, *paths.values())
    state = state_of(out)
    overwrite = overwrite or (resume and (state / JOB).is_file())  # what was to be replaced when that was begun
    target.check(inputs, overwrite)
    with limited_threads(threads), one_run(out):
        with stages("reading"):
            count = count_joined(paths, page=page)
            stack, shown = open_stack(paths, "", slices=slices, roi=roi, databar=databar, page=page)
            names = [name.strip() for name in classes.split(",")] if classes.strip() else None
            micrographs, strokes = read_labelled(
                paths, labels, made_by, class_names=names, align=align, databar=databar, page=page
            )
            first = next(iter(micrographs.values()))
        if engine == "weka" or heap:
            from fijibridge.jvm import start

            with stages("starting Java"):
                start(heap=heap or None)
        with stages("features"), token_cache.on_disk("tokens"):  # for further labels on this image
            stacks = {index: segmenter.extract(one) for index, one in micrographs.items()}
        with stages("training"):
            segmenter.fit(list(stacks.values()), list(strokes.values()))
            segmenter.pixel_size_ = first.pixel_size
            segmenter.grey_range_ = grey_range(first)
        about = about_classifier(segmenter)
        job = Job(
            stacks=(stack,),
            state=str(state),
            classes=len(segmenter.class_names_),
            classifier=str(state / CLASSIFIER),
            align=align,
            page=page,
            probabilities=stored_as(probabilities, "auto", target.kind),
            uncertainty=uncertainty,
            unlikeness=uncertainty and segmenter.unlikeness_ is not None,
            statistics=statistics,
            vit_every=chosen_every(vit_every, shown, segmenter),
            smooth_z=smooth_z,
            cleaning=CleanUp(minimum_size, fill_holes, mode_filter),
            suggest=suggest,
            zarr=ome_zarr if target.kind == "zarr" else "",
            threads=threads_each(threads, workers, ""),
            thick=made_by.needs_stack,
        )
        found = fingerprint(job, {"forest": about["forest"], "features": about["features"]})
        job = replace(job, identity=identity_of(found))
        needed = check_disk(job, state)
        labelled = {index + 1: one.data > 0 for index, one in strokes.items()}
        with journal(job, found, resume=resume, overwrite=overwrite) as done:
            if job.zarr:
                make_store(job, segmenter, shown)
            if workers != 1 and not (state / CLASSIFIER).exists():
                note_files(state, [CLASSIFIER])
                segmenter.save(state / CLASSIFIER)
            with stages("statistics of the stack"):
                learn_stacks(job, segmenter)
            # features of the labelled slices serve again where they were made as those of the others
            alone = statistics == "slice" or (count == 1 and statistics != "training")
            given = {index + 1: one for index, one in stacks.items()} if alone else {}
            left = sum(unit.size for number, unit in enumerate(job.units()) if number not in done)
            expected = tell(job, segmenter, shown, left=left, workers=workers, needed=needed)
            do_units(
                job,
                done,
                stages=stages,
                predict_of=lambda one: prediction(segmenter, job, one, stages, given),
                labelled=labelled,
                workers=workers,
            )
            result = StackResult(job, 0)
            check_readable(result)
            with output_folder(target.folder, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder:
                with stages("writing"):
                    written, failed = write_stack(result, folder, "", target, segmenter)
                written["outputs"] += write_confusion(folder, segmenter)
                best = _places(result)[:suggest]
                if suggest:
                    write_places(folder / LABEL_NEXT, best, in_stack=count > 1)
                    written["outputs"].append(LABEL_NEXT)
                if importance:
                    with stages("importance"):
                        written["outputs"] += write_importance(folder, segmenter)
                written["outputs"].sort()
                with stages("saving the classifier"):
                    segmenter.save(folder / CLASSIFIER)
                made, files = finished_volume(job, target)
                outputs_of(target, [written])
                report = {
                    "operation": "segment",
                    "out": str(out),
                    **written,
                    "failed": failed,
                    "labelled_slices": [index + 1 for index in strokes],
                    "labelled_pixels": _counts(strokes.values()),
                    "label_next": [place._asdict() for place in best] if suggest else None,
                    "positional_probe_r2": _probe(next(iter(stacks.values()))),
                    "expected": expected,
                    "stages": stages.seconds,
                    **about_classifier(segmenter),
                }
                write_report(folder, report)
                target.note(folder)
            if made:
                target.put(made, files, overwrite, inputs)
        discard_state(state)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return [*fraction_lines(report), *detector_lines(report), *oob_lines(report)]


def _places(result: StackResult) -> list[Place]:
    """Where to label next in all slices, what is worth most first."""
    found = [Place(*one) for about in result.slices for one in about.get("places", [])]
    return sorted(found, key=lambda place: -place.worth)


def _counts(strokes: Iterable[Labels]) -> dict[str, int]:
    """Labelled pixels of each class, on all slices."""
    total: Counter[str] = Counter()
    for one in strokes:
        total.update(one.counts)
    return dict(total)


_probed: ByArray[float] = ByArray()


def _probe(stack: Any) -> float | None:
    """R^2 of the positional probe on the ViT's tokens; None without a ViT, or on an image too small for the probe."""
    import math

    from fijibridge.features.vit.probe import positional_probe

    tokens = stack.tokens()
    score = math.nan if tokens is None else _probed.get(tokens, lambda: positional_probe(tokens))
    return None if math.isnan(score) else round(score, 4)
