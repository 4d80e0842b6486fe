"""The local service behind the macros: operations by GET on the loopback address, one at a time, models kept loaded.

ImageJ's ``File.openUrlAsString`` can only GET, sends each request twice, and gives no text for a status other than 200.
So a macro writes what it wants as ``requests/ID.json`` into the service's private folder and GETs ``/run/ID``; then
``/poll/ID/N`` until the answer is there. A path that was asked for before gets the answer it got before.

Who may ask, and how the service shows that it is the service, is in `fijibridge.frontends.service.callers`; the
operations run in a process of their own (`fijibridge.frontends.service.worker`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import logging.handlers
import os
import re
import secrets
import shutil
import socket
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fijibridge
from fijibridge import __version__
from fijibridge.core.errors import ServiceError
from fijibridge.frontends.dispatch import ERROR
from fijibridge.frontends.service.callers import Callers, small_file
from fijibridge.frontends.service.client import INFO, LOCK, LOG, cannot_be_used, private_folder, running, write_private
from fijibridge.frontends.service.worker import Worker

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9-]{6,64}")
_WAIT = 0.2  # seconds that a request waits for the answer before it answers with the progress
_LEASE = 6.5  # seconds without a poll after which nobody waits for the answer: Esc ended the macro
_KEPT = 300.0  # seconds that an answer nobody fetched is kept
_REMEMBERED = 4096  # answers that may be asked for once more
_ENDING = 1.0  # seconds that another service has to end
_TICK = 0.5  # seconds between two looks at calls and files
_PAUSED = 4 * _TICK  # more than this between two looks: the computer slept, and the callers with it
_BEAT = 5.0  # seconds after which the service's file gets a new date, by which a macro sees that it is not stale
_LARGEST_REQUEST = 2**20  # bytes


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
        self.folder, self.port = folder, port
        self.callers = Callers(folder / "exchange", token, port)
        self.began = self.busy = time.monotonic()
        self.code = _newest_file()
        self.executed = 0
        self.ended = asyncio.Event()
        self._jobs: dict[str, _Job] = {}
        self._answers: OrderedDict[str, str] = OrderedDict()
        self._line = ThreadPoolExecutor(1, thread_name_prefix="operation")
        self._worker = Worker(folder)
        self._current: _Job | None = None
        self._looked = time.monotonic()
        self._make_folders()
        for path in (folder / "exchange").iterdir():
            # of a service that was killed: an output half written, or nothing yet
            if path.is_dir() and (any(path.glob(".*-*")) or not any(path.iterdir())):
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
            "/poll/{id}/{n}": self._poll,
            "/cancel/{id}": self._cancel,
            "/release/{id}": self._release,
        }
        made = Starlette(routes=[Route(path, self._guarded(act)) for path, act in routes.items()])
        made.router.redirect_slashes = False
        return made

    def _guarded(self, act: Any) -> Any:
        from starlette.responses import PlainTextResponse

        async def route(request: Request) -> Response:
            if why := self.callers.refusal(request):
                log.warning("refused %s: %s", request.url.path[:200], why)
                return PlainTextResponse("refused", status_code=403)
            plain = request.method == "GET" and request.scope["http_version"] in ("1.0", "1.1")
            if not plain or {"content-length", "transfer-encoding"} & set(request.headers):
                return PlainTextResponse("a GET without a body is expected", status_code=405)
            path = request.url.path
            if path.startswith(("/run/", "/status")) and path not in self._answers and self._outdated():
                return PlainTextResponse("fijibridge was updated", status_code=503)
            self.busy = time.monotonic()
            if path not in self._answers:
                try:
                    text = await act(request)
                except Exception as error:
                    log.exception("%s failed", path[:200])
                    text = f"{ERROR}\nthe service failed: {type(error).__name__}: {error}"
                self._answers[path] = text.encode("utf-8", "replace").decode("utf-8")
                while len(self._answers) > _REMEMBERED:
                    self._answers.popitem(last=False)
            answer = self._answers[path] if "id" in request.path_params else self._answers.pop(path)
            text, headers = self.callers.proven(request, answer)
            return PlainTextResponse(text, headers=headers)

        return route

    def _outdated(self) -> bool:
        """Whether fijibridge was updated since the start, so that old and new parts would meet.

        The service ends then, once nothing runs. It looks when it is asked for something new: who asked starts a new
        one, as after any end, and asks that.
        """
        if not self.ended.is_set() and not self.waiting:
            try:
                newest = _newest_file()
            except OSError as error:  # too many open files
                log.warning("the date of fijibridge's files is not known: %s", error)
                return False
            if newest != self.code:
                log.info("fijibridge was updated")
                self.ended.set()
        return self.ended.is_set()

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
                name, values, options = _wanted(path)
            except (OSError, ValueError, RecursionError) as error:
                if not isinstance(error, (OSError, json.JSONDecodeError)):  # half written it may be still
                    path.unlink(missing_ok=True)
                words = "nested too deeply" if isinstance(error, RecursionError) else f"{type(error).__name__}: {error}"
                return f"{ERROR}\nthe request {key} cannot be read ({words[:300]})"
            path.unlink(missing_ok=True)
            job = _Job(self.folder / "exchange" / key)
            self._jobs[key] = job
            job.future = self._line.submit(self._work, job, name, values, options)
        return await self._answer(key)

    def _work(self, job: _Job, name: str, values: dict[str, Any], options: str) -> str:
        cancelled = f"{ERROR}\n{name[:80]} was cancelled; nothing was written"
        if job.cancelled:
            return cancelled
        self.executed += 1
        if name == "status":
            return "done\n" + f"version={__version__}\npid={os.getpid()}"
        order = {"name": name, "values": values, "options": options, "place": str(job.folder), "whole_paths": True}
        self._current = job
        try:
            job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            job.watch(0.0, name)
            answer = self._worker.call(order, job.watch)
        except ChildProcessError as error:
            log.error("%s: its process died with status %s", name, error)
            return (
                f"{ERROR}\n{name}: its process died (status {error})\n  expected: a run to the end\n"
                "  remedy: look into the log (fijibridge serve --status names it); with too little memory take a"
                " smaller image or fewer features"
            )
        except OSError as error:
            return f"{ERROR}\n{cannot_be_used(self.folder, error)}"
        finally:
            self._current = None
        if answer is None:
            log.info("%s was cancelled", name)
        return cancelled if answer is None else answer

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
            self._end(job)
        return "cancelled"

    async def _release(self, request: Request) -> str:
        key = request.path_params["id"]
        if key in self._jobs:
            self._forget(key)
        elif _ID.fullmatch(key):  # of a call of an earlier service
            shutil.rmtree(self.folder / "exchange" / key, ignore_errors=True)
        return "released"

    # --- housekeeping ------------------------------------------------------------------------------------------------

    def _forget(self, key: str) -> None:
        job = self._jobs.get(key)
        if job is not None and job.future.done():
            del self._jobs[key]
            shutil.rmtree(job.folder, ignore_errors=True)

    def _end(self, job: _Job) -> None:
        """Cancel a call; again and again while it runs, with more force."""
        job.cancelled = True
        if self._current is job:
            self._worker.cancel()

    def _make_folders(self) -> None:
        for name in ("requests", "exchange"):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Cancel what nobody waits for, forget what nobody fetched."""
        now = time.monotonic()
        slept = max(0.0, now - self._looked - _PAUSED)
        self._looked = now
        for key, job in list(self._jobs.items()):
            job.seen += slept  # nobody could poll meanwhile
            if not job.future.done():
                self.busy = now
                if job.cancelled or now - job.seen > _LEASE:
                    self._end(job)
            elif now - job.seen > (0 if job.cancelled else _KEPT):
                self._forget(key)
        self._make_folders()
        for path in (*(self.folder / "requests").iterdir(), *(self.folder / "exchange").iterdir()):
            try:
                if path.stem not in self._jobs and time.time() - path.lstat().st_mtime > _KEPT:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            except OSError:  # gone meanwhile, or still open
                continue

    def start(self) -> None:
        """Start the process that runs the operations before the first is asked for."""
        self._worker.start()

    @property
    def waiting(self) -> int:
        """How many calls are not done."""
        return sum(not job.future.done() for job in self._jobs.values())

    def close(self) -> None:
        """Let go of the calls."""
        for job in self._jobs.values():
            job.cancelled = True
        self._worker.close()
        self._line.shutdown(wait=True, cancel_futures=True)
        self._worker.close()  # which a call that waited may have started anew


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
        with FileLock(folder / LOCK, timeout=_ENDING):
            _remove(folder / INFO)
            asyncio.run(_serve(folder, idle))
    except Timeout as error:
        raise ServiceError(
            "a service runs already", expected="one a user", remedy="stop it with fijibridge serve --stop"
        ) from error
    except OSError as error:
        raise cannot_be_used(folder, error) from error


