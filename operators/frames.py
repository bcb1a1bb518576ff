"""The frames of `/ws/operator`: what a console and the gateway say to each other.

JSON text frames, one object each, the tag in `t`. The TypeScript in web/shared is generated from this module. The socket opens
only with the login cookie and an Origin that is our own host.

    console                           gateway
    hello(resume?)                →
                                  ←   snapshot(at, now, me, cards…)       everything on the first screen
                                  ←   updates(n, at, list)                n counts 1, 2, 3… on this socket; `at` is the resume mark
    do(id, session, verb, …)      →
                                  ←   accepted(id)                        stored: it survives any crash; what came of it is an update
                                  ←   refused(id, code, text)             not accepted, or decided against (a late take)
    open(session)                 →
                                  ←   thread(session, messages, more, card, contact)
    older(session, before)        →
                                  ←   older(session, messages, more)
    list(box, after?)             →
                                  ←   page(box, cards, next?)
    pin(session, on)              →
                                  ←   updates with `pins`, and before it the card of what was pinned
    presence(state)               →
                                  ←   updates with `presence`
    typing(session) / leave(session) / ping →  pong

With `hello(resume=AT)` the gateway sends `resumed(at, now)` and the updates since AT, or a new snapshot when AT is too long ago. A
console that reads slower than it is written to is closed with 4409 and resumes.

Close codes: 4400 a frame that cannot be read; 4401 not logged in (any more); 4403 a foreign Origin; 4408 no hello within 5 s;
4409 too slow; 1009 a frame over 64 KiB; 1012 the server restarts.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from broker.extras import Extra

Id = Annotated[str, Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Uuid = Annotated[str, Meta(min_length=36, max_length=36, pattern=r"^[ -~]*$")]
Box = Literal["mine", "waiting", "all", "calls", "missed"]
Presence = Literal["online", "away", "offline"]


class _In(msgspec.Struct, frozen=True, tag_field="t", forbid_unknown_fields=True):
    """A frame from the console."""


class Hello(_In, frozen=True, tag="hello"):
    """The first frame; *resume* is the last `at` this console has applied."""

    resume: Annotated[str, Meta(max_length=4_100)] | None = None


class Do(_In, frozen=True, tag="do"):
    """An operator's deed. *id* is the console's own UUID of it: said again, it is done once."""

    id: Id
    session: Uuid
    verb: Literal[
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
    text: str = ""
    """For reply, note, start and reword: 1..8,000 characters after trimming; of a reply none where it has files.

    With transfer and assign it is a note to whoever is next."""
    outcome: Annotated[str, Meta(max_length=100)] = ""
    """For close."""
    operator: Annotated[str, Meta(max_length=36)] = ""
    """For transfer and assign (or *line*), invite and consult: a colleague's id."""
    line: Annotated[str, Meta(max_length=36)] = ""
    """For transfer and assign: a line's id; the session's own: back to its queue."""
    until: Annotated[int, Meta(ge=0, le=253402300799000)] = 0
    """For snooze: epoch milliseconds."""
    ban: bool = False
    """For spam: what the contact writes from now on opens no session."""
    number: Annotated[str, Meta(max_length=40)] = ""
    """For transfer of a call (or *operator* or *line*): a number outside, as people write it."""
    how: Literal["listen", "whisper", "barge"] = "listen"
    """For listen: nobody hears the supervisor, the operator does, both do."""
    files: Annotated[tuple[Uuid, ...], Meta(max_length=10)] = ()
    """For reply: ids of files uploaded for the session before."""
    answers: Annotated[int, Meta(ge=0, le=9007199254740991)] = 0
    """For reply: the seq of the message that it answers; 0: none."""
    asks_phone: bool = False
    """For reply: with a button by which the customer tells their phone."""
    message: Annotated[int, Meta(ge=0, le=9007199254740991)] = 0
    """For reword and take_back: the seq of an operator's message that was sent."""


class Open(_In, frozen=True, tag="open"):
    """Show the session's thread and send its updates from now on; one is open at a time on a socket."""

    session: Uuid


