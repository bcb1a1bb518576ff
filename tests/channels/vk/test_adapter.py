"""A VK community as a channel, against a VK that is a process of its own: what is promised holds, whatever VK does."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from broker.clock import SystemClock
from broker.domain import ChannelId, ChannelRow, ConversationId, LineId, LineSettings, MessageId
from broker.errors import AccessLost, BadInput, OmnilineError, Rejected, Unavailable, Uncertain, Unreachable
from broker.events import AnsweredOutside, Pressed, Wrote
from broker.extras import FileKind
from broker.files import LocalFiles
from broker.inbound import accept
from broker.leases import Run, free
from broker.outbound import Sender, post
from broker.ports import (
    Button,
    Delivery,
    EditsMessages,
    FetchesFiles,
    KnowsPeople,
    Outbound,
    OutFile,
    Raw,
    ShowsTyping,
    TakesHooks,
    Tx,
)
from broker.receiving import Receivers, cursor_of
from broker.store.sql import insert_row
from broker.store.tables import messages
from channels.vk import api
from channels.vk.adapter import HOOK_TS, OUTAGE_SECONDS, VK, VkChannel, probe, random_id
from channels.vk.parsing import CHATS_BEGIN, EVENTS
from channels.vk.settings import check
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line
from tests.support.store import AnyStore, open_store
from tests.support.vk import VkCommunity, VkFake, doc, photo, vk_fake, voice
from tests.support.wire import Wire

ANN, BOB, SHOP = 7, 8, 1001
MESSAGE = insert_row(messages, "id conversation_id seq session_id kind author text fate at_us")
Story = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def one_fake() -> Iterator[VkFake]:
    """A process for all tests of the module."""
    with vk_fake() as fake:
        yield fake


@pytest.fixture
def fake(one_fake: VkFake) -> Iterator[VkFake]:
    """VK with nobody in it; by the end nothing was said that its published schema does not know."""
    one_fake.reset()
    yield one_fake
    one_fake.check()
    assert one_fake.violations() == []


@pytest.fixture
def shop(fake: VkFake) -> VkCommunity:
    """A community to which Ann has written once."""
    shop = fake.community(SHOP)
    fake.person(ANN, screen_name="ann")
    fake.person(BOB, "Борис", "Иванов")
    shop.write(ANN, "hello")
    return shop


@pytest.fixture
def channel(shop: VkCommunity, tmp_path: Path) -> VkChannel:
    """The community as a channel."""
    return connected(shop, tmp_path)


async def at_once(seconds: float) -> None:
    """Wait for nothing."""
    await asyncio.sleep(0)


def connected(
    shop: VkCommunity, folder: Path, id_: str = "c1", public_url: str | None = None, clock: MovedClock | None = None, **given: Any
) -> VkChannel:
    """Return the community as a channel, with settings that differ."""
    settings = check({"token": shop.token, "server": shop.fake.url, **given})
    row = ChannelRow(ChannelId(id_), LineId("l1"), "vk", "vk", "Shop", settings, 1)
    return VkChannel(row, clock or MovedClock(datetime.now(UTC)), LocalFiles(folder / "files"), public_url, at_once)


def played(story: Story) -> None:
    """Play *story*, and close what it has opened."""

    async def whole() -> None:
        try:
            async with asyncio.timeout(30):
                await story()
        finally:
            await api.close()

    asyncio.run(whole())


@asynccontextmanager
async def receiving(channel: VkChannel, cursor: str | None = None) -> AsyncIterator[AsyncIterator[Delivery]]:
    """Receive from *cursor* on until the block ends."""
    deliveries = channel.receive(cursor)
    try:
        yield deliveries
    finally:
        assert isinstance(deliveries, AsyncGenerator)
        await deliveries.aclose()


async def begun(channel: VkChannel) -> str:
    """Return the cursor of a channel that has begun to receive."""
    async with receiving(channel) as deliveries:
        async for delivery in deliveries:
            assert delivery.cursor is not None
            return delivery.cursor
    raise AssertionError("nothing was delivered")


async def heard(channel: VkChannel, cursor: str | None, count: int) -> tuple[list[Raw], str | None]:
    """Receive from *cursor* on until *count* payloads have come, each delivery acknowledged; return them and the last cursor."""
    raws: list[Raw] = []
    async with receiving(channel, cursor) as deliveries:
        async for delivery in deliveries:
            raws += delivery.raws
            cursor = delivery.cursor or cursor
            if delivery.ack is not None:
                await delivery.ack()
            if len(raws) >= count:
                return raws, cursor
    raise AssertionError("it ended")


def places(raws: Sequence[Raw]) -> list[str]:
    """Return the names of what came, without the dates in them."""
    return [raw.external_id.rpartition(":")[0] for raw in raws]


def texts(channel: VkChannel, raws: Sequence[Raw]) -> list[str]:
    """Return the words of what customers wrote."""
    read = [channel.parse(raw) for raw in raws]
    return [one.what.text for one in read if one is not None and isinstance(one.what, Wrote)]


def outbound(text: str = "Уже едет", **more: Any) -> Outbound:
    """Return a message to Ann."""
    plain = Outbound(ConversationId("k"), str(ANN), MessageId("m"), "row-1", 2, text, "Мария", from_operator=False, at_ms=0)
    return replace(plain, **more)


def said(shop: VkCommunity, peer_id: int = ANN) -> list[str]:
    """Return the words that were sent."""
    return [one["text"] for one in shop.sent(peer_id)]


def test_it_has_every_socket_it_says(channel: VkChannel):
    """What its capabilities promise can be asked of it."""
    assert isinstance(channel, TakesHooks)
    assert isinstance(channel, FetchesFiles)
    assert isinstance(channel, KnowsPeople)
    assert isinstance(channel, ShowsTyping)
    assert isinstance(channel, EditsMessages)
    assert ("vk", True, {"token", "secret"}) == (VK.kind, VK.capabilities.idempotent, set(VK.secrets))


# --- in: the long poll


def test_what_is_written_comes_in_order(shop: VkCommunity, channel: VkChannel):
    """From the place where it was begun; every message under its own name."""

    async def story() -> None:
        cursor = await begun(channel)
        for number in range(5):
            shop.write(ANN, f"{number}")
        raws, _ = await heard(channel, cursor, 5)

        assert ["0", "1", "2", "3", "4"] == texts(channel, raws)
        assert [f"{SHOP}:{ANN}:{number}" for number in range(2, 7)] == places(raws)

    played(story)


def test_nothing_is_passed_over_that_was_not_confirmed(shop: VkCommunity, channel: VkChannel):
    """The next poll asks from the ts of what was delivered, and not before that was acknowledged."""

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(ANN, "one")
        first, _ = await heard(channel, cursor, 1)
        again, later = await heard(channel, cursor, 1)
        shop.write(ANN, "two")
        rest, _ = await heard(channel, later, 1)

        assert [raw.external_id for raw in first] == [raw.external_id for raw in again]
        assert ["two"] == texts(channel, rest)

    played(story)


def test_a_delivery_that_nobody_took_is_not_confirmed(shop: VkCommunity, channel: VkChannel):
    """While a delivery is being stored nothing else is asked."""

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(ANN, "one")
        async with receiving(channel, cursor) as deliveries:
            delivery = await anext(deliveries)
            before = len(shop.polls()["asked"])
            await asyncio.sleep(0)

            assert (1, 1) == (len(delivery.raws), before)
            assert before == len(shop.polls()["asked"])

    played(story)


def test_a_quiet_poll_says_that_all_is_well(fake: VkFake, shop: VkCommunity, channel: VkChannel):
    """An empty delivery without a cursor: nothing is written for it."""

    async def story() -> None:
        cursor = await begun(channel)
        newest = shop.polls()["newest"]
        fake.fault("body", part="long_poll", body=json.dumps({"ts": str(newest), "updates": []}))
        async with receiving(channel, cursor) as deliveries:
            delivery = await anext(deliveries)

        assert Delivery(()) == delivery

    played(story)


def test_a_key_that_is_good_no_more_is_asked_anew(shop: VkCommunity, channel: VkChannel):
    """Answer 2: nothing is lost with a key, and nothing is looked for."""

    async def story() -> None:
        cursor = await begun(channel)
        async with receiving(channel, cursor) as deliveries:
            shop.write(ANN, "one")
            first = await anext(deliveries)
            shop.fail_long_poll(2)
            shop.write(ANN, "two")
            second = await anext(deliveries)

        assert [["one"], ["two"]] == [texts(channel, one.raws) for one in (first, second)]
        assert shop.fake.calls("messages.getConversations") == []

    played(story)


@pytest.mark.parametrize("failed", [1, 3])
def test_what_the_long_poll_has_lost_is_found_in_the_conversations(shop: VkCommunity, channel: VkChannel, failed: int):
    """In its order, each message under the name that its event would have had; new ones come as before."""

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(ANN, "lost 1")
        shop.write(BOB, "lost 2")
        shop.write(ANN, "lost 3")
        raws: list[Raw] = []
        async with receiving(channel, cursor) as coming:
            assert 3 == len((await anext(coming)).raws)
            shop.fail_long_poll(failed)
            async for delivery in coming:
                raws += delivery.raws
                if delivery.cursor is not None:
                    break
            shop.write(ANN, "new")
            new = await anext(coming)

        assert [f"{SHOP}:{ANN}:1", f"{SHOP}:{ANN}:2", f"{SHOP}:{ANN}:3"] == [
            place for place in places(raws) if f":{ANN}:" in place
        ]
        assert {"hello", "lost 1", "lost 2", "lost 3"} == set(texts(channel, raws))
        assert ["new"] == texts(channel, new.raws)

    played(story)


def test_the_place_is_not_moved_before_what_was_lost_is_stored(shop: VkCommunity, channel: VkChannel):
    """Whoever is interrupted while looking looks again: only the last delivery has the new cursor."""

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(ANN, "lost")
        shop.write(BOB, "lost")
        shop.fail_long_poll(1)
        deliveries = []
        async with receiving(channel, cursor) as coming:
            async for delivery in coming:
                deliveries.append(delivery)
                if delivery.cursor is not None:
                    break

            looked = len(shop.fake.calls("messages.getConversations"))
            shop.write(ANN, "new")
            new = await anext(coming)

        assert [None, None] == [one.cursor for one in deliveries[:-1]]
        assert ((), ["new"]) == (deliveries[-1].raws, texts(channel, new.raws))
        assert looked == len(shop.fake.calls("messages.getConversations")) == 1
        assert deliveries[-1].cursor not in (None, cursor)

    played(story)


def test_what_was_changed_or_answered_by_hand_meanwhile_is_found_too(shop: VkCommunity, channel: VkChannel):
    """What is said now, once; our own words are no news."""

    async def story() -> None:
        cursor = await begun(channel)
        cmid = shop.write(ANN, "blue")
        shop.edit(ANN, cmid, "green")
        await channel.send(outbound("ours"))
        shop.fail_long_poll(1)
        raws, _ = await heard(channel, cursor, 4)

        read = [channel.parse(raw) for raw in raws]
        assert ["Wrote", "Wrote", "Changed", "NoneType"] == [type(one.what).__name__ if one else "NoneType" for one in read]

    played(story)


def test_whoever_was_away_for_long_looks_once(shop: VkCommunity, channel: VkChannel):
    """After what VK still had; then it polls as before."""

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(ANN, "kept")
        assert isinstance(channel._clock, MovedClock)
        channel._clock.move(OUTAGE_SECONDS + 1)
        async with receiving(channel, cursor) as coming:
            first, found, end = await anext(coming), await anext(coming), await anext(coming)
            shop.write(ANN, "new")
            new = await anext(coming)

        assert [["kept"], ["hello", "kept"], [], ["new"]] == [texts(channel, one.raws) for one in (first, found, end, new)]
        assert first.raws[0].external_id == found.raws[1].external_id
        assert 1 == len(shop.fake.calls("messages.getConversations"))
        assert end.cursor not in (None, first.cursor)

    played(story)


@pytest.mark.parametrize(
    "answer", ['{"failed":4}', "[]", "<html>", '{"failed":1}', '{"ts":1,"updates":{}}', "[" * 100_000, '{"updates":[]}']
)
def test_an_answer_that_nobody_knows_is_no_hot_loop(fake: VkFake, shop: VkCommunity, channel: VkChannel, answer: str):
    """It is waited, and asked again from the old place."""

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(ANN, "one")
        fake.fault("body", part="long_poll", body=answer)
        with pytest.raises(Unavailable):
            await heard(channel, cursor, 1)
        raws, _ = await heard(channel, cursor, 1)

        assert ["one"] == texts(channel, raws)

    played(story)


def test_a_poll_that_fails_on_and_on_rests(fake: VkFake, shop: VkCommunity, channel: VkChannel):
    """A key that is never good is not asked for without end."""

    async def story() -> None:
        cursor = await begun(channel)
        fake.fault("body", part="long_poll", body='{"failed":2}', times=50)
        with pytest.raises(Unavailable):
            await heard(channel, cursor, 1)

        assert len(shop.polls()["asked"]) < 10

    played(story)


@pytest.mark.parametrize("kind", ["http", "close_before"])
def test_a_poll_that_breaks_is_unavailable(fake: VkFake, shop: VkCommunity, channel: VkChannel, kind: str):
    """Whatever broke it."""

    async def story() -> None:
        cursor = await begun(channel)
        fake.fault(kind, part="long_poll", times=2)  # one may be asked anew unseen
        with pytest.raises(Unavailable):
            await heard(channel, cursor, 1)

    played(story)


@pytest.mark.parametrize(
    "event", ["text", None, 7, [], {}, {"type": "message_new"}, {"type": "message_new", "object": {"message": {}}}]
)
def test_what_is_no_event_is_kept_beside_its_neighbours(shop: VkCommunity, channel: VkChannel, event: Any):
    """It becomes a dead letter, and holds up nobody."""

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(ANN, "before")
        shop.emit(event)
        shop.write(ANN, "after")
        raws, _ = await heard(channel, cursor, 3)
        with pytest.raises(BadInput):
            channel.parse(raws[1])

        assert ["before", "after"] == texts(channel, [raws[0], raws[2]])

    played(story)


def test_an_event_that_is_told_twice_has_one_name(shop: VkCommunity, channel: VkChannel):
    """By which the store knows it again."""

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(ANN, "one")
        shop.again()
        raws, _ = await heard(channel, cursor, 2)

        assert raws[0].external_id == raws[1].external_id

    played(story)


def test_a_press_is_answered_once_it_is_stored(shop: VkCommunity, channel: VkChannel):
    """Or a clock turns on the customer's button."""

    async def story() -> None:
        await channel.send(outbound("Как вам?", buttons=(Button("Хорошо", "good"), Button("Плохо", "bad"))))
        cursor = await begun(channel)
        id_ = shop.press(ANN, "Плохо")
        async with receiving(channel, cursor) as deliveries:
            delivery = await anext(deliveries)
            before = shop.presses()[id_]["answer"]
            assert delivery.ack is not None
            await delivery.ack()
        incoming = channel.parse(delivery.raws[0])

        assert incoming is not None
        assert (None, {}) == (before, shop.presses()[id_]["answer"])
        assert Pressed("bad") == incoming.what

    played(story)


