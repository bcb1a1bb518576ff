"""Storing what comes in (see the package's docstring for the promises)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, delete, select, update

from broker import extras, metrics, tracing
from broker.domain import (
    NAME_MAX,
    Author,
    ChannelId,
    ContactId,
    ConversationId,
    Fate,
    LineSettings,
    MessageId,
    MessageKind,
    PointKind,
    Rating,
    SessionId,
    Source,
    from_us,
    to_us,
)
from broker.errors import BadInput, NotFound
from broker.events import (
    AnsweredElsewhere,
    AnsweredOutside,
    AsksCallback,
    Changed,
    Codec,
    ContactDetails,
    ContactMessage,
    Deleted,
    Event,
    Incoming,
    Moved,
    Pressed,
    Rang,
    Rated,
    Reach,
    Reacted,
    Receipt,
    Saw,
    Told,
    Wrote,
)
from broker.extras import Extra
from broker.inbound import points, said
from broker.inbound.changes import More, album_ref, as_it_is_here, changes_of
from broker.inbound.contacts import Completed, complete, recognise
from broker.inbound.points import Evidence, Point
from broker.ports import Bell, Channel, Raw, Row, Tx
from broker.store import journal
from broker.store.sql import among, cols, insert_new, insert_row, insert_rows, over_rows, sql, update_rows, upsert
from broker.store.tables import channel_cursors, conversations, inputs, message_refs, messages

_FIND = sql(
    select(*cols(conversations, "id contact_id session_id last_seq told_name told claimed unreachable"))
    .where(conversations.c.channel_id == bindparam("channel"), conversations.c.key == bindparam("key"))
    .with_for_update(key_share=True)
)
_WHERE = sql(select(*cols(conversations, "channel_id key")).where(conversations.c.id == bindparam("conversation")))
_FIND_BY_ID = sql(
    select(*cols(conversations, "id contact_id session_id last_seq told_name told claimed unreachable"))
    .where(conversations.c.id == bindparam("conversation"))
    .with_for_update(key_share=True)
)
_LOCK = sql(
    select(*cols(conversations, "id contact_id session_id last_seq"))
    .where(conversations.c.id == bindparam("conversation"))
    .with_for_update(key_share=True)
)
_CONVERSATION = insert_new(conversations, "id channel_id key contact_id source claimed created_us", "channel_id key")
_INPUT = insert_new(inputs, "id origin external_id conversation_id seq event raw at_us dead", "origin external_id")
_STORED = sql(
    select(*cols(inputs, "conversation_id seq at_us dead raw")).where(
        inputs.c.origin == bindparam("origin"), inputs.c.external_id == bindparam("external")
    )
)
_ADVANCE = sql(
    update(conversations)
    .values(last_seq=bindparam("seq"), input_seq=bindparam("seq"))
    .where(conversations.c.id == bindparam("conversation"))
)
_SOURCE = sql(update(conversations).values(source=bindparam("from_where")).where(conversations.c.id == bindparam("conversation")))
_TOLD = sql(
    update(conversations)
    .values(told_name=bindparam("new_name"), told=bindparam("kinds"))
    .where(conversations.c.id == bindparam("conversation"))
)
_REACH = sql(update(conversations).values(unreachable=bindparam("why")).where(conversations.c.id == bindparam("conversation")))
_PROVED = sql(update(conversations).values(claimed=0).where(conversations.c.id == bindparam("conversation")))
_TAKEN = sql(
    select(conversations.c.id).where(conversations.c.channel_id == bindparam("channel"), conversations.c.key == bindparam("key"))
)
_RENAME = sql(update(conversations).values(key=bindparam("new_key")).where(conversations.c.id == bindparam("conversation")))
_MESSAGE = insert_row(messages, "id conversation_id seq session_id kind author text client_id fate at_us extra")
_CURSOR = upsert(channel_cursors, "channel_id cursor", "channel_id", "cursor")
_BURY = sql(
    update(inputs)
    .values(dead=bindparam("why"))
    .where(inputs.c.conversation_id == bindparam("conversation"), inputs.c.seq == bindparam("seq"))
)
_REPEATED = over_rows(
    select(inputs.c.external_id).where(among(inputs.c.origin, inputs.c.external_id)), cols(inputs, "origin external_id")
)
_UNBURY = sql(
    delete(inputs).where(
        inputs.c.origin == bindparam("origin"),
        inputs.c.external_id == bindparam("external"),
        inputs.c.dead.is_not(None),
        inputs.c.conversation_id.is_(None),
    )
)
_FIND_EACH = over_rows(
    select(*cols(conversations, "channel_id key id contact_id session_id last_seq told_name told claimed unreachable"))
    .where(among(conversations.c.channel_id, conversations.c.key))
    .order_by(conversations.c.id)
    .with_for_update(key_share=True),
    cols(conversations, "channel_id key"),
)
_INPUTS = insert_rows(inputs, "id origin external_id conversation_id seq event raw at_us")
_MESSAGES = insert_rows(messages, "id conversation_id seq session_id kind author text client_id fate at_us")
_REFS = insert_rows(message_refs, "channel_id ref conversation_id seq", "channel_id ref")
_ADVANCES = update_rows(conversations, "id", "last_seq input_seq")
_UNDECIDED = sql(
    select(conversations.c.id)
    .where(conversations.c.input_seq > conversations.c.worked_seq, conversations.c.id > bindparam("after"))
    .order_by(conversations.c.id)
    .limit(bindparam("most"))
)


WORDS_MAX = 20_000
"""Characters of one message that comes in; no messenger has longer ones."""
_SAID, _CONTACT, _RECEIVED = MessageKind.SAID.value, Author.CONTACT.value, Fate.RECEIVED.value


@dataclass(frozen=True, slots=True)
class Prepared:
    """A raw payload after everything that needs no database: parsed and searched for points, or not to be parsed."""

    raw: Raw
    incoming: Incoming | None
    points: list[Point]
    problem: str = ""
    """Why nobody can read it; empty, and no *incoming*: it says nothing that concerns us."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one payload. *fresh* is False for a repeat; *dead* says why it is a dead letter."""

    conversation_id: ConversationId | None
    seq: int | None
    at: datetime
    fresh: bool
    dead: str | None = None
    stored: bytes = b""
    """Of a repeat: what came under this id the first time, raw."""


