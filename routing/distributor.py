"""The distributor: reads a pool that was marked, lets `distribute` choose, and makes the offers.

`step` is one transaction: take the pool's marks, read seats and the waiting by pages, decide, apply each offer to its session,
journal the distribution with what it read. A page that left free seats is followed by the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import bindparam, delete, select, tuple_

from broker.domain import LineId, OperatorId, PresenceState
from broker.errors import StoreError
from broker.events import Held, Offered
from broker.ports import Bell, Store, Transport, Tx
from broker.store import journal
from broker.store.sql import among, cols, over_rows, sql, upsert
from broker.store.tables import budgets, operators, pool_marks, presence, sessions, turns
from routing.applying import ENCODER, BudgetExceeded, House, apply, claim, flush
from routing.distribution import LineState, OperatorState, Pool, Result, SeatState, Waiting, distribute
from routing.engine import ENGINE
from routing.session import Session

log = structlog.get_logger(__name__)

PAGE = 100
SWEEP_SECONDS = 1.0

_MARKS = sql(
    select(*cols(pool_marks, "id line_id seats")).order_by(pool_marks.c.id).limit(10_000).with_for_update(skip_locked=True)
)
_UNMARK = sql(delete(pool_marks).where(pool_marks.c.line_id == bindparam("line"), pool_marks.c.id <= bindparam("upto")))
_MARKED = sql(select(pool_marks.c.line_id).group_by(pool_marks.c.line_id).limit(1_000))
_OPERATORS = over_rows(
    select(operators.c.id, operators.c.active, presence.c.state, budgets.c.budget, budgets.c.reserved)
    .select_from(operators)
    .outerjoin(presence, presence.c.operator_id == operators.c.id)
    .outerjoin(budgets, budgets.c.operator_id == operators.c.id)
    .where(among(operators.c.id)),
    [operators.c.id],
)
_TURNS = sql(select(*cols(turns, "operator_id turn")).where(turns.c.line_id == bindparam("line")))
_TURN = upsert(turns, "line_id operator_id turn", "line_id operator_id", "turn")
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
_FRONT: _Place = (-(2**31), 0, "")
_STATE = msgspec.json.Decoder(Session)


class DistributionRecord(msgspec.Struct, frozen=True):
    """The body of a distribution's journal row: all that replay needs."""

    engine: int
    now: datetime
    pool: Pool
    result: Result


def step(tx: Tx, line_id: LineId, house: House) -> int:
    """Distribute the pool of *line_id* if it is marked; return how many offers were made. Raises BudgetExceeded to be run again."""
    pool_lines = house.directory.pools.get(line_id, (line_id,))
    marks = [mark for mark in tx.all(_MARKS) if mark[1] in pool_lines]
    if not marks:
        return 0
    for line in pool_lines:
        tx.run(_UNMARK, line=line, upto=marks[-1][0])
    lines = tuple(_line(tx, line, house) for line in pool_lines if line in house.directory.lines)
    people = tuple(dict.fromkeys(seat.operator_id for line in lines for seat in line.seats))
    changed = any(seats for _, _, seats in marks)
    lightest = min((_lightest(house, line.id) for line in lines), default=0)
    made = 0
    after = _FRONT
    while True:
        # Read again for each page: the page before has taken from the budgets.
        states = _operators(tx, people)
        free = max((s.budget - s.reserved for s in states if s.active and s.presence is PresenceState.ONLINE), default=-1)
        if free < lightest:
            return made
        waiting, places = _waiting(tx, lines, after, free)
        pool = Pool(lines, states, waiting, changed)
        result = distribute(pool, tx.now)
        if result.offers or result.holds:
            _carry_out(tx, pool, result, house)
            tx.settle()  # the next page is read from what this one wrote
            made += len(result.offers)
        if result.examined == len(waiting) < PAGE:
            return made
        lines = tuple(_line(tx, line.id, house) for line in lines)
        # What was not examined is too heavy for what is left now; behind it may stand what is not.
        after = places[result.examined - 1]


def _line(tx: Tx, line_id: LineId, house: House) -> LineState:
    line = house.directory.lines[line_id]
    turn: dict[OperatorId, int] = dict(tx.all(_TURNS, line=line_id))
    return LineState(
        id=line_id,
        version=line.version,
        distribution=line.settings.distribution,
        offer_seconds=line.settings.offer_seconds,
        rounds=line.settings.rounds,
        seats=tuple(SeatState(operator, turn.get(operator, 0)) for operator in house.directory.seats.get(line_id, ())),
    )


