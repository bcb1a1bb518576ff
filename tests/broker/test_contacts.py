"""Who is writing: points made comparable, contacts recognised, completed and moved, and nobody's evidence over-believed."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from broker.domain import NAME_MAX, ContactId, LineSettings, Person, PointKind
from broker.errors import BadInput
from broker.events import Incoming, Told, Wrote
from broker.inbound import accept, points, prepare
from broker.inbound.points import Evidence
from broker.ports import Tx
from tests.crm_bridge.house import House, Provider
from tests.support.channels import PUSH, FakeChannel, told, wrote
from tests.support.house import add_channel, add_line
from tests.support.store import PostgresMemory
from tests.support.together import together

RU_PHONE = "+79123456789"


class Shop:
    """A house with a site and a messenger."""

    def __init__(self, **settings: Any) -> None:
        self.house = House()
        line = self.house.line(**settings)
        self.site = self.house.channel(line, "site")
        self.bot = self.house.channel(line, "bot", PUSH)

    def contact(self, channel: Provider, key: str) -> dict[str, Any]:
        """Return the contact whose conversation *key* is."""
        conversation = self.house.row("conversations", channel_id=channel.id, key=key)
        return self.house.row("contacts", id=conversation["contact_id"])

    def points(self, contact: str) -> list[tuple[str, str, str]]:
        """Return (kind, value, evidence) of the contact's points."""
        rows = self.house.rows("contact_points", contact_id=contact)
        return sorted((row["kind"], row["value"], row["evidence"]) for row in rows)

    def news(self) -> list[dict[str, Any]]:
        """Return what the journal tells of contacts."""
        return [msgspec.json.decode(row["body"]) for row in self.house.rows("journal", kind="contact")]


@pytest.fixture
def shop() -> Shop:
    """Return a shop in Russia."""
    return Shop()


# --- points


@pytest.mark.parametrize(
    "written",
    [
        "8 912 345-67-89",
        "+7 912 345-67-89",
        "79123456789",
        "7 (912) 345 67 89",
        "8(912)345-67-89",
        "  +79123456789 ",
        "9123456789",
        "+7.912.345.67.89",
    ],
)
def test_a_phone_is_one_however_it_is_written(written):
    """8 912…, +7 912… and 7912… are one number."""
    assert points.phone(written, "RU") == RU_PHONE


def test_the_lines_region_says_where_a_short_number_is_from():
    """The same digits are another phone in another country."""
    assert points.phone("(212) 555-2368", "US") == "+12125552368"
    assert points.phone("030 901820", "DE") == "+4930901820"
    assert points.phone("+49 30 901820", "RU") == "+4930901820"


@pytest.mark.parametrize("written", ["", "12", "hello", "+7 000", "8 912", "1" * 400, "+" * 50, "٣٤٥", "8 912 345-67-89 ext"])
def test_what_is_no_phone_is_refused(written):
    """The error names the field and shows how to write one."""
    with pytest.raises(BadInput) as refused:
        points.phone(written, "RU")

    assert (refused.value.field, refused.value.code) == ("phone", "bad_details")


@pytest.mark.parametrize("written", ["Ann@Example.COM", " ann@example.com ", "ANN@EXAMPLE.COM"])
def test_an_email_is_one_in_any_case(written):
    """Nobody has two mailboxes that differ in capitals."""
    assert points.email(written) == "ann@example.com"


