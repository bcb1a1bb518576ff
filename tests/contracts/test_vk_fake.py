"""The fake of VK keeps the promises of VK's API that a channel lives by: resuming, refusing, saying everything again until it is heard."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import jconfig
import pytest
import requests
from PIL import Image
from requests.adapters import HTTPAdapter
from vk_api import ApiError, Captcha, VkUpload
from vk_api.bot_longpoll import VkBotLongPoll
from vk_api.vk_api import VkApiGroup

from tests.support.vk import ROOT, VkCommunity, VkFake, doc, photo, schemas_are_here, thing, vk_fake, voice

Json = dict[str, Any]

ANN = 7
NEEDS_SCHEMAS = pytest.mark.skipif(
    not schemas_are_here(), reason="OMNILINE_SCHEMAS is not set: there is nothing to hold calls against"
)
KEYBOARD: Json = {"inline": True, "buttons": [[{"action": {"type": "callback", "label": "Yes", "payload": '{"yes":1}'}}]]}


@pytest.fixture(scope="module")
def one_fake() -> Iterator[VkFake]:
    """A process for all tests of the module."""
    with vk_fake() as fake:
        yield fake


@pytest.fixture
def fake(one_fake: VkFake) -> Iterator[VkFake]:
    """The fake with nobody in it; it has done nothing wrong by the end."""
    one_fake.reset()
    yield one_fake
    one_fake.check()


@pytest.fixture
def shop(fake: VkFake) -> VkCommunity:
    """A community to which Ann has written once."""
    shop = fake.community(1001)
    fake.person(ANN)
    shop.write(ANN, "hello")
    return shop


class Poller:
    """A client of the long poll that does what the protocol says and no more."""

    def __init__(self, shop: VkCommunity, wait_seconds: int = 0) -> None:
        self.shop = shop
        self.ts = ""
        self.wait_seconds = wait_seconds
        self.begin()

    def begin(self, *, keep_ts: bool = False) -> None:
        """Ask for a server."""
        found = self.shop.call("groups.getLongPollServer", group_id=self.shop.id)["response"]
        self.server, self.key = found["server"], found["key"]
        self.ts = self.ts if keep_ts else found["ts"]

    def ask(self) -> Json:
        """Return the answer to one poll, from where the last one with updates ended."""
        asked = {"act": "a_check", "key": self.key, "ts": self.ts, "wait": self.wait_seconds}
        answer: Json = httpx.get(self.server, params=asked, timeout=20).json()
        if "updates" in answer:
            self.ts = answer["ts"]
        return answer

    def kinds(self) -> list[str]:
        """Return the types of the events of one poll."""
        return [event["type"] for event in self.ask()["updates"]]


def code(answer: Json) -> int:
    """Return the error's code; 0: there is none."""
    return int(answer.get("error", {}).get("error_code", 0))


def send(shop: VkCommunity, **parameters: Any) -> Json:
    """Return the whole answer to messages.send to Ann, with what differs from a plain message."""
    return shop.call("messages.send", **({"peer_id": ANN, "random_id": 0, "message": "hi"} | parameters))


def picture(width: int = 900, height: int = 300) -> bytes:
    """Return a JPEG."""
    content = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(content, "JPEG")
    return content.getvalue()


# --- long poll


def test_a_poll_goes_on_from_its_ts(shop):
    """What came after the ts of a poll is in its answer, in order, and not in the next one's."""
    poller = Poller(shop)
    shop.write(ANN, "one")
    shop.write(ANN, "two")
    texts = [event["object"]["message"]["text"] for event in poller.ask()["updates"]]
    rest = poller.ask()

    assert (["one", "two"], []) == (texts, rest["updates"])


def test_an_old_ts_brings_the_same_events_again(shop):
    """Whoever was not able to keep what came asks with the old ts, and gets it under the same event_id."""
    poller = Poller(shop)
    before = poller.ts
    shop.write(ANN, "one")
    first = poller.ask()["updates"]
    poller.ts = before

    assert first == poller.ask()["updates"]


def test_a_ts_is_text(shop):
    """A client that counts on a number is found out."""
    poller = Poller(shop)

    assert [str, str] == [type(poller.ts), type(poller.ask()["ts"])]


