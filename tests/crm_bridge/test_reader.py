"""The way from the journal to leads and transcripts, on the real core."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import msgspec
import psycopg
import pytest

from broker.domain import Author, ConversationId, Delivered, Fate, LeadRule, LoadKind, Outside, Source
from broker.errors import LeaseLost, Rejected, Unavailable
from broker.events import Transfer
from broker.hours import Hours, raw_of
from broker.inbound import set_banned
from broker.leases import free
from broker.ports import LeadDraft, TranscriptDraft, Tx
from broker.store import journal
from broker.store.reconcile import reconcile
from crm_bridge.builtin import BuiltInCrm, put_transcripts
from crm_bridge.facts import SAID_PAGE
from crm_bridge.reader import NAME, Reader, look, transcripts_of
from crm_bridge.transcript import Document
from crm_bridge.transcript import read as document_of
from tests.crm_bridge.house import House
from tests.support.channels import PUSH, Fault
from tests.support.store import MemoryStore, PostgresMemory, plain


class Shop:
    """A house with a line, a site, a messenger, an operator and the built-in CRM's reader."""

    def __init__(self, store: type[MemoryStore] = MemoryStore, **settings: Any) -> None:
        self.house = House(store)
        self.line = self.house.line(**settings)
        self.site = self.house.channel(self.line, "site")
        self.bot = self.house.channel(self.line, "bot", PUSH)
        self.ann = self.house.operator("ann", self.line)
        self.crm = BuiltInCrm(self.house)
        self.reader = Reader(self.house, self.crm, lambda: self.house.capabilities, fence=free)

    def read(self) -> None:
        """Let the machines run until they rest, then the reader until it has read everything."""
        self.house.settle()
        while asyncio.run(self.reader.step()):
            pass

    @property
    def leads(self) -> list[dict[str, Any]]:
        """All leads."""
        return self.house.rows("leads")

    @property
    def transcripts(self) -> list[dict[str, Any]]:
        """All transcripts."""
        return self.house.rows("transcripts")

    def document(self) -> Document:
        """Return what the one transcript says."""
        (only,) = self.transcripts
        return document_of(only["body"])

    def state(self) -> tuple[object, ...]:
        """Return everything the CRM keeps."""
        return self.leads, self.transcripts


@pytest.fixture
def shop() -> Shop:
    """Return a shop with the default settings."""
    return Shop()


# --- leads


def test_a_visitor_who_leaves_no_address_is_no_lead(shop):
    """A stranger on a web page cannot be reached again, however much they write."""
    shop.house.say(shop.site, "v1", "hello", name="Ann")
    shop.read()
    shop.house.say(shop.site, "v1", "anybody?")
    shop.read()

    assert shop.leads == []


def test_a_phone_in_a_message_makes_the_lead(shop):
    """The lead appears with the first way to reach the customer, with the session's source."""
    source = Source("https://shop.example/", "Shop", "https://search.example/", {"utm_source": "ads"})
    conversation = shop.house.say(shop.site, "v1", "hello", name="Ann", source=source)
    shop.read()
    shop.house.say(shop.site, "v1", "call 8 912 345-67-89")
    shop.read()
    (lead,) = shop.leads

    assert (lead["title"], lead["stage"], lead["source"], lead["session_id"]) == (
        "Ann · Shop",
        "new",
        "Shop",
        shop.house.session(conversation)["id"],
    )
    assert msgspec.json.decode(lead["source_details"])["utm"] == {"utm_source": "ads"}


def test_a_form_makes_the_lead_before_anything_is_written(shop):
    """Who left a phone and asked nothing can still be called back; the session joins when there is one."""
    conversation = shop.house.tell(
        shop.site, "v1", name="Ann", phones=("+7 912 345-67-89",), source=Source("https://shop.example/")
    )
    shop.read()
    (before,) = shop.leads
    shop.house.say(shop.site, "v1", "hello")
    shop.read()
    (after,) = shop.leads

    assert before["session_id"] is None
    assert msgspec.json.decode(before["source_details"])["page"] == "https://shop.example/"
    assert (before["id"], shop.house.session(conversation)["id"]) == (after["id"], after["session_id"])


