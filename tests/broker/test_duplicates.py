"""Who may be one person: what is joined by itself, what is only suspected, and what somebody who has looked decides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from broker.domain import ContactId, Person
from broker.events import Incoming, Told, Wrote
from broker.extras import Extra, SharedContact
from broker.inbound import join, part, set_banned
from tests.crm_bridge.house import House, Provider
from tests.support.channels import PUSH

PHONE = "+79123456789"
AS_A_PROVIDER_SAYS_IT = "79123456789"


class Shop:
    """A house with a site and two messengers."""

    def __init__(self) -> None:
        self.house = House()
        line = self.house.line()
        self.site = self.house.channel(line, "site")
        self.bot = self.house.channel(line, "bot", PUSH)
        self.other_bot = self.house.channel(line, "other", PUSH)

    def writes(self, channel: Provider, who: str, text: str = "hello", **more: Any) -> str:
        """Let *who* write, and return whose contact the conversation is."""
        self.house.receive(channel, Incoming(who, Person(who, name=who.title(), **more), Wrote(text)))
        return self.contact(channel, who)

    def tells(self, channel: Provider, who: str, phone: str) -> str:
        """Let *who* send a form with a phone."""
        self.house.receive(channel, Incoming(who, Person(who, phones=(phone,)), Told()))
        return self.contact(channel, who)

    def contact(self, channel: Provider, key: str) -> str:
        """Return whose the conversation is."""
        return str(self.house.row("conversations", channel_id=channel.id, key=key)["contact_id"])

    def suspected(self) -> list[tuple[str, str, str, str]]:
        """Return (who, whose, by what, how it came) of everything that is suspected."""
        rows = self.house.rows("duplicates")
        return sorted(
            (row["contact_id"], row["other_id"], row["value"], row["evidence"]) for row in rows if not row["dismissed_us"]
        )

    def evidence(self, contact: str) -> list[str]:
        """Return how the contact's phones are known."""
        return [row["evidence"] for row in self.house.rows("contact_points", contact_id=contact, kind="phone")]


@pytest.fixture
def shop() -> Shop:
    """Return a shop in Russia."""
    return Shop()


def test_a_phone_vouched_for_twice_is_one_person(shop):
    """Two providers say whose it is: nobody need be asked, and nothing about it is a mere claim."""
    first = shop.writes(shop.bot, "ann", vouched_phones=(AS_A_PROVIDER_SAYS_IT,))

    second = shop.writes(shop.other_bot, "anna", vouched_phones=(PHONE,))

    assert first == second
    assert 0 == shop.house.row("conversations", channel_id=shop.other_bot.id)["claimed"]
    assert [] == shop.suspected()


def test_a_phone_that_is_vouched_for_after_it_was_told_joins_and_stays_a_claim(shop):
    """Whoever typed it into a form may have typed another's: their card is shared, and shows the customer nothing."""
    first = shop.tells(shop.site, "visitor", PHONE)

    second = shop.writes(shop.bot, "ann", vouched_phones=(PHONE,))

    assert first == second
    assert 1 == shop.house.row("conversations", channel_id=shop.bot.id)["claimed"]


def test_what_was_merely_written_is_not_its_writers_when_a_provider_knows_better(shop):
    """Bob wrote Ann's phone; when Ann's messenger vouches for it, it is hers, and both are shown to somebody."""
    bob = shop.writes(shop.bot, "bob", f"call my sister {PHONE}")

    ann = shop.writes(shop.other_bot, "ann", vouched_phones=(PHONE,))

    assert bob != ann
    assert ([], ["vouched"]) == (shop.evidence(bob), shop.evidence(ann))
    assert [(ann, bob, PHONE, "vouched")] == shop.suspected()


def test_what_is_vouched_for_later_is_known_better(shop):
    """A phone that they wrote themselves and then shared is known by the provider's word."""
    ann = shop.writes(shop.bot, "ann", f"my phone is {PHONE}")
    assert ["message"] == shop.evidence(ann)

    shop.writes(shop.bot, "ann", vouched_phones=(PHONE,))

    assert ["vouched"] == shop.evidence(ann)


def test_a_phone_written_in_two_conversations_is_a_suspicion_once(shop):
    """It joins nobody; said again, it is the same suspicion."""
    ann = shop.writes(shop.bot, "ann", f"my phone is {PHONE}")

    bob = shop.writes(shop.other_bot, "bob", f"the phone is {PHONE}")
    shop.writes(shop.other_bot, "bob", f"I said {PHONE}")

    assert ann != bob
    assert [(bob, ann, PHONE, "message")] == shop.suspected()