@dataclass(slots=True)
class _Conversation:
    """A conversation as it stands in the transaction: *last_seq* goes on with what is stored."""

    id: ConversationId
    contact_id: ContactId
    session_id: str | None
    last_seq: int
    told_name: str = ""
    told: str = ""
    claimed: int = 0
    unreachable: str = ""


def prepare(channel: Channel, raws: Sequence[Raw], settings: LineSettings) -> list[Prepared]:
    """Parse *raws* and find the phones and e-mails in them: pure, before the transaction, so it holds no lock."""
    return [_prepare(channel, raw, settings) for raw in raws]


def _prepare(channel: Channel, raw: Raw, settings: LineSettings) -> Prepared:
    try:
        incoming = channel.parse(raw)
        if incoming is None:
            return Prepared(raw, None, [])
        incoming = _storable(incoming)
        person = incoming.person
        tells = person.phones or person.emails or person.vouched_phones or person.vouched_emails
        found = points.of_person(person, settings.region) if tells else []
        if isinstance(incoming.what, Pressed):
            rating_of(incoming.what.value)
        if settings.tracker and isinstance(incoming.what, Wrote):
            found = found + points.in_text(incoming.what.text, settings.region)
            if incoming.what.extra is not None and incoming.what.extra.shared is not None:
                found = found + points.in_text(incoming.what.extra.shared.phone, settings.region)
    except BadInput as error:
        return Prepared(raw, None, [], str(error))
    except Exception as error:  # an adapter's parser met what its author did not foresee: kept, counted, and nobody waits for it
        return Prepared(raw, None, [], f"{type(error).__name__}: {error}")
    return Prepared(raw, incoming, found)


