"""Reading on in a journal that many write at once: whatever order they begin, take ids and commit in, each row is read exactly once.

On a real PostgreSQL. Writers are threads that stop at each of their steps until a seeded scheduler lets one of them go on, so every
schedule is the same each time; what they run is the shipped `Link`, and what the readers run is the shipped reading.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, cast

import psycopg
import pytest

from broker.domain import ConversationId
from broker.errors import StoreBusy
from broker.inbound import accept, prepare
from broker.ports import Tx
from broker.store import journal
from broker.store.journal import BEGINNING, Entry, Position
from broker.store.postgres import Link
from broker.store.sql import POSTGRESQL
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import CountedIds, MovedClock
from tests.support.house import add_channel, add_line, load_house
from tests.support.store import PostgresMemory

STEPS = 1_500
PATIENCE_SECONDS = 30.0
"""For a writer's next step; a test that runs into it has failed."""


class Undone(Exception):
    """A writer's own objection at the end of all its work."""


class Writer:
    """A connection that writes; it stands still between its steps."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._thread = ThreadPoolExecutor(1)
        self._may_go: SimpleQueue[None] = SimpleQueue()
        self._stands: SimpleQueue[None] = SimpleQueue()
        self._running: Future[Any] | None = None
        self.conversation: ConversationId | None = None

    @property
    def busy(self) -> bool:
        """Return whether it is in a transaction."""
        return self._running is not None

    def begin(self, conversation: ConversationId | None, steps: list[Callable[[Tx], None]], *, commits: bool) -> None:
        """Begin a transaction of *steps* that holds the lock of *conversation*; it stands before the first of them."""

        def work(tx: Tx) -> None:
            for step in steps:
                self._stop()
                step(tx)
            self._stop()
            if not commits:
                raise Undone

        self.conversation = conversation
        self._running = self._thread.submit(self._link.run, work)
        self._running.add_done_callback(lambda _: self._stands.put(None))
        self._stands.get(timeout=PATIENCE_SECONDS)

    def go_on(self) -> None:
        """Do the next step, or the last: commit or undo."""
        assert self._running is not None
        self._may_go.put(None)
        self._stands.get(timeout=PATIENCE_SECONDS)
        if self._running.done():
            ((answer,), _) = self._running.result()
            assert answer.error is None or isinstance(answer.error, Undone)
            self._running = self.conversation = None

    def close(self) -> None:
        """End what is under way, and the connection."""
        while self.busy:
            self.go_on()
        self._thread.shutdown()
        self._link.close()

    def _stop(self) -> None:
        self._stands.put(None)
        self._may_go.get(timeout=PATIENCE_SECONDS)


Keep = Callable[[PostgresMemory, Position], Position]
"""What a reader makes of a position until the next time."""


class Reader:
    """Reads on in pages of *most*; what *keep* returns is where it stands the next time."""

    def __init__(self, link: Link, most: int, keep: Callable[[Position], Position]) -> None:
        self._link = link
        self._most = most
        self._keep = keep
        self._at = BEGINNING
        self.read: list[Entry] = []

    def go_on(self) -> int:
        """Read a page and return how many rows it had."""
        answer = self._link.read(lambda tx: journal.after(tx, self._at, self._most))
        assert answer.error is None
        entries, behind = answer.value
        self._at = self._keep(behind)
        self.read += entries
        return len(entries)


def in_words(store: PostgresMemory, position: Position) -> Position:
    """Return *position* as a console gives it back."""
    back = Position.read(position.text())
    assert back == position
    return back


def in_its_row(store: PostgresMemory, position: Position) -> Position:
    """Return *position* as a reader finds it at its next start."""
    store.write(lambda tx: journal.move(tx, "crm", position))
    back = store.read(lambda tx: journal.position_of(tx, "crm"))
    assert back == position
    return back


def by_id_alone(store: PostgresMemory, position: Position) -> Position:
    """Return what a reader would keep that knows nothing of transactions: the mutant."""
    return Position(position.last)


class Office:
    """Some conversations, some who write in them, some who read, and strangers on the same server."""

    def __init__(self, seed: int, keep: Keep) -> None:
        self.chance = random.Random(seed)
        self.store = PostgresMemory()
        self.conversations = self._begun()
        self.writers = [Writer(self._link()) for _ in range(5)]
        self.readers = [Reader(self._link(), most, partial(keep, self.store)) for most in (1, 2, 3, 7, 500)]
        server = self.store.server
        self.strangers = [psycopg.connect(url) for url in (server.socket_url(), self.store.database.url)]

    def _link(self) -> Link:
        return Link(self.store.database.url, "test", CountedIds(), MovedClock())

    def _begun(self) -> list[ConversationId]:
        def build(tx: Tx) -> FakeChannel:
            line = add_line(tx)
            return FakeChannel(add_channel(tx, line), line)

        channel = self.store.write(build)
        settings = self.store.write(load_house).directory.lines[channel.line_id].settings
        raws = [wrote(f"{number}", f"v{number}", "hello") for number in range(3)]
        accepted = self.store.write(lambda tx: accept(tx, channel.id, prepare(channel, raws, settings)))
        return [one.conversation_id for one in accepted if one.conversation_id is not None]

    def live(self) -> None:
        """Let chance decide who does their next step."""
        for _ in range(STEPS):
            match self.chance.random():
                case dice if dice < 0.7:
                    self._write(self.chance.choice(self.writers))
                case dice if dice < 0.98:
                    self.chance.choice(self.readers).go_on()
                case _:
                    self._meet(self.chance.choice(self.strangers))
        for writer in self.writers:
            writer.close()
        for reader in self.readers:
            while reader.go_on():
                pass

    def _write(self, writer: Writer) -> None:
        if writer.busy:
            writer.go_on()
            return
        held = {other.conversation for other in self.writers}
        free = [one for one in self.conversations if one not in held]
        conversation = self.chance.choice([None, *free])
        steps = [self._step(conversation) for _ in range(self.chance.randint(1, 3))]
        writer.begin(conversation, steps, commits=self.chance.random() < 0.8)

    def _step(self, conversation: ConversationId | None) -> Callable[[Tx], None]:
        if conversation is None:
            return lambda tx: _numbered(tx) if self.chance.random() < 0.5 else _told(tx)

        def tell(tx: Tx) -> None:
            seq = journal.next_seq(tx, conversation)
            journal.append(tx, "message", "{}", conversation_id=conversation, seq=seq)
            tx.settle()

        return tell

    def _meet(self, stranger: Any) -> None:
        if stranger.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            stranger.execute("SELECT pg_current_xact_id()")
        else:
            stranger.rollback()

    def close(self) -> None:
        """End every transaction and connection."""
        for stranger in self.strangers:
            stranger.close()
        for reader in self.readers:
            reader._link.close()


def _told(tx: Tx) -> None:
    journal.append(tx, "presence", "{}")
    tx.settle()


def _numbered(tx: Tx) -> None:
    journal.append_numbered(tx, "distribution", "{}")


@contextmanager
def lived(seed: int, keep: Keep) -> Iterator[Office]:
    """Return an office at the end of its day."""
    office = Office(seed, keep)
    try:
        office.live()
        yield office
    finally:
        office.close()


@pytest.mark.parametrize("keep", [in_words, in_its_row])
@pytest.mark.parametrize("seed", range(4))
def test_every_row_is_read_exactly_once(seed: int, keep: Keep):
    """By readers of any page size, however they keep their place, however long transactions last and whichever come to nothing."""
    with lived(seed, keep) as office:
        committed = Counter(row for (row,) in office.store.rows("SELECT id FROM journal"))

        assert committed.total() > STEPS / 10
        for reader in office.readers:
            assert Counter(entry.id for entry in reader.read) == committed


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_a_conversation_come_in_their_order(seed: int):
    """A reader never sees an effect before its cause."""
    with lived(seed, in_words) as office:
        for reader in office.readers:
            for conversation in office.conversations:
                seqs = [entry.seq for entry in reader.read if entry.conversation_id == conversation]
                assert seqs == list(range(1, len(seqs) + 1))


def test_who_reads_on_by_id_alone_misses_rows():
    """The schedules are hard enough: what is committed after a row with a higher id is seen by nobody who forgets who was under way."""
    with lived(0, by_id_alone) as office:
        committed = {row for (row,) in office.store.rows("SELECT id FROM journal")}

        assert [reader for reader in office.readers if {entry.id for entry in reader.read} != committed]


def test_a_transaction_newer_than_all_that_have_ended_is_under_way():
    """No snapshot lists it: whatever is as new as the newest that has ended counts as under way, though nobody names it."""
    store = PostgresMemory()
    first, second = (Writer(Link(store.database.url, "test", CountedIds(), MovedClock())) for _ in range(2))
    reader = Reader(store.link, 500, partial(in_words, store))
    first.begin(None, [_told], commits=True)
    second.begin(None, [_told], commits=True)
    second.go_on()  # the higher number, and the lower row
    first.go_on()
    first.go_on()
    assert reader.go_on() == 1
    second.close()
    first.close()

    assert reader.go_on() == 1
    assert len({entry.id for entry in reader.read}) == 2


def test_what_came_late_is_looked_for_in_no_long_history():
    """By the numbers of transactions alone: nearly all ids lie below, and by those the whole journal would be read at each bell."""
    store = PostgresMemory()
    connection = store.database.connection
    connection.execute(
        "INSERT INTO journal (kind, at_us, body, xid) SELECT 'hours', 1, repeat('x', 200), n / 100 FROM generate_series(1, 50000) n"
    )
    connection.execute("ANALYZE journal")
    connection.execute("SET plan_cache_mode = force_generic_plan")  # as the store has it
    text = journal._LATE.text(POSTGRESQL)[0]
    for number, name in enumerate(("after", "under_way", "most"), 1):
        text = text.replace(f"%({name})s", f"${number}")
    connection.execute(f"PREPARE late (bigint, bigint[], bigint) AS {text}".encode(), prepare=False)
    # One who has just read, and one who stood still while nearly all of it was written.
    for stands, found in ((50_000, 100), (5_050, 0), (40_050, 51)):
        statement = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE late ({stands}, '{{400}}', NULL)"
        ((plan,),) = connection.execute(statement.encode(), prepare=False)
        nodes = list(_nodes(plan[0]["Plan"]))

        assert {node["Index Name"] for node in nodes if "Index Name" in node} == {"ix_journal_xid"}
        assert "Seq Scan" not in {node["Node Type"] for node in nodes}
        assert nodes[0]["Actual Rows"] == found
        assert sum(node.get("Rows Removed by Filter", 0) for node in nodes) == 100 - found


def test_who_stood_still_looks_for_no_more_than_was_under_way():
    """What has begun since stands above: however many transactions that were, none of them is in the position."""
    store = PostgresMemory()
    waiting = Writer(Link(store.database.url, "test", CountedIds(), MovedClock()))
    waiting.begin(None, [_told], commits=True)
    stands = store.read(journal.now)
    for _ in range(20):
        store.write(_told)

    assert len(stands.under_way) == 1
    waiting.close()
    assert len(store.read(lambda tx: journal.after(tx, stands))[0]) == 21
    assert store.read(journal.now).under_way == ()


class _Snapshot:
    """A transaction that sees this snapshot, and this age of the first number."""

    shared = True

    def __init__(self, snapshot: str, age: int) -> None:
        self._row = snapshot, age

    def one(self, statement: object, **values: object) -> tuple[object, ...]:
        return self._row if statement is journal._SNAPSHOT else (7,)


@pytest.mark.parametrize(
    ("snapshot", "age", "position"),
    [
        ("100:103:100,101", 102, Position(7, 105, (100, 101, 103, 104))),
        ("100:103:100,101", 100, Position(7, 103, (100, 101))),
        ("100:105:100", 97, Position(7, 105, (100,))),  # in a transaction that writes, and is the hundredth
        (f"{2**32 - 1}:{2**32 - 1}:", -1, Position(7, 2**32 + 2, (2**32 - 1, 2**32, 2**32 + 1))),  # the 32 bits begin anew
    ],
)
def test_a_position_names_all_that_had_begun(snapshot: str, age: int, position: Position):
    """Those of the snapshot, and those above it up to the next number."""
    assert journal.now(cast(Tx, _Snapshot(snapshot, age))) == position


def test_a_position_that_would_name_too_many_is_refused():
    """Somebody's job of very many subtransactions: nobody's memory is filled with their numbers, and the next look finds fewer."""
    with pytest.raises(StoreBusy, match="100001 transactions have begun"):
        journal.now(cast(Tx, _Snapshot("100:100:", 100_001 + 97)))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)