@pytest.mark.parametrize(
    "written",
    ["", "ann", "ann@", "@example.com", "ann@example", "a b@example.com", "ann@@example.com", "a@b.c", "a" * 300 + "@e.com"],
)
def test_what_is_no_email_is_refused(written):
    """The error names the field."""
    with pytest.raises(BadInput) as refused:
        points.email(written)

    assert refused.value.field == "email"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("call me 8 912 345-67-89 please", [RU_PHONE]),
        ("8-912-345-67-89, or ann@example.com.", ["ann@example.com", RU_PHONE]),
        ("<ann@example.com>", ["ann@example.com"]),
        ("mailto:Ann.B+tag@mail.example.co.uk!", ["ann.b+tag@mail.example.co.uk"]),
        ("почта:ann@example.com", ["ann@example.com"]),
        ("+79123456789 +7 912 345-67-89 89123456789", [RU_PHONE]),
        ("my order 1234567, card 4111 1111 1111 1111", []),
        ("2026-03-02 12:00 costs 1 000 000", []),
        ("user@host, price@", []),
        ("https://example.com/?id=79123", []),
    ],
)
def test_points_are_found_in_what_people_write(text, found):
    """Phones and e-mails among words, each once; order numbers, cards and prices are none."""
    assert [point.value for point in points.in_text(text, "RU")] == found
    assert {point.evidence for point in points.in_text(text, "RU")} <= {Evidence.MESSAGE}


def test_a_flood_of_points_gives_the_first_few():
    """A pasted address book does not fill somebody's card."""
    text = " ".join(f"a{number}@example.com" for number in range(100))

    assert [f"a{number}@example.com" for number in range(5)] == [point.value for point in points.in_text(text, "RU")]


_HOSTILE = {
    "digits": "1" * 8_000,
    "spaced digits": "1 " * 4_000,
    "signs between digits": "8-(9)." * 1_300,
    "pluses": "+7" * 4_000,
    "at signs": "@" * 8_000,
    "dots before an at": "a." * 4_000 + "@",
    "almost an address": "a@" + "a." * 3_999,
    "many almost addresses": "a@b." * 2_000,
    "hyphens in a domain": "a@" + "a-" * 3_990,
    "words with at": "x" * 64 + "@" + "y" * 7_900,
    "almost phones": "8912345678 " * 720,
    "phones": "8 912 345-67-89 " * 500,
    "wide digits": "１２３４５６７８９０" * 800,
    "brackets": "((((" * 2_000,
    "much too long": "8 912 345-67-8 " * 100_000,
}


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE.keys())
def test_hostile_texts_stay_fast(text):
    """Whatever the text, the search costs milliseconds: it runs before every message is stored."""
    points.in_text("8 912 345-67-89", "RU")  # the library loads its tables
    best = 1.0
    for _ in range(3):
        began = time.perf_counter()
        points.in_text(text, "RU")
        best = min(best, time.perf_counter() - began)

    assert best < 0.05


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE.keys())
def test_hostile_details_stay_fast(text):
    """A form's fields are as hostile as a message."""
    began = time.perf_counter()
    for check in (lambda: points.phone(text, "RU"), lambda: points.email(text)):
        with pytest.raises(BadInput):
            check()

    assert time.perf_counter() - began < 0.05


# --- recognising


def test_a_stranger_becomes_a_contact(shop):
    """The first message makes a contact with the channel's identity."""
    shop.house.say(shop.site, "v1", "hello", name="Ann")
    contact = shop.contact(shop.site, "v1")

    assert contact["name"] == "Ann"
    assert shop.points(contact["id"]) == [("channel", "v1", "identity")]


def test_one_person_in_one_channel_is_one_contact(shop):
    """Another conversation of the same identity is the same contact's."""
    shop.house.say(shop.bot, "chat-1", "hello")
    person = Person("chat-1", name="Ann")

    shop.house.receive(shop.bot, Incoming("group-7", person, Wrote("hello from a group")))

    assert shop.contact(shop.bot, "chat-1")["id"] == shop.contact(shop.bot, "group-7")["id"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"phones": ("8 912 345-67-89",)}, {"phones": ("+7 912 345 67 89",)}),
        ({"emails": ("Ann@Example.com",)}, {"emails": ("ann@example.COM",)}),
        ({"phones": (RU_PHONE,), "emails": ("ann@example.com",)}, {"emails": ("ann@example.com",)}),
    ],
)
def test_a_form_recognises_across_channels(shop, first, second):
    """Who tells the phone or e-mail of somebody we know, however written, is that person."""
    shop.house.tell(shop.site, "v1", name="Ann", **first)
    shop.house.tell(shop.bot, "u1", **second)

    assert shop.contact(shop.site, "v1")["id"] == shop.contact(shop.bot, "u1")["id"]
    assert len(shop.house.rows("contacts")) == 1


