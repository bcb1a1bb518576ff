"""The consoles' gateway in a whole house: the shipped store, routing and timers, a real uvicorn, consoles with cookies."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import websockets

from broker import inbound
from broker.access import logins
from broker.access.logins import Logins, hash_token
from broker.clock import SystemClock, SystemIds
from broker.config import Settings
from broker.domain import ChannelId, LineId, LoadKind, OperatorId, PresenceState, Role, to_us
from broker.errors import StoreFull
from broker.leases import free
from broker.outbound import Sender, SenderLoop
from broker.ports import Bell, Clock, Tx
from broker.store.directory import LiveDirectory
from broker.store.sql import insert_row
from broker.store.tables import logins as login_rows
from broker.timers import TimerLoop
from broker.transport.memory import MemoryTransport
from broker.web.addresses import Addresses
from broker.web.server import make_server
from broker.web.wiring import Parts
from operators.gateway import Gateway
from operators.presence import grace_over
from routing.applying import House, timer_fired
from routing.distributor import Distributor
from routing.worker import Worker
from tests.support import house
from tests.support.channels import FakeChannel, told, wrote
from tests.support.site import CHEAP
from tests.support.store import AnyStore, open_store, plain

WAIT_SECONDS = 20.0
"""For a frame that must come; a test that runs into it has failed."""
_LOGIN = insert_row(login_rows, "token_hash operator_id created_us seen_us ends_us")
Test = Callable[["Desk"], Coroutine[Any, Any, None]]


class Console:
    """An operator's browser, as a client of the socket."""

    def __init__(self, socket: websockets.ClientConnection, operator: OperatorId) -> None:
        self.socket = socket
        self.operator = operator
        self.frames: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        """Every update that has come, from whatever frame."""
        self.at = ""
        self._unread: list[dict[str, Any]] = []

    async def send(self, **frame: Any) -> None:
        """Send a frame."""
        await self.socket.send(json.dumps(frame))

    async def recv(self) -> dict[str, Any]:
        """Return the next frame."""
        frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.frames.append(frame)
        if "at" in frame:
            self.at = frame["at"]
        if frame["t"] == "updates":
            self.updates += frame["list"]
            self._unread += frame["list"]
        return frame

    async def next(self, kind: str, **like: Any) -> dict[str, Any]:
        """Return the next frame of *kind* with these values; others are kept in `frames`."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                frame = await self.recv()
                if frame["t"] == kind and all(frame.get(key) == value for key, value in like.items()):
                    return frame

    async def until(self, test: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Return the next update, not yet returned or passed over, that *test* holds for."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                while self._unread:
                    update = self._unread.pop(0)
                    if test(update):
                        return update
                await self.recv()

    async def card(self, **like: Any) -> dict[str, Any]:
        """Return the next update with a card that has these values."""
        return await self.until(lambda u: all(u.get("card", {}).get(key) == value for key, value in like.items()) and "card" in u)

    async def said(self, text: str) -> dict[str, Any]:
        """Return the next update with the message *text*."""
        return await self.until(lambda u: u.get("message", {}).get("text") == text)

    async def hello(self, **more: Any) -> dict[str, Any]:
        """Say hello and return the snapshot, or `resumed`."""
        await self.send(t="hello", **more)
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.recv()

    async def do(self, session: str, verb: str, id_: str = "", **more: Any) -> str:
        """Do a deed and wait until it is accepted; return its id."""
        id_ = id_ or str(uuid.uuid4())
        await self.send(t="do", id=id_, session=session, verb=verb, **more)
        await self.next("accepted", id=id_)
        return id_

    async def caught_up(self) -> None:
        """Wait until everything said so far to this console has come."""
        await self.send(t="ping")
        await self.next("pong")

    async def close_code(self) -> int | None:
        """Wait for the server to close, and return its code."""
        async with asyncio.timeout(WAIT_SECONDS):
            with suppress(websockets.ConnectionClosed):
                while True:
                    await self.recv()
        return self.socket.close_code


class Tight:
    """The store as the gateway sees it; when *full*, it takes nothing more; while *slow* is not set, logins are not looked at."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store
        self.full = False
        self.slow: asyncio.Event | None = None
        self.asked = asyncio.Event()
        """Set when a login waits to be looked at."""
        self.meanwhile: tuple[str, Callable[[], Awaitable[None]]] | None = None
        """What the gateway's next reading in the method of that name comes back after."""

    def write(self, work: Callable[[Tx], Any], /) -> Any:
        """See `Store.write`."""

        def refuse(tx: Tx) -> Any:
            raise StoreFull("the disk is full")

        return self._store.write(refuse if self.full else work)

    def write_each(self, work: Callable[[Tx, Sequence[Any]], Sequence[Any]], item: Any, /) -> Any:
        """See `Store.write_each`."""
        return self.write(lambda tx: work(tx, (item,))[0])

    def read(self, work: Callable[[Tx], Any], /) -> Any:
        """See `Store.read`."""
        if self.slow is not None and work.__qualname__.startswith(Gateway._check.__qualname__):
            return self._read_later(self.slow, work)
        if self.meanwhile is not None and work.__qualname__.startswith(self.meanwhile[0]):
            (_, do), self.meanwhile = self.meanwhile, None
            return self._read_then(work, do)
        return self._store.read(work)

    async def _read_then(self, work: Callable[[Tx], Any], do: Callable[[], Awaitable[None]]) -> Any:
        answer = await self._store.read(work)
        await do()
        return answer

    async def _read_later(self, slow: asyncio.Event, work: Callable[[Tx], Any]) -> Any:
        self.asked.set()
        await slow.wait()
        return await self._store.read(work)


