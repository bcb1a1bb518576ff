"""Carrying a house to PostgreSQL, on a real server: all of it arrives, or none of it and why is said; whoever read on reads on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from broker.errors import ConfigError, Conflict, StoreBusy, StoreFull, StoreTooNew, StoreUncertain
from broker.store import journal, moving
from broker.store.counters import next_number
from broker.store.moving import FRESH, Carried, GivenUp, Watch, carry, look
from broker.store.postgres import SETTINGS, read_once, run_once
from broker.store.reconcile import Report, reconcile
from broker.store.secret_keys import key_of
from broker.store.sqlite import connect, driver
from broker.store.tables import metadata
from tests.broker.test_reconcile import busy_house
from tests.crm_bridge.house import House
from tests.support import postgres
from tests.support.clock import NOON
from tests.support.postgres import DISK_FULL, Server
from tests.support.proxy import Break, Proxy
from tests.support.store import SqliteMemory, on_disk

KEY = b"v" * 32


@pytest.fixture(scope="module")
def server() -> Server:
    """Return the server of this process of tests."""
    return postgres.server()


@pytest.fixture(scope="module")
def house() -> House:
    """Return a house in which everything has happened; tests carry copies of it."""
    return busy_house(SqliteMemory)


def copy_of(house: House, path: Path) -> Path:
    """Write the house's database to *path*."""
    with closing(driver().connect(str(path))) as copy:
        house.store.connection.backup(copy)
    return path


@pytest.fixture
def old(house: House, tmp_path: Path) -> Path:
    """Return the file of a house of the test's own."""
    return copy_of(house, tmp_path / "omniline.db")


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """Return the name of a database with our tables, and nothing in them: as it is after `look`, but quicker."""
    name = server.migrated()
    yield name
    server.drop(name)


@pytest.fixture
def bare(server: Server) -> Iterator[str]:
    """Return the name of a database in which there is nothing."""
    name = server.empty()
    yield name
    server.drop(name)


@pytest.fixture
def url(server: Server, database: str) -> str:
    """Return its address."""
    return server.url(database)


def never() -> None:
    """Fail: nothing was to be settled."""
    raise AssertionError("it was settled")


def move(path: Path, url: str, watch: Watch | None = None) -> Carried:
    """Carry the house at *path* as the command does."""
    settled: list[bool] = []
    look(url, forced=True)
    carried = carry(path, url, {"visitors": KEY}, settled=lambda: settled.append(True), watch=watch)
    assert [True] == settled
    return carried


@contextmanager
def refused(path: Path, url: str, error: type[Exception], says: str, watch: Watch | None = None) -> Iterator[psycopg.Connection]:
    """Expect that the house cannot be carried when the block is done, and see that nothing of it stands on the new database."""
    look(url, forced=True)
    with psycopg.connect(url) as connection:
        yield connection
    with pytest.raises(error, match=says):
        carry(path, url, {"visitors": KEY}, settled=never, watch=watch)
    assert dict.fromkeys(metadata.tables, 0) == counts(url)


def counts(url: str) -> dict[str, int]:
    """Return how many rows each table has."""
    with psycopg.connect(url) as connection:
        texts = {name: f"SELECT count(*) FROM {name}".encode() for name in metadata.tables}  # noqa: S608
        return {name: connection.execute(text).fetchall()[0][0] for name, text in texts.items()}


def sql(path: Path, text: str) -> list[Any]:
    """Do behind the store's back what nobody should."""
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys=0")
        return list(connection.execute(text).fetchall())


def read_old(path: Path, work: Callable[[Any], Any]) -> Any:
    """Run *work* on the file."""
    from broker.store.sqlite import read_once

    return read_once(path, work)


def report(found: Report) -> list[str]:
    """Return its lines, but for those of tables that begin empty."""
    return [line for line in found.text().splitlines() if not any(name in line for name in FRESH)]


def test_everything_arrives_and_agrees_with_itself(server, house, old, bare):
    """Of every table every row, and reconcile says of the new house what it said of the old one."""
    url = server.url(bare)
    carried = move(old, url)

    wanted = {name: len(house.rows(name)) for name in metadata.tables}
    assert wanted | dict.fromkeys(FRESH, 0) == counts(url)
    assert min(wanted.values()) > 0
    assert {name: tally.rows for name, tally in carried.tables.items()} == {
        name: rows for name, rows in wanted.items() if name not in FRESH
    }
    assert read_once(url, reconcile).ok
    assert report(read_old(old, reconcile)) == report(read_once(url, reconcile))


