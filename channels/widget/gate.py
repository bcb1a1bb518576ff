"""The visitors' gate: `/ws/visitor`. A raw ASGI endpoint, because it is the busiest door of the house.

    socket opens ── origin, line, limits ── hello ── welcome with history ── frames in their order, each answered after its commit

Messages that have come in together (after a reconnection, say) are stored together, all or none. A visitor may have several sockets
(tabs); what one says the others show. Nothing waits for a slow reader: what is to be shown is queued up to a limit in bytes, then the
socket is cut and resumes by seq.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import msgspec
import structlog

from broker import metrics
from broker.domain import (
    TEXT_MAX,
    ChannelId,
    ChannelRow,
    ConversationId,
    Directory,
    Line,
    LineId,
    LineSettings,
    OperatorIdentity,
    Outside,
    Source,
    to_us,
)
from broker.errors import StoreError, StoreFull
from broker.inbound import Accepted, accept_each, prepare
from broker.ports import Bell, Clock, Raw, Store, Transport
from broker.rates import Bucket
from broker.web.server import abort_of, here_of, unsent_of
from channels.widget import history, shown
from channels.widget.adapter import KIND, Envelope, WidgetChannel, encode, same
from channels.widget.callbacks import Call, Callbacks, NoCall
from channels.widget.frames import (
    Ack,
    Callback,
    Details,
    Error,
    Hello,
    History,
    Hours,
    Message,
    Older,
    OperatorTyping,
    Ping,
    Pong,
    Press,
    Promised,
    Refused,
    Say,
    Seen,
    ServerFrame,
    Shown,
    State,
    Typing,
    VisitorFrame,
    Welcome,
)
from channels.widget.limits import Addresses, Limits
from channels.widget.settings import Field, WidgetSettings, settings_of
from channels.widget.tokens import VisitorTokens

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TOO_BIG = 1009
BAD_FRAME, BAD_TOKEN, NO_LINE, NO_HELLO, SLOW, FLOOD = 4400, 4401, 4404, 4408, 4409, 4429
FULL_RETRY_SECONDS = 5.0
BUCKETS_KEPT = 10_000
REFUSALS_MAX = 100
"""Messages refused for flooding before the socket is closed."""
HELD_SECONDS = 5.0
"""How long after its time a refused message may still come, before those behind it pass without it."""
SOONEST_SECONDS = 0.05
"""Nobody is told to come back sooner."""
CATCH_UP_SECONDS = 1.0
"""While the transport is lost, between two looks at what visitors were not shown."""
LOOK_SECONDS = 5.0
"""While it works: a word may be lost on the way of whoever said it."""
CATCH_UP_PAGE = 200
"""Visitors in one reading."""
CATCH_UP_AGAIN = 64
"""Messages looked at once more: that the transport is lost is known a moment after it is."""
TOGETHER_MAX = 16
"""Messages of one socket in one delivery."""
FIELDS: tuple[Field, ...] = ("name", "email", "phone")
REACHES = frozenset(("email", "phone"))
"""Of these one is asked for where a closed line has a form: by it the visitor can be answered."""

_decode = msgspec.json.Decoder(VisitorFrame).decode
_encode = msgspec.json.Encoder().encode
_PONG = _encode(Pong()).decode()

# Looked up once: by name it costs as much as decoding a frame.
_ACCEPTED = metrics.accepted_inputs_total.labels(KIND)
_REPEATED = metrics.repeated_inputs_total.labels(KIND)
_REFUSED = metrics.refused_inputs_total
_SOCKETS = metrics.sockets.labels("visitor")


class _Closed(Exception):
    """The socket is to be closed with *code*, after *error* was told."""

    def __init__(self, code: int, error: Error | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.error = error


class _Visitor:
    """Everything in memory of one visitor, while one of their sockets is open."""

    __slots__ = (
        "channel_id",
        "conversation_id",
        "delivered",
        "held",
        "held_until",
        "hours",
        "kept",
        "known",
        "looked",
        "messages",
        "out",
        "read",
        "refused",
        "sockets",
        "state",
        "stop_shown",
        "stop_typing",
        "told",
        "upto",
        "visitor",
    )

    def __init__(self, channel_id: ChannelId, visitor: str, messages: Bucket) -> None:
        self.channel_id = channel_id
        self.visitor = visitor
        self.conversation_id: ConversationId | None = None
        self.told: tuple[str, str] | None = None
        """Where their session stands, and who answers, as they were told; None: nothing yet."""
        self.hours: Hours | None = None
        """What they were told of the line's hours; None: nothing yet."""
        self.known: set[str] = set()
        self.messages = messages
        self.held: str | None = None
        """The message that was refused for coming too fast, and not come again yet."""
        self.held_until = 0.0
        self.refused = 0
        self.delivered = 0
        self.read = 0
        self.upto = 0
        """The highest seq that they were shown while the transport worked."""
        self.out = 0
        """The highest seq they were shown of what went out to them."""
        self.looked = 0
        """The seq up to which their history was looked at for what they were not shown."""
        self.kept: list[shown.Word] = []
        """What came while others before it may have been lost: shown after those."""
        self.sockets: list[_Socket] = []
        self.stop_typing: Callable[[], None] | None = None
        self.stop_shown: Callable[[], None] | None = None


