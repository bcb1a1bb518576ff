"""The distributor: reads a pool that was marked, lets `distribute` choose, and makes the offers.

`step` is one transaction: take the pool's marks, read seats and the waiting by pages, decide, apply each offer to its session,
journal the distribution with what it read. A page that left free seats is followed by the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import bindparam, delete, select, tuple_

from broker import metrics
from broker.domain import ConversationId, Directory, LineId, LoadKind, OperatorId, PresenceState, Status, from_us, to_us
from broker.errors import StoreError
from broker.events import Held, Offered
from broker.ports import Bell, Row, Store, Transport, Tx
from broker.store import journal, locks
from broker.store.sql import among, cols, over_rows, sql, upsert
from broker.store.tables import budgets, line_state, operators, pool_marks, presence, sessions, turns
from broker.tasks import until_one_fails
from routing import clockwork
from routing.applying import (
    ENCODER,
    BudgetExceeded,
    House,
    Work,
    apply,
    claim,
    claim_each,
    flush,
    mark_each_waiting,
    mark_pool,
)
from routing.distribution import LineState, OperatorState, Pool, Result, SeatState, Waiting, distribute
from routing.engine import ENGINE
from routing.session import Session

log = structlog.get_logger(__name__)

PAGE = 100
TOLD_MAX = 200
"""Sessions that one step looks at for what their customers are to be told: the marks of the rest wait for the next step."""
SWEEP_SECONDS = 1.0
PASSED_OVER = "passed over"
"""The reason of the mark for sessions that others were at work on."""
PASSED_OVER_SECONDS = 0.05
"""After so long they are looked at again: others take no longer for a decision, unless their process stands still."""

_MARKS = sql(
    select(*cols(pool_marks, "id line_id seats session_id reason"))
    .where(pool_marks.c.line_id == bindparam("line"))
    .order_by(pool_marks.c.id)
    .limit(10_000)
    .with_for_update(skip_locked=True)
)
# Each by its own id: one with a lower number may be committed later.
_UNMARK = over_rows(delete(pool_marks).where(among(pool_marks.c.id)), [pool_marks.c.id])
_MARKED = sql(select(pool_marks.c.line_id).group_by(pool_marks.c.line_id).limit(1_000))
_OPERATORS = over_rows(
    select(operators.c.id, operators.c.active, presence.c.state, *cols(budgets, "budget reserved calls"))
    .select_from(operators)
    .outerjoin(presence, presence.c.operator_id == operators.c.id)
    .outerjoin(budgets, budgets.c.operator_id == operators.c.id)
    .where(among(operators.c.id)),
    [operators.c.id],
)
_ONLINE_STILL = over_rows(
    select(presence.c.operator_id)
    .where(among(presence.c.operator_id), presence.c.state == PresenceState.ONLINE.value)
    .order_by(presence.c.operator_id)
    .with_for_update(read=True),
    [presence.c.operator_id],
)
_TURNS = sql(select(*cols(turns, "operator_id turn paced_until_us")).where(turns.c.line_id == bindparam("line")))
_CHANGES = sql(select(line_state.c.changes).where(line_state.c.line_id == bindparam("line")))
_TURN = upsert(turns, "line_id operator_id turn paced_until_us", "line_id operator_id", "turn paced_until_us")
_WAITING = sql(
    select(*cols(sessions, "state rank queued_us id"))
    .where(
        sessions.c.status == "queued",
        sessions.c.line_id == bindparam("line"),
        sessions.c.weight <= bindparam("free"),
        tuple_(sessions.c.rank, sessions.c.queued_us, sessions.c.id)
        > tuple_(bindparam("rank"), bindparam("queued_us"), bindparam("id")),
    )
    .order_by(sessions.c.rank, sessions.c.queued_us, sessions.c.id)
    .limit(PAGE)
)
_Place = tuple[int, int, str]
"""Where a session stands in its pool's queue: rank, moment, id."""
_FRONT: _Place = (-(2**62), 0, "")
_ONLINE = PresenceState.ONLINE
_STATE = msgspec.json.Decoder(Session)


class DistributionRecord(msgspec.Struct, frozen=True):
    """The body of a distribution's journal row: all that replay needs."""

    engine: int
    now: datetime
    pool: Pool
    result: Result


