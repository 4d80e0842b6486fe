"""Tasks done in this process, by worker processes, or on a Dask cluster: the same function, the same results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from fijibridge.core.ending import wait_if_ending
from fijibridge.core.errors import BridgeError, ServiceError
from fijibridge.core.params import Param
from fijibridge.core.processes import worker_processes

Workers = Annotated[int, Param("processes; 0: one a core", low=0, high=1024, group="Computation")]
Dask = Annotated[
    str, Param("address of a Dask scheduler, such as tcp://host:8786; default: this machine", group="Computation")
]

_IN_VAIN = 3  # pools of processes that may die without a task done, before it is given up


def done_tasks(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], *, workers: int = 1, dask: str = ""
) -> Iterator[tuple[int, Any]]:
    """Do tasks; what is done comes as it is done. A worker that dies is replaced, and its task done again.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes find it.
    tasks : sequence of tuple
        Its arguments, which can be pickled.
    workers : int
        Processes; 0: one a core; 1: this one.
    dask : str
        Address of a Dask scheduler; empty: this machine.

    Yields
    ------
    (int, object)
        Number of a task, from 0, and what the function returned; or the `BridgeError` that it raised, so that the
        others go on.

    Raises
    ------
    ServiceError
        No Dask, no scheduler at the address, or workers that die again and again.
    """
    if dask:
        yield from _done_by_dask(function, tasks, dask)
        return
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    if workers > 1:
        yield from _done_by_processes(function, tasks, workers)
        return
    for number, task in enumerate(tasks):
        yield number, _outcome(function, task)


def _outcome(function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
    try:
        return function(*task)
    except BridgeError as error:
        return error


def _done_by_processes(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[tuple[int, Any]]:
    from concurrent.futures import as_completed
    from concurrent.futures.process import BrokenProcessPool

    left, in_vain = dict(enumerate(tasks)), 0
    while left:
        before = len(left)
        try:
            with worker_processes(min(workers, len(left))) as pool:
                futures = {pool.submit(_outcome, function, task): number for number, task in left.items()}
                for future in as_completed(futures):
                    result = future.result()
                    del left[futures[future]]
                    yield futures[future], result
        except BrokenProcessPool as error:
            wait_if_ending()  # its signal ends the workers, too
            in_vain = in_vain + 1 if len(left) == before else 0
            if in_vain == _IN_VAIN:
                raise ServiceError(
                    "worker processes ended before their work was done, again and again",
                    expected="memory for all workers; in a script, calls under if __name__ == '__main__':",
                    remedy="put them there, since each worker reads the script, or use workers=1; then go on with "
                    "resume=True",
                ) from error


def _done_by_dask(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], address: str
) -> Iterator[tuple[int, Any]]:
    try:
        from dask.distributed import Client, as_completed
    except ImportError as error:
        raise ServiceError(
            "Dask is not installed", expected="dask and distributed", remedy='pip install "fijibridge[cluster]"'
        ) from error
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"no Dask scheduler at {address} ({error})",
            expected="an address such as tcp://HOST:8786",
            remedy="start one with: dask scheduler",
        ) from error
    with client:
        numbers = {client.submit(_outcome, function, task, pure=False): n for n, task in enumerate(tasks)}
        for future in as_completed(list(numbers)):
            yield numbers[future], future.result()