def test_long_poll_is_switched_on(fake: VkFake, tmp_path: Path):
    """With every event that we need, where the token may do so."""
    shop = fake.community(SHOP, long_poll=False)
    fake.person(ANN)
    channel = connected(shop, tmp_path)

    async def story() -> None:
        await begun(channel)

        assert set(EVENTS) <= set(shop.polls()["on"])
        assert shop.polls()["enabled"]

    played(story)


def test_long_poll_that_cannot_be_switched_on_says_so(fake: VkFake, tmp_path: Path):
    """An administrator must: the code tells the console which sentence."""
    shop = fake.community(SHOP, long_poll=False)
    channel = connected(shop, tmp_path)
    fake.fault("error", method="groups.setLongPollSettings", code=15)

    async def story() -> None:
        with pytest.raises(AccessLost) as caught:
            await begun(channel)

        assert "longpoll_off" == caught.value.code

    played(story)


def test_names_in_chats_are_asked_for(fake: VkFake, shop: VkCommunity, tmp_path: Path):
    """VK tells numbers; operators see who of the chat wrote."""
    chat = fake.chat(1, SHOP)
    channel = connected(shop, tmp_path, groups=True)

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(BOB, "hi", peer_id=chat)
        raws, _ = await heard(channel, cursor, 1)
        incoming = channel.parse(raws[0])

        assert incoming is not None
        assert isinstance(incoming.what, Wrote)
        assert incoming.what.extra is not None
        assert (str(CHATS_BEGIN + 1), "Борис Иванов") == (incoming.key, incoming.what.extra.author)

    played(story)


