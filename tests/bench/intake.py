"""How fast a channel's payloads are stored, over the bare store's insert of the same bytes: what the measures of channels share.

The house is an embedded one: SQLite, synchronous=FULL. Deliveries hold PAYLOADS_EACH payloads, as a provider gives them to one that
asks; each is parsed, stored, made a message of its conversation, and committed with its cursor before the next is taken. The floor
is the store's insert of the same bytes under the same ids into a table of its own, as many at a time. Rounds alternate.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Column, LargeBinary, MetaData, String, Table, Text, func, select, text

from broker.clock import SystemClock, SystemIds
from broker.domain import ChannelId, LineSettings
from broker.inbound import accept, prepare
from broker.ports import Channel, Raw, Row, Tx
from broker.store.migrate import migrate_sqlite
from broker.store.sql import insert_rows, sql
from broker.store.sqlite import SqliteStore
from broker.store.tables import messages
from operators.lines import add_channel, add_line
from tests.bench.measure import BenchError, Report, median, progress

PAYLOADS_EACH = 100
DELIVERIES = 100
ROUNDS = 3
CUSTOMERS = 200
"""Whose conversations have begun before the clock runs."""

_BARE = Table(
    "bare",
    MetaData(),
    Column("origin", String, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("raw", LargeBinary),
)
_INSERT = insert_rows(_BARE, "origin external_id raw")
_MAKE = sql(text("CREATE TABLE bare (origin TEXT, external_id TEXT, raw BLOB, PRIMARY KEY (origin, external_id))"))
_COUNT = sql(select(func.count()).select_from(messages))

Payload = Callable[[int, int], bytes]
"""Makes the payload *number* of *customer*."""


def report_ratio(report: Report, name: str, kind: str, channel: Callable[[ChannelId], Channel], payload: Payload) -> None:
    """Report the measure *name*: payloads stored a second over the floor's, medians of rounds."""
    ours: list[float] = []
    floor: list[float] = []
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # as a process that serves has it
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            place = Path(folder) / f"{number}"
            place.mkdir()
            ours_now, floor_now = asyncio.run(_round(place, kind, channel, payload))
            progress(f"   {name}: {ours_now:,.0f} a second, the bare insert {floor_now:,.0f}")
            ours.append(ours_now)
            floor.append(floor_now)
    report(name, median(ours) / median(floor), "x")


async def _round(place: Path, kind: str, make: Callable[[ChannelId], Channel], payload: Payload) -> tuple[float, float]:
    migrate_sqlite(place / "house.db")
    store = SqliteStore(place / "house.db", clock=SystemClock(), ids=SystemIds(), ring=lambda _: None, on_broken=lambda _: None)
    try:
        id_ = await store.write(lambda tx: _furnish(tx, kind))
        channel = make(id_)
        beginning = [Raw(f"begin:{one}", payload(one, one + 1)) for one in range(CUSTOMERS)]
        await _take(store, channel, beginning, "begun")
        deliveries = [
            [
                Raw(
                    f"{delivery}:{one}",
                    payload((delivery * PAYLOADS_EACH + one) % CUSTOMERS, 1_000 + delivery * PAYLOADS_EACH + one),
                )
                for one in range(PAYLOADS_EACH)
            ]
            for delivery in range(DELIVERIES)
        ]
        begun = time.perf_counter()
        for number, raws in enumerate(deliveries):
            await _take(store, channel, raws, str(number))
        ours = time.perf_counter() - begun
        begun = time.perf_counter()
        for raws in deliveries:
            # Each is an insert of its own; what waits for the writer at the same time shares a commit, as everything does there.
            await asyncio.gather(*(store.write(partial(_insert, (id_, raw.external_id, raw.body))) for raw in raws))
        floor = time.perf_counter() - begun
        stored = await store.read(lambda tx: tx.one(_COUNT))
        if stored != (CUSTOMERS + DELIVERIES * PAYLOADS_EACH,):
            raise BenchError(f"{kind}: {stored} messages were stored")
    finally:
        await store.close()
    return DELIVERIES * PAYLOADS_EACH / ours, DELIVERIES * PAYLOADS_EACH / floor


async def _take(store: SqliteStore, channel: Channel, raws: Sequence[Raw], cursor: str) -> None:
    prepared = prepare(channel, raws, LineSettings())
    await store.write(lambda tx: accept(tx, channel.id, prepared, cursor))


def _insert(row: Row, tx: Tx) -> None:
    tx.each(_INSERT, [row])


def _furnish(tx: Tx, kind: str) -> ChannelId:
    line = add_line(tx, "shop", "Shop", LineSettings())
    tx.run(_MAKE)
    return add_channel(tx, line, "bot", kind, "Bot", {})
