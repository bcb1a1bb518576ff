"""Keys that all processes of a house must share, in their database: made by whoever asks first."""

from __future__ import annotations

import secrets

from sqlalchemy import bindparam, select

from broker.ports import Tx
from broker.store.sql import insert_new, sql
from broker.store.tables import secrets as secrets_table

_NEW = insert_new(secrets_table, "name value", "name")
_FIND = sql(select(secrets_table.c.value).where(secrets_table.c.name == bindparam("key")))


def key_of(tx: Tx, name: str, size: int) -> bytes:
    """Return the key *name*, of *size* random bytes when nobody has asked for it before."""
    row = tx.one(_FIND, key=name)
    if row is None:
        # Of two that ask at once the second waits, and finds the first one's.
        tx.run(_NEW, name=name, value=secrets.token_bytes(size))
        row = tx.one(_FIND, key=name)
    assert row is not None
    return bytes(row[0])