class Leave(_In, frozen=True, tag="leave"):
    """The thread is no longer on screen."""


class Older(_In, frozen=True, tag="older"):
    """Give the page of the conversation before *before* (a seq); earlier sessions follow on."""

    session: Uuid
    before: Annotated[int, Meta(ge=1)]


class ListBox(_In, frozen=True, tag="list"):
    """Give a page of a list; *after* is the `next` of the page before.

    `calls` are those under way, the latest first, at most 200; `missed` those that nobody answered and whose caller was not spoken with
    since. Updates of `all`, `calls` and `missed` are those of every session: they come while one of the three is the last one asked for.
    """

    box: Box
    after: Annotated[str, Meta(max_length=200, pattern=r"^[ -~]*$")] | None = None


class SetPresence(_In, frozen=True, tag="presence"):
    """The operator chose a state, or the browser saw them idle (away) or back (online)."""

    state: Presence


class Pin(_In, frozen=True, tag="pin"):
    """The operator keeps the session at hand, or no more; at most 100, and nobody else sees it."""

    session: Uuid
    on: bool


class Typing(_In, frozen=True, tag="typing"):
    """The operator is writing in the session."""

    session: Uuid


class Ping(_In, frozen=True, tag="ping"):
    """Are you there? Sent every 25 s when nothing else was."""


ConsoleFrame = Hello | Do | Open | Leave | Older | ListBox | SetPresence | Pin | Typing | Ping


class _Out(msgspec.Struct, frozen=True, tag_field="t", omit_defaults=True):
    """A frame from the gateway."""


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a thread. *at*: epoch milliseconds; *fate* is the product's word (broker.domain.Fate)."""

    id: str
    seq: int
    who: Literal["contact", "operator", "system"]
    kind: Literal["said", "note", "call"]
    """A note is for operators only. A call is one: its text is the caller's number in E.164 where it can be, empty: withheld."""
    text: str
    at: int
    fate: str
    name: str = ""
    operator: str = ""
    command: str = ""
    """The id of the `do` frame that wrote it, for the console's own pending copy."""
    problem: str = ""
    """Why it failed or is in doubt; of one that was changed since: why its customer still has it as it was."""
    session: str = ""
    extra: Extra | None = None
    """What it has beside its words; a provider's own names of things are left out."""


