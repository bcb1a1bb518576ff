"""The loops around the steps, on the shipped store: everything that is accepted is done, woken by bells or found by sweeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest

from broker.domain import LineSettings, LoadKind
from broker.inbound import accept, prepare, undecided
from broker.leases import free
from broker.outbound import Sender, SenderLoop
from broker.ports import Bell, Tx
from broker.timers import TimerLoop
from broker.transport.memory import MemoryTransport
from routing import distributor, worker
from routing.applying import TIMER_OWNER, timer_fired
from routing.distributor import Distributor
from routing.worker import Worker
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import CountedIds, MovedClock
from tests.support.house import add_channel, add_line, add_operator, add_process, load_house
from tests.support.store import Opens, plain, store_opener

VISITORS = 40
ROOM = 8
"""Sessions that two people of 100 can hold."""
SAID = VISITORS + VISITORS - ROOM
"""A welcome for everybody, and to those whom nobody has room for, that everybody is busy."""


class Running:
    """A house whose loops run."""

    def __init__(self, opens: Opens, ids: CountedIds, ring: Callable[[MemoryTransport], Any]) -> None:
        self.transport = MemoryTransport()
        self.clock = MovedClock()
        self.changed = asyncio.Event()
        # What is rung for the loops may be lost; the test itself always hears.
        rings = ring(self.transport)

        def rung(bells: Sequence[tuple[Bell, str]]) -> None:
            rings(bells)
            self.changed.set()

        self.store = opens(clock=self.clock, ids=ids, ring=rung)

    async def build(self) -> None:
        """Write a line with two people, or find it."""

        def make(tx: Tx) -> None:
            add_process(tx, "here")
            line = add_line(tx)
            add_channel(tx, line)
            for number, login in enumerate(("ann", "bob")):
                add_operator(tx, login, [line], budget=100, position=number)

        if not (await self.store.read(load_house)).directory.lines:
            await self.store.write(make)
        self.house = await self.store.read(load_house)
        (channel,) = self.house.directory.channels.values()
        self.channel = FakeChannel(channel.id, channel.line_id)
        self.house.loads[channel.id] = LoadKind.CHAT

    def loops(self) -> list[Any]:
        """Return every loop of the core, ready to run."""
        sender = Sender(self.store, self.clock, lambda _: self.channel, lambda *_: "Shop", owner="here", fence=1)
        return [
            Worker(self.store, self.transport, lambda: self.house).run(),
            Distributor(self.store, self.transport, lambda: self.house).run(),
            TimerLoop(self.store, self.transport, {TIMER_OWNER: timer_fired}, free).run(),
            SenderLoop(sender, self.store, self.transport, fence=1, idempotent=lambda _: True).run(),
        ]

    async def say(self, numbers: Iterable[int] = range(VISITORS)) -> None:
        """Have everybody, or those with these numbers, write once."""
        for number in numbers:
            prepared = prepare(self.channel, [wrote(f"{number}", f"v{number}", "hello")], LineSettings())
            await self.store.write(lambda tx, p=prepared: accept(tx, self.channel.id, p))  # type: ignore[misc]

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for *done*, looking after each commit."""
        async with asyncio.timeout(30):
            while not done():
                self.changed.clear()
                await self.changed.wait()

    async def until_there_are(self, number: int, text: str) -> None:
        """Wait until the plain query *text* counts *number*, looking after each commit."""
        async with asyncio.timeout(30):
            while True:
                self.changed.clear()  # before the look: what is committed during it is looked at again
                if await self.count(text) == number:
                    return
                await self.changed.wait()

    async def count(self, text: str) -> int:
        """Return the answer of a plain query."""
        return int(await self.store.read(lambda tx: plain(tx, text).fetchone()[0]))


@asynccontextmanager
async def running(
    opens: Opens, ids: CountedIds, ring: Callable[[MemoryTransport], Any], *, loops: bool = True
) -> AsyncIterator[Running]:
    """Run a house; what is under way when it ends is dropped."""
    house = Running(opens, ids, ring)
    await house.build()
    tasks = [asyncio.create_task(loop) for loop in house.loops()] if loops else []
    try:
        if not loops:
            for loop in house.loops():
                loop.close()
        yield house
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await house.store.close()


@pytest.fixture
def opens(tmp_path):
    """Return what opens a store on the test's database."""
    with store_opener(tmp_path) as made:
        yield made


def heard(transport: MemoryTransport) -> Any:
    """Let bells ring."""
    return transport.ring


def deaf(transport: MemoryTransport) -> Any:
    """Lose every bell."""
    return lambda bells: None


async def everything_is_done(house: Running) -> None:
    """Wait until each visitor has what is said to them, the people have what they can hold, and nothing is undone."""
    await house.until(lambda: len(house.channel.far.delivered) == SAID)
    await house.until_there_are(0, "SELECT count(*) FROM outbox WHERE state <> 'sent'")
    assert await house.count("SELECT count(*) FROM conversations WHERE input_seq > worked_seq") == 0
    assert await house.count("SELECT count(*) FROM sessions WHERE status = 'offered'") == ROOM
    assert await house.count("SELECT min(reserved) FROM budgets") == 100
    assert len({sent.conversation_id for sent in house.channel.far.delivered}) == VISITORS


def test_bells_carry_a_message_through_the_house(opens: Opens):
    """Accepted, decided, distributed and answered with a welcome, each loop woken by the one before."""

    async def play() -> None:
        async with running(opens, CountedIds(), heard) as house:
            await house.say()
            await everything_is_done(house)

    asyncio.run(play())


