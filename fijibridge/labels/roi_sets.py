"""ImageJ's ROI sets: read from files as untrusted input, their classes by group or name, their pixels."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from fijibridge.core.errors import ImageNotFoundError, LabelsError
from fijibridge.core.names import check_names, listed
from fijibridge.labels.labels import Labels, check_class_names, no_name
from fijibridge.labels.roi_masks import not_drawn, roi_mask

if TYPE_CHECKING:
    import roifile

log = logging.getLogger(__name__)

# ImageJ names a ROI by its position ("0123-0456", with a slice "0001-0123-0456") where a person gives none.
_DEFAULT_NAME = re.compile(r"\d+(-\d+)*")
# What ImageJ appends to the name of a ROI that is there already: "pore", "pore-1", "pore-2". Programs begin with 0.
_DUPLICATE = re.compile(r"-(0|[1-9]\d{0,2})$")
_USUAL = 99  # duplicates are numbered from 1: "NMC-811" is the name of a material, where there are fewer ROIs than that
_NUMBER_AT_END = re.compile(r"[\s_\-]+\d+$")
_ANNOTATION = "|"  # ImageJ's scale bar is a ROI named "|SB|"
SUGGESTED = "label next "  # how the places are called that `fijibridge.segmentation.suggestions` writes
_LARGEST = 2**26  # bytes of a file, and of all that is in it
_MOST = 65535  # ROIs


def read_rois(path: Path) -> list[roifile.ImagejRoi]:
    """The ROIs of a .zip or .roi file of ImageJ, one at least; one without a name has that of its file.

    Raises
    ------
    ImageNotFoundError
        No such file.
    LabelsError
        It cannot be read, is too large, or holds none; or a name that is none.
    """
    import roifile

    if not path.exists():
        raise ImageNotFoundError(f"no file {path}", expected="a ROI set", remedy="check the path and its spelling")
    if not path.is_file():
        raise LabelsError(
            f"{path} is a folder" if path.is_dir() else f"{path} is no file but a device or a pipe",
            expected="a .zip or .roi file",
            remedy="save the ROI set as .zip",
        )
    rois = []
    try:
        for name, content in _contents(path):
            rois.append(roi := roifile.ImagejRoi.frombytes(content))
            roi.name = (roi.name or PurePosixPath(name).stem).strip()
    except LabelsError:
        raise
    except Exception as error:  # zipfile, zlib, struct and roifile each have their own
        raise LabelsError(
            f"{path} cannot be read as ImageJ ROIs ({str(error)[:200]})",
            expected="a .zip or .roi file from ImageJ's ROI Manager (More >> Save...)",
            remedy="open it in ImageJ and save it again",
        ) from error
    if not rois:
        raise LabelsError(f"{path} holds no ROI", expected="a ROI set of ImageJ", remedy="save the set again")
    check_names([roi.name for roi in rois if roi.name], "ROI", where=path)
    return rois


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each ROI in a file, which is no larger than it may be, unpacked too."""

    def check(size: int, what: str) -> None:
        if size > _LARGEST:
            raise LabelsError(
                f"{path} has {size} bytes{what}",
                expected=f"ROIs of {_LARGEST // 2**20} MB at most",
                remedy="save fewer ROIs, or make a label image of them",
            )

    check(path.stat().st_size, "")
    if path.suffix.lower() == ".roi":
        yield path.name, path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        # macOS puts a companion beside each file: __MACOSX/._pore.roi
        entries = [
            entry
            for entry in archive.infolist()
            if entry.filename.lower().endswith(".roi") and not PurePosixPath(entry.filename).name.startswith("._")
        ]
        check(sum(entry.file_size for entry in entries), " when unpacked")
        if len(entries) > _MOST:
            raise LabelsError(f"{path} holds {len(entries)} ROIs", expected=f"{_MOST} at most", remedy="save fewer")
        for entry in entries:
            yield entry.filename, archive.read(entry)  # no more than the size that it names


def overlay_of(path: Path) -> list[roifile.ImagejRoi]:
    """The ROIs that lie as an overlay on an image of ImageJ's, without its scale bar; none in a file without.

    Parameters
    ----------
    path : Path
        A file that can be read as an image.

    Raises
    ------
    LabelsError
        An overlay that cannot be read.
    """
    import roifile
    import tifffile

    with path.open("rb") as file:
        if file.read(2) not in (b"II", b"MM"):
            return []
    try:
        with tifffile.TiffFile(path) as tif:
            found = (tif.imagej_metadata or {}).get("Overlays") or []
        rois = [roifile.ImagejRoi.frombytes(content) for content in ([found] if isinstance(found, bytes) else found)]
    except Exception as error:  # tifffile, struct and roifile each have their own
        raise LabelsError(
            f"the overlay of {path} cannot be read ({str(error)[:200]})",
            expected="ROIs of ImageJ",
            remedy="save the image again in ImageJ, or its ROIs as a set (To ROI Manager, More >> Save...)",
        ) from error
    rois = [roi for roi in rois if not roi.name.startswith(_ANNOTATION) and not not_drawn(roi)]
    check_names([roi.name for roi in rois if roi.name], "ROI", where=path)
    return rois


