"""The local service behind the macros: operations by GET on the loopback address, one at a time, models kept loaded.

ImageJ's ``File.openUrlAsString`` can only GET, sends each request twice, and gives no text for a status other than 200.
So a macro writes what it wants as ``requests/ID.json`` into the service's private folder and GETs ``/run/ID``; then
``/poll/ID/N`` until the answer is there. A path that was asked for before gets the answer it got before.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import logging.handlers
import os
import re
import secrets
import shutil
import socket
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fijibridge import __version__
from fijibridge.doors.calls import ERROR, CancelledCall, perform
from fijibridge.doors.service import INFO, LOG, private_folder, write_private
from fijibridge.errors import ServiceError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9-]{6,64}")
_WAIT = 0.2  # seconds that a request waits for the answer before it tells of the progress
_LEASE = 10.0  # seconds without a poll after which nobody waits for the answer: Esc ended the macro
_KEPT = 300.0  # seconds that an answer nobody fetched is kept
_REMEMBERED = 4096  # answers that may be asked for once more


@dataclass
class _Job:
    """One call: its future answer and how far it is."""

    folder: Path
    future: Future[str] = field(default_factory=Future)
    part: float = 0.0
    message: str = "waiting"
    cancelled: bool = False
    seen: float = field(default_factory=time.monotonic)

    def watch(self, part: float, message: str) -> None:
        if self.cancelled:
            raise CancelledCall
        self.part, self.message = part, message


class Service:
    """The calls of one running service, and the routes to them.

    Parameters
    ----------
    folder : Path
        Private.
    token : str
        Every request must bear it.
    port : int
        Where the service listens.
    """

    def __init__(self, folder: Path, token: str, port: int) -> None:
        self.folder, self.token, self.port = folder, token, port
        self.began = self.busy = time.monotonic()
        self.executed = 0
        self.ended = asyncio.Event()
        self._jobs: dict[str, _Job] = {}
        self._answers: OrderedDict[str, str] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="operation")
        for name in ("requests", "exchange"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        for path in (folder / "exchange").iterdir():
            if any(path.glob(".*-*")):  # an output half written (fijibridge.output) by a service that was killed
                shutil.rmtree(path, ignore_errors=True)
        self.sweep()  # what an older service or a dead macro left

    # --- routes ------------------------------------------------------------------------------------------------------

    def app(self) -> Starlette:
        """The Starlette application."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        routes = {
            "/status": self._status,
            "/stop": self._stop,
            "/run/{id}": self._run,
            "/poll/{id}/{n:int}": self._poll,
            "/cancel/{id}": self._cancel,
            "/release/{id}": self._release,
        }
        return Starlette(routes=[Route(path, self._guarded(act)) for path, act in routes.items()])

    def _guarded(self, act: Any) -> Any:
        from starlette.responses import PlainTextResponse

        async def route(request: Request) -> Response:
            if why := self._refusal(request):
                log.warning("refused %s: %s", request.url.path, why)
                return PlainTextResponse("refused", status_code=403)
            self.busy = time.monotonic()
            path = request.url.path
            if path not in self._answers:
                self._answers[path] = await act(request)
                while len(self._answers) > _REMEMBERED:
                    self._answers.popitem(last=False)
            answer = self._answers[path] if "id" in request.path_params else self._answers.pop(path)
            return PlainTextResponse(answer)

        return route

    def _refusal(self, request: Request) -> str:
        """Why a request is not from a macro of this user; empty if it is."""
        if request.headers.get("host") != f"127.0.0.1:{self.port}":
            return "another Host"
        if "origin" in request.headers or "sec-fetch-site" in request.headers:
            return "from a web page"
        if not hmac.compare_digest(request.query_params.get("token", "").encode(), self.token.encode()):
            return "no token, or a wrong one"
        return ""

    async def _status(self, _: Request) -> str:
        return "\n".join(
            [
                f"version={__version__}",
                f"pid={os.getpid()}",
                f"port={self.port}",
                f"uptime_s={time.monotonic() - self.began:.0f}",
                f"executed={self.executed}",
                f"waiting={self.waiting}",
                f"log={(self.folder / LOG).as_posix()}",
            ]
        )

    async def _stop(self, _: Request) -> str:
        self.ended.set()
        return "stopping"

    async def _run(self, request: Request) -> str:
        key = request.path_params["id"]
        if not _ID.fullmatch(key):
            return f"{ERROR}\na request named {key[:80]!r}"
        if key not in self._jobs:
            path = self.folder / "requests" / f"{key}.json"
            try:
                wanted = json.loads(path.read_text(encoding="utf-8"))
                path.unlink()
                name, values, options = wanted["operation"], wanted["arguments"], wanted.get("options", "")
                if not (isinstance(values, dict) and isinstance(options, str)):
                    raise TypeError("arguments or options of another kind")
            except (OSError, ValueError, KeyError, TypeError) as error:
                return f"{ERROR}\nthe request {key} cannot be read ({type(error).__name__}: {error})"
            job = _Job(self.folder / "exchange" / key)
            self._jobs[key] = job
            job.future = self._worker.submit(self._work, job, name, values, options)
        return await self._answer(key)

    def _work(self, job: _Job, name: str, values: dict[str, Any], options: str) -> str:
        self.executed += 1
        job.folder.mkdir(mode=0o700, exist_ok=True)
        try:
            job.watch(0.0, name)
            if name == "status":
                return "done\n" + f"version={__version__}\npid={os.getpid()}"
            return perform(name, values, options, place=job.folder, watch=job.watch, whole_paths=True)
        except CancelledCall:
            log.info("%s was cancelled", name)
            return f"{ERROR}\n{name} was cancelled; nothing was written"

    async def _poll(self, request: Request) -> str:
        return await self._answer(request.path_params["id"])

    async def _answer(self, key: str) -> str:
        job = self._jobs.get(key)
        if job is None:
            return (
                f"{ERROR}\nthe service does not know the request {key} (it was started anew, or nobody asked in time)"
            )
        job.seen = time.monotonic()
        await asyncio.wait([asyncio.wrap_future(job.future)], timeout=_WAIT)
        job.seen = time.monotonic()
        if not job.future.done():
            return f"running\t{job.part:.4f}\t{job.message}"
        answer = job.future.result()
        if not job.folder.is_dir() or not any(job.folder.iterdir()):  # nothing there that the macro will read
            self._forget(key)
        return answer

    async def _cancel(self, request: Request) -> str:
        if (job := self._jobs.get(request.path_params["id"])) is not None:
            job.cancelled = True
        return "cancelled"

    async def _release(self, request: Request) -> str:
        self._forget(request.path_params["id"])
        return "released"

    # --- housekeeping ------------------------------------------------------------------------------------------------

    def _forget(self, key: str) -> None:
        job = self._jobs.get(key)
        if job is not None and job.future.done():
            del self._jobs[key]
            shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Cancel what nobody waits for, forget what nobody fetched."""
        now = time.monotonic()
        for key, job in list(self._jobs.items()):
            if not job.future.done():
                self.busy = now
                if now - job.seen > _LEASE:
                    job.cancelled = True
            elif now - job.seen > (0 if job.cancelled else _KEPT):
                self._forget(key)
        for path in (*(self.folder / "requests").iterdir(), *(self.folder / "exchange").iterdir()):
            try:
                if path.stem not in self._jobs and time.time() - path.stat().st_mtime > _KEPT:
                    path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
            except OSError:  # gone meanwhile, or still open
                continue

    @property
    def waiting(self) -> int:
        """How many calls are not done."""
        return sum(not job.future.done() for job in self._jobs.values())

    def close(self) -> None:
        """Let go of the calls."""
        for job in self._jobs.values():
            job.cancelled = True
        self._worker.shutdown(wait=True, cancel_futures=True)


def serve(folder: Path, *, idle: float) -> None:
    """Run the service until it is stopped, or idle for long.

    Parameters
    ----------
    folder : Path
        Private; one service a folder.
    idle : float
        Minutes without a call after which it ends; 0: never.

    Raises
    ------
    ServiceError
        One runs already, or the folder cannot be used.
    """
    from filelock import FileLock, Timeout

    private_folder(folder)
    try:
        with FileLock(folder / "service.lock", timeout=0):
            (folder / INFO).unlink(missing_ok=True)
            try:
                asyncio.run(_serve(folder, idle))
            finally:
                (folder / INFO).unlink(missing_ok=True)
    except Timeout as error:
        raise ServiceError(
            "a service runs already", expected="one a user", remedy="fijibridge serve --stop ends it"
        ) from error


async def _serve(folder: Path, idle: float) -> None:
    import uvicorn

    token, started = secrets.token_urlsafe(32), time.time()
    _log_to(folder / LOG, token)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        service = Service(folder, token, listener.getsockname()[1])
        config = uvicorn.Config(
            service.app(), access_log=False, log_config=None, lifespan="off", server_header=False, ws="none"
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        write_private(folder / INFO, f"{service.port}\n{token}\n{os.getpid()}\n{__version__}\n")
        log.info("fijibridge %s, process %d, port %d", __version__, os.getpid(), service.port)
        threading.Thread(target=_warm_up, daemon=True).start()
        stopped = asyncio.create_task(service.ended.wait())
        while not running.done() and not stopped.done():
            await asyncio.wait([running, stopped], timeout=1, return_when="FIRST_COMPLETED")
            service.sweep()
            if idle and time.monotonic() - service.busy > 60 * idle:
                log.info("idle for %g minutes", idle)
                break
            if not service.waiting and _newest_file() > started:  # else old and new parts would meet
                log.info("fijibridge was updated")
                break
        stopped.cancel()
        server.should_exit = True
        await running
        service.close()
        log.info("ended")


def _newest_file() -> float:
    """When fijibridge's code changed last."""
    return max(path.stat().st_mtime for path in Path(__file__).parents[1].rglob("*.py"))


def _warm_up() -> None:
    """Load what nearly every call needs while the user still looks for an image."""
    try:
        import sklearn.ensemble  # noqa: F401
        import timm  # noqa: F401
        import torch  # noqa: F401
    except Exception:
        log.exception("a library does not load")


class _Redacted(logging.Filter):
    """No token in a log."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if self.token in text:
            record.msg, record.args = text.replace(self.token, "***"), ()
        return True


def _log_to(path: Path, token: str) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=2**20, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_Redacted(token))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("fijibridge").setLevel(logging.INFO)