def test_a_channel_that_reaches_the_absent_makes_the_lead_at_once(shop):
    """An identity in a messenger is a way to reach somebody."""
    shop.house.say(shop.bot, "u1", "hello", name="Ann")
    shop.read()

    assert [lead["title"] for lead in shop.leads] == ["Ann · Shop"]


def test_a_contact_has_one_lead(shop):
    """More sessions, more channels, more points: the lead is the contact's first."""
    for channel, key in ((shop.site, "v1"), (shop.bot, "u1"), (shop.site, "v2")):
        shop.house.tell(channel, key, name="Ann", emails=("ann@example.com",))
        shop.house.say(channel, key, "hello, 8 912 345-67-89")
        shop.read()

    assert len(shop.leads) == 1


def test_a_line_may_want_no_leads():
    """The line's setting decides."""
    shop = Shop(lead_rule=LeadRule.NOTHING)
    shop.house.say(shop.bot, "u1", "hello, ann@example.com")
    shop.read()

    assert shop.leads == []


def test_who_takes_the_session_is_responsible_for_the_lead(shop):
    """A lead made while nobody has the session learns later who does."""
    conversation = shop.house.say(shop.bot, "u1", "hello")
    shop.read()
    unknown = shop.leads[0]["responsible_id"]
    shop.house.take(conversation, shop.ann)
    shop.read()

    assert (unknown, shop.leads[0]["responsible_id"]) == (None, shop.ann)


def told_leads(shop: Shop) -> list[tuple[str, str]]:
    """Return what the journal tells of leads: the lead, and what became of it."""
    bodies = [msgspec.json.decode(row["body"]) for row in shop.house.rows("journal") if row["kind"] == "lead"]
    return [(body["lead"], body["what"]) for body in bodies]


def test_whatever_becomes_of_a_lead_is_in_the_journal_once(shop):
    """Made, filled, given its transcript: a row each, in the lead's conversation; reading the same again adds none, nor do our own rows."""
    conversation = shop.house.say(shop.bot, "u1", "hello", name="Ann")
    shop.read()
    shop.house.take(conversation, shop.ann)
    shop.read()
    shop.house.end(conversation, shop.ann)
    shop.read()
    (lead,) = shop.leads
    rows = [row for row in shop.house.rows("journal") if row["kind"] == "lead"]

    assert [(lead["id"], what) for what in ("made", "filled", "transcript")] == told_leads(shop)
    assert {(conversation, shop.line)} == {(row["conversation_id"], row["line_id"]) for row in rows}
    assert [None, shop.ann, shop.ann] == [msgspec.json.decode(row["body"])["responsible"] for row in rows]
    shop.house.do(lambda tx: journal.move(tx, NAME, journal.BEGINNING))
    shop.read()
    assert 3 == len(told_leads(shop))


def test_a_lead_that_is_merged_or_moved_is_in_the_journal(shop):
    """A card that showed it must be shown again."""
    shop.house.say(shop.bot, "u1", "hello", name="Ann")
    shop.read()
    (stranger,) = shop.leads
    shop.house.say(shop.site, "v1", "hello, ann@example.com", name="Ann")
    shop.read()
    shop.house.tell(shop.bot, "u1", emails=("ann@example.com",))
    shop.read()

    assert (stranger["id"], "merged") in told_leads(shop)


def test_a_lead_follows_the_contact_it_turns_out_to_be(shop):
    """A stranger in a messenger has a lead; their form shows that we know them: one contact, one open lead, the known one's."""
    shop.house.say(shop.site, "v1", "hello, ann@example.com", name="Ann")
    shop.read()
    (known,) = shop.leads
    stranger = shop.house.say(shop.bot, "u1", "it is me")
    shop.read()
    shop.house.tell(shop.bot, "u1", emails=("ann@example.com",))
    shop.house.settle()
    shop.house.end(stranger, shop.ann)
    shop.house.take(stranger, shop.ann)
    shop.house.end(stranger, shop.ann)
    shop.read()

    assert {lead["contact_id"] for lead in shop.leads} == {known["contact_id"]}
    assert {known["id"]: "new"} == {lead["id"]: lead["stage"] for lead in shop.leads if lead["stage"] != "merged"}
    assert {row["lead_id"] for row in shop.transcripts} == {known["id"]}


