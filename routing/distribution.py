"""Who is offered what: waiting sessions matched to fit seats, with the reason for every seat. Pure.

    distribute(pool, now) -> Result(offers, holds, turns)

The highest priority first, inside it the oldest. A seat is fit when its operator is active, online and has budget left for the
session's weight. In one round a seat is asked once; when every fit seat was asked, the next round begins, not sooner than one
time-to-answer after this one began; after the line's last round the session waits for a change in the pool.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from broker.domain import Distribution, LineId, OperatorId, PresenceState, SessionId


class OperatorState(msgspec.Struct, frozen=True):
    """What decides whether an operator can be offered anything."""

    id: OperatorId
    active: bool
    presence: PresenceState
    budget: int
    reserved: int


class SeatState(msgspec.Struct, frozen=True):
    """A place in a line's queue; *turn* grows each time the seat is distributed to, 0: never."""

    operator_id: OperatorId
    turn: int = 0


class LineState(msgspec.Struct, frozen=True):
    """A line of the pool; *seats* in the queue's order."""

    id: LineId
    version: int
    distribution: Distribution
    offer_seconds: int
    rounds: int
    seats: tuple[SeatState, ...]


class Waiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """A waiting session as far as distribution reads it."""

    id: SessionId
    line_id: LineId
    weight: int
    queued_at: datetime
    priority: int = 0
    round_no: int = 0
    round_began: datetime | None = None
    asked: tuple[OperatorId, ...] = ()
    next_round_at: datetime | None = None
    rounds_over: bool = False


class Pool(msgspec.Struct, frozen=True):
    """Lines that share operators, their operators, and who waits: by priority, then age."""

    lines: tuple[LineState, ...]
    operators: tuple[OperatorState, ...]
    waiting: tuple[Waiting, ...]
    changed: bool = False
    """A seat was added, freed or came online: sessions whose rounds are over begin again."""


class Reason(msgspec.Struct, frozen=True, array_like=True):
    """Why one seat was chosen or passed over: chosen, inactive, offline, away, full, asked, later."""

    operator_id: OperatorId
    why: str


class Offer(msgspec.Struct, frozen=True):
    """A session proposed to *operators* until *until*."""

    session_id: SessionId
    operators: tuple[OperatorId, ...]
    until: datetime
    reasons: tuple[Reason, ...]
    fresh_round: bool = False
    renewed: bool = False


class Hold(msgspec.Struct, frozen=True):
    """A session that fit seats have all been asked about: the next round begins at *until*; None: when the pool changes."""

    session_id: SessionId
    until: datetime | None
    reasons: tuple[Reason, ...]
    renewed: bool = False


class Turn(msgspec.Struct, frozen=True):
    """The seat's new place in the turn of its line."""

    line_id: LineId
    operator_id: OperatorId
    turn: int


class Result(msgspec.Struct, frozen=True):
    """What to do; *examined* is how many of the waiting were looked at."""

    offers: tuple[Offer, ...]
    holds: tuple[Hold, ...]
    turns: tuple[Turn, ...]
    examined: int


def distribute(pool: Pool, now: datetime) -> Result:
    """Match the waiting of *pool* to its fit seats."""
    lines = {line.id: line for line in pool.lines}
    operators = {operator.id: operator for operator in pool.operators}
    free = {o.id: o.budget - o.reserved for o in pool.operators if o.active and o.presence is PresenceState.ONLINE}
    turns = {line.id: {seat.operator_id: seat.turn for seat in line.seats} for line in pool.lines}
    lightest = min((session.weight for session in pool.waiting), default=0)
    offers: list[Offer] = []
    holds: list[Hold] = []
    moved: dict[tuple[LineId, OperatorId], Turn] = {}
    examined = 0
    for session in pool.waiting:
        if not any(left >= lightest for left in free.values()):
            break
        examined += 1
        line = lines[session.line_id]
        made = _place(session, line, turns[line.id], free, operators, now, changed=pool.changed)
        if isinstance(made, Offer):
            offers.append(made)
            last = max(turns[line.id].values(), default=0)
            for number, operator in enumerate(made.operators, start=1):
                free[operator] -= session.weight
                turns[line.id][operator] = last + number
                moved[line.id, operator] = Turn(line.id, operator, last + number)
        elif made is not None:
            holds.append(made)
    return Result(tuple(offers), tuple(holds), tuple(moved.values()), examined)


def _place(
    session: Waiting,
    line: LineState,
    turns: dict[OperatorId, int],
    free: dict[OperatorId, int],
    operators: dict[OperatorId, OperatorState],
    now: datetime,
    *,
    changed: bool,
) -> Offer | Hold | None:
    renewed = session.rounds_over and changed
    asked: tuple[OperatorId, ...] = () if renewed else session.asked
    fit = [seat.operator_id for seat in line.seats if free.get(seat.operator_id, -1) >= session.weight]
    unasked = [operator for operator in fit if operator not in asked] if asked else fit
    fresh = False
    if not unasked:
        if not fit or session.rounds_over:
            return None
        # Everybody who could take it was asked in this round.
        if session.round_no >= line.rounds:
            return Hold(session.id, None, _reasons(line, (), asked, free, operators, session.weight))
        began = session.round_began or now
        gate = began + timedelta(seconds=line.offer_seconds)
        if now < gate:
            if session.next_round_at == gate:
                return None
            return Hold(session.id, gate, _reasons(line, (), asked, free, operators, session.weight))
        fresh, asked, unasked = True, (), fit
    match line.distribution:
        case Distribution.ALL_AT_ONCE:
            chosen = tuple(unasked)
        case Distribution.STRICTLY:
            chosen = (unasked[0],)
        case Distribution.EVENLY:
            # `min` keeps the queue's order among equals.
            chosen = (min(unasked, key=turns.__getitem__),)
    return Offer(
        session.id,
        chosen,
        now + timedelta(seconds=line.offer_seconds),
        _reasons(line, chosen, asked, free, operators, session.weight),
        fresh_round=fresh,
        renewed=renewed,
    )


def _reasons(
    line: LineState,
    chosen: Iterable[OperatorId],
    asked: tuple[OperatorId, ...],
    free: dict[OperatorId, int],
    operators: dict[OperatorId, OperatorState],
    weight: int,
) -> tuple[Reason, ...]:
    reasons = []
    for seat in line.seats:
        operator = seat.operator_id
        if operator in chosen:
            why = "chosen"
        elif (left := free.get(operator)) is None:
            state = operators[operator]
            why = "inactive" if not state.active else state.presence.value
        elif left < weight:
            why = "full"
        elif operator in asked:
            why = "asked"
        else:
            why = "later"
        reasons.append(Reason(operator, why))
    return tuple(reasons)
