"""Parts of images: a field of a micrograph, slices of a stack, to see a result before the whole is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param

if TYPE_CHECKING:
    from fijibridge.images.image import Image

Roi = Annotated[
    str,
    Param(
        "segment this field alone: x,y,width,height in pixels, or a .roi file of ImageJ (its bounding box); "
        "default: the whole image",
        group="Input",
    ),
]
Slices = Annotated[str, Param("slices of a stack, such as 1-3,7; default: all", level="basic", group="Input")]


@dataclass(frozen=True)
class Field:
    """A rectangle of pixels, which lies inside its image.

    Parameters
    ----------
    x, y : int
        Column and row of its first pixel, from 0.
    width, height : int
    """

    x: int
    y: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        return slice(self.y, self.y + self.height)

    @property
    def cols(self) -> slice:
        return slice(self.x, self.x + self.width)

    def cut(self, image: Image) -> Image:
        """The field of an image as its first detector saw it, with the rows of the data bar that lie in it."""
        import numpy as np

        data = np.ascontiguousarray(image.data[self.rows, self.cols])
        return replace(image, data=data, databar_rows=max(0, self.rows.stop - image.field.stop), others=())


def field_of(roi: str, image: Image) -> Field | None:
    """The field that an option `Roi` names.

    Parameters
    ----------
    roi : str
        ``x,y,width,height`` in pixels, or a ROI file of ImageJ; empty for the whole image.
    image : Image
        That it must lie in.

    Returns
    -------
    Field or None
        None for an empty text.

    Raises
    ------
    ImageNotFoundError, LabelsError
        A ROI file that is not there, or cannot be read.
    SettingsError
        Not four whole numbers, no pixel, several ROIs, or a field that is not wholly inside the image.
    """
    text = roi.strip()
    if not text:
        return None
    if text.lower().endswith((".roi", ".zip")):
        field = _bounds(Path(text), image.shape)
    else:
        parts = [part.strip() for part in text.split(",")]
        # digits alone: int() would take "1_0", too
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
            raise SettingsError(
                f"roi = {roi!r}",
                expected="x,y,width,height in pixels from 0 up, such as 100,200,512,512, or a .roi file",
                remedy="read the four numbers of the selection in ImageJ's status bar",
            )
        field = Field(*map(int, parts))
    height, width = image.shape
    found = f"roi = {roi!r}: {field.width} x {field.height} px at ({field.x}, {field.y})"
    if min(field.width, field.height) < 1:
        raise SettingsError(found, expected="at least one pixel", remedy="give a width and a height")
    inside = min(field.x, field.y) >= 0 and field.cols.stop <= width and field.rows.stop <= height
    if not inside or field.y >= image.field.stop:
        raise SettingsError(
            f"{found}, of {image.path or image.name}, which has {width} x {height} px"
            + (f", the last {image.databar_rows} rows of them its data bar" if image.databar_rows else ""),
            expected="a field inside the image",
            remedy="choose one inside",
        )
    return field


def _bounds(path: Path, shape: tuple[int, int]) -> Field:
    from fijibridge.labels.roi_masks import roi_mask
    from fijibridge.labels.roi_sets import read_rois

    rois = read_rois(path)
    if len(rois) > 1:
        raise SettingsError(
            f"roi = {str(path)!r} holds {len(rois)} ROIs", expected="one", remedy="save the one selection as .roi"
        )
    mask, (top, left) = roi_mask(rois[0], shape, margin=max(shape))
    return Field(left, top, mask.shape[1], mask.shape[0])


def slice_numbers(text: str, count: int, what: object = "an image") -> list[int]:
    """Slices named as in ``1-3,7``, counted from 1: rising, each once; all ``count`` for an empty text.

    Parameters
    ----------
    text : str
        Numbers and ranges, with commas between.
    count : int
        Slices that there are.
    what : object
        Whose, for messages.

    Returns
    -------
    list of int

    Raises
    ------
    SettingsError
        Not numbers, a range that falls, or a slice that is not there.
    """
    if not text.strip():
        return list(range(1, count + 1))
    chosen: set[int] = set()
    for part in text.split(","):
        ends = [end.strip() for end in part.split("-")]
        # digits alone: int() would take "1_0", too; nine of them: a range of more would fill the memory
        if len(ends) > 2 or not all(end.isascii() and end.isdigit() and len(end) < 10 for end in ends):
            raise SettingsError(
                f"slices = {text!r}", expected="numbers and ranges, such as 1-3,7", remedy="check the list"
            )
        low, high = int(ends[0]), int(ends[-1])
        if not 1 <= low <= high <= count:
            raise SettingsError(
                f"slices = {text!r}: {part.strip()!r} of {what} with {count} slice(s)",
                expected=f"rising numbers from 1 to {count}",
                remedy="name slices that the image has",
            )
        chosen.update(range(low, high + 1))
    return sorted(chosen)
