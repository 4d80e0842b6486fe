"""Segment SE and BSE images with a trained network."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.options import Device, Out, Overwrite, Threads
from fijibridge.core.params import Param, check
from fijibridge.core.threads import limited_threads
from fijibridge.core.timing import Stages
from fijibridge.images.detectors import rows_of
from fijibridge.images.joined import count_joined, frames_among
from fijibridge.operations.detector_files import Align, BseImage, SeImage, given_detectors
from fijibridge.operations.options import Databar, NetworkFolder, Page, Probabilities, Uncertainty
from fijibridge.operations.report import REPORT, fraction_lines, peak_memory_mib, write_report
from fijibridge.operations.segmentation_files import write_segmentation
from fijibridge.segmentation.clean_up import CleanUp, FillHoles, MinimumSize, ModeFilter

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np

    from fijibridge.images.image import Image

    Slices: TypeAlias = Iterator[tuple[Image, dict[str, np.ndarray]]]

log = logging.getLogger(__name__)


def segment_network(
    network: NetworkFolder,
    *,
    se: SeImage = None,
    bse: BseImage = None,
    out: Out,
    align: Align = True,
    flips: Annotated[
        bool,
        Param("average over the image and its mirror images: slightly better, at 4 times the cost", group="Network"),
    ] = False,
    uncertainty: Uncertainty = True,
    probabilities: Probabilities = True,
    minimum_size: MinimumSize = 0,
    fill_holes: FillHoles = 0,
    mode_filter: ModeFilter = 0,
    rescale: Annotated[
        bool, Param("bring the image to the pixel size of the training, and the result back", group="Network")
    ] = False,
    databar: Databar = "auto",
    page: Page = 0,
    device: Device = "auto",
    threads: Threads = 0,
    overwrite: Overwrite = False,
) -> dict[str, Any]:
    """Segment SE and BSE images with a trained network.

    The two must show the same place, pixel on pixel but for a displacement by whole pixels, which is found by their
    edges and corrected (--align). One of them is enough, but less accurate; stacks are segmented slice by slice, by a
    network of several slices each with its neighbours.

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

    from fijibridge.core.progress import bar
    from fijibridge.images.around import with_neighbours
    from fijibridge.images.registration import FAR, registered
    from fijibridge.network.file import load_network
    from fijibridge.network.images import default_reference

    check(segment_network, locals())
    paths = given_detectors(se, bse)
    stages = Stages()
    inputs = [network, *paths.values()]
    with (
        limited_threads(threads),
        output_folder(out, marker=REPORT, overwrite=overwrite, inputs=inputs) as folder,
    ):
        with stages("reading"):
            count = count_joined(paths, page=page)
            frames = frames_among(next(iter(paths.values())), range(1, count + 1), page=page)
            trained = load_network(network)
            trained.check(detectors=list(paths))
        notes: list[str] = []
        depth = count // frames

        displacements: dict[str, list[tuple[float, float] | None]] = {}

        def told(image: Image, note: str | None) -> None:
            if note and note not in notes:
                notes.append(note)
                log.warning("%s: %s", image.path, note)

        def aligned(slices: Slices) -> Slices:
            for image, planes in slices:
                moved = planes
                if align:
                    with stages("registration"):
                        moved, apart = registered(planes, default_reference(trained.detectors))
                    for name, at in apart.items():
                        displacements.setdefault(name, []).append(at)
                        if at and np.hypot(*at) > FAR:
                            told(
                                image,
                                f"{name} was displaced by {at[0]:g} px down and {at[1]:g} px right, which is far: see "
                                "whether both show the same place",
                            )
                yield image, moved

        def together(slices: Slices) -> Slices:
            for near in with_neighbours(slices, trained.slices, depth):
                yield near[len(near) // 2][0], {name: np.stack([planes[name] for _, planes in near]) for name in paths}

        def predict(image: Image, planes: dict[str, np.ndarray]) -> np.ndarray:
            size = image.pixel_size.micrometres if image.pixel_size else None
            spacing = image.pixel_size.spacing_micrometres if image.pixel_size else None
            told(image, None if rescale else trained.pixel_size_warning(size))
            told(image, trained.spacing_warning(spacing, alone=depth == 1))
            with stages("prediction"):
                found = trained.predict(
                    planes, flips=flips, pixel_size=size, rescale=rescale, device=device, threads=threads
                )
            return np.moveaxis(found, 0, -1)

        with bar("segmenting", count) as steps:
            slices = aligned(_slices(paths, databar, steps, page))
            written = write_segmentation(
                predict,
                trained.class_names,
                None,
                together(slices) if trained.slices > 1 else slices,
                count,
                folder,
                prefix="",
                probabilities=probabilities,
                stages=stages,
                uncertainty=uncertainty,
                cleaning=CleanUp(minimum_size, fill_holes, mode_filter),
                frames=frames,
            )
        report = {
            "operation": "segment_network",
            "out": str(out),
            "network": str(network),
            "slices": trained.slices,
            "detectors": list(paths),
            "detectors_missing": [name for name in trained.detectors if name not in paths],
            **written,
            "displacements_px": displacements,
            "notes": [*written["notes"], *notes],
            "stages": stages.seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
        write_report(folder, report)
    return report


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    return fraction_lines(report)


def _slices(paths: dict[str, Path], databar: str, steps: Any, page: int) -> Slices:
    """(the image that stands for the place, every detector's grey values without the data bar), slice by slice."""
    from fijibridge.images.image import read_slices

    only = page - 1 if page else None
    stacks = [read_slices(path, databar=databar, page=only) for path in paths.values()]
    for planes in zip(*stacks, strict=True):
        images = dict(zip(paths, planes, strict=True))
        rows = rows_of(images)
        steps.update()
        last = replace(planes[-1], databar_rows=planes[-1].shape[0] - rows)
        yield last, {name: image.grey[:rows] for name, image in images.items()}
