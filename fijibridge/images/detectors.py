"""Images of one field by several detectors, joined into one image with named channels."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.errors import ImageError, SettingsError

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.images.image import Channel, Image

log = logging.getLogger(__name__)

# A displacement of more than this share of the image's shorter side is no small misalignment.
LARGEST_SHIFT = 1 / 16
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_NEXT = re.compile(r",\s*(?=[^,=]*=)")  # the comma before the next NAME=FILE; a file's name may hold commas


def check_names(names: Sequence[str]) -> None:
    """Check that names of detectors are valid and different, also within names of features.

    Raises
    ------
    SettingsError
        Other signs than letters, digits, ``-`` and ``_``, or a name given twice.
    """
    seen = set()
    for name in names:
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"a detector named {name!r}",
                expected="a letter, then letters, digits, - or _, 32 at most",
                remedy="name it such as SE, BSE, In-lens or EDX-S",
            )
        key = name.replace("-", "_").casefold()
        if key in seen:
            raise SettingsError(
                f"the detector {name} twice, among {', '.join(names)}",
                expected="a name of its own for each image",
                remedy="rename one; the first image's name is that of the option detector",
            )
        seen.add(key)


def parse_detectors(text: str) -> dict[str, Path]:
    """Files of other detectors as they are written: ``SE=SE.tif, EDX-S=S.tif``.

    Parameters
    ----------
    text : str
        NAME=FILE, with commas between; empty for none.

    Returns
    -------
    dict
        Detector -> file, in order.

    Raises
    ------
    SettingsError
        Another syntax, or a name given twice.
    """
    pairs, whole = [], text.strip().removesuffix(",")
    for part in _NEXT.split(whole) if whole else []:
        name, sign, file = (word.strip() for word in part.partition("="))
        if not (name and sign and file):
            raise SettingsError(
                f"detectors = {text!r}, of which {part!r} names no detector and file",
                expected="NAME=FILE, with commas between",
                remedy='for example "SE=SE.tif, EDX-S=S.tif"',
            )
        pairs.append((name, Path(file)))
    check_names([name for name, _ in pairs])
    return dict(pairs)


def rows_of(images: Mapping[str, Image]) -> int:
    """Rows of the images without the largest of their data bars.

    Raises
    ------
    ImageError
        Images of different sizes.
    """
    shapes = {name: image.shape for name, image in images.items()}
    if len(set(shapes.values())) > 1:
        sizes = ", ".join(f"{name} {x} x {y} px" for name, (y, x) in shapes.items())
        raise ImageError(
            f"images of different sizes: {sizes}",
            expected="images of one size, pixel on pixel, or with pixel sizes that tell that they show one field",
            remedy="set the pixel sizes (Image > Properties), or register and crop them in Fiji with Plugins > "
            "Registration",
        )
    first = next(iter(images.values()))
    return first.shape[0] - max(image.databar_rows for image in images.values())


def join_detectors(images: Mapping[str, Image | np.ndarray], *, align: bool = True) -> Image:
    """Join images of one field into one image with named channels.

    Features are made of each channel, each scaled by its own percentiles; the first is the one that labels lie on and
    overlays show.

    Parameters
    ----------
    images : mapping of str to Image or np.ndarray
        Detector -> (Y, X) or (Y, X, 3), all of one size; an Image whose pixel size tells that it shows the first one's
        field at other pixels is resampled, which its notes say.
    align : bool
        Move the others onto the first where they are displaced, by whole pixels (see
        :func:`fijibridge.images.registration.displacement`).

    Returns
    -------
    Image
        The first, with the others as channels; `Channel.shift` is how far each was moved. Its data bar is the
        highest of all.

    Raises
    ------
    ImageError
        Different sizes, a channel that is constant, or one displaced by more than a sixteenth of the shorter side.
    SettingsError
        No image, a name that will not do, or one given twice.
    """
    return joined(images, align=align)


def joined(images: Mapping[str, Any], *, align: bool, where: str = "") -> Image:
    """Join images of one field, of a slice of a stack for example: see :func:`join_detectors`.

    Parameters
    ----------
    images, align
        As for :func:`join_detectors`.
    where : str
        Which slice of which file it is, for messages, such as ``" in slice 2"``.
    """
    from fijibridge.images.image import Image, image_from_array

    check_names(list(images))
    if not images:
        raise SettingsError("no image", expected="one at least", remedy='give {"BSE": image, "SE": other}')
    found = {
        name: image if isinstance(image, Image) else image_from_array(image, name=name)
        for name, image in images.items()
    }
    found, notes = _of_one_size(found)
    rows = rows_of(found)
    for name, image in found.items():
        field = image.data[:rows]
        if len(found) > 1 and field.min() == field.max():
            raise ImageError(
                f"the image of the detector {name} is constant{where}: every pixel is {field.flat[0]:g}",
                expected="an image with some contrast",
                remedy=f"look at the file; leave {name} out if there is nothing to see",
            )
    (name, first), *rest = found.items()
    others = tuple(_channel(other, image, name, first.grey[:rows], align, where) for other, image in rest)
    said = (*first.notes, *notes)
    return replace(first, databar_rows=first.shape[0] - rows, detector=name, others=others, notes=said)


def _of_one_size(images: Mapping[str, Image]) -> tuple[dict[str, Image], list[str]]:
    """Images of other pixel size than the first one's, brought onto its pixels, and notes of it."""
    from fijibridge.images.resampling import resampled

    first = next(iter(images.values()))
    found, notes = dict(images), []
    for name, image in images.items():
        if image.shape != first.shape and (brought := resampled(image, first)):
            found[name] = brought[0]
            notes.append(f"{name}: {brought[1]}")
            log.info("%s", notes[-1])
    return found, notes


def _channel(name: str, image: Image, first: str, grey: np.ndarray, align: bool, where: str) -> Channel:
    """Another detector's image, moved onto ``grey``, the first one's field."""
    import numpy as np

    from fijibridge.images.image import Channel
    from fijibridge.images.registration import displacement, moved_back

    if not align:
        return Channel(name, image.data)
    rows = len(grey)
    shift = displacement(image.grey[:rows], grey)
    if shift is None:
        log.warning(
            "%s%s: its edges do not tell how it lies on %s, so it is taken as it is; see whether both show the same "
            "place", name, where, first,
        )  # fmt: skip
        return Channel(name, image.data)
    most = int(LARGEST_SHIFT * min(grey.shape))
    if max(map(abs, shift)) > most:
        raise ImageError(
            f"{name} lies {shift[0]:g} px down and {shift[1]:g} px right of {first}{where}",
            expected=f"{most} px at most in an image of {grey.shape[1]} x {grey.shape[0]} px",
            remedy="register the images first, in Fiji with Plugins > Registration; or set align to false to take "
            "them as they are",
        )
    if any(shift):
        log.info("%s%s was moved back by %g px down and %g px right onto %s", name, where, *shift, first)
    data = np.concatenate([moved_back(image.data[:rows], shift), image.data[rows:]])
    return Channel(name, np.ascontiguousarray(data), shift)
