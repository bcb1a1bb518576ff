"""The table of calls: what became of each on the telephone, beside what its session says. Transaction functions.

attempt   grows each time the exchange asks about the call: who asked before has lost it, and writes nothing more
rung      the last offer for which phones were rung, written before they are: a process that dies between the two rings none twice
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import and_, bindparam, case, func, or_, select, tuple_, update

from broker.domain import ChannelId, ConversationId, LineId, OperatorId, SessionId, Status, from_us, to_us
from broker.events import Codec, ContactMessage
from broker.ports import Bell, Row, Tx
from broker.store.sql import cols, insert_new, one_of, sql
from broker.store.tables import calls, conversations, inputs, offers, sessions

_NEW = insert_new(calls, "conversation_id channel_id number called came_us", "conversation_id")
_COLUMNS = "conversation_id channel_id number called leg attempt rung operator_id talk_us ended_us recording voicemail"
_LEGS = "uniqueid outgoing operator_id talk_leg consult_leg consult_rung parked listened talk_us talk_ended_us ended_us"
_CLAIM = sql(
    update(calls)
    .values(attempt=calls.c.attempt + 1, process_id=bindparam("process"), leg=bindparam("channel_name"))
    .where(calls.c.conversation_id == bindparam("conversation"))
    .returning(*cols(calls, _COLUMNS))
)
_RING = sql(
    update(calls)
    .values(
        rung=bindparam("offer"),
        # Whoever spoke with the caller before does not any more, however that ended.
        talk_ended_us=case(
            (and_(calls.c.talk_us.is_not(None), calls.c.talk_ended_us.is_(None)), bindparam("now_us")),
            else_=calls.c.talk_ended_us,
        ),
        parked=0,
        consult_leg="",
    )
    .where(
        calls.c.conversation_id == bindparam("conversation"),
        calls.c.attempt == bindparam("mine"),
        calls.c.rung < bindparam("offer"),
        calls.c.ended_us.is_(None),
    )
)
_TALK = sql(
    update(calls)
    .values(
        operator_id=bindparam("operator"),
        talk_us=func.coalesce(calls.c.talk_us, bindparam("now_us")),
        talk_ended_us=None,
        talk_leg=bindparam("phone"),
        parked=0,
    )
    .where(
        calls.c.conversation_id == bindparam("conversation"), or_(calls.c.talk_us.is_(None), calls.c.talk_ended_us.is_not(None))
    )
)
_TALK_ENDED = sql(
    update(calls)
    .values(talk_ended_us=bindparam("now_us"))
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.talk_us.is_not(None), calls.c.talk_ended_us.is_(None))
)
_JOIN = sql(
    update(calls)
    .values(operator_id=bindparam("operator"), talk_leg=bindparam("phone"), consult_leg="", parked=0, talk_ended_us=None)
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.ended_us.is_(None))
)
_PARK = sql(
    update(calls)
    .values(parked=calls.c.attempt + 1)
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.parked == 0, calls.c.ended_us.is_(None))
)
_UNPARK = sql(update(calls).values(parked=0).where(calls.c.conversation_id == bindparam("conversation")))
_ASK = sql(
    update(calls)
    .values(consult_rung=bindparam("number"), consult_leg="")
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.consult_rung < bindparam("number"))
)
_ASKED = sql(
    update(calls)
    .values(consult_leg=bindparam("phone"))
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.consult_rung == bindparam("number"))
)
_LISTEN = sql(
    update(calls)
    .values(listened=bindparam("number"))
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.listened < bindparam("number"))
)
_NEW_OUT = insert_new(calls, "conversation_id channel_id number came_us outgoing", "conversation_id")
_OPEN_OUT = sql(
    select(*cols(calls, _COLUMNS), conversations.c.key)
    .join_from(calls, conversations, conversations.c.id == calls.c.conversation_id)
    .join(sessions, sessions.c.id == conversations.c.session_id)
    .where(
        calls.c.ended_us.is_(None),
        calls.c.channel_id == bindparam("channel"),
        calls.c.outgoing == 1,
        calls.c.leg == "",
        # Those that wait for their time are many, perhaps, and nothing is to be done with them.
        one_of(sessions.c.status, "offered", "closed"),
    )
    .order_by(calls.c.came_us)
    .limit(1_000)
)
_ASKED_FOR = sql(
    select(
        func.count(case((calls.c.ended_us.is_(None), 1))), func.count(case((calls.c.came_us >= bindparam("since_us"), 1)))
    ).where(calls.c.number == bindparam("number"), calls.c.outgoing == 1)
)
_ENTERED = sql(
    select(inputs.c.event, calls.c.number)
    .join_from(inputs, calls, calls.c.conversation_id == inputs.c.conversation_id)
    .where(inputs.c.origin == bindparam("channel"), inputs.c.external_id == bindparam("name"))
)
_OTHERS_OPEN = sql(
    select(calls.c.conversation_id)
    .where(
        calls.c.ended_us.is_(None),
        calls.c.channel_id == bindparam("channel"),
        calls.c.number == bindparam("number"),
        calls.c.conversation_id != bindparam("conversation"),
    )
    .limit(1)
)
_CALL = sql(select(*cols(calls, _COLUMNS)).where(calls.c.conversation_id == bindparam("conversation")))
_LIFTED_OUT = sql(
    update(calls)
    .values(
        operator_id=bindparam("operator"),
        talk_us=bindparam("now_us"),
        talk_ended_us=None,
        talk_leg=bindparam("phone"),
        parked=calls.c.attempt + 1,
    )
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.ended_us.is_(None), calls.c.leg == "")
)
_NOT_REACHED = sql(
    update(calls)
    .values(talk_us=None, talk_ended_us=None, talk_leg="", parked=0)
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.leg == "")
)
_REACHED = sql(
    update(calls)
    .values(talk_us=bindparam("now_us"), uniqueid=bindparam("name"))
    .where(calls.c.conversation_id == bindparam("conversation"))
)
_TALKING = sql(
    select(calls.c.conversation_id)
    .where(calls.c.ended_us.is_(None), calls.c.channel_id == bindparam("channel"), calls.c.talk_us.is_not(None))
    .order_by(calls.c.came_us)
    .limit(10_000)
)
_ENDED = sql(
    update(calls)
    .values(ended_us=bindparam("now_us"), process_id=None)
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.ended_us.is_(None))
)
_LET_GO = sql(
    update(calls)
    .values(process_id=None)
    .where(calls.c.conversation_id == bindparam("conversation"), calls.c.attempt == bindparam("mine"))
)
_RECORDING = sql(update(calls).values(recording=bindparam("name")).where(calls.c.conversation_id == bindparam("conversation")))
_VOICEMAIL = sql(update(calls).values(voicemail=bindparam("name")).where(calls.c.conversation_id == bindparam("conversation")))
_PROBLEM = sql(update(calls).values(problem=bindparam("words")).where(calls.c.conversation_id == bindparam("conversation")))
_OLD_SOUNDS = sql(
    select(*cols(calls, "conversation_id recording voicemail"))
    .where(or_(calls.c.recording != "", calls.c.voicemail != ""), calls.c.ended_us < bindparam("before_us"))
    .order_by(calls.c.ended_us)
    .limit(bindparam("most"))
)
_DELETED = sql(update(calls).values(recording="", voicemail="").where(calls.c.conversation_id == bindparam("conversation")))
_FIND = sql(
    select(*cols(calls, _COLUMNS))
    .join_from(calls, conversations, conversations.c.id == calls.c.conversation_id)
    .where(conversations.c.channel_id == bindparam("channel"), conversations.c.key == bindparam("uniqueid"))
)
_OFFERED = sql(
    select(offers.c.operator_id)
    .join_from(conversations, offers, offers.c.session_id == conversations.c.session_id)
    .where(conversations.c.id == bindparam("conversation"), offers.c.offer_no == bindparam("offer"))
    .order_by(offers.c.operator_id)
)
_OPEN = sql(
    select(calls.c.conversation_id, conversations.c.key, *cols(calls, "uniqueid outgoing"))
    .join_from(calls, conversations, conversations.c.id == calls.c.conversation_id)
    .where(calls.c.ended_us.is_(None), calls.c.channel_id == bindparam("channel"))
    .order_by(calls.c.came_us)
    .limit(10_000)
)
_STANDS = sql(
    select(sessions.c.state, *cols(conversations, "key input_seq worked_seq"), *cols(calls, _LEGS))
    .select_from(conversations)
    .join(calls, calls.c.conversation_id == conversations.c.id)
    .outerjoin(sessions, sessions.c.id == conversations.c.session_id)
    .where(conversations.c.id == bindparam("conversation"))
)
_WAITS = sql(
    select(*cols(sessions, "line_id channel_id rank queued_us id"))
    .join_from(conversations, sessions, sessions.c.id == conversations.c.session_id)
    .where(conversations.c.id == bindparam("conversation"), sessions.c.status == "queued")
)
_AHEAD = sql(
    select(func.count())
    .select_from(sessions)
    .where(
        sessions.c.status == "queued",
        sessions.c.line_id == bindparam("line"),
        sessions.c.channel_id == bindparam("channel"),
        tuple_(sessions.c.rank, sessions.c.queued_us, sessions.c.id)
        < tuple_(bindparam("rank_is"), bindparam("queued"), bindparam("session")),
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """A row of the table; what is not needed to go on with the call is left out."""

    id: ConversationId
    channel_id: ChannelId
    number: str
    called: str
    leg: str
    attempt: int
    rung: int
    operator_id: OperatorId | None
    talk_at: datetime | None
    ended_at: datetime | None
    recording: str
    voicemail: str


class Stands(msgspec.Struct, frozen=True):
    """How the call's session stands, as far as its caller's leg follows it."""

    id: SessionId
    line_id: LineId
    status: Status
    operator_id: OperatorId | None = None
    offered_to: tuple[OperatorId, ...] = ()
    offered_until: datetime | None = None
    offer_no: int = 0
    held_why: str = ""
    sent_because: str = ""
    elsewhere: str = ""
    """Where its caller was sent: voicemail, forward, hang_up, away; empty: nowhere."""
    forward_to: str = ""
    held: bool = False
    consulted: OperatorId | None = None
    consult_no: int = 0
    consult_lifted: bool = False
    listens: OperatorId | None = None
    listens_how: str = ""
    listen_no: int = 0


@dataclass(frozen=True, slots=True)
class Legs:
    """The channels of a call, as the exchange names them, and what has been done with them."""

    name: str
    """What the call is named by."""
    caller: str
    """Of the caller: what no other channel is ever named. (Those below are named anew by each start of the exchange.)"""
    operator_id: OperatorId | None
    talk: str
    """Of whoever speaks with the caller, or has put them on hold: *operator_id*."""
    consult: str
    consult_rung: int
    parked: int
    listened: int
    talks: bool
    """There is a talk, on hold or not."""
    ended: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the call's session shows. *stands* is None while it has none; *decided*: then it will have none."""

    stands: Stands | None
    decided: bool
    now: datetime
    legs: Legs


