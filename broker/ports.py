"""The sockets: what a part must be to fit. Read this file first.

    Channel ── a provider turned into inputs and deliveries (channels/*)
    Store   ── the truth: transactions are plain functions of a `Tx` (broker.store)
    Transport  bells, fan-out, typing: may be lost at any moment (broker.transport)
    Crm     ── where leads and transcripts go (crm_bridge)
    Calendars  which zones and public holidays there are (routing)
    Files   ── bytes by content (broker.files)
    Clock   ── the only source of time

Each socket has one contract suite in tests/contracts, which every implementation, fake or real, passes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar, runtime_checkable

from broker.domain import Capabilities, ChannelId, ConversationId, LineId, MessageId
from broker.events import Incoming
from broker.extras import FileKind
from broker.hours import Hours

A = TypeVar("A")
T = TypeVar("T")
Row = tuple[Any, ...]
"""A row as the driver gives it; statements name their columns in order."""


class Clock(Protocol):
    """Time, injected: tests run on a clock they move."""

    def now(self) -> datetime:
        """Return this moment, aware UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""


class Ids(Protocol):
    """A source of new ids."""

    def new(self) -> str:
        """Return a UUIDv7 no one has had."""


# --- the store


class Statement(Protocol):
    """A statement written once for all databases; made by `broker.store.sql`."""


class RowsStatement(Protocol):
    """A statement over many rows of values at once; made by `broker.store.sql`."""


class Bell(StrEnum):
    """What a transaction may ring after its commit; the key says which one."""

    CONVERSATION = "conversation"  # it has inputs to decide
    POOL = "pool"  # a line was marked: distribute
    OUTBOX = "outbox"  # a conversation has something to send
    CALL = "call"  # a customer is to be called; the key is the conversation
    TIMERS = "timers"  # a timer was set; the key is when it falls due, in epoch microseconds
    NEWS = "news"  # the journal grew
    FETCH = "fetch"  # a file, or who somebody is, is to be asked of a provider
    SESSION = "session"  # a conversation's session looks different to its customer: opened, taken, passed on, closed; of a call: anything
    HOURS = "hours"  # a line has opened or closed, or opens at another time
    SETTINGS = "settings"  # lines, channels, seats or people changed
    LOGINS = "logins"  # an operator's logins were ended


FOR_ONE = frozenset({Bell.CONVERSATION, Bell.POOL, Bell.OUTBOX})
"""Bells that call for work, which one process does for all: the one that rang when it listens, else any that does.

Every other bell is for everybody. Of these, TIMERS may be passed on for its earliest key alone.
"""


class Tx(Protocol):
    """One transaction. A function of a Tx is synchronous, repeatable, and touches nothing else."""

    now: datetime
    """One moment for the whole transaction, aware UTC."""
    shared: bool
    """Whether others write at the same time: what is read to be changed is locked first, always in the same order."""

    def new_id(self) -> str:
        """Return a new UUIDv7."""

    def one(self, statement: Statement, /, **values: object) -> Row | None:
        """Return the first row or None."""

    def all(self, statement: Statement, /, **values: object) -> list[Row]:
        """Return every row."""

    def run(self, statement: Statement, /, **values: object) -> int:
        """Execute and return how many rows were touched."""

    def each(self, statement: RowsStatement, rows: Sequence[Row], /) -> list[Row]:
        """Execute for all of *rows*, many at a time; return the rows it found, in no order."""

    def later(self, statement: RowsStatement, row: Row, /) -> None:
        """Execute for *row* when the function has returned, together with the others put off so; until then nobody finds it."""

    def settle(self) -> None:
        """Execute now what was put off."""

    def ring(self, bell: Bell, key: str = "", /) -> None:
        """Ring *bell* after the commit; nothing rings when there is none."""

    def count(self, do: Callable[[], None], /) -> None:
        """Call *do* after the commit, on the loop's thread, to count what has happened: quick, and it never fails."""


class Store(Protocol):
    """The truth. Raises StoreFull, StoreBroken, StoreClosed; whatever *work* raises comes through, undone."""

    def write(self, work: Callable[[Tx], T], /) -> Awaitable[T]:
        """Run *work* in a transaction of its own; the answer comes after the commit is on the disk."""

    def write_each(self, work: Callable[[Tx, Sequence[A]], Sequence[T]], item: A, /) -> Awaitable[T]:
        """Run *work* for *item*, and in the same call for what else waits for it; the answers stand in the items' order.

        When a call for several raises, nothing of it has happened; it is made again for fewer, until whoever is at fault stands
        alone with a fate of its own.
        """

    def read(self, work: Callable[[Tx], T], /) -> Awaitable[T]:
        """Run *work* on a snapshot that cannot write and sees every commit answered before."""