def test_another_communitys_cursor_is_not_asked_for(shop: VkCommunity, channel: VkChannel):
    """A channel that got another token begins at that community's newest event."""

    async def story() -> None:
        async with receiving(channel, "9:77:1") as deliveries:
            delivery = await anext(deliveries)

        assert delivery.cursor is not None
        assert delivery.cursor.startswith(f"{SHOP}:{shop.polls()['newest']}:")

    played(story)


@pytest.mark.parametrize(("code", "means"), [(5, "token_revoked"), (27, "token_revoked"), (15, "no_rights"), (14, "captcha")])
def test_a_receiver_that_is_shut_out_says_why(fake: VkFake, channel: VkChannel, code: int, means: str):
    """By a code of the console's."""
    fake.fault("error", method="groups.getById", code=code)

    async def story() -> None:
        with pytest.raises(AccessLost) as caught:
            await begun(channel)

        assert means == caught.value.code

    played(story)


# --- in: the store


async def alone(name: str, run: Run) -> None:
    """Run under a lease that nobody else wants."""
    await run(free)


class House:
    """A store and the channel in it, which share a clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = MovedClock(datetime.now(UTC))
        self.loop = asyncio.get_running_loop()
        self.rung = asyncio.Event()
        self.store = open_store(folder, clock=self.clock, ring=self._ring)
        self.channel: VkChannel

    def _ring(self, bells: object) -> None:
        self.loop.call_soon_threadsafe(self.rung.set)

    async def stored(self, count: int, then: Callable[[], Any] = lambda: None) -> list[tuple[str, str]]:
        """Receive until *count* messages are stored; return the author and words of each. *then* is done once it listens."""
        channel, store = self.channel, self.store
        if await store.read(lambda tx: cursor_of(tx, channel.id)) is None:
            cursor = await begun(channel)
            await store.write(lambda tx: accept(tx, channel.id, [], cursor))
        then()
        receivers = Receivers(store, alone, lambda: {channel.id: channel}, lambda _: LineSettings(), SystemClock(), at_once)
        running = asyncio.create_task(receivers.run())
        try:
            while len(found := await texts_in(store)) < count:
                self.rung.clear()
                if len(await texts_in(store)) < count:
                    await self.rung.wait()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        return found


@asynccontextmanager
async def housed(shop: VkCommunity, folder: Path, **given: Any) -> AsyncIterator[House]:
    """A house with the channel in it."""
    house = House(folder)
    try:
        id_ = await house.store.write(lambda tx: add_channel(tx, add_line(tx), "vk", "vk"))
        house.channel = connected(shop, folder, id_, clock=house.clock, **given)
        yield house
    finally:
        await house.store.close()


async def texts_in(store: AnyStore) -> list[tuple[str, str]]:
    """Return the author and words of each message that is stored."""
    from sqlalchemy import select

    from broker.store.sql import sql

    rows = sql(select(messages.c.author, messages.c.text).order_by(messages.c.conversation_id, messages.c.seq))
    return [(row[0], row[1]) for row in await store.read(lambda tx: tx.all(rows))]


def test_a_message_is_stored_once_however_often_it_comes(shop: VkCommunity, tmp_path: Path):
    """By the long poll twice, by the history after an outage, and by the next look into it."""

    async def story() -> None:
        async with housed(shop, tmp_path) as house:

            def then() -> None:
                shop.write(ANN, "one")
                shop.again()
                shop.write(ANN, "two")

            await house.stored(2, then)
            shop.write(ANN, "lost")
            shop.fail_long_poll(1)
            await house.stored(4)
            shop.fail_long_poll(3)
            shop.write(ANN, "last")
            found = await house.stored(5)

            assert ["hello", "last", "lost", "one", "two"] == sorted(text for _, text in found)

    played(story)


def test_what_an_administrator_wrote_by_hand_is_in_the_dialogue(shop: VkCommunity, tmp_path: Path):
    """As our side's; what the program itself sent comes back and is nothing new."""

    async def story() -> None:
        async with housed(shop, tmp_path) as house:
            by_hand = {"id": 90, "peer_id": ANN, "from_id": -SHOP, "conversation_message_id": 90, "text": "by hand", "date": 1}
            event = {"type": "message_reply", "group_id": SHOP, "v": "5.199", "event_id": "h1"}

            def then() -> None:
                shop.write(ANN, "hi")
                shop.call("messages.send", peer_id=ANN, random_id=5, message="by the program")
                shop.emit(event | {"object": by_hand | {"out": 1, "admin_author_id": 3}})
                shop.emit(event | {"event_id": "h2", "object": by_hand | {"out": 1, "admin_author_id": 3}})
                shop.write(ANN, "bye")

            found = await house.stored(3, then)
            read = house.channel.parse(Raw("x", json.dumps(event | {"object": by_hand | {"admin_author_id": 3}}).encode()))

            assert [("contact", "hi"), ("operator", "by hand"), ("contact", "bye")] == found
            assert read is not None
            assert isinstance(read.what, AnsweredOutside)

    played(story)


