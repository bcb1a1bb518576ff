"""What an operator does to a session: checked, entered as an input, and refused in the operator's language.

`accepted` means stored, not done: the engine decides later, and what it refuses comes back by the journal. A deed said again
under its id is accepted again and done once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, assert_never

import msgspec
from sqlalchemy import bindparam, select

from broker import inbound, metrics
from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import (
    TEXT_MAX,
    Capabilities,
    ConversationId,
    FileId,
    LineId,
    MessageId,
    OperatorId,
    Role,
    SessionId,
    base_language,
)
from broker.errors import Forbidden, StoreError, StoreFull
from broker.events import (
    Close,
    Codec,
    Consult,
    Decline,
    Event,
    Hold,
    Invite,
    Join,
    LeaveSession,
    Listen,
    Note,
    OperatorEvent,
    Reply,
    Resume,
    Reword,
    Settle,
    Snooze,
    Spam,
    Start,
    Take,
    TakeBack,
    TakeOver,
    Transfer,
)
from broker.ports import Row, Store, Tx
from broker.store import locks
from broker.store.sql import among, cols, over_rows, sql
from broker.store.tables import channels, conversations, files, inputs, journal, sessions
from operators.audience import Where, may_see

ORIGIN = "console"
Verb = Literal[
    "take",
    "decline",
    "reply",
    "note",
    "close",
    "transfer",
    "assign",
    "invite",
    "join",
    "leave",
    "take_over",
    "spam",
    "snooze",
    "start",
    "hold",
    "resume",
    "consult",
    "listen",
    "settle",
    "reword",
    "take_back",
]
How = Literal["listen", "whisper", "barge"]
"""Whom a supervisor lets hear them: nobody, the operator, both."""
SNOOZE_DAYS_MAX = 366
PINS_MAX = 100
"""Sessions that one operator may have pinned."""

_ACTIONS: dict[Verb, Action] = {
    "take": Action.TAKE_SESSION,
    "decline": Action.TAKE_SESSION,
    "reply": Action.ANSWER_SESSION,
    "note": Action.NOTE_SESSION,
    "close": Action.CLOSE_SESSION,
    "transfer": Action.TRANSFER_SESSION,
    "assign": Action.ASSIGN_SESSION,
    "invite": Action.INVITE_COLLEAGUE,
    "join": Action.JOIN_SESSION,
    "leave": Action.JOIN_SESSION,
    "take_over": Action.TAKE_OVER_SESSION,
    "spam": Action.MARK_SPAM,
    "snooze": Action.SNOOZE_SESSION,
    "start": Action.START_SESSION,
    "hold": Action.ANSWER_SESSION,
    "resume": Action.ANSWER_SESSION,
    "consult": Action.TRANSFER_SESSION,
    "listen": Action.LISTEN_TO_TALK,
    "settle": Action.NOTE_SESSION,
    "reword": Action.ANSWER_SESSION,
    "take_back": Action.ANSWER_SESSION,
}
_SPOKEN = frozenset(("reply", "note", "start", "reword"))
"""Deeds that are nothing without words, but for a reply with files."""
_SAID = frozenset(("reply", "note", "start", "transfer", "assign"))
"""Deeds whose words are a message; with the latter two a note."""
_WITH_WORDS = _SPOKEN | _SAID
_OF_MEMBERS = frozenset(("reply", "note", "invite", "leave", "join", "reword", "take_back"))
"""What those who joined, or are invited, may do as if it were theirs."""
_FOR_SUPERVISORS = frozenset(("assign", "take_over", "listen"))
_WRITTEN_BETWEEN = re.compile(r"[\s()\[\].\u2010-\u2015-]+")
"""What people put between the digits of a number."""
_NUMBER = re.compile(r"(?=.{2,20}\Z)\+?[0-9]+\Z")
_SESSION = sql(
    select(*cols(sessions, "conversation_id line_id status operator_id state"), channels.c.kind, conversations.c.session_id)
    .join_from(sessions, conversations, conversations.c.id == sessions.c.conversation_id)
    .join(channels, channels.c.id == sessions.c.channel_id)
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

_FILES = over_rows(select(*cols(files, "id conversation_id size")).where(among(files.c.id)), [files.c.id])

SENTENCES: dict[str, dict[str, str]] = {
    "no_file": {
        "en": "A file of this message was not uploaded, or for another session. Attach it again.",
        "ru": "Файл этого сообщения не загружен или загружен для другого диалога. Прикрепите его ещё раз.",
    },
    "not_ours": {
        "en": "Only what an operator has written from here can be changed.",
        "ru": "Изменить можно только то, что оператор написал отсюда.",
    },
    "not_your_words": {
        "en": "Only whoever wrote this message, or a supervisor, may change it.",
        "ru": "Изменить сообщение может только тот, кто его написал, или супервизор.",
    },
    "was_not_sent": {
        "en": "This message was not sent. Send it again instead of changing it.",
        "ru": "Это сообщение не отправлено. Отправьте его ещё раз вместо изменения.",
    },
    "no_files_here": {
        "en": "This customer's channel takes no files. Write the words alone, or send a link.",
        "ru": "Канал этого клиента не принимает файлы. Напишите только текст или пришлите ссылку.",
    },
    "file_too_large": {
        "en": "A file is larger than this customer's channel takes. Send a smaller one, or a link.",
        "ru": "Файл больше, чем принимает канал этого клиента. Отправьте файл поменьше или ссылку.",
    },
    "no_phone_button": {
        "en": "This customer's channel has no button for the phone number. Ask in words.",
        "ru": "В канале этого клиента нет кнопки для номера телефона. Спросите словами.",
    },
    "stays_said": {
        "en": "What was sent in this customer's channel cannot be changed.",
        "ru": "В канале этого клиента нельзя изменить отправленное.",
    },
    "taken_back": {"en": "This message has been taken back already.", "ru": "Это сообщение уже отозвано."},
    "empty": {"en": "There is nothing in this message.", "ru": "В этом сообщении ничего нет."},
    "too_long": {
        "en": f"A message has at most {TEXT_MAX} characters.",
        "ru": f"В сообщении может быть не больше {TEXT_MAX} знаков.",
    },
    "by_phone": {
        "en": "This is a call: it is answered by lifting the phone, and spoken with, not written to.",
        "ru": "Это звонок: на него отвечают, сняв трубку, и говорят, а не пишут.",
    },
    "not_a_call": {
        "en": "This session is no call.",
        "ru": "Этот диалог не звонок.",
    },
    "not_missed": {
        "en": "This is no call that somebody has yet to see to.",
        "ru": "Это не пропущенный звонок, который ещё не разобран.",
    },
    "nobody_talks": {
        "en": "Nobody speaks with the caller just now.",
        "ru": "Сейчас с этим клиентом никто не говорит по телефону.",
    },
    "one_at_a_time": {
        "en": "You are asking a colleague already. Go back to the caller first.",
        "ru": "Вы уже спрашиваете коллегу. Сначала вернитесь к клиенту.",
    },
    "not_lifted": {
        "en": "Your colleague has not lifted the phone yet. Wait, or go back to the caller.",
        "ru": "Коллега ещё не снял трубку. Подождите или вернитесь к клиенту.",
    },
    "yours_already": {
        "en": "You speak in this call yourself.",
        "ru": "Вы сами говорите в этом звонке.",
    },
    "on_phone": {
        "en": "You are on a call already. Finish it first.",
        "ru": "Вы уже говорите по телефону. Сначала закончите этот разговор.",
    },
    "bad_number": {
        "en": "Write a number of 2 to 20 characters: digits, with a + in front if it needs one.",
        "ru": "Введите номер от 2 до 20 знаков: цифры и, если нужно, + в начале.",
    },
    "no_telephone": {
        "en": "No calls can be made here: there is no telephone, or none of your lines has a number.",
        "ru": "Звонить отсюда нельзя: нет телефонии или ни у одной из ваших линий нет номера.",
    },
    "no_number": {
        "en": "This line has no number to call from. Choose another line.",
        "ru": "У этой линии нет номера для звонков. Выберите другую линию.",
    },
    "not_your_line": {
        "en": "This line is not yours. Choose one of your own.",
        "ru": "Это не ваша линия. Выберите одну из своих.",
    },
    "bad_time": {
        "en": "Choose a time from now on, within 30 days.",
        "ru": "Выберите время в будущем, не дальше 30 дней.",
    },
    "no_phone": {
        "en": "No phone is set for you. Ask an administrator to enter one.",
        "ru": "Для вас не указан телефон. Попросите администратора указать его.",
    },
    "colleague_no_phone": {
        "en": "Your colleague has no phone for calls.",
        "ru": "У коллеги нет телефона для звонков.",
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
    "not_allowed": {
        "en": "Only supervisors may do this. Ask one.",
        "ru": "Это могут только супервизоры. Обратитесь к ним.",
    },
    "no_line": {
        "en": "There is no such line, or it is switched off. Choose another.",
        "ru": "Такой линии нет, или она отключена. Выберите другую.",
    },
    "no_colleague": {
        "en": "There is no such colleague here, or they have no seat in this line. Choose another, or a line.",
        "ru": "Такого коллеги здесь нет, или у него нет места в этой линии. Выберите другого или линию.",
    },
    "theirs_already": {"en": "They have this session already.", "ru": "Этот диалог уже у этого коллеги."},
    "colleague_full": {
        "en": "Your colleague has no room for another session. Choose another, or a line.",
        "ru": "Коллега занят полностью. Выберите другого или линию.",
    },
    "colleague_away": {
        "en": "Your colleague is not there just now. Choose another, or a line.",
        "ru": "Коллеги сейчас нет на месте. Выберите другого или линию.",
    },
    "nobody_named": {
        "en": "Say to whom, and to one only: a colleague, a line, or with a call a number.",
        "ru": "Укажите, кому, и только одного: коллегу, линию или, для звонка, номер.",
    },
    "take_first": {"en": "Take the session first.", "ru": "Сначала возьмите диалог."},
    "not_invited": {
        "en": "You are not invited to this session. Ask whoever has it.",
        "ru": "Вас не приглашали в этот диалог. Обратитесь к тому, кто его ведёт.",
    },
    "too_many": {
        "en": "There are too many people in this session already.",
        "ru": "В этом диалоге уже слишком много участников.",
    },
    "pass_it_on": {
        "en": "The session is yours: pass it on or close it.",
        "ru": "Диалог ваш: передайте его или закройте.",
    },
    "past": {
        "en": f"Choose a time that is still to come, within {SNOOZE_DAYS_MAX} days.",
        "ru": f"Выберите время в будущем, не дальше {SNOOZE_DAYS_MAX} дней.",
    },
    "banned": {
        "en": "This contact is banned. Lift the ban first.",
        "ru": "Этот контакт заблокирован. Сначала снимите блокировку.",
    },
    "open_already": {
        "en": "There is an open session in this conversation already.",
        "ru": "В этой переписке уже есть открытый диалог.",
    },
    "not_offered": {"en": "It is not offered to you (any more).", "ru": "Этот диалог вам (уже) не предложен."},
    "id_used": {
        "en": "This id was used for something else. Send it again under a new one.",
        "ru": "Этот идентификатор уже использован для другого. Отправьте ещё раз с новым.",
    },
    "too_many_pins": {
        "en": f"You have pinned {PINS_MAX} sessions already. Take a pin away first.",
        "ru": f"У вас уже закреплено {PINS_MAX} диалогов. Сначала открепите один из них.",
    },
    "own_review": {
        "en": "This session is your own. Another supervisor may review it.",
        "ru": "Это ваш собственный диалог. Оценить его может другой супервизор.",
    },
    "unavailable": {
        "en": "We cannot take this just now. Try again in a moment.",
        "ru": "Сейчас мы не можем это принять. Попробуйте ещё раз чуть позже.",
    },
}


def sentence(code: str, language: str) -> str:
    """Return what to tell a person of *language* about *code*."""
    texts = SENTENCES.get(code, SENTENCES["unavailable"])
    return texts.get(base_language(language), texts["en"])


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
    operator: str = ""
    """To whom: transfer, assign, invite; who is asked: consult."""
    line: str = ""
    """To which line: transfer, assign."""
    until: datetime | None = None
    """Of snooze."""
    ban: bool = False
    """Of spam."""
    number: str = ""
    """To which number outside: transfer. Digits, with a + in front or without."""
    how: How = "listen"
    """Of listen."""
    files: tuple[str, ...] = ()
    """Of reply."""
    answers: int = 0
    """Of reply: the seq of what it answers."""
    asks_phone: bool = False
    """Of reply."""
    message: int = 0
    """Of reword and take_back: the seq of what was sent."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The deed is the input *seq*. Not *fresh*: it was stored before. *refused*: and the engine has decided against it since."""

    seq: int
    fresh: bool = True
    refused: str = ""


