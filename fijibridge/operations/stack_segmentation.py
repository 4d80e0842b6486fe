"""What apply and segment share: the stacks of a job, and its results written and put into their place."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import FeatureMismatchError, ImageError, OutputError
from fijibridge.core.records import read_json
from fijibridge.images.joined import count_joined, frames_among
from fijibridge.labels.region import field_of, slice_numbers
from fijibridge.operations.detector_files import about_detectors
from fijibridge.operations.segmentation_files import about_segmentation, write_files
from fijibridge.segmentation.slices.job import Job, StackFiles, store_of
from fijibridge.segmentation.slices.results import StackResult

if TYPE_CHECKING:
    from fijibridge.features.extract import FeatureExtractor
    from fijibridge.images.image import Image
    from fijibridge.operations.segmentation_target import Target
    from fijibridge.segmentation.segmenter import PixelSegmenter

LABELS = "labels.tif"

log = logging.getLogger(__name__)


def open_stack(
    paths: Mapping[str, Path], name: str, *, slices: str, roi: str, databar: str | int, page: int
) -> tuple[StackFiles, Image]:
    """A stack as a job takes it, and the first of its chosen slices that can be read.

    Parameters
    ----------
    paths : mapping
        Detector -> file.
    name : str
        Begins the names of its results.
    slices, roi, databar, page
        The options.

    Raises
    ------
    ImageError
        None can be read.
    SettingsError
        A slice that is not there, or a field outside.
    """
    file = next(iter(paths.values()))
    count = count_joined(paths, page=page)
    chosen = slice_numbers(slices, count, file)
    first = first_slice(file, chosen, databar=databar, page=page)
    field = field_of(roi, first)
    return StackFiles(
        name=name,
        paths={detector: str(path) for detector, path in paths.items()},
        slices=tuple(chosen),
        shape=(field.height, field.width) if field else first.shape,
        databar=first.databar_rows if count > 1 else databar,
        field=field,
        frames=frames_among(file, chosen, page=page),
        total=count,
    ), first


def check_dimensions(features: FeatureExtractor | None, count: int, path: Path) -> None:
    """Refuse a single image where features look along z.

    Parameters
    ----------
    features : FeatureExtractor or None
    count : int
        Slices of the file.
    path : Path
        Of the file, for the message.

    Raises
    ------
    FeatureMismatchError
        One slice for features of volumes.
    """
    if features is not None and features.needs_stack and count == 1:
        raise FeatureMismatchError(
            f"{path} is a single image, and the features are those of TWS for volumes",
            expected="a stack: its slices in one file, or in a folder",
            remedy="give the whole stack (--slices chooses some of it), or use features of slices",
        )


def first_slice(file: Path, chosen: Sequence[int], *, databar: str | int, page: int) -> Image:
    """The first slice that can be read.

    Parameters
    ----------
    file : Path
    chosen : sequence of int
        Slices, from 1.
    databar, page
        The options.

    Raises
    ------
    ImageError
        None can.
    """
    from fijibridge.images.image import read_slices

    def read(number: int) -> Image:
        return next(read_slices(file, databar=databar, pages=[number - 1], page=page - 1 if page else None))

    for number in chosen[:-1]:
        with suppress(ImageError):
            return read(number)
    if len(chosen) > 1:
        with suppress(ImageError):
            return read(chosen[-1])
    return read(chosen[0])  # its error


def stored_as(wanted: bool, asked: str, kind: str) -> str:
    """How a job writes probabilities: of `Job.probabilities`."""
    if not wanted:
        return "none"
    return asked if asked != "auto" else "uint8" if kind == "zarr" else "float32"


def make_store(job: Job, segmenter: PixelSegmenter, first: Image) -> None:
    """The OME-Zarr store that a job fills, unless it is there."""
    from fijibridge.images.ome_zarr_writing import create_store

    stack, store = job.stacks[0], store_of(Path(job.state))
    if store.exists():
        return
    create_store(
        store,
        (len(stack.slices), *stack.shape),
        job.unit_height(stack),
        version=job.zarr,
        class_names=segmenter.class_names_,
        class_colors=segmenter.class_colors_,
        pixel_size=first.pixel_size,
        probabilities="" if job.probabilities == "none" else job.probabilities,
    )


def write_stack(
    result: StackResult, folder: Path, prefix: str, target: Target, segmenter: PixelSegmenter
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Write the results of a stack.

    Parameters
    ----------
    result : StackResult
    folder : Path
        Of the results.
    prefix : str
        Begins the files' names.
    target : Target
    segmenter : PixelSegmenter
        Whose classes these are.

    Returns
    -------
    file : dict
        The stack's part of the report.
    failed : list of dict
        Slices that could not be used, and why.
    """
    from fijibridge.operations.volume_pictures import least_certain, write_pictures

    job, stack, image = result.job, result.stack, result.image
    assert image is not None
    slices, names = result.slices, segmenter.class_names_
    file = next(iter(stack.paths.values()))
    good = next(one["number"] for one in slices if "error" not in one)
    first = first_slice(Path(file), [good], databar=stack.databar, page=job.page)
    first = stack.field.cut(first) if stack.field else first
    count = len(slices)
    shown = next(place for place, one in enumerate(slices) if one["number"] == good)
    outputs = write_files(
        folder,
        prefix,
        first,
        labels=result.labels,
        probabilities=result.probabilities() if job.probabilities != "none" and not job.zarr else None,
        uncertainties=result.uncertainties if job.uncertainty else None,
        unlikenesses=result.unlikenesses if job.unlikeness else None,
        class_names=names,
        class_colors=segmenter.class_colors_,
        count=count,
        frames=stack.frames,
        labels_too=target.kind != "zarr",
        overlay_of=shown,
    )
    outputs += write_pictures(result, folder, prefix, first, names, segmenter.class_colors_)
    changed = sum(one.get("changed", 0) for one in slices)
    failed = [{"image": f"{file}, slice {one['number']}", "error": one["error"]} for one in slices if "error" in one]
    for each in failed:
        log.warning("%s is left unlabelled: %s", each["image"], each["error"])
    about = about_segmentation(file, (count, *stack.shape), image, result.counts.tolist(), names)
    unlike = _unlike(result, segmenter)
    about |= {
        "frames": stack.frames,
        "clean_up": {**asdict(job.cleaning), "changed_pixels": changed} if job.cleaning else None,
        "outputs": sorted(outputs),
        **about_detectors(stack.files, [_shifts(one["shifts"]) for one in slices if "shifts" in one]),
        "slices": list(stack.slices),
        "roi": asdict(stack.field) if stack.field else None,
        "failed_slices": [one["number"] for one in slices if "error" in one],
        "least_certain_slices": least_certain(slices),
        "resembles_no_label": unlike,
    }
    if unlike is not None:
        log.warning("%s: %s", file, unlike["note"])
        about["notes"] = [*about["notes"], unlike["note"]]
    return about, failed