# --- in: what VK brings


@asynccontextmanager
async def hooked(shop: VkCommunity, folder: Path, **given: Any) -> AsyncIterator[tuple[VkChannel, list[Raw]]]:
    """A channel whose hook is served; what was brought is listed."""
    brought: list[Raw] = []
    channel: VkChannel

    async def bring(request: web.Request) -> web.Response:
        found = channel.hook({name.lower(): value for name, value in request.headers.items()}, await request.read())
        if found.refused:
            return web.Response(status=403)
        brought.extend(found.raws)
        return web.Response(body=found.answer, content_type=found.media_type)

    application = web.Application()
    application.router.add_post("/hooks/{id}", bring)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    channel = connected(shop, folder, public_url=f"http://127.0.0.1:{port}/", mode="callback", **given)
    try:
        yield channel, brought
    finally:
        await runner.cleanup()


async def watched(channel: VkChannel, cursor: str | None = None) -> tuple[list[Raw], str]:
    """Have the receiver look after the hook once; return what it found, and the cursor."""
    raws: list[Raw] = []
    async with receiving(channel, cursor) as deliveries:
        async for delivery in deliveries:
            raws += delivery.raws
            if delivery.cursor is not None:
                return raws, delivery.cursor
    raise AssertionError("it ended")


def test_vk_is_told_where_to_bring_what_comes(shop: VkCommunity, tmp_path: Path):
    """The server is confirmed, and what is written is brought: under the name that the long poll has for it, without the secret."""

    async def story() -> None:
        async with hooked(shop, tmp_path) as (channel, brought):
            await watched(channel)
            (server,) = await asyncio.to_thread(shop.callbacks, idle_within=5.0)
            shop.write(ANN, "one")
            await asyncio.to_thread(shop.callbacks, idle_within=5.0)

            assert "ok" == server["status"]
            assert ["one"] == texts(channel, brought)
            assert [f"{SHOP}:{ANN}:2"] == places(brought)
            assert channel._hook_secret.encode() not in brought[0].body

    played(story)


def test_what_could_not_be_brought_is_looked_for(shop: VkCommunity, tmp_path: Path):
    """After an outage, and in whichever way the channel goes on; without one there is nothing to look for."""

    async def story() -> None:
        async with hooked(shop, tmp_path) as (channel, _):
            first, cursor = await watched(channel)
            second, cursor = await watched(channel, cursor)
            assert isinstance(channel._clock, MovedClock)
            channel._clock.move(OUTAGE_SECONDS + 1)
            third, _ = await watched(channel, cursor)
            polled, _ = await heard(connected(shop, tmp_path), cursor, 1)

            assert ([], [], ["hello"]) == (first, second, texts(channel, third))
            assert ["hello"] == texts(channel, polled)

    played(story)


def test_what_was_written_while_the_way_was_changed_is_looked_for(shop: VkCommunity, tmp_path: Path):
    """Between the last poll and VK's knowing our address nobody was told."""

    async def story() -> None:
        async with hooked(shop, tmp_path) as (channel, _):
            _, cursor = await watched(channel)
            _, ts, at_s = cursor.split(":")
            polled = f"{SHOP}:7:{at_s}"
            found, changed = await watched(channel, polled)
            again, _ = await watched(channel, changed)

            assert (HOOK_TS, ["hello"], []) == (ts, texts(channel, found), again)

    played(story)


def test_while_all_is_well_nothing_is_looked_for(shop: VkCommunity, tmp_path: Path):
    """However long VK has been bringing what comes."""

    async def story() -> None:
        async with hooked(shop, tmp_path) as (channel, _):
            assert isinstance(channel._clock, MovedClock)
            async with receiving(channel) as coming:
                for _number in range(4):
                    await anext(coming)
                    channel._clock.move(200)

        assert shop.fake.calls("messages.getConversations") == []

    played(story)


def test_one_server_is_made_however_often_is_looked(shop: VkCommunity, tmp_path: Path):
    """And one whose secret is another is told ours."""

    async def story() -> None:
        async with hooked(shop, tmp_path) as (channel, _):
            for _number in range(2):
                await watched(channel)
            await asyncio.to_thread(shop.callbacks, idle_within=5.0)
            known = shop.call("groups.getCallbackServers", group_id=SHOP)["response"]["items"]
            address = {"group_id": SHOP, "server_id": known[0]["id"], "url": known[0]["url"], "title": "x"}
            shop.call("groups.editCallbackServer", **address, secret_key="another")
            await watched(channel)
            await asyncio.to_thread(shop.callbacks, idle_within=5.0)
            after = shop.call("groups.getCallbackServers", group_id=SHOP)["response"]["items"]

            assert (1, 1) == (len(known), len(after))
            assert channel._hook_secret == after[0]["secret_key"]

    played(story)


def test_an_address_that_vk_cannot_reach_is_told(shop: VkCommunity, tmp_path: Path):
    """And asked to be tried again."""

    async def story() -> None:
        channel = connected(shop, tmp_path, public_url="http://127.0.0.1:9", mode="callback")
        await watched(channel)
        await asyncio.to_thread(shop.callbacks, idle_within=5.0)
        with pytest.raises(Unavailable, match="cannot bring messages"):
            await watched(channel)

    played(story)


def test_without_a_public_address_nothing_can_be_brought(shop: VkCommunity, tmp_path: Path):
    """An administrator must set one."""

    async def story() -> None:
        with pytest.raises(AccessLost) as caught:
            await watched(connected(shop, tmp_path, mode="callback"))

        assert "no_public_url" == caught.value.code

    played(story)


