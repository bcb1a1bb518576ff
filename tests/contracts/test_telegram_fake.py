"""The fake of the Telegram Bot API keeps what Telegram promises, refuses what Telegram refuses, and goes wrong when told to."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.telegram import ROOT, Bot, BusinessChat, Content, Person, Refusal, TelegramFake, telegram_fake
from tests.support.telegram_schema import ROOM, from_environment

Json = dict[str, Any]

needs_schema = pytest.mark.skipif(
    not os.environ.get(ROOM), reason=f"{ROOM} is not set: there is no published schema to hold calls to"
)


@pytest.fixture(scope="module")
def running() -> Iterator[TelegramFake]:
    """One fake for all: each test has a bot of its own."""
    with telegram_fake() as fake:
        yield fake


@pytest.fixture
def fake(running: TelegramFake) -> Iterator[TelegramFake]:
    """The fake, whole; afterwards it must have found nothing wrong with itself."""
    yield running
    running.come_up()
    running.forget_failures()
    running.start_clock()
    running.set_limits(on=True)
    own = [one for one in running.violations() if one["of"] != "call"]
    running.forget_violations()

    assert [] == own


@pytest.fixture
def bot(fake: TelegramFake) -> Bot:
    """A bot nobody has met."""
    return fake.add_bot()


@pytest.fixture
def ann(fake: TelegramFake, bot: Bot) -> Person:
    """Somebody who has started the bot; it has read so."""
    person = fake.add_person("Ann")
    fake.start_bot(person, bot)
    call(fake, bot, "getUpdates", offset=-1)
    call(fake, bot, "getUpdates", offset=2**31)
    return person


def call(fake: TelegramFake, bot: Bot, method: str, **parameters: Any) -> Json:
    """Return the answer to a call."""
    return fake.call(bot, method, **parameters)


def send(fake: TelegramFake, bot: Bot, chat: Person | int, text: str = "Hello", **parameters: Any) -> Json:
    """Have *bot* send a text."""
    return call(fake, bot, "sendMessage", chat_id=chat.id if isinstance(chat, Person) else chat, text=text, **parameters)


def updates(fake: TelegramFake, bot: Bot, **parameters: Any) -> list[Json]:
    """Return what getUpdates gives."""
    return list(call(fake, bot, "getUpdates", **parameters)["result"])


def picture() -> bytes:
    """Return a small PNG."""
    made = io.BytesIO()
    Image.new("RGB", (320, 200), "teal").save(made, "PNG")
    return made.getvalue()


class Receiver:
    """A server of a bot's: what was posted to it, answered with the *statuses* to come and then with 200."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: deque[int] = deque()
        self.posts: list[tuple[str | None, Json]] = []
        self._came = threading.Condition()

    def take(self, secret: str | None, update: Json) -> int:
        """Keep a post, and return what it is answered with."""
        with self._came:
            self.posts.append((secret, update))
            self._came.notify_all()
            return self.statuses.popleft() if self.statuses else 200

    def texts(self, count: int) -> list[str]:
        """Return the texts that came, once there are so many."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.posts) >= count, 10)
            return [update["message"]["text"] for _, update in self.posts]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Give a server that takes posts."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            update = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(receiver.take(self.headers["X-Telegram-Bot-Api-Secret-Token"], update))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            server.shutdown()


class TestPolling:
    """getUpdates."""

    def test_an_update_comes_until_a_higher_offset_confirms_it(self, fake, bot, ann):
        """A bot that dies before it has stored an update is given it again."""
        for text in ("one", "two"):
            fake.say(ann, bot, text)

        first, second = updates(fake, bot)
        assert [first, second] == updates(fake, bot)
        assert [second] == updates(fake, bot, offset=first["update_id"] + 1)
        assert [second] == updates(fake, bot)
        assert [] == updates(fake, bot, offset=second["update_id"] + 1)

    def test_a_negative_offset_forgets_all_but_the_last(self, fake, bot, ann):
        """As the page says: from the end, and those before are gone."""
        for text in ("one", "two", "three"):
            fake.say(ann, bot, text)

        assert ["three"] == [update["message"]["text"] for update in updates(fake, bot, offset=-1)]
        assert 1 == len(updates(fake, bot))

    def test_limit_is_kept(self, fake, bot, ann):
        """No more than asked for."""
        for text in ("one", "two"):
            fake.say(ann, bot, text)

        assert ["one"] == [update["message"]["text"] for update in updates(fake, bot, limit=1)]

    def test_a_long_poll_is_answered_when_something_comes(self, fake, bot, ann):
        """It does not wait for its time to run out."""
        with ThreadPoolExecutor() as pool:
            polled = pool.submit(updates, fake, bot, timeout=50)
            fake.seen(bot, "getUpdates", at_least=3, begun=True)
            fake.say(ann, bot, "Hello")

            assert ["Hello"] == [update["message"]["text"] for update in polled.result(4)]

    def test_the_older_of_two_pollers_has_a_conflict(self, fake, bot, ann):
        """The newer one goes on."""
        with ThreadPoolExecutor() as pool:
            older = pool.submit(call, fake, bot, "getUpdates", timeout=50)
            fake.seen(bot, "getUpdates", at_least=3, begun=True)
            newer = pool.submit(updates, fake, bot, timeout=50)
            conflict = older.result(4)
            fake.say(ann, bot, "Hello")

            assert 409 == conflict["error_code"]
            assert "Conflict: terminated by other getUpdates request" in conflict["description"]
            assert 1 == len(newer.result(4))

    def test_reactions_come_only_to_who_has_asked_for_them_and_that_lasts(self, fake, bot, ann):
        """`message_reaction` must be listed; a poll that lists nothing leaves the list as it is."""
        message = fake.say(ann, bot, "Hello")
        fake.react(ann, bot, message["message_id"], "👍")
        assert ["message"] == [list(update)[1] for update in updates(fake, bot)]

        updates(fake, bot, allowed_updates=["message_reaction"])
        updates(fake, bot, offset=2**31)
        fake.react(ann, bot, message["message_id"], "🔥")
        fake.say(ann, bot, "Not heard")

        [update] = updates(fake, bot)
        assert ["👍", "🔥"] == [update["message_reaction"][when][0]["emoji"] for when in ("old_reaction", "new_reaction")]

    def test_what_nobody_comes_for_is_forgotten_after_a_day(self, fake, bot, ann):
        """Telegram keeps updates no longer than 24 hours."""
        fake.say(ann, bot, "Hello")
        fake.move_clock(86_401)

        assert [] == updates(fake, bot)


class TestWebhook:
    """setWebhook and what follows."""

    def test_updates_are_posted_in_order_with_the_secret_until_they_are_taken(self, fake, bot, ann):
        """What is not answered with 2xx is posted again, and those behind it wait."""
        with receiving() as server:
            server.statuses.extend([500, 404])
            set_ = call(fake, bot, "setWebhook", url=server.url, secret_token="s3cret_-", allowed_updates=["message"])
            for text in ("one", "two"):
                fake.say(ann, bot, text)
            texts = server.texts(4)
            told = call(fake, bot, "getWebhookInfo")["result"]
            call(fake, bot, "deleteWebhook")

        assert {"ok": True, "result": True, "description": "Webhook was set"} == set_
        assert ["one", "one", "one", "two"] == texts
        assert {"s3cret_-"} == {secret for secret, _ in server.posts}
        assert (server.url, "Wrong response from the webhook: 404 Not Found") == (told["url"], told["last_error_message"])

    def test_a_bot_with_a_webhook_cannot_poll(self, fake, bot):
        """409 until it is deleted."""
        call(fake, bot, "setWebhook", url="http://127.0.0.1:9/")
        refused = call(fake, bot, "getUpdates")
        call(fake, bot, "deleteWebhook")

        assert 409 == refused["error_code"]
        assert [] == updates(fake, bot)

    def test_what_a_webhook_has_not_taken_is_there_for_a_poll(self, fake, bot, ann):
        """Nothing is lost on the way back, unless it is asked for."""
        call(fake, bot, "setWebhook", url="http://127.0.0.1:9/")
        fake.say(ann, bot, "Hello")
        call(fake, bot, "deleteWebhook")
        kept = len(updates(fake, bot))
        call(fake, bot, "deleteWebhook", drop_pending_updates=True)

        assert (1, 0) == (kept, len(updates(fake, bot)))

    def test_a_secret_of_other_characters_is_refused(self, fake, bot):
        """Letters, digits, _ and - only."""
        refused = call(fake, bot, "setWebhook", url="http://127.0.0.1:9/", secret_token="тайна")

        assert "Bad Request: secret token contains unallowed characters" == refused["description"]


REFUSED: dict[str, tuple[Json, str]] = {
    "no text": ({"text": " \n"}, "Bad Request: message text is empty"),
    "too long": ({"text": "😀" * 2049}, "Bad Request: message is too long"),
    "an open tag": (
        {"text": "<b>bold", "parse_mode": "HTML"},
        "Bad Request: can't parse entities: Can't find end tag corresponding to start tag \"b\"",
    ),
    "an unknown tag": (
        {"text": "å<br>", "parse_mode": "HTML"},
        'Bad Request: can\'t parse entities: Unsupported start tag "br" at byte offset 2',
    ),
    "a bare sign": (
        {"text": "1 < 2", "parse_mode": "HTML"},
        "Bad Request: can't parse entities: Unclosed start tag at byte offset 2",
    ),
    "tags crossed": (
        {"text": "<b><i>x</b></i>", "parse_mode": "HTML"},
        'Bad Request: can\'t parse entities: Unmatched end tag at byte offset 7, expected "</i>", found "</b>"',
    ),
    "an unknown chat": ({"chat_id": 404}, "Bad Request: chat not found"),
    "no chat": ({"chat_id": ""}, "Bad Request: chat_id is empty"),
    "a reply to nothing": ({"reply_parameters": {"message_id": 4040}}, "Bad Request: message to be replied not found"),
    "a long button": (
        {"reply_markup": {"inline_keyboard": [[{"text": "x", "callback_data": "é" * 33}]]}},
        "Bad Request: BUTTON_DATA_INVALID",
    ),
    "an unknown topic": ({"message_thread_id": 7}, "Bad Request: message thread not found"),
}


class TestSending:
    """What is sent arrives; what Telegram refuses is refused in its words."""

    @pytest.mark.parametrize("case", REFUSED)
    def test_it_is_refused(self, fake, bot, ann, case):
        """With 400 and the real sentence, and nothing is sent."""
        parameters, sentence = REFUSED[case]

        assert sentence == call(fake, bot, "sendMessage", **{"chat_id": ann.id, "text": "Hello"} | parameters)["description"]
        assert [] == fake.sent(bot, ann)

    def test_length_is_counted_after_the_entities_are_parsed(self, fake, bot, ann):
        """4096 UTF-16 units of what is shown."""
        assert send(fake, bot, ann, f"<b>{'&lt;' * 4094}😀</b>", parse_mode="HTML")["ok"]

    def test_html_becomes_text_and_entities_in_utf_16_units(self, fake, bot, ann):
        """An emoji is two of them."""
        message = send(fake, bot, ann, '😀 <b>a<i>b</i></b> <a href="https://x.test/?a=1&amp;b=2">c</a>', parse_mode="HTML")[
            "result"
        ]

        assert "😀 ab c" == message["text"]
        assert [("bold", 3, 2), ("italic", 4, 1), ("text_link", 6, 1)] == [
            (entity["type"], entity["offset"], entity["length"]) for entity in message["entities"]
        ]

    def test_every_way_to_pass_parameters_is_understood(self, fake, bot, ann):
        """JSON, the query, a form with and without parts; names of methods in any case."""
        url, client = f"/bot{bot.token}", fake.bots_client
        given = {"chat_id": str(ann.id), "text": "Hello"}
        answers = [
            client.post(f"{url}/sendMessage", json=given),
            client.get(f"{url}/sendMessage", params=given),
            client.post(f"{url}/SENDMESSAGE", data=given),
            client.post(f"{url}/sendmessage", files={name: (None, value) for name, value in given.items()}),
        ]

        assert [200] * 4 == [answer.status_code for answer in answers]
        assert ["Hello"] * 4 == [one.text for one in fake.sent(bot, ann)]

    def test_a_wrong_token_is_refused(self, fake, bot):
        """401 for one that never was and one that was revoked."""
        fake.revoke(bot)
        for token in (bot.token, "1:x"):
            assert {"ok": False, "error_code": 401, "description": "Unauthorized"} == call(fake, Bot(token, 0, ""), "getMe")

    def test_who_never_started_the_bot_and_who_blocked_it_cannot_be_written_to(self, fake, bot, ann):
        """403, until they want to."""
        stranger = fake.add_person("Zoe")
        fake.block(ann, bot)
        refused = [send(fake, bot, who)["description"] for who in (stranger, ann)]
        fake.unblock(ann, bot)

        assert ["Forbidden: bot can't initiate conversation with a user", "Forbidden: bot was blocked by the user"] == refused
        assert send(fake, bot, ann)["ok"]
        assert ["kicked", "member"] == [update["my_chat_member"]["new_chat_member"]["status"] for update in updates(fake, bot)]

    def test_a_group_that_was_upgraded_says_where_it_is(self, fake, bot, ann):
        """400 with the number of the supergroup, which works."""
        group = fake.add_group("Friends", bot, kind="group")
        new = fake.migrate(group, ann)
        refused = send(fake, bot, group)

        assert ("Bad Request: group chat was upgraded to a supergroup chat", {"migrate_to_chat_id": new}) == (
            refused["description"],
            refused["parameters"],
        )
        assert send(fake, bot, new)["ok"]
        assert [new, group] == [
            update["message"].get("migrate_to_chat_id") or update["message"]["migrate_from_chat_id"]
            for update in updates(fake, bot)
        ]

    def test_a_lost_reply_may_be_sent_without(self, fake, bot, ann):
        """allow_sending_without_reply."""
        sent = send(fake, bot, ann, reply_parameters={"message_id": 4040, "allow_sending_without_reply": True})

        assert sent["ok"]
        assert "reply_to_message" not in sent["result"]

    def test_a_reply_shows_what_it_replies_to(self, fake, bot, ann):
        """And what is quoted of it."""
        asked = fake.say(ann, bot, "When? Where?")
        reply = {"message_id": asked["message_id"], "quote": "Where?"}
        sent = send(fake, bot, ann, "Here", reply_parameters=reply)["result"]

        assert ("When? Where?", 6) == (sent["reply_to_message"]["text"], sent["quote"]["position"])
        assert reply == fake.sent(bot, ann)[0].reply

    def test_an_edit_is_seen_with_what_was_before(self, fake, bot, ann):
        """A keyboard that is not sent again is gone."""
        keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "yes"}]]}
        number = send(fake, bot, ann, "Old", reply_markup=keyboard)["result"]["message_id"]
        again = call(fake, bot, "editMessageText", chat_id=ann.id, message_id=number, text="Old", reply_markup=keyboard)
        edited = call(fake, bot, "editMessageText", chat_id=ann.id, message_id=number, text="New")["result"]
        [posted] = fake.sent(bot, ann)

        assert again["description"].startswith("Bad Request: message is not modified: ")
        assert ("New", ["Old"], []) == (posted.text, [one["text"] for one in posted.versions], posted.buttons)
        assert "edit_date" in edited

    def test_only_what_is_the_bots_own_can_be_edited(self, fake, bot, ann):
        """And only what is there."""
        theirs = fake.say(ann, bot, "Mine")["message_id"]
        answers = [call(fake, bot, "editMessageText", chat_id=ann.id, message_id=number, text="x") for number in (theirs, 4040)]

        assert ["Bad Request: message can't be edited", "Bad Request: message to edit not found"] == [
            answer["description"] for answer in answers
        ]

    def test_what_is_deleted_cannot_be_deleted_again(self, fake, bot, ann):
        """Nor what has been there for two days."""
        first, second = (send(fake, bot, ann)["result"]["message_id"] for _ in range(2))
        answers = [call(fake, bot, "deleteMessage", chat_id=ann.id, message_id=first) for _ in range(2)]
        fake.move_clock(48 * 3600 + 1)
        late = call(fake, bot, "deleteMessage", chat_id=ann.id, message_id=second)

        assert [None, "Bad Request: message to delete not found"] == [answer.get("description") for answer in answers]
        assert "Bad Request: message can't be deleted" == late["description"]
        assert [True, False] == [one.deleted for one in fake.sent(bot, ann)]

    def test_a_query_is_answered_once_and_in_time(self, fake, bot, ann):
        """Later, again, or another's: it is too old or not valid."""
        keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "yes"}]]}
        number = send(fake, bot, ann, "Is it?", reply_markup=keyboard)["result"]["message_id"]
        prompt, late = (fake.press(ann, bot, number, "yes") for _ in range(2))
        answers = [call(fake, bot, "answerCallbackQuery", callback_query_id=prompt, text="Thanks") for _ in range(2)]
        fake.move_clock(3600)
        answers.append(call(fake, bot, "answerCallbackQuery", callback_query_id=late))

        assert [True, False, False] == [answer["ok"] for answer in answers]
        assert answers[1]["description"].startswith("Bad Request: query is too old")
        assert ["Thanks"] == [answer["text"] for answer in fake.seen(bot).answers.values()]

    def test_what_else_a_bot_does_is_seen(self, fake, bot, ann):
        """Forwards and copies, places, contacts, chat actions, reactions, commands, deletions of many; results are held to the schema."""
        asked = fake.say(ann, bot, "Where?")["message_id"]
        known = {"chat_id": ann.id, "message_id": asked}
        answers = [
            call(fake, bot, "forwardMessage", from_chat_id=ann.id, **known),
            call(fake, bot, "copyMessage", from_chat_id=ann.id, **known),
            call(fake, bot, "sendLocation", chat_id=ann.id, latitude=1.5, longitude=2),
            call(fake, bot, "sendContact", chat_id=ann.id, phone_number="+4912345", first_name="Shop"),
            call(fake, bot, "sendChatAction", chat_id=ann.id, action="typing"),
            call(fake, bot, "setMessageReaction", reaction=[{"type": "emoji", "emoji": "👍"}], **known),
            call(fake, bot, "setMyCommands", commands=[{"command": "help", "description": "Help"}]),
            call(fake, bot, "deleteMessages", chat_id=ann.id, message_ids=[asked + 1, 4040]),
            call(fake, bot, "getChat", chat_id=ann.id),
        ]
        room, seen = fake.room(bot, ann), fake.seen(bot)

        assert [True] * 9 == [answer["ok"] for answer in answers]
        assert ["Where?", "Where?", "Where?", "", ""] == [one.text for one in room[1:]]
        assert ({bot.id: ["👍"]}, True) == (room[1].reactions, room[2].deleted)
        assert ["typing"] == [action["action"] for action in seen.actions]
        assert ["help"] == [command["command"] for command in seen.commands]

    def test_a_bot_that_was_thrown_out_of_a_group_cannot_write_there(self, fake, bot, ann):
        """403, and it is told."""
        group = fake.add_group("Friends", bot, by=ann)
        fake.remove(bot, group, ann)
        fake.say(ann, group, "He is gone")

        assert "Forbidden: bot was kicked from the supergroup chat" == send(fake, bot, group)["description"]
        assert ["member", "kicked"] == [update["my_chat_member"]["new_chat_member"]["status"] for update in updates(fake, bot)]


