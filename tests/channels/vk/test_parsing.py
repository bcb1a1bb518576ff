"""What VK tells of, as this house understands it: one event in, one input out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.domain import Person, Source
from broker.errors import BadInput
from broker.events import AnsweredOutside, Changed, Incoming, Pressed, Reach, Reacted, Saw, Told, Wrote
from broker.extras import Attachment, Extra, FileKind, FileState, Place, Quote
from channels.vk.parsing import CHATS_BEGIN, EVENTS, Press, from_history, name_of, parse, presses, typing, unnamed
from channels.vk.settings import VkSettings, check

ANN, SHOP, CHAT = 7, 1001, CHATS_BEGIN + 5
PLAIN = VkSettings(token="vk1.a.1001")
GROUPS = VkSettings(token="vk1.a.1001", groups=True)


def event(kind: str, told: Any, **more: Any) -> dict[str, Any]:
    """Return an event of the shop's."""
    return {"type": kind, "object": told, "group_id": SHOP, "v": "5.199", "event_id": "e1"} | more


def message(**more: Any) -> dict[str, Any]:
    """Return Ann's message as VK tells of it, with what differs."""
    plain = {"id": 40, "date": 1, "peer_id": ANN, "from_id": ANN, "conversation_message_id": 3, "text": "", "attachments": []}
    return plain | {"fwd_messages": [], "out": 0, "version": 1} | more


def read(told: dict[str, Any], settings: VkSettings = PLAIN) -> Incoming | None:
    """Return what an event says."""
    return parse(json.dumps(told).encode(), settings)


def new(settings: VkSettings = PLAIN, authors: dict[str, str] | None = None, **more: Any) -> Any:
    """Return what Ann's new message says."""
    told = event("message_new", {"message": message(**more), "client_info": {}})
    return read(told | ({"authors": authors} if authors else {}), settings)


def attached(kind: str, thing: Any, text: str = "") -> Any:
    """Return what Ann's message with one thing attached says."""
    return new(text=text, attachments=[{"type": kind, kind: thing}]).what


def test_words_are_the_customers():
    """The conversation is the peer's, the message has its number in it, and VK is to be asked who it is."""
    incoming = new(text="Где мой заказ?")

    assert Incoming("7", Person("7", profile="7"), Wrote("Где мой заказ?", ref="7:3", extra=Extra())) == incoming


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("[id7|Anna], hello", "Anna, hello"),
        ("[club1001|@shop] and [id8|Bob]", "@shop and Bob"),
        ("[id7|Anna", "[id7|Anna"),
        ("[1|2] and a | b", "[1|2] and a | b"),
        ("a\x00b", "ab"),
    ],
)
def test_of_a_mention_the_name_is_read(written: str, seen: str):
    """VK's marks are for its own programs; brackets of a customer's stay."""
    assert seen == new(text=written).what.text


SIZES = [
    {"type": "s", "url": "https://sun1.userapi.com/s.jpg", "width": 75, "height": 50},
    {"type": "z", "url": "https://sun1.userapi.com/z.jpg", "width": 1280, "height": 853},
    {"type": "m", "url": "https://sun1.userapi.com/m.jpg", "width": 130, "height": 87},
]
OLD_SIZES = [{"type": letter, "url": f"https://sun1.userapi.com/{letter}.jpg", "width": 0, "height": 0} for letter in "sxmy"]
DOC = "https://vk.com/doc7_1?hash=x"
OGG = "https://psv4.userapi.com/a.ogg"


