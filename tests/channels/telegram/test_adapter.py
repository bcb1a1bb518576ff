"""A bot against a fake of Telegram: what is said to it is stored once and confirmed after, whatever Telegram does."""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from aiohttp import web
from fastapi import FastAPI
from PIL import Image
from structlog.testing import capture_logs

from broker.domain import LineSettings
from broker.errors import AccessLost, Rejected, Unavailable
from broker.extras import FileState, SharedContact
from broker.ports import KnowsPeople, TakesHooks
from broker.web.hooks import hook_routes
from channels.telegram import api, parsing
from channels.telegram.adapter import SHOWN_HEADER, TelegramChannel, probe
from channels.telegram.settings import check
from tests.channels.telegram.desk import Desk, answering, first, outbound, played, refusal
from tests.support.asterisk import free_port
from tests.support.telegram import Bot, BusinessChat, Content, Person, TelegramFake

OUR_SIDE = "https://shop.example"


def picture(size: tuple[int, int] = (320, 200)) -> bytes:
    """Return a PNG."""
    made = io.BytesIO()
    Image.new("RGB", size, "teal").save(made, "PNG")
    return made.getvalue()


def texts(raws: Any) -> list[str]:
    """Return what the messages of a delivery say."""
    return [msgspec.json.decode(raw.body)["message"]["text"] for raw in raws]


async def asked(fake: TelegramFake, bot: Bot, method: str, count: int) -> None:
    """Return when so many calls of a method have begun."""
    await asyncio.to_thread(fake.seen, bot, method, at_least=count, begun=True)


# --- asking for updates


