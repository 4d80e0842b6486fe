"""Train on one image's sparse labels, segment the image."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.errors import ImageError
from fijibridge.features.presets import Preset, preset_recipe
from fijibridge.features.recipe import (
    Channels,
    Classical,
    Detector,
    Encoder,
    FeatureRecipe,
    PresetPosition,
    PresetUpsampler,
    Tile,
)
from fijibridge.operations.detector_images import (
    Align,
    Detectors,
    about_detectors,
    count_joined,
    detector_files,
    read_joined,
    shifts_of,
)
from fijibridge.operations.previews import Roi, field_of
from fijibridge.operations.results import (
    CLASSIFIER,
    REPORT,
    CoarseBlocks,
    Databar,
    Heap,
    Importance,
    Out,
    Overwrite,
    PresetBlocks,
    PresetEnlargement,
    Probabilities,
    Uncertainty,
    UpsamplerWeights,
    Weights,
    about_classifier,
    block_numbers,
    chosen_coarse_blocks,
    forest_prediction,
    own_upsampler,
    write_confusion,
    write_report,
    write_segmentation,
)
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.segmentation.cleaning import CleanUp, FillHoles, MinimumSize, ModeFilter
from fijibridge.segmentation.pixel import Engine, MaxDepth, MaxFeatures, PixelSegmenter, Reader, Seed, Threads, Trees
from fijibridge.segmentation.stages import Stages

if TYPE_CHECKING:
    from fijibridge.images import Image
    from fijibridge.labels import Labels

log = logging.getLogger(__name__)


def segment(
    image: Annotated[Path, Param("micrograph: TIFF, PNG, ...", positional=True, role="image")],
    *,
    labels: Annotated[
        Path, Param("label image of the same size (0 = unlabelled), or ImageJ ROIs (.zip, .roi)", role="labels")
    ],
    out: Out,
    engine: Engine = "sklearn",
    classes: Annotated[str, Param("names of the classes 1, 2, ..., separated by commas")] = "",
    preset: Preset = "default",
    reader: Reader = "linear",
    encoder: Encoder = FeatureRecipe.encoder,
    blocks: PresetBlocks = "",
    coarse_blocks: CoarseBlocks = "",
    channels: Channels = FeatureRecipe.channels,
    enlargement: PresetEnlargement = 0.0,
    position: PresetPosition = "preset",
    upsampler: PresetUpsampler = "preset",
    upsampler_weights: UpsamplerWeights = None,
    tile: Tile = FeatureRecipe.tile,
    classical: Classical = FeatureRecipe.classical,
    network: Annotated[
        Path | None,
        Param("folder of a trained network, whose probabilities become features too", role="classifier"),
    ] = None,
    detector: Detector = FeatureRecipe.detector,
    detectors: Detectors = "",
    align: Align = True,
    trees: Trees = 200,
    max_features: MaxFeatures = "sqrt",
    max_depth: MaxDepth = 0,
    seed: Seed = 0,
    databar: Databar = "auto",
    probabilities: Probabilities = True,
    uncertainty: Uncertainty = False,
    importance: Importance = False,
    minimum_size: MinimumSize = 0,
    fill_holes: FillHoles = 0,
    mode_filter: ModeFilter = 0,
    roi: Roi = "",
    weights: Weights = None,
    threads: Threads = 0,
    heap: Heap = "",
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Train on sparse labels and segment an image.

    The preset says how much the ViT does; what is given besides wins over it. Labels lie on the image, also where
    further detectors add their features. All labels train, with --roi too: a field gets the labels that it has in the
    whole, but for the clean-up, which sees the field alone.

    Writes labels.tif, probabilities.tif, overlay.png, confusion.csv (the labelled pixels, true class against the one
    found out of bag), report.json and the folder classifier.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    from fijibridge.labels import read_labels

    check(segment, locals())
    recipe = preset_recipe(
        preset,
        encoder=encoder,
        blocks=block_numbers(blocks) if blocks.strip() else None,
        coarse_blocks=chosen_coarse_blocks(coarse_blocks, channels),
        channels=channels,
        enlargement=enlargement or None,
        position=None if position == "preset" else position,
        upsampler=None if upsampler == "preset" else upsampler,
        upsampler_weights=own_upsampler(upsampler_weights, upsampler),
        tile=tile,
        classical=classical,
        network=str(network) if network else "",
        detector=detector,
    )
    segmenter = PixelSegmenter(
        engine=engine,
        recipe=recipe,
        reader=reader,
        n_trees=trees,
        max_features=max_features,
        max_depth=max_depth,
        seed=seed,
        n_threads=threads,
        checkpoint=weights,
    )
    stages = Stages()
    paths = detector_files(image, detector, detectors)
    inputs = (labels, weights, upsampler_weights, *paths.values())
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder:
        with stages("reading"):
            if (slices := count_joined(paths)) > 1:
                raise ImageError(
                    f"{image} has {slices} slices",
                    expected="the one image that the labels belong to",
                    remedy="save the labelled slice as an image of its own, then use fijibridge apply on the stack",
                )
            micrograph = read_joined(paths, align=align, databar=databar)
            field = field_of(roi, micrograph)
            names = [name.strip() for name in classes.split(",")] if classes.strip() else None
            strokes = _in_the_field(read_labels(labels, shape=micrograph.shape, class_names=names), micrograph)
        if engine == "weka" or heap:
            from fijibridge.jvm import start

            with stages("starting Java"):
                start(heap=heap or None)
        with stages("features"):
            stack = segmenter.features(micrograph)
        with stages("training"):
            segmenter.fit(stack, strokes)
            segmenter.pixel_size_ = micrograph.pixel_size
        written = write_segmentation(
            forest_prediction(segmenter, stages, field),
            segmenter.class_names_,
            segmenter.class_colors_,
            iter([(field.cut(micrograph) if field else micrograph, stack)]),
            1,
            folder,
            prefix="",
            probabilities=probabilities,
            uncertainty=uncertainty,
            cleaning=CleanUp(minimum_size, fill_holes, mode_filter),
            stages=stages,
        )
        written["outputs"] += write_confusion(folder, segmenter)
        if importance:
            from fijibridge.segmentation.importance import write_importances

            with stages("importance"):
                written["outputs"] += write_importances(segmenter, folder)
        written["outputs"].sort()
        with stages("saving the classifier"):
            segmenter.save(folder / CLASSIFIER)
        report = {
            "operation": "segment",
            "out": str(out),
            **written,
            **about_detectors(paths, [shifts_of(micrograph)]),
            "roi": asdict(field) if field else None,
            "labelled_pixels": strokes.counts,
            "positional_probe_r2": _probe(stack),
            "stages": stages.seconds,
            **about_classifier(segmenter),
        }
        write_report(folder, report)
    return report


def _in_the_field(strokes: Labels, image: Image) -> Labels:
    """The labels without the rows of the data bar, which have no features."""
    if not image.databar_rows:
        return strokes
    if strokes.data[image.field.stop :].any():
        log.warning("labels in the data bar are not used")
    return replace(strokes, data=strokes.data[image.field])


def _probe(stack: Any) -> float | None:
    """R^2 of the positional probe on the ViT's tokens; None without a ViT, or on an image too small for the probe."""
    import math

    from fijibridge.features.position import positional_probe

    tokens = stack.tokens()
    score = math.nan if tokens is None else positional_probe(tokens)
    return None if math.isnan(score) else round(score, 4)
