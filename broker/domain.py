"""The words of the product as types: ids, closed sets, a line's settings, the clock's units.

Pure: no I/O, no clock. Everything else imports this file; it imports nothing of ours but the errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, NewType

import msgspec
from annotated_types import Ge, Le, MaxLen, MinLen

from broker.errors import NaiveTime

LineId = NewType("LineId", str)
ChannelId = NewType("ChannelId", str)
ContactId = NewType("ContactId", str)
ConversationId = NewType("ConversationId", str)
SessionId = NewType("SessionId", str)
MessageId = NewType("MessageId", str)
OperatorId = NewType("OperatorId", str)
InputId = NewType("InputId", str)
FileId = NewType("FileId", str)
LeadId = NewType("LeadId", str)

TEXT_MAX = 8_000
"""Characters in one message."""
NAME_MAX = 200
"""Characters in a name of anything."""


class Role(StrEnum):
    """What a user is in the house."""

    ADMINISTRATOR = "administrator"
    SUPERVISOR = "supervisor"
    OPERATOR = "operator"


class PresenceState(StrEnum):
    """Where an operator is; only ONLINE is offered sessions."""

    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


class Status(StrEnum):
    """Where a session is; NEW is the state before the first event."""

    NEW = "new"
    QUEUED = "queued"
    OFFERED = "offered"
    ACTIVE = "active"
    SNOOZED = "snoozed"
    CLOSED = "closed"


class Distribution(StrEnum):
    """How a line chooses among fit seats."""

    EVENLY = "evenly"
    STRICTLY = "strictly"
    ALL_AT_ONCE = "all_at_once"
    LEAST_LOADED = "least_loaded"


class Outside(StrEnum):
    """What becomes of a message written outside the line's hours; whatever it is, the message is kept."""

    KEEP = "keep"
    """It waits for the opening, and the customer is told when that is."""
    REPLY = "reply"
    """The customer is told, and nobody is asked: the session is closed, and stands in the lists and in the CRM."""
    FORM = "form"
    """As KEEP, and the customer is asked how to reach them."""


class OutsideCalls(StrEnum):
    """What becomes of a call outside the line's hours."""

    VOICEMAIL = "voicemail"
    FORWARD = "forward"
    CALLBACK = "callback"
    """Its caller is called back at the opening."""
    HANG_UP = "hang_up"


class UnansweredCalls(StrEnum):
    """What becomes of a call that nobody has answered."""

    VOICEMAIL = "voicemail"
    FORWARD = "forward"
    LINE = "line"
    """It goes to another line's queue, once; the second time it is as VOICEMAIL."""
    CALLBACK = "callback"
    """Its caller is called back."""
    HANG_UP = "hang_up"
    WAIT = "wait"
    """It waits for as long as its caller does."""


class NoAnswer(StrEnum):
    """What becomes of a session whose customer has waited too long for a first answer."""

    TEXT = "text"
    """The customer is told that everybody is busy."""
    QUEUE = "queue"
    """Whoever has taken it and does not answer loses it to the queue."""
    LINE = "line"
    """It goes to another line's queue, once; when that is shut, the customer is told."""
    NOTHING = "nothing"


class LoadCounts(StrEnum):
    """When a session counts in its operator's budget; mail always counts while it is unanswered only."""

    OPEN = "open"
    """While it is theirs and not snoozed."""
    UNANSWERED = "unanswered"
    """While the customer waits for an answer."""
    CLOSED = "closed"
    """Until it is closed, snoozed or not."""


class Rating(StrEnum):
    """What the customer said of a session."""

    GOOD = "good"
    BAD = "bad"


class Vanished(StrEnum):
    """What becomes of the sessions of an operator who has vanished: a closed laptop, a lost line."""

    KEEP = "keep"
    """They stay theirs."""
    UNANSWERED = "unanswered"
    """Those whose customer waits for an answer go back to the queue."""
    QUEUE = "queue"
    """All go back to the queue."""


class Author(StrEnum):
    """Who said a message."""

    CONTACT = "contact"
    OPERATOR = "operator"
    SYSTEM = "system"


