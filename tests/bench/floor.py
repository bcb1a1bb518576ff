"""The floor: the least a server can do with our libraries and still keep a visitor's message.

A visitor's frame is decoded and validated, then inserted durably.
Only then it is acknowledged to the visitor, and shown to the one operator who owns the conversation.
No framework, no routing, no journal, no limits: what the product spends above this is what its features cost.

    python -m tests.bench.floor --port 8090 --data /tmp/floor

==============================  =============================================================
``/ws/visitor?visitor=17``      in: ``{"type":"message","id":"a1","text":"hello"}``;
                                out: ``{"type":"accepted","id":"a1","seq":42}``
``/ws/operator?operator=3``     out: ``{"type":"message","visitor":17,"seq":42,"text":"hello"}``
``/readyz``                     200 when the store is open
==============================  =============================================================

Visitor *v* belongs to operator ``v % OPERATORS``.
A frame that does not fit closes the visitor's socket with 1008.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
import pysqlite3.dbapi2 as sqlite
import uvicorn

OPERATORS = 20
WAL = "wal"
FULL = 2
POLICY_VIOLATION = 1008

TABLE = """
    CREATE TABLE IF NOT EXISTS message (
        seq INTEGER PRIMARY KEY, visitor INTEGER NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL
    )
"""
# One statement for the batch, its rows as one JSON text: the driver lets go of the interpreter once a statement, and next to
# a busy loop each return to it is a wait. Row by row (executemany) the rate was lower in most
# rounds, at much the same CPU time.
INSERT = """
    INSERT INTO message (seq, visitor, id, text)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)
"""

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class VisitorMessage(msgspec.Struct, gc=False, tag_field="type", tag="message", forbid_unknown_fields=True):
    """What a visitor may send."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]


class Accepted(msgspec.Struct, gc=False, tag_field="type", tag="accepted"):
    """The visitor's acknowledgement: the message is on the disk."""

    id: str
    seq: int


class OperatorMessage(msgspec.Struct, gc=False, tag_field="type", tag="message"):
    """What the owning operator sees."""

    visitor: int
    seq: int
    text: str


class Waiting(msgspec.Struct, gc=False):
    """A message between its arrival and its commit; ``seq`` is 0 until then."""

    visitor: int
    message: VisitorMessage
    answer: Send
    seq: int = 0


class Committer(ABC):
    """One table, one writer thread, one commit for all that waited while the last one ran."""

    def __init__(self, committed: Callable[[list[Waiting]], object]) -> None:
        self._committed = committed
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def open(self) -> None:
        """Start the writer; return when the database is ready, or raise what kept it from being so."""
        self._thread.start()
        self._opened.wait()
        if self._failure is not None:
            raise self._failure

    def put(self, waiting: Waiting) -> None:
        """Hand one message to the writer; ``committed`` is called with it, in the writer's thread, after the commit."""
        self._queue.put(waiting)

    def close(self) -> None:
        """Write what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    @abstractmethod
    def connect(self) -> int:
        """Open the database, in the writer's thread, and return the last seq in it. Raises RuntimeError when it is not durable."""

    @abstractmethod
    def insert(self, batch: list[Waiting]) -> None:
        """Insert *batch*, which is not empty, and return when it is on the disk."""

    @abstractmethod
    def disconnect(self) -> None:
        """Close the database."""

    def _run(self) -> None:
        try:
            seq = self.connect()
        except BaseException as failure:
            self._failure = failure
            self._opened.set()
            return
        self._opened.set()
        queue, size = self._queue, self._queue.qsize
        more = True
        while more:
            first = queue.get()
            batch = [] if first is None else [first]
            more = first is not None
            for _ in range(size()):
                waiting = queue.get()
                if waiting is None:
                    more = False
                else:
                    batch.append(waiting)
            for waiting in batch:
                seq += 1
                waiting.seq = seq
            if batch:
                self.insert(batch)
                self._committed(batch)
        self.disconnect()


