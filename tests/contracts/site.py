"""The site's chat as a channel under the contract: the real gate and adapter, behind a real socket.

The suite's tests are plain functions, and a served place needs a loop that goes on between two of their lines: it has a thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from broker.domain import ConversationId, MessageId
from broker.ports import Button, Channel, Outbound
from channels.widget.adapter import WidgetChannel
from channels.widget.tokens import VisitorTokens
from tests.channels.widget.place import TOKEN_KEY, WAIT_SECONDS, Place, Visitor, place

T = TypeVar("T")


class Site:
    """A served line and one visitor, whose browser is `Far`."""

    def __init__(self, visitor: str) -> None:
        self._name = visitor
        self._folder = TemporaryDirectory()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._opened = AsyncExitStack()
        try:
            self._here, self._visitor = self._do(self._open())
        except BaseException:
            self.close()
            raise

    def channel(self) -> Channel:
        """Return a channel of the line; each call makes another."""
        assert self._here.gate is not None
        return _OnLoop(self._here.gate.channel(self._here.directory.channels[self._here.channel]), self._loop)

    def shown(self) -> Sequence[Outbound]:
        """Return what stands on the visitor's screen."""
        return self._do(self._look())

    def close(self) -> None:
        """Stop serving."""
        self._do(self._opened.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()
        self._folder.cleanup()

    def _do(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    async def _open(self) -> tuple[Place, Visitor]:
        here = await self._opened.enter_async_context(place(Path(self._folder.name)))
        visitor = await self._opened.enter_async_context(here.visitor())
        await visitor.hello(token=VisitorTokens(TOKEN_KEY).sign(here.channel, self._name))
        return here, visitor

    async def _look(self) -> list[Outbound]:
        # What was pushed before the ping came in is written before its answer.
        await self._visitor.send(t="ping")
        await self._visitor.next("pong")
        messages = [frame["message"] for frame in self._visitor.frames if frame["t"] == "message"]
        # A repeat does come over the socket: the screen shows a seq once (web/widget/app/store.ts, `merged`).
        screen = {message["seq"]: message for message in messages}
        return [
            Outbound(
                conversation_id=ConversationId(""),
                key=self._name,
                message_id=MessageId(""),
                token="",
                seq=message["seq"],
                text=message["text"],
                sender_name=message.get("name", ""),
                from_operator=message["who"] == "operator",
                at_ms=message["at"],
                buttons=tuple(Button(**button) for button in message.get("buttons", ())),
            )
            for message in screen.values()
        ]


class _OnLoop(WidgetChannel):
    """The gate's channel, sending on the gate's loop."""

    def __init__(self, channel: WidgetChannel, loop: asyncio.AbstractEventLoop) -> None:
        self.id = channel.id
        self.line_id = channel.line_id
        self.slug = channel.slug
        self._channel = channel
        self._loop = loop

    async def send(self, outbound: Outbound) -> str:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._channel.send(outbound), self._loop))
