"""What can happen to a conversation: the inputs that `broker.inbound.accept` stores and the worker decides.

An event is small and carries no text: texts stand in `messages` (or in the input's raw bytes until they do), so that the
journal, which keeps events for ever, keeps nobody's words. `at` is when the input was accepted, aware UTC.

Encoding is canonical JSON (keys in declared order, the tag first): the same event is the same bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from broker.domain import FileId, LineId, MessageId, OperatorId, Person, Rating, SessionId, Source
from broker.extras import Extra


class _Event(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, forbid_unknown_fields=True):
    """The root of all events; `at` is the moment of acceptance."""

    at: datetime


# --- from the customer


class ContactMessage(_Event, frozen=True, tag="contact_message"):
    """The contact wrote, calls, or is to be called at *due*; the message already stands in `messages`.

    Of a call that is to be made *operator_id* says by whom if they can; *now*: by nobody else, for they want it.
    """

    message_id: MessageId
    due: datetime | None = None
    operator_id: OperatorId | None = None
    now: bool = False


class Rated(_Event, frozen=True, tag="rated"):
    """The contact pressed a button of the question how it was; *session_id*: the session that the question was about."""

    rating: Rating
    session_id: SessionId | None = None


class CallEnded(_Event, frozen=True, tag="call_ended"):
    """The call is over: the caller or the operator hung up, or the telephone exchange knows it no more (*lost*)."""

    lost: bool = False


class TalkEnded(_Event, frozen=True, tag="talk_ended"):
    """The operator's phone was put down, or is gone; the caller is still there.

    *missing*: it was gone when the caller, who had been on hold, was to speak with them again.
    """

    operator_id: OperatorId
    missing: bool = False


class TalkMoved(_Event, frozen=True, tag="talk_moved"):
    """The operator has passed the talk on by their phone alone: who speaks with the caller now is *operator_id*, or a *number* outside."""

    operator_id: OperatorId | None = None
    number: str = ""


class ConsultAnswered(_Event, frozen=True, tag="consult_answered"):
    """The colleague has lifted the phone by which they were asked about a call."""

    operator_id: OperatorId


class ConsultEnded(_Event, frozen=True, tag="consult_ended"):
    """The colleague is not asked any more; *how*: talked, or as of RingEnded."""

    operator_id: OperatorId
    how: str


class ListenBegan(_Event, frozen=True, tag="listen_began"):
    """The supervisor has lifted the phone, and hears the talk."""

    operator_id: OperatorId


class ListenEnded(_Event, frozen=True, tag="listen_ended"):
    """The supervisor hears it no more, or has not lifted the phone."""

    operator_id: OperatorId


class HoldFailed(_Event, frozen=True, tag="hold_failed"):
    """The telephone exchange did not take the two apart: they talk on."""


class CustomerReached(_Event, frozen=True, tag="customer_reached"):
    """Whoever was called by us has answered, and is on the line."""


class CustomerNotReached(_Event, frozen=True, tag="customer_not_reached"):
    """Whoever was called by us has not answered; *how* as of RingEnded."""

    how: str


class ForwardEnded(_Event, frozen=True, tag="forward_ended"):
    """The number outside to which the call was sent has not answered; *how* as of RingEnded."""

    how: str


class CallReady(_Event, frozen=True, tag="call_ready"):
    """The caller has heard the greeting and the menu, and has chosen nothing: they wait from now on."""


class KeyPressed(_Event, frozen=True, tag="key_pressed"):
    """The caller has chosen by *key* in the line's menu, or has dialled the extension of an operator."""

    key: str = ""
    operator_id: OperatorId | None = None


class CallRated(_Event, frozen=True, tag="call_rated"):
    """The caller has rated the talk by a key, 1 to 5."""

    stars: int


class VoicemailLeft(_Event, frozen=True, tag="voicemail_left"):
    """The caller has spoken to the machine; what they said is kept with the call."""

    seconds: int


class RingAnswered(_Event, frozen=True, tag="ring_answered"):
    """The operator has lifted the phone: they talk, whatever has become of the offer meanwhile."""

    operator_id: OperatorId