def _storable(incoming: Incoming) -> Incoming:
    """Return *incoming* without what no text can hold, however its adapter came by it: in a transaction that would stop its channel."""
    what = incoming.what
    if isinstance(what, Wrote | AnsweredOutside | Changed):
        words, ref = extras.storable(what.text[:WORDS_MAX]), extras.storable(what.ref)
        if (words, ref) != (what.text, what.ref):
            what = msgspec.structs.replace(what, text=words, ref=ref)
            incoming = msgspec.structs.replace(incoming, what=what)
    person = incoming.person
    if person.name:
        name = extras.storable(person.name)
        if name != person.name:
            incoming = msgspec.structs.replace(incoming, person=msgspec.structs.replace(person, name=name))
    return incoming


def rating_of(pressed: str) -> tuple[Rating, SessionId | None]:
    """Return what the button with the value *pressed* says, and of which session: `good:<session>`; of an unknown one without it.

    Raises BadInput for a value that no button of ours has.
    """
    said, _, session = pressed.partition(":")
    try:
        return Rating(said), SessionId(str(UUID(session))) if session else None
    except ValueError:
        raise BadInput(f"no button of ours says {pressed[:100]!r}") from None


def accept(tx: Tx, channel_id: ChannelId, prepared: Sequence[Prepared], cursor: str | None = None) -> list[Accepted]:
    """Store a delivery of a channel: all of it and the cursor that confirms it, or nothing."""
    accepted = _accept_many(tx, channel_id, prepared) if len(prepared) > 1 else [_accept(tx, channel_id, one) for one in prepared]
    if cursor is not None:
        tx.run(_CURSOR, channel_id=channel_id, cursor=cursor)
    return accepted


def _accept_many(tx: Tx, channel_id: ChannelId, prepared: Sequence[Prepared]) -> list[Accepted]:
    """Store a delivery in its order; what is nothing but words, one after another, with a few statements for all of it."""
    found = _find_each(tx, [(channel_id, prepared)])
    seen = {id_ for (id_,) in tx.each(_REPEATED, [(channel_id, one.raw.external_id) for one in prepared])}
    accepted: list[Accepted] = []
    words: list[Prepared] = []

    def say() -> None:
        if words:
            accepted.extend(_accept_plain(tx, [(0, channel_id, words)], found)[0])
            for one in accepted[-len(words) :]:
                assert one.conversation_id is not None
                last[one.conversation_id] = one.seq or 0
            for known in found.values():
                known.last_seq = last.get(known.id, known.last_seq)
            words.clear()

    last: dict[ConversationId, int] = {}
    for one in prepared:
        incoming = one.incoming
        place = (channel_id, incoming.key if incoming is not None else "")
        fresh = one.raw.external_id not in seen
        seen.add(one.raw.external_id)
        if fresh and incoming is not None and _is_plain(one) and _is_known(found.get(place), incoming):
            words.append(one)
            continue
        say()
        accepted.append(_accept(tx, channel_id, one))
        if incoming is not None and isinstance(incoming.what, Wrote):
            if (now := _find(tx, channel_id, incoming.key)) is not None:
                found[place] = now
                last.pop(now.id, None)
        elif incoming is not None:
            # Another conversation than the one it names may have changed, and one may have another name.
            found = _find_each(tx, [(channel_id, prepared)])
            last.clear()
    say()
    return accepted


