"""The traffic of a time played again under other settings, hours or people. Pure: what chance decides is drawn from *chance*.

    simulate(traffic, house, chance) -> Outcome

Customers come when they came; who is offered what, when and why is decided by the shipped `distribute` and `decide`, on budgets, turns,
calendars and rounds kept here as the worker keeps them in its tables. What nobody can know is taken from what was:

- whether an operator answers an offer, and after how long: one of their own answers to the offers of that time, drawn anew for each;
- how long a session takes once somebody has it, whether it is put by, passed on or comes back: as it did, whoever has it now;
- who is there: as they were.

The first draws of *chance* are one for each session, in their order, and all the luck of a session comes from its own: two plays begun
from the same seed differ by what was changed, and hardly by luck.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Protocol

from msgspec import convert
from msgspec.structs import replace

from broker.domain import (
    LineId,
    LineSettings,
    LoadKind,
    MessageId,
    OperatorId,
    PresenceState,
    SessionId,
    Status,
    pools_of,
    rank_of,
)
from broker.events import (
    Close,
    ContactMessage,
    Decline,
    Held,
    Offered,
    OfferExpired,
    OperatorGone,
    Reply,
    SessionEvent,
    Snooze,
    SnoozeEnded,
    Take,
    TakeOver,
    Transfer,
)
from routing.distribution import LineState, OperatorState, Pool, Result, SeatState, Waiting, distribute
from routing.engine import OFFER, ROUND, counts, decide
from routing.session import CancelTimer, EndOffers, MakeOffers, MarkPool, Release, Reserve, Session, SetTimer
from routing.view import OPEN, ConversationView, HoursView, OperatorView, TargetView, View

PAGE = 100
"""As many of the waiting are looked at together as the distributor does."""
FEW_OFFERS = 5
"""Who answered fewer is taken to answer as everybody does."""
USUAL_TAKE_SECONDS = 10.0
"""Of whom nothing at all is known."""
USUAL_HANDLING_SECONDS = 600.0
"""Of a line and load in which no session was ever closed."""

NOBODY = OperatorId("")
_ONLINE = PresenceState.ONLINE
_WORDS = MessageId("")
_Place = tuple[int, datetime, str]
_FRONT: _Place = (-(2**62), datetime.min.replace(tzinfo=UTC), "")


# --- what was


class Deed(Enum):
    """What followed once an operator had the session."""

    ANSWERED = "answered"
    WROTE = "wrote"
    """The customer, after an answer."""
    SNOOZED = "snoozed"
    WOKE = "woke"
    PASSED_ON = "passed_on"
    """To a line's queue."""
    GIVEN_BACK = "given_back"
    """To the queue it came from: its operator had gone."""
    CLOSED = "closed"
    REOPENED = "reopened"
    """The customer wrote again after the closing."""


@dataclass(frozen=True, slots=True)
class Step:
    """A deed, so long after the one before it; the time in which the session waits in a queue does not count."""

    after_seconds: float
    deed: Deed
    line_id: LineId | None = None
    """To which it was passed on."""


@dataclass(frozen=True, slots=True)
class Lived:
    """A session as it was: when it began to wait, and what followed once somebody had it."""

    began_at: datetime
    conversation: ConversationView
    steps: tuple[Step, ...] = ()
    """When they end and it is not closed, how long it takes is drawn from what others took."""
    given_up_seconds: float | None = None
    """It was closed while it waited, so long after it began."""
    held_by: OperatorId | None = None
    """Who has it from the beginning: they wrote first, or had it already when the time began."""
    counts: bool = True
    """It is one of the sessions that customers began in the time."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How offers were answered: the seconds to each take and each decline, and how many ran out."""

    takes: tuple[float, ...] = ()
    declines: tuple[float, ...] = ()
    ran_out: int = 0

    @property
    def offers(self) -> int:
        """How many it is known from."""
        return len(self.takes) + len(self.declines) + self.ran_out


