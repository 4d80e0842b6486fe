"""The local service as a user's other programs see it: its private folder, and start, status and stop."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fijibridge.errors import ServiceError

INFO = "service.txt"
LOG = "service.log"
_STARTED_IN = 90.0  # seconds; a first start compiles Python's files
_POLL = 0.05


@dataclass(frozen=True)
class Running:
    """What `INFO` says of the service that runs.

    Parameters
    ----------
    port : int
        On 127.0.0.1.
    token : str
        New at each start; known to who can read the file.
    pid : int
    """

    port: int
    token: str
    pid: int


def service_folder() -> Path:
    """The user's private folder of the service; the environment's FIJIBRIDGE_SERVICE moves it."""
    import platformdirs

    given = os.environ.get("FIJIBRIDGE_SERVICE")
    return Path(given).expanduser().absolute() if given else platformdirs.user_state_path("fijibridge") / "service"


def private_folder(folder: Path) -> Path:
    """Make a folder that only its user can read.

    Raises
    ------
    ServiceError
        It cannot be made, or belongs to somebody else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if sys.platform != "win32":  # on Windows a folder of the user's profile is the user's own
            if folder.stat().st_uid != os.getuid():
                raise PermissionError(13, "it belongs to another user")
            folder.chmod(0o700)
    except OSError as error:
        raise ServiceError(
            f"the service's folder {folder} cannot be used ({error.strerror or error})",
            expected="a folder of your own",
            remedy="let FIJIBRIDGE_SERVICE name another one, then run fijibridge install again",
        ) from error
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file that only its user can read; it is there whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    if sys.platform == "win32":
        user = os.environ.get("USERNAME", "")
        subprocess.run(
            ["icacls", str(part), "/inheritance:r", "/grant:r", f"{user}:F"], capture_output=True, check=True
        )
    os.replace(part, path)


def running(folder: Path) -> Running | None:
    """What the folder says of a service; it may have died since.

    Raises
    ------
    ServiceError
        The file is there and cannot be read.
    """
    try:
        port, token, pid = (folder / INFO).read_text(encoding="utf-8").split()[:3]
        return Running(int(port), token, int(pid))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"{folder / INFO} cannot be read ({error})",
            expected="port, token and process of the service, in a file of your own",
            remedy="delete that file and end the process fijibridge serve, if it runs",
        ) from error


def ask(service: Running, path: str, timeout: float = 10) -> str | None:
    """The service's answer to a GET; None if nobody is there."""
    url = f"http://127.0.0.1:{service.port}/{path}?token={service.token}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a company's proxy has no part in this
    try:
        with opener.open(url, timeout=timeout) as answer:
            return answer.read().decode("utf-8")
    except (urllib.error.URLError, OSError):
        return None


def status(folder: Path) -> dict[str, Any] | None:
    """What the running service says of itself; None if none runs."""
    found = running(folder)
    text = ask(found, "status") if found else None
    if text is None:
        return None
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def stop(folder: Path) -> bool:
    """End the service; whether one ran."""
    found = running(folder)
    if found is None or ask(found, "stop") is None:
        return False
    end = time.monotonic() + 20
    while (folder / INFO).exists() and time.monotonic() < end:
        time.sleep(_POLL)
    return True


def start_in_background(folder: Path) -> Running:
    """The service that runs, or a new one of its own process, which goes on when this one ends.

    Raises
    ------
    ServiceError
        It does not start; with the reason and the log's place.
    """
    from filelock import FileLock, Timeout

    private_folder(folder)
    try:
        with FileLock(folder / "start.lock", timeout=_STARTED_IN):  # two Fijis at once start one service
            found = running(folder)
            if found is not None and ask(found, "status") is not None:
                return found
            return _started(folder)
    except Timeout as error:
        raise _not_started(folder, "another start takes too long") from error


def _started(folder: Path) -> Running:
    command = [sys.executable, "-m", "fijibridge", "serve", "--folder", str(folder)]
    own: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        own = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=True, cwd=folder, **own
        )
    end = time.monotonic() + _STARTED_IN
    while time.monotonic() < end:
        found = running(folder)
        if found is not None and found.pid == process.pid and ask(found, "status") is not None:
            process.returncode = 0  # it goes on without us: no warning when this object ends
            return found
        if process.poll() is not None:
            raise _not_started(folder, f"it ended with status {process.returncode}")
        time.sleep(_POLL)
    process.kill()
    raise _not_started(folder, f"no answer within {_STARTED_IN:.0f} s")


def _not_started(folder: Path, why: str) -> ServiceError:
    log = folder / LOG
    try:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    except OSError:
        last = []
    return ServiceError(
        f"the service does not start: {why}" + (f" ({last[0][:300]})" if last else ""),
        expected="fijibridge serve, running on this computer",
        remedy=f"look into the log {log}; fijibridge doctor tells what is missing",
    )