def test_every_value_arrives(house, old, url):
    """Not only as many rows: the same, as both stores read them."""
    move(old, url)
    differ = []
    with psycopg.connect(url) as connection:
        for name in metadata.tables.keys() - {*FRESH, "secrets"}:
            table = metadata.tables[name]
            columns = ", ".join(column.name for column in table.c if column.name != "under_way")
            order = ", ".join(column.name for column in table.primary_key)
            text = f"SELECT {columns} FROM {name} ORDER BY {order}"  # noqa: S608
            if house.store.rows(text) != connection.execute(text.encode()).fetchall():
                differ.append(name)

    assert [] == differ


def test_the_old_file_is_only_read(old, url):
    """To the byte."""
    before = old.read_bytes()
    move(old, url)

    assert before == old.read_bytes()


def test_who_read_the_journal_reads_on_exactly_where_they_stood(old, url):
    """The next row is the one that came next, each once; what is written anew stands behind all that was carried."""
    sql(old, "UPDATE readers SET cursor = cursor / 2")
    place = read_old(old, lambda tx: journal.position_of(tx, "crm"))
    rest, _ = read_old(old, lambda tx: journal.after(tx, place, most=10_000))
    move(old, url)
    run_once(url, lambda tx: journal.append(tx, "alert", "{}"))

    found = read_once(url, lambda tx: journal.position_of(tx, "crm"))
    first, there = read_once(url, lambda tx: journal.after(tx, found, most=3))
    run_once(url, lambda tx: journal.move(tx, "crm", there))
    following, _ = read_once(url, lambda tx: journal.after(tx, journal.position_of(tx, "crm"), most=10_000))
    assert (place.last, ()) == (found.last, found.under_way)
    assert rest == [*first, *following][:-1]
    assert "alert" == following[-1].kind
    assert following[-1].id > rest[-1].id


def test_ids_and_counters_go_on_above_the_highest_that_was_ever_given(old, url):
    """Also one whose row is gone: it was told to somebody."""
    sql(old, "UPDATE counters SET value = 41 WHERE name = 'fence'")
    sql(old, "DELETE FROM pool_marks")
    highest = dict(sql(old, "SELECT name, seq FROM sqlite_sequence"))
    move(old, url)
    with psycopg.connect(url) as connection:
        given = {
            name: connection.execute(f"SELECT nextval('{name}_id_seq')".encode()).fetchall()[0][0]
            for name in ("journal", "pool_marks")
        }

    assert {name: row + 1 for name, row in highest.items()} == given
    assert 42 == run_once(url, lambda tx: next_number(tx, "fence"))


def test_the_distribution_of_a_carried_row_is_found_as_before(old, url):
    """“Why me?” and replay ask for it; rows that were carried have no transaction to find it by."""
    held = sql(old, "SELECT id, at_us FROM journal WHERE kind IN ('held', 'offered') OR status = 'queued'")
    assert held

    def found(tx: Any) -> list[int | None]:
        return [journal.distribution_of(tx, row, at_us) for row, at_us in held]

    wanted = read_old(old, found)
    move(old, url)
    assert any(wanted)
    assert wanted == read_once(url, found)


def test_visitors_keep_their_tokens(old, url):
    """The key that lay in a file is the one that all processes share."""
    sql(old, "DELETE FROM secrets")
    move(old, url)

    assert KEY == run_once(url, lambda tx: key_of(tx, "visitors", 32))


def test_a_house_without_a_key_gets_one_later(old, url):
    """Nobody has been given a token by it."""
    sql(old, "DELETE FROM secrets")
    look(url, forced=True)
    carry(old, url, {}, settled=lambda: None)

    assert 32 == len(run_once(url, lambda tx: key_of(tx, "visitors", 32)))


