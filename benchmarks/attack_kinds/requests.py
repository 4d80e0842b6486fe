"""Hostile requests to the local service, strangers on its port, damaged files of it, and names that forge options."""

from __future__ import annotations

import contextlib
import os
import random
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from attack_kinds.attack import Attack
from attack_kinds.request_bodies import BODIES
from attack_kinds.strangers import shadows, strangers, texts

from fijibridge.frontends.service import client

TITLE = "requests to the service"
GOAL = 118
FLOOD = 1100  # connections: more than the service may have files open
FILES = 1024


def attacks(folder: Path) -> Iterator[Attack]:
    """Attacks on one service, which must be there after each; it may have 1024 files open."""
    place = folder / "service"
    place.mkdir(mode=0o700)
    command = f'ulimit -n {FILES}; exec "$0" -c "$1" serve --folder "$2"'
    process = subprocess.Popen(["sh", "-c", command, sys.executable, client.STARTER, str(place)])
    try:
        end = time.monotonic() + 60
        while client.status(place) is None:
            assert process.poll() is None, "the service does not start"
            assert time.monotonic() < end, "the service does not answer"
            time.sleep(0.1)
        service = client.running(place)
        assert service is not None
        target = Target(place, service)
        for kind in (_callers, _malformed, _paths, _slow, _bodies, _files):
            for name, call, seconds in kind(target):
                yield Attack(name, partial(target.survives, call), seconds=seconds)
    finally:
        process.terminate()
        process.wait(30)
    yield from strangers(folder)
    yield from texts()
    yield from shadows(folder)


Tried = Iterator[tuple[str, Callable[[], object], float]]


class Target:
    """The service that is attacked.

    Parameters
    ----------
    folder : Path
        Its private folder.
    service : Running
        What its file says.
    """

    def __init__(self, folder: Path, service: client.Running) -> None:
        self.folder, self.service = folder, service

    def survives(self, call: Callable[[], object]) -> None:
        """Try an attack; afterwards the same service answers, promptly."""
        call()
        began = time.monotonic()
        found = client.status(self.folder)
        assert found is not None, "the service is gone"
        assert found["pid"] == str(self.service.pid), "another service"
        assert time.monotonic() - began < 2, "the service answers late"

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.service.port), 5)

    def send(self, data: bytes, seconds: float = 8) -> str:
        """What it answers to bytes, until it closes the connection."""
        answer = b""
        with self.connect() as link:
            link.settimeout(seconds)
            with contextlib.suppress(ConnectionError):
                link.sendall(data)
                while part := link.recv(65536):
                    answer += part
        return answer.decode("utf-8", "replace")

    def get(self, path: str, *headers: str, method: str = "GET", host: str | None = None) -> str:
        """The answer to a request, with or without a Host."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.service.port}'}", *headers, "", ""]
        return self.send("\r\n".join(lines).encode("utf-8", "surrogatepass"))

    def signed(self, path: str) -> str | None:
        """The answer to the user's own program."""
        return client.ask(self.service, path, 4)


def _status_of(answer: str) -> int:
    found = re.match(r"HTTP/1\.[01] (\d{3})", answer)
    return int(found[1]) if found else 0


def _refused(answer: str, *codes: int) -> None:
    """No answer at all is a refusal, too."""
    assert _status_of(answer) in (0, *codes), f"status {_status_of(answer)}, not {codes}"
    for secret in ("version=", "pid=", "done", "stopping", "Traceback"):
        assert secret not in answer.partition("\r\n\r\n")[2], f"{secret} in the answer"


def _callers(target: Target) -> Tried:
    """Who asks: tokens, signatures, keys, hosts, origins."""
    token, port = target.service.token, target.service.port
    right = f"token={token}"

    def refused(path: str, *headers: str, host: str | None = None) -> Callable[[], None]:
        return lambda: _refused(target.get(path, *headers, host=host), 403)

    tokens = {
        "no token": "/status",
        "an empty token": "/status?token=",
        "a wrong token": "/status?token=wrong",
        "half the token": f"/status?token={token[:20]}",
        "a longer token": f"/status?token={token}x",
        "the token in capitals": f"/status?token={token.swapcase()}",
        "a token beyond ASCII": "/status?token=%ff%fe%00",
        "a token of 10 kB": f"/status?token={'x' * 10_000}",
        "two tokens": f"/status?token=wrong&{right}",
        "two tokens, the right one first": f"/status?{right}&token=wrong",
        "another name for the token": f"/status?Token={token}",
        "a token behind a semicolon": f"/status?a=1;{right}",
        "a signature of nobody": "/status?challenge=aaaa&signature=" + "0" * 64,
        "no signature": "/status?challenge=aaaa",
        "a signature and the token": f"/status?challenge=aaaa&signature={'0' * 64}&{right}",
        "a signature for another path": "/stop?challenge=aaaa&signature="
        + client.signature(token, "client", "aaaa", "/status"),
        "the service's signature sent back": "/status?challenge=aaaa&signature="
        + client.signature(token, "service", "aaaa", "/status"),
        "a key of no call": "/run/call-unknown?key=" + "k" * 36,
        "an empty key": "/run/call-unknown?key=",
        "a key for what is no call": "/stop?key=" + "k" * 36,
        "no token for a call": "/run/call-unknown",
        "no token to end": "/stop",
        "no token to cancel": "/cancel/call-unknown",
        "no token to release": "/release/call-unknown",
    }
    for name, path in tokens.items():
        yield name, refused(path), 5
    for header in (
        "Origin: http://evil.example",
        "Origin: null",
        f"Origin: http://127.0.0.1:{port}",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: none",
        "Sec-Fetch-Mode: no-cors",
    ):
        yield f"a web page: {header}", refused(f"/status?{right}", header), 5
    for host in (
        "evil.example",
        "localhost",
        f"localhost:{port}",
        f"[::1]:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port + 1}",
    ):
        yield f"Host {host}", refused(f"/status?{right}", host=host), 5
    yield "a user in the Host", refused(f"/status?{right}", host=f"a@127.0.0.1:{port}"), 5
    for header in ("Authorization: Bearer ", "Cookie: token=", "X-Token: "):
        yield f"the token in {header.split(':')[0]}", refused("/status", header + token), 5