@pytest.mark.parametrize(
    ("kind", "thing", "file"),
    [
        (
            "photo",
            {"sizes": SIZES},
            Attachment(FileKind.PHOTO, media_type="image/jpeg", width=1280, height=853, ref="https://sun1.userapi.com/z.jpg"),
        ),
        (
            "photo",
            {"sizes": OLD_SIZES},
            Attachment(FileKind.PHOTO, media_type="image/jpeg", ref="https://sun1.userapi.com/y.jpg"),
        ),
        (
            "photo",
            {"sizes": SIZES, "orig_photo": {"url": "https://sun1.userapi.com/o.jpg", "width": 4000, "height": 3000}},
            Attachment(FileKind.PHOTO, media_type="image/jpeg", width=4000, height=3000, ref="https://sun1.userapi.com/o.jpg"),
        ),
        (
            "doc",
            {"title": "Счёт", "ext": "pdf", "size": 9, "type": 1, "url": DOC},
            Attachment(FileKind.DOCUMENT, name="Счёт.pdf", media_type="application/pdf", size=9, ref=DOC),
        ),
        (
            "doc",
            {"title": "cat.gif", "ext": "gif", "size": 9, "type": 3, "url": DOC},
            Attachment(FileKind.ANIMATION, name="cat.gif", media_type="image/gif", size=9, ref=DOC),
        ),
        (
            "doc",
            {"title": "film.mp4", "ext": "mp4", "size": 9, "type": 6, "url": DOC},
            Attachment(FileKind.VIDEO, name="film.mp4", media_type="video/mp4", size=9, ref=DOC),
        ),
        (
            "audio_message",
            {"duration": 4, "link_ogg": OGG, "link_mp3": "https://x.vk.com/a.mp3"},
            Attachment(FileKind.VOICE, media_type="audio/ogg", seconds=4, ref=OGG),
        ),
        (
            "sticker",
            {
                "images": [
                    {"url": "https://vk.com/64", "width": 64, "height": 64},
                    {"url": "https://vk.com/2", "width": 256, "height": 256},
                ]
            },
            Attachment(FileKind.STICKER, media_type="image/png", width=256, height=256, ref="https://vk.com/2"),
        ),
        (
            "graffiti",
            {"url": "https://vk.com/g.png", "width": 64, "height": 48},
            Attachment(FileKind.STICKER, media_type="image/png", width=64, height=48, ref="https://vk.com/g.png"),
        ),
    ],
)
def test_files_are_awaited_at_their_addresses(kind: str, thing: Any, file: Attachment):
    """The largest picture; a document by what it is; none of it is fetched while parsing."""
    assert FileState.AWAITED == file.state
    assert (file,) == attached(kind, thing).extra.files


@pytest.mark.parametrize(
    ("kind", "thing", "text", "what"),
    [
        ("video", {"id": 2, "owner_id": 7, "title": "Как сломалось"}, "Как сломалось\nhttps://vk.com/video7_2", "video"),
        ("audio", {"artist": "Кино", "title": "Перемен"}, "Кино – Перемен", "audio"),
        ("link", {"url": "https://example.org/a", "title": "A page"}, "A page\nhttps://example.org/a", ""),
        ("wall", {"id": 5, "owner_id": -9, "text": "Скидки"}, "Скидки\nhttps://vk.com/wall-9_5", "wall"),
        ("wall_reply", {"id": 6, "post_id": 5, "owner_id": -9}, "https://vk.com/wall-9_5?reply=6", "wall_reply"),
        (
            "market",
            {"id": 8, "owner_id": -9, "title": "Чайник", "price": {"text": "990 ₽"}},
            "Чайник, 990 ₽\nhttps://vk.com/product-9_8",
            "market",
        ),
        ("story", {"id": 3, "owner_id": 7}, "https://vk.com/story7_3", "story"),
        ("poll", {"id": 3, "owner_id": 7, "question": "Чай?"}, "Чай?", "poll"),
        ("call", {"initiator_id": 7}, "", "call"),
        ("something_new", {"title": "X\x00"}, "X", "something_new"),
    ],
)
def test_what_is_no_file_is_told_in_words(kind: str, thing: Any, text: str, what: str):
    """What it is, and where it can be looked at."""
    said = attached(kind, thing)

    assert (text, what, ()) == (said.text, said.extra.what, said.extra.files)


def test_a_link_that_was_written_is_not_told_twice():
    """VK attaches every link that stands in a text."""
    said = attached("link", {"url": "https://example.org/a", "title": "A page"}, "look: https://example.org/a")

    assert "look: https://example.org/a" == said.text