# --- transcripts


def closed(shop: Shop, text: str = "hello, ann@example.com") -> Any:
    """Return a conversation whose session was answered and closed."""
    conversation = shop.house.say(shop.site, "v1", text, name="Ann")
    shop.house.settle()
    shop.house.take(conversation, shop.ann)
    shop.house.reply(conversation, shop.ann, "hi")
    shop.house.note(conversation, shop.ann, "a whisper")
    shop.house.end(conversation, shop.ann, "sold")
    return conversation


def test_closing_writes_the_transcript_to_the_lead(shop):
    """Everything that was said, by whom, and nothing that was whispered."""
    closed(shop)
    shop.read()
    document = shop.document()
    (kept,) = shop.transcripts

    # The line says goodbye, and asks how it was.
    assert [line.who.value for line in document.messages] == ["contact", "system", "operator", "system", "system"]
    assert [line.name for line in document.messages] == ["Ann", "", "Ann", "", ""]
    assert "a whisper" not in kept["body"]
    assert (document.outcome, document.operator.name if document.operator else "") == ("sold", "Ann")
    assert (kept["lead_id"], kept["frozen"]) == (shop.leads[0]["id"], 0)


def test_a_session_closed_by_silence_has_its_transcript():
    """Nobody closes it, and the line says nothing at its end: the CRM knows of it all the same."""
    shop = Shop(auto_close_seconds=60, auto_close_warn_seconds=0, close_says=False, rating=False)
    conversation = shop.house.say(shop.site, "v1", "write to ann@example.com")
    shop.house.settle()
    shop.house.reply(conversation, shop.ann, "done")
    shop.read()
    shop.house.later(seconds=61)
    shop.read()

    assert shop.house.session(conversation)["status"] == "closed"
    assert [message.text for message in shop.document().messages][-1] == "done"


@pytest.mark.parametrize(("limit", "most"), [("MESSAGES_MAX", 6), ("CHARACTERS_MAX", 240)])
def test_who_writes_without_an_end_makes_no_endless_transcript(shop, monkeypatch, limit, most):
    """A banned one, say, whose words all belong to the session that was closed: the first are kept there, all in the conversation."""
    monkeypatch.setattr(f"crm_bridge.facts.{limit}", most)
    conversation = closed(shop)
    shop.read()
    whole = shop.document()
    contact = shop.house.conversation(conversation)["contact_id"]
    shop.house.do(lambda tx: set_banned(tx, contact, banned=True))
    for number in range(10):
        shop.house.say(shop.site, "v1", f"still there {number}")
    shop.read()
    full = shop.document()
    for number in range(10):
        shop.house.say(shop.site, "v1", f"and here {number}")
    shop.read()

    assert (whole.more, full.more) == (False, True)
    assert full.messages[: len(whole.messages)] == whole.messages
    assert len(whole.messages) < len(full.messages) < 15
    assert shop.document() == full
    assert [broken.says for broken in shop.house.do(reconcile).broken if broken.table == "transcripts"] == []


def test_a_long_conversation_is_written_down_whole(shop):
    """It is read by pages: nothing is left out between them, and nothing is there twice."""
    conversation = closed(shop)
    contact = shop.house.conversation(conversation)["contact_id"]
    shop.house.settle()
    shop.house.do(lambda tx: set_banned(tx, contact, banned=True))
    for number in range(2 * SAID_PAGE + 10):
        shop.house.say(shop.site, "v1", f"still there {number}")
    shop.read()

    said = [row["seq"] for row in sorted(shop.house.rows("messages", kind="said"), key=lambda row: row["seq"])]
    assert [line.seq for line in shop.document().messages] == said
    assert not shop.document().more