class Desk:
    """The parts of the house, for tests to use and to look at."""

    def __init__(self, store: AnyStore, transport: MemoryTransport, clock: Clock, settings: Settings) -> None:
        self.store = store
        self.transport = transport
        self.clock = clock
        self.tight = Tight(store)
        self.parts = Parts(
            store=self.tight,
            clock=clock,
            settings=settings,
            passwords=CHEAP,
            logins=Logins(store, CHEAP, settings.login),
            addresses=Addresses(),
        )
        self.directory = LiveDirectory(store, transport)
        self.gateway = Gateway(self.parts, transport, self.directory)
        self.directory.on_change(self.gateway.settings_changed)
        self.directory.on_change(self._open_channels)
        self.channels: dict[ChannelId, FakeChannel] = {}
        self.port = 0
        self.line = LineId("")
        self.channel = ChannelId("")
        self._said = 0

    def _open_channels(self, directory: Any) -> None:
        for row in directory.channels.values():
            self.channels.setdefault(row.id, FakeChannel(row.id, row.line_id))

    async def line_with_channel(self, slug: str, **settings: Any) -> tuple[LineId, ChannelId]:
        """Add a line with a channel."""

        def add(tx: Tx) -> tuple[LineId, ChannelId]:
            line = house.add_line(tx, slug, **settings)
            return line, house.add_channel(tx, line, slug)

        made = await self.store.write(add)
        await self.directory.refresh()
        return made

    async def operator(
        self,
        login: str,
        *lines: LineId,
        role: Role = Role.OPERATOR,
        state: PresenceState = PresenceState.OFFLINE,
        budget: int = 100,
    ) -> OperatorId:
        """Add a person."""
        made = await self.store.write(lambda tx: house.add_operator(tx, login, lines, role=role, state=state, budget=budget))
        await self.directory.refresh()
        return made

    async def log_in(self, operator: OperatorId) -> str:
        """Return a new login's token."""
        token = str(uuid.uuid4())
        now = to_us(self.clock.now())
        await self.store.write(
            lambda tx: tx.run(
                _LOGIN,
                token_hash=hash_token(token),
                operator_id=operator,
                created_us=now,
                seen_us=now,
                ends_us=now + 3_600_000_000,
            )
        )
        return token

    async def log_out(self, token: str) -> None:
        """End a login."""
        await self.store.write(lambda tx: logins.end_login(tx, token))

    @asynccontextmanager
    async def socket(
        self, operator: OperatorId, *, token: str | None = None, origin: str | None = "own"
    ) -> AsyncIterator[Console]:
        """Open a console's socket, as somebody who is logged in."""
        token = token if token is not None else await self.log_in(operator)
        where = f"127.0.0.1:{self.port}"
        async with websockets.connect(
            f"ws://{where}/ws/operator",
            origin=f"http://{where}" if origin == "own" else origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": f"omniline={token}"},
            max_size=None,
            compression=None,
        ) as socket:
            yield Console(socket, operator)

    @asynccontextmanager
    async def console(self, operator: OperatorId, presence: str | None = "online") -> AsyncIterator[Console]:
        """Open a console, say hello, and say *presence*."""
        async with self.socket(operator) as console:
            await console.hello()
            if presence is not None:
                await console.send(t="presence", state=presence)
                await console.until(lambda u: u.get("colleague") and u["colleague"]["id"] == operator)
            yield console

    async def say(self, key: str, text: str, channel: ChannelId | None = None, **more: Any) -> None:
        """Have the customer *key* say *text*."""
        self._said += 1
        await self._accept(channel or self.channel, wrote(f"{key}:{self._said}", key, text, **more))

    async def tell_details(self, key: str, **details: Any) -> None:
        """Have the customer *key* fill in a form."""
        self._said += 1
        await self._accept(self.channel, told(f"{key}:{self._said}", key, **details))

    async def decided(self) -> None:
        """Wait until every input has been decided."""
        news = asyncio.Event()
        stop = self.transport.listen(Bell.NEWS, lambda _: news.set())
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.store.read(inbound.undecided):
                await news.wait()
                news.clear()
        stop()

    async def _accept(self, channel: ChannelId, raw: Any) -> None:
        directory = self.directory()
        prepared = inbound.prepare(self.channels[channel], [raw], directory.lines[directory.channels[channel].line_id].settings)
        await self.store.write(lambda tx: inbound.accept(tx, channel, prepared))

    async def rows(self, text: str, *values: object) -> list[Any]:
        """Return what a plain query finds, for asserting."""
        return await self.store.read(lambda tx: list(plain(tx, text, *values).fetchall()))


