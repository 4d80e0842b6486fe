"""The service against strangers, floods, damaged files, pauses, and clients that are gone."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from macro_client import call, get, request, values, wait
from shell import write_image

from fijibridge.frontends.service import client as service

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")]


@pytest.fixture
def running(service_folder):
    return service.start_in_background(service_folder)


@contextlib.contextmanager
def stranger(
    answer: bytes = b"done\nversion=9\npid=1\nwaiting=0\n", status: int = 200
) -> Iterator[tuple[int, list[str]]]:
    """Another user's web server: its port, and what it was asked."""
    heard: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.requestline + str(self.headers))
            self.send_response(status)
            self.send_header(service.PROOF, "0" * 64)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, heard
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A program that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


def serve(folder: Path, *more: str, cwd: Path | None = None) -> str:
    command = [sys.executable, "-c", service.STARTER, "serve", "--folder", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd).stdout


def stale(folder: Path, port: int) -> str:
    token = "s3cret" * 7
    (folder / service.INFO).write_text(f"{port}\n{token}\n{os.getpid()}\n0.1\n", encoding="utf-8")
    return token


# --- a stranger on the port ------------------------------------------------------------------------------------------


def test_a_stranger_is_told_from_the_service(tmp_path):
    with stranger() as (port, heard):
        token = stale(tmp_path, port)
        began = time.monotonic()
        assert service.status(tmp_path) is None
        assert serve(tmp_path, "--status") == "no service runs\n"
        assert serve(tmp_path, "--stop") == "no service ran\n"
        assert time.monotonic() - began < 10
        assert serve(tmp_path, "--background") == "ready\n"
        found = service.running(tmp_path)
        try:
            assert found is not None
            assert found.port != port
            assert service.status(tmp_path) is not None
            assert heard
            assert not any(token in line or found.token in line for line in heard)
        finally:
            service.stop(tmp_path)


def test_an_answer_is_worth_nothing_to_another_challenge(running):
    """A stranger that forwards an old answer of the service's, or its own, is not believed."""
    assert service.ask(running, "status") is not None
    with stranger() as (port, _):
        assert service.ask(service.Running(port, running.token, running.pid), "status") is None
    assert service.ask(service.Running(running.port, "another token", running.pid), "status") is None


def test_a_silent_program_on_the_port(tmp_path):
    with silent() as port:
        stale(tmp_path, port)
        began = time.monotonic()
        assert service.stop(tmp_path) is False
        assert time.monotonic() - began < 8
        assert serve(tmp_path, "--background") == "ready\n"
    service.stop(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n\n", b"no port here", b"70000\nt\n1\n", b"-1 t 1", b"1\nt\n0", b"\xff\xfe\x00", b"\0" * 10**6, None],
    ids=["empty", "blank", "words", "port", "negative", "pid", "binary", "zeros", "folder"],
)
def test_a_file_that_says_nothing_is_none(tmp_path, content):
    if content is None:
        (tmp_path / service.INFO).mkdir()
    else:
        (tmp_path / service.INFO).write_bytes(content)
    assert service.status(tmp_path) is None
    if content in (b"", None):
        assert serve(tmp_path, "--background") == "ready\n"
        assert service.stop(tmp_path)