def _remove(info: Path) -> None:
    """Remove what lies where the service's file is to be."""
    if info.is_dir() and not info.is_symlink():
        info.rmdir()
    else:
        info.unlink(missing_ok=True)


async def _serve(folder: Path, idle: float) -> None:
    from fijibridge.frontends.service.connections import server_of

    token = secrets.token_urlsafe(32)
    _log_to(folder / LOG, token)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        service = Service(folder, token, listener.getsockname()[1])
        text = f"{service.port}\n{token}\n{os.getpid()}\n{__version__}\n"
        server = server_of(service.app())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopped = asyncio.create_task(service.ended.wait())
        try:
            write_private(folder / INFO, text)
            log.info("fijibridge %s, process %d, port %d", __version__, os.getpid(), service.port)
            service.start()
            while not serving.done() and not stopped.done():
                await asyncio.wait([serving, stopped], timeout=_TICK, return_when="FIRST_COMPLETED")
                try:
                    service.sweep()
                    if not _shown(folder, text):
                        log.info("another service took its place")
                        break
                except OSError as error:  # no room, too many open files, a folder that is gone: it may pass
                    log.warning("%s", error)
                if idle and time.monotonic() - service.busy > 60 * idle:
                    log.info("idle for %g minutes", idle)
                    break
            stopped.cancel()
            server.should_exit = True
            await serving
        finally:
            if running(folder) is None or _is(folder, text):
                (folder / INFO).unlink(missing_ok=True)
            service.close()
            log.info("ended")