class Talk(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a card says of a call. Times are epoch milliseconds; 0 where there is none."""

    number: str = ""
    """The customer's, E.164 where it can be; empty: withheld."""
    outgoing: bool = False
    """We call them, the operator's phone first."""
    reached: bool = False
    """Of an outgoing one: they have answered."""
    promised: int = 0
    """Of an outgoing one: when they are to be called."""
    tries: int = 0
    """Of an outgoing one: how often they were called and did not answer."""
    answered: int = 0
    """When a phone was first lifted for it. Of an outgoing one: when the operator lifted theirs, and then when the customer did."""
    held: int = 0
    """Since when its caller hears music: the operator has put them on hold, or asks a colleague."""
    consulted: str = ""
    """The colleague who is asked about it, by id."""
    lifted: bool = False
    """The colleague has lifted the phone."""
    listens: str = ""
    """The supervisor whose phone rings so that they hear it, by id."""
    listeners: tuple[str, ...] = ()
    """Supervisors who hear it. Both are told to supervisors only, and never to whoever is listened to."""
    forward_to: str = ""
    """The number outside to which an operator has passed it on."""
    missed: bool = False
    """Nobody answered it, or it was lost, and its caller was not spoken with since."""
    planned: int = 0
    """Of a missed one: when its caller is to be called back; past: they are being called."""


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """One session in a list. Times are epoch milliseconds; 0 where there is none."""

    session: str
    conversation: str
    line: str
    line_name: str
    channel: str
    """The channel's kind: widget, telegram, phone, … A session of `phone` is a call, answered by lifting a phone."""
    status: str
    contact: str
    contact_name: str
    opened: int
    queued: int = 0
    closed: int = 0
    changed: int = 0
    operator: str = ""
    operator_name: str = ""
    offered_until: int = 0
    """To me; 0: not offered to me."""
    unanswered: int = 0
    """Since when the customer waits for an answer."""
    last_text: str = ""
    """The beginning of the last message said, at most 140 characters."""
    last_who: str = ""
    last_seq: int = 0
    outcome: str = ""
    members: tuple[str, ...] = ()
    """Colleagues who joined, by id."""
    invited: tuple[str, ...] = ()
    snoozed_until: int = 0
    opens_at: int = 0
    """It began to wait outside the line's hours: when these begin."""
    passed_by: str = ""
    """While it is offered to a colleague: who passed it on, and may have it back until it is taken."""
    rating: str = ""
    """What the customer said of it: good, bad."""
    priority: int = 0
    """While it waits each point puts it before those who began to wait up to ten minutes sooner."""
    talk: Talk | None = None
    """Of a call."""
    last_what: str = ""
    """What the last message is when it has no words: a kind of file, `place`, `contact`, or a provider's word for something else."""


class Point(msgspec.Struct, frozen=True, omit_defaults=True):
    """A way to reach a contact: kind `phone`, `email` or `channel`; *evidence* `form`, `message` or `identity`."""

    kind: str
    value: str
    """As it was written. In a channel: a name that people use there, mostly none; never the channel's own id of a person."""
    evidence: str = ""
    channel: str = ""
    """The channel's kind: widget, telegram, …"""
    channel_name: str = ""
    number: str = ""
    """Of a phone: in E.164, as it is called."""


class Alike(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another contact who may be the same person: what *kind* of address both have, and how that came (*evidence*)."""

    id: str
    name: str
    kind: str
    value: str
    evidence: str = ""


class Contact(msgspec.Struct, frozen=True, omit_defaults=True):
    """The card of a person beside a thread."""

    id: str
    name: str
    language: str = ""
    points: tuple[Point, ...] = ()
    responsible: str = ""
    responsible_name: str = ""
    banned: bool = False
    """What they write opens no session."""
    priority: int = 0
    """Added to the line's, for sessions that open from now on."""
    since: int = 0
    page: str = ""
    title: str = ""
    referrer: str = ""
    utm: dict[str, str] = {}
    earlier: tuple[Card, ...] = ()
    """The contact's latest other sessions, at most 10."""
    leads: tuple[dict[str, str], ...] = ()
    avatar: bool = False
    """There is a picture of them at /api/v1/contacts/{id}/avatar."""
    unreachable: str = ""
    """Why they take our messages in this conversation no more: blocked, denied, left."""
    start: str = ""
    """The word in the link by which they came."""
    alike: tuple[Alike, ...] = ()
    """Who may be the same person, at most 5."""


class Me(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who is logged in on this socket."""

    id: str
    login: str
    name: str
    role: str
    language: str
    presence: Presence
    load: int = 0
    budget: int = 100
    password_generated: bool = False
    phone: bool = False
    """I have one for calls."""


class CallLine(msgspec.Struct, frozen=True):
    """A line from which customers can be called."""

    id: str
    name: str


class ChannelCan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What channels of a kind can."""

    kind: str
    text_max: int
    files_max: int = 0
    """Bytes of the largest file; 0: none are taken."""
    quotes: bool = False
    edits: bool = False
    deletes: bool = False
    asks_phone: bool = False


class Colleague(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another person of the house."""

    id: str
    name: str
    presence: Presence


class Counts(msgspec.Struct, frozen=True):
    """How many are in a list."""

    mine: int
    waiting: int


class Snapshot(_Out, frozen=True, tag="snapshot"):
    """Everything on the first screen.

    *mine*: held by me, offered to me, joined by me or with me invited; *waiting*: in my lines, at most 100 of `counts`.
    """

    at: str
    me: Me
    colleagues: tuple[Colleague, ...]
    counts: Counts
    mine: tuple[Card, ...]
    waiting: tuple[Card, ...]
    now: int
    """The server's clock, epoch milliseconds: waiting times and deadlines are counted by it."""
    pins: tuple[str, ...] = ()
    """Sessions I have pinned, the first pinned first."""
    pinned: tuple[Card, ...] = ()
    """The cards of those pins that are in neither list, but for sessions I may see no more."""
    calls_from: tuple[CallLine, ...] = ()
    """Lines of mine from which customers can be called, by name; none: I can call nobody."""
    channels: tuple[ChannelCan, ...] = ()
    """By kind."""


class Resumed(_Out, frozen=True, tag="resumed"):
    """What was missed follows as updates; nothing on screen need be thrown away. *now*: as in a snapshot."""

    at: str
    now: int


class FateChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outgoing message *seq* (*upto*: and every outgoing one before it) now has *fate*."""

    conversation: str
    seq: int
    fate: str
    upto: bool = False
    problem: str = ""


class Alert(msgspec.Struct, frozen=True):
    """Supervisors should look: *kpi_first*, *kpi_next*: an answer is late; *nobody*: there is nobody who could be asked."""

    session: str
    what: Literal["kpi_first", "kpi_next", "nobody"]
    line_name: str
    contact_name: str


class Update(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of news; exactly one field is set, or `card` with `message`, or `gone` alone.

    *card* replaces the session's card. *gone*: the session left every list of mine (another took it, or it closed and I had
    no part in it), and it is not pinned, or I may see it no more. *counts* follow when they changed.
    """

    card: Card | None = None
    message: Shown | None = None
    conversation: str = ""
    """Of `message`, when there is no card with it."""
    fate: FateChange | None = None
    contact: Contact | None = None
    """Of the open thread: the contact was completed or changed, or has another lead."""
    gone: str = ""
    colleague: Colleague | None = None
    counts: Counts | None = None
    load: int | None = None
    lead: str = ""
    """The id of a lead that was made or changed; what it says now is asked for over REST."""
    alert: Alert | None = None
    """To supervisors and administrators."""
    pins: tuple[str, ...] | None = None
    """All my pins, when they changed."""
    channel: str = ""
    """To administrators: the id of a channel whose provider lets us in no more, or again; how it is is asked for over REST."""


class Updates(_Out, frozen=True, tag="updates"):
    """News in the order it happened."""

    n: int
    at: str
    list: tuple[Update, ...]


class Accepted(_Out, frozen=True, tag="accepted"):
    """The deed *id* is stored."""

    id: str


class Refused(_Out, frozen=True, tag="refused"):
    """The deed *id* was not done.

    Codes are the keys of operators.deeds.SENTENCES.
    """

    id: str
    code: str
    text: str
    retry_after: float = 0


class Thread(_Out, frozen=True, tag="thread"):
    """A session's thread: the latest 100 messages of its conversation, oldest first."""

    session: str
    card: Card
    contact: Contact
    messages: tuple[Shown, ...]
    more: bool


class OlderPage(_Out, frozen=True, tag="older"):
    """Earlier messages, oldest first."""

    session: str
    messages: tuple[Shown, ...]
    more: bool


class Page(_Out, frozen=True, tag="page"):
    """A page of a list."""

    box: Box
    cards: tuple[Card, ...]
    next: str | None = None


class SomebodyTyping(_Out, frozen=True, tag="typing"):
    """The customer (`who` contact) or a colleague is writing in the conversation."""

    conversation: str
    who: Literal["contact", "operator"]
    name: str = ""


class Error(_Out, frozen=True, tag="error"):
    """Something asked for cannot be had (the socket stays), or the socket will be closed.

    Codes: bad_frame, hello_first, no_session, too_many_pins, forbidden, slow, unavailable.
    """

    code: str
    text: str


class Pong(_Out, frozen=True, tag="pong"):
    """Here."""


GatewayFrame = Snapshot | Resumed | Updates | Accepted | Refused | Thread | OlderPage | Page | SomebodyTyping | Error | Pong