@asynccontextmanager
async def desk(folder: Path, settings: Settings | None = None) -> AsyncIterator[Desk]:
    """Serve a house with a line `shop` and its channel."""
    transport = MemoryTransport()
    clock = SystemClock()
    store = open_store(folder, clock=clock, ids=SystemIds(), ring=transport.ring)
    made = Desk(store, transport, clock, settings or Settings())
    await store.write(lambda tx: house.add_process(tx, "test"))
    made.line, made.channel = await made.line_with_channel("shop")

    def routing() -> House:
        return House(made.directory(), dict.fromkeys(made.channels, LoadKind.CHAT))

    sender = Sender(store, clock, made.channels.get, lambda _channel, _operator: "Shop", owner="test", fence=1)
    loops = [
        made.directory.run(),
        made.gateway.run(),
        Worker(store, transport, routing).run(),
        Distributor(store, transport, routing).run(),
        TimerLoop(store, transport, {"conversation": timer_fired, "operator": grace_over}, free).run(),
        SenderLoop(sender, store, transport, fence=1, idempotent=lambda _: True).run(),
    ]
    tasks = [asyncio.create_task(loop) for loop in loops]
    server = make_server(made.gateway, "127.0.0.1", 0)
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
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()
        for error in ended:
            if not isinstance(error, asyncio.CancelledError):
                raise AssertionError("a loop ended by itself") from error


def played(folder: Path, story: Test, settings: Settings | None = None) -> None:
    """Play *story* in a house of its own."""

    async def play() -> None:
        async with desk(folder, settings) as made:
            await story(made)

    asyncio.run(play())
