"""The record of a session as a document."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.domain import Author, Fate, Source
from crm_bridge.transcript import Channel, Document, Facts, Line, Thing, read, transcript_of
from tests.support.clock import MINUTE, NOON

SAID = (
    Line(1, Author.CONTACT, "Ann", "hello", NOON, Fate.RECEIVED),
    Line(2, Author.SYSTEM, "", "Welcome!", NOON, Fate.SENT),
    Line(5, Author.OPERATOR, "Bob", "hi", NOON + MINUTE, Fate.READ),
    Line(7, Author.OPERATOR, "Bob", "still there?", NOON + 2 * MINUTE, Fate.FAILED),
)


def facts(**changes: object) -> Facts:
    """Return a closed session with four messages."""
    known: dict[str, object] = {
        "session_id": "s1",
        "conversation_id": "c1",
        "line": Thing("l1", "Shop"),
        "channel": Channel("ch1", "Site", "widget"),
        "contact": Thing("p1", "Ann"),
        "operator": Thing("o1", "Bob"),
        "opened_at": NOON,
        "closed_at": NOON + 3 * MINUTE,
        "outcome": "sold",
        "frozen": False,
        "source": Source(page="https://shop.example/"),
        "messages": SAID,
    }
    return Facts(**{**known, **changes})  # type: ignore[arg-type]


def test_a_transcript_says_who_said_what_when_and_what_became_of_it():
    """Every message in its order, and the session's own facts."""
    document = read(transcript_of(facts()).body)

    assert document.messages == SAID
    assert (
        document.opened_at,
        document.first_answer_at,
        document.closed_at,
        document.outcome,
        document.source.page,
    ) == (NOON, NOON + MINUTE, NOON + 3 * MINUTE, "sold", "https://shop.example/")


def test_the_same_session_is_the_same_bytes():
    """A rewrite that changes nothing can be told from one that does."""
    assert transcript_of(facts()) == transcript_of(facts(messages=list(SAID)))


def test_the_external_id_is_the_sessions():
    """A session that closes again has the same transcript."""
    assert transcript_of(facts()).external_id == transcript_of(facts(outcome="lost", frozen=True)).external_id == "session:s1"


def test_a_session_nobody_answered_has_no_first_answer():
    """The line's own texts are no answer."""
    assert read(transcript_of(facts(messages=SAID[:2])).body).first_answer_at is None


@pytest.mark.parametrize("text", ["", '"\\\u2028</script>', "\x00\x1b[0m", "\u202egnol", "😀" * 2_000])
def test_any_text_comes_back_as_it_was_said(text):
    """Hostile and odd texts are data."""
    said = Line(1, Author.CONTACT, text, text, NOON + timedelta(microseconds=1), Fate.RECEIVED)

    document: Document = read(transcript_of(facts(messages=[said])).body)
    assert document.messages == (said,)
