"""Who may ask the service, and how it shows that it is the service.

The token stays in the service's private file. A program that reads it (`fijibridge.frontends.service.client.ask`) signs
its request; the answer is signed in return. A macro, which cannot sign, writes two random lines into ``key.txt`` of its
call's private folder: it sends the first, and the answer begins with the second. Either way what a stranger on the port
hears is worth nothing later, and what it answers is not believed.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from fijibridge.frontends.service.client import PROOF, signature

if TYPE_CHECKING:
    from starlette.requests import Request

KEY_FILE = "key.txt"
_LINE = re.compile(r"[A-Za-z0-9-]{16,100}")
_ID = re.compile(r"[A-Za-z0-9-]{6,64}")
_REMEMBERED = 4096


class Callers:
    """Tells the user's own programs from strangers.

    Parameters
    ----------
    exchange : Path
        The private folder with a folder a call.
    token : str
        The secret of the service's file.
    port : int
        Where the service listens.
    """

    def __init__(self, exchange: Path, token: str, port: int) -> None:
        self.exchange, self.token, self.port = exchange, token, port
        self._keys: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def refusal(self, request: Request) -> str:
        """Why a request is not from a program of this user; empty if it is."""
        if request.headers.get("host") != f"127.0.0.1:{self.port}":
            return "another Host"
        if "origin" in request.headers or any(name.startswith("sec-fetch-") for name in request.headers):
            return "from a web page"
        if len(request.query_params.multi_items()) != len(request.query_params):
            return "something is given twice"
        given = request.query_params.get
        if "challenge" in request.query_params:
            right = signature(self.token, "client", given("challenge", ""), request.url.path)
            return "" if _same(given("signature", ""), right) else "a wrong signature"
        if "key" in request.query_params:
            pair = self._pair(request.path_params.get("id", ""))
            return "" if pair is not None and _same(given("key", ""), pair[0]) else "a wrong key of a call"
        return "" if _same(given("token", ""), self.token) else "no token, or a wrong one"

    def proven(self, request: Request, answer: str) -> tuple[str, dict[str, str]]:
        """The answer with what shows this caller that it is the service's, and the headers for it.

        Parameters
        ----------
        request : Request
            Which `refusal` did not refuse.
        answer : str
            To it.
        """
        given = request.query_params.get
        if "challenge" in request.query_params:
            return answer, {PROOF: signature(self.token, "service", given("challenge", ""), answer)}
        pair = self._pair(request.path_params.get("id", "")) if "key" in request.query_params else None
        return (f"{pair[1]}\n{answer}" if pair else answer), {}

    def _pair(self, key: str) -> tuple[str, str] | None:
        """What a macro wrote for its call; it is remembered, for each request comes twice."""
        if key in self._keys:
            return self._keys[key]
        data = small_file(self.exchange / key / KEY_FILE, 1000) if _ID.fullmatch(key) else None
        lines = data.decode("ascii", "replace").split() if data else []
        if len(lines) != 2 or not all(_LINE.fullmatch(line) for line in lines):
            return None
        self._keys[key] = (lines[0], lines[1])
        while len(self._keys) > _REMEMBERED:
            self._keys.popitem(last=False)
        return self._keys[key]


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def small_file(path: Path, largest: int) -> bytes | None:
    """The content of a plain file; None where there is none, or a larger one. A pipe is not waited for.

    Parameters
    ----------
    path : Path
        The file.
    largest : int
        Bytes.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            data = file.read(largest + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError:
        return None
    return data if data is not None and len(data) <= largest else None
