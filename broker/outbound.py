"""The way out: a row in `outbox` for each message, sent once, its fate known.

    queued ─a─► sending ─b─► sent
      ▲            ├────c──► queued        nothing was sent: later, with back-off
      │            ├────d──► failed        the provider will never take it
      └────────────┴────e──► unconfirmed   it left, no answer came, and the channel cannot tell twice from once
    queued ─f─► cancelled

A row may also change what was sent before (`does`: reword, take_back); doing that again is no harm, so it is never in doubt.

a lease: committed before the first byte leaves. b-e guarded by (state, attempt, fence): a step that lost its lease changes
nothing. At most one row of a conversation is `sending`, and only the lowest open one: order is `seq`.

After a crash, rows `sending` under a lower fence, or, of several processes, past their lease: an idempotent channel sends again under
the same token, another one's row is unconfirmed and an operator decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy import bindparam, not_, or_, select, text, update

from broker import extras, metrics, tracing
from broker.domain import Capabilities, ChannelId, ConversationId, Fate, MessageId, MessageKind, Rate, to_us
from broker.errors import AccessLost, Rejected, StoreBusy, StoreError, StoreFull, Unavailable, Uncertain, Unreachable
from broker.extras import NOTHING, Extra, FileKind, FileState
from broker.ports import Bell, Button, Channel, Clock, EditsMessages, Outbound, OutFile, Row, Store, Transport, Tx
from broker.store import journal, locks
from broker.store.sql import among, cols, insert_rows, over_rows, sql, with_rows
from broker.store.tables import channels, conversations, files, message_refs, messages, outbox, processes
from broker.tasks import until_one_fails

log = structlog.get_logger(__name__)

LEASE_SECONDS = 30.0
SWEEP_SECONDS = 1.0
AT_ONCE = 256
"""Conversations being sent to at a time."""
SEND_SECONDS = 20.0
"""A send that takes longer is Uncertain."""
FILES_SECONDS = 150.0
"""The same of one with files, whose lease is longer by as much."""
MARK_TRIES = 20
MARK_RETRY_SECONDS = 1.0
"""Between two tries to write down what became of a send."""
GRACE_SECONDS = 10.0
"""After a lease has ended, before another takes over: for clocks, and for a process that stood still between look and write."""
BACKOFF_MAX_SECONDS = 300.0
UNHEARD_SECONDS = 1.0
"""Until a message is tried again whose channel this process has not heard of."""
PACE_SECONDS = 2.0
"""How long a message waits for its provider's rate before it makes room for others; well below the lease."""
FAILURES_KEPT = 10_000
TURNS_KEPT = 100_000
GIVE_UP_SECONDS = 86_400.0
"""A message that could not be sent for a day has failed; the operator may send it again."""

