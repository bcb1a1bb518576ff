"""The chain of migrations and the tables are one schema, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import broker.store.postgres
from broker import inbound, timers
from broker.domain import ChannelId, LineId, LineSettings, rank_of, to_us
from broker.errors import ConfigError, StoreBusy, StoreTooNew
from broker.store import migrations
from broker.store.migrate import check_postgres, migrate_postgres, migrate_sqlite, schema_of
from broker.store.migrations import CHAIN, HEAD, OLDEST
from broker.store.sqlite import connect, driver
from broker.store.tables import metadata
from routing import clockwork, distributor, worker
from routing.applying import TIMER_OWNER, House, timer_fired
from routing.session import Session
from tests.support import postgres
from tests.support.audit import Seen, audit
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import MINUTE, NOON, SECOND, CountedIds, MovedClock
from tests.support.house import load_house
from tests.support.store import SqliteMemory, on_disk

SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND name <> 'alembic_version' ORDER BY name"


def test_the_chain_names_every_file_in_order():
    """CHAIN is what the folder holds: start-up needs neither to search it nor to import Alembic."""
    files = sorted(path.name for path in (Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"))

    assert [name.split("_")[0] for name in files] == list(CHAIN)


def test_a_migrated_database_is_what_the_tables_say(tmp_path: Path):
    """Alembic finds nothing to add, drop or change."""
    engine = create_engine(f"sqlite:///{on_disk(tmp_path)}", module=driver())
    with engine.connect() as connection:
        of_sqlite = {"include_object": lambda thing, name, *_: name != "ix_journal_xid"}
        context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": metadata, **of_sqlite})
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


def test_migrations_and_tables_write_the_same_schema(tmp_path: Path):
    """To the letter: partial indexes' conditions and tables without rowid, which Alembic does not compare."""
    engine = create_engine(f"sqlite:///{tmp_path / 'tables.db'}", module=driver())
    metadata.create_all(engine)
    engine.dispose()

    def in_words(text: str) -> list[str]:
        # Foreign keys may stand in another order, a default in brackets.
        plain = re.sub(r"DEFAULT \((\S+)\)", r"DEFAULT \1", " ".join(text.replace('"', "").split()))
        # A column that was added later stands behind the one before it with a space, and before the last bracket without one.
        words = re.sub(r" ?\)( WITHOUT ROWID)?$", r"\1", plain).replace(" )", "")
        return sorted(words.replace(" WITHOUT ROWID", ", WITHOUT ROWID").replace(" ,", ",").split(", "))

    with closing(connect(tmp_path / "tables.db")) as made, closing(connect(on_disk(tmp_path))) as migrated:
        wanted, found = (
            [(*row[:3], in_words(row[3] or "")) for row in connection.execute(SCHEMA).fetchall()]
            for connection in (made, migrated)
        )
    assert found == wanted


def test_migrating_again_changes_nothing(tmp_path: Path):
    """A database of this version is left alone."""
    path = tmp_path / "omniline.db"

    assert (migrate_sqlite(path), migrate_sqlite(path)) == (True, False)