class RingEnded(_Event, frozen=True, tag="ring_ended"):
    """The phones of *operators* ring no more for the offer *offer_no*.

    *how*: declined, ran_out, busy, unreachable (it cannot be called), gone (who made it ring is gone).
    """

    operators: tuple[OperatorId, ...]
    offer_no: int
    how: str


class ContactDetails(_Event, frozen=True, tag="contact_details"):
    """The contact told a name, phone or e-mail outside a message (a form); the contact is already completed."""


class MessageChanged(_Event, frozen=True, tag="message_changed"):
    """The message *message_seq* is another than it was: worded anew, taken back, reacted to, or one more file of an album came for it.

    It is so already in `messages`. *what*: edited, deleted, reacted, added.
    """

    message_seq: int
    what: str


class AnsweredElsewhere(_Event, frozen=True, tag="answered_elsewhere"):
    """Somebody of our side wrote to the customer in the provider's own program; it stands in `messages`."""

    message_id: MessageId


class ReachChanged(_Event, frozen=True, tag="reach_changed"):
    """The customer takes our messages no more, or again; the conversation says so already."""

    reachable: bool


class Receipt(_Event, frozen=True, tag="receipt"):
    """The contact's side has every message up to *upto* (a seq); *read* when it was also on screen."""

    upto: int
    read: bool = False


# --- from an operator


class _Deed(_Event, frozen=True):
    operator_id: OperatorId
    command: str


class OperatorEvent(_Deed, frozen=True, kw_only=True, omit_defaults=True):
    """The root of what an operator does; *command* is the console's id of the deed, echoed in a refusal.

    *session_id*: the session it is meant for; in another of the same conversation, begun meanwhile, it is not done.
    """

    session_id: SessionId | None = None


class Take(OperatorEvent, frozen=True, tag="take"):
    """The operator takes the session: accepts an offer, or picks it from the list."""


class Decline(OperatorEvent, frozen=True, tag="decline"):
    """The operator does not want what they were offered."""


class Reply(OperatorEvent, frozen=True, tag="reply"):
    """The operator writes to the customer; words may be none where there are *files*.

    *answers*: the seq of the message it answers; *asks_phone*: with a button that tells the customer's phone.
    """

    message_id: MessageId
    files: tuple[FileId, ...] = ()
    answers: int = 0
    asks_phone: bool = False


class Reword(OperatorEvent, frozen=True, kw_only=True, tag="reword"):
    """The operator words anew what was sent as *message_seq*; the new words are the input's raw bytes."""

    message_seq: int


class TakeBack(OperatorEvent, frozen=True, kw_only=True, tag="take_back"):
    """The operator takes back what was sent as *message_seq*."""

    message_seq: int


class OperatorGone(_Event, frozen=True, tag="operator_gone"):
    """The operator is not there any more for what is offered to them; *vanished*: nor for what they hold; *removed*: for good."""

    operator_id: OperatorId
    vanished: bool = False
    removed: bool = False


class Transfer(OperatorEvent, frozen=True, tag="transfer"):
    """The operator passes the session on: to a colleague, or to a line's queue, with a note (a message of their own) if they wrote one.

    *assigned*: without asking the colleague; a supervisor's deed.
    """

    to_operator: OperatorId | None = None
    to_line: LineId | None = None
    assigned: bool = False
    message_id: MessageId | None = None
    """The note's."""
    to_number: str = ""
    """Of a call: a number outside."""
    by_phone: bool = False
    """Done by the phone itself: the caller has been taken from the operator already, and what cannot be done leaves them in the queue."""


class Hold(OperatorEvent, frozen=True, tag="hold"):
    """The operator lets the caller hear music for a while."""


class Resume(OperatorEvent, frozen=True, tag="resume"):
    """The operator speaks with the caller again, and no longer with a colleague about it."""


class Settle(OperatorEvent, frozen=True, tag="settle"):
    """The operator has seen to a call that nobody answered: its caller is not waited for any more."""


