"""A label image or volume with its phases: which values they are, their names, and the size of a voxel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np

from fijibridge.core.errors import ImageError, LabelsError, SettingsError
from fijibridge.core.names import check_names

OUTSIDE = 255  # in `Phases.index`: a voxel of the background
_MOST = 32  # a label image of more phases is more likely a grey image


@dataclass(frozen=True, eq=False)
class Phases:
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
    def axes(self) -> tuple[str, ...]:
        """Names of the axes there are: ("z", "y", "x") or ("y", "x")."""
        return ("z", "y", "x")[3 - self.ndim :]

    @property
    def inside(self) -> np.ndarray | None:
        """(Z, Y, X) bool: voxels of a phase; None where that is all of them."""
        return self.index != OUTSIDE if sum(self.counts) < self.index.size else None

    @property
    def voxel(self) -> float:
        """Volume of a voxel, or area of a pixel."""
        return math.prod(self.spacing[3 - self.ndim :])

    @property
    def measure(self) -> float:
        """Volume, or area, of the phases together."""
        return sum(self.counts) * self.voxel

    def mask(self, phase: int) -> np.ndarray:
        """(Z, Y, X) bool: where the phase with this index is."""
        return self.index == phase

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
    labels : array_like or Phases
        (Y, X) or (Z, Y, X) whole numbers or bool; a `Phases` comes back as it is. One slice, (1, Y, X), counts as 2D.
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
    if isinstance(labels, Phases):
        return labels
    array = np.asarray(labels)
    if array.ndim not in (2, 3) or array.size == 0:
        raise ImageError(
            f"labels of shape {array.shape}",
            expected="(Y, X) or (Z, Y, X), not empty",
            remedy="give one channel of an image or a volume",
        )
    array = _whole(array)
    ndim = 2 if array.ndim == 2 or array.shape[0] == 1 else 3
    array = array.reshape((1, *array.shape[-2:])) if ndim == 2 else array
    values, counts = _values(array)
    present = list(values)
    if background is not None:
        outside = {background} if isinstance(background, (int, np.integer)) else set(background)
        if not outside <= set(present):
            raise SettingsError(
                f"background = {', '.join(map(str, sorted(outside)))}, a value that the image does not have",
                expected=f"one of {', '.join(map(str, present))}",
                remedy="look at the values in Fiji (Image > Adjust > Threshold), or leave the background out",
            )
        values, counts = zip(*((v, c) for v, c in zip(values, counts, strict=True) if v not in outside), strict=True) \
            if len(present) > len(outside) else ((), ())  # fmt: skip
    if not values:
        raise LabelsError(
            "an image of background alone", expected="at least one phase", remedy="choose another background value"
        )
    names = _names(values, class_names)
    if min(present) >= 0 and max(present) < 2**20:
        lut = np.full(max(present) + 1, OUTSIDE, np.uint8)
        lut[list(values)] = np.arange(len(values))
        index = lut[array]
    else:
        index = np.full(array.shape, OUTSIDE, np.uint8)
        for place, value in enumerate(values):
            index[array == value] = place
    return Phases(
        index, tuple(values), names, check_spacing(spacing, ndim), unit, ndim, tuple(int(count) for count in counts)
    )


def _whole(array: np.ndarray) -> np.ndarray:
    """The array as integers."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind in "ui":
        return array
    whole = array.dtype.kind == "f" and bool(np.isfinite(array).all()) and bool((array == np.rint(array)).all())
    if whole and np.abs(array).max() < 2**24:
        return array.astype(np.int32)
    raise ImageError(
        f"an image of {array.dtype} with values that are not whole numbers",
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
    if len(found) > _MOST:
        raise LabelsError(
            f"{len(found)} different values, from {low} to {high}: this looks like a grey image",
            expected=f"a label image of at most {_MOST} phases",
            remedy="segment the image first (fijibridge segment), or threshold it in Fiji",
        )
    return tuple(int(value) for value in found), tuple(int(count) for count in counts)


def _names(values: Sequence[int], given: Sequence[str] | None) -> tuple[str, ...]:
    if not given:
        return tuple(f"phase {value}" for value in values)
    names = tuple(str(name).strip() for name in given)
    check_names(names, "phase")
    if len(names) != len(values):
        raise LabelsError(
            f"{len(names)} name(s) ({', '.join(names)}) for {len(values)} phase(s): {', '.join(map(str, values))}",
            expected="one name a phase, in the order of the values",
            remedy="name every phase; a phase may be missing from the image, or 0 be the background",
        )
    if len(set(names)) < len(names) or not all(names):
        raise LabelsError(
            f"names {', '.join(names)}", expected="names that differ from each other", remedy="rename one of them"
        )
    return names


def check_mask(mask: Any) -> np.ndarray:
    """Check a mask: (Y, X) or (Z, Y, X), true where it is not 0.

    Raises
    ------
    ImageError
        Another number of dimensions, or empty.
    """
    mask = np.asarray(mask)
    if mask.ndim not in (2, 3) or mask.size == 0:
        raise ImageError(
            f"a mask of shape {mask.shape}", expected="(Y, X) or (Z, Y, X)", remedy="give one phase of an image"
        )
    return mask != 0


def check_spacing(spacing: float | Sequence[float] | None, ndim: int) -> tuple[float, float, float]:
    """Check the size of a voxel.

    Parameters
    ----------
    spacing : float or sequence of float, optional
        One number, (y, x), or (z, y, x); 1 by default.
    ndim : int
        2 or 3, the dimensions of the image.

    Returns
    -------
    tuple of float
        (z, y, x); z is 1 in 2D.

    Raises
    ------
    SettingsError
        Not one, two or three positive numbers; two for a volume.
    """
    try:
        steps = [1.0] if spacing is None else [float(step) for step in np.atleast_1d(np.asarray(spacing, float))]
    except (TypeError, ValueError):
        steps = []
    if len(steps) == 1:
        steps = steps * ndim
    good = len(steps) in ({2, 3} if ndim == 2 else {3}) and all(math.isfinite(step) and step > 0 for step in steps)
    if not good:
        raise SettingsError(
            f"voxel size {spacing!r}",
            expected="one positive number, or one an axis: z,y,x",
            remedy='for example "50,10,10 nm"; "10,10 nm" for an image in 2D',
        )
    return (1.0 if ndim == 2 else steps[0], steps[-2], steps[-1])
