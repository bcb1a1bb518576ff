"""The floor of two processes: what visitors say is kept by one, and shown to operators by the other.

    visitors' process     frame checked ── PostgreSQL, one insert and one commit for all that waits ── acknowledged ── XADD
    operators' process    XREADGROUP ── the operator who owns the conversation

Like the floor of one process (tests/bench/floor.py, whose frames and addresses it has) it is what is left when every feature is
left out: the same libraries, the same durability, the same two servers as the product's.

    python -m tests.bench.floor_pair visitors --port 8090 --redis URL --database URL
    python -m tests.bench.floor_pair operators --port 8091 --redis URL
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import psycopg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.bench.floor import (
    OPERATORS,
    Accepted,
    App,
    Committer,
    OperatorMessage,
    Send,
    Waiting,
    offer,
    serve,
    serve_operator,
    serve_visitor,
)

STREAM, GROUP = "messages", "operators"
FIELD = b"batch"
STREAM_ENTRIES = 10_000
ENTRIES_TOGETHER = 100
BLOCK_MS = 1_000

TABLE = """
    CREATE TABLE IF NOT EXISTS message (
        seq BIGINT PRIMARY KEY, visitor BIGINT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL
    )
"""
# An array a column, in the binary form: a VALUES list costs thrice as much, and arrays as text twice as much.
INSERT = "INSERT INTO message (seq, visitor, id, text) SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::text[], %b::text[])"

Shown = tuple[int, int, str]
"""Of a message that was committed: visitor, seq, text."""
Ask = Callable[..., object]
"""A command into a pipeline, which answers it later."""
_encode_batch = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(list[Shown]).decode


class PostgresCommitter(Committer):
    """The table in a PostgreSQL that waits for its disk."""

    def __init__(self, url: str, committed: Callable[[list[Waiting]], object]) -> None:
        super().__init__(committed)
        self._url = url
        self._connection: psycopg.Connection[Any]
        self._cursor: psycopg.Cursor[Any]

    def connect(self) -> int:
        self._connection = psycopg.connect(self._url, autocommit=True, options="-c synchronous_commit=on")
        self._cursor = self._connection.cursor()
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            ((value,),) = self._cursor.execute(f"SHOW {name}").fetchall()
            if value != "on":
                raise RuntimeError(f"{name} is {value}; the floor must be durable")
        self._cursor.execute(TABLE)
        ((last,),) = self._cursor.execute("SELECT coalesce(max(seq), 0) FROM message").fetchall()
        return int(last)

    def insert(self, batch: list[Waiting]) -> None:
        rows = [(each.seq, each.visitor, each.message.id, each.message.text) for each in batch]
        # Outside a transaction a statement is one, and its answer comes after the commit.
        self._cursor.execute(INSERT, [list(column) for column in zip(*rows, strict=True)], prepare=True)

    def disconnect(self) -> None:
        self._connection.close()


class VisitorsApp(App):
    """The visitors' process. One task acknowledges in commit order; another passes on what has been acknowledged meanwhile."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._database_url = database_url
        self._redis = Redis.from_url(redis_url, protocol=2)
        self._batches: asyncio.Queue[list[Waiting]] = asyncio.Queue()
        self._committed: list[list[Waiting]] = []
        self._acknowledged = asyncio.Event()
        self._store: Committer
        self._tasks: list[asyncio.Task[None]] = []
        self.sockets = {"/ws/visitor": lambda scope, receive, send: serve_visitor(scope, receive, send, self._store.put)}

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        await self._redis.ping()
        self._store = PostgresCommitter(
            self._database_url, lambda batch: loop.call_soon_threadsafe(self._batches.put_nowait, batch)
        )
        self._store.open()
        self._tasks = [loop.create_task(self._acknowledge()), loop.create_task(self._pass_on())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._store.close()
        await self._redis.aclose()

    async def _acknowledge(self) -> None:
        encode = msgspec.json.Encoder().encode
        while True:
            batch = await self._batches.get()
            for waiting in batch:
                await offer(waiting.answer, encode(Accepted(waiting.message.id, waiting.seq)))
            self._committed.append(batch)
            self._acknowledged.set()

    async def _pass_on(self) -> None:
        while True:
            await self._acknowledged.wait()
            self._acknowledged.clear()
            batches, self._committed = self._committed, []
            async with self._redis.pipeline(transaction=False) as pipeline:
                ask: Ask = pipeline.execute_command
                for batch in batches:
                    shown: list[Shown] = [(each.visitor, each.seq, each.message.text) for each in batch]
                    ask("XADD", STREAM, "MAXLEN", "~", STREAM_ENTRIES, "*", FIELD, _encode_batch(shown))
                await pipeline.execute()


class OperatorsApp(App):
    """The operators' process."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url, protocol=2)
        self._operators: dict[int, Send] = {}
        self._reading: asyncio.Task[None]
        self.sockets = {"/ws/operator": lambda scope, receive, send: serve_operator(scope, receive, send, self._operators)}

    async def open(self) -> None:
        with suppress(ResponseError):  # the group is there already
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def close(self) -> None:
        self._reading.cancel()
        await self._redis.aclose()

    async def _read(self) -> None:
        encode = msgspec.json.Encoder().encode
        shown: list[bytes] = []
        while True:
            async with self._redis.pipeline(transaction=False) as pipeline:
                ask: Ask = pipeline.execute_command
                if shown:
                    ask("XACK", STREAM, GROUP, *shown)
                ask("XREADGROUP", "GROUP", GROUP, "one", "COUNT", ENTRIES_TOGETHER, "BLOCK", BLOCK_MS, "STREAMS", STREAM, ">")
                *_, found = await pipeline.execute()
            shown = []
            for _, entries in found or ():
                for entry_id, fields in entries:
                    shown.append(entry_id)
                    for visitor, seq, text in _decode_batch(fields[FIELD]):
                        operator = self._operators.get(visitor % OPERATORS)
                        if operator is not None:
                            await offer(operator, encode(OperatorMessage(visitor, seq, text)))


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.floor_pair", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("side", choices=["visitors", "operators"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--database", metavar="URL", help="the visitors' side keeps messages there")
    arguments = parser.parse_args()
    if arguments.side == "operators":
        serve(OperatorsApp(arguments.redis), arguments.port)
        return
    if arguments.database is None:
        parser.error("the visitors' side needs --database")
    serve(VisitorsApp(arguments.database, arguments.redis), arguments.port)


if __name__ == "__main__":
    main()