class _Socket:
    """One open socket: what it was shown, and what waits to be written to it."""

    __slots__ = (
        "_abort",
        "_draining",
        "_queue",
        "_queued",
        "_send",
        "_unsent",
        "asked_from",
        "closing",
        "has",
        "here",
        "limits",
        "name",
        "ready",
        "since",
        "source",
        "text_language",
    )

    def __init__(
        self, send: Send, abort: Callable[[], None], unsent: Callable[[], int], here: Callable[[], int], limits: Limits
    ) -> None:
        self._send = send
        self._unsent = unsent
        self._abort = abort
        self.here = here
        self._queue: deque[str] = deque()
        self._queued = 0
        self._draining: asyncio.Task[None] | None = None
        self.limits = limits
        self.closing: int | None = None
        self.name = secrets.token_hex(8)
        self.has: deque[int] = deque(maxlen=CATCH_UP_AGAIN + history.PAGE)
        """The last messages that it was shown, or sent itself."""
        self.since = 0
        """Up to where it had everything when it came."""
        self.ready = False
        self.source: Source | None = None
        """Where they look, until it was stored with something that they said."""
        self.asked_from: Source | None = None
        """Where they look."""
        self.text_language = ""

    async def say(self, *frames: ServerFrame) -> None:
        """Write frames now; the reader of this socket waits for its own answer."""
        await self._write(*(_encode(frame).decode() for frame in frames))

    def push(self, text: str) -> None:
        """Write a frame when the socket takes it; one that takes nothing is cut."""
        if self.closing is not None:
            return
        self._queue.append(text)
        self._queued += len(text)
        if self._queued > self.limits.queue_bytes:
            self.closing = SLOW
            self._queue.clear()
            self._abort()
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self.ready and self._queue and self.closing is None:
                text = self._queue.popleft()
                self._queued -= len(text)
                await self._write(text)
        except Exception:  # the socket is gone: its reader learns it too
            self.closing = self.closing or SLOW
        finally:
            self._draining = None
        if self.closing is not None:
            await self.close(self.closing)

    def open(self) -> None:
        """Begin to show what was pushed while the welcome was being made."""
        self.ready = True
        if self._queue and self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _write(self, *texts: str) -> None:
        if self._unsent() == 0:
            for text in texts:
                await self._send(
                    {"type": "websocket.send", "text": text}
                )  # into an empty buffer; a clock would cost as much again
            return
        try:
            async with asyncio.timeout(self.limits.stall_seconds):
                for text in texts:
                    await self._send({"type": "websocket.send", "text": text})
        except TimeoutError:
            self._abort()  # a close would wait behind what the other side does not read
            raise

    async def close(self, code: int) -> None:
        """Close with *code*."""
        self.closing = code
        with suppress(Exception):
            async with asyncio.timeout(self.limits.stall_seconds):
                await self._send({"type": "websocket.close", "code": code})

    def cancel(self) -> None:
        """Stop writing: the socket has gone."""
        self.closing = self.closing or 1000
        self._queue.clear()
        if self._draining is not None:
            self._draining.cancel()


