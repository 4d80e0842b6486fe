"""SE and BSE images of one place, as the network's operations take them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.errors import ImageError, SettingsError

if TYPE_CHECKING:
    from fijibridge.images import Image


def given_detectors(se: Path | None, bse: Path | None) -> dict[str, Path]:
    """Detector -> file, of those that are given.

    Raises
    ------
    SettingsError
        Neither.
    """
    paths = {name: path for name, path in (("SE", se), ("BSE", bse)) if path is not None}
    if not paths:
        raise SettingsError("neither SE nor BSE", expected="one image at least", remedy="give --se or --bse")
    return paths


def rows_of(images: Mapping[str, Image]) -> int:
    """Rows of the images without the largest of their data bars.

    Raises
    ------
    ImageError
        Images of different sizes.
    """
    shapes = {name: image.shape for name, image in images.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {x} x {y} px" for name, (y, x) in shapes.items())
        raise ImageError(
            f"images of different sizes: {told}",
            expected="images of one size, pixel on pixel",
            remedy="register and crop them first, in Fiji with Plugins > Registration",
        )
    first = next(iter(images.values()))
    return first.shape[0] - max(image.databar_rows for image in images.values())
