"""The way between a browser and the server, which can break: cut and refused, or frozen half-open.

open    what comes in goes out
cut     both ends are reset, and nobody answers at the address
frozen  nothing goes through and nobody is told; what was sent meanwhile arrives when the road is mended
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

CALL_SECONDS = 10.0
BLOCK_BYTES = 65_536


class Road:
    """Listens on a port of its own and leads to *port* on this machine. Runs in a thread of its own."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="road", daemon=True)
        self._thread.start()
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.mend()
        self.address = f"http://127.0.0.1:{self._port}"

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._call(self._cut())

    def freeze(self) -> None:
        """Let nothing through in either direction, and tell nobody."""
        self._call(self._freeze())

    def mend(self) -> None:
        """Lead to the server again, at the same address."""
        self._call(self._mend())

    def close(self) -> None:
        """Cut, and end the thread."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_SECONDS)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _freeze(self) -> None:
        self._open.clear()

    async def _mend(self) -> None:
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: the one that asyncio would make reports its cancelling as an error.
        task = self._loop.create_task(self._lead(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        self._writers.add(writer)
        far_writer: asyncio.StreamWriter | None = None
        with suppress(OSError):
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers.add(far_writer)
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        for one in (writer, far_writer):
            if one is not None:
                self._writers.discard(one)
                one.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while block := await reader.read(BLOCK_BYTES):
                await self._open.wait()
                writer.write(block)
                await writer.drain()
        await self._open.wait()
        writer.close()