def test_a_database_from_a_newer_version_is_refused(tmp_path: Path):
    """And says what to do; nothing of it is changed."""
    path = on_disk(tmp_path)
    with closing(connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999', serves = '9998'")

    with pytest.raises(StoreTooNew, match=f"schema 9999, this one knows up to {HEAD}"):
        migrate_sqlite(path)


# --- PostgreSQL


@pytest.fixture
def empty() -> Iterator[str]:
    """Return the address of an empty database on PostgreSQL."""
    name = postgres.server().empty()
    yield postgres.server().socket_url(name)
    postgres.server().drop(name)


def test_postgresql_is_migrated_once(empty: str):
    """It is created, and left alone when it is of this version."""
    assert (migrate_postgres(empty, forced=True), migrate_postgres(empty, forced=True)) == (True, False)
    with psycopg.connect(empty) as connection:
        assert schema_of(connection) == HEAD


def test_a_backup_of_another_server_is_made_this_servers_own(empty: str):
    """Its transactions' numbers are those of a server that has seen more: here they would be taken for transactions to come."""
    migrate_postgres(empty, forced=True)
    with psycopg.connect(empty) as connection:
        connection.execute(
            "INSERT INTO journal (kind, at_us, body, xid) VALUES ('hours', 1, '{}', 999999999), ('hours', 1, '{}', NULL)"
        )
        connection.execute("INSERT INTO readers (name, cursor, under_way) VALUES ('crm', 2, '999999999 999999997')")

    with pytest.raises(ConfigError, match="restored from a backup of another server; run: omniline migrate"):
        check_postgres(empty, forced=True)
    assert migrate_postgres(empty, forced=True)

    check_postgres(empty, forced=True)
    assert not migrate_postgres(empty, forced=True)
    with psycopg.connect(empty) as connection:
        assert [(None,), (None,)] == connection.execute("SELECT xid FROM journal").fetchall()
        assert [(2, "")] == connection.execute("SELECT cursor, under_way FROM readers").fetchall()


def test_a_backup_of_any_size_is_made_this_servers_own(empty: str, monkeypatch: pytest.MonkeyPatch):
    """It takes as long as it takes: no statement's limit ends it."""
    migrate_postgres(empty, forced=True)
    with psycopg.connect(empty) as connection:
        connection.execute("INSERT INTO journal (kind, at_us, body, xid) VALUES ('hours', 1, '{}', 999999999)")
        connection.execute(
            "CREATE FUNCTION large() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END'"
        )
        connection.execute("CREATE TRIGGER large BEFORE UPDATE ON journal EXECUTE FUNCTION large()")
    monkeypatch.setitem(broker.store.postgres.SETTINGS, "statement_timeout", "100ms")

    assert migrate_postgres(empty, forced=True)
    check_postgres(empty, forced=True)


def test_of_several_processes_that_start_at_once_one_migrates(empty: str):
    """The others wait for it and find it done."""
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: migrate_postgres(empty, forced=True), range(4)))

    assert sorted(done) == [False, False, False, True]


def test_a_migrated_postgresql_is_what_the_tables_say(empty: str):
    """Alembic finds nothing to add, drop or change."""
    migrate_postgres(empty, forced=True)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(empty), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "target_metadata": metadata}
        )
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert [one for one in differences if not _is_the_xid(one)] == []


def _is_the_xid(difference: Any) -> bool:
    # The tables of both databases are one; only PostgreSQL gives a row the number of its transaction.
    return bool(difference[0][0] == "modify_default" and difference[0][2:4] == ("journal", "xid"))


def test_migrations_and_tables_write_the_same_schema_on_postgresql(empty: str):
    """To the letter: partial indexes' conditions, which Alembic does not compare."""
    migrate_postgres(empty, forced=True)
    name = postgres.server().empty()
    made = postgres.server().socket_url(name)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(made), poolclass=NullPool)
    metadata.create_all(engine)
    engine.dispose()

    schemas = []
    for url in (empty, made):
        with psycopg.connect(url) as connection:
            schemas.append([connection.execute(query.encode()).fetchall() for query in (COLUMNS, INDEXES, CONSTRAINTS)])
    postgres.server().drop(name)
    migrated, wanted = schemas
    assert migrated == wanted


OURS = "table_schema = 'public' AND table_name <> 'alembic_version'"
COLUMNS = (
    "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable "  # noqa: S608
    f"FROM information_schema.columns WHERE {OURS} ORDER BY 1, 2"
)
COLLATIONS = (
    "SELECT table_name, column_name, collation_name FROM information_schema.columns "  # noqa: S608
    f"WHERE {OURS} AND data_type IN ('text', 'character varying') ORDER BY 1, 2"
)
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
CONSTRAINTS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1, 2"
)


