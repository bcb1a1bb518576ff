"""uvicorn's two protocols, hardened: what a stranger may do to a connection before and beneath the application.

    connection ── counted by network ── a request that comes in time ──► the application
                                     └─ upgrade ──► frames in small slices, control frames counted ──► the socket's endpoint

Neither touches the way of an ordinary message: only what is large, slow or not a message costs anything here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from broker import metrics
from broker.config import ConnectionLimits
from broker.networks import network_of

ABORT = "omniline.abort"
UNSENT = "omniline.unsent"
HERE = "omniline.here"

SLICE_BYTES = 4_096
"""Frames are parsed so much at a time: one read may bring forty thousand of them."""
CONTROL_BURST = 300
CONTROL_PER_SECOND = 20.0
"""Pings, pongs and pieces of messages; a browser sends a pong in twenty seconds, and whole messages."""
PIECES_MAX = 256
"""Frames of one message."""
AFTER_CLOSE_BYTES = 32_768
"""What may still come while we wait for the other side's goodbye; nobody reads it."""
LATE_BODY_BYTES = 262_144
"""What may still come of a request that has been answered."""
GOODBYE_SECONDS = 2.0
"""How long we wait for the other side's goodbye; it counts nowhere meanwhile."""
TAKING_SECONDS = 8.0
"""How much longer it may take what was written before."""
POLICY_VIOLATION = 1008

_BUSY = b"too many connections; come back in a few seconds\n"
_REFUSED = metrics.refused_connections_total


def _slices(data: bytes) -> Iterator[bytes]:
    return (data[start : start + SLICE_BYTES] for start in range(0, len(data), SLICE_BYTES))


class Door:
    """Counts connections that are no sockets; *exempt* says of an address that it speaks for many: a trusted proxy."""

    def __init__(self, limits: ConnectionLimits, exempt: Callable[[str], bool]) -> None:
        self.limits = limits
        self._exempt = exempt
        self._held: dict[str, int] = {}

    def enter(self, address: str, connections: int) -> str | None:
        """Count one of *connections* in; return what to `leave` later, or None when there are too many."""
        if connections > self.limits.total:
            _REFUSED.labels("all").inc()
            return None
        network = network_of(address)
        held = self._held.get(network, 0)
        if held >= self.limits.per_network and not self._exempt(address):
            _REFUSED.labels("network").inc()
            return None
        self._held[network] = held + 1
        return network

    def leave(self, network: str) -> None:
        """Count one out."""
        if self._held[network] == 1:
            del self._held[network]
        else:
            self._held[network] -= 1


