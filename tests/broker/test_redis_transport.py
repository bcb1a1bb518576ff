"""Redis between processes: work for one, news for all, and every way to lose Redis. On a real server and the loop of production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import hiredis
import msgspec
import pytest
import uvloop
from structlog.testing import capture_logs

from broker.errors import ConfigError
from broker.metrics import REGISTRY
from broker.ports import FOR_ONE, Bell
from broker.transport.redis import KEYS_TOGETHER, MOST_GATHERED, Pace, RedisTransport
from tests.support.redis import RedisServer, running_redis, until

PATIENT = Pace(answer_seconds=30, heartbeat_seconds=30, take_seconds=30, claim_seconds=30)
"""Nothing happens because of the time: what is heard was sent, what is claimed would fail the test."""
QUICK = Pace(answer_seconds=1, heartbeat_seconds=0.05, first_pause_seconds=0.01, longest_pause_seconds=0.05)
"""A loss is noticed soon, and so is its end; a machine under load that stands still for a moment is no loss."""

WORK = "omniline:bell:conversation"
BLOCKED = b" flags=b "
"""In CLIENT LIST: a reader that waits for work."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Give a Redis of the test's own."""
    with running_redis() as running:
        yield running


@dataclass
class Process:
    """A transport, and what was heard of it."""

    transport: RedisTransport
    running: asyncio.Task[None]
    heard: list[str] = field(default_factory=list)
    restored: int = 0

    def listen(self, *bells: Bell) -> Callable[[], None]:
        """Keep every key that rings; return how to stop."""
        stops = [self.transport.listen(bell, self.heard.append) for bell in bells]

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def count_restored(self) -> None:
        """Remember that SQL should be swept."""
        self.restored += 1


@asynccontextmanager
async def processes(
    url: str, count: int, pace: Pace = PATIENT, *, name: str = "process", **more: Any
) -> AsyncIterator[list[Process]]:
    """Give so many that run, connected or not; nothing of them is left afterwards."""
    before = asyncio.all_tasks()
    started: list[Process] = []
    for number in range(count):
        transport = RedisTransport(url, process=f"{name}-{number}", pace=pace, **more)
        process = Process(transport, asyncio.create_task(transport.run()))
        transport.on_restored(process.count_restored)
        started.append(process)
    try:
        yield started
        assert not [process for process in started if process.running.done()]
    finally:
        for process in started:
            process.running.cancel()
        await asyncio.gather(*(process.running for process in started), return_exceptions=True)
    assert asyncio.all_tasks() == before


@asynccontextmanager
async def connected(url: str, count: int, pace: Pace = PATIENT, **more: Any) -> AsyncIterator[list[Process]]:
    """Give so many that reach one another."""
    async with processes(url, count, pace, **more) as started:
        await until(lambda: not any(process.transport.lost for process in started))
        yield started