def test_telegram_is_told_to_forget_only_what_was_stored(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """What was given stays there until the next is asked for, and that is after the commit."""
    for number in range(3):
        fake.say(ann, bot, f"{number}")

    async def story() -> None:
        receiving = desk.channel().receive()
        delivery = await anext(receiving)
        assert texts(delivery.raws) == ["0", "1", "2"]
        assert len(fake.seen(bot).pending) == 3
        next_one = asyncio.ensure_future(anext(receiving))
        await asked(fake, bot, "getUpdates", 3)  # the first was that of the fixture
        assert fake.seen(bot).pending == []
        next_one.cancel()

    played(story)


def test_whoever_begins_anew_loses_and_doubles_nothing(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Stored or not stored yet when it ended: each message is there once."""
    fake.say(ann, bot, "one")

    async def story() -> None:
        assert texts((await first(desk.channel())).raws) == ["one"]  # and it died before it was stored
        async with desk.receiving(desk.channel()):
            await desk.said(1)
        fake.say(ann, bot, "two")
        async with desk.receiving(desk.channel()):
            assert [text for text, _ in await desk.said(2)] == ["one", "two"]

    played(story)


def test_all_that_can_be_said_arrives(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """An album and its words as one message, a voice, a place, a card whose phone is known for hers, an answer, a source."""
    fake.start_bot(ann, bot, "site_42")
    fake.send_album(ann, bot, Content("photo", picture(), caption="Вот"), Content("photo", picture((90, 90))))
    fake.send_file(ann, bot, Content("voice", b"OggS", mime="audio/ogg", described={"duration": 7}))
    fake.say(ann, bot, location={"latitude": 55.75, "longitude": 37.61})
    fake.say(ann, bot, contact={"phone_number": "79123456789", "first_name": "Ann", "user_id": ann.id})
    asked = fake.call(bot, "sendMessage", chat_id=ann.id, text="Tomorrow, or today?")["result"]["message_id"]
    fake.say(ann, bot, "Yes", reply_to=asked, quote="today")
    last = fake.say(ann, bot, "Teh end")
    fake.edit(ann, bot, last["message_id"], "The end")

    async def story() -> None:
        channel = desk.channel()
        async with desk.receiving(channel):
            await desk.until("SELECT text FROM messages WHERE text = 'The end'", bool)
        await desk.fetch_all(channel)
        start, album, voice, place, card, answer, end = await desk.said(7)
        assert (start[0], album[0], answer[0], end[0]) == ("/start site_42", "Вот", "Yes", "The end")
        assert [(file.state, file.width) for file in album[1].files] == [(FileState.READY, 320), (FileState.READY, 90)]
        [heard] = voice[1].files
        assert (heard.state, heard.seconds, heard.size) == (FileState.READY, 7, 4)
        assert place[1].place is not None
        assert (place[1].place.latitude, place[1].place.longitude) == (55.75, 37.61)
        assert card[1].shared == SharedContact("Ann", "+79123456789", own=True)
        assert answer[1].quote is not None
        assert answer[1].quote.text == "today"
        assert [one.text for one in end[1].versions] == ["Teh end"]

    played(story)

    assert desk.memory.one("SELECT source FROM conversations") == '{"start":"site_42"}'
    assert desk.memory.rows("SELECT value FROM contact_points WHERE kind = 'phone'") == [("+79123456789",)]


def test_what_becomes_of_messages_arrives(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Reactions to what we said, and that somebody wants to hear of us no more, and again."""

    async def story() -> None:
        channel = desk.channel()
        async with desk.receiving(channel):
            fake.say(ann, bot, "hello")
            await desk.said(1)
            ((conversation,),) = desk.memory.rows("SELECT id FROM conversations")
            desk.queue(conversation, 2, "Good day")
            assert await desk.sender(channel).step(conversation)
            [ours] = fake.sent(bot, ann)
            fake.react(ann, bot, ours.id, "👍")
            fake.block(ann, bot)
            await desk.until("SELECT unreachable FROM conversations", lambda found: found == [("blocked",)])
            fake.unblock(ann, bot)
            await desk.until("SELECT unreachable FROM conversations", lambda found: found == [("",)])
        assert [extra.reactions for _, extra in await desk.said(2)] == [(), ("👍",)]

    played(story)


def test_groups_and_their_topics_are_conversations(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Where the setting says so: each topic one, the group another; and the same one when it becomes a supergroup."""
    forum = fake.add_group("Forum", bot, forum=True, by=ann)
    topic = fake.add_topic(forum, ann, "Prices")
    group = fake.add_group("Neighbours", bot, kind="group", by=ann)

    async def story() -> None:
        channel = desk.channel(groups=True)
        async with desk.receiving(channel):
            fake.say(ann, forum, "in the topic", thread=topic)
            fake.say(ann, forum, "beside it")
            fake.say(ann, group, "before")
            await desk.said(3)
            moved = fake.migrate(group, ann)
            fake.say(ann, moved, "after")
            assert [(text, extra.author) for text, extra in await desk.said(4)] == [
                (text, "Ann") for text in ("in the topic", "beside it", "before", "after")
            ]
        keys = {row[0] for row in desk.memory.rows("SELECT key FROM conversations")}
        assert keys == {f"{forum}/{topic}", f"{forum}", f"{moved}"}

    played(story)


def test_groups_are_nobodys_where_the_setting_does_not_say_so(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """A bot that was added to one does not listen there."""
    group = fake.add_group("Neighbours", bot, by=ann)
    fake.say(ann, group, "in the group")
    fake.say(ann, bot, "in private")

    async def story() -> None:
        async with desk.receiving(desk.channel()):
            assert [text for text, _ in await desk.said(1)] == ["in private"]

    played(story)


def test_a_business_account_is_served_with_what_its_owner_writes(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """The customer's words, the owner's own, and what was deleted; what we say ourselves does not come back."""
    shop = fake.connect(bot, fake.add_person("Olga"))
    chat = BusinessChat(shop, ann)

    async def story() -> None:
        channel = desk.channel()
        async with desk.receiving(channel):
            asked = fake.say(ann, chat, "How much?")
            fake.say(shop.owner, chat, "A hundred")
            await desk.said(2)
            ((key,),) = desk.memory.rows("SELECT key FROM conversations")
            assert key == f"b{shop.id}/{ann.id}"
            await channel.send(outbound(key, "Or ninety"))
            fake.delete(ann, chat, asked["message_id"])
            await desk.until("SELECT seq FROM inputs", lambda found: len(found) == 3)
            question, answer = await desk.said(2)
            assert question[1].deleted_ms
            assert answer[1].elsewhere
        [ours] = fake.sent(bot, chat)
        assert ours.asked["business_connection_id"] == shop.id

    played(story)


def test_an_update_that_cannot_be_read_holds_up_nothing(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """It is kept as a dead letter; what stands before and behind it is read."""
    fake.say(ann, bot, "before")
    nobody = {"id": 10**30, "type": "private"}  # as published, and more than any database counts to
    fake.give(bot, {"message": {"message_id": 1, "date": 1, "chat": nobody, "text": "?"}})
    fake.say(ann, bot, "behind")

    async def story() -> None:
        async with desk.receiving(desk.channel()):
            assert [text for text, _ in await desk.said(2)] == ["before", "behind"]
        assert desk.memory.one("SELECT count(*) FROM inputs WHERE dead IS NOT NULL") == 1

    played(story)


def test_half_a_character_holds_up_nothing(desk: Desk):
    """What strict readers of JSON refuse: the update that has it is a dead letter, and the next is read."""
    good = b'{"update_id":2,"message":{"message_id":1,"chat":{"id":7,"type":"private"},"text":"x"}}'
    bad = b'{"update_id":1,"message":{"message_id":1,"chat":{"id":7,"type":"private"},"text":"\\ud83d","n":1e999}}'

    async def story() -> None:
        async with answering(
            (200, b'{"ok":true,"result":{}}'), (200, b'{"ok":true,"result":[' + bad + b"," + good + b"]}")
        ) as url:
            desk.server = url
            async with desk.receiving(desk.channel()):
                assert [text for text, _ in await desk.said(1)] == ["x"]
        assert desk.memory.one("SELECT count(*) FROM inputs WHERE dead IS NOT NULL") == 1

    played(story)


def test_a_server_that_says_the_same_for_ever_is_not_asked_at_once(desk: Desk):
    """Whatever is confirmed, it gives the same: there is a pause between two questions, and each update is there once."""

    async def story() -> None:
        told = b'[{"update_id":5,"message":{"message_id":1,"chat":{"id":7,"type":"private"},"text":"x"}}, 3]'
        async with answering((200, b'{"ok":true,"result":{}}'), (200, b'{"ok":true,"result":' + told + b"}")) as url:
            desk.server = url
            receiving = desk.channel().receive()
            for _ in range(4):
                await anext(receiving)
        assert desk.slept == [1.0, 1.0]  # not after the first, which was new; not yet after the last

    played(story)


def test_quiet_servers_are_asked_a_second_apart(desk: Desk):
    """One that knows no long poll answers at once that there is nothing."""

    async def story() -> None:
        async with answering((200, b'{"ok":true,"result":[]}')) as url:
            desk.server = url
            receiving = desk.channel().receive()
            for _ in range(4):
                assert (await anext(receiving)).raws == ()
        assert desk.slept == [1.0, 1.0]

    played(story)


def test_an_offset_of_last_week_is_not_asked_for(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """After a week without updates Telegram numbers them anew, and a high offset would let it forget the new ones."""
    fake.say(ann, bot, "before")

    async def story() -> None:
        delivery = await first(desk.channel())
        desk.clock.move(timedelta(days=8))
        fake.call(bot, "getUpdates", offset=2**31)
        fake.give(bot, {}, next_id=100)
        fake.call(bot, "getUpdates", offset=2**31)
        fake.say(ann, bot, "a week later")
        again = await first(desk.channel(), delivery.cursor)
        assert texts(again.raws) == ["a week later"]

    played(story)


def test_two_programs_on_one_bot_are_told(desk: Desk, fake: TelegramFake, bot: Bot):
    """Whoever is thrown out by the other says so in words for the administrator, and comes back after a while."""

    async def story() -> None:
        receiving = desk.channel().receive()
        assert (await anext(receiving)).raws == ()  # the first question is not held
        mine = asyncio.ensure_future(anext(receiving))
        await asked(fake, bot, "getUpdates", 2)
        other = asyncio.ensure_future(anext(desk.channel().receive()))
        error = await refusal(mine)
        assert isinstance(error, AccessLost)
        assert (error.code, error.retry_after) == ("other_receiver", 15.0)
        other.cancel()

    played(story)


def test_a_webhook_that_is_set_while_we_ask_is_told(desk: Desk, fake: TelegramFake, bot: Bot):
    """Somebody else's; with the next beginning it is taken away again."""

    async def story() -> None:
        receiving = desk.channel().receive()
        assert (await anext(receiving)).raws == ()  # the first question is not held
        mine = asyncio.ensure_future(anext(receiving))
        await asked(fake, bot, "getUpdates", 2)
        fake.call(bot, "setWebhook", url="http://127.0.0.1:9/elsewhere")
        error = await refusal(mine)
        assert isinstance(error, AccessLost)
        assert error.code == "webhook_elsewhere"
        again = asyncio.ensure_future(anext(desk.channel().receive()))
        await asked(fake, bot, "getUpdates", 3)
        assert fake.seen(bot).webhook is None
        again.cancel()

    played(story)


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [("429", 3.1), ("500", None), ("502", None), ("cut_unread", None), ("cut_done", None), ("not_json", None)],
)
def test_a_provider_that_fails_is_unavailable(
    desk: Desk, fake: TelegramFake, bot: Bot, ann: Person, kind: str, seconds: float | None
):
    """However it fails: it is asked again, after the pause it wants."""
    fake.say(ann, bot, "hello")
    fake.fail("getUpdates", kind, bot=bot, seconds=3)

    async def story() -> None:
        error = await refusal(first(desk.channel()))
        assert type(error) is Unavailable
        assert error.retry_after == seconds

    played(story)


def test_what_came_while_nobody_could_ask_comes_afterwards(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Telegram is away, says it is at fault, cuts the answer: in the end each message is there once, in order."""

    async def story() -> None:
        for kind in ("502", "cut_done", "429", "not_json"):
            fake.fail("getUpdates", kind, bot=bot, seconds=1)
        fake.go_down()
        async with desk.receiving(desk.channel()):
            async with asyncio.timeout(10):
                await desk.has_slept(3)
            fake.come_up()
            for number in range(5):
                fake.say(ann, bot, f"{number}")
            assert [text for text, _ in await desk.said(5)] == [f"{number}" for number in range(5)]

    played(story)


@pytest.mark.parametrize(("revoked", "code"), [(True, "token_revoked"), (False, "token_revoked")])
def test_a_token_that_is_good_no_more_is_told(desk: Desk, fake: TelegramFake, bot: Bot, revoked: bool, code: str):
    """Taken back at the provider, or never one of its own: an administrator must act."""
    if revoked:
        fake.revoke(bot)

    async def story() -> None:
        error = await refusal(first(desk.channel(token="" if revoked else "123456:never")))
        assert isinstance(error, AccessLost)
        assert (error.code, error.retry_after) == (code, 60.0)

    played(story)


# --- having updates brought


def test_a_webhook_is_set_with_a_secret_and_kept(desk: Desk, fake: TelegramFake, bot: Bot):
    """Where we are and what we want to hear of; with every beginning anew, for nobody tells its secret."""

    async def story() -> None:
        channel = desk.channel(public_url=OUR_SIDE + "/", mode="webhook")
        receiving = channel.receive()
        for _ in range(3):
            assert (await anext(receiving)).raws == ()
        calls = [given for name, given in fake.seen(bot).asked if name == "setWebhook"]
        assert len(calls) == 1
        assert calls[0]["url"] == f"{OUR_SIDE}/hooks/{desk.id}"
        assert calls[0]["secret_token"] == channel._hook_secret
        assert msgspec.json.decode(calls[0]["allowed_updates"]) == parsing.ALLOWED_UPDATES
        assert desk.slept == [60.0, 60.0]
        await first(desk.channel(public_url=OUR_SIDE, mode="webhook"))
        assert fake.seen(bot).calls["setWebhook"] == 2

    played(story)


@pytest.mark.parametrize(
    ("method", "given", "code"),
    [("setWebhook", {"url": "http://127.0.0.1:9/x"}, "webhook_elsewhere"), ("deleteWebhook", {}, "other_receiver")],
)
def test_a_webhook_that_another_program_has_changed_is_repaired_and_told(
    desk: Desk, fake: TelegramFake, bot: Bot, method: str, given: dict[str, Any], code: str
):
    """Two installations on one bot."""

    async def story() -> None:
        receiving = desk.channel(public_url=OUR_SIDE, mode="webhook").receive()
        await anext(receiving)
        fake.call(bot, method, **given)
        error = await refusal(anext(receiving))
        assert isinstance(error, AccessLost)
        assert error.code == code
        assert fake.seen(bot).webhook == f"{OUR_SIDE}/hooks/{desk.id}"

    played(story)


def test_updates_that_telegram_cannot_bring_are_told(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """With its own words for why."""

    async def story() -> None:
        receiving = desk.channel(public_url="http://127.0.0.1:9", mode="webhook").receive()
        await anext(receiving)
        fake.start_clock()
        fake.say(ann, bot, "hello")
        async with asyncio.timeout(10):
            while "last_error_message" not in fake.call(bot, "getWebhookInfo")["result"]:
                await asyncio.to_thread(fake.seen, bot)
        error = await refusal(anext(receiving))
        assert type(error) is Unavailable
        assert "Connection refused" in str(error)

    played(story)


def test_a_webhook_without_an_address_of_ours_is_told(desk: Desk):
    """Nobody has said where we are found."""

    async def story() -> None:
        error = await refusal(first(desk.channel(mode="webhook")))
        assert isinstance(error, AccessLost)
        assert error.code == "no_public_url"

    played(story)


@pytest.mark.parametrize("shown", [None, "", "wrong", "ключ", "\x00", "x" * 10_000])
def test_a_stranger_is_refused(desk: Desk, shown: str | None):
    """Whoever shows no secret, or another."""
    channel = desk.channel(public_url=OUR_SIDE, mode="webhook")
    headers = {} if shown is None else {SHOWN_HEADER: shown}

    hooked = channel.hook(headers, b'{"update_id":1}')

    assert isinstance(channel, TakesHooks)
    assert (hooked.refused, hooked.raws) == (True, ())


def test_nobody_is_heard_where_we_ask_ourselves(desk: Desk):
    """Telegram keeps what it could not bring, and we ask for it."""
    secret = desk.channel(public_url=OUR_SIDE, mode="webhook")._hook_secret

    assert desk.channel().hook({SHOWN_HEADER: secret}, b'{"update_id":1}').refused


def test_another_bots_or_another_channels_secret_is_none(desk: Desk):
    """It is of both."""
    channel = desk.channel(mode="webhook")
    other = desk.channel(mode="webhook", token="1:other")

    assert channel._hook_secret == desk.channel(mode="webhook")._hook_secret
    assert channel._hook_secret != other._hook_secret
    assert desk.bot.token not in channel._hook_secret


def test_what_is_brought_is_kept_and_a_press_answered_in_the_same_breath(desk: Desk):
    """Garbage with the right secret is kept too: what it was is seen in the dead letters."""
    channel = desk.channel(public_url=OUR_SIDE, mode="webhook")
    shown = {SHOWN_HEADER: channel._hook_secret}
    press = b'{"update_id":5,"callback_query":{"id":"77","from":{"id":7},"data":"good"}}'

    plain, pressed, garbage = (channel.hook(shown, body) for body in (b'{"update_id":4}', press, b"\xff{"))

    assert (plain.raws[0].external_id, plain.answer, plain.media_type) == (f"{desk.bot.id}:4", b"{}", "application/json")
    assert pressed.answer == b'{"method":"answerCallbackQuery","callback_query_id":"77"}'
    assert (garbage.raws[0].body, garbage.answer) == (b"\xff{", b"{}")


@asynccontextmanager
async def our_side(desk: Desk, channel: Callable[[], TelegramChannel]) -> AsyncIterator[str]:
    """Serve the shipped route; yields its address."""
    app = FastAPI()
    app.include_router(hook_routes(desk.store, lambda _: channel(), lambda _: LineSettings()))
    inner = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ours")

    async def forward(request: web.Request) -> web.Response:
        answer = await inner.post(request.path, content=await request.read(), headers=dict(request.headers))
        return web.Response(status=answer.status_code, body=answer.content, content_type="application/json")

    outer = web.Application()
    outer.router.add_post("/{path:.*}", forward)
    runner = web.AppRunner(outer, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await inner.aclose()


def test_from_asking_to_being_brought_and_back(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """What was stored and not confirmed, what waits, what could not be brought: each message is there once, in order."""

    async def story() -> None:
        mode = {"mode": "polling"}
        async with our_side(desk, lambda: desk.channel(**mode)) as url:
            fake.say(ann, bot, "1")
            async with desk.receiving(desk.channel()):
                await desk.said(1)  # and it ends before Telegram has been told
            fake.say(ann, bot, "2")
            receiving = desk.channel(public_url=url, mode="webhook").receive()
            await anext(receiving)  # set, and refused: this process has not heard of the change yet
            mode["mode"] = "webhook"
            fake.say(ann, bot, "3")
            await desk.said(3)
            mode["mode"] = "polling"
            fake.say(ann, bot, "4")
            async with desk.receiving(desk.channel()):
                fake.say(ann, bot, "5")
                assert [text for text, _ in await desk.said(5)] == ["1", "2", "3", "4", "5"]
        assert desk.memory.one("SELECT count(*) FROM inputs") == 5

    played(story)


def test_garbage_that_is_brought_is_a_dead_letter_and_answered(desk: Desk):
    """By the shipped route: 200, so that nothing waits behind it; a stranger's is 403 and kept nowhere."""

    async def story() -> None:
        channel = desk.channel(public_url=OUR_SIDE, mode="webhook")
        async with our_side(desk, lambda: channel) as url, httpx.AsyncClient(base_url=url) as http:
            path, body = f"/hooks/{desk.id}", b"\xff{"
            known = await http.post(path, content=body, headers={SHOWN_HEADER: channel._hook_secret})
            stranger = await http.post(path, content=body, headers={SHOWN_HEADER: "wrong"})
        assert (known.status_code, stranger.status_code) == (200, 403)
        assert desk.memory.one("SELECT count(*) FROM inputs WHERE dead IS NOT NULL") == 1

    played(story)


# --- what else Telegram knows


def test_presses_are_answered_after_they_were_stored(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """A clock turns on the button until then; one that is too old is let go."""
    markup = {"inline_keyboard": [[{"text": "Good", "callback_data": "good"}]]}
    asked_by = fake.call(bot, "sendMessage", chat_id=ann.id, text="Well?", reply_markup=markup)["result"]["message_id"]
    query = fake.press(ann, bot, asked_by, "good")

    async def story() -> None:
        delivery = await first(desk.channel())
        assert fake.seen(bot).answers == {}
        await delivery.ack()
        assert list(fake.seen(bot).answers) == [query]
        await delivery.ack()  # told again that it is answered, it is no fault

    played(story)


def test_files_are_fetched_through_us(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """One that is here, one that is too large for bots, one that Telegram knows no more."""
    sent = fake.send_file(ann, bot, Content("document", b"x" * 200_000, "a.bin"))
    large = fake.send_file(ann, bot, Content("document", b"x", "b.bin", size=20 * 1_048_576 + 1))

    async def story() -> None:
        channel = desk.channel()

        async def fetched(ref: str) -> bytes:
            return b"".join([piece async for piece in channel.fetch(ref)])

        assert await fetched(sent["document"]["file_id"]) == b"x" * 200_000
        too_large, gone = await refusal(fetched(large["document"]["file_id"])), await refusal(fetched("BQAC-none"))
        assert isinstance(too_large, Rejected)
        assert too_large.code == "too_large"
        assert isinstance(gone, Unavailable | Rejected)

    played(story)


@pytest.mark.parametrize("kind", ["429", "500", "502", "cut_unread"])
@pytest.mark.parametrize("method", ["getFile", "file"])
def test_a_file_that_cannot_be_fetched_now_is_asked_for_again(
    desk: Desk, fake: TelegramFake, bot: Bot, ann: Person, kind: str, method: str
):
    """Whatever fails, and where."""
    sent = fake.send_file(ann, bot, Content("document", b"xyz", "a.bin"))

    async def story() -> None:
        channel = desk.channel()
        async with desk.receiving(channel):
            await desk.said(1)
        times = 2 if (method, kind) == ("file", "cut_unread") else 1  # what changes nothing, the library asks for twice
        fake.fail(method, kind, bot=bot, seconds=1, times=times)
        await desk.fetch_all(channel)
        assert (await desk.said(1))[0][1].files[0].state is FileState.AWAITED
        await desk.fetch_all(channel)
        assert (await desk.said(1))[0][1].files[0].state is FileState.READY

    played(story)
    assert sent["document"]["file_id"]


def test_a_file_over_the_limit_is_a_stub_with_a_reason(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Nothing is asked for; the message says why."""
    fake.send_file(ann, bot, Content("video", b"x", "film.mp4", size=20 * 1_048_576 + 1))

    async def story() -> None:
        channel = desk.channel()
        async with desk.receiving(channel):
            [(_, extra)] = await desk.said(1)
        await desk.fetch_all(channel)
        [file] = extra.files
        assert (file.state, file.name, file.problem) == (
            FileState.TOO_LARGE,
            "film.mp4",
            "Telegram gives bots no more than 20 MB",
        )
        assert "getFile" not in fake.seen(bot).calls

    played(story)


def test_a_person_has_a_picture_or_none(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """The smallest that is large enough to be shown."""
    bob = fake.add_person("Bob", avatars=[picture((640, 640))])
    fake.start_bot(bob, bot)

    async def story() -> None:
        channel = desk.channel()
        assert isinstance(channel, KnowsPeople)
        assert (await channel.profile(f"{ann.id}")).picture == b""
        shown = Image.open(io.BytesIO((await channel.profile(f"{bob.id}")).picture))
        assert 160 <= min(shown.size) <= 640
        assert isinstance(await refusal(channel.profile("123")), Rejected)

    played(story)


def test_a_bot_is_looked_at_before_it_is_a_channel(fake: TelegramFake, bot: Bot):
    """By what it is called and where it is found; a wrong token says what to do."""

    async def story() -> None:
        found = await probe(check({"token": bot.token, "server": fake.url}))
        assert (found.name, found.address, found.warnings) == ("Shop", "https://t.me/shop_bot", ())
        error = await refusal(probe(check({"token": "1:none", "server": fake.url})))
        assert isinstance(error, AccessLost)
        assert "@BotFather" in str(error)
        nobody = check({"token": "1:none", "server": f"http://127.0.0.1:{free_port()}"})
        assert type(await refusal(probe(nobody))) is Unavailable

    played(story)


# --- the token


FAILURES = ("429", "500", "502", "cut_unread", "cut_undone", "cut_done", "not_json", "revoked", "down", "nowhere")


@pytest.mark.parametrize("kind", FAILURES)
def test_no_token_in_any_error_or_log(
    desk: Desk, fake: TelegramFake, bot: Bot, ann: Person, kind: str, caplog: pytest.LogCaptureFixture
):
    """It is in every address we ask: whatever fails, and however, neither it nor its secret half is told."""
    caplog.set_level(logging.DEBUG)
    secret = bot.token.partition(":")[2]
    sent = fake.send_file(ann, bot, Content("document", b"xyz", "a.bin"))["document"]["file_id"]
    desk.server = "http://no such host" if kind == "nowhere" else fake.url
    spoken: list[str] = []

    async def story() -> None:
        channel = desk.channel()
        if kind == "revoked":
            fake.revoke(bot)
        elif kind == "down":
            fake.go_down()
        elif kind != "nowhere":
            fake.fail("*", kind, times=1_000, bot=bot, seconds=1)

        async def fetched() -> None:
            [piece async for piece in channel.fetch(sent)]

        async def downloaded() -> None:
            [piece async for piece in channel._api.download("documents/file_0.bin")]

        attempts: list[Callable[[], Awaitable[object]]] = [
            lambda: first(channel),
            lambda: channel.send(outbound(ann, "x")),
            lambda: channel.reword(outbound(ann, "x"), f"{ann.id}:1"),
            lambda: channel.take_back(f"{ann.id}", f"{ann.id}:1"),
            lambda: channel.show_typing(f"{ann.id}", "Bob"),
            lambda: channel.profile(f"{ann.id}"),
            lambda: probe(check({"token": bot.token, "server": fake.url})),
            fetched,
            downloaded,
        ]
        with capture_logs() as logged:
            structlog.get_logger().info("captured")
            for attempt in attempts:
                channel._resume_at = 0.0
                if (kind == "nowhere" and attempt is attempts[6]) or (kind == "not_json" and attempt is downloaded):
                    continue
                error = await refusal(attempt())
                spoken.extend([repr(error), str(error), "".join(traceback.format_exception(error))])
            async with desk.receiving(channel), asyncio.timeout(10):
                await desk.has_slept(2)
        spoken.extend(f"{one}" for one in logged)

    played(story)
    spoken.append(caplog.text)

    assert len(spoken) > 20
    assert not [one for one in spoken if secret in one]


def test_connections_are_closed_with_the_process(desk: Desk, ann: Person):
    """Those of this loop, and no others."""

    async def story() -> None:
        await desk.channel().send(outbound(ann, "x"))
        assert len(api._sessions) == 1
        await api.close()
        assert api._sessions == {}

    played(story)
