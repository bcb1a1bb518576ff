"""A place with a line, a site channel and the real visitors' gate, served by a real uvicorn on a private port."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import websockets
from sqlalchemy import bindparam, update

from broker.clock import SystemClock, SystemIds
from broker.domain import ChannelId, ConversationId, Directory, LineId, LoadKind
from broker.inbound import undecided
from broker.outbound import Sender, SenderLoop
from broker.ports import Bell, Channel, Tx
from broker.store import directory as directories
from broker.store.sql import sql
from broker.store.tables import channels
from broker.transport.memory import MemoryTransport
from broker.web.addresses import Addresses
from broker.web.server import make_server
from channels.phone.adapter import KIND_NAME, PhoneChannel
from channels.phone.asking import CallsOut
from channels.widget import shown
from channels.widget.adapter import WidgetChannel
from channels.widget.callbacks import Callbacks
from channels.widget.gate import VisitorGate
from channels.widget.limits import Limits
from channels.widget.settings import check
from channels.widget.tokens import VisitorTokens
from routing.applying import House
from routing.clockwork import keep_time
from routing.distributor import Distributor
from routing.worker import Worker
from tests.support import house
from tests.support.store import AnyStore, open_store, plain

TOKEN_KEY = b"k" * 32
"""What visitors' tokens are signed with."""
WAIT_SECONDS = 20.0
"""For a frame that must come; a test that runs into it has failed."""


class Visitor:
    """A site visitor's browser, as a client of the socket."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def send(self, **frame: Any) -> None:
        """Send a frame."""
        await self.socket.send(json.dumps(frame))

    async def send_all(self, frames: Sequence[dict[str, Any]]) -> None:
        """Send *frames* so that they come in together."""
        async with self.socket.send_context():
            for frame in frames:
                self.socket.protocol.send_text(json.dumps(frame).encode())

    async def answer(self) -> dict[str, Any]:
        """Return the next answer to a message: an ack or a refusal."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv())
                if frame["t"] in ("ack", "refused"):
                    return frame

    async def send_and_hear(self, **frame: Any) -> dict[str, Any]:
        """Send a message and return its answer: an ack or a refusal."""
        await self.send(**frame)
        return await self.answer()

    async def next(self, kind: str, **like: Any) -> dict[str, Any]:
        """Return the next frame of *kind* with these values; others are kept in `frames`."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv())
                self.frames.append(frame)
                if frame["t"] == kind and all(frame.get(key) == value for key, value in like.items()):
                    return frame

    async def hello(self, **more: Any) -> dict[str, Any]:
        """Say hello and return the welcome."""
        await self.send(t="hello", **more)
        return await self.next("welcome")

    async def say(self, text: str, id_: str | None = None) -> dict[str, Any]:
        """Say *text* and return the ack."""
        id_ = id_ or str(uuid.uuid4())
        await self.send(t="say", id=id_, text=text)
        return await self.next("ack", id=id_)

    async def close_code(self) -> int | None:
        """Wait for the server to close, and return its code."""
        async with asyncio.timeout(WAIT_SECONDS):
            # Read to the end: a client that reads nothing does not see the close either.
            with suppress(websockets.ConnectionClosed):
                while True:
                    await self.socket.recv()
        return self.socket.close_code


class Place:
    """The parts of the place, for tests to look at."""

    def __init__(self, store: AnyStore, transport: MemoryTransport, line: LineId, channel: ChannelId) -> None:
        self.store = store
        self.transport = transport
        self.line = line
        self.channel = channel
        self.directory = Directory({}, {}, {}, {}, {})
        self.port = 0
        self.gate: VisitorGate | None = None
        self.speaker = Speaker(transport)
        self.answers = LateAnswers(store)
        """What the gate reads from."""

    @asynccontextmanager
    async def visitor(self, *, origin: str | None = None, line: str = "shop", host: str = "127.0.0.1") -> AsyncIterator[Visitor]:
        """Open a visitor's socket; *host* is the address it comes from."""
        url = f"ws://127.0.0.1:{self.port}/ws/visitor?line={line}"
        async with websockets.connect(url, origin=origin, local_addr=(host, 0), max_size=None, compression=None) as socket:  # type: ignore[arg-type]
            yield Visitor(socket)

    async def conversation(self) -> ConversationId:
        """Return the one conversation there is."""
        ((id_,),) = await self.rows("SELECT id FROM conversations")
        return ConversationId(id_)

    async def decided(self) -> None:
        """Wait until every input has been decided."""
        news = asyncio.Event()
        stop = self.transport.listen(Bell.NEWS, lambda _: news.set())
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.store.read(undecided):
                await news.wait()
                news.clear()
        stop()

    async def sent(self) -> None:
        """Wait until everything has left."""
        news = asyncio.Event()
        stop = self.transport.listen(Bell.NEWS, lambda _: news.set())
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.rows("SELECT id FROM outbox WHERE state <> 'sent'"):
                await news.wait()
                news.clear()
        stop()

    async def texts(self) -> list[str]:
        """Return what visitors wrote, in its order."""
        return [
            text
            for (text,) in await self.rows("SELECT text FROM messages WHERE author = 'contact' ORDER BY conversation_id, seq")
        ]

    async def rows(self, text: str) -> list[Any]:
        """Return what a plain query finds, for asserting."""
        return await self.store.read(lambda tx: list(plain(tx, text).fetchall()))


