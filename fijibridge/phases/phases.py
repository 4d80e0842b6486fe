"""A label image or volume with its phases: which values they are, their names, and the size of a voxel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from fijibridge.core.errors import ImageError, LabelsError, SettingsError
from fijibridge.core.names import check_names
from fijibridge.phases.checks import check_spacing

if TYPE_CHECKING:
    from typing_extensions import Unpack

OUTSIDE = 255  # in `Phases.index`: a voxel of the background
UNKNOWN = 254  # from `index_table`: a value that the image was not known to have
MOST = 32  # a label image of more phases is more likely a grey image
_SLAB = 2**24  # voxels in the own slices of a slab: some 16 slices of 1024 x 1024


@dataclass(frozen=True, eq=False)
class Slab:
    """Some slices of an image, with neighbours on both sides as far as the image has them.

    Parameters
    ----------
    index : np.ndarray
        (N, Y, X) uint8 as in `Phases`, the neighbours too.
    start, stop : int
        First of its own slices in the image, and the one behind the last.
    before : int
        Neighbours before its own slices.
    """

    index: np.ndarray
    start: int
    stop: int
    before: int

    @property
    def own(self) -> slice:
        """Where its own slices lie in `index`."""
        return slice(self.before, self.before + self.stop - self.start)


class PhaseSource:
    """What a `Phases` in memory and a `PhaseVolume`, which is read slab by slab, have in common.

    The attributes are those of `Phases`. A function that takes a source goes through its `slabs`.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    spacing: tuple[float, float, float]
    unit: str
    ndim: int
    counts: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X); a 2D image has one slice."""
        raise NotImplementedError

    @property
    def slab_slices(self) -> int:
        """Slices that a slab has of its own."""
        return min(max(1, _SLAB // (self.shape[1] * self.shape[2])), self.shape[0])

    def read(self, start: int, stop: int) -> np.ndarray:
        """(N, Y, X) uint8: these slices, as in `Phases.index`.

        Parameters
        ----------
        start, stop : int
            The first slice, from 0, and the one behind the last.
        """
        raise NotImplementedError

    def load(self) -> Phases:
        """The whole image in memory."""
        raise NotImplementedError

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes there are: ("z", "y", "x") or ("y", "x")."""
        return ("z", "y", "x")[3 - self.ndim :]

    @property
    def size(self) -> int:
        """Number of voxels, those of the background too."""
        return math.prod(self.shape)

    @property
    def filled(self) -> bool:
        """Whether every voxel is of a phase."""
        return sum(self.counts) == self.size

    @property
    def voxel(self) -> float:
        """Volume of a voxel, or area of a pixel."""
        return math.prod(self.spacing[3 - self.ndim :])

    @property
    def measure(self) -> float:
        """Volume, or area, of the phases together."""
        return sum(self.counts) * self.voxel

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return iter(enumerate(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def axis(self, name: str) -> int:
        """Place of a named axis in (Z, Y, X)."""
        if name not in self.axes:
            raise SettingsError(
                f"axis {name!r} of an image in {self.ndim}D",
                expected=" or ".join(self.axes),
                remedy="choose an axis that the image has",
            )
        return "zyx".index(name)

    def slabs(self, *, before: int = 0, after: int = 0) -> Iterator[Slab]:
        """The image slab by slab, each slice read once.

        Parameters
        ----------
        before, after : int
            Neighbours that each slab has on its two sides, as far as the image has them.

        Yields
        ------
        Slab
            In the order of the slices, which each belong to one slab.

        Raises
        ------
        ImageError
            A slice that cannot be read.
        """
        depth, low = self.shape[0], 0
        held = np.zeros((0, *self.shape[1:]), np.uint8)
        for start in range(0, depth, self.slab_slices):
            stop = min(start + self.slab_slices, depth)
            first, last = max(start - before, 0), min(stop + after, depth)
            have = held[first - low :]
            further = self.read(first + len(have), last)
            held, low = np.concatenate([have, further]) if len(have) else further, first
            yield Slab(held, start, stop, start - first)

    def block(self, corner: tuple[int, int, int], size: tuple[int, int, int]) -> Phases:
        """A part of the image with all phases of the whole, also those that it does not hold.

        Parameters
        ----------
        corner : tuple of int
            (z, y, x) of its first voxel.
        size : tuple of int
            (Z, Y, X).

        Returns
        -------
        Phases
            In memory.
        """
        (z, y, x), (depth, height, width) = corner, size
        index = np.empty(size, np.uint8)
        for place in range(depth):
            index[place] = self.read(z + place, z + place + 1)[0, y : y + height, x : x + width]
        number = np.bincount(index.ravel(), minlength=256)
        counts = tuple(int(count) for count in number[: len(self)])
        return Phases(index, self.values, self.names, self.spacing, self.unit, self.ndim, counts)


@dataclass(frozen=True, eq=False)
class Phases(PhaseSource):
    """A 2D or 3D label image, checked once; functions that take a label array take it too.

    Parameters
    ----------
    index : np.ndarray
        (Z, Y, X) uint8: 0, 1, ... for the phases in the order of `values`, 255 for the background. A 2D image has one
        slice.
    values : tuple of int
        The label value of each phase.
    names : tuple of str
        The name of each phase.
    spacing : tuple of float
        (z, y, x) size of a voxel; z is 1 for a 2D image.
    unit : str
        Unit of the spacing.
    ndim : int
        2 or 3.
    counts : tuple of int
        Number of voxels of each phase.
    """

    index: np.ndarray
    values: tuple[int, ...]
    names: tuple[str, ...]
    spacing: tuple[float, float, float]
    unit: str
    ndim: int
    counts: tuple[int, ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X); a 2D image has one slice."""
        depth, height, width = self.index.shape
        return depth, height, width

    @property
    def inside(self) -> np.ndarray | None:
        """(Z, Y, X) bool: voxels of a phase; None where that is all of them."""
        return None if self.filled else self.index != OUTSIDE

    def mask(self, phase: int) -> np.ndarray:
        """(Z, Y, X) bool: where the phase with this index is."""
        return self.index == phase

    def read(self, start: int, stop: int) -> np.ndarray:
        """(N, Y, X) uint8: these slices, not copied.

        Parameters
        ----------
        start, stop : int
            The first slice, from 0, and the one behind the last.
        """
        return self.index[start:stop]

    def load(self) -> Phases:
        """Itself: it is in memory."""
        return self


class PhasesOptions(TypedDict, total=False):
    """The keywords of `as_phases`, which functions that take a label array pass on to it."""

    spacing: float | Sequence[float] | None
    unit: str
    background: int | Sequence[int] | None
    class_names: Sequence[str] | None


def as_phases(
    labels: Any,
    *,
    spacing: float | Sequence[float] | None = None,
    unit: str = "px",
    background: int | Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> Phases:
    """Check a label image and find its phases.

    Parameters
    ----------
    labels : array_like, Phases or PhaseVolume
        (Y, X) or (Z, Y, X) whole numbers or bool; a `Phases` comes back as it is, a `PhaseVolume` is loaded. One slice,
        (1, Y, X), counts as 2D.
    spacing : float or sequence of float, optional
        Size of a voxel: one number, (y, x), or (z, y, x); 1 by default.
    unit : str
        Unit of the spacing.
    background : int or sequence of int, optional
        Value, or values, of the voxels outside the sample. By default every value is a phase, 0 too: an unlabelled
        voxel cannot be distinguished from a phase numbered 0.
    class_names : sequence of str, optional
        Names of the phases in the order of their values; ``"phase VALUE"`` by default.

    Returns
    -------
    Phases

    Raises
    ------
    ImageError
        Not (Y, X) or (Z, Y, X), empty, or values that are not whole numbers.
    LabelsError
        Too many values for a label image, no phase at all, or another number of names than of phases.
    SettingsError
        A spacing that is not one, two or three positive numbers, or a background that is no value of the image.
    """
    if isinstance(labels, PhaseSource):
        return labels.load()
    array = np.asarray(labels)
    if array.ndim not in (2, 3) or array.size == 0:
        raise ImageError(
            f"labels of shape {array.shape}",
            expected="(Y, X) or (Z, Y, X), not empty",
            remedy="give one channel of an image or a volume",
        )
    array = whole_numbers(array)
    ndim = 2 if array.ndim == 2 or array.shape[0] == 1 else 3
    array = array.reshape((1, *array.shape[-2:])) if ndim == 2 else array
    present = dict(zip(*_values(array), strict=True))
    counts = without_background(present, background)
    names = named_phases(tuple(counts), class_names)
    indexed = index_table(tuple(present), tuple(counts))
    index = np.empty(array.shape, np.uint8)
    for place, plane in enumerate(array):  # looking up makes a copy of 8 bytes a voxel
        index[place] = indexed(plane)
    return Phases(index, tuple(counts), names, check_spacing(spacing, ndim), unit, ndim, tuple(counts.values()))


def as_source(labels: Any, **options: Unpack[PhasesOptions]) -> PhaseSource:
    """As `as_phases`, but a `PhaseVolume` stays where it is, to be read slab by slab."""
    return labels if isinstance(labels, PhaseSource) else as_phases(labels, **options)


def without_background(present: Mapping[int, int], background: int | Sequence[int] | None) -> dict[int, int]:
    """The phases among the values of an image.

    Parameters
    ----------
    present : mapping of int to int
        Value -> number of voxels.
    background : int or sequence of int, optional
        Values that are no phase.

    Returns
    -------
    dict of int to int
        Of the phases.

    Raises
    ------
    LabelsError
        No phase is left.
    SettingsError
        A background that is no value of the image.
    """
    given = () if background is None else (background,) if isinstance(background, (int, np.integer)) else background
    outside = {int(value) for value in given}
    if not outside <= set(present):
        raise SettingsError(
            f"background = {', '.join(map(str, sorted(outside)))}, a value that the image does not have",
            expected=f"one of {', '.join(map(str, present))}",
            remedy="look at the values in Fiji (Image > Adjust > Threshold), or leave the background out",
        )
    counts = {value: count for value, count in present.items() if value not in outside}
    if not counts:
        raise LabelsError(
            "an image of background alone", expected="at least one phase", remedy="choose another background value"
        )
    return counts


def index_table(present: Sequence[int], values: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """What turns labels into `Phases.index`.

    Parameters
    ----------
    present : sequence of int
        All values of the image.
    values : sequence of int
        Those of the phases.

    Returns
    -------
    callable
        (Y, X) whole numbers -> uint8 of this shape; `UNKNOWN` where a value is none of `present`.
    """
    if min(present) >= 0 and max(present) < 2**20:
        table = np.full(max(present) + 2, UNKNOWN, np.uint8)
        table[list(present)] = OUTSIDE
        table[list(values)] = np.arange(len(values))

        def looked_up(labels: np.ndarray) -> np.ndarray:
            index = table.take(labels, mode="clip")
            if labels.dtype.kind == "i":
                index[labels < 0] = UNKNOWN
            return index

        return looked_up

    def compared(labels: np.ndarray) -> np.ndarray:
        index = np.full(labels.shape, UNKNOWN, np.uint8)
        for value in present:
            index[labels == value] = OUTSIDE
        for place, value in enumerate(values):
            index[labels == value] = place
        return index

    return compared


def whole_numbers(array: np.ndarray, what: str = "an image") -> np.ndarray:
    """The array as integers.

    Parameters
    ----------
    array : ndarray
    what : str
        It, for the message.

    Raises
    ------
    ImageError
        Other numbers.
    """
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind in "ui":
        return array
    whole = array.dtype.kind == "f" and bool(np.isfinite(array).all()) and bool((array == np.rint(array)).all())
    if whole and np.abs(array).max() < 2**24:
        return array.astype(np.int32)
    raise ImageError(
        f"{what} of {array.dtype} with values that are not whole numbers",
        expected="a label image: one whole number a phase",
        remedy="segment the image first (fijibridge segment), or threshold it in Fiji",
    )


def _values(array: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high < 2**16:
        every = np.zeros(high + 1, np.int64)
        for plane in array:  # bincount makes a copy of 8 bytes a voxel
            every += np.bincount(plane.ravel(), minlength=high + 1)
        found = np.flatnonzero(every)
        counts = every[found]
    else:
        found, counts = np.unique(array, return_counts=True)
    if len(found) > MOST:
        raise too_many(f"{len(found)} different values, from {low} to {high}")
    return tuple(int(value) for value in found), tuple(int(count) for count in counts)


def too_many(what: str) -> LabelsError:
    """The error for an image of more than `MOST` values.

    Parameters
    ----------
    what : str
        What was found.
    """
    return LabelsError(
        f"{what}: this looks like a grey image",
        expected=f"a label image of at most {MOST} phases",
        remedy="segment the image first (fijibridge segment), or threshold it in Fiji",
    )


def named_phases(
    values: Sequence[int], given: Sequence[str] | None, first: Mapping[int, int] | None = None
) -> tuple[str, ...]:
    """The names given, checked; else ``"phase VALUE"``.

    Parameters
    ----------
    values : sequence of int
        Of the phases.
    given : sequence of str or None
        Their names.
    first : mapping, optional
        Value -> the slice, from 0, where it is found first, for the error.

    Raises
    ------
    LabelsError
        Not one name a phase, or not different ones.
    """
    if not given:
        return tuple(f"phase {value}" for value in values)
    names = tuple(str(name).strip() for name in given)
    check_names(names, "phase")
    if len(names) != len(values):
        places = {value: f" (from slice {first[value] + 1} on)" for value in values if first and first[value]}
        found = ", ".join(f"{value}{places.get(value, '')}" for value in values)
        raise LabelsError(
            f"{len(names)} name(s) ({', '.join(names)}) for {len(values)} phase(s): {found}",
            expected="one name a phase, in the order of the values",
            remedy="name every phase; a phase may be missing from the image, or 0 be the background",
        )
    if len(set(names)) < len(names) or not all(names):
        raise LabelsError(
            f"names {', '.join(names)}", expected="names that differ from each other", remedy="rename one of them"
        )
    return names