_STATE = msgspec.json.Decoder(Stands)


def _call(row: Row) -> Call:
    id_, channel, number, called, leg, attempt, rung, operator, talk_us, ended_us, recording, voicemail = row
    return Call(
        id_,
        channel,
        number,
        called,
        leg,
        attempt,
        rung,
        operator,
        from_us(talk_us) if talk_us is not None else None,
        from_us(ended_us) if ended_us is not None else None,
        recording,
        voicemail,
    )


def claim(
    tx: Tx, conversation: ConversationId, channel: ChannelId, number: str, called: str, process: str, channel_name: str
) -> Call:
    """Take the call, which the exchange has asked about; whoever had it has it no more."""
    tx.run(_NEW, conversation_id=conversation, channel_id=channel, number=number, called=called, came_us=to_us(tx.now))
    row = tx.one(_CLAIM, conversation=conversation, process=process, channel_name=channel_name)
    assert row is not None
    return _call(row)


def find(tx: Tx, channels: Collection[ChannelId], uniqueid: str) -> Call | None:
    """Return the call of one of *channels* that Asterisk names *uniqueid*."""
    found = (tx.one(_FIND, channel=channel, uniqueid=uniqueid) for channel in channels)
    row = next((one for one in found if one is not None), None)
    return _call(row) if row is not None else None