@dataclass(frozen=True, slots=True)
class Traffic:
    """What came from *since* until before *until*, in its order, and what is known of how it was handled."""

    since: datetime
    until: datetime
    sessions: tuple[Lived, ...]
    habits: Mapping[OperatorId, Habit] = field(default_factory=dict)
    handling: Mapping[tuple[LineId, LoadKind], tuple[float, ...]] = field(default_factory=dict)
    """Seconds from taking to closing."""

    def habits_of(self, people: Iterable[OperatorId]) -> dict[OperatorId, Habit]:
        """Return how each of *people* answers; who is hardly known, as everybody does."""
        known = self.habits.values()
        everybody = Habit(
            tuple(sorted(seconds for one in known for seconds in one.takes)),
            tuple(sorted(seconds for one in known for seconds in one.declines)),
            sum(one.ran_out for one in known),
        )
        usual = everybody if everybody.offers else Habit((USUAL_TAKE_SECONDS,))
        return {who: own if (own := self.habits.get(who, usual)).offers >= FEW_OFFERS else usual for who in people}


# --- under what it is played


class Stretch(Protocol):
    """See routing.openings."""

    @property
    def open(self) -> bool: ...
    @property
    def since(self) -> datetime | None: ...
    @property
    def until(self) -> datetime | None: ...


class Calendars(Protocol):
    """Who knows when lines are open and people on shift: routing.openings."""

    def of_line(self, line_id: LineId, now: datetime) -> Stretch:
        """Return what holds for the line now."""

    def of_operator(self, operator_id: OperatorId, now: datetime) -> Stretch:
        """Return what holds for the operator's shifts now."""

    def view(self, line_id: LineId, now: datetime) -> HoursView:
        """Return the line's hours as a decision may see them."""


class Chance(Protocol):
    """A seeded source of chance, such as random.Random."""

    def random(self) -> float:
        """Return a number from 0 up to, not including, 1."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may be offered sessions. *presence*: since when they are where; before the first, offline."""

    budget: int = 100
    skills: tuple[str, ...] = ()
    presence: tuple[tuple[datetime, PresenceState], ...] = ()
    active: bool = True

    def state_at(self, at: datetime) -> PresenceState:
        """Return where they are."""
        place = bisect_right(self.presence, at, key=lambda change: change[0])
        return self.presence[place - 1][1] if place else PresenceState.OFFLINE


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The lines' settings, who sits where and in which order, and the people."""

    lines: Mapping[LineId, LineSettings]
    seats: Mapping[LineId, tuple[OperatorId, ...]]
    people: Mapping[OperatorId, Person]
    calendars: Calendars


# --- what comes of it


class Ending(Enum):
    """What became of a session's waiting."""

    TAKEN = "taken"
    WAITING = "waiting"
    """Not taken by the end of the time."""
    SHUT = "shut"
    """Written outside the hours and closed at once."""
    GIVEN_UP = "given_up"
    """Closed while it waited."""


@dataclass(frozen=True, slots=True)
class Wait:
    """How a session waited; *counted_from*: when the line opened, for what came outside its hours."""

    line_id: LineId
    began_at: datetime
    counted_from: datetime
    ending: Ending
    ended_at: datetime
    """When it was taken or closed; else the end of the time."""
    taken_by: OperatorId | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """So much of an operator's budget was taken from *start* to *end*."""

    operator_id: OperatorId
    weight: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a time's sessions. *offers*: how many of a line to an operator were made, taken, declined, ran_out."""

    waits: tuple[Wait, ...]
    holds: tuple[Hold, ...]
    offers: Mapping[tuple[LineId, OperatorId], Mapping[str, int]]


def simulate(traffic: Traffic, house: Arrangement, chance: Chance) -> Outcome:
    """Play *traffic* in *house*. Of its lines those that *house* does not have are left out."""
    return _Play(traffic, house, chance).run()


