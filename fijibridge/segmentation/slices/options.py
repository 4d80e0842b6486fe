"""Options of segmenting stacks."""

from __future__ import annotations

from typing import Annotated, Literal

from fijibridge.core.errors import SettingsError
from fijibridge.core.params import Param

Part = Annotated[
    str,
    Param(
        "do one part of the work alone, such as 3/10, for an array of cluster jobs; then once --merge-parts",
        group="Computation",
    ),
]
MergeParts = Annotated[
    bool, Param("put together what the parts did (--part), and write the result", group="Computation")
]
VitEvery = Annotated[
    int,
    Param(
        "the ViT sees every n-th slice of a stack, its tokens are interpolated between; 0: as many slices as lie "
        "within four pixels, each where their distance is not known; 1: each slice",
        low=0,
        high=100,
        group="Features",
    ),
]
SmoothZ = Annotated[
    bool,
    Param("probabilities of a stack are means over a slice and its neighbours, weighted 1 : 2 : 1", group="Clean-up"),
]
ProbabilityType = Annotated[
    Literal["auto", "float32", "uint8"],
    Param("type of the probabilities that are written; auto: uint8 in OME-Zarr, where 255 is 1", group="Output"),
]
OmeZarr = Annotated[
    Literal["0.5", "0.4"],
    Param("version of an OME-Zarr that is written; today's Fiji reads 0.4 alone", group="Output"),
]


def part_of(text: str) -> tuple[int, int] | None:
    """(i, n) of ``i/n``; None for an empty text.

    Parameters
    ----------
    text : str
        Of the option `Part`.

    Raises
    ------
    SettingsError
        Not two numbers, of which the first is 1 to the second.
    """
    if not text.strip():
        return None
    numbers = [part.strip() for part in text.split("/")]
    if len(numbers) == 2 and all(part.isascii() and part.isdigit() and len(part) < 7 for part in numbers):
        number, count = map(int, numbers)
        if 1 <= number <= count:
            return number, count
    raise SettingsError(
        f"part = {text!r}", expected="I/N with I from 1 to N, such as 3/10", remedy="number the parts from 1"
    )
