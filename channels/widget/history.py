"""What a visitor may see of their conversation: every customer-facing read goes through here, and a note is never among it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import bindparam, select

from broker import outbound, ports
from broker.domain import Author, ChannelId, ConversationId, Fate, LineId, MessageKind
from broker.ports import Row, Tx
from broker.store import line_state
from broker.store.sql import among, cols, over_rows, sql
from broker.store.tables import conversations, inputs, messages, sessions
from channels.widget.frames import Button, Shown

PAGE = 100

_CONVERSATION = sql(
    select(*cols(conversations, "id last_seq told_name told"), *cols(sessions, "status operator_id"))
    .select_from(conversations)
    .outerjoin(sessions, sessions.c.id == conversations.c.session_id)
    .where(conversations.c.channel_id == bindparam("channel"), conversations.c.key == bindparam("key"))
)
_STORED = sql(select(inputs.c.raw).where(inputs.c.origin == bindparam("channel"), inputs.c.external_id == bindparam("external")))
_SAID = select(*cols(messages, "seq author text at_us operator_id client_id")).where(
    messages.c.conversation_id == bindparam("conversation"), messages.c.kind == MessageKind.SAID.value
)
_SINCE = sql(_SAID.where(messages.c.seq > bindparam("since")).order_by(messages.c.seq.desc()).limit(PAGE + 1))
_SINCE_WITH_FATE = sql(
    _SAID.add_columns(messages.c.fate).where(messages.c.seq > bindparam("since")).order_by(messages.c.seq.desc()).limit(PAGE)
)
_NEWEST = over_rows(select(*cols(conversations, "id last_seq")).where(among(conversations.c.id)), [conversations.c.id])
_BEFORE = sql(_SAID.where(messages.c.seq < bindparam("before")).order_by(messages.c.seq.desc()).limit(PAGE + 1))
_STATES = over_rows(
    select(conversations.c.id, sessions.c.status, sessions.c.operator_id)
    .join_from(conversations, sessions, sessions.c.id == conversations.c.session_id)
    .where(among(conversations.c.id)),
    [conversations.c.id],
)

Name = Callable[[str | None], str]
"""Operator id (None: the line) -> the name the customer may see."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Where a visitor's conversation stands."""

    conversation_id: ConversationId | None
    known: frozenset[str]
    """Which of name, email, phone they gave us here; what others gave of the same contact is not theirs to learn of."""
    state: str
    operator: str
    messages: tuple[Shown, ...]
    upto: int
    """Where the conversation ended when it was read."""
    gap: bool
    more: bool


@dataclass(frozen=True, slots=True)
class Hours:
    """Whether a line is open, and when it opens next, milliseconds since 1970; 0: it is open, or never opens."""

    open: bool
    opens_at_ms: int


def stored(tx: Tx, channel_id: ChannelId, external_id: str) -> bytes | None:
    """Return what came from a visitor under *external_id*, raw; None: nothing did."""
    row = tx.one(_STORED, channel=channel_id, external=external_id)
    return bytes(row[0]) if row is not None else None