def test_a_waiting_poll_is_answered_at_once_when_something_comes(shop):
    """The wait is an upper bound."""
    poller = Poller(shop, wait_seconds=15)
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(poller.kinds)
        shop.type(ANN)
        kinds = waiting.result()

    assert ["message_typing_state"] == kinds
    assert time.monotonic() - began < 10


def test_failed_1_tells_where_to_go_on(shop):
    """The history is lost: what was in it never comes, what is new does."""
    poller = Poller(shop)
    shop.write(ANN, "lost")
    shop.fail_long_poll(1)
    failed = poller.ask()
    shop.write(ANN, "new")
    poller.ts = failed["ts"]

    assert 1 == failed["failed"]
    assert ["new"] == [event["object"]["message"]["text"] for event in poller.ask()["updates"]]


def test_a_waiting_poll_hears_that_the_history_is_lost(shop):
    """It is not left waiting for what never comes."""
    poller = Poller(shop, wait_seconds=15)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(poller.ask)
        shop.fail_long_poll(1)
        failed = waiting.result()

    assert {"failed": 1, "ts": str(shop.polls()["newest"])} == failed


def test_failed_2_wants_a_new_key_and_keeps_the_place(shop):
    """Nothing is lost with a key."""
    poller = Poller(shop)
    shop.fail_long_poll(2)
    shop.write(ANN, "one")
    failed = poller.ask()
    poller.begin(keep_ts=True)

    assert {"failed": 2} == failed
    assert ["message_new"] == poller.kinds()


def test_failed_3_wants_a_new_key_and_a_new_place(shop):
    """The old place is good no more even under a new key."""
    poller = Poller(shop)
    shop.fail_long_poll(3)
    failed = poller.ask()
    poller.begin(keep_ts=True)
    still = poller.ask()
    poller.begin()
    shop.write(ANN, "one")

    assert [3, 1] == [failed["failed"], still["failed"]]
    assert ["message_new"] == poller.kinds()


def test_a_failure_that_nobody_knows_passes(shop):
    """Numbers that are not in the book come as often as asked for, and lose nothing."""
    poller = Poller(shop)
    shop.fail_long_poll(4, times=2)
    shop.write(ANN, "one")

    assert [4, 4] == [poller.ask()["failed"], poller.ask()["failed"]]
    assert ["message_new"] == poller.kinds()


def test_a_ts_from_the_future_is_refused(shop):
    """A place that never was is as bad as one that is gone."""
    poller = Poller(shop)
    poller.ts = "1000000"

    assert 1 == poller.ask()["failed"]


def test_everything_people_do_is_told(shop):
    """Each deed has its event."""
    send(shop, keyboard=json.dumps(KEYBOARD))
    poller = Poller(shop)
    shop.edit(ANN, 1, "hello!")
    shop.press(ANN, "Yes")
    shop.type(ANN)
    shop.read(ANN)
    shop.react(ANN, 2)
    shop.deny(ANN)
    shop.allow(ANN, "site")

    assert [
        "message_edit",
        "message_event",
        "message_typing_state",
        "message_read",
        "message_reaction_event",
        "message_deny",
        "message_allow",
    ] == poller.kinds()


def test_only_events_that_are_on_are_told(fake):
    """A channel that does not switch its events on hears of new messages alone."""
    shop = fake.community(long_poll=[])
    fake.person(ANN)
    poller = Poller(shop)
    shop.type(ANN)
    shop.write(ANN, "one")
    shop.call("groups.setLongPollSettings", group_id=shop.id, message_typing_state=1, message_new=0)
    shop.type(ANN)
    shop.write(ANN, "two")

    assert ["message_new", "message_typing_state"] == poller.kinds()


def test_there_is_no_server_until_the_long_poll_is_on(fake):
    """A new community has it off."""
    shop = fake.community(long_poll=False)
    off = shop.call("groups.getLongPollServer", group_id=shop.id)
    shop.call("groups.setLongPollSettings", group_id=shop.id, enabled=1, api_version="5.199")

    assert 100 == code(off)
    assert "response" in shop.call("groups.getLongPollServer", group_id=shop.id)


def test_what_is_no_event_stands_among_events(shop):
    """A malformed event comes as it is, and its neighbours are whole."""
    poller = Poller(shop)
    shop.emit({"type": "message_new", "object": None})
    shop.write(ANN, "one")

    assert [None, dict] == [(event["object"] and type(event["object"])) for event in poller.ask()["updates"]]