class Speaker(MemoryTransport):
    """The way of another process to the gate's: what it tells while that is cut reaches nobody, and the gate knows nothing of it."""

    def __init__(self, gates: MemoryTransport) -> None:
        super().__init__()
        self._gates = gates
        self.cut = False

    def tell(self, topic: str, word: bytes, /) -> None:
        """Pass the word on, or lose it."""
        if not self.cut:
            self._gates.tell(topic, word)


class LateAnswers:
    """A store whose answers to readings may be late: what is read is of the moment in which it was asked."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store
        self.come = asyncio.Event()
        self.come.set()
        self.waiting = asyncio.Event()

    async def read(self, work: Any) -> Any:
        """Read, and wait until answers come."""
        answer = await self._store.read(work)
        if not self.come.is_set():
            self.waiting.set()
            await self.come.wait()
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@asynccontextmanager
async def place(
    folder: Path,
    *,
    limits: Limits | None = None,
    settings: dict[str, Any] | None = None,
    line: dict[str, Any] | None = None,
    apart: bool = False,
    telephone: bool = True,
) -> AsyncIterator[Place]:
    """Serve a line `shop` with a site channel `shop`, a number and an operator `ann` who is online; *line* changes the line's settings.

    *telephone*: calls can be made, though nobody makes them.
    *apart*: the sender speaks to the gate as from another process, by the place's `speaker`.
    """
    transport = MemoryTransport()
    transport.alone = not apart
    store = open_store(folder, clock=SystemClock(), ids=SystemIds(), ring=transport.ring)

    def furnish(tx: Tx) -> tuple[LineId, ChannelId]:
        house.add_process(tx, "t")
        line_id = house.add_line(tx, **(line or {}))
        channel = house.add_channel(tx, line_id, "shop", "widget")
        tx.run(_SETTINGS, channel=channel, given=json.dumps(check(settings or {})))
        number = house.add_channel(tx, line_id, "number", KIND_NAME)
        tx.run(_SETTINGS, channel=number, given=json.dumps({"numbers": ["74951234567"]}))
        house.add_operator(tx, "ann", [line_id])
        return line_id, channel

    made = Place(store, transport, *await store.write(furnish))
    made.directory = await store.read(directories.load)
    addresses = Addresses()
    numbers: dict[ChannelId, Channel] = {
        row.id: PhoneChannel(row) for row in made.directory.channels.values() if row.kind == KIND_NAME
    }
    out = CallsOut(lambda: made.directory, numbers.get)
    made.answers = LateAnswers(store)
    loads = {made.channel: LoadKind.CHAT} | dict.fromkeys(numbers, LoadKind.CALL)
    routing = House(made.directory, loads, frozenset({made.channel}))
    gate = VisitorGate(
        made.answers,
        transport,
        SystemClock(),
        lambda: made.directory,
        VisitorTokens(TOKEN_KEY),
        limits=limits or Limits(),
        address_of=addresses.client,
        own_origin=addresses.own_origin,
        callbacks=Callbacks(out, routing.openings.first_open) if telephone else None,
    )
    made.gate = gate
    row = made.directory.channels[made.channel]
    channel = WidgetChannel(row, shown.shower(made.speaker)) if apart else gate.channel(row)
    await store.write(lambda tx: keep_time(tx, routing))
    sender = Sender(
        store,
        SystemClock(),
        {made.channel: channel}.get,
        lambda _channel, operator: "Ann" if operator else "Shop",
        owner="t",
        fence=1,
    )
    loops = [
        Worker(store, transport, lambda: routing).run(),
        Distributor(store, transport, lambda: routing).run(),
        SenderLoop(sender, store, transport, fence=1, idempotent=lambda _: True).run(),
    ]
    if apart:
        loops.append(gate.run())
    tasks = [asyncio.create_task(loop) for loop in loops]
    server = make_server(gate, "127.0.0.1", 0)
    serving = asyncio.create_task(server.serve())
    try:
        await server.opened.wait()
        made.port = server.opened_port
        yield made
    finally:
        server.should_exit = True
        await serving
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()


_SETTINGS = sql(update(channels).values(settings=bindparam("given")).where(channels.c.id == bindparam("channel")))
