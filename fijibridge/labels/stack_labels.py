"""Labels on slices of a stack: of a ROI set whose ROIs say their slice, or of a stack of label images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.core.errors import LabelsError
from fijibridge.core.names import listed
from fijibridge.labels.labels import Labels, check_labelled
from fijibridge.labels.reading import label_image
from fijibridge.labels.roi_sets import classes_of_rois, overlay_of, rasterise_rois, read_rois

if TYPE_CHECKING:
    import roifile

_SPARSE = "ROIs of which each says its slice, or a label image for each slice (0 where nothing is labelled)"


def read_stack_labels(
    path: str | Path, *, shape: tuple[int, int, int], frames: int = 1, class_names: Sequence[str] | None = None,
    of_several: bool = False,
) -> dict[int, Labels]:  # fmt: skip
    """Read the labels of a stack, which may lie on some of its slices alone.

    Parameters
    ----------
    path : str or Path
        A ROI set of ImageJ (.zip, .roi) or a TIFF with an overlay, whose ROIs have a position in the stack; or a stack
        of label images, one for each slice.
    shape : tuple of int
        (Z, Y, X) of the stack.
    frames : int
        Points in time among its slices, which come frame by frame.
    class_names : sequence of str, optional
        As for `fijibridge.labels.reading.read_labels`.
    of_several : bool
        Whether other stacks' and images' labels train, too, so that classes may be missing on all slices.

    Returns
    -------
    dict of int to Labels
        Labelled slices, from 0, in order. All have the same class names; not each has all classes.

    Raises
    ------
    ImageNotFoundError, ImageError, LabelsError
        As for `fijibridge.labels.reading.read_labels`; or labels that do not say their slice, or name one that the
        stack does not have.
    """
    from fijibridge.images.image import count_slices

    path = Path(path)
    if path.suffix.lower() in (".zip", ".roi"):
        rois, slices = read_rois(path), 0
    else:
        rois, slices = [], count_slices(path)
    if rois:
        found = _of_rois(rois, shape, frames, class_names, str(path))
    elif overlay := overlay_of(path):  # on the stack itself, or on one slice of it
        found = _of_rois(overlay, shape, frames, class_names, f"the overlay of {path}")
    elif slices > 1:
        found = _of_images(path, shape, class_names)
    else:
        raise LabelsError(
            f"{path} is one label image, and the image a stack of {shape[0]} slices",
            expected=_SPARSE,
            remedy="draw ROIs on the stack itself and save them from the ROI Manager, or make the label image a stack",
        )
    names = next(iter(found.values())).class_names
    if of_several:
        return found
    check_labelled([sum(one.counts[name] for one in found.values()) for name in names], names)
    return found


def _of_rois(
    rois: Sequence[roifile.ImagejRoi], shape: tuple[int, int, int], frames: int, class_names: Sequence[str] | None,
    source: str,
) -> dict[int, Labels]:  # fmt: skip
    drawn, values, names = classes_of_rois(rois, class_names, source)
    of_slice: dict[int, list[tuple[roifile.ImagejRoi, int]]] = {}
    for roi, value in zip(drawn, values, strict=True):
        of_slice.setdefault(_slice_of(roi, shape[0], frames, source), []).append((roi, value))
    return {
        place: Labels(rasterise_rois(of_slice[place], shape[1:]), tuple(names), of_several=True)
        for place in sorted(of_slice)
    }


def _slice_of(roi: roifile.ImagejRoi, count: int, frames: int, source: str) -> int:
    """The slice of a ROI, from 0. ImageJ gives a ROI a position in the stack, or along each axis of a hyperstack."""
    points = {int(place) for place in roi.counter_positions} - {0} if roi.counter_positions is not None else set()
    if len(points) > 1:
        raise LabelsError(
            f"{source}: the points of ROI {roi.name!r} lie on the slices {listed(sorted(points))}",
            expected="ROIs that lie on one slice each",
            remedy="make a ROI of points for each slice",
        )
    depth = count // frames
    if roi.z_position or roi.t_position:
        place = (max(roi.t_position, 1) - 1) * depth + max(roi.z_position, 1)
    else:
        place = next(iter(points), roi.position)
    if place == 0:
        raise LabelsError(
            f"{source}: ROI {roi.name!r} does not say on which of the {count} slices it lies",
            expected="a position for each ROI",
            remedy="in the ROI Manager: Properties..., Position; or draw it again with the slice shown",
        )
    if place > count:
        raise LabelsError(
            f"{source}: ROI {roi.name!r} lies on slice {place}",
            expected=f"slices 1 to {count}, which the stack has",
            remedy="see that ROIs and stack belong together",
        )
    return place - 1


def _of_images(path: Path, shape: tuple[int, int, int], class_names: Sequence[str] | None) -> dict[int, Labels]:
    from fijibridge.images.image import count_slices, read_stored

    if (count := count_slices(path)) != shape[0]:
        raise LabelsError(
            f"{path} has {count} slices, the image {shape[0]}",
            expected="a label image for each slice of the image (0 where nothing is labelled)",
            remedy="see that labels and stack belong together",
        )
    found: dict[int, Labels] = {}
    for index in range(count):
        one = label_image(read_stored(path, index=index), path, shape[1:], class_names, of_several=True)
        if one.data.any():
            found[index] = one
    if not found:
        raise LabelsError(f"no pixel of {path} is labelled", expected=_SPARSE, remedy="label some pixels of each class")
    names = max((one.class_names for one in found.values()), key=len)
    return {index: replace(one, class_names=names) for index, one in found.items()}