_POST = insert_rows(outbox, "id conversation_id seq channel_id message_id state due_us created_us buttons does target_seq")
_other = outbox.alias("other")
_OTHER_OPEN = text("other.state IN ('queued', 'sending')")
"""Word for word the condition of the indexes of what is open: SQLite needs it to use them."""
# The highest, not EXISTS: for that PostgreSQL may walk through all that is open anywhere.
_BEHIND = (
    "(SELECT max(other.seq) FROM outbox AS other WHERE other.conversation_id = outbox.conversation_id"
    " AND other.state IN ('queued', 'sending')) > outbox.seq"
)
_BEFORE = (
    "(SELECT coalesce(max(other.seq), 0) FROM outbox AS other"
    " WHERE other.conversation_id = outbox.conversation_id AND other.seq < outbox.seq)"
)
# What was never tried waits for nothing: when its moment is still to come, the clock was turned back since it was queued.
_UNTRIED = outbox.c.attempt == 0
_ACTIVE = sql(select(channels.c.id).where(channels.c.id == bindparam("channel"), channels.c.active != 0))
# The lowest is looked for once a conversation: asked of each row whether it is the lowest, a long queue would be gone through at
# every send.
_LEASE = with_rows(
    "conversation_id owner fence now_us until_us",
    cols(outbox, "conversation_id owner fence due_us lease_us"),
    "UPDATE outbox SET state = 'sending', attempt = outbox.attempt + 1, owner = asked.owner, fence = asked.fence, "  # noqa: S608  (our own words)
    "lease_us = asked.until_us "
    "FROM (SELECT new.*, (SELECT other.id FROM outbox AS other WHERE other.conversation_id = new.conversation_id"
    " AND other.state IN ('queued', 'sending') ORDER BY other.seq LIMIT 1) AS lowest FROM new) AS asked "
    "WHERE outbox.id = asked.lowest AND outbox.state = 'queued' AND (outbox.due_us <= asked.now_us OR outbox.attempt = 0) "
    "RETURNING outbox.conversation_id, outbox.id, outbox.seq, outbox.channel_id, outbox.message_id, outbox.attempt, outbox.created_us, "
    f"outbox.buttons, {_BEHIND}, {_BEFORE}, outbox.does, outbox.target_seq",
)
_MESSAGE = over_rows(
    select(*cols(messages, "conversation_id seq text operator_id at_us extra"), conversations.c.key)
    .join_from(messages, conversations, conversations.c.id == messages.c.conversation_id)
    .where(among(messages.c.conversation_id, messages.c.seq)),
    cols(messages, "conversation_id seq"),
)
_MARK = with_rows(
    "id attempt fence state external_id problem due_us",
    cols(outbox, "id attempt fence state external_id problem due_us"),
    "UPDATE outbox SET state = new.state, external_id = new.external_id, problem = new.problem, due_us = new.due_us, lease_us = NULL "
    "FROM new WHERE outbox.id = new.id AND outbox.state = 'sending' AND outbox.attempt = new.attempt AND outbox.fence = new.fence "
    "RETURNING outbox.id, outbox.attempt, outbox.fence",
)
_FATE = with_rows(
    "conversation_id seq fate problem",
    cols(messages, "conversation_id seq fate problem"),
    "UPDATE messages SET fate = new.fate, problem = new.problem FROM new "  # noqa: S608  (the same)
    "WHERE messages.conversation_id = new.conversation_id AND messages.seq = new.seq "
    f"AND messages.fate <> '{Fate.DELIVERED.value}' AND messages.fate <> '{Fate.READ.value}' "
    "RETURNING messages.conversation_id",
)
# What it is called where it was sent: our own by what the provider answered, what came by the name that it came with.
_SENT_AS = over_rows(
    select(*cols(messages, "conversation_id seq kind client_id"), outbox.c.seq, outbox.c.external_id)
    .outerjoin_from(messages, outbox, (outbox.c.conversation_id == messages.c.conversation_id) & (outbox.c.seq == messages.c.seq))
    .where(among(messages.c.conversation_id, messages.c.seq)),
    cols(messages, "conversation_id seq"),
)
_EXTEND = sql(update(outbox).values(lease_us=bindparam("until_us")).where(outbox.c.id == bindparam("row")))
_FILES = over_rows(select(*cols(files, "id sha256 kind name media_type size")).where(among(files.c.id)), [files.c.id])
_IS_QUEUED = (
    outbox.c.conversation_id == bindparam("conversation"),
    outbox.c.seq == bindparam("number"),
    outbox.c.does == "send",
    outbox.c.state == "queued",
)
_WITHDRAW = sql(update(outbox).values(state="cancelled").where(*_IS_QUEUED))
_QUEUED = sql(select(outbox.c.id).where(*_IS_QUEUED))
_REFS = insert_rows(message_refs, "channel_id ref conversation_id seq", "channel_id ref")
_PROBLEM = sql(
    update(messages)
    .values(problem=bindparam("why"))
    .where(messages.c.conversation_id == bindparam("conversation"), messages.c.seq == bindparam("number"))
)
_UNREACHABLE = sql(
    update(conversations)
    .values(unreachable=bindparam("why"))
    .where(conversations.c.id == bindparam("conversation"), conversations.c.unreachable != bindparam("why"))
)
_CONTACT_OF = sql(select(conversations.c.contact_id).where(conversations.c.id == bindparam("conversation")))
_SESSION_OF = sql(
    select(messages.c.session_id).where(
        messages.c.conversation_id == bindparam("conversation"), messages.c.seq == bindparam("number")
    )
)
_ORPHANS = sql(
    select(*cols(outbox, "id conversation_id seq channel_id message_id attempt fence does target_seq"))
    .where(outbox.c.state == "sending", or_(outbox.c.fence < bindparam("my_fence"), outbox.c.lease_us < bindparam("expired_us")))
    .order_by(outbox.c.conversation_id, outbox.c.seq)
    .limit(500)
)
_OF_THE_DEAD = sql(
    select(*cols(outbox, "id conversation_id seq channel_id message_id attempt fence does target_seq"))
    .where(outbox.c.state == "sending", ~select(processes.c.id).where(processes.c.id == outbox.c.owner).exists())
    .order_by(outbox.c.conversation_id, outbox.c.seq)
    .limit(500)
)
_TO_SEND = (
    select(outbox.c.conversation_id)
    .where(
        text("outbox.state IN ('queued', 'sending')"),
        outbox.c.state == "queued",
        # Rows behind one that backs off are no work: a thousand of them would hide what is.
        not_(
            select(_other.c.id)
            .where(_other.c.conversation_id == outbox.c.conversation_id, _OTHER_OPEN, _other.c.seq < outbox.c.seq)
            .exists()
        ),
    )
    .order_by(outbox.c.due_us)
    .limit(1_000)
)
_DUE = sql(_TO_SEND.where(outbox.c.due_us <= bindparam("now_us")))
_DUE_BY_ANOTHER_CLOCK = sql(_TO_SEND.where(outbox.c.due_us > bindparam("now_us"), _UNTRIED))