def hook_of(channel: VkChannel, **event: Any) -> tuple[bool, bytes, int]:
    """Return whether the request is refused, what it is answered, and how many payloads there were."""
    found = channel.hook({}, json.dumps(event).encode())
    return found.refused, found.answer, len(found.raws)


def test_strangers_are_refused(shop: VkCommunity, tmp_path: Path):
    """Without the secret, with a wrong one, and for another community; the code is told for ours alone."""
    channel = connected(shop, tmp_path, mode="callback", group_id=SHOP, secret="s3cret", confirmation="c0de")
    told: dict[str, Any] = {"type": "message_allow", "object": {"user_id": ANN}, "event_id": "e"}

    assert (False, b"ok", 1) == hook_of(channel, **told, group_id=SHOP, secret="s3cret")
    refused = (True, b"", 0)
    assert refused == hook_of(channel, **told, group_id=SHOP)
    assert refused == hook_of(channel, **told, group_id=SHOP, secret="s3cre")
    assert refused == hook_of(channel, **told, group_id=SHOP, secret="с3cret")
    assert refused == hook_of(channel, **told, group_id=SHOP, secret=["s3cret"])
    assert refused == hook_of(channel, **told, group_id=1002, secret="s3cret")
    assert (False, b"c0de", 0) == hook_of(channel, type="confirmation", group_id=SHOP)
    assert refused == hook_of(channel, type="confirmation", group_id=1002)
    assert refused == hook_of(connected(shop, tmp_path, group_id=SHOP, secret="s3cret"), **told, group_id=SHOP, secret="s3cret")


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b"null", b"[" * 200_000, b'{"type":1,"group_id":[]}', b'{"group_id":1001}']
)
def test_whatever_a_stranger_brings_is_refused_quietly(shop: VkCommunity, tmp_path: Path, body: bytes):
    """It never raises."""
    channel = connected(shop, tmp_path, mode="callback", group_id=SHOP, confirmation="c0de")

    assert channel.hook({}, body).refused


def test_a_process_that_does_not_know_the_code_learns_it(shop: VkCommunity, tmp_path: Path):
    """It refuses once; VK is not asked for every request of a stranger's."""

    async def story() -> None:
        channel = connected(shop, tmp_path, mode="callback")
        first = hook_of(channel, type="confirmation", group_id=SHOP)
        for _ in range(20):
            hook_of(channel, type="confirmation", group_id=SHOP)
        await asyncio.gather(*channel._soon)
        code = shop.call("groups.getCallbackConfirmationCode", group_id=SHOP)["response"]["code"]

        assert (True, b"", 0) == first
        assert (False, code.encode(), 0) == hook_of(channel, type="confirmation", group_id=SHOP)
        assert 1 == len(shop.fake.calls("groups.getById"))

    played(story)


def test_who_polls_takes_the_hook_away(shop: VkCommunity, tmp_path: Path):
    """VK would go on trying to bring what nobody takes."""

    async def story() -> None:
        shop.call("groups.addCallbackServer", group_id=SHOP, url="http://127.0.0.1:9/hooks/c1", title="x")
        shop.call("groups.addCallbackServer", group_id=SHOP, url="http://127.0.0.1:9/others", title="x")
        await begun(connected(shop, tmp_path, public_url="http://127.0.0.1:9"))
        left = shop.call("groups.getCallbackServers", group_id=SHOP)["response"]["items"]

        assert ["http://127.0.0.1:9/others"] == [one["url"] for one in left]

    played(story)


def test_a_press_that_was_brought_is_answered(shop: VkCommunity, tmp_path: Path):
    """As one that was polled."""

    async def story() -> None:
        async with hooked(shop, tmp_path) as (channel, brought):
            await watched(channel)
            await asyncio.to_thread(shop.callbacks, idle_within=5.0)
            id_ = shop.press_unseen(ANN, {"value": "good"})
            await asyncio.to_thread(shop.callbacks, idle_within=5.0)
            await asyncio.gather(*channel._soon)

            assert {} == shop.presses()[id_]["answer"]
            assert 1 == len(brought)

    played(story)


# --- out


def test_an_answer_is_sent_under_its_operators_name(shop: VkCommunity, channel: VkChannel):
    """The conversation is marked as read before it; what the line says has no name above it."""

    async def story() -> None:
        first = await channel.send(outbound(from_operator=True))
        second = await channel.send(outbound("Спасибо", token="row-2"))

        assert ["Мария\nУже едет", "Спасибо"] == said(shop)
        assert [f"{ANN}:2", f"{ANN}:3"] == [first, second]
        assert 1 == len(shop.conversation(ANN)["marks_as_read"])

    played(story)


def test_names_can_be_left_out(shop: VkCommunity, tmp_path: Path):
    """As the channel is set."""

    async def story() -> None:
        await connected(shop, tmp_path, names=False).send(outbound(from_operator=True))

        assert ["Уже едет"] == said(shop)

    played(story)


def test_a_mark_that_fails_holds_up_no_answer(fake: VkFake, shop: VkCommunity, channel: VkChannel):
    """What counts is the answer."""
    fake.fault("error", method="messages.markAsRead", code=15)

    async def story() -> None:
        await channel.send(outbound(from_operator=True))

        assert 1 == len(said(shop))

    played(story)


def test_a_long_text_is_several_messages_in_their_order(shop: VkCommunity, channel: VkChannel):
    """Sent again they are the same ones, and none is shown twice."""
    text = " ".join(f"word{number}" for number in range(2_000))

    async def story() -> None:
        first = await channel.send(outbound(text))
        again = await channel.send(outbound(text))

        assert first == again
        assert text == " ".join(said(shop))
        assert all(len(one) <= 4_096 for one in said(shop))
        assert len(first.split()) == len(said(shop)) > 2

    played(story)


@pytest.mark.parametrize("kind", ["close_after", "http_after", "not_json"])
def test_a_message_whose_answer_was_lost_is_shown_once(fake: VkFake, shop: VkCommunity, channel: VkChannel, kind: str):
    """It is in doubt; sent again under the same token it is the same message."""
    fake.fault(kind, method="messages.send", status=502)

    async def story() -> None:
        with pytest.raises(Uncertain):
            await channel.send(outbound())
        await channel.send(outbound())

        assert ["Уже едет"] == said(shop)

    played(story)


def test_numbers_are_made_of_tokens():
    """The same at every attempt, another for each part, never none, and such as VK takes."""
    numbers = [random_id(f"token-{row}", part) for row in range(1_000) for part in range(3)]

    assert numbers == [random_id(f"token-{row}", part) for row in range(1_000) for part in range(3)]
    assert len(set(numbers)) > 2_990
    assert all(0 < number < 2**31 for number in numbers)


