"""What the segmenting operations write: label image, probabilities, overlay and the report."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from fijibridge.errors import SettingsError
from fijibridge.params import Param

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features import FeatureStack
    from fijibridge.images import Image
    from fijibridge.operations.previews import Field
    from fijibridge.segmentation import PixelSegmenter
    from fijibridge.segmentation.cleaning import CleanUp
    from fijibridge.segmentation.stages import Stages

REPORT = "report.json"
CONFUSION = "confusion.csv"
CLASSIFIER = "classifier"  # the folder of a saved classifier in a result

Out = Annotated[Path, Param("folder for the results; it appears when they are complete", role="out")]
Overwrite = Annotated[bool, Param("replace an older result of fijibridge")]
Blocks = Annotated[str, Param("transformer blocks used, the first being 1, separated by commas")]
PresetBlocks = Annotated[
    str, Param("transformer blocks used, the first being 1, separated by commas; empty: those of the preset")
]
CoarseBlocks = Annotated[
    str, Param("blocks that see the image at half the enlargement too; none: no; empty: those of the preset")
]
PresetEnlargement = Annotated[
    float, Param("enlargement of the image before the ViT sees it, 0.25 to 8; 0: that of the preset", low=0, high=8)
]
Uncertainty = Annotated[bool, Param("write the entropy of the probabilities, 0 (sure) to 1, too: where to label next")]
Importance = Annotated[bool, Param("write importance.csv and importance.png too: what forest and linear model look at")]
Databar = Annotated[str, Param("data bar of an SEM image at the bottom: 'auto', or its number of rows")]
Probabilities = Annotated[bool, Param("write the class probabilities too")]
Weights = Annotated[
    Path | None, Param("file with the encoder's weights, instead of cache, hub or offline source", role="file")
]
UpsamplerWeights = Annotated[
    Path | None,
    Param(
        "for upsampler learned: a file of your own, as train-upsampler writes it, or a checkpoint (.pth) of "
        "github.com/tldr-group/vulture; else the package's",
        role="file",
    ),
]
Heap = Annotated[str, Param("Java's memory, such as 4g; empty: a third of the machine's, 8g at most")]


def block_numbers(text: str) -> tuple[int, ...]:
    """Transformer blocks written as ``3,6``.

    Raises
    ------
    SettingsError
        Not whole numbers.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"blocks = {text!r}", expected="numbers separated by commas, such as 6 or 3,6", remedy="check the list"
        ) from error


def own_upsampler(path: Path | None, upsampler: str) -> str:
    """Weights of a user's own upsampler as a recipe has them; empty without.

    Raises
    ------
    SettingsError
        A file for another upsampler than the learned one.
    WeightsError
        A file that does not fit.
    """
    if path is None:
        return ""
    if upsampler != "learned":
        raise SettingsError(
            f"upsampler_weights = {path} with upsampler = {upsampler!r}",
            expected="upsampler learned, the one that has weights",
            remedy="set upsampler to learned, or leave upsampler_weights out",
        )
    from fijibridge.features.learned import read_weights

    return read_weights(path)


def chosen_coarse_blocks(text: str, channels: int) -> tuple[int, ...] | None:
    """Blocks of the coarse scale; None: those of the preset. Principal components have one scale.

    Raises
    ------
    SettingsError
        Neither whole numbers nor ``none``.
    """
    if text.strip() == "none" or (channels and not text.strip()):
        return ()
    return block_numbers(text) if text.strip() else None


def forest_prediction(
    segmenter: PixelSegmenter, stages: Stages, field: Field | None = None
) -> Callable[[Image, Any], np.ndarray]:
    """What a trained segmenter makes of an image, or of its features where they are there already.

    With ``field`` the image that is shown is that field of the one that comes with it, whose features are used.
    """

    def predict(shown: Image, whole: Image | FeatureStack | None) -> np.ndarray:
        from fijibridge.features import FeatureStack

        source = shown if whole is None else whole
        if not isinstance(source, FeatureStack):
            with stages("features"):
                source = segmenter.features(source)
        with stages("prediction"):
            return segmenter.predict_proba(source, *((field.rows, field.cols) if field else ()))

    return predict