def test_a_form_moves_a_blank_stranger(shop):
    """Points, conversation and session of the stranger go to the known contact; the stranger stays as a sign post."""
    shop.house.tell(shop.bot, "u1", name="Ann", emails=("ann@example.com",))
    known = shop.contact(shop.bot, "u1")["id"]
    conversation = shop.house.say(shop.site, "v1", "hello")
    shop.house.settle()
    stranger = shop.contact(shop.site, "v1")["id"]
    shop.house.tell(shop.site, "v1", name="Annie", emails=("ann@example.com",))
    shop.house.settle()

    assert shop.contact(shop.site, "v1")["id"] == known
    assert shop.house.session(conversation)["contact_id"] == known
    assert shop.points(stranger) == []
    assert shop.house.row("contacts", id=stranger)["merged_into"] == known
    assert shop.news()[-1] == {"contact": known, "added": [], "moved_from": stranger, "elsewhere": []}
    assert shop.house.row("contacts", id=known)["name"] == "Ann"


def test_a_contact_with_an_address_of_its_own_is_never_moved(shop):
    """Two known people stay two; the journal reports who else owns the point."""
    shop.house.tell(shop.bot, "u1", name="Ann", emails=("ann@example.com",))
    shop.house.tell(shop.site, "v1", name="Bob", phones=(RU_PHONE,))
    ann, bob = shop.contact(shop.bot, "u1")["id"], shop.contact(shop.site, "v1")["id"]
    shop.house.tell(shop.site, "v1", emails=("ann@example.com",))

    assert shop.contact(shop.site, "v1")["id"] == bob
    assert shop.news()[-1] == {"contact": bob, "added": [], "moved_from": None, "elsewhere": [ann]}
    assert ("email", "ann@example.com", "form") in shop.points(ann)


def test_a_stranger_known_in_two_channels_is_never_moved(shop):
    """A contact with several identities is somebody, though without an address."""
    shop.house.say(shop.site, "v1", "hello")
    contact = shop.contact(shop.site, "v1")["id"]
    shop.house.store.change(
        "INSERT INTO contact_points (id, contact_id, kind, scope, value, created_us) VALUES ('p', ?, 'channel', ?, 'u9', 0)",
        contact,
        shop.bot.id,
    )
    shop.house.tell(shop.bot, "u1", emails=("ann@example.com",))
    shop.house.tell(shop.site, "v1", emails=("ann@example.com",))

    assert shop.contact(shop.site, "v1")["id"] == contact
    assert shop.news()[-1]["elsewhere"] == [shop.contact(shop.bot, "u1")["id"]]


def test_a_form_with_points_of_two_people_names_both(shop):
    """The stranger goes to the first; the other is reported as a possible duplicate."""
    shop.house.tell(shop.bot, "u1", emails=("ann@example.com",))
    shop.house.tell(shop.bot, "u2", phones=(RU_PHONE,))
    first, second = shop.contact(shop.bot, "u2")["id"], shop.contact(shop.bot, "u1")["id"]
    shop.house.say(shop.site, "v1", "hello")
    stranger = shop.contact(shop.site, "v1")["id"]
    shop.house.tell(shop.site, "v1", phones=("8 912 345-67-89",), emails=("ann@example.com",))

    assert shop.contact(shop.site, "v1")["id"] == first
    assert shop.news()[-1] == {"contact": first, "added": [], "moved_from": stranger, "elsewhere": [second]}


# --- completing