class Taken(Exception):
    """Others are at work on the *sessions* that something was decided for: nothing of it has happened; distribute without them."""

    def __init__(self, sessions: Collection[str]) -> None:
        super().__init__(", ".join(sorted(sessions)))
        self.sessions = frozenset(sessions)


class Left(Exception):
    """Somebody who was chosen is not online any more: nothing of it has happened; distribute again."""


def step(tx: Tx, line_id: LineId, house: House, without: Collection[str] = ()) -> int:
    """Distribute the pool of *line_id* if it is marked, as if the sessions *without* were not there; return how many offers were made.

    Raises BudgetExceeded and Left to be run again, Taken to be run again without its sessions.
    """
    pool_lines = house.directory.pools.get(line_id, (line_id,))
    locks.pool(tx, pool_lines)
    marks = sorted(mark for line in pool_lines for mark in tx.all(_MARKS, line=line))
    if not marks:
        return 0
    found, marks = len(marks), _at_most(marks, TOLD_MAX)
    if len(marks) < found:
        tx.ring(Bell.POOL, line_id)
    tx.each(_UNMARK, [(mark[0],) for mark in marks])
    if without:
        # Whoever has them decides; then they are looked at like the others. Not at once: they may have them for long.
        mark_pool(tx, line_id, PASSED_OVER, ring=False)
        for _, line, seats, session, reason in marks:
            if session in without:
                mark_pool(tx, line, reason, seats=bool(seats), session_id=session, ring=False)
    if any(mark[2] for mark in marks):
        clockwork.count_change(tx, pool_lines, house)
    lines = tuple(_line(tx, line, house) for line in pool_lines if line in house.directory.lines)
    open_lines = [line.id for line in lines if house.openings.of_line(line.id, tx.now).open]
    people = tuple(dict.fromkeys(seat.operator_id for line in lines for seat in line.seats))
    locks.operators(tx, people)
    lightest = min((_lightest(house, line.id) for line in lines), default=0)
    made = 0
    after = _FRONT
    while True:
        # Read again for each page: the page before has taken from the budgets.
        states = _operators(tx, people, house)
        free = max((s.budget - s.reserved for s in states if _there(s)), default=-1)
        if free < lightest:
            break
        waiting, places, following = _waiting(tx, open_lines, after, free, without)
        pool = Pool(lines, states, waiting)
        result = distribute(pool, tx.now)
        if result.offers or result.holds or result.paces:
            _carry_out(tx, pool, result, house)
            tx.settle()  # the next page is read from what this one wrote
            made += len(result.offers)
        if result.examined == len(waiting) and following is None:
            break
        paced = {pace.line_id for pace in result.paces}
        open_lines = [line for line in open_lines if line not in paced]
        lines = tuple(_line(tx, line.id, house) for line in lines)
        # What was not examined is too heavy for what is left now; behind it may stand what is not.
        after = following if following is not None and result.examined == len(waiting) else places[result.examined - 1]
    if any(mark[3] is None and (not mark[2] or mark[4] == clockwork.OPENED) for mark in marks):
        # Nobody came or was freed: somebody may have left, and been the last; or the line has opened for nobody.
        _mark_unstaffed(tx, [line.id for line in lines if line.id in open_lines], states, house)
    named = dict.fromkeys((mark[3], mark[4]) for mark in marks if mark[3] is not None and mark[3] not in without)
    _tell(tx, named, people, house)
    off_shift = (state.id for state in states if state.presence is _ONLINE and not state.on_shift)
    clockwork.look_again(tx, (line.id for line in lines), off_shift, house)
    return made


def _at_most(marks: list[Row], sessions_max: int) -> list[Row]:
    """Return the first of *marks*, up to those that name *sessions_max* sessions."""
    named: set[str] = set()
    for position, mark in enumerate(marks):
        if mark[3] is not None:
            named.add(mark[3])
        if len(named) > sessions_max:
            return marks[:position]
    return marks


