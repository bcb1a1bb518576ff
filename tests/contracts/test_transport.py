"""The `Transport` socket: bells, passing words and shared rates. Another transport joins by one more entry in `WIRES`.

What is rung *here* is heard *there*: in the same transport, or in another process's. It may be heard a moment later, so each test
waits for what it expects, and what must not be heard is looked for after something rung later has been heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import pytest

from broker.ports import FOR_ONE, Bell, Transport
from broker.transport.memory import MemoryTransport
from broker.transport.redis import Pace, RedisTransport
from tests.support.redis import RedisServer, running_redis, until

T = TypeVar("T")

PATIENT = Pace(answer_seconds=10, take_seconds=10)
"""A machine under load may stand still for a moment: that is no loss here."""


class Wire:
    """Where it is rung, where it is heard, and the loop between them."""

    def __init__(self, runner: asyncio.Runner, here: Transport, there: Transport) -> None:
        self._runner = runner
        self.here = here
        self.there = there

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the loop."""
        return self._runner.run(work)

    def until(self, done: Callable[[], bool]) -> None:
        """Let the loop run until *done*."""
        self.do(until(done))


@contextmanager
def in_memory(server: RedisServer) -> Iterator[Wire]:
    """Give the transport of one process."""
    with asyncio.Runner() as runner:
        transport = MemoryTransport()
        yield Wire(runner, transport, transport)


@contextmanager
def on_redis(server: RedisServer, processes: int) -> Iterator[Wire]:
    """Give the first and the last of so many processes, connected."""
    server.ask("FLUSHALL")
    with asyncio.Runner() as runner:

        async def start() -> list[RedisTransport]:
            return [RedisTransport(server.url, process=f"process-{number}", pace=PATIENT) for number in range(processes)]

        async def run() -> list[asyncio.Task[None]]:
            return [asyncio.create_task(transport.run()) for transport in transports]

        async def stop() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        transports = runner.run(start())
        tasks = runner.run(run())
        wire = Wire(runner, transports[0], transports[-1])
        try:
            wire.until(lambda: not any(transport.lost for transport in transports))
            yield wire
        finally:
            runner.run(stop())


WIRES: dict[str, Callable[[RedisServer], AbstractContextManager[Wire]]] = {
    "memory": in_memory,
    "redis": lambda server: on_redis(server, 1),
    "redis-apart": lambda server: on_redis(server, 2),
}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Give a Redis for all tests of this file."""
    with running_redis() as running:
        yield running


@pytest.fixture(params=list(WIRES.values()), ids=list(WIRES))
def wire(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[Wire]:
    """Give a wire that nobody listens at."""
    with ExitStack() as open_wires:
        yield open_wires.enter_context(request.param(server))


def test_a_ring_is_heard_with_its_key(wire: Wire):
    """Who listens to a bell hears each key that was rung, in order; other bells are not theirs."""
    heard: list[str] = []
    wire.there.listen(Bell.CONVERSATION, heard.append)

    wire.here.ring([(Bell.CONVERSATION, "a"), (Bell.POOL, "line"), (Bell.CONVERSATION, "b")])

    wire.until(lambda: len(heard) >= 2)
    assert heard == ["a", "b"]


@pytest.mark.parametrize("bell", list(Bell))
def test_every_bell_is_heard(wire: Wire, bell: Bell):
    """Whatever rings, work or news, reaches who listens for it, with any key."""
    heard: list[str] = []
    wire.there.listen(bell, heard.append)

    keys = ["", "1700000000000000", "ключ\n\0 с пробелами"]
    for number, key in enumerate(keys, start=1):
        wire.here.ring([(bell, key)])
        wire.until(partial(lambda least: len(heard) >= least, number))

    assert heard == keys


def test_the_same_ring_of_one_batch_is_heard_once(wire: Wire):
    """A batch that rang one bell a hundred times wakes its listener once."""
    heard: list[str] = []
    wire.there.listen(Bell.NEWS, heard.append)
    wire.there.listen(Bell.SESSION, heard.append)

    wire.here.ring([(Bell.NEWS, "")] * 100)
    wire.until(lambda: "" in heard)
    wire.here.ring([(Bell.SESSION, "later")])

    wire.until(lambda: "later" in heard)
    assert heard == ["", "later"]


@pytest.mark.parametrize("bell", [Bell.OUTBOX, Bell.SESSION])
def test_everybody_who_listens_hears(wire: Wire, bell: Bell):
    """Inside a process a bell is not a queue, not even one that calls for work: it has no single taker."""
    first: list[str] = []
    second: list[str] = []
    wire.there.listen(bell, first.append)
    wire.there.listen(bell, second.append)

    wire.here.ring([(bell, "a")])

    wire.until(lambda: bool(second))
    assert first == second == ["a"]


@pytest.mark.parametrize("bell", [Bell.POOL, Bell.TIMERS])
def test_who_stopped_hears_no_more(wire: Wire, bell: Bell):
    """Stopping ends one listening, not another's; stopping twice is stopping once."""
    first: list[str] = []
    second: list[str] = []
    stop = wire.there.listen(bell, first.append)
    wire.there.listen(bell, second.append)

    stop()
    stop()
    wire.here.ring([(bell, "a")])

    wire.until(lambda: bool(second))
    assert (first, second) == ([], ["a"])