_read_buttons = msgspec.json.Decoder(tuple[Button, ...]).decode
_BUTTONS = sql(
    select(outbox.c.buttons).where(outbox.c.conversation_id == bindparam("conversation"), outbox.c.seq == bindparam("seq"))
)


@dataclass(frozen=True, slots=True)
class Leased:
    """A row that this process alone may send until its lease ends."""

    row: str
    conversation_id: ConversationId
    seq: int
    channel_id: ChannelId
    message_id: MessageId
    attempt: int
    fence: int
    key: str
    text: str
    operator_id: str | None
    at_us: int
    waiting_seconds: float
    lease_ends: float
    """On the monotonic clock."""
    more: bool = False
    """Another one waited behind it."""
    buttons: tuple[Button, ...] = ()
    after: int = 0
    """The seq of the message that went out before it; 0: none."""
    does: str = "send"
    target_seq: int | None = None
    """Of another thing than sending: which message it changes."""
    extra: Extra = NOTHING
    files: tuple[OutFile, ...] = ()
    answers: str = ""
    sent_as: str = ""
    """What the provider calls the message that is changed; empty: it was never sent."""

    @property
    def send_seconds(self) -> float:
        """Return how long sending it may take."""
        return FILES_SECONDS if self.files else SEND_SECONDS


def post(
    tx: Tx,
    conversation_id: ConversationId,
    seq: int,
    channel_id: ChannelId,
    message_id: MessageId,
    buttons: Sequence[Button] = (),
    *,
    does: str = "send",
    target_seq: int | None = None,
) -> None:
    """Queue a message for its channel, with what the customer may press beneath it; or a change of the message *target_seq*."""
    now_us = to_us(tx.now)
    pressable = msgspec.json.encode(buttons).decode() if buttons else None
    row = (tx.new_id(), conversation_id, seq, channel_id, message_id, "queued", now_us, now_us, pressable, does, target_seq)
    tx.later(_POST, row)
    tx.ring(Bell.OUTBOX, conversation_id)


def withdraw(tx: Tx, conversation_id: ConversationId, seq: int) -> bool:
    """Cancel the message *seq* if nothing of it has left; return whether that was so. Its fate is the caller's to tell."""
    tx.settle()
    if not tx.run(_WITHDRAW, conversation=conversation_id, number=seq):
        return False
    tx.ring(Bell.OUTBOX, conversation_id)
    return True


def is_queued(tx: Tx, conversation_id: ConversationId, seq: int) -> bool:
    """Return whether nothing of the message *seq* has left: it goes out as it stands by then."""
    tx.settle()
    return tx.one(_QUEUED, conversation=conversation_id, number=seq) is not None


def buttons_of(tx: Tx, conversation_id: ConversationId, seq: int) -> tuple[Button, ...]:
    """Return the buttons that the message *seq* went out with."""
    row = tx.one(_BUTTONS, conversation=conversation_id, seq=seq)
    return _read_buttons(row[0]) if row is not None and row[0] is not None else ()


def lease(tx: Tx, conversation_id: ConversationId, owner: str, fence: int, monotonic: float) -> Leased | None:
    """Take the conversation's lowest open row, if it is due and nothing of it is in flight."""
    return lease_each(tx, [(conversation_id, owner, fence, monotonic)])[0]


