"""What `omniline replay` finds: nothing in what the core wrote, every byte of an outcome that was changed, and each row it may not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain import from_us, to_us
from broker.errors import NotFound
from broker.ports import Tx
from broker.store import journal, tables
from broker.store.postgres import connect
from broker.store.sql import POSTGRESQL, insert_rows
from routing import replaying
from routing.engine import ENGINE
from routing.replaying import PAGE, Difference, Tally, between, of_session, replay
from tests.crm_bridge.house import House
from tests.support.clock import MINUTE, NOON
from tests.support.store import MemoryStore, PostgresMemory, SqliteMemory, fewer

T = TypeVar("T")


class Story:
    """Joe is offered, declined, held, offered again, taken, answered and closed; Kim is offered and taken. Ann works alone."""

    def __init__(self, store: type[MemoryStore] = MemoryStore) -> None:
        self.house = House(store)
        self.store = self.house.store
        shop = self.house.line()
        site = self.house.channel(shop)
        ann = self.house.operator("ann", shop)
        self.house.settle()
        joe = self.house.say(site, "joe", "hello")
        self.house.settle()
        self.house.decline(joe, ann)
        self.house.settle()
        self.house.later(hours=1)
        self.house.take(joe, ann)
        self.house.reply(joe, ann, "hi")
        self.house.settle()
        self.house.end(joe, ann, "sold")
        self.house.settle()
        self.house.later(minutes=1)
        kim = self.house.say(site, "kim", "hello")
        self.house.settle()
        self.house.take(kim, ann)
        self.house.settle()
        self.joe = self.house.session(joe)["id"]
        self.kim = self.house.session(kim)["id"]

    def last(self, kind: str, session: str | None = None) -> int:
        """Return the id of the last row of *kind*, of *session* if one is given."""
        rows = self.store.rows("SELECT id, session_id FROM journal WHERE kind = ?", kind)
        return max(int(row) for row, of in rows if session in (None, of))

    def body(self, row: int) -> str:
        """Return the body of a row."""
        return str(self.store.one("SELECT body FROM journal WHERE id = ?", row))

    def spoil(self, row: int, body: str | bytes) -> None:
        """Give a row another body."""
        assert body != self.body(row)
        self.store.change("UPDATE journal SET body = ? WHERE id = ?", body, row)

    def replay(self) -> tuple[Tally, list[Difference]]:
        """Replay the whole journal."""
        tally = Tally()
        return tally, list(replay(between(self.house.do), tally))

    def of(self, session: str) -> list[int]:
        """Return the ids of the rows that are replayed for a session, in order."""
        return [row.id for row in of_session(self.house.do, session)]


@pytest.fixture
def story() -> Story:
    """Return a story that nobody has touched."""
    return Story()


def test_what_the_core_wrote_comes_out_the_same(story: Story):
    """Every decision of sessions and pools is decided again; what tells of no decision is counted as that."""
    tally, differences = story.replay()

    kinds = Counter(row[0] for row in story.store.rows("SELECT kind FROM journal"))
    told = sum(kinds[kind] for kind in ("message", "fate", "contact", "presence", "lead", "frozen"))
    assert [] == differences
    assert Tally(same=kinds.total() - told, no_decision=told) == tally
    assert {"contact_message", "distribution", "offered", "held", "take", "reply", "close", "message", "fate"} <= set(kinds)


def test_an_empty_journal_is_the_same():
    """Nothing was decided, nothing differs."""
    assert [] == list(between(MemoryStore().write))


# --- what differs


def test_a_changed_outcome_is_found_and_shown(story: Story):
    """The row, its session and its moment are named, and the value is shown as it was written and as it is decided."""
    row = story.last("take", story.kim)
    story.spoil(row, story.body(row).replace('"status":"active"', '"status":"queued"'))
    tally, (difference,) = story.replay()

    head, *diff = difference.text().splitlines()
    assert f"row {row}, 2026-03-02T13:01:00+00:00, take, session {story.kim}: comes out otherwise" == head
    changed = [line for line in diff if '"status"' in line and line[0] != " "]
    assert ['-    "status": "queued",', '+    "status": "active",'] == changed
    assert 1 == tally.different


def test_a_changed_distribution_is_found(story: Story):
    """Why nobody else was asked is a decision as well."""
    row = story.last("distribution")
    story.spoil(row, story.body(row).replace('"chosen"', '"full"'))

    (difference,) = story.replay()[1]
    assert (row, "distribution") == (difference.row.id, difference.row.kind)
    assert "chosen" in difference.text()


def test_the_same_values_in_other_bytes_are_a_difference(story: Story):
    """Equal is equal to the byte: the diff shows where they part, for the values would show nothing."""
    row = story.last("take")
    story.spoil(row, story.body(row) + " ")

    (difference,) = story.replay()[1]
    assert "comes out otherwise" == difference.reason
    assert ["-", "+"] == [line[0] for line in difference.diff()[-2:]]


def test_a_row_under_another_kind_is_a_difference(story: Story):
    """Readers go by the kind: a take that is called a note, or no decision at all, is told of."""
    row = story.last("take")
    for kind in ("note", "message"):
        story.store.change("UPDATE journal SET kind = ? WHERE id = ?", kind, row)
        assert ["is not of its kind: what it decided about is take"] == [one.reason for one in story.replay()[1]]


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", f'{{"engine":{ENGINE}}}', '{"engine":"x"}', "[" * 100_000])
def test_a_row_that_cannot_be_read_is_told_and_stops_nothing(story: Story, body: str):
    """Whatever stands there, the rows before and behind it are decided again."""
    _spoilt_rows_stop_nothing(story, body)


def test_a_row_that_is_no_text_is_told_and_stops_nothing():
    """A file may hold anything; a server would not have kept it."""
    _spoilt_rows_stop_nothing(Story(SqliteMemory), b"\xff\xfe{")


def _spoilt_rows_stop_nothing(story: Story, body: str | bytes) -> None:
    before, _ = story.replay()
    for kind in ("offered", "distribution"):
        row = story.last(kind)
        story.spoil(row, body)
    tally, differences = story.replay()

    assert ["cannot be read: "] * 2 == [one.reason[:16] for one in differences]
    assert (before.same - 2, 2) == (tally.same, tally.different)


def test_a_decision_that_asks_for_more_than_was_kept_is_told(story: Story):
    """What the row does not have cannot be made up: the reason names it, and the rest goes on."""
    row = story.last("contact_message", story.kim)
    body = json.loads(story.body(row))
    body["view"]["line"] = {}
    story.spoil(row, json.dumps(body))
    tally, (difference,) = story.replay()

    assert difference.reason.startswith("cannot be decided again: it asks for '")
    assert [] == difference.diff()
    assert 1 == tally.different


def test_a_handler_that_fails_is_told(story: Story):
    """An opening without its conversation was never written by us: told as what was raised."""
    row = story.last("contact_message", story.kim)
    body = json.loads(story.body(row))
    del body["view"]["conversation"]
    story.spoil(row, json.dumps(body))

    (difference,) = story.replay()[1]
    assert difference.reason.startswith("cannot be decided again: AssertionError")


def test_a_moment_that_is_none_is_shown_as_it_stands(story: Story):
    """A row may be spoilt in more than its body."""
    row = story.last("take")
    story.store.change("UPDATE journal SET at_us = ? WHERE id = ?", 2**61, row)
    story.spoil(row, "{")

    assert f"row {row}, at {2**61}, which is no moment, take" in story.replay()[1][0].text()


def test_what_is_shown_does_nothing_to_a_terminal(story: Story):
    """Whoever changed the row may have written what moves a cursor or turns a line around."""
    row = story.last("close")
    story.spoil(row, story.body(row).replace('"outcome":"sold"', '"outcome":"\x9b2J\u202esold"', 1).replace('"sold"', '"s"'))

    text = story.replay()[1][0].text()
    assert all(line.isprintable() for line in text.split("\n"))
    assert r"\x9b2J\u202esold" in text


def test_a_difference_is_a_line_of_json(story: Story):
    """Programs get the same, and the counts behind it."""
    row = story.last("take")
    story.spoil(row, "{")
    tally, (difference,) = story.replay()

    told = json.loads(difference.json())
    assert {"row": row, "at": "2026-03-02T13:01:00+00:00", "kind": "take", "session": story.kim, "diff": ""} == {
        name: value for name, value in told.items() if name != "reason"
    }
    counts = {"same": tally.same, "different": 1, "other_engine": {}, "no_decision": tally.no_decision}
    assert {"engine": ENGINE} | counts == json.loads(tally.json())


# --- other engines


def test_rows_of_another_engine_are_counted_and_not_decided(story: Story):
    """It may have decided otherwise and kept other things: its rows are no differences, and say which engine made them."""
    for kind, version in (("take", ENGINE + 1), ("distribution", ENGINE + 1), ("close", 0)):
        story.spoil(story.last(kind), f'{{"engine":{version},"kept":"otherwise"}}')
    tally, differences = story.replay()

    assert [] == differences
    assert {ENGINE + 1: 2, 0: 1} == tally.other_engine
    assert f"of another engine: 3 (version 0, {ENGINE + 1}; this is {ENGINE})" in tally.text()


def test_a_kind_that_another_engine_knows_is_a_decision_all_the_same(story: Story):
    """What says which engine made it was decided, whatever it is called."""
    row = story.last("take")
    story.store.change("UPDATE journal SET kind = 'swap' WHERE id = ?", row)
    story.spoil(row, f'{{"engine":{ENGINE + 1}}}')

    assert {ENGINE + 1: 1} == story.replay()[0].other_engine


# --- a session


def test_a_session_is_replayed_with_what_offered_and_held_it(story: Story):
    """Its own rows, and of the pool's those that made its offers or let it wait; nothing of anybody else."""
    own = [row[0] for row in story.store.rows("SELECT id FROM journal WHERE session_id = ?", story.joe)]
    offering = [row[0] for row in story.store.rows("SELECT DISTINCT distribution_id FROM offers WHERE session_id = ?", story.joe)]
    holding = [
        row[0]
        for row in story.store.rows("SELECT id FROM journal WHERE kind = 'distribution'")
        if any(hold["session_id"] == story.joe for hold in json.loads(story.body(row[0]))["result"]["holds"])
    ]

    assert 2 <= len(offering)
    assert 1 <= len(holding)
    assert sorted(own + offering + holding) == sorted(story.of(story.joe))
    assert set() == set(story.of(story.joe)) & set(story.of(story.kim))


