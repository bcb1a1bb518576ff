"""What came to some lines in a time and what became of it, read from the tables and the journal as `routing.what_if` plays it.

    house = read(kept)                                        settings, seats and budgets as they are
    found = gather(read, house, lines, since, until)          traffic to play, and the outcome that it really had

A session's life is told by its rows of the journal: each says which status and whose it was afterwards. Bodies are read of opening
rows alone, for what was known of the customer then. *read* runs a function on a snapshot, once for each page: rows of the journal
never change, and a long reading holds nothing up.

What the rows do not say is counted in `Remarks`, for whoever reads the answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from itertools import pairwise

import msgspec
from sqlalchemy import bindparam, select, tuple_

from broker.domain import (
    MICROSECOND,
    Directory,
    LineId,
    LineSettings,
    LoadCounts,
    LoadKind,
    OperatorId,
    PresenceState,
    SessionId,
    Status,
    from_us,
    to_us,
)
from broker.errors import BadInput
from broker.ports import Row, Tx
from broker.store import directory
from broker.store.sql import Sql, among, cols, one_of, over_rows, page, sql
from broker.store.tables import budgets, journal, offers, presence, seats, sessions
from routing.applying import skills_of
from routing.engine import counts
from routing.openings import Openings
from routing.replaying import Read, ids_between
from routing.session import Session
from routing.view import ConversationView
from routing.what_if import Arrangement, Deed, Ending, Habit, Hold, Lived, Outcome, Person, Step, Traffic, Wait

LOOK_BACK = timedelta(days=7)
"""So long before the time it is asked who was where, and which sessions were still open when it began."""
SESSIONS_MAX = 200_000
PAGE = 500
"""Sessions of one snapshot."""
ROWS_PAGE = 50_000
"""Rows of the journal that one snapshot looks through for changes of presence."""

_BUDGETS = sql(select(*cols(budgets, "operator_id budget")))
_SEATS = sql(select(*cols(seats, "line_id operator_id")).order_by(seats.c.line_id, seats.c.position, seats.c.operator_id))


@lru_cache(maxsize=4)
def _sessions(most: int) -> Sql:
    # Its own statement for each size, as in broker.store.journal.
    begun_later = tuple_(sessions.c.opened_us, sessions.c.id) > tuple_(bindparam("after_us"), bindparam("after_id"))
    # Of those from before the time only what was open in it.
    open_in_it = sessions.c.closed_us.is_(None) | (sessions.c.closed_us >= bindparam("since_us"))
    return page(
        select(*cols(sessions, "id conversation_id line_id channel_id weight opened_us state"))
        .where(
            begun_later,
            sessions.c.opened_us < bindparam("until_us"),
            (sessions.c.opened_us >= bindparam("since_us")) | open_in_it,
        )
        .order_by(sessions.c.opened_us, sessions.c.id)
        .limit(most)
    )


_ROWS = over_rows(
    select(*cols(journal, "session_id seq at_us kind status operator_id line_id")).where(
        among(journal.c.conversation_id), journal.c.status.is_not(None), ~one_of(journal.c.kind, "message", "alert", "fate")
    ),
    [journal.c.conversation_id],
)
_BODIES = over_rows(
    select(*cols(journal, "session_id body")).where(among(journal.c.conversation_id, journal.c.seq)),
    [journal.c.conversation_id, journal.c.seq],
)
_OFFERS = over_rows(
    select(*cols(offers, "session_id operator_id state made_us ended_us")).where(among(offers.c.session_id)),
    [offers.c.session_id],
)
_PRESENCE = page(
    select(*cols(journal, "operator_id at_us body"))
    .where(journal.c.id >= bindparam("first"), journal.c.id < bindparam("behind"), journal.c.kind == "presence")
    .order_by(journal.c.id)
)
_PRESENT = sql(select(*cols(presence, "operator_id state since_us")))
_STATE = msgspec.json.Decoder(Session)


@dataclass(frozen=True, slots=True)
class Kept:
    """The house as its settings say: seats with those of people who are switched off, budgets by person, and this moment."""

    directory: Directory
    seats: Mapping[LineId, tuple[OperatorId, ...]]
    budgets: Mapping[OperatorId, int]
    now: datetime


@dataclass(slots=True)
class Remarks:
    """What the play cannot know, or takes to be otherwise than it was; by how many sessions or people."""

    from_list: int = 0
    """Taken without an offer."""
    by_name: int = 0
    """Passed to a colleague by name, or taken over."""
    unfinished: int = 0
    other_settings: int = 0
    """Decided by settings of another version than today's."""
    carried: int = 0
    """Open already when the time began."""
    started: int = 0
    """Begun by an operator."""
    guessed_presence: int = 0
    """Whose first known change is that they left: they are taken to have been there before."""