def test_text_is_ordered_byte_by_byte_whatever_the_databases_language():
    """As on SQLite: the order of locks and of pages is one everywhere."""
    server = postgres.server()
    if server.version() < 15:
        pytest.skip("an older one makes no database in a language that the system has not installed")
    server.run(
        "CREATE DATABASE of_russians LOCALE_PROVIDER icu ICU_LOCALE 'ru' LOCALE 'C.UTF-8' ENCODING 'UTF8' TEMPLATE template0"
    )
    url = server.socket_url("of_russians")
    try:
        migrate_postgres(url, forced=True)
        with psycopg.connect(url) as connection:
            texts = connection.execute(COLLATIONS.encode()).fetchall()
            for key in ("б", "a", "Б", "B", "_", "ё"):
                connection.execute("INSERT INTO counters (name) VALUES (%s)", [key])
            found = [name for (name,) in connection.execute("SELECT name FROM counters ORDER BY name")]
    finally:
        server.drop("of_russians")

    assert {collation for _, _, collation in texts} == {"C"}
    assert found == sorted(found, key=str.encode) == ["B", "_", "a", "Б", "б", "ё"]


def test_a_postgresql_of_a_newer_version_is_refused(empty: str):
    """And says what to do."""
    migrate_postgres(empty, forced=True)
    with psycopg.connect(empty) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999', serves = '9998'")

    with pytest.raises(StoreTooNew, match=f"schema 9999, this one knows up to {HEAD}"):
        migrate_postgres(empty, forced=True)


def test_what_a_newer_version_has_made_serves_the_release_before(empty: str, tmp_path: Path):
    """It says so in the schema: its own code is not there to be asked. What serves nobody we know is refused."""
    path = on_disk(tmp_path)
    migrate_postgres(empty, forced=True)
    with psycopg.connect(empty) as postgresql, closing(connect(path)) as sqlite:
        for one in (postgresql, sqlite):
            assert one.execute("SELECT serves FROM alembic_version").fetchone() == (OLDEST,)
            one.execute("UPDATE alembic_version SET serves = version_num, version_num = '9999'")
        postgresql.commit()

        assert (migrate_postgres(empty, forced=True), migrate_sqlite(path)) == (False, False)
        check_postgres(empty, forced=True)

        for one in (postgresql, sqlite):
            one.execute("UPDATE alembic_version SET serves = '9998'")
        postgresql.commit()
    for asked in (
        lambda: migrate_postgres(empty, forced=True),
        lambda: check_postgres(empty, forced=True),
        lambda: migrate_sqlite(path),
    ):
        with pytest.raises(StoreTooNew, match=f"schema 9999, this one knows up to {HEAD}"):
            asked()


def test_a_server_that_may_forget_is_not_migrated(empty: str):
    """Unless an administrator accepts it."""
    with pytest.raises(ConfigError, match="may forget what it has committed"):
        migrate_postgres(empty)

    assert migrate_postgres(empty, forced=True)


def test_a_server_that_does_not_answer_is_told_in_a_sentence():
    """The start-up waits for it."""
    with pytest.raises(StoreBusy, match="database_url cannot be used"):
        migrate_postgres("postgresql://omniline@127.0.0.1:1/omniline")


def test_who_may_not_make_tables_is_told_so(empty: str):
    """With what to give them."""
    server = postgres.server()
    server.run("DROP ROLE IF EXISTS guest")
    server.run("CREATE ROLE guest LOGIN")
    with psycopg.connect(empty) as connection:
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")

    with pytest.raises(ConfigError, match=r"may not make tables .* let it own the database"):
        migrate_postgres(empty.replace("omniline@", "guest@"), forced=True)


def test_a_migration_that_must_wait_too_long_changes_nothing(empty: str):
    """Somebody uses a table: rather not now than everybody waiting behind it."""
    migrate_postgres(empty, forced=True)
    with psycopg.connect(empty, autocommit=True) as other:
        other.execute("UPDATE alembic_version SET version_num = '0003'")
        other.execute("ALTER TABLE journal DROP COLUMN xid")
        with other.transaction():
            other.execute("LOCK TABLE journal IN ACCESS SHARE MODE")
            with pytest.raises(StoreBusy, match="lock timeout"):
                migrate_postgres(empty, forced=True)
        assert schema_of(other) == "0003"


# --- 0002: working hours, and the queue by age and priority together


def of_revision(revision: str, path: Path) -> Any:
    """Make a database of an earlier revision and return a connection to it."""
    engine = create_engine(f"sqlite:///{path}", module=driver())
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    return connect(path)


def put(connection: Any, table: str, **row: Any) -> None:
    """Insert a row."""
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))  # noqa: S608


