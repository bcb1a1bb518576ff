"""A house with a telephone: the shipped routing and switchboard in this process, a real Asterisk with the shipped dialplan beside it."""

from __future__ import annotations

import asyncio
import socket
import wave
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from broker.clock import SystemClock, SystemIds
from broker.domain import (
    CallSettings,
    ChannelId,
    ConversationId,
    LineId,
    LineSettings,
    LoadKind,
    OperatorId,
    PresenceState,
    Role,
    to_us,
)
from broker.errors import StoreBusy
from broker.events import Close, Decline, Event, OperatorEvent, OperatorGone
from broker.inbound import accept, enter, prepare
from broker.leases import free
from broker.ports import Bell, Tx
from broker.store import directory
from broker.store.directory import LiveDirectory
from broker.store.reconcile import reconcile
from broker.tasks import until_one_fails
from broker.timers import TimerLoop
from broker.transport.memory import MemoryTransport
from channels.phone import dialplan
from channels.phone.adapter import KIND_NAME, PhoneChannel
from channels.phone.ami import Ami
from channels.phone.asking import ask
from channels.phone.census import Census
from channels.phone.fastagi import Server
from channels.phone.switchboard import Folders, Switchboard
from routing.applying import House, mark_pool, timer_fired
from routing.distributor import Distributor
from routing.worker import Worker
from tests.support import house as builders
from tests.support.asterisk import Asterisk, Channel
from tests.support.broker import SECRET
from tests.support.channels import FakeChannel, wrote
from tests.support.sipphone import SipPhone
from tests.support.store import AnyStore, open_store, plain

T = TypeVar("T")
LOCAL = [ip_network("127.0.0.0/8")]
WAIT_SECONDS = 60.0
EMPTY_SECONDS = 15.0
"""So long it is waited for that an exchange is empty whose story has failed."""
OURS = """
[general]
static=yes
[from-trunk]
exten => _X.,1,Set(BROKER_LINE=${IF($["${EXTEN}" = "404"]?nowhere:shop)})
 same => n,Set(BROKER_DID=${EXTEN})
 same => n,Goto(omniline,call,1)
[from-phone]
exten => _10X,1,Dial(PJSIP/${EXTEN},20)
exten => _X.,1,Dial(Local/${EXTEN}@omniline-outward/n,20)
[presses-keys]
exten => told,1,Answer()
 same => n(again),Wait(0.2)
 same => n,GotoIf($["${KEYS}" = ""]?again)
 same => n,SendDTMF(${KEYS})
 same => n,Set(KEYS=)
 same => n,Goto(again)
exten => hears,1,Answer()
 same => n,MixMonitor(@folder@/heard.wav)
 same => n,Wait(60)
exten => four,1,Answer()
 same => n(again),Wait(0.4)
 same => n,SendDTMF(4)
 same => n,Goto(again)
"""
MANAGER = """
[omniline]
secret = of the manager
read = call
write = call,originate,reporting
"""
OUTWARD = "exten => _[+0-9]!,1,Dial(PJSIP/${EXTEN}@trunk,60)"
TO_A_PHONE = "exten => _[+0-9]!,1,Dial(PJSIP/${EXTEN:-3},60)\nexten => +79001234567,1,Dial(PJSIP/103,60)"
"""Where the tests' numbers outside are: the phone with their last three digits; who calls is at 103 when they are called back."""