class _State(msgspec.Struct):
    offered_to: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    invited: tuple[str, ...] = ()
    passed_by: str | None = None


class _Decision(msgspec.Struct):
    do: str
    code: str = ""


class _Record(msgspec.Struct):
    decisions: tuple[_Decision, ...] = ()


def deed(
    id_: str,
    session: str,
    verb: Verb,
    text: str = "",
    outcome: str = "",
    *,
    operator: str = "",
    line: str = "",
    until: datetime | None = None,
    ban: bool = False,
    number: str = "",
    how: How = "listen",
    files: tuple[str, ...] = (),
    answers: int = 0,
    asks_phone: bool = False,
    message: int = 0,
) -> Deed:
    """Return the deed as it may be stored; what its verb does not know is left out.

    Raises Refusal: empty, too_long, nobody_named, bad_number, past.
    """
    text = text.replace("\x00", "").strip() if verb in _WITH_WORDS else ""
    if verb in _SPOKEN and not text and not (verb == "reply" and files):
        raise Refusal("empty")
    if len(text) > TEXT_MAX:
        raise Refusal("too_long")
    if verb == "snooze" and until is None:
        raise Refusal("past")
    match verb:
        case "close":
            return Deed(id_, session, verb, outcome=outcome.replace("\x00", "").strip())
        case "transfer" | "assign":
            number = number.strip() if verb == "transfer" else ""
            if [bool(operator), bool(line), bool(number)].count(True) != 1:
                raise Refusal("nobody_named")
            return Deed(id_, session, verb, text, operator=operator, line=line, number=dialled(number) if number else "")
        case "listen":
            return Deed(id_, session, verb, how=how)
        case "reply":
            return Deed(id_, session, verb, text, files=tuple(dict.fromkeys(files)), answers=answers, asks_phone=asks_phone)
        case "reword" | "take_back":
            return Deed(id_, session, verb, text, message=message)
        case "invite" | "consult":
            if not operator:
                raise Refusal("nobody_named")
            return Deed(id_, session, verb, operator=operator)
        case "snooze":
            try:
                return Deed(id_, session, verb, until=until.astimezone(UTC) if until is not None else None)
            except OverflowError:  # a moment at an end of time, in a zone where it is beyond it
                raise Refusal("past") from None
        case "spam":
            return Deed(id_, session, verb, ban=ban)
        case _:
            return Deed(id_, session, verb, text)


