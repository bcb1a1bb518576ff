"""A channel of a kind that this version does not know: a newer one has made it, and its processes are beside us while a house is upgraded.

Nothing is asked of its provider here. What is to be sent by it goes back to the queue until one who knows it takes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from broker.domain import Capabilities, ChannelRow, Delivered, LoadKind
from broker.errors import AccessLost, BadInput, Unavailable
from broker.events import Incoming
from broker.ports import Delivery, Outbound, Raw

CAPABILITIES = Capabilities(Delivered.PUSH, LoadKind.CHAT, idempotent=False, reaches_absent=True)
"""The most careful there are: nothing is sent twice."""
RETRY_SECONDS = 5.0


class UnknownChannel:
    """See the module."""

    capabilities = CAPABILITIES

    def __init__(self, row: ChannelRow) -> None:
        self.id = row.id
        self.line_id = row.line_id
        self.slug = row.slug
        self.kind = row.kind

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """Yield nothing."""
        return
        yield

    def parse(self, raw: Raw) -> Incoming:
        """Raise BadInput."""
        raise BadInput(f"this version does not know the channel kind {self.kind}")

    async def send(self, outbound: Outbound) -> str:
        """Raise Unavailable: nothing has left."""
        raise Unavailable(f"this version does not know the channel kind {self.kind}", retry_after=RETRY_SECONDS)


class UnservedChannel(UnknownChannel):
    """A channel that this process knows and cannot serve: its library is missing, or its secrets cannot be opened."""

    def __init__(self, row: ChannelRow, capabilities: Capabilities, sentence: str, code: str) -> None:
        super().__init__(row)
        self.capabilities = capabilities
        self._sentence = sentence
        self._code = code

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """Raise AccessLost."""
        raise AccessLost(self._sentence, code=self._code, retry_after=60.0)
        yield

    def parse(self, raw: Raw) -> Incoming:
        """Raise BadInput."""
        raise BadInput(self._sentence, code=self._code)

    async def send(self, outbound: Outbound) -> str:
        """Raise AccessLost: nothing has left."""
        raise AccessLost(self._sentence, code=self._code, retry_after=60.0)