def test_an_event_that_is_told_twice_has_one_id(shop):
    """What is the same event can be known by event_id."""
    poller = Poller(shop)
    shop.write(ANN, "one")
    shop.again()
    first, second = poller.ask()["updates"]

    assert first["event_id"] == second["event_id"]


# --- sending


def test_a_random_id_sends_once(shop):
    """The same number to the same peer is the same message, whatever else differs; zero is never the same."""
    first, again = send(shop, random_id=5, message="a"), send(shop, random_id=5, message="b")
    plain = [send(shop)["response"], send(shop)["response"]]

    assert first == again
    assert 2 == len(set(plain))
    assert ["a", "hi", "hi"] == [message["text"] for message in shop.sent(ANN)]


@pytest.mark.parametrize("forward", [{"conversation_message_ids": [1]}, {"conversation_message_ids": 1}, {"message_ids": [1]}])
def test_a_message_can_be_answered_by_forward(shop, forward):
    """As a list of one, or the number alone, which clients send and VK takes."""
    answer = send(shop, forward=json.dumps({"peer_id": ANN, "is_reply": True} | forward))

    assert (0, 1, []) == (code(answer), shop.sent(ANN)[0]["reply_to"], shop.sent(ANN)[0]["forwarded"])


@pytest.mark.parametrize("forward", ["[", "[]", '{"conversation_message_ids": ["one"]}', '{"message_ids": [null]}'])
def test_a_forward_that_nobody_can_read_is_refused(shop, forward):
    """It is the caller's mistake, never the fake's."""
    assert 100 == code(send(shop, forward=forward))


def test_many_peers_are_answered_one_by_one(fake, shop):
    """Who cannot be reached is an error in the list, and the others have the message."""
    fake.person(8)
    answer = shop.call("messages.send", peer_ids=f"{ANN},8", random_id=3, message="hi")["response"]

    assert [(ANN, None), (8, 901)] == [(one["peer_id"], one.get("error", {}).get("code")) for one in answer]


@pytest.mark.parametrize(
    ("refused", "parameters"),
    [
        (100, {"random_id": 2**31}),
        (100, {"random_id": ""}),
        (100, {"peer_id": 404}),
        (100, {"peer_id": "Ann"}),
        (100, {"message": " "}),
        (100, {"attachment": "photo1_2"}),
        (100, {"reply_to": 77}),
        (914, {"message": "я" * 4097}),
        (917, {"peer_id": 2_000_000_009}),
        (911, {"keyboard": "{"}),
        (911, {"keyboard": json.dumps({"buttons": [KEYBOARD["buttons"][0] * 6]})}),
        (911, {"keyboard": json.dumps({"buttons": KEYBOARD["buttons"] * 11})}),
        (911, {"keyboard": json.dumps({"buttons": KEYBOARD["buttons"] * 7, "inline": True})}),
        (
            911,
            {
                "keyboard": json.dumps(
                    {"buttons": [[{"action": {"type": "text", "label": "a", "payload": '"' + "x" * 254 + '"'}}]]}
                )
            },
        ),
    ],
)
def test_what_vk_refuses_is_refused(shop, refused, parameters):
    """The error has VK's number, and nothing is sent."""
    answer = send(shop, **parameters)

    assert (refused, []) == (code(answer), shop.sent(ANN))


@pytest.mark.parametrize(
    "parameters",
    [
        {"message": "я" * 4096},
        {"random_id": -(2**31)},
        {"keyboard": json.dumps({"buttons": [KEYBOARD["buttons"][0] * 4] * 10, "one_time": True})},
        {"keyboard": json.dumps({"buttons": KEYBOARD["buttons"] * 6, "inline": True})},
        {"keyboard": json.dumps({"buttons": []})},
    ],
)
def test_what_just_fits_is_taken(shop, parameters):
    """The limits are the last that passes."""
    assert "response" in send(shop, **parameters)