class TestFiles:
    """Files both ways."""

    def test_a_persons_file_is_had_by_its_path(self, fake, bot, ann):
        """The path from getFile is good for an hour."""
        sent = fake.send_file(ann, bot, Content("document", b"words", "письмо.txt", "text/plain", caption="See"))
        file = call(fake, bot, "getFile", file_id=sent["document"]["file_id"])["result"]
        url = f"{fake.url}/file/bot{bot.token}/{file['file_path']}"
        fetched = fake.bots_client.get(url)
        fake.move_clock(3601)

        assert (b"words", 5) == (fetched.content, file["file_size"])
        assert 404 == fake.bots_client.get(url).status_code

    def test_a_file_above_20_mb_cannot_be_had(self, fake, bot, ann):
        """Bots download no more; the message comes all the same."""
        sent = fake.send_file(ann, bot, Content("video", b"x", size=20 * 1024 * 1024 + 1))

        assert "Bad Request: file is too big" == call(fake, bot, "getFile", file_id=sent["video"]["file_id"])["description"]

    @pytest.mark.parametrize("kind", ["photo", "video", "voice", "audio", "video_note", "animation", "document", "sticker"])
    def test_every_kind_goes_both_ways(self, fake, bot, ann, kind):
        """A person sends it; the bot sends it as an upload, and once more by its id."""
        content = picture()
        fake.send_file(ann, bot, Content(kind, content, f"one.{kind}"))
        method = "send" + kind.title().replace("_", "")
        sent = call(fake, bot, method, chat_id=ann.id, files={kind: (f"one.{kind}", content)})["result"]
        file = sent[kind][-1] if kind == "photo" else sent[kind]
        call(fake, bot, method, chat_id=ann.id, **{kind: file["file_id"]})

        assert [hashlib.sha256(content).hexdigest()] * 3 == [one.files[0].sha256 for one in fake.room(bot, ann) if one.files]

    def test_an_upload_above_50_mb_is_refused(self, fake, bot, ann):
        """413, before it is read."""
        refused = call(fake, bot, "sendDocument", chat_id=ann.id, files={"document": ("big", b"\0" * (50 * 1024 * 1024 + 1))})

        assert (413, "Request Entity Too Large") == (refused["error_code"], refused["description"])

    def test_what_is_no_picture_is_no_photo(self, fake, bot, ann):
        """And a caption has 1024 units."""
        broken = call(fake, bot, "sendPhoto", chat_id=ann.id, files={"photo": ("x.jpg", b"words")})
        wordy = call(fake, bot, "sendPhoto", chat_id=ann.id, caption="x" * 1025, files={"photo": ("x.png", picture())})

        assert "Bad Request: IMAGE_PROCESS_FAILED" == broken["description"]
        assert "Bad Request: message caption is too long" == wordy["description"]

    def test_an_album_is_several_updates_of_one_group(self, fake, bot, ann):
        """Nothing says how many there will be."""
        fake.send_album(ann, bot, Content("photo", picture(), caption="Two"), Content("photo", picture()))

        groups = [update["message"]["media_group_id"] for update in updates(fake, bot)]
        assert (2, 1) == (len(groups), len(set(groups)))

    def test_a_persons_pictures_are_had(self, fake, bot):
        """The newest first."""
        zoe = fake.add_person("Zoe", avatars=[picture()])
        photos = call(fake, bot, "getUserProfilePhotos", user_id=zoe.id)["result"]

        assert (1, 320) == (photos["total_count"], photos["photos"][0][-1]["width"])