def play(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* on the loop of production."""
    uvloop.run(asyncio.wait_for(work, 30))


def counted(name: str, **labels: str) -> float:
    """Return what a metric says."""
    return REGISTRY.get_sample_value(f"omniline_transport_{name}", labels) or 0.0


def events(logs: list[MutableMapping[str, Any]]) -> list[str]:
    """Return what was logged, without the details."""
    return [entry["event"] for entry in logs]


async def shouts_are_heard(by: Process, at: list[Process]) -> None:
    """Have *by* ring a bell for everybody until each of *at* has heard it: what was passed on before has been heard too."""
    heard: list[list[str]] = [[] for _ in at]
    stops = [process.transport.listen(Bell.LOGINS, keys.append) for process, keys in zip(at, heard, strict=True)]

    def ring() -> bool:
        by.transport.ring([(Bell.LOGINS, "ann")])
        return all(heard)

    await until(ring)
    for stop in stops:
        stop()


# --- work for one


def test_work_is_heard_by_one_process(server: RedisServer):
    """Of two that listen, exactly one hears each key, whoever rang; none is lost and none is doubled."""

    async def go() -> None:
        async with connected(server.url, 3) as (ringing, first, second):
            first.listen(*FOR_ONE)
            second.listen(*FOR_ONE)
            rung = [f"{bell}-{number}" for number in range(100) for bell in sorted(FOR_ONE)]
            for number in range(100):
                ringing.transport.ring([(bell, f"{bell}-{number}") for bell in sorted(FOR_ONE)])
                await asyncio.sleep(0)

            await until(lambda: len(first.heard) + len(second.heard) >= len(rung))
            await shouts_are_heard(ringing, [first, second])

            assert sorted(first.heard + second.heard) == sorted(rung)

    play(go())


def test_work_that_is_heard_where_it_rang_goes_nowhere(server: RedisServer):
    """Who rang and listens does the work: nothing goes to Redis, at once and for nothing."""

    async def go() -> None:
        async with connected(server.url, 2) as (here, there):
            here.listen(Bell.CONVERSATION)
            there.listen(Bell.CONVERSATION)

            here.transport.ring([(Bell.CONVERSATION, "a")])

            assert here.heard == ["a"]
            await shouts_are_heard(here, [there])
            assert (server.ask("XLEN", WORK), there.heard) == (0, [])

    play(go())


def test_many_keys_share_an_entry_and_many_entries_spread(server: RedisServer):
    """An entry holds a handful of keys, so that it costs little and others get the rest."""

    async def go() -> None:
        async with connected(server.url, 1) as (ringing,):
            ringing.transport.ring([(Bell.CONVERSATION, str(number)) for number in range(2 * KEYS_TOGETHER + 1)])

            await until(lambda: server.ask("XLEN", WORK) == 3)

    play(go())


def test_a_stream_does_not_grow_for_ever(server: RedisServer):
    """Work that nobody takes is kept to a few thousand entries: sweeps find the rest."""

    async def go() -> None:
        async with connected(server.url, 1) as (ringing,):
            for batch in range(20):
                passed = counted("passed_total", what="ring")
                ringing.transport.ring([(Bell.CONVERSATION, f"{batch}-{number}") for number in range(MOST_GATHERED)])
                await until(lambda passed=passed: counted("passed_total", what="ring") >= passed + MOST_GATHERED)  # type: ignore[misc]

            assert server.ask("XLEN", WORK) < 20 * MOST_GATHERED / KEYS_TOGETHER

    play(go())


def test_who_stops_listening_leaves_the_work_to_others(server: RedisServer):
    """A process that drains is rung no more; another hears, and the one that rings may be the one that drains."""

    async def go() -> None:
        async with connected(server.url, 2) as (draining, working):
            stop = draining.listen(Bell.OUTBOX)
            working.listen(Bell.OUTBOX)
            draining.transport.ring([(Bell.OUTBOX, "a")])
            stop()
            draining.transport.ring([(Bell.OUTBOX, "b")])

            await until(lambda: bool(working.heard))
            assert (draining.heard, working.heard) == (["a"], ["b"])

    play(go())


def test_work_that_reaches_who_has_just_stopped_is_passed_on(server: RedisServer):
    """Its reader was first in the line and nobody listens there any more: another process hears."""

    async def go() -> None:
        async with connected(server.url, 2) as (stopping, working):
            stop = stopping.listen(Bell.CONVERSATION)
            await until(lambda: server.ask("CLIENT", "LIST").count(BLOCKED) == 1)
            working.listen(Bell.CONVERSATION)
            await until(lambda: server.ask("CLIENT", "LIST").count(BLOCKED) == 2)
            stop()
            server.ask("XADD", WORK, "*", "keys", msgspec.msgpack.encode(["a"]))

            await until(lambda: bool(working.heard))
            assert (stopping.heard, working.heard) == ([], ["a"])

    play(go())


def test_who_begins_to_listen_hears_at_once(server: RedisServer):
    """A process that already waits for one kind of work is freed to wait for another too: it would else wait half a minute."""

    async def go() -> None:
        async with connected(server.url, 2) as (ringing, working):
            working.listen(Bell.CONVERSATION)
            ringing.transport.ring([(Bell.CONVERSATION, "a")])
            await until(lambda: working.heard == ["a"])
            await until(lambda: BLOCKED in server.ask("CLIENT", "LIST"))

            working.listen(Bell.POOL)
            ringing.transport.ring([(Bell.POOL, "b")])

            await until(lambda: working.heard == ["a", "b"])

    play(go())


def test_what_a_dead_process_had_read_is_heard_by_another(server: RedisServer):
    """It read, and died before it acknowledged: another hears what it had, and nothing stays behind."""

    async def go() -> None:
        async with connected(server.url, 2, Pace(claim_seconds=0.2, heartbeat_seconds=0.05)) as (ringing, working):
            claimed = counted("claimed_total")
            ringing.transport.ring([(Bell.CONVERSATION, str(number)) for number in range(100)])
            await until(lambda: server.ask("XLEN", WORK) == 7)
            server.ask("XREADGROUP", "GROUP", "workers", "dead", "COUNT", 5, "STREAMS", WORK, ">")

            working.listen(Bell.CONVERSATION)

            await until(lambda: len(working.heard) >= 100)
            await until(lambda: server.ask("XPENDING", WORK, "workers")["pending"] == 0)
            assert sorted(working.heard, key=int) == [str(number) for number in range(100)]
            assert counted("claimed_total") == claimed + 5

    play(go())


def test_dead_readers_are_struck_off_and_living_ones_go_on_hearing(server: RedisServer):
    """The list of readers would else grow with every start. One that lives and had nothing to read loses nothing by it."""

    async def go() -> None:
        quick = Pace(claim_seconds=30, forget_seconds=0.1, heartbeat_seconds=0.05)
        async with connected(server.url, 2, quick) as (ringing, working):
            server.ask("XGROUP", "CREATECONSUMER", WORK, "workers", "dead")
            working.listen(Bell.CONVERSATION)
            for key in ("a", "b"):
                ringing.transport.ring([(Bell.CONVERSATION, key)])
                await until(lambda key=key: key in working.heard)  # type: ignore[misc]
                await until(lambda: server.ask("XINFO", "CONSUMERS", WORK, "workers") == [])

            assert working.heard == ["a", "b"]

    play(go())


def test_a_dead_reader_with_unacknowledged_entries_is_kept_until_they_are_claimed(server: RedisServer):
    """Striking it off sooner would take its entries with it."""

    async def go() -> None:
        quick = Pace(claim_seconds=1.0, forget_seconds=0.1, heartbeat_seconds=0.05)
        async with connected(server.url, 2, quick) as (ringing, working):
            ringing.transport.ring([(Bell.CONVERSATION, "a")])
            await until(lambda: server.ask("XLEN", WORK) == 1)
            server.ask("XREADGROUP", "GROUP", "workers", "dead", "STREAMS", WORK, ">")
            working.listen(Bell.CONVERSATION)

            await until(lambda: working.heard == ["a"])
            await until(lambda: server.ask("XINFO", "CONSUMERS", WORK, "workers") == [])

    play(go())


def test_what_was_rung_before_a_worker_came_waits_for_it(server: RedisServer):
    """From the first process on, what is rung is kept for whoever comes to listen; what lay there before is for the sweep."""

    async def go() -> None:
        server.ask("XADD", WORK, "*", "keys", msgspec.msgpack.encode(["old"]))
        async with connected(server.url, 1, name="ringing") as (ringing,):
            ringing.transport.ring([(Bell.CONVERSATION, "new")])
            await until(lambda: server.ask("XLEN", WORK) == 2)
            async with connected(server.url, 1, name="working") as (working,):
                working.listen(Bell.CONVERSATION)

                await until(lambda: "new" in working.heard)
                assert working.heard == ["new"]

    play(go())


# --- news for everybody


@pytest.mark.parametrize("bell", sorted(set(Bell) - FOR_ONE))
def test_news_is_heard_by_every_process_once(server: RedisServer, bell: Bell):
    """Who rang hears too, and by itself: its own shout does not come back."""

    async def go() -> None:
        async with connected(server.url, 3) as three:
            for process in three:
                process.listen(bell)

            three[0].transport.ring([(bell, "1")])
            await until(lambda: all(process.heard for process in three))
            three[1].transport.ring([(bell, "2")])

            await until(lambda: all(len(process.heard) > 1 for process in three))
            assert [process.heard for process in three] == [["1", "2"]] * 3

    play(go())


def test_of_many_timers_the_earliest_is_passed_on(server: RedisServer):
    """The loop elsewhere need only know when to wake first; here each is heard."""

    async def go() -> None:
        async with connected(server.url, 2) as (here, there):
            here.listen(Bell.TIMERS)
            there.listen(Bell.TIMERS, Bell.SESSION)

            here.transport.ring([(Bell.TIMERS, "1700000000000000"), (Bell.TIMERS, "900000000000000")])
            here.transport.ring([(Bell.TIMERS, "1600000000000000"), (Bell.SESSION, "later")])

            await until(lambda: len(there.heard) >= 2)
            assert sorted(there.heard) == ["900000000000000", "later"]
            assert here.heard == ["1700000000000000", "900000000000000", "1600000000000000"]

    play(go())


def test_news_of_many_commits_is_passed_on_once_a_flush(server: RedisServer):
    """Every commit rings it; what gathers while a flush is under way is one ring for the others."""

    async def go() -> None:
        async with connected(server.url, 2) as (here, there):
            there.listen(Bell.NEWS, Bell.SESSION)

            for _ in range(100):
                here.transport.ring([(Bell.NEWS, "")])
            here.transport.ring([(Bell.SESSION, "later")])

            await until(lambda: "later" in there.heard)
            assert there.heard == ["", "later"]

    play(go())


def test_words_are_heard_by_every_process_once(server: RedisServer):
    """Who tells hears what it tells itself; the others hear it of their topic alone."""

    async def go() -> None:
        async with connected(server.url, 3) as three:
            heard: list[tuple[int, bytes]] = []
            for number, process in enumerate(three):
                process.transport.follow("typing:1", lambda word, number=number: heard.append((number, word)))  # type: ignore[misc]

            three[0].transport.tell("typing:2", b"not theirs")
            three[0].transport.tell("typing:1", b"ann")
            await until(lambda: len(heard) >= 3)
            await shouts_are_heard(three[0], three)

            assert sorted(heard) == [(0, b"ann"), (1, b"ann"), (2, b"ann")]

    play(go())


def test_two_installations_share_a_redis(server: RedisServer):
    """Neither by another prefix nor in another database does one hear the other."""

    async def go() -> None:
        async with (
            connected(server.url, 1, name="ours") as (ours,),
            connected(server.url, 1, name="theirs", prefix="theirs") as (theirs,),
            connected(server.url + "?db=1", 1, name="another") as (another,),
        ):
            three = [ours, theirs, another]
            for process in three:
                process.listen(Bell.SETTINGS)
                process.transport.ring([(Bell.CONVERSATION, "work"), (Bell.SETTINGS, "their own")])
            await until(lambda: server.ask("XLEN", "theirs:bell:conversation") == server.ask("XLEN", WORK) == 1)
            for process in three:
                await shouts_are_heard(process, [process])

            assert [process.heard for process in three] == [["their own"]] * 3
            assert await ours.transport.take("b", 0.001, 1) == await theirs.transport.take("b", 0.001, 1) == 0.0

    play(go())


def test_what_cannot_be_read_harms_nobody(server: RedisServer):
    """A foreign publisher, a newer version's bell, an entry of another shape: noted, and the next one is heard."""

    async def go() -> None:
        async with connected(server.url, 2) as (ringing, working):
            working.listen(Bell.CONVERSATION, Bell.SESSION)
            newer = b"process-9\0" + msgspec.msgpack.encode(([("eclipse", "a"), ("session", "known")], [], "more"))
            for body in (b"", b"nonsense", b"process-9\0nonsense", newer):
                server.ask("PUBLISH", "omniline:0:shouts", body)
            server.ask("XADD", WORK, "*", "keys", b"\xff\xff")
            server.ask("XADD", WORK, "*", "other", "shape", "of", "entry")
            ringing.transport.ring([(Bell.CONVERSATION, "work"), (Bell.SESSION, "news")])

            await until(lambda: len(working.heard) >= 3)
            assert sorted(working.heard) == ["known", "news", "work"]
            assert working.transport.lost is None

    with capture_logs() as logs:
        play(go())
    assert sorted(events(logs)) == ["transport_entry_unreadable"] * 2 + ["transport_shout_unreadable"] * 6


# --- lost and found


@dataclass(frozen=True)
class Fault:
    """A way to lose Redis, and the way back; *because* is in the reason that is given."""

    because: str
    happen: Callable[[RedisServer], object]
    end: Callable[[RedisServer], object]


def shut_out(server: RedisServer) -> None:
    """Set a password that nobody knows, and end the connections that were let in before."""
    server.ask("CONFIG", "SET", "requirepass", "changed")
    server.ask("CLIENT", "KILL", "TYPE", "normal", password="changed")
    server.ask("CLIENT", "KILL", "TYPE", "pubsub", password="changed")


FAULTS = {
    "killed": Fault("connect", RedisServer.kill, RedisServer.start),
    "stopped": Fault("connect", RedisServer.stop, RedisServer.start),
    "standing still": Fault("no answer in time", RedisServer.pause, RedisServer.resume),
    "paused for clients": Fault("no answer in time", lambda server: server.ask("CLIENT", "PAUSE", 2_500), lambda server: None),
    "out of memory": Fault(
        "maxmemory",
        lambda server: server.ask("CONFIG", "SET", "maxmemory", 1),
        lambda server: server.ask("CONFIG", "SET", "maxmemory", 0),
    ),
    "a replica now": Fault(
        "read only replica",
        lambda server: server.ask("REPLICAOF", "127.0.0.1", 1),
        lambda server: server.ask("REPLICAOF", "NO", "ONE"),
    ),
    "another password": Fault(
        "uthenti",  # NOAUTH is in other words than WRONGPASS
        shut_out,
        lambda server: server.ask("CONFIG", "SET", "requirepass", "", password="changed"),
    ),
    "commands forbidden": Fault(
        "permissions",
        lambda server: server.ask("ACL", "SETUSER", "default", "-xadd"),
        lambda server: server.ask("ACL", "SETUSER", "default", "+@all"),
    ),
}


@pytest.mark.parametrize("fault", list(FAULTS.values()), ids=list(FAULTS))
def test_redis_is_lost_and_found(server: RedisServer, fault: Fault):
    """Nobody is stopped by it, the log says it once and once more when it is over, SQL is swept, and bells are heard again."""

    async def go() -> None:
        async with connected(server.url, 2, QUICK) as (ringing, working):
            working.listen(Bell.CONVERSATION, Bell.SESSION)
            losses = counted("losses_total")

            def ring(key: str) -> None:
                ringing.transport.ring([(Bell.CONVERSATION, key), (Bell.SESSION, key), (Bell.NEWS, "")])
                ringing.transport.tell("typing:1", b"word")

            def ringing_is_lost() -> bool:
                ring("in vain")
                return fault.because in (ringing.transport.lost or "")

            fault.happen(server)
            await until(ringing_is_lost)
            assert counted("lost") == 1
            assert await ringing.transport.take("b", 1.0, 1) == 0.0
            fault.end(server)
            # A fault that spares readers is no loss for who only reads.
            await until(lambda: not (ringing.transport.lost or working.transport.lost))
            assert counted("lost") == 0
            assert counted("losses_total") > losses

            working.heard.clear()
            ring("after")
            await until(lambda: working.heard.count("after") == 2)
            assert ringing.restored == 1

    with capture_logs() as logs:
        play(go())
    lost = events(logs).count("transport_lost")
    assert lost in {1, 2}
    assert events(logs).count("transport_restored") == lost
    assert set(events(logs)) == {"transport_lost", "transport_restored"}


@pytest.mark.parametrize("name", ["out of memory", "a replica now", "commands forbidden"])
def test_a_redis_that_answers_and_takes_nothing_stays_lost(server: RedisServer, name: str):
    """It lets one in and refuses the first ring: to be found it must take a write, or the log would fill with losses."""

    async def go() -> None:
        async with connected(server.url, 1, QUICK) as (process,):

            def refusals() -> int:
                return sum(int(refused["count"]) for refused in server.ask("INFO", "errorstats").values())

            def has_been_refused_again() -> bool:
                process.transport.ring([(Bell.CONVERSATION, "in vain")])
                return refusals() >= before + 20

            before = refusals()
            FAULTS[name].happen(server)
            await until(has_been_refused_again)
            await until(lambda: FAULTS[name].because in (process.transport.lost or ""))

            assert process.restored == 0

    with capture_logs() as logs:
        play(go())
    assert events(logs) == ["transport_lost"]


def test_a_loss_of_any_length_is_said_once(server: RedisServer):
    """However often it is tried in vain and for whatever changing reason; the seconds are told at the end."""

    async def go() -> None:
        async with connected(server.url, 1, QUICK) as (process,):
            server.kill()
            await until(lambda: " connecting to " in (process.transport.lost or ""))
            server.start()
            server.ask("CONFIG", "SET", "requirepass", "changed")
            await until(lambda: "uthenti" in (process.transport.lost or ""))
            server.ask("CONFIG", "SET", "requirepass", "", password="changed")
            await until(lambda: process.transport.lost is None)

            assert process.restored == 1

    with capture_logs() as logs:
        play(go())
    assert events(logs) == ["transport_lost", "transport_restored"]
    assert isinstance(logs[1]["seconds"], float)


def test_an_emptied_redis_is_swept_for_and_goes_on(server: RedisServer):
    """FLUSHALL takes the streams and the group that reads them: the readers make them again and have SQL swept."""

    async def go() -> None:
        async with connected(server.url, 2, QUICK) as (ringing, working):
            working.listen(*FOR_ONE)
            await until(lambda: BLOCKED in server.ask("CLIENT", "LIST"))

            server.ask("FLUSHALL")
            await until(lambda: working.restored == 1)
            ringing.transport.ring([(bell, bell) for bell in sorted(FOR_ONE)])

            await until(lambda: len(working.heard) >= len(FOR_ONE))
            assert sorted(working.heard) == sorted(FOR_ONE)
            assert (ringing.transport.lost, working.transport.lost) == (None, None)

    emptied = counted("emptied_total")
    with capture_logs() as logs:
        play(go())
    assert events(logs) == ["transport_emptied"]
    assert counted("emptied_total") == emptied + 1


def test_a_stream_that_came_back_without_its_group_is_read_again(server: RedisServer):
    """Emptied, and rung into before the reader looked: NOGROUP instead of what a blocked reader is told."""

    async def go() -> None:
        async with connected(server.url, 2, QUICK) as (ringing, working):
            server.ask("XGROUP", "DESTROY", WORK, "workers")
            working.listen(Bell.CONVERSATION)
            await until(lambda: working.restored == 1)
            ringing.transport.ring([(Bell.CONVERSATION, "a")])

            await until(lambda: working.heard == ["a"])

    with capture_logs() as logs:
        play(go())
    assert events(logs) == ["transport_emptied"]


def test_a_listener_that_fails_at_a_restoration_harms_nobody(server: RedisServer):
    """The others are told to sweep, and the transport goes on."""

    async def go() -> None:
        async with connected(server.url, 1, QUICK) as (process,):
            swept: list[str] = []

            def broken() -> None:
                raise RuntimeError

            process.transport.on_restored(broken)
            stop = process.transport.on_restored(lambda: swept.append("stopped"))
            process.transport.on_restored(lambda: swept.append("later"))
            stop()
            stop()
            server.ask("CLIENT", "KILL", "TYPE", "pubsub")

            await until(lambda: bool(swept))
            assert (swept, process.transport.lost) == (["later"], None)

    play(go())


def test_one_connection_lost_is_all_lost(server: RedisServer):
    """Half a transport, which sends and hears nothing, would go unnoticed."""

    async def go() -> None:
        async with connected(server.url, 2, QUICK) as (ringing, working):
            for kind in ("pubsub", "normal"):
                restored = working.restored
                server.ask("CLIENT", "KILL", "TYPE", kind)
                await until(lambda restored=restored: working.restored > restored and not ringing.transport.lost)  # type: ignore[misc]
                await shouts_are_heard(ringing, [working])

    play(go())


def test_a_wrong_password_is_told_and_not_shown():
    """The reason names the fault, no log names the password; once it is the right one, all is well."""

    async def go(server: RedisServer) -> None:
        async with processes(server.url.replace("right", "se%2Fcret"), 1, QUICK) as (process,):
            await until(lambda: "invalid username-password pair" in (process.transport.lost or ""))
            server.ask("CONFIG", "SET", "requirepass", "se/cret")
            await until(lambda: process.transport.lost is None)

    with capture_logs() as logs, running_redis(password="right") as server:
        play(go(server))
    assert events(logs) == ["transport_lost", "transport_restored"]
    assert "cret" not in repr(logs)


def test_who_says_and_hears_nothing_notices_too(server: RedisServer):
    """Connections stay open and silent when a host is gone: each asks for a sign of life."""

    async def go() -> None:
        async with connected(server.url, 1, QUICK) as (process,):
            server.pause()
            await until(lambda: process.transport.lost == "no answer in time")
            server.resume()
            await until(lambda: process.transport.lost is None)

    play(go())


@pytest.mark.parametrize("forgotten", [0, 1, 2])
def test_one_connection_that_has_silently_died_is_noticed(server: RedisServer, forgotten: int):
    """A firewall forgets an idle connection and tells nobody: whichever of the three it was, all are made anew."""

    async def go() -> None:
        connections: list[asyncio.Task[None]] = []
        restored = asyncio.Event()

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, number: int) -> None:
            while (received := await source.read(65_536)) and (number != forgotten or transport.lost):
                target.write(received)

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
            number = len(connections) // 2
            connections.append(asyncio.create_task(pass_on(reader, far_writer, number)))
            connections.append(asyncio.create_task(pass_on(far_reader, writer, number)))
            writers.extend([writer, far_writer])

        writers: list[asyncio.StreamWriter] = []
        async with await asyncio.start_server(accept, "127.0.0.1", 0) as firewall:
            transport = RedisTransport(f"redis://127.0.0.1:{firewall.sockets[0].getsockname()[1]}", process="process", pace=QUICK)
            transport.on_restored(restored.set)
            running = asyncio.create_task(transport.run())
            try:
                await asyncio.wait_for(restored.wait(), 10)
                assert len(connections) == 2 * 6
            finally:
                for task in (running, *connections):
                    task.cancel()
                await asyncio.gather(running, *connections, return_exceptions=True)
                for writer in writers:
                    writer.close()

    with capture_logs() as logs:
        play(go())
    assert events(logs) == ["transport_lost", "transport_restored"]