def test_nobody_is_written_to_who_does_not_want_it(fake, shop):
    """Who never wrote and who denied messages: 901; who writes again can be written to again."""
    fake.person(8)
    never = code(send(shop, peer_id=8))
    shop.deny(ANN)
    denied = code(send(shop))
    allowed = shop.call("messages.isMessagesFromGroupAllowed", group_id=shop.id, user_id=ANN)["response"]
    shop.write(ANN, "I am back")

    assert (901, 901, {"is_allowed": 0}) == (never, denied, allowed)
    assert 0 == code(send(shop))


def test_a_peer_can_be_out_of_reach(shop):
    """As long as a test wants, with any of VK's reasons."""
    shop.refuse(ANN, 902)
    refused = code(send(shop))
    shop.refuse(ANN, 0)

    assert (902, 0) == (refused, code(send(shop)))


def test_a_token_is_refused_when_it_is_wrong_or_revoked(fake, shop):
    """Error 5, for a token that never was and for one that is no more."""
    wrong = fake.call("users.get", "nonsense", user_ids=ANN)
    old = shop.token
    shop.set_token("vk1.a.new")

    assert [5, 5, 0] == [code(answer) for answer in (wrong, fake.call("groups.getById", old), shop.call("groups.getById"))]


def test_a_call_without_a_version_is_refused(shop):
    """Error 8."""
    assert 8 == code(shop.call("users.get", user_ids=ANN, v=""))


def test_a_method_wants_its_permission(fake):
    """Error 15; what anybody may call can still be called."""
    shop = fake.community(permissions=["messages"])

    assert {"messages"} == {one["name"] for one in shop.call("groups.getTokenPermissions")["response"]["permissions"]}
    assert 15 == code(shop.call("groups.getLongPollServer", group_id=shop.id))


def test_nobody_knows_other_methods(shop):
    """Error 3; execute runs nothing."""
    assert [3, 12] == [code(shop.call("messages.fly")), code(shop.call("execute", code="return 1;"))]


def test_twenty_calls_a_second_and_no_more(fake, shop):
    """Error 6 for the next, until the second has passed. Another token has its own twenty."""
    fake.stop_clock()
    fake.advance(5)
    other = fake.community(1002)
    codes = [code(shop.call("groups.getById")) for _ in range(21)]
    others = code(other.call("groups.getById"))
    fake.advance(1.0)

    assert ([0] * 20 + [6], 0, 0) == (codes, others, code(shop.call("groups.getById")))


def test_an_error_says_what_was_asked_and_never_the_token(shop):
    """request_params are the call's, without what opens doors."""
    error = send(shop, peer_id=404)["error"]
    asked = {one["key"]: one["value"] for one in error["request_params"]}

    assert ("messages.send", "404", "hi") == (asked["method"], asked["peer_id"], asked["message"])
    assert shop.token not in json.dumps(error)


# --- afterwards


def test_a_message_is_edited_and_both_texts_are_seen(shop):
    """The last text is in force, and what it was is kept for the test."""
    send(shop)
    shop.call("messages.edit", peer_id=ANN, cmid=2, message="hi!")
    seen = shop.sent(ANN)[0]

    assert ("hi!", ["hi"]) == (seen["text"], [edit["text"] for edit in seen["edits"]])


def test_only_own_messages_of_the_last_day_are_edited_and_deleted_for_all(fake, shop):
    """909 and 924."""
    number = send(shop)["response"]
    strange = [code(shop.call("messages.edit", peer_id=ANN, cmid=1, message="x"))]
    strange.append(code(shop.call("messages.delete", message_ids=1, delete_for_all=1)))
    fake.advance(86_401)
    late = [code(shop.call("messages.edit", peer_id=ANN, message_id=number, message="x"))]
    late.append(code(shop.call("messages.delete", message_ids=number, delete_for_all=1)))

    assert ([909, 924], [909, 924]) == (strange, late)


def test_a_message_is_deleted_for_all(shop):
    """It is gone from the history, and the test sees how it went."""
    number = send(shop)["response"]
    answer = shop.call("messages.delete", message_ids=number, delete_for_all=1)["response"]
    left = shop.call("messages.getHistory", peer_id=ANN)["response"]["items"]

    assert ([1], ["hello"], "for_all") == (
        [one["response"] for one in answer],
        [message["text"] for message in left],
        shop.sent(ANN)[0]["deleted"],
    )


