"""One attack: a hostile or broken input, tried in a process of its own with bounded time and memory."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from fijibridge.core.errors import BridgeError

SECONDS = 5.0
MEMORY = 1 << 30  # bytes on top of what the process holds before the attack


@dataclass(frozen=True)
class Attack:
    """One attack.

    Parameters
    ----------
    name : str
        What is hostile or broken, in a few words.
    call : callable
        Tries it. It returns where the answer was right and raises AssertionError where it was not; a BridgeError is the
        refusal in words that most attacks deserve, and counts as right. Any other exception is a traceback: failed.
    seconds : float
        Wall time it may take.
    memory : int, optional
        Bytes of memory that it may take on top; None for attacks that start processes of their own (a JVM, workers).
    """

    name: str
    call: Callable[[], object]
    seconds: float = SECONDS
    memory: int | None = MEMORY


def attempt(attack: Attack) -> str:
    """Try an attack in a forked process.

    Returns
    -------
    str
        Empty where the answer was right, otherwise what went wrong, in one line.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.setsid()  # what it starts ends with it
        _bounded(attack.memory)
        answer = _verdict(attack)
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], attack.seconds)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read() if ready else b""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not ready:
        return f"no answer in {attack.seconds:g} s"
    return str(pickle.loads(text)) if text else "the process died"


def _bounded(memory: int | None) -> None:
    if memory is not None:
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))


def _verdict(attack: Attack) -> str:
    try:
        attack.call()
    except BridgeError as error:
        return "" if len(str(error)) < 3000 else f"a message of {len(str(error))} characters"
    except AssertionError as error:
        return f"wrong: {error}".replace("\n", " | ")[:400]
    except BaseException as error:  # SystemExit and MemoryError are tracebacks too
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})".replace("\n", " | ")[:400]
    return ""


def command_line(*words: object, code: int | tuple[int, ...] = 2) -> str:
    """Run fijibridge's command line in this process.

    Parameters
    ----------
    *words
        What stands behind ``fijibridge`` in the shell.
    code : int or tuple of int
        The exit status that is right.

    Returns
    -------
    str
        What it printed.

    Raises
    ------
    AssertionError
        It ended otherwise.
    """
    from fijibridge.frontends.cli import main

    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        status = main([str(word) for word in words])
    codes = code if isinstance(code, tuple) else (code,)
    assert status in codes, f"exit status {status}, not {codes}: {text.getvalue()[-300:]}"
    assert "Traceback" not in text.getvalue(), text.getvalue()[-300:]
    return text.getvalue()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition; AssertionError when it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing happened in {seconds:g} s"
        time.sleep(0.02)
