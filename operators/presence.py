"""Where operators are. A change of presence is an input like any other: committed, journalled, and the pool is told.

    online, away ──┬── the last console closes ── grace ──┬── still logged in ── away: vanished ── GONE_SECONDS ── offline
                   │                                      └── the login ended ── offline
                   └── logs out ── offline

Grace and absence are timers: a reload of the page, a lost connection or a restart of the server takes nobody away, and who comes
back after that has what they had. The row of the second timer is the mark that we took their presence, and says what it was.

Who leaves `online` loses what they are offered at once: each of those conversations gets an OperatorGone. Who vanishes, goes offline or
is switched off may lose what they hold as well; the engine says by which rule.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec
from sqlalchemy import bindparam, delete, select

from broker import inbound
from broker.domain import ConversationId, OperatorId, PresenceState, Status, to_us
from broker.events import OperatorGone
from broker.ports import Bell, Tx
from broker.store import journal, locks
from broker.store.sql import cols, insert_new, insert_row, sql, upsert
from broker.store.tables import (
    consoles,
    logins,
    offers,
    pool_marks,
    presence,
    processes,
    seats,
    session_members,
    sessions,
    timers,
)
from broker.timers import cancel_timer, set_timer

ORIGIN = "presence"
TIMER_OWNER = "operator"
GRACE = "presence_grace"
GRACE_SECONDS = 30.0
GONE = "presence_gone"
GONE_SECONDS = 600.0
"""After the grace: so long a vanished operator is away, then offline."""

_STATE = sql(select(presence.c.state).where(presence.c.operator_id == bindparam("operator")))
_SET = upsert(presence, "operator_id state since_us", "operator_id", "state since_us")
_LINES = sql(select(seats.c.line_id).where(seats.c.operator_id == bindparam("operator")).order_by(seats.c.line_id))
_MARK = insert_row(pool_marks, "line_id reason seats at_us")
_HERE = select(consoles.c.operator_id)
_MISSING = sql(
    select(*cols(presence, "operator_id"))
    .where(
        presence.c.state != PresenceState.OFFLINE.value, ~_HERE.where(consoles.c.operator_id == presence.c.operator_id).exists()
    )
    .order_by(presence.c.operator_id)
)
_IS_HERE = sql(_HERE.where(consoles.c.operator_id == bindparam("operator")).limit(1))
_ARRIVE = insert_new(consoles, "operator_id process_id", "operator_id process_id")
_DEPART = sql(
    delete(consoles).where(consoles.c.operator_id == bindparam("operator"), consoles.c.process_id == bindparam("process"))
)
_ABANDONED = sql(
    select(*cols(consoles, "operator_id process_id"))
    .where(
        consoles.c.process_id != bindparam("process"),
        ~select(processes.c.id).where(processes.c.id == consoles.c.process_id).exists(),
    )
    .order_by(consoles.c.operator_id, consoles.c.process_id)
    .limit(1_000)
)
_LIVES = sql(select(processes.c.id).where(processes.c.id == bindparam("process")))
_ABSENCE = sql(
    select(timers.c.event).where(
        timers.c.owner_kind == TIMER_OWNER, timers.c.owner_id == bindparam("operator"), timers.c.name == GONE
    )
)
_LOGGED_IN = sql(
    select(logins.c.operator_id)
    .where(logins.c.operator_id == bindparam("operator"), logins.c.ends_us > bindparam("now_us"))
    .limit(1)
)
_OFFERED = (
    select(sessions.c.conversation_id)
    .join_from(offers, sessions, sessions.c.id == offers.c.session_id)
    .where(offers.c.operator_id == bindparam("operator"), offers.c.state == "open")
)
_HELD = select(sessions.c.conversation_id).where(
    sessions.c.operator_id == bindparam("operator"), sessions.c.status != Status.CLOSED.value
)
_JOINED = (
    select(sessions.c.conversation_id)
    .join_from(session_members, sessions, sessions.c.id == session_members.c.session_id)
    .where(session_members.c.operator_id == bindparam("operator"))
)
# In one order for everybody, for each conversation is locked in turn.
_OFFERED_TO = sql(_OFFERED.order_by("conversation_id"))
_OFFERED_TO_OR_HELD = sql(_OFFERED.union(_HELD).order_by("conversation_id"))
_ALL_OF_THEIRS = sql(_OFFERED.union(_HELD, _JOINED).order_by("conversation_id"))


class _Absence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the timers carry. *was*: what the operator was when they vanished; None: their grace is not over yet."""

    was: PresenceState | None = None


