"""What the segmenting operations write: label image, probabilities, overlay and the report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fijibridge.operations.report import peak_memory_mib

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.core.timing import Stages
    from fijibridge.images.image import Image
    from fijibridge.segmentation import PixelSegmenter
    from fijibridge.segmentation.clean_up import CleanUp

CONFUSION = "confusion.csv"
CLASSIFIER = "classifier"  # the folder of a saved classifier in a result


def write_files(
    folder: Path,
    prefix: str,
    first: Image,
    *,
    labels: Callable[[], Iterator[np.ndarray]],
    probabilities: Iterator[np.ndarray] | None,
    uncertainties: Callable[[], Iterator[np.ndarray]] | None,
    unlikenesses: Callable[[], Iterator[np.ndarray]] | None = None,
    class_names: Sequence[str],
    class_colors: Any,
    count: int,
    frames: int = 1,
    labels_too: bool = True,
    overlay_of: int = 0,
) -> list[str]:
    """Write the results of an image or a stack: TIFFs for ImageJ, and the overlay of a slice.

    Parameters
    ----------
    folder, prefix
        Files are ``prefix + "labels.tif"`` and so on.
    first : Image
        The slice that the overlay shows, the first that could be read; pixel size of all.
    labels, uncertainties, unlikenesses : callable
        Make an iterator of (Y, X), slice by slice.
    probabilities : iterator of (Y, X, K), optional
        Is gone through before the others are asked for.
    class_names, class_colors
        Of the K classes; colours as `class_colors_or_default` takes them.
    count, frames : int
        Slices, and points in time among them.
    labels_too : bool
        Whether labels are written as TIFF.
    overlay_of : int
        Place of `first` among the slices.

    Returns
    -------
    list of str
        The files' names.
    """
    from itertools import islice

    import numpy as np

    from fijibridge.images.overlay import write_overlay
    from fijibridge.images.writing import write_imagej, write_labels, write_probabilities

    about: dict[str, Any] = {"pixel_size": first.pixel_size, "class_names": class_names, "count": count}
    outputs = []
    if probabilities is not None:
        outputs.append(f"{prefix}probabilities.tif")
        write_probabilities(folder / outputs[-1], probabilities, frames=frames, **about)
    if labels_too:
        outputs.append(f"{prefix}labels.tif")
        write_labels(folder / outputs[-1], labels(), class_colors=class_colors, frames=frames, **about)
    shape = (frames, count // frames, *first.shape)
    for name, planes in (("uncertainty.tif", uncertainties), ("unlikeness.tif", unlikenesses)):
        if planes is not None:
            outputs.append(f"{prefix}{name}")
            write_imagej(folder / outputs[-1], planes(), shape, np.float32, "TZYX", first.pixel_size, metadata={})
    outputs.append(f"{prefix}overlay.png")
    shown = next(islice(labels(), overlay_of, None))
    write_overlay(folder / outputs[-1], first, shown, class_names, class_colors)
    return sorted(outputs)


def about_segmentation(
    image: str, shape: tuple[int, ...], about: dict[str, Any], counts: Sequence[int], class_names: Sequence[str]
) -> dict[str, Any]:
    """The report's part on an image or a stack.

    Parameters
    ----------
    image : str
        Its file.
    shape : tuple of int
        (Z, Y, X).
    about : dict
        Pixel size, data bar and notes.
    counts : sequence of int
        Pixels of each label value, from 0.
    class_names : sequence of str
    """
    segmented = max(1, int(sum(counts[1:])))
    return {
        "image": image,
        "shape": list(shape) if shape[0] > 1 else list(shape[1:]),
        **about,
        "class_fractions": {name: round(int(counts[k + 1]) / segmented, 6) for k, name in enumerate(class_names)},
    }


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
    frames: int = 1,
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
    frames : int
        Points in time among the slices, which come frame by frame.

    Returns
    -------
    dict
        The file's part of the report: size, pixel size, class fractions, names of the files written.
    """
    import numpy as np

    from fijibridge.network.calibration import uncertainty as uncertainty_of
    from fijibridge.segmentation.clean_up import clean_up
    from fijibridge.segmentation.prediction import labels_of

    first, extra = next(slices)
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

    # labels wait on the disk while the probabilities stream into their file
    with (
        stages("writing"),
        tempfile.TemporaryFile(dir=folder) as spool,
        tempfile.TemporaryFile(dir=folder) as unsure,
    ):
        found = results(spool, unsure)
        if not probabilities:
            for _ in found:
                pass
        outputs = write_files(
            folder,
            prefix,
            first,
            labels=lambda: spooled(spool, np.uint8),
            probabilities=found if probabilities else None,
            uncertainties=(lambda: spooled(unsure, np.float32)) if uncertainty else None,
            class_names=class_names,
            class_colors=class_colors,
            count=count,
            frames=frames,
        )
    about = {
        "pixel_size": asdict(first.pixel_size) if first.pixel_size else None,
        "databar_rows": first.databar_rows,
        "databar_found": first.databar_found,
        "notes": list(first.notes),
    }
    return {
        **about_segmentation(str(first.path or first.name), (count, *first.shape), about, pixels.tolist(), class_names),
        "frames": frames,
        "clean_up": {**settings, "changed_pixels": int(changed[0])} if settings else None,
        "outputs": outputs,
    }


def write_confusion(folder: Path, segmenter: PixelSegmenter) -> list[str]:
    """Write ``confusion.csv``: labelled pixels by true class (rows) and out-of-bag class (columns).

    Parameters
    ----------
    folder : Path
        Of the results.
    segmenter : PixelSegmenter
        Trained.

    Returns
    -------
    list of str
        The file's name; nothing where the forest has no out-of-bag results.
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


def write_importance(folder: Path, segmenter: PixelSegmenter) -> list[str]:
    """Write which features a trained forest and its linear head use.

    Parameters
    ----------
    folder : Path
        Of the results.
    segmenter : PixelSegmenter
        Trained.

    Returns
    -------
    list of str
        The files' names.
    """
    from fijibridge.segmentation.importance import write_importances

    return write_importances(
        folder,
        segmenter.feature_importances_,
        segmenter.forest_.feature_names,
        segmenter.class_names_,
        segmenter.class_colors_,
        segmenter.head_importances_,
    )


def about_classifier(segmenter: PixelSegmenter) -> dict[str, Any]:
    """The report's part on classifier and versions."""
    from fijibridge.core.versions import versions
    from fijibridge.forest.classifier import brief
    from fijibridge.forest.out_of_bag import class_scores

    matrix, extractor, trust = segmenter.oob_confusion_, segmenter.extractor_, segmenter.detector_trust_
    return {
        "engine": segmenter.engine,
        "class_names": list(segmenter.class_names_),
        "oob_accuracy": segmenter.oob_accuracy_,
        "held_out_accuracy": segmenter.held_out_accuracy_,
        "oob_scores": None if matrix is None else class_scores(matrix, segmenter.class_names_),
        "forest": brief(segmenter.forest_),
        "detector_trust": trust.to_report(extractor.detector) if trust and extractor else None,
        "features": extractor.to_brief() if extractor else None,
        "versions": versions(),
        "peak_memory_mib": peak_memory_mib(),
    }