def test_a_macro_is_known_by_the_file_of_its_call(running, service_folder):
    """It sends a key of its own, never the token, and believes what begins with its call's proof."""

    def raw(path: str) -> str:
        with socket.create_connection(("127.0.0.1", running.port), 10) as link:
            link.sendall(f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n".encode())
            return b"".join(iter(lambda: link.recv(65536), b"")).decode()

    name, other = request(service_folder, "status", {}), request(service_folder, "status", {})
    key, proof = "k" * 36, "p" * 36
    place = service_folder / "exchange" / name
    place.mkdir()
    (place / "key.txt").write_text(f"{key}\n{proof}\n", encoding="utf-8")
    assert " 403 " in raw(f"run/{name}?key={'x' * 36}")
    assert " 403 " in raw(f"run/{other}?key={key}")
    assert " 403 " in raw(f"status?key={key}")
    assert " 403 " in raw(f"run/{name}")
    assert raw(f"run/{name}?key={key}").split("\r\n\r\n")[1].startswith(f"{proof}\ndone\nversion=")
    assert raw(f"release/{name}?key={key}").endswith(f"{proof}\nreleased")
    assert raw(f"release/{name}?key={key}").endswith(f"{proof}\nreleased")
    assert not place.exists()
    get(running, f"run/{other}")


# --- floods, files that go, pauses -----------------------------------------------------------------------------------


def test_half_open_connections(tmp_path):
    """More than the service may have files open; then its folders are removed under it, and its file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    command = f"ulimit -n 1024; exec {sys.executable} -c '{service.STARTER}' serve --folder '{tmp_path}'"
    process = subprocess.Popen(["sh", "-c", command])
    links = []
    try:
        end = time.monotonic() + 60
        while service.status(tmp_path) is None:
            assert time.monotonic() < end
            time.sleep(0.1)
        found = service.running(tmp_path)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))
        for number in range(1100):
            link = socket.socket()
            link.connect(("127.0.0.1", found.port))
            if number % 2:
                link.sendall(b"GET /status HTTP/1.1\r\nHost:")
            links.append(link)
            if number % 100 == 0:
                assert service.status(tmp_path) is not None
        for name in ("requests", "exchange"):
            (tmp_path / name).rmdir()
        (tmp_path / service.INFO).unlink()
        end = time.monotonic() + 10
        while not (tmp_path / service.INFO).exists() or not (tmp_path / "requests").exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        assert values(call(found, tmp_path, "status", {}))["pid"] == str(process.pid)
    finally:
        for link in links:
            link.close()
        process.terminate()
        process.wait(20)


def test_a_pause_cancels_nothing(tmp_path, service_folder, running):
    """A suspended laptop: nobody can poll, so nobody is gone."""
    key = big_training(tmp_path, service_folder, trees=800)
    assert get(running, f"run/{key}").startswith("running")
    os.kill(running.pid, signal.SIGSTOP)
    time.sleep(13)
    os.kill(running.pid, signal.SIGCONT)
    answer = wait(running, key)
    assert answer.startswith("done\n"), answer
    get(running, f"release/{key}")


def big_training(folder: Path, service_folder: Path, *, trees: int, engine: str = "sklearn") -> str:
    """A request whose training takes long, and looks at nothing."""
    rng = np.random.default_rng(0)
    write_image(folder / "image.tif", rng.integers(0, 60000, (160, 160), np.uint16))
    labels = np.zeros((160, 160), np.uint8)
    labels[:20, :100] = rng.integers(1, 3, (20, 100))
    write_image(folder / "labels.tif", labels)
    given = {"image": str(folder / "image.tif"), "labels": str(folder / "labels.tif"), "features": "tws"}
    return request(service_folder, "segment", {**given, "trees": trees, "threads": 1, "engine": engine, "head": "none"})


@pytest.mark.parametrize("engine", ["sklearn", "weka"])
def test_a_client_that_is_gone(tmp_path, service_folder, running, engine, request):
    """Its training ends in ten seconds, with all processes of it, and the next call does not wait."""
    if engine == "weka":
        request.getfixturevalue("java")
    key = big_training(tmp_path, service_folder, trees=10000, engine=engine)
    answer = get(running, f"run/{key}")
    for n in range(1000):
        if not answer.startswith("running"):
            break
        if "forest" in answer or "train" in answer or n > 60:
            break
        answer = get(running, f"poll/{key}/{n}")
    assert answer.startswith("running"), answer
    began = time.monotonic()
    while service.status(service_folder)["waiting"] != "0":
        assert time.monotonic() - began < 12
        time.sleep(0.2)
    assert values(call(running, service_folder, "doctor", {}))["operation"] == "doctor"
    end = time.monotonic() + 10
    while len(psutil.Process(running.pid).children()) != 1:  # the worker
        assert time.monotonic() < end
        time.sleep(0.1)
    assert not list((service_folder / "exchange").iterdir())


def test_the_worker_ends_with_a_killed_service(tmp_path, service_folder, running):
    key = big_training(tmp_path, service_folder, trees=10000)
    get(running, f"run/{key}")
    children = psutil.Process(running.pid).children(recursive=True)
    assert children
    os.kill(running.pid, signal.SIGKILL)
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert not list(tmp_path.glob(".*"))
    service.start_in_background(service_folder)
    assert not (service_folder / "exchange" / key).exists()


def test_a_worker_that_dies_is_told_and_replaced(tmp_path, service_folder, running):
    key = big_training(tmp_path, service_folder, trees=10000)
    get(running, f"run/{key}")
    for child in psutil.Process(running.pid).children():
        child.kill()
    assert "its process died (status -9)" in wait(running, key)
    get(running, f"release/{key}")
    assert values(call(running, service_folder, "doctor", {}))["operation"] == "doctor"


# --- bad requests ----------------------------------------------------------------------------------------------------

BODIES = {
    "nested": "[" * 100_000,
    "nested in arguments": '{"operation": "segment", "arguments": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}",
    "surrogate": '{"operation": "segment", "arguments": {"image": "/\\ud800.tif", "labels": "/b"}}',
    "surrogate in the name": '{"operation": "\\udfff", "arguments": {}}',
    "surrogate in a key": '{"operation": "segment", "arguments": {"\\ud800": 1}}',
    "surrogate in options": '{"operation": "segment", "arguments": {}, "options": "a=\\ud800"}',
    "NUL": '{"operation": "segment", "arguments": {"image": "/a\\u0000b.tif", "labels": "/b"}}',
    "line break": '{"operation": "segment", "arguments": {"image": "/a.tif", "labels": "/b\\nshow=/etc/passwd"}}',
    "list for the name": '{"operation": ["segment"], "arguments": {}}',
    "list for a value": '{"operation": "segment", "arguments": {"image": ["/a"], "labels": "/b", "trees": [1, 2]}}',
    "object for a value": '{"operation": "segment", "arguments": {"image": {"a": 1}, "labels": "/b"}}',
    "no object": "5",
    "nothing": "",
    "no arguments": '{"operation": "segment"}',
    "null": '{"operation": null, "arguments": null}',
    "4301 digits": '{"operation": "segment", "arguments": {"image": "/a", "labels": "/b", "trees": '
    + "1" * 4301
    + "}}",
    "digits in options": json.dumps(
        {"operation": "segment", "arguments": {"image": "/a", "labels": "/b"}, "options": "trees=" + "9" * 4301}
    ),
    "NaN": '{"operation": "segment", "arguments": {"image": "/a", "labels": "/b", "trees": NaN}}',
    "infinite": '{"operation": "segment", "arguments": {"image": "/a", "labels": "/b", "seed": 1e999}}',
    "brackets": json.dumps({"operation": "segment", "arguments": {}, "options": "a=[" * 20_000}),
    "long options": json.dumps({"operation": "segment", "arguments": {}, "options": "x " * 32_000}),
    "blank options": json.dumps({"operation": "segment", "arguments": {}, "options": " " * 200_000 + "="}),
    "too large": " " * (2**20 + 1),
    "a forged option": json.dumps(
        {
            "operation": "segment",
            "arguments": {"image": "/a", "labels": "/b"},
            "options": "out=[/data/x] overwrite out=[/home/me]",
        }
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_told_in_words(running, service_folder, name):
    key = f"test-{os.getpid()}-{abs(hash(name))}"
    (service_folder / "requests" / f"{key}.json").write_text(BODIES[name], encoding="utf-8")
    began = time.monotonic()
    answer = wait(running, key)
    assert time.monotonic() - began < 3
    get(running, f"release/{key}")
    (service_folder / "requests" / f"{key}.json").unlink(missing_ok=True)
    assert answer.startswith("error\n"), answer
    assert len(answer) < 5000
    for wrong in ("Traceback", "report it as a bug", "Internal Server Error", "\nshow="):
        assert wrong not in answer


def test_a_pipe_for_a_request_is_not_waited_for(running, service_folder):
    path = service_folder / "requests" / "test-pipe-1.json"
    os.mkfifo(path)
    try:
        assert get(running, "run/test-pipe-1").startswith("error\n")
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "path", ["poll/test-other/" + "1" * 5000, "run/..%2f..%2fx", "run/%00%00%00%00%00%00", "status/"]
)
def test_odd_paths(running, service_folder, path):
    answer = service.ask(running, path)
    assert answer is None or answer.startswith("error\n")
    assert service.status(service_folder) is not None


# --- the folder that it is started in --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["starter", "module"])
def test_what_lies_in_the_present_folder_is_not_run(tmp_path, how):
    """A folder of scripts with the names of modules, where Fiji, or a shell, happens to be."""
    here, folder = tmp_path / "here", tmp_path / "service"
    here.mkdir()
    for name in ("typer", "random", "socket", "uvicorn", "numpy", "json", "pathlib", "filelock", "platformdirs"):
        (here / f"{name}.py").write_text(f"open({str(here / 'executed')!r}, 'a').write('{name} ')\n", encoding="utf-8")
    start = ["-c", service.STARTER] if how == "starter" else ["-m", "fijibridge"]
    command = [sys.executable, *start, "serve", "--background", "--folder", str(folder)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=120, check=False, env=environment)
    try:
        assert (done.stdout, done.stderr) == ("ready\n", "")
        found = service.running(folder)
        assert values(call(found, folder, "doctor", {}))["operation"] == "doctor"
        assert not (here / "executed").exists(), (here / "executed").read_text()
    finally:
        service.stop(folder)