@dataclass(slots=True)
class Found:
    """The traffic of a time, what became of it, and where people were."""

    traffic: Traffic
    actual: Outcome
    presence: Mapping[OperatorId, tuple[tuple[datetime, PresenceState], ...]]
    remarks: Remarks


def kept(tx: Tx) -> Kept:
    """Return the house as it is now."""
    known = directory.load(tx)
    sitting: dict[LineId, tuple[OperatorId, ...]] = dict.fromkeys(known.lines, ())
    for line, operator in tx.all(_SEATS):
        sitting[line] += (operator,)
    return Kept(known, sitting, {OperatorId(who): budget for who, budget in tx.all(_BUDGETS)}, tx.now)


def arranged(
    house: Directory,
    limits: Mapping[OperatorId, int],
    lines: Collection[LineId],
    was: Mapping[OperatorId, tuple[tuple[datetime, PresenceState], ...]],
) -> Arrangement:
    """Return the part of *house* that *lines* are, with the people who sit there, where they *was*."""
    seated = {line: house.seats.get(line, ()) for line in lines}
    people = {
        who: Person(limits.get(who, 0), skills_of(house.operators[who]), was.get(who, ()), active=house.operators[who].active)
        for who in dict.fromkeys(who for there in seated.values() for who in there)
    }
    return Arrangement({line: house.lines[line].settings for line in lines}, seated, people, Openings(house))


def gather(read: Read, house: Kept, lines: Collection[LineId], since: datetime, until: datetime, *, most: int = PAGE) -> Found:
    """Return what came to *lines* from *since* until before *until*, both aware. Raises BadInput when it is too much."""
    gathering = _Gathering(house, lines, since, until)
    for rows in _pages(read, since, until, most):
        mine = [row for row in rows if gathering.wants(row)]
        if mine:
            gathering.add(mine, *read(_look_up(mine)))
    return gathering.found(_presence(read, since, until, house.directory.operators, gathering.remarks))


def _pages(read: Read, since: datetime, until: datetime, most: int) -> Iterator[list[Row]]:
    after_us, after_id = to_us(since) - LOOK_BACK // MICROSECOND - 1, ""
    ends = {"since_us": to_us(since), "until_us": to_us(until)}

    def next_page(tx: Tx) -> list[Row]:
        return tx.all(_sessions(most), after_us=after_us, after_id=after_id, **ends)

    while rows := read(next_page):
        yield rows
        after_us, after_id = rows[-1][5], rows[-1][0]


# --- where people were