def test_a_gift_is_a_picture_and_says_what_it_is():
    """It has no words."""
    said = attached("gift", {"id": 1, "thumb_256": "https://vk.com/gift.jpg"})

    assert ("gift", "https://vk.com/gift.jpg") == (said.extra.what, said.extra.files[0].ref)


def test_one_odd_attachment_costs_its_message_nothing_else():
    """What cannot be understood of it is left out; the words and the picture are there."""
    odd: list[Any] = [
        7,
        None,
        {"type": 4},
        {"type": "photo", "photo": "x"},
        {"type": "doc"},
        {"type": "photo", "photo": {"sizes": [7, {"url": 4}, *SIZES]}},
    ]
    said = new(text="hi", attachments=odd, geo="nowhere", reply_message=[1], fwd_messages=[2]).what

    assert ("hi", 1) == (said.text, len(said.extra.files))


def test_a_place_is_a_place():
    """With its name."""
    geo = {"type": "point", "coordinates": {"latitude": 55.75, "longitude": 37.6}, "place": {"title": "Склад", "city": "Москва"}}

    assert Place(55.75, 37.6, "Склад", "Москва") == new(geo=geo).what.extra.place


def test_an_answer_names_what_it_answers():
    """By the number in the conversation, with the words as VK has them."""
    said = new(text="да", reply_message=message(conversation_message_id=2, from_id=-SHOP, text="Синий?")).what

    assert ("7:2", Quote(0, "Синий?")) == (said.answers, said.extra.quote)


def test_one_message_passed_on_is_shown_as_whose_it_is():
    """Its words are the message's, its files too."""
    inner = message(from_id=8, text="Ваш заказ готов", attachments=[{"type": "photo", "photo": {"sizes": SIZES}}])
    said = new(authors={"8": "Борис"}, fwd_messages=[inner]).what

    assert ("Ваш заказ готов", "Борис", 1) == (said.text, said.extra.forwarded_from, len(said.extra.files))


def test_several_passed_on_are_readable_each_under_its_author():
    """Those within others, too; whose name is not known is told by the address of their page."""
    inner = message(from_id=8, text="one", fwd_messages=[message(from_id=-9, text="two")])
    said = new(text="see", authors={"8": "Борис"}, fwd_messages=[inner]).what

    assert "see\n↪ Борис:\none\n↪ vk.com/club9:\ntwo" == said.text


def test_start_opens_or_waits():
    """As the channel is set; the word of the link by which they came is kept either way."""
    start: dict[str, Any] = {"text": "Начать", "payload": '{"command":"start"}', "ref": "ad-7", "ref_source": "x"}
    opened = new(**start)
    waiting = new(VkSettings(token="vk1.a.1001", start="waits"), **start)

    assert ("Начать", Source(start="ad-7")) == (opened.what.text, opened.source)
    assert (Told(), Source(start="ad-7")) == (waiting.what, waiting.source)


def test_chats_are_served_where_they_are_to_be():
    """A chat is one customer; who of it wrote is told."""
    told: dict[str, Any] = {"peer_id": CHAT, "from_id": ANN, "text": "hi"}
    served = new(GROUPS, {"7": "Анна Петрова"}, **told)

    assert new(**told) is None
    assert (str(CHAT), f"{CHAT}:3", "Анна Петрова") == (served.key, served.what.ref, served.what.extra.author)
    assert "vk.com/id7" == new(GROUPS, **told).what.extra.author


@pytest.mark.parametrize(("kind", "why"), [("chat_kick_user", "left"), ("chat_invite_user", "")])
def test_a_chat_that_puts_us_out_is_not_reached(kind: str, why: str):
    """And is again once it lets us in."""
    said = new(GROUPS, peer_id=CHAT, action={"type": kind, "member_id": -SHOP})

    assert Reach(why) == said.what


