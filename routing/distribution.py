"""Who is offered what: waiting sessions matched to fit seats, with the reason for every seat. Pure.

    distribute(pool, now) -> Result(offers, holds, paces, turns)

The order is broker.domain.rank_of: a point of priority counts as ten minutes of waiting, inside a priority the oldest is first. A seat
is fit when its operator is active, online, on shift and has budget left for the session's weight.

    responsible   who knows the customer is asked first, alone, until the session's `responsible_until`
    skills        only seats that have what the session needs, until its `needs_until`
    pace          what has waited since before the opening: one offer a seat in every `pace_seconds`, and nobody overtakes it
    round         a seat is asked once; when every fit seat was asked the next round begins, not sooner than one time-to-answer
                  after this one began; after the line's last round the session waits for a change in the pool
    rule          evenly, strictly, all at once or least loaded among whom the above has left
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime, timedelta
from functools import cached_property

import msgspec

from broker.domain import Distribution, LineId, OperatorId, PresenceState, SessionId


class OperatorState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What decides whether an operator can be offered anything."""

    id: OperatorId
    active: bool
    presence: PresenceState
    budget: int
    reserved: int
    on_shift: bool = True
    skills: tuple[str, ...] = ()
    phone: bool = True
    """Calls can ring somewhere."""
    calls: int = 0
    """How many ring or talk there."""


class SeatState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place in a line's queue; *turn* grows each time the seat is distributed to, 0: never."""

    operator_id: OperatorId
    turn: int = 0
    paced_until: datetime | None = None
    """Until when it is offered nothing that has waited for the opening."""


class LineState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the pool; *seats* in the queue's order."""

    id: LineId
    version: int
    distribution: Distribution
    offer_seconds: int
    rounds: int
    seats: tuple[SeatState, ...]
    opened_at: datetime | None = None
    """When its hours last began, while that matters: what was queued before is paced."""
    pace_seconds: int = 0
    changes: int = 0
    """How often a seat of its pool was added, freed or came online."""
    ring_seconds: int = 20
    """A call's time to be answered."""
    chats_too: bool = False
    """Who rings or talks may be offered what is not a call."""


_KEPT_BACK = frozenset(("promised", "greeting"))
"""Why a session is nobody's until its time, whoever is free: its customer was promised a call then, or hears a greeting or a menu."""


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
    held_until: datetime | None = None
    held_why: str = ""
    rounds_over: bool = False
    over_changes: int = 0
    """The line's `changes` when its rounds were over; at a later count they begin again."""
    responsible_id: OperatorId | None = None
    responsible_until: datetime | None = None
    needs: tuple[str, ...] = ()
    needs_until: datetime | None = None
    """None: the demand never relaxes."""
    call: bool = False
    """It rings: at one phone of somebody who has one, and does not ring or talk already."""


class Pool(msgspec.Struct, frozen=True):
    """Lines that share operators, their operators, and who waits in those that are open: by `rank_of`."""

    lines: tuple[LineState, ...]
    operators: tuple[OperatorState, ...]
    waiting: tuple[Waiting, ...]


