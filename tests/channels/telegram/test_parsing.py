"""What Telegram tells of, as this house understands it: one update in, one input out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from broker.domain import Person, Source
from broker.errors import BadInput
from broker.events import AnsweredOutside, Changed, Deleted, Incoming, Moved, Pressed, Reach, Reacted, Told, Wrote
from broker.extras import Attachment, Extra, FileKind, FileState, Place, Quote, SharedContact
from channels.telegram.parsing import callback_queries, parse
from channels.telegram.settings import TelegramSettings, check
from tests.channels.telegram.payloads import (
    ALBUM,
    ANN,
    CONNECTION,
    GROUP,
    GROUPS,
    IGNORED,
    PERSON,
    PLAIN,
    SAID,
    WAITS,
    body,
    in_group,
    message,
    said,
    update,
)

WHO = Person(f"{ANN}", "Анна Иванова", language="ru", nickname="@ann_i", profile=f"{ANN}")
CUSTOMER = msgspec.structs.replace(WHO)
NEIGHBOURS = Person(f"{GROUP}", "Соседи", nickname="@neighbours")
KEY, REF = f"{ANN}", f"{ANN}:40"
BUSINESS = f"b{CONNECTION}/{ANN}"
OLD = Person("-4567", "Соседи")
PICTURE = Attachment(
    FileKind.PHOTO, media_type="image/jpeg", size=182_110, width=1_280, height=960, ref="AgAC-large", origin="u3"
)


def wrote(text: str = "", ref: str = REF, answers: str = "", album: str = "", **extra: Any) -> Wrote:
    """Return a message of a customer's, with what is beside its words."""
    return Wrote(text, client_id=ref, ref=ref, extra=Extra(**extra), answers=answers, album=album)


def of_ann(what: Any, source: Source | None = None, **known: Any) -> Incoming:
    """Return what Ann says in her private chat."""
    return Incoming(KEY, msgspec.structs.replace(WHO, **known), what, source)


def in_neighbours(what: Any, key: str = f"{GROUP}") -> Incoming:
    """Return what is said in the group."""
    return Incoming(key, NEIGHBOURS, what)


def one(kind: FileKind, name: str = "", media_type: str = "", **more: Any) -> Attachment:
    """Return a file that is awaited."""
    word = {"photo": "", "animation": "animation"}.get(kind.value, kind.value)
    return Attachment(kind, FileState.AWAITED, name, media_type, 4_096, **{"ref": f"BQAC-{word}", "origin": f"u-{word}"} | more)