def test_a_redis_that_is_too_old_is_told():
    """Its answers would be of another shape: it counts as lost, and the reason says what is needed."""
    fields = [b"$7\r\nversion\r\n", b"$6\r\n6.2.14\r\n"]
    answers = {b"CLIENT": b"+OK\r\n", b"HELLO": b"*2\r\n" + b"".join(fields), b"XADD": b"$-1\r\n"}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        while received := await reader.read(4_096):
            commands.feed(received)
            while command := commands.gets():
                writer.write(answers.get(command[0], b"-ERR of this the test knows nothing\r\n"))
        writer.close()

    async def go() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as old:
            port = old.sockets[0].getsockname()[1]
            async with processes(f"redis://127.0.0.1:{port}", 1, QUICK) as (process,):
                await until(lambda: process.transport.lost == "this is Redis 6.2.14, and 7 or newer is needed")

    play(go())


def test_what_gathers_before_the_first_connection_is_bounded_and_sent(server: RedisServer):
    """A start is no loss: what is rung meanwhile goes out, as far as there is room."""

    async def go() -> None:
        early = RedisTransport(server.url, process="early", pace=PATIENT)
        dropped = counted("dropped_total", what="ring"), counted("dropped_total", what="word")
        early.ring([(Bell.SESSION, str(number)) for number in range(10_000)])
        for _ in range(10_000):
            early.tell("typing:1", b"word")
        async with connected(server.url, 1) as (there,):
            there.listen(Bell.SESSION)
            running = asyncio.create_task(early.run())
            await until(lambda: len(there.heard) >= MOST_GATHERED)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

            assert there.heard == [str(number) for number in range(MOST_GATHERED)]
            assert counted("dropped_total", what="ring") - dropped[0] == 10_000 - MOST_GATHERED
            assert counted("dropped_total", what="word") - dropped[1] == 10_000 - MOST_GATHERED
            assert early.lost == "not running"

    play(go())