def test_a_vk_that_is_not_there_is_unavailable(shop: VkCommunity, tmp_path: Path):
    """Nothing has left: no doubt about it."""

    async def story() -> None:
        with Wire(1) as wire:
            port = wire.port
        settings = {"token": shop.token, "server": f"http://127.0.0.1:{port}"}
        row = ChannelRow(ChannelId("c1"), LineId("l1"), "vk", "vk", "Shop", check(settings), 1)
        with pytest.raises(Unavailable):
            await VkChannel(row, MovedClock(), LocalFiles(tmp_path), None).send(outbound())

    played(story)


def test_a_vk_that_is_silent_is_in_doubt(shop: VkCommunity, tmp_path: Path):
    """The library has no time-out; we have."""

    async def story() -> None:
        one = api.Api(shop.token, shop.fake.url)
        shop.fake.fault("silent", method="messages.send")
        with pytest.raises(Uncertain):
            await one.ask("messages.send", seconds=0.3, peer_ids=str(ANN), random_id=9, message="x")
        answer = await one.ask("messages.send", peer_ids=str(ANN), random_id=9, message="x")
        one.close()

        assert 1 == len(answer)
        assert ["x"] == said(shop)

    played(story)


@pytest.mark.parametrize(
    ("code", "means", "retry_after"),
    [
        (1, Unavailable, None),
        (5, AccessLost, 60.0),
        (6, Unavailable, 1.0),
        (7, Rejected, None),
        (9, Unavailable, 300.0),
        (10, Unavailable, None),
        (14, AccessLost, 600.0),
        (15, Rejected, None),
        (27, AccessLost, 60.0),
        (29, Unavailable, 3_600.0),
        (100, Rejected, None),
        (911, Rejected, None),
        (912, Rejected, None),
        (914, Rejected, None),
        (917, Rejected, None),
        (945, Rejected, None),
        (4242, Rejected, None),
    ],
)
def test_what_an_error_means_for_a_message(
    fake: VkFake, channel: VkChannel, code: int, means: type[OmnilineError], retry_after: float | None
):
    """Refused for good, to be tried later, or nothing until an administrator acts."""
    fake.fault("error", method="messages.send", code=code)

    async def story() -> None:
        with pytest.raises(means) as caught:
            await channel.send(outbound())

        assert means is type(caught.value) or (means, type(caught.value)) == (Unavailable, api.Paused)
        assert retry_after == getattr(caught.value, "retry_after", None)

    played(story)


@pytest.mark.parametrize(("code", "why"), [(900, "blocked"), (902, "blocked"), (901, "denied")])
def test_whom_nothing_gets_through_to_is_not_reached(shop: VkCommunity, channel: VkChannel, code: int, why: str):
    """Told in the answer about one of several receivers, of which there is one."""
    shop.refuse(ANN, code)

    async def story() -> None:
        with pytest.raises(Unreachable) as caught:
            await channel.send(outbound())

        assert why == caught.value.code

    played(story)


@pytest.mark.parametrize("code", [6, 14, 29])
def test_after_a_pause_is_asked_for_nothing_is_sent_meanwhile(fake: VkFake, shop: VkCommunity, channel: VkChannel, code: int):
    """To anybody; then it goes on."""
    fake.fault("error", method="messages.send", code=code)

    async def story() -> None:
        with pytest.raises(Unavailable) as caught:
            await channel.send(outbound())
        with pytest.raises(Unavailable, match="pause"):
            await channel.send(outbound(token="row-2"))
        asked = len(fake.calls("messages.send"))
        assert isinstance(channel._clock, MovedClock)
        channel._clock.move(caught.value.retry_after or 0.0)
        await channel.send(outbound())

        assert 1 == asked
        assert ["Уже едет"] == said(shop)

    played(story)


def test_a_flood_of_one_conversation_holds_up_no_other(fake: VkFake, shop: VkCommunity, channel: VkChannel):
    """Error 9 is about the same said too often to one."""
    fake.fault("error", method="messages.send", code=9)
    shop.write(BOB, "hi")

    async def story() -> None:
        with pytest.raises(Unavailable):
            await channel.send(outbound())
        await channel.send(outbound(key=str(BOB), token="row-2"))

        assert ["Уже едет"] == said(shop, BOB)

    played(story)


def test_many_messages_stay_below_vks_rate(fake: VkFake, shop: VkCommunity, channel: VkChannel):
    """Twenty calls a second: none is refused, and all are there in order."""

    async def story() -> None:
        for number in range(30):
            await channel.send(outbound(f"{number}", token=f"row-{number}"))

        assert [f"{number}" for number in range(30)] == said(shop)
        assert {None} == {call["error"] for call in fake.calls("messages.send")}

    played(story)


def test_buttons_are_beneath_the_last_part(shop: VkCommunity, channel: VkChannel):
    """Inline, in rows, each with its value."""

    async def story() -> None:
        buttons = tuple(Button(f"Button {number} with a label that is rather long", f"v{number}") for number in range(7))
        await channel.send(outbound("x " * 3_000, buttons=buttons))
        first, last = shop.sent(ANN)
        rows = last["keyboard"]["buttons"]

        assert first["keyboard"] is None
        assert last["keyboard"]["inline"]
        assert [2, 2, 2, 1] == [len(row) for row in rows]
        assert {"value": "v0"} == json.loads(rows[0][0]["action"]["payload"])
        with pytest.raises(Rejected):
            await channel.send(outbound(buttons=buttons * 2, token="row-2"))

    played(story)


def test_an_answer_shows_what_it_answers(shop: VkCommunity, channel: VkChannel):
    """A message of the same conversation; of another it says nothing."""

    async def story() -> None:
        await channel.send(outbound(answers=f"{ANN}:1"))
        await channel.send(outbound(answers=f"{BOB}:1", token="row-2"))

        assert [1, None] == [one["reply_to"] for one in shop.sent(ANN)]

    played(story)


def picture(kind: str = "JPEG") -> bytes:
    """Return a picture."""
    body = io.BytesIO()
    Image.new("RGB", (300, 200), "teal").save(body, kind)
    return body.getvalue()


async def kept(channel: VkChannel, body: bytes, kind: FileKind, name: str, media_type: str) -> OutFile:
    """Keep *body*, and return it as a file on its way out."""
    return OutFile(await channel._files.put(body), kind, name, media_type, len(body))


def test_files_go_as_what_they_are(shop: VkCommunity, channel: VkChannel):
    """Pictures and voices as such, everything else as documents; the words stand above them, byte for byte."""

    async def story() -> None:
        bodies = [picture(), b"%PDF-1.7", b"OggS voice", picture("WEBP"), b"not a picture"]
        files = (
            await kept(channel, bodies[0], FileKind.PHOTO, "a.jpg", "image/jpeg"),
            await kept(channel, bodies[1], FileKind.DOCUMENT, "Счёт.pdf", "application/pdf"),
            await kept(channel, bodies[2], FileKind.VOICE, "v.ogg", "audio/ogg"),
            await kept(channel, bodies[3], FileKind.PHOTO, "a.webp", "image/webp"),
            await kept(channel, bodies[4], FileKind.PHOTO, "b.jpg", "image/jpeg"),
        )
        name = await channel.send(outbound(files=files))
        (sent,) = shop.sent(ANN)

        assert f"{ANN}:2" == name
        assert "Уже едет" == sent["text"]
        assert ["photo", "doc", "audio_message", "doc", "doc"] == [one["type"] for one in sent["attachments"]]
        assert [sha256(body).hexdigest() for body in bodies] == [one["sha256"] for one in sent["attachments"]]
        assert "Счёт.pdf" == sent["attachments"][1]["name"]

    played(story)


