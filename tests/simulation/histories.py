"""Histories of the pure core: a house of dicts, a seed, and the promises asked after every step.

    World(seed).run().findings      empty, or what was broken; each begins with the promise's word

No SQL and no coroutines: `decide` and `distribute` are the shipped ones, and this file keeps sessions, budgets, timers, offers, turns
and marks as the worker and the distributor would. It computes who could be offered what by rules of its own, so that an offer is
judged by something else than what made it.

    OWNER       somebody has a session beside its owner, or an offer of it that it does not know
    BUDGET      more was reserved than there is, or what is reserved is not what is held
    FIFO        an older session of the same priority could have had the seat
    OVERTAKEN   a later one of a higher priority came by from further behind than its priority is worth
    IDLE        a session waits beside a seat that could take it, and nothing says why and until when
    STRICT      not the head of the list; for all at once and least loaded: not everybody, not the least
    UNEVEN      seats that were fit at the same offers were offered a number that differs by more than one
    DEADLINE    an offer ended at another moment than its deadline without an answer
    LOST        what a customer wrote is in no session, or in one that was closed without them; a call has ended and goes nowhere
    TWICE       a phone was to ring of somebody whose phone rang, or who talked; or of somebody without one
    EARLY       a phone was to ring for a customer before the time they were promised, or while a caller hears the greeting; or of
                somebody else than whoever wanted to make the call alone
    FORGOTTEN   a call that we make is over, and neither was its customer reached nor was it tried as often as the line says
    RECALL      a caller who comes back from a talk is not for whoever spoke with them first; or was not taken back from a phone
    STUCK       everybody is there and takes what they are offered, and a session waits still
    REPLAY      a decision made again from its record is other bytes

The house's clock goes round in BIG_DAY, so that a history sees its lines open and close many times.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from msgspec.structs import replace

from broker.domain import (
    AGE_SECONDS,
    CallMenu,
    CallSettings,
    ChannelId,
    ContactId,
    ConversationId,
    Distribution,
    KeyDoes,
    LineId,
    LineSettings,
    LoadCounts,
    LoadKind,
    MenuKey,
    MessageId,
    NoAnswer,
    OperatorId,
    Outside,
    OutsideCalls,
    PresenceState,
    Rating,
    SessionId,
    Status,
    UnansweredCalls,
    Vanished,
    Weights,
    rank_of,
)
from broker.events import (
    CallEnded,
    CallRated,
    CallReady,
    Close,
    Consult,
    ConsultAnswered,
    ConsultEnded,
    ContactMessage,
    CustomerNotReached,
    CustomerReached,
    Decline,
    ForwardEnded,
    Held,
    Hold,
    HoldFailed,
    Invite,
    Join,
    KeyPressed,
    KpiDue,
    LeaveSession,
    Listen,
    ListenBegan,
    ListenEnded,
    NoAnswerDue,
    Note,
    Offered,
    OfferExpired,
    OperatorEvent,
    OperatorGone,
    Rated,
    ReopenEnded,
    Reply,
    Resume,
    RingAnswered,
    RingEnded,
    RoundDue,
    SessionEvent,
    Settle,
    SilenceDue,
    Snooze,
    SnoozeEnded,
    Spam,
    Start,
    Take,
    TakeOver,
    TalkEnded,
    TalkMoved,
    Transfer,
    VoicemailLeft,
)
from routing.applying import ENCODER, record_of
from routing.distribution import LineState, OperatorState, Pool, Result, SeatState, Waiting, distribute
from routing.distributor import DistributionRecord
from routing.engine import (
    ENGINE,
    GREETING,
    KPI,
    NEVER,
    NO_ANSWER,
    NOT_REACHED,
    OFFER,
    PROMISED,
    REOPEN,
    ROUND,
    SILENCE,
    SNOOZE,
    decide,
)
from routing.replaying import Tally, Written, replay
from routing.session import (
    Ban,
    CancelTimer,
    Decision,
    Divert,
    EndOffers,
    Freeze,
    Ignore,
    MakeOffers,
    MakeResponsible,
    MarkPool,
    Refuse,
    Release,
    Reserve,
    Say,
    Session,
    SetTimer,
)
from routing.view import OPEN, ConversationView, HoursView, OperatorView, TargetView, View
from tests.support.clock import NOON

EVENTS = 30
"""What customers, operators and timers enter in one history before its end is played; what the distributor enters is not counted."""
MOVES_MAX = 400
ENDING_MAX = 400
PATIENCE = 60
"""Rounds of the ending after which a caller hangs up: a line may let them wait for ever."""
ENDS_EVERY = 2
"""Every second history is played to an end in which everybody works: STUCK is looked for there."""
JOURNALS_EVERY = 4
"""Half of them, of both sorts, keep their records and are decided again: REPLAY. More would take the time of the others."""
BIG_DAY = timedelta(minutes=50)
"""The round of hours and shifts: no divisor of an hour or a day, so that a jump of the clock lands elsewhere in it."""
MENU = CallMenu(
    "menu",
    {
        "1": MenuKey(KeyDoes.LINE, line="line0"),
        "2": MenuKey(KeyDoes.OPERATOR, operator="p1"),
        "3": MenuKey(KeyDoes.CALLBACK),
        "4": MenuKey(KeyDoes.VOICEMAIL),
        "5": MenuKey(KeyDoes.QUEUE),
    },
)
SECOND = timedelta(seconds=1)
ONLINE, AWAY, OFFLINE = PresenceState.ONLINE, PresenceState.AWAY, PresenceState.OFFLINE
PRIORITIES = (0, 0, 0, 0, 1, 5, -1)

Minutes = tuple[tuple[int, int], ...]
"""From and until, in minutes of the big day; always, if it is None."""
HOURS: tuple[Minutes | None, ...] = (None, None, ((1, 3), (5, 40)), ((0, 2), (10, 11), (12, 50)), ((4, 30),))
SHIFTS: tuple[Minutes | None, ...] = (None, None, None, ((2, 45),), ((0, 3), (8, 50)))
PAUSES = (0.5, 1, 3, 5, 10, 15, 19.999999, 20, 30, 45, 61, 120, 200, 700)

_EVENT_OF: dict[str, type[Any]] = {
    ROUND: RoundDue,
    NO_ANSWER: NoAnswerDue,
    SNOOZE: SnoozeEnded,
    SILENCE: SilenceDue,
    KPI: KpiDue,
    REOPEN: ReopenEnded,
}


def never(_: object) -> bool:
    """Return False."""
    return False


@dataclass(frozen=True, slots=True)
class Parts:
    """What a mutant puts in the place of ours."""

    decide: Callable[[Any, Any, View, datetime], tuple[Session | None, tuple[Decision, ...]]] = decide
    distribute: Callable[[Pool, datetime], Result] = distribute
    place: Callable[[datetime, int], int] = rank_of
    forgets: Callable[[Any], bool] = never
    """Whether the house does not do what it was told."""


# --- who and what there is


@dataclass(slots=True)
class Person:
    """An operator."""

    id: OperatorId
    supervises: bool
    budget: int
    skills: tuple[str, ...]
    shift: Minutes | None
    presence: PresenceState = ONLINE
    active: bool = True
    on_shift: bool = True
    phone: bool = True
    calls: int = 0
    """How many ring or talk there."""
    reserved: int = 0
    ceiling: int = 0
    """The most that may be reserved: the budget, or what was reserved when it was made smaller."""
    turns_at: datetime | None = None
    """When their shift begins or ends next."""


@dataclass(slots=True)
class Place:
    """A line."""

    id: LineId
    settings: LineSettings
    seats: list[OperatorId]
    hours: Minutes | None
    version: int = 1
    open: bool = True
    opened_at: datetime | None = None
    turns_at: datetime | None = None
    turns: dict[OperatorId, int] = field(default_factory=dict)
    paced: dict[OperatorId, datetime] = field(default_factory=dict)
    pace_due: datetime | None = None
    changes: int = 0
    """How often somebody came, or had room again, in its pool."""
    fit: frozenset[OperatorId] = frozenset()
    """Who could have had each offer that is counted."""
    counts: Counter[OperatorId] = field(default_factory=Counter)


@dataclass(slots=True)
class Thread:
    """A conversation, its contact, and its latest session."""

    id: ConversationId
    line: LineId
    load: LoadKind
    priority: int
    language: str
    responsible: OperatorId | None
    banned: bool = False
    session: Session | None = None
    timers: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    """When it falls due, and the number of the offer."""
    inputs: deque[tuple[SessionEvent, Rating | None]] = field(default_factory=deque)
    slow_until: datetime | None = None
    """No worker comes to it before."""
    wanted_by: OperatorId | None = None
    """Who wanted to call its customer."""


def stretch(minutes: Minutes | None, now: datetime) -> tuple[bool, datetime | None, datetime | None]:
    """Return whether it is open *now*, since when it is, and when that changes; None: it always was, never does."""
    if minutes is None:
        return True, None, None
    day = now - (now - NOON) % BIG_DAY
    for first, last in minutes:
        begins, ends = day + timedelta(minutes=first), day + timedelta(minutes=last)
        if now < begins:
            return False, None, begins
        if now < ends:
            # What ends with the round and begins with it is one opening to the clock, and two to the line: no matter.
            return True, begins, ends
    return False, None, day + BIG_DAY + timedelta(minutes=minutes[0][0])


class World:
    """One history."""

    def __init__(self, seed: int, parts: Parts | None = None) -> None:
        self.seed = seed
        self.ends, self.journals = seed % ENDS_EVERY == 0, seed % JOURNALS_EVERY < JOURNALS_EVERY // 2
        self.parts = parts or Parts()
        self.rng = random.Random(seed)
        self.now = NOON
        self.findings: list[str] = []
        self.met: set[str] = set()
        self.events = 0
        self.replayed = 0
        self.journal: list[Written] = []
        self.number = 0
        self.landed: datetime | None = None
        """Where the clock was when it jumped forward: what fell due on the way falls due there."""
        self.sessions: dict[SessionId, Session] = {}
        self.held: dict[SessionId, dict[OperatorId, int]] = {}
        """Session -> whose budgets it takes of, and what: by what was reserved and released."""
        self.offers: dict[SessionId, dict[OperatorId, datetime]] = {}
        self.marks: dict[LineId, bool] = {}
        self.to_tell: list[SessionId] = []
        self.shut: list[SessionId] = []
        """Those over whose heads their line has closed."""
        self.over: dict[SessionId, int] = {}
        """Whose rounds are over, and how often their pool had changed by then."""
        self.said: dict[SessionId, datetime] = {}
        """Of which opening their customers were told last."""
        self.messages: dict[MessageId, SessionId] = {}
        self.pools: dict[LineId, tuple[LineId, ...]] = {}
        self.calm = seed % 4 == 1
        """Nobody leaves, one line is evenly distributed, and there is room: seats have their turns again and again."""
        self.talks = seed % 8 in (3, 4)
        """Most of them call, and almost everybody has a phone."""
        self.calls_out = seed % 16 in (11, 12)
        """Of those: most calls are made by the house."""
        self._build()

    # --- the house

    def _build(self) -> None:
        rng = self.rng
        self.people = {
            id_: Person(
                id_,
                supervises=number == 0,
                budget=(budget := 400 if self.calm else rng.choice((100, 200) if self.talks else (50, 100))),
                ceiling=budget,
                skills=("language:en", *rng.choice(((), (), ("skill:billing",), ("skill:billing", "language:ru")))),
                shift=None if self.calm or self.talks else rng.choice(SHIFTS),
                phone=rng.random() < (0.95 if self.talks else 0.8),
            )
            for number in range(rng.randint(3, 5) if self.talks else rng.randint(2, 4))
            for id_ in (OperatorId(f"p{number}"),)
        }
        everybody = list(self.people)
        self.lines = {
            id_: Place(
                id_,
                self._settings(),
                # The last line may be one with nobody in it.
                rng.sample(everybody, rng.randint(1 if number < 2 else 0, len(everybody))),
                None if self.calm or (self.talks and rng.random() < 0.7) else rng.choice(HOURS),
            )
            for number in range(1 if self.calm else rng.randint(1, 3))
            for id_ in (LineId(f"line{number}"),)
        }
        self.threads = [
            Thread(
                ConversationId(f"c{number}"),
                rng.choice(list(self.lines)),
                rng.choice(_TALKS_AND_CHATS if self.talks else _ALL_LOADS),
                rng.choice(PRIORITIES),
                rng.choice(("", "en", "ru")),
                rng.choice((None, None, *everybody)),
            )
            for number in range(rng.randint(3, 7))
        ]
        self._share()
        self._keep_time()
        self._settle()

    def _settings(self) -> LineSettings:
        rng = self.rng
        return LineSettings(
            distribution=Distribution.EVENLY if self.calm else rng.choice(list(Distribution)),
            offer_seconds=rng.choice((15, 20, 30, 60)),
            rounds=rng.randint(1, 3),
            priority=rng.choice(PRIORITIES),
            outside=rng.choice(list(Outside)),
            outside_calls=rng.choice(list(OutsideCalls)),
            opening_pace_seconds=rng.choice((0, 20, 20)),
            responsible_first=rng.random() < 0.8,
            responsible_seconds=rng.choice((0, 45, 45)),
            skills=() if self.calm else rng.choice(((), (), ("billing",))),
            match_language=not self.calm and rng.random() < 0.3,
            skill_seconds=rng.choice((0, 50, 50)),
            vanished=rng.choice(list(Vanished)),
            load_counts=rng.choice(list(LoadCounts)),
            transfer_seconds=rng.choice((10, 30)),
            auto_close_seconds=rng.choice((0, 90)),
            auto_close_warn_seconds=rng.choice((0, 60)),
            rating=rng.random() < 0.7,
            rating_hours=1,
            kpi_first_seconds=rng.choice((0, 40)),
            kpi_next_seconds=rng.choice((0, 25)),
            no_answer_seconds=rng.choice((0, 40)),
            no_answer_does=rng.choice(list(NoAnswer)),
            no_answer_line=rng.choice(("line0", "line1", "nowhere")),
            reopen_seconds=rng.choice((0, 60, 300)),
            weights=rng.choice((Weights(), Weights(), Weights(chat=50, mail=10), Weights(chat=40, call=50))),
            calls=CallSettings(
                ring_seconds=rng.choice((10, 20)),
                no_answer_seconds=rng.choice((0, 50)),
                no_answer_does=rng.choice(list(UnansweredCalls)),
                no_answer_line=rng.choice(("line0", "line1", "nowhere")),
                chats_too=rng.random() < 0.3,
                greeting=rng.choice(("", "", "", "hello")),
                menu=rng.choice((CallMenu(), CallMenu(), CallMenu(), MENU)),
                callback_tries=rng.choice((1, 2)),
                callback_retry_seconds=rng.choice((30, 120)),
            ),
        )

    def _share(self) -> None:
        """Find which lines share people: they are one pool."""
        left, self.pools = list(self.lines.values()), {}
        while left:
            pool = [left.pop(0)]
            for one in pool:
                joined = [other for other in left if not set(one.seats).isdisjoint(other.seats)]
                pool += joined
                left = [other for other in left if other not in joined]
            ids = tuple(sorted(one.id for one in pool))
            self.pools.update(dict.fromkeys(ids, ids))

    def _keep_time(self) -> None:
        """Bring lines and shifts to what their hours say now: at the start, after a change, and after a jump of the clock."""
        for line in self.lines.values():
            self._line_time(line)
            self._mark(line.id)
        for person in self.people.values():
            person.on_shift, _, person.turns_at = stretch(person.shift, self.now)

    def _line_time(self, line: Place) -> None:
        was = line.open, line.turns_at
        opens_at = None if line.open else line.turns_at
        line.open, line.opened_at, line.turns_at = stretch(line.hours, self.now)
        if line.open and not was[0]:
            line.pace_due = None
            self._mark(line.id, seats=True)
        early = line.open and not was[0] and (opens_at is None or opens_at > self.now)
        if early or (not line.open and (line.open, line.turns_at) != was):
            for thread in self.threads:
                session = thread.session
                if session is not None and session.status is Status.QUEUED and session.line_id == line.id:
                    self.shut.append(session.id)
                    self._mark(line.id)

    def hours(self, line: Place) -> HoursView:
        """Return the line's hours as a decision sees them."""
        return OPEN if line.open else HoursView(open=False, opens_at=line.turns_at)

    def line_of(self, thread: Thread) -> Place:
        """Return the line that the conversation's session is in."""
        return self.lines[thread.session.line_id if thread.session is not None else thread.line]

    # --- one decision

    def enter(self, thread: Thread, event: SessionEvent, rating: Rating | None = None) -> None:
        """Accept an input; it is decided when a worker comes to its conversation."""
        self.events += 1
        thread.inputs.append((event, rating))

    def _decide(self, thread: Thread, event: SessionEvent, rating: Rating | None = None) -> None:
        before, line = thread.session, self.line_of(thread)
        view = self._view(thread, line, event, rating)
        after, decisions = self.parts.decide(before, event, view, self.now)
        if self.journals:
            record = record_of(line.version, self.now, event, before, view, after, decisions)
            self._journal(type(event).__struct_config__.tag, ENCODER.encode(record))
        self.met.add(type(event).__name__)
        if after is not None and after is not before:
            if before is not None and after.id != before.id:
                if before.status is not Status.CLOSED:
                    self._found("OWNER", f"{before.id} is {before.status} and {after.id} has begun beside it")
                if any(isinstance(decision, Freeze) for decision in decisions):
                    self.sessions[before.id] = replace(before, frozen=True)
            thread.session = self.sessions[after.id] = after
        for decision in decisions:
            if not self.parts.forgets(decision):
                self._carry_out(thread, decision, event)
        if isinstance(event, ContactMessage):
            self._kept(thread, event, line, rating)
        if after is not None:
            self._owned(after)
            if before is not None and before.load is LoadKind.CALL and before.id == after.id:
                self._talked(before, event, after)
            closes = after.status is Status.CLOSED and before is not None and before.status is not Status.CLOSED
            if closes and not isinstance(event, (Close, Spam)) and to_be_reached(after) and not after.mine_only:
                enough = after.tries >= line.settings.calls.callback_tries
                if after.outcome != NOT_REACHED or not enough:
                    self._found("FORGOTTEN", f"{after} was closed by {event}")
            elsewhere = isinstance(event, CallEnded) or any(isinstance(one, Divert) for one in decisions)
            if closes and after.load is LoadKind.CALL and elsewhere:
                self.met.add(f"call {after.outcome or 'ended'}")
            elif closes and after.outcome == NOT_REACHED:
                self.met.add("not reached")
            elif closes and not isinstance(event, (Close, Spam)) and before is not None and before.unanswered_since is not None:
                self._found("LOST", f"{after.id} was closed by {event} with words that nobody has answered")

    def _view(self, thread: Thread, line: Place, event: SessionEvent, rating: Rating | None) -> View:
        """Return what the decision may look at, as routing.applying loads it."""
        session, settings = thread.session, line.settings

        def person(operator: OperatorId | None) -> OperatorView | None:
            known = self.people.get(operator) if operator is not None else None
            if known is None:
                return None
            return OperatorView(
                known.id,
                known.active,
                known.id in line.seats,
                known.supervises,
                known.presence,
                known.budget,
                known.reserved,
                known.on_shift,
                known.phone,
                known.calls,
            )

        holder = session.operator_id if session is not None else None
        passed_by = session.passed_by if session is not None else None
        if session is not None and session.load is LoadKind.CALL and isinstance(event, _MAY_DIVERT):
            slug = settings.calls.no_answer_line if settings.calls.no_answer_does is UnansweredCalls.LINE else ""
            other = self.lines.get(LineId(slug))
            there = other or line
            return View(
                settings,
                operator=person(passed_by),
                hours=self.hours(line),
                target=TargetView(there.id, other is not None, thread.language, thread.priority, there.open),
                target_line=there.settings,
            )
        match event:
            case ContactMessage():
                if session is not None and session.status is not Status.CLOSED:
                    asks = session.unanswered_since is None or not session.counted or session.status is Status.SNOOZED
                    return View(settings, operator=person(holder if asks else None), hours=self.hours(line))
                by = holder if session is not None else event.operator_id
                return View(settings, self._conversation(thread, line), person(by), self.hours(line), rating=rating)
            case KeyPressed(key=key, operator_id=chosen):
                does = settings.calls.menu.keys.get(key)
                target = self.lines.get(LineId(does.line)) if does is not None else None
                return View(
                    settings,
                    hours=self.hours(target or line),
                    colleague=person(chosen),
                    target=TargetView((target or line).id, target is not None, thread.language, thread.priority),
                    target_line=(target or line).settings,
                )
            case Transfer(operator_id=me, to_operator=to, to_line=to_line):
                target = self.lines.get(to_line) if to_line is not None else None
                return View(
                    settings,
                    operator=person(me),
                    hours=self.hours(target or line),
                    colleague=person(to),
                    target=TargetView(to_line or line.id, target is not None, thread.language, thread.priority),
                    target_line=(target or line).settings,
                )
            case Invite(operator_id=me, colleague=to) | Consult(operator_id=me, colleague=to):
                return View(settings, operator=person(me), colleague=person(to))
            case Start(operator_id=me):
                return View(settings, self._conversation(thread, line), person(me))
            case Decline() | OfferExpired() | OperatorGone():
                return View(settings, operator=person(passed_by), hours=self.hours(line))
            case NoAnswerDue():
                onward = settings.no_answer_does is NoAnswer.LINE
                target = self.lines.get(LineId(settings.no_answer_line)) if onward else None
                return View(
                    settings,
                    hours=self.hours(target or line),
                    target=TargetView((target or line).id, target is not None, thread.language, thread.priority),
                    target_line=(target or line).settings,
                )
            case SnoozeEnded():
                return View(settings, operator=person(holder), hours=self.hours(line))
            case Held(why="hours"):
                return View(settings, hours=self.hours(line))
            case OperatorEvent(operator_id=me):
                return View(settings, operator=person(me))
            case _:
                return View(settings)

    def _conversation(self, thread: Thread, line: Place) -> ConversationView:
        return ConversationView(
            conversation_id=thread.id,
            channel_id=ChannelId(f"page-{thread.line}"),
            line_id=line.id,
            contact_id=ContactId(f"of-{thread.id}"),
            load=thread.load,
            contact_priority=thread.priority,
            first_time=thread.session is None,
            new_session_id=SessionId(self._name("s")),
            responsible_id=thread.responsible,
            language=thread.language,
            banned=thread.banned,
        )

    def _carry_out(self, thread: Thread, decision: Decision, event: SessionEvent) -> None:
        session = thread.session
        match decision:
            case SetTimer(name=name, due=due):
                thread.timers[name] = (due, session.offer_no if session is not None else 0)
            case CancelTimer(name=name):
                thread.timers.pop(name, None)
            case Reserve(operator_id=who, forced=forced):
                assert session is not None
                self._reserve(session, self.people[who], forced=forced)
            case Release(operator_id=who, weight=weight):
                assert session is not None
                self._release(session, self.people[who], session.weight if weight is None else weight)
                if who not in self.lines[session.line_id].seats:
                    own = next((line.id for line in self.lines.values() if who in line.seats), None)
                    if own is not None:
                        self._mark(own, seats=True)
            case MakeOffers(operators=operators, until=until):
                assert session is not None
                self.offers.setdefault(session.id, {}).update(dict.fromkeys(operators, until))
                if session.mine_only and not session.reached and operators != (thread.wanted_by,):
                    self._found("EARLY", f"{session} rings at {operators}, not at {thread.wanted_by}")
                promised = session.promised_at if to_be_reached(session) and isinstance(event, Offered) else None
                if promised is not None and promised > self.now and "jumped back" not in self.met:
                    self._found("EARLY", f"{session} is offered to {operators}")
            case EndOffers(operators=operators, how=how):
                assert session is not None
                for who in operators:
                    self._end_offer(session, who, how, event)
            case MarkPool(seats=seats, line_id=line_id):
                assert session is not None
                self._mark(line_id or session.line_id, seats=seats)
                if line_id is None and session.status is Status.QUEUED and not session.nobody_told:
                    self.to_tell.append(session.id)
            case Say(reply="outside" | "outside_form"):
                assert session is not None
                self.said[session.id] = self.lines[session.line_id].turns_at or NEVER
            case Ban():
                thread.banned = True
            case MakeResponsible(operator_id=who):
                thread.responsible = who
            case Refuse(code=code):
                self.met.add(f"refused {code}")
            case Ignore(reason=reason):
                self.met.add(f"ignored {reason}")
            case _:
                pass  # what is said, delivered, alerted and diverted leaves the house

    def _reserve(self, session: Session, person: Person, *, forced: bool) -> None:
        if forced:
            person.ceiling = max(person.ceiling, person.reserved + session.weight)
        elif person.reserved + session.weight > person.budget:
            self._found("BUDGET", f"{session.id} takes {session.weight} of {person}")
        if session.load is LoadKind.CALL:
            if not forced and (person.calls or not person.phone):
                self._found("TWICE", f"{session.id} rings {person}")
            person.calls += 1
        held = self.held.setdefault(session.id, {})
        if person.id in held:
            self._found("BUDGET", f"{session.id} is reserved twice by {person.id}")
        held[person.id] = session.weight
        person.reserved += session.weight

    def _release(self, session: Session, person: Person, weight: int) -> None:
        if self.held.get(session.id, {}).pop(person.id, None) != weight:
            self._found("BUDGET", f"{session.id} gives back {weight} to {person.id}, who did not hold that")
        person.reserved -= weight
        person.calls -= session.load is LoadKind.CALL

    def _end_offer(self, session: Session, who: OperatorId, how: str, event: SessionEvent) -> None:
        until = self.offers.get(session.id, {}).pop(who, None)
        self.met.add(f"offer {how}")
        if until is None:
            self._found("OWNER", f"an offer of {session.id} to {who} has {how} and was not open")
        elif isinstance(event, RingAnswered | RingEnded):
            self.met.add(f"ring {how}")
        elif how == "ran_out":
            if event.at != until and not (event.at == self.landed and until < event.at):
                self._found("DEADLINE", f"the offer of {session.id} to {who} ran out at {event.at}, not at {until}")
        elif how in ("taken", "declined") and event.at > until:
            self._found("DEADLINE", f"the offer of {session.id} to {who} was {how} at {event.at}, after {until}")

    def _mark(self, line: LineId, *, seats: bool = False) -> None:
        self.marks[line] = self.marks.get(line, False) or seats

    def _journal(self, kind: Any, body: bytes) -> None:
        self.journal.append(Written(len(self.journal) + 1, None, kind, None, 0, body))

    # --- one distribution, as routing.distributor makes it

    def _distribute(self, line_id: LineId) -> None:
        pool_lines = self.pools[line_id]
        marks = [self.marks.pop(line, False) for line in pool_lines]
        places = [self.lines[line] for line in pool_lines]
        if any(marks):
            for place in places:
                place.changes += 1
        ids = dict.fromkeys(who for place in places for who in place.seats)
        people = [self.people[who] for who in ids]
        free = {one.id: one.budget - one.reserved for one in people if one.active and one.on_shift and one.presence is ONLINE}
        most = max(free.values(), default=-1)
        waiting = sorted(
            (
                (self.parts.place(session.queued_at, session.priority), session.queued_at, session.id, session)
                for thread in self.threads
                if (session := thread.session) is not None
                and session.status is Status.QUEUED
                and session.queued_at is not None
                and session.line_id in pool_lines
                and session.weight <= most
                and self.lines[session.line_id].open
            ),
            key=lambda row: row[:3],
        )
        if waiting:
            pool = Pool(
                tuple(self._line_state(place) for place in places),
                tuple(
                    OperatorState(
                        one.id, one.active, one.presence, one.budget, one.reserved, one.on_shift, one.skills, one.phone, one.calls
                    )
                    for one in people
                ),
                tuple(as_waiting(row[3]) for row in waiting),
            )
            result = self.parts.distribute(pool, self.now)
            self._judge(pool, free, result)
            if result.offers or result.holds or result.paces:
                self._follow(pool, result)
        self._tell(pool_lines)

    def _line_state(self, place: Place) -> LineState:
        settings, now = place.settings, self.now
        return LineState(
            place.id,
            place.version,
            settings.distribution,
            settings.offer_seconds,
            settings.rounds,
            tuple(
                SeatState(who, place.turns.get(who, 0), until if until is not None and until > now else None)
                for who in place.seats
                for until in (place.paced.get(who),)
            ),
            place.opened_at,
            settings.opening_pace_seconds if place.opened_at is not None else 0,
            place.changes,
            settings.calls.ring_seconds,
            settings.calls.chats_too,
        )

    def _follow(self, pool: Pool, result: Result) -> None:
        if self.journals:
            read = replace(pool, waiting=pool.waiting[: result.examined])
            self._journal("distribution", ENCODER.encode(DistributionRecord(ENGINE, self.now, read, result)))
        for turn in result.turns:
            place = self.lines[turn.line_id]
            place.turns[turn.operator_id] = turn.turn
            if turn.paced_until is not None:
                place.paced[turn.operator_id] = turn.paced_until
            else:
                place.paced.pop(turn.operator_id, None)
        for pace in result.paces:
            self.lines[pace.line_id].pace_due = pace.until
            self.met.add("paced")
        for offer in result.offers:
            self.met.add(f"rule {offer.rule}")
            self.over.pop(offer.session_id, None)
            self._decide(
                self._thread_of(offer.session_id),
                Offered(
                    at=self.now,
                    operators=offer.operators,
                    until=offer.until,
                    fresh_round=offer.fresh_round,
                    rule=offer.rule,
                    renewed=offer.renewed,
                ),
            )
        for hold in result.holds:
            self.met.add(f"held {hold.why}")
            self._decide(
                self._thread_of(hold.session_id),
                Held(self.now, hold.until, hold.why, hold.rounds_over, hold.renewed, hold.changes),
            )
            self.over.pop(hold.session_id, None)
            if hold.rounds_over:
                self.over[hold.session_id] = self.lines[self.sessions[hold.session_id].line_id].changes

    def _tell(self, pool_lines: Sequence[LineId]) -> None:
        """Let those who have just begun to wait be told that nobody can be asked."""
        for session_id in dict.fromkeys((*self.to_tell, *self.shut)):
            session = self.sessions[session_id]
            if session.line_id not in pool_lines:
                continue
            shut = session_id in self.shut
            for told in (self.to_tell, self.shut):
                told[:] = [other for other in told if other != session_id]
            line = self.lines[session.line_id]
            if session.status is not Status.QUEUED:
                continue
            if shut:
                self.met.add("held hours")
                self._decide(self._thread_of(session_id), Held(self.now, None, "hours"))
            elif line.open and not any(self.there(line, session)):
                self._nobody(session_id)
        for thread in self.threads:
            waits = thread.session
            if waits is None or waits.status is not Status.QUEUED or waits.line_id not in pool_lines or waits.nobody_told:
                continue
            place = self.lines[waits.line_id]
            phones = waits.load is LoadKind.CALL and any(self.people[who].phone for who in place.seats)
            if place.open and not any(self.room(place, -(10**9), phone=phones)):
                self._nobody(waits.id)

    def _nobody(self, session_id: SessionId) -> None:
        self.met.add("held nobody")
        self._decide(self._thread_of(session_id), Held(self.now, None, "nobody"))

    def _thread_of(self, session_id: SessionId) -> Thread:
        return next(thread for thread in self.threads if thread.session is not None and thread.session.id == session_id)

    def room(self, line: Place, weight: int, *, phone: bool = False) -> Iterator[OperatorId]:
        """Yield the seats of the line, in the queue's order, that are there and have room for *weight*; *phone*: and a phone."""
        for who in line.seats:
            person = self.people[who]
            there = person.active and person.on_shift and person.presence is ONLINE
            if there and person.budget - person.reserved >= weight and (person.phone or not phone):
                yield who

    def there(self, line: Place, session: Session) -> Iterator[OperatorId]:
        """Yield the seats for whom it is worth waiting: a call waits for those who talk, too."""
        rings = session.load is LoadKind.CALL
        return self.room(line, -(10**9) if rings else session.weight, phone=rings)

    def can_ring(self, line: Place, *, call: bool, on_call: Collection[OperatorId]) -> Callable[[OperatorId], bool]:
        """Return whether a telephone lets somebody have what is a *call* or not."""
        if call:
            return lambda who: self.people[who].phone and who not in on_call
        return lambda who: line.settings.calls.chats_too or who not in on_call

    # --- what must hold of a distribution: judged offer by offer, with what the offers before have left

    def _judge(self, pool: Pool, before: dict[OperatorId, int], result: Result) -> None:
        now, free = self.now, dict(before)
        on_call = {who for who, person in self.people.items() if person.calls}
        paced = {
            (line.id, seat.operator_id)
            for line in pool.lines
            for seat in line.seats
            if seat.paced_until and seat.paced_until > now
        }
        order = {session.id: number for number, session in enumerate(pool.waiting)}
        waiting = {session.id: session for session in pool.waiting}
        behind = {pace.line_id: order[pace.session_id] for pace in result.paces}
        kept_back = sorted((number, line_id) for line_id, number in behind.items())
        for offer in (*result.offers, None):
            # What is kept back is judged at its place in the queue.
            while kept_back and (offer is None or kept_back[0][0] < order[offer.session_id]):
                number, line_id = kept_back.pop(0)
                if self._could(pool.waiting[number], self.lines[line_id], free, paced, on_call):
                    self._found("IDLE", f"{pool.waiting[number]} is kept back by the pace, and a seat could take it")
            if offer is None:
                return
            session = waiting.pop(offer.session_id)
            line = self.lines[session.line_id]
            if kept_back_still(session, now):
                self._found("EARLY", f"{session} is offered at {now}")
            could = self._could(session, line, free, paced, on_call)
            self._chosen(session, line, offer.rule, offer.operators, could, free)
            if offer.until != now + timedelta(seconds=answer_seconds(session, line)):
                self._found("DEADLINE", f"{session.id} is offered until {offer.until}, not for one time to answer")
            for other in waiting.values():
                which = overtaken(other, session)
                if which and order[other.id] < behind.get(other.line_id, len(order)):
                    theirs = self._could(other, self.lines[other.line_id], free, paced, on_call)
                    if not set(offer.operators).isdisjoint(theirs):
                        self._found(which, f"{offer.operators} got {session} before {other}")
            for who in offer.operators:
                free[who] -= session.weight
                on_call |= {who} if session.call else set()
                waited = line.opened_at is not None and session.queued_at < line.opened_at
                if waited and offer.rule != "responsible" and line.settings.opening_pace_seconds:
                    paced.add((line.id, who))

    def _could(
        self,
        session: Waiting,
        line: Place,
        free: dict[OperatorId, int],
        paced: set[tuple[LineId, OperatorId]],
        on_call: Collection[OperatorId],
    ) -> list[OperatorId]:
        """Return who may be offered the session now, in the queue's order."""
        now = self.now
        if kept_back_still(session, now):
            return []
        renewed = session.rounds_over and self.over[session.id] < line.changes
        asked: tuple[OperatorId, ...] = () if renewed else session.asked
        can = self.can_ring(line, call=session.call, on_call=on_call)
        fit = [who for who in line.seats if free.get(who, -1) >= session.weight and can(who)]
        knows = session.responsible_id
        if (
            knows is not None
            and session.responsible_until is not None
            and session.responsible_until > now
            and knows not in asked
            and knows in free
            and knows in line.seats
            and (self.people[knows].phone or not session.call)
        ):
            return [knows] if knows in fit else []
        relaxed = session.needs_until is not None and session.needs_until <= now
        able = fit if relaxed else [who for who in fit if set(session.needs) <= set(self.people[who].skills)]
        left = [who for who in able if who not in asked]
        if not left and not session.rounds_over and session.round_no < line.settings.rounds:
            began = session.round_began or now
            left = able if began + timedelta(seconds=answer_seconds(session, line)) <= now else []
        if line.opened_at is not None and session.queued_at < line.opened_at:
            left = [who for who in left if (line.id, who) not in paced]
        return left

    def _chosen(
        self,
        session: Waiting,
        line: Place,
        rule: str,
        chosen: tuple[OperatorId, ...],
        could: list[OperatorId],
        free: dict[OperatorId, int],
    ) -> None:
        """Judge whom the rule has chosen among those who could have had it, and count it where seats are to be even."""
        if not set(chosen) <= set(could):
            self._found("STRICT", f"{session} was offered to {chosen}, and only {could} could have it")
            return
        if rule == "responsible":
            # Counts in nobody's turn.
            if chosen != (session.responsible_id,):
                self._found("STRICT", f"{session} was offered to {chosen} as its responsible")
            return
        even = rule == Distribution.EVENLY.value
        if not even or line.fit != frozenset(could):
            line.fit, line.counts = frozenset(could) if even else frozenset(), Counter()
        match rule:
            case Distribution.STRICTLY.value:
                right = chosen == (could[0],)
            case Distribution.ALL_AT_ONCE.value:
                right = chosen == tuple(could)
            case Distribution.LEAST_LOADED.value:
                loads = {who: 1 - free[who] / self.people[who].budget for who in could}
                right = len(chosen) == 1 and loads[chosen[0]] == min(loads.values())
            case _:
                right = len(chosen) == 1
        if rule != line.settings.distribution.value or not right:
            self._found("STRICT", f"{session} was offered by {rule} to {chosen} of {could}")
        if even:
            line.counts[chosen[0]] += 1
            counts = [line.counts[who] for who in could]
            if max(counts) - min(counts) > 1:
                self._found("UNEVEN", f"{line.id}: {dict(line.counts)} among {could}, who could have had each")
            if len(could) > 1 and sum(counts) > len(could):
                self.met.add("went round")

    # --- what must hold of a decision

    def _owned(self, session: Session) -> None:
        """One owner at most, and budgets and offers that say the same."""
        if session.status is Status.OFFERED:
            owners = dict.fromkeys(session.offered_to, session.weight)
        elif session.status in (Status.ACTIVE, Status.SNOOZED):
            if session.operator_id is None:
                self._found("OWNER", f"{session.id} is {session.status} and nobody's")
                return
            holders = (session.operator_id, session.consulted)
            owners = {who: session.weight for who in holders if who is not None} if session.counted else {}
        else:
            owners = {}
        if self.held.get(session.id, {}) != owners:
            self._found("OWNER", f"{session.id} is {session.status} with {owners}, and is held by {self.held.get(session.id)}")
        if set(self.offers.get(session.id, ())) != set(session.offered_to):
            self._found("OWNER", f"{session.id} is offered to {session.offered_to}, open offers: {self.offers.get(session.id)}")

    def _talked(self, before: Session, event: SessionEvent, after: Session) -> None:
        """Nobody is asked, or listens, where nobody talks; whoever spoke with a caller who comes back is rung first."""
        if to_be_reached(before):
            return  # its customer was never on the line
        talks = after.status is Status.ACTIVE
        if after.consulted is not None and not (talks and after.held):
            self._found("OWNER", f"{after.id} is {after.status}, and {after.consulted} is asked about it")
        if not talks and (after.held or after.listens is not None or after.listeners):
            self._found("OWNER", f"{after.id} is {after.status}, on hold or listened to")
        if not after.elsewhere and after.forward_to:
            self._found("OWNER", f"{after.id} would be sent to {after.forward_to} by its line")
        by_phone = isinstance(event, Transfer) and event.by_phone
        if by_phone and before.status is Status.ACTIVE and after == before:
            self._found("RECALL", f"{after.id} was passed on by {event}, and is with {after.operator_id} still")
        if after.status is not Status.QUEUED or before.status is Status.QUEUED or after.line_id != before.line_id:
            return
        moved = isinstance(event, Transfer) and event.to_line == after.line_id
        spoke = before.passed_by if before.status is Status.OFFERED else before.operator_id
        if spoke is None or moved:
            return
        self.met.add(f"came back {before.status}")
        until = self.now + timedelta(seconds=self.lines[after.line_id].settings.responsible_seconds)
        if (after.responsible_id, after.responsible_until) != (spoke, until):
            self._found("RECALL", f"{after} came back from {spoke}")

    def _kept(self, thread: Thread, event: ContactMessage, line: Place, rating: Rating | None) -> None:
        """A message belongs to a session that waits or is served; to a closed one only where the line itself has answered."""
        session = thread.session
        if thread.banned and (session is None or session.status is Status.CLOSED):
            self.met.add("banned")
            return
        if session is None:
            self._found("LOST", f"{event} is in no session")
            return
        self.messages[event.message_id] = session.id
        alone = not line.open and (thread.load is LoadKind.CALL or line.settings.outside is Outside.REPLY)
        if session.status is Status.CLOSED and not alone and rating is None and not event.now:
            self._found("LOST", f"{event} is in {session}")
        if not line.open:
            self.met.add(f"outside {session.status}")

    # --- what must hold whenever the house rests

    def _rests(self) -> None:
        totals = dict.fromkeys(self.people, 0)
        for held in self.held.values():
            for who, weight in held.items():
                totals[who] += weight
        for person in self.people.values():
            if person.reserved != totals[person.id] or person.reserved > person.ceiling:
                self._found("BUDGET", f"{person} holds {totals[person.id]}")
            person.ceiling = max(person.budget, min(person.ceiling, person.reserved))
        removed = [person.id for person in self.people.values() if not person.active]
        for thread in self.threads:
            session = thread.session
            if session is None:
                continue
            if thread.inputs:
                continue  # what is entered and not decided may be just what is missing
            if session.status is Status.QUEUED:
                self._waits(thread, session)
            elif session.status is Status.OFFERED:
                due = thread.timers.get(OFFER, (None, 0))[0]
                if due != session.offered_until or due is None or due <= self.now:
                    self._found("DEADLINE", f"{session} is offered still, its timer is due at {due}")
            elif session.status is Status.ACTIVE and session.operator_id in removed and session.load is not LoadKind.CALL:
                self._found("OWNER", f"{session.id} is with {session.operator_id}, who was removed")

    def _waits(self, thread: Thread, session: Session) -> None:
        """Nobody could take it, or it says why nobody is asked, and a timer until when; of a closed line its customer knows the opening."""
        now, line = self.now, self.lines[session.line_id]
        if not line.open:
            said = self.said.get(session.id)
            if to_be_reached(session):
                self.met.add("called at the opening")  # nobody is on the line
            elif session.load is LoadKind.CALL and session.id not in self.shut:
                self._found("LOST", f"{session} rings nowhere: its line is closed")
            elif session.unanswered_since is not None and said != (line.turns_at or NEVER):
                self._found("TOLD", f"{session} waits in a closed line, and was told of {said}")
            return
        on_call = {who for who, person in self.people.items() if person.calls}
        can = self.can_ring(line, call=session.load is LoadKind.CALL, on_call=on_call)
        fit = set(filter(can, self.room(line, session.weight)))
        if not fit or (line.pace_due is not None and line.pace_due > now):
            return
        why, until = session.held_why, session.held_until
        if until is not None and (until <= now or thread.timers.get(ROUND, (None,))[0] != until):
            self._found("IDLE", f"{fit} could take {session}: held until {until}, timers {thread.timers}")
        if why in (GREETING, PROMISED):
            if until is None:
                self._found("IDLE", f"{session} is kept back for ever")
            return
        if why == "responsible":
            if until is None or until != session.responsible_until or session.responsible_id in fit:
                self._found("IDLE", f"{session} is held for somebody else than its responsible, until {until}")
            return
        relaxed = session.needs_until is not None and session.needs_until <= now
        able = {who for who in fit if relaxed or set(session.needs) <= set(self.people[who].skills)}
        # When it is due, or what it waits for: the end of its rounds for a change, nobody able for a demand without an end.
        waits = session.needs_until if able != fit else None
        ends = until is not None and (waits is None or until <= waits)
        endless = until is None and waits is None and (able == fit and self.over.get(session.id, -1) == line.changes)
        if not able <= set(session.asked) or not why or not (ends or endless):
            self._found("IDLE", f"{fit} could take {session}")

    def _found(self, promise: str, what: str) -> None:
        self.findings.append(f"{promise} at {self.now:%d %H:%M:%S.%f}: {what}")

    # --- time

    def _settle(self) -> None:
        """Let workers and the distributor do what there is to do."""
        busy = True
        while busy:
            busy = False
            for thread in self.threads:
                if thread.inputs and thread.slow_until is None:
                    busy = True
                    while thread.inputs:
                        self._decide(thread, *thread.inputs.popleft())
            if self.marks:
                busy = True
                self._distribute(next(iter(self.marks)))
        self._rests()

    def _next_due(self) -> datetime | None:
        dues = [due for thread in self.threads for due, _ in thread.timers.values()]
        dues += [thread.slow_until for thread in self.threads if thread.slow_until is not None]
        dues += [person.turns_at for person in self.people.values() if person.turns_at is not None]
        for line in self.lines.values():
            dues += [due for due in (line.turns_at, line.pace_due) if due is not None]
        return min(dues, default=None)

    def _fire(self) -> None:
        """Do what is due now: each thing once, then let the house settle."""
        now = self.now
        for person in self.people.values():
            if person.turns_at is not None and person.turns_at <= now:
                person.on_shift, _, person.turns_at = stretch(person.shift, now)
                for line in self.lines.values():
                    if person.on_shift and person.id in line.seats:
                        self._mark(line.id, seats=True)
        for line in self.lines.values():
            due = [at for at in (line.turns_at, line.pace_due) if at is not None and at <= now]
            if due:
                if line.pace_due is not None and line.pace_due <= now:
                    line.pace_due = None
                self._line_time(line)
                self._mark(line.id)
        for thread in self.threads:
            if thread.slow_until is not None and thread.slow_until <= now:
                thread.slow_until = None
            for name, (at, offer_no) in sorted(thread.timers.items(), key=lambda timer: timer[1]):
                if at <= now:
                    del thread.timers[name]
                    self.enter(thread, OfferExpired(now, offer_no) if name == OFFER else _EVENT_OF[name](now))
        self._settle()

    def pass_time(self, seconds: float) -> None:
        """Let time pass; each deadline on the way is kept at its moment."""
        until = self.now + timedelta(seconds=seconds)
        while (due := self._next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self._fire()
        self.now = until

    def _jump(self, by: timedelta) -> None:
        """The clock is set: what fell due on the way falls due where it lands, and no worker was slow for so long."""
        self.now += by
        self.met.add("jumped forward" if by > timedelta() else "jumped back")
        for thread in self.threads:
            thread.slow_until = None
        if by > timedelta():
            self.landed = self.now
            if self.rng.random() < 0.5:
                self._respond((Take,))  # before any timer has looked at the clock
        self._keep_time()
        self._fire()

    # --- what people do

    def run(self) -> World:
        """Play the history to its end; see `findings`."""
        for _ in range(MOVES_MAX):
            if self.events >= EVENTS or self.findings:
                break
            self.rng.choices(_MOVES, cum_weights=_CALM if self.calm else _TALKS if self.talks else _WEIGHTS)[0](self)
            self._settle()
        self.played = self.events
        if self.ends and not self.findings:
            self._end()
        if not self.findings:
            tally = Tally()
            self.findings += [f"REPLAY {difference.text()}" for difference in replay(self.journal, tally)]
            self.replayed = tally.same
        return self

    def _end(self) -> None:
        """Everybody comes, takes what they are offered, answers and closes it: nothing that was written is left."""
        for thread in self.threads:
            thread.slow_until = None
        for number in range(ENDING_MAX):
            if number % 20 == 0:
                self._come()  # again and again: what has had all its rounds waits for a change
            open_ = [
                thread for thread in self.threads if thread.session is not None and thread.session.status is not Status.CLOSED
            ]
            if not open_:
                return
            for thread in open_:
                session = thread.session
                assert session is not None
                if session.load is LoadKind.CALL and session.status is Status.OFFERED:
                    self.enter(thread, RingAnswered(self.now, session.offered_to[0]))
                elif session.status is Status.ACTIVE and to_be_reached(session):
                    self.enter(thread, CustomerReached(self.now))
                elif session.load is LoadKind.CALL and (session.status is Status.ACTIVE or number > PATIENCE):
                    self.enter(thread, CallEnded(self.now))
                elif session.status is Status.OFFERED:
                    self._do(thread, session.offered_to[0], Take)
                elif session.status is Status.ACTIVE and session.operator_id is not None:
                    self._do(thread, session.operator_id, Reply)
                    self._do(thread, session.operator_id, Close)
            self._settle()
            if not any(thread.session and thread.session.status in (Status.OFFERED, Status.ACTIVE) for thread in self.threads):
                due = self._next_due()
                self.pass_time(max((due - self.now).total_seconds(), 0) if due is not None else 60)
        for thread in open_:
            session = thread.session
            if session is not None and any(self._ever(self.people[who], session) for who in self.lines[session.line_id].seats):
                self._found("STUCK", f"{session} waits still")

    def _ever(self, person: Person, session: Session) -> bool:
        """Return whether the person could have the session if nothing else were theirs; who calls us gives up when nobody can."""
        return person.active and (not to_be_reached(session) or (person.phone and person.budget >= session.weight))

    def _come(self) -> None:
        for state in (AWAY, ONLINE):
            for person in self.people.values():
                self._go(person, state)
            self._settle()

    def _name(self, of: str) -> str:
        self.number += 1
        return f"{of}{self.number}"

    def _do(self, thread: Thread, who: OperatorId, deed: type[Any], **more: Any) -> None:
        """Enter an operator's deed, allowed or not."""
        rng = self.rng
        if deed in (Reply, Note, Start):
            more["message_id"] = self._name("m")
        elif deed is Spam:
            more["ban"] = rng.random() < 0.3
        elif deed is Snooze:
            more["until"] = self.now + timedelta(seconds=rng.choice((-5, 20, 90, 400)))
        elif deed in (Invite, Consult) and not more:
            more["colleague"] = rng.choice(list(self.people))
        elif deed is Transfer and not more:
            which = rng.random()
            if which < 0.4:
                more["to_line"] = rng.choice((*self.lines, LineId("nowhere")))
            elif which < (0.6 if thread.load is LoadKind.CALL else 0.41):
                more["to_number"] = "+100"
            else:
                more["to_operator"] = rng.choice(list(self.people))
                more["assigned"] = rng.random() < 0.3
            more["message_id"] = rng.choice((None, self._name("m")))
        self.enter(thread, deed(at=self.now, operator_id=who, command=self._name("k"), **more))

    def _calls(self, thread: Thread) -> None:
        """Somebody calls, if their call before is over: each is a conversation of its own."""
        if thread.inputs:
            return
        if thread.session is not None:
            if thread.session.status is not Status.CLOSED:
                return
            thread.session = None
            thread.timers.clear()
        rng, message = self.rng, MessageId(self._name("m"))
        if rng.random() < (0.2 if self.calls_out else 0.9 if self.talks else 1):
            self.enter(thread, ContactMessage(self.now, message))
            return
        thread.wanted_by = rng.choice(list(self.people))
        if rng.random() < 0.3:
            self.enter(thread, ContactMessage(self.now, message, self.now, thread.wanted_by, now=True))
        else:
            due = self.now + timedelta(seconds=rng.choice((0, 30, 300)))
            self.enter(thread, ContactMessage(self.now, message, due, rng.choice((None, thread.wanted_by))))

    def _telephone(self) -> None:
        """Something happens to a call: a phone is lifted or not, somebody hangs up, a key is pressed."""
        calls = [thread for thread in self.threads if thread.load is LoadKind.CALL and thread.session is not None]
        if not calls:
            return
        rng, now = self.rng, self.now
        made = [
            one for one in calls if one.session is not None and one.session.outgoing and one.session.status is not Status.CLOSED
        ]
        thread = rng.choice(made if made and self.calls_out else calls)
        session = thread.session
        assert session is not None
        who = rng.choice(session.offered_to or tuple(self.people))
        late = rng.random() < 0.1
        match session.status:
            case Status.OFFERED if rng.random() < 0.9:
                if rng.random() < (0.8 if self.talks else 0.5):
                    self.enter(thread, RingAnswered(now, who))
                else:
                    how = rng.choice(("declined", "ran_out", "busy", "unreachable", "gone"))
                    self.enter(thread, RingEnded(now, session.offered_to if late else (who,), session.offer_no - late, how))
            case Status.CLOSED:
                told = (
                    CallRated(now, 5),
                    VoicemailLeft(now, 7),
                    RingAnswered(now, who),
                    CallEnded(now),
                    ForwardEnded(now, "busy"),
                )
                if rng.random() < 0.2:
                    self._do(thread, who, Settle)
                else:
                    self.enter(thread, told[-1] if session.elsewhere == "forward" and rng.random() < 0.5 else rng.choice(told))
            case Status.QUEUED if session.held_why == GREETING and rng.random() < 0.8:
                keys = (KeyPressed(now, rng.choice("123459")), KeyPressed(now, "", who))
                self.enter(thread, rng.choice((CallReady(now), *keys)))
            case Status.QUEUED if session.held_why == PROMISED and rng.random() < 0.5:
                self._do(thread, who, Take)  # somebody has time before
            case Status.ACTIVE if to_be_reached(session) and rng.random() < 0.8:
                ends = (
                    CustomerNotReached(now, "busy"),
                    CustomerNotReached(now, "ran_out"),
                    TalkEnded(now, session.operator_id or who),
                )
                self.enter(thread, rng.choice((CustomerReached(now), CustomerReached(now), *ends)))
            case Status.QUEUED if late:
                self.enter(thread, RingAnswered(now, who))
            case Status.ACTIVE if late:
                self.enter(thread, RingAnswered(now, who))
            case Status.ACTIVE if rng.random() < 0.7:
                self._talk()
            case _:
                self.enter(thread, CallEnded(now, lost=rng.random() < 0.2))

    def _talk(self) -> None:
        """Something is done to a talk, or happens to it."""
        rng, now = self.rng, self.now
        talks = [
            (thread, session, session.operator_id)
            for thread in self.threads
            if (session := thread.session) is not None and session.load is LoadKind.CALL and session.operator_id is not None
            if not to_be_reached(session) or rng.random() < 0.05
        ]
        late = rng.random() < 0.1
        talks = [one for one in talks if one[1].status is Status.ACTIVE or late]
        if not talks:
            return
        thread, session, me = rng.choice(talks)
        anybody = rng.choice([who for who in self.people if who != me or late])
        asked = session.consulted if session.consulted is not None and not late else anybody
        hears = rng.choice((session.listens or anybody, *session.listeners))
        if session.consulted is not None and rng.random() < 0.6:
            if not session.consult_lifted and rng.random() < 0.6:
                self.enter(thread, ConsultAnswered(now, asked))
            elif rng.random() < 0.3:
                self._do(thread, me, Transfer, to_operator=asked)
            else:
                how = rng.choice(("talked", "declined", "ran_out", "busy", "unreachable"))
                self.enter(thread, rng.choice((TalkEnded(now, me), ConsultEnded(now, asked, how))))
            return
        match rng.randrange(12):
            case 0 | 1:
                self._do(thread, me, Resume if session.held is not late else Hold)
            case 2 | 3 | 4:
                self._do(thread, me, Consult, colleague=anybody)
            case 5:
                self._do(thread, me, Transfer)
            case 6:
                places: tuple[dict[str, Any], ...] = (
                    {"to_operator": anybody},
                    {"to_line": rng.choice((*self.lines, LineId("nowhere")))},
                    {"to_number": "+100"},
                    {},
                )
                self._do(thread, anybody if late else me, Transfer, by_phone=True, **rng.choice(places))
            case 7:
                self.enter(thread, TalkEnded(now, anybody if late else me, missing=rng.random() < 0.3))
            case 8:
                self.enter(thread, TalkMoved(now, None if late else anybody, "+100" if late else ""))
            case 9:
                self._do(thread, anybody if late else OperatorId("p0"), Listen)
            case 10:
                self.enter(thread, rng.choice((ListenBegan(now, hears), ListenBegan(now, hears), ListenEnded(now, hears))))
            case _:
                self.enter(thread, HoldFailed(now) if session.held is not late else ListenBegan(now, hears))

    def _write(self) -> None:
        thread = self.rng.choice(self.threads)
        if thread.load is LoadKind.CALL:
            self._calls(thread)
            return
        session, rating = thread.session, None
        if session is not None and session.rating_until is not None and session.rating_until >= self.now:
            rating = self.rng.choice((None, None, Rating.GOOD))
        self.enter(thread, ContactMessage(self.now, MessageId(self._name("m"))), rating)

    def _rush(self) -> None:
        for thread in self.threads:
            if thread.load is LoadKind.CALL:
                self._calls(thread)
            else:
                self.enter(thread, ContactMessage(self.now, MessageId(self._name("m"))))

    def _respond(self, deeds: Sequence[type[Any]] = (Take, Take, Take, Reply, Decline, Decline)) -> None:
        """Somebody answers an offer."""
        offers = [(thread, who) for thread in self.threads if thread.session for who in thread.session.offered_to]
        if offers:
            thread, who = self.rng.choice(offers)
            self._do(thread, who, self.rng.choice(deeds))

    def _serve(self) -> None:
        """Somebody does something with what they have."""
        mine = [(thread, thread.session.operator_id) for thread in self.threads if thread.session and thread.session.operator_id]
        if mine:
            thread, who = self.rng.choice(mine)
            assert who is not None
            self._do(thread, who, self.rng.choice(_OWN))

    def _meddle(self) -> None:
        """Anybody does anything."""
        self._do(self.rng.choice(self.threads), self.rng.choice(list(self.people)), self.rng.choice(_ANY))

    def _supervise(self) -> None:
        """The supervisor takes over, assigns, joins, closes."""
        self._do(self.rng.choice(self.threads), OperatorId("p0"), self.rng.choice((TakeOver, Transfer, Join, Close, Take, Start)))

    def _rate(self) -> None:
        asked = [thread for thread in self.threads if thread.session is not None and thread.session.rating_until is not None]
        thread = self.rng.choice(asked or self.threads)
        of = self.rng.choice((None, thread.session.id, SessionId("another"))) if thread.session is not None else None
        self.enter(thread, Rated(self.now, self.rng.choice(list(Rating)), of))

    def _presence(self) -> None:
        person = self.rng.choice(list(self.people.values()))
        self._go(person, self.rng.choice((ONLINE, ONLINE, AWAY, OFFLINE)))

    def _vanish(self) -> None:
        person = self.rng.choice(list(self.people.values()))
        self._go(person, AWAY, vanished=True)

    def _remove(self) -> None:
        person = self.rng.choice(list(self.people.values()))
        if self.rng.random() < 0.5 or sum(one.active for one in self.people.values()) < 2:
            # Somebody comes into the house, or into a line, instead.
            line = self.rng.choice(list(self.lines.values()))
            person.active = True
            if person.id not in line.seats:
                line.seats.insert(self.rng.randint(0, len(line.seats)), person.id)
                self.met.add("seated")
        else:
            person.active = False
            self._go(person, OFFLINE, vanished=True, removed=True)
            self.met.add("removed")
            if self.rng.random() < 0.5:
                for line in self.lines.values():
                    if person.id in line.seats:
                        line.seats.remove(person.id)
        self._share()
        self._keep_time()
        for other in self.lines:
            self._mark(other, seats=True)

    def _go(self, person: Person, state: PresenceState, **how: bool) -> None:
        """Write a presence, and enter for each conversation it concerns that they are gone."""
        was, person.presence = person.presence, state if person.active else OFFLINE
        if ONLINE in (was, person.presence) and was is not person.presence:
            for line in self.lines.values():
                if person.id in line.seats:
                    self._mark(line.id, seats=person.presence is ONLINE)
        if person.presence is ONLINE:
            return
        for thread in self.threads:
            session = thread.session
            if session is None or session.status is Status.CLOSED:
                continue
            if person.id in session.offered_to or (how and person.id == session.operator_id):
                self.enter(thread, OperatorGone(self.now, person.id, **how))
                self.met.add("vanished" if how else "went")

    def _change(self) -> None:
        """An administrator changes a line or a person, whatever is outstanding."""
        rng = self.rng
        line = rng.choice(list(self.lines.values()))
        match rng.randrange(5):
            case 0 | 1:
                self.met |= {"changed with offers" for thread in self.threads if thread.session and thread.session.offered_to}
                line.settings = self._settings()
            case 2:
                line.hours = rng.choice(HOURS)
            case 3:
                person = rng.choice(list(self.people.values()))
                person.budget = rng.choice((50, 100))
                person.ceiling = max(person.budget, person.reserved)
                person.shift = rng.choice(SHIFTS)
                person.phone = rng.random() < 0.8
                for other in self.lines:
                    self._mark(other, seats=True)
            case _:
                rng.shuffle(line.seats)
                self._mark(line.id, seats=True)
        line.version += 1
        line.fit = frozenset()
        self._keep_time()

    def _slow(self) -> None:
        """No worker comes to a conversation for a while."""
        self.rng.choice(self.threads).slow_until = self.now + timedelta(seconds=self.rng.choice((0.5, 2, 5)))

    def _pause(self) -> None:
        self.pass_time(self.rng.choice(PAUSES))

    def _brink(self) -> None:
        """Somebody takes an offer at the very moment at which it ends, before its timer has looked."""
        offers = [
            (thread.session.offered_until, thread)
            for thread in self.threads
            if thread.session is not None and thread.session.offered_until is not None and thread.slow_until is None
        ]
        if not offers:
            return
        until, thread = min(offers, key=lambda offer: offer[0])
        self.pass_time(max((until - self.now) / SECOND - 0.000001, 0))
        session = thread.session
        if session is None or session.offered_until != until or until - self.now > SECOND or (self._next_due() or until) < until:
            return
        self.now = until
        self._do(thread, session.offered_to[0], Take)
        self.met.add("took at the last moment")
        self._settle_before_timers(thread)

    def _settle_before_timers(self, thread: Thread) -> None:
        while thread.inputs and thread.slow_until is None:
            self._decide(thread, *thread.inputs.popleft())
        self._fire()

    def _set_clock(self) -> None:
        if self.rng.random() < 0.25:
            self._jump(self.rng.choice((timedelta(days=1), timedelta(hours=-1))))


def to_be_reached(session: Session) -> bool:
    """Return whether it is a call that we make, and its customer has not answered."""
    return session.outgoing and not session.reached


def kept_back_still(session: Waiting, now: datetime) -> bool:
    """Return whether the session is nobody's before its time, whoever is free."""
    return session.held_why in (GREETING, PROMISED) and session.held_until is not None and session.held_until > now


def overtaken(earlier: Waiting, later: Waiting) -> str:
    """Return the promise that is broken when *later* is served and *earlier*, who could have had the seat, is not; empty: none."""
    ahead = later.queued_at - earlier.queued_at
    if earlier.priority == later.priority:
        return "FIFO" if ahead > timedelta() else ""
    return "OVERTAKEN" if ahead > timedelta(seconds=(later.priority - earlier.priority) * AGE_SECONDS) else ""


def answer_seconds(session: Waiting, line: Place) -> int:
    """Return how long whoever is offered the session has."""
    return line.settings.calls.ring_seconds if session.call else line.settings.offer_seconds


def as_waiting(session: Session) -> Waiting:
    """Return the session as far as distribution reads it."""
    assert session.queued_at is not None
    return Waiting(
        session.id,
        session.line_id,
        session.weight,
        session.queued_at,
        session.priority,
        session.round_no,
        session.round_began,
        session.asked,
        session.held_until,
        session.held_why,
        session.rounds_over,
        session.over_changes,
        session.responsible_id,
        session.responsible_until,
        session.needs,
        session.needs_until,
        session.load is LoadKind.CALL,
    )


_MAY_DIVERT = (
    Decline,
    OfferExpired,
    OperatorGone,
    RingEnded,
    NoAnswerDue,
    Held,
    TalkEnded,
    ForwardEnded,
    CustomerNotReached,
    CallEnded,
)
_OWN = (Reply, Reply, Reply, Note, Close, Close, Transfer, Transfer, Snooze, Spam, Invite, LeaveSession, Take)
_ALL_LOADS = (LoadKind.CHAT, LoadKind.CHAT, LoadKind.CHAT, LoadKind.MAIL, LoadKind.CALL)
_TALKS_AND_CHATS = (LoadKind.CALL, LoadKind.CALL, LoadKind.CALL, LoadKind.CHAT)
_OF_A_TALK = (Hold, Resume, Consult, Listen)
_ANY = (
    Take,
    Take,
    Reply,
    Decline,
    Note,
    Close,
    Transfer,
    TakeOver,
    Invite,
    Join,
    Join,
    LeaveSession,
    Spam,
    Snooze,
    Start,
    Settle,
    *_OF_A_TALK,
)
_HOW_OFTEN: tuple[tuple[Callable[[World], None], int, int, int], ...] = (
    # in most histories, in calm ones, in those of talks
    (World._write, 26, 40, 14),
    (World._rush, 2, 4, 3),
    (World._respond, 22, 10, 2),
    (World._telephone, 14, 10, 24),
    (World._talk, 12, 8, 50),
    (World._serve, 20, 40, 3),
    (World._meddle, 10, 4, 5),
    (World._supervise, 6, 4, 4),
    (World._rate, 2, 2, 1),
    (World._presence, 6, 0, 4),
    (World._vanish, 2, 0, 1),
    (World._remove, 2, 0, 2),
    (World._change, 4, 0, 3),
    (World._slow, 4, 2, 4),
    (World._pause, 24, 6, 12),
    (World._brink, 3, 3, 1),
    (World._set_clock, 3, 1, 1),
)
_MOVES = [move for move, *_ in _HOW_OFTEN]
_WEIGHTS = list(accumulate(often for _, often, _, _ in _HOW_OFTEN))
_CALM = list(accumulate(often for _, _, often, _ in _HOW_OFTEN))
_TALKS = list(accumulate(often for _, _, _, often in _HOW_OFTEN))
