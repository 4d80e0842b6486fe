"""The local service: one a user, private, each request once, calls one after the other, nothing left."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from macro_client import call, get, request, values, wait
from shell import write_image, write_sample

from fijibridge.core.errors import ServiceError
from fijibridge.frontends.service import client as service
from fijibridge.frontends.service import server as server_module

pytestmark = pytest.mark.slow

FAST = {"features": "tws", "trees": 8, "threads": 1}


@pytest.fixture
def running(service_folder):
    return service.start_in_background(service_folder)


@pytest.fixture
def sample(tmp_path) -> dict[str, object]:
    write_sample(tmp_path, 96)
    return {"image": str(tmp_path / "image.tif"), "labels": str(tmp_path / "labels.tif"), **FAST}


def raw(running: service.Running, path: str, **headers: str) -> int:
    """The status of a GET with these headers."""
    url = f"http://127.0.0.1:{running.port}/{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


# --- who may call ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("wrong", {}),
        ("right", {"Origin": "http://evil.example"}),
        ("right", {"Origin": "null"}),
        ("right", {"Sec-Fetch-Site": "cross-site"}),
        ("right", {"Host": "evil.example"}),
        ("right", {"Host": "localhost"}),
    ],
)
def test_strangers_are_refused_and_logged(running, service_folder, token, headers):
    query = {"": "status", "wrong": "status?token=wr%C3%B6ng"}.get(token, f"status?token={running.token}")
    assert raw(running, query, **headers) == 403
    log = (service_folder / service.LOG).read_text(encoding="utf-8")
    assert "refused /status" in log
    assert running.token not in log


def test_a_friend_is_not(running):
    assert raw(running, f"status?token={running.token}") == 200
    assert raw(running, f"nothing?token={running.token}") == 404


def test_it_listens_on_the_loopback_address_alone(running):
    places = {c.laddr.ip for c in psutil.Process(running.pid).net_connections("inet") if c.status == "LISTEN"}
    assert places == {"127.0.0.1"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_its_files_are_the_users_own(running, service_folder):
    assert stat.S_IMODE(service_folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((service_folder / service.INFO).stat().st_mode) == 0o600


def test_the_log_never_holds_the_token():
    import logging

    record = logging.LogRecord("x", logging.INFO, "", 0, "GET /status?token=%s", ("s3cret",), None)
    assert server_module._Redacted("s3cret").filter(record)
    assert record.getMessage() == "GET /status?token=***"


# --- calls -----------------------------------------------------------------------------------------------------------


def test_a_request_sent_twice_is_executed_once(running, service_folder):
    before = int(service.status(service_folder)["executed"])
    key = request(service_folder, "status", {})
    answers = {get(running, f"run/{key}") for _ in range(5)}
    assert len(answers) == 1
    assert answers.pop().startswith("done\nversion=")
    assert int(service.status(service_folder)["executed"]) == before + 1
    assert not list((service_folder / "requests").iterdir())


def test_segment_and_fetch_the_images(running, service_folder, sample, tmp_path):
    key = request(service_folder, "segment", sample, "classes=[ISE, CAM, pore] seed=3")
    answer = wait(running, key)
    found = values(answer)
    assert found["class_names"] == "ISE,CAM,pore"
    assert found["out"] == ""  # no folder was given: the images are for ImageJ to open
    shown = [line.removeprefix("show=").split("\t") for line in answer.splitlines() if line.startswith("show=")]
    assert {title for _, title in shown} == {"image_labels", "image_probabilities"}
    assert all(Path(path).is_file() for path, _ in shown)
    get(running, f"release/{key}")
    assert not list((service_folder / "exchange").iterdir())

    out = tmp_path / "kept"
    answer = call(running, service_folder, "segment", {**sample, "out": str(out)})
    assert values(answer)["out"] == out.as_posix()
    assert (out / "labels.tif").is_file()
    again = call(running, service_folder, "segment", {**sample, "out": str(out)})
    assert again.startswith("error\n")
    assert "exists already" in again


@pytest.mark.parametrize(
    ("operation", "arguments", "options", "told"),
    [
        ("segmnt", {}, "", "no operation 'segmnt'"),
        ("segment", {}, "", "no image is open"),
        ("segment", {"image": "/x.tif"}, "", "segment without labels"),
        ("segment", {"image": "/x.tif", "labels": "/y.tif"}, "", "/x.tif"),
        ("segment", {"image": "x.tif", "labels": "/y.tif"}, "", "image = x.tif, a path that does not say"),
        ("segment", {"image": "/x.tif", "labels": "/y.tif"}, "trees=0", "trees = 0"),
        ("segment", {"image": "/x.tif", "labels": "/y.tif"}, "trees=0", "1 to 10000"),
        ("segment", {"image": "/x.tif", "labels": "/y.tif"}, "engine=java", "one of sklearn, weka"),
        ("segment", {"image": "/x.tif", "labels": "/y.tif"}, "trees=many", "a whole number"),
        ("segment", {"image": "/x.tif", "labels": "/y.tif"}, "tress=5", "did you mean trees?"),
        ("segment", {"image": "/x.tif", "labels": "/y.tif"}, "a=[b", "not understood"),
        ("apply", {"classifier": "/nowhere", "images": "/x.tif"}, "", "no classifier /nowhere"),
        ("status", [], "", "cannot be read"),
    ],
)
def test_bad_calls_are_told_in_words(running, service_folder, operation, arguments, options, told):
    answer = call(running, service_folder, operation, arguments, options)
    assert answer.startswith("error\n")
    assert told in answer
    assert service.status(service_folder) is not None


def test_requests_that_are_none(running, service_folder):
    assert "the request test-nothing cannot be read" in get(running, "run/test-nothing")
    assert get(running, "run/x").startswith("error\na request named")
    assert "does not know the request" in get(running, "poll/test-other/1")
    (service_folder / "requests" / "test-half.json").write_text('{"operation": "sta', encoding="utf-8")
    assert "cannot be read" in get(running, "run/test-half")
    (service_folder / "requests" / "test-half.json").unlink()


def test_a_call_is_cancelled(running, service_folder, tmp_path):
    write_image(tmp_path / "image.tif", np.random.default_rng(0).integers(0, 9999, (1500, 1500), np.uint16))
    key = request(service_folder, "features", {"image": str(tmp_path / "image.tif"), "features": "tws", "threads": 1})
    answer = get(running, f"run/{key}")
    assert answer.startswith("running\t")
    get(running, f"cancel/{key}")
    began = time.monotonic()
    assert "was cancelled; nothing was written" in wait(running, key)
    assert time.monotonic() - began < 20
    get(running, f"release/{key}")
    assert not list((service_folder / "exchange").iterdir())


def test_nobody_waits_any_more(tmp_path, monkeypatch):
    """Esc ends a macro, and with it the polls: what it asked for is cancelled, and what it left removed."""
    ended = threading.Event()

    def endless(_, order, watch):
        watch(0.5, "working")
        return None if ended.wait(30) else "done"

    monkeypatch.setattr(server_module.Worker, "call", endless)
    monkeypatch.setattr(server_module.Worker, "cancel", lambda _: ended.set())

    async def story() -> None:
        mine = server_module.Service(tmp_path, "token", 1)
        key = request(tmp_path, "features", {})
        job_request = type("Request", (), {"path_params": {"id": key}})
        assert (await mine._run(job_request)).startswith("running\t0.5")
        mine.sweep()
        assert not ended.is_set()
        mine._looked -= 3600  # the computer slept
        mine._jobs[key].seen -= 3600
        mine.sweep()
        assert not ended.is_set()
        mine._jobs[key].seen -= server_module._LEASE + 1
        mine.sweep()
        assert ended.is_set()
        while not mine._jobs[key].future.done():
            await asyncio.sleep(0.01)
        mine.sweep()
        assert not mine._jobs
        assert not list((tmp_path / "exchange").iterdir())
        mine.close()

    asyncio.run(story())


def test_what_a_dead_macro_left_is_swept(tmp_path):
    for name in ("requests/old.json", "exchange/old/image.tif", "requests/new.json", "exchange/new/image.tif"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    long_ago = time.time() - 3600
    for name in ("requests/old.json", "exchange/old"):
        os.utime(tmp_path / name, (long_ago, long_ago))

    async def story() -> None:
        server_module.Service(tmp_path, "token", 1).close()

    asyncio.run(story())
    assert sorted(p.name for p in (tmp_path / "requests").iterdir()) == ["new.json"]
    assert sorted(p.name for p in (tmp_path / "exchange").iterdir()) == ["new"]


def test_what_a_killed_service_had_half_written_is_removed(tmp_path):
    for name in ("exchange/killed/.labels-ab12/labels.tif", "exchange/waiting/image.tif", "exchange/waiting/.DS_Store"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    async def story() -> None:
        server_module.Service(tmp_path, "token", 1).close()

    asyncio.run(story())
    assert [p.name for p in (tmp_path / "exchange").iterdir()] == ["waiting"]
    assert (tmp_path / "exchange/waiting/image.tif").exists()


def test_load(running, service_folder):
    """500 calls in a row and 50 at once: no error, no file left, and memory that does not grow."""
    process = psutil.Process(running.pid)

    def trivial(_: int = 0) -> str:
        return call(running, service_folder, "status", {})

    for _ in range(100):
        trivial()
    before = process.memory_info().rss
    answers = [trivial() for _ in range(500)]
    with ThreadPoolExecutor(50) as crowd:
        answers += crowd.map(trivial, range(50))
    assert all(answer.startswith("done\n") for answer in answers)
    assert process.memory_info().rss < 1.1 * before
    for name in ("requests", "exchange"):
        assert not list((service_folder / name).iterdir())


# --- start and end ---------------------------------------------------------------------------------------------------


def serve(folder: Path, *more: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "error", "-m", "fijibridge", "serve", "--folder", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_from_the_shell(tmp_path):
    done = serve(tmp_path, "--status")
    assert (done.returncode, done.stdout) == (1, "no service runs\n")
    assert serve(tmp_path, "--stop").stdout == "no service ran\n"
    done = serve(tmp_path, "--background")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")
    try:
        found = serve(tmp_path, "--status")
        assert found.returncode == 0
        assert f"log: {(tmp_path / service.LOG).as_posix()}" in found.stdout
        assert serve(tmp_path, "--background").stdout == "ready\n"  # the same one
        done = serve(tmp_path)
        assert done.returncode == 2
        assert "a service runs already" in done.stderr
    finally:
        assert serve(tmp_path, "--stop").stdout == "stopped\n"
    assert not (tmp_path / service.INFO).exists()


def test_two_at_once_start_one(tmp_path):
    with ThreadPoolExecutor(2) as pair:
        one, other = pair.map(service.start_in_background, [tmp_path] * 2)
    try:
        assert one == other
    finally:
        service.stop(tmp_path)


def test_a_killed_one_is_replaced(tmp_path):
    first = service.start_in_background(tmp_path)
    os.kill(first.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first.pid)] if psutil.pid_exists(first.pid) else [], timeout=10)
    assert service.ask(first, "status") is None
    assert service.status(tmp_path) is None
    second = service.start_in_background(tmp_path)
    try:
        assert second.pid != first.pid
        assert second.token != first.token
    finally:
        service.stop(tmp_path)


def test_it_ends_when_idle(tmp_path):
    began = time.monotonic()
    assert serve(tmp_path, "--idle", "0.03").returncode == 0
    assert time.monotonic() - began < 60
    assert not (tmp_path / service.INFO).exists()


def test_it_is_replaced_when_fijibridge_is_updated(tmp_path):
    """Whoever asks it next gets a new one, as a macro does whose request is still there."""
    file = Path(server_module.__file__)
    before = file.stat()
    found = service.start_in_background(tmp_path)
    try:
        os.utime(file, (time.time() + 5, time.time() + 5))
        time.sleep(2)
        assert psutil.pid_exists(found.pid)  # nobody asked yet: it looks at no file of its own accord
        key = request(tmp_path, "status", {})
        assert raw(found, f"run/{key}?token={found.token}") == 503
        assert (tmp_path / "requests" / f"{key}.json").is_file()
        second = service.start_in_background(tmp_path)
        assert second.pid != found.pid
        old = [psutil.Process(found.pid)] if psutil.pid_exists(found.pid) else []
        assert not psutil.wait_procs(old, timeout=10)[1]  # it gave its lock back, and may be leaving still
        assert wait(second, key).startswith("done\n")
        os.utime(file, (time.time() + 10, time.time() + 10))
        assert service.status(tmp_path) is None  # one that is about to end serves nobody
    finally:
        os.utime(file, (before.st_atime, before.st_mtime))
        service.stop(tmp_path)


def test_it_cannot_start(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match="cannot be used"):
        service.start_in_background(tmp_path / "file")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    (tmp_path / "broken" / "uvicorn").mkdir(parents=True)
    (tmp_path / "broken" / "uvicorn" / "__init__.py").write_text("raise ImportError('uvicorn is damaged')")
    with pytest.raises(ServiceError, match="uvicorn is damaged") as caught:
        service.start_in_background(tmp_path / "new")
    assert str(tmp_path / "new" / service.LOG) in caught.value.remedy
    done = serve(tmp_path / "new", "--background")
    assert done.returncode == 2
    assert "does not start" in done.stdout  # a macro's exec() gives standard output alone