class TestLimits:
    """How often a bot may send, by a clock that the test moves."""

    def test_one_a_second_to_a_chat_after_a_short_burst(self, fake, bot, ann):
        """The refusal says how long to wait, and then it works."""
        fake.stop_clock()
        burst = [send(fake, bot, ann)["ok"] for _ in range(5)]
        refused = send(fake, bot, ann)
        fake.move_clock(1)

        assert [True] * 5 == burst
        assert (429, "Too Many Requests: retry after 1", {"retry_after": 1}) == (
            refused["error_code"],
            refused["description"],
            refused["parameters"],
        )
        assert [True, False] == [send(fake, bot, ann)["ok"] for _ in range(2)]

    def test_thirty_a_second_of_one_bot(self, fake, bot):
        """Over all its chats; another bot is not concerned."""
        people = [fake.add_person() for _ in range(31)]
        other = fake.add_bot("other_bot")
        for person in people:
            fake.start_bot(person, bot)
        fake.start_bot(people[-1], other)
        fake.stop_clock()
        sent = [send(fake, bot, person)["ok"] for person in people]

        assert [True] * 30 + [False] == sent
        assert send(fake, other, people[-1])["ok"]
        fake.move_clock(1)
        assert send(fake, bot, people[-1])["ok"]

    def test_twenty_a_minute_to_a_group(self, fake, bot):
        """However slowly."""
        group = fake.add_group("Friends", bot)
        fake.stop_clock()
        answers = []
        for _ in range(21):
            answers.append(send(fake, bot, group))
            fake.move_clock(2)

        assert [True] * 20 + [False] == [answer["ok"] for answer in answers]
        assert 20 == answers[-1]["parameters"]["retry_after"]