def lease_each(tx: Tx, asked: Sequence[tuple[ConversationId, str, int, float]]) -> list[Leased | None]:
    """Take a row of each of many conversations, as `lease` does; whoever asks for a conversation's second has none."""
    locks.conversations(tx, (conversation_id for conversation_id, *_ in asked))
    now_us = to_us(tx.now)
    until_us = now_us + int(LEASE_SECONDS * 1_000_000)
    wanted = {id_: (id_, owner, fence, now_us, until_us) for id_, owner, fence, _ in reversed(asked)}
    rows = {row[0]: row[1:] for row in tx.each(_LEASE, [*wanted.values()])}
    found = {row[0]: row[2:] for row in tx.each(_MESSAGE, [(id_, row[10] or row[1]) for id_, row in rows.items()])}
    _tell(tx, [(ConversationId(id_), row[1], Fate.SENDING, "") for id_, row in rows.items() if row[9] == "send"])
    leased = {ConversationId(id_): _leased(ConversationId(id_), row, found[id_], now_us) for id_, row in rows.items()}
    _add_what_is_beside(tx, leased)
    given: list[Leased | None] = []
    for id_, _, fence, monotonic in asked:
        one = leased.pop(id_, None)
        if one is not None:
            if one.files:
                tx.run(_EXTEND, row=one.row, until_us=until_us + int((FILES_SECONDS - SEND_SECONDS) * 1_000_000))
            one = replace(one, fence=fence, lease_ends=monotonic + LEASE_SECONDS - SEND_SECONDS + one.send_seconds)
        given.append(one)
    return given


def _add_what_is_beside(tx: Tx, leased: dict[ConversationId, Leased]) -> None:
    """Look up files, what is answered and what is changed: most messages have none of it, and then nothing is asked."""
    wanted = {
        (id_, seq)
        for id_, one in leased.items()
        for seq in (one.target_seq, one.extra.quote.seq if one.extra.quote is not None else None)
        if seq
    }
    names: dict[tuple[str, int], str] = {}
    for id_, seq, kind, client_id, sent, external_id in tx.each(_SENT_AS, [*wanted]) if wanted else ():
        if kind == MessageKind.SAID.value:  # a note has no name where it never was
            names[id_, seq] = (client_id if sent is None else external_id) or ""
    ids = {file.id for one in leased.values() for file in one.extra.files if file.state is FileState.READY}
    stored = {row[0]: row[1:] for row in tx.each(_FILES, [(id_,) for id_ in ids])} if ids else {}
    for id_, one in leased.items():
        if one.target_seq is None and not one.extra:
            continue
        quote = one.extra.quote
        leased[id_] = replace(
            one,
            sent_as=names.get((id_, one.target_seq or 0), ""),
            answers=names.get((id_, quote.seq), "") if quote is not None else "",
            files=tuple(
                OutFile(sha256, FileKind(kind), name, media_type, size)
                for file in one.extra.files
                if file.id in stored
                for sha256, kind, name, media_type, size in (stored[file.id],)
            ),
        )


def _leased(conversation_id: ConversationId, row: Row, message: Row, now_us: int) -> Leased:
    id_, seq, channel_id, message_id, attempt, created_us, buttons, more, after, does, target_seq = row
    text, operator_id, at_us, extra, key = message
    return Leased(
        id_,
        conversation_id,
        seq,
        channel_id,
        message_id,
        attempt,
        0,
        key,
        text,
        operator_id,
        at_us,
        (now_us - created_us) / 1_000_000,
        0.0,
        bool(more),
        _read_buttons(buttons) if buttons is not None else (),
        after,
        does,
        target_seq,
        extras.read(extra),
    )


class End(NamedTuple):
    """What became of a lease. *sent_as*: what the provider calls what was sent, each name of its own."""

    leased: Leased
    state: str
    external_id: str | None = None
    problem: str = ""
    after_seconds: float = 0.0
    sent_as: tuple[str, ...] = ()
    unreachable: str = ""
    """Why the customer takes nothing more."""


def mark(
    tx: Tx, leased: Leased, state: str, *, external_id: str | None = None, problem: str = "", after_seconds: float = 0.0
) -> bool:
    """End a lease with what became of the row; False when the lease was no longer ours, and then nothing changes."""
    return mark_each(tx, [End(leased, state, external_id, problem, after_seconds)])[0]


