"""Labelled images as a network's training sees them, and those that a user has in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fijibridge.core.errors import ImageError, LabelsError

_LOOKED_AT = 256  # images in which the classes are counted


class LabelledImages(Protocol):
    """What a training needs of its data."""

    @property
    def detectors(self) -> tuple[str, ...]:
        """Of all images."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the labels 1, 2, ..."""

    @property
    def pixel_sizes(self) -> tuple[float, float] | None:
        """Smallest and largest pixel, in micrometres."""

    @property
    def reference(self) -> str:
        """The detector that the labels lie on; the others may be displaced."""

    def __len__(self) -> int: ...

    def place(self, index: int, offset: int) -> int:
        """Offset of the slice that is taken for another slice of an image's stack.

        Parameters
        ----------
        index : int
            Of the image.
        offset : int
            Slices from it, either sign.

        Returns
        -------
        int
            ``offset``, or nearer to 0 where the stack ends before: 0 of a single image.
        """

    def grey(self, index: int, detector: str, offset: int = 0) -> np.ndarray | None:
        """A detector's image.

        Parameters
        ----------
        index : int
            Of the image.
        detector : str
            One of ``detectors``.
        offset : int
            Of a slice of the image's stack, by `place`.

        Returns
        -------
        np.ndarray or None
            (Y, X) of any real dtype; None where this image lacks the detector.
        """

    def labels(self, index: int) -> np.ndarray:
        """(Y, X) uint8."""

    def shape(self, index: int) -> tuple[int, int]:
        """Height and width."""

    def name(self, index: int) -> str:
        """For messages."""


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Labelled images in memory.

    Parameters
    ----------
    images : sequence of mapping
        Detector -> (Y, X), or (S, Y, X): S slices of a stack, an odd number, of which the middle one is labelled. An
        image may lack detectors.
    label_images : sequence of np.ndarray
        (Y, X) uint8, 0 where unknown.
    class_names, detectors : tuple of str
        Of the labels 1, 2, ...; of all images.
    pixel_sizes : (float, float), optional
        Smallest and largest pixel, in micrometres.

    Raises
    ------
    ImageError
        Sizes that differ, no detector, an unknown one.
    LabelsError
        A value with no name, or no label at all.
    """

    images: Sequence[Mapping[str, np.ndarray]]
    label_images: Sequence[np.ndarray]
    class_names: tuple[str, ...]
    detectors: tuple[str, ...]
    pixel_sizes: tuple[float, float] | None = None
    reference: str = ""

    def __post_init__(self) -> None:
        if not self.reference:
            object.__setattr__(self, "reference", default_reference(self.detectors))
        if len(self.images) != len(self.label_images) or not self.images:
            raise LabelsError(
                f"{len(self.images)} images and {len(self.label_images)} label images",
                expected="a label image for each image",
                remedy="give as many of both",
            )
        for index, (image, labels) in enumerate(zip(self.images, self.label_images, strict=True)):
            check_detectors(image, self.detectors, f"image {index}")
            shapes = {name: np.shape(plane) for name, plane in image.items() if plane is not None}
            first = next(iter(shapes.values()))
            if set(shapes.values()) != {first} or first[-2:] != labels.shape or (len(first) == 3 and first[0] % 2 == 0):
                raise ImageError(
                    f"image {index} of {shapes} px, its labels of {labels.shape} px",
                    expected="one size",
                    remedy="register the detectors, and label an image of that size",
                )
            if labels.dtype.kind not in "ui" or labels.min() < 0 or labels.max() > len(self.class_names):
                raise LabelsError(
                    f"labels {labels.min()} to {labels.max()} ({labels.dtype}) in image {index}",
                    expected=f"0 (unknown) to {len(self.class_names)}: {', '.join(self.class_names)}",
                    remedy="give the names of all classes",
                )
            if not labels.any():
                raise LabelsError(
                    f"no label in image {index}", expected="some labelled pixels", remedy="label some, or leave it out"
                )

    def __len__(self) -> int:
        return len(self.images)

    def place(self, index: int, offset: int) -> int:
        """See :class:`LabelledImages`."""
        plane = next(plane for plane in self.images[index].values() if plane is not None)
        half = len(plane) // 2 if plane.ndim == 3 else 0
        return max(-half, min(half, offset))

    def grey(self, index: int, detector: str, offset: int = 0) -> np.ndarray | None:
        """See :class:`LabelledImages`."""
        plane = self.images[index].get(detector)
        if plane is None or plane.ndim == 2:
            return plane
        return plane[len(plane) // 2 + offset]

    def labels(self, index: int) -> np.ndarray:
        """(Y, X)."""
        return self.label_images[index]

    def shape(self, index: int) -> tuple[int, int]:
        """Height and width."""
        return self.label_images[index].shape

    def name(self, index: int) -> str:
        """For messages."""
        return f"image {index}"


def default_reference(detectors: Sequence[str]) -> str:
    """BSE where it is there, since it shows the composition; else the first."""
    return "BSE" if "BSE" in detectors else detectors[0]


def check_detectors(image: Mapping[str, Any], detectors: Sequence[str], what: str) -> list[str]:
    """The names of the detectors that an image has, in the order of ``detectors``.

    Parameters
    ----------
    image : mapping
        By detector; None where it lacks one.
    detectors : sequence of str
        All that it may have.
    what : str
        The image's name in messages.

    Returns
    -------
    list of str

    Raises
    ------
    ImageError
        None of them, or one with another name.
    """
    unknown = [name for name in image if name not in detectors]
    there = [name for name in detectors if image.get(name) is not None]
    if unknown or not there:
        raise ImageError(
            f"{what} has {', '.join(map(str, unknown)) or 'no detector'}",
            expected=f"at least one of {', '.join(detectors)}, and no others",
            remedy="name the images by those detectors",
        )
    return there


def offsets_of(slices: int) -> range:
    """Offsets of the slices that a network sees from the one that it segments.

    Parameters
    ----------
    slices : int
        How many, an odd number.
    """
    return range(-(slices // 2), slices // 2 + 1)


def surrounded(data: LabelledImages, index: int, detector: str, slices: int) -> np.ndarray | None:
    """A detector's image with its neighbours in the stack; the nearest slice in place of one that is missing.

    Parameters
    ----------
    data : LabelledImages
        Where it is.
    index : int
        Of the image.
    detector : str
        One of the data's.
    slices : int
        How many, an odd number.

    Returns
    -------
    np.ndarray or None
        (Y, X) of one slice, (S, Y, X) of more; None where the image lacks the detector.
    """
    if slices == 1:
        plane = data.grey(index, detector)
        return None if plane is None else np.asarray(plane)
    planes = [data.grey(index, detector, data.place(index, offset)) for offset in offsets_of(slices)]
    return None if any(plane is None for plane in planes) else np.stack([np.asarray(plane) for plane in planes])


def spread(indices: np.ndarray, count: int) -> np.ndarray:
    """At most so many of the indices, evenly spread.

    Parameters
    ----------
    indices : np.ndarray
        (N,).
    count : int
        At least 1.

    Returns
    -------
    np.ndarray
        (min(N, count),).
    """
    return indices[np.unique(np.linspace(0, len(indices) - 1, min(len(indices), count)).astype(int))]


def class_counts(data: LabelledImages, indices: np.ndarray) -> np.ndarray:
    """Pixels of each label value in up to 256 of the images, evenly spread.

    Parameters
    ----------
    data : LabelledImages
        Where they are.
    indices : np.ndarray
        (N,) which images.

    Returns
    -------
    np.ndarray
        (classes + 1,) int64; the first for unlabelled pixels.

    Raises
    ------
    LabelsError
        A value without a name.
    """
    found = np.zeros(len(data.class_names) + 1, np.int64)
    for index in spread(indices, _LOOKED_AT):
        counts = np.bincount(np.asarray(data.labels(int(index))).ravel(), minlength=len(found))
        if len(counts) > len(found):
            raise LabelsError(
                f"label {len(counts) - 1} in {data.name(int(index))}",
                expected=f"0 to {len(data.class_names)}: {', '.join(data.class_names)}",
                remedy="name all classes",
            )
        found += counts
    return found