def hours(tx: Tx, line_id: LineId) -> Hours:
    """Return how the line stands now."""
    state = line_state.of_line(tx, line_id)
    return Hours(state.open, (state.opens_at_us or 0) // 1000)


def conversation_of(tx: Tx, channel_id: ChannelId, key: str) -> ConversationId | None:
    """Return the visitor's conversation, when they have one."""
    row = tx.one(_CONVERSATION, channel=channel_id, key=key)
    return row[0] if row is not None else None


def visit(tx: Tx, channel_id: ChannelId, key: str, since: int, name: Name) -> Visit:
    """Return the visitor's conversation and what came after *since*, the newest page of it."""
    row = tx.one(_CONVERSATION, channel=channel_id, key=key)
    if row is None:
        return Visit(None, frozenset(), "none", "", (), 0, gap=since > 0, more=False)
    conversation_id, upto, told_name, told, status, operator_id = row
    known = {*told.split(), *(["name"] if told_name else [])}
    newest = tx.all(_SINCE, conversation=conversation_id, since=since)
    missed = len(newest) > PAGE
    shown = _shown(newest[:PAGE], name, _buttons(tx, conversation_id, newest))
    more = missed or (since > 0 if not shown else bool(tx.all(_BEFORE, conversation=conversation_id, before=shown[0].seq)[:1]))
    state, operator = _state(status, operator_id, name)
    return Visit(conversation_id, frozenset(known), state, operator, shown, upto, gap=missed and since > 0, more=more)


@dataclass(frozen=True, slots=True)
class Missed:
    """What a conversation has that its visitor may not have been shown."""

    upto: int
    """Up to where it was looked at: what stands there or below is in *messages*, or was shown; lower while something is on its way."""
    messages: tuple[Shown, ...]


def missed(tx: Tx, asked: Mapping[ConversationId, tuple[int, int, Name]]) -> dict[ConversationId, Missed]:
    """Return of each conversation (looked at up to, show what is behind, names) the newest page of what is to be shown.

    Of one that has nothing new since it was looked at, nothing. What has not left yet is not there: whoever sends it shows it.
    """
    found: dict[ConversationId, Missed] = {}
    newest: dict[ConversationId, int] = dict(tx.each(_NEWEST, [(conversation,) for conversation in asked]))
    for conversation, (looked, since, name) in asked.items():
        last = newest.get(conversation, 0)
        if last <= looked:
            continue
        rows = tx.all(_SINCE_WITH_FATE, conversation=conversation, since=since)
        there = [row[:-1] for row in rows if row[-1] != Fate.QUEUED]
        if len(there) < len(rows):
            last = min(row[0] for row in rows if row[-1] == Fate.QUEUED) - 1
        found[conversation] = Missed(last, _shown(there, name, _buttons(tx, conversation, there)))
    return found


def before(tx: Tx, conversation_id: ConversationId, seq: int, name: Name) -> tuple[tuple[Shown, ...], bool]:
    """Return the page of history before *seq*, oldest first, and whether there is more before it."""
    rows = tx.all(_BEFORE, conversation=conversation_id, before=seq)
    return _shown(rows[:PAGE], name), len(rows) > PAGE


def states(tx: Tx, asked: Mapping[ConversationId, Name]) -> dict[ConversationId, tuple[str, str]]:
    """Return where the sessions of the conversations stand (none, waiting, active, closed) and who answers."""
    found = {row[0]: (row[1], row[2]) for row in tx.each(_STATES, [(conversation,) for conversation in asked])}
    return {conversation: _state(*found.get(conversation, (None, None)), name) for conversation, name in asked.items()}


def _state(status: str | None, operator_id: str | None, name: Name) -> tuple[str, str]:
    match status:
        case None:
            return "none", ""
        case "active":
            return "active", name(operator_id)
        case "closed":
            return "closed", ""
        case _:
            return "waiting", ""


def _buttons(tx: Tx, conversation_id: ConversationId, newest_first: list[Row]) -> tuple[Button, ...]:
    """Return the buttons of the newest message: what stands above it is answered, or past."""
    if not newest_first or newest_first[0][1] != Author.SYSTEM.value:
        return ()
    return buttons(outbound.buttons_of(tx, conversation_id, newest_first[0][0]))


def buttons(of: Iterable[ports.Button]) -> tuple[Button, ...]:
    """Return a message's buttons as its visitor may see them."""
    return tuple(Button(one.label, one.value) for one in of)


def _shown(newest_first: list[Row], name: Name, buttons_of_newest: tuple[Button, ...] = ()) -> tuple[Shown, ...]:
    oldest_first = [shown(*row, name=name) for row in reversed(newest_first)]
    if buttons_of_newest:
        oldest_first[-1] = msgspec.structs.replace(oldest_first[-1], buttons=buttons_of_newest)
    return tuple(oldest_first)


def shown(seq: int, author: str, text: str, at_us: int, operator_id: str | None, client_id: str, *, name: Name) -> Shown:
    """Return a message as its visitor may see it."""
    at = at_us // 1000
    if author == Author.CONTACT.value:
        return Shown(seq, "me", text, at, id=client_id)
    if author == Author.SYSTEM.value:
        return Shown(seq, "system", text, at, name=name(None))
    return Shown(seq, "operator", text, at, name=name(operator_id))
