"""Pins: sessions that an operator keeps at hand. Their own, seen by nobody else, kept until they take them away.

A pin put or taken is a row of the journal, so that every screen of the operator hears of it, and one that was away too.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import bindparam, delete, select

from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import LineId, to_us
from broker.ports import Tx
from broker.store import journal
from broker.store.sql import among, cols, insert_new, over_rows, sql
from broker.store.tables import pins
from operators import threads
from operators.deeds import PINS_MAX, Refusal

KIND = "pin"
"""Of its rows in the journal."""

_OF = sql(
    select(pins.c.session_id)
    .where(pins.c.operator_id == bindparam("operator"))
    .order_by(pins.c.pinned_us, pins.c.session_id)
    .limit(PINS_MAX)
)
_OF_EACH = over_rows(
    select(*cols(pins, "operator_id session_id")).where(among(pins.c.operator_id)),
    [pins.c.operator_id],
)
_PIN = insert_new(pins, "operator_id session_id pinned_us", "operator_id session_id")
_UNPIN = sql(delete(pins).where(pins.c.operator_id == bindparam("operator"), pins.c.session_id == bindparam("session")))


def of(tx: Tx, operator_id: str) -> tuple[str, ...]:
    """Return the sessions that the operator has pinned, the first pinned first."""
    return tuple(session for (session,) in tx.all(_OF, operator=operator_id))


def of_each(tx: Tx, operators: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the sessions that each of *operators* has pinned; who has none is left out."""
    found: dict[str, set[str]] = {}
    for operator, session in tx.each(_OF_EACH, [(operator,) for operator in operators]):
        found.setdefault(operator, set()).add(session)
    return {operator: frozenset(pinned) for operator, pinned in found.items()}


def pin(tx: Tx, actor: Actor, session_id: str) -> None:
    """Pin the session; one that is pinned stays so. Raises NotFound, Refusal: too_many_pins."""
    where = threads.seen_session(tx, actor, session_id).where
    mine = actor.operator_id in where.people
    authorize(actor, Action.PIN_SESSION, Thing(LineId(where.line_id), actor.operator_id if mine else None))
    pinned = of(tx, actor.operator_id)
    if session_id in pinned:
        return
    if len(pinned) >= PINS_MAX:
        raise Refusal("too_many_pins")
    tx.run(_PIN, operator_id=actor.operator_id, session_id=session_id, pinned_us=to_us(tx.now))
    _tell(tx, actor, session_id, on=True)


def unpin(tx: Tx, actor: Actor, session_id: str) -> None:
    """Take the pin away, also of a session that the actor sees no more; one that is not pinned stays so."""
    if tx.run(_UNPIN, operator=actor.operator_id, session=session_id):
        _tell(tx, actor, session_id, on=False)


def _tell(tx: Tx, actor: Actor, session_id: str, *, on: bool) -> None:
    body = msgspec.json.encode({"session": session_id, "on": on}).decode()
    journal.append(tx, KIND, body, operator_id=actor.operator_id)