def mark_each(tx: Tx, ends: Sequence[End]) -> list[bool]:
    """End many leases, as `mark` does; of two ends of one lease the first counts."""
    locks.conversations(tx, (leased.conversation_id for leased, *_ in ends))
    wanted = {
        (leased.row, leased.attempt, leased.fence): (
            state,
            external_id,
            problem[:1_000],
            to_us(tx.now + timedelta(seconds=seconds)),
        )
        for leased, state, external_id, problem, seconds, *_ in reversed(ends)
    }
    changed = set(tx.each(_MARK, [(*key, *values) for key, values in wanted.items()]))
    ours: list[bool] = []
    told: list[tuple[ConversationId, int, Fate, str]] = []
    names: list[Row] = []
    for end in ends:
        leased, state = end.leased, end.state
        key = (leased.row, leased.attempt, leased.fence)
        ours.append(key in changed)
        if key not in changed:
            continue
        changed.remove(key)
        if leased.does == "send":
            told.append((leased.conversation_id, leased.seq, Fate(state), end.problem))
            names += [(leased.channel_id, name, leased.conversation_id, leased.seq) for name in end.sent_as]
        elif state != "queued":
            _tell_change(tx, leased, end.problem)
        if end.unreachable:
            _tell_unreachable(tx, leased.conversation_id, end.unreachable)
        if leased.more or state == "queued":
            tx.ring(Bell.OUTBOX, leased.conversation_id)
    tx.each(_REFS, names)
    _tell(tx, told)
    return ours


def _tell_change(tx: Tx, leased: Leased, problem: str) -> None:
    """Write beside a message that was changed why its customer still has it as it was, or that they have it as it is."""
    tx.run(_PROBLEM, conversation=leased.conversation_id, number=leased.target_seq, why=problem[:1_000])
    session = tx.one(_SESSION_OF, conversation=leased.conversation_id, number=leased.target_seq)
    journal.append(
        tx,
        "changed",
        '{"what":"sent"}',
        conversation_id=leased.conversation_id,
        seq=journal.next_seq(tx, leased.conversation_id),
        session_id=session[0] if session is not None else None,
        message_seq=leased.target_seq,
    )


def _tell_unreachable(tx: Tx, conversation_id: ConversationId, why: str) -> None:
    if tx.run(_UNREACHABLE, conversation=conversation_id, why=why):
        (contact,) = tx.one(_CONTACT_OF, conversation=conversation_id) or ("",)
        body = msgspec.json.encode({"contact": contact, "unreachable": why}).decode()
        journal.append(tx, "contact", body, conversation_id=conversation_id, seq=journal.next_seq(tx, conversation_id))


def recover(tx: Tx, fence: int, idempotent: Callable[[ChannelId], bool]) -> int:
    """Settle rows that a dead process left `sending`, or whose end this one could not write; return how many."""
    orphans = orphaned(tx, fence, idempotent)
    ends: list[End] = []
    for id_, conversation_id, seq, channel_id, message_id, attempt, old_fence, does, target_seq in orphans:
        leased = Leased(
            *(id_, conversation_id, seq, channel_id, message_id, attempt, old_fence, "", "", None, 0, 0.0, 0.0),
            more=True,
            does=does,
            target_seq=target_seq,
        )
        if does != "send" or idempotent(channel_id):
            ends.append(End(leased, "queued"))
        else:
            problem = "the program was stopped while sending; the customer may or may not have it"
            ends.append(End(leased, "unconfirmed", problem=problem))
    for (leased, outcome, *_), ours in zip(ends, mark_each(tx, ends), strict=True):
        if ours:
            tx.count(partial(_recovered, leased.conversation_id, outcome))
    return len(orphans)


def _recovered(conversation_id: ConversationId, outcome: str) -> None:
    metrics.recovered_sends_total.labels(outcome).inc()
    log.warning("send_recovered", conversation_id=conversation_id, outcome=outcome)


def orphaned(tx: Tx, fence: int, idempotent: Callable[[ChannelId], bool]) -> list[Row]:
    """Return rows `sending` that nobody sends any more: their lease has ended, or they are of a process before this one.

    Where several processes send, a lower fence is no dead one's. A send begins only while the whole of it fits into its lease, so
    none is under way when that has ended. What is sent twice without harm need not wait for that: whoever has said nothing for long is
    taken for dead, and should it wake, the far side knows its message.
    """
    expired = tx.now - timedelta(seconds=GRACE_SECONDS)
    found = tx.all(_ORPHANS, my_fence=0 if tx.shared else fence, expired_us=to_us(expired))
    if tx.shared:
        known = {row[0] for row in found}
        found += [row for row in tx.all(_OF_THE_DEAD) if row[0] not in known and idempotent(row[3])]
    return found