def test_a_callback_button_is_answered_once(shop):
    """By its event_id; a second answer, and one to nothing, are refused."""
    send(shop, keyboard=json.dumps(KEYBOARD))
    event_id = shop.press(ANN, "Yes")
    said = {"event_id": event_id, "user_id": ANN, "peer_id": ANN, "event_data": '{"type":"show_snackbar","text":"ok"}'}
    codes = [code(shop.call("messages.sendMessageEventAnswer", **said)) for _ in range(2)]
    codes.append(code(shop.call("messages.sendMessageEventAnswer", **(said | {"event_id": "never"}))))

    assert [0, 100, 100] == codes
    assert {"type": "show_snackbar", "text": "ok"} == shop.presses()[event_id]["answer"]


def test_conversations_are_found_by_what_is_left_to_do(fake, shop):
    """Unread until they are marked as read, unanswered until there is an answer."""
    fake.person(8)
    shop.write(8, "and me")

    def found(wanted: str) -> list[int]:
        items = shop.call("messages.getConversations", filter=wanted)["response"]["items"]
        return [item["conversation"]["peer"]["id"] for item in items]

    shop.call("messages.markAsRead", peer_id=8)
    send(shop, peer_id=8)

    assert ([8, ANN], [ANN], [ANN]) == (found("all"), found("unread"), found("unanswered"))


def test_history_is_read_in_pages_from_either_end(shop):
    """Newest first, or oldest first with rev; a page ends where the next begins."""
    for number in range(4):
        shop.write(ANN, str(number))

    def texts(**parameters: Any) -> list[str]:
        answer = shop.call("messages.getHistory", peer_id=ANN, count=2, **parameters)["response"]
        assert 5 == answer["count"]
        return [message["text"] for message in answer["items"]]

    assert [["3", "2"], ["1", "0"], ["hello", "0"], ["2", "1"]] == [
        texts(),
        texts(offset=2),
        texts(rev=1),
        texts(start_message_id=4),
    ]


def test_marks_and_activity_are_seen(shop):
    """What a person would see of the community."""
    shop.call("messages.setActivity", peer_id=ANN, type="typing")
    shop.call("messages.markAsRead", peer_id=ANN, up_to_cmid=1)
    seen = shop.conversation(ANN)

    assert (["typing"], [1], 0) == (seen["activities"], [mark["up_to"] for mark in seen["marks_as_read"]], seen["unread_count"])


# --- files


def test_a_picture_is_brought_saved_and_sent(shop):
    """What arrives is the bytes that were brought."""
    content = picture()
    address = shop.call("photos.getMessagesUploadServer", peer_id=ANN)["response"]["upload_url"]
    brought = httpx.post(address, files={"photo": ("a.jpg", content, "image/jpeg")}).json()
    saved = shop.call("photos.saveMessagesPhoto", **brought)["response"][0]
    send(shop, attachment=f"photo{saved['owner_id']}_{saved['id']}_{saved['access_key']}")
    sent = shop.sent(ANN)[0]["attachments"][0]

    assert ("photo", sha256(content).hexdigest()) == (sent["type"], sent["sha256"])


def test_a_picture_has_sizes_and_the_largest_is_itself(shop):
    """Each size is as large as it says."""
    content = picture()
    poller = Poller(shop)
    shop.write(ANN, attachments=[photo(content)])
    sizes = poller.ask()["updates"][0]["object"]["message"]["attachments"][0]["photo"]["sizes"]
    fetched = [httpx.get(size["url"]).content for size in sizes]

    assert [(size["width"], size["height"]) for size in sizes] == [Image.open(io.BytesIO(one)).size for one in fetched]
    assert content == fetched[-1]


def test_what_is_no_picture_cannot_be_saved_as_one(shop):
    """The upload is answered all the same, with nothing in it."""
    address = shop.call("photos.getMessagesUploadServer")["response"]["upload_url"]
    brought = httpx.post(address, files={"photo": ("a.jpg", b"MZ", "image/jpeg")}).json()

    assert 100 == code(shop.call("photos.saveMessagesPhoto", **brought))


def test_a_document_keeps_its_name_and_leads_to_its_bytes(shop):
    """A document's address redirects to the file."""
    address = shop.call("docs.getMessagesUploadServer", type="doc", peer_id=ANN)["response"]["upload_url"]
    token = httpx.post(address, files={"file": ("счёт.pdf", b"%PDF-1.4")}).json()["file"]
    saved = shop.call("docs.save", file=token)["response"]["doc"]
    answer = httpx.get(saved["url"], follow_redirects=True)

    assert ("счёт.pdf", "pdf", b"%PDF-1.4", 1) == (saved["title"], saved["ext"], answer.content, len(answer.history))