def _operators(tx: Tx, people: Sequence[OperatorId]) -> tuple[OperatorState, ...]:
    found = {row[0]: row[1:] for row in tx.each(_OPERATORS, [(operator,) for operator in people])}
    states = []
    for operator in people:
        active, state, budget, reserved = found.get(operator, (0, None, None, None))
        presence_ = PresenceState(state or PresenceState.OFFLINE)
        # Without a budget row nothing can be reserved, not even a weight of 0: they would be chosen and refused without end.
        states.append(OperatorState(operator, bool(active) and budget is not None, presence_, budget or 0, reserved or 0))
    return tuple(states)


def _lightest(house: House, line_id: LineId) -> int:
    weights = house.directory.lines[line_id].settings.weights
    return min(weights.chat, weights.mail, weights.call)


def _waiting(tx: Tx, lines: tuple[LineState, ...], after: _Place, free: int) -> tuple[tuple[Waiting, ...], list[_Place]]:
    """Return the next page of the pool's queue, over all its lines, of what fits into *free*: highest priority, then oldest."""
    rank, queued_us, id_ = after
    rows: list[Any] = []
    for line in lines:
        # Each line's own index gives its part in order; the merge needs no more of a line than a page.
        rows += tx.all(_WAITING, line=line.id, free=free, rank=rank, queued_us=queued_us, id=id_)
    rows.sort(key=lambda row: row[1:])
    del rows[PAGE:]
    return tuple(_as_waiting(_STATE.decode(row[0])) for row in rows), [(row[1], row[2], row[3]) for row in rows]


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
        next_round_at=session.next_round_at,
        rounds_over=session.rounds_over,
    )


_CONVERSATION = sql(select(sessions.c.conversation_id).where(sessions.c.id == bindparam("session")))


def _carry_out(tx: Tx, pool: Pool, result: Result, house: House) -> None:
    read = msgspec.structs.replace(pool, waiting=pool.waiting[: result.examined])
    record = DistributionRecord(ENGINE, tx.now, read, result)
    distribution_id = journal.append_numbered(tx, "distribution", ENCODER.encode(record).decode(), line_id=pool.lines[0].id)
    for turn in result.turns:
        tx.run(_TURN, line_id=turn.line_id, operator_id=turn.operator_id, turn=turn.turn)
    for offer in result.offers:
        offered = Offered(
            at=tx.now, operators=offer.operators, until=offer.until, fresh_round=offer.fresh_round, renewed=offer.renewed
        )
        _apply(tx, offer.session_id, offered, house, distribution_id)
    for hold in result.holds:
        _apply(tx, hold.session_id, Held(at=tx.now, until=hold.until, renewed=hold.renewed), house, distribution_id)


def _apply(tx: Tx, session_id: str, event: Offered | Held, house: House, distribution_id: int) -> None:
    row = tx.one(_CONVERSATION, session=session_id)
    work = claim(tx, row[0], house) if row else None
    if work is None or work.session is None or work.session.id != session_id:
        return  # a worker has it: what it decides marks the pool again
    apply(tx, work, event, house, distribution_id=distribution_id)
    flush(tx, work)


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

    def wake(self, line_id: str) -> None:
        """Have the line's pool distributed soon."""
        self._waiting[LineId(line_id)] = None
        self._rung.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        stop = self._transport.listen(Bell.POOL, self.wake)
        now = asyncio.get_running_loop().time
        sweep_at = now()
        try:
            while True:
                try:
                    if now() >= sweep_at:
                        sweep_at = now() + SWEEP_SECONDS
                        for line_id in await self._store.read(marked):
                            self.wake(line_id)
                    while self._waiting:
                        line_id = next(iter(self._waiting))
                        del self._waiting[line_id]
                        await self._distribute(line_id)
                except StoreError as error:
                    log.warning("distribution_refused_by_store", problem=str(error))
                await self._rest(sweep_at)
        finally:
            stop()

    async def _distribute(self, line_id: LineId) -> None:
        house = self._house()
        try:
            await self._store.write(lambda tx: step(tx, line_id, house))
        except BudgetExceeded:
            self.wake(line_id)
        except StoreError:
            raise
        except Exception:
            log.exception("distribution_failed", line_id=line_id)  # the marks are still there: the sweep tries again

    async def _rest(self, until: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._rung.wait()
        self._rung.clear()