def find_out(tx: Tx, channels: Collection[ChannelId], uniqueid: str) -> Call | None:
    """Return the call that we have made whose customer's channel the exchange names *uniqueid*."""
    id_ = open_calls(tx, channels).get(uniqueid)
    row = tx.one(_CALL, conversation=id_) if id_ is not None else None
    return _call(row) if row is not None else None


def one(tx: Tx, conversation: ConversationId) -> Call | None:
    """Return the call of a conversation."""
    row = tx.one(_CALL, conversation=conversation)
    return _call(row) if row is not None else None


def offered(tx: Tx, conversation: ConversationId, offer_no: int) -> list[OperatorId]:
    """Return to whom the call was offered under the number *offer_no*."""
    return [operator for (operator,) in tx.all(_OFFERED, conversation=conversation, offer=offer_no)]


def look(tx: Tx, conversation: ConversationId) -> Look | None:
    """Return how the call's session stands now; None: there is no such call."""
    row = tx.one(_STANDS, conversation=conversation)
    if row is None:
        return None
    (
        state,
        key,
        came,
        decided,
        uniqueid,
        outgoing,
        operator,
        talk_leg,
        consult,
        rung,
        parked,
        listened,
        talk_us,
        talk_ended_us,
        ended_us,
    ) = row
    talks = talk_us is not None and talk_ended_us is None
    legs = Legs(
        key, uniqueid if outgoing else key, operator, talk_leg, consult, rung, parked, listened, talks, ended_us is not None
    )
    return Look(_STATE.decode(state) if state is not None else None, decided >= came, tx.now, legs)