class MessageKind(StrEnum):
    """SAID goes to everybody in the conversation; a NOTE never reaches the customer; a CALL is one: its text is the caller's number."""

    SAID = "said"
    NOTE = "note"
    CALL = "call"


class Fate(StrEnum):
    """What has become of an outgoing message; RECEIVED marks an incoming one."""

    RECEIVED = "received"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"
    CANCELLED = "cancelled"
    NOTED = "noted"


class PointKind(StrEnum):
    """What a contact point is: an identity in one channel, or an address valid everywhere."""

    CHANNEL = "channel"
    PHONE = "phone"
    EMAIL = "email"


class LoadKind(StrEnum):
    """Which weight of the line a channel's session has."""

    CHAT = "chat"
    MAIL = "mail"
    CALL = "call"


class Delivered(StrEnum):
    """How a channel delivers: who may call the provider, and when a message counts as sent."""

    PUSH = "push"
    HELD = "held"
    STREAM = "stream"


class WelcomeWhen(StrEnum):
    """When the welcome text is said."""

    SESSION = "session"
    FIRST_TIME = "first_time"
    NEVER = "never"


class LeadRule(StrEnum):
    """What the CRM makes of a new contact."""

    LEAD = "lead"
    NOTHING = "nothing"


class OperatorIdentity(StrEnum):
    """Whose name the customer sees above an operator's answer."""

    OWN = "own"
    LINE = "line"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many messages a provider takes; what is above is not sent, and waits."""

    per_second: float
    burst: int
    """At once, after a rest."""
    of: Literal["channel", "conversation"] = "channel"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can do, as data; the core asks this and never a channel's name."""

    delivered: Delivered
    load: LoadKind
    idempotent: bool
    """A message sent twice under one key is shown once."""
    reaches_absent: bool
    """A message finds the customer who has gone: a chat account or a mailbox, not a web page."""
    text_max: int = TEXT_MAX
    buttons: bool = False
    """A message may offer answers to press; without it the customer is asked to write one."""
    polled: bool = False
    """Its messages must be asked for, in one process of the house at a time (`Channel.receive`)."""
    rates: tuple[Rate, ...] = ()
    """What the provider takes, of all processes together; a conversation's before the channel's."""
    files_max: int = 0
    """Bytes of the largest file it takes; 0: it takes none."""
    quotes: bool = False
    """A message may show which one it answers."""
    edits: bool = False
    """What has been sent can be worded anew (`EditsMessages`)."""
    deletes: bool = False
    """What has been sent can be taken back (`EditsMessages`)."""
    asks_phone: bool = False
    """A message may show a button by which the customer tells their phone."""
    profiles: bool = False
    """Who a customer is can be asked of the provider (`KnowsPeople`)."""


ReplyText = Annotated[str, MaxLen(2_000)]
Texts = dict[Annotated[str, MinLen(2), MaxLen(35)], ReplyText]
"""A text by language tag (`en`, `ru`); an empty text says nothing."""


def base_language(tag: str) -> str:
    """Return the language of *tag* without its region, in small letters: `ru` of `ru-RU`."""
    return tag.partition("-")[0].lower()


REPLY_FIELDS = ("contact.name", "operator.name", "line.name", "opens_at", "queue.position")
"""What a line's texts may name in braces."""

Skill = Annotated[str, MinLen(1), MaxLen(40)]
"""A tag of what an operator can and a session may need: `billing`, `returns`."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What one session takes of an operator's budget of 100, by the channel's load kind."""

    chat: Annotated[int, Ge(0), Le(1_000)] = 25
    mail: Annotated[int, Ge(0), Le(1_000)] = 5
    call: Annotated[int, Ge(0), Le(1_000)] = 50

    def of(self, load: LoadKind) -> int:
        """Return the weight of one session of the kind *load*."""
        return int(getattr(self, load.value))


Sound = Annotated[str, MaxLen(120)]
"""A recording as Asterisk names it, below its folder of sounds and without its ending: `custom/welcome`; `our/` and the name of one of
ours; empty: none."""

