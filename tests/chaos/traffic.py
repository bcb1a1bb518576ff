"""Customers and operators of a chaos run: real clients that behave as our browsers do, and write down all they see.

A visitor says numbered messages, one in the air at a time, keeps each until its ack, comes back with its token and the highest place
that was told to it, and says the unacknowledged again under the same id. An operator logs in, resumes, takes what is offered or
waits, answers every message of a customer once, keeps each deed until it is accepted, and closes a session now and then.

Every second one is strict: where our browsers are content to see their own words in a history, it says them again until it is
answered. So the server's memory of ids is tried too.

The randomness is seeded; waits are thinking times and back-offs, never a way to be in step with the server.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket as sockets
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.chaos.provider import Provider
from tests.chaos.record import MISSED, REPLY, Did, Line, OperatorRecord, Said, VisitorRecord

HOST = "127.0.0.1"
PASSWORD = "a long word for the chaos run"
PATIENCE_SECONDS = 10.0
"""Without an answer for so long a socket is given up."""
QUIET_SECONDS = 2.0
"""After so long without a frame a ping goes out."""
PAGES_AT_ONCE = 80
"""Pages of history on one socket: fewer than the frames that it may send in a burst."""
THINK_SECONDS = (0.2, 1.2)
BURST_MAX = 4
"""Messages that a visitor writes at once, or while the server is away: there is often one in the air when it dies."""
UNANSWERED_MAX = 20
"""Without an answer to so many nobody writes more: what a screen shows at once is a page."""
BACK_OFF_SECONDS = (0.02, 0.25)
HOLDS_AT_MOST = 3
"""Sessions that an operator picks up unasked."""

Frame = dict[str, Any]
LOST = (OSError, WebSocketException, TimeoutError, httpx.HTTPError)
"""How a server that is gone shows itself."""


class Client:
    """What visitors and operators share: a socket that comes back, until told to leave."""

    def __init__(self, ports: Sequence[int], chance: random.Random, changed: Callable[[], None], *, strict: bool = False) -> None:
        self.ports = ports
        self.strict = strict
        """Believes nothing but the answer to its own frame, and repeats what it has already seen on the screen."""
        self.chance = chance
        self.changed = changed
        self.socket: ClientConnection | None = None
        self.connections = 0
        self.closes: dict[int, int] = {}
        """How sockets ended, by close code."""
        self.surprises: list[str] = []
        """Refusals and errors."""
        self.leaving = False
        self._living: asyncio.Task[None] | None = None
        self._vanishes = False
        self._half_open: list[ClientConnection] = []

    @property
    def port(self) -> int:
        """One of the processes that serve people: any of them may be asked for anything."""
        return self.chance.choice(self.ports) if len(self.ports) > 1 else self.ports[0]

    async def run(self) -> None:
        """Stay connected until `leave`."""
        while not self.leaving:
            with suppress(*LOST):
                async with self.dial() as socket:
                    self.connections += 1
                    self._living = asyncio.get_running_loop().create_task(self.live(socket))
                    try:
                        await self._living
                    except asyncio.CancelledError:
                        if not self._vanishes:
                            raise
                    finally:
                        code = socket.close_code or 0
                        self.closes[code] = self.closes.get(code, 0) + 1
            self.socket = None
            self.lost()
            if not self.leaving:
                await asyncio.sleep(self.chance.uniform(*BACK_OFF_SECONDS))

    @property
    def waits(self) -> str:
        """Say what this client still waits for; empty: nothing."""
        raise NotImplementedError

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[ClientConnection]:
        """Open a socket; it is closed with the block."""
        raise NotImplementedError
        yield

    async def live(self, socket: ClientConnection) -> None:
        """Greet, and serve the socket until it is lost: one of LOST is raised."""
        raise NotImplementedError

    def lost(self) -> None:
        """The socket is gone."""

    async def vanish(self) -> None:
        """Lose the network in mid-sentence, and come by another: the socket stays open, and nobody is at its end any more."""
        if self.socket is None or self._living is None:
            return
        with suppress(*LOST):
            await self.last_words()
        self._vanishes = True
        self._living.cancel()

    async def last_words(self) -> None:
        """Say what is not heard the answer to."""

    @asynccontextmanager
    async def opened(self, connecting: connect) -> AsyncIterator[ClientConnection]:
        """Open a socket; with the block it is closed, unless this client has vanished from it."""
        socket = await connecting
        try:
            yield socket
        finally:
            if self._vanishes:
                self._vanishes = False
                socket.transport.pause_reading()
                self._half_open.append(socket)
            else:
                await socket.close()

    async def leave(self) -> None:
        """Close the socket for good."""
        self.leaving = True
        for one in self._half_open:
            one.transport.abort()
        if self.socket is not None:
            await self.socket.close()

    async def send(self, frame: Frame) -> None:
        """Send on the present socket; raises one of LOST without one."""
        if self.socket is None:
            raise ConnectionError("not connected")
        await self.socket.send(json.dumps(frame))

    @staticmethod
    async def receive(socket: ClientConnection) -> Frame:
        """Return the next frame; TimeoutError when the other side is silent."""
        frame: Frame = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS))
        return frame

    async def receive_or_ping(self, socket: ClientConnection) -> Frame:
        """Return the next frame; when it is quiet, ask whether the other side is there."""
        try:
            return json.loads(await asyncio.wait_for(socket.recv(), QUIET_SECONDS))  # type: ignore[no-any-return]
        except TimeoutError:
            await socket.send('{"t":"ping"}')
            return await self.receive(socket)

    async def receive_until(self, socket: ClientConnection, kind: str) -> Frame:
        """Return the next frame of a kind, passing over others."""
        while (frame := await self.receive(socket))["t"] != kind:
            pass
        return frame


class Visitor(Client):
    """A browser with the widget open."""

    def __init__(
        self, name: str, ports: Sequence[int], chance: random.Random, changed: Callable[[], None], *, strict: bool
    ) -> None:
        super().__init__(ports, chance, changed, strict=strict)
        self.record = VisitorRecord(name)
        self.token: str | None = None
        self.since = 0
        self.state = "none"
        self.texts: set[str] = set()
        """Answers that stand on the screen."""
        self.talking = True
        self.silent = False
        """Writes nothing more, whatever is missing: what there is will be looked at."""
        self.comebacks = 0
        """How often they wrote once more, because the session was closed without an answer."""
        self._unsettled: dict[str, Said] = {}
        """By id, in the order of writing: what there are thousands of is not looked through at each frame."""
        self._by_id: dict[str, Said] = {}
        self._unanswered: dict[str, Said] = {}
        """By the answer that is waited for."""
        self._in_air = ""
        self._last_seen = 0
        self._loose: set[asyncio.Task[None]] = set()

    @property
    def waits(self) -> str:
        """Say what this visitor still waits for; empty: nothing."""
        if self._unsettled:
            return f"{self.record.name} has no ack for “{next(iter(self._unsettled.values())).text}”"
        if self._unanswered:
            return f"{self.record.name} has no answer to “{next(iter(self._unanswered.values())).text}” ({self.state})"
        return ""

    async def think_and_talk(self) -> None:
        """Write a message now and then, whether the server is there or not; later only when closed without an answer."""
        while not (self.leaving or self.silent):
            await asyncio.sleep(self.chance.uniform(*THINK_SECONDS))
            pending = len(self._unsettled)
            if self.talking and len(self._unanswered) < UNANSWERED_MAX:
                self._write(min(self.chance.randint(1, BURST_MAX), BURST_MAX - pending))
            elif self.state == "closed" and not (pending or self.silent) and self.waits:
                self.comebacks += 1
                self._write(1)
            with suppress(*LOST):
                await self._say_next()

    def _write(self, count: int) -> None:
        for _ in range(count):
            text = f"{self.record.name} {len(self.record.said) + 1}"
            said = Said(str(uuid.UUID(int=self.chance.getrandbits(128), version=4)), text)
            self.record.said.append(said)
            self._unsettled[said.id] = self._unanswered[REPLY + text] = self._by_id[said.id] = said

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[ClientConnection]:
        where = f"ws://{HOST}:{self.port}/ws/visitor?line=site"
        async with self.opened(connect(where, proxy=None, open_timeout=PATIENCE_SECONDS)) as one:
            yield one

    async def live(self, socket: ClientConnection) -> None:
        await socket.send(json.dumps({"t": "hello", "token": self.token, "since": self.since, "page": "https://shop.example/"}))
        while True:
            await self._hear(socket, await self.receive_or_ping(socket))
            self.changed()

    def lost(self) -> None:
        self._in_air = ""

    async def last_words(self) -> None:
        if self.talking and len(self._unanswered) < UNANSWERED_MAX:
            self._write(1)
        await self._say_next()

    async def _hear(self, socket: ClientConnection, frame: Frame) -> None:
        match frame["t"]:
            case "welcome":
                self.token = frame["token"]
                self.state = frame["state"]
                if frame["gap"]:
                    self.surprises.append("a gap of more than a page")
                self._show(frame["history"])
                self.socket = socket
                await self._say_next()
            case "ack":
                self._by_id[frame["id"]].acks.append(frame["seq"])
                self._unsettled.pop(frame["id"], None)
                self._in_air = ""
                await self._say_next()
            case "message":
                self._show([frame["message"]], own=frame["message"]["who"] == "me")
                if frame["message"]["who"] != "me" and self.since > self._last_seen:
                    self._last_seen = self.since
                    await self.send({"t": "seen", "upto": self.since, "read": True})
            case "state":
                self.state = frame["state"]
            case "refused":
                self.surprises.append(frame["code"])
                self._in_air = ""
                task = asyncio.get_running_loop().create_task(self._again(frame.get("retry_after", 0.0)))
                self._loose.add(task)
                task.add_done_callback(self._loose.discard)
            case "error":
                self.surprises.append(frame["code"])
            case _:
                pass

    async def _again(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with suppress(*LOST):
            await self._say_next()

    def _show(self, messages: list[Frame], *, own: bool = False) -> None:
        for message in messages:
            line = line_of(message)
            self.record.pushed.append(line)
            if not own:  # an answer above it may still be on its way
                self.since = max(self.since, line.seq)
            if line.who == "operator":
                self.texts.add(line.text)
                self._unanswered.pop(line.text, None)
            if line.mark in self._by_id and not self.strict:
                self._by_id[line.mark].echoed = True
                self._unsettled.pop(line.mark, None)

    async def _say_next(self) -> None:
        """Say the first that has no ack, if nothing is in the air."""
        said = next(iter(self._unsettled.values()), None)
        if said is None or self._in_air or self.socket is None:
            return
        self._in_air = said.id
        said.sends += 1
        await self.send({"t": "say", "id": said.id, "text": said.text})

    async def read_history(self) -> None:
        """Ask for the whole conversation as a new page does: with the token alone, then page by page."""
        if self.token is None:
            return
        history: list[Frame] = []
        more = True
        while more:
            async with self.dial() as socket:
                await socket.send(json.dumps({"t": "hello", "token": self.token}))
                frame = await self.receive_until(socket, "welcome")
                history = history or list(frame["history"])
                more = frame["more"]
                for _ in range(PAGES_AT_ONCE):
                    if not more:
                        break
                    await socket.send(json.dumps({"t": "older", "before": history[0]["seq"]}))
                    frame = await self.receive_until(socket, "history")
                    history = [*frame["messages"], *history]
                    more = frame["more"]
        self.record.history = [line_of(message) for message in history]


class Thread:
    """A conversation as an operator's screen has it."""

    def __init__(self) -> None:
        self.asked: set[int] = set()
        """Places of what the customer said."""
        self.unanswered: dict[int, Line] = {}
        """By place, what has no answer."""
        self._answers: set[str] = set()
        self._by_answer: dict[str, int] = {}

    def put(self, line: Line) -> None:
        """Show *line*."""
        if line.who == "operator":
            self._answers.add(line.text)
            self.unanswered.pop(self._by_answer.get(line.text, 0), None)
        elif line.who == "contact":
            self.asked.add(line.seq)
            self._by_answer[REPLY + line.text] = line.seq
            if REPLY + line.text not in self._answers:
                self.unanswered[line.seq] = line