class TestPeople:
    """What people do is told as Telegram tells it. (Each update is held against the schema by the fake itself.)"""

    def test_all_they_can_say(self, fake, bot, ann):
        """Places, contacts, forwards, replies, edits, and a link with a payload."""
        zoe = fake.add_person("Zoe")
        answer = send(fake, bot, ann, "Which one?")["result"]
        first = fake.start_bot(ann, bot, "site_42")
        fake.say(ann, bot, location={"latitude": 1.5, "longitude": 2.5})
        fake.say(ann, bot, venue={"location": {"latitude": 1.5, "longitude": 2.5}, "title": "Café", "address": "1 Street"})
        fake.say(ann, bot, contact={"phone_number": "+4912345", "first_name": "Ann", "user_id": ann.id})
        fake.say(ann, bot, "She said", forwarded=zoe)
        fake.say(ann, bot, "They said", forwarded="Somebody")
        fake.say(ann, bot, "This", reply_to=answer["message_id"], quote="one")
        fake.edit(ann, bot, first["message_id"], "/start site_43")
        messages = [update.get("message") or update["edited_message"] for update in updates(fake, bot)]

        assert "/start site_42" == messages[0]["text"]
        assert ["user", "hidden_user"] == [one["forward_origin"]["type"] for one in messages if "forward_origin" in one]
        assert bot.id == messages[6]["reply_to_message"]["from"]["id"]
        assert ("/start site_43", first["message_id"]) == (messages[7]["text"], messages[7]["message_id"])

    def test_topics_of_a_forum(self, fake, bot, ann):
        """What is said in one bears its thread, and passes for a reply to its opening."""
        forum = fake.add_group("Forum", bot, forum=True)
        topic = fake.add_topic(forum, ann, "Prices")
        said = fake.say(ann, forum, "How much?", thread=topic)
        sent = send(fake, bot, forum, "Ten", message_thread_id=topic)["result"]

        assert {(topic, True)} == {(one["message_thread_id"], one["is_topic_message"]) for one in (said, sent)}
        assert "forum_topic_created" in said["reply_to_message"]

    def test_a_business_account(self, fake, bot):
        """Its customers are answered through the connection, as far as its rights go."""
        owner, customer = fake.add_person("Olga"), fake.add_person("Carl")
        connection = fake.connect(bot, owner)
        chat = BusinessChat(connection, customer)
        asked = fake.say(customer, chat, "Is it open?")
        fake.edit(customer, chat, asked["message_id"], "Is it open today?")
        sent = send(fake, bot, customer, "Yes", business_connection_id=connection.id)["result"]
        call(fake, bot, "readBusinessMessage", business_connection_id=connection.id, chat_id=customer.id, message_id=1)
        fake.delete(customer, chat, asked["message_id"])
        fake.connect(bot, owner, rights=["can_read_messages"])

        kinds = [list(update)[1] for update in updates(fake, bot)]
        assert [
            "business_connection",
            "business_message",
            "edited_business_message",
            "deleted_business_messages",
            "business_connection",
        ] == kinds
        assert (owner.id, bot.id) == (sent["from"]["id"], sent["sender_business_bot"]["id"])
        assert [True, False] == [one.read for one in fake.room(bot, chat)]
        assert not send(fake, bot, customer, "More", business_connection_id=connection.id)["ok"]

    def test_what_cannot_be_done_is_the_tests_mistake(self, fake, bot, ann):
        """A button that is not there cannot be pressed."""
        number = send(fake, bot, ann)["result"]["message_id"]

        with pytest.raises(Refusal, match="no button"):
            fake.press(ann, bot, number, "yes")


