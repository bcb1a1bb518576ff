"""The consoles' gate: `/ws/operator`. A raw ASGI endpoint, because every message of the house goes out through it.

    opening ── our own Origin, a login ── hello ── snapshot, or what was missed ── frames in, one at a time; news out

What an operator does is stored before it is accepted (operators.deeds); what came of it they learn from the journal like
everybody else (operators.feed).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, assert_never

import msgspec
import structlog

from broker import metrics
from broker.access import logins
from broker.access.authorize import Actor
from broker.domain import ConversationId, Directory, PresenceState, from_us
from broker.errors import BadInput, NotFound, StoreError, StoreUncertain
from broker.ports import Bell, Transport, Tx
from broker.store import journal
from broker.store.journal import Position
from broker.tasks import until_one_fails
from broker.web.asgi import Receive, Scope, Send, header
from broker.web.server import abort_of
from broker.web.wiring import Parts
from operators import deeds, pins, presence, screens, threads
from operators.attendance import Attendance
from operators.audience import holds, listed, may_see
from operators.cards import Watched
from operators.deeds import Refusal, sentence
from operators.feed import Feed
from operators.frames import (
    Accepted,
    ConsoleFrame,
    Contact,
    Do,
    Error,
    Hello,
    Leave,
    ListBox,
    Older,
    OlderPage,
    Open,
    Page,
    Pin,
    Ping,
    Pong,
    Refused,
    SetPresence,
    Shown,
    Thread,
    Typing,
    Update,
)
from operators.hall import Hall
from operators.marks import Mark, stamp
from operators.sockets import (
    BAD_FRAME,
    FAULT,
    NO_HELLO,
    NOT_LOGGED_IN,
    TOO_LARGE,
    UNAVAILABLE,
    Pace,
    Socket,
    refuse,
)
from operators.typists import Typists

log = structlog.get_logger(__name__)

_SOCKETS = metrics.sockets.labels("operator")
SWEEP_SECONDS = 1.0
RETRY_SECONDS = 5.0
LOGIN_CHECK_SECONDS = 60.0
"""Logins also end by themselves."""

_decoder = msgspec.json.Decoder(ConsoleFrame)
_encode = msgspec.json.Encoder().encode


class _Closed(Exception):
    """The socket is to be closed with *code*, after *error* was told."""

    def __init__(self, code: int, error: Error | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.error = error


class _Gone(Exception):
    """The console's side has closed."""