def test_a_receipt_of_everything_reaches_each_session_that_it_covers(shop):
    """Whoever comes back after two of them has read the answers of both."""
    conversation = shop.house.say(shop.bot, "u1", "hello")
    for text in ("good day", "good evening"):
        shop.house.settle()
        shop.house.take(conversation, shop.ann)
        shop.house.reply(conversation, shop.ann, text)
        shop.house.settle()
        shop.house.end(conversation, shop.ann)
        shop.house.settle()
        shop.house.later(days=1)
        shop.house.say(shop.bot, "u1", "one thing more")
    shop.read()
    last = max(row["seq"] for row in shop.house.rows("messages", author="operator"))
    shop.house.see(shop.bot, "u1", last)
    shop.read()

    written = [document_of(row["body"]) for row in shop.transcripts]
    fates = {line.text: line.fate for one in written for line in one.messages if line.who is Author.OPERATOR}
    assert fates == {"good day": Fate.READ, "good evening": Fate.READ}


def test_spam_has_its_transcript(shop):
    """It closes without a word, and what was written can be looked up."""
    conversation = shop.house.say(shop.site, "v1", "buy my pills, 8 912 345-67-89")
    shop.house.settle()
    shop.house.spam(conversation, shop.ann)
    shop.read()

    assert "buy my pills, 8 912 345-67-89" in [message.text for message in shop.document().messages]


def test_what_is_written_outside_the_hours_reaches_the_crm():
    """The line answers by itself and closes: its transcript and its lead are there, though no operator saw it."""
    shop = Shop(hours=raw_of(Hours("UTC")), outside=Outside.REPLY, outside_text={"en": "", "ru": ""})
    shop.house.say(shop.site, "v1", "call me: 8 912 345-67-89")
    shop.read()

    assert len(shop.leads) == 1
    assert [message.text for message in shop.document().messages] == ["call me: 8 912 345-67-89"]


def test_a_session_of_a_stranger_has_a_transcript_too(shop):
    """No lead, but what was said is kept; the lead that comes later takes it."""
    closed(shop, "hello")
    shop.read()
    without = shop.transcripts[0]["lead_id"]
    shop.house.say(shop.site, "v1", "my mail is ann@example.com")
    shop.read()

    assert (without, shop.transcripts[0]["lead_id"]) == (None, shop.leads[0]["id"])


def test_a_reopened_session_has_one_transcript_of_all_of_it(shop):
    """The second closing rewrites the first transcript under the same external id."""
    conversation = closed(shop)
    shop.read()
    first = shop.document()
    shop.house.say(shop.site, "v1", "one more thing")
    shop.house.settle()
    shop.read()
    meanwhile = shop.document()
    shop.house.take(conversation, shop.ann)
    shop.house.end(conversation, shop.ann)
    shop.read()

    assert first == meanwhile
    assert "one more thing" in [line.text for line in shop.document().messages]
    assert first.messages[0] == shop.document().messages[0]


def test_a_transcript_is_frozen_when_the_reopen_window_has_passed(shop):
    """After that the session cannot open again."""
    closed(shop)
    shop.read()
    before = shop.transcripts[0]["frozen"]
    shop.house.later(minutes=11)
    shop.read()

    assert (before, shop.transcripts[0]["frozen"]) == (0, 1)


def test_a_transcript_is_frozen_when_a_later_session_came_first(shop):
    """A message after the window, decided before the window's own end is: the session before it cannot open again."""
    closed(shop)
    shop.read()
    shop.house.clock.move(660)
    shop.house.say(shop.site, "v1", "me again")
    shop.house.decide()
    shop.read()

    assert len(shop.house.rows("sessions")) == 2
    assert [row["frozen"] for row in shop.transcripts] == [1]


def between_sessions(shop: Shop) -> ConversationId:
    """Have a transcript written while a message that will open the next session still lies with the closed one; return the conversation."""
    conversation: ConversationId = closed(shop)
    shop.house.settle()
    shop.house.clock.move(660)
    shop.house.say(shop.site, "v1", "me again")
    while asyncio.run(shop.reader.step()):
        pass
    assert "me again" in [line.text for line in shop.document().messages]
    return conversation