class Reason(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why one seat was chosen or passed over.

    chosen, inactive, offline, away, off_shift, full, no_phone, on_call (their phone rings, or they talk), unskilled, paced, asked,
    kept (for the responsible), later (others came first).
    """

    operator_id: OperatorId
    why: str


class Offer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session proposed to *operators* until *until* by *rule*: the line's, or `responsible`."""

    session_id: SessionId
    operators: tuple[OperatorId, ...]
    until: datetime
    reasons: tuple[Reason, ...]
    rule: str
    fresh_round: bool = False
    renewed: bool = False


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session that is kept from fit seats until *until*; None: until the pool changes. *why*: round, rounds_over, responsible, skill."""

    session_id: SessionId
    until: datetime | None
    reasons: tuple[Reason, ...]
    why: str
    rounds_over: bool = False
    renewed: bool = False
    changes: int = 0


class Pace(msgspec.Struct, frozen=True):
    """The line's queue from *session_id* on waits until *until*, when a seat may be offered the next of what waited for the opening."""

    line_id: LineId
    session_id: SessionId
    until: datetime


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """The seat's new place in the turn of its line, and in its pace."""

    line_id: LineId
    operator_id: OperatorId
    turn: int
    paced_until: datetime | None = None


class Result(msgspec.Struct, frozen=True):
    """What to do; *examined* is how many of the waiting were looked at."""

    offers: tuple[Offer, ...]
    holds: tuple[Hold, ...]
    paces: tuple[Pace, ...]
    turns: tuple[Turn, ...]
    examined: int


def _answer_seconds(session: Waiting, line: LineState) -> int:
    return line.ring_seconds if session.call else line.offer_seconds


def distribute(pool: Pool, now: datetime) -> Result:
    """Match the waiting of *pool* to its fit seats."""
    desk = _Desk(pool, now)
    lightest = min([session.weight for session in pool.waiting], default=0)
    examined = 0
    for session in pool.waiting:
        if not any(left >= lightest for left in desk.free.values()):
            break
        examined += 1
        if session.line_id not in desk.paces:
            desk.place(session)
    return Result(tuple(desk.offers), tuple(desk.holds), tuple(desk.paces.values()), tuple(desk.moved.values()), examined)


class _Desk:
    """One distribution at work: what is left of the budgets and where the turns stand, beside what was decided."""

    def __init__(self, pool: Pool, now: datetime) -> None:
        self.now = now
        self.lines = {line.id: line for line in pool.lines}
        self.people = pool.operators
        online = PresenceState.ONLINE
        self.free = {o.id: o.budget - o.reserved for o in pool.operators if o.presence is online and o.active and o.on_shift}
        """Of those who can be offered anything at all."""
        self.on_call = {o.id for o in pool.operators if o.calls}
        self.phoneless = {o.id for o in pool.operators if not o.phone}
        self.turns: dict[LineId, dict[OperatorId, int]] = {}
        """Of the lines in which somebody waits; by `turns_of`."""
        self.paced: dict[tuple[LineId, OperatorId], datetime] = {
            (line.id, seat.operator_id): seat.paced_until
            for line in pool.lines
            if line.opened_at is not None
            for seat in line.seats
            if seat.paced_until is not None and seat.paced_until > now
        }
        self.offers: list[Offer] = []
        self.holds: list[Hold] = []
        self.paces: dict[LineId, Pace] = {}
        self.moved: dict[tuple[LineId, OperatorId], Turn] = {}

    @cached_property
    def operators(self) -> dict[OperatorId, OperatorState]:
        """Everybody by id; asked for when somebody is passed over or a load is compared."""
        return {operator.id: operator for operator in self.people}

    def turns_of(self, line: LineState) -> dict[OperatorId, int]:
        """Return where the turns of the line's seats stand by now, in the queue's order."""
        turns = self.turns.get(line.id)
        if turns is None:
            turns = self.turns[line.id] = {seat.operator_id: seat.turn for seat in line.seats}
        return turns

    def place(self, session: Waiting) -> None:
        """Offer the session, hold it, or leave it: nobody is fit, and the change that makes somebody so will mark the pool."""
        line, free, weight = self.lines[session.line_id], self.free, session.weight
        if session.held_why in _KEPT_BACK and session.held_until is not None and self.now < session.held_until:
            return
        renewed = session.rounds_over and line.changes > session.over_changes
        asked: tuple[OperatorId, ...] = () if renewed else session.asked
        fit = [operator for operator in self.turns_of(line) if free.get(operator, -1) >= weight]
        if barred := self._barred(session, line):
            fit = [operator for operator in fit if operator not in barred]
        if session.responsible_until is not None and self._responsible(session, line, fit, asked, renewed=renewed):
            return
        needs = self._needs(session)
        able = [operator for operator in fit if self._can(operator, needs)] if needs else fit
        before = frozenset(asked)
        unasked = [operator for operator in able if operator not in before] if asked else able
        # Those whom the demand bars could take it: it is due when the demand relaxes.
        relaxes = session.needs_until if len(able) < len(fit) else None
        fresh = False
        if not unasked:
            if not able:
                if fit:
                    self._hold(session, line, relaxes, "skill", asked, renewed=renewed)
                return
            # Everybody who could take it was asked in this round.
            gate = (session.round_began or self.now) + timedelta(seconds=_answer_seconds(session, line))
            if session.rounds_over or session.round_no >= line.rounds:
                self._hold(session, line, relaxes, "rounds_over", asked, over=True, renewed=renewed)
                return
            if self.now < gate:
                self._hold(session, line, min(gate, relaxes) if relaxes else gate, "round", asked, renewed=renewed)
                return
            fresh, asked, unasked = True, (), able
        waited = line.opened_at is not None and session.queued_at < line.opened_at
        if waited and self.paced:
            ready = [operator for operator in unasked if (line.id, operator) not in self.paced]
            if not ready:
                until = min(self.paced[line.id, operator] for operator in unasked)
                self.paces[line.id] = Pace(line.id, session.id, until)
                return
            unasked = ready
        self._offer(
            session, line, self._choose(line, unasked), line.distribution.value, asked, fresh=fresh, renewed=renewed, paced=waited
        )

    def _barred(self, session: Waiting, line: LineState) -> set[OperatorId]:
        """Return who cannot have the session because of a telephone: one they have not, or one that rings or talks."""
        if session.call:
            return self.on_call | self.phoneless
        return set() if line.chats_too else self.on_call

    def _needs(self, session: Waiting) -> tuple[str, ...]:
        """Return what the session still demands."""
        relaxed = session.needs_until is not None and self.now >= session.needs_until
        return () if relaxed else session.needs

    def _can(self, operator: OperatorId, needs: tuple[str, ...]) -> bool:
        skills = self.operators[operator].skills
        return all(need in skills for need in needs)

    def _responsible(
        self, session: Waiting, line: LineState, fit: Sequence[OperatorId], asked: Container[OperatorId], *, renewed: bool
    ) -> bool:
        """Offer to, or keep for, the one who knows the customer; False: it is everybody's."""
        who, until = session.responsible_id, session.responsible_until
        if who is None or until is None or self.now >= until or who in asked:
            return False
        if who in fit:
            # Their own customer: it neither counts as their turn nor waits for the opening's pace.
            self._offer(session, line, (who,), "responsible", (), renewed=renewed)
            return True
        if who in self.free and who in self.turns_of(line) and not (session.call and who in self.phoneless):
            self._hold(session, line, until, "responsible", (), renewed=renewed)
            return True
        return False

    def _choose(self, line: LineState, unasked: Sequence[OperatorId]) -> tuple[OperatorId, ...]:
        match line.distribution:
            case Distribution.EVENLY:
                # `min` keeps the queue's order among equals.
                return (min(unasked, key=self.turns_of(line).__getitem__),)
            case Distribution.ALL_AT_ONCE:
                return tuple(unasked)
            case Distribution.STRICTLY:
                return (unasked[0],)
            case Distribution.LEAST_LOADED:
                turns = self.turns_of(line)
                return (min(unasked, key=lambda operator: (self._load(operator), turns[operator])),)

    def _load(self, operator: OperatorId) -> float:
        """Return the part of the operator's budget that is taken."""
        budget = self.operators[operator].budget
        return (budget - self.free[operator]) / budget if budget else 1.0

    def _offer(
        self,
        session: Waiting,
        line: LineState,
        chosen: tuple[OperatorId, ...],
        rule: str,
        asked: tuple[OperatorId, ...],
        *,
        fresh: bool = False,
        renewed: bool = False,
        paced: bool = False,
    ) -> None:
        until = self.now + timedelta(seconds=_answer_seconds(session, line))
        reasons = self._reasons(session, line, chosen, asked, paced=paced, kept=rule == "responsible")
        self.offers.append(Offer(session.id, chosen, until, reasons, rule, fresh, renewed))
        for operator in chosen:
            self.free[operator] -= session.weight
        if session.call:
            self.on_call.update(chosen)
        if rule == "responsible":
            return
        turns = self.turns_of(line)
        last = max(turns.values(), default=0)
        pace = self.now + timedelta(seconds=line.pace_seconds) if paced and line.pace_seconds else None
        for number, operator in enumerate(chosen, start=1):
            turns[operator] = last + number
            self.moved[line.id, operator] = Turn(line.id, operator, last + number, pace or self.paced.get((line.id, operator)))
            if pace is not None:
                self.paced[line.id, operator] = pace

    def _hold(
        self,
        session: Waiting,
        line: LineState,
        until: datetime | None,
        why: str,
        asked: tuple[OperatorId, ...],
        *,
        over: bool = False,
        renewed: bool = False,
    ) -> None:
        if (session.held_until, session.held_why) == (until, why) and not renewed:
            return  # it was said before
        reasons = self._reasons(session, line, (), asked, kept=why == "responsible")
        self.holds.append(Hold(session.id, until, reasons, why, over, renewed, line.changes if over else 0))

    def _reasons(
        self,
        session: Waiting,
        line: LineState,
        chosen: tuple[OperatorId, ...],
        asked: tuple[OperatorId, ...],
        *,
        paced: bool = False,
        kept: bool = False,
    ) -> tuple[Reason, ...]:
        queue, free, weight, needs = self.turns_of(line), self.free, session.weight, self._needs(session)
        first, before = frozenset(chosen), frozenset(asked)
        barred = self._barred(session, self.lines[session.line_id])
        if not (kept or needs or asked or barred or (paced and self.paced)):
            # Most offers: among those who have room only the turn has decided.
            why_not = self._without_room
            whys = ["chosen" if who in first else "later" if free.get(who, -1) >= weight else why_not(who) for who in queue]
            return tuple(map(Reason, queue, whys))
        reasons = []
        for operator in queue:
            if operator in first:
                why = "chosen"
            elif free.get(operator, -1) < weight:
                why = self._without_room(operator)
            elif operator in barred:
                why = "no_phone" if session.call and operator in self.phoneless else "on_call"
            elif kept:
                why = "kept"
            elif needs and not self._can(operator, needs):
                why = "unskilled"
            elif operator in before:
                why = "asked"
            elif paced and (line.id, operator) in self.paced:
                why = "paced"
            else:
                why = "later"
            reasons.append(Reason(operator, why))
        return tuple(reasons)

    def _without_room(self, operator: OperatorId) -> str:
        if operator in self.free:
            return "full"
        state = self.operators[operator]
        if not state.active:
            return "inactive"
        return "off_shift" if state.presence is PresenceState.ONLINE else state.presence.value