OUR_SOUNDS = "our/"
"""Before the name of a sound that was uploaded to us, where settings name one."""
FILE_BYTES_MAX = 50 * 1_048_576
"""Of one file that a message brings, in or out."""
SOUND_BYTES_MAX = 10 * 1_048_576
"""Of one that is uploaded: ten minutes and a half."""
MUSIC_MAX = 9
"""Pieces of music of ours: each is a class of music on hold in Asterisk's configuration, which is written once."""


class KeyDoes(StrEnum):
    """What a key of a line's voice menu does."""

    QUEUE = "queue"
    """The caller waits in this line."""
    LINE = "line"
    OPERATOR = "operator"
    """They wait for one operator first, and then for anybody."""
    CALLBACK = "callback"
    VOICEMAIL = "voicemail"
    FORWARD = "forward"
    """To the line's `forward_to`."""


@dataclass(frozen=True, slots=True)
class MenuKey:
    """What a key does."""

    does: KeyDoes
    line: Annotated[str, MaxLen(40)] = ""
    """The slug of the line for KeyDoes.LINE."""
    operator: Annotated[str, MaxLen(NAME_MAX)] = ""
    """The login for KeyDoes.OPERATOR."""


Key = Annotated[str, MinLen(1), MaxLen(1)]
"""0 to 9, * or #."""


