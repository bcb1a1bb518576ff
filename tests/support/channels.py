"""Fake channels and the far side behind them, which logs what it delivered: the auditor compares that log with the database.

A script says what happens to the sends to come, in order; when it is empty a send goes well.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from broker.domain import Capabilities, ChannelId, Delivered, LineId, LoadKind, Person, Source
from broker.errors import BadInput, Rejected, Unavailable, Uncertain
from broker.events import Incoming, Pressed, Saw, Told, Wrote
from broker.ports import Delivery, Outbound, Raw

PUSH = Capabilities(Delivered.PUSH, LoadKind.CHAT, idempotent=False, reaches_absent=True)
"""A messenger that cannot tell a repeat."""
STREAM = Capabilities(Delivered.STREAM, LoadKind.CHAT, idempotent=True, reaches_absent=False)
"""A page that shows each token once."""
PUSH_BUTTONS, STREAM_BUTTONS = replace(PUSH, buttons=True), replace(STREAM, buttons=True)
"""The same with buttons beneath their messages."""


class Fault(StrEnum):
    """What may become of one send."""

    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"
    UNCERTAIN_LOST = "uncertain_lost"  # no answer came, and it had not arrived
    UNCERTAIN_DELIVERED = "uncertain_delivered"  # no answer came, and it had arrived
    BROKEN_BEFORE = "broken_before"  # the adapter fails with an error of its own
    BROKEN_AFTER = "broken_after"


class AdapterBroken(Exception):
    """An adapter's fault: an exception that no socket knows."""


@dataclass
class FarSide:
    """Where messages arrive. *idempotent*: a token that came before is not shown again."""

    idempotent: bool
    delivered: list[Outbound] = field(default_factory=list)
    """Every arrival, repeats too, in order."""

    def take(self, outbound: Outbound) -> str:
        """Log an arrival and return the far side's id of it."""
        self.delivered.append(outbound)
        return f"far-{outbound.token}"

    def shown(self) -> list[Outbound]:
        """Return what the customer sees, in the order of arrival."""
        if not self.idempotent:
            return list(self.delivered)
        return list({outbound.token: outbound for outbound in reversed(self.delivered)}.values())[::-1]


class FakeChannel:
    """A `Channel` of JSON payloads: {"key", "text"}, {"key", "upto", "read"}, {"key", "pressed"} or {"key", "name", "email"}."""

    kind = "fake"
    slug = "fake"

    def __init__(
        self, id_: ChannelId, line_id: LineId, capabilities: Capabilities = STREAM, deliveries: Iterable[Delivery] = ()
    ) -> None:
        self.id = id_
        self.line_id = line_id
        self.capabilities = capabilities
        self.far = FarSide(capabilities.idempotent)
        self.script: deque[Fault | None] = deque()
        self._deliveries = deque(deliveries)
        self.acknowledged: list[str | None] = []

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """Yield what it was given, each with an ack that is logged."""
        while self._deliveries:
            delivery = self._deliveries.popleft()

            async def ack(cursor: str | None = delivery.cursor) -> None:
                self.acknowledged.append(cursor)

            yield Delivery(delivery.raws, delivery.cursor, ack)

    def parse(self, raw: Raw) -> Incoming:
        """See `Channel.parse`."""
        try:
            said = json.loads(raw.body)
        except ValueError as error:
            raise BadInput(f"not JSON: {error}") from None
        if not isinstance(said, dict) or not isinstance(said.get("key"), str):
            raise BadInput("a payload names its conversation: key")
        person = Person(
            said["key"],
            name=str(said.get("name", "")),
            emails=(said["email"],) if "email" in said else (),
            phones=(said["phone"],) if "phone" in said else (),
            language=str(said.get("language", "")),
        )
        source = Source(page=said["page"]) if "page" in said else None
        if "text" in said:
            return Incoming(said["key"], person, Wrote(str(said["text"]), raw.external_id), source)
        if "upto" in said:
            return Incoming(said["key"], person, Saw(int(said["upto"]), bool(said.get("read", False))), source)
        if "pressed" in said:
            return Incoming(said["key"], person, Pressed(str(said["pressed"])))
        return Incoming(said["key"], person, Told(), source)

    async def send(self, outbound: Outbound) -> str:
        """See `Channel.send`; the script decides."""
        return self._send(outbound, self.script.popleft() if self.script else None)

    def _send(self, outbound: Outbound, fault: Fault | None) -> str:
        match fault:
            case Fault.REJECTED:
                raise Rejected("the customer has blocked us", code="blocked")
            case Fault.UNAVAILABLE:
                raise Unavailable("the provider is resting", retry_after=5.0)
            case Fault.UNCERTAIN_LOST:
                raise Uncertain("no answer")
            case Fault.BROKEN_BEFORE:
                raise AdapterBroken("before the send")
        external_id = self.far.take(outbound)
        match fault:
            case Fault.UNCERTAIN_DELIVERED:
                raise Uncertain("no answer")
            case Fault.BROKEN_AFTER:
                raise AdapterBroken("after the send")
        return external_id


def wrote(external_id: str, key: str, text: str, **more: object) -> Raw:
    """Return the payload of a message."""
    return Raw(external_id, json.dumps({"key": key, "text": text, **more}).encode())


def told(external_id: str, key: str, **more: object) -> Raw:
    """Return the payload of a form."""
    return Raw(external_id, json.dumps({"key": key, **more}).encode())


def saw(external_id: str, key: str, upto: int, *, read: bool = False) -> Raw:
    """Return the payload of a receipt."""
    return Raw(external_id, json.dumps({"key": key, "upto": upto, "read": read}).encode())


def pressed(external_id: str, key: str, value: str) -> Raw:
    """Return the payload of a button that was pressed."""
    return Raw(external_id, json.dumps({"key": key, "pressed": value}).encode())
