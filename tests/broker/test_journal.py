"""The journal and its readers."""

from __future__ import annotations

import pytest

from broker.inbound import accept, prepare
from broker.ports import Bell, Tx
from broker.store import journal
from tests.support.channels import FakeChannel, wrote
from tests.support.house import add_channel, add_line, load_house
from tests.support.store import MemoryStore


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


def test_rows_come_in_the_order_of_commits(store: MemoryStore):
    """A reader sees what was committed first, first."""
    tell(store, "a", "b")
    tell(store, "c")

    assert [entry.body for entry in store.write(lambda tx: journal.after(tx, 0))] == ["a", "b", "c"]


def test_a_reader_goes_on_where_it_stood(store: MemoryStore):
    """Each reader has its own cursor; a new one begins at the beginning."""
    tell(store, "a", "b")
    seen: dict[str, list[str]] = {"crm": [], "reports": []}

    def read(name: str) -> int:
        return store.write(lambda tx: journal.read_on(tx, name, lambda _, entry: seen[name].append(entry.body)))

    assert read("crm") == 2
    tell(store, "c")
    assert (read("crm"), read("crm"), read("reports")) == (1, 0, 3)
    assert seen == {"crm": ["a", "b", "c"], "reports": ["a", "b", "c"]}


def test_a_reader_that_fails_has_read_nothing(store: MemoryStore):
    """Applying and moving the cursor are one transaction."""
    tell(store, "a")

    def broken(tx: Tx, entry: journal.Entry) -> None:
        raise RuntimeError(entry.body)

    with pytest.raises(RuntimeError):
        store.write(lambda tx: journal.read_on(tx, "crm", broken))

    assert store.write(lambda tx: journal.cursor(tx, "crm")) == 0


def test_a_reader_takes_no_more_than_it_asks_for(store: MemoryStore):
    """Pages: nobody holds the writer for a long history."""
    tell(store, *"abcde")

    pages = [store.write(lambda tx: journal.read_on(tx, "crm", lambda _, entry: None, most=2)) for _ in range(4)]
    assert pages == [2, 2, 1, 0]


def test_ids_are_never_used_again(store: MemoryStore):
    """A row that was undone, or deleted, leaves no number that another could take: a cursor never meets it twice."""
    tell(store, "a", "b")
    last = store.write(journal.last)
    store.connection.execute("DELETE FROM journal")
    tell(store, "c")

    assert store.write(journal.last) == last + 1


def test_an_empty_journal_ends_at_nought(store: MemoryStore):
    """The cursor before everything."""
    assert store.write(journal.last) == 0


def test_appending_rings_the_news_and_numbers_can_be_pointed_at(store: MemoryStore):
    """A distribution's row is numbered for the offers that point at it."""
    number = store.write(lambda tx: journal.append_numbered(tx, "distribution", "{}", line_id="shop"))

    assert number == store.write(journal.last)
    assert store.rung == [(Bell.NEWS, "")]


def test_a_conversations_numbers_have_no_gap(store: MemoryStore):
    """`next_seq` counts under the conversation's lock; a number is used once."""

    def build(tx: Tx) -> FakeChannel:
        line = add_line(tx)
        return FakeChannel(add_channel(tx, line), line)

    channel = store.write(build)
    settings = store.write(load_house).directory.lines[channel.line_id].settings
    prepared = prepare(channel, [wrote("1", "eve", "hello")], settings)
    (accepted,) = store.write(lambda tx: accept(tx, channel.id, prepared))
    conversation = accepted.conversation_id
    assert conversation is not None

    assert [store.write(lambda tx: journal.next_seq(tx, conversation)) for _ in range(3)] == [1, 2, 3]