def test_nothing_gathers_while_redis_is_lost(server: RedisServer):
    """What is rung then is dropped and counted, and does not come out when Redis is back."""

    async def go() -> None:
        async with connected(server.url, 2, QUICK) as (ringing, working):
            working.listen(Bell.CONVERSATION, Bell.SESSION)
            server.kill()
            await until(lambda: bool(ringing.transport.lost and working.transport.lost))
            dropped = counted("dropped_total", what="ring")

            ringing.transport.ring(
                [(bell, str(number)) for number in range(10_000) for bell in (Bell.CONVERSATION, Bell.SESSION)]
            )

            assert counted("dropped_total", what="ring") == dropped + 20_000
            server.start()
            await until(lambda: not (ringing.transport.lost or working.transport.lost))
            await shouts_are_heard(ringing, [working])
            assert working.heard == []

    play(go())


def test_what_waits_behind_a_flush_is_dropped_with_it(server: RedisServer):
    """It gathered before anybody knew of the loss: sweeps find it long before Redis is back."""

    async def go() -> None:
        async with connected(server.url, 2, QUICK) as (ringing, working):
            working.listen(Bell.SESSION)
            dropped = counted("dropped_total", what="ring")
            server.pause()
            ringing.transport.ring([(Bell.SESSION, "under way")])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            ringing.transport.ring([(Bell.SESSION, "behind")])
            await until(lambda: bool(ringing.transport.lost))
            server.resume()
            await until(lambda: not (ringing.transport.lost or working.transport.lost))
            await shouts_are_heard(ringing, [working])

            assert "behind" not in working.heard
            assert counted("dropped_total", what="ring") == dropped + 1

    play(go())