def test_a_reader_that_is_behind_by_sessions_writes_each_that_was_superseded(shop):
    """Not only the latest: the words that opened the second session are no part of the first, and all but the last are frozen."""
    conversation = between_sessions(shop)
    shop.house.settle()
    for words in ("and again", "and once more"):
        shop.house.take(conversation, shop.ann)
        shop.house.end(conversation, shop.ann)
        shop.house.settle()
        shop.house.clock.move(660)
        shop.house.say(shop.site, "v1", words)
        shop.house.decide()
    shop.read()

    first, *others = sorted(shop.transcripts, key=lambda row: str(row["session_id"]))
    assert "me again" not in [line.text for line in document_of(first["body"]).messages]
    assert [row["frozen"] for row in (first, *others)] == [1, 1, 1]
    assert [one.says for one in reconcile(shop.house.store.looking()).broken if one.table == "transcripts"] == []


def test_what_the_reader_has_not_read_yet_is_not_called_wrong(shop):
    """The row that takes the words away stands in the next session: the transcript is right as of what was read."""
    between_sessions(shop)
    shop.house.settle()
    behind = reconcile(shop.house.store.looking())
    shop.read()

    assert [one.says for one in behind.broken if one.table == "transcripts"] == []
    assert "me again" not in [line.text for line in shop.document().messages]


@pytest.mark.parametrize(
    "deed",
    [
        lambda crm, page, texts: crm.put_lead(page.leads[0]),
        lambda crm, page, texts: crm.put_transcript(texts[0]),
        lambda crm, page, texts: crm.follow_contact("a", "b"),
    ],
)
def test_who_has_lost_the_lease_writes_nothing(shop, deed):
    """They have read what was true before; whoever took over may have written what is true now."""
    closed(shop)
    shop.house.settle()
    page = shop.house.store.read(lambda tx: look(tx, shop.house.capabilities))
    texts = shop.house.store.read(lambda tx: transcripts_of(tx, page.closed))

    def lost(tx: Tx) -> None:
        raise LeaseLost("crm")

    with pytest.raises(LeaseLost):
        asyncio.run(deed(BuiltInCrm(shop.house, lost), page, texts))
    assert (shop.leads, shop.transcripts) == ([], [])


def test_who_has_lost_the_lease_reads_no_further(shop):
    """The cursor is that of whoever took over: what was kept beside it is kept again from where they stand."""
    closed(shop)
    shop.house.settle()
    before = shop.house.rows("readers")

    def lost(tx: Tx) -> None:
        raise LeaseLost("crm")

    with pytest.raises(LeaseLost):
        asyncio.run(Reader(shop.house, shop.crm, lambda: shop.house.capabilities, fence=lost).step())
    assert shop.house.rows("readers") == before


def test_an_opening_is_known_whatever_the_clock_shows(shop):
    """The session opens after the one before it though the clock was set back: the lead is looked at, as at any opening."""
    closed(shop)
    shop.house.settle()
    shop.house.clock.move(660)
    shop.house.settle()
    shop.read()
    shop.house.store.change("UPDATE transcripts SET lead_id = NULL")
    shop.house.store.change("DELETE FROM leads")
    shop.house.clock.set(shop.house.clock.now() - timedelta(hours=1))
    shop.house.say(shop.site, "v1", "me again")
    shop.read()

    assert len(shop.house.rows("sessions")) == 2
    assert len(shop.leads) == 1


