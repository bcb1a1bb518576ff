"""How each channel is: whether its provider lets us in, since when not, and why. Transaction functions; a row a channel.

well       its provider was heard lately
waiting    it cannot be reached just now; it is asked again by itself
refused    an administrator must act: a revoked token, a wrong password, another program that takes its messages
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from sqlalchemy import bindparam, select, update

from broker.domain import ChannelId, to_us
from broker.ports import Tx
from broker.store import journal
from broker.store.sql import cols, sql, upsert
from broker.store.tables import channel_health

_COLUMNS = "state code problem since_us well_us came_us"
_READ = sql(select(*cols(channel_health, _COLUMNS)).where(channel_health.c.channel_id == bindparam("channel")))
_ALL = sql(select(channel_health.c.channel_id, *cols(channel_health, _COLUMNS)))
_CAME = sql(update(channel_health).values(came_us=bindparam("now_us")).where(channel_health.c.channel_id == bindparam("channel")))
_WRITE = upsert(channel_health, f"channel_id {_COLUMNS}", "channel_id", _COLUMNS)


class Health(NamedTuple):
    """How a channel is; moments in microseconds."""

    state: str
    code: str = ""
    """A key of the console's sentences; empty: none is known."""
    problem: str = ""
    """The provider's own words, or ours, for an administrator."""
    since_us: int = 0
    well_us: int | None = None
    came_us: int | None = None


def note(tx: Tx, channel_id: ChannelId, state: str, code: str = "", problem: str = "", *, came: bool = False) -> bool:
    """Write down how the channel is; return whether that is news. What changes is told to administrators' screens by the journal."""
    now_us = to_us(tx.now)
    row = tx.one(_READ, channel=channel_id)
    before = Health(*row) if row is not None else None
    problem = problem[:1_000]
    news = before is None or (before.state, before.code) != (state, code)
    after = Health(
        state,
        code,
        problem,
        now_us if before is None or before.state != state else before.since_us,
        now_us if state == "well" else before.well_us if before is not None else None,
        now_us if came else before.came_us if before is not None else None,
    )
    tx.run(_WRITE, channel_id=channel_id, **after._asdict())
    if news and (before is not None or state != "well"):
        body = msgspec.json.encode({"channel": channel_id, "state": state, "code": code}).decode()
        journal.append(tx, "channel", body)
    return news


def came(tx: Tx, channel_id: ChannelId) -> None:
    """Write down that a customer's message came by the channel; how it is its receiver knows."""
    tx.run(_CAME, channel=channel_id, now_us=to_us(tx.now))


def of_all(tx: Tx) -> dict[ChannelId, Health]:
    """Return how every channel is of which anything is known."""
    return {ChannelId(row[0]): Health(*row[1:]) for row in tx.all(_ALL)}