_as_absence = msgspec.json.Decoder(_Absence).decode


def state_of(tx: Tx, operator_id: OperatorId) -> PresenceState:
    """Return where the operator is."""
    row = tx.one(_STATE, operator=operator_id)
    return PresenceState(row[0]) if row else PresenceState.OFFLINE


def set_presence(tx: Tx, operator_id: OperatorId, state: PresenceState) -> bool:
    """Record that the operator is now *state*; False when they were already, and then nothing is written.

    What is offered to who leaves `online` returns. Who is away keeps what they hold; what becomes of it when they are offline is each
    line's rule.
    """
    row = tx.one(_STATE, operator=operator_id)
    before = PresenceState(row[0]) if row else None
    if before is state:
        return False
    _record(tx, operator_id, before, state)
    if state is PresenceState.OFFLINE:
        _tell(tx, operator_id, vanished=True)
    elif before is PresenceState.ONLINE:
        _tell(tx, operator_id)
    return True


def switch_off(tx: Tx, operator_id: OperatorId) -> None:
    """The operator is not of the house any more: offline, and all they are offered and hold goes back whatever the line's rule."""
    before = state_of(tx, operator_id)
    if before is not PresenceState.OFFLINE:
        _record(tx, operator_id, before, PresenceState.OFFLINE)
    cancel_timer(tx, TIMER_OWNER, operator_id, GRACE)
    cancel_timer(tx, TIMER_OWNER, operator_id, GONE)
    _tell(tx, operator_id, vanished=True, removed=True)


# --- who closes their last console, and who comes back


def arrive(tx: Tx, operator_id: OperatorId, process_id: str) -> None:
    """The operator has a console open in the process: they are here."""
    locks.attendance(tx, operator_id)
    tx.run(_ARRIVE, operator_id=operator_id, process_id=process_id)
    come_back(tx, operator_id)


def depart(tx: Tx, operator_id: OperatorId, process_id: str, grace_seconds: float = GRACE_SECONDS) -> None:
    """Their last console in the process has gone; when they have none elsewhere, their grace begins."""
    locks.attendance(tx, operator_id)
    tx.run(_DEPART, operator=operator_id, process=process_id)
    if tx.one(_IS_HERE, operator=operator_id) is None:
        begin_grace(tx, operator_id, grace_seconds)


def abandon(tx: Tx, operator_id: OperatorId, process_id: str, grace_seconds: float = GRACE_SECONDS) -> None:
    """Do so for a process that is dead, unless it turns out to live: then it has said again who is in it, or will."""
    locks.attendance(tx, operator_id)
    if tx.one(_LIVES, process=process_id) is None:
        depart(tx, operator_id, process_id, grace_seconds)


def abandoned(tx: Tx, process_id: str) -> list[tuple[OperatorId, str]]:
    """Return whose consoles were in other processes than *process_id* that are dead, and in which."""
    return [(OperatorId(operator), process) for operator, process in tx.all(_ABANDONED, process=process_id)]


def begin_grace(tx: Tx, operator_id: OperatorId, seconds: float = GRACE_SECONDS) -> None:
    """The operator's last socket has gone: they have vanished in *seconds*, unless they come back."""
    # Who has vanished before a restart goes on being absent: what they were is not forgotten, and the time is not begun anew.
    if state_of(tx, operator_id) is not PresenceState.OFFLINE and tx.one(_ABSENCE, operator=operator_id) is None:
        _set_timer(tx, operator_id, GRACE, seconds, _Absence())


