"""Labels of a file: a label image, a ROI set of ImageJ, or an image with an overlay."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fijibridge.core.errors import LabelsError
from fijibridge.labels.labels import Labels, check_size, label_values, named_labels
from fijibridge.labels.roi_sets import labels_from_rois, overlay_of, read_rois

log = logging.getLogger(__name__)

_MOST = 32  # classes without names: more values than that are a grey image's
# Of a TIFF's pages: JPEG in its old and new form, and as cameras store it.
_LOSSY = (6, 7, 34892)


def read_labels(
    path: str | Path,
    *,
    shape: tuple[int, int],
    class_names: Sequence[str] | None = None,
    of_several: bool = False,
) -> Labels:
    """Read labels from a label image, or from an ImageJ ROI set.

    Parameters
    ----------
    path : str or Path
        An image (PNG, TIFF, ...) whose values are 0 = unlabelled, 1, 2, ...; palette images count by index. Or a
        ROI set (.zip), a single ROI (.roi), or a TIFF with an overlay, of ImageJ: see
        `fijibridge.labels.roi_sets.labels_from_rois`.
    shape : tuple of int
        (Y, X) of the image that the labels belong to.
    class_names : sequence of str, optional
        Name of the values 1, 2, ...; None for ``"class 1"``, ``"class 2"``, ..., or what the ROIs say.
    of_several : bool
        See `Labels`.

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
        Labels of another size, in colour, in several slices, stored as JPEG, with values outside 0..255 or without a
        name or with gaps, for fewer than two classes, or ROIs that do not say which class they are.
    """
    from fijibridge.images.image import count_slices, read_stored

    path = Path(path)
    if path.suffix.lower() in (".zip", ".roi"):
        return labels_from_rois(
            read_rois(path), shape, class_names=class_names, source=str(path), of_several=of_several
        )
    slices, overlay = count_slices(path), overlay_of(path)
    if slices > 1 and not overlay:
        raise LabelsError(
            f"{path} has {slices} slices",
            expected="one label image for one image",
            remedy="save the slice that was labelled on its own (Image > Stacks > ... > Make Substack)",
        )
    stored = read_stored(path)
    if slices == 1 and (stored.any() or not overlay):
        try:
            labels = label_image(stored, path, shape, class_names, of_several=of_several)
        except LabelsError as error:
            if not overlay:
                raise
            log.info("%s is no label image (%s): its overlay's ROIs are the labels", path, error.found)
        else:
            if overlay:
                log.warning("%s: its values are the labels, the %d ROIs of its overlay are not", path, len(overlay))
            return labels
    check_size(stored.shape[:2], shape, f"{path} with its overlay")
    return labels_from_rois(
        overlay, shape, class_names=class_names, source=f"the overlay of {path}", of_several=of_several
    )


def label_image(
    stored: np.ndarray, path: Path, shape: tuple[int, int], class_names: Sequence[str] | None,
    *, of_several: bool = False,
) -> Labels:  # fmt: skip
    """Labels of a file's values, where they are labels that a person drew.

    Parameters
    ----------
    stored : np.ndarray
        As `fijibridge.images.image.read_stored` gives them.
    path, shape, class_names
        As for `read_labels`.
    of_several : bool
        See `Labels`.

    Raises
    ------
    LabelsError
        As for `read_labels`.
    """
    if _is_jpeg(path):
        raise LabelsError(
            f"{path} is stored as JPEG, which changes the values of labels",
            expected="PNG or TIFF, which keep every value",
            remedy="save the labels anew as PNG or TIFF where they were drawn; from the JPEG they cannot be had back",
        )
    labels = label_values(stored, str(path), shape)
    if class_names is None and (count := np.count_nonzero(np.bincount(labels.ravel())[1:])) > _MOST:
        raise LabelsError(
            f"{path} has {count} different values: this looks like a grey image",
            expected=f"a label image: 0 = unlabelled, and 1, 2, ... for at most {_MOST} classes",
            remedy="give the image that was drawn on; or name all classes, if there are that many",
        )
    return named_labels(labels, class_names, of_several=of_several)


def _is_jpeg(path: Path) -> bool:
    """Whether an image that can be read is compressed with loss, so that labels in it are no longer what was drawn."""
    import tifffile

    with path.open("rb") as file:
        start = file.read(16)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        with tifffile.TiffFile(path) as tif:
            return int(tif.pages.first.compression) in _LOSSY
    return start.startswith(b"\xff\xd8") or (start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8 ")
