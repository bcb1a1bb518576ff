"""A bot in a real `omniline serve`, connected and worked with over REST; killed without warning, it loses and doubles nothing."""

from __future__ import annotations

import asyncio
import io
import signal
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.channels.served import HOUSE, Desk, Json, by, until
from tests.support.asterisk import free_port
from tests.support.broker import Broker
from tests.support.telegram import Bot, Content, Person, Posted, TelegramFake, telegram_fake

pytestmark = pytest.mark.timeout(120)


def picture(colour: str) -> bytes:
    """Return a PNG."""
    made = io.BytesIO()
    Image.new("RGB", (320, 200), colour).save(made, "PNG")
    return made.getvalue()


def files(posted: list[Posted]) -> list[Posted]:
    """Return what has a file."""
    return [one for one in posted if one.files]


async def there(fake: TelegramFake, bot: Bot, person: Person, wanted: Callable[[list[Posted]], bool]) -> list[Posted]:
    """Return what the bot has sent, once it is as *wanted*."""
    return await until(lambda: asyncio.to_thread(fake.sent, bot, person), wanted)


def played(folder: Path, story: Callable[[Broker, TelegramFake, Bot, Person], Any]) -> str:
    """Play *story* with a broker that serves and a bot; return what the broker has logged."""
    with telegram_fake() as fake:
        bot, bob = fake.add_bot(), fake.add_person("Bob")
        broker = Broker(folder, folder, free_port(socket.SOCK_STREAM))
        (folder / "house.toml").write_text(HOUSE)
        (folder / "omniline.toml").write_text(f'public_url = "http://127.0.0.1:{broker.port}"')
        broker.command("apply", "house.toml")
        broker.start()
        try:
            asyncio.run(story(broker, fake, bot, bob))
        finally:
            broker.end(signal.SIGTERM)
        assert [] == fake.violations()
        logged = (folder / "log").read_text()
        assert bot.token.partition(":")[2] not in logged
        return logged


async def connect(broker: Broker, fake: TelegramFake, bot: Bot, **settings: str) -> str:
    """Connect the bot, as an administrator does; return the channel's id."""
    async with Desk(broker, "adm") as adm:
        [line] = (await adm.get("/lines"))["items"]
        given = {"token": bot.token, "server": fake.url, **settings}
        added = await adm.add_channel(line_id=line["id"], slug="bot", kind="telegram", name="Bot", settings=given)
        assert (added["secrets"], "token" in added["settings"]) == ({"token": True}, False)
        return str(added["id"])


def test_a_customer_is_served_from_the_first_word_to_the_block(tmp_path: Path):
    """An album and a voice come in; a file goes out, quoting the album; it is worded anew, and taken back; then nobody is there."""

    async def story(broker: Broker, fake: TelegramFake, bot: Bot, bob: Person) -> None:
        await connect(broker, fake, bot)
        fake.start_bot(bob, bot, "site_42")
        album = fake.send_album(
            bob, bot, Content("photo", picture("red"), caption="Такие есть?"), Content("photo", picture("blue"))
        )
        fake.send_file(bob, bot, Content("voice", b"OggS", mime="audio/ogg", described={"duration": 7}))
        async with Desk(broker, "ann") as ann:
            session = await ann.session()
            await ann.do(f"/sessions/{session}/take")

            def all_here(found: list[Json]) -> bool:
                states = [file.get("state") for one in by("contact", found) for file in (one["extra"] or {}).get("files", ())]
                return states == ["ready"] * 3

            start, pictures, voice = by("contact", await ann.messages(session, all_here))
            assert (start["text"], pictures["text"], voice["extra"]["files"][0]["seconds"]) == (
                "/start site_42",
                "Такие есть?",
                7,
            )

            file = await ann.upload(session, "price.pdf", b"%PDF-1.4")
            await ann.do(f"/sessions/{session}/reply", text="Вот цены", files=[file], answers=pictures["seq"])
            sent = files(await there(fake, bot, bob, lambda found: bool(files(found))))[0]
            assert sent.text == "Ann\nВот цены"
            assert (sent.method, sent.files[0].name) == ("sendDocument", "price.pdf")
            assert sent.message["reply_to_message"]["message_id"] == album[0]["message_id"]

            [mine] = by("operator", await ann.messages(session, lambda found: bool(found) and found[-1]["fate"] == "sent"))
            await ann.reword(session, mine["seq"], "Вот все цены")
            await there(fake, bot, bob, lambda found: files(found)[0].text == "Ann\nВот все цены")
            fake.say(bob, bot, "Спасибо", reply_to=sent.id)
            thanks = by("contact", await ann.messages(session, lambda found: len(by("contact", found)) == 4))[-1]
            assert thanks["extra"]["quote"] == {"seq": mine["seq"], "text": "Вот все цены"}
            fake.react(bob, bot, sent.id, "👍")
            await ann.messages(session, lambda found: by("operator", found)[0]["extra"].get("reactions") == ["👍"])
            await ann.take_back(session, mine["seq"])
            await there(fake, bot, bob, lambda found: files(found)[0].deleted)

            fake.block(bob, bot)
            await broker.until("SELECT unreachable FROM conversations", lambda found: found == [("blocked",)])
            await ann.do(f"/sessions/{session}/reply", text="Ещё вопросы?")
            failed = by("operator", await ann.messages(session, lambda found: by("operator", found)[-1]["fate"] == "failed"))[-1]
            assert "blocked" in failed["problem"]

    played(tmp_path, story)