def test_what_is_written_completes_the_contact(shop):
    """A phone and an e-mail in a message are the contact's from then on."""
    shop.house.say(shop.site, "v1", "8 912 345-67-89 or Ann@example.com")

    assert shop.points(shop.contact(shop.site, "v1")["id"]) == [
        ("channel", "v1", "identity"),
        ("email", "ann@example.com", "message"),
        ("phone", RU_PHONE, "message"),
    ]


def test_what_is_merely_written_moves_nobody(shop):
    """Anybody can write anybody's address: evidence of a message recognises nobody and is reported."""
    shop.house.tell(shop.bot, "u1", name="Ann", emails=("ann@example.com",))
    ann = shop.contact(shop.bot, "u1")["id"]
    shop.house.say(shop.site, "v1", "hello")
    stranger = shop.contact(shop.site, "v1")["id"]
    shop.house.say(shop.site, "v1", "write to ann@example.com")
    shop.house.say(shop.site, "v2", "first words: ann@example.com")

    assert shop.contact(shop.site, "v1")["id"] == stranger != ann
    assert shop.contact(shop.site, "v2")["id"] != ann
    assert [news["elsewhere"] for news in shop.news()[-2:]] == [[ann], [ann]]


def test_a_line_may_leave_messages_alone():
    """With the tracker off what is written is only words."""
    shop = Shop(tracker=False)
    shop.house.say(shop.site, "v1", "8 912 345-67-89")

    assert shop.points(shop.contact(shop.site, "v1")["id"]) == [("channel", "v1", "identity")]


def test_what_is_known_already_is_no_news(shop):
    """The same phone again, in another form, changes nothing and is not told."""
    shop.house.tell(shop.site, "v1", phones=(RU_PHONE,))
    before = len(shop.news())
    shop.house.tell(shop.site, "v1", phones=("8 912 345-67-89",))

    assert before == len(shop.news())


def test_a_repeated_payload_completes_nothing(shop):
    """The provider's repeat is a no-op, in the contact as in the inbox."""

    first = Incoming("v1", Person("v1"), Wrote("hello"))
    shop.house.receive(shop.site, first, "once")
    shop.house.receive(shop.site, Incoming("v1", Person("v1", "Ann"), Wrote("ann@example.com")), "once")
    contact = shop.contact(shop.site, "v1")

    assert (contact["name"], shop.points(contact["id"])) == ("", [("channel", "v1", "identity")])


def test_a_told_name_replaces_a_profile_name(shop):
    """The messenger's nickname gives way to what the person says of themselves; a later nickname does not come back."""
    shop.house.say(shop.bot, "u1", "hello", name="xX_ann_Xx")
    shop.house.tell(shop.bot, "u1", name="Ann Smith")
    shop.house.say(shop.bot, "u1", "hello again", name="xX_ann_Xx")

    assert shop.contact(shop.bot, "u1")["name"] == "Ann Smith"


def test_a_strangers_name_does_not_rename_somebody_known(shop):
    """Whoever is moved to a known contact is called what we called them."""
    shop.house.tell(shop.bot, "u1", name="Ann Smith", emails=("ann@example.com",))
    shop.house.say(shop.site, "v1", "hello", name="Mallory")
    shop.house.tell(shop.site, "v1", name="Mallory", emails=("ann@example.com",))

    assert shop.contact(shop.site, "v1")["name"] == "Ann Smith"


def test_a_new_conversation_does_not_rename_somebody_known(shop):
    """The first payload of a conversation recognises too, and renames as little."""
    shop.house.tell(shop.bot, "u1", name="Ann Smith", emails=("ann@example.com",))
    shop.house.tell(shop.site, "v1", name="Mallory", emails=("ann@example.com",))

    assert shop.contact(shop.site, "v1")["name"] == "Ann Smith"


