"""A bot of a fake Telegram's and what serves it: the shipped channel, receivers, sender and fetcher, on a database in memory.

Nobody sleeps: who would, moves the clocks on, ours and the provider's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from broker.domain import ChannelId, ChannelRow, ConversationId, LineSettings, MessageId, to_us
from broker.extras import Attachment, Extra, FileKind, FileState, written
from broker.fetching import Asked, Fetcher
from broker.files import LocalFiles
from broker.inbound import accept, prepare
from broker.leases import Run, free
from broker.outbound import Sender, post
from broker.ports import Outbound, OutFile, Raw, Tx
from broker.receiving import Receivers
from broker.store.sql import insert_row
from broker.store.tables import files as files_table
from broker.store.tables import messages
from broker.transport.memory import MemoryTransport
from channels.telegram import api
from channels.telegram.adapter import TelegramChannel
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line
from tests.support.store import MemoryStore
from tests.support.telegram import Bot, Person, TelegramFake

T = TypeVar("T")
WAIT_SECONDS = 20.0
_MESSAGE = insert_row(messages, "id conversation_id seq kind author text fate at_us extra")
_FILE = insert_row(files_table, "id sha256 kind name media_type size created_us conversation_id")
_FETCHES = "SELECT id, channel_id, conversation_id, seq, no, ref, attempt, created_us FROM fetches ORDER BY id"


class Answered:
    """A store that answers at once, awaited; `wrote` is set by each write."""

    def __init__(self, memory: MemoryStore) -> None:
        self.memory = memory
        self.wrote = asyncio.Event()

    async def write(self, work: Callable[[Tx], T], /) -> T:
        """See `Store.write`."""
        try:
            return self.memory.write(work)
        finally:
            self.wrote.set()

    async def write_each(self, work: Callable[[Tx, Sequence[Any]], Sequence[T]], item: Any, /) -> T:
        """See `Store.write_each`."""
        try:
            return self.memory.write(lambda tx: work(tx, (item,)))[0]
        finally:
            self.wrote.set()

    async def read(self, work: Callable[[Tx], T], /) -> T:
        """See `Store.read`."""
        return self.memory.read(work)


class Desk:
    """See the module."""

    def __init__(self, folder: Path, fake: TelegramFake, bot: Bot, server: str = "") -> None:
        self.fake = fake
        self.bot = bot
        self.server = server or fake.url
        self.clock = MovedClock()
        self.memory = MemoryStore(self.clock)
        self.store = Answered(self.memory)
        self.files_folder = folder / "files"
        self.files = LocalFiles(self.files_folder)
        self.slept: list[float] = []
        self._slept = asyncio.Event()

        def build(tx: Tx) -> tuple[ChannelId, Any]:
            line = add_line(tx)
            return add_channel(tx, line, "bot", "telegram"), line

        self.id, self.line = self.memory.write(build)

    async def sleep(self, seconds: float) -> None:
        """Let it be so much later, here and there."""
        self.slept.append(seconds)
        passed = max(seconds, 0.001)  # less than a microsecond would be none to the clock, and be waited for for ever
        self.clock.move(passed)
        self.fake.move_clock(passed)
        self._slept.set()
        await asyncio.sleep(0)

    async def has_slept(self, times: int) -> None:
        """Return when somebody has wanted to sleep so often."""
        while len(self.slept) < times:
            self._slept.clear()
            await self._slept.wait()

    def channel(self, *, public_url: str | None = None, token: str = "", **settings: Any) -> TelegramChannel:
        """Return the shipped channel, as a start of the program makes it."""
        given = {"token": token or self.bot.token, "server": self.server, **settings}
        row = ChannelRow(self.id, self.line, "bot", "telegram", "Bot", given, 1)
        return TelegramChannel(row, self.clock, self.files, public_url, self.sleep)

    # In.

    @asynccontextmanager
    async def receiving(self, channel: TelegramChannel) -> AsyncIterator[None]:
        """Receive what comes for a while."""

        async def once(name: str, run: Run) -> None:
            await run(free)

        receivers = Receivers(
            self.store,
            once,
            lambda: {channel.id: channel},
            lambda _: LineSettings(),
            self.clock,
            self.sleep,
        )
        running = asyncio.create_task(receivers.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def until(self, text: str, wanted: Callable[[list[Any]], bool]) -> list[Any]:
        """Return what a plain query finds once it is *wanted*."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                self.store.wrote.clear()
                if wanted(found := self.memory.rows(text)):
                    return found
                await self.store.wrote.wait()

    async def said(self, count: int) -> list[tuple[str, Extra]]:
        """Return all messages, their words and what is beside them, once there are so many."""
        rows = await self.until("SELECT text, extra FROM messages ORDER BY at_us, id", lambda found: len(found) >= count)
        return [(text, msgspec.json.decode(extra, type=Extra) if extra else Extra()) for text, extra in rows]

    async def fetch_all(self, channel: TelegramChannel) -> None:
        """Ask for everything that is awaited, once."""
        fetcher = Fetcher(self.store, MemoryTransport(), self.files, lambda _: channel, free)
        for row in self.memory.rows(_FETCHES):
            await fetcher.step(Asked(*row))

    def begin(self, key: str, text: str = "hello") -> ConversationId:
        """Return a conversation that a customer has begun."""
        what = {
            "message_id": 1,
            "chat": {"id": int(key), "type": "private"},
            "from": {"id": int(key), "first_name": "A"},
            "text": text,
        }
        body = msgspec.json.encode({"update_id": abs(int(key)), "message": what})
        channel = self.channel(groups=True)
        prepared = prepare(channel, [Raw(f"begin-{key}", body)], LineSettings())
        (accepted,) = self.memory.write(lambda tx: accept(tx, self.id, prepared))
        assert accepted.conversation_id is not None
        return accepted.conversation_id

    # Out.

    def queue(self, conversation: ConversationId, seq: int, text: str, *kept: OutFile) -> None:
        """Queue a message."""

        def work(tx: Tx) -> None:
            attached = []
            for file in kept:
                id_ = tx.new_id()
                attached.append(
                    Attachment(file.kind, FileState.READY, file.name, file.media_type, file.size, id=id_),
                )
                values = {"sha256": file.sha256, "kind": file.kind.value, "name": file.name, "media_type": file.media_type}
                tx.run(_FILE, id=id_, size=file.size, created_us=0, conversation_id=conversation, **values)
            message = MessageId(tx.new_id())
            values = {"kind": "said", "author": "system", "fate": "queued", "text": text}
            extra = written(Extra(files=tuple(attached)))
            tx.run(_MESSAGE, id=message, conversation_id=conversation, seq=seq, at_us=to_us(tx.now), extra=extra, **values)
            post(tx, conversation, seq, self.id, message)

        self.memory.write(work)

    def sender(self, channel: TelegramChannel, transport: MemoryTransport | None = None, **more: Any) -> Sender:
        """Return the shipped sender."""
        taken = transport or MemoryTransport(self.clock.monotonic)
        return Sender(
            self.store,
            self.clock,
            lambda _: channel,
            lambda *_: "Shop",
            owner="test",
            fence=1,
            take=taken.take,
            sleep=self.sleep,
            **more,
        )

    async def keep(self, kind: FileKind, content: bytes, name: str = "", media_type: str = "application/octet-stream") -> OutFile:
        """Return a file of ours on its way out."""
        return OutFile(await self.files.put(content), kind, name or f"{kind}.bin", media_type, len(content))


