"""AMI: what AGI cannot do with a call. Begin one, stop a phone that rings, send a caller elsewhere; and hear what happens to channels.

    Ami.run ── connects, logs in, re-syncs, listens; comes back by itself whenever the connection is lost
    Ami.ask ── one action and its answer, or its list of answers

The protocol's reading and the matching of answers are panoramisk's. Around it stands what it lacks: it lets a line break in a value
through, which is a second action; it keeps an action that was sent when the connection broke and sends it again later, which would
call twice; it waits for an answer for ever, of some actions for answers that never come; and a letter that is cut between two packets
is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol

from broker import metrics
from broker.errors import BadInput, Rejected, SendError, Unavailable, Uncertain

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 5.0
PING_SECONDS = 10.0
RETRY_SECONDS = 1.0
RETRY_MAX_SECONDS = 30.0
MESSAGE_BYTES_MAX = 1_048_576
"""Nothing that Asterisk says is longer."""
TRUE = frozenset(("1", "on", "t", "true", "y", "yes"))
"""What Asterisk takes for a yes, in any case."""

Event = Mapping[str, str]
"""What happened, by AMI's own keys in any case: Event, Uniqueid, Linkedid, Channel, …"""


class _Everything:
    """Contains whatever is asked for."""

    def __contains__(self, what: object) -> bool:
        return True


class _Wire(AMIProtocol):  # type: ignore[misc]  # panoramisk has no types
    """One connection; gives on whole messages alone."""

    encoding = "utf8"

    def __init__(self, hear: Callable[[Event], None]) -> None:
        self._hear = hear
        self._tail = b""
        self.ended = asyncio.Event()
        # What panoramisk asks its manager for; that nothing is worth keeping for the next connection is the word that counts.
        self.awaiting_actions: list[Any] = []
        self.forgetable_actions = _Everything()
        self.save_stream = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.factory = self
        # Of its own words none tells an administrator more than ours; some tell secrets.
        self.log = _Silent()

    def data_received(self, data: bytes) -> None:
        self._tail += data
        whole, end, rest = self._tail.rpartition(b"\r\n\r\n")
        self._tail = rest
        if len(rest) > MESSAGE_BYTES_MAX:
            log.error("ami_message_too_long", bytes=len(rest))
            self.cut()
        elif end:
            super().data_received(whole + end)

    def dispatch(self, event: Any) -> None:
        """Hear what nobody asked for."""
        self._hear(event)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()

    def cut(self) -> None:
        """End the connection."""
        self.ended.set()
        self.transport.abort()


class _Asked(Action):  # type: ignore[misc]  # panoramisk has no types
    """An action that knows whether more answers follow the first: panoramisk guesses, and waits for ever for those of QueueAdd."""

    @property
    def multi(self) -> bool:
        first = self.responses[0]
        if str(first.eventlist).lower() == "start" or "will follow" in str(first.message).lower():
            return True
        begun = self["Action"].lower() == "originate" and str(self.get("Async", "")).lower() in TRUE
        return begun and bool(first.success)


