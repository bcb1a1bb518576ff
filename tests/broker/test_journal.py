"""The journal and its readers."""

from __future__ import annotations

import pytest

from broker.domain import ConversationId
from broker.inbound import accept, prepare
from broker.ports import Bell, Tx
from broker.store import journal
from tests.support.channels import FakeChannel, wrote
from tests.support.house import add_channel, add_line, load_house
from tests.support.store import MemoryStore, PostgresMemory, SqliteMemory


@pytest.fixture
def store() -> MemoryStore:
    """Return an empty store."""
    return MemoryStore()


def tell(store: MemoryStore, *bodies: str) -> None:
    """Append rows of no conversation."""

    def work(tx: Tx) -> None:
        for body in bodies:
            journal.append(tx, "presence", body)

    store.write(work)


def read_on(store: MemoryStore, name: str, most: int = 500) -> list[str]:
    """Read what follows the reader's position, move it, and return the bodies."""
    entries, behind = store.read(lambda tx: journal.after(tx, journal.position_of(tx, name), most))
    store.write(lambda tx: journal.move(tx, name, behind))
    return [entry.body for entry in entries]


def test_rows_come_in_the_order_of_commits(store: MemoryStore):
    """A reader sees what was committed first, first."""
    tell(store, "a", "b")
    tell(store, "c")

    assert read_on(store, "crm") == ["a", "b", "c"]


def test_a_reader_goes_on_where_it_stood(store: MemoryStore):
    """Each reader has its own position; a new one begins at the beginning."""
    tell(store, "a", "b")

    assert read_on(store, "crm") == ["a", "b"]
    tell(store, "c")
    assert (read_on(store, "crm"), read_on(store, "crm"), read_on(store, "reports")) == (["c"], [], ["a", "b", "c"])


def test_a_reader_takes_no_more_than_it_asks_for(store: MemoryStore):
    """Pages: nobody holds the writer for a long history."""
    tell(store, *"abcde")

    assert [read_on(store, "crm", most=2) for _ in range(4)] == [["a", "b"], ["c", "d"], ["e"], []]


def test_ids_are_never_used_again(store: MemoryStore):
    """A row that was undone, or deleted, leaves no number that another could take: a position never meets it twice."""
    tell(store, "a", "b")
    last = store.read(journal.now).last
    store.change("DELETE FROM journal")
    tell(store, "c")

    assert store.read(journal.now).last == last + 1


def test_an_empty_journal_ends_at_its_beginning(store: MemoryStore):
    """The position before everything."""
    assert store.read(journal.now).last == 0


def test_a_position_is_kept_in_words():
    """A console keeps it and a reader's row does; what is none of ours is none."""
    behind = journal.Position(17, 12, (5, 9))

    assert journal.Position.read(behind.text()) == behind
    assert journal.Position.read(journal.BEGINNING.text()) == journal.BEGINNING
    assert [journal.Position.read(text) for text in ("", "-", "1", "1-", "x", "1--2", "-1", "9" * 19 + "-1")] == [None] * 8


def test_a_position_that_names_too_many_has_no_words():
    """A console's hello has room for so much and no more: it is given a whole screen instead."""
    room = (journal.TEXT_MAX - len("1-9")) // len("-1000000000")
    full, fuller = (journal.Position(1, 9, tuple(range(10**9, 10**9 + count))) for count in (room, 1_000))

    assert journal.Position.read(full.text()) == full
    assert fuller.text() == ""


def test_a_readers_row_keeps_the_whole_position(store: MemoryStore):
    """With everybody who had not ended: what they commit is read after the next start, too."""
    behind = journal.Position(17, 12, (5, 9))
    store.write(lambda tx: journal.move(tx, "crm", behind))

    assert store.read(lambda tx: journal.position_of(tx, "crm")) == behind


def test_a_position_has_what_was_read():
    """All rows up to the last, but for those of transactions under way."""
    behind = journal.Position(17, 12, (5, 9))

    assert [behind.has(row, xid) for row, xid in ((17, 4), (17, 5), (16, 9), (18, 4), (1, None))] == [
        True,
        False,
        False,
        False,
        True,
    ]


def test_appending_rings_the_news_and_numbers_can_be_pointed_at(store: MemoryStore):
    """A distribution's row is numbered for the offers that point at it."""
    number = store.write(lambda tx: journal.append_numbered(tx, "distribution", "{}", line_id="shop"))

    assert number == store.read(journal.now).last
    assert store.rung == [(Bell.NEWS, "")]


def begun(store: SqliteMemory | PostgresMemory) -> ConversationId:
    """Have somebody write, and return the conversation; nobody has decided anything in it."""

    def build(tx: Tx) -> FakeChannel:
        line = add_line(tx)
        return FakeChannel(add_channel(tx, line), line)

    channel = store.write(build)
    settings = store.write(load_house).directory.lines[channel.line_id].settings
    prepared = prepare(channel, [wrote("1", "eve", "hello")], settings)
    (accepted,) = store.write(lambda tx: accept(tx, channel.id, prepared))
    assert accepted.conversation_id is not None
    return accepted.conversation_id


def test_a_conversations_numbers_have_no_gap(store: MemoryStore):
    """`next_seq` counts under the conversation's lock; a number is used once."""
    conversation = begun(store)

    assert [store.write(lambda tx: journal.next_seq(tx, conversation)) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(("kind", "decided", "rings"), [(PostgresMemory, 0, 1), (PostgresMemory, 1, 0), (SqliteMemory, 0, 0)])
def test_who_has_held_a_conversation_rings_for_what_waits_in_it(
    kind: type[SqliteMemory | PostgresMemory], decided: int, rings: int
):
    """Of several workers one may have passed it over while it was locked; a worker alone passes over nothing."""
    store = kind()
    conversation = begun(store)
    store.change("UPDATE conversations SET worked_seq = worked_seq + ?", decided)
    store.rung.clear()
    store.write(lambda tx: journal.next_seq(tx, conversation))

    assert store.rung == [(Bell.CONVERSATION, conversation)] * rings