def labels_from_rois(
    rois: Sequence[roifile.ImagejRoi],
    shape: tuple[int, int],
    *,
    class_names: Sequence[str] | None = None,
    source: str = "ROI set",
    of_several: bool = False,
) -> Labels:
    """Make `Labels` of ImageJ ROIs.

    The class of a ROI is its group if the ROIs have groups: group k is ``class_names[k - 1]``, or, without names, the
    groups in ascending order, each called as all of its ROIs are, else ``"group 1"``, ... Else the class is the ROI's
    name, without the number that ImageJ appends to a name that is there already: "pore", "pore-1" and "Pore-2" are all
    "pore", and "NMC 811", "class 2" and "NMC-622" are names of their own; without `class_names` the classes are in the
    order of their first ROI.

    Parameters
    ----------
    rois : sequence of roifile.ImagejRoi
        In the order of the set. Text, images and angles are left out, with a warning.
    shape : tuple of int
        (Y, X) of the image. ROIs are clipped at its edges.
    class_names : sequence of str, optional
        Order and names of the classes.
    source : str
        For messages.
    of_several : bool
        See `Labels`.

    Returns
    -------
    Labels
        A pixel in ROIs of two classes is left unlabelled, and a warning is logged.

    Raises
    ------
    LabelsError
        ROIs of which some have a group and some not, without a class, on different slices or far outside the image;
        and what `Labels` refuses.
    """
    drawn, of_roi, names = classes_of_rois(rois, class_names, source)
    _check_one_slice(drawn, source)
    return Labels(rasterise_rois(zip(drawn, of_roi, strict=True), shape), tuple(names), of_several)


def classes_of_rois(
    rois: Sequence[roifile.ImagejRoi], class_names: Sequence[str] | None, source: str
) -> tuple[list[roifile.ImagejRoi], list[int], list[str]]:
    """The ROIs that cover pixels, the value of each, and the names of the classes.

    Parameters
    ----------
    rois, class_names, source
        As for :func:`labels_from_rois`.

    Raises
    ------
    LabelsError
        As for :func:`labels_from_rois`.
    """
    check_names([roi.name for roi in rois if roi.name], "ROI", where=source)
    if suggested := [roi.name for roi in rois if roi.name.startswith(SUGGESTED)]:
        log.warning("%s: %s are places to label next, no labels: they are left out", source, listed(suggested))
        rois = [roi for roi in rois if not roi.name.startswith(SUGGESTED)]
    drawn = [roi for roi in rois if not not_drawn(roi)]
    if other := [f"{roi.name!r} ({not_drawn(roi)})" for roi in rois if not_drawn(roi)]:
        log.warning("%s: %s cover no pixels of a class and are left out", source, listed(other))
    if not drawn:
        raise LabelsError(
            f"{source} has no ROI that covers pixels", expected="areas, lines or points", remedy="draw the classes"
        )
    if class_names is not None:
        check_class_names(class_names)
    return drawn, *_classes_of_rois(drawn, class_names, source)


def rasterise_rois(rois: Iterable[tuple[roifile.ImagejRoi, int]], shape: tuple[int, int]) -> np.ndarray:
    """Draw ROIs as label values.

    Parameters
    ----------
    rois : iterable of (roifile.ImagejRoi, int)
        ROIs and their values, 1 to 255.
    shape : tuple of int
        (Y, X) of the image; what lies outside is cut off, and a warning names ROIs that have no pixel inside.

    Returns
    -------
    np.ndarray
        (Y, X) uint8. A pixel with two different values is 0, and a warning is logged.

    Raises
    ------
    LabelsError
        A ROI that lies far outside the image, or of a kind that has no pixels.
    """
    data = np.zeros(shape, np.uint8)
    conflict = np.zeros(shape, bool)
    outside = []
    for roi, value in rois:
        mask, (top, left) = roi_mask(roi, shape)
        if not mask.size:
            outside.append(repr(roi.name))
        part = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        conflict[part] |= mask & (data[part] != 0) & (data[part] != value)
        data[part][mask] = value
    if outside:
        log.warning(
            "no pixel of the image (%d x %d) lies in the ROIs %s: they label nothing", *shape[::-1], listed(outside)
        )
    if conflict.any():
        log.warning("%d pixels lie in ROIs of two classes: they are left unlabelled", np.count_nonzero(conflict))
        data[conflict] = 0
    return data


def _check_one_slice(rois: Sequence[roifile.ImagejRoi], source: str) -> None:
    # A ROI holds either a position in the stack, or one along each axis of a hyperstack; points one each.
    places = {(roi.position, roi.z_position, roi.t_position) for roi in rois} - {(0, 0, 0)}
    points = {int(place) for roi in rois if roi.counter_positions is not None for place in roi.counter_positions} - {0}
    drawn = sorted({max(place) for place in places} | points)
    if len(places) > 1 or len(points) > 1:
        raise LabelsError(
            f"{source} has ROIs on the slices {listed(drawn)}: it belongs to a volume",
            expected="ROIs of one slice",
            remedy="save the ROIs of each slice as a set of its own, or remove their positions in the ROI Manager "
            "(More >> Remove Positions...)",
        )
    if drawn and drawn[0] > 1:
        log.warning("%s was drawn on slice %d of a stack: see that this is the image it belongs to", source, drawn[0])


