"""What an operator does to a session: checked, entered as an input, and refused in the operator's language.

`accepted` means stored, not done: the engine decides later, and what it refuses comes back by the journal. A deed said again
under its id is accepted again and done once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, assert_never

import msgspec
from sqlalchemy import bindparam, select

from broker import inbound, metrics
from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import TEXT_MAX, ConversationId, LineId, MessageId, OperatorId
from broker.errors import Forbidden, StoreError, StoreFull
from broker.events import Close, Codec, Decline, Event, Note, Reply, Take
from broker.ports import Row, Store, Tx
from broker.store.sql import cols, sql
from broker.store.tables import conversations, inputs, journal, sessions
from operators.audience import Where, may_see

ORIGIN = "console"
Verb = Literal["take", "decline", "reply", "note", "close"]

_ACTIONS: dict[Verb, Action] = {
    "take": Action.TAKE_SESSION,
    "decline": Action.TAKE_SESSION,
    "reply": Action.ANSWER_SESSION,
    "note": Action.NOTE_SESSION,
    "close": Action.CLOSE_SESSION,
}
_SESSION = sql(
    select(*cols(sessions, "conversation_id line_id status operator_id state"), conversations.c.session_id)
    .join_from(sessions, conversations, conversations.c.id == sessions.c.conversation_id)
    .where(sessions.c.id == bindparam("session"))
)
_STORED = sql(
    select(*cols(inputs, "conversation_id seq event raw")).where(
        inputs.c.origin == ORIGIN, inputs.c.external_id == bindparam("external")
    )
)
_DECIDED = sql(
    select(journal.c.body)
    .where(journal.c.conversation_id == bindparam("conversation"), journal.c.input_seq == bindparam("seq"))
    .order_by(journal.c.seq)
    .limit(1)
)

SENTENCES: dict[str, dict[str, str]] = {
    "empty": {"en": "There is nothing in this message.", "ru": "В этом сообщении ничего нет."},
    "too_long": {
        "en": f"A message has at most {TEXT_MAX} characters.",
        "ru": f"В сообщении может быть не больше {TEXT_MAX} знаков.",
    },
    "not_yours": {
        "en": "This session is not yours. Take it first, or ask whoever has it.",
        "ru": "Это не ваш диалог. Сначала возьмите его или обратитесь к тому, кто его ведёт.",
    },
    "taken": {"en": "A colleague has taken it already.", "ru": "Диалог уже взял коллега."},
    "too_late": {"en": "The time to answer this offer has passed.", "ru": "Время на ответ по этому предложению вышло."},
    "full": {
        "en": "You have no room for another session. Close one first.",
        "ru": "Вы заняты полностью. Сначала закройте один из диалогов.",
    },
    "closed": {"en": "This session is closed.", "ru": "Этот диалог закрыт."},
    "no_session": {"en": "There is no such session.", "ru": "Такого диалога нет."},
    "not_offered": {"en": "It is not offered to you (any more).", "ru": "Этот диалог вам (уже) не предложен."},
    "id_used": {
        "en": "This id was used for something else. Send it again under a new one.",
        "ru": "Этот идентификатор уже использован для другого. Отправьте ещё раз с новым.",
    },
    "unavailable": {
        "en": "We cannot take this just now. Try again in a moment.",
        "ru": "Сейчас мы не можем это принять. Попробуйте ещё раз чуть позже.",
    },
}


def sentence(code: str, language: str) -> str:
    """Return what to tell a person of *language* about *code*."""
    texts = SENTENCES.get(code, SENTENCES["unavailable"])
    return texts.get(language.split("-", maxsplit=1)[0], texts["en"])


class Refusal(Exception):
    """The deed is not accepted; *code* is one of SENTENCES."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Deed:
    """One deed, its words trimmed and measured. *id* is its sender's own, unique among the operator's."""

    id: str
    session: str
    verb: Verb
    text: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """The deed is the input *seq*. Not *fresh*: it was stored before. *refused*: and the engine has decided against it since."""

    seq: int
    fresh: bool = True
    refused: str = ""


class _State(msgspec.Struct):
    offered_to: tuple[str, ...] = ()


class _Decision(msgspec.Struct):
    do: str
    code: str = ""


class _Record(msgspec.Struct):
    decisions: tuple[_Decision, ...] = ()


def deed(id_: str, session: str, verb: Verb, text: str = "", outcome: str = "") -> Deed:
    """Return the deed as it may be stored. Raises Refusal: empty, too_long."""
    if verb not in ("reply", "note"):
        return Deed(id_, session, verb, outcome=outcome.strip() if verb == "close" else "")
    text = text.replace("\x00", "").strip()
    if not text:
        raise Refusal("empty")
    if len(text) > TEXT_MAX:
        raise Refusal("too_long")
    return Deed(id_, session, verb, text)


