"""Rows of the journal that decided who gets a session, as far as they are told (operators.why). Pure.

    record(body), distribution(body)     a decision about one session, about a whole pool
    Sight(distribution, session)         what the distribution saw when it came to that session

Read are only the fields that are told, and most may be missing: rows of older engines are read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec


class _Event(msgspec.Struct, frozen=True):
    type: str
    operator_id: str | None = None
    colleague: str | None = None
    to_operator: str | None = None
    to_line: str | None = None
    to_number: str = ""
    number: str = ""
    by_phone: bool = False
    missing: bool = False
    assigned: bool = False
    removed: bool = False
    until: datetime | None = None
    operators: tuple[str, ...] = ()
    rule: str = ""
    renewed: bool = False
    why: str = ""
    how: str = ""


class Side(msgspec.Struct, frozen=True):
    """A session before or after."""

    id: str
    status: str
    line_id: str = ""
    operator_id: str | None = None
    opens_at: datetime | None = None
    offered_to: tuple[str, ...] = ()
    offered_until: datetime | None = None
    offer_no: int = 0
    round_no: int = 0
    passed_by: str | None = None
    members: tuple[str, ...] = ()
    invited: tuple[str, ...] = ()
    snoozed_until: datetime | None = None
    outcome: str = ""
    load: str = "chat"
    answered_at: datetime | None = None
    held: bool = False
    consulted: str | None = None
    consult_lifted: bool = False
    listens: str | None = None
    listens_how: str = ""
    listeners: tuple[str, ...] = ()
    forward_to: str = ""
    outgoing: bool = False
    reached: bool = False
    promised_at: datetime | None = None
    mine_only: bool = False
    tries: int = 0
    held_why: str = ""
    sent_because: str = ""

    @property
    def promised(self) -> bool:
        """It waits for the time at which its customer is to be called."""
        return self.status == "queued" and self.held_why == "promised"


class State(Side, frozen=True):
    """A session as it stands, with what may hold it."""

    held_until: datetime | None = None
    responsible_id: str | None = None
    needs: tuple[str, ...] = ()
    needs_until: datetime | None = None


class _Do(msgspec.Struct, frozen=True):
    do: str
    operator_id: str = ""
    reply: str = ""
    to: str = ""
    reason: str = ""


class _Hours(msgspec.Struct, frozen=True):
    open: bool = True


class _Colleague(msgspec.Struct, frozen=True):
    """Whom a decision named."""

    operator_id: str


class _View(msgspec.Struct, frozen=True):
    hours: _Hours | None = None
    colleague: _Colleague | None = None


class Record(msgspec.Struct, frozen=True):
    """A decision about the session."""

    event: _Event
    engine: int = 0
    settings: int = 0
    before: Side | None = None
    after: Side | Literal["unchanged"] | None = None
    view: _View = _View()
    decisions: tuple[_Do, ...] = ()

    def opens(self, session: str) -> bool:
        """Return whether the session begins here: before it there was none, or another."""
        return isinstance(self.after, Side) and self.after.id == session and (self.before is None or self.before.id != session)


class _Seat(msgspec.Struct, frozen=True):
    operator_id: str
    turn: int = 0
    paced_until: datetime | None = None


class _Line(msgspec.Struct, frozen=True):
    id: str
    version: int = 0
    rounds: int = 0
    seats: tuple[_Seat, ...] = ()
    opened_at: datetime | None = None
    pace_seconds: int = 0


class _Person(msgspec.Struct, frozen=True):
    id: str
    budget: int = 0
    reserved: int = 0
    skills: tuple[str, ...] = ()


class _Waiting(msgspec.Struct, frozen=True):
    id: str
    line_id: str
    weight: int
    queued_at: datetime
    round_no: int = 0
    responsible_id: str | None = None
    needs: tuple[str, ...] = ()
    needs_until: datetime | None = None


class _Pool(msgspec.Struct, frozen=True):
    lines: tuple[_Line, ...]
    operators: tuple[_Person, ...]
    waiting: tuple[_Waiting, ...]


_Reasons = tuple[tuple[str, str], ...]


class _Offer(msgspec.Struct, frozen=True):
    session_id: str
    operators: tuple[str, ...]
    reasons: _Reasons
    rule: str = ""


class _Hold(msgspec.Struct, frozen=True):
    session_id: str
    reasons: _Reasons


class _Result(msgspec.Struct, frozen=True):
    offers: tuple[_Offer, ...]
    holds: tuple[_Hold, ...] = ()


class Distribution(msgspec.Struct, frozen=True):
    """A decision about a whole pool."""

    now: datetime
    pool: _Pool
    result: _Result

    def reasons(self, session: str) -> _Reasons:
        """Return why each seat was chosen or passed over for the session; empty: it neither offered nor held it."""
        found: Iterable[_Offer | _Hold] = (*self.result.offers, *self.result.holds)
        return next((one.reasons for one in found if one.session_id == session), ())


_record = msgspec.json.Decoder(Record).decode
_distribution = msgspec.json.Decoder(Distribution).decode
_state = msgspec.json.Decoder(State).decode


def record(body: str) -> Record | None:
    """Return the decision of a row's body; None: no version of ours can read it."""
    try:
        return _record(body)
    except msgspec.MsgspecError:
        return None