def come_back(tx: Tx, operator_id: OperatorId) -> None:
    """The operator is back: within the grace nothing has happened, after it they are what they were when they vanished."""
    cancel_timer(tx, TIMER_OWNER, operator_id, GRACE)
    # Whoever lets their grace run out in this moment is waited for here, and what they have written is seen from then on.
    tx.settle()
    absence = tx.one(_ABSENCE, operator=operator_id)
    cancel_timer(tx, TIMER_OWNER, operator_id, GONE)
    if absence is not None and (was := _as_absence(absence[0]).was) is not None:
        set_presence(tx, operator_id, was)


def logged_out(tx: Tx, operator_id: OperatorId) -> None:
    """The operator went by the door: with their last login they are offline at once, and need no grace."""
    if tx.one(_LOGGED_IN, operator=operator_id, now_us=to_us(tx.now)) is None:
        cancel_timer(tx, TIMER_OWNER, operator_id, GRACE)
        cancel_timer(tx, TIMER_OWNER, operator_id, GONE)
        set_presence(tx, operator_id, PresenceState.OFFLINE)


def missing(tx: Tx) -> list[OperatorId]:
    """Return everybody who is online or away and has no console open: at a start, those whose grace begins."""
    return [OperatorId(operator) for (operator,) in tx.all(_MISSING)]


def grace_over(tx: Tx, owner_id: str, timer_id: str, event: str) -> None:
    """A due timer of the owner kind `operator`: they did not come back, within the grace or within GONE_SECONDS after it."""
    operator_id = OperatorId(owner_id)
    if _as_absence(event).was is None:
        _vanish(tx, operator_id)
        return
    # For the customers who have written since: what needed no answer then may need one now.
    set_presence(tx, operator_id, PresenceState.OFFLINE)


def _vanish(tx: Tx, operator_id: OperatorId) -> None:
    was = state_of(tx, operator_id)
    # They may have opened a console in one process in the same moment in which their last one in another was closed.
    if was is PresenceState.OFFLINE or tx.one(_IS_HERE, operator=operator_id) is not None:
        return
    if tx.one(_LOGGED_IN, operator=operator_id, now_us=to_us(tx.now)) is None:
        set_presence(tx, operator_id, PresenceState.OFFLINE)  # they went by the door
        return
    if was is PresenceState.ONLINE:
        _record(tx, operator_id, was, PresenceState.AWAY)
    _set_timer(tx, operator_id, GONE, GONE_SECONDS, _Absence(was))
    _tell(tx, operator_id, vanished=True)


def _set_timer(tx: Tx, operator_id: OperatorId, name: str, seconds: float, absence: _Absence) -> None:
    event = msgspec.json.encode(absence).decode()
    set_timer(tx, TIMER_OWNER, operator_id, name, tx.now + timedelta(seconds=seconds), event)


# --- what a change does


def _record(tx: Tx, operator_id: OperatorId, before: PresenceState | None, state: PresenceState) -> None:
    """Write the change and its news, and mark the pools that it concerns."""
    tx.run(_SET, operator_id=operator_id, state=state.value, since_us=to_us(tx.now))
    body = msgspec.json.encode({"operator": operator_id, "state": state.value}).decode()
    journal.append(tx, "presence", body, operator_id=operator_id)
    if PresenceState.ONLINE not in (before, state):
        return
    for (line,) in tx.all(_LINES, operator=operator_id):
        tx.run(
            _MARK,
            line_id=line,
            reason=f"presence {state.value}",
            seats=int(state is PresenceState.ONLINE),
            at_us=to_us(tx.now),
        )
        tx.ring(Bell.POOL, line)


def _tell(tx: Tx, operator_id: OperatorId, *, vanished: bool = False, removed: bool = False) -> None:
    """Enter an OperatorGone for each conversation that is offered to the operator.

    Of who has vanished also for those they hold, of who is removed also for those they joined or are invited to.
    """
    change = tx.new_id()
    theirs = _ALL_OF_THEIRS if removed else _OFFERED_TO_OR_HELD if vanished else _OFFERED_TO
    for (conversation_id,) in tx.all(theirs, operator=operator_id):
        inbound.enter(
            tx,
            ORIGIN,
            f"{change}:{conversation_id}",
            ConversationId(conversation_id),
            lambda at: OperatorGone(at=at, operator_id=operator_id, vanished=vanished, removed=removed),
        )