def _line(tx: Tx, line_id: LineId, house: House) -> LineState:
    line = house.directory.lines[line_id]
    stands: dict[OperatorId, tuple[int, int | None]] = {row[0]: (row[1], row[2]) for row in tx.all(_TURNS, line=line_id)}
    opened_at = house.openings.of_line(line_id, tx.now).since
    counted = tx.one(_CHANGES, line=line_id)
    return LineState(
        id=line_id,
        version=line.version,
        distribution=line.settings.distribution,
        offer_seconds=line.settings.offer_seconds,
        rounds=line.settings.rounds,
        seats=tuple(_seat(tx, operator, stands.get(operator)) for operator in house.directory.seats.get(line_id, ())),
        opened_at=opened_at,
        pace_seconds=line.settings.opening_pace_seconds if opened_at is not None else 0,
        changes=counted[0] if counted else 0,
        ring_seconds=line.settings.calls.ring_seconds,
        chats_too=line.settings.calls.chats_too,
    )


def _seat(tx: Tx, operator: OperatorId, stands: tuple[int, int | None] | None) -> SeatState:
    turn, paced_us = stands or (0, None)
    return SeatState(operator, turn, from_us(paced_us) if paced_us is not None and paced_us > to_us(tx.now) else None)


def _operators(tx: Tx, people: Sequence[OperatorId], house: House) -> tuple[OperatorState, ...]:
    found = {row[0]: row[1:] for row in tx.each(_OPERATORS, [(operator,) for operator in people])}
    states = []
    for operator in people:
        active, state, budget, reserved, calls = found.get(operator, (0, None, None, None, 0))
        states.append(
            OperatorState(
                operator,
                # Without a budget row nothing can be reserved, not even a weight of 0: they would be chosen and refused without end.
                bool(active) and budget is not None,
                PresenceState(state or PresenceState.OFFLINE),
                budget or 0,
                reserved or 0,
                house.openings.of_operator(operator, tx.now).open,
                house.skills.get(operator, ()),
                operator in house.phones,
                calls or 0,
            )
        )
    return tuple(states)


def _lightest(house: House, line_id: LineId) -> int:
    weights = house.directory.lines[line_id].settings.weights
    return min(weights.chat, weights.mail, weights.call)


def _waiting(
    tx: Tx, lines: Sequence[LineId], after: _Place, free: int, without: Collection[str] = ()
) -> tuple[tuple[Waiting, ...], list[_Place], _Place | None]:
    """Return the next page of the pool's queue, over all its lines, of what fits into *free*: highest priority, then oldest.

    With the place of each, and that of the page's end, None: nothing is behind it.
    """
    rank, queued_us, id_ = after
    rows: list[Any] = []
    for line in lines:
        # Each line's own index gives its part in order; the merge needs no more of a line than a page.
        rows += tx.all(_WAITING, line=line, free=free, rank=rank, queued_us=queued_us, id=id_)
    rows.sort(key=lambda row: row[1:])
    del rows[PAGE:]
    waiting, places = [], []
    for state, rank_is, queued, session_id in rows:
        if session_id in without:
            continue
        try:
            waiting.append(_as_waiting(_STATE.decode(state)))
        except msgspec.ValidationError as error:
            # One that nobody can read holds back nobody else.
            log.error("session_unreadable", session_id=session_id, problem=str(error))
        else:
            places.append((rank_is, queued, session_id))
    return tuple(waiting), places, rows[-1][1:] if len(rows) == PAGE else None


def _as_waiting(session: Session) -> Waiting:
    assert session.queued_at is not None
    return Waiting(
        id=session.id,
        line_id=session.line_id,
        weight=session.weight,
        queued_at=session.queued_at,
        priority=session.priority,
        round_no=session.round_no,
        round_began=session.round_began,
        asked=session.asked,
        held_until=session.held_until,
        held_why=session.held_why,
        rounds_over=session.rounds_over,
        over_changes=session.over_changes,
        responsible_id=session.responsible_id,
        responsible_until=session.responsible_until,
        needs=session.needs,
        needs_until=session.needs_until,
        call=session.load is LoadKind.CALL,
    )