def distribution(body: str) -> Distribution | None:
    """Return the distribution of a row's body; None: no version of ours can read it."""
    try:
        return _distribution(body)
    except msgspec.MsgspecError:
        return None


def state(body: str) -> State:
    """Return a session's present state."""
    return _state(body)


# --- what a distribution saw


class Sight:
    """What a distribution saw when it came to one session."""

    def __init__(self, by: Distribution, session: str) -> None:
        pool, result = by.pool, by.result
        self._now = by.now
        self.reasons = by.reasons(session)
        self.offer = next((offer for offer in result.offers if offer.session_id == session), None)
        waiting = {one.id: one for one in pool.waiting}
        self.waiting = waiting.get(session)
        here = self.waiting.line_id if self.waiting is not None else pool.lines[0].id
        self.line = next((line for line in pool.lines if line.id == here), pool.lines[0])
        self.chosen = self.offer.operators if self.offer is not None else ()
        self.rule = self.offer.rule if self.offer is not None else ""
        self._people = {person.id: person for person in pool.operators}
        self._seats = {seat.operator_id: seat for seat in self.line.seats}
        self.taken = {person.id: person.reserved for person in pool.operators}
        self.turns = {seat.operator_id: seat.turn for seat in self.line.seats}
        self._count_those_before(session, result.offers, waiting)

    def _count_those_before(self, session: str, offers: Iterable[_Offer], waiting: Mapping[str, _Waiting]) -> None:
        """Bring budgets and turns to where the offers to those who stood before it left them."""
        before = set[str]()
        for one in waiting:
            if one == session:
                break
            before.add(one)
        for offer in offers:
            if offer.session_id not in before:
                continue
            other = waiting[offer.session_id]
            last = max(self.turns.values(), default=0)
            for number, operator in enumerate(offer.operators, start=1):
                self.taken[operator] = self.taken.get(operator, 0) + other.weight
                if other.line_id == self.line.id and offer.rule != "responsible":
                    self.turns[operator] = last + number

    def budget(self, operator: str) -> int:
        person = self._people.get(operator)
        return person.budget if person is not None else 0

    def load(self, operator: str) -> float:
        """Return the part of the operator's budget that is taken."""
        budget = self.budget(operator)
        return self.taken.get(operator, 0) / budget if budget else 1.0

    def percent(self, operator: str) -> int:
        """Return the same in whole percents."""
        return round(100 * self.load(operator))

    @property
    def relaxed(self) -> bool:
        """Return whether the session demanded something, and does no more."""
        one = self.waiting
        return one is not None and bool(one.needs) and one.needs_until is not None and self._now >= one.needs_until

    @property
    def needs(self) -> tuple[str, ...]:
        """Return what the session still demands."""
        return self.waiting.needs if self.waiting is not None and not self.relaxed else ()

    def missing(self, operator: str) -> list[str]:
        """Return what the session demands and the operator does not have."""
        person = self._people.get(operator)
        return [need for need in self.needs if person is None or need not in person.skills]

    @property
    def waited_for_opening(self) -> bool:
        opened = self.line.opened_at
        return opened is not None and self.waiting is not None and self.waiting.queued_at < opened

    def paced_until(self, operator: str) -> datetime | None:
        """Return until when the seat is offered nothing that waited for the opening."""
        seat = self._seats.get(operator)
        # Without a moment of its own it was given one earlier in this distribution.
        own = seat.paced_until if seat is not None else None
        return own or self._now + timedelta(seconds=self.line.pace_seconds)