def test_many_files_are_several_messages(shop: VkCommunity, channel: VkChannel):
    """Ten each; in doubt, nothing is brought or shown twice."""

    async def story() -> None:
        files = tuple(
            [await kept(channel, b"%d" % number, FileKind.DOCUMENT, f"{number}.txt", "text/plain") for number in range(12)]
        )
        shop.fake.fault("close_after", method="messages.send")
        with pytest.raises(Uncertain):
            await channel.send(outbound(files=files))
        await channel.send(outbound(files=files))
        sent = shop.sent(ANN)

        assert [10, 2] == [len(one["attachments"]) for one in sent]
        assert 12 == len(shop.fake.calls("docs.save"))

    played(story)


def test_what_vk_does_not_take_is_refused(shop: VkCommunity, channel: VkChannel):
    """A program; a file above the limit; a message with nothing in it."""

    async def story() -> None:
        program = await kept(channel, b"MZ", FileKind.DOCUMENT, "setup.exe", "application/x-msdownload")
        for refused in (
            outbound(files=(program,)),
            outbound(files=(replace(program, size=51 * 1_048_576),)),
            outbound(""),
            outbound(key="nobody"),
        ):
            with pytest.raises(Rejected):
                await channel.send(refused)

        assert shop.sent(ANN) == []

    played(story)


@pytest.mark.parametrize("fault", [{"kind": "http", "status": 500}, {"kind": "close_before"}, {"kind": "not_json"}])
def test_an_upload_that_breaks_is_tried_again(fake: VkFake, shop: VkCommunity, channel: VkChannel, fault: Any):
    """Nothing of the message has been sent."""
    fake.fault(part="upload", **fault)

    async def story() -> None:
        file = await kept(channel, b"1", FileKind.DOCUMENT, "1.txt", "text/plain")
        with pytest.raises(Unavailable):
            await channel.send(outbound(files=(file,)))
        await channel.send(outbound(files=(file,)))

        assert 1 == len(shop.sent(ANN))

    played(story)


def test_a_refused_part_is_told_with_how_much_was_sent(fake: VkFake, shop: VkCommunity, channel: VkChannel):
    """The operator sees that the customer has the beginning."""

    async def story() -> None:
        file = await kept(channel, b"1", FileKind.DOCUMENT, "1.txt", "text/plain")
        await channel.send(outbound("first", token="row-0"))
        text = "word " * 1_500
        fake.fault("slow", method="messages.send", times=1)
        fake.fault("error", method="messages.send", code=921)
        with pytest.raises(Rejected, match="only 1 of 2 parts"):
            await channel.send(outbound(text, files=(file,)))

    played(story)


# --- what has been sent


def test_what_was_sent_can_be_worded_anew(shop: VkCommunity, channel: VkChannel):
    """Its files, buttons and what it answers stay; doing it again is no harm."""

    async def story() -> None:
        files = (await kept(channel, picture(), FileKind.PHOTO, "a.jpg", "image/jpeg"),)
        told = outbound("Синий", files=files, answers=f"{ANN}:1", buttons=(Button("Да", "good"),))
        name = await channel.send(told)
        for _ in range(2):
            await channel.reword(replace(told, text="Зелёный"), name)
        (sent,) = shop.sent(ANN)

        assert ("Зелёный", 1, 1) == (sent["text"], len(sent["attachments"]), sent["reply_to"])
        assert "Да" == sent["keyboard"]["buttons"][0][0]["action"]["label"]

    played(story)


def test_what_becomes_shorter_loses_its_last_parts(shop: VkCommunity, channel: VkChannel):
    """What becomes longer than it was is refused."""

    async def story() -> None:
        name = await channel.send(outbound("word " * 1_500))
        await channel.reword(outbound("short"), name)
        first, second = shop.sent(ANN)
        with pytest.raises(Rejected):
            await channel.reword(outbound("word " * 1_500), name.split()[0])

        assert ("short", "", "for_all") == (first["text"], first["deleted"], second["deleted"])

    played(story)


def test_what_was_sent_can_be_taken_back(shop: VkCommunity, channel: VkChannel):
    """For both sides; what is gone is no fault; after a day VK refuses."""

    async def story() -> None:
        shop.fake.stop_clock()
        name = await channel.send(outbound())
        for _ in range(2):
            await channel.take_back(str(ANN), name)
        old = await channel.send(outbound(token="row-2"))
        shop.fake.advance(86_401)
        with pytest.raises(Rejected) as back:
            await channel.take_back(str(ANN), old)
        with pytest.raises(Rejected) as changed:
            await channel.reword(outbound("x"), old)

        assert ["for_all", ""] == [one["deleted"] for one in shop.sent(ANN)]
        assert ("too_late", "too_late") == (back.value.code, changed.value.code)

    played(story)


def test_typing_is_shown(shop: VkCommunity, channel: VkChannel):
    """To whom it is said."""

    async def story() -> None:
        await channel.show_typing(str(ANN), "Мария")

        assert ["typing"] == shop.conversation(ANN)["activities"]

    played(story)


# --- files and people


async def fetched(channel: VkChannel, ref: str) -> bytes:
    """Return the file that is called *ref*."""
    return b"".join([chunk async for chunk in channel.fetch(ref)])


def test_what_is_attached_can_be_fetched(shop: VkCommunity, channel: VkChannel):
    """Byte for byte; a document by way of the page that leads to it."""

    async def story() -> None:
        cursor = await begun(channel)
        shop.write(ANN, "see", attachments=[photo(picture()), doc("a.pdf", b"%PDF"), voice(b"OggS")])
        raws, _ = await heard(channel, cursor, 1)
        incoming = channel.parse(raws[0])
        assert incoming is not None
        assert isinstance(incoming.what, Wrote)
        assert incoming.what.extra is not None
        files = incoming.what.extra.files

        assert [FileKind.PHOTO, FileKind.DOCUMENT, FileKind.VOICE] == [file.kind for file in files]
        assert [picture(), b"%PDF", b"OggS"] == [await fetched(channel, file.ref) for file in files]

    played(story)


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/x",
        "http://sun1.userapi.com/a.jpg",
        "http://vk.com:443/a",
        "https://vk.com.evil.example/a",
        "https://evilvk.com/a",
        "https://vk.com@evil.example/a",
        "https://user:word@vk.com/a",
        "https://vk.com:8443/a",
        "file:///etc/passwd",
        "ftp://vk.com/a",
        "//vk.com/a",
        "vk.com/a",
        "",
        "https://",
        "http://[::1/",
        "https://vk.com\\@evil.example/",
    ],
)
def test_nobody_elses_server_is_asked(channel: VkChannel, address: str):
    """A message cannot make this house ask within its own network."""

    async def story() -> None:
        with pytest.raises(Rejected):
            await fetched(channel, address)

    played(story)


