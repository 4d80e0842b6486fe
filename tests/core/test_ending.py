"""A signal ends a process for certain, whatever that does, and worker processes end with it."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import time

import psutil
import pytest

from fijibridge.core.errors import OutputError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, limits and scripts of POSIX")

CHILD = """
import hashlib, signal, sys, time
from pathlib import Path
from fijibridge.core.atomic_output import output_folder, output_file
from fijibridge.core.ending import ended_by_signals, tell_when_interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)
out, doing = Path(sys.argv[1]), sys.argv[2]
tell_when_interrupted("interrupted; nothing was written")
def swallowing():
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except BaseException:
            pass
class Finaliser:
    def __del__(self):
        swallowing()
deep = out / "deep" / "result"
with ended_by_signals(), output_folder(deep, marker="m") as folder, output_file(folder / "m") as part:
    part.write_text("half")
    print("ready", flush=True)
    if doing == "compiled code":
        hashlib.pbkdf2_hmac("sha256", b"", b"", 60_000_000)
    elif doing == "a finaliser":
        Finaliser()
    elif doing == "a loop that writes":
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                (folder / str(time.monotonic_ns())).touch()
            except OSError:
                pass
    else:
        swallowing()
"""


@pytest.mark.parametrize("doing", ["compiled code", "a callback", "a finaliser", "a loop that writes"])
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_ends_the_process_and_leaves_nothing(tmp_path, doing, name, status):
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, tmp_path, doing], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(getattr(signal, name))
        _, told = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == status
    assert told.strip() == ("interrupted; nothing was written" if name == "SIGINT" else "")
    assert not list(tmp_path.iterdir())


def test_an_ignored_signal_stays_ignored(tmp_path):
    """As under nohup."""
    code = """if True:
        import os, signal
        from fijibridge.core.ending import ended_by_signals
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        print("done")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "done\n"


WORKERS = """
import sys, time
from fijibridge.core.ending import ended_by_signals
from fijibridge.core.processes import worker_processes
if __name__ == "__main__":
    with ended_by_signals(), worker_processes(2) as pool:
        waiting = [pool.submit(time.sleep, 30) for _ in range(4)]
        assert pool.submit(abs, -1)
        print("ready", flush=True)
        for each in waiting:
            each.result()
"""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_workers_end_with_their_parent(tmp_path, name):
    script = tmp_path / "script.py"
    script.write_text(WORKERS, encoding="utf-8")
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        workers = _descendants(process.pid)
        process.send_signal(getattr(signal, name))
        _, told = process.communicate(timeout=20)
        _, living = psutil.wait_procs(workers, 10)
    finally:
        process.kill()
    assert len(workers) >= 2
    assert not living
    assert "Traceback" not in told


def _descendants(number: int) -> list[psutil.Process]:
    end = time.monotonic() + 20
    while len(found := psutil.Process(number).children(recursive=True)) < 3 and time.monotonic() < end:
        time.sleep(0.05)  # two workers, and the tracker of their resources
    return found


def test_an_error_comes_back_from_a_worker_as_it_was():
    error = OutputError("a", expected="b", remedy="c")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.found, again.expected, again.remedy) == (OutputError, "a", "b", "c")
