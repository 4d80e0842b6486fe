"""Functions compiled by numba, and plain threads that run them."""

from __future__ import annotations

import logging
import os
import platform
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from fijibridge.core.cache import cache_folder

_SMALL = 200_000  # voxels of a grid that one thread does: handing out work takes as long on a busy machine

log = logging.getLogger(__name__)
_Function = TypeVar("_Function", bound=Callable[..., Any])
_decorating = threading.Lock()


def compiled(function: _Function) -> _Function:
    """Compile a function by numba when it is called, and keep the result in the user's cache folder.

    It runs without the interpreter lock, so that plain threads serve (see `Workers`): numba's own pool has one caller
    at a time.

    Notes
    -----
    numba's own place for what it compiled is ``__pycache__`` beside the source: in an installed package these files
    would stay behind after an upgrade or removal. Here it is the user's cache, by version of fijibridge, numba and
    Python; numba itself keeps processors and changed sources apart. Someone who sets NUMBA_CACHE_DIR gets that folder.
    Where no folder can be written, the code is compiled anew in every process.
    """
    return compiled_with()(function)


def compiled_with(*, parallel: bool = False, inline: str = "never") -> Callable[[_Function], _Function]:
    """As `compiled`, with options.

    Parameters
    ----------
    parallel : bool
        Spread its ``numba.prange`` over numba's own threads, with the interpreter lock held.
    inline : {"never", "always"}
        As numba's.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(function: _Function) -> _Function:
        import numba

        config: Any = numba.config  # its attributes are made of the environment
        options: Any = {"parallel": parallel, "nogil": not parallel, "inline": inline}
        # numba settles where to keep a function when it is decorated, by its setting of that moment. The setting is put
        # back at once: other code in this process keeps its own place.
        with _decorating:
            before = config.CACHE_DIR
            folder = before or _code_folder(cache_folder(), numba.__version__)
            config.CACHE_DIR = folder
            try:
                return _kept_if_possible(numba.njit(cache=bool(folder), **options)(function))
            except RuntimeError as error:  # numba found no place that it can write to
                log.info("%s is compiled anew in every process: %s", function.__qualname__, error)
                return numba.njit(**options)(function)
            finally:
                config.CACHE_DIR = before

    return decorate


def _kept_if_possible(dispatcher: Any) -> Any:
    """A compiled function that runs also where the disk is too full to keep its code."""
    kept = getattr(dispatcher, "_cache", None)
    save = getattr(kept, "save_overload", None)
    if kept is None or save is None:  # another version of numba
        return dispatcher

    def save_overload(*arguments: Any) -> None:
        try:
            save(*arguments)
        except OSError as error:
            log.info("%s is compiled anew next time: %s", dispatcher.py_func.__qualname__, error)

    kept.save_overload = save_overload
    return dispatcher


@cache
def _code_folder(user_cache: Path, numba_version: str) -> str:
    """Where compiled code is kept; empty where nothing can be written."""
    from fijibridge import __version__

    folder = user_cache / "numba" / f"{__version__}-numba{numba_version}-python{platform.python_version()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        log.info("compiled code is not kept, since %s cannot be written: %s", folder, error)
        return ""
    return str(folder)


def thread_count(threads: int) -> int:
    """Number of threads for 0 (all cores) or a number asked for."""
    return threads or os.cpu_count() or 1


class Workers:
    """Plain threads over the slices of a grid; kernels take the slices they do as their last two arguments.

    Parameters
    ----------
    threads : int
        Threads; 0: all cores.
    """

    def __init__(self, threads: int = 0) -> None:
        self.count = thread_count(threads)
        self._pool = ThreadPoolExecutor(self.count - 1) if self.count > 1 else None  # the caller works, too

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown()

    def __call__(self, kernel: Callable[..., Any], *arrays: Any, slices: tuple[int, int], size: int) -> float:
        """Run a kernel over slices, shared among the threads.

        Parameters
        ----------
        kernel : callable
            Compiled; takes `arrays`, then the first slice and the one behind the last.
        *arrays
            Its arguments.
        slices : tuple of int
            First slice and the one behind the last.
        size : int
            Voxels in all: small grids are done by one thread.

        Returns
        -------
        float
            Sum of what the calls return; None counts as 0.
        """
        low, high = slices
        if self._pool is None or size < _SMALL:
            return kernel(*arrays, low, high) or 0.0
        cuts = np.linspace(low, high, self.count + 1).astype(int)
        *others, own = ((int(a), int(b)) for a, b in pairwise(cuts))
        jobs = [self._pool.submit(kernel, *arrays, *part) for part in others]
        total = kernel(*arrays, *own) or 0.0
        return sum((job.result() or 0.0 for job in jobs), total)
