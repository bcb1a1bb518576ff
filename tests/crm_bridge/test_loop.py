"""The loop around the reader: hears, waits, backs off, goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from broker.errors import StoreFull, Unavailable
from broker.leases import free
from broker.ports import Bell, LeadDraft
from broker.transport.memory import MemoryTransport
from crm_bridge.builtin import BuiltInCrm
from crm_bridge.loop import Loop
from crm_bridge.reader import Reader
from tests.crm_bridge.house import House


class Scripted(Reader):
    """A reader whose steps answer from a script; after it there is never anything to read."""

    def __init__(self, *answers: int | Exception) -> None:
        self.most = 10
        self._answers = list(answers)
        self.steps = 0
        self.done = asyncio.Event()

    async def step(self) -> int:
        """Answer the next of the script."""
        self.steps += 1
        if not self._answers:
            self.done.set()
            return 0
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def more(self, answers: Sequence[int | Exception]) -> None:
        """Lengthen the script."""
        self.done.clear()
        self._answers += answers


def _run(reader: Scripted, *, sweep_seconds: float, ring: Sequence[int] = ()) -> int:
    async def run() -> int:
        transport = MemoryTransport()
        loop = asyncio.create_task(Loop(reader, transport, rest_seconds=0, sweep_seconds=sweep_seconds).run())
        await reader.done.wait()
        if ring:
            reader.more(ring)
            transport.ring([(Bell.NEWS, "")])
            await reader.done.wait()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        return reader.steps

    return asyncio.run(asyncio.wait_for(run(), 20))


def test_it_reads_until_nothing_is_left():
    """Full pages follow one another at once."""

    async def make() -> Scripted:
        return Scripted(10, 10, 3)

    assert _run(asyncio.run(make()), sweep_seconds=60) == 4


def test_news_wake_it():
    """The bell ends the rest: nobody waits for the sweep."""

    async def make() -> Scripted:
        return Scripted(1)

    assert _run(asyncio.run(make()), sweep_seconds=60, ring=[2]) == 4


def test_it_goes_on_after_any_failure():
    """A full disk, a CRM that is away and a fault of our own are waited out."""

    async def make() -> Scripted:
        return Scripted(StoreFull("full"), Unavailable("away", retry_after=0.0), ValueError("a fault"), 1)

    assert _run(asyncio.run(make()), sweep_seconds=0.001) >= 5


def test_it_stops_hearing_when_it_is_cancelled():
    """A loop that has ended leaves no listener behind."""

    async def run() -> bool:
        transport = MemoryTransport()
        reader = Scripted()
        loop = asyncio.create_task(Loop(reader, transport, rest_seconds=0).run())
        await reader.done.wait()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        steps = reader.steps
        transport.ring([(Bell.NEWS, "")])
        await asyncio.sleep(0)
        return steps == reader.steps

    assert asyncio.run(run())


def test_the_real_reader_in_the_loop_makes_the_lead():
    """From the bell to the row."""
    house = House()
    line = house.line()
    site = house.channel(line)
    house.say(site, "v1", "hello, ann@example.com")
    house.settle()

    async def run() -> None:
        kept = asyncio.Event()

        class Told(BuiltInCrm):
            async def put_lead(self, lead: LeadDraft) -> str:
                answer = await super().put_lead(lead)
                kept.set()
                return answer

        loop = asyncio.create_task(
            Loop(Reader(house, Told(house), lambda: house.capabilities, fence=free), MemoryTransport()).run()
        )
        await kept.wait()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 20))

    assert len(house.rows("leads")) == 1