@pytest.mark.parametrize(
    "told",
    [
        event("message_new", {"message": message(from_id=-5, text="a program")}),
        event("message_new", {"message": message(peer_id=-5, from_id=-5, text="another community")}),
        event("message_new", {"message": message()}),
        event("message_new", {"message": message(action={"type": "chat_title_update"})}),
        event("message_reply", message(from_id=-SHOP, out=1, text="what we sent", admin_author_id=0)),
        event("message_edit", message(from_id=-SHOP, out=1, text="what we changed")),
        event("message_event", {"user_id": ANN, "peer_id": ANN, "event_id": "x", "payload": {"of": "another program"}}),
        event("message_typing_state", {"state": "typing", "from_id": ANN, "to_id": -SHOP}),
        event("message_read", {"from_id": -SHOP, "peer_id": ANN, "read_message_id": 3, "conversation_message_id": 3}),
        event("message_reaction_event", {"reacted_id": -SHOP, "peer_id": ANN, "cmid": 3, "reaction_id": 1}),
        event("wall_post_new", {"id": 1}),
    ],
)
def test_what_concerns_nobody_is_no_input(told: Any):
    """Nor what nobody keeps: who is typing."""
    assert read(told) is None


def test_what_they_have_read_is_told_by_its_name():
    """Everything up to that message has been on their screen."""
    told = event("message_read", {"from_id": ANN, "peer_id": ANN, "read_message_id": 3, "conversation_message_id": 3})

    assert Incoming(str(ANN), Person(str(ANN)), Saw(read=True, ref=f"{ANN}:3")) == read(told)


def test_who_is_typing_is_told_once():
    """By the conversation; what cannot be read tells nothing."""
    types = [event("message_typing_state", {"state": "typing", "from_id": who, "to_id": -SHOP}) for who in (ANN, ANN, -SHOP)]
    bodies = [json.dumps(one).encode() for one in types]

    assert (str(ANN),) == typing([*bodies, b'{"type":"message_typing_state"', b'{"type":"message_typing_state","object":1}'])


def test_what_was_changed_says_so():
    """By its name."""
    told = read(event("message_edit", message(text="зелёный", update_time=9)))

    assert told is not None
    assert Changed("7:3", "зелёный", Extra()) == told.what


def test_what_an_administrator_writes_by_hand_is_our_sides():
    """And no customer's."""
    told = read(event("message_reply", message(from_id=-SHOP, out=1, text="Уже едет", admin_author_id=3)))

    assert told is not None
    assert AnsweredOutside("Уже едет", "7:3", Extra()) == told.what


@pytest.mark.parametrize("payload", [{"value": "good:1"}, '{"value":"good:1"}'])
def test_a_pressed_button_says_its_value(payload: Any):
    """Whether VK gives the payload as JSON or as text that is JSON."""
    told = read(event("message_event", {"user_id": ANN, "peer_id": ANN, "event_id": "x", "payload": payload}))

    assert told is not None
    assert ("7", Pressed("good:1")) == (told.key, told.what)


@pytest.mark.parametrize(("kind", "why"), [("message_deny", "denied"), ("message_allow", "")])
def test_who_denies_messages_is_not_reached(kind: str, why: str):
    """Until they allow them again."""
    told = read(event(kind, {"user_id": ANN, "key": ""}))

    assert told is not None
    assert ("7", Reach(why)) == (told.key, told.what)


@pytest.mark.parametrize(("number", "signs"), [(4, ("👍",)), (None, ()), (99, ("★",))])
def test_reactions_are_signs(number: int | None, signs: tuple[str, ...]):
    """One that is not known is a star; taken back it is none."""
    told = read(
        event(
            "message_reaction_event",
            {"reacted_id": ANN, "peer_id": ANN, "cmid": 3, "reaction_id": number}
            if number
            else {"reacted_id": ANN, "peer_id": ANN, "cmid": 3},
        )
    )

    assert told is not None
    assert Reacted("7:3", signs) == told.what


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"type":"message_new"}',
        b'{"type":"message_new","object":{"message":{}}}',
        b'{"type":"message_new","object":{"message":{"peer_id":7,"from_id":7,"text":"x"}}}',
        b'{"type":"message_new","object":{"message":{"peer_id":"7","from_id":7,"conversation_message_id":1}}}',
        b'{"type":"message_event","object":[]}',
    ],
)
def test_what_cannot_be_read_is_bad_input(body: bytes):
    """It becomes a dead letter, and breaks nothing."""
    with pytest.raises(BadInput):
        parse(body, PLAIN)


