"""Slices of a job's stacks, read as they are asked for; of one that cannot be used, why."""

from __future__ import annotations

from collections.abc import Iterator

from fijibridge.core.errors import ImageError
from fijibridge.images.image import Image
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
