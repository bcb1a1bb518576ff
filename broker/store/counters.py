"""Numbers that only grow and survive a restart: the fence of this process."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from broker.ports import Tx
from broker.store.sql import sql, upsert
from broker.store.tables import counters

_READ = sql(select(counters.c.value).where(counters.c.name == bindparam("counter")))
_WRITE = upsert(counters, "name value", "name", "value")


def next_number(tx: Tx, name: str) -> int:
    """Return the counter's next number, 1 at first."""
    row = tx.one(_READ, counter=name)
    number = int(row[0]) + 1 if row else 1
    tx.run(_WRITE, name=name, value=number)
    return number
