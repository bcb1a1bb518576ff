"""One console's socket: what waits to be written to it, in order and bounded, and how it ends.

Frames are queued and one task writes them, so nobody ever waits for a slow console. While an answer is being read from the store
(`hold`), updates wait behind it: what the answer does not have yet must come after it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from broker.access.authorize import Actor
from broker.config import OperatorLimits
from broker.store.journal import BEGINNING, Position
from broker.web.asgi import Scope, Send
from operators.frames import Counts, Error, GatewayFrame, Update

BAD_FRAME, NOT_LOGGED_IN, NO_HELLO, SLOW, TOO_LARGE, FAULT, UNAVAILABLE = 4400, 4401, 4408, 4409, 1009, 1011, 1013

ANSWERS_AHEAD = 2

_encode = msgspec.json.Encoder().encode


class Socket:
    """A console that is connected."""

    def __init__(self, send: Send, abort: Callable[[], None], actor: Actor, token: str, limits: OperatorLimits) -> None:
        self.actor = actor
        self.token = token
        self.session = ""
        """Whose thread is open."""
        self.conversation = ""
        self.lists_all = False
        self.at = BEGINNING
        """The journal's position up to which this console has been told."""
        self.stamp = ""
        self.counts: Counts | None = None
        self.closing: int | None = None
        self.greeted = False
        """Whether it has its first screen."""
        self.acted = False
        """Whether something was done on it since its login was last looked at."""
        self.followed: set[str] = set()
        """Conversations whose typing is shown here, because they are held."""
        self.writing_since: float | None = None
        self._send = send
        self._abort = abort
        self._limits = limits
        self._number = 0
        self._queue: deque[tuple[str, int]] = deque()
        self._waiting_bytes = 0
        """Of news, which nobody asked for. Answers are not counted: the next question waits for them."""
        self._answers = 0
        self._holds = 0
        self._held: list[tuple[Position, Sequence[bytes], Sequence[GatewayFrame]]] = []
        self._held_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    # --- what it is told

    def say(self, frame: GatewayFrame) -> None:
        """Queue an answer."""
        if self.closing is None:
            self._answers += 1
            self._queue.append((_encode(frame).decode(), 0))
            self._wake.set()

    async def room(self) -> None:
        """Wait until the answers asked for have been written, but the last few."""
        while self._answers >= ANSWERS_AHEAD and self.closing is None:
            self._room.clear()
            await self._room.wait()

    def tell(self, at: Position, updates: Sequence[bytes], frames: Sequence[GatewayFrame] = ()) -> None:
        """Queue the news up to the journal's position *at*: encoded updates, then frames."""
        if not self._holds:
            self.tell_now(at, updates, frames)
            return
        self._held.append((at, updates, frames))
        self._held_bytes += sum(map(len, updates))
        if self._held_bytes > self._limits.queue_bytes:
            self._too_slow()

    def tell_now(self, at: Position, updates: Sequence[bytes], frames: Sequence[GatewayFrame] = ()) -> None:
        """Queue news before those that are held."""
        if at.last >= self.at.last:
            self.at = at
        if updates:
            self._tell(b",".join(updates).decode())
        for frame in frames:
            self._push(_encode(frame).decode())

    def tell_mark(self, at: Position) -> None:
        """Move the mark to the journal's position *at* without news."""
        if not self._holds:
            self.at = at
            self._tell("")

    def _tell(self, updates: str) -> None:
        self._number += 1
        self._push(f'{{"t":"updates","n":{self._number},"at":"{self.mark()}","list":[{updates}]}}')

    def hold(self) -> None:
        """Let news wait until `release` has been called as often."""
        self._holds += 1

    def release(self) -> None:
        """Tell what was held. News that an answer has already is told again: it leads to the same screen."""
        self._holds -= 1
        if self._holds:
            return
        held, self._held, self._held_bytes = self._held, [], 0
        for at, updates, frames in held:
            self.tell_now(at, updates, frames)
        if held and self.counts is not None:
            # Among what was held may be counts older than the answer's.
            self.tell_now(self.at, [_encode(Update(counts=self.counts))])

    def mark(self) -> str:
        """Return the mark to resume from."""
        return f"{self.at.text()}.{self.stamp}"

    def _push(self, text: str) -> None:
        if self.closing is not None:
            return
        size = len(text)
        self._queue.append((text, size))
        self._waiting_bytes += size
        if self._waiting_bytes > self._limits.queue_bytes:
            self._too_slow()
        self._wake.set()

    def _too_slow(self) -> None:
        self.close(SLOW, Error("slow", "this console reads more slowly than there is news; it should come again"))

    # --- how it ends

    def close(self, code: int, error: Error | None = None) -> None:
        """Close with *code* after *error* was told; what else waits is dropped."""
        if self.closing is not None:
            return
        self.closing = code
        self._queue.clear()
        if error is not None:
            self._queue.append((_encode(error).decode(), 0))
        if code == NOT_LOGGED_IN and self.writing_since is not None:
            self.abort()
        self._wake.set()
        self._room.set()

    def abort(self) -> None:
        """Drop the connection with everything in it: who reads nothing reads no close frame either."""
        self.closing = self.closing or SLOW
        self._queue.clear()
        self._abort()
        self._wake.set()
        self._room.set()

    def cut_if_stalled(self, now: float) -> None:
        """Abort when the write under way takes too long; *now* is monotonic."""
        if self.writing_since is not None and now - self.writing_since > self._limits.stall_seconds:
            self.abort()

    async def write_all(self, monotonic: Callable[[], float]) -> None:
        """Write what is queued until the socket ends."""
        queue, send = self._queue, self._send
        try:
            while True:
                while queue:
                    text, size = queue.popleft()
                    self._waiting_bytes -= size
                    self.writing_since = monotonic()
                    await send({"type": "websocket.send", "text": text})
                    self.writing_since = None
                    if not size:
                        self._answers -= 1
                        self._room.set()
                if self.closing is not None:
                    break
                self._wake.clear()
                await self._wake.wait()
            self.writing_since = monotonic()
            await send({"type": "websocket.close", "code": self.closing})
        except OSError:
            # The other side has gone: its reader learns it too.
            self.closing = self.closing or 1006
        finally:
            self.writing_since = None
            self._queue.clear()
            self._room.set()


class Pace:
    """How fast one operator's frames are taken, over all their sockets: a burst, then so many a second."""

    def __init__(self, limits: OperatorLimits, now: float) -> None:
        self._seconds = 1.0 / limits.frames_per_second
        self._burst_seconds = limits.frames_burst * self._seconds
        self._due = now - self._burst_seconds

    def wait(self, now: float) -> float:
        """Count one frame in; return how many seconds it has to wait."""
        self._due = max(self._due, now - self._burst_seconds) + self._seconds
        return max(0.0, self._due - now)


async def refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    """Answer the opening with HTTP *status*, where the server can; else with its 403."""
    with suppress(OSError):
        if "websocket.http.response" in scope.get("extensions", {}):
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": text.encode()})
        else:
            await send({"type": "websocket.close", "code": 4403 if status == 403 else NOT_LOGGED_IN})
