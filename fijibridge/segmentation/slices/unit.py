"""One unit of the work: some slices of a stack, segmented and written with a record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fijibridge.core.atomic_output import output_folder
from fijibridge.core.errors import ImageError
from fijibridge.segmentation.slices.along_z import SliceFeatures
from fijibridge.segmentation.slices.job import Job, StackFiles, Unit, store_of, unit_name
from fijibridge.segmentation.slices.reading import slices_of
from fijibridge.segmentation.slices.slab_prediction import SlabPrediction, looks_along_z_alone

if TYPE_CHECKING:
    from fijibridge.core.timing import Stages
    from fijibridge.images.image import Image
    from fijibridge.segmentation.segmenter import PixelSegmenter

RECORD = "record.json"
LABELS, PROBABILITIES, UNCERTAINTY = "labels.npy", "probabilities.npy", "uncertainty.npy"
UNLIKENESS = "unlikeness.npy"
SECTIONS, MIDDLE = "sections.npy", "middle.npy"  # greys along the middle column and row of each slice; the middle slice


class Predicted(NamedTuple):
    """Class probabilities, float32 (Y, X, K); how unlike all labels and how typical pixels are, (Y, X), where known."""

    probabilities: np.ndarray
    unlikeness: np.ndarray | None = None
    typicality: np.ndarray | None = None  # for suggestions


Predict = Callable[["Image", "Image | None", int], Predicted]  # (shown, the whole or None, slice from 1)


def segment_unit(
    job: Job,
    number: int,
    predict: Predict | None = None,
    stages: Stages | None = None,
    labelled: Mapping[int, np.ndarray] | None = None,
    step: Callable[[], Any] = lambda: None,
) -> dict[str, Any]:
    """Segment a unit and write it; a function of its arguments alone, wherever it runs.

    Parameters
    ----------
    job : Job
    number : int
        Of the unit, among ``job.units()``.
    predict : callable, optional
        (part of the slice that is segmented, the whole slice or None, number of the slice) -> what is predicted of the
        rows without a data bar. By default the job's classifier is loaded.
    stages : Stages, optional
        Where the time is counted.
    labelled : mapping, optional
        Slice -> bool (Y, X): pixels that have a label, away from which it suggests places.
    step : callable
        Called at the end of each slice.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    BridgeError
        No slice that can be read, an image that does not fit the classifier, or a full disk.
    """
    from fijibridge.core.machine import peak_memory_mib
    from fijibridge.core.threads import limited_threads
    from fijibridge.core.timing import Stages

    began, unit = time.perf_counter(), job.units()[number]
    stages = stages or Stages()
    stack = job.stacks[unit.stack]
    with limited_threads(job.threads) if predict is None else nullcontext():
        predict = predict or _of_classifier(job, unit.stack, stages)
        made = _Results(job, stack, unit)
        for place, image, found in _predicted(job, stack, unit, predict, stages):
            with stages("writing"):
                made.add(place, image, found, labelled or {})
            step()
    record = {
        "slices": made.slices,
        "image": made.image,
        "seconds": round(time.perf_counter() - began, 3),
        "peak_memory_mib": peak_memory_mib(),
    }
    with stages("writing"):
        made.write(Path(job.state), number, record)
    return record


_Kept = tuple["Image | ImageError", "Predicted | None"]


def _predicted(
    job: Job, stack: StackFiles, unit: Unit, predict: Predict, stages: Stages
) -> Iterator[tuple[int, Image | ImageError, Predicted | None]]:
    """(place in the unit, image or what is wrong with it, what is predicted) of each slice of a unit."""
    margin = 1 if job.smooth_z else 0
    depth = len(stack.slices) // stack.frames  # slices of other points in time are no neighbours
    frame = unit.first // depth
    first = max(unit.first - margin, frame * depth)
    last = min(unit.first + unit.size + margin, len(stack.slices))
    numbers = list(stack.slices[first:last])
    kept: dict[int, _Kept] = {}
    images = slices_of(job, stack, numbers)
    for place, number in enumerate(numbers):
        with stages("reading"):
            image = next(images)
        made = None
        if not isinstance(image, ImageError):
            shown, whole = (stack.field.cut(image), image) if stack.field else (image, None)
            found = predict(shown, whole, number)
            made = found._replace(probabilities=np.zeros((*stack.shape, job.classes), np.float32))
            made.probabilities[shown.field] = found.probabilities
        kept[first + place] = image, made
        ready = first + place - margin
        if unit.first <= ready < unit.first + unit.size:
            yield ready - unit.first, kept[ready][0], _smoothed(kept, ready, stack, depth) if margin else made
            kept.pop(ready - margin, None)
    for ready in range(max(first + len(numbers) - margin, unit.first), unit.first + unit.size):
        yield ready - unit.first, kept[ready][0], _smoothed(kept, ready, stack, depth)


def _smoothed(kept: Mapping[int, _Kept], place: int, stack: StackFiles, depth: int) -> Predicted | None:
    """Mean of the probabilities over a slice and its neighbours of the same point in time, weighted 1 : 2 : 1."""
    own = kept[place][1]
    if own is None:
        return None
    total, weight = 2 * own.probabilities, 2
    for other in (place - 1, place + 1):
        apart = abs(stack.slices[other] - stack.slices[place]) if other in kept else 0
        if apart == 1 and other // depth == place // depth and (near := kept[other][1]) is not None:
            total += near.probabilities
            weight += 1
    total /= weight
    return own._replace(probabilities=total)


class _Results:
    """What a unit gives, held until it is written as a whole."""

    def __init__(self, job: Job, stack: StackFiles, unit: Unit) -> None:
        self.job, self.stack, self.unit = job, stack, unit
        self.slices: list[dict[str, Any]] = []
        self.image: dict[str, Any] | None = None
        shape = (unit.size, *stack.shape)
        self.labels = np.zeros(shape, np.uint8)
        dtype = None if job.probabilities == "none" else np.dtype(job.probabilities)
        self.probabilities = None if dtype is None else np.zeros((*shape, job.classes), dtype)
        self.unsure = np.zeros(shape, np.float32) if job.uncertainty else None
        self.unlike = np.zeros(shape, np.float32) if job.unlikeness else None
        self.sections = np.zeros((unit.size, sum(stack.shape)), np.float32)
        self.middle: np.ndarray | None = None

    def add(
        self, place: int, image: Image | ImageError, predicted: Predicted | None, labelled: Mapping[int, Any]
    ) -> None:
        from dataclasses import asdict

        from fijibridge.network.calibration import uncertainty
        from fijibridge.segmentation.clean_up import clean_up
        from fijibridge.segmentation.prediction import labels_of
        from fijibridge.segmentation.suggestions import places_to_label, square_side
        from fijibridge.segmentation.unlikeness import regions_unlike

        number = self.stack.slices[self.unit.first + place]
        about: dict[str, Any] = {"number": number, "counts": [int(self.labels[place].size)] + [0] * self.job.classes}
        self.slices.append(about)
        if predicted is None or isinstance(image, ImageError):
            about["error"] = " ".join(str(image).split())
            return
        probabilities, field = predicted.probabilities, self.stack.field
        shown = field.cut(image) if field else image
        (height, width), grey = self.stack.shape, shown.grey
        self.sections[place] = np.concatenate([grey[:, width // 2], grey[height // 2]])
        if self.unit.first + place == len(self.stack.slices) // 2:
            self.middle = grey
        labels = labels_of(probabilities)
        if self.job.cleaning:
            cleaned = clean_up(labels, **asdict(self.job.cleaning))
            about["changed"] = int(np.count_nonzero(cleaned != labels))
            labels = cleaned
        self.labels[place] = labels
        about["counts"] = np.bincount(labels.ravel(), minlength=self.job.classes + 1).tolist()
        about["shifts"] = {channel.name: channel.shift for channel in image.others}
        unsure = np.zeros(shown.shape, np.float32)
        unsure[shown.field] = uncertainty(np.moveaxis(probabilities[shown.field], -1, 0))
        about["uncertainty"] = round(float(unsure[shown.field].mean()), 5)
        top, left = (field.rows.start, field.cols.start) if field else (0, 0)
        if self.job.suggest:
            drawn = labelled.get(number, np.zeros(image.shape, bool))
            drawn = drawn[field.rows, field.cols] if field else drawn
            rows = shown.field.stop
            weight = None if predicted.typicality is None else predicted.typicality * predicted.unlikeness
            found = places_to_label(unsure[:rows], drawn[:rows], self.job.suggest, weight=weight, slice_number=number)
            about["places"] = [one._replace(top=one.top + top, left=one.left + left) for one in found]
        if self.unsure is not None:
            self.unsure[place] = unsure
        if predicted.unlikeness is not None:
            far = regions_unlike(predicted.unlikeness, square_side(predicted.unlikeness.shape))
            about["unlike"] = {**far, "top": far["top"] + top, "left": far["left"] + left} if far else None
            if self.unlike is not None:
                self.unlike[place][shown.field] = predicted.unlikeness
        if self.probabilities is not None:
            if self.probabilities.dtype == np.uint8:
                probabilities = np.rint(probabilities * 255)
            self.probabilities[place] = probabilities
        if self.image is None:
            size = image.pixel_size
            self.image = {
                "pixel_size": asdict(size) if size else None,
                "databar_rows": shown.databar_rows,
                "databar_found": shown.databar_found,
                "notes": list(shown.notes),
            }

    def write(self, state: Path, number: int, record: dict[str, Any]) -> None:
        """The arrays first, the record last: a unit without one is done again."""
        if self.job.zarr:
            from fijibridge.images.ome_zarr_writing import write_slab

            write_slab(store_of(state), self.unit.first, self.labels, self.probabilities)
        with output_folder(state / unit_name(number), marker=RECORD, overwrite=True) as folder:
            if not self.job.zarr:
                np.save(folder / LABELS, self.labels)
                if self.probabilities is not None:
                    np.save(folder / PROBABILITIES, self.probabilities)
            if self.unsure is not None:
                np.save(folder / UNCERTAINTY, self.unsure)
            if self.unlike is not None:
                np.save(folder / UNLIKENESS, self.unlike)
            if len(self.stack.slices) > 1:
                np.save(folder / SECTIONS, self.sections)
            if self.middle is not None:
                np.save(folder / MIDDLE, self.middle)
            (folder / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")


_loaded: dict[tuple[str, str, int], PixelSegmenter] = {}
_predicting: dict[str, Any] = {}  # for which stack of which job, and by what


def _of_classifier(job: Job, number: int, stages: Stages) -> Predict:
    """What predicts by the job's classifier, which a process loads once."""
    from fijibridge.segmentation.load import load_segmenter

    key = (job.classifier, job.identity, job.threads)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = load_segmenter(
            job.classifier, weights=job.weights or None, n_threads=job.threads, dimensions=job.dimensions
        )
    if [job, number] != [*_predicting.get("for", ())]:
        _predicting["for"], _predicting["by"] = (job, number), prediction(_loaded[key], job, number, stages)
    return _predicting["by"]


