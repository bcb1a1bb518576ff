"""What a bot says, against a fake of Telegram: it arrives as it is meant, within the provider's limits, and its fate is known."""

from __future__ import annotations

import asyncio
import io
import os
import re
from typing import Any
from urllib.parse import parse_qs

import pytest
from PIL import Image

from broker.errors import AccessLost, NotFound, Rejected, SendError, Unavailable, Uncertain, Unreachable
from broker.extras import FileKind
from broker.outbound import due
from broker.ports import Button, EditsMessages, Outbound, ShowsTyping
from broker.transport.memory import MemoryTransport
from channels.telegram.settings import UPLOAD_MAX
from channels.telegram.splitting import TEXT_UNITS, units
from tests.channels.telegram.desk import Desk, answering, outbound, played, refusal
from tests.support.asterisk import free_port
from tests.support.clock import MINUTE
from tests.support.telegram import Bot, BusinessChat, Person, Posted, TelegramFake
from tests.support.telegram_schema import ROOM

FAMILY = "👨‍👩‍👧‍👦"
GOOD, BAD = Button("Good", "good"), Button("Bad", "bad")


def picture(size: tuple[int, int] = (320, 200)) -> bytes:
    """Return a PNG."""
    made = io.BytesIO()
    Image.new("RGB", size, "teal").save(made, "PNG")
    return made.getvalue()


def sent(desk: Desk, *outbounds: Outbound, **settings: Any) -> list[str]:
    """Send, and return what they are called."""
    names: list[str] = []

    async def story() -> None:
        channel = desk.channel(**settings)
        names.extend([await channel.send(one) for one in outbounds])

    played(story)
    return names


def failed(desk: Desk, one: Outbound, **settings: Any) -> Any:
    """Return why it cannot be sent."""
    errors: list[Exception] = []

    async def story() -> None:
        errors.append(await refusal(desk.channel(**settings).send(one)))

    played(story)
    return errors[0]


def shown(posted: Posted) -> tuple[str, str, list[str]]:
    """Return a message as its reader sees it: how it was sent, what it says, and which files it has."""
    return posted.method, posted.text, [file.kind for file in posted.files]


# --- words


