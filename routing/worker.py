"""The worker: drains one conversation's inputs in the order of their seq, each decided once.

`step` is one transaction: claim the conversation, decide what is undecided, write what follows. `step_each` does the same for many
conversations in one. `Worker` is the loop around it.
An input nobody can decide becomes a dead letter, and the conversation goes on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import get_args

import msgspec
import structlog
from sqlalchemy import bindparam, or_, select, update

from broker import metrics, tracing
from broker.domain import Author, ConversationId, Fate, MessageKind
from broker.errors import StoreError
from broker.events import Codec, Event, Rated, Receipt, Reword, SessionEvent, TakeBack
from broker.inbound import bury, undecided
from broker.ports import Bell, Row, Store, Transport, Tx
from broker.store import journal, locks
from broker.store.sql import among, one_of, over_rows, sql
from broker.store.tables import conversations, inputs, messages
from broker.tasks import until_one_fails
from routing.applying import (
    BudgetExceeded,
    House,
    Work,
    apply,
    apply_to_earlier,
    change_sent,
    claim,
    claim_each,
    concerned,
    flush,
    flush_each,
)

log = structlog.get_logger(__name__)

DRAIN_MAX = 100
"""Inputs of one conversation in one transaction."""
AT_ONCE = 128
"""Conversations in the writer's queue at a time."""
SWEEP_SECONDS = 1.0
SQLITE_CONSTRAINT = 19

_PENDING = sql(
    select(inputs.c.seq, inputs.c.event, inputs.c.dead, messages.c.session_id)
    .select_from(inputs)
    .outerjoin(messages, (messages.c.conversation_id == inputs.c.conversation_id) & (messages.c.seq == inputs.c.seq))
    .where(inputs.c.conversation_id == bindparam("conversation"), inputs.c.seq > bindparam("after"))
    .order_by(inputs.c.seq)
    .limit(DRAIN_MAX)
)
_PENDING_EACH = over_rows(
    select(inputs.c.conversation_id, inputs.c.seq, inputs.c.event, inputs.c.dead, messages.c.session_id)
    .select_from(conversations)
    .join(inputs, (inputs.c.conversation_id == conversations.c.id) & (inputs.c.seq > conversations.c.worked_seq))
    .outerjoin(messages, (messages.c.conversation_id == inputs.c.conversation_id) & (messages.c.seq == inputs.c.seq))
    .where(among(conversations.c.id)),
    [conversations.c.id],
)
_READ = sql(
    update(messages)
    .values(fate=bindparam("new_fate"))
    .where(
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.seq <= bindparam("upto"),
        messages.c.seq > bindparam("floor"),
        messages.c.author != Author.CONTACT.value,
        messages.c.kind == MessageKind.SAID.value,
        or_(
            one_of(messages.c.fate, Fate.QUEUED.value, Fate.SENDING.value, Fate.SENT.value, Fate.UNCONFIRMED.value),
            messages.c.fate == bindparam("or_fate"),
        ),
        messages.c.fate != bindparam("new_fate"),
    )
)
RECEIPT_REACH = 500
"""A receipt speaks of the latest messages; older ones have been marked by earlier receipts."""
_SESSION_EVENTS = get_args(SessionEvent)


class Undecidable(Exception):
    """The input *seq* cannot be decided; *why* goes into its dead letter."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"input {seq}: {why}")
        self.seq = seq
        self.why = why


def step(tx: Tx, conversation_id: ConversationId, house: House) -> int:
    """Decide the conversation's next inputs; return how many. Raises Undecidable, and then nothing of it has happened."""
    begun = tracing.begin()
    work = claim(tx, conversation_id, house)
    if work is None:
        return 0
    pending = tx.all(_PENDING, conversation=conversation_id, after=work.worked_seq)
    if not pending:
        return 0
    if tx.shared:
        locks.operators(tx, concerned(work, _readable(body for _, body, dead, _ in pending if dead is None)))
    for seq, body, dead, message_session in pending:
        try:
            _drain(tx, work, house, seq, body, dead, message_session, begun)
            tx.settle()  # a row that cannot be written is this input's fault, and told as such
        except Exception as error:
            if isinstance(error, (StoreError, BudgetExceeded)) or _is_the_stores(error):
                raise
            raise Undecidable(seq, f"{type(error).__name__}: {error}") from error
    flush(tx, work)
    if len(pending) == DRAIN_MAX:
        tx.ring(Bell.CONVERSATION, conversation_id)
    return len(pending)


