"""Strangers on the service's port, damaged files of it, and names that forge lines of answers, options and paths."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from attack_kinds.attack import Attack

from fijibridge.core.errors import SettingsError
from fijibridge.frontends.arguments import parse_options, report_lines
from fijibridge.frontends.imagej.macro_extension import Extension
from fijibridge.frontends.service import client


def strangers(folder: Path) -> Iterator[Attack]:
    """A file of a service that died, and somebody else on its port."""
    token = "s3cret-" * 6
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"
    answers = {
        "a web page": page,
        "a forged status": b"HTTP/1.1 200 OK\r\n\r\nversion=9\npid=1\nwaiting=0",
        "a forged proof": f"HTTP/1.1 200 OK\r\n{client.PROOF}: {'0' * 64}\r\n\r\nversion=9".encode(),
        "an empty proof": f"HTTP/1.1 200 OK\r\n{client.PROOF}: \r\n\r\nversion=9".encode(),
        "a proof beyond ASCII": f"HTTP/1.1 200 OK\r\n{client.PROOF}: \xff\r\n\r\nversion=9".encode("latin-1"),
        "a redirection": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        "403": b"HTTP/1.1 403 Forbidden\r\n\r\nrefused",
        "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
        "nothing, closed": b"",
        "binary": bytes(range(256)) * 50,
        "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000,
    }

    def told(answer: bytes | None, endless: bytes = b"") -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place, stranger(answer, endless) as (port, heard):
            own = Path(place)
            (own / client.INFO).write_text(f"{port}\n{token}\n{os.getpid()}\n0.1\n", encoding="utf-8")
            began = time.monotonic()
            assert client.status(own) is None, "the stranger was believed"
            assert client.stop(own) is False, "the stranger was 'stopped'"
            assert time.monotonic() - began < 12, "too slow"
            assert not any(token.encode() in line for line in heard), "the token was sent"
            assert heard or answer == b"", "nobody asked"

    for name, answer in answers.items():
        yield Attack(f"a stranger on the port: {name}", partial(told, answer), seconds=14)
    yield Attack("a stranger on the port: silence", partial(told, None), seconds=14)
    yield Attack("a stranger on the port: drops without end", partial(told, page[:20], b"x"), seconds=14)
    yield Attack("a stranger on the port: a flood", partial(told, page[:-4], b"x" * 10**6), seconds=14)

    def damaged(content: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            (Path(place) / client.INFO).write_bytes(content)
            assert client.status(Path(place)) is None
            assert client.stop(Path(place)) is False

    for content in (b"", b"\n\n\n", b"1", b"99999 t 1", b"-1 t 1", b"a b c", b"\xff" * 99, b"\0" * 10**6, b"1 t 0"):
        yield Attack(f"service.txt holds {content[:12]!r}", partial(damaged, content))

    def started(make: Callable[[Path], object]) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            own = Path(place)
            make(own / client.INFO)
            assert client.start_in_background(own).port > 0
            assert client.stop(own) is True

    yield Attack("a service is started over an empty file", partial(started, Path.touch), seconds=40, memory=None)
    yield Attack("a service is started over a folder", partial(started, Path.mkdir), seconds=40, memory=None)


@contextlib.contextmanager
def stranger(answer: bytes | None, endless: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """Another program on a port: it answers what it is told to, and goes on with `endless`.

    Parameters
    ----------
    answer : bytes, optional
        None: it says nothing, and keeps the connection.
    endless : bytes
        Said again and again, ten times a second if it is one byte.
    """
    heard: list[bytes] = []
    links: list[socket.socket] = []

    def talk(link: socket.socket) -> None:
        with contextlib.suppress(OSError):
            heard.append(link.recv(65536))
            if answer is None:
                return
            link.sendall(answer)
            while endless:
                link.sendall(endless)
                time.sleep(0.1 if len(endless) == 1 else 0)
            link.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                links.append(listener.accept()[0])
                threading.Thread(target=talk, args=[links[-1]], daemon=True).start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            for link in links:
                link.close()


def texts() -> Iterator[Attack]:
    """Names that come from files, in answers and options; paths that a macro gives to be removed."""

    def one_line_each(name: str) -> None:
        report = {
            "operation": "apply",
            "class_fractions": {name: 0.5, "pore": 0.5},
            "class_names": [name],
            "image": name,
        }
        lines = report_lines(report)
        assert len("\n".join(lines).split("\n")) == 5, lines
        assert not any(line.startswith(("show=", "out=", "done", "error")) for line in lines), lines
        assert not any("\t" in line or "\r" in line or "\0" in line for line in lines), lines
        assert "class_fractions.pore=0.5" in lines
        assert sum(line.startswith("class_fractions.pore=") for line in lines) == 1, lines
        "\n".join(lines).encode("utf-8")

    for name in (
        "a\nshow=/etc/passwd\tPWN",
        "a\r\nout=/home/me",
        "a\x0bshow=/x\ty",
        "a\u2028show=/x\ty",
        "a\x85out=/x",
        "pore=1",
        "a\0b",
        "\ud800",
        "\n" * 1000,
        "a\x1b[2J",
    ):
        yield Attack(f"a class named {name[:30]!r}", partial(one_line_each, name))

    def refused(text: str) -> None:
        began = time.monotonic()
        try:
            parse_options(text)
        except SettingsError as error:
            message = str(error)
        else:
            raise AssertionError("taken as options")
        assert len(message) < 1000, f"a message of {len(message)} letters"
        assert time.monotonic() - began < 0.5, "too slow"

    for name, text in {
        "closing brackets in a name": "image=[/a.tif] overwrite image=[/b]",
        "an option twice": "out=/a out=/b",
        "an option twice, in capitals": "out=/a OUT=/b",
        "a megabyte of words": "x " * 500_000,
        "a megabyte of brackets": "a=[" * 300_000,
        "a megabyte of spaces": " " * 10**6 + "=",
        "a megabyte in one word": "a" * 10**6 + "!",
    }.items():
        yield Attack(f"options: {name}", partial(refused, text))

    def nothing_released(path: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            mine = Path(folder) / "mine"
            mine.mkdir()
            extension = Extension(None)  # type: ignore[arg-type]  # no Java takes part in this
            call = extension.handle("begin", [""])
            wanted = path.format(mine=mine, call=call)
            try:
                extension.handle("release", [wanted])
            except SettingsError:
                pass
            else:
                raise AssertionError("released")
            assert mine.is_dir(), "the user's folder is gone"
            assert (extension.exchange / "exchange" / call).is_dir(), "the exchange is gone"
            extension.handle("release", [call])
            assert not (extension.exchange / "exchange" / call).exists()

    for path in (
        "{mine}",
        "",
        ".",
        "..",
        "../..",
        "/",
        "{call}/../..",
        "{call}/",
        "./{call}",
        "nobody",
        "~",
        "*",
        "{call}\0",
    ):
        yield Attack(f"Ext.release({path!r})", partial(nothing_released, path))


def shadows(folder: Path) -> Iterator[Attack]:
    """Files with the names of modules in the folder where Fiji was started."""

    def not_run(*start: str) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            here = Path(place)
            for name in ("typer", "random", "socket", "json", "click", "uvicorn", "filelock", "pathlib", "numpy"):
                (here / f"{name}.py").write_text(
                    "open('executed', 'w').close()\nraise SystemExit(9)\n", encoding="utf-8"
                )
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
            command = [sys.executable, *start, "serve", "--status", "--folder", str(here / "service")]
            done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False, env=environment)
            assert not (here / "executed").exists(), "a file of the folder was executed"
            assert (done.returncode, done.stdout) == (1, "no service runs\n"), done.stderr[-300:]

    yield Attack("modules in the present folder: as macros start it", partial(not_run, "-c", client.STARTER), 15, None)
    yield Attack("modules in the present folder: python -m", partial(not_run, "-m", "fijibridge"), 15, None)
