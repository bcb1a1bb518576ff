"""The live board: what waits, who does what, and the last 24 hours in numbers; and to whom a session can be passed.

Consoles ask for it every few seconds, so what it costs is bounded by what is open now and by one day, never by the history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

from pydantic import Field
from sqlalchemy import bindparam, case, exists, func, not_, select

from broker.access.authorize import Actor
from broker.domain import Directory, LineId, OperatorId, PresenceState, Role, Status, from_us, to_us
from broker.ports import Tx
from broker.store import line_state
from broker.store.sql import cols, one_of, sql
from broker.store.tables import budgets, calls, offers, presence, sessions

DAY = timedelta(days=1)
SPAM = "spam"
"""The outcome of what was no customer's."""
NOT_REACHED = "not_reached"
"""The outcome of a call of ours that was not answered: neither missed nor an answer."""

OnShift = Callable[[OperatorId, datetime], bool]
"""Whether somebody is on shift at a moment: their calendar is routing's."""

_PRESENCES = sql(select(*cols(presence, "operator_id state")))
_BUDGETS = sql(select(*cols(budgets, "operator_id reserved budget")))
# Whoever is to be called does not wait.
_TO_BE_CALLED = exists().where(
    calls.c.conversation_id == sessions.c.conversation_id, calls.c.outgoing == 1, calls.c.uniqueid == ""
)
_WAITING = sql(
    select(sessions.c.line_id, func.count(), func.min(case((~_TO_BE_CALLED, sessions.c.queued_us))))
    .where(sessions.c.status == Status.QUEUED.value)
    .group_by(sessions.c.line_id)
)
_OFFERED = sql(
    select(sessions.c.line_id, offers.c.operator_id, offers.c.session_id, sessions.c.queued_us)
    .join_from(offers, sessions, sessions.c.id == offers.c.session_id)
    .where(offers.c.state == "open")
)
_HELD = sql(
    select(sessions.c.line_id, sessions.c.operator_id, sessions.c.status, func.count())
    .where(sessions.c.status != Status.CLOSED.value, sessions.c.operator_id > "")
    .group_by(sessions.c.line_id, sessions.c.operator_id, sessions.c.status)
)
_UNANSWERED = (
    (sessions.c.status == Status.CLOSED.value)
    & sessions.c.answered_us.is_(None)
    & not_(one_of(sessions.c.outcome, SPAM, NOT_REACHED))
)
# Line by line: over all of them SQLite would go through the whole history in the order of an index.
_OPENED = sql(
    select(
        func.sum(case((_UNANSWERED, 1), else_=0)),
        func.count(case((sessions.c.outcome != NOT_REACHED, sessions.c.answered_us))),
        # Canonical JSON leaves a zero out.
        func.sum(case((sessions.c.state.like('%"kpi_missed":%'), 1), else_=0)),
    ).where(sessions.c.line_id == bindparam("line"), sessions.c.opened_us > bindparam("since"))
)
_PASSED = sql(
    select(offers.c.operator_id, offers.c.state, func.count())
    .where(one_of(offers.c.state, "declined", "ran_out"), offers.c.ended_us > bindparam("since"))
    .group_by(offers.c.operator_id, offers.c.state)
)


@dataclass(slots=True)
class LineNow:
    """A line at this moment, and its sessions that were opened in the last 24 hours."""

    id: str
    name: str
    open: bool
    opens_at: Annotated[datetime | None, Field(description="Null: it is open, or never opens.")]
    waiting: int = 0
    offered: int = 0
    active: int = 0
    snoozed: int = 0
    oldest_waiting_since: Annotated[datetime | None, Field(description="Of those that wait or are being offered.")] = None
    missed_24h: Annotated[int, Field(description="Closed without an answer; spam is not counted.")] = 0
    answered_24h: int = 0
    kpi_missed_24h: Annotated[int, Field(description="An answer came later than the line promises.")] = 0

    def wait_since(self, at_us: int | None) -> None:
        """Count somebody in who has waited since *at_us*."""
        if at_us is not None:
            at = from_us(at_us)
            self.oldest_waiting_since = min(self.oldest_waiting_since or at, at)


@dataclass(frozen=True, slots=True)
class PersonNow:
    """Somebody with a seat at this moment; what they hold and are offered in whatever line."""

    id: str
    name: str
    presence: PresenceState
    on_shift: bool
    load: Annotated[int, Field(description="What their sessions take of the budget.")]
    budget: int
    sessions: Annotated[int, Field(description="Held, snoozed ones too.")]
    offers: Annotated[int, Field(description="Open ones.")]
    declined_24h: int
    ran_out_24h: int


@dataclass(frozen=True, slots=True)
class BoardNow:
    """Everything on the board; lines and people by name."""

    at: datetime
    lines: list[LineNow]
    operators: list[PersonNow]


@dataclass(frozen=True, slots=True)
class TargetLine:
    id: str
    name: str
    open: bool
    opens_at: datetime | None
    calls: Annotated[bool, Field(description="Customers can be called from it.")]


@dataclass(frozen=True, slots=True)
class TargetPerson:
    id: str
    name: str
    presence: PresenceState
    on_shift: bool
    load: Annotated[int, Field(description="What their sessions take of the budget.")]
    budget: int
    lines: Annotated[list[str], Field(description="Where they have a seat; supervisors can be given sessions of every line.")]
    phone: Annotated[bool, Field(description="They have one for calls.")]