def test_what_was_being_sent_is_told(old, url):
    """A process that died has left it so; whoever sends on the new database settles it."""
    sql(old, "UPDATE outbox SET state = 'sending', lease_us = 1 WHERE id = (SELECT max(id) FROM outbox)")

    assert "1 messages were being sent when a process died" in move(old, url).text()


def test_the_table_says_what_was_carried(old, url):
    """Name, rows, hash, ok; and how long it took."""
    carried = move(old, url)
    said = {line.split()[0]: line.split()[1:] for line in carried.text().splitlines() if line.endswith("  ok")}

    assert {name: [f"{one.rows:,}", one.hash, "ok"] for name, one in carried.tables.items()} == said
    assert f"{carried.rows:,} rows in {carried.seconds:.1f} s; empty as at a start: consoles, leases, processes" in carried.text()


# --- what PostgreSQL cannot keep


def test_texts_that_postgresql_cannot_keep_are_mended_and_counted(old, url):
    """NULs and half surrogates, which nothing of ours stores; named by where they stood."""
    sql(old, "UPDATE contacts SET language = 'e' || char(0) || 'n'")
    sql(old, "UPDATE contacts SET name = CAST(x'41eda08042' AS TEXT) WHERE id = (SELECT min(id) FROM contacts)")
    sql(old, "UPDATE messages SET problem = CAST(x'ff' AS TEXT) WHERE seq = 1")
    carried = move(old, url)
    with psycopg.connect(url) as connection:
        languages = connection.execute("SELECT DISTINCT language FROM contacts").fetchall()
        names = connection.execute("SELECT name FROM contacts ORDER BY id LIMIT 1").fetchall()
        problems = connection.execute("SELECT DISTINCT problem FROM messages WHERE seq = 1").fetchall()

    assert ([("e\ufffdn",)], [("A\ufffdB",)], [("\ufffd",)]) == (languages, names, problems)
    assert {"contacts.language", "contacts.name", "messages.problem"} == set(carried.mended)
    assert (carried.tables["contacts"].rows, 1) == (carried.mended["contacts.language"], carried.mended["contacts.name"])
    assert "contacts.name: in 1 texts a character that PostgreSQL cannot keep is U+FFFD now" in carried.text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE login_failures SET key = printf('%301d', 1)", r"too long .*\(COPY login_failures, line 1"),
        ("UPDATE messages SET at_us = 'noon'", "messages: row 1 holds what its column cannot"),
        ("UPDATE messages SET at_us = 1.5", "messages: row 1 holds what its column cannot"),
        ("UPDATE sessions SET contact_id = 'nobody'", "violates foreign key"),
    ],
)
def test_what_does_not_fit_is_named(old, url, change, says):
    """SQLite takes much for a value; nothing is carried until it is repaired."""
    sql(old, change)
    with refused(old, url, ConfigError, says):
        pass


# --- what is not the same is not committed

TAMPER = "CREATE FUNCTION tamper() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {} RETURN {}; END$$"


@pytest.mark.parametrize(
    ("deed", "row"),
    [
        ("NEW.text := NEW.text || '!';", "NEW"),
        ("NEW.at_us := NEW.at_us + 1;", "NEW"),
        ("NEW.operator_id := NULL;", "NEW"),
        ("IF NEW.seq = 2 THEN RETURN NULL; END IF;", "NEW"),
    ],
)
def test_what_does_not_come_back_as_it_was_written_is_caught(old, url, deed, row):
    """A value that is another, a row that is gone: the table is named, and nothing stays."""
    with refused(old, url, Conflict, r"messages: [\d,]+ rows were written and [\d,]+ stand there, with the hash") as new:
        new.execute(TAMPER.format(deed, row).encode())
        new.execute("CREATE TRIGGER tamper BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION tamper()")


def test_a_row_too_many_is_caught(old, url):
    """Somebody's trigger adds one."""
    again = "INSERT INTO login_failures VALUES (NEW.key || '2', 1, 1);"
    with refused(old, url, Conflict, "login_failures: 1 rows were written and 2 stand there") as new:
        new.execute(TAMPER.format(f"IF pg_trigger_depth() = 1 THEN {again} END IF;", "NEW").encode())
        new.execute("CREATE TRIGGER tamper BEFORE INSERT ON login_failures FOR EACH ROW EXECUTE FUNCTION tamper()")


