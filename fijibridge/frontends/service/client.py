"""The local service as a user's other programs see it: its private folder, and start, status and stop."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fijibridge.core.errors import ServiceError

INFO = "service.txt"
LOG = "service.log"
LOCK = "service.lock"
_STARTED_IN = 90.0  # seconds; a first start compiles Python's files
_ENDS_IN = 20.0
_POLL = 0.05
_PROMPT = 5.0  # seconds in which a service that runs says so
_LARGEST_INFO = 4096  # bytes
_LARGEST_ANSWER = 2**25
PROOF = "x-fijibridge-proof"  # the header by which the service shows that it knows the token

# Starts the command line in any folder: python -m would import a typer.py or random.py that lies there. In place
# of -I, which leaves out the user's own site-packages. No double quotes: Windows.
STARTER = "import sys; sys.path[:] = [p for p in sys.path if p]; from fijibridge.frontends.process import run; run()"


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
        raise cannot_be_used(folder, error) from error
    return folder


def cannot_be_used(folder: Path, error: OSError) -> ServiceError:
    """The error that the service's folder, or a file in it, cannot be made, read or written.

    Parameters
    ----------
    folder : Path
        The folder.
    error : OSError
        What the system said.
    """
    return ServiceError(
        f"the service's folder {folder} cannot be used ({error.strerror or error})",
        expected="a folder of your own, with room on its disk",
        remedy="let FIJIBRIDGE_SERVICE name another one, then run fijibridge install again",
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that only its user can read; it is there whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    text : str
        Its content.
    """
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
    """What the folder says of a service; it may have died since. None also where the file says nothing of the kind."""
    path = folder / INFO
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            port, token, pid = file.read(_LARGEST_INFO).decode("utf-8").split()[:3]
        found = Running(int(port), token, int(pid))
    except (OSError, ValueError):
        return None
    return found if 0 < found.port < 2**16 and found.pid > 0 else None


def signature(token: str, *parts: str) -> str:
    """What only one who knows the token can make of these parts (HMAC-SHA256); none of them holds a line break.

    Parameters
    ----------
    token : str
        The secret of both sides.
    *parts : str
        Who speaks, the client's random challenge, and what is said.
    """
    return hmac.new(token.encode(), "\n".join(parts).encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def ask(service: Running, path: str, timeout: float = 20) -> str | None:
    """Send a GET to the service, which proves by its answer that it is the service.

    The token is not sent: the request bears a random challenge and a signature, the answer a signature of the challenge
    and itself. A stranger on the port of a service that died learns nothing, and is told from the service.

    Parameters
    ----------
    service : Running
        As `running` found it.
    path : str
        Of the request, without the first slash.
    timeout : float
        Seconds to wait for the whole answer.

    Returns
    -------
    str or None
        The answer; None if nobody is there, or a stranger, or the service is about to end.
    """
    challenge = secrets.token_hex(16)
    signed = signature(service.token, "client", challenge, f"/{path}")
    lines = [f"GET /{path}?challenge={challenge}&signature={signed} HTTP/1.1", f"Host: 127.0.0.1:{service.port}"]
    end = time.monotonic() + timeout
    data = bytearray()
    try:
        with socket.create_connection(("127.0.0.1", service.port), timeout) as link:
            link.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("ascii"))
            while part := link.recv(2**16):
                data += part
                left = end - time.monotonic()
                if left <= 0 or len(data) > _LARGEST_ANSWER:
                    return None
                link.settimeout(left)
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        first, *headers = head.decode("ascii").split("\r\n")
        answer = body.decode("utf-8")
    except (OSError, ValueError):
        return None
    named = dict(header.lower().split(": ", 1) for header in headers if ": " in header)
    proof = signature(service.token, "service", challenge, answer)
    proven = hmac.compare_digest(named.get(PROOF, ""), proof)
    return answer if proven and first.split(" ")[1:2] == ["200"] else None


def status(folder: Path) -> dict[str, Any] | None:
    """What the running service says of itself; None if none runs."""
    found = running(folder)
    text = ask(found, "status", _PROMPT) if found else None
    if text is None:
        return None
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def stop(folder: Path) -> bool:
    """End the service; whether one ran."""
    found = running(folder)
    if found is None or ask(found, "stop", _PROMPT) is None:
        return False
    end = time.monotonic() + _ENDS_IN
    while running(folder) == found and time.monotonic() < end:
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
            end = time.monotonic() + _ENDS_IN
            while True:
                found = running(folder)
                if found is not None and ask(found, "status", _PROMPT) is not None:
                    return found
                try:  # one that is about to end, because it was updated, or writes its file anew
                    with FileLock(folder / LOCK, timeout=_POLL):
                        break
                except Timeout:
                    if time.monotonic() > end:
                        raise
            return _started(folder)
    except Timeout as error:
        raise _not_started(folder, "another process holds its folder and does not answer") from error
    except OSError as error:
        raise cannot_be_used(folder, error) from error


def _started(folder: Path) -> Running:
    command = [sys.executable, "-c", STARTER, "serve", "--folder", str(folder)]
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=True, cwd=folder, **detached()
        )
    end = time.monotonic() + _STARTED_IN
    while time.monotonic() < end:
        found = running(folder)
        if found is not None and ask(found, "status", _PROMPT) is not None:
            process.returncode = 0  # it goes on without us: no warning when this object ends
            return found
        if process.poll() is not None:
            raise _not_started(folder, f"it ended with status {process.returncode}")
        time.sleep(_POLL)
    process.kill()
    raise _not_started(folder, f"no answer within {_STARTED_IN:.0f} s")


def detached() -> dict[str, Any]:
    """How `subprocess.Popen` starts a process that no Ctrl-C in a terminal reaches, with a safe path of its own."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}  # for the Pythons that it starts
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        return {"creationflags": flags, "env": environment}
    return {"start_new_session": True, "env": environment}


def _not_started(folder: Path, why: str) -> ServiceError:
    log = folder / LOG
    try:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    except OSError:
        last = []
    return ServiceError(
        f"the service does not start: {why}" + (f" ({last[0][:300]})" if last else ""),
        expected="fijibridge serve, running on this computer",
        remedy=f"look into the log {log}; fijibridge doctor lists what is missing",
    )