def ring(tx: Tx, call: Call, offer_no: int) -> bool:
    """Say that phones are rung for the offer *offer_no*; False: they were, or the call is another's by now."""
    return bool(tx.run(_RING, conversation=call.id, mine=call.attempt, offer=offer_no, now_us=to_us(tx.now)))


def talk(tx: Tx, conversation: ConversationId, operator: OperatorId, phone: str) -> None:
    """Say that *operator* talks with the caller from now on, by the channel *phone*."""
    tx.run(_TALK, conversation=conversation, operator=operator, phone=phone, now_us=to_us(tx.now))


def join(tx: Tx, conversation: ConversationId, operator: OperatorId | None, phone: str) -> None:
    """Say that the caller, who has been talking or on hold, speaks with *operator* now, by the channel *phone*."""
    tx.run(_JOIN, conversation=conversation, operator=operator, phone=phone)


def park(tx: Tx, conversation: ConversationId) -> bool:
    """Say that caller and operator are taken apart, for the caller is on hold; False: they were."""
    return bool(tx.run(_PARK, conversation=conversation))


def unpark(tx: Tx, conversation: ConversationId) -> None:
    """Say that they could not be."""
    tx.run(_UNPARK, conversation=conversation)


def ask(tx: Tx, conversation: ConversationId, number: int) -> bool:
    """Say that a colleague's phone is rung for the asking *number*; False: it was."""
    return bool(tx.run(_ASK, conversation=conversation, number=number))


def asked(tx: Tx, conversation: ConversationId, number: int, phone: str) -> None:
    """Say by which channel the colleague of the asking *number* speaks."""
    tx.run(_ASKED, conversation=conversation, number=number, phone=phone)


def listen(tx: Tx, conversation: ConversationId, number: int) -> bool:
    """Say that a supervisor's phone is rung for the wish *number* to hear the call; False: it was."""
    return bool(tx.run(_LISTEN, conversation=conversation, number=number))


def talking(tx: Tx, channels: Collection[ChannelId]) -> list[ConversationId]:
    """Return the calls of *channels* that somebody has answered and that are not known to have ended."""
    return [id_ for channel in channels for (id_,) in tx.all(_TALKING, channel=channel)]


def taken_away(tx: Tx, conversation: ConversationId) -> None:
    """Say that the caller is with nobody of the house any more, and not on hold."""
    talk_ended(tx, conversation)
    unpark(tx, conversation)


def talk_ended(tx: Tx, conversation: ConversationId) -> None:
    """Say that the talk is over, if there was one and it is not known yet."""
    tx.run(_TALK_ENDED, conversation=conversation, now_us=to_us(tx.now))


def ended(tx: Tx, conversation: ConversationId) -> None:
    """Say that the exchange knows the call no more."""
    talk_ended(tx, conversation)
    tx.run(_ENDED, conversation=conversation, now_us=to_us(tx.now))


def let_go(tx: Tx, call: Call) -> None:
    """Say that nobody tells the exchange what to do with the call now."""
    tx.run(_LET_GO, conversation=call.id, mine=call.attempt)


def open_calls(tx: Tx, channels: Collection[ChannelId]) -> dict[str, ConversationId]:
    """Return the calls of *channels* that are not known to have ended, by what Asterisk names them.

    One that we make has no name there before its customer answers: it is left out.
    """
    rows = (row for channel in channels for row in tx.all(_OPEN, channel=channel))
    return {uniqueid if outgoing else key: id_ for id_, key, uniqueid, outgoing in rows if uniqueid or not outgoing}