def test_a_message_arrives_and_is_called_by_its_chat_and_number(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """By that it is quoted, changed and taken back later."""
    [name] = sent(desk, outbound(ann, "Good day"))

    [posted] = fake.sent(bot, ann)
    assert (posted.text, name) == ("Good day", f"{ann.id}:{posted.id}")


def test_an_operators_name_stands_above(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """In bold, counted as Telegram counts; where the setting says so, and never above what the line itself says."""
    said = outbound(ann, "Good day", name="Оля 😀")

    sent(desk, said)
    sent(desk, said, names=False)

    with_name, without = fake.sent(bot, ann)
    assert with_name.text == "Оля 😀\nGood day"
    assert with_name.message["entities"] == [{"type": "bold", "offset": 0, "length": 6}]
    assert without.text == "Good day"


def test_what_looks_like_markup_is_words(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Nothing is read into what an operator writes."""
    sent(desk, outbound(ann, "<b>1 < 2</b> *x* _y_ [z](https://a.test) &amp;"))

    [posted] = fake.sent(bot, ann)
    assert posted.text == "<b>1 < 2</b> *x* _y_ [z](https://a.test) &amp;"


def test_a_long_text_arrives_in_parts_in_order(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """No emoji is cut, nothing is lost, and all the parts' names are told; after three of them one a second."""
    text = FAMILY * 1_900

    [names] = sent(desk, outbound(ann, text, name="Bob"))

    parts = fake.sent(bot, ann)
    assert "".join(part.text for part in parts) == f"Bob\n{text}"
    assert all(units(part.text) <= TEXT_UNITS for part in parts)
    assert names == " ".join(f"{ann.id}:{part.id}" for part in parts)
    assert desk.slept == [1.0] * (len(parts) - 3)


def test_nothing_is_no_message(desk: Desk, ann: Person):
    """It is refused before anybody is asked."""
    assert isinstance(failed(desk, outbound(ann)), Rejected)


@pytest.mark.parametrize("key", ["", "x", "1/x", "b1", "bx/y", "1/2/3"])
def test_what_is_no_chat_of_telegram_is_refused(desk: Desk, key: str):
    """A key that another kind of channel has made."""
    assert isinstance(failed(desk, outbound(key, "x")), Rejected)


# --- files


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (FileKind.PHOTO, "sendPhoto"),
        (FileKind.VIDEO, "sendVideo"),
        (FileKind.VOICE, "sendVoice"),
        (FileKind.AUDIO, "sendAudio"),
        (FileKind.ANIMATION, "sendAnimation"),
        (FileKind.DOCUMENT, "sendDocument"),
    ],
)
def test_a_file_is_sent_as_what_it_is(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person, kind: FileKind, method: str):
    """With the words below it, in one message, its bytes and its name as they are."""

    async def story() -> None:
        file = await desk.keep(kind, picture(), 'счёт "№1"\r\n.png')
        await desk.channel().send(outbound(ann, "Вот", file, name="Bob"))
        [posted] = fake.sent(bot, ann)
        assert shown(posted) == (method, "Bob\nВот", [kind.value])
        assert posted.files[0].sha256 == file.sha256
        assert kind is FileKind.PHOTO or posted.files[0].name == "счёт _№1___.png"

    played(story)


def test_pictures_and_films_are_one_album(desk: Desk):
    """In the order in which the operator has put them."""
    heard: list[tuple[str, str]] = []

    async def story() -> None:
        seen = [await desk.keep(kind, b"x") for kind in (FileKind.PHOTO, FileKind.VIDEO, FileKind.PHOTO)]
        async with answering(
            (200, b'{"ok":true,"result":[{"message_id":4},{"message_id":5},{"message_id":6}]}'), heard=heard
        ) as url:
            desk.server = url
            assert await desk.channel().send(outbound(7, "", *seen)) == "7:4 7:5 7:6"

    played(story)

    [(name, form)] = heard
    assert name == "sendMediaGroup"
    assert re.findall('"type":"([a-z]+)"', form) == ["photo", "video", "photo"]


def test_files_that_go_together_are_albums_of_ten(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Pictures with each other, documents among themselves, a voice alone; words below all of it are above it."""

    async def story() -> None:
        seen = [await desk.keep(FileKind.PHOTO, picture((100 + number, 100))) for number in range(11)]
        papers = [await desk.keep(FileKind.DOCUMENT, b"%d" % number) for number in range(2)]
        voice = await desk.keep(FileKind.VOICE, b"OggS")
        [name] = [await desk.channel().send(outbound(ann, "All of it", *seen, *papers, voice))]
        posted = fake.sent(bot, ann)
        assert len(name.split()) == len(posted) == 15
        assert [one.method for one in posted] == [
            "sendMessage",
            *["sendMediaGroup"] * 10,
            "sendPhoto",
            *["sendMediaGroup"] * 2,
            "sendVoice",
        ]
        assert len({one.message["media_group_id"] for one in posted[1:11]}) == 1
        assert [one.files[0].kind for one in posted[11:]] == ["photo", "document", "document", "voice"]
        assert posted[1].text == ""

    played(story)


def test_an_albums_words_stand_below_its_first(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """So they are shown once, below all of it."""

    async def story() -> None:
        files = [await desk.keep(FileKind.PHOTO, picture((100 + number, 100))) for number in range(2)]
        await desk.channel().send(outbound(ann, "Both", *files, name="Bob"))
        assert [one.text for one in fake.sent(bot, ann)] == ["Bob\nBoth", ""]

    played(story)


def test_words_too_long_for_a_caption_go_before(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """More than 1,024 signs do not fit below a file; and below a sticker none do."""

    async def story() -> None:
        file, sticker = await desk.keep(FileKind.PHOTO, picture()), await desk.keep(FileKind.STICKER, b"RIFF")
        await desk.channel().send(outbound(ann, "я" * 1_025, file))
        await desk.channel().send(outbound(ann, "hi", sticker))
        assert [one.method for one in fake.sent(bot, ann)] == ["sendMessage", "sendPhoto", "sendMessage", "sendSticker"]

    played(story)


@pytest.mark.parametrize(
    "content", [picture((2_000, 10)), b"no picture at all", b"x" * (10 * 1_048_576 + 1)], ids=["long", "broken", "large"]
)
@pytest.mark.parametrize("count", [1, 2])
def test_what_telegram_takes_for_no_picture_goes_as_a_file(
    desk: Desk, fake: TelegramFake, bot: Bot, ann: Person, content: bytes, count: int
):
    """Too long and thin, broken, or above 10 MB."""

    async def story() -> None:
        files = [await desk.keep(FileKind.PHOTO, content)] * count
        await desk.channel().send(outbound(ann, "Вот", *files))
        posted = fake.sent(bot, ann)
        assert [one.files[0].kind for one in posted] == ["document"] * count
        assert posted[0].text == "Вот"

    played(story)


def test_a_file_that_is_here_no_more_is_refused_before_anything_is_sent(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """What has failed on the way would be in doubt."""

    async def story() -> None:
        file = await desk.keep(FileKind.DOCUMENT, b"x")
        [stored] = [one for one in (desk.files_folder).rglob("*") if one.is_file()]
        stored.unlink()
        assert isinstance(await refusal(desk.files.get(file.sha256)), NotFound)
        assert isinstance(await refusal(desk.channel().send(outbound(ann, "x", file))), Rejected)
        assert "sendDocument" not in fake.seen(bot).calls

    played(story)


def test_a_file_above_50_mb_is_refused(desk: Desk, ann: Person):
    """Before anything is sent."""

    async def story() -> None:
        file = await desk.keep(FileKind.DOCUMENT, b"x")
        large = type(file)(file.sha256, file.kind, file.name, file.media_type, UPLOAD_MAX + 1)
        error = await refusal(desk.channel().send(outbound(ann, "x", large)))
        assert isinstance(error, Rejected)
        assert error.code == "too_large"

    played(story)


def test_an_empty_file_is_refused_by_telegram(desk: Desk, ann: Person):
    """In its own words."""

    async def story() -> None:
        error = await refusal(desk.channel().send(outbound(ann, "", await desk.keep(FileKind.DOCUMENT, b""))))
        assert isinstance(error, Rejected)
        assert "non-empty" in str(error)

    played(story)


# --- what is beside


def test_the_first_part_quotes_what_is_answered(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """What is there no more is not quoted, and what is in another chat neither: its number is another message's here."""
    asked = fake.say(ann, bot, "Is it open?")["message_id"]

    sent(desk, outbound(ann, "x" * 5_000, answers=f"{ann.id}:{asked} {ann.id}:{asked + 7}"))
    sent(desk, outbound(ann, "gone", answers=f"{ann.id}:999"), outbound(ann, "elsewhere", answers=f"-7:{asked}"))

    first, second, gone, elsewhere = fake.sent(bot, ann)
    assert first.message["reply_to_message"]["message_id"] == asked
    assert "reply_to_message" not in {*second.message, *gone.message, *elsewhere.message}


def test_buttons_stand_beneath_the_last_part(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """In one row, in their order."""
    sent(desk, outbound(ann, "y" * 5_000, buttons=(GOOD, BAD)))

    first, last = fake.sent(bot, ann)
    assert (first.buttons, last.buttons) == ([], [["Good", "Bad"]])


@pytest.mark.parametrize(
    ("text", "count", "places"), [("Your phone?", 0, 1), ("Your phone?", 1, 1), ("Your phone?", 2, 3), ("", 2, 2), ("", 1, 1)]
)
def test_a_phone_is_asked_for_by_a_button(
    desk: Desk, fake: TelegramFake, bot: Bot, ann: Person, text: str, count: int, places: int
):
    """Beneath words, beneath a file, and beside an album, which can have no buttons."""

    async def story() -> None:
        files = [await desk.keep(FileKind.PHOTO, picture((100 + number, 100))) for number in range(count)]
        await desk.channel(phone_label="Мой номер").send(outbound(ann, text, *files, asks_phone=True))
        posted = fake.sent(bot, ann)
        assert len(posted) == places
        [keyboard] = [one.keyboard for one in posted if one.keyboard]
        assert keyboard["keyboard"] == [[{"text": "Мой номер", "request_contact": True}]]

    played(story)


def test_nobody_in_a_group_is_asked_for_a_phone(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Everybody would see the button."""
    group = fake.add_group("Neighbours", bot, by=ann)

    sent(desk, outbound(group, "Your phone?", asks_phone=True), groups=True)

    assert [one.keyboard for one in fake.sent(bot, group)] == [None]


def test_a_topic_is_answered_in_the_topic(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """All the parts of a message."""
    group = fake.add_group("Forum", bot, forum=True, by=ann)
    topic = fake.add_topic(group, ann, "Prices")

    sent(desk, outbound(f"{group}/{topic}", "x" * 5_000))

    assert [one.message["message_thread_id"] for one in fake.sent(bot, group)] == [topic, topic]


def test_somebody_is_seen_to_write(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """By the provider's own sign; what goes wrong with it loses nothing."""

    async def story() -> None:
        channel = desk.channel()
        assert isinstance(channel, ShowsTyping)
        await channel.show_typing(f"{ann.id}", "Bob")
        assert [(one["chat_id"], one["action"]) for one in fake.seen(bot).actions] == [(ann.id, "typing")]
        fake.fail("sendChatAction", "cut_done", bot=bot)
        assert isinstance(await refusal(channel.show_typing(f"{ann.id}", "Bob")), SendError)
        group = fake.add_group("Neighbours", bot, kind="group", by=ann)
        fake.migrate(group, ann)
        assert isinstance(await refusal(channel.show_typing(f"{group}", "Bob")), SendError)

    played(story)


# --- afterwards


def test_words_are_changed_where_they_stand(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """A text, and what stands below a picture or an album; said again it is no fault."""

    async def story() -> None:
        channel = desk.channel()
        assert isinstance(channel, EditsMessages)
        file = await desk.keep(FileKind.PHOTO, picture())
        text, below, album = (
            outbound(ann, "a", name="B"),
            outbound(ann, "b", file, name="B"),
            outbound(ann, "c", file, file, name="B"),
        )
        for one in (text, below, album):
            name = await channel.send(one)
            for _ in range(2):
                await channel.reword(outbound(ann, one.text.upper(), *one.files, name="B"), name)
        assert [one.text for one in fake.sent(bot, ann)] == ["B\nA", "B\nB", "B\nC", ""]

    played(story)


def test_a_shorter_text_takes_back_the_parts_it_needs_no_more(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """And a longer one than there is room for is refused, with nothing changed."""

    async def story() -> None:
        channel = desk.channel()
        name = await channel.send(outbound(ann, "x" * 9_000))
        await channel.reword(outbound(ann, "y" * 5_000), name)
        assert [(one.text[:1], one.deleted) for one in fake.sent(bot, ann)] == [("y", False), ("y", False), ("x", True)]
        short = await channel.send(outbound(ann, "z"))
        error = await refusal(channel.reword(outbound(ann, "q" * 5_000), short))
        assert isinstance(error, Rejected)
        assert fake.sent(bot, ann)[-1].text == "z"

    played(story)


def test_words_before_files_are_changed_there(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """What was too long for a caption is a message of its own, also when it becomes shorter; the files stay."""

    async def story() -> None:
        channel = desk.channel()
        file = await desk.keep(FileKind.PHOTO, picture())
        name = await channel.send(outbound(ann, "x" * 5_000, file))
        await channel.reword(outbound(ann, "short", file), name)
        assert [(one.text[:5], one.deleted) for one in fake.sent(bot, ann)] == [("short", False), ("xxxxx", True), ("", False)]

    played(story)


def test_what_is_taken_back_is_gone_with_all_its_parts(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Done again it is no fault; what Telegram leaves nobody to delete says so."""

    async def story() -> None:
        channel = desk.channel()
        name = await channel.send(outbound(ann, "x" * 5_000))
        for _ in range(2):
            await channel.take_back(f"{ann.id}", name)
        assert [one.deleted for one in fake.sent(bot, ann)] == [True, True]
        old = await channel.send(outbound(ann, "old"))
        fake.move_clock(49 * 3_600)
        assert isinstance(await refusal(channel.take_back(f"{ann.id}", old)), Rejected)

    played(story)


def test_a_group_that_has_become_a_supergroup_is_found(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """All the parts go there, unquoted, and are called by its new number; what was said before it cannot be changed."""
    group = fake.add_group("Neighbours", bot, kind="group", by=ann)

    async def story() -> None:
        channel = desk.channel(groups=True)
        before = await channel.send(outbound(group, "before"))
        moved = fake.migrate(group, ann)
        name = await channel.send(outbound(group, "x" * 5_000, answers=before))
        first, second = fake.sent(bot, moved)
        assert name == f"{moved}:{first.id} {moved}:{second.id}"
        assert "reply_to_message" not in first.message
        for key in (group, moved):
            assert isinstance(await refusal(channel.take_back(f"{key}", before)), Rejected)
            assert isinstance(await refusal(channel.reword(outbound(key, "y"), before)), Rejected)

    played(story)


def test_a_business_accounts_answers_are_changed_in_its_name(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """The connection is told with every call; one that is gone cannot be used."""
    connection = fake.connect(bot, fake.add_person("Olga"))
    chat = BusinessChat(connection, ann)
    fake.say(ann, chat, "How much?")
    key = f"b{connection.id}/{ann.id}"

    async def story() -> None:
        channel = desk.channel()
        name = await channel.send(outbound(key, "a hundred"))
        await channel.reword(outbound(key, "ninety"), name)
        assert [one.text for one in fake.sent(bot, chat)] == ["ninety"]
        await channel.show_typing(key, "Bob")
        fake.connect(bot, connection.owner, enabled=False)
        error = await refusal(channel.send(outbound(key, "x")))
        assert isinstance(error, Unreachable)
        assert error.code == "denied"

    played(story)


def test_a_business_accounts_message_is_taken_back_by_its_connection(desk: Desk):
    """By a method of its own, which asks for no chat."""
    heard: list[tuple[str, str]] = []

    async def story() -> None:
        async with answering((200, b'{"ok":true,"result":true}'), heard=heard) as url:
            desk.server = url
            await desk.channel().take_back("bW_1/7", "bW_1/7:3")

    played(story)

    assert [(name, parse_qs(form)) for name, form in heard] == [
        ("deleteBusinessMessages", {"business_connection_id": ["W_1"], "message_ids": ["[3]"]})
    ]


# --- fates


@pytest.mark.skipif(not os.environ.get(ROOM), reason=f"{ROOM} is not set: calls are held against no published schema")
def test_what_is_said_is_held_against_the_published_schema(fake: TelegramFake, bot: Bot):
    """Every test here ends with that there was nothing wrong: what is wrong would be found."""
    fake.call(bot, "sendMessage", chat_id=bot.id, text="x", colour="red")

    [found] = fake.violations()
    fake.forget_violations()

    assert (found["of"], found["method"]) == ("call", "sendMessage")


@pytest.mark.parametrize(
    ("kind", "fate", "arrived"),
    [
        ("429", Unavailable, 0),
        ("500", Unavailable, 0),
        ("502", Unavailable, 0),
        ("cut_unread", Uncertain, 0),
        ("cut_undone", Uncertain, 0),
        ("cut_done", Uncertain, 1),
        ("not_json", Uncertain, 0),
    ],
)
def test_what_becomes_of_a_message_is_said_truly(
    desk: Desk, fake: TelegramFake, bot: Bot, ann: Person, kind: str, fate: type[Exception], arrived: int
):
    """Nothing was sent, or nobody knows: never the one for the other."""
    fake.fail("sendMessage", kind, bot=bot, seconds=30)

    error = failed(desk, outbound(ann, "x"))

    assert type(error) is fate
    assert len(fake.sent(bot, ann)) == arrived
    assert desk.slept == []


@pytest.mark.parametrize(
    ("status", "body", "fate", "code"),
    [
        (200, b'{"ok":true,"result":{"message_id":"?"}}', None, ""),
        (200, b'{"ok":true,"result":null}', None, ""),
        (200, b"{}", Uncertain, ""),
        (200, b"\xff\xfe", Uncertain, ""),
        (200, b"[" * 100_000, Uncertain, ""),
        (204, b"", Uncertain, ""),
        (400, b'{"ok":false,"error_code":400,"description":"Bad Request: message text is empty"}', Rejected, "rejected"),
        (400, b'{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}', Unreachable, "denied"),
        (400, b"<html>proxy</html>", Unavailable, ""),
        (401, b'{"ok":false,"error_code":401,"description":"Unauthorized"}', AccessLost, "token_revoked"),
        (403, b'{"ok":false,"error_code":403,"description":"Forbidden: user is deactivated"}', Unreachable, "blocked"),
        (403, b"<html>blocked here</html>", Unavailable, ""),
        (404, b'{"ok":false,"error_code":404,"description":"Not Found"}', AccessLost, "token_wrong"),
        (405, b'{"ok":false,"description":"Method Not Allowed"}', Rejected, "rejected"),
        (413, b'{"ok":false,"description":"Request Entity Too Large"}', Rejected, "too_large"),
        (429, b"slow down", Unavailable, ""),
        (429, b'{"ok":false,"description":"Too Many Requests"}', Unavailable, ""),
        (500, b'{"ok":false}', Unavailable, ""),
        (503, b"", Unavailable, ""),
        (504, b"<html>Gateway Time-out</html>", Uncertain, ""),
    ],
)
def test_whatever_is_answered_has_a_meaning(
    desk: Desk, ann: Person, status: int, body: bytes, fate: type[Exception] | None, code: str
):
    """Also by gateways and by who stands between: what was refused is not in doubt, and what is in doubt was not refused."""

    async def story() -> None:
        async with answering((status, body)) as url:
            desk.server = url
            sending = desk.channel().send(outbound(ann, "x"))
            if fate is None:
                assert await sending == ""
                return
            error = await refusal(sending)
            assert type(error) is fate
            assert getattr(error, "code", "") == code

    played(story)


def test_where_nobody_listens_nothing_was_sent(desk: Desk, ann: Person):
    """No connection, no doubt."""
    desk.server = f"http://127.0.0.1:{free_port()}"

    assert type(failed(desk, outbound(ann, "x"))) is Unavailable


def test_who_has_blocked_us_is_told(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """And who never wrote, and a group that has thrown us out: each in a word of its own."""
    fake.block(ann, bot)
    bob, group = fake.add_person("Bob"), fake.add_group("Neighbours", bot, by=ann)
    fake.remove(bot, group, ann)

    errors = [failed(desk, outbound(to, "x")) for to in (ann, bob, group)]

    assert [(type(one), one.code) for one in errors] == [(Unreachable, "blocked"), (Unreachable, "denied"), (Unreachable, "left")]


@pytest.mark.parametrize("kind", ["500", "cut_undone", "429"])
def test_what_was_sent_in_part_is_in_doubt_and_says_so(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person, kind: str):
    """The customer has the beginning: an operator decides about the rest."""

    async def story() -> None:
        voice = await desk.keep(FileKind.VOICE, b"OggS")
        fake.fail("sendVoice", kind, bot=bot, seconds=60)
        error = await refusal(desk.channel().send(outbound(ann, "Listen", voice, voice)))
        assert type(error) is Uncertain
        assert str(error).startswith("only 1 of 3 parts were sent: ")
        assert len(fake.sent(bot, ann)) == 1

    played(story)


def test_a_part_waits_for_a_short_pause(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """What has begun is ended, when that takes seconds; the first part would wait in the queue, where it holds up nobody."""

    async def story() -> None:
        voice = await desk.keep(FileKind.VOICE, b"OggS")
        fake.fail("sendVoice", "429", bot=bot, seconds=2)
        await desk.channel().send(outbound(ann, "Listen", voice, voice))
        assert [one.method for one in fake.sent(bot, ann)] == ["sendMessage", "sendVoice", "sendVoice"]
        assert desk.slept == [2.1]

    played(story)


def test_a_pause_is_the_whole_bots(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Nobody else is written to meanwhile; when it is over, everybody is."""
    bob = fake.add_person("Bob")
    fake.start_bot(bob, bot)
    fake.fail("sendMessage", "429", bot=bot, seconds=30)

    async def story() -> None:
        channel = desk.channel()
        await refusal(channel.send(outbound(ann, "x")))
        for attempt in (
            channel.send(outbound(bob, "y")),
            channel.reword(outbound(ann, "y"), f"{ann.id}:1"),
            channel.take_back(f"{ann.id}", f"{ann.id}:1"),
            channel.show_typing(f"{ann.id}", "Bob"),
        ):
            error = await refusal(attempt)
            assert isinstance(error, Unavailable)
            assert error.retry_after == pytest.approx(30.1)
        assert fake.seen(bot).calls.keys() <= {"getUpdates", "sendMessage"}
        assert fake.seen(bot).calls["sendMessage"] == 1
        desk.clock.move(30.2)
        await channel.send(outbound(bob, "y"))

    played(story)


def test_a_group_takes_twenty_a_minute(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Parts and pictures of albums are counted; Telegram never has to say so."""
    group, other = fake.add_group("Neighbours", bot, by=ann), fake.add_group("Others", bot, by=ann)

    async def story() -> None:
        channel = desk.channel(groups=True)
        file = await desk.keep(FileKind.PHOTO, picture())
        for count in (10, 7):
            await channel.send(outbound(group, "", *[file] * count))
            await desk.sleep(2)
        for _ in range(3):
            await channel.send(outbound(group, "x"))
            await desk.sleep(1)
        error = await refusal(channel.send(outbound(group, "y")))
        assert isinstance(error, Unavailable)
        assert error.retry_after == 53.0
        await channel.send(outbound(other, "y"))
        await desk.sleep(53)
        await channel.send(outbound(group, "", *[file] * 10))
        assert len(fake.sent(bot, group)) == 30
        calls = fake.seen(bot).calls
        assert calls["sendMessage"] + calls["sendMediaGroup"] == 7

    played(story)


def test_two_hours_without_telegram_are_made_up_for_in_order_within_the_limits(
    desk: Desk, fake: TelegramFake, bot: Bot, ann: Person
):
    """Everything that waited arrives, each customer's in its order, once, and Telegram never has to ask for a pause."""
    people = [ann, *(fake.add_person(f"P{number}") for number in range(29))]
    for person in people[1:]:
        fake.start_bot(person, bot)
    each, tried = 4, 0

    async def drain() -> None:
        nonlocal tried
        channel = desk.channel()
        # One sender and one transport for all, as in a process; each conversation is stepped by a task of its own.
        sender = desk.sender(channel, MemoryTransport(desk.clock.monotonic))
        while desk.memory.one("SELECT count(*) FROM outbox WHERE state <> 'sent'"):
            ready = desk.memory.read(due)
            if not ready:
                await desk.sleep(5.0)
                tried += 1
            for conversation in ready:
                await sender.step(conversation)
            if tried == 1_440:
                fake.come_up()

    async def story() -> None:
        conversations = [desk.begin(f"{person.id}") for person in people]
        for seq in range(2, 2 + each):
            for conversation in conversations:
                desk.queue(conversation, seq, f"{seq}")
        fake.go_down()
        await drain()

    played(story)

    for person in people:
        assert [one.text for one in fake.sent(bot, person)] == ["2", "3", "4", "5"]
    assert fake.seen(bot).calls["sendMessage"] == len(people) * each
    assert max(desk.slept) <= MINUTE.total_seconds()


def test_many_are_written_to_at_once(desk: Desk, fake: TelegramFake, bot: Bot, ann: Person):
    """Connections are not what limits a bot."""
    fake.set_limits(on=False)
    people = [ann, *(fake.add_person(f"P{number}") for number in range(150))]
    for person in people[1:]:
        fake.start_bot(person, bot)
    fake.fail("sendMessage", "slow", times=len(people), bot=bot, seconds=0.5)

    async def story() -> None:
        channel = desk.channel()
        async with asyncio.timeout(10):
            await asyncio.gather(*(channel.send(outbound(person, "x")) for person in people))

    played(story)
    assert fake.seen(bot).calls["sendMessage"] == len(people)
