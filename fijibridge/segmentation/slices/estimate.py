"""What a job will take, told before its first slice is segmented."""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import OutputError
from fijibridge.core.machine import free_memory, peak_memory_mib
from fijibridge.images.ome_zarr_writing import bytes_of
from fijibridge.segmentation.slices.job import Job

if TYPE_CHECKING:
    from fijibridge.images.image import Image
    from fijibridge.segmentation.segmenter import PixelSegmenter

log = logging.getLogger(__name__)

_WORTH_IT = 24 * 2**20  # pixels to segment, from which on the time of a piece is measured first
_PIECE = 512  # pixels a side
_A_PIXEL = 60  # bytes of a slice's pixel in a worker, besides the features' blocks: upsampler, probabilities, image


def disk_needed(job: Job) -> int:
    """Bytes that a job takes on the disk at the most, about, until its result is in its place."""
    each = {"none": 0, "uint8": 1, "float32": 4}[job.probabilities]
    total = 0
    for stack in job.stacks:
        shape = (len(stack.slices), *stack.shape)
        voxels = math.prod(shape)
        if job.zarr:
            total += bytes_of(shape, job.classes, "" if job.probabilities == "none" else job.probabilities)
        else:  # as units, and as the TIFF that is made of them
            total += 2 * voxels * (1 + job.classes * each)
        total += 2 * voxels * 4 * (job.uncertainty + job.unlikeness)
    return total


def check_disk(job: Job, place: Path) -> int:
    """Refuse a job that the disk cannot hold.

    Parameters
    ----------
    job : Job
    place : Path
        A folder, or what will lie in one.

    Returns
    -------
    int
        Bytes that it needs.

    Raises
    ------
    OutputError
        Less is free.
    """
    place = place.absolute()
    while not place.exists() and place.parent != place:
        place = place.parent
    needed, free = disk_needed(job), shutil.disk_usage(place).free
    done = sum(file.stat().st_size for file in Path(job.state).rglob("*") if file.is_file())
    if needed - done > free:
        raise OutputError(
            f"{place} has {free / 2**30:.1f} GiB free, and this work takes up to {needed / 2**30:.1f} GiB",
            expected="as much free space, for the result and what is done until it is complete",
            remedy="choose another disk, NAME.zarr for --out, or --no-probabilities",
        )
    return needed


def tell(
    job: Job, segmenter: PixelSegmenter, image: Image, *, left: int, workers: int, needed: int
) -> dict[str, Any] | None:
    """Say what a long job will take; the time is that of a piece of a slice.

    Parameters
    ----------
    job : Job
    segmenter : PixelSegmenter
    image : Image
        A slice of the first stack.
    left : int
        Slices to segment.
    workers : int
        Processes.
    needed : int
        Bytes on the disk.

    Returns
    -------
    dict or None
        ``slices``, ``cpu_hours``, ``hours``, ``memory_mib`` of a worker, ``disk_gib``; None for a short job, of which
        nothing is said.
    """
    from fijibridge.features.vit.encoder import token_cache
    from fijibridge.segmentation.slices.unit import prediction

    pixels = image.data.shape[0] * image.data.shape[1]
    if left * pixels < _WORTH_IT or (segmenter.extractor_ is not None and segmenter.extractor_.looks_along_z):
        return None  # nothing is known of a piece of a slice whose features look along z
    from dataclasses import replace

    from fijibridge.core.timing import Stages

    piece = replace(
        image,
        data=np.ascontiguousarray(image.data[:_PIECE, :_PIECE]),
        databar_rows=0,
        others=tuple(replace(one, data=np.ascontiguousarray(one.data[:_PIECE, :_PIECE])) for one in image.others),
    )
    whole = replace(job, stacks=(replace(job.stacks[0], field=None),))
    predict = prediction(segmenter, whole, 0, Stages())
    times = []
    with token_cache.off():
        for _ in range(2):  # the first loads weights and compiles
            began, used = time.perf_counter(), time.process_time()
            predict(piece, None, 0)
            times.append((time.perf_counter() - began, time.process_time() - used))
    wall, cpu = (seconds * pixels / (piece.data.shape[0] * piece.data.shape[1]) for seconds in times[-1])
    cores = os.cpu_count() or 1
    workers = workers or cores
    hours = max(cpu / min(cores, workers * (job.threads or cores)), wall / max(1, workers)) * left / 3600
    memory = (peak_memory_mib() or 0) + _A_PIXEL * pixels / 2**20
    found = {
        "slices": left,
        "cpu_hours": round(cpu * left / 3600, 3),
        "hours": round(hours, 3),
        "memory_mib": round(memory),
        "disk_gib": round(needed / 2**30, 2),
    }
    log.warning(
        "%d slices: about %s of CPU time, %s with %d process(es); %.1f GiB of memory each, up to %.1f GiB on the disk",
        left, _spoken(cpu * left), _spoken(hours * 3600), workers, memory / 1024, needed / 2**30,
    )  # fmt: skip
    if (more := memory * 2**20 * workers - peak_bytes()) > free_memory():
        log.warning(
            "%d processes take %.1f GiB more memory than is free: choose fewer (--workers)",
            workers, (more - free_memory()) / 2**30,
        )  # fmt: skip
    return found


def peak_bytes() -> float:
    """Of this process; 0 where the system does not say."""
    return (peak_memory_mib() or 0) * 2**20


def _spoken(seconds: float) -> str:
    if seconds > 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