class Listen(OperatorEvent, frozen=True, tag="listen"):
    """A supervisor lets their phone ring to hear the talk: *how* is listen, whisper (the operator hears them) or barge (both do)."""

    how: str = "listen"


class Consult(OperatorEvent, frozen=True, tag="consult"):
    """The operator calls a colleague about the call, whose caller hears music meanwhile."""

    colleague: OperatorId


class Invite(OperatorEvent, frozen=True, tag="invite"):
    """The operator asks a colleague to join."""

    colleague: OperatorId


class Join(OperatorEvent, frozen=True, tag="join"):
    """A colleague or a supervisor joins: reads along, and may write."""


class LeaveSession(OperatorEvent, frozen=True, tag="leave"):
    """One who joined, or was invited, leaves."""


class TakeOver(OperatorEvent, frozen=True, tag="take_over"):
    """A supervisor takes the session from whoever has it."""


class Spam(OperatorEvent, frozen=True, tag="spam"):
    """The session is spam: it closes without a word. *ban*: and what the contact writes later opens none."""

    ban: bool = False


class Start(OperatorEvent, frozen=True, tag="start"):
    """The operator writes first."""

    message_id: MessageId


class Snooze(OperatorEvent, frozen=True, tag="snooze"):
    """The operator puts the session by until *until*, or until the customer writes."""

    until: datetime


class Note(OperatorEvent, frozen=True, tag="note"):
    """The operator writes to colleagues only."""

    message_id: MessageId


class Close(OperatorEvent, frozen=True, tag="close"):
    """The operator ends the session; *outcome* is a word for reports, may be empty."""

    outcome: str = ""


# --- from time


class OfferExpired(_Event, frozen=True, tag="offer_expired"):
    """The time to answer the offers of *offer_no* has passed."""

    offer_no: int


class RoundDue(_Event, frozen=True, tag="round_due"):
    """The next round over the seats may begin."""


class NoAnswerDue(_Event, frozen=True, tag="no_answer_due"):
    """The customer has waited for a first answer as long as the line allows."""


class SnoozeEnded(_Event, frozen=True, tag="snooze_ended"):
    """The time to which the session was put by has come."""


class SilenceDue(_Event, frozen=True, tag="silence_due"):
    """Nobody has written for as long as the line allows."""


class KpiDue(_Event, frozen=True, tag="kpi_due"):
    """The customer has waited for an answer longer than the line promises."""


class ReopenEnded(_Event, frozen=True, tag="reopen_ended"):
    """The reopen window of a closed session has passed: its transcript is frozen."""


# --- from the distributor


class Offered(_Event, frozen=True, tag="offered"):
    """The distributor proposes the session to *operators* until *until*; *reasons* say why to them (see routing.distribution)."""

    operators: tuple[OperatorId, ...]
    until: datetime
    fresh_round: bool
    rule: str = ""
    """What chose them: the line's distribution, or `responsible`."""
    renewed: bool = False
    """The pool changed, so a session whose rounds had run out begins at round one again."""


class Held(_Event, frozen=True, tag="held"):
    """The distributor keeps the session back until *until*, None: until the pool changes.

    *why*: round, rounds_over, responsible, skill (see routing.distribution); nobody: there is nobody whom it could be offered; hours: its
    line has closed, or opens at another time than was said. *changes*: of rounds that are over, the line's count of changes by then.
    """

    until: datetime | None
    why: str
    rounds_over: bool = False
    renewed: bool = False
    changes: int = 0


SessionEvent = (
    ContactMessage
    | Take
    | Decline
    | Reply
    | Note
    | Close
    | Transfer
    | Invite
    | Join
    | LeaveSession
    | TakeOver
    | Spam
    | Start
    | Snooze
    | Rated
    | Hold
    | Resume
    | Consult
    | Listen
    | Settle
    | CallEnded
    | TalkEnded
    | TalkMoved
    | ConsultAnswered
    | ConsultEnded
    | ListenBegan
    | ListenEnded
    | HoldFailed
    | ForwardEnded
    | CustomerReached
    | CustomerNotReached
    | CallReady
    | KeyPressed
    | CallRated
    | VoicemailLeft
    | RingAnswered
    | RingEnded
    | OperatorGone
    | OfferExpired
    | RoundDue
    | NoAnswerDue
    | SnoozeEnded
    | SilenceDue
    | KpiDue
    | ReopenEnded
    | Offered
    | Held
)
"""What the engine decides about."""
ConversationEvent = ContactDetails | Receipt | MessageChanged | AnsweredElsewhere | ReachChanged | Reword | TakeBack
"""What changes messages or the contact and leaves the session as it is."""
Event = SessionEvent | ConversationEvent