class Gateway:
    """Serves `/ws/operator`. `run` must go on beside it; `settings_changed` is to be called with each new directory."""

    def __init__(self, parts: Parts, transport: Transport, directory: Callable[[], Directory]) -> None:
        self._parts = parts
        self._store = parts.store
        self._clock = parts.clock
        self._transport = transport
        self._directory = directory
        self._limits = parts.settings.operator
        self._hall = Hall()
        self._typists = Typists(transport)
        self._feed = Feed(parts.store, transport, directory, self._hall, self._typists, parts.calls_out, parts.kinds)
        self._show_typing = parts.show_typing
        self._kinds = parts.kinds
        self._attendance = Attendance(parts.store, parts.process_id, parts.settings.presence_grace_seconds)
        self._paces: dict[str, Pace] = {}
        self._checked_at = self._clock.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def sockets(self) -> int:
        """Return how many consoles are connected: for metrics."""
        return self._attendance.total

    def reading(self) -> dict[str, Position]:
        """Return how far the journal has been read for the consoles here: for metrics."""
        return {"consoles": self._feed.board.at} if self._feed.board is not None else {}

    async def enter_again(self) -> None:
        """Say once more who has a console open here: this process was taken for dead. Raises StoreError."""
        await self._attendance.enter_again()

    async def run(self) -> None:
        """Read news for all sockets, cut who does not read, look at logins; until cancelled."""
        stop = self._transport.listen(Bell.LOGINS, self._logins_changed)
        try:
            await until_one_fails(self._feed.run(), self._sweep())
        finally:
            self._stopping = True
            stop()

    async def _sweep(self) -> None:
        begun = False
        while True:
            try:
                if begun:
                    await self._attendance.settle()
                    await self._attendance.clear()
                else:
                    await self._attendance.begin()
                    begun = True
            except StoreError as error:
                log.warning("attendance_waits_for_store", problem=str(error))
            await asyncio.sleep(SWEEP_SECONDS)
            self._feed.wake()
            now = self._clock.monotonic()
            check = now - self._checked_at >= LOGIN_CHECK_SECONDS
            if check:
                self._checked_at = now
            for socket in list(self._hall.everybody()):
                # Before the next look it would have stalled for too long.
                socket.cut_if_stalled(now + SWEEP_SECONDS)
                if check:
                    self._spawn(self._look_again(socket))

    # --- who is who, and still is

    def settings_changed(self, directory: Directory) -> None:
        """Look at every login again: a seat, a role or a name may be another."""
        for socket in list(self._hall.everybody()):
            self._spawn(self._look_again(socket))

    def _logins_changed(self, operator_id: str) -> None:
        for socket in list(self._hall.of(operator_id)):
            self._spawn(self._look_again(socket))

    async def _look_again(self, socket: Socket) -> None:
        """Close the socket when its login has ended; show everything anew when what it may see has changed."""
        try:
            actor = await self._check(socket)
            if actor is not None and socket.closing is None and stamp(actor, self._directory()) != socket.stamp:
                socket.actor = actor
                if socket.greeted:
                    await self._feed.show_everything(socket)
        except StoreError as error:
            log.warning("login_not_checked", problem=str(error))

    async def _check(self, socket: Socket) -> Actor | None:
        limits = self._parts.logins.limits
        found = await self._store.read(lambda tx: logins.find(tx, socket.token, limits))
        if found is None:
            socket.close(NOT_LOGGED_IN, Error("forbidden", "you are not logged in any more"))
            return None
        actor, stale = found
        if stale and socket.acted:
            socket.acted = False
            await self._store.write(lambda tx: logins.seen(tx, socket.token))
        return actor

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            metrics.unexpected_errors_total.labels("consoles").inc()
            log.error("gateway_task_failed", exc_info=error)

    # --- one socket, from its opening to its end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one console; whatever it sends, nobody else is harmed."""
        await receive()
        origin = header(scope, b"origin")
        if origin is None or not self._parts.addresses.own_origin(scope, origin):
            await refuse(scope, send, 403, "only our own console may open this socket")
            return
        token = self._parts.token_of(scope)
        try:
            actor = await self._parts.logins.actor_of(token)
        except StoreError:
            await refuse(scope, send, 503, "the store does not answer; try again in a moment")
            return
        if actor is None or token is None:
            await refuse(scope, send, 401, "log in first")
            return
        operator = actor.operator_id
        if self._attendance.of(operator) >= self._limits.sockets_per_operator:
            await refuse(scope, send, 429, f"you have {self._limits.sockets_per_operator} consoles open already; close one")
            return
        if self._attendance.total >= self._limits.sockets:
            await refuse(scope, send, 503, f"{self._limits.sockets} consoles are open already; raise operator.sockets")
            return
        self._attendance.enter(operator)
        _SOCKETS.inc()
        try:
            await send({"type": "websocket.accept"})
            await self._serve(Socket(send, abort_of(scope), actor, token, self._limits), receive)
        except OSError:
            pass  # the other side has gone
        finally:
            _SOCKETS.dec()
            if self._attendance.leave(operator) and not self._stopping:
                self._paces.pop(operator, None)
                self._spawn(self._attendance.settle())

    async def _serve(self, socket: Socket, receive: Receive) -> None:
        writer = asyncio.get_running_loop().create_task(socket.write_all(self._clock.monotonic))
        try:
            await self._greet(socket, receive)
            while socket.closing is None:
                await self._answer(socket, await self._next(socket, receive))
                await socket.room()
        except _Gone:
            socket.close(1000)
        except _Closed as closed:
            socket.close(closed.code, closed.error)
        except StoreError as error:
            log.warning("console_refused_by_store", problem=str(error))
            socket.close(UNAVAILABLE, Error("unavailable", sentence("unavailable", socket.actor.language)))
        except Exception:
            metrics.unexpected_errors_total.labels("consoles").inc()
            log.exception("console_failed", operator_id=socket.actor.operator_id)
            socket.close(FAULT)
        finally:
            self._hall.leave(socket)
            self._typists.unfollow(socket, set(socket.followed))
            await self._end(socket, writer)

    async def _end(self, socket: Socket, writer: asyncio.Task[None]) -> None:
        """Let the last words go out, but not for long."""
        socket.close(1000)
        metrics.sockets_closed_total.labels("operator", str(socket.closing)).inc()
        try:
            async with asyncio.timeout(self._limits.stall_seconds):
                await writer
        except TimeoutError:
            socket.abort()
        except Exception:
            metrics.unexpected_errors_total.labels("consoles").inc()
            log.exception("console_writer_failed")

    async def _next(self, socket: Socket, receive: Receive) -> ConsoleFrame:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            raise _Gone
        now = self._clock.monotonic()
        pace = self._paces.get(socket.actor.operator_id)
        if pace is None:
            pace = self._paces[socket.actor.operator_id] = Pace(self._limits, now)
        if wait := pace.wait(now):
            # What is not read is not lost: it waits on the console's side.
            await asyncio.sleep(wait)
        text = message.get("text")
        if text is None:
            raise _Closed(BAD_FRAME, Error("bad_frame", "send text frames"))
        if len(text) > self._limits.frame_bytes:
            raise _Closed(TOO_LARGE)
        try:
            frame: ConsoleFrame = _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise _Closed(BAD_FRAME, Error("bad_frame", f"that frame cannot be read: {error}"[:300])) from None
        return frame

    async def _greet(self, socket: Socket, receive: Receive) -> None:
        try:
            async with asyncio.timeout(self._limits.hello_seconds):
                frame = await self._next(socket, receive)
        except TimeoutError:
            raise _Closed(NO_HELLO, Error("hello_first", f"say hello within {self._limits.hello_seconds:g} seconds")) from None
        if not isinstance(frame, Hello):
            raise _Closed(BAD_FRAME, Error("hello_first", "the first frame must be a hello"))
        await self._attendance.welcome(socket.actor.operator_id)
        # From here on it is told news, and the first thing it is to be told is where it stands.
        socket.hold()
        self._hall.enter(socket)
        try:
            # It may have ended, or become another, between the opening and now, when no bell could find this socket.
            actor = await self._check(socket)
            if actor is None:
                return
            socket.actor = actor
            socket.stamp = stamp(actor, self._directory())
            mark = Mark.read(frame.resume, socket.stamp)
            if mark is None or not await self._feed.resume(socket, mark):
                await self._feed.show_everything(socket)
            socket.greeted = True
        finally:
            socket.release()

    async def _answer(self, socket: Socket, frame: ConsoleFrame) -> None:
        if isinstance(frame, Ping):
            self._pong(socket)
            return
        socket.acted = True
        try:
            match frame:
                case Do():
                    await self._do(socket, frame)
                case Open(session=session):
                    await self._open(socket, session)
                case Leave():
                    await self._leave(socket)
                case Older(session=session, before=before):
                    await self._older(socket, session, before)
                case ListBox():
                    await self._list(socket, frame)
                case SetPresence(state=state):
                    now = PresenceState(state)
                    await self._store.write(lambda tx: presence.set_presence(tx, socket.actor.operator_id, now))
                case Pin(session=session, on=on):
                    actor = socket.actor
                    await self._store.write(lambda tx: (pins.pin if on else pins.unpin)(tx, actor, session))
                case Typing(session=session):
                    self._typing(socket, session)
                case Hello():
                    raise _Closed(BAD_FRAME, Error("bad_frame", "hello is said once"))
                case _:
                    assert_never(frame)
        except NotFound:
            socket.say(Error("no_session", sentence("no_session", socket.actor.language)))
        except Refusal as refusal:
            socket.say(Error(refusal.code, sentence(refusal.code, socket.actor.language)))
        except BadInput as error:
            socket.say(Error("bad_frame", str(error)))
        except StoreError as error:
            log.warning("console_refused_by_store", problem=str(error))
            socket.say(Error("unavailable", sentence("unavailable", socket.actor.language)))

    # --- what an operator asks for

    async def _do(self, socket: Socket, frame: Do) -> None:
        actor, language = socket.actor, socket.actor.language
        try:
            deed = deeds.deed(
                frame.id,
                frame.session,
                frame.verb,
                frame.text,
                frame.outcome,
                operator=frame.operator,
                line=frame.line,
                until=from_us(frame.until * 1000) if frame.until else None,
                ban=frame.ban,
                number=frame.number,
                how=frame.how,
                files=frame.files,
                answers=frame.answers,
                asks_phone=frame.asks_phone,
                message=frame.message,
            )
            stored = await deeds.do(self._store, actor, deed, self._kinds)
        except Refusal as refusal:
            socket.say(Refused(frame.id, refusal.code, sentence(refusal.code, language)))
        except StoreUncertain as error:
            # Neither accepted nor refused: the console comes again and asks for the same deed, by the same id.
            log.warning("deed_uncertain", problem=str(error))
            raise _Closed(UNAVAILABLE, Error("unavailable", sentence("unavailable", language))) from None
        except StoreError as error:
            log.warning("deed_refused_by_store", problem=str(error))
            socket.say(Refused(frame.id, "unavailable", sentence("unavailable", language), RETRY_SECONDS))
        else:
            socket.say(Accepted(frame.id))
            if stored.refused:
                socket.say(Refused(frame.id, stored.refused, sentence(stored.refused, language)))

    async def _open(self, socket: Socket, session: str) -> None:
        actor, directory = socket.actor, self._directory()

        def read(tx: Tx) -> tuple[Watched, Contact, tuple[Shown, ...], bool]:
            watched = threads.seen_session(tx, actor, session)
            watched.as_of = journal.now(tx)
            contact = threads.contact(tx, actor, watched.contact, directory, watched)
            return watched, contact, *threads.before(tx, watched.conversation, threads.NEWEST, directory)

        await self._leave(socket)
        socket.hold()
        try:
            # It is told of the conversation before that is read: what is committed meanwhile is in one of the two, or in both.
            board = self._feed.board
            known = board.sessions.get(session) if board is not None else None
            if known is None or not may_see(actor, known.where):
                known = await self._store.read(lambda tx: threads.seen_session(tx, actor, session))
            self._hall.show(socket, session, known.conversation)
            try:
                watched, contact, messages, more = await self._store.read(read)
            except BaseException:
                self._hall.hide(socket)
                raise
            self._typists.follow(socket, [watched.conversation])
            if self._feed.board is not None:
                self._feed.board.learn(watched)
            socket.say(Thread(session, watched.card_for(actor, directory), contact, messages, more))
        finally:
            socket.release()

    async def _leave(self, socket: Socket) -> None:
        session, conversation = socket.session, socket.conversation
        if not session:
            return
        self._hall.hide(socket)
        board = self._feed.board
        watched = board.sessions.get(session) if board is not None else None
        if watched is None:
            # Not news for long: the board keeps the latest only, and this may be theirs all the same.
            with suppress(NotFound):
                watched = await self._store.read(lambda tx: threads.seen_session(tx, socket.actor, session))
            board = self._feed.board
        where = watched.where if watched is not None else None
        if where is None or not holds(socket.actor, where):
            self._typists.unfollow(socket, [conversation])
        pinned = board is not None and session in board.pins.get(socket.actor.operator_id, ())
        if (where is None or not listed(socket.actor, where)) and not pinned and not socket.lists_all:
            # Its card was kept up to date for the thread's sake alone.
            socket.tell(socket.at, [_encode(Update(gone=session))])

    async def _older(self, socket: Socket, session: str, before: int) -> None:
        actor, directory = socket.actor, self._directory()

        def read(tx: Tx) -> tuple[tuple[Shown, ...], bool]:
            watched = threads.seen_session(tx, actor, session)
            return threads.before(tx, watched.conversation, min(before, threads.NEWEST), directory)

        socket.say(OlderPage(session, *await self._store.read(read)))

    async def _list(self, socket: Socket, frame: ListBox) -> None:
        actor, directory = socket.actor, self._directory()
        socket.hold()
        listed_all = socket.lists_all
        # From before it is read: what changes meanwhile is told after the page.
        socket.lists_all = frame.box not in ("mine", "waiting")
        try:
            try:
                found, following = await self._store.read(lambda tx: screens.page(tx, actor, directory, frame.box, frame.after))
            except BaseException:
                socket.lists_all = listed_all
                raise
            socket.say(Page(frame.box, tuple(one.card_for(actor, directory) for one in found), following))
        finally:
            socket.release()

    def _typing(self, socket: Socket, session: str) -> None:
        watched = self._feed.board.sessions.get(session) if self._feed.board is not None else None
        conversation = watched.conversation if watched is not None else ""
        if watched is not None and conversation in socket.followed and may_see(socket.actor, watched.where):
            self._typists.tell(socket.actor, conversation)
            if conversation:
                self._show_typing(ConversationId(conversation), watched.channel)

    def _pong(self, socket: Socket) -> None:
        board = self._feed.board
        if board is not None and board.at != socket.at and board.at.last >= socket.at.last:
            # Nothing of it was for this console; with the mark moved it can resume from here.
            socket.tell_mark(board.at)
        socket.say(Pong())


__all__ = ["Gateway"]