class HttpProtocol(H11Protocol):
    """HTTP whose requests come in time, and whose answers are taken. The server sets *door*."""

    door: Door

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._network: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rest: deque[bytes] = deque()
        self._request_began = 0.0
        self._request_bytes = 0
        self._late_bytes = 0
        self._stood = (0, 0.0)
        """How many bytes were not taken, and since when so many."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, or say that it is too much."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        self._request_began = self.loop.time()
        self._timer = self.loop.call_later(self.door.limits.request_seconds, self._check)
        self._network = self.door.enter(address, len(self.connections))
        if self._network is None:
            self._turn_away(503, "Service Unavailable", _BUSY, b"retry-after: 10\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; the first of a request starts its time. Much of it is taken in slices, by turns with everybody else."""
        if self.timeout_keep_alive_task is not None or not self._request_bytes:
            self._request_began = self.loop.time()
            self._request_bytes = 0
        self._request_bytes += len(data)
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            # Answered already: nobody will read the rest of this request.
            self._late_bytes += len(data)
            if self._late_bytes > LATE_BODY_BYTES:
                _REFUSED.labels("flood").inc()
                self.transport.abort()
                return
        if len(data) <= SLICE_BYTES and not self._rest:
            super().data_received(data)
            return
        if not self._rest:
            self.loop.call_soon(self._feed)
        self._rest.extend(_slices(data))
        self.transport.pause_reading()

    def _feed(self) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._rest.clear()
            return
        super().data_received(self._rest.popleft())
        if self._rest:
            self.loop.call_soon(self._feed)
        elif not self.transport.is_closing() and not self.flow.read_paused and self.transport.get_protocol() is self:
            self.transport.resume_reading()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over, with what came behind the request."""
        self._leave()
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if isinstance(protocol, SocketProtocol):
            behind = self.conn.trailing_data[0] + b"".join(self._rest)
            if not self.transport.is_closing():
                self.transport.resume_reading()
            protocol.check_opening(behind)

    def send_400_response(self, msg: str) -> None:
        """Say that it cannot be read, unless an answer has begun already."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """End it in order; a request that has not come whole now never will."""
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()
        else:
            super().shutdown()

    def _leave(self) -> None:
        if self._network is not None:
            self.door.leave(self._network)
            self._network = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        """See whether this connection still gets on; asked again as long as there is one."""
        now = self.loop.time()
        limits = self.door.limits
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._stood[0]:
            self._stood = (unsent, now)
        elif unsent and now - self._stood[1] >= limits.stall_seconds:
            # Also when it is being closed: closing waits for what nobody takes.
            _REFUSED.labels("slow").inc()
            self.transport.abort()
            return
        again = now + min(limits.request_seconds, limits.stall_seconds)
        # Between two requests uvicorn closes it soon.
        is_due = self.timeout_keep_alive_task is None and self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if is_due and not self.transport.is_closing():
            end = self._request_began + limits.request_seconds + self._request_bytes / limits.bytes_per_second
            if now >= end:
                _REFUSED.labels("slow").inc()
                self._too_slow()
            else:
                again = min(again, end)
        self._timer = self.loop.call_at(again, self._check)

    def _too_slow(self) -> None:
        if self._request_bytes and self.conn.our_state is h11.IDLE:
            self._turn_away(408, "Request Timeout", b"the request did not come in time\n")
        else:
            self.transport.close()  # a browser opens connections in advance: an answer to nothing would confuse it

    def _turn_away(self, status: int, phrase: str, words: bytes, more: bytes = b"") -> None:
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain\r\ncontent-length: {len(words)}\r\nconnection: close\r\n"
        self.transport.write(head.encode() + more + b"\r\n" + words)
        self.transport.close()


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that takes a flood of frames in slices, and says to its endpoint what ASGI cannot."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._rest: deque[bytes] = deque()
        self._control = float(CONTROL_BURST)
        self._control_at = 0.0
        self._after_close = 0
        self._cut: asyncio.TimerHandle | None = None
        self.close_timeout = GOODBYE_SECONDS

    def check_opening(self, behind: bytes) -> None:
        """Take *behind*, which came with the opening; close what opened nothing (too many headers, say): no endpoint will."""
        if not self.handshake_initiated:
            self.handshake_complete = self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
            self._cut_soon()
        elif behind:
            self.data_received(behind)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """Close what does not answer."""
        super().keepalive_timeout()
        self._cut_soon()

    def _cut_soon(self) -> None:
        """Closing waits for the other side to take what was written: not for long."""
        if self._cut is None and not self.disconnected:
            self._cut = self.loop.call_later(GOODBYE_SECONDS + TAKING_SECONDS, self.transport.abort)

    async def run_asgi(self) -> None:
        """Run the endpoint, with three things of its connection in the scope."""
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[ABORT] = self.transport.abort
        extensions[UNSENT] = self.transport.get_write_buffer_size
        extensions[HERE] = self.queue.qsize
        self.app = partial(self._told_of_leaving, self.app)
        await super().run_asgi()
        # The other side's goodbye may stand behind what nobody will read.
        rest, self._rest = b"".join(self._rest), deque()
        if rest and not self.transport.is_closing():
            self.data_received(rest)
        self._cut_soon()

    async def _told_of_leaving(self, app: Any, *asgi: Any) -> None:
        """Run *app*; who went before the opening was answered has gone, which is no fault of the endpoint's."""
        try:
            await app(*asgi)
        except Exception as error:
            # After an end of ours (a flood, text that is no UTF-8) uvicorn calls it a fault to send.
            is_of_leaving = not self.handshake_complete or isinstance(error, RuntimeError)
            if not (is_of_leaving and self.transport.is_closing()):
                raise
        if not self.handshake_complete and self.transport.is_closing():
            raise ClientDisconnected

    def data_received(self, data: bytes) -> None:
        """Take frames; many of them in slices, and no further when there is enough for the endpoint."""
        if self.close_sent:
            self._after_close += len(data)
            if self._after_close > AFTER_CLOSE_BYTES:
                self.transport.abort()
                return
        is_early = self.handshake_initiated and not self.handshake_complete
        if len(data) <= SLICE_BYTES and not self._rest and not is_early:
            super().data_received(data)
            return
        self._rest.extend(_slices(data))
        if is_early:
            # Nothing may come before the opening is answered; what does waits for the endpoint's first look.
            self.transport.pause_reading()
        else:
            self._feed()

    def _feed(self) -> None:
        while self._rest and not self.read_paused and not self.transport.is_closing():
            super().data_received(self._rest.popleft())

    async def receive(self) -> Any:
        """Return what came next; when that was the last of it, take more."""
        if self._rest and self.handshake_complete and not self.read_paused:
            self._go_on()
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._go_on()
        return message

    def _go_on(self) -> None:
        self._feed()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def handle_ping(self) -> None:
        """Answer it, unless there are too many."""
        if self._counted():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Take it, unless there are too many."""
        if self._counted():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        """Take a piece of a message, unless it has too many."""
        if self._counted(len(self.frames) >= PIECES_MAX):
            super().handle_cont(event)

    def _counted(self, refused: bool = False) -> bool:
        """Count a frame that is no message; False when the connection is closed for them."""
        if self.close_sent:
            return False
        now = self.loop.time()
        self._control = min(CONTROL_BURST, self._control + (now - self._control_at) * CONTROL_PER_SECOND) - 1.0
        self._control_at = now
        if self._control >= 0.0 and not refused:
            return True
        _REFUSED.labels("flood").inc()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": POLICY_VIOLATION})
        self.conn.fail(POLICY_VIOLATION, "too many frames that are no messages")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._rest.clear()
        # A close would wait behind what the other side does not read.
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()
        return False