def dialled(number: str) -> str:
    """Return the number outside as it is dialled, without what people write between its digits. Raises Refusal: bad_number."""
    bare = _WRITTEN_BETWEEN.sub("", number)
    if not _NUMBER.match(bare):
        raise Refusal("bad_number")
    return bare


_CONVERSATIONS = over_rows(select(sessions.c.conversation_id).where(among(sessions.c.id)), [sessions.c.id])


Kinds = Mapping[str, Capabilities]
"""What channels can, by their kind."""


async def do(store: Store, actor: Actor, what: Deed, kinds: Kinds | None = None) -> Stored:
    """Store the deed, and count it; by *kinds* what a channel cannot do is refused. Raises Refusal, StoreError."""
    try:
        stored = await store.write_each(enter_each, (actor, what, kinds))
    except Refusal as refusal:
        metrics.refused_inputs_total.labels(ORIGIN, refusal.code).inc()
        raise
    except StoreError as error:
        metrics.refused_inputs_total.labels(ORIGIN, "full" if isinstance(error, StoreFull) else "unavailable").inc()
        raise
    (metrics.accepted_inputs_total if stored.fresh else metrics.repeated_inputs_total).labels(ORIGIN).inc()
    return stored


def enter_each(tx: Tx, asked: Sequence[tuple[Actor, Deed, Kinds | None]]) -> list[Stored]:
    """Store many deeds; see `enter`."""
    if tx.shared and len(asked) > 1:
        found = tx.each(_CONVERSATIONS, list({(deed.session,) for _, deed, _ in asked}))
        locks.conversations(tx, (ConversationId(conversation_id) for (conversation_id,) in found))
    return [enter(tx, actor, what, kinds) for actor, what, kinds in asked]


