"""Segment SE and BSE images with a trained network."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.detectors import rows_of
from fijibridge.network.settings import Device, Threads
from fijibridge.operations.detector_images import count_joined, given_detectors
from fijibridge.operations.results import (
    REPORT,
    Databar,
    Out,
    Overwrite,
    Probabilities,
    peak_memory_mib,
    write_report,
    write_segmentation,
)
from fijibridge.output import output_folder
from fijibridge.params import Param, check
from fijibridge.segmentation.cleaning import CleanUp, FillHoles, MinimumSize, ModeFilter
from fijibridge.segmentation.stages import Stages

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.images import Image

log = logging.getLogger(__name__)


def segment_network(
    network: Annotated[Path, Param("folder of a trained network", positional=True, role="classifier")],
    *,
    se: Annotated[Path | None, Param("secondary electron image, or a stack", role="file")] = None,
    bse: Annotated[
        Path | None, Param("backscattered electron image of the same place, or a stack; either may lack", role="image")
    ] = None,
    out: Out,
    register: Annotated[bool, Param("move SE onto BSE where the two are displaced by whole pixels")] = True,
    flips: Annotated[
        bool, Param("average over the image and its mirror images: better by little, 4 x the time")
    ] = False,
    uncertainty: Annotated[bool, Param("write the entropy of the probabilities too, 0 where sure, to 1")] = True,
    probabilities: Probabilities = True,
    minimum_size: MinimumSize = 0,
    fill_holes: FillHoles = 0,
    mode_filter: ModeFilter = 0,
    rescale: Annotated[bool, Param("bring the image to the pixel size of the training, and the result back")] = False,
    databar: Databar = "auto",
    device: Device = "auto",
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Segment SE and BSE images with a trained network.

    The two must show the same place, pixel on pixel but for a small displacement, which is found by their edges and
    taken back. One of them is enough, less good; stacks go slice by slice.

    Writes labels.tif, probabilities.tif, uncertainty.tif, overlay.png and report.json.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    BridgeError
        For every input that cannot serve; nothing is left half written.
    """
    import numpy as np

    from fijibridge.network.file import load_network
    from fijibridge.network.images import default_reference
    from fijibridge.progress import bar
    from fijibridge.registration import FAR, registered

    check(segment_network, locals())
    paths = given_detectors(se, bse)
    stages = Stages()
    inputs = [network, *paths.values()]
    with output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder:
        with stages("reading"):
            count = count_joined(paths)
            trained = load_network(network)
            trained.check(detectors=list(paths))
        notes: list[str] = []

        displacements: dict[str, list[tuple[float, float] | None]] = {}

        def predict(image: Image, planes: dict[str, np.ndarray]) -> np.ndarray:
            size = image.pixel_size.micrometres if image.pixel_size else None
            note = trained.pixel_size_warning(size)
            if note and not rescale and note not in notes:
                notes.append(note)
                log.warning("%s: %s", image.path, note)
            if register:
                with stages("registration"):
                    planes, apart = registered(planes, default_reference(trained.detectors))
                for name, at in apart.items():
                    displacements.setdefault(name, []).append(at)
                    note = f"{name} was displaced by {at[0]:g} px down and {at[1]:g} px right" if at else ""
                    if at and np.hypot(*at) > FAR and note not in notes:
                        notes.append(f"{note}, which is far: see whether both show the same place")
                        log.warning("%s: %s", image.path, notes[-1])
            with stages("prediction"):
                found = trained.predict(
                    planes, flips=flips, pixel_size=size, rescale=rescale, device=device, threads=threads
                )
            return np.moveaxis(found, 0, -1)

        with bar("segmenting", count) as steps:
            written = write_segmentation(
                predict,
                trained.class_names,
                None,
                _slices(paths, databar, steps),
                count,
                folder,
                prefix="",
                probabilities=probabilities,
                stages=stages,
                uncertainty=uncertainty,
                cleaning=CleanUp(minimum_size, fill_holes, mode_filter),
            )
        report = {
            "operation": "segment_network",
            "out": str(out),
            "network": str(network),
            "detectors": list(paths),
            "detectors_missing": [name for name in trained.detectors if name not in paths],
            **written,
            "displacements_px": displacements,
            "notes": notes,
            "stages": stages.seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def _slices(paths: dict[str, Path], databar: str, steps: Any) -> Iterator[tuple[Image, dict[str, np.ndarray]]]:
    """(the image that stands for the place, every detector's grey values without the data bar), slice by slice."""
    from fijibridge.images import read_slices

    for planes in zip(*(read_slices(path, databar=databar) for path in paths.values()), strict=True):
        images = dict(zip(paths, planes, strict=True))
        rows = rows_of(images)
        steps.update()
        last = replace(planes[-1], databar_rows=planes[-1].shape[0] - rows)
        yield last, {name: image.grey[:rows] for name, image in images.items()}