def test_a_voice_message_is_ogg(shop):
    """Anything else is not taken for one."""
    address = shop.call("docs.getMessagesUploadServer", type="audio_message", peer_id=ANN)["response"]["upload_url"]
    refused = httpx.post(address, files={"file": ("a.mp3", b"ID3")}).json()
    token = httpx.post(address, files={"file": ("a.ogg", b"OggS...")}).json()["file"]
    saved = shop.call("docs.save", file=token)["response"]

    assert "error" in refused
    assert ("audio_message", b"OggS...") == (saved["type"], httpx.get(saved["audio_message"]["link_ogg"]).content)


def test_every_kind_of_thing_can_be_written(shop):
    """All that people attach, and where they are, in one message each and in one that answers and passes on."""
    poller = Poller(shop)
    things = [photo(), doc("a.txt", b"a"), voice(transcript="yes"), thing("video"), thing("sticker"), thing("wall", text="news")]
    things += [thing("market", title="Tea"), thing("graffiti"), thing("link", url="https://example.org/")]
    first = shop.write(ANN, attachments=things)
    shop.write(ANN, geo={"lat": 55.7, "long": 37.6, "title": "Moscow"})
    shop.write(ANN, "this", reply_to=first, forward=[first], payload={"button": 1})
    whole, place, last = (event["object"]["message"] for event in poller.ask()["updates"])

    assert [one["type"] for one in things] == [attachment["type"] for attachment in whole["attachments"]]
    assert 55.7 == place["geo"]["coordinates"]["latitude"]
    assert (first, [first], '{"button": 1}') == (
        last["reply_message"]["conversation_message_id"],
        [message["conversation_message_id"] for message in last["fwd_messages"]],
        last["payload"],
    )


def test_people_are_shown_with_what_was_asked_for(fake, shop):
    """Fields that nobody asked for are not there; who is not there is left out."""
    fake.person(8, "Иван", "Ли", sex=2, city="Тверь", screen_name="ivan", photo=b"face")
    found = shop.call("users.get", user_ids="ivan,404", fields="photo_200,city,sex")["response"]

    assert [("Иван", "Тверь", 2, False)] == [
        (one["first_name"], one["city"]["title"], one["sex"], "domain" in one) for one in found
    ]
    assert b"face" == httpx.get(found[0]["photo_200"]).content


# --- Callback API


class Receiver:
    """A server for events that says what it is told to say, and keeps what came."""

    def __init__(self) -> None:
        self.came: list[tuple[Json, str]] = []
        """Events, each with its X-Retry-Counter."""
        self.says: Callable[[Json], tuple[int, str]] = lambda event: (200, "ok")
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.came.append((event, self.headers.get("X-Retry-Counter", "")))
                status, text = receiver.says(event)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/vk"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def kinds(self) -> list[str]:
        """Return the types of what came."""
        return [event["type"] for event, _ in self.came]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server for events."""
    receiver = Receiver()
    yield receiver
    receiver.close()


def confirmed(shop: VkCommunity, receiver: Receiver) -> int:
    """Add the receiver as a server, have it confirm, and switch its events on; return its number."""
    code = shop.call("groups.getCallbackConfirmationCode", group_id=shop.id)["response"]["code"]
    receiver.says = lambda event: (200, code if event["type"] == "confirmation" else "ok")
    asked = {"group_id": shop.id, "url": receiver.url, "title": "ours", "secret_key": "s3cret"}
    number = shop.call("groups.addCallbackServer", **asked)["response"]["server_id"]
    shop.call("groups.setCallbackSettings", group_id=shop.id, server_id=number, api_version="5.199", message_new=1)
    shop.callbacks(idle_within=10)
    return int(number)


def test_a_server_is_confirmed_before_it_hears_of_anything(shop, receiver):
    """Its code first, which is not the secret's business; then events, each with the secret."""
    confirmed(shop, receiver)
    shop.write(ANN, "one")
    status = shop.callbacks(idle_within=10)[0]["status"]

    assert ("ok", ["confirmation", "message_new"]) == (status, receiver.kinds())
    assert [None, "s3cret"] == [event.get("secret") for event, _ in receiver.came]


