"""The product as a `Subject`: the real `omniline serve`, a house made by `omniline apply`, and its clients as the two ends.

The configuration is the default one: one process with all roles, SQLite in WAL with synchronous=FULL (the store reads it back at
its opening and refuses anything else), limits and readers on.
The house differs from an empty one by what the traffic needs:

- one line with a widget, and the operators in it; their `budget` is large, so that every visitor's session is held at once;
- `reopen_seconds = 0`: the message after a closing opens a session instead of waking the last one.

A visitor is what the widget is on the wire: hello, then `say` with an id of its own, acknowledged by `ack`.
`refused too_many` is obeyed: that visitor's messages wait `retry_after`, then go out again one by one under the same ids.
Visitors send no receipts.

An operator is what the console is: login by REST, hello, presence online; an offer is taken and its thread opened.
What was written before the offer is on that operator's screen by the `thread` frame, everything after it by `updates`; the message
that opens a session already by the card of the offer, which shows its words whole. Each is counted where it comes first, and once:
what is in the thread already is not counted again when its update follows, for it leads to the same screen.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from broker.config import FOR_TESTS, PREFIX
from tests.bench.measure import HOST, ROOT, BenchError, Server, bench_folder, progress
from tests.bench.subject import Subject
from tests.bench.wsclient import Connection, client_frame, connect, connect_many, source_address

LINE = "shop"
PASSWORD = "a password for measuring"
PASSWORD_VARIABLE = "BENCH_PASSWORD"
BUDGET = 1_000_000
HELLO_SECONDS = 30.0
COMMAND_SECONDS = 120.0

OPERATOR_LOGINS = "operator{:03d}"


# --- the server


class Product(Protocol):
    """The product as a subject needs it."""

    @property
    def running(self) -> Server:
        """The process that serves visitors and consoles, once started; BenchError before."""

    def start(self) -> float:
        """Start it; return the seconds to its first 200. Raises ServerFailed."""

    def stop(self) -> None:
        """End it and remove what it kept."""


class ProductServer:
    """`omniline serve` on a house of its own in a temporary folder; the folder stays from one start to the next.

    With no *operators* the folder is left empty: the first start makes what it makes.
    """

    def __init__(self, operators: int = 0, arguments: Sequence[str] = ()) -> None:
        refuse_own_settings()
        self._folder = tempfile.TemporaryDirectory(prefix="product-", dir=bench_folder(), ignore_cleanup_errors=True)
        self._arguments = arguments
        self._server: Server | None = None
        self.data = Path(self._folder.name) / "data"
        self.data.mkdir()
        (self.data / "omniline.toml").touch()  # nobody else's settings
        if operators:
            apply(house(operators), self.data / "omniline.toml", {"OMNILINE_DATA": str(self.data)})

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "omniline.db"

    @property
    def running(self) -> Server:
        """The server, once started; BenchError before."""
        if self._server is None:
            raise BenchError("the product has not been started")
        return self._server

    def start(self) -> float:
        """Start the process; return the seconds to its first 200. Raises ServerFailed."""
        command = [sys.executable, "-m", "omniline", "--config", "{data}/omniline.toml", "serve", *self._arguments]
        environment = {"OMNILINE_DATA": "{data}", "OMNILINE_LISTEN": "{host}:{port}"}
        self._server = Server(command, environment=environment, data=self.data)
        self._server.start()
        return self._server.start_seconds

    def end(self) -> None:
        """End the process and keep the folder."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def stop(self) -> None:
        """End the process and remove the folder."""
        self.end()
        self._folder.cleanup()


def refuse_own_settings() -> None:
    """Raise BenchError when this shell changes the product's settings: the default ones are measured."""
    ours = sorted(name for name in os.environ if name.startswith(PREFIX) and not name.startswith(FOR_TESTS))
    if ours:
        raise BenchError(f"{', '.join(ours)} would change what is measured; unset it")


def house(operators: int, lines: int = 1) -> str:
    """Return a house as `omniline apply` reads it: *lines* with a widget each, and each operator in one of them, by turns."""
    logins = [OPERATOR_LOGINS.format(number) for number in range(operators)]
    parts = [
        f'[operators.{login}]\nname = "{login.title()}"\nbudget = {BUDGET}\npassword_env = "{PASSWORD_VARIABLE}"\n'
        for login in logins
    ]
    for number in range(lines):
        seated, slug = json.dumps(logins[number::lines]), line_slug(number)
        parts.append(f'[lines.{slug}]\nname = "Shop"\noperators = {seated}\nsettings = {{ reopen_seconds = 0 }}\n')
        parts.append(f'[channels.{slug}]\nkind = "widget"\nline = "{slug}"\n')
    return "\n".join(parts)