def test_a_bell_distributes_at_once(opens: Opens, monkeypatch: pytest.MonkeyPatch):
    """Who writes after the sweep of the start is offered to somebody though no other sweep ever comes."""
    monkeypatch.setattr(distributor, "SWEEP_SECONDS", 1e9)

    async def play() -> None:
        async with running(opens, CountedIds(), heard) as house:
            for number in range(2):  # the first offer comes after that sweep, so the second can come by its bell alone
                await house.say([number])
                await house.until_there_are(number + 1, "SELECT count(*) FROM offers")

    asyncio.run(play())


def test_who_has_read_the_settings_distributes_anew(opens: Opens, monkeypatch: pytest.MonkeyPatch):
    """What marked the pool may have been taken here, and distributed by the settings of before: who waited is offered to the new seat."""
    monkeypatch.setattr(distributor, "SWEEP_SECONDS", 1e9)

    async def play() -> None:
        async with running(opens, CountedIds(), heard, loops=False) as house:
            stale = await house.store.read(load_house)
            stale.directory.seats.clear()
            await house.say([1])
            for conversation_id in await house.store.read(undecided):
                await house.store.write(partial(worker.step, conversation_id=conversation_id, house=house.house))
            for line_id in await house.store.read(distributor.marked):
                await house.store.write(partial(distributor.step, line_id=line_id, house=stale))
            assert await house.store.read(distributor.marked) == []

            distributing = Distributor(house.store, house.transport, lambda: house.house)
            distributing.settings_changed(house.house.directory)
            running_on = asyncio.create_task(distributing.run())
            await house.until_there_are(1, "SELECT count(*) FROM offers")
            running_on.cancel()
            await asyncio.gather(running_on, return_exceptions=True)

    asyncio.run(play())


def test_without_a_single_bell_the_sweeps_do_everything(opens: Opens):
    """The transport is lost altogether: it costs seconds, not messages."""

    async def play() -> None:
        async with running(opens, CountedIds(), deaf) as house:
            await house.say()
            await everything_is_done(house)

    asyncio.run(play())


def test_what_was_accepted_before_a_restart_is_done_after_it(opens: Opens):
    """Stored and acknowledged, and the process ended before any of it was decided."""
    ids = CountedIds()

    async def play() -> None:
        async with running(opens, ids, heard, loops=False) as house:
            await house.say()
        async with running(opens, ids, heard) as house:
            await everything_is_done(house)

    asyncio.run(play())


class Reading:
    """A store whose readings take for ever."""

    def __init__(self, store: Any) -> None:
        self.write, self.write_each = store.write, store.write_each
        self.asked = asyncio.Event()

    async def read(self, work: Any) -> Any:
        self.asked.set()
        await asyncio.Event().wait()


def test_a_store_that_is_slow_to_read_holds_up_nobody(opens: Opens):
    """What is rung for is offered and sent while the sweeps still look for what was not."""

    async def play() -> None:
        async with running(opens, CountedIds(), heard, loops=False) as house:
            sender = Sender(house.store, house.clock, lambda _: house.channel, lambda *_: "", owner="here", fence=1)
            pools, sends = Reading(house.store), Reading(house.store)
            loops: list[Any] = [
                SenderLoop(sender, cast(Any, sends), house.transport, fence=1, idempotent=lambda _: True),
                Distributor(cast(Any, pools), house.transport, lambda: house.house),
                Worker(house.store, house.transport, lambda: house.house),
            ]
            tasks = [asyncio.create_task(loop.run()) for loop in loops]
            await sends.asked.wait()
            await pools.asked.wait()
            await house.say(range(4))  # both people have room for as many
            await house.until(lambda: len(house.channel.far.delivered) == 4)
            await house.until_there_are(4, "SELECT count(*) FROM sessions WHERE status = 'offered'")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(play())


def test_draining_lets_a_send_end_and_begins_no_other(opens: Opens):
    """A stop leaves nothing in doubt: what is leaving is marked, what waits stays queued."""

    class Slow(FakeChannel):
        started: asyncio.Event
        go: asyncio.Event

        async def send(self, outbound: Any) -> str:
            self.started.set()
            await self.go.wait()
            return await super().send(outbound)

    async def play() -> tuple[int, int, int]:
        async with running(opens, CountedIds(), heard, loops=False) as house:
            slow = Slow(house.channel.id, house.channel.line_id)
            slow.started, slow.go = asyncio.Event(), asyncio.Event()
            house.channel = slow
            sender = Sender(house.store, house.clock, lambda _: slow, lambda *_: "", owner="here", fence=1)
            loop = SenderLoop(sender, house.store, house.transport, fence=1, idempotent=lambda _: True)
            tasks = [
                asyncio.create_task(loop.run()),
                asyncio.create_task(Worker(house.store, house.transport, lambda: house.house).run()),
            ]
            await house.say()
            await slow.started.wait()
            assert not await loop.drain(0)
            draining = asyncio.create_task(loop.drain(10))
            await asyncio.sleep(0)
            slow.go.set()
            assert await draining
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return (
                await house.count("SELECT count(*) FROM outbox WHERE state = 'sending'"),
                await house.count("SELECT count(*) FROM outbox WHERE state = 'sent'"),
                len(slow.far.delivered),
            )

    sending, sent, delivered = asyncio.run(play())
    assert sending == 0
    assert sent == delivered >= 1