def _presence(
    read: Read, since: datetime, until: datetime, people: Iterable[OperatorId], remarks: Remarks
) -> dict[OperatorId, tuple[tuple[datetime, PresenceState], ...]]:
    """Return since when everybody was where, from the beginning of the time on."""
    first, behind = read(lambda tx: ids_between(tx, to_us(since) - LOOK_BACK // MICROSECOND, to_us(until)))
    changes: defaultdict[OperatorId, list[tuple[datetime, PresenceState]]] = defaultdict(list)
    for begin in range(first, behind, ROWS_PAGE):
        for who, at_us, body in read(_changes(begin, min(begin + ROWS_PAGE, behind))):
            if at_us < to_us(until):
                changes[who].append((from_us(at_us), PresenceState(msgspec.json.decode(body)["state"])))
    now = {who: (PresenceState(state), from_us(since_us)) for who, state, since_us in read(lambda tx: tx.all(_PRESENT))}
    was = {}
    for who in people:
        known = sorted(changes.get(who, ()), key=lambda change: change[0])
        if not known and who in now:
            # Nobody stays for so long without a change: who has changed since then was not there.
            state, from_when = now[who]
            known = [(from_when, state)] if from_when < until else []
        elif known and known[0][0] > since and known[0][1] is not PresenceState.ONLINE:
            known = [(since, PresenceState.ONLINE), *known]
            remarks.guessed_presence += 1
        was[who] = tuple(known)
    return was


def _changes(first: int, behind: int) -> Callable[[Tx], list[Row]]:
    return lambda tx: tx.all(_PRESENCE, first=first, behind=behind)


# --- sessions


class _Opened(msgspec.Struct, frozen=True):
    opens_at: datetime | None = None


class _Seen(msgspec.Struct, frozen=True):
    conversation: ConversationView | None = None


class _Opening(msgspec.Struct, frozen=True):
    """What an opening row says of the customer and of the hours, whatever engine wrote it."""

    settings: int = 0
    view: _Seen = _Seen()
    after: _Opened | str | None = None


_OPENING = msgspec.json.Decoder(_Opening)


def _look_up(rows: Sequence[Row]) -> Callable[[Tx], tuple[dict[str, list[Row]], dict[str, str], list[Row]]]:
    """Return what reads the journal of the sessions *rows*, the bodies of their opening rows, and their offers."""

    def look_up(tx: Tx) -> tuple[dict[str, list[Row]], dict[str, str], list[Row]]:
        mine = {row[0]: row[1] for row in rows}
        told: defaultdict[str, list[Row]] = defaultdict(list)
        for row in tx.each(_ROWS, [(conversation,) for conversation in dict.fromkeys(mine.values())]):
            if row[0] in mine:
                told[row[0]].append(row)
        for story in told.values():
            story.sort(key=lambda row: row[1])
        bodies: dict[str, str] = dict(tx.each(_BODIES, [(mine[id_], story[0][1]) for id_, story in told.items()]))
        return told, bodies, tx.each(_OFFERS, [(id_,) for id_ in mine])

    return look_up


class _Gathering:
    """What was found so far."""

    def __init__(self, house: Kept, lines: Collection[LineId], since: datetime, until: datetime) -> None:
        self.since = since
        self.until = until
        self.now = house.now
        self.settings: dict[LineId, LineSettings] = {line: house.directory.lines[line].settings for line in lines}
        self.versions = {line: house.directory.lines[line].version for line in lines}
        self.channels = {channel.id for channel in house.directory.channels.values() if channel.line_id in self.settings}
        self.remarks = Remarks()
        self.lived: list[Lived] = []
        self.waits: list[Wait] = []
        self.holds: list[Hold] = []
        self.offers: defaultdict[tuple[LineId, OperatorId], Counter[str]] = defaultdict(Counter)
        self.takes: defaultdict[OperatorId, list[float]] = defaultdict(list)
        self.declines: defaultdict[OperatorId, list[float]] = defaultdict(list)
        self.ran_out: Counter[OperatorId] = Counter()
        self.handling: defaultdict[tuple[LineId, LoadKind], list[float]] = defaultdict(list)

    def wants(self, row: Row) -> bool:
        """Return whether the session is, or was at first, of one of the lines."""
        return row[2] in self.settings or row[3] in self.channels

    def add(self, rows: Sequence[Row], told: Mapping[str, list[Row]], bodies: Mapping[str, str], made: Sequence[Row]) -> None:
        """Add a page of sessions with what was looked up of them."""
        line_of: dict[str, LineId] = {}
        for row in rows:
            moments = list(_moments(told.get(row[0], ()), self.settings))
            if moments:
                line_of[row[0]] = moments[0].line_id
                self._session(row, _opening(bodies.get(row[0], "")), moments)
        if len(self.lived) > SESSIONS_MAX:
            raise BadInput(f"more than {SESSIONS_MAX} sessions lie between; take a shorter time")
        for session_id, operator_id, state, made_us, ended_us in made:
            if session_id in line_of and self.since <= from_us(made_us) < self.until:
                self._offer(line_of[session_id], operator_id, state, ((ended_us or made_us) - made_us) / 1_000_000)

    def _session(self, row: Row, opening: _Opening, moments: list[_Moment]) -> None:
        id_, *_, weight, opened_us, state = row
        conversation = opening.view.conversation or _guessed(_STATE.decode(state), self.settings)
        conversation = msgspec.structs.replace(
            conversation, new_session_id=SessionId(id_), line_id=moments[0].line_id, banned=False
        )
        self.remarks.other_settings += opening.settings != self.versions[moments[0].line_id]
        self._spans(moments, weight, conversation.load)
        carried = from_us(opened_us) < self.since
        started = moments[0].kind == "start"
        self.remarks.carried += carried
        self.remarks.started += started and not carried
        if carried:
            moments = _from(moments, self.since)
        if not moments or moments[0].at >= self.until:
            return
        lived = _lived(conversation, moments, self.now, counts=not (carried or started))
        self.lived.append(lived)
        if lived.counts:
            opens_at = opening.after.opens_at if isinstance(opening.after, _Opened) else None
            self.waits.append(_wait(moments, opens_at, self.until))
        self._remark(moments)
        seconds = _handling(lived.steps)
        if seconds is not None and not carried and any(moment.phase is _Phase.CLOSED for moment in moments):
            self.handling[moments[0].line_id, conversation.load].append(seconds)

    def _spans(self, moments: Sequence[_Moment], weight: int, load: LoadKind) -> None:
        """Add the times in which the session counted in somebody's budget, as the line counts today."""
        for one, after in pairwise([*moments, None]):
            assert one is not None
            line = self.settings.get(one.line_id)
            end = after.at if after is not None else self.now
            if line is not None and one.operator_id is not None and one.at < end and _counts(one, line, load):
                self.holds.append(Hold(one.operator_id, weight, one.at, end))

    def _remark(self, moments: Sequence[_Moment]) -> None:
        for one, after in pairwise(moments):
            if one.phase is _Phase.WAITING and after.phase is _Phase.HELD:
                self.remarks.from_list += not one.offered
            elif one.phase is _Phase.HELD and after.phase is _Phase.HELD:
                self.remarks.by_name += one.operator_id != after.operator_id
        self.remarks.unfinished += moments[-1].phase in (_Phase.HELD, _Phase.SNOOZED)

    def _offer(self, line: LineId, operator: OperatorId, state: str, seconds: float) -> None:
        counts = self.offers[line, operator]
        counts["made"] += 1
        counts[state] += 1
        if state == "taken":
            self.takes[operator].append(seconds)
        elif state == "declined":
            self.declines[operator].append(seconds)
        elif state == "ran_out":
            self.ran_out[operator] += 1

    def found(self, was: Mapping[OperatorId, tuple[tuple[datetime, PresenceState], ...]]) -> Found:
        """Return all of it, in the order of time."""
        people = {*self.takes, *self.declines, *self.ran_out}
        habits = {
            who: Habit(tuple(sorted(self.takes[who])), tuple(sorted(self.declines[who])), self.ran_out[who]) for who in people
        }
        handling = {of: tuple(sorted(seconds)) for of, seconds in self.handling.items()}
        lived = sorted(self.lived, key=lambda one: (one.began_at, one.conversation.new_session_id))
        traffic = Traffic(self.since, self.until, tuple(lived), habits, handling)
        return Found(traffic, Outcome(tuple(self.waits), tuple(self.holds), self.offers), was, self.remarks)


# --- one session's life


class _Phase(Enum):
    WAITING = "waiting"
    HELD = "held"
    SNOOZED = "snoozed"
    CLOSED = "closed"
    GONE = "gone"
    """Passed on to a line that is not looked at."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """How the session stood after a row. *owed*: the customer waited for an answer. *operator_id*: who held it last."""

    at: datetime
    kind: str
    phase: _Phase
    line_id: LineId
    operator_id: OperatorId | None
    owed: bool
    offered: bool


_PHASES = {
    Status.QUEUED: _Phase.WAITING,
    Status.OFFERED: _Phase.WAITING,
    Status.ACTIVE: _Phase.HELD,
    Status.SNOOZED: _Phase.SNOOZED,
    Status.CLOSED: _Phase.CLOSED,
}


def _moments(story: Iterable[Row], lines: Collection[LineId]) -> Iterator[_Moment]:
    """Yield how the session stood, from when it came to one of *lines* until it left them."""
    phase: _Phase | None = None
    holder: OperatorId | None = None
    owed = True
    for _, _, at_us, kind, state, operator_id, line_id in story:
        at, status = from_us(at_us), Status(state)
        if line_id not in lines:
            if phase is not None:
                yield _Moment(at, kind, _Phase.GONE, line_id, None, owed=owed, offered=False)
                return
            continue
        # While a colleague is asked it is still with whoever passes it on.
        passing = status is Status.OFFERED and phase is _Phase.HELD
        phase = _Phase.HELD if passing else _PHASES[status]
        if phase is not _Phase.HELD and phase is not _Phase.SNOOZED:
            holder = None
        elif operator_id is not None:
            holder = OperatorId(operator_id)
        if kind == "reply":
            owed = False
        elif kind == "contact_message":
            owed = True
        yield _Moment(at, kind, phase, LineId(line_id), holder, owed=owed, offered=status is Status.OFFERED)


def _from(moments: list[_Moment], since: datetime) -> list[_Moment]:
    """Return what is left of the life at *since*, as if it began then; who waits has waited since they began to."""
    behind = bisect_left(moments, since, key=lambda moment: moment.at)
    if not behind:
        return moments
    begin = behind - 1
    now = moments[begin]
    if now.phase is _Phase.CLOSED or now.phase is _Phase.GONE:
        return moments[behind:]
    if now.phase is _Phase.WAITING:
        while begin and moments[begin - 1].phase is _Phase.WAITING:
            begin -= 1
        return moments[begin:]
    return [replace(now, at=since), *moments[behind:]]


def _lived(conversation: ConversationView, moments: Sequence[_Moment], now: datetime, *, counts: bool) -> Lived:
    first = moments[0]
    steps: list[Step] = []
    given_up: float | None = None
    mark = first.at
    if first.phase is _Phase.SNOOZED:
        steps.append(Step(0.0, Deed.SNOOZED))
    elif first.phase is _Phase.HELD and not first.owed and first.kind != "start":
        steps.append(Step(0.0, Deed.ANSWERED))
    for one, after in pairwise(moments):
        deed = _deed(one, after)
        if deed is not None:
            to = after.line_id if deed is Deed.PASSED_ON else None
            steps.append(Step((after.at - mark).total_seconds(), deed, to))
            mark = after.at
        elif one.phase is _Phase.WAITING and after.phase is not _Phase.WAITING:
            mark = after.at
            if after.phase is not _Phase.HELD and not steps:
                given_up = (after.at - first.at).total_seconds()
    if moments[-1].phase in (_Phase.HELD, _Phase.SNOOZED):
        steps.append(Step((now - mark).total_seconds(), Deed.CLOSED))
    holder = first.operator_id if first.phase in (_Phase.HELD, _Phase.SNOOZED) else None
    return Lived(first.at, conversation, tuple(steps), given_up, holder, counts)


def _deed(one: _Moment, after: _Moment) -> Deed | None:
    """Return what was done between two moments, if it is one that is played."""
    match one.phase, after.phase:
        case (_Phase.HELD, _Phase.SNOOZED):
            return Deed.SNOOZED
        case (_Phase.SNOOZED, _Phase.HELD):
            return Deed.WOKE
        case (_Phase.HELD, _Phase.HELD) if one.owed != after.owed:
            return Deed.WROTE if after.owed else Deed.ANSWERED
        case (_Phase.HELD | _Phase.SNOOZED, _Phase.WAITING):
            return Deed.PASSED_ON if after.kind == "transfer" else Deed.GIVEN_BACK
        case (_Phase.HELD | _Phase.SNOOZED, _Phase.CLOSED | _Phase.GONE):
            return Deed.CLOSED
        case (_Phase.CLOSED, _Phase.WAITING | _Phase.HELD):
            return Deed.REOPENED
        case _:
            return None


def _wait(moments: Sequence[_Moment], opens_at: datetime | None, until: datetime) -> Wait:
    """Return how a session that a customer began has really waited."""
    first = moments[0]
    counted_from = first.at if opens_at is None else max(opens_at, first.at)
    if first.phase is _Phase.CLOSED:
        return Wait(first.line_id, first.at, first.at, Ending.SHUT, first.at)
    ended = next((moment for moment in moments if moment.phase is not _Phase.WAITING), None)
    if ended is None or ended.at >= until:
        return Wait(first.line_id, first.at, counted_from, Ending.WAITING, until)
    if ended.phase is _Phase.HELD:
        # Somebody may take it from the list before the line opens.
        return Wait(first.line_id, first.at, min(counted_from, ended.at), Ending.TAKEN, ended.at, ended.operator_id)
    return Wait(first.line_id, first.at, min(counted_from, ended.at), Ending.GIVEN_UP, ended.at)


def _handling(steps: Sequence[Step]) -> float | None:
    """Return how long it was held until it was closed for the first time; what it was put by for does not count."""
    seconds = 0.0
    for step in steps:
        if step.deed is Deed.REOPENED:
            return None
        if step.deed is not Deed.WOKE:
            seconds += step.after_seconds
        if step.deed is Deed.CLOSED:
            return seconds
    return None


def _counts(moment: _Moment, line: LineSettings, load: LoadKind) -> bool:
    if moment.phase is _Phase.SNOOZED:
        return line.load_counts is LoadCounts.CLOSED
    return moment.phase is _Phase.HELD and counts(line, load, answered=not moment.owed)


def _opening(body: str) -> _Opening:
    """Return what an opening row says; nothing when it cannot be read any more."""
    try:
        return _OPENING.decode(body)
    except msgspec.MsgspecError:
        return _Opening()


def _guessed(session: Session, lines: Mapping[LineId, LineSettings]) -> ConversationView:
    """Return what a session itself still says of its customer."""
    line = lines.get(session.line_id, LineSettings())
    languages = (need.removeprefix("language:") for need in session.needs if need.startswith("language:"))
    return ConversationView(
        conversation_id=session.conversation_id,
        channel_id=session.channel_id,
        line_id=session.line_id,
        contact_id=session.contact_id,
        load=session.load,
        contact_priority=session.priority - line.priority,
        first_time=False,
        new_session_id=session.id,
        responsible_id=session.responsible_id,
        language=next(languages, ""),
    )
