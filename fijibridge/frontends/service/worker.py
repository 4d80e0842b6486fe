"""The process that runs the service's operations, so that one that does not stop by itself can be ended.

Training in scikit-learn or Java looks at nothing while it runs. So a cancelled operation is asked to end, then
interrupted (between two trees, say), then killed with all that it started; a new process takes the next call. Lines of
JSON go both ways.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from fijibridge.core.machine import machine_memory
from fijibridge.frontends.dispatch import CancelledCall, perform
from fijibridge.frontends.service.client import STARTER, detached

log = logging.getLogger(__name__)

_INTERRUPTED_AFTER, _KILLED_AFTER = 0.5, 2.0  # seconds behind the wish to end
_TOLD_EVERY = 0.02  # seconds
_STARTER = STARTER.replace("frontends.process import run", "frontends.service.worker import run")


class Worker:
    """The process, as the service sees it. One call at a time.

    Parameters
    ----------
    folder : Path
        Where it runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: float | None = None  # when the running call was asked to end
        self._stage = 0

    def start(self) -> subprocess.Popen[bytes]:
        """The process, started if it does not run; it loads what most calls need while the user looks for an image."""
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _STARTER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    cwd=self._folder,
                    **detached(),
                )
            return self._process

    def call(self, order: dict[str, Any], watch: Callable[[float, str], None]) -> str | None:
        """Run an operation.

        Parameters
        ----------
        order : dict
            Arguments of `fijibridge.frontends.dispatch.perform`, with ``place`` as text.
        watch : callable (part, text)
            Gets the progress.

        Returns
        -------
        str or None
            The answer; None where the call was cancelled.

        Raises
        ------
        ChildProcessError
            The process died, with its exit status.
        """
        process = self.start()
        with self._lock:
            self._asked, self._stage = None, 0
        answer: str | None = None
        ended = False
        try:
            self._tell(process, {"call": order})
            assert process.stdout is not None
            while not ended and (line := process.stdout.readline()):
                said = json.loads(line)
                if "part" in said:
                    watch(said["part"], said["message"])
                elif "level" in said:
                    log.log(said["level"], "%s", said["text"])
                else:
                    answer, ended = said["answer"], True
        except OSError:
            pass
        with self._lock:
            asked, self._asked = self._asked is not None, None
            interrupted = self._stage > 1  # in the middle of whatever it was
            if (interrupted or not ended) and self._process is process:
                self._process = None
        if not ended:
            status = self._end(process)
            if not asked:
                raise ChildProcessError(status)
        elif interrupted:  # its end may take a while, for which nobody waits
            threading.Thread(target=self._end, args=[process]).start()
        return answer

    def cancel(self) -> None:
        """Ask the running call to end; said again later, with more force."""
        with self._lock:
            process, now = self._process, time.monotonic()
            if process is None:
                return
            if self._asked is None:
                self._asked = now
            since = now - self._asked
            stage = 1 + (since >= _INTERRUPTED_AFTER) + (since >= _KILLED_AFTER)
            if stage <= self._stage:
                return
            self._stage = stage
        if stage == 3:
            _kill(process)
        else:
            with contextlib.suppress(OSError):
                self._tell(process, {"end": "interrupt" if stage == 2 else "ask"})

    def close(self) -> None:
        """End the process, and the call that may run in it."""
        with self._lock:
            process = self._process
        if process is not None:
            self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        with self._lock:
            if self._process is process:
                self._process = None
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()  # it ends then, in _KILLED_AFTER at most
        try:
            status = process.wait(_KILLED_AFTER + 1)
        except subprocess.TimeoutExpired:
            status = -9
        _kill(process)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return status

    @staticmethod
    def _tell(process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those that it started."""
    if sys.platform == "win32":
        if process.poll() is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # its children go on in its group where it died alone


# --- inside of the process -------------------------------------------------------------------------------------------


class _Calls:
    """What the process was asked for, and whether its present call is to end."""

    def __init__(self, orders: IO[bytes], answers: IO[bytes]) -> None:
        self._orders, self._answers = orders, answers
        self._lock = threading.Lock()
        self.waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.cancelled = self.interrupted = self.busy = False
        self._next = 0.0

    def say(self, **message: Any) -> None:
        """A line to the service."""
        with self._lock:
            self._answers.write(json.dumps(message).encode() + b"\n")
            self._answers.flush()

    def watch(self, part: float, message: str) -> None:
        """The progress of a call; `CancelledCall` where it is to end."""
        if self.cancelled:
            raise CancelledCall
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _TOLD_EVERY
            self.say(part=part, message=message)

    def listen(self) -> None:
        """Take orders until the service is gone; then end the call, and with it the process."""
        with contextlib.suppress(OSError):
            for line in self._orders:
                message = json.loads(line)
                if "call" in message:
                    self.cancelled = False
                    self.waiting.put(message["call"])
                else:
                    self.cancelled = True
                    if message["end"] == "interrupt":
                        self._interrupt()
        self.cancelled = True
        self.waiting.put(None)
        self._interrupt()
        end = time.monotonic() + _KILLED_AFTER
        while self.busy and time.monotonic() < end:
            time.sleep(0.05)
        if self.busy:
            _die()
        time.sleep(_KILLED_AFTER)  # for the interpreter's own end, which Java may hold up
        _die()

    def _interrupt(self) -> None:
        self.interrupted = True
        if self.busy:
            _thread.interrupt_main(signal.SIGINT)

    def on_signal(self, *_: Any) -> None:
        """Ends the present call between two steps of Python, wherever it is."""
        if self.busy and self.cancelled:
            raise CancelledCall

    def run(self) -> None:
        """Answer the calls, until one was interrupted: nobody knows in what it left the libraries."""
        while not self.interrupted and (order := self.waiting.get()) is not None:
            answer = None
            try:
                self.busy = True
                answer = perform(**{**order, "place": Path(order["place"])}, watch=self.watch)
            except CancelledCall:
                pass
            finally:
                self.busy = False
            self.say(answer=answer)


def _die() -> None:
    """End this process and those that it started at once."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


class _Told(logging.Handler):
    """The log's lines go to the service, which writes the log."""

    def __init__(self, calls: _Calls) -> None:
        super().__init__()
        self.calls = calls

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.calls.say(level=record.levelno, text=self.format(record))


def run() -> None:
    """Run the process, between the pipes that its standard input and output are."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what libraries and Java print is no answer
    os.close(nothing)
    calls = _Calls(orders, answers)
    signal.signal(signal.SIGINT, calls.on_signal)
    logging.getLogger().handlers[:] = [_Told(calls)]
    logging.getLogger("fijibridge").setLevel(logging.INFO)
    threading.Thread(target=calls.listen, daemon=True).start()
    threading.Thread(target=_warm_up, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        calls.run()


_KEPT_SHARE = 8  # of the machine's memory, for features of the images that are labelled on and on


def _warm_up() -> None:
    """Load what nearly every call needs while the user still looks for an image."""
    try:
        from fijibridge.features.tws.source import block_cache

        block_cache.most_bytes = machine_memory() // _KEPT_SHARE
        import sklearn.ensemble  # noqa: F401
        import timm  # noqa: F401
        import torch  # noqa: F401
    except Exception:
        log.exception("a library does not load")
