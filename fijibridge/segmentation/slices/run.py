"""The units of a job, done here, by processes or on a cluster; what is done already is not done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge.core.atomic_output import sweep
from fijibridge.core.ending import cleaned_up
from fijibridge.core.errors import BridgeError, ImageError, OutputError
from fijibridge.core.progress import bar
from fijibridge.core.task_pool import done_tasks
from fijibridge.segmentation.slices.job import Job
from fijibridge.segmentation.slices.journal import missing_of
from fijibridge.segmentation.slices.results import StackResult
from fijibridge.segmentation.slices.unit import Predict, segment_unit

if TYPE_CHECKING:
    import numpy as np

    from fijibridge.core.timing import Stages

_LONG = 4  # slices: of a longer stack no tokens are kept in memory, for none is seen twice


def do_units(
    job: Job,
    done: set[int],
    *,
    stages: Stages,
    predict_of: Callable[[int], Predict] | None = None,
    labelled: Mapping[int, np.ndarray] | None = None,
    workers: int = 1,
    dask: str = "",
    part: tuple[int, int] | None = None,
) -> dict[int, BridgeError]:
    """Do what of a job is not done yet.

    Parameters
    ----------
    job : Job
    done : set of int
        Units that are done.
    stages : Stages
        Where the time of this process is counted.
    predict_of : callable, optional
        Number of a stack -> what predicts in this process.
    labelled : mapping, optional
        See `segment_unit`; in this process alone.
    workers, dask
        As of `done_tasks`.
    part : (int, int), optional
        (i, n): the i-th of n parts alone.

    Returns
    -------
    dict
        Number of a stack -> why it failed, of several; the error of the only one is raised.

    Raises
    ------
    BridgeError
        Of the only stack, or a disk that is full.
    """
    units, failed = job.units(), dict[int, BridgeError]()
    missing = missing_of(range(len(units)), done, part)
    share = missing_of(range(len(units)), set(), part)

    def fails(number: int, error: BridgeError) -> None:
        if isinstance(error, OutputError) or len(job.stacks) == 1:
            raise error
        failed.setdefault(units[number].stack, error)

    predictors: dict[int, Predict] = {}  # one a stack, which keeps what neighbouring units have in common
    left = Path(job.state) / "*"  # by workers that were killed
    with (
        bar("slices", sum(units[number].size for number in share)) as steps,
        cleaned_up(lambda: sweep(left)),
        _no_tokens_kept(job),
    ):
        steps.update(sum(units[number].size for number in share if number in done))
        if workers == 1 and not dask:
            for number in missing:
                stack = units[number].stack
                if stack in failed:
                    continue
                try:
                    if predict_of and stack not in predictors:
                        predictors = {stack: predict_of(stack)}
                    segment_unit(job, number, predictors.get(stack), stages, labelled, steps.update)
                except BridgeError as error:
                    fails(number, error)
        else:
            with stages("units"):
                tasks = [(job, number) for number in missing]
                for place, outcome in done_tasks(segment_unit, tasks, workers=workers, dask=dask):
                    if isinstance(outcome, BridgeError):
                        fails(missing[place], outcome)
                    steps.update(units[missing[place]].size)
    return failed


def check_readable(result: StackResult) -> None:
    """Refuse a stack none of whose slices could be read.

    Raises
    ------
    ImageError
        With what is wrong with the first.
    """
    if result.image is None:
        first = result.slices[0]
        raise ImageError(
            f"no slice of {next(iter(result.stack.paths.values()))} can be used; slice {first['number']}: "
            f"{first.get('error', '')}",
            expected="a slice that can be read",
            remedy="open the file in Fiji to see what it holds",
        )


def _no_tokens_kept(job: Job) -> Any:
    """Around long stacks: memory does not grow by the ViT's tokens of slices that are done."""
    from fijibridge.features.vit.encoder import token_cache

    return token_cache.off() if max(len(stack.slices) for stack in job.stacks) > _LONG else nullcontext()
