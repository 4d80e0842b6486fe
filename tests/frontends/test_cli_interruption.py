"""The command line where an output is there already, a disk is full, Java is missing, or it is ended half way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shell import APPLY, SEGMENT, Answer, child, refused, tree, without_java

_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, limits and scripts of POSIX")


def test_overwrite(here, shell):
    assert shell(*APPLY, "--quiet").status == 0
    before = tree(here)
    refused(shell(*APPLY), "exists already", "--overwrite")
    refused(shell(*SEGMENT), "exists already")
    assert tree(here) == before
    Path("out", "notes.txt").touch()  # the user's
    assert shell(*APPLY, "--overwrite", "--quiet").status == 0
    assert set(tree(here)) == {*before, "out/notes.txt"}


@_posix
@pytest.mark.parametrize("limit", [10_000, 100_000], ids=["labels", "probabilities"])
@pytest.mark.slow
def test_full_disk_keeps_the_older_result(here, master, limit):
    """A limit on the size of files stands for a full disk."""
    shutil.copytree(master / "out", "out")
    before = tree(here)
    command = child(*SEGMENT, "--overwrite", file_limit=limit)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=without_java(here.parent)
    )
    refused(Answer(done.returncode, done.stdout, done.stderr), "cannot be written (", "free some space")
    assert ".out-" not in done.stderr  # the place named is the user's
    assert tree(here) == before


def _fake_old_java(folder: Path) -> dict[str, str]:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_292\"' >&2\n", encoding="utf-8")
    (folder / "bin" / "java").chmod(0o755)
    return {**os.environ, "JAVA_HOME": str(folder), "PATH": str(folder / "nothing")}


@_posix
@pytest.mark.parametrize("java", ["none", "old"])
@pytest.mark.slow
def test_engine_weka_without_java(here, tmp_path, java):
    env = without_java(tmp_path) if java == "none" else _fake_old_java(tmp_path / "java8")
    before = tree(here)
    done = subprocess.run(
        child(*SEGMENT, "--engine", "weka"), capture_output=True, text=True, timeout=120, check=False, env=env
    )
    words = "no Java on this machine" if java == "none" else "Java 1.8.0_292"
    refused(Answer(done.returncode, done.stdout, done.stderr), words, "install Java 11")
    assert tree(here) == before


@_posix
@pytest.mark.slow
def test_an_old_java_does_no_harm(here, tmp_path):
    env = _fake_old_java(tmp_path / "java8")
    done = subprocess.run(child(*SEGMENT), capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stderr
    found = sorted(path.name for path in Path("out/classifier").glob("[!.]*"))
    files = {"classifier.json", "classifier.model", "forest.safetensors", "recipe.toml", "statistics.safetensors"}
    assert set(found) == files


@_posix
@pytest.mark.parametrize(
    ("engine", "ending", "status"),
    [
        ("sklearn", "SIGINT", 130),
        ("sklearn", "SIGTERM", 143),
        ("sklearn", "SIGHUP", 129),
        ("weka", "SIGINT", 130),
        ("weka", "SIGTERM", 143),
    ],
)
@pytest.mark.slow
def test_ended_half_way(here, master, engine, ending, status, request):
    if engine == "weka":
        request.getfixturevalue("java")  # skips without one
    shutil.copytree(master / "out", "out")
    before = tree(here)
    command = child(*SEGMENT, "--trees", "10000", "--engine", engine, "--overwrite", "-v")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not any(here.glob(".out-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(4 if engine == "weka" else 1.5)
        assert process.poll() is None, "done before it could be interrupted"
        process.send_signal(getattr(signal, ending))
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGUSR1)  # where it hangs, on its standard error
            time.sleep(1)
            process.kill()
            pytest.fail(f"it did not end: {process.communicate()[1]}")
    finally:
        process.kill()
    assert process.returncode == status, err
    assert ("interrupted; nothing was written" in err) == (ending == "SIGINT")
    assert "Traceback" not in err
    assert out == ""
    assert tree(here) == before


@pytest.mark.parametrize(("ending", "status"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_ended_while_a_compiled_module_is_imported(shell, monkeypatch, ending, status):
    """Such an import makes an ImportError of what interrupts it."""
    from fijibridge.operations import segment

    def imports(*_, **__):
        try:
            raise ending
        except BaseException as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr(segment, "check", imports)
    done = shell(*SEGMENT)
    assert done.status == status
    assert ("interrupted; nothing was written" in done.err) == (status == 130)
