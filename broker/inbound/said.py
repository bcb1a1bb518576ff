"""Messages once they are there: by which name the provider knows them, and what becomes of them afterwards.

A customer words a message anew, takes it back, reacts to it; an album comes one picture at a time. Nothing of what was said before is
thrown away: earlier words stay with the message, and what was taken back is marked so. Every change is told by a row `changed` of the
journal, which names the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import bindparam, select, update

from broker import extras
from broker.domain import Author, ChannelId, ConversationId, Fate, MessageKind, to_us
from broker.extras import Attachment, Extra, FileState, Quote
from broker.ports import Bell, Tx
from broker.store import journal
from broker.store.sql import cols, insert_new, insert_row, sql
from broker.store.tables import fetches, message_refs, messages

_REF = insert_new(message_refs, "channel_id ref conversation_id seq", "channel_id ref")
_BY_REF = sql(
    select(*cols(messages, "conversation_id seq session_id kind author operator_id fate text extra"))
    .join_from(
        message_refs,
        messages,
        (messages.c.conversation_id == message_refs.c.conversation_id) & (messages.c.seq == message_refs.c.seq),
    )
    .where(message_refs.c.channel_id == bindparam("channel"), message_refs.c.ref == bindparam("named"))
)
_BY_SEQ = sql(
    select(*cols(messages, "conversation_id seq session_id kind author operator_id fate text extra")).where(
        messages.c.conversation_id == bindparam("conversation"), messages.c.seq == bindparam("number")
    )
)
_REWRITE = sql(
    update(messages)
    .values(text=bindparam("new_text"), extra=bindparam("new_extra"))
    .where(messages.c.conversation_id == bindparam("conversation"), messages.c.seq == bindparam("number"))
)
_FETCH = insert_row(fetches, "id channel_id conversation_id seq no ref due_us created_us")


@dataclass(frozen=True, slots=True)
class Said:
    """A message as it stands."""

    conversation_id: ConversationId
    seq: int
    session_id: str | None
    kind: str
    author: str
    operator_id: str | None
    fate: str
    text: str
    extra: Extra

    @property
    def ours(self) -> bool:
        """Return whether an operator has sent it from here: what can be changed."""
        return self.author == Author.OPERATOR.value and self.kind == MessageKind.SAID.value and not self.extra.elsewhere

    @property
    def was_not_sent(self) -> bool:
        """Return whether nobody has it, and nobody will: it is said again instead of changed."""
        return self.fate in (Fate.FAILED.value, Fate.CANCELLED.value)


def refer(tx: Tx, channel_id: ChannelId, ref: str, conversation_id: str, seq: int) -> None:
    """Let the provider's name *ref* mean the message; the first meaning of a name stays."""
    tx.run(_REF, channel_id=channel_id, ref=ref, conversation_id=conversation_id, seq=seq)


def named(tx: Tx, channel_id: ChannelId, ref: str) -> Said | None:
    """Return the message that the provider calls *ref*."""
    tx.settle()
    row = tx.one(_BY_REF, channel=channel_id, named=ref)
    return _said(*row) if row else None


def at(tx: Tx, conversation_id: str, seq: int) -> Said | None:
    """Return the message *seq* of the conversation."""
    tx.settle()
    row = tx.one(_BY_SEQ, conversation=conversation_id, number=seq)
    return _said(*row) if row else None


def _said(conversation_id: str, seq: int, session_id: str | None, kind: str, author: str, *rest: Any) -> Said:
    operator_id, fate, text, extra = rest
    return Said(ConversationId(conversation_id), seq, session_id, kind, author, operator_id, fate, text, extras.read(extra))


def quoting(tx: Tx, channel_id: ChannelId, conversation_id: str, extra: Extra, answers: str) -> Extra:
    """Return *extra* with what the message answers: the message called *answers*, when it is of the conversation."""
    found = named(tx, channel_id, answers) if answers else None
    if found is None or found.conversation_id != conversation_id:
        return extra
    given = extra.quote.text if extra.quote is not None else ""
    return replace(extra, quote=Quote(found.seq, given or extras.cut(found.text, extras.QUOTED_MAX)))


def quote_of(tx: Tx, conversation_id: str, seq: int) -> Quote | None:
    """Return the message *seq* of the conversation as another shows it that answers it."""
    found = at(tx, conversation_id, seq)
    return Quote(seq, extras.cut(found.text, extras.QUOTED_MAX)) if found is not None else None


def rewrite(
    tx: Tx,
    said: Said,
    text: str,
    extra: Extra,
    what: str,
    *,
    input_seq: int | None = None,
    journal_seq: int | None = None,
    by: str = "",
) -> None:
    """Let the message say this, and tell what has changed in a word; *journal_seq*: the row's number, taken already; *by*: who did it."""
    tx.run(_REWRITE, conversation=said.conversation_id, number=said.seq, new_text=text, new_extra=extras.written(extra))
    journal.append(
        tx,
        "changed",
        msgspec.json.encode({"what": what} | ({"by": by} if by else {})).decode(),
        conversation_id=said.conversation_id,
        seq=journal.next_seq(tx, said.conversation_id) if journal_seq is None else journal_seq,
        session_id=said.session_id,
        input_seq=input_seq,
        message_seq=said.seq,
    )


def await_files(
    tx: Tx, channel_id: ChannelId, conversation_id: str, seq: int, files: tuple[Attachment, ...], first: int = 0
) -> None:
    """Have what is awaited of the message's *files*, the first of them its file *first*, fetched from the provider."""
    asked = [(no, file.ref) for no, file in enumerate(files, first) if file.state is FileState.AWAITED and file.ref]
    for no, ref in asked:
        _fetch(tx, channel_id, conversation_id, seq, no, ref)


def await_profile(tx: Tx, channel_id: ChannelId, conversation_id: str, ref: str) -> None:
    """Have the provider asked who the customer of the conversation is, whom it calls *ref*."""
    _fetch(tx, channel_id, conversation_id, None, 0, ref)


def _fetch(tx: Tx, channel_id: ChannelId, conversation_id: str, seq: int | None, no: int, ref: str) -> None:
    now_us = to_us(tx.now)
    place = {"channel_id": channel_id, "conversation_id": conversation_id, "seq": seq, "no": no}
    tx.run(_FETCH, id=tx.new_id(), **place, ref=ref, due_us=now_us, created_us=now_us)
    tx.ring(Bell.FETCH)
