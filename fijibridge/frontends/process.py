"""What the shell starts: the command line in a process of its own, which ends when it is told to."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading

from fijibridge.core.ending import INTERRUPTED, ended_by_signals

_LIVING = (["serve"], ["gui"])  # commands that end in their own way
_PATIENCE_S = 8.0  # for the end after Ctrl-C


def run() -> None:
    """Run the command line, and end the process.

    OpenMP's threads that wait for others sleep: by default they spin, which takes a third of the CPU seconds of a
    segmentation (features of 512 x 512 pixels: 15.8 s, and 7.4 s with sleeping threads, on two busy cores).

    Ctrl-C, SIGTERM and SIGHUP (a closed terminal; not under nohup) end the process at once, with status 130, 143 or
    129, whatever it does. Where there are no such signals, it ends after Ctrl-C even where threads of Java's do not,
    for which Python would wait at its exit.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before a library that reads it is loaded
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # workers import nothing from the present folder
    if sys.argv[1:2] in _LIVING:
        status = _main()
    else:
        with ended_by_signals():
            status = _main()
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to be tidied
    if status == INTERRUPTED:
        sys.stderr.flush()
        killer = threading.Timer(_PATIENCE_S, os._exit, [status])
        killer.daemon = True
        killer.start()
    sys.exit(status)


def _main() -> int:
    # only now: its imports take a while, in which a signal may come already
    status: int = importlib.import_module("fijibridge.frontends.cli").main()
    return status