def test_a_claim_renames_nobody_ever(shop):
    """Whoever typed somebody's e-mail may go on telling: what they tell changes nothing of the contact they claimed to be."""
    shop.house.tell(shop.bot, "u1", name="Ann Smith", emails=("ann@example.com",))
    shop.house.tell(shop.site, "v1", emails=("ann@example.com",))
    shop.house.say(shop.site, "v2", "hello")
    shop.house.tell(shop.site, "v2", emails=("ann@example.com",))
    shop.house.tell(shop.site, "v1", name="Mallory")
    shop.house.tell(shop.site, "v2", name="Mallory")

    assert shop.contact(shop.site, "v1")["name"] == shop.contact(shop.site, "v2")["name"] == "Ann Smith"
    assert [row["claimed"] for row in shop.house.rows("conversations")] == [0, 1, 1]
    shop.house.tell(shop.bot, "u1", name="Ann Jones")
    assert shop.contact(shop.bot, "u1")["name"] == "Ann Jones"


def test_a_conversation_keeps_what_was_told_in_it(shop):
    """And nothing of what the same contact told elsewhere: the customer's side is shown this, never the contact."""
    shop.house.tell(shop.bot, "u1", name="Ann Smith", emails=("ann@example.com",), phones=(RU_PHONE,))
    shop.house.tell(shop.site, "v1", emails=("ann@example.com",))
    shop.house.say(shop.site, "v1", f"or call {RU_PHONE}")
    shop.house.tell(shop.site, "v1", name="Eve")
    shop.house.say(shop.bot, "u1", "hello", name="xX_ann_Xx")

    told = {row["key"]: (row["told_name"], row["told"]) for row in shop.house.rows("conversations")}
    assert told == {"u1": ("Ann Smith", "email phone"), "v1": ("Eve", "email")}


def test_a_name_has_a_length(shop):
    """A name that is a novel is cut."""
    shop.house.tell(shop.site, "v1", name="x" * 10_000)

    assert shop.contact(shop.site, "v1")["name"] == "x" * NAME_MAX


def test_a_form_with_a_wrong_phone_is_a_dead_letter_of_its_own(shop):
    """What cannot be read is kept raw and harms nobody else."""

    accepted = shop.house.receive(shop.site, Incoming("v1", Person("v1", phones=("nonsense",)), Told()))

    assert accepted.dead is not None
    assert "nonsense" in accepted.dead
    assert shop.house.rows("contacts") == []


def test_points_keep_how_they_were_written(shop):
    """The card shows the number as the customer wrote it."""
    shop.house.tell(shop.site, "v1", phones=("8 (912) 345-67-89",))

    assert shop.house.row("contact_points", kind=PointKind.PHONE.value)["written"] == "8 (912) 345-67-89"


def test_a_session_follows_the_moved_conversation_by_a_message_too(shop):
    """A messenger that shares the phone with the message recognises as a form does; the open session goes along."""
    shop.house.tell(shop.site, "v1", name="Ann", phones=(RU_PHONE,))
    known = ContactId(shop.contact(shop.site, "v1")["id"])
    conversation = shop.house.say(shop.bot, "u1", "hello")
    shop.house.settle()
    shop.house.say(shop.bot, "u1", "my number", phones=("8 912 345-67-89",))
    shop.house.settle()

    assert shop.house.session(conversation)["contact_id"] == known


def test_a_stranger_whom_two_processes_meet_at_once_is_one_contact():
    """The second waits for the first and finds out whom that has met: what the stranger tells of themselves is that contact's."""
    store = PostgresMemory()

    def build(tx: Tx) -> FakeChannel:
        line = add_line(tx)
        return FakeChannel(add_channel(tx, line), line)

    channel = store.write(build)
    hello, form = (
        prepare(channel, [raw], LineSettings())
        for raw in (wrote("m1", "eve", "hello"), told("m2", "eve", email="eve@example.com"))
    )

    together(store, lambda tx: accept(tx, channel.id, hello), lambda tx: accept(tx, channel.id, form))

    ((contact,),) = store.rows("SELECT id FROM contacts")
    owned = store.rows("SELECT kind, contact_id FROM contact_points ORDER BY kind")
    assert [("channel", contact), ("email", contact)] == owned
    assert [(contact,)] == store.rows("SELECT contact_id FROM conversations")
