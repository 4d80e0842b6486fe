"""Sparse labels: the labelled pixels of an image, with the names of their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fijibridge.core.errors import LabelsError
from fijibridge.core.names import check_names, listed


@dataclass(frozen=True, eq=False)
class Labels:
    """Labelled pixels of one image.

    Parameters
    ----------
    data : np.ndarray
        (Y, X) uint8; 0 = unlabelled, k = ``class_names[k - 1]``.
    class_names : tuple of str
        Two or more different names.
    of_several : bool
        Whether other images' labels (of slices of a stack, say) train with these, so that classes may be missing here.

    Raises
    ------
    LabelsError
        Not 2D uint8, fewer than two classes, a name twice, a value with no name, or a class with no labelled pixel.
    """

    data: np.ndarray
    class_names: tuple[str, ...]
    of_several: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if self.data.ndim != 2 or self.data.dtype != np.uint8:
            raise LabelsError(
                f"labels of shape {self.data.shape} ({self.data.dtype})",
                expected="(Y, X) uint8",
                remedy="use labels_from_array, which checks and converts",
            )
        check_class_names(self.class_names)
        numbers = np.bincount(self.data.ravel(), minlength=len(self.class_names) + 1)
        if len(numbers) > len(self.class_names) + 1:
            raise no_name(len(numbers) - 1, self.class_names)
        if not self.of_several:
            check_labelled(numbers[1:].tolist(), self.class_names)

    @property
    def counts(self) -> dict[str, int]:
        """Labelled pixels of each class."""
        numbers = np.bincount(self.data.ravel(), minlength=len(self.class_names) + 1)
        return {name: int(number) for name, number in zip(self.class_names, numbers[1:], strict=True)}


def check_labelled(numbers: Sequence[int], names: Sequence[str]) -> None:
    """See that each class has labelled pixels.

    Parameters
    ----------
    numbers : sequence of int
        Labelled pixels of each class.
    names : sequence of str

    Raises
    ------
    LabelsError
        Fewer than two classes have some, or one has none.
    """
    if sum(number > 0 for number in numbers) < 2:
        used = [name for name, number in zip(names, numbers, strict=True) if number]
        raise LabelsError(
            f"labels for {len(used)} class(es): {listed(used) or 'no pixel is labelled'}",
            expected="labelled pixels of at least two classes",
            remedy="label some pixels of each class",
        )
    empty = [
        f"value {value} ({name})"
        for value, (name, number) in enumerate(zip(names, numbers, strict=True), start=1)
        if not number
    ]
    if empty:
        raise LabelsError(
            f"no labelled pixel for {listed(empty)}",
            expected="at least one labelled pixel for each class",
            remedy="label it, or leave the class out and renumber the others from 1 without gaps",
        )


def check_class_names(names: Sequence[str]) -> None:
    """Check the names of classes.

    Parameters
    ----------
    names : sequence of str
        At most 255.

    Raises
    ------
    LabelsError
        One that is empty, long, or has control characters, one that is there twice, or too many.
    """
    if len(names) > 255:
        raise LabelsError(f"{len(names)} classes", expected="at most 255", remedy="join some of the classes")
    check_names(names)
    folded = [name.casefold() for name in names]
    if len(set(folded)) < len(folded):
        raise LabelsError(
            f"class names {listed(names)}: one is there twice",
            expected="different names (upper and lower case are the same)",
            remedy="rename one of them",
        )


def no_name(value: int, names: Sequence[str]) -> LabelsError:
    """The error for a label value that no class name belongs to.

    Parameters
    ----------
    value : int
    names : sequence of str
        That there are.
    """
    return LabelsError(
        f"label value {value} with {len(names)} class name(s): {listed(names)}",
        expected="a name for each label value (value 1 is the first name; 0 is unlabelled)",
        remedy="add the missing class names, or correct the labels",
    )


def labels_from_array(
    array: Any, *, shape: tuple[int, int] | None = None, class_names: Sequence[str] | None = None,
    of_several: bool = False,
) -> Labels:  # fmt: skip
    """Make `Labels` of an array.

    Parameters
    ----------
    array : array_like
        (Y, X) integers, or floats that are whole numbers; 0 = unlabelled.
    shape : tuple of int, optional
        (Y, X) of the image that the labels belong to; checked if given.
    class_names : sequence of str, optional
        As for `fijibridge.labels.reading.read_labels`.
    of_several : bool
        See `Labels`.

    Returns
    -------
    Labels

    Raises
    ------
    LabelsError
        As for `fijibridge.labels.reading.read_labels`.
    """
    return named_labels(label_values(np.asarray(array), "label array", shape), class_names, of_several=of_several)


def named_labels(data: np.ndarray, class_names: Sequence[str] | None, *, of_several: bool = False) -> Labels:
    """Label values with the names of their classes.

    Parameters
    ----------
    data : np.ndarray
        (Y, X) uint8.
    class_names : sequence of str, optional
        As for `fijibridge.labels.reading.read_labels`.
    of_several : bool
        See `Labels`.

    Raises
    ------
    LabelsError
        Values with gaps that nobody named; and what `Labels` refuses.
    """
    if class_names is None:
        class_names = [f"class {value}" for value in range(1, int(data.max(initial=0)) + 1)]
        found = np.flatnonzero(np.bincount(data.ravel())[1:]) + 1
        missing = [value for value in range(1, len(class_names) + 1) if value not in found]
        if missing and len(found) > 1 and not of_several:
            raise LabelsError(
                f"label values {listed(found)}: no labelled pixel for value {listed(missing)}",
                expected=f"values without gaps: {listed(range(1, len(found) + 1))}",
                remedy="renumber them, in ImageJ with Process > Math > Macro: "
                + " + ".join(f"{k + 1}*(v=={value})" for k, value in enumerate(found[:3])),
            )
    return Labels(data, tuple(class_names), of_several)


def check_size(found: tuple[int, ...], shape: tuple[int, int], what: str) -> None:
    """See that labels have the size of their image.

    Parameters
    ----------
    found, shape : tuple of int
        (Y, X) of the labels, and of the image.
    what : str
        The labels, for the message.

    Raises
    ------
    LabelsError
        Another size.
    """
    if found != tuple(shape):
        raise LabelsError(
            f"{what} is {found[1]} x {found[0]} pixels, its image {shape[1]} x {shape[0]} (width x height)",
            expected="labels of the image's size",
            remedy="label the image itself, not a crop or a scaled copy; do not cut off the data bar of one alone",
        )


def label_values(array: np.ndarray, what: str, shape: tuple[int, int] | None) -> np.ndarray:
    """Label values as they are kept.

    Parameters
    ----------
    array : np.ndarray
        (Y, X), or (Y, X, S) of equal channels.
    what : str
        For messages.
    shape : tuple of int, optional
        (Y, X) of the image; checked if given.

    Returns
    -------
    np.ndarray
        (Y, X) uint8.

    Raises
    ------
    LabelsError
        Of another size, in colour, or values that are no whole numbers of 0 to 255.
    """
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = array[..., :-1]  # alpha
    if array.ndim == 3 and array.shape[2] in (1, 3):
        if any(not np.array_equal(array[..., 0], array[..., k]) for k in range(1, array.shape[2])):
            raise LabelsError(
                f"{what} is a colour image",
                expected="a grey or palette image whose values are the classes 1, 2, ... (0 = unlabelled)",
                remedy="in ImageJ: Image > Type > 8-bit Color, or save the labels as grey values",
            )
        array = array[..., 0]
    if array.ndim != 2:
        raise LabelsError(f"{what} of shape {array.shape}", expected="(Y, X)", remedy="pass one label image")
    if shape is not None:
        check_size(array.shape, shape, what)
    if array.dtype.kind not in "buif":
        raise LabelsError(f"{what} of dtype {array.dtype}", expected="integers", remedy="save it as 8-bit")
    if array.size:
        low, high = array.min(), array.max()
        # NaN fails this comparison, too.
        if not (low >= 0 and high <= 255) or (array.dtype.kind == "f" and bool((array != np.floor(array)).any())):
            raise LabelsError(
                f"{what} has values from {low} to {high} ({array.dtype})",
                expected="whole numbers from 0 (unlabelled) to 255",
                remedy="save the labels as an 8-bit image with the values 0, 1, 2, ...",
            )
    return np.ascontiguousarray(array, dtype=np.uint8)