def accept_each(tx: Tx, deliveries: Sequence[tuple[ChannelId, Sequence[Prepared]]]) -> list[list[Accepted]]:
    """Store many deliveries as `accept` would one by one, with a few statements for all those that are nothing but words.

    Raises the store's error when one of those is a repeat, and then nothing of any has happened: `Store.write_each` asks again for each
    alone. To look for repeats beforehand would cost everybody what only a repeat should.
    """
    found = _find_each(tx, deliveries) if len(deliveries) > 1 else {}
    plain = [(at, *delivery) for at, delivery in enumerate(deliveries) if all(map(_is_plain, delivery[1]))]
    accepted = _accept_plain(tx, plain, found) if found else {}
    # The others after them; among those is what was plain and begins a conversation.
    return [accepted.get(at) or accept(tx, *delivery) for at, delivery in enumerate(deliveries)]


def _find_each(tx: Tx, deliveries: Sequence[tuple[ChannelId, Sequence[Prepared]]]) -> dict[tuple[str, str], _Conversation]:
    """Return every conversation that *deliveries* belong to and that has begun; lock them in the one order, before any is written to."""
    keys = {(channel_id, one.incoming.key) for channel_id, prepared in deliveries for one in prepared if one.incoming}
    return {(row[0], row[1]): _Conversation(*row[2:]) for row in tx.each(_FIND_EACH, sorted(keys))}


def _is_plain(one: Prepared) -> bool:
    """Return whether this is nothing but words: nothing in it is to be learnt of the person or of where they come from."""
    incoming = one.incoming
    return (
        incoming is not None
        and isinstance(words := incoming.what, Wrote)
        and incoming.source is None
        and not one.points
        and not words.extra
        and not words.recalled
        and not words.answers
        and not words.album
    )


def _is_known(found: _Conversation | None, incoming: Incoming) -> bool:
    """Return whether nothing is to be learnt from plain words: of whom they are, and that they are reached again."""
    return found is not None and not found.unreachable and incoming.person.name.strip()[:NAME_MAX] in ("", found.told_name)


def _accept_plain(
    tx: Tx, asked: Sequence[tuple[int, ChannelId, Sequence[Prepared]]], found: Mapping[tuple[str, str], _Conversation]
) -> dict[int, list[Accepted]]:
    """Store those of *asked* whose conversation is among the *found*; return what became of them by their number."""
    begun = tracing.begin()
    accepted: dict[int, list[Accepted]] = {}
    last: dict[ConversationId, int] = {}
    new_inputs: list[Row] = []
    new_messages: list[Row] = []
    new_refs: list[Row] = []
    at_us = to_us(tx.now)
    for at, channel_id, prepared in asked:
        conversations = [found.get((channel_id, one.incoming.key)) for one in prepared if one.incoming]
        if not all(_is_known(found, one.incoming) for found, one in zip(conversations, prepared, strict=True) if one.incoming):
            continue
        accepted[at] = []
        for one, conversation in zip(prepared, conversations, strict=True):
            assert conversation is not None
            assert one.incoming is not None
            assert isinstance(one.incoming.what, Wrote)
            id_, words = conversation.id, one.incoming.what
            seq = last[id_] = last.get(id_, conversation.last_seq) + 1
            message = MessageId(tx.new_id())
            event = Codec.encode(ContactMessage(at=tx.now, message_id=message))
            new_inputs.append((tx.new_id(), channel_id, one.raw.external_id, id_, seq, event, one.raw.body, at_us))
            session = conversation.session_id
            new_messages.append(
                (message, id_, seq, session, _SAID, _CONTACT, words.text, words.client_id or words.ref, _RECEIVED, at_us)
            )
            if words.ref:
                new_refs.append((channel_id, words.ref, id_, seq))
            accepted[at].append(Accepted(id_, seq, tx.now, fresh=True))
            if begun:
                _count(tx, channel_id, id_, seq, begun, message)
    tx.each(_INPUTS, new_inputs)
    tx.each(_MESSAGES, new_messages)
    tx.each(_REFS, new_refs)
    tx.each(_ADVANCES, [(conversation_id, seq, seq) for conversation_id, seq in last.items()])
    for conversation_id in last:
        tx.ring(Bell.CONVERSATION, conversation_id)
    return accepted


