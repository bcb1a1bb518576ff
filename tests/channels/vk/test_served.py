"""A community in a real `omniline serve`, connected and worked with over REST; killed without warning, it loses and doubles nothing."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.channels.served import HOUSE, Desk, Json, by, until
from tests.support.asterisk import free_port
from tests.support.broker import Broker
from tests.support.vk import VkCommunity, VkFake, doc, vk_fake

pytestmark = pytest.mark.timeout(120)
BOB = 8


def played(folder: Path, story: Callable[[Broker, VkFake, VkCommunity], Any]) -> None:
    """Play *story* with a broker that serves and a community; no key of it is logged."""
    with vk_fake() as fake:
        shop = fake.community(token="vk1.a.very-secret-key-of-the-shop")
        fake.person(BOB, "Bob", "Brown")
        broker = Broker(folder, folder, free_port(socket.SOCK_STREAM))
        (folder / "house.toml").write_text(HOUSE)
        (folder / "omniline.toml").write_text(f'public_url = "http://127.0.0.1:{broker.port}"')
        broker.command("apply", "house.toml")
        broker.start()
        try:
            asyncio.run(story(broker, fake, shop))
        finally:
            broker.end(signal.SIGTERM)
        assert [] == fake.violations()
        assert "very-secret" not in (folder / "log").read_text()


async def connect(broker: Broker, shop: VkCommunity, **settings: str) -> str:
    """Connect the community, as an administrator does, and return the channel's id once it receives."""
    async with Desk(broker, "adm") as adm:
        [line] = (await adm.get("/lines"))["items"]
        given = {"token": shop.token, "server": shop.fake.url, **settings}
        added = await adm.add_channel(line_id=line["id"], slug="vk", kind="vk", name="VK", settings=given)
        assert "token" not in added["settings"]
        await until(lambda: adm.get("/channels"), lambda found: found["items"][0]["health"]["state"] == "well")
        return str(added["id"])


async def there(shop: VkCommunity, wanted: Callable[[list[Json]], bool]) -> list[Json]:
    """Return what was sent to Bob, once it is as *wanted*."""
    return await until(lambda: asyncio.to_thread(shop.sent, BOB), wanted)


def answers(sent: list[Json]) -> list[str]:
    """Return what Ann said of what was sent."""
    return [one["text"].removeprefix("Ann\n") for one in sent if one["text"].startswith("Ann\n")]


def test_a_customer_is_served_from_the_first_word_to_the_block(tmp_path: Path):
    """A file comes in; one goes out, quoting; it is worded anew, read, and taken back; then nobody is there."""

    async def story(broker: Broker, fake: VkFake, shop: VkCommunity) -> None:
        await connect(broker, shop)
        shop.write(BOB, "Такие есть?", attachments=[doc("list.pdf", b"%PDF-1.4")])
        async with Desk(broker, "ann") as ann:
            session = await ann.session()
            await ann.do(f"/sessions/{session}/take")

            def here(found: list[Json]) -> bool:
                files = [file for one in by("contact", found) for file in (one["extra"] or {}).get("files", ())]
                return [file.get("state") for file in files] == ["ready"]

            [asked] = by("contact", await ann.messages(session, here))
            file = await ann.upload(session, "price.pdf", b"%PDF-1.5")
            await ann.do(f"/sessions/{session}/reply", text="Вот цены", files=[file], answers=asked["seq"])
            sent = (await there(shop, lambda found: bool(answers(found))))[-1]
            assert (["price.pdf"], True) == ([one["name"] for one in sent["attachments"]], bool(sent["reply_to"]))

            [mine] = by("operator", await ann.messages(session, lambda found: bool(found) and found[-1]["fate"] == "sent"))
            await ann.reword(session, mine["seq"], "Вот все цены")
            await there(shop, lambda found: answers(found) == ["Вот все цены"])
            shop.read(BOB)
            await ann.messages(session, lambda found: by("operator", found)[0]["fate"] == "read")
            await ann.take_back(session, mine["seq"])
            await there(shop, lambda found: bool(found[-1]["deleted"]))

            shop.deny(BOB)
            await broker.until("SELECT unreachable FROM conversations", lambda found: found == [("denied",)])
            await ann.do(f"/sessions/{session}/reply", text="Ещё вопросы?")
            await ann.messages(session, lambda found: by("operator", found)[-1]["fate"] == "failed")

    played(tmp_path, story)


def test_a_kill_loses_and_doubles_nothing(tmp_path: Path):
    """In the middle of a send, with more behind it, while the customer writes on: VK knows what it has, so all of it is sent."""

    async def story(broker: Broker, fake: VkFake, shop: VkCommunity) -> None:
        await connect(broker, shop)
        shop.write(BOB, "hello")
        async with Desk(broker, "ann") as ann:
            session = await ann.session()
            await ann.do(f"/sessions/{session}/take")
            await ann.messages(session, lambda found: all(one["fate"] != "queued" for one in found))
            fake.fault("close_after", method="messages.send")
            for number in range(3):
                await ann.do(f"/sessions/{session}/reply", text=f"answer {number}")
            # The first has arrived, and its answer never comes: now.
            await there(shop, lambda found: bool(answers(found)))
            broker.end(signal.SIGKILL)
        for number in range(3):
            shop.write(BOB, f"question {number}")
        await asyncio.to_thread(broker.start)
        async with Desk(broker, "ann") as ann:

            def settled(found: list[Json]) -> bool:
                fates = [one["fate"] for one in by("operator", found)]
                return len(by("contact", found)) == 4 and fates == ["sent"] * 3

            messages = await ann.messages(session, settled)
        assert ["hello", "question 0", "question 1", "question 2"] == [one["text"] for one in by("contact", messages)]
        assert [f"answer {number}" for number in range(3)] == answers(shop.sent(BOB))

    played(tmp_path, story)


def test_whichever_way_messages_come_each_is_there_once(tmp_path: Path):
    """Brought, asked for, and brought again, with a kill in between; a stranger brings nothing."""

    async def story(broker: Broker, fake: VkFake, shop: VkCommunity) -> None:
        channel = await connect(broker, shop, mode="callback")
        said = iter(range(1_000))

        async def say(count: int) -> None:
            for _ in range(count):
                await asyncio.to_thread(shop.write, BOB, f"{next(said)}")

        texts = "SELECT text FROM messages WHERE author = 'contact' ORDER BY seq"
        await say(3)
        await broker.until(texts, lambda found: len(found) == 3)
        async with httpx.AsyncClient(trust_env=False) as stranger:
            body = b'{"type":"message_new","group_id":1001,"secret":"guessed","object":{}}'
            assert 403 == (await stranger.post(f"http://127.0.0.1:{broker.port}/hooks/{channel}", content=body)).status_code
        broker.end(signal.SIGKILL)
        await say(2)
        await asyncio.to_thread(broker.start)
        await broker.until(texts, lambda found: len(found) == 5)
        count = 5
        for mode in ("longpoll", "callback", "longpoll"):
            async with Desk(broker, "adm") as adm:
                await adm.set_up(channel, mode=mode)
            await say(3)
            count += 3
            await broker.until(texts, lambda found, count=count: len(found) >= count)  # type: ignore[misc]
        assert sorted(f"{number}" for number in range(count)) == sorted(row[0] for row in broker.find(texts))

    played(tmp_path, story)