def enter(tx: Tx, actor: Actor, what: Deed, kinds: Kinds | None = None) -> Stored:
    """Store the deed. Raises Refusal: no_session (also for one the actor may not see), not_yours, closed, id_used."""
    external_id = f"{actor.operator_id}:{what.id}"
    try:
        conversation_id = _conversation(tx, actor, what, kinds)
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


def _conversation(tx: Tx, actor: Actor, what: Deed, kinds: Kinds | None) -> ConversationId:
    row = tx.one(_SESSION, session=what.session)
    if row is None:
        raise Refusal("no_session")
    conversation_id, line, status, operator, state, kind, current = row
    known = msgspec.json.decode(state, type=_State)
    where = Where(line, status, operator, known.offered_to, known.members, known.invited, known.passed_by)
    if not may_see(actor, where):
        raise Refusal("no_session")
    # An event names its conversation only: a deed for an earlier session would be done to the present one.
    if current != what.session:
        raise Refusal("closed")
    if what.until is not None and not tx.now < what.until <= tx.now + timedelta(days=SNOOZE_DAYS_MAX):
        raise Refusal("past")
    # Whoever holds it now may be another than when the deed's turn comes; what is nobody's yet may be the actor's by then.
    with_us = what.verb in _OF_MEMBERS and actor.operator_id in (*known.members, *known.invited)
    holder = actor.operator_id if with_us or operator is None else operator
    try:
        authorize(actor, _ACTIONS[what.verb], Thing(LineId(line), OperatorId(holder)))
    except Forbidden:
        raise Refusal("not_allowed" if what.verb in _FOR_SUPERVISORS else "not_yours") from None
    can = (kinds or {}).get(kind)
    if can is not None:
        _check_channel(can, what)
    _check_message(tx, actor, conversation_id, what, can)
    return ConversationId(conversation_id)


