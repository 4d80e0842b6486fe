"""A label volume that is read slab by slab, for volumes larger than memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fijibridge.core.errors import ImageError, LabelsError
from fijibridge.phases.checks import check_spacing
from fijibridge.phases.phases import (
    MOST,
    UNKNOWN,
    Phases,
    PhaseSource,
    index_table,
    named_phases,
    too_many,
    whole_numbers,
    without_background,
)

_COUNTED = 2**16  # values below it are counted by bincount, others are sorted


@dataclass(frozen=True, eq=False)
class PhaseVolume(PhaseSource):
    """A label image or volume like `Phases`, of which only the slices asked for are in memory.

    `phase_volume` makes one, `fijibridge.phases.open_phases` one of a file.

    Parameters
    ----------
    plane : callable
        Number of a slice -> (Y, X), the labels.
    extent : tuple of int
        (Z, Y, X); rows beyond Y in a slice are left out.
    values, names, spacing, unit, ndim, counts
        As of `Phases`.
    present : mapping of int to int
        Each value, those of the background too -> number of voxels.
    name : str
        What an error calls it, such as its path.
    slices : int
        Slices of a slab; 0: as many as make some 16 million voxels.
    """

    plane: Callable[[int], np.ndarray]
    extent: tuple[int, int, int]
    values: tuple[int, ...]
    names: tuple[str, ...]
    spacing: tuple[float, float, float]
    unit: str
    ndim: int
    counts: tuple[int, ...]
    present: Mapping[int, int]
    name: str = "the volume"
    slices: int = 0
    _index: Callable[[np.ndarray], np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", index_table(tuple(self.present), self.values))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X); a 2D image has one slice."""
        return self.extent

    @property
    def slab_slices(self) -> int:
        """Slices that a slab has of its own."""
        return min(self.slices or super().slab_slices, self.shape[0])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Some slices, as in `Phases.index`.

        Parameters
        ----------
        start, stop : int
            The first, and the one behind the last.

        Returns
        -------
        np.ndarray
            (N, Y, X) uint8.

        Raises
        ------
        ImageError
            One cannot be read, or is not what it was when the values were counted.
        """
        _, height, width = self.shape
        index = np.empty((stop - start, height, width), np.uint8)
        for place, number in enumerate(range(start, stop)):
            labels = whole_numbers(self.plane(number)[:height], f"slice {number + 1} of {self.name}")
            same = labels.shape == (height, width)
            if same:
                index[place] = self._index(labels)
            if not same or (index[place] == UNKNOWN).any():
                found = f"the value {labels[index[place] == UNKNOWN][0]}" if same else f"an image of {labels.shape}"
                raise ImageError(
                    f"slice {number + 1} of {self.name} now holds {found}, as it did not when the phases were counted",
                    expected=f"({height}, {width}) pixels with the values {', '.join(map(str, self.present))}",
                    remedy="let what writes the file finish, then measure again",
                )
        return index

    def load(self) -> Phases:
        """The whole image in memory."""
        index = self.read(0, self.shape[0])
        return Phases(index, self.values, self.names, self.spacing, self.unit, self.ndim, self.counts)


def phase_volume(
    plane: Callable[[int], np.ndarray],
    count: int,
    *,
    spacing: float | Sequence[float] | None = None,
    unit: str = "px",
    background: int | Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    unlabelled: bool = False,
    name: str = "the volume",
    slices: int = 0,
) -> tuple[PhaseVolume, int]:
    """Count the values of a volume, slice by slice, and find its phases.

    Parameters
    ----------
    plane : callable
        Number of a slice, from 0 -> (Y, X) whole numbers or bool. Called in order, and later again.
    count : int
        Number of slices; one makes a 2D image.
    spacing, unit, background, class_names
        As for `as_phases`.
    unlabelled : bool
        The value 0 is no phase, and rows of it alone at the bottom of all slices are left out.
    name : str
        What errors call the volume, such as its path.
    slices : int
        Slices of a slab; 0: as many as make some 16 million voxels.

    Returns
    -------
    volume : PhaseVolume
    rows : int
        Rows that are left out.

    Raises
    ------
    ImageError
        A slice that cannot be read, of another size or type than the first, or with values that are not whole numbers.
    LabelsError, SettingsError
        As `as_phases`.
    """
    found: Counter[int] = Counter()
    where: dict[int, int] = {}
    first = plane(0)
    filled = np.zeros(first.shape[:1], bool)
    for number in range(count):
        labels = first if number == 0 else plane(number)
        if labels.ndim != 2 or not labels.size or labels.shape != first.shape or labels.dtype != first.dtype:
            raise ImageError(
                f"{name}: slice {number + 1} is {labels.shape} ({labels.dtype}), "
                f"the first {first.shape} ({first.dtype})",
                expected="slices of one size and type, (Y, X)",
                remedy="in Fiji: File > Import > Image Sequence..., then save the stack as TIFF",
            )
        labels = whole_numbers(labels, f"slice {number + 1} of {name}" if count > 1 else "an image")
        found.update(counted := _counted(labels))
        for value in counted:
            where.setdefault(value, number)
        if len(found) > MOST:
            raise too_many(
                f"{len(found)} different values, from {min(found)} to {max(found)}"
                + (f", in the first {number + 1} of {count} slices" if number + 1 < count else "")
            )
        if unlabelled:
            filled |= labels.any(axis=1)
    height, rows = len(filled), 0
    outside = [] if background is None else [background] if isinstance(background, (int, np.integer)) else [*background]
    if unlabelled and 0 in found:
        if not filled.any():
            raise LabelsError(
                "an image of unlabelled pixels alone", expected="phases", remedy="segment the image first"
            )
        rows = height - int(np.flatnonzero(filled)[-1]) - 1
        found[0] -= rows * first.shape[1] * count
        if found[0]:
            outside.append(0)
        else:
            del found[0]
    present = dict(sorted(found.items()))
    counts = without_background(present, outside or None)
    ndim = 2 if count == 1 else 3
    volume = PhaseVolume(
        plane,
        (count, height - rows, first.shape[1]),
        tuple(counts),
        named_phases(tuple(counts), class_names, where),
        check_spacing(spacing, ndim),
        unit,
        ndim,
        tuple(counts.values()),
        present,
        name,
        slices,
    )
    return volume, rows


def _counted(labels: np.ndarray) -> dict[int, int]:
    """Value -> number of pixels."""
    values: Iterable[int]
    if labels.min() >= 0 and int(labels.max()) < _COUNTED:
        number = np.bincount(labels.ravel())
        values = np.flatnonzero(number)
        return {int(value): int(number[value]) for value in values}
    found, numbers = np.unique(labels, return_counts=True)
    return dict(zip(found.tolist(), numbers.tolist(), strict=True))