def _count(tx: Tx, origin: str, conversation_id: str, seq: int, begun: int, message_id: str | None) -> None:
    tx.count(partial(tracing.hop, tracing.ROOT, conversation_id, seq, begun, message_id, origin=origin))


_SAYS = Wrote | Rang | AsksCallback | AnsweredOutside
"""What becomes a message."""
_CHANGES = Changed | Deleted | Reacted
"""What becomes of messages that are there."""


def _accept(tx: Tx, channel_id: ChannelId, one: Prepared) -> Accepted:
    begun = tracing.begin()
    incoming = one.incoming
    if incoming is None:
        return _dead_letter(tx, channel_id, one.raw, one.problem) if one.problem else Accepted(None, None, tx.now, fresh=False)
    found = _spoken_of(tx, channel_id, incoming.what) or _find(tx, channel_id, incoming.key)
    completed: Completed | None = None
    if found is None and isinstance(incoming.what, Pressed):
        return _dead_letter(tx, channel_id, one.raw, "a button was pressed where nothing was said")
    if found is None and isinstance(incoming.what, Deleted | Reacted | Reach | Moved):
        return Accepted(None, None, tx.now, fresh=False)  # of what was never said here
    if isinstance(incoming.what, Changed | Wrote):
        incoming = msgspec.structs.replace(incoming, what=as_it_is_here(tx, channel_id, incoming.key, incoming.what))
    if found is not None and isinstance(incoming.what, _CHANGES | Reach | Moved | More):
        return _accept_change(tx, channel_id, one.raw, found, incoming.what)
    if found is not None and _is_here(tx, channel_id, incoming.what):
        return Accepted(None, None, tx.now, fresh=False)  # our own words come back, or what we had is told again
    if isinstance(incoming.what, Saw) and incoming.what.ref:
        there = said.named(tx, channel_id, incoming.what.ref)
        if found is None or there is None or there.conversation_id != found.id:
            return Accepted(None, None, tx.now, fresh=False)  # of what was never said here
        incoming = msgspec.structs.replace(incoming, what=Saw(there.seq, incoming.what.read))
    if found is None:
        found, completed = _begin(tx, channel_id, incoming, one.points)
    seq = found.last_seq + 1
    message_id = MessageId(tx.new_id())
    event = _event(incoming, tx.now, message_id)
    if not _store(tx, channel_id, one.raw, found.id, seq, event):
        return _repeated(tx, channel_id, one.raw.external_id)
    tx.run(_ADVANCE, conversation=found.id, seq=seq)
    if completed is None and (one.points or incoming.person.name):
        rename = isinstance(incoming.what, Told) and not found.claimed
        completed = complete(tx, found.contact_id, incoming.person, one.points, rename=rename)
    if completed is not None and completed.proved and found.claimed:
        tx.run(_PROVED, conversation=found.id)
    _remember_told(tx, found, incoming, one.points)
    if incoming.source is not None:
        tx.run(_SOURCE, conversation=found.id, from_where=msgspec.json.encode(incoming.source).decode())
    if isinstance(incoming.what, _SAYS):
        _add_message(tx, channel_id, found, incoming, message_id, seq)
    if found.unreachable and isinstance(incoming.what, Wrote):
        tx.run(_REACH, conversation=found.id, why="")
        _tell_reach(tx, found, "", seq)
    if completed:
        _tell(tx, found.id, completed, seq)
    tx.ring(Bell.CONVERSATION, found.id)
    if begun:
        _count(tx, channel_id, found.id, seq, begun, message_id if isinstance(incoming.what, _SAYS) else None)
    return Accepted(found.id, seq, tx.now, fresh=True)