def step_each(tx: Tx, asked: Sequence[tuple[ConversationId, House]]) -> list[int]:
    """Step many conversations with a few statements for all of them; return how many inputs of each were decided.

    Raises whatever one of them raises, and then nothing of any has happened: the caller steps each by itself (`Store.write_each`).
    """
    if len(asked) == 1:
        return [step(tx, *asked[0])]
    begun = tracing.begin()
    house = asked[-1][1]  # the newest; an older one is no better for anybody
    ids = sorted({conversation_id for conversation_id, _ in asked})
    decided = dict.fromkeys(ids, 0)
    works: dict[ConversationId, Work] = {}
    for work in claim_each(tx, ids, house):
        if work.input_seq - work.worked_seq <= DRAIN_MAX:
            works[work.id] = work
        else:  # one with a long queue goes by itself, a piece at a time
            decided[work.id] = step(tx, work.id, house)
    pending = sorted(tx.each(_PENDING_EACH, [(id_,) for id_ in works]))
    if tx.shared:
        _lock_operators(tx, works, pending)
    for conversation_id, seq, body, dead, message_session in pending:
        _drain(tx, works[conversation_id], house, seq, body, dead, message_session, begun)
        decided[conversation_id] += 1
    flush_each(tx, [work for work in works.values() if decided[work.id]])
    return [decided[conversation_id] for conversation_id, _ in asked]


def _lock_operators(tx: Tx, works: dict[ConversationId, Work], pending: Sequence[Row]) -> None:
    """Lock everybody whose budget the *pending* inputs may change, before the first of them is decided."""
    bodies: dict[ConversationId, list[str]] = {}
    for conversation_id, _, body, dead, _ in pending:
        if dead is None:
            bodies.setdefault(conversation_id, []).append(body)
    locks.operators(tx, (operator for id_, theirs in bodies.items() for operator in concerned(works[id_], _readable(theirs))))


def _readable(bodies: Iterable[str]) -> list[Event]:
    """Return the events that can be read; of the others it is told when their turn comes, and by then nothing depends on the locks."""
    events = []
    for body in bodies:
        with suppress(msgspec.MsgspecError):
            events.append(Codec.decode(body))
    return events


def _drain(
    tx: Tx, work: Work, house: House, seq: int, body: str, dead: str | None, message_session: str | None, begun: int
) -> None:
    if dead is None:
        event = Codec.decode(body)
        _decide(tx, work, event, house, seq, message_session)
        if begun:
            tx.count(partial(tracing.hop, "decide", work.id, seq, begun, getattr(event, "message_id", None)))
    work.worked_seq = seq