def line_slug(number: int) -> str:
    """Return the short name of the *number*-th line of a `house`, and of its channel."""
    return f"{LINE}{number}" if number else LINE


def apply(text: str, config: Path, environment: Mapping[str, str]) -> None:
    """Make the house that *text* says by `omniline apply`; its file is kept beside *config*. Raises BenchError."""
    file = config.with_name("house.toml")
    file.write_text(text)
    omniline("apply", str(file), config=config, environment={**environment, PASSWORD_VARIABLE: PASSWORD})


def omniline(*arguments: str, config: Path, environment: Mapping[str, str]) -> None:
    """Run a command to its end. Raises BenchError when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "omniline", "--config", str(config), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"omniline {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-1000:]}")


def log_in(port: int, login: str) -> str:
    """Return the login's cookie, as a Cookie header says it. Raises BenchError."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}/api/v1/login",
        data=json.dumps({"login": login, "password": PASSWORD}).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=HELLO_SECONDS) as answer:
            cookie = str(answer.headers["Set-Cookie"])
    except urllib.error.HTTPError as error:
        raise BenchError(f"{login} could not log in: {error} {error.read()[:300]!r}") from error
    return cookie.partition(";")[0]


# --- what is read of the frames


class Message(msgspec.Struct):
    """A message of a thread."""

    who: str
    text: str
    seq: int
    session: str = ""


class Card(msgspec.Struct):
    """A session in a list."""

    session: str
    status: str
    offered_until: int = 0
    last_text: str = ""
    last_seq: int = 0


class Colleague(msgspec.Struct):
    """Somebody's presence."""

    id: str
    presence: str


class Update(msgspec.Struct):
    """One piece of news."""

    card: Card | None = None
    message: Message | None = None
    colleague: Colleague | None = None


class Me(msgspec.Struct):
    """Who is logged in."""

    id: str


class ConsoleFrame(msgspec.Struct):
    """Any frame to a console, as far as the bench reads it."""

    t: str
    list: tuple[Update, ...] = ()
    me: Me | None = None
    session: str = ""
    messages: tuple[Message, ...] = ()
    code: str = ""
    text: str = ""


class WidgetFrame(msgspec.Struct):
    """Any frame to a visitor, as far as the bench reads it."""

    t: str
    id: str = ""
    code: str = ""
    retry_after: float = 0.0


read_console = msgspec.json.Decoder(ConsoleFrame).decode
read_widget = msgspec.json.Decoder(WidgetFrame).decode


# --- the clients


@dataclass(slots=True)
class Desk:
    """One operator's console."""

    connection: Connection
    online: asyncio.Future[None]
    me: str = ""


@dataclass(slots=True)
class Held:
    """A session that was offered to a desk and taken."""

    desk: Desk
    opened: bool = False
    """The thread is there; until then what comes as updates waits."""
    upto: int = 0
    """The last seq of the thread."""
    by_card: int = 0
    """The seq of the message that the offer's card showed; 0: it showed a later one than the session's first."""
    waiting: list[Message] = field(default_factory=list)
    visitor: int = -1


@dataclass(slots=True)
class Late:
    """A visitor's messages that were refused for coming too fast, or stand behind such."""

    ids: list[str] = field(default_factory=list)
    tried: str = ""
    """Which of them is on its way; empty: the pause goes on."""