def _is(folder: Path, text: str) -> bool:
    return small_file(folder / INFO, len(text)) == text.encode()


def _shown(folder: Path, text: str) -> bool:
    """Keep the service's file there, with a date that says that it is not stale; False where another one's is there."""
    path = folder / INFO
    if _is(folder, text):
        if time.time() - path.stat().st_mtime > _BEAT:
            os.utime(path, (time.time(), time.time()))
    elif running(folder) is not None:
        return False
    else:  # removed, emptied or damaged
        _remove(path)
        write_private(path, text)
    return True


def _wanted(path: Path) -> tuple[str, dict[str, Any], str]:
    """Operation, arguments and options of a request; ValueError where it is none."""
    data = small_file(path, _LARGEST_REQUEST)
    if data is None:
        raise ValueError(f"no file of {_LARGEST_REQUEST} bytes at most")
    # an absurd number needs no exact value: it is refused as any out of range
    wanted = json.loads(data.decode("utf-8"), parse_int=lambda text: int(text) if len(text) < 300 else float(text))
    if not isinstance(wanted, dict):
        raise ValueError("an object with operation, arguments and options is expected")
    name, values, options = (wanted.get(key) for key in ("operation", "arguments", "options"))
    options = "" if options is None else options
    if not (isinstance(name, str) and isinstance(values, dict) and isinstance(options, str)):
        raise ValueError("operation is expected as text, arguments by name, options as text")
    return name, values, options


def _newest_file() -> float:
    """When fijibridge's code changed last."""
    return max(path.stat().st_mtime for path in Path(fijibridge.__file__).parent.rglob("*.py"))


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