def _tell(tx: Tx, marked_for: Iterable[tuple[str, str]], people: Sequence[OperatorId], house: House) -> None:
    """Say what there is to say to those of *marked_for* who wait still: that nobody can be asked, or that the hours are other ones.

    *marked_for*: sessions, with the reason of their mark. Of those who were marked because nobody may be left it is not said while somebody
    is there, if without room: they are in the queue of people who work it off.
    """
    free: dict[OperatorId, int] | None = None
    for session_id, reason in marked_for:
        row = tx.one(_WAITS, session=session_id)
        if row is None:
            continue
        line_id, weight, state = row
        if reason == clockwork.HOURS_CHANGED:
            _apply(tx, session_id, Held(tx.now, None, "hours"), house)
            continue
        # Who began to wait outside the hours was told so then.
        if not house.openings.of_line(line_id, tx.now).open or _TOLD.decode(state).nobody_told:
            continue
        if free is None:  # as the offers have left them
            free = {s.id: s.budget - s.reserved for s in _operators(tx, people, house) if _there(s)}
        # A call waits for whoever talks: there is nobody only if nobody's phone could ring.
        rings = _TOLD.decode(state).load is LoadKind.CALL
        enough = 0 if reason == clockwork.UNSTAFFED else weight
        seated = house.directory.seats.get(line_id, ())
        if any((seat in house.phones and seat in free) if rings else free.get(seat, -1) >= enough for seat in seated):
            continue  # a round, their responsible, a skill or the pace: somebody is there
        _apply(tx, session_id, Held(tx.now, None, "nobody"), house)


def _mark_unstaffed(tx: Tx, lines: Iterable[LineId], states: Iterable[OperatorState], house: House) -> None:
    """Mark those who wait in lines in which nobody is left, so that somebody is told."""
    there = {state.id for state in states if _there(state)}
    for line_id in lines:
        seats = house.directory.seats.get(line_id, ())
        phones = house.phones.intersection(seats)
        if there.isdisjoint(seats) or (phones and there.isdisjoint(phones)):
            mark_each_waiting(tx, line_id, clockwork.UNSTAFFED)


def _there(state: OperatorState) -> bool:
    return state.active and state.on_shift and state.presence is _ONLINE


class _Told(msgspec.Struct):
    """What is asked of a waiting session's state before anybody is told."""

    nobody_told: bool = False
    load: LoadKind = LoadKind.CHAT


_TOLD = msgspec.json.Decoder(_Told)


_WAITS = sql(
    select(*cols(sessions, "line_id weight state")).where(sessions.c.id == bindparam("session"), sessions.c.status == "queued")
)
_CONVERSATION = sql(select(sessions.c.conversation_id).where(sessions.c.id == bindparam("session")))
_CONVERSATIONS = over_rows(select(*cols(sessions, "id conversation_id")).where(among(sessions.c.id)), [sessions.c.id])


def _carry_out(tx: Tx, pool: Pool, result: Result, house: House) -> None:
    read = msgspec.structs.replace(pool, waiting=pool.waiting[: result.examined])
    # Before anything of it is written: what cannot be carried out was not decided.
    wanted = [*(offer.session_id for offer in result.offers), *(hold.session_id for hold in result.holds)]
    works = _claimed(tx, wanted, read.waiting, house)
    if tx.shared:
        _keep(tx, {operator for offer in result.offers for operator in offer.operators})
    record = DistributionRecord(ENGINE, tx.now, read, result)
    distribution_id = journal.append_numbered(tx, "distribution", ENCODER.encode(record).decode(), line_id=pool.lines[0].id)
    for turn in result.turns:
        paced_us = to_us(turn.paced_until) if turn.paced_until is not None else None
        tx.run(_TURN, line_id=turn.line_id, operator_id=turn.operator_id, turn=turn.turn, paced_until_us=paced_us)
    for pace in result.paces:
        clockwork.pace(tx, pace.line_id, pace.until)
    for offer in result.offers:
        offered = Offered(
            at=tx.now,
            operators=offer.operators,
            until=offer.until,
            fresh_round=offer.fresh_round,
            rule=offer.rule,
            renewed=offer.renewed,
        )
        _decide(tx, works.get(offer.session_id), offered, house, distribution_id)
    for hold in result.holds:
        held = Held(tx.now, hold.until, hold.why, hold.rounds_over, hold.renewed, hold.changes)
        _decide(tx, works.get(hold.session_id), held, house, distribution_id)


def _keep(tx: Tx, chosen: Collection[OperatorId]) -> None:
    """Let nobody of those *chosen* leave before the commit: who leaves after it finds the offer and gives it back. Raises Left."""
    online = tx.each(_ONLINE_STILL, [(operator,) for operator in chosen])
    if len(online) < len(chosen):
        raise Left


