"""Connections of the service in bounds: how many, how long, how large. What exceeds them is closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

OPEN = 100  # connections at a time; of more, the oldest that has asked nothing is closed
HEAD_SECONDS = 5.0  # for a request's line and headers, however slowly they come
SECONDS = 30.0  # for a connection as a whole, however slowly the answer is read
HEAD_BYTES = 2**14


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 of one connection, one request each."""

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`; room is made for it."""
        super().connection_made(transport)
        self.since, self.received = self.loop.time(), 0
        self.timers = [
            self.loop.call_later(HEAD_SECONDS, self._end, False),
            self.loop.call_later(SECONDS, self._end, True),
        ]
        if len(self.connections) > OPEN:
            idle = [one for one in self.connections if isinstance(one, BoundedProtocol) and not one.asked]
            min(idle, key=lambda one: one.since, default=self)._end(True)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`; h11 itself bounds only what comes in pieces."""
        self.received += len(data)
        if self.received > HEAD_BYTES:
            self._end(True)
        else:
            super().data_received(data)

    @property
    def asked(self) -> bool:
        """Whether its request is complete, so that an answer is due."""
        return self.cycle is not None

    def _end(self, always: bool) -> None:
        if (always or not self.asked) and not self.transport.is_closing():
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        for timer in self.timers:
            timer.cancel()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """uvicorn's server without its own handling of signals: the command line has it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield


def server_of(app: Any) -> Server:
    """uvicorn's server of an application, with these bounds.

    Parameters
    ----------
    app : ASGI application
        What it serves.
    """
    return Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            h11_max_incomplete_event_size=HEAD_BYTES,
            backlog=OPEN,
            headers=[("Connection", "close")],
            timeout_graceful_shutdown=2,
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            ws="none",
        )
    )
