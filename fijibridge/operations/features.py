"""The features of an image, or of slices of a stack, as files that ImageJ and TWS open."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import ImageError, OutputError
from fijibridge.core.options import Out, Overwrite, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.images.joined import count_joined, read_joined
from fijibridge.labels.region import Slices, slice_numbers
from fijibridge.operations.batch import Batch
from fijibridge.operations.detector_files import Align, Detectors, about_detectors, detector_files, shifts_of
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
    Membrane,
    NetworkFeatures,
    Preset,
    Sigmas,
    Tile,
    Upsampler,
    UpsamplerWeights,
    chosen_features,
)
from fijibridge.operations.options import FEATURE_FILE, Databar, Page
from fijibridge.operations.report import REPORT, peak_memory_mib, write_report
from fijibridge.operations.stack_segmentation import chosen_every, open_stack
from fijibridge.weights.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.features.stack import FeatureStack
    from fijibridge.images.image import Image
    from fijibridge.segmentation.slices.along_z import SliceFeatures

log = logging.getLogger(__name__)

# Features of a band of rows; as many bytes again while they are turned from pixel by pixel to plane by plane. TWS's
# filters look 30 rows beyond a band, so that narrow bands cost time.
_BAND_BYTES = 128 * 2**20


def features(
    image: Annotated[
        Path, Param("micrograph or stack: TIFF, PNG, ...", positional=True, role="image", level="basic", group="Input")
    ],
    *,
    out: Out,
    feature_file: Annotated[Path | None, FEATURE_FILE] = None,
    preset: Preset = "default",
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
    databar: Databar = "auto",
    page: Page = 0,
    slices: Slices = "",
    weights: EncoderWeights = None,
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Write the features of an image as a stack for ImageJ and TWS.

    One 32-bit plane a feature, its name as the slice's label; the rows of a data bar are 0. The preset says how much
    the ViT does; explicit options override it, and --feature-file replaces them all. With --channels the ViT's channels
    are replaced by their first principal components in the first slice, which are unsupervised; features.safetensors
    keeps them for other images.

    Writes features.tif, or features_0001.tif, ... for the slices of a stack, features.json with what was learned
    beside it, and report.json. Of several slices one that cannot be read is left out, and named in the report.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    BridgeError
        For every input that cannot serve, and for features that do not fit into an ImageJ TIFF; nothing is left half
        written.
    """
    from fijibridge.core.progress import bar
    from fijibridge.features.channels import check_same_detectors, detectors_of
    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.features.extractor_file import write_extractor
    from fijibridge.segmentation.classifier_file import INDEX
    from fijibridge.segmentation.load import read_features

    check(_OPERATION, locals())
    chosen = chosen_features(
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
    if feature_file is None:
        extractor = FeatureExtractor(chosen)
    else:
        extractor, _ = read_features(feature_file)
        if weights:
            extractor = extractor.with_weights(str(weights))
        if chosen != chosen_features(weights=weights):
            log.warning("features are made as %s says; the options for features are not used", feature_file)
    stages = Stages()
    paths = detector_files(image, extractor.detector, detectors)
    inputs = (feature_file, network, weights, upsampler_weights, *paths.values())
    with (
        limited_threads(threads),
        output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder,
    ):
        with stages("reading"):
            count = count_joined(paths, page=page)
            wanted = slice_numbers(slices, count)
            # the data bar is that of the first slice, as in apply
            first = _first(paths, align, databar, page, [0, *(number - 1 for number in wanted)])
            if feature_file is not None:
                check_same_detectors(extractor.detector, extractor.detectors_, detectors_of(first))
        with stages("features"):
            _check_size(extractor, first.shape, len(paths))
            by_classifier = None
            if feature_file is not None and (Path(feature_file) / INDEX).is_file() and count > 1:
                by_classifier = _as_applied(feature_file, weights, paths, align, databar, page)
        shifts: list[dict[str, Any]] = []
        names, kept = [], []
        batch = Batch(len(wanted))
        with bar("slices", len(wanted)) as steps:
            for number in wanted:
                name = f"features_{number:04d}.tif" if count > 1 else "features.tif"
                with batch.each(f"{image}, slice {number}" if count > 1 else image, folder):
                    with stages("reading"):
                        micrograph = read_joined(
                            paths, align=align, databar=first.databar_rows, index=number - 1, page=page
                        )
                    with stages("features"):
                        if by_classifier is None:
                            stack = extractor.transform(micrograph)
                        else:
                            stack = by_classifier.of(micrograph, number)
                    with stages("writing"):
                        _write(folder / name, stack, micrograph, stages)
                    shifts.append(shifts_of(micrograph))
                    names.append(name)
                    kept.append(number)
                steps.update()
        if not names:
            batch.check()
        described = write_extractor(folder, extractor, stack.names)
        report = {
            "operation": "features",
            "out": str(out),
            "image": str(image),
            "shape": [count, *first.shape] if count > 1 else list(first.shape),
            "databar_rows": first.databar_rows,
            "databar_found": first.databar_found,
            "notes": list(first.notes),
            **about_detectors(paths, shifts),
            "slices": kept,
            "failed": batch.failed,
            "n_features": len(stack.names),
            "outputs": [*names, *described],
            "stages": stages.seconds,
            "features": extractor.to_brief(),
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


_OPERATION = features  # its option of this name hides it inside


def _as_applied(
    classifier: Path, weights: Path | None, paths: dict[str, Path], align: bool, databar: str, page: int
) -> SliceFeatures:
    """Features of a stack's slices as apply makes them with a classifier."""
    from fijibridge.segmentation.load import load_segmenter
    from fijibridge.segmentation.slices.along_z import SliceFeatures
    from fijibridge.segmentation.slices.job import Job
    from fijibridge.segmentation.slices.whole_stack import learned

    segmenter = load_segmenter(classifier, weights=weights)
    stack, first = open_stack(paths, "", slices="", roi="", databar=databar, page=page)
    every = chosen_every(0, first, segmenter)
    job = Job((stack,), "", len(segmenter.class_names_), align=align, page=page, vit_every=every)
    return SliceFeatures(job, 0, segmenter, learned(job, 0, segmenter))


def _first(paths: Mapping[str, Path], align: bool, databar: str, page: int, wanted: Iterable[int]) -> Image:
    """The first of some slices that can be read."""
    error: ImageError | None = None
    for index in wanted:
        try:
            return read_joined(paths, align=align, databar=databar, index=index, page=page)
        except ImageError as bad:
            error = error or bad
    assert error is not None
    raise error


def _check_size(extractor: FeatureExtractor, shape: tuple[int, int], detectors: int) -> None:
    """Refuse features that do not fit into an ImageJ TIFF before any is made."""
    from fijibridge.images.writing import LARGEST_TIFF

    height, width = shape
    plane = 4 * height * width
    if (count := extractor.n_features(detectors)) is None or count * plane <= LARGEST_TIFF:
        return
    fits, side = LARGEST_TIFF // plane, math.isqrt(LARGEST_TIFF // (4 * count))
    raise OutputError(
        f"{count} features of {width} x {height} px would take {count * plane / 2**30:.1f} GiB",
        expected=f"less than 4 GiB, the limit of an ImageJ TIFF: {fits} features of this size, or {count} of "
        f"{side} x {side} px",
        remedy=_fewer(extractor, detectors, fits) + "crop the image",
    )


def _fewer(extractor: FeatureExtractor, detectors: int, fits: int) -> str:
    """How to get no more than so many features by the sources' options; empty where these cannot help."""
    if extractor.head_:
        return ""
    counts = [source.n_features(detectors) or 0 for source in extractor.sources]
    for source, own in zip(extractor.sources, counts, strict=True):
        if advice := source.fewer(detectors, fits - (sum(counts) - own)):
            return f"{advice}, or "
    return ""


def _write(path: Path, stack: FeatureStack, image: Image, stages: Stages) -> None:
    """Write a stack as an ImageJ TIFF, one plane a feature, of the whole image's height.

    Features come band by band with all planes, and go into the file plane by plane with all rows: between them they
    wait on the disk, so that only a band is held.
    """
    import numpy as np

    from fijibridge.images.writing import write_imagej

    with tempfile.TemporaryFile(dir=path.parent) as spool:
        with stages("features"):
            _spool(stack, spool)
        height, width, count = stack.shape

        def planes() -> Iterator[np.ndarray]:
            spool.seek(0)
            for _ in range(count):
                plane = np.zeros(image.shape, np.float32)  # rows of the data bar stay 0
                plane[:height] = np.frombuffer(spool.read(4 * height * width), np.float32).reshape(height, width)
                yield plane

        about = {"Labels": list(stack.names), "mode": "grayscale"}
        full = (count, *image.shape)
        write_imagej(path, planes(), full, np.float32, "ZYX", image.pixel_size, metadata=about)


def _spool(stack: FeatureStack, spool: IO[bytes]) -> None:
    """Write features plane by plane, float32 (F, Y, X), without a header."""
    import numpy as np

    from fijibridge.core.progress import bar

    height, width, count = stack.shape
    band = max(1, _BAND_BYTES // (4 * width * count))
    with bar("features", height) as steps:
        for top in range(0, height, band):
            block = stack.block(slice(top, min(height, top + band)))
            turned = np.empty((count, *block.shape[:2]), np.float32)
            for y, row in enumerate(block):  # a row fits the processor's cache
                turned[:, y] = row.T
            for k, plane in enumerate(turned):
                spool.seek(4 * width * (k * height + top))
                spool.write(plane.data)
            steps.update(len(block))
