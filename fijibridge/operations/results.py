"""What the segmenting operations write: label image, probabilities, overlay and the report."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from fijibridge.errors import SettingsError
from fijibridge.params import Param

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.features import FeatureStack
    from fijibridge.images import Image
    from fijibridge.segmentation import PixelSegmenter
    from fijibridge.segmentation.stages import Stages

REPORT = "report.json"
CLASSIFIER = "classifier"  # the folder of a saved classifier in a result

Out = Annotated[Path, Param("folder for the results; it appears when they are complete", role="out")]
Overwrite = Annotated[bool, Param("replace an older result of fijibridge")]
Blocks = Annotated[str, Param("transformer blocks used, the first being 1, separated by commas")]
Databar = Annotated[str, Param("data bar of an SEM image at the bottom: 'auto', or its number of rows")]
Probabilities = Annotated[bool, Param("write the class probabilities too")]
Weights = Annotated[
    Path | None, Param("file with the encoder's weights, instead of cache, hub or offline source", role="file")
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


def write_segmentation(
    segmenter: PixelSegmenter,
    slices: Iterator[tuple[Image, FeatureStack | None]],
    count: int,
    folder: Path,
    *,
    prefix: str,
    probabilities: bool,
    stages: Stages,
) -> dict[str, Any]:
    """Segment the slices of one image file and write them as they come: never more than one is held.

    Parameters
    ----------
    segmenter : PixelSegmenter
        Trained.
    slices : iterator of (Image, FeatureStack or None)
        ``count`` of them, of one size; features that are there already are used.
    folder, prefix
        Files are ``prefix + "labels.tif"`` and so on; the overlay shows the first slice.

    Returns
    -------
    dict
        The file's part of the report: size, pixel size, class fractions, names of the files written.
    """
    import numpy as np

    from fijibridge.image_output import write_labels, write_overlay, write_probabilities
    from fijibridge.segmentation.pixel import labels_of

    first, first_stack = next(slices)
    names, colors = segmenter.class_names_, segmenter.class_colors_
    about = {"pixel_size": first.pixel_size, "class_names": names, "count": count}
    pixels = np.zeros(len(names) + 1, np.int64)

    def results(spool: IO[bytes]) -> Iterator[np.ndarray]:
        image, stack = first, first_stack
        for z in range(count):
            if z:
                image, stack = next(slices)
            if stack is None:
                with stages("features"):
                    stack = segmenter.features(image)
            with stages("prediction"):
                result = np.zeros((*image.shape, len(names)), np.float32)
                result[image.field] = segmenter.predict_proba(stack)
                labels = labels_of(result)
            pixels[:] += np.bincount(labels.ravel(), minlength=len(pixels))
            spool.write(labels.tobytes())
            yield result

    def labelled(spool: IO[bytes]) -> Iterator[np.ndarray]:
        spool.seek(0)
        for _ in range(count):
            yield np.frombuffer(spool.read(first.shape[0] * first.shape[1]), np.uint8).reshape(first.shape)

    outputs = [f"{prefix}{name}" for name in ("labels.tif", "overlay.png")]
    # labels wait on the disk while the probabilities stream into their file
    with stages("writing"), tempfile.TemporaryFile(dir=folder) as spool:
        if probabilities:
            outputs.append(f"{prefix}probabilities.tif")
            write_probabilities(folder / outputs[-1], results(spool), **about)
        else:
            for _ in results(spool):
                pass
        write_labels(folder / f"{prefix}labels.tif", labelled(spool), class_colors=colors, **about)
        write_overlay(folder / f"{prefix}overlay.png", first, next(labelled(spool)), names, colors)
    segmented = int(pixels[1:].sum())
    return {
        "image": str(first.path or first.name),
        "shape": [count, *first.shape] if count > 1 else list(first.shape),
        "pixel_size": asdict(first.pixel_size) if first.pixel_size else None,
        "databar_rows": first.databar_rows,
        "class_fractions": {name: round(int(pixels[k + 1]) / segmented, 6) for k, name in enumerate(names)},
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


def about_classifier(segmenter: PixelSegmenter) -> dict[str, Any]:
    """The report's part on classifier and versions."""
    from fijibridge.segmentation.bundle import versions

    forest = segmenter.forest_
    return {
        "engine": segmenter.engine,
        "class_names": list(segmenter.class_names_),
        "oob_accuracy": segmenter.oob_accuracy_,
        "forest": {"trees": forest.n_trees, "nodes": forest.n_nodes, "sha256": forest.sha256()},
        "recipe": segmenter.recipe_.to_brief() if segmenter.recipe_ else None,
        "versions": versions(),
        "peak_memory_mib": peak_memory_mib(),
    }