async def do(store: Store, actor: Actor, what: Deed) -> Stored:
    """Store the deed, and count it. Raises Refusal, StoreError."""
    try:
        stored = await store.write_each(enter_each, (actor, what))
    except Refusal as refusal:
        metrics.refused_inputs_total.labels(ORIGIN, refusal.code).inc()
        raise
    except StoreError as error:
        metrics.refused_inputs_total.labels(ORIGIN, "full" if isinstance(error, StoreFull) else "unavailable").inc()
        raise
    (metrics.accepted_inputs_total if stored.fresh else metrics.repeated_inputs_total).labels(ORIGIN).inc()
    return stored


def enter_each(tx: Tx, asked: Sequence[tuple[Actor, Deed]]) -> list[Stored]:
    """Store many deeds; see `enter`."""
    return [enter(tx, actor, what) for actor, what in asked]


def enter(tx: Tx, actor: Actor, what: Deed) -> Stored:
    """Store the deed. Raises Refusal: no_session (also for one the actor may not see), not_yours, closed, id_used."""
    external_id = f"{actor.operator_id}:{what.id}"
    try:
        conversation_id = _conversation(tx, actor, what)
    except Refusal:
        # What was accepted stays accepted, however the session has changed since.
        if (stored := tx.one(_STORED, external=external_id)) is None:
            raise
        return _again(tx, what, stored)
    accepted = inbound.enter(tx, ORIGIN, external_id, conversation_id, _maker(tx, actor.operator_id, what), what.text.encode())
    assert accepted.seq is not None
    if accepted.fresh:
        return Stored(accepted.seq)
    stored = tx.one(_STORED, external=external_id)
    assert stored is not None
    return _again(tx, what, stored)


def _conversation(tx: Tx, actor: Actor, what: Deed) -> ConversationId:
    row = tx.one(_SESSION, session=what.session)
    if row is None:
        raise Refusal("no_session")
    conversation_id, line, status, operator, state, current = row
    where = Where(line, status, operator, msgspec.json.decode(state, type=_State).offered_to)
    if not may_see(actor, where):
        raise Refusal("no_session")
    # An event names its conversation only: a deed for an earlier session would be done to the present one.
    if current != what.session:
        raise Refusal("closed")
    # Whoever holds it now may be another than when the deed's turn comes; what is nobody's yet may be the actor's by then.
    try:
        authorize(actor, _ACTIONS[what.verb], Thing(LineId(line), operator or actor.operator_id))
    except Forbidden:
        raise Refusal("not_yours") from None
    return ConversationId(conversation_id)


def _maker(tx: Tx, operator_id: OperatorId, what: Deed) -> Callable[[datetime], Event]:
    def make(at: datetime) -> Event:
        match what.verb:
            case "take":
                return Take(at=at, operator_id=operator_id, command=what.id)
            case "decline":
                return Decline(at=at, operator_id=operator_id, command=what.id)
            case "reply":
                return Reply(at=at, operator_id=operator_id, command=what.id, message_id=MessageId(tx.new_id()))
            case "note":
                return Note(at=at, operator_id=operator_id, command=what.id, message_id=MessageId(tx.new_id()))
            case "close":
                return Close(at=at, operator_id=operator_id, command=what.id, outcome=what.outcome)
            case _:
                assert_never(what.verb)

    return make


def _is(tx: Tx, what: Deed, conversation_id: str, event: Event, raw: bytes) -> bool:
    """Return whether the stored deed is the one that came again."""
    session = tx.one(_SESSION, session=what.session)
    return (
        session is not None
        and session[0] == conversation_id
        and type(event).__name__.lower() == what.verb
        and bytes(raw) == what.text.encode()
        and (not isinstance(event, Close) or event.outcome == what.outcome)
    )


def _again(tx: Tx, what: Deed, stored: Row) -> Stored:
    """Tell its sender again; who was away when it was decided learns here that it was refused. Raises Refusal: id_used."""
    conversation_id, seq, event, raw = stored
    if not _is(tx, what, conversation_id, Codec.decode(event), raw):
        raise Refusal("id_used")  # accepted, it would be lost without a word
    row = tx.one(_DECIDED, conversation=conversation_id, seq=seq)
    decisions = msgspec.json.decode(row[0], type=_Record).decisions if row is not None else ()
    return Stored(seq, fresh=False, refused=next((decision.code for decision in decisions if decision.do == "refuse"), ""))