def write_segmentation(
    predict: Callable[[Image, Any], np.ndarray],
    class_names: Sequence[str],
    class_colors: Any,
    slices: Iterator[tuple[Image, Any]],
    count: int,
    folder: Path,
    *,
    prefix: str,
    probabilities: bool,
    stages: Stages,
    uncertainty: bool = False,
    cleaning: CleanUp | None = None,
) -> dict[str, Any]:
    """Segment the slices of one image file and write them as they come: never more than one is held.

    Parameters
    ----------
    predict : callable
        (image, what comes with it) -> (rows, X, K) float32 probabilities of the rows without a data bar.
    class_names, class_colors
        Of the K classes; colours as `class_colors_or_default` takes them.
    slices : iterator of (Image, anything)
        ``count`` of them, of one size.
    folder, prefix
        Files are ``prefix + "labels.tif"`` and so on; the overlay shows the first slice.
    uncertainty : bool
        Write the entropy of the probabilities, 0 (sure) to 1, too.
    cleaning : CleanUp, optional
        Of the labels, which class fractions and overlay show; the probabilities stay as they are.

    Returns
    -------
    dict
        The file's part of the report: size, pixel size, class fractions, names of the files written.
    """
    import numpy as np

    from fijibridge.image_output import write_imagej, write_labels, write_overlay, write_probabilities
    from fijibridge.network.calibration import uncertainty as uncertainty_of
    from fijibridge.segmentation.cleaning import clean_up
    from fijibridge.segmentation.pixel import labels_of

    first, extra = next(slices)
    about = {"pixel_size": first.pixel_size, "class_names": class_names, "count": count}
    pixels = np.zeros(len(class_names) + 1, np.int64)
    settings, changed = asdict(cleaning) if cleaning else None, np.zeros(1, np.int64)

    def results(spool: IO[bytes], unsure: IO[bytes]) -> Iterator[np.ndarray]:
        image, more = first, extra
        for z in range(count):
            if z:
                image, more = next(slices)
            result = np.zeros((*image.shape, len(class_names)), np.float32)
            result[image.field] = predict(image, more)
            labels = labels_of(result)
            if settings:
                with stages("clean-up"):
                    cleaned = clean_up(labels, **settings)
                changed[:] += np.count_nonzero(cleaned != labels)
                labels = cleaned
            pixels[:] += np.bincount(labels.ravel(), minlength=len(pixels))
            spool.write(labels.tobytes())
            if uncertainty:
                plane = np.zeros(image.shape, np.float32)
                plane[image.field] = uncertainty_of(np.moveaxis(result[image.field], -1, 0))
                unsure.write(plane.tobytes())
            yield result

    def spooled(spool: IO[bytes], dtype: type) -> Iterator[np.ndarray]:
        spool.seek(0)
        size = first.shape[0] * first.shape[1] * np.dtype(dtype).itemsize
        for _ in range(count):
            yield np.frombuffer(spool.read(size), dtype).reshape(first.shape)

    outputs = [f"{prefix}{name}" for name in ("labels.tif", "overlay.png")]
    # labels wait on the disk while the probabilities stream into their file
    with (
        stages("writing"),
        tempfile.TemporaryFile(dir=folder) as spool,
        tempfile.TemporaryFile(dir=folder) as unsure,
    ):
        if probabilities:
            outputs.append(f"{prefix}probabilities.tif")
            write_probabilities(folder / outputs[-1], results(spool, unsure), **about)
        else:
            for _ in results(spool, unsure):
                pass
        write_labels(folder / f"{prefix}labels.tif", spooled(spool, np.uint8), class_colors=class_colors, **about)
        if uncertainty:
            outputs.append(f"{prefix}uncertainty.tif")
            planes, shape = spooled(unsure, np.float32), (count, *first.shape)
            write_imagej(folder / outputs[-1], planes, shape, np.float32, "ZYX", first.pixel_size, metadata={})
        labels = next(spooled(spool, np.uint8))
        write_overlay(folder / f"{prefix}overlay.png", first, labels, class_names, class_colors)
    segmented = int(pixels[1:].sum())
    return {
        "image": str(first.path or first.name),
        "shape": [count, *first.shape] if count > 1 else list(first.shape),
        "pixel_size": asdict(first.pixel_size) if first.pixel_size else None,
        "databar_rows": first.databar_rows,
        "class_fractions": {name: round(int(pixels[k + 1]) / segmented, 6) for k, name in enumerate(class_names)},
        "clean_up": {**settings, "changed_pixels": int(changed[0])} if settings else None,
        "outputs": sorted(outputs),
    }


def peak_memory_mib() -> float | None:
    """The process's largest resident memory so far, in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write the report as JSON beside the results."""
    (folder / REPORT).write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")


def write_confusion(folder: Path, segmenter: PixelSegmenter) -> list[str]:
    """Write ``confusion.csv``: labelled pixels by true class (rows) and class found out of bag (columns).

    Returns
    -------
    list of str
        The file's name; nothing where the forest's trainer does not tell.
    """
    import csv

    if segmenter.oob_confusion_ is None:
        return []
    with (folder / CONFUSION).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["true class", *segmenter.class_names_])
        rows = zip(segmenter.class_names_, segmenter.oob_confusion_.tolist(), strict=True)
        table.writerows([name, *row] for name, row in rows)
    return [CONFUSION]


def about_classifier(segmenter: PixelSegmenter) -> dict[str, Any]:
    """The report's part on classifier and versions."""
    from fijibridge.forest.out_of_bag import class_scores
    from fijibridge.versions import versions

    forest, matrix = segmenter.forest_, segmenter.oob_confusion_
    return {
        "engine": segmenter.engine,
        "class_names": list(segmenter.class_names_),
        "oob_accuracy": segmenter.oob_accuracy_,
        "oob_scores": None if matrix is None else class_scores(matrix, segmenter.class_names_),
        "forest": {"trees": forest.n_trees, "nodes": forest.n_nodes, "sha256": forest.sha256()},
        "recipe": segmenter.recipe_.to_brief() if segmenter.recipe_ else None,
        "versions": versions(),
        "peak_memory_mib": peak_memory_mib(),
    }