class _Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class Ami:
    """The manager interface of one Asterisk."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        secret: str,
        *,
        hear: Callable[[Event], None] = lambda event: None,
        ready: Callable[[], Awaitable[None]] | None = None,
        ping_seconds: float = PING_SECONDS,
        pong_seconds: float = ANSWER_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """*hear* is given each event; *ready* is awaited after each login: what happened before it, nobody has told.

        Asterisk is asked every *ping_seconds* whether it is there, and has *pong_seconds* to say so.
        """
        self._place = host, port
        self._login = {"Username": checked(user), "Secret": checked(secret)}
        self._hear = hear
        self._ready = ready
        self._ping_seconds = ping_seconds
        self._pong_seconds = pong_seconds
        self._sleep = sleep
        self._wire: _Wire | None = None
        self._failures = 0
        """Tries to connect since the last that came to a login."""
        self.lost: str | None = "not connected yet"
        """Why Asterisk cannot be asked now, in words for an administrator; None while it can."""

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self._connected()
            except (SendError, OSError, TimeoutError) as error:
                self._lose(str(error) or "Asterisk does not answer")
            except Exception as error:  # a fault of ours, in *ready* most likely: the next calls are to be heard of all the same
                metrics.unexpected_errors_total.labels("telephone").inc()
                log.exception("ami_failed")
                self._lose(f"the program failed ({type(error).__name__}); its log says where")
            await self._sleep(min(RETRY_MAX_SECONDS, RETRY_SECONDS * 2.0**self._failures))
            self._failures = min(self._failures + 1, 10)

    async def ask(self, action: str, seconds: float = ANSWER_SECONDS, **keys: str | Sequence[str]) -> list[Event]:
        """Have *action* done; return the answer, or the answer and the list it begins.

        Raises BadInput for what cannot be sent, Unavailable when nothing was sent, Rejected when Asterisk refuses, Uncertain when no
        answer came: it may have been done.
        """
        if self._wire is None or self.lost is not None:
            raise Unavailable(f"the telephone exchange cannot be asked: {self.lost or 'not connected'}")
        return await self._ask(self._wire, action, seconds, keys)

    async def _ask(self, wire: _Wire, action: str, seconds: float, keys: Mapping[str, str | Sequence[str]]) -> list[Event]:
        headers = {name: _header(name, value) for name, value in keys.items()}
        if wire.ended.is_set():
            raise Unavailable("the telephone exchange cannot be asked: the connection has ended")
        sent = _Asked({"Action": checked(action), **headers})
        answer = wire.send(sent)
        ended = asyncio.ensure_future(wire.ended.wait())
        try:
            await asyncio.wait({answer, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            for name in (sent.id, sent.action_id):
                wire.responses.pop(name, None)
        if not answer.done():
            answer.cancel()
            why = "the connection was lost" if wire.ended.is_set() else f"no answer came within {seconds:g} s"
            raise Uncertain(f"{action}: {why}")
        found = answer.result()
        answers: list[Event] = found if isinstance(found, list) else [found]
        if not answers[0].success:  # type: ignore[attr-defined]
            raise Rejected(f"{action}: {answers[0].get('Message') or 'refused'}", code="refused")
        return answers

    async def _connected(self) -> None:
        """Have a connection until it ends. Raises SendError, OSError, TimeoutError, and whatever *ready* does."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, wire = await loop.create_connection(lambda: _Wire(self._heard), *self._place)
        try:
            await self._ask(wire, "Login", ANSWER_SECONDS, {**self._login, "Events": "on"})
            self._wire, self.lost, self._failures = wire, None, 0
            log.info("ami_connected")
            if self._ready is not None:
                await self._ready()
            while not wire.ended.is_set():
                try:
                    async with asyncio.timeout(self._ping_seconds):
                        await wire.ended.wait()
                except TimeoutError:
                    await self._ask(wire, "Ping", self._pong_seconds, {})
            raise Unavailable("the connection has ended")
        finally:
            self._wire = None
            wire.cut()

    def _heard(self, event: Event) -> None:
        try:
            self._hear(event)
        except Exception:
            metrics.unexpected_errors_total.labels("telephone").inc()
            log.exception("ami_event_failed", event_name=str(event.get("Event")))

    def _lose(self, why: str) -> None:
        if self.lost is None or self.lost == "not connected yet":
            log.warning("ami_lost", problem=why)
        self.lost = why


def checked(text: str) -> str:
    """Return *text* if it is one line. Raises BadInput: the next line would be a key, or an action, of somebody else's choice."""
    if any(sign in text for sign in "\r\n\0"):
        raise BadInput("what is asked of the telephone exchange has a line break in it", code="line_break")
    return text


def _header(name: str, value: str | Sequence[str]) -> str | list[str]:
    """Return *value* as it is sent under *name*. Raises BadInput."""
    values = [value] if isinstance(value, str) else list(value)
    for one in (name, *values):
        checked(one)
    # Asterisk takes what is behind a comma for the next variable.
    if name.lower() == "variable" and any("," in one for one in values):
        raise BadInput("a variable given to the telephone exchange has a comma in it", code="comma")
    return value if isinstance(value, str) else values