@needs_schema
class TestSchema:
    """Calls are held against what Telegram has published."""

    def complaints(self, fake: TelegramFake) -> list[str]:
        """Return what there is to complain of."""
        return [one["complaint"] for one in fake.violations()]

    def test_a_call_that_is_right_is_not_complained_of(self, fake, bot, ann):
        """In JSON and in a form, with an upload that is spoken of."""
        send(fake, bot, ann, disable_notification=True, link_preview_options={"is_disabled": True})
        media = '[{"type":"photo","media":"attach://a"},{"type":"photo","media":"attach://b","caption":"x"}]'
        files = {"a": ("a.png", picture()), "b": ("b.png", picture())}
        call(fake, bot, "sendMediaGroup", chat_id=str(ann.id), media=media, files=files)

        assert [] == fake.violations()

    def test_a_parameter_that_does_not_exist_is_ignored_and_found(self, fake, bot, ann):
        """Telegram says nothing; the test must learn it."""
        answer = send(fake, bot, ann, reply_to_message_id=1, reply_parameters={"message_id": 1, "qoute": "x"})

        assert answer["ok"]
        assert [
            "sendMessage has no parameter reply_to_message_id",
            "sendMessage reply_parameters has qoute, which ReplyParameters does not",
        ] == self.complaints(fake)

    def test_what_is_missing_or_of_another_type_is_found(self, fake, bot, ann):
        """Also deep inside, and uploads nobody speaks of."""
        call(fake, bot, "deleteMessage", chat_id=ann.id)
        send(fake, bot, ann, disable_notification="perhaps", reply_markup={"inline_keyboard": [{"text": "x"}]})
        call(fake, bot, "sendDocument", chat_id=ann.id, document="attach://a", files={"b": ("b", b"x")})

        assert [
            "deleteMessage was called without message_id",
            'sendMessage disable_notification is "perhaps", not of the type Boolean',
            'sendMessage reply_markup.inline_keyboard[0] is {"text": "x"}, not an array',
            "sendDocument speaks of the upload a, which is not there",
            "sendDocument came with the upload b, of which it does not speak",
        ] == self.complaints(fake)

    def test_an_update_that_telegram_would_not_send_is_not_sent(self, fake, bot, ann):
        """The fake takes the blame: the test fails where it asked for it, and nothing reaches the bot."""
        with pytest.raises(Refusal, match="has no phone_number"):
            fake.say(ann, bot, contact={"first_name": "Ann"})

        assert ["update"] == [one["of"] for one in fake.violations()]
        assert [] == updates(fake, bot)
        fake.forget_violations()

    def test_a_union_is_told_apart_by_its_type(self):
        """The complaint is about the type that was meant."""
        schema = from_environment()
        assert schema is not None

        assert ["MessageOrigin has no sender_user"] == schema.of("MessageOrigin", {"type": "user", "date": 1})
        assert [] == schema.of("MessageOrigin", {"type": "hidden_user", "date": 1, "sender_user_name": "x"})

    def test_an_unknown_method_is_not_found_and_one_unknown_here_says_so(self, fake, bot):
        """404 as Telegram has it; 501 is a fault of the fake."""
        assert [404, 501] == [call(fake, bot, method)["error_code"] for method in ("sendMesage", "getMyName")]
        assert ["call", "fake"] == [one["of"] for one in fake.violations()]
        fake.forget_violations()


