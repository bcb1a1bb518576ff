"""A house with the real core on a temporary database, driven step by step: no loops, no threads, a clock that tests move.

Everything that is stored is stored by the shipped functions (accept, the worker, the distributor, the timers, the sender); only
people and settings, which have no business here, are written as rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import select

from broker import inbound, outbound, timers
from broker.domain import (
    Capabilities,
    ChannelId,
    ConversationId,
    LineId,
    LineSettings,
    MessageId,
    OperatorId,
    Person,
    PresenceState,
    Role,
    Source,
)
from broker.events import (
    CallEnded,
    Close,
    Codec,
    Decline,
    Event,
    Incoming,
    Note,
    Rang,
    Reply,
    RingAnswered,
    Saw,
    Spam,
    Take,
    Told,
    Wrote,
)
from broker.inbound import Accepted
from broker.ports import Raw, Tx
from broker.store import directory
from broker.store.sql import adhoc
from broker.store.tables import metadata
from channels.phone import ledger
from routing import distributor, worker
from routing.applying import House as Knowledge
from routing.applying import mark_pool
from tests.support.channels import STREAM, FakeChannel
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line, add_operator, set_presence
from tests.support.store import MemoryStore

A = TypeVar("A")
T = TypeVar("T")


class Provider(FakeChannel):
    """A channel whose payloads are `Incoming`s already."""

    def __init__(self, id_: ChannelId, line_id: LineId, capabilities: Capabilities) -> None:
        super().__init__(id_, line_id, capabilities)
        self._payloads: dict[bytes, Incoming] = {}

    def payload(self, external_id: str, incoming: Incoming) -> Raw:
        """Return a raw payload that parses to *incoming*."""
        self._payloads[external_id.encode()] = incoming
        return Raw(external_id, external_id.encode())

    def parse(self, raw: Raw) -> Incoming:
        """Return what *raw* says; what nobody put in cannot be parsed."""
        return self._payloads[raw.body]


class House:
    """A `Store` and everything that works on it, in the test's own thread."""

    def __init__(self, store: type[MemoryStore] = MemoryStore) -> None:
        self.clock = MovedClock()
        self.store = store(self.clock)
        self.ids = self.store.ids
        self.rung = self.store.rung
        self.providers: dict[ChannelId, Provider] = {}
        self._deeds = 0

    # --- the store

    def do(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in a transaction and return its answer."""
        return self.store.write(work)

    async def write(self, work: Callable[[Tx], T], /) -> T:
        """See `Store.write`."""
        return self.do(work)

    async def write_each(self, work: Callable[[Tx, Sequence[A]], Sequence[T]], item: A, /) -> T:
        """See `Store.write_each`."""
        return self.do(lambda tx: work(tx, (item,)))[0]

    async def read(self, work: Callable[[Tx], T], /) -> T:
        """See `Store.read`."""
        return self.store.read(work)

    def rows(self, table: str, **where: object) -> list[dict[str, Any]]:
        """Return the rows of *table* whose columns equal *where*, by its key: ids are given in their order."""
        found = metadata.tables[table]
        statement = select(found)
        for name, value in where.items():
            statement = statement.where(found.c[name] == value)
        statement = statement.order_by(*found.primary_key)
        return [dict(zip(found.c.keys(), row, strict=True)) for row in self.store.looking().all(adhoc(statement))]

    def row(self, table: str, **where: object) -> dict[str, Any]:
        """Return the one row of *table* that *where* describes."""
        (only,) = self.rows(table, **where)
        return only

    # --- people and settings

    def line(self, slug: str = "shop", **settings: Any) -> LineId:
        """Add a line; its name is its slug with a capital."""
        return self.do(lambda tx: add_line(tx, slug, **settings))

    def channel(self, line: LineId, slug: str = "site", capabilities: Capabilities = STREAM) -> Provider:
        """Add a channel to *line*."""
        id_ = self.do(lambda tx: add_channel(tx, line, slug))
        self.providers[id_] = Provider(id_, line, capabilities)
        return self.providers[id_]

    def operator(self, login: str, *seated: LineId, role: Role = Role.OPERATOR, online: bool = True) -> OperatorId:
        """Add an operator with seats in the lines *seated*."""
        state = PresenceState.ONLINE if online else PresenceState.OFFLINE

        def add(tx: Tx) -> OperatorId:
            position = len(tx.all(adhoc(select(metadata.tables["operators"].c.id)))) + 1
            operator = add_operator(tx, login, seated, role=role, state=state, position=position)
            for line in seated:
                mark_pool(tx, line, "seat added", seats=True)
            return operator

        return self.do(add)

    @property
    def capabilities(self) -> dict[ChannelId, Capabilities]:
        """What each channel can do."""
        return {id_: provider.capabilities for id_, provider in self.providers.items()}

    # --- customers

    def receive(
        self, channel: Provider, incoming: Incoming, external_id: str | None = None, cursor: str | None = None
    ) -> Accepted:
        """Let a payload come in by *channel*."""
        self._deeds += 1
        raw = channel.payload(external_id or f"p{self._deeds}", incoming)
        prepared = inbound.prepare(channel, [raw], self._settings(channel))
        return self.do(lambda tx: inbound.accept(tx, channel.id, prepared, cursor))[0]

    def say(
        self,
        channel: Provider,
        key: str,
        text: str,
        *,
        name: str = "",
        phones: tuple[str, ...] = (),
        emails: tuple[str, ...] = (),
        source: Source | None = None,
    ) -> ConversationId:
        """Let the customer *key* write; their person may tell more."""
        person = Person(key, name, phones, emails)
        accepted = self.receive(channel, Incoming(key, person, Wrote(text), source))
        assert accepted.conversation_id is not None
        return accepted.conversation_id

    def call(self, channel: Provider, key: str, number: str) -> ConversationId:
        """Let somebody call from *number*; the exchange names the call *key*."""
        person = Person(number, phones=(number,))
        accepted = self.receive(channel, Incoming(key, person, Rang(number)))
        conversation = accepted.conversation_id
        assert conversation is not None
        self.do(lambda tx: ledger.claim(tx, conversation, channel.id, number, "100", "p1", "PJSIP/trunk-1"))
        return conversation

    def lift(self, conversation: ConversationId, operator: OperatorId) -> None:
        """Let *operator* lift the phone."""
        self._enter(conversation, lambda at, command: RingAnswered(at, operator))
        self.do(lambda tx: ledger.talk(tx, conversation, operator, "PJSIP/100-00000001"))

    def hang_up(self, conversation: ConversationId) -> None:
        """Let the caller hang up."""
        self._enter(conversation, lambda at, command: CallEnded(at))
        self.do(lambda tx: ledger.ended(tx, conversation))

    def tell(
        self,
        channel: Provider,
        key: str,
        *,
        name: str = "",
        phones: tuple[str, ...] = (),
        emails: tuple[str, ...] = (),
        source: Source | None = None,
    ) -> ConversationId:
        """Let the customer *key* send a form."""
        accepted = self.receive(channel, Incoming(key, Person(key, name, phones, emails), Told(), source))
        assert accepted.conversation_id is not None
        return accepted.conversation_id

    def see(self, channel: Provider, key: str, upto: int, *, read: bool = True) -> None:
        """Let the customer's side confirm what it shows."""
        self.receive(channel, Incoming(key, Person(key), Saw(upto, read)))

    def receive_cursor(self, channel: Provider, key: str, text: str, cursor: str) -> None:
        """Let the customer *key* write in a delivery that *cursor* confirms."""
        self.receive(channel, Incoming(key, Person(key), Wrote(text)), cursor=cursor)

    def spoil(self, channel: Provider) -> Accepted:
        """Let a payload come in that nobody can parse."""
        self._deeds += 1
        prepared = inbound.prepare(channel, [Raw(f"p{self._deeds}", b"nobody knows it")], self._settings(channel))
        return self.do(lambda tx: inbound.accept(tx, channel.id, prepared))[0]

    def _settings(self, channel: Provider) -> LineSettings:
        return self.do(directory.load).lines[channel.line_id].settings

    # --- operators

    def take(self, conversation: ConversationId, operator: OperatorId) -> None:
        """Let *operator* take the session."""
        self._enter(conversation, lambda at, command: Take(at=at, operator_id=operator, command=command))

    def decline(self, conversation: ConversationId, operator: OperatorId) -> None:
        """Let *operator* decline the offer."""
        self._enter(conversation, lambda at, command: Decline(at=at, operator_id=operator, command=command))

    def reply(self, conversation: ConversationId, operator: OperatorId, text: str) -> None:
        """Let *operator* write to the customer."""
        message = MessageId(self.ids.new())
        self._enter(
            conversation,
            lambda at, command: Reply(at=at, operator_id=operator, command=command, message_id=message),
            text.encode(),
        )

    def note(self, conversation: ConversationId, operator: OperatorId, text: str) -> None:
        """Let *operator* whisper."""
        message = MessageId(self.ids.new())
        self._enter(
            conversation,
            lambda at, command: Note(at=at, operator_id=operator, command=command, message_id=message),
            text.encode(),
        )

    def end(self, conversation: ConversationId, operator: OperatorId, outcome: str = "") -> None:
        """Let *operator* close the session."""
        self._enter(conversation, lambda at, command: Close(at=at, operator_id=operator, command=command, outcome=outcome))

    def spam(self, conversation: ConversationId, operator: OperatorId) -> None:
        """Call it spam."""
        self._enter(conversation, lambda at, command: Spam(at=at, operator_id=operator, command=command))

    def presence(self, operator: OperatorId, state: PresenceState) -> None:
        """Let *operator* come or go."""
        lines = [line for line, people in self.do(directory.load).seats.items() if operator in people]
        self.do(lambda tx: set_presence(tx, operator, state, lines))

    def enter(self, conversation: ConversationId, make: Callable[[datetime, str], Event]) -> None:
        """Let a deed be entered that there is no word for here."""
        self._enter(conversation, make)

    def _enter(self, conversation: ConversationId, make: Callable[[datetime, str], Event], raw: bytes = b"") -> None:
        self._deeds += 1
        command = f"command-{self._deeds}"
        self.do(lambda tx: inbound.enter(tx, "console", command, conversation, lambda at: make(at, command), raw))

    # --- the machines

    def settle(self) -> None:
        """Let timers, worker, distributor and sender run until nothing is left to do now."""
        while self._fire() or self._decide() or self._distribute() or self._send():
            pass

    def decide(self) -> None:
        """Let the worker alone run until nothing is undecided."""
        while self._decide():
            pass

    def later(self, **passed: float) -> None:
        """Move the clock and settle."""
        self.clock.move(timedelta(**passed))
        self.settle()

    def _knowledge(self) -> Knowledge:
        return Knowledge(self.do(directory.load), {id_: provider.capabilities.load for id_, provider in self.providers.items()})

    def _fire(self) -> int:
        def enter(tx: Tx, owner_id: str, timer_id: str, event: str) -> None:
            inbound.enter(tx, "timer", timer_id, ConversationId(owner_id), lambda at: Codec.decode(event))

        return self.do(lambda tx: timers.fire_due(tx, {"conversation": enter}))

    def _decide(self) -> int:
        knowledge = self._knowledge()
        decided = 0
        for conversation in self.do(inbound.undecided):
            try:
                decided += self.do(lambda tx, c=conversation: worker.step(tx, c, knowledge))  # type: ignore[misc]
            except worker.Undecidable as error:
                self.do(lambda tx, c=conversation, e=error: inbound.bury(tx, c, e.seq, e.why))  # type: ignore[misc]
                decided += 1
        return decided

    def _distribute(self) -> int:
        knowledge = self._knowledge()
        return sum(
            1 + self.do(lambda tx, line=line: distributor.step(tx, line, knowledge))  # type: ignore[misc]
            for line in self.do(distributor.marked)
        )

    def _send(self) -> int:
        sender = outbound.Sender(self, self.clock, self.providers.get, lambda channel, operator: "", owner="test", fence=1)

        async def send() -> int:
            return sum([await sender.step(conversation) for conversation in self.do(outbound.due)])

        return asyncio.run(send())

    def conversation(self, id_: ConversationId) -> dict[str, Any]:
        """Return the conversation's row."""
        return self.row("conversations", id=id_)

    def session(self, conversation: ConversationId) -> dict[str, Any]:
        """Return the row of the conversation's latest session."""
        return self.row("sessions", id=self.conversation(conversation)["session_id"])