@dataclass(frozen=True, slots=True)
class Targets:
    """To whom a session can be passed, by name."""

    lines: list[TargetLine]
    operators: list[TargetPerson]


T = TypeVar("T", LineNow, PersonNow, TargetLine, TargetPerson)


@dataclass(slots=True)
class _Counts:
    """What is counted of each operator."""

    sessions: Counter[str] = field(default_factory=Counter)
    offers: Counter[str] = field(default_factory=Counter)
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)


def read(tx: Tx, actor: Actor, directory: Directory, on_shift: OnShift) -> BoardNow:
    """Return the board of the lines *actor* sees: those that are on, or have something open."""
    since = to_us(tx.now - DAY)
    lines = {id_: line for id_, line in _lines(tx, directory).items() if actor.sees(id_)}
    counts = _Counts()
    for line, waiting, oldest in tx.all(_WAITING):
        if line in lines:
            lines[line].waiting = waiting
            lines[line].wait_since(oldest)
    _count_offered(tx, lines, counts)
    for line, operator, status, held in tx.all(_HELD):
        counts.sessions[operator] += held
        if line in lines:
            if status == Status.SNOOZED.value:
                lines[line].snoozed += held
            else:
                lines[line].active += held
    for id_, one in lines.items():
        missed, answered, late = tx.all(_OPENED, line=id_, since=since)[0]
        one.missed_24h, one.answered_24h, one.kpi_missed_24h = missed or 0, answered, late or 0
    for operator, state, passed in tx.all(_PASSED, since=since):
        counts.passed[operator, state] = passed
    shown = {
        id_: line
        for id_, line in lines.items()
        if directory.lines[id_].active or line.waiting or line.offered or line.active or line.snoozed
    }
    return BoardNow(tx.now, _by_name(shown.values()), _people(tx, shown, directory, counts, on_shift))


def _lines(tx: Tx, directory: Directory) -> dict[LineId, LineNow]:
    found: dict[LineId, LineNow] = {}
    for id_, state in line_state.of_lines(tx, directory.lines).items():
        opens_at = from_us(state.opens_at_us) if state.opens_at_us is not None else None
        found[id_] = LineNow(id_, directory.lines[id_].name, state.open, opens_at)
    return found


def _count_offered(tx: Tx, lines: dict[LineId, LineNow], counts: _Counts) -> None:
    counted: set[str] = set()
    for line, operator, session, queued_us in tx.all(_OFFERED):
        counts.offers[operator] += 1
        if line in lines and session not in counted:
            counted.add(session)
            lines[line].offered += 1
            lines[line].wait_since(queued_us)


def _people(tx: Tx, lines: Iterable[LineId], directory: Directory, counts: _Counts, on_shift: OnShift) -> list[PersonNow]:
    states: dict[str, str] = dict(tx.all(_PRESENCES))
    loads = _loads(tx)
    seated = dict.fromkeys(operator for line in lines for operator in directory.seats.get(line, ()))
    found: list[PersonNow] = []
    for id_ in seated:
        person = directory.operators.get(id_)
        if person is None or not person.active:
            continue
        load, budget = loads.get(id_, (0, 0))
        found.append(
            PersonNow(
                id=id_,
                name=person.name,
                presence=PresenceState(states.get(id_, PresenceState.OFFLINE)),
                on_shift=on_shift(id_, tx.now),
                load=load,
                budget=budget,
                sessions=counts.sessions[id_],
                offers=counts.offers[id_],
                declined_24h=counts.passed[id_, "declined"],
                ran_out_24h=counts.passed[id_, "ran_out"],
            )
        )
    return _by_name(found)


def _loads(tx: Tx) -> dict[OperatorId, tuple[int, int]]:
    """Return of everybody what is taken of their budget, and how much that is."""
    return {operator: (reserved, budget) for operator, reserved, budget in tx.all(_BUDGETS)}


def targets(tx: Tx, directory: Directory, on_shift: OnShift, calls_from: AbstractSet[LineId]) -> Targets:
    """Return the lines that are on, and everybody who has a seat or supervises; *calls_from* are the lines from which can be called."""
    states: dict[str, str] = dict(tx.all(_PRESENCES))
    loads = _loads(tx)
    lines = [
        TargetLine(id_, line.name, line.open, line.opens_at, id_ in calls_from)
        for id_, line in _lines(tx, directory).items()
        if directory.lines[id_].active
    ]
    seats: dict[OperatorId, list[str]] = {}
    for target in lines:
        for operator in directory.seats.get(LineId(target.id), ()):
            seats.setdefault(operator, []).append(target.id)
    people = [
        TargetPerson(
            id=id_,
            name=person.name,
            presence=PresenceState(states.get(id_, PresenceState.OFFLINE)),
            on_shift=on_shift(id_, tx.now),
            load=loads.get(id_, (0, 0))[0],
            budget=loads.get(id_, (0, 0))[1],
            lines=seats.get(id_, []),
            phone=bool(person.phone),
        )
        for id_, person in directory.operators.items()
        if person.active and (id_ in seats or person.role is not Role.OPERATOR)
    ]
    return Targets(_by_name(lines), _by_name(people))


def _by_name(found: Iterable[T]) -> list[T]:
    return sorted(found, key=lambda one: (one.name.casefold(), one.id))