def prediction(
    segmenter: PixelSegmenter, job: Job, number: int, stages: Stages, given: Mapping[int, Any] = {}
) -> Predict:
    """What predicts by a trained segmenter.

    Parameters
    ----------
    segmenter : PixelSegmenter
    job : Job
    number : int
        Of the stack. Of its field the features are those of the whole.
    stages : Stages
        Where the time is counted.
    given : mapping
        Slice, from 1 -> its features, where these are there already.

    Returns
    -------
    callable
        See :func:`segment_unit`.
    """
    from fijibridge.segmentation.suggestions import square_side

    stack = job.stacks[number]
    features = SliceFeatures(job, number, segmenter)
    slabs = SlabPrediction(features) if looks_along_z_alone(segmenter) else None
    place = (stack.field.rows, stack.field.cols) if stack.field else ()

    def predict(shown: Image, whole: Image | None, number: int) -> Predicted:
        if slabs is not None and number:
            with stages("prediction"):
                return Predicted(slabs.of(shown if whole is None else whole, number, *place))
        found = given.get(number)
        if found is None:
            with stages("features"):
                found = features.of(shown if whole is None else whole, number)
        with stages("prediction"):
            probabilities, learned = segmenter.predict_proba(found, *place), segmenter.unlikeness_
            if learned is None:
                return Predicted(probabilities)
            side = square_side(probabilities.shape[:2])
            typical = learned.typicality(found, *place, side=side) if job.suggest else None
            return Predicted(probabilities, learned.of(found, *place), typical)

    return predict
