"""What happens by itself at a line's opening and closing, at the end of its pace, and when an operator's shift begins.

Each is a timer: a row, so that a restart keeps it. It fires once at its moment, writes what has changed where everybody can read it
(`line_state`), marks the pool, and sets the next. Nobody polls a calendar.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec
import structlog
from sqlalchemy import bindparam, select, update

from broker.domain import Directory, LineId, OperatorId, to_us
from broker.errors import StoreError
from broker.leases import Fence
from broker.ports import Bell, Store, Tx
from broker.store import journal
from broker.store.sql import cols, sql, upsert
from broker.store.tables import line_state, lines, timers
from broker.timers import cancel_timer, set_timer
from routing.applying import House, mark_each_waiting, mark_pool

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
LINE, SHIFT = "line", "shift"
"""The owner kinds of these timers: a line's id, an operator's id."""
HOURS_CHANGED, UNSTAFFED = "hours changed", "nobody there"
"""Reasons of marks of single sessions: their line closed over them or opens at another time; nobody is there who could be asked."""
SETTINGS_READ = "settings read"
"""The reason of a pool's mark: whoever distributes knows its settings of now."""
OPENED = "line opened"
"""The reason of a pool's mark: all who waited for it may be asked, if anybody is there."""
HOURS, PACE = "hours", "pace"
"""The names of a line's timers; a shift's is HOURS too."""

_STATE = sql(select(*cols(line_state, "open opens_us")).where(line_state.c.line_id == bindparam("line")))
_SET_STATE = upsert(line_state, "line_id open opens_us changed_us", "line_id", "open opens_us changed_us")
_VERSION = sql(select(lines.c.version).where(lines.c.id == bindparam("line")))
_DUE = sql(
    select(timers.c.due_us).where(
        timers.c.owner_kind == bindparam("kind"), timers.c.owner_id == bindparam("owner"), timers.c.name == HOURS
    )
)
_CHANGED = sql(update(line_state).values(changes=line_state.c.changes + 1).where(line_state.c.line_id == bindparam("line")))
_SET_PACE = sql(update(line_state).values(paced_until_us=bindparam("until_us")).where(line_state.c.line_id == bindparam("line")))


def keep_time(tx: Tx, house: House) -> None:
    """Bring every line's state and every timer to what the settings say now: at a start and after each change of them."""
    for line_id in house.directory.lines:
        _line(tx, line_id, house)
        # What marked the pool when the settings changed may have been taken by a distributor that had not read them yet.
        mark_pool(tx, line_id, SETTINGS_READ)
    for operator_id in house.directory.operators:
        _shift(tx, operator_id, house)


def line_due(tx: Tx, line_id: str, house: House) -> None:
    """A line's timer fell due: its hours begin or end, or its pace allows the next."""
    line = LineId(line_id)
    if line in house.directory.lines:
        tx.settle()  # its hours and its pace may fall due together, and a timer is set once in a batch
        _line(tx, line, house)
        mark_pool(tx, line, "line's time")


def shift_due(tx: Tx, operator_id: str, house: House) -> None:
    """An operator's shift begins or ends: a seat is added, or is one no more."""
    operator = OperatorId(operator_id)
    on_shift = _shift(tx, operator, house)
    for line, people in house.directory.seats.items():
        if operator in people:
            mark_pool(tx, line, "shift began" if on_shift else "shift ended", seats=on_shift)


def look_again(tx: Tx, line_ids: Iterable[LineId], operator_ids: Iterable[OperatorId], house: House) -> None:
    """Set what would come too late: a clock that was set back passes again the moments whose timers have fired.

    For lines as they are, and for operators who would be asked but for their shift.
    """
    for line_id in line_ids:
        until = house.openings.of_line(line_id, tx.now).until
        # Of a line whose settings have changed and are not read yet the timekeeper will look after itself.
        if _late(tx, LINE, line_id, until) and tx.one(_VERSION, line=line_id) == (house.directory.lines[line_id].version,):
            _line(tx, line_id, house)
    for operator_id in operator_ids:
        until = house.openings.of_operator(operator_id, tx.now).until
        if _late(tx, SHIFT, operator_id, until):
            _next(tx, SHIFT, operator_id, until)


def pace(tx: Tx, line_id: LineId, until: datetime) -> None:
    """Distribute the line again at *until*: the rest of what has waited for its opening is kept back until then."""
    set_timer(tx, LINE, line_id, PACE, until, "{}")
    tx.run(_SET_PACE, line=line_id, until_us=to_us(until))


def count_change(tx: Tx, line_ids: Iterable[LineId], house: House) -> None:
    """Count that a seat of the lines' pool was added, freed or came online."""
    for line_id in line_ids:
        if not tx.run(_CHANGED, line=line_id) and line_id in house.directory.lines:
            _line(tx, line_id, house)  # nobody has looked at its time yet
            tx.settle()
            tx.run(_CHANGED, line=line_id)


def _line(tx: Tx, line_id: LineId, house: House) -> None:
    now = house.openings.of_line(line_id, tx.now)
    before = tx.one(_STATE, line=line_id)
    opens_us = to_us(now.opens_at) if now.opens_at is not None else None
    if before is None or (bool(before[0]), before[1]) != (now.open, opens_us):
        tx.run(_SET_STATE, line_id=line_id, open=int(now.open), opens_us=opens_us, changed_us=to_us(tx.now))
        tx.ring(Bell.HOURS, line_id)
        early = before is not None and not before[0] and (before[1] is None or before[1] > to_us(tx.now))
        if not now.open or early:
            mark_each_waiting(tx, line_id, HOURS_CHANGED)
    if before is not None and bool(before[0]) != now.open:
        body = msgspec.json.encode({"line": line_id, "open": now.open, "opens_at": now.opens_at}).decode()
        journal.append(tx, "hours", body, line_id=line_id)
        if now.open:
            # The first of what has waited is offered at once: what the pace of another opening said is over.
            tx.run(_SET_PACE, line=line_id, until_us=None)
            # Its seats are added to the pool: who came while it was closed has changed nothing for those who wait here.
            mark_pool(tx, line_id, OPENED, seats=True)
    _next(tx, LINE, line_id, now.until)


def _shift(tx: Tx, operator_id: OperatorId, house: House) -> bool:
    now = house.openings.of_operator(operator_id, tx.now)
    _next(tx, SHIFT, operator_id, now.until)
    return now.open


def _next(tx: Tx, kind: str, owner: str, due: datetime | None) -> None:
    if due is None:
        cancel_timer(tx, kind, owner, HOURS)
    else:
        set_timer(tx, kind, owner, HOURS, due, "{}")


def _late(tx: Tx, kind: str, owner: str, due: datetime | None) -> bool:
    if due is None:
        return False
    row = tx.one(_DUE, kind=kind, owner=owner)
    return row is None or row[0] > to_us(due)


class Timekeeper:
    """Keeps time after the start and after each change of settings; in between the timers do it."""

    def __init__(self, store: Store, house: Callable[[], House], fence: Fence) -> None:
        self._store = store
        self._house = house
        self._fence = fence
        self._changed = asyncio.Event()

    def settings_changed(self, _: Directory) -> None:
        """Look at every calendar again soon."""
        self._changed.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self._store.write(self._keep_time)
            except StoreError as error:
                log.warning("timekeeper_waits_for_store", problem=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await self._changed.wait()

    def _keep_time(self, tx: Tx) -> None:
        self._fence(tx)
        keep_time(tx, self._house())