def due(tx: Tx) -> list[ConversationId]:
    """Return conversations with something to send now: what the sweep wakes."""
    now_us = to_us(tx.now)
    rows = (*tx.all(_DUE, now_us=now_us), *tx.all(_DUE_BY_ANOTHER_CLOCK, now_us=now_us))
    return [ConversationId(row[0]) for row in rows]


def _tell(tx: Tx, told: Sequence[tuple[ConversationId, int, Fate, str]]) -> None:
    """Tell the fates of messages, of each conversation's one."""
    changed = {id_ for (id_,) in tx.each(_FATE, [(id_, seq, fate.value, problem[:1_000]) for id_, seq, fate, problem in told])}
    next_seq = journal.next_seq_each(tx, changed)
    for conversation_id, seq, fate, problem in told:
        if conversation_id in changed:
            body = msgspec.json.encode({"fate": fate.value, "problem": problem[:1_000]}).decode()
            journal.append(tx, "fate", body, conversation_id=conversation_id, seq=next_seq[conversation_id], message_seq=seq)


def refers(capabilities: Capabilities) -> bool:
    """Return whether a channel's messages are spoken of by their names: answered, changed, taken back."""
    return capabilities.quotes or capabilities.edits or capabilities.deletes


async def _doing(channel: Channel, leased: Leased, outbound: Outbound) -> str:
    """Do what the row asks for, and return the provider's id of it."""
    if leased.does == "send":
        return await channel.send(outbound)
    if not isinstance(channel, EditsMessages):
        raise Rejected("what was sent cannot be changed in this channel")
    if not leased.sent_as:
        raise Rejected("what was to be changed is not known to have been sent")
    if leased.does == "reword":
        await channel.reword(outbound, leased.sent_as)
    else:
        await channel.take_back(leased.key, leased.sent_as)
    return ""


async def unlimited(bucket: str, per_second: float, burst: float) -> float:
    """Return 0: nobody else sends, and nothing is limited."""
    return 0.0