def test_a_server_that_does_not_know_its_code_hears_of_nothing(shop, receiver):
    """It has failed until it is set anew."""
    number = shop.call("groups.addCallbackServer", group_id=shop.id, url=receiver.url, title="ours")["response"]["server_id"]
    shop.call("groups.setCallbackSettings", group_id=shop.id, server_id=number, message_new=1)
    shop.callbacks(idle_within=10)
    shop.write(ANN, "one")

    assert "failed" == shop.callbacks(idle_within=10)[0]["status"]
    assert ["confirmation"] == receiver.kinds()


def test_an_event_is_posted_until_it_is_heard_and_the_next_one_waits(shop, receiver):
    """Anything but "ok" is no answer; tries are counted, and the order stays."""
    confirmed(shop, receiver)
    answers = iter([(500, ""), (200, "OK!"), (403, "ok")])
    receiver.says = lambda event: next(answers, (200, "ok"))
    receiver.came.clear()
    shop.write(ANN, "one")
    shop.write(ANN, "two")
    shop.callbacks(idle_within=10)

    assert [("one", ""), ("one", "1"), ("one", "2"), ("one", "3"), ("two", "")] == [
        (event["object"]["message"]["text"], counter) for event, counter in receiver.came
    ]


def test_a_deleted_server_hears_of_nothing_more(shop, receiver):
    """It is not listed, either."""
    number = confirmed(shop, receiver)
    shop.call("groups.deleteCallbackServer", group_id=shop.id, server_id=number)
    shop.write(ANN, "one")

    assert ["confirmation"] == receiver.kinds()
    assert 0 == shop.call("groups.getCallbackServers", group_id=shop.id)["response"]["count"]


def test_ten_servers_and_no_more(fake, shop):
    """Error 2000 for the next."""
    fake.stop_clock()
    asked = {"group_id": shop.id, "url": fake.url + "/nowhere", "title": "ours"}
    codes = [code(shop.call("groups.addCallbackServer", **asked)) for _ in range(11)]

    assert [0] * 10 + [2000] == codes


# --- what goes wrong


def test_an_error_comes_as_often_as_it_is_asked_for(fake, shop):
    """For the method that it is for, and then no more."""
    fake.fault("error", method="messages.send", code=9, times=2)
    codes = [code(shop.call("groups.getById")), *(code(send(shop)) for _ in range(3))]

    assert [0, 9, 9, 0] == codes
    assert 1 == len(shop.sent(ANN))


def test_a_connection_is_closed_before_or_after_the_deed(fake, shop):
    """Whoever asks cannot tell which; the test can."""
    fake.fault("close_before", method="messages.send")
    fake.fault("close_after", method="messages.send")
    seen = []
    for number in (1, 2):
        with pytest.raises(httpx.TransportError):
            send(shop, random_id=number)
        seen.append(len(shop.sent(ANN)))

    assert [0, 1] == seen
    assert 0 == code(send(shop, random_id=2))
    assert 1 == len(shop.sent(ANN))


@pytest.mark.parametrize(("kind", "done"), [("http", 0), ("http_after", 1), ("not_json", 1)])
def test_somebody_else_answers(fake, shop, kind, done):
    """A page instead of JSON, before or after the deed."""
    fake.fault(kind, method="messages.send", status=502)
    with pytest.raises(json.JSONDecodeError):
        send(shop)

    assert done == len(shop.sent(ANN))