def _check_channel(can: Capabilities, what: Deed) -> None:
    """Raise Refusal for what the customer's channel cannot."""
    if what.files and not can.files_max:
        raise Refusal("no_files_here")
    if what.asks_phone and not can.asks_phone:
        raise Refusal("no_phone_button")
    if (what.verb == "reword" and not can.edits) or (what.verb == "take_back" and not can.deletes):
        raise Refusal("stays_said")


def _check_message(tx: Tx, actor: Actor, conversation_id: str, what: Deed, can: Capabilities | None) -> None:
    """Raise Refusal for files that are not the conversation's, and for a message that cannot be changed."""
    if what.files:
        theirs = {row[0]: row[2] for row in tx.each(_FILES, [(id_,) for id_ in what.files]) if row[1] == conversation_id}
        if theirs.keys() != set(what.files):
            raise Refusal("no_file")
        if can is not None and max(theirs.values()) > can.files_max:
            raise Refusal("file_too_large")
    if what.verb not in ("reword", "take_back"):
        return
    there = inbound.said.at(tx, conversation_id, what.message)
    if there is None or not there.ours or there.session_id != what.session:
        raise Refusal("not_ours")  # what was said in another session was said for another line, or by somebody else
    if there.operator_id != actor.operator_id and actor.role is Role.OPERATOR:
        raise Refusal("not_your_words")
    if there.extra.deleted_ms:
        raise Refusal("taken_back")
    if there.was_not_sent:
        raise Refusal("was_not_sent")