class TestFailures:
    """What goes wrong on order."""

    def test_errors_of_the_server(self, fake, bot, ann):
        """So many times, and then it works; nothing was sent by those that failed."""
        fake.fail("sendMessage", "429", bot=bot, seconds=7)
        fake.fail("sendMessage", "500", bot=bot)
        answers = [send(fake, bot, ann) for _ in range(3)]

        assert [429, 500, None] == [answer.get("error_code") for answer in answers]
        assert {"retry_after": 7} == answers[0]["parameters"]
        assert 1 == len(fake.sent(bot, ann))
        assert 3 == fake.seen(bot).calls["sendMessage"]

    @pytest.mark.parametrize(("kind", "sent"), [("cut_unread", 0), ("cut_undone", 0), ("cut_done", 1)])
    def test_a_wire_that_is_cut(self, fake, bot, ann, kind, sent):
        """The caller cannot tell whether it was sent; the test can."""
        fake.fail("sendMessage", kind, bot=bot)
        with pytest.raises(httpx.TransportError):
            send(fake, bot, ann)

        assert sent == len(fake.sent(bot, ann))

    def test_an_answer_that_is_late(self, fake, bot, ann):
        """It was sent, and the caller has gone."""
        fake.fail("sendMessage", "slow", bot=bot, seconds=30)
        with pytest.raises(httpx.ReadTimeout):
            fake.bots_client.post(f"/bot{bot.token}/sendMessage", json={"chat_id": ann.id, "text": "x"}, timeout=0.1)

        assert 1 == len(fake.sent(bot, ann))

    def test_what_is_not_json(self, fake, bot):
        """A page, with 200 or 502."""
        for kind, status in (("not_json", 200), ("502", 502)):
            fake.fail("getMe", kind, bot=bot)
            answer = fake.bots_client.get(f"/bot{bot.token}/getMe")

            assert (status, "text/html") == (answer.status_code, answer.headers["content-type"].partition(";")[0])

    def test_it_goes_down_and_comes_up_where_it_was(self, fake, bot, ann):
        """Whoever waits for an answer is cut off; what was not confirmed is still there."""
        fake.say(ann, bot, "Hello")
        url, client = f"/bot{bot.token}/getMe", fake.bots_client
        client.get(url)
        fake.go_down()
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                client.get(url)
        fake.come_up()
        assert 200 == client.get(url).status_code
        fake.go_down("502")
        assert 502 == client.get(url).status_code
        fake.come_up()

        assert 1 == len(updates(fake, bot))