def _claimed(tx: Tx, session_ids: Sequence[str], read: Sequence[Waiting], house: House) -> dict[str, Work]:
    """Take the conversations of the sessions, which stand as they were *read*. Raises Taken when others have some of them."""
    found = tx.each(_CONVERSATIONS, [(session_id,) for session_id in session_ids])
    works = claim_each(tx, [ConversationId(conversation_id) for _, conversation_id in found], house)
    stood = {one.id: one for one in read}
    taken = {
        work.session.id: work
        for work in works
        if work.session is not None
        and (not tx.shared or (work.session.status is Status.QUEUED and _as_waiting(work.session) == stood.get(work.session.id)))
    }
    if tx.shared and (missing := set(session_ids) - taken.keys()):
        raise Taken(missing)
    return taken  # type: ignore[return-value]


def _apply(tx: Tx, session_id: str, event: Offered | Held, house: House) -> None:
    row = tx.one(_CONVERSATION, session=session_id)
    work = claim(tx, row[0], house) if row else None
    if work is not None and work.session is not None and work.session.id == session_id:
        _decide(tx, work, event, house, None)
    elif tx.shared:
        raise Taken([session_id])


def _decide(tx: Tx, work: Work | None, event: Offered | Held, house: House, distribution_id: int | None) -> None:
    if work is None:
        return  # its channel is nobody's any more
    apply(tx, work, event, house, distribution_id=distribution_id)
    flush(tx, work)
    if work.input_seq > work.worked_seq and tx.shared:
        # A worker may have passed it over while it was locked here.
        tx.ring(Bell.CONVERSATION, work.id)


def marked(tx: Tx) -> list[LineId]:
    """Return lines whose pools wait to be distributed: what the sweep wakes."""
    return [LineId(row[0]) for row in tx.all(_MARKED)]


class Distributor:
    """Distributes every pool that rings or was found marked, one step at a time."""

    def __init__(self, store: Store, transport: Transport, house: Callable[[], House]) -> None:
        self._store = store
        self._transport = transport
        self._house = house
        self._waiting: dict[LineId, None] = {}
        self._rung = asyncio.Event()
        self._read_anew = False

    def wake(self, line_id: str) -> None:
        """Have the line's pool distributed soon."""
        self._waiting[LineId(line_id)] = None
        self._rung.set()

    def settings_changed(self, _: Directory) -> None:
        """Have every pool looked at again: what marked it may have been taken here by the settings of before."""
        self._read_anew = True
        self._rung.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        stop = self._transport.listen(Bell.POOL, self.wake)
        try:
            # Apart: pools that ring without an end keep nobody from the sweep, nor a slow reading them.
            await until_one_fails(self._serve(), self._sweep())
        finally:
            stop()

    async def _serve(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                if self._read_anew:
                    await self._mark_all()
                while self._waiting and not self._read_anew:
                    line_id = next(iter(self._waiting))
                    del self._waiting[line_id]
                    await self._distribute(line_id)
            except StoreError as error:
                log.warning("distribution_refused_by_store", problem=str(error))  # the sweep rings for what was left

    async def _sweep(self) -> None:
        while True:
            try:
                for line_id in await self._store.read(marked):
                    self.wake(line_id)
            except StoreError as error:
                log.warning("distribution_refused_by_store", problem=str(error))
            if self._waiting or self._read_anew:
                self._rung.set()
            await asyncio.sleep(SWEEP_SECONDS)

    async def _mark_all(self) -> None:
        def mark(tx: Tx) -> None:
            for line_id in self._house().directory.lines:
                mark_pool(tx, line_id, clockwork.SETTINGS_READ)

        self._read_anew = False
        try:
            await self._store.write(mark)
        except StoreError:
            self._read_anew = True
            raise

    async def _distribute(self, line_id: LineId) -> None:
        house = self._house()
        without: frozenset[str] = frozenset()
        try:
            while True:
                try:
                    await self._store.write(lambda tx, others=without: step(tx, line_id, house, others))  # type: ignore[misc]
                except Taken as taken:
                    without |= taken.sessions
                else:
                    break
            if without:
                asyncio.get_running_loop().call_later(PASSED_OVER_SECONDS, self.wake, line_id)
        except (BudgetExceeded, Left):
            self.wake(line_id)
        except StoreError:
            raise
        except Exception:
            metrics.unexpected_errors_total.labels("distributor").inc()
            log.exception("distribution_failed", line_id=line_id)  # the marks are still there: the sweep tries again