class Operator(Client):
    """A console with somebody diligent before it."""

    def __init__(
        self, login: str, ports: Sequence[int], chance: random.Random, changed: Callable[[], None], *, strict: bool = False
    ) -> None:
        super().__init__(ports, chance, changed, strict=strict)
        self.record = OperatorRecord(login)
        self.closing = False
        """At the end everything that is answered is closed at once, and nothing is declined."""
        self.snapshots = 0
        self.resumes = 0
        self._cookie = ""
        self._me = ""
        self._at: str | None = None
        self._n = 0
        self._news = 0
        """What brings the next updates: see `Line.news`."""
        self._live = False
        self._cards: dict[str, Frame] = {}
        self._threads: dict[str, Thread] = {}
        """By conversation."""
        self._mine: set[str] = set()
        self._to_open: list[str] = []
        self._opening = ""
        self._deeds: dict[str, Did] = {}
        """Waiting to be accepted, in the order they were done."""
        self._asked: dict[str, Did] = {}
        """By session: the take, decline or close that nothing has come of yet."""
        self._moved: set[str] = set()
        """Sessions whose card came anew since they were asked for."""
        self._patience: dict[str, int] = {}
        self._replied: dict[tuple[str, int], str] = {}
        """By message of a customer: the answer that is under way or was given."""
        self._written: Counter[str] = Counter()
        """How often each answer has been written."""
        self._by_id: dict[str, Did] = {}

    @property
    def waits(self) -> str:
        """Say what is still to do; empty: nothing."""
        if self._deeds:
            return f"{self.record.name}: {next(iter(self._deeds.values())).verb} is not accepted"
        if self._cards:
            card = next(iter(self._cards.values()))
            return f"{self.record.name}: a session is {card['status']} (last word: {card.get('last_text', '')})"
        return ""

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[ClientConnection]:
        if not self._cookie:
            await self._log_in()
        port = self.port
        base = f"{HOST}:{port}"
        headers = {"Cookie": self._cookie}
        try:
            connecting = connect(
                f"ws://{base}/ws/operator",
                proxy=None,
                sock=await self.wired(port),
                origin=f"http://{base}",  # type: ignore[arg-type]
                additional_headers=headers,
                open_timeout=PATIENCE_SECONDS,
            )
            async with self.opened(connecting) as socket:
                yield socket
        except WebSocketException as error:
            if getattr(getattr(error, "response", None), "status_code", 0) in (401, 403):
                self._cookie = ""
                self.surprises.append(f"refused at the door: {error}")
            raise

    async def wired(self, port: int) -> sockets.socket | None:
        """Return what to speak through, connected to *port*; None: any."""
        return None

    async def _log_in(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_SECONDS) as http:
            body = {"login": self.record.name, "password": PASSWORD}
            answer = await http.post(f"http://{HOST}:{self.port}/api/v1/login", json=body)
            answer.raise_for_status()
            self._cookie = answer.headers["set-cookie"].partition(";")[0]

    async def live(self, socket: ClientConnection) -> None:
        self._n = 0
        self._news = self.connections
        await socket.send(json.dumps({"t": "hello"} if self._at is None else {"t": "hello", "resume": self._at}))
        while True:
            frame = await self.receive_or_ping(socket)
            self.socket = socket
            await self._hear(frame)
            if self._live:
                await self._act()
            self.changed()

    def lost(self) -> None:
        self._live = False
        if self._opening:
            self._to_open.insert(0, self._opening)
            self._opening = ""

    # --- what the console shows

    async def _hear(self, frame: Frame) -> None:
        match frame["t"]:
            case "snapshot":
                self.snapshots += 1
                self._at = frame["at"]
                self._me = frame["me"]["id"]
                self._cards = {}
                self._mine.clear()  # what was said meanwhile is in the threads only
                self._to_open.clear()
                for card in [*frame["waiting"], *frame["mine"]]:
                    self._put(card)
                await self._began()
            case "resumed":
                self.resumes += 1
                self._at = frame["at"]
                self._news = MISSED  # in one frame, the next one
                await self._began()
            case "updates":
                if frame["n"] != self._n + 1:
                    self.record.gaps += 1
                self._n = frame["n"]
                for update in frame["list"]:
                    self._update(update)
                self._at = frame["at"]
                self._news = self.connections
            case "accepted":
                self._accepted(frame["id"])
            case "refused":
                self._refused(frame["id"], frame["code"])
            case "thread":
                self._opening = ""
                # It stands for all that is known: between an older page and this one there may be a colleague's answers.
                self._threads[frame["card"]["conversation"]] = Thread()
                for message in frame["messages"]:
                    self._show(frame["card"]["conversation"], message)
                self._update_card(frame["card"])
            case "error":
                self.surprises.append(f"error {frame['code']}: {frame['text']}")
                self._opening = ""
            case _:
                pass

    async def _began(self) -> None:
        self._live = True
        self._asked = {session: did for session, did in self._asked.items() if not did.accepted}
        await self.send({"t": "presence", "state": "online"})
        for did in list(self._deeds.values()):
            await self._send_deed(did)

    def _update(self, update: Frame) -> None:
        card = update.get("card")
        if update.get("message"):
            self._show(card["conversation"] if card else update["conversation"], update["message"], self._news)
        if card:
            self._update_card(card)
        if update.get("gone"):
            self._drop(update["gone"])

    def _update_card(self, card: Frame) -> None:
        if card["status"] == "closed":
            self._drop(card["session"])
        else:
            self._put(card)

    def _put(self, card: Frame) -> None:
        session = card["session"]
        self._cards[session] = card
        self._moved.add(session)
        if card["status"] == "active" and card.get("operator") == self._me:
            if session not in self._mine:
                self._mine.add(session)
                self._to_open.append(session)
        else:
            self._mine.discard(session)

    def _drop(self, session: str) -> None:
        self._cards.pop(session, None)
        self._mine.discard(session)
        self._asked.pop(session, None)

    def _show(self, conversation: str, message: Frame, news: int = 0) -> None:
        if message["kind"] != "said":
            return
        line = _line_of_thread(message, news)
        self.record.shown.setdefault(conversation, []).append(line)
        self._threads.setdefault(conversation, Thread()).put(line)
        if line.mark and not self.strict:
            self._accepted(line.mark)  # it is stored: an answer to the deed itself is not needed any more

    # --- what the operator does

    async def _act(self) -> None:
        if not self._opening and self._to_open:
            session = self._to_open.pop(0)
            if session in self._mine:
                self._opening = session
                await self.send({"t": "open", "session": session})
        for session, card in list(self._cards.items()):
            asked = self._asked.get(session)
            if asked is not None and not (asked.accepted and session in self._moved):
                continue
            # Closed and reopened at once is one piece of news that shows an active session: only an older card keeps us waiting.
            self._asked.pop(session, None)
            if card["status"] == "active" and card.get("operator") == self._me:
                await self._serve(session, card["conversation"])
            elif card["status"] == "offered" and card.get("offered_until"):
                declines = not self.closing and self.chance.random() < 0.1
                await self._ask(session, "decline" if declines else "take")
            elif card["status"] == "queued" and len(self._mine) < HOLDS_AT_MOST and (self.closing or self.chance.random() < 0.2):
                await self._ask(session, "take")

    async def _serve(self, session: str, conversation: str) -> None:
        """Answer what has no answer, in order; close when all is answered and it was enough."""
        if session == self._opening or session in self._to_open:
            return
        thread = self._threads.setdefault(conversation, Thread())
        for seq in sorted(thread.unanswered):
            text = REPLY + thread.unanswered[seq].text
            if (conversation, seq) not in self._replied:
                # Made from what it answers, so that a repeat is the same deed; a refused id is never done, so it counts those.
                id_ = self._replied[conversation, seq] = f"re-{conversation[-12:]}-{seq}-{self._written[text]}"
                self._written[text] += 1
                await self._do(Did(id_, "reply", session, text))
        if not thread.unanswered:
            enough = self._patience.setdefault(session, len(thread.asked) + self.chance.randint(1, 5))
            if self.closing or len(thread.asked) >= enough:
                self._patience.pop(session)
                await self._ask(session, "close")

    async def _ask(self, session: str, verb: str) -> None:
        did = Did(str(uuid.UUID(int=self.chance.getrandbits(128), version=4)), verb, session)
        self._asked[session] = did
        self._moved.discard(session)
        await self._do(did)

    async def _do(self, did: Did) -> None:
        self.record.did.append(did)
        self._by_id[did.id] = did
        self._deeds[did.id] = did
        await self._send_deed(did)

    async def _send_deed(self, did: Did) -> None:
        frame = {"t": "do", "id": did.id, "session": did.session, "verb": did.verb}
        await self.send(frame | ({"text": did.text} if did.text else {}))

    def _accepted(self, id_: str) -> None:
        did = self._deeds.pop(id_, None)
        if did is not None:
            did.accepted = True

    def _refused(self, id_: str, code: str) -> None:
        self._deeds.pop(id_, None)
        if (did := self._by_id.get(id_)) is not None:
            did.refused = code
            if did.verb == "reply":
                self.surprises.append(f"reply refused: {code}")
        self._asked = {session: did for session, did in self._asked.items() if did.id != id_}
        self._replied = {message: reply for message, reply in self._replied.items() if reply != id_}

    # --- afterwards

    async def read_threads(self) -> dict[str, list[Line]]:
        """Read every conversation of the house to its beginning, as the list of all leads to them."""
        async with self.dial() as socket:
            await socket.send('{"t":"hello"}')
            await self.receive_until(socket, "snapshot")
            sessions: dict[str, str] = {}
            ask: Frame = {"t": "list", "box": "all"}
            while True:
                await socket.send(json.dumps(ask))
                page = await self.receive_until(socket, "page")
                for card in page["cards"]:
                    sessions.setdefault(card["conversation"], card["session"])
                if not page.get("next"):
                    break
                ask["after"] = page["next"]
            return {conversation: await self._read(socket, session) for conversation, session in sessions.items()}

    async def _read(self, socket: ClientConnection, session: str) -> list[Line]:
        await socket.send(json.dumps({"t": "open", "session": session}))
        page = await self.receive_until(socket, "thread")
        messages: list[Frame] = list(page["messages"])
        while page["more"]:
            await socket.send(json.dumps({"t": "older", "session": session, "before": messages[0]["seq"]}))
            page = await self.receive_until(socket, "older")
            messages = [*page["messages"], *messages]
        return [_line_of_thread(one) for one in messages if one["kind"] == "said"]