def begin_out(tx: Tx, conversation: ConversationId, channel: ChannelId, number: str) -> None:
    """Keep a call that is to be made to *number*."""
    tx.ring(Bell.CALL, conversation)
    tx.run(_NEW_OUT, conversation_id=conversation, channel_id=channel, number=number, came_us=to_us(tx.now), outgoing=1)


def asked_for(tx: Tx, number: str, since: datetime) -> tuple[int, int]:
    """Return how many calls that we make to *number* are not over, and how many were asked for *since*."""
    row = tx.one(_ASKED_FOR, number=number, since_us=to_us(since))
    assert row is not None
    return int(row[0]), int(row[1])


def entered(tx: Tx, channels: Collection[ChannelId], name: str) -> tuple[str, datetime, datetime] | None:
    """Return of the call that its asker named *name*: its number, when it was asked for, and for when; None: there is none."""
    for channel in channels:
        if (row := tx.one(_ENTERED, channel=channel, name=name)) is not None:
            event = Codec.decode(row[0])
            assert isinstance(event, ContactMessage)
            return row[1], event.at, event.due or event.at
    return None


def has_another(tx: Tx, call: Call) -> bool:
    """Return whether whoever is at the call's number has another call that is not over."""
    return tx.one(_OTHERS_OPEN, channel=call.channel_id, number=call.number, conversation=call.id) is not None


def open_out(tx: Tx, channels: Collection[ChannelId]) -> list[tuple[Call, str]]:
    """Return the calls of *channels* for which phones are to ring, or that are over with nobody reached; with their names."""
    return [(_call(row[:-1]), row[-1]) for channel in channels for row in tx.all(_OPEN_OUT, channel=channel)]


def lifted_out(tx: Tx, conversation: ConversationId, operator: OperatorId, phone: str) -> bool:
    """Say that *operator* has lifted the phone *phone* to call the customer, who is called now; False: somebody has, or it is over."""
    return bool(tx.run(_LIFTED_OUT, conversation=conversation, operator=operator, phone=phone, now_us=to_us(tx.now)))


def not_reached(tx: Tx, conversation: ConversationId) -> None:
    """Say that the customer has not answered."""
    tx.run(_NOT_REACHED, conversation=conversation)


def reached(tx: Tx, conversation: ConversationId, uniqueid: str) -> None:
    """Say that the customer has answered now; *uniqueid* is what the exchange names their channel."""
    tx.run(_REACHED, conversation=conversation, now_us=to_us(tx.now), name=uniqueid)


def position(tx: Tx, conversation: ConversationId) -> int:
    """Return which of the calls that wait in the line the call is, 1 for the next; 0: it does not wait."""
    row = tx.one(_WAITS, conversation=conversation)
    if row is None:
        return 0
    line, channel, rank, queued, session = row
    ahead = tx.one(_AHEAD, line=line, channel=channel, rank_is=rank, queued=queued, session=session)
    return 1 + (ahead[0] if ahead is not None else 0)


def keep_recording(tx: Tx, conversation: ConversationId, name: str) -> None:
    """Keep the name of the file with the talk."""
    tx.run(_RECORDING, conversation=conversation, name=name)


def keep_voicemail(tx: Tx, conversation: ConversationId, name: str) -> None:
    """Keep the name of the file with what the caller said to the machine."""
    tx.run(_VOICEMAIL, conversation=conversation, name=name)


def old_sounds(tx: Tx, before: datetime, most: int) -> list[tuple[ConversationId, str, str]]:
    """Return calls that ended before *before* and still have something to be heard, the oldest first, with the names of both files."""
    return [(id_, recording, voicemail) for id_, recording, voicemail in tx.all(_OLD_SOUNDS, before_us=to_us(before), most=most)]


def deleted(tx: Tx, conversation: ConversationId) -> None:
    """Say that there is nothing of the call to be heard any more."""
    tx.run(_DELETED, conversation=conversation)


def keep_problem(tx: Tx, conversation: ConversationId, words: str) -> None:
    """Keep what went wrong with the call, in words for an administrator."""
    tx.run(_PROBLEM, conversation=conversation, words=words[:500])