def _add_message(
    tx: Tx, channel_id: ChannelId, found: _Conversation, incoming: Incoming, message_id: MessageId, seq: int
) -> None:
    """Write what was said as the message *seq*, with what it is called and what is to be fetched for it."""
    what = incoming.what
    number = what.number if isinstance(what, Rang | AsksCallback) else None
    words = what if isinstance(what, Wrote | AnsweredOutside) else None
    ours = isinstance(what, AnsweredOutside)
    extra: Extra | None = None
    if words is not None and (words.extra or words.answers or ours):
        extra = said.quoting(tx, channel_id, found.id, extras.limited(words.extra or Extra()), words.answers)
        extra = msgspec.structs.replace(extra, elsewhere=ours)
    tx.run(
        _MESSAGE,
        id=message_id,
        conversation_id=found.id,
        seq=seq,
        session_id=found.session_id,
        kind=(MessageKind.SAID if number is None else MessageKind.CALL).value,
        author=(Author.OPERATOR if ours else Author.CONTACT).value,
        text=words.text if words is not None else number,
        client_id=(what.client_id or what.ref) if isinstance(what, Wrote) else words.ref if words is not None else "",
        fate=(Fate.SENT if ours else Fate.RECEIVED).value,
        at_us=to_us(tx.now),
        extra=extras.written(extra),
    )
    if ours:
        journal.append(
            tx,
            "message",
            "{}",
            conversation_id=found.id,
            seq=journal.next_seq(tx, found.id),
            session_id=found.session_id,
            input_seq=seq,
            message_seq=seq,
        )
    if words is None:
        return
    if words.ref:
        said.refer(tx, channel_id, words.ref, found.id, seq)
    if isinstance(words, Wrote) and words.album:
        said.refer(tx, channel_id, album_ref(incoming.key, words.album), found.id, seq)
    if extra is not None:
        said.await_files(tx, channel_id, found.id, seq, extra.files)


def _accept_change(
    tx: Tx, channel_id: ChannelId, raw: Raw, found: _Conversation, what: Changed | Deleted | Reacted | Reach | Moved | More
) -> Accepted:
    """Store an input that adds no message, and do what it says."""
    seq = found.last_seq + 1
    changes, event = changes_of(tx, channel_id, found.id, found.unreachable, what)
    if event is None:
        return Accepted(None, None, tx.now, fresh=False)  # of what was never said here
    if not _store(tx, channel_id, raw, found.id, seq, event):
        return _repeated(tx, channel_id, raw.external_id)
    tx.run(_ADVANCE, conversation=found.id, seq=seq)
    for there, text, extra, word in changes:
        said.rewrite(tx, there, text, extra, word, input_seq=seq)
    match what:
        case Reach(why=why):
            tx.run(_REACH, conversation=found.id, why=why)
            _tell_reach(tx, found, why, seq)
        case Moved(key=key):
            # One that has begun under the new name stays beside it.
            if tx.one(_TAKEN, channel=channel_id, key=key) is None:
                tx.run(_RENAME, conversation=found.id, new_key=key)
        case More(there=there, extra=extra, ref=ref):
            if ref:
                said.refer(tx, channel_id, ref, found.id, there.seq)
            room = extras.FILES_MAX - len(there.extra.files)
            said.await_files(tx, channel_id, found.id, there.seq, extra.files[: max(0, room)], len(there.extra.files))
        case Changed():
            there, _, now, _ = changes[0]
            if now.files != there.extra.files:
                said.await_files(tx, channel_id, found.id, there.seq, now.files)
    tx.ring(Bell.CONVERSATION, found.id)
    return Accepted(found.id, seq, tx.now, fresh=True)


def _tell_reach(tx: Tx, found: _Conversation, why: str, input_seq: int) -> None:
    body = msgspec.json.encode({"contact": found.contact_id, "unreachable": why}).decode()
    journal.append(tx, "contact", body, conversation_id=found.id, seq=journal.next_seq(tx, found.id), input_seq=input_seq)