# --- transport


class Transport(Protocol):
    """Bells, passing words and shared rates between processes. Losing all of it costs time, never a message."""

    alone: bool
    """Whether this process is the only one."""

    @property
    def lost(self) -> str | None:
        """Why other processes cannot be reached now, in words for an administrator; None while they can."""

    def on_restored(self, hear: Callable[[], None], /) -> Callable[[], None]:
        """Call *hear* whenever rings may have been missed and are heard again: time to sweep SQL; returns how to stop."""

    def ring(self, bells: Sequence[tuple[Bell, str]], /) -> None:
        """Wake whoever listens to these; best effort, never blocks, never raises."""

    def listen(self, bell: Bell, hear: Callable[[str], None], /) -> Callable[[], None]:
        """Call *hear* with the key at each ring of *bell*, on the loop's thread; returns how to stop."""

    def tell(self, topic: str, word: bytes, /) -> None:
        """Pass a word that nobody keeps (typing) to who follows *topic*."""

    def follow(self, topic: str, hear: Callable[[bytes], None], /) -> Callable[[], None]:
        """Call *hear* with each word told under *topic*; returns how to stop."""

    async def take(self, bucket: str, per_second: float, burst: float) -> float:
        """Take one token of *bucket*, which all processes share; return 0, or in how many seconds there will be one (and take none).

        It fills with *per_second* tokens a second, more than 0, up to *burst*, at least 1. Never raises: while the others cannot
        be reached, this process goes by a bucket of its own.
        """


# --- channels


@dataclass(frozen=True, slots=True)
class Raw:
    """One payload as the provider gave it; *external_id* is unique in its channel for ever."""

    external_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch of payloads in the provider's order, and the cursor that confirms all of them or none."""

    raws: tuple[Raw, ...]
    cursor: str | None = None
    ack: Callable[[], Awaitable[None]] | None = None
    typing: tuple[str, ...] = ()
    """Conversations whose customer is writing just now: told, and kept by nobody."""


@dataclass(frozen=True, slots=True)
class Button:
    """An answer that the customer may press instead of writing; *value* comes back as `Pressed`."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class OutFile:
    """A file on its way out; its bytes are at `Files.get(sha256)`."""

    sha256: str
    kind: FileKind
    name: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message on its way out. *key* is the conversation's name in the channel; *token* is the same at every attempt."""

    conversation_id: ConversationId
    key: str
    message_id: MessageId
    token: str
    seq: int
    text: str
    sender_name: str
    from_operator: bool
    """False: the line itself says it (a welcome)."""
    at_ms: int
    """When it was written, milliseconds since 1970."""
    buttons: tuple[Button, ...] = ()
    """Empty where the channel's capabilities have none."""
    after: int = 0
    """The seq of the message that went out in the conversation before it; 0: none."""
    files: tuple[OutFile, ...] = ()
    answers: str = ""
    """The provider's name of the message that it answers, where the channel's capabilities have quotes; empty: none."""
    asks_phone: bool = False
    """With a button by which the customer tells their phone."""


@runtime_checkable
class Channel(Protocol):
    """One connected account of one kind.

    `receive` yields what came; `parse` is pure and raises BadInput for what it cannot read; `send` returns the provider's id
    or raises Rejected, Unavailable or Uncertain.
    """

    id: ChannelId
    line_id: LineId
    slug: str
    """What people call it: unique in the house."""
    kind: str
    capabilities: Capabilities

    def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """Yield what came after *cursor*, that of the last delivery that was stored, until cancelled.

        The next delivery is asked for after the last was acknowledged. Raises Unavailable.
        """

    def parse(self, raw: Raw) -> Incoming | None:
        """Return what *raw* says, None for what concerns nobody here. Pure. Raises BadInput."""

    async def send(self, outbound: Outbound) -> str:
        """Deliver *outbound* and return the provider's id of it; of several that it was sent as, with spaces between."""


@runtime_checkable
class ShowsTyping(Protocol):
    """A channel that can show the customer that somebody is writing."""

    async def show_typing(self, key: str, name: str) -> None:
        """Show that *name* is writing in the conversation *key*. Raises SendError, which loses nothing."""


@runtime_checkable
class EditsMessages(Protocol):
    """A channel where what was sent can be changed. Doing either again is no harm."""

    async def reword(self, outbound: Outbound, sent_as: str) -> None:
        """Let what was sent as *sent_as* say *outbound*. Raises SendError."""

    async def take_back(self, key: str, sent_as: str) -> None:
        """Take back what was sent as *sent_as* in the conversation *key*; what is gone already is no fault. Raises SendError."""