class Line:
    """The port at which Asterisk asks, held for a whole module."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    def open(self) -> socket.socket:
        """Return the listening socket, once more."""
        return self._socket.dup()

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()


@contextmanager
def exchange() -> Iterator[tuple[Asterisk, Line]]:
    """Run an Asterisk with our dialplan, and phones: 101 and 103 answer, 102 only rings, 104 is busy, 105 declines, 106 hangs up."""
    line = Line()
    local = dialplan.local([f"127.0.0.1:{line.port}"], SECRET)
    assert OUTWARD in local
    local = local.replace(OUTWARD, TO_A_PHONE).replace("BROKER_TRIES=60", "BROKER_TRIES=3")
    try:
        with Asterisk(OURS + dialplan.ours() + local, manager=MANAGER) as pbx:
            pbx.phone("101", "phone-answers.xml", "-d", "100")
            pbx.phone("102", "phone-rings.xml")
            pbx.phone("103", "phone-answers.xml", "-d", "100")
            pbx.phone("104", "phone-busy.xml")
            pbx.phone("105", "phone-declines.xml")
            pbx.phone("106", "phone-hangs-up.xml", "-d", "600")
            yield pbx, line
    finally:
        line.close()


class Refusing:
    """A store that refuses so many writes."""

    def __init__(self, store: Any, times: int) -> None:
        self._store = store
        self._left = times

    async def write(self, work: Callable[[Tx], T], /) -> T:
        """See `Store.write`."""
        self._left -= 1
        if self._left >= 0:
            raise StoreBusy("busy; try again in a moment")
        answer: T = await self._store.write(work)
        return answer

    async def read(self, work: Callable[[Tx], T], /) -> T:
        """See `Store.read`."""
        answer: T = await self._store.read(work)
        return answer


class Telephone:
    """The house that serves the exchange."""

    def __init__(self, store: AnyStore, transport: MemoryTransport, pbx: Asterisk) -> None:
        self.store = store
        self.transport = transport
        self.clock = SystemClock()
        self.pbx = pbx
        self.directory = LiveDirectory(store, transport)
        self.channels: dict[ChannelId, PhoneChannel] = {}
        self.directory.on_change(self._know)
        self.house = House(self.directory())
        self.folder = pbx.folder / "recordings"
        self.sounds = pbx.folder / "our-sounds"
        self.line = LineId("")
        self._line: Line
        self._board: Switchboard
        self._server: Server
        self._managing: asyncio.Task[None]
        self._deeds = 0
        self.managed = True
        """Whether the switchboard may ask the manager interface."""

    def _know(self, known: Any) -> None:
        self.channels = {row.id: PhoneChannel(row) for row in known.channels.values() if row.kind == KIND_NAME}
        loads = {row.id: LoadKind.CALL if row.kind == KIND_NAME else LoadKind.CHAT for row in known.channels.values()}
        self.house = House(known, loads)

    async def answer(self, line: Line | None = None) -> None:
        """Let the shipped switchboard listen for Asterisk."""
        self._line = line or self._line
        folders = Folders(self.folder, str(self.folder), str(self.sounds))
        self._board = Switchboard(self.store, self.transport, self.directory, self.channels.get, folders, process_id="test")
        self._server = Server(self._board.handle, secret=SECRET, networks=LOCAL)
        await self._server.start(sock=self._line.open())
        manager = Ami("127.0.0.1", self.pbx.ami, "omniline", "of the manager", hear=self._board.hear, ready=self._board.ready)
        self._managing = asyncio.create_task(until_one_fails(manager.run(), self._board.run()))
        if self.managed:
            self._board.manager = manager
            await self.until(lambda: _connected(manager))

    async def fall_silent(self) -> None:
        """Let go of every connection; who asks now waits until somebody listens again."""
        await self._server.close()
        await self._board.close()
        self._managing.cancel()
        await asyncio.gather(self._managing, return_exceptions=True)

    async def restart(self) -> None:
        """Be away for a moment, as a process that is started again."""
        await self.fall_silent()
        await self.answer()

    async def settle(self, **settings: Any) -> None:
        """Make the line and its number; *settings* are the line's, `calls` those of its calls."""
        calls = CallSettings(**settings.pop("calls", {}))

        def add(tx: Tx) -> LineId:
            line = builders.add_line(tx, "shop", LineSettings(calls=calls, **settings))
            builders.add_channel(tx, line, "number", KIND_NAME)
            return line

        self.line = await self.store.write(add)
        await self.directory.refresh()

    async def operator(self, login: str, phone: str = "", *, budget: int = 100, online: bool = True) -> OperatorId:
        """Add a person with a seat in the line, and a *phone*: an endpoint's number, or a number outside."""
        state = PresenceState.ONLINE if online else PresenceState.OFFLINE
        where = f"PJSIP/{phone}" if len(phone) == 3 else phone

        def add(tx: Tx) -> OperatorId:
            position = len(plain(tx, "SELECT id FROM operators").fetchall()) + 1
            made = builders.add_operator(tx, login, [self.line], budget=budget, state=state, position=position)
            plain(tx, "UPDATE operators SET phone = ? WHERE id = ?", where, made)
            return made

        made = await self.store.write(add)
        await self.directory.refresh()
        await self.store.write(lambda tx: mark_pool(tx, self.line, "seat added", seats=True))
        return made

    async def rows(self, text: str, *values: object) -> list[Any]:
        """Return what a plain query finds, for asserting."""
        return await self.store.read(lambda tx: list(plain(tx, text, *values).fetchall()))

    async def until(self, look: Callable[[], Awaitable[T | None]]) -> T:
        """Return what *look* finds once it finds something, looking whenever the journal has grown or a session has changed."""
        changed = asyncio.Event()
        stops = [self.transport.listen(bell, lambda _: changed.set()) for bell in (Bell.NEWS, Bell.SESSION)]
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not (found := await look()):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.25):  # what Asterisk does rings no bell
                            await changed.wait()
                    changed.clear()
                return found
        finally:
            for stop in stops:
                stop()

    async def session(self, **like: Any) -> dict[str, Any]:
        """Return the latest call's session once it is *like* that."""

        async def look() -> dict[str, Any] | None:
            rows = await self.rows("SELECT state FROM sessions ORDER BY opened_us DESC, id DESC LIMIT 1")
            state = msgspec.json.decode(rows[0][0]) if rows else None
            return state if state is not None and all(state.get(key) == value for key, value in like.items()) else None

        return await self.until(look)

    async def call_row(self, **like: Any) -> dict[str, Any]:
        """Return the latest call's row once what *like* names is set, or is what it says."""
        named = (
            "conversation_id number called attempt rung operator_id talk_us talk_ended_us ended_us recording voicemail problem"
        )
        names = f"{named} parked talk_leg consult_leg".split()

        async def look() -> dict[str, Any] | None:
            rows = await self.rows(f"SELECT {', '.join(names)} FROM calls ORDER BY came_us DESC LIMIT 1")  # noqa: S608
            row = dict(zip(names, rows[0], strict=True)) if rows else None
            fits = row is not None and all(bool(row[key]) if value is True else row[key] == value for key, value in like.items())
            return row if fits else None

        return await self.until(look)

    async def offers(self) -> list[tuple[str, str]]:
        """Return who was rung for the latest call, and how that ended, in their order."""
        return [
            (login, state)
            for login, state in await self.rows(
                "SELECT operators.login, offers.state FROM offers JOIN operators ON operators.id = offers.operator_id "
                "ORDER BY offers.offer_no, operators.login"
            )
        ]

    async def _enter(self, make: Callable[[datetime], Event]) -> None:
        ((conversation,),) = await self.rows("SELECT conversation_id FROM calls ORDER BY came_us DESC LIMIT 1")
        self._deeds += 1
        await self.store.write(lambda tx: enter(tx, "console", f"deed-{self._deeds}", conversation, make))

    async def dies(self) -> None:
        """Let the exchange die, and be there again; wait until its manager interface answers."""
        manager = self._board.manager
        assert isinstance(manager, Ami)
        await asyncio.to_thread(self.pbx.kill)
        await self.until(lambda: _lost(manager))
        await asyncio.to_thread(self.pbx.start)
        await self.until(lambda: _connected(manager))

    def census(self) -> Census:
        """Return the shipped census."""
        assert self._board.manager is not None
        return Census(self.store, self._board.manager, lambda: list(self.channels), self._board.interrupted)

    async def goes(self, operator: OperatorId) -> None:
        """Let *operator* log out, in the midst of the latest call."""
        await self.store.write(lambda tx: builders.set_presence(tx, operator, PresenceState.OFFLINE, [self.line]))
        await self._enter(lambda at: OperatorGone(at, operator))

    async def does(self, deed: type[OperatorEvent], operator: OperatorId, **how: Any) -> None:
        """Let *operator* do something with the latest call in their console."""
        await self._enter(lambda at: cast(Event, deed(at=at, operator_id=operator, command=f"k{self._deeds}", **how)))

    async def calls_and_hears(self, sound: str) -> None:
        """Let somebody call who presses the keys that they are told, and wait until *sound* is played to them."""
        before = await self.has_played(sound)
        await self.console("channel originate Local/100@from-trunk/n extension told@presses-keys")
        await self.played(sound, before + 1)

    async def presses(self, keys: str) -> None:
        """Let whoever has called so press *keys*."""
        (channel,) = [one.name for one in await self.shown() if one.context == "presses-keys"]
        await self.console(f"dialplan set chanvar {channel} KEYS {keys}")

    async def second_line(self, slug: str, **settings: Any) -> LineId:
        """Add another line, without a number."""
        made = await self.store.write(lambda tx: builders.add_line(tx, slug, LineSettings(**settings)))
        await self.directory.refresh()
        return made

    async def wants(self, number: str, *, seconds: float = 0, by: OperatorId | None = None, now: bool = False) -> None:
        """Let a customer be called at *number* in so many seconds; *by*, *now*: as ContactMessage has them."""
        self._deeds += 1
        name, channel = f"wanted-{self._deeds}", next(iter(self.channels.values()))

        def ask_it(tx: Tx) -> None:
            due = tx.now + timedelta(seconds=seconds)
            ask(tx, self.directory(), channel, name, number, due, by=by, now=now)

        await self.store.write(ask_it)

    async def hurry(self) -> None:
        """Let the time of whatever waits for its time be now."""

        def now(tx: Tx) -> None:
            for id_, state in plain(tx, "SELECT id, state FROM sessions WHERE status = 'queued'").fetchall():
                told = msgspec.json.decode(state)
                told |= {name: tx.now.isoformat() for name in ("promised_at", "held_until") if name in told}
                plain(tx, "UPDATE sessions SET state = ? WHERE id = ?", msgspec.json.encode(told).decode(), id_)
            plain(tx, "UPDATE timers SET due_us = ? WHERE name = 'round'", to_us(tx.now))
            tx.ring(Bell.TIMERS, str(to_us(tx.now)))

        await self.store.write(now)

    async def recorded(self, seconds: float, what: str = "recording") -> None:
        """Wait until the latest call's recording, or its *voicemail*, has so much sound: Asterisk writes two seconds at a time."""
        row = await self.call_row(**{what: True})

        async def look() -> bool:
            return await asyncio.to_thread(_size, self.folder / row[what]) >= 16_000 * seconds

        await self.until(look)

    async def shown(self) -> list[Channel]:
        """Return what channels the exchange has, as its console shows them."""
        return await asyncio.to_thread(self.pbx.channels)

    async def looked(self) -> None:
        """Wait until the switchboard has looked for what was recorded."""
        await asyncio.gather(*self._board._tasks)

    def handset(self, number: str) -> SipPhone:
        """Return a phone that does what it is told, when it is told."""
        return SipPhone(number, self.pbx.ports[number], self.pbx.sip)

    async def joined(self, pairs: int = 1, *, beside: int = 0) -> None:
        """Wait until the exchange has so many pairs of channels that speak with each other, so many alone *beside*, and no more.

        A number outside costs a pair: two channels are but the wire to it.
        """

        async def look() -> bool:
            together = Counter(one.bridge for one in await self.shown())
            alone = together.pop("", 0)
            return alone == beside and [*together.values()] == [2] * pairs

        await self.until(look)

    async def _leg(self, *, first: bool = False) -> str:
        legs = await self.rows("SELECT leg FROM calls ORDER BY came_us")
        return str(legs[0 if first else -1][0])

    async def answered(self) -> None:
        """Wait until the caller of the latest call was answered, by whom or what ever."""

        async def look() -> bool:
            leg = await self._leg()
            return any(one.state == "Up" for one in await self.shown() if one.name == leg)

        await self.until(look)

    async def leaves(self, *, first: bool = False) -> None:
        """Let the caller of the latest call be gone, or of the *first*."""
        await self.console(f"channel request hangup {await self._leg(first=first)}")

    async def says_goodbye(self, caller: Any) -> None:
        """Let the *caller* of the latest call, who speaks with somebody, be gone; prove that all is whole and free."""
        await self.leaves()
        assert await self.hung_up(caller) == 0
        await self.ended()

    async def apart(self) -> None:
        """Wait until the caller of the latest call is on hold, and their operator waits beside."""
        row = await self.call_row(parked=True)

        async def look() -> bool:
            leg = await self._leg()
            alone = {one.name: one.context for one in await self.shown() if not one.bridge}
            return leg in alone and alone.get(row["talk_leg"]) == "omniline-parked"

        await self.until(look)

    async def silent(self) -> None:
        """Wait until the exchange has no channel any more."""

        async def look() -> bool:
            return "0 active channels" in await self.console("core show channels count")

        await self.until(look)

    async def puts_down(self, operator: OperatorId) -> None:
        """Let *operator*'s phone be put down."""
        ((phone,),) = await self.rows("SELECT phone FROM operators WHERE id = ?", operator)
        await self.put_down(phone)

    async def put_down(self, phone: str) -> None:
        """Let *phone*, an endpoint of the exchange's that speaks, be put down."""
        (channel,) = [one.name for one in await self.shown() if one.name.startswith(f"{phone}-")]
        await self.console(f"channel request hangup {channel}")

    async def comes(self, operator: OperatorId) -> None:
        """Let *operator* be at work."""
        await self.store.write(lambda tx: builders.set_presence(tx, operator, PresenceState.ONLINE, [self.line]))

    async def supervisor(self, login: str, phone: str) -> OperatorId:
        """Add a supervisor with a *phone*, who has no seat in the line."""

        def add(tx: Tx) -> OperatorId:
            made = builders.add_operator(tx, login, [], role=Role.SUPERVISOR)
            plain(tx, "UPDATE operators SET phone = ? WHERE id = ?", f"PJSIP/{phone}", made)
            return made

        made = await self.store.write(add)
        await self.directory.refresh()
        return made

    async def closes(self, operator: OperatorId) -> None:
        """Let *operator* close the latest call's session in their console."""
        await self._enter(lambda at: Close(at=at, operator_id=operator, command="close"))

    async def number(self, slug: str, numbers: list[str]) -> None:
        """Let the line have a channel *slug* with these *numbers*."""
        settings = msgspec.json.encode({"numbers": numbers}).decode()

        def put(tx: Tx) -> None:
            if not plain(tx, "UPDATE channels SET settings = ? WHERE slug = ?", settings, slug).rowcount:
                builders.add_channel(tx, self.line, slug, KIND_NAME)
                plain(tx, "UPDATE channels SET settings = ? WHERE slug = ?", settings, slug)

        await self.store.write(put)
        await self.directory.refresh()

    async def logged(self, words: str) -> int:
        """Return how often Asterisk's log has *words*: whatever other stories have left there too."""
        return (await asyncio.to_thread(self.pbx.log)).count(words)

    async def logs(self, words: str, times: int) -> None:
        """Wait until Asterisk's log has *words* so many times."""

        async def look() -> bool:
            return await self.logged(words) >= times

        await self.until(look)

    async def has_played(self, sound: str) -> int:
        """Return how often Asterisk has played *sound* to somebody, in whatever story."""
        return await self.logged(f"Playing '{sound}")

    async def played(self, sound: str, times: int) -> None:
        """Wait until Asterisk has played *sound* so many times."""
        await self.logs(f"Playing '{sound}", times)

    def refuse_writes(self, times: int) -> None:
        """Let the switchboard's next writes be refused, as by a store that is busy."""
        refusing = cast(Any, Refusing(self.store, times))
        self._board._store = self._board._office._store = refusing

    async def declines(self, operator: OperatorId) -> None:
        """Let *operator* decline the latest call in their console."""
        await self._enter(lambda at: Decline(at=at, operator_id=operator, command="no"))

    async def chat(self, key: str) -> None:
        """Let a customer write in the line's chat."""
        channel = await self.chat_channel()
        directory = self.directory()
        fake = FakeChannel(channel, self.line)
        prepared = prepare(fake, [wrote(f"x-{key}", key, "hello")], directory.lines[self.line].settings)
        await self.store.write(lambda tx: accept(tx, channel, prepared))

    async def chat_channel(self) -> ChannelId:
        """Return the line's chat, which is made when it is first asked for."""
        known = next((row.id for row in self.directory().channels.values() if row.kind != KIND_NAME), None)
        if known is None:
            known = await self.store.write(lambda tx: builders.add_channel(tx, self.line, "page"))
            await self.directory.refresh()
        return known

    async def console(self, command: str) -> str:
        """Return what Asterisk's console says to *command*."""
        return await asyncio.to_thread(self.pbx.cli, command)

    async def hung_up(self, caller: Any) -> int:
        """Return the exit status of the caller's side: 0 when all went as its scenario says."""
        return int(await asyncio.to_thread(caller.wait, WAIT_SECONDS))

    async def ended(self, conversation: ConversationId | None = None) -> None:
        """Wait until the exchange knows no call any more, and prove that the house is whole."""

        async def look() -> bool:
            # What the exchange has told is decided a moment later, and what the call held is freed by that.
            held = await self.rows("SELECT 1 FROM budgets WHERE reserved <> 0 OR calls <> 0")
            return not held and not await self.rows("SELECT 1 FROM calls WHERE ended_us IS NULL")

        await self.until(look)
        report = await self.store.read(reconcile)
        assert report.ok, report.text()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _lost(manager: Ami) -> bool:
    return manager.lost is not None


