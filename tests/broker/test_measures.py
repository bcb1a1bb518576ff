"""How the house stands in numbers: each is what the rows say, and nothing that is over counts."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from broker.domain import PresenceState
from broker.events import Close
from broker.ports import Tx
from broker.store import journal
from broker.store.journal import Position
from broker.store.measures import Behind, measure
from tests.routing.test_clockwork import Place
from tests.support.clock import NOON
from tests.support.store import ON_POSTGRESQL, PostgresMemory


def test_an_empty_house_waits_for_nothing():
    """Zero, and no line or channel by name."""
    found = Place(NOON, hours=None).store.read(measure)

    assert (found.open, found.longest_wait, found.unsent, found.readers) == ({}, {}, {}, {})
    assert (found.oldest_undecided, found.oldest_writer) == (0.0, 0.0)


def test_sessions_are_counted_by_line_and_status_and_the_longest_wait_is_told():
    """Who is being offered waits too; who has been answered, or is closed, no more."""
    place = Place(NOON, people=1, hours=None)
    done = place.say("done")
    place.answer(place.ann, done)
    place.do(place.ann, done, Close, outcome="solved")
    place.answer(place.ann, place.say("active"))
    place.set(place.ann, PresenceState.OFFLINE)
    place.clock.move(5)
    place.say("first")
    place.clock.move(60)
    place.say("second")
    place.clock.move(2)

    found = place.store.read(measure)
    assert found.open == {("shop", "active"): 1, ("shop", "queued"): 2}
    assert found.longest_wait == {"shop": 62.0}

    place.set(place.ann, PresenceState.ONLINE)
    assert place.store.read(measure).open == {("shop", "active"): 1, ("shop", "offered"): 2}
    assert place.store.read(measure).longest_wait == {"shop": 62.0}


def test_the_oldest_input_that_nobody_has_decided():
    """By its first undecided input, not by the last."""
    place = Place(NOON, hours=None)
    place.say("eve")
    place.accept("eve")
    place.clock.move(10)
    place.accept("eve")
    place.accept("bob")
    place.clock.move(3)

    assert place.store.read(measure).oldest_undecided == 13.0
    place.go_on()
    assert place.store.read(measure).oldest_undecided == 0.0


def test_what_is_not_sent_is_told_by_channel():
    """Since when it waits, and not since when it is due: what backs off is due again and again, and never long."""
    place = Place(NOON, hours=None)
    conversation = place.say("eve")
    before = place.store.one("SELECT count(*) FROM outbox WHERE state = 'queued'")
    place.answer(place.ann, conversation)
    place.answer(place.ann, conversation)
    place.store.change("UPDATE outbox SET due_us = due_us + 60000000 WHERE seq = (SELECT max(seq) FROM outbox)")
    place.clock.move(4)

    assert place.store.read(measure).unsent == {"page": (before + 2, 4.0)}
    place.store.change("UPDATE outbox SET state = 'sent'")
    assert place.store.read(measure).unsent == {}


def test_every_reader_of_the_journal_tells_how_far_it_is_behind():
    """Those with a cursor in the database, and those that the process names; one that has read all is behind by nothing."""
    place = Place(NOON, hours=None)
    place.say("eve")
    half = place.store.read(journal.now)
    place.store.write(lambda tx: journal.move(tx, "crm", half))
    place.clock.move(20)
    place.say("bob")
    place.clock.move(1)
    last = place.store.one("SELECT max(id) FROM journal")

    def of(tx: Tx) -> Any:
        return measure(tx, {"consoles": journal.now(tx), "new": Position()}).readers

    found = place.store.read(of)
    assert (found["consoles"], found["crm"]) == (Behind(0, 0.0), Behind(last - half.last, 1.0))
    assert (found["new"].rows, found["new"].seconds) == (last, 21.0)


@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no transactions beside the writer's")
def test_the_oldest_transaction_that_has_written_is_told():
    """One that only reads holds nobody back, nor does one that is over."""
    place = Place(NOON, hours=None)
    assert isinstance(place.store, PostgresMemory)
    with psycopg.connect(place.store.database.url) as other:
        other.execute("SELECT 1")
        assert place.store.read(measure).oldest_writer == 0.0
        other.execute("SELECT pg_current_xact_id()")
        assert place.store.read(measure).oldest_writer > 0.0
    assert place.store.read(measure).oldest_writer == 0.0