class _Luck:
    """The luck of one session: splitmix64, from its own seed."""

    __slots__ = ("_state",)

    def __init__(self, seed: float) -> None:
        self._state = int(seed * 2**53)

    def pick(self, of: int) -> int:
        """Return a number from 0 up to, not including, *of*."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((self._state ^ (self._state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        return ((mixed ^ (mixed >> 31)) >> 11) * of >> 53


class _Case:
    """A session at play."""

    __slots__ = (
        "counted_from",
        "ended_at",
        "ending",
        "hold",
        "lived",
        "luck",
        "number",
        "place",
        "round_due",
        "session",
        "step_no",
        "steps",
        "taken_by",
        "waiting",
    )

    def __init__(self, number: int, lived: Lived, luck: _Luck) -> None:
        self.number = number
        self.lived = lived
        self.luck = luck
        self.steps = lived.steps
        self.step_no = 0
        self.session: Session | None = None
        self.place: _Place | None = None
        """In the queue of its line, while it waits there."""
        self.waiting: Waiting | None = None
        self.round_due: datetime | None = None
        self.hold: tuple[OperatorId, int, datetime] | None = None
        self.counted_from = lived.began_at
        self.ending = Ending.WAITING
        self.ended_at: datetime | None = None
        self.taken_by: OperatorId | None = None

    def next_step(self) -> Step | None:
        return self.steps[self.step_no] if self.step_no < len(self.steps) else None


class _Together:
    """Lines that share operators, and those."""

    def __init__(self, lines: tuple[LineId, ...], house: Arrangement) -> None:
        self.lines = lines
        self.people = tuple(dict.fromkeys(who for line in lines for who in house.seats.get(line, ())))
        weights = [house.lines[line].weights for line in lines]
        self.changes = 0
        """How often a seat was added, freed or came online."""
        self.lightest = min(min(one.chat, one.mail, one.call) for one in weights)


class _Play:
    """One simulation at work: the clock is the earliest of what is due, all else follows from the decisions."""

    def __init__(self, traffic: Traffic, house: Arrangement, chance: Chance) -> None:
        self.traffic = traffic
        self.house = house
        self.now = traffic.since
        sessions = [(lived, _Luck(chance.random())) for lived in traffic.sessions]
        known = ((lived, luck) for lived, luck in sessions if lived.conversation.line_id in house.lines)
        self.cases = [_Case(number, lived, luck) for number, (lived, luck) in enumerate(known)]
        self.by_id: dict[SessionId, _Case] = {}
        self.due: list[tuple[datetime, int, Callable[[], None]]] = []
        self.made = len(self.cases)
        pools = pools_of({line: house.seats.get(line, ()) for line in house.lines})
        self.pools = [_Together(lines, house) for lines in dict.fromkeys(pools.values())]
        self.pool_of = {line: pool for pool in self.pools for line in pool.lines}
        self.pool_of_person = {who: pool for pool in self.pools for who in pool.people}
        self.marked: dict[_Together, None] = {}
        """Pools to distribute."""
        self.queues: dict[LineId, list[tuple[_Place, _Case]]] = {line: [] for line in house.lines}
        self.states = {who: self._state(who, person) for who, person in house.people.items()}
        self.seats = {line: {who: SeatState(who) for who in house.seats.get(line, ())} for line in house.lines}
        self.line_states: dict[LineId, tuple[tuple[datetime | None, int], LineState]] = {}
        self.offered: defaultdict[OperatorId, dict[int, _Case]] = defaultdict(dict)
        self.habits = traffic.habits_of(house.people)
        self.holds: list[Hold] = []
        self.offers: defaultdict[tuple[LineId, OperatorId], Counter[str]] = defaultdict(Counter)

    def run(self) -> Outcome:
        since, until = self.traffic.since, self.traffic.until
        there = [case for case in self.cases if case.lived.began_at <= since]
        for case in there:
            self.now = case.lived.began_at
            self._arrive(case)
        self.now = since
        self.due += ((case.lived.began_at, case.number, partial(self._arrive, case)) for case in self.cases[len(there) :])
        heapify(self.due)
        self._await_people()
        for line in self.house.lines:
            self._hours(line)
        for pool in self.pools:
            self._mark(pool, seats=True)
        self._distribute_marked()
        while self.due and self.due[0][0] < until:
            self.now = self.due[0][0]
            while self.due and self.due[0][0] == self.now:
                heappop(self.due)[2]()
            self._distribute_marked()
        return self._outcome()

    def _outcome(self) -> Outcome:
        until = self.traffic.until
        self.now = until
        for case in self.cases:
            self._let_hold_end(case)
        waits = tuple(
            Wait(
                case.lived.conversation.line_id,
                case.lived.began_at,
                case.counted_from,
                case.ending,
                case.ended_at or until,
                case.taken_by,
            )
            for case in self.cases
            if case.lived.counts
        )
        return Outcome(waits, tuple(self.holds), self.offers)

    def _later(self, at: datetime, act: Callable[[], None]) -> None:
        self.made += 1
        heappush(self.due, (at, self.made, act))

    # --- people and hours

    def _state(self, who: OperatorId, person: Person) -> OperatorState:
        on_shift = self.house.calendars.of_operator(who, self.now).open
        return OperatorState(who, person.active, person.state_at(self.now), person.budget, 0, on_shift, person.skills)

    def _await_people(self) -> None:
        for who, person in self.house.people.items():
            if who not in self.pool_of_person or not person.active:
                continue
            for at, state in person.presence:
                if at > self.now:
                    self._later(at, partial(self._come_or_go, who, state))
            self._shift(who)

    def _come_or_go(self, who: OperatorId, state: PresenceState) -> None:
        before = self.states[who].presence
        self.states[who] = replace(self.states[who], presence=state)
        if _ONLINE not in (before, state) or before is state:
            return
        for case in list(self.offered[who].values()):
            self._decide(case, OperatorGone(at=self.now, operator_id=who), self._sight(case))
        self._mark(self.pool_of_person[who], seats=state is _ONLINE)

    def _shift(self, who: OperatorId) -> None:
        now = self.house.calendars.of_operator(who, self.now)
        if now.open is not self.states[who].on_shift:
            self.states[who] = replace(self.states[who], on_shift=now.open)
            if now.open:
                self._mark(self.pool_of_person[who], seats=True)
        if now.until is not None:
            self._later(now.until, partial(self._shift, who))

    def _hours(self, line: LineId) -> None:
        now = self.house.calendars.of_line(line, self.now)
        self._mark(self.pool_of[line], seats=now.open)
        if not now.open:
            for _, case in list(self.queues[line]):
                self._decide(case, Held(self.now, None, "hours"), self._sight(case))
        if now.until is not None:
            self._later(now.until, partial(self._hours, line))

    def _mark(self, pool: _Together, *, seats: bool = False) -> None:
        pool.changes += seats
        self.marked[pool] = None

    # --- customers

    def _arrive(self, case: _Case) -> None:
        lived = case.lived
        line = lived.conversation.line_id
        holder = self.states.get(lived.held_by) if lived.held_by is not None else None
        if lived.held_by is not None and holder is None:
            return  # with somebody who has no seat: it takes nothing that is given out here
        hours = OPEN if holder is not None and holder.active else self.house.calendars.view(line, self.now)
        view = View(self.house.lines[line], lived.conversation, hours=hours)
        self._decide(case, ContactMessage(at=self.now, message_id=_WORDS), view)
        session = _of(case)
        if holder is not None and holder.active:
            # They have it whether they have room or not.
            able = OperatorView(holder.id, active=True, seated=True, supervises=True, presence=_ONLINE, budget=2**40, reserved=0)
            self._decide(case, TakeOver(at=self.now, operator_id=holder.id, command=""), View(view.line, operator=able))
        elif session.status is Status.CLOSED:
            self._ends(case, Ending.SHUT)
        else:
            case.counted_from = session.opens_at or lived.began_at
            if lived.given_up_seconds is not None:
                self._later(lived.began_at + timedelta(seconds=lived.given_up_seconds), partial(self._give_up, case))

    def _give_up(self, case: _Case) -> None:
        if case.ending is not Ending.WAITING:
            return
        somebody = OperatorView(NOBODY, active=True, seated=False, supervises=True, presence=_ONLINE, budget=0, reserved=0)
        view = View(self.house.lines[_of(case).line_id], operator=somebody)
        self._decide(case, Close(at=self.now, operator_id=NOBODY, command=""), view)
        self._ends(case, Ending.GIVEN_UP)

    def _ends(self, case: _Case, ending: Ending) -> None:
        if case.ending is Ending.WAITING:
            case.ending, case.ended_at = ending, self.now

    # --- what follows once somebody has it

    def _go_on(self, case: _Case) -> None:
        """Let the next step of the session's life be due, if it has one in the status that it is in now."""
        session = _of(case)
        match session.status:
            case Status.CLOSED:
                step = case.next_step()
                if step is not None and step.deed is Deed.REOPENED:
                    self._await_step(case, step.after_seconds)
            case Status.SNOOZED:
                step = case.next_step()
                self._await_step(case, step.after_seconds if step is not None else 0.0)
            case Status.ACTIVE:
                self._await_step(case, self._until_next(case, session))
            case _:
                pass  # it waits: its life goes on when it is taken

    def _until_next(self, case: _Case, session: Session) -> float:
        """Pass over what means nothing to who has it now; return how long the next step takes."""
        waits = not counts(self.house.lines[session.line_id], session.load, answered=True)
        passed = 0.0
        while (step := case.next_step()) is not None:
            if step.deed in (Deed.ANSWERED, Deed.WROTE) and not waits:
                passed += step.after_seconds
            elif step.deed not in (Deed.REOPENED, Deed.WOKE):
                return passed + step.after_seconds
            case.step_no += 1
        drawn = self._handling(case, session)
        case.steps = (*case.steps, Step(drawn, Deed.CLOSED))
        return max(passed, drawn)

    def _handling(self, case: _Case, session: Session) -> float:
        known = self.traffic.handling.get((session.line_id, session.load), ())
        return known[case.luck.pick(len(known))] if known else USUAL_HANDLING_SECONDS

    def _await_step(self, case: _Case, seconds: float) -> None:
        self._later(self.now + timedelta(seconds=seconds), partial(self._step, case))

    def _step(self, case: _Case) -> None:
        session, step = _of(case), case.next_step()
        case.step_no += 1
        line, now = self.house.lines[session.line_id], self.now
        me = session.operator_id or NOBODY
        hours = self.house.calendars.view(session.line_id, now)
        view = View(line, case.lived.conversation, self._operator(me, session.line_id), hours)
        event: SessionEvent
        match step.deed if step is not None else Deed.WOKE:
            case Deed.ANSWERED:
                event = Reply(at=now, operator_id=me, command="", message_id=_WORDS)
            case Deed.WROTE:
                event = ContactMessage(at=now, message_id=_WORDS)
            case Deed.REOPENED:
                # After the window it is another session of the same conversation.
                another = SessionId(f"{session.id}+")
                view = View(
                    line, replace(case.lived.conversation, new_session_id=another), self._operator(me, session.line_id), hours
                )
                event = ContactMessage(at=now, message_id=_WORDS)
            case Deed.SNOOZED:
                woken = case.next_step()
                seconds = woken.after_seconds if woken is not None else 0.0
                event = Snooze(at=now, operator_id=me, command="", until=now + timedelta(seconds=max(seconds, 1e-6)))
            case Deed.WOKE if session.status is Status.SNOOZED:
                event = SnoozeEnded(at=max(now, session.snoozed_until or now))
            case Deed.PASSED_ON if (target := step.line_id if step is not None else None) in self.house.lines:
                assert target is not None
                view = View(
                    line,
                    operator=self._operator(me, session.line_id),
                    hours=self.house.calendars.view(target, now),
                    target=TargetView(target, exists=True),
                    target_line=self.house.lines[target],
                )
                event = Transfer(at=now, operator_id=me, command="", to_line=target)
            case Deed.GIVEN_BACK:
                event = OperatorGone(at=now, operator_id=me, vanished=True, removed=True)
            case _:
                event = Close(at=now, operator_id=me, command="")
        became = self._decide(case, event, view)
        if not became:
            self._go_on(case)

    def _operator(self, who: OperatorId, line: LineId) -> OperatorView | None:
        state = self.states.get(who)
        if state is None:
            return None
        return OperatorView(
            who,
            active=state.active,
            seated=who in self.seats[line],
            supervises=False,
            presence=state.presence,
            budget=state.budget,
            reserved=state.reserved,
            on_shift=state.on_shift,
        )

    # --- decisions

    def _sight(self, case: _Case) -> View:
        """Return what is seen of a session that nobody acts on: its line's settings and hours."""
        line = _of(case).line_id
        return View(self.house.lines[line], hours=self.house.calendars.view(line, self.now))

    def _decide(self, case: _Case, event: SessionEvent, view: View) -> bool:
        """Decide, and do what follows; return whether the session became active or closed by it, and goes on already."""
        before = case.session
        after, decisions = decide(before, event, view, self.now)
        if after is None:
            return False
        case.session = after
        for decision in decisions:
            match decision:
                case Reserve(operator_id=who):
                    self._take(who, after.weight)
                case Release(operator_id=who, weight=weight):
                    self._take(who, -(after.weight if weight is None else weight))
                    own = self.pool_of_person.get(who)
                    if own is not None and own is not self.pool_of[after.line_id]:
                        self._mark(own, seats=True)
                case MarkPool(seats=seats, line_id=line):
                    self._mark(self.pool_of[line or after.line_id], seats=seats)
                case MakeOffers(operators=people, until=until):
                    for who in people:
                        self.offers[after.line_id, who]["made"] += 1
                        self._await_answer(case, who, until)
                case EndOffers(operators=people, how=how):
                    for who in people:
                        self.offers[(before or after).line_id, who][how] += 1
                case SetTimer(name=name, due=due) if name == OFFER:
                    self._later(due, partial(self._run_out, case, after.offer_no))
                case SetTimer(name=name, due=due) if name == ROUND:
                    case.round_due = due
                    self._later(due, partial(self._next_round, case, due))
                case CancelTimer(name=name) if name == ROUND:
                    case.round_due = None
                case _:
                    pass  # what is said, told and promised moves nobody
        return self._moved(case, before, after)

    def _take(self, who: OperatorId, weight: int) -> None:
        state = self.states.get(who)
        if state is not None:
            self.states[who] = replace(state, reserved=state.reserved + weight)

    def _moved(self, case: _Case, before: Session | None, after: Session) -> bool:
        """Keep the queues, offers and holds as the session says."""
        if before is None or before.id != after.id:
            self.by_id[after.id] = case
        if case.place is not None and before is not None:
            queue = self.queues[before.line_id]
            del queue[bisect_left(queue, case.place, key=_place_of)]
            case.place = case.waiting = None
        if after.status is Status.QUEUED and after.queued_at is not None:
            case.waiting = convert(after, Waiting, from_attributes=True)
            case.place = (rank_of(after.queued_at, after.priority), after.queued_at, after.id)
            insort(self.queues[after.line_id], (case.place, case), key=_place_of)
        were = before.offered_to if before is not None else ()
        if were != after.offered_to:
            for who in were:
                self.offered[who].pop(case.number, None)
            for who in after.offered_to:
                self.offered[who][case.number] = case
        held = _held(after)
        if (case.hold[:2] if case.hold is not None else None) != held:
            self._let_hold_end(case)
            case.hold = (*held, self.now) if held is not None else None
        status = before.status if before is not None else Status.NEW
        if after.status is Status.ACTIVE and status is not Status.ACTIVE:
            if case.lived.held_by is None and case.ending is Ending.WAITING:
                case.taken_by = after.operator_id
            self._ends(case, Ending.TAKEN)
        elif not (after.status is Status.CLOSED and status is not Status.CLOSED):
            return False
        self._go_on(case)
        return True

    def _let_hold_end(self, case: _Case) -> None:
        if case.hold is not None and case.hold[2] < self.now:
            self.holds.append(Hold(*case.hold, self.now))
        case.hold = None

    # --- offers

    def _await_answer(self, case: _Case, who: OperatorId, until: datetime) -> None:
        habit = self.habits[who]
        drawn = case.luck.pick(habit.offers)
        takes = drawn < len(habit.takes)
        if not takes and drawn >= len(habit.takes) + len(habit.declines):
            return
        seconds = habit.takes[drawn] if takes else habit.declines[drawn - len(habit.takes)]
        at = self.now + timedelta(seconds=seconds)
        if at < until:
            self._later(at, partial(self._answer, case, who, _of(case).offer_no, takes=takes))

    def _answer(self, case: _Case, who: OperatorId, offer_no: int, *, takes: bool) -> None:
        session = _of(case)
        if session.status is not Status.OFFERED or session.offer_no != offer_no or who not in session.offered_to:
            return
        event = (Take if takes else Decline)(at=self.now, operator_id=who, command="")
        self._decide(case, event, self._sight(case))

    def _run_out(self, case: _Case, offer_no: int) -> None:
        session = _of(case)
        if session.status is Status.OFFERED and session.offer_no == offer_no:
            self._decide(case, OfferExpired(at=self.now, offer_no=offer_no), self._sight(case))

    def _next_round(self, case: _Case, due: datetime) -> None:
        if case.round_due == due:
            case.round_due = None
            self._mark(self.pool_of[_of(case).line_id])

    # --- distributing, as routing.distributor does

    def _distribute_marked(self) -> None:
        while self.marked:
            pool = next(iter(self.marked))
            del self.marked[pool]
            self._distribute(pool)

    def _distribute(self, pool: _Together) -> None:
        open_lines = [line for line in pool.lines if self.queues[line] and self.house.calendars.of_line(line, self.now).open]
        after = _FRONT
        while open_lines:
            states = tuple([self.states[who] for who in pool.people])
            free = max((s.budget - s.reserved for s in states if s.presence is _ONLINE and s.active and s.on_shift), default=-1)
            if free < pool.lightest:
                return
            places, waiting = self._waiting(open_lines, after, free)
            if not waiting:
                return
            lines = tuple([self._line(line) for line in pool.lines])
            result = distribute(Pool(lines, states, tuple(waiting)), self.now)
            self._carry_out(result)
            if result.examined == len(waiting) < PAGE:
                return
            paced = {pace.line_id for pace in result.paces}
            open_lines = [line for line in open_lines if line not in paced]
            after = places[result.examined - 1]

    def _waiting(self, lines: Sequence[LineId], after: _Place, free: int) -> tuple[list[_Place], list[Waiting]]:
        found: list[tuple[_Place, Waiting]] = []
        for line in lines:
            queue = self.queues[line]
            left = PAGE
            for at in range(bisect_right(queue, after, key=_place_of), len(queue)):
                place, case = queue[at]
                if case.waiting is not None and case.waiting.weight <= free:
                    found.append((place, case.waiting))
                    left -= 1
                    if not left:
                        break
        if len(lines) > 1:
            found.sort(key=_place_of)
            del found[PAGE:]
        return [place for place, _ in found], [waiting for _, waiting in found]

    def _line(self, line_id: LineId) -> LineState:
        opened_at, changes = self.house.calendars.of_line(line_id, self.now).since, self.pool_of[line_id].changes
        known = self.line_states.get(line_id)
        if known is not None and known[0] == (opened_at, changes):
            return known[1]
        line = self.house.lines[line_id]
        made = LineState(
            line_id,
            version=0,
            distribution=line.distribution,
            offer_seconds=line.offer_seconds,
            rounds=line.rounds,
            seats=tuple(self.seats[line_id].values()),
            opened_at=opened_at,
            pace_seconds=line.opening_pace_seconds if opened_at is not None else 0,
            changes=changes,
        )
        self.line_states[line_id] = ((opened_at, changes), made)
        return made

    def _carry_out(self, result: Result) -> None:
        for turn in result.turns:
            self.seats[turn.line_id][turn.operator_id] = SeatState(turn.operator_id, turn.turn, turn.paced_until)
            self.line_states.pop(turn.line_id, None)
        for pace in result.paces:
            self._later(pace.until, partial(self._mark, self.pool_of[pace.line_id]))
        for offer in result.offers:
            offered = Offered(
                at=self.now,
                operators=offer.operators,
                until=offer.until,
                fresh_round=offer.fresh_round,
                rule=offer.rule,
                renewed=offer.renewed,
            )
            case = self.by_id[offer.session_id]
            self._decide(case, offered, View(self.house.lines[_of(case).line_id]))
        for hold in result.holds:
            held = Held(self.now, hold.until, hold.why, hold.rounds_over, hold.renewed, hold.changes)
            case = self.by_id[hold.session_id]
            self._decide(case, held, View(self.house.lines[_of(case).line_id]))


def _of(case: _Case) -> Session:
    assert case.session is not None
    return case.session


def _place_of(entry: tuple[_Place, object]) -> _Place:
    return entry[0]


def _held(session: Session) -> tuple[OperatorId, int] | None:
    """Return of whose budget the session takes how much, offers aside."""
    holds = session.status in (Status.ACTIVE, Status.SNOOZED) and session.counted and session.operator_id is not None
    return (session.operator_id, session.weight) if holds and session.operator_id is not None else None