def test_two_values_that_change_places_are_not_the_same(house):
    """The sum of the hashes does not depend on the rows' order, and does on which value stands in which row and column."""

    def tally(*rows: tuple[Any, ...]) -> str:
        counted = moving.Tally()
        assert list(rows) == list(counted.over(rows))
        return counted.hash

    rows: list[tuple[Any, ...]] = [("a", 1, None), ("b", 2, b"x")]
    assert tally(*rows) == tally(*reversed(rows))
    others: list[list[tuple[Any, ...]]] = [
        [("a", 2, None), ("b", 1, b"x")],
        [("b", 1, None), ("a", 2, b"x")],
        [("a", 1, ""), ("b", 2, b"x")],
        rows * 2,
        rows[:1],
    ]
    assert len({tally(*other) for other in [rows, *others]}) == 1 + len(others)


# --- targets that will not do


def test_a_target_with_rows_is_refused(house, old, url):
    """Somebody's house, be it only its first administrator: which tables have some, and what to name instead."""
    look(url, forced=True)
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO counters VALUES ('fence', 1), ('readiness', 1)")
        connection.execute("INSERT INTO readers SELECT 'r' || n FROM generate_series(1, 2000) AS n")
    says = r"rows already, in readers \(1,000 or more\), counters \(2\); name a new, empty database"

    with pytest.raises(Conflict, match=says):
        look(url, forced=True)
    with pytest.raises(Conflict, match=says):
        carry(old, url, {}, settled=never)
    assert {"counters": 2, "readers": 2_000} == {name: rows for name, rows in counts(url).items() if rows}


def test_another_house_of_an_earlier_version_is_left_as_it_is(server, url, database):
    """Its schema is not touched before its rows are seen."""
    look(url, forced=True)
    server.run("UPDATE alembic_version SET version_num = '0003'", database)
    server.run("INSERT INTO counters VALUES ('fence', 1)", database)

    with pytest.raises(Conflict, match="rows already, in counters"):
        look(url, forced=True)
    assert [("0003",)] == server.run("SELECT version_num FROM alembic_version", database)


def test_a_target_of_a_newer_version_is_refused(server, url, database):
    """We do not know what its tables mean."""
    look(url, forced=True)
    server.run("UPDATE alembic_version SET version_num = '9999', serves = '9998'", database)

    with pytest.raises(StoreTooNew, match="schema 9999"):
        look(url, forced=True)


def test_other_peoples_tables_are_left_alone(server, bare):
    """They have our names; nothing of ours is made beside them."""
    server.run("CREATE TABLE channels (id int)", bare)

    with pytest.raises(ConfigError, match=r"--to: the database has somebody else's tables .* give Omniline one of its own"):
        look(server.url(bare), forced=True)
    assert [("channels",)] == server.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", bare)


def test_a_house_of_another_version_is_refused(old, url):
    """The two must have the same tables; of those that a newer version has made this one does not know what they mean."""
    sql(old, "UPDATE alembic_version SET version_num = '0003'")
    with refused(old, url, ConfigError, "the schemas differ, 0003 here and .* there; start this version here once, then move"):
        pass
    sql(old, "UPDATE alembic_version SET version_num = '9999'")
    with refused(old, url, ConfigError, "the schemas differ, 9999 here and .* there; move with the newer version"):
        pass


def test_a_target_that_does_not_answer_is_named(server):
    """With what the library says of it."""
    with pytest.raises(StoreBusy, match=r"the new database does not answer .* refused"):
        look("postgresql://omniline@127.0.0.1:9/nothing")
    with pytest.raises(StoreBusy, match=r'does not answer .*database "nothing" does not exist'):
        look(server.url("nothing"))


def test_a_target_that_may_forget_or_writes_other_letters_is_refused(server, url):
    """The same as for a process that is started on it."""
    server.run("CREATE DATABASE other_letters ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")

    with pytest.raises(ConfigError, match="--to: the database is encoded in LATIN1"):
        look(server.url("other_letters"), forced=True)
    with pytest.raises(ConfigError, match=r"--to: the server has fsync.* may forget"):
        look(url)
    server.drop("other_letters")