def _unlike(result: StackResult, segmenter: PixelSegmenter) -> dict[str, Any] | None:
    """How much of a stack resembles none of the labels, the largest such region, and both in words; None where that is
    little, or where too few strokes told what is far."""
    learned, found = segmenter.unlikeness_, [one for one in result.slices if one.get("unlike")]
    if learned is None or not learned.sure or not found:
        return None
    counted = sum(sum(one["counts"][1:]) for one in result.slices)
    fraction = sum(one["unlike"]["pixels"] for one in found) / max(1, counted)
    most = max(found, key=lambda one: int(one["unlike"]["largest"]))
    box = {name: most["unlike"][name] for name in ("top", "left", "height", "width")}
    where = f"slice {most['number']}, " if len(result.slices) > 1 else ""
    where += f"x {box['left']} to {box['left'] + box['width']}, y {box['top']} to {box['top'] + box['height']}"
    note = (
        f"{100 * fraction:.1f} % of the pixels resemble none of the labels; the largest such region lies at {where}: "
        "label there, one of the classes or a new one"
    )
    return {"fraction": round(fraction, 5), "slice": most["number"], **box, "note": note}


def _shifts(read: Mapping[str, Any]) -> dict[str, Any]:
    """Displacements as they were before JSON made lists of them."""
    return {name: None if shift is None else tuple(shift) for name, shift in read.items()}


def chosen_every(asked: int, first: Image, segmenter: PixelSegmenter) -> int:
    """Of how many slices one is seen by the ViT, by the option and the voxels of the first stack."""
    from fijibridge.segmentation.slices.along_z import every_of

    extractor, size = segmenter.extractor_, first.pixel_size
    if extractor is None or all(source.kind != "vit" for source in extractor.sources):
        return 1
    return every_of(asked, size.z if size else None, size.x if size else 1.0)


def threads_each(threads: int, workers: int, dask: str) -> int:
    """CPU threads of each process: all together as many as were asked for, or as there are cores."""
    import os

    if dask or workers == 1:
        return threads
    cores = os.cpu_count() or 1
    return max(1, (threads or cores) // (workers or cores))


def check_all_done(job: Job, done: set[int]) -> None:
    """Refuse to put together what is not all there.

    Raises
    ------
    OutputError
        Units are missing; the message says of which parts.
    """
    from fijibridge.segmentation.slices.journal import JOB

    if missing := [number for number in range(len(job.units())) if number not in done]:
        parts = int(read_json(Path(job.state) / JOB, error=OutputError).get("parts", 0)) or 1
        which = sorted({number % parts + 1 for number in missing})
        raise OutputError(
            f"{len(missing)} of {len(job.units())} units are not done yet, of part(s) "
            f"{', '.join(map(str, which[:12]))} of {parts}",
            expected="all parts done",
            remedy="run these parts (--part), or --resume in place of --merge-parts to do here what is missing",
        )


def about_part(job: Job, part: tuple[int, int]) -> dict[str, Any]:
    """The report of one part of the work."""
    from fijibridge.segmentation.slices.journal import done_units

    units = job.units()
    done = done_units(job)
    own = [number for number in range(len(units)) if number % part[1] == part[0] - 1]
    slices = sum(units[number].size for number in own)
    return {
        "operation": "apply",
        "out": job.state,
        "part": f"{part[0]}/{part[1]}",
        "slices_of_part": slices,
        "units": len(units),
        "units_done": len(done),
        "files": [],
        "outputs": [],
        "failed": [],
    }


def finished_volume(job: Job, target: Target) -> tuple[Path | None, list[str]]:
    """The volume that is to be put into its place, with the files in it; None where none was asked for."""
    from fijibridge.images.ome_zarr_writing import finish_store

    if target.kind == "zarr":
        store = store_of(Path(job.state))
        return store, finish_store(store)
    return (target.folder / LABELS if target.kind == "tif" else None), []


def outputs_of(target: Target, files: Sequence[dict[str, Any]]) -> list[str]:
    """Names of all files of a result, below its folder; of a volume beside it."""
    names = [name for file in files for name in file["outputs"]]
    if target.kind == "folder":
        return names
    for file in files:
        file["outputs"] = [f"../{target.out.name}", *(name for name in file["outputs"] if name != LABELS)]
    return [name for file in files for name in file["outputs"]]