READ: dict[str, Incoming] = {
    "text": of_ann(wrote("Здравствуйте! 👋")),
    "start": of_ann(wrote("/start")),
    "start_payload": of_ann(wrote("/start site_42-utm"), Source(start="site_42-utm")),
    "link": of_ann(wrote("👋 see here (https://example.test/a) please")),
    "photo": of_ann(wrote("Вот", files=(PICTURE,))),
    "album": of_ann(wrote(album=ALBUM, files=(PICTURE,))),
    "video": of_ann(wrote(files=(one(FileKind.VIDEO, "a.mp4", "video/mp4", seconds=12, width=640, height=360),))),
    "video_note": of_ann(
        wrote(
            files=(
                one(
                    FileKind.VIDEO,
                    "",
                    "video/mp4",
                    seconds=5,
                    width=240,
                    height=240,
                    ref="BQAC-video_note",
                    origin="u-video_note",
                ),
            )
        )
    ),
    "voice": of_ann(wrote(files=(one(FileKind.VOICE, "", "audio/ogg", seconds=7),))),
    "audio": of_ann(wrote(files=(one(FileKind.AUDIO, "Кино – Группа крови", "audio/mpeg", seconds=200),))),
    "animation": of_ann(wrote(files=(one(FileKind.ANIMATION, "", "video/mp4", seconds=2, width=320, height=200),))),
    "document": of_ann(wrote(files=(one(FileKind.DOCUMENT, "счёт.pdf", "application/pdf"),))),
    "too_large": of_ann(
        wrote(
            files=(
                Attachment(
                    FileKind.DOCUMENT,
                    FileState.TOO_LARGE,
                    "film.mkv",
                    "video/x-matroska",
                    20_971_521,
                    origin="u-document",
                    problem="Telegram gives bots no more than 20 MB",
                ),
            )
        )
    ),
    "sticker": of_ann(wrote(files=(one(FileKind.STICKER, "😀", "image/webp", width=512, height=512),))),
    "moving_sticker": of_ann(wrote(files=(one(FileKind.STICKER, "", "video/webm", width=512, height=512),))),
    "location": of_ann(wrote(place=Place(55.75, 37.61))),
    "venue": of_ann(wrote(place=Place(55.75, 37.61, "Кафе", "Тверская, 1"))),
    "own_contact": of_ann(wrote(shared=SharedContact("Анна И", "+79123456789", own=True)), vouched_phones=("+79123456789",)),
    "other_contact": of_ann(wrote(shared=SharedContact("Боб", "+79000000107"))),
    "unknown_contact": of_ann(wrote(shared=SharedContact("Боб", "+79000000107"))),
    "reply": of_ann(wrote("Да", answers=f"{ANN}:39", quote=Quote(0, "Вам удобно завтра?", "Shop"))),
    "quote": of_ann(wrote("Да", answers=f"{ANN}:39", quote=Quote(0, "завтра", "Shop"))),
    "reply_to_operator": of_ann(wrote("Да", answers=f"{ANN}:39", quote=Quote(0, "Вам удобно завтра?", "Shop"))),
    "forwarded": of_ann(wrote("Смотрите", forwarded_from="Боб")),
    "forwarded_hidden": of_ann(wrote("Смотрите", forwarded_from="Кто-то")),
    "forwarded_channel": of_ann(wrote("Смотрите", forwarded_from="Новости")),
    "poll": of_ann(wrote("Кофе?", what="poll")),
    "dice": of_ann(wrote("🎲 5", what="dice")),
    "story": of_ann(wrote(what="story")),
    "group": in_neighbours(wrote("Есть кто?", f"{GROUP}:40", author="Анна Иванова")),
    "old_group": Incoming("-4567", OLD, wrote("Есть кто?", "-4567:40", author="Анна Иванова")),
    "group_contact": in_neighbours(
        wrote("", f"{GROUP}:40", shared=SharedContact("Анна", "+79123456789", own=True), author="Анна Иванова")
    ),
    "anonymous": in_neighbours(wrote("Мы тут", f"{GROUP}:40", author="Соседи")),
    "topic": in_neighbours(wrote("По теме", f"{GROUP}:40", author="Анна Иванова"), f"{GROUP}/17"),
    "topic_reply": in_neighbours(
        wrote("Ответ", f"{GROUP}:40", f"{GROUP}:20", quote=Quote(0, "По теме", "Анна Иванова"), author="Анна Иванова"),
        f"{GROUP}/17",
    ),
    "business": Incoming(BUSINESS, WHO, wrote("Сколько стоит?", f"{BUSINESS}:40")),
    "business_by_hand": Incoming(
        BUSINESS, msgspec.structs.replace(WHO, language=""), AnsweredOutside("Сто рублей", f"{BUSINESS}:40", Extra())
    ),
    "edited": of_ann(Changed(REF, "Здравствуйте!", Extra())),
    "edited_caption": of_ann(Changed(REF, "Вот так", Extra(files=(PICTURE,)))),
    "edited_business": Incoming(BUSINESS, WHO, Changed(f"{BUSINESS}:40", "А сколько?", Extra())),
    "deleted": Incoming(BUSINESS, Person(KEY), Deleted((f"{BUSINESS}:40", f"{BUSINESS}:41"))),
    "reaction": Incoming(KEY, Person(KEY), Reacted(f"{ANN}:39", ("👍", "★"))),
    "reaction_taken_back": Incoming(KEY, Person(KEY), Reacted(f"{ANN}:39", ())),
    "pressed": of_ann(Pressed("good")),
    "pressed_of_old": of_ann(Pressed("bad")),
    "blocked": Incoming(KEY, Person(KEY), Reach("blocked")),
    "unblocked": Incoming(KEY, Person(KEY), Reach("")),
    "thrown_out": Incoming(f"{GROUP}", Person(f"{GROUP}"), Reach("left")),
    "left": Incoming(f"{GROUP}", Person(f"{GROUP}"), Reach("left")),
    "added": Incoming(f"{GROUP}", Person(f"{GROUP}"), Reach("")),
    "moved": Incoming("-4567", OLD, Moved(f"{GROUP}")),
}
OF_GROUPS = "group old_group group_contact anonymous topic topic_reply thrown_out left added moved".split()


def read(told: object, settings: TelegramSettings = GROUPS) -> Incoming | None:
    """Return what an update says."""
    return parse(body(told), settings)


def test_every_recorded_update_is_expected_to_say_something():
    """None is forgotten in the table."""
    assert SAID.keys() == READ.keys()


@pytest.mark.parametrize("name", SAID)
def test_each_says_who_where_and_what(name: str):
    """Every kind of content, as it comes from the provider."""
    assert read(SAID[name]) == READ[name]


@pytest.mark.parametrize("name", IGNORED)
def test_what_concerns_nobody_is_no_input(name: str):
    """What other bots say, what we said ourselves, notes of the provider's own, and what nobody knows yet."""
    assert read(IGNORED[name]) is None