MINUTES_AGO = {"round": 5, "over": 4, "vip": 1, "plain": 3, "offered": 2, "active": 6, "closed": 7}
"""Customers of the first revision, by what has become of them; and when each began to wait."""
STATES: dict[str, dict[str, Any]] = {
    "round": {"round_no": 1, "round_began": "2026-03-02T11:59:30Z", "asked": ["ann"], "next_round_at": "2026-03-02T12:00:30Z"},
    "over": {"round_no": 3, "round_began": "2026-03-02T11:58:00Z", "asked": ["ann"], "rounds_over": True, "no_answer_said": True},
    "vip": {"priority": 10},
    "plain": {},
    "offered": {
        "status": "offered",
        "offered_to": ["ann"],
        "offered_until": "2026-03-02T12:00:10Z",
        "offer_no": 1,
        "round_no": 1,
    },
    "active": {"status": "active", "operator_id": "ann", "priority": 5},
    "closed": {"status": "closed", "operator_id": "ann", "closed_at": "2026-03-02T11:59:00Z", "frozen": True, "priority": 7},
}


def first_revision(path: Path) -> None:
    """Write a house as the first revision kept it: a line, Ann with two chats of her four, and its customers."""
    with closing(of_revision("0001", path)) as db:
        settings = {"distribution": "strictly", "offer_seconds": 60, "rounds": 3, "no_answer_seconds": 0}
        put(db, "lines", id="shop", slug="shop", name="Shop", version=1, settings=json.dumps(settings))
        put(db, "channels", id="page", line_id="shop", slug="page", kind="fake", name="Page", settings="{}")
        put(db, "operators", id="ann", login="ann", name="Ann", role="operator", password_hash="", created_us=0, changed_us=0)
        put(db, "budgets", operator_id="ann", budget=100, reserved=50)
        put(db, "presence", operator_id="ann", state="online", since_us=0)
        put(db, "seats", line_id="shop", operator_id="ann", position=1)
        put(db, "turns", line_id="shop", operator_id="ann", turn=9)
        for key, more in STATES.items():
            customer(db, key, more)
        put(
            db,
            "offers",
            id="o1",
            session_id="s-offered",
            operator_id="ann",
            offer_no=1,
            state="open",
            made_us=to_us(NOON - 50 * SECOND),
            until_us=to_us(NOON + 10 * SECOND),
        )
        no_answer = '{"type":"no_answer_due","at":"2026-03-02T12:00:20Z"}'
        expired = '{"type":"offer_expired","at":"2026-03-02T12:00:10Z","offer_no":1}'
        for id_, name, seconds, event in (
            ("round", "round", 30, '{"type":"round_due","at":"2026-03-02T12:00:30Z"}'),
            ("offered", "offer", 10, expired),
            ("active", "no_answer", 20, no_answer),
        ):
            due = to_us(NOON + seconds * SECOND)
            put(db, "timers", id=f"t-{id_}", owner_kind="conversation", owner_id=f"c-{id_}", name=name, due_us=due, event=event)


def customer(db: Any, key: str, more: dict[str, Any]) -> None:
    """Write a customer whose session's state has *more*."""
    began = NOON - MINUTES_AGO[key] * MINUTE
    state = {
        "id": f"s-{key}",
        "conversation_id": f"c-{key}",
        "line_id": "shop",
        "channel_id": "page",
        "contact_id": f"p-{key}",
        "opened_at": began.isoformat(),
        "status": "queued",
        "weight": 25,
        "unanswered_since": began.isoformat(),
        **more,
    }
    waits = state["status"] in ("queued", "offered")
    if waits:
        state["queued_at"] = began.isoformat()
    put(db, "contacts", id=f"p-{key}", created_us=0, changed_us=0)
    conversation = {"id": f"c-{key}", "channel_id": "page", "key": key, "contact_id": f"p-{key}", "session_id": f"s-{key}"}
    put(db, "conversations", **conversation, created_us=0)
    put(
        db,
        "sessions",
        **{name: state[name] for name in ("id", "conversation_id", "line_id", "channel_id", "contact_id", "status", "weight")},
        operator_id=state.get("operator_id"),
        rank=-state.get("priority", 0),
        first_seq=1,
        opened_us=to_us(began),
        queued_us=to_us(began) if waits else None,
        changed_us=to_us(began),
        frozen=int(state.get("frozen", False)),
        state=json.dumps(state),
    )