class ProductSubject(Subject):
    """The product. See the module."""

    name = "product"

    def __init__(self) -> None:
        super().__init__()
        self._server: Product | None = None
        self._connections: list[Connection] = []
        self._write: list[Callable[[bytes], None]] = []
        self._greeted: dict[int, asyncio.Future[None]] = {}
        self._visitor_of: dict[str, int] = {}
        self._in_air: dict[str, bytes] = {}
        self._late: dict[int, Late] = {}
        self._held: dict[str, Held] = {}
        self._session_of: dict[int, str] = {}
        self._opens: set[str] = set()
        """The texts that open a session and have not been seen at a desk."""
        self._opening: set[int] = set()
        """The visitors whose next message opens a session."""
        self._settled: asyncio.Future[None] | None = None
        self._number = 0
        self._stopping = False
        self.refused = 0
        """How often a message had to wait for the limit of one visitor."""

    @property
    def pids(self) -> Mapping[str, int]:
        return {"product": self.pid}

    @property
    def pid(self) -> int:
        """The process that serves visitors and consoles."""
        return self.product.running.pid

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.product.running.port

    @property
    def product(self) -> Product:
        """What was started; BenchError before."""
        if self._server is None:
            raise BenchError("the product has not been started")
        return self._server

    operators = 20
    """How many people the house has."""
    logins_at_once = 2
    """A password's hash costs a core for a while: more at once take no less time."""

    async def start(self) -> None:
        self._server = await asyncio.to_thread(self.make)
        await asyncio.to_thread(self._server.start)

    def make(self) -> Product:
        """Return the product to be started, with its house."""
        return ProductServer(self.operators)

    async def stop(self) -> None:
        self._stopping = True
        for connection in self._connections:
            connection.abort()
        if self.refused:
            progress(f"   product: {self.refused} messages were refused for coming too fast, and came again")
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)

    async def settled(self) -> None:
        self._settled = asyncio.get_running_loop().create_future()
        self._look_settled()
        await self._settled

    def _look_settled(self) -> None:
        if self._settled is not None and not self._settled.done() and all(held.opened for held in self._held.values()):
            self._settled.set_result(None)

    def unacknowledged(self) -> int:
        return len(self._in_air)

    # Operators

    async def connect_operators(self, count: int) -> None:
        if count > self.operators:
            raise BenchError(f"the house has {self.operators} operators, not {count}")
        at_once = asyncio.Semaphore(self.logins_at_once)

        async def logged_in(number: int) -> str:
            async with at_once:
                return await asyncio.to_thread(log_in, self.port, OPERATOR_LOGINS.format(number))

        cookies = await asyncio.gather(*(logged_in(number) for number in range(count)))
        for cookie in cookies:
            await self._open_desk(cookie)

    async def _open_desk(self, cookie: str) -> None:
        desks: list[Desk] = []
        connection = await connect(
            HOST,
            self.port,
            "/ws/operator",
            lambda frame: self._on_console_frame(desks[0], frame),
            headers={"Cookie": cookie, "Origin": f"http://{HOST}:{self.port}"},
            on_close=self._on_close,
        )
        self._connections.append(connection)
        desks.append(Desk(connection, asyncio.get_running_loop().create_future()))
        connection.send_text(b'{"t":"hello"}')
        await asyncio.wait_for(desks[0].online, HELLO_SECONDS)

    def _on_console_frame(self, desk: Desk, data: bytes) -> None:
        frame = read_console(data)
        match frame.t:
            case "updates":
                for update in frame.list:
                    if update.card is not None:
                        self._on_card(desk, update.card)
                    if update.message is not None:
                        self._on_message(desk, update.message)
                    if update.colleague is not None:
                        self._on_presence(desk, update.colleague)
            case "thread":
                self._on_thread(desk, frame)
            case "snapshot" if frame.me is not None:
                desk.me = frame.me.id
                desk.connection.send_text(b'{"t":"presence","state":"online"}')
            case "refused" | "error":
                self.on_failure(f"a console was told {frame.t}: {frame.code} {frame.text}")

    def _on_presence(self, desk: Desk, colleague: Colleague) -> None:
        if colleague.id == desk.me and colleague.presence == "online" and not desk.online.done():
            desk.online.set_result(None)

    def _on_card(self, desk: Desk, card: Card) -> None:
        held = self._held.get(card.session)
        if held is None:
            if card.offered_until:
                held = self._held[card.session] = Held(desk)
                self._do(desk, card.session, "take")
                desk.connection.send_text(b'{"t":"open","session":"%s"}' % card.session.encode())
                if card.last_text in self._opens:
                    held.by_card = card.last_seq
                    self._count(held, Message("contact", card.last_text, card.last_seq, card.session))
        elif card.status == "closed" and held.desk is desk:
            del self._held[card.session]
            self._opening.add(held.visitor)
            self.on_session_ended(held.visitor)

    def _on_thread(self, desk: Desk, frame: ConsoleFrame) -> None:
        held = self._held.get(frame.session)
        if held is None or held.desk is not desk:
            self.on_failure(f"the thread of a session that nobody opened: {frame.session}")
            return
        held.opened = True
        self._look_settled()
        held.upto = max((message.seq for message in frame.messages), default=0)
        shown = [message for message in frame.messages if message.session == frame.session]
        waiting, held.waiting = held.waiting, []
        for message in (*shown, *(message for message in waiting if message.seq > held.upto)):
            self._show(held, message)

    def _on_message(self, desk: Desk, message: Message) -> None:
        held = self._held.get(message.session)
        if held is None or held.desk is not desk:
            return  # from before the offer, which the thread holds, or beside an open thread of an earlier session
        if not held.opened:
            held.waiting.append(message)
        elif message.seq > held.upto:
            self._show(held, message)

    def _show(self, held: Held, message: Message) -> None:
        if message.who == "contact" and message.seq != held.by_card:
            self._count(held, message)

    def _count(self, held: Held, message: Message) -> None:
        if held.visitor < 0:
            held.visitor = self._visitor_of.get(message.text, -1)
            self._session_of[held.visitor] = message.session
        self._visitor_of.pop(message.text, None)
        self._opens.discard(message.text)
        self.on_operator_message(message.text)

    def _do(self, desk: Desk, session: str, verb: str) -> None:
        self._number += 1
        desk.connection.send_text(
            b'{"t":"do","id":"d%015d","session":"%s","verb":"%s"}' % (self._number, session.encode(), verb.encode())
        )

    def end_session(self, visitor: int) -> None:
        session = self._session_of.pop(visitor)
        self._do(self._held[session].desk, session, "close")

    # Visitors

    async def connect_visitors(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        self._greeted = {number: loop.create_future() for number in range(count)}
        visitors = await connect_many(count, self._open_widget)
        self._write = [visitor.write for visitor in visitors]
        self._opening = set(range(count))

    async def _open_widget(self, number: int) -> Connection:
        connection = await connect(
            HOST,
            self.port,
            f"/ws/visitor?line={LINE}",
            partial(self._on_widget_frame, number),
            source=source_address(number),
            on_close=self._on_close,
        )
        self._connections.append(connection)
        connection.send_text(b'{"t":"hello","lang":"en","page":"http://shop.example/","title":"Shop"}')
        await asyncio.wait_for(self._greeted[number], HELLO_SECONDS)
        return connection

    def visitor_send(self, visitor: int, text: str) -> None:
        self._number += 1
        id_ = f"m{self._number:015d}"
        self._visitor_of[text] = visitor
        if visitor in self._opening:
            self._opening.discard(visitor)
            self._opens.add(text)
        frame = self._in_air[id_] = client_frame(b'{"t":"say","id":"%s","text":"%s"}' % (id_.encode(), text.encode()))
        late = self._late.get(visitor)
        if late is None:
            self._write[visitor](frame)
        else:
            late.ids.append(id_)

    def _on_widget_frame(self, visitor: int, data: bytes) -> None:
        frame = read_widget(data)
        match frame.t:
            case "ack":
                if self._in_air.pop(frame.id, None) is None:
                    self.on_failure(f"{frame.id} was acknowledged twice, or never sent")
                if (late := self._late.get(visitor)) is not None and late.tried == frame.id:
                    self._go_on(visitor, late)
            case "refused" if frame.code == "too_many":
                self._on_too_many(visitor, frame)
            case "welcome":
                self._greeted[visitor].set_result(None)
            case "refused" | "error":
                self.on_failure(f"a visitor was told {frame.t}: {frame.code}")

    def _on_too_many(self, visitor: int, frame: WidgetFrame) -> None:
        self.refused += 1
        late = self._late.get(visitor)
        paused = late is not None and late.tried != frame.id
        if late is None:
            late = self._late[visitor] = Late()
        insort(late.ids, frame.id)
        late.tried = ""
        if not paused:
            asyncio.get_running_loop().call_later(frame.retry_after, self._go_on, visitor, late)

    def _go_on(self, visitor: int, late: Late) -> None:
        if late.ids:
            late.tried = late.ids.pop(0)
            self._write[visitor](self._in_air[late.tried])
        else:
            del self._late[visitor]

    def _on_close(self, code: int, reason: str) -> None:
        if not self._stopping:
            self.on_failure(f"the product closed a socket: {code} {reason}")