def test_who_listens_here_hears_though_redis_is_lost(server: RedisServer):
    """A process alone is a whole house."""

    async def go() -> None:
        async with connected(server.url, 1, QUICK) as (process,):
            process.listen(*Bell)
            words: list[bytes] = []
            process.transport.follow("typing:1", words.append)
            server.kill()
            await until(lambda: bool(process.transport.lost))

            process.transport.ring([(bell, bell) for bell in Bell])
            process.transport.tell("typing:1", b"ann")

            assert (process.heard, words) == (list(Bell), [b"ann"])

    play(go())


def test_ending_leaves_no_connection_behind(server: RedisServer):
    """Neither from work nor from a loss: cancelled is closed."""

    async def go() -> None:
        async with connected(server.url, 2, QUICK) as two:
            two[0].listen(Bell.CONVERSATION)
            assert server.ask("CLIENT", "LIST").count(b"name=process-") == 6
        await until(lambda: b"name=process-" not in server.ask("CLIENT", "LIST"))

    play(go())


def test_it_ends_when_it_is_cancelled_in_the_moment_of_a_loss(server: RedisServer):
    """Whichever of the two is noticed first, `run` ends: a stop of the house must not wait for Redis."""

    async def go() -> None:
        for steps in range(20):
            transport = RedisTransport(server.url, process="process", pace=QUICK)
            running = asyncio.create_task(transport.run())
            await until(lambda transport=transport: transport.lost is None)  # type: ignore[misc]
            server.ask("CLIENT", "KILL", "TYPE", "pubsub")
            server.ask("CLIENT", "KILL", "TYPE", "normal")
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running], timeout=10)
            assert running.cancelled()

    play(go())


