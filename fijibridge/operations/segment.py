"""Train on one image's sparse labels, segment the image."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.array_cache import ByArray
from fijibridge.core.atomic_output import output_folder
from fijibridge.core.options import Heap, Out, Overwrite, Seed, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.progress import bar
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.labels.region import Roi, Slices, field_of, slice_numbers
from fijibridge.operations.detector_files import (
    Align,
    Detectors,
    about_detectors,
    count_joined,
    detector_files,
    frames_among,
    joined_slices,
    shifts_of,
)
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
    NetworkFeatures,
    Preset,
    Tile,
    Upsampler,
    UpsamplerWeights,
    chosen_features,
)
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
from fijibridge.operations.report import REPORT, fraction_lines, oob_lines, write_report
from fijibridge.operations.segmentation_files import (
    CLASSIFIER,
    CONFUSION,
    about_classifier,
    forest_prediction,
    write_confusion,
    write_segmentation,
)
from fijibridge.segmentation.clean_up import CleanUp, FillHoles, MinimumSize, ModeFilter
from fijibridge.segmentation.options import Engine, MaxDepth, MaxFeatures, Trees
from fijibridge.segmentation.segmenter import PixelSegmenter
from fijibridge.segmentation.suggestions import Place, places_to_label, write_places
from fijibridge.weights.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features import FeatureStack
    from fijibridge.images.image import Image
    from fijibridge.labels.labels import Labels
    from fijibridge.labels.region import Field

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
    from fijibridge.features.vit.encoder import token_cache
    from fijibridge.images.image import grey_range
    from fijibridge.labels.reading import read_labels
    from fijibridge.labels.stack_labels import read_stack_labels

    check(segment, locals())
    settings = chosen_features(
        preset,
        features=features,
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
    segmenter = PixelSegmenter(
        settings,
        engine=engine,
        head=head,
        n_trees=trees,
        max_features=max_features,
        max_depth=max_depth,
        seed=seed,
        n_threads=threads,
    )
    stages = Stages()
    paths = detector_files(image, detector, detectors)
    inputs = (labels, network, weights, upsampler_weights, *paths.values())
    with (
        limited_threads(threads),
        output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder,
    ):
        with stages("reading"):
            count = count_joined(paths, page=page)
            chosen = slice_numbers(slices, count, image)
            names = [name.strip() for name in classes.split(",")] if classes.strip() else None
            how = {"align": align, "databar": databar, "page": page}
            if count == 1:
                micrographs = dict(_read(paths, [0], **how))
                strokes = {0: read_labels(labels, shape=micrographs[0].shape, class_names=names)}
            else:
                frames = frames_among(image, range(1, count + 1), page=page)
                _, plane = next(_read(paths, [0], **how))
                strokes = read_stack_labels(labels, shape=(count, *plane.shape), frames=frames, class_names=names)
                micrographs = dict(_read(paths, list(strokes), **how))
            first = next(iter(micrographs.values()))
            field = field_of(roi, first)
            strokes = {index: _in_the_field(one, micrographs[index]) for index, one in strokes.items()}
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

        def planes() -> Iterator[tuple[Image, Image | FeatureStack]]:
            for number in chosen:
                if (own := micrographs.get(number - 1)) is None:
                    _, own = next(_read(paths, [number - 1], **how))
                yield (field.cut(own) if field else own), stacks.get(number - 1, own)
                if steps is not None:
                    steps.update()

        predict = forest_prediction(segmenter, stages, field)
        if suggest:
            predict, places = _with_places(predict, chosen, strokes, field, suggest)
        with bar("slices", len(chosen)) if len(chosen) > 1 else nullcontext() as steps:
            written = write_segmentation(
                predict,
                segmenter.class_names_,
                segmenter.class_colors_,
                planes(),
                len(chosen),
                folder,
                prefix="",
                probabilities=probabilities,
                uncertainty=uncertainty,
                cleaning=CleanUp(minimum_size, fill_holes, mode_filter),
                stages=stages,
                frames=frames_among(image, chosen, page=page),
            )
        written["outputs"] += write_confusion(folder, segmenter)
        if suggest:
            best = sorted(places, key=lambda place: -place.uncertainty)[:suggest]
            write_places(folder / LABEL_NEXT, best, in_stack=count > 1)
            written["outputs"].append(LABEL_NEXT)
        if importance:
            from fijibridge.segmentation.importance import write_importances

            with stages("importance"):
                written["outputs"] += write_importances(
                    folder,
                    segmenter.feature_importances_,
                    segmenter.forest_.feature_names,
                    segmenter.class_names_,
                    segmenter.class_colors_,
                    segmenter.head_importances_,
                )
        written["outputs"].sort()
        with stages("saving the classifier"):
            segmenter.save(folder / CLASSIFIER)
        report = {
            "operation": "segment",
            "out": str(out),
            **written,
            **about_detectors(paths, [shifts_of(one) for one in micrographs.values()]),
            "roi": asdict(field) if field else None,
            "slices": chosen,
            "labelled_slices": [index + 1 for index in strokes],
            "labelled_pixels": _counts(strokes.values()),
            "label_next": [place._asdict() for place in best] if suggest else None,
            "positional_probe_r2": _probe(next(iter(stacks.values()))),
            "stages": stages.seconds,
            **about_classifier(segmenter),
        }
        write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return [*fraction_lines(report), *oob_lines(report)]


def _read(paths: dict[str, Path], indices: Sequence[int], **how: Any) -> Iterator[tuple[int, Image]]:
    """Slices, from 0, one at a time."""
    return zip(indices, joined_slices(paths, pages=indices, **how), strict=True)


def _with_places(
    predict: Callable[[Image, Any], np.ndarray],
    chosen: Sequence[int],
    strokes: Mapping[int, Labels],
    field: Field | None,
    count: int,
) -> tuple[Callable[[Image, Any], np.ndarray], list[Place]]:
    """What predicts, and the places of each slice that it will have found once it did."""
    import numpy as np

    from fijibridge.network.calibration import uncertainty as uncertainty_of

    numbers, places = iter(chosen), list[Place]()

    def predicted(shown: Image, source: Any) -> np.ndarray:
        found = predict(shown, source)
        number = next(numbers)
        labelled = np.zeros(found.shape[:2], bool)
        if (own := strokes.get(number - 1)) is not None:
            drawn = own.data[field.rows, field.cols] if field else own.data
            labelled = drawn[: found.shape[0]] > 0
        unsure = uncertainty_of(np.moveaxis(found, -1, 0))
        for place in places_to_label(unsure, labelled, count, slice_number=number):
            top, left = (field.rows.start, field.cols.start) if field else (0, 0)
            places.append(place._replace(top=place.top + top, left=place.left + left))
        return found

    return predicted, places


def _counts(strokes: Iterable[Labels]) -> dict[str, int]:
    """Labelled pixels of each class, on all slices."""
    total: Counter[str] = Counter()
    for one in strokes:
        total.update(one.counts)
    return dict(total)


def _in_the_field(strokes: Labels, image: Image) -> Labels:
    """The labels without the rows of the data bar, which have no features."""
    if not image.databar_rows:
        return strokes
    if strokes.data[image.field.stop :].any():
        log.warning("labels in the data bar are not used")
    return replace(strokes, data=strokes.data[image.field])


_probed: ByArray[float] = ByArray()


def _probe(stack: Any) -> float | None:
    """R^2 of the positional probe on the ViT's tokens; None without a ViT, or on an image too small for the probe."""
    import math

    from fijibridge.features.vit.probe import positional_probe

    tokens = stack.tokens()
    score = math.nan if tokens is None else _probed.get(tokens, lambda: positional_probe(tokens))
    return None if math.isnan(score) else round(score, 4)
