"""The chain of migrations and the tables are one schema."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from broker import inbound, timers
from broker.domain import ChannelId, LineId, LineSettings, rank_of, to_us
from broker.errors import StoreTooNew
from broker.store import migrations
from broker.store.migrate import migrate_sqlite
from broker.store.migrations import CHAIN, HEAD
from broker.store.sqlite import connect, driver
from broker.store.tables import metadata
from routing import clockwork, distributor, worker
from routing.applying import TIMER_OWNER, House, timer_fired
from routing.session import Session
from tests.support.audit import Seen, audit
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import MINUTE, NOON, SECOND, CountedIds, MovedClock
from tests.support.house import load_house
from tests.support.store import MemoryStore, on_disk

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
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreTooNew, match=f"schema 9999, this one knows up to {HEAD}"):
        migrate_sqlite(path)


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
        store = MemoryStore(clock, CountedIds(), db)
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


def go_on(store: MemoryStore, house: House) -> None:
    """Decide and distribute what there is."""
    while True:
        conversations, pools = store.write(inbound.undecided), store.write(distributor.marked)
        if not conversations and not pools:
            return
        for conversation in conversations:
            store.write(partial(worker.step, conversation_id=conversation, house=house))
        for line in pools:
            store.write(partial(distributor.step, line_id=line, house=house))


def offered(store: MemoryStore) -> list[str]:
    """Return the customers whose sessions are offered, in the order in which they were."""
    rows = store.rows("SELECT session_id FROM offers WHERE state = 'open' ORDER BY made_us, id")
    return [row[0].removeprefix("s-") for row in rows]