@pytest.mark.parametrize(
    ("table", "lock"),
    [
        ("conversations", "SELECT id FROM conversations WHERE id = %s FOR NO KEY UPDATE"),
        ("leads", "SELECT id FROM leads WHERE id = %s FOR NO KEY UPDATE"),
    ],
)
def test_transcripts_of_several_take_their_locks_in_everybodys_order(table: str, lock: str):
    """On a shared database: while one is waited for, no later one is held, so nobody waits in a circle."""
    shop = Shop(store=cast(type[MemoryStore], PostgresMemory))
    for visitor in ("v1", "v2"):
        conversation = shop.house.say(shop.site, visitor, f"I am {visitor}@example.com")
        shop.house.settle()
        shop.house.take(conversation, shop.ann)
        shop.house.end(conversation, shop.ann)
        shop.house.settle()
    page = shop.house.store.read(lambda tx: look(tx, shop.house.capabilities))
    assert page is not None
    for lead in page.leads:
        asyncio.run(shop.crm.put_lead(lead))
    first, second = sorted(row["id"] for row in shop.house.rows(table))
    texts = shop.house.store.read(lambda tx: transcripts_of(tx, page.closed))
    drafts = sorted(texts, key=lambda draft: draft.session_id, reverse=True)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    url = cast(PostgresMemory, shop.house.store).database.url
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as looks, ThreadPoolExecutor(1) as crm:
        other.execute(lock, [first])
        writing = crm.submit(shop.house.store.write, lambda tx: put_transcripts(tx, drafts))
        while looks.execute(waiting).fetchone() == (0,) and not writing.done():
            pass
        other.execute(lock + " NOWAIT", [second])
        other.commit()
        writing.result(10)

    assert [row["session_id"] for row in shop.transcripts] == [draft.session_id for draft in reversed(drafts)]


def test_a_line_without_a_window_freezes_at_closing():
    """There is nothing to wait for."""
    shop = Shop(reopen_seconds=0)
    closed(shop)
    shop.read()

    assert shop.transcripts[0]["frozen"] == 1


def test_the_fate_of_the_closing_text_is_written_when_it_is_known(shop):
    """The line's last text leaves after the closing: the transcript learns what became of it."""
    closed(shop)
    shop.house.decide()
    while asyncio.run(shop.reader.step()):
        pass
    before = shop.document().messages[-1].fate
    shop.read()
    after = shop.document().messages[-1].fate
    shop.house.see(shop.site, "v1", shop.document().messages[-1].seq)
    shop.read()

    assert (before, after, shop.document().messages[-1].fate) == (Fate.QUEUED, Fate.SENT, Fate.READ)


def test_a_message_that_failed_is_not_told_as_said(shop):
    """The record shows that the customer never got it."""
    conversation = shop.house.say(shop.bot, "u1", "hello")
    shop.house.settle()
    shop.bot.script.append(Fault.REJECTED)
    shop.house.reply(conversation, shop.ann, "hi")
    shop.house.end(conversation, shop.ann)
    shop.read()

    assert {line.text: line.fate for line in shop.document().messages}["hi"] is Fate.FAILED


# --- the reader itself


def test_a_reader_that_begins_again_changes_nothing(shop):
    """From the beginning of the journal everything is said once more, and kept once."""
    closed(shop)
    shop.read()
    shop.house.say(shop.bot, "u1", "hello")
    shop.read()
    before = shop.state()
    shop.house.do(lambda tx: journal.move(tx, NAME, journal.BEGINNING))
    shop.read()

    assert before == shop.state()


@pytest.mark.parametrize("most", [1, 2, 3, 5, 1_000])
def test_pages_of_any_size_come_to_the_same(most):
    """Where a page ends makes no difference to what is kept."""
    shop = Shop()
    shop.reader = Reader(shop.house, shop.crm, lambda: shop.house.capabilities, fence=free, most=most)
    conversation = closed(shop)
    shop.house.settle()
    shop.house.say(shop.site, "v1", "again")
    shop.house.settle()
    shop.house.take(conversation, shop.ann)
    shop.house.end(conversation, shop.ann)
    shop.read()

    assert (len(shop.leads), len(shop.transcripts), len(shop.document().messages)) == (1, 1, 7)