def test_a_socket_serves_as_well(server: RedisServer):
    """A Redis beside the only host needs no port."""

    async def go() -> None:
        async with connected(server.unix_url, 2) as (ringing, working):
            working.listen(Bell.SESSION)
            ringing.transport.ring([(Bell.SESSION, "a")])

            await until(lambda: working.heard == ["a"])

    play(go())


@pytest.mark.parametrize(
    "url", ["", "http://localhost", "redis://:se/cret@localhost", "redis://localhost?db=one", "unix:///s?nonsense=1"]
)
def test_an_address_that_is_none_is_refused_without_its_password(url: str):
    """The administrator is told at the start what an address looks like."""
    with pytest.raises(ConfigError, match="redis_url") as refused:
        RedisTransport(url, process="process")

    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("process", ["", "two words", "line\nbreak", "имя"])
def test_a_process_needs_a_name_that_redis_takes(process: str):
    """It is the reader's name in the group and the connection's in CLIENT LIST."""
    with pytest.raises(ConfigError, match="process"):
        RedisTransport("redis://localhost", process=process)


# --- the shared rate


def test_a_bucket_survives_a_server_that_forgot_the_script(server: RedisServer):
    """A restart and SCRIPT FLUSH forget it: it is brought again."""

    async def go() -> None:
        async with connected(server.url, 2) as (first, second):
            taken = []
            for process in (first, second, first, second):
                server.ask("SCRIPT", "FLUSH")
                taken.append(await process.transport.take("b", 0.001, 3))

            assert taken[:3] == [0.0] * 3
            assert taken[3] > 900

    play(go())