def _maker(tx: Tx, operator_id: OperatorId, what: Deed) -> Callable[[datetime], Event]:
    def make(at: datetime) -> Event:
        says = what.verb in _SAID and (what.text or what.files)
        return _event(at, operator_id, what, MessageId(tx.new_id()) if says else None)

    return make


def _event(at: datetime, me: OperatorId, what: Deed, message: MessageId | None) -> Event:
    """Return the deed as the engine decides it; *message*: the id of its words."""
    if what.verb == "start":
        # Whichever session the operator looked at: it is another that they begin, or this one again.
        assert message is not None
        return Start(at, me, what.id, message)
    # Another may have begun before its turn comes.
    return msgspec.structs.replace(_deed(at, me, what, message), session_id=SessionId(what.session))


def _deed(at: datetime, me: OperatorId, what: Deed, message: MessageId | None) -> Event:
    to_operator = OperatorId(what.operator) if what.operator else None
    match what.verb:
        case "take":
            return Take(at, me, what.id)
        case "decline":
            return Decline(at, me, what.id)
        case "reply":
            assert message is not None
            files = tuple(FileId(one) for one in what.files)
            return Reply(at, me, what.id, message, files, what.answers, what.asks_phone)
        case "reword":
            return Reword(at, me, what.id, message_seq=what.message)
        case "take_back":
            return TakeBack(at, me, what.id, message_seq=what.message)
        case "note":
            assert message is not None
            return Note(at, me, what.id, message)
        case "close":
            return Close(at, me, what.id, what.outcome)
        case "transfer" | "assign":
            to_line = LineId(what.line) if what.line else None
            return Transfer(at, me, what.id, to_operator, to_line, what.verb == "assign", message, what.number)
        case "invite":
            assert to_operator is not None
            return Invite(at, me, what.id, to_operator)
        case "join":
            return Join(at, me, what.id)
        case "leave":
            return LeaveSession(at, me, what.id)
        case "take_over":
            return TakeOver(at, me, what.id)
        case "spam":
            return Spam(at, me, what.id, what.ban)
        case "snooze":
            assert what.until is not None
            return Snooze(at, me, what.id, what.until)
        case "hold":
            return Hold(at, me, what.id)
        case "resume":
            return Resume(at, me, what.id)
        case "consult":
            assert to_operator is not None
            return Consult(at, me, what.id, to_operator)
        case "listen":
            return Listen(at, me, what.id, what.how)
        case "settle":
            return Settle(at, me, what.id)
        case "start":
            raise AssertionError("it names no session")
        case _:
            assert_never(what.verb)


def _is(tx: Tx, what: Deed, conversation_id: str, event: Event, raw: bytes) -> bool:
    """Return whether the stored deed is the one that came again."""
    session = tx.one(_SESSION, session=what.session)
    if (
        session is None
        or session[0] != conversation_id
        or bytes(raw) != what.text.encode()
        or not isinstance(event, OperatorEvent)
    ):
        return False
    return _event(event.at, event.operator_id, what, getattr(event, "message_id", None)) == event


def _again(tx: Tx, what: Deed, stored: Row) -> Stored:
    """Tell its sender again; who was away when it was decided learns here that it was refused. Raises Refusal: id_used."""
    conversation_id, seq, event, raw = stored
    if not _is(tx, what, conversation_id, Codec.decode(event), raw):
        raise Refusal("id_used")  # accepted, it would be lost without a word
    row = tx.one(_DECIDED, conversation=conversation_id, seq=seq)
    decisions = msgspec.json.decode(row[0], type=_Record).decisions if row is not None else ()
    return Stored(seq, fresh=False, refused=next((decision.code for decision in decisions if decision.do == "refuse"), ""))
