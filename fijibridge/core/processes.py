"""Worker processes, which end when the process that started them does, in whatever way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def worker_processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes for the ``with`` block; work that was not begun at its end is left out.

    Parameters
    ----------
    count : int
        Processes.
    """
    from multiprocessing import get_context

    # spawned: a forked process would inherit the threads of torch and of a JVM, half alive
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """What a worker does first: leave Ctrl-C to the process that started it, and end with it."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])  # the system tells of its end, also after SIGKILL
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()