def _is_the_stores(error: Exception) -> bool:
    """A failing disk is no fault of the input; a broken constraint is: it would be broken again, for ever."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF != SQLITE_CONSTRAINT


def _decide(tx: Tx, work: Work, event: Event, house: House, seq: int, message_session: str | None) -> None:
    if isinstance(event, Rated) and event.session_id not in (None, work.session_id):
        apply_to_earlier(tx, work, event, house, input_seq=seq)
    elif isinstance(event, _SESSION_EVENTS):
        apply(tx, work, event, house, input_seq=seq, message_session=message_session)
    elif isinstance(event, Receipt):
        _received(tx, work, event, seq)
    elif isinstance(event, Reword | TakeBack):
        change_sent(tx, work, event, seq)
    # ContactDetails: `accept` has completed the contact and `claim` has given the session to them. What is left has been done by it too.


def _received(tx: Tx, work: Work, event: Receipt, seq: int) -> None:
    """Mark outgoing messages as delivered or read; a receipt that tells nothing new leaves no trace."""
    # A later "delivered" never takes back a "read": only a reading may overwrite a delivery.
    fate, also = (Fate.READ, Fate.DELIVERED) if event.read else (Fate.DELIVERED, Fate.SENT)
    if event.upto > work.last_seq:
        return
    changed = tx.run(
        _READ, conversation=work.id, upto=event.upto, floor=event.upto - RECEIPT_REACH, new_fate=fate.value, or_fate=also.value
    )
    if changed:
        work.journal_seq += 1
        journal.append(
            tx,
            "fate",
            msgspec.json.encode({"fate": fate.value, "upto": True}).decode(),
            conversation_id=work.id,
            seq=work.journal_seq,
            session_id=work.session_id,
            line_id=work.line.id,
            input_seq=seq,
            message_seq=event.upto,
        )


class Worker:
    """Steps every conversation that rings or was found undecided, one at a time each, many at once."""

    def __init__(self, store: Store, transport: Transport, house: Callable[[], House]) -> None:
        self._store = store
        self._transport = transport
        self._house = house
        self._waiting: dict[ConversationId, None] = {}
        self._busy: set[ConversationId] = set()
        self._rung = asyncio.Event()

    def wake(self, conversation_id: str) -> None:
        """Have the conversation stepped soon; ringing twice is ringing once."""
        self._waiting[ConversationId(conversation_id)] = None
        self._rung.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        stop = self._transport.listen(Bell.CONVERSATION, self.wake)
        try:
            await until_one_fails(self._step(), self._sweep())
        finally:
            stop()

    async def _step(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            self._start()

    def _start(self) -> None:
        for conversation_id in list(self._waiting):
            if len(self._busy) >= AT_ONCE:
                return
            if conversation_id in self._busy:
                continue
            del self._waiting[conversation_id]
            self._busy.add(conversation_id)
            house = self._house()
            # A callback instead of a task a step: a task costs as much as the step's own Python.
            future = self._store.write_each(step_each, (conversation_id, house))
            asyncio.ensure_future(future).add_done_callback(lambda done, c=conversation_id: self._done(c, done))  # type: ignore[misc]

    def _done(self, conversation_id: ConversationId, done: asyncio.Future[int]) -> None:
        self._busy.discard(conversation_id)
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            metrics.decided_total.inc(done.result() or 0)
        elif isinstance(error, Undecidable):
            self._bury(conversation_id, error)
        elif isinstance(error, BudgetExceeded):
            self.wake(conversation_id)  # somebody was quicker: on a new view it comes out otherwise
        elif isinstance(error, StoreError):
            log.warning("step_refused_by_store", conversation_id=conversation_id, problem=str(error))  # the sweep tries again
        else:
            metrics.unexpected_errors_total.labels("worker").inc()
            log.error("step_failed", conversation_id=conversation_id, exc_info=error)
        if self._waiting:
            self._rung.set()

    def _bury(self, conversation_id: ConversationId, error: Undecidable) -> None:
        log.error(
            "input_undecidable", conversation_id=conversation_id, seq=error.seq, problem=error.why, exc_info=error.__cause__
        )
        self._busy.add(conversation_id)
        future = self._store.write(lambda tx: bury(tx, conversation_id, error.seq, error.why))
        asyncio.ensure_future(future).add_done_callback(lambda done: self._done(conversation_id, done))  # type: ignore[arg-type]

    async def _sweep(self) -> None:
        while True:
            found = await sweep(lambda after: self._store.read(lambda tx: undecided(tx, after)), self.wake)
            metrics.undecided.set(float("nan") if found is None else found)
            await asyncio.sleep(SWEEP_SECONDS)


async def sweep(page: Callable[[str], Awaitable[list[ConversationId]]], wake: Callable[[str], None]) -> int | None:
    """Wake everything that *page* finds, page by page, and count it.

    None: the store refused, and nobody knows how many there are. The next sweep asks again.
    """
    after = ""
    count = 0
    try:
        while found := await page(after):
            for conversation_id in found:
                wake(conversation_id)
            after = found[-1]
            count += len(found)
    except StoreError as error:
        log.warning("sweep_refused_by_store", problem=str(error))
        return None
    return count


__all__ = ["Undecidable", "Worker", "step", "step_each", "sweep"]