class Traffic:
    """Everybody of a run, going on until told to come to an end."""

    def __init__(
        self,
        ports: Sequence[int],
        seed: int,
        visitors: int,
        operators: tuple[str, ...],
        providers: Sequence[Provider] = (),
        others: Sequence[Client] = (),
    ) -> None:
        """*providers*: whose customers take part, and whose changes are heard by `changed`. *others* are there, and wait for nothing."""
        self._changed = asyncio.Event()
        changed = self.changed = self._changed.set
        self.providers = providers
        self.others = others
        self.visitors = [
            Visitor(f"v{n:02d}", ports, random.Random(f"{seed} v{n}"), changed, strict=n % 2 == 1) for n in range(visitors)
        ]
        self.operators = [
            Operator(login, ports, random.Random(f"{seed} {login}"), changed, strict=n % 2 == 1)
            for n, login in enumerate(operators)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        work: list[Coroutine[Any, Any, None]] = [one.run() for one in [*self.visitors, *self.operators, *self.others]]
        work += [visitor.think_and_talk() for visitor in self.visitors]
        self._tasks = [asyncio.get_running_loop().create_task(one) for one in work]

    def fail_fast(self) -> None:
        """Raise what ended a client, or a provider's customers, that should go on."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()
        for provider in self.providers:
            provider.fail_fast()

    @property
    def said(self) -> int:
        """Return how many messages of customers were acknowledged."""
        return sum(said.settled for visitor in self.visitors for said in visitor.record.said)

    @property
    def waits(self) -> list[str]:
        """Return what anybody still waits for."""
        waits = [one.waits for one in [*self.visitors, *self.operators] if one.waits]
        return waits + [waits_for for one in self.providers for waits_for in one.waits]

    async def drain(self, seconds: float) -> None:
        """Write nothing new, answer and close everything; return when nobody waits, or when for *seconds* nobody has got on."""
        for visitor in self.visitors:
            visitor.talking = False
        for provider in self.providers:
            provider.talking = False
        for operator in self.operators:
            operator.closing = True
            with suppress(*LOST):
                await operator.send({"t": "ping"})  # its answer has the operator look around
        # What they write meanwhile to come back to an answer is no measure: one who is stuck may write for ever.
        owed = [(visitor.texts, {REPLY + said.text for said in visitor.record.said}) for visitor in self.visitors]
        for provider in self.providers:
            owed += [(one.answers, {REPLY + said.text for said in one.said}) for one in provider.customers.values()]
        before, left = None, sum(len(texts) for _, texts in owed)
        while (before is None or left < before) and not await self.until(lambda: not self.waits, seconds):
            before, left = left, sum(len(texts - answers) for answers, texts in owed)
        for visitor in self.visitors:
            visitor.silent = True
        for provider in self.providers:
            provider.silent = True

    async def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Return once it is *done*, looking whenever a client heard something; False when *seconds* have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not done():
                    self.fail_fast()
                    self._changed.clear()
                    await self._changed.wait()
        return done()

    async def stop(self) -> None:
        """Have everybody leave."""
        await asyncio.gather(*(one.leave() for one in [*self.visitors, *self.operators, *self.others]), return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _line_of_thread(message: Frame, news: int = 0) -> Line:
    return Line(message["seq"], message["who"], message["text"], message.get("command", ""), message.get("session", ""), news)


def line_of(message: Frame) -> Line:
    """Return a visitor's message as the checker compares it: in the operators' words for who wrote it."""
    who = "contact" if message["who"] == "me" else message["who"]
    return Line(message["seq"], who, message["text"], message.get("id", ""))