class SqliteCommitter(Committer):
    """The table in a file of its own."""

    def __init__(self, path: Path, committed: Callable[[list[Waiting]], object]) -> None:
        super().__init__(committed)
        self._path = path
        self._database: sqlite.Connection
        self._encode = msgspec.json.Encoder().encode

    def connect(self) -> int:
        database = self._database = sqlite.connect(str(self._path), isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        journal = database.execute("PRAGMA journal_mode").fetchone()[0]
        synchronous = database.execute("PRAGMA synchronous").fetchone()[0]
        if (journal, synchronous) != (WAL, FULL):
            raise RuntimeError(f"{self._path}: journal_mode is {journal}, synchronous {synchronous}; the floor must be durable")
        database.execute(TABLE)
        return int(database.execute("SELECT coalesce(max(seq), 0) FROM message").fetchone()[0])

    def insert(self, batch: list[Waiting]) -> None:
        rows = self._encode([(each.seq, each.visitor, each.message.id, each.message.text) for each in batch]).decode()
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(INSERT, [rows])
        self._database.execute("COMMIT")

    def disconnect(self) -> None:
        self._database.close()


class App(ABC):
    """What the ASGI applications of all floors have: an opening, an end, `/readyz` between them, and sockets by their paths."""

    sockets: Mapping[str, Callable[[Event, Receive, Send], Awaitable[None]]]

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, send)
        elif (serve := self.sockets.get(scope["path"])) is not None:
            await serve(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    @abstractmethod
    async def open(self) -> None:
        """Open what it stands on, before the first request."""

    @abstractmethod
    async def close(self) -> None:
        """Close it, after the last."""

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Event, send: Send) -> None:
        status = 200 if scope["path"] == "/readyz" else 404
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def serve_visitor(scope: Event, receive: Receive, send: Send, put: Callable[[Waiting], None]) -> None:
    """Read one visitor's socket to its end; every message is *put*."""
    visitor = number_of(scope, "visitor")
    decode = msgspec.json.Decoder(VisitorMessage).decode
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        try:
            message = decode(event.get("text") or b"")
        except msgspec.DecodeError as failure:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": str(failure)[:100]})
            return
        put(Waiting(visitor, message, send))


async def serve_operator(scope: Event, receive: Receive, send: Send, connected: dict[int, Send]) -> None:
    """Have one operator among the *connected* until the socket ends."""
    operator = number_of(scope, "operator")
    await receive()
    await send({"type": "websocket.accept"})
    connected[operator] = send
    while (await receive())["type"] == "websocket.receive":
        pass
    if connected.get(operator) is send:
        del connected[operator]


class Floor(App):
    """The floor of one process.

    One task delivers what was committed, in commit order; a peer that stops reading holds up the rest, which a floor may.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "floor.db"
        self._operators: dict[int, Send] = {}
        self._batches: asyncio.Queue[list[Waiting]] = asyncio.Queue()
        self._store: Committer
        self._delivering: asyncio.Task[None]
        self.sockets = {
            "/ws/visitor": lambda scope, receive, send: serve_visitor(scope, receive, send, self._store.put),
            "/ws/operator": lambda scope, receive, send: serve_operator(scope, receive, send, self._operators),
        }

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._store = SqliteCommitter(self._path, lambda batch: loop.call_soon_threadsafe(self._batches.put_nowait, batch))
        self._store.open()
        self._delivering = loop.create_task(self._deliver())

    async def close(self) -> None:
        self._delivering.cancel()
        self._store.close()

    async def _deliver(self) -> None:
        encode = msgspec.json.Encoder().encode
        while True:
            for waiting in await self._batches.get():
                message = waiting.message
                await offer(waiting.answer, encode(Accepted(message.id, waiting.seq)))
                operator = self._operators.get(waiting.visitor % OPERATORS)
                if operator is not None:
                    await offer(operator, encode(OperatorMessage(waiting.visitor, waiting.seq, message.text)))


async def offer(send: Send, frame: bytes) -> None:
    """Send *frame* as text; a peer that has gone misses it."""
    try:
        await send({"type": "websocket.send", "text": frame.decode()})
    except OSError:  # uvicorn's ClientDisconnected
        return


def number_of(scope: Event, name: str) -> int:
    """Return the number *name* of the request's query; 0 if it has none."""
    return int(parse_qs(scope["query_string"].decode()).get(name, ["0"])[0])


def serve(app: App, port: int) -> None:
    """Serve *app* until a signal."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="on",
        log_level="warning",
        access_log=False,
    )


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.floor", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="an existing folder for the database")
    arguments = parser.parse_args()
    serve(Floor(arguments.data), arguments.port)


if __name__ == "__main__":
    main()
