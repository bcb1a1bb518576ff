"""Deadlines that survive a restart: rows in `timers`, one for each (owner, name); when it falls due its event is entered.

The loop sleeps to the earliest due row; the sweep is its safety net. A timer that was moved or cancelled before its turn is not
there any more and does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy import bindparam, delete, select, update

from broker import metrics
from broker.domain import ConversationId, from_us, to_us
from broker.errors import LeaseLost, NotFound, StoreError
from broker.leases import Fence
from broker.ports import Bell, Row, Store, Transport, Tx
from broker.store import locks
from broker.store.sql import among, cols, insert_rows, over_rows, sql
from broker.store.tables import timers

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
DUE_AT_ONCE = 100
IN_HAND_SECONDS = 0.1
"""Until timers of conversations are looked at again that somebody else had in hand."""
PUT_OFF_SECONDS = 60.0
"""Until what has failed is tried again."""
CONVERSATION = "conversation"
"""The kind of owner whose timers concern itself alone."""

_NAMED = cols(timers, "owner_kind owner_id name")
# Whoever waited here for another to set the same timer anew has not seen it, and sets it as well: the last word counts.
_SET = insert_rows(timers, "id owner_kind owner_id name due_us event", "owner_kind owner_id name", "id due_us event")
_CANCEL = over_rows(delete(timers).where(among(*_NAMED)), _NAMED)
_DUE = sql(
    select(*cols(timers, "id owner_kind owner_id event"))
    .where(timers.c.due_us <= bindparam("now_us"))
    .order_by(timers.c.due_us, timers.c.id)
    .limit(DUE_AT_ONCE)
)
_PUT_OFF = sql(update(timers).values(due_us=bindparam("new_due_us")).where(timers.c.id == bindparam("timer")))
_DONE = sql(delete(timers).where(timers.c.id == bindparam("id")))
_EARLIEST = sql(select(timers.c.due_us).order_by(timers.c.due_us).limit(1))

Enter = Callable[[Tx, str, str, str], None]
"""(tx, owner id, timer id, event): what a kind of owner does with a due timer, in the transaction that removes it."""


def set_timer(tx: Tx, owner_kind: str, owner_id: str, name: str, due: datetime, event: str) -> None:
    """Set or move the owner's timer *name*, once in a transaction; *event* is entered at *due*."""
    tx.later(_CANCEL, (owner_kind, owner_id, name))
    tx.later(_SET, (tx.new_id(), owner_kind, owner_id, name, to_us(due), event))
    tx.ring(Bell.TIMERS, str(to_us(due)))


def cancel_timer(tx: Tx, owner_kind: str, owner_id: str, name: str) -> None:
    """Remove the owner's timer *name*, if there is one."""
    tx.later(_CANCEL, (owner_kind, owner_id, name))


class TimerFailed(Exception):
    """What was to be done with a due timer has failed, for a reason of its own."""

    def __init__(self, timer_id: str, owner_kind: str, owner_id: str) -> None:
        super().__init__(f"timer {timer_id} of the {owner_kind} {owner_id}")
        self.timer_id = timer_id
        self.conversation_id = owner_id if owner_kind == CONVERSATION else None


def fire_due(tx: Tx, enter: Mapping[str, Enter]) -> int:
    """Enter the events of what is due, oldest first; return how many there were. Raises TimerFailed: then nothing was entered.

    A timer whose owner is gone, or of a kind nobody here knows, is removed: it must not hold up the others. Nor must a conversation that
    somebody has in hand, who may stand still: its timers stay due.
    """
    due = tx.all(_DUE, now_us=to_us(tx.now))
    if tx.shared:
        due = _in_one_order(due)
        in_hand = locks.in_hand(tx, (ConversationId(owner_id) for _, kind, owner_id, _ in due if kind == CONVERSATION))
        due = [row for row in due if row[2] not in in_hand]
    fired = 0
    for timer_id, owner_kind, owner_id, event in due:
        if not tx.run(_DONE, id=timer_id):
            continue  # moved or cancelled by whoever had the conversation until now
        fired += 1
        if (fire := enter.get(owner_kind)) is not None:
            try:
                fire(tx, owner_id, timer_id, event)
            except NotFound:
                pass
            except (StoreError, LeaseLost):
                raise
            except Exception as error:
                raise TimerFailed(timer_id, owner_kind, owner_id) from error
    return fired


def put_off(tx: Tx, timer_id: str) -> None:
    """Let a timer fall due again in a while: the others do not wait for it."""
    tx.run(_PUT_OFF, timer=timer_id, new_due_us=to_us(tx.now + timedelta(seconds=PUT_OFF_SECONDS)))


def _in_one_order(due: list[Row]) -> list[Row]:
    """Return those of *due* that may go in one transaction: conversations are locked by id, and what concerns several goes alone."""
    if due and due[0][1] != CONVERSATION:
        return due[:1]
    return sorted((row for row in due if row[1] == CONVERSATION), key=lambda row: row[2])


def earliest(tx: Tx) -> datetime | None:
    """Return when the next timer falls due."""
    row = tx.one(_EARLIEST)
    return from_us(row[0]) if row else None


class TimerLoop:
    """Fires what is due, sleeps to the next."""

    def __init__(self, store: Store, transport: Transport, enter: Mapping[str, Enter], fence: Fence) -> None:
        self._store = store
        self._transport = transport
        self._enter = enter
        self._fence = fence
        self._rung = asyncio.Event()
        self._wakes: datetime | None = None
        """When the loop looks again by itself, by the store's clock; None: it is looking."""

    async def run(self) -> None:
        """Go on until cancelled."""
        stop = self._transport.listen(Bell.TIMERS, self._heard)
        try:
            while True:
                self._rung.clear()
                self._wakes = None
                wait, now = SWEEP_SECONDS, None
                try:
                    next_due, now = await self._store.read(lambda tx: (earliest(tx), tx.now))
                    if next_due is not None and next_due <= now:
                        fired = await self._store.write(self._fire)
                        metrics.accepted_inputs_total.labels("timer").inc(fired)
                        wait = 0.0 if fired else IN_HAND_SECONDS
                    elif next_due is not None:
                        wait = min(wait, (next_due - now).total_seconds())
                except LeaseLost:
                    raise
                except StoreError as error:
                    log.warning("timers_wait_for_store", problem=str(error))
                except TimerFailed as failed:
                    metrics.unexpected_errors_total.labels("timers").inc()
                    whose = {"conversation_id": failed.conversation_id} if failed.conversation_id else {}
                    log.error("timer_failed", timer=str(failed), **whose, exc_info=failed.__cause__)
                    wait = await self._put_off(failed.timer_id, wait)
                except Exception:
                    metrics.unexpected_errors_total.labels("timers").inc()
                    log.exception("timers_failed")
                if wait > 0:
                    self._wakes = now + timedelta(seconds=wait) if now is not None else None
                    await _until(self._rung, wait)
        finally:
            stop()

    async def _put_off(self, timer_id: str, wait: float) -> float:
        def write(tx: Tx) -> None:
            self._fence(tx)
            put_off(tx, timer_id)

        try:
            await self._store.write(write)
        except StoreError as error:
            log.warning("timers_wait_for_store", problem=str(error))
            return wait
        return 0.0

    def _fire(self, tx: Tx) -> int:
        self._fence(tx)
        return fire_due(tx, self._enter)

    def _heard(self, due_us: str) -> None:
        if self._wakes is None or from_us(int(due_us)) < self._wakes:
            self._rung.set()


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