def _malformed(target: Target) -> Tried:
    """HTTP that is none, or not the service's."""
    token, host = target.service.token, f"Host: 127.0.0.1:{target.service.port}"
    path = f"/stop?token={token}"
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "get", "BREW"):
        yield f"method {method}", lambda method=method: _refused(target.get(path, method=method), 400, 403, 405), 5
    yield "method CONNECT", lambda: _refused(target.get("evil.example:80", method="CONNECT"), 400, 403, 404, 405), 5
    head = f"GET {path} HTTP/1.1\r\n"
    texts = {
        "no Host": head + "\r\n",
        "two Hosts": head + f"{host}\r\n{host}\r\n\r\n",
        "a body": head + f"{host}\r\nContent-Length: 5\r\n\r\nhello",
        "a body of 10 GB": head + f"{host}\r\nContent-Length: 10000000000\r\n\r\nhello",
        "a negative length": head + f"{host}\r\nContent-Length: -1\r\n\r\n",
        "two lengths": head + f"{host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "a chunked body": head + f"{host}\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        "chunked and a length": head + f"{host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "an absolute address": f"GET http://evil.example{path} HTTP/1.1\r\n{host}\r\n\r\n",
        "HTTP/0.9": f"GET {path}\r\n",
        "HTTP/9.9": f"GET {path} HTTP/9.9\r\n{host}\r\n\r\n",
        "a folded header": head + f"{host}\r\n Origin: x\r\n\r\n",
        "NUL in a header": head + f"{host}\r\nX: a\0b\r\n\r\n",
        "a header without a name": head + f"{host}\r\n: x\r\n\r\n",
        "a line of 100 kB": f"GET /{'x' * 100_000} HTTP/1.1\r\n{host}\r\n\r\n",
        "a header of 100 kB": head + f"{host}\r\nX: {'x' * 100_000}\r\n\r\n",
        "10,000 headers": head + f"{host}\r\n" + "X: y\r\n" * 10_000 + "\r\n",
        "a WebSocket": head + f"{host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://evil\r\n\r\n",
        "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a space in the path": f"GET /sta tus?token={token} HTTP/1.1\r\n{host}\r\n\r\n",
    }
    for name, text in texts.items():
        yield name, lambda text=text: _refused(target.send(text.encode()), 400, 403, 404, 405, 413, 431), 12
    noise = random.Random(0).randbytes
    yield "random bytes", lambda: _refused(target.send(noise(5000) + b"\r\n\r\n"), 400), 8
    yield "TLS", lambda: _refused(target.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise(500)), 400), 8
    yield "a megabyte without a line's end", lambda: _refused(target.send(b"A" * 2**20), 400, 431), 8


def _paths(target: Target) -> Tried:
    """Paths that name no call, asked for by the user's own program: words, or no answer."""

    def words(path: str) -> None:
        answer = target.signed(path)
        assert answer is None or answer.startswith("error\n"), answer
        assert answer is None or len(answer) < 1000

    def kept() -> None:
        """What lies outside of the exchange stays."""
        with tempfile.TemporaryDirectory(dir=target.folder) as other:
            name = Path(other).name
            for path in (f"release/..%2f{name}", f"release/../{name}", "release/", "release/.", "release/%2e%2e"):
                target.signed(path)
            assert Path(other).is_dir(), "a folder outside was removed"

    yield "release of what is no call's", kept, 5
    for path in (
        "run/..%2f..%2fetc%2fpasswd",
        "run/%00%00%00%00%00%00%00",
        "run/" + "x" * 5000,
        "run/short",
        "run/%ed%a0%80%ed%a0%80",
        "run/call-unknown/more",
        "poll/call-unknown/" + "9" * 5000,
        "poll/call-unknown/-1",
        "poll/call-unknown/x",
        "status/",
        "/status",
        "docs",
        "openapi.json",
    ):
        yield f"path {path[:40]}", partial(words, path), 5