class Elsewhere(BaseHTTPRequestHandler):
    """Somebody else's server, which counts who asks."""

    asked = 0

    def do_GET(self) -> None:
        """Answer."""
        type(self).asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"secret")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@asynccontextmanager
async def served(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Serve *answer* as VK's server; yields its address."""
    application = web.Application()
    application.router.add_get("/doc", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def downloaded(server: str, address: str) -> bytes:
    """Return what is at *address*, asked for by a channel whose server is *server*."""
    one = api.Api("vk1.a.1001", server)
    try:
        return b"".join([chunk async for chunk in one.download(address)])
    finally:
        one.close()


def test_an_address_that_leads_elsewhere_is_not_followed():
    """Not even from VK's own."""
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = Thread(target=elsewhere.serve_forever, args=(0.05,))
    thread.start()

    async def leads(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"http://127.0.0.1:{elsewhere.server_port}/x"})

    async def story() -> None:
        async with served(leads) as server:
            with pytest.raises(Rejected):
                await downloaded(server, f"{server}/doc")

    try:
        played(story)
    finally:
        elsewhere.shutdown()
        thread.join()
        elsewhere.server_close()

    assert 0 == Elsewhere.asked


def test_an_address_that_leads_in_a_circle_is_left():
    """After a few steps."""

    async def leads(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/doc"})

    async def story() -> None:
        async with served(leads) as server:
            with pytest.raises(Rejected, match="circle"):
                await downloaded(server, f"{server}/doc")

    played(story)


def test_an_address_is_asked_for_as_it_was_given():
    """VK signs what stands in it."""

    async def echoes(request: web.Request) -> web.Response:
        return web.Response(text=request.raw_path)

    async def story() -> None:
        async with served(echoes) as server:
            path = "/doc?sign=a%2Bb%2c%3D~&x=%D0%96"

            assert path.encode() == await downloaded(server, f"{server}{path}")

    played(story)


def test_a_file_that_is_gone_is_refused(fake: VkFake, channel: VkChannel):
    """And one that cannot be had now is tried again."""

    async def story() -> None:
        with pytest.raises(Rejected):
            await fetched(channel, f"{fake.url}/files/nothing")
        fake.fault("http", part="files", status=500)
        with pytest.raises(Unavailable):
            await fetched(channel, f"{fake.url}/files/none")
        fake.fault("close_before", part="files", times=2)
        with pytest.raises(Unavailable):
            await fetched(channel, f"{fake.url}/files/none")

    played(story)


def test_who_somebody_is_can_be_asked(fake: VkFake, channel: VkChannel):
    """Their name, by what they are found, and their picture."""
    fake.person(ANN, "Анна", "Петрова", screen_name="ann", photo=picture("PNG"))

    async def story() -> None:
        profile = await channel.profile(str(ANN))
        nobody = await channel.profile("404")

        assert ("Анна Петрова", "@ann", "", picture("PNG")) == (profile.name, profile.nickname, profile.language, profile.picture)
        assert ("", b"") == (nobody.name, nobody.picture)

    played(story)


def test_a_picture_that_cannot_be_had_costs_no_name(fake: VkFake, channel: VkChannel):
    """Somebody without a page any more has a name, too."""
    fake.person(BOB, "Борис", "Иванов", more={"photo_200": "https://evil.example/a.jpg", "has_photo": 1})

    async def story() -> None:
        profile = await channel.profile(str(ANN))
        assert "Анна Петрова" == profile.name
        fake.person(ANN, deactivated="deleted")

        assert "Анна Петрова" == (await channel.profile(str(ANN))).name

    played(story)


# --- an account that may become a channel


def asked(shop: VkCommunity, **given: Any) -> Any:
    """Return what VK says of the settings, or raise."""
    return asyncio.run(probe(check({"token": shop.token, "server": shop.fake.url, **given})))


def test_an_account_tells_its_name_and_what_it_lacks(fake: VkFake):
    """Warnings are codes of the console's."""
    whole = asked(fake.community(SHOP))
    little = asked(fake.community(1002, permissions=["messages", "photos"]))

    assert ("A shop", "https://vk.me/club1001", ()) == (whole.name, whole.address, whole.warnings)
    assert ("no_manage_right", "no_docs_right") == little.warnings


def test_a_wrong_account_is_named(fake: VkFake):
    """By the key that is to be repaired, or by what an administrator must do."""
    shop = fake.community(SHOP)
    with pytest.raises(BadInput) as caught:
        asked(shop, group_id=5)
    with pytest.raises(AccessLost) as revoked:
        asked(shop, token="vk1.a.wrong")

    assert ("settings.group_id", "token_revoked") == (caught.value.field, revoked.value.code)


# --- out: the sender


async def queue(store: AnyStore, channel: VkChannel, conversation: ConversationId, *words: str) -> None:
    """Queue messages of the line's own."""

    def work(tx: Tx) -> None:
        for seq, text in enumerate(words, 100):
            message = MessageId(tx.new_id())
            values = {"session_id": None, "kind": "said", "author": "system", "fate": "queued", "at_us": 0}
            tx.run(MESSAGE, id=message, conversation_id=conversation, seq=seq, text=text, **values)
            post(tx, conversation, seq, channel.id, message)

    await store.write(work)


async def conversation_in(store: AnyStore) -> ConversationId:
    """Return the only conversation."""
    from sqlalchemy import select

    from broker.store.sql import sql
    from broker.store.tables import conversations

    rows = await store.read(lambda tx: tx.all(sql(select(conversations.c.id))))
    return ConversationId(rows[0][0])


@pytest.mark.parametrize("kind", ["close_after", "http_after", "close_before", "error"])
def test_the_sender_sends_each_message_once_and_in_order(fake: VkFake, shop: VkCommunity, tmp_path: Path, kind: str):
    """Whatever becomes of the first attempt: what is in doubt is sent again under its number, and nothing overtakes it."""

    async def story() -> None:
        async with housed(shop, tmp_path) as house:
            await house.stored(1, lambda: shop.write(ANN, "hi"))
            conversation = await conversation_in(house.store)
            await queue(house.store, house.channel, conversation, "one", "two", "three")
            sender = Sender(
                house.store, house.clock, lambda _: house.channel, lambda *_: "Shop", owner="t", fence=1, sleep=at_once
            )
            fake.fault(kind, method="messages.send", status=502, code=10)
            for _ in range(8):
                while await sender.step(conversation):
                    pass
                house.clock.move(60)

            assert ["one", "two", "three"] == said(shop)

    played(story)
