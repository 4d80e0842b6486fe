"""Slices of a job's stacks, read as they are asked for; of one that cannot be used, why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fijibridge.core.errors import ImageError
from fijibridge.images.around import StackAround, Surroundings
from fijibridge.images.image import Image, count_frames, count_slices
from fijibridge.images.joined import joined_slices
from fijibridge.segmentation.slices.job import Job, StackFiles


def slices_of(job: Job, stack: StackFiles, numbers: list[int]) -> Iterator[Image | ImageError]:
    """Slices of a stack, whole; in place of one that cannot be read, or is of another size, the error.

    Parameters
    ----------
    job : Job
    stack : StackFiles
        One of its stacks.
    numbers : list of int
        From 1.

    Yields
    ------
    Image or ImageError

    Raises
    ------
    ImageError
        Of a single image.
    """
    done = 0
    while done < len(numbers):
        rest = [number - 1 for number in numbers[done:]]
        try:
            for image in joined_slices(stack.files, align=job.align, databar=stack.databar, pages=rest, page=job.page):
                shape = (stack.field.height, stack.field.width) if stack.field else image.shape
                inside = stack.field is None or (
                    stack.field.rows.stop <= image.shape[0] and stack.field.cols.stop <= image.shape[1]
                )
                done += 1
                if inside and shape == stack.shape:
                    yield stack.greys(image) if stack.greys else image
                    continue
                yield ImageError(
                    f"slice {numbers[done - 1]} is {image.shape[1]} x {image.shape[0]} pixels, others "
                    f"{stack.shape[1]} x {stack.shape[0]}",
                    expected="slices of one size",
                    remedy="cut them to one size",
                )
        except ImageError as error:
            if len(stack.slices) == 1:
                raise
            done += 1
            yield error


def in_its_stack(
    image: Image,
    number: int,
    paths: Mapping[str, Path],
    *,
    page: int = 0,
    align: bool = True,
    colour: bool = False,
    as_seen: Callable[[Image, int], Image] = lambda image, number: image,
    known: dict[int, Surroundings] | None = None,
) -> Image:
    """A slice with the slices around it, those of the same point in time, for features that look along z.

    Parameters
    ----------
    image : Image
    number : int
        Of the slice, from 1.
    paths : mapping
        Detector -> file.
    page : int
        As the option of that name.
    align : bool
        Move the slices of further detectors onto the first one's.
    colour : bool
        Whether the first detector's slices are needed in colour.
    as_seen : callable
        (slice as it is read, its number) -> as features see it.
    known : dict, optional
        Surroundings by point in time, kept from call to call.

    Returns
    -------
    Image
        With ``around``; as it was where the file holds no further slices.
    """
    from fijibridge.features.tws.colour import check_colour

    first, *others = paths
    file, only = paths[first], page - 1 if page else None
    depth = count_slices(file, page=only) // count_frames(file, page=only)
    if depth == 1:
        return image
    frame, place = divmod(number - 1, depth)
    height = image.field.stop

    def read(at: int, wanted: Mapping[str, Path]) -> Image:
        pages = [frame * depth + at]
        return next(joined_slices(wanted, align=align, databar=image.databar_rows, pages=pages, page=page))

    def pixels(at: int) -> np.ndarray:
        own = read(at, {"": file})
        if colour:
            check_colour(own.data)
            return own.data[:height]
        return as_seen(own, frame * depth + at + 1).grey[:height]

    def pixels_of(detector: str, at: int) -> np.ndarray:
        own = as_seen(read(at, {first: file, detector: paths[detector]}), frame * depth + at + 1)
        return own.by_detector[detector].grey[:height]

    stacks = {} if known is None else known
    if frame not in stacks:
        shape = (depth, height, image.shape[1])
        own = StackAround(pixels, (*shape, 3), np.uint8) if colour else StackAround(pixels, shape)
        further = {name: StackAround(partial(pixels_of, name), shape) for name in others}
        stacks[frame] = Surroundings(own, 0, further)
    return replace(image, around=stacks[frame]._replace(place=place))