class Stumbling:
    """A `Crm` in front of another that fails at its nth call, before or after having done it."""

    def __init__(self, crm: BuiltInCrm, at: int, error: Exception, *, after: bool) -> None:
        self.calls = 0
        self._crm = crm
        self._at = at
        self._error = error
        self._after = after

    async def put_lead(self, lead: LeadDraft) -> str:
        """See `Crm`."""
        self._stumble(after=False)
        answer = await self._crm.put_lead(lead)
        self._stumble(after=True)
        return answer

    async def put_transcript(self, transcript: TranscriptDraft) -> None:
        """See `Crm`."""
        self._stumble(after=False)
        await self._crm.put_transcript(transcript)
        self._stumble(after=True)

    async def follow_contact(self, moved_from: str, into: str) -> None:
        """See `Crm`."""
        self._stumble(after=False)
        await self._crm.follow_contact(moved_from, into)
        self._stumble(after=True)

    def _stumble(self, *, after: bool) -> None:
        if after != self._after:
            return
        self.calls += 1
        if self.calls == self._at:
            raise self._error


@pytest.mark.parametrize("at", range(1, 4))
@pytest.mark.parametrize("after", [False, True])
def test_whatever_fails_on_the_way_comes_to_the_same(at, after):
    """A CRM that was not there, or whose answer was lost, is asked again; nothing is missed and nothing is kept twice."""
    calm, rough = Shop(), Shop()
    crm = Stumbling(rough.crm, at, Unavailable("resting"), after=after)
    rough.reader = Reader(rough.house, crm, lambda: rough.house.capabilities, fence=free)
    for one in (calm, rough):
        closed(one)
        one.house.settle()
        one.house.say(one.bot, "u1", "hello")
        one.house.settle()
        one.house.tell(one.bot, "u1", emails=("ann@example.com",))
        one.house.settle()
    with pytest.raises(Unavailable):
        rough.read()
    rough.read()
    calm.read()

    assert _told(calm) == _told(rough)


def _told(shop: Shop) -> object:
    return (
        [(lead["external_id"], lead["stage"], lead["title"]) for lead in shop.leads],
        [(text["external_id"], text["body"], text["frozen"], text["contact_id"]) for text in shop.transcripts],
    )


def test_what_the_crm_refuses_for_good_holds_up_nobody(shop):
    """A refusal is logged; the reader goes on with the others."""
    shop.reader = Reader(
        shop.house, Stumbling(shop.crm, 1, Rejected("too long"), after=False), lambda: shop.house.capabilities, fence=free
    )
    shop.house.say(shop.bot, "u1", "hello")
    shop.house.say(shop.bot, "u2", "hello")
    shop.read()

    assert len(shop.leads) == 1


def _talks(shop: Shop) -> ConversationId:
    """Let somebody call, and Ann talk with them."""
    shop.house.do(lambda tx: plain(tx, "UPDATE operators SET phone = 'PJSIP/101' WHERE id = ?", shop.ann))
    phone = shop.house.channel(shop.line, "number", replace(PUSH, delivered=Delivered.HELD, load=LoadKind.CALL))
    called = shop.house.call(phone, "call-1", "+79001234567")
    shop.house.settle()
    shop.house.lift(called, shop.ann)
    shop.house.settle()
    return called


def test_a_calls_transcript_says_who_called_whom_and_how_long(shop: Shop):
    """With the names of its files, and without a word: nothing was written."""
    called = _talks(shop)
    shop.house.hang_up(called)
    shop.read()

    call = shop.document().call
    assert call is not None
    assert (call.number, call.called, call.outgoing, call.forwarded_to) == ("+79001234567", "100", False, "")
    assert call.talk_at is not None
    assert call.talk_ended_at is not None


def test_the_transcript_of_a_call_that_was_passed_on_says_to_which_number(shop: Shop):
    """For us it was over then."""
    called = _talks(shop)
    shop.house.enter(called, lambda at, command: Transfer(at=at, operator_id=shop.ann, command=command, to_number="+74951234567"))
    shop.read()

    document = shop.document()
    assert document.outcome == "forward"
    assert document.call is not None
    assert document.call.forwarded_to == "+74951234567"


def test_the_transcript_of_a_call_that_we_made_says_so(shop: Shop):
    """Whether their customer was reached or not."""
    called = _talks(shop)
    shop.house.do(lambda tx: plain(tx, "UPDATE calls SET outgoing = 1 WHERE conversation_id = ?", called))
    shop.house.hang_up(called)
    shop.read()

    call = shop.document().call
    assert call is not None
    assert call.outgoing is True
