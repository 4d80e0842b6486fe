"""The size of a volume that is made."""

from __future__ import annotations

import math
from typing import Annotated

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param

VolumeSize = Annotated[str, Param("voxels along all axes, or z,y,x", level="basic", group="3D volume")]


def volume_shape(text: str) -> tuple[int, int, int]:
    """(Z, Y, X) of ``128`` or ``64,128,128``.

    Parameters
    ----------
    text : str
        As `VolumeSize` has it.

    Raises
    ------
    SettingsError
        Anything else, or more than an ImageJ TIFF holds.
    """
    from fijibridge.images.writing import LARGEST_TIFF

    try:
        sides = [int(part) for part in str(text).split(",")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 3) or min(sides) < 1:
        raise SettingsError(
            f"volume_size = {text!r}",
            expected="a number of voxels, or three: z,y,x",
            remedy="such as 128, or 64,128,128",
        )
    z, y, x = sides * 3 if len(sides) == 1 else sides
    if z * y * x > LARGEST_TIFF:  # known now, not after days
        raise SettingsError(
            f"volume_size = {text}: {math.prod((z, y, x)) / 2**30:.1f} GiB",
            expected="less than 4 GiB, the limit of an ImageJ TIFF",
            remedy="make a smaller volume, or several with other seeds",
        )
    return z, y, x
