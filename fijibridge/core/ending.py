"""The end of a process that a signal asks for: certain, at once, and with nothing half written left behind.

A signal's handler in Python runs in the main thread, between two of its steps: it comes late where that thread is in
compiled code (Java, torch, a forest), and an exception that it raises inside a callback or a finaliser is lost. So the
system tells a thread that waits for nothing else; that cleans up and ends the process, whatever the main thread does.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED, TERMINATED, HUNG_UP = 130, 143, 129  # as shells count a process that SIGINT, SIGTERM or SIGHUP ended
_STATUS = {
    getattr(signal, name): status
    for name, status in (("SIGINT", INTERRUPTED), ("SIGTERM", TERMINATED), ("SIGHUP", HUNG_UP))
    if hasattr(signal, name)
}
_PATIENCE_S = 10.0  # for a result that is just being put in its place

# held while a result takes its place: the process does not end half way through
in_place = threading.RLock()
_ending = threading.Event()
_clean_ups: dict[object, Callable[[], None]] = {}
_told: list[str] = []  # after SIGINT


@contextmanager
def cleaned_up(clean_up: Callable[[], None]) -> Iterator[None]:
    """Have something done if a signal ends the process within a ``with`` block; what is done last begun is done first.

    Parameters
    ----------
    clean_up : callable
        Runs in another thread, beside whatever the block does.
    """
    key = object()
    _clean_ups[key] = clean_up
    try:
        yield
    finally:
        del _clean_ups[key]


def at_end(clean_up: Callable[[], None]) -> None:
    """Have something done when the process ends, by a signal or not.

    Parameters
    ----------
    clean_up : callable
        Such as the removal of a temporary folder.
    """
    atexit.register(clean_up)
    _clean_ups[object()] = clean_up


def wait_if_ending() -> None:
    """Where a signal is ending the process: wait for it, rather than say what failed because of it."""
    while _ending.is_set():
        time.sleep(1)


def tell_when_interrupted(text: str) -> None:
    """What is said on standard error when SIGINT ends the process.

    Parameters
    ----------
    text : str
        A line.
    """
    _told[:] = [text]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within a ``with`` block SIGINT, SIGTERM and SIGHUP end the process with status 130, 143 or 129.

    A signal that is ignored stays so (``nohup``), and one that has a handler keeps it. Outside of the main thread, and
    where there is no SIGHUP (Windows), all stays as it is.
    """
    main = threading.current_thread() is threading.main_thread()
    usual = (signal.SIG_DFL, signal.default_int_handler)
    ours = [number for number in _STATUS if signal.getsignal(number) in usual] if main else []
    if not ours or not hasattr(signal, "SIGHUP"):
        yield
        return
    read, write = socket.socketpair()
    write.setblocking(False)
    watcher = threading.Thread(target=_watch, args=(read, set(ours)), daemon=True, name="signals")
    watcher.start()
    before = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _nothing) for number in ours}
    try:
        yield
    finally:
        wait_if_ending()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        write.close()  # the watcher ends
        watcher.join(1)
        wait_if_ending()
        read.close()


def _nothing(*_: Any) -> None:
    """Python's own handler; that there is one makes the system tell the watcher."""


def _watch(read: socket.socket, ours: set[int]) -> None:
    while data := read.recv(64):
        for number in data:
            if number in ours:
                _end(number)


def _end(number: int) -> None:
    _ending.set()
    in_place.acquire(timeout=_PATIENCE_S)
    try:
        asked = list(_clean_ups.values())  # now: without its workers the main thread leaves its blocks
        with contextlib.suppress(Exception):
            _kill_children()
        for clean_up in reversed(asked):
            with contextlib.suppress(Exception):  # what is left is removed by the next run
                clean_up()
        if number == signal.SIGINT:
            os.write(2, "".join(f"\n{text}\n" for text in _told).encode())
    finally:
        os._exit(_STATUS[number])


def _kill_children() -> None:
    """End the worker processes; twice, as one may just be starting."""
    if (processes := sys.modules.get("multiprocessing")) is None:
        return
    for last in (False, True):
        children = processes.active_children()
        for child in children:
            child.kill()
        for child in children:
            child.join(2)
        if last or not children:
            return
        time.sleep(0.05)
