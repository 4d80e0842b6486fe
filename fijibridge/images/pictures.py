"""PNG, JPEG and the other formats that Pillow decodes, each opened as what its content says and as nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.images.channels import choose_channel
from fijibridge.images.formats import picture_format
from fijibridge.images.limits import MOST_PAGES, check_size
from fijibridge.images.metadata import databar_beside, pixel_size_beside
from fijibridge.images.palette import brightness
from fijibridge.images.planes import Planes, unreadable

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from fijibridge.images.place import Place

T = TypeVar("T")


@contextmanager
def open_picture(place: Place, channel: str) -> Iterator[Planes]:
    """Open an image in one of Pillow's formats.

    Parameters
    ----------
    place : Place
        The file.
    channel : str
        These formats have one alone.

    Yields
    ------
    Planes

    Raises
    ------
    ImageError
        It cannot be read, or memory cannot hold it.
    """
    choose_channel(str(place.path), ("",), channel)
    with place.path.open("rb") as file:
        form = picture_format(file.read(32))
    yield _planes(place.path, form)


def _planes(path: Path, form: str) -> Planes:
    if form == "PNG":
        _check_png(path)

    def attempt(what: Callable[[Picture], T]) -> T:
        try:
            with _opened(path, form) as picture:
                return what(picture)
        except ImageError:
            raise
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
            raise unreadable(path, error) from error

    def count(picture: Picture) -> int:
        bits = 4 if picture.mode in ("I", "F") else 2 if ";16" in picture.mode else 1
        size = picture.width * picture.height * max(1, len(picture.getbands())) * bits
        check_size(path, f"{picture.width} x {picture.height} pixels", size, path.stat().st_size)
        frames = int(getattr(picture, "n_frames", 1) or 1)
        if frames > MOST_PAGES:
            raise unreadable(path, f"{frames} frames")
        return frames

    def read(index: int, raw: bool) -> np.ndarray:
        def decode(picture: Picture) -> np.ndarray:
            count(picture)
            if index:
                picture.seek(index)
            return _pixels(picture, raw)

        return attempt(decode)

    frames = attempt(count)
    return Planes(path, frames, read, pixel_size_beside(path), lambda shape: databar_beside(path, shape), pages=frames)


def _pixels(picture: Picture, raw: bool) -> np.ndarray:
    if picture.mode == "P":
        indices = np.array(picture)
        if raw:
            return indices
        colours = np.zeros((256, 3), np.uint8)
        stored = np.asarray(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
        colours[: len(stored)] = stored
        return brightness(indices, colours)
    if picture.mode in ("CMYK", "YCbCr"):
        picture = picture.convert("RGB")
    plane = np.array(picture)
    if plane.dtype == np.int32 and picture.format in ("PNG", "PPM"):  # 16 bits, which older versions of Pillow widen
        plane = plane.astype(np.uint16)
    if plane.dtype == bool and not raw:
        plane = plane.astype(np.uint8) * np.uint8(255)
    if not raw:
        plane = _without_alpha(plane)
    return plane[..., 0] if plane.ndim == 3 and plane.shape[2] == 1 else plane


def _without_alpha(plane: np.ndarray) -> np.ndarray:
    if plane.ndim == 3 and plane.shape[2] in (2, 4):
        plane = plane[..., :-1]
    return plane[..., 0] if plane.ndim == 3 and plane.shape[2] == 1 else plane


def _check_png(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(32)
    # PNG header: bit depth at byte 24, colour type at 25 (0 grey). Pillow would cut these to 8 bits silently.
    if start[24:25] == b"\x10" and start[25] != 0:
        raise ImageError(
            f"{path} is a PNG with 16 bits a channel in colour or with alpha",
            expected="16-bit grey PNG, or TIFF",
            remedy="save it as 16-bit grey, or as TIFF, so that no bits are lost",
        )


@contextmanager
def _opened(path: Path, form: str) -> Iterator[Picture]:
    """Open with one decoder alone; Pillow's limit for images from the web is lifted, for `check_size` knows better."""
    from PIL import GifImagePlugin
    from PIL import Image as pillow

    limit, pillow.MAX_IMAGE_PIXELS = pillow.MAX_IMAGE_PIXELS, None
    # else all frames of a grey GIF but the first would be RGB
    GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_DIFFERENT_PALETTE_ONLY
    try:
        with pillow.open(path, formats=[form]) as picture:
            yield picture
    finally:
        pillow.MAX_IMAGE_PIXELS = limit