class Sender:
    """Sends what is queued of one conversation at a time; `step` is what the loop and the simulation both run."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        channel: Callable[[ChannelId], Channel | None],
        sender_name: Callable[[ChannelId, str | None], str],
        *,
        owner: str,
        fence: int,
        within: Callable[[Awaitable[str], float], Awaitable[str]] = asyncio.wait_for,
        take: Callable[[str, float, float], Awaitable[float]] = unlimited,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_access_lost: Callable[[ChannelId, AccessLost], None] = lambda *_: None,
    ) -> None:
        """*take* is `Transport.take`; *on_access_lost* is called with a channel that its provider has shut out."""
        self._store = store
        self._clock = clock
        self._within = within
        self._take = take
        self._sleep = sleep
        self._channel = channel
        self._sender_name = sender_name
        self._on_access_lost = on_access_lost
        self._owner = owner
        self._fence = fence
        self._turns: dict[ChannelId, float] = {}
        """When the next of those that wait for a channel's rate has its turn, monotonic."""
        self._turn_of: dict[str, float] = {}
        """When a row has its own."""
        self._failures: dict[str, int] = {}
        """How often a row has failed here. A process that begins anew tries sooner."""

    async def step(self, conversation_id: ConversationId) -> bool:
        """Send the conversation's next row; False when there is none to send now."""
        begun = tracing.begin()
        leased = await self._store.write_each(lease_each, (conversation_id, self._owner, self._fence, self._clock.monotonic()))
        if leased is None:
            return False
        channel = self._channel(leased.channel_id)
        if channel is None:
            if await self._store.read(lambda tx: tx.one(_ACTIVE, channel=leased.channel_id)):
                # Another process has switched it on, and this one has not heard of that yet.
                outcome = await self._later(leased, Unavailable("its channel is not known yet", retry_after=UNHEARD_SECONDS), "")
            else:
                outcome = await self._end(leased, "failed", problem="its channel has been switched off")
            metrics.sent_total.labels(leased.channel_id, "unknown", outcome).inc()
            return True
        outcome = await self._send(leased, channel)
        metrics.sent_total.labels(channel.slug, channel.kind, outcome).inc()
        if begun:
            tracing.hop("send", leased.conversation_id, leased.seq, begun, leased.message_id, kind=channel.kind, outcome=outcome)
        return True

    async def _send(self, leased: Leased, channel: Channel) -> str:
        """Send what was leased and write down what became of it; return that in a word."""
        if wait_seconds := await self._pace(leased, channel.capabilities.rates):
            await self._end(leased, "queued", after_seconds=wait_seconds)
            return "paced"
        if self._clock.monotonic() > leased.lease_ends - leased.send_seconds:
            # This process slept (a suspended machine): another may hold the lease already, so nothing leaves from here. If none
            # does, the row is as good as never leased; left `sending`, it would be put before a human without any doubt.
            await self._end(leased, "queued")
            return "lease_lost"
        outbound = Outbound(
            conversation_id=leased.conversation_id,
            key=leased.key,
            message_id=leased.message_id,
            token=leased.row,
            seq=leased.seq,
            text=leased.text,
            sender_name=self._sender_name(leased.channel_id, leased.operator_id),
            from_operator=leased.operator_id is not None,
            at_ms=leased.at_us // 1000,
            buttons=leased.buttons if channel.capabilities.buttons else (),
            after=leased.after,
            files=leased.files,
            answers=leased.answers if channel.capabilities.quotes else "",
            asks_phone=leased.extra.asks_phone and channel.capabilities.asks_phone,
        )
        try:
            external_id = await self._within(_doing(channel, leased, outbound), leased.send_seconds)
        except Unreachable as error:
            return await self._end(leased, "failed", problem=str(error), unreachable=error.code)
        except Rejected as error:
            return await self._end(leased, "failed", problem=str(error))
        except AccessLost as error:
            self._on_access_lost(leased.channel_id, error)
            return await self._later(leased, error, str(error))
        except Unavailable as error:
            return await self._later(leased, error, str(error))
        except (Uncertain, TimeoutError) as error:
            return await self._doubt(leased, channel, str(error) or "the channel did not answer in time")
        except Exception as error:  # an adapter's fault: what left is unknown
            metrics.unexpected_errors_total.labels("sender").inc()
            log.exception("send_failed_unexpectedly", channel=channel.kind, conversation_id=leased.conversation_id)
            return await self._doubt(leased, channel, f"the channel failed: {type(error).__name__}")
        names = tuple(external_id.split()) if refers(channel.capabilities) and leased.does == "send" else ()
        return await self._end(leased, "sent", external_id=external_id, sent_as=names)

    async def _pace(self, leased: Leased, rates: Sequence[Rate]) -> float:
        """Wait a little for the provider's rate; return 0, or in how many seconds to come back when that is longer.

        Of all that wait for a channel's rate each has its own turn: those whose turn is far go back at once, so that a channel with a
        long queue keeps no other one waiting, and come again one by one.
        """
        waited = 0.0
        for rate in rates:
            of_channel = rate.of == "channel"
            bucket = leased.channel_id if of_channel else f"{leased.channel_id}:{leased.key}"
            while wait_seconds := await self._take(bucket, rate.per_second, rate.burst):
                if of_channel:
                    wait_seconds = self._turn(leased, wait_seconds, rate)
                waited += wait_seconds
                if waited > PACE_SECONDS:
                    return wait_seconds
                await self._sleep(wait_seconds)
        self._turn_of.pop(leased.row, None)
        return 0.0

    def _turn(self, leased: Leased, wait_seconds: float, rate: Rate) -> float:
        """Return in how many seconds the row has its turn: its channel's next, once for all; then what is free next is its."""
        now = self._clock.monotonic()
        turn = self._turn_of.get(leased.row)
        if turn is None:
            turn = max(self._turns.get(leased.channel_id, 0.0), now + wait_seconds)
            self._turns[leased.channel_id] = turn + 1.0 / rate.per_second
            if len(self._turn_of) >= TURNS_KEPT:  # others have sent what came back to them
                self._turn_of = {row: due for row, due in self._turn_of.items() if due > now}
            self._turn_of[leased.row] = turn
        return max(turn - now, wait_seconds)

    async def _doubt(self, leased: Leased, channel: Channel, problem: str) -> str:
        """Send again where the far side takes our key for one message; elsewhere a human decides."""
        if channel.capabilities.idempotent or leased.does != "send":
            return await self._later(leased, None, problem)
        return await self._end(leased, "unconfirmed", problem=problem)

    async def _later(self, leased: Leased, error: Unavailable | None, problem: str) -> str:
        if leased.waiting_seconds > GIVE_UP_SECONDS:
            return await self._end(leased, "failed", problem=f"not sent within a day: {problem}")
        seconds = error.retry_after if error is not None else None
        if seconds is None:
            # Counted here and not by the row's leases: of those some only waited for the provider's rate.
            failures = self._failures.pop(leased.row, 0) + 1
            self._failures[leased.row] = failures
            if len(self._failures) > FAILURES_KEPT:
                del self._failures[next(iter(self._failures))]
            seconds = min(BACKOFF_MAX_SECONDS, 2.0 ** min(failures, 10))  # of thousands of failures 2 has no power
        await self._end(leased, "queued", problem=problem, after_seconds=seconds)
        return "backed_off"

    async def _end(
        self,
        leased: Leased,
        state: str,
        *,
        external_id: str | None = None,
        problem: str = "",
        after_seconds: float = 0.0,
        sent_as: tuple[str, ...] = (),
        unreachable: str = "",
    ) -> str:
        if state != "queued":
            self._failures.pop(leased.row, None)
        refused = 0
        while True:
            try:
                end = End(leased, state, external_id, problem, after_seconds, sent_as, unreachable)
                ended = await self._store.write_each(mark_each, end)
            except (StoreBusy, StoreFull) as error:
                # Nobody else knows what became of it: unwritten it is settled by a guess, and what stands behind it waits till then.
                refused += 1
                if refused == MARK_TRIES or self._clock.monotonic() > leased.lease_ends:
                    raise
                log.warning("send_not_written_down", conversation_id=leased.conversation_id, outcome=state, problem=str(error))
                await self._sleep(MARK_RETRY_SECONDS)
            else:
                return state if ended else "lease_lost"


