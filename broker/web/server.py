"""uvicorn as we run it, and what ASGI cannot say of a socket.

Closing a transport first writes what it holds, so a peer that reads nothing would keep its socket, and our memory, for as long as it
likes. `abort_of(scope)` gives the endpoint the means to cut it. `unsent_of` and `here_of` tell what stands in its two queues.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from broker.config import ConnectionLimits
from broker.web.asgi import App, Scope
from broker.web.protocols import ABORT, HERE, UNSENT, Door, HttpProtocol, SocketProtocol

_DEFAULTS = ConnectionLimits()


_STRANGERS_FAULTS = frozenset(
    {
        "Invalid HTTP request received.",
        "Unsupported upgrade request.",
        "Invalid UTF-8 sequence received from client.",
    }
)
"""What uvicorn logs of a request; anybody may send as many as they like, and nothing is wrong with us."""


def _is_ours(record: logging.LogRecord) -> bool:
    return record.msg not in _STRANGERS_FAULTS


class Server(uvicorn.Server):
    """uvicorn's server that says when it has opened its port."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.opened = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port, then say so."""
        await super().startup(sockets)
        self.opened.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process: uvicorn raises them again when it is done, which would end us before our own end."""
        yield

    @property
    def opened_port(self) -> int:
        """The port it listens on, also when any free one was asked for."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port


def abort_of(scope: Scope) -> Callable[[], None]:
    """Return what cuts the socket of *scope* at once; nothing under a server that is not ours (tests)."""
    abort: Callable[[], None] = (scope.get("extensions") or {}).get(ABORT, lambda: None)
    return abort


def unsent_of(scope: Scope) -> Callable[[], int]:
    """Return what tells how many bytes the other side has not taken yet; always some under a server that is not ours."""
    unsent: Callable[[], int] = (scope.get("extensions") or {}).get(UNSENT, lambda: 1)
    return unsent


def here_of(scope: Scope) -> Callable[[], int]:
    """Return what tells how many frames can be received without waiting; none under a server that is not ours."""
    here: Callable[[], int] = (scope.get("extensions") or {}).get(HERE, lambda: 0)
    return here


def make_server(
    app: App,
    host: str,
    port: int,
    *,
    frame_bytes: int = 65_536,
    limits: ConnectionLimits = _DEFAULTS,
    exempt: Callable[[str], bool] = lambda _: False,
) -> Server:
    """Return a server of *app*: frames up to *frame_bytes*, no compression (memory), no word of its own in answers and logs.

    *exempt* says of an address that its connections are those of many people: a trusted proxy.
    """

    class Http(HttpProtocol):
        door = Door(limits, exempt)

    logging.getLogger("uvicorn.error").addFilter(_is_ours)  # the same function: added once
    return Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=Http,
            ws=SocketProtocol,
            ws_max_size=frame_bytes,
            ws_per_message_deflate=False,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=5,
            backlog=4_096,
        )
    )