def test_an_answer_is_late_or_never_comes(fake, shop):
    """The deed is done; only whoever waits long enough hears of it."""
    fake.fault("silent", method="messages.send")
    asked = {"access_token": shop.token, "v": "5.199", "peer_id": ANN, "random_id": 1, "message": "hi"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(fake.url + "/method/messages.send", data=asked, timeout=0.3)

    assert 1 == len(shop.sent(ANN))


def test_a_slow_answer_comes_in_the_end(fake, shop):
    """The time it takes is the test's to say."""
    fake.fault("slow", method="groups.getById", seconds=0.2)
    began = time.monotonic()
    answer = shop.call("groups.getById")

    assert 0 == code(answer)
    assert time.monotonic() - began >= 0.2


def test_a_part_is_down_until_it_is_up_again(fake, shop):
    """Polls that wait are cut, too; other parts work."""
    poller = Poller(shop, wait_seconds=15)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(poller.ask)
        fake.down("long_poll")
        with pytest.raises(httpx.TransportError):
            waiting.result()
    with pytest.raises(httpx.TransportError):
        poller.ask()
    shop.write(ANN, "one")
    fake.heal()

    assert ["message_new"] == poller.kinds()


def test_the_fake_dies_when_nobody_holds_it():
    """Its standard input is its life line: a test that is killed leaves nothing behind."""
    command = [sys.executable, "-m", "tests.support.vk_fake"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        told, _ = process.communicate(timeout=20)

    assert (0, True) == (process.returncode, json.loads(told)["port"] > 0)


# --- the published schema


@NEEDS_SCHEMAS
def test_a_call_that_the_schema_does_not_know_is_written_down(fake, shop):
    """It is answered as VK does, and the test hears of it."""
    send(shop, pear_id=1, forward_messages="one")

    assert ["messages.send has no parameter pear_id", "messages.send forward_messages[0]: 'one' is not of type 'integer'"] == (
        fake.violations()
    )


@NEEDS_SCHEMAS
def test_a_call_with_another_version_is_written_down(fake, shop):
    """The shapes of an old version are others, and the fake does not have them."""
    shop.call("groups.getById", v="5.92")

    assert 1 == len(fake.violations())


@NEEDS_SCHEMAS
def test_the_fake_finds_itself_out():
    """What it says that the schema does not allow ends the test that it was in."""

    def say_what_is_wrong() -> None:
        with vk_fake() as fake:
            fake.person(ANN)
            fake.community(1).press_unseen(ANN, payload=[1])

    with pytest.raises(AssertionError, match="payload"):
        say_what_is_wrong()


# --- others' clients


class Rebased(HTTPAdapter):
    """Sends what is for VK to the fake instead, and waits no longer than seconds."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        super().__init__()

    def send(self, request: Any, *args: Any, **more: Any) -> Any:
        asked = urlsplit(request.url)
        request.url = urlunsplit((self._to.scheme, self._to.netloc, asked.path, asked.query, ""))
        return super().send(request, *args, **(more | {"timeout": (5, 10)}))


@pytest.fixture
def library(fake: VkFake, shop: VkCommunity) -> Iterator[Any]:
    """vk_api, which takes the fake for VK."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://api.vk.ru/", Rebased(fake.url))
    with session:
        yield VkApiGroup(token=shop.token, api_version="5.199", session=session, config=jconfig.MemoryConfig)


def test_vk_api_sends_and_is_refused(shop, library):
    """Answers and errors are what the library takes them for."""
    number = library.method("messages.send", {"peer_id": ANN, "random_id": 1, "message": "hi"})
    with pytest.raises(ApiError) as refused:
        library.method("messages.send", {"peer_id": 404, "random_id": 2, "message": "hi"})

    assert (2, 100, 1) == (number, refused.value.code, len(shop.sent(ANN)))


def test_vk_api_meets_a_captcha(fake, library):
    """Error 14 is an error of its own there, with what it needs."""
    fake.fault("error", method="messages.send", code=14)
    with pytest.raises(Captcha) as asked:
        library.method("messages.send", {"peer_id": ANN, "random_id": 1, "message": "hi"})

    assert asked.value.get_image().startswith(b"\x89PNG")


def test_vk_api_brings_a_picture(shop, library):
    """Its uploader finds the addresses that it is given."""
    saved = VkUpload(library).photo_messages(io.BytesIO(picture()))[0]
    library.method(
        "messages.send",
        {"peer_id": ANN, "random_id": 1, "attachment": f"photo{saved['owner_id']}_{saved['id']}_{saved['access_key']}"},
    )

    assert [sha256(picture()).hexdigest()] == [one["sha256"] for one in shop.sent(ANN)[0]["attachments"]]


def test_vk_api_polls(shop, library):
    """Its long poll reads the events."""
    poll = VkBotLongPoll(library, shop.id, wait=1)
    shop.write(ANN, "one")
    events = poll.check()
    poll.session.close()

    assert ["one"] == [event.message.text for event in events]