def test_a_kill_loses_and_doubles_nothing(tmp_path: Path):
    """In the middle of a send, with more behind it, while the customer writes on: all that is in doubt is shown as unconfirmed."""

    async def story(broker: Broker, fake: TelegramFake, bot: Bot, bob: Person) -> None:
        await connect(broker, fake, bot)
        fake.start_bot(bob, bot)
        async with Desk(broker, "ann") as ann:
            session = await ann.session()
            await ann.do(f"/sessions/{session}/take")
            await there(fake, bot, bob, bool)
            await ann.messages(session, lambda found: all(one["fate"] in ("sent", "received") for one in found))
            fake.fail("sendMessage", "slow", bot=bot, seconds=20)
            for number in range(3):
                await ann.do(f"/sessions/{session}/reply", text=f"answer {number}")
            # The first has arrived, and its answer has not: now.
            await there(fake, bot, bob, lambda found: found[-1].text == "Ann\nanswer 0")
            broker.end(signal.SIGKILL)
        for number in range(3):
            fake.say(bob, bot, f"question {number}")
        await asyncio.to_thread(broker.start)
        async with Desk(broker, "ann") as ann:

            def settled(found: list[Json]) -> bool:
                fates = [one["fate"] for one in by("operator", found)]
                return len(by("contact", found)) == 4 and len(fates) == 3 and not {"queued", "sending"} & {*fates}

            messages = await ann.messages(session, settled)
        assert [one["text"] for one in by("contact", messages)] == ["/start", "question 0", "question 1", "question 2"]
        assert [one["fate"] for one in by("operator", messages)] == ["unconfirmed", "sent", "sent"]
        arrived = Counter(one.text for one in fake.sent(bot, bob) if one.text.startswith("Ann\n"))
        assert arrived == {f"Ann\nanswer {number}": 1 for number in range(3)}

    played(tmp_path, story)


def test_whichever_way_messages_come_each_is_there_once(tmp_path: Path):
    """Brought, asked for while nobody could take them, and brought again, with a kill in between; a stranger brings nothing."""

    async def story(broker: Broker, fake: TelegramFake, bot: Bot, bob: Person) -> None:
        channel = await connect(broker, fake, bot, mode="webhook")
        hook = f"http://127.0.0.1:{broker.port}/hooks/{channel}"
        await until(lambda: asyncio.to_thread(fake.seen, bot), lambda found: found.webhook == hook)
        said = iter(range(1_000))

        async def say(count: int) -> None:
            for _ in range(count):
                await asyncio.to_thread(fake.say, bob, bot, f"{next(said)}")

        texts = "SELECT text FROM messages WHERE author = 'contact' ORDER BY seq"
        await say(3)
        await broker.until(texts, lambda found: len(found) == 3)
        async with httpx.AsyncClient(trust_env=False) as stranger:
            for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "guessed"}):
                assert (await stranger.post(hook, content=b'{"update_id":1}', headers=headers)).status_code == 403
        broker.end(signal.SIGKILL)
        await say(2)
        await asyncio.to_thread(broker.start)
        await broker.until(texts, lambda found: len(found) == 5)
        for mode in ("polling", "webhook", "polling"):
            async with Desk(broker, "adm") as adm:
                await adm.set_up(channel, mode=mode)
            await say(3)
            there = hook if mode == "webhook" else None
            await until(lambda: asyncio.to_thread(fake.seen, bot), lambda found, there=there: found.webhook == there)  # type: ignore[misc]
            await say(1)
        found = await broker.until(texts, lambda found: len(found) >= 17)
        assert [row[0] for row in found] == [f"{number}" for number in range(17)]

    played(tmp_path, story)


def test_a_token_that_is_taken_back_is_told_and_nothing_is_lost(tmp_path: Path):
    """The channel says so in the settings; what was to be sent waits, and so does what was written."""

    async def story(broker: Broker, fake: TelegramFake, bot: Bot, bob: Person) -> None:
        await connect(broker, fake, bot)
        fake.start_bot(bob, bot)
        async with Desk(broker, "ann") as ann, Desk(broker, "adm") as adm:
            session = await ann.session()
            await ann.do(f"/sessions/{session}/take")
            await ann.messages(session, lambda found: bool(found) and all(one["fate"] in ("sent", "received") for one in found))
            fake.revoke(bot)
            await ann.do(f"/sessions/{session}/reply", text="hello")
            waiting = (await ann.messages(session, lambda found: bool(found[-1]["problem"])))[-1]
            assert waiting["fate"] == "queued"
            shown = await until(lambda: adm.get("/channels"), lambda found: found["items"][0]["health"]["state"] == "refused")
            assert shown["items"][0]["health"]["code"] == "token_revoked"

    played(tmp_path, story)