def test_a_user_without_rights_is_told_what_is_missing(server, bare, old):
    """Before there are tables, and when they are somebody else's."""
    server.run("DROP ROLE IF EXISTS poor")
    server.run("CREATE ROLE poor LOGIN")
    server.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC", bare)
    url = server.url(bare)
    poor = url.replace("omniline@", "poor@")

    with pytest.raises(ConfigError, match=r"--to: its user may not make tables \(permission denied for schema public\)"):
        look(poor, forced=True)
    look(url, forced=True)
    with pytest.raises(ConfigError, match=r"--to: its user may not do this \(permission denied for table"):
        look(poor, forced=True)
    server.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor", bare)
    look(poor, forced=True)
    with pytest.raises(ConfigError, match=r"--to: its user may not do this \(permission denied for table"):
        carry(old, poor, {}, settled=never)
    server.run("DROP OWNED BY poor", bare)


# --- what goes wrong on the way


def test_who_uses_the_target_is_waited_for_and_then_named(old, url, monkeypatch):
    """A process that runs on it already."""
    monkeypatch.setitem(SETTINGS, "lock_timeout", "100ms")
    look(url, forced=True)
    with psycopg.connect(url) as other:
        other.execute("SELECT count(*) FROM messages")
        with pytest.raises(StoreBusy, match="somebody uses the new database"):
            carry(old, url, {}, settled=never)


def test_nobody_reads_half_a_house(old, url):
    """Whoever comes to the new database in the middle waits for its end."""
    look(url, forced=True)
    seen: list[str] = []

    def tell(text: str) -> None:
        with psycopg.connect(url, options="-c lock_timeout=50ms") as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT count(*) FROM operators")
        seen.append(text)

    carry(old, url, {}, settled=lambda: None, watch=Watch(tell))
    assert seen


def test_a_large_house_takes_its_time(server, database, old, url, monkeypatch):
    """What limits a statement of the store, or a pause between two, limits no move: a table may take an hour, and so may the old file."""
    monkeypatch.setattr(moving, "TELL_SECONDS", 0.0)
    look(url, forced=True)
    server.run(TAMPER.format("PERFORM pg_sleep(1.5);", "NEW"), database)
    server.run("CREATE TRIGGER tamper BEFORE INSERT ON login_failures FOR EACH ROW EXECUTE FUNCTION tamper()", database)
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        monkeypatch.setitem(SETTINGS, name, "1s")

    def tell(text: str) -> None:
        if text.startswith("taking the measure"):  # between two statements
            server.run("SELECT pg_sleep(1.5)")

    settled: list[bool] = []
    carry(old, url, {}, settled=lambda: settled.append(True), watch=Watch(tell))
    assert [True] == settled


def test_a_full_disk_of_the_target_leaves_nothing(old, url):
    """It says where room is missing."""
    with refused(old, url, StoreFull, "the new database's disk is full .* nothing was moved") as new:
        new.execute(DISK_FULL.encode())
        new.execute("CREATE TRIGGER disk_full BEFORE INSERT ON journal EXECUTE FUNCTION disk_full()")


def test_a_connection_that_is_lost_on_the_way_leaves_nothing(old, url):
    """The server stopped, say."""
    end = "PERFORM pg_terminate_backend(pg_backend_pid());"
    with refused(old, url, StoreBusy, "the new database does not answer .* nothing was moved") as new:
        new.execute(TAMPER.format(end, "NEW").encode())
        new.execute("CREATE TRIGGER tamper BEFORE INSERT ON outbox EXECUTE FUNCTION tamper()")


@contextmanager
def wire(server: Server) -> Iterator[Proxy]:
    """Return a wire to *server* that breaks on order."""
    made = Proxy(server.port)
    try:
        yield made
    finally:
        made.close()


def test_a_commit_that_never_arrived_is_told_as_such(server, database, old, url):
    """The database is asked what became of it."""
    with wire(server) as made, refused(old, made.url(database), StoreBusy, "nothing was moved"):
        made.breaks.append(Break.BEFORE)


def test_a_commit_whose_answer_is_lost_has_happened(server, database, house, old, url):
    """Everything is there, so it was moved."""
    look(url, forced=True)
    with wire(server) as made:
        made.breaks.append(Break.BEHIND)
        move(old, made.url(database))

    assert len(house.rows("messages")) == counts(url)["messages"]