@dataclass(frozen=True, slots=True)
class CallMenu:
    """What a caller may choose by key before they wait: one level."""

    sound: Sound = ""
    """Says which key does what; empty: there is no menu."""
    keys: dict[Key, MenuKey] = field(default_factory=dict)
    extensions: bool = False
    """Two to six digits call the operator whose phone has that number."""
    seconds: Annotated[int, Ge(1), Le(60)] = 5
    """How long a key is waited for once the sound is over."""
    times: Annotated[int, Ge(1), Le(5)] = 2
    """How often the sound is played to somebody who presses none; then they wait in the line."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What becomes of a line's calls beside what becomes of everything: ringing, music, recording, nobody answering."""

    ring_seconds: Annotated[int, Ge(5), Le(120)] = 20
    """How long an operator's phone rings before the next one's does."""
    greeting: Sound = ""
    """Played once, before the caller waits: no phone rings until it is over."""
    menu: CallMenu = CallMenu()
    outside_sound: Sound = ""
    """Played to a caller outside the hours, before whatever the line does with them."""
    music: Annotated[str, MinLen(1), MaxLen(80)] = "default"
    """Asterisk's class of music on hold, or `our/` and the name of a piece of ours."""
    position_seconds: Annotated[int, Ge(0), Le(600)] = 60
    """How often a waiting caller is told their place in the queue; 0: never."""
    record: bool = True
    """From the answer on, both sides."""
    rating_sound: Sound = ""
    """Asks the caller to rate the talk by a key from 1 to 5, when the operator has hung up; empty: nobody is asked."""
    no_answer_seconds: Annotated[int, Ge(0), Le(3_600)] = 120
    """How long a caller waits before *no_answer_does* is done; 0: until everybody was asked. Where nobody is there it is done at once."""
    no_answer_does: UnansweredCalls = UnansweredCalls.VOICEMAIL
    no_answer_line: Annotated[str, MaxLen(40)] = ""
    """The slug of the line for UnansweredCalls.LINE."""
    forward_to: Annotated[str, MaxLen(80)] = ""
    """The number for FORWARD, here and outside the hours."""
    voicemail_greeting: Sound = "vm-intro"
    voicemail_seconds: Annotated[int, Ge(5), Le(600)] = 120
    callback_sound: Sound = ""
    """Tells a caller that they will be called back; empty: the call ends without a word."""
    callback_seconds: Annotated[int, Ge(0), Le(86_400)] = 300
    """How long after a call that nobody answered, or that was interrupted, its caller is called back."""
    callback_lost: bool = True
    """Whose call was interrupted, by an exchange that died as an example, is called back."""
    customer_seconds: Annotated[int, Ge(5), Le(120)] = 45
    """How long a customer's phone rings whom we call."""
    callback_tries: Annotated[int, Ge(1), Le(20)] = 3
    """How often a customer who does not answer is called."""
    callback_retry_seconds: Annotated[int, Ge(30), Le(86_400)] = 900
    """How long after one that was not answered they are called again."""
    chats_too: bool = False
    """Who rings or talks may be offered chats and mails."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Everything a line's administrator may set; the defaults are the product's."""

    distribution: Distribution = Distribution.EVENLY
    offer_seconds: Annotated[int, Ge(5), Le(43_200)] = 60
    rounds: Annotated[int, Ge(1), Le(100)] = 3
    priority: Annotated[int, Ge(-100), Le(100)] = 0
    """One point counts as ten minutes of waiting (routing.distribution)."""
    hours: dict[str, Any] | None = None
    """Working hours as `broker.hours.raw_of` writes them; None: always open."""
    outside: Outside = Outside.KEEP
    outside_calls: OutsideCalls = OutsideCalls.HANG_UP
    calls: CallSettings = CallSettings()
    outside_text: Texts = field(default_factory=dict)
    opening_pace_seconds: Annotated[int, Ge(0), Le(3_600)] = 20
    """A seat is offered one session of those that waited for the opening in so many seconds; 0: as fast as capacity allows."""
    responsible_first: bool = True
    responsible_seconds: Annotated[int, Ge(0), Le(43_200)] = 60
    """How long a known customer waits for their own operator, who is there and has no room, before they are everybody's."""
    skills: tuple[Skill, ...] = ()
    """Tags that an operator must have to be offered a session of the line."""
    match_language: bool = False
    """The operator must speak the contact's language, when that is known."""
    skill_seconds: Annotated[int, Ge(0), Le(86_400)] = 120
    """After so long a session that still waits may go to anybody."""
    vanished: Vanished = Vanished.UNANSWERED
    load_counts: LoadCounts = LoadCounts.OPEN
    transfer_seconds: Annotated[int, Ge(5), Le(43_200)] = 60
    """How long a colleague has to take what was passed to them; then it is whose it was."""
    auto_close_seconds: Annotated[int, Ge(0), Le(2_592_000)] = 0
    """An answered session that nobody has written in for so long is closed; 0: never."""
    auto_close_warn_seconds: Annotated[int, Ge(0), Le(86_400)] = 300
    """So long before it the customer is told; 0: not told."""
    auto_close_text: Texts = field(default_factory=dict)
    rating: bool = True
    """The customer is asked after the closing whether it was good."""
    rating_text: Texts = field(default_factory=dict)
    rating_hours: Annotated[int, Ge(1), Le(720)] = 24
    """For so long after the closing an answer is taken as a rating."""
    kpi_first_seconds: Annotated[int, Ge(0), Le(604_800)] = 0
    """Supervisors are told when a first answer takes longer; 0: never."""
    kpi_next_seconds: Annotated[int, Ge(0), Le(604_800)] = 0
    weights: Weights = Weights()
    language: Annotated[str, MinLen(2), MaxLen(35)] = "en"
    identity: OperatorIdentity = OperatorIdentity.OWN
    welcome: WelcomeWhen = WelcomeWhen.SESSION
    welcome_text: Texts = field(default_factory=dict)
    """Empty: the catalogue's text (routing.replies)."""
    no_answer_seconds: Annotated[int, Ge(0), Le(86_400)] = 60
    """How long a customer waits for a first answer before *no_answer_does* is done; 0: for ever."""
    no_answer_does: NoAnswer = NoAnswer.TEXT
    no_answer_line: Annotated[str, MaxLen(40)] = ""
    """The slug of the line for NoAnswer.LINE."""
    no_answer_text: Texts = field(default_factory=dict)
    close_text: Texts = field(default_factory=dict)
    close_says: bool = True
    reopen_seconds: Annotated[int, Ge(0), Le(604_800)] = 600
    lead_rule: LeadRule = LeadRule.LEAD
    source_tag: Annotated[str, MaxLen(100)] = ""
    """What a lead's source says; empty: the line's name."""
    region: Annotated[str, MinLen(2), MaxLen(2)] = "RU"
    """Where a phone written without its country code is from (ISO 3166, two letters)."""
    tracker: bool = True
    """A phone or e-mail written in a message is added to the contact."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line as the process knows it; *version* grows with each change of *settings*."""

    id: LineId
    slug: str
    name: str
    version: int
    settings: LineSettings
    active: bool = True


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel as the process knows it; *settings* are its kind's own."""

    id: ChannelId
    line_id: LineId
    slug: str
    kind: str
    name: str
    settings: dict[str, object]
    version: int
    active: bool = True


