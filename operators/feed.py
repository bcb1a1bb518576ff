"""The one reader of the journal for all consoles: a page at a time, told to every socket that may see something of it.

While nobody is connected nothing is read, and nothing is kept: the first console begins with a new board.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec
import structlog

from broker import metrics, tracing
from broker.domain import Capabilities, Directory
from broker.errors import NotFound, StoreError
from broker.ports import Bell, Store, Transport, Tx
from broker.store import journal
from broker.web.wiring import CallsOut
from operators import calling, news, screens, threads
from operators.audience import holds, may_see
from operators.deeds import sentence
from operators.frames import Contact, Error, GatewayFrame, Refused, Resumed, Update
from operators.hall import Hall
from operators.marks import Mark, stamp
from operators.news import Board, Folded
from operators.sockets import UNAVAILABLE, Socket
from operators.typists import Typists

log = structlog.get_logger(__name__)

_encode = msgspec.json.Encoder().encode


class Feed:
    """Reads news and tells them; gives a socket its first screen or what it missed."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        directory: Callable[[], Directory],
        hall: Hall,
        typists: Typists,
        calls_out: CallsOut | None,
        kinds: Mapping[str, Capabilities],
    ) -> None:
        self._store = store
        self._transport = transport
        self._directory = directory
        self._hall = hall
        self._typists = typists
        self._calls_out = calls_out
        self._abilities = screens.abilities(kinds)
        self._rung = asyncio.Event()
        self._loading = asyncio.Lock()
        self._completed: dict[str, None] = {}
        self.board: Board | None = None
        """What is known of the house; None while nobody is connected."""
        self._doubts = False
        """Whether the store failed since the journal was read: another server may have taken over, and lack its last rows."""

    def wake(self) -> None:
        """Have the journal looked at soon, without its bell."""
        self._rung.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        stop = self._transport.listen(Bell.NEWS, lambda _: self._rung.set())
        try:
            while True:
                await self._rung.wait()
                self._rung.clear()
                try:
                    while await self._read_on():
                        pass
                    await self._show_contacts()
                except StoreError as error:
                    self._doubts = True
                    log.warning("news_wait_for_store", problem=str(error))
                except Exception:
                    # What is in memory may be half changed: begin anew, and let every console do so too.
                    metrics.unexpected_errors_total.labels("consoles").inc()
                    log.exception("news_failed")
                    self._begin_anew()
        finally:
            stop()

    async def _read_on(self) -> bool:
        board = self.board
        if board is None or not len(self._hall):
            self.board = None
            return False
        if self._doubts and await self._is_shorter(board):
            return False
        begun = tracing.begin()
        found = await self._store.read(lambda tx: news.read(tx, board.at, board.sessions))
        if board is not self.board or not found.rows:
            return False
        directory = self._directory()
        folded = board.fold(found, directory, self._hall.shown)
        self._tell(board, folded, directory)
        if begun:
            for conversation_id, seq, message_id in found.messages():
                tracing.hop("show", conversation_id, seq, begun, message_id)
        self._completed.update(dict.fromkeys(folded.contacts))
        return found.more

    async def _is_shorter(self, board: Board) -> bool:
        """Return whether the journal ends before what *board* has read of it: then the numbers of its rows are given again."""
        last = await self._store.read(journal.last)
        self._doubts = False
        if last >= board.at.last:
            return False
        log.error(
            "journal_is_shorter", last=last, read=board.at.last, remedy="a standby that lacked the last moments has taken over"
        )
        self._begin_anew()
        return True

    def _tell(self, board: Board, folded: Folded, directory: Directory) -> None:
        told: dict[Socket, list[bytes]] = {}
        refused: dict[Socket, list[GatewayFrame]] = {}

        def push(socket: Socket, update: bytes) -> None:
            updates = told.get(socket)
            if updates is None:
                told[socket] = [update]
            else:
                updates.append(update)

        news.tell(folded, self._hall, directory, push)
        moved = [touched for touched in folded.touched.values() if touched.moved]
        for operator in folded.loads:
            for socket in self._hall.of(operator):
                push(socket, _encode(Update(load=board.loads[operator])))
        if moved:
            for socket in self._hall.everybody():
                counts = board.counts(socket.actor)
                if counts != socket.counts:
                    socket.counts = counts
                    push(socket, _encode(Update(counts=counts)))
        for one in folded.refused:
            for socket in self._hall.of(one.operator_id):
                frame = Refused(one.command, one.code, sentence(one.code, socket.actor.language))
                refused.setdefault(socket, []).append(frame)
        for socket, updates in told.items():
            socket.tell(board.at, updates, refused.pop(socket, ()))
        for socket, frames in refused.items():
            socket.tell(board.at, (), frames)
        for touched in moved:
            self._follow(touched)

    def _follow(self, touched: news.Touched) -> None:
        """Let consoles hear who is typing in what they hold now, and no more in what they held."""
        before, where, conversation = touched.before, touched.watched.where, touched.watched.conversation
        for operator in before.people if before is not None else ():
            for socket in self._hall.of(operator):
                looks_on = socket.conversation == conversation and may_see(socket.actor, where)
                if not holds(socket.actor, where) and not looks_on:
                    self._typists.unfollow(socket, [conversation])
        for operator in where.people:
            for socket in self._hall.of(operator):
                if holds(socket.actor, where):
                    self._typists.follow(socket, [conversation])

    async def _show_contacts(self) -> None:
        """Give consoles the contact beside their thread again, each as its operator may see it."""
        while self._completed:
            conversation, _ = self._completed.popitem()
            for socket in list(self._hall.showing(conversation)):
                session = socket.session
                try:
                    contact = await self._store.read(lambda tx, who=socket, what=session: self._contact(tx, who, what))  # type: ignore[misc]
                except NotFound:
                    continue
                except StoreError:
                    self._completed[conversation] = None  # of them it is told at the next look
                    raise
                if socket.session == session:
                    socket.tell(socket.at, [_encode(Update(contact=contact))])

    def _contact(self, tx: Tx, socket: Socket, session: str) -> Contact:
        watched = threads.seen_session(tx, socket.actor, session)
        return threads.contact(tx, socket.actor, watched.contact, self._directory(), watched)

    def _begin_anew(self) -> None:
        self.board = None
        for socket in list(self._hall.everybody()):
            socket.close(UNAVAILABLE, Error("unavailable", "the news stopped; this console should come again"))

    async def _ready(self) -> Board:
        async with self._loading:
            if self.board is None:
                self.board = await self._store.read(Board.load)
            return self.board

    # --- one socket's beginning

    async def show_everything(self, socket: Socket) -> None:
        """Send a snapshot, and after it what came meanwhile. Raises StoreError."""
        actor, directory = socket.actor, self._directory()
        calls_from = calling.calls_from(self._calls_out)
        socket.hold()
        try:
            board = await self._ready()
            found = await self._store.read(lambda tx: screens.first(tx, actor, directory, calls_from))
            socket.at, socket.stamp = found.at, stamp(actor, directory)
            socket.counts = board.counts(actor)
            socket.say(found.snapshot(socket.mark(), socket.counts, self._abilities))
            self._typists.unfollow(socket, socket.followed.difference(found.held, {socket.conversation}))
            self._typists.follow(socket, found.held)
        finally:
            socket.release()
        self.wake()

    async def resume(self, socket: Socket, mark: Mark) -> bool:
        """Tell what came after *mark* as it would have been told; False when that was too much. Raises StoreError."""
        socket.hold()
        try:
            board = await self._ready()
            directory = self._directory()
            found = await self._store.read(lambda tx: screens.missed(tx, mark.at, socket.actor))
            if found is None:
                return False
            socket.at = mark.at
            socket.say(Resumed(mark.text(), found.now))
            self._tell_missed(socket, board, found, directory)
            self._typists.follow(socket, found.held)
        finally:
            socket.release()
        self.wake()
        return True

    def _tell_missed(self, socket: Socket, board: Board, found: screens.Missed, directory: Directory) -> None:
        then = Board(socket.at)
        alone = Hall([socket])
        updates: list[bytes] = []
        refused: list[GatewayFrame] = []
        for page in found.pages:
            folded = then.fold(page, directory, ())
            news.tell(folded, alone, directory, lambda _, update: updates.append(update))
            refused += [
                Refused(one.command, one.code, sentence(one.code, socket.actor.language))
                for one in folded.refused
                if one.operator_id == socket.actor.operator_id
            ]
        socket.counts = board.counts(socket.actor)
        updates += [_encode(Update(counts=socket.counts)), _encode(Update(load=found.load))]
        socket.tell_now(then.at, updates, refused)