# --- names


def test_a_message_has_one_name_whoever_tells_of_it():
    """The long poll, the Callback API with its secret, and the history."""
    told = event("message_new", {"message": message(text="hi")})
    (found,) = from_history(message(text="hi"), SHOP)

    assert "1001:7:3:1" == name_of(told, SHOP) == name_of(told | {"secret": "x", "event_id": "e2"}, SHOP) == name_of(found, SHOP)


def test_a_conversation_that_vk_counts_anew_is_no_repeat():
    """The same number on another day is another message."""
    first, second = (event("message_new", {"message": message(date=date)}) for date in (1, 2))

    assert name_of(first, SHOP) != name_of(second, SHOP)


def test_a_changed_message_has_a_name_for_each_of_its_wordings():
    """So that what the history says of it is known, and two changes in one second are two."""
    first = event("message_edit", message(text="one", update_time=9, version=2))
    second = event("message_edit", message(text="two", update_time=9, version=3), event_id="e2")
    found = from_history(message(text="two", update_time=9, version=3), SHOP)

    assert name_of(first, SHOP) != name_of(second, SHOP)
    assert name_of(second, SHOP) == name_of(found[1], SHOP)


def test_everything_else_is_named_as_vk_names_it():
    """And by what it says where VK gives it no name."""
    told = event("message_allow", {"user_id": ANN, "key": ""})
    nameless = {key: value for key, value in told.items() if key != "event_id"}

    assert "1001:e1" == name_of(told, SHOP)
    assert name_of(nameless, SHOP) == name_of(nameless | {"secret": "x"}, SHOP) != name_of(nameless | {"v": "5"}, SHOP)
    assert name_of(told, SHOP) != name_of(told, 1002)


def test_the_history_tells_of_our_sides_words_too():
    """Which are recognised by their ref, and are no customer's."""
    (found,) = from_history(message(from_id=-SHOP, out=1, text="hi", admin_author_id=3), SHOP)

    assert ("message_reply", "1001:history:7:3:1") == (found["type"], name_of(found, SHOP))


def test_presses_are_to_be_answered():
    """By the press's own id, whatever else comes along."""
    told = {"user_id": ANN, "peer_id": ANN, "event_id": "x", "payload": {}}

    assert [Press("x", ANN, ANN)] == presses([event("message_event", told), event("message_event", []), "x", None])


def test_whose_names_are_to_be_asked():
    """Those of people in chats, and of those whose words are passed on; a customer's own is asked elsewhere."""
    own = event("message_new", {"message": message(text="hi")})
    chat = event("message_new", {"message": message(peer_id=CHAT, from_id=9)})
    passed_on = event("message_new", {"message": message(fwd_messages=[message(from_id=8, fwd_messages=[message(from_id=-4)])])})

    assert (set(), {9}, {8}) == (unnamed([own]), unnamed([chat]), unnamed([passed_on]))


# --- settings


def test_settings_are_filled_in():
    """A token is enough."""
    assert ("longpoll", 0, "https://api.vk.ru") == tuple(
        check({"token": "vk1.a.1001"})[key] for key in ("mode", "group_id", "server")
    )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "settings.token"),
        ({"token": "a b"}, "settings.token"),
        ({"token": "vk1.a.1001", "secret": "не то"}, "settings.secret"),
        ({"token": "vk1.a.1001", "server": "api.vk.ru"}, "settings.server"),
        ({"token": "vk1.a.1001", "mode": "webhook"}, "settings.mode"),
        ({"token": "vk1.a.1001", "tokn": 1}, "settings.tokn"),
    ],
)
def test_a_wrong_setting_is_named(given: Any, field: str):
    """So that its author can repair it."""
    with pytest.raises(BadInput) as caught:
        check(given)

    assert field == caught.value.field


def test_events_are_those_that_vk_can_tell_of():
    """Named once for the long poll and the Callback API."""
    assert len(EVENTS) == len(set(EVENTS)) == 9