def enter(
    tx: Tx, origin: str, external_id: str, conversation_id: ConversationId, make: Callable[[datetime], Event], raw: bytes = b""
) -> Accepted:
    """Store an input that is not a provider's: an operator's deed, a timer. Raises NotFound for an unknown conversation."""
    begun = tracing.begin()
    row = tx.one(_LOCK, conversation=conversation_id)
    if row is None:
        raise NotFound(f"there is no conversation {conversation_id}")
    seq = row[3] + 1
    event = make(tx.now)
    if not _store(tx, origin, Raw(external_id, raw), conversation_id, seq, event):
        return _repeated(tx, origin, external_id)
    tx.run(_ADVANCE, conversation=conversation_id, seq=seq)
    tx.ring(Bell.CONVERSATION, conversation_id)
    if begun:
        _count(tx, origin, conversation_id, seq, begun, getattr(event, "message_id", None))
    return Accepted(conversation_id, seq, tx.now, fresh=True)


def bury(tx: Tx, conversation_id: ConversationId, seq: int, why: str) -> None:
    """Make the input *seq* a dead letter: nobody could decide it, the conversation goes on without."""
    if tx.run(_BURY, conversation=conversation_id, seq=seq, why=why[:1_000]):
        tx.count(metrics.dead_letters_total.labels("undecidable").inc)
    tx.ring(Bell.CONVERSATION, conversation_id)


def revive(tx: Tx, channel_id: ChannelId, one: Prepared) -> Accepted:
    """Accept a payload that was a dead letter because nobody could read it, now that *one* could be. Raises NotFound when it is none."""
    if not tx.run(_UNBURY, origin=channel_id, external=one.raw.external_id):
        raise NotFound("there is no such dead letter; it may have been read by now")
    return _accept(tx, channel_id, one)


def undecided(tx: Tx, after: str = "", most: int = 1_000) -> list[ConversationId]:
    """Return conversations with inputs nobody has decided yet, by id: what the sweep wakes."""
    return [ConversationId(row[0]) for row in tx.all(_UNDECIDED, after=after, most=most)]


def _find(tx: Tx, channel_id: ChannelId, key: str) -> _Conversation | None:
    row = tx.one(_FIND, channel=channel_id, key=key)
    return _Conversation(*row) if row else None


def _begin(tx: Tx, channel_id: ChannelId, incoming: Incoming, told: list[Point]) -> tuple[_Conversation, Completed]:
    contact, completed = recognise(tx, channel_id, incoming.person, told)
    tx.run(
        _CONVERSATION,
        id=tx.new_id(),
        channel_id=channel_id,
        key=incoming.key,
        contact_id=contact,
        source="{}",
        claimed=int(completed.claimed),
        created_us=to_us(tx.now),
    )
    # Found again rather than assumed: another process may have begun it in the same moment.
    found = _find(tx, channel_id, incoming.key)
    assert found is not None
    if incoming.person.profile and not found.last_seq:
        said.await_profile(tx, channel_id, found.id, incoming.person.profile)
    return found, completed


def where_of(tx: Tx, conversation_id: ConversationId) -> tuple[ChannelId, str]:
    """Return the conversation's channel and its name there. Raises NotFound."""
    row = tx.one(_WHERE, conversation=conversation_id)
    if row is None:
        raise NotFound(f"there is no conversation {conversation_id}")
    return ChannelId(row[0]), row[1]


def _is_here(tx: Tx, channel_id: ChannelId, what: object) -> bool:
    ref = what.ref if isinstance(what, AnsweredOutside) or (isinstance(what, Wrote) and what.recalled) else ""
    return bool(ref) and said.named(tx, channel_id, ref) is not None


def conversation_of(tx: Tx, channel_id: ChannelId, key: str) -> ConversationId | None:
    """Return the conversation that the channel calls *key*."""
    row = tx.one(_TAKEN, channel=channel_id, key=key)
    return ConversationId(row[0]) if row else None