async def _connected(manager: Ami) -> bool:
    return manager.lost is None


@asynccontextmanager
async def telephone(
    folder: Path, pbx: Asterisk, line: Line, *, managed: bool = True, **settings: Any
) -> AsyncIterator[Telephone]:
    """Serve the exchange, once it is silent, with a house of its own."""
    transport = MemoryTransport()
    store = open_store(folder, clock=SystemClock(), ids=SystemIds(), ring=transport.ring)
    made = Telephone(store, transport, pbx)
    made.managed = managed
    await store.write(lambda tx: plain(tx, "INSERT INTO counters (name, value) VALUES ('fence', 1)"))
    await made.settle(**settings)
    loops = [
        Worker(store, transport, lambda: made.house).run(),
        Distributor(store, transport, lambda: made.house).run(),
        TimerLoop(store, transport, {"conversation": timer_fired}, free).run(),
    ]
    tasks = [asyncio.create_task(loop) for loop in loops]
    await made.answer(line)
    before = len(pbx.peers)
    try:
        await made.silent()
        yield made
    except BaseException:
        await _empty(pbx)
        for peer in pbx.peers[before:]:
            await asyncio.to_thread(peer.end)
        raise
    finally:
        await made.fall_silent()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()
        for error in ended:
            if not isinstance(error, asyncio.CancelledError):
                raise AssertionError("a loop ended by itself") from error


async def _empty(pbx: Asterisk) -> None:
    """Hang up every channel of the exchange, also those that come meanwhile: of a story that has failed nobody comes to the next."""
    with suppress(TimeoutError):
        async with asyncio.timeout(EMPTY_SECONDS):
            while "0 active channels" not in await asyncio.to_thread(pbx.cli, "core show channels count"):
                await asyncio.to_thread(pbx.cli, "channel request hangup all")


def loudness(path: Path, hertz: float) -> float:
    """Return how much of a tone there is in a recording, 1 for the loudest that there can be (Goertzel's way)."""
    from math import cos, tau

    with wave.open(str(path)) as recording:
        rate, frames = recording.getframerate(), recording.readframes(recording.getnframes())
    samples = [int.from_bytes(frames[at : at + 2], "little", signed=True) / 32_768 for at in range(0, len(frames), 2)]
    turn = 2 * cos(tau * hertz / rate)
    before, last = 0.0, 0.0
    for sample in samples:
        before, last = last, sample + turn * last - before
    power = last * last + before * before - turn * last * before
    return float(max(power, 0.0) ** 0.5 * 2 / max(1, len(samples)))


__all__ = ["SECRET", "Line", "Telephone", "directory", "exchange", "loudness", "telephone"]
