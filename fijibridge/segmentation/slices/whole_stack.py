"""What each slice takes from its stack as a whole: statistics, and greys without drift."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.segmentation.slices.job import Job, StackFiles

if TYPE_CHECKING:
    from fijibridge.features.image_statistics import ImageStatistics
    from fijibridge.images.image import Image
    from fijibridge.segmentation.grey_drift import GreyDrift
    from fijibridge.segmentation.segmenter import PixelSegmenter

_OF_DRIFT = ("coefficients", "training", "centre", "unit")


@dataclass(frozen=True)
class WholeStack:
    """What slices take from their stack.

    Parameters
    ----------
    statistics : ImageStatistics, optional
        By which features are scaled; by default each slice's own.
    drift : GreyDrift, optional
        What is taken from the greys of each slice.
    """

    statistics: ImageStatistics | None = None
    drift: GreyDrift | None = None

    def without_drift(self, image: Image, place: int) -> Image:
        """A slice as if it had been taken as the training images were.

        Parameters
        ----------
        image : Image
        place : int
            Among the slices that are segmented, from 0.
        """
        return self.drift.corrected(image, place) if self.drift else image

    def write(self, path: Path) -> None:
        """Write it; a folder's unit reads the same everywhere.

        Parameters
        ----------
        path : Path
            A .safetensors file.
        """
        from fijibridge.core.atomic_output import output_file
        from fijibridge.features.extractor_file import write_arrays

        arrays: dict[str, np.ndarray] = {}
        if self.statistics:
            arrays |= {f"statistics.{name}": array for name, array in self.statistics.arrays().items()}
            arrays["features_digest"] = np.frombuffer(self.statistics.features_digest.encode(), np.uint8)
        if self.drift:
            arrays |= {f"drift.{name}": getattr(self.drift, name) for name in _OF_DRIFT}
            if names := "\n".join(self.drift.detectors):
                arrays["detectors"] = np.frombuffer(names.encode(), np.uint8)
        with output_file(path) as part:
            write_arrays(part, arrays)

    @classmethod
    def read(cls, path: Path) -> WholeStack:
        """Read what :meth:`write` wrote."""
        from fijibridge.features.extractor_file import read_arrays
        from fijibridge.features.image_statistics import ImageStatistics
        from fijibridge.segmentation.grey_drift import GreyDrift

        arrays = read_arrays(path)

        def own(start: str) -> dict[str, np.ndarray]:
            return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}

        statistics = drift = None
        if found := own("statistics."):
            statistics = ImageStatistics.restored(found, arrays["features_digest"].tobytes().decode())
        if found := own("drift."):
            names = arrays["detectors"].tobytes().decode() if "detectors" in arrays else ""
            coefficients, training, centre, unit = (found[name] for name in _OF_DRIFT)
            drift = GreyDrift(coefficients, training, centre, unit, tuple(names.split("\n")))
        return cls(statistics, drift)


def learned(job: Job, number: int, segmenter: PixelSegmenter, *, labelled: Sequence[int] = ()) -> WholeStack:
    """Learn from a stack what its slices take from it; of an image alone nothing.

    Parameters
    ----------
    job : Job
    number : int
        Of the stack.
    segmenter : PixelSegmenter
        Trained.
    labelled : sequence of int
        Slices of this stack that trained, from 1.

    Returns
    -------
    WholeStack

    Raises
    ------
    SettingsError
        ``"training"`` of a classifier without statistics of its training images.
    """
    from fijibridge.core.progress import bar
    from fijibridge.segmentation.grey_drift import GreyDrift
    from fijibridge.segmentation.slices.unit import slices_of
    from fijibridge.segmentation.statistics import statistics_for

    stack = job.stacks[number]
    if job.statistics == "slice" or segmenter.extractor_ is None:
        return WholeStack()
    if job.statistics == "training":
        return WholeStack(statistics_for(segmenter, [], "training"))
    if len(stack.slices) == 1:
        return WholeStack()
    good: list[int] = []

    def all_slices() -> Iterator[Image]:
        """In place of one that cannot be read the one before, or the first that can."""
        last: Image | None = None
        bad = 0
        with bar("looking through the stack", len(stack.slices)) as steps:
            for place, image in enumerate(slices_of(job, stack, list(stack.slices))):
                steps.update()
                if isinstance(image, ImageError):
                    if last is None:
                        bad += 1
                    else:
                        yield last
                    continue
                good.append(place)
                for _ in range(bad):
                    yield image
                bad, last = 0, image
                yield image

    known = segmenter.statistics_
    drift = None
    if known is not None and len(known.greys) and stack.frames == 1:
        places = [stack.slices.index(one) for one in labelled if one in stack.slices]
        drift = GreyDrift.of(all_slices(), segmenter, training=places)
    else:
        for _ in all_slices():
            pass
    if not good:
        return WholeStack()
    found = WholeStack(None, drift)
    with bar("statistics of the stack", 1) as steps:
        statistics = statistics_for(segmenter, _Slices(job, stack, good, found), "stack")
        steps.update()
    return WholeStack(statistics, drift)


class _Slices(Sequence[Any]):
    """Slices that can be read, read one at a time when they are asked for, without drift."""

    def __init__(self, job: Job, stack: StackFiles, places: Sequence[int], whole: WholeStack) -> None:
        self.job, self.stack, self.places, self.whole = job, stack, places, whole

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        from fijibridge.segmentation.slices.unit import slices_of

        place = self.places[index]
        image = next(slices_of(self.job, self.stack, [self.stack.slices[place]]))
        if isinstance(image, ImageError):
            raise image
        return self.whole.without_drift(image, place)


def whole_file(state: Path, number: int) -> Path:
    """Where what was learned from a stack is kept."""
    return state / f"stack-{number:05d}.safetensors"


def whole_of(job: Job, number: int) -> WholeStack:
    """What was learned from a stack of a job; nothing where there is no file of it."""
    path = whole_file(Path(job.state), number)
    return WholeStack.read(path) if path.is_file() else WholeStack()


def learn_stacks(job: Job, segmenter: PixelSegmenter, *, labelled: Sequence[int] = ()) -> None:
    """Learn from each stack of a job what its slices take from it, unless that was done before.

    Parameters
    ----------
    job, segmenter, labelled
        As of `learned`.
    """
    from fijibridge.core.atomic_output import note_files

    for number in range(len(job.stacks)):
        path = whole_file(Path(job.state), number)
        if not path.is_file() and (found := learned(job, number, segmenter, labelled=labelled)) != WholeStack():
            note_files(path.parent, [path.name])
            found.write(path)