@pytest.mark.parametrize("name", OF_GROUPS)
def test_groups_are_served_only_where_the_setting_says_so(name: str):
    """A bot that somebody has added to a group does not listen there."""
    assert read(SAID[name], PLAIN) is None


def test_whoever_presses_start_waits_where_the_setting_says_so():
    """No session is opened by it; where they came from is kept, and no other start wipes it out."""
    came, again = read(SAID["start_payload"], WAITS), read(SAID["start"], WAITS)

    assert of_ann(Told(), Source(start="site_42-utm")) == came
    assert of_ann(Told()) == again


def test_a_start_in_a_group_is_a_message_like_any_other():
    """The payload in it is for whoever adds the bot, and tells nothing of the group's source."""
    found = read(in_group(text="/start x"), GROUPS)

    assert found is not None
    assert found.source is None


def test_a_long_payload_is_cut():
    """Of what is longer than Telegram's own 64 characters nothing more is kept."""
    found = read(said(text="/start " + "x" * 4_000))

    assert found is not None
    assert found.source == Source(start="x" * 64)


def test_a_card_of_oneself_in_a_group_is_nobodys_phone_for_sure():
    """The conversation is the group's: its contact does not become the one who wrote."""
    found = read(SAID["group_contact"])

    assert found is not None
    assert () == found.person.vouched_phones


def test_several_links_stand_behind_their_words():
    """Offsets are in code units, also behind emoji."""
    entities = [
        {"type": "text_link", "offset": 0, "length": 2, "url": "https://a.test"},
        {"type": "bold", "offset": 0, "length": 2},
        {"type": "text_link", "offset": 3, "length": 1, "url": "https://b.test"},
    ]

    found = read(said(text="😀 x", entities=entities))

    assert found is not None
    assert isinstance(found.what, Wrote)
    assert found.what.text == "😀 (https://a.test) x (https://b.test)"


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        body({"update_id": "x"}),
        body({"update_id": 1, "message": {"message_id": 1}}),
        body({"update_id": 1, "message": []}),
        body(said(text=["x"])),
        body(said(location={"latitude": "nan", "longitude": 0})),
        body(said(photo=[{"width": 3}])),
        body(update(business_message=message(business_connection_id="a b", text="x"))),
        body(update(business_message=message(business_connection_id="x" * 201, text="x"))),
        body(said(text="x", media_group_id="\u0000")),
        b'{"update_id":1,"message":{"message_id":1,"chat":{"id":' + b"9" * 30 + b'},"text":"x"}}',
        b'{"update_id":1,"message":{"message_id":1,"chat":{"id":1},"text":"\\ud83d"}}',
        b'{"update_id":1,"message":' * 5_000,
    ],
)
def test_what_cannot_be_read_is_bad_input(told: bytes):
    """It is kept as a dead letter, and holds up nothing."""
    with pytest.raises(BadInput):
        parse(told, GROUPS)


def test_presses_are_found_among_all_that_came():
    """Each wants an answer; what cannot be read has none."""
    bodies = [body(SAID["text"]), body(SAID["pressed"]), b'{"callback_query"', body(IGNORED["inline_press"])]

    assert callback_queries(bodies) == ["4382bfdwdsb323b2d9", "1"]


def test_whose_chat_it_is_is_known_without_a_sender():
    """A message that is nobody's in a private chat is its customer's."""
    told = message(text="x")
    del told["from"]

    found = read(update(message=told))

    assert found is not None
    assert msgspec.structs.replace(WHO, language="") == found.person


def test_settings_are_checked_and_filled_in():
    """A token and nothing else is enough."""
    assert check({"token": "123456:AAE-x_y"}) == {
        "token": "123456:AAE-x_y",
        "mode": "polling",
        "groups": False,
        "start": "opens",
        "names": True,
        "phone_label": "📱 +7 …",
        "server": "https://api.telegram.org",
    }


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, "settings.token"),
        ({"token": "AAE"}, "settings.token"),
        ({"token": "1:a b"}, "settings.token"),
        ({"token": "1:a", "server": "ftp://x"}, "settings.server"),
        ({"token": "1:a", "server": "https://x?y"}, "settings.server"),
        ({"token": "1:a", "mode": "both"}, "mode"),
        ({"token": "1:a", "phone_label": ""}, "phone_label"),
        ({"token": "1:a", "colour": "red"}, "settings.colour"),
    ],
)
def test_what_is_wrong_with_settings_is_said_with_its_place(given: dict[str, Any], place: str):
    """Whoever set it is told which it is."""
    with pytest.raises(BadInput) as told:
        check(given)

    assert place in f"{told.value.field} {told.value}"


def test_a_person_of_the_payloads_is_who_the_tests_mean():
    """The table above stands on it."""
    assert (PERSON["id"], WHO.identity) == (ANN, KEY)
