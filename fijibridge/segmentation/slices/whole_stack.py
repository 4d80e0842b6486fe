"""What each slice takes from its stack as a whole: statistics, and greys without drift."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.segmentation.slices.job import Job, StackFiles
from fijibridge.segmentation.slices.reading import slices_of

if TYPE_CHECKING:
    from fijibridge.features.image_statistics import ImageStatistics
    from fijibridge.images.image import Image
    from fijibridge.segmentation.grey_drift import GreyDrift
    from fijibridge.segmentation.segmenter import PixelSegmenter

FEWEST = 5  # slices of a stack along which greys can be said to drift
LOOKED_AT = 64  # slices by which drift is known, which is slow
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

    def without_drift(self, image: Image, number: int) -> Image:
        """A slice as if it had been taken as the training images were.

        Parameters
        ----------
        image : Image
        number : int
            Of the slice, from 1.
        """
        return self.drift.corrected(image, number - 1) if self.drift else image

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


def learned(job: Job, number: int, segmenter: PixelSegmenter) -> WholeStack:
    """Learn from a stack what its slices take from it, whichever of them are segmented; of an image alone nothing.

    Parameters
    ----------
    job : Job
    number : int
        Of the stack.
    segmenter : PixelSegmenter
        Trained.

    Returns
    -------
    WholeStack

    Raises
    ------
    SettingsError
        ``"training"`` of a classifier without statistics of its training images.
    """
    from fijibridge.segmentation.statistics import statistics_for

    stack = job.stacks[number]
    if job.statistics == "slice" or segmenter.extractor_ is None:
        return WholeStack()
    if stack.total == 1:
        return WholeStack(statistics_for(segmenter, [], "training") if job.statistics == "training" else None)
    looked = _Slices(job, stack)
    known = segmenter.statistics_
    drift = None
    if known is not None and len(known.greys) and stack.frames == 1 and stack.total >= FEWEST:
        drift = _drift(looked, segmenter)
    if job.statistics != "stack":
        return WholeStack(statistics_for(segmenter, looked, job.statistics), drift)
    looked.drift = drift
    return WholeStack(statistics_for(segmenter, looked.readable(), "stack"), drift)


def _drift(looked: _Slices, segmenter: PixelSegmenter) -> GreyDrift | None:
    """The drift by some slices, at those between interpolated; None where no slice can be read."""
    from dataclasses import replace

    from fijibridge.core.progress import bar
    from fijibridge.segmentation.grey_drift import GreyDrift

    readable = looked.readable()
    if not len(readable):
        return None
    with bar("looking through the stack", len(readable)) as steps:

        def stepped() -> Iterator[Image]:
            for image in readable:
                yield image
                steps.update()

        found = GreyDrift.of(stepped(), segmenter)
    every = np.arange(1, looked.stack.total + 1)
    own = found.coefficients.reshape(len(readable), -1)
    between = np.stack([np.interp(every, readable.numbers, column) for column in own.T], axis=1)
    return replace(found, coefficients=between.reshape(len(every), *found.coefficients.shape[1:]))


class _Slices(Sequence[Any]):
    """Slices spread over a stack, read one at a time when they are asked for."""

    def __init__(self, job: Job, stack: StackFiles) -> None:
        self.job, self.stack = job, stack
        self.numbers: list[int] = np.linspace(1, stack.total, min(LOOKED_AT, stack.total)).round().astype(int).tolist()
        self.drift: GreyDrift | None = None

    def readable(self) -> _Slices:
        """Those of them that can be read."""
        good = []
        for number in self.numbers:
            with suppress(ImageError):
                self._read(number)
                good.append(number)
        found = _Slices(self.job, self.stack)
        found.numbers, found.drift = good, self.drift
        return found

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        number = self.numbers[index]
        return WholeStack(None, self.drift).without_drift(self._read(number), number)

    def _read(self, number: int) -> Image:
        image = next(slices_of(self.job, self.stack, [number]))
        if isinstance(image, ImageError):
            raise image
        return image


def whole_file(state: Path, number: int) -> Path:
    """Where what was learned from a stack is kept.

    Parameters
    ----------
    state : Path
        Folder of what is done.
    number : int
        Of the stack.
    """
    return state / f"stack-{number:05d}.safetensors"


def whole_of(job: Job, number: int) -> WholeStack:
    """What was learned from a stack of a job; nothing where there is no file of it.

    Parameters
    ----------
    job : Job
    number : int
        Of the stack.
    """
    path = whole_file(Path(job.state), number)
    return WholeStack.read(path) if path.is_file() else WholeStack()


def learn_stacks(job: Job, segmenter: PixelSegmenter) -> None:
    """Learn from each stack of a job what its slices take from it, unless that was done before.

    Parameters
    ----------
    job, segmenter
        As of `learned`.
    """
    from fijibridge.core.atomic_output import note_files

    for number in range(len(job.stacks)):
        path = whole_file(Path(job.state), number)
        if not path.is_file() and (found := learned(job, number, segmenter)) != WholeStack():
            note_files(path.parent, [path.name])
            found.write(path)