def commits_in(server: Server, database: str, seconds: float) -> None:
    """Let the COMMIT itself of a house take so long."""
    server.run(TAMPER.format(f"PERFORM pg_sleep({seconds});", "NULL"), database)
    server.run(
        "CREATE CONSTRAINT TRIGGER tamper AFTER INSERT ON login_failures DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION tamper()",
        database,
    )


def test_a_commit_that_is_still_under_way_is_waited_for(server, database, house, old, url):
    """Its answer is lost, and the server is at it for a second more: then everything is there."""
    look(url, forced=True)
    commits_in(server, database, 1)
    with wire(server) as made:
        made.breaks.append(Break.AT_ONCE)
        carry(old, made.url(database), {"visitors": KEY}, settled=lambda: None)

    assert 1 == made.broken
    assert {name: len(house.rows(name)) for name in metadata.tables} | dict.fromkeys(FRESH, 0) == counts(url)


def test_a_commit_that_is_under_way_for_too_long_is_nobodys_to_tell(server, database, old, url, monkeypatch):
    """It may still come to something: neither moved nor not."""
    monkeypatch.setattr(moving, "OUTCOME_SECONDS", 0.0)
    look(url, forced=True)
    commits_in(server, database, 5)
    with wire(server) as made:
        made.breaks.append(Break.AT_ONCE)
        with pytest.raises(StoreUncertain, match="nobody knows whether everything is there"):
            carry(old, made.url(database), {"visitors": KEY}, settled=never)


def test_who_cannot_learn_what_became_of_it_says_so(server, database, old, url, monkeypatch):
    """The house goes on where it is: nobody has been sent to the new one."""
    monkeypatch.setattr(moving, "OUTCOME_SECONDS", 0.1)
    look(url, forced=True)
    with wire(server) as made:
        made.breaks.append(Break.BEHIND)
        with pytest.raises(StoreUncertain, match=r"the house goes on where it is: empty the new database"):
            carry(old, made.url(database), {}, settled=never, watch=Watch(lambda text: made.closed.set()))


def test_it_can_be_given_up_at_any_time(old, url):
    """Whoever pressed Ctrl-C means it."""
    asked: list[int] = []

    def given_up() -> bool:
        asked.append(1)
        return len(asked) > 20

    with refused(old, url, GivenUp, "given up; nothing was moved", Watch(given_up=given_up)):
        pass


@pytest.mark.timeout(60)
def test_it_can_be_given_up_while_the_new_database_stands_still(old, url, server):
    """Its host is frozen, its disk hangs: the old house is shut until somebody gives it up, and then at once no more."""
    stands_still = threading.Event()

    def freeze(_: str) -> None:
        if not stands_still.is_set():
            server.pause()
            stands_still.set()

    look(url, forced=True)
    try:
        with pytest.raises(GivenUp, match="given up; nothing was moved"):
            carry(old, url, {"visitors": KEY}, settled=never, watch=Watch(freeze, stands_still.is_set))
    finally:
        server.pause(paused=False)
    assert dict.fromkeys(metadata.tables, 0) == counts(url)


def test_it_says_how_far_it_has_come(old, url, monkeypatch):
    """Every half second; here each time that it could."""
    monkeypatch.setattr(moving, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(moving, "_LOOK_ROWS", 5)
    told: list[str] = []
    rows = sql(old, "SELECT count(*) FROM messages")[0][0]
    move(old, url, Watch(told.append))

    steps = [f"messages: {number} of {rows}" for number in range(5, rows + 1, 5)]
    assert [f"copying {step}" for step in steps] == [one for one in told if one.startswith("copying messages: ")]
    assert [f"comparing {step}" for step in steps] == [one for one in told if one.startswith("comparing messages: ")]


def test_a_house_where_nothing_has_happened_can_be_moved(tmp_path, url):
    """Its readers, counters and sequences begin as they would have."""
    assert 1 == move(on_disk(tmp_path), url).rows
    run_once(url, lambda tx: journal.append(tx, "alert", "{}"))

    assert 1 == read_once(url, journal.last)
    assert NOON < run_once(url, lambda tx: tx.now)