def test_somebody_elses_card_is_suspected_like_words(shop):
    """A contact that a customer passes on has a phone: not theirs, for all we know."""
    ann = shop.writes(shop.bot, "ann", vouched_phones=(PHONE,))
    card = Extra(shared=SharedContact("Ann", PHONE))

    shop.house.receive(shop.other_bot, Incoming("bob", Person("bob"), Wrote("", extra=card)))

    assert [(shop.contact(shop.other_bot, "bob"), ann, PHONE, "message")] == shop.suspected()


def test_a_provider_that_says_no_phone_is_believed_nothing(shop):
    """What it vouches for and nobody can read loses no message."""
    contact = shop.writes(shop.bot, "ann", vouched_phones=("", "abc"), vouched_emails=("nobody",))

    assert [] == shop.evidence(contact)


def test_two_who_are_joined_are_one(shop):
    """Conversations and ways to reach them are the other's, nothing is suspected any more, and the session follows."""
    ann = shop.writes(shop.bot, "ann", f"my phone is {PHONE}")
    bob = shop.writes(shop.other_bot, "bob", f"the phone is {PHONE}")

    shop.house.do(lambda tx: join(tx, ContactId(bob), ContactId(ann)))

    assert ann == shop.contact(shop.other_bot, "bob")
    assert [] == shop.suspected()
    assert ann == shop.house.row("contacts", id=bob)["merged_into"]


def test_who_was_banned_stays_so_when_two_are_joined(shop):
    """A second account is no way round it."""
    ann = shop.writes(shop.bot, "ann")
    bob = shop.writes(shop.other_bot, "bob")
    shop.house.do(lambda tx: set_banned(tx, ContactId(bob), banned=True))

    shop.house.do(lambda tx: join(tx, ContactId(bob), ContactId(ann)))

    assert shop.house.row("contacts", id=ann)["banned_us"]


def test_what_is_suspected_of_somebody_is_suspected_of_whom_they_were_joined_to(shop):
    """And what was looked at already need not be looked at again."""
    words = f"the phone is {PHONE}"
    ann, eve = shop.writes(shop.bot, "ann", words), shop.writes(shop.bot, "eve", words)
    dan = shop.writes(shop.bot, "dan", words)
    shop.house.do(lambda tx: part(tx, ContactId(dan), ContactId(ann)))
    into = shop.writes(shop.other_bot, "carl")

    shop.house.do(lambda tx: join(tx, ContactId(ann), ContactId(into)))

    pairs = {frozenset((row["contact_id"], row["other_id"])): row["dismissed_us"] for row in shop.house.rows("duplicates")}
    assert (None, True) == (pairs[frozenset((into, eve))], pairs[frozenset((into, dan))] is not None)


def test_what_was_typed_by_another_proves_nothing_once_the_phone_is_vouched_for(shop):
    """Whoever filled the form in may have been somebody else: their conversation shows the card to nobody."""
    typed = shop.tells(shop.site, "visitor", PHONE)
    shop.writes(shop.bot, "ann", vouched_phones=(AS_A_PROVIDER_SAYS_IT,))

    assert typed == shop.contact(shop.bot, "ann")
    assert 1 == shop.house.row("conversations", channel_id=shop.site.id)["claimed"]


def test_two_people_stay_two(shop):
    """Once somebody has said so, the same words raise no suspicion again."""
    ann = shop.writes(shop.bot, "ann", f"my phone is {PHONE}")
    bob = shop.writes(shop.other_bot, "bob", f"the phone is {PHONE}")

    assert shop.house.do(lambda tx: part(tx, ContactId(ann), ContactId(bob)))
    shop.writes(shop.other_bot, "bob", f"once more {PHONE}")

    assert [] == shop.suspected()
    assert not shop.house.do(lambda tx: part(tx, ContactId(ann), ContactId(bob)))


def test_the_journal_says_where_else_the_phone_is(shop):
    """The CRM reads it there, as before."""
    ann = shop.writes(shop.bot, "ann", f"my phone is {PHONE}")
    shop.writes(shop.other_bot, "bob", f"the phone is {PHONE}")

    told = [msgspec.json.decode(row["body"]) for row in shop.house.rows("journal", kind="contact")]

    assert [[ann]] == [one["elsewhere"] for one in told if one["elsewhere"]]
