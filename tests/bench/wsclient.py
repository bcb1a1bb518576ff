"""A websocket client for load: a bare protocol on a bare socket, thousands to a process.

It speaks just enough of RFC 6455 to drive a server:
the opening handshake, masked text frames out, text frames in, pong to ping, close to close.
No extension is offered, so nothing arrives compressed.

::

    WebSocketError          the socket ended before it was open
    └── HandshakeRefused    the server answered something else than 101: `status`, `head`

Once open nothing is raised: what ends a socket, be it a frame that a server may not send (1002), is told to ``on_close``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA
FINAL = 0x80
MASKED = 0x80
FINAL_TEXT = FINAL | TEXT
# A masking key of zeros is legal and leaves the payload as it is; the server unmasks it all the same, at the same cost.
NO_MASK = b"\0\0\0\0"
OPENING_SECONDS = 30.0
ADDRESSES = 50

OnFrame = Callable[[bytes], None]
OnClose = Callable[[int, str], None]


class WebSocketError(Exception):
    """The conversation with the server failed."""


class HandshakeRefused(WebSocketError):
    """The server answered the opening handshake with something else than 101."""

    def __init__(self, status: int, head: bytes) -> None:
        super().__init__(f"the server refused the websocket with status {status}: {head[:300]!r}")
        self.status = status
        self.head = head


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return *payload* as one final client frame, ready for the wire; build it ahead of time where speed matters."""
    length = len(payload)
    if length < 126:
        head = bytes((FINAL | opcode, MASKED | length))
    elif length < 65536:
        head = bytes((FINAL | opcode, MASKED | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((FINAL | opcode, MASKED | 127)) + length.to_bytes(8, "big")
    return head + NO_MASK + payload


def source_address(number: int, each: int = 20) -> str:
    """Return the loopback address of the *number*-th client when *each* clients share one: 127.0.0.1, then .2, and so on.

    After ADDRESSES of them the third part counts on: 127.0.1.1.
    Linux owns all of 127/8; elsewhere only 127.0.0.1 is there unless an alias is added.
    """
    block, last = divmod(number // each, ADDRESSES)
    return f"127.0.{block}.{last + 1}"


class Connection(asyncio.Protocol):
    """One open socket; made by `connect`.

    ``on_frame`` gets the payload of each complete text message, as bytes.
    ``on_close`` gets code and reason once, however the socket ended: 1006 when no close frame came.
    """

    __slots__ = (
        "_accept", "_closing", "_code", "_head", "_parts", "_reason", "_request", "_rest", "_transport",
        "closed", "on_close", "on_frame", "opened", "write",
    )  # fmt: skip

    def __init__(self, request: bytes, accept: bytes, on_frame: OnFrame, on_close: OnClose | None) -> None:
        loop = asyncio.get_running_loop()
        self.on_frame = on_frame
        self.on_close = on_close
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.write: Callable[[bytes], None]
        self._transport: asyncio.Transport
        self._request = request
        self._accept = accept
        self._head: bytes | None = b""
        self._rest = b""
        self._parts: list[bytes] | None = None
        self._closing = False
        self._code = 1006
        self._reason = ""

    def send_text(self, payload: bytes) -> None:
        """Send *payload* (UTF-8) as one text message; ``write(client_frame(payload))`` does the same with a ready frame."""
        self.write(client_frame(payload))

    async def close(self, seconds: float = 5.0) -> None:
        """Take leave with 1000, wait for the server's goodbye, and abort the socket when *seconds* have passed."""
        if not self._closing and not self._transport.is_closing():
            self._closing = True
            self.write(client_frame((1000).to_bytes(2, "big"), CLOSE))
        try:
            await asyncio.wait_for(asyncio.shield(self.closed), seconds)
        except TimeoutError:
            self._transport.abort()

    def abort(self) -> None:
        """Drop the socket without a word, as a lost network does."""
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its ancestry
        self.write = self._transport.write
        self.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            data = self._finish_handshake(data)
        if self._rest:
            data = self._rest + data
            self._rest = b""
        on_frame = self.on_frame
        position, end = 0, len(data)
        while end - position >= 2:
            length = data[position + 1]
            start = position + 2
            if length >= 126:
                if length > 127:
                    self._violated("a server's frame must not be masked")
                    return
                start += 2 if length == 126 else 8
                if start > end:
                    break
                length = int.from_bytes(data[position + 2 : start], "big")
            stop = start + length
            if stop > end:
                break
            if data[position] == FINAL_TEXT and self._parts is None:
                on_frame(data[start:stop])
            else:
                self._on_other(data[position], data[start:stop])
                if self._transport.is_closing():
                    return
            position = stop
        if position < end:
            self._rest = data[position:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(WebSocketError(f"the connection ended during the handshake: {exc}"))
        if not self.closed.done():
            self.closed.set_result(None)
        if self.on_close is not None:
            self.on_close(self._code, self._reason)

    # The rest of the protocol

    def _finish_handshake(self, data: bytes) -> bytes:
        """Read the server's answer; return what follows it."""
        assert self._head is not None
        self._head += data
        head, blank, rest = self._head.partition(b"\r\n\r\n")
        if not blank:
            return b""
        self._head = None
        status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0
        if status != 101 or self._accept not in head:
            self.opened.set_exception(HandshakeRefused(status, head + rest))
            self._transport.abort()
            return b""
        self.opened.set_result(None)
        return rest

    def _on_other(self, first: int, payload: bytes) -> None:
        """Handle a frame that is not a whole text message."""
        opcode = first & 0x0F
        if first & 0x70:
            self._violated("reserved bits are set, yet no extension was offered")
        elif opcode == PING:
            self.write(client_frame(payload, PONG))
        elif opcode == PONG:
            return
        elif opcode == CLOSE:
            self._on_close_frame(payload)
        elif opcode == TEXT and self._parts is None and not first & FINAL:
            self._parts = [payload]
        elif opcode == CONTINUATION and self._parts is not None:
            self._parts.append(payload)
            if first & FINAL:
                message, self._parts = b"".join(self._parts), None
                self.on_frame(message)
        else:
            self._violated(f"opcode {opcode:#x} is out of place")

    def _on_close_frame(self, payload: bytes) -> None:
        self._code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
        self._reason = payload[2:].decode(errors="replace")
        if not self._closing:
            self._closing = True
            self.write(client_frame(payload, CLOSE))
        self._transport.close()

    def _violated(self, why: str) -> None:
        self._code, self._reason = 1002, why
        self._transport.abort()


async def connect(
    host: str,
    port: int,
    path: str,
    on_frame: OnFrame,
    *,
    headers: Mapping[str, str] | None = None,
    source: str | None = None,
    on_close: OnClose | None = None,
    seconds: float = OPENING_SECONDS,
) -> Connection:
    """Open a websocket; return it when the server has accepted.

    *headers* are sent besides the handshake's own (Cookie, Origin); *source* is the local address to come from.
    Raises HandshakeRefused, OSError, or TimeoutError after *seconds*.
    """
    key = base64.b64encode(os.urandom(16))
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    async with asyncio.timeout(seconds):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(request, accept, on_frame, on_close),
            host,
            port,
            local_addr=(source, 0) if source else None,
        )
        try:
            await connection.opened
        except BaseException:
            connection.abort()
            raise
    return connection


async def connect_many(count: int, connect_one: Callable[[int], Awaitable[Connection]], at_once: int = 50) -> list[Connection]:
    """Return ``connect_one(0)`` to ``connect_one(count - 1)``, in that order, *at_once* handshakes in the air at a time."""
    connections: list[Connection] = []
    for first in range(0, count, at_once):
        numbers = range(first, min(first + at_once, count))
        connections += await asyncio.gather(*(connect_one(number) for number in numbers))
    return connections