def outbound(to: Person | int | str, text: str = "", *files: OutFile, name: str = "", **more: Any) -> Outbound:
    """Return a message on its way out; *name*: an operator's."""
    return Outbound(
        conversation_id=ConversationId("c"),
        key=f"{to.id}" if isinstance(to, Person) else f"{to}",
        message_id=MessageId("m"),
        token="t",
        seq=1,
        text=text,
        sender_name=name or "Shop",
        from_operator=bool(name),
        at_ms=0,
        files=files,
        **more,
    )


def played(story: Callable[[], Awaitable[None]]) -> None:
    """Play *story* on a loop of its own, and close what it has opened."""

    async def whole() -> None:
        try:
            await asyncio.wait_for(story(), 30)
        finally:
            await api.close()

    asyncio.run(whole())


async def refusal(sending: Awaitable[object]) -> Exception:
    """Return with what it fails."""
    try:
        found = await sending
    except Exception as error:
        return error
    raise AssertionError(f"it went well: {found!r}")


async def first(channel: TelegramChannel, cursor: str | None = None) -> Any:
    """Return the first delivery."""
    receiving = channel.receive(cursor)
    try:
        return await anext(receiving)
    finally:
        await receiving.aclose()  # type: ignore[attr-defined]


@asynccontextmanager
async def answering(*answers: tuple[int, bytes], heard: list[tuple[str, str]] | None = None) -> AsyncIterator[str]:
    """Give the address of a server that answers each call with the next of *answers*, then with the last again.

    Each method and its form is added to *heard*.
    """
    left = list(answers)

    async def answer(request: web.Request) -> web.Response:
        if heard is not None:
            heard.append((request.path.rpartition("/")[2], await request.text()))
        await request.read()
        status, body = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=status, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