class Codec:
    """Events to canonical JSON and back."""

    _encoder: ClassVar[msgspec.json.Encoder] = msgspec.json.Encoder()
    _decoder: ClassVar[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)

    @classmethod
    def encode(cls, event: Event) -> str:
        """Return *event* as canonical JSON."""
        return cls._encoder.encode(event).decode()

    @classmethod
    def decode(cls, body: str) -> Event:
        """Return the event written in *body*. Raises msgspec.ValidationError."""
        return cls._decoder.decode(body)


# --- what adapters make of a raw payload


class Wrote(msgspec.Struct, frozen=True):
    """A message from the contact; *text* is plain, and may be empty where there is something beside it."""

    text: str
    client_id: str = ""
    """The writer's own id of the message, given back in history so that a client finds its copy."""
    ref: str = ""
    """The provider's name of the message in its channel, by which it is quoted, changed and reacted to later; empty: it has none."""
    extra: Extra | None = None
    answers: str = ""
    """The ref of the message that it answers."""
    album: str = ""
    """The provider's name of several payloads that are one message: what comes after the first is added to it."""
    recalled: bool = False
    """It was asked for afterwards, where something may have been missed: by its ref it may be here already."""


class AnsweredOutside(msgspec.Struct, frozen=True):
    """Our side wrote to the contact in the provider's own program; fields as of Wrote. One that we sent ourselves is nothing new."""

    text: str
    ref: str
    extra: Extra | None = None
    answers: str = ""


class Changed(msgspec.Struct, frozen=True):
    """The message *ref* says something else now; one that we do not have is taken as it is."""

    ref: str
    text: str
    extra: Extra | None = None


class Deleted(msgspec.Struct, frozen=True):
    """The messages *refs* were taken back by whoever wrote them."""

    refs: tuple[str, ...]


class Reacted(msgspec.Struct, frozen=True):
    """The contact's whole opinion of the message *ref*, as signs; none: taken back."""

    ref: str
    reactions: tuple[str, ...]


class Reach(msgspec.Struct, frozen=True):
    """The contact takes our messages (again), or *why* not: blocked, denied, left."""

    why: str = ""


class Moved(msgspec.Struct, frozen=True):
    """The conversation has another name in its channel from now on."""

    key: str


class Rang(msgspec.Struct, frozen=True):
    """A call; *number* is the caller's as the telephone exchange gives it, empty: withheld."""

    number: str


class AsksCallback(msgspec.Struct, frozen=True):
    """The contact is to be called at *number*; see ContactMessage."""

    number: str
    due: datetime
    operator_id: OperatorId | None = None
    now: bool = False


class Told(msgspec.Struct, frozen=True):
    """Details told in a form; they stand in `Incoming.person`."""


class Saw(msgspec.Struct, frozen=True):
    """Receipt of everything up to the message *upto*, or up to the one that its provider calls *ref*."""

    upto: int = 0
    read: bool = False
    ref: str = ""


class Pressed(msgspec.Struct, frozen=True):
    """A button of a message of ours was pressed; *value* is the button's. One that no message has had is no input."""

    value: str


class Incoming(msgspec.Struct, frozen=True):
    """What one raw payload says: who, in which conversation, and what."""

    key: str
    """The adapter's name of the conversation: a chat, a peer, a mail thread, a visitor."""
    person: Person
    what: Wrote | Rang | AsksCallback | Told | Saw | Pressed | AnsweredOutside | Changed | Deleted | Reacted | Reach | Moved
    source: Source | None = None