def test_tokens_asked_for_at_once_are_counted_one_by_one(server: RedisServer):
    """Many senders ask in the same moment, some of whom lose patience: each token is given once."""

    async def go() -> None:
        async with connected(server.url, 2) as two:
            taken = await asyncio.gather(*(two[number % 2].transport.take("b", 0.001, 10) for number in range(100)))

            assert taken.count(0.0) == 10

    play(go())


def test_a_bucket_is_forgotten_when_it_is_full(server: RedisServer):
    """A key for each bucket that anybody ever took from would stay for ever."""

    async def go() -> None:
        async with connected(server.url, 1) as (process,):
            assert await process.transport.take("b", 2.0, 5) == 0.0
            assert 0 < server.ask("PTTL", "omniline:bucket:b") <= 502

    play(go())


def test_a_clock_set_back_does_not_close_a_bucket(server: RedisServer):
    """The server's clock was an hour ahead: one waits as if the bucket were empty, not an hour."""

    async def go() -> None:
        async with connected(server.url, 1) as (process,):
            seconds, _ = server.ask("TIME")
            server.ask("SET", "omniline:bucket:b", (seconds + 3_600) * 1_000_000)

            assert 0.9 < await process.transport.take("b", 1.0, 5) <= 1.0

    play(go())


def test_each_process_goes_by_its_own_bucket_while_redis_is_lost(server: RedisServer):
    """Better a rate too high for a while than a house that says nothing."""

    async def go() -> None:
        async with connected(server.url, 1, QUICK, monotonic=lambda: 5.0) as (process,):
            assert [await process.transport.take("b", 2.0, 1) for _ in range(1)] == [0.0]
            server.kill()
            await until(lambda: bool(process.transport.lost))

            assert [await process.transport.take("b", 2.0, 2) for _ in range(3)] == [0.0, 0.0, 0.5]

    play(go())


def test_a_slow_redis_is_not_waited_for(server: RedisServer):
    """An answer that does not come in a quarter of a second is done without, before anybody knows that Redis is lost."""

    async def go() -> None:
        pace = Pace(answer_seconds=30, heartbeat_seconds=30, take_seconds=0.05)
        async with connected(server.url, 1, pace, monotonic=lambda: 5.0) as (process,):
            server.pause()
            assert [await process.transport.take("b", 2.0, 1) for _ in range(2)] == [0.0, 0.5]
            assert process.transport.lost is None
            server.resume()

    play(go())