def test_one_function_that_listens_twice_stops_once_at_a_time(wire: Wire):
    """Each listening has its own end: stopping one, even twice, leaves the other."""
    heard: list[str] = []
    stop = wire.there.listen(Bell.TIMERS, heard.append)
    wire.there.listen(Bell.TIMERS, heard.append)

    stop()
    stop()
    wire.here.ring([(Bell.TIMERS, "a")])

    wire.until(lambda: bool(heard))
    assert heard == ["a"]


@pytest.mark.parametrize("bell", [Bell.CONVERSATION, Bell.SESSION])
def test_a_listener_that_fails_harms_nobody(wire: Wire, bell: Bell):
    """`ring` never raises; who comes after a broken listener still hears."""
    heard: list[str] = []

    def broken(key: str) -> None:
        raise RuntimeError(key)

    wire.there.listen(bell, broken)
    wire.there.listen(bell, heard.append)

    wire.here.ring([(bell, "a"), (bell, "b")])

    wire.until(lambda: len(heard) >= 2)
    assert heard == ["a", "b"]


def test_a_listener_may_stop_while_it_is_called(wire: Wire):
    """Stopping from inside a ring skips nobody else."""
    heard: list[str] = []
    stops: list[Callable[[], None]] = []

    def once(key: str) -> None:
        heard.append("once")
        stops[0]()

    stops.append(wire.there.listen(Bell.SESSION, once))
    wire.there.listen(Bell.SESSION, heard.append)

    wire.here.ring([(Bell.SESSION, "a")])
    wire.here.ring([(Bell.SESSION, "b")])

    wire.until(lambda: "b" in heard)
    assert heard == ["once", "a", "b"]


def test_a_listener_may_ring(wire: Wire):
    """What is rung from inside a ring is heard too."""
    heard: list[str] = []
    wire.there.listen(Bell.CONVERSATION, lambda key: wire.there.ring([(Bell.POOL, key)]))
    wire.there.listen(Bell.POOL, heard.append)

    wire.here.ring([(Bell.CONVERSATION, "a")])

    wire.until(lambda: bool(heard))
    assert heard == ["a"]


def test_words_reach_who_follows_the_topic(wire: Wire):
    """A word told goes to the followers of its topic and is kept for nobody who comes later."""
    early: list[bytes] = []
    late: list[bytes] = []
    other: list[bytes] = []
    wire.there.follow("typing:1", early.append)
    wire.there.follow("typing:2", other.append)

    wire.here.tell("typing:1", b"ann\n\0")
    wire.until(lambda: len(early) == 1)
    stop = wire.there.follow("typing:1", late.append)
    wire.here.tell("typing:1", b"bob")
    wire.until(lambda: len(early) == 2)
    stop()
    wire.here.tell("typing:1", b"cat")

    wire.until(lambda: len(early) == 3)
    assert (early, late, other) == ([b"ann\n\0", b"bob", b"cat"], [b"bob"], [])


def test_a_topic_may_be_left_and_followed_again(wire: Wire):
    """The last follower's end takes nothing from the next one."""
    heard: list[bytes] = []
    first = wire.there.follow("t", lambda word: None)
    first()
    wire.there.follow("t", heard.append)
    first()

    wire.here.tell("t", b"word")

    wire.until(lambda: bool(heard))
    assert heard == [b"word"]


def test_a_bucket_is_shared(wire: Wire):
    """All take from one bucket: its burst and no more, then so many a second; who is refused learns for how long."""

    async def take(transport: Transport, bucket: str) -> float:
        return await transport.take(bucket, per_second=0.001, burst=3)

    taken = [wire.do(take(transport, "slow")) for transport in (wire.here, wire.there, wire.here, wire.there)]

    assert taken[:3] == [0.0, 0.0, 0.0]
    assert 990 < taken[3] <= 1_000
    assert wire.do(take(wire.there, "another")) == 0.0


def test_a_bucket_fills_again(wire: Wire):
    """Who waits as long as was said finds a token."""

    async def take_twice() -> float:
        assert await wire.here.take("quick", per_second=1_000, burst=1) == 0.0
        waited = 0.0
        while wait := await wire.there.take("quick", per_second=1_000, burst=1):
            waited += wait
            await asyncio.sleep(wait)
        return waited

    assert wire.do(take_twice()) < 1.0


def test_a_bucket_smaller_than_one_token_holds_one(wire: Wire):
    """A burst below one would never let anybody pass."""
    assert wire.do(wire.here.take("tiny", per_second=0.5, burst=0.1)) == 0.0
    assert 1.9 < wire.do(wire.here.take("tiny", per_second=0.5, burst=0.1)) <= 2.0


def test_nothing_is_lost_while_all_is_well(wire: Wire):
    """There is no reason to tell, and nobody is told to sweep."""
    told: list[str] = []
    stop = wire.here.on_restored(lambda: told.append("restored"))
    heard: list[str] = []
    wire.there.listen(Bell.NEWS, heard.append)
    wire.here.ring([(Bell.NEWS, "")])
    wire.until(lambda: bool(heard))
    stop()
    stop()

    assert (wire.here.lost, wire.there.lost, told) == (None, None, [])


def test_work_calls_one_and_news_calls_all():
    """Which bell is of which kind: a bell that more than one process must hear is not work."""
    assert frozenset({Bell.CONVERSATION, Bell.POOL, Bell.OUTBOX}) == FOR_ONE