class SenderLoop:
    """Steps every conversation that has something to send, one at a time each, many at once."""

    def __init__(
        self, sender: Sender, store: Store, transport: Transport, *, fence: int, idempotent: Callable[[ChannelId], bool]
    ) -> None:
        self._sender = sender
        self._store = store
        self._transport = transport
        self._fence = fence
        self._idempotent = idempotent
        self._waiting: dict[ConversationId, None] = {}
        self._busy: dict[ConversationId, asyncio.Task[None]] = {}
        self._rung = asyncio.Event()
        self._stopping = False

    def wake(self, conversation_id: str) -> None:
        """Have the conversation stepped soon; ringing twice is ringing once."""
        self._waiting[ConversationId(conversation_id)] = None
        self._rung.set()

    async def run(self) -> None:
        """Go on until cancelled; after `drain` nothing is begun."""
        stop = self._transport.listen(Bell.OUTBOX, self.wake)
        try:
            # Apart: who waits to be sent does not wait for the looking, however slow the store's reading is.
            await until_one_fails(self._serve(), self._sweep())
        finally:
            stop()

    async def drain(self, seconds: float) -> bool:
        """Begin no new send and wait for those under way: a stop leaves nothing in doubt. Return whether all have ended."""
        self._stopping = True
        self._waiting.clear()
        if self._busy:
            await asyncio.wait(list(self._busy.values()), timeout=seconds)
        return not self._busy

    async def _serve(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            self._start()

    async def _sweep(self) -> None:
        while not self._stopping:
            try:
                if await self._store.read(lambda tx: orphaned(tx, self._fence, self._idempotent)):
                    await self._store.write(lambda tx: recover(tx, self._fence, self._idempotent))
                for conversation_id in await self._store.read(due):
                    self.wake(conversation_id)
            except StoreError as error:
                log.warning("sender_waits_for_store", problem=str(error))
            except Exception:
                metrics.unexpected_errors_total.labels("sender").inc()
                log.exception("sender_failed")
            await asyncio.sleep(SWEEP_SECONDS)

    def _start(self) -> None:
        if self._stopping:
            return
        for conversation_id in list(self._waiting):
            if len(self._busy) >= AT_ONCE:
                return
            if conversation_id not in self._busy:
                del self._waiting[conversation_id]
                self._busy[conversation_id] = asyncio.get_running_loop().create_task(self._step(conversation_id))

    async def _step(self, conversation_id: ConversationId) -> None:
        try:
            await self._sender.step(conversation_id)  # what stands behind it has been rung for
        except StoreError as error:
            log.warning("send_refused_by_store", conversation_id=conversation_id, problem=str(error))
        except Exception:
            metrics.unexpected_errors_total.labels("sender").inc()
            log.exception("send_failed", conversation_id=conversation_id)
        finally:
            del self._busy[conversation_id]
            if self._waiting:
                self._rung.set()