def test_waiting_sessions_of_the_first_revision_keep_their_place_and_their_hold(tmp_path: Path):
    """Every state can be read; what waits has its rank by age and priority, all else none; a round's gate says what it is."""
    path = tmp_path / "omniline.db"
    first_revision(path)
    assert migrate_sqlite(path)

    with closing(connect(path)) as db:
        rows = db.execute("SELECT id, rank, state FROM sessions").fetchall()
        assert db.execute("SELECT turn, paced_until_us FROM turns").fetchall() == [(9, None)]
        assert db.execute("SELECT hours, languages, skills FROM operators").fetchall() == [(None, "[]", "[]")]
    states = {id_.removeprefix("s-"): msgspec.json.decode(body, type=Session) for id_, _, body in rows}
    ranks = {id_.removeprefix("s-"): rank for id_, rank, _ in rows}
    waits = {key: rank_of(NOON - MINUTES_AGO[key] * MINUTE, state.priority) for key, state in states.items() if state.queued_at}
    assert ranks == dict.fromkeys(states, 0) | waits
    assert sorted(waits, key=waits.__getitem__) == ["vip", "round", "over", "plain", "offered"]
    holds = {key: (state.held_until, state.held_why, state.rounds_over) for key, state in states.items() if state.held_why}
    due = {key: state.answer_due for key, state in states.items() if state.answer_due}
    assert due == {"active": NOON + 20 * SECOND}
    assert holds == {"round": (NOON + 30 * SECOND, "round", False), "over": (None, "rounds_over", True)}


def test_the_house_goes_on_with_what_the_first_revision_left(tmp_path: Path):
    """Offers run out, gates open, rounds that were over begin with the next change; the rows agree with one another."""
    path = tmp_path / "omniline.db"
    first_revision(path)
    migrate_sqlite(path)
    with closing(connect(path)) as db:
        clock = MovedClock()
        store = SqliteMemory(clock, CountedIds(), db)
        house = store.write(load_house)
        # As a start does.
        store.write(lambda tx: clockwork.keep_time(tx, house))
        go_on(store, house)
        # Two chats fit: the priority is worth more than minutes; "round" waits for its gate, "over" for a change.
        assert offered(store) == ["offered", "vip", "plain"]

        clock.move(10)
        store.write(partial(timers.fire_due, enter={TIMER_OWNER: timer_fired}))
        go_on(store, house)
        # The first revision's offer has run out, its seat is free.
        assert store.rows("SELECT state FROM offers WHERE id = 'o1'") == [("ran_out",)]
        clock.move(timedelta(seconds=20))
        store.write(partial(timers.fire_due, enter={TIMER_OWNER: timer_fired}))
        go_on(store, house)
        assert "round" in offered(store)

        channel = FakeChannel(ChannelId("page"), LineId("shop"))
        prepared = inbound.prepare(channel, [wrote("1", "closed", "again")], LineSettings())
        store.write(lambda tx: inbound.accept(tx, channel.id, prepared))
        go_on(store, house)
        assert store.one("SELECT count(*) FROM sessions WHERE conversation_id = 'c-closed'") == 2
        found = audit(store.rows, Seen(idempotent={channel.id: True}))
        assert [one for one in found if not one.endswith("is queued")] == []


def go_on(store: SqliteMemory, house: House) -> None:
    """Decide and distribute what there is."""
    while True:
        conversations, pools = store.write(inbound.undecided), store.write(distributor.marked)
        if not conversations and not pools:
            return
        for conversation in conversations:
            store.write(partial(worker.step, conversation_id=conversation, house=house))
        for line in pools:
            store.write(partial(distributor.step, line_id=line, house=house))


def offered(store: SqliteMemory) -> list[str]:
    """Return the customers whose sessions are offered, in the order in which they were."""
    rows = store.rows("SELECT session_id FROM offers WHERE state = 'open' ORDER BY made_us, id")
    return [row[0].removeprefix("s-") for row in rows]