class VisitorGate:
    """Serves `/ws/visitor` and shows visitors what their channels send."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        clock: Clock,
        directory: Callable[[], Directory],
        tokens: VisitorTokens,
        *,
        limits: Limits,
        address_of: Callable[[Scope], str],
        own_origin: Callable[[Scope, str], bool],
        callbacks: Callbacks | None = None,
    ) -> None:
        """*callbacks*: None where nobody can be called."""
        self._store = store
        self._transport = transport
        self._clock = clock
        self._directory = directory
        self._tokens = tokens
        self._limits = limits
        self._address_of = address_of
        self._own_origin = own_origin
        self._addresses = Addresses(limits)
        self._callbacks = callbacks
        self._visitors: dict[tuple[ChannelId, str], _Visitor] = {}
        self._by_conversation: dict[ConversationId, _Visitor] = {}
        self._buckets: dict[tuple[ChannelId, str], Bucket] = {}
        self._strangers: dict[tuple[ChannelId, str], None] = {}
        """Visitors who have a conversation that is not known here."""
        self._states: dict[ConversationId, None] = {}
        self._hours: dict[LineId, None] = {}
        self._show = shown.shower(transport)
        self._behind = False
        """Words may have been lost: what comes waits until that has been looked at."""
        self._losses = 0
        """How often they may have been."""
        self._look_now = asyncio.Event()
        self._telling: dict[Callable[[], Coroutine[None, None, None]], asyncio.Task[None]] = {}
        transport.listen(Bell.SESSION, self._session_changed)
        transport.listen(Bell.HOURS, self._hours_changed)

    # --- the channel's side

    def channel(self, row: ChannelRow) -> WidgetChannel:
        """Return the channel of *row*."""
        return WidgetChannel(row, self._show)

    # --- the socket's side

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from its opening to its end; whatever a stranger sends, nothing else is harmed."""
        slug = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("line", [""])[0]
        channel = self._channel_of(slug)
        settings = settings_of(channel) if channel is not None else WidgetSettings()
        if channel is not None and not self._origin_allowed(scope, settings):
            await send({"type": "websocket.close", "code": 4403})  # before the opening: answered with 403
            return
        await receive()
        await send({"type": "websocket.accept"})
        address = self._address_of(scope)
        socket = _Socket(send, abort_of(scope), unsent_of(scope), here_of(scope), self._limits)
        if not self._addresses.enter(address):
            await self._part(socket, _Closed(FLOOD, Error("too_many", "too many connections; come back in a minute", 60.0)))
            return
        _SOCKETS.set(self._addresses.total)
        visitor: _Visitor | None = None
        try:
            if channel is None:
                raise _Closed(NO_LINE, Error("no_line", f"there is no chat named “{slug[:60]}” here"))
            visitor = await self._greet(socket, receive, channel, settings)
            await self._serve(socket, receive, visitor, address)
        except _Closed as closed:
            await self._part(socket, closed)
        except StoreError as error:
            log.warning("visitor_refused_by_store", problem=str(error))
            await self._part(socket, _Closed(1013, Error("unavailable", "we cannot answer just now", FULL_RETRY_SECONDS)))
        except (OSError, TimeoutError):
            await self._part(socket, _Closed(SLOW))
        except _Gone:
            pass
        finally:
            self._addresses.leave(address)
            _SOCKETS.set(self._addresses.total)
            socket.cancel()
            if visitor is not None:
                self._leave(visitor, socket)

    def _channel_of(self, slug: str) -> ChannelRow | None:
        directory = self._directory()
        return next(
            (
                row
                for row in directory.channels.values()
                if row.kind == KIND and row.slug == slug and row.active and directory.lines[row.line_id].active
            ),
            None,
        )

    def _origin_allowed(self, scope: Scope, settings: WidgetSettings) -> bool:
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
        # No Origin: not a browser's page, so there is no site to be protected from.
        return (
            origin is None
            or "*" in settings.allowed_origins
            or origin in settings.allowed_origins
            or self._own_origin(scope, origin)
        )

    async def _part(self, socket: _Socket, closed: _Closed) -> None:
        metrics.sockets_closed_total.labels("visitor", str(closed.code)).inc()
        if closed.error is not None:
            with suppress(Exception):
                await socket.say(closed.error)
        await socket.close(closed.code)

    async def _greet(self, socket: _Socket, receive: Receive, channel: ChannelRow, settings: WidgetSettings) -> _Visitor:
        try:
            async with asyncio.timeout(self._limits.hello_seconds):
                frame = await self._next(receive)
        except TimeoutError:
            raise _Closed(NO_HELLO, Error("hello_first", "say hello within 5 seconds")) from None
        if not isinstance(frame, Hello):
            raise _Closed(BAD_FRAME, Error("hello_first", "the first frame must be a hello"))
        name = self._tokens.check(channel.id, frame.token) if frame.token is not None else self._tokens.new()
        if name is None:
            raise _Closed(BAD_TOKEN, Error("bad_token", "this visitor token is not ours; come again without it"))
        socket.text_language = frame.lang.replace("\x00", "")
        socket.source = socket.asked_from = Source(frame.page, frame.title, frame.referrer, frame.utm)
        # Entered before the history is read: what comes meanwhile waits in the socket's queue instead of being missed.
        visitor = self._enter(channel.id, name, socket)
        try:
            sees = self._names(channel.id)
            visit, hours = await self._store.read(
                lambda tx: (history.visit(tx, channel.id, name, frame.since, sees), history.hours(tx, channel.line_id))
            )
            if visit.conversation_id is not None:
                self._begun(visitor, visit.conversation_id)
            socket.since = frame.since
            socket.has.extend(message.seq for message in visit.messages)
            visitor.upto = max(visitor.upto, *socket.has, 0)
            line = self._directory().lines[channel.line_id]
            ask, reach = _asked(line, settings, hours)
            visitor.known |= visit.known
            if visitor.told is None:  # the first: another may lack what this one has been given
                visitor.out = max(visitor.out, frame.since, *socket.has)
                visitor.looked = visit.upto
                visitor.told = (visit.state, visit.operator)
                visitor.hours = Hours(ask, reach, hours.opens_at_ms)
            await socket.say(
                Welcome(
                    token=self._tokens.sign(channel.id, name),
                    line=line.name,
                    language=line.settings.language,
                    ask=ask,
                    known=tuple(field for field in FIELDS if field in visitor.known),
                    required=settings.required,
                    history=visit.messages,
                    gap=visit.gap,
                    more=visit.more,
                    state=visit.state,  # type: ignore[arg-type]
                    operator=visit.operator,
                    text_max=TEXT_MAX,
                    reach=reach,
                    opens_at=hours.opens_at_ms,
                    callback=self._calls(channel, settings) is not None,
                )
            )
        except BaseException:
            self._leave(visitor, socket)
            raise
        socket.open()
        return visitor

    async def _serve(self, socket: _Socket, receive: Receive, visitor: _Visitor, address: str) -> None:
        frames = Bucket(self._limits.frames_per_second, self._limits.frames_burst, self._clock.monotonic())
        frame = await self._next(receive, frames)
        while True:
            if isinstance(frame, Say):
                said = [frame]
                following = None
                try:
                    # What is here already need not wait for the first one's commit: it goes with it.
                    while socket.here() and len(said) < TOGETHER_MAX and following is None:
                        following = await self._next(receive, frames)
                        if isinstance(following, Say):
                            said.append(following)
                            following = None
                finally:
                    await self._say(socket, visitor, said, address)  # also before an end that stood behind them
                if following is not None:
                    frame = following
                    continue
            elif isinstance(frame, Seen):
                await self._seen(socket, visitor, frame)
            elif isinstance(frame, Ping):
                await socket._write(_PONG)
            elif isinstance(frame, Typing):
                self._typing(visitor)
            elif isinstance(frame, Details):
                await self._details(socket, visitor, frame, address)
            elif isinstance(frame, Press):
                await self._press(socket, visitor, frame, address)
            elif isinstance(frame, Callback):
                await self._callback(socket, visitor, frame, address)
            elif isinstance(frame, Older):
                await self._older(socket, visitor, frame)
            else:
                raise _Closed(BAD_FRAME, Error("bad_frame", "hello was said already"))
            frame = await self._next(receive, frames)

    async def _next(self, receive: Receive, frames: Bucket | None = None) -> VisitorFrame:
        event = await receive()
        if event["type"] != "websocket.receive":
            raise _Gone
        text = event.get("text")
        if text is None:
            raise _Closed(BAD_FRAME, Error("bad_frame", "frames are JSON text"))
        # Bytes are counted only where characters might not be few enough.
        most = self._limits.frame_bytes
        if len(text) * 4 > most and len(text.encode()) > most:
            raise _Closed(TOO_BIG, Error("too_big", f"a frame has at most {most} bytes"))
        if frames is not None and frames.take(self._clock.monotonic()):
            raise _Closed(FLOOD, Error("too_many", "too many frames; come back in a few seconds", 5.0))
        try:
            frame: VisitorFrame = _decode(text)
            return frame
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise _Closed(BAD_FRAME, Error("bad_frame", f"that frame cannot be read: {error}"[:300])) from None

    # --- what a visitor does

    async def _say(self, socket: _Socket, visitor: _Visitor, said: Sequence[Say], address: str) -> None:
        taken: list[Say] = []
        closed = await self._closed_to(visitor)
        if closed is not None:
            await socket.say(closed)  # before the refusal: the form that it calls up must know what to ask for
        for frame in said:
            text = frame.text.replace("\x00", "").strip()
            refused = self._refusal_of(visitor, frame.id, text)
            if refused is None and closed is not None:
                refused = Refused(frame.id, "details_required", "please tell us first: email or phone")
            if refused is not None:
                await socket.say(refused)
            elif not await self._too_many(socket, visitor, frame.id, address):
                taken.append(frame if text is frame.text else msgspec.structs.replace(frame, text=text))
        if not taken:
            return
        accepted = await self._accept(socket, visitor, [(frame, frame.id) for frame in taken])
        if accepted is not None and (len(visitor.sockets) > 1 or not self._transport.alone):
            for frame, one in zip(taken, accepted, strict=True):
                if one.fresh:
                    assert one.seq is not None
                    message = Shown(one.seq, "me", frame.text, to_us(one.at) // 1000, id=frame.id)
                    shown.tell(self._transport, visitor.channel_id, visitor.visitor, message, said_by=socket.name)

    def _refusal_of(self, visitor: _Visitor, id_: str, text: str) -> Refused | None:
        if not text:
            return Refused(id_, "empty", "there is nothing in this message")
        if len(text) > TEXT_MAX:
            return Refused(id_, "too_long", f"a message has at most {TEXT_MAX} characters, this one has {len(text)}")
        row = self._directory().channels[visitor.channel_id]
        if row.settings.get("required"):
            missing = [field for field in settings_of(row).required if field not in visitor.known]
            if missing:
                return Refused(id_, "details_required", f"please tell us first: {', '.join(missing)}")
        return None

    async def _closed_to(self, visitor: _Visitor) -> Hours | None:
        """Return what the form asks for, if the line is closed and whoever writes must first say how they can be reached."""
        line = self._line_of(visitor.channel_id)
        settings = line.settings
        if settings.outside is not Outside.FORM or settings.hours is None or visitor.known & REACHES:
            return None
        if visitor.told is not None and visitor.told[0] in ("waiting", "active"):  # the hours have ended in the middle of it
            return None
        # Not what they were told when they came, which may be hours ago: a clock of ours would be a second calendar.
        hours = await self._store.read(lambda tx: history.hours(tx, line.id))
        return None if hours.open else self._told(visitor.channel_id, hours)

    async def _press(self, socket: _Socket, visitor: _Visitor, frame: Press, address: str) -> None:
        if visitor.conversation_id is None:
            await socket.say(Refused(frame.id, "no_button", "nothing was asked here"))
        elif not await self._too_many(socket, visitor, frame.id, address):
            await self._accept(socket, visitor, [(frame, frame.id)])

    async def _details(self, socket: _Socket, visitor: _Visitor, frame: Details, address: str) -> None:
        if not (frame.name.strip() or frame.email.strip() or frame.phone.strip()):
            await socket.say(Refused(frame.id, "bad_details", "fill in at least one field"))
            return
        if await self._too_many(socket, visitor, frame.id, address):
            return
        frame = Details(frame.id, *(value.replace("\x00", "") for value in (frame.name, frame.email, frame.phone)))
        if await self._accept(socket, visitor, [(frame, frame.id)]) is not None:
            told = (("name", frame.name), ("email", frame.email), ("phone", frame.phone))
            visitor.known |= {field for field, value in told if value.strip()}

    def _calls(self, channel: ChannelRow, settings: WidgetSettings) -> Callbacks | None:
        """Return what enters the calls that visitors of the channel ask for; None: they are not to."""
        can = settings.callback and self._callbacks is not None and self._callbacks.are_made_from(channel.line_id)
        return self._callbacks if can else None

    async def _callback(self, socket: _Socket, visitor: _Visitor, frame: Callback, address: str) -> None:
        row = self._directory().channels[visitor.channel_id]
        settings, calls = settings_of(row), self._calls(row, settings_of(row))
        if await self._promised_before(socket, visitor, frame):
            return
        if calls is None:
            await socket.say(Refused(frame.id, "no_callback", "we make no calls from here"))
            return
        try:
            await self._promise(socket, visitor, _without_nul(frame), row, calls, address, abroad=settings.callback_abroad)
        except NoCall as why:
            wait = self._addresses.call_wait(address, self._clock.monotonic()) if why.code == "too_many_calls" else 0.0
            _REFUSED.labels(KIND, why.code).inc()
            await socket.say(Refused(frame.id, why.code, why.text, round(wait, 3)))
        except StoreError as error:
            code = "full" if isinstance(error, StoreFull) else "unavailable"
            _REFUSED.labels(KIND, code).inc()
            await socket.say(Refused(frame.id, code, "we cannot take this just now; try again in a moment", FULL_RETRY_SECONDS))

    async def _promised_before(self, socket: _Socket, visitor: _Visitor, frame: Callback) -> bool:
        """Answer what was promised under its id as it was then, however all has changed since; return whether anything was."""
        calls, name = self._callbacks, f"{visitor.visitor}:{frame.id}"
        if calls is None:
            return False
        try:
            before, body = await self._store.read(
                lambda tx: (calls.before(tx, name), history.stored(tx, visitor.channel_id, name))
            )
        except StoreError:
            return False  # what follows says so
        if before is None or body is None or not same(body, _without_nul(frame)):
            return False
        _REPEATED.inc()
        await socket.say(Promised(frame.id, *before))
        return True

    async def _promise(
        self,
        socket: _Socket,
        visitor: _Visitor,
        frame: Callback,
        row: ChannelRow,
        calls: Callbacks,
        address: str,
        *,
        abroad: bool,
    ) -> None:
        """Enter a call, and tell the visitor when it will be. Raises NoCall, and StoreError."""
        line = self._directory().lines[row.line_id].settings
        now = self._clock.now()
        number = calls.number(frame.phone, line.region, abroad=abroad)
        due, soon = calls.when(row.line_id, frame.at, now)
        call = Call(f"{visitor.visitor}:{frame.id}", number, due, frame.name.strip(), socket.asked_from)
        body = encode(Envelope(visitor.visitor, frame, socket.source, socket.text_language))
        (asked,) = prepare(WidgetChannel(row, self._show), [Raw(call.name, body)], line)
        # What is wrong with it was said before it counts as anything that came.
        if await self._too_many(socket, visitor, frame.id, address):
            return
        # Counted before it is known: many that come at once are not to find room together.
        may = not self._addresses.call_wait(address, self._clock.monotonic())
        self._addresses.count_call(address, self._clock.monotonic())
        called = False
        try:
            accepted, called = await self._store.write(lambda tx: calls.enter(tx, asked, row.id, row.line_id, call, may=may))
        finally:
            if not called:
                self._addresses.give_back_call(address)
        if not accepted.fresh and not same(accepted.stored, frame):
            raise NoCall("id_used", "this id was used for something else; send it again under a new one")
        (_ACCEPTED if accepted.fresh else _REPEATED).inc()
        visitor.known |= {"phone", *(["name"] if call.customer else [])}
        socket.source = None
        if visitor.conversation_id is None and accepted.conversation_id is not None:
            self._begun(visitor, accepted.conversation_id)
        await socket.say(Promised(frame.id, number, 0 if soon else to_us(due) // 1000))

    async def _seen(self, socket: _Socket, visitor: _Visitor, frame: Seen) -> None:
        # What was told before is not told again, nor of what there is not: a receipt is an input, and inputs cost a commit.
        upto = min(frame.upto, max(visitor.upto, *socket.has, 0))
        if visitor.conversation_id is None or upto <= (visitor.read if frame.read else visitor.delivered):
            return
        visitor.delivered = max(visitor.delivered, upto)
        if frame.read:
            visitor.read = upto
        await self._accept(socket, visitor, [(Seen(upto, frame.read), f"seen:{upto}:{int(frame.read)}")])

    async def _older(self, socket: _Socket, visitor: _Visitor, frame: Older) -> None:
        conversation_id = visitor.conversation_id
        if conversation_id is None:
            await socket.say(History((), more=False))
            return
        name = self._names(visitor.channel_id)
        messages, more = await self._store.read(lambda tx: history.before(tx, conversation_id, frame.before, name))
        await socket.say(History(messages, more))

    def _typing(self, visitor: _Visitor) -> None:
        if visitor.conversation_id is not None:
            self._transport.tell(f"typing:{visitor.conversation_id}", b'{"who":"contact"}')

    async def _too_many(self, socket: _Socket, visitor: _Visitor, id_: str, address: str) -> bool:
        now = self._clock.monotonic()
        # Behind a message that was refused nothing passes until it comes again: what was under way already would overtake it.
        behind = visitor.held is not None and visitor.held != id_ and now < visitor.held_until
        wait = visitor.held_until - HELD_SECONDS - now if behind else visitor.messages.take(now)
        if not wait and visitor.conversation_id is None:
            wait = self._addresses.begin(address, now)
        if not wait and not behind:
            visitor.refused = 0
            visitor.held = None
            return False
        wait = max(wait, SOONEST_SECONDS)
        if not behind:
            visitor.held, visitor.held_until = id_, now + wait + HELD_SECONDS
        visitor.refused += 1
        _REFUSED.labels(KIND, "flood").inc()
        if visitor.refused > REFUSALS_MAX:
            raise _Closed(FLOOD, Error("too_many", "too many messages", round(wait, 1)))
        await socket.say(Refused(id_, "too_many", f"too many messages; send it again in {wait:.1f} s", round(wait, 3)))
        return True

    async def _accept(
        self, socket: _Socket, visitor: _Visitor, frames: Sequence[tuple[Say | Details | Seen | Press, str]]
    ) -> Sequence[Accepted] | None:
        """Store *frames* with their ids, all or none, and answer their sender; None when they were refused, which was told."""
        directory = self._directory()
        row = directory.channels[visitor.channel_id]
        settings: LineSettings = directory.lines[row.line_id].settings
        asks = not isinstance(frames[0][0], Seen)  # a receipt is not answered
        source = socket.source if asks else None
        raws: list[Raw] = []
        for frame, id_ in frames:
            body = encode(Envelope(visitor.visitor, frame, source, socket.text_language))
            raws.append(Raw(f"{visitor.visitor}:{id_}", body))
            source = None  # told once a socket: the next message comes from the same page
        prepared = prepare(WidgetChannel(row, self._show), raws, settings)
        if prepared[0].incoming is None:  # details, or a press; a message can always be read
            if asks:
                code = "no_button" if isinstance(frames[0][0], Press) else "bad_details"
                await socket.say(Refused(frames[0][1], code, prepared[0].problem))
            return None
        try:
            accepted = await self._store.write_each(accept_each, (visitor.channel_id, prepared))
        except StoreError as error:
            code = "full" if isinstance(error, StoreFull) else "unavailable"
            _REFUSED.labels(KIND, code).inc(len(frames))
            if asks:
                words = "we cannot take messages just now; try again in a moment"
                await socket.say(*(Refused(id_, code, words, FULL_RETRY_SECONDS) for _, id_ in frames))
            return None
        for (frame, _), one in zip(frames, accepted, strict=True):
            (_ACCEPTED if one.fresh else _REPEATED).inc()
            if one.seq is not None and not isinstance(frame, Seen):  # a receipt is nothing that is shown
                socket.has.append(one.seq)
        if asks:
            socket.source = None
            await socket.say(*(_answer(frame, id_, one) for (frame, id_), one in zip(frames, accepted, strict=True)))
        if visitor.conversation_id is None and accepted[0].conversation_id is not None:
            self._begun(visitor, accepted[0].conversation_id)
        return accepted

    # --- who is here

    def _enter(self, channel_id: ChannelId, name: str, socket: _Socket) -> _Visitor:
        key = (channel_id, name)
        visitor = self._visitors.get(key)
        if visitor is None:
            # Coming again does not fill the bucket again.
            bucket = self._buckets.pop(key, None) or Bucket(
                self._limits.messages_per_second, self._limits.burst, self._clock.monotonic()
            )
            visitor = self._visitors[key] = made = _Visitor(channel_id, name, bucket)
            made.stop_shown = self._transport.follow(shown.topic(channel_id, name), lambda word: self._shown(made, word))
        visitor.sockets.append(socket)
        return visitor

    def _begun(self, visitor: _Visitor, conversation_id: ConversationId) -> None:
        if visitor.conversation_id is None:
            visitor.conversation_id = conversation_id
            self._by_conversation[conversation_id] = visitor
            visitor.stop_typing = self._transport.follow(
                f"typing:{conversation_id}", lambda word: self._operator_types(visitor, word)
            )

    def _leave(self, visitor: _Visitor, socket: _Socket) -> None:
        if socket in visitor.sockets:
            visitor.sockets.remove(socket)
        if visitor.sockets:
            return
        self._visitors.pop((visitor.channel_id, visitor.visitor), None)
        self._buckets[visitor.channel_id, visitor.visitor] = visitor.messages
        if len(self._buckets) > BUCKETS_KEPT:
            del self._buckets[next(iter(self._buckets))]
        if visitor.conversation_id is not None:
            self._by_conversation.pop(visitor.conversation_id, None)
        for stop in (visitor.stop_typing, visitor.stop_shown):
            if stop is not None:
                stop()

    # --- what a visitor is shown

    def _shown(self, visitor: _Visitor, word: bytes) -> None:
        told = shown.read(word)
        if visitor.conversation_id is None and visitor.told is not None:
            self._strangers[visitor.channel_id, visitor.visitor] = None  # begun in a tab of theirs that is in another process
            self._begin(self._meet)
        if self._is_missing_one(visitor, told):
            self._fall_behind()
        if self._behind:
            visitor.kept.append(told)
        else:
            self._push(visitor, told)

    def _is_missing_one(self, visitor: _Visitor, told: shown.Word) -> bool:
        """Return whether what went out to a visitor before a word has not come, which can be looked up."""
        is_here = visitor.told is not None and visitor.conversation_id is not None
        return is_here and not self._transport.alone and told.after is not None and told.after > visitor.out

    @staticmethod
    def _push(visitor: _Visitor, told: shown.Word, *, again: bool = False) -> None:
        """Show a word; one that is shown *again*, to be sure, only to those who may not have it."""
        visitor.upto = max(visitor.upto, told.seq)
        if told.after is not None:
            visitor.out = max(visitor.out, told.seq)
        for socket in visitor.sockets:
            if told.seq not in socket.has and not (again and told.seq <= socket.since):
                socket.has.append(told.seq)
                if socket.name != told.said_by:
                    socket.push(told.frame)

    async def run(self) -> None:
        """Show what words that were lost would have said; until cancelled. A process alone loses none.

        Lost with this process's way to the others, or before another that came: at once. Of other losses nobody knows: at the next look.
        """
        stop = self._transport.on_restored(self._fall_behind)
        try:
            while True:
                self._look_now.clear()
                self._behind = self._behind or self._transport.lost is not None
                try:
                    await self._catch_up()
                except StoreError as error:
                    log.warning("visitors_wait_for_store", problem=str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(CATCH_UP_SECONDS if self._behind else LOOK_SECONDS):
                        await self._look_now.wait()
        finally:
            stop()

    def _fall_behind(self) -> None:
        """Let what comes wait until it has been looked at what was lost: from now on, before any other word is heard."""
        self._behind = True
        self._losses += 1
        self._look_now.set()

    async def _catch_up(self) -> None:
        """Show every visitor what stands in their history and was not shown, in its order. Raises StoreError."""
        behind, lost, losses = self._behind, self._transport.lost is not None, self._losses
        if behind and not lost:
            # Who has none yet may have begun one in a tab that is in another process: its first word may be among the lost.
            self._strangers |= {key: None for key, visitor in self._visitors.items() if _may_have_begun(visitor)}
            await self._meet()
        here = [visitor for visitor in self._visitors.values() if visitor.conversation_id is not None]
        for begin in range(0, len(here), CATCH_UP_PAGE):
            page = here[begin : begin + CATCH_UP_PAGE]
            asked = {
                visitor.conversation_id: (
                    visitor.looked,
                    # Their own words may have brought them further than what went out to them.
                    max(0, min(visitor.upto, visitor.out) - CATCH_UP_AGAIN),
                    self._names(visitor.channel_id),
                )
                for visitor in page
                if visitor.conversation_id is not None
            }
            # What has come until now stands in the history with everything before it; of what comes from here on it may not.
            early = {visitor: len(visitor.kept) for visitor in page}
            found = await self._store.read(lambda tx, a=asked: history.missed(tx, a))  # type: ignore[misc]
            for visitor in page:
                missed = found.get(visitor.conversation_id) if visitor.conversation_id is not None else None
                words = [
                    shown.Word("", message.seq, None if message.who == "me" else 0, _encode(Message(message)).decode())
                    for message in (missed.messages if missed is not None else ())
                ]
                kept, visitor.kept = visitor.kept[: early[visitor]], visitor.kept[early[visitor] :]
                both = [(told, True) for told in words] + [(told, False) for told in kept]
                for told, again in sorted(both, key=lambda one: one[0].seq):
                    self._push(visitor, told, again=again)
                if missed is not None:
                    visitor.looked = missed.upto
        if self._losses != losses:
            return  # lost meanwhile: what comes waits for the next look, which is at once
        for visitor in self._visitors.values():
            # What came while others were read; of who has begun meanwhile too.
            while visitor.kept and not self._is_missing_one(visitor, visitor.kept[0]):
                self._push(visitor, visitor.kept.pop(0))
        if any(visitor.kept for visitor in self._visitors.values()):
            self._fall_behind()
        elif not lost and self._transport.lost is None:
            self._behind = False
        if behind or not self._transport.alone:
            # A bell may have been lost as a word may: who hears nothing new is told nothing.
            for conversation_id in list(self._by_conversation):
                self._session_changed(conversation_id)
            for channel_id in {visitor.channel_id for visitor in self._visitors.values()}:
                self._hours_changed(self._line_of(channel_id).id)

    # --- what a visitor is told beside messages

    def _operator_types(self, visitor: _Visitor, word: bytes) -> None:
        if b'"operator"' not in word:
            return
        identity = self._identity(visitor.channel_id)
        name = msgspec.json.decode(word).get("name", "") if identity is OperatorIdentity.OWN else ""
        text = _encode(OperatorTyping(name)).decode()
        for socket in visitor.sockets:
            socket.push(text)

    def _session_changed(self, conversation_id: str) -> None:
        if conversation_id not in self._by_conversation:
            return
        self._states[ConversationId(conversation_id)] = None
        self._begin(self._tell_states)

    def _hours_changed(self, line_id: str) -> None:
        if self._visitors:
            self._hours[LineId(line_id)] = None
            self._begin(self._tell_hours)

    def _begin(self, tell: Callable[[], Coroutine[None, None, None]]) -> None:
        """Let *tell* run; one that runs already finds what was added."""
        running = self._telling.get(tell)
        if running is None or running.done():
            self._telling[tell] = asyncio.get_running_loop().create_task(tell())

    async def _meet(self) -> None:
        """Learn which conversations the strangers have."""
        while self._strangers:
            asked, self._strangers = list(self._strangers), {}
            try:
                found = await self._store.read(lambda tx, a=asked: {key: history.conversation_of(tx, *key) for key in a})  # type: ignore[misc]
            except StoreError:
                return  # their next word asks again
            for key, conversation_id in found.items():
                if conversation_id is not None and (visitor := self._visitors.get(key)) is not None:
                    self._begun(visitor, conversation_id)
                    self._session_changed(conversation_id)

    async def _tell_states(self) -> None:
        while self._states:
            changed, self._states = self._states, {}
            here = {one: visitor for one in changed if (visitor := self._by_conversation.get(one)) is not None}
            asked = {one: self._names(visitor.channel_id) for one, visitor in here.items()}
            try:
                found = await self._store.read(lambda tx, a=asked: history.states(tx, a))  # type: ignore[misc]
            except StoreError:
                continue  # the next look asks again
            for one, (state, operator) in found.items():
                if here[one].told == (state, operator):
                    continue
                here[one].told = (state, operator)
                text = _encode(State(state, operator)).decode()  # type: ignore[arg-type]
                for socket in here[one].sockets:
                    socket.push(text)

    async def _tell_hours(self) -> None:
        while self._hours:
            changed, self._hours = self._hours, {}
            try:
                found = await self._store.read(lambda tx, c=changed: {line: history.hours(tx, line) for line in c})  # type: ignore[misc]
            except StoreError:
                continue  # they learn it when they write, or come again
            told: dict[ChannelId, tuple[Hours, str]] = {}
            for visitor in list(self._visitors.values()):
                hours = found.get(self._line_of(visitor.channel_id).id)
                if hours is None:
                    continue
                if visitor.channel_id not in told:
                    frame = self._told(visitor.channel_id, hours)
                    told[visitor.channel_id] = frame, _encode(frame).decode()
                frame, text = told[visitor.channel_id]
                if visitor.hours == frame:
                    continue
                visitor.hours = frame
                for socket in visitor.sockets:
                    socket.push(text)

    def _told(self, channel_id: ChannelId, hours: history.Hours) -> Hours:
        """Return *hours* as the channel's visitors are told of them."""
        ask, reach = _asked(self._line_of(channel_id), settings_of(self._directory().channels[channel_id]), hours)
        return Hours(ask, reach, hours.opens_at_ms)

    def _line_of(self, channel_id: ChannelId) -> Line:
        directory = self._directory()
        return directory.lines[directory.channels[channel_id].line_id]

    def _identity(self, channel_id: ChannelId) -> OperatorIdentity:
        return self._line_of(channel_id).settings.identity

    def _names(self, channel_id: ChannelId) -> Callable[[str | None], str]:
        directory = self._directory()
        line = self._line_of(channel_id)

        def name(operator_id: str | None) -> str:
            return shown_name(directory, line.name, line.settings.identity, operator_id)

        return name


def _may_have_begun(visitor: _Visitor) -> bool:
    """Return whether the visitor was greeted as one without a conversation."""
    return visitor.conversation_id is None and visitor.told is not None


def _asked(line: Line, settings: WidgetSettings, hours: history.Hours) -> tuple[tuple[Field, ...], bool]:
    """Return what the form before the chat asks for, and whether an e-mail or a phone must be among it."""
    if hours.open or line.settings.outside is not Outside.FORM:
        return tuple(settings.ask), False
    return FIELDS, not REACHES & set(settings.required)


def _answer(frame: Say | Details | Seen | Press, id_: str, one: Accepted) -> Ack | Refused:
    # Acknowledged under another's id it would be lost without a word.
    if not one.fresh and not same(one.stored, frame):
        return Refused(id_, "id_used", "this id was used for something else; send it again under a new one")
    return Ack(id_, one.seq or 0, to_us(one.at) // 1000)


def _without_nul(frame: Callback) -> Callback:
    return msgspec.structs.replace(frame, phone=frame.phone.replace("\x00", ""), name=frame.name.replace("\x00", ""))


class _Gone(Exception):
    """The visitor's side has closed."""


def shown_name(directory: Directory, line_name: str, identity: OperatorIdentity, operator_id: str | None) -> str:
    """Return the name above an answer, as the line shows its people; None: the line itself speaks."""
    match identity:
        case OperatorIdentity.HIDDEN:
            return ""
        case OperatorIdentity.OWN if operator_id is not None:
            person = directory.operators.get(operator_id)  # type: ignore[call-overload]
            return person.name if person is not None else line_name
        case _:
            return line_name


__all__ = ["VisitorGate", "shown_name"]
