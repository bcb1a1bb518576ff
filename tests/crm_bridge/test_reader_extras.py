"""What stands beside words, and who turns out to be one person, reaches the CRM."""

from __future__ import annotations

import asyncio

import pytest

from broker.access.authorize import Actor
from broker.domain import OperatorId, Person, Role, Source
from broker.events import Changed, Deleted, Incoming, Wrote
from broker.extras import Attachment, Extra, FileKind, Place, SharedContact
from broker.leases import free
from crm_bridge import transcript
from crm_bridge.builtin import BuiltInCrm
from crm_bridge.reader import Reader
from operators import contacts
from tests.crm_bridge.house import House
from tests.support.channels import PUSH

PHONE = "+79123456789"


class Shop:
    """A house with a messenger and somebody who answers, and the CRM that reads along."""

    def __init__(self) -> None:
        self.house = House()
        self.line = self.house.line(reopen_seconds=600)
        self.bot = self.house.channel(self.line, "bot", PUSH)
        self.ann = self.house.operator("ann", self.line)
        self.reader = Reader(self.house, BuiltInCrm(self.house), lambda: self.house.capabilities, fence=free)

    def writes(self, who: str, wrote: Wrote | Changed | Deleted, source: Source | None = None) -> str:
        """Let *who* write, and return the conversation."""
        accepted = self.house.receive(self.bot, Incoming(who, Person(who, name=who.title()), wrote, source))
        self.house.settle()
        return str(accepted.conversation_id)

    def read(self) -> None:
        """Let the CRM read all there is."""
        while asyncio.run(self.reader.step()):
            pass

    def transcript(self) -> transcript.Document:
        """Return the one transcript."""
        return transcript.read(self.house.row("transcripts")["body"])


@pytest.fixture
def shop() -> Shop:
    """Return a shop that is open."""
    return Shop()


def test_a_transcript_has_what_stands_beside_words(shop):
    """Files, places and cards are in it; plain words are written as before."""
    picture = Extra(files=(Attachment(FileKind.PHOTO, name="a.jpg", size=5, ref="secret"),))
    conversation = shop.writes("ann", Wrote("look", ref="1", extra=picture))
    shop.house.take(conversation, shop.ann)
    shop.writes("ann", Wrote("", ref="2", extra=Extra(place=Place(55.7, 37.6), shared=SharedContact("Bob", PHONE))))
    shop.house.end(conversation, shop.ann)
    shop.house.settle()
    shop.read()

    said = [line for line in shop.transcript().messages if line.who == "contact"]
    assert [("look", "photo", "a.jpg"), ("", "55.7, 37.6", f"Bob {PHONE}")] == [
        (said[0].text, said[0].files[0].kind, said[0].files[0].name),
        (said[1].text, said[1].place, said[1].shared),
    ]
    assert "secret" not in shop.house.row("transcripts")["body"]


def test_a_change_after_the_closing_is_in_the_transcript(shop):
    """What was said anew and what was taken back is marked, once the customer has done it."""
    conversation = shop.writes("ann", Wrote("one", ref="1"))
    shop.writes("ann", Wrote("two", ref="2"))
    shop.house.take(conversation, shop.ann)
    shop.house.end(conversation, shop.ann)
    shop.house.settle()
    shop.read()
    shop.writes("ann", Changed("1", "uno"))
    shop.writes("ann", Deleted(("2",)))
    shop.read()

    said = [(line.text, line.edited, line.deleted) for line in shop.transcript().messages if line.who == "contact"]
    assert [("uno", True, False), ("two", False, True)] == said


def test_a_lead_knows_the_word_in_the_link(shop):
    """By which link they came is among the details of the source."""
    shop.writes("ann", Wrote("/start spring", ref="1"), Source(start="spring"))
    shop.read()

    assert '"start":"spring"' in shop.house.row("leads")["source_details"]


def test_leads_follow_two_who_were_found_to_be_one(shop):
    """A supervisor joins them without a word from either: the younger's lead is the older's from then on."""
    shop.writes("ann", Wrote(f"my phone is {PHONE}", ref="1"))
    shop.writes("bob", Wrote(f"the phone is {PHONE}", ref="2"))
    shop.read()
    ann, bob = (shop.house.row("conversations", key=who)["contact_id"] for who in ("ann", "bob"))
    boss = Actor(OperatorId(shop.ann), "boss", "Boss", Role.ADMINISTRATOR, "en", lines=None, password_generated=False)

    shop.house.do(lambda tx: contacts.join(tx, boss, bob, ann))
    shop.house.settle()
    shop.read()

    assert {ann} == {row["contact_id"] for row in shop.house.rows("leads")}
    assert {ann} == {row["contact_id"] for row in shop.house.rows("sessions")}