def _slow(target: Target) -> Tried:
    """Slow and many connections."""

    def closed(first: bytes, step: bytes) -> None:
        """Closed in time, however slowly it comes."""
        with target.connect() as link:
            link.sendall(first)
            link.settimeout(0.2)
            end = time.monotonic() + 9
            while time.monotonic() < end:
                try:
                    if step:
                        link.sendall(step)
                    if not link.recv(100):
                        return
                except TimeoutError:
                    continue
                except ConnectionError:
                    return
        raise AssertionError("still open after 9 s")

    yield "nothing is sent", lambda: closed(b"", b""), 12
    yield "a byte at a time", lambda: closed(b"GET /status?", b"x"), 12
    yield "a header at a time", lambda: closed(b"GET /status HTTP/1.1\r\n", b"X: y\r\n"), 12

    def flood(data: bytes) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 2 * FLOOD), most))
        with contextlib.ExitStack() as links:
            for number in range(FLOOD):
                link = links.enter_context(target.connect())
                with contextlib.suppress(ConnectionError):
                    link.sendall(data)
                if number % 200 == 199:
                    assert client.status(target.folder) is not None, f"gone after {number} connections"
            assert client.status(target.folder) is not None, "nobody else is answered"

    yield "1,100 half-open connections", lambda: flood(b""), 30
    yield "1,100 half requests", lambda: flood(b"GET /status HTTP/1.1\r\nHost: 127"), 30
    yield "1,100 requests nobody reads", lambda: flood(b"GET /status HTTP/1.1\r\n\r\n"), 30

    def hasty() -> None:
        for _ in range(300):
            target.connect().close()

    yield "300 connections closed at once", hasty, 10


def _bodies(target: Target) -> Tried:
    """Requests as files, run by the user's own program: an error in words."""

    def told(number: int, text: str) -> None:
        key = f"attack-{os.getpid()}-{number}"
        path = target.folder / "requests" / f"{key}.json"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        try:
            answer = target.signed(f"run/{key}")
            for n in range(100):
                if answer is None or not answer.startswith("running"):
                    break
                answer = target.signed(f"poll/{key}/{n}")
        finally:
            path.unlink(missing_ok=True)
        assert answer is not None, "no answer"
        assert answer.startswith("error\n"), answer[:200]
        assert len(answer) < 5000, f"an answer of {len(answer)} letters"
        for wrong in ("Traceback", "report it as a bug", "\nshow=", "\nout="):
            assert wrong not in answer, answer[:300]
        target.signed(f"release/{key}")
        assert not (target.folder / "exchange" / key).exists(), "a folder is left"

    for number, (name, text) in enumerate(BODIES.items()):
        yield f"body: {name}", partial(told, number, text), 10


def _files(target: Target) -> Tried:
    """What else may lie in the folder."""
    requests = target.folder / "requests"

    def odd(make: Callable[[Path], object], remove: Callable[[Path], object]) -> None:
        path = requests / f"attack-{os.getpid()}-odd.json"
        make(path)
        try:
            answer = target.signed(f"run/{path.stem}")
            assert answer is not None, "no answer"
            assert answer.startswith("error\n"), answer
            assert "root:" not in answer
        finally:
            with contextlib.suppress(OSError):
                remove(path)

    yield "a pipe as a request", lambda: odd(os.mkfifo, os.unlink), 5
    yield "a folder as a request", lambda: odd(os.mkdir, os.rmdir), 5
    yield "a link to another file", lambda: odd(lambda path: os.symlink("/etc/passwd", path), os.unlink), 5
    yield "a link to itself", lambda: odd(lambda path: os.symlink(path, path), os.unlink), 5
    yield "a device as a request", lambda: odd(lambda path: os.symlink("/dev/zero", path), os.unlink), 5

    def gone(*names: str) -> None:
        """Removed under it, and there again."""
        for name in names:
            path = target.folder / name
            path.unlink() if path.is_file() else path.rmdir()
        end = time.monotonic() + 5
        while not all((target.folder / name).exists() for name in names):
            assert time.monotonic() < end, f"{names} are not made anew"
            time.sleep(0.1)

    yield "requests/ removed", lambda: gone("requests"), 8
    yield "exchange/ removed", lambda: gone("exchange"), 8
    yield "service.txt removed", lambda: gone(client.INFO), 8

    def damaged() -> None:
        (target.folder / client.INFO).write_bytes(b"")
        end = time.monotonic() + 5
        while client.running(target.folder) is None:
            assert time.monotonic() < end, "the file stays empty"
            time.sleep(0.1)

    yield "service.txt emptied", damaged, 8