def _classes_of_rois(
    rois: Sequence[roifile.ImagejRoi], class_names: Sequence[str] | None, source: str
) -> tuple[list[int], list[str]]:
    """Value of each ROI, and the names."""
    grouped = [roi.group > 0 for roi in rois]
    if any(grouped) and not all(grouped):
        missing = [roi.name for roi, has in zip(rois, grouped, strict=True) if not has]
        raise LabelsError(
            f"{source}: some ROIs have a group, {len(missing)} have none ({listed(missing)})",
            expected="a group for every ROI, or for none (then their names count)",
            remedy="set the missing groups in ROI Manager > Properties..., or set all groups to 0",
        )
    if any(grouped):
        groups = [roi.group for roi in rois]
        if class_names is not None:
            if max(groups) > len(class_names):
                raise no_name(max(groups), class_names)
            return groups, list(class_names)
        order = sorted(set(groups))
        return [order.index(group) + 1 for group in groups], _names_of_groups(rois, order, source)

    if class_names is not None:
        return [_class_by_name(roi.name, class_names, len(rois), source) for roi in rois], list(class_names)
    given = [_shorter_names(roi.name, len(rois), source) for roi in rois]
    first: dict[str, str] = {}
    for names in given:
        first.setdefault(names[-1].casefold(), names[-1])
    _tell_merged(given, first)
    order_of = list(first)
    if len(order_of) > 255:
        raise LabelsError(
            f"{source} has {len(order_of)} classes: {listed(first.values())}",
            expected="at most 255, and ROIs named by their class, like 'pore'",
            remedy="use the same name for all ROIs of a class",
        )
    return [order_of.index(names[-1].casefold()) + 1 for names in given], list(first.values())


def _tell_merged(given: Sequence[Sequence[str]], first: dict[str, str]) -> None:
    """Say which names were taken for one, where that is not plain, and which were not."""
    whole = {names[0].casefold(): names[0] for names in given}
    for key, name in first.items():
        merged = sorted({names[0] for names in given if names[-1].casefold() == key})
        if len(merged) > 1 and key not in whole:
            log.warning("the ROIs %s are taken as one class, %r; name the classes to keep them apart",
                        listed(merged), name)  # fmt: skip
    alike: dict[str, list[str]] = {}
    for key, name in first.items():
        alike.setdefault(_NUMBER_AT_END.sub("", key), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            log.info("the ROIs %s are classes of their own; use one name for what is one class", listed(names))


def _names_of_groups(rois: Sequence[roifile.ImagejRoi], order: Sequence[int], source: str) -> list[str]:
    """The name that the ROIs of a group share, but for ImageJ's numbers; ``"group k"`` where they share none."""
    names = []
    for group in order:
        try:
            own: dict[str, str] = {}
            for roi in rois:
                if roi.group == group:
                    name = _shorter_names(roi.name, len(rois), source)[-1]
                    own.setdefault(name.casefold(), name)
        except LabelsError:  # ImageJ's default names
            own = {}
        names.append(next(iter(own.values())) if len(own) == 1 else f"group {group}")
    folded = [name.casefold() for name in names]
    return names if len(set(folded)) == len(folded) else [f"group {group}" for group in order]


def _class_by_name(name: str, class_names: Sequence[str], count: int, source: str) -> int:
    folded = [class_name.casefold() for class_name in class_names]
    candidates = _shorter_names(name, count, source)
    # The longest first, so that "phase-1" and "phase-2" can be classes of their own when they are asked for. Where the
    # classes are known, any number at the end is one of a ROI.
    while (shorter := _NUMBER_AT_END.sub("", candidates[-1])) != candidates[-1]:
        candidates.append(shorter)
    for candidate in candidates:
        if candidate.casefold() in folded:
            return folded.index(candidate.casefold()) + 1
    raise LabelsError(
        f"{source}: ROI {name!r} is of class {candidates[-1]!r}, which is not among the class names",
        expected=f"one of {listed(class_names)}",
        remedy="rename the ROI, or add the class name",
    )


def _shorter_names(name: str, count: int, source: str) -> list[str]:
    """Name, and name without one number of ImageJ's after the other: "pore-1-2", "pore-1", "pore"."""
    found = [name.strip()]
    if not _DEFAULT_NAME.fullmatch(found[0]):
        while (end := _DUPLICATE.search(found[-1])) and int(end[1]) <= max(count, _USUAL):
            found.append(found[-1][: end.start()].strip())
    if not found[-1] or _DEFAULT_NAME.fullmatch(found[-1]):
        raise LabelsError(
            f"{source}: ROI {name!r} has neither a group nor a name of its own",
            expected="ROIs with a group, or named by their class, like 'pore'",
            remedy="set Group in ROI Manager > Properties..., or rename it (Rename...)",
        )
    return found