@dataclass(frozen=True, slots=True)
class Hooked:
    """What a request that a provider makes of us is: payloads to be stored, and what it is answered once they are."""

    raws: tuple[Raw, ...] = ()
    answer: bytes = b""
    media_type: str = "text/plain"
    refused: bool = False
    """It is not of the provider, or not for us as we are set up."""


@runtime_checkable
class TakesHooks(Protocol):
    """A channel whose provider may bring what comes, to `/hooks/{channel}`."""

    def hook(self, headers: Mapping[str, str], body: bytes) -> Hooked:
        """Return what the request is; *headers* are in small letters. Never raises for what a stranger sends."""


@runtime_checkable
class FetchesFiles(Protocol):
    """A channel whose files come by themselves."""

    def fetch(self, ref: str) -> AsyncIterator[bytes]:
        """Yield the bytes of the file that its messages call *ref*.

        Raises Rejected when there is no such file or no more, or it is too large for the provider (`code` too_large); Unavailable.
        """


@dataclass(frozen=True, slots=True)
class Profile:
    """What a provider tells of a person."""

    name: str = ""
    nickname: str = ""
    language: str = ""
    picture: bytes = b""


@runtime_checkable
class KnowsPeople(Protocol):
    """A channel whose provider can be asked who a customer is."""

    async def profile(self, ref: str) -> Profile:
        """Return what is known of the person that `Person.profile` calls *ref*. Raises Rejected, Unavailable."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a provider says of an account that may become a channel."""

    name: str
    """As people know it there."""
    address: str = ""
    """Where customers find it: a link, a mailbox."""
    warnings: tuple[str, ...] = ()
    """Codes of what will not work as it is, for the console's sentences."""


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """A kind of channel as the rest of the house knows it, before there is one: one registry line in the composition root."""

    kind: str
    capabilities: Capabilities
    check: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Return the settings of a channel of this kind in full. Raises BadInput naming the key."""
    secrets: frozenset[str] = frozenset()
    """Which settings are kept sealed, and told to nobody."""
    sent_to: frozenset[str] = frozenset()
    """Which settings say where the secrets are sent: with another one they must be given anew."""
    probe: Callable[[Mapping[str, Any]], Awaitable[Probed]] | None = None
    """Ask the provider whether the settings, in full and unsealed, are an account of it. Raises BadInput naming the key, Unavailable."""


# --- CRM


@dataclass(frozen=True, slots=True)
class LeadDraft:
    """A possible customer, as the bridge knows them; written again under the same *external_id* fills what was empty, no more."""

    external_id: str
    contact_id: str
    session_id: str | None
    """None: a form was sent and nothing was written."""
    line_id: str
    title: str
    source: str
    source_details: Mapping[str, object]
    responsible_id: str | None


@dataclass(frozen=True, slots=True)
class TranscriptDraft:
    """The whole record of one session; *external_id* is the session's, so a rewrite replaces."""

    external_id: str
    session_id: str
    contact_id: str
    body: str
    frozen: bool


class Crm(Protocol):
    """Where leads and transcripts are kept. Every call may be repeated."""

    async def put_lead(self, lead: LeadDraft) -> str:
        """Create the lead unless *external_id* has one; earlier transcripts of the contact join it; return its id. Raises SendError."""

    async def put_transcript(self, transcript: TranscriptDraft) -> None:
        """Create or replace the transcript and attach it to the contact's lead, if there is one. Raises SendError."""

    async def follow_contact(self, moved_from: str, into: str) -> None:
        """Let the lead and the transcripts of the contact *moved_from* be those of *into*: they are one person. Raises SendError."""


# --- calendars


class Calendars(Protocol):
    """What the world's clocks and public holidays are; who keeps hours asks here before keeping them."""

    def check(self, hours: Hours) -> None:
        """Return when the zone and every country and region of *hours* exist. Raises BadHours, with the nearest that do."""


# --- files


class Files(Protocol):
    """Bytes kept by what they are: the same content is stored once."""

    async def put(self, body: bytes) -> str:
        """Store *body* durably and return its sha256 in hex. Raises StoreFull."""

    async def put_from(self, chunks: AsyncIterator[bytes], most: int) -> tuple[str, int]:
        """Store what *chunks* give durably, and return its sha256 and its size. Raises TooLarge above *most* bytes, StoreFull."""

    async def get(self, sha256: str) -> bytes:
        """Return the bytes. Raises NotFound."""

    def read(self, sha256: str, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from *begin* up to *end*, a piece at a time. Raises NotFound."""