@pytest.mark.parametrize("other", ["0", "z"])
def test_another_session_of_the_conversation_is_left_out(story: Story, other: str):
    """Who comes back has a session of their own in the same conversation, before this one or behind it."""
    before = story.of(story.joe)
    story.store.change(
        "INSERT INTO journal (conversation_id, seq, session_id, kind, at_us, body) "
        "SELECT conversation_id, 1000, ?, kind, at_us, body FROM journal WHERE id = ?",
        other,
        story.last("close", story.joe),
    )

    assert before == story.of(story.joe)


def test_a_session_that_is_not_there_is_refused(story: Story):
    """A wrong id is not "all the same"."""
    with pytest.raises(NotFound, match="no session nobody"):
        story.of("nobody")


# --- pages


class Pages:
    """Counts how much each reading brings; *meanwhile* is done before each."""

    def __init__(self, store: MemoryStore, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.sizes: list[int] = []
        self._store = store
        self._meanwhile = meanwhile

    def __call__(self, work: Callable[[Tx], T], /) -> T:
        """Read as `read_once` does."""
        self._meanwhile()
        found = self._store.write(work)
        if isinstance(found, list):
            self.sizes.append(len(found))
        return found


_ROW = insert_rows(tables.journal, "kind at_us body")


def _written(moments: list[datetime], keep: Callable[[int], bool] = lambda n: True) -> MemoryStore:
    """Return a store whose journal has a row of each of *moments*; those not to *keep* leave gaps among the ids."""
    store = MemoryStore()
    store.write(lambda tx: tx.each(_ROW, [("message", to_us(at), "{}") for at in moments]))
    for n in range(1, len(moments) + 1):
        if not keep(n):
            store.change("DELETE FROM journal WHERE id = ?", n)
    return store


@pytest.mark.parametrize("rows", [PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
def test_a_journal_is_read_by_pages(rows: int):
    """No more than a page is in memory, every row is looked at once, and pages end where the journal does."""
    pages = Pages(_written([NOON] * rows))

    assert list(range(1, rows + 1)) == [row.id for row in between(pages)]
    assert max(pages.sizes) <= PAGE
    assert rows // PAGE + 1 == len(pages.sizes)


def test_a_session_is_read_by_pages(story: Story):
    """Also where its conversation is long."""
    take = story.last("take", story.kim)
    for n in range(1, 2 * PAGE):
        story.store.change(
            "INSERT INTO journal (conversation_id, seq, session_id, kind, at_us, body) "
            "SELECT conversation_id, seq + ?, session_id, kind, at_us, body FROM journal WHERE id = ?",
            n * 100,
            take,
        )
    ids = story.of(story.kim)

    assert len(ids) == len(set(ids)) > 2 * PAGE


def test_what_is_written_meanwhile_is_left_for_the_next_time():
    """A busy process beside it does not keep a replay from ending."""
    store = _written([NOON] * 2 * PAGE)
    pages = Pages(store, lambda: store.write(lambda tx: journal.append(tx, "message", "{}")))

    assert 2 * PAGE + 1 == len(list(between(pages)))


# --- a range of time


def test_a_range_begins_with_its_first_moment_and_ends_before_its_last():
    """So that ranges side by side have each row once."""
    store = _written([NOON + n * MINUTE for n in range(5)])

    def ids(since: datetime | None, until: datetime | None) -> list[int]:
        return [row.id for row in between(store.write, since, until)]

    assert [2, 3] == ids(NOON + MINUTE, NOON + 3 * MINUTE)
    assert [4, 5] == ids(NOON + 3 * MINUTE, None)
    assert [1] == ids(None, NOON + MINUTE)
    assert [] == ids(NOON + timedelta(days=30), None)
    assert [] == ids(None, NOON - timedelta(days=30))


steps = st.integers(-48 * 60, 30 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))


@settings(max_examples=fewer(100))
@given(st.data(), st.lists(steps, min_size=1, max_size=40), st.sets(st.integers(1, 40)))
def test_a_range_is_whole_where_the_clock_was_set_back(data: st.DataObject, moves: list[timedelta], gone: set[int]):
    """By up to two days, again and again, with gaps among the ids: each row of the range is found, and no other."""
    newest = now = NOON
    moments = []
    for move in moves:
        now = max(now + move, newest - timedelta(days=2))  # never further back than that from where it has been
        newest = max(newest, now)
        moments.append(now)
    store = _written(moments, lambda n: n not in gone)
    since, until = sorted(from_us(to_us(data.draw(st.sampled_from(moments)))) + data.draw(steps) for _ in range(2))

    expected = [n for n, at in enumerate(moments, 1) if n not in gone and since <= at < until]
    assert expected == [row.id for row in between(store.write, since, until)]


def test_a_page_costs_no_more_where_much_follows():
    """On PostgreSQL as the commands read it: the rows are walked by their ids as far as the page goes, and the rest is not sorted."""
    store = PostgresMemory()
    store.database.connection.execute(
        "INSERT INTO journal (kind, at_us, body) SELECT 'hours', n, repeat('x', 200) FROM generate_series(1, 20000) n"
    )
    store.database.connection.execute("ANALYZE journal")
    text = replaying._BETWEEN.text(POSTGRESQL)[0]
    for number, name in enumerate(("after", "end", "since_us", "until_us"), 1):
        text = text.replace(f"%({name})s", f"${number}")
    with closing(connect(store.database.url, "test", patient=True)) as connection:
        connection.execute(f"PREPARE page (bigint, bigint, bigint, bigint) AS {text}".encode(), prepare=False)
        asked = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE page (100, {2**62}, {-(2**62)}, {2**62})"
        ((plan,),) = connection.execute(asked.encode(), prepare=False)
    read = plan[0]["Plan"]["Plans"][0]

    assert (read["Node Type"], read["Index Name"], read["Actual Rows"]) == ("Index Scan", "pk_journal", PAGE)
