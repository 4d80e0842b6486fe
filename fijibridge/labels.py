"""Sparse labels: label images and ImageJ ROI sets, with the names of their classes."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fijibridge.errors import ImageNotFoundError, LabelsError
from fijibridge.roi_masks import roi_mask

if TYPE_CHECKING:
    import roifile

log = logging.getLogger(__name__)

# ImageJ names a ROI by its position ("0123-0456", with a slice "0001-0123-0456") where a person gives none.
_DEFAULT_NAME = re.compile(r"\d+(-\d+)*")
_NUMBER_AT_END = re.compile(r"[\s_\-]+\d+$")


@dataclass(frozen=True, eq=False)
class Labels:
    """Labelled pixels of one image.

    Parameters
    ----------
    data : np.ndarray
        (Y, X) uint8; 0 = unlabelled, k = ``class_names[k - 1]``.
    class_names : tuple of str
        Two or more different names.

    Raises
    ------
    LabelsError
        Not 2D uint8, fewer than two classes, a name twice, a value with no name, or a class with no labelled pixel.
    """

    data: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if self.data.ndim != 2 or self.data.dtype != np.uint8:
            raise LabelsError(
                f"labels of shape {self.data.shape} ({self.data.dtype})",
                expected="(Y, X) uint8",
                remedy="use labels_from_array, which checks and converts",
            )
        _check_names(self.class_names)
        numbers = np.bincount(self.data.ravel(), minlength=len(self.class_names) + 1)
        if len(numbers) > len(self.class_names) + 1:
            raise _no_name(len(numbers) - 1, self.class_names)
        if np.count_nonzero(numbers[1:]) < 2:
            used = [name for name, number in zip(self.class_names, numbers[1:], strict=True) if number]
            raise LabelsError(
                f"labels for {len(used)} class(es): {', '.join(used) or 'no pixel is labelled'}",
                expected="labelled pixels of at least two classes",
                remedy="label some pixels of each class that is to be told apart",
            )
        empty = [
            f"value {value} ({name})"
            for value, (name, number) in enumerate(zip(self.class_names, numbers[1:], strict=True), start=1)
            if not number
        ]
        if empty:
            raise LabelsError(
                f"no labelled pixel for {', '.join(empty)}",
                expected="at least one labelled pixel for each class",
                remedy="label it, or leave the class out and renumber the others from 1 without gaps",
            )

    @property
    def counts(self) -> dict[str, int]:
        """Labelled pixels of each class."""
        numbers = np.bincount(self.data.ravel(), minlength=len(self.class_names) + 1)
        return {name: int(number) for name, number in zip(self.class_names, numbers[1:], strict=True)}


def _check_names(names: Sequence[str]) -> None:
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise LabelsError(f"class names {list(names)!r}", expected="words", remedy="give each class a name")
    if len(names) > 255:
        raise LabelsError(f"{len(names)} classes", expected="at most 255", remedy="join some of the classes")
    folded = [name.casefold() for name in names]
    if len(set(folded)) < len(folded):
        raise LabelsError(
            f"class names {', '.join(names)}: one is there twice",
            expected="different names (upper and lower case are the same)",
            remedy="rename one of them",
        )


def _no_name(value: int, names: Sequence[str]) -> LabelsError:
    return LabelsError(
        f"label value {value} with {len(names)} class name(s): {', '.join(names)}",
        expected="a name for each label value (value 1 is the first name; 0 is unlabelled)",
        remedy="add the missing class names, or correct the labels",
    )


# --- label images ----------------------------------------------------------------------------------------------------


def read_labels(path: str | Path, *, shape: tuple[int, int], class_names: Sequence[str] | None = None) -> Labels:
    """Read labels from a label image, or from an ImageJ ROI set.

    Parameters
    ----------
    path : str or Path
        An image (PNG, TIFF, ...) whose values are 0 = unlabelled, 1, 2, ...; palette images count by index. Or a
        ROI set (.zip) or a single ROI (.roi) of ImageJ: see `labels_from_rois`.
    shape : tuple of int
        (Y, X) of the image that the labels belong to.
    class_names : sequence of str, optional
        Name of the values 1, 2, ...; None for ``"class 1"``, ``"class 2"``, ..., or what the ROIs say.

    Returns
    -------
    Labels

    Raises
    ------
    ImageNotFoundError
        No such file.
    ImageError
        The file cannot be read as an image.
    LabelsError
        Labels of another size, in colour, in several slices, with values outside 0..255 or without a name, for fewer
        than two classes, or ROIs that do not say which class they are.
    """
    path = Path(path)
    if path.suffix.lower() in (".zip", ".roi"):
        return labels_from_rois(read_rois(path), shape, class_names=class_names, source=str(path))
    from fijibridge.images import count_slices, read_stored

    slices = count_slices(path)
    if slices > 1:
        raise LabelsError(
            f"{path} has {slices} slices",
            expected="one label image for one image",
            remedy="save the slice that was labelled on its own (Image > Stacks > ... > Make Substack)",
        )
    return _labels(read_stored(path), str(path), shape, class_names)


def labels_from_array(
    array: Any, *, shape: tuple[int, int] | None = None, class_names: Sequence[str] | None = None
) -> Labels:
    """Make `Labels` of an array.

    Parameters
    ----------
    array : array_like
        (Y, X) integers, or floats that are whole numbers; 0 = unlabelled.
    shape : tuple of int, optional
        (Y, X) of the image that the labels belong to; checked if given.
    class_names : sequence of str, optional
        As for `read_labels`.

    Returns
    -------
    Labels

    Raises
    ------
    LabelsError
        As for `read_labels`.
    """
    return _labels(np.asarray(array), "label array", shape, class_names)


def _labels(array: np.ndarray, what: str, shape: tuple[int, int] | None, class_names: Sequence[str] | None) -> Labels:
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
    if shape is not None and array.shape != tuple(shape):
        raise LabelsError(
            f"{what} is {array.shape[1]} x {array.shape[0]} pixels, its image {shape[1]} x {shape[0]} (width x height)",
            expected="labels of the image's size",
            remedy="label the image itself, not a crop or a scaled copy; do not cut off the data bar of one alone",
        )
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
    data = np.ascontiguousarray(array, dtype=np.uint8)
    if class_names is None:
        class_names = [f"class {value}" for value in range(1, int(data.max(initial=0)) + 1)]
    return Labels(data, tuple(class_names))


# --- ROI sets --------------------------------------------------------------------------------------------------------


def read_rois(path: Path) -> list[roifile.ImagejRoi]:
    """The ROIs of a .zip or .roi file of ImageJ, one at least; one without a name has that of its file.

    Raises
    ------
    ImageNotFoundError
        No such file.
    LabelsError
        It cannot be read, or holds none.
    """
    import roifile

    if not path.exists():
        raise ImageNotFoundError(f"no file {path}", expected="a ROI set", remedy="check the path and its spelling")
    if path.is_dir():
        raise LabelsError(f"{path} is a folder", expected="a .zip or .roi file", remedy="save the ROI set as .zip")
    try:
        if path.suffix.lower() == ".roi":
            entries = [(path.name, path.read_bytes())]
        else:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.lower().endswith(".roi")]
                entries = [(name, archive.read(name)) for name in names]
        rois = []
        for name, content in entries:
            roi = roifile.ImagejRoi.frombytes(content)
            roi.name = roi.name or Path(name).stem
            rois.append(roi)
    except Exception as error:  # zipfile, zlib, struct and roifile each have their own
        raise LabelsError(
            f"{path} cannot be read as ImageJ ROIs ({error})",
            expected="a .zip or .roi file from ImageJ's ROI Manager (More >> Save...)",
            remedy="open it in ImageJ and save it again",
        ) from error
    if not rois:
        raise LabelsError(f"{path} holds no ROI", expected="a ROI set of ImageJ", remedy="save the set again")
    return rois


def labels_from_rois(
    rois: Sequence[roifile.ImagejRoi],
    shape: tuple[int, int],
    *,
    class_names: Sequence[str] | None = None,
    source: str = "ROI set",
) -> Labels:
    """Make `Labels` of ImageJ ROIs.

    The class of a ROI is its group if the ROIs have groups: group k is ``class_names[k - 1]``, or, without names, the
    groups in ascending order, each called as all of its ROIs are, else ``"group 1"``, ... Else the class is the ROI's
    name without a number at the end: "pore-1", "pore 2" and "Pore_003" are all "pore"; without `class_names` the
    classes are in the order of their first ROI.

    Parameters
    ----------
    rois : sequence of roifile.ImagejRoi
        In the order of the set.
    shape : tuple of int
        (Y, X) of the image.
    class_names : sequence of str, optional
        Order and names of the classes.
    source : str
        For messages.

    Returns
    -------
    Labels
        A pixel in ROIs of two classes is left unlabelled, and a warning is logged.

    Raises
    ------
    LabelsError
        ROIs of which some have a group and some not, without a class, on different slices, outside the image, or of a
        kind that has no pixels; and what `Labels` refuses.
    """
    _check_one_slice(rois, source)
    if class_names is not None:
        _check_names(class_names)
    of_roi, names = _classes_of_rois(rois, class_names, source)
    return Labels(rasterise_rois(zip(rois, of_roi, strict=True), shape), tuple(names))


def rasterise_rois(rois: Iterable[tuple[roifile.ImagejRoi, int]], shape: tuple[int, int]) -> np.ndarray:
    """Draw ROIs as label values.

    Parameters
    ----------
    rois : iterable of (roifile.ImagejRoi, int)
        ROIs and their values, 1 to 255.
    shape : tuple of int
        (Y, X) of the image.

    Returns
    -------
    np.ndarray
        (Y, X) uint8. A pixel with two different values is 0, and a warning is logged.

    Raises
    ------
    LabelsError
        A ROI that reaches outside the image, or of a kind that has no pixels.
    """
    data = np.zeros(shape, np.uint8)
    conflict = np.zeros(shape, bool)
    for roi, value in rois:
        mask, (top, left) = roi_mask(roi)
        rows, columns = mask.shape
        if top < 0 or left < 0 or top + rows > shape[0] or left + columns > shape[1]:
            raise LabelsError(
                f"ROI {roi.name!r} covers x {left} to {left + columns - 1}, y {top} to {top + rows - 1}, "
                f"the image is {shape[1]} x {shape[0]} pixels (width x height)",
                expected="ROIs inside the image",
                remedy="draw it on this image, or clip it in ImageJ: Edit > Selection > Select All, then AND in the "
                "ROI Manager",
            )
        part = (slice(top, top + rows), slice(left, left + columns))
        conflict[part] |= mask & (data[part] != 0) & (data[part] != value)
        data[part][mask] = value
    if conflict.any():
        log.warning("%d pixels lie in ROIs of two classes: they are left unlabelled", np.count_nonzero(conflict))
        data[conflict] = 0
    return data


def _check_one_slice(rois: Sequence[roifile.ImagejRoi], source: str) -> None:
    # A ROI holds either a position in the stack, or one along each axis of a hyperstack.
    places = {(roi.position, roi.z_position, roi.t_position) for roi in rois}
    drawn = sorted(max(place) for place in places if any(place))
    if len(places - {(0, 0, 0)}) > 1:
        raise LabelsError(
            f"{source} has ROIs on the slices {', '.join(str(place) for place in drawn)}",
            expected="ROIs of one slice",
            remedy="save the ROIs of each slice as a set of its own, or remove their positions in the ROI Manager "
            "(More >> Remove Positions...)",
        )


def _classes_of_rois(
    rois: Sequence[roifile.ImagejRoi], class_names: Sequence[str] | None, source: str
) -> tuple[list[int], list[str]]:
    """Value of each ROI, and the names."""
    grouped = [roi.group > 0 for roi in rois]
    if any(grouped) and not all(grouped):
        missing = [roi.name for roi, has in zip(rois, grouped, strict=True) if not has]
        raise LabelsError(
            f"{source}: some ROIs have a group, {len(missing)} have none ({', '.join(missing[:5])})",
            expected="a group for every ROI, or for none (then their names count)",
            remedy="set the missing groups in ROI Manager > Properties..., or set all groups to 0",
        )
    if any(grouped):
        groups = [roi.group for roi in rois]
        if class_names is not None:
            if max(groups) > len(class_names):
                raise _no_name(max(groups), class_names)
            return groups, list(class_names)
        order = sorted(set(groups))
        return [order.index(group) + 1 for group in groups], _names_of_groups(rois, order, source)

    if class_names is not None:
        return [_class_by_name(roi.name, class_names, source) for roi in rois], list(class_names)
    names: list[str] = []
    values: dict[str, int] = {}
    of_roi = []
    for roi in rois:
        name = _shorter_names(roi.name, source)[-1]
        if name.casefold() not in values:
            names.append(name)
            values[name.casefold()] = len(names)
        of_roi.append(values[name.casefold()])
    if len(names) > 255:
        raise LabelsError(
            f"{source} has {len(names)} classes: {', '.join(names[:5])}, ...",
            expected="at most 255, and ROIs named by their class, like 'pore-1'",
            remedy="use the same name for all ROIs of a class",
        )
    return of_roi, names


def _names_of_groups(rois: Sequence[roifile.ImagejRoi], order: Sequence[int], source: str) -> list[str]:
    """The name that the ROIs of a group share, but for numbers at the end; ``"group k"`` where they share none."""
    names = []
    for group in order:
        try:
            own = {_shorter_names(roi.name, source)[-1] for roi in rois if roi.group == group}
        except LabelsError:  # ImageJ's default names
            own = set()
        names.append(own.pop() if len(own) == 1 else f"group {group}")
    folded = [name.casefold() for name in names]
    return names if len(set(folded)) == len(folded) else [f"group {group}" for group in order]


def _class_by_name(name: str, class_names: Sequence[str], source: str) -> int:
    folded = [class_name.casefold() for class_name in class_names]
    candidates = _shorter_names(name, source)
    # The longest first, so that "phase-1" and "phase-2" can be classes of their own when they are asked for.
    for candidate in candidates:
        if candidate.casefold() in folded:
            return folded.index(candidate.casefold()) + 1
    raise LabelsError(
        f"{source}: ROI {name!r} is of class {candidates[-1]!r}, which is not among the class names",
        expected=f"one of {', '.join(class_names)}",
        remedy="rename the ROI, or add the class name",
    )


def _shorter_names(name: str, source: str) -> list[str]:
    """Name, and name without one number after the other at its end: "pore-1-2", "pore-1", "pore"."""
    found = [name.strip()]
    while (shorter := _NUMBER_AT_END.sub("", found[-1])) != found[-1]:
        found.append(shorter)
    if not found[-1] or _DEFAULT_NAME.fullmatch(found[-1]):
        raise LabelsError(
            f"{source}: ROI {name!r} has neither a group nor a name of its own",
            expected="ROIs with a group, or named by their class, like 'pore-1'",
            remedy="set Group in ROI Manager > Properties..., or rename it (Rename...)",
        )
    return found