def test_a_library_of_others_works_with_it(fake, bot, ann):
    """With aiogram: it polls, sends, edits, sends an album, downloads, sets a webhook; and the fake finds nothing odd in its calls."""
    aiogram = pytest.importorskip("aiogram")
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer
    from aiogram.exceptions import TelegramForbiddenError, TelegramRetryAfter
    from aiogram.types import BufferedInputFile, InputMediaPhoto

    async def story() -> None:
        session = AiohttpSession(api=TelegramAPIServer.from_base(fake.url))
        async with aiogram.Bot(bot.token, session=session) as client:
            assert bot.username == (await client.get_me()).username
            fake.send_file(ann, bot, Content("document", b"words", "письмо.txt"))
            [update] = await client.get_updates(timeout=10, allowed_updates=["message"])
            assert update.message.from_user.full_name == "Ann"
            assert b"words" == (await client.download(update.message.document)).read()
            sent = await client.send_message(ann.id, "<b>Hello</b>", parse_mode="HTML", reply_parameters=None)
            assert "<b>Hello</b>" == sent.html_text
            edited = await client.edit_message_text("Bye", chat_id=ann.id, message_id=sent.message_id)
            assert "Bye" == edited.text
            media = [InputMediaPhoto(media=BufferedInputFile(picture(), f"{number}.png")) for number in range(2)]
            album = await client.send_media_group(ann.id, media)
            assert 1 == len({one.media_group_id for one in album})
            assert await client.set_webhook("http://127.0.0.1:9/", secret_token="s3cret")
            assert "http://127.0.0.1:9/" == (await client.get_webhook_info()).url
            assert await client.delete_webhook()
            fake.fail("sendMessage", "429", bot=bot, seconds=3)
            with pytest.raises(TelegramRetryAfter):
                await client.send_message(ann.id, "x")
            fake.block(ann, bot)
            with pytest.raises(TelegramForbiddenError):
                await client.send_message(ann.id, "x")

    asyncio.run(story())

    assert [] == fake.violations()


def test_it_ends_with_its_standard_input(tmp_path):
    """A test that was killed leaves no fake behind."""
    command = [sys.executable, "-m", "tests.support.telegram_fake", "--folder", str(tmp_path)]
    ended = subprocess.run(
        command, cwd=ROOT, input=b"", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30, check=True
    )

    assert {"port", "control_port"} == json.loads(ended.stdout).keys()
