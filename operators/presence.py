"""Where operators are. A change of presence is an input like any other: committed, journalled, and the pool is told.

An operator whose last socket has gone keeps their state for a grace period, which is a timer: a reload of the page, a lost
connection or a restart of the server takes nobody offline.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec
from sqlalchemy import bindparam, select

from broker.domain import OperatorId, PresenceState, to_us
from broker.ports import Bell, Tx
from broker.store import journal
from broker.store.sql import cols, insert_row, sql, upsert
from broker.store.tables import pool_marks, presence, seats
from broker.timers import cancel_timer, set_timer

TIMER_OWNER = "operator"
GRACE = "presence_grace"
GRACE_SECONDS = 30.0

_STATE = sql(select(presence.c.state).where(presence.c.operator_id == bindparam("operator")))
_SET = upsert(presence, "operator_id state since_us", "operator_id", "state since_us")
_LINES = sql(select(seats.c.line_id).where(seats.c.operator_id == bindparam("operator")).order_by(seats.c.line_id))
_MARK = insert_row(pool_marks, "line_id reason seats at_us")
_PRESENT = sql(
    select(*cols(presence, "operator_id")).where(presence.c.state != PresenceState.OFFLINE.value).order_by(presence.c.operator_id)
)


def state_of(tx: Tx, operator_id: OperatorId) -> PresenceState:
    """Return where the operator is."""
    row = tx.one(_STATE, operator=operator_id)
    return PresenceState(row[0]) if row else PresenceState.OFFLINE


def set_presence(tx: Tx, operator_id: OperatorId, state: PresenceState) -> bool:
    """Record that the operator is now *state*; False when they were already, and then nothing is written."""
    row = tx.one(_STATE, operator=operator_id)
    if row is not None and row[0] == state:
        return False
    tx.run(_SET, operator_id=operator_id, state=state.value, since_us=to_us(tx.now))
    body = msgspec.json.encode({"operator": operator_id, "state": state.value}).decode()
    journal.append(tx, "presence", body, operator_id=operator_id)
    if PresenceState.ONLINE in (state, row and row[0]):
        for (line,) in tx.all(_LINES, operator=operator_id):
            tx.run(
                _MARK,
                line_id=line,
                reason=f"presence {state.value}",
                seats=int(state is PresenceState.ONLINE),
                at_us=to_us(tx.now),
            )
            tx.ring(Bell.POOL, line)
    return True


def begin_grace(tx: Tx, operator_id: OperatorId, seconds: float = GRACE_SECONDS) -> None:
    """The operator's last socket has gone: they are offline in *seconds*, unless they come back."""
    if state_of(tx, operator_id) is not PresenceState.OFFLINE:
        set_timer(tx, TIMER_OWNER, operator_id, GRACE, tx.now + timedelta(seconds=seconds), "{}")


def end_grace(tx: Tx, operator_id: OperatorId) -> None:
    """The operator is back."""
    cancel_timer(tx, TIMER_OWNER, operator_id, GRACE)


def present(tx: Tx) -> list[OperatorId]:
    """Return everybody who is online or away: at a start, those whose grace begins."""
    return [OperatorId(operator) for (operator,) in tx.all(_PRESENT)]


def grace_over(tx: Tx, owner_id: str, timer_id: str, event: str) -> None:
    """A due timer of the owner kind `operator`: they did not come back."""
    set_presence(tx, OperatorId(owner_id), PresenceState.OFFLINE)