@dataclass(frozen=True, slots=True)
class Operator:
    """A person of the house as the process knows them."""

    id: OperatorId
    login: str
    name: str
    role: Role
    language: str
    active: bool
    hours: dict[str, Any] | None = None
    """Shifts, leave and breaks as `broker.hours.raw_of` writes them; None: always on shift."""
    languages: tuple[str, ...] = ()
    """Those they can answer in; none named: that of their console."""
    skills: tuple[str, ...] = ()
    phone: str = ""
    """Where calls ring: an endpoint of the telephone exchange (`PJSIP/101`) or a number outside; empty: they take no calls."""


@dataclass(frozen=True, slots=True)
class OurSound:
    """A sound of ours that callers hear; *digest* is that of its file."""

    name: str
    digest: str
    milliseconds: int
    music: int = 0
    """Its place among the classes of music on hold, 1 to MUSIC_MAX; 0: it is a prompt."""


@dataclass(frozen=True, slots=True)
class Directory:
    """All settings at one moment: lines, channels, who sits where. Replaced whole when anything of it changes."""

    lines: dict[LineId, Line]
    channels: dict[ChannelId, ChannelRow]
    operators: dict[OperatorId, Operator]
    seats: dict[LineId, tuple[OperatorId, ...]]
    """In the order of the queue."""
    pools: dict[LineId, tuple[LineId, ...]]
    """The lines that share operators with a line, itself among them, by ascending id."""
    sounds: dict[str, OurSound] = field(default_factory=dict)
    """By their names."""


def pools_of(sitting: Mapping[LineId, Sequence[OperatorId]]) -> dict[LineId, tuple[LineId, ...]]:
    """Join lines that share an operator, and what those share, until nothing more joins."""
    pool_of: dict[LineId, set[LineId]] = {line: {line} for line in sitting}
    first_line: dict[OperatorId, LineId] = {}
    for line, people in sitting.items():
        for operator in people:
            other = first_line.setdefault(operator, line)
            if pool_of[other] is not pool_of[line]:
                joined = pool_of[other] | pool_of[line]
                for member in joined:
                    pool_of[member] = joined
    return {line: tuple(sorted(pool)) for line, pool in pool_of.items()}


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    """Return *at* as microseconds since 1970 UTC, the store's unit of time. Raises NaiveTime."""
    if at.tzinfo is None:
        raise NaiveTime(f"{at.isoformat()} has no zone; pass an aware datetime")
    return (at - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    """Return the aware UTC datetime of *us* microseconds since 1970."""
    return EPOCH + timedelta(microseconds=us)


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a customer came from; addresses are the visitor's word and are shown as text only."""

    page: str = ""
    title: str = ""
    referrer: str = ""
    utm: dict[str, str] = {}
    start: str = ""
    """The word in the link by which they came, where a provider passes one on."""


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an adapter knows of who is writing; *identity* is the channel's id of the person."""

    identity: str
    name: str = ""
    phones: tuple[str, ...] = ()
    """What they told of themselves; so *emails*."""
    emails: tuple[str, ...] = ()
    language: str = ""
    vouched_phones: tuple[str, ...] = ()
    """Which the provider says are theirs; so *vouched_emails*."""
    vouched_emails: tuple[str, ...] = ()
    nickname: str = ""
    """By which people find them in the channel: `@ann`."""
    profile: str = ""
    """What the provider is asked by to tell more of them (`KnowsPeople`); empty: nothing more is known."""


AGE_SECONDS = 600
"""What one point of priority is worth in waiting.

A session of priority p is never overtaken by one of priority q > p that came more than (q - p) x AGE_SECONDS after it: its rank is
fixed when it begins to wait, and the ranks given after that grow with time. So nobody waits for ever, whatever else comes.
"""


def rank_of(queued_at: datetime, priority: int) -> int:
    """Return a session's place in every queue, ascending: the moment it began to wait, moved back by its priority. Microseconds."""
    return to_us(queued_at) - priority * AGE_SECONDS * 1_000_000