def _spoken_of(tx: Tx, channel_id: ChannelId, what: object) -> _Conversation | None:
    """Return the conversation of the message that is changed or reacted to: a provider may not say in which topic of a chat it was."""
    ref = what.ref if isinstance(what, Changed | Reacted) else ""
    there = said.named(tx, channel_id, ref) if ref else None
    row = tx.one(_FIND_BY_ID, conversation=there.conversation_id) if there is not None else None
    return _Conversation(*row) if row else None


def _remember_told(tx: Tx, found: _Conversation, incoming: Incoming, points: list[Point]) -> None:
    """Keep what the customer gave of themselves here: that much of their contact may be shown to them."""
    name = incoming.person.name.strip()[:NAME_MAX]
    if not name or (found.told_name and not isinstance(incoming.what, Told)):
        name = found.told_name  # a profile's name does not replace what they said
    kinds = " ".join(sorted({*found.told.split(), *(point.kind.value for point in points if point.evidence is Evidence.FORM)}))
    if (name, kinds) != (found.told_name, found.told):
        tx.run(_TOLD, conversation=found.id, new_name=name, kinds=kinds)


def _event(incoming: Incoming, at: datetime, message_id: MessageId) -> Event:
    match incoming.what:
        case Wrote() | Rang():
            return ContactMessage(at=at, message_id=message_id)
        case AsksCallback(due=due, operator_id=operator, now=now):
            return ContactMessage(at, message_id, due, operator, now)
        case Told():
            return ContactDetails(at=at)
        case Saw(upto=upto, read=read):
            return Receipt(at=at, upto=upto, read=read)
        case Pressed(value=value):
            return Rated(at, *rating_of(value))
        case AnsweredOutside():
            return AnsweredElsewhere(at=at, message_id=message_id)
        case Changed() | Deleted() | Reacted() | Reach() | Moved():
            raise AssertionError("it changes what is there, and there is none")


def _store(tx: Tx, origin: str, raw: Raw, conversation_id: ConversationId, seq: int, event: Event) -> bool:
    return bool(
        tx.run(
            _INPUT,
            id=tx.new_id(),
            origin=origin,
            external_id=raw.external_id,
            conversation_id=conversation_id,
            seq=seq,
            event=Codec.encode(event),
            raw=raw.body,
            at_us=to_us(tx.now),
            dead=None,
        )
    )


def _dead_letter(tx: Tx, channel_id: ChannelId, raw: Raw, why: str) -> Accepted:
    stored = tx.run(
        _INPUT,
        id=tx.new_id(),
        origin=channel_id,
        external_id=raw.external_id,
        conversation_id=None,
        seq=None,
        event=None,
        raw=raw.body,
        at_us=to_us(tx.now),
        dead=why[:1_000] or "unreadable",
    )
    if not stored:
        return _repeated(tx, channel_id, raw.external_id)
    tx.count(metrics.dead_letters_total.labels("unreadable").inc)
    return Accepted(None, None, tx.now, fresh=True, dead=why)


def _repeated(tx: Tx, origin: str, external_id: str) -> Accepted:
    row = tx.one(_STORED, origin=origin, external=external_id)
    assert row is not None
    return Accepted(row[0], row[1], from_us(row[2]), fresh=False, dead=row[3], stored=row[4])


def _tell(tx: Tx, conversation_id: ConversationId, completed: Completed, input_seq: int) -> None:
    """Write into the journal what became known of the contact: the CRM and the screens read it there."""
    body = msgspec.json.encode(
        {
            "contact": completed.contact_id,
            "added": completed.added,
            "moved_from": completed.moved_from,
            "elsewhere": completed.elsewhere,
        }
    ).decode()
    journal.append(
        tx, "contact", body, conversation_id=conversation_id, seq=journal.next_seq(tx, conversation_id), input_seq=input_seq
    )


__all__ = [
    "Accepted",
    "PointKind",
    "Prepared",
    "Source",
    "accept",
    "accept_each",
    "bury",
    "enter",
    "prepare",
    "revive",
    "undecided",
]
